# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: what Blender shows is what the clip says, and nothing of the animator's is lost."""

from __future__ import annotations

import re
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import Mapping
from blender_cteg.character.rig import Rig
from blender_cteg.performance import keyframes, rotations
from blender_cteg.performance.clip import Clip
from blender_cteg.performance.keyframes import (
    Style,
    TakeError,
    delete_take,
    provenance,
    show_take,
    shown_take,
    takes_of,
    why_hidden,
    write_take,
    write_takes,
)
from blender_cteg.performance.retime import retime
from blender_cteg.shared import ARKIT_CHANNELS

from . import scenes

MODES = ["QUATERNION", "AXIS_ANGLE", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]


def perform(obj: bpy.types.Object, clip: Clip, start_frame: int = 1, **options: object) -> tuple[Rig, bpy.types.Action]:
    rig = detect_rig(obj)
    action = write_take(rig, mapping_for(rig, clip), clip, start_frame=start_frame, scene=bpy.context.scene, **options)
    return rig, action


def key_values(obj: bpy.types.Object, frame: int) -> dict[str, float]:
    bpy.context.scene.frame_set(frame)
    return {block.name: block.value for block in obj.data.shape_keys.key_blocks}


def test_values_on_frames_are_the_clips(scene: bpy.types.Scene) -> None:
    face, clip = scenes.flame_face(), scenes.flame_clip()
    assert np.abs(clip.values).max() > 1  # beyond the default slider
    perform(face, clip, start_frame=10)
    for frame in range(clip.frames):
        values = key_values(face, 10 + frame)
        shown = [values[f"Exp{i}"] for i in range(1, 51)]
        np.testing.assert_allclose(shown, clip.values[frame, :50], atol=1e-5)
    assert why_hidden(detect_rig(face)) == []


@pytest.mark.parametrize("axes", [scenes.Z_UP, scenes.Y_UP], ids=["z up", "y up"])
@pytest.mark.parametrize("mode", MODES)
def test_bones_turn_alike_in_every_rotation_mode(scene: bpy.types.Scene, mode: str, axes: np.ndarray) -> None:
    face = scenes.flame_face(axes=axes, roll=0.3)
    for bone in face.parent.pose.bones:
        bone.rotation_mode = mode
    clip = scenes.arkit_clip(frames=12)
    rig = detect_rig(face)
    straight = {"headPitch": (1.0, 0.0, 0.0), "headYaw": (0.0, 1.0, 0.0), "headRoll": (0.0, 0.0, 1.0)}
    mapping = Mapping("arkit55", bones={"neck": straight, "jaw": {"jawOpen": (0.4, 0.1, 0.0)}})
    write_take(rig, mapping, clip, start_frame=1, scene=scene)
    vectors = mapping.apply(clip).bones
    for frame in range(clip.frames):
        scene.frame_set(1 + frame)
        for role in ("neck", "jaw"):
            wanted = axes @ scenes.turned(vectors[role][frame]) @ axes.T
            shown = scenes.rotation_in_armature(scenes.evaluated(face.parent).pose.bones[role])
            np.testing.assert_allclose(np.array(shown), wanted, atol=1e-5)


def test_looking_down_looks_down(scene: bpy.types.Scene) -> None:
    """The whole chain in Blender's own axes: headPitch > 0 brings the eyes of a z-up head down and back."""
    face = scenes.flame_face()
    values = np.zeros((2, 3), np.float32)
    values[:, 0] = 0.3
    clip = Clip(values, ("headPitch", "headYaw", "headRoll"), 24.0, "arkit55")
    straight = Mapping("arkit55", bones={"neck": {"headPitch": (1.0, 0.0, 0.0)}})
    bone = face.parent.pose.bones["left_eye"]
    before = bone.head.copy()
    write_take(detect_rig(face), straight, clip, start_frame=1, scene=scene)
    scene.frame_set(1)
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
    values = rotations.bone_rotations(bone, vectors, detect_rig(face).axes)
    assert np.abs(np.diff(values, axis=0)).max() < 0.5


@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (25, 1.0), (30, 1.001), (60, 1.0), (12, 1.0)])
def test_time_is_kept_at_every_frame_rate(scene: bpy.types.Scene, fps: int, base: float) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    rate = fps / base
    time = np.arange(49) / 24
    values = np.stack([np.sin(2 * time), np.where(time < 1, 0, 1)], axis=1).astype(np.float32)
    clip = Clip(values, ("exp1", "exp2"), 24.0, "flame53")
    face = scenes.flame_face()
    perform(face, clip, start_frame=1)
    count = retime(clip, rate).frames
    assert count == np.ceil(2.0 * rate - 1e-6) + 1
    for frame in range(0, count - 1, 7):
        shown = key_values(face, 1 + frame)
        assert shown["Exp1"] == pytest.approx(np.sin(2 * frame / rate), abs=2e-3)
        assert 0 <= shown["Exp2"] <= 1  # a step never overshoots
    assert key_values(face, count)["Exp1"] == pytest.approx(np.sin(4.0), abs=1e-5)


def test_a_take_is_one_action_with_two_slots_and_groups(scene: bpy.types.Scene) -> None:
    face, clip = scenes.arkit_face(bones=["neck"]), scenes.arkit_clip()
    _, action = perform(face, clip, style=Style("LINEAR"))
    assert sorted(slot.target_id_type for slot in action.slots) == ["KEY", "OBJECT"]
    assert face.data.shape_keys.animation_data.action == face.parent.animation_data.action == action
    bags = {bag.slot.target_id_type: bag for bag in action.layers[0].strips[0].channelbags}
    assert {group.name for group in bags["KEY"].groups} == {"Upper face", "Eyes", "Mouth", "Jaw"}
    assert {group.name for group in bags["OBJECT"].groups} == {"neck"}
    points = bags["KEY"].fcurves[0].keyframe_points
    assert [point.co.x for point in points] == list(range(1, 31))
    assert {point.interpolation for point in points} == {"LINEAR"}


def test_a_take_says_how_to_make_it_again(scene: bpy.types.Scene) -> None:
    clip = scenes.arkit_clip()
    _, action = perform(scenes.arkit_face(), clip, start_frame=40)
    made = provenance(action)
    assert made is not None
    assert {**made, **clip.to_json()} == made
    assert made["start_frame"] == 40
    assert made["settings"] == {"intensity": 1.0, "checkpoint": "default", "seconds": None}
    assert "I never asked" in action.name
    assert provenance(bpy.data.actions.new("Walk")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', '{"schema_version": 1, "seed": "5"}', 7])
def test_a_damaged_take_is_an_action_like_any_other(scene: bpy.types.Scene, text: object) -> None:
    rig, action = perform(scenes.arkit_face(), scenes.arkit_clip())
    action["cteg"] = text
    assert provenance(action) is None
    assert takes_of(rig) == []
    _, again = perform(rig.object, scenes.arkit_clip())
    assert [
        strip.action for track in rig.object.data.shape_keys.animation_data.nla_tracks for strip in track.strips
    ] == [action]
    assert takes_of(rig) == [again]


def test_names_may_hold_anything(scene: bpy.types.Scene) -> None:
    names = {channel: f'Zoë "the face" \\ ]:{channel}' for channel in ARKIT_CHANNELS}
    face, clip = scenes.arkit_face(names.values()), scenes.arkit_clip()
    perform(face, clip)
    shown = key_values(face, 8)
    np.testing.assert_allclose([shown[name] for name in names.values()], clip.values[7, :52], atol=1e-5)
    face.data.shape_keys.key_blocks[names["jawOpen"]].mute = True
    assert names["jawOpen"] in why_hidden(detect_rig(face))[0]


def test_the_animators_work_goes_on_untouched(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    key, armature = face.data.shape_keys, face.parent
    shape = face.shape_key_add(name="Hat")
    shape.value = 0.0
    path = 'key_blocks["Hat"].value'
    face_work = scenes.animate_by_hand(key, path, {2.5: 0.0, 20: 0.8})
    body_work = scenes.animate_by_hand(armature, 'pose.bones["root"].location', {1: 0.0, 20: 3.0})
    scenes.animate_by_hand(armature, 'pose.bones["neck"].rotation_quaternion', {1: 0.5}, index=1)
    before = [scenes.describe_action(action) for action in (face_work, body_work)]
    scene.frame_set(11)
    hat, root = shape.value, scenes.evaluated(armature).pose.bones["root"].matrix.copy()
    clip = scenes.flame_clip()
    perform(face, clip)
    perform(face, scenes.flame_clip(scale=0.5))
    assert [scenes.describe_action(action) for action in (face_work, body_work)] == before
    for datablock, work in ((key, face_work), (armature, body_work)):
        strips = [strip for track in datablock.animation_data.nla_tracks for strip in track.strips]
        assert [strip.action for strip in strips] == [work]  # once, not once per take
        assert strips[0].action_slot == work.slots[0]
    values = key_values(face, 11)
    assert values["Hat"] == pytest.approx(hat, abs=1e-5)
    assert values["Exp1"] == pytest.approx(0.5 * clip.values[10, 0], abs=1e-5)
    assert scenes.evaluated(armature).pose.bones["root"].matrix == root


def test_the_animators_cycles_go_on_cycling(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    work = scenes.animate_by_hand(face.parent, 'pose.bones["root"].location', {1: 0.0, 11: 3.0})
    work.layers[0].strips[0].channelbags[0].fcurves[0].modifiers.new("CYCLES")
    root = face.parent.pose.bones["root"]
    scene.frame_set(107)
    before = root.location.x
    assert 0 < before < 3
    perform(face, scenes.flame_clip())
    scene.frame_set(107)
    assert root.location.x == pytest.approx(before, abs=1e-4)


def test_an_nla_that_was_off_plays_no_more_than_before(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    path = 'pose.bones["root"].location'
    data = scenes.animate_by_hand(face.parent, path, {1: 5.0, 11: 5.0}, index=2) and face.parent.animation_data
    data.nla_tracks.new().strips.new("Off", 1, data.action)
    data.action = None
    data.use_nla = False
    scenes.animate_by_hand(face.parent, path, {1: 0.0, 11: 3.0})
    perform(face, scenes.flame_clip())
    scene.frame_set(11)
    location = face.parent.pose.bones["root"].location
    assert (location.x, location.z) == (pytest.approx(3.0), 0.0)


def test_an_action_that_played_nothing_is_kept_and_stays_silent(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    work = scenes.animate_by_hand(face.parent, 'pose.bones["root"].location', {1: 0.0, 11: 3.0})
    face.parent.animation_data.action_slot = None
    perform(face, scenes.flame_clip())
    scene.frame_set(11)
    assert face.parent.pose.bones["root"].location.x == 0
    assert [s.action for t in face.parent.animation_data.nla_tracks for s in t.strips] == [work]


def test_takes_can_be_listed_shown_and_deleted(scene: bpy.types.Scene) -> None:
    face, other = scenes.flame_face(), scenes.arkit_face()
    clip = scenes.flame_clip()
    rig, first = perform(face, clip)
    _, second = perform(face, clip.with_values(-clip.values))
    perform(other, scenes.arkit_clip())
    face.name = face.data.shape_keys.name = "Renamed"
    assert takes_of(rig) == [first, second]
    shown = key_values(face, 10)["Exp1"]
    show_take(rig, first)
    assert key_values(face, 10)["Exp1"] == pytest.approx(-shown)
    delete_take(rig, second)
    assert takes_of(rig) == [first]
    delete_take(rig, first)
    assert takes_of(rig) == []
    assert key_values(face, 10)["Exp1"] == 0
    walk = bpy.data.actions.new("Walk")
    with pytest.raises(TakeError, match="Walk was not made by CTEG"):
        delete_take(rig, walk)
    with pytest.raises(TakeError, match="Walk was not made by CTEG"):
        show_take(rig, walk)


def test_a_take_that_a_duplicate_shows_is_not_deleted_under_it(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    rig, take = perform(face, scenes.flame_clip())
    twin = face.copy()
    twin.data = face.data.copy()
    scene.collection.objects.link(twin)
    twin.parent = armature = face.parent.copy()
    scene.collection.objects.link(armature)
    twin.modifiers[0].object = armature
    armature.animation_data.action = None
    with pytest.raises(TakeError, match=f"also shown by {re.escape(face.name)}"):
        delete_take(detect_rig(twin), take)
    assert shown_take(rig) == take
    track = face.parent.animation_data.nla_tracks.new()
    track.strips.new("Kept", 200, take)
    twin.data.shape_keys.animation_data.action = None
    with pytest.raises(TakeError, match=re.escape(f"NLA track {track.name} of {face.parent.name}")):
        delete_take(rig, take)


def test_a_take_without_bones_frees_the_armature(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    perform(face, scenes.flame_clip())
    clip = scenes.flame_clip()
    perform(face, Clip(clip.values[:, :50], clip.channels[:50], 24.0, "flame53"))
    assert face.parent.animation_data.action is None


def test_a_saved_file_performs_the_same(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = scenes.flame_face()
    perform(face, scenes.flame_clip())
    perform(face, scenes.flame_clip(scale=0.7))
    before = key_values(face, 17)
    jaw = scenes.evaluated(face.parent).pose.bones["jaw"].matrix.copy()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    face = bpy.data.objects["Face"]
    assert key_values(face, 17) == before
    assert scenes.evaluated(face.parent).pose.bones["jaw"].matrix == jaw
    assert len(takes_of(detect_rig(face))) == 2  # the one not shown is kept as well


def test_a_linked_face_is_refused(scene: bpy.types.Scene, tmp_path: Path) -> None:
    linked, clip = scenes.link_face(scenes.flame_face(), tmp_path), scenes.flame_clip()
    with pytest.raises(TakeError, match="Library Override"):
        write_take(detect_rig(linked), Mapping("flame53"), clip, start_frame=1, scene=bpy.context.scene)
    assert len(bpy.data.actions) == 0
    face = scenes.override(linked)
    face.data.override_create(remap_local_usages=True)
    with pytest.raises(TakeError, match=r"too narrow .*Exp1"):
        perform(face, clip)
    assert len(bpy.data.actions) == 0


def test_an_overridden_face_performs_and_keeps_its_takes(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face, clip = scenes.flame_face(), scenes.flame_clip()
    for block in face.data.shape_keys.key_blocks:
        block.slider_min, block.slider_max = -10, 10
    face = scenes.override(scenes.link_face(face, tmp_path))
    face.data.override_create(remap_local_usages=True)
    name = perform(face, clip)[1].name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    face = next(obj for obj in bpy.data.objects if obj.name == "Face" and obj.override_library)
    values = key_values(face, 10)
    np.testing.assert_allclose([values[f"Exp{i}"] for i in range(1, 51)], clip.values[9, :50], atol=1e-5)
    assert [take.name for take in takes_of(detect_rig(face))] == [name]


def snapshot() -> list[object]:
    """All that a failed take could leave behind."""
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


@pytest.mark.parametrize("where", ["_fill", "_widen_sliders", "mark_as_take", "show_take"])
def test_a_failure_leaves_nothing_behind(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    face = scenes.flame_face()
    scenes.animate_by_hand(face.data.shape_keys, 'key_blocks["Exp1"].value', {1: 0.0, 20: 0.8})
    before = snapshot()
    original = getattr(keyframes, where)

    def fails_at_the_end(*args: object, **kwargs: object) -> None:
        original(*args, **kwargs)
        raise RuntimeError("the disk caught fire")

    monkeypatch.setattr(keyframes, where, fails_at_the_end)
    clips = [scenes.flame_clip(), scenes.flame_clip(scale=0.5)]
    rig = detect_rig(face)
    with pytest.raises(RuntimeError, match="caught fire"):
        write_takes(rig, mapping_for(rig, clips[0]), clips, start_frame=1, scene=scene)
    if where == "show_take":  # a finished show_take is put back by nobody; what it shows is gone
        before, after = before[2:], snapshot()[2:]
        assert before == after
    else:
        assert snapshot() == before


def test_show_take_is_all_or_nothing(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    scenes.animate_by_hand(face.data.shape_keys, 'key_blocks["Exp1"].value', {1: 0.0, 20: 0.8})
    work = scenes.animate_by_hand(face.parent, 'pose.bones["root"].location', {1: 0.0, 20: 3.0})
    data = face.parent.animation_data
    data.nla_tracks.new().strips.new("Walk", 1, work)
    data.action = None
    data.nla_tracks[0].strips[0].select = True
    data.use_tweak_mode = True
    assert data.use_tweak_mode
    before = snapshot()
    with pytest.raises(TakeError, match="tweak"):
        perform(face, scenes.flame_clip())
    assert snapshot() == before


def test_a_mapping_that_reaches_nothing_is_refused(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    with pytest.raises(TakeError, match="reaches Face"):
        write_take(
            detect_rig(face),
            Mapping("flame53", {"Nose": {"exp1": 1.0}}),
            scenes.flame_clip(),
            start_frame=1,
            scene=scene,
        )
    assert len(bpy.data.actions) == 0


def test_what_hides_a_take_is_explained(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    assert "No take" in why_hidden(detect_rig(face))[0]
    rig, action = perform(face, scenes.flame_clip())
    key, armature = face.data.shape_keys, face.parent
    curve = next(bag for bag in action.layers[0].strips[0].channelbags).fcurves[3]
    track = key.animation_data.nla_tracks.new()
    jaw = armature.pose.bones["jaw"]

    def driver(add: bool) -> None:
        block = key.key_blocks["Exp2"]
        if add:
            block.driver_add("value")
        else:
            block.driver_remove("value")

    causes = [
        (lambda on: setattr(key.key_blocks["Exp4"], "mute", on), "turned off: Exp4"),
        (lambda on: setattr(face, "show_only_shape_key", on), "one shape key only"),
        (lambda on: setattr(key, "use_relative", not on), "absolute"),
        (lambda on: setattr(key.key_blocks["Exp5"], "slider_max", 1.0 if on else 10.0), "cuts the keys off: Exp5"),
        (lambda on: setattr(curve, "mute", on), "muted: Exp4"),
        (lambda on: setattr(track, "is_solo", on), "solo"),
        (lambda on: setattr(key.animation_data, "action_influence", 0.5 if on else 1.0), "influence of 0.50"),
        (driver, "Exp2 is driven by a driver and keeps it"),
        (lambda on: setattr(armature.data, "pose_position", "REST" if on else "POSE"), "rest position"),
        (lambda on: setattr(face.modifiers[0], "show_viewport", not on), "turned off in the viewport"),
        (lambda on: setattr(jaw, "rotation_mode", "XYZ" if on else "QUATERNION"), "rotation mode of jaw"),
        (lambda on: setattr(key.animation_data, "action_slot", None if on else action.slots[0]), "no slot"),
    ]
    assert why_hidden(rig) == []
    for switch, words in causes:
        switch(True)
        reasons = why_hidden(rig)
        assert len(reasons) == 1, (words, reasons)
        assert words in reasons[0]
        switch(False)
        assert why_hidden(rig) == []
