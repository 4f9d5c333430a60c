# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a take: what is felt when, what is said when, which gestures, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..direction import Ending, Role
from ..speech.reading import Script
from ..speech.timing import fitted, speak
from .direction import ActingDirection
from .mixture import Acting
from .recipes import GESTURES, Numbers
from .utterance import Utterance

#: Shortest and longest take, seconds.
MIN_SECONDS: Final = 1.0
MAX_SECONDS: Final = 10.0

_TIMES: Final = Numbers("episode")
_LISTENING: Final = Numbers("listening")
_GAZE: Final = Numbers("gaze")
#: Ending -> how long the way out takes: to the standard face; what lives on after the sinking; what is held on.
_FALLS: Final[dict[Ending, str]] = {"rest": "release_seconds", "trace": "trace_seconds", "held": "held_seconds"}
#: A gesture in time: name, start, seconds.
Placed = tuple[str, float, float]


@dataclass(frozen=True)
class Plan:
    """Times in seconds from the first frame.

    Attributes:
        utterance: the line, spoken or heard (empty for a silent reaction).
        onset, onset_seconds: when the feeling starts to show, and how long it takes to arrive.
        wind_up: seconds of the anticipation that ends at the onset; 0 none.
        early: level it holds before the onset (a feeling that dawns during the line starts from a trace).
        turn: when the second pattern takes over; None when there is only one.
        gestures: laughs, sighs, nods, glances.
        release: when the feeling begins to let go; with the ending "held", the end.
        seconds: length of the take.
        loudness: how far the mouth opens in speech, 1 natural.
        trace: level that the feeling sinks to at last; None where it is held, or where the whole face returns to rest.
        rests: the whole face returns to rest.
        thoughts: (begin, end) of a look away before a clause.
    """

    utterance: Utterance
    onset: float
    onset_seconds: float
    wind_up: float
    early: float
    turn: float | None
    gestures: tuple[Placed, ...]
    release: float
    seconds: float
    loudness: float = 1.0
    trace: float | None = None
    rests: bool = True
    thoughts: tuple[tuple[float, float], ...] = ()

    @property
    def lives_until(self) -> float:
        """Seconds until which eyes, lids and breath go on: to the end of a take that does not come to rest."""
        return self.release if self.rests else self.seconds + 1.0


def make_plan(script: Script, acting: Acting, direction: ActingDirection, rng: np.random.Generator) -> Plan:
    """Draws a plan; with ``direction.seconds`` words, pauses and holds are fitted to that length (1..10 s)."""
    manner, intensity = acting.manner, direction.intensity
    if direction.role == "silent":
        script = script.silent()
    listens = direction.role == "listening" and bool(script.words)
    spoken = bool(script.words) and not listens
    tempo = direction.energy**0.3
    quick = (1.1 - 0.22 * intensity) / tempo
    jitter = _TIMES.draw(rng, "onset_jitter")
    onset_seconds = float(np.clip(manner.onset * quick * jitter, *_TIMES.range("onset_seconds")))
    before, after = _draw_sounds(acting, intensity, spoken, rng)
    if listens:
        before = ""
    onset = _TIMES.draw(rng, "onset_at")
    wind_up = min(_TIMES.draw(rng, "wind_up_seconds") / tempo, onset)
    if rng.random() > _TIMES["wind_up_chance"]:
        wind_up = 0.0
    mode = int(rng.choice(3, p=_TIMES.list("entrance")))
    mode = mode if spoken else 0
    partner = float(rng.uniform(*_LISTENING.range("lead"))), float(rng.uniform(*_LISTENING.range("rate")))
    lead = (onset + onset_seconds * (0.55, 0.1, 0.0)[mode]) + _TIMES.draw(rng, "pause_before_speech") / tempo
    placed: list[Placed] = []
    if before:
        length = _length(before, rng)
        placed.append((before, onset + 0.05, length))
        lead = max(lead, onset + 0.05 + 0.85 * length)
    if listens:
        lead = partner[0]
    rate = manner.rate * (0.94 + 0.06 * intensity) * float(np.exp(rng.normal(0.0, 0.07))) * tempo
    hold = manner.hold * _TIMES.draw(rng, "hold_jitter") * (0.75 + 0.25 * intensity)
    silent_hold = _TIMES.draw(rng, "silent_hold")
    if not spoken:
        hold += silent_hold * (0.5 if listens else 1.0) * (1.4 if acting.moves_on else 1.0)
    after_length = _length(after, rng) if after else 0.0
    tail = max(hold, 0.9 * after_length + 0.15)
    fall = _TIMES.draw(rng, _FALLS[direction.ending])
    sink = _TIMES.draw(rng, "sink_seconds")
    level_left = _TIMES.draw(rng, "trace")
    if direction.ending == "trace":
        fall += sink
    jaw = manner.jaw * (0.55 + 0.45 * (0.55 + 0.45 * intensity)) * (0.8 + 0.2 * direction.energy)
    utterance = Utterance.of(speak(script, rng, partner[1] if listens else rate, lead), lead)
    tail = max(tail, max((start + 0.8 for _, start in utterance.events), default=0.0) - utterance.end)
    total = utterance.end + tail + fall
    wanted = float(np.clip(direction.seconds if direction.seconds is not None else total, MIN_SECONDS, MAX_SECONDS))
    if abs(wanted - total) > 0.5 / 24.0:
        # Silence gives way first, then speech, as an actor would do it.
        voice = utterance.end - lead
        quiet = lead + tail + fall
        quiet_scale = float(np.clip((wanted - voice) / quiet, 0.45, 2.2 if voice > 0.0 else 20.0))
        speech_scale = (wanted - quiet * quiet_scale) / voice if voice > 0.0 else 1.0
        if speech_scale > 1.6:
            speech_scale = 1.6
            quiet_scale = (wanted - 1.6 * voice) / quiet
        speech_scale = max(speech_scale, 0.2)
        spoken_before, begun = utterance.timeline, lead
        lead, tail, fall = lead * quiet_scale, tail * quiet_scale, fall * min(quiet_scale, 1.3)
        onset *= min(quiet_scale, 1.0)
        wind_up *= min(quiet_scale, 1.0)
        placed = [(name, start * quiet_scale, n * quiet_scale) for name, start, n in placed]
        fit = fitted(spoken_before, begun + voice * speech_scale, begun)
        shifted = fit.moved(lambda time: max(time + lead - begun, 0.0), fit.seconds + lead - begun)
        utterance = Utterance.of(shifted, lead)
        tail = max(wanted - fall - utterance.end, 0.05)
    if after:
        placed.append((after, utterance.end + 0.08, min(after_length, max(tail - 0.05, 0.3))))
    release = utterance.end + tail
    placed += [(name, start, _length(name, rng)) for name, start in utterance.events]
    turn = None
    if acting.then is not None:
        turn = _turning_point(utterance, onset + onset_seconds, release, acting.moves_on, rng)
    if listens:
        # The word that tells: the reaction to it is what there is to see.
        accents = utterance.timeline.accents
        weights = np.array([a.size * (0.5 + (a.time - lead) / max(utterance.end - lead, 0.1)) for a in accents])
        told = accents[int((weights * rng.uniform(0.6, 1.0, len(accents))).argmax())].time if accents else lead
        onset = min(told + _LISTENING.draw(rng, "reaction"), max(release - onset_seconds - 0.3, 0.2))
        wind_up = min(wind_up, onset)
        nods = _LISTENING.by(acting.emotion, "nods")
        utterance = Utterance.listened(utterance.timeline, nods, rng)
        if turn is not None:
            turn = max(turn, min(onset + onset_seconds, release - 0.6))
    early = 0.0
    level = _TIMES.draw(rng, "early_level")
    if mode == 2 and len(utterance.accents) and not acting.moves_on:
        early = level
        first = utterance.accents[int(rng.integers((len(utterance.accents) + 1) // 2))]
        onset = max(onset, float(first) - 0.6 * onset_seconds)
    if listens:
        early = 0.5 * level
    rests = direction.ending == "rest"
    if not rests:
        release = wanted - 0.3 * fall if direction.ending == "held" else max(release, wanted - fall)
    latest = release if rests else min(release, wanted - 0.45)
    placed += _draw_moves(acting, utterance, onset + onset_seconds, latest, turn, placed, rng)
    thoughts = _draw_thoughts(acting, utterance, direction.role, release, rng)
    return Plan(
        utterance, onset, onset_seconds, wind_up, early, turn, tuple(placed), release, wanted, jaw,
        level_left if direction.ending == "trace" else None, rests, thoughts,
    )  # fmt: skip


def _draw_thoughts(
    acting: Acting, utterance: Utterance, role: Role, release: float, rng: np.random.Generator
) -> tuple[tuple[float, float], ...]:
    """Beats of thought: before a clause the eyes leave, and before its end they are back (Kendon 1967)."""
    result = []
    for before, phrase in zip((None, *utterance.phrases), utterance.phrases, strict=False):
        begin = phrase.start - float(rng.uniform(*_GAZE.range("thought_before")))
        back = phrase.start + float(rng.uniform(*_GAZE.range("thought_share"))) * (phrase.end - phrase.start)
        chance = _GAZE["thought_chance"] * (0.2 + acting.manner.avert)
        if rng.random() < chance and begin > 0.1:
            result.append((max(begin, before.end - 0.15 if before else 0.1), back))
    if role == "silent" and rng.random() < _GAZE["thinking_chance"]:
        begin = float(rng.uniform(0.1, max(0.4 * release, 0.2)))
        result.append((begin, begin + float(rng.uniform(0.7, 1.8))))
    return tuple(result)


def _length(name: str, rng: np.random.Generator) -> float:
    return float(rng.uniform(*GESTURES[name].seconds))


def _draw_sounds(acting: Acting, intensity: float, spoken: bool, rng: np.random.Generator) -> tuple[str, str]:
    """A sound before the words and one after them, "" for none."""
    chosen = {"before": "", "after": ""}
    given = [(kind, False) for kind in acting.first.sounds]
    given += [(kind, acting.moves_on) for kind in (acting.then.sounds if acting.then else ())]
    for kind, late in given:
        # Both draws always happen, so that another intensity does not become another take.
        sounds = rng.random() < (0.25 + 0.3 * intensity) * (1.0 if spoken else 1.5)
        first = rng.random() < GESTURES[kind].before and not late
        place = "before" if first else "after"
        # Somebody laughs twice, but does not gasp or yawn twice.
        if kind in chosen.values() and "laugh" not in kind:
            continue
        if sounds and not chosen[place] and not (acting.moves_on and not late and place == "after"):
            chosen[place] = kind
    return chosen["before"], chosen["after"]


def _draw_moves(
    acting: Acting,
    utterance: Utterance,
    earliest: float,
    release: float,
    turn: float | None,
    placed: list[Placed],
    rng: np.random.Generator,
) -> list[Placed]:
    """Gestures of the manner and the variant, in pauses, on accents and in the hold, never two at a time."""
    wanted = dict(acting.manner.moves)
    for name in acting.first.moves + (acting.then.moves if acting.then else ()):
        wanted[name] = max(wanted.get(name, 0.0), 0.7)
    spots = [p.end + 0.02 for p in utterance.phrases[:-1]]
    spots += [float(a) - 0.1 for a in utterance.accents[:2]]
    spots += [utterance.end + 0.05, earliest]
    spots += [float(x) for x in np.arange(max(utterance.end, earliest) + 0.9, release - 0.4, 1.1)]
    result: list[Placed] = []
    most = 2 if utterance.phrases else 4
    names = list(wanted)
    for index in rng.permutation(len(names)):
        name = names[int(index)]
        length = _length(name, rng)
        spot = spots[int(rng.integers(len(spots)))]
        if rng.random() > wanted[name] or len(result) >= most or any(name == other for other, _, _ in placed):
            continue
        mouth = any(c.startswith(("mouth", "jaw")) and c != "jawForward" for c in GESTURES[name].tracks)
        if mouth and any(p.start - 0.2 < spot + length and spot < p.end for p in utterance.phrases):
            spot = utterance.end + 0.05
        taken = any(spot < start + n and start < spot + length for _, start, n in (*placed, *result))
        if taken or spot + length > release + 0.35 or (turn is not None and abs(spot - turn) < 0.3):
            continue
        result.append((name, max(spot, 0.1), length))
    return result


def _turning_point(
    utterance: Utterance, earliest: float, latest: float, moves_on: bool, rng: np.random.Generator
) -> float:
    """When one pattern gives way to another: between phrases if there are several, else at an accent, or after all."""
    spots = [p.end for p in utterance.phrases[:-1]] or [float(a) for a in utterance.accents]
    if moves_on:
        # Room to show both: nearest to the middle of the line.
        middle = 0.5 * (utterance.start + utterance.end) if spots else 0.5 * (earliest + latest)
        spot = min([*spots, middle], key=lambda x: abs(x - middle) + 0.15 * rng.random())
        return float(np.clip(spot, min(earliest + 0.3, latest - 1.0), latest - 0.8))
    spots.append(utterance.end)
    spot = float(spots[int(rng.integers(len(spots)))])
    return float(np.clip(spot, min(earliest + 0.2, latest - 0.4), latest - 0.4))
