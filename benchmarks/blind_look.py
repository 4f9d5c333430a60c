# SPDX-License-Identifier: GPL-3.0-or-later
"""A blind look: what does somebody see in takes who knows neither the lines nor who acts?

    python -m benchmarks.blind_look make CHECKPOINT --data data/corpus --out runs/blind
    python -m benchmarks.blind_look score runs/blind/key.json answers.json

``make`` renders sheets of strips: one take a row, `MOMENTS` of it, on a demo head, in random order, with a code beside
each: the checkpoint's, and the teacher's of the same lines and emotions; the performance, without the words.
``answers.json`` has for each code the emotion that is seen first and the one that is seen second, of the fourteen. Who
guesses, or names what is common, is found out: the same answers are counted under a key that was shuffled, too.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")  # Mesa's; read when bpy is imported

import numpy as np
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from generator.corpus.direction import ActingDirection
from generator.corpus.teacher import act_timed
from generator.direction.emotions import EMOTIONS
from generator.direction.requests import LineRequest

from .recognisers.asking import held_out
from .recognisers.pictures import Studio, crops_of
from .recognisers.protocol import TAKE_VIEW
from .recognisers.subjects import load

MOMENTS: Final = (0.1, 0.26, 0.42, 0.58, 0.74, 0.9)
WHO: Final = ("checkpoint", "teacher")
_PIXELS, _ROWS, _MARGIN = 176, 6, 40


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_subparsers(dest="what", required=True)
    made = what.add_parser("make", help="sheets, and the key to them")
    made.add_argument("checkpoint", type=Path)
    made.add_argument("--data", required=True)
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--head", default="mira")
    made.add_argument("--each", type=int, default=3, help="lines of each emotion")
    made.add_argument("--intensity", type=float, default=1.0)
    made.add_argument("--seed", type=int, default=0)
    scored = what.add_parser("score", help="the table of what was seen")
    scored.add_argument("key", type=Path)
    scored.add_argument("answers", type=Path)
    options = parser.parse_args()
    if options.what == "make":
        make(options)
    else:
        key, answers = (json.loads(path.read_text("utf-8")) for path in (options.key, options.answers))
        print("\n".join(table(key, answers)))


def make(options: argparse.Namespace) -> None:
    """Render the sheets of ``options.out`` and write its key."""
    from generator.performing.load import load_performer

    texts, _ = held_out(options.data, len(EMOTIONS) * options.each)
    wanted = [(emotion, texts[k * options.each + n]) for k, emotion in enumerate(EMOTIONS) for n in range(options.each)]
    seeds = range(1000 * options.seed, 1000 * options.seed + len(wanted))
    requests = [
        LineRequest(text, emotion, options.intensity, seed=seed).validated()
        for (emotion, text), seed in zip(wanted, seeds, strict=True)
    ]
    performer = load_performer(options.checkpoint, "cpu")
    clips = {"checkpoint": [clips.performance(0) for clips in performer.perform(requests)]}
    clips["teacher"] = [
        act_timed(text, ActingDirection.named(emotion, intensity=options.intensity), seed).performance
        for (emotion, text), seed in zip(wanted, seeds, strict=True)
    ]
    shown = [(who, k) for who in WHO for k in range(len(wanted))]
    order = np.random.default_rng(options.seed).permutation(len(shown)).tolist()
    studio = Studio(load(options.head))
    key: dict[str, dict[str, Any]] = {}
    strips: list[tuple[str, Image.Image]] = []
    options.out.mkdir(parents=True, exist_ok=True)
    for place, which in enumerate(order):
        who, k = shown[which]
        code = f"{chr(65 + place // _ROWS)}{place % _ROWS + 1}"
        key[code] = {"who": who, "emotion": wanted[k][0], "text": wanted[k][1], "seed": seeds[k]}
        strips.append((code, strip(studio, clips[who][k])))
        if len(strips) == _ROWS or place == len(order) - 1:
            sheet(strips).save(options.out / f"sheet-{code[0]}.png")
            strips = []
    (options.out / "key.json").write_text(json.dumps(key, indent=1) + "\n", "utf-8")


def strip(studio: Studio, clip: Any) -> Image.Image:
    """Moments of a take, (T, 55), side by side."""
    rows = [round(moment * (len(clip) - 1)) for moment in MOMENTS]
    wide = Image.new("RGB", (_PIXELS * len(rows), _PIXELS))
    for k, _ in enumerate(studio.subject.play(clip, rows)):
        wide.paste(crops_of(studio.picture(*TAKE_VIEW))[-1].resize((_PIXELS, _PIXELS)), (k * _PIXELS, 0))
    return wide


def sheet(strips: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Strips below each other, with their codes."""
    whole = Image.new("RGB", (_MARGIN + strips[0][1].width, _PIXELS * len(strips)), (30, 30, 30))
    pen = ImageDraw.Draw(whole)
    for row, (code, wide) in enumerate(strips):
        whole.paste(wide, (_MARGIN, row * _PIXELS))
        pen.text((10, row * _PIXELS + _PIXELS // 2 - 6), code, fill=(255, 255, 255))
    return whole


def table(key: Mapping[str, Mapping[str, Any]], answers: Mapping[str, Sequence[str]]) -> list[str]:
    """What was seen, with 95 % (Clopper and Pearson), beside the same answers under a key that was shuffled."""
    rng = np.random.default_rng(0)
    lines = ["| who | strips | seen first | first or second | the same, key shuffled |", "|---|---|---|---|---|"]
    for who in WHO:
        codes = [code for code, one in key.items() if one["who"] == who and code in answers]
        truth = [key[code]["emotion"] for code in codes]
        first = [answers[code][0] == emotion for code, emotion in zip(codes, truth, strict=True)]
        either = [emotion in answers[code][:2] for code, emotion in zip(codes, truth, strict=True)]
        chance = np.mean([
            np.mean([answers[code][0] == emotion for code, emotion in zip(codes, rng.permutation(truth), strict=True)])
            for _ in range(1000)
        ])  # fmt: skip
        lines.append(f"| {who} | {len(codes)} | {_share(first)} | {_share(either)} | {chance:.2f} |")
    lines += ["", "| emotion | " + " | ".join(f"{who}: seen as" for who in WHO) + " |", "|---|" + "---|" * len(WHO)]
    for emotion in EMOTIONS:
        cells = []
        for who in WHO:
            codes = [c for c, one in key.items() if one["who"] == who and one["emotion"] == emotion and c in answers]
            cells.append(", ".join(answers[code][0] for code in codes))
        lines.append(f"| {emotion} | {' | '.join(cells)} |")
    return lines


def _share(right: Sequence[bool]) -> str:
    low, high = binomtest(sum(right), len(right)).proportion_ci()
    return f"{np.mean(right):.2f} ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    main()
