# SPDX-License-Identifier: GPL-3.0-or-later
"""Both models from inside: latents under teacher forcing and while performing freely, latents exchanged, attention.

Nothing is computed again here: a model's own forward pass runs, and what it hands from part to part is watched or
exchanged.

Shapes: B clips, N decoder steps, L layers, Z latent width, H heads, S tokens, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..engine.conditioning import Condition
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.distributions import Chain, Gaussian, gumbel_like
from ..model.layers import Attention
from ..model.text import TextEncoder
from ..model.torch_engine import TorchEngine
from ..paper.checkpoint import PaperCheckpoint, load_paper_checkpoint
from ..paper.decoding import Stepper, decode, draw_noise
from ..performing.draws import Draws, TakeSeed
from ..training.batches import Batch, Batches
from ..training.paper import PaperBatches, PaperLines
from .study import Chosen

Floats = npt.NDArray[np.float32]
#: What z is while a clip is decoded: as the frames to explain ask, drawn from the prior, the prior's mean, that of
#: another clip of the batch.
Source = Literal["posterior", "prior", "prior mean", "another clip's"]
SOURCES: Final[tuple[Source, ...]] = ("posterior", "prior", "prior mean", "another clip's")
#: Clips looked at together.
BATCH: Final = 16


@dataclass(frozen=True, eq=False)
class Latents:
    """The latents of a clip under teacher forcing, at the N steps that hold frames.

    Attributes:
        mean, deviation: of the posterior, (L, N, Z).
        prior_mean, prior_deviation: of the prior, of all of a mixture together, (L, N, Z).
        kl: KL(posterior || prior) in nats, of a mixture by one sample, (L, N).
        seconds: of each step, (N,).
    """

    mean: Floats
    deviation: Floats
    prior_mean: Floats
    prior_deviation: Floats
    kl: Floats
    seconds: Floats


@dataclass(frozen=True, eq=False)
class Pass:
    """A teacher-forced pass over a batch.

    Attributes:
        posterior, prior: of each layer, (B, N, Z).
        error: how far the predicted frames are from those of the clip, rms, (B, N).
        mask: True at steps that hold frames and have a latent, (B, N).
        seconds: at which steps begin, (N,).
    """

    posterior: Sequence[Gaussian]
    prior: Sequence[Gaussian | Chain]
    error: Floats
    mask: npt.NDArray[np.bool_]
    seconds: Floats


class Inside(ABC):
    """A model that is looked into.

    Attributes:
        module: its decoder, in eval mode.
        layers: its decoder layers.
        encoder: its text encoder.
        step: seconds of one step.
    """

    module: nn.Module
    layers: list[Any]
    encoder: TextEncoder
    step: float

    @abstractmethod
    def batch(self, clips: Chosen) -> Any:
        """Clips as the model reads them, all in one batch."""

    @abstractmethod
    def run(self, batch: Any) -> Pass:
        """A teacher-forced pass."""

    @abstractmethod
    def free(self, batch: Any, seed: int, temperature: float = 1.0) -> list[Floats]:
        """The lines of a batch performed freely, as long as its clips, (T, C) each."""

    @torch.inference_mode()
    def latents(self, batch: Any, seed: int) -> list[Latents]:
        """What the latents of each clip of a batch are."""
        torch.manual_seed(seed)
        out = self.run(batch)
        rows: list[tuple[Tensor, ...]] = []
        for posterior, prior in zip(out.posterior, out.prior, strict=True):
            z = posterior.sample(torch.randn_like(posterior.mean))
            if isinstance(prior, Gaussian):
                kl = posterior.divergence(prior).sum(-1)
            else:
                kl = posterior.log_density(z) - prior.log_density(z)
            rows.append((posterior.mean, (0.5 * posterior.log_variance).exp(), *_moments(prior, z), kl))
        stacked = [torch.stack(values).float().numpy() for values in zip(*rows, strict=True)]  # (L, B, N[, Z])
        return [
            Latents(*[*(values[:, row, held] for values in stacked), out.seconds[held]])
            for row, held in enumerate(out.mask)
        ]

    @torch.inference_mode()
    def errors(self, batch: Any, seed: int, sources: Sequence[Source] = SOURCES) -> dict[Source, Floats]:
        """`Pass.error` with z from each of ``sources``, at the steps of `Pass.mask`: (steps,)."""
        found: dict[Source, Floats] = {}
        for source in sources:
            torch.manual_seed(seed)
            with latents_from(self, source):
                out = self.run(batch)
            found[source] = out.error[out.mask]
        return found

    def _pass(self, out: Any, posterior: Sequence[Gaussian], gap: Tensor, mask: Tensor) -> Pass:
        """``gap``: what was predicted minus what was to be, (B, N, …)."""
        error = gap.detach().flatten(2).square().mean(-1).sqrt().numpy()
        return Pass(
            posterior, out.prior, error, mask.numpy(), (np.arange(mask.shape[1]) * self.step).astype(np.float32)
        )


class DefaultInside(Inside):
    """The default model; errors are in units of each channel's deviation."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        self.checkpoint, self.encoder, decoder = checkpoint, encoder, checkpoint.decoder
        self.module, self.layers = decoder, list(decoder.decoder_layers)
        self.step = decoder.config.frames_per_step / decoder.space.fps
        self._engine = TorchEngine(checkpoint, encoder, torch.device("cpu"))

    def batch(self, clips: Chosen) -> Batch:
        """See `Inside.batch`."""
        config, features = self.checkpoint.decoder.config, _features(self.encoder, clips)
        return Batches(clips, features, config, len(clips), 0).collate(list(range(len(clips))))

    def run(self, batch: Batch) -> Pass:
        """See `Inside.run`."""
        out = self.checkpoint.decoder(batch.frames / self.checkpoint.decoder.scale, batch.condition)
        return self._pass(out, out.posterior, out.prediction - out.target, batch.step_mask)

    @torch.inference_mode()
    def free(self, batch: Batch, seed: int, temperature: float = 1.0) -> list[Floats]:
        """See `Inside.free`; as it performs, with its draws and its emphasis, but under the data's own conditions."""
        config, perform = self.checkpoint.decoder.config, self.checkpoint.perform
        rows, steps = batch.frames.shape[:2]
        seeds = [TakeSeed(seed, f"row {row}") for row in range(rows)]
        draws = [Draws.of(one, config, steps).scaled(config, perform, temperature) for one in seeds]
        noise, gumbel = (np.stack(some).astype(np.float32) for some in zip(*draws, strict=True))
        told = Condition(**{name: value.numpy() for name, value in vars(batch.condition).items()})
        frames = self._engine.decode(told.emphasised(perform.emphasis, config), noise, gumbel)
        return [clip[: int(count)] for clip, count in zip(frames, batch.condition.frames, strict=True)]


class PaperInside(Inside):
    """The paper's model."""

    step = 1 / 24

    def __init__(self, checkpoint: PaperCheckpoint) -> None:
        self.checkpoint, self.encoder = checkpoint, checkpoint.encoder
        self.module, self.layers = checkpoint.model, list(checkpoint.model.decoder_layers)

    def batch(self, clips: Chosen) -> PaperLines:
        """See `Inside.batch`."""
        config, mean = self.checkpoint.model.config, self.checkpoint.mean
        features = _features(self.encoder, clips)
        return PaperBatches(clips, features, mean, config, len(clips), 0).collate(list(range(len(clips))))

    def run(self, batch: PaperLines) -> Pass:
        """See `Inside.run`."""
        clips = batch.clips
        out = self.checkpoint.model(clips, batch.memory, batch.memory_mask)
        return self._pass(out, out.recognition, (out.prediction - clips.target)[:, :-1], clips.target_mask[:, :-1])

    @torch.inference_mode()
    def free(self, batch: PaperLines, seed: int, temperature: float = 1.0) -> list[Floats]:
        """See `Inside.free`."""
        counts, model = batch.clips.is_frame.sum(1).tolist(), self.checkpoint.model
        rngs = [np.random.default_rng([seed, row]) for row in range(len(counts))]
        return self.decoded(batch, temperature * draw_noise(model.config, rngs, max(counts)))

    def decoded(self, batch: PaperLines, noise: Tensor) -> list[Floats]:
        """The same with draws that are given (`draw_noise`)."""
        counts, stepper = batch.clips.is_frame.sum(1).tolist(), Stepper(self.checkpoint.model)
        frames = decode(stepper, batch.memory, batch.memory_mask, self.checkpoint.mean, noise).frames.numpy()
        return [clip[1:count] for clip, count in zip(frames, counts, strict=True)]


def open_inside(kind: str, folder: Path) -> Inside:
    """The checkpoint in ``folder``, to be looked into."""
    if kind == "paper":
        return PaperInside(load_paper_checkpoint(folder))
    checkpoint = load_checkpoint(folder)
    return DefaultInside(checkpoint, TextEncoder.load(checkpoint.text_encoder, exact=False))


class _Features(dict[str, tuple[Any, Any]]):
    """What a `FeatureStore` gives, of a few lines: nothing is written beside anybody's data."""

    def get(self, line: str) -> tuple[Any, Any]:  # type: ignore[override]
        """Hidden states (S, W) and relative positions (S,) of a line."""
        return self[line]


def _features(encoder: TextEncoder, clips: Chosen) -> Any:
    texts = sorted({clips.text(i) for i in range(len(clips))})
    read = [encoder.encode([text]) for text in texts]
    return _Features(zip(texts, ((one.hidden[0].numpy(), one.position[0].numpy()) for one in read), strict=True))


def _moments(prior: Gaussian | Chain, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a prior, (B, N, Z) each; of each of its parts where those before it are as in ``z``."""
    if isinstance(prior, Gaussian):
        return prior.mean, (0.5 * prior.log_variance).exp()
    mixture = prior.given(z)
    weight = mixture.log_weight.exp().unsqueeze(-1)
    mean = (weight * mixture.mean).sum(-2)
    second = (weight * (mixture.log_variance.exp() + mixture.mean.square())).sum(-2)
    return mean.flatten(-2), (second - mean.square()).clamp_min(0).sqrt().flatten(-2)


# Latents exchanged ---------------------------------------------------------------------------------------------------


@contextmanager
def latents_from(inside: Inside, source: Source) -> Iterator[None]:
    """While entered, what the model takes for its posterior is ``source``."""
    with ExitStack() as hooks:
        for layer in inside.layers:
            for handle in _exchange(layer, source):
                hooks.callback(handle.remove)
        yield


def _exchange(layer: Any, source: Source) -> Iterator[Any]:
    """Hooks on one layer.

    What the default's prior reads is what its recognition network is told first. In the paper's model that is the state
    after LTA up to the last but one, and recognition reads it from the second on.
    """
    if source == "posterior":
        return
    states: list[Tensor] = []

    def exchanged(module: nn.Module, inputs: tuple[Tensor, ...], out: Gaussian) -> Gaussian:
        if source == "another clip's":
            return Gaussian(out.mean.roll(1, 0), out.log_variance.roll(1, 0))
        state = states.pop()
        prior = layer.prior(state)
        if source == "prior mean":
            return _certain(_moments(prior, out.mean)[0])
        if isinstance(prior, Gaussian):
            return prior
        choice = gumbel_like(out.mean.new_empty(*out.mean.shape[:-1], layer.prior.choices))
        return _certain(prior.sample(torch.randn_like(out.mean), choice))

    if layer.recognition.__class__.__name__ == "RecognitionNetwork":
        yield layer.recognition.register_forward_pre_hook(lambda module, inputs: states.append(inputs[0]))
    else:
        last = layer.text_attention if layer.lta is None else layer.lta
        yield last.register_forward_hook(lambda module, inputs, out: states.append(out[:, :-1]))
    yield layer.recognition.register_forward_hook(exchanged)


def _certain(mean: Tensor) -> Gaussian:
    return Gaussian(mean, torch.full_like(mean, -60.0))


# Attention -----------------------------------------------------------------------------------------------------------


@contextmanager
def watched(modules: Sequence[Attention]) -> Iterator[list[list[Tensor]]]:
    """While entered, every call of these attentions leaves its weights, (B, H, N, S); one list per module."""
    seen: list[list[Tensor]] = [[] for _ in modules]
    with ExitStack() as stack:
        for module, weights in zip(modules, seen, strict=True):
            stack.callback(vars(module).pop, "attend", None)
            module.attend = partial(_watching, module, weights)  # type: ignore[method-assign]
        yield seen


def _watching(
    module: Attention, weights: list[Tensor], x: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:  # fmt: skip
    query = module.query(x).unflatten(-1, (module.n_head, -1)).transpose(1, 2)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    weights.append(scores.softmax(-1).detach())
    return Attention.attend(module, x, key, value, mask=mask, causal=causal)
