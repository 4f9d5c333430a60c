# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments without Blender: read from a message, corrected in the line, and stored data of older versions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blender_cteg.performance.directing import directed, is_line_of
from blender_cteg.performance.migration import _made
from blender_cteg.performance.record import Take
from blender_cteg.segments import Segment, SegmentError, Stage, in_order
from blender_cteg.worker import protocol
from blender_cteg.worker.protocol import ProtocolError
from tests.blender.fake_worker import array

SEGMENT = {
    "text": "You came back.", "emotion": "joy", "emotion_to": None, "intensity": 1, "start": 0, "end": 40,
    "direction": None, "source": "words", "alternatives": {"joy": 0.6, "sadness": 0.2},
}  # fmt: skip


def words(text: str, emotion: str = "joy") -> Segment:
    return Segment(text, emotion, source="words")


def test_what_is_felt_is_told_once_and_in_order() -> None:
    mixed = Segment("Oh.", "happily_surprised", emotion_with="fear")
    parts = [words("One."), words("Two."), Segment("Three.", "joy", "sadness"), words("Four.", "sadness"), mixed]
    assert in_order(parts) == "joy, then sadness, then happily surprised with fear"
    assert in_order([]) == ""


# --- directing a line -------------------------------------------------------------------------------------------------


def test_a_direction_goes_before_the_words_and_the_next_part_keeps_its_emotion() -> None:
    line = "You came back.  I thought\nI lost you. Never mind."
    parts = [words("You came back."), words("I thought I lost you.", "sadness"), words("Never mind.", "sadness")]
    assert directed(line, parts, 0, "anger") == "[anger] You came back.  [sadness] I thought\nI lost you. Never mind."
    assert directed(line, parts, 1, "sadness") == "You came back.  [sadness] I thought\nI lost you. Never mind."
    assert directed(line, parts, 2, "fear") == "You came back.  I thought\nI lost you. [fear] Never mind."
    turns = [words("One."), words("Two.", "sadness"), words("Three.", "sadness"), words("Four.")]
    assert directed("One. Two. Three. Four.", turns, 0, "fear") == "[fear] One. [sadness] Two. Three. [joy] Four."


def test_a_direction_that_is_there_is_replaced_with_all_it_holds_for() -> None:
    line = "(seething) Get out. Get out now! [joy 0.8 -> sadness] Wait."
    parts = [
        Segment("Get out.", "anger", direction="(seething)", source="direction"),
        Segment("Get out now!", "anger", direction="(seething)", source="direction"),
        Segment("Wait.", "joy", "sadness", direction="[joy 0.8 -> sadness]", source="direction"),
    ]
    assert directed(line, parts, 0, "fear") == "[fear] Get out. Get out now! [joy 0.8 -> sadness] Wait."
    assert directed(line, parts, 1, "fear") == "(seething) Get out. [fear] Get out now! [joy 0.8 -> sadness] Wait."
    assert directed(line, parts, 2, "fear") == "(seething) Get out. Get out now! [fear] Wait."


def test_what_a_direction_went_on_to_hold_for_is_told_again() -> None:
    line = "(seething) One. Two. Three."
    parts = [
        Segment(f"{text}.", "anger", direction="(seething)", source="direction") for text in ("One", "Two", "Three")
    ]
    assert directed(line, parts, 1, "joy") == "(seething) One. [joy] Two. (seething) Three."


def test_segments_that_have_their_emotion_from_a_neighbour_keep_it() -> None:
    likely = {"sadness": 0.3, "anger": 0.24}
    parts = [words("Oh."), Segment("You.", "anger", source="words", alternatives=likely), words("Go!", "anger")]
    assert directed("Oh. You. Go!", parts, 2, "fear") == "[joy] Oh. [anger] You. [fear] Go!"
    assert directed("(softly) Oh. You. Go!", parts, 2, "fear") == "(softly) [joy] Oh. (softly) [anger] You. [fear] Go!"
    assert directed("[joy] Oh. You. Go!", parts, 2, "fear") == "[joy] Oh. You. [fear] Go!"
    parts[1] = Segment("You.", "sadness", source="words", alternatives=likely)
    assert directed("Oh. You. Go!", parts, 2, "fear") == "Oh. You. [fear] Go!"


def test_a_manner_stays_when_an_emotion_is_directed() -> None:
    line = "(softly) One (the first). Two. Three."
    one, two, three = (Segment(text, "joy", direction="softly", source="words") for text in (
        "One (the first).", "Two.", "Three.",
    ))  # fmt: skip
    assert directed(line, [one, two, three], 0, "fear") == "(softly) [fear] One (the first). (softly) [joy] Two. Three."
    again = "(softly) [fear] One (the first). (softly) [joy] Two. Three."
    assert directed(again, [one, two, three], 0, "awed") == again.replace("fear", "awed")
    assert directed(line, [one, two, three], 2, "fear") == "(softly) One (the first). Two. [fear] Three."


def test_a_silent_beat_can_be_directed() -> None:
    parts = [words("Oh."), Segment("...", "anger", direction="seething", source="direction")]
    assert directed("Oh. (seething)", parts, 1, "fear") == "Oh. [fear]"
    assert directed("Oh. (seething)", parts, 0, "fear") == "[fear] Oh. (seething)"
    silent = [Segment("...", "joy", source="words")]
    assert directed("...", silent, 0, "fear") == "[fear] ..."
    with pytest.raises(SegmentError, match="changed"):
        directed("Oh.", silent, 0, "fear")


def test_equal_words_are_told_apart_by_their_order() -> None:
    parts = [words("No."), words("No."), words("No.")]
    assert directed("No. No. No.", parts, 1, "joy") == "No. [joy] No. No."
    assert directed("No. No. No.", parts, 1, "fear") == "No. [fear] No. [joy] No."


def test_brackets_and_accents_in_the_words_do_no_harm() -> None:
    line = "Cafe\N{COMBINING ACUTE ACCENT} (the blue one)? Yes… [sic"
    parts = [words("Caf\N{LATIN SMALL LETTER E WITH ACUTE} (the blue one)?"), words("Yes… [sic")]
    result = directed(line, parts, 1, "awed")
    assert result == "Caf\N{LATIN SMALL LETTER E WITH ACUTE} (the blue one)? [awed] Yes… [sic"


@pytest.mark.parametrize("line", ["Something else.", "", "You came. Never mind."])
def test_a_changed_line_is_not_directed(line: str) -> None:
    with pytest.raises(SegmentError, match="changed since this take"):
        directed(line, [words("You came back."), words("Never mind.")], 1, "joy")


def test_actions_and_notes_between_the_words_stay() -> None:
    line = "(to Anna) I thought you knew. (pause) Everybody [sighs] knew. (angrily) Go."
    beside = [Stage("note", "to Anna", "Anna"), Stage("action", "pause", "pause"), Stage("action", "sighs", "sigh")]
    parts = [
        Segment("I thought you knew. Everybody knew.", "joy", source="words", stage=tuple(beside)),
        Segment("Go.", "anger", direction="angrily", source="direction"),
    ]
    assert is_line_of(line, parts)
    assert directed(line, parts, 0, "fear") == (
        "(to Anna) [fear] I thought you knew. (pause) Everybody [sighs] knew. (angrily) Go."
    )
    assert directed(line, parts, 1, "fear").endswith("[sighs] knew. [fear] Go.")
    done = [Segment("Go.", "joy", source="words", stage=(Stage("action", "clears his throat", "clear_throat"),))]
    assert directed("[clears his throat] Go.", done, 0, "fear") == "[clears his throat] [fear] Go."


# --- from outside -----------------------------------------------------------------------------------------------------


def test_a_segment_survives_json() -> None:
    segment = Segment.from_json(SEGMENT)
    assert segment.intensity == 1.0 and segment.alternatives["sadness"] == 0.2
    assert Segment.from_json(json.loads(json.dumps(segment.to_json()))) == segment
    sigh = {"kind": "action", "written": "sighs", "name": "sigh", "start": 3, "end": 30}
    segment = Segment.from_json(SEGMENT | {"stage": [sigh, sigh | {"kind": "note", "name": None}]})
    assert segment.stage[0] == Stage("action", "sighs", "sigh", 3, 30) and segment.stage[1].name is None
    assert Segment.from_json(json.loads(json.dumps(segment.to_json()))) == segment


@pytest.mark.parametrize(
    "change",
    [
        {"text": None}, {"emotion": 3}, {"emotion_to": 1}, {"intensity": "1"}, {"start": 1.5}, {"end": True},
        {"stage": {"sigh": 3}}, {"stage": ["sigh"]},
        {"stage": [{"kind": "action", "written": "sighs", "name": "sigh"}]},
        {"stage": [{"kind": "dance", "written": "sighs", "name": "sigh", "start": 3, "end": 30}]},
        {"direction": []}, {"source": "guess"}, {"alternatives": ["joy"]}, {"alternatives": {"joy": "much"}},
    ],
)  # fmt: skip
def test_damaged_segments_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(SegmentError):
        Segment.from_json(SEGMENT | change)
    message = {
        "id": 1, "event": "clip", "line": 0, "take": 0, "seed": 5, "text": "Hi.", "emotion": "joy", "fps": 24.0,
        "space": "arkit55", "channels": ["jawOpen"], "values": array([[0.5], [0.0]]),
    }  # fmt: skip
    assert protocol.parse(json.dumps(message | {"segments": [SEGMENT]}).encode()).clip.segments[0].emotion == "joy"
    with pytest.raises(ProtocolError, match="segment"):
        protocol.parse(json.dumps(message | {"segments": [SEGMENT | change]}).encode())
    with pytest.raises(ProtocolError):
        protocol.parse(json.dumps(message | {"segments": 3}).encode())


# --- stored data ------------------------------------------------------------------------------------------------------

#: What version 1 stored on a take.
VERSION_1 = {
    "schema_version": 1, "space": "arkit55", "fps": 24.0, "frames": 30, "text": "Hello.", "seed": 7, "emotion": "joy",
    "settings": {"intensity": 1.5, "checkpoint": "default", "emotion_requested": "auto"},
}  # fmt: skip


def stored(data: dict[str, object]) -> dict[str, Any]:
    """As it lies on an action."""
    return {"cteg": json.dumps({"start_frame": 1, "number": 1, **data})}


def test_a_take_of_version_1_is_read_as_one_of_today() -> None:
    data = _made(stored({**VERSION_1, "face": "kept"}))
    assert data is not None and data["face"] == "kept"
    assert (data["segments"], data["last_seed"]) == ([], 7)
    assert data["settings"] == VERSION_1["settings"]


@pytest.mark.parametrize("data", [{}, {"schema_version": 4}, {"schema_version": "1"}, {**VERSION_1, "settings": []}])
def test_what_no_version_stored_is_refused(data: dict[str, object]) -> None:
    assert _made(stored(data)) is None


def test_a_take_says_where_it_came_from() -> None:
    assert Take("a", settings={"branch": None, "vary": None}).origin == Take("a").origin == ""
    assert Take("a", settings={"vary": {"seed": 5, "amount": 0.3}}).origin == "near 5"
    assert Take("a", settings={"vary": {"seed": 5, "amount": 0.7}}).origin == "from 5"
    assert Take("a", settings={"branch": {"seed": 5, "frame": 48}}).origin == "5 until 2.0 s"
