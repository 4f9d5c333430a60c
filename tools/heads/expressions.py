# SPDX-License-Identifier: GPL-3.0-or-later
"""From ARKit actions to FLAME's controls: jaw and eye rotations plus fifty expression components.

Each action's displacement is split into a rigid part, carried by the jaw and eye bones through linear blend skinning,
and a residual in rest pose. The expression basis is the singular value decomposition of the residuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from blender_cteg.character.axes import rotation_matrix
from blender_cteg.shared import ARKIT_CHANNELS

from .source import AnnySource, Floats

#: Number of expression components kept, as in FLAME's first fifty.
COMPONENTS: Final = 50


@dataclass(frozen=True)
class Rigid:
    """What the bones do for each action.

    Attributes:
        joints: (5, 3) joint positions in decimetres, in FLAME's order.
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


def pivot(middle: Floats, shift: Floats, vector: Floats) -> Floats:
    """(3,) point in the plane x = 0 about which turning by ``vector`` moves ``middle`` (3,) by ``shift``."""
    matrix = rotation_matrix(vector)
    result = np.zeros(3)
    result[1:] = np.linalg.solve((np.eye(3) - matrix)[1:, 1:], (middle + shift - matrix @ middle)[1:])
    return result


def arkit_targets(source: AnnySource, count: int) -> Floats:
    """(52, ``count``, 3) displacement of each ARKit action in decimetres."""
    names = [(name, f"faceunits01/targets/faceunits/{name}.target") for name in ARKIT_CHANNELS]
    return np.stack([source.target(file, count) for _, file in names])


def skin(weights: Floats, joints: Floats, rotations: Floats) -> tuple[Floats, Floats]:
    """Blended rotation (V, 3, 3) and translation (V, 3) of linear blend skinning for jaw and eye ``rotations`` (5, 3).

    Root and neck stay at rest here, so a joint's own rotation about its own position is its whole motion.
    """
    matrices = np.stack([rotation_matrix(vector) for vector in rotations])
    shifts = joints - np.einsum("jab,jb->ja", matrices, joints)
    return np.einsum("vj,jab->vab", weights, matrices), weights @ shifts


def ride(points: Floats, weights: Floats, rigid: Rigid, action: int) -> Floats:
    """(V, 3) displacement of ``points`` by the bones alone."""
    rotation, shift = skin(weights, rigid.joints, rigid.rotations[action])
    result: Floats = np.einsum("vab,vb->va", rotation, points) + shift - points
    return result


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

    One per action, the largest first. The lids' part of looking in and of looking out is one component, forwards and
    backwards: that makes fifty of fifty-two. Ordinary acting: each action rests two thirds of the time and is otherwise
    uniform in 0..1; so coefficients have the size that FLAME users know, about N(0, 1).
    """
    flat = residuals.reshape(len(residuals), -1)
    rows = [row for row, name in enumerate(ARKIT_CHANNELS) if not name.startswith("eyeLookIn")]
    rows.sort(key=lambda row: -float((flat[row] ** 2).sum()))
    scores = np.zeros((len(flat), COMPONENTS))
    scores[rows, range(COMPONENTS)] = 1.0
    for side in ("Left", "Right"):
        inward, outward = (ARKIT_CHANNELS.index(f"eyeLook{way}{side}") for way in ("In", "Out"))
        scores[inward] = -scores[outward]
    size = 1 / 3
    components = np.linalg.lstsq(scores, flat, rcond=None)[0]
    return Basis(components * size, scores / size, flat - scores @ components)
