# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene of dialogue, against a scripted generator: what is read, cast, performed, listened to, and where it goes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector

import blender_cteg
from benchmarks import redraw
from blender_cteg.character.detection import detect
from blender_cteg.dialogue import board, scripts, staging
from blender_cteg.dialogue.addressed import looked_at, nobody
from blender_cteg.dialogue.casting import named_before
from blender_cteg.dialogue.entries import add_entry, dialogue_of
from blender_cteg.dialogue.listening import REACTIONS, Spoken, asked, plain, silences
from blender_cteg.dialogue.schedule import Schedule, arrange
from blender_cteg.dialogue.starts import Cue, starts
from blender_cteg.emotions import EMOTIONS
from blender_cteg.operators import timing
from blender_cteg.performance import shifting
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import Take
from blender_cteg.preferences import Choices
from blender_cteg.segments import Segment, Stage
from blender_cteg.shared import read_script
from blender_cteg.worker import session
from tests.blender.scenes import arkit_face
from tests.counting import calls

pytestmark = pytest.mark.usefixtures("scripted")
SCRIPT = """INT. KITCHEN - NIGHT

MIRA
I thought you were gone for good.

TOMAS
I never meant to leave you.

MIRA
Then why didn't you call me?

TOMAS
Because I was afraid.
"""


def actors(*names: str) -> list[bpy.types.Object]:
    """Faces of these names, on a circle, looking at its middle's front."""
    made = []
    for place, name in enumerate(names):
        face = arkit_face(bones=())
        face.name = name
        face.location = (place - (len(names) - 1) / 2, 0.0, 0.0)
        made.append(face)
    bpy.context.view_layer.update()
    return made


def read(text: str = SCRIPT, name: str = "scene.fountain") -> list[Any]:
    return scripts.add(bpy.context.scene, read_script(text.encode(), name))


def entries() -> list[Any]:
    return list(dialogue_of(bpy.context.scene).entries)


def at() -> list[tuple[int, int]]:
    """First and last frame of each entry's line."""
    schedule = Schedule(bpy.context.scene)
    lines = [schedule.line_of(entry) for entry in schedule.dialogue.entries]
    return [(round(line.start), round(line.end)) if line is not None else (0, 0) for line in lines]


def lines_of(face: bpy.types.Object) -> list[Any]:
    return list(blender_cteg.cast.found(bpy.context.scene, face).lines)


def curves(face: bpy.types.Object) -> dict[str, list[float]]:
    data = face.data.shape_keys.animation_data
    if data is None or data.action is None:
        return {}
    bag = data.action.layers[0].strips[0].channelbag(data.action_slot)
    return {
        curve.data_path: [round(v, 5) for point in curve.keyframe_points for v in point.co]
        for curve in (() if bag is None else bag.fcurves)
    }


def values(face: bpy.types.Object) -> list[float]:
    """What the shape keys of a face are set to now."""
    return [round(block.value, 5) for block in face.data.shape_keys.key_blocks]


# ------------------------------------------------------------------------------------------------ starts


def test_lines_begin_by_their_rules() -> None:
    cues = [
        Cue("a", "FRAME", frame=10, length=20),
        Cue("b", "AFTER", pause=0.5, length=10),
        Cue("c", "AFTER", after="a", pause=-0.25, length=5),
        Cue("d", "MARKER", name="M"),
        Cue("e", "SOUND", name="S"),
        Cue("f", "AFTER", pause=0.0),
    ]
    found, wrong = starts(cues, 24.0, 1, {"M": 77}, {"S": 99})
    assert not wrong
    assert found == {"a": 10, "b": 42, "c": 24, "d": 77, "e": 99, "f": 101}  # the length of "e" is 1


def test_lines_that_begin_after_each_other_are_refused_and_so_is_what_follows_them_and_nothing_else() -> None:
    cues = [
        Cue("free", "FRAME", frame=5),
        Cue("a", "AFTER", after="b"),
        Cue("b", "AFTER", after="c"),
        Cue("c", "AFTER", after="a"),
        Cue("behind", "AFTER", after="c"),
        Cue("itself", "AFTER", after="itself"),
        Cue("gone", "AFTER", after="nobody"),
        Cue("lost", "MARKER", name="M"),
        Cue("silent", "SOUND", name="S"),
    ]
    found, wrong = starts(cues, 24.0, 1, {}, {})
    assert found == {"free": 5}
    assert set(wrong) == {"a", "b", "c", "behind", "itself", "gone", "lost", "silent"}
    assert all(wrong[name].startswith("This line begins after a line that") for name in ("a", "b", "c", "itself"))
    assert wrong["behind"] == "The line that this one begins after has no start yet."


def test_ten_thousand_lines_that_follow_each_other_are_no_recursion() -> None:
    cues = [Cue(str(k), "AFTER", length=10, pause=0.5) for k in range(10_000)]
    found, wrong = starts(list(reversed(cues)), 24.0, 1, {}, {})
    assert len(found) == 10_000 and not wrong
    assert found["0"] == 1 + 9_999 * (10 + 12)


# ------------------------------------------------------------------------------------------------ listening


def spoken(*rows: tuple[str, int, int]) -> list[Spoken]:
    return [Spoken(f"{who}{start}", who, start, end) for who, start, end in rows]


def test_a_character_is_silent_between_its_own_lines_and_hears_the_others_in_them() -> None:
    scene = spoken(("A", 1, 49), ("B", 60, 240), ("A", 260, 300), ("B", 310, 360))
    found = list(silences(scene, "A", 24.0, 6))
    assert [(one.start, one.end, one.rests) for one in found] == [(37, 259, True), (288, 384 - 1, True)]
    assert [[h.id for h in one.heard] for one in found] == [["B60"], ["B310"]]
    assert found[0].before is not None and found[0].before.id == "A1"
    first = next(iter(silences(scene, "B", 24.0, 6)))
    assert (first.start, first.end, first.before, first.rests) == (1, 66, None, False)  # short: it goes over


def test_a_silence_never_lasts_longer_than_one_performance_and_no_frame_of_it_is_lost() -> None:
    rows = [("A", 1, 40), *(("B", 50 + 100 * k, 140 + 100 * k) for k in range(30)), ("A", 3100, 3150)]
    found = [one for one in silences(spoken(*rows), "A", 24.0, 6) if one.end < 3100]
    assert len(found) > 5
    assert all(one.end - one.start <= 15 * 24 for one in found)
    assert all(after.start == before.end + 1 for before, after in itertools.pairwise(found))
    alone = list(silences(spoken(("A", 1, 40), ("B", 50, 5000)), "A", 24.0, 6))
    assert all(one.end - one.start <= 60 * 24 for one in alone)


def test_every_emotion_has_a_reaction_that_there_is() -> None:
    names = {emotion.name for emotion in EMOTIONS}
    assert set(REACTIONS) == names
    assert {shown for shown, _ in REACTIONS.values()} <= names


def test_what_is_asked_for_a_silence_says_what_is_heard_when(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    schedule = Schedule(scene)
    mira = schedule.actors["Mira"]
    silence = schedule.silences(mira)[0]
    line = schedule.asked(mira, silence)
    take = silence.heard[0].take
    assert take is not None and take.timeline is not None and line["speaking"] is False
    offset = (silence.heard[0].start - silence.start) / 24.0
    heard = [word["phonemes"][0][1] for word in line["timeline"]["words"]]
    assert heard == pytest.approx([word.start + offset for word in take.timeline.words], abs=1e-3)
    assert line["text"].startswith("[joy 0.80]") and "leave you" in line["text"]
    other = asked(silence, 24.0, mood="anger", intensity=0.5, energy=1.0, seed=0)
    assert other["text"].startswith("[joy 0.40 + anger 0.14")
    assert other["seed"] == line["seed"]
    tomas = schedule.actors["Tomas"]
    assert schedule.asked(tomas, schedule.silences(tomas)[0])["seed"] != line["seed"]  # nobody reacts like another
    assert plain(line)["text"] == "[joy 0.80] ..." and "timeline" not in plain(line)


# ------------------------------------------------------------------------------------------------ performing


def test_a_script_is_performed_by_the_characters_of_its_names(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    scene.frame_current = 500  # outside of the scene
    scene.frame_end = 60
    read()
    assert [entry.speaker for entry in entries()] == ["MIRA", "TOMAS", "MIRA", "TOMAS"]
    assert bpy.ops.cteg.perform_dialogue() == {"FINISHED"}
    assert at() == [(1, 25), (32, 56), (63, 87), (94, 118)]
    assert [row.status for row in board.board(scene).rows] == ["DONE"] * 4
    assert {entry.actor for entry in entries()[::2]} == {mira} and {e.actor for e in entries()[1::2]} == {tomas}
    assert scene.frame_end >= 118
    assert [len(part.silences) > 0 for part in dialogue_of(scene).parts] == [True, True]


def test_the_scene_goes_on_lasting_until_the_last_line_is_over(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    scene.frame_end = 60
    read()
    bpy.ops.cteg.perform_dialogue()
    end = max(round(line.end) for face in (mira, tomas) for line in lines_of(face))
    assert scene.frame_end == end
    for frames, wanted in ((100, end + 100), (-80, end + 20)):  # dragged too far, and back
        bpy.ops.cteg.shift_entries(frames=frames)
        assert scene.frame_end == wanted
    scene.frame_end = 900  # the animator's: nobody shortens that
    bpy.ops.cteg.shift_entries(frames=-20)
    assert scene.frame_end == 900
    scene.frame_end, dialogue_of(scene).extend = end, False
    bpy.ops.cteg.shift_entries(frames=50)
    assert scene.frame_end == end


def test_only_what_has_changed_is_performed_again(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    before = [entry.line for entry in entries()]
    with pytest.raises(RuntimeError, match="Every line is performed as it is written"):
        bpy.ops.cteg.perform_dialogue()
    entries()[2].text = "Then why?"
    assert board.board(scene).rows[2].status == "CHANGED"
    bpy.ops.cteg.perform_dialogue()
    after = [entry.line for entry in entries()]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]
    assert before[2] not in {line.id for line in lines_of(entries()[0].actor)}
    schedule = Schedule(scene)
    assert [len(schedule.line_of(entry).takes) for entry in entries()] == [1, 1, 1, 1]
    dialogue_of(scene).entry = 1
    bpy.ops.cteg.perform_dialogue(which="SELECTED")  # as more takes
    schedule = Schedule(scene)
    assert [len(schedule.line_of(entry).takes) for entry in entries()] == [1, 2, 1, 1]


def test_what_nobody_plays_keeps_nothing_else_from_being_performed(scene: bpy.types.Scene) -> None:
    actors("Mira")
    actors("Tomas head", "Tomas double")
    read(SCRIPT + "\nNOBODY\nHello?\n")
    said = staging.cast_parts(scene)
    assert [sentence.split(":")[0] for sentence in said] == [
        "Several characters could be TOMAS", "No character of this scene is called NOBODY; choose one under Cast, or "
        "add a head.",
    ]  # fmt: skip
    bpy.ops.cteg.perform_dialogue()
    statuses = [row.status for row in board.board(scene).rows]
    assert statuses == ["DONE", "FAILED", "DONE", "FAILED", "FAILED"]
    dialogue_of(scene).parts["TOMAS"].character = bpy.data.objects["Tomas double"]
    bpy.ops.cteg.perform_dialogue()
    assert [row.status for row in board.board(scene).rows] == ["DONE"] * 4 + ["FAILED"]


def test_a_speaker_that_is_cleared_or_renamed_is_told_and_can_be_cast(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    first, second, *_ = entries()
    first.speaker, second.speaker = "", "BOB"  # the cross of the panel's field, and a script
    bpy.ops.cteg.perform_dialogue()
    assert first.problem == "This line has no speaker; choose one above its text."
    assert second.problem == "Nobody in this scene plays BOB; choose a character under Cast."
    assert all(entry.line and not entry.problem for entry in entries()[2:])
    first.speaker = "MIRA"
    dialogue_of(scene).parts["BOB"].character = mira
    bpy.ops.cteg.perform_dialogue()
    assert all(entry.line and not entry.problem for entry in entries())


def test_a_line_that_is_refused_says_why_and_the_others_are_performed(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read(SCRIPT.replace("I never meant to leave you.", "I refuse."))
    bpy.ops.cteg.perform_dialogue()
    rows = board.board(scene).rows
    assert [row.status for row in rows] == ["DONE", "FAILED", "DONE", "DONE"]
    assert rows[1].told == "The line is refused; type another one."


def test_lines_after_each_other_in_a_circle_are_told_and_the_rest_is_performed(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    first, second, third, fourth = read()
    third.after, fourth.after = fourth.name, third.name
    bpy.ops.cteg.perform_dialogue()
    rows = board.board(scene).rows
    assert [row.status for row in rows] == ["DONE", "DONE", "FAILED", "FAILED"]
    assert "begins after it" in rows[2].told
    assert (first.problem, second.problem) == ("", "")


def test_a_line_deleted_while_it_is_performed_is_not_written_and_others_are(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    production = staging.Production(scene, None, Choices())
    asked_for = production.next()
    assert asked_for is not None and asked_for[2] == "Performing lines: 4"  # none is left, and that is not said
    job = session.start(*asked_for)
    while not job.over:
        job.poll(0.05)
    session.finish()
    staging.remove_entries(scene, [entries()[2].name])
    production.use(job.takes)
    production.finish()
    assert [sentence for sentence in production.said if "deleted" in sentence] == [
        "“Then why didn't you call me?” was deleted while it was performed."
    ]
    assert len(entries()) == 3 and len([line for line in lines_of(mira) if "listening" not in line.text]) == 1


def test_cancelling_keeps_what_was_performed(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    actors("Mira", "Tomas")
    monkeypatch.setattr(staging, "_BATCH", 2)
    read()
    production = staging.Production(scene, None, Choices())
    job = session.start(*production.next())
    while not job.over:
        job.poll(0.05)
    session.finish()
    production.use(job.takes)
    assert production.next() is not None  # and then somebody cancels
    production.finish()
    assert [row.status for row in board.board(scene).rows] == ["DONE", "DONE", "NEW", "NEW"]


def test_a_generator_that_dies_leaves_what_it_had_performed(
    scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors("Mira", "Tomas")
    monkeypatch.setattr(staging, "_BATCH", 2)
    read(SCRIPT.replace("Because I was afraid.", "A crash."))
    with pytest.raises(RuntimeError, match="the fake broke"):
        bpy.ops.cteg.perform_dialogue()
    assert [row.status for row in board.board(scene).rows] == ["DONE", "DONE", "NEW", "NEW"]
    assert not board.working


def test_the_headless_function_reads_casts_performs_and_places(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Somebody")
    script = read_script(SCRIPT.encode(), "scene.fountain")
    played, said = staging.play(scene, script, {"TOMAS": bpy.data.objects["Somebody"]}, start=101, takes=2)
    assert next((one.start, one.end, one.problem) for one in played) == (101.0, 125.0, "")
    assert [one.number for one in played] == [line.number for line in script.lines]
    assert all(len(Schedule(scene).line_of(entry).takes) == 2 for entry in entries())
    assert not [sentence for sentence in said if "Nobody" in sentence]
    assert len(lines_of(mira)) > 2


# ------------------------------------------------------------------------------------------------ listening, looking


def test_reactions_of_who_was_deleted_are_not_counted(
    scene: bpy.types.Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    mira, tomas = actors("Mira", "Tomas")
    read()
    dialogue_of(scene).listening = True
    bpy.ops.cteg.perform_dialogue()
    there = len([line for line in lines_of(mira) if "(listening)" in line.text])
    assert there and any("(listening)" in line.text for line in lines_of(tomas))
    bpy.data.objects.remove(tomas)
    capfd.readouterr()
    bpy.ops.cteg.remove_listening()
    assert f"Reactions removed: {there}" in capfd.readouterr().out


def test_removing_reactions_gives_back_what_was_before_them(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    read()
    dialogue_of(scene).listening = False
    bpy.ops.cteg.perform_dialogue()
    alone = curves(mira), curves(tomas)
    dialogue_of(scene).listening = True
    bpy.ops.cteg.perform_dialogue()
    assert (curves(mira), curves(tomas)) != alone
    assert any("(listening)" in line.text for line in lines_of(mira))
    bpy.ops.cteg.remove_listening()
    arrange(scene)
    for before, face in zip(alone, (mira, tomas), strict=True):
        now = curves(face)
        assert set(now) == set(before)
        for path, points in before.items():
            assert now[path] == pytest.approx(points, abs=1e-4), path


def test_a_reaction_begins_from_the_face_that_the_own_line_left(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    own, reaction = lines_of(mira)[:2]
    begin = reaction.take.settings["begin"]
    assert begin is not None
    clip = blender_cteg.performance.lines.clip_of(blender_cteg.cast.found(scene, mira).rig, own)
    assert begin == pytest.approx(clip.values[-1].tolist(), abs=1e-3)
    assert reaction.start < own.end  # one goes over into the other


def test_a_changed_line_changes_only_the_reactions_that_hear_it(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read(SCRIPT + "\nMIRA\nWell.\n\nTOMAS\nYes?\n\nMIRA\nGoodbye.\n")
    bpy.ops.cteg.perform_dialogue()
    before = {part.name: [silence.name for silence in part.silences] for part in dialogue_of(scene).parts}
    entries()[0].text = "I thought so."
    bpy.ops.cteg.perform_dialogue()
    after = {part.name: [silence.name for silence in part.silences] for part in dialogue_of(scene).parts}
    assert before["MIRA"] == after["MIRA"]
    assert before["TOMAS"][0] not in after["TOMAS"] and before["TOMAS"][1:] == after["TOMAS"][1:]


def test_listeners_look_at_who_speaks_and_eyes_come_before_the_head(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    for face in (mira, tomas):
        face.location.y = abs(face.location.x)
    mira.location, tomas.location = (0.0, 0.0, 0.0), (0.5, -1.0, 0.0)  # before her, to her left
    bpy.context.view_layer.update()
    read()
    bpy.ops.cteg.perform_dialogue()
    reaction = next(line for line in lines_of(mira) if "(listening)" in line.text)
    assert reaction.gaze[0].yaw == pytest.approx(np.arctan2(0.5, 1.0), abs=0.05)
    dialogue_of(scene).looking = False
    arrange(scene)
    assert all(line.gaze == () for line in lines_of(mira))


def test_people_keep_looking_at_each_other_until_the_last_word(scene: bpy.types.Scene) -> None:
    read()
    for entry in entries():
        entry.seconds = 4.5  # so that faces come to rest between
    bpy.ops.cteg.add_heads()
    bpy.ops.cteg.perform_dialogue()
    rigs = [actor.now.rig for actor in Schedule(scene).actors.values()]
    borders = {round(line.start) for rig in rigs for line in lines_of(rig.object)}
    there, last = min(borders) + 48, max(borders)
    frames = [frame for frame in range(there, last) if any(abs(frame - border) < 12 for border in borders)]
    off: dict[int, list[float]] = {0: [], 1: []}
    for frame in frames:
        scene.frame_set(frame)
        for k, (rig, other) in enumerate(zip(rigs, reversed(rigs), strict=True)):
            head = rig.armature.pose.bones[rig.bones["neck"]]
            ahead = (rig.armature.matrix_world @ head.matrix @ head.bone.matrix_local.inverted()).to_3x3()
            away = other.armature.matrix_world.translation - rig.armature.matrix_world.translation
            off[k].append(np.degrees((ahead @ Vector([row[2] for row in rig.axes])).angle(away)))
    assert len(frames) > 40
    assert max(off[0] + off[1]) < 45.0  # 53 where a head is straight in between


def test_a_fixed_target_is_looked_at_whoever_speaks(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    lamp = bpy.data.objects.new("Lamp", None)
    scene.collection.objects.link(lamp)
    lamp.location = mira.matrix_world.translation + Vector((-0.5, -1.0, 0.0))
    bpy.context.view_layer.update()
    read()
    dialogue_of(scene).parts["MIRA"].looks_at = lamp
    bpy.ops.cteg.perform_dialogue()
    looks = {round(glance.yaw, 1) for line in lines_of(mira) for glance in line.gaze}
    assert looks == {0.0, -0.5}


def test_where_somebody_looks_by_hand_stays_when_lines_move(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    scene.cteg.target = mira
    blender_cteg.cast.choose_line(scene, entries()[0].line)
    scene.frame_set(at()[0][0] + 8)
    assert bpy.ops.cteg.direct_live(look_left=0.33) == {"FINISHED"}
    by_hand = {line.id: line.gaze for line in lines_of(mira)}[entries()[0].line]
    assert any(glance.yaw == pytest.approx(0.33) for glance in by_hand) and entries()[0].by_hand
    dialogue_of(scene).looking = False
    bpy.ops.cteg.arrange()
    now = {line.id: line.gaze for line in lines_of(mira)}
    assert now.pop(entries()[0].line) == by_hand and not any(now.values())
    assert bpy.ops.cteg.direct_live(look_left=0.1, intensity=1.2) == {"FINISHED"} and entries()[0].by_hand
    kept = {line.id: line.gaze for line in lines_of(mira)}[entries()[0].line]
    entries()[0].text = "I thought you were gone."
    bpy.ops.cteg.perform_dialogue()
    assert {line.id: line.gaze for line in lines_of(mira)}[entries()[0].line] == kept and entries()[0].by_hand


def test_who_is_to_be_looked_at_and_is_not_there_is_told(scene: bpy.types.Scene) -> None:
    def stage(written: str) -> list[str]:
        return list(nobody([Segment("A", "joy", None, 1.0, 0, 9, None, "words", stage=(Stage("note", written),))],
                           ["ANNA"]))  # fmt: skip

    assert stage("looks at Bob") == ["Bob"] and stage("turning slowly to Bob") == ["Bob"]
    for written in ("looks at Anna", "looks at Bob's hand", "looks away from Bob", "turns to the door", "to Bob"):
        assert stage(written) == [], written


@pytest.mark.parametrize(
    ("written", "whom"),
    [
        ("turns to Anna", "ANNA"), ("looks at bob", "BOB"), ("to Anna", "ANNA"), ("turning to face Anna", "ANNA"),
        ("looks Anna in the eye", "ANNA"), ("looks from Anna to Bob", "BOB"), ("smiles at the old man", "OLD MAN"),
        ("quietly, to Bob's mother", ""), ("looks away from Anna", ""), ("not looking at Anna", ""),
        ("turns to the door", ""), ("about Anna", ""), ("doesn't look at Bob", ""), ("to Annabel", ""),
    ],
)  # fmt: skip
def test_whom_a_direction_turns_to(written: str, whom: str) -> None:
    assert looked_at(written.replace("the old man", "OLD MAN"), ["ANNA", "BOB", "OLD MAN"]) == whom


def test_who_turns_to_somebody_in_a_line_looks_there_until_somebody_else_speaks(scene: bpy.types.Scene) -> None:
    mira, tomas, anna = actors("Mira", "Tomas", "Anna")
    for face, x in ((mira, 0.0), (tomas, 0.5), (anna, -0.5)):  # before her, to her left and to her right
        face.location = (x, -abs(2 * x), 0.0)
    bpy.context.view_layer.update()
    script = "MIRA\nI thought you were gone. (turns to Anna) And you knew.\n\nTOMAS\nI am here.\n\nANNA\nYes.\n\n"
    read("INT. KITCHEN - NIGHT\n\n" + script + "MIRA\n(turns to Anna) Did you?\n")
    for entry in entries():
        entry.seconds = 4.0
    bpy.ops.cteg.perform_dialogue()
    lines = {line.text: line for line in lines_of(mira)}
    first = lines["I thought you were gone. (turns to Anna) And you knew."]
    yaws = [round(glance.yaw, 1) for glance in first.gaze]
    assert [yaw for yaw in yaws if yaw][:2] == [0.5, -0.5]  # at whom it is said, then at Anna
    turn = next(glance for glance in first.gaze if glance.yaw < -0.3)
    assert turn.seconds == pytest.approx(first.take.segments[1].stage[0].start / 24, abs=0.05)
    assert {round(glance.yaw, 1) for glance in lines["(turns to Anna) Did you?"].gaze} <= {0.0, -0.5}
    before = curves(mira)
    arrange(scene)
    assert curves(mira) == before  # nothing was written twice


def test_a_line_by_itself_looks_at_whom_it_names(
    scene: bpy.types.Scene, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    mira, _ = actors("Mira", "Anna")
    mira.location, bpy.data.objects["Anna"].location = (0.0, 0.0, 0.0), (0.5, -1.0, 0.0)
    bpy.context.view_layer.update()
    for text, looks in (("I know. (turns to Anna) You do.", True), ("I know. (turns to Bob) You do.", False)):
        assert bpy.ops.cteg.perform(target="Mira", text=text, seconds=4.0, start_frame=1, takes=1) == {"FINISHED"}
        line = next(line for line in lines_of(mira) if line.text == text)
        assert any(glance.yaw == pytest.approx(0.46, abs=0.05) for glance in line.gaze) == looks
        assert ("looks at Bob, and nobody in this scene is called so" in capfd.readouterr().out) != looks


# ------------------------------------------------------------------------------------------------ timing


def test_a_line_that_is_moved_takes_along_what_hangs_on_it(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    dialogue_of(scene).entry = 1
    bpy.ops.cteg.shift_entries(frames=10)
    assert at() == [(1, 25), (42, 66), (73, 97), (104, 128)]
    entries()[0].frame = 51
    arrange(scene)
    assert at() == [(51, 75), (92, 116), (123, 147), (154, 178)]


def test_lines_that_are_shifted_play_as_those_that_are_written_again(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    for entry in read()[1:]:
        entry.pause = 5.0  # so that silences come to rest
    bpy.ops.cteg.perform_dialogue()
    now = blender_cteg.cast.found(scene, mira)
    last = max(now.lines, key=lambda line: line.start)
    moves = {line.id: line.start + 40 for line in now.lines if line.start > 200}
    assert last.id in moves and 1 < len(moves) < len(now.lines)
    lines = Lines(scene, now.rig, now.mapping)
    scene.frame_set(round(last.start) + 12)
    before = values(mira)
    with redraw.counted((shifting, "shift")) as counts:
        lines.move({name: {"start": start} for name, start in moves.items()})
    assert counts == {"shift": 1}
    bpy.context.view_layer.update()
    seen = values(mira)
    scene.frame_set(scene.frame_current)
    assert seen == values(mira) != before  # seen at once, and not at the next frame
    after = {line.id: line for line in lines_of(mira)}
    assert all(after[name].start == start and after[name].shown == 0 for name, start in moves.items())
    assert not any(line.edited for line in after.values())
    shifted = curves(mira)
    lines.rewrite()
    again = curves(mira)
    assert {path: len(points) for path, points in again.items()} == {path: len(p) for path, p in shifted.items()}
    assert all(again[path] == pytest.approx(points, abs=1e-3) for path, points in shifted.items())
    for name in moves:
        lines.remove(name)
    assert not set(moves) & {line.id for line in lines_of(mira)}


def test_keys_of_the_animator_behind_a_line_stay_where_they_are(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    key = mira.data.shape_keys.key_blocks["browInnerUp"]
    key.value = 0.2
    key.keyframe_insert("value", frame=400)
    read()
    bpy.ops.cteg.perform_dialogue()
    entries()[0].frame = 31
    arrange(scene)
    assert at()[0] == (31, 55)
    data = mira.data.shape_keys.animation_data
    curve = data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves.find('key_blocks["browInnerUp"].value')
    assert curve.keyframe_points[-1].co[:] == pytest.approx((400.0, 0.2))


def test_a_marker_takes_its_line_along_and_so_does_a_line_whose_keys_were_moved_by_hand(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    dialogue_of(scene).listening = False
    bpy.ops.cteg.perform_dialogue()
    dialogue_of(scene).entry = 1
    bpy.ops.cteg.mark_entries()
    entry = entries()[1]
    assert entry.rule == "MARKER" and scene.timeline_markers[entry.marker].frame == 32
    scene.timeline_markers[entry.marker].frame = 40
    arrange(scene)
    assert at()[1:] == [(40, 64), (71, 95), (102, 126)]
    line = Schedule(scene).line_of(entries()[2])
    Lines(scene, blender_cteg.cast.found(scene, mira).rig).change(line.id, start=81, end=105)  # as if by hand
    arrange(scene)
    assert at()[1:] == [(40, 64), (81, 105), (112, 136)]
    assert entries()[2].pause == pytest.approx((81 - 64) / 24, abs=1e-3)


def test_reactions_that_keys_were_moved_into_are_taken_off_and_performed_again(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    entries()[2].pause = 4.0  # so that Mira comes to rest before it
    bpy.ops.cteg.perform_dialogue()
    begin = at()[2][0]
    data = mira.data.shape_keys.animation_data
    for curve in data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves:
        for point in curve.keyframe_points:
            if point.co.x > begin - 0.5:
                point.co.x -= 6.0
                point.handle_left.x -= 6.0
                point.handle_right.x -= 6.0
        curve.update()
    said: list[str] = []
    assert arrange(scene, said=said) == "" and at()[2][0] == begin - 6
    assert len(said) == 1 and said[0].startswith("MIRA: reactions that keys were moved into were taken off")
    assert len(lines_of(mira)) == 3
    bpy.ops.cteg.perform_dialogue()
    assert len(lines_of(mira)) == 4 and at()[2][0] == begin - 6


def test_a_line_of_a_dialogue_is_sampled_again_without_being_typed(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    scene.cteg.target, scene.cteg.text = mira, ""
    scene.frame_set(at()[2][0] + 20)
    blender_cteg.cast.refresh(scene)
    blender_cteg.cast.choose_line(scene, entries()[2].line)
    assert bpy.ops.cteg.perform(mode="RESAMPLE", takes=2) == {"FINISHED"}
    assert {line.id: len(line.takes) for line in lines_of(mira)}[entries()[2].line] == 3


def test_lines_fit_frames_markers_and_the_end_of_another_line(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read()
    dialogue_of(scene).listening = False
    bpy.ops.cteg.perform_dialogue()
    dialogue_of(scene).entry = 0
    popup = SimpleNamespace(seconds=3.0, frame=100)
    timing.CTEG_OT_fit_entry.as_it_is(popup, bpy.context)  # it changes nothing before something is typed
    assert (popup.seconds, popup.frame) == (1.0, 25) and at()[0] == (1, 25)
    bpy.ops.cteg.fit_entry(to="SECONDS", seconds=2.0)
    assert at()[:2] == [(1, 49), (56, 80)]
    scene.timeline_markers.new("here", frame=37)
    bpy.ops.cteg.fit_entry(to="MARKER")
    assert at()[0] == (1, 37)
    entries()[1].chosen = True
    entries()[1].rule, entries()[1].frame = "FRAME", 20
    arrange(scene)
    bpy.ops.cteg.fit_entry(to="LINE")
    assert at()[:2] == [(1, 44), (20, 44)]
    with pytest.raises(RuntimeError, match="so fast"):
        bpy.ops.cteg.fit_entry(to="FRAME", frame=5)
    bpy.ops.cteg.fit_entry(to="NATURAL")
    assert at()[0] == (1, 25) and entries()[0].seconds == 0.0


def test_words_and_accents_get_markers_on_request(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    dialogue_of(scene).entry = 0
    bpy.ops.cteg.mark_words(what="WORDS")
    line = Schedule(scene).line_of(entries()[0])
    words = {word.text: round(line.start + 24 * word.start) for word in line.take.timeline.words}
    assert {marker.name: marker.frame for marker in scene.timeline_markers} == words


# ------------------------------------------------------------------------------------------------ reading


def test_a_dry_run_says_what_would_be_and_changes_nothing(scene: bpy.types.Scene) -> None:
    actors("Mira")
    script = read_script(SCRIPT.encode(), "scene.fountain")
    said = scripts.dry_run(scene, script, "scene.fountain")
    assert said.sentences() == [
        "Lines: 4, speakers: 2, read as Fountain.",
        "MIRA (2): played by Mira",
        "TOMAS (2): nobody here has this name",
    ]
    assert all(sentence.startswith("Line ") for sentence in said.left_out())
    assert not entries() and not len(dialogue_of(scene).parts)


def test_a_noun_before_a_colon_is_said_unless_somebody_of_the_scene_has_that_name(scene: bpy.types.Scene) -> None:
    actors("Anna")
    add_entry(scene, "Tom", "Yes.")
    assert named_before(scene, "Coffee: Black, please.") == {"names": []}
    assert named_before(scene, "Anna: black, please.") == {"names": ["Anna"]}
    assert named_before(scene, "Tom: Black, please.") == {"names": ["Tom"]}
    assert named_before(scene, "Get out. I mean it: now.") == {}
    said = Take("k", segments=(Segment("Coffee: Black.", "joy", None, 1.0, 0, 9, None, "words"),))
    assert named_before(scene, "Coffee: Black.", said) == {"names": []}
    assert named_before(
        scene, "Coffee: Black.", replace(said, segments=(replace(said.segments[0], text="Black."),))
    ) == {"names": ["Coffee"]}  # performed before without it, it is again


def test_what_a_dry_run_took_for_a_name_is_said_after_one_click(scene: bpy.types.Scene, tmp_path: Path) -> None:
    actors("Anna")
    path = tmp_path / "a.txt"
    path.write_text("Anna: Yes?\nTom: Hello.\nCoffee: Black, please.\nAnna: Here.\nSam: I know.\n")
    script = scripts.read(path)
    assert scripts.dry_run(scene, *script).doubtful() == ["Tom", "Coffee", "Sam"]
    labels = [{"name": "Tom", "speaks": True}, {"name": "Coffee", "speaks": False}]
    assert bpy.ops.cteg.read_script(filepath=str(path), labels=labels) == {"FINISHED"}
    assert [(e.speaker, e.text) for e in entries()] == [
        ("Anna", "Yes?"), ("Tom", "Hello. Coffee: Black, please."), ("Anna", "Here."), ("Sam", "I know."),
    ]  # fmt: skip


def test_subtitles_keep_their_times_and_lengths(scene: bpy.types.Scene) -> None:
    srt = "1\n00:01:00,000 --> 00:01:02,000\nMIRA: Hello.\n\n2\n00:01:05,000 --> 00:01:06,500\nTOMAS: Yes?\n"
    added = read(srt, "x.srt")
    assert [(entry.rule, entry.frame, round(entry.seconds, 2)) for entry in added] == [
        ("FRAME", 1, 2.0), ("FRAME", 121, 1.5)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "name"), [(b"", "a.fountain"), (b"\x00\xff\xfe", "a.fdx"), (b"<a", "a.fdx"), (b"hello", "a.mov")]
)
def test_a_file_that_is_no_script_is_told_and_adds_nothing(data: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=name.replace(".", r"\.")):
        bpy.ops.cteg.read_script(filepath=str(path))
    assert not entries()


def test_a_file_is_read_by_the_operator_and_replaces_what_is_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    actors("Mira", "Tomas")
    path = tmp_path / "scene.fountain"
    path.write_text(SCRIPT, "utf-16")
    bpy.ops.cteg.read_script(filepath=str(path))
    # The status bar shows what is reported last: what was done, not what was left out.
    assert capfd.readouterr().out.strip().splitlines()[-1] == "Info: Lines added: 4"
    bpy.ops.cteg.perform_dialogue()
    bpy.ops.cteg.read_script(filepath=str(path), replace=True)
    assert len(entries()) == 4 and not any(entry.line for entry in entries())
    assert not curves(bpy.data.objects["Mira"])


# ------------------------------------------------------------------------------------------------ the panel


def test_two_hundred_lines_are_drawn_from_what_is_known(scene: bpy.types.Scene, tmp_path: Path) -> None:
    names = ("Ada", "Ben", "Cleo", "Dan")
    actors(*names)
    tab = [panel for panel in redraw.panels() if panel.__module__.endswith("dialogue_panel")]
    assert len(tab) == 3
    costs = {}
    for count in (20, 200):
        text = "\n".join(f"{names[k % 4].upper()}: This is what I say in line {k}." for k in range(count))
        (path := tmp_path / f"{count}.txt").write_text(text, "utf-8")
        bpy.ops.cteg.read_script(filepath=str(path), replace=True)
        board.refresh(scene)
        redraw.redraw(tab)
        costs[count] = calls(redraw.redraw, tab)
    assert costs[200] < 1.5 * costs[20]  # what that takes is measured by benchmarks/whole_scene.py
    with redraw.counted((detect, "detect_rig"), (board, "_found")) as counts:
        drawn = redraw.redraw(tab)
    assert "ADA: This is what I say in line 4." in drawn and "CTEG_UL_entries: 200 rows, active 0" in drawn
    assert counts == {"detect_rig": 0, "_found": 0}
    with redraw.counted((detect, "detect_rig")) as counts:
        dialogue_of(scene).entry = 150  # what its character does is looked at when the mouse rests
    assert counts == {"detect_rig": 0}


def test_deleting_entries_takes_their_lines_off_the_characters(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    read()
    dialogue_of(scene).listening = False
    bpy.ops.cteg.perform_dialogue()
    for entry in entries():
        entry.chosen = True
    bpy.ops.cteg.remove_entries()
    assert not entries() and not len(dialogue_of(scene).parts)
    assert not curves(mira) and not curves(tomas)


def test_added_heads_stand_beside_those_that_are_there(scene: bpy.types.Scene) -> None:
    read()
    for _ in range(2):
        assert bpy.ops.cteg.add_heads() == {"FINISHED"}
        heads = [part.character for part in dialogue_of(scene).parts]
        at = [head.parent.matrix_world.translation for head in heads]
        assert min((a - b).xy.length for a, b in itertools.combinations(at, 2)) > 0.35
        gone = heads[1]
        for obj in (gone.parent, gone):
            bpy.data.objects.remove(obj)


def test_heads_are_added_outside_of_what_stands_there_and_in_the_room_that_it_stands_in(scene: bpy.types.Scene) -> None:
    bpy.ops.mesh.primitive_cube_add(size=2.0)  # the one of a new file
    cube = bpy.context.object
    bpy.ops.mesh.primitive_cube_add(size=10.0)
    room = bpy.context.object
    read()
    assert bpy.ops.cteg.add_heads() == {"FINISHED"}
    heads = [part.character for part in dialogue_of(scene).parts]
    for head in heads:
        corners = [head.matrix_world @ Vector(corner) for corner in head.bound_box]
        assert min(corner.x for corner in corners) > 1.0  # beside the cube
        assert max(abs(value) for corner in corners for value in corner) < 5.0  # not beside the room
    assert set(bpy.context.selected_objects) == set(heads) and not cube.select_get() and not room.select_get()
    assert scene.cteg.target == heads[0]  # the panels of a character have one to show


def test_a_character_that_was_deleted_plays_nobody(scene: bpy.types.Scene) -> None:
    _, tomas = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    assert not bpy.ops.cteg.add_heads.poll()
    scene.collection.objects.unlink(tomas)  # as the interface does; who points at it keeps it
    assert dialogue_of(scene).parts["TOMAS"].character == tomas
    known = board.refresh(scene)
    assert known.unplayed == ("TOMAS",) and known.rows[1].told.startswith("Nobody in this scene plays TOMAS")
    drawn = redraw.redraw([panel for panel in redraw.panels() if panel.__module__.endswith("dialogue_panel")])
    assert "[cteg.add_heads]" in drawn and "–" in drawn
    assert scripts.dry_run(scene, read_script(SCRIPT.encode(), "a.fountain"), "a").speakers["TOMAS"] == (2, ())
    assert bpy.ops.cteg.add_heads() == {"FINISHED"}
    assert not board.board(scene).unplayed and dialogue_of(scene).parts["TOMAS"].character != tomas


def test_lines_that_play_in_strips_are_known_as_such_and_left_as_they_are(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    first, theirs, before = next(e for e in entries() if e.actor == mira), curves(tomas), at()
    row = entries().index(first)
    scene.cteg.target = mira
    blender_cteg.cast.keep_line(scene, first.line)
    blender_cteg.cast.refresh(scene)
    assert bpy.ops.cteg.send_to_strip() == {"FINISHED"}
    assert board.refresh(scene).rows[row].status == "AWAY"
    count = len(lines_of(mira))
    first.text += " Again."
    with pytest.raises(RuntimeError, match="plays in a strip of Mira and is left as it is"):
        bpy.ops.cteg.perform_dialogue()  # there is nothing else to do
    assert bpy.ops.cteg.arrange() == {"FINISHED"}
    first.chosen = True
    with pytest.raises(RuntimeError, match="plays in a strip of Mira and is left as it is"):
        bpy.ops.cteg.remove_entries()
    assert len(lines_of(mira)) == count and curves(tomas) == theirs
    assert bpy.ops.cteg.bring_back() == {"FINISHED"}
    assert board.refresh(scene).rows[row].status == "CHANGED" and at() == before


def test_nobody_moves_while_a_strip_of_somebody_else_is_tweaked(scene: bpy.types.Scene) -> None:
    mira, tomas = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    theirs, before = curves(tomas), at()
    data = mira.data.shape_keys.animation_data
    track = data.nla_tracks.new()
    strip = track.strips.new("other", 1, bpy.data.actions.new("Other"))
    track.select = strip.select = True
    data.nla_tracks.active = track
    data.use_tweak_mode = True
    assert bpy.ops.cteg.arrange() == {"FINISHED"} and curves(tomas) == theirs
    statuses = {e.actor.name: row.status for e, row in zip(entries(), board.refresh(scene).rows, strict=True)}
    assert statuses == {"Mira": "AWAY", "Tomas": "DONE"}
    data.use_tweak_mode = False
    assert bpy.ops.cteg.arrange() == {"FINISHED"} and curves(tomas) == theirs and at() == before


def test_the_list_says_where_lines_are_whose_keys_were_moved_by_hand(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    row = next(k for k, entry in enumerate(entries()) if entry.actor == mira)
    start, _ = at()[row]
    for curve in mira.data.shape_keys.animation_data.action.layers[0].strips[0].channelbags[0].fcurves:
        for point in curve.keyframe_points:
            point.co.x, point.handle_left.x, point.handle_right.x = (
                point.co.x + 50, point.handle_left.x + 50, point.handle_right.x + 50
            )  # fmt: skip
    assert board.refresh(scene).rows[row].start == start + 50


def test_lines_are_added_by_hand_and_alternate(scene: bpy.types.Scene) -> None:
    actors("Mira", "Tomas")
    add_entry(scene, "Mira", "Hello.", rule="FRAME", frame=1)
    add_entry(scene, "Tomas", "Hello.")
    bpy.ops.cteg.add_entry(text="And?")
    assert [entry.speaker for entry in entries()] == ["Mira", "Tomas", "Mira"]


def test_lines_without_a_speaker_and_files_without_a_name_are_told_in_whole_sentences(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No file is chosen"):
        bpy.ops.cteg.read_script()
    (tmp_path / "bomb.fdx").write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><FinalDraft/>')
    with pytest.raises(RuntimeError, match=r"^Error: bomb\.fdx declares entities .* save it"):
        bpy.ops.cteg.read_script(filepath=str(tmp_path / "bomb.fdx"))
    subtitles = "1\n00:00:01,000 --> 00:00:02,000\nWho is it?\n"
    said = scripts.dry_run(bpy.context.scene, read_script(subtitles.encode(), "film.srt"), "film.srt").sentences()
    assert said == ["Lines: 1, speakers: 1, read as SRT.", "Someone (1): the script does not say who"]
    (line,) = read(subtitles, "film.srt")
    (row,) = board.board(bpy.context.scene).rows
    assert (line.speaker, row.told) == ("Someone", "Nobody in this scene plays Someone; choose a character under Cast.")
    line.speaker = ""
    (row,) = board.board(bpy.context.scene).rows
    assert row.told == "This line has no speaker; choose one above its text."


def test_an_edit_by_hand_that_goes_with_its_text_is_told(scene: bpy.types.Scene) -> None:
    mira, _ = actors("Mira", "Tomas")
    read()
    dialogue_of(scene).listening = False
    bpy.ops.cteg.perform_dialogue()
    data = mira.data.shape_keys.animation_data
    curve = data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves.find('key_blocks["browInnerUp"].value')
    for point in curve.keyframe_points:
        if 5 < point.co.x < 20:
            point.co.y += 0.2
    curve.update()
    entries()[0].text = "Somebody said that you were gone."
    production = staging.Production(scene, None, Choices())
    while asked_for := production.next():
        job = session.start(*asked_for)
        while not job.over:
            job.poll(0.05)
        session.finish()
        production.use(job.takes)
    production.finish()
    (said,) = [sentence for sentence in production.said if "by hand" in sentence]
    assert said.startswith("What was changed by hand in “I thought you were gone for good.” went with its old takes; ")
    assert not any(line.layer for line in lines_of(mira))


def test_performed_lines_whose_start_is_gone_stay_and_are_told(
    scene: bpy.types.Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    actors("Mira", "Tomas")
    read()
    bpy.ops.cteg.perform_dialogue()
    before = at()
    entries()[0].rule, entries()[0].marker = "MARKER", "gone"
    capfd.readouterr()
    bpy.ops.cteg.arrange()
    assert "no marker called 'gone'" in capfd.readouterr().out
    with pytest.raises(RuntimeError, match="MIRA: There is no marker called 'gone'"):
        bpy.ops.cteg.perform_dialogue()
    assert at() == before
    scene.timeline_markers.new("gone", frame=1)
    with pytest.raises(RuntimeError, match="as it is written"):
        bpy.ops.cteg.perform_dialogue()
