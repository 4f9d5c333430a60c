# SPDX-License-Identifier: GPL-3.0-or-later
"""How a line is performed, as options of a command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import ENDINGS
from .emotions import EMOTION_NAMES
from .requests import LANGUAGE_CODES


def add_performance_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a line is performed, and with what, to ``parser``: what lines of all commands can be told."""
    parser.add_argument("--takes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="take k uses seed + k (default 0)")
    parser.add_argument("--emotion", default="auto", metavar="NAME", help=f"auto, {', '.join(EMOTION_NAMES)}")
    parser.add_argument("--intensity", type=float, default=1.0, help="0 (calm) to 1.5 (extreme), default 1")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 (likeliest) to 2, default 1")
    parser.add_argument("--emotion-to", metavar="NAME", help="move to this emotion over the line")
    parser.add_argument("--emotion-with", metavar="NAME", help="mix this emotion in over the whole line")
    parser.add_argument("--share", type=float, default=0.5, help="how much of the mixture it is, default 0.5")
    parser.add_argument("--energy", type=float, default=1.0, help="tempo and size of movement, 0.4 to 1.6, default 1")
    parser.add_argument("--silent", action="store_true", help="the line is heard and reacted to, not spoken")
    parser.add_argument("--seconds", type=float, help="length, up to 60; by default the line decides")
    parser.add_argument("--rate", type=float, default=1.0, help="speaking rate, 0.5 (slow) to 2, default 1")
    parser.add_argument("--timing", type=int, default=0, metavar="SEED", help="of the words' timing, default 0")
    parser.add_argument("--vary-timing", action="store_true", help="every take has a timing of its own")
    parser.add_argument("--language", default="auto", metavar="CODE", help=f"{', '.join(LANGUAGE_CODES)}")
    parser.add_argument(
        "--ending", choices=ENDINGS, default="rest", help="how it ends: at rest, with a trace of what is felt, or held"
    )
    parser.add_argument("--spread", action="store_true", help="the most different takes of four times as many")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="by default the bundled one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "int8"), help="int8: the paper's model faster on a CPU"
    )


def performance_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_performance_arguments` reads of a request, by the names of its fields."""
    names = ("emotion", "intensity", "takes", "seed", "temperature", "seconds", "emotion_to", "rate", "spread",
             "emotion_with", "share", "energy", "timing", "vary_timing", "language", "ending")  # fmt: skip
    return {name: getattr(options, name) for name in names} | {"speaking": not options.silent}
