# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in, takes out: what the command line and the worker call."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from .checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint
from .clips import Clips
from .emotions import BASIC_EMOTIONS, emotion_weights
from .errors import EnvironmentProblem, GeneratorError, InputError
from .heads import line_statistics
from .model import Condition
from .requests import MAX_SECONDS, MIN_SECONDS, LineRequest
from .sampling import STREAM_LENGTH, TakeSeed, sample_takes
from .text import TextEncoder, TextFeatures

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
class _Take:
    """One row of the batch: take number ``seed - request.seed`` of line ``line``."""

    line: int
    request: LineRequest
    emotion: str
    seed: int

    @property
    def source(self) -> TakeSeed:
        """Where its random numbers come from."""
        return TakeSeed(self.seed, self.request.text)


class Performer:
    """A loaded checkpoint and its text encoder, ready to perform lines."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        self.checkpoint = checkpoint
        self.encoder = encoder
        self._model = checkpoint.generator.decoder

    @classmethod
    def load(cls, checkpoint: Path | None = None, device: str = "auto", progress: Progress | None = None) -> Performer:
        """Load from ``checkpoint`` (a folder; None for the bundled one) onto ``device``.

        Raises:
            CheckpointError: missing or damaged checkpoint.
            EnvironmentProblem: missing text encoder, or a device this Python cannot use.
        """
        report = progress or (lambda fraction, stage: None)
        target = choose_device(device)
        report(0.0, "loading the model")
        loaded = load_checkpoint(checkpoint or DEFAULT_CHECKPOINT, target)
        report(0.2, "loading the model")
        encoder = TextEncoder.load(loaded.text_encoder, target)
        report(1.0, "loading the model")
        return cls(loaded, encoder)

    def perform(self, requests: list[LineRequest], progress: Progress | None = None) -> list[Clips]:
        """Perform validated requests; all takes of all lines are decoded together.

        Args:
            requests: from `LineRequest.validated`.
            progress: called with (fraction 0..1, stage); may raise `generator.sampling.Cancelled`.

        Raises:
            InputError: a line the text encoder cannot read.
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

                condition = self._condition(batch)
                seeds, heat = [t.source for t in batch], [t.request.temperature for t in batch]
                fixed = [t.request.seconds is not None for t in batch]
                frames += sample_takes(self._model, condition, seeds, heat, fixed, on_step)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory("The device ran out of memory; ask for fewer takes or choose the cpu device.") from error
        return self._collect(requests, takes, frames)

    def emotion_probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """What the words of each line say, as calibrated probabilities over `BASIC_EMOTIONS`, (B, 7)."""
        with torch.inference_mode():
            logits: torch.Tensor = self.checkpoint.generator.emotion(self.encoder.encode(lines).pooled())
            return logits.softmax(-1).cpu().numpy()

    def _plan(self, requests: list[LineRequest]) -> list[_Take]:
        for request in requests:
            if self.encoder.unknown_share(request.text) > 0.5 and any(c.isalpha() for c in request.text):
                raise InputError("The text encoder knows few of the line's words; write it in English.")
        automatic = [r.text for r in requests if r.emotion == "auto"]
        likely = dict(zip(automatic, self.emotion_probabilities(automatic), strict=True)) if automatic else {}
        takes = []
        for index, request in enumerate(requests):
            emotion = request.emotion
            if emotion == "auto":
                emotion = BASIC_EMOTIONS[int(likely[request.text].argmax())]
            takes += [_Take(index, request, emotion, request.seed + k) for k in range(request.takes)]
        return takes

    @torch.inference_mode()
    def _condition(self, takes: list[_Take]) -> Condition:
        device = self.encoder.device
        features: TextFeatures = self.encoder.encode([t.request.text for t in takes])
        emotion = torch.from_numpy(np.stack([emotion_weights(t.emotion) for t in takes])).to(device)
        intensity = torch.tensor([t.request.intensity for t in takes], device=device)
        statistics = torch.tensor([line_statistics(t.request.text) for t in takes], device=device)
        noise = [float(t.source.rng(STREAM_LENGTH).standard_normal()) for t in takes]
        heat = torch.tensor([min(t.request.temperature, 1.0) for t in takes], device=device)
        lengths = self.checkpoint.generator.length(features.pooled(), statistics, emotion, intensity)
        seconds = lengths.sample(torch.tensor(noise, device=device), heat).clamp(MIN_SECONDS, MAX_SECONDS)
        asked = [t.request.seconds for t in takes]
        fps = self._model.space.fps
        frames = [round((a if a is not None else s) * fps) for a, s in zip(asked, seconds.tolist(), strict=True)]
        return Condition(
            features.hidden, features.mask, features.position, emotion, intensity, torch.tensor(frames, device=device)
        )

    def _collect(
        self, requests: list[LineRequest], takes: list[_Take], frames: list[npt.NDArray[np.float32]]
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
                "checkpoint": self.checkpoint.name,
                "emotion_requested": request.emotion,
            }
            result.append(
                Clips(
                    np.stack(padded).astype(np.float32),
                    lengths,
                    np.array([takes[k].seed for k in rows], np.int64),
                    self._model.space,
                    request.text,
                    takes[rows[0]].emotion,
                    settings,
                    request.warnings,
                )
            )
        return result
