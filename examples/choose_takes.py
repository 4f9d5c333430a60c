# SPDX-License-Identifier: GPL-3.0-or-later
"""Of several takes of every line, keep the one that moves most, for Unreal: Live Link Face .csv.

python -m examples.choose_takes scene.fountain out
"""

import sys
from pathlib import Path

import numpy as np

from generator.batch import Job
from generator.errors import InputError
from generator.performing.load import load_performer
from generator.writing import write_whole

job = Job.from_file(Path(sys.argv[1]), {"takes": 4, "energy": 1.2}, form="csv")
performer = load_performer()
for place, line in enumerate(job.lines):
    try:
        (clips,) = performer.perform([job.request(place)])
    except InputError as error:
        print(f"line {line.number}: {error}", file=sys.stderr)
        continue
    moved = [float(np.abs(np.diff(clips.take(k), axis=0)).mean()) for k in range(len(clips.lengths))]
    best = int(np.argmax(moved))
    files = clips.files(Path(sys.argv[2]) / job.file(place))  # a .csv for every take
    print(write_whole(*files[best]), f"seed {clips.seeds[best]}")
