# SPDX-License-Identifier: GPL-3.0-or-later
"""Our model against the arrays of a `Folder`: one `Result` per array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.evaluation.perplexity import corner_probability, cppl
from generator.lab.serial import decode_serial
from generator.paper.config import PaperConfig
from generator.paper.decoding import Stepper, at_standard_face, clip_lengths, decode
from generator.paper.model import LatentSource, PaperCTEG, PaperOutput
from generator.paper.released.checkpoint import read_released_checkpoint
from generator.paper.released.names import from_released_state, our_name, released_text_encoder
from generator.training.paper_objective import PaperLosses, learning_rate, losses, optimiser

from .folder import Folder, Replay, bert, encode

#: Outputs, taps, losses and frames; gradients, of a tensor's largest entry; optimiser steps; relative, perplexity.
OUTPUT, GRADIENT, STEP_LOSS, STEP_WEIGHT, PERPLEXITY = 1e-5, 2e-5, 2e-4, 2e-3, 1e-6

#: What of a stored text encoder's configuration says how it computes.
BERT_SETTINGS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                 "max_position_embeddings", "hidden_act", "layer_norm_eps")  # fmt: skip


@dataclass(frozen=True)
class Result:
    """How far one array is off."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Within tolerance (an error that is not a number is not)."""
        return self.error <= self.tolerance


def check_folder(folder: Folder) -> Iterator[Result]:
    """Everything the folder holds."""
    for name in ("batch", "batch_edge"):
        if folder.has(name):
            yield from check_loader(folder, name)
    for tag in folder.tags:
        for mode, source in (("train", "recognition"), ("eval", "prior"), ("infer", "prior")):
            if folder.has(f"{mode}_{tag}"):
                yield from check_forward(folder, tag, mode, source)
        checks: dict[str, Callable[[Folder, str], Iterator[Result]]] = {
            "ewa": check_ewa,
            "serial": check_serial,
            "serial_noewa": check_serial_noewa,
            "serial_fixednoise": check_fixed_noise,
            "steps": check_steps,
        }
        for name, check in checks.items():
            if folder.has(f"{name}_{tag}"):
                yield from check(folder, tag)
    if folder.has("eos"):
        yield from check_stop_rule(folder)
    if folder.has("cppl"):
        yield from check_perplexity(folder)
    for file in sorted(folder.path.glob("checkpoint/*.chkpt")):
        yield from check_checkpoint(folder, file)


def compare(name: str, ours: Tensor, recorded: Tensor, tolerance: float = OUTPUT, scale: float = 1.0) -> Result:
    """Largest absolute difference over ``scale``; infinite where the shapes differ."""
    if ours.shape != recorded.shape:
        return Result(f"{name}: shape {tuple(ours.shape)} for {tuple(recorded.shape)}", float("inf"), tolerance)
    error = (ours.detach().double() - recorded.double()).abs().max().item() if ours.numel() else 0.0
    return Result(name, error / scale, tolerance)


def check_loader(folder: Folder, name: str) -> Iterator[Result]:
    """Texts to ids, clips to the tensors of a batch."""
    recorded, config = folder.read(name), folder.config(folder.tags[0])
    batch = folder.collated(config, name)
    ids, mask = folder.texts(config, name)
    causal = torch.ones(batch.attended.shape[1], batch.attended.shape[1]).tril().bool()
    ours = {
        "src_input_ids": ids,
        "src_attention_mask": mask[:, None],
        "tgt_input_ids": torch.tensor(folder.markers)[batch.markers],
        "tgt_attention_mask": batch.attended[:, None] & causal,
        "tgt_exp_mask": batch.is_frame,
        "tgt_exp": batch.frames,
        "tgt_exp_gold": batch.target,
        "tgt_gold_mask": batch.target_mask,
    }
    for key, value in ours.items():
        yield compare(f"{name} {key}", value, recorded[key], 0.0)


def check_forward(folder: Folder, tag: str, mode: str, source: LatentSource) -> Iterator[Result]:
    """One teacher-forced pass: taps, outputs, losses, and in training the gradients."""
    name = f"{mode}_{tag}"
    recorded, model = folder.read(name), folder.model(tag)
    batch, (memory, mask) = folder.collated(model.config), folder.memory(tag, model.config)
    replay = Replay(recorded.starting("eps."))
    ours: dict[str, Tensor] = {"tap.enc_output": memory}
    with Taps(model, ours):
        output: PaperOutput = model(batch, memory, mask, source, replay)
    replay.finish()
    ours["tap.ewa_shift"] = _shift(model, batch.frames)
    ours["out.pred"] = output.prediction
    if output.guided is not None:
        ours["out.prior_pred"] = output.guided
    terms = losses(output, batch, model.config)
    ours |= _named(terms)
    for key in sorted(k for k in recorded.tensors if k.startswith(("tap.", "out.", "loss."))):
        yield compare(f"{name} {key}", ours[key], recorded[key])
    gradients = recorded.starting("grad.")
    if gradients:
        model.zero_grad()
        terms.total.backward()
        yield from _gradients(name, folder, model, gradients)


def _named(terms: PaperLosses) -> dict[str, Tensor]:
    return {
        "loss.kl": terms.kl,
        "loss.rec": terms.reconstruction,
        "loss.guided": terms.guided,
        "loss.total": terms.total,
        "loss.first_frame": terms.first_frame,
    }


def _shift(model: PaperCTEG, frames: Tensor) -> Tensor:
    """What EwA adds to the jaw at the first position, (B, J, 1)."""
    jaw = model.config.expression_channels
    return (model.shift_jaw(frames) - frames)[:, 0, jaw:, None]


def _gradients(name: str, folder: Folder, model: PaperCTEG, recorded: Mapping[str, Tensor]) -> Iterator[Result]:
    ours = {key: p.grad if p.grad is not None else torch.zeros_like(p) for key, p in model.named_parameters()}
    mapped = from_released_state(recorded, model.config, folder.markers)
    for released, gradient in recorded.items():
        key = our_name(released, model.config)
        assert key is not None, released
        scale = max(float(gradient.abs().max()), 1e-12)
        yield compare(f"{name} grad.{released}", ours[key], mapped[key], GRADIENT, scale)
        if key == "markers.weight":
            others = gradient.clone()
            others[folder.markers] = 0
            yield compare(f"{name} grad.{released} (other rows)", torch.zeros_like(others), others, 0.0)


class Taps:
    """Hooks that copy what each block of ``model`` returns into ``store``, under the recorded names."""

    _BLOCKS: Mapping[str, str] = {
        "self_attention": "slf_attn",
        "text_attention": "enc_attn",
        "lta": "slf_attn_second",
        "text_attention_second": "enc_attn_second",
        "ffn": "pos_ffn",
        "guidance": "pri_ffn",
    }

    def __init__(self, model: PaperCTEG, store: dict[str, Tensor]) -> None:
        self.model, self.store = model, store
        self.handles = [model.embedding_norm.register_forward_hook(self._keep("tap.dec_in"))]
        for index, layer in enumerate(model.decoder_layers):
            for block, recorded in self._BLOCKS.items():
                module = layer.get_submodule(block)
                self.handles.append(module.register_forward_hook(self._keep(f"tap.layer{index}.{recorded}")))

    def _keep(self, name: str) -> Callable[..., None]:
        def hook(_module: object, _inputs: object, output: Tensor) -> None:
            self.store[name] = output.detach().clone()

        return hook

    def __enter__(self) -> Taps:
        return self

    def __exit__(self, *_error: object) -> None:
        for handle in self.handles:
            handle.remove()
        for index, layer in enumerate(self.model.decoder_layers):
            # The networks see one position less than the recorded taps do: here all of them.
            state = self.store[f"tap.layer{index}.slf_attn_second"]
            for network, recorded in ((layer.recognition, "upper"), (layer.prior, "down")):
                gaussian = network(state)
                self.store[f"tap.layer{index}.{recorded}_mu"] = gaussian.mean
                self.store[f"tap.layer{index}.{recorded}_sigma"] = gaussian.log_variance


def check_ewa(folder: Folder, tag: str) -> Iterator[Result]:
    """EwA's three modes on one clip; ours put a start marker in front, whose frame is zero."""
    recorded = folder.read(f"ewa_{tag}")
    frames = recorded["frames"]
    marked = torch.cat([torch.zeros_like(frames[:1]), frames])[None]
    jaw = folder.config(tag).expression_channels
    clips = {"shift_whole": frames[None], "shift_prefix_mean": marked, "shift_each_frame": marked}
    modes = {"shift_whole": "sequence", "shift_prefix_mean": "prefix", "shift_each_frame": "frame"}
    for key, mode in modes.items():
        model = folder.model(tag, ewa=mode, ewa_divisor="seen")
        with torch.no_grad():
            shift = (model.shift_jaw(clips[key]) - clips[key])[0, :, jaw:]
        yield compare(f"ewa_{tag} {key}", shift[0] if key == "shift_whole" else shift[1:], recorded[key])
    model = folder.model(tag)
    assert model.ewa is not None
    with torch.no_grad():
        explicit = model.ewa.forward_explicit(frames[None])[0, :, jaw:] - frames[:, jaw:]
    yield compare(f"ewa_{tag} shift_each_frame (explicit)", explicit, recorded["shift_each_frame"])


def check_serial(folder: Folder, tag: str) -> Iterator[Result]:
    """The released frame-by-frame decoding with its noise."""
    yield from _serial(folder, f"serial_{tag}", folder.model(tag), folder.memory(tag, folder.config(tag)))


def check_serial_noewa(folder: Folder, tag: str) -> Iterator[Result]:
    """The same without EwA; with one layer our cached decoder must reproduce it."""
    name, model = f"serial_noewa_{tag}", folder.model(tag, ewa="off")
    memory, mask = folder.memory(tag, model.config)
    yield from _serial(folder, name, model, (memory, mask))
    if model.config.n_layers == 1:
        recorded = folder.read(name)
        count = recorded["out.frames"].shape[1]
        draws = list(recorded.starting("eps.").values())
        width = draws[0].shape[-1]
        noise = torch.zeros(len(memory), count, 1, 2, width)  # position 0 predicts nothing and reaches nothing
        for position in range(1, count):
            noise[:, position, 0, 0] = draws[2 * (position - 1)][:, position]
            noise[:, position, 0, 1] = draws[2 * (position - 1) + 1][:, position]
        cached = _cached(model, memory, mask, folder, noise)
        yield compare(f"{name} out.frames (cached decoder)", cached, recorded["out.frames"])


def _serial(folder: Folder, name: str, model: PaperCTEG, text: tuple[Tensor, Tensor]) -> Iterator[Result]:
    recorded = folder.read(name)
    replay = Replay(recorded.starting("eps."))
    frames = decode_serial(model, *text, folder.batch["mean"], recorded["out.frames"].shape[1], replay)
    replay.finish()
    yield compare(f"{name} out.frames", frames, recorded["out.frames"])


def check_fixed_noise(folder: Folder, tag: str) -> Iterator[Result]:
    """One draw per layer, kind and position: re-decoding and caching must both reproduce it."""
    name, model = f"serial_fixednoise_{tag}", folder.model(tag, ewa="off")
    recorded, (memory, mask) = folder.read(name), folder.memory(tag, model.config)
    count, pool = recorded["out.frames"].shape[1], recorded["eps.pool"]
    kinds = [(layer, kind) for layer in range(model.config.n_layers) for kind in range(2)]
    calls = 0

    def draw(like: Tensor) -> Tensor:
        nonlocal calls
        layer, kind = kinds[calls % len(kinds)]
        calls += 1
        return pool[layer, kind, :, : like.shape[1]]

    again = decode_serial(model, memory, mask, folder.batch["mean"], count, draw)
    yield compare(f"{name} out.frames", again, recorded["out.frames"])
    noise = pool.permute(2, 3, 0, 1, 4)[:, :count]  # (L, 2, B, M, D) -> (B, M, L, 2, D)
    cached = _cached(model, memory, mask, folder, noise)
    yield compare(f"{name} out.frames (cached decoder)", cached, recorded["out.frames"])


def _cached(model: PaperCTEG, memory: Tensor, mask: Tensor, folder: Folder, noise: Tensor) -> Tensor:
    length = int(mask.sum(1).max())  # padding dropped, as our own decoding does
    return decode(Stepper(model), memory[:, :length], mask[:, :length], folder.batch["mean"], noise).frames


def check_steps(folder: Folder, tag: str) -> Iterator[Result]:
    """A few optimiser steps on one batch."""
    name, model = f"steps_{tag}", folder.model(tag)
    recorded, config = folder.read(name), model.config
    batch, (memory, mask) = folder.collated(config), folder.memory(tag, config)
    adam, rows = optimiser(model), []
    for step in range(len(recorded["log"])):
        rate = learning_rate(step + 1, config.d_model, warmup=10)
        for group in adam.param_groups:
            group["lr"] = rate
        replay = Replay(recorded.starting(f"step{step}.eps."))
        terms = losses(model(batch, memory, mask, "recognition", replay), batch, config)
        replay.finish()
        adam.zero_grad()
        terms.total.backward()
        adam.step()
        rows.append([terms.kl.item(), terms.reconstruction.item(), terms.guided.item(), rate])
    log = torch.tensor(rows, dtype=torch.float64)
    yield compare(f"{name} log (losses)", log[:, :3], recorded["log"][:, :3], STEP_LOSS)
    yield compare(f"{name} log (learning rate)", log[:, 3], recorded["log"][:, 3], 1e-9)
    state = model.state_dict()
    for released, value in recorded.starting("after.").items():
        key = our_name(released, config)
        assert key is not None, released
        yield compare(f"{name} after.{released}", state[key], value, STEP_WEIGHT)


def check_stop_rule(folder: Folder) -> Iterator[Result]:
    """Where clips end."""
    recorded = folder.read("eos")
    frames = recorded["frames"]
    for key, value in recorded.starting("length_threshold_").items():
        yield compare(f"eos length_threshold_{key}", clip_lengths(frames, float(key)), value, 0.0)
    for key, value in recorded.starting("still_open_after_").items():
        rows = torch.nonzero(~at_standard_face(frames[:, int(key) - 1], 1.0))[:, 0]
        yield compare(f"eos still_open_after_{key}", rows, value, 0.0)


def check_perplexity(folder: Folder) -> Iterator[Result]:
    """Continuous perplexity in closed form."""
    recorded = folder.read("cppl")
    array = {k: v.numpy() for k, v in recorded.tensors.items()}
    scored = array["mask"].astype(bool)
    probability = torch.from_numpy(corner_probability(array["predict"], array["golden"]))
    known = recorded["prob"] > 0 if "prob" in array else recorded["mask"] > 0
    yield compare("cppl prob", probability[known], recorded["prob"][known], PERPLEXITY)
    value = torch.tensor(cppl(array["predict"], array["golden"], scored), dtype=torch.float64)
    yield compare("cppl cppl", value, recorded["cppl"], PERPLEXITY, float(recorded["cppl"]))
    one = np.ones((1, 1), bool)
    for case in ("low", "high"):
        expected = recorded[f"onesided.{case}.cppl"]
        ours = cppl(array[f"onesided.{case}.predict"], array["onesided.golden"], one)
        value = torch.tensor(ours, dtype=torch.float64)
        yield compare(f"cppl onesided.{case}.cppl", value, expected, PERPLEXITY, float(expected))


def check_checkpoint(folder: Folder, file: Path) -> Iterator[Result]:
    """A checkpoint in the released file layout: read, encode, predict (mode p), decode (mode s)."""
    name, recorded = f"checkpoint/{file.name}", folder.read("checkpoint/expected")
    checkpoint = read_released_checkpoint(file)
    model = PaperCTEG(PaperConfig.from_settings(checkpoint.settings))
    model.load_state_dict(from_released_state(checkpoint.state, model.config, folder.markers))
    settings = {key: checkpoint.encoder[key] for key in BERT_SETTINGS}
    vocabulary = int(checkpoint.encoder["vocab_size"])  # type: ignore[arg-type]
    encoder = bert(settings, vocabulary, released_text_encoder(checkpoint.state))
    ids, mask = folder.texts(model.config)
    memory = encode(encoder, ids, mask)
    yield compare(f"{name} enc_output", memory, recorded["enc_output"])
    replay = Replay(recorded.starting("eps."))
    with torch.no_grad():
        output = model.eval()(folder.collated(model.config), memory, mask, "prior", replay)
    replay.finish()
    yield compare(f"{name} out.pred", output.prediction, recorded["out.pred"])
    replay = Replay(recorded.starting("serial.eps."))
    count = recorded["serial.out.frames"].shape[1]
    frames = decode_serial(model, memory, mask, folder.batch["mean"], count, replay)
    replay.finish()
    yield compare(f"{name} serial.out.frames", frames, recorded["serial.out.frames"])
