# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator convert``: the released checkpoint as files without pickles, ready to perform."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("file", type=Path, help="the released checkpoint, such as model.chkpt")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="where to write; must not hold a checkpoint yet")
    parser.add_argument(
        "--vocab", type=Path, metavar="FILE",
        help="vocab.txt of the text encoder (bert-base-cased); the released file does not hold it",
    )  # fmt: skip
    parser.add_argument(
        "--mean", type=Path, metavar="FILE", help="EmoAva's stage1_mean.npy, the face every clip starts from"
    )


def run(options: argparse.Namespace) -> None:
    """Convert ``options.file`` into ``options.folder``, say what is in it and what it still needs."""
    from ..checkpoint import missing_parts
    from .checkpoint import read_released_checkpoint
    from .convert import convert, summary

    refuse_occupied(options.folder)
    released = read_released_checkpoint(options.file)
    convert(released, options.folder, options.file.name, options.vocab, options.mean)
    print(f"{summary(released)} Written to {options.folder}.")
    if parts := missing_parts(options.folder, has_mean=options.mean is not None):
        print(f"Before it can perform, put {' and '.join(parts)}.")


def refuse_occupied(folder: Path) -> None:
    """InputError when ``folder`` is a file, or already holds a checkpoint."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose a folder for the converted checkpoint.")
    for name in ("config.json", "model.safetensors"):
        if (folder / name).exists():
            raise InputError(f"{folder} already holds a checkpoint ({name}); choose another folder.")
