# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators in background mode, against a scripted generator: what lands in the scene, and what never does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest

import blender_cteg
from blender_cteg import cli as commands
from blender_cteg import desk
from blender_cteg.operators import perform, widen
from blender_cteg.performance import keyframes
from blender_cteg.preferences import Choices
from blender_cteg.worker import session
from blender_cteg.worker.locate import LocateError, WorkerCommand
from tests.blender.fake_worker import CHANNELS, values

FAKE = Path(__file__).with_name("fake_worker.py")


@pytest.fixture(autouse=True)
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[bpy.types.Scene]:
    """An empty scene with the extension registered and the scripted generator behind the door."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    started = WorkerCommand((sys.executable, str(FAKE), "serve"), str(FAKE.parent), tuple(os.environ.items()))
    monkeypatch.setattr(session, "command", lambda _python: started)
    blender_cteg.register()
    yield bpy.context.scene
    blender_cteg.unregister()
    assert session._client is None


def add_face(name: str = "Face", keys: tuple[str, ...] = tuple(CHANNELS[:52])) -> bpy.types.Object:
    """A mesh of three vertices with ARKit shape keys."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 0, 1)], [], [(0, 1, 2)])
    face = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(face)
    face.shape_key_add(name="Basis")
    for key in keys:
        face.shape_key_add(name=key).value = 0.0
    return face


@pytest.fixture
def face(scene: bpy.types.Scene) -> bpy.types.Object:
    face = add_face()
    scene.cteg.target = face
    scene.cteg.text = "Hello there."
    scene.cteg.seconds = 1.0
    return face


def snapshot() -> dict[str, object]:
    """Everything a generator could touch, as values."""
    animation = {}
    for owner in (*bpy.data.shape_keys, *bpy.data.objects):
        data = owner.animation_data
        animation[owner.name] = data and (data.action and data.action.name, len(data.nla_tracks), len(data.drivers))
    return {
        "data": {
            name: sorted(item.name for item in collection)
            for name in dir(bpy.data)
            if isinstance(collection := getattr(bpy.data, name), bpy.types.bpy_prop_collection)
        },
        "animation": animation,
        "keys": [(b.name, b.value, b.slider_min, b.slider_max) for k in bpy.data.shape_keys for b in k.key_blocks],
        "settings": {
            p.identifier: getattr(bpy.context.scene.cteg, p.identifier)
            for p in bpy.context.scene.cteg.bl_rna.properties
            if p.identifier not in ("rna_type", "target")
        },
        "frame": bpy.context.scene.frame_current,
    }


def curve(action: bpy.types.Action, key: str) -> bpy.types.FCurve:
    bag = action.layers[0].strips[0].channelbag(action.slots[0])
    return bag.fcurves.find(f'key_blocks["{key}"].value')


# --- generate -------------------------------------------------------------------------------------------------------


def test_generate_writes_one_action_per_take_and_shows_the_first(
    scene: bpy.types.Scene, face: bpy.types.Object
) -> None:
    scene.cteg.seed, scene.cteg.spread = 5, False
    scene.frame_set(11)
    assert bpy.ops.cteg.generate() == {"FINISHED"}
    takes = desk.takes_of(face)
    assert [keyframes.provenance(take)["seed"] for take in takes] == [5, 6, 7]
    assert face.data.shape_keys.animation_data.action == takes[0]
    expected = np.array(values(5, 25), np.float32)[:, CHANNELS.index("browInnerUp")]
    brow = curve(takes[0], "browInnerUp")
    assert [point.co[0] for point in brow.keyframe_points] == list(range(11, 36))
    np.testing.assert_allclose([point.co[1] for point in brow.keyframe_points], expected, atol=1e-6)
    scene.frame_set(23)
    assert face.data.shape_keys.key_blocks["browInnerUp"].value == pytest.approx(expected[12], abs=1e-5)
    assert "torch" not in sys.modules


def test_arguments_go_before_the_settings_and_leave_them_alone(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    other = add_face("Other")
    before = snapshot()["settings"]
    bpy.ops.cteg.generate(
        target="Other", text="Go away!", emotion="anger", takes=1, seed=40, intensity=1.5, seconds=2.0, start_frame=-7
    )
    (take,) = desk.takes_of(other)
    made = keyframes.provenance(take)
    assert (made["text"], made["emotion"], made["seed"]) == ("Go away!", "anger", 40)
    assert made["settings"]["intensity"] == 1.5
    assert tuple(take.frame_range) == (-7.0, 41.0)
    assert desk.takes_of(face) == []
    assert snapshot()["settings"] == before


def test_a_given_start_frame_and_interpolation(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.cteg.start, scene.cteg.start_frame, scene.cteg.interpolation = "FRAME", 100, "LINEAR"
    bpy.ops.cteg.generate(takes=1)
    points = curve(desk.takes_of(face)[0], "jawOpen").keyframe_points
    assert points[0].co[0] == 100
    assert {point.interpolation for point in points} == {"LINEAR"}


def test_fewer_keys_on_request(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    bpy.ops.cteg.generate(takes=1, seed=1)
    bpy.ops.cteg.generate(takes=1, seed=1, reduction=1.0)
    scene.cteg.reduction = 1.0
    bpy.ops.cteg.vary(takes=1)
    every, few, varied = (len(curve(take, "browInnerUp").keyframe_points) for take in desk.takes_of(face))
    assert every == 25
    assert few < 6 and varied < 6
    full, reduced, _ = desk.takes_of(face)
    for key in CHANNELS[:52]:
        played = [[curve(take, key).evaluate(frame) for frame in range(1, 26)] for take in (full, reduced)]
        np.testing.assert_allclose(*played, atol=0.01 + 1e-5)


def test_an_animators_action_is_kept(face: bpy.types.Object) -> None:
    face.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=3)
    own = face.data.shape_keys.animation_data.action
    bpy.ops.cteg.generate()
    assert own.name in bpy.data.actions
    assert own not in desk.takes_of(face)
    assert [tuple(point.co) for point in curve(own, "jawOpen").keyframe_points] == [(3.0, 0.0)]


# --- re-sample and takes --------------------------------------------------------------------------------------------


def test_resample_adds_takes_with_new_seeds_and_keeps_the_others(
    scene: bpy.types.Scene, face: bpy.types.Object
) -> None:
    scene.cteg.seed, scene.cteg.takes, scene.cteg.spread = 2, 2, False
    bpy.ops.cteg.generate()
    bpy.ops.cteg.generate(text="Another line.", seed=90)
    bpy.ops.cteg.resample()
    bpy.ops.cteg.resample(takes=1)
    seeds = [keyframes.provenance(take)["seed"] for take in desk.takes_of(face)]
    assert seeds == [2, 3, 90, 91, 4, 5, 6]
    assert keyframes.provenance(desk.shown_take(face))["seed"] == 6


def test_resample_begins_where_the_other_takes_of_the_line_do(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.frame_set(7)
    bpy.ops.cteg.generate(takes=1)
    scene.frame_set(30)  # somewhere in the take that was just watched
    bpy.ops.cteg.resample(takes=1)
    assert [keyframes.provenance(take)["start_frame"] for take in desk.takes_of(face)] == [7, 7]
    bpy.ops.cteg.resample(takes=1, start_frame=50)
    assert [int(take.frame_range[0]) for take in desk.takes_of(face)] == [7, 7, 50]


def test_resample_wants_a_take_of_the_line(face: bpy.types.Object) -> None:
    with pytest.raises(RuntimeError, match="Generate this line first"):
        bpy.ops.cteg.resample()


def test_the_list_shows_takes_and_follows_the_face(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    assert scene.cteg.take_index == -1
    unrelated = bpy.data.actions.new("AAA first in the list")
    bpy.ops.cteg.generate()
    takes = desk.takes_of(face)
    assert bpy.data.actions[scene.cteg.take_index] == takes[0]
    scene.cteg.take_index = bpy.data.actions.find(takes[2].name)
    assert desk.shown_take(face) == takes[2]
    scene.cteg.take_index = bpy.data.actions.find(unrelated.name)
    assert desk.shown_take(face) == takes[2]
    bpy.ops.cteg.show_take(take=takes[1].name)
    assert bpy.data.actions[scene.cteg.take_index] == takes[1]


def test_deleting_the_shown_take_shows_its_neighbour(face: bpy.types.Object) -> None:
    bpy.ops.cteg.generate()
    takes = desk.takes_of(face)
    bpy.ops.cteg.delete_take(take=takes[2].name)
    assert desk.shown_take(face) == takes[0]
    bpy.ops.cteg.delete_take()
    assert desk.takes_of(face) == [takes[1]]
    assert desk.shown_take(face) == takes[1]
    own = bpy.data.actions.new("Walk")
    with pytest.raises(RuntimeError, match="no take called 'Walk'"):
        bpy.ops.cteg.delete_take(take=own.name)


# --- bad input: a sentence, and nothing changed ---------------------------------------------------------------------


def refused(sentence: str, **arguments: object) -> None:
    before = snapshot()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.cteg.generate(**arguments)
    assert snapshot() == before
    assert session.job is None


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_line(face: bpy.types.Object, text: str) -> None:
    refused("Type the line", text=text)
    assert session._client is None  # found out without starting anything


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("crash", "the fake broke"), ("memory", "fewer takes"), ("garbage", "not understood"), ("refuse", "type another")],
)
def test_failures_of_the_generator(face: bpy.types.Object, text: str, sentence: str) -> None:
    refused(sentence, text=text)
    assert bpy.ops.cteg.generate() == {"FINISHED"}


def test_no_target(scene: bpy.types.Scene) -> None:
    refused("add the demo head", text="Hello.")


def test_targets_that_cannot_perform(scene: bpy.types.Scene, tmp_path: Path) -> None:
    camera = bpy.data.objects.new("Shot", bpy.data.cameras.new("Shot"))
    scene.collection.objects.link(camera)
    add_face("Bare", ())
    add_face("Odd", ("Smile please", "Frown now", "Key 3"))
    linked = add_face("Linked")
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {linked})
    bpy.data.objects.remove(linked)
    with bpy.data.libraries.load(str(library), link=True) as (_, to):
        to.objects = ["Linked"]
    scene.collection.objects.link(to.objects[0])
    for name, sentence in {
        "Shot": "camera", "Bare": "no shape keys", "Odd": "Smile please", "Linked": "linked.*Library Override",
        "Nobody": "no object called 'Nobody'",
    }.items():  # fmt: skip
        refused(sentence, text="Hello.", target=name)
    scene.cteg.target = camera
    scene.cteg.text = "Hello."
    refused("camera")


def test_a_deleted_target(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.collection.objects.unlink(face)  # what deleting in the viewport does; the setting keeps the object alive
    refused("Face is not in this scene")


def test_a_target_of_another_scene(face: bpy.types.Object) -> None:
    other = bpy.data.scenes.new("Other")
    other.cteg.target, other.cteg.text = face, "Hello."
    with bpy.context.temp_override(scene=other), pytest.raises(RuntimeError, match="not in this scene"):
        bpy.ops.cteg.generate()


def test_numbers_the_protocol_cannot_carry(face: bpy.types.Object) -> None:
    refused("Temperature must be a number, not nan", temperature=float("nan"))


def test_a_generator_that_is_not_there(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_python: str) -> WorkerCommand:
        raise LocateError("The generator is missing.")

    monkeypatch.setattr(session, "command", missing)
    refused("The generator is missing")
    assert session.last_problem == "The generator is missing."


def test_a_take_that_cannot_be_written_takes_the_others_back(
    face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    face.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=3)
    write, calls = keyframes._written, []

    def third_fails(*args: object, **kwargs: object) -> bpy.types.Action:
        calls.append(1)
        if len(calls) == 3:
            raise keyframes.TakeError("The third take does not fit.")
        return write(*args, **kwargs)

    monkeypatch.setattr(keyframes, "_written", third_fails)
    refused("third take does not fit")


# --- while the generator works --------------------------------------------------------------------------------------


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen in Blender after the first news from the generator."""
    poll, done = session.poll, []

    def eventful(timeout: float = 0.0) -> None:
        poll(timeout)
        if session.job is not None and session.job.takes and not done:
            done.append(happens())

    monkeypatch.setattr(session, "poll", eventful)


def test_a_renamed_target_still_gets_its_takes(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: setattr(face, "name", "Renamed"))
    assert bpy.ops.cteg.generate() == {"FINISHED"}
    assert len(desk.takes_of(face)) == 3


def test_a_target_deleted_meanwhile(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: bpy.data.objects.remove(face))
    with pytest.raises(RuntimeError, match="Face was removed while its performance was generated"):
        bpy.ops.cteg.generate()
    assert len(bpy.data.actions) == 0


def test_cancelling_leaves_the_scene_as_it_was(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()
    poll = session.poll

    def cancels(timeout: float = 0.0) -> None:
        poll(timeout)
        if session.job is not None and session.job.stage == "performing":
            assert bpy.ops.cteg.cancel() == {"FINISHED"}

    monkeypatch.setattr(session, "poll", cancels)
    assert bpy.ops.cteg.generate(text="slow") == {"CANCELLED"}
    assert snapshot() == before
    with pytest.raises(RuntimeError, match="not working on anything"):
        bpy.ops.cteg.cancel()


def test_only_one_job_at_a_time(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = []

    def again() -> None:
        try:
            bpy.ops.cteg.generate()
        except RuntimeError as error:
            sentences.append(str(error))

    meanwhile(monkeypatch, again)
    bpy.ops.cteg.generate(takes=1)
    assert "already working" in sentences[0]
    assert len(desk.takes_of(face)) == 1


def test_takes_go_to_the_scene_that_asked(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    other = bpy.data.scenes.new("Other")
    other.collection.objects.link(face)
    other.render.fps = 48
    other.cteg.target, other.cteg.text, other.cteg.seconds = face, "Hello.", 1.0
    with bpy.context.temp_override(scene=other):
        bpy.ops.cteg.generate(takes=1, start_frame=1)
    assert tuple(desk.takes_of(face)[0].frame_range) == (1.0, 49.0)


def test_loading_another_file_forgets_the_job(face: bpy.types.Object) -> None:
    session.start("", {"op": "generate", "lines": [{"text": "slow"}]}, "Generate")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert session.job is None


# --- saving, the command line, checking -----------------------------------------------------------------------------


def test_takes_and_settings_survive_saving(face: bpy.types.Object, tmp_path: Path) -> None:
    bpy.ops.cteg.generate()
    names = [take.name for take in desk.takes_of(face)]
    path = str(tmp_path / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    settings = bpy.context.scene.cteg
    assert settings.text == "Hello there."
    assert [take.name for take in desk.takes_of(settings.target)] == names
    assert desk.shown_take(settings.target).name == names[0]
    bpy.context.scene.frame_set(13)
    assert settings.target.data.shape_keys.key_blocks["jawOpen"].value > 0.01


def test_the_command_performs_and_saves(
    face: bpy.types.Object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new folder" / "out.blend"
    arguments = ["generate", "--text", "From the farm.", "--target", "Face", "--takes", "2", "--seed", "8"]
    assert commands.run([*arguments, "--no-spread", "--emotion", "fear", "--output", str(path)]) == 0
    assert path.is_file()
    assert [keyframes.provenance(take)["seed"] for take in desk.takes_of(face)] == [8, 9]
    assert commands.run(["generate", "--text", "crash", "--output", str(tmp_path / "no.blend")]) == 1
    assert "the fake broke" in capsys.readouterr().err
    assert not (tmp_path / "no.blend").exists()
    assert commands.run(["generate", "--text", "x", "--emotion", "hunger"]) == 2
    assert commands.run(["generate", "--text", "x", "--target", "Nobody"]) == 1
    assert "'Nobody'" in capsys.readouterr().err


def test_checking_the_generator(scene: bpy.types.Scene) -> None:
    assert bpy.ops.cteg.check_generator() == {"FINISHED"}
    assert session.checked is not None
    assert json.dumps(session.checked.devices) == '["cpu"]'


def test_a_failed_check_is_kept_for_the_preferences(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = WorkerCommand((sys.executable, str(FAKE), "no-torch"), str(FAKE.parent), tuple(os.environ.items()))
    monkeypatch.setattr(session, "command", lambda _python: broken)
    with pytest.raises(RuntimeError, match="has no torch: install it"):
        bpy.ops.cteg.check_generator()
    assert "has no torch" in session.checked
    assert session.last_problem == ""


# --- sliders and what stays -----------------------------------------------------------------------------------------


def test_without_an_interface_sliders_are_widened_and_it_is_said(
    scene: bpy.types.Scene, face: bpy.types.Object, capfd: pytest.CaptureFixture[str]
) -> None:
    block = face.data.shape_keys.key_blocks[CHANNELS[0]]
    block.slider_max = 0.01
    bpy.ops.cteg.generate(takes=1)
    assert block.slider_max > 0.01
    assert f"Widened the sliders of Face: {CHANNELS[0]}" in capfd.readouterr().out


def test_sliders_that_were_refused_stay_and_are_named(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = face.data.shape_keys.key_blocks[CHANNELS[0]]
    block.slider_max = 0.01
    monkeypatch.setattr(perform, "choices", lambda _context: Choices(widen="NEVER"))
    bpy.ops.cteg.generate(takes=1)
    assert block.slider_max == pytest.approx(0.01)
    assert not widen.disabled_reason(bpy.context)
    bpy.ops.cteg.widen_sliders()
    assert block.slider_max > 0.01
    assert "wide enough" in widen.disabled_reason(bpy.context)
    assert desk.answered(face)
