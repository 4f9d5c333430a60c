# SPDX-License-Identifier: GPL-3.0-or-later
"""Strips: a line leaves the action of its character for the Nonlinear Animation editor, and comes back.

The line gets an action of its own with its record, a strip of that on a track of ours, and below it a strip that never
ends and holds what the properties are set to: beside strips, Blender would show their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from uuid import uuid4

import bpy

from ..character.mapping import Mapping
from ..character.rig import Rig, shorten
from ..clip import Clip
from ..sentences import told
from ..storage import StoredError
from .curves import ActionPatch, slot_curves
from .finding import lines_of
from .lines import LineError, Lines
from .owners import Owner, curves_in, home_of, other_users, owners_of, set_value
from .planning import meet
from .record import Line
from .store import ALL_TAKES, LINES_PROPERTY, REST_PROPERTY, Edit, Store
from .targets import TRACKS, has_lines, name_in, of_lines

#: Names of our tracks.
_LINES: Final = f"{TRACKS}Lines"
_REST: Final = f"{TRACKS}Rest"


class _Record(NamedTuple):
    """A line with everything that is stored of it."""

    line: Line
    clips: dict[str, Clip]
    edits: dict[str, Edit]


def send(scene: bpy.types.Scene, rig: Rig, lines: Lines, line: Line) -> None:
    """Move a line into a strip. LineError when it cannot be; `Lines.said` says what the action goes on to hide."""
    if line.take is None:
        raise LineError("Show a take of the line first; a strip plays what is shown.")
    lines.rewrite([line.id])  # takes over what was edited by hand
    owners = owners_of(rig)
    others = (other for other in lines_of(rig) if other.id != line.id and other.take is not None)
    met = [other.text for other in others if meet(line, other)]
    record = _record(home_of(owners), line.id)
    action = None
    try:
        with _aside(owners):
            Lines(scene, rig, beside=True).adopt([record])
            action = home_of(owners)
            if action is None or not any(curves_in(action, slot) for slot in action.slots):
                raise LineError("Nothing of this line is left for a strip: other tracks animate all of it.")
            action.name, action.use_fake_user = record.line.text[:48] or "Line", False
            played = [(owner, owner.slot) for owner in owners if owner.action == action and owner.slot is not None]
            rest = {owner: _rest_of(owner) for owner, _ in played}
            for owner, _ in played:
                _taken_off(owner)
        lines.remove(line.id)
    except LineError:
        if action is not None:
            bpy.data.actions.remove(action)
        raise
    _add_strips(action, played, rest, record.line)
    hidden = sorted({name_in(path) for owner, slot in played for path in _both(owner, action, slot)})
    lines.said.append(told("“{text}” is a strip on the track {track}.", text=line.text, track=_LINES))
    if met:
        sentence = "As a strip it does not blend with “{texts}” any more, which it meets."
        lines.said.append(told(sentence, texts=shorten(met, 2)))
    if hidden:
        sentence = "The active action hides the strip on {names}: it is above all strips."
        lines.said.append(told(sentence, names=shorten(hidden)))


def bring_back(scene: bpy.types.Scene, rig: Rig, mapping: Mapping | None) -> list[str]:
    """Move all lines of a character that are strips back into its action; what was done, in sentences.

    Raises:
        LineError: there are none, or they cannot be brought back; then nothing has changed.
    """
    owners = owners_of(rig)
    found = _strips_of(owners)
    if not found:
        if not any(map(has_lines, owners)):
            raise LineError("No line of this character is a strip.")
        _remove_strips(owners)
        return [told("No line of this character is a strip any more; the track {track} is gone too.", track=_REST)]
    said: list[str] = []
    for action, places in found.items():
        _check(action, places, owners)
        said += _forgotten(action, places)
    Lines(scene, rig, mapping).rewrite([])  # refuses where nothing can be written
    with _silent(owners):
        lines = Lines(scene, rig, mapping)
        records: list[_Record] = []
        with _aside(owners):
            for action, places in found.items():
                for place in places:
                    _put_on(place.owner, action, place.slot)
                lines.rewrite()  # takes over what was edited in the strip
                records += _as_played(action, places)
                for owner in owners:
                    _taken_off(owner)
        lines.adopt(records)
    _remove_strips(owners)
    for action in found:
        bpy.data.actions.remove(action)
    many, n = len(records) > 1, len(records)
    back = told("{n} lines are back in the action." if many else "{n} line is back in the action.", n=n)
    return [*said, *dict.fromkeys(lines.said), back]


@contextmanager
def _aside(owners: Sequence[Owner]) -> Iterator[None]:
    """The owners' own actions are taken off for a while."""
    before = [_taken_off(owner) for owner in owners]
    try:
        yield
    finally:
        for owner, (mine, slot) in zip(owners, before, strict=True):
            if mine is None:
                _taken_off(owner)
            else:
                _put_on(owner, mine, slot)


@contextmanager
def _silent(owners: Sequence[Owner]) -> Iterator[None]:
    """The strips of lines play nothing for a while."""
    tracks = [track for owner in owners if owner.data is not None for track in owner.data.nla_tracks]
    ours = [strip for track in tracks for strip in track.strips if of_lines(strip)]
    muted = [strip.mute for strip in ours]
    try:
        for strip in ours:
            strip.mute = True
        yield
    finally:
        for strip, mute in zip(ours, muted, strict=True):
            strip.mute = mute


def _as_played(action: bpy.types.Action, places: Sequence[_Place]) -> Iterator[_Record]:
    """The lines in an action, where strips play them; as many as there are strips of them on one owner."""
    for number, place in enumerate(place for place in places if place.owner == places[0].owner):
        for name in Store(action).lines():
            record = _record(action, name)
            line = record.line
            start, end = (place.scale * frame + place.shift for frame in (line.start, line.end))
            name = uuid4().hex[:8] if number else name
            line = replace(line, id=name, start=start, end=end, stretch=line.stretch * place.scale)
            yield record._replace(line=line)


def _check(action: bpy.types.Action, places: Sequence[_Place], owners: Sequence[Owner]) -> None:
    """LineError where what is stored with a strip cannot be read, or others play it: known before anything is done."""
    store, patch = Store(action), ActionPatch(action)
    others = {name for place in places for name in other_users(place.slot, owners)}
    if others:
        raise LineError(
            "The strip's action {name} also moves {others}. Give this strip its own copy: click the number beside the "
            "action's name in the sidebar of the Nonlinear Animation editor.", name=action.name,
            others=shorten(sorted(others), 3),
        )  # fmt: skip
    for name in store.lines():
        _record(action, name)
    for span in patch.spans:
        patch.found(span)
    if store.damaged:
        raise LineError(
            "{damage} Its strip goes on playing; remove it by hand.", damage=next(iter(store.damaged.values()))
        )


@dataclass(frozen=True)
class _Place:
    """A strip of a line: on scene frame = scale * frame of the action + shift."""

    owner: Owner
    slot: Any
    scale: float
    shift: float
    strip: Any
    muted: bool


def _strips_of(owners: Sequence[Owner]) -> dict[bpy.types.Action, list[_Place]]:
    """The strips of lines, by their actions."""
    found: dict[bpy.types.Action, list[_Place]] = {}
    for owner in owners:
        for track in owner.data.nla_tracks if owner.data is not None else ():
            for strip in track.strips:
                if strip.action is not None and LINES_PROPERTY in strip.action:
                    shift = strip.frame_start - strip.scale * strip.action_frame_start
                    muted = strip.mute or track.mute
                    place = _Place(owner, strip.action_slot, strip.scale, shift, strip, muted)
                    found.setdefault(strip.action, []).append(place)
    return found


def _forgotten(action: bpy.types.Action, places: Sequence[_Place]) -> Iterator[str]:
    """What was done to strips that lines cannot have."""
    start, end = (frame for frame in action.frame_range)
    for strip, muted in ((place.strip, place.muted) for place in places if place.owner == places[0].owner):
        done = {
            told("repeated"): strip.repeat != 1.0,
            told("reversed"): strip.use_reverse,
            told("trimmed"): strip.action_frame_start > start + 0.5 or strip.action_frame_end < end - 0.5,
            told("muted"): muted,
            told("faded"): strip.use_animated_influence or strip.blend_in > 0 or strip.blend_out > 0,
        }
        if words := [word for word, was in done.items() if was]:
            sentence = "The strip {name} was {changes}, which a line cannot be: it plays as a whole."
            yield told(sentence, name=strip.name, changes=", ".join(words))


def _record(action: bpy.types.Action | None, name: str) -> _Record:
    store = Store(action)
    line = store.lines()[name]
    try:
        clips = {take.key: store.clip(line, take) for take in line.takes}
    except StoredError as error:
        sentence = "A take of “{text}” cannot be read: {why}. Delete that take first."
        raise LineError(sentence, text=line.text, why=error) from None
    keys = (ALL_TAKES, *clips)
    return _Record(line, clips, {key: edit for key in keys if (edit := store.edit(name, key))})


def _taken_off(owner: Owner) -> tuple[bpy.types.Action | None, bpy.types.ActionSlot | None]:
    """Take the action off an owner, and set what lines moved to rest; what it was, to be put on again."""
    before, rest = (owner.action, owner.slot), _rest_of(owner)
    if owner.data is not None and before[0] is not None:
        before[0].use_fake_user, kept = True, before[0].use_fake_user
        owner.data.action = None
        before[0].use_fake_user = kept
    for (path, index), value in rest.items():
        set_value(owner, path, index, value)
    return before


def _put_on(owner: Owner, action: bpy.types.Action, slot: bpy.types.ActionSlot | None) -> None:
    data = owner.data or owner.datablock.animation_data_create()
    data.action = action
    data.action_slot = slot


def _rest_of(owner: Owner) -> dict[tuple[str, int], float]:
    """What the properties are set to that only lines animate, by path and index."""
    rest: dict[tuple[str, int], float] = {}
    patch = ActionPatch(owner.action) if owner.action is not None and owner.slot is not None else None
    for span in patch.spans if patch is not None else ():
        for handle, path, index in patch.addresses(span):
            base = patch.base((handle, path, index), *patch.spans[span], list(patch.spans))
            if handle == owner.slot.handle and base.rest is not None and not base.exists:
                rest[path, index] = base.rest
    return rest


def _add_strips(
    action: bpy.types.Action, played: Sequence[tuple[Owner, Any]],
    rest: dict[Owner, dict[tuple[str, int], float]], line: Line,
) -> None:  # fmt: skip
    for owner, slot in played:
        data = owner.data or owner.datablock.animation_data_create()
        _hold(data, owner, rest[owner])
        track = next((t for t in data.nla_tracks if t.name.startswith(_LINES) and _free(t, line)), None)
        if track is None:
            track = data.nla_tracks.new()
            track.name = _LINES
        strip = track.strips.new(action.name, round(line.start), action)
        strip.action_slot = slot
        strip.use_sync_length = False
        strip.action_frame_start, strip.action_frame_end = line.start, line.end
        strip.frame_start, strip.frame_end, strip.scale = line.start, line.end, 1.0
        strip.extrapolation, strip.blend_type = "NOTHING", "REPLACE"
        track.lock = True  # else Push Down would put the animator's action into it


def _free(track: bpy.types.NlaTrack, line: Line) -> bool:
    return all(strip.frame_end < line.start or strip.frame_start > line.end for strip in track.strips)


def _hold(data: bpy.types.AnimData, owner: Owner, values: dict[tuple[str, int], float]) -> None:
    """A strip below ours that holds what properties are set to."""
    every: list[Any] = [strip for track in data.nla_tracks for strip in track.strips]
    strip = next((one for one in every if one.action is not None and REST_PROPERTY in one.action), None)
    if strip is None:
        track = data.nla_tracks.new()
        track.name = _REST
        action: Any = bpy.data.actions.new(f"{owner.datablock.name} Rest")
        action[REST_PROPERTY] = True
        slot = action.slots.new(id_type=owner.kind, name=owner.datablock.name)
        strip = track.strips.new(action.name, 0, action)
        strip.action_slot, strip.extrapolation, strip.use_sync_length = slot, "HOLD", False
        track.lock = True
    curves = slot_curves(strip.action, strip.action_slot)
    for (path, index), value in values.items():
        if curves.find(path, index=index) is None:
            curves.new(path, index=index).keyframe_points.insert(0.0, value)


def _remove_strips(owners: Sequence[Owner]) -> None:
    """Remove the strips of lines and, with the last of them, the one that holds; tracks that are empty then."""
    for owner in owners:
        for track in list(owner.data.nla_tracks) if owner.data is not None else ():
            ours = len(track.strips) or track.name.startswith(TRACKS)
            for strip in list(track.strips):
                held = strip.action if strip.action is not None and REST_PROPERTY in strip.action else None
                if of_lines(strip):
                    track.strips.remove(strip)
                if held is not None and held.users == 0:
                    bpy.data.actions.remove(held)
            if ours and not len(track.strips):
                owner.data.nla_tracks.remove(track)


def _both(owner: Owner, action: bpy.types.Action, slot: Any) -> Iterator[str]:
    """Paths that a strip's action and the active one of an owner animate."""
    if owner.action is not None and owner.slot is not None:
        active = {(curve.data_path, curve.array_index) for curve in curves_in(owner.action, owner.slot)}
        yield from (c.data_path for c in curves_in(action, slot) if (c.data_path, c.array_index) in active)
