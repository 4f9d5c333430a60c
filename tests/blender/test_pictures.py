# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes as pictures: drawn from arrays, at telling moments, kept, and never at the scene's cost."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest

from benchmarks import redraw
from blender_cteg import cast
from blender_cteg.performance.gaze import Glance
from blender_cteg.performance.layers import face_of
from blender_cteg.performance.lines import Lines, clip_of
from blender_cteg.performance.owners import owners_of
from blender_cteg.performance.record import Line, Style
from blender_cteg.performance.targets import targets_of
from blender_cteg.pictures import gallery, ghost
from blender_cteg.pictures.moments import telling
from blender_cteg.pictures.raster import picture
from blender_cteg.pictures.stand_in import StandIn
from tests.counting import calls

from . import characters, scenes
from .test_cast import perform


def square(corner: tuple[float, float], side: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    x, y = corner
    points = np.array([(x, y, z), (x + side, y, z), (x + side, y + side, z), (x, y + side, z)], np.float32)
    return points, np.array([(0, 1, 2), (0, 2, 3)])


# ------------------------------------------------------------------------------------------------ drawing


def test_a_square_is_where_it_is_and_nothing_else() -> None:
    points, triangles = square((-0.5, 0.0), 0.5, 0.0)
    image = picture(points, triangles, np.full((2, 3), 0.5, np.float32), 40)
    assert image.shape == (40, 40, 4)
    expected = np.zeros((40, 40))
    expected[20:30, 10:20] = 1.0
    np.testing.assert_allclose(image[..., 3], expected, atol=0.01)
    inside = image[21:29, 11:19, :3]
    assert np.ptp(inside) < 1e-5 and 0.5 < inside.mean() < 0.8


@pytest.mark.parametrize("size", [0.3, 0.05, 0.012])
def test_what_is_nearer_hides_what_is_farther_however_small_its_triangles_are(size: float) -> None:
    near, far = np.array([1.0, 0.0, 0.0], np.float32), np.array([0.0, 0.0, 1.0], np.float32)
    points, triangles, colours = [], [], []
    for z, colour in ((0.5, near), (-0.5, far)):
        for x in np.arange(-0.6, 0.6, size):
            for y in np.arange(-0.6, 0.6, size):
                corners, faces = square((x, y), size, z)
                triangles.append(faces + 4 * len(points))
                points.append(corners)
                colours += [colour, colour]
    image = picture(np.concatenate(points), np.concatenate(triangles), np.array(colours), 64)
    middle = image[16:48, 16:48]
    assert middle[..., 3].min() == 1.0
    assert middle[..., 0].min() > 0.6 and middle[..., 2].max() < 0.45
    assert np.mean(middle[..., 2] > 0.1) < 0.02


def test_light_comes_from_above_and_both_sides_are_seen() -> None:
    for winding in (1, -1):
        tilted = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, -2), (-1, 1, -2)], np.float32)
        facing_up = picture(tilted, np.array([(0, 1, 2), (0, 2, 3)])[:, ::winding], np.full((2, 3), 0.5), 16)
        facing_down = picture(
            tilted * (1, -1, 1), np.array([(0, 2, 1), (0, 3, 2)])[:, ::winding], np.full((2, 3), 0.5), 16
        )
        assert facing_up[8, 8, 0] > facing_down[8, 8, 0] + 0.1


# ------------------------------------------------------------------------------------------------ moments


def test_telling_moments_are_the_different_ones() -> None:
    face = np.zeros((100, 3), np.float32)
    face[20:30, 0], face[60:70, 1] = 1.0, 1.0
    frames = telling([face], ["browInnerUp", "mouthSmileLeft", "headYaw"], 3)
    assert list(frames) == sorted(frames) and len(set(frames)) == 3
    assert any(20 <= frame < 30 for frame in frames)
    other = face.copy()
    other[80:84, 2] = 1.0
    frames = telling([face, other], ["browInnerUp", "mouthSmileLeft", "headYaw"], 2)
    assert any(80 <= frame < 84 for frame in frames)
    assert telling([np.zeros((2, 3), np.float32)], ["a", "b", "c"], 5) == (0, 1)
    still = telling([np.zeros((50, 3), np.float32)], ["a", "b", "c"], 4)
    assert len(still) == 4 and max(np.diff(still)) < 30  # where nothing moves, from everywhere


# ------------------------------------------------------------------------------------------------ stand-in


@pytest.mark.parametrize("make", ["arkit", "mpfb", "flame", "keys alone"])
def test_a_likeness_takes_the_faces_that_blender_shows(stage: bpy.types.Scene, make: str) -> None:
    """Every point of every mesh at some frames of a take, against Blender's own evaluation."""
    target = {
        "arkit": characters.arkit_character, "mpfb": lambda: characters.mpfb_human(""),
        "flame": scenes.flame_topology_face, "keys alone": scenes.arkit_face,
    }[make]()  # fmt: skip
    stage.cteg.target = target
    bpy.context.view_layer.update()
    now = cast.refresh(stage)
    line = perform(target)
    now = cast.refresh(stage)
    clip = clip_of(now.rig, line)
    assert clip is not None
    face = face_of(clip, 24.0)
    assert now.mapping is not None
    targets = targets_of(now.rig, owners_of(now.rig), now.mapping, face)
    stand_in = StandIn(now.rig, targets)
    for _ in stand_in.read():
        pass
    space = now.rig.armature or now.rig.object
    assert space is not None
    back = np.array(space.matrix_world.inverted())
    for frame in (10, 20, 33):
        stage.frame_set(1 + frame)
        expected = evaluated(stage) @ back[:3, :3].T + back[:3, 3]
        pose = stand_in.posed(now.rig, targets, frame)
        assert pose is not None
        seen = pose[0].copy()
        seen[:, :2] = seen[:, :2] * stand_in._size + stand_in._centre
        seen[:, 2] *= stand_in._size
        found = seen @ stand_in._axes.T
        rest = np.concatenate([part.points for part in stand_in._parts])
        moved = np.abs(expected - rest).max()
        assert moved > 1e-3
        np.testing.assert_allclose(found, expected, atol=0.02 * moved + 1e-5)


def evaluated(stage: bpy.types.Scene) -> np.ndarray:
    """Every point of every mesh in the world, as Blender shows it."""
    depsgraph, found = bpy.context.evaluated_depsgraph_get(), []
    now = cast.character(stage)
    for obj in (*now.rig.meshes, *(o for o in stage.objects if o.type == "MESH" and o not in now.rig.meshes)):
        shown = obj.evaluated_get(depsgraph)
        mesh, matrix = shown.to_mesh(), np.array(shown.matrix_world)
        found.append(np.array([tuple(v.co) for v in mesh.vertices]) @ matrix[:3, :3].T + matrix[:3, 3])
        shown.to_mesh_clear()
    return np.concatenate(found)


# ------------------------------------------------------------------------------------------------ gallery


@pytest.fixture
def line(stage: bpy.types.Scene) -> Line:
    stage.cteg.target = characters.arkit_character()
    return perform(stage.cteg.target, takes=3)


def test_pictures_of_takes_are_drawn_and_the_scene_is_not_touched(stage: bpy.types.Scene, line: Line) -> None:
    before = [(o.name, tuple(map(tuple, o.matrix_world))) for o in bpy.data.objects], len(bpy.data.meshes)
    values = [block.value for key in bpy.data.shape_keys for block in key.key_blocks]
    assert gallery.strip(stage, line, line.takes[0]) is None  # in background mode nobody waits
    strip = gallery.draw_now(stage, line, line.takes[0])
    assert strip is not None and strip.takes == (line.takes[0],)
    assert len(strip.frames) == len(strip.icons[0]) == gallery.PICTURES
    assert gallery.strip(stage, line, line.takes[0]) is strip
    both = gallery.draw_now(stage, line, *line.takes[:2])
    assert both is not None and [len(icons) for icons in both.icons] == [gallery.PICTURES] * 2
    now = [(o.name, tuple(map(tuple, o.matrix_world))) for o in bpy.data.objects], len(bpy.data.meshes)
    assert now == before
    assert values == [block.value for key in bpy.data.shape_keys for block in key.key_blocks]


def test_pictures_go_with_their_take_and_with_the_file(stage: bpy.types.Scene, line: Line) -> None:
    rig = cast.character(stage).rig
    strip = gallery.draw_now(stage, line, line.takes[0])
    assert strip is not None
    other = scenes.speaking_clip(49, 7)
    directed = Lines(stage, rig).perform_again(line.id, other)
    assert directed.takes[0].seed == other.seed and directed.takes[0] != line.takes[0]
    again = gallery.strip(stage, directed, directed.takes[0])
    assert again is strip  # as it was, until it is drawn again
    assert gallery.draw_now(stage, directed, directed.takes[0]) is not strip
    assert gallery.strip(stage, directed, directed.takes[0]).takes == (directed.takes[0],)
    scenes.empty()
    assert not gallery._strips and gallery._previews is None


def test_the_list_shows_pictures_names_and_favourites(stage: bpy.types.Scene, line: Line) -> None:
    for take in line.takes:
        gallery.draw_now(stage, line, take)
    bpy.ops.cteg.favourite_take(take=2)
    stage.cteg_fields.take_name = "   "  # blanks are no name: the list shows what is felt
    blank = cast.active_line(stage)
    assert blank is not None and blank.take is not None and blank.take.name == ""
    stage.cteg_fields.take_name = " The quiet one "
    bpy.ops.cteg.compare_take(take=1)
    now = cast.active_line(stage)
    assert now is not None and [take.favourite for take in now.takes] == [False, False, True]
    for take in now.takes:
        gallery.draw_now(stage, now, take)
    gallery.draw_now(stage, now, now.takes[0], now.takes[1])
    drawn = redraw.redraw()
    assert sum(text.startswith("picture") for text in drawn) == 3 * gallery.PICTURES + 2 * gallery.PICTURES
    assert "The quiet one" in drawn and f"{now.takes[0].seed}" in drawn
    bpy.ops.cteg.compare_take(take=1)
    assert bpy.context.window_manager.cteg.compared == ""
    bpy.ops.cteg.delete_other_takes()
    kept = cast.active_line(stage)
    assert kept is not None and [take.key for take in kept.takes] == [line.takes[0].key, line.takes[2].key]
    assert kept.shown == 0 and kept.takes[0].name == "The quiet one"
    bpy.ops.cteg.show_take(take=-1)
    bpy.ops.cteg.favourite_take(take=1)
    with pytest.raises(RuntimeError, match="shows no take, and none is a favourite"):
        bpy.ops.cteg.delete_other_takes()


def test_a_redraw_with_pictures_costs_little(stage: bpy.types.Scene) -> None:
    stage.cteg.target = characters.arkit_character()
    tab, costs = redraw.panels(), []
    for starts in (range(1, 2), range(101, 1200, 100)):
        for start in starts:
            made = perform(stage.cteg.target, start, takes=5)
        for take in made.takes:
            gallery.draw_now(stage, made, take)
        cast.refresh(stage)
        redraw.redraw(tab)
        costs.append(calls(redraw.redraw, tab))
    assert costs[1] < 1.2 * costs[0] < 1.2 * 6000  # benchmarks/redraw.py measures what that takes


def test_a_character_that_is_gone_has_no_pictures(stage: bpy.types.Scene, line: Line) -> None:
    for obj in list(stage.objects):
        bpy.data.objects.remove(obj)
    cast.refresh(stage)
    assert gallery.draw_now(stage, line, line.takes[0]) is None
    assert gallery.strip(stage, line, line.takes[0]) is None


# ------------------------------------------------------------------------------------------------ the ghost


def haunted() -> np.ndarray:
    """The points of the ghost in the world."""
    there = ghost.shape(bpy.context.scene)
    assert there is not None
    matrix = np.array(there[1])
    return there[0].points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("make", ["arkit", "flame"])
def test_a_ghost_is_what_the_other_take_would_play(stage: bpy.types.Scene, make: str) -> None:
    """Every point of it, against Blender's own evaluation of that take, of a line that is scaled, moved and looks."""
    stage.render.fps = 30
    stage.cteg.target = characters.arkit_character() if make == "arkit" else scenes.flame_topology_face()
    line = perform(stage.cteg.target, takes=2)
    rig = cast.refresh(stage).rig
    body = rig.armature or rig.object
    assert body is not None
    body.location, body.rotation_euler.z = (1.0, 2.0, 0.5), 0.7
    gaze = (Glance(0.0, 0.2, 0.1), Glance(0.5, -0.3, 0.0))
    fields = {"intensity": 0.6, "gaze": gaze, "start": 11, "end": 11 + line.end - line.start}
    Lines(stage, rig, cast.character(stage).mapping).change(line.id, **fields, style=Style(reduction=0.0))
    cast.refresh(stage)
    bpy.ops.cteg.compare_take(take=1 - line.shown)
    bpy.context.window_manager.cteg.ghost = "OVER"
    found, played = [], []
    for frame in (20, 35, 50):
        stage.frame_set(frame)
        found.append(haunted())
        played.append(evaluated(stage))
    bpy.ops.cteg.show_take(take=1 - line.shown)
    for frame, points, before in zip((20, 35, 50), found, played, strict=True):
        stage.frame_set(frame)
        expected = evaluated(stage)
        differ = np.abs(expected - before).max()
        assert differ > 1e-3
        np.testing.assert_allclose(points, expected, atol=0.05 * differ)
    assert ghost.shape(stage) is None  # a take beside itself is no comparison
    stage.frame_set(5)
    bpy.ops.cteg.show_take(take=line.shown)
    assert ghost.shape(stage) is None  # nobody performs here


def test_a_ghost_goes_with_the_body(stage: bpy.types.Scene, line: Line) -> None:
    rig = cast.refresh(stage).rig
    assert rig.armature is not None
    stage.frame_set(20)
    bpy.ops.cteg.compare_take(take=1)
    bpy.context.window_manager.cteg.ghost = "BESIDE"
    before = haunted()
    spine = next(bone for bone in rig.armature.pose.bones if bone.parent is None)
    turned = {target.label for target in cast_targets(stage)}
    assert spine.name not in turned
    spine.rotation_mode, spine.rotation_euler = "XYZ", (0.0, 0.0, 0.6)
    bpy.context.view_layer.update()
    moved = spine.matrix @ spine.bone.matrix_local.inverted()
    matrix = np.array(rig.armature.matrix_world @ moved @ rig.armature.matrix_world.inverted())
    assert np.abs(haunted() - before).max() > 0.01
    np.testing.assert_allclose(haunted(), before @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-5)


def cast_targets(stage: bpy.types.Scene) -> list[Any]:
    """What the takes of the character move."""
    now = cast.character(stage)
    assert now.line is not None and now.mapping is not None
    clip = clip_of(now.rig, now.line)
    assert clip is not None
    return targets_of(now.rig, owners_of(now.rig), now.mapping, face_of(clip, 24.0))


def test_a_ghost_leaves_nothing_and_costs_nothing_when_it_is_off(
    stage: bpy.types.Scene, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interface = bpy.context.window_manager.cteg
    stage.frame_set(20)
    drawing: list[object] = []
    view = bpy.types.SpaceView3D
    monkeypatch.setattr(ghost, "_drawn_by", SimpleNamespace(
        draw_handler_add=lambda *arguments: drawing.append(view.draw_handler_add(*arguments)) or drawing[-1],
        draw_handler_remove=lambda handle, region: (drawing.remove(handle), view.draw_handler_remove(handle, region)),
    ))  # fmt: skip
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "before.blend"), compress=False)
    blocks = {name: len(getattr(bpy.data, name)) for name in ("objects", "meshes", "materials", "actions", "images")}
    bpy.ops.cteg.compare_take(take=1)
    assert not drawing and ghost.shape(stage) is None
    interface.ghost = "OVER"
    assert len(drawing) == 1 and ghost.shape(stage) is not None
    with redraw.counted((ghost, "_ready")) as counts:
        ghost.shape(stage)
    assert counts == {"_ready": 0}
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "with.blend"), compress=False)
    assert (tmp_path / "with.blend").stat().st_size == (tmp_path / "before.blend").stat().st_size
    assert blocks == {name: len(getattr(bpy.data, name)) for name in blocks}
    bpy.ops.cteg.delete_take(take=1)
    assert ghost.shape(stage) is None  # whose ghost it was is gone
    bpy.ops.cteg.compare_take(take=1)
    assert ghost.shape(stage) is not None
    interface.ghost = "OFF"
    assert not drawing and ghost.shape(stage) is None
    interface.ghost = "BESIDE"
    bpy.ops.cteg.compare_take(take=1)  # not any more
    assert not drawing
    bpy.ops.cteg.compare_take(take=1)
    assert len(drawing) == 1
    for obj in list(stage.objects):
        bpy.data.objects.remove(obj)
    assert ghost.shape(stage) is None
    scenes.empty()
    assert not drawing and (interface.compared, interface.ghost) == ("", "OFF")
