# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: mappings for rigs that many people have, as data files (no ``bpy``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from .mapping import Mapping, MappingError

_FOLDER: Final = Path(__file__).with_name("data") / "presets"


@dataclass(frozen=True)
class Preset:
    """A mapping that can be put on a face.

    Attributes:
        name: of its file, without the ending.
        label: what the menu says.
        description: which rigs it is for.
        mapping: with the origin ``preset:LABEL``.
    """

    name: str
    label: str
    description: str
    mapping: Mapping


@cache
def presets() -> tuple[Preset, ...]:
    """All presets, in the order of their labels."""
    return tuple(sorted((_read(path) for path in _FOLDER.glob("*.json")), key=lambda preset: preset.label.lower()))


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        MappingError: there is none.
    """
    for one in presets():
        if one.name == name:
            return one
    names = ", ".join(one.name for one in presets())
    raise MappingError("There is no preset called {name!r}; choose one of {names}.", name=name, names=names)


def _read(path: Path) -> Preset:
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    return Preset(path.stem, data["label"], data["description"], Mapping.from_json(text))
