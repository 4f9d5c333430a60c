# SPDX-License-Identifier: GPL-3.0-or-later
"""An imported FLAME file moves as FLAME does, is found and driven, and leaves nothing behind when it fails."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import numpy.typing as npt
import pytest
from mathutils import Matrix, Vector

from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.heads.flame_file import JOINTS, FlameFileError, build
from blender_cteg.heads.flame_file.read import FlameModel, read_flame
from blender_cteg.heads.flame_file.template import read_uv
from blender_cteg.performance.lines import Lines, Style

from . import flame_files, scenes
from .flame_files import Fields

Floats = npt.NDArray[np.float64]
#: Millimetres.
TOLERANCE = 0.1


@pytest.fixture(scope="module")
def fields() -> Fields:
    return flame_files.flame_fields()


@pytest.fixture(scope="module")
def path(fields: Fields, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flame_files.write_pickle(tmp_path_factory.mktemp("flame") / "generic_model.pkl", fields, chumpy=True)


@pytest.fixture(scope="module")
def model(path: Path) -> FlameModel:
    return read_flame(path)


def pose(face: bpy.types.Object, expression: Floats, rotations: Floats) -> None:
    """Set expression coefficients and a rotation vector (FLAME axes) for each joint, in different rotation modes."""
    for index, value in enumerate(expression):
        face.data.shape_keys.key_blocks[f"Exp{index + 1}"].value = value
    modes = ("XYZ", "ZXY", "QUATERNION", "AXIS_ANGLE", "YZX")
    for name, rotation, mode in zip(JOINTS, rotations, modes, strict=True):
        bone = face.parent.pose.bones[name]
        rest = np.array(bone.bone.matrix_local.to_3x3())
        turn = Matrix(rest.T @ scenes.Z_UP @ scenes.turned(rotation) @ scenes.Z_UP.T @ rest).to_quaternion()
        bone.rotation_mode = mode
        axis, angle = turn.to_axis_angle()
        bone.rotation_quaternion, bone.rotation_axis_angle = turn, (angle, *axis)
        if len(mode) == 3:
            bone.rotation_euler = turn.to_euler(mode)


def vertices(face: bpy.types.Object) -> Floats:
    """(V, 3) vertices as Blender shows them, in FLAME's axes and millimetres."""
    mesh = scenes.evaluated(face).data
    flat = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", flat)
    return flat.reshape(-1, 3) @ scenes.Z_UP * 1000.0


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("correctives", [False, True], ids=["plain", "pose correctives"])
def test_the_mesh_is_flames_forward_pass(fields: Fields, model: FlameModel, correctives: bool) -> None:
    face = build.add_flame(bpy.context, model, expressions=100, correctives=correctives)
    rng = np.random.default_rng(2)
    for scale in (0.0, 0.15, 0.4):
        expression, rotations = rng.normal(0, 1.5, 100), rng.normal(0, scale, (5, 3))
        pose(face, expression, rotations)
        wanted = flame_files.forward(fields, expression, rotations, correctives=correctives) * 1000
        assert np.linalg.norm(vertices(face) - wanted, axis=1).max() < TOLERANCE
    without = flame_files.forward(fields, expression, rotations) * 1000
    assert (np.linalg.norm(without - wanted, axis=1).max() > 5) == correctives


@pytest.mark.usefixtures("scene")
def test_correctives_need_no_permission_to_run_python(model: FlameModel) -> None:
    face = build.add_flame(bpy.context, model, correctives=True)
    drivers = [curve.driver for curve in face.data.shape_keys.animation_data.drivers]
    assert len(drivers) == 36
    assert all(driver.is_simple_expression and driver.is_valid for driver in drivers)


@pytest.mark.usefixtures("scene")
def test_what_is_added_and_how_it_is_found(fields: Fields, model: FlameModel) -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    face = build.add_flame(bpy.context, model, identities=3, expressions=60)
    keys = face.data.shape_keys.key_blocks
    assert [key.name for key in keys[1:]] == [f"Shape{i}" for i in (1, 2, 3)] + [f"Exp{i}" for i in range(1, 61)]
    assert all((key.slider_min, key.slider_max, key.value) == (-10, 10, 0) for key in keys[1:])
    assert len(face.data.vertices) == 5023 and len(face.data.polygons) == len(fields["f"])
    assert not face.data.uv_layers and all(polygon.use_smooth for polygon in face.data.polygons)
    bpy.context.view_layer.update()
    assert face.matrix_world.translation == Vector((1, 2, 3))
    assert bpy.context.view_layer.objects.active == face and bpy.context.selected_objects == [face]
    rig = detect_rig(face)
    assert rig.kind == "FLAME" and rig.problem is None and rig.missing == ()
    assert rig.bones == {name: name for name in ("neck", "jaw", "left_eye", "right_eye")}
    assert np.array_equal(rig.axes, scenes.Z_UP)
    identity = fields["v_template"] + 2 * fields["shapedirs"][:, :, 1]
    keys["Shape2"].value = 2
    assert np.abs(vertices(face) - identity * 1000).max() < TOLERANCE


@pytest.mark.usefixtures("scene")
def test_the_jaw_opens_down_and_the_left_eye_is_on_the_left(fields: Fields, model: FlameModel) -> None:
    face = build.add_flame(bpy.context, model)
    rest = vertices(face)
    jaw = face.parent.pose.bones["jaw"]
    jaw.rotation_mode = "XYZ"
    jaw.rotation_euler = (0.3, 0, 0)
    moved = vertices(face) - rest
    chin = (fields["weights"][:, 2] > 0.9) & (rest[:, 2] > rest[:, 2].max() - 40)
    assert chin.any() and moved[chin, 1].max() < -5
    bones = face.parent.data.bones
    assert bones["left_eye"].head_local.x > 0.02 > -0.02 > bones["right_eye"].head_local.x


def test_a_flame_clip_shows_what_flame_would(fields: Fields, model: FlameModel, scene: bpy.types.Scene) -> None:
    face = build.add_flame(bpy.context, model, correctives=True)
    rig, clip = detect_rig(face), scenes.flame_clip(scale=0.5)
    Lines(scene, rig).add([clip], 1, Style(reduction=0), text=clip.text, blend=0)
    for frame in (2, 12, 25):
        scene.frame_set(frame)
        values = clip.values[frame - 1].astype(np.float64)
        rotations = np.zeros((5, 3))
        rotations[2] = values[50:]
        wanted = flame_files.forward(fields, values[:50], rotations, correctives=True) * 1000
        assert np.linalg.norm(vertices(face) - wanted, axis=1).max() < TOLERANCE


def test_an_arkit_clip_is_fitted_to_the_face(model: FlameModel, scene: bpy.types.Scene) -> None:
    face = build.add_flame(bpy.context, model)
    rig, clip = detect_rig(face), scenes.arkit_clip()
    mapping = mapping_for(rig, clip)
    assert mapping.bones["jaw"]["jawOpen"][0] > 0.1
    assert {"neck", "jaw", "left_eye", "right_eye"} == mapping.bones.keys()
    rest = vertices(face)
    Lines(scene, rig, mapping).add([clip], 1, Style(), text=clip.text)
    scene.frame_set(10)
    assert np.linalg.norm(vertices(face) - rest, axis=1).max() > 5


# ------------------------------------------------------------------------------------------------ texture coordinates


def corner_uv(faces: npt.NDArray[np.int64]) -> Floats:
    """Texture coordinates that tell every corner from every other, shape (F, 3, 2)."""
    numbers = np.arange(faces.size).reshape(faces.shape)
    return np.stack([numbers / faces.size, faces / faces.max()], axis=2)


def test_uv_templates_in_any_order(model: FlameModel, tmp_path: Path) -> None:
    uv, faces = corner_uv(model.faces), model.faces
    shuffled = np.random.default_rng(0).permutation(len(faces))
    lines = [f"vt {u:.9f} {v:.9f} 0" for u, v in uv.reshape(-1, 2)]
    for face in shuffled:
        corners = [f"{faces[face, c] + 1}/{3 * face + c + 1}/1" for c in (1, 2, 0)]
        lines.append(f"f {' '.join(corners)}")
    template = tmp_path / "template.obj"
    template.write_text("# a head\nv 0 0 0\n" + "\n".join(lines))
    np.testing.assert_allclose(read_uv(template, faces), uv, atol=1e-8)
    ft = np.arange(faces.size).reshape(faces.shape)
    np.savez(tmp_path / "texture.npz", vt=uv.reshape(-1, 2), ft=ft)
    np.testing.assert_allclose(read_uv(tmp_path / "texture.npz", faces), uv)
    np.savez(tmp_path / "texture.npz", vt=uv.reshape(-1, 2), ft=ft[shuffled], f=faces[shuffled])
    np.testing.assert_allclose(read_uv(tmp_path / "texture.npz", faces), uv)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v 0 0 0", "has no texture coordinates"),
        ("vt 0 0\nf 1/1 2/1 3/1", "has 1 faces and the model"),
        ("vt 0 0\nf 1/1 2/1 3/1 4/1", "has a face of 4 corners in line 2"),
        ("vt 0 x", r"cannot be read in line 1 \(vt 0 x\)"),
        ("vt 0 0\nf 1 2 3", "cannot be read in line 2"),
        (b"PK\x03\x04 nothing", "is a cut off or damaged archive"),
        (None, "is not there"),
    ],
)
def test_a_bad_template_is_a_sentence(model: FlameModel, tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "template.obj"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    with pytest.raises(FlameFileError, match=rf"^The UV template template\.obj {message}"):
        read_uv(path, model.faces)


def test_a_template_of_another_mesh(model: FlameModel, tmp_path: Path) -> None:
    faces = model.faces[:, [0, 1, 1]]
    np.savez(tmp_path / "t.npz", vt=np.zeros((1, 2)), ft=np.zeros_like(faces), f=faces)
    with pytest.raises(FlameFileError, match="is of another mesh"):
        read_uv(tmp_path / "t.npz", model.faces)
    np.savez(tmp_path / "t.npz", vt=np.zeros((1, 2)), ft=np.ones_like(faces))
    with pytest.raises(FlameFileError, match="texture coordinates that it does not have"):
        read_uv(tmp_path / "t.npz", model.faces)


# ------------------------------------------------------------------------------------------------ operator


@pytest.mark.usefixtures("stage")
def test_the_operator_adds_the_target(path: Path, model: FlameModel, tmp_path: Path) -> None:
    uv = corner_uv(model.faces)
    np.savez(tmp_path / "uv.npz", vt=uv.reshape(-1, 2), ft=np.arange(model.faces.size).reshape(-1, 3))
    done = bpy.ops.cteg.import_flame(
        filepath=str(path), identities=0, expressions=50, correctives=True, template=str(tmp_path / "uv.npz")
    )
    face = bpy.context.scene.cteg.target
    assert done == {"FINISHED"} and face == bpy.context.object
    assert len(face.data.shape_keys.key_blocks) == 1 + 50 + 36
    flat = np.empty(model.faces.size * 2, np.float32)
    face.data.uv_layers[0].uv.foreach_get("vector", flat)
    np.testing.assert_allclose(flat.reshape(uv.shape), uv, atol=1e-6)


@pytest.mark.usefixtures("stage")
def test_the_bones_follow_the_identity_when_asked(path: Path, fields: Fields) -> None:
    bpy.ops.cteg.import_flame(filepath=str(path), identities=4)
    face = bpy.context.scene.cteg.target
    for key, value in (("Shape1", 3.0), ("Shape4", -2.0)):
        face.data.shape_keys.key_blocks[key].value = value
    person = fields["v_template"] + fields["shapedirs"][:, :, [0, 3]] @ [3.0, -2.0]
    expression, rotations = np.ones(50), np.zeros((5, 3))
    rotations[1:] = (0.1, 0.3, 0), (0.3, 0.05, 0), (0.1, 0.2, 0), (-0.1, 0.2, 0)
    pose(face, expression, rotations)
    wanted = flame_files.forward({**fields, "v_template": person}, expression, rotations) * 1000
    assert np.linalg.norm(vertices(face) - wanted, axis=1).max() > 1
    for _ in range(2):  # the second time nothing is left to move
        assert bpy.ops.cteg.fit_bones() == {"FINISHED"}
        assert np.linalg.norm(vertices(face) - wanted, axis=1).max() < TOLERANCE
    assert bpy.context.object == face and face.parent.mode == "OBJECT"
    bpy.ops.cteg.import_flame(filepath=str(path), identities=0)
    with pytest.raises(RuntimeError, match="imported from a FLAME file with identity keys"):
        bpy.ops.cteg.fit_bones()


def everything() -> list[str]:
    return sorted(
        repr(block)
        for collection in ("objects", "meshes", "armatures", "shape_keys", "actions", "images", "materials")
        for block in getattr(bpy.data, collection)
    )


@pytest.mark.usefixtures("stage")
def test_a_bad_file_changes_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = scenes.flame_face()
    bpy.context.scene.cteg.target = mine
    before = everything()
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for settings, message in (
        ({"filepath": str(evil)}, r"evil\.pkl names os\.system"),
        ({"filepath": str(tmp_path / "nowhere.pkl")}, "is not there"),
        ({"filepath": ""}, "No file is chosen"),
        ({"filepath": str(path), "template": str(evil)}, "The UV template evil.pkl"),
    ):
        with pytest.raises(RuntimeError, match=message):
            bpy.ops.cteg.import_flame(**settings)
        assert everything() == before and bpy.context.scene.cteg.target == mine

    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(build, "bind", fail)
    active = bpy.context.view_layer.objects.active
    with pytest.raises(RuntimeError, match="cannot be added to this scene: no room"):
        bpy.ops.cteg.import_flame(filepath=str(path), correctives=True)
    assert everything() == before and bpy.context.view_layer.objects.active == active
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="switch to Object Mode"):
        bpy.ops.cteg.import_flame(filepath=str(path))
    bpy.ops.object.mode_set(mode="OBJECT")


@pytest.mark.usefixtures("scene")
def test_a_model_without_correctives_says_so(fields: Fields, tmp_path: Path) -> None:
    without = {name: value for name, value in fields.items() if name != "posedirs"}
    model = read_flame(flame_files.write_npz(tmp_path / "flame.npz", without))
    with pytest.raises(FlameFileError, match="has no posedirs"):
        build.add_flame(bpy.context, model, correctives=True)
    assert not bpy.data.objects
