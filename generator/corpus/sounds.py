# SPDX-License-Identifier: GPL-3.0-or-later
"""What a voice does besides words: laughs, sobs, sighs, gasps, huffs, trembling. Each moves the face and the head."""

from __future__ import annotations

from typing import Final

import numpy as np

from .curves import Floats, minimum_jerk

#: Seconds a sound takes, and whether it comes before the words or after them.
LENGTHS: Final = {
    "laugh": (0.7, 1.3), "sob": (0.8, 1.3), "sigh": (0.9, 1.3), "gasp": (0.35, 0.5), "huff": (0.4, 0.6),
    "gag": (0.5, 0.8), "tremble": (0.8, 1.6),
}  # fmt: skip
BEFORE: Final = {"gasp": 1.0, "sigh": 0.5, "huff": 0.5, "gag": 0.4, "laugh": 0.25, "sob": 0.25, "tremble": 0.3}

Motion = dict[str, Floats]


def sound(kind: str, t: Floats, start: float, seconds: float, rng: np.random.Generator) -> Motion:
    """Additions to channels while ``kind`` sounds from ``start``: channel ("*" for both sides) -> (T,)."""
    x = (t - start) / seconds
    return _SOUNDS[kind](t - start, x, rng)


def _window(x: Floats, rise: float = 0.25, fall: float = 0.4) -> Floats:
    return minimum_jerk(x / rise) * (1.0 - minimum_jerk((x - 1.0 + fall) / fall))


def _laugh(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    window = _window(x, 0.2, 0.55)
    beat = 0.5 - 0.5 * np.cos(2.0 * np.pi * rng.uniform(4.0, 4.9) * s)
    size = window * rng.uniform(0.7, 1.2)
    return {
        "jawOpen": size * (0.12 + 0.16 * beat), "mouthUpperUp*": 0.18 * size, "mouthLowerDown*": 0.15 * size,
        "mouthSmile*": 0.15 * size, "cheekSquint*": 0.2 * size, "eyeSquint*": 0.25 * size, "eyeBlink*": 0.15 * size,
        "headPitch": size * (-0.07 + 0.035 * beat), "headRoll": size * rng.normal(0.0, 0.04),
    }  # fmt: skip


def _sob(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    window = _window(x)
    gulp = (0.5 - 0.5 * np.cos(2.0 * np.pi * rng.uniform(2.2, 3.0) * s)) ** 2
    return {
        "jawOpen": window * (0.05 + 0.13 * gulp), "mouthStretch*": 0.22 * window * gulp, "browInnerUp": 0.12 * window,
        "mouthLowerDown*": 0.12 * window, "cheekSquint*": 0.25 * window, "eyeBlink*": 0.25 * window,
        "noseSneer*": 0.12 * window * gulp, "headPitch": window * (0.05 - 0.045 * gulp),
    }  # fmt: skip


def _sigh(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    breath_in = minimum_jerk(x / 0.35) * (1.0 - minimum_jerk((x - 0.3) / 0.3))
    out = minimum_jerk((x - 0.35) / 0.25) * (1.0 - minimum_jerk((x - 0.65) / 0.35))
    return {
        "browInnerUp": 0.18 * breath_in, "jawOpen": 0.06 * breath_in + 0.13 * out, "mouthFunnel": 0.25 * out,
        "cheekPuff": rng.uniform(0.0, 0.3) * out, "eyeBlink*": 0.3 * out, "noseSneer*": 0.06 * breath_in,
        "headPitch": -0.05 * breath_in + 0.07 * out,
    }  # fmt: skip


def _gasp(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    window = minimum_jerk(x / 0.4) * (1.0 - minimum_jerk((x - 0.6) / 0.8))
    return {
        "jawOpen": rng.uniform(0.2, 0.35) * window, "eyeWide*": 0.2 * window, "mouthStretch*": 0.1 * window,
        "browInnerUp": 0.1 * window, "headPitch": -0.06 * window,
    }  # fmt: skip


def _huff(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    window = minimum_jerk(x / 0.45) * (1.0 - minimum_jerk((x - 0.5) / 0.5))
    return {
        "noseSneer*": 0.25 * window, "mouthPress*": 0.2 * window, "cheekPuff": rng.uniform(0.0, 0.3) * window,
        "browDown*": 0.1 * window, "headPitch": -0.035 * window,
    }  # fmt: skip


def _gag(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    window = _window(x, 0.45, 0.5)
    return {
        "jawOpen": 0.3 * window, "tongueOut": rng.uniform(0.25, 0.6) * window, "mouthUpperUp*": 0.15 * window,
        "noseSneer*": 0.2 * window, "eyeBlink*": 0.3 * window, "headPitch": 0.1 * window,
    }  # fmt: skip


def _tremble(s: Floats, x: Floats, rng: np.random.Generator) -> Motion:
    window = _window(x)
    frequency = rng.uniform(4.2, 5.6)
    shiver = np.sin(2.0 * np.pi * frequency * s) * (0.7 + 0.3 * np.sin(2.0 * np.pi * 1.3 * s + 1.0))
    return {
        "mouthShrugLower": window * (0.12 + 0.08 * shiver), "mouthFrown*": window * 0.04 * shiver,
        "mouthStretch*": window * (0.05 + 0.04 * np.sin(2.0 * np.pi * frequency * s + 1.2)),
        "browInnerUp": 0.05 * window, "headPitch": 0.006 * window * shiver,
    }  # fmt: skip


_SOUNDS: Final = {
    "laugh": _laugh, "sob": _sob, "sigh": _sigh, "gasp": _gasp, "huff": _huff, "gag": _gag, "tremble": _tremble,
}  # fmt: skip
