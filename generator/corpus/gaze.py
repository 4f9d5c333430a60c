# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaze and blinks that belong to the thought.

Gaze is planned in the world (radians, 0 is the partner) and the eyes make up for the head's rotation, so looking at
somebody while turning the head keeps the eyes on them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..direction import Role
from ..shared.easing import minimum_jerk
from .curves import Floats, track
from .plan import Plan
from .recipes import Manner, Numbers

_GAZE: Final = Numbers("gaze")
_BLINKS: Final = Numbers("blinks")
#: Radians of eye rotation at coefficient 1.
EYE_RANGE: Final = _GAZE["eye_range"]
#: The ocular muscles leave larger turns to the head.
_COMFORT: Final = _GAZE["comfort"]


@dataclass(frozen=True)
class GazePlan:
    """Fixations: ``times`` (n,) s, ``targets`` (n, 2) pitch (down) and yaw (to the character's left), radians."""

    times: Floats
    targets: Floats

    def far(self, least: float) -> list[int]:
        """Fixations that are farther than ``least`` radians from the last one of that kind."""
        last, found = np.zeros(2), []
        for number, target in enumerate(self.targets):
            if np.abs(target - last).sum() > least:
                last = target
                found.append(number)
        return found


def plan_gaze(
    rng: np.random.Generator,
    manner: Manner,
    rest: tuple[float, float],
    side: float,
    plan: Plan,
    turn: tuple[float, float, float] | None = None,
    role: Role = "speaking",
) -> GazePlan:
    """Fixations of a take; ``rest`` is the emotion's own gaze (pitch, yaw to ``side``).

    ``turn`` is when the performance moves to another emotion, and that one's gaze (time, pitch, yaw). Who listens
    looks at the partner, mostly.
    """
    onset, utterance, stop = plan.onset, plan.utterance, min(plan.lives_until, plan.seconds)
    steady = 0.15 if role == "listening" else 1.0
    fixations: list[tuple[float, float, float]] = []

    def look(time: float, pitch: float, yaw: float) -> None:
        fixations.append((time, pitch, yaw))

    home = (0.0, 0.0)
    scale = rng.uniform(0.6, 1.2, 2)
    drawn = (rest[0] * scale[0], side * rest[1] * scale[1])
    dwells = abs(drawn[0]) + abs(drawn[1]) > 0.05
    if rng.random() < _GAZE["thought_first"] * (1.0 - manner.dart) * steady:
        # The line comes out of a thought: eyes away first, then to the partner.
        look(0.0, rng.uniform(-0.12, 0.18), rng.choice((-1.0, 1.0)) * rng.uniform(0.08, 0.28))
        if not dwells:
            look(onset + rng.uniform(0.0, 0.25), *home)
    if dwells:
        look(onset + rng.uniform(-0.05, 0.2), *drawn)
        if role == "listening":
            look(onset + rng.uniform(0.6, 1.3), *home)
    for begin, back in plan.thoughts:
        # A beat of thought: away before the clause, up or down and aside, back before its end.
        away = rng.choice((-1.0, 1.0)) * rng.uniform(*_GAZE.range("thought_yaw"))
        look(begin, rng.choice((-1.0, 1.0)) * rng.uniform(*_GAZE.range("thought_pitch")), away)
        look(back, *home)
    for phrase in utterance.phrases:
        start, end, mark = phrase.start, phrase.end, phrase.mark
        if turn is not None and start > turn[0]:
            drawn = (turn[1], side * turn[2])
            dwells = abs(drawn[0]) + abs(drawn[1]) > 0.05
        if dwells and rng.random() < 0.5:
            look(start + rng.uniform(0.0, 0.4) * (end - start), *(home if rng.random() < 0.65 else drawn))
        elif rng.random() < manner.avert * _GAZE["avert_within"]:
            look(
                start + rng.uniform(0.0, 0.3) * (end - start),
                drawn[0] + rng.uniform(-0.08, 0.15),
                drawn[1] + rng.normal(0.0, 0.17),
            )
            look(start + rng.uniform(0.55, 0.95) * (end - start), *home)
        if mark == "…":
            look(end - 0.05, rng.uniform(0.0, 0.25), side * rng.uniform(0.1, 0.3))
        elif mark in ("?", "!") and rng.random() < 0.8:
            look(end - rng.uniform(0.2, 0.4), *home)
    for time in utterance.hesitations:
        # Looking for a word: up or down and aside, back when it is found.
        away = rng.choice((-1.0, 1.0)) * rng.uniform(0.15, 0.32)
        look(float(time) - 0.12, rng.choice((-0.2, 0.16)) * rng.uniform(0.6, 1.2), away)
        look(float(time) + rng.uniform(0.35, 0.7), *home)
    if turn is not None:
        # The thought that changes everything is looked for aside, then the new feeling takes the eyes.
        look(turn[0] - 0.1, rng.uniform(0.0, 0.2), side * rng.uniform(0.1, 0.25))
        drawn = (turn[1], side * turn[2])
        look(turn[0] + rng.uniform(0.3, 0.6), *drawn)
    for time in np.arange(0.35, stop, 0.42):
        if rng.random() < 0.6 * manner.dart * max(steady, 0.4):
            look(float(time) + rng.uniform(0.0, 0.25), rng.normal(0.0, 0.07), rng.normal(0.0, 0.17))
    if rng.random() < 0.7:
        look(stop - rng.uniform(0.15, 0.6), *(home if rng.random() < 0.6 else drawn))
    fixations += _idle(rng, sorted(f for f in fixations if f[0] < stop), stop, 0.4 if role == "listening" else 1.0)
    fixations = sorted(f for f in fixations if f[0] < stop)
    kept: list[tuple[float, float, float]] = []
    for fixation in fixations:
        if not kept or fixation[0] - kept[-1][0] > 0.18:
            kept.append(fixation)
    array = np.array(kept).reshape(-1, 3)
    return GazePlan(array[:, 0], array[:, 1:])


def _idle(
    rng: np.random.Generator, fixations: list[tuple[float, float, float]], stop: float, size: float
) -> list[tuple[float, float, float]]:
    """Small shifts wherever the eyes would rest for long: from one eye of the partner to the other, to the mouth."""
    found: list[tuple[float, float, float]] = []
    edges = [(0.0, 0.0, 0.0), *fixations, (stop, 0.0, 0.0)]
    for (time, pitch, yaw), following in itertools.pairwise(edges):
        time += float(rng.uniform(*_GAZE.range("idle_every")))
        while time < following[0] - 0.3:
            found.append((time, pitch + size * rng.normal(0.0, 0.035), yaw + size * rng.normal(0.0, 0.06)))
            time += float(rng.uniform(*_GAZE.range("idle_every")))
    return found


def world_gaze(plan: GazePlan, t: Floats, speed: float, stop: float, rng: np.random.Generator) -> Floats:
    """Where the eyes look over time, (T, 2) radians: saccades of 60-110 ms, quicker with ``speed`` above 1.

    Fixations are alive: tiny saccades that a viewer sees as a living eye, until ``stop``.
    """
    gaps = rng.uniform(*_GAZE.range("micro_every"), size=max(int(t[-1] / 0.5), 1))
    times = 0.3 + np.cumsum(gaps)
    small = rng.normal(0.0, _GAZE["micro"], (len(times), 2))
    small[times > stop] = 0.0
    result = np.stack([track(t, times, np.full(len(times), 0.04), small[:, axis]) for axis in (0, 1)], axis=1)
    if len(plan.times):
        size = np.abs(np.diff(plan.targets, axis=0, prepend=np.zeros((1, 2)))).sum(axis=1)
        durations = (_GAZE["saccade_seconds"] + _GAZE["saccade_seconds_per_radian"] * size) / speed
        for axis in (0, 1):
            result[:, axis] += track(t, plan.times, durations, plan.targets[:, axis])
    return result


def eye_channels(gaze: Floats, head: Floats) -> dict[str, Floats]:
    """eyeLook coefficients of both eyes from world gaze (T, 2) and head rotation (T, 3): one point, two eyes."""
    pitch = _COMFORT * np.tanh((gaze[:, 0] - head[:, 0]) / _COMFORT) / EYE_RANGE
    yaw = _COMFORT * np.tanh((gaze[:, 1] - head[:, 1]) / _COMFORT) / EYE_RANGE
    down, up = np.maximum(pitch, 0.0), np.maximum(-pitch, 0.0)
    left, right = np.maximum(yaw, 0.0), np.maximum(-yaw, 0.0)
    return {
        "eyeLookDownLeft": down, "eyeLookDownRight": down, "eyeLookUpLeft": up, "eyeLookUpRight": up,
        "eyeLookOutLeft": left, "eyeLookInRight": left, "eyeLookInLeft": right, "eyeLookOutRight": right,
    }  # fmt: skip


def plan_blinks(
    rng: np.random.Generator, rate: float, stop: float, gaze: GazePlan, phrase_ends: list[float], forced: list[float]
) -> Floats:
    """Times of blinks before ``stop``: as many as the rate asks for, most at phrase ends and with gaze shifts.

    Args:
        rate: blinks per minute.
        forced: blinks that happen for a reason of their own (startles).
    """
    taken = [f for f in forced if 0.05 < f < stop]
    due = len(taken)
    count = int(rng.poisson(rate * (stop + 1.0) / 60.0))
    shifts = (
        np.abs(np.diff(gaze.targets, axis=0, prepend=np.zeros((1, 2)))).sum(axis=1) if len(gaze.times) else np.zeros(0)
    )
    moved = [(float(x) + 0.03, float(size)) for x, size in zip(gaze.times, shifts, strict=True) if x > 0.15]
    for spot, size in moved:
        free = all(abs(spot - other) > _BLINKS["apart"] for other in taken)
        if size > _BLINKS["large_shift"] and free and spot < stop and rng.random() < _BLINKS["with_large_shift"]:
            taken.append(spot)
    spots = [spot for spot, size in moved if size > 0.16]
    spots += [e + float(rng.uniform(0.0, 0.15)) for e in phrase_ends]
    for _ in range(4 * count):
        if len(taken) >= max(count, due):
            break
        eventful = spots and rng.random() < _BLINKS["with_events"]
        spot = spots[int(rng.integers(len(spots)))] if eventful else float(rng.uniform(0.1, stop))
        if 0.08 < spot < stop and all(abs(spot - other) > _BLINKS["apart"] for other in taken):
            taken.append(spot)
    return np.sort(np.array(taken))


def blink_curve(rng: np.random.Generator, times: Floats, t: Floats, fps: float, slow: float) -> Floats:
    """Lid closure of blinks 0..1, (T,): they close faster than they open; each peak falls on a frame."""
    closure = np.zeros(len(t))
    for time in times:
        peak = np.round(time * fps) / fps
        close = _BLINKS.draw(rng, "close_seconds") * slow
        reopen = _BLINKS.draw(rng, "open_seconds") * slow
        depth = _BLINKS.draw(rng, "depth")
        x = t - peak
        shape = np.where(x <= 0.0, minimum_jerk(x / close + 1.0), 1.0 - minimum_jerk((x - 0.02) / reopen))
        closure = np.maximum(closure, depth * shape)
    return closure
