# SPDX-License-Identifier: GPL-3.0-or-later
"""Mappings by name: the mesh's keys and bones already mean what the clip's channels mean (no ``bpy``)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from ..shared import FLAME_EXPRESSIONS, HEAD_CHANNELS, JAW_CHANNELS
from .detection.parts import recognise
from .mapping import Control, Mapping, along
from .rig import Rig

Vector = tuple[float, float, float]
X: Final[Vector] = (1.0, 0.0, 0.0)
Y: Final[Vector] = (0.0, 1.0, 0.0)
Z: Final[Vector] = (0.0, 0.0, 1.0)

#: How far an eye turns at full strength, radians. About 30 degrees sideways and down, 25 up: the range people use
#: before they turn the head. FLAME axes: x looks down, y looks to the character's left.
EYE_TURNS: Final = MappingProxyType({
    "left_eye": MappingProxyType({
        "eyeLookDownLeft": (0.5, 0.0, 0.0), "eyeLookUpLeft": (-0.44, 0.0, 0.0),
        "eyeLookInLeft": (0.0, -0.5, 0.0), "eyeLookOutLeft": (0.0, 0.5, 0.0),
    }),
    "right_eye": MappingProxyType({
        "eyeLookDownRight": (0.5, 0.0, 0.0), "eyeLookUpRight": (-0.44, 0.0, 0.0),
        "eyeLookInRight": (0.0, 0.5, 0.0), "eyeLookOutRight": (0.0, -0.5, 0.0),
    }),
})  # fmt: skip
#: How far the jaw turns at full strength: ICT FaceKit's jawOpen is 26 degrees, its jawLeft about 6.
JAW_TURNS: Final = MappingProxyType(
    {"jawOpen": (0.45, 0.0, 0.0), "jawLeft": (0.0, 0.1, 0.0), "jawRight": (0.0, -0.1, 0.0)}
)


def head_turns(rig: Rig) -> dict[str, dict[str, Vector]]:
    """Head rotation on the head bone, else the neck bone, else nowhere."""
    role = next((role for role in ("head", "neck") if role in rig.bones), None)
    return {} if role is None else {role: dict(zip(HEAD_CHANNELS, (X, Y, Z), strict=True))}


def arkit_mapping(rig: Rig, eyes_on_bones: frozenset[str] = frozenset()) -> Mapping:
    """arkit55 to a mesh with ARKit keys: each channel to its own key, head rotation to a bone.

    Eye and jaw bones take over where the mesh has no such keys; where it has, the bones stay free for the animator.
    Eye bones in ``eyes_on_bones`` turn beside the keys: there the keys move the lids and the bones the eyeballs.
    """
    shape_keys: dict[str, dict[str, float]] = {}
    for channel, keys in rig.shape_keys.items():
        for key in keys:
            shape_keys.setdefault(key, {})[channel] = 1.0
    # A key that joins both sides shows their mean, and one that goes both ways shows each by itself.
    backwards = recognise(rig.keys).keys.backwards
    for key, row in shape_keys.items():
        back = {c for c in row if (c, key) in backwards}
        row |= {c: -1.0 / len(back) if c in back else 1.0 / (len(row) - len(back)) for c in row}
    bones = head_turns(rig)
    aims = aim_controls(rig)
    for role, turns in {**EYE_TURNS, "jaw": JAW_TURNS}.items():
        if role in rig.bones and (role in eyes_on_bones or not any(channel in rig.shape_keys for channel in turns)):
            bones[role] = dict(turns)
    moved = [rig.aims[role][0] for role in rig.aims if role in bones]
    bones = {role: turns for role, turns in bones.items() if role not in rig.aims}
    return Mapping("arkit55", shape_keys, bones, controls={bone: aims[bone] for bone in moved})


def aim_controls(rig: Rig) -> dict[str, dict[str, tuple[Control, ...]]]:
    """What each look does to the bones that the eyes look at: bone -> {channel: moves along its own axes}."""
    controls = {}
    for role, (bone, rows) in rig.aims.items():
        moves = {
            c: [sum(r * t for r, t in zip(row, turn, strict=True)) for row in rows]
            for c, turn in EYE_TURNS[role].items()
        }
        controls[bone] = {channel: along("LOCATION", move) for channel, move in moves.items()}
    return controls


def flame_mapping(rig: Rig) -> Mapping:
    """flame53 to a FLAME mesh: coefficient i to expression key i, the jaw's axis-angle to the jaw bone.

    Without a jaw bone, opening (x) goes to a ``jawOpen`` key where there is one.
    """
    shape_keys = {key: {c: 1.0} for c, keys in rig.shape_keys.items() if c in FLAME_EXPRESSIONS for key in keys}
    bones: dict[str, dict[str, Vector]] = {}
    if "jaw" in rig.bones:
        bones["jaw"] = dict(zip(JAW_CHANNELS, (X, Y, Z), strict=True))
    else:
        shape_keys |= {key: {"jawX": 1.0 / JAW_TURNS["jawOpen"][0]} for key in rig.shape_keys.get("jawOpen", ())}
    return Mapping("flame53", shape_keys, bones)
