# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit between ARKit actions and a FLAME mesh's own expression keys, and back (docs/rigs.md)."""

from __future__ import annotations

from typing import Final

#: Vertices of the FLAME topology, in every release.
FLAME_VERTICES: Final = 5023
#: Residuals are reported for a face whose eye centres are this far apart (a human mean), whatever the mesh's unit.
EYE_DISTANCE_MM: Final = 63.0
