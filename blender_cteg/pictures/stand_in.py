# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in: the shape of a character as arrays, which takes its faces without touching the scene.

It has what moves a face in most characters: shape keys, and bones that deform meshes by vertex groups or carry them.
What drivers, constraints and other modifiers add is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Euler, Matrix, Quaternion

from ..character.detection.character import armature_of, belongs
from ..character.rig import Rig
from ..performance.targets import Target

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

#: Meshes with more vertices are clothing or a scan; who has none but such gets no pictures.
_MOST_VERTICES: Final = 150_000
#: Vertices whose groups are read in one step.
_CHUNK: Final = 3000
#: How large a picture is beside what moves.
_AROUND: Final = 1.45
#: What moves at least so much of what moves most by a key is in the picture, without so many percent at either end.
_MUCH: Final = 0.5
_FEW: Final = 1.0
#: Who follows a bone by more goes with it.
_HALF: Final = 0.5
#: Of a mesh for which nobody chose a colour: skin.
_COLOUR: Final = (0.6, 0.45, 0.38)


@dataclass
class _Part:
    """A mesh: points at rest in the character's space, and what moves them.

    Attributes:
        points: (V, 3).
        triangles, colours: (F, 3) and (F, 3).
        key: the session_uid of the datablock of its shape keys, 0 for none.
        to_space: turns its own offsets into the character's space, (3, 3).
        keys: name of a shape key -> the points that it moves, and how far at full strength.
        bones: number of a moving bone (-1: none) -> how much each point follows it, (V,).
    """

    points: Floats
    triangles: Ints
    colours: Floats
    key: int = 0
    to_space: Floats = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    keys: dict[str, tuple[Ints, Floats]] = field(default_factory=dict)
    bones: dict[int, Floats] = field(default_factory=dict)


class StandIn:
    """The shape of a character. Read in steps by `read`, each of some milliseconds; then it is drawn."""

    def __init__(self, rig: Rig, moved: Sequence[Target]) -> None:
        """The stand-in of a character.

        Args:
            rig: the character.
            moved: what its takes move; what they do not move is not read.
        """
        self._rig = rig
        self._axes = np.array(rig.axes, np.float32)
        self._space = rig.armature if rig.armature is not None else rig.object
        self._keys = {target.label for target in moved if target.owner.kind == "KEY"}
        self._bones = list(dict.fromkeys(target.label for target in moved if target.owner.kind == "OBJECT"))
        self._parts: list[_Part] = []
        self._centre, self._size = np.zeros(2, np.float32), 1.0

    def read(self) -> Iterator[None]:
        """Read the character, step by step. Raises ReferenceError where it is gone meanwhile."""
        rig = self._rig
        others = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj not in rig.meshes]
        assert rig.object is not None
        face = rig.object
        yield
        beside = [obj for obj in others if not obj.hide_render and obj.visible_get() and belongs(face, obj)]
        for obj in (*rig.meshes, *beside):
            mesh: Any = obj.data
            if 0 < len(mesh.vertices) <= _MOST_VERTICES and len(mesh.polygons):
                yield from self._read(obj)
        self._frame()

    def posed(self, rig: Rig, targets: Sequence[Target], frame: int) -> tuple[Floats, Ints, Floats] | None:
        """The face at a frame of a take, as `raster.picture` draws it; None where there is nothing to draw.

        Args:
            rig: the same character, as it is known now.
            targets: what the take moves.
            frame: of them.
        """
        if not self._parts:
            return None
        turns = self._turns(rig.armature, targets, frame)
        weights = {
            (t.owner.datablock.session_uid, t.label): float(t.values[frame]) for t in targets if t.owner.kind == "KEY"
        }
        points, triangles, colours, first = [], [], [], 0
        for part in self._parts:
            now = part.points.copy()
            for name, (moved, offsets) in part.keys.items():
                if weight := weights.get((part.key, name), 0.0):
                    now[moved] += np.float32(weight) * offsets
            rest, moving = now, {number: how for number, how in part.bones.items() if number in turns}
            for number, how in moving.items():
                turn = turns[number]
                now = now + how[:, None] * (rest @ turn[:3, :3].T + turn[:3, 3] - rest)
            points.append(now)
            triangles.append(part.triangles + first)
            colours.append(part.colours)
            first += len(now)
        seen = np.concatenate(points) @ self._axes
        seen[:, :2] = (seen[:, :2] - self._centre) / self._size
        seen[:, 2] /= self._size
        return seen, np.concatenate(triangles), np.concatenate(colours)

    def placed(self) -> Floats:
        """From the points of `posed` to the character's space, (4, 4)."""
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, :3] = self._axes * self._size
        matrix[:3, 3] = self._axes[:, :2] @ self._centre
        return matrix

    def moving(self) -> npt.NDArray[np.bool_]:
        """Which of the points of `posed` takes can move for the most part, (V,)."""
        found = [np.zeros(len(part.points), bool) for part in self._parts]
        for moves, part in zip(found, self._parts, strict=True):
            for places, _ in part.keys.values():
                moves[places] = True
            for how in part.bones.values():
                moves |= how > _HALF
        return np.concatenate(found)

    # ------------------------------------------------------------------------------------------------ reading

    def _read(self, obj: bpy.types.Object) -> Iterator[None]:
        mesh: Any = obj.data
        key = mesh.shape_keys
        matrix = self._to_space(obj)
        rest = _coordinates(mesh.vertices if key is None else key.reference_key.data)
        part = _Part(
            rest @ matrix[:3, :3].T + matrix[:3, 3],
            *_faces(mesh),
            0 if key is None else key.session_uid,
            matrix[:3, :3],
        )
        yield
        for name in () if key is None else key.key_blocks.keys():
            block = key.key_blocks.get(name)
            if block is None:  # it was removed between two steps
                continue
            taken = block.name in self._keys
            if block != key.reference_key and (taken or (block.value and not block.mute)):
                before = rest if block.relative_key == key.reference_key else _coordinates(block.relative_key.data)
                offsets = (_coordinates(block.data) - before) @ part.to_space.T
                if taken:
                    moved = np.flatnonzero(np.abs(offsets).max(1) > 1e-6)
                    part.keys[block.name] = moved, offsets[moved]
                else:  # it makes the character what it is
                    part.points = part.points + np.float32(block.value) * offsets
                yield
        yield from self._read_bones(obj, part)
        self._parts.append(part)

    def _read_bones(self, obj: bpy.types.Object, part: _Part) -> Iterator[None]:
        armature = armature_of(obj)
        if armature is None or armature != self._rig.armature:
            return
        if obj.parent == armature and obj.parent_type == "BONE":
            part.bones[self._moving(armature, obj.parent_bone)] = np.ones(len(part.points), np.float32)
        elif any(modifier.type == "ARMATURE" for modifier in obj.modifiers):
            moving = {group.index: self._moving(armature, group.name) for group in obj.vertex_groups}
            deforming = {group.index for group in obj.vertex_groups if group.name in armature.data.bones}
            weights = {number: np.zeros(len(part.points), np.float32) for number in set(moving.values()) - {-1}}
            vertices = obj.data.vertices
            for first in range(0, len(vertices) if weights else 0, _CHUNK):
                for index in range(first, min(first + _CHUNK, len(vertices))):
                    groups = [(g.group, g.weight) for g in vertices[index].groups if g.group in deforming]
                    total = sum(weight for _, weight in groups)
                    for group, weight in groups:
                        if moving[group] >= 0 and total > 0:
                            weights[moving[group]][index] += weight / total
                yield
            part.bones = {number: how for number, how in weights.items() if how.any()}

    def _moving(self, armature: Any, name: str) -> int:
        """The number of the moving bone that a bone goes with: itself or the nearest above it; -1 for none."""
        bone = armature.data.bones.get(name)
        chain = () if bone is None else (bone, *bone.parent_recursive)
        return next((self._bones.index(b.name) for b in chain if b.name in self._bones), -1)

    def _to_space(self, obj: bpy.types.Object) -> Floats:
        """From a mesh to the character's space, at rest: a mesh that a bone carries is where its bone rests."""
        assert self._space is not None
        if obj.parent == self._space and obj.parent_type == "BONE" and obj.parent_bone in self._space.data.bones:
            bone = self._space.data.bones[obj.parent_bone]
            rest = bone.matrix_local @ Matrix.Translation((0.0, bone.length, 0.0))
            return np.array(rest @ obj.matrix_parent_inverse @ obj.matrix_basis, np.float32)
        return np.array(self._space.matrix_world.inverted_safe() @ obj.matrix_world, np.float32)

    def _frame(self) -> None:
        """What the picture shows: what moves most, and a little more."""
        moved = []
        for part in self._parts:
            for places, offsets in part.keys.values():
                reach = np.linalg.norm(offsets, axis=1)
                moved += [part.points[places[reach > _MUCH * reach.max()]]] if len(places) else []
            if not part.keys and not any(other.keys for other in self._parts):
                moved += [part.points[how > _HALF] for how in part.bones.values()]
        moved = [points for points in moved if len(points)] or [part.points for part in self._parts]
        if not moved:
            return
        across = np.concatenate(moved) @ self._axes
        low, high = np.percentile(across[:, :2], (_FEW, 100 - _FEW), axis=0)
        self._centre = 0.5 * (low + high)
        self._size = float(max(0.5 * _AROUND * (high - low).max(), 1e-6))

    # ------------------------------------------------------------------------------------------------ posing

    def _turns(self, armature: Any, targets: Sequence[Target], frame: int) -> dict[int, Floats]:
        """Number of a moving bone -> how it and what hangs on it is moved in the character's space, (4, 4)."""
        values: dict[str, dict[str, dict[int, float]]] = {}
        for target in targets:
            if target.owner.kind == "OBJECT":
                kind = target.path.rpartition(".")[2]
                values.setdefault(target.label, {}).setdefault(kind, {})[target.index] = float(target.values[frame])
        own = {}
        for name, moves in values.items():
            if armature is not None and name in self._bones and name in armature.pose.bones:
                bone = armature.pose.bones[name]
                rest = bone.bone.matrix_local
                own[name] = rest @ _basis(bone.rotation_mode, moves) @ rest.inverted_safe()
        turns = {}
        for name, turn in own.items():
            for above in armature.data.bones[name].parent_recursive if armature is not None else ():
                turn = own.get(above.name, Matrix()) @ turn
            turns[self._bones.index(name)] = np.array(turn, np.float32)
        return turns


def _basis(mode: str, moves: Mapping[str, Mapping[int, float]]) -> Matrix:
    """What the channels of a pose bone make of it."""
    turned = Matrix()
    if quaternion := moves.get("rotation_quaternion"):
        turned = Quaternion([quaternion.get(k, float(k == 0)) for k in range(4)]).to_matrix().to_4x4()
    elif angle := moves.get("rotation_axis_angle"):
        turned = Matrix.Rotation(angle.get(0, 0.0), 4, [angle.get(k, float(k == 2)) for k in (1, 2, 3)])
    elif euler := moves.get("rotation_euler"):
        turned = Euler([euler.get(k, 0.0) for k in range(3)], mode).to_matrix().to_4x4()
    place = moves.get("location", {})
    return Matrix.Translation([place.get(k, 0.0) for k in range(3)]) @ turned


def _coordinates(points: Any) -> Floats:
    flat = np.empty(len(points) * 3, np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def _faces(mesh: Any) -> tuple[Ints, Floats]:
    """The triangles of a mesh and the colour of each."""
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    corners, slots = np.empty(3 * count, np.int32), np.empty(count, np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    mesh.loop_triangles.foreach_get("material_index", slots)
    looks = np.array([_colour(material) for material in mesh.materials] or [_COLOUR], np.float32)
    return corners.reshape(-1, 3).astype(np.intp), looks[np.minimum(slots, len(looks) - 1)]


def _colour(material: Any) -> tuple[float, ...]:
    """The colour in which a solid viewport shows a material; skin where nobody chose one."""
    if material is None:
        return _COLOUR
    colour = tuple(material.diffuse_color)[:3]
    return _COLOUR if all(abs(part - 0.8) < 1e-4 for part in colour) else colour
