# SPDX-License-Identifier: GPL-3.0-or-later
"""One performance being built, layer by layer: rest, feeling, emphasis, gestures, head, eyes, beginning and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from ..shared.articulation import columns
from ..shared.easing import minimum_jerk
from ..shared.spaces import ARKIT55
from .curves import Floats, drift, pulses, soft_limit, track
from .direction import ActingDirection
from .envelope import Envelope
from .face import HEAD, LEFT, LIFT, REST_TONE, RIGHT, SIDEWAYS, UNIT_MATRIX, UNIT_ROWS
from .gaze import blink_curve, eye_channels, plan_blinks, plan_gaze, world_gaze
from .gestures import gesture_motion
from .head import head_motion
from .mixture import Acting
from .plan import Plan
from .recipes import Numbers, Variant, unit_of

_FPS: Final = ARKIT55.fps
_EPISODE: Final = Numbers("episode")
_EMPHASIS: Final = Numbers("emphasis")
_GAZE: Final = Numbers("gaze")
_LISTENING: Final = Numbers("listening")
_LIFE: Final = Numbers("life")
_CARRY: Final = Numbers("carry")
#: A unit on one side only: its size, and how much larger the leading side is.
_ONE_SIDED: Final = (0.56, 0.8)
_GRID: Final = np.linspace(0.0, 1.0, 101)
#: Norm that every frame before the ending has, well above the space's standard face.
_ALIVE: Final = 0.36
#: How far lids droop without blinking.
_SLIT: Final = 0.46
#: Micro-expressions: unit and size.
_LEAKS: Final = (("1", 0.3), ("4", 0.35), ("14", 0.35), ("24", 0.35), ("15", 0.3), ("9", 0.25), ("7", 0.35))


class ActedTake:
    """A take; every method adds one layer to ``values`` (T, C)."""

    def __init__(
        self, acting: Acting, plan: Plan, direction: ActingDirection, t: Floats, rng: np.random.Generator
    ) -> None:
        self.acting, self.plan, self.t, self.rng = acting, plan, t, rng
        #: Draws of their own: with another beginning the same take goes on.
        self.own_rng = np.random.default_rng(int(rng.integers(2**32)))
        self.intensity, self.pace = direction.intensity, direction.energy
        self.role = direction.role
        #: The face it begins from, (C,), None at rest; and how much of it is left, by group, (T,) each.
        self.start = None if direction.start is None else np.clip(direction.start, ARKIT55.lower, ARKIT55.upper)
        self.left = self._draw_leaving(direction.energy) if self.start is not None else {}
        #: Size of gestures and emphasis.
        self.energy = (0.5 + 0.5 * direction.intensity) * direction.energy
        self.side = float(rng.choice((-1.0, 1.0)))
        #: Left and right differ a little in every take, by one sign for the whole face.
        self.lean = rng.normal(0.0, _EPISODE["lean"])
        self.values = np.zeros((len(t), ARKIT55.size))
        self._added: list[tuple[Floats, Floats]] = []
        self.envelope = Envelope(plan, acting.emotion, rng)
        self.life = drift(rng, t, 1)[0] * 0.03
        self._draw_change()

    def render(self) -> npt.NDArray[np.float32]:
        """The finished performance, float32 (T, C), within the limits of the space; words are laid over it."""
        self._rest()
        self._live()
        self._express()
        self._attend()
        self._emphasise()
        self._leak()
        self._gesture()
        self._sum_units()
        self._look(self._move_head())
        return self._finish()

    def _add(self, channel: str, value: Floats) -> None:
        for column in columns(channel):
            self.values[:, column] += value

    def _add_units(self, units: Mapping[str, float], curve: Floats) -> None:
        """Adds action units along ``curve`` (T,); a one-sided unit goes to the side that leads."""
        total = np.zeros(ARKIT55.size)
        for name, strength in units.items():
            unit, one_sided = unit_of(name)
            row = UNIT_MATRIX[UNIT_ROWS[unit]] * strength
            if one_sided:
                row[RIGHT if self.side > 0.0 else LEFT] *= 0.12
            total += row
        self._added.append((curve, total))

    def _sum_units(self) -> None:
        """Adds up all that `_add_units` was given."""
        if self._added:
            curves, rows = zip(*self._added, strict=True)
            self.values += np.stack(curves, axis=1) @ np.stack(rows)
            self._added = []

    # --- the feeling ------------------------------------------------------------------------------------------

    def _draw_change(self) -> None:
        """Shares of the first and of the second pattern over time, (T,) each."""
        self.shares = np.ones(len(self.t)), np.zeros(len(self.t))
        #: Seconds at which it is halfway to another emotion; None where it moves to none.
        self.turn: float | None = None
        turn = self.plan.turn
        if turn is None:
            return
        seconds = _EPISODE.draw(self.rng, "change_seconds" if self.acting.moves_on else "turn_seconds")
        change = minimum_jerk((self.t - turn) / seconds)
        if self.acting.moves_on:
            # The old feeling lets go before the new one arrives; halfway is where both are equally strong, about.
            self.turn = turn - 0.05 + 0.55 * seconds
            change = minimum_jerk((self.t - turn - 0.15 * seconds) / seconds)
            self.shares = 1.0 - minimum_jerk((self.t - turn + 0.1) / (0.9 * seconds)), change
        else:
            self.shares = 1.0 - 0.85 * change, change

    def _rest(self) -> None:
        """Nobody's living face is the zero vector: a trace of lid, brow and lip tone, different in every take."""
        rng = self.rng
        life = rng.uniform(0.5, 1.2, (len(REST_TONE), 1)) * (1.0 + 0.2 * drift(rng, self.t, len(REST_TONE)))
        for k, (channel, size) in enumerate(REST_TONE.items()):
            self._add(channel, size * life[k])
        self._add("mouthRight" if rng.random() < 0.5 else "mouthLeft", np.full(len(self.t), abs(rng.normal(0.0, 0.03))))

    def _live(self) -> None:
        """Small moves that mean nothing and come one after another: no face is still for two seconds.

        Not while words are said: then brows belong to what is said.
        """
        rng = self.rng
        times = 0.3 + np.cumsum(rng.uniform(*_LIFE.range("every"), max(int(self.t[-1] / 0.8), 1)))
        choices = _LIFE.items("units")
        chosen = rng.integers(len(choices), size=len(times))
        sizes = rng.uniform(0.6, 1.4, len(times)) * np.array([size for _, size in choices])[chosen]
        rises, falls = (rng.uniform(*_LIFE.range(name), len(times)) for name in ("rise", "fall"))
        free = times < self.plan.lives_until - 0.4
        for phrase in self.plan.utterance.phrases:
            free &= (times < phrase.start - 0.25) | (times > phrase.end + 0.2)
        x = self.t[:, None] - times[free]
        shape = (minimum_jerk(x / rises[free] + 1.0) - minimum_jerk(x / falls[free])) * sizes[free]
        for curve, number in zip(shape.T, chosen[free], strict=True):
            self._add_units({choices[number][0]: 1.0}, curve)

    def _attend(self) -> None:
        """A listener's face before the feeling: open, a little lifted, reacting to what is heard."""
        rng, t, heard = self.rng, self.t, self.plan.utterance.heard
        if not heard:
            return
        here = minimum_jerk((t - heard[0].start + 0.2) / 0.5)
        waiting = here * (1.0 - 0.6 * minimum_jerk((t - self.plan.onset) / 0.6)) * (1.0 + 0.15 * drift(rng, t, 1)[0])
        self._add_units(_LISTENING.units("attention"), waiting * float(rng.uniform(0.6, 1.2)))
        reactions = _LISTENING.items("mouth")
        for phrase in heard:
            time = phrase.end + float(rng.uniform(0.0, 0.35))
            unit, size = reactions[int(rng.integers(len(reactions)))]
            if rng.random() < _LISTENING["mouth_chance"]:
                self._add_units({unit: size * self.energy}, pulses(t, np.array([time]), 0.25, 0.45, np.ones(1)))
            if phrase.mark in ("?", "!") and rng.random() < _LISTENING["news_chance"]:
                size = float(rng.uniform(0.6, 1.0)) * self.energy
                self._add_units(_LISTENING.units("news"), pulses(t, np.array([time + 0.1]), 0.2, 0.5, np.array([size])))

    def _express(self) -> None:
        plan, acting = self.plan, self.acting
        if plan.wind_up:
            # A small move the other way makes the real one readable.
            centre = np.array([plan.onset - 0.35 * plan.wind_up])
            size = np.array([self.energy * acting.strengths[0]])
            self._add_units(acting.manner.wind_up, pulses(self.t, centre, 0.6 * plan.wind_up, 0.3, size))
        self._show(acting.first, self.shares[0], acting.strengths[0])
        if acting.then is not None and plan.turn is not None:
            self._show(acting.then, self.shares[1], acting.strengths[1])

    def _units(self, variant: Variant, strength: float) -> tuple[list[str], Floats]:
        """Action units of a variant and their strengths at this intensity."""
        # At intensity 1 somebody talks (FACS B-C); the patterns of the table are reached at the end of the scale, where
        # actions are added rather than only size.
        plain = self.acting.emotion == "neutral"
        amplitude = strength * (self.intensity**0.85 if plain else _EPISODE.curve("size_at", self.intensity))
        extra = strength * _EPISODE.curve("extreme_at", self.intensity)
        strengths: dict[str, float] = {}
        for part, size in ((variant.upper, amplitude), (variant.lower, amplitude), (variant.extreme, extra)):
            for unit, value in part.items():
                strengths[unit] = strengths.get(unit, 0.0) + value * size
        return list(strengths), np.array(list(strengths.values()))

    def _show(self, variant: Variant, share: Floats, strength: float) -> None:
        """Adds a pattern: every action unit with its own delay, size, side and slow life."""
        rng = self.rng
        names, strengths = self._units(variant, strength)
        count = len(names)
        units = [unit_of(name) for name in names]
        one_sided = np.array([one for _, one in units])
        lower = np.array([n in variant.lower for n in names])
        delays = rng.normal(0.0, _EPISODE["unit_delay"], count)
        delays += rng.uniform(*_EPISODE.range("lower_face_delay")) * lower
        strengths = strengths * np.exp(rng.normal(0.0, _EPISODE["unit_size"], count))
        curve = self.envelope(self.t - delays[:, None])  # (count, T)
        wander = drift(rng, self.t, count, *_EPISODE.range("life_hz"))
        curve = curve * share * (1.0 + _EPISODE["life"] * wander + self.life)
        rows = UNIT_MATRIX[[UNIT_ROWS[u] for u, _ in units]]
        if self.side < 0.0:
            rows[:, SIDEWAYS] = rows[:, SIDEWAYS[::-1]]
        # The brow that lowers is not the one that rises.
        sided = np.array([-0.5 if u == "4" else 0.3 if u in ("2", "9", "10", "12", "14") else 0.08 for u, _ in units])
        uneven = self.lean + rng.normal(0.0, _EPISODE["unit_lean"], count) + variant.asymmetry * self.side * sided
        uneven = np.where(one_sided, _ONE_SIDED[1] * self.side, uneven)
        strengths = np.where(one_sided, _ONE_SIDED[0], 1.0) * strengths
        weight = (curve * strengths[:, None]).T  # (T, count)
        both = weight @ rows
        tilt = (weight * uneven) @ rows
        both[:, LEFT] += tilt[:, LEFT]
        both[:, RIGHT] -= tilt[:, RIGHT]
        self.values += np.maximum(both, 0.0)

    def _leak(self) -> None:
        """A micro-expression: a fifth of a second of something else before or inside the feeling."""
        rng = self.rng
        if rng.random() > _EPISODE["micro_chance"]:
            return
        unit, size = _LEAKS[int(rng.integers(len(_LEAKS)))]
        pauses = [p.end + 0.12 for p in self.plan.utterance.phrases[:-1]]
        inside = pauses and rng.random() < 0.5
        moment = pauses[int(rng.integers(len(pauses)))] if inside else max(self.plan.onset - 0.02, 0.1)
        name = unit + ("u" if rng.random() < 0.4 else "")
        self._add_units({name: size * self.energy}, pulses(self.t, np.array([moment]), 0.14, 0.18, np.ones(1)))

    def _emphasise(self) -> None:
        """Stressed words and punctuation on brows and lids: the conversational signals of Ekman 1979."""
        rng, utterance, t = self.rng, self.plan.utterance, self.t
        chosen = rng.random(len(utterance.accents)) < _EMPHASIS["brow_chance"]
        times, sizes = utterance.accents[chosen], utterance.accent_sizes[chosen] * self.energy
        shape = pulses(t, times + 0.05, 0.16, float(rng.uniform(0.4, 0.65)), sizes)
        self._add_units(self.acting.manner.brow, shape)
        for phrase in utterance.phrases:
            if phrase.mark == "?" and rng.random() < _EMPHASIS["question_chance"]:
                begin = max(phrase.start, phrase.end - float(rng.uniform(0.5, 0.9)))
                lift = minimum_jerk((t - begin) / 0.35) * (1.0 - minimum_jerk((t - phrase.end - 0.45) / 0.5))
                size = _EMPHASIS.draw(rng, "question_brow") * (0.6 + 0.4 * self.energy)
                if phrase.asks_what and rng.random() < _EMPHASIS["question_furrow_chance"]:
                    self._add_units({"4": size, "7": 0.4 * size}, lift)
                else:
                    self._add_units({"1": size, "2": 0.9 * size, "5": 0.25 * size}, lift)
            elif phrase.mark == "!":
                height = np.array([_EMPHASIS["exclamation"] * self.energy])
                hit = pulses(t, np.array([phrase.end - 0.1]), 0.2, 0.45, height)
                bright = self.acting.emotion in ("joy", "surprise", "amusement", "pride", "affection")
                dark = self.acting.emotion in ("anger", "contempt", "disgust")
                self._add_units({"2": 0.5, "1": 0.3} if bright else {"4": 0.8, "9": 0.4} if dark else {"5": 1.0}, hit)
        for begin, back in self.plan.thoughts:
            # The thought before a clause: a trace on brows or lids while the eyes are away.
            units = _GAZE.choices("thought_units")[int(rng.integers(3))]
            until = min([back, *(p.start + 0.05 for p in utterance.phrases if p.start > begin)])
            away = minimum_jerk((t - begin) / 0.35) * (1.0 - minimum_jerk((t - until + 0.2) / 0.6))
            self._add_units(units, away * (0.6 + 0.4 * self.energy) * float(rng.uniform(0.7, 1.2)))
        for phrase in utterance.phrases:
            breath = np.array([max(phrase.start - 0.13, 0.02)])
            self._add_units(
                _LIFE.units("breath"), pulses(t, breath, 0.2, 0.22, np.array([float(rng.uniform(0.5, 1.2))]))
            )
        for time in utterance.hesitations:
            if rng.random() < _EMPHASIS["hesitation_chance"]:
                search = minimum_jerk((t - time + 0.2) / 0.3) * (1.0 - minimum_jerk((t - time - 0.45) / 0.4))
                self._add_units({"4": 0.15, "1": 0.2} if rng.random() < 0.5 else {"1": 0.2, "2": 0.2}, search)

    # --- voice ------------------------------------------------------------------------------------------------

    def _gesture(self) -> None:
        self.gesture_head = np.zeros((len(self.t), 3))
        self.gesture_gaze = np.zeros((len(self.t), 2))
        self.gesture_lid = np.zeros(len(self.t))
        size = _EPISODE.curve("gesture_at", self.intensity) * self.pace**0.5
        for name, start, seconds in self.plan.gestures:
            for channel, value in gesture_motion(name, self.t, start, seconds, self.side, self.rng).items():
                if channel.startswith("gaze"):
                    self.gesture_gaze[:, 0 if channel == "gazePitch" else 1] += value
                elif channel.startswith("head"):
                    self.gesture_head[:, columns(channel)[0] - HEAD.start] += size * value
                elif channel.startswith("eyeBlink"):
                    # However calm somebody is, a closed eye is closed.
                    self.gesture_lid = np.maximum(self.gesture_lid, np.clip(value * max(size, 0.9), 0.0, 1.0))
                else:
                    self._add(channel, size * value)

    # --- head, eyes, end --------------------------------------------------------------------------------------

    def _posture(self) -> Floats:
        """Pitch, yaw and roll of what is felt, later than the face, (T, 3)."""
        late = self.envelope(self.t - 0.07)[:, None]
        scale = self.rng.uniform(0.6, 1.3, 3) * _EPISODE.curve("posture_at", self.intensity)
        result = np.zeros((len(self.t), 3))
        then = self.acting.then or self.acting.first
        for variant, share, strength in zip((self.acting.first, then), self.shares, self.acting.strengths, strict=True):
            # The second pattern takes over the posture more slowly than the face.
            result += late * share[:, None] * np.array(variant.head) * scale * strength
        if self.plan.wind_up:
            back = _EPISODE.draw(self.rng, "wind_up_head")
            centre = np.array([self.plan.onset])
            counter = pulses(self.t, centre, self.plan.wind_up, 0.25, np.array([back]))[:, None]
            result -= counter * np.array(self.acting.first.head) * scale
        return result

    def _move_head(self) -> Floats:
        plan, rng = self.plan, self.rng
        turn = None
        if self.acting.moves_on and plan.turn is not None and self.acting.then is not None:
            turn = (plan.turn, *self.acting.then.gaze)
        self.gaze = plan_gaze(rng, self.acting.manner, self.acting.first.gaze, self.side, plan, turn, self.role)
        lift = self.acting.emotion in ("surprise", "fear", "joy") and rng.random() < 0.6
        head = head_motion(
            rng, self.t, self.acting.manner, self._posture(), self.side, plan.utterance, self.energy, lift
        )
        head += self.gesture_head
        if len(self.gaze.times):
            # The head follows the eyes, later and only in part, where they go far.
            far = self.gaze.far(_GAZE["head_from"])
            times, durations = self.gaze.times[far] + _GAZE["head_delay"], np.full(len(far), 0.45)
            for axis in (0, 1):
                head[:, axis] += _GAZE["head_share"] * track(self.t, times, durations, self.gaze.targets[far, axis])
        if self.start is not None:
            # Taken over here, so that eyes make up for the head that is seen.
            left = self.left["head"][:, None]
            head = left * self.start[HEAD] + (1.0 - left) * head
        self.values[:, HEAD] = head
        return head

    def _look(self, head: Floats) -> None:
        rng, values, t = self.rng, self.values, self.t
        # The world comes back to the front when the face is released, so the eyes need no jump at the end.
        gaze = world_gaze(self.gaze, t, 0.8 + 0.2 * self.intensity, self.plan.lives_until, rng) + self.gesture_gaze
        eyes = eye_channels(gaze, head)
        for channel, value in eyes.items():
            values[:, columns(channel)[0]] += value
        down, up = eyes["eyeLookDownLeft"], eyes["eyeLookUpLeft"]
        startled = rng.random() < (0.5 if self.acting.emotion in ("surprise", "fear", "anger", "confusion") else 0.25)
        forced = [self.plan.onset - 0.02] if startled else []
        if self.acting.moves_on and self.plan.turn is not None:
            forced.append(self.plan.turn + 0.05)
        utterance = self.plan.utterance
        ends = [p.end for p in utterance.phrases] + [p.end + 0.1 for p in utterance.heard]
        stop = min(self.plan.lives_until, float(t[-1])) - 0.15
        times = plan_blinks(rng, self.acting.manner.blinks, stop, self.gaze, ends, forced)
        slow = 1.15 if self.acting.emotion in ("sadness", "boredom", "affection") else 1.0
        blink = blink_curve(rng, times, t, _FPS, slow)
        blink = 1.0 - (1.0 - blink) * (1.0 - self.gesture_lid)
        wide, squint = columns("eyeWide*"), columns("eyeSquint*")
        for k, column in enumerate(columns("eyeBlink*")):
            # Lids follow the eyeball down and up; wide eyes have no resting droop.
            lid = np.maximum(values[:, column], 0.0) * (1.0 - 0.8 * np.clip(values[:, wide[k]], 0.0, 1.0)) + 0.2 * down
            # Squinting and drooping lids share one slit: it narrows, it does not close.
            lid = _SLIT * np.tanh(lid / _SLIT) * (1.0 - 0.45 * np.clip(values[:, squint[k]], 0.0, 1.0))
            values[:, column] = 1.0 - (1.0 - np.clip(lid, 0.0, 1.0)) * (1.0 - blink)
            values[:, wide[k]] = (values[:, wide[k]] + 0.12 * up) * (1.0 - 0.9 * blink)
        for column in columns("eyeSquint*"):
            values[:, column] *= 1.0 - 0.35 * blink
        self._add("browDown*", 0.02 * blink)

    def _finish(self) -> npt.NDArray[np.float32]:
        """Limits, the way in from the face before, and the way out."""
        values = self.values
        values[:, : HEAD.start] = soft_limit(values[:, : HEAD.start])
        values[:, HEAD] = 0.6 * np.tanh(values[:, HEAD] / 0.6)
        self._keep_alive()
        if self.start is None:
            # From rest, without a jump.
            values *= minimum_jerk((self.t + 1.0 / _FPS) / _CARRY["from_rest"])[:, None]
        else:
            self._leave_start(self.start)
        if self.plan.rests:
            self._come_to_rest()
        return np.clip(values, ARKIT55.lower, ARKIT55.upper).astype(np.float32)

    def _draw_leaving(self, energy: float) -> dict[str, Floats]:
        """How much of the face before is left in each group over time, (T,), 1 at first."""
        rng, result = self.own_rng, {}
        for group in ARKIT55.groups:
            lingers, seconds = (_CARRY.draw(rng, f"{name}_{group.split()[0]}") for name in ("lingers", "leaves"))
            quick = energy**-0.3
            since = self.t + 1.0 / _FPS - lingers * quick
            goes = 1.0 - minimum_jerk(since / (seconds * quick))
            # Not all of a mood goes at once.
            rest = 1.0 - minimum_jerk(since / (_CARRY["slow"] * seconds * quick))
            slow = 0.0 if group in ("eyes", "head") else _CARRY["slow_share"]
            result[group] = (1.0 - slow) * goes + slow * rest
        return result

    def _leave_start(self, start: Floats) -> None:
        """What is left of the face before gives way to the take, group by group."""
        values, rng, t = self.values, self.own_rng, self.t + 1.0 / _FPS
        life = drift(rng, t, len(ARKIT55.groups))
        for number, (group, columns_of) in enumerate(ARKIT55.groups.items()):
            if group == "head":
                continue
            columns_, left = list(columns_of), self.left[group][:, None]
            alive = 1.0 + _CARRY["life"] * (life[number] - life[number, 0])[:, None] * minimum_jerk(t / 0.4)[:, None]
            if group == "eyes":
                alive = np.ones_like(alive)
            values[:, columns_] = left * start[columns_] * alive + (1.0 - left) * values[:, columns_]
        # A lid that was caught in a blink finishes it.
        opening = 1.0 - minimum_jerk(t / _CARRY["lid_opens"])
        for column in columns("eyeBlink*"):
            droop = min(start[column], _CARRY["lid"])
            values[:, column] += self.left["eyes"] * (droop - start[column]) + (start[column] - droop) * opening

    def _come_to_rest(self) -> None:
        """The ease-out: regions let go one after the other and all arrive at the standard face."""
        plan, rng, values = self.plan, self.rng, self.values
        last = self.t[-1]
        start = min(plan.release, last - 0.4)
        size = float(np.linalg.norm(values[int(start * _FPS) :], axis=1).max())
        # The move would end after the last frame: only its last frames count as the standard face.
        reach = float(
            np.interp(1.0 - _EPISODE.draw(rng, "end_share") * min(1.0, 1.0 / size), minimum_jerk(_GRID), _GRID)
        )
        for group in ("upper face", "eyes", "mouth", "jaw", "head"):
            begin = start + float(rng.uniform(0.0, 0.42)) * (last - start)
            length = (last - begin) / reach
            values[:, ARKIT55.groups[group]] *= 1.0 - minimum_jerk((self.t - begin) / length)[:, None]

    def _keep_alive(self) -> None:
        """Lifts frames that would pass for the standard face, the end of a take, before the take is over."""
        missing = np.maximum(_ALIVE - np.linalg.norm(self.values, axis=1), 0.0)
        if missing.any():
            width = 6
            smooth = np.convolve(np.pad(missing, width, "edge"), np.hanning(2 * width + 1) / width, "valid")
            self.values += np.maximum(smooth, 1.2 * missing)[:, None] * LIFT
