# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines on disk: a folder with ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save

from ..writing import write_whole
from .model import BaselineModel

FORMAT: Final = "cteg-baseline"
SCHEMA: Final = 1


def save_baseline(model: BaselineModel, text_encoder: str, folder: Path, training: dict[str, Any]) -> None:
    """Write ``folder``; ``training`` says how it was trained and what was measured."""
    config = {
        "format": FORMAT,
        "schema_version": SCHEMA,
        "kind": model.kind,
        "space": model.space.name,
        "text_encoder": text_encoder,
        "model": model.config(),
        "training": training,
    }
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_whole(folder / "model.safetensors", save(state))
    write_whole(folder / "config.json", json.dumps(config, indent=1).encode())
