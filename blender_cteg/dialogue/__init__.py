# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene of dialogue: its lines, who says them and when, who listens, and who looks at whom (docs/dialogue.md)."""
