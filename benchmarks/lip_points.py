# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``generator/evaluation/lips.json``: how ARKit's actions move the lips of two faces.

Run from the repository: ``.venv/bin/python -m benchmarks.lip_points``. It reads ``face_points.npz`` (`face_points`), in
which the first 68 points are the Multi-PIE landmarks; positions and displacements are in eye distances.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.face_points import OUT as POINTS
from generator.evaluation.lips import INNER_LIPS, MEASURES

OUT: Final = Path("generator/evaluation/lips.json")
_CORNERS = 54, 48
_UPPER_LIP, _LOWER_LIP, _LOWER_EDGE = [50, 51, 52], [56, 57, 58], [65, 66, 67]


def measures(points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`MEASURES` of landmarks (..., 68, 3) in eye distances, x to the left, y up, z to the front: (..., 7).

    All are linear in the coordinates, so displacements give changes.
    """
    left, right = _CORNERS
    x, y, z = np.moveaxis(points.astype(np.float64), -1, 0)
    return np.stack(
        [
            *(y[..., upper] - y[..., lower] for upper, lower in INNER_LIPS),
            x[..., left] - x[..., right],
            z[..., _UPPER_LIP].mean(-1),
            z[..., _LOWER_LIP].mean(-1) - z[..., _LOWER_EDGE].mean(-1),
            y[..., left] - y[..., right],
        ],
        -1,
    )


def main() -> None:
    """Write the table."""
    with np.load(POINTS, allow_pickle=False) as file:
        channels: list[str] = file["channels"].tolist()
        rest = measures(file["positions"][:68])
        faces = {face: measures(file[face][:, :68] / 1e4) for face in ("ict", "makehuman")}
        licence = str(file["licence"])
    data = {
        "licence": licence,
        "measures": list(MEASURES),
        "rest": np.round(rest, 4).tolist(),
        "faces": {
            face: {c: row for c, row in zip(channels, np.round(rows, 4).tolist(), strict=True) if any(row)}
            for face, rows in faces.items()
        },
    }
    text = json.dumps(data, separators=(",", ":")).replace('"],', '"],\n').replace("],", "],\n").replace("},", "},\n")
    OUT.write_text(text + "\n", encoding="utf-8")
    print(OUT, len(text) // 1024, "kB")


if __name__ == "__main__":
    main()
