# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of the panels: views of the active line and of the mapping, and what is chosen in lists.

Nothing is stored in the file. ``Scene.cteg_fields`` reads from the character and writes to its lines or its mapping at
once; it belongs to the scene so that Blender makes one undo step of a dragged slider. ``WindowManager.cteg`` is what
needs no undo: what is chosen in a list, the preview.
"""

# Annotations are evaluated here, where functions made on the spot find the names of this module.
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import PropertyGroup, Scene

from .. import cast
from ..character import mapping_edits as edits
from ..character.mapping import AXES, Adjustment, Control, MappingError
from ..character.mapping_edits import Target
from ..character.mapping_rows import swing
from ..clip import ClipError
from ..emotions import label
from ..performance import preview
from ..performance.lines import Lines
from ..performance.record import REGIONS, Line, Region, changes_of, value_in
from ..performance.store import mix_of, mix_text
from ..pictures import ghost
from ..sentences import told
from ..settings import LINE_SETTINGS, REGION_SETTINGS, Setting
from ..storage import StoredError

#: Targets of one channel that can be edited one by one; a fit has more.
SLOTS: Final = 6
_PROPERTIES: Final = ("ROTATION", "LOCATION")
_GHOSTS: Final = tuple(item[0] for item in ghost.MODES)

Options = dict[str, Any]


def _accessors(get: Callable[[Any], Any], put: Callable[[Any, Any], None]) -> Options:
    return {"get": get, "set": put, "options": set()}


# ------------------------------------------------------------------------------------------------ the active line


def _edit_line(fields: PropertyGroup, edit: Callable[[Lines, Line], object]) -> None:
    """Change the active line, where there is one."""
    line = cast.active_line(fields.id_data)
    if line is not None:
        cast.edit_lines(fields.id_data, lambda lines: edit(lines, line))


def _of_line(setting: Setting) -> Any:
    """A setting as a field of the active line."""

    def get(fields: PropertyGroup) -> Any:
        line = cast.active_line(fields.id_data)
        return setting.options.get("default", 0.0) if line is None else value_in(line, setting.name)

    def put(fields: PropertyGroup, value: Any) -> None:
        _edit_line(fields, lambda lines, line: lines.change(line.id, **changes_of(line, {setting.name: value})))

    return setting.as_view(get, put)


def _get_take(fields: PropertyGroup) -> int:
    line = cast.active_line(fields.id_data)
    return -1 if line is None else line.shown


def _show(fields: PropertyGroup, take: int) -> None:
    line = cast.active_line(fields.id_data)
    if line is not None and take != line.shown:
        cast.edit_lines(fields.id_data, lambda lines: lines.show(line.id, take))


def _get_mix(fields: PropertyGroup) -> str:
    line = cast.active_line(fields.id_data)
    return "" if line is None else mix_text(line)


def _set_mix(fields: PropertyGroup, text: str) -> None:
    try:
        mix = mix_of(text)
    except StoredError as error:
        cast.show_lines(fields.id_data, told("This preset cannot be used ({why}).", why=error))
    else:
        _edit_line(fields, lambda lines, line: lines.change(line.id, **mix))


def _get_take_name(fields: PropertyGroup) -> str:
    line = cast.active_line(fields.id_data)
    return line.take.name if line is not None and line.take is not None else ""


def _set_take_name(fields: PropertyGroup, name: str) -> None:
    line = cast.active_line(fields.id_data)
    if line is not None and line.take is not None:
        cast.edit_lines(fields.id_data, lambda lines: lines.mark(line.id, line.shown, name=name.strip()[:60]))


def _of_region(name: str, setting: Setting) -> Any:
    """A setting as a field of what becomes of a region of the face in the active line."""

    def get(fields: PropertyGroup) -> Any:
        line = cast.active_line(fields.id_data)
        region = Region() if line is None else line.regions.get(name, Region())
        if setting.name == "scale" and line is not None:
            return float(region.size(line.share(fields.id_data.frame_current)))
        return getattr(region, setting.name)

    def put(fields: PropertyGroup, value: Any) -> None:
        def edit(lines: Lines, line: Line) -> None:
            region = line.regions.get(name, Region())
            if setting.name == "scale":
                region = region.sized(line.share(fields.id_data.frame_current), value)
            else:
                region = replace(region, **{setting.name: value})
            lines.change(line.id, regions={**line.regions, name: region})

        _edit_line(fields, edit)

    return setting.as_view(get, put)


# ------------------------------------------------------------------------------------------------ the active channel


def active_channel(character: cast.Character) -> str:
    """The channel chosen in the list, else the first; "" where there are none."""
    chosen = bpy.context.window_manager.cteg.channel_name
    names = [row.channel for row in character.rows]
    return chosen if chosen in names else (names or [""])[0]


def _edit(scene: Scene, edit: Callable[[Any, str], Any]) -> None:
    """Change the mapping at the active channel, and the preview with it."""
    channel = active_channel(cast.character(scene))
    if channel:
        cast.edit_mapping(scene, lambda mapping: edit(mapping, channel))
        show_preview(scene)


def _of_channel(name: str, default: Any) -> Options:
    """Getter and setter of an adjustment of the active channel."""

    def get(fields: PropertyGroup) -> Any:
        now = cast.character(fields.id_data)
        channels = {} if now.mapping is None else now.mapping.channels
        return getattr(channels.get(active_channel(now), Adjustment()), name)

    def put(fields: PropertyGroup, value: Any) -> None:
        _edit(fields.id_data, lambda mapping, channel: edits.adjusted(mapping, channel, **{name: value}))

    return {**_accessors(get, put), "default": default}


def _target(slot: PropertyGroup) -> Target | None:
    """The target of the active channel that a slot shows, by its place; or None."""
    now, fields = cast.character(slot.id_data), slot.id_data.cteg_fields
    # Not by its path, for which Blender looks through everything that the scene has, all lines of a dialogue too.
    place = next(place for place in range(SLOTS) if getattr(fields, f"slot{place}") == slot)
    targets = () if now.mapping is None else edits.targets_of(now.mapping, active_channel(now))
    return targets[place] if place < len(targets) else None


def _of_target(
    kind: type, default: Any, write: Callable[[Any, Any], Any], read: Callable[[Any], Any] = lambda value: value
) -> Options:
    """Getter and setter of the value of a target, where that is of a kind: a weight, a turn or a control."""

    def get(slot: PropertyGroup) -> Any:
        target = _target(slot)
        return read(target.value) if target is not None and isinstance(target.value, kind) else default

    def put(slot: PropertyGroup, value: Any) -> None:
        target = _target(slot)
        if target is not None and isinstance(target.value, kind):
            changed = replace(target, value=write(target.value, value))
            _edit(slot.id_data, lambda mapping, channel: edits.with_target(mapping, channel, changed))

    return _accessors(get, put)


def _get_name(slot: PropertyGroup) -> str:
    target = _target(slot)
    return "" if target is None else target.name


def _set_name(slot: PropertyGroup, name: str) -> None:
    target = _target(slot)
    if target is None:
        return
    # The cross in a search field empties it, which is how a target is let go.
    if name:
        _edit(slot.id_data, lambda mapping, channel: edits.moved(mapping, channel, target, name))
    else:
        _edit(slot.id_data, lambda mapping, channel: edits.without_target(mapping, channel, target))


def _with_property(control: Control, index: int) -> Control:
    if _PROPERTIES[index] == control.property:
        return control
    # Radians are no metres: a third of a turn is a lot, a third of a metre much more.
    amount = edits.FIRST_MOVE.amount if _PROPERTIES[index] == "ROTATION" else 0.01
    return replace(control, property=_PROPERTIES[index], amount=amount)


_AMOUNT: Final = _of_target(Control, 0.0, lambda control, amount: replace(control, amount=amount), lambda c: c.amount)


class CTEG_Slot(PropertyGroup):
    """One target of the active channel, by its place."""

    target: StringProperty(
        name="Target", description="The shape key or bone that the channel moves", **_accessors(_get_name, _set_name)
    )
    weight: FloatProperty(
        name="Weight", description="The value of the shape key per unit of the channel", soft_min=-1.0, soft_max=1.0,
        step=5, **_of_target(float, 0.0, lambda _, weight: weight),
    )  # fmt: skip
    turn: FloatVectorProperty(
        name="Turn",
        description="How far the bone turns per unit of the channel, in the face's axes: about x it looks down or "
        "opens, about y it turns to the character's left, about z it tilts to the character's right",
        subtype="EULER", unit="ROTATION",
        **_of_target(tuple, (0.0, 0.0, 0.0), lambda _, turn: tuple(map(float, turn))),
    )  # fmt: skip
    property: EnumProperty(
        name="Property", description="What of the bone the channel moves",
        items=(
            ("ROTATION", "Rotation", "The bone turns about one of its own axes", "CON_ROTLIKE", 0),
            ("LOCATION", "Location", "The bone moves along one of its own axes", "CON_LOCLIKE", 1),
        ),
        **_of_target(Control, 0, _with_property, lambda control: _PROPERTIES.index(control.property)),
    )  # fmt: skip
    axis: EnumProperty(
        name="Axis", description="Which of the bone's own axes it moves about or along",
        items=(
            ("X", "X", "The bone's own X axis"),
            ("Y", "Y", "The bone's own Y axis, from its head to its tail"),
            ("Z", "Z", "The bone's own Z axis"),
        ),
        **_of_target(Control, 0, lambda control, i: replace(control, axis=AXES[i]), lambda c: AXES.index(c.axis)),
    )  # fmt: skip
    angle: FloatProperty(
        name="Angle", description="How far the bone turns per unit of the channel", unit="ROTATION", step=100, **_AMOUNT
    )
    distance: FloatProperty(
        name="Distance", description="How far the bone moves per unit of the channel", unit="LENGTH", step=1,
        precision=4, **_AMOUNT,
    )  # fmt: skip


class _Repeated:
    """Mixin: the settings of lines, those of each region, and the same fields for each target of a channel."""

    __annotations__ = {
        **{setting.name: _of_line(setting) for setting in LINE_SETTINGS},
        **{f"{r.replace(' ', '_')}_{of.name}": _of_region(r, of) for r in REGIONS for of in REGION_SETTINGS},
        **{f"slot{place}": PointerProperty(type=CTEG_Slot) for place in range(SLOTS)},
    }


class CTEG_Fields(_Repeated, PropertyGroup):
    """The fields of the panels, in ``Scene.cteg_fields``. Lines first, then the mapping."""

    take: IntProperty(
        name="Take", description="The take of this line that the character performs. Click one to show it",
        **_accessors(_get_take, _show),
    )  # fmt: skip
    take_name: StringProperty(
        name="Name", description="What you call the shown take", **_accessors(_get_take_name, _set_take_name)
    )
    mix: StringProperty(
        name="Mix", description="How the line is laid over what is there, as text, for presets",
        **_accessors(_get_mix, _set_mix),
    )  # fmt: skip
    gain: FloatProperty(
        name="Gain", description="The channel's values are multiplied by this before they move anything",
        soft_min=-2.0, soft_max=2.0, step=5, **_of_channel("gain", 1.0),
    )  # fmt: skip
    offset: FloatProperty(
        name="Offset", description="This is added to the channel's values, in their own unit, after the gain",
        soft_min=-1.0, soft_max=1.0, step=1, **_of_channel("offset", 0.0),
    )  # fmt: skip
    mute: BoolProperty(
        name="Mute",
        description="Leave this channel out of takes: what only it drives gets no keys, and stays the animator's",
        **_of_channel("mute", False),
    )


# ------------------------------------------------------------------------------------------------ lists, the preview

#: Which channel is shown how strongly, -1..1; meaningless once the pose has been taken back.
_shown: dict[str, float] = {}


def _get_strength(_interface: PropertyGroup) -> float:
    now = cast.character(bpy.context.scene)
    return _shown.get(active_channel(now), 0.0) if preview.is_posed(now.rig) else 0.0


def _set_strength(_interface: PropertyGroup, strength: float) -> None:
    scene = bpy.context.scene
    _shown.clear()
    if strength:
        _shown[active_channel(cast.character(scene))] = strength
        show_preview(scene)
    else:
        preview.end_preview()


def show_preview(scene: Scene) -> None:
    """Show the pose of the active channel as strongly as the slider says, where it says so."""
    now = cast.character(scene)
    channel = active_channel(now)
    if now.mapping is None or now.problem or channel not in _shown:
        return
    try:
        preview.show_pose(now.rig, now.mapping, channel, _shown[channel] * swing(channel)[0])
    except (MappingError, ClipError):
        preview.end_preview()


def _get_line(_interface: PropertyGroup) -> int:
    now = cast.character(bpy.context.scene)
    return -1 if now.line is None else now.lines.index(now.line)


def _set_line(_interface: PropertyGroup, index: int) -> None:
    for line in cast.character(bpy.context.scene).lines[index : index + 1]:
        cast.choose_line(bpy.context.scene, line.id)


def _get_channel(_interface: PropertyGroup) -> int:
    now = cast.character(bpy.context.scene)
    return next((place for place, row in enumerate(now.rows) if row.channel == active_channel(now)), -1)


def _set_channel(interface: PropertyGroup, index: int) -> None:
    _shown.clear()
    preview.end_preview()
    for row in cast.character(bpy.context.scene).rows[index : index + 1]:
        interface.channel_name = row.channel


_PREVIEW: Final = {
    "name": "Preview", "max": 1.0,
    "description": "Show on the face what the channel does. Nothing gets keys; 0, another channel, another frame or "
    "saving takes it back",
    **_accessors(_get_strength, _set_strength),
}  # fmt: skip


def _index(place: PropertyGroup) -> int:
    return int(place.path_from_id().rpartition("[")[2].rstrip("]"))


def _line_tip(place: PropertyGroup) -> str:
    for line in cast.character(bpy.context.scene).lines[_index(place) :]:
        return told("{text}\nFrames {start:.0f} to {end:.0f}", text=line.text, start=line.start, end=line.end)
    return ""


def _take_tip(place: PropertyGroup) -> str:
    line = cast.active_line(bpy.context.scene)
    for take in () if line is None else line.takes[_index(place) :]:
        played = " · ".join(filter(None, (take.name, take.origin, label(take.emotion))))
        sentence = "{played}, {seconds:.1f} s\nSeed {seed}. Click to let the character perform it"
        return told(sentence, played=played, seconds=take.seconds, seed=take.seed)
    return ""


def _channel_tip(place: PropertyGroup) -> str:
    for row in cast.character(bpy.context.scene).rows[_index(place) :]:
        targets = row.label or told("nothing")
        sentence = (
            "{channel} does not move anything yet; accept {targets}?" if row.suggested else "{channel} moves {targets}"
        )
        return told(sentence, channel=row.channel, targets=targets)
    return ""


class CTEG_Place(PropertyGroup):
    """A place in a list; what is there, the character knows."""

    line_tip: StringProperty(get=_line_tip)
    take_tip: StringProperty(get=_take_tip)
    channel_tip: StringProperty(get=_channel_tip)


class CTEG_Interface(PropertyGroup):
    """What is chosen in lists, and the preview, in ``WindowManager.cteg``."""

    places: CollectionProperty(type=CTEG_Place)
    line: IntProperty(name="Line", description="The line shown below the list", **_accessors(_get_line, _set_line))
    channel: IntProperty(
        name="Channel", description="The channel shown below the list", **_accessors(_get_channel, _set_channel)
    )
    channel_name: StringProperty()
    compared: StringProperty(**_accessors(lambda _: ghost.compared(), lambda _, name: ghost.compare(name)))
    ghost: EnumProperty(
        name="Ghost", description="How the compared take is shown in the viewport", items=ghost.MODES,
        **_accessors(lambda _: _GHOSTS.index(ghost.mode()), lambda _, index: ghost.show(_GHOSTS[index])),
    )  # fmt: skip
    strength: FloatProperty(min=0.0, **_PREVIEW)
    both_ways: FloatProperty(min=-1.0, **_PREVIEW)


#: Where each group is kept.
OWNERS: Final = ((Scene, "cteg_fields", CTEG_Fields), (bpy.types.WindowManager, "cteg", CTEG_Interface))
CLASSES: Final = (CTEG_Slot, CTEG_Fields, CTEG_Place, CTEG_Interface)
