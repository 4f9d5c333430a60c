# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that cannot be read keep their keys, whatever is done to those beside them, and are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.performance import strips
from blender_cteg.performance.finding import damaged_lines, lines_of
from blender_cteg.performance.lines import LineError, Lines
from blender_cteg.performance.record import Line, Region
from blender_cteg.performance.store import LINES_PROPERTY
from blender_cteg.performance.targets import key_path
from blender_cteg.versions import CURRENT

from . import scenes
from .test_lines import STYLE, add, character, clip, lines_for, move_keys, played, rows_of

#: Where the other line is beside the one on frames 100 to 130.
BESIDE = {"before": 50, "at its start": 85, "inside and longer": 100, "around": 95, "at its end": 120, "after": 150}
#: Where everything is done that can be.
WHOLE = {(where, "newer") for where in ("at its start", "inside and longer", "around", "at its end", "after")}
WHOLE |= {("at its end", "clip")}
LONG = {"around": 61, "inside and longer": 41}
DAMAGES = ("newer", "text", "clip", "deleted", "no group")


def damage(action: bpy.types.Action, line: Line, how: str) -> str:
    """Spoil what is stored of a line; what a sentence about it has in it."""
    stored: Any = action[LINES_PROPERTY]
    record = stored[line.id]["record"]
    match how:
        case "newer":
            stored[line.id]["record"] = record.replace(f'"schema_version":{CURRENT["line"]}', '"schema_version":99', 1)
        case "text":
            stored[line.id]["record"] = record[: len(record) // 2]
        case "clip":
            del stored[line.id]["clips"]["1"]
            return line.text
        case "deleted":
            del stored[line.id]
        case "no group":
            del stored[line.id]
            stored[line.id] = 7
    return line.id


CHANGES: dict[str, Callable[[Lines, Line], object]] = {
    "another take": lambda lines, line: lines.show(line.id, 1),
    "hidden": lambda lines, line: lines.show(line.id, -1),
    "written again": lambda lines, line: lines.rewrite([line.id]),
    "all written again": lambda lines, line: lines.rewrite(),
    "removed": lambda lines, line: lines.remove(line.id),
    "removed with others": lambda lines, line: lines.remove_all([line.id]),
    "a take removed": lambda lines, line: lines.remove_take(line.id, 0),
    "muted": lambda lines, line: lines.change(line.id, regions={"mouth": Region(mute=True)}),
    "scaled": lambda lines, line: lines.change(line.id, intensity=0.6),
    "moved off": lambda lines, line: lines.change(line.id, start=400),
    "moved a little": lambda lines, line: lines.change(line.id, start=line.start + 5),
    "moved at once": lambda lines, line: lines.move({line.id: {"start": line.start + 7}}),
    "stretched": lambda lines, line: lines.change(line.id, end=line.end + 12),
    "a take more": lambda lines, line: lines.add([clip(9)], line.start, STYLE, text=line.text, line=line.id),
    "a new line": lambda lines, line: lines.add([clip(9)], line.start + 3, STYLE, text="New"),
    "marked": lambda lines, line: lines.mark(line.id, 0, favourite=True),
    "sent to a strip": lambda lines, line: strips.send(bpy.context.scene, lines._rig, lines, line),
}


def keys_within(action: bpy.types.Action, first: float, last: float) -> list[Any]:
    """The keys of lines between two frames, whole, and where the animator's are."""
    found = []
    for slot, path, index, _, keys in rows_of(action):
        inside = [key if key[7] == "GENERATED" else key[0] for key in keys if first < key[0][0] < last]
        found += [(slot, path, index, inside)] if inside else []
    return found


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("where", BESIDE)
def test_no_key_of_a_line_that_cannot_be_read_is_lost(scene: bpy.types.Scene, where: str, how: str, long: bool) -> None:
    apart = where in ("before", "after")
    for what, change in CHANGES.items():
        if (where, how) not in WHOLE and what not in ("removed", "all written again")[: 1 + long]:
            continue  # they are one kind to whoever writes
        scene = scenes.empty()
        face = character()
        mine = scenes.animate_by_hand(face.data.shape_keys, key_path("browInnerUp"), {60: 0.3, 118: 0.8, 260: 0.6})
        bad = add(scene, face, 100, takes=2)
        clips = [clip(5 + k, LONG.get(where, 31)) for k in range(2)]
        good = lines_for(scene, face).add(clips, BESIDE[where], STYLE, text="The good one")
        far = add(scene, face, 300, seed=8, takes=2)
        name = damage(mine, bad, how)
        before, seen = keys_within(mine, 100, 130), played(scene, face, range(100, 131))
        found = {line.id: line for line in lines_of(detect_rig(face))}
        assert found[good.id].start == good.start and found[good.id].end == good.end
        assert (found[bad.id].start, found[bad.id].end, found[bad.id].shown) == (100, 130, 0)
        assert (found[good.id].stretch, found[far.id]) == (1.0, far)
        lines = lines_for(scene, face)
        said = ""
        try:
            change(lines, good)
            said = " ".join(lines.said)
        except LineError as refused:
            said = str(refused)
            assert not apart or what in ("a new line", "moved at once"), said
        assert keys_within(mine, 100, 130) == before, what
        np.testing.assert_allclose(played(scene, face, range(100, 131)), seen, atol=1e-6 if not apart else 1e-5)
        if not apart and what != "marked":
            assert name in said and said.endswith("."), (what, said)
        lines_for(scene, face).change(far.id, intensity=0.5)  # those apart can be changed
        assert keys_within(mine, 100, 130) == before, what


@pytest.mark.parametrize("how", ["newer", "deleted", "no group"])
def test_a_line_that_cannot_be_read_can_be_deleted_and_the_other_is_as_if_it_had_never_been(
    scene: bpy.types.Scene, how: str
) -> None:
    face = character()
    mine = scenes.animate_by_hand(face.data.shape_keys, key_path("browInnerUp"), {60: 0.3, 118: 0.8, 260: 0.6})
    before = rows_of(mine)
    good = add(scene, face, 120, takes=2)
    alone = played(scene, face, range(80, 160))
    bad = add(scene, face, 100, takes=2)
    damage(mine, bad, how)
    lines_for(scene, face).remove(bad.id)
    np.testing.assert_allclose(played(scene, face, range(80, 160)), alone, atol=1e-5)
    assert not damaged_lines(detect_rig(face)) and [line.id for line in lines_of(detect_rig(face))] == [good.id]
    lines_for(scene, face).remove(good.id)
    assert rows_of(mine) == before


def test_what_is_written_again_at_once_is_all_that_can_be(scene: bpy.types.Scene) -> None:
    face = character()
    bad, good, far = add(scene, face, 100), add(scene, face, 120, seed=3), add(scene, face, 200, seed=5)
    action = face.data.shape_keys.animation_data.action
    damage(action, bad, "newer")
    before = keys_within(action, 100, 150)
    scene.render.fps = 30
    lines = lines_for(scene, face)
    lines.rewrite()
    assert keys_within(action, 100, 150) == before
    found = {line.id: line for line in lines_of(detect_rig(face))}
    assert found[far.id].end == 200 + 38 and found[good.id].end == 150
    (said,) = lines.said
    assert bad.id in said and "frames 100 to 150 stay as they are" in said


@pytest.mark.parametrize("by", [-25, -15, 15, 25])
def test_a_line_dragged_onto_one_that_cannot_be_read_takes_only_its_own_keys_away(
    scene: bpy.types.Scene, by: int
) -> None:
    face = character()
    good, bad, far = add(scene, face, 60), add(scene, face, 100, seed=3), add(scene, face, 200, seed=5)
    action = face.data.shape_keys.animation_data.action
    damage(action, bad, "newer")
    before = rows_of(action)
    move_keys(action, lambda frame: frame + 40 + by, until=95)
    lines_for(scene, face).change(far.id, intensity=0.5)
    with pytest.raises(LineError, match=bad.id):
        lines_for(scene, face).change(good.id, intensity=0.5)
    lines_for(scene, face).remove(good.id)
    lines_for(scene, face).remove(far.id)
    left = {(path, index): keys for _, path, index, _, keys in rows_of(action)}
    for _, path, index, _, keys in before:
        wanted = [key[0] for key in keys if 100 < key[0][0] < 130]
        assert [key[0] for key in left[path, index] if 100 < key[0][0] < 130] == wanted
        assert all(100 <= key[0][0] <= 130 for key in left[path, index])


def test_lines_that_move_at_once_leave_one_that_cannot_be_read_where_it_is(scene: bpy.types.Scene) -> None:
    face = character()
    good, bad, far = add(scene, face, 60), add(scene, face, 100, seed=3), add(scene, face, 200, seed=5)
    action = face.data.shape_keys.animation_data.action
    damage(action, bad, "newer")
    before = keys_within(action, 100, 130)
    lines_for(scene, face).move({good.id: {"start": 40}, far.id: {"start": 180}})
    assert keys_within(action, 100, 130) == before
    found = {line.id: line.start for line in lines_of(detect_rig(face))}
    assert found == {good.id: 40, bad.id: 100, far.id: 180}


def test_nothing_comes_back_from_a_strip_onto_a_line_that_cannot_be_read(scene: bpy.types.Scene) -> None:
    face = character()
    rig = detect_rig(face)
    first, second = add(scene, face, 100, takes=2), add(scene, face, 200, seed=3, takes=2)
    for line in (first, second):
        strips.send(scene, rig, Lines(scene, rig), line)
    bad = add(scene, face, 210, seed=5)
    assert bad.theirs, "the strips play there"
    for owner in (face.data.shape_keys, face.parent):
        for track in owner.animation_data.nla_tracks:
            track.mute = True
    lines_for(scene, face).remove(bad.id)
    bad = add(scene, face, 210, seed=5)
    action = face.data.shape_keys.animation_data.action
    damage(action, bad, "newer")
    before = rows_of(action)
    with pytest.raises(LineError, match=bad.id):
        strips.bring_back(scene, rig, None)
    assert rows_of(action) == before and face.data.shape_keys.animation_data.action == action
    assert [len(track.strips) for track in face.data.shape_keys.animation_data.nla_tracks] == [1, 2]
    assert all(track.mute for track in face.data.shape_keys.animation_data.nla_tracks)
    lines_for(scene, face).remove(bad.id)
    for owner in (face.data.shape_keys, face.parent):
        for track in owner.animation_data.nla_tracks:
            track.mute = False
    strips.bring_back(scene, rig, None)
    assert [(line.text, line.start, len(line.takes)) for line in lines_of(rig)] == [
        (first.text, 100, 2), (second.text, 200, 2)
    ]  # fmt: skip
