# SPDX-License-Identifier: GPL-3.0-or-later
"""One take on several faces: the fit judged where a face's own ARKit shapes are known, and the way back."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest

from benchmarks.faces import read_head
from benchmarks.fit import driven, front, head_geometry, posed
from blender_cteg.character.choose import brought_to, mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.fitting.convert import UNKNOWN, bounded
from blender_cteg.character.fitting.fit import FaceGeometry, NoPoints, face_points, fit_mapping
from blender_cteg.character.mapping import MESH_PROPERTY, Mapping, MappingError
from blender_cteg.clip import Clip
from blender_cteg.heads.demo_head.assemble import add_demo_head, locate_head_asset
from blender_cteg.performance.lines import Lines, Style, lines_of
from blender_cteg.shared import ARKIT_CHANNELS, FLAME_EXPRESSIONS, HEAD_CHANNELS, JAW_CHANNELS

from . import ict, scenes

needs_head = pytest.mark.skipif(not locate_head_asset().is_file(), reason="the demo head is not baked")
needs_ict = pytest.mark.skipif(ict.ict_file() is None, reason="ICT FaceKit is not here")


def acting(frames: int = 60) -> Clip:
    """Every action on its own and with others, as strong as people act; the jaw opens before mouthClose closes it."""
    rng = np.random.default_rng(5)
    time = np.linspace(0, 1, frames)[:, None]
    values = np.zeros((frames, 55))
    values[:, :52] = np.clip(np.sin(2 * np.pi * (time * rng.uniform(1, 3, 52) + rng.uniform(0, 1, 52))) - 0.3, 0, 0.7)
    opened, close = ARKIT_CHANNELS.index("jawOpen"), ARKIT_CHANNELS.index("mouthClose")
    values[:, close] = np.minimum(values[:, close], values[:, opened])
    return Clip(values.astype(np.float32), ARKIT_CHANNELS + HEAD_CHANNELS, 24.0, "arkit55", "Any face", 3, "joy")


@needs_head
def test_the_fit_comes_near_the_heads_own_arkit_shapes() -> None:
    # Each action alone at 0.7, mouthClose over an open jaw; benchmarks.fit has real takes, where actions add up.
    head, strengths = read_head(), np.zeros((52, 55), np.float32)
    strengths[:, :52] = 0.7 * np.eye(52)
    strengths[ARKIT_CHANNELS.index("mouthClose"), ARKIT_CHANNELS.index("jawOpen")] = 0.7
    clip = acting(52).with_values(strengths)
    performance = fit_mapping(head_geometry(head)).apply(clip)
    chosen = front(head)
    truth = driven(head.deltas[:, chosen], clip)
    errors = 1e3 * np.linalg.norm(posed(head, performance, chosen) - truth, axis=2)
    assert errors.mean() < 0.12
    assert np.percentile(errors, 95) < 0.5
    assert errors.mean(axis=1).max() < 0.5


@needs_head
def test_flame_clips_are_read_back_as_the_actions_they_came_from(scene: bpy.types.Scene) -> None:
    flame = add_demo_head(bpy.context)
    del flame.data[MESH_PROPERTY]
    rig, clip = detect_rig(flame), acting()
    sparse = clip.values.copy()
    sparse[:, [ARKIT_CHANNELS.index(c) for c in UNKNOWN]] = 0
    clip = clip.with_values(sparse)
    coefficients = as_flame(mapping_for(rig, clip), clip)
    avatar = scenes.arkit_face()
    (back,), mapping = brought_to(detect_rig(avatar), [coefficients])
    assert back.space == "arkit55" == mapping.source_space
    assert (back.text, back.seed, back.fps) == (coefficients.text, coefficients.seed, 24.0)
    assert back.values.min() >= 0
    assert back.values.max() <= 1
    assert not any(back.channel(c).any() for c in (*HEAD_CHANNELS, *UNKNOWN))
    near = {
        c: float(np.corrcoef(clip.channel(c), back.channel(c))[0, 1])
        for c in ARKIT_CHANNELS
        if c not in UNKNOWN and back.channel(c).any()
    }
    assert sum(r > 0.9 for r in near.values()) >= 36, near
    assert near["jawOpen"] > 0.98
    assert near["mouthSmileLeft"] > 0.95
    assert near["browInnerUp"] > 0.95
    assert np.sqrt(np.mean((clip.values - back.values) ** 2)) < 0.08


def as_flame(mapping: Mapping, clip: Clip) -> Clip:
    """What the demo head's keys and jaw do, as a flame53 clip."""
    performance = mapping.apply(clip)
    rest = np.zeros(len(clip.values))  # a key that is the tongue's alone is fitted to no action
    keys = [performance.shape_keys.get(f"Exp{i + 1}", rest) for i in range(50)]
    values = np.c_[np.stack(keys, axis=1), performance.bones["jaw"]]
    return Clip(values, FLAME_EXPRESSIONS + JAW_CHANNELS, clip.fps, "flame53", clip.text, clip.seed, clip.emotion)


@needs_head
def test_a_flame_take_is_written_on_an_arkit_face_or_the_sentence_says_what_to_add(scene: bpy.types.Scene) -> None:
    avatar = scenes.arkit_face()
    clip = scenes.flame_clip()
    with pytest.raises(MappingError, match="Add the FLAME mesh"):
        brought_to(detect_rig(avatar), [clip])
    flame = add_demo_head(bpy.context)
    flame.hide_set(True)
    rig = detect_rig(avatar)
    clips, mapping = brought_to(rig, [clip])
    line = Lines(scene, rig, mapping).add(clips, 1, Style(), text="What a day!")
    assert [known.id for known in lines_of(rig)] == [line.id]
    assert flame.data.shape_keys.animation_data.action is None  # it has drivers: the correctives


def test_bounded_keeps_to_its_bounds_and_unused_actions_at_rest() -> None:
    rng = np.random.default_rng(2)
    looks = rng.normal(size=(40, 5))
    truth = np.zeros((30, 5))
    truth[:, 0] = 0.5 - 0.5 * np.cos(np.linspace(0, 6, 30))
    truth[:, 3] = 0.4
    truth[:, 4] = 0.2
    gram = looks.T @ looks
    found = bounded(gram, truth @ gram, 3, 4)
    np.testing.assert_allclose(found, truth, atol=0.03)
    assert (found[:, 4] <= found[:, 3]).all()
    assert bounded(gram, 9 * truth @ gram, 3, 4).max() == 1.0
    assert bounded(np.eye(5), -truth, 3, 4).max() == 0.0


@needs_head
def test_no_face_is_found_where_there_is_none() -> None:
    head = read_head()
    flat = FaceGeometry(np.random.default_rng(1).normal(size=(4000, 3)), {"Exp1": np.ones((4000, 3))}, triangles=None)
    with pytest.raises(NoPoints):
        face_points(flat)
    upside_down = FaceGeometry(
        -head.vertices, {"Exp1": head.basis[:, :, 0]}, triangles=head.triangles, eyes=-head.joints[3:5]
    )
    with pytest.raises(NoPoints):
        face_points(upside_down)
    one_eye = FaceGeometry(
        head.vertices, {"Exp1": head.basis[:, :, 0]}, triangles=head.triangles, eyes=head.joints[[3, 3]]
    )
    with pytest.raises(NoPoints):
        face_points(one_eye)


@needs_ict
def test_an_independent_face_performs_the_same_take(scene: bpy.types.Scene) -> None:
    path = ict.ict_file()
    assert path is not None
    clip, avatar = acting(12), ict.ict_arkit_face(path)
    rig = detect_rig(avatar)
    assert rig.missing == ("tongueOut",)
    direct = mapping_for(rig, clip)
    assert set(clip.channels) - direct.driving() == {"tongueOut"}
    flame = ict.ict_flame_face(path)
    rig = detect_rig(flame)
    assert rig.kind == "FLAME"
    mapping = mapping_for(rig, clip)
    # Another artist's actions on this face's own basis: most of each is there.
    table = mapping.residual_mm
    assert table["mouthSmileLeft"] < 1.5
    assert mapping.shape_keys
    with pytest.raises(MappingError):
        mapping.apply(scenes.flame_clip())


@needs_head
def test_a_meshs_own_landmarks_are_kept_exactly() -> None:
    face = head_geometry(read_head())
    found = face_points(face)
    marks = found.vertices[:68, 0]
    points = face_points(replace(face, landmarks=marks, eyes=None))
    assert points.size == found.size == 360
    np.testing.assert_allclose(points.of(face.vertices)[:68], face.vertices[marks])
    apart = 1e3 * np.linalg.norm(points.of(face.vertices) - found.of(face.vertices), axis=1)
    assert np.median(apart) < 4.0
