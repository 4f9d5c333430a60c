# SPDX-License-Identifier: GPL-3.0-or-later
"""A page of the laboratory: ``index.html`` with its pictures and ``lab.json`` beside it, whole or not at all."""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import __version__
from ..errors import InputError
from ..evaluation.distances import Clip
from ..evaluation.plots import new_figure
from ..shared.spaces import Space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The file by which a folder is known for a page of the laboratory.
RESULT: Final = "lab.json"
PAGE: Final = "index.html"
_SCHEMA: Final = 1
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #20242b }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem } .of { color: #5b6472; margin-top: .2rem }
img { max-width: 100% } figure { margin: 1.5rem 0 } figcaption, caption { color: #5b6472; text-align: left }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; display: block; overflow-x: auto
} td, th { padding: .25rem .7rem; border-bottom: 1px solid #dde1e7; text-align: right } td:first-child, th:first-child
{ text-align: left } .found { background: #f2f5f9; border-left: .3rem solid #4c78a8; padding: .5rem 1rem }
"""


class Page:
    """What an experiment writes, in the order in which it is told.

    Args:
        name: of the experiment.
        purpose: one sentence.
        of: which model on which data, with what seed: said on the page and on every picture.
    """

    def __init__(self, name: str, purpose: str, of: str) -> None:
        self.name, self.of = name, of
        #: The numbers, JSON-able: what ``lab.json`` holds under "result".
        self.result: dict[str, Any] = {}
        self._parts = [f"<h1>{escape(name)}</h1>", f'<p class="of">{escape(of)}</p>', f"<p>{escape(purpose)}</p>"]
        self._files: dict[str, bytes] = {}

    def heading(self, text: str) -> None:
        """A section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>")

    def found(self, text: str) -> None:
        """A paragraph that stands out: what the numbers say. It is in ``lab.json`` too."""
        self._parts.append(f'<p class="found">{escape(text)}</p>')
        self.result.setdefault("found", []).append(text)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """A table; numbers get three significant digits."""
        top = "".join(f"<th>{escape(head)}</th>" for head in heads)
        body = "".join("<tr>" + "".join(f"<td>{escape(shown(v))}</td>" for v in row) + "</tr>" for row in rows)
        self._parts.append(
            f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
        )

    def measured(
        self, key: str, rows: Mapping[str, Mapping[str, Any]], caption: str = "",
        heads: Mapping[str, str] | None = None, corner: str = "",
    ) -> None:  # fmt: skip
        """A table of what was measured, which ``lab.json`` holds under ``key``; ``heads``: its columns."""
        self.result[key] = rows
        heads = heads or {column: column for row in rows.values() for column in row}
        self.table(
            (corner, *heads.values()), [(name, *(row.get(k) for k in heads)) for name, row in rows.items()], caption
        )

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """A picture, ``name``.png, on which it is written what it is of."""
        figure.text(0.998, -0.004, f"{self.name} · {self.of}", ha="right", va="top", fontsize=6, color="#5b6472")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        self.file(f"{name}.png", buffer.getvalue())
        said = escape(caption)
        self._parts.append(f'<figure><img src="{name}.png" alt="{said}"><figcaption>{said}</figcaption></figure>')

    def file(self, name: str, data: bytes, link: str = "") -> None:
        """A file beside the page; ``link`` is what the page calls it."""
        if name in self._files:
            raise ValueError(f"two files of a page are called {name}")
        self._files[name] = data
        if link:
            self._parts.append(f'<p><a href="{escape(name)}">{escape(link)}</a></p>')

    def write(self, out: Path) -> Path:
        """Make the folder ``out``, or replace the page that is there; returns the page.

        OSError when it cannot be written; then what was there before is still there.
        """
        result = {"schema_version": _SCHEMA, "generator": __version__, "experiment": self.name, "of": self.of}
        text = json.dumps({**result, "result": plain(self.result)}, indent=1, ensure_ascii=False)
        html = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(f"{self.name} · {self.of}")}</title>'
            f"<style>{_STYLE}</style><body>{''.join(self._parts)}</body></html>\n"
        )
        check_place(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            made, before = Path(folder, "made"), Path(folder, "before")
            made.mkdir()
            for name, data in {**self._files, RESULT: text.encode(), PAGE: html.encode()}.items():
                (made / name).write_bytes(data)
            if out.exists():
                out.replace(before)
            try:
                made.replace(out)
            except BaseException:
                if before.exists():
                    before.replace(out)
                raise
        return out / PAGE


def curves(page: Page, rows: Mapping[str, Sequence[Clip]], space: Space, name: str, caption: str) -> None:
    """A picture of takes, two of each row at most (dotted: the second): the channels that move most in the first."""
    columns = np.argsort(next(iter(rows.values()))[0].var(0))[::-1][:3]
    figure, axes = new_figure(10, 1.5 * len(rows) + 0.6, 1, len(rows), sharex=True, sharey=True)
    for axis, (label, takes) in zip(axes, rows.items(), strict=True):
        for take, style in zip(takes, ("-", ":"), strict=False):
            axis.set_prop_cycle(None)
            axis.plot(np.arange(len(take)) / space.fps, take[:, columns], style, linewidth=1)
        axis.set_title(label, fontsize=8, loc="left")
    names = [space.channels[column] for column in columns]
    figure.legend(axes[0].lines[:3], names, frameon=False, fontsize=7, ncols=3, loc="outside upper right")
    axes[-1].set_xlabel("seconds")
    page.figure(figure, name, caption)


def check_place(out: Path) -> None:
    """InputError unless ``out`` is free, empty, or holds a page that may be replaced."""
    if out.is_dir() and not (out / RESULT).is_file() and any(out.iterdir()):
        raise InputError(f"{out} holds other things than a page of the laboratory; name another folder with --out.")
    if blocking := [place for place in (out, *out.parents) if place.exists() and not place.is_dir()]:
        raise InputError(f"{blocking[0]} is a file; name a folder with --out.")


def shown(value: Any) -> str:
    """A cell of a table: three significant digits of a number, a dash for what was not measured."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.4g}" if 1000 <= abs(number) < 10_000 else f"{number:.3g}"
    return str(value)


def plain(value: Any) -> Any:
    """``value`` as JSON knows it: six significant digits, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
