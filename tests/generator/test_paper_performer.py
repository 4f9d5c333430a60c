# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's checkpoints in use: saved, moved, performed by `say` and by the worker."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from generator.__main__ import main
from generator.direction.requests import Branch, LineRequest, Vary
from generator.errors import CheckpointError, InputError
from generator.model.text import TextEncoder
from generator.paper.checkpoint import PaperCheckpoint, load_paper_checkpoint, save_paper_checkpoint
from generator.paper.config import PaperConfig
from generator.paper.decoding import Stepper, decode, draw_noise
from generator.paper.model import PaperCTEG
from generator.performing.cteg import CtegPerformer
from generator.performing.draws import STREAM_LATENT, TakeSeed
from generator.performing.load import load_performer
from generator.performing.paper import PaperPerformer
from generator.performing.terminator import end_at_standard_face
from generator.shared.spaces import FLAME53
from tests.generator.tiny import write_bert, write_paper

LINE = "You kept it?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose takes never come to the standard face."""
    return write_paper(tmp_path_factory.mktemp("paper") / "theirs", stop_threshold=0.0)


@pytest.fixture(scope="module")
def performer(folder: Path) -> PaperPerformer:
    loaded = load_performer(folder, "cpu")
    assert isinstance(loaded, PaperPerformer)
    return loaded


def ask(text: str = LINE, **fields: Any) -> LineRequest:
    return LineRequest(text, **fields).validated()


def ended(frames: np.ndarray) -> np.ndarray:
    return end_at_standard_face(frames, FLAME53, stop_early=False)


def decoded(performer: PaperPerformer, seed: int, count: int, temperature: float = 1.0) -> np.ndarray:
    """The take's frames straight from the decoder."""
    stepper = Stepper(performer.checkpoint.model)
    features = performer.checkpoint.encoder.encode([LINE])
    noise = draw_noise(stepper.config, [TakeSeed(seed, LINE).rng(STREAM_LATENT)], count) * temperature
    return decode(stepper, features.hidden, features.mask, performer.checkpoint.mean, noise).frames[0].numpy()


# The checkpoint --------------------------------------------------------------------------------------------------


def test_a_saved_checkpoint_is_whole_and_may_be_moved(folder: Path, tmp_path: Path) -> None:
    before = load_paper_checkpoint(folder)
    moved = tmp_path / "elsewhere"
    save_paper_checkpoint(before, tmp_path / "copy")
    shutil.move(tmp_path / "copy", moved)
    after = load_paper_checkpoint(moved)
    assert (after.name, after.training, after.model.config) == ("elsewhere", {"epoch": 2}, before.model.config)
    assert after.encoder.folder == moved / "encoder" and str(folder.parent) not in (moved / "config.json").read_text()
    assert torch.equal(after.mean, before.mean) and not after.model.training
    for name, value in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], value), name
    assert torch.equal(after.encoder.encode([LINE]).hidden, before.encoder.encode([LINE]).hidden)


def test_saving_again_replaces_the_weights_and_a_changed_encoder(folder: Path, tmp_path: Path) -> None:
    first = load_paper_checkpoint(folder)
    save_paper_checkpoint(first, tmp_path / "run")
    weights = tmp_path / "run" / "encoder" / "model.safetensors"
    untouched = weights.stat().st_ino
    with torch.no_grad():
        first.model.frames.weight.add_(1)
    save_paper_checkpoint(first, tmp_path / "run")
    assert torch.equal(load_paper_checkpoint(tmp_path / "run").model.frames.weight, first.model.frames.weight)
    assert weights.stat().st_ino == untouched  # 400 MB for a large encoder, at every save of a run
    weights.write_bytes(b"another")
    save_paper_checkpoint(first, tmp_path / "run")
    assert load_file(weights).keys() == load_file(folder / "encoder" / "model.safetensors").keys()
    with torch.no_grad():
        first.model.frames.weight.sub_(1)


def test_an_encoder_known_by_its_name_is_not_copied(tmp_path: Path) -> None:
    encoder = TextEncoder.load()
    model = PaperCTEG(PaperConfig(d_model=encoder.width, n_head=2, d_key=4, d_value=4, d_inner=8))
    save_paper_checkpoint(PaperCheckpoint(model, torch.zeros(53), encoder), tmp_path / "small")
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["config.json", "model.safetensors"]
    assert load_paper_checkpoint(tmp_path / "small").encoder.name == encoder.name == "all-MiniLM-L6-v2"


def test_an_encoder_of_another_width_is_refused(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    shutil.rmtree(other / "encoder")
    write_bert(other / "encoder", 32)
    with pytest.raises(CheckpointError, match=r"needs a text encoder of width 16 and .* has 32"):
        load_paper_checkpoint(other)


def test_the_worker_never_looks_for_an_encoder_online_and_says_where_to_put_it(
    folder: Path, root: Path, tmp_path: Path
) -> None:
    named = Path(shutil.copytree(folder, tmp_path / "named"))
    config = json.loads((named / "config.json").read_text())
    (named / "config.json").write_text(json.dumps({**config, "text_encoder": "nobody/no-such-encoder"}))
    assert load_paper_checkpoint(named).encoder.folder == named / "encoder"  # what is there need not be looked for
    (named / "encoder").rename(tmp_path / "encoder")
    with socket.create_server(("127.0.0.1", 0)) as hub:
        hub.setblocking(False)
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"}
        environment.pop("HF_HUB_OFFLINE", None)
        request = json.dumps({"id": 1, "op": "generate", "lines": [{"text": LINE}], "checkpoint": str(named)})
        with subprocess.Popen(
            [sys.executable, "-m", "generator", "serve"], cwd=root, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as worker:  # fmt: skip
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.write(request + "\n")
            worker.stdin.flush()
            answer = {"event": "progress"}
            while answer["event"] == "progress":
                answer = json.loads(worker.stdout.readline())
        with pytest.raises(BlockingIOError):
            hub.accept()
    assert (answer["event"], answer["kind"]) == ("error", "environment")
    assert str(named / "encoder") in answer["message"]


# Performing ------------------------------------------------------------------------------------------------------


def test_a_take_is_the_decoders_frames_eased_out(performer: PaperPerformer) -> None:
    (clips,) = performer.perform([ask(takes=2, seed=5, seconds=2.0)])
    assert clips.space is FLAME53 and clips.emotion == "auto" and clips.seeds.tolist() == [5, 6]
    assert clips.settings["checkpoint"] == "theirs" and clips.warnings == ()
    for index, seed in enumerate((5, 6)):
        np.testing.assert_allclose(clips.take(index), ended(decoded(performer, seed, 48)), atol=1e-5)
    np.testing.assert_allclose(clips.take(0)[0], performer.checkpoint.mean.numpy())  # the mean face is given
    assert not clips.take(0)[-1].any() and np.abs(clips.take(0)[20:30]).mean() > 0.1
    assert np.abs(clips.take(0) - clips.take(1)).max() > 0.5


def test_a_seed_reproduces_its_take_in_any_company_and_a_longer_take_begins_the_same(
    performer: PaperPerformer,
) -> None:
    requests = [ask(takes=2, seed=5), ask("Another, longer line.", takes=1), ask(seed=5, seconds=1.0)]
    own, _, short = performer.perform(requests)
    (alone,) = performer.perform([ask(seed=6)])
    np.testing.assert_allclose(own.take(1), alone.take(0), atol=1e-5)
    assert short.lengths.tolist() == [24] and own.lengths.tolist() == [59, 59]
    np.testing.assert_allclose(short.take(0)[:17], own.take(0)[:17], atol=1e-5)  # the last 7 frames ease out


def test_temperature_scales_the_draws(performer: PaperPerformer) -> None:
    cold, half = performer.perform([ask(takes=2, temperature=0.0, seconds=1.0), ask(temperature=0.5, seconds=1.0)])
    # Rows of a batch are the same within rounding: some processors add them up in another order.
    np.testing.assert_allclose(cold.take(0), cold.take(1), atol=1e-5)
    np.testing.assert_allclose(half.take(0), ended(decoded(performer, 0, 24, 0.5)), atol=1e-5)


def test_the_stop_rule_ends_a_take_unless_its_length_was_asked_for(folder: Path, tmp_path: Path) -> None:
    whole = load_performer(folder, "cpu")
    assert isinstance(whole, PaperPerformer)
    norms = [np.linalg.norm(decoded(whole, seed, 59), axis=1) for seed in range(3)]
    threshold = float(np.mean([np.sort(row[15:50])[1] for row in norms]))
    expected = [next((j for j in range(1, 59) if row[j] < threshold), 59) for row in norms]
    assert len(set(expected)) > 1 and min(expected) < 59
    stopping = Path(shutil.copytree(folder, tmp_path / "stopping"))
    config = json.loads((stopping / "config.json").read_text())
    config["model"]["stop_threshold"] = threshold
    (stopping / "config.json").write_text(json.dumps(config))
    free, fixed = load_performer(stopping, "cpu").perform([ask(takes=3), ask(takes=3, seconds=2.25)])
    assert free.lengths.tolist() == expected and fixed.lengths.tolist() == [54] * 3
    for seed, length in enumerate(expected):
        np.testing.assert_allclose(free.take(seed), ended(decoded(whole, seed, 59)[:length]), atol=1e-5)
        np.testing.assert_allclose(fixed.take(seed), ended(decoded(whole, seed, 54)), atol=1e-5)


def test_what_the_model_cannot_be_told_is_a_warning(performer: PaperPerformer) -> None:
    long = "abcdefgh " * 6
    plain, told, cut = performer.perform(
        [ask(seconds=0.5), ask(emotion="joy", intensity=0.5, seconds=0.5), ask(long, seconds=0.5)]
    )
    assert plain.warnings == () and told.emotion == "auto" and told.settings["emotion_requested"] == "joy"
    assert ["'joy' was ignored" in told.warnings[0], "0.5 was ignored" in told.warnings[1]] == [True, True]
    assert "more than 40 tokens" in cut.warnings[0]
    np.testing.assert_allclose(plain.take(0), told.take(0), atol=1e-5)
    (endless,) = performer.perform([ask(takes=2)])
    assert "2 takes did not end within 2.5 s" in endless.warnings[0]


def test_directions_and_pace_are_warned_of_and_not_spoken(performer: PaperPerformer) -> None:
    plain, told = performer.perform(
        [ask(), ask(f"(angrily) {LINE} [joy -> sadness]", emotion_to="joy", rate=0.5)]
    )  # fmt: skip
    assert [s["text"] for s in told.segments[0]] == [LINE] and told.segments[0][0]["emotion"] == "auto"
    np.testing.assert_allclose(told.take(0), plain.take(0), atol=1e-5)
    for part in ("'joy' was ignored", "0.5 was ignored", "neither obeyed nor spoken"):
        assert any(part in warning for warning in told.warnings)


def test_takes_branch_off_vary_and_spread(performer: PaperPerformer) -> None:
    whole, branched, near, new, spread = performer.perform(
        [
            ask(seed=5), ask(seed=8, branch=Branch(5, 20)), ask(seed=8, vary=Vary(5, 0.1)), ask(seed=8),
            ask(seed=5, takes=3, spread=True),
        ]
    )  # fmt: skip
    assert branched.lengths.tolist() == near.lengths.tolist() == whole.lengths.tolist()
    np.testing.assert_allclose(branched.take(0)[:20], whole.take(0)[:20], atol=1e-5)
    assert np.abs(branched.take(0)[20:] - whole.take(0)[20:]).max() > 0.1
    assert np.abs(near.take(0) - whole.take(0)).mean() < 0.5 * np.abs(new.take(0) - whole.take(0)).mean()
    assert spread.seeds[0] == 5 and spread.seeds.tolist() != [5, 6, 7] and max(spread.seeds) < 5 + 12


def test_a_take_that_ends_at_once_is_a_warning(tmp_path: Path) -> None:
    (clips,) = load_performer(write_paper(tmp_path / "calm", stop_threshold=1e9), "cpu").perform([ask()])
    assert clips.lengths.tolist() == [1] and "ended within 0.5 s" in clips.warnings[0]


def test_what_cannot_be_performed_is_refused(performer: PaperPerformer, tmp_path: Path) -> None:
    assert performer.perform([ask(seconds=59 / 24)])[0].lengths.tolist() == [59]
    with pytest.raises(InputError, match=r"theirs performs at most 2\.5 seconds, and 2\.6 were asked"):
        performer.perform([ask(), ask(seconds=2.6)])
    with pytest.raises(InputError, match="English"):
        performer.perform([ask("éèàù çîï")])
    with pytest.raises(CheckpointError, match="5 expression and 3 jaw channels"):
        load_performer(write_paper(tmp_path / "narrow", expression_channels=5), "cpu")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "config.json").write_text('{"format": "cteg-later"}')
    with pytest.raises(CheckpointError, match="'cteg-later'"):
        load_performer(tmp_path / "later", "cpu")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_performer(tmp_path / "nowhere", "cpu")
    assert isinstance(load_performer(device="cpu"), CtegPerformer)


def test_progress_grows_and_a_cancelled_performance_stops_between_frames(performer: PaperPerformer) -> None:
    told: list[float] = []
    performer.perform([ask(takes=2), ask(seconds=1.0)], lambda fraction, _: told.append(fraction))
    assert told == sorted(told) and len(told) > 50 and told[-1] == 1.0
    steps = 0

    def cancel(_: float, stage: str) -> None:
        nonlocal steps
        steps += stage == "performing"
        if steps == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        performer.perform([ask()], cancel)
    assert steps == 3


def test_say_performs_it_and_refuses_a_live_link_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say = ["say", LINE, "--checkpoint", str(folder), "--takes", "2", "--seconds", "1", "--device", "cpu"]
    assert main([*say, "--emotion", "joy", "--out", str(tmp_path / "clip.npz")]) == 0
    assert "'joy' was ignored" in capsys.readouterr().err
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as clip:
        assert clip["values"].shape == (2, 24, 53) and str(clip["space"]) == "flame53" and clip["fps"] == 24
        assert clip["channels"].tolist() == list(FLAME53.channels)
    assert main([*say, "--out", str(tmp_path / "clip.csv")]) == 1
    assert "write .npz or .json" in capsys.readouterr().err


def test_the_worker_performs_it_and_cancels_it(folder: Path, root: Path) -> None:
    line = {"text": LINE, "takes": 2, "seed": 3, "seconds": 1.0}
    slow = {"text": LINE, "takes": 64}
    worker = subprocess.Popen(
        [sys.executable, "-m", "generator", "serve"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
    )  # fmt: skip
    assert worker.stdin is not None and worker.stdout is not None

    def send(message: dict[str, Any]) -> None:
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(message) + "\n")
        worker.stdin.flush()

    def answers(until: str) -> list[dict[str, Any]]:
        assert worker.stdout is not None
        received: list[dict[str, Any]] = []
        while not received or until not in (received[-1]["event"], received[-1].get("stage")):
            received.append(json.loads(worker.stdout.readline()))
            assert received[-1]["event"] != "error", received[-1]
        return received

    try:
        send({"id": 1, "op": "generate", "lines": [line], "checkpoint": str(folder), "device": "cpu"})
        clips = [answer for answer in answers("done") if answer["event"] == "clip"]
        assert [(c["space"], c["emotion"], c["seed"]) for c in clips] == [
            ("flame53", "auto", 3),
            ("flame53", "auto", 4),
        ]
        array = clips[1]["values"]
        values = np.frombuffer(base64.b64decode(array["base64"]), "<f4").reshape(array["shape"])
        performer = load_performer(folder, "cpu")
        np.testing.assert_allclose(values, performer.perform([ask(seed=4, seconds=1.0)])[0].take(0), atol=1e-5)
        send({"id": 2, "op": "generate", "lines": [slow] * 40, "checkpoint": str(folder), "device": "cpu"})
        answers("performing")
        send({"id": 3, "op": "cancel", "target": 2})
        assert not [answer for answer in answers("cancelled") if answer["event"] == "clip"]
    finally:
        worker.kill()
        worker.communicate()
