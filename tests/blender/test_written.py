# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written is what Blender shows: the clip, on every kind of face, rotation mode and frame rate."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_cteg.character import controls
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import Mapping, MappingError
from blender_cteg.clip import Clip
from blender_cteg.performance import change as change_module
from blender_cteg.performance.layers import retime
from blender_cteg.performance.lines import LineError, Lines, lines_of
from blender_cteg.performance.owners import curves_in
from blender_cteg.performance.record import Line, Style
from blender_cteg.shared import ARKIT_CHANNELS

from . import scenes

MODES = ["QUATERNION", "AXIS_ANGLE", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]


def perform(
    obj: bpy.types.Object, clip: Clip, start: int = 1, mapping: Mapping | None = None, **options: object
) -> Line:
    """A line with a key on every frame that comes in at once: all but its first and last frame are the clip's."""
    lines = Lines(bpy.context.scene, detect_rig(obj), mapping)
    return lines.add([clip], start, **{"style": Style(reduction=0), "blend": 0, "text": clip.text, **options})


def key_values(obj: bpy.types.Object, frame: int) -> dict[str, float]:
    bpy.context.scene.frame_set(frame)
    return {block.name: block.value for block in obj.data.shape_keys.key_blocks}


def test_values_on_frames_are_the_clips(scene: bpy.types.Scene) -> None:
    face, clip = scenes.flame_face(), scenes.flame_clip()
    assert np.abs(clip.values).max() > 1  # beyond the default slider
    perform(face, clip, 10)
    for frame in range(1, clip.frames - 1):
        values = key_values(face, 10 + frame)
        shown = [values[f"Exp{i}"] for i in range(1, 51)]
        np.testing.assert_allclose(shown, clip.values[frame, :50], atol=1e-5)


@pytest.mark.parametrize("axes", [scenes.Z_UP, scenes.Y_UP], ids=["z up", "y up"])
@pytest.mark.parametrize("mode", MODES)
def test_bones_turn_alike_in_every_rotation_mode(scene: bpy.types.Scene, mode: str, axes: np.ndarray) -> None:
    face = scenes.flame_face(axes=axes, roll=0.3)
    for bone in face.parent.pose.bones:
        bone.rotation_mode = mode
    clip = scenes.arkit_clip(frames=12)
    straight = {"headPitch": (1.0, 0.0, 0.0), "headYaw": (0.0, 1.0, 0.0), "headRoll": (0.0, 0.0, 1.0)}
    mapping = Mapping("arkit55", bones={"neck": straight, "jaw": {"jawOpen": (0.4, 0.1, 0.0)}})
    perform(face, clip, mapping=mapping)
    vectors = mapping.apply(clip).bones
    for frame in range(1, clip.frames - 1):
        scene.frame_set(1 + frame)
        for role in ("neck", "jaw"):
            wanted = axes @ scenes.turned(vectors[role][frame]) @ axes.T
            shown = scenes.rotation_in_armature(scenes.evaluated(face.parent).pose.bones[role])
            np.testing.assert_allclose(np.array(shown), wanted, atol=1e-5)


def test_looking_down_looks_down(scene: bpy.types.Scene) -> None:
    """The whole chain in Blender's own axes: headPitch > 0 brings the eyes of a z-up head down and back."""
    face = scenes.flame_face()
    values = np.zeros((3, 3), np.float32)
    values[:, 0] = 0.3
    clip = Clip(values, ("headPitch", "headYaw", "headRoll"), 24.0, "arkit55")
    straight = Mapping("arkit55", bones={"neck": {"headPitch": (1.0, 0.0, 0.0)}})
    bone = face.parent.pose.bones["left_eye"]
    before = bone.head.copy()
    perform(face, clip, mapping=straight)
    scene.frame_set(2)
    after = scenes.evaluated(face.parent).pose.bones["left_eye"].head
    assert after.z < before.z - 0.01
    assert after.x == pytest.approx(before.x, abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_rotations_never_jump(scene: bpy.types.Scene, mode: str) -> None:
    face = scenes.flame_face()
    bone = face.parent.pose.bones["neck"]
    bone.rotation_mode = mode
    angles = np.linspace(-4, 4, 200)
    vectors = np.outer(angles, (0.6, 0.64, 0.48)).astype(np.float32)
    values = controls.bone_rotations(bone, vectors, detect_rig(face).axes)
    assert np.abs(np.diff(values, axis=0)).max() < 0.5


@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (25, 1.0), (30, 1.001), (60, 1.0), (12, 1.0)])
def test_time_is_kept_at_every_frame_rate(scene: bpy.types.Scene, fps: int, base: float) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    rate = fps / base
    time = np.arange(49) / 24
    values = np.stack([np.sin(2 * time), np.where(time < 1, 0, 1)], axis=1).astype(np.float32)
    clip = Clip(values, ("exp1", "exp2"), 24.0, "flame53")
    face = scenes.flame_face()
    perform(face, clip)
    count = retime(clip, rate).frames
    assert count == np.ceil(2.0 * rate - 1e-6) + 1
    for frame in range(7, count - 1, 7):
        shown = key_values(face, 1 + frame)
        assert shown["Exp1"] == pytest.approx(np.sin(2 * frame / rate), abs=2e-3)
        assert 0 <= shown["Exp2"] <= 1  # a step never overshoots
    assert key_values(face, count)["Exp1"] == 0, "it is at rest again"


def test_names_may_hold_anything(scene: bpy.types.Scene) -> None:
    names = {channel: f'Zoë "the face" \\ ]:{channel}' for channel in ARKIT_CHANNELS}
    face, clip = scenes.arkit_face(names.values()), scenes.arkit_clip()
    perform(face, clip)
    shown = key_values(face, 8)
    np.testing.assert_allclose([shown[name] for name in names.values()], clip.values[7, :52], atol=1e-5)


def test_a_new_action_has_a_slot_for_each_owner_and_groups(scene: bpy.types.Scene) -> None:
    face, clip = scenes.arkit_face(bones=["neck"]), scenes.arkit_clip()
    perform(face, clip, style=Style("LINEAR", 0))
    action = face.data.shape_keys.animation_data.action
    assert action.name == face.name
    assert sorted(slot.target_id_type for slot in action.slots) == ["KEY", "OBJECT"]
    assert face.parent.animation_data.action == action
    groups = {slot.target_id_type: {c.group.name for c in curves_in(action, slot)} for slot in action.slots}
    assert groups == {"KEY": {"Upper face", "Eyes", "Mouth", "Jaw"}, "OBJECT": {"neck"}}
    curve = curves_in(action, action.slots[0])[0]
    assert [point.co.x for point in curve.keyframe_points] == list(range(1, 31))
    assert {point.interpolation for point in curve.keyframe_points[1:-1]} == {"LINEAR"}


def test_the_record_says_how_to_make_a_take_again(scene: bpy.types.Scene) -> None:
    clip = scenes.arkit_clip()
    face = scenes.arkit_face()
    perform(face, clip, start=40, last_seed=19)
    (line,) = lines_of(detect_rig(face))
    (take,) = line.takes
    assert (line.text, line.start, line.end, line.character) == (clip.text, 40, 69, face.name)
    assert (take.seed, take.last_seed, take.emotion, take.space, take.fps, take.frames) == (
        11,
        19,
        "anger",
        "arkit55",
        24,
        30,
    )
    assert take.settings == clip.settings


def snapshot() -> list[object]:
    """All that a failed change could leave behind."""
    return [
        [scenes.describe_action(action) for action in bpy.data.actions],
        [
            (data.action, data.action_slot, data.action_blend_type, len(data.nla_tracks)) if data else None
            for datablock in (*bpy.data.shape_keys, *bpy.data.objects)
            for data in (datablock.animation_data,)
        ],
        [(b.name, b.slider_min, b.slider_max) for key in bpy.data.shape_keys for b in key.key_blocks],
        [dict(key.items()) for key in bpy.data.shape_keys],
    ]


@pytest.mark.parametrize("where", ["targets_of", "mixed", "moving", "mapping_for", "face_of"])
def test_a_failure_leaves_nothing_behind(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    face = scenes.flame_face()
    scenes.animate_by_hand(face.data.shape_keys, 'key_blocks["Exp1"].value', {1: 0.0, 20: 0.8})
    before = snapshot()
    original = getattr(change_module, where)

    def fails_at_the_end(*args: object, **kwargs: object) -> None:
        original(*args, **kwargs)
        raise MappingError("the disk caught fire")

    monkeypatch.setattr(change_module, where, fails_at_the_end)
    with pytest.raises(LineError, match="caught fire"):
        perform(face, scenes.flame_clip())
    assert snapshot() == before


def test_a_mapping_that_reaches_nothing_is_refused(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    with pytest.raises(LineError, match="reaches Face"):
        perform(face, scenes.flame_clip(), mapping=Mapping("flame53", {"Nose": {"exp1": 1.0}}))
    assert len(bpy.data.actions) == 0


def test_a_linked_face_is_refused(scene: bpy.types.Scene, tmp_path: Path) -> None:
    linked, clip = scenes.link_face(scenes.flame_face(), tmp_path), scenes.flame_clip()
    with pytest.raises(LineError, match="Library Override"):
        perform(linked, clip)
    assert len(bpy.data.actions) == 0
    face = scenes.override(linked)
    face.data.override_create(remap_local_usages=True)
    with pytest.raises(LineError, match=r"too narrow .*Exp1"):
        perform(face, clip)
    assert len(bpy.data.actions) == 0


def test_an_overridden_face_performs_and_keeps_its_lines(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face, clip = scenes.flame_face(), scenes.flame_clip()
    for block in face.data.shape_keys.key_blocks:
        block.slider_min, block.slider_max = -10, 10
    face = scenes.override(scenes.link_face(face, tmp_path))
    face.data.override_create(remap_local_usages=True)
    line = perform(face, clip)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    face = next(obj for obj in bpy.data.objects if obj.name == "Face" and obj.override_library)
    values = key_values(face, 10)
    np.testing.assert_allclose([values[f"Exp{i}"] for i in range(1, 51)], clip.values[9, :50], atol=2e-3)
    assert [one.id for one in lines_of(detect_rig(face))] == [line.id]


def test_appended_and_linked_characters_bring_their_lines(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = scenes.arkit_face(bones=["neck"])
    line = perform(face, scenes.arkit_clip())
    library = str(tmp_path / "a.blend")
    bpy.data.libraries.write(library, {face})
    for link in (False, True):
        scenes.empty()
        with bpy.data.libraries.load(library, link=link) as (there, wanted):
            wanted.objects = [name for name in there.objects if "Rig" not in name]
        found = wanted.objects[0]
        bpy.context.scene.collection.objects.link(found)
        assert [one.id for one in lines_of(detect_rig(found))] == [line.id]
    with pytest.raises(LineError, match="is linked from"):
        Lines(bpy.context.scene, detect_rig(found))
