# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``character/data/face_points.npz``: ARKit actions as displacements of a few hundred points of a face.

Run from the repository: ``.venv/bin/python -m benchmarks.face_points ict_facekit_light.npz``.
The points are chosen on ICT FaceKit, mirrored, closer together where faces move. What MakeHuman's face units do is kept
from the file as it is: the demo head has other shapes now.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.faces import Ict
from blender_cteg.character.fitting.actions import Template
from blender_cteg.character.fitting.surface import vertex_normals
from blender_cteg.shared import ARKIT_CHANNELS

Array = npt.NDArray[Any]
#: Points of the template.
COUNT = 360
OUT = Path("blender_cteg/character/data/face_points.npz")


def main() -> None:
    """Write the table and say how big it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ict", type=Path)
    ict = Ict.read(parser.parse_args().ict)
    chosen = choose(ict)
    normals = vertex_normals(ict.vertices, ict.triangles)[chosen]
    marks = ict.vertices[ict.landmarks]
    left, right = marks[42:48].mean(0), marks[36:42].mean(0)
    unit, middle = np.linalg.norm(left - right), (left + right) / 2
    face = Template((ict.vertices[chosen] - middle) / unit, normals, (ict.eyes - middle) / unit)
    with np.load(OUT, allow_pickle=False) as before:
        makehuman = before["makehuman"]
    np.savez_compressed(
        OUT,
        positions=face.positions.astype(np.float32),
        normals=face.normals.astype(np.float32),
        eyes=face.eyes.astype(np.float32),
        channels=np.array(ARKIT_CHANNELS),
        makehuman=makehuman,
        ict=np.round(ict.actions[:, chosen] / unit * 1e4).astype(np.int16),
        licence=np.array("positions, normals, eyes, ict: MIT, (c) 2020 USC ICT; makehuman: CC0 1.0"),
    )
    print(f"{OUT}: {len(chosen)} points, {OUT.stat().st_size // 1024} kB")


def choose(ict: Ict) -> Array:
    """Vertex indices, shape (COUNT,): the landmarks, then pairs that are each the farthest from all before."""
    skin = np.arange(ict.skin)
    points, front = ict.vertices[skin], vertex_normals(ict.vertices, ict.triangles)[skin, 2] > 0.0
    size = np.linalg.norm(ict.actions[:, skin], axis=2)
    usual = np.sqrt((size**2).mean(0))
    wanted = (0.35 + np.minimum(usual / np.percentile(usual, 90), 1.0)) * (front & (size.max(0) > 0.05))
    chosen = list(ict.landmarks)
    distance = np.min([np.linalg.norm(points - points[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < COUNT:
        one = int(np.argmax(distance * wanted))
        other = int(np.linalg.norm(points - points[one] * (-1, 1, 1), axis=1).argmin())
        for index in dict.fromkeys((one, other)):
            chosen.append(index)
            distance = np.minimum(distance, np.linalg.norm(points - points[index], axis=1))
    return np.array(chosen[:COUNT])


if __name__ == "__main__":
    main()
