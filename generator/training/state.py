# SPDX-License-Identifier: GPL-3.0-or-later
"""What a resumed run needs, in one file that appears whole: a kill while it is written loses nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..errors import CheckpointError, InputError
from ..reading import SETTINGS as SETTINGS_BUDGET
from ..reading import reading, refusing
from ..writing import write_whole

#: The state file in a run folder.
STATE: Final = "state.safetensors"
#: What defines the run.
SETTINGS: Final = "settings.json"


@dataclass
class State:
    """Everything that changes while training.

    Attributes:
        module: what is trained.
        average: moving average of its weights, or None.
        optimizer: its parameters are ``module``'s.
        scaler: of fp16's gradients; disabled otherwise.
        step: steps done.
        best: the best score so far.
    """

    module: nn.Module
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best: float = float("inf")

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite as checkpoints store them, in half precision."""
        weights = (value for module in self._modules().values() for value in module.parameters())
        return all(bool(value.half().isfinite().all()) for value in weights)

    def save(self, path: Path) -> None:
        """Write everything to ``path``."""
        tensors = dict(self._modules_state())
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        for name, value in self.scaler.state_dict().items():
            tensors[f"scaler.{name}"] = torch.tensor(value, dtype=torch.float64)
        tensors["step"], tensors["best"] = torch.tensor(self.step), torch.tensor(self.best, dtype=torch.float64)
        # Copies: safetensors refuses tensors that share memory, as tied weights do.
        data = save({key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()})
        write_whole(path, data)

    def load(self, path: Path) -> None:
        """Continue from ``path``; CheckpointError when it is damaged or holds another model."""
        sentence = f"The state of the run, {path}, is damaged or of another version; train into another folder."
        with refusing(lambda _why: CheckpointError(sentence)):
            tensors = load_file(path)
            for prefix, module in self._modules().items():
                module.load_state_dict(_under(prefix, tensors))
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under("optimizer.", tensors).items():
                index, name = key.split(".", 1)
                state.setdefault(int(index), {})[name] = value
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
            if self.scaler.is_enabled() and (stored := _under("scaler.", tensors)):
                kinds = {name: type(value) for name, value in self.scaler.state_dict().items()}
                self.scaler.load_state_dict({name: kinds[name](value.item()) for name, value in stored.items()})
            self.step, self.best = int(tensors["step"]), float(tensors["best"])

    def _modules(self) -> dict[str, nn.Module]:
        return {"model.": self.module} | ({} if self.average is None else {"average.": self.average})

    def _modules_state(self) -> dict[str, Tensor]:
        return {f"{prefix}{k}": v for prefix, module in self._modules().items() for k, v in module.state_dict().items()}


def check_settings(run: Path, mine: dict[str, Any]) -> None:
    """InputError when ``run`` was started with settings other than ``mine``; ``steps`` alone may change."""
    path = run / SETTINGS
    if not path.is_file():
        return
    sentence = f"{path} is damaged; train into another folder."
    with reading(path, SETTINGS_BUDGET, lambda _why: CheckpointError(sentence)) as file:
        stored = file.json()
    if changed := _first_difference(stored, json.loads(json.dumps(mine))):
        raise InputError(
            f"The run in {run} was started with another {changed}; use the same settings to resume it, or another "
            "folder for a new run."
        )


def write_settings(run: Path, mine: dict[str, Any]) -> None:
    """Store what defines the run."""
    write_whole(run / SETTINGS, json.dumps(mine, indent=1).encode())


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _first_difference(stored: Any, mine: dict[str, Any]) -> str | None:
    if not isinstance(stored, dict):
        return "kind of settings"
    for name, value in mine.items():
        if isinstance(value, dict):
            if found := _first_difference(stored.get(name), value):
                return found
        elif name != "steps" and stored.get(name) != value:
            return f"{name} ({stored.get(name)!r}, not {value!r})"
    return None
