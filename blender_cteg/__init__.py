# SPDX-License-Identifier: GPL-3.0-or-later
"""CTEG for Blender: type a line of dialogue, get an emotional facial performance as shape-key keyframes.

Importing this package imports nothing else, so that its bpy-free modules can be used and tested without Blender and
enabling the extension stays quick. torch never enters Blender's process: see docs/architecture.md.
"""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled; leaves nothing behind."""
    from . import registration

    registration.unregister()
