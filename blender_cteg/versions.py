# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of what is kept in scenes and files: the one place where older ones become today's (no ``bpy``).

Whoever changes how something is stored adds a step here and a file to ``tests/blender/data/versions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .storage import StoredError

Stored = dict[str, Any]


def _mapping_2(data: Stored) -> Stored:
    # A fit is told by its residuals; anything else of version 1 was written by hand.
    return {**data, "origin": "fit" if data.get("residual_mm") else "edited"}


def _take_2(data: Stored) -> Stored:
    return {**data, "segments": [], "last_seed": data.get("seed")}


def _line_2(data: Stored) -> Stored:
    regions = {name: {**region, "course": []} for name, region in data["regions"].items()}
    takes = [{**take, "name": "", "favourite": False} for take in data["takes"]]
    return {**data, "smoothing": 0.0, "exaggeration": 1.0, "regions": regions, "takes": takes}


#: What is stored -> the steps that make each version the next one; the first makes 1 to 2.
_STEPS: Final[Mapping[str, tuple[Callable[[Stored], Stored], ...]]] = {
    "line": (_line_2,),
    "spans": (),
    # Version 3 only has trusted channels more, version 4 a neutral and mappings for other faces.
    "mapping": (_mapping_2, dict, dict),
    "take": (_take_2, dict),  # of 0.1.0; version 3 only has more settings
}
#: The version that is written.
CURRENT: Final = {kind: len(steps) + 1 for kind, steps in _STEPS.items()}


class NewerError(StoredError):
    """A newer CTEG stored it: it is left as it is."""


def upgraded(kind: str, data: Mapping[str, Any], field: str = "schema_version") -> Stored:
    """Stored data as this version stores it, its version in ``field``.

    Raises:
        NewerError: a newer CTEG stored it.
        StoredError: it has no version, or lacks what its version has.
    """
    version = data.get(field)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise StoredError("it has {field} {version!r:.20}", field=field, version=version)
    if version > CURRENT[kind]:
        raise NewerError(
            "it has {field} {version} and this CTEG reads up to {own}; a newer CTEG made it, so update this one",
            field=field, version=version, own=CURRENT[kind],
        )  # fmt: skip
    made = dict(data)
    try:
        for step in _STEPS[kind][version - 1 :]:
            made = step(made)
    except (AttributeError, KeyError, TypeError) as error:
        raise StoredError("it is damaged: {why}", why=error) from None
    return {**made, field: CURRENT[kind]}
