# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitted mappings: kept on the mesh, made again when its keys change, never over the animator's own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ...sentences import told
from ...storage import StoredError, from_text, to_text
from ..direct import head_turns
from ..geometry import coordinates, face_geometry
from ..mapping import MESH_PROPERTY, Mapping, MappingError, stored_mapping
from ..rig import Rig, shorten

#: The custom property beside the mapping that says which keys it was fitted to: its absence, or a mapping that is no
#: longer the fitted one, makes the mapping the animator's.
FIT_PROPERTY: Final = "cteg_fit"
#: An action is shown well when this share of it is left over at most.
GOOD_PERCENT: Final = 20.0


def fitted_mapping(rig: Rig) -> Mapping:
    """arkit55 to a FLAME rig, from its mesh where it was kept and still fits, else fitted now and kept.

    Raises:
        MappingError: the mesh's landmarks are not found; the sentence says what to do.
    """
    mesh = rig.object.data
    kept, print_now = stored_mapping(mesh), fingerprint(rig)
    if kept is not None and is_fitted(mesh) and _record(mesh).get("keys") == print_now:
        return kept
    from .fit import NoPoints, fit_mapping  # here, because enabling the extension does not need it

    try:
        mapping = fit_mapping(face_geometry(rig))
    except NoPoints as error:
        raise MappingError(
            "{name} {problem}, so expressions cannot be fitted to it. {advice}, or use a checkpoint that speaks "
            "flame53.", name=rig.object.name, problem=error, advice=error.advice,
        ) from None  # fmt: skip
    if mesh.is_editable and (kept is None or is_fitted(mesh)):
        mesh[MESH_PROPERTY] = mapping.to_json()
        mesh[FIT_PROPERTY] = to_text({"keys": print_now, "mapping": _hash(mesh[MESH_PROPERTY])})
    return mapping


def fitted_bones(rig: Rig) -> Mapping:
    """arkit55 to a face that is made of bones, kept on its mesh where that is editable.

    A control is moved along its axes. One that does nothing then is turned about them, as lids turn about the eye.
    Where the skin is like no face, drawn ones are, the pose set that ships for such bones is used.

    Raises:
        MappingError: the face cannot be looked at, or no face was found on its skin; the sentence says what to do.
    """
    from .bones import NoFace, eyes_and_aims, fitted_controls  # here, because enabling the extension needs neither
    from .portable import shipped

    try:
        mapping = fitted_controls(rig, {})
        mapping = eyes_and_aims(rig, replace(mapping, bones={**mapping.bones, **head_turns(rig)}))
    except NoFace:
        if (found := shipped(rig)) is None:
            raise
        mapping = found
    if rig.object.data.is_editable:
        rig.object.data[MESH_PROPERTY] = mapping.to_json()
    return mapping


def is_fitted(mesh: Any) -> bool:
    """Whether the mapping stored on a mesh is what a fit wrote there, untouched since."""
    text = mesh.get(MESH_PROPERTY)
    return isinstance(text, str) and _record(mesh).get("mapping") == _hash(text)


def check_edited(rig: Rig) -> None:
    """Remember beside a fit that was edited by hand whether the mesh's keys have changed since, for `fit_lines`.

    Reading all keys takes a while, so this is asked when a take is written and not when the panel is drawn.
    """
    mesh = rig.object.data
    if FIT_PROPERTY not in mesh or is_fitted(mesh) or not mesh.is_editable:
        return
    record = _record(mesh)
    outdated = record.get("keys") != fingerprint(rig)
    if record.get("outdated", False) != outdated:
        mesh[FIT_PROPERTY] = to_text({**record, "outdated": outdated})


def refit(rig: Rig) -> Mapping:
    """Forget the stored mapping, whoever made it, and fit again. On a problem the stored one stays.

    Raises:
        MappingError: as `fitted_mapping`, or the mesh cannot be edited.
    """
    mesh = rig.object.data
    if not mesh.is_editable:
        sentence = "The mesh {name} is linked from another file. Make a library override of it first."
        raise MappingError(sentence, name=mesh.name)
    before = {name: mesh[name] for name in (MESH_PROPERTY, FIT_PROPERTY) if name in mesh}
    for name in before:
        del mesh[name]
    try:
        return fitted_mapping(rig)
    except MappingError:
        for name, value in before.items():
            mesh[name] = value
        raise


def fingerprint(rig: Rig) -> str:
    """What the fit depends on, as a hash: vertices and all expression keys, and where jaw and eyes turn."""
    blocks = rig.object.data.shape_keys.key_blocks
    digest = hashlib.sha256()
    names = [name for keys in rig.shape_keys.values() for name in keys]
    for block in (rig.object.data.shape_keys.reference_key, *(blocks[name] for name in names)):
        places = coordinates(block.data, np.float32)
        digest.update(f"{block.name}\0{places.size}\0".encode())
        digest.update(places.tobytes())
    for role in sorted(rig.bones):
        at = np.array(rig.armature.data.bones[rig.bones[role]].head_local, np.float32)
        digest.update(f"{role}\0{rig.bones[role]}\0".encode() + at.tobytes())
    return digest.hexdigest()


def fit_lines(rig: Rig, mapping: Mapping | None) -> list[str]:
    """Lines for the panel about the mapping kept on a face: `fit_summary`, and a warning when it is out of date."""
    if mapping is None or rig.object is None or rig.kind != "FLAME":
        return []
    lines, mesh = fit_summary(mapping), rig.object.data
    if _record(mesh).get("outdated") and not is_fitted(mesh):
        sentence = (
            "The shape keys of {name} changed after its mapping was fitted. The mapping was edited, so it was kept; "
            "Fit Again starts over from the new keys."
        )
        lines.append(told(sentence, name=mesh.name))
    return lines


def fit_summary(mapping: Mapping) -> list[str]:
    """How well a fit shows the actions, in lines for the panel; empty for a mapping that was not fitted."""
    percent = _percent_on_skin(mapping)
    if not percent:
        return []
    good = sum(value <= GOOD_PERCENT for value in percent.values())
    line = told("Fit: {good} of {count} actions within {most:.0f} %", good=good, count=len(percent), most=GOOD_PERCENT)
    weak = [c for c in sorted(percent, key=lambda c: -percent[c]) if percent[c] > GOOD_PERCENT]
    return [told("{line}; weakest: {names}", line=line, names=shorten(weak, 2)) if weak else line]


def residual_table(mapping: Mapping) -> list[tuple[str, float, float]]:
    """Channel, what of it is left over in mm on a face of ordinary size, and in per cent; the weakest first."""
    percent = _percent_on_skin(mapping)
    return [(c, mapping.residual_mm[c], percent[c]) for c in sorted(percent, key=lambda c: -percent[c])]


def _percent_on_skin(mapping: Mapping) -> dict[str, float]:
    """Per cent left over per action, without the looks that eye bones show: the lids' part of them says little."""
    from .fit import residual_percent  # here, because enabling the extension does not need it

    turned = {channel for role in ("left_eye", "right_eye") for channel in mapping.bones.get(role, {})}
    return {
        c: percent for c, percent in residual_percent(mapping).items() if not (c in turned and c.startswith("eyeLook"))
    }


def _record(mesh: Any) -> dict[str, Any]:
    try:
        record = from_text(mesh.get(FIT_PROPERTY, "{}"))
    except StoredError:
        return {}
    return record if isinstance(record, dict) else {}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
