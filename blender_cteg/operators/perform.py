# SPDX-License-Identifier: GPL-3.0-or-later
"""Perform: the line of the panel, or more takes of a line there is; from the order to the keys."""

from __future__ import annotations

import contextlib
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import EnumProperty, FloatProperty
from bpy.types import Context, Object, Scene

from .. import cast
from ..cast import Character
from ..character import measuring
from ..character.choose import brought_to, doubts, lacking, unverified
from ..character.detection.detect import detect_rig
from ..character.rig import Rig
from ..character.rig import shorten as names
from ..clip import Clip
from ..dialogue.addressed import gaze_of, nobody_in
from ..dialogue.casting import named_before
from ..emotions import label
from ..performance import ranges
from ..performance.diagnosis import keys_without_shape
from ..performance.layers import face_of
from ..performance.lines import Lines, clip_of, in_the_way, lines_of
from ..performance.owners import owners_of, why_not_writable
from ..performance.record import Line, Style, Take
from ..preferences import choices
from ..sentences import shorten, told, translated
from ..settings import SETTINGS, Arguments, chosen, request
from ..shared import Timeline
from ..worker.session import Job
from .jobs import JobOperator, Refusal, busy_reason
from .timelines import read_timeline, timeline_in

#: How far takes go that are varied, and those that have nothing of the shown one but its direction: 0 is the same take.
A_LITTLE: Final = 0.3
ANEW: Final = 1.0

#: What can be asked for: identifier, name, description.
MODES: Final = (
    ("NEW", "Generate", "Perform the line: several takes to choose from. Other animation is kept"),
    ("RESAMPLE", "Re-sample", "Perform the line again with new seeds: more takes beside the ones there are"),
    ("VARY", "Vary", "Perform takes that are like the shown one, beside the ones there are"),
    (
        "BRANCH", "Re-sample from Here",
        "Perform takes that are like the shown one up to the playhead, and go on in other ways",
    ),
)  # fmt: skip
#: Modes that start from the shown take.
_AGAIN: Final = ("VARY", "BRANCH")
#: Arguments that more takes of a line cannot have.
_OF_THE_LINE: Final = {"start_frame", "text", "timeline"}
_REFUSED: Final = {"NEW": set(), "RESAMPLE": {"start_frame"}, "VARY": _OF_THE_LINE, "BRANCH": _OF_THE_LINE}


def disabled_reason(context: Context, mode: str = "NEW") -> str:
    """Why nothing can be performed in a mode with the settings of the scene as they are, or ""."""
    scene = context.scene
    line, text = cast.active_line(scene), scene.cteg.line()
    return busy_reason() or _problem(scene, cast.character(scene), line, mode, _again(mode, text, line))


def _again(mode: str, text: str, line: Line | None) -> str:
    """What is performed: what was typed; nothing was, and there is a line (of a dialogue, say): that again."""
    return line.text if mode == "RESAMPLE" and line is not None and not text.strip() else text


def _problem(scene: Scene, performer: Character, line: Line | None, mode: str, text: str) -> str:
    if performer.problem:
        return performer.problem
    if mode not in _AGAIN:
        if not text.strip():  # the cheapest check of a line; the generator makes the others
            return told("Type the line that the character says.")
        if mode == "RESAMPLE" and _saying(text, performer, line) is None:
            return told("Generate this line first; Re-sample then adds more takes of it.")
        return ""
    if line is None or line.take is None:
        sentence = "{name} shows no take; generate a line, or choose a take from the list."
        return told(sentence, name=performer.target.name)
    if mode == "BRANCH" and not 0 < line.clip_frame(scene.frame_current) < line.take.frames - 1:
        sentence = "Move the playhead into the shown take first, between frames {first} and {last}."
        return told(sentence, first=math.floor(line.start), last=math.ceil(line.end))
    return ""


def _saying(text: str, performer: Character, active: Line | None) -> Line | None:
    """The line of a character that says this: the active one, else the last; None when there is none."""
    said = _tidy(text)
    found = [line for line in performer.lines if _tidy(line.text) == said]
    last = found[-1] if found else None
    return next((line for line in found if active is not None and line.id == active.id), last)


@lru_cache(maxsize=256)
def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@dataclass(frozen=True)
class _Order:
    """Where takes go. Scene and target by `session_uid`, which survives renaming and undo; the line that gets them and
    the take that they are made from, up to a frame of its clip.
    """

    scene: int
    target: int
    name: str
    text: str
    start: int
    line: str
    take: Take | None
    branch: int | None
    style: Style
    blend: int
    last_seed: int

    def line_in(self, lines: tuple[Line, ...]) -> Line | None:
        """The line that gets the takes: the one they are for, or one that says the same from the same frame."""
        if self.line:
            return next((line for line in lines if line.id == self.line), None)
        same = (line for line in lines if _tidy(line.text) == _tidy(self.text))
        return next((line for line in same if round(line.start) == self.start), None)


class CTEG_OT_perform(JobOperator, Arguments, bpy.types.Operator):
    bl_idname = "cteg.perform"
    bl_label = "Generate Facial Performance"
    # No REGISTER: adjusting a value in the redo panel would perform everything again and block the interface.
    bl_options = {"UNDO"}

    mode: EnumProperty(name="Mode", items=MODES, options={"SKIP_SAVE"})
    amount: FloatProperty(
        name="Amount", description="How far from the varied take: 0 is the same, 1 a new one", default=A_LITTLE,
        soft_min=0.0, soft_max=1.0, options={"SKIP_SAVE"},
    )  # fmt: skip

    _order: _Order | None = None

    @classmethod
    def description(cls, context: Context, properties: Any) -> str:
        text = next(translated(text) for mode, _, text in MODES if mode == properties.mode)
        reason = disabled_reason(context, properties.mode)
        return f"{text}.\n{reason}" if reason else text

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        scene, preferred, given = context.scene, choices(context), self.given()
        if wrong := _REFUSED[self.mode] & given.keys():
            raise Refusal("{name} cannot be given for more takes of a line; it has its own.", name=min(wrong))
        values = chosen(scene.cteg) | given
        target = values["target"] if "target" not in given else scene.objects.get(given["target"])
        if target is None and "target" in given:
            sentence = "There is no object called {name!r} in this scene; name another target."
            raise Refusal(sentence, name=given["target"])
        own, again = target == scene.cteg.target, self.mode in _AGAIN
        performer = cast.refresh(scene) if own else cast.found(scene, target)
        at = scene.frame_current
        here = [line for line in performer.lines if line.start <= at <= line.end]
        line = cast.active_line(scene) if own else next(iter(here), None)
        text = given.get("text", _again(self.mode, scene.cteg.line(), line))
        text = line.text if again and line is not None else text
        if reason := _problem(scene, performer, line, self.mode, text):
            raise Refusal("{reason}", reason=reason)
        owners = owners_of(performer.rig)
        if owners and (reason := why_not_writable(owners[0], owners)):  # better known now than after a minute
            raise Refusal("{reason}", reason=reason)
        if not again:
            line = _saying(text, performer, line) if self.mode == "RESAMPLE" else None
        if "start_frame" in given or scene.cteg.start == "FRAME":
            start = values["start_frame"]
        else:
            start = at if scene.frame_start <= at <= scene.frame_end else scene.frame_start
        start = start if line is None else round(line.start)
        if reason := in_the_way(performer.rig, start, start):
            raise Refusal("{reason}", reason=reason)
        asked = self._asked(scene, {**values, "text": text}, line)
        if not again:
            asked["begin"] = _face_before(scene, performer, start, preferred.checkpoint)
        from ..worker.protocol import last_seed  # here, because enabling the extension does not need it

        if not 0.0 <= values["reduction"] <= 100.0:
            raise Refusal("Reduction must be from 0 to 100 percent, not {value:g}.", value=values["reduction"])
        take = line.take if again and line is not None else None
        self._order = _Order(
            scene.session_uid, target.session_uid, target.name, text, start, "" if line is None else line.id, take,
            asked["branch"]["frame"] if take and asked["branch"] else None,
            Style(values["interpolation"], values["reduction"]), values["blend"], last_seed(asked),
        )  # fmt: skip
        measuring.begin(scene, performer.rig, unverified(performer.rig))
        title = next(translated(title) for mode, title, _ in MODES if mode == self.mode)
        return preferred.python, preferred.asked("generate", lines=[asked]), title

    def _asked(self, scene: Scene, values: dict[str, Any], line: Line | None) -> dict[str, Any]:
        """The protocol's LINE. `Told` for a number or a timeline that cannot be sent."""
        given, more = self.properties.is_property_set, {"branch": None, "vary": None, "begin": None}
        take = line.take if line is not None and self.mode in _AGAIN else None
        if take is None:
            values["timeline"] = _timeline(values["timeline"])
        else:
            values["spread"] = values["spread"] and self.mode == "BRANCH"
            values |= {name: value for name, value in asked_for(take).items() if not given(name)}
            more["begin"] = take.settings.get("begin")
            origin = {name: take.settings.get(name) for name in ("branch", "vary")}
            of = {"seed": take.seed, **({"of": origin} if any(origin.values()) else {})}
            if self.mode == "BRANCH":
                more["branch"] = {**of, "frame": line.clip_frame(scene.frame_current)}
            elif not math.isfinite(self.amount):  # JSON has no word for it
                raise Refusal("Amount must be a number, not {value:g}.", value=self.amount)
            else:
                more["vary"] = {**of, "amount": round(self.amount, 6)}
        if line is not None and not given("seed"):
            values["seed"] = max(max(take.seed, take.last_seed) for take in line.takes) + 1
        values["spread"] = values["spread"] and values["takes"] > 1  # one take differs from nothing
        return request(values) | more | named_before(scene, values["text"], take)

    def complete(self, context: Context, job: Job) -> None:
        order = self._order
        scene, target = _find(bpy.data.scenes, order.scene), _find(bpy.data.objects, order.target)
        if scene is None:
            raise Refusal("The scene was removed while its performance was generated; nothing was changed.")
        if target is None or not cast.is_in(scene, target):
            sentence = "{name} was removed while its performance was generated; nothing was changed."
            raise Refusal(sentence, name=order.name)
        if not job.takes:
            raise Refusal("The generator sent no takes; generate again, or check it in the CTEG preferences.")
        rig = detect_rig(target)
        ask = ranges.wanted() == "ASK" and ranges.answer(rig) is None
        ask = ask and not bpy.app.background and context.window is not None
        old, until = order.line_in(lines_of(rig)), None
        if order.branch is not None and old is not None and old.take is not None and old.take.key == order.take.key:
            until = old.scene_frame(order.branch)
        before = ranges.sliders(rig)
        unmeasured = _measured(scene, rig)
        clips, mapping = brought_to(rig, job.takes)
        if rig.kind in ("FLAME", "BONES"):  # it may only have been fitted now
            measuring.measure(scene, rig, mapping)
        lines = Lines(scene, rig, mapping)
        line = lines.add(
            clips, order.start, order.style, text=order.text, line="" if old is None else old.id,
            last_seed=order.last_seed, widen=False if ask else None, blend=order.blend, edits_until=until,
            gaze=gaze_of(scene, rig, clips[0], order.start),
        )  # fmt: skip
        own = scene.cteg.target == target
        if own:
            cast.choose_line(scene, line.id)
        performer = cast.character(scene) if own else cast.found(scene, target)
        said, warned = list(lines.said), [*performer.notes, *job.warnings, *_differences(order.take, job.takes[0])]
        warned += [*unmeasured, *doubts(rig, mapping), *_not_keyed(lacking(rig, mapping, clips[:1]))]
        for name in nobody_in(scene, clips[0]):
            warned.append(told("The line looks at {name}, and nobody in this scene is called so.", name=name))
        if still := keys_without_shape(performer.rig, performer.mapping):
            warned.append(told("These shape keys move nothing, they are like the Basis: {names}", names=names(still)))
        if order.line and old is None:
            said.append(told("The line was removed meanwhile; the new takes are a line of their own."))
        if widened := [name for name, range_ in ranges.sliders(rig).items() if before.get(name) != range_]:
            said.append(told("Widened the sliders of {names} for these takes", names=names(widened)))
        asking = ask and own and context.scene == scene
        if performer.tight and not asking:
            warned.append(told("The range of these sliders cuts the takes off: {names}", names=names(performer.tight)))
        for level, sentences in (("INFO", [one for one in said if one not in warned]), ("WARNING", warned)):
            for sentence in dict.fromkeys(sentences):
                self.report({level}, sentence)
        self.report({"INFO"}, _summary(target, job.takes))
        if performer.tight and asking:
            with contextlib.suppress(RuntimeError):  # its poll says why sliders cannot be widened
                bpy.ops.cteg.widen_sliders("INVOKE_DEFAULT")


def _measured(scene: Scene, rig: Rig) -> list[str]:
    """Measure what is left of a character. Where that fails names decide, and a sentence says so. MappingError."""
    mapping = unverified(rig)
    try:
        measuring.measure(scene, rig, mapping)
    except Exception as error:  # whatever a character is like, the takes that were waited for are not lost
        sentence = (
            "Nobody could look at what the channels of {name} do ({why}), so the takes go by their names alone. Check "
            "them on the face."
        )
        return [told(sentence, name=rig.object.name, why=error)]
    return []


def _face_before(scene: Scene, performer: Character, start: float, checkpoint: str | None) -> list[float] | None:
    """The face that a line goes on from, as it is shown: of the last line that does not come to rest and ended less
    than a second ago, or ends within its *Blend* frames.

    Only faces that the same checkpoint made; None for the standard face.
    """
    second = scene.render.fps / scene.render.fps_base
    before = [line for line in performer.lines if line.lasts and -line.blend <= start - line.end <= second]
    last = max(before, key=lambda line: line.end, default=None)
    if last is None or last.take is None:
        return None
    made = last.take.settings.get("checkpoint")
    clip = clip_of(performer.rig, last) if made == (Path(checkpoint).name if checkpoint else "default") else None
    if clip is None:
        return None
    shown = face_of(clip, clip.fps, replace(last, stretch=1.0, speech=0.0, gaze=()))
    return [round(float(value), 4) for value in shown.values[-1]]


def _not_keyed(channels: list[str]) -> list[str]:
    """What of a take nothing shows."""
    if not channels:
        return []
    count, shown = len(channels), names(channels)
    sentence = (
        "{count} channel of the take moves nothing here: {names}. Give it a target in the Mapping panel."
        if count == 1
        else "{count} channels of the take move nothing here: {names}. Give them targets in the Mapping panel."
    )
    return [told(sentence, count=count, names=shown)]


def asked_for(take: Take) -> dict[str, Any]:
    """What a take was asked for, by the names of the request; what is not stored was not known when it was made."""
    known = {s.key: take.settings.get(s.key, s.options.get("default", 0)) for s in SETTINGS if s.asked}
    known |= {"emotion": str(take.settings.get("emotion_requested", take.emotion)), "timeline": take.timeline}
    return {name: value for name, value in known.items() if name not in ("text", "takes", "spread", "seed")}


def _timeline(source: Any) -> Timeline | None:
    """The times to perform with, from a file or from a text. FileError when they are damaged."""
    if isinstance(source, str):
        return read_timeline(Path(bpy.path.abspath(source)))[1]
    return None if source is None else timeline_in(source.as_string(), source.name)


def _find(collection: Any, uid: int) -> Any:
    return next((item for item in collection if item.session_uid == uid), None)


def _differences(take: Take | None, new: Clip) -> list[str]:
    """Why new takes do not resemble the one that they were made from."""
    if take is None:
        return []
    sentences = []
    before, now = str(take.settings.get("checkpoint", "")), str(new.settings.get("checkpoint", ""))
    if before and before != now:
        sentence = "The checkpoint is {now} now and was {before}: the new takes do not resemble the shown one"
        sentences.append(told(sentence, now=now, before=before))
    elif "ending" not in take.settings:
        sentences.append(told("An earlier CTEG made the shown take, so the new takes do not resemble it"))
    return sentences


def _summary(target: Object, takes: Sequence[Clip]) -> str:
    first, seeds = takes[0], [take.seed for take in takes]
    in_a_row = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    return told(
        "{name}: “{text}” ({emotion}, {seconds:.1f} s), takes: {count}, seeds: {seeds}", name=target.name,
        text=shorten(first.text, 40), emotion=label(first.emotion), seconds=first.frames / first.fps, count=len(seeds),
        seeds=f"{seeds[0]}–{seeds[-1]}" if in_a_row else ", ".join(map(str, seeds)),
    )  # fmt: skip
