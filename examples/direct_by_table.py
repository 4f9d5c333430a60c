# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines from anywhere, each with directions of its own: what a game's table of barks becomes.

python -m examples.direct_by_table out
"""

import sys
from pathlib import Path

from generator.batch import Job, perform
from generator.performing.clips import Clips

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
        clip = Clips.read(folder / mood / job.file(place))
        print(f"{mood} {name}: {len(clip.take(0)) / clip.space.fps:.1f} s, {clip.emotion}")
