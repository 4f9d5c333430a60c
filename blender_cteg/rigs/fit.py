# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit: ARKit actions on a FLAME mesh, by least squares on the mesh's own expression keys (numpy only).

FLAME's topology is the same in every release, its expression basis is not, so the fit belongs to the mesh. Each ARKit
action is a displacement of 68 landmarks, measured on an independent face (rigs/data/README.md). For each action we
look for the expression coefficients, and for jaw actions also the jaw rotation, whose landmark displacements come
nearest. Eye rotations are taken from `direct.EYE_TURNS`.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .direct import EYE_TURNS, Vector, X, Y, Z
from .mapping import Mapping
from .naming import HEAD_CHANNELS, load_table

Floats = npt.NDArray[np.float64]

FLAME_VERTICES: Final = 5023
#: Residuals are reported for a face whose eye centres are this far apart (a human mean), whatever the mesh's unit.
EYE_DISTANCE_MM: Final = 63.0
#: The ridge as a prior: landmark noise between two faces, in eye distances (about 2 mm). On the demo head, whose own
#: ARKit shapes are known, this gives them the right size (0.98 in the median; half of it 1.25, twice 0.89) ...
LANDMARK_NOISE: Final = 0.03
#: ... and the standard deviation of a coefficient (FLAME scales its expression basis to 1).
COEFFICIENT_STD: Final = 1.5
#: The face contour slides over the skin between topologies, so it counts for less.
CONTOUR_WEIGHT: Final = 0.3
_CONTOUR, _RIGHT_EYE, _LEFT_EYE = slice(0, 17), slice(36, 42), slice(42, 48)
#: Coefficients below this are left out of the mapping: they move nothing one could see.
_SMALLEST: Final = 1e-3


@dataclass(frozen=True)
class FaceGeometry:
    """A FLAME mesh as arrays, in FLAME axes and any unit.

    Attributes:
        vertices: rest positions, shape (N, 3).
        offsets: expression-key name -> vertex offsets at value 1, shape (N, 3).
        roles: bone roles the rig has.
        jaw_weights: skinning weight of the jaw per vertex, shape (N,), or None without a jaw bone.
        jaw_joint: where the jaw turns, shape (3,), or None.
        jaw_key: name and vertex offsets of a key that opens the jaw, used where there is no jaw bone, or None.
    """

    vertices: Floats
    offsets: MappingABC[str, Floats]
    roles: frozenset[str] = frozenset()
    jaw_weights: Floats | None = None
    jaw_joint: Floats | None = None
    jaw_key: tuple[str, Floats] | None = None


@cache
def flame_landmarks() -> npt.NDArray[np.intp]:
    """The 68 Multi-PIE landmarks as vertex indices of the FLAME topology, shape (68,)."""
    return np.array(load_table("flame_landmarks")["landmarks"], np.intp)


@cache
def action_displacements() -> MappingABC[str, Floats]:
    """ARKit channel -> landmark displacements at full strength, shape (68, 3), in eye distances, FLAME axes."""
    table = load_table("ict_actions")["displacements"]
    return {channel: np.array(flat, np.float64).reshape(68, 3) * 1e-4 for channel, flat in table.items()}


def fit_mapping(
    face: FaceGeometry,
    *,
    landmarks: npt.NDArray[np.intp] | None = None,
    actions: MappingABC[str, Floats] | None = None,
    noise: float = LANDMARK_NOISE,
) -> Mapping:
    """arkit55 to this face.

    Args:
        face: the mesh and its expression keys.
        landmarks: 68 vertex indices; FLAME's by default.
        actions: channel -> landmark displacements (68, 3) in eye distances; ICT FaceKit's by default.
        noise: expected landmark error in eye distances; smaller follows the landmarks more closely.

    Returns:
        The mapping with its residual per channel. A channel without a displacement (tongueOut) drives nothing.
    """
    marks = flame_landmarks() if landmarks is None else landmarks
    actions = action_displacements() if actions is None else actions
    points = face.vertices[marks]
    eye_distance = float(np.linalg.norm(points[_LEFT_EYE].mean(0) - points[_RIGHT_EYE].mean(0)))
    weights = np.ones(68)
    weights[_CONTOUR] = CONTOUR_WEIGHT
    root = np.repeat(np.sqrt(weights), 3)[:, None]

    names = list(face.offsets)
    basis = np.stack([face.offsets[name][marks].ravel() for name in names], axis=1) / eye_distance
    weighted = basis * root
    gram = weighted.T @ weighted + np.eye(len(names)) * (noise / COEFFICIENT_STD) ** 2
    jaw = _JawFit(points, marks, face, eye_distance, weights)

    shape_keys: dict[str, dict[str, float]] = {name: {} for name in names}
    bones: dict[str, dict[str, Vector]] = {}
    residual_mm = {}
    for channel, displacement in actions.items():
        remaining = displacement
        if channel.startswith("jaw") and jaw.possible:
            turn = jaw.rotation(displacement)
            remaining = displacement - jaw.displacement(turn)
            bones.setdefault("jaw", {})[channel] = (float(turn[0]), float(turn[1]), float(turn[2]))
        elif channel == "jawOpen" and face.jaw_key is not None:
            shape_keys[face.jaw_key[0]] = {channel: 1.0}
            remaining = displacement - face.jaw_key[1][marks] / eye_distance
        coefficients = np.linalg.solve(gram, weighted.T @ (remaining.reshape(-1, 1) * root))[:, 0]
        for name, value in zip(names, coefficients, strict=True):
            if abs(value) > _SMALLEST:
                shape_keys[name][channel] = round(float(value), 5)
        left_over = remaining - (basis @ coefficients).reshape(68, 3)
        residual_mm[channel] = round(float(np.sqrt((left_over**2).sum(1).mean())) * EYE_DISTANCE_MM, 3)
    bones |= {role: dict(turns) for role, turns in EYE_TURNS.items() if role in face.roles}
    head = next((role for role in ("head", "neck") if role in face.roles), None)
    if head is not None:
        bones[head] = dict(zip(HEAD_CHANNELS, (X, Y, Z), strict=True))
    return Mapping("arkit55", {k: row for k, row in shape_keys.items() if row}, bones, residual_mm, origin="fit")


def residual_percent(mapping: Mapping) -> dict[str, float]:
    """The residuals of a fit in per cent of each action's own displacement (root mean square over the landmarks)."""
    percent = {}
    for channel, displacement in action_displacements().items():
        size = float(np.sqrt((displacement**2).sum(1).mean())) * EYE_DISTANCE_MM
        if channel in mapping.residual_mm and size > 0:
            percent[channel] = 100 * mapping.residual_mm[channel] / size
    return percent


@dataclass(frozen=True)
class _JawFit:
    """The jaw rotation that explains most of a landmark displacement, and the displacement it causes."""

    points: Floats
    marks: npt.NDArray[np.intp]
    face: FaceGeometry
    eye_distance: float
    landmark_weights: Floats

    @property
    def possible(self) -> bool:
        return self.face.jaw_weights is not None and self.face.jaw_joint is not None

    def displacement(self, turn: Floats) -> Floats:
        """Landmark displacements, shape (68, 3), in eye distances, of a rotation vector of shape (3,)."""
        assert self.face.jaw_weights is not None
        assert self.face.jaw_joint is not None
        arms = self.points - self.face.jaw_joint
        moved = arms @ rotation_matrix(turn).T - arms
        result: Floats = self.face.jaw_weights[self.marks][:, None] * moved / self.eye_distance
        return result

    def rotation(self, displacement: Floats, steps: int = 8) -> Floats:
        """Rotation vector, shape (3,), by Gauss-Newton from zero; rotation is the only freedom here."""
        turn = np.zeros(3)
        root = np.sqrt(self.landmark_weights)[:, None]
        for _ in range(steps):
            here = self.displacement(turn)
            slope = np.stack(
                [((self.displacement(turn + step) - here) * root).ravel() / 1e-5 for step in np.eye(3) * 1e-5], axis=1
            )
            turn = turn + np.linalg.lstsq(slope, ((displacement - here) * root).ravel(), rcond=None)[0]
        return turn


def rotation_matrix(vector: Floats) -> Floats:
    """The 3x3 matrix of a rotation vector (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    result: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return result
