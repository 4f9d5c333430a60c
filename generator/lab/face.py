# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo head in small pictures, drawn with NumPy alone: points on its skin, the nearest of which is seen.

Rendering belongs to Blender (`tools.film`); a page of the laboratory shows hundreds of faces a hand wide, and is made
where Blender is not. What is drawn is the baked head's ARKit deltas and the neck's rotation, without correctives.

Shapes: V vertices, M points, H x W pixels, C channels of arkit55.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ..evaluation.plots import new_figure
from ..shared.spaces import ARKIT55
from .page import Page

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: Baked by ``build.py head``; data, so it is read where it lies.
HEAD: Final = Path(__file__).parents[2] / "blender_cteg" / "heads" / "demo_head" / "head.npz"
_PERSON: Final = "mira"
#: What is seen, in metres: its middle, and half of its height.
_MIDDLE, _HALF = np.array([0.0, 0.172], np.float32), 0.135
#: Points per square pixel of skin: fewer leave holes.
_DENSITY: Final = 5.0
#: What lies farther back than this is never seen, in metres.
_BEHIND: Final = -0.03
#: From where light comes (a key and a fill light), how bright each is, and how bright it is everywhere.
_LIGHTS: Final = (((-0.45, 0.5, 0.75), 0.85), ((0.8, 0.1, 0.6), 0.25))
_AMBIENT: Final = 0.32
_BACKDROP: Final = (0.16, 0.18, 0.22)
#: Which image a material shows; the others have one colour.
_IMAGES: Final = {"Skin": "skin", "Lips": "skin", "Mouth": "mouth", "Eye": "eye", "Iris": "eye", "Pupil": "eye",
                  "Teeth": "mouth", "Tongue": "mouth"}  # fmt: skip


#: Pixels of a face on a sheet.
_CELL: Final = 104


def can_draw() -> bool:
    """Whether the demo head has been baked here."""
    return HEAD.is_file()


def draw_face(frame: npt.NDArray[Any], size: int = 160) -> Picture:
    """The demo head showing ``frame`` (55,) of the space arkit55, as (size, size, 3) of 8 bits, first row above.

    Raises:
        OSError: the head has not been baked.
    """
    head, points = _head(), _points(size)
    shown = np.asarray(frame, np.float32)
    vertices = head["rest"] + np.tensordot(shown[: len(head["deltas"])], head["deltas"], 1)
    turned = (vertices - head["neck"]) @ Rotation.from_rotvec(shown[-3:]).as_matrix().T.astype(np.float32) + head[
        "neck"
    ]
    vertices = vertices + head["turns"] * (turned - vertices)
    first, across, along = (vertices[head["triangles"][:, k]] for k in range(3))  # (T, 3)
    across, along = across - first, along - first
    normal = np.cross(across, along)
    normal *= np.where(normal[:, 2:] < 0, -1, 1)  # brows and lashes are sheets without a front
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    light = _AMBIENT + sum(
        strength * np.clip(normal @ (np.array(way, np.float32) / np.linalg.norm(way)), 0, 1)
        for way, strength in _LIGHTS
    )
    which, (one, two) = points["triangles"], points["shares"]
    column, row, depth = (
        first[which, axis] + one * across[which, axis] + two * along[which, axis] for axis in range(3)
    )
    across, up = (column - _MIDDLE[0]) / _HALF, (row - _MIDDLE[1]) / _HALF
    column, row = ((across + 1) * (size / 2)).astype(np.int32), ((1 - up) * (size / 2)).astype(np.int32)
    seen = np.flatnonzero((column >= 0) & (column < size) & (row >= 0) & (row < size))
    order = seen[np.argsort(depth[seen])]  # the nearest is written last
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = np.array(_BACKDROP) ** 2.2
    picture[row[order], column[order]] = points["colours"][order] * light[which[order], None]
    return np.rint(255 * np.clip(picture, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def sheet(
    page: Page, clips: Mapping[str, Floats], moments: Sequence[float], title: str, name: str, caption: str
) -> None:
    """A picture of faces: ``clips`` (T, 55) as rows with their labels, ``moments`` (shares of a clip) as columns."""
    rows = [[draw_face(clip[int(m * (len(clip) - 1))], _CELL) for m in moments] for clip in clips.values()]
    picture = np.concatenate([np.concatenate(row, 1) for row in rows])
    figure, (axis,) = new_figure(picture.shape[1] / 110 + 1.2, picture.shape[0] / 110 + 0.7)
    axis.imshow(picture)
    axis.set_yticks(_CELL * (np.arange(len(clips)) + 0.5), list(clips), fontsize=8)
    axis.set_xticks(_CELL * (np.arange(len(moments)) + 0.5), [f"{m:.0%}" for m in moments], fontsize=7)
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=9, loc="left")
    page.figure(figure, name, caption)


@cache
def _head() -> dict[str, npt.NDArray[Any]]:
    """Rest (V, 3), deltas (52, V, 3) in the order of arkit55, neck (3,), how far each vertex turns with it (V, 1).

    And triangles (T, 3) with their texture coordinates (T, 3, 2), material and colour; images by material.
    """
    with np.load(HEAD, allow_pickle=False) as file:
        names, bones = file["arkit_channels"].tolist(), file["joint_names"].tolist()
        rest, polygons = file[f"{_PERSON}/v_template"], file["polygons"]
        head: dict[str, npt.NDArray[Any]] = {
            "rest": rest,
            "deltas": file["arkit_deltas"][[names.index(c) for c in ARKIT55.channels[:52]]].astype(np.float32),
            "neck": (file[f"{_PERSON}/J_regressor"] @ rest)[bones.index("neck")],
            "turns": 1 - file["weights"][:, [bones.index("root")]],
        }
        fours = polygons[:, 3] >= 0  # the other half of what has four corners
        head["triangles"], head["uv"] = (
            np.concatenate([corners[:, [0, 1, 2]], corners[fours][:, [0, 2, 3]]]) for corners in (polygons, file["uv"])
        )
        material = head["material"] = np.concatenate([file["material_index"], file["material_index"][fours]])
        head["colours"] = file[f"{_PERSON}/colours"][material].astype(np.float32)
        for number, name in enumerate(file["materials"].tolist()):
            if (kind := _IMAGES.get(name)) is not None:
                head[f"image {number}"] = file["image_mouth" if kind == "mouth" else f"{_PERSON}/image_{kind}"]
    return head


@cache
def _points(size: int) -> dict[str, npt.NDArray[Any]]:
    """Points on the skin, enough for pictures of ``size`` pixels: triangle, shares of its edges (2, M), colours."""
    head = _head()
    corners = head["rest"][head["triangles"]] * (size / (2 * _HALF))
    # The whole area, for what is seen from its edge at rest may turn to the camera.
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    ahead = corners[:, :, 2].max(1) > _BEHIND * size / (2 * _HALF)
    counts = np.where(ahead, np.maximum(np.ceil(_DENSITY * area), 2), 0).astype(np.int64)
    which = np.repeat(np.arange(len(counts)), counts)
    # Roberts' sequence: low discrepancy in two dimensions, so that few points leave few holes.
    number = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    a, b = (0.5 + 0.7548776662 * number) % 1, (0.5 + 0.5698402910 * number) % 1
    over = a + b > 1
    a, b = np.where(over, 1 - a, a), np.where(over, 1 - b, b)
    shares = np.stack([1 - a - b, a, b], 1).astype(np.float32)
    colours = head["colours"][which].copy()
    uv = (head["uv"][which] * shares[..., None]).sum(1)
    material = head["material"][which]
    for key, image in head.items():
        if key.startswith("image "):
            rows = np.flatnonzero(material == int(key.removeprefix("image ")))
            height, width = image.shape[:2]
            across = np.clip((uv[rows, 0] % 1) * width, 0, width - 1).astype(np.int64)
            up = np.clip((uv[rows, 1] % 1) * height, 0, height - 1).astype(np.int64)
            colours[rows] = (image[up, across] / 255.0) ** 2.2
    return {"triangles": which, "shares": np.ascontiguousarray(shares[:, 1:].T), "colours": colours}
