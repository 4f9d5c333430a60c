# SPDX-License-Identifier: GPL-3.0-or-later
"""A text encoder, a checkpoint of the default model and one of the paper's, random and tiny, as files."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from generator.direction.emotions import EMOTIONS
from generator.engine.config import ModelConfig
from generator.model.bert import BertConfig, weight_shapes
from generator.model.checkpoint import Checkpoint, save_checkpoint
from generator.model.cteg import CTEG
from generator.model.heads import EmotionHead, EmotionReader
from generator.model.text import TextEncoder
from generator.paper.checkpoint import PaperCheckpoint, save_paper_checkpoint
from generator.paper.config import PaperConfig
from generator.paper.model import PaperCTEG

#: Every English word can be spelled with these.
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"ABC", *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_letters),
         *string.ascii_uppercase[3:], *".,?!'"]  # fmt: skip

#: The default model, of `write_default`.
CONFIG = ModelConfig(
    text_width=16, d_model=16, n_head=2, d_inner=16, d_latent=4, d_ewa=8, prior_parts=2, prior_components=2
)


def write_bert(folder: Path, width: int = 16, **settings: Any) -> Path:
    """A BERT with random weights and a vocabulary of letters."""
    sizes = {
        "vocab_size": len(WORDS), "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 2 * width, "max_position_embeddings": 64, **settings,
    }  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    shapes = weight_shapes(BertConfig.from_json(sizes))
    folder.mkdir(parents=True)
    save_file({name: torch.randn(shape, generator=rng) * 0.3 for name, shape in shapes}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return folder


def write_default(folder: Path, encoder: str, loud: float = 1.0) -> Path:
    """A checkpoint of the default model; its frames move the more, the louder."""
    torch.manual_seed(0)
    decoder = CTEG(CONFIG).eval()
    with torch.no_grad():
        decoder.frames.weight.mul_(loud)
    save_checkpoint(Checkpoint(decoder, EmotionReader(16, len(EMOTIONS), EmotionHead()), encoder), folder)
    return folder


def write_paper(folder: Path, **changes: Any) -> Path:
    """A checkpoint of the paper's model, wild enough to tell frames apart."""
    sizes = {"d_model": 16, "n_head": 2, "d_key": 8, "d_value": 8, "d_inner": 24, "max_positions": 60, "max_text": 40}
    config = PaperConfig.reference(**{**sizes, **changes})
    torch.manual_seed(1)
    model = PaperCTEG(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    encoder = TextEncoder.load(str(write_bert(folder.with_name(f"{folder.name}_encoder"), config.d_model)))
    mean = torch.linspace(-0.5, 0.5, config.channels)
    save_paper_checkpoint(PaperCheckpoint(model, mean, encoder, training={"epoch": 2}), folder)
    return folder
