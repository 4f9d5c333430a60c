# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is in a file or a request: it is read, or refused with a sentence. Nothing else happens."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator.baselines import load_baseline
from generator.baselines.checkpoint import save_baseline
from generator.baselines.lstm import LstmRegressor
from generator.captures.live_link import read_recording
from generator.captures.settings import CaptureSettings
from generator.captures.transcripts import read_transcripts
from generator.corpus.build import build_corpus
from generator.corpus.reader import Corpus
from generator.direction.emotions import EMOTIONS
from generator.direction.requests import LineRequest
from generator.direction.script import write_script
from generator.engine.arrays import read_weights
from generator.engine.builtin import NumpyEngine
from generator.engine.config import ModelConfig
from generator.errors import CheckpointError, DataError, GeneratorError, InputError, MemoryProblem
from generator.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from generator.model.cteg import CTEG
from generator.model.text import TextEncoder
from generator.paper.checkpoint import load_paper_checkpoint
from generator.paper.emoava import open_emoava
from generator.paper.released.checkpoint import read_released_checkpoint
from generator.performing.clips import Clips
from generator.performing.speaking import read_parts, say_parts
from generator.reading import KEPT, RECORDING, Budget, Reading, Unreadable, from_json, reading, refusing
from generator.say import _given_timeline
from generator.shared.scripts import ScriptError, read_script
from generator.shared.spaces import ARKIT55
from generator.worker import Worker
from tests import hostile
from tests.generator.made_captures import write_recording
from tests.generator.made_emoava import make_emoava_like
from tests.generator.test_released_checkpoint import settings as released_settings
from tests.generator.test_released_checkpoint import state_of
from tests.generator.tiny import write_bert, write_paper
from tests.hostile import Reader, attack_all, watched

REFUSALS = (GeneratorError,)
file_reader = partial(hostile.file_reader, refusals=REFUSALS)


def checkpoint(folder: Path) -> list[Reader]:
    torch.manual_seed(0)
    encoder = write_bert(folder / "bert")
    (encoder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    config = ModelConfig(
        d_model=16,
        n_head=2,
        d_inner=16,
        d_latent=4,
        text_width=16,
        d_ewa=4,
        prior_parts=2,
        prior_components=2,
    )
    save_checkpoint(Checkpoint(CTEG(config), text_encoder=str(encoder)), made := folder / "made")
    encode = lambda: TextEncoder.load(str(encoder))  # noqa: E731
    return [
        file_reader("checkpoint settings, torch", made / "config.json", partial(load_checkpoint, made)),
        file_reader("checkpoint settings, numpy", made / "config.json", partial(NumpyEngine.load, made)),
        file_reader("checkpoint weights, torch", made / "model.safetensors", partial(load_checkpoint, made)),
        file_reader("checkpoint weights, numpy", made / "model.safetensors", partial(NumpyEngine.load, made)),
        file_reader("encoder settings", encoder / "config.json", encode),
        file_reader("encoder case", encoder / "tokenizer_config.json", encode),
        file_reader("encoder vocabulary", encoder / "vocab.txt", encode),
        file_reader("encoder weights", encoder / "model.safetensors", encode),
    ]


def safetensors(folder: Path) -> list[Reader]:
    path = write_bert(folder / "bert8") / "model.safetensors"
    return [
        file_reader("safetensors", path, partial(read_weights, path), refusals=(ValueError, OSError, RecursionError))
    ]


def paper(folder: Path) -> list[Reader]:
    made = write_paper(folder / "paper")
    load = partial(load_paper_checkpoint, made)
    return [
        file_reader("paper settings", made / "config.json", load),
        file_reader("paper weights", made / "model.safetensors", load),
    ]


def baseline(folder: Path) -> list[Reader]:
    encoder = str(write_bert(folder / "bert_of_baseline"))
    model = LstmRegressor(ARKIT55, text_width=16, width=8, layers=1, heads=2, max_frames=16)
    save_baseline(model, encoder, made := folder / "baseline", {})
    read = partial(load_baseline, made)
    return [file_reader(f"baseline, {name}", made / name, read) for name in ("config.json", "model.safetensors")]


def released(folder: Path) -> list[Reader]:
    options, path = released_settings(), folder / "model.chkpt"
    state = state_of(options.encoder_pretrained)
    torch.save({"epoch": 7, "settings": options, "model": state}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    program = next(name for name in members if name.endswith("data.pkl"))

    def put(pickled: bytes) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, pickled if name == program else data)

    return [
        file_reader("released checkpoint", path, partial(read_released_checkpoint, path)),
        Reader("its pickle", (members[program],), lambda _: read_released_checkpoint(path), REFUSALS, put),
    ]


def emoava(folder: Path) -> list[Reader]:
    made = make_emoava_like(folder / "emoava", {"train": 3, "dev": 2, "test": 2}, (4, 6))
    read = partial(open_emoava, made, "dev")
    return [
        file_reader(f"EmoAva, {name}", made / name, read)
        for name in ("dev_stage1_text.pkl", "dev_stage1_exps.pkl", "stage1_mean.npy")
    ]


def captures(folder: Path) -> list[Reader]:
    path = write_recording(folder / "captures" / "take.csv", np.zeros((4, 55), np.float32), dropped=0)
    table, options = path.with_name("transcripts.csv"), path.with_name("captures.json")
    table.write_text("file,text,emotion,intensity,start,end\ntake,Oh no.,fear,1,0,0.1\n")
    options.write_text('{"rest": "percentile", "head": {"yaw": -1}, "timecode_fps": 60}')
    return [
        file_reader("recording", path, partial(read_recording, path)),
        file_reader("transcripts", table, lambda: read_transcripts(path.parent, [path])),
        file_reader("settings of captures", options, partial(CaptureSettings.read, path.parent)),
    ]


def corpus(folder: Path) -> list[Reader]:
    build_corpus(folder / "corpus", limit=4)
    made = folder / "corpus"

    def read() -> object:
        found = Corpus.open(made, "train")
        return [found.clip(0), found.direction(0), found.labelled()]

    names = ("corpus.json", "train_offsets.npy", "train_lines.jsonl", "train_labelled.jsonl")
    return [file_reader(f"corpus, {name}", made / name, read) for name in names]


def kept(folder: Path) -> list[Reader]:
    path = folder / "kept.npz"
    np.savez_compressed(path, values=np.zeros((5, 3), np.float16), notes=np.array('{"lines": []}'))
    array, made = folder / "one.npy", folder / "line.npz"
    takes = np.zeros((1, 4, ARKIT55.size), np.float32)
    Clips(takes, np.array([4]), np.array([1]), ARKIT55, "No.", "joy", {"a": 1}, (), (({"text": "No."},),)).write(made)
    np.save(array, np.arange(12.0).reshape(3, 4))
    refuse = lambda why: InputError(f"kept.npz is damaged ({why}).")  # noqa: E731

    def read(where: Path, kind: str) -> object:
        with reading(where, KEPT, refuse) as file:
            return getattr(file, kind)()

    return [
        file_reader("arrays that were kept", path, partial(read, path, "arrays")),
        file_reader("takes", made, partial(Clips.read, made), refusals=(InputError,)),
        file_reader("an array", array, partial(read, array, "array")),
    ]


def timelines(folder: Path) -> list[Reader]:
    path, stored = folder / "line.json", Path(__file__).parents[1] / "blender" / "data" / "versions" / "timeline_1.json"
    shutil.copy(stored, path)
    return [file_reader("timeline", path, partial(_given_timeline, path))]


class _NoPerformer(Worker):
    """Everything of the worker but what loads and performs."""

    def _performer(self, *_: Any) -> Any:
        raise CheckpointError("There is nothing to perform with.")


def requests(_folder: Path) -> list[Reader]:
    line = {
        "text": "(softly) I [joy] knew it.", "emotion": "auto", "seed": 3, "takes": 2, "seconds": 2.0, "intensity": 1.0,
        "branch": {"seed": 1, "frame": 4, "of": {"vary": {"seed": 2, "amount": 0.5}}}, "begin": [0.0, 0.5],
        "timeline": {"words": [{"text": "no", "phonemes": [["N", 0.1, 0.2], ["OW1", 0.2, 0.4]]}]},
    }  # fmt: skip
    asked = [
        {"id": 1, "op": "generate", "lines": [line], "checkpoint": None, "device": "auto"},
        {"id": 2, "op": "cancel", "target": 1},
        {"id": 3, "op": "check"},
    ]

    def read(content: bytes) -> object:
        answers = io.StringIO()
        text = content.decode("utf-8", "replace").replace("\n", " ").replace("\r", " ")
        worker = _NoPerformer(io.StringIO(text + "\n"), answers)
        worker.read()
        worker.wait()
        heard = [json.loads(answer) for answer in answers.getvalue().splitlines()]
        assert heard or not text.strip(), "no answer"
        assert all(one["event"] in ("error", "done", "hello", "progress", "cancelled") for one in heard), heard
        assert not any(one.get("kind") == "internal" for one in heard), heard
        return heard

    return [Reader("requests", tuple(json.dumps(one).encode() for one in asked), read, ())]


def lines(_folder: Path) -> list[Reader]:
    texts = (
        "(angrily, then softly) I told you 3 times! [joy -> fear:0.7] $1,234.50 at 10:45, Dr. Smith... why?",
        "Well, er, [laughs] 1984 was the 21st—or 22nd—year, wasn't it? (pause) *No*. HELLO!!! 3/4 cups; e.g. NATO",
    )

    def read(content: bytes) -> object:
        text = content.decode("utf-8", "replace")
        request = LineRequest(text, seconds=None).validated()
        parts = write_script(
            request, lambda rows: np.full((len(rows), len(EMOTIONS)), 1 / 14, np.float32), lambda _: None
        )
        return say_parts(request, parts, 0, 24.0) if read_parts(request, parts).words else parts

    return [Reader("lines", tuple(text.encode() for text in texts), read, REFUSALS)]


def scripts(_folder: Path) -> list[Reader]:
    """What `generator.batch` and *Dialogue* read; a name decides how."""
    said = {
        "fountain": "INT. KITCHEN\n\nANNA (V.O.)\n(angrily)\nGet /*out*/ of [[note]] here!\n\nTOM ^\n~No.\n",
        "srt": "1\n00:00:01,000 --> 00:00:02,500\n- Yes.\n- <i>TOM: No.</i>\n\n2\n00:00:03,0 --> 00:00:02,0\n[DOOR]\n",
        "vtt": "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.000 line:0\n<v Anna>Come <b>in</b>.</v>\n",
        "csv": 'speaker;text;start;end;direction\nANNA;"Come ""in"";";0:01;2.5;softly\n',
        "fdx": '<?xml version="1.0"?><FinalDraft><Content><Paragraph Type="Character"><Text>ANNA</Text></Paragraph>'
        '<Paragraph Type="Dialogue"><Text>Come in.</Text></Paragraph></Content></FinalDraft>',
        "txt": "ANNA: Come in.\nTOM (O.S.): [joy] No!\nCome: to me.\n\n# Remark\n",
    }  # fmt: skip
    return [
        Reader(suffix, (text.encode(),), partial(read_script, name=f"script.{suffix}"), (ScriptError,))
        for suffix, text in said.items()
    ]


KINDS = (
    checkpoint,
    safetensors,
    paper,
    baseline,
    released,
    emoava,
    captures,
    corpus,
    kept,
    timelines,
    requests,
    lines,
    scripts,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_whatever_it_holds_it_is_read_or_refused(
    kind: Callable[[Path], list[Reader]], tmp_path: Path, long: bool
) -> None:
    attack_all(kind(tmp_path), tmp_path, long)


def test_the_watch_sees_what_a_reader_must_not_do(tmp_path: Path) -> None:
    for forbidden in (
        lambda: (tmp_path / "new").write_text("x"),
        lambda: (
            Path("/etc/hostname").exists() and Path("/etc/hostname").read_text() and Path("/etc/passwd").read_text()
        ),
        lambda: exec("1"),  # noqa: S102 - what must be seen
        lambda: np.ones(100_000_000),
    ):
        with pytest.raises(AssertionError, match=r"more than read|it took"), watched(tmp_path):
            forbidden()


def sized(path: Path, size: int) -> Path:
    """A file of that many zeros, which take no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_file_of_any_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    sized(tmp_path / "model.safetensors", 8)
    sized(tmp_path / "config.json", 3_000_000_000)
    for read in (
        partial(NumpyEngine.load, tmp_path),
        partial(load_checkpoint, tmp_path),
        partial(_given_timeline, tmp_path / "config.json"),
        partial(read_recording, tmp_path / "config.json"),
        partial(read_transcripts, sized(tmp_path / "transcripts.csv", 3_000_000_000).parent, []),
        partial(CaptureSettings.read, sized(tmp_path / "captures.json", 3_000_000_000).parent),
    ):
        with watched(tmp_path), pytest.raises(GeneratorError, match=r"has 3,000\.0 MB, and at most"):
            read()


def test_what_a_file_claims_is_held_against_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000, 100)}".ljust(118)
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80))
    with watched(tmp_path), pytest.raises(Unreadable, match="not as large as it claims"):
        Reading(path, KEPT).array()
    with zipfile.ZipFile(tmp_path / "many.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(50_000_000))
    with watched(tmp_path), pytest.raises(Unreadable, match=r"it has 50\.0 MB, and at most 10\.0"):
        Reading(tmp_path / "many.npz", Budget(10_000_000)).arrays()
    content = bytearray((tmp_path / "many.npz").read_bytes())
    place = content.find(b"PK\x01\x02")
    content[place + 24 : place + 28] = (1000).to_bytes(4, "little")
    (tmp_path / "many.npz").write_bytes(content)
    with watched(tmp_path), pytest.raises((Unreadable, zipfile.BadZipFile, ValueError)):
        Reading(tmp_path / "many.npz", Budget(10_000_000)).arrays()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b'"a\n' * 900_000, "split it into parts"),  # quotation marks that nobody closed
        ("a.csv", b'text\n"' + b"a" * 19_000_000 + b'"\n', ""),
        ("a.csv", b"text\n" + b"a" + b",a" * 9_000_000, ""),
        ("a.csv", b"a\n" * 1_500_000, "1,500,000 rows"),
        ("a.txt", b"A: b\n" * 900_000, "split it into parts"),
        ("a.srt", b"0:1-->0:2\n\n" * 490_000, ""),
        ("a.srt", b"00:00:01,000 --> 00:00:02,000\na\n\n" * 250_000, "split it into parts"),
        ("a.srt", b"00:00:01,000 --> 00:00:02,000\n" + b"- a\n" * 900_000, "split it into parts"),
        ("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"<v a>b" * 3_000_000, ""),
        ("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + (b"<v a>b" * 3_000 + b"\n") * 1_000, "split it into parts"),
        ("a.fountain", b"[[" * 10_000_000, ""),
        ("a.fountain", b"/**/" * 5_000_000, ""),
        ("a.fountain", b"A\nb\n\n" * 330_000, "split it into parts"),
        ("a.fdx", b"<FinalDraft>" + b"<a>" * 6_000_000, "nested too deeply"),
        ("a.fdx", b"<FinalDraft>" + b"<a/>" * 4_900_000, ""),
        ("a.fdx", b"<FinalDraft>" + b"<Paragraph Type='Character'><Text>A</Text></Paragraph>" * 350_000, ""),
        ("a.fdx", b"<FinalDraft>" + b"<Paragraph><Text>a</Text></Paragraph>" * 500_000, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_script_of_any_kind_takes_little(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    assert len(content) <= 20_000_000
    said = ""
    with watched(tmp_path):
        try:
            read_script(content, name)
        except ScriptError as refusal:
            said = str(refusal)
    assert sentence in said and len(said) < 500, said


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("23:59:59:00.0", "minutes after the first row"),
        ("9" * 400 + ":59:59:00.0", "is not of the form"),
        ("00:00:00:" + "9" * 400, "is not of the form"),
    ],
)
def test_a_timecode_that_jumps_makes_no_day_of_frames(tmp_path: Path, code: str, sentence: str) -> None:
    path = write_recording(tmp_path / "take.csv", np.zeros((4, 55), np.float32), dropped=0, start=0.0)
    rows = path.read_text().splitlines()
    rows[-1] = code + rows[-1][rows[-1].index(",") :]
    path.write_text("\n".join(rows))
    with watched(tmp_path), pytest.raises(DataError, match=sentence):
        read_recording(path)


def test_a_line_of_any_length_is_refused_at_once(tmp_path: Path) -> None:
    for text in ("abc " * 25_000_000, "a" + " \n" * 9_000 + "x" * 2_001):
        with watched(tmp_path), pytest.raises(InputError, match=r"characters and the limit is 2,000"):
            LineRequest(text).validated()


@pytest.mark.parametrize(
    "sign", ["(", "[", " ", "1,", "1:", "a-", "'", "...", "!?", "[a](b", "\u0301", "-1.", "$1 ", "er, "]
)
def test_a_line_of_one_sign_takes_no_time(tmp_path: Path, sign: str) -> None:
    (reader,) = lines(tmp_path)
    for text in (sign * (2000 // len(sign)), "a" + sign * (1990 // len(sign)) + "b", "word " + sign * 900 + " word."):
        with watched(tmp_path), contextlib.suppress(GeneratorError):
            reader.read(text.encode())


def test_reading_ends_with_its_seconds(tmp_path: Path) -> None:
    file = Reading(tmp_path, Budget(1, seconds=0.05))
    with pytest.raises(Unreadable, match=r"takes longer than 0\.05 s"):
        for _ in file.each(iter(int, 1)):
            pass


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "NaN", "-Infinity"])
def test_numbers_that_nothing_has_are_refused(number: str) -> None:
    with pytest.raises(Unreadable, match="where a number of ordinary size belongs"):
        from_json(f'{{"a": {number}}}')
    with pytest.raises(InputError):
        LineRequest(
            "Hi.", intensity=float(number) if "e" in number or "n" in number.lower() else int(number)
        ).validated()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(Unreadable, match="it is not a file"):
            Reading(path, RECORDING).data()


def test_a_lack_of_memory_is_nobodys_damage() -> None:
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")):
        with pytest.raises(MemoryProblem, match="not enough memory"), refusing(lambda why: CheckpointError(why)):
            raise error
