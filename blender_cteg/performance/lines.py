# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines: what a character says, kept with its action, and the shown takes as keys in the animator's own curves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import bpy

from ..character.detection.editable import rendering
from ..character.mapping import Mapping as FaceMapping
from ..character.rig import Rig
from ..clip import Clip
from ..storage import clean
from .change import Change
from .finding import clip_of, damaged_lines, in_the_way, lines_of
from .gaze import Glance
from .owners import home_of, owners_of, why_not_writable
from .planning import groups_of, joints_of
from .preview import end_preview
from .record import Line, LineError, Style, Take
from .shifting import shift, shiftable
from .store import Edit, Store, as_stored, take_of, unused_key
from .targets import Others

__all__ = ["Line", "LineError", "Lines", "Style", "clip_of", "damaged_lines", "in_the_way", "lines_of"]


class Lines:
    """The lines of one character in a scene, and changing them. Whatever is refused leaves everything as it was.

    Attributes:
        said: sentences about what was done, and what was not and why; for the operator's report.
    """

    def __init__(
        self, scene: bpy.types.Scene, rig: Rig, mapping: FaceMapping | None = None, *, beside: bool = False
    ) -> None:
        """The lines of a character. LineError where it cannot perform (its `Rig.problem`).

        Args:
            scene: gives the frame rate.
            rig: the character.
            mapping: how clips of its space reach the character; others are found.
            beside: whether NLA strips of lines may animate what these lines move.
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
        widen: bool | None = None, blend: int = 6, edits_until: float | None = None,
        gaze: tuple[Glance, ...] | None = None,
    ) -> Line:  # fmt: skip
        """Add takes, to a new line that starts at a frame or to a line there is (``line``: its id); show the first.

        Args:
            clips: takes of one line.
            start: scene frame of their first row; for a line there is, where it is.
            style: how its curves are keyed.
            text: as the animator wrote it.
            line: id of the line that gets them, "" for a new one.
            last_seed: the last seed they were drawn from.
            widen: whether sliders are widened that would cut the takes off; None: as `ranges.may_widen` says.
            blend: frames over which the line leaves from, and returns to, what is there without it.
            gaze: where the line looks; None for where it did.
            edits_until: the takes go on as the shown one from a frame of the scene; hand edits are kept until there.
        """
        if not clips:
            raise LineError("There are no takes to write. Generate the line again.")
        with self._change(line) as change:
            base = change.line(line) if line else None
            base, puts = _with_takes(base or self._new(text, start, style=style, blend=blend), clips, last_seed)
            new = replace(base, style=style, gaze=base.gaze if gaze is None else gaze)
            return change.write({new.id: new}, puts=puts, until=edits_until, widen=widen)[new.id]

    def add_new(
        self, news: Sequence[tuple[Sequence[Clip], float, str, tuple[Glance, ...]]], style: Style, *,
        blend: int = 6, changes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[Line]:  # fmt: skip
        """Add several new lines at once, as `add` does one: what overlaps is written once.

        Args:
            news: takes, the first of which is shown, the frame of their first row, the text, and where the line looks.
            style, blend: as in `add`.
            changes: lines there are that become others at the same time, as in `move`.
        """
        made: dict[str, Line | None] = {}
        puts: list[tuple[str, Take, Clip]] = []
        changes = changes or {}
        with self._change(*changes) as change:
            made |= {name: replace(change.line(name), **fields) for name, fields in changes.items()}
            for clips, start, text, gaze in news:
                line = self._new(text, start, style=style, blend=blend, gaze=gaze)
                made[line.id], its = _with_takes(line, clips)
                puts += its
            written = change.write(made, puts=puts)
        return [written[name] for name in made if name not in changes]

    def _new(self, text: str, start: float, **fields: Any) -> Line:
        """A line of this character that has no takes yet."""
        return Line(uuid4().hex[:8], clean(text), self._rig.object.name, float(round(start)), **fields)

    def adopt(self, come: Sequence[tuple[Line, Mapping[str, Clip], Mapping[str, Edit]]]) -> None:
        """Write lines that come with their records: takes' keys -> numbers, and what was kept of hand edits."""
        puts = [(line.id, take, clips[take.key]) for line, clips, _ in come for take in line.takes]
        with self._change() as change:
            change.write({line.id: line for line, *_ in come}, puts=puts, edits={line.id: e for line, _, e in come})

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
        shifted, left = self._shift({n: fields["start"] for n, fields in changes.items() if set(fields) == {"start"}})
        rest: dict[str, Mapping[str, Any]] = {name: {} for name in left}
        rest |= {name: fields for name, fields in changes.items() if name not in shifted}
        if rest:
            with self._change(*rest) as change:
                change.write({name: replace(change.line(name), **fields) for name, fields in rest.items()})

    def _shift(self, starts: Mapping[str, float]) -> tuple[tuple[str, ...], list[str]]:
        """Move those lines at once that need not be written again for it.

        Returns:
            Their ids, and those of lines that begin or end otherwise now, as what is joined to them is further away.
        """
        if not starts or any(why_not_writable(owner, self._owners) for owner in self._owners):
            return (), []
        lines = [line for line in lines_of(self._rig) if line.take is not None or not line.takes]  # all with keys
        names, by, edge = shiftable(lines, starts)
        end_preview()
        if not names or not shift({owner.action for owner in self._owners if owner.action}, edge, by):
            return (), []
        store = Store(home_of(self._owners))
        for name, line in store.lines().items():
            if name in names:
                store.put(replace(line, start=line.start + by, end=line.end + by))
        now = [replace(o, start=o.start + by, end=o.end + by) if o.id in names else o for o in lines]
        joints = [joints_of(groups_of(some), self._fps) for some in (lines, now)]
        other = set(joints[0].items()) ^ set(joints[1].items())
        return names, list({span for one, joint in other for span in (one, joint.other)} - {""})

    def rewrite(self, lines: Iterable[str] | None = None) -> None:
        """Write lines again: the mapping, the frame rate or what moves the face has changed.

        Args:
            lines: their ids; by default all that can be written.
        """
        with self._change(*(() if lines is None else lines), all=lines is None) as change:
            wanted = change.lines if lines is None else {name: change.lines.get(name) for name in lines}
            changed = {name: line for name, line in wanted.items() if line is not None and line.takes}
            if changed:
                change.write(changed, some=lines is None)

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

    def _change(self, *lines: str, all: bool = False) -> Change:  # noqa: A002 - reads as it is meant
        others = Others(self._owners, self._beside)
        return Change(self._rig, self._owners, self._fps, self._mappings, others, self.said, None if all else lines)


def _with_takes(line: Line, clips: Sequence[Clip], last_seed: int = 0) -> tuple[Line, list[tuple[str, Take, Clip]]]:
    """A line with takes more, the first of them shown, and those that it did not have, with their numbers."""
    places, puts = [], []
    for clip in map(as_stored, clips):
        last = max(last_seed, clip.seed, clip.last_seed or 0)
        take = take_of(replace(clip, last_seed=last), unused_key(line))
        same = [k for k, other in enumerate(line.takes) if replace(other, key=take.key) == take]
        places.append(same[0] if same else len(line.takes))
        if not same:  # asked for again, a take is the same again
            line = replace(line, takes=(*line.takes, take))
            puts.append((line.id, take, clip))
    return replace(line, shown=places[0]), puts
