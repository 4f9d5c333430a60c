# SPDX-License-Identifier: GPL-3.0-or-later
"""ARKit actions carried over from ICT FaceKit (MIT, see CREDITS.md): ``ict_shapes.npz``, which `carry` makes.

They take the place of the face units of the same name, except where those fit our eyeballs and tongue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from blender_cteg.shared import ARKIT_CHANNELS

from . import expressions, folds, identity, mouth, parts
from .contact import Lips
from .correctives import correctives, keep_off
from .expressions import Rigid
from .geometry import Floats, Geometry, Ints
from .source import BaseMesh

ASSET: Final = Path(__file__).with_name("ict_shapes.npz")
#: Stored steps per distance between the eyes.
QUANTUM: Final = 4096
#: Actions in the file: of pairs the left one.
STORED: Final = tuple(name for name in ARKIT_CHANNELS if not name.endswith("Right"))
JAW_ACTIONS: Final = ("jawOpen", "jawForward", "jawLeft", "jawRight")
#: Here the rims of the lids move as they were made, to fit our eyeballs: all of it up to one ring, none from another.
_LIDS: Final = {"eyeBlink": (6.0, 14.0), "eyeLookUp": (4.0, 8.5), "eyeLookDown": (4.0, 8.5)}
#: How far the upper lid comes to lie over the lower one, decimetres.
_OVERLAP: Final = 0.004
#: Rings of the lips, and of the skin that could press into the teeth; how far it stays before them, how thick the layer
#: is in which what would go behind them is drawn together, and how far sideways this is told; decimetres.
_LIPS: Final = 10
_AROUND: Final = 15
_CLEAR: Final = 0.01
_DRAWN: Final = 0.06
_BESIDE: Final = 0.03
#: The corners of the mouth: how far around them their motion is read, up to where the skin has it alone, and from where
#: on it has none of it; decimetres. How much against is that it should be more than a shift.
_CORNER: Final = (0.045, 0.03, 0.085)
_STIFF: Final = 0.05
#: What a smile takes along, per unit: more of itself than ICT's, the corners drawn back, and the wings of the nose, up
#: to a height on the base mesh, decimetres.
_SMILE: Final = {"mouthSmile": 0.25, "mouthDimple": 0.25, "noseSneer": 0.2}
_NOSE: Final = (7.05, 7.3)
#: Actions that draw the lips wide, and how much thinner that makes each half of them; and those that leave them shut.
_THINNED: Final = {"mouthSmile": 0.22, "mouthStretch": 0.15, "mouthDimple": 0.1}
_SHUT: Final = (
    "mouthSmile",
    "mouthStretch",
    "mouthDimple",
    "mouthFrown",
    "mouthPress",
    "mouth",
    "cheekSquint",
    "cheekPuff",
    "mouthClose",
    "mouthRollLower",
    "mouthRollUpper",
)


def mirrored(name: str) -> str:
    """The same action on the other side."""
    ends = {"Left": "Right", "Right": "Left"}
    return next((name.removesuffix(end) + other for end, other in ends.items() if name.endswith(end)), name)


def mirror(base: Floats) -> Ints:
    """(V,) the vertex on the other side of each vertex of the symmetric base mesh."""
    other, square = base * (-1, 1, 1), (base**2).sum(axis=1)
    near = [(square - 2 * part @ base.T).argmin(axis=1) for part in np.array_split(other, 16)]
    return np.concatenate(near)


@dataclass(frozen=True)
class Carried:
    """What was carried over, in distances between the eyes and radians.

    Attributes:
        deltas: (52, n, 3) displacement of the n vertices of the dense skin.
        teeth: (3,) the middle of the lower teeth from the middle of the eyes.
        jaw: action -> (2, 3) shift of that middle, and rotation vector.
    """

    deltas: Floats
    teeth: Floats
    jaw: dict[str, Floats]


def read(base: Floats) -> Carried:
    """The file, for the dense skin with these ``base`` positions (n, 3)."""
    with np.load(ASSET, allow_pickle=False) as file:
        stored = file["deltas"].astype(np.float64) / QUANTUM
        middle, moves = file["teeth"], file["jaw"]
    other = mirror(base)
    deltas = np.zeros((len(ARKIT_CHANNELS), len(base), 3))
    for name, delta in zip(STORED, stored, strict=True):
        deltas[ARKIT_CHANNELS.index(name)] = delta
        if mirrored(name) != name:
            deltas[ARKIT_CHANNELS.index(mirrored(name))] = delta[other] * (-1, 1, 1)
    return Carried(deltas, middle, dict(zip(JAW_ACTIONS, moves, strict=True)))


def eye_distance(eyes: list[parts.Eye]) -> float:
    """Between the middles of the eyeballs, decimetres."""
    return float(np.linalg.norm(eyes[0].centre - eyes[1].centre))


def at_rest(head: Geometry, eyes: list[parts.Eye], carried: Carried, person: identity.Person) -> Geometry:
    """``head`` with what the person's face holds of some actions when it rests."""
    outer, kept = _outer(head)
    moved = carried.deltas[:, kept] * (eye_distance(eyes) * _near(head, outer))
    rest = head.rest.copy()
    for action, share in _held(person).items():
        rest[outer] += share * moved[action]
    return replace(head, rest=rest)


def _held(person: identity.Person) -> dict[int, float]:
    """Action -> how much of it the person's face holds at rest, both sides alike."""
    stems = [name.removesuffix("Left").removesuffix("Right") for name in ARKIT_CHANNELS]
    return {action: person.rest[stem] for action, stem in enumerate(stems) if stem in person.rest}


def _outer(head: Geometry) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Vertices of the skin outside of mouth and sockets, and which of the dense skin they are."""
    skin = np.unique(head.faces[head.faces >= 0])
    kept = (head.masks[skin, parts.INNER] == 0) & (head.masks[skin] >= 0).all(axis=1)
    return skin[kept], kept


def _near(head: Geometry, vertices: Ints) -> Floats:
    """(n, 1) how much of the carried actions ``vertices`` have: all in the face, none behind it and below the neck."""
    x, y = head.base[vertices, 2], head.base[vertices, 1]
    result: Floats = (parts.smoothstep(0.15, 0.5, x) * parts.smoothstep(5.6, 6.0, y))[:, None]
    return result


def dress(
    head: Geometry, mesh: BaseMesh, eyes: list[parts.Eye], rigid: Rigid, carried: Carried, person: identity.Person
) -> Geometry:
    """``head`` with the carried actions, `correctives` after them, and bone weights to match.

    What the face holds of an action when it rests (`at_rest`) is taken off it: where an action ends stays as it was.
    Mouth cavity and eye sockets follow the seam that they hang on, less and less with depth; teeth and tongue ride on
    the bones.
    """
    columns = head.deltas.reshape(head.size, -1, 3).copy()
    outer, kept = _outer(head)
    inside = np.setdiff1d(head.faces[head.faces >= 0], outer)
    moved = carried.deltas[:, kept] * (eye_distance(eyes) * _near(head, outer))
    _further(moved, head.base[outer])
    for action, share in _held(person).items():
        moved[action] *= 1 - share
    for name, reach in _LIDS.items():
        rim = 1 - parts.smoothstep(*reach, head.masks[outer, parts.EYE_RING])[:, None]
        lids = [ARKIT_CHANNELS.index(name + side) for side in ("Left", "Right")]
        moved[lids] += rim * (columns[outer].transpose(1, 0, 2)[lids] - moved[lids])
    rim = 1 - parts.smoothstep(*_LIDS["eyeBlink"], head.masks[outer, parts.EYE_RING])[:, None]
    for eye in eyes:
        blink = ARKIT_CHANNELS.index("eyeBlinkLeft" if eye.centre[0] > 0 else "eyeBlinkRight")
        moved[blink] *= 1 + rim * (meeting(head, columns, eye, head.rest[outer]) - 1)
    moved = keep_off(head.rest[outer], moved, eyes)
    lips = np.flatnonzero(head.masks[outer, parts.MOUTH_RING] <= _LIPS)
    thinned(head, outer[lips], moved, lips)
    shut(head, outer[lips], moved, lips)
    around = np.flatnonzero(head.masks[outer, parts.MOUTH_RING] < _AROUND)
    rows = np.concatenate([mouth.teeth(head, mesh, row, rigid).rest for row in ("upper", "lower")])
    before_teeth(head, rows, outer[around], moved, around)
    joined(head, outer, moved)
    parted(head, outer[lips], moved, lips)
    for side in ("Left", "Right"):  # one component of the basis, forwards and backwards
        inward, outward = (ARKIT_CHANNELS.index(f"eyeLook{way}{side}") for way in ("In", "Out"))
        moved[outward] = (moved[outward] - moved[inward]) / 2
        moved[inward] = -moved[outward]
    columns[outer] = moved.transpose(1, 0, 2)
    folds.carve(head, outer, columns)
    weights = parts.bone_weights(head, columns[:, ARKIT_CHANNELS.index("jawOpen")], rigid)
    teeth, tongue = (np.unique(mesh.faces[f"helper-{name}"]) for name in ("lower-teeth", "tongue"))
    weights[inside, 2] = fade(head.faces, weights[:, 2:3], inside, 0.001)[:, 0]
    weights[teeth, 2] = weights[tongue, 2] = 1.0
    weights[np.unique(mesh.faces["helper-upper-teeth"]), 2] = 0.0
    weights[:, :2] *= ((1 - weights[:, 2]) / np.maximum(weights[:, :2].sum(axis=1), 1e-9))[:, None]
    ride = np.stack([expressions.ride(head.rest, weights, rigid, action) for action in range(len(ARKIT_CHANNELS))], 1)
    hanging = (columns - ride).reshape(head.size, -1)
    columns[inside] = ride[inside] + fade(head.faces, hanging, inside, 0.05).reshape(len(inside), -1, 3)
    for part in (np.unique(mesh.faces["helper-upper-teeth"]), teeth, tongue):
        columns[part] = ride[part]
    for part in (teeth, tongue):
        columns[part, ARKIT_CHANNELS.index("jawForward")] += carried.jaw["jawForward"][0] * eye_distance(eyes)
    columns = np.concatenate([columns, correctives(columns, head.masks[:, parts.EYE_RING], head.rest, eyes)], axis=1)
    return replace(head, deltas=columns.reshape(head.size, -1), weights=weights)


def _further(moved: Floats, base: Floats) -> None:
    """Let the smiles in ``moved`` (52, n, 3), of skin at ``base`` (n, 3), take `_SMILE` along."""
    below = 1 - parts.smoothstep(*_NOSE, base[:, 1])[:, None]
    for side in ("Left", "Right"):
        along = sum(share * moved[ARKIT_CHANNELS.index(name + side)] for name, share in _SMILE.items())
        moved[ARKIT_CHANNELS.index(f"mouthSmile{side}")] += below * along


def meeting(head: Geometry, columns: Floats, eye: parts.Eye, points: Floats) -> Floats:
    """(n, 1): what the lids' own blink is multiplied with at ``points`` (n, 3) so that they just meet in it."""
    blink = columns[:, ARKIT_CHANNELS.index("eyeBlinkLeft" if eye.centre[0] > 0 else "eyeBlinkRight")]
    rim = np.flatnonzero(head.masks[:, parts.EYE_RING] == parts.LASH_RING)
    rim = rim[np.linalg.norm(head.rest[rim] - eye.centre, axis=1) < 1.5 * eye.radius]
    x, y = (head.rest[rim] - eye.centre).T[:2]
    upper, lower = rim[y > np.median(y)], rim[y <= np.median(y)]
    upper = upper[np.abs(head.rest[upper, 0] - eye.centre[0]) < 0.7 * np.abs(x).max()]
    upper = upper[head.rest[upper, 0].argsort()]
    other = lower[np.abs(head.rest[lower, 0] - head.rest[upper, :1]).argmin(axis=1)]
    gap = head.rest[upper, 1] - head.rest[other, 1] + _OVERLAP
    needed = gap / (blink[other, 1] - blink[upper, 1])
    result: Floats = np.interp(points[:, 0], head.rest[upper, 0], needed)[:, None]
    return result


def seam(head: Geometry, vertices: Ints) -> Floats:
    """(n,) the height of the lips' seam on the base mesh where ``vertices`` (n,) are."""
    rim = np.flatnonzero(head.masks[:, parts.MOUTH_RING] == 0)
    x, y = head.base[rim, 0], head.base[rim, 1]
    places = np.linspace(x.min(), x.max(), 25)
    middle = [(y[near].min() + y[near].max()) / 2 for near in (np.abs(x - place) < 0.016 for place in places)]
    height: Floats = np.interp(head.base[vertices, 0], places, middle)
    return height


def upper_lip(head: Geometry, vertices: Ints, opened: Floats) -> npt.NDArray[np.bool_]:
    """(n,) which ``vertices`` of the lips an open jaw, (n, 3), leaves above: near the seam, height does not tell."""
    x = head.base[vertices, 0]
    places = np.linspace(x.min(), x.max(), 25)
    near = [opened[np.abs(x - place) < 0.03, 1] for place in places]
    result: npt.NDArray[np.bool_] = opened[:, 1] > np.interp(x, places, [(y.min() + y.max()) / 2 for y in near])
    return result


def thinned(head: Geometry, vertices: Ints, deltas: Floats, lips: Ints) -> None:
    """Thin lips that are drawn wide: as much red in a longer band."""
    above = (head.base[vertices, 1] - seam(head, vertices)) * (
        1 - parts.smoothstep(parts.LIP_RING - 1.0, _LIPS, _ring(head, vertices))
    )
    for name, part in _THINNED.items():
        for side, sign in (("Left", 1), ("Right", -1)):
            half = parts.smoothstep(-0.12, 0.12, sign * head.base[vertices, 0])
            deltas[ARKIT_CHANNELS.index(name + side), lips, 1] -= part * half * above


def shut(head: Geometry, vertices: Ints, deltas: Floats, lips: Ints) -> None:
    """Let no action press the lips into each other more than they are at rest, nor part them if it is of `_SHUT`."""
    upper = upper_lip(head, vertices, deltas[ARKIT_CHANNELS.index("jawOpen"), lips])
    ring, rest = _ring(head, vertices), head.rest[vertices]
    weight = 1 - parts.smoothstep(4.0, 9.0, ring)
    arcs = [[np.flatnonzero((ring == value) & side) for value in range(1, 6)] for side in (upper, ~upper)]
    shares = np.linspace(-1.0, 1.0, 31)

    def gaps(points: Floats) -> tuple[Floats, Floats]:
        """Heights between the lips, seen from the front, at places (31,) from corner to corner, and those places."""
        ends = [points[arc, 0] for arc in arcs[0]]
        places = np.interp(shares, (-1.0, 1.0), (max(x.min() for x in ends), min(x.max() for x in ends)))
        edges = [[np.interp(places, *points[arc[points[arc, 0].argsort()], :2].T) for arc in lip] for lip in arcs]
        return np.min(edges[0], axis=0) - np.max(edges[1], axis=0), places

    before, _ = gaps(rest)
    for action, name in enumerate(ARKIT_CHANNELS):
        if not name.startswith(("jaw", "tongue")):
            closing = deltas[ARKIT_CHANNELS.index("jawOpen"), lips] if name == "mouthClose" else 0.0
            moved = rest + closing + deltas[action, lips]
            now, places = gaps(moved)
            opened = now - before
            if name.removesuffix("Left").removesuffix("Right") not in _SHUT:
                opened = np.minimum(opened, 0.0)
            close = np.interp(moved[:, 0], places, opened) / 2
            deltas[action, lips, 1] += np.where(upper, -close, close) * weight


def _ring(head: Geometry, vertices: Ints) -> Floats:
    ring: Floats = head.masks[vertices, parts.MOUTH_RING]
    return ring


def joined(head: Geometry, vertices: Ints, deltas: Floats) -> None:
    """Let the skin at the corners of the mouth move in one piece, as it grows, whichever lip it is of.

    There every action becomes the affine motion that is nearest to it: such a motion folds nothing into itself, nor do
    any two of them together.
    """
    rim = np.flatnonzero(head.masks[:, parts.MOUTH_RING] == 0)
    corner = head.base[rim[head.base[rim, 0].argmax()]]
    opened, shutting = ARKIT_CHANNELS.index("jawOpen"), ARKIT_CHANNELS.index("mouthClose")
    near = np.flatnonzero((_ring(head, vertices) >= 0) & (_ring(head, vertices) < _AROUND))
    for sign in (1.0, -1.0):
        arm = head.base[vertices[near]] - corner * (sign, 1.0, 1.0)
        way = np.linalg.norm(arm, axis=1)
        close = near[way < _CORNER[2]]
        arm, way = arm[way < _CORNER[2]], way[way < _CORNER[2]]
        system = np.column_stack([np.ones(len(arm)), arm])
        weight = np.exp(-((way / _CORNER[0]) ** 2))[:, None]
        held = np.diag((0.0, *(3 * [_STIFF * float(weight.sum()) * _CORNER[0] ** 2])))
        fit = system @ np.linalg.solve(system.T @ (weight * system) + held, (weight * system).T)
        share = 1 - parts.smoothstep(*_CORNER[1:], way)[:, None]
        moved = deltas[:, close]
        moved[shutting] += moved[opened]
        pieces = share * (np.einsum("mn,anc->amc", fit, moved) - moved)
        pieces[opened] = 0.0
        deltas[:, close] += pieces


def parted(head: Geometry, vertices: Ints, deltas: Floats, lips: Ints) -> None:
    """Let no action press one lip into the other; `shut` sees them from the front alone."""
    opened = ARKIT_CHANNELS.index("jawOpen")
    touching, other = Lips(head, vertices, deltas[opened, lips]), mirror(head.base[vertices])
    for action, name in enumerate(ARKIT_CHANNELS):
        if name.startswith(("jaw", "mouth", "cheek", "nose")) and action != opened and not name.endswith("Right"):
            start = deltas[opened, lips] if name == "mouthClose" else np.zeros((len(lips), 3))
            added = touching.apart(start + deltas[action, lips], start)
            deltas[action, lips] += added
            if (pair := mirrored(name)) != name:
                deltas[ARKIT_CHANNELS.index(pair), lips] += added[other] * (-1, 1, 1)


def before_teeth(head: Geometry, teeth: Floats, vertices: Ints, deltas: Floats, lips: Ints) -> None:
    """Keep ``vertices`` of the lips before the ``teeth`` (n, 3) in all actions that do not move the jaw.

    What would go behind them is drawn together before them, the deepest to their front, so that no two places meet.
    """
    places = np.linspace(0.0, 0.26, 14)
    front = [teeth[np.abs(np.abs(teeth[:, 0]) - x) < 0.02, 2].max(initial=-9.0) for x in places]
    still = [
        action for action, name in enumerate(ARKIT_CHANNELS) if not name.startswith(("jaw", "mouthClose", "tongue"))
    ]
    rest = head.rest[vertices]
    for action in still:
        moved = rest + deltas[action, lips]
        root = teeth[:, 1].min()
        beside = parts.smoothstep(root - 0.06, root, moved[:, 1])  # not below them: the chin may be drawn in
        least = np.minimum(np.interp(np.abs(moved[:, 0]), places, front, right=-9.0) + _CLEAR, rest[:, 2])
        beyond = beside * (least - moved[:, 2])
        deep = np.flatnonzero(beyond > 0)
        near = np.abs(moved[:, :1] - moved[deep, 0]) < _BESIDE
        most = np.where(near, beyond[deep], 0.0).max(axis=1, initial=0.0)
        shorter = np.maximum(beyond + _DRAWN, 0.0) * most / (most + _DRAWN)
        deltas[action, lips, 2] += beside * np.minimum(shorter, np.maximum(-deltas[action, lips, 2], 0.0))


def fade(faces: Ints, values: Floats, free: Ints, pull: float) -> Floats:
    """(n, c) for the ``free`` vertices (n,): the ``values`` (V, c) of those around them spread inwards, losing ``pull``
    of themselves at each step."""
    place = np.full(len(values), -1)
    place[free] = np.arange(len(free))
    pairs = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    pairs = pairs[(pairs >= 0).all(axis=1)]
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    pairs = pairs[place[pairs[:, 0]] >= 0]
    at, beside = place[pairs[:, 0]], place[pairs[:, 1]]
    system = np.diag(np.bincount(at, minlength=len(free)) * (1.0 + pull))
    right = np.zeros((len(free), values.shape[1]))
    within = beside >= 0
    system[at[within], beside[within]] -= 1.0
    np.add.at(right, at[~within], values[pairs[~within, 1]])
    result: Floats = np.linalg.solve(system, right)
    return result
