# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``character/data/face_points.npz``: ARKit actions as displacements of a few hundred points of a face.

Run from the repository, with a baked demo head: ``.venv/bin/python -m benchmarks.face_points ict_facekit_light.npz``.
The points are chosen on ICT FaceKit, mirrored, closer together where faces move; the demo head's are found with
`rigs.surface`, as on any other mesh.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.faces import Ict, read_head
from blender_cteg.character.detection.naming import ARKIT_CHANNELS
from blender_cteg.character.fitting.actions import Template
from blender_cteg.character.fitting.surface import find_points, vertex_normals

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
    head = read_head()
    motion = np.linalg.norm(head.deltas, axis=2).max(0)
    points = find_points(head.vertices, head.triangles, motion, face, eyes=head.joints[3:5])
    assert points is not None
    places = points.of(head.vertices)
    own_unit = np.linalg.norm(places[42:48].mean(0) - places[36:42].mean(0))
    makehuman = np.stack([points.of(delta) for delta in head.deltas]) / own_unit
    np.savez_compressed(
        OUT,
        positions=face.positions.astype(np.float32),
        normals=face.normals.astype(np.float32),
        eyes=face.eyes.astype(np.float32),
        channels=np.array(ARKIT_CHANNELS),
        makehuman=np.round(makehuman * 1e4).astype(np.int16),
        ict=np.round(ict.actions[:, chosen] / unit * 1e4).astype(np.int16),
        licence=np.array("positions, normals, eyes, ict: MIT, (c) 2020 USC ICT; makehuman: CC0 1.0"),
    )
    print(f"{OUT}: {len(chosen)} points, {OUT.stat().st_size // 1024} kB; distance to the demo head's skin checked")


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
