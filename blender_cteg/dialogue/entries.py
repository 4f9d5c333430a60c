# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored with a scene: the lines of its dialogue, who its speakers are, and how it is performed.

``Scene.cteg_dialogue`` has all of it. A line here is an *entry*: what the script says. What became of it
on a character, its takes and its keys, is a line of that character (docs/lines.md), which the entry knows by its id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import PropertyGroup

from ..cast import is_in
from ..emotions import AUTO, EMOTIONS
from ..ui.layouts import emotion_icon
from . import board

#: Seconds between a line and the one before it, unless something else is said.
PAUSE: Final = 0.3
_MOODS: Final = [
    (AUTO.name, "From the Last Line", "What was felt in the character's last line is still felt", "NONE", 0),
    *((e.name, e.label, e.description, emotion_icon(e.name), number) for number, e in enumerate(EMOTIONS, 1)),
]
_RULES: Final = (
    ("AFTER", "After Line", "Begin when another line is over, the one before it by default"),
    ("FRAME", "At Frame", "Begin at a frame"),
    ("MARKER", "At Marker", "Begin at a marker of the scene, and move with it"),
    ("SOUND", "With Sound", "Begin with a strip of the Sequencer"),
)


def _may_act(_part: Any, candidate: bpy.types.Object) -> bool:
    return candidate.type in {"MESH", "ARMATURE", "EMPTY"} and is_in(bpy.context.scene, candidate)


def _changed(self: Any, _context: bpy.types.Context) -> None:
    board.stale(self.id_data)


def _renamed(self: Any, _context: bpy.types.Context) -> None:
    if self.speaker:  # under Cast, where somebody can be chosen
        ensure_part(self.id_data, self.speaker)
    board.stale(self.id_data)


def _chosen(self: Any, _context: bpy.types.Context) -> None:
    board.chose(self.id_data)


def _moved(self: Any, _context: bpy.types.Context) -> None:
    board.moved(self.id_data)


class CTEG_Entry(PropertyGroup):
    """A line of the dialogue. ``name`` is its id."""

    speaker: StringProperty(name="Speaker", description="Who says it, as the script has it", update=_renamed)
    text: StringProperty(
        name="Text", description="What is said, with directions: (angrily) Get out.", update=_changed,
        options={"ANIMATABLE", "TEXTEDIT_UPDATE"},
    )  # fmt: skip
    rule: EnumProperty(name="Start", description="When the line begins", items=_RULES, update=_moved)
    frame: IntProperty(name="Frame", description="The first frame of the line", default=1, update=_moved)
    after: StringProperty(name="After", description="Id of the line that it follows. Empty: the one before it")
    pause: FloatProperty(
        name="Pause", description="Seconds between the end of the other line and the start of this one. Below 0 it "
        "begins before the other is over", default=PAUSE, soft_min=-2.0, soft_max=3.0, step=10, precision=2,
        subtype="TIME_ABSOLUTE", update=_moved,
    )  # fmt: skip
    marker: StringProperty(name="Marker", description="The marker at which the line begins", update=_moved)
    sound: StringProperty(name="Sound", description="The strip of the Sequencer that it begins with", update=_moved)
    seconds: FloatProperty(
        name="Length", description="Length of the line in seconds. 0: as long as it takes to say", min=0.0,
        soft_max=20.0, step=10, precision=2, subtype="TIME_ABSOLUTE", update=_changed,
    )  # fmt: skip
    chosen: BoolProperty(name="Selected", description="Generate Selected performs this line", options={"SKIP_SAVE"})
    number: IntProperty(description="Its line in the script it was read from, 0 for none")
    #: What became of it.
    line: StringProperty(description="Id of the character's line that performs it")
    actor: PointerProperty(type=bpy.types.Object, description="The character that has that line")
    placed: IntProperty(description="The first frame of that line when it was put there")
    said: StringProperty(description="What that line was asked to say")
    problem: StringProperty(description="Why it could not be performed, a sentence")
    by_hand: BoolProperty(description="Where that line looks was directed by hand, and stays so")


class CTEG_Silence(PropertyGroup):
    """A performed silence of a character. ``name`` is the id of its line there."""

    asked: StringProperty(description="Tells what was asked for")
    by_hand: BoolProperty(description="Where its line looks was directed by hand, and stays so")


class CTEG_Part(PropertyGroup):
    """Who plays a speaker. ``name`` is the speaker's name as the script has it."""

    character: PointerProperty(
        name="Character", description="The character of this scene that says this speaker's lines",
        type=bpy.types.Object, poll=_may_act, update=_changed,
    )  # fmt: skip
    actor: PointerProperty(type=bpy.types.Object, description="The character that has the silences below")
    mood: EnumProperty(name="Mood", description="What the character feels while others speak", items=_MOODS)
    intensity: FloatProperty(
        name="Intensity", description="How strongly this character plays: 0 is calm, 1 natural, 1.5 extreme",
        default=1.0, min=0.0, max=1.5, step=5,
    )  # fmt: skip
    energy: FloatProperty(
        name="Energy", description="Tempo and size of this character's movement: 0.4 is tired, 1.6 agitated",
        default=1.0, min=0.4, max=1.6, step=5,
    )  # fmt: skip
    looks_at: PointerProperty(
        name="Looks At", description="What this character always looks at. Empty: at who speaks, and at who is spoken "
        "to", type=bpy.types.Object,
    )  # fmt: skip
    silences: CollectionProperty(type=CTEG_Silence)


class CTEG_Dialogue(PropertyGroup):
    """The dialogue of a scene."""

    entries: CollectionProperty(type=CTEG_Entry)
    entry: IntProperty(name="Line", description="The line that is shown below", update=_chosen)
    parts: CollectionProperty(type=CTEG_Part)
    part: IntProperty(name="Character", description="The speaker that is shown below")
    takes: IntProperty(name="Takes", description="How many takes of each line are performed", default=1, min=1, max=16)
    listening: BoolProperty(
        name="Listen", description="Who does not speak listens and reacts, from one own line to the next", default=True
    )
    looking: BoolProperty(
        name="Look", description="Who listens looks at who speaks, and who speaks at who is spoken to", default=True
    )
    extend: BoolProperty(
        name="Extend Scene", description="Let the scene last until the last line is over", default=True
    )


#: In the order in which they are registered, and the property that has them.
CLASSES: Final = (CTEG_Entry, CTEG_Silence, CTEG_Part, CTEG_Dialogue)
OWNERS: Final = ((bpy.types.Scene, "cteg_dialogue", CTEG_Dialogue),)


def dialogue_of(scene: bpy.types.Scene) -> Any:
    """What is stored of a scene's dialogue, a `CTEG_Dialogue`."""
    return scene.cteg_dialogue


def add_entry(scene: bpy.types.Scene, speaker: str, text: str, **fields: Any) -> Any:
    """A new entry at the end of the list; its speaker gets a part where it has none."""
    dialogue = dialogue_of(scene)
    entry = dialogue.entries.add()
    entry.name = uuid4().hex[:8]
    for name, value in {"speaker": speaker, "text": text, **fields}.items():
        setattr(entry, name, value)
    ensure_part(scene, speaker)
    return entry


def ensure_part(scene: bpy.types.Scene, speaker: str) -> Any:
    """The part of a speaker, a new one where there is none."""
    parts = dialogue_of(scene).parts
    part = parts.get(speaker)
    if part is None:
        part = parts.add()
        part.name = speaker
    return part


def forget_unused_parts(scene: bpy.types.Scene) -> None:
    """Parts that no entry has, and no performed silence, go."""
    dialogue = dialogue_of(scene)
    used = {entry.speaker for entry in dialogue.entries}
    for place in reversed(range(len(dialogue.parts))):
        part = dialogue.parts[place]
        if part.name not in used and not len(part.silences):
            dialogue.parts.remove(place)


def looks_by_hand(scene: bpy.types.Scene, line: str, by_hand: bool) -> bool:
    """Where a line of a character looks was directed by hand: nothing that happens in the dialogue changes it.

    Returns:
        Whether it was before.
    """
    dialogue, was = dialogue_of(scene), False
    silences = (silence for part in dialogue.parts for silence in part.silences if silence.name == line)
    for one in (*(entry for entry in dialogue.entries if entry.line == line), *silences):
        was, one.by_hand = one.by_hand, by_hand
    return was


def active_entry(scene: bpy.types.Scene) -> Any:
    """The entry that is chosen in the list, or None."""
    dialogue = dialogue_of(scene)
    return dialogue.entries[dialogue.entry] if 0 <= dialogue.entry < len(dialogue.entries) else None


def chosen_entries(scene: bpy.types.Scene) -> Iterator[Any]:
    """The entries that are selected; the active one where none is."""
    entries = [entry for entry in dialogue_of(scene).entries if entry.chosen]
    active = active_entry(scene)
    yield from entries or ([active] if active is not None else [])
