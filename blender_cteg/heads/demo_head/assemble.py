# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the demo head to a scene: ``head.npz`` becomes a mesh with Exp shape keys, an armature and materials."""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np
from mathutils import Vector

from ..assembly import (
    add_key,
    add_objects,
    all_or_nothing,
    bind,
    fill_mesh,
    make_bones,
    metre,
    select_only,
    to_blender,
)
from . import PEOPLE, SCHEMA_VERSION, DemoHeadError
from .materials import LOOKS, WRINKLES

#: Who is added unless somebody else is asked for.
DEFAULT: Final = next(iter(PEOPLE))
#: What the eyes follow, when they are told to: a bone this far before the middle of the eyes, metres, and its property.
GAZE, FOLLOW = "gaze", "follow"
_GAZE_AWAY: Final = 0.4
#: How deep each wrinkle is now, 0 to 1: properties of the face with these names and a number, three in each.
DEPTHS: Final = "wrinkles_"
#: Depth of the deepest wrinkle, metres, of a person whose wrinkles are 1.
_WRINKLE: Final = 0.0009
#: Radius of a bone's ring and where it is along the bone's own axes, metres: y up for root and neck, forwards and z
#: down for the others.
_RINGS: Final = {
    "root": (0.15, (0.0, 0.0, 0.0)),
    "neck": (0.085, (0.0, 0.02, 0.0)),
    "jaw": (0.02, (0.0, 0.14, 0.075)),
    "left_eye": (0.012, (0.0, 0.05, 0.0)),
    "right_eye": (0.012, (0.0, 0.05, 0.0)),
    GAZE: (0.03, (0.0, 0.0, 0.0)),
}
#: Mapping entries smaller than this are left out.
_SMALLEST: Final = 1e-5


def locate_head_asset() -> Path:
    """Where the baked head lies: ``head.npz`` beside this module (it need not exist)."""
    return Path(__file__).with_name("head.npz")


def portrait_of(person: str) -> Path:
    """The picture that the asset browser shows, drawn by `benchmarks.portraits`."""
    return Path(__file__).with_name(f"{person}.jpg")


def load_head(path: Path, person: str = DEFAULT) -> dict[str, np.ndarray]:
    """The arrays of one person's baked head, in FLAME's layout (see `bake.bake`).

    DemoHeadError when the file is missing, damaged or of another layout.
    """
    if not path.is_file():
        raise DemoHeadError(
            "The demo head {file} is missing; run `python3.11 build.py head` to bake it.", file=path.name
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            if int(archive["schema_version"]) != SCHEMA_VERSION:
                raise DemoHeadError(
                    "The demo head {file} was baked by another version; run `python3.11 build.py head` to bake it "
                    "again.", file=path.name,
                )  # fmt: skip
            head = {name: archive[name] for name in archive.files if "/" not in name and name != "arkit_deltas"}
            own = [name for name in archive.files if name.startswith(f"{person}/")]
            head |= {name.removeprefix(f"{person}/"): archive[name] for name in own}
            if "own_shapes" in head:
                _add_own(head)
            return head
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        sentence = "The demo head {file} is damaged; run `python3.11 build.py head` to bake it again."
        raise DemoHeadError(sentence, file=path.name) from error


def _add_own(head: dict[str, np.ndarray]) -> None:
    """What a person's lips and lids do otherwise than the first one's."""
    vertices, shapes, shifts = head["own_vertices"], head["own_shapes"], head["own_shifts"].astype(np.float32)
    expressions = head["shapedirs"].shape[2]
    fixes = shapes >= expressions
    head["shapedirs"][vertices[~fixes], :, shapes[~fixes]] += shifts[~fixes]
    head["correctives"] = head["correctives"].astype(np.float32)
    head["correctives"][shapes[fixes] - expressions, vertices[fixes]] += shifts[fixes]


def add_demo_head(context: bpy.types.Context, name: str = "CTEG Head", person: str = DEFAULT) -> bpy.types.Object:
    """Add a demo head, one of `PEOPLE`, at the 3D cursor and make it the only selected, active object.

    Returns:
        The mesh object: shape keys Basis, Exp1..Exp50, child of an armature with bones root, neck, jaw, left_eye
        and right_eye, and `GAZE`, which the eyes follow as far as its property `FOLLOW` says (0 to 1, at first 0: what
        is keyed on the eyes is what they do). ``mesh.data["cteg_mapping"]`` holds the mapping from arkit55 as JSON.

    Raises:
        DemoHeadError: the baked head is missing or damaged, or the scene cannot take objects; nothing is added.
    """
    head = load_head(locate_head_asset(), person)
    try:
        with all_or_nothing(context) as made:
            return _add(context, name, person, head, made)
    except KeyError as error:  # an array that the file lacks
        sentence = "The demo head {file} is damaged; run `python3.11 build.py head` to bake it again."
        raise DemoHeadError(sentence, file=locate_head_asset().name) from error
    except RuntimeError as error:  # what Blender's operators raise
        raise DemoHeadError("The demo head cannot be added to this scene: {why}", why=error) from error


def _add(
    context: bpy.types.Context, name: str, person: str, head: dict[str, np.ndarray], made: list[bpy.types.ID]
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(name)
    made.append(mesh)
    fill_mesh(mesh, head["v_template"], head["polygons"], head["uv"])
    for material in _materials(name, head, made):
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", head["material_index"].astype(np.int32))
    mesh["cteg_mapping"] = json.dumps(mapping_from_head(head), separators=(",", ":"))
    face, rig = add_objects(context, name, mesh, made)
    joints, names = head["J_regressor"] @ head["v_template"], head["joint_names"].tolist()
    make_bones(context, rig, joints, head["kintree_table"][0].tolist(), names)
    _add_gaze(context, rig, to_blender(joints))
    _out_of_the_skin(rig, made)
    _add_shape_keys(face, head)
    _add_wrinkles(face, head, made)
    _scale_lengths(face.data.materials, metre(context.scene))
    bind(face, rig, head["weights"], names)
    face.asset_mark()
    face.use_fake_user = False  # marking sets it, and a deleted head would stay in the file
    face.asset_data.description = PEOPLE[person][1]
    face.asset_data.license = "CC0 1.0 (mesh), MIT (expressions)"
    _show_in_assets(face, portrait_of(person))
    select_only(context, face)
    return face


def _add_gaze(context: bpy.types.Context, rig: bpy.types.Object, joints: np.ndarray) -> None:
    """A target before the eyes that stays where it is when the head turns, and constraints that are off."""
    context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    target = rig.data.edit_bones.new(GAZE)
    target.head = Vector(joints[3:].mean(axis=0)) + Vector((0.0, -_GAZE_AWAY, 0.0))
    target.tail = target.head + Vector((0.0, -0.03, 0.0))
    target.align_roll(Vector((0.0, 0.0, -1.0)))
    target.parent = rig.data.edit_bones["root"]
    target.use_deform = False
    bpy.ops.object.mode_set(mode="OBJECT")
    bone = rig.pose.bones[GAZE]
    bone[FOLLOW] = 0.0
    bone.property_overridable_library_set(f'["{FOLLOW}"]', True)
    bone.id_properties_ui(FOLLOW).update(min=0.0, max=1.0, description="How far both eyes follow this bone")
    for eye in ("left_eye", "right_eye"):
        constraint = rig.pose.bones[eye].constraints.new("DAMPED_TRACK")
        constraint.target, constraint.subtarget, constraint.track_axis = rig, GAZE, "TRACK_Y"
        constraint.influence = 0.0  # what the driver says only once the scene has been evaluated
        driver = constraint.driver_add("influence").driver
        _read(driver, "a", "OBJECT", rig, f'pose.bones["{GAZE}"]["{FOLLOW}"]')
        driver.expression = "a"
    for bone in rig.pose.bones:
        bone.lock_location = (bone.name not in ("root", GAZE),) * 3
        bone.color.palette = "THEME03" if bone.name == GAZE else "THEME04"


def _show_in_assets(face: bpy.types.Object, portrait: Path) -> None:
    """Give the asset its picture; it does without where that cannot be read."""
    try:
        picture = bpy.data.images.load(str(portrait))
    except RuntimeError:
        return
    preview = face.preview_ensure()
    preview.image_size = picture.size
    preview.image_pixels_float.foreach_set(np.array(picture.pixels, np.float32))
    bpy.data.images.remove(picture)


def _out_of_the_skin(rig: bpy.types.Object, made: list[bpy.types.ID]) -> None:
    """Show every bone as a ring around or before the part that it turns, instead of a stick inside it."""
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    name = f"{rig.name}_Ring"
    ring = bpy.data.meshes.new(name)
    made.append(ring)
    corners = [(float(np.cos(a)), 0.0, float(np.sin(a))) for a in turn]
    ring.from_pydata(corners, [(i, (i + 1) % len(corners)) for i in range(len(corners))], [])
    shape = bpy.data.objects.new(name, ring)
    made.append(shape)
    shape.scale = (0.0, 0.0, 0.0)  # bones take its mesh alone; who appends a head gets the object beside it
    for bone in rig.pose.bones:
        radius, place = _RINGS[bone.name]
        bone.custom_shape = shape
        bone.use_custom_shape_bone_size = False
        bone.custom_shape_scale_xyz = (radius, radius, radius)
        bone.custom_shape_translation = place


def _add_shape_keys(face: bpy.types.Object, head: dict[str, np.ndarray]) -> None:
    """Basis and Exp1..Exp50, with sliders wide enough for expression coefficients, and the correctives they drive."""
    points, directions = head["v_template"], head["shapedirs"]
    face.shape_key_add(name="Basis", from_mix=False)
    for index in range(directions.shape[2]):
        add_key(face, f"Exp{index + 1}", points + directions[:, :, index])
    for pair, fix in zip(head["corrective_pairs"].tolist(), head["correctives"], strict=True):
        key = add_key(face, f"Fix_{pair[0]}_{pair[1]}", points + fix.astype(np.float32))
        driver = key.driver_add("value").driver
        one, other = _strengths(driver, face, head, pair)
        driver.expression = f"4 * {one} * (1 - {other})" if pair[0] == pair[1] else f"{one} * {other}"
    face.active_shape_key_index = 0


def _strength(head: dict[str, np.ndarray], action: str) -> tuple[int, float]:
    """The index of the expression that is an action, and its value where the action is at 1."""
    gains = head["arkit_to_exp"][head["arkit_channels"].tolist().index(action)]
    return int(np.abs(gains).argmax()), float(gains[np.abs(gains).argmax()])


def _strengths(
    driver: bpy.types.Driver, face: bpy.types.Object, head: dict[str, np.ndarray], actions: Iterable[str]
) -> list[str]:
    """How strong each action is, 0 to 1, as terms of the driver's expression; they read the keys of ``face``."""
    terms = []
    for letter, action in zip("abcdef", actions, strict=False):
        index, full = _strength(head, action)
        _read(driver, letter, "KEY", face.data.shape_keys, f'key_blocks["Exp{index + 1}"].value')
        terms.append(f"min(max({letter} / {full:g}, 0), 1)")
    return terms


def _read(driver: bpy.types.Driver, name: str, kind: str, block: bpy.types.ID, path: str) -> None:
    """Let a driver know a property of a datablock by a name."""
    variable = driver.variables.new()
    variable.name = name
    variable.targets[0].id_type, variable.targets[0].id, variable.targets[0].data_path = kind, block, path


def _add_wrinkles(face: bpy.types.Object, head: dict[str, np.ndarray], made: list[bpy.types.ID]) -> None:
    """A node group whose height is the wrinkles that a face makes now, bumping the skin under its pores.

    Every layer of `WRINKLES` is one channel of an image and as deep as the actions that it answers to are strong, on
    each half of the face by itself. Workbench shows no such detail; folds that it shows are in the shapes.
    """
    group = bpy.data.node_groups.new(f"{face.name}_Wrinkles", "ShaderNodeTree")
    made.append(group)
    group.interface.new_socket("Height", in_out="OUTPUT", socket_type="NodeSocketFloat")
    place, split = (group.nodes.new(f"ShaderNode{kind}") for kind in ("UVMap", "SeparateXYZ"))
    group.links.new(place.outputs["UV"], split.inputs[0])
    left = _math(group, "MULTIPLY_ADD", split.outputs["X"], 50.0, -24.5)  # the character's left half, softly
    left.use_clamp = True
    total: bpy.types.NodeSocket | float = 0.0
    depths = _depths(face, group)
    for number, sources in enumerate(WRINKLES.values()):
        if number % 3 == 0:
            texture, channels = (group.nodes.new(f"ShaderNode{kind}") for kind in ("TexImage", "SeparateColor"))
            name = f"wrinkles{number // 3}"
            texture.image = _image(f"{face.name} {name}", head[f"image_{name}"], made)
            texture.image.colorspace_settings.name = "Non-Color"
            group.links.new(texture.outputs["Color"], channels.inputs[0])
        sides = ("Right", "Left") if any(source.endswith("*") for source in sources) else ("",)
        weights = []
        for side in sides:
            driver, depth = next(depths)
            weights.append(depth)
            terms = _strengths(driver, face, head, [source.replace("*", side) for source in sources])
            shares = [f"{share:g} * {term}" for share, term in zip(sources.values(), terms, strict=True)]
            driver.expression = shares[0] if len(shares) == 1 else f"max({', '.join(shares)})"
        strength = weights[0]
        if len(weights) == 2:  # right + left half * (left - right)
            apart = _math(group, "SUBTRACT", weights[1], strength)
            strength = _math(group, "MULTIPLY_ADD", left.outputs[0], apart.outputs[0], strength).outputs[0]
        total = _math(group, "MULTIPLY_ADD", channels.outputs[number % 3], strength, total).outputs[0]
    group.links.new(total, group.nodes.new("NodeGroupOutput").inputs[0])
    for material in face.data.materials:
        tree = material.node_tree
        pores = next((node for node in tree.nodes if node.type == "BUMP"), None)
        if pores is not None:
            folded, bump = tree.nodes.new("ShaderNodeGroup"), tree.nodes.new("ShaderNodeBump")
            folded.node_tree, bump.invert = group, True
            folded.location, bump.location = (-720, -420), (-520, -420)
            bump.inputs["Distance"].default_value = _WRINKLE * float(head["wrinkles"])
            tree.links.new(folded.outputs[0], bump.inputs["Height"])
            tree.links.new(bump.outputs["Normal"], pores.inputs["Normal"])


def _depths(
    face: bpy.types.Object, group: bpy.types.NodeTree
) -> Iterator[tuple[bpy.types.Driver, bpy.types.NodeSocket]]:
    """Drivers of numbers that the face carries, and where a node group reads each of them.

    The object has them, so that heads that share their materials, as duplicates do, wrinkle each by itself; three in a
    property, for EEVEE reads eight of an object at most.
    """
    for number in itertools.count(1):
        name = f"{DEPTHS}{number}"
        face[name] = (0.0, 0.0, 0.0)
        read, apart = (group.nodes.new(f"ShaderNode{kind}") for kind in ("Attribute", "SeparateXYZ"))
        read.attribute_type, read.attribute_name = "OBJECT", name
        group.links.new(read.outputs["Vector"], apart.inputs[0])
        for at, socket in enumerate(apart.outputs):
            yield face.driver_add(f'["{name}"]', at).driver, socket


def _scale_lengths(materials: Iterable[bpy.types.Material], by: float) -> None:
    """Make what is as deep as metres say so deep in another unit: a metre is ``by`` of it."""
    for node in (node for material in materials for node in material.node_tree.nodes):
        for name in ("Distance", "Subsurface Scale"):
            if name in node.inputs:
                node.inputs[name].default_value *= by


def _math(group: bpy.types.NodeTree, operation: str, *values: bpy.types.NodeSocket | float) -> bpy.types.Node:
    """A node that computes with numbers and the outputs of other nodes."""
    node = group.nodes.new("ShaderNodeMath")
    node.operation = operation
    for socket, value in zip(node.inputs, values, strict=False):
        if isinstance(value, bpy.types.NodeSocket):
            group.links.new(value, socket)
        else:
            socket.default_value = value
    return node


def mapping_from_head(head: dict[str, np.ndarray]) -> dict[str, Any]:
    """The mapping from arkit55 as plain data.

    ``shape_keys``: key -> channel -> gain. ``bones``: bone -> channel -> rotation vector (radians, FLAME axes, summed
    linearly over channels). ``residual_mm``: action -> largest vertex error.
    """
    channels = head["arkit_channels"].tolist()
    keys: dict[str, dict[str, float]] = {}
    for index, gains in enumerate(head["arkit_to_exp"].T):
        pairs = zip(channels, gains, strict=True)
        keys[f"Exp{index + 1}"] = {channel: round(float(g), 6) for channel, g in pairs if abs(g) >= _SMALLEST}
    bones: dict[str, dict[str, list[float]]] = {
        "neck": {"headPitch": [1.0, 0.0, 0.0], "headYaw": [0.0, 1.0, 0.0], "headRoll": [0.0, 0.0, 1.0]}
    }
    for bone in ("jaw", "left_eye", "right_eye"):
        vectors = head[f"arkit_to_{bone}"]
        bones[bone] = {
            channel: [round(float(x), 6) if abs(x) >= _SMALLEST else 0.0 for x in vector]
            for channel, vector in zip(channels, vectors, strict=True)
            if np.abs(vector).max() >= _SMALLEST
        }
    return {
        "schema_version": 1,
        "source_space": "arkit55",
        "shape_keys": keys,
        "bones": bones,
        "residual_mm": {c: round(float(r), 3) for c, r in zip(channels, head["residual_mm"], strict=True)},
    }


def _image(name: str, pixels: np.ndarray, made: list[bpy.types.ID]) -> bpy.types.Image:
    """A packed sRGB image from (H, W, 3) uint8, first row at the bottom."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height)
    made.append(image)
    filled = np.ones((height, width, 4), np.float32)
    filled[..., :3] = pixels / np.float32(255)
    image.pixels.foreach_set(filled.ravel())
    image.update()
    image.pack()
    return image


def _add_pores(tree: bpy.types.NodeTree, shader: bpy.types.Node, strength: float) -> None:
    """Fine bumps that stay with the skin."""
    place, noise, bump = (tree.nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "TexNoise", "Bump"))
    for step, node in enumerate((bump, noise, place)):
        node.location = (-320 - 200 * step, -200)
    noise.inputs["Scale"].default_value = 420.0
    noise.inputs["Detail"].default_value = 3.0
    bump.inputs["Strength"].default_value = strength
    bump.inputs["Distance"].default_value = 0.0005
    tree.links.new(place.outputs["UV"], noise.inputs["Vector"])
    tree.links.new(noise.outputs[0], bump.inputs["Height"])
    tree.links.new(bump.outputs["Normal"], shader.inputs["Normal"])


def _materials(name: str, head: dict[str, np.ndarray], made: list[bpy.types.ID]) -> list[bpy.types.Material]:
    """One material per slot; those of one part of the face share an image."""
    images: dict[str, bpy.types.Image] = {}
    result = []
    for slot, own in zip(head["materials"].tolist(), head["colours"].tolist(), strict=True):
        look, colour = LOOKS[slot], (*own, 1.0)
        material = bpy.data.materials.new(f"{name} {slot}")
        made.append(material)
        if bpy.app.version < (5, 0):
            material.use_nodes = True
        material.diffuse_color = colour
        material.roughness = look.roughness
        tree = material.node_tree
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        shader.inputs["Base Color"].default_value = colour
        shader.inputs["Roughness"].default_value = look.roughness
        shader.inputs["Subsurface Weight"].default_value = look.subsurface
        shader.inputs["Subsurface Radius"].default_value = (0.012, 0.004, 0.002)
        shader.inputs["Subsurface Scale"].default_value = 1.0
        shader.inputs["Specular IOR Level"].default_value = look.specular
        shader.inputs["Coat Weight"].default_value = look.coat
        shader.inputs["Coat Roughness"].default_value = 0.03
        if look.pores:
            _add_pores(tree, shader, look.pores)
        if look.image is not None and f"image_{look.image}" in head:
            if look.image not in images:
                images[look.image] = _image(f"{name} {look.image}", head[f"image_{look.image}"], made)
            node = tree.nodes.new("ShaderNodeTexImage")
            node.image = images[look.image]
            node.location = (-320, 300)
            tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
            tree.nodes.active = node  # Workbench's Texture colour shows the active image node
        result.append(material)
    return result
