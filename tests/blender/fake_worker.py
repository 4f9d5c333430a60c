# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted generator process: speaks docs/protocol.md without torch or numpy, in milliseconds.

It performs smooth made-up ``arkit55`` takes. What goes wrong is asked for: when the line is performed, by a word in
its text ("crash", "memory", "garbage", "refuse", "slow", "stubborn", "warn", "log"); at the start, by an argument
("hang", "exit", "no-torch", "old").
"""

from __future__ import annotations

import base64
import json
import math
import os
import queue
import struct
import sys
import threading
import time
from typing import Any

#: The columns of `generator.spaces.ARKIT55` (a test compares them).
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

requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
cancelled: set[int] = set()
write_lock = threading.Lock()


def send(**message: Any) -> None:
    with write_lock:
        print(json.dumps(message), flush=True)


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


def clip_message(request: dict[str, Any], index: int, take: int) -> dict[str, Any]:
    line = request["lines"][index]
    frames = round((line.get("seconds") or 1.0) * FPS) + 1
    seed = line.get("seed", 0) + take
    flat = [number for row in values(seed, frames) for number in row]
    emotion = line.get("emotion", "auto")
    return {
        "id": request["id"], "event": "clip", "line": index, "take": take, "seed": seed, "text": line["text"],
        "emotion": "joy" if emotion == "auto" else emotion, "fps": FPS, "space": "arkit55", "channels": CHANNELS,
        "values": {
            "dtype": "<f4", "shape": [frames, len(CHANNELS)],
            "base64": base64.b64encode(struct.pack(f"<{len(flat)}f", *flat)).decode(),
        },
        "settings": {
            "intensity": line.get("intensity", 1.0), "temperature": line.get("temperature", 1.0),
            "seconds": line.get("seconds"), "checkpoint": "default", "emotion_requested": emotion,
        },
        "warnings": ["A word was not understood."] if "warn" in line["text"] else [],
    }  # fmt: skip


def generate(request: dict[str, Any]) -> None:
    number = request["id"]
    send(id=number, event="progress", fraction=0.0, stage="starting")
    for index, line in enumerate(request["lines"]):
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
    send(id=number, event="done")


def perform() -> None:
    while (request := requests.get()) is not None:
        generate(request)


def main() -> None:
    fault = sys.argv[1] if len(sys.argv) > 1 else "serve"
    if fault == "hang":
        time.sleep(600)
    if fault == "exit":
        sys.exit("a fatal problem at the start")
    if fault == "no-torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    threading.Thread(target=perform, daemon=True).start()
    for text in sys.stdin:
        request = json.loads(text)
        number, op = request["id"], request["op"]
        if op == "hello":
            send(
                id=number, event="hello", protocol=99 if fault == "old" else 1, generator="0.1.0", python="3.11.7",
                torch="2.13.0", devices=["cpu"], spaces={"arkit55": {"channels": CHANNELS, "fps": FPS}},
                emotions=["neutral"], max_seconds=10.0, max_characters=500,
            )  # fmt: skip
        elif op == "generate":
            requests.put(request)
        elif op == "cancel":
            cancelled.add(request["target"])
            send(id=number, event="done")
        elif op == "shutdown":
            send(id=number, event="done")
            return


if __name__ == "__main__":
    main()
