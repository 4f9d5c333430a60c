# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a take: what is felt when, what is said when, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from .mixture import Acting
from .sounds import BEFORE, LENGTHS
from .speech import Phrase, Script, Utterance, speak

#: Shortest and longest take, seconds.
MIN_SECONDS: Final = 1.0
MAX_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Plan:
    """Times in seconds from the first frame.

    Attributes:
        utterance: the spoken line (empty for a silent reaction).
        onset, onset_seconds: when the feeling starts to show, and how long it takes to arrive.
        early: level it holds before the onset (a feeling that dawns during the line starts from a trace).
        turn: when the second pattern takes over; None when there is only one.
        sounds: (kind, start, seconds) of laughs, sighs and the like.
        release: when the face begins to return to neutral.
        seconds: length of the take.
    """

    utterance: Utterance
    onset: float
    onset_seconds: float
    early: float
    turn: float | None
    sounds: tuple[tuple[str, float, float], ...]
    release: float
    seconds: float


def make_plan(
    script: Script, acting: Acting, intensity: float, seconds: float | None, rng: np.random.Generator
) -> Plan:
    """Draws a plan; with ``seconds`` the words, pauses and holds are fitted to that length (1..10 s)."""
    manner = acting.manner
    energy = 0.55 + 0.45 * intensity
    quick = 1.25 - 0.25 * intensity
    onset_seconds = float(np.clip(manner.onset * quick * rng.uniform(0.8, 1.25), 0.2, 0.75))
    before, after = _draw_sounds(acting, intensity, bool(script.words), rng)
    onset = float(rng.uniform(0.08, 0.22))
    # React and then speak, speak with the feeling, or let it arrive on the way.
    mode = rng.choice(3, p=(0.45, 0.4, 0.15)) if script.words else 0
    lead = (onset + onset_seconds * (0.55, 0.1, 0.0)[mode]) + float(rng.uniform(0.08, 0.28))
    sounds: list[tuple[str, float, float]] = []
    if before:
        length = float(rng.uniform(*LENGTHS[before]))
        sounds.append((before, onset + 0.05, length))
        lead = max(lead, onset + 0.05 + 0.85 * length)
    rate = manner.rate * (0.94 + 0.06 * intensity) * float(np.exp(rng.normal(0.0, 0.07)))
    hold = manner.hold * float(rng.uniform(0.45, 1.15)) * (0.75 + 0.25 * intensity)
    if not script.words:
        hold += float(rng.uniform(0.5, 1.4))
    after_length = float(rng.uniform(*LENGTHS[after])) if after else 0.0
    tail = max(hold, 0.9 * after_length + 0.15)
    fall = float(rng.uniform(0.5, 0.8))
    state = rng.bit_generator.state
    utterance = speak(script, rate, lead, manner.jaw * (0.75 + 0.25 * energy), rng)
    total = utterance.end + tail + fall
    wanted = float(np.clip(seconds if seconds is not None else total, MIN_SECONDS, MAX_SECONDS))
    if abs(wanted - total) > 0.5 / 24.0:
        # Silence gives way first, then speech, as an actor would do it.
        spoken = utterance.end - lead
        quiet = lead + tail + fall
        quiet_scale = float(np.clip((wanted - spoken) / quiet, 0.45, 2.2 if script.words else 20.0))
        speech_scale = (wanted - quiet * quiet_scale) / spoken if spoken > 0.0 else 1.0
        if speech_scale > 1.6:
            speech_scale = 1.6
            quiet_scale = (wanted - 1.6 * spoken) / quiet
        speech_scale = max(speech_scale, 0.2)
        rng.bit_generator.state = state
        lead, tail, fall = lead * quiet_scale, tail * quiet_scale, fall * min(quiet_scale, 1.3)
        onset *= min(quiet_scale, 1.0)
        sounds = [(k, s * quiet_scale, n * quiet_scale) for k, s, n in sounds]
        utterance = speak(script, rate / speech_scale, lead, manner.jaw * (0.75 + 0.25 * energy), rng)
        utterance = _fit(utterance, lead, lead + spoken * speech_scale)
        tail = max(wanted - fall - utterance.end, 0.05)
    if after:
        room = tail - 0.05
        sounds.append((after, utterance.end + 0.08, min(after_length, max(room, 0.3))))
    release = utterance.end + tail
    turn = None
    if acting.then is not None:
        turn = _turning_point(utterance, onset + onset_seconds, release, rng)
    early = 0.0
    if mode == 2 and len(utterance.accents):
        early = float(rng.uniform(0.2, 0.4))
        onset = max(
            onset, float(utterance.accents[int(rng.integers((len(utterance.accents) + 1) // 2))]) - 0.6 * onset_seconds
        )
    return Plan(utterance, onset, onset_seconds, early, turn, tuple(sounds), release, wanted)


def _fit(utterance: Utterance, start: float, end: float) -> Utterance:
    """The same reading squeezed or stretched to lie between ``start`` and ``end``."""
    if utterance.end <= utterance.start:
        return utterance
    scale = (end - start) / (utterance.end - utterance.start)

    def move(x: float) -> float:
        return start + (x - utterance.start) * scale

    return replace(
        utterance,
        centres=start + (utterance.centres - utterance.start) * scale,
        lengths=utterance.lengths * scale,
        phrases=tuple(Phrase(move(p.start), move(p.end), p.mark) for p in utterance.phrases),
        accents=start + (utterance.accents - utterance.start) * scale,
        shakes=start + (utterance.shakes - utterance.start) * scale,
        nods=start + (utterance.nods - utterance.start) * scale,
        start=start,
        end=end,
    )


def _draw_sounds(acting: Acting, intensity: float, spoken: bool, rng: np.random.Generator) -> tuple[str, str]:
    """A sound before the words and one after them, "" for none."""
    chosen = {"before": "", "after": ""}
    for kind in acting.first.sounds + (acting.then.sounds if acting.then else ()):
        # Both draws always happen, so that another intensity does not become another take.
        sounds, first = rng.random() < (0.25 + 0.3 * intensity) * (1.0 if spoken else 1.5), rng.random() < BEFORE[kind]
        if not sounds:
            continue
        place = "before" if first else "after"
        if not chosen[place]:
            chosen[place] = kind
    return chosen["before"], chosen["after"]


def _turning_point(utterance: Utterance, earliest: float, latest: float, rng: np.random.Generator) -> float:
    """When one pattern gives way to another: between phrases if there are several, else at an accent, or after all."""
    spots = [p.end for p in utterance.phrases[:-1]] or [float(a) for a in utterance.accents]
    spots.append(utterance.end)
    spot = float(spots[int(rng.integers(len(spots)))])
    return float(np.clip(spot, min(earliest + 0.2, latest - 0.4), latest - 0.4))
