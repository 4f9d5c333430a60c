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
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from .checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint
from .clips import Clips
from .continuity import Passage, Performance, sample_performances
from .direction.nearest import NearestDirection
from .direction.script import Part, write_script
from .errors import CheckpointError, EnvironmentProblem, GeneratorError, InputError
from .heads import line_statistics
from .requests import MAX_LINE_SECONDS, MAX_SECONDS, MIN_SECONDS, LineRequest
from .sampling import STREAM_LENGTH, TakeSeed
from .spaces import Space
from .spread import most_different
from .text import TextEncoder
from .timeline import filled, fitted, mean_emotion, own_frames
from .timeline import passages as lay_out

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
        parts: the line's passages; the emotion of the first is "auto" where the checkpoint cannot be told one.
        seed: the take's own.
    """

    line: int
    request: LineRequest
    parts: tuple[Part, ...]
    seed: int

    @property
    def words(self) -> str:
        """What is said, without stage directions."""
        return " ".join(part.text for part in self.parts)

    @property
    def source(self) -> TakeSeed:
        """Where its random numbers come from."""
        return TakeSeed(self.seed, self.words)


@dataclass(frozen=True, slots=True)
class Performed:
    """A take as it was decoded: ``frames`` (T, C), the passages it has, and the frame each of them starts at."""

    frames: npt.NDArray[np.float32]
    parts: tuple[Part, ...]
    starts: tuple[int, ...] = (0,)

    def segments(self) -> tuple[dict[str, Any], ...]:
        """The passages as the protocol writes them."""
        count = len(self.frames)
        edges = [min(start, count) for start in (*self.starts, count)]
        return tuple(part.to_json(a, b) for part, (a, b) in zip(self.parts, pairwise(edges), strict=True))


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
            performed: list[Performed] = []
            for start in range(0, len(takes), _BATCH):
                batch = takes[start : start + _BATCH]

                def on_step(done: int, steps: int, start: int = start, count: int = len(batch)) -> None:
                    report((start + count * done / steps) / len(takes), "performing")

                performed += self._decode(batch, on_step)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory("The device ran out of memory; ask for fewer takes or choose the cpu device.") from error
        return self._collect(requests, takes, performed)

    @abstractmethod
    def _scripts(self, requests: list[LineRequest]) -> list[tuple[Part, ...]]:
        """The passages each request is performed in; InputError where one cannot be performed at all."""

    @abstractmethod
    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[Performed]:
        """Each take as it is performed; ``on_step`` is called with (steps done, steps in all) and may raise."""

    def _warnings(self, request: LineRequest, performed: list[Performed]) -> tuple[str, ...]:
        """What the user should know about a line's takes."""
        warnings = list(request.warnings)
        longest = max(len(take.frames) for take in performed) / self.space.fps
        if request.branch and request.branch.frame >= longest * self.space.fps:
            warnings.append(
                f"The take of seed {request.branch.seed} has no frame {request.branch.frame}; nothing was changed."
            )
        if request.rate != 1.0 and request.seconds is not None:
            warnings.append("The speaking rate has no effect where a length in seconds is given.")
        return tuple(warnings)

    def _plan(self, requests: list[LineRequest]) -> list[Take]:
        for request in requests:
            if self.encoder.unknown_share(request.text) > 0.5 and any(c.isalpha() for c in request.text):
                raise InputError("The text encoder knows few of the line's words; write it in English.")
        return [
            Take(index, request, parts, request.seed + k)
            for index, (request, parts) in enumerate(zip(requests, self._scripts(requests), strict=True))
            for k in range(request.drawn)
        ]

    def _collect(self, requests: list[LineRequest], takes: list[Take], performed: list[Performed]) -> list[Clips]:
        result = []
        for index, request in enumerate(requests):
            rows = [k for k, take in enumerate(takes) if take.line == index]
            if request.spread:
                rows = [rows[k] for k in most_different([performed[k].frames for k in rows], request.takes)]
            kept = [performed[k] for k in rows]
            lengths = np.array([len(take.frames) for take in kept], np.int64)
            longest = int(lengths.max())
            # Padded with the last frame, so that a reader who forgets `lengths` sees a face at rest, not a jump.
            padded = [np.pad(take.frames, ((0, longest - len(take.frames)), (0, 0)), mode="edge") for take in kept]
            result.append(
                Clips(
                    np.stack(padded).astype(np.float32),
                    lengths,
                    np.array([takes[k].seed for k in rows], np.int64),
                    self.space,
                    request.text,
                    _leading_emotion(kept[0]),
                    self._settings(request),
                    self._warnings(request, kept),
                    tuple(take.segments() for take in kept),
                )
            )
        return result

    def _settings(self, request: LineRequest) -> dict[str, Any]:
        return {
            "intensity": request.intensity,
            "temperature": request.temperature,
            "seconds": request.seconds,
            "checkpoint": self.name,
            "emotion_requested": request.emotion,
            "emotion_to": request.emotion_to,
            "rate": request.rate,
            "spread": request.spread,
            "branch": request.branch and asdict(request.branch),
            "vary": request.vary and asdict(request.vary),
        }


def _leading_emotion(take: Performed) -> str:
    """The emotion that a take shows longest; of the first passage where several do."""
    shown: dict[str, int] = {}
    for segment in take.segments():
        shown[segment["emotion"]] = shown.get(segment["emotion"], 0) + segment["end"] - segment["start"]
    return max(shown, key=lambda name: shown[name])


class CtegPerformer(Performer):
    """The default model: emotion and intensity can be asked for, and the line's length is predicted."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        super().__init__(checkpoint.name, encoder, checkpoint.generator.decoder.space)
        self.checkpoint = checkpoint
        self._model = checkpoint.generator.decoder
        self._nearest = NearestDirection(lambda words: np.asarray(encoder.encode(words).pooled().cpu()))

    def emotion_probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """What the words of each line say, as calibrated probabilities over the basic emotions, (B, 7)."""
        with torch.inference_mode():
            logits: torch.Tensor = self.checkpoint.generator.emotion(self.encoder.encode(lines).pooled())
            return logits.softmax(-1).cpu().numpy()

    def _scripts(self, requests: list[LineRequest]) -> list[tuple[Part, ...]]:
        return [write_script(request, self.emotion_probabilities, self._nearest.find) for request in requests]

    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[Performed]:
        timelines = self._timelines(takes)
        rows = []
        for take in takes:
            request = take.request
            _, passages = timelines[take.line, _timing_seed(take)]
            fixed = request.seconds is not None
            rows.append(
                Performance(
                    passages, take.seed, take.words, request.temperature, fixed, request.branch, request.vary
                )
            )  # fmt: skip
        frames = sample_performances(self._model, self.encoder, rows, on_step)
        return [
            Performed(values, timelines[take.line, _timing_seed(take)][0], tuple(p.start for p in row.passages))
            for values, take, row in zip(frames, takes, rows, strict=True)
        ]

    def _timelines(self, takes: list[Take]) -> dict[tuple[int, int], tuple[tuple[Part, ...], tuple[Passage, ...]]]:
        """Passages with their frames for each line and seed that times it."""
        timed = {(take.line, _timing_seed(take)): take for take in takes}
        seconds = iter(self._seconds(list(timed.values())))
        fps = self._model.space.fps
        result = {}
        for key, take in timed.items():
            parts, request = take.parts, take.request
            own = own_frames([round(next(seconds) * fps) for _ in parts], fps)
            if request.seconds is not None:
                total = round(request.seconds * fps)
                if request.seconds > MAX_SECONDS:
                    parts, own = filled(parts, own, total, fps)
                own = fitted(own, total)
            elif sum(own) > MAX_LINE_SECONDS * fps:
                own = fitted(own, round(MAX_LINE_SECONDS * fps))
            result[key] = parts, lay_out(parts, own, fps)
        return result

    @torch.inference_mode()
    def _seconds(self, takes: list[Take]) -> list[float]:
        """How long each passage of each take would last alone, in the order of takes and passages."""
        rows = [(take, k, part) for take in takes for k, part in enumerate(take.parts)]
        device = self.encoder.device
        features = self.encoder.encode([part.text for _, _, part in rows])
        statistics = torch.tensor([line_statistics(part.text) for _, _, part in rows], device=device)
        emotion = torch.from_numpy(np.stack([mean_emotion(part) for _, _, part in rows])).to(device)
        intensity = torch.tensor([part.intensity for _, _, part in rows], device=device)
        seeds = [TakeSeed(_timing_seed(take), take.words, k) for take, k, _ in rows]
        noise = [float(seed.rng(STREAM_LENGTH).standard_normal()) for seed in seeds]
        heat = torch.tensor([min(take.request.temperature, 1.0) for take, _, _ in rows], device=device)
        rate = torch.tensor([take.request.rate for take, _, _ in rows], device=device)
        lengths = self.checkpoint.generator.length(features.pooled(), statistics, emotion, intensity)
        seconds = lengths.sample(torch.tensor(noise, device=device), heat) / rate
        return [float(s) for s in seconds.clamp(MIN_SECONDS, MAX_SECONDS).tolist()]

    def _warnings(self, request: LineRequest, performed: list[Performed]) -> tuple[str, ...]:
        warnings = list(super()._warnings(request, performed))
        most = round(MAX_LINE_SECONDS * self.space.fps)
        if request.seconds is None and any(take.starts[-1] + 1 < len(take.frames) == most for take in performed):
            warnings.append(
                f"The line takes longer than {MAX_LINE_SECONDS:g} s and was hurried; split it into several lines."
            )
        return tuple(warnings)


def _timing_seed(take: Take) -> int:
    """The seed of the take that decides how long this one is."""
    given = take.request.branch or take.request.vary
    return given.seed if given else take.seed


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
