# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct live: the shown take performed again, with the same draws, while a field is dragged.

Every update is written into the curves like any other change of a line, so it plays, and edits by hand stay on it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import bpy
import numpy as np
from bpy.props import FloatProperty
from bpy.types import Context, Event, Scene

from .. import cast
from ..character.choose import brought_to
from ..clip import Clip
from ..dialogue.casting import named_before
from ..dialogue.entries import looks_by_hand
from ..performance.directing import as_written, emphasis_of, emphasised, word_at
from ..performance.gaze import Glance, aimed, held, reach
from ..performance.lines import LineError, Lines, clip_of
from ..performance.record import Line, Take
from ..preferences import choices
from ..sentences import Told, told
from ..settings import SETTINGS, Setting, request
from ..shared import SPACES, minimum_jerk
from ..worker import session
from . import Reasoned
from .jobs import Refusal, busy_reason
from .perform import asked_for

if TYPE_CHECKING:
    from ..worker.live import Live

#: The settings of a take that can be directed, and the emphasis of the word at the playhead.
DIRECTED: Final = {s.name: s for s in SETTINGS if s.name in ("emotion", "emotion_with", "share", "intensity", "energy")}
EMPHASIS: Final = "emphasis"
#: Where the line looks from the playhead on, radians to the character's left and up. No generator is asked for it.
LOOKS: Final = ("look_left", "look_up")
_ASIDE, _UP = reach()
_ANGLE: Final = {"default": 0.0, "step": 100, "precision": 1, "subtype": "ANGLE"}
#: All of it as fields of the panel and as arguments of the operator, by name.
FIELDS: Final = DIRECTED | {
    EMPHASIS: Setting(
        EMPHASIS, FloatProperty, "Emphasis", "Of the word at the playhead: 0 none, 1 natural, 1.6 the most",
        default=1.0, min=0.0, max=1.6, step=5,
    ),
    "look_left": Setting(
        "look_left", FloatProperty, "Look Aside", "Eyes and head go to the character's left from the playhead on, to "
        "where the line looks next. Below 0 they go to the right", min=-_ASIDE, max=_ASIDE, **_ANGLE,
    ),
    "look_up": Setting(
        "look_up", FloatProperty, "Look Up",
        "Eyes and head go up from the playhead on, to where the line looks next. Below 0 they go down",
        min=-_UP, max=_UP, **_ANGLE,
    ),
}  # fmt: skip
#: Seconds of the take that come first, from the playhead on, and over which they become what was there.
_SEEN: Final = 2.0
_FADE: Final = 0.3
#: Seconds between two looks at the generator.
_INTERVAL: Final = 0.02
#: Seconds after which a field that rests was let go of, where no hand holds it.
_RESTS: Final = 1.0
#: Events with which a field is let go of.
_LET_GO: Final = frozenset(("LEFTMOUSE", "RET", "NUMPAD_ENTER"))


@dataclass
class Directing:
    """A take that is being directed.

    Attributes:
        scene: its session_uid.
        line: as it was; ``clip``: its take's numbers, as they were.
        live: asks the generator.
        place: the word whose emphasis is directed, or None.
        wanted: what was asked for last, by name.
        at: the moment of the take whose gaze is directed, seconds.
        gaze, looked: where the line looks, and what is written of that; ``by_hand``: it was directed before.
        shown: what is on the curves now.
        changed: when something was asked for last.
        wrote: when that was last written, and how many seconds it took.
        updates: how often.
    """

    scene: int
    line: Line
    clip: Clip
    live: Live
    place: int | None
    at: float = 0.0
    gaze: tuple[Glance, ...] = ()
    looked: tuple[Glance, ...] = ()
    by_hand: bool | None = None
    wanted: dict[str, Any] = field(default_factory=dict)
    shown: Clip | None = None
    changed: float = 0.0
    wrote: tuple[float, float] = (0.0, 0.0)
    updates: int = 0

    @property
    def take(self) -> Take:
        """The take as it was."""
        assert self.line.take is not None
        return self.line.take

    def want(self, scene: Scene, name: str, value: Any) -> None:
        """Ask for the take with one of `DIRECTED`, or the emphasis, as it shall be."""
        self.wanted[name], self.changed = value, time.monotonic()
        if name in LOOKS:
            now = held(self.gaze, self.at)
            left, up = self.wanted.get(LOOKS[0], now.yaw), self.wanted.get(LOOKS[1], -now.pitch)
            self.gaze = aimed(self.line.gaze, self.at, self.take.seconds, left, -up)
            return
        values = {**asked_for(self.take), "text": self.line.text, "takes": 1, "spread": False, "seed": self.take.seed}
        values |= {name: value for name, value in self.wanted.items() if name in DIRECTED}
        if self.place is not None and EMPHASIS in self.wanted:
            values["timeline"] = emphasised(values["timeline"], self.place, self.wanted[EMPHASIS])
        more = {name: self.take.settings.get(name) for name in ("branch", "vary", "begin")}
        more |= named_before(scene, self.line.text, self.take)
        self.live.wish({**request(values), **more, "until": self._until(scene.frame_current)})

    def _until(self, frame: int) -> int | None:
        """The frame of the clip up to which it is seen within a moment; None where that is its end."""
        at, rate = self.line.clip_frame(frame), self.clip.fps
        until = (at if 0 <= at < self.clip.frames else 0) + round(_SEEN * rate)
        return until if until < self.clip.frames - rate else None

    def update(self, scene: Scene, timeout: float = 0.0) -> bool:
        """Write what has arrived; whether anything had. `Told` when that cannot be.

        The interface has as much time as writing takes, at least.
        """
        ended, took = self.wrote
        if time.monotonic() - ended < took:
            return False
        looks = self.gaze != self.looked
        arrived = self.live.poll(0.0 if looks else timeout)
        if arrived is None and not looks:
            return False
        if arrived is not None:
            self._arrive(*arrived)
        self._write(scene, None if arrived is None else self.shown)
        self.updates += 1
        return True

    def _arrive(self, clip: Clip, whole: bool) -> None:
        """What is to be shown of what has arrived. LineError where another checkpoint performed it."""
        before, now = (one.settings.get("checkpoint") for one in (self.clip, clip))
        if before != now:
            raise LineError(
                "This take was performed by the checkpoint {before} and the chosen one is {now}; choose {before} to "
                "direct it.", before=before, now=now,
            )  # fmt: skip
        self.shown = clip if whole else _begun(clip, self.shown or self.clip)

    @property
    def settled(self) -> bool:
        """Whether everything is written that was asked for."""
        return self.live.settled and self.gaze == self.looked

    def take_back(self, scene: Scene) -> None:
        """Write the take as it was."""
        if self.shown is not None:
            self._write(scene, self.clip)
        self.gaze = self.line.gaze
        if self.looked != self.gaze:
            self._write(scene)

    def _write(self, scene: Scene, clip: Clip | None = None) -> None:
        """Write where the line looks and, given a clip, what its take is."""
        began, now = time.monotonic(), cast.character(scene)
        mapping = now.mapping
        if clip is not None and clip.space != self.take.space:
            (clip,), mapping = brought_to(now.rig, [clip])
        lines, name = Lines(scene, now.rig, mapping), self.line.id
        line = lines.look(name, self.gaze) if clip is None else lines.perform_again(name, clip, self.gaze)
        cast.show_line(scene, line)
        if self.looked != self.gaze:  # it stays so, unless it is taken back: then it is whose it was
            self.looked = self.gaze
            was = looks_by_hand(scene, name, self.gaze != self.line.gaze or bool(self.by_hand))
            self.by_hand = was if self.by_hand is None else self.by_hand
        self.wrote = time.monotonic(), time.monotonic() - began


#: What is being directed, or None.
directing: Directing | None = None


def _begun(clip: Clip, before: Clip) -> Clip:
    """The beginning of a take, then what was there: the one becomes the other."""
    count = min(clip.frames, before.frames)
    fade = min(round(_FADE * clip.fps), count)
    weight = minimum_jerk((np.arange(fade) + 1) / (fade + 1))[:, None].astype(np.float32)
    values = before.values.copy()
    values[: count - fade] = clip.values[: count - fade]
    rows = slice(count - fade, count)
    values[rows] = (1 - weight) * clip.values[rows] + weight * values[rows]
    return clip.with_values(values)


def disabled_reason(context: Context) -> str:
    """Why no take can be directed, or ""."""
    now, line = cast.character(context.scene), cast.active_line(context.scene)
    if now.problem or line is None or line.take is None:
        return now.problem or told("No take is shown; generate a line, or choose a take from the list.")
    if line.take.space not in SPACES or "ending" not in line.take.settings:
        return told("An earlier CTEG made the shown take, so it cannot be directed; generate the line again.")
    return busy_reason() if directing is None else ""


def value_of(scene: Scene, name: str) -> Any:
    """What is asked for now, or what the shown take was asked for; None without a take."""
    line = cast.active_line(scene)
    if line is None or line.take is None:
        return None
    if directing is not None and name in directing.wanted:
        return directing.wanted[name]
    if name == EMPHASIS:
        place = directing.place if directing is not None else word_place(scene, line)
        return None if place is None or line.take.timeline is None else emphasis_of(line.take.timeline, place)
    if name in LOOKS:
        now = held(line.gaze, directing.at if directing is not None else moment(scene, line))
        return now.yaw if name == LOOKS[0] else -now.pitch
    value = asked_for(line.take)[name]
    return DIRECTED[name].nothing if value is None else value


def moment(scene: Scene, line: Line) -> float:
    """The moment of the shown take at the playhead, seconds; its beginning where the playhead is outside."""
    take = line.take
    at = 0.0 if take is None else line.clip_frame(scene.frame_current) / take.fps
    return at if take is not None and 0.0 <= at <= take.seconds else 0.0


def word_place(scene: Scene, line: Line) -> int | None:
    """The word at the playhead, by its place in the timeline of the shown take; None where there is none."""
    take = line.take
    at = 0.0 if take is None else max(line.clip_frame(scene.frame_current), 0) / take.fps
    return None if take is None or take.timeline is None else word_at(take.timeline, at)


def word_in(scene: Scene, line: Line) -> str:
    """The word whose emphasis is directed; "" for none."""
    timeline = None if line.take is None else line.take.timeline
    place = directing.place if directing is not None else word_place(scene, line)
    return "" if timeline is None or place is None else as_written(timeline, place)


def direct(context: Context, name: str, value: Any) -> None:
    """A field was set: direct the shown take. Fields cannot report: the panel shows what is refused."""
    scene = context.scene
    if directing is None and _same(value_of(scene, name), value):
        return  # a drag that is taken back
    try:
        begun = directing is None
        _wanted(context, name, value)
        if bpy.app.background or context.window is None:
            _settle(context)
        elif begun:
            bpy.app.timers.register(partial(_follow, context.window), first_interval=0.0)
    except (Told, ValueError) as refusal:
        _end()
        cast.show_lines(scene, str(refusal))


def _same(before: Any, value: Any) -> bool:
    return before is not None and (abs(before - value) < 1e-5 if isinstance(value, float) else before == value)


def _wanted(context: Context, name: str, value: Any) -> None:
    """Begin to direct the active line where that is not begun, and ask. `Refusal` when it cannot be."""
    global directing
    scene = context.scene
    if directing is None:
        now, line = cast.character(scene, current=True), cast.active_line(scene)
        clip = None if line is None or now.problem else clip_of(now.rig, line)
        if (reason := disabled_reason(context)) or line is None or clip is None:
            raise Refusal("{reason}", reason=reason) if reason else Refusal("The shown take cannot be read.")
        cast.keep_line(scene, line.id)
        chosen = choices(context)
        live = session.direct(chosen.python, {"checkpoint": chosen.checkpoint, "device": chosen.device})
        directing = Directing(scene.session_uid, line, clip, live, word_place(scene, line), moment(scene, line))
        directing.gaze = directing.looked = line.gaze
    directing.want(scene, name, value)


def _settle(context: Context) -> None:
    """Wait until all of what was asked for is written. `Refusal` when the generator refuses."""
    while not directing.settled:
        directing.update(context.scene, timeout=0.05)
    problem = directing.live.problem
    _end()
    if problem:
        raise Refusal("{reason}", reason=problem)


def _end() -> None:
    global directing
    if directing is not None and session.live is directing.live:
        session.finish()
    directing = None


def _follow(window: bpy.types.Window) -> None:
    """A field in a window, which may show another scene than others, has begun to direct: follow it until it is let go
    of.
    """
    if directing is None:
        return
    with bpy.context.temp_override(window=window), suppress(RuntimeError):
        bpy.ops.cteg.direct_live("INVOKE_DEFAULT")


class CTEG_OT_direct_live(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.direct_live"
    bl_label = "Direct Live"
    bl_description = (
        "Perform the shown take again, with the same draws, as it is directed now. Fields of the panel do it while "
        "they are dragged"
    )
    bl_options = {"UNDO"}

    __annotations__ = {name: field.as_argument() for name, field in FIELDS.items()}

    _timer = None
    _let_go = _held = False

    reason = staticmethod(disabled_reason)

    def execute(self, context: Context) -> set[str]:
        """Perform and write before returning, for scripts."""
        given = [name for name in FIELDS if self.properties.is_property_set(name)]
        try:
            if not given:
                raise Refusal("Say what is to be directed: {names}.", names=", ".join(FIELDS))
            for name in given:
                _wanted(context, name, getattr(self, name))
            _settle(context)
        except (Told, ValueError) as refusal:
            if directing is not None:
                with suppress(Told):  # what kept it from being written keeps it from that too
                    directing.take_back(context.scene)
            _end()
            self.report({"ERROR"}, str(refusal))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context: Context, _event: Event) -> set[str]:
        """Follow the field that is dragged; without one, run to the end."""
        if directing is None or context.window is None:
            return self.execute(context)
        self._timer = context.window_manager.event_timer_add(_INTERVAL, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        """Write what arrives until the field is let go of; the field itself gets its events too."""
        now = directing
        if now is None or session.live is not now.live or context.scene.session_uid != now.scene:
            return self._leave(context, {"CANCELLED"})  # another file, another scene
        if event.type == "ESC" and event.value == "PRESS":
            return self._take_back(context, "") | {"PASS_THROUGH"}  # the field takes back its value too
        if event.type in _LET_GO and event.value == "RELEASE":
            self._let_go = True
        if event.type == "MOUSEMOVE":  # what came before it was the button that is held, or let go of
            held = (event.type_prev, event.value_prev) == ("LEFTMOUSE", "PRESS")
            self._let_go, self._held = self._let_go or (self._held and not held), held
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            if now.update(context.scene):
                cast.redraw_views(context)  # at once, whatever else is drawn while the mouse moves
        except Told as refusal:
            return self._take_back(context, str(refusal))
        if now.live.problem:
            return self._take_back(context, now.live.problem)
        rests = not self._held and time.monotonic() - now.changed > _RESTS
        if now.settled and (self._let_go or rests):
            return self._leave(context, {"FINISHED"})
        return {"PASS_THROUGH"}

    def cancel(self, context: Context) -> None:
        """Called by Blender when the window closes or another file is loaded."""
        self._leave(context, set())

    def _take_back(self, context: Context, problem: str) -> set[str]:
        try:
            directing.take_back(context.scene)
        except Told as refusal:
            problem = problem or str(refusal)
        result = self._leave(context, {"CANCELLED"})
        if problem:
            cast.show_lines(context.scene, problem)
            self.report({"ERROR"}, problem)
        return result

    def _leave(self, context: Context, result: set[str]) -> set[str]:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        _end()
        cast.redraw_panels(context)
        return result
