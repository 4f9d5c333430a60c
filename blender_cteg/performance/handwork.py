# SPDX-License-Identifier: GPL-3.0-or-later
"""Handwork: what animators changed by hand in the keys of lines, kept frame by frame as layers over their takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

import numpy as np

from ..arrays import Singles
from ..character.rig import shorten
from ..sentences import told
from .blending import Mixed, Passage
from .curves import ActionPatch
from .curves import Edit as CurveEdit
from .planning import parts_of, resampled
from .record import Line
from .store import ALL_TAKES, Edit, Store
from .targets import Address, name_in

#: What is changed by less is not missed.
_SEEN: Final = 1e-3


class Handwork:
    """What is kept of hand edits in the lines of a character, changed now or before.

    Attributes:
        changed: what is to be stored: (line, key of a take or `ALL_TAKES`) -> property -> (T,).
    """

    def __init__(self, store: Store, lines: Mapping[str, Line]) -> None:
        """Of the lines as they are, and as they are stored."""
        self._store, self._lines = store, lines
        self.changed: dict[tuple[str, str], dict[Address, Singles]] = {}

    def of(self, line: str, take: str) -> dict[Address, Singles]:
        """What is kept for a take of a line."""
        if (line, take) in self.changed:
            return dict(self.changed[line, take])
        return self._store.edit(line, take)

    def keep(self, line: str, edits: Mapping[str, Edit]) -> None:
        """A line comes with what was kept elsewhere, by take."""
        self.changed |= {(line, take): dict(edit) for take, edit in edits.items()}

    def forget(self, line: str) -> None:
        """What was changed by hand in a line is undone."""
        self.changed[line, ALL_TAKES] = {}

    def take_over(
        self, patch: ActionPatch, owners: Mapping[int, str], span: str, lines: dict[str, Line],
        discard: Collection[str], own: Mapping[str, str],
    ) -> list[str]:  # fmt: skip
        """Take over what was changed by hand in a span that is about to be written again; sentences about it.

        Args:
            patch, owners: the action's spans, and the names of who plays its slots.
            span: which one.
            lines: as they will be; those that were edited are replaced.
            discard: lines whose edits are forgotten.
            own: line -> key of the take that gets its edits; else they are a layer over all takes.
        """
        said = []
        found = patch.edits(span)
        changed = {address: edit for address, edit in found.items() if not edit.gone}
        there = [line for name, line in self._lines.items() if line.span == span and name in lines]
        if there and (gone := [name_in(path) for (_, path, _), edit in found.items() if edit.gone]):
            sentence = (
                "What was deleted by hand is written again: {names}. Mute its region in the line to leave it out."
            )
            said.append(told(sentence, names=shorten(list(dict.fromkeys(gone)))))
        outer = ~np.array(patch.joined(span))  # borders that play what is around
        before = _renamed(patch, span, owners)
        others = before.keys() & set(before.values())  # names that were given to another
        self._follow([line.id for line in there], before)
        deltas = _deltas(sorted(there, key=attrgetter("start")), changed)
        edited = [name for name, delta in deltas.items() if any(d.any() for d in delta.values())]
        for name in edited or (deltas if changed else ()):
            if name in discard:
                continue
            into = own.get(name, ALL_TAKES)
            kept = self.of(name, into)
            for (handle, path, index), delta in deltas[name].items():
                address = owners.get(handle, "face"), path, index
                for known in {address, before.get(address, address)} - (others - {address}):
                    old = kept.get(known)
                    kept[known] = delta if old is None else delta + resampled(old, len(delta))
            self.changed[name, into] = kept
            if any(np.abs(delta[[0, -1]][outer]).max(initial=0.0) > _SEEN for delta in deltas[name].values()):
                sentence = (
                    "On its first and last frame “{text}” plays what is around it, so what was set there by hand is "
                    "not kept. Set it a frame inside the line, or outside of it."
                )
                said.append(told(sentence, text=lines[name].text))
            if into == ALL_TAKES and not lines[name].layer:
                sentence = "What was changed by hand in “{text}” is kept as a layer over its takes."
                said.append(told(sentence, text=lines[name].text))
            lines[name] = replace(lines[name], edited=False, layer=lines[name].layer or into == ALL_TAKES)
        return said

    def _follow(self, lines: Iterable[str], before: Mapping[Address, Address]) -> None:
        """What is kept of hand edits is known by the new names, and by the old ones that no other has now."""
        others = before.keys() & set(before.values())
        for name in lines if before else ():
            for take in (ALL_TAKES, *(take.key for take in self._lines[name].takes if take.edit)):
                edit = self.of(name, take)
                kept = {address: delta for address, delta in edit.items() if address not in others}
                new = {now: edit[then] for now, then in before.items() if then in edit and now not in kept}
                if new or len(kept) < len(edit):
                    self.changed[name, take] = kept | new

    def split(self, lines: dict[str, Line], name: str, until: float, new: Collection[str]) -> None:
        """Give the layer of a line to its takes: to the new ones up to a frame, to the others all of it."""
        layer, line = self.of(name, ALL_TAKES), lines[name]
        if not layer:
            return
        takes = []
        for take in line.takes:
            edit = self.of(name, take.key)
            for address, delta in layer.items():
                passed = np.arange(len(delta)) + round(line.start) > until
                part = np.where(passed, 0.0, delta).astype(np.float32) if take.key in new else delta
                old = edit.get(address)
                edit[address] = part if old is None else part + resampled(old, len(part))
            self.changed[name, take.key] = edit
            takes.append(replace(take, edit=True))
        self.changed[name, ALL_TAKES] = {}
        lines[name] = replace(line, takes=tuple(takes), layer=False)

    def at_the_end(self, line: Line) -> dict[Address, float]:
        """What is kept for a line at its end."""
        ends: dict[Address, float] = {}
        for key in (ALL_TAKES, line.take.key if line.take is not None else ""):
            for address, delta in self.of(line.id, key).items():
                ends[address] = ends.get(address, 0.0) + float(delta[-1] if len(delta) else 0.0)
        return ends

    def lay(self, passage: Passage, mix: Mixed) -> None:
        """Lay what is kept for a line over what is written of it."""
        line, columns = passage.line, {target.address: place for place, target in enumerate(mix.targets)}
        count = round(line.end - line.start) + 1
        for key in (ALL_TAKES, line.take.key if line.take is not None else ""):
            for address, delta in self.of(line.id, key).items():
                if address in columns:
                    mix.values[passage.first : passage.first + count, columns[address]] += resampled(delta, count)


def _renamed(patch: ActionPatch, span: str, owners: Mapping[int, str]) -> dict[Address, Address]:
    """What a span moves that was renamed since it was written: as it is called now -> as it was called."""
    return {
        (owners[slot], now, index): (owners[slot], then, index)
        for (slot, then, index), (_, now, _) in patch.moved(span)
        if then != now and slot in owners
    }


def _deltas(lines: Sequence[Line], changed: Mapping[Any, CurveEdit]) -> dict[str, dict[Any, Singles]]:
    """What was changed by hand in the lines of a span, frame by frame. Where they overlap it is of the last of those
    whose keys were changed; others have what curves changed between keys where none of those is.
    """
    touched = {name for edit in changed.values() for name, part in parts_of(lines, edit.frames).items() if part.any()}
    ranked, deltas = sorted(lines, key=lambda line: line.id in touched), {}
    for line in lines:
        frames = np.arange(round(line.start), round(line.end) + 1, dtype=np.float64)
        here = parts_of(ranked, frames)[line.id]
        deltas[line.id] = {at: np.where(here, edit.delta(frames), 0).astype("f4") for at, edit in changed.items()}
    return deltas
