# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: the lines of a character in a custom property of the action it performs with.

So a line goes wherever its keys go: it is copied, appended, linked, undone and deleted with its action, and a character
that is renamed, duplicated or overridden keeps it. Takes that are not shown are numbers in half precision here, about
ten kilobytes each, and no keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import bpy
import numpy as np

from ..arrays import Singles
from ..clip import Clip, ClipError
from ..segments import Segment, SegmentError
from ..sentences import told
from ..shared import SPACES, Timeline, TimelineError
from ..storage import StoredError, from_text, to_text
from ..versions import CURRENT, upgraded
from .gaze import from_lists, to_lists
from .record import LAST_FRAME, REGIONS, Line, Region, Style, Take

#: The custom property of an action that holds its lines.
LINES_PROPERTY: Final = "cteg_lines"
#: That of an action which holds what the properties of lines that are strips are set to.
REST_PROPERTY: Final = "cteg_rest"
#: The space of takes whose numbers are those of shape keys and bones themselves, not of a face's channels.
TARGETS: Final = "targets"
#: The layer of hand edits over all takes of a line.
ALL_TAKES: Final = "*"

#: What a hand edit adds, per frame of a line: (owner, data path, index) -> (T,).
Edit = Mapping[tuple[str, str, int], Singles]


#: Action (its session_uid) and id of a line -> its record and what that says: asked at every refresh.
_read: Final[dict[tuple[int, str], tuple[object, Line]]] = {}
_MOST: Final = 4096


class Store:
    """The lines of one action; without one there are none.

    Reads whatever is there; what cannot be is left out, and told in `damaged`, by id.
    """

    def __init__(self, action: bpy.types.Action | None) -> None:
        self._action: Any = action
        group = None if action is None else action.get(LINES_PROPERTY)
        self._group: Any = group if hasattr(group, "keys") else None
        self.damaged: dict[str, str] = {}

    def lines(self) -> dict[str, Line]:
        """Every line that can be read, by its id; start and end as they were written."""
        found, group = {}, {} if self._group is None else self._group
        session = self._action.session_uid if group else 0
        for name, stored in group.items():
            text = stored.get("record") if hasattr(stored, "get") else None
            known = _read.get((session, name))
            if known is not None and known[0] == text:
                found[name] = known[1]
                continue
            try:
                found[name] = self._remember(text, _line(name, text))
            except StoredError as error:
                sentence = "The line {name} stored in {action} cannot be read ({why})."
                self.damaged[name] = told(sentence, name=name, action=self._action.name, why=error)
        return found

    def put(self, line: Line) -> None:
        """Keep a line; its takes' numbers are `put_clip`'s business. What no take of it has any more goes."""
        if self._group is None:
            self._action[LINES_PROPERTY] = {}
            self._group = self._action[LINES_PROPERTY]
        if any(self._part(line.id, part) is None for part in ("clips", "edits")):
            self._group[line.id] = {"record": "", "clips": {}, "edits": {}}
        stored = self._group[line.id]
        line = replace(line, regions={name: region for name, region in line.regions.items() if region != Region()})
        stored["record"] = text = _text(line)
        self._remember(text, line)
        keys = {take.key for take in line.takes}
        for part, kept in (("clips", keys), ("edits", keys | {ALL_TAKES})):
            for name in [name for name in tuple(stored[part].keys()) if name.partition(":")[0] not in kept]:
                del stored[part][name]

    def _remember(self, text: object, line: Line) -> Line:
        if len(_read) >= _MOST:
            _read.clear()
        _read[self._action.session_uid, line.id] = text, line
        return line

    def forget(self, line: str) -> None:
        """Remove a line with everything it has; the property goes with the last one."""
        if self._group is not None and line in self._group:
            del self._group[line]
        if self._group is not None and not len(self._group):
            del self._action[LINES_PROPERTY]
            self._group = None

    def put_clip(self, line: str, take: Take, clip: Clip) -> None:
        """Keep the numbers of a take of a line that is here."""
        _put(self._group[line]["clips"], take.key, clip.values.astype("<f2").tobytes())
        if clip.space not in SPACES:
            self._group[line]["clips"][f"{take.key}:channels"] = to_text(list(clip.channels))

    def clip(self, line: Line, take: Take) -> Clip:
        """A take with its numbers. StoredError when they are damaged."""
        clips = self._part(line.id, "clips")
        data = clips.get(take.key) if clips is not None else None
        channels = SPACES[take.space].channels if take.space in SPACES else self._channels(clips, take)
        if not isinstance(data, bytes) or len(data) != 2 * take.frames * len(channels):
            raise StoredError("its numbers are missing or damaged")
        values = np.frombuffer(data, "<f2").reshape(take.frames, len(channels)).astype(np.float32)
        try:
            return Clip(
                values, channels, take.fps, take.space, line.text, take.seed, take.emotion, take.settings,
                take.segments, take.last_seed, take.timeline, take.speech_scale,
            )  # fmt: skip
        except ClipError as error:
            raise StoredError("{reason}", reason=error) from None

    def put_edit(self, line: str, take: str, edit: Edit) -> None:
        """Keep what was changed by hand, for a take's key or for `ALL_TAKES`; nothing where nothing was."""
        edits = self._group[line]["edits"]
        if take in edits:
            del edits[take]
        if edit:
            names = [[*address, len(values)] for address, values in edit.items()]
            edits[take] = {"curves": to_text(names)}
            _put(edits[take], "values", b"".join(np.asarray(v, "<f4").tobytes() for v in edit.values()))

    def edit(self, line: str, take: str) -> dict[tuple[str, str, int], Singles]:
        """What `put_edit` kept; empty where that is nothing, or damaged."""
        edits = self._part(line, "edits")
        stored = edits.get(take) if edits is not None else None
        try:
            names, data = from_text(stored.get("curves")), stored.get("values")
            values, edit, at = np.frombuffer(data, "<f4"), {}, 0
            for owner, path, index, count in names:
                edit[str(owner), str(path), int(index)] = values[at : at + count]
                at += count
            sound = at == len(values) and np.isfinite(values).all()
        except (AttributeError, StoredError, TypeError, ValueError):
            return {}
        return edit if sound else {}

    def _part(self, line: str, name: str) -> Any:
        stored = self._group.get(line) if self._group is not None else None
        part = stored.get(name) if hasattr(stored, "get") else None
        return part if hasattr(part, "get") else None

    def _channels(self, clips: Any, take: Take) -> tuple[str, ...]:
        names = from_text(clips.get(f"{take.key}:channels") if clips is not None else None)
        if not isinstance(names, list) or not names:
            raise StoredError("its channels are damaged")
        return tuple(map(str, names))


def _put(group: Any, name: str, data: bytes) -> None:
    if name in group:  # overwriting bytes ends them at the first zero
        del group[name]
    group[name] = data


def _text(line: Line) -> str:
    timelines: list[Timeline] = []
    for take in line.takes:
        if take.timeline is not None and take.timeline not in timelines:
            timelines.append(take.timeline)
    takes = [
        {
            **{name: getattr(take, name) for name in _TAKE},
            "settings": dict(take.settings),
            "segments": [segment.to_json() for segment in take.segments],
            "timeline": None if take.timeline is None else timelines.index(take.timeline),
        }
        for take in line.takes
    ]
    return to_text(
        {
            "schema_version": CURRENT["line"],
            **{name: getattr(line, name) for name in _LINE},
            "regions": {name: vars(region) for name, region in line.regions.items()},
            "style": vars(line.style),
            "theirs": list(line.theirs),
            "gaze": to_lists(line.gaze),
            "moved": line.moved,
            "timelines": [timeline.to_json() for timeline in timelines],
            "takes": takes,
        }
    )


#: Fields stored as they are, with the type and, of numbers, the range of each.
_LINE: Final[Mapping[str, tuple[Any, ...]]] = {
    "text": (str,), "character": (str,), "start": (float, -LAST_FRAME, LAST_FRAME),
    "end": (float, -LAST_FRAME, 2 * LAST_FRAME),
    "shown": (int, -1, 1e6),
    "intensity": (float, 0, 10), "speech": (float, 0, 1.5), "smoothing": (float, 0, 0.5),
    "exaggeration": (float, 0, 3), "stretch": (float, 1e-3, 1e3), "blend": (int, 0, 1e4),
    "edited": (bool,), "layer": (bool,), "fps": (float, 1e-3, 1e6), "span": (str,),
}  # fmt: skip
_TAKE: Final[Mapping[str, tuple[Any, ...]]] = {
    "key": (str,), "seed": (int, 0, 1e12), "last_seed": (int, 0, 1e12), "emotion": (str,), "fps": (float, 1e-2, 1e4),
    "frames": (int, 1, 1e6), "space": (str,), "speech_scale": (float, 0, 1.5), "edit": (bool,), "name": (str,),
    "favourite": (bool,),
}  # fmt: skip


_REGION: Final[Mapping[str, tuple[Any, ...]]] = {"mode": (str,), "scale": (float, 0, 10), "mute": (bool,)}
_STYLE: Final[Mapping[str, tuple[Any, ...]]] = {"interpolation": (str,), "reduction": (float, 0, 100)}


#: What of a line is a matter of mixing, and may be that of another one.
_MIX: Final = ("intensity", "speech", "smoothing", "exaggeration")


def mix_text(line: Line) -> str:
    """How a line is mixed with what is there, as text that `mix_of` reads."""
    regions = {name: vars(region) for name, region in line.regions.items() if region != Region()}
    return to_text({**{name: getattr(line, name) for name in _MIX}, "regions": regions})


def mix_of(text: object) -> dict[str, Any]:
    """The fields of `Line` in such a text. StoredError when it is damaged."""
    data = _mapping(from_text(text), "mix")
    try:
        regions = _mapping(data["regions"], "regions")
        found = {name: _region(_mapping(region, "regions")) for name, region in regions.items() if name in REGIONS}
    except KeyError as error:
        raise StoredError("it is damaged: {why}", why=error) from None
    return {**_fields(data, {name: _LINE[name] for name in _MIX}), "regions": found}


def check(line: Line) -> None:
    """StoredError, such as "its blend is 20000", for a line that could not be read again."""
    _fields(vars(line), _LINE)
    _fields(vars(line.style), _STYLE)
    for region in line.regions.values():
        _region(vars(region))


def _line(name: str, text: object) -> Line:
    data = upgraded("line", _mapping(from_text(text), "record"))
    try:
        timelines = [Timeline.from_json(timeline) for timeline in data["timelines"]]
        takes = tuple(_take(_mapping(take, "takes"), timelines) for take in data["takes"])
        regions = {
            region: _region(_mapping(chosen, "regions"))
            for region, chosen in _mapping(data["regions"], "regions").items()
            if region in REGIONS
        }
        style = Style(**_fields(_mapping(data["style"], "style"), _STYLE))
        theirs = tuple(str(word) for word in data["theirs"])
        gaze = from_lists(data.get("gaze", ()))  # lines of earlier versions look nowhere
        moved = tuple(
            (str(name), str(path), tuple(map(str, channels))) for name, path, channels in data.get("moved", ())
        )
    except (KeyError, TypeError, ValueError, IndexError, TimelineError, SegmentError) as error:
        raise StoredError("it is damaged: {why}", why=error) from None
    return Line(
        name, **_fields(data, _LINE), takes=takes, regions=regions, style=style, theirs=theirs, gaze=gaze, moved=moved
    )


def _region(data: Mapping[str, Any]) -> Region:
    fields, course = _fields(data, _REGION), data["course"]
    try:
        points = tuple((float(share), float(size)) for share, size in course)
    except (TypeError, ValueError):
        raise StoredError("its course is {value!r:.40}", value=course) from None
    order = [share for share, _ in points]
    if order != sorted(set(order)) or not all(0 <= share <= 1 and 0 <= size <= 10 for share, size in points):
        raise StoredError("its course is {value!r:.40}", value=course)
    return Region(**fields, course=points)


def _take(data: Mapping[str, Any], timelines: list[Timeline]) -> Take:
    place = data["timeline"]
    return Take(
        **_fields(data, _TAKE),
        settings=_mapping(data["settings"], "settings"),
        segments=tuple(map(Segment.from_json, data["segments"])),
        timeline=None if place is None else timelines[place],
    )


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise StoredError("its {name} is {value!r:.40}", name=name, value=value)
    return value


def _fields(data: Mapping[str, Any], kinds: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    fields = {}
    for name, (kind, *limits) in kinds.items():
        value = data.get(name)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise StoredError("its {name} is {value!r:.40}", name=name, value=value)
        if limits and not limits[0] <= value <= limits[1]:
            raise StoredError("its {name} is {value}", name=name, value=value)
        fields[name] = value
    return fields


def as_stored(clip: Clip) -> Clip:
    """A clip in half precision, as it will be read again: what is shown first is what is shown later."""
    timeline = None if clip.timeline is None else Timeline.from_json(clip.timeline.to_json())
    values = np.clip(clip.values, -65_000, 65_000).astype("<f2").astype(np.float32)
    return replace(clip, values=values, timeline=timeline)


def take_of(clip: Clip, key: str, edit: bool = False) -> Take:
    """A clip as a take of a line, without its numbers."""
    last = clip.seed if clip.last_seed is None else clip.last_seed
    return Take(
        key, int(clip.seed), int(last), clip.emotion, clip.settings, clip.segments, clip.fps, clip.frames, clip.space,
        clip.timeline, clip.speech_scale, edit,
    )  # fmt: skip


def unused_key(line: Line) -> str:
    """A key that no take of the line has, nor had: keys only grow."""
    return str(1 + max((int(take.key) for take in line.takes if take.key.isdecimal()), default=0))
