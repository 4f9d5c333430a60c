# SPDX-License-Identifier: GPL-3.0-or-later
"""Head motion: posture of the emotion, a new angle per phrase, nods, shakes and tilts, slow sway. Radians."""

from __future__ import annotations

import numpy as np

from ..shared.easing import minimum_jerk
from .curves import Floats, drift, pulses, track
from .recipes import Manner, Numbers
from .utterance import Utterance

_HEAD = Numbers("head")
_EMPHASIS = Numbers("emphasis")


def head_motion(
    rng: np.random.Generator,
    t: Floats,
    manner: Manner,
    posture: Floats,
    side: float,
    utterance: Utterance,
    energy: float,
    lift: bool,
) -> Floats:
    """Pitch (down), yaw (left), roll (to the right) over time, shape (T, 3).

    Args:
        posture: pitch, yaw and roll of what is felt, (T, 3); yaw and roll away to ``side`` (+1 or -1).
        energy: size of gestures, 1 natural.
        lift: stressed words lift the head (surprise) instead of nodding.
    """
    gain = manner.head * energy
    pitch = posture[:, 0]
    yaw = posture[:, 1] * side
    # Tilting to the side one has turned away from reads as shy or fond; the other way as doubtful. Both happen.
    tilt_side = side if rng.random() < 0.7 else -side
    roll = posture[:, 2] * tilt_side
    starts = np.array([max(p.start - 0.12, 0.0) for p in utterance.phrases])
    if len(starts) and rng.random() < _HEAD["settle_chance"]:
        # What was said sinks in: the head settles somewhere else.
        starts = np.append(starts, utterance.end + rng.uniform(-0.05, 0.25))
    if len(starts):
        durations = rng.uniform(0.5, 0.9, len(starts))
        poses = rng.normal(0.0, 1.0, (len(starts), 3)) * np.array(_HEAD.list("phrase_pose")) * (0.5 + 0.5 * gain)
        pitch = pitch + track(t, starts, durations, poses[:, 0])
        yaw = yaw + track(t, starts, durations, poses[:, 1])
        roll = roll + track(t, starts, durations, poses[:, 2])
        # A breath lifts the head a little before each phrase.
        pitch = pitch - pulses(t, starts, 0.4, 0.7, np.full(len(starts), 0.022))
    accents = utterance.accents
    if len(accents):
        sizes = utterance.accent_sizes * gain * rng.uniform(0.65, 1.3, len(accents))
        kind = rng.random(len(accents))
        nod = np.where(kind < _EMPHASIS["nod_chance"], _EMPHASIS["nod"], 0.02) * (-0.7 if lift else 1.0)
        pitch = pitch + pulses(t, accents + 0.05, 0.15, 0.6, nod * sizes)
        # A small wind-up against the nod makes it land.
        pitch = pitch - pulses(t, accents - 0.12, 0.3, 0.14, _EMPHASIS["wind_up"] * nod * sizes)
        yaw = yaw + pulses(
            t, accents + 0.05, 0.16, 0.6, np.where(kind >= _EMPHASIS["nod_chance"], 0.08, 0.0) * sizes * side
        )
        roll = roll + pulses(t, accents + 0.05, 0.17, 0.6, rng.normal(0.0, 0.02, len(accents)) * sizes)
    for phrase in utterance.phrases:
        if phrase.mark == "?":
            begin = phrase.start + 0.5 * (phrase.end - phrase.start)
            rise = minimum_jerk((t - begin) / 0.45) * (1.0 - minimum_jerk((t - phrase.end - 0.7) / 0.6))
            roll = roll + rise * _HEAD.draw(rng, "question_tilt") * tilt_side * (0.6 + 0.4 * energy)
            pitch = pitch - rise * rng.uniform(0.0, 0.06)
    for time in utterance.shakes:
        if rng.random() < 0.7:
            yaw = yaw + _shake(
                t, float(time) - 0.18, rng.uniform(0.6, 1.0), _HEAD.draw(rng, "shake_hz")
            ) * side * _HEAD.draw(rng, "shake") * (0.5 + 0.5 * gain)
    for time in utterance.nods:
        if rng.random() < 0.75:
            beats = time + np.array([0.02, 0.34])
            size = _HEAD["nods"] if not utterance.heard else _HEAD.draw(rng, "listening_nod")
            pitch = pitch + pulses(t, beats, 0.15, 0.19, np.array([1.0, 0.55]) * size * (0.5 + 0.5 * gain))
    # A slow breath moves the head of whoever does not speak.
    breath = float(rng.uniform(0.22, 0.32))
    sigh = _HEAD["breath"] * (0.3 if utterance.phrases else 1.0)
    pitch = pitch + sigh * np.sin(2.0 * np.pi * (breath * t + rng.random()))
    wander = drift(rng, t, 3) * np.array(_HEAD.list("sway"))[:, None] * manner.sway
    result: Floats = np.stack([pitch + wander[0], yaw + wander[1], roll + wander[2]], axis=1)
    return result


def _shake(t: Floats, start: float, seconds: float, frequency: float) -> Floats:
    x = (t - start) / seconds
    window = minimum_jerk(x * 4.0) * (1.0 - minimum_jerk((x - 0.55) / 0.45))
    result: Floats = window * np.sin(2.0 * np.pi * frequency * (t - start))
    return result
