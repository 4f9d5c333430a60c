# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as data (report.json) and as Markdown tables (report.md): a row per system, a column per metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .. import __version__
from .table import GROUPS, METRICS, Better

REPORT_SCHEMA: Final = 3


@dataclass(frozen=True)
class Row:
    """One system's numbers.

    Attributes:
        name, kind, identity: as in `rollouts.Entry`.
        values: metric key -> number, without those that cannot be measured.
        details: more about a number, by metric key, JSON-able.
    """

    name: str
    kind: str
    identity: str
    values: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All rows, ground truth first.

    Attributes:
        data: kind, name, split, space, number of train performances.
        settings: lines, takes, temperature, seed, text encoder of the retrieval.
        rows: the systems.
        notes: sentences about the report as a whole.
        plots: file names of the plots -> captions.
    """

    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    plots: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything, JSON-able; infinite numbers become None."""
        return {
            "schema_version": REPORT_SCHEMA,
            "generator": __version__,
            "data": dict(self.data),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "systems": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "identity": row.identity,
                    "metrics": {key: _rounded(value) for key, value in row.values.items()},
                    "details": dict(row.details),
                }
                for row in self.rows
            ],
            "metrics": {
                m.key: {"label": m.label, "group": m.group, "better": m.better.name.lower(), "meaning": m.sentence}
                for m in METRICS
            },
        }

    def as_markdown(self) -> str:
        """Tables by group, a sentence per metric, plots."""
        data, settings = self.data, self.settings
        lines = [
            "# Evaluation",
            "",
            f"{settings['lines']} {data['split']} lines of {data['name']} ({data['kind']}, {data['space']}) x "
            f"{settings['takes']} takes, temperature {settings['temperature']:g}, seed {settings['seed']}.",
            "",
            f"Signs: {Better.HIGHER.value} higher is better, {Better.LOWER.value} lower is better, "
            f"{Better.LIKE_TRUTH.value} the ground truth's value is best. The paper reads its metrics of variety as "
            "higher is better, but noise has the most variety: what exceeds the ground truth by far is not better.",
        ]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        for group, title in GROUPS.items():
            lines += self._table(group, title)
        if self.plots:
            lines += ["", "## Plots", ""]
            lines += [f"![{caption}]({name})\n\n{caption}\n" for name, caption in self.plots.items()]
        return "\n".join(lines).rstrip() + "\n"

    def _table(self, group: str, title: str) -> list[str]:
        columns = [m for m in METRICS if m.group == group and any(m.key in row.values for row in self.rows)]
        if not columns:
            return []
        rows = [row for row in self.rows if any(m.key in row.values for m in columns)]
        return [
            "",
            f"## {title}",
            "",
            "| | " + " | ".join(m.heading for m in columns) + " |",
            "|---" * (len(columns) + 1) + "|",
            *("| " + " | ".join([_cell(row.name), *(_number(row.values.get(m.key)) for m in columns)]) + " |"
              for row in rows),
            "",
            *(f"- **{m.label}**: {m.sentence}" for m in columns if m.sentence),
        ]  # fmt: skip


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _number(value: float | None) -> str:
    """Three significant digits; a dash for what was not measured."""
    if value is None:
        return "–"
    if (rounded := _rounded(value)) is None:
        return "∞"
    return f"{rounded:.4g}" if 1000 <= abs(rounded) < 10_000 else f"{rounded:.3g}"


def _rounded(value: float) -> float | None:
    """Six significant digits and twelve decimals: what lies beyond depends on the machine. No -0. None: infinite."""
    return round(float(f"{value:.6g}"), 12) + 0.0 if math.isfinite(value) else None
