# SPDX-License-Identifier: GPL-3.0-or-later
"""What reads emotions from words: its shapes and file, the layers it shares with the decoder, fitting, its lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_bert

from generator.__main__ import main
from generator.corpus.build import build_corpus
from generator.corpus.reader import Corpus
from generator.corpus.texts import (
    REGISTERS,
    SPLITS,
    WITHHELD,
    builtin_lines,
    everyday_lines,
    split_of,
    written_lines,
)
from generator.direction.emotions import EMOTIONS
from generator.engine.config import ModelConfig
from generator.errors import CheckpointError, DataError
from generator.evaluation import implied
from generator.model.checkpoint import READER_FILE, Checkpoint, load_checkpoint, save_checkpoint, write_reader
from generator.model.cteg import CTEG
from generator.model.heads import EmotionClassifier, EmotionHead, EmotionReader
from generator.model.text import TextEncoder
from generator.training import classifier
from generator.training.classifier import Labelled, LineBatches, ReaderRecipe, ReaderSettings, fit_emotion_reader, judge
from generator.training.loop import Options, Trainer

WIDTH = 16
CONFIG = ModelConfig(
    d_model=16, n_head=2, d_inner=16, d_latent=4, d_ewa=4, prior_parts=2, prior_components=2, text_width=WIDTH
)
TUNED = EmotionHead("attention", 16, 2, 0.0, (1, 2))
FROZEN = EmotionHead("attention", 16, 2, 0.0)
MEAN = EmotionHead("mean", 16, 0, 0.0)
LINES = ["Oh no.", "What a day, what a lovely day!", "Fine"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bert(tmp_path_factory.mktemp("bert") / "encoder", WIDTH, num_hidden_layers=3, intermediate_size=64)
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        if "LayerNorm" in name:  # as they are before training; random ones would make all lines alike
            value.fill_(float(name.endswith("weight")))
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(folder, limit=8, progress=False)
    return folder


def reader(shape: EmotionHead, encoder: Path) -> EmotionReader:
    torch.manual_seed(0)
    made = EmotionReader(WIDTH, len(EMOTIONS), shape).eval()
    made.start_from(TextEncoder.load(str(encoder)))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made


def checkpoint(encoder: Path, shape: EmotionHead | None = TUNED) -> Checkpoint:
    made = None if shape is None else reader(shape, encoder)
    return Checkpoint(CTEG(CONFIG).eval(), made, str(encoder), training={"step": 7})


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    change(config)
    path.write_text(json.dumps(config), "utf-8")


# The reader and its file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [TUNED, FROZEN, MEAN])
def test_a_checkpoint_keeps_its_reader(shape: EmotionHead, encoder: Path, tmp_path: Path) -> None:
    made = checkpoint(encoder, shape)
    save_checkpoint(made, tmp_path, torch.float32)
    loaded = load_checkpoint(tmp_path).emotion
    assert made.emotion is not None and loaded is not None and loaded.shape == shape and not loaded.training
    read = [r.probabilities(TextEncoder.load(str(encoder)), LINES) for r in (made.emotion, loaded)]
    assert torch.equal(*read) and torch.allclose(read[0].sum(1), torch.ones(3))


def test_the_file_names_what_published_encoders_name(encoder: Path, tmp_path: Path) -> None:
    save_checkpoint(checkpoint(encoder), tmp_path)
    stored = load_file(tmp_path / READER_FILE)
    published = {
        name
        for name in load_file(encoder / "model.safetensors")
        if name.startswith(("encoder.layer.1.", "encoder.layer.2."))
    }
    assert {name for name in stored if name.startswith("encoder.")} == published
    assert all(name.startswith(("encoder.layer.", "head.")) for name in stored)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert not any(name.startswith(("emotion.", "head.")) for name in load_file(tmp_path / "model.safetensors"))


def test_three_layers_of_the_default_encoder_and_the_head_take_11_mb(tmp_path: Path) -> None:
    write_reader(EmotionReader(384, len(EMOTIONS), EmotionHead(layers=(3, 4, 5))), tmp_path)
    assert 10.6e6 < (tmp_path / READER_FILE).stat().st_size <= 11e6


def test_a_checkpoint_without_a_reader_leaves_no_file_of_an_earlier_one(encoder: Path, tmp_path: Path) -> None:
    save_checkpoint(checkpoint(encoder), tmp_path)
    save_checkpoint(checkpoint(encoder, None), tmp_path)
    assert load_checkpoint(tmp_path).emotion is None and not (tmp_path / READER_FILE).exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda config: config["emotion_head"].update(schema_version=9), "emotion head schema 9"),
        (lambda config: config["emotion_head"].update(kind="oracle"), "'oracle' is none of mean, attention"),
        (lambda config: config["emotion_head"].update(queries=0), "0 queries"),
        (lambda config: config["emotion_head"].update(layers=[0, 1, 2, 3]), "not the last 3 layers"),
        (lambda config: config["emotion_head"].update(layers=[0, 2]), "not the last 3 layers"),
        (lambda config: config["emotion_head"].update(layers=[2]), "Error"),
        (lambda config: config["emotion_head"].update(width=8), "Error"),
        (lambda config: config.pop("emotion_head"), "emotion_head"),
    ],
)
def test_a_reader_of_another_shape_is_a_sentence(encoder: Path, tmp_path: Path, change: Any, reason: str) -> None:
    save_checkpoint(checkpoint(encoder), tmp_path)
    edit(tmp_path, change)
    with pytest.raises(CheckpointError, match=f"is damaged .*{reason}"):
        load_checkpoint(tmp_path)


def test_a_reader_that_is_missing_cut_bloated_or_not_finite_is_refused(encoder: Path, tmp_path: Path) -> None:
    save_checkpoint(checkpoint(encoder), tmp_path)
    path = tmp_path / READER_FILE
    whole, tensors = path.read_bytes(), load_file(path)
    for content, reason in (
        (None, "emotion.safetensors is missing"),
        (whole[:-9], "damaged"),
        (b"not tensors", "damaged"),
        (whole + bytes(1_000_000), "larger than what config.json describes"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError, match=reason):
            load_checkpoint(tmp_path)
    save_file(tensors | {"head.output.bias": torch.full((len(EMOTIONS),), torch.nan, dtype=torch.float16)}, path)
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("shape", [MEAN, FROZEN])
def test_what_fills_up_a_batch_is_not_read(shape: EmotionHead) -> None:
    head = EmotionClassifier(8, 5, shape).eval()
    text = torch.randn(1, 4, 8)
    padded = torch.cat([text, torch.full((1, 3, 8), 50.0)], 1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    assert torch.allclose(head(padded, mask), head(text, mask[:, :4]), atol=1e-6)


# One run through the frozen layers ----------------------------------------------------------------------------------


def test_reading_emotions_leaves_the_decoders_features_as_they_are(encoder: Path) -> None:
    plain, shared = TextEncoder.load(str(encoder)), TextEncoder.load(str(encoder))
    before = plain.encode(LINES)
    read = reader(TUNED, encoder).probabilities(shared, LINES)
    after = shared.encode(LINES)
    for name in ("hidden", "mask", "position"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name
    assert before.lower is None and after.lower is not None and after.lower.shape == after.hidden.shape
    tuned = reader(TUNED, encoder)
    ids, mask = plain.tokens(LINES)
    direct = tuned(plain, plain.states(ids, mask, tuned.frozen), mask).softmax(-1)
    assert torch.allclose(read, direct, atol=1e-6)


def test_a_line_runs_through_the_frozen_layers_once(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, tuned = TextEncoder.load(str(encoder)), reader(TUNED, encoder)
    assert shared.bert is not None
    runs, lower = [], shared.bert.lower
    monkeypatch.setattr(shared.bert, "lower", lambda *given: runs.append(1) or lower(*given))
    tuned.probabilities(shared, LINES)
    shared.encode(LINES)
    tuned.probabilities(shared, LINES)
    assert len(runs) == 1


@torch.no_grad()
def test_layers_as_they_were_read_what_the_encoder_says(encoder: Path) -> None:
    frozen = TextEncoder.load(str(encoder))
    untouched = EmotionReader(WIDTH, len(EMOTIONS), TUNED).eval()
    untouched.start_from(frozen)
    features = frozen.encode(LINES)
    assert torch.allclose(
        untouched.probabilities(frozen, LINES), untouched.head(features.hidden, features.mask).softmax(-1), atol=1e-6
    )


def test_a_reader_of_another_encoder_is_a_sentence(encoder: Path) -> None:
    other = EmotionReader(WIDTH, len(EMOTIONS), EmotionHead("attention", 16, 2, 0.0, (0, 1)))
    with pytest.raises(ValueError, match="are not the last ones of"):
        other.probabilities(TextEncoder.load(str(encoder)), LINES)
    with pytest.raises(ValueError, match="cannot be read after 9 layers"):
        TextEncoder.load(str(encoder)).keep_lower(9)


# Fitting ------------------------------------------------------------------------------------------------------------


def labelled(count: int, seed: int, own: float = 0.5) -> Labelled:
    """Lines of letters; a capital says which of the first three emotions they have, and most have the first."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, count, p=[0.6, 0.2, 0.2])
    words = [
        " ".join("".join(rng.choice(list("abcdefgh"), 3)) for _ in range(rng.integers(2, 5))) for _ in range(count)
    ]
    texts = [f"{'XYZ'[t]} {w} {i % 10}{'.!'[i % 2]}" for i, (t, w) in enumerate(zip(truth, words, strict=True))]
    return Labelled(texts, np.eye(len(EMOTIONS), dtype=np.float32)[truth], rng.random(count) < own)


QUICK = ReaderSettings(steps=200, batch_size=16, learning_rate=4e-3, head_pace=2.0, average_decay=0.9)


def test_a_fitted_reader_finds_the_telling_word_and_knows_how_sure_it_is(encoder: Path, tmp_path: Path) -> None:
    found, measured = fit_emotion_reader(
        labelled(600, 0), labelled(200, 1), TextEncoder.load(str(encoder)), tmp_path, QUICK
    )
    assert found.shape.layers == (0, 1, 2) and not found.training
    assert measured["balanced_accuracy"] > 0.9 and measured["neutral_recall"] > 0.9 and measured["lines"] == 200
    assert measured["calibration_error"] < 0.1 and measured["own_balanced_accuracy"] > 0.9


def test_an_interrupted_fit_goes_on_to_the_same_reader(encoder: Path, tmp_path: Path) -> None:
    settings = ReaderSettings(steps=6, batch_size=8)
    lines = labelled(60, 0), labelled(30, 1), TextEncoder.load(str(encoder))
    whole, _ = fit_emotion_reader(*lines, tmp_path / "whole", settings)
    Trainer(tmp_path / "parts", ReaderRecipe(*lines, settings=settings), Options(save_every=1)).train(limit_minutes=0)
    parts, _ = fit_emotion_reader(*lines, tmp_path / "parts", settings)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True))


def test_batches_hold_what_the_settings_say(encoder: Path) -> None:
    lines, settings = labelled(400, 2, own=0.1), ReaderSettings(batch_size=20, own_share=0.4, neutral_share=0.12)
    batches = LineBatches(lines, TextEncoder.load(str(encoder)), settings, varied=True)
    order = batches.order(0)
    assert len(order) == len(batches) and {len(rows) for rows in order} == {20}
    version, line = np.divmod(np.concatenate(order), len(lines.texts))
    assert lines.own[line].mean() == pytest.approx(0.4, abs=0.01)
    theirs = line[~lines.own[line]]
    assert lines.labels[theirs, 0].mean() == pytest.approx(0.12, abs=0.04)
    own = line[lines.own[line]]
    assert lines.labels[own].mean(0)[:3] == pytest.approx([1 / 3] * 3, abs=0.08)
    assert set(version) == {0, 1, 2} and not version[~lines.own[line]].any()
    again = LineBatches(lines, batches.encoder, settings, varied=True)
    assert all(np.array_equal(a, b) for a, b in zip(again.order(3), batches.order(3), strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(again.order(4), batches.order(3), strict=True))
    batch = batches.collate(order[0].tolist())
    assert batch.ids.shape == batch.mask.shape and batch.labels.shape == (20, len(EMOTIONS))


@pytest.mark.parametrize(
    ("line", "versions"),
    [
        ("I won!", ["I won!", "I won", "I won."]),
        ("Is it? Fine.", ["Is it? Fine.", "Is it? Fine", "Is it? Fine!"]),
        ("Well...", ["Well...", "Well", "Well..."]),
        ("Why", ["Why", "Why", "Why"]),
    ],
)
def test_marks_are_dropped_or_exchanged(line: str, versions: list[str]) -> None:
    assert [classifier._with_marks(line, version) for version in range(3)] == versions


def test_judging_knows_overconfidence() -> None:
    labels = np.eye(2, dtype=np.float32)[[0, 1] * 50]
    even = np.ones(100, np.float32)
    sure = np.tile(np.array([[0.95, 0.05]], np.float32), (100, 1))
    measured = judge(sure, labels, even)
    assert measured["balanced_accuracy"] == 0.5 and measured["neutral_recall"] == measured["read_as_neutral"] == 1.0
    assert measured["calibration_error"] == pytest.approx(0.45, abs=1e-3)
    torn = np.full((100, 2), 0.5, np.float32) + np.array([[0.02, -0.02]], np.float32)
    assert judge(torn, torn, even)["calibration_error"] == pytest.approx(0, abs=1e-3)


# Our own lines and the test lines -----------------------------------------------------------------------------------


def test_our_lines_cover_every_emotion_in_every_register() -> None:
    lines = written_lines().lines
    assert len(lines) > 4000 and len({line.text.lower() for line in lines}) == len(lines)
    for emotion in EMOTIONS:
        registers = {line.register for line in lines if line.emotion == emotion}
        assert set(list(REGISTERS)[:3]) <= registers, emotion


def test_no_test_line_is_learned_from() -> None:
    tests = {line.lower() for _, line in implied.implied_lines()}
    for split in ("train", "dev"):
        learned = Labelled.of({}, split)
        assert not tests & {text.lower() for text in learned.texts} and not WITHHELD & set(learned.texts)
        assert learned.own.all() and {split_of(text) for text in learned.texts} == {split}
    more = Labelled.of(
        {"A line of theirs.": np.eye(14, dtype=np.float32)[1], "x" * 300: np.eye(14, dtype=np.float32)[1]}, "dev"
    )
    assert more.texts[~more.own.argmin() :] and (~more.own).sum() == 1


def test_our_lines_damaged_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generator.corpus import texts

    monkeypatch.setattr(texts, "__file__", str(tmp_path / "texts.py"))
    (tmp_path / "situations").mkdir()
    path = tmp_path / "situations" / "joy.tsv"
    path.write_text('situation\tregister\tline\nmum to son\tloud\t"Well" done.\n', "utf-8")
    with pytest.raises(DataError, match=r"joy\.tsv, line 2: expected a situation, a register \("):
        written_lines()
    path.write_text('situation\tregister\tline\nmum to son\tclear\t"Well" done.\n', "utf-8")
    assert [line.text for line in written_lines().lines] == ['"Well" done.']
    path.rename(path.with_name("glee.tsv"))
    with pytest.raises(DataError, match=r"glee\.tsv is named after no emotion"):
        written_lines()


def test_who_reads_one_text_whatever_is_said_reads_one_line_in_fourteen(encoder: Path) -> None:
    tuned, frozen = reader(TUNED, encoder), TextEncoder.load(str(encoder))
    found = implied.measure(lambda lines: tuned.probabilities(frozen, ["Always the same."] * len(lines)).numpy())
    assert len(found.texts) == 280 and np.bincount(found.truth).tolist() == [20] * 14
    assert found.accuracy == pytest.approx(1 / 14) and found.measured["balanced_accuracy"] == 0.0714
    assert len(found.misread()) == 260 and found.confusion.sum() == 280


def test_who_knows_the_answers_reads_every_line() -> None:
    answers = {line: EMOTIONS.index(emotion) for emotion, line in implied.implied_lines()}
    found = implied.measure(lambda lines: np.eye(14, dtype=np.float32)[[answers[line] for line in lines]])
    assert found.accuracy == 1.0 and found.measured["calibration_error"] == found.measured["read_as_neutral"] == 0.0
    assert implied.confusion_table(found).count("20") == 14 and not found.misread()


def test_the_test_lines_are_measured_from_the_command_line(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(checkpoint(encoder), tmp_path / "with")
    assert implied.main([str(tmp_path / "with"), "--misread"]) == 0
    out = capsys.readouterr().out
    assert '"lines": 280' in out and " read as " in out
    save_checkpoint(checkpoint(encoder, None), tmp_path / "without")
    assert implied.main([str(tmp_path / "without")]) == 1
    assert "reads no emotions" in capsys.readouterr().err


def test_damaged_test_lines_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "implied.tsv"
    path.write_text("joy\tIt worked.\nglee\tIt worked.\n", "utf-8")
    with pytest.raises(DataError, match=r"implied\.tsv, line 2"):
        implied.implied_lines(path)


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


def test_refitting_changes_the_reader_and_nothing_else(
    encoder: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    save_checkpoint(checkpoint(encoder, FROZEN), old)
    options = [
        "--data",
        str(corpus),
        "--out",
        str(new),
        "--device",
        "cpu",
        "--steps",
        "2",
        "--keep",
        str(tmp_path / "run"),
    ]
    assert main(["refit-emotion", str(old), *options]) == 0
    before, after = load_checkpoint(old), load_checkpoint(new)
    assert before.emotion is not None and after.emotion is not None
    assert (before.emotion.shape.layers, after.emotion.shape.layers) == ((), (0, 1, 2))
    kept = before.decoder.state_dict()
    assert kept and all(torch.equal(v, after.decoder.state_dict()[k]) for k, v in kept.items())
    assert after.training["step"] == 7 and (tmp_path / "run" / "state.safetensors").is_file()
    measured = after.training["emotion_from_text"]
    assert f"balanced_accuracy {measured['balanced_accuracy']:g}" in capsys.readouterr().out
    assert not before.training.get("emotion_from_text")


@pytest.mark.parametrize("options", [[], ["--data", "corpus", "--xed", "xed"]])
def test_refitting_wants_lines_from_one_place(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refit-emotion", "anything", *options]) == 1
    assert "takes labelled lines from --data, or from --xed and --goemotions" in capsys.readouterr().err
