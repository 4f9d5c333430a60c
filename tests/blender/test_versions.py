# SPDX-License-Identifier: GPL-3.0-or-later
"""What older versions stored is read as today's, and what a newer one stored is left as it is, with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import Mapping, MappingError
from blender_cteg.performance.lines import LineError, Lines, damaged_lines, lines_of
from blender_cteg.performance.spans import GROUP
from blender_cteg.performance.store import LINES_PROPERTY, _line
from blender_cteg.shared import Timeline, TimelineError
from blender_cteg.storage import StoredError
from blender_cteg.versions import CURRENT, NewerError, upgraded

from .test_lines import played

FOLDER = Path(__file__).parent / "data" / "versions"
FILES = sorted(FOLDER.glob("*.json"))


def stored(path: Path) -> tuple[str, int, dict[str, Any]]:
    kind, _, version = path.stem.rpartition("_")
    return kind, int(version), json.loads(path.read_text("utf-8"))


def test_there_is_a_file_of_every_version_but_of_spans_which_lie_in_scenes() -> None:
    wanted = {f"{kind}_{version}" for kind, most in CURRENT.items() for version in range(1, most + 1)}
    there = {path.stem for path in FILES}
    assert wanted - {f"spans_{version}" for version in range(1, CURRENT["spans"] + 1)} <= there
    assert {f"line_{version}.blend" for version in range(1, CURRENT["line"] + 1)} <= {
        path.name for path in FOLDER.iterdir()
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_version_is_read_as_todays(path: Path) -> None:
    kind, version, data = stored(path)
    match kind:
        case "line":
            line = _line("id", json.dumps(data))
            assert line.text == "Versions." and len(line.takes) == 2
            assert line.takes[0].timeline is not None and line.takes[0].frames == 31
            assert line.takes[1].favourite is (version > 1) and line.takes[1].seconds == 31 / 24
        case "mapping":
            mapping = Mapping.from_json(json.dumps(data))
            assert mapping.shape_keys["Smile"] == {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
            assert json.loads(mapping.to_json())["schema_version"] == CURRENT["mapping"]
        case "take":
            made = upgraded("take", data)
            assert (made["text"], made["seed"], made["schema_version"]) == ("I missed you so much.", 5, 3)
            assert isinstance(made["segments"], list) and made["last_seed"] in (5, 6)
        case "timeline":
            assert Timeline.from_json(data).words
        case _:
            raise AssertionError(f"nothing reads {path}")
    if kind in CURRENT:
        assert data["schema_version"] == version <= CURRENT[kind]


@pytest.mark.parametrize("kind", sorted(CURRENT))
def test_newer_data_is_refused_with_what_to_do_and_no_version_with_what_is_there(kind: str) -> None:
    newer = {"schema_version": CURRENT[kind] + 1, "kept": [1]}
    with pytest.raises(NewerError, match="update this one"):
        upgraded(kind, newer)
    assert newer == {"schema_version": CURRENT[kind] + 1, "kept": [1]}
    for wrong in ({}, {"schema_version": True}, {"schema_version": "1"}, {"schema_version": 0}):
        with pytest.raises(StoredError, match="it has schema_version") as refused:
            upgraded(kind, wrong)
        assert not isinstance(refused.value, NewerError)


def test_newer_mappings_and_timelines_are_refused() -> None:
    with pytest.raises(MappingError, match="newer CTEG"):
        Mapping.from_json(json.dumps({"schema_version": CURRENT["mapping"] + 1}))
    with pytest.raises(TimelineError, match="schema version 2"):
        Timeline.from_json({"schema_version": 2, "words": []})


@pytest.fixture(params=range(1, CURRENT["line"] + 1))
def face(request: pytest.FixtureRequest) -> bpy.types.Object:
    bpy.ops.wm.open_mainfile(filepath=str(FOLDER / f"line_{request.param}.blend"))
    return next(obj for obj in bpy.data.objects if obj.type == "MESH")


def test_a_scene_with_a_line_is_read_changed_and_cleared(face: bpy.types.Object) -> None:
    scene, rig = bpy.context.scene, detect_rig(face)
    (line,) = lines_of(rig)
    assert (line.text, line.start, line.shown, len(line.takes)) == ("Versions.", 20, 0, 2)
    before = played(scene, face, range(20, 51))
    lines = Lines(scene, rig)
    lines.show(line.id, 1)
    assert np.abs(played(scene, face, range(20, 51)) - before).max() > 0.01
    lines.show(line.id, 0)
    np.testing.assert_allclose(played(scene, face, range(20, 51)), before, atol=1e-6)
    lines.remove(line.id)
    assert not lines_of(rig) and np.ptp(played(scene, face, range(20, 51))[:, :56], axis=0).max() == 0.0


def test_what_a_newer_cteg_stored_in_a_scene_is_named_and_stays(face: bpy.types.Object) -> None:
    rig = detect_rig(face)
    action = next(action for action in bpy.data.actions if LINES_PROPERTY in action)
    (name,) = action[LINES_PROPERTY].keys()
    record = json.loads(action[LINES_PROPERTY][name]["record"]) | {"schema_version": CURRENT["line"] + 1}
    action[LINES_PROPERTY][name]["record"] = json.dumps(record)
    (line,) = lines_of(rig)  # where its keys are, and nothing else
    assert (line.text, line.takes, line.start) == ("", (), 20)
    (said,) = damaged_lines(rig)
    assert "newer CTEG" in said and action.name in said
    before = played(bpy.context.scene, face, range(20, 51))
    Lines(bpy.context.scene, rig).rewrite()
    assert json.loads(action[LINES_PROPERTY][name]["record"]) == record
    np.testing.assert_array_equal(played(bpy.context.scene, face, range(20, 51)), before)  # its keys as well
    action[GROUP]["version"] = CURRENT["spans"] + 1
    with pytest.raises(LineError, match="Update the extension"):
        Lines(bpy.context.scene, rig).rewrite()
    assert json.loads(action[LINES_PROPERTY][name]["record"]) == record


def test_an_old_record_that_lacks_what_its_version_has_is_damaged_and_nothing_worse() -> None:
    data = stored(FOLDER / "line_1.json")[2]
    for lacking in ({"regions": None}, {"takes": [3]}, {"regions": {"mouth": 5}}):
        with pytest.raises(StoredError, match="damaged"):
            _line("id", json.dumps(data | lacking))
    with pytest.raises(StoredError, match="damaged"):
        _line("id", json.dumps({name: value for name, value in data.items() if name != "regions"}))
