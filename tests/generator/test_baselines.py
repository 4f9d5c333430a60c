# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines: they learn, they perform by their seeds, and their checkpoints are read back or refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator.baselines import load_baseline
from generator.baselines.autoencoder import VqVae
from generator.baselines.data import BaselineBatch, Lines
from generator.baselines.lstm import LstmRegressor
from generator.baselines.vq import VqPerformer
from generator.corpus.datasets import Shown
from generator.corpus.teacher import perform
from generator.direction.emotions import emotion_weights, full_vector
from generator.errors import CheckpointError, DataError, InputError
from generator.model.text import TextEncoder
from generator.paper.emoava import open_emoava
from generator.performing.draws import TakeSeed
from generator.shared.spaces import ARKIT55, FLAME53, Space
from generator.training.baselines import (
    BaselineRecipe,
    LstmRecipe,
    LstmSettings,
    VqObjective,
    VqRecipe,
    VqSettings,
)
from generator.training.loop import Options, Trainer
from tests.generator.made_emoava import make_emoava_like

CPU = torch.device("cpu")
LINES = (("You did it!", "joy"), ("She is gone.", "sadness"), ("Get out of here!", "anger"), ("What is that?", "fear"))
LSTM = LstmSettings(steps=60, batch_size=4, learning_rate=1e-2, warmup=5, width=64, max_frames=128, input_noise=0.1)
VQ = VqSettings(
    steps=240, batch_size=4, learning_rate=5e-3, warmup=5, codes=32, code_width=8, autoencoder_width=32, width=64,
    layers=2, heads=2, inner=64, max_frames=128, autoencoder_share=0.5,
)  # fmt: skip


@dataclass(frozen=True)
class Few:
    """A few performances in memory."""

    space: Space
    texts: tuple[str, ...]
    clips: tuple[np.ndarray, ...]
    directions: tuple[Shown | None, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def text(self, index: int) -> str:
        return self.texts[index]

    def frames(self, index: int) -> np.ndarray:
        return self.clips[index]

    def length(self, index: int) -> int:
        return len(self.clips[index])

    def direction(self, index: int) -> Shown | None:
        return self.directions[index]


@dataclass(frozen=True)
class Line:
    """What a report asks of a system."""

    text: str
    direction: Shown | None
    seed: int


@pytest.fixture(scope="module")
def few() -> Few:
    weights = [emotion_weights(emotion) for _, emotion in LINES]
    clips = tuple(perform(text, w, 1.0, 1, 2.0) for (text, _), w in zip(LINES, weights, strict=True))
    return Few(ARKIT55, tuple(text for text, _ in LINES), clips, tuple(Shown(full_vector(w), 1.0) for w in weights))


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.load()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


def train(recipe: BaselineRecipe) -> list[dict[str, float]]:
    """What the trainer does, without its folder: the terms of every step."""
    optimizer, history = recipe.optimizer(), []
    recipe.module.train()
    for step in range(recipe.steps):
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step)
        epoch, number = divmod(step, len(recipe.train))
        terms = recipe.module(recipe.train.collate(recipe.train.order(epoch)[number].tolist()), step)
        optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(recipe.module.parameters(), recipe.clip_norm or 1.0)
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in terms.items()})
    recipe.module.eval()
    return history


@pytest.fixture(scope="module")
def lstm(few: Few, encoder: TextEncoder, cache: Path) -> tuple[LstmRecipe, list[dict[str, float]]]:
    recipe = LstmRecipe(few, few, LSTM, encoder, CPU, cache)
    return recipe, train(recipe)


@pytest.fixture(scope="module")
def vq(few: Few, encoder: TextEncoder, cache: Path) -> tuple[VqRecipe, list[dict[str, float]]]:
    recipe = VqRecipe(few, few, VQ, encoder, CPU, cache)
    return recipe, train(recipe)


def saved(recipe: BaselineRecipe, folder: Path) -> Path:
    recipe.save(recipe.module, folder, {"step": recipe.steps})
    return folder


def asked(few: Few, seed: int = 0) -> list[Line]:
    return [Line(few.text(i), few.direction(i), seed) for i in range(len(few))]


def batch_of(recipe: BaselineRecipe) -> BaselineBatch:
    return recipe.train.collate(list(range(len(LINES))))


# They learn ----------------------------------------------------------------------------------------------------------


def test_the_lstm_learns_the_clips_and_their_lengths(lstm: tuple[LstmRecipe, list[dict[str, float]]]) -> None:
    _, history = lstm
    assert history[-1]["reconstruction"] < 0.3 * history[0]["reconstruction"]
    assert history[-1]["length"] < 0.05


def test_the_lstm_performs_what_it_learned(
    lstm: tuple[LstmRecipe, list[dict[str, float]]], few: Few, tmp_path: Path
) -> None:
    takes = load_baseline(saved(lstm[0], tmp_path)).perform(asked(few), 1)
    apart = np.array(
        [[_difference(take, few.frames(k)) for k in range(len(few))] for (take,) in takes]
    )  # (performed, learned)
    assert (apart.argmin(1) == np.arange(len(few))).all(), apart


def test_both_stages_of_the_vq_baseline_learn(vq: tuple[VqRecipe, list[dict[str, float]]]) -> None:
    recipe, history = vq
    first, then = history[: VQ.steps // 2], history[VQ.steps // 2 :]
    assert first[-1]["reconstruction"] < 0.5 * first[0]["reconstruction"]
    assert then[-1]["cross_entropy"] < 0.5 * then[0]["cross_entropy"]
    model, batch = _vq_model(recipe), batch_of(recipe)
    used = torch.bincount(model.quantise(batch).codes[model.code_mask(batch).bool()])
    assert (used > 0).sum() > 4, "codes are in use"
    assert recipe.score(first[-1], 0) is None and recipe.score(then[-1], 100) == then[-1]["cross_entropy"]


def test_the_second_stage_leaves_the_codes_alone(few: Few, encoder: TextEncoder, cache: Path) -> None:
    recipe = VqRecipe(few, few, replace(VQ, steps=6), encoder, CPU, cache)
    module = recipe.module
    assert isinstance(module, VqObjective)
    before = {name: value.clone() for name, value in module.model.autoencoder.state_dict().items()}
    module.train()
    module(batch_of(recipe), 3)["total"].backward()
    recipe.optimizer().step()
    for name, value in module.model.autoencoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    module(batch_of(recipe), 0)
    assert not torch.equal(module.model.autoencoder.codebook, before["codebook"])


def test_an_interrupted_run_resumes_to_the_same_weights(
    few: Few, encoder: TextEncoder, cache: Path, tmp_path: Path
) -> None:
    def run(folder: Path, minutes: float | None) -> Trainer:
        trainer = Trainer(folder, VqRecipe(few, few, replace(VQ, steps=8), encoder, CPU, cache), Options())
        trainer.train(minutes)
        return trainer

    run(tmp_path / "whole", None)
    while run(tmp_path / "parts", 0).step < 8:  # stops, with its state saved, after every step
        pass
    whole = load_baseline(tmp_path / "whole" / "best").model.state_dict()
    for name, value in load_baseline(tmp_path / "parts" / "best").model.state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_dead_codes_come_back() -> None:
    torch.manual_seed(0)
    net = VqVae(channels=3, width=8, codes=16, code_width=4, window=4)
    with torch.no_grad():
        net.codebook.copy_(net.codebook[:1].expand(16, -1))  # all codes in one place
    frames, mask = torch.randn(8, 40, 3), torch.ones(8, 10)
    assert net.quantise(frames, mask).codes.unique().numel() == 1
    for _ in range(60):
        net.follow(net.quantise(frames, mask), mask)
    assert net.quantise(frames, mask).codes.unique().numel() > 8


# They perform --------------------------------------------------------------------------------------------------------


def test_the_lstm_is_the_same_whatever_the_seed_and_vq_is_not(
    lstm: tuple[LstmRecipe, list[dict[str, float]]],
    vq: tuple[VqRecipe, list[dict[str, float]]],
    few: Few,
    tmp_path: Path,
) -> None:
    plain = load_baseline(saved(lstm[0], tmp_path / "lstm")).perform(asked(few), 2)
    assert all(np.array_equal(first, second) for first, second in plain)
    _vq_model(vq[0])._config["temperature"] = 3.0  # overfitted to one take per line: at 1 every take is that one
    sampled = load_baseline(saved(vq[0], tmp_path / "vq"))
    once, again = sampled.perform(asked(few), 2), sampled.perform(asked(few), 2)
    assert any(not np.array_equal(first, second) for first, second in once)
    for takes, repeated in zip(once, again, strict=True):
        for take, repeat in zip(takes, repeated, strict=True):
            np.testing.assert_array_equal(take, repeat)
    shifted = sampled.perform(asked(few, seed=1), 1)
    for takes, later in zip(once, shifted, strict=True):  # take 1 of seed 0 is take 0 of seed 1
        np.testing.assert_allclose(takes[1], later[0], atol=1e-4)


def test_takes_are_clips_of_the_space(vq: tuple[VqRecipe, list[dict[str, float]]], few: Few, tmp_path: Path) -> None:
    system = load_baseline(saved(vq[0], tmp_path))
    assert system.name == VqPerformer.title
    for takes in system.perform(asked(few), 3):
        assert len(takes) == 3
        for take in takes:
            assert take.dtype == np.float32 and take.shape[1] == ARKIT55.size and 4 <= len(take) <= VQ.max_frames
            assert (take >= ARKIT55.lower).all() and (take <= ARKIT55.upper).all()


def test_sampling_step_by_step_is_teacher_forcing(vq: tuple[VqRecipe, list[dict[str, float]]], few: Few) -> None:
    model = _vq_model(vq[0])
    lines = Lines.encode(vq[0].encoder, few.texts, few.directions)
    heat, model.temperature = model.temperature, 0.0
    with torch.inference_mode():
        codes = model.sample(lines, [TakeSeed(0, text) for text in few.texts])
        likeliest = model.logits(codes[:, :-1].clamp(max=model.end), lines).argmax(-1)
    model.temperature = heat
    before_end = (codes == model.end).int().cumsum(1) <= 1
    assert before_end.sum() > 4 * len(few)
    assert torch.equal(likeliest[before_end], codes[before_end])


def test_a_clip_does_not_depend_on_its_neighbours(vq: tuple[VqRecipe, list[dict[str, float]]]) -> None:
    model = _vq_model(vq[0])
    alone = vq[0].train.collate([0])
    padded = replace(alone, frames=torch.nn.functional.pad(alone.frames, (0, 0, 0, 64)))
    with torch.no_grad():
        one, many = model.quantise(alone), model.quantise(padded)
        count = int(model.code_mask(alone).sum())
        torch.testing.assert_close(many.latent[:, :count], one.latent[:, :count])
        frames = [model.autoencoder.frames(q.nearest, model.code_mask(b)) for q, b in ((one, alone), (many, padded))]
    torch.testing.assert_close(frames[1][:, : 4 * count], frames[0][:, : 4 * count])


# On disk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lstm", "vq"])
def test_what_is_loaded_performs_as_what_was_saved(
    kind: str, few: Few, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    recipe, _ = request.getfixturevalue(kind)
    model = load_baseline(saved(recipe, tmp_path)).model
    own = recipe.module.model
    own.eval()
    assert model.config() == own.config()
    state = own.state_dict()
    assert state.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_other_spaces_and_no_direction(encoder: TextEncoder, cache: Path, tmp_path: Path) -> None:
    folder = make_emoava_like(tmp_path / "set", {"train": 6, "dev": 2, "test": 2})
    splits = [open_emoava(folder, name) for name in ("train", "dev")]
    for recipe in (
        LstmRecipe(*splits, replace(LSTM, steps=2), encoder, CPU, cache),
        VqRecipe(*splits, replace(VQ, steps=2), encoder, CPU, cache),
    ):
        train(recipe)
        ((take,),) = load_baseline(saved(recipe, tmp_path / recipe.name)).perform(
            [Line("Look, of course.", None, 3)], 1
        )
        assert take.shape[1] == FLAME53.size and np.isfinite(take).all()


@pytest.mark.parametrize("wrong", [{"window": 3}, {"heads": 5}, {"codes": 0}, {"autoencoder_share": 1.0}])
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(VQ, **wrong)
    if "heads" in wrong:
        with pytest.raises(InputError, match="heads"):
            replace(LSTM, **wrong)


def test_an_empty_split_is_refused(few: Few, encoder: TextEncoder, cache: Path) -> None:
    with pytest.raises(DataError, match="dev split of the data is empty"):
        LstmRecipe(few, Few(ARKIT55, (), (), ()), LSTM, encoder, CPU, cache)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{garbage"), "is damaged"),
        (lambda f: (f / "config.json").write_text("{"), "is damaged"),
        (lambda f: (f / "config.json").write_text("[]"), "is damaged"),
        (lambda f: _edit(f, format="other"), "holds 'other', schema 1, which is no baseline"),
        (lambda f: _edit(f, schema_version=9), "schema 9"),
        (lambda f: _edit(f, kind="gru"), "is damaged"),
        (lambda f: _edit(f, space="arkit99"), "is damaged"),
        (lambda f: _edit(f, model={"width": 8}), "is damaged"),
    ],
)
def test_a_damaged_folder_is_refused(
    lstm: tuple[LstmRecipe, list[dict[str, float]]], tmp_path: Path, damage: Any, sentence: str
) -> None:
    damage(saved(lstm[0], tmp_path))
    with pytest.raises(CheckpointError, match=sentence):
        load_baseline(tmp_path)


def test_weights_that_are_not_numbers_are_refused(few: Few, encoder: TextEncoder, cache: Path, tmp_path: Path) -> None:
    recipe = LstmRecipe(few, few, LSTM, encoder, CPU, cache)
    model = recipe.module.model
    assert isinstance(model, LstmRegressor)
    with torch.no_grad():
        model.output.bias[0] = torch.nan
    with pytest.raises(CheckpointError, match="not finite"):
        load_baseline(saved(recipe, tmp_path))


def _edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    count = min(len(a), len(b))
    return float(np.abs(a[:count] - b[:count]).mean())


def _vq_model(recipe: VqRecipe) -> VqPerformer:
    assert isinstance(recipe.module, VqObjective)
    return recipe.module.model
