# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator convert``: the released checkpoint as files without pickles."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clips import write_atomically
from ..errors import InputError

if TYPE_CHECKING:
    from .checkpoint import ReleasedCheckpoint

#: What the settings file calls itself, and its version.
RELEASED_FORMAT: Final = "cteg-released"
RELEASED_SCHEMA: Final = 1
WEIGHTS_FILE: Final = "model.safetensors"
SETTINGS_FILE: Final = "settings.json"
VOCABULARY_FILE: Final = "vocab.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("file", type=Path, help="the released checkpoint, such as model.chkpt")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="where to write; must not hold a checkpoint yet")
    parser.add_argument(
        "--vocab", type=Path, metavar="FILE",
        help="vocab.txt of the text encoder (bert-base-cased); the released file does not hold it",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Convert ``options.file`` into ``options.folder`` and say what is in it."""
    from .checkpoint import read_released_checkpoint

    refuse_occupied(options.folder)
    checkpoint = read_released_checkpoint(options.file)
    vocabulary = None if options.vocab is None else read_vocabulary(options.vocab, checkpoint)
    write_released(checkpoint, options.folder, options.file.name, vocabulary)
    print(f"{summary(checkpoint)} Written to {options.folder}.")
    if vocabulary is None:
        print(f"Before it can read text it needs the text encoder's vocabulary: put {VOCABULARY_FILE} beside it.")


def refuse_occupied(folder: Path) -> None:
    """InputError when ``folder`` is a file, or already holds a checkpoint."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose a folder for the converted checkpoint.")
    if (folder / WEIGHTS_FILE).exists():
        raise InputError(f"{folder} already holds a checkpoint ({WEIGHTS_FILE}); choose another folder.")


def read_vocabulary(path: Path, checkpoint: ReleasedCheckpoint) -> bytes:
    """The content of a ``vocab.txt``; InputError when it is not the one of the checkpoint's text encoder."""
    try:
        content = path.read_bytes()
        size, wanted = len(content.decode("utf-8").splitlines()), checkpoint.encoder.get("vocab_size")
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}; give the text encoder's vocab.txt.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; give the text encoder's vocab.txt.") from error
    if size != wanted:
        raise InputError(
            f"{path} has {size:,} tokens and the checkpoint's text encoder {wanted}; give its own vocab.txt."
        )
    return content


def write_released(checkpoint: ReleasedCheckpoint, folder: Path, source: str, vocabulary: bytes | None = None) -> None:
    """Write the weights under their released names, and the settings beside them as JSON.

    Args:
        checkpoint: what was read.
        folder: made if missing.
        source: name of the file it came from, kept for the record.
        vocabulary: the text encoder's ``vocab.txt``.
    """
    from safetensors.torch import save_file

    settings = {
        "schema_version": RELEASED_SCHEMA,
        "format": RELEASED_FORMAT,
        "source": source,
        "epoch": checkpoint.epoch,
        "settings": checkpoint.settings,
        "encoder": checkpoint.encoder,
    }
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{WEIGHTS_FILE}.partial"
    try:
        save_file(checkpoint.state, partial, metadata={"format": "pt"})
        write_atomically(folder / SETTINGS_FILE, lambda file: file.write(json.dumps(settings, indent=1).encode()))
        if vocabulary is not None:
            write_atomically(folder / VOCABULARY_FILE, lambda file: file.write(vocabulary))
        partial.chmod(0o644)
        partial.replace(folder / WEIGHTS_FILE)
    finally:
        partial.unlink(missing_ok=True)


def summary(checkpoint: ReleasedCheckpoint) -> str:
    """One sentence that says what a released checkpoint holds."""
    from .checkpoint import ENCODER_PREFIX

    encoder = [name for name in checkpoint.state if name.startswith(ENCODER_PREFIX)]
    total = sum(tensor.numel() for tensor in checkpoint.state.values())
    return (
        f"CTEG of epoch {checkpoint.epoch}: {len(checkpoint.state)} tensors with {total:,} values, {len(encoder)} of "
        f"them the text encoder ({checkpoint.settings.get('pretrained_path', 'unknown')}); "
        f"{len(checkpoint.copies)} copies left out."
    )
