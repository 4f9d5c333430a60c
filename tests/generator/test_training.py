# SPDX-License-Identifier: GPL-3.0-or-later
"""Training the default model: it learns, an interrupted run resumes to the same weights, its checkpoint performs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.corpus.build import build_corpus
from generator.corpus.reader import Corpus
from generator.direction.requests import LineRequest
from generator.engine.config import ModelConfig
from generator.errors import CheckpointError, DataError, InputError
from generator.model.checkpoint import load_checkpoint, save_checkpoint
from generator.model.text import TextEncoder
from generator.performing.load import load_performer
from generator.shared.spaces import ARKIT55
from generator.training import free_running
from generator.training.default import FINE_TUNING, DefaultRecipe, DefaultSettings
from generator.training.loop import LOG, Options, Trainer
from tests.generator.tiny import write_bert

CONFIG = ModelConfig(
    text_width=32, d_model=32, n_head=4, d_inner=64, d_latent=8, d_ewa=8, prior_parts=2, prior_components=3
)
SETTINGS = DefaultSettings(steps=24, batch_size=8, warmup=4, emotion_steps=6, free_from=0.9)
OPTIONS = Options(evaluate_every=8, log_every=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(folder, limit=80)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """As deep as the published one, and random."""
    sizes = {"num_hidden_layers": 6, "intermediate_size": 128, "max_position_embeddings": 128}
    return TextEncoder.load(str(write_bert(tmp_path_factory.mktemp("bert") / "tiny", 32, **sizes)))


def trainer(run: Path, corpus: Path, encoder: TextEncoder, settings: DefaultSettings = SETTINGS) -> Trainer:
    train, dev = (Corpus.open(corpus, split) for split in ("train", "dev"))
    recipe = DefaultRecipe(train, dev, settings, encoder, CPU, corpus / "cache", CONFIG)
    return Trainer(run, recipe, OPTIONS)


@pytest.fixture(scope="module")
def finished(corpus: Path, encoder: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "whole"
    whole = trainer(run, corpus, encoder)
    whole.train()
    whole.finish()
    return run


def records(run: Path, kind: str) -> list[dict[str, float]]:
    return [r for r in map(json.loads, (run / LOG).read_text("utf-8").splitlines()) if r["kind"] == kind]


def test_the_loss_falls_on_held_out_lines(finished: Path) -> None:
    first, *_, last = (r["reconstruction"] for r in records(finished, "dev"))
    assert last < 0.9 * first


def test_takes_run_free_in_the_last_steps_and_the_rate_descends_twice(
    finished: Path, corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    assert [record["step"] for record in records(finished, "train") if "free_running" in record] == [24]
    recipe = trainer(tmp_path, corpus, encoder).recipe
    rates = [recipe.learning_rate(step) for step in range(24)]
    first, second = rates[:22], rates[22:]
    assert max(rates) == first[3] == 1e-3 and 2 * first[-1] < second[0] == pytest.approx(2e-4)
    assert first[3:] == sorted(first[3:], reverse=True) and second == sorted(second, reverse=True)
    best = load_checkpoint(finished / "best")
    assert best.training["step"] == 24 and best.perform.emphasis == SETTINGS.emphasis  # no bound is worth a free take


def test_the_emotion_classifier_is_fitted_and_its_score_is_kept(finished: Path) -> None:
    best = load_checkpoint(finished / "best")
    (measured,) = records(finished, "finish")
    assert best.training["emotion_from_text"]["accuracy"] == measured["accuracy"]
    assert best.emotion is not None and best.emotion.shape.layers == (3, 4, 5)
    assert load_checkpoint(finished / "last").emotion is None  # finish() touches the best checkpoint only


def test_an_interrupted_run_resumes_to_the_same_weights(
    finished: Path, corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    interrupted = trainer(tmp_path / "run", corpus, encoder)
    interrupted.train(limit_minutes=0)  # stops, with its state saved, after the first step
    assert 0 < interrupted.step < SETTINGS.steps
    assert (tmp_path / "run" / "best").is_dir()  # something to use, however short the run was
    resumed = trainer(tmp_path / "run", corpus, encoder)
    assert resumed.step == interrupted.step
    resumed.train()
    resumed.finish()
    for folder in ("last", "best"):
        whole = load_checkpoint(finished / folder).decoder.state_dict()
        for name, value in load_checkpoint(tmp_path / "run" / folder).decoder.state_dict().items():
            assert torch.equal(value, whole[name]), name
    assert (tmp_path / "run" / LOG).read_text("utf-8") == (finished / LOG).read_text("utf-8")


def test_a_finished_run_that_is_run_again_is_left_as_it_is(finished: Path, corpus: Path, encoder: TextEncoder) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*.safetensors")}
    log = (finished / LOG).read_text("utf-8")
    again = trainer(finished, corpus, encoder)
    again.train()
    again.finish()
    assert {path: path.read_bytes() for path in finished.rglob("*.safetensors")} == before
    assert (finished / LOG).read_text("utf-8") == log


def test_resuming_with_other_settings_is_refused(finished: Path, corpus: Path, encoder: TextEncoder) -> None:
    with pytest.raises(InputError, match=r"another learning_rate \(0\.001, not 0\.01\); use the same settings"):
        trainer(finished, corpus, encoder, replace(SETTINGS, learning_rate=0.01))


def test_resuming_from_a_damaged_state_is_refused(
    finished: Path, corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    (tmp_path / "state.safetensors").write_bytes((finished / "state.safetensors").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is damaged or of another version; train into another folder"):
        trainer(tmp_path, corpus, encoder)


def test_training_that_diverges_says_so_and_keeps_the_last_state(
    corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    started = trainer(run, corpus, encoder)
    started.train(limit_minutes=0)
    state = (run / "state.safetensors").read_bytes()
    going_on = trainer(run, corpus, encoder)
    with torch.no_grad():
        going_on.recipe.module.decoder.frames.bias[0] = torch.nan  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"Training diverged: .* nan at step 4\. What was saved last is kept"):
        going_on.train()
    assert (run / "state.safetensors").read_bytes() == state


def test_weights_that_a_gradient_spoils_are_not_saved(corpus: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    """What was computed before that step is finite."""
    run = tmp_path / "run"
    trainer(run, corpus, encoder).train(limit_minutes=0)
    state = (run / "state.safetensors").read_bytes()
    going_on = trainer(run, corpus, encoder)
    going_on.recipe.module.decoder.frames.bias.register_hook(lambda gradient: gradient * torch.nan)  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"Training diverged: the weights are not finite at step 2\. What was saved"):
        going_on.train(limit_minutes=0)
    assert (run / "state.safetensors").read_bytes() == state


def test_a_run_goes_on_with_its_own_data_and_beginning_alone(
    finished: Path, corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    build_corpus(tmp_path / "other", limit=80, seed=1)
    with pytest.raises(InputError, match="was started with another data"):
        trainer(finished, tmp_path / "other", encoder)
    train, dev = (Corpus.open(corpus, split) for split in ("train", "dev"))
    settings, begun = replace(SETTINGS, steps=1, **FINE_TUNING), []
    for folder in ("best", "last"):
        start = load_checkpoint(finished / folder)
        start.decoder.scale.mul_(1.0 if folder == "best" else 1.5)
        recipe = DefaultRecipe(train, dev, settings, encoder, CPU, corpus / "cache", start=start)
        begun.append(recipe.settings()["from"])
    assert begun[0] != begun[1] and trainer(tmp_path / "new", corpus, encoder).recipe.settings()["from"] is None


def test_fine_tuning_goes_on_from_the_checkpoint_and_keeps_its_scale_and_classifier(
    finished: Path, corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    start = load_checkpoint(finished / "best")
    settings = replace(SETTINGS, steps=8, **FINE_TUNING)
    train, dev = (Corpus.open(corpus, split) for split in ("train", "dev"))
    highest = np.max([train.frames(i).max(0) for i in range(len(train))], 0)
    np.testing.assert_allclose(start.decoder.reach[1], highest, atol=1e-3)  # stored in half precision
    wide, narrow = 1, int(highest.argmax())
    start.decoder.reach[1, wide], start.decoder.reach[1, narrow] = 0.99, 0.01
    recipe = DefaultRecipe(train, dev, settings, encoder, CPU, corpus / "cache", start=start)
    tuned = Trainer(tmp_path, recipe, OPTIONS)
    tuned.train()
    tuned.finish()
    best = load_checkpoint(tmp_path / "best")
    result, held = best.decoder, start.decoder
    torch.testing.assert_close(result.scale, held.scale, rtol=1e-3, atol=0)  # stored in half precision
    assert float(result.reach[1, wide]) == pytest.approx(0.99, abs=1e-3)  # as far as either corpus goes
    assert float(result.reach[1, narrow]) == pytest.approx(highest[narrow], abs=1e-3)
    assert best.emotion is not None and start.emotion is not None
    torch.testing.assert_close(best.emotion.tuned, start.emotion.tuned, rtol=1e-3, atol=1e-6)
    moved = (result.frames.weight - held.frames.weight).abs()
    assert 0 < moved.max() < 8 * 1e-4  # steps of at most the learning rate, from where the checkpoint was
    first = records(tmp_path, "train")[0]["reconstruction"]
    assert first < 0.85 * records(finished, "train")[0]["reconstruction"]  # fresh weights begin there again


def test_takes_that_run_free_come_closer_to_the_clips(
    finished: Path, corpus: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    """Also a share of it beside teacher forcing; of what is saved, a share is what training began from."""
    train, dev = (Corpus.open(corpus, split) for split in ("train", "dev"))
    start = load_checkpoint(finished / "best")
    free = replace(SETTINGS, steps=16, free_running=1.0, free_from=0.0, learning_rate=4e-3, warmup=1, kept=0.25)
    for name, settings in {"free": free, "shared": replace(free, free_running=0.5, steps=2)}.items():
        recipe = DefaultRecipe(train, dev, settings, encoder, CPU, corpus / "cache", None, start)
        run = Trainer(tmp_path / name, recipe, OPTIONS)
        run.train()
        if name == "free":
            reached, average = recipe.module.decoder, run.state.average
    first, *_, last = (record["free_running"] for record in records(tmp_path / "free", "dev"))
    assert last < 0.99 * first
    assert "reconstruction" in records(tmp_path / "shared", "dev")[0]
    saved = load_checkpoint(tmp_path / "free" / "last").decoder.frames.weight
    assert average is not None and reached is not None
    expected = torch.lerp(average.decoder.frames.weight, start.decoder.frames.weight, 0.25)
    torch.testing.assert_close(saved, expected, atol=2e-3, rtol=2e-3)  # stored as float16
    assert not torch.allclose(saved, start.decoder.frames.weight, atol=2e-3)


def test_the_energy_score_is_least_for_takes_that_are_distributed_as_clips_are() -> None:
    torch.manual_seed(0)
    one = torch.ones(40_000, 1)

    def score(deviation: float, mean: float = 0.0) -> float:
        takes = [mean + deviation * torch.randn(40_000, 1, 3) for _ in range(2)]
        return float(free_running._energy([*takes, torch.randn(40_000, 1, 3)], one))

    right = score(1.0)
    for wrong in (score(0.0), score(0.6), score(1.6), score(1.0, mean=0.5)):  # static, timid, wild, beside it
        assert wrong > right + 0.01


def test_takes_that_tremble_or_hold_still_are_worth_less_than_takes_like_the_clips() -> None:
    clips, space = 64, ARKIT55
    torch.manual_seed(0)

    def smooth(count: int) -> Tensor:
        return F.interpolate(torch.rand(count, space.size, 6), size=48, mode="linear").transpose(1, 2)

    asked = SimpleNamespace(frames=torch.full((clips,), 48), start=torch.zeros(clips, space.size))
    asked.rows = lambda order: asked
    asked.emphasised = lambda by, config: asked
    frames = smooth(clips).unflatten(1, (24, 2))
    batch: Any = SimpleNamespace(condition=asked, frames=frames, step_mask=torch.ones(clips, 24), whole=None)
    trembling = 0.02 * (-1.0) ** torch.arange(48)[:, None]
    takes = smooth(2 * clips)

    def worth(made: Tensor) -> float:
        config = SimpleNamespace(n_layers=1, d_latent=1, choices=1)
        one = torch.ones(space.size)
        decoder: Any = SimpleNamespace(
            config=config, scale=one, pace=0.05 * one, space=space, perform=lambda *told: made
        )
        return float(free_running.free_running(decoder, batch, 0.05 * one))

    like, held = worth(takes), takes.mean(1, keepdim=True).expand_as(takes)
    strayed = takes.clone()
    strayed[::8, :, space.groups["eyes"]] *= 3  # one in eight looks too far
    for wrong in (takes + trembling, held, 0.5 * takes, strayed):
        assert worth(wrong) > 1.02 * like


def test_an_empty_split_is_refused(corpus: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    train = Corpus.open(corpus, "train")
    empty = replace(train, lines=[], offsets=np.zeros(1, np.int64))
    with pytest.raises(DataError, match="The dev split of the data is empty"):
        DefaultRecipe(train, empty, SETTINGS, encoder, CPU, tmp_path, CONFIG)


def test_its_checkpoint_performs(finished: Path) -> None:
    performer = load_performer(finished / "best", "cpu")
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
        checkpoint.decoder.frames.bias[0] = torch.nan
    save_checkpoint(checkpoint, tmp_path / "copy")
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(tmp_path / "copy")
