# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model as a performer: directions, lengths, passages that follow one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from ..checkpoint import Checkpoint
from ..conditioning import length_features
from ..direction.brackets import SILENCE
from ..direction.nearest import NearestDirection
from ..direction.script import Part, WeightsOf, write_script
from ..line_statistics import line_statistics
from ..requests import MAX_LINE_SECONDS, MAX_SECONDS, MIN_SECONDS, LineRequest
from ..text import TextEncoder
from .asked import Asked, told
from .continuity import Passage, Performance, sample_performances
from .lineage import ancestor
from .performer import Performed, Performer, Take
from .sampling import STREAM_LENGTH, TakeSeed
from .timeline import filled, fitted, own_frames
from .timeline import passages as lay_out

#: Of the predicted spread of lengths, so much is drawn: an animator has a place for a line, and takes that differ in
#: pace by less are easier to compare. The full spread is the teacher's.
LENGTH_SPREAD: Final = 0.35


class CtegPerformer(Performer):
    """The default model: emotion and intensity can be asked for, and the line's length is predicted."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        super().__init__(checkpoint.name, encoder, checkpoint.generator.decoder.space)
        self.checkpoint = checkpoint
        self._model = checkpoint.generator.decoder
        self._nearest = NearestDirection(lambda words: np.asarray(encoder.encode(words).pooled().cpu()))

    def emotion_probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """What the words of each line say, as calibrated probabilities over the model's emotions, (B, K)."""
        with torch.inference_mode():
            features = self.encoder.encode(lines)
            logits: torch.Tensor = self.checkpoint.generator.emotion(features.hidden, features.mask)
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
            rows.append(Performance(passages, take.seed, take.words, request.temperature, fixed, request.origin))
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
            config = self._model.config
            result[key] = (
                parts,
                lay_out(parts, own, fps, config.weights_of, request.energy, request.speaking, turns=config.knows_when),
            )
        return result

    @torch.inference_mode()
    def _seconds(self, takes: list[Take]) -> list[float]:
        """How long each passage of each take would last alone, in the order of takes and passages."""
        rows = [(take, k, part) for take in takes for k, part in enumerate(take.parts)]
        device = self.encoder.device
        features = self.encoder.encode([part.text for _, _, part in rows])
        statistics = torch.tensor([line_statistics(part.text) for _, _, part in rows], device=device)
        asked = [_asked(take.request, part, self._model.config.weights_of) for take, _, part in rows]
        seeds = [TakeSeed(_timing_seed(take), take.words, k) for take, k, _ in rows]
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
        if request.seconds is None and hurried:
            warnings.append(
                f"The line takes longer than {MAX_LINE_SECONDS:g} s and was hurried; split it into several lines."
            )
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


def _timing_seed(take: Take) -> int:
    """The seed of the take that decides how long this one is."""
    seed = ancestor(take.request.origin)
    return take.seed if seed is None else seed
