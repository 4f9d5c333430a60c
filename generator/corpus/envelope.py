# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a feeling shows over time: onset, swells, partial relaxations, a living hold."""

from __future__ import annotations

from typing import Final

import numpy as np

from .curves import Floats, pulses, track
from .plan import Plan
from .recipes import Numbers

_EPISODE: Final = Numbers("episode")
#: How far swells may carry a feeling above its level.
_OVER: Final = 0.2


class Envelope:
    """The course of one take's feeling, before its release."""

    def __init__(self, plan: Plan, emotion: str, rng: np.random.Generator) -> None:
        """Draws moves and swells; ``emotion`` is the leading one (surprise does not last)."""
        spoken = plan.utterance
        arrived = plan.onset + plan.onset_seconds
        moves = [(max(plan.onset - 0.5 * plan.onset_seconds, 0.02), 0.3, plan.early)] if plan.early else []
        moves.append((plan.onset, plan.onset_seconds, _EPISODE.draw(rng, "peak")))
        if emotion == "surprise":
            fades = arrived + _EPISODE.draw(rng, "surprise_lasts")
            if fades < plan.release - 0.5:
                moves.append((fades, float(rng.uniform(0.4, 0.8)), _EPISODE.draw(rng, "surprise_fades_to")))
        for phrase in spoken.phrases[1:]:
            if phrase.start > arrived:
                moves.append((phrase.start - 0.25, float(rng.uniform(0.28, 0.5)), _EPISODE.draw(rng, "phrase_level")))
        # Most feelings come out fully once the words are out of the way.
        after = max(spoken.end - 0.1, plan.onset + 0.3)
        if spoken.phrases:
            moves.append((after, float(rng.uniform(0.25, 0.45)), _EPISODE.draw(rng, "after_words")))
        # Nothing is held for long: it lets go a little and comes back.
        time = max(after, arrived) + _EPISODE.draw(rng, "relax_every")
        low = True
        while time < plan.release - 0.5:
            level = _EPISODE.draw(rng, "relax_to" if low else "peak")
            moves.append((time, _EPISODE.draw(rng, "relax_seconds"), level))
            time += 0.6 * _EPISODE.draw(rng, "relax_every") + 0.3
            low = not low
        if plan.trace is not None:
            moves = [move for move in moves if move[0] < plan.release - 0.05]
            moves.append((plan.release, _EPISODE.draw(rng, "sink_seconds"), plan.trace))
        self._moves = np.array(sorted(moves))
        felt = (spoken.accents > plan.onset) & (spoken.accents < plan.release)
        self._swells = spoken.accents[felt]
        # The words that matter are where a feeling shows most.
        self._swell_sizes = rng.uniform(*_EPISODE.range("swell"), size=len(self._swells)) * spoken.accent_sizes[felt]

    def __call__(self, t: Floats) -> Floats:
        """Level at times ``t``: about 0..1.15, shape of ``t``."""
        moved = track(t, self._moves[:, 0], self._moves[:, 1], self._moves[:, 2])
        level: Floats = np.maximum(moved + pulses(t, self._swells + 0.04, 0.18, 0.45, self._swell_sizes), 0.0)
        # Accents that follow one another do not add up to a poster.
        return np.where(level > 1.0, 1.0 + _OVER * np.tanh((level - 1.0) / _OVER), level)
