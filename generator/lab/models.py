# SPDX-License-Identifier: GPL-3.0-or-later
"""Both models from inside: latents under teacher forcing and while performing freely, latents exchanged, attention.

Nothing is computed again here: a model's own forward pass runs, and what it hands from part to part is watched or
exchanged.

Shapes: B clips, N decoder steps, L layers, Z latent width, H heads, S tokens, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
    """The latents of some clips under teacher forcing.

    Attributes:
        mean, deviation: of the posterior, (L, B, N, Z).
        prior_mean, prior_deviation: of the prior, of all of a mixture together, (L, B, N, Z).
        kl: KL(posterior || prior) in nats, of a mixture by one sample, (L, B, N).
        mask: True at steps that hold frames, (B, N).
        seconds: of each step, (N,).
    """

    mean: Floats
    deviation: Floats
    prior_mean: Floats
    prior_deviation: Floats
    kl: Floats
    mask: npt.NDArray[np.bool_]
    seconds: Floats


class Inside(ABC):
    """A model that is looked into.

    Attributes:
        module: its decoder, in eval mode.
        layers: its decoder layers.
        encoder: its text encoder.
    """

    module: nn.Module
    layers: list[Any]
    encoder: TextEncoder

    @abstractmethod
    def batch(self, clips: Chosen) -> Any:
        """Clips as the model reads them, all in one batch."""

    @abstractmethod
    def run(self, batch: Any) -> tuple[list[Gaussian], list[Gaussian | Chain]]:
        """A teacher-forced pass; posterior and prior of each layer, (B, N, Z)."""

    @abstractmethod
    def error(self, batch: Any) -> Floats:
        """How far the frames that a teacher-forced pass predicts are from those of the clip, rms, (B, N)."""

    @abstractmethod
    def mask(self, batch: Any) -> tuple[npt.NDArray[np.bool_], Floats]:
        """True at steps that hold frames and have a latent, (B, N), and the seconds at which steps begin, (N,)."""

    @abstractmethod
    def free(self, batch: Any, seed: int, temperature: float = 1.0) -> list[Floats]:
        """The lines of a batch performed freely, as long as its clips, (T, C) each."""

    @torch.inference_mode()
    def latents(self, batch: Any, seed: int) -> Latents:
        """What the latents of a batch are."""
        torch.manual_seed(seed)
        posteriors, priors = self.run(batch)
        mask, seconds = self.mask(batch)
        parts: dict[str, list[Tensor]] = {
            name: [] for name in ("mean", "deviation", "prior_mean", "prior_deviation", "kl")
        }
        for posterior, prior in zip(posteriors, priors, strict=True):
            parts["mean"].append(posterior.mean)
            parts["deviation"].append((0.5 * posterior.log_variance).exp())
            z = posterior.sample(torch.randn_like(posterior.mean))
            mean, deviation = _moments(prior, z)
            parts["prior_mean"].append(mean)
            parts["prior_deviation"].append(deviation)
            if isinstance(prior, Gaussian):
                parts["kl"].append(posterior.divergence(prior).sum(-1))
            else:
                parts["kl"].append(posterior.log_density(z) - prior.log_density(z))
        stacked = {name: torch.stack(values).float().numpy() for name, values in parts.items()}
        return Latents(**stacked, mask=mask, seconds=seconds)

    @torch.inference_mode()
    def errors(self, batch: Any, seed: int, sources: Sequence[Source] = SOURCES) -> dict[Source, Floats]:
        """`error` with z from each of ``sources``."""
        found: dict[Source, Floats] = {}
        for source in sources:
            torch.manual_seed(seed)
            with latents_from(self, source):
                found[source] = self.error(batch)
        return found


class DefaultInside(Inside):
    """The default model."""

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder) -> None:
        self.checkpoint, self.encoder = checkpoint, encoder
        self.module, self.layers = checkpoint.decoder, list(checkpoint.decoder.decoder_layers)
        self._engine = TorchEngine(self.checkpoint, self.encoder, torch.device("cpu"))

    def batch(self, clips: Chosen) -> Batch:
        """See `Inside.batch`."""
        config, features = self.checkpoint.decoder.config, _features(self.encoder, clips)
        return Batches(clips, features, config, len(clips), 0).collate(list(range(len(clips))))

    def run(self, batch: Batch) -> tuple[list[Gaussian], list[Gaussian | Chain]]:
        """See `Inside.run`."""
        out = self.checkpoint.decoder(batch.frames / self.checkpoint.decoder.scale, batch.condition)
        return out.posterior, list(out.prior)

    def error(self, batch: Batch) -> Floats:
        """See `Inside.error`; in units of each channel's deviation."""
        out = self.checkpoint.decoder(batch.frames / self.checkpoint.decoder.scale, batch.condition)
        found: Floats = (out.prediction - out.target).square().mean((-1, -2)).sqrt().numpy()
        return found

    def mask(self, batch: Batch) -> tuple[npt.NDArray[np.bool_], Floats]:
        """See `Inside.mask`."""
        config, space = self.checkpoint.decoder.config, self.checkpoint.decoder.space
        steps = np.arange(batch.frames.shape[1]) * config.frames_per_step / space.fps
        return batch.step_mask.numpy(), steps.astype(np.float32)

    @torch.inference_mode()
    def free(self, batch: Batch, seed: int, temperature: float = 1.0) -> list[Floats]:
        """See `Inside.free`; as it performs, but under the data's own conditions."""
        config, perform = self.checkpoint.decoder.config, self.checkpoint.perform
        rows, steps = batch.frames.shape[:2]
        rng = np.random.default_rng([seed, rows, steps])
        noise = rng.standard_normal((rows, steps, config.n_layers, config.d_latent), np.float32)
        gumbel = rng.gumbel(size=(rows, steps, config.n_layers, config.choices)).astype(np.float32)
        told = Condition(**{name: value.numpy() for name, value in vars(batch.condition).items()})
        frames = self._engine.decode(
            told, temperature * perform.draw_scale * noise, temperature * perform.choice_scale * gumbel
        )
        return [clip[: int(count)] for clip, count in zip(frames, batch.condition.frames, strict=True)]


class PaperInside(Inside):
    """The paper's model."""

    def __init__(self, checkpoint: PaperCheckpoint) -> None:
        self.checkpoint = checkpoint
        self.module, self.layers, self.encoder = (
            checkpoint.model,
            list(checkpoint.model.decoder_layers),
            checkpoint.encoder,
        )

    def batch(self, clips: Chosen) -> PaperLines:
        """See `Inside.batch`."""
        config, mean = self.checkpoint.model.config, self.checkpoint.mean
        features = _features(self.encoder, clips)
        return PaperBatches(clips, features, mean, config, len(clips), 0).collate(list(range(len(clips))))

    def run(self, batch: PaperLines) -> tuple[list[Gaussian], list[Gaussian | Chain]]:
        """See `Inside.run`."""
        out = self.checkpoint.model(batch.clips, batch.memory, batch.memory_mask)
        return out.recognition, list(out.prior)

    def error(self, batch: PaperLines) -> Floats:
        """See `Inside.error`."""
        out = self.checkpoint.model(batch.clips, batch.memory, batch.memory_mask)
        found: Floats = (out.prediction - batch.clips.target)[:, :-1].square().mean(-1).sqrt().numpy()
        return found

    def mask(self, batch: PaperLines) -> tuple[npt.NDArray[np.bool_], Floats]:
        """See `Inside.mask`."""
        held = batch.clips.target_mask[:, :-1].numpy()
        return held, (np.arange(held.shape[1]) / 24.0).astype(np.float32)

    @torch.inference_mode()
    def free(self, batch: PaperLines, seed: int, temperature: float = 1.0) -> list[Floats]:
        """See `Inside.free`."""
        counts = batch.clips.is_frame.sum(1).tolist()
        config = self.checkpoint.model.config
        rngs = [np.random.default_rng([seed, row]) for row in range(len(counts))]
        noise = temperature * draw_noise(config, rngs, max(counts))
        stepper = Stepper(self.checkpoint.model)
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
    found = _Features()
    for text in {clips.text(i) for i in range(len(clips))}:
        read = encoder.encode([text])
        found[text] = read.hidden[0].cpu().numpy(), read.position[0].cpu().numpy()
    return found


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
    """Hooks on one layer."""
    if source == "posterior":
        return

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

    states: list[Tensor] = []

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # The default's recognition network is told the state; the paper's the states from the second on, and its prior
        # those up to the last but one, so the state is taken from where the latent state comes from.
        states.append(inputs[0])

    if layer.recognition.__class__.__name__ == "RecognitionNetwork":
        yield layer.recognition.register_forward_pre_hook(before)
    else:
        last = layer.lta if layer.lta is not None else layer.text_attention

        def after(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            states.append(out[:, :-1])

        yield last.register_forward_hook(after)
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
            module.attend = _watching(module, module.attend, weights)  # type: ignore[method-assign]
        yield seen


def _watching(module: Attention, attend: Callable[..., Tensor], weights: list[Tensor]) -> Callable[..., Tensor]:
    def watching(x: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        query = module.query(x).unflatten(-1, (module.n_head, -1)).transpose(1, 2)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        if causal:
            ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(ahead, -torch.inf)
        weights.append(scores.softmax(-1).detach())
        return attend(x, key, value, mask=mask, causal=causal)

    return watching
