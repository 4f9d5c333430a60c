# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions are three kinds of things, and what is in brackets may be said: read as scripts have them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from generator.direction.actions import Action, action_table, is_business, read_action
from generator.direction.brackets import Stretch, read_directions
from generator.direction.emotions import EMOTIONS
from generator.direction.nearest import NearestDirection
from generator.direction.notation import Meaning, read_words
from generator.direction.requests import LineRequest
from generator.direction.script import write_script
from generator.direction.understanding import understand
from generator.engine.builtin import NumpyEngine
from generator.engine.files import DEFAULT_CHECKPOINT

DATA = Path(__file__).with_name("data")
#: What a manner is, by the word for it in the data.
MANNERS = {
    "softer": lambda m: m.factor < 1 or m.energy < 1,
    "louder": lambda m: m.factor > 1 or m.energy > 1,
    "weaker": lambda m: m.factor < 1 or m.energy < 1,
    "stronger": lambda m: m.factor > 1 or m.energy > 1,
    "slower": lambda m: m.rate < 1,
    "faster": lambda m: m.rate > 1,
}


@pytest.fixture(scope="module")
def nearest() -> NearestDirection:
    return NearestDirection(NumpyEngine.load(DEFAULT_CHECKPOINT).pooled)


def rows(split: str) -> list[tuple[str, str, str]]:
    lines = (DATA / f"directions_{split}.tsv").read_text("utf-8").splitlines()
    found = [tuple(line.split("\t")) for line in lines if line and not line.startswith("#")]
    assert len(found) in (40, 80) and all(len(row) == 3 for row in found)
    return found  # type: ignore[return-value]


def kind_of(stretches: list[Stretch]) -> str:
    """What the one bracket of a line was understood to be."""
    directed = [stretch.direction.meaning for stretch in stretches if stretch.direction]
    beside = [one for stretch in stretches for one in stretch.stage]
    return directed[0].kind if directed else beside[0].kind if beside else "said"


def is_right(line: str, kind: str, content: str, stretches: list[Stretch]) -> bool:
    """Whether the bracket of a line was understood as ``content`` says; the header of the data has its notation."""
    match = re.search(r"[(\[]([^)\]]+)[)\]]", line)
    assert match
    text = " ".join(stretch.text for stretch in stretches)
    if kind == "said":
        return text == line
    bare = " ".join(f"{line[: match.start()]} {line[match.end() :]}".split())
    if text != bare:  # what is not said is not spoken, and nothing else is lost
        return False
    meanings = [stretch.direction.meaning for stretch in stretches if stretch.direction]
    beside = [one for stretch in stretches for one in stretch.stage]
    names = [one.name for one in beside if one.kind == "action" and one.name]
    if kind == "note":
        return not meanings and [(one.kind, f"to {one.name}" if one.name else "-") for one in beside] == [
            ("note", content)
        ]
    if kind == "action":
        wanted = [] if content == "-" else [part.strip().split("|") for part in content.split(",")]
        return len(names) == len(wanted) and all(name in some for name, some in zip(names, wanted, strict=True))
    return len(meanings) == 1 and any(is_felt(meanings[0], one.strip()) for one in content.split("|"))


def is_felt(meaning: Meaning, content: str) -> bool:
    if content.startswith("not "):
        return meaning.emotion is None and meaning.barred == content[4:]
    emotion, *manners = (part.strip() for part in content.split("+"))
    if emotion in MANNERS:
        emotion, manners = "", [emotion, *manners]
    before, _, after = emotion.partition(" -> ")
    felt = not emotion or (meaning.emotion == before and meaning.emotion_to == (after or None))
    return felt and all(MANNERS[manner](meaning) for manner in manners)


def shares(split: str, nearest: NearestDirection) -> tuple[float, float, list[str]]:
    """Right kinds and right contents, 0..1, and the lines that are misunderstood."""
    kinds, contents, wrong = [], [], []
    for kind, content, line in rows(split):
        found = read_directions(line, nearest.find)
        kinds.append(kind_of(found) == kind)
        contents.append(kinds[-1] and is_right(line, kind, content, found))
        if not contents[-1]:
            wrong.append(f"{line}: {kind_of(found)} instead of {kind}, {content}")
    return float(np.mean(kinds)), float(np.mean(contents)), wrong


def test_directions_the_reader_was_built_on(nearest: NearestDirection) -> None:
    kinds, contents, wrong = shares("dev", nearest)
    assert kinds >= 0.95 and contents >= 0.9, wrong


def test_directions_it_was_not_built_on(nearest: NearestDirection) -> None:
    kinds, contents, _ = shares("test", nearest)
    assert kinds >= 0.95 and contents >= 0.9, (kinds, contents)


def test_directions_of_the_printed_play_it_was_built_on(nearest: NearestDirection) -> None:
    kinds, contents, wrong = shares("wilde", nearest)
    assert kinds >= 0.95 and contents >= 0.9, wrong


@pytest.mark.parametrize("plays", ["husband", "shaw", "plays"])
def test_directions_of_the_printed_plays_it_was_built_on_since(plays: str, nearest: NearestDirection) -> None:
    kinds, contents, wrong = shares(plays, nearest)
    assert kinds >= 0.9 and contents >= 0.9, wrong


def test_directions_of_later_plays(nearest: NearestDirection) -> None:
    kinds, contents, _ = shares("later", nearest)
    assert kinds >= 0.8 and contents >= 0.7, (kinds, contents)  # docs/directions.md: what is missing


def test_a_wrong_reader_is_found_out() -> None:
    # What is played today of every bracket that is not read: an emotion.
    wrong = [Stretch("It's been a long week.", None)]
    assert kind_of(wrong) == "said"
    assert not is_right("(sighs) It's been a long week.", "action", "sigh", wrong)
    assert not is_right("(to Anna) Go.", "note", "to Anna", read_directions("(to Tom) Go."))
    assert not is_felt(Meaning("anger"), "not anger") and not is_felt(Meaning(None), "slower")
    assert not is_felt(Meaning("anger"), "anger + softer")


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("not angry", Meaning(None, barred="anger")),
        ("without any anger", Meaning(None, barred="anger")),
        ("no longer sad", Meaning(None, barred="sadness")),
        ("not sad, but proud", Meaning("pride")),
        ("not too angry", Meaning("anger", 0.65)),
        ("not unkindly", Meaning("affection", 0.65)),
        ("not the blue one", None),
    ],
)
def test_what_is_denied_is_not_felt(words: str, meaning: Meaning | None) -> None:
    assert read_words(words) == meaning


def test_what_is_kept_back_is_felt_less() -> None:
    for words in ("trying not to cry", "holding back a sob", "suppressing his anger"):
        meaning = read_words(words)
        assert meaning is not None and meaning.emotion in ("sadness", "anger") and meaning.factor < 1, words


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ("nods", Action("nod")), ("a slow nod", Action("nod", pace=0.72)), ("she nods", Action("nod")),
        ("Anna nods", Action("nod")), ("gives a small nod", Action("nod", size=0.6)), ("with a shrug", Action("shrug")),
        ("shaking his head", Action("shake_head", goes_on=True)), ("her eyes widen", Action("widen_eyes")),
        ("a long pause", Action("pause", pace=0.5)), ("Beat.", Action("beat")), ("waits", Action("pause")),
        ("smiles sadly", Action("smile", manner="sadly")), ("lets out a long breath", Action("sigh", pace=0.5)),
        ("looks down at the floor", Action("look_down", manner="at floor")),
        ("shakes his hand", None), ("blinks back tears", None), ("nods off", None), ("wait", None), ("look", None),
        ("the keys", None), ("turns to Anna", None), ("under her breath", None), ("without a pause", None),
    ],
)  # fmt: skip
def test_actions_by_their_words(words: str, action: Action | None) -> None:
    assert read_action(words) == action


def test_what_is_done_with_more_than_a_face() -> None:
    done = (
        "gets up",
        "she rubs his head",
        "Tom sits down",
        "picking up the phone",
        "the door opens slowly",
        "not moving",
    )
    assert [words for words in done if not is_business(words)] == []
    said = (
        "this is it",
        "my keys",
        "the red one",
        "she told me",
        "yes",
        "always",
        "dubious",
        "nothing much",
        "years ago",
    )
    assert [words for words in said if is_business(words)] == []


def test_every_phrase_of_the_table_is_found() -> None:
    """Its words name the action of their row, however they are inflected."""
    for name, row in action_table().items():
        assert name in EMOTIONS or "feels" not in row or row["feels"] in EMOTIONS
        for phrase in row["words"]:
            first, _, rest = phrase.partition(" ")
            found = read_action(phrase, plainly=True)
            assert found and found.name == name, (phrase, found, first, rest)


def stretches(text: str) -> list[tuple[str, str | None, list[tuple[str, str | None, int]]]]:
    return [
        (s.text, s.direction and s.direction.written, [(one.kind, one.name, one.at) for one in s.stage])
        for s in read_directions(text)
    ]


@pytest.mark.parametrize(
    ("text", "said", "whom"),
    [
        ("I know (turns to Anna) you don't.", "I know you don't.", "Anna"),
        ("I know (turning slowly towards him) you don't.", "I know you don't.", "him"),
        ("(turning to face Anna) I know.", "I know.", "Anna"),
        ("I know (to Anna) you don't.", "I know (to Anna) you don't.", None),  # it may be said
        ("It was (turned to gold) once.", "It was (turned to gold) once.", None),
        ("I like it (music) a lot.", "I like it (music) a lot.", None),
    ],
)
def test_who_turns_to_somebody_says_nothing(text: str, said: str, whom: str | None) -> None:
    ((words, _, beside),) = stretches(text)
    assert (words, [name for _, name, _ in beside]) == (said, [] if whom is None else [whom])


def test_a_look_in_the_eye_is_a_look() -> None:
    assert read_action("looks Anna in the eye") == read_action("looks him in the eye")
    assert read_action("Anna in the eye") is None


def test_actions_and_notes_do_not_part_the_words() -> None:
    assert stretches("I knew. (sighs) You (winks) did not — (beat) — go on (shrugs).") == [
        ("I knew. You did not — go on.", None, [("action", "sigh", 7), ("action", "wink", 11), ("action", "beat", 21),
                                                ("action", "shrug", 27)]),
    ]  # fmt: skip
    assert stretches("(sadly) No. (nods, then smiles) Yes. (to Tom) Go.") == [
        ("No. Yes. Go.", "sadly", [("action", "nod", 3), ("action", "smile", 3), ("note", "Tom", 8)]),
    ]  # fmt: skip
    assert stretches("(sighs) (angrily) Go.") == [("Go.", "angrily", [("action", "sigh", 0)])]
    assert stretches("(softly, to himself) Fine.") == [("Fine.", "softly, to himself", [("note", "himself", 0)])]
    assert stretches("(laughing) Stop it.") == [("Stop it.", "laughing", [("action", "laugh", 0)])]
    assert stretches("(sighs)") == [("...", None, [("action", "sigh", 0)])]
    assert stretches("Go on. (sighs)") == [("Go on.", None, [("action", "sigh", 6)])]
    assert stretches("(Thanks.) I know.") == [("(Thanks.) I know.", None, [])]


def test_stars_are_directions_where_they_are_known_actions() -> None:
    assert stretches("*sighs* I know.") == [("I know.", None, [("action", "sigh", 0)])]
    for text in ("I *do* care.", "She *looks* good.", "*Really* good.", "**sighs**", "*sighs"):
        assert stretches(text) == [(text, None, [])]


def test_what_bracketed_words_hold_together() -> None:
    sad = understand("smiles sadly")
    assert sad is not None and (sad.kind, sad.emotion, [a.name for a in sad.actions]) == (
        "action",
        "sadness",
        ["smile"],
    )
    brief = understand("smiles, but only briefly")
    assert brief is not None and brief.actions[0].pace > 1 and brief.emotion is None
    aloud = understand("quietly, to Anna")
    assert aloud is not None and (aloud.to, aloud.note) == ("Anna", True) and aloud.factor < 1
    after = understand("To Anna, eagerly.")
    assert after is not None and (after.to, after.emotion) == ("Anna", "joy")
    three = understand("to Anna, Tom and Bob")
    assert three is not None and three.to == "Anna, Tom and Bob"
    unknown = understand("sighs, wiggling her ears")
    assert unknown is not None and [a.name for a in unknown.actions] == ["sigh", None]


@pytest.mark.parametrize(
    "words",
    [
        "severely", "with great dignity", "in a low voice", "crossing to the sofa", "rises and goes to window",
        "enter LANE", "exit", "pause", "aside", "to GWENDOLEN", "picking up the letter", "shows diary",
        "laughing, to Jack", "Anna and Tom embrace", "hat in hand", "at the window", "speaking very rapidly",
        "rises in great agitation", "a knock at the door", "sits down, takes up a book",
    ],
)  # fmt: skip
def test_a_full_stop_within_the_brackets_changes_nothing(words: str, nearest: NearestDirection) -> None:
    bare = understand(words, nearest.find)
    assert bare is not None
    for printed in (f"{words}.", f"{words[0].upper()}{words[1:]}.", f"{words[0].upper()}{words[1:]}"):
        assert understand(printed, nearest.find) == bare, printed


@pytest.mark.parametrize(
    "words",
    [
        "Thanks.", "I know.", "No, really?", "Sorry!", "With pleasure.", "In a minute.", "On Monday.", "Good.",
        "Agreed.", "Obviously.", "Going up?", "Makes sense.", "Keys, please.", "The tall one.", "The door is locked.",
        "In Paris.", "Tom and Anna are here.", "They know.", "God knows.", "Very funny.", "Anna loves Bob.",
        "Who cares.", "Missing you.", "Two minutes.", "Not bad.", "All of them.", "Wait.",
    ],
)  # fmt: skip
def test_sentences_in_brackets_are_said(words: str, nearest: NearestDirection) -> None:
    assert understand(words, nearest.find) is None


@pytest.mark.parametrize(
    ("words", "kind", "what"),
    [
        ("Anna is about to speak.", "action", None), ("He looks after her, then sits down.", "action", None),
        ("Who has risen and is wandering about.", "action", None), ("As he hurries down the steps.", "action", None),
        ("L.C.", "note", None), ("Still seated.", "note", None), ("As before.", "note", None),
        ("With a glance at the door, Tom takes the letter and leaves the room in silence.", "action", None),
        ("ashamed of herself", "emotion", "embarrassment"), ("With tears in her eyes.", "emotion", "sadness"),
        ("with grave irony", "emotion", "contempt"), ("Is a little taken aback, but smiles.", "emotion", "surprise"),
        ("Then angrily.", "emotion", "anger"), ("To Anna, with dignity.", "note", "pride"),
        ("Rising impatiently.", "action", "anger"), ("At the door, sadly.", "emotion", "sadness"),
        ("furious--throwing it down", "emotion", "anger"), ("The shop on the corner.", "said", None),
        ("He is my brother.", "said", None), ("Is that so?", "said", None), ("Glad to hear it.", "said", None),
    ],
)  # fmt: skip
def test_directions_as_plays_print_them(words: str, kind: str, what: str | None) -> None:
    found = understand(words)
    assert (found.kind if found else "said") == kind and (what is None or (found and found.emotion == what)), found


def test_directions_amid_a_clause() -> None:
    for text in ("He is (proudly) a major.", "But (with a sob) I will not.", "Now (taking her arm) come.",
                 "I got a coat (holds it up) and a hat."):  # fmt: skip
        assert "(" not in " ".join(stretch.text for stretch in read_directions(text)), text
    for text in ("It is (sadly) over.", "My (running) total.", "The box (comes with fries) is here."):
        assert [stretch.text for stretch in read_directions(text)] == [text]


def test_how_something_is_done_is_felt() -> None:
    turned = understand("Turns to him with a cold smile.")
    assert turned is not None and (turned.kind, turned.emotion) == ("action", "anger")
    slow = understand("Sits down slowly.")
    assert slow is not None and slow.rate == 1.0 and not slow.directs


def test_an_emotion_that_is_denied_is_masked() -> None:
    def classify(texts: list[str]) -> np.ndarray:
        rows = np.full((len(texts), len(EMOTIONS)), 0.01, np.float32)
        rows[:, EMOTIONS.index("anger")], rows[:, EMOTIONS.index("sadness")] = 0.6, 0.27
        return rows

    def played(text: str, **fields: object) -> list[tuple[str, str | None]]:
        parts = write_script(LineRequest(text, **fields).validated(), classify, lambda _: None)  # type: ignore[arg-type]
        return [(part.emotion, part.emotion_with) for part in parts]

    assert played("Go away.") == [("anger", None)]
    assert played("(not angry) Go away.") == [("sadness", None)]
    assert played("(not angry) Go away.", emotion="anger") == [("neutral", None)]
    assert played("(not angry) Go away.", emotion="joy") == [("joy", None)]
    assert played("(sad) Go. (no longer sad) Stay.") == [("sadness", None), ("anger", None)]
