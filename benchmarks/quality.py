# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a checkpoint's acting as good as its teacher's? The targets of docs/quality.md, mean of several seeds.

    python -m benchmarks.quality CHECKPOINT --data data/corpus --out runs/quality

Free-running takes of held-out lines at default settings (``python -m generator evaluate``), and what that does not
ask: emotion left to the words, lines that move to a second emotion, silence, energy, and lines of twenty seconds. Takes
whose emotion the probe read otherwise are listed in ``misread.jsonl``, for ``python -m tools.film.watch``.

Settings by which a checkpoint performs are tried on the dev split, never on test:

    python -m benchmarks.quality CHECKPOINT --data data/corpus --out runs/try --split dev --seeds 1 --set draw_scale=0.9
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from generator.captures.live_link import find_recordings, read_recording
from generator.captures.resample import to_clip_rate
from generator.corpus.datasets import Shown
from generator.corpus.direction import ActingDirection
from generator.corpus.teacher import act_timed
from generator.direction.clauses import speech_seconds
from generator.direction.emotions import EMOTIONS, emotion_vector, full_vector
from generator.direction.requests import LineRequest
from generator.engine.config import PerformConfig
from generator.evaluation import motion
from generator.evaluation.evaluate import evaluate
from generator.evaluation.lines import Settings, emotions_of, pure_indices
from generator.evaluation.probe import EmotionProbe, balanced_accuracy
from generator.evaluation.shares import share_of
from generator.evaluation.systems import HeldOutLine
from generator.evaluation.table import REGION_MEASURES, region_keys
from generator.evaluation.untrained import StaticPose
from generator.performing.load import load_performer
from generator.shared.spaces import ARKIT55
from generator.training.data_source import DataSource

Clip = Any
#: Clips of the train split that the probes are fitted to.
_PROBE_CLIPS: Final = 3000
_LONG_SECONDS: Final = 20.0
#: Rows that the report gives as they are.
_SPEECH: Final = (
    "closure_recall", "closure_precision", "closures_elsewhere", "closing_ahead", "teeth_on_lip", "rounding",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One row of the table: what, the lowest and the highest value wanted."""

    what: str
    low: float = -np.inf
    high: float = np.inf

    def text(self) -> str:
        """The target in words."""
        if np.isinf(self.high):
            return f"≥ {self.low:g}"
        return f"≤ {self.high:g}" if np.isinf(self.low) else f"{self.low:g}–{self.high:g}"


def _regions() -> Iterator[tuple[str, Target]]:
    """Speed, jerk and tremor of every region of the face; what jaw and lips do in speech is computed."""
    bounds = {"speed": (0.85, 1.15), "jerk": (0.85, 1.15), "tremor": (0.9, 1.1)}
    for region in ARKIT55.groups:
        for (name, label), key in zip(REGION_MEASURES.items(), region_keys(region), strict=True):
            yield key, Target(f"{region}: {label} / teacher's", *bounds[name])


TARGETS: Final = {
    "followed": Target("requested emotion recognised (balanced accuracy of the probe)", 0.97),
    "followed_teacher": Target("the same, teacher"),
    "followed_static": Target("the same, a static pose held: what the probe is content with"),
    "inferred_share": Target("emotion inferred from text, share of the text classifier's own ceiling", 0.95),
    "mmodality": Target("variety between takes (MModality) / teacher", 0.9),
    "amplitude": Target("amplitude (mean norm) / teacher", 0.9, 1.1),
    "variance": Target("variance within a clip / teacher", 0.9, 1.1),
    **dict(_regions()),
    "frechet": Target("Fréchet distance / that of the teacher's other takes of the same lines", high=1.5),
    "closure_recall": Target("p, b and m whose lips close (worse of two faces)", 0.95),
    "closure_precision": Target("closed frames in speech that belong to a p, b or m", 0.97),
    "closures_elsewhere": Target("closures in a line without p, b, m and w", high=0.1),
    "closing_ahead": Target("closing lips with p, b, m: correlation, minus that with other lines' sounds"),
    "closing_ahead_teacher": Target("the same, teacher"),
    "teeth_on_lip": Target("f and v told from other speech by the lower lip (ROC area)"),
    "rounding": Target("round sounds told from spread ones by the mouth's width (ROC area)"),
    "accents_answered": Target("accents answered by brow or head, over chance, / teacher's", 0.9),
    "blinks": Target("blinks per minute", 15, 25),
    "blink_seconds": Target("median blink, seconds", 0.1, 0.25),
    "length_error": Target("length error against the teacher, seconds", high=0.45),
    "drift": Target("20-second line: amplitude of the last quarter / the first", 0.9, 1.1),
    "moves_first": Target("first half of a line that moves on: first emotion read"),
    "moves_first_teacher": Target("the same, teacher"),
    "moves_second": Target("second half of a line that moves on: second emotion read"),
    "moves_second_teacher": Target("the same, teacher"),
    "silent_jaw": Target("jaw motion of a silent reaction / teacher's silent reaction"),
    "energy_low": Target("velocity at energy 0.6 / teacher's at 0.6"),
    "energy_high": Target("velocity at energy 1.4 / teacher's at 1.4"),
}


def main() -> None:
    """Measure, then write quality.json and quality.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--captures", type=Path, help="Live Link Face recordings to report motion beside")
    parser.add_argument("--split", default="test", choices=("dev", "test"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of config.json, dev split only"
    )
    options = parser.parse_args()
    checkpoint: Path = options.checkpoint
    if options.set:
        if options.split == "test":
            parser.error("--set tries settings; choose them on --split dev")
        checkpoint = with_settings(checkpoint, options.set, options.out / "checkpoint")
    stage = Stage(checkpoint, options.data, options.split, fit_probe(options.data))
    rows = []
    for seed in range(options.seeds):
        settings = Settings(options.lines, 4, options.split, seed, baselines=False)
        report = evaluate([checkpoint], options.data, options.out / f"seed{seed}", settings)
        truth, own = (dict(row.values) for row in report.rows)
        rows.append(_ratios(own, truth) | stage.measure(seed))
    means = {name: float(np.nanmean([row[name] for row in rows])) for name in TARGETS}
    table = ["| what | target | mean of seeds | each |", "|---|---|---|---|"]
    for name, target in TARGETS.items():
        wanted = "" if np.isinf(target.low) and np.isinf(target.high) else target.text()
        met = "" if not wanted else (" ✓" if target.low <= means[name] <= target.high else " ✗")
        each = ", ".join(f"{row[name]:.3g}" for row in rows)
        table.append(f"| {target.what} | {wanted} | {means[name]:.3g}{met} | {each} |")
    looks = options.seeds * len(EMOTIONS) ** 2
    table += ["", f"The probe read {share_of(looks - len(stage.misread), looks)} takes as they were asked for."]
    if options.captures is not None:
        table += ["", *beside_people(stage, options.captures)]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(json.dumps({"seeds": rows, "mean": means}, indent=1), encoding="utf-8")
    (options.out / "quality.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in stage.misread)
    (options.out / "misread.jsonl").write_text(lines, encoding="utf-8")
    print("\n".join(table))


def with_settings(checkpoint: Path, settings: Sequence[str], folder: Path) -> Path:
    """A copy of ``checkpoint`` in ``folder`` that performs otherwise, each given as ``NAME=NUMBER``."""
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in (known := [one.name for one in fields(PerformConfig)]):
            raise SystemExit(f"{name} is no number by which a checkpoint performs; there are {', '.join(known)}.")
        config["perform"][name] = float(value)
    folder.mkdir(parents=True, exist_ok=True)
    for file in checkpoint.glob("*.safetensors"):
        shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return folder


def _ratios(own: dict[str, float], truth: dict[str, float]) -> dict[str, float]:
    return {
        **{name: own[name] for name in _SPEECH},
        "closing_ahead_teacher": truth["closing_ahead"],
        "accents_answered": own["accents_answered"] / truth["accents_answered"],
        **{key: own[key] for key in region_keys()},
        "mmodality": own["mmodality_all"] / truth["mmodality_all"],
        "variance": own["variation"] / truth["variation"],
        "frechet": own["frechet_ratio"],
        "blinks": own["blinks_per_minute"],
        "blink_seconds": own["blink_seconds"],
        "length_error": own["length_error_seconds"],
    }


def fit_probe(data: str) -> EmotionProbe:
    """A probe that reads emotions, fitted to clips of the train split."""
    train = DataSource.parse(data).open("train")
    indices = pure_indices(train, _PROBE_CLIPS)
    return EmotionProbe([train.frames(i) for i in indices], emotions_of(train, indices))


def beside_people(stage: Stage, folder: Path) -> list[str]:
    """How captured people, the teacher and the checkpoint move: nothing to reach, something to know."""
    texts = stage.lines[:84]
    emotions = [EMOTIONS[k % len(EMOTIONS)] for k in range(len(texts))]
    requests = [LineRequest(text, emotion).validated() for text, emotion in zip(texts, emotions, strict=True)]
    faces = {path.stem: [to_clip_rate(read_recording(path))] for path in find_recordings(folder)}
    faces["teacher"] = [act_timed(t, ActingDirection.named(e), 0).frames for t, e in zip(texts, emotions, strict=True)]
    faces["checkpoint"] = [clips.take(0) for clips in stage.performer.perform(requests)]
    heads = [f"{region}: speed, jerk, 8–12 Hz" for region in ARKIT55.groups]
    table = ["| whole face | left with right | effective rank | " + " | ".join(heads) + " |"]
    table.append("|---" * (3 + len(heads)) + "|")
    for name, clips in faces.items():
        moves = [motion.region_motion(clips, columns, ARKIT55.fps) for columns in ARKIT55.groups.values()]
        cells = [f"{m.speed:.2f}, {m.jerk:.0f}, {m.tremor * 1e6:.1f}e-6" for m in moves]
        sides, rank = motion.side_correlation(clips, ARKIT55), motion.effective_rank(clips)
        table.append(f"| {name} | {sides:.2f} | {rank:.1f} | " + " | ".join(cells) + " |")
    return table


class Stage:
    """A checkpoint on held-out lines of a data set, and a probe that watches."""

    def __init__(self, checkpoint: Path, data: str, split: str, probe: EmotionProbe) -> None:
        self.held_out, self.probe = DataSource.parse(data).open(split), probe
        self.performer = load_performer(checkpoint, "auto")
        self.static = StaticPose(DataSource.parse(data).open("train"))
        self.lines = [self.held_out.text(i) for i in pure_indices(self.held_out)]
        #: What the takes that the probe reads otherwise were asked, as arguments of the operator ``cteg.perform``.
        self.misread: list[dict[str, Any]] = []

    def perform(self, requests: list[LineRequest]) -> list[Clip]:
        """What the first take of each request performs; its words are left out, as in the clips the probe knows."""
        return [clips.performance(0) for clips in self.performer.perform([r.validated() for r in requests])]

    def measure(self, seed: int) -> dict[str, float]:
        """Everything that the report does not ask."""
        return {
            **self._followed(seed), **self._inferred(seed), **self.moves(seed), **self._silent(seed),
            **self._energy(seed), **self._long(seed),
        }  # fmt: skip

    def _followed(self, seed: int) -> dict[str, float]:
        """Every emotion on the same number of lines, none of them chosen for it."""
        wanted = [(k, self.lines[(11 * k + 14 * n + 5 * seed) % len(self.lines)]) for k in range(14) for n in range(14)]
        requests = [LineRequest(text, EMOTIONS[k], seed=900 * seed + n) for n, (k, text) in enumerate(wanted)]
        takes = self.perform(requests)
        read, asked = self.probe.read(takes), np.array([k for k, _ in wanted])
        for request, emotion, seen in zip(requests, asked, read, strict=True):
            if emotion != seen:
                self.misread.append({"text": request.text, "emotion": request.emotion, "seed": request.seed})
        teacher = [
            act_timed(text, ActingDirection.named(EMOTIONS[k]), 900 * seed + n).performance
            for n, (k, text) in enumerate(wanted)
        ]
        lines = [
            HeldOutLine(0, text, Shown(emotion_vector(EMOTIONS[k]), 1.0), 0, 900 * seed + n)
            for n, (k, text) in enumerate(wanted)
        ]
        poses = [take.acted for (take,) in self.static.perform(lines, 1)]
        norms = [float(np.mean([np.linalg.norm(c, axis=1).mean() for c in clips])) for clips in (takes, teacher)]
        return {
            "followed": balanced_accuracy(read, asked),
            "followed_teacher": balanced_accuracy(self.probe.read(teacher), asked),
            "followed_static": balanced_accuracy(self.probe.read(poses), asked),
            "amplitude": norms[0] / norms[1],
        }

    def _inferred(self, seed: int) -> dict[str, float]:
        rows: list[dict[str, Any]] = getattr(self.held_out, "lines", [])
        labelled = {row["text"]: int(full_vector(row["feelings"]).argmax()) for row in rows if row["labelled"]}
        texts, truth = list(labelled), np.array(list(labelled.values()))
        guess = self.performer.emotion_probabilities(texts).argmax(-1)  # type: ignore[attr-defined]
        read = self.probe.read(self.perform([LineRequest(text, seed=seed) for text in texts]))
        ceiling, inferred = balanced_accuracy(guess, truth), balanced_accuracy(read, truth)
        return {"inferred": inferred, "text_ceiling": ceiling, "inferred_share": inferred / ceiling}

    def moves(self, seed: int) -> dict[str, float]:
        """Lines that move on to a second emotion: is each read in its half?"""
        rng = np.random.default_rng(seed)
        pairs = [(int(a), int(b)) for a, b in (rng.permutation(14)[:2] for _ in range(84))]
        texts = [text for text in self.lines if speech_seconds(text) > 1.5][: len(pairs)]
        takes = self.perform(
            [
                LineRequest(text, EMOTIONS[a], seed=seed, emotion_to=EMOTIONS[b])
                for text, (a, b) in zip(texts, pairs, strict=False)
            ]
        )
        teacher = [
            act_timed(text, ActingDirection.named(EMOTIONS[a], EMOTIONS[b]), seed).performance
            for text, (a, b) in zip(texts, pairs, strict=False)
        ]
        # The probe knows whole clips, so halves are harder to read; the teacher's own halves say how much harder.
        read = {}
        for name, k in (("moves_first", 0), ("moves_second", 1)):
            asked = [pair[k] for pair in pairs[: len(takes)]]
            for suffix, clips in (("", takes), ("_teacher", teacher)):
                halves = [clip[: len(clip) // 2] if k == 0 else clip[len(clip) // 2 :] for clip in clips]
                read[name + suffix] = float((self.probe.read(halves) == asked).mean())
        return read

    def _silent(self, seed: int) -> dict[str, float]:
        texts = self.lines[:60]
        takes = self.perform([LineRequest(text, "surprise", seed=seed, speaking=False) for text in texts])
        teacher = [
            act_timed(text, ActingDirection.named("surprise", role="listening"), seed).performance for text in texts
        ]
        return {"silent_jaw": _jaw(takes) / _jaw(teacher)}

    def _energy(self, seed: int) -> dict[str, float]:
        texts, result = self.lines[:60], {}
        for name, energy in (("energy_low", 0.6), ("energy_high", 1.4)):
            takes = self.perform([LineRequest(text, "joy", seed=seed, energy=energy) for text in texts])
            teacher = [act_timed(text, ActingDirection.named("joy", energy=energy), seed).performance for text in texts]
            result[name] = float(motion.speeds(takes).mean() / motion.speeds(teacher).mean())
        return result

    def _long(self, seed: int) -> dict[str, float]:
        rng = np.random.default_rng(100 + seed)
        requests = []
        for number in range(24):
            text = ""
            while speech_seconds(text) < _LONG_SECONDS - 3:
                text = f"{text} {self.lines[int(rng.integers(len(self.lines)))]}".strip()
            requests.append(LineRequest(text, EMOTIONS[1 + number % 13], seed=seed, seconds=_LONG_SECONDS))
        quarters = []
        for take in self.perform(requests):
            norm = np.linalg.norm(take[12:-18], axis=1)  # without the rise from and the return to the standard face
            parts = np.array_split(norm, 4)
            quarters.append((parts[0].mean(), parts[-1].mean()))
        first, last = np.mean(quarters, 0)
        return {"drift": float(last / first)}


def _jaw(clips: Sequence[Clip]) -> float:
    column = ARKIT55.channels.index("jawOpen")
    return float(np.mean([np.abs(np.diff(clip[:, column].astype(np.float64))).mean() for clip in clips]))


if __name__ == "__main__":
    main()
