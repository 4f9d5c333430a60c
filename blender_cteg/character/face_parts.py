# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a face: where eyes and skin are, found from what moves; and what displacements of a character do to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from mathutils.kdtree import KDTree

from ..arrays import Floats, Ints
from ..sentences import told
from .axes import rotation_matrix
from .detection.eyes import vertices_of
from .direct import EYE_TURNS, JAW_TURNS
from .effects import Effect
from .fitting.actions import eye_distance, proportioned, template
from .fitting.surface import Points, find_points, islands
from .likeness import explained
from .mapping_edits import Target
from .stage import Moved, Pose, Stage, key_pose

#: Skin vertices that the template is drawn to, at most: more would take seconds and be no better.
_SKIN: Final = 1500
#: How far a face may be from an ordinary one, in eye distances: drawn ones are far, and comparing needs no fit.
_BENT: Final = 0.18
#: How wide and long a face is below the eyes, beside the template's, that has to be tried; and how much of what moves
#: is explained where the template came to lie on a mouth: 0.87 and more of three makers' faces, 0.75 beside it.
_PROPORTIONS: Final = ((1.0, 1.0), (1.15, 1.25), (1.3, 1.5))
_EXPLAINED: Final = 0.87
#: Radians by which a face may be held aslant, by a constraint on its head, without being set upright first.
_ASLANT: Final = 0.15
#: An eyeball: at most so much longer one way than another; so far from where eyes are, in eye distances.
_ROUND: Final = 1.8
_NEAR_EYE: Final = 0.35
#: What moves lids differs in height by no more than this share of what eyes are apart, on a face held aslant too; a
#: mouth is about as far below the eyes as they are apart.
_LEVEL: Final = 0.5
#: Eye distances that another object's vertices go at least to be looked at; what goes no less than this share of the
#: farthest is; and the share of its way that the skin beside it goes at least.
_GOES: Final = 0.05
_MOST: Final = 0.3
_WITH_IT: Final = 0.1
#: Whose keys say where the eyes are.
LIDS: Final = tuple(f"eye{what}{side}" for what in ("Blink", "Wide", "Squint") for side in ("Left", "Right"))
#: From the middle of what closes an eye to its centre, in eye distances.
_FROM_LIDS: Final = (0.0, -0.04, -0.15)


class Face:
    """Where the parts of a face are, found from what moves: first `reading`, then `find`.

    Attributes:
        unit: distance between the eyes; without eyes, of what moves, about the same.
        aside: why nothing can be compared with a face, a sentence; "" where it can.
    """

    def __init__(self, stage: Stage, seen: Mapping[Pose, Moved], lids: Iterable[Pose] = ()) -> None:
        """``lids``: poses that move them, beside the keys that are called so."""
        self._lid_poses = set(lids)
        self._rig, self._stage, self._seen = stage.rig, stage, seen
        self._rest = np.empty((0, 3))
        self._rests: dict[bool, Floats] = {}
        self._triangles = np.empty((0, 3), np.intp)
        self._owned: dict[str, Ints] = {}
        self._points: Points | None = None
        #: Name of an object with keys of its own -> its vertices, and those of the face next to them.
        self._beside: dict[str, tuple[Ints, Ints]] = {}
        self._upright: dict[bool, Floats] = {False: np.eye(3), True: np.eye(3)}
        self._balls: dict[str, Ints] = {}
        self._heads, self._joint = self._heads_of(*EYE_TURNS), self._heads_of("jaw")
        self.unit, self.aside = 1.0, ""

    def reading(self) -> Iterator[None]:
        """Read what has to be read of Blender, in slices."""
        with self._stage.at_rest():
            self._stage.view_layer.update()
            self._triangles, begin = self._stage.triangles()
        self._rests = {posed: rest.astype(np.float64) for posed, rest in self._stage.rests.items()}
        self._rest = self._rests[False]
        yield
        if begin[-1] != len(self._rest):  # a modifier that changes how many vertices there are
            self._triangles = np.empty((0, 3), np.intp)
            return
        yield from self._find_beside(begin)
        for role in EYE_TURNS:
            if role not in self._rig.bones:
                continue
            owned = [np.empty(0, np.intp)]
            for obj, at, count in zip(self._stage.meshes, begin, np.diff(begin), strict=False):
                # Where a modifier makes other vertices, groups do not say whose they are.
                if count == len(obj.data.vertices):
                    owned.append(vertices_of(obj, self._rig, role) + at)
            self._owned[role] = np.concatenate(owned)
            yield

    def _find_beside(self, begin: Ints) -> Iterator[None]:
        """Which skin is beside the objects that have keys of their own, in slices; ``begin``: see `Stage.triangles`."""
        keyed = {obj for _, obj in self._rig.keyed_meshes}
        parts = zip(self._stage.meshes[1:], begin[1:], begin[2:], strict=False)
        if not (parts := [(obj.name, np.arange(first, after)) for obj, first, after in parts if obj in keyed]):
            return
        tree = KDTree(begin[1])
        for vertex, place in enumerate(self._rest[: begin[1]].tolist()):
            tree.insert(place, vertex)
        tree.balance()
        yield
        for name, own in parts:
            self._beside[name] = own, np.array([tree.find(place)[1] for place in self._rest[own].tolist()], np.intp)
            yield

    def _look(self) -> None:
        """What moves, and where the lids are."""
        seen = self._seen
        keyed = [moved for (targets, _), moved in seen.items() if any(target.kind != "ROLE" for target in targets)]
        self._motion = np.zeros(len(self._rest))
        for moved in keyed:
            squared = (moved.by.astype(np.float64) ** 2).sum(1)
            self._motion[moved.vertices] += squared / max(float(squared.max(initial=0.0)), 1e-30)
        lids = {key_pose(name) for channel in LIDS for name in self._rig.shape_keys.get(channel, ())}
        lids |= self._lid_poses
        self._lids = [moved for pose, moved in seen.items() if pose in lids and len(moved.vertices)]
        self.unit = self._rough_unit()

    def _heads_of(self, *roles: str) -> Floats | None:
        """Where the bones of some roles begin, (R, 3), in FLAME's axes; None where one is not there."""
        rig = self._rig
        if rig.armature is None or not rig.bones.keys() >= set(roles):
            return None
        bones = rig.armature.data.bones
        return np.array([bones[rig.bones[role]].head_local for role in roles]) @ np.array(rig.axes)

    def _rough_unit(self) -> float:
        moving = self._rest[self._motion > 0.01 * self._motion.max(initial=0.0)] if self._motion.any() else self._rest
        return 0.4 * float(np.linalg.norm(np.ptp(moving, axis=0))) if len(moving) else 1.0

    def find(self) -> None:
        """Find eyes and skin: numbers alone, for a thread of its own."""
        self._look()
        if not all(moved.compared for moved in self._seen.values()):
            self.aside = told(
                "A modifier of {name} makes more or fewer vertices when it moves, so channels were not compared with "
                "what they are called. Turn it off for a moment and press Test Drive.", name=self._stage.meshes[0].name,
            )  # fmt: skip
            return
        found = False
        try:
            part = islands(len(self._rest), self._triangles) if len(self._triangles) else np.arange(len(self._rest))
            for eyes in self._eyes(part):
                found = True
                self._lay_over(eyes, part)
                if self._points is not None:
                    break
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):  # a shape that no arithmetic stands on
            self._points = None
        if self._points is None:
            why = (
                told("around the eyes is no skin like that of a face.")
                if found
                else told("neither eye bones nor keys of the lids show where the eyes are.")
            )
            sentence = "Its face was not found, so channels were not compared with what they are called: {why}"
            self.aside = told(sentence, why=why)

    def _lay_over(self, eyes: Floats, part: Ints) -> None:
        """Find eyeballs and skin where the eyes may be."""
        apart = float(np.linalg.norm(eyes[0] - eyes[1]))
        self.unit = apart / float(np.linalg.norm(np.subtract(*template().eyes)))
        self._balls = self._eyeballs(eyes, part)
        balls = np.concatenate(list(self._balls.values())) if self._balls else np.empty(0, np.intp)
        motion = self._motion.copy()
        motion[balls] = 0.0
        best = 0.0
        for proportions in _PROPORTIONS:  # what moves is seen to fit, whatever it is called
            face = proportioned(*proportions)
            points = find_points(self._rest, self._triangles, motion, face, eyes=eyes, most=_SKIN, bent=_BENT)
            fits = self._explained(points) if points is not None else 0.0
            if fits > best:
                self._points, best = points, fits
            if best > _EXPLAINED or fits < best:
                break
        if self._points is not None:
            places = self._points.of(self._rest)
            self.unit, self._upright[False] = eye_distance(places), _upright(places)
            self._upright[True] = self._held(places) @ self._upright[False]

    def _explained(self, points: Points) -> float:
        """How much of what moves is like some action where the template lies so, 0..1."""
        upright = _upright(points.of(self._rest))
        return explained([points.of(self._full(m)) @ upright for m in self._seen.values() if len(m.vertices)])

    def _full(self, moved: Moved) -> Floats:
        """What a pose does to all vertices, (N, 3), in eye distances."""
        full = np.zeros((len(self._rest), 3))
        full[moved.vertices] = moved.by / self.unit
        return full

    def _held(self, places: Floats) -> Floats:
        """The rotation by which constraints hold the face where bones are posed, 3x3."""
        posed = self._rests.get(True)
        if posed is None or len(posed) != len(self._rest) or self._points is None:
            return np.eye(3)
        return rotation_matrix(_turn(places, self._points.of(posed) - places))

    def _eyes(self, part: Ints) -> list[Floats]:
        """Where the left and the right eye may be, (2, 3) each, the likeliest first: bones are believed where lids say
        the same, and lids where they do not, for both may lie.

        Args:
            part: the connected part of each vertex.
        """
        sides, heads = self._lid_centres(), None
        lids = np.array([np.median(side, axis=0) for side in sides]) if all(sides) else None
        if self._heads is not None:
            heads = self._heads[np.argsort(-self._heads[:, 0])]  # which is which is seen, not read
            apart = float(np.linalg.norm(heads[0] - heads[1]))
            if apart > 0 and (lids is None or np.linalg.norm(heads - lids, axis=1).max() < 0.6 * apart):
                return [heads]
        if lids is None:
            return []
        apart = float(np.linalg.norm(lids[0] - lids[1]))
        centres = lids + np.array(_FROM_LIDS) * apart
        balls = [self._ball_near(centre, _NEAR_EYE * apart, part) for centre in centres]
        if all(len(ball) for ball in balls):
            centres = np.array([_middle(self._rest[ball]) for ball in balls])
        if heads is None:
            return [centres]
        heights = np.concatenate([np.array(side)[:, 1] for side in sides])
        strange = float(np.ptp(heights)) > _LEVEL * apart  # keys of a mouth called like those of lids
        return [heads, centres] if strange else [centres, heads]

    def _lid_centres(self) -> tuple[list[Floats], list[Floats]]:
        """The middle of what each key of lids moves of the left and of the right eye, (3,) each."""
        sides: tuple[list[Floats], list[Floats]] = ([], [])
        if not self._lids:
            return sides
        middle = float(np.average(self._rest[:, 0], weights=self._motion))
        for moved in self._lids:
            at, squared = self._rest[moved.vertices], (moved.by.astype(np.float64) ** 2).sum(1)
            for side, here in zip(sides, (at[:, 0] > middle, at[:, 0] < middle), strict=True):
                if squared[here].sum() > 0.25 * squared.sum():
                    side.append(squared[here] @ at[here] / squared[here].sum())
        return sides

    def _eyeballs(self, eyes: Floats, part: Ints) -> dict[str, Ints]:
        """The vertices of the left and the right eyeball, by role; without what is not found."""
        apart = float(np.linalg.norm(eyes[0] - eyes[1]))
        balls = {}
        for role, centre in zip(EYE_TURNS, eyes, strict=True):
            owned = [self._owned[r] for r in EYE_TURNS if r in self._owned and len(self._owned[r])]
            near = [o for o in owned if np.linalg.norm(_middle(self._rest[o]) - centre) < _NEAR_EYE * apart]
            ball = near[0] if near else self._ball_near(centre, _NEAR_EYE * apart, part)
            if len(ball) >= 8:
                balls[role] = ball
        return balls

    def _ball_near(self, centre: Floats, reach: float, part: Ints) -> Ints:
        """The vertices of the largest round part whose middle is near a place."""
        near = np.flatnonzero(((self._rest - centre) ** 2).sum(1) < (2 * reach) ** 2)
        best, most = np.empty(0, np.intp), 0.0
        for name in np.unique(part[near]):
            ball = np.flatnonzero(part == name)
            size = np.ptp(self._rest[ball], axis=0)
            if len(ball) < 12 or size.min() <= 0 or size.max() > _ROUND * size.min() or size.max() > 2.5 * reach:
                continue
            if np.linalg.norm(_middle(self._rest[ball]) - centre) < reach and size.max() > most:
                best, most = ball, float(size.max())
        return best

    def effect(self, moved: Moved) -> Effect:
        """What these displacements are, in eye distances."""
        rest = self._rests.get(moved.posed, self._rest)
        if not moved.compared or len(rest) != len(self._rest):
            return Effect(float("nan"), led=moved.led)
        if not len(moved.vertices):
            none = np.zeros((self._points.size, 3)) if self._points is not None else None
            return Effect(0.0, none, {role: np.zeros(3) for role in self._balls}, mirrored=none, led=moved.led)
        full = self._full(moved)
        by = full[moved.vertices]
        squared = (by**2).sum(1)
        middle = self._points.of(rest)[36:48].mean(0) if self._points is not None else rest.mean(0)
        place = (squared @ rest[moved.vertices] / squared.sum() - middle) / self.unit
        turns = {role: _turn(rest[ball] / self.unit, full[ball]) for role, ball in self._balls.items()}
        shown = mirrored = None
        if self._points is not None:
            shown = self._points.of(full)
            turns["head"] = _turn(self._points.of(rest) / self.unit, shown)
            upright = self._upright[moved.posed]
            shown = shown @ upright
            if self._points.mirrored is not None:
                mirrored = self._points.mirrored.of(full) @ upright * (-1.0, 1.0, 1.0)
            turns = {part: turn @ upright for part, turn in turns.items()}
        way = squared @ by / squared.sum()
        apart = tuple(name for name, (own, near) in self._beside.items() if _against(full[own], full[near]))
        shifts = {role: float(np.linalg.norm(full[ball].mean(0))) for role, ball in self._balls.items()}
        return Effect(float(np.sqrt(squared.max())), shown, turns, place, way, mirrored, moved.led, apart, shifts)

    def teeth(self, seen: Mapping[Pose, Moved]) -> float:
        """See `Measured.teeth`."""
        bone = seen.get(((Target("ROLE", "jaw", JAW_TURNS["jawOpen"]),), 1.0))
        names = self._rig.shape_keys.get("jawOpen", ())
        keys = [seen[key_pose(name)] for name in names if key_pose(name) in seen]
        if bone is None or not keys or self._points is None or not len(bone.vertices):
            return 0.0
        full = np.zeros_like(self._rest)
        for moved in keys:
            full[moved.vertices] += moved.by
        by_key, by_bone = self._points.of(full), np.zeros_like(full)
        by_bone[bone.vertices] = bone.by
        left = bone.vertices[np.abs(full[bone.vertices]).max(axis=1) < 0.05 * np.abs(bone.by).max()]
        if len(left) < 8 or np.linalg.norm(self._points.of(by_bone)) > 0.3 * np.linalg.norm(by_key):
            return 0.0
        chin = self._points.of(self._rest)[8] - self._joint[0]
        full_turn = JAW_TURNS["jawOpen"][0]
        drop = float((rotation_matrix(np.array([full_turn, 0.0, 0.0])) @ chin - chin)[1])
        return round(min(1.5, max(0.0, float(by_key[8, 1]) / drop)) * full_turn, 3) if drop < 0 else 0.0


def _upright(places: Floats) -> Floats:
    """The rotation by which a face is held aslant, 3x3; none where it is about as the template is."""
    rest = template().positions
    affine = np.linalg.lstsq(rest - rest.mean(0), places - places.mean(0), rcond=None)[0].T
    u, _, v = np.linalg.svd(affine)
    turned: Floats = u @ v
    return turned if np.trace(turned) < 1 + 2 * np.cos(_ASLANT) else np.eye(3)


def _against(by: Floats, skin: Floats) -> bool:
    """Whether something moves where the skin beside it, (N, 3) each, does not, or goes the other way."""
    squared = (by**2).sum(1)
    if squared.max(initial=0.0) < _GOES**2:
        return False
    most = squared > _MOST**2 * squared.max()
    by, skin = by[most], skin[most]
    return float((skin**2).sum()) < _WITH_IT**2 * float((by**2).sum()) or float((by * skin).sum()) < 0


def _middle(points: Floats) -> Floats:
    return (points.min(0) + points.max(0)) / 2


def _turn(points: Floats, by: Floats) -> Floats:
    """The rotation vector that explains displacements best, shape (3,) (Kabsch 1976)."""
    here, there = points - points.mean(0), points + by - (points + by).mean(0)
    u, _, v = np.linalg.svd(here.T @ there)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(v.T @ u.T)) or 1.0])
    turned = v.T @ flip @ u.T
    angle = float(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1.0, 1.0)))
    axis = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]])
    length = float(np.linalg.norm(axis))
    return axis * (angle / length) if length > 1e-12 else np.zeros(3)
