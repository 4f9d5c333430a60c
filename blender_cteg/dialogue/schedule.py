# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule of a scene: what each character does when, as its lines are now and as its entries say."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import bpy

from .. import cast
from ..character.mapping import MappingError
from ..character.rig import Rig, shorten
from ..clip import Clip
from ..performance.finding import lines_away
from ..performance.gaze import Glance, to_lists
from ..performance.layers import frames_at
from ..performance.lines import LineError, Lines, clip_of
from ..performance.planning import meet
from ..performance.record import Line
from ..sentences import told
from . import board, listening, starts
from .addressed import looks_in
from .entries import dialogue_of
from .listening import Silence, Spoken
from .looking import Attention, Sight, glances, is_out_of_reach

#: Seconds after which somebody turns to who has begun to speak: so many at least, and so many more at most.
_NOTICES, _SLOWER = 0.15, 0.25
#: Seconds of a line within which a look that it asks for is there from its beginning on.
_AT_ONCE: Final = 0.5


@dataclass
class Actor:
    """A character of the scene.

    Attributes:
        name: of the object that its lines are known by, unique in the file.
        now: what is known of it.
        parts: the speakers that it plays.
        lines: its lines by id, where their keys are now.
        away: those that play in strips and are left as they are.
    """

    name: str
    now: cast.Character
    parts: list[Any] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    away: dict[str, Line] = field(default_factory=dict)

    @property
    def part(self) -> Any:
        """How it plays: the first of its parts."""
        return self.parts[0]


class Schedule:
    """A scene as it is now.

    Attributes:
        fps: frames per second.
        actors: characters by name; only those that can perform.
        starts: entry -> its first frame, by the entries' rules.
        wrong: entry -> why it has none.
        spoken: the entries that were performed, by their starts.
        problems: speaker -> why nobody plays it, a sentence.
    """

    def __init__(self, scene: bpy.types.Scene, news: Mapping[str, Clip] | None = None) -> None:
        """Look at a scene. Takes some milliseconds for each character.

        Args:
            scene: which one.
            news: entry -> what it is about to show.
        """
        self.scene, self.dialogue = scene, dialogue_of(scene)
        self.fps = scene.render.fps / scene.render.fps_base
        self.problems: dict[str, str] = {}
        self.actors: dict[str, Actor] = {}
        self._names: dict[int, str] = {}
        for part in self.dialogue.parts:
            self._enter(part)
        self._take_over()
        entries = list(self.dialogue.entries)
        for entry in entries:  # a speaker that was cleared, or set by a script, has no part
            if self.dialogue.parts.get(entry.speaker) is None:
                self.problems[entry.speaker] = board.unplayed(entry.speaker)
        cues = [board.cue_of(entry, self.line_of(entry) or self.away_of(entry), self.fps) for entry in entries]
        news = news or {}
        lengths = {name: frames_at(clip.duration, self.fps, 1.0) - 1 for name, clip in news.items()}
        cues = [replace(cue, length=lengths.get(cue.id, cue.length)) for cue in cues]
        self.starts, self.wrong = starts.starts(
            cues, self.fps, scene.frame_start, board.markers_of(scene), board.sounds_of(scene)
        )
        self._lengths = {cue.id: cue.length for cue in cues}
        self.spoken = sorted(self._spoken(news), key=lambda one: (one.start, one.id))
        self._sight = Sight(scene)
        self._attention: dict[str, list[Attention]] = {}
        self._times: dict[str, list[tuple[float, float]]] = {}

    def _enter(self, part: Any) -> None:
        obj = board.player(self.scene, part)
        if obj is None:
            self.problems[part.name] = board.unplayed(part.name)
            return
        now = cast.found(self.scene, obj, briefly=True)
        if now.problem or now.rig.object is None:
            self.problems[part.name] = now.problem
            return
        name = now.rig.object.name_full
        if name not in self.actors:
            lines = {line.id: line for line in now.lines}
            self.actors[name] = Actor(name, now, lines=lines, away=lines_away(now.rig))
        self.actors[name].parts.append(part)
        self._names[obj.session_uid] = name

    def actor_of(self, part: Any) -> Actor | None:
        """Who plays a part, or performed it."""
        obj = None if part is None else part.character
        return self.actors.get(self._names.get(obj.session_uid, "")) if obj is not None else None

    def line_of(self, entry: Any) -> Line | None:
        """The line that performs an entry now, shown by whoever plays it."""
        if not entry.line or entry.actor is None:
            return None
        actor = self.actors.get(self._names.get(entry.actor.session_uid, ""))
        line = None if actor is None else actor.lines.get(entry.line)
        return line if line is not None and line.take is not None else None

    def away_of(self, entry: Any) -> Line | None:
        """The line of an entry that plays in a strip, and is left as it is."""
        actor = None if entry.actor is None else self.actors.get(self._names.get(entry.actor.session_uid, ""))
        return None if actor is None else actor.away.get(entry.line)

    def _take_over(self) -> None:
        """Lines whose keys were moved by hand begin there from now on."""
        before: tuple[Any, Line | None] | None = None
        by_id = {entry.name: entry for entry in self.dialogue.entries}
        for entry in self.dialogue.entries:
            line = self.line_of(entry)
            if line is not None and abs(line.start - entry.placed) >= 0.5:
                other = (by_id.get(entry.after), None) if entry.after else before
                end = self.line_of(other[0]) if other is not None and other[0] is not None else None
                with board.quietly():
                    if entry.rule == "AFTER" and end is not None:
                        entry.pause = starts.pause_between(round(end.end), round(line.start), self.fps)
                    else:
                        entry.rule, entry.frame = "FRAME", round(line.start)
                entry.placed = round(line.start)
            before = entry, line

    def _spoken(self, news: Mapping[str, Clip]) -> Iterator[Spoken]:
        names = [part.name for part in self.dialogue.parts]
        for entry in self.dialogue.entries:
            line, start = self.line_of(entry) or self.away_of(entry), self.starts.get(entry.name)
            actor = self.actor_of(self.dialogue.parts.get(entry.speaker))
            if start is None and line is not None:  # its rule is broken: it stays, and is heard where it is
                start = round(line.start)
            if start is None or actor is None or (line is None and entry.name not in news):
                continue
            end = start + self._lengths[entry.name]
            take, stretch = (None, 1.0) if line is None else (line.take, line.stretch)
            shown, slower = (news[entry.name], 1.0) if entry.name in news else (take, stretch)
            turns = [] if shown is None else looks_in(shown.segments, names)
            looks = [(start + slower * self.fps * frame / shown.fps, self._played_by(name)) for frame, name in turns]
            others = tuple((frame, whom) for frame, whom in looks if whom not in ("", actor.name))
            yield Spoken(entry.name, actor.name, start, end, take, stretch, others)

    def _played_by(self, speaker: str) -> str:
        actor = self.actor_of(self.dialogue.parts.get(speaker))
        return "" if actor is None else actor.name

    # ------------------------------------------------------------------------------------------------ what follows

    def silences(self, actor: Actor) -> list[Silence]:
        """The silences of a character; none where nobody listens."""
        if not self.dialogue.listening:
            return []
        return list(listening.silences(self.spoken, actor.name, self.fps, self.blend))

    def asked(self, actor: Actor, silence: Silence) -> dict[str, Any]:
        """What the generator is asked for a silence, without the face that it begins from."""
        part = actor.part
        return listening.asked(
            silence, self.fps, mood=part.mood, intensity=part.intensity, energy=part.energy,
            seed=self.scene.cteg.seed,
        )  # fmt: skip

    def face_before(self, actor: Actor, silence: Silence, checkpoint: str) -> list[float] | None:
        """The face that a character's own line before a silence leaves; None for the face at rest."""
        if silence.before is None or silence.start > silence.before.end:
            return None
        entry = self.dialogue.entries.get(silence.before.id)
        line = None if entry is None else actor.lines.get(entry.line)
        if line is None or line.take is None or line.take.settings.get("checkpoint") != checkpoint:
            return None
        clip = clip_of(actor.now.rig, line)
        return None if clip is None else [round(float(value), 4) for value in clip.values[-1]]

    @property
    def blend(self) -> int:
        """Frames over which lines come in and go."""
        return int(self.scene.cteg.blend)

    def gaze(self, actor: Actor, start: float, end: float, stretch: float = 1.0) -> tuple[Glance, ...]:
        """Where a line of a character looks that plays from one frame to another."""
        if not self.dialogue.looking:
            return ()
        times = self._times_of(actor)
        return glances(
            self._sight, actor.now.rig, self._attention_of(actor), start, end, self.fps * stretch,
            goes_on=any(begin < start <= stop + 1.0 for begin, stop in times),
            is_gone_on=any(start < begin <= end + 1.0 <= stop for begin, stop in times),
        )  # fmt: skip

    def _times_of(self, actor: Actor) -> list[tuple[float, float]]:
        """First and last frame of all that a character does."""
        if actor.name not in self._times:
            own = [(one.start, one.end) for one in self.spoken if one.character == actor.name]
            self._times[actor.name] = own + [(float(one.start), float(one.end)) for one in self.silences(actor)]
        return self._times[actor.name]

    def _attention_of(self, actor: Actor) -> list[Attention]:
        """What a character looks at from when on."""
        if actor.name not in self._attention:
            fixed = actor.part.looks_at
            always = [] if fixed is None else [Attention(float("-inf"), self._target(fixed))]
            self._attention[actor.name] = always or list(self._turns(actor))
        return self._attention[actor.name]

    def _turns(self, actor: Actor) -> Iterator[Attention]:
        others = [one for one in self.spoken if one.character != actor.name]
        turns: list[tuple[float, str]] = []
        for one in self.spoken:
            if one.character == actor.name:
                before = [other for other in others if other.start <= one.start]
                to = before[-1] if before else next(iter(others), None)
                named = one.looks and one.looks[0][0] <= one.start + _AT_ONCE * self.fps
                turns += [(one.start, one.looks[0][1])] if named else [] if to is None else [(one.start, to.character)]
                turns += one.looks
            else:
                own = zlib.crc32(f"{actor.name} {one.id}".encode()) % 100 / 100
                turns.append((one.start + round((_NOTICES + _SLOWER * own) * self.fps), one.character))
        looked = ""
        for frame, whom in sorted(turns, key=lambda turn: turn[0]):
            if whom != looked:
                looked = whom
                yield Attention(frame, self.actors[looked].now.rig)

    def _target(self, obj: bpy.types.Object) -> Any:
        name = self._names.get(obj.session_uid)
        return self.actors[name].now.rig if name in self.actors else obj

    def cannot_see(self) -> str:
        """Who would have to turn the body to look at somebody, a sentence; "" when nobody."""
        pairs = []
        for actor in self.actors.values() if self.dialogue.looking else ():
            targets = {id(one.target): (one.frame, one.target) for one in self._attention_of(actor) if one.target}
            for frame, target in targets.values():
                yaw, pitch = self._sight.direction(actor.now.rig, target, frame if frame > -1e9 else 0.0)
                if is_out_of_reach(yaw, pitch):
                    whom = target.object.name if isinstance(target, Rig) else target.name
                    pairs.append(told("{name} at {whom}", name=actor.part.name, whom=whom))
        if not pairs:
            return ""
        sentence = "These look as far as eyes and head go, and not quite there; turn their bodies more: {pairs}"
        return told(sentence, pairs=shorten(pairs, 4))


@board.arranges
def arrange(scene: bpy.types.Scene, *, looks: bool = True, said: list[str] | None = None) -> str:
    """Move every line to where its entry begins, with the silences between, and let it look where it should.

    Args:
        scene: whose dialogue.
        looks: off where the silences are about to be performed, and what they meet is written with them.
        said: gets sentences about what was done beside.

    Returns:
        Why that could not be done, a sentence; "" where it was.
    """
    if not any(entry.line for entry in dialogue_of(scene).entries):
        return ""
    schedule, last, end = Schedule(scene), 0.0, 0.0
    for actor in schedule.actors.values():
        moves = moves_of(schedule, actor)
        if not looks:
            moves = {name: {"start": one["start"]} for name, one in moves.items() if "start" in one}
        lines, met = Lines(scene, actor.now.rig, actor.now.mapping), _crossed(schedule, actor)
        try:
            if moves and not met:
                lines.move(moves)
        except (LineError, MappingError) as error:
            met = _outlived(schedule, actor)
            if not met:
                return told("{name}: {reason}", name=actor.name, reason=error)
        if met:
            try:
                lines.remove_all(met)
            except LineError as still:
                return told("{name}: {reason}", name=actor.name, reason=still)
            for part in actor.parts:
                for name in met & set(part.silences.keys()):
                    part.silences.remove(part.silences.find(name))
            sentence = "{name}: reactions that keys were moved into were taken off; Generate performs them again."
            said = [] if said is None else said
            said.append(told(sentence, name=actor.part.name))
            return arrange(scene, looks=looks, said=said)
        for line in filter(lambda line: line.take is not None, actor.lines.values()):
            last = max(last, line.end)
            end = max(end, line.end + moves.get(line.id, {}).get("start", line.start) - line.start)
    if schedule.dialogue.extend:  # a scene that ended with its last line does so again, wherever that is dragged
        scene.frame_end = round(end) if scene.frame_end == round(last) else max(scene.frame_end, round(end))
    for entry in schedule.dialogue.entries:
        if schedule.line_of(entry) is not None and entry.name in schedule.starts:
            entry.placed = schedule.starts[entry.name]
    if scene == getattr(bpy.context, "scene", None):
        cast.refresh(scene)
    return ""


def _outlived(schedule: Schedule, actor: Actor) -> set[str]:
    """Silences of a character that are not as long as its silence is now: keys of a line were moved into them."""
    times = {(round(one.start), round(one.end)) for one in schedule.silences(actor)}
    names = {silence.name for part in actor.parts for silence in part.silences} & set(actor.lines)
    return {name for name in names if (round(actor.lines[name].start), round(actor.lines[name].end)) not in times}


def _crossed(schedule: Schedule, actor: Actor) -> set[str]:
    """Of those, the ones in which there are keys of a line that were not written with theirs."""
    others = [line for line in actor.lines.values() if line.take is not None]
    lines = (actor.lines[name] for name in _outlived(schedule, actor))
    return {one.id for one in lines if any(meet(one, other) and one.span != other.span for other in others)}


def moves_of(
    schedule: Schedule, actor: Actor, among: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Which lines of a character begin, or look, elsewhere than they do: id -> fields that become another.

    ``among``: ids of those that are looked at; None for all.
    """
    wanted: dict[str, float] = {}
    for entry in schedule.dialogue.entries:
        line = schedule.line_of(entry)
        if line is not None and line.id in actor.lines and entry.name in schedule.starts:
            wanted[line.id] = schedule.starts[entry.name]
    planned = schedule.silences(actor)
    there = [silence.name for part in actor.parts for silence in part.silences if silence.name in actor.lines]
    if len(there) == len(planned):
        wanted |= {name: silence.start for name, silence in zip(there, planned, strict=True)}
    moves: dict[str, dict[str, Any]] = {}
    silences = (silence for part in actor.parts for silence in part.silences if silence.by_hand)
    by_hand = {entry.line for entry in schedule.dialogue.entries if entry.by_hand} | {one.name for one in silences}
    for name, start in wanted.items():
        if among is not None and name not in among:
            continue
        line = actor.lines[name]
        gaze = (
            line.gaze if name in by_hand else schedule.gaze(actor, start, start + line.end - line.start, line.stretch)
        )
        fields: dict[str, Any] = {}
        if round(line.start) != round(start):
            fields["start"] = float(start)
        if to_lists(gaze) != to_lists(line.gaze):
            fields["gaze"] = gaze
        if fields and line.take is not None:
            moves[name] = fields
    return moves
