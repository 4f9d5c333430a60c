# SPDX-License-Identifier: GPL-3.0-or-later
"""A converted released checkpoint as the paper's model, ready to run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import CheckpointError
from ..paper.config import PaperConfig
from ..paper.model import PaperCTEG
from ..paper.released import BERT_MARKERS, from_released_state, released_text_encoder
from .command import RELEASED_FORMAT, RELEASED_SCHEMA, SETTINGS_FILE, VOCABULARY_FILE, WEIGHTS_FILE

#: The parts of a stored BERT configuration that say how the encoder computes; the rest is about training and versions.
_BERT_SETTINGS: Final = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id",
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A released checkpoint.

    Attributes:
        model: the decoder, fp32, on the CPU, in eval mode, with every quirk of the released code
            (``model.config.causal()`` names the config for fast decoding).
        text_encoder: the frozen BertModel it was trained with, fp32, on the CPU, in eval mode.
        settings: the training script's options.
        epoch: the epoch it was written after.
        vocabulary: the text encoder's ``vocab.txt``; None when it was not given to ``convert``.
    """

    model: PaperCTEG = field(repr=False)
    text_encoder: nn.Module = field(repr=False)
    settings: dict[str, Any] = field(repr=False)
    epoch: int
    vocabulary: Path | None


def load_reference(folder: Path) -> Reference:
    """Load what ``python -m generator convert`` wrote.

    Raises:
        CheckpointError: files are missing or damaged, or weights and settings do not fit together.
    """
    for name in (SETTINGS_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"There is no converted checkpoint in {folder} ({name} is missing); "
                "make one with 'python -m generator convert model.chkpt OUT_DIR'."
            )
    try:
        stored = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        if (stored["format"], stored["schema_version"]) != (RELEASED_FORMAT, RELEASED_SCHEMA):
            raise ValueError(f"{SETTINGS_FILE} has format {stored['format']!r}, version {stored['schema_version']!r}")
        state = load_file(folder / WEIGHTS_FILE)
        vocabulary = folder / VOCABULARY_FILE if (folder / VOCABULARY_FILE).is_file() else None
        config = PaperConfig.from_settings(stored["settings"])
        model = PaperCTEG(config)
        markers = BERT_MARKERS if vocabulary is None else marker_ids(vocabulary)
        model.load_state_dict(from_released_state(state, config, markers))
        if (kind := stored["settings"].get("encoder_pretrained")) != "BertModel":
            raise ValueError(f"its text encoder is {kind!r}, not a BertModel")
        encoder = _text_encoder(stored["encoder"], state)
        return Reference(model.eval(), encoder, stored["settings"], int(stored["epoch"]), vocabulary)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"The checkpoint in {folder} cannot be used ({reason}); convert it again.") from error


def marker_ids(vocabulary: Path) -> tuple[int, ...]:
    """Ids of [PAD], [UNK], [CLS], [SEP] in a ``vocab.txt``; ValueError names one that it lacks."""
    tokens = vocabulary.read_text("utf-8").splitlines()
    if lacking := [marker for marker in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if marker not in tokens]:
        raise ValueError(f"{vocabulary.name} has no {lacking[0]}")
    return tuple(tokens.index(marker) for marker in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))


def _text_encoder(settings: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    if lacking := [name for name in _BERT_SETTINGS if name not in settings]:
        raise ValueError(f"its text encoder's configuration lacks {lacking[0]!r}")
    config = BertConfig(**{name: settings[name] for name in _BERT_SETTINGS})
    encoder: nn.Module = BertModel(config, add_pooling_layer=False)
    weights = released_text_encoder(state)
    # Versions of transformers differ in whether they store these two constant rows of numbers.
    encoder.load_state_dict({k: v for k, v in weights.items() if k not in _CONSTANT_ROWS})
    return encoder.eval()


_CONSTANT_ROWS: Final = frozenset({"embeddings.position_ids", "embeddings.token_type_ids"})
