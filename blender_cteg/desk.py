# SPDX-License-Identifier: GPL-3.0-or-later
"""The takes of a face: finding, showing, writing them all or none.

What is shown is read from the face itself, never remembered, so it stays true through undo, renaming, and animators
who assign actions by hand.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import bpy

from .animation import keyframes
from .clip import Clip, ClipError
from .rigs.choose import mapping_for
from .rigs.detect import detect_rig
from .rigs.mapping import MappingError

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
    """The seed after the last one used for this line on this face; None when it has no take of the line."""
    seeds = [int(made["seed"]) for made in _made_of(target, text)]
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
    scene: Scene, target: Object, performed: Sequence[Performed], start_frame: int, interpolation: str
) -> list[Action]:
    """Write takes, one action each, and show the first. On a problem nothing stays changed.

    Raises:
        DeskError: with a sentence.
    """
    if problem := target_problem(scene, target):
        raise DeskError(problem)
    rig = detect_rig(target)
    try:
        clips = [
            Clip(take.values, take.channels, take.fps, take.space, take.text, take.seed, take.emotion, take.settings)
            for take in performed
        ]
        return keyframes.write_takes(
            rig, mapping_for(rig, clips[0]), clips, start_frame=start_frame, scene=scene, interpolation=interpolation
        )
    except (ClipError, MappingError, keyframes.TakeError) as error:
        raise DeskError(str(error)) from error


def _same(one: str, other: str) -> bool:
    # The generator tidies a line before it is performed, and takes remember the tidied one.
    return _tidy(one) == _tidy(other)


def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
