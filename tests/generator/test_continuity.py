# SPDX-License-Identifier: GPL-3.0-or-later
"""Long lines, and takes that branch off, vary and spread: with the bundled checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generator.direction.emotions import emotion_vector
from generator.direction.requests import LineRequest, drawn_for
from generator.direction.script import Part
from generator.engine.conditioning import Asked
from generator.engine.config import ModelConfig, PerformConfig
from generator.errors import InputError
from generator.performing.continuity import Performance, perform_all
from generator.performing.cteg import CtegPerformer
from generator.performing.draws import Draws, TakeSeed
from generator.performing.load import load_performer
from generator.performing.passages import Passage, passages
from generator.performing.spread import most_different
from generator.shared.composing import whole_face
from generator.shared.spaces import ARKIT55

SHORT = "I can't believe you did that!"
LONG = (
    "I walked home alone in the rain last night. Nobody asked me where I had been! And then, out of nowhere, she "
    "opened the door and smiled. I could not believe it was really her, after all those years. We sat by the window "
    "until the morning came, talking about everything we had lost."
)


@pytest.fixture(scope="module")
def performer() -> CtegPerformer:
    loaded = load_performer()
    assert isinstance(loaded, CtegPerformer)
    return loaded


def ask(text: str = SHORT, **fields: Any) -> LineRequest:
    return LineRequest.from_json({"text": text, **fields})


def take(performer: CtegPerformer, text: str = SHORT, **fields: Any) -> np.ndarray:
    return performer.perform([ask(text, **fields)])[0].take(0)


# A line in one piece -------------------------------------------------------------------------------------------------


def test_a_line_is_performed_under_its_words(performer: CtegPerformer) -> None:
    (clips,) = performer.perform([ask("Well, I suppose we could go to the market.", emotion="joy", seed=9)])
    timeline, frames = clips.timeline(0), int(clips.lengths[0])
    assert timeline is not None and frames == round(timeline.seconds * 24)
    np.testing.assert_array_equal(clips.take(0), whole_face(clips.performance(0), timeline, 24.0))
    assert clips.performance(0).std() > 0.01


def test_it_ends_as_it_is_asked_to(performer: CtegPerformer) -> None:
    """At the standard face, with a trace of what was felt, or still in it."""
    asked = [ask(emotion="joy", takes=6, ending=ending) for ending in ("rest", "trace", "held")]
    rest, trace, held = (
        np.mean([np.linalg.norm(clips.performance(k)[-1, :52]) for k in range(6)]) for clips in performer.perform(asked)
    )
    assert rest == 0.0 and 0.1 < trace < held
    with pytest.raises(InputError, match="no ending 'sudden'"):
        ask(ending="sudden")


def test_it_begins_from_the_face_that_it_is_given(performer: CtegPerformer) -> None:
    (before,) = performer.perform([ask(emotion="joy", ending="held", seed=2)])
    face = before.performance(0)[-1]
    (after,) = performer.perform([ask(emotion="sadness", begin=face.tolist(), seed=3)])
    (plain,) = performer.perform([ask(emotion="sadness", seed=3)])
    jump = [np.abs(clips.performance(0)[0] - face).max() for clips in (after, plain)]
    assert jump[0] < 0.5 * jump[1]
    smile = ARKIT55.column("mouthSmileLeft")
    assert after.performance(0)[:6, smile].mean() > plain.performance(0)[:6, smile].mean() + 0.05
    with pytest.raises(InputError, match=r"has 53 numbers and .* which has 55"):
        performer.perform([ask(begin=[0.0] * 53)])
    with pytest.raises(InputError, match="list of numbers"):
        ask(begin="joy")


def test_who_listens_moves_with_what_is_said(performer: CtegPerformer) -> None:
    """Silent lips, the length of what is heard, and another performance than in a silence."""
    (heard,) = performer.perform([ask(speaking=False, emotion="surprise")])
    (said,) = performer.perform([ask(emotion="surprise")])
    assert heard.timeline(0) is None
    assert 0 < heard.lengths[0] - said.lengths[0] < 48
    assert heard.take(0)[:, ARKIT55.column("mouthPucker")].max() < 0.5


def test_takes_of_a_line_are_said_alike_unless_their_timing_may_vary(performer: CtegPerformer) -> None:
    same, sadly, other, varied = performer.perform(
        [ask(takes=3), ask(emotion="sadness"), ask(timing=5), ask(takes=3, vary_timing=True)]
    )
    assert len({*same.timelines}) == 1 and other.timeline(0) != same.timeline(0)
    assert sadly.timeline(0).seconds > 1.1 * same.timeline(0).seconds  # sadness is slow
    assert len(set(varied.timelines)) == 3
    (again,) = performer.perform([ask(seed=1, vary_timing=True)])
    assert again.timeline(0) == varied.timeline(1)
    (near,) = performer.perform([ask(seed=9, vary_timing=True, vary={"seed": 1, "amount": 0.3})])
    assert near.timeline(0) == varied.timeline(1)
    (given,) = performer.perform([ask(timeline=varied.timeline(2).to_json(), emotion="fear")])
    assert given.timeline(0) == varied.timeline(2)


def test_what_cannot_be_said_is_refused_or_said_so(performer: CtegPerformer) -> None:
    (slow,) = performer.perform([ask(timeline=performer.perform([ask()])[0].timeline(0).to_json(), seconds=9.0)])
    assert "have no effect where a timeline is given" in slow.warnings[-1]
    with pytest.raises(InputError, match="another line"):
        performer.perform([ask(LONG, timeline=slow.timeline(0).to_json())])
    given = slow.timeline(0).to_json()
    (heard,) = performer.perform([ask(timeline=given, speaking=False)])
    assert "decided the length only" in heard.warnings[-1]
    (near,) = performer.perform([ask(timeline=given, rate=1.5, seed=4, vary={"seed": 3, "amount": 0.3})])
    assert not near.warnings and near.timeline(0) == slow.timeline(0)
    silent, dots = performer.perform([ask(speaking=False), ask("...")])
    assert silent.timeline(0) is None and dots.timeline(0) is None
    with pytest.raises(InputError, match="no language 'xx'"):
        ask(language="xx")
    german = "Ich habe es dir doch gesagt, das ist nicht gut."
    (clips,) = performer.perform([ask(german, emotion="joy", language="en")])
    assert not any("English" in warning for warning in clips.warnings)
    (clips,) = performer.perform([ask(german, speaking=False)])
    assert "choose one for this line in German" in clips.warnings[-1]


def test_a_language_nobody_can_pronounce_is_refused_before_anything_is_performed(
    performer: CtegPerformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generator.speech.espeak.available", lambda: False)
    with pytest.raises(InputError, match="seems to be German, which needs espeak-ng"):
        performer.perform([ask("Ich habe es dir doch gesagt, das ist nicht gut.")])
    with pytest.raises(InputError, match="is to be spoken in French"):
        performer.perform([ask(language="fr")])


def test_what_is_not_asked_for_changes_nothing(performer: CtegPerformer) -> None:
    plain = take(performer, emotion="joy", seed=3)
    np.testing.assert_allclose(take(performer, "(happily) " + SHORT, seed=3), plain, atol=2e-4)
    np.testing.assert_allclose(take(performer, emotion="joy", emotion_to="joy", seed=3), plain, atol=2e-4)
    np.testing.assert_allclose(take(performer, emotion="joy", seed=3, rate=1.0), plain, atol=2e-4)
    assert len(take(performer, emotion="joy", seed=3, rate=0.7)) > 1.2 * len(plain)
    assert len(take(performer, emotion="joy", seed=3, rate=1.5)) < 0.8 * len(plain)


def test_a_take_descends_from_the_take_it_was_made_from(performer: CtegPerformer) -> None:
    """A branch of a variation: it begins as that variation does, and so does a variation of the branch by nothing."""
    near = {"seed": 3, "amount": 0.3}
    variation = LineRequest.from_json({"text": SHORT, "emotion": "joy", "seed": 8, "vary": near})
    branch = {"seed": 8, "frame": 30, "of": {"vary": near}}
    branched = LineRequest.from_json({"text": SHORT, "emotion": "joy", "seed": 9, "branch": branch})
    again = {"seed": 9, "amount": 0.0, "of": {"branch": branch}}
    same = LineRequest.from_json({"text": SHORT, "emotion": "joy", "seed": 10, "vary": again})
    one, two, three = (clips.take(0) for clips in performer.perform([variation, branched, same]))
    assert len(one) == len(two) == len(three)
    np.testing.assert_allclose(two[:30], one[:30], atol=2e-4)
    assert np.abs(two[36:] - one[36:]).max() > 0.02
    np.testing.assert_allclose(three, two, atol=2e-4)
    (clips,) = performer.perform([branched])
    assert clips.settings["branch"] == {"seed": 8, "frame": 30, "of": {"branch": None, "vary": near}}


def test_a_line_of_descent_must_make_sense() -> None:
    deep: dict[str, Any] | None = None
    for _ in range(60):
        deep = {"vary": {"seed": 1, "amount": 0.1, "of": deep}}
    for of, sentence in (
        (deep, "descend from at most 50"),
        ({"vary": {"seed": 1, "amount": 3}}, "amount to vary by must be from 0 to 1, not 3"),
        ({"vary": {"seed": 1}}, "'vary' must be null or an object with 'seed' and 'amount'"),
        ([], "'of' must be null or an object"),
    ):
        with pytest.raises(InputError, match=sentence):
            LineRequest.from_json({"text": "Hi.", "branch": {"seed": 1, "frame": 3, "of": of}})


# Long lines ----------------------------------------------------------------------------------------------------------


def test_a_long_line_goes_on_without_a_pop_and_stays_alive(performer: CtegPerformer) -> None:
    clips = performer.perform(
        [ask(LONG, emotion=e, takes=16, seed=k) for k, e in enumerate(("joy", "sadness", "anger"))]
    )  # of four takes each the quarters differ by a tenth by chance
    velocity, jerk, quarters = [], [], []
    for clip in clips:
        for k in range(16):
            frames, segments = clip.take(k), clip.segments[k]
            assert len(segments) >= 4 and len(frames) > 15 * 24
            assert [s["start"] for s in segments[1:]] == [s["end"] for s in segments[:-1]]
            assert (segments[0]["start"], segments[-1]["end"]) == (0, len(frames))
            assert " ".join(s["text"] for s in segments) == LONG
            near = np.zeros(len(frames), bool)
            for segment in segments[1:]:
                near[segment["start"] - 2 : segment["start"] + 24] = True
            norm = np.linalg.norm(frames, axis=1)
            assert norm[24:-24].min() > ARKIT55.standard_face_norm  # never back at the standard face
            moving = slice(16, len(frames) - 20)
            for order, ratios in ((1, velocity), (3, jerk)):
                change = np.linalg.norm(np.diff(frames, order, axis=0, prepend=frames[:order]), axis=1)[moving]
                ratios.append((change[near[moving]].mean(), change[~near[moving]].mean()))
            quarters.append([q.mean() for q in np.array_split(norm[24:-24], 4)])
    for ratios in (velocity, jerk):
        at_seams, inside = np.mean(ratios, axis=0)
        assert 0.4 < at_seams / inside < 1.2
    amplitude = np.mean(quarters, axis=0)
    assert abs(amplitude[-1] / amplitude[0] - 1) < 0.1


def test_lengths_that_are_asked_for_are_met(performer: CtegPerformer) -> None:
    for text, seconds in ((LONG, 20.0), (LONG, 6.0), (SHORT, 25.0), (SHORT, 60.0), ("No. " * 60, 0.5)):
        (clip,) = performer.perform([ask(text, seconds=seconds)])
        assert clip.lengths.tolist() == [round(seconds * 24)]
        assert clip.segments[0][-1]["end"] == clip.lengths[0] and not clip.take(0)[-1].any()
    (clip,) = performer.perform([ask(SHORT, seconds=25.0, emotion="joy")])
    frames, silent = clip.take(0), [s for s in clip.segments[0] if s["text"] == "..."]
    assert len(silent) >= 3 and np.linalg.norm(frames[24:-24], axis=1).min() > ARKIT55.standard_face_norm
    (hurried,) = performer.perform([ask("I never said that you were wrong about her. " * 40)])
    assert 59 * 24 < hurried.lengths[0] <= 60 * 24 and "is hurried" in hurried.warnings[-1]


def test_parts_of_a_line_follow_their_directions(performer: CtegPerformer) -> None:
    (clip,) = performer.perform([ask("(angrily) Get out of my house right now! (happily) Oh, you came back to me!")])
    first, second = clip.segments[0]
    assert (first["emotion"], second["emotion"], clip.text[0]) == ("anger", "joy", "(")
    smile, frown = (ARKIT55.column(name) for name in ("mouthSmileLeft", "browDownLeft"))
    frames = clip.take(0)
    angry, happy = frames[12 : first["end"]], frames[second["start"] + 20 : -12]
    assert angry[:, frown].mean() > happy[:, frown].mean() + 0.1
    assert happy[:, smile].mean() > angry[:, smile].mean() + 0.1


def test_an_emotion_moves_to_another_one(performer: CtegPerformer) -> None:
    asked = (("joy", "sadness"), ("joy", None), ("sadness", None))
    moving, still, sad = performer.perform(
        [ask(SHORT, emotion=one, emotion_to=to, takes=6, seconds=6.0) for one, to in asked]
    )
    smile, brow = (ARKIT55.column(name) for name in ("mouthSmileLeft", "browInnerUp"))
    first, last = (moving.values[:, part] for part in (slice(12, 40), slice(104, 130)))
    assert first[..., smile].mean() > last[..., smile].mean() + 0.2
    assert last[..., brow].mean() > first[..., brow].mean() + 0.2
    assert still.values[:, 104:130, smile].mean() > last[..., smile].mean() + 0.2
    faces = [np.stack([clip.take(k) for k in range(6)]) for clip in (moving, still, sad)]
    cut = np.concatenate([faces[1][:, :72], faces[2][:, 72:]], 1)
    jumps = [np.linalg.norm(np.diff(face[:, 16:-16], 3, axis=1), axis=2).mean() for face in (*faces, cut)]
    calm = 1.3 * (jumps[1] + jumps[2]) / 2  # each feeling has a calm of its own
    assert jumps[0] < calm < jumps[3], "no more than faces that stay as they are, and less than one cut into the other"


# Other takes of a take ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "frame"), [(SHORT, 30), (LONG, 200)])
def test_a_branch_begins_like_its_take_and_ends_as_long(performer: CtegPerformer, text: str, frame: int) -> None:
    whole = take(performer, text, seed=5, emotion="joy")
    (branches,) = performer.perform([ask(text, seed=40, takes=3, emotion="joy", branch={"seed": 5, "frame": frame})])
    assert branches.lengths.tolist() == [len(whole)] * 3 and branches.seeds.tolist() == [40, 41, 42]
    for k in range(3):
        np.testing.assert_allclose(branches.take(k)[:frame], whole[:frame], atol=1e-3)
        assert np.abs(branches.take(k)[frame + 8 :] - whole[frame + 8 :]).max() > 0.05
    again = take(performer, text, seed=41, emotion="joy", branch={"seed": 5, "frame": frame})
    np.testing.assert_allclose(again, branches.take(1), atol=1e-3)
    (late,) = performer.perform([ask(text, branch={"seed": 5, "frame": 1440})])
    assert "has no frame 1440" in late.warnings[-1]


def test_a_varied_take_is_the_nearer_the_smaller_the_amount(performer: CtegPerformer) -> None:
    whole = take(performer, seed=5, emotion="joy")

    def distance(amount: float) -> float:
        (clip,) = performer.perform(
            [ask(seed=40, takes=8, emotion="joy", vary={"seed": 5, "amount": amount})]
        )  # fmt: skip
        assert set(clip.lengths.tolist()) == {len(whole)}
        return float(np.mean([np.linalg.norm(clip.take(k) - whole, axis=1).mean() for k in range(8)]))

    none, little, much, new = map(distance, (0.0, 0.2, 0.6, 1.0))
    assert none < 1e-3 < little < much < 1.2 * new and little < 0.7 * new


def test_varied_draws_stay_standard() -> None:
    config = ModelConfig(d_latent=16)
    theirs, own = (Draws.of(TakeSeed(seed, "a"), config, 400) for seed in (1, 2))
    mixed = theirs.varied(own, 0.6)
    assert abs(mixed.standard.std() - 1) < 0.03 and abs(mixed.standard.mean()) < 0.03
    normal, gumbel = mixed.scaled(config, PerformConfig(), 1.0)
    assert normal.shape[-1] == config.d_latent and gumbel.shape[-1] == config.choices
    assert abs(gumbel.mean() - 0.5772) < 0.05 and abs(gumbel.std() - np.pi / 6**0.5) < 0.05
    assert abs(np.corrcoef(mixed.standard.ravel(), theirs.standard.ravel())[0, 1] - 0.8) < 0.03
    np.testing.assert_array_equal(theirs.varied(own, 1.0).standard, own.standard)
    np.testing.assert_array_equal(theirs.varied(own, 0.0).standard, theirs.standard)


def test_spread_takes_are_the_most_different_and_can_be_had_again(performer: CtegPerformer) -> None:
    plain, spread = performer.perform([ask(takes=4, seed=7, seconds=3.0, spread=s) for s in (False, True)])
    seeds = spread.seeds.tolist()
    assert seeds[0] == 7 and len(set(seeds)) == 4 and max(seeds) < 7 + drawn_for(4) and seeds != [7, 8, 9, 10]

    def apart(values: np.ndarray) -> float:
        return min(float(np.linalg.norm(a - b)) for i, a in enumerate(values) for b in values[:i])

    assert apart(spread.values) > apart(plain.values)
    np.testing.assert_allclose(take(performer, seed=seeds[2], seconds=3.0), spread.take(2), atol=2e-4)


def test_farthest_points_are_chosen() -> None:
    clips = [np.full((n, 2), v, np.float32) for n, v in ((3, 0.0), (3, 0.1), (3, 5.0), (4, -2.0), (3, 4.9))]
    assert most_different(clips, 3) == [0, 2, 3]
    assert sorted(most_different([clips[0]] * 3, 3)) == [0, 1, 2]
    assert (drawn_for(1), drawn_for(16), drawn_for(20), drawn_for(64)) == (4, 64, 64, 64)


def test_a_line_turns_from_one_emotion_to_the_other(performer: CtegPerformer) -> None:
    """It begins nearer to the takes of the first one and ends nearer to those of the second."""

    def mean(seed: int, frames: slice, **emotions: str) -> np.ndarray:
        return take(performer, seed=seed, seconds=4.0, **emotions)[frames].mean(0)

    for frames, near, far in ((slice(12, 38), "joy", "fear"), (slice(60, 84), "fear", "joy")):
        turning, like, unlike = (
            np.mean([mean(seed, frames, **asked) for seed in range(6)], 0)
            for asked in ({"emotion": "joy", "emotion_to": "fear"}, {"emotion": near}, {"emotion": far})
        )
        assert np.linalg.norm(turning - like) < 0.6 * np.linalg.norm(turning - unlike)


def test_a_line_that_turns_is_decoded_beside_a_longer_one_that_stays(performer: CtegPerformer) -> None:
    turning = {"text": "Yes.", "emotion": "joy", "emotion_to": "fear", "seed": 4, "seconds": 2.0}
    short, _ = performer.perform([ask(**turning), ask(emotion="anger", seconds=6.0)])
    np.testing.assert_allclose(short.take(0), take(performer, **turning), atol=1e-3)


def test_a_part_turns_only_where_its_line_moves() -> None:
    parts = tuple(Part(f"part {k}", "joy", 1.0, emotion_to="fear") for k in range(6))
    laid = passages(parts, [60] * 6, 24.0)
    turned = [laid[k - 1].text for k, passage in enumerate(laid) if passage.turned]
    assert turned and "part 0" not in turned and "part 5" not in turned
    assert len(passages(parts[:1], [60], 24.0)) == 2 and len(passages((Part("one", "joy", 1.0),), [60], 24.0)) == 1


def test_passages_decoded_together_equal_passages_decoded_alone(performer: CtegPerformer) -> None:
    def passage(text: str, start: int, frames: int, emotion: str, to: str | None = None) -> Passage:
        towards = None if to is None else emotion_vector(to)
        return Passage(text, start, Asked(frames, emotion_vector(emotion), towards, 1.0))

    one = (passage("Yes.", 0, 50, "joy"), passage("No, never!", 40, 60, "joy", "fear"))
    other = (passage("Maybe.", 0, 70, "neutral", "anger"),)
    rows = [Performance(p, 4, "a line") for p in (one, other)]
    together = perform_all(performer.engine, rows)
    assert [len(t) for t in together] == [100, 70]
    for row, expected in zip(rows, together, strict=True):
        (alone,) = perform_all(performer.engine, [row])
        np.testing.assert_allclose(alone, expected, atol=1e-3)


# The beginning of a take ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (SHORT, {"seconds": 5.0}),
        (LONG, {}),
        ("Oh. [joy -> sadness] I knew that you would come back one day.", {"seconds": 6.0}),
        (SHORT, {"seconds": 5.0, "vary": {"seed": 3, "amount": 0.4}}),
    ],
)
def test_the_beginning_of_a_take_is_that_of_the_whole_take(
    performer: CtegPerformer, text: str, fields: dict[str, Any]
) -> None:
    (whole,) = performer.perform([ask(text, seed=4, **fields)])
    for until in (2, 49, 72, 100):
        (begun,) = performer.perform([ask(text, seed=4, until=until, **fields)])
        frames = begun.performance(0)
        assert len(frames) == (until if until < whole.lengths[0] - 24 else whole.lengths[0])
        np.testing.assert_allclose(frames, whole.performance(0)[: len(frames)], atol=1e-5)
        assert begun.timeline(0) == whole.timeline(0) and "until" not in begun.settings


@pytest.mark.parametrize("until", [0, 1.5, True, 10_000])
def test_a_beginning_has_a_whole_number_of_frames(until: object) -> None:
    with pytest.raises(InputError, match="number of frames to perform"):
        ask(until=until)
