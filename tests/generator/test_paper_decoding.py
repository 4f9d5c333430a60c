# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding with the paper's model: cached = re-decoded, recorded = computed, rounded nearly so, and its stop rule."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from generator.errors import InputError
from generator.paper.batches import collate
from generator.paper.config import PaperConfig
from generator.paper.decoding.compiled import CompiledSteps
from generator.paper.decoding.decode import decode, decode_serial, draw_noise
from generator.paper.decoding.projections import Precision, Projection, Scheme
from generator.paper.decoding.replay import CudaGraphs
from generator.paper.decoding.stepper import FoldedText, Stepper
from generator.paper.model import PaperCTEG
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
    config = replace(SMALL, ewa=ewa, ewa_divisor=divisor, second_sample=second_sample, n_layers=layers, stop_rule=False)
    check_cached_decoding(config, *make_text())


@pytest.mark.parametrize(("tokens", "rows", "folded"), [(6, 1, True), (6, 3, True), (10, 3, False)])
@pytest.mark.parametrize("lta", [True, False])
@pytest.mark.parametrize("many", [0, 1 << 18])  # all weights in blocks for several rows, and none
def test_takes_of_one_line_are_decoded_over_its_folded_text(
    lta: bool, tokens: int, rows: int, folded: bool, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generator.paper.decoding.projections.MANY", many)
    config = replace(SMALL, lta=lta, scale_embedding=lta, stop_rule=False)
    memory, mask = make_line(tokens, rows)
    check_cached_decoding(config, memory, mask)
    state = Stepper(make_model(config)).start(memory, mask, 5)
    assert [isinstance(layer.text, FoldedText) for layer in state.layers] == [folded]


def check_cached_decoding(config: PaperConfig, memory: Tensor, mask: Tensor) -> None:
    """Decode, then compare every frame with a teacher-forced pass over the decoded frames with the same noise."""
    model, count, layers, second_sample = make_model(config), 9, config.n_layers, config.second_sample
    _, mean = make_clips()
    rows = len(memory)
    noise = draw_noise(config, [np.random.default_rng(4 + row) for row in range(rows)], count)
    decoded = decode(model, memory, mask, mean, noise)
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


@pytest.mark.parametrize(("ewa", "layers"), [("prefix", 1), ("frame", 2), ("off", 1)])
@pytest.mark.parametrize("padded", [True, False])
def test_replayed_steps_equal_steps_one_by_one(ewa: str, layers: int, padded: bool) -> None:
    config = replace(SMALL, ewa=ewa, n_layers=layers, stop_rule=False, max_positions=150)
    model, (memory, mask) = make_model(config), make_text() if padded else make_line(6, 2)
    _, mean = make_clips()
    noise = draw_noise(config, [np.random.default_rng(seed) for seed in (4, 5)], 140)
    plain = decode(model, memory, mask, mean, noise).frames
    recorder = LikeGraphs(config.channels)
    replayed = decode(model, memory, mask, mean, noise, stepper=Stepper(model, recorder=recorder)).frames
    torch.testing.assert_close(replayed, plain, atol=1e-5, rtol=1e-5)
    assert recorder.captured == 3  # up to 64 positions, up to 128, and all that the model has


class LikeGraphs(CudaGraphs):
    """Writes into the same output every time, and has no other inputs than those it was recorded with."""

    def __init__(self, channels: int) -> None:
        self.captured, self._channels = 0, channels

    def capture(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.captured += 1
        output = torch.empty(2, self._channels)
        return lambda: output.copy_(run())


class NoGraphs(CudaGraphs):
    """Cannot record."""

    def capture(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise RuntimeError("no room")


def test_a_step_that_cannot_be_recorded_is_run(caplog: pytest.LogCaptureFixture) -> None:
    config = replace(SMALL, stop_rule=False)
    model, (memory, mask) = make_model(config), make_text()
    _, mean = make_clips()
    noise = draw_noise(config, [np.random.default_rng(seed) for seed in (4, 5)], 12)
    replayed = decode(model, memory, mask, mean, noise, stepper=Stepper(model, recorder=NoGraphs())).frames
    torch.testing.assert_close(replayed, decode(model, memory, mask, mean, noise).frames, atol=1e-5, rtol=1e-5)
    assert caplog.messages == ["A decoding step could not be recorded (no room); steps run one by one."]


@pytest.fixture(scope="module")
def compiler() -> None:
    """A C++ compiler is there, or the test is skipped."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        pytest.skip(f"no C++ compiler: {error}")


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("precision", "config", "forms"),
    [
        (
            "fp32",
            replace(SMALL, ewa="prefix", second_sample=True),
            [[make_line(4, 1), make_line(3, 1)], [make_line(4, 5), make_line(3, 2), make_line(6, 3)]],
        ),
        # As many scores as the model is wide; several rows are not compiled.
        ("int8", replace(SMALL, ewa="frame"), [[make_line(9, 1), make_line(6, 1), make_line(9, 3)]]),
        (
            "fp32",
            replace(SMALL, ewa="off", lta=False, n_layers=2),
            [
                [make_line(10, 1), make_line(12, 1)],
                [make_line(10, 3), make_line(12, 9), make_line(10, 10)],
                [make_text(4), make_text(2), make_text(5)],
            ],
        ),
    ],
)
def test_compiled_steps_equal_steps_one_by_one(
    precision: Precision,
    config: PaperConfig,
    forms: list[list[tuple[Tensor, Tensor]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("generator.paper.decoding.projections.MANY", 0)  # weights in blocks for several rows
    config = replace(config, stop_rule=False, max_positions=40)
    model, (_, mean) = make_model(config), make_clips()
    plain = Stepper(model, precision)
    compiled = Stepper(model, precision, CompiledSteps(model, precision, tmp_path))

    def said() -> list[str]:
        return [record.message for record in caplog.records if record.name.startswith("generator")]

    def check(stepper: Stepper, text: tuple[Tensor, Tensor], count: int) -> None:
        noise = draw_noise(config, [np.random.default_rng(4 + row) for row in range(len(text[0]))], count)
        expected = decode(model, *text, mean, noise, stepper=plain).frames
        frames = decode(model, *text, mean, noise, stepper=stepper).frames
        torch.testing.assert_close(frames, expected, atol=1e-5 if precision == "fp32" else 1e-2, rtol=0)

    for number, (first, *others) in enumerate(forms, 1):
        check(compiled, first, 39)
        # Other lines and lengths, other numbers of rows and the same line again need no compiling.
        for text in (*others, first):
            check(compiled, text, 20)
        assert [message.partition(" ")[0] for message in said()] == ["Compiling"] * number

    def refuse(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(torch.export, "export", refuse)
    monkeypatch.setattr("generator.paper.decoding.compiled.KEPT", 2)
    for age, name in enumerate(("a.pt2", "b.pt2"), 1):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 1000 - age))
    check(Stepper(model, precision, CompiledSteps(model, precision, tmp_path)), forms[-1][0], 30)
    assert len(said()) == len(forms)
    assert len(list(tmp_path.iterdir())) == 2 and not (tmp_path / "b.pt2").exists()  # the oldest are gone
    assert (tmp_path / "a.pt2").is_file() == (len(forms) == 1)


def test_other_weights_need_another_compiled_step(tmp_path: Path) -> None:
    model = make_model(replace(SMALL, stop_rule=False))
    names = {CompiledSteps(model, precision, tmp_path).name for precision in ("fp32", "int8", "fp32")}
    assert len(names) == 2
    with torch.no_grad():
        model.frames.weight[0, 0] += 1
    assert CompiledSteps(model, "fp32", tmp_path).name not in names


def test_a_step_that_cannot_be_compiled_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr("generator.paper.decoding.compiled.compile_step", fail)
    config = replace(SMALL, stop_rule=False)
    model, (memory, mask), (_, mean) = make_model(config), make_line(4, 1), make_clips()
    noise = draw_noise(config, [np.random.default_rng(4)], 12)
    stepper = Stepper(model, recorder=CompiledSteps(model, "fp32", tmp_path))
    for _ in range(2):
        frames = decode(model, memory, mask, mean, noise, stepper=stepper).frames
        torch.testing.assert_close(frames, decode(model, memory, mask, mean, noise).frames, atol=1e-5, rtol=1e-5)
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "Compiling the decoding step of one take, once for this checkpoint: about half a minute ...",
        "The decoding step could not be compiled (no compiler)",
    ]


def test_eight_bit_steps_are_compiled_where_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("generator.paper.decoding.compiled.sums_bytes", lambda: False)
    model = make_model(replace(SMALL, stop_rule=False))
    assert CompiledSteps(model, "fp32", tmp_path).suits(1) and not CompiledSteps(model, "int8", tmp_path).suits(1)
    assert CompiledSteps(model, "fp32", tmp_path).suits(8)
    assert caplog.messages == ["8-bit steps are compiled for x86 processors only; here they run one by one."]


@pytest.mark.parametrize("rows", [1, 2])
def test_eight_bit_weights_stay_close(rows: int) -> None:
    config = replace(SMALL, d_model=64, d_inner=128, stop_rule=False)
    torch.manual_seed(0)
    model = PaperCTEG(config).eval()
    memory, mask = torch.randn(rows, 5, 64), torch.ones(rows, 5, dtype=torch.bool)
    _, mean = make_clips()
    noise = draw_noise(config, [np.random.default_rng(4 + row) for row in range(rows)], 12)
    exact = decode(model, memory, mask, mean, noise).frames
    rounded = decode(model, memory, mask, mean, noise, stepper=Stepper(model, "int8")).frames
    error = float((rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    assert 0 < error < 0.03  # at the paper's width it is measured by benchmarks/paper_decoding.py


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scheme", [Scheme("fp32"), Scheme("int8"), Scheme("int8", recorded=True)])
@pytest.mark.parametrize("outputs", [20, 48, 100])
def test_projections_are_linear_maps(
    scheme: Scheme, threads: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("generator.paper.decoding.projections.MANY", 48 * 32)
    weight, bias = torch.randn(outputs, 32), torch.randn(outputs)
    tolerance = 1e-5 if scheme.precision == "fp32" else 0.3
    for stored in (bias, None):
        projection = Projection(weight, stored, scheme)
        for rows in (1, 3, 1, 2, 3):
            x, residual = torch.randn(rows, 32), torch.randn(rows, outputs)
            plain = x @ weight.T + (0 if stored is None else stored)
            torch.testing.assert_close(projection(x), plain, atol=tolerance, rtol=0)
            torch.testing.assert_close(projection(x, residual), plain + residual, atol=tolerance, rtol=0)
            torch.testing.assert_close(projection(x, residual[:1]), plain + residual[:1], atol=tolerance, rtol=0)


def test_eight_bit_weights_are_for_the_cpu() -> None:
    with pytest.raises(InputError, match="fp32"):
        Projection(torch.empty(20, 32, device="meta"), None, Scheme("int8"))


def test_a_clip_ends_before_its_first_standard_face() -> None:
    config = replace(SMALL, stop_threshold=0.0)
    model, (memory, mask) = make_model(config), make_text(4)
    _, mean = make_clips()
    noise = draw_noise(config, [np.random.default_rng(seed) for seed in range(4)], 12)
    whole = decode(model, memory, mask, mean, noise)
    assert whole.lengths.tolist() == [12] * 4
    norms = whole.frames.norm(dim=-1)
    threshold = float(norms[:, 2:9].min(1).values.max()) + 1e-4  # every row gets there by frame 8
    model.config = replace(config, stop_threshold=threshold)
    stopped = decode(model, memory, mask, mean, noise)
    expected = [next(j for j in range(1, 12) if row[j] < threshold) for row in norms]
    assert stopped.lengths.tolist() == expected
    assert stopped.frames.shape[1] == max(expected) + 1  # nothing is decoded after the last row has ended
    torch.testing.assert_close(stopped.frames, whole.frames[:, : max(expected) + 1])


def test_redrawing_the_past_changes_two_layers_but_not_one() -> None:
    for layers, same in ((1, True), (2, False)):
        config = replace(SMALL, n_layers=layers, stop_rule=False, second_sample=True)
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
        kept = decode(model, memory, mask, mean, noise).frames
        assert torch.allclose(redrawn, kept, atol=1e-5) is same


def test_decoding_refuses_what_it_cannot_do() -> None:
    memory, mask = make_text()
    with pytest.raises(ValueError, match="sequence"):
        Stepper(make_model(replace(SMALL, ewa="sequence")))
    with pytest.raises(ValueError, match="15 positions are more than the model's 14"):
        Stepper(make_model(SMALL)).start(memory, mask, 15)


def test_longer_takes_begin_like_shorter_ones() -> None:
    short, long = (draw_noise(SMALL, [np.random.default_rng(7)], n) for n in (5, 12))
    assert torch.equal(long[:, :5], short)
