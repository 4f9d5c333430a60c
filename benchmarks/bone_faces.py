# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces made of bones, as the makers of rigs build them: Rigify's own, and Auto-Rig Pro's and CloudRig's after what is
public of their bones' names, parents and constraints. A drawn face is laid over each.
"""

from __future__ import annotations

import addon_utils
import bpy
import numpy as np

from benchmarks import rigs
from blender_cteg.character.fitting.actions import template
from blender_cteg.character.fitting.surface import find_points
from blender_cteg.shared import ARKIT_CHANNELS

SOURCE = rigs.plain_source()
Place = tuple[float, float, float]
#: A bone: its parent, its head in metres and FLAME's axes, whether it deforms.
Bones = dict[str, tuple[str, Place, bool]]


def laid_over(
    armature: bpy.types.Object,
    eyes: tuple[str, str],
    keys: bool = False,
    source: rigs.Source = SOURCE,
    painted: bool = False,
) -> bpy.types.Object:
    """A face where an armature has its eyes, each vertex weighed to its nearest deforming bones.

    ``painted``: not to those of the other lip, as everybody paints them.
    """
    bones = armature.data.bones
    places = [np.array(bones[name].head_local) for name in eyes]
    centres = [source.vertices[eye].mean(0) for eye in source.eyes]
    scale = np.linalg.norm(places[0] - places[1]) / np.linalg.norm(centres[0] - centres[1])
    move = lambda points: (points - sum(centres) / 2) * scale @ rigs.Z_UP.T + sum(places) / 2  # noqa: E731
    mesh = bpy.data.meshes.new("Human")
    mesh.from_pydata(move(source.vertices).tolist(), [], source.polygons)
    face = bpy.data.objects.new("Human", mesh)
    bpy.context.scene.collection.objects.link(face)
    if keys:
        face.shape_key_add(name="Basis")
        for channel, offsets in zip(ARKIT_CHANNELS, source.actions, strict=True):
            block = face.shape_key_add(name=channel)
            block.data.foreach_set("co", move(source.vertices + offsets).astype(np.float32).ravel())
            block.value = 0.0
    carriers = [b for b in bones if b.use_deform and not b.name.startswith("ORG")]
    heads, tails = (np.array([getattr(b, end) for b in carriers]) for end in ("head_local", "tail_local"))
    points, along = move(source.vertices), tails - heads
    share = np.clip(((points[:, None] - heads) * along).sum(2) / (along**2).sum(1), 0, 1)
    apart = np.linalg.norm(points[:, None] - heads - share[..., None] * along, axis=2)
    if painted:
        apart[_apart_at_the_lips(source, points, heads)] = np.inf
    weight = 1 / (apart + 0.004 * scale) ** 3
    weight[apart > np.partition(apart, 3, axis=1)[:, 3:4]] = 0.0
    weight = _smoothed(weight / weight.sum(1, keepdims=True), source)
    balls = set(map(int, np.concatenate(source.eyes)))
    groups = [face.vertex_groups.new(name=bone.name) for bone in carriers]
    for vertex, row in enumerate(weight):
        for place in np.flatnonzero(row > 0.02) if vertex not in balls else ():
            groups[place].add([vertex], float(row[place]), "REPLACE")
    face.parent = armature
    face.modifiers.new("Armature", "ARMATURE").object = armature
    return face


def _apart_at_the_lips(source: rigs.Source, points: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Which bones of one lip are beside which vertices of the other, shape (V, B)."""
    opened = np.linalg.norm(source.actions[ARKIT_CHANNELS.index("jawOpen")], axis=1)
    below = opened > 0.4 * opened.max()
    pressed = np.linalg.norm(source.actions[ARKIT_CHANNELS.index("mouthPucker")], axis=1)
    lips = np.flatnonzero(pressed > 0.4 * pressed.max())
    nearest = lips[((heads[:, None] - points[lips]) ** 2).sum(2).argmin(1)]
    at_lips = np.linalg.norm(heads - points[nearest], axis=1) < 0.25 * np.ptp(points[lips][:, 0])
    mouth = np.zeros(len(points), bool)
    mouth[lips] = True
    return mouth[:, None] & at_lips & (below[:, None] != below[nearest])


def _smoothed(weights: np.ndarray, source: rigs.Source) -> np.ndarray:
    """Weights that go over into each other along the skin, as people paint them, shape (V, B)."""
    edges = np.array([(p[i - 1], p[i]) for p in source.polygons for i in range(len(p))])
    here, there = np.concatenate([edges, edges[:, ::-1]]).T
    order = np.argsort(here, kind="stable")
    here, there = here[order], there[order]
    owners, first = np.unique(here, return_index=True)
    many = np.diff(np.append(first, len(here)))[:, None]
    for _ in range(8):
        weights[owners] = 0.5 * weights[owners] + 0.5 * np.add.reduceat(weights[there], first, axis=0) / many
    return weights


def hang(face: bpy.types.Object, bones: tuple[str, str], source: rigs.Source = SOURCE) -> None:
    """Let the eyeballs be carried by bones."""
    for bone, eye in zip(bones, source.eyes, strict=True):
        face.parent.data.bones[bone].use_deform = True
        (face.vertex_groups.get(bone) or face.vertex_groups.new(name=bone)).add(list(map(int, eye)), 1.0, "REPLACE")


def with_tongue(face: bpy.types.Object, *bones: str) -> bpy.types.Object:
    """A tongue beside a face: a strip along some of its bones, each part carried by one."""
    armature = face.parent
    places = [
        np.array(getattr(armature.data.bones[bone], end)) for bone in bones for end in ("head_local", "tail_local")
    ]
    width = 0.1 * np.linalg.norm(np.ptp(places, axis=0)) * np.array((1.0, 0, 0))
    points = [place + side * width for place in places for side in (-1, 1)]
    mesh = bpy.data.meshes.new("Tongue")
    mesh.from_pydata(points, [], [(i, i + 1, i + 3, i + 2) for i in range(0, len(points) - 2, 2)])
    tongue = bpy.data.objects.new("Tongue", mesh)
    bpy.context.scene.collection.objects.link(tongue)
    for number, bone in enumerate(bones):
        tongue.vertex_groups.new(name=bone).add(list(range(4 * number, 4 * number + 4)), 1.0, "REPLACE")
    tongue.parent = armature
    tongue.modifiers.new("Armature", "ARMATURE").object = armature
    return tongue


def rigify(modular: bool = False) -> bpy.types.Object:
    """The face of a human that Blender's own Rigify generates, with the neck below it.

    ``modular``: the face that *Upgrade Face Rig* makes of it, of skin chains in place of one rig for all.
    """
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    bpy.ops.object.mode_set(mode="EDIT")
    bones = bpy.context.object.data.edit_bones
    body = [b for b in bones if "face" not in {b.name, *(a.name for a in b.parent_recursive)}]
    for bone in body:
        if not bone.name.startswith("spine"):
            bones.remove(bone)
    bpy.ops.object.mode_set(mode="POSE")
    if modular:
        bpy.context.object.data.bones.active = bpy.context.object.data.bones["face"]
        bpy.ops.pose.rigify_upgrade_face()
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.pose.rigify_generate()
    armature = bpy.context.object
    assert armature is not None
    addon_utils.disable("rigify", default_set=True)
    return armature


class _Skin:
    """Places on a face's skin, named by where they are on the drawn one, in centimetres; all from its `origin`."""

    def __init__(self, source: rigs.Source) -> None:
        own, drawn = _places(source), _places(SOURCE)
        self._of = lambda at: own[((drawn[:, :2] - at) ** 2).sum(1).argmin()]
        if source is SOURCE:
            skin = source.vertices[: min(map(int, np.concatenate(source.eyes)))]
            self._of = lambda at: skin[((skin[:, :2] - at) ** 2).sum(1).argmin()]
        between, middle = (sum(of.vertices[eye].mean(0) for eye in of.eyes) / 2 for of in (source, SOURCE))
        self.origin = between - middle
        self.eye: Place = _place(source.vertices[source.eyes[0]].mean(0) - self.origin)

    def __call__(self, x: float, y: float) -> Place:
        return _place(self._of(np.array((0.01 * x, 0.01 * y))) - self.origin)


def _place(at: np.ndarray) -> Place:
    return float(at[0]), float(at[1]), float(at[2])


def _places(source: rigs.Source) -> np.ndarray:
    """Where the template's places are on a face, shape (P, 3)."""
    triangles = np.array([(p[0], p[i], p[i + 1]) for p in source.polygons for i in range(1, len(p) - 1)])
    eyes = np.array([source.vertices[eye].mean(0) for eye in source.eyes])
    motion = (source.actions**2).sum((0, 2))
    motion[np.concatenate(source.eyes)] = 0.0
    points = find_points(source.vertices, triangles, motion, template(), eyes=eyes, most=1500, bent=0.18)
    assert points is not None
    return points.of(source.vertices)


def _built(bones: Bones, origin: np.ndarray, **ends: str) -> bpy.types.Object:
    """An armature; ``ends``: bones that point at another."""
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    edit = armature.data.edit_bones
    for name, (parent, place, deforms) in bones.items():
        bone = edit.new(name)
        bone.head = rigs.Z_UP @ (origin + place)
        x, y, z = place
        bone.tail = rigs.Z_UP @ np.add(origin, (x, y, z + (0.012 if "eye" in name.lower() else 0.008)))
        bone.roll = 0.3 * (
            round(1000 * (place[0] + place[1] + place[2])) % 5
        )  # a bone and what copies it have the same
        bone.use_deform = deforms
        if parent:
            bone.parent = edit[parent]
    for name, at in ends.items():
        edit[name].tail = edit[at].head
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def _led(armature: bpy.types.Object, kind: str, name: str, *leaders: str) -> bpy.types.Constraint:
    """A constraint on one bone, by which it does what others do; Armature in place of a parent."""
    constraint = armature.pose.bones[name].constraints.new(kind)
    if kind == "ARMATURE":
        for leader in leaders:
            target = constraint.targets.new()
            target.target, target.subtarget, target.weight = armature, leader, 1.0 / len(leaders)
    else:
        constraint.target, constraint.subtarget = armature, leaders[0]
    return constraint


#: Where lips, brows and cheeks of the drawn face are, in centimetres.
_LIPS = {"top.x": (0.0, -5.9), "top.l": (0.8, -5.95), "top_01.l": (1.6, -6.2)}
_LIPS |= {"bot.x": (0.0, -7.4), "bot.l": (0.8, -7.3), "bot_01.l": (1.6, -7.1)}
_BROWS = {"01_end": (1.0, 2.4), "01": (2.0, 2.7), "02": (3.3, 2.9), "03": (4.5, 2.6)}
_LIDS = {"01": 2.2, "02": 3.15, "03": 4.1}


def _both(name: str, parent: str, place: Place, deforms: bool) -> Bones:
    """A bone, and where it is one of the left side its mirror image; a parent of the same side goes with it."""
    made: Bones = {name: (parent, place, deforms)}
    if name.endswith((".l", ".L")):
        side, other = (".l", ".r") if name.endswith(".l") else (".L", ".R")
        twin = parent.removesuffix(side) + other if parent.endswith(side) else parent
        made[name.removesuffix(side) + other] = (twin, (-place[0], place[1], place[2]), deforms)
    return made


def auto_rig_pro(jaw: str = "MOVED", source: rigs.Source = SOURCE) -> bpy.types.Object:
    """Auto-Rig Pro's head: controls ``c_``, lids that turn about the eye, a jaw that is MOVED or TURNED."""
    on_skin, skull = _Skin(source), "c_skull_01.x"
    eye = on_skin.eye
    bones: Bones = {
        "root.x": ("", (0, -0.5, 0), False), "c_neck.x": ("root.x", (0, -0.16, -0.06), False),
        "neck.x": ("root.x", (0, -0.16, -0.06), True), "head.x": ("neck.x", (0, -0.05, -0.06), True),
        "c_head.x": ("c_neck.x", (0, -0.05, -0.06), False), "c_skull_01.x": ("c_head.x", (0, -0.02, -0.06), False),
        "jawbone.x": ("c_skull_01.x", (0, -0.04, -0.05), True),
        "c_jawbone.x": ("c_skull_01.x", on_skin(0, -11.0) if jaw == "MOVED" else (0, -0.04, -0.05), False),
        "c_eye_target.x": ("c_head.x", (0, 0, 0.5), False),
    }  # fmt: skip
    for name, parent, place, deforms in (
        ("c_eye_offset.l", "c_skull_01.x", eye, False), ("c_eye_target.l", "c_eye_target.x", (eye[0], 0, 0.5), False),
        ("c_eye_ref_track.l", "c_eye_offset.l", eye, False), ("c_eye.l", "c_eye_ref_track.l", eye, True),
        ("c_eyelid_base.l", "c_eye_offset.l", eye, False), ("c_eyelid_top.l", "c_eyelid_base.l", eye, False),
        ("c_eyelid_bot.l", "c_eyelid_base.l", eye, False), ("eyelid_top.l", "c_eyelid_base.l", eye, False),
        ("eyelid_bot.l", "c_eyelid_base.l", eye, False), ("c_eyebrow_full.l", skull, on_skin(2.8, 3.4), False),
        ("c_cheek_smile.l", "c_skull_01.x", on_skin(4.2, -2.8), True),
        ("c_cheek_inflate.l", "c_skull_01.x", on_skin(4.2, -6.2), True),
        ("c_nose_01.x", skull, on_skin(0, -3.6), True), ("c_nose_02.x", "c_nose_01.x", on_skin(0, -2.0), True),
        ("c_chin_01.x", "jawbone.x", on_skin(0, -10.0), True), ("c_chin_02.x", "jawbone.x", on_skin(0, -8.8), True),
        ("c_lips_smile_offset.l", "", on_skin(2.4, -6.6), False),
        ("c_lips_smile.l", "c_lips_smile_offset.l", on_skin(2.4, -6.6), True),
        ("c_nose_03.l", "c_skull_01.x", on_skin(1.4, -4.2), True),
        ("c_tong_01.x", "jawbone.x", (0, -0.06, 0.005), True), ("c_tong_02.x", "c_tong_01.x", (0, -0.06, 0.015), True),
        ("c_tong_03.x", "c_tong_02.x", (0, -0.06, 0.025), True),
    ):  # fmt: skip
        bones |= _both(name, parent, place, deforms)
    for number, x in _LIDS.items():
        for lid, y in (("top", 0.6), ("bot", -0.6)):
            bones |= _both(f"c_eyelid_{lid}_{number}.l", f"eyelid_{lid}.l", on_skin(x, y), True)
    for corner, x in (("01", 1.8), ("02", 4.6)):
        bones |= _both(f"c_eyelid_corner_{corner}.l", "c_eye_offset.l", on_skin(x, 0.0), True)
    for number, place in _BROWS.items():
        bones |= _both(f"c_eyebrow_{number}.l", "c_eyebrow_full.l", on_skin(*place), True)
    for name, place in _LIPS.items():
        bones |= _both(
            f"c_lips_{name}", "jawbone.x" if name.startswith("bot") else "c_skull_01.x", on_skin(*place), True
        )
    armature = _built(bones, on_skin.origin, **({"jawbone.x": "c_jawbone.x"} if jaw == "MOVED" else {}))
    for name in ("neck.x", "head.x"):
        _led(armature, "COPY_TRANSFORMS", name, f"c_{name}")
    _led(armature, "DAMPED_TRACK" if jaw == "MOVED" else "COPY_TRANSFORMS", "jawbone.x", "c_jawbone.x")
    pose = armature.pose.bones
    pose["c_eye_target.x"]["eye_target"] = 1.0
    for side in "lr":
        for lid in ("top", "bot"):
            _led(armature, "COPY_ROTATION", f"eyelid_{lid}.{side}", f"c_eyelid_{lid}.{side}")
            pose[f"c_eyelid_{lid}.{side}"].lock_location = (True, True, True)
        _led(armature, "ARMATURE", f"c_lips_smile_offset.{side}", "c_skull_01.x", "jawbone.x")
        track = _led(armature, "DAMPED_TRACK", f"c_eye_ref_track.{side}", f"c_eye_target.{side}")
        driver = track.driver_add("influence").driver
        variable = driver.variables.new()
        variable.targets[0].id = armature
        variable.targets[0].data_path = 'pose.bones["c_eye_target.x"]["eye_target"]'
        driver.expression = variable.name
    return armature


def cloudrig(source: rigs.Source = SOURCE) -> bpy.types.Object:
    """CloudRig's head: an eye that is aimed and turned, a jaw, and a grid of ``STR-`` controls held by ``P-`` bones."""
    on_skin = _Skin(source)
    eye = on_skin.eye
    jaw = (0, -0.04, -0.05)
    bones: Bones = {
        "root": ("", (0, -0.5, 0), False), "FK-Neck": ("root", (0, -0.16, -0.06), False),
        "FK-Head": ("FK-Neck", (0, -0.05, -0.06), False), "DEF-Head": ("FK-Head", (0, -0.05, -0.06), True),
        "MSTR-Head_Bottom": ("DEF-Head", (0, -0.02, -0.05), False), "Jaw": ("MSTR-Head_Bottom", jaw, False),
        "LowerJaw-Jaw": ("MSTR-Head_Bottom", jaw, False), "DEF-Jaw": ("LowerJaw-Jaw", jaw, True),
        "TGT-Eyes": ("DEF-Head", (0, 0, 0.3), False), "FK-Tongue1": ("DEF-Jaw", (0, -0.06, 0.005), True),
        "FK-Tongue2": ("FK-Tongue1", (0, -0.06, 0.015), True),
    }  # fmt: skip
    for name, parent in (
        ("ORG-Eye.L", "DEF-Head"), ("AIM-Eye.L", "ORG-Eye.L"), ("CTR-Eye.L", "ORG-Eye.L"), ("DEF-Eye.L", "ORG-Eye.L"),
    ):  # fmt: skip
        bones |= _both(name, parent, eye, name.startswith("DEF"))
    bones |= _both("TGT-Eye.L", "TGT-Eyes", (eye[0], 0.0, 0.3), False)
    grid: dict[str, tuple[float, float]] = {"Nose": (0.0, -3.4), "Chin": (0.0, -9.6)}
    grid |= {f"Lip_{'Upper' if n.startswith('top') else 'Lower'}{i}{n[-2:].upper() if n[-1] == 'l' else ''}": p
             for i, (n, p) in enumerate(_LIPS.items())}  # fmt: skip
    grid |= {f"Brow{number}.L": place for number, place in _BROWS.items()}
    grid |= {f"Lid_Upper{number}.L": (x, 0.6) for number, x in _LIDS.items()}
    grid |= {f"Lid_Lower{number}.L": (x, -0.6) for number, x in _LIDS.items()}
    grid |= {"I-Lip_Corner.L": (2.4, -6.6), "I-Cheek.L": (4.2, -5.6), "Cheek.L": (4.4, -3.0), "Nostril.L": (1.4, -4.2)}
    below = ("Chin", "Lip_Lower")
    for name, place in grid.items():
        for layer, parent in (("P", ""), ("STR", f"P-{name}"), ("DEF", f"STR-{name}")):
            bones |= _both(f"{layer}-{name}", parent, on_skin(*place), layer == "DEF")
    armature = _built(bones, on_skin.origin)
    _led(armature, "COPY_TRANSFORMS", "LowerJaw-Jaw", "Jaw")
    for name in [bone.name for bone in armature.data.bones if bone.name.startswith("P-")]:
        leaders = ["DEF-Jaw"] if name.startswith(tuple(f"P-{of}" for of in below)) else ["DEF-Head"]
        _led(armature, "ARMATURE", name, *(["DEF-Head", "DEF-Jaw"] if "Corner" in name else leaders))
    for side in "LR":
        _led(armature, "DAMPED_TRACK", f"AIM-Eye.{side}", f"TGT-Eye.{side}")
        aimed = _led(armature, "COPY_ROTATION", f"CTR-Eye.{side}", f"AIM-Eye.{side}")
        aimed.mix_mode, aimed.owner_space, aimed.target_space = "AFTER", "LOCAL", "LOCAL"
        _led(armature, "COPY_TRANSFORMS", f"DEF-Eye.{side}", f"CTR-Eye.{side}")
        armature.pose.bones[f"CTR-Eye.{side}"].lock_location = (True, True, True)
    return armature


def plain_bones(spread: float = 1.0, source: rigs.Source = SOURCE) -> bpy.types.Object:
    """Bones of meaningless names in the skin of the face."""
    on_skin = _Skin(source)
    eye = on_skin.eye
    bones: Bones = {
        "spine": ("", (0, -0.5, -0.02), False), "head": ("spine", (0, -0.05, -0.05), True),
        "jaw": ("head", (0, -0.04, -0.04), True),
        "eye.L": ("head", eye, False), "eye.R": ("head", (-eye[0], eye[1], eye[2]), False),
    }  # fmt: skip
    spots = [(x, y) for y in (2.6, 1.0, -1.0, -3.5, -5.9, -7.2, -9.0, -10.8) for x in (-4.4, -2.6, 0, 2.6, 4.4)]
    for number, place in enumerate(spots):
        x, y, z = on_skin(*place)
        bones[f"bone{number:02d}"] = ("head", (spread * x, spread * y, spread * z), True)
    return _built(bones, on_skin.origin)
