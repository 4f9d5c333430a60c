# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines from anywhere, each with directions of its own: what a game's table of barks becomes.

python examples/direct_by_table.py out
"""

import sys
from pathlib import Path

import numpy as np

from generator.batch import Job, perform

BARKS = {
    "alarm": ("Over there! By the gate!", "fear"),
    "taunt": ("Is that all you have?", "contempt"),
    "thanks": ("I owe you one.", "affection"),
}

folder = Path(sys.argv[1])
for mood in ("calm", "fierce"):
    job = Job.from_lines(
        [f"[{emotion}] {text}" for text, emotion in BARKS.values()], {"intensity": 0.7 if mood == "calm" else 1.3}
    )
    perform(job, folder / mood)
    for place, name in enumerate(BARKS):
        with np.load(folder / mood / job.file(place), allow_pickle=False) as clip:
            face = clip["values"][0, : clip["lengths"][0]]
            print(f"{mood} {name}: {len(face) / float(clip['fps']):.1f} s, {clip['emotion']}")
