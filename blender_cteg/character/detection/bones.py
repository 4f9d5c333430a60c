# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones of a face: which of an armature's bones may be its controls, and which constraints on them somebody blends (no
``bpy`` at run time).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

#: Bones that are no controls: layers that generated rigs make for themselves (Rigify, CloudRig, Auto-Rig Pro), and what
#: only shows something.
_INNER: Final = re.compile(
    r"^(?:def|org|mch|vis|wgt|dsp|tan|aim|p|sq|lowerjaw)[-_]|_(?:retain|ref|track)(?:_\w+)?(?:\.\w)?$", re.IGNORECASE
)
#: Constraints that decide where a bone points, whatever its keys say.
_DECIDING: Final = frozenset(
    "ACTION ARMATURE CHILD_OF COPY_ROTATION COPY_TRANSFORMS DAMPED_TRACK IK LOCKED_TRACK SPLINE_IK TRACK_TO".split()
)
#: How far from the middle of the eyes a control of the face may be, in eye distances.
_REACH: Final = 2.6
#: Controls at most: each takes three evaluations. Rigify's faces have about a hundred.
_MOST: Final = 120
#: So many bones around the eyes are a face.
FEWEST_BONES: Final = 12


def face_bones(armature: Any, bones: Mapping[str, str]) -> list[str]:
    """The bones that may be controls of a face, by name; few or none where an armature has no face."""
    if armature is None or not {"left_eye", "right_eye", "jaw"} <= bones.keys():
        return []
    heads = {bone.name: np.array(bone.head_local) for bone in armature.data.bones}
    eyes = heads[bones["left_eye"]], heads[bones["right_eye"]]
    middle, unit = (eyes[0] + eyes[1]) / 2, float(np.linalg.norm(eyes[0] - eyes[1]))
    roles, pose = set(bones.values()), armature.pose.bones if armature.pose is not None else {}
    near = [n for n, head in heads.items() if np.linalg.norm(head - middle) < _REACH * unit]
    led = {bone.name for bone in pose for c in bone.constraints if decides(c) and c.influence > 0.9}
    free = [n for n in near if n not in roles | led and not _INNER.search(n)]
    return free if len(free) <= _MOST else [free[i] for i in _spread(np.array([heads[n] for n in free]), _MOST)]


def _spread(places: Any, count: int) -> list[int]:
    """The indices of so many places, each as far as can be from those before it: no part of a face has none."""
    found, apart = [0], np.linalg.norm(places - places[0], axis=1)
    while len(found) < count:
        found.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(places - places[found[-1]], axis=1))
    return sorted(found)


def decides(constraint: Any) -> bool:
    """Whether a constraint decides where its bone points; what it only adds to the keys does not."""
    adds = getattr(constraint, "mix_mode", "REPLACE") != "REPLACE"
    return constraint.type in _DECIDING and not adds and constraint.enabled and constraint.influence > 0


def all_strips(strips: Any) -> Iterator[Any]:
    """Strips, and those within them."""
    for strip in strips:
        yield strip
        yield from all_strips(strip.strips)


def switches(armature: Any, names: Iterable[str], drivers: Iterable[Any] | None = None) -> list[Any]:
    """The constraints of some bones whose influence is driven or animated: somebody blends them, as a gaze target is
    blended, and whatever it is now, the bones turn as they are keyed where it is 0.

    Those that shape keys drive belong to the face. ``drivers``: those that count, instead of all that read none.
    """
    data = armature.animation_data if armature is not None else None
    if data is None:
        return []
    if drivers is None:
        drivers = (c for c in data.drivers if c.data_path.endswith(".influence") and not _by_keys(c))
    paths = {curve.data_path for curve in drivers if not curve.mute}
    for action, slot in _played(data):
        bags = (strip.channelbag(slot) for layer in action.layers for strip in layer.strips)
        paths |= {curve.data_path for bag in bags if bag is not None for curve in bag.fcurves}
    if not any(path.endswith(".influence") for path in paths):
        return []
    bones = [armature.pose.bones[name] for name in names if name in armature.pose.bones]
    return [c for bone in bones for c in bone.constraints if f"{c.path_from_id()}.influence" in paths]


def _by_keys(curve: Any) -> bool:
    """Whether a driver reads shape keys."""
    return any(target.id_type == "KEY" for variable in curve.driver.variables for target in variable.targets)


def _played(data: Any) -> Iterator[tuple[Any, Any]]:
    """The actions that somebody is animated by, and their slots: its own, and those of its strips."""
    tracks = [track for track in data.nla_tracks if data.use_nla and not track.mute]
    strips = (strip for track in tracks for strip in all_strips(track.strips) if not strip.mute)
    for at in (data, *strips):
        if at.action is not None and at.action_slot is not None:
            yield at.action, at.action_slot
