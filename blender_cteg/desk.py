# SPDX-License-Identifier: GPL-3.0-or-later
"""The takes of a face: finding, showing, writing them all or none.

What is shown is read from the face itself, never remembered, so it stays true through undo, renaming, and animators
who assign actions by hand.
"""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import bpy

from .character.choose import brought_to
from .character.detection.detect import detect_rig
from .character.mapping import MappingError
from .character.rig import shorten
from .performance import keyframes, ranges
from .performance.clip import Clip, ClipError
from .performance.segments import Segment, SegmentError
from .shared import Timeline, TimelineError
from .worker.protocol import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpy.types import Action, Object, Scene

    from .worker.protocol import Performed


class DeskError(Exception):
    """Takes could not be written, shown or removed, and nothing was changed; the message is a sentence."""


def target_problem(scene: Scene, target: Object | None) -> str:
    """Why ``target`` cannot perform in ``scene``, as a sentence that says what to do; "" when it can."""
    if target is None:
        return "Choose the face that should perform, or add the demo head."
    # A deleted object lives on for as long as a setting points at it.
    if scene.objects.get(target.name) != target:
        return f"{target.name} is not in this scene; choose another target."
    return detect_rig(target).problem or ""


def takes_of(target: Object | None) -> list[Action]:
    """The takes of a face, oldest first."""
    return [] if target is None else keyframes.takes_of(detect_rig(target))


def shown_take(target: Object | None) -> Action | None:
    """The take that the face shows now, or None."""
    return None if target is None else keyframes.shown_take(detect_rig(target))


def shown_made(target: Object | None) -> dict[str, Any] | None:
    """What the take that the face shows was made from, or None."""
    shown = shown_take(target)
    return None if shown is None else keyframes.provenance(shown)


def segments_of(made: dict[str, Any]) -> tuple[Segment, ...]:
    """How the line of a take was understood; empty where that is not known."""
    try:
        return tuple(map(Segment.from_json, made["segments"]))
    except SegmentError:
        return ()


def timeline_of(made: dict[str, Any]) -> Timeline | None:
    """When the mouth says what in a take; None where that is not known.

    Raises:
        DeskError: what was stored is damaged.
    """
    stored = made.get("timeline")
    try:
        return None if stored is None else Timeline.from_json(stored)
    except TimelineError as error:
        raise DeskError(f"The stored speech of the shown take is damaged. {error} Generate the line again.") from None


def asked_for(made: dict[str, Any]) -> Line:
    """The line that a take was performed from, one take of the same seed that says it with the same timing.

    Raises:
        DeskError: the stored speech is damaged.
    """
    settings, timeline = made["settings"], timeline_of(made)
    known = {name: settings[name] for name in _ASKED if settings.get(name) is not None}
    return Line(
        text=made["text"],
        emotion=str(settings.get("emotion_requested", made["emotion"])),
        seed=made["seed"],
        seconds=settings.get("seconds"),
        timeline=None if timeline is None else timeline.to_json(),
        **known,
    )


def descent_of(made: dict[str, Any]) -> dict[str, Any]:
    """``{"of": ...}`` for a take that was made from another one, as the protocol has it; {} for a take of its own."""
    origin = {name: made["settings"].get(name) for name in ("branch", "vary")}
    return {"of": origin} if any(origin.values()) else {}


#: Settings that a take stores under the name they are asked for.
_ASKED = (
    "intensity", "temperature", "emotion_to", "rate", "emotion_with", "share", "energy", "speaking", "timing",
    "vary_timing", "language", "layered",
)  # fmt: skip


def scene_frame(scene: Scene, made: dict[str, Any], frame: int) -> int:
    """The frame of the scene that shows a frame of a take's clip."""
    return int(made["start_frame"]) + round(frame * _rate(scene) / made["fps"])


def clip_frame(scene: Scene, made: dict[str, Any]) -> int:
    """The frame of a take's clip at the playhead; below 0 or beyond the clip's frames when it is outside the take."""
    return round((scene.frame_current - made["start_frame"]) * made["fps"] / _rate(scene))


def end_of_shown(target: Object | None) -> int | None:
    """The scene frame where the shown take ends, or None."""
    shown = shown_take(target)
    return None if shown is None else math.ceil(shown.frame_range[1])


def _rate(scene: Scene) -> float:
    return float(scene.render.fps / scene.render.fps_base)


def shown_index(scene: Scene) -> int:
    """The place of the shown take of the scene's target in `bpy.data.actions`, -1 when there is none."""
    shown = shown_take(scene.cteg.target)
    return -1 if shown is None else bpy.data.actions.find(shown.name)


def show_index(scene: Scene, index: int) -> None:
    """Show the take at a place in `bpy.data.actions`; anything else there is left alone."""
    target = scene.cteg.target
    if 0 <= index < len(bpy.data.actions) and (action := bpy.data.actions[index]) in takes_of(target):
        keyframes.show_take(detect_rig(target), action)


def next_seed(target: Object, text: str) -> int | None:
    """The seed after the last one drawn from for this line on this face; None when it has no take of the line."""
    seeds = [max(int(made["seed"]), int(made["last_seed"])) for made in _made_of(target, text)]
    return max(seeds) + 1 if seeds else None


def start_of(target: Object, text: str) -> int | None:
    """The scene frame where this line's newest take begins on this face; None when it has no take of the line."""
    made = _made_of(target, text)
    return int(made[-1]["start_frame"]) if made else None


def _made_of(target: Object, text: str) -> list[dict[str, Any]]:
    """What the takes of this line on this face were made from, oldest first."""
    provenances = map(keyframes.provenance, takes_of(target))
    return [made for made in provenances if made is not None and _same(str(made["text"]), text)]


def write(
    scene: Scene,
    target: Object,
    performed: Sequence[Performed],
    start_frame: int,
    style: keyframes.Style,
    last_seed: int | None = None,
    *,
    widen: bool = True,
) -> list[Action]:
    """Write takes, one action each, and show the first. On a problem nothing stays changed.

    Args:
        scene, target: where they go.
        performed: what the generator sent, takes of one line.
        start_frame: the scene frame of their first row.
        style: how their curves are keyed.
        last_seed: the last seed they were drawn from, None for their own.
        widen: whether sliders may be widened that would cut the takes off.

    Raises:
        DeskError: with a sentence.
    """
    if problem := target_problem(scene, target):
        raise DeskError(problem)
    rig = detect_rig(target)
    try:
        clips = [
            Clip(
                take.values, take.channels, take.fps, take.space, take.text, take.seed, take.emotion, take.settings,
                take.segments, last_seed, take.timeline, take.speech_scale,
            )
            for take in performed
        ]  # fmt: skip
        clips, mapping = brought_to(rig, clips)
        actions = keyframes.write_takes(
            rig, mapping, clips, start_frame=start_frame, scene=scene, style=style, widen=widen
        )
    except (ClipError, MappingError, keyframes.TakeError) as error:
        raise DeskError(str(error)) from error
    for action, clip in zip(actions, clips, strict=True):
        action.name = clip.title
    return actions


def sliders_may_widen(target: Object, mode: str, interactive: bool) -> bool:
    """Whether `write` may widen sliders now: by the preference, the answer remembered with the face, or unasked.

    Args:
        target: the face.
        mode: the preference, ASK, ALWAYS or NEVER.
        interactive: whether there is somebody to ask.
    """
    if mode != "ASK":
        return mode == "ALWAYS"
    remembered = ranges.answer(detect_rig(target))
    return not interactive if remembered is None else remembered


def answered(target: Object) -> bool:
    """Whether the animator was asked about the sliders of this face."""
    return ranges.answer(detect_rig(target)) is not None


def cut_off(target: Object, actions: Sequence[Action]) -> list[str]:
    """Names of the shape keys whose sliders cut these takes off."""
    rig = detect_rig(target)
    return ranges.tight_keys(rig, ranges.extremes_of(actions, rig))


def slider_ranges(target: Object) -> dict[str, tuple[float, float]]:
    """The range of every slider that takes of this face move, FLAME's expressions left out; by mesh and key."""
    return ranges.sliders(detect_rig(target))


def what_stays(target: Object) -> list[str]:
    """Sentences about what of the face no take moves, and why."""
    rig = detect_rig(target)
    empty = keyframes.keys_without_shape(rig)
    more = [f"These shape keys move nothing, they are like the Basis: {shorten(empty)}."] if empty else []
    return [*keyframes.what_stays(rig), *more]


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same line."""
    # The generator tidies a line before it is performed, and takes remember the tidied one.
    return _tidy(one) == _tidy(other)


@lru_cache(maxsize=64)
def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
