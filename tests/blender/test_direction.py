# SPDX-License-Identifier: GPL-3.0-or-later
"""Directing in Blender: second emotions, texts, segments, variations and branches, against a scripted generator."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest

import blender_cteg
from blender_cteg import cli as commands
from blender_cteg import desk
from blender_cteg.operators import branch, extend, vary
from blender_cteg.performance import keyframes
from blender_cteg.worker import session
from blender_cteg.worker.locate import WorkerCommand
from tests.blender.fake_worker import CHANNELS, values
from tests.blender.test_operators import FAKE, add_face, curve, snapshot


def behind_the_door(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    started = WorkerCommand((sys.executable, str(FAKE), mode), str(FAKE.parent), tuple(os.environ.items()))
    monkeypatch.setattr(session, "command", lambda _python: started)


@pytest.fixture(autouse=True)
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[bpy.types.Scene]:
    """A scene with a face as the target, the extension registered, and the scripted generator behind the door."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    behind_the_door(monkeypatch, "serve")
    blender_cteg.register()
    scene = bpy.context.scene
    settings = scene.cteg
    settings.target, settings.text, settings.seconds, settings.takes = add_face(), "Hello there.", 1.0, 2
    yield scene
    blender_cteg.unregister()


def made(take: bpy.types.Action | None) -> dict[str, Any]:
    data = keyframes.provenance(take)
    assert data is not None
    return data


def seeds() -> list[int]:
    return [made(take)["seed"] for take in desk.takes_of(bpy.context.scene.cteg.target)]


def brow(take: bpy.types.Action) -> list[float]:
    """What a take does where it does not speak."""
    return [point.co[1] for point in curve(take, "browInnerUp").keyframe_points]


def times(take: bpy.types.Action | None) -> list[float]:
    """When the sounds of a take begin."""
    return [start for word in made(take)["timeline"]["words"] for _, start, _ in word["phonemes"]]


def played(seed: int, frames: int = 25) -> list[float]:
    return [row[CHANNELS.index("browInnerUp")] for row in values(seed, frames)]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_what_is_set_is_asked_for_and_stored(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    settings.emotion, settings.emotion_to, settings.rate, settings.seconds = "joy", "sadness", 0.5, 0.0
    bpy.ops.cteg.generate()
    take = desk.takes_of(settings.target)[0]
    asked = made(take)["settings"]
    assert (asked["emotion_requested"], asked["emotion_to"], asked["rate"], asked["spread"]) == (
        "joy", "sadness", 0.5, True,
    )  # fmt: skip
    assert tuple(take.frame_range) == (1.0, 49.0)
    bpy.ops.cteg.generate(text="Other.", emotion_to="none", rate=2.0, spread=False)
    asked = made(desk.shown_take(settings.target))["settings"]
    assert (asked["emotion_to"], asked["rate"], asked["spread"]) == (None, 2.0, False)
    assert (settings.emotion_to, settings.rate) == ("sadness", 0.5)


def test_the_most_different_takes_use_up_all_seeds_they_were_chosen_from(scene: bpy.types.Scene) -> None:
    scene.cteg.seed = 10
    bpy.ops.cteg.generate()
    assert seeds() == [10, 17]
    bpy.ops.cteg.resample()
    assert seeds() == [10, 17, 18, 25]
    bpy.ops.cteg.resample(takes=1)  # one take differs from nothing, so nothing else is drawn
    assert seeds() == [10, 17, 18, 25, 26]
    bpy.ops.cteg.resample(takes=1)
    assert seeds()[-1] == 27


def test_an_older_generator_performs_what_it_can(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    behind_the_door(monkeypatch, "plain")
    assert session.offers("vary")  # nobody knows better before it was started
    bpy.ops.cteg.generate(takes=3, seed=4)
    assert seeds() == [4, 5, 6]
    assert not session.offers("vary") and not session.offers("spread")
    before = snapshot()
    with pytest.raises(RuntimeError, match="same CTEG zip"):
        bpy.ops.cteg.vary()
    with pytest.raises(RuntimeError, match="too old for emotion_to"):
        bpy.ops.cteg.generate(emotion_to="joy")
    assert snapshot() == before


def test_a_text_is_performed_instead_of_the_line(scene: bpy.types.Scene) -> None:
    text = bpy.data.texts.new("Dialogue")
    scene.cteg.text_source = text
    with pytest.raises(RuntimeError, match="Type the line"):
        bpy.ops.cteg.generate()
    text.from_string("One line.\nAnother one.\n")
    bpy.ops.cteg.generate(takes=1)
    bpy.ops.cteg.resample(takes=1)
    assert seeds() == [0, 1]
    assert "Another one." in made(desk.shown_take(scene.cteg.target))["text"]
    bpy.ops.cteg.generate(text="An argument goes first.", takes=1)
    assert made(desk.shown_take(scene.cteg.target))["text"] == "An argument goes first."
    bpy.data.texts.remove(text)
    assert scene.cteg.line() == "Hello there."


# --- what was understood ----------------------------------------------------------------------------------------------

LINE = "You came back. I thought I had lost you. (seething) Get out."


def test_segments_are_stored_and_lead_to_their_frames(scene: bpy.types.Scene) -> None:
    scene.render.fps = 48
    scene.cteg.seconds = 3.0
    bpy.ops.cteg.generate(text=LINE, takes=1, start_frame=100)
    segments = desk.segments_of(made(desk.shown_take(scene.cteg.target)))
    assert [(s.text, s.source, s.emotion) for s in segments] == [
        ("You came back.", "words", "joy"),
        ("I thought I had lost you.", "words", "joy"),
        ("Get out.", "direction", "anger"),
    ]
    assert [s.start for s in segments] == [0, 24, 48]
    for index, frame in enumerate((100, 148, 196)):
        assert bpy.ops.cteg.go_to_segment(index=index) == {"FINISHED"}
        assert scene.frame_current == frame
    with pytest.raises(RuntimeError, match="has 3 segments and none is number 3"):
        bpy.ops.cteg.go_to_segment(index=3)


def test_another_emotion_for_a_segment_is_written_into_the_line(scene: bpy.types.Scene) -> None:
    scene.cteg.text = LINE
    bpy.ops.cteg.generate(takes=1)
    keys, said = brow(desk.shown_take(scene.cteg.target)), times(desk.shown_take(scene.cteg.target))
    assert bpy.ops.cteg.direct_segment(index=1, emotion="sadness") == {"FINISHED"}
    assert scene.cteg.text == "You came back. [sadness] I thought I had lost you. (seething) Get out."
    assert brow(desk.shown_take(scene.cteg.target)) == keys
    bpy.ops.cteg.direct_segment(index=2, emotion="fear")  # several at once, and a change of mind
    bpy.ops.cteg.direct_segment(index=2, emotion="disgust")
    assert scene.cteg.text == "You came back. [sadness] I thought I had lost you. [disgust] Get out."
    bpy.ops.cteg.generate(takes=1)
    assert times(desk.shown_take(scene.cteg.target)) == said != []
    segments = desk.segments_of(made(desk.shown_take(scene.cteg.target)))
    assert [(s.emotion, s.direction) for s in segments] == [
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
    bpy.ops.cteg.generate(takes=1)
    bpy.ops.cteg.direct_segment(index=1, emotion="fear")
    assert text.as_string().rstrip() == "One thing.\n\n[fear] Another thing."
    assert scene.cteg.text == "Hello there."


def test_takes_of_an_older_version_go_on_working(scene: bpy.types.Scene, capfd: pytest.CaptureFixture[str]) -> None:
    bpy.ops.cteg.generate(takes=1, seed=3)
    take = desk.shown_take(scene.cteg.target)
    stored = json.loads(take["cteg"])
    for name in ("segments", "last_seed", "timeline", "speech_scale"):
        del stored[name]
    for name in ("emotion_to", "rate", "spread", "branch", "vary", "timing", "vary_timing", "language", "layered"):
        del stored["settings"][name]
    take["cteg"] = json.dumps({**stored, "schema_version": 1})
    assert desk.takes_of(scene.cteg.target) == [take]
    with pytest.raises(RuntimeError, match="does not say how its line was understood"):
        bpy.ops.cteg.go_to_segment(index=0)
    bpy.ops.cteg.vary(takes=1)
    varied = made(desk.shown_take(scene.cteg.target))
    assert varied["settings"]["vary"] == {"seed": 3, "amount": 0.3}
    # Its seed means a take of one layer, and so do those of its variations.
    assert (varied["settings"]["layered"], varied["timeline"]) == (False, None)
    assert "do not say the line with their mouth" in capfd.readouterr().out
    scene.frame_set(10)
    bpy.ops.cteg.branch(takes=1)
    assert made(desk.shown_take(scene.cteg.target))["settings"]["layered"] is False
    capfd.readouterr()
    bpy.ops.cteg.resample(takes=1)
    fresh = made(desk.shown_take(scene.cteg.target))
    assert fresh["settings"]["layered"] is True and fresh["timeline"]["words"]
    assert "with their mouth" not in capfd.readouterr().out


# --- more of the shown take -------------------------------------------------------------------------------------------


def test_variations_are_near_the_shown_take_and_begin_where_it_does(scene: bpy.types.Scene) -> None:
    scene.frame_set(20)
    bpy.ops.cteg.generate(emotion="joy", intensity=1.5)
    first = desk.takes_of(scene.cteg.target)[0]
    keys = brow(first)
    scene.frame_set(70)
    scene.cteg.text, scene.cteg.emotion, scene.cteg.seconds = "Quite another line.", "anger", 4.0
    assert bpy.ops.cteg.vary(amount=vary.A_LITTLE) == {"FINISHED"}
    assert seeds() == [0, 7, 8, 9]
    new = desk.takes_of(scene.cteg.target)[2]
    assert desk.shown_take(scene.cteg.target) == new
    assert tuple(new.frame_range) == tuple(first.frame_range) == (20.0, 44.0)
    assert brow(new) == pytest.approx([0.7 * a + 0.3 * b for a, b in zip(played(0), played(8), strict=True)], abs=1e-5)
    assert brow(first) == keys
    asked = made(new)["settings"]
    assert (made(new)["text"], asked["emotion_requested"], asked["intensity"]) == ("Hello there.", "joy", 1.5)
    assert asked["vary"] == {"seed": 0, "amount": 0.3}
    assert new.name == "Hello there. (Joy, seed 8, near 0)"


def test_a_branch_keeps_what_comes_before_the_playhead(scene: bpy.types.Scene) -> None:
    scene.render.fps = 48
    scene.frame_set(11)
    bpy.ops.cteg.generate(takes=1, seed=5)
    scene.frame_set(11 + 20)
    scene.render.fps = 24  # the animator changed their mind: the clip's frames count
    assert bpy.ops.cteg.branch(takes=1) == {"FINISHED"}
    new = desk.shown_take(scene.cteg.target)
    assert made(new)["settings"]["branch"] == {"seed": 5, "frame": 20}
    assert made(new)["start_frame"] == 11
    assert brow(new) == pytest.approx(played(5)[:20] + played(6)[20:], abs=1e-5)
    assert new.name == "Hello there. (Joy, seed 6, 5 until 0.8 s)"


@pytest.mark.parametrize("frame", [-5, 10, 34, 90])
def test_a_branch_wants_the_playhead_inside_the_take(scene: bpy.types.Scene, frame: int) -> None:
    scene.frame_set(10)
    bpy.ops.cteg.generate()
    scene.frame_set(frame)
    before = snapshot()
    with pytest.raises(RuntimeError, match="between frames 10 and 34"):
        bpy.ops.cteg.branch()
    assert snapshot() == before
    scene.frame_set(11)
    assert branch.disabled_reason(bpy.context) == ""


def test_more_of_a_take_wants_a_shown_take(scene: bpy.types.Scene) -> None:
    with pytest.raises(RuntimeError, match="shows no take"):
        bpy.ops.cteg.vary()
    bpy.ops.cteg.generate(takes=1, seed=4)
    bpy.ops.cteg.vary(takes=1)
    varied = desk.takes_of(scene.cteg.target)[-1]
    desk.show_index(scene, bpy.data.actions.find(varied.name))
    bpy.ops.cteg.vary(takes=1)
    second = made(desk.takes_of(scene.cteg.target)[-1])["settings"]["vary"]
    assert second["seed"] == made(varied)["seed"] != 4
    assert second["of"] == {"branch": None, "vary": {"seed": 4, "amount": 0.3}}
    scene.cteg.target = None
    with pytest.raises(RuntimeError, match="Choose the face"):
        bpy.ops.cteg.branch()


def test_amounts_must_be_numbers(scene: bpy.types.Scene) -> None:
    bpy.ops.cteg.generate(takes=1)
    with pytest.raises(RuntimeError, match="Amount must be a number, not nan"):
        bpy.ops.cteg.vary(amount=float("nan"))
    with pytest.raises(RuntimeError, match="Speaking Rate must be a number, not nan"):
        bpy.ops.cteg.generate(rate=float("nan"))
    with pytest.raises(RuntimeError, match="branch_frame"):
        bpy.ops.cteg.generate(branch_seed=1)


# --- what the mouth says ----------------------------------------------------------------------------------------------


def test_timing_and_language_are_asked_for_and_stored(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    bpy.ops.cteg.generate(takes=2, spread=False)
    first, second = desk.takes_of(settings.target)
    assert times(first) == times(second) != []
    settings.timing, settings.language = 3, "de"
    bpy.ops.cteg.generate(takes=1)
    data = made(desk.shown_take(settings.target))
    assert times(desk.shown_take(settings.target)) != times(first)
    assert (data["settings"]["timing"], data["settings"]["language"], data["timeline"]["language"]) == (3, "de", "de")
    bpy.ops.cteg.generate(takes=2, spread=False, timing=0, vary_timing=True, language="auto")
    first, second = desk.takes_of(settings.target)[-2:]
    assert times(first) != times(second)
    assert made(first)["settings"]["vary_timing"] is True
    assert (settings.timing, settings.vary_timing, settings.language) == (3, False, "de")


def test_what_is_made_from_a_take_says_the_line_as_it_does(scene: bpy.types.Scene) -> None:
    settings = scene.cteg
    bpy.ops.cteg.generate(takes=3, spread=False, vary_timing=True, timing=1)
    shown = desk.takes_of(settings.target)[2]
    desk.show_index(scene, bpy.data.actions.find(shown.name))
    wanted = times(shown)
    settings.timing, settings.vary_timing = 7, False
    bpy.ops.cteg.vary(takes=2)
    for take in desk.takes_of(settings.target)[-2:]:
        assert times(take) == wanted
        asked = made(take)["settings"]
        assert (asked["timing"], asked["vary_timing"], asked["layered"]) == (1, True, True)
    scene.frame_set(12)
    bpy.ops.cteg.branch(takes=1)
    assert times(desk.shown_take(settings.target)) == wanted


def test_a_damaged_timeline_is_a_sentence_and_the_take_stays(scene: bpy.types.Scene, tmp_path: Path) -> None:
    bpy.ops.cteg.generate(takes=1)
    take = desk.shown_take(scene.cteg.target)
    for damaged in (5, {"words": [{"text": "a", "phonemes": [["QQ", 0, 1]]}]}, {"words": None}):
        take["cteg"] = json.dumps({**json.loads(take["cteg"]), "timeline": damaged})
        assert desk.takes_of(scene.cteg.target) == [take]
        before = snapshot()
        with pytest.raises(RuntimeError, match=r"stored speech of the shown take is damaged.*Generate the line again"):
            bpy.ops.cteg.vary(takes=1)
        with pytest.raises(RuntimeError, match="stored speech of the shown take is damaged"):
            bpy.ops.cteg.save_timeline(filepath=str(tmp_path / "damaged.json"))
        assert snapshot() == before
    assert not list(tmp_path.iterdir())


def test_a_timeline_travels_and_is_performed(scene: bpy.types.Scene, tmp_path: Path) -> None:
    settings, path = scene.cteg, tmp_path / "times é.json"
    with pytest.raises(RuntimeError, match="No take is shown"):
        bpy.ops.cteg.save_timeline(filepath=str(path))
    bpy.ops.cteg.generate(takes=1)
    assert bpy.ops.cteg.save_timeline(filepath=str(path)) == {"FINISHED"}
    data = json.loads(path.read_text("utf-8"))
    assert data["words"] == made(desk.shown_take(settings.target))["timeline"]["words"]
    assert len(path.read_text("utf-8").splitlines()) < 30  # a word on each line: edited by hand
    data["words"][0]["phonemes"][0][1] = 0.05
    path.write_text(json.dumps(data), "utf-8")
    assert bpy.ops.cteg.use_timeline(filepath=str(path)) == {"FINISHED"}
    assert settings.timeline_source.name == "times é.json"
    bpy.ops.cteg.generate(takes=2)
    assert all(times(take)[0] == 0.05 for take in desk.takes_of(settings.target)[-2:])
    bpy.ops.cteg.resample(takes=1)
    assert times(desk.shown_take(settings.target))[0] == 0.05
    bpy.data.texts.remove(settings.timeline_source)
    bpy.ops.cteg.generate(takes=1)
    assert times(desk.shown_take(settings.target))[0] != 0.05
    bpy.ops.cteg.generate(takes=1, timeline=str(path))
    assert times(desk.shown_take(settings.target))[0] == 0.05
    assert settings.timeline_source is None


def test_a_timeline_brings_its_line_where_none_was_typed(scene: bpy.types.Scene, tmp_path: Path) -> None:
    path = tmp_path / "aligned.json"
    path.write_text('{"words": [{"text": "Bob!", "phonemes": [["B", 0.1, 0.2], ["AA1", 0.2, 0.3], ["B", 0.3, 0.4]]}]}')
    scene.cteg.text = ""
    bpy.ops.cteg.use_timeline(filepath=str(path))
    assert scene.cteg.text == "Bob!"
    scene.cteg.text = "[joy] Bob!"
    bpy.ops.cteg.use_timeline(filepath=str(path))
    assert scene.cteg.text == "[joy] Bob!"


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (b"", "is not JSON"), (b"\xff\xfe\x00", "is not text"), (b"[1", "is not JSON"), (b"[" * 100_000, "is not JSON"),
        (b"[]", "must be a JSON object"), (b'{"words": 3}', "list of words"),
        (b'{"words": [{"text": "a", "phonemes": [["AA", 1, NaN]]}]}', "number of seconds"),
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
        bpy.ops.cteg.generate(timeline=str(path))
    assert snapshot() == before


def test_a_timeline_that_was_broken_by_hand_is_refused(scene: bpy.types.Scene) -> None:
    scene.cteg.timeline_source = text = bpy.data.texts.new("Times")
    text.from_string('{"words": [')
    before = snapshot()
    with pytest.raises(RuntimeError, match="Times is not JSON"):
        bpy.ops.cteg.generate()
    assert snapshot() == before


# --- long takes -------------------------------------------------------------------------------------------------------


def test_the_scene_is_extended_only_when_asked(scene: bpy.types.Scene) -> None:
    scene.frame_end = 20
    with pytest.raises(RuntimeError, match="No take is shown"):
        bpy.ops.cteg.extend_scene()
    bpy.ops.cteg.generate(takes=1)
    assert scene.frame_end == 20
    assert extend.disabled_reason(bpy.context) == ""
    bpy.ops.cteg.extend_scene()
    assert scene.frame_end == 25
    with pytest.raises(RuntimeError, match="ends within the scene"):
        bpy.ops.cteg.extend_scene()


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_directs_too(scene: bpy.types.Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = tmp_path / "line.txt"
    line.write_text("\ufeffOne café.\nAnother.", "utf-8")
    output = ["--output", str(tmp_path / "out.blend")]
    told = ["generate", "--text-file", str(line), "--takes", "1", "--emotion-to", "fear", "--rate", "0.5", *output]
    assert commands.run([*told, "--vary", "3", "0.5"]) == 0
    data = made(desk.shown_take(scene.cteg.target))
    assert data["text"].split() == ["One", "café.", "Another."]
    asked = data["settings"]
    assert (asked["emotion_to"], asked["rate"], asked["vary"]) == ("fear", 0.5, {"seed": 3, "amount": 0.5})
    assert commands.run(["generate", "--text", "Hi.", "--takes", "2", "--spread", "--branch", "3", "12", *output]) == 0
    asked = made(desk.shown_take(scene.cteg.target))["settings"]
    assert (asked["spread"], asked["branch"]) == (True, {"seed": 3, "frame": 12})
    capsys.readouterr()
    assert commands.run(["generate", "--text", "Hi.", "--branch", "3", "half", *output]) == 2
    assert "SEED and FRAME" in capsys.readouterr().err
    assert commands.run(["generate", *output]) == 2
    times = tmp_path / "times.json"
    bpy.ops.cteg.save_timeline(filepath=str(times))
    spoken = ["--timing", "5", "--vary-timing", "--language", "pl", "--reduction", "2", "--takes", "1"]
    assert commands.run(["generate", "--text", "Hello again.", *spoken, *output]) == 0
    asked = made(desk.shown_take(scene.cteg.target))["settings"]
    assert (asked["timing"], asked["vary_timing"], asked["language"]) == (5, True, "pl")
    assert len(brow(desk.shown_take(scene.cteg.target))) < 15
    assert commands.run(["generate", "--text", "Hi.", "--timeline", str(times), "--takes", "1", *output]) == 0
    kept = json.loads(times.read_text("utf-8"))["words"]
    assert made(desk.shown_take(scene.cteg.target))["timeline"]["words"] == kept
    assert commands.run(["generate", "--text", "Hi.", "--language", "tlh", *output]) == 2
    assert commands.run(["generate", "--text", "Hi.", "--timeline", str(tmp_path / "none.json"), *output]) == 1
    assert "none.json cannot be read" in capsys.readouterr().err
    line.write_bytes(b"\xff\xfe\x00")
    assert commands.run(["generate", "--text-file", str(line), *output]) == 1
    assert "not a text in UTF-8" in capsys.readouterr().err
    assert commands.run(["generate", "--text-file", str(tmp_path / "none.txt"), *output]) == 1
    assert "none.txt" in capsys.readouterr().err
