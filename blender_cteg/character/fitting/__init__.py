# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit between ARKit actions and a FLAME mesh's own expression keys, and back (docs/rigs.md)."""
