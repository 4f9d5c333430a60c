# SPDX-License-Identifier: GPL-3.0-or-later
"""Training the paper's model on a made EmoAva set: its schedule, its quirks, and a checkpoint that performs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.corpus.build import build_corpus
from generator.corpus.reader import Corpus
from generator.direction.requests import LineRequest
from generator.errors import InputError
from generator.model.ewa import EwA
from generator.model.text import TextEncoder
from generator.paper.checkpoint import load_paper_checkpoint
from generator.paper.config import REFERENCE_QUIRKS, PaperConfig
from generator.paper.emoava import open_emoava
from generator.performing.load import load_performer
from generator.training import paper
from generator.training.data_source import DataSource
from generator.training.draws import StepDraws
from generator.training.loop import LOG, Options, Trainer
from generator.training.paper import PaperRecipe, PaperSettings
from generator.training.paper_objective import losses

CPU = torch.device("cpu")
SMALL = PaperConfig(n_head=2, d_key=8, d_value=8, d_inner=32, max_positions=32)
SETTINGS = PaperSettings(steps=40, batch_size=8, warmup=30)


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> TextEncoder:
    return TextEncoder.load(str(tiny_encoder))


def make(
    data: Path, encoder: TextEncoder, cache: Path, config: PaperConfig = SMALL, settings: PaperSettings = SETTINGS
) -> PaperRecipe:
    train, dev = (open_emoava(data, split) for split in ("train", "dev"))
    return PaperRecipe(train, dev, settings, encoder, CPU, cache, config)


@pytest.fixture(scope="module")
def finished(made_emoava: Path, encoder: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("paper")
    trainer = Trainer(run, make(made_emoava, encoder, run / "cache"), Options(evaluate_every=20, log_every=5))
    trainer.train()
    trainer.finish()
    return run


def records(run: Path, kind: str) -> list[dict[str, float]]:
    return [r for r in map(json.loads, (run / LOG).read_text("utf-8").splitlines()) if r["kind"] == kind]


def test_the_objective_falls_and_its_terms_are_logged(finished: Path) -> None:
    first, *_, last = records(finished, "train")
    assert last["total"] < 0.8 * first["total"]
    for record in records(finished, "train") + records(finished, "dev"):
        parts = record["kl"] + record["reconstruction"] + record["guidance"]
        assert record["total"] == pytest.approx(parts, abs=1e-3)
    # With latents of the prior instead of the recognition network it is another, not a better, reconstruction.
    judged = records(finished, "dev")[0]
    assert judged["reconstruction_prior"] != judged["reconstruction"]


def test_its_checkpoint_performs_and_can_be_moved(finished: Path, tmp_path: Path) -> None:
    moved = (finished / "best").rename(tmp_path / "elsewhere")
    try:
        performer = load_performer(moved, "cpu")
        (clips,) = performer.perform([LineRequest("Tell me again why.", takes=2, seed=3, seconds=1.0).validated()])
    finally:
        moved.rename(finished / "best")
    assert clips.space.name == "flame53" and clips.lengths.tolist() == [24, 24]
    assert np.isfinite(clips.values).all() and not np.array_equal(clips.take(0), clips.take(1))


def test_it_starts_from_emoavas_mean_face(finished: Path, made_emoava: Path) -> None:
    checkpoint = load_paper_checkpoint(finished / "best")
    np.testing.assert_array_equal(checkpoint.mean.numpy(), np.load(made_emoava / "stage1_mean.npy"))
    assert checkpoint.model.config.d_model == checkpoint.encoder.width


def test_without_a_mean_file_it_is_the_mean_over_the_training_split(made_emoava: Path) -> None:
    split = open_emoava(made_emoava, "train")

    class Bare:
        space, __len__, frames = split.space, lambda self: len(split), lambda self, i: split.frames(i)

    torch.testing.assert_close(paper.mean_face(Bare()), torch.from_numpy(split.mean), atol=1e-5, rtol=0)  # type: ignore[arg-type]


def test_the_learning_rate_is_noams_or_the_one_that_is_set(
    made_emoava: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    recipe = make(made_emoava, encoder, tmp_path, settings=replace(SETTINGS, warmup=4000))
    assert recipe.learning_rate(3999) == pytest.approx(2 * encoder.width**-0.5 * 4000**-0.5)
    assert recipe.learning_rate(0) == pytest.approx(recipe.learning_rate(3999) / 4000)
    assert recipe.learning_rate(15999) == pytest.approx(recipe.learning_rate(3999) / 2)
    fixed = make(made_emoava, encoder, tmp_path, settings=replace(SETTINGS, learning_rate=1e-4, warmup=10))
    assert [fixed.learning_rate(step) for step in (0, 9, 500)] == pytest.approx([1e-5, 1e-4, 1e-4])


@pytest.mark.parametrize("config", [SMALL, PaperConfig.reference(**{"n_head": 2, "d_key": 8, "d_value": 8})])
def test_parts_of_a_batch_add_up_to_its_terms_and_gradient(
    made_emoava: Path, encoder: TextEncoder, tmp_path: Path, config: PaperConfig
) -> None:
    recipe = make(made_emoava, encoder, tmp_path, replace(config, dropout=0.0, max_positions=32))
    batch = recipe.train.collate([0, 1, 2, 3, 4])  # clips of 6 to 40 frames
    draws = StepDraws(3, CPU)  # all parts are computed with the whole batch's latents
    whole = recipe.module(batch, 0)
    whole["total"].backward()
    gradients = {name: p.grad.clone() for name, p in recipe.module.named_parameters() if p.grad is not None}
    recipe.module.zero_grad()
    sums = dict.fromkeys(whole, 0.0)
    for rows in (slice(0, 1), slice(1, 3), slice(3, 5)):
        part, factor = recipe.part(batch, rows)
        with draws.of(rows, 5):
            terms = recipe.module(part, 0)
        (terms["total"] * factor).backward()
        sums = {name: sums[name] + float(value.detach()) * factor for name, value in terms.items()}
    assert sums == pytest.approx({name: float(value.detach()) for name, value in whole.items()}, rel=1e-5)
    for name, parameter in recipe.module.named_parameters():
        if name in gradients:
            torch.testing.assert_close(
                parameter.grad, gradients[name], rtol=1e-3, atol=2e-6, msg=lambda m, name=name: f"{name}: {m}"
            )


def test_the_terms_are_those_of_the_papers_objective(made_emoava: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    recipe = make(made_emoava, encoder, tmp_path, replace(SMALL, dropout=0.0))
    batch = recipe.train.collate([3, 7])
    torch.manual_seed(5)
    terms = recipe.module(batch, 0)
    torch.manual_seed(5)
    memory = encoder.encode([recipe.train.clips.text(i) for i in (3, 7)])
    found = losses(recipe.module.model(batch.clips, memory.hidden.clone(), memory.mask), batch.clips, SMALL)
    # The features are kept in half precision.
    assert terms["total"].item() == pytest.approx(found.total.item(), rel=1e-3)
    assert terms["guidance"].item() == pytest.approx(found.guided.item(), rel=1e-3)


def test_text_is_padded_as_the_config_says(made_emoava: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    short = make(made_emoava, encoder, tmp_path).train.collate([0, 1])
    padded = make(made_emoava, encoder, tmp_path, replace(SMALL, pad_text=True)).train.collate([0, 1])
    assert padded.memory.shape[1] == SMALL.max_text > short.memory.shape[1] == int(short.memory_mask.sum(1).max())
    assert torch.equal(padded.memory_mask.sum(1), short.memory_mask.sum(1))


def test_data_of_another_space_is_refused(made_emoava: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    build_corpus(tmp_path / "corpus", limit=20)
    corpus = Corpus.open(tmp_path / "corpus", "train")
    with pytest.raises(InputError, match=r"speaks flame53 .* and this data arkit55; train --model default"):
        PaperRecipe(corpus, open_emoava(made_emoava, "dev"), SETTINGS, encoder, CPU, tmp_path)


def test_ewa_in_blocks_is_ewa_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ewa = EwA(range(5, 7), 7, 12, 3)
    frames = torch.randn(4, 9, 7, requires_grad=True)

    def gradients() -> list[torch.Tensor]:
        shift = ewa.shift_from(ewa.scalars(), frames)
        return [shift, *torch.autograd.grad(shift.square().sum(), [frames, ewa.token.weight, ewa.attention.key.weight])]

    at_once = gradients()
    calls = 0
    original = ewa._means_at_once

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        assert len(arguments[0]) <= 10
        return original(*arguments)

    monkeypatch.setattr("generator.model.ewa._BLOCK", 10)
    monkeypatch.setattr(ewa, "_means_at_once", counted)
    for block, expected in zip(gradients(), at_once, strict=True):
        torch.testing.assert_close(block, expected)
    assert calls == 8  # four blocks of at most 10 frames, each computed again in the backward pass


def test_the_reference_has_every_quirk_of_the_release(
    made_emoava: Path, tiny_encoder: Path, tmp_path: Path, run_train: object
) -> None:
    assert callable(run_train)
    sizes = ("--set=n_head=2", "--set=d_key=8", "--set=d_value=8", "--set=d_inner=32", "--set=max_positions=32")
    where = (f"--data=emoava:{made_emoava}", f"--text-encoder={tiny_encoder}", "--steps=1", "--batch-size=4")
    assert run_train(*where, *sizes, f"--run={tmp_path}", "--reference", "--set=second_sample=false") == 0
    config = load_paper_checkpoint(tmp_path / "best").model.config
    assert {name: getattr(config, name) for name in REFERENCE_QUIRKS} == {**REFERENCE_QUIRKS, "second_sample": False}


def test_a_checkpoint_is_trained_further(finished: Path, made_emoava: Path, tmp_path: Path, run_train: object) -> None:
    assert callable(run_train)
    where = (f"--data=emoava:{made_emoava}", f"--run={tmp_path}", f"--from={finished / 'best'}")
    assert run_train(*where, "--steps=4", "--batch-size=8", "--evaluate-every=4", "--set=ewa=prefix") == 0
    before, after = load_paper_checkpoint(finished / "best"), load_paper_checkpoint(tmp_path / "best")
    assert after.model.config == replace(before.model.config, ewa="prefix")
    assert torch.equal(after.mean, before.mean)
    moved = (after.model.frames.weight - before.model.frames.weight).abs().max()
    assert 0 < moved < 4 * 1e-4
    stored = json.loads((tmp_path / "settings.json").read_text("utf-8"))
    assert stored["training"]["learning_rate"] == 1e-4


def test_a_dry_run_from_the_command_line(made_emoava: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "generator", "train", "--data", f"emoava:{made_emoava}", "--run", tmp_path / "run",
        "--steps", "4", "--text-encoder", tiny_encoder, "--batch-size", "8", "--device", "cpu", "--set", "n_head=2",
        "--set", "d_inner=32",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run" / "best")
    assert "training paper: 4 steps, 4 per epoch, fp32, 1 x cpu" in done.stderr
    assert "step/s" in done.stderr  # the progress bar
    stored = json.loads((tmp_path / "run" / "settings.json").read_text("utf-8"))
    assert stored["recipe"] == "paper" and stored["training"]["warmup"] == 4000
    assert DataSource.parse(f"emoava:{made_emoava}").kind == "emoava"
    (clips,) = load_performer(tmp_path / "run" / "best", "cpu").perform(
        [LineRequest("Look, of course it works.", takes=1, seconds=0.5).validated()]
    )
    assert clips.values.shape == (1, 12, 53) and np.isfinite(clips.values).all()
