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
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Thread
from typing import Any, Final

import bpy
from bpy.app.handlers import persistent

from ..shared import ARKIT55
from .detection.bones import switches
from .detection.editable import rendering
from .detection.naming import is_modelling
from .direct import JAW_TURNS
from .effects import STILL, Effect, Verdict
from .face_parts import LIDS, Face
from .mapping import Mapping as FaceMapping
from .mapping_edits import Target, targets_of
from .rig import Rig, turned_bones
from .stage import LEFT_OUT, Moved, Pose, Stage, key_pose
from .verdicts import verdicts

#: Seconds that a slice takes, about, and between two of them.
_SLICE: Final = 0.03
_PAUSE: Final = 0.02
#: Radians, and strength of what is no angle.
_HEAD_ANGLE: Final = 0.3
#: Keys without a channel that are looked at as well, at most: one of them may be what a channel lacks.
_MORE_KEYS: Final = 100


@dataclass
class Measured:
    """What was measured on a character.

    Attributes:
        effects: pose -> what it does; a pose that was not measured yet is not here.
        problem: why nothing could be measured, a sentence; "" where it was.
        unit: distance between the eyes in the character's own space.
        aside: why nothing can be compared with a face, a sentence; "" where it can.
        unseen: the objects that takes move as well and that were hidden.
        teeth: the turn of the jaw bone at jawOpen with which teeth follow a key that leaves them where they are;
            0 where none is needed.
        told: what was concluded of it, by who asked: `remembered`.
    """

    effects: dict[Pose, Effect] = field(default_factory=dict)
    problem: str = ""
    unit: float = 0.0
    aside: str = ""
    unseen: tuple[str, ...] = ()
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
    poses = poses_of(mapping)
    asked = tuple(poses.items())
    if asked not in measured.told:
        effects = {c: measured.effects[p] for c, p in poses.items() if p in measured.effects}
        # A face on which nothing moves at all is one that is still being made.
        found = verdicts(effects, _joined(poses)) if any(e.reach >= STILL for e in effects.values()) else {}
        found = {channel: _of_a_joined_key(channel, found, poses) for channel in found}
        for channel, other in _leads(poses, effects).items():  # whatever that looks like
            if found and found[channel].kind in ("RIGHT", "UNKNOWN"):
                found[channel] = replace(found[channel], kind="DOUBT", seems=other)
        measured.told[asked] = found
    return measured.told[asked]


def _joined(poses: dict[str, Pose]) -> dict[str, set[str]]:
    """Channel -> those that share a target with it."""
    moved = {channel: {(target.kind, target.name) for target in targets} for channel, (targets, _) in poses.items()}
    return {c: {other for other in moved if other != c and moved[c] & moved[other]} for c in moved}


def _of_a_joined_key(channel: str, found: dict[str, Verdict], poses: dict[str, Pose]) -> Verdict:
    """What a channel is seen to do; one that shares its keys with another channel may do no more than that one."""
    verdict = found[channel]
    other = found.get(verdict.seems)
    if verdict.kind != "WRONG" or verdict.swapped or other is None or not other.holds:
        return verdict
    ways = [
        [(t.kind, t.name, isinstance(t.value, float) and t.value < 0) for t in poses[c][0]]
        for c in (channel, verdict.seems)
    ]
    return replace(verdict, kind=other.kind, seems=other.seems) if ways[0] == ways[1] else verdict


def _leads(poses: dict[str, Pose], effects: dict[str, Effect]) -> dict[str, str]:
    """Channel -> another one that it moves as well, by a driver of that one's key."""
    keys = {c: {target.name for target in targets if target.kind == "KEY"} for c, (targets, _) in poses.items()}
    joined = _joined(poses)
    return {
        channel: other
        for channel, effect in effects.items()
        for other in keys
        if other not in {channel, *joined[channel]} and effect.led & keys[other]
    }


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


def begin(scene: bpy.types.Scene, rig: Rig, mapping: FaceMapping | None) -> None:
    """Begin to measure, a slice whenever Blender's interface has a moment; `measure` does what is left of it."""
    global _begun
    if known(rig) is None and not bpy.app.background:
        _begun = _fingerprint(rig), measuring(scene, rig, mapping)
        if not bpy.app.timers.is_registered(_go_on):
            bpy.app.timers.register(_go_on, first_interval=_PAUSE)


def _go_on() -> float | None:
    global _begun
    if rendering():  # it reads what a slice would move
        return _PAUSE
    try:
        if _begun is not None and next(_begun[1], None) is not None:
            return _PAUSE
    except ReferenceError:  # the face was deleted, or another file was loaded
        pass
    _begun = None
    return None


@persistent
def _replaced(*_arguments: object) -> None:
    """Undo and redo leave datablocks where they are and free what they are made of: slices must not go on with that."""
    global _begun
    _begun = None


#: What has to happen when in Blender.
HANDLERS: Final = (("undo_post", _replaced), ("redo_post", _replaced))


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
    before, wanted = _known.get(print_now, Measured()), _poses(rig, mapping)
    if all(pose in before.effects for pose in wanted):
        return
    # All of it anew: a face is found from everything that moves.
    measured, wanted = Measured(), list(dict.fromkeys((*wanted, *before.effects)))
    poses = poses_of(mapping) if mapping is not None and mapping.source_space == ARKIT55.name else {}
    named = {target.name for targets, _ in poses.values() for target in targets if target.kind == "KEY"}
    stage = Stage(scene, rig, named)
    measured.problem = stage.problem
    measured.unseen = tuple(obj.name for obj in rig.followers if obj not in stage.meshes and not obj.visible_get())
    if not stage.problem:
        lids = [poses[c] for c in LIDS if c in poses and c not in rig.shape_keys]
        yield from _measured(stage, measured, wanted, lids)
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
    lids = [key_pose(name) for channel in LIDS for name in rig.shape_keys.get(channel, ())]
    return list(dict.fromkeys([*poses, *lids]))


def _measured(stage: Stage, measured: Measured, wanted: list[Pose], lids: list[Pose]) -> Iterator[float]:
    seen: dict[Pose, Moved] = {}
    queue = sorted(wanted, key=stage.moves_bones)
    while queue:
        if problem := stage.edited():  # since the last slice: what was seen says nothing of what is there afterwards
            measured.problem = problem
            return
        posed = stage.moves_bones(queue[0])
        with stage.at_rest(posed):
            start, last = time.perf_counter(), 0.0
            # One more only where it is likely to fit as well.
            while queue and stage.moves_bones(queue[0]) == posed and time.perf_counter() - start + last < _SLICE:
                began, pose = time.perf_counter(), queue.pop(0)
                seen[pose] = stage.moved(pose)
                last = time.perf_counter() - began
        yield 0.8 * len(seen) / len(wanted)
    stage.view_layer.update()
    yield 0.8
    face = Face(stage, seen, lids)
    for _ in face.reading():
        if problem := stage.edited():
            measured.problem = problem
            return
        yield 0.8

    def compare() -> None:  # numbers alone: nothing of Blender is touched
        face.find()
        measured.unit, measured.aside = face.unit, face.aside
        measured.effects |= {pose: face.effect(moved) for pose, moved in seen.items()}
        measured.teeth = face.teeth(seen)

    thread = Thread(target=compare, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_SLICE)
        yield 0.9
    measured.told.clear()
    yield 1.0


@cache
def _settings_of(kind: str) -> tuple[str, ...]:
    """The plain settings of a kind of modifier or constraint, by name."""
    properties = getattr(bpy.types, kind).bl_rna.properties
    shown = {"name", "active", "influence", "mute", "use_pin_to_last"}
    return tuple(
        p.identifier
        for p in properties
        if p.type in ("BOOLEAN", "INT", "FLOAT", "ENUM", "STRING")
        and not (p.is_readonly or p.identifier in shown or p.identifier.startswith("show_"))
        and (not getattr(p, "is_array", False) or len(p.array_dimensions) == 1 or not p.array_dimensions[1])
    )


def _driver(curve: bpy.types.FCurve) -> tuple[object, ...]:
    driver = curve.driver
    read = tuple(target.data_path for variable in driver.variables for target in variable.targets)
    return curve.data_path, curve.mute, driver.type, driver.expression, read


def _settings(struct: Any) -> tuple[object, ...]:
    values = (getattr(struct, name) for name in _settings_of(type(struct).__name__))
    plain = tuple(v if isinstance(v, (str, bool, int, float)) else tuple(v) for v in values)
    return struct.type, *plain


def _fingerprint(rig: Rig) -> object:
    """What an effect depends on, as far as it can be told quickly: not where each vertex is."""

    def of(obj: bpy.types.Object) -> object:
        mesh: Any = obj.data
        key = mesh.shape_keys
        data = key.animation_data if key is not None else None
        drivers = tuple(map(_driver, data.drivers)) if data is not None else ()
        modifiers = tuple((m.show_viewport, _settings(m)) for m in obj.modifiers if m.type not in LEFT_OUT)
        names = tuple((block.name, block.vertex_group) for block in key.key_blocks) if key is not None else ()
        return mesh.session_uid, len(mesh.vertices), names, drivers, modifiers, obj.visible_get()

    bones: tuple[object, ...] = ()
    if rig.armature is not None:
        pose, data = rig.armature.pose.bones, rig.armature.animation_data
        own = tuple(f'pose.bones["{bpy.utils.escape_identifier(name)}"]' for name in rig.bones.values())
        drivers = [curve for curve in (data.drivers if data is not None else ()) if curve.data_path.startswith(own)]
        blended = switches(rig.armature, turned_bones(rig), drivers)  # reading paths of hundreds takes a while
        bones = tuple(
            (
                role,
                name,
                *pose[name].lock_rotation,
                *(
                    (c.enabled, "blended" if c in blended else c.influence, _settings(c), getattr(c, "target", None))
                    for c in pose[name].constraints
                ),
            )
            for role, name in rig.bones.items()
            if name in pose
        )
        bones = (rig.armature.session_uid, len(pose), tuple(rig.aims), *map(_driver, drivers), *bones)
    return tuple(map(of, rig.meshes)), bones, rig.axes
