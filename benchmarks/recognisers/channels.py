# SPDX-License-Identifier: GPL-3.0-or-later
"""How far every single ARKit channel moves a face, and a sheet that shows it, beside another face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from generator.shared.spaces import ARKIT_CHANNELS
from tools.film import render

from .pictures import Studio
from .protocol import channel_pose
from .subjects import Subject, rigid, vertices_of

Array = npt.NDArray[Any]
#: The target: our motion over the other face's.
LOW, HIGH = 0.6, 1.6
#: Square eye distances: the size of a face, that all mean squares are over, so that none gains by what counts as face.
FACE_AREA: Final = 9.0
#: Share of the longest way, from which on a part is said to move.
_MOVES: Final = 0.1
CELL: Final = 220
_GAP, _HEAD, _LABEL = 6, 34, 24
_PER_PAGE, _COLUMNS = 14, 2
#: Degrees, and eye distances: nearer than what recognisers see.
_THREE_QUARTERS, _FRAME = 38.0, 3.4


@dataclass(frozen=True)
class Motion:
    """Of one channel at 1, in eye distances.

    Attributes:
        rms: over a face (`FACE_AREA`): the root of the mean square.
        peak: the way that 99 % of what moves stays under; moves: at least a tenth of the longest way.
        area: how large that part is, square eye distances.
        gaze: degrees that the eyeball of the channel's side turns.
    """

    rms: float
    peak: float
    area: float
    gaze: float = 0.0


def motions(subject: Subject) -> dict[str, Motion]:
    """Channel -> its motion on the evaluated mesh, played as the extension plays it.

    Every vertex counts by the area around it at rest, so that a dense mesh counts no more than a coarse one. On the
    skin of the face (for the gaze: the lids that follow it); the tongue on everything.
    """
    area = areas(subject)
    poses = np.stack([channel_pose(channel) for channel in ARKIT_CHANNELS])
    found = {}
    for row in subject.play(poses, list(range(len(poses)))):
        channel, now = ARKIT_CHANNELS[row], vertices_of(subject.face)
        way = np.linalg.norm(now - subject.rest, axis=1) / subject.unit
        where = np.ones(len(way), bool) if channel == "tongueOut" else subject.skin
        found[channel] = motion(way[where], area[where] / subject.unit**2)
        if channel.startswith("eyeLook"):
            ball = subject.eyeballs[int(channel.endswith("Right"))]
            turn, _ = rigid(subject.rest[ball], now[ball])
            found[channel] = replace(found[channel], gaze=turned(turn))
    return found


def motion(way: Array, area: Array) -> Motion:
    """Of vertices that go some way, (n,), each standing for an area, (n,)."""
    moves = (way >= _MOVES * way.max()) & (way > 1e-4)
    if not moves.any():
        return Motion(0.0, 0.0, 0.0)
    rms = np.sqrt((area * way**2).sum() / FACE_AREA)
    way, area = way[moves], area[moves]
    order = np.argsort(way)
    share = np.cumsum(area[order]) / area.sum()
    peak = way[order][min(int(np.searchsorted(share, 0.99)), len(way) - 1)]
    return Motion(float(rms), float(peak), float(area.sum()))


def turned(rotation: Array) -> float:
    """The angle of a rotation (3, 3), degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0))))


def areas(subject: Subject) -> Array:
    """A third of the triangles around each vertex at rest, square metres, (V,)."""
    mesh = subject.face.data
    mesh.calc_loop_triangles()
    corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    corners = corners.reshape(-1, 3)
    a, b, c = (subject.rest[corners[:, k]] for k in range(3))
    size = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return np.bincount(corners.ravel(), np.repeat(size / 3.0, 3), len(subject.rest))


def compare(ours: dict[str, Motion], other: dict[str, Motion] | None) -> dict[str, dict[str, Any]]:
    """Channel -> numbers of both faces, percent of the eye distance, and ours over the other's (None: it has none)."""
    rows = {}
    for channel, mine in ours.items():
        row: dict[str, Any] = {"rms": 100 * mine.rms, "peak": 100 * mine.peak, "area": mine.area}
        if mine.gaze > 0.1:
            row["gaze"] = mine.gaze
        if other is not None:
            theirs = other[channel]
            row |= {"other_rms": 100 * theirs.rms, "other_peak": 100 * theirs.peak, "other_area": theirs.area}
            row["ratio"] = mine.rms / theirs.rms if theirs.rms else None
            row["peak_ratio"] = mine.peak / theirs.peak if theirs.peak else None
            row["area_ratio"] = mine.area / theirs.area if theirs.area else None
        rows[channel] = row
    return rows


def within(ratio: float | None) -> bool:
    """Whether a ratio of rms motion is what is wanted, or there is none to want."""
    return ratio is None or LOW <= ratio <= HIGH


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """As Markdown; channels out of the target are marked."""
    lines = [
        "| channel | rms | beside | ratio | 99 % | beside | ratio | area ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for channel, row in rows.items():
        if "ratio" not in row:
            lines.append(f"| {channel} | {row['rms']:.1f} | | | {row['peak']:.1f} | | | |")
            continue
        ratio, peak, area = (f"{r:.2f}" if r else "–" for r in (row["ratio"], row["peak_ratio"], row["area_ratio"]))
        mark = "" if within(row["ratio"]) else " ✗"
        lines.append(
            f"| {channel} | {row['rms']:.1f} | {row['other_rms']:.1f} | {ratio}{mark} "
            f"| {row['peak']:.1f} | {row['other_peak']:.1f} | {peak} | {area} |"
        )
    turns = (f"{channel} {row['gaze']:.0f}" for channel, row in rows.items() if "gaze" in row)
    return [*lines, "", f"Eyeballs turn, degrees: {', '.join(turns)}"]


def render_channels(subject: Subject, folder: Path, engine: render.Engine) -> None:
    """Pictures of rest and of every channel at 1, from the front and from its side, `CELL` pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(subject, engine, CELL, _FRAME)
    names = ("rest", *ARKIT_CHANNELS)
    poses = np.stack([np.zeros(len(channel_pose(names[1])), np.float32), *map(channel_pose, ARKIT_CHANNELS)])
    for row in subject.play(poses, list(range(len(names)))):
        name = names[row]
        side = -_THREE_QUARTERS if name.endswith("Right") else _THREE_QUARTERS
        studio.picture(0.0, 2.0, "key left").save(folder / f"{name}_front.png")
        studio.picture(side, 2.0, "key right" if side > 0 else "key left").save(folder / f"{name}_side.png")


def draw_pages(heads: dict[str, Path], rows: dict[str, dict[str, Any]], out: Path) -> list[Path]:
    """The sheet: head name -> its pictures; each cell is labelled with channel, head and ratio."""
    out.mkdir(parents=True, exist_ok=True)
    names, pages = ["rest", *ARKIT_CHANNELS], []
    font, small = ImageFont.load_default(19), ImageFont.load_default(14)
    block = 2 * len(heads) * CELL + (2 * len(heads) - 1) * _GAP
    for number, first in enumerate(range(1, len(names), _PER_PAGE - 1), start=1):
        shown = ["rest", *names[first : first + _PER_PAGE - 1]]
        deep = -(-len(shown) // _COLUMNS)
        size = (_COLUMNS * (block + 3 * _GAP), _HEAD + deep * (CELL + _LABEL + _GAP))
        page = Image.new("RGB", size, (24, 27, 33))
        draw = ImageDraw.Draw(page)
        draw.text((_GAP, 6), f"Every channel at 1: {' | '.join(heads)}; front and side   {number}", "white", font)
        for place, name in enumerate(shown):
            left = (place // deep) * (block + 3 * _GAP) + _GAP
            top = _HEAD + (place % deep) * (CELL + _LABEL + _GAP)
            ratio = rows.get(name, {}).get("ratio")
            note = "" if ratio is None else f"   rms x {ratio:.2f}{'' if within(ratio) else '  !'}"
            draw.text((left, top), name + note, (255, 176, 92), font)
            pictures = [
                (head, folder / f"{name}_{view}.png") for head, folder in heads.items() for view in ("front", "side")
            ]
            for column, (head, path) in enumerate(pictures):
                at = left + column * (CELL + _GAP), top + _LABEL
                with Image.open(path) as cell:
                    page.paste(cell.resize((CELL, CELL)), at)
                draw.text((at[0] + 5, at[1] + 3), head, (236, 238, 242), small)
        pages.append(out / f"channels{number}.png")
        page.save(pages[-1])
    return pages


def shrink(pages: list[Path], out: Path) -> list[Path]:
    """The pages at half their size, as JPEG files in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    small = [out / f"{page.stem}.jpg" for page in pages]
    for page, path in zip(pages, small, strict=True):
        with Image.open(page) as whole:
            whole.reduce(2).save(path, quality=72, optimize=True)
    return small
