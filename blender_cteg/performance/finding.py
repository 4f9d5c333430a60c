# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding: the lines of a character, where their keys are now, and what of them cannot be read. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

import bpy

from ..character.detection.bones import all_strips
from ..character.rig import Rig
from ..clip import Clip
from ..sentences import told
from ..storage import StoredError
from .curves import ActionPatch
from .owners import Owner, curves_in, home_of, owners_of, played_action
from .patch import PatchError
from .planning import parts_of
from .record import Line, too_far
from .store import LINES_PROPERTY, Store
from .whereabouts import UNMOVED, Found

#: A line is found again when at least this share of its keys is.
_FOUND = 0.2


def lines_of(rig: Rig, active: str | Callable[[tuple[Line, ...]], str] = "") -> tuple[Line, ...]:
    """The lines of a character in the order of their starts, where they are found now. Never raises.

    Args:
        rig: the character.
        active: id of the line that is also looked through for hand edits, which takes some milliseconds; or what tells
            it, given the lines.
    """
    owners = owners_of(rig)
    store, patches = Store(home_of(owners)), patches_of(owners)
    lines = store.lines()
    try:
        lines = located(lines, store.damaged, patches)
        name = active if isinstance(active, str) else active(_in_order(lines))
        line = lines.get(name)
        if line is not None:
            together = [other for other in _in_order(lines) if other.span == line.span]
            edits = (edit for patch in patches if line.span in patch.spans for edit in patch.edits(line.span).values())
            lines[name] = replace(line, edited=any(e.gone or parts_of(together, e.frames)[name].any() for e in edits))
    except PatchError:  # what was written is not known any more; the records are
        lines = {name: replace(line, shown=-1) for name, line in lines.items()}
    return _in_order(lines)


def _in_order(lines: Mapping[str, Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines.values(), key=attrgetter("start", "id")))


def lines_away(rig: Rig) -> dict[str, Line]:
    """The lines of a character, by id, that play where nothing is written: in strips of its face, or aside while one
    is tweaked. As they were written. Never raises.
    """
    owners = owners_of(rig)
    home, data = home_of(owners), owners[0].data if owners else None
    if data is None:
        return {}
    strips = (strip.action for track in data.nla_tracks for strip in all_strips(track.strips))
    played = [action for action in (played_action(owners[0]), *strips) if action is not None and action != home]
    if not played:  # nearly always: nothing is read
        return {}
    found = {name: line for action in played for name, line in Store(action).lines().items() if line.take is not None}
    here = Store(home).lines()
    return {name: line for name, line in found.items() if name not in here}


def clip_of(rig: Rig, line: Line) -> Clip | None:
    """The take that a line of `lines_of` shows, with its numbers; None where there is none or it cannot be read."""
    if line.take is None:
        return None
    try:
        return Store(home_of(owners_of(rig))).clip(line, line.take)
    except StoredError:
        return None


def damaged_lines(rig: Rig) -> list[str]:
    """Sentences about stored lines that cannot be read."""
    store = Store(home_of(owners_of(rig)))
    store.lines()
    return list(store.damaged.values())


def in_the_way(rig: Rig, first: float, last: float) -> str:
    """Why nothing can be written between two frames: they are too far, or a line there cannot be read. Or ""."""
    if reason := too_far(first):
        return reason
    owners = owners_of(rig)
    store, patches = Store(home_of(owners)), patches_of(owners)
    try:
        kept = unreadable(store.lines(), store.damaged, patches)
        return blocked(kept, patches, Line("", "", start=first, end=last))
    except PatchError as error:
        return str(error)


def patches_of(owners: Sequence[Owner]) -> list[ActionPatch]:
    """What was written in the actions of a character, that of its face first; nothing where that has none."""
    home = home_of(owners)
    actions = {} if home is None else dict.fromkeys([home, *map(played_action, owners[1:])])
    return [ActionPatch(action) for action in actions if action is not None]


def left_behind(rig: Rig, home: bpy.types.Action | None) -> list[str]:
    """A sentence about lines of a character in an action whose curves Blender has moved elsewhere, without them."""
    name = rig.object.name if rig.object is not None else ""
    empty = [
        action
        for action in bpy.data.actions
        if action != home and LINES_PROPERTY in action and not any(curves_in(action, slot) for slot in action.slots)
    ]
    sentence = (
        "“{text}” is kept in the action {action}, whose curves were moved to another one (as by Separate Slots). Undo "
        "that, or the keys of the line stay as they are."
    )
    return [
        told(sentence, text=line.text, action=action.name)
        for action in empty
        for line in Store(action).lines().values()
        if line.character == name and line.shown >= 0
    ]


def others_lines(character: Sequence[Owner], patch: ActionPatch | None) -> list[str]:
    """Names of whom else the action of a face moves, by other slots, and has lines of: none of the character's."""
    own, action = [owner.datablock for owner in character], character[0].action
    slots = () if action is None or patch is None else action.slots
    strange = {slot.handle: slot for slot in slots if slot.users() and not any(user in own for user in slot.users())}
    if not strange or patch is None:
        return []
    moved = [{address[0] for address in patch.addresses(name)} for name in patch.spans]
    handles = {handle for of in moved if of and of <= strange.keys() for handle in of}
    users = [user for handle in handles for user in strange[handle].users()]
    return sorted({str(user.name) for user in users if isinstance(user, bpy.types.Object)} or {u.name for u in users})


def unreadable(
    lines: Mapping[str, Line], damaged: Mapping[str, str], patches: Sequence[ActionPatch], gone: Collection[str] = ()
) -> dict[str, str]:
    """The spans with keys of lines that nobody could write again, and a sentence about one such line of each.

    Args:
        lines: those that can be read.
        damaged: what is said of others, by their ids.
        patches: of the character's actions.
        gone: lines that are about to be removed.
    """
    found = {}
    known = {line.span for line in lines.values()}
    for patch in patches:
        for span in patch.spans:
            there = patch.entries[span].lines or (() if span in known else (span,))
            for name in there:
                if name not in lines and name not in gone and (name in damaged or patch is patches[0]):
                    deleted = told("What is known of the line {name} was deleted.", name=name)
                    found[span] = damaged.get(name) or deleted
    return found


def blocked(kept: Mapping[str, str], patches: Sequence[ActionPatch], line: Line) -> str:
    """Why a line cannot be written where it is, as the keys of some spans there are kept. A sentence, or ""."""
    for span, damage in kept.items():
        start, end = _reach(patches, span)
        if start <= line.end and line.start <= end:
            sentence = (
                "{damage} It is on frames {start:.0f} to {end:.0f}, where its keys stay as they are. Choose other "
                "frames for this line, or delete that one in the list of lines first."
            )
            return told(sentence, damage=damage, start=start, end=end)
    return ""


def shared(kept: Mapping[str, str], patches: Sequence[ActionPatch], line: Line) -> str:
    """Why a line cannot be changed of a span that is kept, as a sentence."""
    start, end = _reach(patches, line.span)
    sentence = (
        "{damage} It shares its keys with “{text}” on frames {start:.0f} to {end:.0f}, and all of them stay as they "
        "are. Delete that one in the list of lines first."
    )
    return told(sentence, damage=kept[line.span], text=line.text, start=start, end=end)


def staying(kept: Mapping[str, str], patches: Sequence[ActionPatch]) -> Iterator[str]:
    """Sentences about the spans that are kept."""
    for span, damage in kept.items():
        start, end = _reach(patches, span)
        yield told(
            "{damage} The keys on frames {start:.0f} to {end:.0f} stay as they are.",
            damage=damage,
            start=start,
            end=end,
        )


def _reach(patches: Sequence[ActionPatch], span: str) -> tuple[float, float]:
    """The first and the last frame of a span where it is now; beyond every frame where its keys are all gone."""
    found, patch = _found(patches, span)
    if patch is None:
        return float("inf"), float("-inf")
    start, end = (found.at(frame) for frame in patch.spans[span])
    return start, end


def _found(patches: Sequence[ActionPatch], span: str) -> tuple[Found, ActionPatch | None]:
    """Where a span is now, and the first of some patches that has it there."""
    for patch in patches:
        if span in patch.spans and (found := patch.found(span)).share >= _FOUND:
            return found, patch
    return Found(share=0.0), None


def located(
    lines: Mapping[str, Line], damaged: Collection[str], patches: Sequence[ActionPatch],
    wanted: Collection[str] | None = None,
) -> dict[str, Line]:  # fmt: skip
    """Lines with the times at which their keys are now, and those that cannot be read: without text and takes.

    Args:
        lines: as they are stored.
        damaged: ids of those that cannot be read.
        patches: of the actions that have them.
        wanted: ids of the lines to look for, None for all, and for those that cannot be read; others stay.
    """
    now, patch_of = dict(lines), {span: patch for patch in reversed(patches) for span in patch.spans}
    some = [line.span for line in (lines.values() if wanted is None else map(lines.get, wanted)) if line and line.span]
    known = {patch: (patch.entries, patch.look() if wanted is None else {}) for patch in patches}
    for span in dict.fromkeys(some if wanted is not None else [*patch_of, *some]):
        patch = patch_of.get(span)
        found = None if patch is None else known[patch][1].get(span) or patch.found(span)
        if found is None or found.share < _FOUND:
            found, patch = _found(patches, span)
        if patch is None:
            # Keys that were deleted by hand: the line is there and shows nothing.
            now |= {line.id: replace(line, shown=-1) for line in lines.values() if line.span == span}
            continue
        entry = known[patch][0][span]
        for name, (start, end) in (entry.lines or _places(span, lines, entry[:2])).items():
            line = lines.get(name)
            if found is not UNMOVED:
                start, end = found.at(start), found.at(end)
            if line is None and (name in damaged or patch is patches[0]):  # else of another face on the same body
                now[name] = Line(name, "", start=start, end=end, shown=0, span=span)
            elif line is not None and line.span == span and (line.start, line.end) != (start, end):
                slower = (end - start) / max(line.end - line.start, 1.0)
                now[name] = replace(line, start=start, end=end, stretch=line.stretch * slower)
    if wanted is None:
        now |= {name: Line(name, "") for name in damaged if name not in now}
    return now


def _places(span: str, lines: Mapping[str, Line], ends: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """Where the lines of a span were written, of which earlier versions said nothing: as their records have it."""
    there = [line for line in lines.values() if line.span == span]
    first, last = min((line.start for line in there), default=0.0), max((line.end for line in there), default=0.0)
    if last <= first:  # without a record
        return {span: ends}
    slower = (ends[1] - ends[0]) / (last - first)
    return {line.id: (ends[0] + slower * (line.start - first), ends[0] + slower * (line.end - first)) for line in there}
