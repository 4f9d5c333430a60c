# SPDX-License-Identifier: GPL-3.0-or-later
"""The face as columns of the space arkit55: channels by name, action units as rows, left and right."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..shared.articulation import columns
from ..shared.spaces import ARKIT55
from .curves import Floats
from .recipes import ACTION_UNITS, table


def _unit_matrix() -> Floats:
    matrix = np.zeros((len(ACTION_UNITS), ARKIT55.size))
    for row, channels in enumerate(ACTION_UNITS.values()):
        for name, value in channels.items():
            matrix[row, list(columns(name))] = value
    return matrix


#: Action unit -> row of `UNIT_MATRIX`, which holds its coefficients at full strength, (units, C).
UNIT_ROWS: Final = {unit: row for row, unit in enumerate(ACTION_UNITS)}
UNIT_MATRIX: Final = _unit_matrix()
#: Columns of channels on the character's left and right, in the same order.
LEFT: Final = np.array([i for i, name in enumerate(ARKIT55.channels) if name.endswith("Left")])
RIGHT: Final = np.array([ARKIT55.column(ARKIT55.channels[i][:-4] + "Right") for i in LEFT])
#: Columns that swap with `[::-1]` when the other side leads.
SIDEWAYS: Final = [ARKIT55.column(name) for name in ("jawLeft", "mouthLeft", "mouthRight", "jawRight")]
#: Head rotation.
HEAD: Final = slice(52, 55)
#: Channel -> resting tone of a living face.
REST_TONE: Final = table("tone")
#: The direction in which a frame is lifted that would pass for the standard face, (C,): what words do not take.
LIFT: Final = np.zeros(ARKIT55.size)
for _channel in REST_TONE:
    if not _channel.startswith("mouth"):
        LIFT[list(columns(_channel))] = 0.5
