# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion-labelled lines: our own, XED and GoEmotions, cleaned and mapped to weights over the emotions.

XED: Öhman, Pàmies, Kajava and Tiedemann 2020 (movie subtitles, Plutchik's eight emotions).
GoEmotions: Demszky et al. 2020 (forum comments, 27 emotions and neutral).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction.emotions import EMOTION_NAMES, EMOTIONS, basic_weights, emotion_vector
from ..errors import DataError
from ..reading import TABLE, reading

SPLITS: Final = ("train", "dev", "test")
_MAX_WORDS: Final = 24
_MAX_CHARACTERS: Final = 160
#: Lines of ours that are too near to one of ``evaluation/implied.tsv``, by a cosine of 0.8 or more of mean features:
#: what reads emotions is judged by those and so must not have seen these.
WITHHELD: Final = frozenset(
    {
        "I still lay two cups out. Every morning, I still do it.",
        "I wrote to her every week for a year, and every letter came back unopened.",
        "It's snowing. In June!",
        "Twins? Did you say twins?",
        "I have counted all the tiles on the ceiling.",
        "She married money, of course. What else could she do?",
        "I have spinach in my teeth, don't I?",
        "I've counted the ceiling tiles twice.",
        "You said press any key. Where's the any key?",
        "Snow? It's the sixth of June!",
    }
)
#: More bad rows than this share means that it is another file.
_MAX_BAD_SHARE: Final = 0.05

#: How strongly a line of ours is felt, and the centre of the intensity that it is acted with.
REGISTERS: Final[Mapping[str, float]] = {"trace": 0.5, "mild": 0.75, "clear": 1.0, "strong": 1.15, "extreme": 1.35}
#: Lines of ours by situation, in folders: files named after emotions, "situation<TAB>register<TAB>line".
_SITUATIONS: Final = "situations"

#: XED's Plutchik labels. Trust and anticipation have no face of their own: trust is a mild fondness, anticipation an
#: alert attention; beside another label they add nothing and are dropped.
XED_LABELS: Final[Mapping[int, Mapping[str, float]]] = {
    1: {"anger": 1.0},
    2: {"neutral": 0.65, "surprise": 0.35},
    3: {"disgust": 1.0},
    4: {"fear": 1.0},
    5: {"joy": 1.0},
    6: {"sadness": 1.0},
    7: {"surprise": 1.0},
    8: {"neutral": 0.6, "affection": 0.4},
}
_XED_WEAK: Final = frozenset({2, 8})

#: GoEmotions' 28 labels on our emotions, after the paper's own grouping (figure 2), with milder feelings mixed with
#: neutral. Nothing in it is labelled contempt or boredom: those are learned from our own lines and on unrelated ones.
GOEMOTIONS_LABELS: Final[Mapping[str, Mapping[str, float]]] = {
    "admiration": {"joy": 0.65, "affection": 0.2, "neutral": 0.15},
    "amusement": {"amusement": 1.0},
    "anger": {"anger": 1.0},
    "annoyance": {"anger": 0.6, "contempt": 0.2, "neutral": 0.2},
    "approval": {"joy": 0.45, "neutral": 0.55},
    "caring": {"affection": 0.8, "sadness": 0.2},
    "confusion": {"confusion": 1.0},
    "curiosity": {"surprise": 0.35, "confusion": 0.25, "neutral": 0.4},
    "desire": {"joy": 0.55, "neutral": 0.45},
    "disappointment": {"sadness": 0.75, "anger": 0.1, "neutral": 0.15},
    "disapproval": {"anger": 0.4, "contempt": 0.35, "neutral": 0.25},
    "disgust": {"disgust": 1.0},
    "embarrassment": {"embarrassment": 1.0},
    "excitement": {"joy": 0.75, "surprise": 0.25},
    "fear": {"fear": 1.0},
    "gratitude": {"joy": 0.6, "affection": 0.4},
    "grief": {"sadness": 1.0},
    "joy": {"joy": 1.0},
    "love": {"affection": 1.0},
    "nervousness": {"fear": 0.75, "neutral": 0.25},
    "optimism": {"joy": 0.6, "neutral": 0.4},
    "pride": {"pride": 1.0},
    "realization": {"surprise": 0.65, "neutral": 0.35},
    "relief": {"joy": 0.6, "sadness": 0.2, "neutral": 0.2},
    "remorse": {"sadness": 0.9, "fear": 0.1},
    "sadness": {"sadness": 1.0},
    "surprise": {"surprise": 1.0},
    "neutral": {"neutral": 1.0},
}

_PLACEHOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "PERSON": ("Sam", "Anna", "Robin", "Leo", "Maria", "Tom", "Nina", "Alex"),
    "NAME": ("Sam", "Anna", "Robin", "Leo", "Maria", "Tom", "Nina", "Alex"),
    "LOCATION": ("Paris", "London", "Lisbon", "Boston"),
    "ORGANIZATION": ("the company", "the bank", "the club"),
    "RELIGION": ("the church",),
}
#: Slurs against groups of people, as digests because nobody should have to read them: such lines are dropped.
_SLURS: Final = frozenset(
    {
        "ce8af168e5ab8024", "1cd38d037f9d4f5c", "8f3868450c935994", "903ef3c57623e0bb", "efc92cd9f9de190c",
        "2a4424e5b1d5e2ab", "af1937318636a8ea", "fb7300ca8f745d80", "f147dd592409a071", "b309eee9bc490be0",
        "1ea1574210a081be", "5223959f6e3b4e37", "7446bfd0daac4147", "a3a1d0b30d7bb844",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A line and its label: ``feelings`` over `EMOTIONS` (14,), sum 1; ``source`` names the collection.

    ``register`` is how strongly it is felt, one of `REGISTERS`; ``situation`` who says it to whom after what, or "".
    """

    text: str
    feelings: tuple[float, ...]
    source: str
    register: str = "clear"
    situation: str = ""

    @property
    def weights(self) -> tuple[float, ...]:
        """The label as the nearest blend over `BASIC_EMOTIONS`, (7,)."""
        return tuple(float(w) for w in basic_weights(self.feelings))

    @property
    def emotion(self) -> str:
        """The emotion with the largest weight; a feeling wins over neutral when it has 0.4 or more."""
        felt = max(range(1, len(EMOTIONS)), key=lambda i: self.feelings[i])
        return EMOTIONS[felt] if self.feelings[felt] >= 0.4 else EMOTIONS[0]


@dataclass
class Collection:
    """Lines that were read and the rows that were not: ``skipped`` holds "file, line n: reason" sentences."""

    lines: list[Line] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def clean(text: str) -> str | None:
    """The line as somebody would say it, or None for one that nobody can perform (links, symbols, too long)."""
    if re.search(r"https?:|www\.|\b[ru]/\w|!remindme|\*\*|[|<>{}\\^_~]", text, re.IGNORECASE):
        return None
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")

    def named(match: re.Match[str]) -> str:
        names = _PLACEHOLDERS.get(match.group(1).upper())
        return names[number % len(names)] if names else ""

    text = re.sub(r"\[([A-Za-z]+)\]", named, text)
    text = text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"').replace("…", "...")
    text = re.sub(r"\s*\(.*?\)|\[.*?\]|[#♪♫*=@]|[\U0001F000-\U0001FFFF\u2600-\u27BF\uFE0F\u200D]", " ", text)
    text = re.sub(r"(?<!\w)[:;]['-]?[)(DPp/](?!\w)|(?<!\w)[xX]D(?!\w)|(?<!\w)D:(?!\w)", " ", text)
    text = re.sub(r"^[\s\-–—•]+", "", text.strip())
    text = re.sub(r"\s+([,.;:!?]+)", r"\1", re.sub(r"\s+", " ", text))
    text = re.sub(r"\s+('(?:s|re|ve|ll|d|m|t)|n't)\b", r"\1", text, flags=re.IGNORECASE)
    text = text.replace('"', "").strip()
    words = re.findall(r"[A-Za-z0-9']+", text)
    if not words or not any(c.isalpha() for c in text) or len(words) > _MAX_WORDS or len(text) > _MAX_CHARACTERS:
        return None
    if sum(ord(c) > 127 for c in text) > 0.1 * len(text):
        return None
    if any(hashlib.blake2b(w.lower().encode(), digest_size=8).hexdigest() in _SLURS for w in words):
        return None
    return text


def split_of(text: str) -> str:
    """train (94 %), dev (3 %) or test (3 %), from the words alone, so that no spelling of a line is in two splits."""
    words = " ".join(re.findall(r"[a-z0-9]+", text.lower())) or text
    part = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=4).digest(), "little") % 1000
    return "test" if part < 30 else "dev" if part < 60 else "train"


def builtin_lines() -> Collection:
    """Our own lines (CC0), without any file from elsewhere."""
    return _own_lines("lines.tsv")


def everyday_lines() -> Collection:
    """More of our own lines (CC0), which nobody acts: what the collections have little or nothing of.

    Plain lines of everyday life, and contempt, boredom, pride and embarrassment as somebody would say them.
    """
    return _own_lines("everyday.tsv")


def written_lines() -> Collection:
    """Our own lines by situation (CC0): said to somebody after something, in a register; without those `WITHHELD`.

    What is felt is implied more often than named.
    """
    result = Collection()
    folder = Path(__file__).with_name(_SITUATIONS)
    for path in sorted(folder.rglob("*.tsv")):
        name = f"{_SITUATIONS}/{path.relative_to(folder).as_posix()}"
        if path.stem not in EMOTIONS:
            raise DataError(f"{name} is named after no emotion: use one of {', '.join(EMOTIONS)}.")
        feelings = tuple(float(w) for w in emotion_vector(path.stem))
        for number, row in _rows(path):
            situation, register, text = (*row.split("	"), "", "")[:3]  # quotes stand for themselves
            if number == 1 and register == "register":
                continue
            if register not in REGISTERS or not text.strip():
                raise DataError(
                    f"{name}, line {number}: expected a situation, a register ({', '.join(REGISTERS)}) and a line "
                    f"between tabs, found {row!r:.80}."
                )
            if text.strip() not in WITHHELD:
                result.lines.append(Line(text.strip(), feelings, "builtin", register, situation))
    return result


def _own_lines(name: str) -> Collection:
    path = Path(__file__).with_name(name)
    result = Collection()
    for number, row in _rows(path):
        emotion, _, text = row.partition("\t")
        if emotion not in EMOTION_NAMES or not text:
            raise DataError(f"{path.name}, line {number}: expected an emotion name, a tab and a line, found {row!r}.")
        result.lines.append(Line(text, tuple(float(w) for w in emotion_vector(emotion)), "builtin"))
    return result


def read_xed(folder: Path) -> Collection:
    """XED's English files in ``folder``: en-annotated.tsv (text, labels 1-8) and, if present, neu_en.txt (9, text)."""
    result = Collection()
    rows = 0
    annotated = folder / "en-annotated.tsv"
    for number, row in _rows(annotated):
        rows += 1
        text, _, labels = row.rpartition("\t")
        try:
            found = sorted({int(label) for label in labels.split(",")})
            strong = [label for label in found if label not in _XED_WEAK] or found
            weights = _mean([XED_LABELS[label] for label in strong])
        except (ValueError, KeyError):
            result.skipped.append(f"{annotated.name}, line {number}: {labels!r} is not a list of labels from 1 to 8")
            continue
        _keep(result, text, weights, "XED")
    neutral = folder / "neu_en.txt"
    if neutral.is_file():
        for number, row in _rows(neutral):
            rows += 1
            label, _, text = row.partition("\t")
            if label.strip() != "9" or not text:
                result.skipped.append(
                    f"{neutral.name}, line {number}: expected 9, a tab and a line, found {row[:40]!r}"
                )
                continue
            _keep(result, text, _mean([{"neutral": 1.0}]), "XED")
    return _checked(result, rows, annotated)


def read_goemotions(folder: Path) -> Collection:
    """GoEmotions in ``folder``: labels.txt and train.tsv, dev.tsv, test.tsv (text, label numbers, id)."""
    names = [name.strip() for _, name in _rows(folder / "labels.txt")]
    unknown = sorted(set(names) - set(GOEMOTIONS_LABELS))
    if unknown:
        raise DataError(
            f"{folder / 'labels.txt'} names {unknown[0]!r}, which is not a GoEmotions label: check --goemotions."
        )
    result = Collection()
    rows = 0
    for part in SPLITS:
        path = folder / f"{part}.tsv"
        if not path.is_file() and part != "train":
            continue
        for number, row in _rows(path):
            rows += 1
            fields = row.split("\t")
            try:
                weights = _mean([GOEMOTIONS_LABELS[names[int(label)]] for label in fields[1].split(",")])
            except (ValueError, IndexError):
                result.skipped.append(
                    f"{path.name}, line {number}: expected a line, a tab and label numbers below {len(names)}"
                )
                continue
            _keep(result, fields[0], weights, "GoEmotions")
    return _checked(result, rows, folder / "train.tsv")


def unique(lines: list[Line]) -> list[Line]:
    """Lines without repetitions; a line with several labels keeps their mean."""
    grouped: dict[str, list[Line]] = {}
    for line in lines:
        grouped.setdefault(line.text.lower(), []).append(line)
    result = []
    for same in grouped.values():
        mean = np.mean([line.feelings for line in same], axis=0)
        first = same[0]
        result.append(Line(first.text, tuple(float(w) for w in mean), first.source, first.register, first.situation))
    return result


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    if not path.exists():
        raise DataError(f"{path} does not exist: give the folder that holds {path.name}.")
    with reading(path, TABLE, lambda why: DataError(f"{path} cannot be read as UTF-8 text ({why}).")) as file:
        content = file.text()
    for number, row in enumerate(content.split("\n"), start=1):
        if row.strip():
            yield number, row.rstrip("\r")


def _keep(result: Collection, text: str, weights: npt.NDArray[np.float64], source: str) -> None:
    if (cleaned := clean(text)) is not None:
        result.lines.append(Line(cleaned, tuple(float(w) for w in weights), source))


def _mean(parts: list[Mapping[str, float]]) -> npt.NDArray[np.float64]:
    weights = np.zeros(len(EMOTIONS))
    for part in parts:
        for name, value in part.items():
            weights[EMOTIONS.index(name)] += value / len(parts)
    return weights


def _checked(result: Collection, rows: int, path: Path) -> Collection:
    if not rows:
        raise DataError(f"{path} is empty: give the folder with the original files.")
    if len(result.skipped) > _MAX_BAD_SHARE * rows:
        raise DataError(
            f"{len(result.skipped)} of {rows} rows beside {path} cannot be read, so it is another file; the first: "
            f"{result.skipped[0]}."
        )
    return result
