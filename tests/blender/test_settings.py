# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of settings: the scene, the operator, the command line and the request say the same."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from bpy.props import FloatProperty

from blender_cteg import preferences
from blender_cteg.performance import store
from blender_cteg.performance.record import Line, Region, changes_of
from blender_cteg.settings import LINE_SETTINGS, REGION_SETTINGS, SETTINGS, chosen, request
from blender_cteg.worker.locate import LocateError
from generator.direction import requests

pytestmark = pytest.mark.usefixtures("stage")
OLD = Path(__file__).parent / "data" / "scene_0_1_0.blend"


def test_what_is_asked_for_by_default_is_what_the_generator_does_by_itself(scene: bpy.types.Scene) -> None:
    asked = request(chosen(scene.cteg) | {"text": "Hi.", "timeline": None})
    known = {field.name: field.default for field in dataclasses.fields(requests.LineRequest)}
    assert {name for name, value in asked.items() if value != known[name]} == {"text", "takes", "spread"}
    assert requests.LineRequest.from_json(asked).takes == 3


def test_every_setting_of_the_generator_is_in_the_table() -> None:
    fields = {field.name for field in dataclasses.fields(requests.LineRequest)}
    made_by_the_operator = {"branch", "vary", "begin", "until", "names", "warnings"}
    assert {setting.key for setting in SETTINGS if setting.asked} == fields - made_by_the_operator


def test_the_limits_of_sliders_can_be_performed(scene: bpy.types.Scene) -> None:
    for setting in SETTINGS:
        for name in ("soft_min", "soft_max") if setting.asked else ():
            if name in setting.options:
                values = {**chosen(scene.cteg), "text": "Hi.", "timeline": None, setting.key: setting.options[name]}
                requests.LineRequest.from_json(request(values))


def test_the_operator_has_an_argument_for_every_setting_and_forgets_it() -> None:
    properties = bpy.ops.cteg.perform.get_rna_type().properties
    for setting in SETTINGS:
        if setting.key:
            assert properties[setting.key].is_skip_save
            assert properties[setting.key].description == setting.description


def test_a_scene_of_the_first_version_keeps_its_settings() -> None:
    bpy.ops.wm.open_mainfile(filepath=str(OLD))
    settings = bpy.context.scene.cteg
    assert settings.target is not None
    assert settings.text.startswith("I missed you") and settings.emotion == "sadness"
    assert (settings.takes, settings.blend) == (3, 6)


def preferring(**values: str) -> Any:
    chosen = SimpleNamespace(
        **{"engine": "TORCH", "python": "", "device": "auto", "checkpoint": "", "widen": "ASK", **values}
    )
    addon = SimpleNamespace(preferences=chosen)
    return SimpleNamespace(preferences=SimpleNamespace(addons={preferences.__package__: addon}))


def test_paths_beside_the_open_file_are_refused(tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    (tmp_path / "python").touch(0o755)
    for name in ("python", "checkpoint"):
        with pytest.raises(
            LocateError, match=f"{name.capitalize()} in the CTEG preferences is //python, which depends"
        ):
            preferences.choices(preferring(**{name: "//python"}))
    assert preferences.choices(preferring(python=" /usr/bin/python3 ")).python == "/usr/bin/python3"


def test_a_checkpoint_for_scripts_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(preferences.CHECKPOINT_VARIABLE, "/mine")
    assert preferences.choices(preferring()).checkpoint == "/mine"
    assert preferences.choices(preferring(checkpoint="/chosen")).checkpoint == "/chosen"


@pytest.mark.parametrize("end", ["min", "max"])
def test_what_can_be_typed_into_a_field_of_a_line_can_be_kept(end: str) -> None:
    """Sizes end where records do, so that Blender stops there and nothing is refused."""
    values = {s.name: s.options[end] for s in LINE_SETTINGS if s.kind is FloatProperty}
    scale = next(s for s in REGION_SETTINGS if s.name == "scale").options[end]
    line = Line("a", "Hello.")
    store.check(replace(line, **changes_of(line, values), regions={"mouth": Region(scale=scale)}))


def test_a_preset_keeps_how_lines_are_performed_and_not_the_line(
    scene: bpy.types.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bpy.utils.user_resource

    def in_the_test_folder(kind: str, *, path: str = "", create: bool = False) -> str:
        if kind != "SCRIPTS":
            return str(found(kind, path=path, create=create))
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        return str(tmp_path / path)

    monkeypatch.setattr(bpy.utils, "user_resource", in_the_test_folder)
    monkeypatch.setattr(bpy.utils, "preset_paths", lambda subdir: [str(tmp_path / "presets" / subdir)])
    settings = scene.cteg
    settings.emotion, settings.emotion_to, settings.energy, settings.takes = "joy", "sadness", 1.4, 5
    settings.text, settings.seed = "Keep me.", 7
    assert bpy.ops.cteg.add_preset(name="Hope Fades") == {"FINISHED"}
    (preset,) = tmp_path.rglob("*.py")
    for name in ("emotion", "emotion_to", "energy", "takes"):
        settings.property_unset(name)
    settings.text, settings.seed = "Another line.", 9
    assert bpy.ops.script.execute_preset(filepath=str(preset), menu_idname="CTEG_PT_presets") == {"FINISHED"}
    assert (settings.emotion, settings.emotion_to, settings.takes) == ("joy", "sadness", 5)
    assert settings.energy == pytest.approx(1.4)
    assert (settings.text, settings.seed) == ("Another line.", 9)
    assert bpy.ops.cteg.add_preset(name="Hope Fades", remove_name=True) == {"FINISHED"}
    assert not list(tmp_path.rglob("*.py"))
