# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of recorded vectors, and our model with its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import BertWordPieceTokenizer, Tokenizer
from torch import Tensor, nn

from generator.paper.batches import PaperBatch, collate
from generator.paper.config import PaperConfig
from generator.paper.model import PaperCTEG
from generator.paper.released.names import from_released_state, released_text_encoder

MARKER_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@dataclass(frozen=True)
class Arrays:
    """The tensors of one file and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def starting(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose name starts with ``prefix``, without it."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


class Replay:
    """Stands in for `torch.randn_like`: hands out recorded draws, in order, and notices a draw of another shape."""

    def __init__(self, draws: Mapping[str, Tensor]) -> None:
        self.draws = [draws[name] for name in sorted(draws)]
        self.used = 0

    def __call__(self, like: Tensor) -> Tensor:
        if self.used == len(self.draws):
            raise AssertionError(f"a draw of {tuple(like.shape)} was asked for after the last recorded one")
        draw = self.draws[self.used]
        if draw.shape != like.shape:
            raise AssertionError(f"draw {self.used} was recorded as {tuple(draw.shape)}, asked {tuple(like.shape)}")
        self.used += 1
        return draw

    def finish(self) -> None:
        """Every recorded draw must have been used."""
        if self.used != len(self.draws):
            raise AssertionError(f"{len(self.draws) - self.used} recorded draws were never asked for")


class Folder:
    """Recorded vectors in the layout of the released implementation's (see its README)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tags = sorted(m[1] for p in path.glob("config_*.json") if (m := re.fullmatch("config_(.+)", p.stem)))
        if not (self.tags and self.has("batch") and self.vocabulary.is_file()):
            raise FileNotFoundError(f"{path} holds no recorded vectors (config_*.json, batch.safetensors, vocab.txt)")

    def has(self, name: str) -> bool:
        """Whether there is a file ``name``.safetensors."""
        return (self.path / f"{name}.safetensors").is_file()

    def read(self, name: str) -> Arrays:
        """The file ``name``.safetensors."""
        with safe_open(self.path / f"{name}.safetensors", "pt") as file:
            return Arrays({k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {})  # noqa: SIM118

    @cached_property
    def batch(self) -> Arrays:
        """The file ``batch``."""
        return self.read("batch")

    @cached_property
    def vocabulary(self) -> Path:
        """The text encoder's vocabulary."""
        return self.path / "vocab.txt"

    @property
    def markers(self) -> list[int]:
        """Token ids of [PAD], [UNK], [CLS], [SEP]."""
        words = self.vocabulary.read_text("utf-8").split("\n")
        return [words.index(token) for token in MARKER_TOKENS]

    def tokenizer(self) -> Tokenizer:
        """The cased WordPiece tokenizer of `vocabulary`."""
        return BertWordPieceTokenizer(str(self.vocabulary), lowercase=False)._tokenizer

    def settings(self, tag: str) -> dict[str, Any]:
        """The training options that belong to config_<tag>.json."""
        config = json.loads((self.path / f"config_{tag}.json").read_text("utf-8"))
        return {
            **config,
            "d_inner_hid": config["d_inner"],
            "exp_only_dim": config["exp_dim"],
            "trg_exp_dim": config["exp_dim"] + config["jaw_dim"],
            "trg_len": int(self.batch.metadata["trg_len"]),
            "src_len": int(self.batch.metadata["src_len"]),
            "encoder_pretrained": "bert-base",
            "cvae": True,
            "dropout": 0.1,
        }

    def config(self, tag: str, **changes: Any) -> PaperConfig:
        """The reference config of ``tag``."""
        return replace(PaperConfig.from_settings(self.settings(tag)), **changes)

    def model(self, tag: str, **changes: Any) -> PaperCTEG:
        """Our model with the recorded weights, in eval mode."""
        config = self.config(tag, **changes)
        model = PaperCTEG(config)
        model.load_state_dict(from_released_state(self.read(f"state_{tag}").tensors, config, self.markers))
        return model.eval()

    def encoder(self, tag: str) -> nn.Module:
        """The recorded BERT text encoder, in eval mode."""
        settings = self.settings(tag)
        return bert(settings["bert"], settings["vocab_size"], released_text_encoder(self.read(f"state_{tag}").tensors))

    def collated(self, config: PaperConfig, name: str = "batch") -> PaperBatch:
        """The clips of file ``name`` through our loader."""
        arrays = self.read(name)
        clips = [arrays[f"raw.{i}"] for i in range(len(json.loads(arrays.metadata["texts"])))]
        return collate(clips, arrays["mean"], config)

    def texts(self, config: PaperConfig, name: str = "batch") -> tuple[Tensor, Tensor]:
        """Token ids and mask of the lines of file ``name`` through our loader."""
        return text_ids(self.tokenizer(), json.loads(self.read(name).metadata["texts"]), config)

    def memory(self, tag: str, config: PaperConfig) -> tuple[Tensor, Tensor]:
        """Hidden states of the lines of ``batch`` and their mask."""
        ids, mask = self.texts(config)
        return encode(self.encoder(tag), ids, mask), mask


def bert(settings: Mapping[str, Any], vocabulary: int, state: dict[str, Tensor], strict: bool = True) -> nn.Module:
    """A BertModel in eval mode with the weights ``state``."""
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    model = BertModel(BertConfig(vocab_size=vocabulary, **settings), add_pooling_layer=False)
    model.load_state_dict(state, strict)
    return model.eval()


@torch.no_grad()
def encode(encoder: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Last hidden states (B, S, D)."""
    hidden: Tensor = encoder(ids, attention_mask=mask.long()).last_hidden_state
    return hidden


def text_ids(tokenizer: Tokenizer, lines: Sequence[str], config: PaperConfig) -> tuple[Tensor, Tensor]:
    """Token ids (B, S) and their mask (B, S), True where a token is real; S as `PaperConfig.pad_text` says.

    ``tokenizer`` is a BERT WordPiece tokenizer; a line longer than ``config.max_text`` tokens is cut.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.max_text)
    encoded = [tokenizer.encode(line).ids for line in lines]
    length = config.max_text if config.pad_text else max(map(len, encoded))
    ids = torch.zeros(len(lines), length, dtype=torch.long)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    mask = torch.arange(length) < torch.tensor([len(tokens) for tokens in encoded])[:, None]
    return ids, mask
