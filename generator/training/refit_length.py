# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator refit-length``: what predicts how long a line takes fitted again, other weights left alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from .refit import add_common_arguments, open_checkpoint, print_measured

#: Clips read together.
_CLIPS_READ: Final = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_common_arguments(parser)
    parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="a folder made by 'corpus'")


def run(options: argparse.Namespace) -> None:
    """Fit the head that predicts lengths, write, and print what was measured on the dev split's clips.

    Raises:
        CheckpointError, DataError, EnvironmentProblem: from what is opened.
    """
    from ..corpus.reader import Corpus
    from .batches import Batches, FeatureStore
    from .default import refit_length
    from .lengths import Timed

    checkpoint, encoder = open_checkpoint(options)
    splits = []
    for clips in (Corpus.open(options.data, split) for split in ("train", "dev")):
        features = FeatureStore((clips.text(i) for i in range(len(clips))), encoder, options.data / "cache")
        splits.append(Timed.of(Batches(clips, features, checkpoint.generator.decoder.config, _CLIPS_READ, 0)))
    print_measured(refit_length(checkpoint, options.out or options.checkpoint, *splits))
