# SPDX-License-Identifier: GPL-3.0-or-later
"""A blind quiz for people, as one page that works offline in any browser; and the statistics of what they answer.

The page does not know which clip is whose: that is in ``key.json``, which stays with whoever asks.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from scipy.stats import binomtest

from ..direction.emotions import EMOTIONS
from ..errors import InputError
from ..evaluation.distances import Clip
from ..evaluation.shares import share_of
from ..reading import TABLE, reading, refusing
from .face import draw_face
from .statistics import holm

QUIZ: Final = "quiz.html"
KEY: Final = "key.json"
_TEMPLATE: Final = Path(__file__).with_name("quiz.html")
_PLACE: Final = "/*QUIZ*/null"
_SCHEMA: Final = 1
#: Frames per second, pixels and frames in a row of what is shown, and the quality of its pictures.
_FPS, _SIZE, _COLUMNS, _QUALITY = 12, 144, 8, 82


@dataclass(frozen=True)
class Shown:
    """One line by every system.

    Attributes:
        text, emotion: of the line.
        clips: whole faces of arkit55 at 24 frames a second, by system.
    """

    text: str
    emotion: str
    clips: Mapping[str, Clip]


def make_quiz(lines: Sequence[Shown], seed: int) -> tuple[bytes, bytes]:
    """The page and its key."""
    rng = np.random.default_rng(seed)
    names = list(lines[0].clips)
    codes = iter(rng.permutation(len(names) * len(lines)).tolist())
    clips: dict[str, dict[str, Any]] = {}
    key: dict[str, dict[str, str]] = {}
    trials: list[dict[str, Any]] = []
    for number, line in enumerate(lines):
        ids = {}
        for name in names:
            ids[name] = code = f"c{next(codes)}"
            clips[code] = _strip(line.clips[name])
            key[code] = {"system": name, "emotion": line.emotion, "line": str(number)}
            trials.append({"kind": "guess", "clips": [code]})
        for first, second in combinations(names, 2):
            both = sorted((ids[first], ids[second]))
            trials.append({"kind": "prefer", "clips": both, "text": line.text, "emotion": line.emotion})
    asked = sorted({line.emotion for line in lines} | {"neutral"}, key=EMOTIONS.index)
    # Sorted by code, the clips' order in the file says nothing.
    quiz = {"fps": _FPS, "size": _SIZE, "columns": _COLUMNS, "emotions": asked, "trials": trials,
            "clips": dict(sorted(clips.items()))}  # fmt: skip
    quiz["id"] = hashlib.sha256(json.dumps(quiz, sort_keys=True).encode()).hexdigest()[:16]
    data = json.dumps(quiz, ensure_ascii=False).replace("</", "<\\/")
    page = _TEMPLATE.read_text("utf-8").replace(_PLACE, data)
    kept = {"schema_version": _SCHEMA, "quiz": quiz["id"], "emotions": asked, "clips": key}
    return page.encode(), json.dumps(kept, indent=1).encode()


def _strip(frames: Clip) -> dict[str, Any]:
    """A clip as one picture with all its frames."""
    times = np.arange(0, len(frames), 24 // _FPS)
    sheet = np.zeros((-(-len(times) // _COLUMNS) * _SIZE, _COLUMNS * _SIZE, 3), np.uint8)
    for number, time in enumerate(times):
        row, column = (_SIZE * place for place in divmod(number, _COLUMNS))
        sheet[row : row + _SIZE, column : column + _SIZE] = draw_face(frames[time], _SIZE)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "JPEG", quality=_QUALITY)
    picture = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"frames": len(times), "picture": picture}


# Answers -------------------------------------------------------------------------------------------------------------


def judge_answers(out: Path, files: Sequence[Path]) -> str:
    """What people answered, as Markdown.

    Args:
        out: the folder of the page, for its key.
        files: answers, one file a person.

    Raises:
        InputError: there is no key, or a file holds no answers to this quiz.
    """
    key = _read(out / KEY, f"There is no quiz in {out}; make one with 'lab compare', and keep its {KEY}.")
    people = [_answers(path, key) for path in files]
    return "\n".join([*_guesses(people, key), "", *_preferences(people, key), "", _CAVEAT])


_CAVEAT: Final = (
    "Intervals are Wilson's, 95 %. Answers of one person are counted as if they were independent; with few people "
    "read p as a hint."
)


def _guesses(people: list[list[dict[str, Any]]], key: dict[str, Any]) -> list[str]:
    clips, chance = key["clips"], 1 / len(key["emotions"])
    right: dict[str, dict[tuple[int, str], bool]] = {}  # system -> person and line -> whether guessed
    for number, answers in enumerate(people):
        for answer in answers:
            if answer["kind"] == "guess":
                clip = clips[answer["clips"][0]]
                hit = answer["answer"] == clip["emotion"]
                right.setdefault(clip["system"], {})[number, clip["line"]] = hit
    count = f"{len(people)} {'person' if len(people) == 1 else 'people'}"
    rows = [f"| {count} | emotion guessed | p, against chance ({chance:.2f}) |", "|---|---|---|"]
    for name, by in right.items():
        p = binomtest(sum(by.values()), len(by), chance, alternative="greater").pvalue
        rows.append(f"| {name} | {share_of(sum(by.values()), len(by))} | {p:.2g} |")
    compared = []
    for (first, one), (second, other) in combinations(right.items(), 2):
        both = [(one[line], other[line]) for line in one if line in other]
        better, worse = sum(a and not b for a, b in both), sum(b and not a for a, b in both)
        text = f"{first} right where {second} is wrong: {better}; the reverse: {worse}"
        compared.append((text, better, better + worse))
    return [*rows, "", *_tested(compared, "McNemar")]


def _preferences(people: list[list[dict[str, Any]]], key: dict[str, Any]) -> list[str]:
    clips = key["clips"]
    wins: dict[tuple[str, ...], list[str | None]] = {}
    for answer in (answer for answers in people for answer in answers if answer["kind"] == "prefer"):
        pair = tuple(sorted(clips[code]["system"] for code in answer["clips"]))
        wins.setdefault(pair, []).append(None if answer["answer"] is None else clips[answer["answer"]]["system"])
    compared = []
    for (first, second), chosen in wins.items():
        ours, both = chosen.count(first), len(chosen) - chosen.count(None)
        text = f"{first} preferred to {second}: {share_of(ours, both) if both else 'never'}"
        compared.append((f"{text}, no difference seen {chosen.count(None)} times", ours, both))
    return _tested(compared, "sign test")


def _tested(compared: list[tuple[str, int, int]], test: str) -> list[str]:
    """A sentence each with how often of how often the first side won, tested against one half, corrected."""
    corrected = holm([binomtest(won, of).pvalue if of else 1.0 for _, won, of in compared])
    return [f"- {text} ({test}, p = {p:.2g} after Holm)" for (text, _, _), p in zip(compared, corrected, strict=True)]


def _answers(path: Path, key: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers in a file; InputError names it when they are not of this quiz."""
    held = _read(path, f"There is no file {path}; --answers takes files that the quiz has saved.")
    if held.get("quiz") != key["quiz"]:
        raise InputError(
            f"{path} holds answers to another quiz; name the folder of the page that was answered with --out."
        )
    answers: list[dict[str, Any]] = held.get("answers", [])
    with refusing(lambda why: InputError(f"{path} is damaged ({why}): it holds no answers as the quiz saves them.")):
        for answer in answers:
            clips, said = answer["clips"], answer["answer"]
            count, choices = {"guess": (1, key["emotions"]), "prefer": (2, clips)}[answer["kind"]]
            if len(clips) != count or not set(clips) <= set(key["clips"]) or (said is not None and said not in choices):
                raise ValueError("an answer does not fit")
        if not answers:
            raise ValueError("it is empty")
    return answers


def _read(path: Path, otherwise: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(otherwise)
    with reading(path, TABLE, lambda why: InputError(f"{path} is damaged ({why}); take it as it was saved.")) as file:
        held: dict[str, Any] = file.json()
        if not isinstance(held, dict):
            raise ValueError("it is no JSON object")
    return held
