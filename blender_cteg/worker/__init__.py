# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's end of the door to the generator process (no bpy in this folder; see docs/protocol.md)."""
