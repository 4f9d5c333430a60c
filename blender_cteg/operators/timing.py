# SPDX-License-Identifier: GPL-3.0-or-later
"""Timing of a dialogue: lines begin elsewhere, get markers, fit lengths, and take along what hangs on them."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty
from bpy.types import Context, Event, Scene

from ..dialogue import board, schedule
from ..dialogue.entries import active_entry, chosen_entries
from ..performance.lines import LineError, Lines
from ..performance.record import Line
from ..sentences import shorten, told
from . import Changes, Reasoned
from .dialogue import arranged, needs_entry


def _needs_performed(context: Context) -> str:
    if reason := needs_entry(context):
        return reason
    return "" if active_entry(context.scene).line else told("Generate this line first.")


class CTEG_OT_arrange(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.arrange"
    bl_label = "Arrange Lines"
    bl_description = (
        "Move every line to where it begins; lines whose keys were moved by hand stay, and others follow them"
    )

    reason = staticmethod(needs_entry)

    def change(self, context: Context) -> None:
        arranged(self, context)


class CTEG_OT_shift_entries(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.shift_entries"
    bl_label = "Move Lines in Time"
    bl_description = "Move the line by frames, with everything that hangs on it"

    frames: IntProperty(name="Frames", default=0)
    reason = staticmethod(needs_entry)

    def change(self, context: Context) -> None:
        scene, entry = context.scene, active_entry(context.scene)
        fps = scene.render.fps / scene.render.fps_base
        with board.quietly():
            if entry.rule == "FRAME":
                entry.frame += self.frames
            elif entry.rule == "AFTER":
                entry.pause += self.frames / fps
            elif entry.rule == "MARKER" and (marker := scene.timeline_markers.get(entry.marker)) is not None:
                marker.frame += self.frames
            else:
                raise LineError("This line moves with its sound strip; move that in the Sequencer.")
        arranged(self, context)


class CTEG_OT_mark_entries(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.mark_entries"
    bl_label = "Markers for Lines"
    bl_description = (
        "Give the selected lines markers to drag in the timeline; the lines, and what follows them, come along"
    )

    reason = staticmethod(needs_entry)

    def change(self, context: Context) -> None:
        scene = context.scene
        now = schedule.Schedule(scene)
        with board.quietly():
            for entry in chosen_entries(scene):
                frame = now.starts.get(entry.name)
                if entry.rule != "MARKER" and frame is not None:
                    name = _unused(scene, shorten(f"{entry.speaker}: {entry.text}", 40))
                    scene.timeline_markers.new(name, frame=frame).select = False  # each is dragged by itself
                    entry.rule, entry.marker = "MARKER", name
        arranged(self, context)


class CTEG_OT_mark_words(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.mark_words"
    bl_label = "Markers for Words"
    bl_description = "Add a marker at every word of the line, or at its accents alone"

    what: EnumProperty(
        name="What", items=(("WORDS", "Words", "Every word"), ("ACCENTS", "Accents", "The words that matter"))
    )
    reason = staticmethod(_needs_performed)

    def change(self, context: Context) -> None:
        scene = context.scene
        line = schedule.Schedule(scene).line_of(active_entry(scene))
        timeline = line.take.timeline if line is not None and line.take is not None else None
        if line is None or timeline is None:
            raise LineError("This line has no words with times; generate it again.")
        rate = line.stretch * scene.render.fps / scene.render.fps_base
        accents = [accent.time for accent in timeline.accents]
        for word in timeline.words:
            if self.what == "WORDS" or any(word.start <= time <= word.end for time in accents):
                scene.timeline_markers.new(word.text, frame=round(line.start + rate * word.start))


class CTEG_OT_fit_entry(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.fit_entry"
    bl_label = "Fit Line"
    bl_description = "Make the line as long as asked for: at once, and performed so when it is generated again"

    to: EnumProperty(
        name="To",
        items=(
            ("SECONDS", "Seconds", "A length"),
            ("FRAME", "Frame", "It ends at a frame"),
            ("MARKER", "Next Marker", "It ends at the first marker behind its start"),
            ("LINE", "Selected Line", "It ends with the selected line"),
            ("NATURAL", "Natural", "As long as it was performed"),
        ),
    )  # fmt: skip
    seconds: FloatProperty(name="Seconds", default=3.0, min=0.1, soft_max=20.0)
    frame: IntProperty(name="Frame", default=100)
    reason = staticmethod(_needs_performed)

    def invoke(self, context: Context, event: Event) -> set[str]:
        if self.to in ("SECONDS", "FRAME"):
            self.as_it_is(context)
            asked: set[str] = context.window_manager.invoke_props_popup(self, event)
            return asked
        return self.execute(context)

    def draw(self, _context: Context) -> None:
        self.layout.prop(self, "to")
        if self.to in ("SECONDS", "FRAME"):
            self.layout.prop(self, self.to.lower())

    def as_it_is(self, context: Context) -> None:
        """Begin with the length that the line has: what pops up is done at once, and again with every change."""
        now = schedule.Schedule(context.scene)
        line = now.line_of(active_entry(context.scene))
        if line is not None:
            self.seconds, self.frame = (line.end - line.start) / now.fps, round(line.end)

    def change(self, context: Context) -> None:
        scene, entry = context.scene, active_entry(context.scene)
        now = schedule.Schedule(scene)
        line = now.line_of(entry)
        actor = now.actor_of(now.dialogue.parts.get(entry.speaker))
        if line is None or actor is None or line.id not in actor.lines:
            raise LineError("Generate this line first.")
        end = self._end(now, entry, line)
        if end - line.start < 0.3 * (line.end - line.start) / line.stretch:
            raise LineError("Nobody can say this line so fast; give it a later end.")
        Lines(scene, actor.now.rig, actor.now.mapping).change(line.id, end=end)
        entry.seconds = 0.0 if self.to == "NATURAL" else (end - line.start) / now.fps
        arranged(self, context)

    def _end(self, now: schedule.Schedule, entry: Any, line: Line) -> float:
        if self.to == "SECONDS":
            return line.start + self.seconds * now.fps
        if self.to == "FRAME":
            return float(self.frame)
        if self.to == "NATURAL":
            return line.start + (line.end - line.start) / line.stretch
        if self.to == "MARKER":
            later = [marker.frame for marker in now.scene.timeline_markers if marker.frame > line.start + 1]
            if not later:
                raise LineError("There is no marker behind the start of this line; add one in the timeline.")
            return float(min(later))
        others = [one for one in now.dialogue.entries if one.chosen and one.name != entry.name]
        other = now.line_of(others[0]) if others else None
        if other is None:
            raise LineError("Select the line whose end is meant, one that was performed.")
        return other.end


def _unused(scene: Scene, name: str) -> str:
    """A name that no marker has: lines find theirs by it."""
    names, number = {marker.name for marker in scene.timeline_markers}, 2
    found = name
    while found in names:
        found, number = f"{name} ({number})", number + 1
    return found
