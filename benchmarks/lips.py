# SPDX-License-Identifier: GPL-3.0-or-later
"""Do lips close where the line says so, on the meshes that animators see? docs/quality.md has the numbers.

    python -m benchmarks.lip_clips generator/checkpoints/default --xed XED_DIR --out runs/lips/default.npz
    python -m benchmarks.lips runs/lips/default.npz --ict ict_facekit_light.npz --voice VOICE_DIR --openfacefx DIR \
        --out runs/lips

Every take is written as an animator would write it, played, and the lips of the evaluated mesh are measured on every
frame, at several frame rates, with a key on every frame and with few. A recorded voice brings its own times and shows
static poses. ``--wrong`` shows the judges mouths that say something else: every number must fall.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.lip_clips import INTENSITIES, Said, read
from benchmarks.mouths import Mouth, faces, still_head
from benchmarks.openfacefx import OpenFaceFx
from benchmarks.wrong_mouths import WRONG
from blender_cteg.clip import Clip
from blender_cteg.performance.record import Style
from generator.corpus.direction import ActingDirection
from generator.corpus.teacher import act_timed
from generator.direction.emotions import EMOTIONS
from generator.evaluation.lips import lips_of
from generator.evaluation.speaking import TOLERANCE, Watched, closures, judge_mouths
from generator.shared.composing import whole_face
from generator.shared.spaces import ARKIT55
from generator.shared.timeline import Timeline

#: ``render.fps`` and ``render.fps_base`` by what animators call them.
RATES: Final = {"23.976": (24, 1.001), "25": (25, 1.0), "30": (30, 1.0), "60": (60, 1.0)}
#: Percent: the key reduction that is tried.
REDUCTION: Final = 0.5
WANTED: Final = {"recall": 0.95, "precision": 0.97, "per line": 0.1}
_FILM: Final = (24, 1.0)
_MIRROR: Final = [
    ARKIT55.channels.index(
        name[:-4] + "Right" if name.endswith("Left") else name[:-5] + "Left" if name.endswith("Right") else name
    )
    for name in ARKIT55.channels
]


@dataclass(frozen=True, eq=False)
class Seen:
    """A take as it was seen on a mesh."""

    mouth: Watched
    said: Said
    rate: str
    source: str


def main() -> None:
    """Play, measure, print the tables and write lips.json and lips.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clips", type=Path, help="from benchmarks.lip_clips")
    parser.add_argument("--ict", type=Path, help="ict_facekit_light.npz")
    parser.add_argument("--voice", type=Path, help="folder of recordings' phone times, NAME.phone.json")
    parser.add_argument("--openfacefx", type=Path, help="folder into which pip installed it")
    parser.add_argument("--wrong", action="store_true", help="only show the judges what is wrong")
    parser.add_argument("--every", type=int, default=1, help="only every so many takes; 3 and 5 meet all emotions")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    takes, made = read(options.clips)[:: options.every], faces(options.ict)
    voices = list(recorded(options.voice))[:: options.every] if options.voice else []
    results: dict[str, Any] = {}
    lines: list[str] = []
    if options.wrong:
        results["wrong"] = {name: wrong_on(make(), takes) for name, make in made.items()}
        lines += _judged_table(results["wrong"])
    else:
        results["closures"] = [row for name, make in made.items() for row in closures_on(name, make(), takes, voices)]
        lines += _closure_table(results["closures"])
        name, make = next(iter(made.items()))
        results["lines"] = {name: compared_on(make(), takes, options.openfacefx)}
        lines += ["", *_judged_table(results["lines"])]
    stem = "wrong" if options.wrong else "lips"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{stem}.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (options.out / f"{stem}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def recorded(folder: Path) -> Iterator[Said]:
    """Every recording in ``folder`` said with a static pose of every emotion."""
    for number, file in enumerate(sorted(folder.glob("*.phone.json"))):
        timeline = timeline_of(json.loads(file.read_text("utf-8")))
        for emotion in EMOTIONS:
            intensity = INTENSITIES[number % len(INTENSITIES)]
            direction = ActingDirection.named(emotion, intensity=intensity, role="silent")
            silent = act_timed(timeline.text, direction, number).performance
            pose = silent[len(silent) // 4 : -len(silent) // 4].mean(0)
            yield Said(np.tile(pose, (round(timeline.seconds * 24), 1)), timeline, 1.0, emotion, intensity)


def timeline_of(data: dict[str, Any]) -> Timeline:
    """PocketSphinx's phone times ("b" begins, "d" lasts, "t" what, "w" parts) as a timeline."""
    words = [
        {
            "text": word["t"].partition("(")[0],
            "phonemes": [[p["t"], p["b"], round(p["b"] + p["d"], 3)] for p in word["w"]],
        }
        for word in data["w"]
        if not word["t"].startswith(("<", "["))
    ]
    return Timeline.from_json({"text": data["t"], "words": words})


def closures_on(name: str, mouth: Mouth, takes: Sequence[Said], voices: Sequence[Said]) -> list[dict[str, Any]]:
    """Rows of the table of closures of one mesh."""
    seen = [*_seen(mouth, takes, "every frame keyed", 0), *_seen(mouth, takes, f"keys reduced, {REDUCTION} %", 2)]
    seen += _seen(mouth, voices, "recorded voice, static poses", 1)
    print(name, len(seen), "takes", file=sys.stderr, flush=True)
    return [
        {"mesh": name, "what": what, **_counted(part)}
        for what, part in [
            ("all", seen),
            *_parts(seen, lambda s: s.source),
            *_parts(seen, lambda s: f"intensity {s.said.intensity:g}"),
            *_parts(seen, lambda s: f"{s.rate} fps"),
            *_worst(_parts(seen, lambda s: s.said.emotion)),
        ]
    ]


def compared_on(mouth: Mouth, takes: Sequence[Said], openfacefx: Path | None) -> dict[str, dict[str, float]]:
    """Ours beside OpenFaceFX, at 24 frames per second."""
    systems: dict[str, list[Said]] = {"ours": list(takes)}
    systems["ours, neutral face"] = [replace(said, performance=0 * said.performance) for said in takes]
    if openfacefx is not None:
        peer = OpenFaceFx(openfacefx)
        systems["OpenFaceFX, from text"] = [peer.from_text(said) for said in takes]
        systems["OpenFaceFX, our times"] = [peer.from_times(said) for said in takes]
    return {
        name: _judged([_play(mouth, said, speaks=name.startswith("ours")) for said in each])
        for name, each in systems.items()
    }


def wrong_on(mouth: Mouth, takes: Sequence[Said]) -> dict[str, dict[str, float]]:
    """The judges' numbers of the right mouth and of wrong ones, at 24 frames per second."""
    right = [_play(mouth, said) for said in takes]
    result = {"right": {**_judged(right), "sides": _sides(right, takes)}}
    for name, wrong in WRONG.items():
        others = [takes[(k + 1) % len(takes)].timeline for k in range(len(takes))]
        says = [replace(s, timeline=wrong(s.timeline, o)) for s, o in zip(takes, others, strict=True)]
        result[name] = _judged([_play(mouth, w, line=s.timeline) for w, s in zip(says, takes, strict=True)])
    result["static pose"] = _judged([_play(mouth, said, speaks=False) for said in takes])
    mirrored = [replace(said, performance=said.performance[:, _MIRROR]) for said in takes]
    swapped = [_play(mouth, said) for said in mirrored]
    result["left and right swapped"] = {**_judged(swapped), "sides": _sides(swapped, takes)}
    return result


def _judged(mouths: Sequence[Watched]) -> dict[str, float]:
    return judge_mouths([[mouth] for mouth in mouths])


def _sides(mouths: Sequence[Watched], takes: Sequence[Said]) -> float:
    """Correlation of the mouth's tilt with that of ICT FaceKit's linear lips under the same take."""
    wanted = [
        lips_of(whole_face(said.performance, said.timeline, ARKIT55.fps, said.scale), "ict").tilt for said in takes
    ]
    pairs = [(m.lips.tilt[m.speech], w[: len(m.speech)][m.speech]) for m, w in zip(mouths, wanted, strict=True)]
    ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.corrcoef(ours, theirs)[0, 1])


#: A key on every frame.
EVERY_FRAME = Style(reduction=0)


def _play(
    mouth: Mouth,
    said: Said,
    rate: tuple[int, float] = _FILM,
    style: Style = EVERY_FRAME,
    speaks: bool = True,
    line: Timeline | None = None,
) -> Watched:
    """The take on the mesh, watched for what it says, or for another ``line``."""
    line = line or said.timeline
    clip = Clip(still_head(said.performance, ARKIT55.channels), ARKIT55.channels, ARKIT55.fps, ARKIT55.name, line.text)
    if speaks:
        clip = replace(clip, timeline=said.timeline, speech_scale=said.scale)
    span = line.start - 2 * TOLERANCE, line.end + 2 * TOLERANCE
    return Watched(mouth.play(clip, rate, span, style), line, rate[0] / rate[1])


def _seen(mouth: Mouth, takes: Sequence[Said], source: str, first_rate: int) -> list[Seen]:
    style = Style(reduction=REDUCTION) if "reduced" in source else EVERY_FRAME
    names = list(RATES)
    result = []
    for number, said in enumerate(takes):
        rate = names[(number + first_rate) % len(names)]
        result.append(Seen(_play(mouth, said, RATES[rate], style), said, rate, source))
    return result


def _parts(seen: Sequence[Seen], key: Callable[[Seen], str]) -> list[tuple[str, list[Seen]]]:
    return [(name, list(part)) for name, part in groupby(sorted(seen, key=key), key)]


def _worst(parts: Sequence[tuple[str, list[Seen]]]) -> Iterator[tuple[str, list[Seen]]]:
    """The part with the least of each number, where there is less than 1."""
    for number in ("recall", "precision"):
        name, part = min(parts, key=lambda named: _counted(named[1])[number])
        if _counted(part)[number] < 1.0:
            yield f"least {number}: {name}", part


def _counted(seen: Sequence[Seen]) -> dict[str, float]:
    counted = closures([one.mouth for one in seen])
    return {
        "takes": len(seen),
        "p, b, m": counted.wanted,
        "recall": counted.recall,
        "precision": counted.precision,
        "events": counted.event_precision,
        "per line": counted.per_line,
    }


def _closure_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = []
        for column in columns:
            value = row[column]
            if column not in WANTED or np.isnan(value):
                cells.append(str(value) if not isinstance(value, float) else "–" if np.isnan(value) else f"{value:.3f}")
                continue
            met = value <= WANTED[column] if column == "per line" else value >= WANTED[column]
            cells.append(f"{value:.3f} {'✓' if met else '✗'}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _judged_table(meshes: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    columns = list(next(iter(next(iter(meshes.values())).values())))
    lines = ["| mesh | mouth | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for mesh, rows in meshes.items():
        for name, row in rows.items():
            cells = (f"{row[c]:.3f}" if np.isfinite(row.get(c, np.nan)) else "–" for c in columns)
            lines.append(f"| {mesh} | {name} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
