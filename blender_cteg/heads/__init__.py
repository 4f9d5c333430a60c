# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads that this extension adds: the demo head, and faces from the user's own FLAME files."""
