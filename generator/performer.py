# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in, takes out: what the command line and the worker call.

`Performer` is the door: `Performer.load` recognises the checkpoint and returns the performer of its kind, here
`CtegPerformer` for the default model, `generator.paper.performer.PaperPerformer` for the paper's.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch

from .checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint
from .clips import Clips
from .emotions import EMOTIONS, emotion_vector, emotion_weights
from .errors import CheckpointError, EnvironmentProblem, GeneratorError, InputError
from .heads import line_statistics
from .model import Condition, length_features
from .requests import MAX_SECONDS, MIN_SECONDS, LineRequest
from .sampling import STREAM_LENGTH, TakeSeed, sample_takes
from .spaces import Space
from .text import TextEncoder, TextFeatures

if TYPE_CHECKING:
    from .paper.projections import Precision

#: Takes decoded together at most; more would only cost memory.
_BATCH: Final = 64

Progress = Callable[[float, str], None]


class OutOfMemory(GeneratorError):
    """The device's memory did not suffice."""

    kind = "memory"


def choose_device(name: str = "auto") -> torch.device:
    """A torch device for "auto", "cpu", "cuda" or "mps"; `EnvironmentProblem` when this Python cannot use it."""
    if name == "auto":
        return torch.device(available_devices()[0])
    if name not in ("cpu", "cuda", "mps"):
        raise EnvironmentProblem(f"There is no device called {name!r}; choose auto, cpu, cuda or mps.")
    if name not in available_devices():
        raise EnvironmentProblem(
            f"This Python's torch cannot use {name}; choose auto, or a Python with a torch built for {name}."
        )
    return torch.device(name)


def available_devices() -> list[str]:
    """Devices this Python's torch can use, best first."""
    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.insert(0, "mps")
    if torch.cuda.is_available():
        devices.insert(0, "cuda")
    return devices


def leave_cores_to_others() -> None:
    """Use half of the cores, at most four, unless OMP_NUM_THREADS says otherwise.

    The decoder's matrices are small: more threads wait for each other, and Blender needs cores of its own.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(4, (os.cpu_count() or 2) // 2)))


@dataclass(frozen=True, slots=True)
class Take:
    """One row of the batch: take number ``seed - request.seed`` of line ``line``.

    Attributes:
        line: index of the request.
        request: what was asked for.
        emotion: what is performed; "auto" where the checkpoint cannot be told.
        seed: the take's own.
    """

    line: int
    request: LineRequest
    emotion: str
    seed: int

    @property
    def source(self) -> TakeSeed:
        """Where its random numbers come from."""
        return TakeSeed(self.seed, self.request.text)


class Performer(ABC):
    """A loaded checkpoint and its text encoder, ready to perform lines.

    Attributes:
        name: the checkpoint's, stored with each clip.
        encoder: the text encoder.
        space: what the channels of its clips mean.
    """

    def __init__(self, name: str, encoder: TextEncoder, space: Space) -> None:
        self.name = name
        self.encoder = encoder
        self.space = space

    @staticmethod
    def load(
        checkpoint: Path | None = None,
        device: str = "auto",
        progress: Progress | None = None,
        precision: Precision = "fp32",
    ) -> Performer:
        """Load from ``checkpoint`` (a folder; None for the bundled one) onto ``device``.

        ``precision`` "int8" decodes faster on a CPU and a little less exactly; for the paper's model.

        Raises:
            InputError: the checkpoint, device or torch has no such precision.
            CheckpointError: missing, incomplete or damaged checkpoint.
            EnvironmentProblem: missing text encoder, or a device this Python cannot use.
        """
        report = progress or (lambda fraction, stage: None)
        target = choose_device(device)
        report(0.0, "loading the model")
        folder = checkpoint or DEFAULT_CHECKPOINT
        performer: Performer
        match _format(folder):
            case None:
                if precision != "fp32":
                    raise InputError(f"{folder.name} decodes in fp32 only; {precision} is for the paper's model.")
                loaded = load_checkpoint(folder, target)
                report(0.2, "loading the model")
                performer = CtegPerformer(loaded, TextEncoder.load(loaded.text_encoder, target))
            case "cteg-paper":
                from .paper.checkpoint import load_paper_checkpoint
                from .paper.performer import PaperPerformer

                performer = PaperPerformer(load_paper_checkpoint(folder, target), precision)
            case unknown:
                raise CheckpointError(
                    f"The checkpoint in {folder} has the format {unknown!r}, which cannot be performed; choose another."
                )
        report(1.0, "loading the model")
        return performer

    def perform(self, requests: list[LineRequest], progress: Progress | None = None) -> list[Clips]:
        """Perform validated requests; all takes of all lines are decoded together.

        Args:
            requests: from `LineRequest.validated`.
            progress: called with (fraction 0..1, stage); may raise `generator.sampling.Cancelled`.

        Raises:
            InputError: a line the text encoder cannot read, or a length the checkpoint cannot perform.
            OutOfMemory: too much for the device.
        """
        report = progress or (lambda fraction, stage: None)
        report(0.0, "reading the line")
        try:
            takes = self._plan(requests)
            frames: list[npt.NDArray[np.float32]] = []
            for start in range(0, len(takes), _BATCH):
                batch = takes[start : start + _BATCH]

                def on_step(done: int, steps: int, start: int = start, count: int = len(batch)) -> None:
                    report((start + count * done / steps) / len(takes), "performing")

                frames += self._decode(batch, on_step)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory("The device ran out of memory; ask for fewer takes or choose the cpu device.") from error
        return self._collect(requests, takes, frames)

    @abstractmethod
    def _emotions(self, requests: list[LineRequest]) -> list[str]:
        """The emotion each request is performed with; InputError where one cannot be performed at all."""

    @abstractmethod
    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[npt.NDArray[np.float32]]:
        """Frames (T_i, C) of each take; ``on_step`` is called with (steps done, steps in all) and may raise."""

    def _warnings(self, request: LineRequest, frames: list[npt.NDArray[np.float32]]) -> tuple[str, ...]:
        """What the user should know about a line's takes."""
        return request.warnings

    def _plan(self, requests: list[LineRequest]) -> list[Take]:
        for request in requests:
            if self.encoder.unknown_share(request.text) > 0.5 and any(c.isalpha() for c in request.text):
                raise InputError("The text encoder knows few of the line's words; write it in English.")
        return [
            Take(index, request, emotion, request.seed + k)
            for index, (request, emotion) in enumerate(zip(requests, self._emotions(requests), strict=True))
            for k in range(request.takes)
        ]

    def _collect(
        self, requests: list[LineRequest], takes: list[Take], frames: list[npt.NDArray[np.float32]]
    ) -> list[Clips]:
        result = []
        for index, request in enumerate(requests):
            rows = [k for k, take in enumerate(takes) if take.line == index]
            lengths = np.array([len(frames[k]) for k in rows], np.int64)
            longest = int(lengths.max())
            # Padded with the last frame, so that a reader who forgets `lengths` sees a face at rest, not a jump.
            padded = [np.pad(frames[k], ((0, longest - len(frames[k])), (0, 0)), mode="edge") for k in rows]
            settings = {
                "intensity": request.intensity,
                "temperature": request.temperature,
                "seconds": request.seconds,
                "checkpoint": self.name,
                "emotion_requested": request.emotion,
            }
            result.append(
                Clips(
                    np.stack(padded).astype(np.float32),
                    lengths,
                    np.array([takes[k].seed for k in rows], np.int64),
                    self.space,
                    request.text,
                    takes[rows[0]].emotion,
                    settings,
                    self._warnings(request, [frames[k] for k in rows]),
                )
            )
        return result


class CtegPerformer(Performer):
    """The default model: emotion and intensity can be asked for, and the line's length is predicted."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        super().__init__(checkpoint.name, encoder, checkpoint.generator.decoder.space)
        self.checkpoint = checkpoint
        self._model = checkpoint.generator.decoder

    def emotion_probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """What the words of each line say, as calibrated probabilities over the model's emotions, (B, 7) or (B, 14)."""
        with torch.inference_mode():
            logits: torch.Tensor = self.checkpoint.generator.emotion(self.encoder.encode(lines).pooled())
            return logits.softmax(-1).cpu().numpy()

    def _emotions(self, requests: list[LineRequest]) -> list[str]:
        automatic = [r.text for r in requests if r.emotion == "auto"]
        likely = dict(zip(automatic, self.emotion_probabilities(automatic), strict=True)) if automatic else {}
        return [EMOTIONS[int(likely[r.text].argmax())] if r.emotion == "auto" else r.emotion for r in requests]

    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[npt.NDArray[np.float32]]:
        condition = self._condition(takes)
        seeds, heat = [t.source for t in takes], [t.request.temperature for t in takes]
        fixed = [t.request.seconds is not None for t in takes]
        return sample_takes(self._model, condition, seeds, heat, fixed, on_step)

    @torch.inference_mode()
    def _condition(self, takes: list[Take]) -> Condition:
        device = self.encoder.device
        features: TextFeatures = self.encoder.encode([t.request.text for t in takes])
        weights = emotion_vector if self._model.config.conditioning == "direction" else emotion_weights
        emotion = torch.from_numpy(np.stack([weights(t.emotion) for t in takes])).to(device)
        intensity = torch.tensor([t.request.intensity for t in takes], device=device)
        statistics = torch.tensor([line_statistics(t.request.text) for t in takes], device=device)
        noise = [float(t.source.rng(STREAM_LENGTH).standard_normal()) for t in takes]
        heat = torch.tensor([min(t.request.temperature, 1.0) for t in takes], device=device)
        condition = Condition(features.hidden, features.mask, features.position, emotion, intensity, intensity)
        asked_for = length_features(condition, self._model.config)
        lengths = self.checkpoint.generator.length(features.pooled(), statistics, asked_for)
        seconds = lengths.sample(torch.tensor(noise, device=device), heat).clamp(MIN_SECONDS, MAX_SECONDS)
        asked = [t.request.seconds for t in takes]
        fps = self._model.space.fps
        frames = [round((a if a is not None else s) * fps) for a, s in zip(asked, seconds.tolist(), strict=True)]
        return replace(condition, frames=torch.tensor(frames, device=device))


def _format(folder: Path) -> str | None:
    """What a checkpoint's ``config.json`` calls its format; None for the default's, which names none.

    A file that is missing or damaged is left to the loaders: they have the sentences.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    name = config.get("format") if isinstance(config, dict) else None
    return None if name is None else str(name)
