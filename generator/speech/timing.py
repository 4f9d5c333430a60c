# SPDX-License-Identifier: GPL-3.0-or-later
"""A line in time from its text alone: `time_line` makes the `Timeline` that the mouth follows.

Segment lengths follow Klatt 1976 in outline: stressed vowels are long, phrase-final syllables are stretched. One seed
times a line, whatever is felt while it is said; another seed is another reading of it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction.emotions import COMPOUND_EMOTIONS
from ..shared.timeline import BILABIALS, VOWELS, Accent, Event, Phoneme, Phrase, Timeline, Word
from .reading import HESITATIONS, INTERJECTIONS, ReadWord, Script, words_table

_LENGTHS: Final[Mapping[str, float]] = words_table()["lengths"]
_SECONDS: Final[Mapping[str, float]] = {**words_table()["lengths"]["vowels"], **words_table()["lengths"]["consonants"]}
_PAUSES: Final[Mapping[str, float]] = words_table()["pauses"]
_SILENCE: Final = words_table()["silence"]
_FIT: Final[Mapping[str, Sequence[float]]] = words_table()["fit"]
_EVENT_SECONDS: Final[Mapping[str, float]] = words_table()["events"]
#: Emotion -> how fast it speaks at intensity 1, 1 natural.
RATES: Final[Mapping[str, float]] = words_table()["rates"]

Floats = npt.NDArray[np.float64]


def speaking_rate(emotion: str, intensity: float = 1.0) -> float:
    """How fast one speaks who feels ``emotion``, of `EMOTION_NAMES`, 1 natural; ``intensity`` 0 to 1.5."""
    parts = COMPOUND_EMOTIONS.get(emotion, {emotion: 1.0})
    return float(sum(share * RATES[name] for name, share in parts.items()) * (0.94 + 0.06 * intensity))


def time_line(
    script: Script, seed: int = 0, rate: float | Floats = 1.0, beats: Mapping[int, float] | None = None
) -> Timeline:
    """Times a line that has been read.

    Args:
        script: from `generator.speech.reading.read_line`.
        seed: of the timing; the same line and seed give the same times.
        rate: speaking rate, 1 natural (about 12 sounds a second); or one for each word.
        beats: index of a word -> seconds of silence before it, beside the pause of its mark; the number of words for
            silence after the last one.
    """
    entropy = [seed, zlib.crc32(script.text.encode("utf-8", "replace"))]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    rates = _each_word(script, rate)
    ends = (rates[0], rates[-1]) if len(rates) else (1.0, 1.0)
    lead, tail = (
        float(rng.uniform(*_SILENCE[name]) / end**0.5) for name, end in zip(("lead", "tail"), ends, strict=True)
    )
    beats = beats or {}
    spoken = speak(script, rng, rates, lead + beats.get(0, 0.0), beats)
    last = max((e.end for e in spoken.events), default=0.0)
    return replace(spoken, seconds=_rounded(max(spoken.end + tail, last) + beats.get(len(script.words), 0.0)))


def _each_word(script: Script, rate: float | Floats) -> Floats:
    return np.broadcast_to(np.asarray(rate, np.float64), len(script.words))


def speak(
    script: Script,
    rng: np.random.Generator,
    rate: float | Floats = 1.0,
    start: float = 0.0,
    beats: Mapping[int, float] | None = None,
) -> Timeline:
    """Puts a line in time from ``start`` to its last sound; another generator state gives another reading."""
    beats = beats or {}
    words, rates = script.words, _each_word(script, rate)
    word_rates = (1.0 / rates) * np.exp(rng.normal(0.0, _LENGTHS["word_rate_jitter"], len(words)))
    jitter = np.exp(rng.normal(0.0, _SILENCE["jitter"], len(script.marks)))
    timed: list[Word] = []
    now = start
    for index, word in enumerate(words):
        final = index + 1 == len(words) or words[index + 1].phrase != word.phrase
        edges = _rounded_all(now + np.concatenate(([0.0], np.cumsum(_sound_lengths(word, final) * word_rates[index]))))
        sounds = zip(word.phones, edges, edges[1:], strict=False)
        timed.append(Word(word.text, tuple(Phoneme(s, degree, a, b) for (s, degree), a, b in sounds)))
        now = edges[-1]
        if final:
            pause = _PAUSES.get(script.marks[word.phrase], _PAUSES[""])
            now += pause * float(jitter[word.phrase] / rates[index] ** 0.7)
        now += beats.get(index + 1, 0.0)
    phrases = tuple(_phrases(script, timed, beats))
    end = timed[-1].end if timed else start
    return Timeline(
        script.text, end, tuple(timed), phrases, _accents(script, timed, rng), _events(script, timed, start, end),
        script.language,
    )  # fmt: skip


def _phrases(script: Script, timed: Sequence[Word], beats: Mapping[int, float]) -> Iterator[Phrase]:
    """What is said in one breath: the phrases of the line, parted where there is silence within one."""
    for number, mark in enumerate(script.marks):
        members = [k for k, word in enumerate(script.words) if word.phrase == number]
        starts = [k for k in members if k == members[0] or k in beats]
        for first, following in zip(starts, [*starts[1:], None], strict=False):  # none where nothing is said
            last = members[-1] if following is None else following - 1
            yield Phrase(timed[first].start, timed[last].end, mark if following is None else "-")


def fitted(timeline: Timeline, seconds: float, start: float | None = None) -> Timeline:
    """The same line in another length: pauses give way first, then vowels, then consonants; p, b and m last.

    A line that would become too slow keeps its pace and goes on in silence. One that cannot be said in the time is
    hurried, all sounds but p, b and m alike, and those as well only where they alone would fill it.

    Args:
        timeline: any.
        seconds: the length wanted, silence before and after the words included.
        start: second before which nothing changes; by default all silence may.
    """
    fixed = 0.0 if start is None else start
    edges, kinds = _intervals(timeline, fixed)
    lengths = np.diff(edges)
    scales = _scales(lengths, kinds, seconds - fixed)
    before = np.concatenate(([0.0], edges))
    moved = np.concatenate(([0.0, fixed], fixed + np.cumsum(lengths * scales)))
    # What is left over is silence at the end, exactly as long as was asked for.
    return timeline.moved(lambda time: _rounded(float(np.interp(time, before, moved))), _rounded(seconds))


def completed(timeline: Timeline, script: Script, seed: int) -> Timeline:
    """A timeline from outside with what its maker left open: the marks of its phrases, accents and events.

    ``script`` is of the same words, one for one.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    words, phrases, is_open = timeline.words, timeline.phrases, timeline.left_open
    if "phrases" in is_open:
        # A phrase ends where the voice pauses, and where the line has a mark although it does not.
        last = {word.phrase: k for k, word in enumerate(script.words)}
        marks = {last[number]: mark for number, mark in enumerate(script.marks)}
        pauses = {k for k, word in enumerate(words) if any(word.end == phrase.end for phrase in phrases)}
        ends = sorted(pauses | set(marks))
        starts = [0, *(k + 1 for k in ends)]
        phrases = tuple(
            Phrase(words[a].start, words[b].end, marks.get(b, "")) for a, b in zip(starts, ends, strict=False)
        )
    return replace(
        timeline,
        phrases=phrases,
        accents=_accents(script, words, rng) if "accents" in is_open else timeline.accents,
        events=_events(script, words, timeline.start, timeline.end) if "events" in is_open else timeline.events,
        left_open=frozenset(),
    )


def silent_beat() -> float:
    """Seconds of a silent beat that is written into a line."""
    return float(_SILENCE["beat"])


def _intervals(timeline: Timeline, start: float) -> tuple[Floats, npt.NDArray[np.str_]]:
    """Edges of all sounds and silences from ``start`` to the end of the timeline, (n + 1,), and what each is, (n,)."""
    edges, kinds = [start], []
    for phoneme in timeline.phonemes:
        if phoneme.start > edges[-1]:
            edges.append(phoneme.start)
            kinds.append("pauses")
        edges.append(max(phoneme.end, edges[-1]))
        symbol = phoneme.symbol
        kinds.append("closures" if symbol in BILABIALS else "vowels" if symbol in VOWELS else "consonants")
    edges.append(max(timeline.seconds, edges[-1]))
    kinds.append("pauses")
    return np.array(edges), np.array(kinds)


def _scales(lengths: Floats, kinds: npt.NDArray[np.str_], total: float) -> Floats:
    """Factors of the intervals that make them last ``total`` seconds, or less where all are at their longest."""
    scales = np.ones(len(lengths))
    shorter = total < lengths.sum()
    for kind, (least, most) in _FIT.items():
        if kind == "consonants" and not shorter:
            break  # drawn-out consonants are heard as a stammer
        chosen = kinds == kind
        own = float(lengths[chosen].sum())
        missing = total - float((lengths * scales).sum())
        if own > 0.0 and missing:
            scales[chosen] = np.clip(1.0 + missing / own, least, most)
    too_long = float((lengths * scales).sum()) - total
    if shorter and too_long > 1e-9:
        closures = kinds == "closures"
        kept = float(lengths[closures].sum())
        if kept < 0.5 * total:
            rest = float((lengths * scales)[~closures].sum())
            scales[~closures] *= (total - kept) / rest
        else:
            scales *= total / float((lengths * scales).sum())
    return scales


def _sound_lengths(word: ReadWord, final: bool) -> Floats:
    """Seconds of each sound of a word at a natural rate."""
    vowels = [i for i, (symbol, _) in enumerate(word.phones) if symbol in VOWELS]
    main = next((i for i in vowels if word.phones[i][1] == 1), vowels[0] if vowels else 0)
    stress = min(word.stress, 1.3)
    lengths = []
    for i, (symbol, degree) in enumerate(word.phones):
        seconds = _SECONDS[symbol]
        if symbol in VOWELS:
            seconds *= (_LENGTHS["unstressed"], 1.0, _LENGTHS["secondary"])[degree] * (0.8 + 0.35 * stress)
        if final and i >= (vowels[-1] if vowels else 0):
            seconds *= _LENGTHS["final_lengthening"]
        lengths.append(seconds * (word.drawl if i == main else 1.0))
    return np.array(lengths)


def _accents(script: Script, timed: Sequence[Word], rng: np.random.Generator) -> tuple[Accent, ...]:
    """One or two emphasised words per phrase, drawn by stress; the last content word before "!" is favoured."""
    accents: list[Accent] = []
    for phrase, mark in enumerate(script.marks):
        members = [i for i, w in enumerate(script.words) if w.phrase == phrase]
        if not members:
            continue
        score = np.array([script.words[i].stress for i in members]) + rng.gumbel(0.0, 0.15, len(members))
        # The last content word of a phrase carries the main accent unless another one is stronger.
        content = [k for k, i in enumerate(members) if script.words[i].stress > 0.5]
        if content:
            score[content[-1]] += 0.25 if mark in ("!", "?") else 0.15
        # A word that says nothing is only accented where no other is there.
        score[[script.words[i].stress < 0.45 for i in members]] -= 1.0
        most = max(1, min(1 + len(members) // 4, sum(script.words[i].stress >= 0.45 for i in members)))
        for rank, at in enumerate(np.argsort(-score)[:most]):
            word = script.words[members[int(at)]]
            strong = min(max(word.stress, 0.5), 1.5) ** 0.5
            size = (1.0 if rank == 0 else 0.6) * (1.25 if mark == "!" else 1.0) * strong * rng.uniform(0.7, 1.2)
            accents.append(Accent(_rounded(timed[members[int(at)]].vowel.centre), _rounded(size)))
    return tuple(sorted(accents, key=lambda accent: accent.time))


def _events(script: Script, timed: Sequence[Word], start: float, end: float) -> tuple[Event, ...]:
    """What words and cues call for, in order of time."""
    found: list[tuple[str, float]] = []
    for read, word in zip(script.words, timed, strict=True):
        if read.text in HESITATIONS:
            found.append(("hesitation", word.vowel.centre))
        if name := INTERJECTIONS.get(read.text):
            found.append((name, max(word.vowel.centre - 0.15, 0.0)))
    for name, before in script.cues:
        if not timed:
            begin = start
        elif before == 0:
            begin = max(timed[0].vowel.centre - 0.9, 0.05)
        elif before >= len(timed):
            begin = end + 0.1
        else:
            begin = timed[before].vowel.centre - 0.3
        found.append((name, begin))
    return tuple(
        Event(name, _rounded(begin), _rounded(begin + _EVENT_SECONDS.get(name, _EVENT_SECONDS["other"])))
        for name, begin in sorted(found, key=lambda row: row[1])
    )


def _rounded(seconds: float) -> float:
    """To tenths of a millisecond, as a timeline's JSON has it: what is read back is the same line."""
    return math.floor(seconds * 1e4 + 0.5) / 1e4


def _rounded_all(seconds: Floats) -> list[float]:
    return [_rounded(float(s)) for s in seconds]
