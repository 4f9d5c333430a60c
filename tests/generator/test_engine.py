# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that needs NumPy alone performs what torch performs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from generator.direction.emotions import EMOTIONS
from generator.engine import ArrayCondition, Engine, Floats
from generator.engine.arrays import read_arrays
from generator.engine.builtin import NumpyEngine
from generator.engine.conditioning import Asked, condition_of
from generator.engine.config import ModelConfig
from generator.engine.decoder import Decoder, within
from generator.engine.moments import Moments
from generator.errors import CheckpointError, EnvironmentProblem
from generator.model.checkpoint import Checkpoint, save_checkpoint
from generator.model.cteg import CTEG
from generator.model.heads import EmotionHead, EmotionReader
from generator.model.text import TextEncoder
from generator.model.torch_engine import TorchEngine
from generator.shared.spaces import ARKIT55
from tests.generator.tiny import WORDS, write_bert

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 16
LINES = ["you kept it? after all these years, you kept it!", "no.", "", "Ünd nów what?", "we have ALL of it [SEP] ~"]
HEAD = EmotionHead(width=12)
TUNED = EmotionHead(width=12, layers=(1, 2))
SMALL = ModelConfig(
    d_model=16, n_head=2, d_inner=24, d_latent=8, text_width=WIDTH, d_ewa=8, prior_parts=2, prior_components=4
)
PAPER = replace(
    SMALL, frames_per_step=1, prior_parts=1, prior_components=1, recognition="next_state", direction_conditioning=False,
    timeline_conditioning=False, length_conditioning=False, text_progress=False, noise_conditioning=False,
    state_ffn=False,
)  # fmt: skip
VARIANTS = {
    "small": SMALL,
    "paper": PAPER,
    "three layers": replace(SMALL, n_layers=3),
    "neither ewa nor lta": replace(SMALL, ewa="off", lta=False),
    "no inertia": replace(SMALL, inertia=False),
    "told little": replace(SMALL, direction_conditioning=False, length_conditioning=False, noise_conditioning=False),
    "told when, not where": replace(SMALL, timeline_conditioning=False, text_progress=False, frames_per_step=5),
}


def made_decoder(config: ModelConfig) -> CTEG:
    """Random weights about as loud as trained ones, and channels of different scale."""
    torch.manual_seed(7)
    model = CTEG(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.2 * parameter.shape[1] ** -0.5)
            else:
                parameter += 0.1 * torch.randn_like(parameter)
        model.scale.uniform_(0.05, 0.3)
        model.pace.uniform_(0.05, 0.4)
        model.reach[1].uniform_(0.1, 0.9)  # some of the faces that takes begin from are beyond it
    return model


def asked_condition(config: ModelConfig, engine: Engine, rows: int = 5, frames: int = 60) -> ArrayCondition:
    """Lines of several lengths, from several faces, one on the way from one emotion to another."""
    rng = np.random.default_rng(3)
    features = engine.encode([LINES[row % len(LINES)] for row in range(rows)])
    moments = Moments.none()
    asked = [
        Asked(
            frames - 7 * (row % 3),
            rng.dirichlet(np.ones(len(EMOTIONS))).astype(np.float32),
            np.eye(len(EMOTIONS), dtype=np.float32)[3] if row == 1 else None,
            1.0,
            start=rng.uniform(0, 0.6, ARKIT55.size).astype(np.float32) if row % 2 else None,
            moments=moments,
        )
        for row in range(rows)
    ]
    return condition_of(config, (features.hidden, features.mask, features.position), asked)


def draws(config: ModelConfig, rows: int, steps: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    shape = (rows, steps, config.n_layers)
    return (
        rng.standard_normal((*shape, config.d_latent)).astype(np.float32),
        rng.gumbel(size=(*shape, config.choices)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def uncased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that knows small letters."""
    folder = write_bert(
        tmp_path_factory.mktemp("text") / "encoder", WIDTH, num_hidden_layers=3, intermediate_size=4 * WIDTH
    )
    weights = load_file(folder / "model.safetensors")
    loud = {k: torch.ones_like(v) if k.endswith("LayerNorm.weight") else 2 * v for k, v in weights.items()}
    save_file(loud, folder / "model.safetensors")  # so that lines differ
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(word.lower() for word in WORDS[4:])]
    words += [f"[unused{i}]" for i in range(len(WORDS) - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder


def write(folder: Path, config: ModelConfig, encoder: str, head: EmotionHead | None = HEAD) -> Path:
    emotion = None if head is None else EmotionReader(config.text_width, len(EMOTIONS), head)
    if emotion is not None:
        emotion.start_from(TextEncoder.load(encoder))
        with torch.no_grad():
            for value in emotion.tuned.values():
                value *= 1.3
        emotion.head.calibration.fill_(1.3)
    save_checkpoint(Checkpoint(made_decoder(config), emotion, encoder), folder)
    return folder


def engines(folder: Path) -> tuple[NumpyEngine, TorchEngine]:
    return NumpyEngine.load(folder), TorchEngine.load(folder)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_frames_equal_those_of_torch(config: ModelConfig, uncased: Path, tmp_path: Path) -> None:
    ours, yardstick = engines(write(tmp_path / "made", config, str(uncased)))
    assert ours.config == yardstick.config == config and ours.perform == yardstick.perform
    condition = asked_condition(config, yardstick)
    noise, gumbel = draws(config, 5, condition.steps.shape[1])
    expected = yardstick.decode(condition, noise, gumbel)
    frames = ours.decode(condition, noise, gumbel)
    assert frames.dtype == np.float32 and frames.shape == expected.shape
    assert expected.std(1).mean() > 0.01, "what does not move shows nothing"
    np.testing.assert_allclose(frames, expected, atol=1e-4, rtol=0)
    ends = -(-condition.frames // config.frames_per_step) * config.frames_per_step
    assert len(set(ends)) == 3
    assert all(row[end - 1].any() and not row[end:].any() for row, end in zip(frames, ends, strict=True))
    assert (frames >= ARKIT55.lower).all() and (frames <= ARKIT55.upper).all()
    reach = made_decoder(config).reach.numpy()
    assert (frames >= reach[0] - 1e-3).all()  # stored in half precision
    assert (frames <= np.maximum(reach[1], condition.start)[:, None] + 1e-3).all()
    if config.inertia:  # otherwise faces are written anew, and none is beyond after its first step
        assert (frames > reach[1] + 1e-3).any() == (condition.start > reach[1]).any()


def test_frames_equal_at_the_size_that_is_bundled(tmp_path: Path) -> None:
    config = ModelConfig()
    ours, yardstick = engines(write(tmp_path / "made", config, "all-MiniLM-L6-v2", EmotionHead(layers=(3, 4, 5))))
    lines = ["You kept it? After all these years, you actually kept it!", "No.", "Nobody came to my party."]
    np.testing.assert_allclose(ours.emotions(lines), yardstick.emotions(lines), atol=1e-5, rtol=0)
    np.testing.assert_allclose(ours.pooled(lines), yardstick.pooled(lines), atol=1e-5, rtol=0)
    for mine, theirs in zip(vars(ours.encode(lines)).values(), vars(yardstick.encode(lines)).values(), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, atol=1e-5, rtol=0)
    condition = asked_condition(config, ours, 3, 240)
    noise, gumbel = draws(config, 3, 120)
    frames = ours.decode(condition, noise, gumbel)
    assert frames.std(1).mean() > 0.01
    np.testing.assert_allclose(frames, yardstick.decode(condition, noise, gumbel), atol=1e-4, rtol=0)


def test_every_weight_is_read(uncased: Path, tmp_path: Path) -> None:
    """Parity can fail: with any one tensor changed, frames are others."""
    folder = write(tmp_path / "made", SMALL, str(uncased))
    engine, weights = NumpyEngine.load(folder), within(read_arrays(folder / "model.safetensors"), "decoder.")
    condition = asked_condition(SMALL, engine)
    noise, gumbel = draws(SMALL, 5, 30)
    frames = Decoder(SMALL, weights)(condition, noise, gumbel)
    np.testing.assert_array_equal(frames, engine.decode(condition, noise, gumbel))
    rng = np.random.default_rng(0)
    for name, value in weights.items():
        bent = {**weights, name: value * 1.2 + rng.uniform(0.05, 0.2, value.shape).astype(value.dtype)}
        change = np.abs(Decoder(SMALL, bent)(condition, noise, gumbel) - frames).max()
        # Only for training; and a performance has no noise on its frames, so what tells of it has nothing to say.
        unread = name.startswith(("guidance.", "layers.0.recognition.")) or name == "noise_step.weight"
        assert (change == 0) if unread else (change > 1e-4), f"{name}: {change}"


def test_takes_decoded_together_equal_takes_decoded_alone(uncased: Path, tmp_path: Path) -> None:
    engine = NumpyEngine.load(write(tmp_path / "made", SMALL, str(uncased)))
    condition = asked_condition(SMALL, engine)
    noise, gumbel = draws(SMALL, 5, 30)
    together = engine.decode(condition, noise, gumbel)
    for row in range(5):
        one = type(condition)(**{name: array[row : row + 1] for name, array in vars(condition).items()})
        alone = engine.decode(one, noise[row : row + 1], gumbel[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5, rtol=0)


def test_steps_are_told_and_may_be_refused(uncased: Path, tmp_path: Path) -> None:
    for engine in engines(write(tmp_path / "made", SMALL, str(uncased))):
        condition, seen = asked_condition(SMALL, engine), []
        noise, gumbel = draws(SMALL, 5, 30)

        def on_step(done: int, steps: int, seen: list[tuple[int, int]] = seen) -> None:
            seen.append((done, steps))
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            engine.decode(condition, noise, gumbel, on_step)
        assert seen == [(1, 30), (2, 30), (3, 30), (4, 30)]
        for bad in ((noise[:, :, :, 1:], gumbel), (noise, gumbel[1:]), (noise[1:], gumbel[1:])):
            with pytest.raises(ValueError, match=r"shape|rows"):
                engine.decode(condition, *bad)


@pytest.mark.parametrize("head", [HEAD, EmotionHead("mean", 12, 0), TUNED, EmotionHead("mean", 12, 0, layers=(2,))])
def test_lines_are_read_alike(head: EmotionHead, uncased: Path, tmp_path: Path) -> None:
    ours, yardstick = engines(write(tmp_path / "made", SMALL, str(uncased), head))
    read, expected = ours.emotions(LINES), yardstick.emotions(LINES)
    np.testing.assert_allclose(read, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(read.sum(1), 1, atol=1e-5)
    assert np.abs(read - read[:1]).max() > 1e-3
    np.testing.assert_allclose(ours.pooled(LINES), yardstick.pooled(LINES), atol=1e-5, rtol=0)
    np.testing.assert_allclose(ours.encode(LINES).pooled(), ours.pooled(LINES), atol=1e-5, rtol=0)
    for line in (*LINES, "so long " * 40, "北京"):
        assert ours.unknown_share(line) == yardstick.unknown_share(line)
        assert ours.is_cut(line) == yardstick.is_cut(line)
    assert ours.is_cut("so long " * 40)
    taken = ours.encode(LINES).take(1, 3)
    np.testing.assert_array_equal(taken.hidden, ours.encode([*LINES, "no.", "no."]).hidden[[1, 5, 6]])


def test_layers_tuned_for_emotions_are_read_by_them_alone(uncased: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    frozen = NumpyEngine.load(write(tmp_path / "frozen", SMALL, str(uncased)))
    torch.manual_seed(1)
    folder = write(tmp_path / "tuned", SMALL, str(uncased), TUNED)
    ours = NumpyEngine.load(folder)
    assert np.abs(ours.emotions(LINES) - frozen.emotions(LINES)).max() > 1e-3
    np.testing.assert_array_equal(ours.encode(LINES).hidden, frozen.encode(LINES).hidden)


@pytest.mark.parametrize("damage", ["missing", "in part", "another layer", "too large", "not finite"])
def test_a_damaged_reader_is_refused_by_both(damage: str, uncased: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", SMALL, str(uncased), TUNED)
    path = folder / "emotion.safetensors"
    weights = load_file(path)
    name = "encoder.layer.2.output.dense.bias"
    if damage == "in part":
        del weights[name]
    elif damage == "another layer":
        settings = json.loads((folder / "config.json").read_text())
        settings["emotion_head"]["layers"] = [0, 1]
        (folder / "config.json").write_text(json.dumps(settings))
        weights = {key.replace("layer.1", "layer.0").replace("layer.2", "layer.1"): v for key, v in weights.items()}
    elif damage == "too large":
        weights["more"] = torch.zeros(10**6)
    else:
        weights[name][0] = torch.nan
    save_file(weights, path)
    if damage == "missing":
        path.unlink()
    for engine in (NumpyEngine, TorchEngine):
        with pytest.raises(CheckpointError, match=r"damaged|not finite"):
            engine.load(folder)


def test_without_a_head_emotions_are_refused(uncased: Path, tmp_path: Path) -> None:
    for engine in engines(write(tmp_path / "made", SMALL, str(uncased), None)):
        with pytest.raises(CheckpointError, match="name the emotion"):
            engine.emotions(["no."])


def test_nothing_but_numpy_is_needed(uncased: Path, tmp_path: Path, printed: Callable[..., str]) -> None:
    folder = write(tmp_path / "made", SMALL, str(uncased))
    script = """
import sys
for name in ("torch", "tokenizers", "safetensors", "scipy", "transformers", "huggingface_hub"):
    sys.modules[name] = None  # an import fails
import numpy as np
from pathlib import Path
from generator.engine.conditioning import Asked, condition_of
from generator.engine.builtin import NumpyEngine
engine = NumpyEngine.load(Path(sys.argv[1]))
text = engine.encode(["no."])
asked = Asked(20, engine.emotions(["no."])[0])
condition = condition_of(engine.config, (text.hidden, text.mask, text.position), [asked])
frames = engine.decode(condition, np.zeros((1, 10, 1, 8), np.float32), np.zeros((1, 10, 1, 8), np.float32))
print(frames.shape, *sorted({name.split(".")[0] for name, module in sys.modules.items() if module is not None
      and "site-packages" in (getattr(module, "__file__", None) or "")} - {"_distutils_hack"}))
"""
    assert printed(script, str(folder)).split("\n")[0] == "(1, 20, 55) numpy"


def test_what_does_not_fit_is_refused_with_a_sentence(uncased: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", SMALL, str(uncased))
    whole, settings = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())

    def refused(sentence: str, weights: dict[str, torch.Tensor] | None = None, **changes: object) -> None:
        save_file(whole if weights is None else weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({**settings, **changes}))
        for engine in (NumpyEngine, TorchEngine):
            with pytest.raises(CheckpointError, match=sentence):
                engine.load(folder)

    name = "decoder.layers.0.lta.query.weight"
    refused("damaged", {k: v for k, v in whole.items() if k != name})
    refused("damaged", {**whole, name: whole[name][:3]})
    refused("not finite|damaged", {**whole, name: whole[name] * torch.nan})
    refused("damaged", model={**settings["model"], "d_model": 32})
    refused("damaged", model={**settings["model"], "prior_parts": 3})  # of a latent of 8
    refused("damaged", layers="some")
    for version in (3, 6):  # not told what is said; knows no reach
        refused("earlier edition", schema_version=version)
    refused("update the extension", schema_version=99)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="damaged"):
        NumpyEngine.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        NumpyEngine.load(folder)


@pytest.mark.parametrize(("file", "content"), [("config.json", {"hidden_act": "relu"}), ("vocab.txt", None)])
def test_an_encoder_of_another_kind_names_the_engine_it_needs(
    file: str, content: dict[str, str] | None, tmp_path: Path
) -> None:
    encoder = write_bert(tmp_path / "encoder", WIDTH)
    if content:
        settings = json.loads((encoder / file).read_text())
        (encoder / file).write_text(json.dumps(settings | content))
    folder = write(tmp_path / "made", SMALL, str(encoder))
    with pytest.raises(EnvironmentProblem, match="torch"):
        NumpyEngine.load(folder)
