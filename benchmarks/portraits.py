# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the pictures by which the demo heads are chosen in the asset browser: ``python -m benchmarks.portraits``.

Run it again when a head has changed. They are in Workbench, like what the viewport shows of the heads at first.
"""

from __future__ import annotations

from benchmarks.recognisers.pictures import Studio
from benchmarks.recognisers.subjects import load
from blender_cteg.heads.demo_head import PEOPLE, assemble

#: Pixels, and how many distances between the eyes they show.
_SIZE, _FRAME = 256, 4.6


def main() -> None:
    """Write one JPEG a person beside the baked heads."""
    for person in PEOPLE:
        studio = Studio(load(person), pixels=2 * _SIZE, frame=_FRAME)
        picture = studio.picture(18.0, 4.0, "key left").resize((_SIZE, _SIZE))
        picture.save(assemble.portrait_of(person), quality=88, optimize=True)


if __name__ == "__main__":
    main()
