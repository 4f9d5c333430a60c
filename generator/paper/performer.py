# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's model as an animator's performer: lines in, takes in the space "flame53" out.

As released, a clip starts from the corpus mean face, its frame 0, and ends before the first frame at the standard face.
What is ours: a take then eases out to exactly the standard face (`sampling.end_at_standard_face`, without the cut that
the default model needs), so that the face comes to rest. `decoding.decode` gives the frames without that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import CheckpointError, InputError
from ..performer import Performer, Take
from ..requests import MIN_SECONDS, LineRequest
from ..sampling import STREAM_LATENT, end_at_standard_face
from ..spaces import FLAME53
from .checkpoint import PaperCheckpoint
from .config import PaperConfig
from .decoding import decode, draw_noise
from .model import PaperCTEG
from .projections import Precision
from .stepper import Stepper

#: Columns of the space: expression coefficients and jaw rotations.
_EXPRESSION, _JAW = (len(FLAME53.groups[group]) for group in ("expression", "jaw"))
#: Emotion of a clip whose checkpoint cannot be told one: the line decides.
_FROM_THE_LINE: Final = "auto"


class PaperPerformer(Performer):
    """The paper's CTEG, set up for fast decoding (`PaperConfig.causal`).

    Its only input is the line: an emotion or an intensity that is asked for is ignored, with a warning. Temperature
    scales every draw. A length that is asked for is met exactly, otherwise the model ends each take itself.
    """

    def __init__(self, checkpoint: PaperCheckpoint, precision: Precision = "fp32") -> None:
        """Prepare ``checkpoint`` for decoding.

        Raises:
            CheckpointError: the model's channels are not those of "flame53".
            InputError: the precision is not for this device or this torch.
        """
        super().__init__(checkpoint.name, checkpoint.encoder, FLAME53)
        config = checkpoint.model.config
        if (config.expression_channels, config.jaw_channels) != (_EXPRESSION, _JAW):
            raise CheckpointError(
                f"The checkpoint {checkpoint.name} has {config.expression_channels} expression and "
                f"{config.jaw_channels} jaw channels; performing needs {_EXPRESSION} and {_JAW} ({FLAME53.name})."
            )
        self.checkpoint = checkpoint
        self._open_ended = _under(checkpoint.model, replace(config.causal(), stop_rule=True))
        self._fixed = _under(checkpoint.model, replace(config.causal(), stop_rule=False))
        self._stepper = Stepper(self._fixed, precision)
        #: Most frames of a take: the start marker fills the first of the T = N - 1 positions seen in training, and
        #: each position gives one frame (position 0's is the mean face). So the released decoding counts too.
        self._limit = config.max_positions - 1

    def _emotions(self, requests: list[LineRequest]) -> list[str]:
        for request in requests:
            if request.seconds is not None and round(request.seconds * self.space.fps) > self._limit:
                raise InputError(
                    f"The checkpoint {self.name} performs at most {self._limit / self.space.fps:.1f} seconds, and "
                    f"{request.seconds:g} were asked for; ask for less, or split the line."
                )
        return [_FROM_THE_LINE] * len(requests)

    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[npt.NDArray[np.float32]]:
        # Takes of a given length and takes that end themselves need other stop rules, so they are two batches.
        groups = [[k for k, t in enumerate(takes) if (t.request.seconds is None) is free] for free in (True, False)]
        done = 0
        frames: dict[int, npt.NDArray[np.float32]] = {}
        for model, rows in zip((self._open_ended, self._fixed), groups, strict=True):
            if not rows:
                continue

            def on_frame(frame: int, count: int, share: int = len(rows), before: int = done) -> None:
                # In thousandths of the batch, since the groups differ in frames.
                on_step(round(1000 * (before + share * frame / count)), 1000 * len(takes))

            decoded = self._decode_group(model, [takes[k] for k in rows], on_frame)
            frames.update(zip(rows, decoded, strict=True))
            done += len(rows)
        return [frames[k] for k in range(len(takes))]

    @torch.inference_mode()
    def _decode_group(
        self, model: PaperCTEG, takes: list[Take], on_frame: Callable[[int, int], None]
    ) -> list[npt.NDArray[np.float32]]:
        device, fps = self.encoder.device, self.space.fps
        features = self.encoder.encode([t.request.text for t in takes])
        asked = [self._limit if t.request.seconds is None else round(t.request.seconds * fps) for t in takes]
        noise = draw_noise(model.config, [t.source.rng(STREAM_LATENT) for t in takes], max(asked))
        heat = torch.tensor([t.request.temperature for t in takes])[:, None, None, None, None]
        draws = (noise * heat).to(device)
        mean = self.checkpoint.mean
        decoded = decode(model, features.hidden, features.mask, mean, draws, on_frame, self._stepper)
        whole, lengths = _on_cpu(decoded.frames), decoded.lengths.tolist()
        return [
            end_at_standard_face(whole[row, : min(length, wanted)], self.space, stop_early=False)
            for row, (length, wanted) in enumerate(zip(lengths, asked, strict=True))
        ]

    def _warnings(self, request: LineRequest, frames: list[npt.NDArray[np.float32]]) -> tuple[str, ...]:
        warnings = list(request.warnings)
        if request.emotion != _FROM_THE_LINE:
            warnings.append(f"{self.name} takes the emotion from the words alone; {request.emotion!r} was ignored.")
        if request.intensity != 1.0:
            warnings.append(f"{self.name} cannot be told an intensity; {request.intensity:g} was ignored.")
        if self.encoder.is_cut(request.text):
            room = self.checkpoint.model.config.max_text
            warnings.append(f"The line has more than {room} tokens; {self.name} did not read the rest.")
        if request.seconds is None:
            short = sum(len(take) < MIN_SECONDS * self.space.fps for take in frames)
            cut = sum(len(take) == self._limit for take in frames)
            if short:
                warnings.append(f"{_takes(short)} ended within {MIN_SECONDS:g} s; ask for a length in seconds.")
            if cut:
                warnings.append(
                    f"{_takes(cut)} did not end within {self._limit / self.space.fps:.1f} s, the most {self.name} can "
                    "perform; ask for a length in seconds."
                )
        return tuple(warnings)


def _under(model: PaperCTEG, config: PaperConfig) -> PaperCTEG:
    """The same weights under another config."""
    twin = copy.copy(model)
    twin.config = config
    return twin


def _on_cpu(frames: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = frames.float().cpu().numpy()
    return array


def _takes(count: int) -> str:
    return "One take" if count == 1 else f"{count} takes"
