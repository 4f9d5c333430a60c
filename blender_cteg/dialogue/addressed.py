# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a line is for: "(turns to Anna)", "(looks at Bob)" and "(to Anna)" are looks at who has that name here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import bpy

from ..character.detection.detect import detect_rig
from ..character.rig import Rig
from ..clip import Clip
from ..performance.gaze import Glance
from ..performance.layers import frames_at
from ..segments import Segment
from . import board
from .casting import matching, words_of
from .entries import dialogue_of
from .looking import Attention, Sight, glances

#: What stands before the name of somebody who is looked at, and what of it says the opposite.
_BEFORE: Final = (
    r"(?:\b(?:to|at|towards?|face|facing|watch(?:es|ing)?|eyes|eyeing|studies|studying)|\blook(?:s|ing)?)\s+"
)
_NOT: Final = re.compile(r"\b(?:not|never|without|away|avoid\w*|refus\w*|no longer)\b|n['’]t\b", re.IGNORECASE)
#: A name that somebody turns to; what is done to somebody's hand is not.
_NAMED: Final = re.compile(
    r"\b(?:look|turn|glanc|star|gaz|smil|nod|wink|fac|wav|watch)\w*(?: \w+ly)? (?:back |up |over |round )?"
    r"(?:to |at |towards? )?(?:face )?([A-ZÀ-Þ][\w-]+)(?![\w’'-])"
)
#: What moves the eyes by itself, to a place of its own.
_OWN_WAY: Final = frozenset(("glance", "look_around", "roll_eyes"))


def looked_at(written: str, names: Collection[str]) -> str:
    """Who of some names is looked at, or spoken to, in a direction; "" for nobody. Of several the last."""
    if _NOT.search(written):
        return ""
    alike = {words_of(name): name for name in names if words_of(name)}
    longest = sorted(alike, key=lambda words: -len(words))
    either = "|".join(r"[\W_]+".join(map(re.escape, words)) for words in longest)
    found = re.findall(rf"{_BEFORE}({either})(?![\w’'-])", written, re.IGNORECASE) if either else []
    return alike.get(words_of(found[-1]), "") if found else ""


def nobody(segments: Sequence[Segment], names: Collection[str]) -> Iterator[str]:
    """Whom a performed line is to look at, as written, and who is none of ``names``."""
    for segment in segments:
        for stage in segment.stage:
            if not _NOT.search(stage.written) and not looked_at(stage.written, names):
                yield from _NAMED.findall(stage.written)


def looks_in(segments: Sequence[Segment], names: Collection[str]) -> Iterator[tuple[int, str]]:
    """When a performed line turns to whom: frames of its clip, and names."""
    for segment in segments:
        for stage in segment.stage:
            if stage.name not in _OWN_WAY and (name := looked_at(stage.written, names)):
                yield stage.start, name


def nobody_in(scene: bpy.types.Scene, clip: Clip) -> list[str]:
    """Whom a line by itself is to look at, and who is not in the scene."""
    return list(dict.fromkeys(nobody(clip.segments, _names_in(scene))))


def _names_in(scene: bpy.types.Scene) -> list[str]:
    names = [part.name for part in dialogue_of(scene).parts]
    names += [obj.name for obj in scene.objects if obj.type in {"MESH", "ARMATURE", "EMPTY"}]
    return names + [word for name in names for word in words_of(name)]


def gaze_of(scene: bpy.types.Scene, rig: Rig, clip: Clip, start: float) -> tuple[Glance, ...] | None:
    """Where a line by itself looks that begins at a frame; None where it names nobody of the scene."""
    if not any(segment.stage for segment in clip.segments):
        return None
    names = _names_in(scene)
    fps, attention = scene.render.fps / scene.render.fps_base, []
    for frame, name in looks_in(clip.segments, names):
        plays = board.player(scene, dialogue_of(scene).parts.get(name))
        there = matching(scene, name) if plays is None else [plays]
        rigs = [found for found in map(detect_rig, there) if found.object != rig.object]
        if len(rigs) == 1:
            attention.append(Attention(start + frame * fps / clip.fps, rigs[0]))
    if not attention:
        return None
    end = start + frames_at(clip.duration, fps, 1.0) - 1
    return glances(Sight(scene), rig, attention, start, end, fps, goes_on=False, is_gone_on=False)
