# SPDX-License-Identifier: GPL-3.0-or-later
"""What predicts how long a line takes: what it reads of the spelling, checkpoints of all schemas, fitting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from generator.__main__ import main
from generator.checkpoint import Checkpoint, Generator, load_checkpoint, save_checkpoint
from generator.config import ModelConfig
from generator.corpus.build import build_corpus
from generator.errors import CheckpointError
from generator.heads import LengthPredictor
from generator.line_statistics import FIRST_STATISTICS, STATISTICS, line_statistics
from generator.training.lengths import Timed, fit_length_predictor

CONFIG = ModelConfig(d_model=16, n_head=2, d_inner=16, d_latent=4, d_ewa=4, prior_components=2)


def pauses(text: str) -> dict[str, int]:
    """What `line_statistics` says of a line's pauses, by mark, without those of which there are none."""
    counts = zip(",;:-.!?…", line_statistics(text)[-8:], strict=True)
    return {mark: round(2 * count) for mark, count in counts if count}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Out.", {}),
        ("...out?!", {}),
        ("Well, no... No! Not - not today.", {",": 1, "…": 1, "!": 1, "-": 1}),
        ("A well-known fact; is it? Yes: it is.", {";": 1, "?": 1, ":": 1}),
        ("Wait…what?", {"…": 1}),
        ("Stop. He said—no.", {".": 1, "-": 1}),
        ("?!", {}),
        ("", {}),
    ],
)
def test_pauses_are_those_between_words(text: str, found: dict[str, int]) -> None:
    assert pauses(text) == found


@pytest.mark.parametrize("text", ["", "…", "Out.", "I said 42, NOT 43!", "x" * 300])
def test_there_are_as_many_statistics_of_every_line(text: str) -> None:
    assert len(line_statistics(text)) == STATISTICS > FIRST_STATISTICS


def test_letters_and_spellings_are_counted_whatever_their_case() -> None:
    one, other = line_statistics("the cheese"), line_statistics("The Cheese")
    assert one == other != line_statistics("the chases")


def test_a_checkpoint_of_schema_2_predicts_lengths_as_before(tmp_path: Path) -> None:
    generator = Generator(CONFIG, length_statistics=FIRST_STATISTICS)
    save_checkpoint(Checkpoint(generator), tmp_path, torch.float32)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["length_statistics"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "schema_version": 2}), "utf-8")
    head = load_checkpoint(tmp_path).generator.length
    pooled, asked = torch.randn(3, CONFIG.text_width), torch.randn(3, head.hidden.in_features - 16 - FIRST_STATISTICS)
    statistics = torch.randn(3, STATISTICS)
    changed = statistics.clone()
    changed[:, FIRST_STATISTICS:] += 5
    assert torch.equal(head(pooled, statistics, asked).mean, generator.length(pooled, statistics, asked).mean)
    assert torch.equal(head(pooled, statistics, asked).mean, head(pooled, changed, asked).mean)
    changed[:, FIRST_STATISTICS - 1] += 5
    assert not torch.equal(head(pooled, statistics, asked).mean, head(pooled, changed, asked).mean)


@pytest.mark.parametrize("count", [3, STATISTICS + 1, "all"])
def test_a_predictor_of_another_shape_is_a_sentence(tmp_path: Path, count: Any) -> None:
    save_checkpoint(Checkpoint(Generator(CONFIG)), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "length_statistics": count}), "utf-8")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path)


def timed(count: int, seed: int) -> Timed:
    """Clips whose length hangs on one letter, on one thing that is asked, and on chance (0.1 of log seconds)."""
    rng = torch.Generator().manual_seed(seed)
    statistics, asked = 0.3 * torch.rand(count, STATISTICS, generator=rng), torch.rand(count, 5, generator=rng)
    chance = torch.randn(count, generator=rng)
    seconds = 1.0 + 3 * statistics[:, FIRST_STATISTICS + 3] - 0.5 * asked[:, 2] + 0.1 * chance
    return Timed(torch.randn(count, 8, generator=rng), statistics, asked, seconds)


def test_a_fitted_predictor_finds_what_matters_and_knows_how_sure_it_is() -> None:
    train, dev = timed(4000, 0), timed(400, 1)
    head, measured = fit_length_predictor(train, dev)
    with torch.no_grad():
        lengths = dev.predicted(head)
    assert float((lengths.mean - dev.log_seconds).abs().mean()) < 0.12  # 0.08 of it nobody can know
    assert float(lengths.deviation.mean()) == pytest.approx(0.1, abs=0.03)
    blind = (train.log_seconds.mean().exp() - dev.log_seconds.exp()).abs().mean()
    assert measured["error_seconds"] < 0.5 * float(blind) and measured["clips"] == 400
    again, _ = fit_length_predictor(train, dev)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values(), strict=True))


def test_refitting_changes_the_head_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, old, new = (tmp_path / name for name in ("corpus", "old", "new"))
    build_corpus(corpus, limit=8, progress=False)
    save_checkpoint(Checkpoint(Generator(CONFIG, length_statistics=FIRST_STATISTICS), training={"step": 7}), old)
    assert main(["refit-length", str(old), "--data", str(corpus), "--out", str(new), "--device", "cpu"]) == 0
    before, after = load_checkpoint(old), load_checkpoint(new)
    assert (before.generator.length.statistics, after.generator.length.statistics) == (FIRST_STATISTICS, STATISTICS)
    kept = {k: v for k, v in before.generator.state_dict().items() if not k.startswith("length.")}
    assert kept and all(torch.equal(v, after.generator.state_dict()[k]) for k, v in kept.items())
    assert after.training["step"] == 7 and not before.training.get("length")
    assert f"error_seconds {after.training['length']['error_seconds']:g}" in capsys.readouterr().out


def test_a_predictor_reads_no_more_than_it_is_made_for() -> None:
    head = LengthPredictor(8, 4, FIRST_STATISTICS)
    assert head.hidden.in_features == 16 + FIRST_STATISTICS + 4
