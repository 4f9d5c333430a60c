# SPDX-License-Identifier: GPL-3.0-or-later
"""Timelines: made from a text, fitted to a length, written and read, refused where they are wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from generator.direction.requests import LineRequest, read_timeline
from generator.direction.script import Part
from generator.errors import InputError
from generator.performing.speaking import say_parts
from generator.shared.articulation import articulate
from generator.shared.timeline import BILABIALS, VOWELS, Timeline, TimelineError
from generator.speech.reading import read_line
from generator.speech.timing import fitted, time_line

LINE = "You kept it? After all these years, you actually kept my umbrella!"


def line(text: str = LINE, seed: int = 0, rate: float = 1.0) -> Timeline:
    return time_line(read_line(text), seed, rate)


def seconds_of(timeline: Timeline, symbols: frozenset[str]) -> float:
    return sum(p.end - p.start for p in timeline.phonemes if p.symbol in symbols)


def test_a_line_becomes_words_sounds_phrases_and_accents_in_order() -> None:
    timeline = line()
    assert [w.text for w in timeline.words[:3]] == ["you", "kept", "it"] and len(timeline.words) == 12
    assert [p.mark for p in timeline.phrases] == ["?", ",", "!"]
    edges = [edge for p in timeline.phonemes for edge in (p.start, p.end)]
    assert edges == sorted(edges) and edges[0] > 0.2 and timeline.seconds > edges[-1] + 0.5
    assert len(timeline.pauses) == 2 and all(0.08 < end - start < 0.9 for start, end in timeline.pauses)
    vowels = {p.centre for p in timeline.phonemes if p.symbol in VOWELS}
    assert timeline.accents and all(min(abs(a.time - v) for v in vowels) < 1e-3 for a in timeline.accents)
    # About as fast as people talk: 10 to 15 sounds a second without pauses (Klatt 1976).
    spoken = sum(p.end - p.start for p in timeline.phonemes)
    assert 9.0 < len(timeline.phonemes) / spoken < 16.0


def test_one_seed_times_a_line_and_another_reads_it_differently() -> None:
    assert line() == line() != line(seed=1)
    assert line("I know.") != line("You know.")
    assert line(rate=2.0).seconds < 0.65 * line().seconds


def test_words_and_cues_call_for_events() -> None:
    timeline = line("*sighs* Um, I know. Haha!")
    assert [e.name for e in timeline.events] == ["sigh", "hesitation", "laugh"]
    assert [w.text for w in timeline.words][:2] == ["um", "i"]


def test_a_length_takes_pauses_first_then_vowels_and_never_closures() -> None:
    natural = line()
    closures = seconds_of(natural, BILABIALS)
    for share in (0.6, 0.8, 0.95, 1.1, 1.3, 2.5):
        other = fitted(natural, share * natural.seconds)
        assert other.seconds == pytest.approx(share * natural.seconds, abs=1e-3)
        assert seconds_of(other, BILABIALS) == pytest.approx(closures, abs=1e-3)
        assert other.phonemes[-1].end <= other.seconds
    little = fitted(natural, 0.92 * natural.seconds)
    assert seconds_of(little, VOWELS) == pytest.approx(seconds_of(natural, VOWELS), abs=2e-3)
    assert sum(b - a for a, b in little.pauses) < 0.9 * sum(b - a for a, b in natural.pauses)
    # What no pace can fill is silence after the words.
    long = fitted(natural, 20.0)
    assert long.end - long.start < 2.2 * (natural.end - natural.start) and long.seconds == 20.0


def test_a_line_that_cannot_be_said_in_time_is_hurried_whole() -> None:
    hurried = fitted(line(), 0.7)
    assert hurried.seconds == 0.7 and 0 < hurried.start < hurried.end <= 0.7
    edges = [edge for p in hurried.phonemes for edge in (p.start, p.end)]
    assert edges == sorted(edges)


def test_what_is_written_is_read_again() -> None:
    for text in (LINE, "*sighs* Um.", "Café at 3:30?"):
        timeline = line(text)
        assert Timeline.from_json(json.loads(json.dumps(timeline.to_json()))) == timeline


def test_words_with_sounds_are_enough() -> None:
    words = [{"text": w.text, "phonemes": [[p.symbol, p.start, p.end] for p in w.phonemes]} for w in line().words]
    given = Timeline.from_json({"words": words})
    assert given.seconds == pytest.approx(given.end + 0.5) and len(given.phrases) == 3
    spoken = say_parts(LineRequest(LINE, timeline=given), (Part(LINE, "joy", 1.0),), 0, 24.0).timeline
    assert [p.mark for p in spoken.phrases] == ["?", ",", "!"] and spoken.accents
    assert spoken.phonemes == given.phonemes


def moved_word(by: float) -> Any:
    """The line's timeline with its last word moved by hand, its accent left behind."""
    data = line().to_json()
    for sound in data["words"][-1]["phonemes"]:
        sound[1], sound[2] = sound[1] + by, sound[2] + by
    return data | {"seconds": data["seconds"] + by, "accents": []}


def test_a_word_that_is_moved_by_hand_takes_its_phrase_along() -> None:
    given = Timeline.from_json(moved_word(0.8))
    assert given.left_open == {"phrases"} and given.phrases[-1].start == given.words[-1].start
    spoken = say_parts(LineRequest(LINE, timeline=given), (Part(LINE, "joy", 1.0),), 0, 24.0).timeline
    assert spoken.phrases[-1].mark == "!" and spoken.accents == ()  # none is none
    speech = articulate(spoken, 24.0, round(spoken.seconds * 24))
    assert speech.activity[round(spoken.words[-1].vowel.centre * 24)] == 1.0
    assert speech.activity[round((spoken.words[-2].end + 0.4) * 24)] < 0.6


def test_aligners_may_join_split_and_number_words() -> None:
    text = "The FBI's well-known café was here."
    ours = line(text)
    forms = ["the", "fbi's", "well", "known", "CAFE\u0301", "was(2)", "here"]
    words: list[Any] = [{"text": "<sil>", "phonemes": [["SIL", 0, 0.2]]}]
    for k, form in enumerate(forms):
        words.append({"text": form, "phonemes": [["AA1", 0.3 + 0.3 * k, 0.5 + 0.3 * k]]})
    given = Timeline.from_json({"words": words})
    assert len(given.words) == len(forms) < len(ours.words)
    spoken = say_parts(LineRequest(text, timeline=given), (Part(text, "joy", 1.0),), 0, 24.0).timeline
    assert [w.text for w in spoken.words] == forms and spoken.phrases[-1].mark == "."
    with pytest.raises(InputError, match="ends before the line does: 'here' is missing"):
        say_parts(
            LineRequest(text, timeline=Timeline.from_json({"words": words[:-1]})), (Part(text, "joy", 1.0),), 0, 24.0
        )


def test_every_segment_has_the_words_that_are_said_in_it() -> None:
    text = "I paid $3.50 at 7:45 p.m. on 3/4/2021, see https://www.foo-bar.com/a?b=1!"
    spoken = say_parts(LineRequest(text), (Part(text, "joy", 1.0),), 0, 24.0)
    assert len(spoken.parts) > 1 and "..." not in {part.text for part in spoken.parts}
    assert " ".join(part.text for part in spoken.parts) == text


def wrong(path: list[Any], value: Any) -> Any:
    data = copy.deepcopy(line().to_json())
    at: Any = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "JSON object"),
        ({}, "list of words"),
        (wrong(["schema_version"], 9), "version 9"),
        (wrong(["words", 1, "phonemes", 0, 0], "QX"), "unknown phoneme 'QX'"),
        (wrong(["words", 1, "phonemes", 0, 1], -0.1), "seconds from 0 to 60"),
        (wrong(["words", 1, "phonemes", 0, 1], float("nan")), "seconds from 0 to 60"),
        (wrong(["words", 1, "phonemes", 0, 1], 10**400), "seconds from 0 to 60"),
        (wrong(["words", 0, "phonemes"], [["AA", 0, 0]] * 6000), "6,0.. phonemes"),
        (wrong(["words", 1, "phonemes", 0, 1], "soon"), "seconds from 0 to 60"),
        (wrong(["words", 1, "phonemes", 0, 2], 59.0), "overlap"),
        (wrong(["words", 1, "phonemes", 0, 2], 0.01), "before it begins"),
        (wrong(["words", 0, "phonemes"], []), "has no phonemes"),
        (wrong(["words", 0], "you"), "Word 1"),
        (wrong(["words"], [{"text": "a", "phonemes": [["AA", 0, 0]]}] * 100_000), "100,000 words"),
        (wrong(["seconds"], 0.5), "make it longer"),
        (wrong(["seconds"], 1e9), "seconds from 0 to 60"),
        (wrong(["phrases", 0, "mark"], "%"), "The mark of phrase 1"),
        (wrong(["accents", 0, "size"], float("inf")), "size of accent 1"),
        (wrong(["events"], [{"name": "Laugh!", "start": 0, "end": 1}]), "name of event 1"),
        (wrong(["language"], 4), "must be text"),
        (wrong(["language"], "\ud800"), "half a character"),
        (wrong(["words", 0, "text"], "you\udfff"), "half a character"),
        (wrong(["accents", 0, "time"], 0.01), "on no word"),
        (wrong(["accent"], []), "no field 'accent'"),
        (wrong(["schema_version"], True), "schema version True"),
    ],
)
def test_a_wrong_timeline_is_refused_with_a_sentence(data: Any, says: str) -> None:
    with pytest.raises(TimelineError, match=says):
        Timeline.from_json(data)
    with pytest.raises(InputError, match=says):
        read_timeline(data)


def test_a_timeline_of_another_line_is_refused() -> None:
    part = (Part("I know you.", "joy", 1.0),)
    for other in ("You know me.", "I know you well."):
        with pytest.raises(InputError, match=r"another line|4 words and the line has 3"):
            say_parts(LineRequest("I know you.", timeline=line(other)), part, 0, 24.0)


def test_passages_begin_with_their_words_and_none_is_too_long() -> None:
    parts = (Part("You came back!", "joy", 1.0), Part("...", "joy", 1.0), Part("But he is gone.", "sadness", 1.0))
    spoken = say_parts(LineRequest("-"), parts, 0, 24.0)
    edges = np.cumsum(spoken.own) / 24.0
    came, gone = spoken.timeline.words[2].end, spoken.timeline.words[3].start
    assert came < edges[0] < gone and edges[1] == pytest.approx(gone - 0.3, abs=0.05)
    assert gone - came > 1.5  # a silent beat is a silence
    assert sum(spoken.own) == round(spoken.timeline.seconds * 24.0)
    slow = say_parts(LineRequest("-", seconds=40.0), parts, 0, 24.0)
    assert sum(slow.own) == 960 and max(slow.own) <= 8.5 * 24 and {p.text for p in slow.parts[3:]} == {"..."}


def test_a_direction_by_itself_does_not_change_when_words_are_said() -> None:
    whole = say_parts(LineRequest("-"), (Part("You came back! But he is gone.", "joy", 1.0),), 0, 24.0)
    cut = say_parts(
        LineRequest("-"), (Part("You came back!", "joy", 1.0), Part("But he is gone.", "joy", 1.0)), 0, 24.0
    )
    assert whole.timeline == cut.timeline


def test_what_is_felt_at_a_word_is_heard_in_how_fast_it_is_said() -> None:
    def said(*parts: Part, speaking: bool = True) -> Timeline:
        return say_parts(LineRequest("-", speaking=speaking), parts, 0, 24.0).timeline

    def halves(timeline: Timeline) -> tuple[float, float]:
        first, second = timeline.words[:3], timeline.words[3:]
        return first[-1].end - first[0].start, second[-1].end - second[0].start

    first, second = "You came back!", "But he is gone."
    plain = halves(said(Part(first, "neutral", 1.0), Part(second, "neutral", 1.0)))
    sad = halves(said(Part(first, "neutral", 1.0), Part(second, "sadness", 1.0)))
    assert sad[0] == pytest.approx(plain[0], abs=0.01) and sad[1] == pytest.approx(plain[1] / 0.82, rel=0.01)
    angry = halves(said(Part(first, "anger", 1.0), Part(second, "anger", 1.0)))
    assert angry == pytest.approx((plain[0] / 1.13, plain[1] / 1.13), rel=0.01)
    whole = f"{first} {second}"
    moving = halves(said(Part(whole, "neutral", 1.0, emotion_to="sadness")))
    assert plain[0] < moving[0] and plain[1] < moving[1] < sad[1]
    mixed = halves(said(Part(whole, "neutral", 1.0, emotion_with="sadness", share=0.5)))
    assert mixed == pytest.approx((plain[0] / 0.91, plain[1] / 0.91), rel=0.01)
    listening = said(Part(first, "sadness", 1.0), Part(second, "sadness", 1.0), speaking=False)
    assert halves(listening) == pytest.approx(plain, abs=0.01)  # nobody's voice but the partner's
