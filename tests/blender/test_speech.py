# SPDX-License-Identifier: GPL-3.0-or-later
"""The face says the line: two layers become one at the scene's frame rate, and p, b and m close the lips on a frame."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import numpy.typing as npt
import pytest

from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.clip import Clip, ClipError
from blender_cteg.performance.layers import face_of, retime
from blender_cteg.performance.lines import Lines, Style, lines_of
from blender_cteg.performance.owners import curves_in
from blender_cteg.shared import Timeline, seal_frames
from blender_cteg.worker import protocol
from blender_cteg.worker.protocol import Performed, ProtocolError

from . import scenes
from .fake_worker import array

#: Frames per second of films and television, as Blender has them: fps and its base.
RATES = [(24, 1.001), (24, 1.0), (25, 1.0), (30, 1.001), (30, 1.0), (50, 1.0), (60, 1.0)]
#: What parts the lips when the jaw is shut.
PARTING = ("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthFunnel",
           "mouthShrugUpper", "tongueOut")  # fmt: skip


def seals(clip: Clip, rate: float) -> npt.NDArray[np.int64]:
    """The frames of the clip on which lips must be closed."""
    assert clip.timeline is not None
    frames = seal_frames(clip.timeline, rate)
    assert len(frames) > 3 and frames.max() < face_of(clip, rate).frames
    return frames


# --- two layers become one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "base"), RATES)
def test_lips_are_closed_on_a_whole_frame_at_every_frame_rate(fps: int, base: float) -> None:
    for seed in range(5):
        clip = scenes.speaking_clip(seed=seed)
        face = face_of(clip, fps / base)
        assert face.frames == retime(clip, fps / base).frames
        closed = seals(clip, fps / base)
        np.testing.assert_array_equal(face.channel("mouthClose")[closed], face.channel("jawOpen")[closed])
        for name in PARTING:
            assert not face.channel(name)[closed].any(), name
        assert (face.channel("jawOpen") - face.channel("mouthClose")).max() > 0.2


def test_what_speech_does_not_move_is_the_performances() -> None:
    clip = scenes.speaking_clip()
    for rate in (24.0, 30.0):
        face, performance = face_of(clip, rate), retime(clip, rate)
        for name in ("browInnerUp", "eyeBlinkLeft", "headYaw", "cheekSquintRight"):
            np.testing.assert_allclose(face.channel(name), performance.channel(name), atol=1e-6)
        assert face.timeline is None  # a face speaks once


@pytest.mark.parametrize("rate", [24.0, 30.0])
def test_a_clip_without_speech_is_one_whole_layer(rate: float) -> None:
    clip = scenes.arkit_clip()
    np.testing.assert_array_equal(face_of(clip, rate).values, retime(clip, rate).values)
    silent = replace(clip, timeline=Timeline.from_json({"words": [], "seconds": 1.0}))
    np.testing.assert_array_equal(face_of(silent, rate).values, retime(clip, rate).values)
    flame = scenes.flame_clip()
    np.testing.assert_array_equal(face_of(flame, rate).values, retime(flame, rate).values)


def test_the_size_of_the_speech_is_the_clips() -> None:
    clip = scenes.speaking_clip()
    quiet = replace(clip, values=np.zeros_like(clip.values))
    opened = [face_of(replace(quiet, speech_scale=s), 30.0).channel("jawOpen").max() for s in (0.0, 0.5, 1.0, 1.5)]
    assert opened[0] == 0.0 and opened == sorted(opened) and opened[3] > 1.3 * opened[2]


# --- on a face in Blender -------------------------------------------------------------------------------------------


def written(clip: Clip, face: bpy.types.Object, style: Style, start: int = 7) -> dict[str, bpy.types.FCurve]:
    """The curves of the shape keys of a new line, by name."""
    Lines(bpy.context.scene, detect_rig(face)).add([clip], start, style, text=clip.text, blend=0)
    data = face.data.shape_keys.animation_data
    return {curve.data_path.split('"')[1]: curve for curve in curves_in(data.action, data.action_slot)}


@pytest.mark.parametrize("interpolation", ["BEZIER", "LINEAR"])
@pytest.mark.parametrize("reduction", [0.0, 0.5, 5.0])
@pytest.mark.parametrize(("fps", "base"), [(24, 1.001), (25, 1.0), (30, 1.0), (60, 1.0)])
def test_curves_close_the_lips_on_their_frames(
    scene: bpy.types.Scene, fps: int, base: float, reduction: float, interpolation: str
) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    clip = scenes.speaking_clip()
    curves = written(clip, scenes.arkit_face(), Style(interpolation, reduction))
    whole = face_of(clip, fps / base)
    for frame in seals(clip, fps / base):
        at = 7 + int(frame)
        jaw = curves["jawOpen"].evaluate(at)
        assert curves["mouthClose"].evaluate(at) == pytest.approx(jaw, abs=1e-4)
        assert jaw == pytest.approx(whole.channel("jawOpen")[frame], abs=1e-5)
        for name in PARTING:
            assert curves[name].evaluate(at) == pytest.approx(0.0, abs=1e-6), name
    for name, curve in curves.items():
        # The line comes from rest on its first frame and is at rest on its last.
        played = [curve.evaluate(7 + frame) for frame in range(1, whole.frames - 1)]
        np.testing.assert_allclose(played, whole.channel(name)[1:-1], atol=0.01 * reduction + 1e-5, err_msg=name)


def test_a_flame_face_gets_both_layers_through_its_mapping(scene: bpy.types.Scene) -> None:
    scene.render.fps = 30
    clip, face = scenes.speaking_clip(), scenes.flame_topology_face()
    curves = written(clip, face, Style(), start=1)
    expected = mapping_for(detect_rig(face), clip).apply(face_of(clip, 30.0)).shape_keys
    for name, curve in curves.items():
        played = [curve.evaluate(1 + frame) for frame in range(1, len(expected[name]) - 1)]
        np.testing.assert_allclose(played, expected[name][1:-1], atol=0.005 * max(1.0, np.ptp(expected[name])) + 1e-4)


# --- kept with the take, and from outside ----------------------------------------------------------------------------


def test_speech_is_kept_with_the_take(scene: bpy.types.Scene) -> None:
    clip = replace(scenes.speaking_clip(), speech_scale=0.75)
    rig = detect_rig(scenes.arkit_face())
    Lines(scene, rig).add([clip], 1, Style(), text=clip.text)
    (take,) = lines_of(rig)[0].takes
    assert take.speech_scale == 0.75 and clip.timeline is not None
    assert take.timeline == Timeline.from_json(clip.timeline.to_json())


def test_speech_that_fits_no_face_is_refused() -> None:
    clip = scenes.speaking_clip()
    with pytest.raises(ClipError, match="channels are not those of arkit55"):
        replace(scenes.flame_clip(), timeline=clip.timeline)
    for scale in (-0.1, 1.6, float("nan")):
        with pytest.raises(ClipError, match=r"must be from 0 to 1\.5"):
            replace(clip, speech_scale=scale)


def test_a_clip_brings_its_timeline_through_the_door() -> None:
    clip = scenes.speaking_clip(49)
    assert clip.timeline is not None
    message = {
        "id": 1, "event": "clip", "line": 0, "take": 0, "seed": 5, "text": "Hi.", "emotion": "joy", "fps": 24.0,
        "space": "arkit55", "channels": list(clip.channels), "values": array(clip.values.tolist()),
        "timeline": clip.timeline.to_json(), "speech_scale": 0.5,
    }  # fmt: skip
    take = protocol.parse(protocol.encode(message))
    assert isinstance(take, Performed)
    assert take.clip.timeline == Timeline.from_json(clip.timeline.to_json()) and take.clip.speech_scale == 0.5
    whole = protocol.parse(protocol.encode(message | {"timeline": None}))
    assert isinstance(whole, Performed) and whole.clip.timeline is None
    for change in (
        {"timeline": []}, {"timeline": {"words": 3}}, {"timeline": {"words": [], "schema_version": 9}},
        {"timeline": {"words": [{"text": "a", "phonemes": [["AA1", 2.0, 1.0]]}]}}, {"speech_scale": "loud"},
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            protocol.parse(protocol.encode(message | change))
