# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting what reads emotions from words: the encoder's last layers and a head, on soft labels, calibrated on held-out
lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..corpus.texts import WITHHELD, Line, builtin_lines, everyday_lines, split_of, written_lines
from ..direction.emotions import EMOTIONS
from ..errors import DataError
from ..model.checkpoint import read_reader, write_reader
from ..model.heads import INNER, MOST_TUNED, EmotionHead, EmotionReader
from ..model.text import TextEncoder
from ..writing import write_whole
from .loop import Options, Trainer
from .recipe import Recipe, Terms, warm_cosine

#: Batches in an epoch; so many are drawn together and sorted by length, so that little is padded.
_EPOCH: Final = 64
_SORTED: Final = 8
#: An emotion is drawn from the collections by its frequency to the power of 1 minus this, at least this frequency: what
#: is known from a few lines only must not be heard everywhere.
_BALANCE: Final = 0.5
_RAREST: Final = 4e-3
#: Longer lines of the collections are left out: nobody says so much in one breath, and they are slow.
_MOST_CHARACTERS: Final = 90
#: How often a line of ours loses its last mark, or exchanges its full stop for an exclamation mark or the reverse.
_VERSIONS: Final = 3
_TEMPERATURES: Final = (0.25, 4.0, 151)
_BINS: Final = 12
_JUDGED: Final = 128


@dataclass(frozen=True)
class ReaderSettings:
    """How a reader is fitted. Stored in the run; resuming with others is refused (``steps`` may grow).

    Attributes:
        steps: optimiser steps in all.
        batch_size: lines per step.
        own_share: how many of them are ours, each emotion equally often.
        neutral_share: how many of the collections' lines are neutral: what they call so is often anything but.
        learning_rate: of the tuned layers; the head learns ``head_pace`` times as fast.
        smoothing: of the labels.
        dropped_tokens: how many tokens are hidden, so that no single word decides.
        changed_marks: in how many of our lines the marks are changed: we write "!" for some emotions only.
        weight_decay: of AdamW.
        average_decay: of the moving average of the weights, which is what is kept.
        seed: of the weights, the batches and the noise.
    """

    steps: int = 3000
    batch_size: int = 48
    own_share: float = 0.5
    neutral_share: float = 0.12
    learning_rate: float = 1.5e-4
    head_pace: float = 7.0
    smoothing: float = 0.1
    dropped_tokens: float = 0.1
    changed_marks: float = 0.3
    weight_decay: float = 0.01
    average_decay: float = 0.995
    seed: int = 0


@dataclass(frozen=True)
class Labelled:
    """Labelled lines.

    Attributes:
        texts: L distinct lines.
        labels: their weights over the emotions to be read, (L, K).
        own: which of them are ours, (L,); the others are from collections.
    """

    texts: list[str]
    labels: npt.NDArray[np.float32]
    own: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, lines: Mapping[str, npt.NDArray[np.float32]], split: str) -> Labelled:
        """``lines`` and their weights over `EMOTIONS`, and all of ours of this split but those `WITHHELD`."""
        ours = {line.text: np.array(line.feelings, np.float32) for line in _ours()}
        known = {text.lower() for text in (*ours, *WITHHELD)}
        own = {text: label for text, label in ours.items() if split_of(text) == split and text not in WITHHELD}
        others = {t: label for t, label in lines.items() if t.lower() not in known and len(t) <= _MOST_CHARACTERS}
        both = own | others
        return cls(list(both), np.stack(list(both.values())), np.arange(len(both)) < len(own))


def _ours() -> Iterator[Line]:
    yield from builtin_lines().lines
    yield from everyday_lines().lines
    yield from written_lines().lines


@dataclass(frozen=True)
class LineBatch:
    """B lines as tokens.

    Attributes:
        ids: (B, S).
        mask: True at real tokens, (B, S).
        labels: weights over the emotions, (B, K).
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor


class LineBatches:
    """Batches of lines, drawn anew in every epoch; which ones depends on (seed, epoch) only.

    Row i + L v of L lines is version v of line i: as it stands, without its last mark, with another one.
    """

    def __init__(self, lines: Labelled, encoder: TextEncoder, settings: ReaderSettings, *, varied: bool) -> None:
        self.lines, self.encoder, self.settings, self.varied = lines, encoder, settings, varied
        self._length = np.array([len(text) for text in lines.texts])
        leading = lines.labels.argmax(1)
        self._pools: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
        parts = [np.flatnonzero(lines.own), np.flatnonzero(~lines.own)]
        own = settings.own_share if all(map(len, parts)) else float(len(parts[0]) > 0)
        for rows, share in zip(parts, (own, 1 - own), strict=True):
            if len(rows):
                neutral = None if rows is parts[0] else settings.neutral_share
                count = round(share * settings.batch_size * _SORTED)
                self._pools.append((count, rows, _chances(leading[rows], lines.labels.shape[1], neutral)))

    def __len__(self) -> int:
        return _EPOCH

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Rows of every batch of an epoch."""
        rng = np.random.default_rng([self.settings.seed, epoch])
        batches = []
        for _ in range(_EPOCH // _SORTED):
            rows = np.concatenate([rng.choice(rows, count, p=chances) for count, rows, chances in self._pools])
            rows = rows[np.argsort(self._length[rows] + rng.random(len(rows)), kind="stable")]
            if self.varied:
                changed = self.lines.own[rows] & (rng.random(len(rows)) < self.settings.changed_marks)
                rows = rows + len(self._length) * np.where(changed, rng.integers(1, _VERSIONS, len(rows)), 0)
            sorted_batches = np.array_split(rows, _SORTED)
            batches += [sorted_batches[k] for k in rng.permutation(_SORTED)]
        return batches

    def collate(self, indices: list[int]) -> LineBatch:
        """These rows as a batch."""
        version, line = np.divmod(indices, len(self._length))
        texts = [_with_marks(self.lines.texts[i], v) for i, v in zip(line, version, strict=True)]
        ids, mask = self.encoder.tokens(texts)
        return LineBatch(ids, mask, torch.from_numpy(self.lines.labels[line]))


def _chances(leading: npt.NDArray[np.int64], emotions: int, neutral: float | None) -> npt.NDArray[np.float64]:
    """How often each line is drawn, from its leading emotion: each equally often where ``neutral`` is None."""
    frequency = np.bincount(leading, minlength=emotions) / len(leading)
    power = 1.0 if neutral is None else _BALANCE
    chance = np.maximum(frequency, _RAREST)[leading] ** -power
    plain = leading == 0
    if neutral is not None and 0 < plain.sum() < len(plain):
        chance[plain] *= neutral / chance[plain].sum()
        chance[~plain] *= (1 - neutral) / chance[~plain].sum()
    return np.asarray(chance / chance.sum(), np.float64)


def _with_marks(text: str, version: int) -> str:
    """A line as it stands (0), without its last marks (1), or with full stops for "!" or the reverse (2)."""
    if version == 0:
        return text
    if version == 1:
        return re.sub(r"(?<=\w)[.!?]+$", "", text)
    return text.replace("!", ".") if "!" in text else re.sub(r"(?<=\w)\.$", "!", text)


class ReaderObjective(nn.Module):
    """A reader and its objective as one module: cross-entropy to smoothed labels."""

    def __init__(self, reader: EmotionReader, encoder: TextEncoder, settings: ReaderSettings) -> None:
        super().__init__()
        self.reader, self._encoder, self._settings = reader, encoder, settings

    def forward(self, batch: LineBatch, step: int) -> Terms:
        """Mean surprise of the batch; in train mode some tokens are hidden."""
        settings, mask, labels = self._settings, batch.mask, batch.labels
        with torch.no_grad():
            states = self._encoder.states(batch.ids, mask, self.reader.frozen)
        if self.training:
            seen = torch.rand_like(mask, dtype=torch.float32) >= settings.dropped_tokens
            seen[:, 0] = True
            mask = mask & seen
            labels = labels * (1 - settings.smoothing) + settings.smoothing / labels.shape[1]
        logits = self.reader(self._encoder, states, mask)
        return {"total": -(labels * logits.log_softmax(-1)).sum(-1).mean()}


class ReaderRecipe(Recipe[LineBatch]):
    """Fitting a reader: AdamW in two paces, a cosine schedule, a moving average of the weights.

    Args:
        train, dev: labelled lines.
        encoder: the text encoder; its last layers are tuned where it is a BERT.
        device: where it is fitted.
        settings: of the run.
        shape: of the reader; None for the best one that the encoder allows.
    """

    name = "emotion"
    module: ReaderObjective
    train: LineBatches
    dev: LineBatches

    def __init__(
        self, train: Labelled, dev: Labelled, encoder: TextEncoder, device: torch.device | str = "cpu",
        settings: ReaderSettings | None = None, shape: EmotionHead | None = None,
    ) -> None:  # fmt: skip
        if not train.texts or not dev.texts:
            raise DataError("There are too few labelled lines: the train and the dev split need one at least.")
        self._settings = settings = settings or ReaderSettings()
        self._encoder = encoder
        self.steps, self.seed, self.clip_norm = settings.steps, settings.seed, 1.0
        self.average_decay = settings.average_decay
        self.train = LineBatches(train, encoder, settings, varied=True)
        self.dev = LineBatches(dev, encoder, settings, varied=False)
        torch.manual_seed(settings.seed)
        reader = EmotionReader(encoder.width, train.labels.shape[1], shape or best_shape(encoder))
        reader.start_from(encoder)
        self.module = ReaderObjective(reader.to(device), encoder, settings)

    def settings(self) -> dict[str, Any]:
        """How it is fitted, the text encoder, and how many lines there are."""
        lines = [len(source.lines.texts) for source in (self.train, self.dev)]
        shape = self.module.reader.shape.to_json()
        return {"training": asdict(self._settings), "shape": shape, "encoder": self._encoder.name, "lines": lines}

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; the head learns faster than the layers, which know a lot already."""
        s, reader = self._settings, self.module.reader
        groups = [{"params": list(reader.encoder.parameters()), "pace": 1.0, "weight_decay": s.weight_decay}]
        head = {"params": list(reader.head.parameters()), "pace": s.head_pace, "weight_decay": 5 * s.weight_decay}
        return _PacedAdamW([*(group for group in groups if group["params"]), head], s.learning_rate)

    def learning_rate(self, step: int) -> float:
        """See `warm_cosine`."""
        s = self._settings
        return warm_cosine(step, s.steps, min(60, s.steps // 10 + 1), s.learning_rate)

    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """The reader alone, and its shape."""
        assert isinstance(module, ReaderObjective)
        write_reader(module.reader, folder)
        write_whole(folder / "config.json", json.dumps({"emotion_head": module.reader.shape.to_json()}).encode())


class _PacedAdamW(torch.optim.AdamW):
    """AdamW whose groups have a "pace": a factor on the learning rate that all are given before a step."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["lr"] *= group["pace"]
        return super().step(closure)


def best_shape(encoder: TextEncoder) -> EmotionHead:
    """The last layers tuned where they can be, else a wider head on what the encoder says."""
    if encoder.bert is None or encoder.bert.config.intermediate_size != INNER * encoder.width:
        return EmotionHead(width=256)
    count = encoder.bert.layers
    return EmotionHead(layers=tuple(range(max(0, count - MOST_TUNED), count)))


def fit_emotion_reader(
    train: Labelled, dev: Labelled, encoder: TextEncoder, run: Path, settings: ReaderSettings | None = None,
    shape: EmotionHead | None = None, device: torch.device | str = "cpu",
) -> tuple[EmotionReader, dict[str, float]]:  # fmt: skip
    """A new reader, fitted to the train split's lines, calibrated and judged on the dev split's.

    Args:
        run: folder of the run; one that was interrupted goes on from there.

    Returns:
        the reader in eval mode, and what `judge` measured of it on the dev split's lines, ours (``own_*``) and all.
    """
    recipe = ReaderRecipe(train, dev, encoder, device, settings, shape)
    best = Trainer(run, recipe, Options(evaluate_every=300, save_every=100)).train()
    reader = read_reader(best, recipe.module.reader.shape, encoder.width).to(device)
    return reader, calibrate_and_judge(reader, dev, encoder)


@torch.no_grad()
def read_logits(reader: EmotionReader, encoder: TextEncoder, texts: list[str]) -> npt.NDArray[np.float32]:
    """Calibrated logits of lines, (L, K); lines of similar length together."""
    out = np.zeros((len(texts), len(EMOTIONS)), np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    for first in range(0, len(order), _JUDGED):
        rows = order[first : first + _JUDGED]
        ids, mask = encoder.tokens([texts[i] for i in rows])
        states = encoder.states(ids, mask, reader.frozen)
        out[rows] = reader(encoder, states, mask.to(states.device)).cpu().numpy()
    return out


def calibrate_and_judge(reader: EmotionReader, dev: Labelled, encoder: TextEncoder) -> dict[str, float]:
    """Temperature scaling (Guo et al. 2017) on held-out lines, every emotion of which counts the same; then `judge`."""
    logits = torch.from_numpy(read_logits(reader, encoder, dev.texts))
    labels, own = torch.from_numpy(dev.labels), dev.own
    weight = torch.from_numpy(_evenly(dev))
    candidates = torch.linspace(*_TEMPERATURES)
    losses = torch.stack([-(weight[:, None] * labels * (logits / t).log_softmax(-1)).sum() for t in candidates])
    found = candidates[losses.argmin()]
    reader.head.calibration.mul_(found.to(reader.head.calibration.device))
    probabilities = (logits / found).softmax(-1).numpy()
    measured = judge(probabilities, dev.labels, _evenly(dev))
    if own.any() and not own.all():
        measured |= {f"own_{k}": v for k, v in judge(probabilities[own], dev.labels[own], _evenly(dev)[own]).items()}
    return measured


def _evenly(lines: Labelled) -> npt.NDArray[np.float32]:
    """What each line counts, (L,): ours and the collections' half each, every leading emotion of them the same."""
    leading = lines.labels.argmax(1)
    weight = np.zeros(len(leading), np.float32)
    for part in (lines.own, ~lines.own):
        if part.any():
            count = np.bincount(leading[part], minlength=lines.labels.shape[1])
            weight[part] = 1 / count[leading[part]] / (count > 0).sum()
    return weight / weight.sum()


def judge(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]
) -> dict[str, float]:
    """How well probabilities (L, K) fit labels (L, K); ``weight`` (L,) of the lines counts for the calibration only.

    Recalls ask for the label's largest weight. The expected calibration error compares how sure the likeliest emotion
    is with its share of the label: a line may be half joy. ``read_as_neutral`` is the share of lines with another
    emotion that are read as neutral.
    """
    guess, confidence, truth = probabilities.argmax(-1), probabilities.max(-1), labels.argmax(-1)
    recalls = {int(k): float((guess[truth == k] == k).mean()) for k in np.unique(truth)}
    gap = weight * (confidence - labels[np.arange(len(guess)), guess])
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    measured = {
        "accuracy": float((guess == truth).mean()),
        "balanced_accuracy": float(np.mean(list(recalls.values()))),
        "calibration_error": sum(abs(float(gap[bins == b].sum())) for b in range(_BINS)) / float(weight.sum()),
        "lines": float(len(truth)),
    }
    if 0 in recalls:
        measured["neutral_recall"] = recalls[0]
    if any(recalls):
        measured["read_as_neutral"] = float((guess[truth != 0] == 0).mean())
    return {name: round(value, 4) for name, value in measured.items()}
