# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures: Live Link Face recordings become clips, and everything that is wrong with a folder is a sentence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from generator.captures import open_captures
from generator.captures import reader as captures_reader
from generator.captures.live_link import Recording, find_recordings, read_recording
from generator.captures.resample import to_clip_rate
from generator.captures.splits import assign_splits
from generator.corpus.teacher import perform
from generator.direction.emotions import basic_weights, emotion_weights
from generator.errors import DataError, EnvironmentProblem
from generator.performing.clips import Clips
from generator.shared.spaces import ARKIT55
from generator.training.data_source import DataSource
from tests.generator.made_captures import MADE_LINES, make_captures, write_recording

LABELLED = tuple((text, emotion or "neutral") for text, emotion in MADE_LINES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_captures(tmp_path_factory.mktemp("captures"), LABELLED)


@pytest.fixture(scope="module")
def take() -> np.ndarray:
    return perform("You kept it, after all these years!", emotion_weights("joy"), 1.0, 3)


def one_line(folder: Path, frames: np.ndarray, row: str = "take,Hello there.,joy") -> Path:
    write_recording(folder / "take.csv", frames)
    (folder / "transcripts.csv").write_text(f"file,text,emotion,intensity,start,end\n{row},,,\n", encoding="utf-8")
    return folder


# From file to frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "tolerance", "relative"), [(60.0, 0.06, 0.015), (30.0, 0.2, 0.03)])
def test_a_clip_survives_being_filmed(
    take: np.ndarray, tmp_path: Path, fps: float, tolerance: float, relative: float
) -> None:
    recording = read_recording(write_recording(tmp_path / "take.csv", take, fps=fps, dropped=0.03))
    assert recording.fps == pytest.approx(fps, rel=0.01)
    back = to_clip_rate(recording)
    assert len(take) - len(back) in (0, 1)  # the last row at 30 frames per second may lie a frame before the end
    take = take[: len(back)]
    error = back - take
    assert np.abs(error).max() < tolerance
    assert np.sqrt((error**2).mean() / (take**2).mean()) < relative


def test_our_own_csv_is_read_as_it_was(take: np.ndarray, tmp_path: Path) -> None:
    one = np.array([1], np.int64)
    (path,) = Clips(take[None], one * len(take), one, ARKIT55, "Hi.", "joy", {}).write(tmp_path / "clip.csv")
    np.testing.assert_allclose(to_clip_rate(read_recording(path)), take, atol=1e-5)


@pytest.mark.parametrize("phase", np.linspace(0, 1 / 24, 6).tolist())
def test_a_short_blink_keeps_its_depth(phase: float) -> None:
    times = np.arange(90) / 60
    values = np.zeros((90, ARKIT55.size))
    blink = np.clip(1 - np.abs(times - 0.7 - phase) / 0.05, 0, 1)  # 100 ms in all
    values[:, ARKIT55.column("eyeBlinkLeft")] = values[:, ARKIT55.column("eyeBlinkRight")] = blink
    frames = to_clip_rate(Recording(times, values))
    for lid in ("eyeBlinkLeft", "eyeBlinkRight"):
        column = frames[:, ARKIT55.column(lid)]
        assert 0.9 * blink.max() <= column.max() <= 1.0
        assert abs(int(column.argmax()) / 24 - times[blink.argmax()]) <= 0.5 / 24 + 1e-9


def test_what_is_too_fast_for_the_clip_does_not_turn_into_something_slow() -> None:
    times = np.arange(240) / 60
    values = np.zeros((240, ARKIT55.size))
    jaw = ARKIT55.column("jawOpen")
    values[:, jaw] = 0.5 + 0.4 * np.sin(2 * np.pi * 22 * times)  # 22 Hz would become 2 Hz at 24 frames per second
    assert np.abs(to_clip_rate(Recording(times, values))[6:-6, jaw] - 0.5).max() < 0.02


def test_time_comes_from_the_timecode(take: np.ndarray, tmp_path: Path) -> None:
    whole = read_recording(write_recording(tmp_path / "whole.csv", take, dropped=0.0))
    gappy = read_recording(write_recording(tmp_path / "gappy.csv", take, dropped=0.4))
    assert len(gappy.times) < 0.7 * len(whole.times) and gappy.seconds == pytest.approx(whole.seconds, abs=2e-3)
    assert len(to_clip_rate(gappy)) == len(to_clip_rate(whole))
    midnight = write_recording(tmp_path / "midnight.csv", take, start=24 * 3600 - 1.0)
    assert read_recording(midnight).seconds == pytest.approx(whole.seconds, abs=2e-3)
    slow = write_recording(tmp_path / "slow.csv", take, fps=30.0, dropped=0.0)
    assert read_recording(slow).seconds == pytest.approx(whole.seconds, abs=1 / 30)


def test_both_headers_and_a_byte_order_mark_are_read(take: np.ndarray, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "take.csv", take, header="BlendShapeCount")
    first = read_recording(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read_recording(path).values, first.values)


def test_of_a_calibrated_take_the_calibrated_file_is_read(take: np.ndarray, tmp_path: Path) -> None:
    for mark in ("_cal", "_raw", "_neutral"):
        write_recording(tmp_path / "a" / f"MySlate_1_iPhone{mark}.csv", take[:30])
    for mark in ("", "_cal", "_raw"):
        write_recording(tmp_path / "b" / f"MySlate_2_iPhone{mark}.csv", take[:30])
    (tmp_path / "b" / "frame_log.csv").write_text("kind,index\nV,0\n")
    found = [path.relative_to(tmp_path).as_posix() for path in find_recordings(tmp_path)]
    assert found == ["a/MySlate_1_iPhone_cal.csv", "b/MySlate_2_iPhone.csv"]


# From folder to corpus -----------------------------------------------------------------------------------------------


def test_a_folder_is_a_corpus_with_three_splits(made: Path) -> None:
    splits = {name: DataSource.parse(f"captures:{made}").open(name) for name in ("train", "dev", "test")}
    assert all(len(split) for split in splits.values())
    texts = [split.text(i) for split in splits.values() for i in range(len(split))]
    assert sorted(texts) == sorted(text for text, _ in LABELLED)
    emotions = dict(LABELLED)
    for corpus in splits.values():
        assert corpus.space is ARKIT55
        for i in range(len(corpus)):
            frames = corpus.frames(i)
            assert frames.dtype == np.float32 and frames.shape == (corpus.length(i), ARKIT55.size)
            assert (frames >= ARKIT55.lower - 1e-3).all() and (frames <= ARKIT55.upper + 1e-3).all()
            assert np.linalg.norm(frames[-1]) < ARKIT55.standard_face_norm
            direction = corpus.direction(i)
            assert direction is not None and direction.intensity == 1.0
            np.testing.assert_allclose(
                basic_weights(direction.weights), emotion_weights(emotions[corpus.text(i)]), atol=1e-4
            )


def test_a_captured_clip_is_the_take_with_quiet_ends(made: Path) -> None:
    for split in ("train", "dev", "test"):
        corpus = open_captures(made, split)
        for i, line in enumerate(corpus.lines):
            number = int(line["file"].split("_")[-2])
            original = perform(corpus.text(i), emotion_weights(line["emotion"]), 1.0, number)
            inner = slice(8, -14)
            # Lips that seal are the fastest thing that is resampled.
            assert np.abs(corpus.frames(i)[inner] - original[inner]).max() < 0.08
            assert np.linalg.norm(corpus.frames(i)[0]) < 0.6 * np.linalg.norm(original[0]) + 1e-3


def test_the_second_reading_comes_from_the_cache_and_a_change_is_seen(tmp_path: Path) -> None:
    folder = make_captures(tmp_path, LABELLED[:3])
    first = open_captures(folder, "train")
    captures_reader._read.cache_clear()
    (cache,) = (folder / captures_reader.CACHE).iterdir()
    stamp = cache.stat().st_mtime_ns
    again = open_captures(folder, "train")
    assert cache.stat().st_mtime_ns == stamp and again.lines == first.lines
    np.testing.assert_array_equal(again.values, first.values)
    cache.write_bytes(b"damaged")
    captures_reader._read.cache_clear()
    np.testing.assert_array_equal(open_captures(folder, "train").values, first.values)
    table = folder / "transcripts.csv"
    table.write_text(table.read_text("utf-8").replace("sadly_angry", "disgust"), encoding="utf-8")
    emotions = {line["emotion"] for name in ("train", "dev", "test") for line in open_captures(folder, name).lines}
    assert "disgust" in emotions and "sadly_angry" not in emotions


def test_a_folder_that_cannot_be_written_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_captures(tmp_path, LABELLED[:3])

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(captures_reader, "write_atomically", refuse)
    assert len(open_captures(folder, "train")) == 1


def test_start_and_end_cut_a_recording_into_lines(take: np.ndarray, tmp_path: Path) -> None:
    write_recording(tmp_path / "take.csv", take)
    rows = ["\ufefffile;text;start;end;emotion", "take;First, of two.;0;1,5;joy", "take.csv;Second.;1.5;;anger"]
    (tmp_path / "transcripts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    corpus = open_captures(tmp_path, "train")  # two lines: too few to hold any out
    assert [line["text"] for line in corpus.lines] == ["First, of two.", "Second."]
    assert [corpus.length(0), corpus.length(1)] == [36, len(take) - 36]
    np.testing.assert_allclose(corpus.frames(1)[8:-14], take[36:][8:-14], atol=0.06)
    assert "too few to hold any out" in corpus.info["warnings"][-1]


def test_the_resting_face_is_taken_away(take: np.ndarray, tmp_path: Path) -> None:
    rest = np.zeros(ARKIT55.size, np.float32)
    press, pitch, lid = (ARKIT55.column(name) for name in ("mouthPressLeft", "headPitch", "eyeBlinkLeft"))
    rest[press], rest[pitch], rest[lid] = 0.3, 0.25, 0.1
    filmed = take + rest
    filmed[:, :52] = rest[:52] + take[:, :52] * (1 - rest[:52])
    one_line(tmp_path, filmed)
    (warning,) = (w for w in open_captures(tmp_path, "train").info["warnings"] if "resting" in w)
    assert "mouthPressLeft" in warning and "neutral.csv" in warning
    write_recording(tmp_path / "neutral.csv", np.tile(rest, (24, 1)))
    corpus = open_captures(tmp_path, "train")
    assert not any("resting" in w for w in corpus.info["warnings"])
    np.testing.assert_allclose(corpus.frames(0)[8:-14], take[8:-14], atol=0.06)
    (tmp_path / "neutral.csv").unlink()
    (tmp_path / "captures.json").write_text('{"rest": "percentile"}')
    frames = open_captures(tmp_path, "train").frames(0)
    assert np.percentile(frames[:, press], 5) < 0.02 and abs(np.median(frames[:, pitch])) < 0.05


def test_head_angles_may_be_turned_round(take: np.ndarray, tmp_path: Path) -> None:
    one_line(tmp_path, take)
    before = open_captures(tmp_path, "train").frames(0)
    (tmp_path / "captures.json").write_text('{"head": {"yaw": -1}}')
    after = open_captures(tmp_path, "train").frames(0)
    sign = np.ones(ARKIT55.size)
    sign[ARKIT55.column("headYaw")] = -1
    np.testing.assert_allclose(after, before * sign, atol=1e-3)


def test_an_emotion_that_is_not_given_is_read_from_the_words(
    take: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_line(tmp_path, take, "take,I hate you! You make me so angry!,")
    corpus = open_captures(tmp_path, "train")
    assert corpus.lines[0]["emotion"] == "anger" and not corpus.lines[0]["labelled"]
    assert "guessed from the words" in corpus.info["warnings"][0]

    def missing(*_: object) -> None:
        raise EnvironmentProblem("There is no text encoder.")

    monkeypatch.setattr("generator.performing.load.load_engine", missing)
    one_line(tmp_path, take, "take,I hate you! You make me so furious!,")
    corpus = open_captures(tmp_path, "train")
    assert corpus.lines[0]["emotion"] == "neutral" and "cannot be guessed" in corpus.info["warnings"][0]


def test_a_recording_without_a_row_is_said(made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_captures(tmp_path, LABELLED[:3])
    write_recording(folder / "other" / "forgotten.csv", np.zeros((30, ARKIT55.size), np.float32))
    with caplog.at_level(logging.WARNING):
        open_captures(folder, "train")
        open_captures(folder, "dev")
    assert caplog.text.count("One recording has no row in transcripts.csv") == 1 and "forgotten.csv" in caplog.text


def test_no_split_is_empty_and_words_decide() -> None:
    for count in range(3, 60):
        splits, _ = assign_splits([f"Line {k}." for k in range(count)])
        assert set(splits) == {"train", "dev", "test"}, count
    many = [f"Line {k}." for k in range(300)]
    before, _ = assign_splits(many)
    after, _ = assign_splits([*many, "One more."])
    assert after[:300] == before and 15 < before.count("test") < 60
    assert assign_splits(["Go!", "go", "Stop.", "Why?"])[0][0] == assign_splits(["Go!", "go", "Stop.", "Why?"])[0][1]
    same, doubts = assign_splits(["Go!"] * 5)
    assert set(same) == {"train", "dev", "test"} and "several splits" in doubts[0]


# What is refused -----------------------------------------------------------------------------------------------------


def edit(path: Path, row: int, column: str, value: str) -> None:
    rows = [line.split(",") for line in path.read_text("utf-8").splitlines()]
    rows[row - 1][rows[0].index(column)] = value
    path.write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: edit(f / "take.csv", 5, "JawOpen", "nan"), r"take\.csv, row 5, column JawOpen: 'nan' is not a num"),
        (lambda f: edit(f / "take.csv", 7, "HeadYaw", "left"), r"row 7, column HeadYaw: 'left' is not a number"),
        (lambda f: edit(f / "take.csv", 9, "JawOpen", "45"), r"row 9, column jawOpen: 45 cannot be; coefficients go"),
        (lambda f: edit(f / "take.csv", 9, "HeadYaw", "45"), r"headYaw: 45 cannot be; head angles are in radians"),
        (lambda f: edit(f / "take.csv", 1, "TongueOut", "Tongue"), r"row 1: there is no column TongueOut \(found 54"),
        (lambda f: edit(f / "take.csv", 4, "Timecode", "noon"), r"row 4, column Timecode: 'noon' is not of the form"),
        (lambda f: edit(f / "take.csv", 6, "Timecode", "14:03:51:00.0"), r"row 6, column Timecode: the time runs back"),
        (lambda f: (f / "take.csv").write_text((f / "take.csv").read_text("utf-8")[:-300]), r"of 63 values"),
        (lambda f: (f / "take.csv").unlink(), "has no Live Link Face recording"),
        (lambda f: (f / "transcripts.csv").unlink(), r"transcripts\.csv is missing; write a table"),
        (lambda f: (f / "transcripts.csv").write_text("a,b\n1,2\n"), r"row 1: expected file,text,emotion"),
        (lambda f: (f / "transcripts.csv").write_text("file,text,mood\n1,2,3\n"), "no column 'mood'"),
        (lambda f: (f / "transcripts.csv").write_text("file,text\n"), "has no rows"),
        (lambda f: (f / "transcripts.csv").write_bytes(b"file,text\ntake,\xff\n"), "is not text in UTF-8"),
        (lambda f: edit(f / "transcripts.csv", 2, "file", "lost"), "row 2, column file: there is no recording 'lost'"),
        (lambda f: edit(f / "transcripts.csv", 2, "text", " "), "row 2, column text: The line is empty"),
        (lambda f: edit(f / "transcripts.csv", 2, "text", "Oh, no"), "row 2: it has 7 values for 6 columns; put a te"),
        (lambda f: edit(f / "transcripts.csv", 2, "emotion", "hangry"), "column emotion: there is no emotion 'hangry'"),
        (lambda f: edit(f / "transcripts.csv", 2, "intensity", "9"), "'9' is not a number from 0 to 1.5"),
        (lambda f: edit(f / "transcripts.csv", 2, "start", "99"), "column start: 99 s is after the recording's end"),
        (lambda f: edit(f / "transcripts.csv", 2, "end", "0.2"), r"is 0\.21? s long and 0\.5 s is the shortest"),
        (
            lambda f: write_recording(f / "take.csv", np.zeros((300, 55), np.float32)),
            r"is 12\.5 s long and 10 s is the",
        ),
        (lambda f: write_recording(f / "b" / "take.csv", np.zeros((30, 55), np.float32)), "2 recordings are called"),
        (lambda f: (f / "captures.json").write_text("{"), r"captures\.json is not JSON"),
        (lambda f: (f / "captures.json").write_text('{"rets": 1}'), "no setting 'rets'"),
        (lambda f: (f / "captures.json").write_text('{"head": {"nod": 1}}'), '"head" is an object of factors'),
        (lambda f: (f / "captures.json").write_text('{"rest": 1}'), '"rest" is one of auto, none, percentile'),
    ],
)
def test_what_is_wrong_is_a_sentence(
    take: np.ndarray, tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(one_line(tmp_path, take))
    with pytest.raises(DataError, match=sentence):
        open_captures(tmp_path, "train")


def test_settings_are_json(tmp_path: Path, take: np.ndarray) -> None:
    part = take[:84]  # three and a half seconds: the frame numbers of the last half count half the time
    one_line(tmp_path, part)
    (tmp_path / "captures.json").write_text(json.dumps({"timecode_fps": 120}))
    assert open_captures(tmp_path, "train").length(0) < len(part)
    with pytest.raises(DataError, match="not 'middle'"):
        open_captures(tmp_path, "middle")
