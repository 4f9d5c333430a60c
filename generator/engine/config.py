# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a CTEG model: which parts are on, and how large they are. Stored beside the weights as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from ..shared.spaces import SPACES

EwaMode = Literal["off", "frame"]
#: What the recognition network sees of the frames it must explain.
RecognitionInput = Literal["next_state", "target"]

#: Earlier ones belong to decoders that were not told what is said when; they are refused.
CONFIG_SCHEMA: Final = 5
#: Settings by which weights performed that had not been trained on takes that run free.
_GONE: Final = frozenset({"choice_scale", "persistence"})
#: Sizes beyond these are damage: nobody trained such a decoder, and making one would take all memory there is.
_MOST: Final = {
    "d_model": 4096, "n_head": 256, "d_inner": 16384, "n_layers": 64, "d_latent": 4096, "text_width": 8192,
    "d_ewa": 1024, "frames_per_step": 64, "prior_parts": 4096, "prior_components": 1024,
}  # fmt: skip


@dataclass(frozen=True)
class ModelConfig:
    """Hyper-parameters of `generator.model.cteg.CTEG`.

    The parts below the line are extensions of the paper; each can be switched off (False, or the paper's choice).

    Attributes:
        space: name of the space of the frames.
        d_model, n_head, d_inner: width, attention heads and FFN width of the decoder.
        n_layers: decoder layers; the paper finds one best.
        d_latent: width of z_t; the paper uses d_model.
        text_width: width of the text encoder's hidden states.
        ewa: Expression-wise Attention, "frame" (each frame by itself, causal) or "off".
        d_ewa: width of the EwA tokens.
        lta: Latent Temporal Attention on or off.
        ---
        frames_per_step: P, frames written per autoregressive step (paper: 1).
        prior_parts: G, in how many parts the prior draws z, each told of those before it (paper: 1).
        prior_components: K of the mixture of Gaussians that each part is drawn from (paper: 1, a Gaussian).
        recognition: what the recognition network sees (paper: "next_state").
        direction_conditioning: a token in the text memory, and the same at every step: the emotion, a second one that
            the line moves to and when, intensity, energy, who speaks, how it ends; some may be left open.
        timeline_conditioning: every step is told what is said at its moment: voice, phrase and mark, accents, events.
        length_conditioning: every step is told the time gone, left and in all.
        text_progress: relative position in the line added to the text memory, so that time and text can be aligned.
        noise_conditioning: the decoder is told how noisy the frames are that it reads (Ho et al. 2022, "Cascaded
            diffusion models"). A decoder that has to guess takes every face for a noisy one and pulls it to the mean.
        inertia: frames are decoded as changes from where the last ones were going, in the pace of each channel
            (paper: as frames).
        state_ffn: a feed-forward block between text cross-attention and LTA.
        reconstruction_sigma: standard deviation of the reconstruction term, in scaled units.
        velocity_sigma: the same for the change from frame to frame, in the rms of the channel's second difference: an
            error of the reconstruction is smooth in time. 0 leaves it out.
    """

    space: str = "arkit55"
    d_model: int = 256
    n_head: int = 4
    d_inner: int = 512
    n_layers: int = 1
    d_latent: int = 64
    text_width: int = 384
    ewa: EwaMode = "frame"
    d_ewa: int = 32
    lta: bool = True

    frames_per_step: int = 2
    prior_parts: int = 8
    prior_components: int = 8
    recognition: RecognitionInput = "target"
    direction_conditioning: bool = True
    timeline_conditioning: bool = True
    length_conditioning: bool = True
    text_progress: bool = True
    noise_conditioning: bool = True
    inertia: bool = True
    state_ffn: bool = True
    reconstruction_sigma: float = 0.1
    velocity_sigma: float = 0.15

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"unknown space {self.space!r}; known are {', '.join(SPACES)}")
        if self.d_model % self.n_head or self.d_model % 2:
            raise ValueError(f"d_model ({self.d_model}) must be even and divisible by n_head ({self.n_head})")
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from 1 to {most}")
        if self.d_latent % self.prior_parts:
            raise ValueError(f"d_latent ({self.d_latent}) must be divisible by prior_parts ({self.prior_parts})")

    @property
    def choices(self) -> int:
        """G K, the components that are chosen among at a step."""
        return self.prior_parts * self.prior_components

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, with its schema version."""
        return {"schema_version": CONFIG_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelConfig:
        """The config stored by `to_json`; ValueError names what is unknown or missing."""
        data = dict(data)
        version = data.pop("schema_version", None)
        if version != CONFIG_SCHEMA:
            raise ValueError(f"config schema {version!r} is not {CONFIG_SCHEMA}")
        data.pop("max_steps", None)  # earlier ones had a longest sequence that nothing kept to
        data.setdefault("prior_parts", 1)  # before there were parts, z was drawn whole
        if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        return cls(**data)


@dataclass(frozen=True)
class PerformConfig:
    """How weights perform, chosen on the dev split after training; the defaults are as they were trained.

    Attributes:
        draw_scale: deviation of the draws at temperature 1.
        emphasis: how much more strongly emotions are told than in training: young weights follow the face that they
            are on more than what is asked.
    """

    draw_scale: float = 1.0
    emphasis: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value <= 2:
                raise ValueError(f"{name} ({value}) must be above 0 and at most 2")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PerformConfig:
        """What a checkpoint stores; ValueError names what is unknown. What earlier ones had beside it is left out."""
        kept = {name: value for name, value in data.items() if name not in _GONE}
        if unknown := sorted(kept.keys() - {f.name for f in fields(cls)}):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        return cls(**kept)
