# SPDX-License-Identifier: GPL-3.0-or-later
"""CTEG: emotional facial performances from text. See docs/architecture.md."""

__version__ = "0.1.0"
