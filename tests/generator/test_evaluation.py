# SPDX-License-Identifier: GPL-3.0-or-later
"""`evaluate` on small data: rows rank as they must, nothing done is done twice, bad input is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator.__main__ import main
from generator.baselines.checkpoint import save_baseline
from generator.baselines.lstm import LstmRegressor
from generator.corpus.datasets import Shown, data_identity
from generator.direction.emotions import emotion_weights, full_vector
from generator.errors import CheckpointError, DataError, InputError
from generator.evaluation import motion, refit_motion, rollouts
from generator.evaluation.entries import row_names
from generator.evaluation.evaluate import evaluate
from generator.evaluation.judge import Reference, judge
from generator.evaluation.lines import Settings, choose_lines, pure_indices
from generator.evaluation.paper_system import PaperSystem
from generator.evaluation.rollouts import Entry, checkpoint_identity, perform
from generator.evaluation.systems import CheckpointSystem, GroundTruth, HeldOutLine, JudgedTake, spoken
from generator.evaluation.teacher_forced import paper_perplexity
from generator.evaluation.untrained import CorpusMean, NearestText, RandomSequence, ShuffledFrames, StaticPose
from generator.model.checkpoint import load_checkpoint
from generator.shared.spaces import ARKIT55
from generator.speech.reading import read_line
from generator.speech.timing import time_line
from generator.training.data_source import DataSource
from tests.generator.made_emoava import make_emoava_like
from tests.generator.tiny import write_bert, write_default, write_paper

SMALL = Settings(lines=6, takes=2)


@pytest.fixture(scope="module")
def emoava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_emoava_like(tmp_path_factory.mktemp("emoava"), {"train": 12, "dev": 3, "test": 8}, (1, 30))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bert(tmp_path_factory.mktemp("encoder") / "tiny"))


@pytest.fixture(scope="module")
def checkpoint(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with random weights."""
    return write_default(tmp_path_factory.mktemp("runs") / "mine" / "best", encoder)


@pytest.fixture(scope="module")
def report(corpus: Path, checkpoint: Path, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    evaluate([checkpoint], str(corpus), out, replace(SMALL, text_encoder=encoder))
    return out


def rows_of(folder: Path) -> dict[str, dict[str, float]]:
    data = json.loads((folder / "report.json").read_text("utf-8"))
    return {row["name"]: row["metrics"] for row in data["systems"]}


# Reports ---------------------------------------------------------------------------------------------------------


def test_rows_rank_as_they_must(report: Path) -> None:
    rows = rows_of(report)
    assert list(rows) == [
        "ground truth", "mine/best", "static pose", "static pose with computed lips", "nearest text", "random sequence",
        "shuffled frames", "corpus mean",
    ]  # fmt: skip
    truth, mean, random, shuffled = (
        rows[k] for k in ("ground truth", "corpus mean", "random sequence", "shuffled frames")
    )
    for key in (
        "diversity",
        "diversity_all",
        "mmodality_all",
        "variation",
        "fgd",
        "fgd_sync",
        "jerk",
        "blinks_per_minute",
    ):
        assert mean[key] == 0 < truth[key], key
    assert shuffled["jerk_ratio"] > 5 and 0.5 < random["jerk_ratio"] < 2
    assert shuffled["variation"] == pytest.approx(random["variation"], rel=1e-4)
    assert truth["emotion_followed"] == 1 and mean["emotion_followed"] < 1 == mean["emotion_consistency"]
    assert truth["velocity_ratio"] == truth["jerk_ratio"] == 1 and "frechet_ratio" not in truth
    assert shuffled["frechet_ratio"] > random["frechet_ratio"] > 1
    assert "emotion_from_text" in rows["mine/best"] and "cppl" not in rows["mine/best"]
    assert "variation_jaw" not in truth and "mmodality" not in truth  # not FLAME; fewer takes than the protocol needs


def test_only_a_mouth_that_says_the_line_passes_as_speech(report: Path) -> None:
    rows = rows_of(report)
    speaking = ("ground truth", "static pose with computed lips")
    for name, row in rows.items():  # the checkpoint's weights are random, and it was taught to perform whole faces
        right = row["closure_recall"] > 0.9 and row["closure_precision"] > 0.9 and row["closing_ahead"] > 0.2
        assert right == (name in speaking), (name, row)
    pose, with_lips = rows["static pose"], rows["static pose with computed lips"]
    assert pose["emotion_followed"] == with_lips["emotion_followed"]  # what a probe sees in a pose alone
    assert abs(pose["closing"]) < 0.1 and pose["mmodality_all"] == with_lips["mmodality_all"]


def test_the_report_is_complete_as_files(report: Path) -> None:
    table = (report / "report.md").read_text("utf-8")
    for name in ("metrics.png", "amplitude.png", "speed.png", "blinks.png", "emotion.png"):
        assert f"({name})" in table
        assert (report / name).read_bytes().startswith(b"\x89PNG")
    assert table.index("| ground truth |") < table.index("| mine/best |") < table.index("| corpus mean |")
    data = json.loads((report / "report.json").read_text("utf-8"))
    shown = {key for row in data["systems"] for key in row["metrics"]}
    assert shown <= set(data["metrics"])
    for key in shown:
        assert data["metrics"][key]["label"] in table and data["metrics"][key]["meaning"] in table
    assert str(report) not in json.dumps(data) + table  # the numbers are the same on any machine


def test_a_resumed_report_equals_the_first_and_performs_nothing(
    report: Path, corpus: Path, checkpoint: Path, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "takes").symlink_to(report / "takes")
    for system in (CheckpointSystem, GroundTruth, CorpusMean, RandomSequence, NearestText):
        monkeypatch.setattr(system, "perform", lambda *_: pytest.fail("performed again"))
    evaluate([checkpoint], str(corpus), tmp_path, replace(SMALL, text_encoder=encoder))
    assert (tmp_path / "report.json").read_bytes() == (report / "report.json").read_bytes()
    assert (tmp_path / "report.md").read_bytes() == (report / "report.md").read_bytes()


def test_emoava_has_no_emotions_and_one_take_of_a_line(emoava: Path, encoder: str, tmp_path: Path) -> None:
    evaluate([], f"emoava:{emoava}", tmp_path, replace(SMALL, text_encoder=encoder))
    rows = rows_of(tmp_path)
    assert not any(key.startswith(("emotion", "blink", "cppl")) for row in rows.values() for key in row)
    assert not any(key.startswith(("mmodality", "fgd_sync")) for key in rows["ground truth"])
    assert rows["nearest text"]["mmodality_all"] > 0 == rows["corpus mean"]["mmodality_all"]
    assert rows["ground truth"]["variation_expression"] > 50 * rows["ground truth"]["variation_jaw"] > 0
    assert not (tmp_path / "blinks.png").exists() and not (tmp_path / "emotion.png").exists()


def test_a_paper_checkpoint_gets_its_perplexity(emoava: Path, tmp_path: Path) -> None:
    folder = write_paper(tmp_path / "paper")
    evaluate([folder], f"emoava:{emoava}", tmp_path / "out", replace(SMALL, baselines=False))
    values = rows_of(tmp_path / "out")["paper"]
    assert 1 <= values["cppl_box"] <= 1e10 and values["cppl_causal"] >= 1  # trained with EwA over the whole clip
    system = PaperSystem(folder, "paper", "flame53")
    source = DataSource.parse(f"emoava:{emoava}").open("test")
    texts, clips = [source.text(i) for i in range(5)], [source.frames(i) for i in range(5)]
    scores = paper_perplexity(system.checkpoint, texts, clips, seed=1)
    assert scores == paper_perplexity(system.checkpoint, texts, clips, seed=1)
    assert scores["cppl_box_exact"] >= scores["cppl_box"]


def test_a_trained_baseline_is_a_row_of_its_own_kind(corpus: Path, emoava: Path, encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "lstm"
    save_baseline(LstmRegressor(ARKIT55, 16, 8, 1, 2, 60), encoder, folder, {})
    report = evaluate([folder], str(corpus), tmp_path / "out", replace(SMALL, baselines=False))
    row = report.rows[1]
    assert (row.name, row.kind) == ("lstm", "trained baseline")
    assert row.values["mmodality_all"] == 0 < row.values["length_error_seconds"]  # deterministic, and of its own length
    with pytest.raises(InputError, match="lstm performs in the space arkit55 and the data is in flame53"):
        evaluate([folder], f"emoava:{emoava}", tmp_path / "other", replace(SMALL, baselines=False))


# Systems ---------------------------------------------------------------------------------------------------------


def test_a_direction_is_asked_by_its_name() -> None:
    def asked(weights: Any) -> str:
        return HeldOutLine(0, "Hi.", None if weights is None else Shown(full_vector(weights), 1.0), 24, 0).emotion

    assert asked(emotion_weights("fear")) == "fear"
    assert asked(emotion_weights("awed")) == "awed"
    assert asked(np.float32([0, 0.6, 0, 0, 0.4, 0, 0])) == "joy"  # no such compound: the strongest
    assert asked(None) == "auto"


def test_paper_takes_leave_out_the_given_mean_face_and_repeat_by_seed(tmp_path: Path) -> None:
    system = PaperSystem(write_paper(tmp_path / "paper"), "paper", "flame53")
    line = HeldOutLine(0, "We would see this day.", None, 20, 7)
    first, second = (take.frames for take in system.perform([line], 2)[0])
    mean = system.checkpoint.mean.numpy()
    assert not np.allclose(first[0], mean) and first.shape[1] == 53
    alone = system.perform([replace(line, text="Other."), replace(line, seed=8)], 1)[1][0].frames
    np.testing.assert_allclose(alone[:5], second[:5], atol=1e-4)  # take 1 of seed 7 is take 0 of seed 8
    assert not np.allclose(first[:5], second[:5], atol=1e-2)


def test_retrieval_finds_the_line_itself_first(corpus: Path, encoder: str, tmp_path: Path) -> None:
    train = DataSource.parse(str(corpus)).open("train")
    line, cache = HeldOutLine(0, train.text(17), None, 1, 0), tmp_path / "features.npy"
    (takes,) = NearestText(train, encoder, cache, "cpu").perform([line], 3)
    same = [i for i in range(len(train)) if train.text(i) == train.text(17)]
    assert any(np.array_equal(takes[0].acted, train.frames(i)) for i in same)
    assert (tmp_path / "features.npy").is_file()
    again = NearestText(train, encoder, tmp_path / "features.npy", "cpu").perform(
        [HeldOutLine(0, train.text(17), None, 1, 0)], 3
    )
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(takes, again[0], strict=True))


def test_shuffled_frames_are_the_random_sequences_in_another_order(corpus: Path) -> None:
    train = DataSource.parse(str(corpus)).open("train")
    line = HeldOutLine(0, "Hi.", None, 1, 3)
    ((a, b),), ((c, d),) = RandomSequence(train).perform([line], 2), ShuffledFrames(train).perform([line], 2)
    for ordered, shuffled in ((a, c), (b, d)):
        assert not np.array_equal(ordered.frames, shuffled.frames)
        assert np.array_equal(np.sort(ordered.frames, axis=0), np.sort(shuffled.frames, axis=0))


# Lines and takes on disk -----------------------------------------------------------------------------------------


def test_lines_show_one_emotion_where_the_data_names_emotions(corpus: Path, emoava: Path) -> None:
    test = DataSource.parse(str(corpus)).open("test")
    chosen = choose_lines(test, Settings(lines=4))
    assert [line.index for line in chosen.lines] == pure_indices(test)[:4]
    assert chosen.emotions is not None and len(chosen.emotions) == 4
    spread = choose_lines(DataSource.parse(f"emoava:{emoava}").open("test"), Settings(lines=3, seed=1))
    assert spread.emotions is None and [line.index for line in spread.lines] == [0, 4, 7]
    assert len({line.seed for line in (*chosen.lines, *spread.lines)}) == 7
    few = choose_lines(test, Settings(lines=10_000))
    assert "10000 lines were asked for" in few.notes[-1]


class Counting:
    """A system that counts its lines and fails at one of them."""

    name = "counting"

    def __init__(self, fails_at: int | None = None, value: float = 1.0) -> None:
        self.asked: list[int] = []
        self.fails_at, self.value = fails_at, value

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        if any(line.index == self.fails_at for line in lines):
            raise KeyboardInterrupt
        self.asked += [line.index for line in lines]
        return [
            [JudgedTake(np.full((3 + k, 2), self.value * line.index, np.float32)) for k in range(takes)]
            for line in lines
        ]


def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    lines = [HeldOutLine(i, f"Line {i}.", None, 5, 1000 * i) for i in range(40)]
    first, second, third = Counting(fails_at=35), Counting(), Counting()
    with pytest.raises(KeyboardInterrupt):
        perform(Entry("a b", "checkpoint", "x", lambda: first), lines, 2, tmp_path)
    takes = perform(Entry("a b", "checkpoint", "x", lambda: second), lines, 2, tmp_path)
    assert first.asked == list(range(32)) and second.asked == list(range(32, 40))
    assert [len(take.frames) for take in takes[33]] == [3, 4] and takes[33][1].frames[0, 0] == 33
    perform(Entry("a b", "checkpoint", "another model", lambda: third), lines, 2, tmp_path)
    assert third.asked == list(range(40))
    damaged = next(tmp_path.glob("a-b-*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    fourth = Counting()
    for identity in ("x", "another model"):
        perform(Entry("a b", "checkpoint", identity, lambda: fourth), lines, 2, tmp_path)
    assert len(fourth.asked) in (8, 16)  # the damaged part only
    with pytest.raises(DataError, match="not finite"):
        perform(Entry("nan", "checkpoint", "", lambda: Counting(value=np.nan)), lines, 1, tmp_path)


def test_takes_on_disk_keep_their_layers_and_belong_to_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline = time_line(read_line("Maybe not."))
    performance = np.full((round(timeline.seconds * 24), ARKIT55.size), 0.1, np.float32)
    line, asked = [spoken(performance, timeline, 24.0), JudgedTake(performance)], []

    class Speaking:
        name = "speaking"

        def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
            asked.append(len(lines))
            return [line for _ in lines]

    def performed() -> list[JudgedTake]:
        entry = Entry("speaking", "checkpoint", "x", Speaking)
        return perform(entry, [HeldOutLine(0, "Maybe not.", None, 5, 0)], 2, tmp_path)[0]

    for first, second in (performed(), performed()):
        np.testing.assert_array_equal(first.frames, line[0].frames)
        np.testing.assert_array_equal(first.acted, performance)
        assert first.timeline is not None and first.timeline.text == "Maybe not."
        assert second.timeline is None and second.performance is None
    assert asked == [1]
    monkeypatch.setattr(rollouts, "_code", lambda: "other sources")
    performed()
    assert asked == [1, 1]


def test_a_static_pose_is_the_mean_of_its_emotion_and_as_long_as_the_line(corpus: Path) -> None:
    train = DataSource.parse(str(corpus)).open("train")
    shown = [Shown(full_vector(emotion_weights(emotion)), 1.0) for emotion in ("joy", "fear")]
    joy, fear = (HeldOutLine(0, "What a day that was.", direction, 24, 0) for direction in shown)
    ((a, b), (c, _)) = StaticPose(train).perform([joy, fear], 2)
    smile, seconds = ARKIT55.column("mouthSmileLeft"), time_line(read_line(joy.text)).seconds
    assert len(a.frames) == round(seconds * 24) != len(b.frames)
    assert a.frames[len(a.frames) // 2, smile] > 0.2 > c.frames[len(c.frames) // 2, smile]
    assert not a.frames[0].any() and np.linalg.norm(a.frames[-1]) < 0.05
    assert a.timeline is None


def test_identities_follow_the_content(checkpoint: Path, corpus: Path, emoava: Path, tmp_path: Path) -> None:
    before = checkpoint_identity(checkpoint)
    copied = tmp_path / "elsewhere"
    copied.mkdir()
    for file in checkpoint.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    (copied / "README.md").write_text("a model card")
    assert checkpoint_identity(copied) == before
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    assert checkpoint_identity(copied) != before
    source = DataSource.parse(str(corpus))
    assert data_identity(source.open("test")) == data_identity(source.open("test")) != data_identity(source.open("dev"))


# Refusals --------------------------------------------------------------------------------------------------------


def test_names_of_rows_tell_checkpoints_apart(tmp_path: Path) -> None:
    folders = [tmp_path / p for p in ("a/best", "b/best", "c", "x/d", "y/d")]
    assert row_names(folders) == ["a/best", "b/best", "c", "x/d", "y/d"]
    with pytest.raises(InputError, match="twice"):
        row_names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_bad_input_is_refused_with_a_sentence(corpus: Path, emoava: Path, checkpoint: Path, tmp_path: Path) -> None:
    only = replace(SMALL, baselines=False)
    with pytest.raises(InputError, match="nothing to judge"):
        evaluate([], str(corpus), tmp_path, only)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*config\.json is missing"):
        evaluate([tmp_path / "none"], str(corpus), tmp_path, only)
    with pytest.raises(InputError, match="performs in the space arkit55 and the data is in flame53"):
        evaluate([checkpoint], f"emoava:{emoava}", tmp_path, only)
    with pytest.raises(InputError, match="performs in the space flame53 and the data is in arkit55"):
        evaluate([write_paper(tmp_path / "paper")], str(corpus), tmp_path, only)
    for wrong, named in (({"lines": 1}, "--lines"), ({"takes": 0}, "--takes"), ({"temperature": 3.0}, "--temperature")):
        with pytest.raises(InputError, match=named):
            evaluate([checkpoint], str(corpus), tmp_path, replace(SMALL, **wrong))
    assert not (tmp_path / "report.json").exists()


def test_the_command_line_imports_nothing_heavy_before_it_runs(printed: Callable[..., str]) -> None:
    code = (
        "import sys, generator.__main__ as main; words = ['evaluate', '--data', 'x', '--out', 'y'];"
        "main._parser(main.COMMANDS[words[0]]).parse_args(words);"
        "print(sorted({'torch', 'matplotlib', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    assert printed(code).strip() == "[]"


def test_what_one_take_leaves_to_chance_is_judged_over_all() -> None:
    rng, still = np.random.default_rng(0), np.zeros((48, ARKIT55.size), np.float32)

    def lines(*sizes: float) -> list[list[JudgedTake]]:
        """12 lines with a take of each size."""
        return [[JudgedTake(still + size * rng.random(still.shape, np.float32)) for size in sizes] for _ in range(12)]

    reference, one = Reference.of(lines(0.2, 0.2, 0.4), ARKIT55), Reference.of(lines(0.2), ARKIT55)
    each = [motion.frechet([line[k] for line in reference.others], reference.clips) for k in (0, 1)]
    assert each[1] > 2 * each[0] and reference.frechet_floor == pytest.approx(np.mean(each))
    assert np.isnan(one.frechet_floor) and one.takes == list(one.clips)
    calm, second_shakes = judge(lines(0.2, 0.2), one), judge(lines(0.2, 0.6), one)
    for key in ("tremor_jaw", "speed_mouth", "frechet"):
        assert second_shakes[key] > 1.5 * calm[key]
    assert judge(lines(0.2, 0.2, 0.4), reference)["tremor_jaw"] == pytest.approx(1, rel=0.05)


# Motion, fitted again ------------------------------------------------------------------------------------------------


def test_what_moves_too_finely_is_written_smaller_and_what_moves_too_evenly_larger() -> None:
    assert [refit_motion.scale_of(ratio) for ratio in (0.95, 1.05, 0.0, float("nan"))] == [1.0] * 4
    assert 1.0 < refit_motion.scale_of(0.88) < refit_motion.scale_of(0.1) == 1.035
    assert 1.0 > refit_motion.scale_of(1.12) > refit_motion.scale_of(40.0) == 0.965


def test_motion_is_fitted_once_and_to_the_regions_alone(
    corpus: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fitted"
    asked = ["refit-motion", str(checkpoint), f"--data={corpus}", f"--out={out}", "--lines=3", "--takes=2"]
    assert main(asked) == 0
    assert "mouth: " in capsys.readouterr().out
    before, after = load_checkpoint(checkpoint), load_checkpoint(out)
    scales = after.training["motion"]
    assert scales.keys() == ARKIT55.groups.keys() and any(scale != 1.0 for scale in scales.values())
    old, new = before.decoder.state_dict(), after.decoder.state_dict()
    for region, columns in ARKIT55.groups.items():
        was, now = (state["frames.weight"].unflatten(0, (-1, 55))[:, list(columns)] for state in (old, new))
        torch.testing.assert_close(now, was * scales[region], atol=1e-4, rtol=2e-3)  # stored in half precision
    assert all(torch.equal(value, new[name]) for name, value in old.items() if not name.startswith("frames."))
    assert before.emotion is not None and after.emotion is not None
    assert main(["refit-motion", str(out), f"--data={corpus}"]) == 1
    assert "is fitted already; begin with what 'train' made" in capsys.readouterr().err
