# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds whole characters as they reach animators: an ARKit .glb, an MPFB human, a crowd. All made of small spheres."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import addon_utils
import bpy
import numpy as np
from mathutils import Matrix, Vector

from blender_cteg.shared import ARKIT_CHANNELS

from . import scenes

#: Centres of the eyes and the mouth on a head of radius 0.1 whose middle is the origin, z up, looking along -y.
EYES = {"Left": (0.03, -0.07, 0.02), "Right": (-0.03, -0.07, 0.02)}
MOUTH = (0.0, -0.06, -0.04)
EYE_LOOKS = tuple(channel for channel in ARKIT_CHANNELS if channel.startswith("eyeLook"))
#: Bones of a head above the neck, from root to leaf.
BONES = {"Hips": (0, 0, -0.6), "Neck": (0, 0.02, -0.15), "Head": (0, 0.02, -0.08)} | {
    f"{side}Eye": place for side, place in EYES.items()
}


def ball(
    name: str, centre: Iterable[float], radius: float, keys: Iterable[str], at: Iterable[float] = (0, 0, 0)
) -> bpy.types.Object:
    """A sphere of 42 vertices with shape keys that each push it a little, in a direction of their own."""
    mesh = bpy.data.meshes.new(name)
    import bmesh

    shape = bmesh.new()
    bmesh.ops.create_icosphere(shape, subdivisions=2, radius=radius, matrix=Matrix.Translation(Vector(centre)))
    shape.to_mesh(mesh)
    shape.free()
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    obj.location = tuple(at)
    rest = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", rest)
    for index, key in enumerate(keys):
        if mesh.shape_keys is None:
            obj.shape_key_add(name="Basis")
        block = obj.shape_key_add(name=key)
        block.value = 0.0
        push = np.random.default_rng(index).normal(0, 0.1 * radius, 3)
        block.data.foreach_set("co", (rest.reshape(-1, 3) + push).astype(np.float32).ravel())
    return obj


def weigh(obj: bpy.types.Object, armature: bpy.types.Object, bone: str) -> bpy.types.Object:
    """Let the bone carry the whole mesh."""
    scenes.skin(obj, armature)
    obj.vertex_groups.new(name=bone).add(range(len(obj.data.vertices)), 1.0, "REPLACE")
    return obj


def rigged(bones: dict[str, Iterable[float]], name: str = "Armature") -> bpy.types.Object:
    """An armature with these bones; see `scenes.armature_object`."""
    return scenes.armature_object(name, {bone: tuple(place) for bone, place in bones.items()})


def arkit_character(lids_only: bool = True) -> bpy.types.Object:
    """Head, teeth and two eyeballs on one armature, as avatar services export them. Returns the armature.

    Where ``lids_only`` the eyeballs have no keys and hang on bones, else they have the eyeLook keys and no bones.
    """
    bones = BONES if lids_only else {name: place for name, place in BONES.items() if "Eye" not in name}
    armature = rigged(bones)
    head_keys = [channel for channel in ARKIT_CHANNELS if channel != "tongueOut"]
    weigh(ball("Head", (0, 0, 0), 0.1, head_keys), armature, "Head")
    weigh(ball("Teeth", MOUTH, 0.02, ["jawOpen", "mouthClose", "tongueOut"]), armature, "Head")
    for side, place in EYES.items():
        looks = [] if lids_only else [channel for channel in EYE_LOOKS if channel.endswith(side)]
        weigh(ball(f"Eye{side}", place, 0.012, looks), armature, f"{side}Eye" if lids_only else "Head")
    return armature


def as_glb(folder: Path, **options: object) -> list[bpy.types.Object]:
    """The scene exported as a .glb and imported into an empty file by Blender's own add-on. Returns all objects."""
    path = str(folder / "character.glb")
    addon_utils.enable("io_scene_gltf2")
    bpy.ops.export_scene.gltf(filepath=path, export_format="GLB", export_morph=True, **options)
    scenes.empty()
    addon_utils.enable("io_scene_gltf2")
    bpy.ops.import_scene.gltf(filepath=path)
    bpy.context.scene.render.fps = 24
    return list(bpy.context.scene.objects)


def mpfb_human(prefix: str = "!ex-") -> bpy.types.Object:
    """A MakeHuman body with modelling keys and face units, eyes and teeth beside it, on MPFB's default rig.

    With the prefix the face units are MPFB's expressions, which it keeps on the body alone; without it they were
    loaded as targets and carried over to the teeth.
    """
    bones = {"root": (0, 0, -1), "neck01": (0, 0.02, -0.15), "neck02": (0, 0.02, -0.12), "head": (0, 0.02, -0.08)}
    bones |= {"jaw": MOUTH, "eye.L": EYES["Left"], "eye.R": EYES["Right"]}
    armature = rigged(bones, "Human.rig")
    modelling = ["$md-$as-$fe-$yn-$av$mu-$av$wg", "$md-head-oval-incr"]
    body = weigh(
        ball("Human", (0, 0, 0), 0.1, [*modelling, *(f"{prefix}{c}" for c in ARKIT_CHANNELS)]), armature, "head"
    )
    body.data.shape_keys.key_blocks[modelling[0]].value = 0.7
    weigh(ball("Human.teeth_base", MOUTH, 0.02, [] if prefix else ["jawOpen", "mouthClose"]), armature, "head")
    for side, letter in (("Left", "L"), ("Right", "R")):
        weigh(ball(f"Human.eye_{letter}", EYES[side], 0.012, []), armature, f"eye.{letter}")
    return body


def crowd(count: int = 2, apart: float = 0.4) -> tuple[bpy.types.Object, list[bpy.types.Object]]:
    """Heads with teeth, without armatures, side by side under one Empty. Returns the Empty and the heads."""
    top = bpy.data.objects.new("Crowd", None)
    bpy.context.scene.collection.objects.link(top)
    heads = []
    for index in range(count):
        at = (apart * index, 0, 0)
        for part in (
            ball(f"Head{index}", (0, 0, 0), 0.1, ARKIT_CHANNELS, at),
            ball(f"Teeth{index}", MOUTH, 0.02, ["jawOpen"], at),
        ):
            part.parent = top
            if part.name.startswith("Head"):
                heads.append(part)
    bpy.context.view_layer.update()
    return top, heads
