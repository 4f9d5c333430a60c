# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mapping editor shows of a mapping and a face (no ``bpy``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from ..shared import ARKIT_GROUPS, FLAME_EXPRESSIONS, HEAD_CHANNELS, JAW_CHANNELS, SPACES
from .detection.naming import match_arkit, match_bones, match_flame
from .detection.parts import FEWEST_KEYS
from .direct import arkit_mapping
from .mapping import Adjustment, Mapping
from .mapping_edits import Target, accepted, targets_of
from .match import SURE, Candidate, candidates, suggestion
from .rig import Rig

#: The channels of the known spaces, in column order.
CHANNELS: Final = {name: space.channels for name, space in SPACES.items()}
#: Every channel of every known space.
KNOWN_CHANNELS: Final = tuple(channel for channels in CHANNELS.values() for channel in channels)
_GROUPS: Final = ("upper face", "eyes", "mouth", "jaw", "head")
#: How far a preview goes, in a channel's unit, where it is not 1: radians, and standard deviations of a coefficient.
_SWINGS: Final = {**dict.fromkeys(HEAD_CHANNELS, 0.5), **dict.fromkeys(JAW_CHANNELS, 0.4)}

#: What is done to a channel by itself.
NO_ADJUSTMENT: Final = Adjustment()

#: How a channel stands: by name, made otherwise (fit, preset, by hand), only suggested, naming what is not there, or
#: driving nothing.
Standing = Literal["SURE", "MADE", "SUGGESTED", "LOST", "NOTHING"]


@dataclass(frozen=True)
class Row:
    """One channel in the list.

    Attributes:
        channel: its name.
        label: its targets in a few words, or what is suggested.
        standing: how sure that is.
        confidence: 0..1 where names say it, else None.
        targets: what it moves.
        suggested: candidates to accept, where it moves nothing.
        lost: names of targets that the face does not have.
    """

    channel: str
    label: str
    standing: Standing
    confidence: float | None
    targets: tuple[Target, ...]
    suggested: tuple[Candidate, ...]
    lost: tuple[str, ...]


@lru_cache(maxsize=8)  # getters of every visible row ask
def parsed(text: object) -> Mapping:
    """`Mapping.from_json`, read once."""
    return Mapping.from_json(text)


@lru_cache(maxsize=32)
def by_names(keys: tuple[str, ...], bones: tuple[str, ...]) -> Mapping | None:
    """The mapping that the names of a face lead to by themselves.

    None for a FLAME face, whose expressions are fitted to the actions of arkit55: that takes its vertices.
    """
    flame, arkit, roles = match_flame(keys).matched, match_arkit(keys).matched, match_bones(bones)
    if sum(channel in FLAME_EXPRESSIONS for channel in flame) >= FEWEST_KEYS:
        return None
    return arkit_mapping(Rig(kind="ARKIT", shape_keys=arkit, bones=roles))


@lru_cache(maxsize=32)
def json_by_names(keys: tuple[str, ...], bones: tuple[str, ...]) -> str:
    """`by_names` as JSON; "" where there is none."""
    mapping = by_names(keys, bones)
    return "" if mapping is None else mapping.to_json()


def channels_of(mapping: Mapping) -> tuple[str, ...]:
    """The channels of the mapping's space; of an unknown space, those the mapping names."""
    if mapping.source_space in CHANNELS:
        return CHANNELS[mapping.source_space]
    return tuple(sorted(mapping.driving() | set(mapping.channels)))


def region_of(channel: str) -> str:
    """The region a channel belongs to, for its heading."""
    return ARKIT_GROUPS.get(channel, "jaw" if channel in JAW_CHANNELS else "expression").capitalize()


def swing(channel: str) -> tuple[float, bool]:
    """How far a preview goes in the channel's unit, and whether to both sides of zero."""
    if channel in FLAME_EXPRESSIONS:
        return 3.0, True
    return _SWINGS.get(channel, 1.0), channel in _SWINGS


@lru_cache(maxsize=8)  # asked for every visible row at every redraw
def rows(text: str, keys: tuple[str, ...], bones: tuple[str, ...]) -> tuple[Row, ...]:
    """The list of channels as it is shown, of a mapping's JSON: those that move nothing first, then by region."""
    mapping = parsed(text)
    channels = channels_of(mapping)
    found = candidates(channels, keys, bones)
    roles = match_bones(bones)
    made = [_row(mapping, c, found.get(c, ()), frozenset(keys), frozenset(bones), roles) for c in channels]
    order = {channel: place for place, channel in enumerate(channels)}

    def place(row: Row) -> tuple[bool, int, int]:
        group = ARKIT_GROUPS.get(row.channel, "")
        return row.standing not in ("NOTHING", "SUGGESTED", "LOST"), _group_place(group), order[row.channel]

    return tuple(sorted(made, key=place))


def _group_place(group: str) -> int:
    return _GROUPS.index(group) if group in _GROUPS else 0


def _row(
    mapping: Mapping,
    channel: str,
    found: tuple[Candidate, ...],
    keys: frozenset[str],
    bones: frozenset[str],
    roles: dict[str, str],
) -> Row:
    targets = tuple(target for target in targets_of(mapping, channel) if is_moving(target))
    there = {"KEY": keys, "BONE": bones, "ROLE": frozenset(roles)}
    lost = tuple(target.name for target in targets if target.name not in there[target.kind])
    if not targets:
        suggested = suggestion(found) or found
        label = f"{' + '.join(c.name for c in suggested)}?" if suggested else ""
        score = suggested[0].score if suggested else None
        return Row(channel, label, "SUGGESTED" if suggested else "NOTHING", score, (), suggested, ())
    scores = {candidate.name: candidate.score for candidate in found if candidate.score >= SURE}
    sure = [scores.get(target.name) for target in targets]
    confidence = min((score for score in sure if score is not None), default=None) if None not in sure else None
    standing: Standing = "LOST" if lost else "SURE" if confidence is not None else "MADE"
    return Row(channel, _label(targets), standing, confidence, targets, (), lost)


def is_moving(target: Target) -> bool:
    """Whether a target is more than a role that is listed without turning."""
    return any(target.value) if isinstance(target.value, tuple) else True


def _label(targets: tuple[Target, ...]) -> str:
    if len(targets) > 1:
        return f"{len(targets)} targets"
    target = targets[0]
    return f"{target.name.replace('_', ' ')} bone" if target.kind == "ROLE" else target.name


def origin_label(mapping: Mapping, stored: bool) -> str:
    """Where a mapping came from, in words."""
    if mapping.origin.startswith("preset:"):
        return f"Preset {mapping.origin.removeprefix('preset:')}"
    words = {"names": "Matched by names", "fit": "Fitted to this mesh", "edited": "Edited"}
    return words.get(mapping.origin, "Edited") + ("" if stored or mapping.origin == "edited" else ", automatically")


def matched_automatically(mapping: Mapping, keys: tuple[str, ...], bones: tuple[str, ...]) -> tuple[Mapping, int]:
    """With the sure candidates of every channel that moves nothing, and how many channels that were."""
    count = 0
    found = candidates(channels_of(mapping), keys, bones)
    for channel, names in found.items():
        if names[0].score >= SURE and not targets_of(mapping, channel):
            mapping, count = accepted(mapping, channel, names), count + 1
    return mapping, count


def with_suggestions(
    mapping: Mapping, keys: tuple[str, ...], bones: tuple[str, ...], channel: str = ""
) -> tuple[Mapping, int]:
    """With what is suggested for one channel or, without a name, for all, and how many channels that were."""
    count = 0
    for row in rows(mapping.to_json(), keys, bones):
        if row.suggested and channel in ("", row.channel):
            mapping, count = accepted(mapping, row.channel, row.suggested), count + 1
    return mapping, count


def adjustment_of(mapping: Mapping, channel: str) -> Adjustment:
    """What is done to a channel."""
    return mapping.channels.get(channel, NO_ADJUSTMENT)
