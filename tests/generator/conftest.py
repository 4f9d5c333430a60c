# SPDX-License-Identifier: GPL-3.0-or-later
"""Torch on one thread: the models here are tiny, and two threads wait for each other on a busy machine."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.generator.made_emoava import make_emoava_like

torch.set_num_threads(1)

#: Width of `tiny_encoder`.
TINY_WIDTH = 32


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of random weights that knows letters, laid out as Hugging Face does."""
    from safetensors.torch import save_file
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    folder = tmp_path_factory.mktemp("encoder")
    letters = string.ascii_letters + string.digits + string.punctuation
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    config = BertConfig(
        vocab_size=len(words), hidden_size=TINY_WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128,
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertModel(config, add_pooling_layer=False)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 of our own lines, performed by the teacher."""
    from generator.corpus.build import build_corpus

    folder = tmp_path_factory.mktemp("corpus") / "small"
    build_corpus(folder, limit=300, progress=False)
    return folder


@pytest.fixture(scope="session")
def made_emoava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up set in EmoAva's layout: 26 clips to train on, 6 to judge."""
    return make_emoava_like(tmp_path_factory.mktemp("emoava"), {"train": 26, "dev": 6, "test": 4}, (6, 40))


@pytest.fixture
def run_train() -> Callable[..., int]:
    """``python -m generator train`` on the CPU, in this process; returns its exit status."""
    from generator.__main__ import main

    return lambda *options: main(["train", "--device=cpu", *options])
