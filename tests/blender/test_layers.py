# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of a line: what it plays alone, sizes over time, smoothing and exaggerating, mixes as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_cteg import cast
from blender_cteg.performance.layers import PRESETS, face_of, played_only, region_of, smoothed
from blender_cteg.performance.record import Line, Region
from blender_cteg.performance.store import _line, mix_of, mix_text
from blender_cteg.segments import Segment
from blender_cteg.shared import seal_frames
from blender_cteg.storage import StoredError
from blender_cteg.ui import lines_panel, presets

from . import characters, scenes
from .test_cast import perform

PLAIN = Line("", "")
CLIP = scenes.speaking_clip(121)
#: Quick movement over the slow one, and none at the ends.
CLIP = CLIP.with_values(CLIP.values + (0.1 * np.hanning(121) * np.sin(np.arange(121) * 1.7))[:, None])


def face(line: Line = PLAIN) -> np.ndarray:
    return face_of(CLIP, 24.0, line).values


def columns(*regions: str) -> np.ndarray:
    return np.array([region_of(name) in regions for name in CLIP.channels])


# ------------------------------------------------------------------------------------------------ sizes over time


def test_a_region_has_another_size_at_other_times() -> None:
    course = Region(scale=0.3, course=((0.25, 1.0), (0.5, 0.0), (1.0, 1.5)))
    np.testing.assert_allclose(course.size(np.array([0.0, 0.25, 0.375, 0.5, 0.75, 1.0])), [1, 1, 0.5, 0, 0.75, 1.5])
    upper = columns("upper face")
    whole, shaped = face(), face(replace(PLAIN, regions={"upper face": course}))
    np.testing.assert_array_equal(shaped[:, ~upper], whole[:, ~upper])
    np.testing.assert_allclose(shaped[:30, upper], whole[:30, upper], atol=1e-6)
    assert np.abs(shaped[60, upper]).max() == 0.0
    np.testing.assert_allclose(shaped[45, upper], 0.5 * whole[45, upper], atol=1e-6)
    assert Region(scale=0.4).size(0.7) == 0.4
    assert course.sized(0.5, 0.8).course == ((0.25, 1.0), (0.5, 0.8), (1.0, 1.5))
    assert course.sized(0.7, 0.8).course == ((0.25, 1.0), (0.5, 0.0), (0.7, 0.8), (1.0, 1.5))
    assert Region().sized(0.5, 0.8) == Region(scale=0.8)


# ------------------------------------------------------------------------------------------------ smoothing


def test_smoothing_is_to_neither_side_and_leaves_the_ends() -> None:
    bump = np.zeros((101, 2), np.float32)
    bump[50], bump[:, 1] = 1.0, np.linspace(-1.0, 2.0, 101)
    even = smoothed(bump, 3.0)
    assert even[:, 0].argmax() == 50 and even[50, 0] < 0.2
    np.testing.assert_allclose(even[:50, 0], even[:50:-1, 0], atol=1e-6)
    np.testing.assert_allclose(even[:, 1], bump[:, 1], atol=1e-5)  # a slope stays, up to its ends
    noise = np.random.default_rng(1).normal(0, 1, (80, 3)).astype(np.float32)
    np.testing.assert_allclose(smoothed(noise, 4.0)[[0, -1]], noise[[0, -1]], atol=1e-5)
    assert smoothed(noise, 0.0) is noise and smoothed(noise[:1], 3.0).shape == (1, 3)


@pytest.mark.parametrize(
    "fields", [{"smoothing": 0.15}, {"exaggeration": 2.0}, {"smoothing": 0.1, "exaggeration": 0.0}]
)
def test_blinks_closures_and_ends_stay_as_they_are(fields: dict[str, float]) -> None:
    whole, shaped = face(), face(replace(PLAIN, **fields))
    blinks = [name.startswith("eyeBlink") for name in CLIP.channels]
    np.testing.assert_array_equal(shaped[:, blinks], whole[:, blinks])
    assert CLIP.timeline is not None
    seals = seal_frames(CLIP.timeline, 24.0)
    seals = seals[seals < len(whole)]
    closed = [name in ("jawOpen", "mouthClose") for name in CLIP.channels]
    gap = whole[:, closed] @ (1, -1), shaped[:, closed] @ (1, -1)
    np.testing.assert_allclose(gap[1][seals], gap[0][seals], atol=0.02)
    np.testing.assert_allclose(shaped[[0, -1]], whole[[0, -1]], atol=1e-5)
    brows = columns("upper face") & ~np.array(blinks)
    speed = [np.abs(np.diff(one[:, brows], axis=0)).sum() for one in (whole, shaped)]
    assert speed[1] > 1.02 * speed[0] if fields.get("exaggeration") == 2.0 else speed[1] < 0.98 * speed[0]


def test_what_is_exaggerated_stays_within_what_faces_do() -> None:
    assert face(replace(PLAIN, exaggeration=3.0)).max() <= 1.0
    assert face(replace(PLAIN, exaggeration=3.0))[:, :52].min() >= 0.0
    once, twice = face(replace(PLAIN, exaggeration=1.2)), face(replace(PLAIN, exaggeration=1.4))
    free = columns("head") & (np.abs(twice) < 0.55).all(0)  # of limits
    assert free.any()
    np.testing.assert_allclose((twice - face())[:, free], 2 * (once - face())[:, free], atol=1e-4)


# ------------------------------------------------------------------------------------------------ presets


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_say_what_plays(preset: str) -> None:
    line = replace(PLAIN, regions={"mouth": Region("ADD", 0.5, True)}, speech=0.7)
    made = replace(line, **played_only(line, preset))
    muted = {name for name, region in made.regions.items() if region.mute}
    expected = {
        "ALL": set(), "UPPER_FACE": {"eyes", "mouth", "jaw", "head"}, "MOUTH": {"upper face", "eyes", "head"},
        "NO_EYES_HEAD": {"eyes", "head"}, "NO_SPEECH": set(),
    }  # fmt: skip
    assert muted == expected[preset] and made.speech == (0.0 if preset == "NO_SPEECH" else 1.0)
    assert (made.regions["mouth"].mode, made.regions["mouth"].scale) == ("ADD", 0.5)


@pytest.fixture
def stage(stage: bpy.types.Scene) -> bpy.types.Scene:
    """A character with a line."""
    stage.cteg.target = characters.arkit_character()
    perform(stage.cteg.target)
    return stage


def animated() -> set[str]:
    """The regions that the action has curves of, by the shape keys of the head."""
    key = bpy.data.objects["Head"].data.shape_keys
    bag = key.animation_data.action.layers[0].strips[0].channelbag(key.animation_data.action_slot)
    return {region_of(curve.data_path.split('"')[1]) for curve in bag.fcurves}


def test_a_click_leaves_parts_of_the_face_to_the_animator(stage: bpy.types.Scene) -> None:
    assert animated() >= {"upper face", "mouth", "jaw"}
    assert bpy.ops.cteg.play_only(preset="UPPER_FACE") == {"FINISHED"}
    assert animated() == {"upper face"}
    bpy.ops.cteg.play_only(preset="MOUTH")
    assert animated() == {"mouth", "jaw"}
    bpy.ops.cteg.play_only(preset="NO_SPEECH")
    assert scenes.active().speech == 0.0 and animated() >= {"upper face", "mouth"}
    bpy.ops.cteg.play_only(preset="ALL")
    assert scenes.active().speech == 1.0


def test_sizes_are_kept_at_the_playhead(stage: bpy.types.Scene) -> None:
    fields = stage.cteg_fields
    stage.frame_set(13)
    bpy.ops.cteg.size_at_playhead(region="UPPER_FACE")
    assert scenes.active().regions["upper face"].course == ((0.25, 1.0),)
    stage.frame_set(25)
    fields.upper_face_scale = 0.0
    assert scenes.active().regions["upper face"].course == ((0.25, 1.0), (0.5, 0.0))
    stage.frame_set(19)
    assert fields.upper_face_scale == pytest.approx(0.5)
    bpy.ops.cteg.size_at_playhead(region="UPPER_FACE")
    assert len(scenes.active().regions["upper face"].course) == 3
    for frame in (13, 25, 19):
        stage.frame_set(frame)
        bpy.ops.cteg.size_at_playhead(region="UPPER_FACE")
    assert scenes.active().regions["upper face"] == Region(scale=0.5)


def test_what_cannot_be_done_where_the_playhead_is_or_with_the_take_that_is_shown_says_so(
    stage: bpy.types.Scene,
) -> None:
    stage.frame_set(200)
    with pytest.raises(RuntimeError, match=r"Frame 200 is not in this line. Move the playhead to one from 1 to 49\."):
        bpy.ops.cteg.size_at_playhead(region="UPPER_FACE")
    assert scenes.active().regions.get("upper face", Region()) == Region()
    for take in (scenes.active().shown, 7):
        with pytest.raises(RuntimeError, match="another one to compare it with"):
            bpy.ops.cteg.compare_take(take=take)
    bpy.ops.cteg.show_take(take=-1)
    for act in (bpy.ops.cteg.favourite_take, bpy.ops.cteg.delete_take):
        with pytest.raises(RuntimeError, match="shows no take"):
            act()
    with pytest.raises(RuntimeError, match="No line shows a take"):
        bpy.ops.cteg.send_to_strip(all=True)
    assert len(scenes.active().takes) == 1


def test_a_silence_has_its_own_text_in_the_list_and_not_what_is_heard(stage: bpy.types.Scene) -> None:
    line = replace(scenes.active(), text="Anna listens")
    assert line.take is not None
    spoken = replace(line.take, segments=(Segment("I lost", "anger"), Segment("it all.", "anger")))
    assert lines_panel.words_of(replace(line, takes=(spoken,), shown=0)) == "I lost it all."
    silence = replace(spoken, settings={**spoken.settings, "speaking": False})
    assert lines_panel.words_of(replace(line, takes=(silence,), shown=0)) == "Anna listens"
    assert lines_panel.words_of(Line("id", "")) == "A line that cannot be read"


def test_scripts_change_a_region_and_its_sizes_over_time_stay(stage: bpy.types.Scene) -> None:
    for frame, size in ((13, 1.0), (25, 0.4)):
        stage.frame_set(frame)
        bpy.ops.cteg.size_at_playhead(region="UPPER_FACE")
        bpy.ops.cteg.change_region(region="UPPER_FACE", scale=size)
    bpy.ops.cteg.change_region(region="UPPER_FACE", mode="TAKE")
    bpy.ops.cteg.change_region(region="UPPER_FACE", mute=True)
    region = scenes.active().regions["upper face"]
    assert region.course == ((0.25, 1.0), (0.5, pytest.approx(0.4)))
    assert (region.mode, region.mute) == ("TAKE", True)


def test_fields_smooth_and_exaggerate_and_can_be_undone(stage: bpy.types.Scene) -> None:
    fields = stage.cteg_fields
    bpy.ops.ed.undo_push(message="Before")
    fields.smoothing, fields.exaggeration = 0.1, 1.5
    assert (scenes.active().smoothing, scenes.active().exaggeration) == (pytest.approx(0.1), pytest.approx(1.5))
    bpy.ops.ed.undo_push(message="After")
    bpy.ops.ed.undo()
    assert (scenes.active().smoothing, scenes.active().exaggeration) == (0.0, 1.0)
    bpy.ops.cteg.change_line(smoothing=0.2, exaggeration=0.5)
    assert (scenes.active().smoothing, scenes.active().exaggeration) == (pytest.approx(0.2), pytest.approx(0.5))


# ------------------------------------------------------------------------------------------------ files


def test_a_mix_is_kept_as_a_file_and_given_to_another_line(stage: bpy.types.Scene, tmp_path: Path) -> None:
    first = scenes.active()
    bpy.ops.cteg.change_region(region="MOUTH", scale=0.4, mute=False)
    bpy.ops.cteg.play_only(preset="NO_EYES_HEAD")
    stage.cteg_fields.smoothing = 0.1
    assert bpy.ops.cteg.add_mix(name="Only the face") == {"FINISHED"}
    file = next(Path(folder) / "Only_the_face.py" for folder in bpy.utils.preset_paths("cteg/mixes"))
    assert file.is_file() and "fields.mix = " in file.read_text()
    other = perform(stage.cteg.target, 100)
    cast.choose_line(stage, other.id)
    assert bpy.ops.script.execute_preset(filepath=str(file), menu_idname="CTEG_PT_mixes") == {"FINISHED"}
    mixed = scenes.active()
    assert mixed.id == other.id != first.id and mixed.smoothing == pytest.approx(0.1)
    assert mixed.regions["mouth"].scale == pytest.approx(0.4)
    assert {name for name, region in mixed.regions.items() if region.mute} == {"eyes", "head"}
    stage.cteg_fields.mix = "{}"
    assert "This preset cannot be used" in cast.character(stage).refusal and scenes.active().regions == mixed.regions
    file.unlink()


def test_moods_and_characters_are_files_of_their_own(stage: bpy.types.Scene) -> None:
    settings = stage.cteg
    settings.emotion, settings.emotion_with, settings.share, settings.intensity = "fear", "anger", 0.3, 1.2
    settings.energy, settings.rate = 0.7, 0.8
    bpy.ops.cteg.add_mood(name="Cornered")
    bpy.ops.cteg.add_manner(name="The old clerk")
    mood = next(Path(folder) / "Cornered.py" for folder in bpy.utils.preset_paths("cteg/moods"))
    manner = next(Path(folder) / "The_old_clerk.py" for folder in bpy.utils.preset_paths("cteg/characters"))
    settings.emotion, settings.energy, settings.rate, settings.intensity = "joy", 1.0, 1.0, 1.0
    bpy.ops.script.execute_preset(filepath=str(mood), menu_idname="CTEG_PT_moods")
    assert (settings.emotion, settings.emotion_with, settings.energy) == ("fear", "anger", 1.0)
    assert settings.intensity == pytest.approx(1.2)
    bpy.ops.script.execute_preset(filepath=str(manner), menu_idname="CTEG_PT_manners")
    assert (settings.energy, settings.rate) == (pytest.approx(0.7), pytest.approx(0.8))
    assert not set(presets.MOOD) & set(presets.MANNER) and not presets.OF_THE_LINE & {*presets.MOOD, *presets.MANNER}
    for name, add in (("Cornered", bpy.ops.cteg.add_mood), ("The old clerk", bpy.ops.cteg.add_manner)):
        assert add(name=name, remove_name=True) == {"FINISHED"}
    assert not mood.exists() and not manner.exists()


def test_a_mix_as_text_is_read_again_and_checked() -> None:
    line = replace(
        PLAIN, intensity=0.8, smoothing=0.1, regions={"eyes": Region("TAKE", 0.5, True, ((0.0, 1.0), (1.0, 0.0)))}
    )
    assert replace(PLAIN, **mix_of(mix_text(line))) == line
    for wrong in ("", "[]", "{}", mix_text(line).replace("0.8", "99"), mix_text(line).replace("[1.0,", "[-1.0,")):
        with pytest.raises(StoredError):
            mix_of(wrong)


def test_a_damaged_course_is_named() -> None:
    stored = (Path(__file__).parent / "data" / "versions" / "line_2.json").read_text("utf-8")
    line = _line("id", stored)
    assert line.regions["mouth"].course == ((0.0, 1.0), (0.5, 0.2)) and line.smoothing == 0.05
    damaged = json.loads(stored)
    damaged["regions"]["mouth"]["course"][1][0] = 7
    with pytest.raises(StoredError, match="its course is"):
        _line("id", json.dumps(damaged))
