# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mapping editor's rows and fields show and change: views of the mapping stored on the mesh.

Nothing of the mapping is stored here. Getters read it from the face, setters write it there at once, so that what is
shown stays true through undo, another target and scripts. The collections only hold names and numbers of rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    StringProperty,
)

from ..character import mapping_edits as edits
from ..character import mapping_rows as state
from ..character.detection.detect import detect_rig
from ..character.face import Face, face_of, mapping_of, store
from ..character.mapping import Control, Mapping, MappingError
from ..character.mapping_edits import Target
from ..performance import preview
from ..performance.clip import ClipError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpy.types import Context, Scene

#: Targets of one channel that can be edited one by one; a fit has more.
SLOTS: Final = 6
PROPERTY_ITEMS: Final = (
    ("ROTATION", "Rotation", "The bone turns about one of its own axes", "CON_ROTLIKE", 0),
    ("LOCATION", "Location", "The bone moves along one of its own axes", "CON_LOCLIKE", 1),
)
AXIS_ITEMS: Final = (
    ("X", "X", "The bone's own X axis", 0),
    ("Y", "Y", "The bone's own Y axis, from its head to its tail", 1),
    ("Z", "Z", "The bone's own Z axis", 2),
)
_PROPERTIES: Final = tuple(item[0] for item in PROPERTY_ITEMS)
_AXES: Final = tuple(item[0] for item in AXIS_ITEMS)


def face_and_mapping(scene: Scene) -> tuple[Face, Mapping] | None:
    """The face of the scene's target and its mapping; None without one, or where it cannot be read."""
    face = face_of(scene.cteg.target)
    if face is None:
        return None
    try:
        mapping = mapping_of(face)
    except MappingError:
        return None
    return None if mapping is None else (face, mapping)


def change(scene: Scene, edit: Callable[[Mapping], Mapping]) -> None:
    """Change the mapping of the scene's target, if it may be changed, and the preview with it.

    Setters cannot say why not; the panel does, and draws what cannot be changed disabled.
    """
    found = face_and_mapping(scene)
    if found is None:
        return
    face, mapping = found
    changed = edit(mapping)
    try:
        changed = Mapping.from_json(changed.to_json())  # a value that could not be read again is not written
        store(face, changed)
    except MappingError:
        return
    show_preview(scene)


# ---------------------------------------------------------------------------------------------- the list


def _adjustment(row: CTEG_MappingRow) -> Any:
    found = face_and_mapping(row.id_data)
    return state.adjustment_of(found[1], row.name) if found else state.NO_ADJUSTMENT


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda row: getattr(_adjustment(row), name)


def _setter(name: str) -> Callable[[Any, Any], None]:
    def write(row: CTEG_MappingRow, value: Any) -> None:
        change(row.id_data, lambda mapping: edits.adjusted(mapping, row.name, **{name: value}))

    return write


class CTEG_MappingRow(bpy.types.PropertyGroup):
    """A channel; its name is the channel's."""

    gain: FloatProperty(
        name="Gain",
        description="The channel's values are multiplied by this before they move anything",
        soft_min=-2.0,
        soft_max=2.0,
        step=5,
        default=1.0,
        get=_getter("gain"),
        set=_setter("gain"),
    )
    offset: FloatProperty(
        name="Offset",
        description="This is added to the channel's values, in their own unit, after the gain",
        soft_min=-1.0,
        soft_max=1.0,
        step=1,
        get=_getter("offset"),
        set=_setter("offset"),
    )
    mute: BoolProperty(
        name="Mute",
        description="Leave this channel out of takes: what only it drives gets no keys, and stays the animator's",
        get=_getter("mute"),
        set=_setter("mute"),
    )


# ---------------------------------------------------------------------------------------------- one target


def target_of(slot: CTEG_MappingSlot) -> Target | None:
    """The target of the active channel that a slot shows, or None."""
    found = face_and_mapping(slot.id_data)
    channel = slot.id_data.cteg.mapping.channel
    targets = edits.targets_of(found[1], channel) if found and channel else ()
    return targets[slot.place] if slot.place < len(targets) else None


def _write(slot: CTEG_MappingSlot, edit: Callable[[Mapping, str, Target], Mapping]) -> None:
    target, channel = target_of(slot), slot.id_data.cteg.mapping.channel
    if target is not None:
        change(slot.id_data, lambda mapping: edit(mapping, channel, target))


def _get_name(slot: CTEG_MappingSlot) -> str:
    target = target_of(slot)
    return "" if target is None else target.name


def _set_name(slot: CTEG_MappingSlot, name: str) -> None:
    # The cross in a search field empties it, which is how a target is let go.
    if name:
        _write(slot, lambda mapping, channel, target: edits.moved(mapping, channel, target, name))
    else:
        _write(slot, edits.without_target)


def _get_weight(slot: CTEG_MappingSlot) -> float:
    target = target_of(slot)
    return target.value if target is not None and isinstance(target.value, float) else 0.0


def _set_weight(slot: CTEG_MappingSlot, weight: float) -> None:
    def write(mapping: Mapping, channel: str, target: Target) -> Mapping:
        return edits.with_target(mapping, channel, replace(target, value=weight)) if target.kind == "KEY" else mapping

    _write(slot, write)


def _get_turn(slot: CTEG_MappingSlot) -> tuple[float, ...]:
    target = target_of(slot)
    return target.value if target is not None and isinstance(target.value, tuple) else (0.0, 0.0, 0.0)


def _set_turn(slot: CTEG_MappingSlot, turn: tuple[float, float, float]) -> None:
    def write(mapping: Mapping, channel: str, target: Target) -> Mapping:
        vector = (float(turn[0]), float(turn[1]), float(turn[2]))
        return edits.with_target(mapping, channel, replace(target, value=vector)) if target.kind == "ROLE" else mapping

    _write(slot, write)


def _control(slot: CTEG_MappingSlot) -> Control:
    target = target_of(slot)
    return target.value if target is not None and isinstance(target.value, Control) else Control()


def _set_control(slot: CTEG_MappingSlot, **changes: Any) -> None:
    def write(mapping: Mapping, channel: str, target: Target) -> Mapping:
        if not isinstance(target.value, Control):
            return mapping
        return edits.with_target(mapping, channel, replace(target, value=replace(target.value, **changes)))

    _write(slot, write)


def _set_property(slot: CTEG_MappingSlot, index: int) -> None:
    if _PROPERTIES[index] != _control(slot).property:
        # Radians are no metres: a third of a turn is a lot, a third of a metre much more.
        amount = edits.FIRST_MOVE.amount if _PROPERTIES[index] == "ROTATION" else 0.01
        _set_control(slot, property=_PROPERTIES[index], amount=amount)


# Named functions: Blender evaluates these definitions where a lambda would not find this module's names.


def _get_property(slot: CTEG_MappingSlot) -> int:
    return _PROPERTIES.index(_control(slot).property)


def _get_axis(slot: CTEG_MappingSlot) -> int:
    return _AXES.index(_control(slot).axis)


def _set_axis(slot: CTEG_MappingSlot, index: int) -> None:
    _set_control(slot, axis=_AXES[index])


def _get_amount(slot: CTEG_MappingSlot) -> float:
    return _control(slot).amount


def _set_amount(slot: CTEG_MappingSlot, amount: float) -> None:
    _set_control(slot, amount=amount)


class CTEG_MappingSlot(bpy.types.PropertyGroup):
    """One target of the active channel, by its place."""

    place: IntProperty()
    target: StringProperty(
        name="Target",
        description="The shape key or bone that the channel moves",
        get=_get_name,
        set=_set_name,
    )
    weight: FloatProperty(
        name="Weight",
        description="The value of the shape key per unit of the channel",
        soft_min=-1.0,
        soft_max=1.0,
        step=5,
        get=_get_weight,
        set=_set_weight,
    )
    turn: FloatVectorProperty(
        name="Turn",
        description="How far the bone turns per unit of the channel, in the face's axes: about x it looks down or "
        "opens, about y it turns to the character's left, about z it tilts to the character's right",
        subtype="EULER",
        unit="ROTATION",
        get=_get_turn,
        set=_set_turn,
    )
    property: EnumProperty(
        name="Property",
        description="What of the bone the channel moves",
        items=PROPERTY_ITEMS,
        get=_get_property,
        set=_set_property,
    )
    axis: EnumProperty(
        name="Axis",
        description="Which of the bone's own axes it moves about or along",
        items=AXIS_ITEMS,
        get=_get_axis,
        set=_set_axis,
    )
    angle: FloatProperty(
        name="Angle",
        description="How far the bone turns per unit of the channel",
        unit="ROTATION",
        step=100,
        get=_get_amount,
        set=_set_amount,
    )
    distance: FloatProperty(
        name="Distance",
        description="How far the bone moves per unit of the channel",
        unit="LENGTH",
        step=1,
        precision=4,
        get=_get_amount,
        set=_set_amount,
    )


# ---------------------------------------------------------------------------------------------- the preview

#: Which channel of which scene's target is shown how strongly, -1..1; meaningless once the pose has been taken back.
_shown: dict[str, float] = {}


def _get_strength(_settings: CTEG_MappingPreview) -> float:
    editor = bpy.context.scene.cteg.mapping
    face = face_of(bpy.context.scene.cteg.target)
    if face is None or preview.PREVIEW_PROPERTY not in face.mesh.shape_keys:
        return 0.0
    return _shown.get(editor.channel, 0.0)


def _set_strength(_settings: CTEG_MappingPreview, strength: float) -> None:
    scene = bpy.context.scene
    _shown.clear()
    if strength and scene.cteg.mapping.channel:
        _shown[scene.cteg.mapping.channel] = strength
        show_preview(scene, begin=True)
    else:
        preview.end_preview()


def show_preview(scene: Scene, begin: bool = False) -> None:
    """Show the pose of the active channel as strongly as the slider says, if a preview is shown or begins."""
    found, channel = face_and_mapping(scene), scene.cteg.mapping.channel
    if found is None or channel not in _shown:
        return
    rig = detect_rig(found[0].object)
    if rig.problem is not None or not (begin or preview.is_posed(rig)):
        return
    try:
        preview.show_pose(rig, found[1], channel, _shown[channel] * state.swing(channel)[0])
    except (MappingError, ClipError):
        preview.end_preview()


class CTEG_MappingPreview(bpy.types.PropertyGroup):
    """The preview slider. It belongs to the window manager: a pose that is not kept needs no undo step."""

    strength: FloatProperty(
        name="Preview",
        description="Show on the face what the channel does. Nothing gets keys; 0, another channel, another frame or "
        "saving takes it back",
        min=0.0,
        max=1.0,
        options={"SKIP_SAVE"},
        get=_get_strength,
        set=_set_strength,
    )
    both_ways: FloatProperty(
        name="Preview",
        description="Show on the face what the channel does, to both sides of zero. Nothing gets keys; 0, another "
        "channel, another frame or saving takes it back",
        min=-1.0,
        max=1.0,
        options={"SKIP_SAVE"},
        get=_get_strength,
        set=_set_strength,
    )


# ---------------------------------------------------------------------------------------------- the editor


def _choose(_editor: CTEG_MappingEditor, _context: Context) -> None:
    _shown.clear()
    preview.end_preview()


class CTEG_MappingEditor(bpy.types.PropertyGroup):
    """The rows of the list and the fields below it, in ``scene.cteg.mapping``."""

    rows: CollectionProperty(type=CTEG_MappingRow)
    slots: CollectionProperty(type=CTEG_MappingSlot)
    active: IntProperty(name="Channel", description="The channel shown below the list", update=_choose)

    @property
    def channel(self) -> str:
        """The name of the active channel, "" without one."""
        return self.rows[self.active].name if 0 <= self.active < len(self.rows) else ""

    def choose(self, channel: str) -> None:
        """Make a channel the active one."""
        self.active = self.rows.find(channel)


def fill(scene: Scene) -> None:
    """Make sure that there is a row for every channel; their order and which are shown is the list's business."""
    editor = scene.cteg.mapping
    found = face_and_mapping(scene)
    own = state.channels_of(found[1]) if found else ()
    for channel in (*state.KNOWN_CHANNELS, *own):
        if channel not in editor.rows:
            editor.rows.add().name = channel
    for place in range(len(editor.slots), SLOTS):
        editor.slots.add().place = place
    if found and editor.channel not in own:
        editor.choose(own[0] if own else "")


def retarget(settings: Any, _context: Context) -> None:
    """Another target was chosen: its rows are shown, and a preview of the one before ends."""
    _shown.clear()
    preview.end_preview()
    fill(settings.id_data)
