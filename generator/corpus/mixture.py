# SPDX-License-Identifier: GPL-3.0-or-later
"""From a blend of emotions to something one face can do.

Averaging every recipe gives mush. People instead show known compound patterns, or let one emotion take the upper
face and another the lower, or go from one to the other; so does this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..direction.emotions import EMOTIONS
from .curves import Floats
from .recipes import COMPOUNDS, MANNERS, VARIANTS, Manner, Numbers, Variant

#: Below this share of the emotional weight an emotion only tints the performance.
_MINOR_SHARE = 0.25
_EPISODE = Numbers("episode")


@dataclass(frozen=True)
class Acting:
    """What a take shows.

    Attributes:
        first: the main pattern; then: a second one the face changes to during the line, or None.
        strengths: 0..1 per pattern, how far from neutral the blend is.
        manner: how it moves.
        emotion: the leading emotion of the first pattern.
        moves_on: the second pattern is another emotion, to which the performance moves for good.
    """

    first: Variant
    then: Variant | None
    strengths: tuple[float, float]
    manner: Manner
    emotion: str
    moves_on: bool = False


def choose(feelings: Floats, towards: Floats | None, rng: np.random.Generator) -> Acting:
    """Picks the patterns of one take for a blend over `EMOTIONS`, shape (14,), sum 1, and one to move to."""
    start = _choose(feelings, rng)
    if towards is None:
        return start
    goal = _choose(towards, rng)
    return Acting(
        start.first,
        goal.first,
        (start.strengths[0], goal.strengths[0]),
        _blend_manners(0.5 * (feelings + towards)),
        start.emotion,
        True,
    )


def _choose(weights: Floats, rng: np.random.Generator) -> Acting:
    shares = {name: float(w) for name, w in zip(EMOTIONS, weights, strict=True) if name != "neutral"}
    total = sum(shares.values())
    manner = _blend_manners(weights)
    if total < 0.15:
        return Acting(_pick(VARIANTS["neutral"], rng), None, (1.0, 1.0), manner, "neutral")
    strength = min(1.0, total**0.7 + 0.05)
    both = (strength, strength)
    ranked = sorted(shares, key=lambda name: -shares[name])
    lead, other = ranked[0], ranked[1]
    if shares[other] / total < _MINOR_SHARE:
        first = _pick(VARIANTS[lead], rng)
        tint = shares[other] / total
        if tint > 0.08:
            first = _tinted(first, _pick(VARIANTS[other], rng), 1.4 * tint)
        # The same feeling may take another shape when the thought moves on.
        then = _pick(VARIANTS[lead], rng) if rng.random() < _EPISODE["second_pattern_chance"] else first
        return Acting(first, None if then.name == first.name else then, both, manner, lead)
    compound = COMPOUNDS.get(frozenset({lead, other}))
    a, b = _pick(VARIANTS[lead], rng), _pick(VARIANTS[other], rng)
    pattern = _pick(compound, rng) if compound else _split_face(lead, a, other, b)
    draw = rng.random()
    if draw < 0.62 or (compound and draw < 0.75):
        return Acting(pattern, None, both, manner, lead)
    if draw < 0.88:
        # The feelings take turns: one breaks into the blend.
        return Acting(b, pattern, both, manner, lead)
    return Acting(pattern, a, both, manner, lead)


def _pick(variants: tuple[Variant, ...], rng: np.random.Generator) -> Variant:
    chances = np.array([v.weight for v in variants])
    return variants[int(rng.choice(len(variants), p=chances / chances.sum()))]


def _split_face(one: str, a: Variant, two: str, b: Variant) -> Variant:
    """The upper face of the emotion that claims it more, the lower face of the other, with a trace of the rest."""
    m, n = MANNERS[one], MANNERS[two]
    if m.upper_wins + n.lower_wins >= n.upper_wins + m.lower_wins:
        top, bottom = a, b
    else:
        top, bottom = b, a
    return Variant(
        f"{top.name} over {bottom.name}",
        _sum(top.upper, bottom.upper, 0.25),
        _sum(bottom.lower, top.lower, 0.15),
        _sum(top.extreme, bottom.extreme, 0.7),
        (0.5 * (a.head[0] + b.head[0]), 0.5 * (a.head[1] + b.head[1]), 0.5 * (a.head[2] + b.head[2])),
        (0.5 * (a.gaze[0] + b.gaze[0]), 0.5 * (a.gaze[1] + b.gaze[1])),
        max(a.asymmetry, b.asymmetry) * 0.6,
        sounds=top.sounds + bottom.sounds,
    )


def _tinted(main: Variant, tint: Variant, amount: float) -> Variant:
    return replace(main, upper=_sum(main.upper, tint.upper, amount), lower=_sum(main.lower, tint.lower, amount))


def _sum(main: Mapping[str, float], extra: Mapping[str, float], amount: float) -> dict[str, float]:
    result = dict(main)
    for unit, value in extra.items():
        result[unit] = min(1.0, result.get(unit, 0.0) + amount * value)
    return result


def _blend_manners(weights: Floats) -> Manner:
    shares = {name: float(w) for name, w in zip(EMOTIONS, weights, strict=True) if w > 0.0}
    numbers = {name: sum(s * getattr(MANNERS[e], name) for e, s in shares.items()) for name in Manner.NUMBERS}
    tables: dict[str, dict[str, float]] = {name: {} for name in Manner.TABLES}
    for emotion, share in shares.items():
        for name, merged in tables.items():
            for key, value in getattr(MANNERS[emotion], name).items():
                merged[key] = merged.get(key, 0.0) + share * value
    return Manner(**numbers, **tables)  # type: ignore[arg-type]
