# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences come out in the language of the interface, with their values."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import pytest

from blender_cteg import sentences
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.performance.diagnosis import diagnose
from blender_cteg.performance.lines import LineError, Lines
from tests.blender import scenes

GERMAN = {
    "Shape keys are turned off: {names}. Tick their boxes.": "Häkchen fehlen: {names}.",
    "{name} has no shape keys. {advice}": "{advice} Formen fehlen: {name}.",
    "Choose a mesh with FLAME or ARKit shape keys, or add the demo head.": "Ein anderes Netz wählen.",
    "Type the line that the character says.": "Zuerst den Satz eintippen.",
    "There is no object called {name!r} in this scene; name another target.": "In dieser Szene fehlt {name!r}.",
}


@pytest.fixture(params=["table", "Blender"])
def german(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, scene: bpy.types.Scene) -> Iterator[None]:
    """An interface in German: by a table of ours, and by Blender's own where it was built with languages."""
    if request.param == "table":
        monkeypatch.setattr(sentences, "translated", lambda text: GERMAN.get(text, text))
        yield
        return
    locale = next((name for name in bpy.app.translations.locales if name.startswith("de")), "")
    if not locale:
        pytest.skip("this Blender speaks no German")
    view = bpy.context.preferences.view
    before = view.language, view.use_translate_interface, view.use_translate_reports
    bpy.app.translations.register(__name__, {locale: {("*", text): german for text, german in GERMAN.items()}})
    view.language, view.use_translate_interface, view.use_translate_reports = locale, True, True
    yield
    view.language, view.use_translate_interface, view.use_translate_reports = before
    bpy.app.translations.unregister(__name__)


@pytest.mark.usefixtures("german")
def test_a_diagnosis() -> None:
    face = scenes.arkit_face()
    face.data.shape_keys.key_blocks["jawOpen"].mute = True
    assert diagnose(detect_rig(face), None, ()) == ["Häkchen fehlen: jawOpen."]


@pytest.mark.usefixtures("german")
def test_a_refusal() -> None:
    plain = scenes.mesh_object("{Plain}", [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [])
    with pytest.raises(LineError, match=r"^Ein anderes Netz wählen. Formen fehlen: {Plain}\.$"):
        Lines(bpy.context.scene, detect_rig(plain))


@pytest.mark.usefixtures("german")
def test_what_an_operator_reports(stage: bpy.types.Scene) -> None:
    stage.cteg.target = scenes.arkit_face()
    with pytest.raises(RuntimeError, match="Zuerst den Satz eintippen"):
        bpy.ops.cteg.perform(text="")
    with pytest.raises(RuntimeError, match=r"In dieser Szene fehlt '{Nobody}'\."):
        bpy.ops.cteg.perform(text="Hello.", target="{Nobody}")
