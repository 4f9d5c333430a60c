# SPDX-License-Identifier: GPL-3.0-or-later
"""The mapping editor: what is shown, what an edit writes, previews that leave nothing, presets, files, copies."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest

from benchmarks import redraw
from blender_cteg import cast, storage
from blender_cteg.character import mapping_edits as edits
from blender_cteg.character import mapping_rows
from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import MESH_PROPERTY, Adjustment, Control, Mapping, MappingError
from blender_cteg.character.match import SURE, candidates, suggestion
from blender_cteg.character.presets import presets
from blender_cteg.operators.heads import CTEG_FH_flame
from blender_cteg.operators.mapping_files import CTEG_FH_mapping
from blender_cteg.performance.diagnosis import diagnose
from blender_cteg.performance.lines import Lines, Style, lines_of
from blender_cteg.performance.preview import PREVIEW_PROPERTY
from blender_cteg.performance.record import Line
from blender_cteg.shared import ARKIT_CHANNELS, HEAD_CHANNELS, SPACES
from blender_cteg.storage import LARGEST_FILE

from . import characters, scenes

CHANNELS = ARKIT_CHANNELS + HEAD_CHANNELS
OWN_NAMES = ["Smile_L", "Smile_R", "JawDown", "Blink_L", "Blink_R", "Lächeln", "browInnerUp", "Stirn"]


def own_face(scene: bpy.types.Scene, bones: tuple[str, ...] = ("neck", "mouth_ctrl")) -> bpy.types.Object:
    face = scenes.arkit_face(OWN_NAMES, bones)
    scene.cteg.target = face
    return face


def mapping(face: bpy.types.Object) -> Mapping:
    made = cast.found(bpy.context.scene, face).mapping
    assert made is not None
    return made


def fields() -> bpy.types.PropertyGroup:
    return bpy.context.scene.cteg_fields


def interface() -> bpy.types.PropertyGroup:
    return bpy.context.window_manager.cteg


def choose(channel: str) -> None:
    """Click a channel in the list."""
    rows = cast.character(bpy.context.scene).rows
    interface().channel = [row.channel for row in rows].index(channel)


def perform(face: bpy.types.Object, start: float = 1) -> Line:
    """A line of one take with a key on every frame."""
    scene, rig, clip = bpy.context.scene, detect_rig(face), scenes.arkit_clip()
    return Lines(scene, rig, mapping_for(rig, clip)).add([clip], start, Style("BEZIER", 0.0), text=clip.text, blend=0)


def values(face: bpy.types.Object) -> dict[str, tuple[float, float, float]]:
    blocks = face.data.shape_keys.key_blocks
    return {block.name: (block.value, block.slider_min, block.slider_max) for block in blocks}


# ---------------------------------------------------------------------------------------------- matching


def test_similar_names_are_suggested_and_never_sure() -> None:
    found = candidates(CHANNELS, (*OWN_NAMES, "InnerBrowRaise_L", "InnerBrowRaise_R", "Frown"), ("hand.L",))
    assert [(c.name, c.score) for c in found["browInnerUp"]] == [("browInnerUp", 1.0)]
    for channel, name in (
        ("mouthSmileLeft", "Smile_L"),
        ("mouthSmileRight", "Smile_R"),
        ("jawOpen", "JawDown"),
        ("eyeBlinkLeft", "Blink_L"),
        ("mouthFrownLeft", "Frown"),
    ):
        assert [c.name for c in suggestion(found[channel])] == [name]
        assert 0.4 <= found[channel][0].score < SURE
    assert found["mouthFrownRight"][0].shared, "a key without a side stands for both"
    assert "browOuterUpLeft" not in found or found["browOuterUpLeft"][0].name != "InnerBrowRaise_R"


def test_halves_are_suggested_together() -> None:
    found = candidates(CHANNELS, ("InnerBrowRaise_L", "InnerBrowRaise_R"), ())
    assert {c.name for c in suggestion(found["browInnerUp"])} == {"InnerBrowRaise_L", "InnerBrowRaise_R"}
    alike = candidates(CHANNELS, ("JawDown", "MouthOpen"), ())
    assert len(suggestion(alike["jawOpen"])) == 1, "two words for one thing are not two halves"


@pytest.mark.parametrize("names", [("Lächeln_L", "Mund_auf", "Augen_zu", "Brauen_hoch"), ("a", "1", "_", "L"), ()])
def test_what_is_not_understood_matches_nothing(names: tuple[str, ...]) -> None:
    assert candidates(CHANNELS, names, names) == {}


def test_known_spellings_are_sure_and_sides_agree() -> None:
    found = candidates(CHANNELS, ("A38_Mouth_Smile_Left", "mouthFrown", "jaw_open"), ("Jaw", "head"))
    assert found["mouthSmileLeft"][0].score == 0.95
    assert found["mouthFrownLeft"][0].score == found["mouthFrownRight"][0].score == 0.8
    assert found["headYaw"][0].kind == "ROLE"
    assert "mouthSmileRight" not in found


# ---------------------------------------------------------------------------------------------- schema 2


def test_adjustments_come_before_the_map() -> None:
    clip = scenes.arkit_clip()
    adjusted = Mapping(
        "arkit55",
        {"A": {"jawOpen": 2.0}, "B": {"jawLeft": 1.0}, "C": {"mouthClose": 1.0, "jawLeft": 1.0}},
        {"neck": dict(zip(HEAD_CHANNELS, np.eye(3).tolist(), strict=True))},
        channels={"jawOpen": Adjustment(0.5, 0.1), "jawLeft": Adjustment(mute=True), "headYaw": Adjustment(mute=True)},
    )
    made = adjusted.apply(clip)
    np.testing.assert_allclose(made.shape_keys["A"], clip.channel("jawOpen") + 0.2, atol=1e-6)
    assert "B" not in made.shape_keys, "a muted channel leaves what only it drives to the animator"
    np.testing.assert_allclose(made.shape_keys["C"], clip.channel("mouthClose"), atol=1e-6)
    still = replace(clip, values=clip.values * [name != "headYaw" for name in clip.channels])
    np.testing.assert_allclose(made.bones["neck"], replace(adjusted, channels={}).apply(still).bones["neck"], atol=1e-6)
    assert Mapping.from_json(adjusted.to_json()).apply(clip).bones.keys() == {"neck"}


def test_version_1_is_read_and_edited_ones_are_told_from_fits() -> None:
    old = {"schema_version": 1, "source_space": "arkit55", "shape_keys": {"Ä": {"jawOpen": 1}}, "bones": {}}
    by_hand = Mapping.from_json(json.dumps(old))
    assert (by_hand.shape_keys, by_hand.origin) == ({"Ä": {"jawOpen": 1.0}}, "edited")
    assert Mapping.from_json(json.dumps(old | {"residual_mm": {"jawOpen": 0.5}})).origin == "fit"
    assert json.loads(by_hand.to_json())["schema_version"] == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 7}, "newer CTEG"),
        ({"schema_version": "2"}, "schema_version '2'"),
        ({"schema_version": True}, "schema_version True"),
        ({"origin": 3}, "origin is 3"),
        ({"channels": [1]}, "channels is"),
        ({"channels": {"jawOpen": 2}}, "jawOpen is 2"),
        ({"channels": {"jawOpen": {"gain": math.nan}}}, "it holds NaN"),
        ({"channels": {"jawOpen": {"gain": 1e9}}}, "gain of jawOpen is 1000000000.0"),
        ({"channels": {"jawOpen": {"mute": 1}}}, "mute of jawOpen is 1"),
        ({"controls": {"b": {"jawOpen": 1}}}, "property, axis and amount"),
        ({"controls": {"b": {"jawOpen": {"property": "SCALE", "axis": "X", "amount": 1}}}}, "ROTATION or LOCATION"),
        ({"controls": {"b": {"jawOpen": {"property": "LOCATION", "axis": "W", "amount": 1}}}}, "X, Y or Z"),
        ({"controls": {"b": {"jawOpen": [{"property": "LOCATION", "axis": "X"}]}}}, "amount from jawOpen is None"),
        ({"shape_keys": {"A": {"jawOpen": 1e300}}}, "ordinary size"),
        ({"shape_keys": {"A": {"jawOpen": 10**400}}}, "401 digits"),
    ],
)
def test_damaged_fields_are_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(MappingError, match=words):
        Mapping.from_json(json.dumps(json.loads(Mapping("arkit55").to_json()) | change))


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE"])
def test_bones_move_in_their_own_axes(scene: bpy.types.Scene, mode: str) -> None:
    face = scenes.arkit_face(bones=["jaw_ctrl", "corner"])
    pose = face.parent.pose.bones
    pose["jaw_ctrl"].rotation_mode = mode
    pose["corner"].location.y = 0.5
    moves = {
        "jaw_ctrl": {"jawOpen": (Control("ROTATION", "Z", 0.4),)},
        "corner": {"jawOpen": (Control("LOCATION", "X", 0.02), Control("LOCATION", "Z", -0.01))},
    }
    face.data[MESH_PROPERTY] = Mapping("arkit55", controls=moves, origin="edited").to_json()
    perform(face)
    rig, clip = detect_rig(face), scenes.arkit_clip()
    scene.frame_set(9)
    opened = float(clip.channel("jawOpen")[8])
    np.testing.assert_allclose(pose["jaw_ctrl"].matrix_basis.to_3x3(), scenes.turned((0, 0, 0.4 * opened)), atol=1e-5)
    np.testing.assert_allclose(pose["corner"].location, (0.02 * opened, 0.5, -0.01 * opened), atol=1e-6)
    assert diagnose(rig, mapping_for(rig, clip), lines_of(rig)) == []


def test_a_bone_may_play_a_role_and_be_a_control(scene: bpy.types.Scene) -> None:
    face = scenes.arkit_face(bones=["head"])
    both = Mapping(
        "arkit55",
        {},
        {"head": {"headPitch": (1.0, 0.0, 0.0)}},
        {},
        {"head": {"jawOpen": (Control("ROTATION", "X", 0.1),)}},
    )
    face.data[MESH_PROPERTY] = both.to_json()
    perform(face)
    action = face.parent.animation_data.action
    bag = action.layers[0].strips[0].channelbag(face.parent.animation_data.action_slot)
    paths = [(c.data_path, c.array_index) for c in bag.fcurves]
    assert len(paths) == len(set(paths)) == 4


# ---------------------------------------------------------------------------------------------- the editor


def test_a_face_with_names_of_its_own_performs_once_it_is_mapped(stage: bpy.types.Scene) -> None:
    face = own_face(stage)
    assert "Mapping panel" in (detect_rig(face).problem or "")
    before = values(face)
    bpy.ops.cteg.mapping_accept()
    rig, clip = detect_rig(face), scenes.arkit_clip()
    assert rig.problem is None
    made = mapping_for(rig, clip).apply(clip)
    np.testing.assert_array_equal(made.shape_keys["JawDown"], clip.channel("jawOpen"))
    assert made.bones.keys() == {"neck"}
    assert "Lächeln" not in made.shape_keys
    assert mapping(face).origin == "edited"
    assert values(face) == before


def test_rows_show_unmatched_channels_first_then_regions(stage: bpy.types.Scene) -> None:
    own_face(stage)
    rows = cast.character(stage).rows
    assert [row.channel for row in rows if row.standing == "SURE"] == ["browInnerUp", *HEAD_CHANNELS]
    first = rows[: len(rows) - 4]
    assert all(not row.targets for row in first)
    regions = [mapping_rows.region_of(row.channel) for row in first]
    assert regions == sorted(regions, key=["Upper face", "Eyes", "Mouth", "Jaw", "Head"].index)
    assert {row.channel for row in rows} == set(CHANNELS)
    assert len(interface().places) >= len(rows)


def test_an_edit_writes_json_at_once(stage: bpy.types.Scene) -> None:
    face = own_face(stage)
    choose("browInnerUp")
    fields().gain, fields().offset = 0.5, 0.25
    bpy.ops.cteg.mapping_mute(channel="headYaw")
    assert mapping(face).channels == {"browInnerUp": Adjustment(0.5, 0.25), "headYaw": Adjustment(mute=True)}
    fields().gain, fields().offset = 1.0, 0.0
    assert "browInnerUp" not in json.loads(face.data[MESH_PROPERTY])["channels"], "what is as it is is not stored"
    bpy.ops.cteg.mapping_mute(channel="headYaw")
    assert mapping(face).channels == {}

    fields().slot0.target = "Stirn"
    fields().slot0.weight = -0.5
    assert mapping(face).shape_keys["Stirn"] == {"browInnerUp": -0.5}
    bpy.ops.cteg.mapping_add_target(kind="BONE", name="mouth_ctrl")
    slot = fields().slot1
    slot.property, slot.axis = "LOCATION", "Z"
    slot.distance = 0.25
    assert (slot.property, slot.axis, slot.distance) == ("LOCATION", "Z", 0.25)
    assert mapping(face).controls == {"mouth_ctrl": {"browInnerUp": (Control("LOCATION", "Z", 0.25),)}}
    fields().slot0.target = ""
    assert edits.targets_of(mapping(face), "browInnerUp")[0].kind == "BONE"
    bpy.ops.cteg.mapping_remove_target(place=0)
    assert edits.targets_of(mapping(face), "browInnerUp") == ()
    choose("headPitch")
    fields().slot0.turn = (0.5, 0.25, 0.0)
    assert mapping(face).bones["neck"]["headPitch"] == (0.5, 0.25, 0.0)
    before = face.data[MESH_PROPERTY]
    fields().gain = math.nan
    assert face.data[MESH_PROPERTY] == before
    assert "finite" in cast.character(stage).refusal
    bpy.ops.cteg.mapping_reset()
    assert MESH_PROPERTY not in face.data
    assert cast.character(stage).refusal == ""


def test_an_edit_keeps_what_lines_use_otherwise(stage: bpy.types.Scene) -> None:
    # Eye bones that carry the eyeballs, the tongue of the teeth: a first edit stored a mapping without them.
    armature = characters.arkit_character()
    stage.cteg.target = armature
    head = bpy.data.objects["Head"]
    before = mapping_for(detect_rig(armature), scenes.arkit_clip())
    choose("jawOpen")
    fields().gain = 0.5
    assert MESH_PROPERTY in head.data
    stored = mapping_for(detect_rig(armature), scenes.arkit_clip())
    assert replace(stored, channels={}, origin="names") == before
    assert {"left_eye", "right_eye"} <= set(stored.bones)
    rows = {row.channel: row.standing for row in cast.character(stage).rows}
    assert rows["tongueOut"] == "SURE", "it is there, on the teeth"


def test_an_edit_reaches_lines_at_once_and_is_undone(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    stage.cteg.target = face
    first, second = perform(face), perform(face, 100)
    name, clip = face.name, scenes.arkit_clip()

    def jaw(frame: int) -> float:
        bpy.context.scene.frame_set(frame)
        return scenes.evaluated(bpy.data.objects[name]).data.shape_keys.key_blocks["jawOpen"].value

    opened = float(clip.channel("jawOpen")[5])
    assert jaw(6) == jaw(105) == pytest.approx(opened, abs=1e-4)
    choose("jawOpen")
    bpy.ops.ed.undo_push(message="before")
    fields().gain = 0.5
    bpy.ops.ed.undo_push(message="gain")
    assert jaw(6) == jaw(105) == pytest.approx(0.5 * opened, abs=1e-4)
    bpy.ops.cteg.mapping_mute(channel="jawOpen")
    assert jaw(6) == jaw(105) == 0.0
    assert [line.id for line in cast.character(bpy.context.scene).lines] == [first.id, second.id]
    bpy.ops.ed.undo_push(message="mute")
    bpy.ops.ed.undo()
    assert jaw(105) == pytest.approx(0.5 * opened, abs=1e-4)
    assert mapping(bpy.data.objects[name]).channels == {"jawOpen": Adjustment(0.5)}
    bpy.ops.ed.undo()
    assert jaw(6) == pytest.approx(opened, abs=1e-4)
    assert MESH_PROPERTY not in bpy.data.objects[name].data


def test_what_cannot_be_done_is_said_and_changes_nothing(stage: bpy.types.Scene) -> None:
    face = own_face(stage)
    choose("tongueOut")
    for call, words in (
        (lambda: bpy.ops.cteg.mapping_add_target(kind="KEY", name="Zunge"), "no shape key called 'Zunge'"),
        (lambda: bpy.ops.cteg.mapping_add_target(kind="BONE", name=""), "no bone called ''"),
        (lambda: bpy.ops.cteg.mapping_remove_target(place=0), "Targets of tongueOut: 0"),
        (lambda: bpy.ops.cteg.mapping_accept(channel="tongueOut"), "no suggestion for tongueOut"),
        (lambda: bpy.ops.cteg.mapping_preset(preset="vroid"), "Nothing of VRoid"),
        (lambda: bpy.ops.cteg.mapping_preset(preset="nobody"), "no preset called 'nobody'"),
        (lambda: bpy.ops.cteg.mapping_mute(channel="tail"), "no channel called 'tail'"),
        (lambda: bpy.ops.cteg.fit_again(), "follow neither FLAME's names"),
    ):
        with pytest.raises(RuntimeError, match=words):
            call()
    assert MESH_PROPERTY not in face.data
    stage.cteg.target = None
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.cteg.mapping_match()


@pytest.mark.parametrize(
    "damage", ['{"schema_version": 5}', "{", "[[[", 7, f'{{"schema_version": {"9" * 4300}}}', '{"a": NaN}', '"\\ud800"']
)
@pytest.mark.parametrize("names", [OWN_NAMES, ARKIT_CHANNELS])
def test_a_damaged_mapping_is_told_and_breaks_nothing(
    stage: bpy.types.Scene, damage: object, names: tuple[str, ...]
) -> None:
    face = scenes.arkit_face(names, ("neck",))
    face.data[MESH_PROPERTY] = damage
    stage.cteg.target = face
    now = cast.refresh(stage)
    assert "cannot be read" in now.mapping_problem and now.rows == () and now.mapping is None
    assert "cannot be read" in " ".join(redraw.redraw())
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.cteg.mapping_match()
    fields().gain = 2.0
    interface().strength = 1.0
    assert (fields().gain, interface().strength, fields().slot0.target) == (1.0, 0.0, "")
    assert face.data[MESH_PROPERTY] == damage
    bpy.ops.cteg.mapping_reset()
    assert MESH_PROPERTY not in face.data
    assert len(cast.character(stage).rows) == 55


def test_a_flame_face_is_fitted_on_request(stage: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face()
    stage.cteg.target = face.parent
    now = cast.character(stage)
    assert (now.rig.object, now.mapping, now.rows) == (face, None, ())
    assert "[Fit Expressions]" in redraw.redraw()
    bpy.ops.cteg.fit_again()
    assert mapping(face).origin == "fit"
    choose("jawOpen")
    fields().gain = 0.5
    assert mapping(face).origin == "edited"
    assert mapping_for(detect_rig(face), scenes.arkit_clip()).channels == {"jawOpen": Adjustment(0.5)}
    bpy.ops.cteg.fit_again()
    assert mapping(face).origin == "fit"


# ---------------------------------------------------------------------------------------------- the preview


def test_the_preview_poses_and_leaves_nothing(stage: bpy.types.Scene, tmp_path: Path) -> None:
    face = own_face(stage)
    bpy.ops.cteg.mapping_accept()
    shown = interface()
    blocks, bone = face.data.shape_keys.key_blocks, face.parent.pose.bones["mouth_ctrl"]
    blocks["Smile_L"].value = 0.3
    choose("jawOpen")
    bpy.ops.cteg.mapping_add_target(kind="BONE", name="mouth_ctrl")
    before, pose = values(face), bone.matrix_basis.copy()

    def begin() -> None:
        shown.strength = 1.0
        assert blocks["JawDown"].value == 1.0
        assert blocks["Smile_L"].value == 0.0, "the channel is shown alone"
        assert bone.matrix_basis != pose
        assert shown.strength == 1.0

    def ended() -> bool:
        datablocks = (face.data.shape_keys, face.parent)
        return (
            values(face) == before
            and bone.matrix_basis == pose
            and shown.strength == 0.0
            and not any(PREVIEW_PROPERTY in datablock for datablock in datablocks)
        )

    begin()
    fields().gain = 3.0
    assert blocks["JawDown"].value == 3.0, "an edit is seen at once, beyond the slider too"
    fields().gain = 1.0
    shown.strength = 0.0
    assert ended()
    begin()
    choose("headPitch")
    assert ended()
    choose("jawOpen")
    begin()
    stage.frame_set(7)
    assert ended()
    begin()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "posed.blend"), copy=True)
    assert ended()
    assert face.animation_data is None
    assert face.data.shape_keys.animation_data is None


def test_the_face_that_lines_move_is_edited_whatever_part_is_chosen(stage: bpy.types.Scene) -> None:
    armature = characters.arkit_character()
    head, teeth = bpy.data.objects["Head"], bpy.data.objects["Teeth"]
    for target in (armature, teeth, head):
        stage.cteg.target = target
        assert cast.character(stage).rig.object == head
    teeth.modifiers.clear()
    teeth.parent, teeth.location = None, (9, 9, 9)
    stage.cteg.target = teeth
    bpy.context.view_layer.update()
    assert cast.character(stage).rig.object == teeth


def test_the_preview_poses_the_teeth_too(stage: bpy.types.Scene) -> None:
    stage.cteg.target = characters.arkit_character()
    face, teeth = bpy.data.objects["Head"], bpy.data.objects["Teeth"]
    choose("jawOpen")
    interface().strength = 0.7
    poses = [obj.data.shape_keys.key_blocks["jawOpen"].value for obj in (face, teeth)]
    assert poses == pytest.approx([0.7, 0.7])
    interface().strength = 0.0
    assert teeth.data.shape_keys.key_blocks["jawOpen"].value == 0.0


def test_a_line_is_written_as_if_nothing_was_previewed(stage: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face()
    stage.cteg.target = face
    bpy.ops.cteg.fit_again()
    choose("mouthSmileLeft")
    interface().strength = 1.0
    perform(face)
    assert PREVIEW_PROPERTY not in face.data.shape_keys
    assert face.data.shape_keys.key_blocks["Exp1"].slider_max == 10.0
    interface().strength = 1.0
    interface().strength = 0.0
    assert face.data.shape_keys.key_blocks["Exp1"].slider_max == 10.0


def test_a_posed_file_is_put_right_when_it_is_opened(stage: bpy.types.Scene, tmp_path: Path) -> None:
    face = own_face(stage)
    block = 'key_blocks["Smile_L"]'
    before = [['key_blocks["gone"]', "value", 0.0], [block, "slider_max", 1.0], [block, "value", 0.25]]
    face.data.shape_keys[PREVIEW_PROPERTY] = json.dumps(before)
    face.parent[PREVIEW_PROPERTY] = "{"
    name, path = face.name, str(tmp_path / "recovered.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    face = bpy.data.objects[name]
    assert values(face)["Smile_L"] == (0.25, 0.0, 1.0)
    assert PREVIEW_PROPERTY not in face.data.shape_keys


def test_undo_does_not_bring_a_pose_back(stage: bpy.types.Scene) -> None:
    face = own_face(stage)
    bpy.ops.cteg.mapping_accept()
    before, name = values(face), face.name
    choose("jawOpen")
    bpy.ops.ed.undo_push(message="before")
    interface().strength = 1.0
    fields().gain = 0.5
    bpy.ops.ed.undo_push(message="gain, while a pose is shown")
    interface().strength = 0.0
    fields().gain = 0.25
    bpy.ops.ed.undo_push(message="another gain")
    bpy.ops.ed.undo()
    face = bpy.data.objects[name]
    assert mapping(face).channels == {"jawOpen": Adjustment(0.5)}
    assert values(face) == before
    assert PREVIEW_PROPERTY not in face.data.shape_keys
    bpy.ops.ed.undo()
    assert mapping(bpy.data.objects[name]).channels == {}


# ---------------------------------------------------------------------------------------------- presets, files, copies


def test_presets_are_mappings_of_known_names() -> None:
    names = {preset.name for preset in presets()}
    assert {"arkit", "arkit_sides", "character_creator", "mpfb", "flame", "smplx", "vroid"} <= names
    for preset in presets():
        known = SPACES[preset.mapping.source_space].channels
        assert preset.mapping.driving() <= set(known), preset.name
        assert preset.mapping.origin == f"preset:{preset.label}"
        if preset.name in {"arkit", "arkit_sides", "character_creator", "mpfb"}:
            assert preset.mapping.driving() == set(known)
            # What a preset says and what names say by themselves must not differ.
            found = candidates(ARKIT_CHANNELS, tuple(preset.mapping.shape_keys), ())
            for channel in ARKIT_CHANNELS:
                assert [c.name for c in found[channel]] == [
                    k for k, r in preset.mapping.shape_keys.items() if channel in r
                ]


def test_a_preset_takes_what_the_face_has(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face([f"!ex-{c}" for c in ARKIT_CHANNELS if c != "tongueOut"], ["neck"])
    stage.cteg.target = face
    bpy.ops.cteg.mapping_preset(preset="mpfb")
    made = mapping(face)
    assert made.origin == "preset:MPFB, !ex-"
    assert set(CHANNELS) - made.driving() == {"tongueOut"}
    assert made.bones.keys() == {"neck"}, "a neck turns where there is no head bone"


@pytest.mark.parametrize("preset", ["rigify", "cloudrig", "auto_rig_pro"])
def test_a_jaw_alone_is_no_sign_of_a_face_made_of_bones(stage: bpy.types.Scene, preset: str) -> None:
    face = scenes.arkit_face(bones=["head", "neck", "jaw"])
    stage.cteg.target = face
    with pytest.raises(RuntimeError, match=r"Nothing of .* is on"):
        bpy.ops.cteg.mapping_preset(preset=preset)


def test_a_mapping_travels_as_json(stage: bpy.types.Scene, tmp_path: Path) -> None:
    face = own_face(stage)
    bpy.ops.cteg.mapping_accept()
    choose("tongueOut")
    bpy.ops.cteg.mapping_add_target(kind="KEY", name="Lächeln")
    path = tmp_path / "Größe.json"
    bpy.ops.cteg.mapping_save(filepath=str(path))
    saved = mapping(face)
    bpy.ops.cteg.mapping_reset()
    bpy.ops.cteg.mapping_load(filepath=str(path))
    assert mapping(face) == saved

    other = scenes.arkit_face([name for name in OWN_NAMES if name != "JawDown"])
    third = scenes.arkit_face(["Cube", "Cone"])
    for obj in (face, other, third):
        obj.select_set(True)
    bpy.ops.cteg.mapping_copy()
    assert mapping(other).shape_keys == {k: v for k, v in saved.shape_keys.items() if k != "JawDown"}
    assert MESH_PROPERTY not in third.data
    other.select_set(False)
    with pytest.raises(RuntimeError, match="has no browInnerUp"):
        bpy.ops.cteg.mapping_copy()


def test_bad_files_are_refused_by_name(stage: bpy.types.Scene, tmp_path: Path) -> None:
    face = own_face(stage)
    bpy.ops.cteg.mapping_accept()
    before = face.data[MESH_PROPERTY]
    stranger = Mapping("arkit55", {"Exp1": {"jawOpen": 1.0}}).to_json()
    for name, content, words in (
        ("newer", before.replace('"schema_version":4', '"schema_version":5').encode(), "newer CTEG"),
        ("broken", before[:-9].encode(), "not JSON"),
        ("binary", b"\xff\xfe\x00", "it is not text"),
        ("empty", b"", "not JSON"),
        ("list", b"[]", "not a JSON object"),
        ("nan", before.replace(":1.0", ":NaN", 1).encode(), "it holds NaN"),
        ("stranger", stranger.encode(), "Nothing of stranger is on"),
        ("huge", b" " * (LARGEST_FILE + 1), r"has \d MB"),
        ("deep", b"[" * 100_000, "nested too deeply"),
    ):
        path = tmp_path / f"{name}.json"
        path.write_bytes(content)
        with pytest.raises(RuntimeError, match=words) as caught:
            bpy.ops.cteg.mapping_load(filepath=str(path))
        assert name in str(caught.value)
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.cteg.mapping_load(filepath=str(tmp_path / "nowhere.json"))
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.cteg.mapping_save(filepath=str(tmp_path / "no" / "where.json"))
    assert face.data[MESH_PROPERTY] == before


def test_a_full_disk_leaves_the_saved_mapping_as_it_was(
    stage: bpy.types.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_face(stage)
    path = tmp_path / "mapping.json"
    bpy.ops.cteg.mapping_save(filepath=str(path))
    saved = path.read_bytes()
    bpy.ops.cteg.mapping_accept()
    monkeypatch.setattr(storage.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RuntimeError, match="No space left on device"):
        bpy.ops.cteg.mapping_save(filepath=str(path))
    assert path.read_bytes() == saved
    assert list(tmp_path.iterdir()) == [path]


def test_linked_faces_say_what_to_do(stage: bpy.types.Scene, tmp_path: Path) -> None:
    face = scenes.arkit_face(ARKIT_CHANNELS, ["head"])
    linked = scenes.link_face(face, tmp_path)
    scene = bpy.context.scene
    scene.cteg.target = linked
    assert bpy.ops.cteg.mapping_match.poll() is False
    assert "Library Override" in " ".join(redraw.redraw())
    choose("jawOpen")
    fields().gain = 2.0
    assert MESH_PROPERTY not in linked.data
    assert "linked" in cast.character(scene).refusal
    interface().strength = 1.0
    assert linked.data.shape_keys.key_blocks["jawOpen"].value == 0.0


def test_a_dropped_mapping_is_put_on(stage: bpy.types.Scene, tmp_path: Path) -> None:
    """What Blender does with a file that is dropped on a view: it asks the handler, then invokes its operator."""
    face, path = own_face(stage), tmp_path / "dropped.json"
    bpy.ops.cteg.mapping_accept()
    bpy.ops.cteg.mapping_save(filepath=str(path))
    saved = mapping(face)
    bpy.ops.cteg.mapping_reset()
    window = bpy.context.window_manager.windows[0]
    places = {area.type: area for area in window.screen.areas}
    for kind, wanted in (("VIEW_3D", True), ("OUTLINER", False)):
        with bpy.context.temp_override(window=window, area=places[kind]):
            assert CTEG_FH_mapping.poll_drop(bpy.context) is wanted
            assert CTEG_FH_flame.poll_drop(bpy.context) is wanted
    with bpy.context.temp_override(window=window, area=places["VIEW_3D"]):
        assert bpy.ops.cteg.mapping_load("INVOKE_DEFAULT", filepath=str(path)) == {"FINISHED"}
    assert mapping(face) == saved
