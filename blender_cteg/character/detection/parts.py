# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts: what the names on one mesh, and on the meshes of one character together, stand for (no ``bpy``).

Everything here is a function of names alone, so answers are remembered: panels ask at every redraw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ...shared import ARKIT_CHANNELS, FLAME_EXPRESSIONS, SPACES
from ..mapping import Mapping
from ..rig import Kind
from .naming import KeyNames, counts_from_zero, is_makehuman, match_arkit, match_bones, match_flame

#: Fewer recognised keys than this are a coincidence, not a face.
FEWEST_KEYS: Final = 8


@dataclass(frozen=True)
class Recognised:
    """What the shape keys of one mesh are."""

    kind: Kind
    label: str
    keys: KeyNames


@lru_cache(maxsize=256)
def recognise(names: tuple[str, ...]) -> Recognised:
    """The kind of face that keys of these names make; NONE for fewer than `FEWEST_KEYS` known ones."""
    flame, arkit = match_flame(names), match_arkit(names)
    # A FLAME mesh may carry a few ARKit-named keys (a jaw, correctives); an ARKit face has no numbered expressions.
    expressions = [keys for channel, keys in flame.matched.items() if channel in FLAME_EXPRESSIONS]
    if len(expressions) >= FEWEST_KEYS:
        return Recognised("FLAME", "SMPL-X" if counts_from_zero(expressions) else "FLAME", flame)
    if len(arkit.matched) >= FEWEST_KEYS:
        return Recognised("ARKIT", "MPFB" if is_makehuman(names) else "ARKit", arkit)
    return Recognised("NONE", "", arkit)


@lru_cache(maxsize=64)
def bones_by_role(names: tuple[str, ...]) -> dict[str, str]:
    """`match_bones`, remembered. Nobody may change what is returned."""
    return match_bones(names)


def used_channels(mapping: Mapping) -> tuple[str, ...]:
    """The channels of its space that a mapping leads somewhere."""
    channels = SPACES[mapping.source_space].channels if mapping.source_space in SPACES else ()
    driving = mapping.driving()
    return tuple(channel for channel in channels if channel in driving)


def keys_of_mapping(mapping: Mapping) -> dict[str, tuple[str, ...]]:
    """Channel -> names of the shape keys that a mapping leads it to."""
    return {
        channel: keys
        for channel in used_channels(mapping)
        if (keys := tuple(key for key, gains in mapping.shape_keys.items() if gains.get(channel)))
    }


@dataclass(frozen=True)
class Joined:
    """The keys of a whole character.

    Attributes:
        keys: channel -> names of the keys it drives on any mesh.
        driven: for each of the other meshes, whether it has driven keys.
    """

    keys: dict[str, tuple[str, ...]]
    driven: tuple[bool, ...]


@lru_cache(maxsize=64)
def join_arkit(face: tuple[str, ...], others: tuple[tuple[str, ...], ...]) -> Joined:
    """ARKit keys of a face and of its character's other meshes, each given by its key names.

    A take's curves reach every mesh by key name. So a name that the face has and does not use is used by no other
    mesh either, and a mesh on which the face's own name for a channel is there needs no second one.
    """
    keys = dict(recognise(face).keys.matched)
    taken = set(face)
    for names in others:
        here = set(names)
        for channel, own in recognise(names).keys.matched.items():
            if here.isdisjoint(keys.get(channel, ())) and taken.isdisjoint(own):
                keys[channel] = (*keys.get(channel, ()), *own)
    return Joined({c: keys[c] for c in ARKIT_CHANNELS if c in keys}, _with_any(keys, others))


def share(keys: dict[str, tuple[str, ...]], others: tuple[tuple[str, ...], ...]) -> Joined:
    """The same for other kinds of faces: only what has the face's own names follows it."""
    return Joined(keys, _with_any(keys, others))


def _with_any(keys: dict[str, tuple[str, ...]], others: tuple[tuple[str, ...], ...]) -> tuple[bool, ...]:
    driven = {name for names in keys.values() for name in names}
    return tuple(not driven.isdisjoint(names) for names in others)
