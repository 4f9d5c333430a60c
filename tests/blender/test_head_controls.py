# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo heads bring along for animators: a gaze target, wrinkles that follow the keys, a picture; bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Vector

from blender_cteg.character import measuring
from blender_cteg.character.choose import resolved
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.clip import Clip
from blender_cteg.heads.demo_head import PEOPLE, DemoHeadError, assemble
from blender_cteg.heads.demo_head.assemble import FOLLOW, GAZE
from blender_cteg.heads.demo_head.materials import WRINKLES
from blender_cteg.performance.diagnosis import diagnose
from blender_cteg.performance.lines import Lines, Style, lines_of
from blender_cteg.performance.owners import curves_in
from generator.shared.spaces import ARKIT55

pytestmark = pytest.mark.skipif(not assemble.locate_head_asset().is_file(), reason="the demo head is not baked")


@pytest.fixture
def face(scene: bpy.types.Scene) -> bpy.types.Object:
    return assemble.add_demo_head(bpy.context)


def set_action(face: bpy.types.Object, action: str, value: float = 1.0) -> None:
    """Move the keys of one ARKit action."""
    for key, gains in json.loads(face.data["cteg_mapping"])["shape_keys"].items():
        if action in gains:
            face.data.shape_keys.key_blocks[key].value = value * gains[action]
    bpy.context.view_layer.update()


def eye_axis(face: bpy.types.Object, side: str) -> Vector:
    """Where an eye bone points now, world space."""
    bone = face.parent.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones[f"{side}_eye"]
    return (face.parent.matrix_world.to_3x3() @ bone.matrix.to_3x3().col[1]).normalized()


def to_target(face: bpy.types.Object, side: str) -> Vector:
    bones = face.parent.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    return (bones[GAZE].head - bones[f"{side}_eye"].head).normalized()


def follow(face: bpy.types.Object, amount: float) -> None:
    face.parent.pose.bones[GAZE][FOLLOW] = amount
    face.parent.update_tag()
    bpy.context.view_layer.update()


# --- gaze -------------------------------------------------------------------------------------------------------------


def test_eyes_do_as_they_are_keyed_until_they_are_told_to_follow(face: bpy.types.Object) -> None:
    rig = face.parent
    rig.pose.bones[GAZE].location = (0.15, 0.0, 0.1)
    rig.pose.bones["left_eye"].rotation_euler = (0.2, 0.0, 0.0)
    bpy.context.view_layer.update()
    straight = eye_axis(face, "left")
    assert straight.angle(Vector((0, -1, 0))) == pytest.approx(0.2, abs=1e-3)
    follow(face, 1.0)
    for side in ("left", "right"):
        assert eye_axis(face, side).angle(to_target(face, side)) < 1e-3
    follow(face, 0.5)
    assert 0.01 < eye_axis(face, "left").angle(to_target(face, "left")) < straight.angle(to_target(face, "left"))


def test_the_target_stays_when_the_head_turns(face: bpy.types.Object) -> None:
    follow(face, 1.0)
    before = face.parent.pose.bones[GAZE].matrix.translation.copy()
    face.parent.pose.bones["neck"].rotation_euler = (0.0, 0.4, 0.0)
    bpy.context.view_layer.update()
    assert (face.parent.pose.bones[GAZE].matrix.translation - before).length < 1e-6
    for side in ("left", "right"):
        assert eye_axis(face, side).angle(to_target(face, side)) < 1e-3


def test_a_performance_finds_the_eyes_and_says_who_holds_them(face: bpy.types.Object) -> None:
    rig = detect_rig(face)
    assert rig.bones == {"neck": "neck", "jaw": "jaw", "left_eye": "left_eye", "right_eye": "right_eye"}
    values = np.zeros((20, ARKIT55.size), np.float32)
    values[:, ARKIT55.channels.index("eyeLookOutLeft")] = 0.8
    clip = Clip(values, ARKIT55.channels, ARKIT55.fps, ARKIT55.name)
    Lines(bpy.context.scene, rig).add([clip], 1, Style("LINEAR", 0.0), text="look", blend=0)

    def said() -> str:
        return " ".join(diagnose(rig, resolved(rig), lines_of(rig)))

    bpy.context.scene.frame_set(10)
    assert eye_axis(face, "left").angle(Vector((0, -1, 0))) > 0.2
    assert "left_eye" not in said()
    follow(face, 1.0)
    assert "Constraints act on top of the keys of left_eye" in said()
    curves = len(face.parent.animation_data.action.layers[0].strips[0].channelbags[-1].fcurves)
    measuring.measure(bpy.context.scene, rig, resolved(rig))
    assert measuring.verdicts_of(rig, resolved(rig))["eyeLookOutLeft"].kind == "RIGHT", (
        "what is blended swallows nothing"
    )
    Lines(bpy.context.scene, rig).rewrite()
    assert len(face.parent.animation_data.action.layers[0].strips[0].channelbags[-1].fcurves) == curves
    follow(face, 0.0)
    bpy.context.scene.frame_set(10)
    assert eye_axis(face, "left").angle(Vector((0, -1, 0))) > 0.2, "keyed, whatever it was blended to"


def test_eyes_are_keyed_whether_they_follow_or_not(face: bpy.types.Object) -> None:
    rig, scene = detect_rig(face), bpy.context.scene
    values = np.zeros((20, ARKIT55.size), np.float32)
    values[:, ARKIT55.channels.index("eyeLookOutLeft")] = 0.8
    clip = Clip(values, ARKIT55.channels, ARKIT55.fps, ARKIT55.name)

    def keys() -> dict[str, list[tuple[float, float]]]:
        data = face.parent.animation_data
        curves = curves_in(data.action, data.action_slot) if data is not None and data.action is not None else []
        return {f"{c.data_path} {c.array_index}": [tuple(p.co) for p in c.keyframe_points] for c in curves}

    line = Lines(scene, rig).add([clip], 1, Style("LINEAR", 0.0), text="look", blend=0)
    free = keys()
    assert any("left_eye" in path for path in free)
    follow(face, 1.0)
    for change in (lambda: Lines(scene, rig).rewrite(), lambda: Lines(scene, rig).change(line.id, intensity=1.0)):
        change()
        assert keys() == free
        assert not lines_of(rig)[0].theirs
    scene.frame_set(10)
    assert eye_axis(face, "left").angle(to_target(face, "left")) < 1e-3
    follow(face, 0.0)
    assert eye_axis(face, "left").angle(Vector((0, -1, 0))) > 0.2, "what was written while they followed is played"


def test_bones_that_only_turn_cannot_be_dragged_off(face: bpy.types.Object) -> None:
    free = {bone.name for bone in face.parent.pose.bones if not any(bone.lock_location)}
    assert free == {"root", GAZE}
    assert not face.parent.data.bones[GAZE].use_deform and GAZE not in face.vertex_groups
    assert all(bone.custom_shape is not None for bone in face.parent.pose.bones)


# --- wrinkles ---------------------------------------------------------------------------------------------------------


def depths(face: bpy.types.Object) -> dict[str, float]:
    """Layer and side -> how deep it is now."""
    shown = face.evaluated_get(bpy.context.evaluated_depsgraph_get())
    sides = [("Right", "Left") if any("*" in source for source in sources) else ("",) for sources in WRINKLES.values()]
    layers = [f"{layer} {side}".strip() for layer, both in zip(WRINKLES, sides, strict=True) for side in both]
    read = [node for node in wrinkles_of(face).nodes if node.type == "ATTRIBUTE" and node.attribute_type == "OBJECT"]
    values = [value for name in sorted(node.attribute_name for node in read) for value in shown[name]]
    assert len(read) <= 8  # EEVEE reads no more of them
    return dict(zip(layers, values, strict=True))


def wrinkles_of(face: bpy.types.Object) -> bpy.types.NodeTree:
    groups = {n.node_tree for m in face.data.materials for n in m.node_tree.nodes if n.type == "GROUP"}
    (group,) = groups  # skin and lips share one
    return group


def test_wrinkles_deepen_with_the_keys_of_their_side(face: bpy.types.Object) -> None:
    assert set(depths(face).values()) == {0.0}
    assert {label.split(" ")[0] for label in depths(face)} == set(WRINKLES)
    set_action(face, "mouthSmileLeft", 0.5)
    deep = {label: depth for label, depth in depths(face).items() if depth > 1e-6}
    assert deep == pytest.approx({"smile Left": 0.5}, abs=1e-3)
    set_action(face, "mouthSmileLeft", 3.0)  # sliders go further than an action does
    assert depths(face)["smile Left"] == 1.0
    set_action(face, "mouthSmileLeft", -1.0)
    assert depths(face)["smile Left"] == 0.0
    set_action(face, "browInnerUp")
    assert depths(face)["forehead"] == pytest.approx(1.0, abs=1e-3)


def test_the_deepest_source_of_a_layer_counts(face: bpy.types.Object) -> None:
    set_action(face, "eyeSquintRight")
    assert depths(face)["crow Right"] == pytest.approx(0.5, abs=1e-3)
    set_action(face, "cheekSquintRight")
    assert depths(face)["crow Right"] == pytest.approx(1.0, abs=1e-3)
    assert depths(face)["crow Left"] == 0.0


def test_the_maps_are_numbers_and_lie_where_skin_folds(face: bpy.types.Object) -> None:
    group = wrinkles_of(face)
    images = [node.image for node in group.nodes if node.type == "TEX_IMAGE"]
    assert len(images) == 3 and all(i.colorspace_settings.name == "Non-Color" and i.packed_file for i in images)
    head = assemble.load_head(assemble.locate_head_asset())
    maps = np.concatenate([head[f"image_wrinkles{i}"] for i in range(3)], axis=2)
    rows = np.arange(len(maps))[:, None, None] / len(maps)
    height = {n: float((maps[..., i : i + 1] * rows).sum() / maps[..., i].sum()) for i, n in enumerate(WRINKLES)}
    assert height["forehead"] > height["glabella"] > height["crow"] > height["smile"] > height["chin"]
    assert (maps > 30).mean(axis=(0, 1)).max() < 0.05  # lines, not areas
    left, right = maps[:, 512:].astype(int).sum(axis=(0, 1)), maps[:, :512].astype(int).sum(axis=(0, 1))
    np.testing.assert_allclose(left, right, rtol=0.3)  # noise makes them uneven


def test_the_skin_shows_them_under_its_pores(face: bpy.types.Object) -> None:
    tree = face.data.materials[0].node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    pores = shader.inputs["Normal"].links[0].from_node
    folds = pores.inputs["Normal"].links[0].from_node
    assert folds.type == "BUMP" and folds.inputs["Height"].links[0].from_node.node_tree == wrinkles_of(face)


# --- the asset --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("scene")
def test_everyone_has_a_picture_of_their_own() -> None:
    pictures = []
    for person in PEOPLE:
        preview = assemble.add_demo_head(bpy.context, person=person).preview
        assert tuple(preview.image_size) == (256, 256)
        pictures.append(np.array(preview.image_pixels_float).reshape(256, 256, 4))
    assert all(picture[..., 3].min() == 1.0 and picture[..., :3].std() > 0.05 for picture in pictures)
    assert min(np.abs(a - b).mean() for a, b in pairwise(pictures)) > 0.02
    assert not any(image.name.endswith(".jpg") for image in bpy.data.images)


@pytest.mark.usefixtures("scene")
def test_without_its_picture_a_head_is_added_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "mira.jpg"
    broken.write_bytes(b"no picture")
    for path in (broken, tmp_path / "missing.jpg"):
        monkeypatch.setattr(assemble, "portrait_of", lambda _, path=path: path)
        assert assemble.add_demo_head(bpy.context).asset_data is not None


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("missing", ["uv", "image_wrinkles1", "mira/wrinkles", "mira/v_template", "materials"])
def test_a_file_that_lacks_something_is_a_sentence_and_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    with np.load(assemble.locate_head_asset(), allow_pickle=False) as archive:
        kept = {name: archive[name] for name in archive.files if name not in (missing, "arkit_deltas")}
    path = tmp_path / "head.npz"
    np.savez(path, **kept)
    monkeypatch.setattr(assemble, "locate_head_asset", lambda: path)
    with pytest.raises(DemoHeadError, match=r"head\.npz is damaged"):
        assemble.add_demo_head(bpy.context)
    for blocks in (bpy.data.objects, bpy.data.meshes, bpy.data.images, bpy.data.node_groups, bpy.data.materials):
        assert len(blocks) == 0


def test_a_duplicate_wrinkles_by_itself_though_it_shares_its_materials(
    scene: bpy.types.Scene, face: bpy.types.Object
) -> None:
    face.parent.select_set(True)
    bpy.ops.object.duplicate()
    (other,) = (each for each in scene.objects if each.type == "MESH" and each != face)
    assert other.data.materials[0] == face.data.materials[0]
    set_action(other, "mouthSmileRight")
    assert depths(other)["smile Right"] == pytest.approx(1.0, abs=1e-3) and set(depths(face).values()) == {0.0}
    set_action(face, "browInnerUp")
    assert depths(face)["forehead"] == pytest.approx(1.0, abs=1e-3) and depths(other)["forehead"] == 0.0


def test_a_library_override_wrinkles_and_keeps_what_its_eyes_follow(face: bpy.types.Object, tmp_path: Path) -> None:
    library, shot = str(tmp_path / "head.blend"), str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.wm.link(filename="CTEG Head", directory=f"{library}/Object/")
    (linked,) = scene.objects
    own = linked.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    scene.collection.objects.unlink(linked)
    own.data.override_create(remap_local_usages=True)
    own.parent.pose.bones[GAZE][FOLLOW] = 0.5
    bpy.ops.wm.save_as_mainfile(filepath=shot)
    bpy.ops.wm.open_mainfile(filepath=shot)
    (own,) = (each for each in bpy.context.scene.objects if each.type == "MESH")
    assert own.parent.pose.bones[GAZE][FOLLOW] == 0.5
    set_action(own, "browInnerUp")
    assert depths(own)["forehead"] == pytest.approx(1.0, abs=1e-3)


def test_an_appended_head_brings_nothing_that_is_seen_beside_it(face: bpy.types.Object, tmp_path: Path) -> None:
    library = tmp_path / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.append(filename="CTEG Head", directory=f"{library}/Object/")
    bpy.context.view_layer.update()
    seen = [each.name for each in bpy.context.scene.objects if max(each.dimensions) > 0]
    assert sorted(seen) == ["CTEG Head", "CTEG Head Rig"]
    rig = bpy.context.scene.objects["CTEG Head"].parent
    assert len(rig.pose.bones[GAZE].custom_shape.data.vertices) == 32


@pytest.mark.usefixtures("scene")
def test_two_heads_have_nothing_in_common() -> None:
    first, second = (assemble.add_demo_head(bpy.context) for _ in range(2))
    assert first.name != second.name and wrinkles_of(first) != wrinkles_of(second)
    set_action(first, "mouthSmileRight")
    follow(first, 1.0)
    assert depths(first)["smile Right"] == pytest.approx(1.0, abs=1e-3)
    assert set(depths(second).values()) == {0.0}
    assert second.parent.pose.bones["left_eye"].constraints[0].influence == 0.0


def test_a_head_can_be_added_while_another_is_edited(face: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    second = assemble.add_demo_head(bpy.context)
    assert bpy.context.mode == "OBJECT" and second != face and len(second.data.vertices) == len(face.data.vertices)


def lengths_of(face: bpy.types.Object, name: str) -> list[float]:
    nodes = [node for material in face.data.materials for node in material.node_tree.nodes]
    return [node.inputs[name].default_value for node in nodes if name in node.inputs]


def test_a_scene_in_centimetres_gets_a_head_of_the_same_size(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", 0.01
    scene.unit_settings.length_unit = "CENTIMETERS"
    other = assemble.add_demo_head(bpy.context)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(other.matrix_world.to_scale(), (100.0,) * 3, rtol=1e-5)
    np.testing.assert_allclose(np.array(other.dimensions) * 0.01, face.dimensions, rtol=1e-5)
    for name in ("Distance", "Subsurface Scale"):
        lengths = [lengths_of(each, name) for each in (face, other)]
        assert lengths[0] and lengths[1] == pytest.approx([100 * length for length in lengths[0]])


@pytest.fixture
def linked_scene(scene: bpy.types.Scene, tmp_path: Path) -> Iterator[bpy.types.Scene]:
    """A scene of another file, shown in the window."""
    window = bpy.context.window
    if window is None:
        pytest.skip("this Blender has no window")
    other = bpy.data.scenes.new("Other")
    path = tmp_path / "other.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)  # writing a scene alone crashes Blender 5.2.3
    bpy.data.scenes.remove(other)
    with bpy.data.libraries.load(str(path), link=True) as (_, into):
        into.scenes = ["Other"]
    window.scene = into.scenes[0]
    yield into.scenes[0]
    window.scene = scene


def test_a_linked_scene_is_a_sentence(linked_scene: bpy.types.Scene) -> None:
    before = len(bpy.data.objects)
    with pytest.raises(DemoHeadError, match="cannot be added to this scene"):
        assemble.add_demo_head(bpy.context)
    assert len(bpy.data.objects) == before and not bpy.data.meshes and not bpy.data.node_groups
