# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert: FLAME coefficients read as ARKit actions, on a FLAME mesh that says what both look like (no ``bpy``).

The mesh's own mapping says what each action is in its coefficients; this is the way back. Every frame is compared on
the face's surface, not coefficient by coefficient, so that a large coefficient which moves little weighs little.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ...arrays import Floats
from ...clip import Clip
from ...shared import ARKIT_CHANNELS, FLAME_EXPRESSIONS, HEAD_CHANNELS, JAW_CHANNELS
from ..direct import JAW_TURNS
from ..mapping import Mapping, MappingError
from .fit import FaceGeometry, Fitted
from .surface import Points

#: What an action must explain before it is used, as a share of its own square size: keeps the rest of the face still.
SPARSITY: Final = 0.001
#: How much a change from frame to frame counts against the fit, in the same unit: damps flicker, not motion.
SMOOTHNESS: Final = 0.003
#: Small enough to tell two actions apart that look almost alike, large enough to choose when nothing does.
_RIDGE: Final = 1e-4
_SWEEPS: Final = 400
_SETTLED: Final = 1e-4
#: Actions the coefficients cannot say: FLAME's 53 numbers hold neither gaze nor tongue.
UNKNOWN: Final = frozenset({"tongueOut", *(c for c in ARKIT_CHANNELS if c.startswith("eyeLook"))})


def to_arkit(clip: Clip, face: FaceGeometry, points: Points, mapping: Mapping, expressions: dict[str, str]) -> Clip:
    """A flame53 clip as an arkit55 one.

    Args:
        clip: in flame53.
        face: the FLAME mesh whose expression basis the clip is about.
        points: where the face is looked at, see `fit.face_points`.
        mapping: arkit55 to that mesh.
        expressions: expression key of the mesh -> the channel (``exp1`` ..) that drives it.

    Returns:
        The same take: actions in 0..1, gaze, tongue and head rotation 0 (flame53 has none).

    Raises:
        MappingError: the clip or the mapping is of another space, or the mapping drives nothing of the mesh.
    """
    if clip.space != "flame53" or mapping.source_space != "arkit55":
        raise MappingError(
            "Only flame53 clips are read as ARKit actions, through a mapping from arkit55; this clip is {space} and "
            "the mapping reads {other}. Choose another checkpoint or another mapping.",
            space=clip.space, other=mapping.source_space,
        )  # fmt: skip
    fitted = Fitted.of(face, points)
    looks, channels = _looks(fitted), (*FLAME_EXPRESSIONS, *JAW_CHANNELS)
    place = {channel: column for column, channel in enumerate(channels)}
    wanted = np.zeros((clip.frames, len(channels)))
    for channel in set(clip.channels) & place.keys():
        wanted[:, place[channel]] = clip.channel(channel)
    actions = [c for c in ARKIT_CHANNELS if c not in UNKNOWN]
    gains = np.zeros((len(channels), len(actions)))
    for key, row in mapping.shape_keys.items():
        if key in expressions:
            gains[place[expressions[key]]] += [row.get(action, 0.0) for action in actions]
    if fitted.jaw is not None:
        turns = mapping.bones.get("jaw", {})
        gains[-3:] = np.transpose([turns.get(action, (0.0, 0.0, 0.0)) for action in actions])
    columns = {key: channel for key, channel in expressions.items() if key in fitted.names}
    seen = np.zeros((looks.shape[0], len(channels)))
    for key, channel in columns.items():
        seen[:, place[channel]] = looks[:, fitted.names.index(key)]
    seen[:, -3:] = looks[:, -3:]
    shown = seen @ gains
    if not shown.any():
        raise MappingError("The mapping of the FLAME mesh drives none of its expression keys. Remove it and try again.")
    strengths = bounded(
        shown.T @ shown, wanted @ (seen.T @ shown), actions.index("jawOpen"), actions.index("mouthClose")
    )
    values = np.zeros((clip.frames, len(ARKIT_CHANNELS) + len(HEAD_CHANNELS)))
    values[:, [ARKIT_CHANNELS.index(action) for action in actions]] = strengths
    return replace(clip, values=values.astype(np.float32), channels=(*ARKIT_CHANNELS, *HEAD_CHANNELS), space="arkit55")


def bounded(gram: Floats, target: Floats, jaw_open: int, mouth_close: int) -> Floats:
    """Strengths in 0..1, shape (T, C), for which ``gram`` times them comes nearest to ``target``, shape (T, C).

    Coordinate descent over all frames at once, with a price on every used action and on its change from frame to
    frame. mouthClose closes the lips over an open jaw, so it never exceeds jawOpen.
    """
    frames, count = target.shape
    size = np.diag(gram).copy()
    usual = float(np.median(size[size > 0]))
    strengths = np.zeros((frames, count))
    fitted = np.zeros((frames, count))  # gram @ strengths, kept up to date
    used = [c for c in range(count) if size[c] > 1e-9 * usual]
    for _ in range(_SWEEPS):
        largest = 0.0
        for c in used:
            own = strengths[:, c]
            padded = np.concatenate([own[:1], own, own[-1:]])
            change = SMOOTHNESS * size[c]
            pull = target[:, c] - fitted[:, c] + size[c] * own - SPARSITY * size[c]
            pull += change * (padded[:-2] + padded[2:])
            high = strengths[:, jaw_open] if c == mouth_close else 1.0
            after = np.clip(pull / (size[c] + 2 * change + _RIDGE * usual), 0.0, high)
            step = after - own
            fitted += step[:, None] * gram[c]
            strengths[:, c] = after
            largest = max(largest, float(np.abs(step).max()))
        if largest < _SETTLED:
            break
    result: Floats = np.minimum(strengths, 1.0)
    result[:, mouth_close] = np.minimum(result[:, mouth_close], result[:, jaw_open])
    return result


def _looks(fitted: Fitted) -> Floats:
    """What each expression key and a unit turn of the jaw about x, y, z does to the points, shape (3 P, K + 3)."""
    jaw = np.zeros((fitted.basis.shape[0], 3))
    if fitted.jaw is not None:
        small = 1e-4
        jaw = np.stack([fitted.jaw.displacement(turn).ravel() / small for turn in np.eye(3) * small], axis=1)
    elif fitted.jaw_key is not None:
        jaw[:, 0] = fitted.jaw_key[1].ravel() / JAW_TURNS["jawOpen"][0]
    return np.concatenate([fitted.basis, jaw], axis=1) * fitted.root
