# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``refit-emotion`` and ``refit-length`` share: one head of a checkpoint is fitted again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..text import TextEncoder


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, where the result goes, and where it is computed."""
    parser.add_argument("checkpoint", type=Path, help="a folder made by 'train'")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the result goes; by default it replaces the head"
    )
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def open_checkpoint(options: argparse.Namespace) -> tuple[Checkpoint, TextEncoder]:
    """The checkpoint and its text encoder, on the device asked for."""
    import torch

    from ..checkpoint import load_checkpoint
    from ..performing.devices import choose_device
    from ..text import TextEncoder

    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    checkpoint = load_checkpoint(options.checkpoint, device)
    return checkpoint, TextEncoder.load(checkpoint.text_encoder, device)


def print_measured(measured: Mapping[str, float]) -> None:
    """One line for each number."""
    for name, value in measured.items():
        print(f"{name} {value:g}")
