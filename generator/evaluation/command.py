# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator evaluate``: free-running takes of held-out lines, judged against the ground truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

#: The word for the bundled checkpoint.
_BUNDLED: Final = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        "checkpoints", nargs="*", metavar="CHECKPOINT", help="checkpoint folders; 'default' is the bundled one"
    )
    parser.add_argument("--data", required=True, metavar="DATA",
                        help="a folder made by 'corpus', emoava:DIR or captures:DIR")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="for report, plots and takes; run again to resume")  # fmt: skip
    parser.add_argument("--split", default="test", choices=("train", "dev", "test"), help="default test")
    parser.add_argument("--lines", type=int, default=200, help="held-out lines (default 200)")
    parser.add_argument("--takes", type=int, default=4,
                        help="takes per line (default 4; HumanML3D's MModality needs 30)")  # fmt: skip
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True,
                        help="also judge what needs no training: mean, random, shuffled, nearest text")  # fmt: skip
    parser.add_argument("--text-encoder", metavar="NAME", help="for the nearest text (default all-MiniLM-L6-v2)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the checkpoints' takes (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(options: argparse.Namespace) -> None:
    """Write the report and print its tables."""
    from ..model.checkpoint import DEFAULT_CHECKPOINT
    from ..performing.devices import leave_cores_to_others
    from .evaluate import evaluate
    from .lines import Settings

    leave_cores_to_others()
    folders = [
        DEFAULT_CHECKPOINT if name == _BUNDLED and not Path(name).exists() else Path(name)
        for name in options.checkpoints
    ]
    settings = Settings(
        options.lines, options.takes, options.split, options.seed, options.temperature, options.baselines,
        options.text_encoder, options.device,
    )  # fmt: skip
    print(evaluate(folders, options.data, options.out, settings).as_markdown())
