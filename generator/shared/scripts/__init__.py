# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts: who says what and when, read from screenplays, subtitles, tables and plain text."""

from __future__ import annotations

from .markup import clean

__all__ = ["clean"]
