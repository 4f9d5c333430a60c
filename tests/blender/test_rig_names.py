# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of rigs, each by the names that its exporters are publicly known to give: found without a manual step, and seen
to do what they say. ``data/rig_names.json``: kind -> key -> the channels that it is for, "-" before what it does below
zero.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import bpy
import numpy as np
import pytest

from benchmarks import rigs
from blender_cteg.character import measuring
from blender_cteg.character.choose import judged, resolved, unverified
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.detection.naming import match_arkit
from blender_cteg.character.effects import sentence
from blender_cteg.character.mapping_edits import targets_of
from blender_cteg.shared import ARKIT_CHANNELS

KINDS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "data" / "rig_names.json").read_text(encoding="utf-8")
)
SOURCE = rigs.plain_source()


def driving(kind: str) -> dict[str, set[tuple[str, bool]]]:
    """Channel -> its keys, and whether they go below zero."""
    found: dict[str, set[tuple[str, bool]]] = {}
    for name, channels in KINDS[kind].items():
        for channel in channels.split():
            found.setdefault(channel.removeprefix("-"), set()).add((name, channel.startswith("-")))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_names_is_understood(kind: str) -> None:
    found = match_arkit(KINDS[kind])
    assert {c: {(n, (c, n) in found.backwards) for n in of} for c, of in found.matched.items()} == driving(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_names_is_seen_to_do_what_it_says(scene: bpy.types.Scene, kind: str) -> None:
    measuring.forget()
    rig = rigs.sound(SOURCE)
    face, keys = rig.face, rig.face.data.shape_keys.key_blocks
    parts = Counter(c.removeprefix("-") for channels in KINDS[kind].values() for c in channels.split())
    for name, channels in KINDS[kind].items():
        offsets = np.zeros_like(SOURCE.vertices)
        for channel in channels.split():
            one = channel.removeprefix("-")
            action = SOURCE.actions[ARKIT_CHANNELS.index(one)] / parts[one]
            offsets += -action if channel.startswith("-") else action
        block = face.shape_key_add(name=name)
        block.data.foreach_set("co", ((SOURCE.vertices + offsets) @ rigs.Z_UP.T).astype(np.float32).ravel())
    for channel in rig.truth:
        face.shape_key_remove(keys[channel])
    found = detect_rig(face)
    assert (found.kind, found.problem) == ("ARKIT", None)
    measuring.measure(scene, found, unverified(found))
    mapping = resolved(found)
    wrong = {c: sentence(c, v) for c, v in judged(found, mapping).items() if sentence(c, v) and c != "tongueOut"}
    assert wrong == {}
    driven = mapping.driving()
    assert driven >= driving(kind).keys() - {"tongueOut"}
    weights = {c: [t.value for t in targets_of(mapping, c) if t.kind == "KEY"] for c in driving(kind)}
    assert {c for c, row in weights.items() if any(w < 0 for w in row)} == {
        c for c, of in driving(kind).items() if any(back for _, back in of) and c != "tongueOut"
    }


def test_half_a_shape_is_no_whole_one() -> None:
    halves = [f"facs_bs_{name}" for name in ("MouthRollLowerLeft", "MouthRollLowerRight", "BrowDownLeft", "JawOpen")]
    assert match_arkit(halves).matched["mouthRollLower"] == tuple(halves[:2])
    assert match_arkit(["mouthFunnelUpperLeft", "mouthFunnelUpperRight"]).matched == {
        "mouthFunnel": ("mouthFunnelUpperLeft", "mouthFunnelUpperRight")
    }
