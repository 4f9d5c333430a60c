# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model as a performer: directions, lengths, passages that follow one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from ..checkpoint import Checkpoint
from ..conditioning import length_features
from ..direction.brackets import SILENCE
from ..direction.nearest import NearestDirection
from ..direction.script import Part, WeightsOf, write_script
from ..emotions import EMOTIONS
from ..line_statistics import line_statistics
from ..requests import MAX_LINE_SECONDS, MAX_SECONDS, MIN_SECONDS, LineRequest
from ..shared.spaces import ARKIT55
from ..shared.timeline import LANGUAGES, Timeline
from ..speech.language import guess
from ..text import TextEncoder
from .asked import Asked, told
from .continuity import Passage, Performance, sample_performances
from .lineage import ancestor
from .passages import filled, fitted, own_frames
from .passages import passages as lay_out
from .performer import Performed, Performer, Take
from .sampling import STREAM_LENGTH, TakeSeed
from .speaking import read_parts, say_parts

#: Of the predicted spread of lengths, so much is drawn: an animator has a place for a line, and takes that differ in
#: pace by less are easier to compare. The full spread is the teacher's.
LENGTH_SPREAD: Final = 0.35


@dataclass(frozen=True, eq=False)
class _Laid:
    """What takes that share a timing do: their parts, the passages these are decoded in, and what is said."""

    parts: tuple[Part, ...]
    passages: tuple[Passage, ...]
    timeline: Timeline | None = None
    warnings: tuple[str, ...] = ()


class CtegPerformer(Performer):
    """The default model: emotion and intensity can be asked for, and the line's length is predicted."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        super().__init__(checkpoint.name, encoder, checkpoint.generator.decoder.space)
        self.checkpoint = checkpoint
        self._model = checkpoint.generator.decoder
        self._nearest = NearestDirection(lambda words: np.asarray(encoder.encode(words).pooled().cpu()))

    def emotion_probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """What the words of each line say, as calibrated probabilities over the model's emotions, (B, K)."""
        reader = self.checkpoint.emotion
        if reader is None:  # nobody fitted one: plain lines
            return np.eye(len(EMOTIONS), dtype=np.float32)[[0] * len(lines)]
        return reader.probabilities(self.encoder, lines).cpu().numpy()

    def _scripts(self, requests: list[LineRequest]) -> list[tuple[Part, ...]]:
        return [write_script(request, self.emotion_probabilities, self._nearest.find) for request in requests]

    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[Performed]:
        laid = self._laid(takes)
        rows = [
            Performance(
                lay.passages, take.seed, take.words, take.request.temperature, _is_fixed(take.request, lay),
                take.request.origin,
            )
            for take, lay in zip(takes, laid, strict=True)
        ]  # fmt: skip
        frames = sample_performances(self._model, self.encoder, rows, on_step)
        return [
            Performed(values, lay.parts, tuple(passage.start for passage in lay.passages), lay.timeline, lay.warnings)
            for values, lay in zip(frames, laid, strict=True)
        ]

    def _laid(self, takes: list[Take]) -> list[_Laid]:
        """When each take does what; takes of a line share it, but for those that are timed by their own seeds."""
        speaks = {line: self._speaks(take) for line, take in {take.line: take for take in takes}.items()}
        keys = [(take.line, _timing_seed(take, speaks[take.line])) for take in takes]
        first = dict(zip(reversed(keys), reversed(takes), strict=True))
        unsaid = [key for key in first if not speaks[key[0]]]
        own = dict(zip(unsaid, self._own([first[key] for key in unsaid]), strict=True)) if unsaid else {}
        laid = {}
        for key, take in first.items():
            if key in own:
                laid[key] = self._lay_out(take, *own[key], layered=False)
            else:
                spoken = say_parts(take.request, take.parts, key[1], self._model.space.fps)
                passages = self._lay_out(take, spoken.parts, spoken.own, layered=True)
                laid[key] = replace(passages, timeline=spoken.timeline, warnings=spoken.warnings)
        return [laid[key] for key in keys]

    def _lay_out(self, take: Take, parts: tuple[Part, ...], own: Sequence[int], *, layered: bool) -> _Laid:
        fps, config, request = self._model.space.fps, self._model.config, take.request
        passages = lay_out(
            parts,
            own,
            fps,
            config.weights_of,
            request.energy,
            request.speaking,
            turns=config.knows_when,
            layered=layered,
        )
        return _Laid(parts, passages)

    def _speaks(self, take: Take) -> bool:
        """Whether a take's words are said by a layer of their own."""
        request = take.request
        layered = self.checkpoint.layered and self.space is ARKIT55 and request.layered and request.speaking
        return layered and bool(read_parts(request, take.parts).words)

    def _own(self, takes: list[Take]) -> list[tuple[tuple[Part, ...], list[int]]]:
        """Passages of each take and the frames each has for itself, by the length that is predicted or asked for."""
        seconds, fps = iter(self._seconds(takes)), self._model.space.fps
        result = []
        for take in takes:
            parts, request = take.parts, take.request
            own = own_frames([round(next(seconds) * fps) for _ in parts], fps)
            wanted = request.seconds if request.timeline is None else request.timeline.seconds
            if wanted is not None:
                total = round(wanted * fps)
                if wanted > MAX_SECONDS:
                    parts, own = filled(parts, own, total, fps)
                own = fitted(own, total)
            elif sum(own) > MAX_LINE_SECONDS * fps:
                own = fitted(own, round(MAX_LINE_SECONDS * fps))
            result.append((parts, own))
        return result

    @torch.inference_mode()
    def _seconds(self, takes: list[Take]) -> list[float]:
        """How long each passage of each take would last alone, in the order of takes and passages."""
        rows = [(take, k, part) for take in takes for k, part in enumerate(take.parts)]
        device = self.encoder.device
        features = self.encoder.encode([part.text for _, _, part in rows])
        statistics = torch.tensor([line_statistics(part.text) for _, _, part in rows], device=device)
        asked = [_asked(take.request, part, self._model.config.weights_of) for take, _, part in rows]
        seeds = [TakeSeed(_length_seed(take), take.words, k) for take, k, _ in rows]
        noise = [float(seed.rng(STREAM_LENGTH).standard_normal()) for seed in seeds]
        heat = torch.tensor([LENGTH_SPREAD * min(take.request.temperature, 1.0) for take, _, _ in rows], device=device)
        rate = torch.tensor([take.request.rate for take, _, _ in rows], device=device)
        condition = told(self._model.config, features, asked, torch.zeros(len(rows), device=device))
        lengths = self.checkpoint.generator.length(
            features.pooled(), statistics, length_features(condition, self._model.config)
        )
        seconds = lengths.sample(torch.tensor(noise, device=device), heat) / rate
        return [float(s) for s in seconds.clamp(MIN_SECONDS, MAX_SECONDS).tolist()]

    def _warnings(self, request: LineRequest, performed: list[Performed]) -> tuple[str, ...]:
        warnings = list(super()._warnings(request, performed))
        most = round(MAX_LINE_SECONDS * self.space.fps)  # the stop rule may end a take a little earlier
        longest = max(performed, key=lambda take: len(take.frames))
        hurried = longest.starts[-1] + 1 < len(longest.frames) > most - self.space.fps
        if longest.timeline is None and request.seconds is None and hurried:
            warnings.append(
                f"The line takes longer than {MAX_LINE_SECONDS:g} s and was hurried; split it into several lines."
            )
        if request.timeline is not None and longest.timeline is None:
            warnings.append("The timeline decided the length only: nothing is said, or the face has one layer.")
        language = guess(request.text) if request.language == "auto" else request.language
        if language != "en" and request.emotion == "auto":
            name = LANGUAGES.get(language, language)
            warnings.append(f"Emotions are read from English words only; choose one for this line in {name}.")
        if self._model.config.conditioning != "direction":
            if request.energy != 1.0:
                warnings.append(f"The checkpoint {self.name} does not know energy, so it was ignored.")
            if not request.speaking:
                warnings.append(f"The checkpoint {self.name} speaks every line; write '...' for a silent reaction.")
        return tuple(warnings)


def _asked(request: LineRequest, part: Part, weights_of: WeightsOf) -> Asked:
    """What is asked of a part on the whole."""
    speaking = request.speaking and part.text != SILENCE
    begin = Asked(part.weights(weights_of), part.intensity, request.energy, speaking)
    if part.emotion_to is None:
        return begin
    return begin.halfway(Asked(part.weights_to(weights_of), part.intensity_to, request.energy, speaking))


def _is_fixed(request: LineRequest, laid: _Laid) -> bool:
    """Whether a take has a length that it must keep."""
    return any(given is not None for given in (request.seconds, request.timeline, laid.timeline))


def _length_seed(take: Take) -> int:
    """The seed of the take that decides how long this one is."""
    seed = ancestor(take.request.origin)
    return take.seed if seed is None else seed


def _timing_seed(take: Take, speaks: bool) -> int:
    """The seed that times a take: the line's own, or that of the take that decides how long it is."""
    return take.request.timing if speaks and not take.request.vary_timing else _length_seed(take)
