# SPDX-License-Identifier: GPL-3.0-or-later
"""How deep lids press into eyeballs, lips into each other, and teeth through lips.

Every channel at 1, and frames of takes with head and gaze as performed. Depths are in percent of the eye distance and
count what a pose adds to the head at rest, where inner rims of the lids lie behind the eyeball and lips overlap so that
no gap shows. Measured at vertices:

- **lids**: of the skin around an eye, inside the eyeball (as it is turned, with its cornea);
- **lips**: of one lip's red, inside the other lip, within 4 mm of its surface; which lip it is of, the open jaw says;
- **teeth**: before the skin that lies before them at rest: straight behind, within 8 mm, is skin that faces forwards.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import bpy  # noqa: F401 (brings mathutils)
import numpy as np
import numpy.typing as npt
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from benchmarks.recognisers import asking
from benchmarks.recognisers.protocol import channel_pose
from benchmarks.recognisers.subjects import Subject, load, rigid, vertices_of
from generator.shared.spaces import ARKIT_CHANNELS

Array = npt.NDArray[Any]
KINDS: Final = ("lids", "lips", "teeth")
#: Percent of the eye distance.
ALLOWED: Final = 1.0
#: Metres: how near a lip's surface is its inside, and how far before it teeth are through it.
_LIP, _THROUGH = 0.004, 0.008
_CHECKPOINT: Final = Path("generator/checkpoints/default")


class Meter:
    """Measures one of the demo heads, whose parts it knows by their materials."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        mesh = subject.face.data
        names = [material.name.rpartition(" ")[2] for material in mesh.materials]
        self._polygons: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
        for polygon in mesh.polygons:
            self._polygons[names[polygon.material_index]].append(tuple(polygon.vertices))
        self._teeth, lips = self._of("Teeth"), self._of("Lips")
        skin, white = self._of("Skin"), np.isin(np.arange(len(subject.rest)), self._of("Eye"))
        self._eyes = []
        for ball in subject.eyeballs:
            centre = middle_of(subject.rest[ball & white])
            arm = subject.rest[ball] - centre
            reach = np.linalg.norm(arm, axis=1)
            polar = np.arccos(np.clip(-arm[:, 1] / reach, -1, 1))
            order = np.argsort(polar)
            near = skin[np.linalg.norm(subject.rest[skin] - centre, axis=1) < 1.6 * reach.max()]
            self._eyes.append((ball, centre, near, polar[order], reach[order]))
        opened = np.stack([channel_pose("jawOpen")])
        for _ in subject.play(opened, [0]):
            down = (subject.rest - vertices_of(subject.face))[:, 2]
        x = subject.rest[lips, 0]
        places = np.linspace(x.min(), x.max(), 25)
        near = [down[lips[np.abs(x - place) < 0.003]] for place in places]
        lower = down[lips] > np.interp(x, places, [(way.min() + way.max()) / 2 for way in near])
        self._lips = [lips[~lower], lips[lower]]
        self._lip_faces = [[face for face in self._polygons["Lips"] if np.isin(face, lip).all()] for lip in self._lips]
        outer = self._polygons["Skin"] + self._polygons["Lips"]
        self._before_teeth = [
            face for face in outer if abs(subject.rest[face[0], 2] - subject.rest[lips, 2].mean()) < 0.03
        ]
        self._rest = {kind: self._depths(kind, subject.rest) for kind in KINDS}

    def _of(self, material: str) -> Array:
        return np.unique([vertex for face in self._polygons[material] for vertex in face])

    def now(self) -> dict[str, float]:
        """The deepest of each kind, percent of the eye distance, of the head as it is posed."""
        turn, shift = self.subject.place()
        return self.of((vertices_of(self.subject.face) - shift) @ turn)  # as if the head had not moved

    def of(self, points: Array) -> dict[str, float]:
        """The deepest of each kind, percent of the eye distance, of vertices (V, 3) on a head that is upright."""
        more = {kind: self._depths(kind, points) - np.maximum(self._rest[kind], 0.0) for kind in KINDS}
        return {kind: 100 * max(float(depth.max()), 0.0) / self.subject.unit for kind, depth in more.items()}

    def _depths(self, kind: str, points: Array) -> Array:
        """(n,) how deep each vertex of a kind is, metres; 0 or less where it is not."""
        depths: Array = {"lids": self._in_eyes, "lips": self._in_lips, "teeth": self._through}[kind](points)
        return depths

    def _in_eyes(self, points: Array) -> Array:
        found = []
        for ball, centre, near, polar, reach in self._eyes:
            turn, shift = rigid(self.subject.rest[ball], points[ball])
            arm = points[near] - (turn @ centre + shift)
            length = np.linalg.norm(arm, axis=1)
            angle = np.arccos(np.clip(arm @ turn @ (0.0, -1.0, 0.0) / length, -1, 1))
            found.append(np.interp(angle, polar, reach) - length)
        return np.concatenate(found)

    def _in_lips(self, points: Array) -> Array:
        # What is not told apart at rest must not look as if it came of the pose: at rest more counts as inside.
        straight, reach = (0.1, 2 * _LIP) if points is self.subject.rest else (0.7, _LIP)
        found = []
        for lip, faces in zip(self._lips, self._lip_faces[::-1], strict=True):
            tree = BVHTree.FromPolygons(points.tolist(), faces)
            depths = np.zeros(len(lip))
            for row, point in enumerate(points[lip].tolist()):
                at, normal, _, way = tree.find_nearest(Vector(point), reach)
                # At the rim of a surface the nearest place is not straight above or below: nothing is known there.
                if at is not None and way > 0 and (at - Vector(point)).dot(normal) > straight * way:
                    depths[row] = way
            found.append(depths)
        return np.concatenate(found)

    def _through(self, points: Array) -> Array:
        tree, back = BVHTree.FromPolygons(points.tolist(), self._before_teeth), Vector((0.0, 1.0, 0.0))
        depths = np.zeros(len(self._teeth))
        for row, point in enumerate(points[self._teeth].tolist()):
            at, normal, _, way = tree.ray_cast(Vector(point), back, _THROUGH)
            if at is not None and normal.y < -0.3:
                depths[row] = way
        return depths


def middle_of(points: Array) -> Array:
    """Centre (3,) of the least-squares sphere through ``points`` (n, 3)."""
    system = np.c_[2 * points, np.ones(len(points))]
    middle: Array = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3]
    return middle


def channels(meter: Meter) -> dict[str, dict[str, float]]:
    """Channel at 1 -> its deepest of each kind."""
    poses = np.stack([channel_pose(channel) for channel in ARKIT_CHANNELS])
    close = ARKIT_CHANNELS.index("mouthClose")
    poses[close] += channel_pose("jawOpen")  # without it, lips that close have nowhere to go
    return {ARKIT_CHANNELS[row]: meter.now() for row in meter.subject.play(poses, list(range(len(poses))))}


def frames(meter: Meter, faces: Array) -> list[dict[str, float]]:
    """The deepest of each kind in every row of whole faces (T, 55)."""
    return [meter.now() for _ in meter.subject.play(faces, list(range(len(faces))))]


def random_frames(checkpoint: Path, count: int) -> Array:
    """(count, 55) faces at random moments of takes of every emotion, at intensity 1.4."""
    script = asking.perform(checkpoint, "", max(count // 28, 1), 1.4)
    takes, random = list(script.faces.values()), np.random.default_rng(0)
    chosen = [takes[i % len(takes)] for i in range(count)]
    return np.stack([take[random.integers(len(take))] for take in chosen])


def table(name: str, single: dict[str, dict[str, float]], played: list[dict[str, float]]) -> list[str]:
    """Rows of Markdown."""
    rows = []
    for kind in KINDS:
        worst = sorted(single, key=lambda channel: -single[channel][kind])
        over = [f"{c} {single[c][kind]:.1f}" for c in worst if single[c][kind] > ALLOWED]
        depths = np.array([frame[kind] for frame in played] or [0.0])
        rows.append(
            f"| {name} | {kind} | {worst[0]} {single[worst[0]][kind]:.2f} | {', '.join(over) or 'none'} "
            f"| {depths.max():.2f} | {np.quantile(depths, 0.99):.2f} | {(depths > ALLOWED).sum()} of {len(played)} |"
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", action="append", help="who: mira, tomas, ama or NAME=FILE, more than once")
    parser.add_argument("--checkpoint", type=Path, default=_CHECKPOINT)
    parser.add_argument("--frames", type=int, default=200, help="frames of takes; 0 for channels alone")
    options = parser.parse_args()
    faces = random_frames(options.checkpoint, options.frames) if options.frames else np.zeros((0, 55))
    print("| head | what | deepest channel, % | over 1 % | deepest frame | 99 % | frames over 1 % |")
    print("|---|---|---|---|---|---|---|")
    for wanted in options.head or ["mira", "tomas", "ama"]:
        meter = Meter(load(wanted))
        played = frames(meter, faces) if len(faces) else []
        print("\n".join(table(meter.subject.name, channels(meter), played)), flush=True)


if __name__ == "__main__":
    main()
