# SPDX-License-Identifier: GPL-3.0-or-later
"""One's own recordings as training data: Live Link Face files and a table of what was said (docs/captures.md)."""

from .reader import open_captures

__all__ = ["open_captures"]
