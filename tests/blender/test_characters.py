# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole characters: every part of a face moves as one, nothing of the animator's is lost, and what stays is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg.character.choose import mapping_for, resolved
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import MESH_PROPERTY, Mapping
from blender_cteg.character.rig import Rig
from blender_cteg.clip import Clip
from blender_cteg.performance import ranges
from blender_cteg.performance.diagnosis import diagnose, keys_without_shape
from blender_cteg.performance.lines import LineError, Lines, Style, lines_of
from blender_cteg.performance.owners import curves_in
from blender_cteg.performance.record import Line, Region
from blender_cteg.shared import ARKIT_CHANNELS

from . import characters, scenes

#: A frame of the test clip that no blending reaches.
FRAME = 15
TRIANGLE = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]


def perform(obj: bpy.types.Object, clip: Clip | None = None, **options: object) -> tuple[Rig, Line]:
    clip = clip or scenes.arkit_clip()
    rig = detect_rig(obj)
    lines = Lines(bpy.context.scene, rig, mapping_for(rig, clip))
    return rig, lines.add([clip], 1, Style("BEZIER", 0.0), text=clip.text, **options)


def told(rig: Rig) -> list[str]:
    """What the panel says about what does not move, or is not seen."""
    tight = ranges.tight_keys(rig, ranges.extremes_of(rig))
    return diagnose(rig, resolved(rig), lines_of(rig), tight)


def snapshot() -> list[object]:
    """Everything that a refused line may not have changed."""
    return [
        [scenes.describe_action(action) for action in bpy.data.actions],
        [
            (
                datablock.name,
                sorted(datablock.keys()),
                data is not None and (data.action, data.use_nla, [track.name for track in data.nla_tracks]),
            )
            for datablock in (*bpy.data.objects, *bpy.data.shape_keys)
            for data in (datablock.animation_data,)
        ],
        [(b.name, b.value, b.slider_min, b.slider_max) for key in bpy.data.shape_keys for b in key.key_blocks],
    ]


def key(name: str) -> bpy.types.Key:
    return bpy.data.objects[name].data.shape_keys


def shown(name: str, block: str) -> float:
    """A shape key's value as Blender evaluates it."""
    return scenes.evaluated(bpy.data.objects[name]).data.shape_keys.key_blocks[block].value


def column(channel: str, frame: int = FRAME) -> float:
    """What the ARKit test clip says on a frame of the scene."""
    clip = scenes.arkit_clip()
    return float(clip.values[frame - 1, clip.channels.index(channel)])


# ------------------------------------------------------------------------------------------ finding the parts


@pytest.mark.parametrize("chosen", ["Head", "Teeth", "EyeLeft", "Armature"])
def test_any_part_stands_for_the_character(scene: bpy.types.Scene, chosen: str) -> None:
    armature = characters.arkit_character()
    rig = detect_rig(bpy.data.objects[chosen])
    assert (rig.object, rig.armature, rig.problem) == (bpy.data.objects["Head"], armature, None)
    assert [obj.name for obj in rig.followers] == ["Teeth"]
    # The tongue is the teeth's alone, and still the character has all 52.
    assert rig.summary() == ["ARKit, 52 of 52 shape keys, eyes, neck, head", "Also moves: Teeth"]


def test_keys_that_only_eyeballs_have_are_the_characters(scene: bpy.types.Scene) -> None:
    characters.arkit_character(lids_only=False)
    for block in list(key("Head").key_blocks):
        if block.name in characters.EYE_LOOKS:
            bpy.data.objects["Head"].shape_key_remove(block)
    rig, _ = perform(bpy.data.objects["Head"])
    assert not rig.missing
    scene.frame_set(FRAME)
    assert shown("EyeRight", "eyeLookInRight") == pytest.approx(column("eyeLookInRight"), abs=1e-3)


def test_a_crowd_under_one_empty_stays_apart(scene: bpy.types.Scene) -> None:
    top, heads = characters.crowd(3)
    assert [[part.name for part in detect_rig(head).followers] for head in heads] == [
        ["Teeth0"],
        ["Teeth1"],
        ["Teeth2"],
    ]
    assert detect_rig(bpy.data.objects["Teeth1"]).object == heads[1]
    assert "several characters" in (detect_rig(top).problem or "")
    perform(heads[0])
    assert [k.animation_data is not None for k in (key("Teeth0"), key("Teeth1"), key("Head1"))] == [True, False, False]


def test_a_crowd_of_armatures_in_one_place_stays_apart(scene: bpy.types.Scene) -> None:
    first = characters.arkit_character()
    second = characters.arkit_character()
    assert first != second
    assert [obj.name for obj in detect_rig(first).followers] == ["Teeth"]
    assert [obj.name for obj in detect_rig(second).followers] == ["Teeth.001"]


def test_names_spelled_otherwise_on_the_teeth_follow_too(scene: bpy.types.Scene) -> None:
    armature = characters.rigged(characters.BONES)
    head = characters.weigh(characters.ball("Head", (0, 0, 0), 0.1, [*ARKIT_CHANNELS, "mouthSmile"]), armature, "Head")
    # The head's own mouthSmile is not driven, so the one of the teeth must not be: one curve would reach both.
    keys = ["teeth.JawOpen", "mouthSmile"]
    characters.weigh(characters.ball("Teeth", characters.MOUTH, 0.02, keys), armature, "Head")
    perform(head)
    scene.frame_set(FRAME)
    assert shown("Teeth", "teeth.JawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)
    assert shown("Teeth", "mouthSmile") == shown("Head", "mouthSmile") == 0


def test_a_mapped_face_has_names_of_its_own(scene: bpy.types.Scene) -> None:
    armature = characters.rigged(characters.BONES)
    head = characters.weigh(characters.ball("Kopf", (0, 0, 0), 0.1, ["Kiefer auf", "Lächeln"]), armature, "Head")
    characters.weigh(characters.ball("Zähne", characters.MOUTH, 0.02, ["Kiefer auf"]), armature, "Head")
    assert "follow neither" in (detect_rig(head).problem or "")
    smile = {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
    head.data[MESH_PROPERTY] = Mapping("arkit55", {"Kiefer auf": {"jawOpen": 0.8}, "Lächeln": smile}).to_json()
    rig, _ = perform(bpy.data.objects["Zähne"])
    assert rig.kind == "CUSTOM"
    assert rig.summary() == ["Own names, mapping with 3 channels, eyes, neck, head", "Also moves: Zähne"]
    scene.frame_set(FRAME)
    assert shown("Zähne", "Kiefer auf") == pytest.approx(0.8 * column("jawOpen"), abs=1e-3)


@pytest.mark.parametrize("text", ["{", '{"schema_version": 99}', 7])
def test_a_damaged_mapping_on_a_face_without_known_names_is_said(scene: bpy.types.Scene, text: object) -> None:
    head = characters.ball("Kopf", (0, 0, 0), 0.1, ["Kiefer auf"])
    head.data[MESH_PROPERTY] = text
    assert "mapping stored on Kopf cannot be read" in (detect_rig(head).problem or "")


def test_smplx_bodies_are_known(scene: bpy.types.Scene) -> None:
    joints = {"pelvis": (0, 0, -1), "neck": (0, 0, -0.1), "head": (0, 0, 0), "jaw": characters.MOUTH}
    joints |= {"left_eye_smplhf": characters.EYES["Left"], "right_eye_smplhf": characters.EYES["Right"]}
    names = [*(f"Shape{i:03d}" for i in range(10)), *(f"Exp{i:03d}" for i in range(10))]
    body = characters.weigh(characters.ball("SMPLX", (0, 0, 0), 0.1, names), characters.rigged(joints), "head")
    rig, _ = perform(body, scenes.flame_clip())
    assert rig.summary()[0] == "SMPL-X, 10 of 50 expression keys, jaw bone, eyes, neck, head"
    scene.frame_set(FRAME)
    assert shown("SMPLX", "Exp000") == pytest.approx(scenes.flame_clip().values[FRAME - 1, 0], abs=1e-3)


# ------------------------------------------------------------------------------------------ takes of all parts


def test_takes_are_shown_and_deleted_on_every_part(scene: bpy.types.Scene) -> None:
    characters.arkit_character()
    work = scenes.animate_by_hand(key("Teeth"), 'key_blocks["mouthClose"].value', {1: 0.0, 20: 0.9})
    before = scenes.describe_action(work)
    head = bpy.data.objects["Head"]
    rig, clip = detect_rig(head), scenes.arkit_clip()
    lines = Lines(scene, rig)
    clips = [clip, replace(clip, values=clip.values * 0.5, seed=12)]
    line = lines.add(clips, 1, Style("BEZIER", 0.0), text="Every part.")
    for take, gain in ((1, 0.5), (0, 1.0)):
        lines.show(line.id, take)
        scene.frame_set(FRAME)
        assert (
            shown("Teeth", "jawOpen") == shown("Head", "jawOpen") == pytest.approx(gain * column("jawOpen"), abs=1e-4)
        )
        assert shown("Teeth", "tongueOut") == pytest.approx(gain * column("tongueOut"), abs=1e-4)
        assert shown("Teeth", "mouthClose") == pytest.approx(0.9 * (FRAME - 1) / 19, abs=0.15), "theirs plays through"
    assert told(rig) == []
    assert key("Teeth").animation_data.action == work
    lines.remove(line.id)
    assert scenes.describe_action(work) == before
    assert key("Head").animation_data is None
    assert lines_of(detect_rig(head)) == ()


def test_a_part_that_cannot_be_written_stays_and_is_named(scene: bpy.types.Scene) -> None:
    characters.arkit_character()
    data = scenes.animate_by_hand(key("Teeth"), 'key_blocks["jawOpen"].value', {1: 0.0}) and key("Teeth").animation_data
    strip = data.nla_tracks.new().strips.new("Chew", 1, data.action)
    data.action = None
    strip.select = True
    data.use_tweak_mode = True
    assert data.use_tweak_mode
    work = scenes.describe_action(strip.action)
    rig, _ = perform(bpy.data.objects["Head"])
    assert scenes.describe_action(strip.action) == work
    assert any("of Teeth is being tweaked" in sentence for sentence in told(rig))
    scene.frame_set(FRAME)
    assert shown("Head", "jawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)


def test_a_part_that_shows_something_else_is_named(scene: bpy.types.Scene) -> None:
    characters.arkit_character()
    rig, _ = perform(bpy.data.objects["Head"])
    key("Teeth").animation_data.action = None
    expected = "The lines do not move the shape keys of Teeth: no action plays there. Write the lines again."
    assert told(rig) == [expected]
    Lines(scene, rig).rewrite()
    key("Teeth").key_blocks["jawOpen"].mute = True
    assert told(rig) == ["Shape keys of Teeth are turned off: jawOpen. Tick their boxes."]


def test_a_saved_character_performs_the_same(scene: bpy.types.Scene, tmp_path: Path) -> None:
    characters.arkit_character()
    perform(bpy.data.objects["Head"])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.context.scene.frame_set(FRAME)
    assert shown("Teeth", "tongueOut") == pytest.approx(column("tongueOut"), abs=1e-3)
    assert len(lines_of(detect_rig(bpy.data.objects["EyeLeft"]))) == 1


def test_overridden_parts_follow_and_linked_ones_are_named(scene: bpy.types.Scene, tmp_path: Path) -> None:
    armature = characters.arkit_character()
    linked = scenes.link((armature, bpy.data.objects["Head"], bpy.data.objects["Teeth"]), tmp_path)
    assert "linked from hero.blend" in (detect_rig(linked["Armature"]).problem or "")
    head = scenes.override(linked["Head"])
    teeth = next(obj for obj in head.users_collection[0].objects if obj.name.startswith("Teeth"))
    head.data.override_create(remap_local_usages=True)
    rig = detect_rig(head)
    assert (rig.problem, rig.followers) == (None, ())
    assert "Teeth stays as it is. The mesh of Teeth is still linked from hero.blend" in rig.summary()[-1]
    teeth.data.override_create(remap_local_usages=True)
    rig, _ = perform(head)
    assert rig.followers == (teeth,)
    bpy.context.scene.frame_set(FRAME)
    values = scenes.evaluated(teeth).data.shape_keys.key_blocks
    assert values["tongueOut"].value == pytest.approx(column("tongueOut"), abs=1e-3)


def test_an_override_keeps_its_lines_when_file_and_library_are_loaded_again(
    scene: bpy.types.Scene, tmp_path: Path
) -> None:
    """A hero that already says something in its library says more in a shot that is saved; the library is reloaded."""
    armature = characters.arkit_character()
    perform(bpy.data.objects["Head"])
    shot = str(tmp_path / "shot.blend")
    hero = scenes.link((armature, bpy.data.objects["Head"]), tmp_path)
    head = scenes.override(hero["Head"])
    head.data.override_create(remap_local_usages=True)
    assert [line.text for line in lines_of(detect_rig(head))] == [scenes.arkit_clip().text]  # the library's
    with pytest.raises(LineError, match="linked from another file"):
        perform(head)
    face = head.data.shape_keys.animation_data
    face.action = face.action.copy()  # as the sentence says
    first, clip = lines_of(detect_rig(head))[0], scenes.arkit_clip()
    lines = Lines(bpy.context.scene, detect_rig(head))
    second = lines.add([clip], 60, Style("BEZIER", 0.0), text="More.")
    bpy.ops.wm.save_as_mainfile(filepath=shot)
    for reload in (False, True):
        bpy.ops.wm.open_mainfile(filepath=shot)
        if reload:
            bpy.data.libraries["hero.blend"].reload()
        head = next(obj for obj in bpy.data.objects if obj.name == "Head" and obj.library is None)
        rig = detect_rig(head)
        assert [line.id for line in lines_of(rig)] == [first.id, second.id]
        lines = Lines(bpy.context.scene, rig)
        lines.add([replace(clip, seed=clip.seed + 1)], 60, Style("BEZIER", 0.0), text="More.", line=second.id)
        assert len(lines_of(rig)[1].takes) == 2
        lines.show(second.id, 0)
        bpy.context.scene.frame_set(60 + FRAME - 1)
        value = scenes.evaluated(head).data.shape_keys.key_blocks["jawOpen"].value
        assert value == pytest.approx(column("jawOpen"), abs=1e-3)
        lines.remove(second.id)
        with pytest.raises(LineError, match="linked from another file"):  # the library's line turns the head as well
            lines.remove(first.id)
        assert [line.id for line in lines_of(rig)] == [first.id]
        body = head.parent.animation_data
        body.action = body.action.copy()  # as the sentence says
        Lines(bpy.context.scene, rig).remove(first.id)
        assert lines_of(rig) == ()


def test_an_override_performs_in_an_action_of_its_own_and_forgets_nothing_of_it(
    scene: bpy.types.Scene, tmp_path: Path
) -> None:
    """Performed, more takes, muted, removed, each saved and loaded again, with the library too."""
    armature = characters.arkit_character()
    shot = str(tmp_path / "shot.blend")
    hero = scenes.link((armature, bpy.data.objects["Head"]), tmp_path)
    scenes.override(hero["Head"]).data.override_create(remap_local_usages=True)
    clip, muted = scenes.arkit_clip(), {"jaw": Region(mute=True), "mouth": Region(mute=True)}

    def again(do: Callable[[Lines, str], object]) -> tuple[Any, float]:
        """Do it, save, load, reload the library; the lines then, and how far the jaw is open."""
        head = next(obj for obj in bpy.data.objects if obj.name == "Head" and obj.library is None)
        rig = detect_rig(head)
        do(Lines(bpy.context.scene, rig), next((line.id for line in lines_of(rig)), ""))
        bpy.ops.wm.save_as_mainfile(filepath=shot)
        bpy.ops.wm.open_mainfile(filepath=shot)
        bpy.data.libraries["hero.blend"].reload()
        head = next(obj for obj in bpy.data.objects if obj.name == "Head" and obj.library is None)
        data = head.data.shape_keys.animation_data
        assert data is None or data.action is None or data.action.library is None
        bpy.context.scene.frame_set(60 + FRAME - 1)
        return lines_of(detect_rig(head)), scenes.evaluated(head).data.shape_keys.key_blocks["jawOpen"].value

    open_ = pytest.approx(column("jawOpen"), abs=1e-3)
    (line,), value = again(lambda lines, _: lines.add([clip], 60, Style("BEZIER", 0.0), text="More."))
    assert (value, len(line.takes), line.shown) == (open_, 1, 0)
    more = [replace(clip, values=clip.values * 0.5, seed=clip.seed + 1)]
    (line,), value = again(lambda lines, name: lines.add(more, 60, line.style, text="More.", line=name))
    assert (len(line.takes), line.shown) == (2, 1) and value != open_
    (line,), value = again(lambda lines, name: lines.show(name, 0))
    assert (value, line.shown) == (open_, 0)
    (line,), value = again(lambda lines, name: lines.change(name, regions=muted))
    assert value == pytest.approx(0.0, abs=1e-4) and line.regions == muted
    (line,), value = again(lambda lines, name: lines.change(name, regions={}))
    assert value == open_
    left, value = again(lambda lines, name: lines.remove(name))
    assert (left, value) == ((), pytest.approx(0.0, abs=1e-4)) and not bpy.data.actions


# ------------------------------------------------------------------------------------------ as they are imported


def test_an_arkit_glb_performs_as_it_is_imported(scene: bpy.types.Scene, tmp_path: Path) -> None:
    characters.arkit_character()
    characters.as_glb(tmp_path, export_animations=False)
    rig, _ = perform(bpy.data.objects["EyeLeft"])
    assert (rig.object.name, [obj.name for obj in rig.followers]) == ("Head", ["Teeth"])
    scene = bpy.context.scene
    rest = bpy.data.objects["Armature"].pose.bones["LeftEye"].matrix_basis.copy()
    scene.frame_set(FRAME)
    for name in ("Head", "Teeth"):
        assert shown(name, "jawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)
    # The head's eyeLook keys move lids alone here; the eyeballs are the bones'.
    eye = scenes.evaluated(bpy.data.objects["Armature"]).pose.bones["LeftEye"]
    assert eye.matrix_basis.to_quaternion().rotation_difference(rest.to_quaternion()).angle > 0.03
    assert told(rig) == []


def test_eyeballs_with_keys_of_their_own_are_not_turned_twice(scene: bpy.types.Scene) -> None:
    armature = characters.arkit_character()
    clip = scenes.arkit_clip()
    assert {"left_eye", "right_eye"} <= set(mapping_for(detect_rig(armature), clip).bones)
    left, right = bpy.data.objects["EyeLeft"], bpy.data.objects["EyeRight"]
    for eye in (left, right):
        bpy.data.objects.remove(eye)
    for side, place in characters.EYES.items():
        looks = [name for name in characters.EYE_LOOKS if name.endswith(side)]
        characters.weigh(characters.ball(f"Eye{side}", place, 0.012, looks), armature, f"{side}Eye")
    rig = detect_rig(armature)
    assert {obj.name for obj in rig.followers} == {"Teeth", "EyeLeft", "EyeRight"}
    assert set(mapping_for(rig, clip).bones) == {"head"}


def test_what_a_glb_brings_along_hides_no_take(scene: bpy.types.Scene, tmp_path: Path) -> None:
    armature = characters.arkit_character()
    for datablock, path in ((key("Head"), 'key_blocks["jawOpen"].value'), (armature, 'pose.bones["Hips"].location')):
        for name in ("Idle", "Walk"):
            action = scenes.animate_by_hand(datablock, path, {1: 0.0, 20: 0.3})
            action.name = name
            data = datablock.animation_data
            track = data.nla_tracks.new()
            track.name = name
            track.strips.new(name, 1, action)
            data.action = None
    imported = characters.as_glb(tmp_path, export_animation_mode="NLA_TRACKS")
    brought = [scenes.describe_action(action) for action in bpy.data.actions]
    # The importer calls the mesh Head.001, makes an Empty called Head, and mutes all tracks beside an active action.
    face = next(obj for obj in imported if obj.type == "MESH" and obj.data.name == "Head")
    assert all(track.mute for track in face.data.shape_keys.animation_data.nla_tracks)
    assert face.data.shape_keys.animation_data.action.name == "Idle"
    assert [detect_rig(obj).object for obj in imported if obj.type == "EMPTY"] == [face]
    perform(face)
    bpy.context.scene.frame_set(FRAME)
    # The importer left Idle, which opens the jaw, as the active action: that is theirs, and the rest is the line's.
    assert shown(face.name, "jawLeft") == pytest.approx(column("jawLeft"), abs=1e-3)
    rig = detect_rig(face)
    Lines(bpy.context.scene, rig).remove(lines_of(rig)[0].id)
    assert [scenes.describe_action(action) for action in bpy.data.actions] == brought


@pytest.mark.parametrize("prefix", ["!ex-", ""])
def test_an_mpfb_human_performs_as_it_is_made(scene: bpy.types.Scene, prefix: str) -> None:
    body = characters.mpfb_human(prefix)
    rig, _ = perform(body)
    assert rig.summary()[0] == "MPFB, 52 of 52 shape keys, jaw bone, eyes, neck, head"
    assert [obj.name for obj in rig.followers] == ([] if prefix else ["Human.teeth_base"])
    scene.frame_set(FRAME)
    assert shown("Human", f"{prefix}jawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)
    # Modelling keys give the human its figure; no take touches them.
    assert shown("Human", "$md-$as-$fe-$yn-$av$mu-$av$wg") == pytest.approx(0.7)
    eye = scenes.evaluated(rig.armature).pose.bones["eye.L"]
    assert eye.matrix_basis.to_quaternion().angle > 0.03
    assert not any("jaw" in curve.data_path for curve in _curves(rig.armature))


def _curves(datablock: bpy.types.ID) -> list[bpy.types.FCurve]:
    data = datablock.animation_data
    return curves_in(data.action, data.action_slot)


# ------------------------------------------------------------------------------------------ what is respected


def test_drivers_keep_their_keys(scene: bpy.types.Scene) -> None:
    characters.arkit_character()
    head = bpy.data.objects["Head"]
    driver = key("Head").key_blocks["browInnerUp"].driver_add("value").driver
    driver.expression = "0.25"
    # The teeth's jaw follows the head's: such drivers are how characters are built, and nobody is told.
    follows = key("Teeth").key_blocks["jawOpen"].driver_add("value").driver
    variable = follows.variables.new()
    variable.name, follows.expression = "jaw", "jaw"
    variable.targets[0].id_type, variable.targets[0].id = "KEY", key("Head")
    variable.targets[0].data_path = 'key_blocks["jawOpen"].value'
    rig, _ = perform(head)
    said = ["browInnerUp is driven by a driver (0.25) and keeps it. Delete the driver to let takes move it."]
    assert told(rig) == said
    assert 'key_blocks["browInnerUp"].value' not in [curve.data_path for curve in _curves(key("Head"))]
    scene.frame_set(FRAME)
    assert shown("Head", "browInnerUp") == pytest.approx(0.25)
    assert shown("Teeth", "jawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)


def test_a_locked_shape_moves_and_keeps_its_shape(scene: bpy.types.Scene) -> None:
    # The padlock of a shape key protects its vertices from editing, not its value.
    characters.arkit_character()
    key("Head").key_blocks["jawOpen"].lock_shape = True
    rig, _ = perform(bpy.data.objects["Head"])
    scene.frame_set(FRAME)
    assert shown("Head", "jawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)
    assert told(rig) == []


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
def test_locked_bones_stay(scene: bpy.types.Scene, mode: str) -> None:
    armature = characters.arkit_character()
    head, eye = armature.pose.bones["Head"], armature.pose.bones["LeftEye"]
    head.rotation_mode = eye.rotation_mode = mode
    head.lock_rotation = (True, True, True)
    eye.lock_rotation = (False, True, False)
    rig, _ = perform(armature)
    assert "rotation of Head is locked and stays" in told(rig)[0]
    assert not any('"Head"' in curve.data_path for curve in _curves(rig.armature))
    for curve in _curves(rig.armature):
        if '"LeftEye"' in curve.data_path and curve.array_index == (2 if mode == "QUATERNION" else 1):
            assert {round(point.co.y, 6) for point in curve.keyframe_points} == {0.0}
    # A lock that comes after the take binds the animator's hands, not the keys.
    armature.pose.bones["RightEye"].lock_rotation = (True, True, True)
    assert not any("RightEye" in sentence for sentence in told(rig))


def test_nothing_is_written_where_nothing_may_move(scene: bpy.types.Scene) -> None:
    head = characters.ball("Head", (0, 0, 0), 0.1, ARKIT_CHANNELS)
    for block in head.data.shape_keys.key_blocks[1:]:
        block.driver_add("value")
    perform(head)
    assert key("Head").animation_data.action is None or not _curves(key("Head"))
    assert any("are driven by drivers (the first is " in sentence for sentence in told(detect_rig(head)))


def test_sliders_are_widened_with_leave_alone(scene: bpy.types.Scene) -> None:
    characters.arkit_character()
    head = bpy.data.objects["Head"]
    tight = key("Head").key_blocks["jawOpen"], key("Teeth").key_blocks["jawOpen"]
    for block in tight:
        block.slider_max = 0.5
    rig, line = perform(head, widen=False)
    assert [block.slider_max for block in tight] == [0.5, 0.5]
    assert "cuts the keys off: jawOpen" in told(rig)[0]
    ranges.remember(rig, False)
    Lines(scene, rig).change(line.id, intensity=1.5)  # a no is one for whatever is done next
    assert [block.slider_max for block in tight] == [0.5, 0.5]
    ranges.remember(rig, True)  # asked once, by whatever part was chosen
    assert ranges.answer(detect_rig(bpy.data.objects["Teeth"])) is True
    Lines(scene, rig).remove(line.id)
    perform(head)
    assert all(block.slider_max > 0.9 for block in tight)
    assert key("Head").key_blocks["jawLeft"].slider_max == 1.0
    assert told(rig) == []


# ------------------------------------------------------------------------------------------ bad input


def _no_vertices(face: bpy.types.Object) -> None:
    face.data.clear_geometry()


def _other_vertices(face: bpy.types.Object) -> None:
    face.data.clear_geometry()
    face.data.from_pydata(TRIANGLE, [], [(0, 1, 2)])


def _absolute(face: bpy.types.Object) -> None:
    face.data.shape_keys.use_relative = False


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_no_vertices, "Avatar has no vertices"),
        (_other_vertices, "Basis of Avatar has 9 points and the mesh 3 vertices"),
        (_absolute, "are absolute, so their values are ignored. Turn on Relative"),
    ],
)
def test_broken_shape_keys_are_refused_in_a_sentence(scene: bpy.types.Scene, harm: object, words: str) -> None:
    face = scenes.arkit_face()
    harm(face)
    before = snapshot()
    assert words in (detect_rig(face).problem or "")
    with pytest.raises(LineError, match=words):
        Lines(scene, detect_rig(face))
    assert snapshot() == before


def test_a_broken_part_stays_and_is_named(scene: bpy.types.Scene) -> None:
    characters.arkit_character()
    key("Teeth").use_relative = False
    rig, _ = perform(bpy.data.objects["Head"])
    assert rig.followers == ()
    assert "Teeth stays as it is. The shape keys of Teeth are absolute" in rig.summary()[-1]


def test_keys_of_one_meaning_are_told_apart(scene: bpy.types.Scene) -> None:
    face = scenes.arkit_face([*ARKIT_CHANNELS, "JawOpen", "jaw_open", "Grübchen"])
    rig, _ = perform(face)
    assert rig.ignored == ("JawOpen", "jaw_open", "Grübchen")
    assert "JawOpen like jawOpen, jaw_open like jawOpen" in rig.summary()[-1]
    scene.frame_set(FRAME)
    assert shown("Avatar", "jawOpen") == pytest.approx(column("jawOpen"), abs=1e-3)
    assert shown("Avatar", "JawOpen") == 0


def test_keys_without_a_shape_are_named(scene: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    blocks = face.data.shape_keys.key_blocks
    rest = np.empty(len(face.data.vertices) * 3, np.float32)
    face.data.vertices.foreach_get("co", rest)
    blocks["tongueOut"].data.foreach_set("co", rest)
    assert keys_without_shape(detect_rig(face), resolved(detect_rig(face))) == ["tongueOut"]


def test_keys_relative_to_other_keys_are_driven_like_all(scene: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    blocks = face.data.shape_keys.key_blocks
    blocks["mouthClose"].relative_key = blocks["jawOpen"]
    perform(face)
    scene.frame_set(FRAME)
    assert shown("Avatar", "mouthClose") == pytest.approx(column("mouthClose"), abs=1e-3)


def test_detection_sees_every_change_at_once(scene: bpy.types.Scene) -> None:
    armature = characters.arkit_character()
    head = bpy.data.objects["Head"]
    assert len(detect_rig(head).shape_keys) == 52
    key("Head").key_blocks["jawOpen"].name = "Open Wide"
    key("Teeth").key_blocks["jawOpen"].name = "Open Wide"
    assert "jawOpen" in detect_rig(head).missing
    armature.data.bones["LeftEye"].name = "Lamp"
    assert "left_eye" not in detect_rig(head).bones
    bpy.data.objects["Teeth"].parent = None
    bpy.data.objects["Teeth"].modifiers.clear()
    assert detect_rig(head).followers == ()
