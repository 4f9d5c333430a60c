# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model a run trains, and on what: the data, ``--model``, ``--from`` and every setting become a recipe."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import torch

from ..corpus.datasets import Performances
from ..errors import CheckpointError, InputError
from ..model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from ..model.text import DEFAULT_ENCODER, MAX_TOKENS, TextEncoder
from ..reading import SETTINGS, reading
from .data_source import DataSource, Kind
from .recipe import Recipe

ModelName = Literal["default", "paper", "lstm", "vq"]

#: The paper's text encoder.
PAPER_ENCODER: Final = "bert-base-cased"
#: Fine-tuning passes so often over its clips, within these steps.
_FINE_TUNING_EPOCHS: Final = 30
_FINE_TUNING_STEPS: Final = (300, 4000)


@dataclass(frozen=True)
class _Model:
    """How a model is trained.

    Attributes:
        recipe, settings: the classes.
        config: what else shapes the model, if anything does.
        fine_tuning: settings that differ when a checkpoint is trained further.
        epochs: trained unless told otherwise; None where the settings say how many steps.
    """

    recipe: Any
    settings: Any
    config: Any = None
    fine_tuning: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None


def _model(name: ModelName) -> _Model:
    """A model's classes; imported here, so that a run loads what it needs."""
    match name:
        case "default":
            from ..engine.config import ModelConfig
            from .default import FINE_TUNING, DefaultRecipe, DefaultSettings

            return _Model(DefaultRecipe, DefaultSettings, ModelConfig, FINE_TUNING)
        case "paper":
            from ..paper.config import PaperConfig
            from .paper import FINE_TUNING, PaperRecipe, PaperSettings

            return _Model(PaperRecipe, PaperSettings, PaperConfig, FINE_TUNING, epochs=100)
        case "lstm":
            from .baselines import LstmRecipe, LstmSettings

            return _Model(LstmRecipe, LstmSettings)
        case "vq":
            from .baselines import VqRecipe, VqSettings

            return _Model(VqRecipe, VqSettings)


_BY_DATA: Final[Mapping[Kind, ModelName]] = MappingProxyType(
    {"corpus": "default", "captures": "default", "emoava": "paper"}
)


@dataclass(frozen=True)
class Choice:
    """What the command line asks to train.

    Attributes:
        data: the data set.
        run: the run folder.
        model: None for the one that fits the data, or the one in ``start``.
        start: "default" or a checkpoint folder to train further; None for fresh weights.
        text_encoder: None for the one that fits.
        steps, epochs: how long; both None for what the model needs.
        training: settings by name, as values.
        overrides: ``NAME=VALUE`` texts: settings of the model or of training.
        reference: all quirks of the released code (the paper's model).
    """

    data: DataSource
    run: Path
    model: ModelName | None = None
    start: str | None = None
    text_encoder: str | None = None
    steps: int | None = None
    epochs: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    reference: bool = False


def make_recipe(choice: Choice, device: torch.device) -> Recipe[Any]:
    """The recipe of a run, with its data open and its text features computed.

    Raises:
        InputError: options that do not fit together or to the data.
        CheckpointError, DataError, EnvironmentProblem: from what is opened.
    """
    start_folder = _start_folder(choice.start)
    name = _model_name(choice, start_folder)
    model = _model(name)
    own, shape = _sort_overrides(choice.overrides, model.settings, model.config)
    if choice.reference and name != "paper":
        raise InputError(f"--reference switches the paper's model to the released code; {name} has no such quirks.")
    start = _open_start(name, start_folder, device)
    more: dict[str, Any] = {}
    encoder_name = choice.text_encoder or (PAPER_ENCODER if choice.data.kind == "emoava" else DEFAULT_ENCODER)
    max_tokens = MAX_TOKENS
    if model.config is not None:
        config = _config(model.config, shape, choice.reference, start)
        more = {"config": config, "start": start}
        max_tokens = min(MAX_TOKENS, getattr(config, "max_text", MAX_TOKENS))
    if start is not None and choice.text_encoder is None:
        encoder = start.encoder if name == "paper" else TextEncoder.load(start.text_encoder, device, online=False)
    else:
        encoder = TextEncoder.load(encoder_name, device, max_tokens)
    train, dev = choice.data.open("train"), choice.data.open("dev")
    fine_tuning = {} if start is None else model.fine_tuning
    settings = _settings(choice, model, {**fine_tuning, **own, **choice.training}, train, start)
    recipe: Recipe[Any] = model.recipe(train, dev, settings, encoder, device, _cache(choice), **more)
    return recipe


def _start_folder(start: str | None) -> Path | None:
    if start is None:
        return None
    folder = DEFAULT_CHECKPOINT if start == "default" else Path(start)
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"There is no checkpoint in {folder} (config.json is missing); --from takes a folder made by 'train' or "
            "'convert', or the word default for the bundled one."
        )
    return folder


def _model_name(choice: Choice, start: Path | None) -> ModelName:
    if start is None:
        return choice.model or _BY_DATA[choice.data.kind]
    path = start / "config.json"
    sentence = f"{path} is damaged; choose another checkpoint for --from."
    with reading(path, SETTINGS, lambda _why: CheckpointError(sentence)) as file:
        kind = file.json().get("format")
    if kind == "cteg-baseline":
        raise InputError(f"{start} holds a baseline, and baselines cannot be trained further; leave out --from.")
    held: ModelName = "paper" if kind == "cteg-paper" else "default"
    if choice.model not in (None, held):
        raise InputError(f"{start} holds the {held} model, not {choice.model}; leave out --model.")
    return held


def _open_start(name: ModelName, folder: Path | None, device: torch.device) -> Any:
    if folder is None:
        return None
    if name == "paper":
        from ..paper.checkpoint import load_paper_checkpoint

        return load_paper_checkpoint(folder, device)
    return load_checkpoint(folder, device)


def _config(kind: Any, shape: dict[str, Any], reference: bool, start: Any) -> Any:
    """The model's config: new, or the checkpoint's; in either case with what is set."""
    try:
        if start is None:
            return kind.reference(**shape) if reference else kind(**shape)
        if reference:
            raise InputError("--reference is for new models; a checkpoint has its own quirks, which --set can switch.")
        held = start.model.config if hasattr(start, "model") else start.decoder.config
        return replace(held, **shape)
    except ValueError as error:
        raise InputError(f"These settings do not fit together: {error}.") from error


def _settings(choice: Choice, model: _Model, values: dict[str, Any], train: Performances, start: Any) -> Any:
    """The training settings, with the number of steps that the options or the data ask for."""
    size: int = values.get("batch_size") or model.settings.batch_size
    if size < 1:
        raise InputError(f"--batch-size must be at least 1, not {size}.")
    per_epoch = max(1, -(-len(train) // size))
    epochs = choice.epochs if choice.epochs is not None else model.epochs
    if choice.steps is not None:
        values["steps"] = choice.steps
    elif start is not None and choice.epochs is None:
        low, high = _FINE_TUNING_STEPS
        values["steps"] = min(max(_FINE_TUNING_EPOCHS * per_epoch, low), high)
    elif epochs is not None:
        values["steps"] = round(epochs * per_epoch)
    return model.settings(**values)


def _sort_overrides(overrides: Sequence[str], settings: Any, config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """``NAME=VALUE`` texts as values: those of the training settings, and those of the model's config."""
    own: dict[str, Any] = {}
    shape: dict[str, Any] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set takes NAME=VALUE, not {override!r}.")
        for owner, kind in ((shape, config), (own, settings)):
            found = next((f for f in fields(kind) if f.name == name), None) if kind is not None else None
            if found is not None and name != "steps":
                owner[name] = _parse(found, text)
                break
        else:
            known = sorted(
                {f.name for kind in (config, settings) if kind is not None for f in fields(kind)} - {"steps"}
            )
            raise InputError(f"There is no setting called {name!r} to --set; there are {', '.join(known)}.")
    return own, shape


def _parse(field: Field[Any], text: str) -> Any:
    """``text`` as the type of the setting's default."""
    default = 0.0 if field.default in (None, MISSING) else field.default
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        value = type(default)(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
        return value
    except (KeyError, ValueError):
        raise InputError(f"The setting {field.name} must look like {default!r}, not {text!r}.") from None


def _cache(choice: Choice) -> Path:
    """Where text features lie: beside a corpus, so that its runs share them; otherwise in the run folder."""
    folder = choice.data.folder
    return (folder if choice.data.kind == "corpus" and os.access(folder, os.W_OK) else choice.run) / "cache"
