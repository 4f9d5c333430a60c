# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: it learns, an interrupted run resumes to the same weights, and its checkpoint performs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.checkpoint import load_checkpoint, save_checkpoint
from generator.config import ModelConfig
from generator.corpus.build import build_corpus
from generator.errors import CheckpointError, InputError
from generator.performer import Performer
from generator.requests import LineRequest
from generator.training.loop import LOG, Trainer, TrainingSettings

CONFIG = ModelConfig(d_model=32, n_head=4, d_inner=64, d_latent=8, d_ewa=8, prior_components=3)
SETTINGS = TrainingSettings(steps=24, batch_size=8, warmup=4, evaluate_every=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(folder, limit=80)
    return folder


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "whole"
    trainer = Trainer(run, corpus, CONFIG, SETTINGS, CPU)
    trainer.train()
    trainer.finish()
    return run


def dev_reconstruction(run: Path) -> list[float]:
    records = map(json.loads, (run / LOG).read_text("utf-8").splitlines())
    return [r["reconstruction"] for r in records if r["kind"] == "dev"]


def test_the_loss_falls_on_held_out_lines(finished: Path) -> None:
    first, *_, last = dev_reconstruction(finished)
    assert last < 0.9 * first


def test_an_interrupted_run_resumes_to_the_same_weights(finished: Path, corpus: Path, tmp_path: Path) -> None:
    interrupted = Trainer(tmp_path / "run", corpus, CONFIG, SETTINGS, CPU)
    interrupted.train(limit_minutes=0)  # stops, with its state saved, after the first step
    assert 0 < interrupted.step < SETTINGS.steps
    resumed = Trainer(tmp_path / "run", corpus, CONFIG, SETTINGS, CPU)
    assert resumed.step == interrupted.step
    resumed.train()
    whole = load_checkpoint(finished / "last").generator.decoder.state_dict()
    for name, value in load_checkpoint(tmp_path / "run" / "last").generator.decoder.state_dict().items():
        torch.testing.assert_close(value, whole[name], msg=lambda m, name=name: f"{name}: {m}")


def test_resuming_with_other_settings_is_refused(finished: Path, corpus: Path) -> None:
    with pytest.raises(InputError, match=r"another learning_rate \(0\.001, not 0\.01\); use the same settings"):
        Trainer(finished, corpus, CONFIG, replace(SETTINGS, learning_rate=0.01), CPU)


def test_its_checkpoint_performs(finished: Path) -> None:
    performer = Performer.load(finished / "best", "cpu")
    request = LineRequest("You did it!", "joy", takes=2, seed=3).validated()
    (clips,) = performer.perform([request])
    (again,) = performer.perform([request])
    np.testing.assert_array_equal(clips.values, again.values)
    frames = min(clips.lengths)
    assert np.abs(clips.take(0)[:frames] - clips.take(1)[:frames]).max() > 1e-3


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{garbage"), "is damaged"),
        (lambda folder: (folder / "config.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "config.json").write_text('{"schema_version": 99}'), "schema 99"),
        (
            lambda folder: (folder / "config.json").write_text(
                (folder / "config.json").read_text().replace('"d_model": 32', '"d_model": 64')
            ),
            "is damaged",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused(finished: Path, tmp_path: Path, damage: object, sentence: str) -> None:
    save_checkpoint(load_checkpoint(finished / "best"), tmp_path / "copy")
    assert callable(damage)
    damage(tmp_path / "copy")
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(tmp_path / "copy")


def test_weights_that_are_not_numbers_are_refused(finished: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(finished / "best")
    with torch.no_grad():
        checkpoint.generator.decoder.frames.bias[0] = torch.nan
    save_checkpoint(checkpoint, tmp_path / "copy")
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(tmp_path / "copy")
