# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkpoint the paper's authors released: ``epoch``, ``settings`` and ``model`` in one file of ``torch.save``.

``settings`` is an argparse namespace that holds a whole pickled BertModel; ``model`` is a state dict that stores the
same BERT once more, twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch

from ...errors import CheckpointError
from .torch_archive import read_torch_archive
from .unpickling import Named, Refusal, StandIn

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

#: The text encoder's weights, and the name under which the released model registers the same module again.
ENCODER_PREFIX: Final = "encoder."
ENCODER_COPY_PREFIX: Final = "encoder_pretrained."
#: Settings are a handful of values; a pickle can make a few bytes look like billions of them.
_MAX_DEPTH: Final = 20
_MAX_VALUES: Final = 20_000


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """What a released checkpoint holds.

    Attributes:
        epoch: the epoch it was written after.
        settings: the training script's options; a stored object appears as the name of its class.
        encoder: the stored text encoder's own configuration (``hidden_size``, ``num_attention_heads``, …); empty when
            the file stores none.
        state: weights under the released names, on the CPU, without ``encoder_pretrained.*``; some share memory.
        copies: name left out -> name in ``state`` with the same weights.
    """

    epoch: int
    settings: dict[str, Json]
    encoder: dict[str, Json]
    state: dict[str, torch.Tensor] = field(repr=False)
    copies: dict[str, str] = field(repr=False)


def read_released_checkpoint(path: Path) -> ReleasedCheckpoint:
    """Read ``model.chkpt``. Nothing in it is run, whatever it names.

    Raises:
        CheckpointError: missing, another format or layout, damaged, or a file that tries to run something; the
            message names what.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; give the path of a released checkpoint such as model.chkpt.")
    try:
        epoch, settings, stored = _layout(read_torch_archive(path))
        values = _Values()
        encoder = settings.get("encoder_pretrained")
        config = encoder.attributes.get("config") if isinstance(encoder, StandIn) else None
        return ReleasedCheckpoint(
            epoch,
            {name: values.json(value) for name, value in settings.items()},
            _config(values, config.attributes) if isinstance(config, StandIn) else {},
            *_state(stored),
        )
    except Refusal as refusal:
        raise CheckpointError(
            f"{path.name} {refusal}. Nothing in it was run; use the checkpoint the paper's authors published."
        ) from refusal


def _layout(content: Any) -> tuple[int, dict[str, Any], dict[str, torch.Tensor]]:
    """Epoch, settings and weights of a released checkpoint; `Refusal` says which part is not as it should be."""
    if not isinstance(content, dict):
        raise Refusal("does not hold a dictionary with epoch, settings and model")
    if missing := [name for name in ("epoch", "settings", "model") if name not in content]:
        raise Refusal(f"lacks {missing[0]!r}, so it was not written by the released training script")
    epoch, settings, model = content["epoch"], content["settings"], content["model"]
    if type(epoch) is not int or epoch < 0:
        raise Refusal("has an epoch that is not a number")
    if not (isinstance(settings, StandIn) and settings.name == "argparse.Namespace"):
        raise Refusal("has settings that are not an argparse namespace")
    options = settings.attributes
    if not all(isinstance(name, str) for name in options):
        raise Refusal("has a setting whose name is not text")
    if not isinstance(model, dict) or not model:
        raise Refusal("holds no weights")
    for name, value in model.items():
        if not (isinstance(name, str) and isinstance(value, torch.Tensor)):
            raise Refusal(f"has an entry {str(name)[:80]!r} among its weights that is not a tensor")
    return epoch, options, model


def _state(stored: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Weights without the second copy of the text encoder, and what was left out."""
    state: dict[str, torch.Tensor] = {}
    copies: dict[str, str] = {}
    # Copies come last, so that what they are copies of is there to compare with.
    for name in sorted(stored, key=lambda name: name.startswith(ENCODER_COPY_PREFIX)):
        twin = ENCODER_PREFIX + name.removeprefix(ENCODER_COPY_PREFIX)
        if not name.startswith(ENCODER_COPY_PREFIX) or twin not in stored:
            state[name] = _finite(name, stored[name])
        elif torch.equal(state[twin], stored[name]):
            copies[name] = twin
        else:
            raise Refusal(f"holds two different text encoders: {twin} and {name} should be equal")
    return state, copies


def _finite(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise Refusal(f"holds weights that are not finite ({name})")
    return tensor


def _config(values: _Values, attributes: dict[Any, Any]) -> dict[str, Json]:
    """A ``transformers`` configuration: its plain values; defaults that are None say nothing."""
    return {
        str(name): values.json(value)
        for name, value in attributes.items()
        if not str(name).startswith("_") and value is not None
    }


class _Values:
    """Turns what an inert pickle holds into JSON, with a limit on how much of it there may be."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def json(self, value: Any, depth: int = 0) -> Json:
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise Refusal("has settings that are nested too deeply or never end")
        match value:
            case None | bool() | int() | str():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case list() | tuple():
                return [self.json(item, depth + 1) for item in value]
            case dict():
                return {str(key): self.json(item, depth + 1) for key, item in value.items()}
            case StandIn() | Named():
                return value.name.rpartition(".")[2]
            case torch.Tensor():
                return f"tensor of shape {tuple(value.shape)}"
            case _:
                return f"<{type(value).__name__}>"
