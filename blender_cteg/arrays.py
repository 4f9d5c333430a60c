# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays by what they hold (no ``bpy``). Their shapes are said where they are used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Numbers as Blender and clips have them, in single precision.
Singles = npt.NDArray[np.float32]
#: Indices and counts.
Ints = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
