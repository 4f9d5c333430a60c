# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody meets who has never seen the extension: one thing to do next, words that are found, a guide."""

from __future__ import annotations

from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import urlparse
from urllib.request import url2pathname

import bpy
import pytest

from benchmarks import redraw
from blender_cteg import preferences, registration
from blender_cteg.operators import perform
from blender_cteg.segments import Segment
from blender_cteg.ui import fields, layouts, panels
from blender_cteg.worker import session
from blender_cteg.worker.protocol import Done
from tests.blender import scenes

pytestmark = pytest.mark.usefixtures("stage")


def description() -> str:
    """The tooltip of Generate."""
    return str(perform.CTEG_OT_perform.description(bpy.context, SimpleNamespace(mode="NEW")))


def test_an_empty_panel_says_the_one_thing_to_do_next(scene: bpy.types.Scene) -> None:
    first = "Choose the face that should perform, or add the demo head."
    drawn = " ".join(redraw.redraw([panels.CTEG_PT_performance]))
    assert first in drawn and "[cteg.add_head]" in drawn
    assert description().endswith(first)
    scene.cteg.target = scenes.arkit_face()
    then = "Type the line that the character says."
    drawn = " ".join(redraw.redraw([panels.CTEG_PT_performance]))
    assert then in drawn and first not in drawn and description().endswith(then)
    scene.cteg.text = "Hello."
    drawn = " ".join(redraw.redraw([panels.CTEG_PT_performance]))
    assert then not in drawn and then not in description()


def test_the_engine_in_use_is_named(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Built-in engine" in redraw.redraw([panels.CTEG_PT_performance])
    for done, words in (
        (Done(1, "torch", "cuda", 0.1), "PyTorch on CUDA"),
        (Done(1, "numpy", "cpu"), "Built-in engine"),
    ):
        monkeypatch.setattr(session, "performed", done)
        assert words in redraw.redraw([panels.CTEG_PT_performance])
    monkeypatch.setattr(session, "inside", lambda: "Blender may not start a program here.")
    assert "Built-in engine, inside Blender" in redraw.redraw([panels.CTEG_PT_performance])


@pytest.mark.parametrize(
    ("engine", "shown"), [("BUILTIN", set()), ("TORCH", {"python", "device", "[Create…]", "[Create… (grey)]"})]
)
def test_preferences_show_what_the_engine_needs(engine: str, shown: set[str]) -> None:
    drawn: list[str] = []
    chosen = SimpleNamespace(
        engine=engine, python="", device="torch", checkpoint="", widen="ASK", layout=redraw.Layout(drawn)
    )
    preferences.CTEG_Preferences.draw(chosen, bpy.context)
    names = {text.partition(" = ")[0] for text in drawn}
    assert names & {"python", "device", "[Create…]", "[Create… (grey)]"} <= shown
    assert bool(names & shown) == bool(shown)
    assert {"engine", "checkpoint", "widen", "[Check]", "[Guide]"} <= names


def test_the_built_in_engine_ignores_what_belongs_to_the_other() -> None:
    chosen = SimpleNamespace(engine="BUILTIN", python="/a/python", device="cuda", checkpoint="", widen="ASK")
    context = SimpleNamespace(preferences=SimpleNamespace(addons={"blender_cteg": SimpleNamespace(preferences=chosen)}))
    assert preferences.choices(context)[:2] == ("", "auto")
    chosen.engine = "TORCH"
    assert preferences.choices(context)[:2] == ("/a/python", "cuda")


def operators() -> list[type]:
    return [cls for cls in registration._CLASSES if issubclass(cls, bpy.types.Operator)]


def test_operators_are_found_by_plain_words() -> None:
    labels = {cls.__name__: cls.bl_label for cls in operators()}
    assert len(set(labels.values())) == len(labels)
    for name, label in labels.items():
        assert len(label.split()) >= 2 and "CTEG" not in label, f"{name}: {label} says nothing by itself"
    # Blender's search looks through menus.
    drawn: list[str] = []
    panels.CTEG_MT_acting.draw(SimpleNamespace(layout=redraw.Layout(drawn)), bpy.context)
    found = {text.strip("[]").removesuffix(" (grey)").removeprefix("cteg.") for text in drawn}
    takes_a_choice = {
        "show_take", "change_line", "change_region", "keep_edit", "go_to_segment", "direct_segment", "mapping_mute",
        "mapping_preset", "mapping_add_target", "mapping_remove_target", "mapping_trust",
        "mapping_widen", "learn_pose", "choose_entries", "move_entry", "follow_entry",
        "add_preset", "add_mood", "add_manner", "add_mix", "compare_take", "play_only", "size_at_playhead",
        "direct_live",
    }  # fmt: skip
    assert found | takes_a_choice == {cls.bl_idname.removeprefix("cteg.") for cls in operators()}
    for menu in ("VIEW3D_MT_object", "VIEW3D_MT_pose"):
        assert panels.draw_menu in getattr(bpy.types, menu)._dyn_ui_initialize()
    assert panels.Sidebar.bl_category == panels.CTEG_MT_acting.bl_label == "Face Acting"


def test_the_guide_ships_with_the_extension_and_is_well_formed() -> None:
    class Reader(HTMLParser):
        words, opened = "", 0

        def handle_starttag(self, tag: str, _attributes: object) -> None:
            self.opened += tag != "meta"

        def handle_endtag(self, _tag: str) -> None:
            self.opened -= 1

        def handle_data(self, data: str) -> None:
            self.words += data

    address = urlparse(layouts.GUIDE.as_uri())
    assert address.scheme == "file" and url2pathname(address.path) == str(layouts.GUIDE)
    assert layouts.GUIDE.parent.name == "blender_cteg"
    reader = Reader()
    reader.feed(layouts.GUIDE.read_text("utf-8"))
    assert reader.opened == 0
    buttons = [
        "Generate",
        "Re-sample",
        "More Like This",
        "Re-sample from Here",
        "Moves To",
        "Mix With",
        "Create…",
        "Check",
    ]
    assert all(name in reader.words for name in [*buttons, panels.Sidebar.bl_category, "Add Demo Head"])


def test_rows_of_lists_have_tooltips(scene: bpy.types.Scene) -> None:
    from blender_cteg import cast

    scene.cteg.target = scenes.arkit_face()
    cast.refresh(scene)
    places = bpy.context.window_manager.cteg.places
    assert len(places) > 20
    row = cast.character(scene).rows[12]
    assert places[12].channel_tip.startswith(row.channel) and " moves " in places[12].channel_tip
    assert places[3].line_tip == places[3].take_tip == ""
    assert fields.CTEG_Place.bl_rna.properties["line_tip"] is not None


def test_a_share_of_the_words_is_said_of_one_emotion_and_not_of_a_movement() -> None:
    from blender_cteg.ui.understood import understanding

    words = {"sadness": 0.58, "joy": 0.08}
    one = Segment("I lost it.", "sadness", source="words", alternatives=words)
    assert understanding(one) == "Sadness 58%, from words"
    moving = Segment("I found it! It is broken.", "joy", emotion_to="sadness", source="words", alternatives=words)
    assert understanding(moving) == "Joy → Sadness, from words"
