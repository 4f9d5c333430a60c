# SPDX-License-Identifier: GPL-3.0-or-later
"""A face drawn by formulas, with every ARKit action: bumps that go somewhere. Shares nothing with what judges it."""

from __future__ import annotations

import numpy as np

#: A bump: its middle (x, y), how wide it is, and where it goes, in centimetres; x to the character's left, y up.
Bump = tuple[tuple[float, float], tuple[float, float], tuple[float, float, float]]

_MIDDLE: dict[str, list[Bump]] = {
    "browInnerUp": [((0, 2.6), (1.7, 0.9), (0, 0.7, 0))],
    "mouthClose": [((0, -7.1), (2.2, 0.6), (0, 2.2, 0.9)), ((0, -6.1), (2.0, 0.5), (0, -0.3, 0))],
    "mouthFunnel": [((0, -6.1), (1.8, 0.6), (0, 0.3, 1.0)), ((0, -7.1), (1.8, 0.6), (0, -0.6, 0.9))],
    "mouthPucker": [((2.4, -6.7), (1.0, 0.9), (-0.9, 0, 0.6)), ((-2.4, -6.7), (1.0, 0.9), (0.9, 0, 0.6)),
                    ((0, -6.6), (1.6, 0.9), (0, 0, 0.9))],
    "mouthRollLower": [((0, -7.1), (1.8, 0.5), (0, 0.5, -0.9))],
    "mouthRollUpper": [((0, -6.1), (1.8, 0.5), (0, -0.2, -0.9))],
    "mouthShrugLower": [((0, -8.6), (1.6, 1.0), (0, 0.9, 0.4))],
    "mouthShrugUpper": [((0, -5.9), (1.5, 0.6), (0, 0.6, 0.2))],
    "mouthLeft": [((0, -6.6), (2.6, 1.3), (1.2, 0, 0))],
    "mouthRight": [((0, -6.6), (2.6, 1.3), (-1.2, 0, 0))],
    "cheekPuff": [((4.0, -6.0), (1.7, 1.6), (0.7, 0, 0.9)), ((-4.0, -6.0), (1.7, 1.6), (-0.7, 0, 0.9))],
}  # fmt: skip
_LEFT: dict[str, list[Bump]] = {
    "eyeBlink": [((3.15, 0.45), (1.1, 0.4), (0, -0.8, 0.1))],
    "eyeLookDown": [((3.15, 0.45), (1.1, 0.4), (0, -0.4, 0.1))],
    "eyeLookUp": [((3.15, 0.45), (1.1, 0.4), (0, 0.25, 0)), ((3.2, -0.5), (1.1, 0.4), (0, 0.1, 0))],
    "eyeLookIn": [((3.15, 0.0), (1.3, 0.6), (-0.15, 0, 0))],
    "eyeLookOut": [((3.15, 0.0), (1.3, 0.6), (0.15, 0, 0))],
    "eyeSquint": [((3.4, -0.8), (1.3, 0.6), (0, 0.4, 0.1))],
    "eyeWide": [((3.15, 0.5), (1.1, 0.4), (0, 0.35, 0))],
    "browDown": [((3.4, 2.5), (1.7, 0.9), (-0.3, -0.6, 0.2))],
    "browOuterUp": [((4.4, 2.5), (1.3, 0.9), (0.1, 0.7, 0))],
    "cheekSquint": [((4.7, -3.8), (1.4, 1.2), (0, 0.5, 0.2))],
    "noseSneer": [((2.2, -4.6), (1.2, 1.3), (0, 0.7, 0))],
    "mouthSmile": [((2.6, -6.7), (1.3, 1.1), (0.7, 1.0, -0.6))],
    "mouthFrown": [((2.6, -6.8), (1.1, 1.0), (0.2, -0.8, -0.2))],
    "mouthDimple": [((2.6, -7.2), (1.0, 1.0), (0.3, 0.5, -0.5))],
    "mouthStretch": [((2.7, -7.0), (1.3, 1.2), (0.8, -0.4, -0.7))],
    "mouthPress": [((1.7, -8.4), (1.1, 0.9), (0, 0.4, 0.1))],
    "mouthLowerDown": [((1.3, -8.0), (1.0, 0.9), (0.1, -0.7, -0.1))],
    "mouthUpperUp": [((1.8, -5.4), (1.0, 0.8), (0.2, 0.8, -0.1))],
}
#: What the whole lower jaw does.
_JAW = {"jawOpen": (0, -2.4, -1.6), "jawForward": (0, 0, 1.1), "jawLeft": (0.9, 0, 0), "jawRight": (-0.9, 0, 0)}
EYES = ((3.15, 0.05, -0.7), (-3.15, 0.05, -0.7))


def vertices_and_polygons() -> tuple[np.ndarray, list[list[int]], int]:
    """Positions (V, 3) in centimetres and FLAME's axes, polygons, and how many vertices the skin has."""
    x, y = np.meshgrid(np.linspace(-7.3, 7.3, 61), np.linspace(-12.5, 7.5, 81))
    z = 9.5 * np.sqrt(np.maximum(1 - (x / 7.8) ** 2 - ((y + 4) / 14) ** 2, 0.03)) - 8.8
    for (cx, cy), (wx, wy), high in (
        ((0, -3.0), (0.9, 1.6), 2.6), ((0, -0.6), (0.6, 1.6), 0.8), ((0, -6.6), (2.2, 0.9), 0.7),
        ((3.15, 0), (1.3, 0.9), -0.7), ((-3.15, 0), (1.3, 0.9), -0.7), ((0, -10.4), (1.5, 1.1), 0.8),
    ):  # fmt: skip
        z = z + high * np.exp(-(((x - cx) / wx) ** 2) / 2 - ((y - cy) / wy) ** 2 / 2)
    rows, columns = x.shape
    polygons = [
        [r * columns + c, r * columns + c + 1, (r + 1) * columns + c + 1, (r + 1) * columns + c]
        for r in range(rows - 1)
        for c in range(columns - 1)
    ]
    skin = np.stack([x, y, z], axis=2).reshape(-1, 3)
    points = [skin]
    for eye in EYES:
        begin = sum(map(len, points))
        points.append(_ball(eye))
        polygons += [
            [
                begin + i * 16 + j,
                begin + i * 16 + (j + 1) % 16,
                begin + (i + 1) * 16 + (j + 1) % 16,
                begin + (i + 1) * 16 + j,
            ]
            for i in range(8)
            for j in range(16)
        ]
    return np.concatenate(points), polygons, len(skin)


def _ball(centre: tuple[float, float, float]) -> np.ndarray:
    height, round_ = np.meshgrid(np.linspace(0.15, np.pi - 0.15, 9), np.arange(16) * np.pi / 8, indexing="ij")
    around = [np.sin(height) * np.cos(round_), np.cos(height), np.sin(height) * np.sin(round_)]
    return np.array(centre) + 1.2 * np.stack(around, axis=2).reshape(-1, 3)


def action(channel: str, points: np.ndarray, skin: int) -> np.ndarray:
    """How far each vertex goes when an ARKit channel is at 1, (V, 3) in centimetres; nothing for the tongue."""
    moved = np.zeros_like(points)
    if channel in _JAW:
        moved[:skin] = np.outer(1 / (1 + np.exp((points[:skin, 1] + 7.0) / 0.35)), _JAW[channel])
        return moved
    side = next((side for side in ("Left", "Right") if channel.endswith(side)), "")
    bumps = _MIDDLE.get(channel) or _LEFT.get(channel.removesuffix(side), [])
    mirror = -1.0 if side == "Right" and channel not in _MIDDLE else 1.0
    for (x, y), (wide, high), way in bumps:
        strength = np.exp(
            -(((points[:skin, 0] - mirror * x) / wide) ** 2) / 2 - ((points[:skin, 1] - y) / high) ** 2 / 2
        )
        moved[:skin] += np.outer(strength, np.array(way) * (mirror, 1.0, 1.0))
    return moved
