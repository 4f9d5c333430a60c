# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging: lines of a dialogue performed on their characters, with the silences between them.

`Production` is the work, batch by batch: what to ask the generator next, and what becomes of its answer. The operator
of the panel drives it while Blender goes on; `play` does to the end, for scripts and the command line. Every batch that
has arrived is in the scene: who stops, keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import bpy

from .. import cast
from ..character import measuring
from ..character.choose import brought_to, unverified
from ..character.mapping import MappingError
from ..clip import Clip, ClipError
from ..performance.gaze import Glance
from ..performance.layers import frames_at
from ..performance.lines import LineError, Lines
from ..performance.record import Line, Style
from ..preferences import Choices, choices
from ..sentences import shorten, told
from ..settings import SETTINGS, request
from ..shared import Script
from ..worker import session
from ..worker.locate import LocateError
from . import board, listening
from .addressed import nobody
from .casting import cast_parts, named_before
from .entries import dialogue_of, forget_unused_parts
from .listening import Silence
from .schedule import Actor, Schedule, arrange, moves_of
from .scripts import add

#: Lines that are asked for at once: all of them are decoded together, and none can be stopped by itself.
_BATCH: Final = 24


@dataclass
class _Asked:
    """One LINE of a request.

    Attributes:
        line: what is asked for.
        entry: id of the entry; "" for a silence.
        silence, actor: of a silence.
        digest: tells what was asked for a silence, whatever it is performed with.
        alone: it is asked for by itself, because something in its batch was refused.
    """

    line: dict[str, Any]
    entry: str = ""
    silence: Silence | None = None
    actor: str = ""
    digest: str = ""
    alone: bool = False


class Production:
    """Lines of a scene that are performed, and what becomes of them.

    Attributes:
        said: sentences about what was done and what was not.
        done: how many lines and silences are in the scene now.
    """

    def __init__(
        self, scene: bpy.types.Scene, entries: Iterable[str] | None, preferred: Choices, *, again: bool = False
    ) -> None:
        """Prepare; nothing is changed.

        Args:
            scene: whose dialogue.
            entries: ids of those to perform; None for all that are new, changed or failed.
            preferred: which generator.
            again: perform them even where nothing has changed: more takes of each.
        """
        self._scene, self._preferred, self._again = scene.session_uid, preferred, again
        self.said: list[str] = []
        self.done = 0
        schedule = Schedule(scene)
        wanted = None if entries is None else set(entries)
        self._speeches: list[_Asked] = []
        for entry in self._in_order(schedule, wanted):
            part = schedule.dialogue.parts.get(entry.speaker)
            entry.problem = schedule.problems.get(entry.speaker, "") or schedule.wrong.get(entry.name, "")
            if entry.problem:
                who = entry.speaker or f"“{shorten(entry.text, 40)}”"
                self.said.append(f"{who}: {entry.problem}")
            else:
                self._speeches.append(_Asked(self._speech(schedule, entry, part), entry.name))
        self._silences: list[_Asked] | None = None
        self._batch: list[_Asked] = []
        self._unwritten: list[tuple[_Asked, list[Clip]]] = []
        for actor in schedule.actors.values():  # while the generator works
            measuring.begin(scene, actor.now.rig, unverified(actor.now.rig))

    def _in_order(self, schedule: Schedule, wanted: set[str] | None) -> list[Any]:
        entries = []
        for entry in schedule.dialogue.entries:
            if wanted is not None and entry.name not in wanted:
                continue
            part = schedule.dialogue.parts.get(entry.speaker)
            line = schedule.line_of(entry)
            if line is None and schedule.away_of(entry) is not None:
                self.said.append(board.plays_away(entry.text, entry.actor))
                continue
            current = line is not None and part is not None and not board.is_changed(entry, part.character)
            if not current or entry.problem or self._again:
                entries.append(entry)
            elif wrong := schedule.wrong.get(entry.name):  # performed, and it stays where it is
                self.said.append(f"{entry.speaker}: {wrong}")
        return sorted(entries, key=lambda entry: schedule.starts.get(entry.name, 0))

    def _speech(self, schedule: Schedule, entry: Any, part: Any) -> dict[str, Any]:
        """The protocol's LINE of an entry: what words and directions say, as its character plays."""
        settings, line = schedule.scene.cteg, schedule.line_of(entry)
        values = {s.key: s.options.get("default", s.nothing) for s in SETTINGS if s.asked}
        values |= {name: getattr(settings, name) for name in ("language", "temperature", "seed", "timing")}
        if line is not None and line.text == entry.text:
            values["seed"] = max(max(take.seed, take.last_seed) for take in line.takes) + 1
        values |= {
            "text": entry.text, "takes": schedule.dialogue.takes, "intensity": part.intensity, "energy": part.energy,
            "seconds": entry.seconds, "timeline": None,
            "ending": "trace" if schedule.dialogue.listening else "rest",  # else nobody performs how it goes on
            "spread": False,  # four times the work, for each line of a scene; *Something Else* is there for one
        }  # fmt: skip
        named = named_before(schedule.scene, entry.text, None if line is None or line.text != entry.text else line.take)
        return request(values) | {"branch": None, "vary": None, "begin": None} | named

    # ------------------------------------------------------------------------------------------------ batch by batch

    def next(self) -> tuple[str, dict[str, Any], str] | None:
        """Who is asked what next, and what that is called; None when everything is done."""
        queue = self._speeches or self._quiet()
        if not queue:
            self.write()
            return None
        alone = queue[0].alone
        self._batch = queue[:1] if alone else [one for one in queue[:_BATCH] if not one.alone]
        del queue[: len(self._batch)]
        board.working = {one.entry for one in self._batch if one.entry}
        speaks, left = bool(self._batch[0].entry), len(queue)
        sentence = "Performing lines: {count}" if speaks else "Performing reactions: {count}"
        if left:
            sentence = (
                "Performing lines: {count}, {left} to go" if speaks else "Performing reactions: {count}, {left} to go"
            )
        label = told(sentence, count=len(self._batch), left=left)
        lines = [one.line for one in self._batch]
        return self._preferred.python, self._preferred.asked("generate", lines=lines), label

    def use(self, takes: Sequence[Clip], warnings: Iterable[str] = ()) -> None:
        """The takes of the batch that was asked for; `write` puts them into the scene."""
        batch, self._batch, board.working = self._batch, [], set()
        if any(one.entry for one in batch):  # what is said of a silence is about words that nobody says
            self.said += dict.fromkeys(warnings)
        if sum(one.line["takes"] for one in batch) != len(takes):
            self.said.append(told("The generator sent other takes than it was asked for; generate again."))
            return
        at = 0
        for one in batch:
            self._unwritten.append((one, list(takes[at : at + one.line["takes"]])))
            at += one.line["takes"]

    def write(self) -> None:
        """Put what has arrived into the scene, while the generator works on the next batch. What cannot be is said."""
        pairs, self._unwritten = self._unwritten, []
        if self.scene is not None and pairs:
            self._write_speeches(self.scene, [(one, clips) for one, clips in pairs if one.entry])
            self._write_silences(self.scene, [(one, clips) for one, clips in pairs if not one.entry])

    def failed(self, problem: str, kind: str) -> bool:
        """The batch was refused; whether to go on. One line that cannot be performed keeps no other from it."""
        batch, self._batch, board.working = self._batch, [], set()
        if kind != "input":
            return False
        if len(batch) > 1:
            for one in reversed(batch):
                one.alone = True
                (self._speeches if one.entry else self._silences or []).insert(0, one)
            return True
        one = batch[0]
        if one.silence is None:
            entry = dialogue_of(self.scene).entries.get(one.entry) if self.scene is not None else None
            if entry is not None:
                entry.problem = problem
                self.said.append(f"{entry.speaker}: {problem}")
        elif "timeline" in one.line and self._silences is not None:
            one.line = listening.plain(one.line)
            self._silences.insert(0, one)
        else:
            self.said.append(problem)
        return True

    def finish(self) -> None:
        """Whatever was performed is in its place now: move what follows it."""
        board.working = set()
        scene = self.scene
        if scene is None:
            return
        self.write()
        if refusal := arrange(scene, said=self.said):
            self.said.append(refusal)
        schedule = Schedule(scene)
        self.said += filter(None, [schedule.cannot_see()])
        if scene.cteg.target is None and schedule.actors:
            scene.cteg.target = next(iter(schedule.actors.values())).now.target
        cast.refresh(scene)
        board.refresh(scene)

    @property
    def scene(self) -> bpy.types.Scene | None:
        """The scene, as long as it is there; undo gives it another place in memory."""
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self._scene), None)

    # ------------------------------------------------------------------------------------------------ own lines

    def _write_speeches(self, scene: bpy.types.Scene, answers: list[tuple[_Asked, list[Clip]]]) -> None:
        if not answers:
            return
        schedule = Schedule(scene, {one.entry: clips[0] for one, clips in answers})
        fresh: dict[str, list[tuple[Any, int, list[Clip], str]]] = {}
        for one, clips in answers:
            entry, text = schedule.dialogue.entries.get(one.entry), str(one.line["text"])
            if entry is None:
                said = told("“{text}” was deleted while it was performed.", text=shorten(text, 40))
                self.said.append(said)
                continue
            for name in nobody(clips[0].segments, [part.name for part in schedule.dialogue.parts]):
                sentence = "“{text}” looks at {name}, whom nobody plays here."
                self.said.append(told(sentence, text=shorten(entry.text, 40), name=name))
            actor, start = schedule.actor_of(schedule.dialogue.parts.get(entry.speaker)), schedule.starts.get(one.entry)
            if actor is None or start is None:
                entry.problem = schedule.problems.get(entry.speaker, "") or schedule.wrong.get(entry.name, "")
            elif schedule.line_of(entry) is None:
                fresh.setdefault(actor.name, []).append((entry, start, clips, text))
            else:
                self._write_again(schedule, actor, entry, start, clips, text)
        for name, rows in fresh.items():
            actor = schedule.actors[name]
            lines = self._put_new(schedule, actor, [(start, clips, text) for _, start, clips, text in rows])
            for (entry, _, _, text), line in zip(rows, lines, strict=True):
                self._note(actor, entry, line, text)

    def _write_again(
        self, schedule: Schedule, actor: Actor, entry: Any, start: int, clips: list[Clip], text: str
    ) -> None:  # fmt: skip
        """Takes of an entry that has a line: more of them, or in place of those of another text or character."""
        old = schedule.line_of(entry)
        assert old is not None
        if old.id not in actor.lines or old.text != text:
            by_hand = old.gaze if entry.by_hand and old.id in actor.lines else None
            (line,) = self._put_new(schedule, actor, [(start, clips, text)], gaze=by_hand)
            entry.by_hand = by_hand is not None
            if isinstance(line, Line):
                remove(schedule, entry.actor, [old.id])
                self._tell_lost_edit(old)
            self._note(actor, entry, line, text)
            return
        try:
            self._note(actor, entry, self._put_more(schedule, actor, entry, old, clips), text)
        except (ClipError, MappingError, LineError) as error:
            self._note(actor, entry, str(error), text)

    def _tell_lost_edit(self, old: Line) -> None:
        """What was changed by hand in a line that was replaced is not there any more, whatever was said before."""
        kept = told("What was changed by hand in “{text}” is kept as a layer over its takes.", text=old.text)
        if old.edited or old.layer or kept in self.said:
            self.said = [sentence for sentence in self.said if sentence != kept]
            lost = "What was changed by hand in “{text}” went with its old takes; undo brings it back."
            self.said.append(told(lost, text=shorten(old.text, 40)))

    def _note(self, actor: Actor, entry: Any, line: Line | str, text: str) -> None:
        """What became of an entry: its line, or why there is none."""
        if isinstance(line, str):
            entry.problem = line
            self.said.append(f"{entry.speaker}: {line}")
            return
        entry.line, entry.actor, entry.said, entry.problem = line.id, actor.now.target, text, ""
        entry.placed = round(line.start)
        self.done += 1

    def _put_more(self, schedule: Schedule, actor: Actor, entry: Any, old: Line, clips: list[Clip]) -> Line:
        """Write more takes of a line of a character."""
        rig, settings = actor.now.rig, schedule.scene.cteg
        takes, mapping = brought_to(rig, clips)
        length = frames_at(takes[0].duration, schedule.fps, 1.0) - 1
        lines = Lines(schedule.scene, rig, mapping)
        written = lines.add(
            takes, old.start, Style(settings.interpolation, settings.reduction), text=old.text, line=old.id,
            gaze=old.gaze if entry.by_hand else schedule.gaze(actor, old.start, old.start + length),
        )  # fmt: skip
        self.said += [sentence for sentence in lines.said if sentence not in self.said]
        actor.lines[written.id] = written
        return written

    def _put_new(
        self, schedule: Schedule, actor: Actor, rows: list[tuple[int, list[Clip], str]], *, quiet: bool = False,
        gaze: tuple[Glance, ...] | None = None,
    ) -> list[Line | str]:  # fmt: skip
        """Write new lines of a character, all at once; where one cannot be, each by itself. The lines, or why not.

        ``quiet``: they are silences, and now it is known where those beside them look. ``gaze``: where they look, None
        for where the dialogue says.
        """
        rig, settings = actor.now.rig, schedule.scene.cteg
        measuring.measure(schedule.scene, rig, unverified(rig))
        try:
            news = []
            for start, clips, text in rows:
                takes, mapping = brought_to(rig, clips)
                length = frames_at(takes[0].duration, schedule.fps, 1.0) - 1
                looks = schedule.gaze(actor, start, start + length) if gaze is None else gaze
                news.append((takes, start, text, looks))
            lines = Lines(schedule.scene, rig, mapping)
            written = lines.add_new(
                news, Style(settings.interpolation, settings.reduction),
                blend=settings.blend, changes=_looks_beside(schedule, actor, news) if quiet else None,
            )  # fmt: skip
        except (ClipError, MappingError, LineError) as error:
            if len(rows) == 1:
                return [str(error)]
            return [found for row in rows for found in self._put_new(schedule, actor, [row], quiet=quiet)]
        self.said += [sentence for sentence in lines.said if sentence not in self.said]
        actor.lines |= {line.id: line for line in written}
        return list(written)

    # ------------------------------------------------------------------------------------------------ silences

    def _quiet(self) -> list[_Asked]:
        """The silences that are to be performed, once all own lines are there; what is out of date goes."""
        if self._silences is not None or self.scene is None:
            return self._silences or []
        self.write()  # where there is silence depends on how long the lines are
        self._silences = []
        arrange(self.scene, looks=False)
        schedule = Schedule(self.scene)
        checkpoint = Path(self._preferred.checkpoint).name if self._preferred.checkpoint else "default"
        for part in schedule.dialogue.parts:  # somebody else plays it now
            if part.actor is not None and part.actor != part.character:
                _forget(schedule, part, [silence.name for silence in part.silences])
        for actor in schedule.actors.values():
            planned = [(silence, schedule.asked(actor, silence)) for silence in schedule.silences(actor)]
            there = {silence.asked: silence.name for silence in actor.part.silences if silence.name in actor.lines}
            kept = {listening.digest(line) for _, line in planned} & set(there)
            gone = [silence.name for part in actor.parts for silence in part.silences if silence.asked not in kept]
            _forget(schedule, actor.part, gone)
            for silence, line in planned:
                if (digest := listening.digest(line)) not in kept:
                    self._silences.append(_Asked(line, silence=silence, actor=actor.name, digest=digest))
                    line["begin"] = schedule.face_before(actor, silence, checkpoint)
        return self._silences

    def _write_silences(self, scene: bpy.types.Scene, answers: list[tuple[_Asked, list[Clip]]]) -> None:
        if not answers:
            return
        schedule = Schedule(scene)
        fresh: dict[str, list[tuple[_Asked, tuple[int, list[Clip], str]]]] = {}
        for one, clips in answers:
            silence = one.silence
            if one.actor not in schedule.actors or silence is None:
                continue
            rows = round((silence.end - silence.start) / schedule.fps * clips[0].fps) + 1
            clip = clips[0].with_values(clips[0].values[: max(rows, 2)])
            heard = " / ".join(actor_line(schedule, spoken.id) for spoken in silence.heard)
            text = told("(listening) {words}", words=shorten(heard, 120)) if heard else told("(waiting)")
            fresh.setdefault(one.actor, []).append((one, (silence.start, [clip], text)))
        for name, pairs in fresh.items():
            actor = schedule.actors[name]
            lines = self._put_new(schedule, actor, [row for _, row in pairs], quiet=True)
            for (one, _), line in zip(pairs, lines, strict=True):
                if isinstance(line, str):
                    self.said.append(f"{actor.part.name}: {line}")
                    continue
                kept = actor.part.silences.add()
                kept.name, kept.asked = line.id, one.digest
                actor.part.actor = actor.now.target
                self.done += 1
        for actor in schedule.actors.values():
            _sort(actor)


def _looks_beside(schedule: Schedule, actor: Actor, news: Sequence[tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
    """Which lines look elsewhere than they do of those that new ones meet: they are written again anyway."""
    ends = [(start, start + frames_at(takes[0].duration, schedule.fps, 1.0) - 1) for takes, start, *_ in news]
    met = {
        line.id
        for line in actor.lines.values()
        if any(line.start <= stop and begin <= line.end for begin, stop in ends)
    }
    moves = moves_of(schedule, actor, met)
    return {name: {"gaze": fields["gaze"]} for name, fields in moves.items() if set(fields) == {"gaze"}}


def actor_line(schedule: Schedule, entry: str) -> str:
    """What an entry says."""
    there = schedule.dialogue.entries.get(entry)
    return "" if there is None else str(there.text)


def _sort(actor: Actor) -> None:
    """Silences are stored in the order in which they are played."""
    silences = actor.part.silences
    for place in range(len(silences)):
        first = min(
            range(place, len(silences)),
            key=lambda k: line.start if (line := actor.lines.get(silences[k].name)) is not None else 0.0,
        )
        silences.move(first, place)


def _forget(schedule: Schedule, part: Any, names: Sequence[str]) -> int:
    """Remove silences of a part, and their lines; how many lines those were."""
    count = remove(schedule, part.actor, names)
    for name in names:
        place = part.silences.find(name)
        if place >= 0:
            part.silences.remove(place)
    return count


def remove(schedule: Schedule, actor: bpy.types.Object | None, lines: Sequence[str]) -> int:
    """Take lines off a character; its curves are as they were before them. LineError where that cannot be done.

    Returns:
        How many of them it had.
    """
    if actor is None or not lines or not cast.is_in(schedule.scene, actor):
        return 0
    now = cast.found(schedule.scene, actor, briefly=True)
    if now.problem:
        return 0
    Lines(schedule.scene, now.rig, now.mapping).remove_all(lines)
    return sum(line.id in lines for line in now.lines)


def remove_silences(scene: bpy.types.Scene) -> int:
    """Take every performed silence off its character; how many lines that were. LineError where it cannot be done."""
    schedule, count = Schedule(scene), 0
    for part in schedule.dialogue.parts:
        count += _forget(schedule, part, [silence.name for silence in part.silences])
    board.refresh(scene)
    return count


def remove_entries(scene: bpy.types.Scene, ids: Iterable[str]) -> None:
    """Take entries out of the list, and the lines that performed them off their characters. LineError, and nothing has
    changed, where one of them plays in a strip."""
    schedule, dialogue = Schedule(scene), dialogue_of(scene)
    gone = [entry for name in ids if (entry := dialogue.entries.get(name)) is not None]
    for entry in gone:
        if schedule.line_of(entry) is None and schedule.away_of(entry) is not None:
            raise LineError("{reason}", reason=board.plays_away(entry.text, entry.actor))
    for actor in {entry.actor for entry in gone if entry.actor is not None and entry.line}:
        remove(schedule, actor, [entry.line for entry in gone if entry.actor == actor])
    for name in [entry.name for entry in gone]:
        dialogue.entries.remove(dialogue.entries.find(name))
    dialogue.entry = min(dialogue.entry, max(len(dialogue.entries) - 1, 0))
    forget_unused_parts(scene)
    board.refresh(scene)


# ------------------------------------------------------------------------------------------------ to the end


@dataclass(frozen=True)
class Played:
    """What became of an entry: where it is, or why it is not there, a sentence."""

    speaker: str
    text: str
    number: int
    start: float = 0.0
    end: float = 0.0
    problem: str = ""


def play(
    scene: bpy.types.Scene, script: Script, cast_as: Mapping[str, bpy.types.Object] | None = None, *,
    start: int | None = None, takes: int = 1, listen: bool = True, look: bool = True,
    progress: Callable[[float, str], None] | None = None,
) -> tuple[list[Played], list[str]]:  # fmt: skip
    """Put the lines of a script on characters, perform them, and place them: all at once, without an interface.

    Args:
        scene: where; its list gets the lines, behind those that are there.
        script: from `generator.shared.scripts.read_script`.
        cast_as: speaker -> any object of the character that plays it; others are found by their names.
        start: frame where the script begins, None for behind what is there, else the playhead or the first frame.
        takes: of each line.
        listen, look: whether those who do not speak react, and look at each other.
        progress: called with 0..1 and what is being done.

    Returns:
        What became of each line of the script, and sentences about what was done, and what was not and why.

    Raises:
        RuntimeError: the generator cannot be started, or failed; what it had performed before is in the scene.
    """
    dialogue = dialogue_of(scene)
    dialogue.takes, dialogue.listening, dialogue.looking = takes, listen, look
    names = [entry.name for entry in add(scene, script, start=start)]
    for speaker, obj in (cast_as or {}).items():
        part = dialogue.parts.get(speaker)
        if part is not None:
            part.character = obj
    said = cast_parts(scene)
    production = Production(scene, names, choices(bpy.context))
    run(production, progress)
    lines = Schedule(scene)
    played = []
    for name in names:
        entry = dialogue.entries.get(name)
        line = None if entry is None else lines.line_of(entry)
        if entry is not None:
            times = (0.0, 0.0) if line is None else (line.start, line.end)
            played.append(Played(entry.speaker, entry.text, entry.number, *times, entry.problem))
    return played, [*said, *(sentence for sentence in production.said if sentence not in said)]


def run(production: Production, progress: Callable[[float, str], None] | None = None) -> None:
    """Drive a production to its end. RuntimeError where the generator fails; what was performed is kept."""
    problem = ""
    try:
        while not problem and (asked := production.next()) is not None:
            try:
                job = session.start(*asked)
            except LocateError as error:
                problem = str(error)
                break
            production.write()
            while not job.over:
                job.poll(0.05)
                if progress is not None:
                    progress(job.fraction, job.label)
            session.finish(job.problem, job.kind)
            if not job.problem:
                production.use(job.takes, job.warnings)
            elif not production.failed(job.problem, job.kind):
                problem = job.problem
    finally:
        if session.job is not None:
            session.finish()
        production.finish()
    if problem:
        raise RuntimeError(problem)
