# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene of version 0.1.0 opens, and its takes become lines (data/make_old_scene.py made it)."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.performance.lines import LineError, Lines, lines_of
from blender_cteg.performance.migration import migrate, old_takes

from .test_lines import played

FILE = Path(__file__).parent / "data" / "scene_0_1_0.blend"


@pytest.fixture
def old_scene() -> bpy.types.Scene:
    bpy.ops.wm.open_mainfile(filepath=str(FILE))
    return bpy.context.scene


def test_the_takes_become_lines_and_nothing_is_lost(old_scene: bpy.types.Scene) -> None:
    anna = bpy.data.objects["Anna"]
    rig = detect_rig(anna)
    takes = old_takes(rig)
    assert [take.name.split(" (")[0] for take in takes] == ["I missed you so much."] * 2 + ["Get out of my house!"]
    inside = range(27, 41)  # away from where the line comes in and goes
    shown = played(old_scene, anna, inside)
    everything = {action.name for action in bpy.data.actions}

    said = migrate(old_scene, rig, None)

    first, second = lines_of(rig)
    assert (first.text, first.start, first.end, len(first.takes)) == ("I missed you so much.", 20, 47, 2)
    assert (second.text, second.start, second.end, len(second.takes)) == ("Get out of my house!", 100, 127, 1)
    assert [take.seed for take in first.takes] == [5, 6] and first.takes[first.shown].seed == 5
    assert first.takes[0].segments[0].end == 28, "segments count the frames of the take as it is now"
    assert everything <= {action.name for action in bpy.data.actions}
    assert not old_takes(rig) and any("pushed down" in sentence for sentence in said)
    with pytest.raises(LineError, match="no takes of an older"):
        migrate(old_scene, rig, None)
    # The animator's brows play through; all else is as the take had it.
    brow = list(anna.data.shape_keys.key_blocks.keys()).index("browInnerUp")
    now = played(old_scene, anna, inside)
    np.testing.assert_allclose(np.delete(now, brow, 1), np.delete(shown, brow, 1), atol=0.01)
    assert "browInnerUp (keys)" in first.theirs
    assert played(old_scene, anna, [25])[0, brow] == pytest.approx(0.6, abs=1e-5)
    # Both lines play now, and between them the face rests.
    assert (
        np.abs(played(old_scene, anna, [113]) - played(old_scene, anna, [70]))[
            0, : len(anna.data.shape_keys.key_blocks)
        ].max()
        > 0.1
    )


def test_another_old_take_can_be_shown_and_all_of_it_removed(old_scene: bpy.types.Scene) -> None:
    rig = detect_rig(bpy.data.objects["Anna"])
    other = old_takes(rig)[1]
    curve = next(
        c
        for s in other.slots
        for b in other.layers[0].strips[0].channelbags
        if b.slot == s
        for c in b.fcurves
        if "mouthFrownLeft" in c.data_path
    )
    wanted = [curve.evaluate(frame) for frame in range(27, 41)]
    migrate(old_scene, rig, None)
    lines = Lines(old_scene, rig)
    first, second = lines_of(rig)
    lines.show(first.id, 1)
    keys = rig.object.data.shape_keys.key_blocks
    values = []
    for frame in range(27, 41):
        old_scene.frame_set(frame)
        values.append(keys["mouthFrownLeft"].value)
    np.testing.assert_allclose(values, wanted, atol=0.006)
    lines.show(first.id, 0)
    lines.rewrite()
    lines.remove(first.id)
    lines.remove(second.id)
    assert rig.object.data.shape_keys.animation_data.action.name == "Anna Brows"


def test_the_mapping_of_a_flame_face_is_read_and_its_take_kept(old_scene: bpy.types.Scene) -> None:
    ben = bpy.data.objects["Ben"]
    rig = detect_rig(ben)
    shown = played(old_scene, ben, range(16, 19))
    migrate(old_scene, rig, None)
    (line,) = lines_of(rig)
    assert (line.text, line.start, line.end) == ("Hello.", 10, 24)
    np.testing.assert_allclose(played(old_scene, ben, range(16, 19)), shown, atol=0.02)
