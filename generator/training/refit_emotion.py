# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator refit-emotion``: what reads emotions from words fitted again, other weights left alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from ..errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("checkpoint", type=Path, help="a folder made by 'train'")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the result goes; by default it replaces the reader"
    )
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder made by 'corpus', for its labelled lines")
    parser.add_argument("--xed", type=Path, help="or the collections themselves: folder with XED's en-annotated.tsv")
    parser.add_argument("--goemotions", type=Path, help="folder with GoEmotions' labels.txt and train.tsv")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the run here, to go on if it is interrupted")
    parser.add_argument("--steps", type=int, help="optimiser steps; fewer for a quick try")


def run(options: argparse.Namespace) -> None:
    """Fit what reads emotions, write, and print what was measured on the dev split's lines.

    Raises:
        InputError: neither a corpus nor collections are given, or both.
        CheckpointError, DataError, EnvironmentProblem: from what is opened.
    """
    collections = options.xed is not None or options.goemotions is not None
    if collections == (options.data is not None):
        raise InputError("refit-emotion takes labelled lines from --data, or from --xed and --goemotions.")

    from ..model.checkpoint import load_checkpoint
    from ..model.text import TextEncoder
    from ..performing.devices import choose_device, use_threads
    from .classifier import Labelled, ReaderSettings
    from .default import refit_emotion

    use_threads(options.threads)
    device = choose_device(options.device)
    checkpoint = load_checkpoint(options.checkpoint, device)
    encoder = TextEncoder.load(checkpoint.text_encoder, device, online=False)
    train, dev = (Labelled.of(_lines(options, split), split) for split in ("train", "dev"))
    settings = ReaderSettings() if options.steps is None else ReaderSettings(steps=options.steps)
    with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        run = options.keep or Path(temporary)
        measured = refit_emotion(checkpoint, options.out or options.checkpoint, train, dev, encoder, run, settings)
    for name, value in measured.items():
        print(f"{name} {value:g}")


def _lines(options: argparse.Namespace, split: str) -> dict[str, npt.NDArray[np.float32]]:
    """The labelled lines of a split and their weights over `EMOTIONS`, (14,)."""
    if options.data is not None:
        from ..corpus.reader import Corpus

        return Corpus.open(options.data, split).labelled()
    from ..corpus.build import gather_lines, labelled_lines

    lines, _ = gather_lines(options.xed, options.goemotions)
    return {line.text: np.array(line.feelings, np.float32) for line in labelled_lines(lines, split)}
