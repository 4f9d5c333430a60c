# SPDX-License-Identifier: GPL-3.0-or-later
"""Torch on one thread: the models here are tiny, and two threads wait for each other on a busy machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.generator.made_emoava import make_emoava_like

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `tiny.write_bert`; it reads long lines."""
    from tests.generator.tiny import write_bert

    return write_bert(tmp_path_factory.mktemp("bert") / "tiny", 32, max_position_embeddings=128)


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
