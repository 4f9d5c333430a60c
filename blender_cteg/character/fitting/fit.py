# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit: ARKit actions on a FLAME mesh, by least squares on the mesh's own expression keys (numpy only).

FLAME's topology is the same in every release, its expression basis is not, so the fit belongs to the mesh. Each ARKit
action is a displacement of a few hundred points of a face (`actions`). For each action we look for the expression
coefficients, and for jaw actions also the jaw rotation, whose displacements come nearest. Eye rotations are taken from
`direct.EYE_TURNS`.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from ...arrays import Floats, Ints
from ...sentences import Told, told
from ...shared import HEAD_CHANNELS
from ..axes import rotation_matrix
from ..detection.naming import load_table
from ..direct import EYE_TURNS, Vector, X, Y, Z
from ..mapping import Mapping
from . import EYE_DISTANCE_MM
from .actions import LANDMARKS, action_displacements, eye_distance, template
from .surface import Points, at_vertices, find_points

#: The ridge as a prior: how far a landmark may be off between two faces, in eye distances ...
LANDMARK_NOISE: Final = 0.02
#: ... and the standard deviation of a coefficient (FLAME scales its expression basis to 1).
COEFFICIENT_STD: Final = 1.5
#: The face contour slides over the skin between topologies, so it counts for less.
CONTOUR_WEIGHT: Final = 0.3
_CONTOUR = slice(0, 17)
#: Coefficients below this are left out of the mapping: they move nothing one could see.
_SMALLEST: Final = 1e-3


class NoPoints(Told, ValueError):
    """The face's landmarks are neither known nor found. It says so in a predicate: what is read through the face, and
    what else could be done, is said around it.

    Attributes:
        advice: what gives the face landmarks, to begin a sentence with.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.advice = advice


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
        triangles: vertex indices, shape (F, 3); none where only landmarks are to be used.
        eyes: where the left and the right eye bone turn, shape (2, 3), or None.
        landmarks: the 68 Multi-PIE landmarks as vertices, where the mesh says them or is FLAME's own, else None.
    """

    vertices: Floats
    offsets: MappingABC[str, Floats]
    roles: frozenset[str] = frozenset()
    jaw_weights: Floats | None = None
    jaw_joint: Floats | None = None
    jaw_key: tuple[str, Floats] | None = None
    triangles: Ints | None = None
    eyes: Floats | None = None
    landmarks: Ints | None = None


@cache
def flame_landmarks() -> Ints:
    """The 68 Multi-PIE landmarks as vertex indices of the FLAME topology, shape (68,)."""
    return np.array(load_table("flame_landmarks")["landmarks"], np.intp)


def face_points(face: FaceGeometry) -> Points:
    """Where the template's points are on this face: all of them, or the 68 landmarks alone where its skin is unlike
    the template.

    Raises:
        NoPoints: there are no landmarks and none are found.
    """
    if face.triangles is not None:
        motion = np.sqrt(sum(((offsets**2).sum(1) for offsets in face.offsets.values()), np.zeros(len(face.vertices))))
        points = find_points(
            face.vertices, face.triangles, motion, template(), eyes=face.eyes, landmarks=face.landmarks
        )
        if points is not None:
            return points
    if face.landmarks is not None:
        return at_vertices(face.landmarks)
    if face.eyes is None:
        advice = told(
            "Name its eye bones left_eye and right_eye, or list the vertices of its 68 landmarks in the mesh's custom "
            "property 'cteg_landmarks'"
        )
        raise NoPoints("has no landmarks and no eye bones to find them by", advice)
    advice = told("List the vertices of its 68 landmarks in the mesh's custom property 'cteg_landmarks'")
    raise NoPoints("has a skin on which no face was found around its eye bones", advice)


def fit_mapping(
    face: FaceGeometry,
    *,
    points: Points | None = None,
    actions: MappingABC[str, Floats] | None = None,
    noise: float = LANDMARK_NOISE,
) -> Mapping:
    """arkit55 to this face.

    Args:
        face: the mesh and its expression keys.
        points: the P places the actions are about, the landmarks first; found by `face_points` by default.
        actions: channel -> displacements of at least P points in eye distances; the CC0 face units by default.
        noise: expected landmark error in eye distances; smaller follows the actions more closely.

    Returns:
        The mapping with its residual per channel (root mean square over the landmarks). A channel without a
        displacement (tongueOut) drives nothing.

    Raises:
        NoPoints: there are no landmarks and none are found.
    """
    points = face_points(face) if points is None else points
    actions = action_displacements() if actions is None else actions
    fitted = Fitted.of(face, points)
    weighted = fitted.basis * fitted.root
    # Neighbouring points err alike: together they say no more than as many landmarks.
    ridge = (noise / COEFFICIENT_STD) ** 2 * fitted.points.size / LANDMARKS
    gram = weighted.T @ weighted + np.eye(len(fitted.names)) * ridge
    jaw = fitted.jaw

    shape_keys: dict[str, dict[str, float]] = {name: {} for name in fitted.names}
    bones: dict[str, dict[str, Vector]] = {}
    residual_mm = {}
    opened = np.zeros(3)  # the jaw of jawOpen, which mouthClose closes the lips over
    for channel in sorted(actions, key=lambda c: c != "jawOpen"):
        displacement = actions[channel][: points.size]
        remaining = displacement
        if channel.startswith("jaw") and jaw is not None:
            turn = jaw.rotation(displacement, fitted.weights)
            opened = turn if channel == "jawOpen" else opened
            remaining = jaw.at_rest(turn, displacement - jaw.displacement(turn))
            bones.setdefault("jaw", {})[channel] = (float(turn[0]), float(turn[1]), float(turn[2]))
        elif channel == "jawOpen" and fitted.jaw_key is not None:
            name, moved = fitted.jaw_key
            shape_keys[name] = {channel: 1.0}
            remaining = displacement - moved
        elif channel == "mouthClose" and jaw is not None:
            remaining = jaw.at_rest(opened, displacement)
        coefficients = np.linalg.solve(gram, weighted.T @ (remaining.reshape(-1, 1) * fitted.root))[:, 0]
        for name, value in zip(fitted.names, coefficients, strict=True):
            if abs(value) > _SMALLEST:
                shape_keys[name][channel] = round(float(value), 5)
        left_over = (remaining - (fitted.basis @ coefficients).reshape(-1, 3))[:LANDMARKS]
        residual_mm[channel] = round(float(np.sqrt((left_over**2).sum(1).mean())) * EYE_DISTANCE_MM, 3)
    residual_mm = {channel: residual_mm[channel] for channel in actions}
    bones |= {role: dict(turns) for role, turns in EYE_TURNS.items() if role in face.roles}
    head = next((role for role in ("head", "neck") if role in face.roles), None)
    if head is not None:
        bones[head] = dict(zip(HEAD_CHANNELS, (X, Y, Z), strict=True))
    return Mapping("arkit55", {k: row for k, row in shape_keys.items() if row}, bones, residual_mm, origin="fit")


def residual_percent(mapping: Mapping) -> dict[str, float]:
    """The residuals of a fit in per cent of each action's own displacement (root mean square over the landmarks)."""
    percent = {}
    for channel, displacement in action_displacements().items():
        size = float(np.sqrt((displacement[:LANDMARKS] ** 2).sum(1).mean())) * EYE_DISTANCE_MM
        if channel in mapping.residual_mm and size > 0:
            percent[channel] = 100 * mapping.residual_mm[channel] / size
    return percent


@dataclass(frozen=True)
class Fitted:
    """A face at its points, in eye distances: what both directions of the fit work with.

    Attributes:
        points: the P places.
        names: the expression keys, K of them.
        basis: their displacements, shape (3 P, K).
        weights: how much each point counts, shape (P,).
        jaw: what the jaw bone does there, or None.
        jaw_key: name and displacement (P, 3) of the key that stands in for it, or None.
    """

    points: Points
    names: list[str]
    basis: Floats
    weights: Floats
    jaw: Jaw | None
    jaw_key: tuple[str, Floats] | None

    @classmethod
    def of(cls, face: FaceGeometry, points: Points) -> Fitted:
        """``face`` at ``points``. NoPoints where the arithmetic has nothing to stand on."""
        places = points.of(face.vertices)
        unit = eye_distance(places)
        if not unit > 1e-9:
            raise NoPoints("has both eyes in one place", told("Check its rest shape and its landmarks"))
        weights = np.ones(points.size)
        weights[_CONTOUR] = CONTOUR_WEIGHT
        jaw = None
        if face.jaw_weights is not None and face.jaw_joint is not None:
            jaw = Jaw((places - face.jaw_joint) / unit, points.of(face.jaw_weights))
        key = (face.jaw_key[0], points.of(face.jaw_key[1]) / unit) if face.jaw_key is not None else None
        columns = [points.of(offsets).ravel() / unit for offsets in face.offsets.values()]
        basis = np.stack(columns, axis=1) if columns else np.zeros((3 * points.size, 0))
        if not np.isfinite(basis).all():
            raise NoPoints("has a shape key with a coordinate that is not a number", told("Remove that key"))
        return cls(points, list(face.offsets), basis, weights, jaw, key)

    @property
    def root(self) -> Floats:
        """Square roots of the weights for the rows of ``basis``, shape (3 P, 1)."""
        return np.repeat(np.sqrt(self.weights), 3)[:, None]


@dataclass(frozen=True)
class Jaw:
    """What turning the jaw bone does to the points.

    Attributes:
        arms: from the joint to each point, shape (P, 3), in eye distances.
        weights: how much each point follows the bone, shape (P,).
    """

    arms: Floats
    weights: Floats

    def displacement(self, turn: Floats) -> Floats:
        """Displacements, shape (P, 3), of a rotation vector of shape (3,)."""
        return self.weights[:, None] * (self.arms @ rotation_matrix(turn).T - self.arms)

    def at_rest(self, turn: Floats, displacement: Floats) -> Floats:
        """The displacement in rest pose, (P, 3), that the jaw turned by ``turn`` carries to ``displacement``."""
        blended = np.eye(3) + self.weights[:, None, None] * (rotation_matrix(turn) - np.eye(3))
        return np.linalg.solve(blended, displacement[..., None])[..., 0]

    def rotation(self, displacement: Floats, weights: Floats) -> Floats:
        """The rotation vector that explains most of a displacement, by Gauss-Newton from zero."""
        turn = np.zeros(3)
        root = np.sqrt(weights)[:, None]
        for _ in range(8):
            here = self.displacement(turn)
            slope = np.stack(
                [((self.displacement(turn + step) - here) * root).ravel() / 1e-5 for step in np.eye(3) * 1e-5], axis=1
            )
            turn = turn + np.linalg.lstsq(slope, ((displacement - here) * root).ravel(), rcond=None)[0]
        return turn
