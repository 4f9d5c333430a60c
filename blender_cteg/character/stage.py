# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a character at rest for a moment, moved by one pose, looked at as Blender evaluates it, and put back.

Its keys, values and selection stay the animator's, whatever happens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import bpy
import numpy as np

from ..arrays import Ints, Mask, Singles
from ..clip import Clip
from ..sentences import told
from ..shared import ARKIT55
from .controls import bone_channels
from .detection.bones import switches
from .detection.character import armature_of, belongs, inside
from .detection.editable import drivers_of
from .detection.naming import is_modelling
from .geometry import coordinates, triangles
from .mapping import Mapping as FaceMapping
from .mapping_edits import Target
from .rig import Rig, turned_bones

#: What one channel moves, and how far the channel goes.
Pose = tuple[tuple[Target, ...], float]

#: Modifiers that make other vertices of a mesh's own, as many as the pose has it, or take their time. They say nothing
#: about what moves.
LEFT_OUT: Final = frozenset(
    "SUBSURF MULTIRES CLOTH SOFT_BODY DYNAMIC_PAINT OCEAN REMESH DECIMATE WELD BEVEL TRIANGULATE WEIGHTED_NORMAL ARRAY "
    "EDGE_SPLIT SOLIDIFY WIREFRAME SKIN BOOLEAN BUILD EXPLODE PARTICLE_SYSTEM".split()
)
_SLIDER_LIMIT: Final = 10.0
#: A driven key that goes no further stays where it is, and one that rests no farther from 0 is held by nothing.
_LED: Final = 0.02
_HELD: Final = 1e-3
#: A mesh with more is scanned clothing or hair.
_MOST_VERTICES: Final = 200_000


def key_pose(name: str) -> Pose:
    """A shape key alone."""
    return (Target("KEY", name, 1.0),), 1.0


@dataclass(frozen=True)
class Moved:
    """Which vertices of the character a pose moves, and by how much: shape (M,), and (M, 3) in FLAME axes.

    Not ``compared``: there were more or fewer vertices than at rest, so nobody can tell. ``posed``: from which of the
    two rests, see `Stage`. ``led``: the shape keys that drivers moved with it.
    """

    vertices: Ints
    by: Singles
    compared: bool = True
    posed: bool = False
    led: frozenset[str] = frozenset()


class Stage:
    """A character at rest for a moment.

    There are two rests. What shape keys do is looked at as the character was bound, without its bones. Where bones
    move, they are posed, and what constrains them acts, which may hold a head or an eye aslant.

    Args:
        scene, rig: whose face it is, and where.
        named: the keys of channels. Where a driver moves one, it has no part in what the driving channel does.

    Attributes:
        problem: why it cannot be looked at, a sentence; "" where it can.
        rests: whether bones are posed -> the vertices of all its meshes, shape (N, 3), in FLAME axes, once looked at.
    """

    def __init__(self, scene: bpy.types.Scene, rig: Rig, named: Collection[str] = ()) -> None:
        face = rig.object
        assert face is not None
        self.rig, self.problem, self._named = rig, "", frozenset(named)
        here = bpy.context.view_layer
        layer = here if bpy.context.scene == scene and here is not None else scene.view_layers[0]
        self._scene, self._layer = scene, layer.name
        self.view_layer.update()  # where things stand
        self.space = rig.armature if rig.armature is not None else face
        self.meshes = [obj for obj in self._members() if obj.visible_get(view_layer=self.view_layer)]
        self.rests: dict[bool, Singles] = {}
        self._turning = self._read_by_bones()
        self._posed, self._still = False, 0.0
        #: While it is at rest, the datablocks of shape keys, their names, and which of them a driver decides.
        self._keys: list[tuple[Any, list[str], Mask]] = []
        #: Whether bones are posed -> the values of these keys.
        self._resting: dict[bool, list[Singles]] = {}
        if face not in self.meshes:
            sentence = "{name} is hidden, so nobody can look whether its channels do what they are called. Show it."
            self.problem = told(sentence, name=face.name)
        else:
            self.problem = self.edited()

    def edited(self) -> str:
        """That it cannot be looked at while somebody edits it, a sentence; "" where nobody does."""
        sentence = "{name} is being edited, so nobody can look whether its channels do what they are called."
        edited = (obj for obj in (*self.meshes, self.space) if obj.mode in ("EDIT", "SCULPT"))
        return next((told(sentence, name=obj.name) for obj in edited), "")

    def moves_bones(self, pose: Pose) -> bool:
        """Whether a pose moves more than shape keys, or keys by which drivers move bones."""
        return any(target.kind != "KEY" or target.name in self._turning for target in pose[0])

    def _read_by_bones(self) -> set[str]:
        """The shape keys that drivers of the armature's bones read, also by way of properties and other keys."""
        if self.rig.armature is None:
            return set()
        owners = (self.rig.armature, self.rig.armature.data, *(key for key, _ in self.rig.keyed_meshes))
        curves = [
            ((owner, curve.data_path), {(t.id, t.data_path) for v in curve.driver.variables for t in v.targets})
            for owner in owners
            for curve in (owner.animation_data.drivers if owner.animation_data is not None else ())
            if not curve.mute
        ]
        read: set[tuple[Any, str]] = set()
        more = {source for (_, path), sources in curves if path.startswith("pose.bones") for source in sources}
        while more - read:
            read |= more
            more = {source for driven, sources in curves if driven in read for source in sources}
        ends = tuple({path.rpartition("key_blocks")[2] for _, path in read})
        return {name for name in self.rig.keys if f'["{bpy.utils.escape_identifier(name)}"].value' in ends}

    @property
    def view_layer(self) -> bpy.types.ViewLayer:
        """Where it is looked at. Not kept: undo puts another in its place. ReferenceError where it is gone."""
        layer = self._scene.view_layers.get(self._layer)
        if layer is None:
            raise ReferenceError(told("The view layer {name} was removed or renamed.", name=self._layer))
        return layer

    def _belongs(self, obj: bpy.types.Object) -> bool:
        armature = self.rig.armature
        return (armature is not None and armature_of(obj) == armature) or belongs(self.rig.object, obj)

    def _members(self) -> list[bpy.types.Object]:
        """The meshes of this face. A second face on its armature stands somewhere else, or has the same mesh."""
        face = self.rig.object
        assert face is not None
        members = {face: None}
        for obj in dict.fromkeys((*self.rig.followers, *bpy.data.objects)):
            if obj.type != "MESH" or len(obj.data.vertices) >= _MOST_VERTICES or obj.data == face.data:
                continue
            if inside(face, obj) and (obj in self.rig.followers or self._belongs(obj)):
                members[obj] = None
        return list(members)

    @contextmanager
    def at_rest(self, posed: bool = False) -> Iterator[None]:
        """The character without any expression; afterwards it is as it was, whatever happens."""
        self._posed = posed
        with ExitStack() as undo:
            for obj in self.meshes:
                _set(undo, obj, "show_only_shape_key", False)
                for modifier in obj.modifiers:
                    if modifier.type in LEFT_OUT:
                        _set(undo, modifier, "show_viewport", False)
                    elif modifier.type == "MIRROR":  # what meets in the middle depends on the pose
                        _set(undo, modifier, "use_mirror_merge", False)
            names, self._keys = set(self.rig.keys), []
            for key, _ in self.rig.keyed_meshes:
                driven, called = drivers_of(key), key.key_blocks.keys()
                held = self._named & driven.keys()
                self._keys.append((key, called, np.array([name in driven for name in called])))
                for block in key.key_blocks:
                    if block.name in names and not is_modelling(block.name) and block != key.reference_key:
                        _set(undo, block, "mute", block.name in held)
                        _set(undo, block, "slider_min", min(block.slider_min, 0.0))
                        _set(undo, block, "value", 0.0)
            if self.rig.armature is not None:
                _set(undo, self.rig.armature.data, "pose_position", "POSE" if posed else "REST")
            if self.rig.armature is not None and posed:
                for constraint in switches(self.rig.armature, turned_bones(self.rig)):
                    _set(undo, constraint, "mute", True)
                for bone in self.rig.armature.pose.bones:
                    _rest(undo, bone)
            counts = [len(called) for _, called, _ in self._keys]
            if posed not in self.rests or [len(values) for values in self._resting[posed]] != counts:  # keys were added
                self.view_layer.update()
                rest = self.rests[posed] = self._read()
                self._resting[posed] = self._values()
                # Modifiers may leave nothing, and a vertex may lie far away.
                low, high = np.percentile(rest, (2, 98), axis=0) if len(rest) else (np.zeros(3), np.zeros(3))
                self._still = 1e-5 * max(float((high - low).max()), 1e-12)
            yield

    def moved(self, pose: Pose) -> Moved:
        """What a pose does. The character has to be `at_rest` as it needs, and is again."""
        (targets, amount), rest = pose, self.rests[self._posed]
        own, resting = {target.name for target in targets}, self._resting[self._posed]
        with ExitStack() as undo:
            for (key, called, driven), before in zip(self._keys, resting, strict=True):
                # A key that its driver holds somewhere is not moved by its own channel either.
                for k in np.flatnonzero(driven & (np.abs(before) < _HELD)).tolist():
                    if called[k] in own & self._named:
                        _set(undo, key.key_blocks[k], "mute", False)
            self._strike(undo, targets, amount)
            self.view_layer.update()
            now, values = self._read(), self._values()
        led = frozenset(
            called[k]
            for (_, called, driven), before, after in zip(self._keys, resting, values, strict=True)
            for k in np.flatnonzero(driven & (np.abs(after - before) > _LED)).tolist()
        )
        if len(now) != len(rest):
            return Moved(np.empty(0, np.intp), np.empty((0, 3), np.float32), False, self._posed, led)
        by = now - rest
        vertices: Ints = np.flatnonzero(np.einsum("vi,vi->v", by, by) > self._still**2)
        return Moved(vertices, by[vertices], True, self._posed, led)

    def _strike(self, undo: ExitStack, targets: tuple[Target, ...], amount: float) -> None:
        mapping = _alone(targets)
        channel = next(iter(mapping.driving()), "")
        if not channel:
            return
        performance = mapping.apply(Clip(np.array([[amount]], np.float32), (channel,), 24.0, mapping.source_space))
        for key, *_ in self._keys:
            for name, values in performance.shape_keys.items():
                block = key.key_blocks.get(name)
                if block is not None:
                    value = min(max(float(values[0]), -_SLIDER_LIMIT), _SLIDER_LIMIT)
                    _set(undo, block, "slider_min", min(block.slider_min, value))
                    _set(undo, block, "slider_max", max(block.slider_max, value))
                    _set(undo, block, "value", value)
        for bone, path, index, values in bone_channels(self.rig, performance):
            now = list(getattr(bone, path))
            now[index] = float(values[0])
            _set(undo, bone, path, now)

    def _values(self) -> list[Singles]:
        """The values of all shape keys as they are evaluated, by datablock."""
        depsgraph = self.view_layer.depsgraph
        return [_read_values(key.evaluated_get(depsgraph).key_blocks) for key, *_ in self._keys]

    def _read(self) -> Singles:
        """All vertices as they are evaluated, in FLAME axes and the unit of the character's own space."""
        depsgraph = self.view_layer.depsgraph
        into = self.space.evaluated_get(depsgraph).matrix_world.inverted_safe()
        parts = []
        for obj in self.meshes:
            evaluated = obj.evaluated_get(depsgraph)
            matrix = np.array(self.rig.axes).T @ np.array(into @ evaluated.matrix_world)[:3]
            places = np.nan_to_num(coordinates(evaluated.data.vertices, np.float32), posinf=0.0, neginf=0.0)
            parts.append(places @ matrix[:, :3].T.astype(np.float32) + matrix[:, 3].astype(np.float32))
        return np.concatenate(parts)

    def triangles(self) -> tuple[Ints, Ints]:
        """Vertex indices of all triangles, shape (F, 3), and where each mesh's vertices begin."""
        depsgraph, found, begin = self.view_layer.depsgraph, [], [0]
        for obj in self.meshes:
            mesh = obj.evaluated_get(depsgraph).data
            found.append(triangles(mesh) + begin[-1])
            begin.append(begin[-1] + len(mesh.vertices))
        return np.concatenate(found), np.array(begin)


def _read_values(blocks: Any) -> Singles:
    values = np.empty(len(blocks), np.float32)
    blocks.foreach_get("value", values)
    return values


def _alone(targets: Iterable[Target]) -> FaceMapping:
    """A mapping of one channel that moves these targets."""
    keys: dict[str, dict[str, float]] = {}
    bones: dict[str, dict[str, tuple[float, float, float]]] = {}
    controls: dict[str, dict[str, tuple[Any, ...]]] = {}
    for target in targets:
        if isinstance(target.value, float):
            keys[target.name] = {"jawOpen": target.value}
        elif isinstance(target.value, tuple):
            bones[target.name] = {"jawOpen": target.value}
        else:
            controls[target.name] = {"jawOpen": (*controls.get(target.name, {}).get("jawOpen", ()), target.value)}
    return FaceMapping(ARKIT55.name, keys, bones, controls=controls)


def _set(undo: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Set a property until the stack is undone."""
    before = getattr(owner, name)
    before = before if isinstance(before, (str, bool, int, float)) else tuple(before)
    if before != (tuple(value) if isinstance(value, list) else value):
        undo.callback(setattr, owner, name, before)
        setattr(owner, name, value)


def _rest(undo: ExitStack, bone: bpy.types.PoseBone) -> None:
    _set(undo, bone, "location", (0.0, 0.0, 0.0))
    _set(undo, bone, "scale", (1.0, 1.0, 1.0))
    if bone.rotation_mode == "QUATERNION":
        _set(undo, bone, "rotation_quaternion", (1.0, 0.0, 0.0, 0.0))
    elif bone.rotation_mode == "AXIS_ANGLE":
        _set(undo, bone, "rotation_axis_angle", (0.0, 0.0, 1.0, 0.0))
    else:
        _set(undo, bone, "rotation_euler", (0.0, 0.0, 0.0))
