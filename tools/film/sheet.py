# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet: takes as rows, moments as columns, every cell labelled (pillow, no `bpy`)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

_PAGE: Final = (24, 27, 33)
_CELL: Final = (38, 43, 52)
_INK: Final = (236, 238, 242)
_FAINT: Final = (150, 158, 172)
_ACCENT: Final = (255, 176, 92)
_GAP: Final = 10
_MARGIN: Final = 36
_ROW_LABEL: Final = 34
_CORNER: Final = 10


@dataclass(frozen=True)
class Row:
    """One take on the sheet.

    Attributes:
        title: emotion, seed and length.
        pictures: PNG files with a transparent backdrop, one per moment.
        seconds: when each picture happens, in seconds from the start of the take.
    """

    title: str
    pictures: tuple[Path, ...]
    seconds: tuple[float, ...]


def draw_sheet(title: str, subtitle: str, rows: Sequence[Row], cell: int, path: Path) -> None:
    """Write the contact sheet of ``rows`` to ``path`` (PNG or, by its suffix, JPEG).

    Args:
        title: what the character says, in quotation marks (`quoted`), or anything else; wrapped when it is long.
        subtitle: one short line under it.
        rows: the takes, at least one, each with the same number of pictures.
        cell: width and height of a picture in pixels.
        path: the file to write.
    """
    columns = len(rows[0].pictures)
    width = 2 * _MARGIN + columns * cell + (columns - 1) * _GAP
    title_font, text_font, small_font = (ImageFont.load_default(size) for size in (34, 20, 17))
    shown = textwrap.wrap(title, max(20, width // 18))
    if len(shown) > 2:
        shown = [shown[0], shown[1].rstrip(" ”.,") + (" …”" if title.endswith("”") else " …")]
    header = _MARGIN + 44 * len(shown) + 34
    height = header + len(rows) * (_ROW_LABEL + cell + _GAP) + _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), _PAGE)
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(shown):
        draw.text((_MARGIN, _MARGIN - 8 + 44 * number), text, _INK, title_font)
    draw.text((_MARGIN, header - 34), subtitle, _FAINT, text_font)
    mask = Image.new("L", (cell, cell), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, cell - 1, cell - 1), _CORNER, 255)
    for number, row in enumerate(rows):
        top = header + number * (_ROW_LABEL + cell + _GAP)
        draw.text((_MARGIN, top + 6), row.title, _ACCENT, text_font)
        for column, (picture, second) in enumerate(zip(row.pictures, row.seconds, strict=True)):
            place = (_MARGIN + column * (cell + _GAP), top + _ROW_LABEL)
            sheet.paste(_cell(picture, cell, f"{second:.1f} s", small_font), place, mask)
    sheet.save(path, **({"quality": 88} if path.suffix.lower() in (".jpg", ".jpeg") else {}))


def quoted(line: str) -> str:
    """A line of dialogue as a title."""
    return f"“{' '.join(line.split())}”"


def _cell(picture: Path, size: int, label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """One picture on the cell's backdrop, lighter behind the head, with its time in a corner."""
    cell = Image.new("RGB", (size, size), _CELL)
    glow = Image.radial_gradient("L").resize((size, size)).point(lambda value: max(0, 150 - value))
    cell.paste(Image.new("RGB", (size, size), (92, 104, 124)), mask=glow)
    with Image.open(picture) as opened:
        face = opened.convert("RGBA").resize((size, size))
    cell.paste(face, mask=face.getchannel("A"))
    ImageDraw.Draw(cell).text((size - 10, size - 8), label, _INK, font, anchor="rs", stroke_width=2, stroke_fill=_PAGE)
    return cell
