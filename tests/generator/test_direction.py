# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage directions, clauses, and the emotion of each of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from generator.direction.brackets import read_directions
from generator.direction.clauses import PASSAGE_SECONDS, speech_seconds, split_clauses, split_sentences
from generator.direction.emotions import BASIC_EMOTIONS, EMOTION_NAMES, EMOTIONS, emotion_vector
from generator.direction.nearest import NearestDirection
from generator.direction.notation import Meaning, read_notation, read_words
from generator.direction.requests import LineRequest, clean_text
from generator.direction.script import write_script
from generator.direction.turning import steady_emotions
from generator.direction.vocabulary import EMOTION_WORDS, MANNERS
from generator.errors import InputError
from generator.model.text import TextEncoder
from generator.speech.timing import speaking_rate

#: Directions that are not in the vocabulary, and the emotions a director would accept.
UNLISTED = {
    "on the verge of tears": {"sadness", "bittersweet"}, "clenching his fists": {"anger"}, "boiling over": {"anger"},
    "about to throw up": {"disgust"}, "with a forced smile": {"joy", "bittersweet"}, "jumping for joy": {"joy"},
    "backing away in horror": {"fear"}, "holding back tears": {"sadness", "bittersweet"}, "glaring": {"anger"},
    "spitting with rage": {"anger"}, "freaking out": {"fear"}, "hopeless": {"sadness", "sadly_fearful"},
    "shivering with dread": {"fear"}, "creeped out": {"fear", "disgust"}, "depressed": {"sadness"},
    "losing her temper": {"anger"}, "bursting with happiness": {"joy"}, "blissful": {"joy", "awed"},
}  # fmt: skip
SPOKEN = (
    "you know, the blue one", "at least I hope so", "the tall one", "my cousin", "or was it Tuesday", "and his dog",
    "if he ever calls", "the way you like it", "in the kitchen", "God knows why", "the green car", "a friend of mine",
)  # fmt: skip


@pytest.fixture(scope="module")
def nearest() -> NearestDirection:
    encoder = TextEncoder.load()
    return NearestDirection(lambda words: encoder.encode(words).pooled().numpy())


def stretches(text: str) -> list[tuple[str, str | None]]:
    return [(s.text, s.direction and s.direction.written) for s in read_directions(text)]


def test_directions_are_cut_out_and_hold_until_the_next_one() -> None:
    assert stretches("(angrily) Get out. Now. [joy 0.8 -> sadness] You came back… (softly) Go.") == [
        ("Get out. Now.", "angrily"), ("You came back…", "joy 0.8 -> sadness"), ("Go.", "softly"),
    ]  # fmt: skip
    assert stretches("Get out. (angrily) Now!") == [("Get out.", None), ("Now!", "angrily")]
    assert stretches("(angrily)") == [("...", "angrily")]
    assert stretches("Fine. (sobbing)") == [("Fine.", None), ("...", "sobbing")]
    assert stretches("(softly) [joy] Hi.") == [("Hi.", "softly; joy")]


@pytest.mark.parametrize(
    "text",
    [
        "[NAME] said so.",
        "I like it (you know, the blue one) a lot.", "I (sadly) left.", "Get out (now", "He said: ) and left.",
        "Give me two (2) of them.", "See [1] and [the end].", "(you know, the blue one) Give it to me.",
    ],
)  # fmt: skip
def test_ordinary_brackets_are_spoken(text: str, nearest: NearestDirection) -> None:
    (stretch,) = read_directions(text, nearest.find)
    assert (stretch.text, stretch.direction) == (text, None)


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("joy", Meaning("joy")),
        ("Anger 1.2", Meaning("anger", intensity=1.2)),
        ("joy 0.8 -> sadness", Meaning("joy", emotion_to="sadness", intensity=0.8)),
        ("joy→sadness 0,5", Meaning("joy", emotion_to="sadness", intensity_to=0.5)),
        ("happily surprised", Meaning("happily_surprised")),
        ("happy -> sad", Meaning("joy", emotion_to="sadness")),
        ("the blue one", None),
        ("joy -> the blue one", None),
    ],
)
def test_the_notation_in_brackets(words: str, meaning: Meaning | None) -> None:
    assert read_notation(words) == meaning


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("angrily", Meaning("anger")),
        ("Furiously!", Meaning("anger", 1.3)),
        ("happily", Meaning("joy")),
        ("with anger", Meaning("anger")),
        ("a little sadly", Meaning("sadness", 0.55)),
        ("whispering", Meaning(None, 0.5, energy=0.8)),
        ("angrily, whispering", Meaning("anger", 0.5, energy=0.8)),
        ("sad and angry", Meaning("sadly_angry")),
        ("joyfully, then sadly", Meaning("joy", 1.0, "sadness")),
        ("the blue one", None),
    ],
)
def test_known_words(words: str, meaning: Meaning | None) -> None:
    assert read_words(words) == meaning


def test_degrees_strengthen_and_weaken() -> None:
    def factor(words: str) -> float:
        found = read_words(words)
        assert found is not None
        return found.factor

    assert factor("very softly") < factor("softly") < factor("slightly softly") < 1 < factor("very loudly")
    assert factor("slightly angry") < factor("angry") < factor("very angry")


def test_every_word_of_the_vocabulary_means_what_requests_may_ask() -> None:
    assert {name for name, _ in EMOTION_WORDS.values()} <= set(EMOTION_NAMES)
    assert set(BASIC_EMOTIONS) <= {name for name, _ in EMOTION_WORDS.values()}
    assert all(
        0 < f < 2 for f in (*(f for row in MANNERS.values() for f in row), *(f for _, f in EMOTION_WORDS.values()))
    )


def test_unlisted_directions_go_to_the_nearest_emotion(nearest: NearestDirection) -> None:
    assert not set(UNLISTED) & (set(EMOTION_WORDS) | set(MANNERS))
    found = {words: nearest.find(words) for words in UNLISTED}
    right = [words for words, good in UNLISTED.items() if (m := found[words]) and m.emotion in good]
    assert len(right) >= 0.85 * len(UNLISTED), found
    assert {"with a forced smile", "shivering with dread"} <= set(right)


def test_spoken_asides_are_no_directions(nearest: NearestDirection) -> None:
    assert [words for words in SPOKEN if nearest.find(words)] == []


def test_sentences_end_where_they_end() -> None:
    text = 'I met Dr. Smith at 5 p.m. on Monday. "No!" he said... and left. Why? J. R. Hall knows.'
    assert split_sentences(text) == [
        "I met Dr. Smith at 5 p.m. on Monday.", '"No!" he said... and left.', "Why?", "J. R. Hall knows.",
    ]  # fmt: skip


def test_long_lines_are_cut_at_breaths_and_nothing_is_lost() -> None:
    text = (
        "I walked home alone in the rain. Nobody asked where I had been, and when I came to the door the light was out "
        "— so I sat down on the step because my coat was torn and my hands were cold and there was no one to call. "
        "Then… then I heard your voice, and I ran. "
    ) * 3
    pieces = split_clauses(text.strip())
    assert " ".join(pieces) == text.strip() and len(pieces) > 6
    assert max(map(speech_seconds, pieces)) <= PASSAGE_SECONDS
    assert min(map(speech_seconds, pieces)) > 1.0
    assert all(piece[-1] in ".,—…" or " and" in text.split(piece, 1)[1][:5] for piece in pieces[:-1])
    assert split_clauses("A short line. Two sentences.") == ["A short line. Two sentences."]
    assert len(split_clauses(text.strip(), rate=0.5)) > len(pieces)
    assert " ".join(split_clauses("word " * 399 + "word")) == "word " * 399 + "word"


def test_emotions_turn_only_when_the_words_are_clear() -> None:
    def course(*rows: tuple[float, float]) -> list[int]:
        return steady_emotions(np.array(rows, np.float32))

    assert course((0.7, 0.3), (0.45, 0.55), (0.7, 0.3)) == [0, 0, 0]
    assert course((0.7, 0.3), (0.05, 0.95), (0.7, 0.3)) == [0, 1, 0]
    assert course((0.9, 0.1), (0.9, 0.1), (0.2, 0.8), (0.2, 0.8)) == [0, 0, 1, 1]
    assert course((0.4, 0.6)) == [1]


def classify(texts: list[str]) -> np.ndarray:
    """Words that name an emotion are of it."""
    rows = np.full((len(texts), 7), 0.05, np.float32)
    for row, text in zip(rows, texts, strict=True):
        named = [k for k, name in enumerate(BASIC_EMOTIONS) if name in text]
        row[named[0] if named else 0] = 0.7
    return rows


def script(text: str, **fields: object) -> list[tuple[str, str, str | None, float, str]]:
    parts = write_script(LineRequest(text, **fields).validated(), classify, lambda _: None)  # type: ignore[arg-type]
    return [(p.text, p.emotion, p.emotion_to, round(p.intensity, 2), p.source) for p in parts]


def test_who_decides_the_emotion() -> None:
    assert script("All is joy.") == [("All is joy.", "joy", None, 1.0, "words")]
    assert script("All is joy.", emotion="anger") == [("All is joy.", "anger", None, 1.0, "asked")]
    assert script("Such joy. (angrily) No. (softly) Please.", intensity=0.8) == [
        ("Such joy.", "joy", None, 0.8, "words"),
        ("No.", "anger", None, 0.8, "direction"),
        ("Please.", "anger", None, 0.52, "direction"),
    ]
    assert script("Yes. [joy 0.8 -> sadness 1.1] No.", emotion="fear", emotion_to="anger") == [
        ("Yes.", "fear", "anger", 1.0, "asked"), ("No.", "joy", "sadness", 0.8, "direction"),
    ]  # fmt: skip
    assert script("(whispering) So much joy.") == [("So much joy.", "joy", None, 0.5, "words")]


def test_a_long_line_turns_with_its_words() -> None:
    calm = "I put the keys on the table by the door and went to see what the others were doing in the garden. "
    emotions = [e for _, e, *_ in script(calm + calm + "And then I saw what they had done, and it was pure disgust.")]
    assert emotions[0] == "neutral" and emotions[-1] == "disgust" and len(set(emotions)) == 2


def test_a_short_line_turns_where_its_sentences_do() -> None:
    assert script("Such joy! Oh, the sadness.") == [("Such joy! Oh, the sadness.", "joy", "sadness", 1.0, "words")]
    assert script("Such joy! More joy.")[0][1:3] == ("joy", None)
    assert script("Such joy! Oh, the sadness.", emotion_to="fear")[0][1:3] == ("joy", "fear")  # asked for
    assert script("Such joy! Oh, the sadness.", emotion="anger")[0][1:3] == ("anger", None)

    def whole_is_neither(texts: list[str]) -> np.ndarray:
        return np.stack([classify(["anger"])[0] if "joy" in t and "sadness" in t else classify([t])[0] for t in texts])

    (part,) = write_script(LineRequest("Such joy! Oh, the sadness.").validated(), whole_is_neither, lambda _: None)
    assert (part.emotion, part.emotion_to) == ("anger", None)


def test_words_may_say_two_things_at_once() -> None:
    def torn(texts: list[str], joy: float = 0.5, fear: float = 0.45) -> np.ndarray:
        row = np.full(len(BASIC_EMOTIONS), (1 - joy - fear) / 5, np.float32)
        row[BASIC_EMOTIONS.index("joy")], row[BASIC_EMOTIONS.index("fear")] = joy, fear
        return np.stack([row] * len(texts))

    (part,) = write_script(LineRequest("Here we go.").validated(), torn, lambda _: None)
    assert (part.emotion, part.emotion_with) == ("joy", "fear") and part.share < 0.35  # joy leads
    np.testing.assert_allclose(
        part.weights(), (1 - part.share) * emotion_vector("joy") + part.share * emotion_vector("fear"), rtol=1e-6
    )  # fmt: skip
    # Not knowing which it is does not make it two.
    (part,) = write_script(LineRequest("Here we go.").validated(), lambda t: torn(t, 0.21, 0.2), lambda _: None)
    assert (part.emotion, part.emotion_with) == ("joy", None)
    asked = LineRequest("Here we go.", emotion_with="anger", share=0.2).validated()
    (part,) = write_script(asked, torn, lambda _: None)
    assert (part.emotion, part.emotion_with, part.share) == ("joy", "anger", 0.2)


def test_mixtures_are_written_with_a_plus() -> None:
    meaning = read_notation("joy + fear")
    assert meaning is not None
    assert (meaning.emotion, meaning.emotion_with, meaning.share, meaning.intensity) == ("joy", "fear", 0.5, None)
    meaning = read_notation("Anger 1.2 + sad 0.4")
    assert meaning is not None
    assert (meaning.emotion, meaning.emotion_with, meaning.intensity) == ("anger", "sadness", 1.2)
    assert meaning.share == pytest.approx(0.25)
    assert read_notation("joy + door") is None
    (part,) = write_script(LineRequest("[joy + fear] Go.").validated(), classify, lambda _: None)
    assert (part.emotion, part.emotion_with, part.source) == ("joy", "fear", "direction")
    parts = write_script(LineRequest("[joy + fear] Go. (softly) Now.").validated(), classify, lambda _: None)
    assert parts[1].emotion_with == "fear"
    with pytest.raises(InputError, match=r"from 0 to 1\.5, not 2"):
        read_notation("joy 2 + fear")


def test_segments_are_reported_as_the_protocol_says() -> None:
    (part,) = write_script(LineRequest("All is joy.").validated(), classify, lambda _: None)
    told = json.loads(json.dumps(part.to_json(0, 24)))
    assert set(told) == {
        "text", "emotion", "emotion_to", "intensity", "start", "end", "direction", "source", "alternatives",
        "emotion_with", "share", "stage",
    }  # fmt: skip
    assert next(iter(told["alternatives"])) == "joy" and len(told["alternatives"]) == 3


def test_an_intensity_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[joy 3\] must be from 0 to 1\.5, not 3\."):
        read_directions("[joy 3] Hi.")


def test_notation_is_never_spoken_and_a_line_break_ends_a_clause() -> None:
    (before, after) = read_directions("I waited [sadness] all night")
    assert (before.text, before.direction) == ("I waited", None)
    assert after.text == "all night" and after.direction is not None and after.direction.written == "sadness"
    text, _ = clean_text("No wait\n(sobbing) stay")
    assert text == "No wait, (sobbing) stay"
    assert [stretch.text for stretch in read_directions(text)] == ["No wait,", "stay"]
    assert clean_text("Stay.\n(sobbing) Please\nstay")[0] == "Stay. (sobbing) Please stay"


def test_whatever_can_be_felt_can_be_said() -> None:
    rates = {name: speaking_rate(name) for name in EMOTION_NAMES}
    assert rates["sadly_angry"] == pytest.approx((rates["sadness"] + rates["anger"]) / 2)


def test_sentences_are_read_only_where_the_emotion_may_turn() -> None:
    asked: list[str] = []

    def read(says: dict[str, tuple[str, float]], text: str) -> list[str]:
        def classify(texts: list[str]) -> np.ndarray:
            asked.extend(texts)
            rows = np.zeros((len(texts), len(EMOTIONS)), np.float32)
            for row, one in zip(rows, texts, strict=True):
                name, sure = says[one]
                row[:] = (1 - sure) / (len(EMOTIONS) - 1)
                row[EMOTIONS.index(name)] = sure
            return rows

        asked.clear()
        write_script(LineRequest(text).validated(), classify, lambda _: None)
        return list(asked)

    text, ends = "Oh, a joy. And then. So sad.", ["Oh, a joy.", "So sad."]
    assert read({text: ("neutral", 0.9)}, text) == [text]
    assert read({text: ("joy", 0.9), "So sad.": ("sadness", 0.4)}, text) == [text, "So sad."]
    assert read({text: ("joy", 0.9), "So sad.": ("joy", 0.9), "Oh, a joy.": ("joy", 0.9)}, text) == [text, *ends[::-1]]
    turned = {text: ("joy", 0.9), "So sad.": ("sadness", 0.9), "Oh, a joy.": ("joy", 0.9), "And then.": ("joy", 0.5)}
    assert read(turned, text) == [text, *ends[::-1], "Oh, a joy.", "And then.", "So sad."]
