# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines: what a character says, kept with its action, and the shown takes as keys in the animator's own curves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import uuid4

import bpy
import numpy as np
import numpy.typing as npt

from ..character.choose import mapping_for
from ..character.mapping import Mapping as FaceMapping
from ..character.mapping import MappingError
from ..character.rig import Rig
from ..clip import Clip
from ..sentences import Told, told
from ..storage import StoredError, clean
from . import ranges
from .blending import Ground, Mixed, Passage, mixed, moving
from .curves import ActionPatch, Base
from .diagnosis import lost
from .gaze import Glance
from .layers import MOST_FRAMES, face_of, without_muted
from .owners import Owner, home_of, owners_of, prepare, tidy, why_not_writable
from .patch import PatchError
from .planning import Plan, frames_of, ground_of, groups_of, meet, resampled
from .preview import end_preview
from .record import Line, Style, Take
from .reduction import exact_frames
from .shifting import shift, shiftable
from .store import ALL_TAKES, LINES_PROPERTY, TARGETS, Edit, Store, as_stored, check, take_of, unused_key
from .targets import Address, Others, Target, names_in, targets_of

__all__ = ["Line", "LineError", "Lines", "Style", "lines_of"]

_READERS = {"RENDER": "render", "OBJECT_BAKE": "bake"}
#: So many spans are changed in place.
_MANY = 4
#: A line is found again when at least this share of its keys is.
_FOUND = 0.2


class LineError(Told, RuntimeError):
    """A line that could not be written, changed or removed; the message is a sentence. Nothing was changed."""


def rendering() -> str:
    """What of Blender's own reads the scene in a thread, in a word: keys written meanwhile crash it. "" for nothing."""
    return next((word for job, word in _READERS.items() if bpy.app.is_job_running(job)), "")


def lines_of(rig: Rig, active: str = "") -> tuple[Line, ...]:
    """The lines of a character in the order of their starts, where they are found now. Reads only; never raises.

    Args:
        rig: the character.
        active: id of the line that is also looked through for hand edits, which takes some milliseconds.
    """
    home = home_of(owners_of(rig))
    if home is None:
        return ()
    patch, lines = ActionPatch(home), Store(home).lines()
    try:
        lines = _located(lines, patch)
        line = lines.get(active)
        if line is not None and line.span in patch.spans and patch.edits(line.span):
            lines[active] = replace(line, edited=True)
    except PatchError:  # what was written is not known any more; the records are
        lines = {name: replace(line, shown=-1) for name, line in lines.items()}
    return tuple(sorted(lines.values(), key=lambda line: (line.start, line.id)))


def clip_of(rig: Rig, line: Line) -> Clip | None:
    """The take that a line of `lines_of` shows, with its numbers; None where there is none or it cannot be read."""
    home, take = home_of(owners_of(rig)), line.take
    if home is None or take is None:
        return None
    store = Store(home)
    store.lines()
    try:
        return store.clip(line, take)
    except StoredError:
        return None


def damaged_lines(rig: Rig) -> list[str]:
    """Sentences about stored lines that cannot be read."""
    home = home_of(owners_of(rig))
    if home is None:
        return []
    store = Store(home)
    store.lines()
    return list(store.damaged.values())


def in_the_way(rig: Rig, first: float, last: float) -> str:
    """Why nothing can be written between two frames: a line there cannot be read. A sentence, or ""."""
    home = home_of(owners_of(rig))
    if home is None:
        return ""
    store = Store(home)
    try:
        return _in_the_way(store.lines(), store.damaged, ActionPatch(home), first, last)
    except PatchError as error:
        return str(error)


def _in_the_way(
    lines: Mapping[str, Line], damaged: Mapping[str, str], patch: ActionPatch, first: float, last: float
) -> str:
    known = {line.span for line in lines.values()}
    for span, ends in patch.spans.items():
        if span in known or (found := patch.found(span)).share < _FOUND:
            continue
        start, end = (found.at(frame) for frame in ends)
        if start <= last and first <= end:
            damage = damaged.get(span) or told("What is known of the line {name} was deleted.", name=span)
            sentence = (
                "{damage} It is on frames {start:.0f} to {end:.0f}, where its keys stay as they are. Choose other "
                "frames for this line, or delete that one in the list of lines first."
            )
            return told(sentence, damage=damage, start=start, end=end)
    return ""


def _located(lines: Mapping[str, Line], patch: ActionPatch, wanted: Collection[str] | None = None) -> dict[str, Line]:
    """Lines with the times at which their keys are now.

    Args:
        lines: as they are stored.
        patch: of the action that has them.
        wanted: ids of the lines to look for, None for all, and for keys whose line is not known; others stay.
    """
    located, spans = dict(lines), patch.spans
    members: dict[str, list[Line]] = {span: [] for span in spans}
    for line in lines.values():
        members.setdefault(line.span, []).append(line)
    for span, there in members.items():
        if wanted is not None and not any(line.id in wanted for line in there):
            continue
        there = there or [Line(span, "", shown=0, span=span)]
        found = patch.found(span) if span in spans else None
        if found is None or found.share < _FOUND:
            # Keys that were deleted by hand: the line is there and shows nothing. One without a span moves nothing.
            located |= {line.id: replace(line, shown=-1) for line in there if line.span and line.takes}
            continue
        first, last = min([line.start for line in there]), max([line.end for line in there])
        if found.same and spans[span] == (first, last) and there[0].takes:
            continue
        if last <= first:  # without a record
            first, last = spans[span]
            there = [replace(line, start=first, end=last) for line in there]
        start, end = (found.at(frame) for frame in spans[span])
        slower = (end - start) / (last - first)
        for line in there:
            begin, stop = (start + slower * (frame - first) for frame in (line.start, line.end))
            if lines.get(line.id) is not line or (begin, stop) != (line.start, line.end):
                located[line.id] = replace(line, start=begin, end=stop, stretch=line.stretch * slower)
    return located


class Lines:
    """The lines of one character in a scene, and changing them. Whatever is refused leaves everything as it was.

    Attributes:
        said: sentences about what was done, and what was not and why; for the operator's report.
    """

    def __init__(
        self, scene: bpy.types.Scene, rig: Rig, mapping: FaceMapping | None = None, *, beside: str = ""
    ) -> None:
        """The lines of a character. LineError where it cannot perform (its `Rig.problem`).

        Args:
            scene: gives the frame rate.
            rig: the character.
            mapping: how clips of its space reach the character; others are found.
            beside: NLA tracks whose names begin so may animate what the lines move.
        """
        if rig.problem is not None or rig.object is None:
            raise LineError("{problem}", problem=rig.problem) if rig.problem else LineError("Choose a face first.")
        if job := rendering():
            render = "Wait for the render to end, then try again."
            raise LineError(render if job == "render" else "Wait for the bake to end, then try again.")
        self._rig = rig
        self._mappings = {} if mapping is None else {mapping.source_space: mapping}
        self._owners = owners_of(rig)
        if not self._owners:
            raise LineError("{name} has neither shape keys nor bones that a take could move.", name=rig.object.name)
        self._fps = float(scene.render.fps / scene.render.fps_base)
        self._beside = beside
        self.said: list[str] = []

    # ------------------------------------------------------------------------------------------------ changing

    def add(
        self, clips: Sequence[Clip], start: float, style: Style, *, text: str, line: str = "", last_seed: int = 0,
        widen: bool = True, blend: int = 6, edits_until: float | None = None, gaze: tuple[Glance, ...] | None = None,
    ) -> Line:  # fmt: skip
        """Add takes, to a new line that starts at a frame or to a line there is (``line``: its id); show the first.

        Args:
            clips: takes of one line.
            start: scene frame of their first row; for a line there is, where it is.
            style: how its curves are keyed.
            text: as the animator wrote it.
            line: id of the line that gets them, "" for a new one.
            last_seed: the last seed they were drawn from.
            widen: whether sliders may be widened that would cut the takes off.
            blend: frames over which the line leaves from, and returns to, what is there without it.
            gaze: where the line looks; None for where it did.
            edits_until: the takes go on as the shown one from a frame of the scene; hand edits are kept until there.
        """
        if not clips:
            raise LineError("There are no takes to write. Generate the line again.")
        with self._change(line) as change:
            base = change.line(line) if line else None
            if base is None:
                name = self._rig.object.name if self._rig.object is not None else ""
                base = Line(uuid4().hex[:8], clean(text), name, float(round(start)), style=style, blend=blend)
            places, puts = [], []
            for clip in map(as_stored, clips):
                last = max(last_seed, clip.seed, clip.last_seed or 0)
                take = take_of(replace(clip, last_seed=last), unused_key(base))
                same = [k for k, other in enumerate(base.takes) if replace(other, key=take.key) == take]
                places.append(same[0] if same else len(base.takes))
                if not same:  # asked for again, a take is the same again
                    base = replace(base, takes=(*base.takes, take))
                    puts.append((base.id, take, clip))
            new = replace(base, shown=places[0], style=style, gaze=base.gaze if gaze is None else gaze)
            return change.write({new.id: new}, puts=puts, until=edits_until, widen=widen)[new.id]

    def add_new(
        self, news: Sequence[tuple[Sequence[Clip], float, str, tuple[Glance, ...]]], style: Style, *,
        widen: bool = True, blend: int = 6, changes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[Line]:  # fmt: skip
        """Add several new lines at once, as `add` does one: what overlaps is written once.

        Args:
            news: takes, the first of which is shown, the frame of their first row, the text, and where the line looks.
            style, widen, blend: as in `add`.
            changes: lines there are that become others at the same time, as in `move`.
        """
        character = self._rig.object.name if self._rig.object is not None else ""
        made: dict[str, Line | None] = {}
        puts: list[tuple[str, Take, Clip]] = []
        changes = changes or {}
        with self._change(*changes) as change:
            made |= {name: replace(change.line(name), **fields) for name, fields in changes.items()}
            for clips, start, text, gaze in news:
                line = Line(
                    uuid4().hex[:8], clean(text), character, float(round(start)), shown=0, style=style, blend=blend,
                    gaze=gaze,
                )  # fmt: skip
                for clip in map(as_stored, clips):
                    take = take_of(clip, unused_key(line))
                    line = replace(line, takes=(*line.takes, take))
                    puts.append((line.id, take, clip))
                made[line.id] = line
            written = change.write(made, puts=puts, widen=widen)
        return [written[name] for name in made if name not in changes]

    def adopt(self, line: Line, clips: Mapping[str, Clip], edits: Mapping[str, Edit] | None = None) -> None:
        """Write a line that comes with its record: takes' keys -> numbers, and what was kept of hand edits."""
        puts = [(line.id, take, clips[take.key]) for take in line.takes]
        with self._change() as change:
            change.write({line.id: line}, puts=puts, edits=edits or {})

    def show(self, line: str, take: int) -> None:
        """Put another take of a line on the curves; -1: none."""
        with self._change(line) as change:
            old = change.line(line, None if take == -1 else take)
            change.write({line: replace(old, shown=take)})

    def change(self, line: str, **fields: Any) -> None:
        """Change a line: start, end, regions, intensity, speech, style, blend, character (see `Line`)."""
        with self._change(line) as change:
            old = change.line(line)
            if "end" in fields:
                start = float(fields.get("start", old.start))
                length = float(fields.pop("end")) - start
                if length < 1.0:
                    raise LineError("A line must be at least two frames long; choose a later end or an earlier start.")
                fields["stretch"] = old.stretch * length / max(old.end - old.start, 1.0)
            if "start" in fields:
                fields["start"] = float(round(fields["start"]))
            change.write({line: replace(old, **fields)})

    def look(self, line: str, gaze: tuple[Glance, ...]) -> Line:
        """Let a line look elsewhere; its takes stay."""
        with self._change(line) as change:
            return change.write({line: replace(change.line(line), gaze=gaze)})[line]

    def perform_again(self, line: str, clip: Clip, gaze: tuple[Glance, ...] | None = None) -> Line:
        """Give the shown take of a line other numbers: it was directed differently. Edits by hand stay on it.

        ``gaze``: where it looks from now on; None for where it does.
        """
        with self._change(line) as change:
            old = change.line(line)
            if old.take is None:
                raise LineError("This line shows no take; choose one from the list.")
            clip, before = as_stored(clip), old.take
            take = replace(take_of(clip, before.key, before.edit), name=before.name, favourite=before.favourite)
            take = replace(take, last_seed=max(take.last_seed, before.last_seed))
            takes = tuple(take if one == before else one for one in old.takes)
            new = replace(old, takes=takes, gaze=old.gaze if gaze is None else gaze)
            return change.write({line: new}, puts=[(line, take, clip)])[line]

    def mark(self, line: str, take: int, **fields: Any) -> None:
        """Give a take a name, or make it a favourite (see `Take`)."""
        with self._change(line) as change:
            old = change.line(line, take)
            takes = (*old.takes[:take], replace(old.takes[take], **fields), *old.takes[take + 1 :])
            change.write({line: replace(old, takes=takes)}, again=False)

    def move(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Change several lines at once, as `change` does one: those that hang on each other never meet on the way.

        Args:
            changes: id -> fields of `Line` that become another: start, stretch, gaze, blend.
        """
        shifted = self._shift({n: fields["start"] for n, fields in changes.items() if set(fields) == {"start"}})
        rest = {name: fields for name, fields in changes.items() if name not in shifted}
        if rest:
            with self._change(*rest) as change:
                change.write({name: replace(change.line(name), **fields) for name, fields in rest.items()})

    def _shift(self, starts: Mapping[str, float]) -> tuple[str, ...]:
        """Move those lines at once that need not be written again for it; their ids."""
        home = home_of(self._owners)
        if home is None or not starts or any(why_not_writable(owner, self._owners) for owner in self._owners):
            return ()
        store, lines = Store(home), [line for line in lines_of(self._rig) if line.take is not None]
        names, by, edge = shiftable(lines, starts)
        end_preview()
        try:
            if not names or not shift({owner.action for owner in self._owners if owner.action}, edge, by):
                return ()
        except PatchError as error:
            raise LineError("{reason}", reason=error) from None
        for name, line in store.lines().items():
            if name in names:
                store.put(replace(line, start=line.start + by, end=line.end + by))
        return names

    def rewrite(self, lines: Iterable[str] | None = None) -> None:
        """Write lines again, all by default: the mapping, the frame rate or what moves the face has changed."""
        with self._change(*(() if lines is None else lines), all=lines is None) as change:
            wanted = change.lines if lines is None else {name: change.lines.get(name) for name in lines}
            changed = {name: line for name, line in wanted.items() if line is not None and line.takes}
            if changed:
                change.write(changed)

    def remove(self, line: str) -> None:
        """Forget a line; the curves are as they were before it."""
        with self._change(line, all=True) as change:
            change.line(line)
            change.write({line: None}, discard={line})

    def remove_others(self, line: str) -> int:
        """Forget all takes of a line but the shown one and the favourites; how many those were."""
        with self._change(line) as change:
            old = change.line(line)
            kept = tuple(take for take in old.takes if take.favourite or take == old.take)
            if not kept:
                raise LineError("This line shows no take, and none is a favourite; choose the one to keep.")
            shown = kept.index(old.take) if old.take is not None else -1
            change.write({line: replace(old, takes=kept, shown=shown)}, again=False)
            return len(old.takes) - len(kept)

    def remove_all(self, lines: Collection[str]) -> None:
        """Forget several lines at once; those that are not there any more are forgotten already."""
        with self._change(all=True) as change:
            gone = set(lines) & set(change.lines)
            if gone:
                change.write(dict.fromkeys(gone), discard=gone)

    def remove_take(self, line: str, take: int) -> None:
        """Forget a take; where it was shown, the one beside it is shown. The last take takes the line with it."""
        with self._change(line) as change:
            old = change.line(line, take)
            rest = old.takes[:take] + old.takes[take + 1 :]
            shown = min(old.shown - (old.shown > take), len(rest) - 1)
            change.write({line: replace(old, takes=rest, shown=shown) if rest else None}, again=old.shown == take)

    def keep_edit(self, line: str, how: str) -> None:
        """What becomes of the hand edit of a line: OVER_ALL its takes, OWN_TAKE, or DISCARD."""
        with self._change(line) as change:
            old = change.line(line)
            if how == "DISCARD":
                change.write({line: replace(old, layer=False)}, discard={line})
            elif how == "OWN_TAKE" and old.take is not None:
                copy = replace(old.take, key=unused_key(old), edit=True)
                new = replace(old, takes=(*old.takes, copy), shown=len(old.takes), edited=False)
                puts = [(line, copy, change.clip(old, old.take))]
                change.write({line: new}, puts=puts, own={line: copy.key})
            else:
                change.write({line: old})

    def _change(self, *lines: str, all: bool = False) -> _Change:  # noqa: A002 - reads as it is meant
        others = Others(self._owners, self._beside)
        return _Change(self._rig, self._owners, self._fps, self._mappings, others, self.said, None if all else lines)


class _Change:
    """One change of a character's lines: all or nothing.

    Attributes:
        lines: the lines by id, as stored; where those that are changed, and those they meet, are now.
    """

    def __init__(
        self, rig: Rig, owners: tuple[Owner, ...], fps: float, mappings: dict[str, FaceMapping], others: Others,
        said: list[str], wanted: Collection[str] | None,
    ) -> None:  # fmt: skip
        self._rig, self._owners, self._fps = rig, owners, fps
        self._mappings, self._others, self._said = mappings, others, said
        reasons = {owner.name: why_not_writable(owner, owners) for owner in owners}
        if reason := reasons[owners[0].name]:
            raise LineError("{reason}", reason=reason)
        said += filter(None, reasons.values())
        self._writable = [owner for owner in owners if not reasons[owner.name]]
        self._patches = {action: ActionPatch(action) for o in self._writable if (action := o.action) is not None}
        self._curves = {o.name: (self._patches[o.action], o.slot.handle) for o in self._writable if o.action and o.slot}
        home = home_of(owners)
        self._store = None if home is None else Store(home)
        self._stored = {} if self._store is None else self._store.lines()
        self._patch_of_home = self._patches.get(home)
        self.lines: dict[str, Line] = dict(self._stored)
        self._locate(wanted)
        self._edits: dict[tuple[str, str], dict[Address, npt.NDArray[np.float32]]] = {}
        self._leads_to: set[str] = set()  # names of the keys and bones that mappings of what is written lead to

    def line(self, name: str, take: int | None = None) -> Line:
        """A line that is there, and has a take of this number. LineError when it has not."""
        line = self.lines.get(name)
        if line is None:
            raise LineError("This line is not there any more; choose one from the list.")
        if take is not None and not 0 <= take < len(line.takes):
            sentence = "The line “{text}” has {count} takes and none is number {number}."
            raise LineError(sentence, text=line.text, count=len(line.takes), number=take + 1)
        return line

    def clip(self, line: Line, take: Take) -> Clip:
        """A stored take with its numbers. LineError when they are damaged."""
        assert self._store is not None
        try:
            return self._store.clip(line, take)
        except StoredError as error:
            sentence = "The take {seed} of “{text}” cannot be read: {why}. Generate the line again."
            raise LineError(sentence, seed=take.seed, text=line.text, why=error) from None

    def _locate(self, wanted: Collection[str] | None) -> None:
        """Look where lines are now; None for all."""
        self._looked = set(self.lines) if wanted is None else set(wanted)
        if self._patch_of_home is not None:
            try:
                located = _located(self._stored, self._patch_of_home, wanted)
            except PatchError as error:
                raise LineError("{reason}", reason=error) from None
            self.lines |= located

    def __enter__(self) -> _Change:
        end_preview()  # it poses what is about to be read as the rest
        return self

    def __exit__(self, *_problem: object) -> None:
        tidy(self._owners, LINES_PROPERTY)

    def write(
        self, changed: Mapping[str, Line | None], *, puts: Sequence[tuple[str, Take, Clip]] = (), again: bool = True,
        discard: Collection[str] = (), own: Mapping[str, str] | None = None, until: float | None = None,
        widen: bool = True, edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Line]:  # fmt: skip
        """Write lines as they shall be; the lines of the character as they are then.

        Args:
            changed: lines by id; None for one that goes.
            puts: new takes with their numbers, each with the id of its line.
            again: whether their curves change, and not only what is stored.
            discard: lines whose hand edits are forgotten.
            own: line -> key of the take that gets its hand edits; else they are a layer over all takes.
            until: new takes have the hand edits up to a frame of the scene, the others keep them.
            widen: whether sliders may be widened.
            edits: what was kept of hand edits of these lines, by take.
        """
        self._edits |= {(line, take): dict(edit) for line in changed for take, edit in (edits or {}).items()}
        try:
            for line in filter(None, changed.values()):
                check(line)
        except StoredError as error:
            raise LineError("The line cannot be so: {why}. Give it a usual value.", why=error) from None
        placed = {name: self._placed(line) for name, line in changed.items() if line is not None}
        while met := {
            line.id
            for line in self.lines.values()
            if line.id not in self._looked and line.take is not None and any(meet(line, o) for o in placed.values())
        }:
            self._locate(self._looked | met)
        for line in placed.values():
            if line.take is not None and (reason := self._in_the_way(line)):
                raise LineError("{reason}", reason=reason)
        clips = {(line, take.key): clip for line, take, clip in puts}
        there = {span for patch in self._patches.values() for span in patch.spans}
        lines = {name: line for name, line in {**self.lines, **placed}.items() if changed.get(name, line) is not None}
        touched = set(changed) if again else set()
        written: dict[str, set[str]] = {}
        for line in self.lines.values():
            written.setdefault(line.span, set()).add(line.id)
        groups = groups_of(lines.values())
        ids = {span: {line.id for line in group} for span, group in groups.items()}
        # Keys of a line that cannot be read stay as they are: nobody could write them again.
        unread = {line.span for line in self.lines.values() if not line.takes and changed.get(line.id, line)}
        stale = {
            span for span in there - unread if written.get(span) != ids.get(span) or touched & written.get(span, set())
        }
        if len(stale) > _MANY:  # sooner done with whole curves
            for patch in self._patches.values():
                patch.few = np.inf
        try:
            self._capture(stale, lines, discard, own or {})
            for patch in self._patches.values():
                patch.sweep(stale & set(patch.spans))
            if until is not None:
                for name in touched:
                    self._split(lines, name, until, {take.key for line, take, _ in puts if line == name})
            groups = groups_of(lines.values())
            fresh = {span: group for span, group in groups.items() if span in stale or span not in there}
            plans = [self._plan(span, group, clips, stale) for span, group in fresh.items()]
        except (PatchError, MappingError) as error:
            raise LineError("{reason}", reason=error) from None
        planned = {line.id: line for plan in plans for line in plan.lines}
        lines |= planned
        self._said += lost(self._dropped(plans, stale), self._leads_to, self._others)
        with ExitStack() as undo:
            self._widen(plans, undo, widen)
            try:
                self._patch(plans, stale)
            except PatchError as error:
                raise LineError("{reason}", reason=error) from None
            undo.pop_all()
        self._keep(lines, {*changed, *planned}, puts)
        return lines

    def _in_the_way(self, line: Line) -> str:
        if self._store is None or self._patch_of_home is None:
            return ""
        return _in_the_way(self._stored, self._store.damaged, self._patch_of_home, line.start, line.end)

    def _placed(self, line: Line) -> Line:
        """A line on whole frames, as long as its take. LineError where that is longer than anything."""
        if line.take is None:
            return replace(line, span="")  # it has no part in the keys of those that it met
        self._check(line)
        start = float(round(line.start))
        return replace(line, start=start, end=start + frames_of(line, self._fps) - 1, fps=self._fps)

    def _check(self, line: Line) -> None:
        take = line.take
        frames = self._fps * line.stretch * (take.frames / take.fps if take is not None else 0.0)
        if not frames <= MOST_FRAMES:
            raise LineError(
                "At {fps:g} frames per second this line would have {count:,.0f} keys on each curve. Set the frame rate "
                "and the length of the line to usual values.", fps=self._fps, count=frames,
            )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ hand edits

    def _capture(
        self, stale: set[str], lines: dict[str, Line], discard: Collection[str], own: Mapping[str, str]
    ) -> None:
        """Take over what was changed by hand in spans that are about to be written again."""
        for name in set(discard) & set(lines):
            self._edits[name, ALL_TAKES] = {}
        for action, patch in self._patches.items():
            names = {handle: owner.name for handle, owner in self._playing(action).items()}
            for span in stale & set(patch.spans):
                changed = {address: edit for address, edit in patch.edits(span).items() if not edit.gone}
                if changed and _is_met(patch, span):
                    changed = {}  # lines were dragged onto each other: nobody can tell their keys apart
                ids = [name for name, line in self.lines.items() if line.span == span and name in lines]
                before = self._renamed(patch, span, names)
                self._follow(ids, before)
                deltas = {name: self._deltas(name, ids, changed) for name in ids} if changed else {}
                # Where lines overlap, an edit is of those in which it lies.
                own_edit = [name for name, delta in deltas.items() if any(d.any() for d in delta.values())]
                for name in own_edit or deltas:
                    if name in discard:
                        continue
                    into = own.get(name, ALL_TAKES)
                    kept = self._edit(name, into)
                    for (handle, path, index), delta in deltas[name].items():
                        address = names.get(handle, "face"), path, index
                        for known in {address, before.get(address, address)}:
                            old = kept.get(known)
                            kept[known] = delta if old is None else delta + resampled(old, len(delta))
                    self._edits[name, into] = kept
                    if into == ALL_TAKES and not lines[name].layer:
                        sentence = "What was changed by hand in “{text}” is kept as a layer over its takes."
                        self._said.append(told(sentence, text=lines[name].text))
                    lines[name] = replace(lines[name], edited=False, layer=lines[name].layer or into == ALL_TAKES)

    @staticmethod
    def _renamed(patch: ActionPatch, span: str, owners: Mapping[int, str]) -> dict[Address, Address]:
        """What a span moves that was renamed since it was written: as it is called now -> as it was called."""
        return {
            (owners[slot], now, index): (owners[slot], then, index)
            for (slot, then, index), (_, now, _) in patch.moved(span)
            if then != now and slot in owners
        }

    def _follow(self, lines: Iterable[str], before: Mapping[Address, Address]) -> None:
        """What is kept of hand edits is known by the new names as well as by the old ones."""
        for name in lines if before else ():
            for take in (ALL_TAKES, *(take.key for take in self.lines[name].takes if take.edit)):
                edit = self._edit(name, take)
                new = {now: edit[then] for now, then in before.items() if then in edit and now not in edit}
                if new:
                    self._edits[name, take] = edit | new

    def _deltas(self, name: str, ids: Sequence[str], changed: Mapping[Any, Any]) -> dict[Any, npt.NDArray[np.float32]]:
        """What was changed by hand in a line, frame by frame, up to the line after it of those in one span."""
        line = self.lines[name]
        frames = np.arange(round(line.start), round(line.end) + 1, dtype=np.float64)
        later = [start for other in ids if (start := self.lines[other].start) > line.start]
        here = frames < min(later, default=np.inf)
        return {
            address: np.where(here, edit.delta(frames), 0.0).astype(np.float32) for address, edit in changed.items()
        }

    def _edit(self, line: str, take: str) -> dict[Address, npt.NDArray[np.float32]]:
        """What is kept of hand edits, changed now or before."""
        if (line, take) in self._edits:
            return dict(self._edits[line, take])
        return {} if self._store is None else self._store.edit(line, take)

    def _split(self, lines: dict[str, Line], name: str, until: float, new: set[str]) -> None:
        """Give the layer of a line to its takes: to the new ones up to a frame, to the others all of it."""
        layer, line = self._edit(name, ALL_TAKES), lines[name]
        if not layer:
            return
        takes = []
        for take in line.takes:
            edit = self._edit(name, take.key)
            for address, delta in layer.items():
                passed = np.arange(len(delta)) + round(line.start) > until
                part = np.where(passed, 0.0, delta).astype(np.float32) if take.key in new else delta
                old = edit.get(address)
                edit[address] = part if old is None else part + resampled(old, len(part))
            self._edits[name, take.key] = edit
            takes.append(replace(take, edit=True))
        self._edits[name, ALL_TAKES] = {}
        lines[name] = replace(line, takes=tuple(takes), layer=False)

    # ------------------------------------------------------------------------------------------------ curves

    def _plan(self, span: str, group: list[Line], clips: Mapping[tuple[str, str], Clip], stale: set[str]) -> Plan:
        """What a span becomes on the curves; nothing is written yet."""
        lines = [self._placed(line) for line in group]
        start, end = min(line.start for line in lines), max(line.end for line in lines)
        count = round(end - start) + 1
        grounds: dict[Address, Ground] = {}
        near = {
            name
            for patch in self._patches.values()
            for name in stale & set(patch.spans)
            if patch.found(name).at(patch.spans[name][0]) <= end and start <= patch.found(name).at(patch.spans[name][1])
        }

        frames = start + np.arange(count, dtype=np.float64)

        def ground(target: Target, passage: Passage) -> Ground:
            if target.address not in grounds:
                grounds[target.address] = ground_of(target, self._base(target, start, end, near), frames)
            own, ends = grounds[target.address], (passage.line.start, passage.line.end)
            return own if ends == (start, end) else replace(own, changes=self._base(target, *ends, near).changes)

        passages, last = [], -np.inf
        for line in lines:
            fade = round(last - line.start) if last > line.start else line.blend
            passages.append(self._passage(line, round(line.start - start), fade, clips))
            last = max(last, line.end)
        mix = mixed(passages, ground, self._others.why)
        edges = (mix.values.min(0).tolist(), mix.values.max(0).tolist()) if mix.targets else ((), ())
        reach = {t.address: pair for t, *pair in zip(mix.targets, *edges, strict=True) if t.owner.kind == "KEY"}
        for passage in passages:
            self._lay_edits(passage, mix)
        mix = moving(mix, [grounds[target.address] for target in mix.targets])
        lines = [replace(line, theirs=mix.theirs[line.id], span=span if mix.targets else "") for line in lines]
        return Plan(span, start, end, lines, mix, {t.address: grounds[t.address].rest for t in mix.targets}, reach)

    def _base(self, target: Target, first: float, last: float, stale: set[str]) -> Base:
        """The curve of a property from one frame to another without the spans that are written again."""
        if target.owner.name not in self._curves:
            return Base()
        patch, slot = self._curves[target.owner.name]
        return patch.base((slot, target.path, target.index), first, last, stale)

    def _passage(self, line: Line, first: int, fade: int, clips: Mapping[tuple[str, str], Clip]) -> Passage:
        take = line.take
        assert take is not None
        clip = clips.get((line.id, take.key)) or self.clip(line, take)
        mapping, face = self._mapping(clip), face_of(clip, self._fps, line)
        self._leads_to |= names_in(self._rig, mapping, face)
        targets = targets_of(self._rig, self._writable, without_muted(mapping, line), face)
        if not targets and not any(region.mute for region in line.regions.values()):
            assert self._rig.object is not None
            raise MappingError(
                "Nothing of this line reaches {name}: the mapping's shape keys and bones are not there. Choose another "
                "face or another mapping.", name=self._rig.object.name,
            )  # fmt: skip
        return Passage(line, first, targets, fade, exact_frames(face, clip.timeline))

    def _dropped(self, plans: Sequence[Plan], stale: set[str]) -> Iterator[tuple[Owner, str, str]]:
        """What lines that are written again moved until now and do not any more: see `lost`."""
        written = {target.address for plan in plans for target in plan.mix.targets}
        spans = {self.lines[line.id].span for plan in plans for line in plan.lines if line.id in self.lines}
        for action, patch in self._patches.items():
            owners = self._playing(action)
            for span in spans & stale & set(patch.spans):
                for (handle, then, _), (_, now, index) in patch.moved(span):
                    owner = owners.get(handle)
                    if owner is not None and (owner.name, now, index) not in written:
                        yield owner, then, now

    def _playing(self, action: bpy.types.Action) -> dict[int, Owner]:
        """Handles of an action's slots -> who plays them; of several the first."""
        return {o.slot.handle: o for o in reversed(self._writable) if o.action == action and o.slot}

    def _mapping(self, clip: Clip) -> FaceMapping:
        """How a clip reaches the character; for one of targets, what tells to which region they belong."""
        if clip.space == TARGETS and self._mappings:
            return next(iter(self._mappings.values()))
        if clip.space not in self._mappings:
            try:
                self._mappings[clip.space] = mapping_for(self._rig, clip)
            except MappingError:
                if clip.space != TARGETS:
                    raise
                return FaceMapping(TARGETS)
        return self._mappings[clip.space]

    def _lay_edits(self, passage: Passage, mix: Mixed) -> None:
        line, columns = passage.line, {target.address: place for place, target in enumerate(mix.targets)}
        count = round(line.end - line.start) + 1
        for key in (ALL_TAKES, line.take.key if line.take is not None else ""):
            for address, delta in self._edit(line.id, key).items():
                if address in columns:
                    mix.values[passage.first : passage.first + count, columns[address]] += resampled(delta, count)

    def _patch(self, plans: Sequence[Plan], stale: set[str]) -> None:
        """Write the curves, one edit for each action."""
        name = self._rig.object.name if self._rig.object is not None else "Face"
        moved = {target.owner.name for plan in plans for target in plan.mix.targets}
        places = {}
        for owner in self._writable:
            if owner.name in moved or (owner is self._owners[0] and plans):
                places[owner.name] = prepare(owner, self._owners, name)
        rests: dict[bpy.types.Action, list[tuple[Owner, str, int, float]]] = {}
        for action in {*(action for action, _ in places.values()), *(o.action for o in self._writable if o.action)}:
            patch = self._patches.get(action) or ActionPatch(action)
            spans = [plan.span_of(places, action) for plan in plans]
            gone = patch.replace(stale & set(patch.spans), [span for span in spans if span.curves])
            owners = self._playing(action)
            rests[action] = [(owners[h], path, i, rest) for (h, path, i), rest in gone if h in owners]
        for owner, path, index, rest in (rest for found in rests.values() for rest in found):
            set_value(owner, path, index, rest)

    def _widen(self, plans: Sequence[Plan], undo: ExitStack, widen: bool) -> None:
        extremes: dict[str, tuple[float, float]] = {}
        for plan in plans:  # as performed: an edit that a slider cuts off stays cut off
            for target in plan.mix.targets:
                if (reach := plan.reach.get(target.address)) is not None:
                    name = target.label
                    low, high = extremes.get(name, reach)
                    extremes[name] = min(low, reach[0]), max(high, reach[1])
        try:
            ranges.widen(self._rig, extremes, undo, all_keys=widen)
        except ranges.RangeError as error:
            raise LineError("{reason}", reason=error) from None

    # ------------------------------------------------------------------------------------------------ records

    def _keep(self, lines: Mapping[str, Line], changed: set[str], puts: Sequence[tuple[str, Take, Clip]]) -> None:
        """Store the records of what has changed."""
        home = home_of(self._owners)
        if home is None:
            return
        store = Store(home)
        for name in set(self._stored) - set(lines):
            store.forget(name)
        for action in {owner.action for owner in self._writable} - {home, None}:
            other = Store(
                action
            )  # Blender copies an action for each of its users: a record stays with the face's alone
            for name in set(other.lines()) & {*self._stored, *lines}:
                other.forget(name)
        for name in changed & set(lines):
            if lines[name].takes:
                store.put(lines[name])
        for name, take, clip in puts:
            store.put_clip(name, take, clip)
        for (name, take), edit in self._edits.items():
            if name in lines:
                store.put_edit(name, take, edit)


def _is_met(patch: ActionPatch, span: str) -> bool:
    """Whether another span is now where this one is."""
    places = {name: [patch.found(name).at(frame) for frame in ends] for name, ends in patch.spans.items()}
    start, end = places.pop(span)
    return any(start <= stop and begin <= end for begin, stop in places.values())


def set_value(owner: Owner, path: str, index: int, value: float) -> None:
    """Set a property that no curve holds any more to what it was."""
    try:
        there = owner.datablock.path_resolve(path)
    except ValueError:  # the key or bone is gone
        return
    if hasattr(there, "__len__"):
        there[index] = value
    else:
        block, _, name = path.rpartition(".")
        setattr(owner.datablock.path_resolve(block), name, value)
