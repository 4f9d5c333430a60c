# SPDX-License-Identifier: GPL-3.0-or-later
"""Which character an object is part of, and what its shape keys and bones are called (docs/rigs.md)."""
