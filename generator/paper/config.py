# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of the paper's model, and one named switch for every quirk of the released model and its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal

EwaMode = Literal["off", "sequence", "prefix", "frame"]
EwaDivisor = Literal["seen", "serial", "training"]

PAPER_SCHEMA: Final = 1
#: Sizes beyond these are damage: making such a model would take all memory there is.
_MOST: Final = {
    "d_model": 4096, "n_head": 256, "d_key": 1024, "d_value": 1024, "d_inner": 16384, "n_layers": 64,
    "expression_channels": 1024, "jaw_channels": 64, "max_positions": 65536, "max_text": 65536,
}  # fmt: skip
#: How every quirk stands in the released code. `PaperConfig()` has all of them corrected.
REFERENCE_QUIRKS: Final[Mapping[str, Any]] = {
    "ewa": "sequence",
    "second_sample": True,
    "kl_over_padding": True,
    "cut_clip_loses_last_frame": True,
    "pad_clips": True,
    "pad_text": True,
}


@dataclass(frozen=True)
class PaperConfig:
    """Hyper-parameters of `generator.paper.model.PaperCTEG`.

    The defaults are the paper's sizes with every quirk corrected; `PaperConfig.reference` is the released code.

    Attributes:
        d_model, n_head, d_key, d_value, d_inner, n_layers: as in the paper; the text encoder is d_model wide.
        expression_channels, jaw_channels: E of them per frame, expression first (50 + 3, the space "flame53").
        max_positions: decoder positions a clip may fill, its start and end markers included (``trg_len``).
        max_text: tokens of text (``src_len``).
        dropout: of attention weights and block outputs, in training.
        scale_embedding: multiply embeddings by sqrt(d_model) before positions are added.
        lta: Latent Temporal Attention on or off (``flat_method``).
        guidance: latent guidance on or off (``one_step_loss``).
        jaw_weight: factor on the jaw channels inside the reconstruction distance.
        stop_threshold: a frame whose norm is below it is the standard face, before which a clip ends.
        --- quirks: what the released code does -> what the default does
        ewa: "sequence" (the mean over the whole padded tensor, future frames and zeros included, shifts every frame)
            -> "frame" (each frame by itself). "prefix" (the mean of the frames so far) is the causal mode nearest to
            weights trained with "sequence"; "off" is the ablation.
        ewa_divisor: what "prefix" divides the sum of n frames by: "seen" n; "serial" n + 2, as the released serial
            decoding, which counts two zero positions; "training" max_positions - 1, as released training.
        second_sample: noise of standard deviation exp(0.5) on each layer's normed output, in every mode -> none.
        kl_over_padding: the KL term is averaged over padding too -> over real positions.
        cut_clip_loses_last_frame: a clip with no room for its end marker has its last kept frame read as [UNK]
            -> the frame is kept.
        pad_clips: clips are padded to max_positions - 1 positions -> to the longest of the batch.
        pad_text: text is padded to max_text tokens -> to the longest of the batch.
    """

    d_model: int = 768
    n_head: int = 12
    d_key: int = 64
    d_value: int = 64
    d_inner: int = 2048
    n_layers: int = 1
    expression_channels: int = 50
    jaw_channels: int = 3
    max_positions: int = 256
    max_text: int = 128
    dropout: float = 0.1
    scale_embedding: bool = True
    lta: bool = True
    guidance: bool = True
    jaw_weight: float = 5.0
    stop_threshold: float = 1.0

    ewa: EwaMode = "frame"
    ewa_divisor: EwaDivisor = "serial"
    second_sample: bool = False
    kl_over_padding: bool = False
    cut_clip_loses_last_frame: bool = False
    pad_clips: bool = False
    pad_text: bool = False

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from 1 to {most}")
        if self.d_model % 2:
            raise ValueError(f"d_model ({self.d_model}) must be even")
        if self.max_positions < 4:
            raise ValueError(f"max_positions ({self.max_positions}) must be at least 4: start, mean face, frame, end")
        if self.ewa not in ("off", "sequence", "prefix", "frame"):
            raise ValueError(f"ewa {self.ewa!r} is none of off, sequence, prefix, frame")
        if self.ewa_divisor not in ("seen", "serial", "training"):
            raise ValueError(f"ewa_divisor {self.ewa_divisor!r} is none of seen, serial, training")

    @property
    def channels(self) -> int:
        """E, expression and jaw channels of a frame."""
        return self.expression_channels + self.jaw_channels

    def ewa_divided_by(self, count: int) -> int:
        """What EwA in "prefix" mode divides the sum of the first ``count`` frames by (`ewa_divisor`)."""
        return {"seen": count, "serial": count + 2, "training": self.max_positions - 1}[self.ewa_divisor]

    @classmethod
    def reference(cls, **sizes: Any) -> PaperConfig:
        """The released code with all its quirks; ``sizes`` replace any field."""
        return cls(**{**REFERENCE_QUIRKS, **sizes})

    def causal(self) -> PaperConfig:
        """This model set up for decoding: what looked at the future looks at the past."""
        return replace(self, ewa="prefix") if self.ewa == "sequence" else self

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> PaperConfig:
        """The reference config of a released checkpoint's ``settings`` (the training script's options).

        Raises:
            ValueError: a setting is missing, or asks for a variant that is not supported; the message names it.
        """
        known_values: dict[str, list[Any]] = {
            "cvae": [True],
            "second_sample": ["one", "none"],
            "flat_method": ["casual_attention", "none"],
        }
        for name, known in known_values.items():
            if _setting(settings, name) not in known:
                raise ValueError(f"setting {name} = {settings[name]!r} is not supported; known: {known}")
        if _setting(settings, "encoder_pretrained") in (None, "none"):
            raise ValueError("setting encoder_pretrained = None is not supported; a BERT text encoder is needed")
        jaw = int(_setting(settings, "trg_exp_dim")) - int(_setting(settings, "exp_only_dim"))
        return cls.reference(
            d_model=int(_setting(settings, "d_model")),
            n_head=int(_setting(settings, "n_head")),
            d_key=int(_setting(settings, "d_k")),
            d_value=int(_setting(settings, "d_v")),
            d_inner=int(_setting(settings, "d_inner_hid")),
            n_layers=int(_setting(settings, "n_layers")),
            expression_channels=int(_setting(settings, "exp_only_dim")),
            jaw_channels=jaw,
            max_positions=int(_setting(settings, "trg_len")),
            max_text=int(_setting(settings, "src_len")),
            dropout=float(_setting(settings, "dropout")),
            scale_embedding=bool(_setting(settings, "scale_emb")),
            lta=settings["flat_method"] == "casual_attention",
            guidance=bool(_setting(settings, "one_step_loss")),
            ewa="sequence" if _setting(settings, "feature_attention") else "off",
            second_sample=settings["second_sample"] == "one",
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, with its schema version."""
        return {"schema_version": PAPER_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PaperConfig:
        """The config stored by `to_json`; ValueError names what is unknown or invalid."""
        # How released clips are decoded stood here once; it is no setting (`generator.paper.decoding`).
        data = {name: value for name, value in data.items() if name not in ("redraw_past", "stop_rule")}
        if (version := data.pop("schema_version", None)) != PAPER_SCHEMA:
            raise ValueError(f"paper config schema {version!r} is not {PAPER_SCHEMA}")
        if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
            raise ValueError(f"unknown setting {unknown[0]!r}")
        return cls(**data)


def _setting(settings: Mapping[str, Any], name: str) -> Any:
    try:
        return settings[name]
    except KeyError:
        raise ValueError(f"the checkpoint's settings lack {name!r}") from None
