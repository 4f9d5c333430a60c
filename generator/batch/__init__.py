# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole scripts performed without anybody watching: docs/batch.md.

    from generator.batch import Job, perform

    job = Job.from_file(Path("scene.fountain"), {"takes": 3, "seed": 7})
    report = perform(job, Path("out"))

A job is its lines, what each is performed with, and batches of lines that are decoded together. The batches are fixed
by the script alone, and each is computed whole and for itself, so a job gives the same bytes whether it was
interrupted, shared out or not.
"""

from __future__ import annotations

from .job import FORMATS, Job
from .record import JobChanged, Report
from .running import perform

__all__ = ["FORMATS", "Job", "JobChanged", "Report", "perform"]
