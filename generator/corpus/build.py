# SPDX-License-Identifier: GPL-3.0-or-later
"""Building a corpus: choose who says what how, let the teacher act it, write arrays that can be memory-mapped."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..direction import ENDINGS, ROLES, Ending, Role
from ..direction.emotions import BASIC_EMOTIONS, EMOTION_NAMES, EMOTIONS, basic_weights, emotion_vector
from ..errors import DataError
from ..shared.spaces import ARKIT55
from ..shared.timeline import Timeline
from .direction import ActingDirection
from .reader import SCHEMA_VERSION
from .teacher import TEACHER_VERSION, Acted, act_timed
from .texts import (
    REGISTERS,
    SPLITS,
    Line,
    builtin_lines,
    everyday_lines,
    read_goemotions,
    read_xed,
    split_of,
    unique,
    written_lines,
)
from .utterance import Utterance

#: Share of clips whose emotion has nothing to do with their line, so that a request can be followed on any text.
UNRELATED_SHARE: Final = 0.28
#: Share of clips that get one more take of the same line, emotion and intensity.
_ENCORE_SHARE: Final = 0.15
#: Share of clips that move to a second emotion, of silent reactions, and of clips with another energy than 1.
_TOWARDS_SHARE: Final = 0.18
_ENERGY_SHARE: Final = 0.4
#: Shares of who says the line, of how clips end, of clips that begin from a face of another take, and of those whose
#: last emotion was the same.
_ROLES: Final = (0.62, 0.2, 0.18)
_ENDINGS: Final = (0.45, 0.3, 0.25)
_CARRIED_SHARE: Final = 0.55
_SAME_MOOD_SHARE: Final = 0.35
#: Of the faces that clips begin from: those in the middle of a take rather than at its end.
_MIDDLE_SHARE: Final = 0.3
#: A take of every emotion to begin from for every so many clips: each serves for about eight, with another frame.
_STARTS_EACH: Final = 200
#: Share of the unrelated emotions that are a mixture of two with random weights.
_MIXTURE_SHARE: Final = 0.25
#: Clips that follow their line's label are spread evenly over the leading emotions, but no line is acted more often.
_MOST_REPEATS: Final = 8
#: A dev and a test clip for every so many clips of training.
_HELD_OUT: Final = 40
_DEFAULT_LIMIT: Final = 40_000
_BUILTIN_LIMIT: Final = 1_500

SOURCES: Final = {
    "builtin": {"licence": "CC0-1.0", "attribution": "Lines written for this project"},
    "XED": {"licence": "CC-BY-4.0", "attribution": "XED, Öhman, Pàmies, Kajava and Tiedemann 2020"},
    "GoEmotions": {"licence": "CC-BY-4.0", "attribution": "GoEmotions, Demszky et al. 2020, Google Research"},
}


@dataclass(frozen=True)
class Before:
    """The take whose face a clip begins from: its line, emotion and seed, and where in it, 0..1."""

    text: str
    emotion: str
    intensity: float
    role: Role
    ending: Ending
    seed: int
    share: float


@dataclass(frozen=True)
class Job:
    """One clip to act.

    Attributes:
        text: the line.
        feelings: weights over `EMOTIONS` (14,); towards: those it moves to over the line, or None.
        weights: ``feelings`` as the nearest blend over `BASIC_EMOTIONS` (7,).
        intensity, energy, role, ending: see `ActingDirection`.
        seed: of the take.
        emotion: name of the leading feeling.
        labelled: the feeling is the line's own.
        source: collection of the line.
        before: what it begins from; None at rest.
    """

    text: str
    feelings: tuple[float, ...]
    towards: tuple[float, ...] | None
    weights: tuple[float, ...]
    intensity: float
    energy: float
    role: Role
    ending: Ending
    seed: int
    emotion: str
    labelled: bool
    source: str
    before: Before | None = None


def build_corpus(
    out: Path,
    xed: Path | None = None,
    goemotions: Path | None = None,
    takes: int = 1,
    limit: int | None = None,
    seed: int = 0,
    workers: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Builds a corpus folder.

    Args:
        out: folder to make; it must not exist, and it appears only when it is complete.
        xed, goemotions: folders with the original files; with neither, our own lines are used.
        takes: takes of every line, emotion and intensity.
        limit: training clips; the default is 40,000, or 1,500 with our own lines only.
        seed: another seed gives another choice of lines, emotions and takes.
        workers: processes that act at the same time.
        progress: show a progress bar.

    Returns:
        the content of corpus.json.

    Raises:
        DataError: ``out`` exists, a file is missing or is another one, or there are too few lines.
    """
    if out.exists():
        raise DataError(f"{out} already exists: choose another --out or remove it first.")
    if takes < 1 or workers < 1 or (limit is not None and limit < 1) or seed < 0:
        raise DataError("--takes, --workers and --limit must be 1 or more, --seed 0 or more.")
    lines, skipped = gather_lines(xed, goemotions)
    external = xed is not None or goemotions is not None
    wanted = limit or (_DEFAULT_LIMIT if external else _BUILTIN_LIMIT)
    partial = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:50]}."))
        partial.chmod(0o755)
        counts: dict[str, Any] = {}
        for number, split in enumerate(SPLITS):
            rng = np.random.default_rng([seed, number])
            count = wanted if split == "train" else max(wanted // _HELD_OUT, 8)
            jobs = choose_jobs([line for line in lines if split_of(line.text) == split], count, takes, rng)
            counts[split] = _write_split(partial, split, jobs, workers, progress)
            _write_labelled(partial, split, labelled_lines(lines, split))
        info = {
            "schema_version": SCHEMA_VERSION, "space": ARKIT55.name, "fps": ARKIT55.fps,
            "channels": list(ARKIT55.channels), "emotions": list(BASIC_EMOTIONS), "feelings": list(EMOTIONS),
            "teacher_version": TEACHER_VERSION,
            "seed": seed, "takes": takes, "splits": counts, "lines": len(lines), "rows_skipped": len(skipped),
            "sources": {name: SOURCES[name] for name in sorted({line.source for line in lines})},
        }  # fmt: skip
        (partial / "corpus.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.rename(out)
    except OSError as error:
        raise DataError(
            f"The corpus cannot be written to {out} ({error}): free some space or choose another --out."
        ) from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    for sentence in skipped[:5]:
        print(f"Skipped: {sentence}", file=sys.stderr)
    return info


def gather_lines(xed: Path | None, goemotions: Path | None) -> tuple[list[Line], list[str]]:
    """All distinct lines that may be acted, and a sentence for every row that could not be read."""
    collections = [builtin_lines(), written_lines()]
    if xed is not None:
        collections.append(read_xed(xed))
    if goemotions is not None:
        collections.append(read_goemotions(goemotions))
    lines = unique([line for collection in collections for line in collection.lines])
    return lines, [sentence for collection in collections for sentence in collection.skipped]


def labelled_lines(lines: list[Line], split: str) -> list[Line]:
    """``lines`` and our own that nobody acts, of one split: what reads emotions from words is fitted on all of them."""
    return [line for line in unique([*lines, *everyday_lines().lines]) if split_of(line.text) == split]


def _write_labelled(folder: Path, split: str, lines: list[Line]) -> None:
    with (folder / f"{split}_labelled.jsonl").open("w", encoding="utf-8") as file:
        for line in lines:
            row = {"text": line.text, "feelings": _rounded(line.feelings), "source": line.source}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def choose_jobs(lines: list[Line], count: int, takes: int, rng: np.random.Generator) -> list[Job]:
    """``count`` clips: mostly a line with its own feeling, balanced over emotions, some with any other feeling."""
    if not lines:
        raise DataError("There are no lines for a part of the corpus: give more lines.")
    pools: dict[str, list[Line]] = {name: [] for name in EMOTIONS}
    for index in rng.permutation(len(lines)):
        pools[lines[int(index)].emotion].append(lines[int(index)])
    cursors = dict.fromkeys(EMOTIONS, 0)
    anyone = iter(_forever(lines, rng))
    moods = _pool(lines, 2 + count // _STARTS_EACH, rng)
    jobs: list[Job] = []
    while len(jobs) < count:
        emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
        pool = pools[emotion]
        labelled = rng.random() >= UNRELATED_SHARE and cursors[emotion] < _MOST_REPEATS * len(pool)
        if labelled:
            line = pool[cursors[emotion] % len(pool)]
            cursors[emotion] += 1
            feelings = np.array(line.feelings)
        else:
            line = next(anyone)
            emotion, feelings = _any_feeling(emotion, rng)
        towards = None
        if rng.random() < _TOWARDS_SHARE:
            others = [name for name in EMOTIONS if name != emotion]
            towards = _rounded(emotion_vector(others[int(rng.integers(len(others)))]))
        wide = rng.random() < 0.2
        centre = REGISTERS[line.register] if labelled else 0.98
        intensity = rng.uniform(0.2, 1.5) if wide else np.clip(rng.normal(centre, 0.17), min(0.6, centre - 0.2), 1.5)
        energy = np.clip(rng.normal(1.0, 0.28), 0.45, 1.55) if rng.random() < _ENERGY_SHARE else 1.0
        role = ROLES[int(rng.choice(3, p=_ROLES))]
        ending = ENDINGS[int(rng.choice(3, p=_ENDINGS))]
        repeats = takes + (1 if rng.random() < _ENCORE_SHARE else 0)
        jobs += [
            Job(
                line.text, _rounded(feelings), towards, _rounded(basic_weights(feelings)), round(float(intensity), 3),
                round(float(energy), 3), role, ending, int(rng.integers(2**31)), emotion, bool(labelled), line.source,
                _before(moods, emotion, rng) if rng.random() < _CARRIED_SHARE else None,
            )
            for _ in range(min(repeats, count - len(jobs)))
        ]  # fmt: skip
    return jobs


def _pool(lines: list[Line], each: int, rng: np.random.Generator) -> dict[str, list[Before]]:
    """Takes whose faces others begin from, ``each`` of every emotion: of any lines, ended without rest."""
    return {
        emotion: [
            Before(
                lines[int(rng.integers(len(lines)))].text, emotion,
                round(float(np.clip(rng.normal(1.0, 0.22), 0.3, 1.5)), 3), ROLES[int(rng.choice(3, p=_ROLES))],
                "held" if rng.random() < 0.5 else "trace", int(rng.integers(2**31)), 1.0,
            )
            for _ in range(each)
        ]
        for emotion in EMOTIONS
    }  # fmt: skip


def _before(pool: dict[str, list[Before]], emotion: str, rng: np.random.Generator) -> Before:
    """A take whose face another one begins from, often in the same mood: near its end, or in its middle."""
    other = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
    takes = pool[emotion if emotion in pool and rng.random() < _SAME_MOOD_SHARE else other]
    middle = rng.random() < _MIDDLE_SHARE
    share = rng.uniform(0.35, 0.8) if middle else rng.uniform(0.8, 1.0)
    return replace(takes[int(rng.integers(len(takes)))], share=round(float(share), 3))


def _any_feeling(emotion: str, rng: np.random.Generator) -> tuple[str, npt.NDArray[np.float64]]:
    """A feeling that has nothing to do with a line: pure, a named compound, or a mixture of two."""
    compounds = EMOTION_NAMES[len(EMOTIONS) :]
    draw = rng.random()
    if draw < _MIXTURE_SHARE:
        other = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
        share = rng.uniform(0.5, 0.9)
        return emotion, share * emotion_vector(emotion).astype(float) + (1.0 - share) * emotion_vector(other)
    if draw < _MIXTURE_SHARE + 0.2:
        emotion = compounds[int(rng.integers(len(compounds)))]
    return emotion, emotion_vector(emotion).astype(float)


def _rounded(weights: npt.ArrayLike) -> tuple[float, ...]:
    return tuple(round(float(w), 4) for w in np.asarray(weights))


def _forever(lines: list[Line], rng: np.random.Generator) -> Iterator[Line]:
    while True:
        for index in rng.permutation(len(lines)):
            yield lines[int(index)]


def _act(job: Job) -> Acted:
    direction = ActingDirection(
        job.feelings, job.towards, job.intensity, job.energy, job.role, start=_start(job.before), ending=job.ending
    )
    return act_timed(job.text, direction, job.seed)


def _start(before: Before | None) -> tuple[float, ...] | None:
    """The face that a clip begins from, as it is stored; acted on the spot, so that any worker finds the same."""
    if before is None:
        return None
    frames = _frames(replace(before, share=1.0))
    return tuple(frames[round(before.share * (len(frames) - 1))].astype(np.float16).astype(float).tolist())


@lru_cache(maxsize=4096)
def _frames(before: Before) -> npt.NDArray[np.float32]:
    direction = ActingDirection.named(
        before.emotion, intensity=before.intensity, role=before.role, ending=before.ending
    )
    return act_timed(before.text, direction, before.seed).performance


def compact(timeline: Timeline) -> dict[str, list[Any]]:
    """What a decoder is told of a timeline, in seconds.

    "words": [start, end]; "phrases": [start, end, mark, whether it asks what, who, why ...]; "accents": [time, size];
    "events": [name, start, end].
    """

    def seconds(*times: float) -> list[float]:
        return [round(time, 3) for time in times]

    asks = Utterance.of(timeline, timeline.start).phrases
    return {
        "words": [seconds(word.start, word.end) for word in timeline.words],
        "phrases": [[*seconds(p.start, p.end), p.mark, p.asks_what] for p in asks],
        "accents": [seconds(accent.time, accent.size) for accent in timeline.accents],
        "events": [[event.name, *seconds(event.start, event.end)] for event in timeline.events],
    }


def _write_split(folder: Path, split: str, jobs: list[Job], workers: int, progress: bool) -> dict[str, Any]:
    """Acts the jobs in order and writes values, offsets and lines of one split; returns its counts."""
    from tqdm import tqdm

    raw = folder / f"{split}_values.raw"
    lengths: list[int] = []
    starts: list[npt.NDArray[np.float16]] = []
    with raw.open("wb") as values, (folder / f"{split}_lines.jsonl").open("w", encoding="utf-8") as lines:
        bar = tqdm(total=len(jobs), desc=f"acting {split}", unit="clip", disable=not progress, mininterval=1.0)
        for job, acted in zip(jobs, _acted(jobs, workers), strict=True):
            acted.performance.astype(np.float16).tofile(values)
            lengths.append(len(acted.performance))
            starts.append(acted.start.astype(np.float16))
            row = {name: value for name, value in asdict(job).items() if name != "before"}
            row["turn"] = None if acted.turn is None else round(acted.turn, 3)
            if acted.timeline is not None:
                row["timeline"] = compact(acted.timeline)
            lines.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
            bar.update()
        bar.close()
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    np.save(folder / f"{split}_offsets.npy", offsets, allow_pickle=False)
    np.save(folder / f"{split}_starts.npy", np.array(starts), allow_pickle=False)
    shape = (int(offsets[-1]), ARKIT55.size)
    source = np.memmap(raw, np.float16, "r", shape=shape)
    target = np.lib.format.open_memmap(folder / f"{split}_values.npy", "w+", np.float16, shape)
    for start in range(0, shape[0], 1 << 18):
        target[start : start + (1 << 18)] = source[start : start + (1 << 18)]
    target.flush()
    del source, target
    raw.unlink()
    emotions = {name: sum(job.emotion == name for job in jobs) for name in EMOTION_NAMES}
    return {"clips": len(jobs), "frames": shape[0], "emotions": {k: v for k, v in emotions.items() if v}}


def _acted(jobs: list[Job], workers: int) -> Iterable[Acted]:
    if workers == 1:
        yield from map(_act, jobs)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_act, jobs, chunksize=64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m generator corpus``."""
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--xed", type=Path, help="folder with XED's en-annotated.tsv and neu_en.txt")
    parser.add_argument("--goemotions", type=Path, help="folder with GoEmotions' labels.txt and train.tsv")
    parser.add_argument("--builtin", action="store_true", help="use only our own lines (the default without a path)")
    parser.add_argument("--limit", type=int, help="training clips (default 40000, or 1500 with our own lines)")
    parser.add_argument("--takes", type=int, default=1, help="takes of every line (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")


def run(args: argparse.Namespace) -> int:
    """Runs ``python -m generator corpus`` and returns the exit code; raises DataError for what cannot be built."""
    if args.builtin and (args.xed or args.goemotions):
        raise DataError("--builtin uses only our own lines: leave out --xed and --goemotions, or leave out --builtin.")
    info = build_corpus(args.out, args.xed, args.goemotions, args.takes, args.limit, args.seed, args.workers)
    for split, counts in info["splits"].items():
        print(f"{split}: {counts['clips']} clips, {counts['frames'] / info['fps'] / 60.0:.1f} minutes")
    print(f"Wrote {args.out}")
    return 0
