# SPDX-License-Identifier: GPL-3.0-or-later
"""Free-running takes, kept on disk: what has been performed once is not performed again when a report is resumed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Final

import numpy as np
from tqdm import tqdm

from .. import PERFORMS, __version__
from ..errors import DataError
from ..reading import KEPT, Reading
from ..shared.timeline import Timeline
from ..writing import write_atomically
from .systems import HeldOutLine, JudgedTake, System

#: Lines performed together and kept in one file: what an interruption can cost.
_PART: Final = 16
#: Folders of the generator that decide what a take looks like, beside the modules at its top and the weights, which a
#: system's identity names.
_OTHERS: Final = ("batch", "checkpoints", "encoders")
_PERFORMING: Final = ("baselines", "corpus", *(room for room in PERFORMS if room not in _OTHERS))


@dataclass(frozen=True)
class Entry:
    """A system to judge, not loaded until a take is missing.

    Attributes:
        name: its row in the report.
        kind: "ground truth", "checkpoint", "trained baseline" or "untrained baseline".
        identity: changes whenever its takes could: content of a checkpoint, settings, data it is fitted to.
        load: makes the system.
        folder: of a checkpoint or a trained baseline.
    """

    name: str
    kind: str
    identity: str
    load: Callable[[], System]
    folder: Path | None = None


def perform(entry: Entry, lines: Sequence[HeldOutLine], takes: int, folder: Path) -> list[list[JudgedTake]]:
    """Takes of ``lines``, from the files in ``folder`` where they are there, else performed and written.

    Returns:
        Per line its takes: ``takes`` of them, or fewer for a ground truth that has fewer.

    Raises:
        DataError: takes that are not finite. And whatever loading and performing raise.
    """
    system: System | None = None
    result: list[list[JudgedTake]] = []
    for start in tqdm(range(0, len(lines), _PART), entry.name, unit="part", dynamic_ncols=True):
        part = lines[start : start + _PART]
        path = folder / f"{_slug(entry.name)}-{_key(entry, part, takes)}.npz"
        performed = _read(path)
        if performed is None or len(performed) != len(part):
            system = system or entry.load()
            performed = system.perform(part, takes)
            if not all(np.isfinite(take.frames).all() for line in performed for take in line):
                raise DataError(f"{entry.name} performs values that are not finite numbers; train it again.")
            write_atomically(path, partial(_write, performed))
            performed = _read(path) or performed  # a file holds rounded times: the numbers must not depend on it
        result += performed
    return result


def checkpoint_identity(folder: Path) -> str:
    """SHA-256 of a checkpoint's files, by content and name within the folder, model cards left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".json", ".safetensors", ".txt")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _key(entry: Entry, lines: Sequence[HeldOutLine], takes: int) -> str:
    asked = [
        [a.index, a.text, a.frames, a.seed, a.direction and [*a.direction.weights.tolist(), a.direction.intensity]]
        for a in lines
    ]
    return hashlib.sha256(json.dumps([__version__, _code(), entry.identity, takes, asked]).encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """SHA-256 of the sources that decide what a take looks like: the same weights perform differently with others."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    files = [path for name in _PERFORMING for path in (root / name).rglob("*")] + sorted(root.glob("*.py"))
    for path in sorted(path for path in files if path.suffix in (".py", ".toml", ".tsv", ".json")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "system"


def _write(lines: list[list[JudgedTake]], file: IO[bytes]) -> None:
    flat = [take for line in lines for take in line]
    np.savez(
        file,
        values=np.concatenate([take.frames for take in flat]).astype(np.float32),
        performances=np.concatenate([take.acted for take in flat]).astype(np.float32),
        layered=np.array([take.performance is not None for take in flat]),
        timelines=np.array(["" if t.timeline is None else json.dumps(t.timeline.to_json()) for t in flat]),
        lengths=np.array([len(take.frames) for take in flat]),
        takes=np.array([len(line) for line in lines]),
    )


def _read(path: Path) -> list[list[JudgedTake]] | None:
    """The takes in a file; None where there is none or it is damaged, so that they are performed again."""
    try:
        data = Reading(path, KEPT).arrays()
        values, performances, lengths, takes = (data[k] for k in ("values", "performances", "lengths", "takes"))
        layered: list[bool] = data["layered"].tolist()
        timelines = [Timeline.from_json(json.loads(text)) if text else None for text in data["timelines"].tolist()]
        if takes.sum() != len(lengths) or lengths.sum() != len(values) or values.shape != performances.shape:
            return None
        cuts = np.cumsum(lengths)[:-1]
        flat = [
            JudgedTake(frames, timeline, performance if has else None)
            for frames, performance, has, timeline in zip(
                np.split(values, cuts), np.split(performances, cuts), layered, timelines, strict=True
            )
        ]
        ends = np.cumsum(takes)
        return [flat[end - count : end] for end, count in zip(ends, takes, strict=True)]
    except Exception:  # what is damaged shows in many ways
        return None
