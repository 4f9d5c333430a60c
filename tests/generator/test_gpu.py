# SPDX-License-Identifier: GPL-3.0-or-later
"""On a GPU the same comes out as on the CPU. Every test is skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.direction.requests import LineRequest
from generator.paper.decoding import Stepper, decode, draw_noise
from generator.performing.devices import available_devices
from generator.performing.load import load_performer
from tests.generator.paper_model import SMALL, make_clips, make_line, make_model

GPUS = [device for device in available_devices() if device != "cpu"]
needs_gpu = pytest.mark.skipif(not GPUS, reason="no GPU")
needs_cuda = pytest.mark.skipif("cuda" not in GPUS, reason="no CUDA device")


@needs_gpu
def test_the_bundled_weights_perform_the_same_takes() -> None:
    request = LineRequest("[joy -> sadness] You came back!", takes=2, seed=3).validated()
    here, there = (load_performer(device=device).perform([request])[0] for device in ("cpu", GPUS[0]))
    assert here.lengths.tolist() == there.lengths.tolist()
    np.testing.assert_allclose(there.values, here.values, atol=5e-3)


@needs_gpu
@pytest.mark.parametrize("rows", [1, 3])
def test_the_papers_model_decodes_the_same_frames(rows: int) -> None:
    config = replace(SMALL, max_positions=140)
    model, (_, mean), (memory, mask) = make_model(config), make_clips(), make_line(4, rows)
    noise = draw_noise(config, [np.random.default_rng(4 + row) for row in range(rows)], 139)
    expected = decode(Stepper(model), memory, mask, mean, noise).frames
    model.to(GPUS[0])
    on_gpu = [tensor.to(GPUS[0]) for tensor in (memory, mask, mean, noise)]
    torch.testing.assert_close(decode(Stepper(model), *on_gpu).frames.cpu(), expected, atol=1e-3, rtol=0)


@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_goes_on_in_every_precision(
    precision: str, made_emoava: Path, tiny_encoder: Path, tmp_path: Path, run_train: Callable[..., int]
) -> None:
    run = [
        f"--data=emoava:{made_emoava}", f"--run={tmp_path}", f"--text-encoder={tiny_encoder}", "--batch-size=4",
        "--set=n_head=2", "--set=d_key=8", "--set=d_value=8", "--set=d_inner=32", "--device=cuda",
        f"--precision={precision}",
    ]  # fmt: skip
    assert run_train(*run, "--steps=3") == 0
    assert run_train(*run, "--steps=6") == 0
    metrics = (tmp_path / "metrics.jsonl").read_text("utf-8")
    assert "NaN" not in metrics and "Infinity" not in metrics
