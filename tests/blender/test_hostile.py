# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is in a file, a scene or a message of the generator: it is read, or refused with a sentence."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg.character.fitting.fitted import FIT_PROPERTY, _record
from blender_cteg.character.mapping import Mapping, MappingError
from blender_cteg.dialogue import scripts
from blender_cteg.dialogue.scripts import UnreadableScript
from blender_cteg.heads.flame_file import FlameFileError
from blender_cteg.heads.flame_file.read import read_flame
from blender_cteg.heads.flame_file.template import read_uv
from blender_cteg.operators.timelines import read_timeline
from blender_cteg.performance import migration, preview, store
from blender_cteg.performance.patch import WROTE, PatchError
from blender_cteg.performance.playing import WIDTH, pack
from blender_cteg.performance.spans import GROUP
from blender_cteg.performance.spans import Store as Spans
from blender_cteg.storage import FileError, StoredError, from_text, read_file
from blender_cteg.worker import protocol
from blender_cteg.worker.protocol import ProtocolError
from tests.blender.flame_files import flame_fields, write_npz, write_pickle
from tests.blender.scenes import arkit_face
from tests.hostile import Reader, attack_all, file_reader, watched

VERSIONS = Path(__file__).with_name("data") / "versions"


def text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def mappings(folder: Path) -> list[Reader]:
    readers = []
    for version in sorted(VERSIONS.glob("mapping_*.json")):
        path = folder / version.name
        path.write_bytes(version.read_bytes())
        read = partial(lambda path: Mapping.from_json(read_file(path)), path)
        readers.append(file_reader(version.name, path, read, (MappingError, FileError)))
    return readers


def timelines(folder: Path) -> list[Reader]:
    path = folder / "timeline.json"
    path.write_bytes((VERSIONS / "timeline_1.json").read_bytes())
    return [file_reader("timeline", path, partial(read_timeline, path), (FileError,))]


def records(_folder: Path) -> list[Reader]:
    """What lies in custom properties as text."""
    lines = (VERSIONS / "line_1.json").read_bytes()
    takes = tuple((VERSIONS / f"take_{n}.json").read_bytes() for n in (1, 2, 3))
    made = lambda content: migration._made({migration._TAKE_PROPERTY: text(content)})  # noqa: E731
    return [
        Reader("line", (lines,), lambda content: store._line("a", text(content)), (StoredError,)),
        Reader("take of 0.1.0", takes, made, ()),
        Reader("fit", (b'{"hash": "a", "percent": {"jawOpen": 3.0}}',), lambda c: _record({FIT_PROPERTY: text(c)}), ()),
        Reader("pose", (b'[["key_blocks[\\"a\\"]", "value", 0.5]]',), lambda c: preview._stored(text(c)), ()),
        Reader("any text", (lines,), from_text, (StoredError,)),
    ]


class _Action(dict[str, Any]):
    """As much of an action as its stored spans are read from."""

    name = "Action"


def spans(_folder: Path) -> list[Reader]:
    keys = np.zeros(3, WROTE)
    keys["frame"] = 1, 2, 3
    rows = np.zeros((2, WIDTH))
    rows[:, 0] = 1, 2
    group = {
        "version": 1, "curves": json.dumps([[0, 1, "pose", 0, None]]),
        "spans": {
            "a": {
                "at": [1.0, 3.0], "linear": False, "settled": False, "stayed": [1.0, 2.0],
                "curves": np.array([[0, 3]], "<i4").tobytes().decode("latin-1"),
                "keys": keys.tobytes().decode("latin-1"),
            }
        },
        "records": {"0": {"base": 1, "keys": pack(rows).decode("latin-1")}},
    }  # fmt: skip

    def encoded(value: Any) -> Any:
        """Bytes are written as text in JSON here."""
        if isinstance(value, dict):
            parts = {key: encoded(part) for key, part in value.items()}
            for name in ("curves", "keys"):
                if isinstance(parts.get(name), str) and "version" not in parts:
                    parts[name] = parts[name].encode("latin-1", "replace")
            return parts
        return value

    def put(content: bytes) -> Any:
        try:
            return encoded(json.loads(content))
        except (ValueError, RecursionError):
            return content

    def read(stored: Any) -> object:
        found = Spans(_Action({GROUP: stored}))
        return [found.curves, found.counts, [found.span(name) for name in found.ids], found.record(0)]

    return [Reader("spans", (json.dumps(group).encode(),), read, (PatchError,), put)]


def messages(_folder: Path) -> list[Reader]:
    values = {"dtype": "<f4", "shape": [1, 2], "base64": "AAAAAAAAAAA="}
    segment = {
        "text": "No.", "emotion": "joy", "emotion_to": None, "intensity": 1.0, "start": 0, "end": 1, "direction": None,
        "source": "words", "alternatives": {"fear": 0.2}, "emotion_with": None, "share": 0.5,
    }  # fmt: skip
    clip = {
        "id": 1, "event": "clip", "line": 0, "take": 0, "seed": 3, "text": "No.", "emotion": "joy", "fps": 24.0,
        "space": "arkit55", "channels": ["a", "b"], "values": values, "timeline": None, "speech_scale": 1.0,
        "settings": {"rate": 1.0}, "segments": [segment], "warnings": ["Slow."],
    }  # fmt: skip
    told = [
        clip,
        {"id": 1, "event": "hello", "protocol": 3, "generator": "1", "python": "3", "numpy": "1", "torch": None},
        {"id": 1, "event": "progress", "fraction": 0.5, "stage": "x"},
        {"id": None, "event": "error", "kind": "input", "message": "No."},
        {"id": 1, "event": "done", "engine": "numpy", "device": "cpu", "seconds": 0.1},
    ]
    return [Reader("messages", tuple(json.dumps(one).encode() for one in told), protocol.parse, (ProtocolError,))]


def flame(folder: Path) -> list[Reader]:
    fields = flame_fields(40)
    readers = []
    pickles = [write_pickle(folder / f"flame{n}.pkl", fields, n, chumpy=n == 2) for n in (0, 2, 4)]
    for path in (*pickles, write_npz(folder / "flame.npz", fields)):
        readers.append(file_reader(path.name, path, partial(read_flame, path), (FlameFileError,)))
    return readers


def template(folder: Path) -> list[Reader]:
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    obj, npz = folder / "uv.obj", folder / "uv.npz"
    obj.write_text("vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3\nf 1/1/1 3/3/1 4/4/1\n")
    np.savez(npz, vt=np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]), ft=faces, f=faces)
    return [file_reader(path.name, path, partial(read_uv, path, faces), (FlameFileError,)) for path in (obj, npz)]


KINDS = (mappings, timelines, records, spans, messages, flame, template)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_whatever_it_holds_it_is_read_or_refused(
    kind: Callable[[Path], list[Reader]], tmp_path: Path, long: bool
) -> None:
    attack_all(kind(tmp_path), tmp_path, long)


def member(shape: str, kind: str = "|i1") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def test_a_small_archive_does_not_unfold_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "flame.npz"
    rows = 26_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("v_template.npy", "w") as file:  # bytes that would be eight times as large as numbers
            file.write(member(f"({rows}, 3)"))
            for _ in range(78):
                file.write(bytes(1_000_000))
        for name in ("f", "shapedirs", "J_regressor", "weights", "kintree_table"):
            archive.writestr(f"{name}.npy", member("(0,)"))
    assert path.stat().st_size < 130_000
    with watched(tmp_path), pytest.raises(FlameFileError, match="far larger than a FLAME file's"):
        read_flame(path)
    content = bytearray(path.read_bytes())  # and it claims to be small
    place = content.find(b"PK\x01\x02")
    content[place + 24 : place + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with watched(tmp_path), pytest.raises(FlameFileError):
        read_flame(path)


def test_a_text_of_any_length_is_not_parsed(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(3_000_000_000)
    with watched(tmp_path), pytest.raises(FileError, match="has 3000 MB"):
        read_file(tmp_path / "large.json")
    with watched(tmp_path), pytest.raises(StoredError, match="nothing of ours has more than"):
        from_text("[" + "[]," * 6_000_000 + "[]]")
    with pytest.raises(FileError, match="is not a file"):
        read_file(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
def test_a_script_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.srt")
    for path in (tmp_path / "pipe.srt", tmp_path, Path("/dev/zero")):
        with watched(tmp_path), pytest.raises(UnreadableScript, match="is not a file; choose a script"):
            scripts.read(path)


def test_a_pose_in_a_file_sets_nothing_but_poses(scene: bpy.types.Scene) -> None:
    face = arkit_face()
    keys = face.data.shape_keys
    jaw = keys.key_blocks["jawOpen"]
    jaw.value = 0.7
    poses = [
        ['key_blocks["jawOpen"]', "value", 0.25],
        ['key_blocks["jawOpen"]', "name", "gone"],
        ["", "name", "mine"],
        ['key_blocks["jawOpen"].id_data', "use_fake_user", True],
    ]
    keys[preview.PREVIEW_PROPERTY] = json.dumps(poses)
    preview.take_back_poses()
    assert jaw.value == pytest.approx(0.25) and jaw.name == "jawOpen"
    assert keys.name != "mine" and not keys.use_fake_user and preview.PREVIEW_PROPERTY not in keys
