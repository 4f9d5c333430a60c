# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder: causality, cached = uncached decoding, EwA's collapsed form, the mixture prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from generator.conditioning import Condition, Direction, direction_features
from generator.config import ModelConfig
from generator.distributions import Gaussian, Mixture
from generator.emotions import EMOTIONS
from generator.model import CTEG, ExpressionWiseAttention
from generator.performing.draws import Draws
from generator.performing.load import load_performer
from generator.performing.sampling import (
    TakeSeed,
    decode,
    end_at_standard_face,
    sample_takes,
    sample_uncached,
    smooth_seams,
)
from generator.requests import LineRequest
from generator.shared.spaces import ARKIT55

SMALL = ModelConfig(d_model=32, n_head=4, d_inner=64, d_latent=8, d_ewa=8, text_width=24, prior_components=3)
VARIANTS = {
    "default": SMALL,
    "frame by frame": replace(SMALL, frames_per_step=1, recognition="next_state"),
    "two layers": replace(SMALL, n_layers=2),
    "the paper's parts only": replace(
        SMALL, frames_per_step=1, prior_components=1, recognition="next_state", conditioning="none",
        length_conditioning=False, text_progress=False, state_ffn=False,
    ),
    "change from frame to frame": replace(SMALL, residual=True),
    "no EwA, no LTA": replace(SMALL, ewa="off", lta=False),
    "seven emotions": replace(SMALL, conditioning="emotion"),
}  # fmt: skip


def make_model(config: ModelConfig) -> CTEG:
    torch.manual_seed(1)
    model = CTEG(config).eval()
    for parameter in model.parameters():  # fresh layers are too tame to tell a wrong cache from a right one
        torch.nn.init.normal_(parameter, std=0.15)
    return model


def seed(number: int) -> TakeSeed:
    return TakeSeed(number, "a line")


def make_condition(rows: int, frames: list[int], tokens: int = 5, config: ModelConfig = SMALL) -> Condition:
    rng = torch.Generator().manual_seed(2)
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    mask[-1, -2:] = False
    emotion = torch.rand(rows, len(config.emotions), generator=rng)
    return Condition(
        torch.randn(rows, tokens, SMALL.text_width, generator=rng),
        mask,
        torch.linspace(0, 1, tokens).expand(rows, tokens),
        emotion / emotion.sum(1, keepdim=True),
        torch.rand(rows, generator=rng),
        torch.tensor(frames),
    )


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_cached_decoding_equals_decoding_everything_again(config: ModelConfig) -> None:
    model, condition = make_model(config), make_condition(1, [30], config=config)
    whole = sample_uncached(model, condition, seed(5), 0.8)
    if config.frames_per_step > 1:
        whole = smooth_seams(whole, ARKIT55)
    whole = end_at_standard_face(whole, ARKIT55)
    (cached,) = sample_takes(model, condition, [seed(5)], [0.8], [False])
    assert cached.shape == whole.shape
    np.testing.assert_allclose(cached, whole, atol=2e-5)
    assert cached.std() > 0.01


def test_cached_decoding_moves_on_when_it_is_told_to() -> None:
    """Steps read the emotion of their moment: the same until the turn, another one after it."""
    model, still = make_model(SMALL), make_condition(1, [40], config=SMALL)
    towards = 8 * torch.eye(len(EMOTIONS))[[3]]  # told loudly: random weights listen little
    moved = torch.tensor([[0.0] * 5 + [0.5] + [1.0] * 4])
    told = replace(still, direction=replace(Direction.natural(still.emotion), towards=towards, moved=moved))
    never = replace(told, direction=replace(told.direction, moved=torch.zeros(1, 10)))
    takes = [decode(model, c, [Draws.of(seed(5), SMALL, 10)], [0.8])[0].numpy() for c in (told, never)]
    np.testing.assert_array_equal(takes[0][:20], takes[1][:20])
    assert np.abs(takes[0][20:] - takes[1][20:]).max() > 1e-3
    (cached,) = sample_takes(model, told, [seed(5)], [0.8], [True])
    whole = smooth_seams(sample_uncached(model, told, seed(5), 0.8), ARKIT55)
    whole = end_at_standard_face(whole, ARKIT55, stop_early=False)
    np.testing.assert_allclose(cached, whole, atol=2e-5)
    unable = make_model(replace(SMALL, turn_conditioning=False))
    same = [decode(unable, c, [Draws.of(seed(5), SMALL, 10)], [0.8])[0].numpy() for c in (told, never)]
    np.testing.assert_array_equal(*same)


def test_what_is_left_open_is_not_read() -> None:
    condition = make_condition(2, [20, 20])
    asked = Direction.natural(condition.emotion)
    model, frames = make_model(SMALL), torch.randn(2, 5, 4, ARKIT55.size)

    def performed(**changed: Tensor) -> Tensor:
        direction = replace(asked, **{k: v for k, v in changed.items() if k in ("energy", "given", "towards")})
        own = {k: v for k, v in changed.items() if k in ("emotion", "intensity")}
        return direction_features(replace(condition, direction=direction, **own), SMALL)

    torch.testing.assert_close(performed(), direction_features(condition, SMALL))  # natural unless told otherwise
    other = {"emotion": condition.emotion.flip(1), "intensity": torch.full((2,), 0.2), "energy": torch.full((2,), 1.5)}
    for column, name in enumerate(list(other)):
        shut = torch.ones(2, 3)
        shut[:, column] = 0
        assert not torch.equal(performed(**{name: other[name]}), performed())
        if name == "emotion":  # the emotion and the one it moves to are one question
            other["towards"] = condition.emotion.flip(1)
            kept = performed(given=shut, emotion=other["emotion"], towards=other["towards"])
        else:
            kept = performed(given=shut, **{name: other[name]})
        torch.testing.assert_close(kept, performed(given=shut))
    moving = replace(condition, direction=replace(asked, towards=condition.emotion.flip(1)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        still = model(frames, condition).prediction
        torch.manual_seed(0)
        assert not torch.allclose(model(frames, moving).prediction, still, atol=1e-4)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_step_never_sees_the_frames_it_predicts(config: ModelConfig) -> None:
    model, condition = make_model(config), make_condition(2, [32, 32], config=config)
    frames = torch.randn(2, 8, config.frames_per_step, ARKIT55.size)
    changed = frames.clone()
    changed[:, 5:] += 1.0
    torch.manual_seed(3)
    before = model(frames, condition)
    torch.manual_seed(3)
    after = model(changed, condition)
    # Priors up to step 5 may use frames 0..4 only; the recognition network is the one part that looks ahead.
    # A second layer's prior also depends on the first layer's latent of the same step, so only the first is tested.
    first, second = before.prior[0].mean, after.prior[0].mean
    torch.testing.assert_close(first[:, :6], second[:, :6])
    assert not torch.allclose(first[:, 6:], second[:, 6:])


def test_takes_decoded_together_equal_takes_decoded_alone() -> None:
    model, condition = make_model(SMALL), make_condition(3, [40, 24, 33])
    together = sample_takes(model, condition, [seed(1), seed(2), seed(3)], [1.0, 0.5, 1.2], [True] * 3)
    for row, number, heat in ((0, 1, 1.0), (1, 2, 0.5), (2, 3, 1.2)):
        single = Condition(**{k: v if v is None else v[row : row + 1] for k, v in vars(condition).items()})
        (alone,) = sample_takes(model, single, [seed(number)], [heat], [True])
        np.testing.assert_allclose(alone, together[row], atol=2e-5)


def test_takes_stay_inside_the_limits_and_end_at_the_standard_face() -> None:
    model = make_model(SMALL)
    model.scale.fill_(5.0)  # drive the untrained model far out of range
    takes = sample_takes(model, make_condition(2, [50, 31]), [seed(1), seed(2)], [2.0, 2.0], [True, True])
    assert [len(t) for t in takes] == [50, 31]
    for take in takes:
        assert np.isfinite(take).all()
        assert (take >= ARKIT55.lower).all() and (take <= ARKIT55.upper).all()
        assert np.linalg.norm(take[-1]) < ARKIT55.standard_face_norm
        assert np.linalg.norm(take[len(take) // 2]) > ARKIT55.standard_face_norm


def test_the_stop_rule_cuts_at_the_standard_face_but_not_in_the_middle_of_a_line() -> None:
    frames = np.full((100, ARKIT55.size), 0.3, np.float32)
    frames[40:50] = 0  # a calm moment
    frames[90:] = 0.001  # the standard face
    assert len(end_at_standard_face(frames, ARKIT55)) == 91
    assert len(end_at_standard_face(frames, ARKIT55, stop_early=False)) == 100


def test_ewa_collapsed_equals_its_definition() -> None:
    torch.manual_seed(0)
    ewa = ExpressionWiseAttention(SMALL)
    for parameter in ewa.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    frames = torch.randn(3, 6, ARKIT55.size)
    shifted = ewa(frames)
    torch.testing.assert_close(shifted, ewa.forward_explicit(frames), atol=1e-5, rtol=1e-5)
    jaw = list(ARKIT55.groups["jaw"])
    others = [i for i in range(ARKIT55.size) if i not in jaw]
    assert (shifted[..., jaw] - frames[..., jaw]).abs().max() > 0.05
    torch.testing.assert_close(shifted[..., others], frames[..., others])


def test_a_mixture_of_one_is_the_papers_gaussian() -> None:
    mean, log_variance, z = torch.randn(4, 5, 6), torch.randn(4, 5, 6), torch.randn(4, 5, 6)
    mixture = Mixture(torch.zeros(4, 5, 1), mean.unsqueeze(-2), log_variance.unsqueeze(-2))
    torch.testing.assert_close(mixture.log_density(z), Gaussian(mean, log_variance).log_density(z))
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    torch.testing.assert_close(mixture.log_density(z), normal.log_prob(z).sum(-1))


def test_a_mixture_is_sampled_by_its_weights() -> None:
    torch.manual_seed(0)
    count = 20000
    log_weight = torch.tensor([0.05, 0.95]).log().expand(count, 2)
    mean = torch.tensor([[4.0], [0.0]]).expand(count, 2, 1)
    gumbel = -torch.log(-torch.log(torch.rand(count, 2)))
    mixture = Mixture(log_weight, mean, torch.full((count, 2, 1), -6.0))
    rare = (mixture.sample(torch.randn(count, 1), gumbel) > 2).float().mean()
    assert abs(float(rare) - 0.05) < 0.01
    assert not (mixture.sample(torch.randn(count, 1), gumbel, 0.0) > 2).any()


def test_a_seed_means_something_else_in_every_line() -> None:
    first, second = TakeSeed(1, "Yes."), TakeSeed(1, "No.")
    assert not np.allclose(first.rng(0).random(8), second.rng(0).random(8))
    np.testing.assert_array_equal(first.rng(0).random(8), TakeSeed(1, "Yes.").rng(0).random(8))


def test_seams_are_smoothed_on_slow_channels_only() -> None:
    frames = np.random.default_rng(0).uniform(0, 1, (40, ARKIT55.size)).astype(np.float32)
    smoothed = smooth_seams(frames, ARKIT55)
    head, blink = ARKIT55.column("headYaw"), ARKIT55.column("eyeBlinkLeft")
    np.testing.assert_array_equal(smoothed[:, blink], frames[:, blink])
    expected = np.convolve(frames[:, head], np.array([1, 4, 6, 4, 1]) / 16, "valid")
    np.testing.assert_allclose(smoothed[2:-2, head], expected, atol=1e-6)
    assert smoothed.max() <= frames.max() and smoothed.min() >= frames.min()


def test_the_bundled_checkpoint_has_no_tick_where_steps_meet() -> None:
    performer = load_performer(device="cpu")
    request = LineRequest("You kept it? After all these years, you actually kept it!", "joy", takes=8).validated()
    (clips,) = performer.perform([request])
    slow = list(ARKIT55.slow)
    at_seams, inside = [], []
    for take in range(8):
        bend = np.abs(np.diff(clips.take(take)[:, slow], n=2, axis=0)).mean(1)[4:-12]
        phase = (np.arange(len(bend)) + 4 + 1) % 4  # bend i is about frame i + 1; a step starts at multiples of 4
        at_seams.append(bend[(phase == 0) | (phase == 3)].mean())
        inside.append(bend[(phase == 1) | (phase == 2)].mean())
    assert np.mean(at_seams) < 1.5 * np.mean(inside)


def test_configs_of_earlier_checkpoints_are_read() -> None:
    """What did not exist then is off: those checkpoints perform as they did."""
    now = ModelConfig().to_json()
    for name in ("noise_conditioning", "assumed_noise", "emphasis", "draw_scale", "choice_scale"):
        del now[name]
    second = ModelConfig.from_json({**now, "schema_version": 2})
    assert (second.noise_conditioning, second.emphasis, second.draw_scale) == (False, 1.0, 1.0)
    assert second.turn_conditioning is False
    third = ModelConfig.from_json({**ModelConfig().to_json(), "draw_scale": 1.2, "schema_version": 3})
    assert third == replace(ModelConfig(), turn_conditioning=False, draw_scale=1.2, choice_scale=1.2)
    del now["conditioning"]
    first = ModelConfig.from_json({**now, "schema_version": 1, "emotion_conditioning": True})
    assert first == replace(second, conditioning="emotion")
    with pytest.raises(ValueError, match="unknown setting 'colour'"):
        ModelConfig.from_json({**ModelConfig().to_json(), "colour": 1})
    for wrong in ({"assumed_noise": 2.0}, {"emphasis": 0.0}, {"draw_scale": 3.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(ModelConfig(), **wrong)
