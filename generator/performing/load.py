# SPDX-License-Identifier: GPL-3.0-or-later
"""A performer from a checkpoint folder, whatever kind of model is in it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine import Engine
from ..engine.files import DEFAULT_CHECKPOINT, SETTINGS_FILE
from ..errors import CheckpointError, EnvironmentProblem, InputError
from ..reading import SETTINGS, Reading
from .cteg import CtegPerformer
from .performer import Performer, Progress

if TYPE_CHECKING:
    from ..paper.projections import Precision


def load_performer(
    checkpoint: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    precision: Precision = "fp32",
) -> Performer:
    """Load from ``checkpoint`` (a folder; None for the bundled one).

    Args:
        checkpoint: the folder.
        device: "numpy" performs with NumPy alone; "auto" too, where the checkpoint can; else, and for "cpu", "cuda" and
            "mps", with torch.
        progress: called with a fraction 0..1 and what is being done.
        precision: "int8" decodes faster on a CPU and a little less exactly; for the paper's model.

    Raises:
        InputError: the checkpoint, device or torch has no such precision.
        CheckpointError: missing, incomplete or damaged checkpoint.
        EnvironmentProblem: missing text encoder, or a device this Python cannot use; for "numpy" a checkpoint that
            only torch performs.
    """
    report = progress or (lambda fraction, stage: None)
    report(0.0, "loading the model")
    folder = checkpoint or DEFAULT_CHECKPOINT
    performer: Performer
    match _format(folder):
        case None:
            if precision != "fp32":
                raise InputError(f"{folder.name} decodes in fp32 only; {precision} is for the paper's model.")
            engine, layered = load_engine(folder, device)
            report(0.9, "loading the model")
            performer = CtegPerformer(engine, folder.name, layered=layered)
        case "cteg-paper" if device == "numpy":
            raise EnvironmentProblem(
                f"The checkpoint in {folder} is the paper's model, which the built-in engine cannot perform; choose a "
                "Python with PyTorch in the CTEG preferences."
            )
        case "cteg-paper":
            from ..paper.checkpoint import load_paper_checkpoint
            from .devices import choose_device
            from .paper import PaperPerformer

            paper = load_paper_checkpoint(folder, choose_device(device))
            performer = PaperPerformer(paper, precision)
        case unknown:
            raise CheckpointError(
                f"The checkpoint in {folder} has the format {unknown!r}, which cannot be performed; choose another."
            )
    report(1.0, "loading the model")
    return performer


def load_engine(folder: Path = DEFAULT_CHECKPOINT, device: str = "auto") -> tuple[Engine, bool]:
    """What performs a checkpoint, and whether it performs under a computed speech. See `load_performer`."""
    if device in ("auto", "numpy"):
        from ..engine.builtin import NeedsTorch, NumpyEngine

        try:
            builtin = NumpyEngine.load(folder)
            return builtin, builtin.settings.layered
        except NeedsTorch:
            if device == "numpy" or find_spec("torch") is None:
                raise
    from ..model.torch_engine import TorchEngine
    from .devices import choose_device

    engine = TorchEngine.load(folder, choose_device(device))
    return engine, engine.checkpoint.layered


def _format(folder: Path) -> str | None:
    """What a checkpoint's ``config.json`` calls its format; None for the default's, which names none.

    A file that is missing or damaged is left to the loaders: they have the sentences.
    """
    try:
        config = Reading(folder / SETTINGS_FILE, SETTINGS).json()
    except (OSError, ValueError, RecursionError):
        return None
    name = config.get("format") if isinstance(config, dict) else None
    return None if name is None else str(name)
