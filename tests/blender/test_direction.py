# SPDX-License-Identifier: GPL-3.0-or-later
"""Directing in Blender: second emotions, texts, segments, variations and branches, against a scripted generator."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import bpy
import pytest

from blender_cteg import cast, cli
from blender_cteg.operators import lines, perform, reading
from blender_cteg.performance import store
from blender_cteg.performance.lines import Lines, clip_of
from blender_cteg.performance.record import Take
from blender_cteg.segments import Stage
from blender_cteg.ui import understood
from tests.blender.scenes import active
from tests.blender.test_operators import add_face, drawn, frames_of, plays, said_by, shown, snapshot
from tests.blender.test_operators import seeds as seeds_of


@pytest.fixture(autouse=True)
def asked(scripted: bpy.types.Scene) -> None:
    """A face is the target, and what is asked for is short."""
    settings = scripted.cteg
    settings.target, settings.text, settings.seconds, settings.takes = add_face(), "Hello there.", 1.0, 2


def seeds() -> list[int]:
    return seeds_of(active())


def times(take: Take) -> list[float]:
    """When the sounds of a take begin."""
    return [] if take.timeline is None else [p.start for word in take.timeline.words for p in word.phonemes]


def show(take: int) -> None:
    """Show another take of the active line."""
    scene = bpy.context.scene
    Lines(scene, cast.character(scene).rig).show(active().id, take)
    cast.refresh(scene)


# --- settings ---------------------------------------------------------------------------------------------------------


def test_what_is_set_is_asked_for_and_stored(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    settings.emotion, settings.emotion_to, settings.rate, settings.seconds = "joy", "sadness", 0.5, 0.0
    bpy.ops.cteg.perform()
    asked = shown().settings
    assert (asked["emotion_requested"], asked["emotion_to"], asked["rate"], asked["spread"]) == (
        "joy", "sadness", 0.5, True,
    )  # fmt: skip
    assert (active().start, active().end) == (1.0, 49.0)
    bpy.ops.cteg.perform(text="Other.", emotion_to="none", rate=2.0, spread=False)
    asked = shown().settings
    assert (asked["emotion_to"], asked["rate"], asked["spread"]) == (None, 2.0, False)
    assert (settings.emotion_to, settings.rate) == ("sadness", 0.5)


def test_the_most_different_takes_use_up_all_seeds_they_were_chosen_from(scene: bpy.types.Scene) -> None:
    scene.cteg.seed = 10
    bpy.ops.cteg.perform()
    assert seeds() == [10, 17]
    bpy.ops.cteg.perform(mode="RESAMPLE")
    assert seeds() == [10, 17, 18, 25]
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)  # one take differs from nothing, so nothing else is drawn
    assert seeds() == [10, 17, 18, 25, 26]
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)
    assert seeds()[-1] == 27


def test_a_text_is_performed_instead_of_the_line(scene: bpy.types.Scene) -> None:
    text = bpy.data.texts.new("Dialogue")
    scene.cteg.text_source = text
    with pytest.raises(RuntimeError, match="Type the line"):
        bpy.ops.cteg.perform()
    text.from_string("One line.\nAnother one.\n")
    bpy.ops.cteg.perform(takes=1)
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)
    assert seeds() == [0, 1]
    assert "Another one." in active().text
    bpy.ops.cteg.perform(text="An argument goes first.", takes=1)
    assert active().text == "An argument goes first."
    bpy.data.texts.remove(text)
    assert scene.cteg.line() == "Hello there."


# --- what was understood ----------------------------------------------------------------------------------------------

LINE = "You came back. I thought I had lost you. (seething) Get out."


def test_segments_are_stored_and_lead_to_their_frames(scene: bpy.types.Scene) -> None:
    scene.render.fps = 48
    scene.cteg.seconds = 3.0
    bpy.ops.cteg.perform(text=LINE, takes=1, start_frame=100)
    segments = shown().segments
    assert [(s.text, s.source, s.emotion) for s in segments] == [
        ("You came back.", "words", "joy"),
        ("I thought I had lost you.", "words", "joy"),
        ("Get out.", "direction", "anger"),
    ]
    assert [s.start for s in segments] == [0, 24, 48]
    for index, frame in enumerate((100, 148, 196)):
        assert bpy.ops.cteg.go_to_segment(index=index) == {"FINISHED"}
        assert scene.frame_current == frame
    with pytest.raises(RuntimeError, match="Segments of the shown take: 3; none is number 3"):
        bpy.ops.cteg.go_to_segment(index=3)


def test_another_emotion_for_a_segment_is_written_into_the_line(scene: bpy.types.Scene) -> None:
    scene.cteg.text = LINE
    face = scene.cteg.target
    bpy.ops.cteg.perform(takes=1)
    keys, said = plays(face, 1, 25), times(shown())
    assert bpy.ops.cteg.direct_segment(index=1, emotion="sadness") == {"FINISHED"}
    assert scene.cteg.text == "You came back. [sadness] I thought I had lost you. (seething) Get out."
    assert plays(face, 1, 25) == keys
    bpy.ops.cteg.direct_segment(index=2, emotion="fear")  # several at once, and a change of mind
    bpy.ops.cteg.direct_segment(index=2, emotion="disgust")
    assert scene.cteg.text == "You came back. [sadness] I thought I had lost you. [disgust] Get out."
    bpy.ops.cteg.perform(takes=1)
    assert times(shown()) == said != []
    assert [(s.emotion, s.direction) for s in shown().segments] == [
        ("joy", None), ("sadness", "[sadness]"), ("disgust", "[disgust]"),
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="no emotion called 'hunger'"):
        bpy.ops.cteg.direct_segment(index=0, emotion="hunger")
    scene.cteg.text = "Something else."
    with pytest.raises(RuntimeError, match="generate it first, then direct it"):
        bpy.ops.cteg.direct_segment(index=0, emotion="joy")


def test_a_text_is_directed_in_place(scene: bpy.types.Scene) -> None:
    text = bpy.data.texts.new("Dialogue")
    text.from_string("One thing.\n\nAnother thing.\n")
    scene.cteg.text_source = text
    bpy.ops.cteg.perform(takes=1)
    bpy.ops.cteg.direct_segment(index=1, emotion="fear")
    assert text.as_string().rstrip() == "One thing.\n\n[fear] Another thing."
    assert scene.cteg.text == "Hello there."


def test_takes_of_an_older_version_go_on_working(scene: bpy.types.Scene, capfd: pytest.CaptureFixture[str]) -> None:
    bpy.ops.cteg.perform(takes=1, seed=3)
    group = scene.cteg.target.data.shape_keys.animation_data.action[store.LINES_PROPERTY][active().id]
    stored = json.loads(group["record"])
    (take,) = stored["takes"]
    take["segments"], take["timeline"] = [], None
    for name in (
        "emotion_to",
        "rate",
        "spread",
        "branch",
        "vary",
        "timing",
        "vary_timing",
        "language",
        "ending",
        "begin",
    ):
        del take["settings"][name]
    group["record"] = json.dumps(stored)
    cast.refresh(scene)
    with pytest.raises(RuntimeError, match="does not say how its line was understood"):
        bpy.ops.cteg.go_to_segment(index=0)
    bpy.ops.cteg.perform(mode="VARY", takes=1)
    varied = shown()
    assert varied.settings["vary"] == {"seed": 3, "amount": 0.3}
    assert varied.settings["ending"] == "rest" and varied.timeline is not None
    assert "An earlier CTEG made the shown take" in capfd.readouterr().out
    scene.frame_set(10)
    bpy.ops.cteg.perform(mode="BRANCH", takes=1)
    assert "An earlier CTEG" not in capfd.readouterr().out


def test_a_line_goes_on_from_the_face_that_the_line_before_it_has_left(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    settings.ending = "held"
    bpy.ops.cteg.perform(takes=1, text="Stay here.", seed=5)
    before = active()
    left = [round(float(value), 4) for value in clip_of(cast.character(scene).rig, before).values[-1]]
    for start, begins, name in (
        (before.end - 3, left, "met"), (before.end + 12, left, "near"), (before.end + 200, None, "far"),
    ):  # fmt: skip
        scene.frame_set(round(start))
        bpy.ops.cteg.perform(takes=1, text=f"I am {name}.", ending="rest")
        assert (shown().settings["begin"], shown().settings["ending"]) == (begins, "rest")
    near = next(line for line in cast.character(scene).lines if line.text == "I am near.")
    scene.frame_set(round(near.start) + 5)
    cast.choose_line(scene, near.id)
    bpy.ops.cteg.perform(mode="VARY", takes=1)
    assert shown().settings["begin"] == left, "variations begin as the take does"
    scene.frame_set(round(near.end) + 3)  # that one came to rest
    bpy.ops.cteg.perform(takes=1, text="Nothing is left.")
    assert shown().settings["begin"] is None


# --- more of the shown take -------------------------------------------------------------------------------------------


def test_variations_are_near_the_shown_take_and_begin_where_it_does(scene: bpy.types.Scene) -> None:
    face = scene.cteg.target
    scene.frame_set(20)
    bpy.ops.cteg.perform(emotion="joy", intensity=1.5)
    scene.cteg.text, scene.cteg.emotion, scene.cteg.seconds = "Quite another line.", "anger", 4.0
    scene.frame_set(70)
    assert bpy.ops.cteg.perform(mode="VARY", amount=perform.A_LITTLE) == {"FINISHED"}
    (line,) = said_by()
    assert seeds_of(line) == [0, 7, 8, 9]
    assert (line.shown, line.start, line.end, line.text) == (2, 20.0, 44.0, "Hello there.")
    new = [0.7 * a + 0.3 * b for a, b in zip(drawn(0), drawn(8), strict=True)]
    assert plays(face, 26, 38) == pytest.approx(new[6:19], abs=0.01)
    asked = line.takes[2].settings
    assert (asked["emotion_requested"], asked["intensity"]) == ("joy", 1.5)
    assert asked["vary"] == {"seed": 0, "amount": 0.3}
    assert line.takes[2].origin == "near 0"


def test_a_branch_keeps_what_comes_before_the_playhead(scene: bpy.types.Scene) -> None:
    face = scene.cteg.target
    scene.render.fps = 48
    scene.frame_set(11)
    bpy.ops.cteg.perform(takes=1, seed=5, blend=0)
    scene.frame_set(11 + 20)
    assert bpy.ops.cteg.perform(mode="BRANCH", takes=1, reduction=0.0) == {"FINISHED"}
    assert shown().settings["branch"] == {"seed": 5, "frame": 10}
    assert (active().start, active().end) == (11.0, 59.0)
    assert plays(face, 11, 59)[::2] == pytest.approx(drawn(5)[:10] + drawn(6)[10:], abs=1e-3)
    assert shown().origin == "5 until 0.4 s"


def test_a_line_that_was_moved_is_branched_where_it_is_seen(scene: bpy.types.Scene) -> None:
    face = scene.cteg.target
    scene.frame_set(11)
    bpy.ops.cteg.perform(takes=1, seed=5)
    data = face.data.shape_keys.animation_data
    for fcurve in data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves:
        for point in fcurve.keyframe_points:
            point.co.x += 100
            point.handle_left.x += 100
            point.handle_right.x += 100
        fcurve.update()
    scene.frame_set(121)
    bpy.ops.cteg.perform(mode="BRANCH", takes=1)
    assert shown().settings["branch"] == {"seed": 5, "frame": 10}
    assert (active().start, active().end) == (111.0, 135.0)


@pytest.mark.parametrize("frame", [-5, 10, 34, 90])
def test_a_branch_wants_the_playhead_inside_the_take(scene: bpy.types.Scene, frame: int) -> None:
    scene.frame_set(10)
    bpy.ops.cteg.perform()
    scene.frame_set(frame)
    before = snapshot()
    with pytest.raises(RuntimeError, match="between frames 10 and 34"):
        bpy.ops.cteg.perform(mode="BRANCH")
    assert snapshot() == before
    scene.frame_set(11)
    assert perform.disabled_reason(bpy.context, "BRANCH") == ""


def test_more_of_a_take_wants_a_shown_take(scene: bpy.types.Scene) -> None:
    with pytest.raises(RuntimeError, match="shows no take"):
        bpy.ops.cteg.perform(mode="VARY")
    bpy.ops.cteg.perform(takes=1, seed=4)
    bpy.ops.cteg.perform(mode="VARY", takes=1)
    varied = shown()
    bpy.ops.cteg.perform(mode="VARY", takes=1)
    second = shown().settings["vary"]
    assert second["seed"] == varied.seed != 4
    assert second["of"] == {"branch": None, "vary": {"seed": 4, "amount": 0.3}}
    show(0)
    bpy.ops.cteg.perform(mode="VARY", takes=1)
    assert shown().settings["vary"] == {"seed": 4, "amount": 0.3}
    show(-1)
    with pytest.raises(RuntimeError, match="shows no take"):
        bpy.ops.cteg.perform(mode="VARY")
    scene.cteg.target = None
    with pytest.raises(RuntimeError, match="Choose the face"):
        bpy.ops.cteg.perform(mode="BRANCH")


@pytest.mark.parametrize("arguments", [{"text": "Other."}, {"start_frame": 3}, {"timeline": "x.json"}])
@pytest.mark.parametrize("mode", ["VARY", "BRANCH"])
def test_more_of_a_take_is_of_its_line(scene: bpy.types.Scene, mode: str, arguments: dict[str, object]) -> None:
    bpy.ops.cteg.perform(takes=1)
    with pytest.raises(RuntimeError, match=f"{next(iter(arguments))} cannot be given for more takes of a line"):
        bpy.ops.cteg.perform(mode=mode, **arguments)


def test_what_is_given_goes_before_what_the_shown_take_was_asked(scene: bpy.types.Scene) -> None:
    bpy.ops.cteg.perform(takes=1, emotion="joy")
    scene.cteg.emotion = "fear"
    bpy.ops.cteg.perform(mode="VARY", takes=1, emotion="anger", seed=70)
    assert (shown().seed, shown().settings["emotion_requested"]) == (70, "anger")


def test_another_character_is_varied_where_the_playhead_is(scene: bpy.types.Scene) -> None:
    other = add_face("Other")
    bpy.ops.cteg.perform(target="Other", takes=1, seed=3, start_frame=1)
    bpy.ops.cteg.perform(target="Other", takes=1, seed=8, start_frame=50)
    scene.frame_set(52)
    bpy.ops.cteg.perform(target="Other", mode="VARY", takes=1)
    assert [seeds_of(line) for line in said_by(other)] == [[3], [8, 9]]
    assert said_by() == ()


def test_amounts_must_be_numbers(scene: bpy.types.Scene) -> None:
    bpy.ops.cteg.perform(takes=1)
    with pytest.raises(RuntimeError, match="Amount must be a number, not nan"):
        bpy.ops.cteg.perform(mode="VARY", amount=float("nan"))


# --- what the mouth says ----------------------------------------------------------------------------------------------


def test_timing_and_language_are_asked_for_and_stored(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    bpy.ops.cteg.perform(takes=2, spread=False)
    first, second = active().takes
    assert times(first) == times(second) != []
    settings.timing, settings.language = 3, "de"
    bpy.ops.cteg.perform(takes=1)
    assert times(shown()) != times(first)
    asked = shown().settings
    assert (asked["timing"], asked["language"], shown().timeline.language) == (3, "de", "de")
    bpy.ops.cteg.perform(takes=2, spread=False, timing=0, vary_timing=True, language="auto")
    first, second = active().takes[-2:]
    assert times(first) != times(second)
    assert first.settings["vary_timing"] is True
    assert (settings.timing, settings.vary_timing, settings.language) == (3, False, "de")


def test_what_is_made_from_a_take_says_the_line_as_it_does(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    bpy.ops.cteg.perform(takes=3, spread=False, vary_timing=True, timing=1)
    show(2)
    wanted = times(shown())
    settings.timing, settings.vary_timing = 7, False
    settings.timeline_source = bpy.data.texts.new("Not asked for")
    bpy.ops.cteg.perform(mode="VARY", takes=2)
    for take in active().takes[-2:]:
        assert times(take) == wanted
        asked = take.settings
        assert (asked["timing"], asked["vary_timing"]) == (1, True)
    scene.frame_set(12)
    bpy.ops.cteg.perform(mode="BRANCH", takes=1)
    assert times(shown()) == wanted


def test_a_timeline_travels_and_is_performed(scene: bpy.types.Scene, tmp_path: Path) -> None:
    settings, path = scene.cteg, tmp_path / "times é.json"
    with pytest.raises(RuntimeError, match="No take is shown"):
        bpy.ops.cteg.save_timeline(filepath=str(path))
    bpy.ops.cteg.perform(takes=1)
    assert bpy.ops.cteg.save_timeline(filepath=str(path)) == {"FINISHED"}
    data = json.loads(path.read_text("utf-8"))
    assert data["words"] == shown().timeline.to_json()["words"]
    assert len(path.read_text("utf-8").splitlines()) < 30  # a word on each line: edited by hand
    data["words"][0]["phonemes"][0][1] = 0.05
    path.write_text(json.dumps(data), "utf-8")
    assert bpy.ops.cteg.use_timeline(filepath=str(path)) == {"FINISHED"}
    assert settings.timeline_source.name == "times é.json"
    bpy.ops.cteg.perform(takes=2)
    assert all(times(take)[0] == 0.05 for take in active().takes[-2:])
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)
    assert times(shown())[0] == 0.05
    bpy.data.texts.remove(settings.timeline_source)
    bpy.ops.cteg.perform(takes=1)
    assert times(shown())[0] != 0.05
    bpy.ops.cteg.perform(takes=1, timeline=str(path))
    assert times(shown())[0] == 0.05
    assert settings.timeline_source is None


def test_a_full_disk_leaves_the_old_timeline(
    scene: bpy.types.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bpy.ops.cteg.perform(takes=1)
    path = tmp_path / "times.json"
    path.write_text("precious", "utf-8")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RuntimeError, match=r"times\.json cannot be written \(No space left on device\)"):
        bpy.ops.cteg.save_timeline(filepath=str(path))
    assert path.read_text("utf-8") == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_timeline_brings_its_line_where_none_was_typed(scene: bpy.types.Scene, tmp_path: Path) -> None:
    path = tmp_path / "aligned.json"
    path.write_text('{"words": [{"text": "Bob!", "phonemes": [["B", 0.1, 0.2], ["AA1", 0.2, 0.3], ["B", 0.3, 0.4]]}]}')
    scene.cteg.text = ""
    bpy.ops.cteg.use_timeline(filepath=str(path))
    assert scene.cteg.text == "Bob!"
    scene.cteg.text = "[joy] Bob!"
    bpy.ops.cteg.use_timeline(filepath=str(path))
    assert scene.cteg.text == "[joy] Bob!"
    path.write_text('{"words": [{"text": "B\\ud800b", "phonemes": [["B", 0.1, 0.2]]}]}')
    scene.cteg.text = ""
    bpy.ops.cteg.use_timeline(filepath=str(path))
    assert scene.cteg.text == "B?b"


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (b"", "is not JSON"), (b"\xff\xfe\x00", "is not text"), (b"[1", "is not JSON"), (b"[" * 100_000, "too deeply"),
        (b"[]", "must be a JSON object"), (b'{"words": 3}', "list of words"),
        (b'{"words": [{"text": "a", "phonemes": [["AA", 1, NaN]]}]}', "NaN where a number belongs"),
        (b'{"words": [{"text": "a", "phonemes": [["AA", 0, 1], ["B", 0.5, 2]]}]}', "overlap"),
        (b" " * 3_000_000, "has 3 MB"), (None, "cannot be read"),
    ],
)  # fmt: skip
def test_a_bad_timeline_is_a_sentence_and_changes_nothing(
    scene: bpy.types.Scene, tmp_path: Path, written: bytes | None, sentence: str
) -> None:
    path = tmp_path / "bad.json"
    if written is not None:
        path.write_bytes(written)
    before = snapshot()
    with pytest.raises(RuntimeError, match=rf"bad\.json.*{sentence}"):
        bpy.ops.cteg.use_timeline(filepath=str(path))
    with pytest.raises(RuntimeError, match=rf"bad\.json.*{sentence}"):
        bpy.ops.cteg.perform(timeline=str(path))
    assert snapshot() == before


def test_a_timeline_that_was_broken_by_hand_is_refused(scene: bpy.types.Scene) -> None:
    scene.cteg.timeline_source = text = bpy.data.texts.new("Times")
    text.from_string('{"words": [')
    before = snapshot()
    with pytest.raises(RuntimeError, match=r"Times cannot be read \(it is not JSON"):
        bpy.ops.cteg.perform()
    assert snapshot() == before


# --- long takes -------------------------------------------------------------------------------------------------------


def test_the_scene_is_extended_only_when_asked(scene: bpy.types.Scene) -> None:
    scene.frame_end = 20
    with pytest.raises(RuntimeError, match="There is no line yet"):
        bpy.ops.cteg.extend_scene()
    bpy.ops.cteg.perform(takes=1)
    assert scene.frame_end == 20
    assert lines.CTEG_OT_extend_scene.reason(bpy.context) == ""
    bpy.ops.cteg.extend_scene()
    assert scene.frame_end == 25
    with pytest.raises(RuntimeError, match="end within the scene"):
        bpy.ops.cteg.extend_scene()


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_directs_too(scene: bpy.types.Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = tmp_path / "line.txt"
    line.write_text("\ufeffOne café.\nAnother.", "utf-8")
    output = ["--output", str(tmp_path / "out.blend")]
    told = ["generate", "--text-file", str(line), "--takes", "1", "--emotion-to", "fear", "--rate", "0.5", *output]
    assert cli.run([*told, "--seed", "3"]) == 0
    assert active().text.split() == ["One", "café.", "Another."]
    assert (shown().settings["emotion_to"], shown().settings["rate"]) == ("fear", 0.5)
    more = ["generate", "--takes", "2", *output]
    assert cli.run([*more, "--mode", "VARY", "--amount", "0.5"]) == 0
    assert shown().settings["vary"] == {"seed": 3, "amount": 0.5}
    assert capsys.readouterr().out.splitlines()[-3:-1] == ["cteg:   Joy, seed 4, near 3", "cteg:   Joy, seed 5, near 3"]
    scene.frame_set(13)
    assert cli.run([*more, "--mode", "BRANCH", "--spread"]) == 0
    asked = shown().settings
    assert (asked["spread"], asked["branch"]["seed"], asked["branch"]["frame"]) == (True, 4, 12)
    assert cli.run([*more, "--mode", "RESAMPLE", "--text", "Hi."]) == 1
    assert "Generate this line first" in capsys.readouterr().err
    assert cli.run([*more, "--mode", "BRANCH", "--amount", "half"]) == 2
    assert cli.run(["generate", *output]) == 2
    assert "--text" in capsys.readouterr().err
    saved = tmp_path / "times.json"
    bpy.ops.cteg.save_timeline(filepath=str(saved))
    spoken = ["--timing", "5", "--vary-timing", "--language", "pl", "--reduction", "0", "--takes", "1"]
    assert cli.run(["generate", "--text", "Hello again.", *spoken, "--start-frame", "200", *output]) == 0
    asked = shown().settings
    assert (asked["timing"], asked["vary_timing"], asked["language"]) == (5, True, "pl")
    assert len([frame for frame in frames_of(scene.cteg.target) if frame >= 200]) == 25
    assert cli.run(["generate", "--text", "Hi.", "--timeline", str(saved), "--takes", "1", *output]) == 0
    assert shown().timeline.to_json()["words"] == json.loads(saved.read_text("utf-8"))["words"]
    assert cli.run(["generate", "--text", "Hi.", "--language", "tlh", *output]) == 2
    assert cli.run(["generate", "--text", "Hi.", "--timeline", str(tmp_path / "none.json"), *output]) == 1
    assert "none.json cannot be read" in capsys.readouterr().err
    line.write_bytes(b"\xff\xfe\x00")
    assert cli.run(["generate", "--text-file", str(line), *output]) == 1
    assert "cannot be read (it is not text)" in capsys.readouterr().err
    assert cli.run(["generate", "--text-file", str(tmp_path / "none.txt"), *output]) == 1
    assert "none.txt" in capsys.readouterr().err


# --- reading before performing ----------------------------------------------------------------------------------------


def test_a_line_is_read_before_it_is_performed(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    settings.text = "(sighs) Hello there."
    before = snapshot()
    assert bpy.ops.cteg.read_line() == {"FINISHED"}
    (segment,) = reading.reading(bpy.context)
    assert (segment.emotion, segment.stage[0].name) == ("joy", "sigh") and snapshot() == before
    assert understood.beside(segment.stage[0]) == "(sighs) → Sigh"
    assert "note" in understood.beside(Stage("note", "to Anna", "Anna"))
    assert "not played" in understood.beside(Stage("action", "gets up"))
    assert understood.CTEG_PT_understood.poll(bpy.context)
    settings.text = "Something else."
    assert reading.reading(bpy.context) == ()  # what is shown is of the line that is there
    settings.text = "nothing"
    with pytest.raises(RuntimeError, match="did not say how it understands"):
        bpy.ops.cteg.read_line()
    settings.text = " "
    assert not bpy.ops.cteg.read_line.poll()
