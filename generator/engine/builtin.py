# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that needs NumPy and nothing else: text to frames with the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from ..direction.emotions import EMOTIONS
from ..errors import CheckpointError, EnvironmentProblem
from ..reading import refusing
from . import ArrayCondition, Floats, OnStep, TextFeatures
from .arrays import Array, check_finite, check_shapes, read_arrays, read_weights
from .config import ModelConfig, PerformConfig
from .decoder import Decoder, within
from .encoder import BertConfig, Encoder, is_bert, tuned_layers
from .files import (
    DECODER,
    DEFAULT_CHECKPOINT,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    CheckpointSettings,
    damaged_checkpoint,
    find_encoder,
    find_reader,
    is_uncased,
    read_checkpoint_settings,
    read_settings,
    unusable_encoder,
)
from .heads import HEAD, EmotionClassifier, reader_shapes
from .tokens import MAX_TOKENS, WordPiece

#: Lines that are remembered; a scene has fewer.
_REMEMBERED: Final = 4096


class NeedsTorch(EnvironmentProblem):
    """The text encoder is of a kind that only torch computes."""


@dataclass(eq=False)
class _Line:
    """What is remembered of a line: hidden states below the reader's own layers and on top, (S, W), and positions.

    The top is computed when it is asked for: of a sentence that is read for its emotion alone, nobody asks.
    """

    lower: Floats
    position: Floats
    hidden: Floats | None = None


class NumpyEngine:
    """Reads and decodes with NumPy; each distinct line is encoded once. See `generator.engine.Engine`.

    Attributes:
        settings: what the checkpoint says of itself.

    Args:
        settings: of the checkpoint.
        weights: of its decoder.
        encoder, tokens: the text encoder that ``settings`` names.
        reader: weights of what reads emotions, where ``settings`` describe it.

    Raises:
        ValueError: a weight is missing, does not fit or is not finite.
    """

    def __init__(
        self, settings: CheckpointSettings, weights: Mapping[str, Array], encoder: Encoder, tokens: WordPiece,
        reader: Mapping[str, Array] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        check_finite(weights)
        check_finite(reader)
        self.settings = settings
        width = settings.model.text_width
        if encoder.config.hidden_size != width:
            raise ValueError(f"it reads {width} numbers per token and its encoder writes {encoder.config.hidden_size}")
        self._decoder = Decoder(settings.model, within(weights, DECODER))
        self._encoder, self._tokens = encoder, tokens
        self._emotion, layers = None, {}
        if settings.emotion_head is not None:
            check_shapes(reader, reader_shapes(settings.emotion_head, width, len(EMOTIONS)))
            self._emotion = EmotionClassifier(within(reader, HEAD), settings.emotion_head, width, len(EMOTIONS))
            layers = {name: value for name, value in reader.items() if not name.startswith(HEAD)}
        self._branch, self._tuned = tuned_layers(encoder.config, layers)
        self._lines: dict[str, _Line] = {}

    @classmethod
    def load(cls, folder: Path = DEFAULT_CHECKPOINT) -> NumpyEngine:
        """The checkpoint in ``folder`` and the text encoder it names.

        Raises:
            CheckpointError: missing or damaged files, another schema, weights that do not fit.
            EnvironmentProblem: the text encoder is missing or damaged; `NeedsTorch` where only torch computes its kind.
        """
        settings = read_checkpoint_settings(folder)
        encoder, tokens = _load_encoder(settings.text_encoder)
        with refusing(partial(damaged_checkpoint, folder)):
            reader = {}
            if settings.emotion_head is not None:
                reader = read_arrays(find_reader(folder, settings.emotion_head, settings.model.text_width))
            return cls(settings, read_arrays(folder / WEIGHTS_FILE), encoder, tokens, reader)

    @property
    def config(self) -> ModelConfig:
        """The decoder's shape."""
        return self.settings.model

    @property
    def perform(self) -> PerformConfig:
        """How the weights perform."""
        return self.settings.perform

    def encode(self, lines: list[str]) -> TextFeatures:
        """Features of ``lines``, padded to the longest."""
        read, tops = self._read(lines), self._tops(lines)
        shape = (len(lines), max(map(len, tops)))
        hidden = np.zeros((*shape, self.config.text_width), np.float32)
        mask, position = np.zeros(shape, np.bool_), np.zeros(shape, np.float32)
        for row, (one, top) in enumerate(zip(read, tops, strict=True)):
            count = len(top)
            hidden[row, :count], mask[row, :count], position[row, :count] = top, True, one.position
        return TextFeatures(hidden, mask, position)

    def emotions(self, lines: list[str]) -> Floats:
        """Calibrated probabilities of `generator.direction.emotions.EMOTIONS`, (B, 14)."""
        if self._emotion is None:
            raise CheckpointError(
                f"The checkpoint in {self.settings.folder} reads no emotions from words; name the emotion of each line."
            )
        return self._emotion(self._encoder.onwards([one.lower for one in self._read(lines)], self._tuned))

    def pooled(self, lines: list[str]) -> Floats:
        """Mean over the real tokens of each line, (B, W)."""
        return np.stack([top.mean(0) for top in self._tops(lines)])

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1."""
        return self._tokens.unknown_share(line)

    def forget(self) -> None:
        """Forget the lines that were read."""
        self._lines.clear()

    def is_cut(self, line: str) -> bool:
        """Whether the line has more tokens than the encoder reads."""
        return self._tokens(line).cut

    def decode(self, condition: ArrayCondition, noise: Floats, gumbel: Floats, on_step: OnStep | None = None) -> Floats:
        """Frames in the space's units and limits, (B, N P, C)."""
        return self._decoder(condition, noise, gumbel, on_step)

    def _read(self, lines: list[str]) -> list[_Line]:
        """What is remembered of ``lines``; new ones run through the encoder together."""
        if len(self._lines) > _REMEMBERED:
            self._lines.clear()
        fresh = [line for line in dict.fromkeys(lines) if line not in self._lines]
        if fresh:
            tokens = [self._tokens(line) for line in fresh]
            lower = self._encoder([one.ids for one in tokens], self._branch)
            for line, one, below in zip(fresh, tokens, lower, strict=True):
                self._lines[line] = _Line(below, np.array(one.middles(len(line)), np.float32))
        return [self._lines[line] for line in lines]

    def _tops(self, lines: list[str]) -> list[Floats]:
        """Hidden states on top of ``lines``, (S, W) each."""
        read = self._read(lines)
        fresh = [one for one in dict.fromkeys(read) if one.hidden is None]
        if fresh:
            above = self._encoder.onwards([one.lower for one in fresh], self._encoder.from_layer(self._branch))
            for one, hidden in zip(fresh, above, strict=True):
                one.hidden = hidden
        return [one.hidden for one in read if one.hidden is not None]


def _load_encoder(name: str) -> tuple[Encoder, WordPiece]:
    """The text encoder ``name`` and its tokenizer, or an EnvironmentProblem."""
    folder = find_encoder(name, exact=False, online=False)
    settings = read_settings(folder)
    with refusing(partial(unusable_encoder, folder)):
        if not is_bert(settings) or settings.get("hidden_act", "gelu") != "gelu":
            raise _other(name, "it is not BERT with GELU")
        if not (folder / VOCABULARY_FILE).is_file() or not is_uncased(folder):
            raise _other(name, f"it has no {VOCABULARY_FILE} of lower case")
        config = BertConfig.from_json(settings)
        tokens = WordPiece.load(folder / VOCABULARY_FILE, min(MAX_TOKENS, config.max_position_embeddings))
        return Encoder(config, read_weights(folder / WEIGHTS_FILE)), tokens


def _other(name: str, reason: str) -> NeedsTorch:
    return NeedsTorch(
        f"The built-in engine cannot read lines with the text encoder {name!r} ({reason}); perform this checkpoint "
        "with a Python that has torch."
    )
