# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions are three kinds of things, and what is in brackets may be said: read as scripts have them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from generator.direction.brackets import Stretch, read_directions
from generator.direction.nearest import NearestDirection
from generator.direction.notation import Meaning
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
    assert len(found) == 40 and all(len(row) == 3 for row in found)
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


def test_a_wrong_reader_is_found_out() -> None:
    # What is played today of every bracket that is not read: an emotion.
    wrong = [Stretch("It's been a long week.", None)]
    assert kind_of(wrong) == "said"
    assert not is_right("(sighs) It's been a long week.", "action", "sigh", wrong)
    assert not is_right("(to Anna) Go.", "note", "to Anna", read_directions("(to Tom) Go."))
    assert not is_felt(Meaning("anger"), "not anger") and not is_felt(Meaning(None), "slower")
    assert not is_felt(Meaning("anger"), "anger + softer")
