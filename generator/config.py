# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a CTEG model: which parts are on, and how large they are. Stored beside the weights as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from .emotions import BASIC_EMOTIONS, EMOTIONS, emotion_vector, emotion_weights
from .shared.spaces import SPACES

EwaMode = Literal["off", "frame"]
#: What the recognition network sees of the frames it must explain.
RecognitionInput = Literal["next_state", "target"]

#: What a clip is conditioned on besides its words (see `ModelConfig.conditioning`).
Conditioning = Literal["none", "emotion", "direction"]

#: Earlier ones are still read: 1 had ``emotion_conditioning`` (true or false) instead of ``conditioning``, 1 and 2 had
#: no ``noise_conditioning``, and none of them had ``turn_conditioning`` and
#: ``choice_scale``.
CONFIG_SCHEMA: Final = 4


@dataclass(frozen=True)
class ModelConfig:
    """Hyper-parameters of `generator.model.CTEG`.

    The parts below the line are extensions of the paper; each can be switched off (0, False, or the paper's choice).

    Attributes:
        space: name of the space of the frames.
        d_model, n_head, d_inner: width, attention heads and FFN width of the decoder.
        n_layers: decoder layers; the paper finds one best.
        d_latent: width of z_t; the paper uses d_model.
        text_width: width of the text encoder's hidden states.
        ewa: Expression-wise Attention, "frame" (each frame by itself, causal) or "off".
        d_ewa: width of the EwA tokens.
        lta: Latent Temporal Attention on or off.
        max_steps: longest sequence, in decoder steps.
        ---
        frames_per_step: P, frames written per autoregressive step (paper: 1).
        prior_components: K of the mixture-of-Gaussians prior (paper: 1, a Gaussian).
        recognition: what the recognition network sees (paper: "next_state").
        conditioning: a token in the text memory, and the same features added to every step: "emotion" (weights over
            the seven basic emotions, and intensity), "direction" (weights over all emotions, a second emotion that the
            line moves to, intensity, energy, speaking or silent; each may be left open), or "none".
        turn_conditioning: with "direction", every step is told the emotion of its own moment, which moves from the
            first to the second one when the performance does. Without, a decoder learns which is second, and not when.
        length_conditioning: remaining time, progress and total time added to every step.
        text_progress: relative position in the line added to the text memory, so that time and text can be aligned.
        noise_conditioning: the decoder is told how noisy the frames are that it reads (Ho et al. 2022, "Cascaded
            diffusion models"). A decoder that has to guess takes every face for a noisy one and pulls it to the mean.
        assumed_noise: what it is told when performing, 0..1 of the strongest noise in training.
        emphasis: how much more clearly than in training an emotion is asked for when performing, as a multiple of its
            weights: a plain form of classifier-free guidance (Ho and Salimans 2022) that costs no second decoding.
        draw_scale: deviation of the draws at temperature 1; above 1 where the prior is narrower than what it should
            cover.
        choice_scale: the same for which component of the mixture is drawn: below 1 rare ones, such as blinks, become
            rarer. All four are measured on the dev split after training (docs/quality.md).
        residual: predict the change from the previous frame instead of the frame (paper: the frame).
        state_ffn: a feed-forward block between text cross-attention and LTA.
        reconstruction_sigma: fixed standard deviation of the reconstruction term, in scaled units.
    """

    space: str = "arkit55"
    d_model: int = 256
    n_head: int = 4
    d_inner: int = 1024
    n_layers: int = 1
    d_latent: int = 64
    text_width: int = 384
    ewa: EwaMode = "frame"
    d_ewa: int = 32
    lta: bool = True
    max_steps: int = 256

    frames_per_step: int = 4
    prior_components: int = 16
    recognition: RecognitionInput = "target"
    conditioning: Conditioning = "direction"
    turn_conditioning: bool = True
    length_conditioning: bool = True
    text_progress: bool = True
    noise_conditioning: bool = True
    assumed_noise: float = 0.0
    emphasis: float = 1.3
    draw_scale: float = 1.15
    choice_scale: float = 0.7
    residual: bool = False
    state_ffn: bool = True
    reconstruction_sigma: float = 0.1

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"unknown space {self.space!r}; known are {', '.join(SPACES)}")
        if self.conditioning not in ("none", "emotion", "direction"):
            raise ValueError(f"conditioning {self.conditioning!r} is none of none, emotion, direction")
        if self.d_model % self.n_head or self.d_model % 2:
            raise ValueError(f"d_model ({self.d_model}) must be even and divisible by n_head ({self.n_head})")
        if not 0 <= self.assumed_noise <= 1:
            raise ValueError(f"assumed_noise ({self.assumed_noise}) must be between 0 and 1")
        for name in ("draw_scale", "choice_scale", "emphasis"):
            if not 0 < getattr(self, name) <= 2:
                raise ValueError(f"{name} ({getattr(self, name)}) must be above 0 and at most 2")
        for name in ("n_layers", "d_latent", "frames_per_step", "prior_components", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def knows_when(self) -> bool:
        """Whether a decoder is told when an emotion moves on, not only where to."""
        return self.turn_conditioning and self.conditioning == "direction"

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions a clip is conditioned on, and its text classified into: all of them or the basic ones."""
        return EMOTIONS if self.conditioning == "direction" else BASIC_EMOTIONS

    def weights_of(self, emotion: str) -> npt.NDArray[np.float32]:
        """Weights of an emotion by name over `emotions`, (K,); KeyError for a name not in `EMOTION_NAMES`."""
        return emotion_vector(emotion) if self.conditioning == "direction" else emotion_weights(emotion)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, with its schema version."""
        return {"schema_version": CONFIG_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelConfig:
        """The config stored by `to_json`; ValueError names what is unknown or missing."""
        data = dict(data)
        version = data.pop("schema_version", None)
        if version == 1:
            data["conditioning"] = "emotion" if data.pop("emotion_conditioning") else "none"
        if version in (1, 2):
            data |= {"noise_conditioning": False, "emphasis": 1.0, "draw_scale": 1.0}
        if version in (1, 2, 3):
            data |= {"turn_conditioning": False, "choice_scale": data["draw_scale"]}
        elif version != CONFIG_SCHEMA:
            raise ValueError(f"config schema {version!r} is not {CONFIG_SCHEMA}")
        if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        return cls(**data)
