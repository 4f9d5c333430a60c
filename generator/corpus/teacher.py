# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher: a line, a blend of emotions, an intensity and a seed become a performance in the space arkit55.

It is the author of the bundled model's training data: recipes of facial actions (`recipes`), moved along
minimum-jerk curves (`curves`), with speech (`visemes`), gaze and blinks (`gaze`), head (`head`) and the voice's other
sounds (`sounds`) on top. A take ends at the standard face.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from ..emotions import BASIC_EMOTIONS
from ..spaces import ARKIT55
from .curves import Floats, drift, minimum_jerk, pulses, soft_limit, track
from .gaze import blink_curve, eye_channels, plan_blinks, plan_gaze, world_gaze
from .head import head_motion
from .mixture import Acting, choose
from .plan import Plan, make_plan
from .recipes import ACTION_UNITS, YIELDS_TO_SPEECH, Variant
from .sounds import sound
from .speech import read_line
from .visemes import SPEECH_CHANNELS, articulate

#: Changes whenever the same arguments would give another performance.
TEACHER_VERSION: Final = "1.1"

_FPS: Final = ARKIT55.fps
_HEAD: Final = slice(52, 55)
_MAX_INTENSITY: Final = 1.5


@cache
def columns(name: str) -> tuple[int, ...]:
    """Columns of a channel; a name that ends in "*" gives the left and the right one."""
    if name.endswith("*"):
        return ARKIT55.column(name[:-1] + "Left"), ARKIT55.column(name[:-1] + "Right")
    return (ARKIT55.column(name),)


@cache
def _unit_matrix() -> tuple[tuple[str, ...], Floats]:
    units = tuple(ACTION_UNITS)
    matrix = np.zeros((len(units), ARKIT55.size))
    for row, unit in enumerate(units):
        for name, value in ACTION_UNITS[unit].items():
            for column in columns(name):
                matrix[row, column] = value
    return units, matrix


def perform(
    text: str, weights: npt.ArrayLike, intensity: float, seed: int, seconds: float | None = None
) -> npt.NDArray[np.float32]:
    """Acts a line.

    Args:
        text: the line; one without words is acted as a silent reaction.
        weights: blend over `BASIC_EMOTIONS`, shape (7,), not negative, not all zero; it is normalised.
        intensity: 0..1.5, 1 natural.
        seed: the take; the same arguments give the same numbers.
        seconds: length wanted, clipped to 1..10; None lets the line decide.

    Returns:
        float32 (T, 55) in the space arkit55 at 24 frames per second, 24 <= T <= 240, whose last frame is the
        standard face (norm below `ARKIT55.standard_face_norm`).
    """
    blend = np.asarray(weights, np.float64)
    if blend.shape != (len(BASIC_EMOTIONS),) or (blend < 0.0).any() or not np.isfinite(blend).all() or not blend.sum():
        raise ValueError(f"weights must be {len(BASIC_EMOTIONS)} numbers >= 0 with a positive sum, not {weights!r}")
    if not 0.0 <= intensity <= _MAX_INTENSITY:
        raise ValueError(f"intensity must lie between 0 and {_MAX_INTENSITY}, not {intensity!r}")
    blend = blend / blend.sum()
    # The intensity is no part of the seed: turning it up gives the same take, larger, perhaps with a sound added.
    key = zlib.crc32(text.encode("utf-8"), zlib.crc32(np.round(blend * 1000.0).astype(np.int64).tobytes()))
    rng = np.random.default_rng([seed, key])
    acting = choose(blend, rng)
    plan = make_plan(read_line(text), acting, intensity, seconds, rng)
    frames = max(round(plan.seconds * _FPS), 24)
    t = np.arange(frames) / _FPS
    return _Take(acting, plan, intensity, t, rng).render()


class _Take:
    """One take being built; every method adds one layer to ``values``."""

    def __init__(self, acting: Acting, plan: Plan, intensity: float, t: Floats, rng: np.random.Generator) -> None:
        self.acting, self.plan, self.t, self.rng = acting, plan, t, rng
        self.intensity = intensity
        self.energy = 0.5 + 0.5 * intensity
        #: Amplitude of expressions: calm is less than proportional, extreme adds actions rather than only size.
        self.amplitude = acting.strength * intensity**0.85
        self.side = float(rng.choice((-1.0, 1.0)))
        #: Left and right differ a little in every take, by one sign for the whole face.
        self.lean = rng.normal(0.0, 0.07)
        self.values = np.zeros((len(t), ARKIT55.size))
        self.mouth = articulate(plan.utterance, t, _FPS)
        self._draw_envelope()

    def render(self) -> npt.NDArray[np.float32]:
        self._rest()
        self._express()
        self._emphasise()
        self._flash()
        self._sound()
        self._speak()
        head = self._move_head()
        self._look(head)
        return self._finish()

    def _add(self, channel: str, value: Floats) -> None:
        for column in columns(channel):
            self.values[:, column] += value

    # --- the feeling ------------------------------------------------------------------------------------------

    def _draw_envelope(self) -> None:
        """Draws the moves and swells of the feeling, and the slow life of the whole face."""
        plan, rng = self.plan, self.rng
        spoken = plan.utterance
        peak = float(rng.uniform(0.85, 1.0))
        moves = [(max(plan.onset - 0.5 * plan.onset_seconds, 0.02), 0.3, plan.early)] if plan.early else []
        moves.append((plan.onset, plan.onset_seconds, peak))
        if self.acting.emotion == "surprise":
            # Surprise is the briefest of all: it arrives at once and does not stay (Ekman 2003).
            fades = plan.onset + plan.onset_seconds + float(rng.uniform(0.5, 1.3))
            if fades < plan.release - 0.5:
                moves.append((fades, float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.55, 0.8))))
        for phrase in spoken.phrases[1:]:
            if phrase.start > plan.onset + plan.onset_seconds:
                moves.append((phrase.start - 0.25, float(rng.uniform(0.35, 0.6)), float(rng.uniform(0.6, 1.0))))
        # Most feelings come out fully once the words are out of the way.
        after = max(spoken.end - 0.1, plan.onset + 0.3)
        moves.append((after, float(rng.uniform(0.3, 0.5)), float(rng.uniform(0.85, 1.1))))
        self.moves = np.array(sorted(moves))
        self.swells = spoken.accents[spoken.accents > plan.onset]
        self.swell_sizes = rng.uniform(0.03, 0.16, len(self.swells))
        self.life = drift(rng, self.t, 1)[0] * 0.03

    def _envelope(self, t: Floats) -> Floats:
        """How much of the feeling shows at times ``t``, before its release: about 0..1.15, shape of ``t``."""
        moved = track(t, self.moves[:, 0], self.moves[:, 1], self.moves[:, 2])
        return moved + pulses(t, self.swells, 0.25, 0.5, self.swell_sizes)

    def _rest(self) -> None:
        """Nobody's living face is the zero vector: a trace of lid, brow and lip tone, different in every take."""
        rng = self.rng
        tone = rng.uniform(0.5, 1.2, 5)
        life = 1.0 + 0.12 * drift(rng, self.t, 5)
        for channels, size, k in (
            (("eyeBlink*",), 0.055, 0), (("eyeSquint*",), 0.07, 1), (("mouthPress*",), 0.07, 2),
            (("mouthShrugLower",), 0.09, 3), (("browInnerUp",), 0.06, 4),
        ):  # fmt: skip
            for channel in channels:
                still = 1.0 - 0.8 * self.mouth.activity if channel.startswith("mouth") else 1.0
                self._add(channel, size * tone[k] * life[k] * still)
        self._add("mouthRight" if rng.random() < 0.5 else "mouthLeft", np.full(len(self.t), abs(rng.normal(0.0, 0.03))))

    def _units(self, variant: Variant) -> tuple[list[str], Floats]:
        """Action units of a variant and their strengths at this intensity."""
        extra = max(self.intensity - 0.75, 0.0) / 0.75
        strengths: dict[str, float] = {}
        for part in (variant.upper, variant.lower):
            for unit, value in part.items():
                strengths[unit] = strengths.get(unit, 0.0) + value * self.amplitude
        for unit, value in variant.extreme.items():
            strengths[unit] = strengths.get(unit, 0.0) + value * extra * self.acting.strength
        names = list(strengths)
        return names, np.array([strengths[n] for n in names])

    def _express(self) -> None:
        first, then = self.acting.first, self.acting.then
        if then is None or self.plan.turn is None:
            self._show(first, np.ones(len(self.t)))
            return
        change = minimum_jerk((self.t - self.plan.turn) / float(self.rng.uniform(0.35, 0.65)))
        self._show(first, 1.0 - 0.85 * change)
        self._show(then, change)

    def _show(self, variant: Variant, share: Floats) -> None:
        """Adds a pattern: every action unit with its own delay, size, side and slow life."""
        rng = self.rng
        units, matrix = _unit_matrix()
        names, strengths = self._units(variant)
        count = len(names)
        delays = rng.normal(0.0, 0.045, count) + rng.uniform(0.0, 0.08) * np.array([n in variant.lower for n in names])
        strengths = strengths * np.exp(rng.normal(0.0, 0.13, count))
        curve = np.maximum(self._envelope(self.t - delays[:, None]), 0.0)  # (count, T)
        curve = curve * share * (1.0 + 0.085 * drift(rng, self.t, count) + self.life)
        # Speech takes the lips for itself and gives them back in the pauses.
        keep = np.array(
            [YIELDS_TO_SPEECH.get(n, 1.0) if n in variant.lower or n in variant.extreme else 1.0 for n in names]
        )
        curve = curve * (1.0 - (1.0 - keep[:, None]) * self.mouth.activity)
        rows = matrix[[units.index(n) for n in names]]
        if self.side < 0.0:
            rows[:, _SIDEWAYS] = rows[:, _SIDEWAYS[::-1]]
        uneven = self.lean + rng.normal(0.0, 0.05, count) + variant.asymmetry * self.side * np.array(
            [0.3 if n in ("2", "9", "10", "12", "14") else 0.08 for n in names]
        )  # fmt: skip
        weight = (curve * strengths[:, None]).T  # (T, count)
        both = weight @ rows
        tilt = (weight * uneven) @ rows
        both[:, _LEFT] += tilt[:, _LEFT]
        both[:, _RIGHT] -= tilt[:, _RIGHT]
        self.values += np.maximum(both, 0.0)

    def _flash(self) -> None:
        """A micro-expression: a fifth of a second of something else before or inside the feeling."""
        rng = self.rng
        if rng.random() > 0.15:
            return
        unit, size = (("1", 0.3), ("4", 0.35), ("14", 0.35), ("24", 0.35), ("15", 0.3), ("9", 0.25), ("7", 0.35))[
            int(rng.integers(7))
        ]
        pauses = [p.end + 0.12 for p in self.plan.utterance.phrases[:-1]]
        moment = (
            pauses[int(rng.integers(len(pauses)))]
            if pauses and rng.random() < 0.5
            else max(self.plan.onset - 0.02, 0.1)
        )
        shape = pulses(self.t, np.array([moment]), 0.14, 0.18, np.array([size * self.energy]))
        one_sided = rng.random() < 0.4
        for name, value in ACTION_UNITS[unit].items():
            for k, column in enumerate(columns(name)):
                self.values[:, column] += shape * value * (0.3 if one_sided and (k == 0) == (self.side > 0) else 1.0)

    def _emphasise(self) -> None:
        """Stressed words and punctuation on brows and lids: the conversational signals of Ekman 1979."""
        rng, utterance, t = self.rng, self.plan.utterance, self.t
        chosen = rng.random(len(utterance.accents)) < 0.65
        times, sizes = utterance.accents[chosen], utterance.accent_sizes[chosen] * self.energy
        shape = pulses(t, times + 0.02, 0.18, float(rng.uniform(0.28, 0.5)), sizes)
        for unit, value in self.acting.manner.brow.items():
            for name, part in ACTION_UNITS[unit].items():
                self._add(name, shape * value * part)
        for phrase in utterance.phrases:
            if phrase.mark == "?":
                begin = max(phrase.start, phrase.end - float(rng.uniform(0.5, 0.9)))
                lift = minimum_jerk((t - begin) / 0.35) * (1.0 - minimum_jerk((t - phrase.end - 0.45) / 0.5))
                size = float(rng.uniform(0.25, 0.45)) * (0.6 + 0.4 * self.energy)
                self._add("browInnerUp", size * lift)
                self._add("browOuterUp*", 0.9 * size * lift)
                self._add("eyeWide*", 0.25 * size * lift)
            elif phrase.mark == "!":
                hit = pulses(t, np.array([phrase.end - 0.1]), 0.2, 0.45, np.array([0.22 * self.energy]))
                self._add("eyeWide*" if self.acting.emotion != "anger" else "browDown*", hit)
                self._add("browOuterUp*" if self.acting.emotion in ("joy", "surprise") else "noseSneer*", 0.4 * hit)
            elif phrase.mark == "…":
                self._add(
                    "browInnerUp",
                    0.12
                    * minimum_jerk((t - phrase.end + 0.2) / 0.4)
                    * (1.0 - minimum_jerk((t - phrase.end - 0.5) / 0.5)),
                )

    # --- voice ------------------------------------------------------------------------------------------------

    def _sound(self) -> None:
        self.sound_head = np.zeros((len(self.t), 3))
        for kind, start, seconds in self.plan.sounds:
            for channel, value in sound(kind, self.t, start, seconds, self.rng).items():
                scaled = value * (0.45 + 0.55 * self.intensity) * self.acting.strength
                if channel.startswith("head"):
                    self.sound_head[:, ARKIT55.column(channel) - 52] += scaled
                else:
                    self._add(channel, scaled)

    def _speak(self) -> None:
        """Lays speech over the expression: rounding eases a smile, closed lips win over everything."""
        values, speech = self.values, dict(zip(SPEECH_CHANNELS, self.mouth.values.T, strict=True))
        closure = speech.pop("closure")
        rounding = np.clip(speech["mouthPucker"] + 0.7 * speech["mouthFunnel"], 0.0, 1.0)
        for channel, amount in (
            ("mouthSmile*", 0.4),
            ("mouthStretch*", 0.6),
            ("mouthFrown*", 0.3),
            ("mouthDimple*", 0.5),
        ):
            for column in columns(channel):
                values[:, column] *= 1.0 - amount * rounding
        jaw = columns("jawOpen")[0]
        # A jaw that is already open moves less for the same vowel, and a bilabial must bring it up.
        values[:, jaw] *= 1.0 - 0.75 * closure
        values[:, jaw] += speech.pop("jawOpen") * (1.0 - 0.4 * np.clip(values[:, jaw], 0.0, 1.0))
        for channel, value in speech.items():
            self._add(channel, value)
        # Bared teeth are covered on the way into a seal, not in the very frame of it.
        nearly = np.maximum(closure, 0.55 * np.maximum(np.append(closure[1:], 0.0), np.append(0.0, closure[:-1])))
        for channel in ("mouthLowerDown*", "mouthUpperUp*", "mouthFunnel", "tongueOut"):
            for column in columns(channel):
                values[:, column] *= 1.0 - 0.93 * nearly
        values[:, columns("mouthClose")[0]] += closure * np.minimum(values[:, jaw], 0.5)

    # --- head, eyes, end --------------------------------------------------------------------------------------

    def _posture(self) -> tuple[float, float, float]:
        k = np.array(self.acting.first.head)
        if self.acting.then is not None:
            k = 0.5 * (k + np.array(self.acting.then.head))
        k = k * self.rng.uniform(0.6, 1.3, 3) * self.acting.strength * (0.35 + 0.65 * self.intensity)
        return float(k[0]), float(k[1]), float(k[2])

    def _move_head(self) -> Floats:
        self.gaze = plan_gaze(
            self.rng, self.acting.manner, self.acting.first.gaze, self.side, self.plan.onset,
            [(p.start, p.end, p.mark) for p in self.plan.utterance.phrases], self.plan.release,
        )  # fmt: skip
        late = self._envelope(self.t - 0.07)
        head = head_motion(
            self.rng, self.t, self.acting.manner, self._posture(), self.side, late, self.plan.utterance, self.energy,
            self.acting.emotion in ("surprise", "fear", "joy") and self.rng.random() < 0.6,
        )  # fmt: skip
        head += self.sound_head
        if len(self.gaze.times):
            # The head follows the eyes, later and only in part.
            times, durations = self.gaze.times + 0.07, np.full(len(self.gaze.times), 0.45)
            for axis in (0, 1):
                head[:, axis] += 0.3 * track(self.t, times, durations, self.gaze.targets[:, axis])
        self.values[:, _HEAD] = head
        return head

    def _look(self, head: Floats) -> None:
        rng, values, t = self.rng, self.values, self.t
        # The world comes back to the front when the face is released, so the eyes need no jump at the end.
        eyes = eye_channels(world_gaze(self.gaze, t, 0.8 + 0.2 * self.intensity), head)
        for channel, value in eyes.items():
            values[:, columns(channel)[0]] += value
        down, up = eyes["eyeLookDownLeft"], eyes["eyeLookUpLeft"]
        startled = self.acting.emotion in ("surprise", "fear", "anger") and rng.random() < 0.5
        forced = [self.plan.onset - 0.02] if startled else []
        ends = [p.end for p in self.plan.utterance.phrases]
        times = plan_blinks(rng, self.acting.manner.blinks, self.plan.release - 0.15, self.gaze, ends, forced)
        slow = 1.15 if self.acting.emotion == "sadness" else 1.0
        blink = blink_curve(rng, times, t, _FPS, slow)
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
        self._add("browDown*", 0.05 * blink)

    def _finish(self) -> npt.NDArray[np.float32]:
        """Limits, then the ease-out: regions let go one after the other and all arrive at the standard face."""
        plan, rng = self.plan, self.rng
        values = self.values
        values[:, :52] = soft_limit(values[:, :52])
        values[:, _HEAD] = 0.6 * np.tanh(values[:, _HEAD] / 0.6)
        self._keep_alive()
        last = self.t[-1]
        start = min(plan.release, last - 0.4)
        size = float(np.linalg.norm(values[int(start * _FPS) :], axis=1).max())
        # The move would end after the last frame: only its last frames count as the standard face.
        reach = float(np.interp(1.0 - rng.uniform(0.06, 0.13) / size, minimum_jerk(_GRID), _GRID))
        for group in ("upper face", "eyes", "mouth", "jaw", "head"):
            begin = start + float(rng.uniform(0.0, 0.18)) * (last - start)
            length = (last - begin) / reach
            values[:, ARKIT55.groups[group]] *= 1.0 - minimum_jerk((self.t - begin) / length)[:, None]
        # Takes begin near the standard face.
        values *= (0.4 + 0.6 * minimum_jerk((self.t + 0.04) / 0.25))[:, None]
        return np.clip(values, ARKIT55.lower, ARKIT55.upper).astype(np.float32)

    def _keep_alive(self) -> None:
        """Lifts frames that would pass for the standard face, the end of a take, before the take is over."""
        missing = np.maximum(_ALIVE - np.linalg.norm(self.values, axis=1), 0.0)
        if missing.any():
            width = 6
            smooth = np.convolve(np.pad(missing, width, "edge"), np.hanning(2 * width + 1) / width, "valid")
            self.values += np.maximum(smooth, 1.2 * missing)[:, None] * _TONE


_GRID: Final = np.linspace(0.0, 1.0, 101)
#: Norm that every frame before the ending has, well above the space's standard face.
_ALIVE: Final = 0.33
#: How far lids droop without blinking.
_SLIT: Final = 0.38
_TONE: Final = np.zeros(ARKIT55.size)
for _channel in ("eyeBlink*", "eyeSquint*", "mouthPress*", "browInnerUp", "mouthShrugLower"):
    _TONE[list(columns(_channel))] = 0.4
_SIDEWAYS: Final = [ARKIT55.column(name) for name in ("jawLeft", "mouthLeft", "mouthRight", "jawRight")]
_LEFT: Final = np.array([i for i, name in enumerate(ARKIT55.channels) if name.endswith("Left")])
_RIGHT: Final = np.array([i for i, name in enumerate(ARKIT55.channels) if name.endswith("Right")])
