# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of a character's lines: what it reaches is planned, compared, written and kept, all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import bpy
import numpy as np

from ..character.choose import mapping_for
from ..character.mapping import Mapping as FaceMapping
from ..character.mapping import MappingError
from ..character.rig import Rig, shorten
from ..clip import Clip
from ..sentences import told
from ..storage import StoredError
from . import ranges
from .blending import Ground, Passage, mixed, moving
from .curves import ActionPatch, Base, PatchError
from .diagnosis import lost
from .finding import blocked, located, others_lines, patches_of, shared, staying, unreadable
from .handwork import Handwork
from .layers import MOST_FRAMES, face_of, without_muted
from .owners import Owner, home_of, played_action, prepare, remember_names, set_value, tidy, why_not_writable
from .planning import Joint, Plan, frames_of, ground_of, groups_of, joints_of, locked_of, meet
from .preview import end_preview
from .record import Line, LineError, Take
from .reduction import exact_frames
from .spans import GROUP
from .store import LINES_PROPERTY, TARGETS, Edit, Store, check
from .targets import Address, Others, Target, names_in, targets_of

#: So many spans are changed in place.
_MANY = 4


class Change:
    """One change of a character's lines: all or nothing.

    Attributes:
        lines: the lines by id, as stored; where those that are changed, and those they meet, are now.
    """

    def __init__(
        self, rig: Rig, owners: tuple[Owner, ...], fps: float, mappings: dict[str, FaceMapping], others: Others,
        said: list[str], wanted: Collection[str] | None,
    ) -> None:  # fmt: skip
        """See `Lines`; ``wanted`` are ids of lines that will be changed, None for any. LineError where none can be."""
        self._rig, self._owners, self._fps = rig, owners, fps
        self._mappings, self._others, self._said = mappings, others, said
        reasons = {owner.name: why_not_writable(owner, owners) for owner in owners}
        if reason := reasons[owners[0].name]:
            raise LineError("{reason}", reason=reason)
        said += filter(None, reasons.values())
        self._writable = [owner for owner in owners if not reasons[owner.name]]
        self._all = patches_of(owners)
        known = {patch.action: patch for patch in self._all}
        playing = dict.fromkeys(action for o in self._writable if (action := o.action) is not None)
        self._patches = {action: known.get(action) or ActionPatch(action) for action in playing}
        self._curves = {o.name: (self._patches[o.action], o.slot.handle) for o in self._writable if o.action and o.slot}
        self._shut: dict[str, str] = {}  # spans with keys where none can be written now -> why not
        home = home_of(owners)
        if home is not None and (others := others_lines(owners, known.get(home))):
            sentence = (
                "The action {action} has lines of {others} as well. Give this character an action of its own in the "
                "Action editor, then try again."
            )
            raise LineError(sentence, action=home.name, others=shorten(others, 3))
        self._store = Store(home)
        self._stored, self._damaged = self._store.lines(), self._store.damaged
        self.lines: dict[str, Line] = dict(self._stored)
        self._locate(wanted)
        self._clips: dict[tuple[str, str], Clip] = {}
        self._handwork = Handwork(self._store, self.lines)
        self._leads_to: set[str] = set()  # names of the keys and bones that mappings of what is written lead to

    def line(self, name: str, take: int | None = None) -> Line:
        """A line that is there, and has a take of this number. LineError when it has not."""
        line = self.lines.get(name)
        if line is None and name in self._damaged:
            raise LineError("{damage} It can only be deleted.", damage=self._damaged[name])
        if line is None:
            raise LineError("This line is not there any more; choose one from the list.")
        if take is not None and not 0 <= take < len(line.takes):
            sentence = "Takes of “{text}”: {count}; none is number {number}."
            raise LineError(sentence, text=line.text, count=len(line.takes), number=take + 1)
        return line

    def clip(self, line: Line, take: Take) -> Clip:
        """A take with its numbers, of those that are stored or about to be. LineError when they are damaged."""
        key = line.id, take.key
        if key not in self._clips:
            try:
                self._clips[key] = self._store.clip(line, take)
            except StoredError as error:
                sentence = "The take {seed} of “{text}” cannot be read: {why}. Generate the line again."
                raise LineError(sentence, seed=take.seed, text=line.text, why=error) from None
        return self._clips[key]

    def _locate(self, wanted: Collection[str] | None) -> None:
        """Look where lines are now; None for all."""
        self._looked = set(self.lines) if wanted is None else set(wanted)
        for owner in self._owners:
            action = played_action(owner)
            if owner not in self._writable and action is not None:
                patch, reason = self._patches.get(action), why_not_writable(owner, self._owners)
                spans = ActionPatch(action).spans if patch is None else _played(patch, owner)
                self._shut |= dict.fromkeys(spans, reason)
        self.lines |= located(self._stored, self._damaged, self._all, wanted)

    def __enter__(self) -> Change:
        end_preview()  # it poses what is about to be read as the rest
        return self

    def __exit__(self, *_problem: object) -> None:
        self._said[:] = dict.fromkeys(self._said)
        tidy(self._owners, LINES_PROPERTY)

    def write(
        self, changed: Mapping[str, Line | None], *, puts: Sequence[tuple[str, Take, Clip]] = (), again: bool = True,
        some: bool = False, discard: Collection[str] = (), own: Mapping[str, str] | None = None,
        until: float | None = None, widen: bool | None = None, edits: Mapping[str, Mapping[str, Edit]] | None = None,
    ) -> dict[str, Line]:  # fmt: skip
        """Write lines as they shall be; the lines of the character as they are then.

        Args:
            changed: lines by id; None for one that goes.
            puts: new takes with their numbers, each with the id of its line.
            again: whether their curves change, and not only what is stored.
            some: those that cannot be written stay as they are, with a sentence; else nothing is written then.
            discard: lines whose hand edits are forgotten.
            own: line -> key of the take that gets its hand edits; else they are a layer over all takes.
            until: new takes have the hand edits up to a frame of the scene, the others keep them.
            widen: whether sliders are widened; None: as `ranges.may_widen` says.
            edits: line -> what was kept of hand edits of it elsewhere, by take.
        """
        self._clips |= {(line, take.key): clip for line, take, clip in puts}
        for name, kept in (edits or {}).items():
            self._handwork.keep(name, kept)
        try:
            for line in filter(None, changed.values()):
                check(line)
        except StoredError as error:
            raise LineError("The line cannot be so: {why}. Give it a usual value.", why=error) from None
        placed = {name: self._placed(line) for name, line in changed.items() if line is not None}
        self._meet(placed, {name for name, line in changed.items() if line is None})
        kept, refused = self._kept(changed, placed)
        refused = refused if again else {}
        if refused and not some:
            raise LineError("{reason}", reason=next(iter(refused.values())))
        if some:
            spans = {name: self.lines[name].span for name in refused if name in self.lines}
            dragged = [why for name, why in refused.items() if spans.get(name) not in kept]
            self._said += [*staying(kept, self._all), *dragged]
        changed = {name: line for name, line in changed.items() if name not in refused}
        there = {span for patch in self._patches.values() for span in patch.spans}
        lines = {**self.lines, **{name: placed[name] for name in changed if name in placed}}
        lines = {name: line for name, line in lines.items() if changed.get(name, line) is not None}
        touched = set(changed) if again else set()
        written: dict[str, set[str]] = {}
        for line in self.lines.values():
            written.setdefault(line.span, set()).add(line.id)
        groups = self._groups(lines, kept)
        ids = {span: {line.id for line in group} for span, group in groups.items()}
        # Keys of a line that cannot be read stay as they are: nobody could write them again.
        stale = {
            span
            for span in there - kept.keys() - self._shut.keys()
            if written.get(span) != ids.get(span) or touched & written.get(span, set())
        }
        # Nothing follows in a strip, and it ends.
        joints = {} if self._others.beside else joints_of(groups, self._fps)
        otherwise = self._joined_otherwise(joints, stale | (groups.keys() - there))
        looked = {line.span for line in self.lines.values() if line.id in self._looked}
        gone = {span for span in otherwise & there if not any(p.found(span).share for p in self._holding(span))}
        stale |= otherwise & (looked - gone) & (there - kept.keys() - self._shut.keys())
        if len(stale) > _MANY:  # sooner done with whole curves
            for patch in self._patches.values():
                patch.few = np.inf
        try:
            for name in set(discard) & set(lines):
                self._handwork.forget(name)
            for action, patch in self._patches.items():
                names = {handle: owner.name for handle, owner in self._playing(action).items()}
                for span in stale & set(patch.spans):
                    self._said += self._handwork.take_over(patch, names, span, lines, discard, own or {})
                patch.sweep(stale & set(patch.spans))
            if until is not None:
                for name in touched:
                    self._handwork.split(lines, name, until, {take.key for line, take, _ in puts if line == name})
            fresh = {span: g for span, g in self._groups(lines, kept).items() if span in stale or span not in there}
            plans = self._plans(fresh, joints, stale)
            hidden = self._hidden(touched, lines)
        except MappingError as error:
            raise LineError("{reason}", reason=error) from None
        planned = {line.id: line for plan in plans for line in plan.lines}
        lines |= planned | hidden
        self._said += lost(self._rig, self._dropped(plans, {*planned, *hidden}), self._leads_to, self._others)
        with ranges.widened(self._rig, _extremes(plans), all_keys=widen):
            self._patch(plans, stale)
        self._keep(lines, set(changed), {*changed, *planned}, puts)
        self._said += [*self._hidden_by_strips(planned), *self._elsewhere({*self._stored, *changed} - set(lines))]
        return lines

    def _hidden_by_strips(self, written: Mapping[str, Line]) -> Iterator[str]:
        """Which lines leave channels to strips that are lines."""
        left = [line.text for line in written.values() if any(name.endswith("(NLA)") for name in line.theirs)]
        if self._others.lines and left:
            sentence = (
                "Strips of lines play channels of “{texts}”, also where they are over. Send it to a strip as well, or "
                "bring those back."
            )
            yield told(sentence, texts=shorten(left, 2))

    def _elsewhere(self, gone: set[str]) -> Iterator[str]:
        """Take keys of lines that nobody has any more out of actions that are not active on the character now."""
        played = {patch.action for patch in self._all} | self._patches.keys()
        actions = bpy.data.actions if gone else ()
        apart = [one for one in actions if GROUP in one and one not in played and one.is_editable]
        homes = [Store(one) for one in actions if apart and LINES_PROPERTY in one]
        known = {name for home in homes for name in (*home.lines(), *home.damaged)}
        names = []
        for action in apart:
            with suppress(PatchError):  # it cannot be read, and stays
                patch = ActionPatch(action)
                lines = {span: set(entry.lines) for span, entry in patch.entries.items()}
                orphans = [span for span, own in lines.items() if own and own <= gone and not own & known]
                if orphans:
                    patch.sweep(orphans)
                    patch.replace(orphans, [])
                    names.append(action.name)
        if names:
            sentence = "Its keys in {actions}, which is not active on this character now, are gone too."
            yield told(sentence, actions=shorten(names))

    def _meet(self, placed: Mapping[str, Line], gone: set[str]) -> None:
        """Look where those are that meet what will be written, or are joined to it, now or then."""
        before = [self.lines[name] for name in placed if name in self.lines]
        while met := {
            line.id
            for line in self.lines.values()
            if line.id not in self._looked and line.take is not None
            and any(meet(line, o) for o in (*placed.values(), *before))
        } | (self._beside(placed, gone) - self._looked):  # fmt: skip
            self._locate(self._looked | met)

    def _beside(self, placed: Mapping[str, Line], gone: set[str]) -> set[str]:
        """Lines whose spans are joined to those of lines that are changed, before or then, or otherwise then."""
        then = {name: line for name, line in {**self.lines, **placed}.items() if name not in gone}
        if not any(line.lasts or line.gaze for line in (*self.lines.values(), *placed.values())):
            return set()
        pairs: list[set[tuple[frozenset[str], Joint]]] = []
        for groups in (groups_of(lines.values()) for lines in (self.lines, then)):
            ids = {span: frozenset(line.id for line in group) for span, group in groups.items()} | {"": frozenset()}
            pairs.append({(ids[one] | ids[joint.other], joint) for one, joint in joints_of(groups, self._fps).items()})
        changed = {*placed, *gone}
        other = pairs[0] ^ pairs[1]
        return {name for pair in pairs[0] | pairs[1] if pair[0] & changed or pair in other for name in pair[0]}

    def _kept(
        self, changed: Mapping[str, Line | None], placed: Mapping[str, Line]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """What cannot be written, because lines that cannot be read have keys there.

        Returns:
            The spans that stay as they are, and a sentence about one such line of each. And the lines that cannot
            become what they shall, by their ids, and why.
        """
        gone = {name for name, line in changed.items() if line is None}
        near = {self.lines[name].span for name in changed if name in self.lines} - {""}
        damaged, refused = {}, {}
        for line in self.lines.values():
            new = placed.get(line.id, line)
            if new.take is not None and line.span in near and line.id not in gone:
                try:
                    self.clip(new, new.take)
                except LineError as error:
                    damaged[line.id] = str(error)
        kept = unreadable(self._stored, self._damaged, self._all, gone)
        kept |= {self.lines[name].span: damage for name, damage in damaged.items()}
        for name in changed if kept or self._shut else ():
            line, new = self.lines.get(name), placed.get(name)
            beside = (other for other in self.lines.values() if new is not None and meet(other, new))
            shut = [self._shut[one.span] for one in (line, *beside) if one is not None and one.span in self._shut]
            if shut:
                refused[name] = shut[0]
            elif line is not None and line.span in kept:
                refused[name] = damaged.get(name) or shared(kept, self._all, line)
            elif new is not None and new.take is not None and (why := blocked(kept, self._all, new)):
                refused[name] = why
        return kept, refused

    def _groups(self, lines: Mapping[str, Line], kept: dict[str, str]) -> dict[str, list[Line]]:
        return groups_of(line for line in lines.values() if line.span not in kept | self._shut)

    def _placed(self, line: Line) -> Line:
        """A line on whole frames, as long as its take. LineError where that is longer than anything."""
        start = float(round(line.start))
        if line.take is None:  # it has no part in the keys of those that it met, and is as long as its first take
            length = frames_of(replace(line, shown=0), self._fps) - 1 if line.takes else line.end - line.start
            return replace(line, span="", start=start, end=start + length)
        self._check(line)
        end = start + frames_of(line, self._fps) - 1
        return replace(line, start=start, end=end, fps=self._fps, moved=())

    def _check(self, line: Line) -> None:
        take = line.take
        frames = self._fps * line.stretch * (take.frames / take.fps if take is not None else 0.0)
        if not frames <= MOST_FRAMES:
            raise LineError(
                "At {fps:g} frames per second this line would have {count:,.0f} keys on each curve. Set the frame rate "
                "and the length of the line to usual values.", fps=self._fps, count=frames,
            )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ curves

    def _joined_otherwise(self, joints: Mapping[str, Joint], fresh: set[str]) -> set[str]:
        """Spans that begin or end otherwise than they were written: what they are joined to is another, or is not."""
        before = {name: patch.joined(name) for patch in self._patches.values() for name in patch.spans}
        stored = joints_of(groups_of(self._stored.values()), self._fps) if joints else {}
        changed = {one for one, joint in joints.items() if stored.get(one, joint) != joint}
        changed |= {name for name, (_, stays) in before.items() if stays != (name in joints)}
        afters = {joint.other: one for one, joint in joints.items()}
        changed |= {name for name, (goes_on, _) in before.items() if goes_on and name not in afters}
        return changed | {other for other, one in afters.items() if other and one in fresh | changed}

    def _plans(self, fresh: Mapping[str, list[Line]], joints: Mapping[str, Joint], stale: set[str]) -> list[Plan]:
        """What spans become on the curves: each may come in from what the one before it has left."""
        plans: dict[str, Plan] = {}
        before = {joint.other: one for one, joint in joints.items()}
        for span in sorted(fresh, key=lambda name: fresh[name][0].start):
            one = before.get(span, "")
            left = plans[one].closing if one in plans else self._left(one)
            plans[span] = self._plan(span, fresh[span], stale, (joints[one], left) if left else None, joints.get(span))
        return [plans[span] for span in fresh]

    def _holding(self, span: str) -> list[ActionPatch]:
        """The actions that have a span."""
        return [patch for patch in self._patches.values() if span in patch.spans]

    def _left(self, span: str) -> dict[Address, float]:
        """What a span that is not written again has left on the curves."""
        left: dict[Address, float] = {}
        for patch in self._holding(span):
            owners, found = self._playing(patch.action), patch.left(span).items()
            left |= {(owners[slot].name, path, at): value for (slot, path, at), value in found if slot in owners}
        return left

    def _plan(
        self, span: str, group: list[Line], stale: set[str], before: tuple[Joint, Mapping[Address, float]] | None,
        after: Joint | None,
    ) -> Plan:  # fmt: skip
        """What a span becomes on the curves; nothing is written yet.

        Args:
            span: its id.
            group: its lines.
            stale: ids of the spans that are written again.
            before: how it is joined to the span before it, and what that has left.
            after: how it is joined to the next.
        """
        joined = before is not None, after is not None
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
        opened: list[str] = []  # locked where keys of the line are that cannot stay

        def ground(target: Target, passage: Passage) -> Ground:
            if target.address not in grounds:
                own = ground_of(target, self._base(target, start, end, near), frames)
                stays = own.exists or self._stays(target, span, start, end, joined)
                if own.kept == "locked" and not stays and self._has(target, {span, *near}):
                    opened.append(target.label)
                    own = replace(own, kept="")
                grounds[target.address] = own
            own, ends = grounds[target.address], (passage.line.start, passage.line.end)
            return own if ends == (start, end) else replace(own, changes=self._base(target, *ends, near).changes)

        passages: list[Passage] = []
        last: Line | None = None  # the one that ends last
        for line in lines:
            meeting = 0 if last is None else round(last.end - line.start)
            fade = meeting or line.blend
            if last is not None and last.lasts and fade <= line.blend and passages[-1].line is last:
                fade = line.blend  # what is left of that one stays until this one is there
                more = min(fade - meeting, round(end - last.end))
                passages[-1] = passages[-1].held(more, self._handwork.at_the_end(last))
            passage = self._passage(line, round(line.start - start), fade)
            if before is not None and not passages:
                joint, left = before
                kept = {t.address: left[t.address] for t in passage.targets if t.address in left and joint.keeps(t)}
                passage = replace(passage, goes_on=kept)
            if after is not None and line.end == end:
                passage = replace(passage, stays=after.keeps)
            passages.append(passage)
            last = line if last is None or line.end >= last.end else last
        mix = mixed(passages, ground, self._others.why)
        locked = [t for t in locked_of(passages, grounds) if self._stays(t, span, start, end, joined)]
        if opened:
            sentence = "Locked channels are written all the same, as the line is on other frames now: {names}."
            self._said.append(told(sentence, names=shorten(list(dict.fromkeys(opened)))))
        edges = (mix.values.min(0).tolist(), mix.values.max(0).tolist()) if mix.targets else ((), ())
        reach = {t.address: pair for t, *pair in zip(mix.targets, *edges, strict=True) if t.owner.kind == "KEY"}
        for passage in passages:
            self._handwork.lay(passage, mix)
        mix = moving(mix, [grounds[target.address] for target in mix.targets])
        lines = [
            replace(line, theirs=mix.theirs[line.id], span=span if mix.targets or locked else "") for line in lines
        ]
        rest = {target.address: grounds[target.address].rest for target in mix.targets}
        return Plan(span, start, end, lines, mix, rest, reach, joined, locked)

    def _stays(self, target: Target, span: str, start: float, end: float, joined: tuple[bool, bool]) -> bool:
        """Whether the keys of a span on the curve of a property could stay as they are."""
        if target.owner.name not in self._curves:
            return False
        patch, slot = self._curves[target.owner.name]
        there = patch.stays(span, start, end, joined)
        return there and patch.is_in_place(span, (slot, target.path, target.index))

    def _has(self, target: Target, spans: Collection[str]) -> bool:
        """Whether some spans have keys on the curve of a property."""
        patch, slot = self._curves[target.owner.name]
        return any((slot, target.path, target.index) in patch.addresses(n) for n in spans if n in patch.spans)

    def _base(self, target: Target, first: float, last: float, stale: set[str]) -> Base:
        """The curve of a property from one frame to another without the spans that are written again."""
        if target.owner.name not in self._curves:
            return Base()
        patch, slot = self._curves[target.owner.name]
        return patch.base((slot, target.path, target.index), first, last, stale)

    def _passage(self, line: Line, first: int, fade: int) -> Passage:
        take = line.take
        clip = self.clip(line, take)
        mapping, face = self._mapping(clip), face_of(clip, self._fps, line)
        self._leads_to |= names_in(self._rig, mapping, face)
        targets = targets_of(self._rig, self._writable, without_muted(mapping, line), face)
        if not targets and not any(region.mute for region in line.regions.values()):
            raise MappingError(
                "Nothing of this line reaches {name}: the mapping's shape keys and bones are not there. Choose another "
                "face or another mapping.", name=self._rig.object.name,
            )  # fmt: skip
        return Passage(line, first, targets, fade, exact_frames(face, clip.timeline))

    def _dropped(self, plans: Sequence[Plan], names: Collection[str]) -> Iterator[tuple[Owner, str, str]]:
        """What lines that are written again moved until now and do not any more: see `lost`."""
        targets = [target for plan in plans for target in plan.mix.targets]
        written = {target.address for target in targets}
        lines = [self.lines[name] for name in names if name in self.lines]
        for action, patch in self._patches.items():
            owners = self._playing(action)
            for span in {line.span for line in lines} & set(patch.spans):
                for (handle, then, _), (_, now, index) in patch.moved(span):
                    owner = owners.get(handle)
                    if owner is not None and (owner.name, now, index) not in written:
                        yield owner, then, now
        by_name = {owner.name: owner for owner in self._writable}
        moved = dict.fromkeys(moved for line in lines for moved in line.moved)
        known = {(name, path) for name, path, _ in moved}
        anew = {(t.owner.name, c) for t in targets for c in self._means(t) if (t.owner.name, t.path) not in known}
        for name, path, channels in moved:
            renamed = bool(channels) and all((name, channel) in anew for channel in channels)  # to a name that is known
            if name in by_name and not renamed:
                yield by_name[name], path, path

    def _means(self, target: Target) -> set[str]:
        """What a target is moved by: channels, and the parts that its bone plays."""
        parts = self._rig.bones.items() if target.owner.kind == "OBJECT" else ()
        return {*target.channels, *(part for part, bone in parts if bone == target.label)}

    def _hidden(self, names: Collection[str], lines: Mapping[str, Line]) -> dict[str, Line]:
        """Lines that will be hidden, with what they have moved until now."""
        hidden = {}
        for name in names:
            before, line = self.lines.get(name), lines.get(name)
            if before is not None and before.take is not None and line is not None and line.take is None:
                targets: list[Target] = []
                with suppress(MappingError):  # nothing of it reaches the character any more
                    targets = self._passage(before, 0, 0).targets
                moved = {
                    (t.owner.name, t.path, tuple(sorted(self._means(t)))) for t in targets if np.ptp(t.values) > 1e-6
                }
                hidden[name] = replace(line, moved=tuple(sorted(moved)))
        return hidden

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

    def _patch(self, plans: Sequence[Plan], stale: set[str]) -> None:
        """Write the curves, one edit for each action."""
        moved = {target.owner.name for plan in plans for target in plan.mix.targets}
        places = {}
        for owner in self._writable:
            if owner.name in moved or (owner is self._owners[0] and plans):
                places[owner.name] = prepare(owner, self._owners, self._rig.object.name)
        rests: dict[bpy.types.Action, list[tuple[Owner, str, int, float]]] = {}
        for action in {*(action for action, _ in places.values()), *(o.action for o in self._writable if o.action)}:
            patch = self._patches.get(action) or ActionPatch(action)
            spans = [plan.span_of(places, action) for plan in plans]
            gone = patch.replace(stale & set(patch.spans), [span for span in spans if span.curves or span.staying])
            owners = self._playing(action)
            rests[action] = [(owners[h], path, i, rest) for (h, path, i), rest in gone if h in owners]
        for owner, path, index, rest in (rest for found in rests.values() for rest in found):
            set_value(owner, path, index, rest)

    # ------------------------------------------------------------------------------------------------ records

    def _keep(
        self, lines: Mapping[str, Line], gone: set[str], changed: set[str], puts: Sequence[tuple[str, Take, Clip]]
    ) -> None:
        """Store the records of what has changed."""
        home = home_of(self._owners)
        if home is None:
            return
        remember_names(self._writable)
        store = Store(home)
        for name in {*self._stored, *gone} - set(lines):
            store.forget(name)
        # Blender copies an action for each of its users: a record stays with the face's alone.
        for action in {owner.action for owner in self._writable} - {home, None}:
            other = Store(action)
            for name in set(other.lines()) & {*self._stored, *lines}:
                other.forget(name)
        for name in changed & set(lines):
            if lines[name].takes:
                store.put(lines[name])
        for name, take, clip in puts:
            store.put_clip(name, take, clip)
        for (name, take), edit in self._handwork.changed.items():
            if name in lines:
                store.put_edit(name, take, edit)


def _extremes(plans: Sequence[Plan]) -> dict[str, tuple[float, float]]:
    """How far keys go as performed, by name: an edit that a slider cuts off stays cut off."""
    extremes: dict[str, tuple[float, float]] = {}
    for plan in plans:
        for target in plan.mix.targets:
            if (reach := plan.reach.get(target.address)) is not None:
                low, high = extremes.get(target.label, reach)
                extremes[target.label] = min(low, reach[0]), max(high, reach[1])
    return extremes


def _played(patch: ActionPatch, owner: Owner) -> Iterator[str]:
    """The spans of an action that have keys on the curves which an owner of it plays."""
    handle = owner.slot.handle if owner.slot is not None else None
    return (name for name in patch.spans if any(slot == handle for slot, _, _ in patch.addresses(name)))
