# SPDX-License-Identifier: GPL-3.0-or-later
"""The test drive: every channel in turn on the face, with its name on screen, and what is wrong with it in a list."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, Final

import blf
import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event

from .. import cast
from ..cast import Character
from ..character import mapping_edits as edits
from ..character import measuring
from ..character.choose import by_names, mended, unverified
from ..character.mapping import Mapping, MappingError
from ..character.mapping_rows import channels_of, swing
from ..character.rig import shorten
from ..clip import ClipError
from ..performance import preview, ranges
from ..sentences import told
from . import Reasoned
from .mapping import MappingOperator

#: Seconds between two steps, and that a channel is shown.
_STEP: Final = 1 / 30
_SECONDS: Final = 0.7


def disabled_reason(context: Context) -> str:
    """Why there is no face to try, or ""."""
    character = cast.character(context.scene)
    return character.problem or ("" if character.mapping is not None else told("Fit or map this face first."))


class CTEG_OT_test_drive(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.test_drive"
    bl_label = "Test Drive"
    bl_description = (
        "Move every channel in turn on the face, with its name on screen, and list which of them do not do what they "
        "are called. Nothing gets keys; Esc stops"
    )
    bl_options = {"INTERNAL"}
    reason = staticmethod(disabled_reason)

    _timer: Any = None
    _work: Any = None
    _drawing: Any = None
    _text: str = ""
    _channels: tuple[str, ...] = ()
    _mapping: Any = None
    _since: float = 0.0

    def execute(self, context: Context) -> set[str]:
        """Measure, and say what was found."""
        for _ in self._measuring(context):
            pass
        return self._finish(context)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        """Measure and show, while Blender's interface goes on."""
        if bpy.app.background or context.window is None:
            return self.execute(context)
        self._work, self._channels, self._text = self._measuring(context), (), told("Looking at the face")
        self._drawing = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        self._timer = context.window_manager.event_timer_add(_STEP, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        """One slice of measuring, or one step of what is shown, for every tick of the timer."""
        if event.type == "ESC":
            self._leave(context)
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            if self._work is not None:
                if (share := next(self._work, None)) is None:
                    self._work = None
                    self._begin(cast.refresh(context.scene))
                elif self._text != (text := told("Looking at the face: {percent} %", percent=10 * int(10 * share))):
                    self._text = text
                    cast.redraw_views(context)
                return {"PASS_THROUGH"}
            going = self._show(context)
        except (ReferenceError, MappingError, ClipError) as error:  # the face was deleted or changed meanwhile
            self._leave(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if going:
            return {"PASS_THROUGH"}
        self._leave(context)
        return self._finish(context)

    def cancel(self, context: Context) -> None:
        """Called by Blender when the window closes or another file is loaded."""
        self._leave(context)

    @staticmethod
    def _measuring(context: Context) -> Iterator[float]:
        preview.end_preview()
        rig = cast.refresh(context.scene).rig
        measuring.forget(rig)
        yield from measuring.measuring(context.scene, rig, unverified(rig))

    def _begin(self, character: Character) -> None:
        """What is shown: also channels that are not keyed."""
        self._mapping = unverified(character.rig) or character.mapping
        driving = self._mapping.driving() if self._mapping is not None else frozenset()
        self._channels = tuple(c for c in channels_of(self._mapping) if c in driving) if driving else ()
        self._since = time.perf_counter()

    def _show(self, context: Context) -> bool:
        """Pose the face as the channel whose turn it is does now; False when all were shown."""
        number, share = divmod((time.perf_counter() - self._since) / _SECONDS, 1.0)
        if number >= len(self._channels):
            return False
        character, channel = cast.character(context.scene), self._channels[int(number)]
        row = next((row for row in character.rows if row.channel == channel), None)
        self._text = row.doubt if row is not None and row.doubt else channel
        value = swing(channel)[0] * math.sin(math.pi * share)
        preview.show_pose(character.rig, self._mapping, channel, value)
        cast.redraw_views(context)
        return True

    def _draw(self) -> None:
        blf.size(0, 28.0)
        blf.position(0, 40.0, 60.0, 0.0)
        blf.draw(0, self._text)

    def _leave(self, context: Context) -> None:
        preview.end_preview()
        if self._drawing is not None:
            bpy.types.SpaceView3D.draw_handler_remove(self._drawing, "WINDOW")
            self._drawing = None
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        cast.redraw_views(context)

    def _finish(self, context: Context) -> set[str]:
        character = cast.refresh(context.scene)
        measured = measuring.known(character.rig)
        doubted = [row.channel for row in character.rows if row.doubt]
        moving = sum(not row.doubt and bool(row.targets) for row in character.rows)
        problems = [*filter(None, (measured.problem, measured.aside))] if measured is not None else []
        for problem in problems:
            self.report({"WARNING"}, problem)
        sentence = (
            "{right} channel does what it is called; look at {names}"
            if moving == 1
            else "{right} channels do what they are called; look at {names}"
        )
        if doubted:
            self.report({"WARNING"}, told(sentence, right=moving, names=shorten(doubted)))
        elif not problems:
            self.report({"INFO"}, told("{right} channels move something, and none is suspicious", right=moving))
        return {"FINISHED"}


class CTEG_OT_mapping_mend(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_mend"
    bl_label = "Mend Mapping"
    bl_description = (
        "Give channels that do something else, or nothing, the shape key that was seen to do what they are called; "
        "turn round what does the opposite"
    )

    channel: StringProperty(name="Channel", description="Empty: all of them", options={"SKIP_SAVE"})

    def act(self, context: Context, character: Character) -> str:
        mapping, said = character.mapping, []
        channels = [self.channel] if self.channel else [row.channel for row in character.rows]
        for channel in channels if mapping is not None else ():
            if (mend := mended(character.rig, character.mapping, channel)) is not None:
                mapping, sentence = _taken_over(mapping, mend[0], channel), mend[1]
                said.append(sentence)
        if not said:
            raise MappingError("Nothing here can be mended by itself; choose targets by hand.")
        self.store(context, character.rig, mapping)
        left = [row.channel for row in cast.refresh(context.scene).rows if row.doubt and not row.narrow]
        done = "; ".join(said[:3]) if len(said) <= 3 else told("{count} channels were mended", count=len(said))
        if self.channel or not left:
            return done
        self.level = "WARNING"
        return told("{done}. Not mended: {names}. Choose their targets by hand.", done=done, names=shorten(left))


class CTEG_OT_mapping_trust(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_trust"
    bl_label = "Use Mapping Anyway"
    bl_description = "Let the channel move what it moves, or what is called so, and do not doubt it any more"

    channel: StringProperty(name="Channel", options={"SKIP_SAVE"})

    def act(self, context: Context, character: Character) -> str:
        plain, mapping = by_names(character.rig), character.mapping
        if mapping is not None and self.channel in mapping.driving():
            said = told("{channel} is no longer doubted", channel=self.channel)
        elif mapping is not None and plain is not None and self.channel in plain.driving():
            mapping = _taken_over(mapping, plain, self.channel)
            said = told("{channel} moves what is called so", channel=self.channel)
        else:
            raise MappingError("Nothing is called {channel} here; choose a target by hand.", channel=self.channel)
        self.store(context, character.rig, edits.adjusted(mapping, self.channel, trust=True))
        return said


class CTEG_OT_mapping_widen(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_widen"
    bl_label = "Widen Slider"
    bl_description = "Give the shape keys of the channel the range that it needs at full strength"

    channel: StringProperty(name="Channel", options={"SKIP_SAVE"})

    def act(self, context: Context, character: Character) -> str:
        row = next((row for row in character.rows if row.channel == self.channel and row.narrow), None)
        if row is None or character.mapping is None:
            raise MappingError("The sliders of {channel} are wide enough.", channel=self.channel)
        if reason := ranges.why_not_wider(character.rig, row.narrow):
            raise MappingError("{reason}", reason=reason)
        with ranges.widened(character.rig, ranges.full_strength(character.mapping, self.channel), all_keys=True):
            return told("Widened the sliders of {names}", names=shorten(row.narrow))


def _taken_over(mapping: Mapping, other: Mapping, channel: str) -> Mapping:
    """A mapping with the targets that a channel has in another one."""
    mapping = edits.without(mapping, channel)
    for target in edits.targets_of(other, channel):
        mapping = edits.with_target(mapping, channel, target)
    return mapping
