# SPDX-License-Identifier: GPL-3.0-or-later
"""The cast: what is known of the character of each scene, found once and read by panels, polls, lists and operators.

Looking at a character costs milliseconds, and Blender draws a sidebar many times a second. So a `Character` is found
when something changed: by our own operators at once (`refresh`), by anything else a moment later (the handlers).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import bpy
from bpy.app.handlers import persistent

from .character import mapping_rows
from .character.choose import doubts, judged, resolved
from .character.detection.detect import detect_rig
from .character.detection.editable import rendering
from .character.fitting.fitted import fit_lines
from .character.mapping import MESH_PROPERTY, Mapping, MappingError, stored_mapping
from .character.rig import Rig, shorten
from .performance import preview, ranges
from .performance.diagnosis import diagnose
from .performance.lines import LineError, Lines, damaged_lines, lines_of
from .performance.migration import old_takes
from .performance.owners import owners_of
from .performance.patch import PatchError
from .performance.ranges import extremes_of, tight_keys
from .performance.record import Line
from .performance.store import LINES_PROPERTY
from .sentences import told
from .shared import ARKIT55

#: Seconds: without a change before a character is looked at again; the same while an animation plays; after which one
#: that is drawn is looked at again.
_PAUSE: Final = 0.1
_PAUSE_PLAYING: Final = 1.0
_OLD: Final = 2.0
#: Datablocks that a character is made of.
_KINDS: Final = ("OBJECT", "MESH", "KEY", "ARMATURE", "ACTION")


@dataclass(frozen=True)
class Character:
    """The character of a scene, as it was when it was last looked at.

    Attributes:
        scene: where it performs.
        target: what was chosen, or None.
        rig: what can be driven.
        problem: why it cannot perform, a sentence that says what to do; "" when it can.
        mapping: the one mapping that brings takes to it; None where there is none yet.
        mapping_problem: why its mapping cannot be read, or "".
        locked: why its mapping cannot be changed, or "".
        lines: what it says, in the order of their starts.
        summary: what was found, in lines for the panel.
        notes: what keeps it from moving, or from being seen, as its lines say.
        fit: how well a FLAME face shows the actions, in lines for the panel.
        tight: names of shape keys whose sliders cut its lines off.
        rows: its channels as the mapping editor lists them.
        old_takes: how many takes of version 0.1.0 it has.
        in_strips: whether lines of it were sent to strips.
        refusal: why what was last asked for in a field of a panel was not done, or "".
    """

    scene: bpy.types.Scene
    target: bpy.types.Object | None = None
    rig: Rig = field(default_factory=Rig)
    problem: str = ""
    mapping: Mapping | None = None
    mapping_problem: str = ""
    locked: str = field(default_factory=lambda: _why_locked(Rig()))
    lines: tuple[Line, ...] = ()
    summary: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fit: tuple[str, ...] = ()
    tight: tuple[str, ...] = ()
    rows: tuple[mapping_rows.Row, ...] = ()
    old_takes: int = 0
    in_strips: bool = False
    refusal: str = ""

    @property
    def line(self) -> Line | None:
        """The line that panels show, see `active_line`."""
        return _active(self.scene, self.lines)

    @property
    def is_mapped(self) -> bool:
        """Whether its mesh has a mapping of its own; else names lead to one."""
        mesh: Any = self.rig.object.data if self.rig.object is not None else ()
        return MESH_PROPERTY in mesh


@dataclass
class _Known:
    """A character that was looked at: its datablocks, when (as `_changes` and by the clock), and for which line."""

    character: Character
    ids: tuple[Any, ...]
    uids: tuple[int, ...]
    at: int
    clock: float
    line: str


#: Scene (its session_uid) -> what is known of its character.
_known: dict[int, _Known] = {}
#: Scene -> the line that was chosen in its panel, and the frame at which it was.
_chosen: dict[int, tuple[str, int]] = {}
#: Counts changes of what characters are made of; as it was when it was last asked whether there were more.
_changes = _last = 0
#: Scene -> its lines, the playhead and what was chosen, and the line that this makes the active one.
_active_ones: dict[int, tuple[tuple[Line, ...], object, Line | None]] = {}
#: Scenes with lines that are to be written again when the mouse rests.
_pending: set[int] = set()


def character(scene: bpy.types.Scene, *, current: bool = False) -> Character:
    """What is known of a scene's character; asking costs nothing. It is looked at where that was never done.

    Args:
        scene: which one.
        current: look again where something has changed, for those who are about to act on it.
    """
    known = _known.get(scene.session_uid)
    if known is None or not _is_alive(known, scene) or (known.at != _changes and (current or bpy.app.background)):
        known = _look(scene)
        _soon()
    elif time.monotonic() - known.clock > _OLD:  # not every change is announced
        _soon()
    return known.character


def refresh(scene: bpy.types.Scene, refusal: str = "") -> Character:
    """Look at a scene's character now: before and after something was changed. ``refusal`` is shown in the panel."""
    known = _look(scene, refusal)
    _show(known.character)
    return known.character


def found(
    scene: bpy.types.Scene, target: bpy.types.Object | None, active: Callable[[tuple[Line, ...]], str] = lambda _: "",
    *, briefly: bool = False,
) -> Character:  # fmt: skip
    """Look at any character. Never raises.

    Args:
        scene: where it is to perform.
        target: any part of it.
        active: tells of its lines the id of the one that is looked through for hand edits, "" for none.
        briefly: without what panels alone show: for who looks at all characters of a scene again and again.
    """
    if target is None:
        return Character(scene, problem=told("Choose the face that should perform, or add the demo head."))
    rig = detect_rig(target)
    problem = rig.problem or ""
    # A deleted object lives on for as long as a setting points at it.
    if not is_in(scene, target):
        problem = told("{name} is not in this scene; choose another target.", name=target.name)
        rig = replace(rig, problem=problem)
    lines = () if problem else lines_of(rig, active)
    mapping, mapping_problem, tight = None, "", []
    try:
        mapping = None if briefly and problem else _mapping(rig, lines)
    except MappingError as error:
        mapping_problem = str(error)
    if briefly:
        return Character(scene, target, rig, problem, mapping, mapping_problem, lines=lines)
    notes = [] if problem else damaged_lines(rig)
    try:
        tight = tight_keys(rig, extremes_of(rig)) if lines else []
    except PatchError as error:
        notes.append(str(error))
    rows = () if mapping is None else mapping_rows.rows(mapping, rig, judged(rig, mapping), _narrow(rig, mapping))
    fps = float(scene.render.fps / scene.render.fps_base)
    if any(line.take is not None and abs(line.fps - fps) > 1e-3 for line in lines):
        sentence = (
            "The scene plays {fps:g} frames per second, and these lines were written for another rate. Write Lines "
            "Again puts their keys where they belong."
        )
        notes.append(told(sentence, fps=fps))
    notes += [*diagnose(rig, mapping, lines, tight), *_shared(rig), *doubts(rig, mapping)]
    return Character(
        scene, target, rig, problem, mapping, mapping_problem, _why_locked(rig), lines, tuple(rig.summary()),
        tuple(notes), tuple(fit_lines(rig, mapping)), tuple(tight), rows, 0 if problem else len(old_takes(rig)),
        _in_strips(rig),
    )  # fmt: skip


def is_in(scene: bpy.types.Scene, obj: bpy.types.Object) -> bool:
    """Whether an object is in a scene. Names do not tell: a local and a linked object may share one."""
    return any(other == obj for other in scene.objects)


def _mapping(rig: Rig, lines: tuple[Line, ...]) -> Mapping | None:
    """The one mapping of a character: the stored one, else that of its lines' space, else that for ARKit actions."""
    stored = stored_mapping(rig.object.data) if rig.object is not None else None
    if stored is None and not rig.keys:
        return None
    spaces = [line.take.space for line in lines if line.take is not None]
    return stored or next((known for space in [*spaces, ARKIT55.name] if (known := resolved(rig, space))), None)


def _narrow(rig: Rig, mapping: Mapping) -> dict[str, tuple[str, ...]]:
    """Channel -> its keys whose sliders end before it does. FLAME's have no end, and are widened without a question."""
    if mapping.source_space != ARKIT55.name or rig.kind == "FLAME":
        return {}
    ends = {channel: ranges.full_strength(mapping, channel) for channel in mapping.driving()}
    found = {channel: tuple(ranges.tight_keys(rig, keys)) for channel, keys in ends.items()}
    return {channel: keys for channel, keys in found.items() if keys}


def _why_locked(rig: Rig) -> str:
    if rig.object is None or not (rig.keys or rig.kind in ("BONES", "CUSTOM")):
        return told("Choose a target with shape keys first: a mesh, or the armature that deforms it.")
    if not rig.object.data.is_editable:
        name, advice = rig.object.name, rig.problem or told("Make it a library override.")
        return told("The mesh of {name} is linked, and its mapping with it. {advice}", name=name, advice=advice)
    return ""


def _in_strips(rig: Rig) -> bool:
    tracks = [track for owner in owners_of(rig) if owner.data is not None for track in owner.data.nla_tracks]
    actions: list[Any] = [strip.action for track in tracks for strip in track.strips]
    return any(LINES_PROPERTY in action for action in actions if action is not None)


def _shared(rig: Rig) -> list[str]:
    """A note where other objects have the same mesh, as linked duplicates do."""
    mesh = rig.object.data if rig.object is not None else None
    others = [obj.name for obj in bpy.data.objects if obj.data == mesh and obj != rig.object] if mesh else []
    if not others or rig.problem:
        return []
    sentence = (
        "{names} has the same mesh, and with it the same shape keys and lines. Object > Relations > Make Single User "
        "gives each its own."
        if len(others) == 1
        else "{names} have the same mesh, and with it the same shape keys and lines. Object > Relations > Make Single "
        "User gives each its own."
    )
    return [told(sentence, names=shorten(others, 3))]


# ------------------------------------------------------------------------------------------------ the active line


def active_line(scene: bpy.types.Scene) -> Line | None:
    """The line that panels show: the chosen one, else the one at the playhead, else the nearest before it.

    A chosen line gives way when the playhead has moved into another one since.
    """
    active, known = character(scene).line, _known[scene.session_uid]
    if active is not None and active.id != known.line:  # it was not looked through for hand edits yet
        if not bpy.app.background:
            _soon()
        else:
            active = _look(scene).character.line
    return active


def _active(scene: bpy.types.Scene, lines: tuple[Line, ...]) -> Line | None:
    """Kept: a redraw asks dozens of times, and a scene has hundreds of lines."""
    frame, uid = scene.frame_current, scene.session_uid
    asked, known = (frame, _chosen.get(uid)), _active_ones.get(uid)
    if known is None or known[0] is not lines or known[1] != asked:
        known = _active_ones[uid] = lines, asked, _active_at(lines, *(asked[1] or ("", frame)), frame)
    return known[2]


def _active_at(lines: tuple[Line, ...], name: str, at: int, frame: int) -> Line | None:
    chosen = next((line for line in lines if line.id == name), None)
    here = [line for line in lines if line.start <= frame <= line.end]
    if chosen is not None and (at == frame or chosen in here or not here):
        return chosen
    before = here or [line for line in lines if line.start <= frame]
    return before[-1] if before else lines[0] if lines else None


def choose_line(scene: bpy.types.Scene, line: str) -> None:
    """Make a line, by its id, the one that panels show."""
    keep_line(scene, line)
    refresh(scene)


def keep_line(scene: bpy.types.Scene, line: str) -> None:
    """A line is about to be changed: moved away from the playhead, it still is the one that panels show."""
    _chosen[scene.session_uid] = line, scene.frame_current


# ------------------------------------------------------------------------------------------------ changing it


def edit_lines(scene: bpy.types.Scene, change: Callable[[Lines], object]) -> None:
    """Change the lines of a scene's character from a field of a panel. Fields cannot report, so the panel shows what
    `Lines` says, or why it refused, until the next change.
    """
    now = character(scene, current=True)
    if now.line is not None:
        keep_line(scene, now.line.id)
    try:
        lines = Lines(scene, now.rig, now.mapping)
        change(lines)
        said = " ".join(lines.said)
    except (LineError, MappingError) as error:
        said = str(error)
    show_lines(scene, said)


def show_lines(scene: bpy.types.Scene, refusal: str = "") -> None:
    """Lines of a scene's character were changed: show them now; the rest is looked at a moment later."""
    known = _known[scene.session_uid]
    now = known.character
    known.character = replace(now, lines=() if now.problem else lines_of(now.rig, known.line), refusal=refusal)
    _shortly(known)


def show_line(scene: bpy.types.Scene, line: Line) -> None:
    """One line was written again where it is: show it now, without a look at where the others are."""
    known = _known[scene.session_uid]
    lines = tuple(line if one.id == line.id else one for one in known.character.lines)
    known.character = replace(known.character, lines=lines, refusal="")
    _shortly(known)


def edit_mapping(scene: bpy.types.Scene, edit: Callable[[Mapping], Mapping]) -> None:
    """Change the mapping of a scene's character from a field of a panel, like `edit_lines`."""
    now = character(scene, current=True)
    if now.mapping is None:
        return
    try:
        said = store_mapping(scene, now.rig, edit(now.mapping), dragged=True)
    except MappingError as error:
        said = str(error)
    _shortly(_look(scene, said, check=False))


def store_mapping(scene: bpy.types.Scene, rig: Rig, mapping: Mapping | None, *, dragged: bool = False) -> str:
    """Keep a mapping on a character's mesh (None: forget the one there) and write its lines again.

    Args:
        scene: where the character performs.
        rig: the character, the scene's own or another.
        mapping: what to keep.
        dragged: a slider is being dragged: the line that is seen is written now, others when the mouse rests.

    Returns:
        What is said of the lines that were written again, or why they were not; or "".

    Raises:
        MappingError: the mapping cannot be changed, or could not be read again; nothing has changed.
    """
    if reason := _why_locked(rig):
        raise MappingError("{reason}", reason=reason)
    mesh, text = rig.object.data, None if mapping is None else mapping.to_json()
    preview.end_preview()
    if text is None:
        mesh.pop(MESH_PROPERTY, None)
    else:
        Mapping.from_json(text)
        mesh[MESH_PROPERTY] = text
    now = found(scene, rig.object)  # with a mapping, a face with names of its own can perform
    if not dragged or bpy.app.background or now.line is None:
        return _rewrite(now, None)
    _pending.add(scene.session_uid)
    return _rewrite(now, [now.line.id])


def _rewrite(now: Character, wanted: list[str] | None) -> str:
    """Write lines again; what is said of it, or why that was refused."""
    try:
        lines = Lines(now.scene, now.rig, now.mapping)
        if now.lines:
            lines.rewrite(wanted)
    except (LineError, MappingError) as error:
        return str(error)
    return " ".join(lines.said)


def retarget(settings: Any, _context: bpy.types.Context) -> None:
    """Another target was chosen; a preview of the one before ends."""
    preview.end_preview()
    refresh(settings.id_data)


# ------------------------------------------------------------------------------------------------ when to look


def _look(scene: bpy.types.Scene, refusal: str | None = None, *, check: bool = True) -> _Known:
    """Look at a scene's character now; with ``check``, its active line is looked through for hand edits."""
    before = _known.get(scene.session_uid)
    if refusal is None:
        refusal = before.character.refusal if before is not None else ""
    name = ""

    def active(lines: tuple[Line, ...]) -> str:
        nonlocal name
        line = _active(scene, lines) if check else None
        name = line.id if line is not None else ""
        return name

    now = replace(found(scene, scene.cteg.target, active), refusal=refusal)
    ids = tuple(part for part in (now.target, *now.rig.meshes, now.rig.armature) if part is not None)
    known = _Known(now, ids, tuple(part.session_uid for part in ids), _changes, time.monotonic(), name)
    _known[scene.session_uid] = known
    return known


def _is_alive(known: _Known, scene: bpy.types.Scene) -> bool:
    """Whether the datablocks are still there, and the target the same: undo, loading and deletion replace them."""
    try:
        return known.character.target == scene.cteg.target and known.uids == tuple(i.session_uid for i in known.ids)
    except ReferenceError:
        return False


def _shortly(known: _Known) -> None:
    """Show at once what a step of a slider did; what takes longer is looked at when the mouse rests."""
    global _changes
    _changes += 1
    _soon()
    _show(known.character)


def _show(now: Character) -> None:
    """Make sure that lists have a place for everything, and draw the sidebars again. Not while drawing."""
    _make_places(now)
    redraw_panels(bpy.context)


def _make_places(now: Character) -> None:
    """Give lists a place for everything they show."""
    interface = getattr(bpy.context.window_manager, "cteg", None)
    if interface is not None:
        wanted = max(len(now.rows), len(now.lines), *(len(line.takes) for line in now.lines))
        for _ in range(len(interface.places), wanted):
            interface.places.add()


def redraw_panels(context: bpy.types.Context) -> None:
    """Redraw every sidebar and the preferences, where progress is shown."""
    shown = {"VIEW_3D": ("UI",), "PREFERENCES": ("UI", "WINDOW")}
    for area in _areas(context):
        for region in area.regions:
            if region.type in shown.get(area.type, ()):
                region.tag_redraw()


def redraw_views(context: bpy.types.Context) -> None:
    """Redraw every 3D viewport."""
    for area in _areas(context):
        if area.type == "VIEW_3D":
            area.tag_redraw()


def _areas(context: bpy.types.Context) -> list[bpy.types.Area]:
    return [area for window in context.window_manager.windows for area in window.screen.areas]


def _soon() -> None:
    if not bpy.app.background and not bpy.app.timers.is_registered(_catch_up):
        bpy.app.timers.register(_catch_up, first_interval=_PAUSE)


def _catch_up() -> float | None:
    """Look again at the characters that are seen, once nothing has changed for a moment."""
    global _last
    windows = bpy.context.window_manager.windows
    if _last != _changes:
        _last = _changes
        return _PAUSE
    if any(window.screen.is_animation_playing for window in windows) or rendering():
        return _PAUSE_PLAYING
    for scene in {window.scene for window in windows}:
        before = _known.get(scene.session_uid)
        now, refusal = _look(scene), None
        if scene.session_uid in _pending:
            _pending.discard(scene.session_uid)
            refusal = _rewrite(now.character, None)
            with contextlib.suppress(RuntimeError):
                bpy.ops.ed.undo_push(message="Write Lines Again")
            now = _look(scene, refusal)
        _make_places(now.character)
        if before is None or before.character != now.character:
            _show(now.character)
    return None


@persistent
def _changed(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    global _changes
    if any(depsgraph.id_type_updated(kind) for kind in _KINDS):
        _changes += 1
        _soon()


@persistent
def _replaced(*_arguments: object) -> None:
    """Undo, redo and loading replace datablocks."""
    global _changes
    _changes += 1
    _known.clear()
    _soon()


#: What has to happen when in Blender.
HANDLERS: Final = (
    ("depsgraph_update_post", _changed),
    ("undo_post", _replaced),
    ("redo_post", _replaced),
    ("load_post", _replaced),
)


def begin() -> None:
    """The extension was enabled: look at the characters of the file that is open, a moment later."""
    _soon()


def forget() -> None:
    """Forget all characters, and look at none any more: the extension is disabled."""
    for known in (_known, _chosen, _active_ones, _pending):
        known.clear()
    if bpy.app.timers.is_registered(_catch_up):
        bpy.app.timers.unregister(_catch_up)
