# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints of the paper's model: trained here, or converted from the released one. No pickles.

A folder with ``config.json``, ``model.safetensors`` (the decoder's weights and the corpus mean face) and, unless the
text encoder is known by a name, ``encoder/`` (its config.json, model.safetensors, vocab.txt or tokenizer.json, as
Hugging Face lays them out; where it is there, the name is not looked up). The folder may be moved: nothing in it names
another place.

A converted checkpoint may lack the two things that the released file does not hold; they can be copied into it as they
are: the text encoder's ``vocab.txt`` into ``encoder/``, and EmoAva's ``stage1_mean.npy`` beside ``config.json``.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ..engine.arrays import read_arrays
from ..errors import CheckpointError, EnvironmentProblem
from ..model.checkpoint import made_to_hold
from ..model.pretrained import ENCODER_FILES, SETTINGS_FILE, TOKENIZER_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from ..model.text import TextEncoder
from ..reading import SETTINGS, TABLE, Reading, reading, refusing
from ..writing import write_atomically, write_whole
from .config import PaperConfig
from .emoava import MEAN_FILE
from .model import PaperCTEG

#: What ``config.json`` calls the format, and its version.
PAPER_FORMAT: Final = "cteg-paper"
PAPER_CHECKPOINT_SCHEMA: Final = 1
#: The folder inside a checkpoint that holds a text encoder of its own.
ENCODER_FOLDER: Final = "encoder"
#: The mean face among the weights; the others have the names of `PaperCTEG`'s parameters.
_MEAN: Final = "mean"
_MARKERS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@dataclass(frozen=True)
class PaperCheckpoint:
    """The paper's model and what is needed to use it.

    Attributes:
        model: the decoder; fp32 and in eval mode after `load_paper_checkpoint`, with the config it was trained under
            (``model.config.causal()`` is the one for decoding).
        mean: the corpus mean face, frame 0 of every clip, (E,).
        encoder: the frozen text encoder, as wide as the decoder.
        name: folder name, shown to users and stored with each clip.
        training: how it was trained, JSON-able; of a converted one its epoch and the training script's options.
    """

    model: PaperCTEG = field(repr=False)
    mean: Tensor = field(repr=False)
    encoder: TextEncoder = field(repr=False)
    name: str = "paper"
    training: dict[str, Any] = field(default_factory=dict, repr=False)


def save_paper_checkpoint(checkpoint: PaperCheckpoint, folder: Path) -> None:
    """Write ``folder``, in fp32. A text encoder that was loaded from a folder is copied along."""
    text_encoder, source = checkpoint.encoder.name, checkpoint.encoder.folder
    if source is not None and Path(text_encoder).is_dir():
        text_encoder = ENCODER_FOLDER
        _copy_encoder(source, folder / ENCODER_FOLDER)
    write_paper_files(folder, checkpoint.model, checkpoint.mean, text_encoder, checkpoint.training)


def write_paper_files(
    folder: Path, model: PaperCTEG, mean: Tensor | None, text_encoder: str, training: Mapping[str, Any]
) -> None:
    """Write everything but the text encoder's own files; ``mean`` (E,) may be left to be copied in later."""
    config = {
        "format": PAPER_FORMAT,
        "schema_version": PAPER_CHECKPOINT_SCHEMA,
        "text_encoder": text_encoder,
        "model": model.config.to_json(),
        "training": dict(training),
    }
    state = {name: value.detach().float() for name, value in model.state_dict().items()}
    if mean is not None:
        state[_MEAN] = mean.detach().float()
    state = {name: value.cpu().contiguous() for name, value in state.items()}
    write_whole(folder / WEIGHTS_FILE, save(state))
    write_whole(folder / SETTINGS_FILE, json.dumps(config, indent=1).encode())


def load_paper_checkpoint(folder: Path, device: torch.device | str = "cpu") -> PaperCheckpoint:
    """Read a checkpoint folder onto ``device``.

    Raises:
        CheckpointError: files are missing, damaged or of another format, or they do not fit together.
        EnvironmentProblem: a text encoder that is known by its name is not to be had.
    """
    for name in (SETTINGS_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"There is no checkpoint of the paper's model in {folder} ({name} is missing); make one with "
                "'python -m generator convert model.chkpt OUT_DIR' or by training on EmoAva."
            )
    with refusing(
        lambda why: CheckpointError(
            f"The checkpoint in {folder} cannot be used ({why}); make it again or choose another."
        )
    ):
        model, mean, text_encoder, training = _read(folder)
    own = folder / ENCODER_FOLDER
    try:
        name = str(own) if own.is_dir() else text_encoder
        encoder = TextEncoder.load(name, device, model.config.max_text, online=False)
    except EnvironmentProblem as error:
        raise EnvironmentProblem(f"{error} The checkpoint in {folder} reads it from {own}.") from error
    if encoder.width != model.config.d_model:
        raise CheckpointError(
            f"The checkpoint in {folder} needs a text encoder of width {model.config.d_model} and {encoder.name} has "
            f"{encoder.width}; use the one it was trained with."
        )
    return PaperCheckpoint(model.to(device).eval(), mean.to(device), encoder, folder.resolve().name, training)


def _read(folder: Path) -> tuple[PaperCTEG, Tensor, str, dict[str, Any]]:
    """Decoder, mean face, the text encoder's name and the training notes; what is raised says what is wrong."""
    config = Reading(folder / SETTINGS_FILE, SETTINGS).json()
    if (config["format"], config["schema_version"]) != (PAPER_FORMAT, PAPER_CHECKPOINT_SCHEMA):
        raise ValueError(f"its format is {config['format']!r}, version {config['schema_version']!r}")
    text_encoder, training = str(config["text_encoder"]), dict(config.get("training") or {})
    own = folder / ENCODER_FOLDER
    if text_encoder == ENCODER_FOLDER and not own.is_dir():
        raise ValueError(f"its folder {ENCODER_FOLDER} is missing")
    shape = PaperConfig.from_json(config["model"])
    model = made_to_hold(partial(PaperCTEG, shape), (folder / WEIGHTS_FILE).stat().st_size)
    state = {name: torch.from_numpy(value).float() for name, value in read_arrays(folder / WEIGHTS_FILE).items()}
    mean = state.pop(_MEAN, None)
    model.load_state_dict(state)
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise ValueError("it holds weights that are not finite")
    if parts := missing_parts(folder, has_mean=mean is not None):
        raise CheckpointError(f"The checkpoint in {folder} is not complete; put {' and '.join(parts)}.")
    mean = read_mean(folder / MEAN_FILE, model.config.channels) if mean is None else mean
    if mean.shape != (model.config.channels,) or not bool(torch.isfinite(mean).all()):
        raise ValueError(f"its mean face is not {model.config.channels} finite numbers")
    if own.is_dir():
        _check_vocabulary(own, training.get("marker_ids"))
    return model, mean, text_encoder, training


def missing_parts(folder: Path, has_mean: bool) -> list[str]:
    """What still has to be copied into a converted checkpoint, and where: ends of a sentence "put …"."""
    parts: list[str] = []
    encoder = folder / ENCODER_FOLDER
    if encoder.is_dir() and not any((encoder / name).is_file() for name in (VOCABULARY_FILE, TOKENIZER_FILE)):
        parts.append(f"the text encoder's own {VOCABULARY_FILE} (bert-base-cased, for the released one) into {encoder}")
    if not has_mean and not (folder / MEAN_FILE).is_file():
        parts.append(f"EmoAva's {MEAN_FILE} into {folder}")
    return parts


def read_mean(path: Path, channels: int) -> Tensor:
    """A ``stage1_mean.npy``, (E,); ValueError says why it is not the mean face of ``channels`` channels."""
    with reading(path, SETTINGS, lambda why: ValueError(f"{path.name} is not a .npy file of numbers: {why}")) as file:
        values = file.array()
    if values.shape != (channels,) or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise ValueError(f"{path.name} does not hold {channels} finite numbers")
    return torch.from_numpy(np.array(values, np.float32))


def marker_ids(vocabulary: Path) -> list[int]:
    """Ids of [PAD], [UNK], [CLS], [SEP] in a ``vocab.txt``; ValueError names one that it lacks."""
    tokens = Reading(vocabulary, TABLE).text().splitlines()
    if lacking := [marker for marker in _MARKERS if marker not in tokens]:
        raise ValueError(f"{vocabulary.name} has no {lacking[0]}")
    return [tokens.index(marker) for marker in _MARKERS]


def _check_vocabulary(encoder: Path, markers: list[int] | None) -> None:
    """ValueError when a vocabulary that was copied in later is not the text encoder's."""
    vocabulary = encoder / VOCABULARY_FILE
    if not vocabulary.is_file():
        return
    found = len(Reading(vocabulary, TABLE).text().splitlines())
    stated = Reading(encoder / SETTINGS_FILE, SETTINGS).json().get("vocab_size")
    if found != stated:
        raise ValueError(f"{vocabulary} has {found:,} tokens and its text encoder {stated}; put its own there")
    if markers is not None and marker_ids(vocabulary) != markers:
        raise ValueError(f"{vocabulary} has its markers at other places; convert again with --vocab")


def _copy_encoder(source: Path, target: Path) -> None:
    for name in ENCODER_FILES:
        file, copy = source / name, target / name
        if not file.is_file() or (copy.is_file() and filecmp.cmp(file, copy)):  # a run saves the same one many times
            continue
        with file.open("rb") as opened:
            write_atomically(copy, partial(shutil.copyfileobj, opened))
        shutil.copystat(file, copy)
