# SPDX-License-Identifier: GPL-3.0-or-later
"""``train``: what it chooses from data and options, and a sentence for every option that does not fit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.corpus.build import build_corpus
from generator.training.data_source import DataSource
from generator.training.default import DefaultRecipe
from generator.training.models import Choice, make_recipe
from generator.training.paper import PaperRecipe

CPU = torch.device("cpu")
TINY = [
    "--set=emotion_steps=2",
    "--set=d_model=32",
    "--set=d_inner=32",
    "--set=d_latent=8",
    "--set=d_ewa=8",
    "--set=prior_parts=2",
    "--set=prior_components=2",
]
PAPER = ("n_head=2", "d_key=8", "d_value=8", "d_inner=32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(folder, limit=60)
    return folder


def test_the_data_decides_which_model_it_is(
    corpus: Path, made_emoava: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    tiny = str(tiny_encoder)
    default = make_recipe(Choice(DataSource.parse(str(corpus)), tmp_path, text_encoder=tiny), CPU)
    assert isinstance(default, DefaultRecipe) and default.steps == 12_000
    emoava = DataSource.parse(f"emoava:{made_emoava}")
    released = make_recipe(Choice(emoava, tmp_path, text_encoder=tiny, overrides=PAPER), CPU)
    assert isinstance(released, PaperRecipe) and released.train.size == 256 and released.steps == 100 * 1
    short = Choice(emoava, tmp_path, text_encoder=tiny, overrides=PAPER, epochs=2.5, training={"batch_size": 4})
    assert make_recipe(short, CPU).steps == round(2.5 * 7)
    other = make_recipe(Choice(emoava, tmp_path, "default", text_encoder=tiny), CPU)
    assert isinstance(other, DefaultRecipe) and other.config.space == "flame53"


def test_fine_tuning_the_default_takes_its_encoder_and_fits_the_data(corpus: Path, tmp_path: Path) -> None:
    recipe = make_recipe(Choice(DataSource.parse(str(corpus)), tmp_path, start="default"), CPU)
    assert isinstance(recipe, DefaultRecipe)
    assert recipe.steps == 300 and recipe.learning_rate(100) <= 1e-4
    held = make_recipe(Choice(DataSource.parse(str(corpus)), tmp_path, start="default", steps=7), CPU)
    assert held.steps == 7
    assert recipe.settings()["text_encoder"] == "all-MiniLM-L6-v2"


@pytest.mark.parametrize("model", ["lstm", "vq"])
def test_baselines_train_on_the_same_command(
    model: str, corpus: Path, tiny_encoder: Path, tmp_path: Path, run_train: Callable[..., int]
) -> None:
    where = (f"--data={corpus}", f"--run={tmp_path}", f"--text-encoder={tiny_encoder}", "--set=width=32")
    assert run_train(*where, f"--model={model}", "--steps=3", "--batch-size=8") == 0
    assert json.loads((tmp_path / "best" / "config.json").read_text("utf-8"))["kind"] == model


def test_features_lie_beside_a_corpus_and_in_the_run_otherwise(
    corpus: Path, made_emoava: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    tiny = str(tiny_encoder)
    make_recipe(Choice(DataSource.parse(str(corpus)), tmp_path / "a", text_encoder=tiny), CPU)
    assert any((corpus / "cache").iterdir()) and not (tmp_path / "a").exists()
    before = sorted(made_emoava.iterdir())
    choice = Choice(DataSource.parse(f"emoava:{made_emoava}"), tmp_path / "b", text_encoder=tiny, overrides=PAPER)
    make_recipe(choice, CPU)
    assert any((tmp_path / "b" / "cache").iterdir()) and sorted(made_emoava.iterdir()) == before


def test_damaged_features_are_made_again(corpus: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    def read() -> np.ndarray:
        choice = Choice(DataSource.parse(str(corpus)), tmp_path, text_encoder=str(tiny_encoder))
        return make_recipe(choice, CPU).train.collate([0]).condition.text.numpy()

    whole, paths = read(), sorted((corpus / "cache").iterdir())
    for path, size in ((paths[0], 100), (paths[1], 0), (paths[2], -8)):
        path.write_bytes(path.read_bytes()[:size])
        assert (read() == whole).all()


def test_minutes_end_a_run_that_can_go_on(
    corpus: Path, tiny_encoder: Path, tmp_path: Path, run_train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    where = (f"--data={corpus}", f"--run={tmp_path}", f"--text-encoder={tiny_encoder}", *TINY, "--batch-size=8")
    assert run_train(*where, "--steps=6", "--minutes=0") == 0
    assert (tmp_path / "best" / "model.safetensors").is_file()
    assert not (tmp_path / "emotion").exists()  # what comes after the last step is for another time, too
    assert run_train(*where, "--steps=6") == 0
    assert "going on from step 1" in capsys.readouterr().err
    assert run_train(*where, "--steps=9") == 0  # a run may be made longer
    assert "going on from step 6" in capsys.readouterr().err


REFUSED: dict[str, tuple[list[str], str]] = {
    "no steps": (["--steps=0"], "--steps must be a finite number above 0, not 0"),
    "no clips": (["--batch-size=-1"], "--batch-size must be a finite number above 0"),
    "no rate": (["--learning-rate=nan"], "--learning-rate must be a finite number above 0, not nan"),
    "no end": (["--epochs=inf"], "--epochs must be a finite number above 0, not inf"),
    "no seed": (["--seed=-1"], "--seed must be 0 or more, not -1"),
    "no threads": (["--threads=-1"], "--threads must be 1 or more, not -1"),
    "no noise": (["--set=white_noise=nan"], "white_noise must look like 0.2, not 'nan'"),
    "no parts": (["--accumulate=0"], "--accumulate must be at least 1, not 0"),
    "no judgement": (["--evaluate-every=0"], "--evaluate-every must be at least 1"),
    "less than no time": (["--minutes=-1"], "--minutes must not be negative"),
    "fp16 on a CPU": (["--precision=fp16"], "fp16 needs a CUDA device, not cpu; choose --precision bf16"),
    "unknown setting": (["--set=colour=3"], "no setting called 'colour' to --set; there are average_decay, "),
    "no value": (["--set=kl_weight"], "--set takes NAME=VALUE, not 'kl_weight'"),
    "no number": (["--set=kl_weight=much"], "kl_weight must look like 1.0, not 'much'"),
    "no such head": (["--set=n_head=3"], r"do not fit together: d_model \(256\) must be even and divisible"),
    "no quirks": (["--reference"], "default has no such quirks"),
    "no folder": (["--data=/nowhere"], "There is no folder /nowhere"),
    "no checkpoint": (["--from=/nowhere"], "There is no checkpoint in /nowhere .* the word default"),
    "another model": (["--from=default", "--model=paper"], "holds the default model, not paper; leave out --model"),
    "another width": (
        ["--from=default", "--set=d_model=128"],
        "weights of default do not fit the settings",
    ),
}


@pytest.mark.parametrize("title", REFUSED)
def test_options_that_do_not_fit_are_refused(
    title: str, corpus: Path, tmp_path: Path, run_train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    options, sentence = REFUSED[title]
    assert run_train(f"--data={corpus}", f"--run={tmp_path / 'run'}", *options) == 1
    error = capsys.readouterr().err.splitlines()[-1]  # after the progress bars
    assert error.startswith("error: ")
    assert re.search(sentence, error), error
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_a_baseline_cannot_be_trained_further(
    corpus: Path, tmp_path: Path, run_train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"format": "cteg-baseline", "kind": "lstm"}', "utf-8")
    assert run_train(f"--data={corpus}", f"--run={tmp_path / 'run'}", f"--from={tmp_path}") == 1
    assert "baselines cannot be trained further; leave out --from" in capsys.readouterr().err


def test_help_imports_nothing_heavy(printed: Callable[..., str]) -> None:
    code = (
        "import sys\nfrom generator.__main__ import main\n"
        "try: main(['train', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'accelerate', 'transformers', 'tensorboard', 'numpy.f2py') if m in sys.modules])"
    )
    out = printed(code)
    assert "torchrun" in out and out.strip().endswith("[]")


@pytest.mark.slow
def test_torchrun_takes_the_command_as_it_is(made_emoava: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--",
        "generator", "train", "--data", f"emoava:{made_emoava}", "--run", tmp_path, "--steps", "3", "--batch-size", "5",
        "--text-encoder", tiny_encoder, "--device", "cpu", *(f"--set={setting}" for setting in PAPER),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path / "best")) == 1 and "2 x cpu" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"best", "last", "metrics.jsonl", "state.safetensors"}
