# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding with the paper's model: cached = re-decoded, rounded nearly so, and its stop rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from generator.errors import InputError
from generator.lab.serial import decode_serial
from generator.paper.batches import collate
from generator.paper.config import PaperConfig
from generator.paper.decoding import FoldedText, Stepper, decode, draw_noise
from generator.paper.model import PaperCTEG
from generator.paper.projections import Precision, Projection
from tests.generator.paper_model import SMALL, make_clips, make_line, make_model, make_text
from tests.parity.folder import Replay


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("second_sample", [True, False])
@pytest.mark.parametrize(
    ("ewa", "divisor"),
    [("off", "seen"), ("frame", "seen"), ("prefix", "seen"), ("prefix", "serial"), ("prefix", "training")],
)
def test_cached_decoding_equals_teacher_forcing_on_its_own_frames(
    ewa: str, divisor: str, second_sample: bool, layers: int
) -> None:
    config = replace(SMALL, ewa=ewa, ewa_divisor=divisor, second_sample=second_sample, n_layers=layers)
    check_cached_decoding(config, *make_text())


@pytest.mark.parametrize(("tokens", "rows", "folded"), [(6, 1, True), (6, 3, True), (10, 3, False)])
@pytest.mark.parametrize("lta", [True, False])
@pytest.mark.parametrize("many", [0, 1 << 18])  # all weights in blocks for several rows, and none
def test_takes_of_one_line_are_decoded_over_its_folded_text(
    lta: bool, tokens: int, rows: int, folded: bool, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generator.paper.projections.MANY", many)
    config = replace(SMALL, lta=lta, scale_embedding=lta)
    memory, mask = make_line(tokens, rows)
    check_cached_decoding(config, memory, mask)
    state = Stepper(make_model(config)).start(memory, mask, 5)
    assert [isinstance(layer.text[0], FoldedText) for layer in state.layers] == [folded]


def check_cached_decoding(config: PaperConfig, memory: Tensor, mask: Tensor) -> None:
    """Decode, then compare every frame with a teacher-forced pass over the decoded frames with the same noise."""
    model, count, layers, second_sample = make_model(config), 9, config.n_layers, config.second_sample
    _, mean = make_clips()
    rows = len(memory)
    noise = draw_noise(config, [np.random.default_rng(4 + row) for row in range(rows)], count)
    decoded = decode(Stepper(model), memory, mask, mean, noise)
    assert decoded.frames.shape == (rows, count, SMALL.channels) and decoded.lengths.tolist() == [count] * rows
    draws = {}
    for layer in range(layers):
        draws[f"{layer}a"] = noise[:, :, layer, 0]
        draws[f"{layer}b"] = torch.cat([noise[:, :, layer, 1], torch.zeros(rows, 1, config.d_model)], 1)
    if not second_sample:
        draws = {name: draw for name, draw in draws.items() if name.endswith("a")}
    batch = collate([frames[1:] for frames in decoded.frames], mean, replace(config, max_positions=count + 2))
    again = model(batch, memory, mask, "prior", Replay(draws)).prediction
    torch.testing.assert_close(again[:, 1:count], decoded.frames[:, 1:], atol=1e-5, rtol=1e-5)
    assert decoded.frames[:, 1:].std(1).mean() > 0.01


@pytest.mark.parametrize("rows", [1, 2])
def test_eight_bit_weights_stay_close(rows: int) -> None:
    config = replace(SMALL, d_model=64, d_inner=128)
    torch.manual_seed(0)
    model = PaperCTEG(config).eval()
    memory, mask = torch.randn(rows, 5, 64), torch.ones(rows, 5, dtype=torch.bool)
    _, mean = make_clips()
    noise = draw_noise(config, [np.random.default_rng(4 + row) for row in range(rows)], 12)
    exact = decode(Stepper(model), memory, mask, mean, noise).frames
    rounded = decode(Stepper(model, "int8"), memory, mask, mean, noise).frames
    error = float((rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    assert 0 < error < 0.03  # at the paper's width it is measured by benchmarks/paper_decoding.py


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("outputs", [20, 48, 100])
def test_projections_are_linear_maps(
    precision: Precision, threads: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("generator.paper.projections.MANY", 48 * 32)
    weight, bias = torch.randn(outputs, 32), torch.randn(outputs)
    tolerance = 1e-5 if precision == "fp32" else 0.5  # of 5.7: 7 bits where the processor has no VNNI
    for stored in (bias, None):
        projection = Projection(weight, stored, precision)
        for rows in (1, 3, 1, 2, 3):
            x, residual = torch.randn(rows, 32), torch.randn(rows, outputs)
            plain = x @ weight.T + (0 if stored is None else stored)
            torch.testing.assert_close(projection(x), plain, atol=tolerance, rtol=0)
            torch.testing.assert_close(projection(x, residual), plain + residual, atol=tolerance, rtol=0)
            torch.testing.assert_close(projection(x, residual[:1]), plain + residual[:1], atol=tolerance, rtol=0)


def test_eight_bit_weights_are_for_the_cpu() -> None:
    with pytest.raises(InputError, match="fp32"):
        Projection(torch.empty(20, 32, device="meta"), None, "int8")


def test_a_clip_ends_before_its_first_standard_face() -> None:
    config = replace(SMALL, stop_threshold=0.0)
    model, (memory, mask) = make_model(config), make_text(4)
    _, mean = make_clips()
    noise = draw_noise(config, [np.random.default_rng(seed) for seed in range(4)], 12)
    whole = decode(Stepper(model), memory, mask, mean, noise, stop=True)
    assert whole.lengths.tolist() == [12] * 4
    norms = whole.frames.norm(dim=-1)
    threshold = float(norms[:, 2:9].min(1).values.max()) + 1e-4  # every row gets there by frame 8
    model.config = replace(config, stop_threshold=threshold)
    stopped = decode(Stepper(model), memory, mask, mean, noise, stop=True)
    expected = [next(j for j in range(1, 12) if row[j] < threshold) for row in norms]
    assert stopped.lengths.tolist() == expected
    assert stopped.frames.shape[1] == max(expected) + 1  # nothing is decoded after the last row has ended
    torch.testing.assert_close(stopped.frames, whole.frames[:, : max(expected) + 1])


def test_redrawing_the_past_changes_two_layers_but_not_one() -> None:
    for layers, same in ((1, True), (2, False)):
        config = replace(SMALL, n_layers=layers, second_sample=True)
        model, (memory, mask), count = make_model(config), make_text(), 6
        _, mean = make_clips()
        noise = draw_noise(config, [np.random.default_rng(seed) for seed in (4, 5)], count)
        calls: list[int] = []

        def newest(like: Tensor, noise: Tensor = noise, calls: list[int] = calls, layers: int = layers) -> Tensor:
            """Recorded noise at the newest position of a call, fresh noise in its past."""
            call, kind = divmod(len(calls), 2)
            step, layer = divmod(call, layers)
            calls.append(1)
            draw = torch.randn_like(like)
            draw[:, step + 1] = noise[:, step + 1, layer, kind]
            return draw

        redrawn = decode_serial(model, memory, mask, mean, count, newest)
        kept = decode(Stepper(model), memory, mask, mean, noise).frames
        assert torch.allclose(redrawn, kept, atol=1e-5) is same


def test_decoding_refuses_more_than_there_is_room_for() -> None:
    memory, mask = make_text()
    with pytest.raises(ValueError, match="15 positions are more than the model's 14"):
        Stepper(make_model(SMALL)).start(memory, mask, 15)


def test_longer_takes_begin_like_shorter_ones() -> None:
    short, long = (draw_noise(SMALL, [np.random.default_rng(7)], n) for n in (5, 12))
    assert torch.equal(long[:, :5], short)
