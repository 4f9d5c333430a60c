# SPDX-License-Identifier: GPL-3.0-or-later
"""A corpus in as many channels as the paper's model has, so that it can be trained and looked into without EmoAva.

Fifty "expression" channels are an orthonormal picture of what an arkit55 face does beside its jaw, three are the jaw's.
Nothing of FLAME is in them: what is learned from them says how the paper's model behaves, not how faces of FLAME look.
The face at rest stays zero, which is what ends a clip of the paper's model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..corpus.datasets import Performances
from ..evaluation.lines import spread
from ..shared.spaces import ARKIT55, FLAME53

Floats = npt.NDArray[np.float32]
#: Clips that the directions are found in.
_CLIPS: Final = 600
#: Radians of the jaw at full opening, forwards and aside: about what FLAME's jaw turns.
_JAW: Final = {"jawOpen": (0, 0.45), "jawForward": (0, -0.1), "jawLeft": (1, 0.2), "jawRight": (1, -0.2)}


@dataclass(frozen=True, eq=False)
class Projection:
    """arkit55 to 53 channels and back.

    Attributes:
        basis: (51, 50), orthonormal columns: of channels beside the jaw.
        scale: by which expression channels are multiplied, so that their rms is 1.
    """

    basis: Floats
    scale: float

    @classmethod
    def of(cls, train: Performances) -> Projection:
        """The directions in which faces of ``train`` are farthest from rest; all but the least of 51."""
        frames = np.concatenate([train.frames(i)[:, _OTHERS] for i in spread(len(train), _CLIPS)])
        _, _, directions = np.linalg.svd(frames.T @ frames.astype(np.float64))
        count = len(FLAME53.groups["expression"])
        basis = directions[:count].T.astype(np.float32)
        return cls(basis, float(1 / (frames @ basis).std()))

    def forward(self, frames: Floats) -> Floats:
        """(T, 55) -> (T, 53)."""
        return np.concatenate([self.scale * frames[:, _OTHERS] @ self.basis, frames @ _TO_JAW], 1).astype(np.float32)

    def back(self, frames: Floats) -> Floats:
        """(T, 53) -> (T, 55), as near as 53 channels tell; within the limits of arkit55."""
        count = self.basis.shape[1]
        face = np.zeros((len(frames), ARKIT55.size), np.float32)
        face[:, _OTHERS] = frames[:, :count] @ self.basis.T / self.scale
        face += np.maximum(frames[:, count:] @ np.linalg.pinv(_TO_JAW), 0)
        return np.clip(face, ARKIT55.lower, ARKIT55.upper)


def _to_jaw() -> Floats:
    matrix = np.zeros((ARKIT55.size, len(FLAME53.groups["jaw"])), np.float32)
    for name, (column, radians) in _JAW.items():
        matrix[ARKIT55.column(name), column] = radians
    return matrix


_OTHERS: Final = [i for i, name in enumerate(ARKIT55.channels) if not name.startswith("jaw")]
_TO_JAW: Final = _to_jaw()
