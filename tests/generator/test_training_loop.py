# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: parts and processes give the whole batch's curve, a killed run resumes to it, logs hold no step twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from generator.__main__ import main
from generator.training import paper
from generator.training.draws import StepDraws
from generator.training.loop import LOG
from generator.training.recipe import take_rows
from generator.training.runlog import cut_back
from generator.training.state import STATE, State

SMALL = [f"--set={setting}" for setting in ("n_head=2", "d_key=8", "d_value=8", "d_inner=32", "warmup=20")]
#: Forked, so that the children need not import torch again.
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def command(made_emoava: Path, tiny_encoder: Path) -> Callable[..., list[str]]:
    """``train`` on a made EmoAva set with a tiny model; 26 clips in batches of 7, the last one of 5."""

    def arguments(run: Path, *more: str) -> list[str]:
        return [
            "train", f"--data=emoava:{made_emoava}", f"--run={run}", f"--text-encoder={tiny_encoder}", "--device=cpu",
            "--batch-size=7", *SMALL, *more,
        ]  # fmt: skip

    return arguments


def in_process(arguments: list[str], rank: int = 0, count: int = 1, port: int = 0) -> None:
    """The command in a forked child, as torchrun would start it when ``count`` > 1."""
    from accelerate.state import PartialState

    PartialState._reset_state()
    if count > 1:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ |= {name: str(value) for name, value in places.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    os._exit(main(arguments))  # without pytest's own endings


def train(arguments: list[str], count: int = 1) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [FORK.Process(target=in_process, args=(arguments, rank, count, port)) for rank in range(count)]
    for child in children:
        child.start()
    for child in children:
        child.join(180)  # seconds on an idle machine; much longer beside a renderer
    assert [child.exitcode for child in children] == [0] * count


def read_log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / LOG).read_text("utf-8").splitlines()]


def assert_same_curve(run: Path, other: Path) -> None:
    ours, theirs = read_log(run), read_log(other)
    assert [(r["kind"], r["step"]) for r in ours] == [(r["kind"], r["step"]) for r in theirs]
    for record, expected in zip(ours, theirs, strict=True):
        for name in record.keys() - {"kind"}:
            assert record[name] == pytest.approx(expected[name], rel=2e-4, abs=1e-4), f"{name} at {record['step']}"


#: Dropout's masks are drawn inside torch's kernels and differ from part to part.
CURVE = ("--steps=20", "--evaluate-every=10", "--set=dropout=0", "--learning-rate=0.003", "--set=warmup=1")


@pytest.fixture(scope="module", autouse=True)
def plain_descent() -> Iterator[None]:
    """Adam would hide a gradient of the wrong size; the children inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "optimiser", lambda model: torch.optim.SGD(model.parameters(), 1.0, momentum=0.5))
        yield


@pytest.fixture(scope="module")
def whole(made_emoava: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose batches are computed at once, in one process."""
    run = tmp_path_factory.mktemp("whole")
    train(command.__wrapped__(made_emoava, tiny_encoder)(run, *CURVE))  # type: ignore[attr-defined]
    return run


def test_accumulation_gives_the_curve_of_whole_batches(
    whole: Path, command: Callable[..., list[str]], tmp_path: Path
) -> None:
    train(command(tmp_path / "parts", *CURVE, "--accumulate=3"))  # of batches of 7 and 5 clips of unequal length
    assert_same_curve(tmp_path / "parts", whole)


def test_two_processes_give_the_curve_of_one(whole: Path, command: Callable[..., list[str]], tmp_path: Path) -> None:
    train(command(tmp_path / "two", *CURVE, "--accumulate=2"), count=2)
    assert_same_curve(tmp_path / "two", whole)
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1  # only the first process writes


def test_a_run_that_is_killed_resumes_to_the_curve_of_one_that_was_not(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    options = ("--steps=60", "--evaluate-every=20", "--save-every=7", "--learning-rate=0.003")
    train(command(tmp_path / "whole", *options))
    child = FORK.Process(target=in_process, args=(command(tmp_path / "killed", *options),))
    child.start()
    log = tmp_path / "killed" / LOG
    deadline = time.monotonic() + 60
    # The record of step 20's judgement comes before its save: kill it about there.
    while time.monotonic() < deadline and not (log.is_file() and '"dev"' in log.read_text("utf-8")):
        time.sleep(0.002)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    train(command(tmp_path / "killed", *options))
    assert log.read_text("utf-8") == (tmp_path / "whole" / LOG).read_text("utf-8")
    for file in (STATE, "best/model.safetensors", "last/model.safetensors"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert tensorboard_scalars(tmp_path / "killed") == tensorboard_scalars(tmp_path / "whole")


def tensorboard_scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"train/total", "train/learning_rate", "dev/total"} <= set(tags)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_the_log_is_cut_back_to_the_saved_step(tmp_path: Path) -> None:
    kept = '{"kind": "train", "step": 20, "total": 3.0}\n{"kind": "dev", "step": 20, "total": 2.0}\n'
    later = '{"kind": "finish", "step": 20, "accuracy": 1.0}\n{"kind": "train", "step": 40, "total": 1.0}\n'
    (tmp_path / LOG).write_text(kept + later + '{"kind": "train", "st', "utf-8")
    cut_back(tmp_path / LOG, 20)
    assert (tmp_path / LOG).read_text("utf-8") == kept


def test_parts_draw_what_the_whole_batch_draws_for_their_clips() -> None:
    def draw(draws: StepDraws, rows: slice) -> list[torch.Tensor]:
        like = torch.empty(5, 3, 2)[rows]
        with draws.of(rows, 5):
            return [torch.randn_like(like), torch.rand_like(like[:, 0])]

    def batches(*parts: slice) -> list[torch.Tensor]:
        draws, out = StepDraws(7, torch.device("cpu")), []
        for _ in range(2):
            out += [torch.cat(values) for values in zip(*(draw(draws, rows) for rows in parts), strict=True)]
            draws.next_batch()
        return out

    whole = batches(slice(0, 5))
    assert not torch.equal(whole[0], whole[2])  # two batches of one evaluation
    for ours, expected in zip(batches(slice(0, 2), slice(2, 5)), whole, strict=True):
        assert torch.equal(ours, expected)


def test_dropout_differs_between_parts() -> None:
    draws, masks = StepDraws(7, torch.device("cpu")), []
    for rows in (slice(0, 2), slice(2, 4)):
        with draws.of(rows, 4):
            masks.append(nn.functional.dropout(torch.ones(2, 50), 0.5))
    assert not torch.equal(*masks)


def test_rows_are_taken_from_nested_batches_and_other_tensors_left() -> None:
    batch = {"a": torch.arange(4), "b": (torch.arange(8).view(4, 2), torch.arange(3)), "c": "text"}
    part = take_rows(batch, slice(1, 3), 4)
    assert part["a"].tolist() == [1, 2] and part["c"] == "text"
    assert part["b"][0].tolist() == [[2, 3], [4, 5]] and part["b"][1].tolist() == [0, 1, 2]


def test_the_state_of_fp16_gradient_scaling_survives(tmp_path: Path) -> None:
    def state() -> State:
        torch.manual_seed(0)
        module = nn.Linear(3, 2)
        return State(
            module, None, torch.optim.Adam(module.parameters()), torch.amp.GradScaler("cpu", init_scale=2.0**8)
        )

    saved, loaded = state(), state()
    for scale in (1.0, float("inf")):  # the second step is skipped and halves the scale
        saved.optimizer.zero_grad()
        saved.scaler.scale(saved.module(torch.ones(1, 3)).sum() * scale).backward()
        saved.scaler.step(saved.optimizer)
        saved.scaler.update()
        saved.step += 1
    saved.save(tmp_path / STATE)
    loaded.load(tmp_path / STATE)
    assert loaded.scaler.state_dict() == saved.scaler.state_dict() and loaded.scaler.get_scale() == 2.0**7
    assert loaded.step == 2 and torch.equal(loaded.module.weight, saved.module.weight)  # type: ignore[arg-type]
    for index, moments in saved.optimizer.state_dict()["state"].items():
        for name, value in loaded.optimizer.state_dict()["state"][index].items():
            assert torch.equal(value, moments[name])
