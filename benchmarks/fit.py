# SPDX-License-Identifier: GPL-3.0-or-later
"""How near the fit comes to faces whose own ARKit shapes are known: vertex errors over clips of the default checkpoint.

Run from the repository, with a baked demo head: ``.venv/bin/python -m benchmarks.fit [--ict ict_facekit_light.npz]``.
Every row says where the actions were measured. "Own" means on the very face that is judged, which tests the fit alone,
"carried over" on the face that the judged one has its actions from, and "other" on another artist's, which adds how
differently two artists understand the same action.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.faces import Head, Ict, read_head
from blender_cteg.character.axes import rotation_matrix
from blender_cteg.character.detection.naming import ARKIT_CHANNELS
from blender_cteg.character.fitting.actions import SOURCES, action_displacements
from blender_cteg.character.fitting.fit import FaceGeometry, face_points, fit_mapping
from blender_cteg.character.mapping import Performance
from blender_cteg.clip import Clip

Array = npt.NDArray[Any]

#: The default test clips: one per emotion that has a face of its own, and one that turns within the line.
LINES = (
    ("You kept it? After all these years, you actually kept it!", "happily_surprised"),
    ("Get out of my house. Now!", "anger"),
    ("I do not know how to tell you this, but she is gone.", "sadness"),
    ("What was that noise? Is somebody there?", "fear"),
    ("This is wonderful, I love it, thank you so much!", "joy"),
    ("That is the most disgusting thing I have ever smelled.", "disgust"),
    ("[joy -> surprise] We won. Wait, what? [anger] You lied to me!", "auto"),
)
#: Frames in which the face moves less than this share of the take's largest are not counted.
IN_MOTION = 0.2
COMPONENTS = 50


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path)
    parser.add_argument("--noise", type=float, nargs="*", default=[])
    options = parser.parse_args()
    clips = default_clips()
    values = np.concatenate([clip.values for clip in clips])[::3]
    clip = clips[0].with_values(values)
    print(f"{len(clips)} takes, every third frame\n")
    print(
        "| face | actions from | over | mean mm | 95 % mm | motion: mean mm | 95 % mm |\n|---|---|---|---|---|---|---|"
    )
    head = read_head()
    face = head_geometry(head)
    found = face_points(face)
    regions = {"all vertices": np.arange(0, len(head.vertices), 5), "skin of the face's front": front(head)}
    for source in SOURCES:
        for noise in options.noise or [None]:
            known = {} if noise is None else {"noise": noise}
            mapping = fit_mapping(face, points=found, actions=action_displacements(source), **known)
            label = f"{source} ({'carried over' if source == 'ict' else 'other'})"
            label += f", noise {noise}" if noise else ""
            for region, chosen in regions.items():
                truth = driven(head.deltas[:, chosen], clip)
                row("demo head", label, region, posed(head, mapping.apply(clip), chosen) - truth, truth, 1e3)
    if options.ict is None:
        return
    ict = Ict.read(options.ict)
    ict_face, skin = ict_geometry(ict), np.arange(0, ict.skin, 3)
    found = face_points(ict_face)
    for source in SOURCES:
        for noise in options.noise or [None]:
            known = {} if noise is None else {"noise": noise}
            mapping = fit_mapping(ict_face, points=found, actions=action_displacements(source), **known)
            label = f"{source} ({'own' if source == 'ict' else 'other'})" + (f", noise {noise}" if noise else "")
            truth = driven(ict.actions[:, skin], clip)
            keys = mapping.apply(clip).shape_keys
            moved = sum(np.multiply.outer(keys[n], ict_face.offsets[n][skin]) for n in keys)
            row("ICT, 50 components", label, "skin", moved - truth, truth, 10.0)
    one, other = (action_displacements(source) for source in SOURCES)
    both = np.stack([other.get(c, 0 * one["jawOpen"]) for c in ARKIT_CHANNELS])
    mine = np.stack([one.get(c, 0 * one["jawOpen"]) for c in ARKIT_CHANNELS])
    row("no fit", "makehuman against ict", "points", driven(both - mine, clip), driven(mine, clip), 63.0)


def default_clips() -> list[Clip]:
    """The default test clips, performed now by the bundled checkpoint."""
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (line, emotion) in enumerate(LINES):
            path = Path(folder) / f"{number}.npz"
            command = [sys.executable, "-m", "generator", "say", line, "--emotion", emotion, "--seed", str(number + 1)]
            subprocess.run([*command, "-o", str(path)], check=True, capture_output=True)
            clips.append(read_clip(path))
    return clips


def read_clip(path: Path) -> Clip:
    """The first take in a file of the generator."""
    with np.load(path, allow_pickle=False) as file:
        values = file["values"][0, : int(file["lengths"][0])]
        return Clip(values, tuple(file["channels"].tolist()), float(file["fps"]), "arkit55")


def head_geometry(head: Head) -> FaceGeometry:
    """The demo head as the fit sees a FLAME mesh; its stored mapping is not used."""
    offsets = {f"Exp{i + 1}": head.basis[:, :, i] for i in range(head.basis.shape[2])}
    roles = frozenset({"neck", "jaw", "left_eye", "right_eye"})
    return FaceGeometry(
        head.vertices, offsets, roles, head.weights[:, 2], head.joints[2], None, head.triangles, head.joints[3:5]
    )


def ict_geometry(ict: Ict) -> FaceGeometry:
    """ICT FaceKit with a basis of 50 components of its own actions, scaled to about 1, and no bones."""
    skin = ict.actions[:, : ict.skin].reshape(len(ict.actions), -1)
    values, vectors = np.linalg.eigh(skin @ skin.T)
    scores = vectors[:, np.argsort(values)[::-1][:COMPONENTS]] / 0.3
    basis = np.einsum("ak,avd->kvd", scores, ict.actions) * 0.09
    offsets = {f"Exp{i + 1}": component for i, component in enumerate(basis)}
    return FaceGeometry(ict.vertices, offsets, triangles=ict.triangles, eyes=ict.eyes)


def front(head: Head) -> Array:
    """Skin and lips from the chin to the hairline, between the ears, as vertex indices."""
    eye, at = head.joints[3:5].mean(0), head.vertices
    inside = (at[:, 2] > eye[2] - 0.045) & (np.abs(at[:, 0]) < 0.075)
    return np.flatnonzero(head.skin & inside & (at[:, 1] > eye[1] - 0.135) & (at[:, 1] < eye[1] + 0.07))


def driven(deltas: Array, clip: Clip) -> Array:
    """Displacements (T, V, 3) of a face with these ARKit shapes, (52, V, 3)."""
    columns = np.stack([clip.channel(c) for c in ARKIT_CHANNELS], axis=1)
    return np.einsum("ta,avd->tvd", columns, deltas)


def posed(head: Head, performance: Performance, chosen: Array) -> Array:
    """Displacements (T, V, 3) of the head in this performance, without the turning of the whole head."""
    rest = head.vertices[chosen]
    keys = np.stack(
        [
            performance.shape_keys.get(f"Exp{i + 1}", np.zeros(1)) + 0 * next(iter(performance.shape_keys.values()))
            for i in range(head.basis.shape[2])
        ],
        axis=1,
    )
    moved = rest + np.einsum("tk,vdk->tvd", keys, head.basis[chosen])
    result = moved.copy()
    for role, joint in (("jaw", 2), ("left_eye", 3), ("right_eye", 4)):
        if role in performance.bones:
            matrices = np.stack([rotation_matrix(v.astype(np.float64)) for v in performance.bones[role]])
            arms = moved - head.joints[joint]
            turned = np.einsum("tab,tvb->tva", matrices, arms) - arms
            result += head.weights[chosen, joint][:, None] * turned
    return result - rest


def row(face: str, source: str, region: str, error: Array, truth: Array, to_mm: float) -> None:
    """Print one row: errors and motion over the frames in motion."""
    errors, motion = (np.linalg.norm(values, axis=2) * to_mm for values in (error, truth))
    moving = motion.mean(1) > IN_MOTION * motion.mean(1).max()
    numbers = [f(v[moving]) for v in (errors, motion) for f in (np.mean, lambda x: np.percentile(x, 95))]
    print(f"| {face} | {source} | {region} | {' | '.join(f'{n:.2f}' for n in numbers)} |", flush=True)


if __name__ == "__main__":
    main()
