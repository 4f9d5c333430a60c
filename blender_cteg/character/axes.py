# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes: which way a face looks, from where its parts are (no ``bpy``).

FLAME's axes are x to the character's left, y up and z forward. Blender heads are usually z-up and look along -y, but
game and FLAME imports keep y-up data under a rotated object, and a character may face any way.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..arrays import Floats

Axes = tuple[tuple[float, ...], ...]

#: Cosine of the angle beyond which eyes that lie along no axis were built so, and are not just uneven.
_ASLANT: Final = 0.94


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


def axes_from_evidence(across: Floats, up: Floats, forward: Floats, named: Floats) -> Axes | None:
    """The axes that what is known of a face speaks for most.

    A face is built along the axes of its data, so of the 24 ways to lie along them the likeliest is taken. Where its
    eyes lie aslant to all of them, the evidence itself is made square. Lengths do not matter; what is not known is
    zero.

    Args:
        across: the line through both eyes, either way, shape (3,).
        up: from the mouth to the eyes, or along the neck.
        forward: from the middle of the head to what of it moves.
        named: from what is called right to what is called left: decides only where nothing else does.

    Returns:
        The rows of the matrix, or None where neither up nor forward is known.
    """
    across, up, forward, named = (_unit(vector) for vector in (across, up, forward, named))
    if not (up.any() or forward.any()):
        return None
    if across.any() and np.abs(across).max() < _ASLANT:
        above, front = up - across * (up @ across), forward - across * (forward @ across)
        left = across * (np.sign(np.cross(above, front) @ across) or np.sign(named @ across) or 1.0)
        above = _unit(above + np.cross(front, left))
        # Mostly it was turned about one axis of its data.
        level = [axis * sign for axis in np.eye(3) for sign in (1.0, -1.0) if abs(axis @ left) < 1 - _ASLANT]
        above = max(level, key=lambda axis: axis @ above) if any(axis @ above > 0.8 for axis in level) else above
        above = _unit(above - left * (above @ left))
        return to_rows(np.stack([left, above, np.cross(left, above)], axis=1)) if above.any() else None
    best, most = np.eye(3), -np.inf
    for left in (axis * sign for axis in np.eye(3) for sign in (1.0, -1.0)):
        for above in (axis * sign for axis in np.eye(3) for sign in (1.0, -1.0)):
            if left @ above:
                continue
            front = np.cross(left, above)
            said = up @ above + forward @ front + 3.0 * abs(left @ across) + 0.2 * left @ named
            said += 0.01 * (front[2] - front[1])  # where nothing is known, as Blender's own and as y-up data stand
            if said > most:
                best, most = np.stack([left, above, front], axis=1), said
    return to_rows(best)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else np.zeros(3)


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


def rotation_matrix(vector: Floats) -> Floats:
    """The 3x3 matrix of a rotation vector (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
