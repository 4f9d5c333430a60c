# SPDX-License-Identifier: GPL-3.0-or-later
"""Mappings of bones that fit other faces: moves along the face's axes, in distances between the eyes.

So a pose set made on one Rigify face is one for all. Those that ship are presets (``data/presets``), made by
`benchmarks.pose_sets`.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ..direct import head_turns
from ..mapping import AXES, Control, Mapping, MappingError, Property, along
from ..mapping_edits import only
from ..presets import presets
from ..rig import Rig
from .bones import eye_distance, eyes_and_aims

_KINDS: Final[tuple[Property, ...]] = ("LOCATION", "ROTATION")
#: A pose set is for a face that has this share of its bones.
_MOST_OF_IT: Final = 0.8
#: Moves below this part of the distance between the eyes, or radians, cannot be seen.
_STILL: Final = 0.0015


def for_other_faces(rig: Rig, mapping: Mapping) -> Mapping:
    """The mapping of a face, without what its eyes look at.

    Raises:
        MappingError: no eye bones say how large the face is.
    """
    aims = {aim for aim, _ in rig.aims.values()}
    controls = {bone: row for bone, row in mapping.controls.items() if bone not in aims}
    return replace(mapping, controls=_turned(rig, controls, to_face=True), relative=True)


def on_face(rig: Rig, mapping: Mapping) -> Mapping:
    """A mapping for other faces as this face's own, as far as it has the bones; head and eyes turn or are aimed.

    Raises:
        MappingError: no eye bones say how large the face is.
    """
    there = only(mapping, rig)[0]
    own = replace(there, controls=_turned(rig, there.controls, to_face=False), relative=False)
    made = eyes_and_aims(rig, replace(own, bones=head_turns(rig)))
    turning = {role: row for role, row in own.bones.items() if role not in rig.aims}
    return replace(made, bones={**made.bones, **turning})


def shipped(rig: Rig) -> Mapping | None:
    """The pose set that ships for a face with these bones, as its own; None where there is none."""
    sets = {share: one.mapping for one in presets() if (share := _share(rig, one.mapping)) >= _MOST_OF_IT}
    return on_face(rig, sets[max(sets)]) if sets else None


def _share(rig: Rig, mapping: Mapping) -> float:
    names = set(rig.bone_names)
    return len(names & mapping.controls.keys()) / len(mapping.controls) if mapping.relative else 0.0


def _turned(
    rig: Rig, controls: MappingABC[str, MappingABC[str, tuple[Control, ...]]], *, to_face: bool
) -> dict[str, dict[str, tuple[Control, ...]]]:
    unit = eye_distance(rig)
    if not unit or rig.armature is None:
        raise MappingError(
            "{name} has no eye bones, which say how far its bones have to move. Choose a face with eye bones.",
            name=rig.object.name if rig.object is not None else "",
        )  # fmt: skip
    armature: Any = rig.armature.data
    bones = armature.bones
    turned: dict[str, dict[str, tuple[Control, ...]]] = {}
    for name, row in controls.items():
        if name not in bones:
            continue
        into = np.array(rig.axes).T @ np.array(bones[name].matrix_local)[:3, :3]
        for channel, moves in row.items():
            made: tuple[Control, ...] = ()
            for kind in _KINDS:
                length = unit if kind == "LOCATION" else 1.0
                vector = np.zeros(3)
                for control in moves:
                    if control.property == kind:
                        vector[AXES.index(control.axis)] += control.amount
                vector = into @ vector / length if to_face else into.T @ vector * length
                made += along(kind, vector, _STILL * (1.0 if to_face else length), 3 if to_face else 6)
            if made:
                turned.setdefault(name, {})[channel] = made
    return turned
