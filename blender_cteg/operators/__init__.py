# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators, by what they work on.

Every module has a ``disabled_reason`` that says in a sentence why its operators cannot run; the panel, the operator's
poll message and its error report all show that sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Context


class Reasoned:
    """Mixin: an operator that can run while `reason` is ""."""

    @staticmethod
    def reason(context: Context) -> str:
        """Why it cannot run, a sentence; "" when it can."""
        raise NotImplementedError

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Called by Blender."""
        if reason := cls.reason(context):
            cls.poll_message_set(reason)
        return not reason
