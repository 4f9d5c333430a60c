# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mapping brings a clip to a face: the one stored on its mesh, one by names, or a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import bpy
import numpy as np

from ..clip import Clip
from ..sentences import told
from ..shared import ARKIT55, FLAME53, FLAME_EXPRESSIONS
from .detection.detect import detect_rig
from .detection.editable import drivers_of
from .detection.eyes import eyes_on_bones
from .direct import arkit_mapping, flame_mapping
from .effects import Verdict
from .effects import sentence as sentence_of
from .fitting import FLAME_VERTICES
from .fitting.fitted import check_edited, fitted_bones, fitted_mapping, is_fitted
from .geometry import face_geometry
from .mapping import MESH_PROPERTY, Adjustment, Mapping, MappingError, stored_mapping
from .mapping_edits import Target, targets_of, turned_round, with_target, without
from .measuring import Measured, known, verdicts_of
from .rig import Rig, shorten
from .stage import key_pose
from .verdicts import shown_by

#: A channel that never goes further is not missed.
_SEEN: Final = 0.02
#: Sentences about single channels, at most: the test drive lists them all.
_MOST_SENTENCES: Final = 4


def brought_to(rig: Rig, clips: Sequence[Clip]) -> tuple[list[Clip], Mapping]:
    """Takes of one line as this face can perform them, with the mapping that does it.

    A flame53 clip for an ARKit face is read as ARKit actions through a FLAME mesh of the file.

    Raises:
        MappingError: as `mapping_for`.
    """
    if not clips:
        raise MappingError("There are no takes to bring to this face. Generate the line again.")
    flame_take = clips[0].space == FLAME53.name
    if flame_take and rig.problem is None and rig.kind == "ARKIT" and resolved(rig, FLAME53.name) is None:
        clips = _read_as_arkit(rig, clips)
    return list(clips), mapping_for(rig, clips[0])


def resolved(rig: Rig, space: str = ARKIT55.name) -> Mapping | None:
    """The mapping that brings clips of a space to ``rig``, as far as that is known without fitting anything.

    The one stored on the mesh, else that of its own names (ARKit keys, FLAME coefficients), without what was measured
    to move nothing or something else (`measuring`). None where there is none, and for ARKit actions on a FLAME face
    that was not fitted yet: `mapping_for` fits it. Detection, the mapping editor, diagnosis and takes all use this
    mapping. Where the eyes hang on bones, weights are read: not for panels.

    Raises:
        MappingError: the stored mapping is damaged.
    """
    mapping, measured = unverified(rig, space), known(rig)
    if mapping is None or measured is None or _is_stored(rig):
        return mapping
    if ("verified", space) not in measured.told:
        measured.told["verified", space] = _verified(rig, mapping, measured)
    return measured.told["verified", space]


def unverified(rig: Rig, space: str = ARKIT55.name) -> Mapping | None:
    """The same, whatever was measured."""
    stored = stored_mapping(rig.object.data) if rig.object is not None else None
    return stored if stored is not None and stored.source_space == space else by_names(rig, space)


def by_names(rig: Rig, space: str = ARKIT55.name) -> Mapping | None:
    """The mapping that names alone lead to; None where they lead to none."""
    if rig.object is None:
        return None
    measured = known(rig)
    if measured is not None and (space, rig.kind) in measured.told:
        return measured.told[space, rig.kind]
    found = None
    if rig.kind == "FLAME":
        found = flame_mapping(rig) if space == FLAME53.name else None
    elif rig.kind not in ("BONES", "CUSTOM") and space == ARKIT55.name:
        found = arkit_mapping(rig, eyes_on_bones(rig))
    if measured is not None:
        measured.told[space, rig.kind] = found
    return found


def _is_stored(rig: Rig) -> bool:
    return rig.object is not None and MESH_PROPERTY in rig.object.data


def _verified(rig: Rig, mapping: Mapping, measured: Measured) -> Mapping:
    """Only the channels that do what they are called, and the jaw bone where teeth hang on it alone."""
    for channel, verdict in verdicts_of(rig, mapping).items():
        if not verdict.holds:
            mapping = without(mapping, channel)
    if measured.teeth and "jawOpen" in mapping.driving() and "jaw" not in mapping.bones:
        mapping = replace(mapping, bones={**mapping.bones, "jaw": {"jawOpen": (measured.teeth, 0.0, 0.0)}})
    return replace(mapping, origin="names")


def judged(rig: Rig, mapping: Mapping | None) -> dict[str, Verdict]:
    """What is to be thought of each channel of a character, as far as it was measured, also of those that a mapping is
    without because their names lie. What an animator trusts is not judged.
    """
    if mapping is None:
        return {}
    plain = by_names(rig, mapping.source_space) if _is_stored(rig) else unverified(rig, mapping.source_space)
    found = verdicts_of(rig, plain) if plain is not None else {}
    if not _is_stored(rig):
        return found
    # Of what a kept mapping is without, what its name leads to is worth no more than before.
    lacking = {c: verdict for c, verdict in found.items() if not verdict.holds and c not in mapping.driving()}
    own = {**verdicts_of(rig, mapping), **lacking}
    return {c: verdict for c, verdict in own.items() if not mapping.channels.get(c, Adjustment()).trust}


def mended(rig: Rig, mapping: Mapping, channel: str) -> tuple[Mapping, str] | None:
    """A mapping on which a channel that does something else does what it is called, and what was done, a sentence.

    The key that shows it goes in place of the one that does not, or the one that does the opposite goes the other way.
    None where the channel does what it should, or nothing helps.
    """
    found, measured = judged(rig, mapping), known(rig)
    verdict = found.get(channel)
    if measured is None or (verdict is not None and verdict.kind in ("RIGHT", "UNKNOWN", "WEAK", "FAR", "APART")):
        return None
    if verdict is not None and verdict.seems == f"-{channel}":
        plain = mapping if _is_stored(rig) else unverified(rig, mapping.source_space)
        assert plain is not None
        targets = targets_of(plain, channel)
        mapping = without(mapping, channel)
        for target in targets:
            mapping = with_target(mapping, channel, turned_round(target))
        return mapping, told("{channel} goes the other way now", channel=channel)
    right = {t.name for c in found if found[c].kind == "RIGHT" for t in targets_of(mapping, c) if t.kind == "KEY"}
    alone = {name: measured.effects[key_pose(name)] for name in rig.keys if key_pose(name) in measured.effects}
    name = shown_by(channel, {name: effect for name, effect in alone.items() if name not in right})
    if not name or [target.name for target in targets_of(mapping, channel)] == [name]:
        return None
    mapping = with_target(without(mapping, channel), channel, Target("KEY", name, 1.0))
    return mapping, told("{channel} moves {name}", channel=channel, name=name)


def lacking(rig: Rig, mapping: Mapping, clips: Sequence[Clip]) -> list[str]:
    """Channels that takes move and nothing on the character shows, in the order of their space."""
    driving = {c for c in mapping.driving() if any(_has(rig, target) for target in targets_of(mapping, c))}
    muted = {channel for channel, adjustment in mapping.channels.items() if adjustment.mute}
    moving = [c for clip in clips for c in moving_channels(clip)]
    return [channel for channel in dict.fromkeys(moving) if channel not in driving | muted | _driven(rig, mapping)]


def _driven(rig: Rig, mapping: Mapping) -> set[str]:
    """Channels that nothing but keys shows whose values drivers decide: `diagnosis` names the drivers."""
    drivers = {name for key, _ in rig.keyed_meshes for name in drivers_of(key)}
    plain = by_names(rig, mapping.source_space) if drivers else None
    found = set()
    for candidate in (mapping, plain) if plain is not None else ():
        targets = {channel: targets_of(candidate, channel) for channel in candidate.driving()}
        found |= {c for c, of in targets.items() if all(t.kind == "KEY" and t.name in drivers for t in of)}
    return found


def moving_channels(clip: Clip) -> list[str]:
    """The channels of a take that can be seen to move."""
    return [
        c
        for c, column in zip(clip.channels, clip.values.T, strict=True)
        if float(np.abs(column).max(initial=0.0)) > _SEEN
    ]


def doubts(rig: Rig, mapping: Mapping | None) -> list[str]:
    """Sentences about channels that do not do what they are called, and about targets that are not there.

    A mapping by names is without those that move nothing or something else; one that an animator made is kept.
    """
    if mapping is None or rig.object is None or rig.problem is not None:
        return []
    said = []
    lost = {t.name for c in mapping.driving() for t in targets_of(mapping, c) if not _has(rig, t)}
    if lost and _is_stored(rig):
        sentence = (
            "The mapping kept on {name} moves {targets}, which it does not have. Reset the mapping, or choose targets "
            "that are there."
        )
        said.append(told(sentence, name=rig.object.name, targets=shorten(sorted(lost), 3)))
    if (measured := known(rig)) is not None and mapping.source_space == ARKIT55.name:
        said += filter(None, (measured.problem or measured.aside,))
        if measured.unseen and not measured.problem:
            sentence = "Hidden, so nobody could look whether it goes with the face: {names}."
            said.append(told(sentence, names=shorten(list(measured.unseen))))
    found = judged(rig, mapping)
    driven = _driven(rig, mapping)
    still = [channel for channel, verdict in found.items() if verdict.kind == "STILL" and channel not in driven]
    kept = _is_stored(rig)
    if still:
        sentence = (
            ("{names} moves nothing." if len(still) == 1 else "{names} move nothing.")
            if kept
            else "{names} moves nothing, and is not keyed."
            if len(still) == 1
            else "{names} move nothing, and are not keyed."
        )
        said.append(told(sentence, names=shorten(still)))
    wrong = {c: verdict for c, verdict in found.items() if verdict.kind not in ("STILL", "PART")}
    sentences = list(dict.fromkeys(filter(None, (sentence_of(c, verdict) for c, verdict in wrong.items()))))
    said += sentences[:_MOST_SENTENCES]
    if len(sentences) > _MOST_SENTENCES:
        count = len(sentences) - _MOST_SENTENCES
        sentence = (
            "{count} more channel does not do what it is called."
            if count == 1
            else "{count} more channels do not do what they are called."
        )
        said.append(told(sentence, count=count))
    if any(not verdict.holds and verdict.kind == "WRONG" for verdict in found.values()) and not kept:
        said.append(told("What does not do what it is called is not keyed. The test drive shows each channel."))
    if parts := [c for c, verdict in found.items() if verdict.kind == "PART"]:
        sentence = (
            "{names} moves lids alone: the eye does not turn."
            if len(parts) == 1
            else "{names} move lids alone: the eyes do not turn."
        )
        said.append(told(sentence, names=shorten(parts, 3)))
    return said


def _has(rig: Rig, target: Target) -> bool:
    names = rig.keys if target.kind == "KEY" else rig.bones if target.kind == "ROLE" else rig.bone_names
    return target.name in names


def mapping_for(rig: Rig, clip: Clip) -> Mapping:
    """The mapping that brings ``clip`` to ``rig``: `resolved`, or a fit of a FLAME mesh's expression keys to the ARKit
    actions, which is kept on the mesh if that is editable and made again when the keys change.

    A stored mapping that is not such a fit is never replaced.

    Raises:
        MappingError: the rig cannot be driven, the stored mapping is damaged, or nothing leads from the clip's space
            to this face.
    """
    if rig.problem is not None or rig.object is None:
        raise MappingError("{problem}", problem=rig.problem) if rig.problem else MappingError("Choose a face first.")
    mapping = resolved(rig, clip.space)
    if rig.kind == "FLAME" and clip.space == ARKIT55.name and (mapping is None or is_fitted(rig.object.data)):
        return fitted_mapping(rig)
    if rig.kind == "BONES" and clip.space == ARKIT55.name:
        return fitted_bones(rig)
    if mapping is not None:
        check_edited(rig)
        return mapping
    if rig.kind == "ARKIT" and clip.space == FLAME53.name:
        raise MappingError(
            "The clip speaks flame53 and {name} is an ARKit face. Add the FLAME mesh the clip is about to this file, "
            "so that its expressions can be read there, or choose a checkpoint that speaks arkit55.",
            name=rig.object.name,
        )
    raise MappingError(
        "The clip speaks {space} and {name} is an ARKit face, and nothing leads from one to the other. Choose another "
        "checkpoint or another face."
        if rig.kind == "ARKIT"
        else "The clip speaks {space} and {name} is a FLAME face, and nothing leads from one to the other. Choose "
        "another checkpoint or another face."
        if rig.kind == "FLAME"
        else "The clip speaks {space} and {name} is a mapped face, and nothing leads from one to the other. Choose "
        "another checkpoint or another face.", space=clip.space, name=rig.object.name,
    )  # fmt: skip


def flame_in_file(besides: Rig) -> Rig | None:
    """The FLAME mesh of this file through which flame53 clips can be read, or None.

    One of FLAME's own topology goes before others, then the first by its mesh's name. It may be linked or hidden.
    """
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj != besides.object]
    rigs = [rig for rig in map(detect_rig, meshes) if rig.kind == "FLAME" and rig.object is not None]
    return min(rigs, key=_not_flames_own, default=None)


def _not_flames_own(rig: Rig) -> tuple[bool, str]:
    mesh: Any = rig.object.data if rig.object is not None else None
    return len(mesh.vertices) != FLAME_VERTICES, mesh.name


def _read_as_arkit(rig: Rig, clips: Sequence[Clip]) -> list[Clip]:
    flame = flame_in_file(besides=rig)
    if flame is None or flame.object is None:
        return list(clips)  # mapping_for says what is missing
    own = resolved(flame)
    mapping = own if own is not None and not is_fitted(flame.object.data) else fitted_mapping(flame)
    face = face_geometry(flame)
    expressions = {key: c for c, keys in flame.shape_keys.items() if c in FLAME_EXPRESSIONS for key in keys}
    from .fitting.convert import to_arkit  # here, because enabling the extension does not need it
    from .fitting.fit import NoPoints, face_points

    try:
        points = face_points(face)
        return [to_arkit(clip, face, points, mapping, expressions) for clip in clips]
    except NoPoints as error:
        raise MappingError(
            "{name}, through which the clip would be read, {problem}. {advice}, or choose a checkpoint that speaks "
            "arkit55.", name=flame.object.name, problem=error, advice=error.advice,
        ) from None  # fmt: skip
