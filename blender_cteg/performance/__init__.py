# SPDX-License-Identifier: GPL-3.0-or-later
"""Performances: a clip becomes curves, and a line of a character becomes a patch on the curves of its action."""
