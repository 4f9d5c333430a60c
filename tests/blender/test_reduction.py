# SPDX-License-Identifier: GPL-3.0-or-later
"""Key reduction: few keys, never farther off than asked, and exact where they must be."""

from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np
import numpy.typing as npt
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.clip import Clip
from blender_cteg.performance.layers import face_of
from blender_cteg.performance.lines import Lines, Style
from blender_cteg.performance.owners import curves_in, owners_of
from blender_cteg.performance.reduction import Keys, exact_frames
from blender_cteg.performance.reduction import reduced as reduced_together
from blender_cteg.shared import seal_frames

from . import scenes

Floats = npt.NDArray[np.float64]


def reduced(curve: npt.ArrayLike, keep: Iterable[int], error: float, straight: bool = False) -> Keys:
    """One curve reduced beside two others, which must not matter."""
    column = np.asarray(curve)
    others = np.stack([np.cos(np.arange(len(column))), column, np.full(len(column), 0.3)], axis=1)
    wanted = np.zeros(others.shape, bool)
    wanted[list(keep), 1] = True
    return reduced_together(others, wanted, [0.01, error, 0.01], straight=straight)[1]


def played(keys: Keys) -> Floats:
    """What Blender plays on whole frames: each segment a Bézier of its two keys and the handles between them."""
    values, lengths = np.zeros(keys.frames[-1] + 1), np.diff(keys.frames) / 3.0
    reach = np.stack([-np.concatenate([lengths[:1], lengths]), np.concatenate([lengths, lengths[-1:]])], axis=1)
    handles = np.stack([keys.frames[:, None] + reach, keys.values[:, None] + keys.slopes * reach], axis=-1)
    for k in range(len(keys.frames) - 1):
        x = np.array([keys.frames[k], handles[k, 1, 0], handles[k + 1, 0, 0], keys.frames[k + 1]])
        y = np.array([keys.values[k], handles[k, 1, 1], handles[k + 1, 0, 1], keys.values[k + 1]])
        np.testing.assert_allclose(np.diff(x), (x[3] - x[0]) / 3)  # so that time runs evenly along the curve
        t = (np.arange(x[0], x[3] + 1) - x[0]) / (x[3] - x[0])
        bernstein = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        values[keys.frames[k] : keys.frames[k + 1] + 1] = y @ bernstein
    return values


def noisy(frames: int = 200) -> Floats:
    rng = np.random.default_rng(4)
    return 0.5 + 0.4 * np.sin(np.arange(frames) / 9) + 0.05 * np.cumsum(rng.normal(size=frames)) / np.sqrt(frames)


@pytest.mark.parametrize("straight", [False, True])
@pytest.mark.parametrize("error", [0.0, 0.002, 0.01, 0.1])
def test_the_curve_is_never_farther_off_than_asked(error: float, straight: bool) -> None:
    curve = noisy()
    keys = reduced(curve, [], error, straight=straight)
    np.testing.assert_array_equal(keys.values, curve[keys.frames])
    assert (keys.frames[0], keys.frames[-1]) == (0, 199)
    assert (np.diff(keys.frames) > 0).all()
    lines = np.interp(np.arange(200), keys.frames, keys.values)
    assert np.abs((lines if straight else played(keys)) - curve).max() <= error + 2e-6


def test_a_larger_error_needs_fewer_keys_and_cubics_fewer_than_lines() -> None:
    curve = noisy()
    cubic = [len(reduced(curve, [], error).frames) for error in (0.002, 0.01, 0.05)]
    lines = [len(reduced(curve, [], error, straight=True).frames) for error in (0.002, 0.01, 0.05)]
    assert cubic[0] > cubic[1] > cubic[2]
    assert all(few < many for few, many in zip(cubic, lines, strict=True))


def test_a_cubic_is_two_keys_and_a_still_curve_too() -> None:
    u = np.linspace(0, 1, 60)
    for curve in (3 * u**2 - 2 * u**3, np.full(60, 0.3), u):
        keys = reduced(curve, [], 1e-4)
        assert keys.frames.tolist() == [0, 59] and (keys.slopes[:, 0] == keys.slopes[:, 1]).all()
        np.testing.assert_allclose(played(keys), curve, atol=1e-9)


def test_frames_that_must_be_exact_have_a_key() -> None:
    curve, keep = noisy(), [17, 18, 90, 0, 199, 17]
    for straight in (False, True):
        assert set(keep) <= set(reduced(curve, keep, 0.05, straight=straight).frames.tolist())


@pytest.mark.parametrize("count", [2, 3, 4])
def test_short_curves(count: int) -> None:
    curve = np.array([0.0, 1.0, 0.2, 0.9])[:count]
    for straight in (False, True):
        keys = reduced(curve, [1], 0.01, straight=straight)
        assert set(keys.frames.tolist()) >= {0, 1, count - 1}


def test_lids_and_lips_that_close_keep_their_frames() -> None:
    clip = scenes.speaking_clip(97)
    values = np.array(clip.values)
    blink = clip.channels.index("eyeBlinkLeft")
    values[:, blink] = 0.1 + 0.05 * np.sin(np.arange(97))
    values[40:45, blink] = (0.4, 0.9, 1.0, 1.0, 0.5)
    face = face_of(clip.with_values(values), 24.0)
    exact = exact_frames(face, clip.timeline)
    assert exact["eyeBlinkLeft"].tolist() == [43]
    assert clip.timeline is not None
    np.testing.assert_array_equal(exact["mouthClose"], seal_frames(clip.timeline, 24.0))
    assert "browInnerUp" not in exact
    assert exact_frames(face_of(scenes.flame_clip(), 24.0), None) == {}


def keys_and_errors(clip: Clip, scene: bpy.types.Scene, style: Style) -> tuple[int, float]:
    """The number of keys of a take on a face with bones, and how far its curves are off, in their own range."""
    face = scenes.arkit_face(bones=["neck", "head"])
    for bone in face.parent.pose.bones:
        bone.rotation_mode = "XYZ"
    rig = detect_rig(face)
    curves = {}
    for wanted in (Style(reduction=0), style):
        Lines(scene, rig).add([clip], 3, wanted, text=clip.text)
        found = [c for owner in owners_of(rig) for c in curves_in(owner.action, owner.slot)]
        curves[wanted] = {(c.data_path, c.array_index): c for c in found}
        for owner in owners_of(rig):
            owner.data.action = None
    off = 0.0
    frames = range(3, 3 + face_of(clip, float(scene.render.fps)).frames)
    spans: dict[str, float] = {}
    for (path, _), curve in curves[Style(reduction=0)].items():
        values = [curve.evaluate(frame) for frame in frames]
        spans[path] = 1.0 if path.startswith("key") else max(spans.get(path, 0.0), float(np.ptp(values)))
    for key, curve in curves[style].items():
        true = [curves[Style(reduction=0)][key].evaluate(frame) for frame in frames]
        off = max(off, float(np.abs(np.subtract([curve.evaluate(f) for f in frames], true)).max()) / spans[key[0]])
    return sum(len(curve.keyframe_points) for curve in curves[style].values()), off


@pytest.mark.parametrize(("fps", "interpolation", "fewer"), [(24, "BEZIER", 5), (60, "BEZIER", 10), (60, "LINEAR", 5)])
def test_a_take_has_a_fraction_of_the_keys(scene: bpy.types.Scene, fps: int, interpolation: str, fewer: int) -> None:
    scene.render.fps = fps
    clip = scenes.speaking_clip(241)
    every, exact = keys_and_errors(clip, scene, Style(reduction=0))
    few, off = keys_and_errors(clip, scene, Style(interpolation, 0.5))
    assert exact < 1e-6 and off <= 0.005 + 1e-5
    assert every > fewer * few, f"{every} keys became {few}"
