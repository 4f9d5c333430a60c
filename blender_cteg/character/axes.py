# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes: which way a face looks, from where its eyes are (no ``bpy``).

FLAME's axes are x to the character's left, y up and z forward. Blender heads are usually z-up and look along -y, but
game and FLAME imports keep y-up data under a rotated object, and a character may face any way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Axes = tuple[tuple[float, ...], ...]


def axes_from_eyes(left_eye: Floats, right_eye: Floats, below_and_behind: Floats) -> Axes | None:
    """FLAME's axes as the columns of a 3x3 matrix, each snapped to a coordinate axis.

    Of the quarter turns about the line between the eyes there is exactly one for which the eyes are both above and
    in front of a point such as the base of the neck.

    Args:
        left_eye, right_eye: the character's eyes, shape (3,).
        below_and_behind: a point lower and further back than the eyes, shape (3,).

    Returns:
        The rows of the matrix, or None when the points do not say (equal, or on one line).
    """
    left = _snapped(left_eye - right_eye)
    if left is None:
        return None
    rise = (left_eye + right_eye) / 2 - below_and_behind
    for up in (axis * sign for axis in np.eye(3) for sign in (1.0, -1.0)):
        forward = np.cross(left, up)
        if rise @ up > 1e-6 and rise @ forward > 1e-6:
            return to_rows(np.stack([left, up, forward], axis=1))
    return None


def axes_from_up(up: Floats, forward: Floats) -> Axes | None:
    """The same from two directions known otherwise; None when they are parallel once snapped."""
    snapped_up, snapped_forward = _snapped(up), _snapped(forward)
    if snapped_up is None or snapped_forward is None or abs(snapped_up @ snapped_forward) > 0.5:
        return None
    return to_rows(np.stack([np.cross(snapped_up, snapped_forward), snapped_up, snapped_forward], axis=1))


def to_rows(matrix: Floats) -> Axes:
    """A 3x3 array as nested tuples, without negative zeros."""
    return tuple(tuple(float(value) + 0.0 for value in row) for row in matrix)


def _snapped(vector: Floats) -> Floats | None:
    """The coordinate axis nearest to ``vector``, or None for a vector without length."""
    index = int(np.argmax(np.abs(vector)))
    if abs(vector[index]) < 1e-9:
        return None
    axis = np.zeros(3)
    axis[index] = np.sign(vector[index])
    return axis
