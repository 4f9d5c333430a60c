# SPDX-License-Identifier: GPL-3.0-or-later
"""Pretrained text encoders as files: where they lie, their weights and their tokenizer. No pickles, ever.

Torch is enough for the default and other uncased BERTs; tokenizers of other kinds need ``tokenizers``, other families
``transformers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ..engine.arrays import read_weights, widened
from ..engine.files import CASE_FILE as CASE_FILE
from ..engine.files import DEFAULT_ENCODER as DEFAULT_ENCODER
from ..engine.files import ENCODER_FILES as ENCODER_FILES
from ..engine.files import SETTINGS_FILE as SETTINGS_FILE
from ..engine.files import TOKENIZER_FILE as TOKENIZER_FILE
from ..engine.files import VOCABULARY_FILE as VOCABULARY_FILE
from ..engine.files import WEIGHTS_FILE as WEIGHTS_FILE
from ..engine.files import find_encoder as find_encoder
from ..engine.files import is_uncased, unusable_encoder
from ..engine.files import read_settings as read_settings
from ..engine.files import why as why
from ..engine.tokens import Tokens, WordPiece
from ..errors import EnvironmentProblem
from ..reading import TABLE, Reading, refusing
from .bert import Bert, BertConfig, is_plain_bert

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class LineTokenizer(Protocol):
    """Text to tokens; `WordPiece` is one."""

    def __call__(self, line: str) -> Tokens:
        """The tokens of ``line``, between two markers, cut where the room ends."""

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1; 1 for a line without any."""


class TextModel(Protocol):
    """A frozen text encoder."""

    @property
    def width(self) -> int:
        """W, width of the hidden states."""

    def to(self, device: torch.device) -> TextModel:
        """The same on ``device``."""

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids (B, S) and their mask (B, S), True at real tokens -> last hidden states (B, S, W)."""


def load_model(folder: Path, settings: Mapping[str, Any]) -> TextModel:
    """The encoder in ``folder``, fp32, on the CPU, frozen.

    BERT is our own (`generator.model.bert`); other families are built by ``transformers``.

    Raises:
        EnvironmentProblem: files are damaged or do not fit together, or the family is unknown.
    """
    with refusing(partial(unusable_encoder, folder)):
        if is_plain_bert(settings):
            weights = read_weights(folder / WEIGHTS_FILE)
            state = {name: torch.from_numpy(widened(value)) for name, value in weights.items()}
            return Bert(BertConfig.from_json(settings), state)
        return _FromTransformers(folder)


def load_tokenizer(folder: Path, settings: Mapping[str, Any], max_tokens: int) -> LineTokenizer:
    """The tokenizer in ``folder``, which cuts a line after ``max_tokens`` tokens, or where the encoder's room ends."""
    ready, vocabulary = folder / TOKENIZER_FILE, folder / VOCABULARY_FILE
    try:
        room = min(max_tokens, _room(settings, max_tokens))
        if not ready.is_file() and is_uncased(folder):
            return WordPiece.load(vocabulary, room)
        from tokenizers import BertWordPieceTokenizer, Tokenizer

        if ready.is_file():
            tokenizer = Tokenizer.from_str(Reading(ready, TABLE).text())
        else:
            tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=False)._tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(room)
        return _FromTokenizers(tokenizer)
    except ImportError:
        raise
    except Exception as error:  # the library raises Exception itself
        raise EnvironmentProblem(
            f"The tokenizer of the text encoder in {folder} cannot be read ({why(error)}); install it again."
        ) from error


class _FromTokenizers:
    """A tokenizer of the ``tokenizers`` library."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._unknown = {tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>")} - {None}

    def __call__(self, line: str) -> Tokens:
        found = self._tokenizer.encode(line)
        return Tokens(found.ids, found.offsets, bool(found.overflowing))

    def unknown_share(self, line: str) -> float:
        ids = self._tokenizer.encode(line, add_special_tokens=False).ids
        return sum(i in self._unknown for i in ids) / len(ids) if ids else 1.0


class _FromTransformers:
    """An encoder of another family than BERT: distilbert, roberta, electra, mpnet, …"""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what is missing is said below
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        # Local files only, no pickles, none of the folder's own Python.
        model, notes = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
        if absent := sorted(name for name in notes["missing_keys"] if "pooler" not in name):
            raise ValueError(f"the weight {absent[0]} is missing")
        self._model = model.requires_grad_(False).eval()

    @property
    def width(self) -> int:
        return int(self._model.config.hidden_size)

    def to(self, device: torch.device) -> _FromTransformers:
        self._model = self._model.to(device)
        return self

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden: Tensor = self._model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return hidden


def _room(settings: Mapping[str, Any], otherwise: int) -> int:
    """Tokens that an encoder has positions for."""
    room = int(settings.get("max_position_embeddings", otherwise))
    # The families of RoBERTa count positions from the padding token's id on.
    return room if is_plain_bert(settings) else room - int(settings.get("pad_token_id") or 0) - 1
