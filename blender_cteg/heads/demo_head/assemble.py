# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the demo head to a scene: ``head.npz`` becomes a mesh with Exp shape keys, an armature and materials."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np

from ..assembly import add_key, add_objects, all_or_nothing, bind, make_bones, select_only, to_blender
from . import SCHEMA_VERSION, DemoHeadError
from .materials import LOOKS

_BAKE_HINT: Final = "run `python3.11 build.py head` to bake it"
#: Mapping entries smaller than this are left out.
_SMALLEST: Final = 1e-5


def locate_head_asset() -> Path:
    """Where the baked head lies: ``head.npz`` beside this module (it need not exist)."""
    return Path(__file__).with_name("head.npz")


def load_head(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a baked head (see `bake.bake`). DemoHeadError when it is missing, damaged or of another layout."""
    if not path.is_file():
        raise DemoHeadError(f"the demo head {path.name} is missing; {_BAKE_HINT}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if int(archive["schema_version"]) != SCHEMA_VERSION:
                raise DemoHeadError(f"the demo head {path.name} was baked by another version; {_BAKE_HINT} again")
            return {name: archive[name] for name in archive.files if name != "arkit_deltas"}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DemoHeadError(f"the demo head {path.name} is damaged; {_BAKE_HINT} again") from error


def add_demo_head(context: bpy.types.Context, name: str = "CTEG Head") -> bpy.types.Object:
    """Add the demo head at the 3D cursor and make it the only selected, active object.

    Returns:
        The mesh object: shape keys Basis, Exp1..Exp50, child of an armature with bones root, neck, jaw, left_eye
        and right_eye. ``mesh.data["cteg_mapping"]`` holds the mapping from arkit55 as JSON.

    Raises:
        DemoHeadError: the baked head is missing or damaged, or the scene cannot take objects; nothing is added.
    """
    head = load_head(locate_head_asset())
    try:
        with all_or_nothing(context) as made:
            return _add(context, name, head, made)
    except RuntimeError as error:  # what Blender's operators raise
        raise DemoHeadError(f"the demo head cannot be added to this scene: {error}") from error


def _add(
    context: bpy.types.Context, name: str, head: dict[str, np.ndarray], made: list[bpy.types.ID]
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(name)
    made.append(mesh)
    _fill_mesh(mesh, head)
    for material in _materials(name, head, made):
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", head["material_index"].astype(np.int32))
    mesh["cteg_mapping"] = json.dumps(mapping_from_head(head), separators=(",", ":"))
    face, rig = add_objects(context, name, mesh, made)
    joints, names = head["J_regressor"] @ head["v_template"], head["joint_names"].tolist()
    make_bones(context, rig, joints, head["kintree_table"][0].tolist(), names)
    _add_shape_keys(face, head)
    bind(face, rig, head["weights"], names)
    select_only(context, face)
    return face


def _fill_mesh(mesh: bpy.types.Mesh, head: dict[str, np.ndarray]) -> None:
    """Vertices, polygons, texture coordinates and smooth shading."""
    polygons = head["polygons"]
    valid = polygons >= 0
    sizes = valid.sum(axis=1).astype(np.int32)
    mesh.vertices.add(len(head["v_template"]))
    mesh.vertices.foreach_set("co", to_blender(head["v_template"]).ravel())
    mesh.loops.add(int(sizes.sum()))
    mesh.loops.foreach_set("vertex_index", polygons[valid])
    mesh.polygons.add(len(polygons))
    mesh.polygons.foreach_set("loop_start", np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32))
    mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", head["uv"][valid].ravel())
    mesh.update(calc_edges=True)
    mesh.shade_smooth()


def _add_shape_keys(face: bpy.types.Object, head: dict[str, np.ndarray]) -> None:
    """Basis and Exp1..Exp50, with sliders wide enough for expression coefficients, and the correctives they drive."""
    points, directions = head["v_template"], head["shapedirs"]
    face.shape_key_add(name="Basis", from_mix=False)
    for index in range(directions.shape[2]):
        add_key(face, f"Exp{index + 1}", points + directions[:, :, index])
    for pair, fix in zip(head["corrective_pairs"].tolist(), head["correctives"], strict=True):
        key = add_key(face, f"Fix {pair[0]} + {pair[1]}", points + fix.astype(np.float32))
        _drive(key, [_strength(head, action) for action in pair])
    face.active_shape_key_index = 0


def _strength(head: dict[str, np.ndarray], action: str) -> tuple[str, float]:
    """The Exp key that is an action, and its value where the action is at 1."""
    gains = head["arkit_to_exp"][head["arkit_channels"].tolist().index(action)]
    return f"Exp{np.abs(gains).argmax() + 1}", float(gains[np.abs(gains).argmax()])


def _drive(key: bpy.types.ShapeKey, factors: list[tuple[str, float]]) -> None:
    """Let ``key`` be the product of the strengths, each 0 to 1, of other keys."""
    driver = key.driver_add("value").driver
    for letter, (name, _) in zip("ab", factors, strict=True):
        variable = driver.variables.new()
        variable.name = letter
        variable.targets[0].id_type = "KEY"
        variable.targets[0].id = key.id_data
        variable.targets[0].data_path = f'key_blocks["{name}"].value'
    terms = [f"min(max({letter} / {full:g}, 0), 1)" for letter, (_, full) in zip("ab", factors, strict=True)]
    driver.expression = " * ".join(terms)


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


def _materials(name: str, head: dict[str, np.ndarray], made: list[bpy.types.ID]) -> list[bpy.types.Material]:
    """One material per slot; those of one part of the face share an image."""
    images: dict[str, bpy.types.Image] = {}
    result = []
    for slot in head["materials"].tolist():
        look = LOOKS[slot]
        material = bpy.data.materials.new(f"{name} {slot}")
        made.append(material)
        if bpy.app.version < (5, 0):
            material.use_nodes = True
        material.diffuse_color = (*look.colour, 1.0)
        material.roughness = look.roughness
        tree = material.node_tree
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        shader.inputs["Base Color"].default_value = (*look.colour, 1.0)
        shader.inputs["Roughness"].default_value = look.roughness
        shader.inputs["Subsurface Weight"].default_value = look.subsurface
        shader.inputs["Subsurface Radius"].default_value = (0.012, 0.004, 0.002)
        shader.inputs["Subsurface Scale"].default_value = 1.0
        shader.inputs["Specular IOR Level"].default_value = look.specular
        shader.inputs["Coat Weight"].default_value = look.coat
        shader.inputs["Coat Roughness"].default_value = 0.03
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
