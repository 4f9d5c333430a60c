# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators in background mode, against a scripted generator: what lands in the scene, and what never does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest

from benchmarks import redraw
from blender_cteg import cast, cli
from blender_cteg.character import measuring
from blender_cteg.dialogue.starts import Cue, starts
from blender_cteg.operators import widen
from blender_cteg.performance import ranges
from blender_cteg.performance.lines import LineError, Lines, clip_of, lines_of
from blender_cteg.performance.record import Line, Style, Take
from blender_cteg.performance.store import LINES_PROPERTY
from blender_cteg.versions import CURRENT
from blender_cteg.worker import session
from blender_cteg.worker.locate import LocateError, WorkerCommand
from tests.blender.fake_worker import CHANNELS, command, values
from tests.blender.scenes import active, curve, empty, speaking_clip

pytestmark = pytest.mark.usefixtures("scripted")


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


def said_by(face: bpy.types.Object | None = None) -> tuple[Line, ...]:
    """The lines of a character, of the scene's by default."""
    scene = bpy.context.scene
    return cast.found(scene, scene.cteg.target if face is None else face).lines


def shown() -> Take:
    take = active().take
    assert take is not None
    return take


def seeds(line: Line) -> list[int]:
    return [take.seed for take in line.takes]


def frames_of(face: bpy.types.Object, key: str = "browInnerUp") -> list[float]:
    """The frames on which a curve has keys."""
    return [point.co[0] for point in curve(face, key).keyframe_points]


def plays(face: bpy.types.Object, first: int, last: int, key: str = "browInnerUp") -> list[float]:
    """What a curve does, frame by frame."""
    return [curve(face, key).evaluate(frame) for frame in range(first, last + 1)]


def drawn(seed: int, key: str = "browInnerUp") -> list[float]:
    """What the scripted generator performs in a second."""
    return [row[CHANNELS.index(key)] for row in values(seed, 25)]


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
        "lines": said_by() if bpy.context.scene.cteg.target is not None else (),
        "settings": {
            p.identifier: getattr(bpy.context.scene.cteg, p.identifier)
            for p in bpy.context.scene.cteg.bl_rna.properties
            if p.identifier not in ("rna_type", "target")
        },
        "frame": bpy.context.scene.frame_current,
    }


# --- generate -------------------------------------------------------------------------------------------------------


def test_generate_writes_a_line_and_shows_its_first_take(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.cteg.seed, scene.cteg.spread, scene.cteg.reduction, scene.cteg.blend = 5, False, 0.0, 0
    scene.frame_set(11)
    assert bpy.ops.cteg.perform() == {"FINISHED"}
    (line,) = said_by(face)
    assert (seeds(line), line.shown, line.start, line.end) == ([5, 6, 7], 0, 11.0, 35.0)
    assert (line.text, line.blend) == ("Hello there.", 0)
    assert frames_of(face) == list(range(11, 36))
    np.testing.assert_allclose(plays(face, 11, 35), drawn(5), atol=1e-3)  # takes are kept in half precision
    scene.frame_set(23)
    assert face.data.shape_keys.key_blocks["browInnerUp"].value == pytest.approx(drawn(5)[12], abs=1e-3)
    assert "torch" not in sys.modules


def test_a_line_leaves_from_what_is_there_and_returns_to_it(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    face.data.shape_keys.key_blocks["browInnerUp"].value = 0.8
    bpy.ops.cteg.perform(takes=1, seed=5, start_frame=10, blend=4)
    assert active().blend == 4
    assert plays(face, 10, 10) == plays(face, 34, 34) == pytest.approx([0.8], abs=1e-3)
    assert plays(face, 16, 28) == pytest.approx(drawn(5)[6:19], abs=0.01)


def test_arguments_go_before_the_settings_and_leave_them_alone(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    other = add_face("Other")
    before = snapshot()["settings"]
    bpy.ops.cteg.perform(
        target="Other", text="Go away!", emotion="anger", takes=1, seed=40, intensity=1.5, seconds=2.0, start_frame=-7
    )
    (line,) = said_by(other)
    (take,) = line.takes
    assert (line.text, take.emotion, take.seed, take.settings["intensity"]) == ("Go away!", "anger", 40, 1.5)
    assert (line.start, line.end) == (-7.0, 41.0)
    assert said_by(face) == ()
    assert snapshot()["settings"] == before


def test_a_given_start_frame_and_interpolation(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.cteg.start, scene.cteg.start_frame, scene.cteg.interpolation = "FRAME", 100, "LINEAR"
    bpy.ops.cteg.perform(takes=1)
    assert frames_of(face)[0] == 100
    inside = [point for point in curve(face, "jawOpen").keyframe_points if 100 < point.co[0] < 124]
    assert {point.interpolation for point in inside} == {"LINEAR"}


def test_keys_are_few_unless_each_frame_is_asked_for(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    bpy.ops.cteg.perform(takes=1, seed=1, start_frame=1)
    few = {key: plays(face, 1, 25, key) for key in CHANNELS[:52]}
    assert len(frames_of(face)) < 10
    bpy.ops.cteg.perform(takes=1, seed=1, start_frame=101, reduction=0.0)
    assert [frame for frame in frames_of(face) if frame > 100] == list(range(101, 126))
    for key in CHANNELS[:52]:
        np.testing.assert_allclose(few[key], plays(face, 101, 125, key), atol=0.005 + 1e-4)


def test_an_animators_keys_are_kept(face: bpy.types.Object) -> None:
    block = face.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((1, 0.0), (60, 1.0)):
        block.value = value
        block.keyframe_insert("value", frame=frame)
    own = face.data.shape_keys.animation_data.action
    bpy.ops.cteg.perform(start_frame=100, takes=1)
    assert face.data.shape_keys.animation_data.action == own
    assert [tuple(point.co) for point in curve(face, "jawOpen").keyframe_points][:2] == [(1.0, 0.0), (60.0, 1.0)]


def test_the_same_line_on_the_same_frame_gets_more_takes(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    bpy.ops.cteg.perform(takes=1, seed=1, start_frame=10)
    bpy.ops.cteg.perform(takes=2, seed=8, spread=False, start_frame=10, text="  Hello \n there. ")
    (line,) = said_by(face)
    assert (seeds(line), line.shown) == ([1, 8, 9], 1)
    bpy.ops.cteg.perform(takes=1, seed=1, start_frame=50)
    bpy.ops.cteg.perform(takes=1, seed=1, start_frame=90, text="Another line.")
    assert [(line.start, seeds(line)) for line in said_by(face)] == [(10.0, [1, 8, 9]), (50.0, [1]), (90.0, [1])]


# --- re-sample ------------------------------------------------------------------------------------------------------


def test_resample_adds_takes_with_new_seeds_and_keeps_the_others(
    scene: bpy.types.Scene, face: bpy.types.Object
) -> None:
    scene.cteg.seed, scene.cteg.takes, scene.cteg.spread = 2, 2, False
    bpy.ops.cteg.perform()
    bpy.ops.cteg.perform(text="Another line.", seed=90, start_frame=40)
    bpy.ops.cteg.perform(mode="RESAMPLE")
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)
    first, second = said_by(face)
    assert (seeds(first), seeds(second)) == ([2, 3, 4, 5, 6], [90, 91])
    assert first.take is not None and first.take.seed == 6


def test_resample_adds_to_the_line_that_is_worked_on(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.frame_set(7)
    bpy.ops.cteg.perform(takes=1)
    scene.frame_set(20)  # somewhere in the take that was just watched
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)
    bpy.ops.cteg.perform(takes=1, start_frame=60, seed=30)
    assert [(line.start, seeds(line)) for line in said_by(face)] == [(7.0, [0, 1]), (60.0, [30])]
    scene.frame_set(8)
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)
    assert [seeds(line) for line in said_by(face)] == [[0, 1, 2], [30]]
    bpy.ops.cteg.perform(takes=1, start_frame=100, text="Another line.")
    scene.frame_set(101)
    bpy.ops.cteg.perform(mode="RESAMPLE", takes=1)  # the text is that of the panel
    assert [seeds(line) for line in said_by(face)] == [[0, 1, 2], [30, 31], [0]]
    with pytest.raises(RuntimeError, match="start_frame cannot be given for more takes of a line"):
        bpy.ops.cteg.perform(mode="RESAMPLE", start_frame=50)


def test_resample_wants_a_take_of_the_line(face: bpy.types.Object) -> None:
    with pytest.raises(RuntimeError, match="Generate this line first"):
        bpy.ops.cteg.perform(mode="RESAMPLE")


# --- bad input: a sentence, and nothing changed ---------------------------------------------------------------------


def refused(sentence: str, **arguments: object) -> None:
    before = snapshot()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.cteg.perform(**arguments)
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
    assert bpy.ops.cteg.perform() == {"FINISHED"}


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
        "Shot": r"Shot \(Camera\) is not a mesh", "Bare": "no shape keys", "Odd": "Smile please",
        "Linked": "linked.*Library Override", "Nobody": "no object called 'Nobody'",
    }.items():  # fmt: skip
        refused(sentence, text="Hello.", target=name)
    scene.cteg.target = camera
    scene.cteg.text = "Hello."
    refused(r"\(Camera\) is not a mesh")


def test_a_local_object_beside_a_linked_one_of_its_name_may_perform(scene: bpy.types.Scene, tmp_path: Path) -> None:
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {add_face()})
    (mine,) = scene.objects
    with bpy.data.libraries.load(str(library), link=True) as (_, to):
        to.objects = ["Face"]
    scene.collection.objects.link(to.objects[0])
    assert [obj.name for obj in scene.objects] == ["Face", "Face"]
    scene.cteg.target = mine
    assert scene.cteg.target == mine
    assert bpy.ops.cteg.perform(text="Hello.", takes=1, seconds=1.0) == {"FINISHED"}
    assert len(said_by(mine)) == 1


def test_a_deleted_target(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    scene.collection.objects.unlink(face)  # what deleting in the viewport does; the setting keeps the object alive
    refused("Face is not in this scene")


def test_a_target_of_another_scene(face: bpy.types.Object) -> None:
    other = bpy.data.scenes.new("Other")
    other.cteg.target, other.cteg.text = face, "Hello."
    with bpy.context.temp_override(scene=other), pytest.raises(RuntimeError, match="not in this scene"):
        bpy.ops.cteg.perform()


def test_curves_that_cannot_be_written_are_told_before_anything_is_generated(face: bpy.types.Object) -> None:
    face.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=3)
    animation = face.data.shape_keys.animation_data
    track = animation.nla_tracks.new()
    track.strips.new("Strip", 1, animation.action)
    animation.action = None
    track.select = track.strips[0].select = True
    animation.use_tweak_mode = True
    refused("tweak")
    assert session._client is None


@pytest.mark.parametrize(
    ("name", "label"), [("temperature", "Temperature"), ("rate", "Speaking Rate"), ("seconds", "Length")]
)
def test_numbers_the_protocol_cannot_carry(face: bpy.types.Object, name: str, label: str) -> None:
    refused(f"{label} must be a number, not nan", **{name: float("nan")})


@pytest.mark.parametrize(("fps", "base"), [(24, 0.0001), (120, 0.01)])
def test_a_frame_rate_that_would_fill_the_memory(
    scene: bpy.types.Scene, face: bpy.types.Object, fps: int, base: float
) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    refused("frames per second this line would have .* keys", seconds=30.0, takes=1)


def test_rows_of_lists_have_tooltips_and_what_performed_is_named(face: bpy.types.Object) -> None:
    bpy.ops.cteg.perform(takes=2, seed=7)
    place = bpy.context.window_manager.cteg.places[0]
    assert place.line_tip.startswith("Hello there.\nFrames 1 to 25")
    assert "Seed 7. Click" in place.take_tip
    assert (session.performed.engine, session.performed.seconds) == ("numpy", 0.25)


def test_a_generator_inside_blender_is_said(
    face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "inside", lambda: "The generator runs inside Blender.")
    bpy.ops.cteg.perform(takes=1)
    assert "Warning: The generator runs inside Blender." in capfd.readouterr().out


def test_a_generator_that_is_not_there(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_python: str) -> WorkerCommand:
        raise LocateError("The generator is missing.")

    monkeypatch.setattr(session, "command", missing)
    refused("The generator is missing")
    assert session.last_problem == "The generator is missing."
    assert "[Open Preferences]" in redraw.redraw()


def test_a_line_that_cannot_be_read_is_told_before_anything_is_generated(
    scene: bpy.types.Scene, face: bpy.types.Object
) -> None:
    bpy.ops.cteg.perform(start_frame=50)
    stored = face.data.shape_keys.animation_data.action[LINES_PROPERTY][active().id]
    stored["record"] = stored["record"].replace(f'"schema_version":{CURRENT["line"]}', '"schema_version":99', 1)
    before = frames_of(face)
    with pytest.raises(RuntimeError, match=r"update this one\)\. It is on frames 50 to 74, .* Choose other frames"):
        bpy.ops.cteg.perform(start_frame=60)
    assert frames_of(face) == before
    assert bpy.ops.cteg.perform(start_frame=90) == {"FINISHED"}


def test_takes_that_cannot_be_written_leave_nothing_behind(
    face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    face.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=3)

    def fails(*_args: object, **_kwargs: object) -> Line:
        raise LineError("The takes do not fit.")

    monkeypatch.setattr(Lines, "add", fails)
    refused("takes do not fit")


def test_names_decide_where_the_face_cannot_be_looked_at(
    face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_args: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(measuring, "measure", fails)
    assert bpy.ops.cteg.perform() == {"FINISHED"}
    assert shown().seed == 0 and plays(face, 1, 25) == pytest.approx(drawn(0), abs=0.3)
    said = capfd.readouterr()
    assert "Nobody could look at what the channels of Face do (a fault of ours)" in said.out + said.err
    assert "Traceback" not in said.out + said.err


def test_an_error_on_completion_does_not_leave_the_extension_busy(
    face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object, **_kwargs: object) -> Line:
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(Lines, "add", fails)
        refused("a fault of ours")
    assert "system console" in session.last_problem
    assert bpy.ops.cteg.perform() == {"FINISHED"}
    assert session.last_problem == ""


def test_text_that_is_not_unicode_is_replaced_before_it_is_stored(face: bpy.types.Object, tmp_path: Path) -> None:
    bpy.ops.cteg.perform(text="A surrogate.", takes=1)
    assert shown().segments[0].text == "A ?."
    path = str(tmp_path / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert shown().segments[0].text == "A ?."


# --- while the generator works --------------------------------------------------------------------------------------


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen in Blender after the first news from the generator."""
    poll, done = session.Job.poll, []

    def eventful(job: session.Job, timeout: float = 0.0) -> None:
        poll(job, timeout)
        if job.takes and not done:
            done.append(happens())

    monkeypatch.setattr(session.Job, "poll", eventful)


def unlink_action(face: bpy.types.Object) -> None:
    face.data.shape_keys.animation_data.action = None


def delete_action(face: bpy.types.Object) -> None:
    bpy.data.actions.remove(face.data.shape_keys.animation_data.action)


def rename_everything(face: bpy.types.Object) -> None:
    action = face.data.shape_keys.animation_data.action
    for thing in (action, face, face.data, face.data.shape_keys, bpy.context.scene):
        thing.name = "Renamed"
    for slot in action.slots:
        slot.name_display = "Renamed"
    face.data.shape_keys.key_blocks["jawOpen"].name = "Renamed"


def make_single_user(face: bpy.types.Object) -> None:
    animation = face.data.shape_keys.animation_data
    animation.action = animation.action.copy()


def delete_line(face: bpy.types.Object) -> None:
    rig = cast.found(bpy.context.scene, face).rig
    Lines(bpy.context.scene, rig).remove(lines_of(rig)[0].id)


def delete_curves(face: bpy.types.Object) -> None:
    animation = face.data.shape_keys.animation_data
    animation.action.layers[0].strips[0].channelbag(animation.action_slot).fcurves.clear()


@pytest.mark.parametrize(
    "happens", [unlink_action, delete_action, rename_everything, make_single_user, delete_line, delete_curves]
)
@pytest.mark.parametrize("mode", ["NEW", "RESAMPLE", "VARY", "BRANCH"])
def test_takes_arrive_whatever_became_of_the_action(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch, mode: str,
    happens: Callable[[bpy.types.Object], None], capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bpy.ops.cteg.perform(takes=2, seed=4)
    scene.frame_set(12)
    meanwhile(monkeypatch, lambda: happens(face))
    assert bpy.ops.cteg.perform(mode=mode, takes=1) == {"FINISHED"}
    assert "Traceback" not in capfd.readouterr().err
    assert sum(len(line.takes) for line in said_by(face)) >= 1
    assert any(len(set(plays(face, 1, 40, key))) > 1 for key in ("browInnerUp", "jawOpen"))


def test_a_line_that_was_removed_meanwhile_is_made_again(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bpy.ops.cteg.perform(takes=2, seed=4, start_frame=20)
    scene.frame_set(25)
    meanwhile(monkeypatch, lambda: delete_line(face))
    bpy.ops.cteg.perform(mode="VARY", takes=1)
    (line,) = said_by(face)
    assert (line.text, line.start, len(line.takes)) == ("Hello there.", 20.0, 1)
    assert "was removed meanwhile" in capfd.readouterr().out


def test_a_renamed_target_still_gets_its_takes(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: setattr(face, "name", "Renamed"))
    assert bpy.ops.cteg.perform() == {"FINISHED"}
    assert len(active().takes) == 3


def test_a_target_deleted_meanwhile(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: bpy.data.objects.remove(face))
    with pytest.raises(RuntimeError, match="Face was removed while its performance was generated"):
        bpy.ops.cteg.perform()
    assert len(bpy.data.actions) == 0


def test_a_target_taken_out_of_the_scene_meanwhile(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: scene.collection.objects.unlink(face))
    with pytest.raises(RuntimeError, match="Face was removed while its performance was generated"):
        bpy.ops.cteg.perform()


def test_a_scene_removed_meanwhile(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    other = bpy.data.scenes.new("Other")
    other.collection.objects.link(face)
    other.cteg.target, other.cteg.text, other.cteg.seconds = face, "Hello.", 1.0
    meanwhile(monkeypatch, lambda: bpy.data.scenes.remove(other))
    with bpy.context.temp_override(scene=other), pytest.raises(RuntimeError, match="The scene was removed while"):
        bpy.ops.cteg.perform()
    assert len(bpy.data.actions) == 0


def test_cancelling_leaves_the_scene_as_it_was(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()
    poll = session.Job.poll

    def cancels(job: session.Job, timeout: float = 0.0) -> None:
        poll(job, timeout)
        if job.stage == "performing":
            assert bpy.ops.cteg.cancel() == {"FINISHED"}

    monkeypatch.setattr(session.Job, "poll", cancels)
    assert bpy.ops.cteg.perform(text="slow") == {"CANCELLED"}
    assert snapshot() == before
    with pytest.raises(RuntimeError, match="not working on anything"):
        bpy.ops.cteg.cancel()


def test_only_one_job_at_a_time(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = []

    def again() -> None:
        try:
            bpy.ops.cteg.perform()
        except RuntimeError as error:
            sentences.append(str(error))

    meanwhile(monkeypatch, again)
    bpy.ops.cteg.perform(takes=1)
    assert "already working" in sentences[0]
    assert len(active().takes) == 1


def test_takes_go_to_the_scene_that_asked(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    other = bpy.data.scenes.new("Other")
    other.collection.objects.link(face)
    other.render.fps = 48
    other.cteg.target, other.cteg.text, other.cteg.seconds = face, "Hello.", 1.0
    with bpy.context.temp_override(scene=other):
        bpy.ops.cteg.perform(takes=1, start_frame=1)
    (line,) = said_by(face)
    assert (line.start, line.end) == (1.0, 49.0)


def test_another_scene_may_come_to_the_front_meanwhile(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = bpy.data.scenes.new("Other")
    meanwhile(monkeypatch, lambda: setattr(bpy.context.window, "scene", other))
    assert bpy.ops.cteg.perform(takes=1, start_frame=5) == {"FINISHED"}
    assert bpy.context.scene == other
    assert [line.start for line in cast.found(scene, face).lines] == [5.0]


def test_another_target_may_be_chosen_meanwhile(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = add_face("Other")
    meanwhile(monkeypatch, lambda: setattr(scene.cteg, "target", other))
    bpy.ops.cteg.perform(takes=1)
    assert len(said_by(face)) == 1
    assert said_by(other) == cast.character(scene).lines == ()


def test_loading_another_file_forgets_the_job(face: bpy.types.Object) -> None:
    job = session.start("", {"op": "generate", "lines": [{"text": "slow"}]}, "Generate")
    empty()
    assert session.job is None
    assert not job.over


# --- saving, the command line, checking -----------------------------------------------------------------------------


def test_lines_and_settings_survive_saving(face: bpy.types.Object, tmp_path: Path) -> None:
    bpy.ops.cteg.perform()
    before = said_by(face)
    path = str(tmp_path / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    settings = bpy.context.scene.cteg
    assert settings.text == "Hello there."
    assert said_by(settings.target) == before
    bpy.context.scene.frame_set(13)
    assert settings.target.data.shape_keys.key_blocks["jawOpen"].value > 0.01


def test_the_command_performs_and_saves(
    face: bpy.types.Object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new folder" / "out.blend"
    arguments = ["generate", "--text", "From the farm.", "--target", "Face", "--takes", "2", "--seed", "8"]
    assert cli.run([*arguments, "--no-spread", "--emotion", "fear", "--output", str(path)]) == 0
    assert path.is_file()
    assert seeds(active()) == [8, 9]
    printed = capsys.readouterr().out.splitlines()
    assert printed[-4:] == [
        "cteg: frames 1 to 25: From the farm.", "cteg:   Fear, seed 8", "cteg:   Fear, seed 9", f"cteg: saved {path}",
    ]  # fmt: skip
    assert cli.run(["generate", "--text", "crash", "--output", str(tmp_path / "no.blend")]) == 1
    assert "the fake broke" in capsys.readouterr().err
    assert not (tmp_path / "no.blend").exists()
    assert cli.run(["generate", "--text", "x", "--emotion", "hunger"]) == 2
    assert cli.run(["generate", "--text", "x", "--target", "Nobody"]) == 1
    assert "'Nobody'" in capsys.readouterr().err


def test_the_command_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["generate", "--help"]) == 0
    printed = capsys.readouterr().out
    for (
        flag
    ) in "text target emotion-to share no-speaking seconds timeline start-frame reduction blend mode amount".split():
        assert f"--{flag}" in printed


def test_checking_the_generator(scene: bpy.types.Scene) -> None:
    assert bpy.ops.cteg.check_generator() == {"FINISHED"}
    hello, done = session.checked
    assert (hello.python, hello.torch, done.engine, done.seconds) == ("3.11.7", "", "numpy", 0.25)
    assert session.engine(done) == "Built-in engine"


def test_a_failed_check_is_kept_for_the_preferences(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "command", lambda _python: command("no-numpy"))
    with pytest.raises(RuntimeError, match="has no numpy: install it"):
        bpy.ops.cteg.check_generator()
    assert "has no numpy" in session.checked
    assert session.last_problem == ""


def test_a_frame_beyond_all_is_refused_before_anything_is_performed(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "command", lambda *_: pytest.fail("it was performed"))
    for start in (1_000_001, -2_000_000):
        with pytest.raises(RuntimeError, match="A line begins at a frame from -1,000,000 to 1,000,000, not at"):
            bpy.ops.cteg.perform(takes=1, start_frame=start)
    cues = [Cue("far", "FRAME", frame=1_000_001), Cue("next", "AFTER", after="far"), Cue("near", "FRAME", frame=9)]
    found, wrong = starts(cues, 24.0, 1, {}, {})
    assert found == {"near": 9} and "1,000,000" in wrong["far"] and "no start yet" in wrong["next"]


@pytest.mark.parametrize("path", ["", "  "])
@pytest.mark.parametrize(
    "name", ["read_script", "mapping_load", "mapping_save", "import_flame", "use_timeline", "save_timeline"]
)
def test_an_operator_without_a_file_says_so(
    scene: bpy.types.Scene, face: bpy.types.Object, name: str, path: str
) -> None:
    bpy.ops.cteg.perform(takes=1)
    with pytest.raises(RuntimeError, match="No file is chosen"):
        getattr(bpy.ops.cteg, name)(filepath=path)


# --- sliders --------------------------------------------------------------------------------------------------------


def test_without_an_interface_sliders_are_widened_and_it_is_said(
    scene: bpy.types.Scene, face: bpy.types.Object, capfd: pytest.CaptureFixture[str]
) -> None:
    block = face.data.shape_keys.key_blocks["browInnerUp"]
    block.slider_max = 0.01
    bpy.ops.cteg.perform(takes=1)
    assert block.slider_max > 0.01
    assert "Widened the sliders of Face: browInnerUp for these takes" in capfd.readouterr().out


def test_sliders_that_were_refused_stay_and_are_named(
    scene: bpy.types.Scene, face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    block = face.data.shape_keys.key_blocks["browInnerUp"]
    block.slider_max = 0.01
    monkeypatch.setattr(ranges, "wanted", lambda: "NEVER")
    bpy.ops.cteg.perform(takes=2)
    assert "cuts the takes off: browInnerUp" in capfd.readouterr().out
    lines, (line,) = Lines(scene, cast.character(scene).rig), cast.character(scene).lines
    bpy.ops.cteg.perform(takes=1, mode="VARY")
    lines.show(line.id, 1)
    lines.change(line.id, intensity=2.0)
    lines.rewrite()
    lines.perform_again(line.id, clip_of(cast.character(scene).rig, cast.refresh(scene).line))
    lines.add_new([([speaking_clip(31)], 400, "Another", ())], Style())
    assert block.slider_max == pytest.approx(0.01)
    bpy.ops.cteg.perform(takes=1, start_frame=600)
    assert not widen.disabled_reason(bpy.context)
    bpy.ops.cteg.widen_sliders()
    assert block.slider_max > 0.01
    assert "wide enough" in widen.disabled_reason(bpy.context)
