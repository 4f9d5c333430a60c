# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus: labelled lines in, memory-mapped performances out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from generator.corpus.build import build_corpus, choose_jobs, compact
from generator.corpus.reader import Corpus
from generator.corpus.teacher import act_timed
from generator.corpus.texts import (
    GOEMOTIONS_LABELS,
    SPLITS,
    XED_LABELS,
    builtin_lines,
    clean,
    read_goemotions,
    read_xed,
    split_of,
    unique,
)
from generator.direction import ENDINGS, ROLES
from generator.direction.emotions import BASIC_EMOTIONS, EMOTIONS
from generator.errors import DataError
from generator.shared.spaces import ARKIT55

SHARED_TEXT = Path(__file__).resolve().parents[2].parent / "shared" / "text"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(out, limit=60, seed=3, progress=False)
    return out


def test_round_trip(corpus: Path) -> None:
    for split in SPLITS:
        data = Corpus.open(corpus, split)
        assert len(data) == (60 if split == "train" else 8)
        assert data.space is ARKIT55 and data.info["sources"]["builtin"]["licence"] == "CC0-1.0"
        for index in range(0, len(data), 7):
            text, weights, intensity, values = data.clip(index)
            line = data.lines[index]
            assert weights.shape == (7,) and weights.sum() == pytest.approx(1.0, abs=1e-3)
            direction = data.acting(index)
            assert (
                direction.intensity == intensity
                and direction.role == line["role"]
                and direction.ending == line["ending"]
            )
            again = act_timed(text, direction, line["seed"])
            assert np.allclose(values, again.performance, atol=1e-3)
            assert data.timeline(index) == again.said and data.speech_scale(index) == again.loudness
            silent = direction.role == "silent" or not any(c.isalnum() for c in text)
            assert (again.timeline is None) == silent == (data.direction(index).moments is None)
            if again.timeline is not None:
                assert line["timeline"] == json.loads(json.dumps(compact(again.timeline)))
            start = data.start(index)
            assert start is not None and np.array_equal(start, again.start)
            turn = data.direction(index).turn
            assert (turn is None) == (direction.towards is None)
            assert turn is None or 0.2 < turn < len(values) / ARKIT55.fps
    assert np.array_equal(data.clip(-1)[3], data.clip(len(data) - 1)[3])
    assert not list(corpus.parent.glob("*.partial"))


def test_the_same_seed_builds_the_same_corpus(corpus: Path, tmp_path: Path) -> None:
    build_corpus(tmp_path / "again", limit=60, seed=3, progress=False)
    for name in (
        "train_values.npy",
        "train_starts.npy",
        "train_offsets.npy",
        "train_lines.jsonl",
        "train_labelled.jsonl",
        "corpus.json",
    ):
        assert (corpus / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_nothing_that_lies_beside_it_is_touched(tmp_path: Path) -> None:
    kept = tmp_path / "mine.partial" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("work", "utf-8")
    build_corpus(tmp_path / "mine", limit=1)
    assert kept.read_text("utf-8") == "work"
    with pytest.raises(DataError, match="--seed 0 or more"):
        build_corpus(tmp_path / "other", limit=1, seed=-1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.partial"]


def test_no_test_line_is_trained_on(corpus: Path) -> None:
    texts = [{line["text"] for line in Corpus.open(corpus, split).lines} for split in SPLITS]
    assert all(texts) and not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    assert split_of("I knew it.") == split_of("i knew it!!")


def test_feelings_are_balanced_and_some_contradict_the_line() -> None:
    jobs = choose_jobs(builtin_lines().lines, 3000, 1, np.random.default_rng(0))
    leading = [EMOTIONS[int(np.argmax(job.feelings))] for job in jobs]
    shares = {name: leading.count(name) / len(jobs) for name in EMOTIONS}
    assert max(shares.values()) < 0.12 and min(shares.values()) > 0.045
    for share, role in zip((0.62, 0.2, 0.18), ROLES, strict=True):
        assert abs(np.mean([job.role == role for job in jobs]) - share) < 0.05
    for share, ending in zip((0.45, 0.3, 0.25), ENDINGS, strict=True):
        assert abs(np.mean([job.ending == ending for job in jobs]) - share) < 0.05
    assert 0.5 < np.mean([job.before is not None for job in jobs]) < 0.6
    assert 0.08 < np.mean([job.towards is not None for job in jobs]) < 0.2
    assert 0.2 < np.mean([not job.labelled for job in jobs]) < 0.35
    intensities = np.array([job.intensity for job in jobs])
    assert intensities.min() >= 0.2 and intensities.max() <= 1.5
    assert 0.75 < ((intensities >= 0.6) & (intensities <= 1.35)).mean() < 0.98


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Well , I do n't know ...", "Well, I don't know..."),
        ("* So get up out of your bed", "So get up out of your bed"),
        ("- What 's that ?", "What's that?"),
        ("“Go” — he said 😀 :)", "Go — he said"),
        ("see https://example.org", None),
        ("!!!", None),
        ("word " * 40, None),
    ],
)
def test_clean(raw: str, expected: str | None) -> None:
    assert clean(raw) == expected


def test_placeholders_become_names() -> None:
    text = clean("A letter from [PERSON] to [NAME] in [LOCATION] .")
    assert text is not None and "[" not in text and text.endswith(".") and len(text.split()) >= 7


def test_labels_become_weights(tmp_path: Path) -> None:
    (tmp_path / "en-annotated.tsv").write_text(
        "He is dead .\t6, 4\nI trust you .\t8, 5\nBad row\tx\n" + "Go on .\t1\n" * 60
    )
    found = read_xed(tmp_path)
    assert found.skipped == ["en-annotated.tsv, line 3: 'x' is not a list of labels from 1 to 8"]
    sad, trust = found.lines[0], found.lines[1]
    assert sad.weights[BASIC_EMOTIONS.index("sadness")] == sad.weights[BASIC_EMOTIONS.index("fear")] == 0.5
    assert trust.emotion == "joy" and trust.weights[BASIC_EMOTIONS.index("joy")] == 1.0
    assert len(unique(found.lines)) == 3
    for table in (XED_LABELS, GOEMOTIONS_LABELS):
        for label, weights in table.items():  # type: ignore[attr-defined]
            assert sum(weights.values()) == pytest.approx(1.0), label
            assert set(weights) <= set(EMOTIONS)


def test_a_wrong_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"en-annotated\.tsv does not exist"):
        read_xed(tmp_path)
    (tmp_path / "en-annotated.tsv").write_text("name,age\nAnna,7\n")
    with pytest.raises(DataError, match=r"another file; the first: en-annotated\.tsv, line 1"):
        read_xed(tmp_path)
    (tmp_path / "labels.txt").write_text("happy\n")
    with pytest.raises(DataError, match="'happy', which is not a GoEmotions label"):
        read_goemotions(tmp_path)
    with pytest.raises(DataError, match="already exists"):
        build_corpus(tmp_path)


def test_a_damaged_corpus_is_a_sentence(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a corpus"):
        Corpus.open(tmp_path, "train")
    with pytest.raises(DataError, match="'middle'"):
        Corpus.open(corpus, "middle")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("corpus.json", "train_values.npy", "train_offsets.npy", "train_starts.npy", "train_lines.jsonl"):
        (broken / name).write_bytes((corpus / name).read_bytes())
    rows = (broken / "train_lines.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (broken / "train_lines.jsonl").write_text("".join(rows[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match="does not fit together"):
        Corpus.open(broken, "train")
    (broken / "train_values.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match="cannot be read"):
        Corpus.open(broken, "train")
    info = json.loads((broken / "corpus.json").read_text(encoding="utf-8"))
    (broken / "corpus.json").write_text(json.dumps({**info, "schema_version": 99}))
    with pytest.raises(DataError, match="version"):
        Corpus.open(broken, "train")


@pytest.mark.skipif(not SHARED_TEXT.is_dir(), reason="XED and GoEmotions are not beside the repository")
def test_the_real_collections_are_read() -> None:
    xed = read_xed(SHARED_TEXT / "xed")
    assert len(xed.lines) > 26_000 and not xed.skipped
    comments = read_goemotions(SHARED_TEXT / "goemotions")
    assert len(comments.lines) > 48_000 and not comments.skipped
    for line in xed.lines[::500] + comments.lines[::500]:
        assert "[" not in line.text and " ," not in line.text and sum(line.weights) == pytest.approx(1.0)
