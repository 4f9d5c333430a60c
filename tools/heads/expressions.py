# SPDX-License-Identifier: GPL-3.0-or-later
"""From ARKit actions to FLAME's controls: jaw and eye rotations plus fifty expression components.

Each action's displacement is split into a rigid part, carried by the jaw and eye bones through linear blend skinning,
and a residual in rest pose. The expression basis is the singular value decomposition of the residuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from blender_cteg.shared import ARKIT_CHANNELS

from .source import AnnySource, Floats

#: Louder than the targets, so that emotions read at the size of a thumbnail; still within what faces do.
EMPHASIS: Final = {
    "browInnerUp": 1.5, "browOuterUpLeft": 1.2, "browOuterUpRight": 1.2, "noseSneerLeft": 1.25,
    "noseSneerRight": 1.25, "mouthFrownLeft": 1.3, "mouthFrownRight": 1.3, "eyeWideLeft": 1.15,
    "eyeWideRight": 1.15, "eyeSquintLeft": 1.2, "eyeSquintRight": 1.2,
}  # fmt: skip
#: Joints in FLAME's order, and their parents (-1: none).
JOINTS: Final = ("root", "neck", "jaw", "left_eye", "right_eye")
PARENTS: Final = (-1, 0, 1, 1, 1)
#: Number of expression components kept, as in FLAME's first fifty.
COMPONENTS: Final = 50


@dataclass(frozen=True)
class Rigid:
    """What the bones do for each action.

    Attributes:
        joints: (5, 3) joint positions in decimetres.
        rotations: (52, 5, 3) rotation vector per action and joint, radians, FLAME axes.
    """

    joints: Floats
    rotations: Floats


@dataclass(frozen=True)
class Basis:
    """The expression basis and how ARKit drives it.

    Attributes:
        components: (50, V * 3) displacement per unit of each component, decimetres.
        arkit_to_exp: (52, 50) components per unit of each action.
        error: (52, V * 3) what the components leave out of each residual.
    """

    components: Floats
    arkit_to_exp: Floats
    error: Floats


def rotation_matrix(vector: Floats) -> Floats:
    """(3, 3) matrix of a rotation vector in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return result


def rotation_vector(matrix: Floats) -> Floats:
    """Rotation vector in radians of a (3, 3) rotation matrix, for angles well below pi."""
    axis = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine = float(np.linalg.norm(axis)) / 2
    if sine < 1e-12:
        return np.zeros(3)
    result: Floats = axis / (2 * sine) * np.arctan2(sine, (np.trace(matrix) - 1) / 2)
    return result


def best_rotation(points: Floats, moved: Floats) -> Floats:
    """Rotation vector that turns ``points`` (n, 3) best into ``moved``, both about the origin (Kabsch)."""
    u, _, vt = np.linalg.svd(points.T @ moved)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    return rotation_vector(vt.T @ flip @ u.T)


def hinge(points: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Pivot (3,) in the plane x = 0 and rotation vector of the hinge motion from ``points`` to ``moved`` (n, 3)."""
    middle, target = points.mean(axis=0), moved.mean(axis=0)
    vector = best_rotation(points - middle, moved - target) * (1.0, 0.0, 0.0)
    matrix = rotation_matrix(vector)
    shift = target - matrix @ middle
    pivot = np.zeros(3)
    pivot[1:] = np.linalg.solve((np.eye(3) - matrix)[1:, 1:], shift[1:])
    return pivot, vector


def arkit_targets(source: AnnySource, count: int) -> Floats:
    """(52, ``count``, 3) displacement of each ARKit action in decimetres, with `EMPHASIS`."""
    names = [(name, f"faceunits01/targets/faceunits/{name}.target") for name in ARKIT_CHANNELS]
    return np.stack([EMPHASIS.get(name, 1.0) * source.target(file, count) for name, file in names])


def skin(weights: Floats, joints: Floats, rotations: Floats) -> tuple[Floats, Floats]:
    """Blended rotation (V, 3, 3) and translation (V, 3) of linear blend skinning for jaw and eye ``rotations`` (5, 3).

    Root and neck stay at rest here, so a joint's own rotation about its own position is its whole motion.
    """
    matrices = np.stack([rotation_matrix(vector) for vector in rotations])
    shifts = joints - np.einsum("jab,jb->ja", matrices, joints)
    return np.einsum("vj,jab->vab", weights, matrices), weights @ shifts


def rest_residuals(points: Floats, deltas: Floats, weights: Floats, rigid: Rigid) -> Floats:
    """(52, V, 3) displacement in rest pose that, skinned, lands on ``points + deltas`` (deltas (52, V, 3)).

    mouthClose only has a meaning with an open jaw, whose bone turns it: it lands where jawOpen and mouthClose at 1
    add up.
    """

    def at_rest(action: int, delta: Floats) -> Floats:
        rotation, shift = skin(weights, rigid.joints, rigid.rotations[action])
        result: Floats = np.linalg.solve(rotation, (points + delta - shift)[..., None])[..., 0] - points
        return result

    result = np.stack([at_rest(action, delta) for action, delta in enumerate(deltas)])
    jaw_open, close = ARKIT_CHANNELS.index("jawOpen"), ARKIT_CHANNELS.index("mouthClose")
    result[close] = at_rest(jaw_open, deltas[jaw_open] + deltas[close]) - result[jaw_open]
    return result


def expression_basis(residuals: Floats) -> Basis:
    """Fifty components of the residuals (52, V, 3), scaled to a root mean square of 1 in ordinary acting.

    Ordinary acting: each action rests two thirds of the time and is otherwise uniform in 0..1, independently;
    so coefficients have the size that FLAME users know, about N(0, 1).
    """
    flat = residuals.reshape(len(residuals), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(values)[::-1][:COMPONENTS]
    scores = vectors[:, order]  # actions x components; flat is scores @ (scores.T @ flat) for full rank
    mean, square = 1 / 6, 1 / 9
    moment = np.full((len(flat), len(flat)), mean * mean) + np.eye(len(flat)) * (square - mean * mean)
    size = np.sqrt(np.einsum("ak,ab,bk->k", scores, moment, scores))
    components = (scores * size).T @ flat
    largest = np.abs(components).argmax(axis=1)
    sign = np.sign(components[np.arange(len(components)), largest])  # a fixed sign makes the bake reproducible
    components, scores = components * sign[:, None], scores / size * sign
    return Basis(components, scores, flat - scores @ components)
