# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the character, the takes of the one that is chosen, and how it is played."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import bpy
from bpy.types import Context, UILayout

from .. import cast
from ..emotions import label
from ..operators import perform
from ..operators.lines import PLAYED_ALONE
from ..performance.record import REGIONS, Line, Region
from ..pictures import gallery, ghost
from ..sentences import told, translated
from .layouts import emotion_icon, list_flags, number_share, sentence
from .panels import Sidebar, perform_button, properties
from .presets import CTEG_PT_mixes

#: Icons of takes that are no favourites, and of those that are.
_STAR: Final = ("SOLO_OFF", "SOLO_ON")
#: Of sizes that do not change over time, of those that do, and of one that is kept at the playhead.
_DIAMOND: Final = ("KEYFRAME", "DECORATE_ANIMATE", "KEYFRAME_HLT")


class CTEG_PT_lines(Sidebar, bpy.types.Panel):
    bl_label = "Lines"
    bl_parent_id = "CTEG_PT_performance"

    def draw(self, context: Context) -> None:
        layout, character = self.layout, cast.character(context.scene)
        if character.refusal:
            sentence(layout.box(), context, character.refusal, icon="ERROR")
        if character.in_strips:
            layout.operator("cteg.bring_back", icon="NLA")
        if not character.lines:
            layout.label(text="Lines of the target appear here", icon="INFO")
            return
        interface = context.window_manager.cteg
        row = layout.row()
        row.template_list(
            "CTEG_UL_lines", "", interface, "places", interface, "line", item_dyntip_propname="line_tip", rows=4
        )
        side = row.column(align=True)
        for name, icon in (("delete_line", "REMOVE"), ("go_to_line", "TRIA_RIGHT"), ("rewrite_lines", "FILE_REFRESH")):
            side.operator(f"cteg.{name}", text="", icon=icon)
        for note in character.notes:
            sentence(layout, context, note, icon="HIDE_ON")
        if character.tight:
            layout.operator("cteg.widen_sliders", icon="ARROW_LEFTRIGHT")
        end, last = max(line.end for line in character.lines), context.scene.frame_end
        if end > last:
            text = told("The last line ends at frame {end:.0f}, the scene at {last}.", end=end, last=last)
            sentence(layout, context, text, icon="INFO")
            layout.operator("cteg.extend_scene", icon="NEXT_KEYFRAME")


class CTEG_PT_line(Sidebar, bpy.types.Panel):
    bl_label = "Line"
    bl_parent_id = "CTEG_PT_performance"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return cast.active_line(context.scene) is not None

    def draw(self, context: Context) -> None:
        layout, line = self.layout, cast.active_line(context.scene)
        if line is None:
            return
        fields = context.scene.cteg_fields
        if line.takes:
            row = layout.row()
            row.template_list(
                "CTEG_UL_takes", "", context.window_manager.cteg, "places", fields, "take",
                item_dyntip_propname="take_tip", rows=3,
            )  # fmt: skip
            side = row.column(align=True)
            for name, icon in (("delete_take", "REMOVE"), ("delete_other_takes", "TRASH")):
                side.operator(f"cteg.{name}", text="", icon=icon)
            _draw_compared(layout, context, line)
            if line.take is not None:
                properties(layout).prop(fields, "take_name")
        if line.edited:
            _draw_edit(layout, context, line)
        column = layout.column(align=True)
        row = column.row(align=True)
        for text, amount in (("More Like This", perform.A_LITTLE), ("Something Else", perform.ANEW)):
            perform_button(row, context, "VARY", text, amount=amount)
        perform_button(column, context, "BRANCH", "Re-sample from Here", "SNAP_PEEL_OBJECT")
        column = properties(layout)
        times = column.column(align=True)
        times.prop(fields, "start")
        times.prop(fields, "end")
        for name in ("intensity", "exaggeration", "smoothing", "speech"):
            column.prop(fields, name, slider=True)
        if line.theirs:
            sentence(layout, context, told("Left to others: {names}", names=_theirs(line)), icon="ACTION")


class CTEG_PT_mixing(Sidebar, bpy.types.Panel):
    bl_label = "Regions and Keys"
    bl_parent_id = "CTEG_PT_line"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, _context: Context) -> None:
        CTEG_PT_mixes.draw_panel_header(self.layout)

    def draw(self, context: Context) -> None:
        layout, line, fields = self.layout, cast.active_line(context.scene), context.scene.cteg_fields
        if line is None:
            return
        buttons = layout.grid_flow(columns=2, even_columns=True, align=True)
        for preset, text, _ in PLAYED_ALONE:
            only = buttons.operator("cteg.play_only", text=text)
            only.preset, only.line = preset, line.id
        at = line.share(context.scene.frame_current)
        column = layout.column(align=True)
        flame = cast.character(context.scene).rig.kind == "FLAME"  # whose keys each move all of the face
        for name in REGIONS if flame else REGIONS[:-1]:
            region = line.regions.get(name, Region())
            field, muted = name.replace(" ", "_"), region.mute
            row = column.row(align=True)
            row.prop(fields, f"{field}_mute", text="", icon="HIDE_ON" if muted else "HIDE_OFF", emboss=False)
            parts = row.split(factor=0.6, align=True)
            parts.enabled = not muted
            size = parts.row(align=True)
            size.prop(fields, f"{field}_scale", text=name.capitalize(), slider=True)
            kept = size.operator("cteg.size_at_playhead", text="", icon=_DIAMOND[_kept_at(region, at)])
            kept.region, kept.line = field.upper(), line.id
            parts.prop(fields, f"{field}_mode", text="")
        column = properties(layout)
        for name in ("blend", "interpolation", "reduction"):
            column.prop(fields, name)
        layout.operator("cteg.send_to_strip", icon="NLA_PUSHDOWN")


class CTEG_UL_lines(bpy.types.UIList):
    """The lines of the target, in the order of their starts. The collection has the places alone."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, _item: object, _icon: int, _active: object,
        _property: str, index: int, _flag: int,
    ) -> None:  # fmt: skip
        lines = cast.character(context.scene).lines
        if index >= len(lines):
            return
        line = lines[index]
        row = layout.split(factor=number_share(lines[-1].start))
        number = row.row()
        number.alignment = "RIGHT"
        number.label(text=f"{line.start:.0f}")
        row = row.row(align=True)
        row.active = line.shown >= 0
        row.label(text=words_of(line), icon=emotion_icon(line.take.emotion if line.take else ""))
        for there, icon in ((line.edited, "GREASEPENCIL"), (line.theirs, "ACTION"), (line.shown < 0, "HIDE_ON")):
            if there:
                row.label(text="", icon=icon)

    def filter_items(self, context: Context, data: Any, _property: str) -> tuple[list[int], list[int]]:
        lines = cast.character(context.scene).lines
        return list_flags(self, data, [f"{line.text} {line.take.emotion if line.take else ''}" for line in lines]), []


class CTEG_UL_takes(bpy.types.UIList):
    """The takes of the active line, oldest first."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, _item: object, _icon: int, _active: object,
        _property: str, index: int, _flag: int,
    ) -> None:  # fmt: skip
        line = cast.active_line(context.scene)
        if line is None or index >= len(line.takes):
            return
        take = line.takes[index]
        # What was made from another take says so: its words are the same.
        text = take.name or " · ".join(p for p in (take.origin and f"↳ {take.origin}", label(take.emotion)) if p)
        column = layout.column(align=True)
        row = column.row(align=True)
        liked = row.operator("cteg.favourite_take", text="", icon=_STAR[take.favourite], emboss=False)
        liked.take, liked.line = index, line.id
        # Takes are said alike, so mostly as long as each other; where they are, a narrow sidebar has no room for that.
        alike = len({round(one.seconds, 1) for one in line.takes}) == 1
        parts = row.split(factor=0.6 if alike else 0.5)
        parts.label(text=text, icon=emotion_icon(take.emotion))
        more = parts.row(align=True)
        more.alignment = "RIGHT"
        edited = take.edit or (index == line.shown and (line.edited or line.layer))
        number = f"{take.seed}" if alike else f"{take.seconds:.1f} s  {take.seed}"
        more.label(text=number, icon="GREASEPENCIL" if edited else "NONE")
        if index != line.shown and line.take is not None:
            compare = more.operator("cteg.compare_take", text="", icon="MOD_MIRROR", emboss=False)
            compare.take, compare.line = index, line.id
        strip = gallery.strip(context.scene, line, take)
        if strip is not None:
            _draw_icons(column, strip.icons[0], 2.4)

    def filter_items(self, context: Context, data: Any, _property: str) -> tuple[list[int], list[int]]:
        line = cast.active_line(context.scene)
        takes = () if line is None else line.takes
        return list_flags(self, data, [f"{take.emotion} {take.seed} {take.origin}" for take in takes]), []


def _kept_at(region: Region, share: float) -> int:
    """How a size at the playhead is kept: 0 there is none, 1 at other times, 2 there."""
    return 2 if any(abs(at - share) <= 1e-3 for at, _ in region.course) else int(bool(region.course))


def _draw_icons(layout: UILayout, icons: Sequence[int], scale: float) -> None:
    row = layout.row(align=True)
    for icon in icons:
        row.template_icon(icon_value=icon, scale=scale)


def _draw_compared(layout: UILayout, context: Context, line: Line) -> None:
    """The shown take above another one, at the same moments."""
    other = ghost.other_take(line)
    if other is None or line.take is None:
        return
    layout.row(align=True).prop(context.window_manager.cteg, "ghost", expand=True)
    strip = gallery.strip(context.scene, line, line.take, other)
    if strip is None:
        layout.label(text=told("Comparing {one} with {other}…", one=line.take.seed, other=other.seed))
        return
    box = layout.box()
    for take, icons in zip((line.take, other), strip.icons, strict=True):
        column = box.column(align=True)
        column.label(text=f"{take.name or label(take.emotion)}  {take.seed}", icon=emotion_icon(take.emotion))
        _draw_icons(column, icons, 3.2)
    row = box.row(align=True)
    for frame in strip.frames:
        at = line.scene_frame(frame)
        row.operator("cteg.go_to_line", text=str(at)).after = at - round(line.start)


def words_of(line: Line) -> str:
    """What is said, without its directions where it is known what those are; in a silence somebody else speaks."""
    if not line.takes:
        return told("A line that cannot be read")
    take = line.take
    if take is None or not take.segments or take.settings.get("speaking") is False:
        return line.text
    return " ".join(segment.text for segment in take.segments)


def _theirs(line: Line) -> str:
    """What is left to others, by what decides there: a lip sync has keys on twenty shape keys."""
    by_why: dict[str, list[str]] = {}
    for name, _, why in (translated(one).rpartition(" (") for one in line.theirs):
        by_why.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)} ({why}" for why, names in by_why.items())


def _draw_edit(layout: UILayout, context: Context, line: Line) -> None:
    box = layout.box()
    question = told("Keys of this line were changed by hand. What becomes of that?")
    sentence(box, context, question, icon="GREASEPENCIL")
    if line.layer:
        sentence(box, context, told("An earlier change is kept over all takes."), icon="BLANK1")
    column = box.column(align=True)
    for how, text in (("OVER_ALL", "Keep over All Takes"), ("OWN_TAKE", "Keep as a Take"), ("DISCARD", "Discard")):
        column.operator("cteg.keep_edit", text=text).how = how
