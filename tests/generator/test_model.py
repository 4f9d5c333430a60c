# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder: causality, cached = uncached decoding, EwA's collapsed form, the mixture prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from generator.direction import ENDINGS, ROLES
from generator.direction.emotions import EMOTIONS
from generator.engine.conditioning import Asked, Condition, condition_of, step_width
from generator.engine.config import ModelConfig, PerformConfig
from generator.engine.moments import MOMENTS, Moments
from generator.model.cteg import CTEG, ExpressionWiseAttention, InputNoise
from generator.model.distributions import Gaussian, Mixture, gumbel_like
from generator.performing.draws import Draws, TakeSeed
from generator.performing.terminator import end_at_standard_face
from generator.shared.spaces import ARKIT55
from generator.training.batches import Batch
from generator.training.objective import Weights, compute

SMALL = ModelConfig(
    d_model=32, n_head=4, d_inner=64, d_latent=8, d_ewa=8, text_width=24, prior_parts=2, prior_components=3
)
VARIANTS = {
    "default": SMALL,
    "frame by frame": replace(SMALL, frames_per_step=1, recognition="next_state"),
    "four frames a step, two layers": replace(SMALL, n_layers=2, frames_per_step=4),
    "the paper's parts only": replace(
        SMALL, frames_per_step=1, prior_parts=1, prior_components=1, recognition="next_state",
        direction_conditioning=False, timeline_conditioning=False, length_conditioning=False, text_progress=False,
        noise_conditioning=False, inertia=False, state_ffn=False,
    ),
    "no EwA, no LTA": replace(SMALL, ewa="off", lta=False),
    "not told what is said": replace(SMALL, timeline_conditioning=False),
}  # fmt: skip


def make_model(config: ModelConfig) -> CTEG:
    torch.manual_seed(1)
    model = CTEG(config).eval()
    for parameter in model.parameters():  # fresh layers are too tame to tell a wrong cache from a right one
        torch.nn.init.normal_(parameter, std=0.15)
    return model


def seed(number: int) -> TakeSeed:
    return TakeSeed(number, "a line")


def make_asked(frames: int, number: int = 0, **changed: Any) -> Asked:
    rng = np.random.default_rng(number)
    moments = Moments.of(
        [(0.2, 0.5), (0.6, 0.9)], [(0.2, 0.9, "?", True)], [(0.7, 1.2)], [("laugh", 0.9, 1.2)]
    )  # fmt: skip
    weights = rng.dirichlet(np.ones(len(EMOTIONS))).astype(np.float32)
    asked = Asked(frames, weights, intensity=float(rng.uniform(0.5, 1.2)), moments=moments)
    return replace(asked, **changed)


def make_condition(asked: list[Asked], config: ModelConfig = SMALL, tokens: int = 5) -> Condition[Tensor]:
    rng = np.random.default_rng(2)
    mask = np.ones((len(asked), tokens), bool)
    mask[-1, -2:] = False
    hidden = rng.normal(size=(8, tokens, SMALL.text_width)).astype(np.float32)[: len(asked)]
    place = np.linspace(0, 1, tokens, dtype=np.float32)[None].repeat(len(asked), 0)
    told = condition_of(config, (hidden, mask, place), asked)
    return Condition(**{name: torch.from_numpy(value) for name, value in vars(told).items()})


def draws(config: ModelConfig, steps: int, numbers: list[int], heat: float = 0.8) -> tuple[Tensor, Tensor]:
    pairs = [Draws.of(seed(n), config, steps).scaled(config, PerformConfig(), heat) for n in numbers]
    noise, gumbel = (torch.tensor(np.stack(part), dtype=torch.float32) for part in zip(*pairs, strict=True))
    return noise, gumbel


def test_a_take_is_the_same_with_a_gradient_which_leads_back_to_its_first_draw() -> None:
    model = make_model(SMALL)
    condition = make_condition([make_asked(24, 0), make_asked(20, 1)], SMALL)
    noise, gumbel = draws(SMALL, condition.steps.shape[1], [5, 6])
    with torch.no_grad():
        without = model.perform(condition, noise, gumbel)
    led = model.perform(condition, noise.requires_grad_(), gumbel)
    torch.testing.assert_close(led, without, atol=1e-5, rtol=1e-5)
    led[0, -1].sum().backward()
    assert noise.grad is not None and float(noise.grad[0, 0].abs().max()) > 0 and not noise.grad[1].any()


def test_no_channel_goes_further_than_it_ever_did_or_than_where_it_begins() -> None:
    model = make_model(SMALL)
    start = np.full(ARKIT55.size, 0.6, np.float32)
    condition = make_condition([make_asked(60, 0, start=start), make_asked(60, 1)], SMALL)
    noise, gumbel = draws(SMALL, condition.steps.shape[1], [5, 6], heat=3.0)
    with torch.no_grad():
        wide = model.perform(condition, noise, gumbel) * model.scale
        model.reach[1] = 0.2
        begun_beyond, begun_within = model.perform(condition, noise, gumbel) * model.scale
    assert (wide[1].amax(0) > 0.3).any(), "what never goes far shows nothing"
    assert float(begun_within.max()) <= 0.2 + 1e-6
    # It comes back in its own time: never out again, and not at once.
    size = SMALL.frames_per_step
    ends = begun_beyond[size - 1 :: size].clamp_min(0.2)
    assert (ends.diff(dim=0) <= 1e-6).all() and ((ends[0] > 0.3) & (ends[-1] < ends[0] - 0.1)).any()


@torch.inference_mode()
def decode_everything_again(model: CTEG, condition: Condition[Tensor], noise: Tensor, gumbel: Tensor) -> Tensor:
    """`CTEG.perform` without caches: each step from all frames so far, with the same draws."""
    lower, upper = (torch.as_tensor(x).float() / model.scale for x in (ARKIT55.lower, ARKIT55.upper))
    steps, size = noise.shape[1], model.config.frames_per_step
    frames = torch.zeros(len(noise), steps, size, ARKIT55.size)
    memory, mask = model.memory(condition)
    for step in range(steps):
        previous, velocity = model.shift(frames[:, : step + 1], condition.start / model.scale)
        x = model.embed(previous, velocity, condition.steps[:, : step + 1])
        for index, layer in enumerate(model.decoder_layers):
            state = layer.state(x, memory, mask)
            latent = layer.prior(state).sample(noise[:, : step + 1, index], gumbel[:, : step + 1, index])
            x = layer.emit(state, latent, layer.text_attention_second.keys_values(memory), mask)
        change = model.frames(x)[:, step].unflatten(-1, (size, ARKIT55.size))
        frames[:, step] = (model.going(previous, velocity)[:, step] + model.pace * change).clamp(lower, upper)
    return frames.flatten(1, 2)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_cached_decoding_equals_decoding_everything_again(config: ModelConfig) -> None:
    model = make_model(config)
    start = np.random.default_rng(0).uniform(0, 0.5, ARKIT55.size).astype(np.float32)
    condition = make_condition([make_asked(24, 0, start=start), make_asked(20, 1)], config)
    noise, gumbel = draws(config, condition.steps.shape[1], [5, 6])
    whole = decode_everything_again(model, condition, noise, gumbel)
    torch.testing.assert_close(model.perform(condition, noise, gumbel), whole, atol=2e-5, rtol=1e-4)
    assert whole.std() > 0.01
    one = Condition(**{name: value[:1] for name, value in vars(condition).items()})
    torch.testing.assert_close(model.perform(one, noise[:1], gumbel[:1]), whole[:1], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_step_never_sees_the_frames_it_predicts(config: ModelConfig) -> None:
    model, size = make_model(config), config.frames_per_step
    condition = make_condition([make_asked(8 * size), make_asked(8 * size, 1)], config)
    frames = torch.randn(2, 8, size, ARKIT55.size)
    changed = frames.clone()
    changed[:, 5:] += 1.0
    torch.manual_seed(3)
    before = model(frames, condition)
    torch.manual_seed(3)
    after = model(changed, condition)
    # Priors up to step 5 may use frames 0..4 only; the recognition network is the one part that looks ahead.
    # A second layer's prior also depends on the first layer's latent of the same step, so only the first is tested.
    first, second = before.prior[0].told, after.prior[0].told
    torch.testing.assert_close(first[:, :6], second[:, :6])
    assert not torch.allclose(first[:, 6:], second[:, 6:])


def test_it_begins_from_the_face_it_is_given() -> None:
    model = make_model(SMALL)
    faces = [np.full(ARKIT55.size, value, np.float32) for value in (0.0, 0.4)]
    told = [make_condition([make_asked(20, start=face)]) for face in faces]
    noise, gumbel = draws(SMALL, 10, [1])
    still, begun = (model.perform(condition, noise, gumbel) for condition in told)
    assert (still[:, 0] - begun[:, 0]).abs().max() > 1e-3


# What it is told -----------------------------------------------------------------------------------------------------


def test_a_face_that_is_moving_goes_on_until_it_is_told_otherwise() -> None:
    model = make_model(SMALL)
    assert model.carry is not None
    with torch.no_grad():
        model.frames.weight.zero_()
        model.frames.bias.zero_()
        model.carry.copy_(torch.tensor([[0.5], [0.75]]).expand_as(model.carry))
    last, velocity = torch.full((1, ARKIT55.size), 1.0), torch.full((1, ARKIT55.size), 0.4)
    torch.testing.assert_close(model.going(last, velocity)[0, :, 0], torch.tensor([1.2, 1.3]))
    start = np.full(ARKIT55.size, 0.3, np.float32)
    condition = make_condition([make_asked(16, 0, start=start)])
    held = model.perform(condition, *draws(SMALL, condition.steps.shape[1], [1]))
    torch.testing.assert_close(held * model.scale, torch.full_like(held, 0.3))


def test_a_decoder_goes_back_to_the_clip_from_the_face_that_it_has_read() -> None:
    model = make_model(SMALL)
    frames = torch.zeros(1, 12, 2, ARKIT55.size)
    noise = torch.full_like(frames, 0.8)
    condition = make_condition([make_asked(24, 0)])
    target = model(frames, condition, InputNoise(noise, torch.ones(1, 2))).target[0, :, :, 0]
    torch.testing.assert_close(target[0], torch.zeros(2))  # the face it begins from has no noise
    # Half of it is left after a quarter of a second.
    torch.testing.assert_close(target[5], 0.8 * torch.exp2(-torch.tensor([1.0, 2.0]) / 6))
    assert not model(frames, condition).target.any()


def test_a_jump_costs_more_the_more_steadily_a_channel_moves() -> None:
    model = make_model(SMALL)
    frames, condition = torch.zeros(1, 12, 2, ARKIT55.size), make_condition([make_asked(24, 0)])
    output = model(frames, condition)
    batch, rates = Batch(frames, torch.ones(1, 12, dtype=torch.bool), condition), torch.full((ARKIT55.size,), 0.4)
    rates[3] = 0.02

    def cost(channel: int, error: list[float]) -> float:
        wrong = torch.zeros_like(frames)
        wrong[..., channel] = torch.tensor(error)
        changed = replace(output, target=frames, prediction=wrong)
        return float(compute(model, batch, changed, Weights(1.0, 0.0), rates).reconstruction)

    assert cost(3, [0.02, 0.0]) > 10 * cost(4, [0.02, 0.0])
    assert cost(3, [0.02, -0.02]) > 2 * cost(3, [0.02, 0.02])


def test_what_is_left_open_is_not_read() -> None:
    asked = make_asked(20)
    other = make_asked(20, 3, energy=1.5)
    for place, names in enumerate((("emotion", "towards"), ("intensity",), ("energy",))):
        given = tuple(k != place for k in range(3))
        changed = {name: getattr(other, name) for name in names}
        assert not np.allclose(replace(asked, **changed).features(), asked.features())
        shut = replace(asked, given=given)
        np.testing.assert_allclose(replace(shut, **changed).features(), shut.features())


def test_every_part_of_a_direction_is_told() -> None:
    asked, seen = make_asked(20), set()
    for changed in (
        {}, {"intensity": 0.3}, {"energy": 1.5}, *({"role": role} for role in ROLES[1:]),
        *({"ending": ending} for ending in ENDINGS[1:]), {"towards": np.eye(len(EMOTIONS), dtype=np.float32)[3]},
    ):  # fmt: skip
        seen.add(replace(asked, **changed).features().tobytes())
    assert len(seen) == 8


def test_emphasis_is_told_of_emotions_and_of_nothing_else() -> None:
    asked = make_asked(24, 0)
    plain, emphasised = asked.features(), asked.emphasised(1.5).features()
    count = 2 * len(EMOTIONS)
    np.testing.assert_allclose(emphasised[:count], 1.5 * plain[:count])
    np.testing.assert_array_equal(emphasised[count:], plain[count:])
    assert plain[:count].any()


def test_steps_are_told_the_emotion_of_their_moment() -> None:
    joy, fear = np.eye(len(EMOTIONS), dtype=np.float32)[[1, 4]]
    told = make_condition([Asked(72, joy, fear, turn=1.5)])
    steps = told.steps[0, :, : len(EMOTIONS)].numpy()
    np.testing.assert_allclose(steps[0], joy)
    np.testing.assert_allclose(steps[-1], fear)
    np.testing.assert_allclose(steps.sum(1), 1.0, atol=1e-6)
    middle = int(1.5 * 24 / 2)
    assert 0.3 < steps[middle, 1] < 0.7


def test_steps_are_told_what_is_said_at_their_moment() -> None:
    moments = Moments.of(
        [(0.5, 1.0), (1.0, 1.5), (2.5, 3.0)], [(0.5, 1.5, ",", False), (2.5, 3.0, "!", False)],
        [(0.7, 1.0), (2.7, 1.4)], [("sigh", 3.2, 3.9)],
    )  # fmt: skip
    middle = np.arange(0.04, 4.0, 1 / 12)
    told = moments.at(middle, 1 / 12)
    assert told.shape == (len(middle), MOMENTS) and np.isfinite(told).all() and np.abs(told).max() <= 2.0

    def at(second: float) -> np.ndarray:
        return told[int(np.abs(middle - second).argmin())]

    assert (at(0.2)[0], at(0.8)[0], at(2.0)[0], at(2.8)[0]) == (0.0, 1.0, 0.0, 1.0)
    assert at(0.7)[15] > 0.9 > 0.2 > at(2.0)[15] and at(2.7)[15] > at(0.7)[15]  # the accents and their sizes
    assert at(2.3)[16] > at(1.5)[16]  # one is coming
    np.testing.assert_array_equal(np.flatnonzero(at(0.8)[9:15]), [0])
    np.testing.assert_array_equal(np.flatnonzero(at(2.8)[9:15]), [2])
    assert at(3.5)[20:].sum() == 1 and at(0.8)[20:].sum() == 0
    place = moments.position(middle)
    assert place[0] == 0 and place[-1] == 1 and (np.diff(place) >= 0).all()
    assert abs(moments.position(np.array([1.25]))[0] - 0.5) < 0.02
    assert not Moments.none().at(middle, 1 / 12)[:, 0].any()


def test_a_model_reads_at_most_a_million_and_a_half_weights_a_step() -> None:
    config = ModelConfig()
    model, unread = (
        CTEG(config),
        ("guidance.", "text_projection.", "text_progress.", "direction_token.", "memory_norm."),
    )
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    read = sum(
        size
        for name, size in sizes.items()
        if not name.startswith(unread) and "recognition" not in name and "text_attention" not in name
    )
    prior = sum(size for name, size in sizes.items() if ".prior." in name)
    parts, width = config.prior_parts, config.d_latent // config.prior_parts
    drawn = config.choices * (config.d_model + 1) + 2 * config.d_latent * (config.d_model + 1)  # of K components one
    told = sum(part * width * (config.prior_components + 2 * width) for part in range(parts))  # by the parts before
    read += drawn + told - prior
    read += sum(
        size
        for name, size in sizes.items()
        if "text_attention" in name and not name.endswith(("key.weight", "value.weight"))
    )
    assert read <= 1_500_000
    assert sizes["told.weight"] == config.d_model * step_width(config)


def test_each_part_of_the_latent_is_drawn_from_its_mixture_given_the_parts_before() -> None:
    model = make_model(SMALL)
    prior = model.decoder_layers[0].prior(torch.randn(7, SMALL.d_model))
    noise, gumbel = torch.randn(7, SMALL.d_latent), gumbel_like(torch.empty(7, SMALL.choices))
    z = prior.sample(noise, gumbel)
    by_part = [values.unflatten(-1, (SMALL.prior_parts, -1)) for values in (noise, gumbel, z)]
    torch.testing.assert_close(prior.given(z).sample(*by_part[:2]), by_part[2])
    # What comes after a part does not change it; what comes before does.
    later, sooner = z.clone(), z.clone()
    later[:, SMALL.d_latent // 2 :] += 1
    sooner[:, : SMALL.d_latent // 2] += 1
    torch.testing.assert_close(prior.given(later).mean, prior.given(z).mean)
    assert (prior.given(sooner).mean - prior.given(z).mean)[:, 1].abs().max() > 0.01
    torch.testing.assert_close(prior.given(sooner).mean[:, 0], prior.given(z).mean[:, 0])


@torch.no_grad()
def test_the_density_of_a_chain_is_that_of_its_samples() -> None:
    """E_p[q / p] = 1 for any density q, here a Gaussian far narrower than p: only so if p is the density sampled."""
    torch.manual_seed(0)
    prior = make_model(SMALL).decoder_layers[0].prior(torch.randn(1, SMALL.d_model).expand(200_000, -1))
    z = prior.sample(torch.randn(200_000, SMALL.d_latent), gumbel_like(torch.empty(200_000, SMALL.choices))).detach()
    mean, deviation = z.mean(0), 0.7 * z.std(0)
    narrow = torch.distributions.Normal(mean, deviation).log_prob(z).sum(-1)
    assert abs(float((narrow - prior.log_density(z)).exp().mean()) - 1) < 0.05
    assert abs(float((narrow - prior.log_density(z.roll(1, -1))).exp().mean()) - 1) > 0.1


# How it ends ---------------------------------------------------------------------------------------------------------


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


def test_configs_of_other_editions_are_refused() -> None:
    assert ModelConfig.from_json(ModelConfig().to_json()) == ModelConfig()
    with pytest.raises(ValueError, match="unknown setting 'colour'"):
        ModelConfig.from_json({**ModelConfig().to_json(), "colour": 1})
    with pytest.raises(ValueError, match="schema 4 is not 5"):
        ModelConfig.from_json({**ModelConfig().to_json(), "schema_version": 4})
    with pytest.raises(ValueError, match="draw_scale"):
        PerformConfig(draw_scale=3.0)
    earlier = {"draw_scale": 0.9, "choice_scale": 1.0, "emphasis": 1.4, "persistence": 0.2}
    assert PerformConfig.from_json(earlier) == PerformConfig(0.9, 1.4)
    with pytest.raises(ValueError, match="unknown setting 'colour'"):
        PerformConfig.from_json({**earlier, "colour": 1.0})
