# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges: sliders of shape keys made wide enough for a take, because Blender clamps animated values to them.

Keys are always written in the target's own units. FLAME expressions have no natural limits, so their sliders are
widened without a question; other sliders are the character's own and widened only with the animator's leave, which is
remembered with the face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import bpy
import numpy as np

from ..character.mapping import Adjustment
from ..character.mapping import Mapping as FaceMapping
from ..character.rig import Rig, shorten
from ..sentences import told
from .curves import ActionPatch
from .fcurves import co
from .owners import owners_of
from .record import LineError
from .targets import key_path

#: Blender's own limits of a shape key's slider.
SLIDER_LIMIT: Final = 10.0
#: The custom property of a shape-key datablock that remembers whether its sliders may be widened.
ANSWER_PROPERTY: Final = "cteg_widen_sliders"
#: A value this little beyond the slider is no loss.
_TOLERANCE: Final = 1e-4


#: Shape-key name -> lowest and highest value.
Extremes = Mapping[str, tuple[float, float]]


def answer(rig: Rig) -> bool | None:
    """Whether this face's sliders may be widened; None when nobody was asked yet."""
    key = _face_key(rig)
    stored = key.get(ANSWER_PROPERTY) if key is not None else None
    return None if stored is None else bool(stored)


def wanted() -> str:
    """What the user wants of sliders that would cut takes off: ASK, ALWAYS or NEVER."""
    addon = bpy.context.preferences.addons.get(__package__.rpartition(".")[0])
    return str(getattr(addon and addon.preferences, "widen", "ASK"))


def may_widen(rig: Rig) -> bool:
    """Whether this face's sliders are widened whenever keys are written: as the preferences say, else the animator."""
    return wanted() == "ALWAYS" or (wanted() == "ASK" and answer(rig) is not False)


def remember(rig: Rig, may_widen: bool) -> None:
    """Keep the animator's answer with the face."""
    key = _face_key(rig)
    if key is not None and key.is_editable:
        key[ANSWER_PROPERTY] = may_widen


def extremes_of(rig: Rig) -> dict[str, tuple[float, float]]:
    """The lowest and highest value that lines have for each shape key of this character."""
    found: dict[str, tuple[float, float]] = {}
    names = {key_path(block.name): block.name for key, _ in rig.keyed_meshes for block in key.key_blocks}
    slots = {(owner.action, owner.slot) for owner in owners_of(rig) if owner.kind == "KEY" and owner.slot is not None}
    for action, slot in slots:
        for (handle, path, _), curve in ActionPatch(action).written().items():
            name = names.get(path)
            if name is not None and handle == slot.handle:
                low, high = _extremes(curve)
                before = found.get(name, (low, high))
                found[name] = min(low, before[0]), max(high, before[1])
    return found


def sliders(rig: Rig) -> dict[str, tuple[float, float]]:
    """Range of every slider of the character but FLAME's expressions, by ``mesh object: shape key``."""
    skipped = _expressions(rig)
    return {
        f"{obj.name}: {block.name}": (block.slider_min, block.slider_max)
        for key, obj in rig.keyed_meshes
        for block in key.key_blocks
        if block.name not in skipped
    }


def full_strength(mapping: FaceMapping, channel: str) -> dict[str, tuple[float, float]]:
    """The lowest and highest value that one channel of 0 to 1 gives each of its shape keys."""
    of = mapping.channels.get(channel, Adjustment())
    ends = {
        key: [row[channel] * value for value in (of.offset, of.gain + of.offset)]
        for key, row in mapping.shape_keys.items()
        if channel in row
    }
    return {key: (min(0.0, *values), max(0.0, *values)) for key, values in ends.items()}


def tight_keys(rig: Rig, extremes: Extremes) -> list[str]:
    """Names of the shape keys whose slider, on any mesh, would cut such values off."""
    tight = []
    for key, _ in rig.keyed_meshes:
        for name, (low, high) in extremes.items():
            block = key.key_blocks.get(name)
            if block is not None and (low < block.slider_min - _TOLERANCE or high > block.slider_max + _TOLERANCE):
                tight.append(name)
    return list(dict.fromkeys(tight))


@contextmanager
def widened(rig: Rig, extremes: Extremes, *, all_keys: bool | None) -> Iterator[None]:
    """Make room: FLAME expressions to -10..10, others, with ``all_keys``, only as far as the values go. None: as
    `may_widen` says.

    What was widened is taken back where what is done then fails. A library override does not keep its own slider
    ranges when the file is saved, so there the library's must do.

    Raises:
        LineError: FLAME expressions of an override are too narrow; nothing is widened.
    """
    expressions = _expressions(rig)
    all_keys = may_widen(rig) if all_keys is None else all_keys
    with ExitStack() as undo:
        for key, obj in rig.keyed_meshes:
            if obj.data.override_library is not None:
                tight = [name for name in tight_keys(rig, extremes) if name in expressions and name in key.key_blocks]
                if tight:
                    raise LineError(
                        "The sliders of {name} are too narrow for this take ({keys}), and an override cannot widen "
                        "them for good. Set their Range Min and Max to -10 and 10 in the linked file, then reload it.",
                        name=obj.name, keys=shorten(tight, 3),
                    )  # fmt: skip
                continue
            for block in key.key_blocks:
                name, whole = block.name, (-SLIDER_LIMIT, SLIDER_LIMIT)
                if name not in extremes or not (all_keys or name in expressions):
                    continue
                low, high = whole if name in expressions else np.clip(extremes[name], *whole).tolist()
                before = block.slider_min, block.slider_max
                if low < before[0] or high > before[1]:
                    undo.callback(_set, block, *before)
                    _set(block, min(before[0], low), max(before[1], high))
        yield
        undo.pop_all()


def why_not_wider(rig: Rig, names: Iterable[str]) -> str:
    """Why sliders of these keys cannot be widened for good, as a sentence; "" when they can."""
    for key, obj in rig.keyed_meshes:
        if obj.data.override_library is not None and any(name in key.key_blocks for name in names):
            return told(
                "{name} is a library override, which forgets slider ranges when the file is saved. Widen them in the "
                "linked file.", name=obj.name,
            )  # fmt: skip
    return ""


def _expressions(rig: Rig) -> set[str]:
    return {key for channel, keys in rig.shape_keys.items() if channel.startswith("exp") for key in keys}


def _face_key(rig: Rig) -> Any:
    return rig.keyed_meshes[0][0] if rig.keyed_meshes else None


def _set(block: bpy.types.ShapeKey, low: float, high: float) -> None:
    if (block.slider_min, block.slider_max) != (low, high):
        block.slider_min, block.slider_max = low, high


def _extremes(curve: bpy.types.FCurve) -> tuple[float, float]:
    """The lowest and highest value of a curve's keys."""
    values = co(curve)[:, 1]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
