# SPDX-License-Identifier: GPL-3.0-or-later
"""The board: what the list of a dialogue shows, found once and read by every redraw.

Rows are made when something has changed: by our own operators at once (`refresh`), after anything else when it is drawn
again and nothing has been going on for a moment. The list itself is Blender's; drawing a row reads one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import bpy
from bpy.app.handlers import persistent

from .. import cast
from ..character.detection.detect import detect_rig
from ..character.detection.editable import rendering
from ..emotions import label
from ..performance.finding import lines_away, lines_of
from ..performance.record import Line
from ..sentences import shorten, told
from ..ui.layouts import emotion_icon
from . import starts

#: Seconds: until what was changed is looked at; the same while an animation plays; between two looks at the markers.
_PAUSE: Final = 0.15
_PAUSE_PLAYING: Final = 1.0
_WATCH: Final = 0.4
#: Blender's operators that move what lines begin at.
_DRAGS: Final = ("MARKER_OT_", "TRANSFORM_OT_", "SEQUENCER_OT_")
#: Entries that are moved while a number is dragged, at most; with more of them they follow when the mouse rests.
_AT_ONCE: Final = 24


@dataclass(frozen=True)
class Row:
    """An entry as the list shows it.

    Attributes:
        start: its first frame, None where it has none; ``guess`` where that depends on a line never performed.
        status: NEW, CHANGED, DONE, WORKING, FAILED, or AWAY where it plays in a strip.
        icon: of that; of the emotion where it was performed.
        told: the same in words, for the panel below.
        takes: how many it has.
    """

    start: int | None
    status: str
    icon: str
    told: str
    takes: int = 0


@dataclass(frozen=True)
class Board:
    """What is known of a scene's dialogue.

    Attributes:
        rows: one for each entry.
        unplayed: speakers without a character.
        to_do: how many entries Generate All would perform.
        end: last frame of the last line.
        refusal: why what was last done in a field was not done, or "".
    """

    rows: tuple[Row, ...] = ()
    unplayed: tuple[str, ...] = ()
    to_do: int = 0
    end: int = 0
    refusal: str = ""


_known: dict[int, Board] = {}
_stale: set[int] = set()
#: Scenes whose entries are to be moved, and those where another entry was chosen.
_to_move: set[int] = set()
_to_show: set[int] = set()
#: Where markers and strips were, by scene.
_places: dict[int, object] = {}
#: Ids of the entries that are being performed.
working: set[str] = set()
#: Moves the lines of a scene to where their entries begin, `schedule.arrange`; why not, or "".
_arrange: list[Callable[[bpy.types.Scene], str]] = []
_busy = False


def board(scene: bpy.types.Scene) -> Board:
    """What is known of a scene's dialogue; asking costs nothing but the first time."""
    known = _known.get(scene.session_uid)
    if known is None or (scene.session_uid in _stale and bpy.app.background):
        return refresh(scene)
    return known


def refresh(scene: bpy.types.Scene, refusal: str = "") -> Board:
    """Look at a scene's dialogue now, and draw the panels again."""
    _stale.discard(scene.session_uid)
    known = _known[scene.session_uid] = _found(scene, refusal)
    cast.redraw_panels(bpy.context)
    return known


def stale(scene: bpy.types.Scene) -> None:
    """Something of a dialogue has changed: it is looked at when nothing happens any more."""
    _stale.add(scene.session_uid)
    _soon()


def chose(scene: bpy.types.Scene) -> None:
    """Another entry was chosen: its line is shown in the panels of its character, when the mouse rests."""
    _to_show.add(scene.session_uid)
    _soon()


def moved(scene: bpy.types.Scene, *, field: bool = True) -> None:
    """The rule of an entry has changed: its line moves, and those that hang on it. In scripts, `schedule.arrange` does
    that when everything is said.

    ``field``: off where it was no field of ours, which makes an undo step by itself: then the lines get one.
    """
    stale(scene)
    if bpy.app.background or _busy or not any(entry.line for entry in scene.cteg_dialogue.entries):
        return
    if field and len(scene.cteg_dialogue.entries) <= _AT_ONCE:
        refresh(scene, _moved(scene))
    else:
        _to_move.add(scene.session_uid)
        _soon()


def _moved(scene: bpy.types.Scene) -> str:
    with quietly():
        return " ".join(arrange(scene) for arrange in _arrange)


@contextmanager
def quietly() -> Iterator[None]:
    """Rules that are changed here move nothing: whoever changes them does that."""
    global _busy
    before, _busy = _busy, True
    try:
        yield
    finally:
        _busy = before


def arranges(arrange: Callable[[bpy.types.Scene], str]) -> Callable[[bpy.types.Scene], str]:
    """Decorator: what moves lines to where their entries begin; it says why it could not, or ""."""
    _arrange.append(arrange)
    return arrange


def lines_on(actors: set[bpy.types.Object]) -> tuple[dict[tuple[str, str], Line], dict[tuple[str, str], Line]]:
    """Characters' lines, where their keys are now, and those that play in strips: (name of the object, id) -> line."""
    found: dict[tuple[str, str], Line] = {}
    away: dict[tuple[str, str], Line] = {}
    for actor in actors:
        rig = detect_rig(actor)
        found |= {(actor.name_full, line.id): line for line in lines_of(rig)}
        away |= {(actor.name_full, name): line for name, line in lines_away(rig).items()}
    return found, away


def _found(scene: bpy.types.Scene, refusal: str) -> Board:
    dialogue: Any = scene.cteg_dialogue
    fps = scene.render.fps / scene.render.fps_base
    entries = list(dialogue.entries)
    there = {entry.actor for entry in entries if entry.line and entry.actor is not None}
    lines, strips = lines_on({actor for actor in there if cast.is_in(scene, actor)})
    parts = {part.name: player(scene, part) for part in dialogue.parts}
    names = [(entry.actor.name_full if entry.actor else "", entry.line) for entry in entries]
    performed, away = [lines.get(name) for name in names], [strips.get(name) for name in names]
    known, wrong = starts.starts(
        [cue_of(e, line or strip, fps) for e, line, strip in zip(entries, performed, away, strict=True)], fps,
        scene.frame_start, markers_of(scene), sounds_of(scene),
    )  # fmt: skip
    rows = tuple(
        _row(entry, line, parts.get(entry.speaker), known.get(entry.name), wrong.get(entry.name, ""), strip)
        for entry, line, strip in zip(entries, performed, away, strict=True)
    )
    unplayed = tuple(dict.fromkeys(entry.speaker for entry in entries if parts.get(entry.speaker) is None))
    end = max((round(line.end) for line in performed if line is not None), default=0)
    return Board(rows, unplayed, sum(row.status in ("NEW", "CHANGED", "FAILED") for row in rows), end, refusal)


def player(scene: bpy.types.Scene, part: Any) -> bpy.types.Object | None:
    """Who plays a part: a character that is in the scene. One that was deleted is still there for who points at it."""
    obj = None if part is None else part.character
    return obj if obj is not None and cast.is_in(scene, obj) else None


def cue_of(entry: Any, line: Line | None, fps: float) -> starts.Cue:
    """When an entry begins, with the length of the line that performs it."""
    asked = round(entry.seconds * fps) if entry.seconds else starts.guessed(entry.text, fps)
    length = asked if line is None else round(line.end - line.start)
    name = entry.marker if entry.rule == "MARKER" else entry.sound
    return starts.Cue(entry.name, entry.rule, entry.frame, entry.after, entry.pause, name, max(length, 1))


def markers_of(scene: bpy.types.Scene) -> dict[str, int]:
    """The markers of a scene by name; of two of one name the first."""
    return {marker.name: marker.frame for marker in sorted(scene.timeline_markers, key=lambda m: -m.frame)}


def sounds_of(scene: bpy.types.Scene) -> dict[str, int]:
    """The sound strips of a scene by name."""
    editor: Any = scene.sequence_editor
    if editor is None:
        return {}
    strips = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all  # its name before 5.0
    return {strip.name: round(strip.frame_final_start) for strip in strips if strip.type == "SOUND"}


def is_changed(entry: Any, character: bpy.types.Object | None) -> bool:
    """Whether what an entry says now is not what its line was asked to say."""
    return bool(entry.said != entry.text or entry.actor != character)


def plays_away(text: str, character: bpy.types.Object) -> str:
    """Why a line that plays in a strip, or aside while one is tweaked, is left as it is."""
    return told(
        "“{text}” plays in a strip of {name} and is left as it is. Bring it back, or leave tweak mode, to change it.",
        text=shorten(text, 40), name=character.name,
    )  # fmt: skip


def unplayed(speaker: str) -> str:
    """Why the lines of a speaker that nobody plays are not performed."""
    if not speaker:
        return told("This line has no speaker; choose one above its text.")
    return told("Nobody in this scene plays {speaker}; choose a character under Cast.", speaker=speaker)


def _row(entry: Any, line: Line | None, character: Any, start: int | None, wrong: str, away: Line | None) -> Row:
    if entry.name in working:
        return Row(start, "WORKING", "SORTTIME", told("Being performed."))
    if character is None:
        return Row(start, "FAILED", "GHOST_DISABLED", unplayed(entry.speaker), 0 if line is None else len(line.takes))
    if problem := entry.problem or wrong:
        return Row(start, "FAILED", "ERROR", problem, 0 if line is None else len(line.takes))
    if line is None and away is not None:
        return Row(start, "AWAY", "NLA", plays_away(entry.text, character), len(away.takes))
    if line is None or line.take is None:
        return Row(start, "NEW", "RADIOBUT_OFF", told("Not performed yet."))
    if is_changed(entry, character):
        return Row(start, "CHANGED", "FILE_REFRESH", told("Changed since it was performed."), len(line.takes))
    felt = label(line.take.emotion)
    words = told("{emotion}, frames {start:.0f} to {end:.0f}", emotion=felt, start=line.start, end=line.end)
    return Row(round(line.start), "DONE", emotion_icon(line.take.emotion), words, len(line.takes))


# ------------------------------------------------------------------------------------------------ when to look


def _soon() -> None:
    if not bpy.app.background and not bpy.app.timers.is_registered(_catch_up):
        bpy.app.timers.register(_catch_up, first_interval=_PAUSE)


def _catch_up() -> float | None:
    """Do what was left for when the mouse rests, in the scenes that are seen."""
    windows = bpy.context.window_manager.windows
    if rendering() or any(window.screen.is_animation_playing for window in windows):
        return _PAUSE_PLAYING
    if _to_move and _is_dragging():
        return _PAUSE
    for scene in {window.scene for window in windows}:
        uid, refusal = scene.session_uid, ""
        if uid in _to_move:
            _to_move.discard(uid)
            refusal = _moved(scene)
            bpy.ops.ed.undo_push(message="Move Lines")
            _stale.add(uid)
        if uid in _to_show:
            _to_show.discard(uid)
            _show_chosen(scene)
        if uid in _stale:
            refresh(scene, refusal)
    return None


def _show_chosen(scene: bpy.types.Scene) -> None:
    """Make the chosen entry's line the one that the panels of lines and takes show."""
    dialogue: Any = scene.cteg_dialogue
    if not 0 <= dialogue.entry < len(dialogue.entries):
        return
    entry = dialogue.entries[dialogue.entry]
    if entry.actor is not None and cast.is_in(scene, entry.actor):
        if entry.line:
            cast.keep_line(scene, entry.line)
        if scene.cteg.target != entry.actor:
            scene.cteg.target = entry.actor
        elif entry.line:
            cast.refresh(scene)


@persistent
def _updated(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Lines may have been moved by hand, characters deleted."""
    if scene.session_uid in _known and any(map(depsgraph.id_type_updated, ("ACTION", "OBJECT"))):
        stale(scene)


@persistent
def _replaced(*_arguments: object) -> None:
    """Undo, redo and loading replace datablocks."""
    forget()
    for window in getattr(bpy.context.window_manager, "windows", ()):
        stale(window.scene)


def _is_dragging() -> bool:
    """Whether a marker or a strip is being dragged: undo steps are not made meanwhile."""
    running = [op for window in bpy.context.window_manager.windows for op in window.modal_operators]
    return any(operator.bl_idname.startswith(_DRAGS) for operator in running)


def _watch() -> float:
    """Blender does not tell when markers and strips are dragged: look where those are that lines begin at."""
    windows = getattr(bpy.context.window_manager, "windows", ())
    if windows and _is_dragging():
        return _WATCH
    for scene in {window.scene for window in windows if not window.screen.is_animation_playing}:
        rules = {entry.rule for entry in scene.cteg_dialogue.entries} & {"MARKER", "SOUND"}
        places = (markers_of(scene), sounds_of(scene)) if rules else ({}, {})
        if _places.get(scene.session_uid, places) != places:
            moved(scene, field=False)
        _places[scene.session_uid] = places
    return _WATCH


def begin() -> None:
    """The extension was enabled."""
    if not bpy.app.background:
        bpy.app.timers.register(_watch, first_interval=_WATCH, persistent=True)


#: What has to happen when in Blender.
HANDLERS: Final = (
    ("depsgraph_update_post", _updated),
    ("undo_post", _replaced),
    ("redo_post", _replaced),
    ("load_post", _replaced),
)


def forget() -> None:
    """Forget everything that is known."""
    for known in (_known, _stale, _to_move, _to_show, _places):
        known.clear()


def end() -> None:
    """The extension is disabled."""
    forget()
    for timer in (_catch_up, _watch):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
