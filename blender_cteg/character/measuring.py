# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring: what each channel really does to a face, on the face as Blender evaluates it, drivers and constraints
included.

The character is brought to rest for a moment, moved by one channel at a time, looked at, and put back: its keys, values
and selection stay the animator's. It is done once, in slices, by operators; whoever draws or lists asks `known`.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from ..clip import Clip
from ..performance.controls import bone_channels
from ..sentences import told
from ..shared import ARKIT55
from .axes import rotation_matrix
from .detection.character import armature_of, belongs
from .detection.eyes import vertices_of
from .detection.naming import is_modelling
from .direct import EYE_TURNS, JAW_TURNS
from .effects import STILL, Effect, Verdict, verdicts
from .fitting.actions import eye_distance, template
from .fitting.surface import Points, find_points, islands
from .mapping import Mapping as FaceMapping
from .mapping_edits import Target, targets_of
from .rig import Rig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
#: What one channel moves, and how far the channel goes.
Pose = tuple[tuple[Target, ...], float]

#: Seconds that a slice takes, about, and between two of them.
_SLICE: Final = 0.03
_PAUSE: Final = 0.02
#: Modifiers that make other vertices of a mesh's own, as many as the pose has it, or take their time. They say nothing
#: about what moves.
_LEFT_OUT: Final = frozenset(
    "SUBSURF MULTIRES CLOTH SOFT_BODY DYNAMIC_PAINT OCEAN REMESH DECIMATE WELD BEVEL TRIANGULATE WEIGHTED_NORMAL ARRAY "
    "EDGE_SPLIT SOLIDIFY WIREFRAME SKIN BOOLEAN BUILD EXPLODE PARTICLE_SYSTEM".split()
)
#: Radians, and strength of what is no angle.
_HEAD_ANGLE: Final = 0.3
#: Keys without a channel that are looked at as well, at most: one of them may be what a channel lacks.
_MORE_KEYS: Final = 100
_SLIDER_LIMIT: Final = 10.0
#: A mesh with more is scanned clothing or hair.
_MOST_VERTICES: Final = 200_000
#: Skin vertices that the template is drawn to, at most: more would take seconds and be no better.
_SKIN: Final = 1500
#: How far a face may be from an ordinary one, in eye distances: drawn ones are far, and comparing needs no fit.
_BENT: Final = 0.18
#: Radians by which a face may be held aslant, by a constraint on its head, without being set upright first.
_ASLANT: Final = 0.15
#: An eyeball: at most so much longer one way than another; so far from where eyes are, in eye distances.
_ROUND: Final = 1.8
_NEAR_EYE: Final = 0.35
#: Whose keys say where the eyes are.
_LIDS: Final = tuple(f"eye{what}{side}" for what in ("Blink", "Wide", "Squint") for side in ("Left", "Right"))


@dataclass
class Measured:
    """What was measured on a character.

    Attributes:
        effects: pose -> what it does; a pose that was not measured yet is not here.
        problem: why nothing could be measured, a sentence; "" where it was.
        unit: distance between the eyes in the character's own space.
        aside: why nothing can be compared with a face, a sentence; "" where it can.
        teeth: the turn of the jaw bone at jawOpen with which teeth follow a key that leaves them where they are;
            0 where none is needed.
        told: what was concluded of it, by who asked: `remembered`.
    """

    effects: dict[Pose, Effect] = field(default_factory=dict)
    problem: str = ""
    unit: float = 0.0
    aside: str = ""
    teeth: float = 0.0
    told: dict[object, Any] = field(default_factory=dict)


#: What `begin` began: the character, and the rest of the work.
_begun: tuple[object, Iterator[float]] | None = None
#: Character (`_fingerprint`) -> what is known of it.
_known: dict[object, Measured] = {}


def known(rig: Rig) -> Measured | None:
    """What was measured on a character as it is now; None where that was not done. Takes less than a millisecond."""
    return _known.get(_fingerprint(rig)) if rig.object is not None else None


def verdicts_of(rig: Rig, mapping: FaceMapping) -> dict[str, Verdict]:
    """What is to be thought of the channels of an arkit55 mapping, as far as they were measured."""
    measured = known(rig)
    if measured is None or mapping.source_space != ARKIT55.name:
        return {}
    poses = tuple(poses_of(mapping).items())
    if poses not in measured.told:
        effects = {c: measured.effects[p] for c, p in poses if p in measured.effects}
        # A face on which nothing moves at all is one that is still being made.
        measured.told[poses] = verdicts(effects) if any(e.reach >= STILL for e in effects.values()) else {}
    found: dict[str, Verdict] = measured.told[poses]
    return found


def forget(rig: Rig | None = None) -> None:
    """Measure a character anew when it is asked for again; all of them without one."""
    if rig is None:
        _known.clear()
    else:
        _known.pop(_fingerprint(rig), None)


def poses_of(mapping: FaceMapping) -> dict[str, Pose]:
    """Channel -> its pose, for all that drive something."""
    driving = mapping.driving()
    return {
        channel: (targets_of(mapping, channel), _HEAD_ANGLE if channel.startswith("head") else 1.0)
        for channel in ARKIT55.channels
        if channel in driving
    }


def key_pose(name: str) -> Pose:
    """A shape key alone."""
    return (Target("KEY", name, 1.0),), 1.0


def begin(scene: bpy.types.Scene, rig: Rig, mapping: FaceMapping | None) -> None:
    """Begin to measure, a slice whenever Blender's interface has a moment; `measure` does what is left of it."""
    global _begun
    if known(rig) is None and not bpy.app.background:
        _begun = _fingerprint(rig), measuring(scene, rig, mapping)
        if not bpy.app.timers.is_registered(_go_on):
            bpy.app.timers.register(_go_on, first_interval=_PAUSE)


def _go_on() -> float | None:
    global _begun
    try:
        if _begun is not None and next(_begun[1], None) is not None:
            return _PAUSE
    except ReferenceError:  # the face was deleted, or another file was loaded
        pass
    _begun = None
    return None


def measure(scene: bpy.types.Scene, rig: Rig, mapping: FaceMapping | None) -> Measured:
    """Measure what a mapping does on a character, at once. Never raises for what a character is like."""
    global _begun
    begun, _begun = _begun, None
    if begun is not None and begun[0] == _fingerprint(rig):
        with contextlib.suppress(ReferenceError):
            deque(begun[1], maxlen=0)
    deque(measuring(scene, rig, mapping), maxlen=0)
    return known(rig) or Measured()


def measuring(scene: bpy.types.Scene, rig: Rig, mapping: FaceMapping | None) -> Iterator[float]:
    """The same in slices of some hundredths of a second: how much of it is done, 0..1, after each.

    Between two slices the character is as the animator left it.
    """
    if rig.object is None or rig.problem is not None:
        return
    print_now = _fingerprint(rig)
    measured = _known.get(print_now) or Measured()
    wanted = [pose for pose in _poses(rig, mapping) if pose not in measured.effects]
    if not wanted:
        return
    stage = Stage(scene, rig)
    measured.problem = stage.problem
    if not stage.problem:
        yield from _measured(stage, measured, wanted)
    if len(_known) > 32:
        _known.clear()
    _known[print_now] = measured


def _poses(rig: Rig, mapping: FaceMapping | None) -> list[Pose]:
    """What is worth measuring: the channels of a mapping, keys without one, and bones that hold teeth and eyes."""
    poses = list(poses_of(mapping).values()) if mapping is not None and mapping.source_space == ARKIT55.name else []
    used = {target.name for targets, _ in poses for target in targets if target.kind == "KEY"}
    poses += [key_pose(name) for name in rig.keys if name not in used and not is_modelling(name)][:_MORE_KEYS]
    if "jaw" in rig.bones:
        poses.append(((Target("ROLE", "jaw", JAW_TURNS["jawOpen"]),), 1.0))
    lids = [key_pose(name) for channel in _LIDS for name in rig.shape_keys.get(channel, ())]
    return list(dict.fromkeys([*poses, *lids]))


def _measured(stage: Stage, measured: Measured, wanted: list[Pose]) -> Iterator[float]:
    seen: dict[Pose, _Moved] = {}
    queue = list(wanted)
    while queue:
        with stage.at_rest():
            start = time.perf_counter()
            while queue and time.perf_counter() - start < _SLICE:
                pose = queue.pop(0)
                seen[pose] = stage.moved(pose)
        yield 0.8 * len(seen) / len(wanted)
    stage.view_layer.update()
    face = Face(stage, seen)
    thread = Thread(target=face.find, daemon=True)  # numbers alone: nothing of Blender is touched
    thread.start()
    while thread.is_alive():
        thread.join(_SLICE)
        yield 0.85
    measured.unit, measured.aside = face.unit, face.aside
    for number, (pose, moved) in enumerate(seen.items()):
        measured.effects[pose] = face.effect(moved)
        if number % 8 == 7:
            yield 0.9
    measured.teeth = face.teeth(seen)
    measured.told.clear()
    yield 1.0


@dataclass(frozen=True)
class _Moved:
    """Which vertices of the character a pose moves, and by how much: shape (M,), and (M, 3) in FLAME axes.

    Not ``compared``: there were more or fewer vertices than at rest, so nobody can tell.
    """

    vertices: Ints
    by: npt.NDArray[np.float32]
    compared: bool = True


class Stage:
    """A character at rest for a moment.

    Attributes:
        problem: why it cannot be looked at, a sentence; "" where it can.
        rest: the vertices of all its meshes at rest, shape (N, 3), in FLAME axes.
    """

    def __init__(self, scene: bpy.types.Scene, rig: Rig) -> None:
        face = rig.object
        assert face is not None
        self.rig, self.problem = rig, ""
        here = bpy.context.view_layer
        self.view_layer = here if bpy.context.scene == scene and here is not None else scene.view_layers[0]
        self.space = rig.armature if rig.armature is not None else face
        self.meshes = [obj for obj in self._members() if obj.visible_get(view_layer=self.view_layer)]
        self.rest, self._still = np.zeros((0, 3), np.float32), 0.0
        if face not in self.meshes:
            sentence = "{name} is hidden, so nobody can look whether its channels do what they are called. Show it."
            self.problem = told(sentence, name=face.name)
        elif any(obj.mode in ("EDIT", "SCULPT") for obj in self.meshes):
            sentence = "{name} is being edited, so nobody can look whether its channels do what they are called."
            self.problem = told(sentence, name=face.name)

    def _belongs(self, obj: bpy.types.Object) -> bool:
        armature = self.rig.armature
        return (armature is not None and armature_of(obj) == armature) or belongs(self.rig.object, obj)

    def _members(self) -> list[bpy.types.Object]:
        members = dict.fromkeys(self.rig.meshes)
        for obj in bpy.data.objects:
            if obj.type == "MESH" and len(obj.data.vertices) < _MOST_VERTICES and self._belongs(obj):
                members[obj] = None
        return list(members)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """The character without any expression; afterwards it is as it was, whatever happens."""
        with ExitStack() as undo:
            for obj in self.meshes:
                _set(undo, obj, "show_only_shape_key", False)
                for modifier in obj.modifiers:
                    if modifier.type in _LEFT_OUT:
                        _set(undo, modifier, "show_viewport", False)
                    elif modifier.type == "MIRROR":  # what meets in the middle depends on the pose
                        _set(undo, modifier, "use_mirror_merge", False)
            names = set(self.rig.keys)
            for key, _ in self.rig.keyed_meshes:
                for block in key.key_blocks:
                    if block.name in names and not is_modelling(block.name) and block != key.reference_key:
                        _set(undo, block, "mute", False)
                        _set(undo, block, "slider_min", min(block.slider_min, 0.0))
                        _set(undo, block, "value", 0.0)
            if self.rig.armature is not None:
                _set(undo, self.rig.armature.data, "pose_position", "POSE")
                for bone in self.rig.armature.pose.bones:
                    _rest(undo, bone)
            if not len(self.rest):
                self.view_layer.update()
                self.rest = self._read()
                self._still = 1e-5 * max(float(np.ptp(self.rest, axis=0).max()), 1e-12)
            yield

    def moved(self, pose: Pose) -> _Moved:
        """What a pose does. The character has to be `at_rest`, and is again."""
        targets, amount = pose
        with ExitStack() as undo:
            self._strike(undo, targets, amount)
            self.view_layer.update()
            now = self._read()
        if len(now) != len(self.rest):
            return _Moved(np.empty(0, np.intp), np.empty((0, 3), np.float32), compared=False)
        by = now - self.rest
        vertices: Ints = np.flatnonzero(np.einsum("vi,vi->v", by, by) > self._still**2)
        return _Moved(vertices, by[vertices])

    def _strike(self, undo: ExitStack, targets: tuple[Target, ...], amount: float) -> None:
        mapping = _alone(targets)
        channel = next(iter(mapping.driving()), "")
        if not channel:
            return
        performance = mapping.apply(Clip(np.array([[amount]], np.float32), (channel,), 24.0, mapping.source_space))
        for key, _ in self.rig.keyed_meshes:
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

    def _read(self) -> npt.NDArray[np.float32]:
        """All vertices as they are evaluated, in FLAME axes and the unit of the character's own space."""
        depsgraph = self.view_layer.depsgraph
        into = self.space.evaluated_get(depsgraph).matrix_world.inverted_safe()
        parts = []
        for obj in self.meshes:
            evaluated = obj.evaluated_get(depsgraph)
            vertices = evaluated.data.vertices
            flat = np.empty(3 * len(vertices), np.float32)
            vertices.foreach_get("co", flat)
            matrix = np.array(self.rig.axes).T @ np.array(into @ evaluated.matrix_world)[:3]
            parts.append(flat.reshape(-1, 3) @ matrix[:, :3].T.astype(np.float32) + matrix[:, 3].astype(np.float32))
        return np.concatenate(parts)

    def triangles(self) -> tuple[Ints, Ints]:
        """Vertex indices of all triangles, shape (F, 3), and where each mesh's vertices begin."""
        depsgraph, found, begin = self.view_layer.depsgraph, [], [0]
        for obj in self.meshes:
            mesh = obj.evaluated_get(depsgraph).data
            mesh.calc_loop_triangles()
            flat = np.empty(3 * len(mesh.loop_triangles), np.int32)
            mesh.loop_triangles.foreach_get("vertices", flat)
            found.append(flat.reshape(-1, 3).astype(np.intp) + begin[-1])
            begin.append(begin[-1] + len(mesh.vertices))
        return np.concatenate(found), np.array(begin)


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


class Face:
    """Where the parts of a face are, found from what moves.

    Attributes:
        unit: distance between the eyes; without eyes, of what moves, about the same.
        aside: why nothing can be compared with a face, a sentence; "" where it can.
    """

    def __init__(self, stage: Stage, seen: Mapping[Pose, _Moved]) -> None:
        self._rest, self._rig = stage.rest.astype(np.float64), stage.rig
        with stage.at_rest():
            stage.view_layer.update()
            self._triangles, begin = stage.triangles()
        # Where a modifier makes other vertices, groups do not say whose they are.
        own = [
            (obj, at)
            for obj, at, count in zip(stage.meshes, begin, np.diff(begin), strict=False)
            if count == len(obj.data.vertices)
        ]
        self._owned = {  # reads vertex groups, so it is done here and not beside Blender
            role: np.concatenate([np.empty(0, np.intp), *(vertices_of(obj, stage.rig, role) + at for obj, at in own)])
            for role in EYE_TURNS
            if role in stage.rig.bones
        }
        if begin[-1] != len(self._rest):  # a modifier that changes how many vertices there are
            self._triangles, self._owned = np.empty((0, 3), np.intp), {}
        self._heads = self._bone_heads()
        keyed = [moved for (targets, _), moved in seen.items() if any(target.kind != "ROLE" for target in targets)]
        self._motion = np.zeros(len(self._rest))
        for moved in keyed:
            squared = (moved.by.astype(np.float64) ** 2).sum(1)
            self._motion[moved.vertices] += squared / max(float(squared.max(initial=0.0)), 1e-30)
        lids = {key_pose(name) for channel in _LIDS for name in stage.rig.shape_keys.get(channel, ())}
        self._lids = [moved for pose, moved in seen.items() if pose in lids and len(moved.vertices)]
        self._points: Points | None = None
        self._upright = np.eye(3)
        self._balls: dict[str, Ints] = {}
        self.unit, self.aside = self._rough_unit(), ""

    def _bone_heads(self) -> Floats | None:
        rig = self._rig
        if rig.armature is None or not {"left_eye", "right_eye"} <= rig.bones.keys():
            return None
        bones = rig.armature.data.bones
        heads: Floats = np.array([bones[rig.bones[role]].head_local for role in EYE_TURNS]) @ np.array(rig.axes)
        return heads

    def _rough_unit(self) -> float:
        moving = self._rest[self._motion > 0.01 * self._motion.max(initial=0.0)] if self._motion.any() else self._rest
        return 0.4 * float(np.linalg.norm(np.ptp(moving, axis=0))) if len(moving) else 1.0

    def find(self) -> None:
        """Find eyes and skin: numbers alone, for a thread of its own."""
        try:
            eyes, part = self._eyes()
            if eyes is not None:
                self.unit = float(np.linalg.norm(eyes[0] - eyes[1])) / float(
                    np.linalg.norm(np.subtract(*template().eyes))
                )
                self._balls = self._eyeballs(eyes, part)
                balls = np.concatenate(list(self._balls.values())) if self._balls else np.empty(0, np.intp)
                motion = self._motion.copy()
                motion[balls] = 0.0
                self._points = find_points(
                    self._rest, self._triangles, motion, template(), eyes=eyes, most=_SKIN, bent=_BENT
                )
                if self._points is not None:
                    places = self._points.of(self._rest)
                    self.unit, self._upright = eye_distance(places), _upright(places)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):  # a shape that no arithmetic stands on
            self._points = None
        if self._points is None:
            self.aside = told(
                "Its face was not found, so channels were not compared with what they are called: neither eye bones "
                "nor keys of the lids show where the eyes are."
            )

    def _eyes(self) -> tuple[Floats | None, Ints]:
        """Centres of the left and the right eye, (2, 3), and the connected part of each vertex."""
        part = islands(len(self._rest), self._triangles) if len(self._triangles) else np.arange(len(self._rest))
        lids = self._lid_centres()
        if self._heads is not None:
            heads = self._heads[np.argsort(-self._heads[:, 0])]  # which is which is seen, not read
            apart = float(np.linalg.norm(heads[0] - heads[1]))
            if apart > 0 and (lids is None or np.linalg.norm(heads - lids, axis=1).max() < 0.6 * apart):
                return heads, part
        if lids is None:
            return None, part
        apart = float(np.linalg.norm(lids[0] - lids[1]))
        centres = lids + np.array(_FROM_LIDS) * apart
        balls = [self._ball_near(centre, _NEAR_EYE * apart, part) for centre in centres]
        if all(len(ball) for ball in balls):
            centres = np.array([_middle(self._rest[ball]) for ball in balls])
        return centres, part

    def _lid_centres(self) -> Floats | None:
        """The middle of what moves the lids of the left and the right eye, (2, 3)."""
        if not self._lids:
            return None
        middle = float(np.average(self._rest[:, 0], weights=self._motion))
        sides: tuple[list[Floats], list[Floats]] = ([], [])
        for moved in self._lids:
            at, squared = self._rest[moved.vertices], (moved.by.astype(np.float64) ** 2).sum(1)
            for side, here in zip(sides, (at[:, 0] > middle, at[:, 0] < middle), strict=True):
                if squared[here].sum() > 0.25 * squared.sum():
                    side.append(squared[here] @ at[here] / squared[here].sum())
        return np.array([np.median(side, axis=0) for side in sides]) if all(sides) else None

    def _eyeballs(self, eyes: Floats, part: Ints) -> dict[str, Ints]:
        """The vertices of the left and the right eyeball, by role; without what is not found."""
        apart = float(np.linalg.norm(eyes[0] - eyes[1]))
        balls = {}
        for role, centre in zip(EYE_TURNS, eyes, strict=True):
            owned = [self._owned[r] for r in EYE_TURNS if r in self._owned and len(self._owned[r])]
            near = [o for o in owned if np.linalg.norm(_middle(self._rest[o]) - centre) < _NEAR_EYE * apart]
            ball = near[0] if near else self._ball_near(centre, _NEAR_EYE * apart, part)
            if len(ball) >= 8:
                balls[role] = ball
        return balls

    def _ball_near(self, centre: Floats, reach: float, part: Ints) -> Ints:
        """The vertices of the largest round part whose middle is near a place."""
        near = np.flatnonzero(((self._rest - centre) ** 2).sum(1) < (2 * reach) ** 2)
        best, most = np.empty(0, np.intp), 0.0
        for name in np.unique(part[near]):
            ball = np.flatnonzero(part == name)
            size = np.ptp(self._rest[ball], axis=0)
            if len(ball) < 12 or size.min() <= 0 or size.max() > _ROUND * size.min() or size.max() > 2.5 * reach:
                continue
            if np.linalg.norm(_middle(self._rest[ball]) - centre) < reach and size.max() > most:
                best, most = ball, float(size.max())
        return best

    def effect(self, moved: _Moved) -> Effect:
        """What these displacements are, in eye distances."""
        if not moved.compared:
            return Effect(float("nan"))
        if not len(moved.vertices):
            none = np.zeros((self._points.size, 3)) if self._points is not None else None
            return Effect(0.0, none, {role: np.zeros(3) for role in self._balls})
        by = moved.by.astype(np.float64) / self.unit
        squared = (by**2).sum(1)
        middle = self._points.of(self._rest)[36:48].mean(0) if self._points is not None else self._rest.mean(0)
        place = (squared @ self._rest[moved.vertices] / squared.sum() - middle) / self.unit
        full = np.zeros_like(self._rest)
        full[moved.vertices] = by
        turns = {role: _turn(self._rest[ball] / self.unit, full[ball]) for role, ball in self._balls.items()}
        shown = None
        if self._points is not None:
            shown = self._points.of(full)
            turns["head"] = _turn(self._points.of(self._rest) / self.unit, shown)
            shown = shown @ self._upright
        way = squared @ by / squared.sum()
        return Effect(float(np.sqrt(squared.max())), shown, turns, place, way)

    def teeth(self, seen: Mapping[Pose, _Moved]) -> float:
        """See `Measured.teeth`."""
        bone = seen.get(((Target("ROLE", "jaw", JAW_TURNS["jawOpen"]),), 1.0))
        names = self._rig.shape_keys.get("jawOpen", ())
        keys = [seen[key_pose(name)] for name in names if key_pose(name) in seen]
        if bone is None or not keys or self._points is None or not len(bone.vertices):
            return 0.0
        full = np.zeros_like(self._rest)
        for moved in keys:
            full[moved.vertices] += moved.by
        by_key, by_bone = self._points.of(full), np.zeros_like(full)
        by_bone[bone.vertices] = bone.by
        left = bone.vertices[np.abs(full[bone.vertices]).max(axis=1) < 0.05 * np.abs(bone.by).max()]
        if len(left) < 8 or np.linalg.norm(self._points.of(by_bone)) > 0.3 * np.linalg.norm(by_key):
            return 0.0
        assert self._rig.armature is not None
        joint = np.array(self._rig.armature.data.bones[self._rig.bones["jaw"]].head_local) @ np.array(self._rig.axes)
        chin = self._points.of(self._rest)[8] - joint
        full_turn = JAW_TURNS["jawOpen"][0]
        drop = float((rotation_matrix(np.array([full_turn, 0.0, 0.0])) @ chin - chin)[1])
        return round(min(1.5, max(0.0, float(by_key[8, 1]) / drop)) * full_turn, 3) if drop < 0 else 0.0


#: From the middle of what closes an eye to its centre, in eye distances.
_FROM_LIDS: Final = (0.0, -0.04, -0.15)


def _upright(places: Floats) -> Floats:
    """The rotation by which a face is held aslant, 3x3; none where it is about as the template is."""
    rest = template().positions
    affine = np.linalg.lstsq(rest - rest.mean(0), places - places.mean(0), rcond=None)[0].T
    u, _, v = np.linalg.svd(affine)
    turned: Floats = u @ v
    return turned if np.trace(turned) < 1 + 2 * np.cos(_ASLANT) else np.eye(3)


def _middle(points: Floats) -> Floats:
    middle: Floats = (points.min(0) + points.max(0)) / 2
    return middle


def _turn(points: Floats, by: Floats) -> Floats:
    """The rotation vector that explains displacements best, shape (3,) (Kabsch 1976)."""
    here, there = points - points.mean(0), points + by - (points + by).mean(0)
    u, _, v = np.linalg.svd(here.T @ there)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(v.T @ u.T)) or 1.0])
    turned = v.T @ flip @ u.T
    angle = float(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1.0, 1.0)))
    axis = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]])
    length = float(np.linalg.norm(axis))
    return axis * (angle / length) if length > 1e-12 else np.zeros(3)


def _fingerprint(rig: Rig) -> object:
    """What an effect depends on, as far as it can be told quickly: not where each vertex is."""

    def of(obj: bpy.types.Object) -> object:
        mesh: Any = obj.data
        key = mesh.shape_keys
        data = key.animation_data if key is not None else None
        drivers = tuple((d.data_path, d.mute) for d in data.drivers) if data is not None else ()
        modifiers = tuple((m.type, m.show_viewport) for m in obj.modifiers if m.type not in _LEFT_OUT)
        names = tuple(key.key_blocks.keys()) if key is not None else ()
        return mesh.session_uid, len(mesh.vertices), names, drivers, modifiers

    bones: tuple[object, ...] = ()
    if rig.armature is not None:
        pose = rig.armature.pose.bones
        bones = tuple(
            (
                role,
                name,
                tuple((c.type, c.enabled, c.influence) for c in pose[name].constraints),
                *pose[name].lock_rotation,
            )
            for role, name in rig.bones.items()
            if name in pose
        )
        bones = (rig.armature.session_uid, len(pose), *bones)
    return tuple(map(of, rig.meshes)), bones, rig.axes
