# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the generator: start it and ask for its versions and devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..preferences import choices
from ..worker import session
from ..worker.locate import install_hint
from .jobs import JobOperator, Refusal, busy_reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpy.types import Context


def disabled_reason(_context: Context) -> str:
    """Why the generator cannot be asked now, or ""."""
    return busy_reason()


class CTEG_OT_check_generator(JobOperator, bpy.types.Operator):
    bl_idname = "cteg.check_generator"
    bl_label = "Check"
    bl_description = "Start the generator with this Python and show its versions and devices"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        session.checked = None
        return choices(context).python, {"op": "hello"}, "Starting the generator"

    def complete(self, context: Context, job: session.Job) -> None:
        session.checked = job.hello
        if not job.hello.torch:
            python = session.command(choices(context).python).python
            raise Refusal(f"The Python {python} has no torch: {install_hint(python)}.")
        self.report(
            {"INFO"},
            f"Generator {job.hello.generator}, Python {job.hello.python}, torch {job.hello.torch}, "
            f"{', '.join(job.hello.devices)}",
        )

    def conclude(self, problem: str) -> None:
        session.finish()
        session.checked = problem or session.checked
