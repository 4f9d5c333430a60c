# SPDX-License-Identifier: GPL-3.0-or-later
"""Casting: which character of a scene plays a speaker of a script, told by their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final

import bpy

from ..character.detection.detect import detect_rig
from ..performance.record import Take
from ..sentences import shorten, told
from ..shared import speaker_of
from . import board
from .entries import dialogue_of

#: Characters of a name before a line, at most.
_LONGEST_NAME: Final = 40


def cast_parts(scene: bpy.types.Scene) -> list[str]:
    """Give every part without a character the one of its name, where there is exactly one.

    Returns:
        A sentence for each part that stays without.
    """
    said = []
    for part in dialogue_of(scene).parts:
        if board.player(scene, part) is None:
            found = matching(scene, part.name)
            part.character = found[0] if len(found) == 1 else None
            if len(found) > 1:
                names = ", ".join(obj.name for obj in found)
                sentence = "Several characters could be {speaker}: {names}. Choose one under Cast."
                said.append(told(sentence, speaker=part.name, names=shorten(names)))
            elif not found:
                sentence = "No character of this scene is called {speaker}; choose one under Cast, or add a head."
                said.append(told(sentence, speaker=part.name))
    return said


def matching(scene: bpy.types.Scene, speaker: str) -> list[bpy.types.Object]:
    """The characters of a scene that are called like a speaker: by the whole name, else by a word of it.

    One character is found once, whichever of its objects has the name.
    """
    candidates = [obj for obj in scene.objects if obj.type in {"MESH", "ARMATURE", "EMPTY"}]
    wanted = words_of(speaker)
    if not wanted:
        return []
    for fits in (lambda words: words == wanted, lambda words: _is_within(wanted, words)):
        found = _characters(obj for obj in candidates if fits(words_of(obj.name)))
        if found:
            return found
    return []


def named_before(scene: bpy.types.Scene, text: str, take: Take | None = None) -> dict[str, list[str]]:
    """What the generator is told of a name that typed words begin with: fields of a LINE (docs/protocol.md).

    "Anna: Hello" names who says it where there is an Anna; "Coffee: Black, please." is all said. A take that was
    performed one way or the other is performed so again (``take``).
    """
    name = speaker_of(text)[0]
    if not name and ":" in text:  # somebody who goes on in small letters: "Anna: hello"
        before = text.partition(":")[0].strip()
        name = before if len(before) <= _LONGEST_NAME and _is_here(scene, before) else ""
    if not name:
        return {}
    if take is not None and take.segments:
        named = not take.segments[0].text.casefold().startswith(f"{name.casefold()}:")
    else:
        named = _is_here(scene, name)
    return {"names": [name] if named else []}


def _is_here(scene: bpy.types.Scene, name: str) -> bool:
    return dialogue_of(scene).parts.get(name) is not None or bool(matching(scene, name))


def _characters(objects: Iterable[bpy.types.Object]) -> list[bpy.types.Object]:
    """The faces of these objects' characters; what is none is left out."""
    found: dict[Any, bpy.types.Object] = {}
    for obj in objects:
        rig = detect_rig(obj)
        if rig.problem is None and rig.object is not None:
            found.setdefault(rig.object, obj)
    return list(found.values())


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name as they are compared: ``Mira_Head.001`` is mira, head."""
    plain = unicodedata.normalize("NFKD", re.sub(r"\.\d{3}$", "", name)).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(re.findall(r"[^\W_]+", plain))


def _is_within(wanted: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return any(words[k : k + len(wanted)] == wanted for k in range(len(words)))
