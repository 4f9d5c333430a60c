# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher as an actor: what directions, words and emotions do to a take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from generator.corpus.direction import ActingDirection
from generator.corpus.gestures import gesture_motion
from generator.corpus.mixture import choose
from generator.corpus.plan import make_plan
from generator.corpus.recipes import GESTURES, VARIANTS
from generator.corpus.teacher import act, perform
from generator.corpus.texts import builtin_lines
from generator.direction.emotions import (
    BASIC_EMOTIONS,
    EMOTION_NAMES,
    EMOTIONS,
    NEAREST_BASIC,
    basic_weights,
    emotion_vector,
    emotion_weights,
)
from generator.evaluation.metrics import fgd
from generator.evaluation.motion import blinks, jerk, motion_features
from generator.shared.spaces import ARKIT55
from generator.shared.timeline import Timeline
from generator.speech.reading import read_line
from generator.speech.timing import speak

Clip = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
LINE = "I never thought that you would really do it."


def channel(clip: Clip, name: str) -> Floats:
    if name.endswith("*"):
        return 0.5 * (channel(clip, name[:-1] + "Left") + channel(clip, name[:-1] + "Right"))
    return clip[:, ARKIT55.column(name)].astype(np.float64)


def takes(emotion: str, count: int = 10, line: str = LINE, **how: object) -> list[Clip]:
    return [act(line, ActingDirection.named(emotion, **how), seed) for seed in range(count)]  # type: ignore[arg-type]


def level(clips: list[Clip], name: str, quantile: float = 0.85) -> float:
    return float(np.mean([np.quantile(channel(clip, name), quantile) for clip in clips]))


def unit_number(unit: str) -> int:
    return 50 if unit == "M" else int(unit.removesuffix("u"))


# --- emotions ---------------------------------------------------------------------------------------------------


def test_every_emotion_is_recognised_on_takes_never_seen() -> None:
    rng = np.random.default_rng(0)
    lines = [line.text for line in builtin_lines().lines]

    def features(count: int, first_seed: int, pool: list[str]) -> tuple[Floats, npt.NDArray[np.int64]]:
        rows, labels = [], []
        for label, emotion in enumerate(EMOTIONS):
            for seed in range(count):
                direction = ActingDirection.named(emotion, intensity=float(rng.uniform(0.6, 1.3)))
                rows.append(motion_features(act(pool[int(rng.integers(len(pool)))], direction, first_seed + seed)))
                labels.append(label)
        return np.array(rows), np.array(labels)

    x, y = features(14, 0, lines[::2])
    unseen, truth = features(6, 1000, lines[1::2])
    centre, scale = x.mean(0), x.std(0) + 0.05
    a, b = (np.c_[(part - centre) / scale, np.ones(len(part))] for part in (x, unseen))
    # Ridge regression on the labels: as simple as a probe can be.
    weights = np.linalg.solve(a.T @ a + 30.0 * np.eye(a.shape[1]), a.T @ np.eye(len(EMOTIONS))[y])
    guess = (b @ weights).argmax(1)
    recalls = [float((guess[truth == k] == k).mean()) for k in range(len(EMOTIONS))]
    assert np.mean(recalls) >= 0.9, dict(zip(EMOTIONS, recalls, strict=True))


def test_each_new_emotion_does_what_it_is_known_for() -> None:
    neutral = takes("neutral")
    # Contempt is on one side, affection soft, pride high, embarrassment low, boredom under heavy lids.
    uneven = [np.abs(channel(c, "mouthDimpleLeft") - channel(c, "mouthDimpleRight")).max() for c in takes("contempt")]
    assert np.mean(uneven) > 0.3
    pitch = {e: float(np.mean([channel(c, "headPitch").mean() for c in takes(e)])) for e in ("pride", "embarrassment")}
    assert pitch["pride"] < -0.05 < 0.05 < pitch["embarrassment"]
    assert level(takes("embarrassment"), "eyeLookDownLeft") > level(neutral, "eyeLookDownLeft") + 0.1
    assert np.mean([np.median(channel(c, "eyeBlink*")) for c in takes("boredom")]) > 0.25
    assert level(takes("affection"), "browInnerUp") > 0.3 < level(takes("affection"), "mouthSmile*")
    assert level(takes("confusion"), "browDown*") > level(neutral, "browDown*") + 0.2
    assert level(takes("amusement"), "cheekSquint*") > 0.5


def test_variants_of_an_emotion_are_different_faces() -> None:
    for emotion in EMOTIONS:
        rows = []
        for variant in VARIANTS[emotion]:
            row = np.zeros(60)
            for unit, strength in {**variant.upper, **variant.lower}.items():
                row[unit_number(unit)] += strength
            posture = np.array(variant.head + variant.gaze)
            rows.append(np.append(row, 2.0 * posture))
        distances = [np.linalg.norm(a - b) for i, a in enumerate(rows) for b in rows[:i]]
        assert min(distances) > (0.15 if emotion == "neutral" else 0.25), emotion


def test_asymmetry_is_mirrored_between_takes() -> None:
    leans = [
        float((channel(c, "mouthDimpleLeft") - channel(c, "mouthDimpleRight")).mean()) for c in takes("contempt", 24)
    ]
    left = sum(lean > 0 for lean in leans)
    assert 5 < left < 19 and min(abs(lean) for lean in leans) > 0.01


def test_old_decoders_get_the_nearest_basic_emotions() -> None:
    assert EMOTIONS[: len(BASIC_EMOTIONS)] == BASIC_EMOTIONS and set(NEAREST_BASIC) == set(EMOTIONS[7:])
    for name in EMOTION_NAMES:
        assert emotion_vector(name).sum() == pytest.approx(1.0) and emotion_weights(name).sum() == pytest.approx(1.0)
    assert emotion_weights("anger").argmax() == BASIC_EMOTIONS.index("anger") and emotion_weights("anger").max() == 1.0
    assert np.allclose(basic_weights(emotion_vector("joy")), emotion_weights("joy"))
    with pytest.raises(KeyError):
        emotion_vector("hunger")
    seven, fourteen = perform(LINE, emotion_weights("fear"), 1.0, 3), perform(LINE, emotion_vector("fear"), 1.0, 3)
    assert np.array_equal(seven, fourteen)


# --- episodes ---------------------------------------------------------------------------------------------------


def test_a_performance_moves_from_one_emotion_to_another() -> None:
    smile, frown = [], []
    for clip in takes("joy", 12, "You came back, and then I heard what had happened to him.", towards="sadness"):
        third = len(clip) // 3
        late = slice(len(clip) - third, len(clip) - 14)
        smile.append((channel(clip, "mouthSmile*")[8:third].max(), channel(clip, "mouthSmile*")[late].max()))
        frown.append((channel(clip, "mouthFrown*")[8:third].max(), channel(clip, "mouthFrown*")[late].max()))
    before, after = np.mean(smile, axis=0)
    assert before > 0.35 and after < 0.15
    before, after = np.mean(frown, axis=0)
    assert before < 0.15 and after > 0.35


def test_the_face_winds_up_before_it_moves() -> None:
    early = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        direction = ActingDirection.named("surprise")
        acting = choose(np.array(direction.feelings), None, rng)
        plan = make_plan(read_line(LINE), acting, direction, rng)
        early += plan.wind_up > 0.0
        assert 0.2 <= plan.onset_seconds <= 0.8 and 0.0 <= plan.wind_up <= plan.onset
    assert 10 <= early < 20


def test_intensity_goes_from_a_trace_to_extreme() -> None:
    for emotion, name in (("joy", "mouthSmile*"), ("anger", "browDown*"), ("disgust", "noseSneer*")):
        sizes = [level(takes(emotion, 8, intensity=i), name, 0.9) for i in (0.25, 0.7, 1.0, 1.5)]
        assert sizes[0] < 0.45 and np.all(np.diff(sizes) > 0.03), (emotion, sizes)


def test_each_emotion_blinks_at_a_human_rate() -> None:
    columns = (ARKIT55.column("eyeBlinkLeft"), ARKIT55.column("eyeBlinkRight"))
    for emotion in EMOTIONS:
        assert 11.0 < blinks(takes(emotion, 24), columns, ARKIT55.fps).per_minute < 30.0, emotion


def test_energy_is_tempo_and_size() -> None:
    slow, fast = takes("joy", 8, energy=0.5), takes("joy", 8, energy=1.5)
    assert np.mean([len(c) for c in fast]) < 0.85 * np.mean([len(c) for c in slow])
    head = [float(np.mean([np.abs(np.diff(c[:, -3:], axis=0)).mean() for c in clips])) for clips in (slow, fast)]
    assert head[1] > 1.3 * head[0]


def test_a_silent_reaction_has_no_speech_but_a_life() -> None:
    for emotion in EMOTIONS:
        for clip in takes(emotion, 3, "Your train leaves at nine, from platform five.", role="silent"):
            assert 36 <= len(clip) <= 240
            # Nobody mouths the words: the lips are never sealed over an open jaw.
            assert channel(clip, "mouthClose").max() == 0.0
            assert np.abs(np.diff(clip[10:-20], axis=0)).sum() > 0.5


def test_takes_end_at_rest_and_never_stick_to_a_limit() -> None:
    for emotion in EMOTIONS:
        for clip in takes(emotion, 3, intensity=1.4) + takes(emotion, 3):
            norms = np.linalg.norm(clip, axis=1)
            assert norms[-1] < 0.05 * norms.max() and norms[0] < 0.25
            runs = np.lib.stride_tricks.sliding_window_view(clip[:, :52] > 0.985, 12, axis=0).all(axis=-1)
            assert not runs.any(), emotion


def test_motion_is_smooth() -> None:
    clips = [clip for emotion in EMOTIONS for clip in takes(emotion, 3)]
    # Per frame: teacher 1.1 had 0.157 and 0.146.
    assert 0.14 < fgd(clips) < 0.2 and jerk(clips) < 0.2
    for clip in clips:
        # Brows and head are heavy: they never chatter.
        for name in ("browInnerUp", "browDown*", "headPitch", "headYaw", "headRoll"):
            steps = np.diff(channel(clip, name))
            turns = int(((steps[1:] * steps[:-1] < 0) & (np.abs(steps[1:]) > 0.012)).sum())
            assert turns / (len(clip) / ARKIT55.fps) < 6.5, name


# --- words ------------------------------------------------------------------------------------------------------


def spoken(line: str, seed: int = 0) -> Timeline:
    return speak(read_line(line), np.random.default_rng(seed))


def test_the_last_syllable_is_long_and_hesitation_longer() -> None:
    def vowel(timeline: Timeline) -> float:
        found = next(p for p in timeline.phonemes if p.symbol == "AW")
        return found.end - found.start

    assert vowel(spoken("We go home now.")) > 1.2 * vowel(spoken("We go home now my friend."))
    assert read_line("um, no").words[0].drawl > 1.5 and read_line("sooo good").words[0].drawl > 1.5


def test_stage_cues_and_interjections_are_acted() -> None:
    script = read_line("*sighs* I know. (laughs) Oh, I *really* know.")
    assert [name for name, _ in script.cues] == ["sigh", "laugh"]
    assert [w.text for w in script.words] == ["i", "know", "oh", "i", "really", "know"]
    assert {"sigh", "laugh", "brow_flash"} == {e.name for e in speak(script, np.random.default_rng(0)).events}
    laughing = np.mean([channel(c, "cheekSquint*").max() for c in takes("neutral", 6, "Haha, hahaha!")])
    plain = np.mean([channel(c, "cheekSquint*").max() for c in takes("neutral", 6, "Papa, mamama!")])
    assert laughing > plain + 0.1


def test_a_denial_shakes_the_head() -> None:
    def swing(line: str) -> float:
        return float(np.mean([np.abs(np.diff(channel(c, "headYaw"))).max() for c in takes("neutral", 12, line)]))

    assert swing("No, never, nothing.") > 1.25 * swing("So, maybe, something.")


def test_gestures_begin_and_end_at_rest() -> None:
    t = np.arange(120) / 24.0
    for name, gesture in GESTURES.items():
        motion = gesture_motion(name, t, 1.0, gesture.seconds[1], 1.0, np.random.default_rng(0))
        for channel_name, values in motion.items():
            assert np.abs(values[t < 1.0]).max() == 0.0, (name, channel_name)
            assert np.abs(values[t > 1.0 + gesture.seconds[1]]).max() < 1e-9, (name, channel_name)
        mirrored = gesture_motion(name, t, 1.0, gesture.seconds[1], -1.0, np.random.default_rng(0))
        if "headYaw" in motion:
            assert np.allclose(motion["headYaw"], -mirrored["headYaw"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"feelings": (0.0,) * 14},
        {"feelings": (1.0,) * 9},
        {"feelings": (1.0, -0.5) + (0.0,) * 12},
        {"feelings": (1.0,) * 14, "energy": 3.0},
        {"feelings": (1.0,) * 14, "intensity": 1.6},
        {"feelings": (1.0,) * 14, "towards": (float("nan"),) * 14},
    ],
)
def test_nonsense_directions_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"weights|energy|intensity"):
        ActingDirection(**wrong)  # type: ignore[arg-type]
