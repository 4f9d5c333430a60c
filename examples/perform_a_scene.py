# SPDX-License-Identifier: GPL-3.0-or-later
"""Perform a script: a file for every line, and who is seen when.

python -m examples.perform_a_scene scene.fountain out
"""

import json
import sys
from pathlib import Path

from generator.batch import Job, perform

script, folder = Path(sys.argv[1]), Path(sys.argv[2])
job = Job.from_file(script, {"takes": 2, "seed": 7})
report = perform(job, folder, on_batch=lambda p: print(f"{p.before + p.done} lines are done", file=sys.stderr))
if report.path is not None:
    for line in json.loads(report.path.read_text("utf-8"))["lines"]:
        print(f"{line['speaker'] or 'somebody'}: {line['emotion'] or line['why']} ({', '.join(line['files'])})")
