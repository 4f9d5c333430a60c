# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate: perform the line."""

from __future__ import annotations

import bpy

from . import perform

disabled_reason = perform.disabled_reason


class CTEG_OT_generate(perform.PerformOperator, bpy.types.Operator):
    bl_idname = "cteg.generate"
    bl_label = "Generate"
    bl_description = "Perform the line: one new action per take on the target. Existing animation is kept"
    # No REGISTER: adjusting a value in the redo panel would perform everything again and block the interface.
    bl_options = {"UNDO"}
