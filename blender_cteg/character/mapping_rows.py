# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mapping editor shows of a mapping and a character (no ``bpy`` at run time)."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from ..sentences import told
from ..shared import ARKIT_GROUPS, FLAME_EXPRESSIONS, HEAD_CHANNELS, JAW_CHANNELS, SPACES
from .effects import Verdict, sentence
from .fitting import EYE_DISTANCE_MM
from .mapping import Mapping
from .mapping_edits import Target, accepted, targets_of
from .match import SURE, Candidate, candidates, suggestion
from .rig import Rig

_GROUPS: Final = ("upper face", "eyes", "mouth", "jaw", "head")
#: How far a preview goes, in a channel's unit, where it is not 1: radians, and standard deviations of a coefficient.
_SWINGS: Final = {
    **dict.fromkeys(HEAD_CHANNELS, 0.5),
    **dict.fromkeys(JAW_CHANNELS, 0.4),
    **dict.fromkeys(FLAME_EXPRESSIONS, 3.0),
}

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
        targets: what it moves.
        suggested: candidates to accept, where it moves nothing.
        lost: names of targets that the character does not have.
        doubt: what is wrong with what it does, a sentence; "" where nothing is, or it was not measured.
        narrow: its shape keys whose sliders end before the channel does.
        reach: how far what moves most goes, in millimetres on a face of ordinary size; NaN where it was not measured.
    """

    channel: str
    label: str
    standing: Standing
    targets: tuple[Target, ...] = ()
    suggested: tuple[Candidate, ...] = ()
    lost: tuple[str, ...] = ()
    doubt: str = ""
    reach: float = float("nan")
    narrow: tuple[str, ...] = ()


def channels_of(mapping: Mapping) -> tuple[str, ...]:
    """The channels of the mapping's space; of an unknown space, those the mapping names."""
    if mapping.source_space in SPACES:
        return SPACES[mapping.source_space].channels
    return tuple(sorted(mapping.driving() | set(mapping.channels)))


def region_of(channel: str) -> str:
    """The region a channel belongs to, for its heading."""
    return ARKIT_GROUPS.get(channel, "jaw" if channel in JAW_CHANNELS else "expression").capitalize()


def swing(channel: str) -> tuple[float, bool]:
    """How far a preview goes in the channel's unit, and whether to both sides of zero."""
    return _SWINGS.get(channel, 1.0), channel in _SWINGS


def rows(
    mapping: Mapping,
    rig: Rig,
    judged: MappingABC[str, Verdict] = MappingProxyType({}),
    narrow: MappingABC[str, tuple[str, ...]] = MappingProxyType({}),
) -> tuple[Row, ...]:
    """The list of channels as it is shown: those that move nothing or something else first, then by region.

    Args:
        mapping, rig: the character's.
        judged: what was measured of its channels.
        narrow: channel -> its keys whose sliders end before it does.
    """
    channels, keys, bones = channels_of(mapping), rig.keys, rig.bone_names
    found = candidates(channels, keys, bones)
    there = {"KEY": frozenset(keys), "BONE": frozenset(bones), "ROLE": frozenset(rig.bones)}
    made = []
    for channel in channels:
        row = _row(mapping, rig, channel, found.get(channel, ()), there)
        if (verdict := judged.get(channel)) is not None:
            row = replace(row, doubt=sentence(channel, verdict), reach=verdict.reach * EYE_DISTANCE_MM)
        if cut := narrow.get(channel):
            said = told("{channel} is cut off where the slider of {key} ends.", channel=channel, key=cut[0])
            row = replace(row, doubt=row.doubt or said, narrow=cut)
        made.append(row)

    def place(row: Row) -> tuple[bool, int]:
        group = ARKIT_GROUPS.get(row.channel, "")
        return row.standing in ("SURE", "MADE") and not row.doubt, _GROUPS.index(group) if group in _GROUPS else 0

    return tuple(sorted(made, key=place))


def _row(
    mapping: Mapping, rig: Rig, channel: str, found: tuple[Candidate, ...], there: dict[str, frozenset[str]]
) -> Row:
    targets = tuple(target for target in targets_of(mapping, channel) if is_moving(target))
    if not targets:
        suggested = suggestion(found) or found
        label = f"{' + '.join(c.name for c in suggested)}?" if suggested else ""
        return Row(channel, label, "SUGGESTED" if suggested else "NOTHING", suggested=suggested)
    sure = {candidate.name for candidate in found if candidate.score >= SURE} | set(rig.shape_keys.get(channel, ()))
    lost = tuple(target.name for target in targets if target.name not in there[target.kind])
    standing: Standing = "LOST" if lost else "SURE" if all(target.name in sure for target in targets) else "MADE"
    label = targets[0].label if len(targets) == 1 else told("{count} targets", count=len(targets))
    return Row(channel, label, standing, targets, (), lost)


def is_moving(target: Target) -> bool:
    """Whether a target is more than a role that is listed without turning."""
    return any(target.value) if isinstance(target.value, tuple) else True


def origin_label(mapping: Mapping, stored: bool) -> str:
    """Where a mapping came from, in words."""
    if mapping.origin.startswith("preset:"):
        return told("Preset {name}", name=mapping.origin.removeprefix("preset:"))
    if mapping.origin == "names":
        return told("Matched by names" if stored else "Matched by names, automatically")
    if mapping.origin == "fit":
        return told("Fitted to this mesh" if stored else "Fitted to this mesh, automatically")
    return told("Edited")


def matched_automatically(mapping: Mapping, rig: Rig) -> tuple[Mapping, int]:
    """With the sure candidates of every channel that moves nothing, and how many channels that were."""
    count = 0
    for channel, names in candidates(channels_of(mapping), rig.keys, rig.bone_names).items():
        if names[0].score >= SURE and not targets_of(mapping, channel):
            mapping, count = accepted(mapping, channel, names), count + 1
    return mapping, count


def with_suggestions(mapping: Mapping, rig: Rig, channel: str = "") -> tuple[Mapping, int]:
    """With what is suggested for one channel or, without a name, for all, and how many channels that were."""
    count = 0
    for row in rows(mapping, rig):
        if row.suggested and channel in ("", row.channel):
            mapping, count = accepted(mapping, row.channel, row.suggested), count + 1
    return mapping, count
