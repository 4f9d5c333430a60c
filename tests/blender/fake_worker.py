# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted generator process: speaks docs/protocol.md without torch or numpy, in milliseconds.

It performs smooth made-up ``arkit55`` takes. What goes wrong is asked for: when the line is performed, by a word in
its text ("crash", "memory", "flood", "garbage", "refuse", "slow", "stubborn", "warn", "log", "surrogate"); at the
start, by an argument ("hang", "deaf", "exit", "no-numpy", "old", "too-old").
"""

from __future__ import annotations

import base64
import json
import math
import os
import queue
import re
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blender_cteg.worker.locate import WorkerCommand

#: The columns of `generator.shared.spaces.ARKIT55` (a test compares them).
CHANNELS = [
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut", "headPitch", "headYaw", "headRoll",
]  # fmt: skip
FPS = 24.0
#: The sounds of every word.
SOUNDS = ("B", "AA1", "M")

requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
cancelled: set[int] = set()
write_lock = threading.Lock()
fault = sys.argv[1] if len(sys.argv) > 1 else "serve"


#: Fields of a line that come back in a clip's settings as they are, with their defaults.
KEPT: dict[str, Any] = {
    "emotion_to": None, "rate": 1.0, "spread": False, "branch": None, "vary": None, "timing": 0, "vary_timing": False,
    "language": "auto", "ending": "rest", "begin": None, "share": 0.5, "energy": 1.0, "speaking": True,
    "emotion_with": None,
}  # fmt: skip


def command(mode: str = "serve") -> WorkerCommand:
    """What starts this file as the generator."""
    from blender_cteg.worker.locate import WorkerCommand  # where this file is the generator, there is no extension

    return WorkerCommand((sys.executable, __file__, mode), str(Path(__file__).parent), tuple(os.environ.items()))


def send(**message: Any) -> None:
    with write_lock:
        print(json.dumps(message), flush=True)


def array(rows: list[list[float]]) -> dict[str, Any]:
    """Rows of numbers as a protocol ARRAY."""
    flat = [number for row in rows for number in row]
    data = base64.b64encode(struct.pack(f"<{len(flat)}f", *flat)).decode()
    return {"dtype": "<f4", "shape": [len(rows), len(rows[0])], "base64": data}


def values(seed: int, frames: int) -> list[list[float]]:
    """Rows of a take: every channel rises and falls once, by an amount that depends on the seed; neutral at the end."""
    rows = []
    for t in range(frames):
        swell = math.sin(math.pi * t / (frames - 1))
        rows.append(
            [
                swell * (0.3 if name.startswith("head") else 0.5) * (0.5 + 0.5 * math.sin(1 + 7 * seed + column))
                for column, name in enumerate(CHANNELS)
            ]
        )
    return rows


def drawn(line: dict[str, Any]) -> list[int]:
    """The seeds of a line's takes; the "most different" ones are the last of the pool, after the first."""
    first, takes = line.get("seed", 0), line.get("takes", 1)
    if not line.get("spread"):
        return list(range(first, first + takes))
    end = first + max(min(4 * takes, 64), takes)
    return [first, *range(end - takes + 1, end)]


def segments(line: dict[str, Any], frames: int) -> list[dict[str, Any]]:
    """A segment per sentence, of equal length; directions in round brackets mean anger, others are emotions.

    Who "(turns to ...)" does, beside the words of the segment.
    """
    found, direction, beside = [], None, []
    for part in re.findall(r"[(\[][^)\]]*[)\]]|[^(\[.!?…]+[.!?…]*", line["text"]):
        if part.startswith("(turns to "):
            beside.append(part[1:-1])
        elif part[0] in "([":
            direction = part
        elif part.strip():
            found.append((part.strip(), direction, beside))
            beside = []
    asked = line.get("emotion", "auto")
    result = []
    for index, (words, written, turns) in enumerate(found):
        start = index * frames // len(found)
        source = "direction" if written else "words" if asked == "auto" else "asked"
        emotion = {"direction": "anger", "words": "joy", "asked": asked}[source]
        if written and written.startswith("["):
            emotion = written[1:-1].split()[0]
        result.append(
            {
                "text": words, "emotion": emotion, "emotion_to": line.get("emotion_to"), "intensity": 1.0,
                "start": start, "end": (index + 1) * frames // len(found),
                "direction": written, "source": source,
                "alternatives": {"joy": 0.62, "sadness": 0.21, "fear": 0.09} if source == "words" else {},
                "stage": [
                    {"kind": "note", "written": turn, "name": turn[9:], "start": start, "end": start} for turn in turns
                ],
            }
        )  # fmt: skip
    return result


def timeline(line: dict[str, Any], seed: int, frames: int) -> dict[str, Any] | None:
    """The timeline of a take: each word is "B AA1 M", a sound in 0.1 s; its timing moves it by less than a frame."""
    if line.get("timeline"):
        return line.get("timeline")
    shift = 0.01 * ((line.get("timing", 0) + (seed if line.get("vary_timing") else 0)) % 4)
    seconds = (frames - 1) / FPS
    words, start = [], 0.1 + shift
    for text in re.sub(r"[(\[][^)\]]*[)\]]", "", line["text"]).split():
        if start + 0.4 > seconds:
            break
        sounds = [[name, round(start + 0.1 * k, 4), round(start + 0.1 * k + 0.1, 4)] for k, name in enumerate(SOUNDS)]
        words.append({"text": text, "phonemes": sounds})
        start += 0.35
    language = line.get("language", "auto")
    return {"words": words, "seconds": seconds, "language": "en" if language == "auto" else language}


def clip_message(request: dict[str, Any], index: int, take: int) -> dict[str, Any]:
    line = request["lines"][index]
    frames = round((line.get("seconds") or 1.0 / line.get("rate", 1.0)) * FPS) + 1
    seed, text = drawn(line)[take], line["text"].replace("surrogate", "\ud800")
    rows = values(seed, frames)
    if branch := line.get("branch"):
        rows[: branch["frame"]] = values(branch["seed"], frames)[: branch["frame"]]
    if vary := line.get("vary"):
        near, a = values(vary["seed"], frames), vary["amount"]
        rows = [[(1 - a) * x + a * y for x, y in zip(*pair, strict=True)] for pair in zip(near, rows, strict=True)]
    emotion = line.get("emotion", "auto")
    return {
        "id": request["id"], "event": "clip", "line": index, "take": take, "seed": seed, "text": text,
        "emotion": "joy" if emotion == "auto" else emotion, "fps": FPS, "space": "arkit55", "channels": CHANNELS,
        "values": array(rows),
        "settings": {
            "intensity": line.get("intensity", 1.0), "temperature": line.get("temperature", 1.0),
            "seconds": line.get("seconds"), "checkpoint": "default", "emotion_requested": emotion,
            **{name: line.get(name, default) for name, default in KEPT.items()},
        },
        "timeline": timeline(line, seed, frames), "speech_scale": 1.0,
        "segments": segments({**line, "text": text}, frames),
        "warnings": [f"A word of {text} was not understood."] if "warn" in text else [],
    }  # fmt: skip


def generate(request: dict[str, Any]) -> None:
    number = request["id"]
    send(id=number, event="progress", fraction=0.0, stage="starting")
    for index, line in enumerate(request.get("lines", ())):
        text = line["text"]
        if "refuse" in text:
            send(id=number, event="error", kind="input", message="The line is refused; type another one.")
            return
        if "log" in text:
            sys.stderr.write("a line of logging\n" * 100_000)
        if "garbage" in text:
            sys.stderr.write("printing nonsense now\n")
            sys.stderr.flush()
            sys.stdout.write("Loading weights: 100%\n")
            sys.stdout.flush()
            time.sleep(60)
        if "flood" in text:
            for step in range(200_000):
                send(id=number, event="progress", fraction=step / 200_000, stage="performing")
        if "log of memory" in text:
            sys.stderr.write("not out of memory yet\n" + "going on\n" * 5)
            os._exit(4)
        if "memory" in text:
            sys.stderr.write("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n")
            os._exit(1)
        for take in range(line.get("takes", 1)):
            send(id=number, event="progress", fraction=take / line.get("takes", 1), stage="performing")
            if "crash" in text and take == line.get("takes", 1) - 1:
                sys.stderr.write("Traceback (most recent call last):\nRuntimeError: the fake broke\n")
                os._exit(3)
            for _ in range(600 if "slow" in text or "stubborn" in text else 0):
                if number in cancelled and "stubborn" not in text:
                    send(id=number, event="cancelled")
                    return
                time.sleep(0.05)
            send(**clip_message(request, index, take))
    send(id=number, event="done", engine="numpy", device="cpu", seconds=0.25)


def perform() -> None:
    while (request := requests.get()) is not None:
        generate(request)


def main() -> None:
    if fault == "hang":
        time.sleep(600)
    if fault == "exit":
        sys.exit("a fatal problem at the start")
    if fault == "no-numpy":
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")
    if fault == "too-old":
        sys.exit("error: Python 3.9.1 is too old for CTEG; choose Python 3.11 or newer.")
    threading.Thread(target=perform, daemon=True).start()
    for text in sys.stdin:
        request = json.loads(text)
        number, op = request["id"], request["op"]
        if op == "hello":
            send(
                id=number, event="hello", protocol=99 if fault == "old" else 3, generator="0.1.0", python="3.11.7",
                numpy="2.3.0", torch=None,
            )  # fmt: skip
            if fault == "deaf":
                time.sleep(600)
        elif op in ("generate", "check"):
            requests.put(request)
        elif op == "read":
            for line, asked in enumerate(request["lines"]):
                sigh = {"kind": "action", "written": "sighs", "name": "sigh", "start": 2, "end": 40}
                send(
                    id=number, event="read", line=line,
                    segments=[{
                        "text": asked["text"], "emotion": "joy", "emotion_to": None, "intensity": 1.0, "start": 0,
                        "end": 48, "direction": None, "source": "words", "alternatives": {"joy": 0.6}, "stage": [sigh],
                    }] if "nothing" not in asked["text"] else [],
                )  # fmt: skip
            send(id=number, event="done", engine="numpy", device="cpu", seconds=0.01)
        elif op == "cancel":
            cancelled.add(request["target"])
            send(id=number, event="done")
        elif op == "shutdown":
            send(id=number, event="done")
            return


if __name__ == "__main__":
    main()
