# SPDX-License-Identifier: GPL-3.0-or-later
"""What reads emotions from words: its two shapes, checkpoints of both schemas, fitting it, fitting it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from generator.__main__ import main
from generator.checkpoint import Checkpoint, Generator, load_checkpoint, save_checkpoint
from generator.config import ModelConfig
from generator.corpus.build import build_corpus
from generator.corpus.reader import Corpus
from generator.corpus.texts import SPLITS, builtin_lines, everyday_lines, split_of, written_lines
from generator.errors import CheckpointError, DataError
from generator.heads import MEAN_HEAD, EmotionClassifier, EmotionHead
from generator.line_statistics import FIRST_STATISTICS
from generator.training.batches import FeatureStore
from generator.training.classifier import Labelled, fit_emotion_classifier, judge

CONFIG = ModelConfig(d_model=16, n_head=2, d_inner=16, d_latent=4, d_ewa=4, prior_components=2)
ATTENTION = EmotionHead("attention", 16, 2, 0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(folder, limit=8, progress=False)
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    change(config)
    path.write_text(json.dumps(config), "utf-8")


def test_a_checkpoint_of_schema_1_reads_emotions_as_before(tmp_path: Path) -> None:
    save_checkpoint(Checkpoint(Generator(CONFIG, length_statistics=FIRST_STATISTICS)), tmp_path)
    edit(tmp_path, lambda config: config.update(schema_version=1, emotion_head=config.pop("emotion_head") and None))
    head = load_checkpoint(tmp_path).generator.emotion
    assert head.shape == MEAN_HEAD
    text, mask = torch.randn(3, 7, CONFIG.text_width), torch.arange(7) < torch.tensor([[7], [4], [1]])
    pooled = torch.stack([row[kept].mean(0) for row, kept in zip(text, mask, strict=True)])
    expected = head.output(F.gelu(head.hidden(pooled))) / head.calibration
    assert torch.allclose(head(text, mask), expected, atol=1e-6)


def test_a_checkpoint_keeps_the_shape_of_its_head(tmp_path: Path) -> None:
    generator = Generator(CONFIG, ATTENTION).eval()
    save_checkpoint(Checkpoint(generator), tmp_path, torch.float32)
    loaded = load_checkpoint(tmp_path).generator.emotion
    assert loaded.shape == ATTENTION
    text, mask = torch.randn(2, 5, CONFIG.text_width), torch.ones(2, 5, dtype=torch.bool)
    assert torch.equal(loaded(text, mask), generator.emotion(text, mask))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda config: config["emotion_head"].update(schema_version=9), "emotion head schema 9"),
        (lambda config: config["emotion_head"].update(kind="oracle"), "'oracle' is none of mean, attention"),
        (lambda config: config["emotion_head"].update(queries=0), "0 queries"),
        (lambda config: config.pop("emotion_head"), "emotion_head"),
    ],
)
def test_a_head_of_another_kind_is_a_sentence(tmp_path: Path, change: Any, reason: str) -> None:
    save_checkpoint(Checkpoint(Generator(CONFIG, ATTENTION)), tmp_path)
    edit(tmp_path, change)
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("shape", [MEAN_HEAD, ATTENTION])
def test_what_fills_up_a_batch_is_not_read(shape: EmotionHead) -> None:
    head = EmotionClassifier(8, 5, shape).eval()
    text = torch.randn(1, 4, 8)
    padded = torch.cat([text, torch.full((1, 3, 8), 50.0)], 1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    assert torch.allclose(head(padded, mask), head(text, mask[:, :4]), atol=1e-6)


class Words:
    """Features of lines of random words; one of them says which class a line has, and most say class 0."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.truth = rng.choice(4, count, p=[0.7, 0.1, 0.1, 0.1])
        self.rows = rng.normal(0, 0.5, (count, 12, 16)).astype(np.float16)
        self.rows[np.arange(count), rng.integers(8, size=count), self.truth] += 6
        self.labels = torch.from_numpy(np.eye(4, dtype=np.float32)[self.truth])

    def get(self, line: str) -> tuple[Any, Any]:
        row = self.rows[int(line)]
        return row[: 8 + int(line) % 5], np.zeros(8 + int(line) % 5)

    def labelled(self) -> Labelled:
        return Labelled([str(i) for i in range(len(self.rows))], self.labels, cast(FeatureStore, self))


def test_a_fitted_head_finds_the_telling_word_and_knows_how_sure_it_is() -> None:
    train, dev = Words(5000, 0).labelled(), Words(600, 1).labelled()
    head, measured = fit_emotion_classifier(train, dev, shape=EmotionHead("attention", 64, 4, 0.1))
    _, of_the_mean = fit_emotion_classifier(train, dev, shape=EmotionHead("mean", 64, 0, 0.1))
    assert measured["balanced_accuracy"] > 0.9 > 0.6 > of_the_mean["balanced_accuracy"]
    assert measured["calibration_error"] < 0.05 and measured["neutral_recall"] > 0.9 and measured["lines"] == 600
    again, _ = fit_emotion_classifier(train, dev, shape=EmotionHead("attention", 64, 4, 0.1))
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_batch_of_lines_is_padded_nowhere_and_misses_none() -> None:
    labelled = Words(100, 3).labelled()
    for rng in (None, np.random.default_rng(0)):
        rows = []
        for hidden, which in labelled.batches(16, rng):
            assert hidden.shape[0] <= 16 and {8 + int(i) % 5 for i in which} == {hidden.shape[1]}
            rows += which.tolist()
        assert sorted(rows) == list(range(100))


def test_judging_knows_overconfidence() -> None:
    labels = np.eye(2, dtype=np.float32)[[0, 1] * 50]
    sure = np.tile(np.array([[0.95, 0.05]], np.float32), (100, 1))
    measured = judge(sure, labels, np.ones(2, np.float32))
    assert measured["balanced_accuracy"] == 0.5 and measured["neutral_recall"] == 1.0
    assert measured["calibration_error"] == pytest.approx(0.45, abs=1e-3)
    torn = np.full((100, 2), 0.5, np.float32) + np.array([[0.02, -0.02]], np.float32)
    assert judge(torn, torn, np.ones(2, np.float32))["calibration_error"] == pytest.approx(0, abs=1e-3)


def test_a_corpus_holds_all_labelled_lines_of_its_splits(corpus: Path) -> None:
    own = {line.text.lower() for line in builtin_lines().lines + everyday_lines().lines + written_lines().lines}
    found = {split: Corpus.open(corpus, split).labelled() for split in SPLITS}
    assert {text.lower() for lines in found.values() for text in lines} == own
    assert all(split_of(text) == split for split, lines in found.items() for text in lines)
    assert len(found["train"]) > 100 > len({line["text"] for line in Corpus.open(corpus, "train").lines})
    assert all(weights.shape == (14,) and weights.sum() == pytest.approx(1) for weights in found["train"].values())


def test_an_older_corpus_gives_the_lines_that_are_acted(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.iterdir():
        if path.is_file() and "labelled" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    older = Corpus.open(tmp_path, "train")
    assert set(older.labelled()) == {line["text"] for line in older.lines if line["labelled"]}
    (tmp_path / "train_labelled.jsonl").write_text('{"text": "Hello."}\n', "utf-8")
    with pytest.raises(DataError, match=r"train_labelled\.jsonl cannot be read"):
        Corpus.open(tmp_path, "train").labelled()


def test_everyday_lines_are_ours_alone() -> None:
    acted, more = ({line.text.lower() for line in lines} for lines in (builtin_lines().lines, everyday_lines().lines))
    assert not acted & more and len(more) == len(everyday_lines().lines) > 200


def test_refitting_changes_the_head_and_nothing_else(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    save_checkpoint(Checkpoint(Generator(CONFIG), training={"step": 7}), old)
    assert main(["refit-emotion", str(old), "--data", str(corpus), "--out", str(new), "--device", "cpu"]) == 0
    before, after = load_checkpoint(old), load_checkpoint(new)
    assert (before.generator.emotion.shape.kind, after.generator.emotion.shape.kind) == ("mean", "attention")
    kept = {k: v for k, v in before.generator.state_dict().items() if not k.startswith("emotion.")}
    assert kept and all(torch.equal(v, after.generator.state_dict()[k]) for k, v in kept.items())
    assert after.training["step"] == 7
    measured = after.training["emotion_from_text"]
    assert f"balanced_accuracy {measured['balanced_accuracy']:g}" in capsys.readouterr().out
    assert not before.training.get("emotion_from_text")


@pytest.mark.parametrize("options", [[], ["--data", "corpus", "--xed", "xed"]])
def test_refitting_wants_lines_from_one_place(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refit-emotion", "anything", *options]) == 1
    assert "takes labelled lines from --data, or from --xed and --goemotions" in capsys.readouterr().err
