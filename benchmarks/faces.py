# SPDX-License-Identifier: GPL-3.0-or-later
"""The two faces the fit is measured on: ICT FaceKit (light) and the demo head, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blender_cteg.heads.demo_head.assemble import load_head, locate_head_asset
from blender_cteg.shared import ARKIT_CHANNELS

Array = npt.NDArray[Any]
#: ICT FaceKit's eyeballs.
LEFT_EYE, RIGHT_EYE = slice(21451, 23021), slice(23021, 24591)


@dataclass(frozen=True)
class Ict:
    """ICT FaceKit: ``vertices`` (V, 3) cm, ``triangles``, ``actions`` (52, V, 3), ``landmarks`` (68,), ``eyes`` (2, 3)
    (centres of the left and right eyeball), ``skin``: the first so many vertices are the face's skin."""

    vertices: Array
    triangles: Array
    polygons: Array
    actions: Array
    landmarks: Array
    eyes: Array
    skin: int = 9409

    @classmethod
    def read(cls, path: Path) -> Ict:
        """The face in ``ict_facekit_light.npz``; split shapes are added up, a missing one (tongueOut) is zero."""
        with np.load(path, allow_pickle=False) as file:
            vertices, polygons = file["neutral"].astype(np.float64), file["faces"]
            deltas = dict(zip(file["names"].tolist(), file["deltas"].astype(np.float64), strict=True))
            landmarks = file["landmarks68"].astype(np.intp)
        actions = [
            deltas.get(_ict_name(c), deltas.get(f"{c}_L", 0.0) + deltas.get(f"{c}_R", 0.0) + np.zeros_like(vertices))
            for c in ARKIT_CHANNELS
        ]
        eyes = np.stack([vertices[LEFT_EYE].mean(0), vertices[RIGHT_EYE].mean(0)])
        return cls(vertices, triangles(polygons), polygons, np.stack(actions), landmarks, eyes)


@dataclass(frozen=True)
class Head:
    """The demo head: metres, FLAME axes; ``deltas`` (52, V, 3) are its own ARKit actions, in `ARKIT_CHANNELS` order."""

    vertices: Array
    triangles: Array
    basis: Array
    weights: Array
    joints: Array
    deltas: Array
    skin: Array


def read_head() -> Head:
    """The baked demo head."""
    head, skin = load_head(locate_head_asset()), []
    with np.load(locate_head_asset(), allow_pickle=False) as file:
        deltas = file["arkit_deltas"].astype(np.float64)
    order = [head["arkit_channels"].tolist().index(c) for c in ARKIT_CHANNELS]
    vertices, polygons = head["v_template"].astype(np.float64), head["polygons"]
    for slot in ("Skin", "Lips"):
        used = polygons[head["material_index"] == head["materials"].tolist().index(slot)]
        skin.append(used[used >= 0])
    return Head(
        vertices,
        triangles(polygons),
        head["shapedirs"].astype(np.float64),
        head["weights"].astype(np.float64),
        head["J_regressor"].astype(np.float64) @ vertices,
        deltas[order],
        np.isin(np.arange(len(vertices)), np.concatenate(skin)),
    )


def triangles(polygons: Array) -> Array:
    """Triangles, shape (F, 3), of polygons (P, 4) in which -1 pads triangles."""
    quads = polygons[polygons[:, 3] >= 0]
    return np.concatenate([polygons[:, :3], quads[:, [0, 2, 3]]]).astype(np.intp)


def _ict_name(channel: str) -> str:
    if channel.endswith("Left") and channel not in ("jawLeft", "mouthLeft"):
        return f"{channel.removesuffix('Left')}_L"
    if channel.endswith("Right") and channel not in ("jawRight", "mouthRight"):
        return f"{channel.removesuffix('Right')}_R"
    return channel
