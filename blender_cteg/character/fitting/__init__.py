# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit between ARKit actions and a FLAME mesh's own expression keys, and back (docs/rigs.md)."""

from __future__ import annotations

from typing import Final

#: Vertices of the FLAME topology, in every release.
FLAME_VERTICES: Final = 5023
