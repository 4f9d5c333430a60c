# SPDX-License-Identifier: GPL-3.0-or-later
"""What is behind the lips: teeth in their gums, one by one along the arch of the base mesh's teeth, and the tongue."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from blender_cteg.character.axes import rotation_matrix
from blender_cteg.shared import ARKIT_CHANNELS

from .correctives import PAIRS
from .expressions import Rigid
from .geometry import Floats, Geometry, Ints, boundary_loops, combine, compact, rings
from .parts import LIP_RING, MOUTH_RING, smoothstep, with_material
from .source import BaseMesh

#: The arch of the teeth is this much narrower than as made. How much lower its rows stand, and how much further forward
#: at the root and at the edge, decimetres: the upper edges 13 to 14.5 mm behind the front of the lip, 2 mm before the
#: lower ones, as in people; as made they lean backwards to 17 or 18 mm, which a smile shows as a dark gap.
_NARROWER: Final = 0.90
_LOWER: Final = {"upper": 0.045, "lower": 0.015}
_FORWARD: Final = {"upper": (0.0, 0.040), "lower": (0.0, 0.022)}
#: How broad people's teeth are from the middle back, mm; how far the upper ones' edges stay back from the arch's edge.
_BROAD: Final = {"upper": (8.5, 6.6, 7.6, 7.1, 6.8, 10.2, 9.6), "lower": (5.4, 5.9, 6.9, 7.1, 7.2, 11.0, 10.4)}
_SHORT: Final = {"upper": (0.0, 0.05, 0.01, 0.05, 0.07, 0.08, 0.10), "lower": (0.03, 0.02, 0.0, 0.03, 0.06, 0.08, 0.10)}
#: Where on a tooth's breadth there are vertices, and how much each is between two teeth.
_ACROSS: Final = ((0.0, 1.0), (0.07, 0.5), (0.22, 0.08), (0.5, 0.0), (0.78, 0.08), (0.93, 0.5))
#: Gum's edge as a share of the way from the root to the tooth's edge; how far it comes down between two teeth.
_GUM, _PAPILLA = 0.44, 0.13
#: How thick teeth are at their edge and at the gum, front and back, decimetres.
_EDGE, _NECK = (0.018, 0.085), (0.062, 0.098)
#: How deep the grooves between teeth are, decimetres.
_GROOVE: Final = 0.011
#: Heights in the image of the profile's rows: from the root of the gum before the teeth over their edge to that behind.
ROWS: Final = (0.0, 0.10, 0.20, 0.235, 0.31, 0.40, 0.47, 0.50, 0.53, 0.62, 0.70, 0.76, 0.92)
#: How much of the tongue's height is taken back, above which height, and how far its back sinks when the jaw opens (in
#: people it does so to let the voice out; stiff, it would stand before the throat like a wall), decimetres.
_FLATTER, _FLOOR, _SINKS = 0.16, 6.29, 0.05
#: How far the tongue comes out and its middle goes above the lower teeth and lip; how far before these it begins to
#: hang, and how much; decimetres.
_OUT, _ABOVE, _HANGS = 0.48, 0.025, (0.05, 0.35)
#: What is added half-way out, as a share of the way: its tip is up, behind the upper teeth, before it comes forwards.
_ON_ITS_WAY: Final = (0.3, 0.6, -0.35)


def arch(mesh: BaseMesh, row: str) -> Ints:
    """(3, 17) vertices of the base mesh along a ``row`` of teeth, right to left: root of the gum, middle and edge."""
    faces = mesh.faces[f"helper-{row}-teeth"]
    loop = np.array(boundary_loops(faces)[0])
    middle = int(mesh.vertices[loop, 2].argmax())  # the root of the gum is the rim before the teeth
    root = np.roll(loop, 8 - middle)[:17]
    ring = rings(faces, root, len(mesh.vertices), 3)
    around = np.arctan2(mesh.vertices[:, 0], mesh.vertices[:, 2] - 1.05)
    lines = [np.unique(faces[ring[faces] == step]) for step in range(3)]
    return np.stack([line[around[line].argsort()] for line in lines])


def teeth(geometry: Geometry, mesh: BaseMesh, row: str, rigid: Rigid) -> Geometry:
    """A ``row`` of teeth, "upper" or "lower", in its gum, behind the lips.

    Texture: along the arch in the image's left half, and `ROWS`.
    """
    place, between, short = _columns(row)
    along, share = _on_arch(mesh.vertices[arch(mesh, row)[1]], place)
    height, depth = _profile(np.abs(place), between, short)
    rows = arch(mesh, row)[:, along]  # (3, columns, 2)
    level = np.stack([1 - 2 * height, 2 * height, 0 * height], axis=-1)
    level[height > 0.5] = np.stack([0 * height, 2 - 2 * height, 2 * height - 1], axis=-1)[height > 0.5]
    factors = level[..., None] * share[:, None, None]  # (columns, profile, 3, 2)
    count, profile = height.shape
    corners = np.broadcast_to(rows.transpose(1, 0, 2)[:, None], factors.shape)
    part = combine(geometry, corners.reshape(-1, 6), factors.reshape(-1, 6), _grid(count, profile))
    shift = part.rest * (_NARROWER - 1, 0.0, 0.0) - (0.0, _LOWER[row], 0.0)
    shift[:, 2] += _mix(*_FORWARD[row], height).ravel()
    line = (part.rest + shift).reshape(count, profile, 3).mean(axis=1)
    tangent = np.gradient(line, axis=0)
    inwards = np.stack([-tangent[:, 2], 0 * place, tangent[:, 0]], axis=1)
    inwards /= -np.linalg.norm(inwards, axis=1, keepdims=True)
    shift += (depth[..., None] * inwards[:, None]).reshape(-1, 3)
    deltas = part.deltas.reshape(part.size, -1, 3).copy()
    for action, turn in enumerate(rigid.rotations[:, 2]):
        deltas[:, action] += part.weights[:, 2:3] * (shift @ rotation_matrix(turn).T - shift)
    uv = np.stack(np.broadcast_arrays(0.25 + 0.24 * place[:, None], np.array(ROWS)), axis=-1).reshape(-1, 2)
    part = replace(part, rest=part.rest + shift, deltas=deltas.reshape(part.size, -1))
    if row == "lower":
        part = replace(part, faces=part.faces[:, ::-1])
    return with_material(part, "Teeth", uv[part.faces])


def _columns(row: str) -> tuple[Floats, Floats, Floats]:
    """From right to left: place on the arch, -1 to 1; how much between two teeth; how much shorter the tooth is."""
    ends = np.append(0.0, np.cumsum(_BROAD[row])) / sum(_BROAD[row])
    half = [
        (low + at * (high - low), between, short)
        for (low, high), short in zip(pairwise(ends), _SHORT[row], strict=True)
        for at, between in _ACROSS
    ]
    half.append((1.0, 1.0, _SHORT[row][-1]))
    whole = [(-place, *rest) for place, *rest in half[:0:-1]] + half
    place, between, short = np.array(whole).T
    return place, between, short


def _on_arch(points: Floats, place: Floats) -> tuple[Ints, Floats]:
    """Which two of ``points`` (17, 3) each ``place`` (n,) lies between, (n, 2), and their shares."""
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    at = np.interp((place + 1) / 2 * way[-1], way, np.arange(len(points)))
    low = np.minimum(at.astype(np.int64), len(points) - 2)
    return np.stack([low, low + 1], axis=1), np.stack([1 - (at - low), at - low], axis=1)


def _profile(back: Floats, between: Floats, short: Floats) -> tuple[Floats, Floats]:
    """(n, len(ROWS)): height from the gum's root 0 to the edge 1, and decimetres behind the arch.

    ``back`` (n,) is the place from the middle 0 to the last tooth 1.
    """
    molar = smoothstep(0.35, 0.75, back)
    edge, neck = (_mix(*size, molar) for size in (_EDGE, _NECK))
    gum, top = _GUM + _PAPILLA * between, 1 - short - 0.035 * between
    crown = top - gum
    groove = _GROOVE * between
    zero = 0 * back
    rows = [
        (zero, zero + 0.004), (0.6 * gum, zero + 0.006), (gum - 0.035, zero + 0.007),
        (gum + 0.01, 0.013 + 0.3 * groove), (gum + 0.35 * crown, 0.003 + groove), (gum + 0.7 * crown, 0.002 + groove),
        (top - 0.05, 0.007 + groove), (top - 0.03 * molar, 0.007 + edge / 2), (top - 0.05, 0.007 + edge - groove / 2),
        (gum + 0.5 * crown, _mix(edge, neck, 0.6 + 0 * molar) - groove), (gum + 0.02, neck - groove / 2),
        (gum - 0.05, neck + 0.012), (gum - 0.40, neck + 0.07),
    ]  # fmt: skip
    height, depth = (np.stack(values, axis=1) for values in zip(*rows, strict=True))
    return height, depth


def _mix(one: Floats | float, other: Floats | float, share: Floats) -> Floats:
    result: Floats = one + (other - one) * share
    return result


def _grid(columns: int, rows: int) -> Ints:
    """(F, 4) the quads between vertices that are numbered column by column."""
    first = (np.arange(columns - 1)[:, None] * rows + np.arange(rows - 1)).ravel()
    return np.stack([first, first + 1, first + rows + 1, first + rows], axis=1)


def tongue(geometry: Geometry, mesh: BaseMesh, before: Geometry) -> Geometry:
    """The tongue, behind the lower teeth ``before`` it; texture: depth in the mouth, in the image's third quarter."""
    opened = geometry.deltas.reshape(geometry.size, -1, 3)[:, ARKIT_CHANNELS.index("jawOpen"), 1]
    red = (geometry.masks[:, MOUTH_RING] >= 0) & (geometry.masks[:, MOUTH_RING] <= LIP_RING)
    barrier = np.concatenate([geometry.rest[red & (opened < -0.1)], before.rest])
    part = compact(replace(geometry, faces=mesh.faces["helper-tongue"]))
    depth = np.clip((part.base[:, 2] - 0.63) / 0.77, 0, 1)
    rest = part.rest * (0.84, 1.0, 1.0) + (0.0, -0.05, -0.04)
    rest[:, 1] -= _FLATTER * np.maximum(part.base[:, 1] - _FLOOR, 0.0)
    deltas = part.deltas.reshape(part.size, -1, 3).copy()
    deltas[:, ARKIT_CHANNELS.index("jawOpen"), 1] -= _SINKS * (1 - smoothstep(0.1, 0.9, depth))
    out = _out(rest, depth, barrier[np.abs(barrier[:, 0]) < 0.03])
    deltas[:, ARKIT_CHANNELS.index("tongueOut")] = out
    deltas[:, len(ARKIT_CHANNELS) + PAIRS.index(("tongueOut", "tongueOut"))] = out * _ON_ITS_WAY
    part = replace(part, rest=rest, deltas=deltas.reshape(part.size, -1))
    uv = np.stack([0.625 + 0.2 * part.base[:, 0], depth], axis=-1)
    return with_material(part, "Tongue", uv[np.where(part.faces < 0, part.faces[:, :1], part.faces)])


def _out(points: Floats, depth: Floats, barrier: Floats) -> Floats:
    """(n, 3) how far the tongue's ``points`` (n, 3) go: forwards, over the lower teeth and lip, ``barrier`` (m, 3)."""
    middle = np.polyval(np.polyfit(depth, points[:, 1], 3), depth)
    forwards = _OUT * smoothstep(0.15, 0.95, depth)
    beyond = np.maximum(points[:, 2] + forwards - (barrier[:, 2].max() + _HANGS[0]), 0.0)
    height = (barrier[:, 1].max() + _ABOVE - middle) * smoothstep(0.3, 0.8, depth) - _HANGS[1] * beyond
    return np.stack([-0.12 * points[:, 0] * smoothstep(0.3, 0.8, depth), height, forwards], axis=1)
