# SPDX-License-Identifier: GPL-3.0-or-later
"""The released checkpoint as one of ours: the decoder by our names, its text encoder as any BERT is published."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Final

from safetensors.torch import save
from torch import Tensor

from ...errors import CheckpointError, InputError
from ...model.bert import BERT_OPTIONS, BERT_SIZES, Bert, BertConfig, is_plain_bert
from ...model.checkpoint import made_to_hold
from ...model.pretrained import CASE_FILE, SETTINGS_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from ...reading import TABLE, Reading, refusing, why
from ...writing import write_whole
from ..checkpoint import ENCODER_FOLDER, marker_ids, read_mean, write_paper_files
from ..config import PaperConfig
from ..model import PaperCTEG
from .checkpoint import ENCODER_PREFIX, ReleasedCheckpoint
from .names import BERT_MARKERS, from_released_state, released_text_encoder

#: What else of a stored BERT configuration says how the encoder computes; the rest is about training and versions.
_BERT_VARIANT: Final = ("pad_token_id", "position_embedding_type", "is_decoder")
_BERT_CLASS: Final = "BertModel"
_ENCODER_NAME: Final = "pretrained_path"


def convert(
    released: ReleasedCheckpoint, folder: Path, source: str, vocabulary: Path | None = None, mean: Path | None = None
) -> None:
    """Write ``folder`` as `generator.paper.checkpoint` describes it. Everything is checked before anything is written.

    Args:
        released: what was read.
        folder: made if missing.
        source: name of the file it came from, kept for the record.
        vocabulary: the text encoder's ``vocab.txt``.
        mean: EmoAva's ``stage1_mean.npy``.

    Raises:
        InputError: ``vocabulary`` or ``mean`` does not belong to the checkpoint.
        CheckpointError: weights and settings do not fit together, or ask for a variant that is not supported.
    """
    markers = list(BERT_MARKERS) if vocabulary is None else _markers(vocabulary, released)
    with refusing(
        lambda why: CheckpointError(
            f"{source} cannot be converted ({why}); use the checkpoint the paper's authors published."
        )
    ):
        settings, weights = _text_encoder(released)
        make = partial(PaperCTEG, PaperConfig.from_settings(released.settings))
        model = made_to_hold(make, sum(value.numel() for value in released.state.values()))
        model.load_state_dict(from_released_state(released.state, model.config, markers))
    face = None if mean is None else _mean(mean, model.config.channels)
    encoder = folder / ENCODER_FOLDER
    # Whether words are read in lower case is not in the vocabulary; the encoder's name says it.
    case = {"tokenizer_class": "BertTokenizer", "do_lower_case": "uncased" in str(released.settings.get(_ENCODER_NAME))}
    for name, content in ((SETTINGS_FILE, settings), (CASE_FILE, case)):
        write_whole(encoder / name, json.dumps(content, indent=1).encode())
    if vocabulary is not None:
        write_whole(encoder / VOCABULARY_FILE, Reading(vocabulary, TABLE).data())
    write_whole(encoder / WEIGHTS_FILE, save(weights, {"format": "pt"}))
    training = {
        "converted_from": source,
        "epoch": released.epoch,
        "settings": released.settings,
        "marker_ids": markers,
    }
    write_paper_files(folder, model, face, ENCODER_FOLDER, training)


def summary(released: ReleasedCheckpoint) -> str:
    """One sentence that says what a released checkpoint holds."""
    encoder = [name for name in released.state if name.startswith(ENCODER_PREFIX)]
    total = sum(tensor.numel() for tensor in released.state.values())
    return (
        f"CTEG of epoch {released.epoch}: {len(released.state)} tensors with {total:,} values, {len(encoder)} of "
        f"them the text encoder ({released.settings.get(_ENCODER_NAME, 'unknown')}); "
        f"{len(released.copies)} copies left out."
    )


def _text_encoder(released: ReleasedCheckpoint) -> tuple[dict[str, object], dict[str, Tensor]]:
    """The text encoder's ``config.json`` and weights, tried out; ValueError or KeyError says what is wrong."""
    if (kind := released.settings.get("encoder_pretrained")) != _BERT_CLASS:
        raise ValueError(f"its text encoder is {kind!r}, not a {_BERT_CLASS}")
    if lacking := [name for name in BERT_SIZES if name not in released.encoder]:
        raise ValueError(f"its text encoder's configuration lacks {lacking[0]!r}")
    kept = (*BERT_SIZES, *(name for name in (*BERT_OPTIONS, *_BERT_VARIANT) if name in released.encoder))
    settings: dict[str, object] = {name: released.encoder[name] for name in kept}
    settings |= {"model_type": "bert", "architectures": [_BERT_CLASS]}
    if not is_plain_bert(settings):
        raise ValueError("its text encoder is a variant of BERT that is not supported")
    encoder = Bert(BertConfig.from_json(settings), released_text_encoder(released.state))
    return settings, {name: value.contiguous() for name, value in encoder.state_dict().items()}


def _markers(vocabulary: Path, released: ReleasedCheckpoint) -> list[int]:
    """The ids of a vocabulary's markers; InputError when it is not the checkpoint's."""
    try:
        size, wanted = len(Reading(vocabulary, TABLE).text().splitlines()), released.encoder.get("vocab_size")
        if size == wanted:
            return marker_ids(vocabulary)
        reason = f"{vocabulary} has {size:,} tokens and the checkpoint's text encoder {wanted}"
    except FileNotFoundError:
        reason = f"There is no file {vocabulary}"
    except UnicodeDecodeError:
        reason = f"{vocabulary} is not a text file"
    except (ValueError, OSError) as error:
        reason = why(error)
    raise InputError(f"{reason}; give the {VOCABULARY_FILE} of the checkpoint's own text encoder.")


def _mean(path: Path, channels: int) -> Tensor:
    try:
        if path.is_file():
            return read_mean(path, channels)
        reason = f"There is no file {path}"
    except ValueError as error:
        reason = str(error)
    raise InputError(f"{reason}; give EmoAva's stage1_mean.npy.")
