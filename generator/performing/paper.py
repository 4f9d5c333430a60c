# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's model as an animator's performer: lines in, takes in the space "flame53" out.

As released, a clip starts from the corpus mean face, its frame 0, and ends before the first frame at the standard face.
What is ours: a take then eases out to exactly the standard face (`terminator.end_at_standard_face`, without the cut),
so that the face comes to rest. `decoding.decode` gives the frames without that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..direction.requests import MIN_SECONDS, LineRequest
from ..direction.script import Part, spoken
from ..errors import CheckpointError, InputError
from ..paper.checkpoint import PaperCheckpoint
from ..paper.config import PaperConfig
from ..paper.decoding import Stepper, decode, draw_noise
from ..paper.projections import Precision
from ..shared.spaces import FLAME53
from .draws import STREAM_LATENT
from .lineage import ancestor, inherited
from .performer import Performed, Performer, Take
from .terminator import end_at_standard_face

#: Columns of the space: expression coefficients and jaw rotations.
_EXPRESSION, _JAW = (len(FLAME53.groups[group]) for group in ("expression", "jaw"))
#: Emotion of a clip whose checkpoint cannot be told one: the line decides.
_FROM_THE_LINE: Final = "auto"


class PaperPerformer(Performer):
    """The paper's CTEG, decoded as `Stepper` does.

    Its only input is the line: an emotion or an intensity that is asked for is ignored, with a warning. Temperature
    scales every draw. A length that is asked for is met exactly, otherwise the model ends each take itself.
    """

    def __init__(self, checkpoint: PaperCheckpoint, precision: Precision = "fp32") -> None:
        """Prepare ``checkpoint`` for decoding, with weights in ``precision``.

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
        self._stepper = Stepper(checkpoint.model, precision)
        #: Most frames of a take: the start marker fills the first of the T = N - 1 positions seen in training, and
        #: each position gives one frame (position 0's is the mean face). So the released decoding counts too.
        self._limit = config.max_positions - 1

    def _scripts(self, requests: list[LineRequest]) -> list[tuple[Part, ...]]:
        for request in requests:
            if request.seconds is not None and round(request.seconds * self.space.fps) > self._limit:
                raise InputError(
                    f"The checkpoint {self.name} performs at most {self._limit / self.space.fps:.1f} seconds, and "
                    f"{request.seconds:g} were asked for; ask for less, or split the line."
                )
        return [(Part(spoken(r.text), _FROM_THE_LINE, r.intensity, source="words"),) for r in requests]

    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[Performed]:
        # A take that branches off or varies another one is as long as that one, so that is decoded first.
        references = {key: given for take in takes if (key := _reference(take)) and (given := _as_reference(take))}
        share = len(references) / (len(references) + len(takes))

        def on_reference(done: int, steps: int) -> None:
            on_step(round(1000 * share * done / steps), 1000)

        def on_take(done: int, steps: int) -> None:
            on_step(round(1000 * (share + (1 - share) * done / steps)), 1000)

        first = self._decode_all(list(references.values()), {}, on_reference) if references else []
        known = dict(zip(references, map(len, first), strict=True))
        lengths = {k: known[key] for k, take in enumerate(takes) if (key := _reference(take))}
        frames = self._decode_all(takes, lengths, on_take)
        return [Performed(values, take.parts) for values, take in zip(frames, takes, strict=True)]

    def _decode_all(
        self, takes: list[Take], lengths: dict[int, int], on_step: Callable[[int, int], None]
    ) -> list[npt.NDArray[np.float32]]:
        """Frames of each take; ``lengths`` are those that are known, by index."""
        asked = [
            lengths.get(k, None if t.request.seconds is None else round(t.request.seconds * self.space.fps))
            for k, t in enumerate(takes)
        ]
        done = 0
        frames: dict[int, npt.NDArray[np.float32]] = {}
        for free in (True, False):  # takes that end themselves, and those of a given length
            rows = [k for k, n in enumerate(asked) if (n is None) is free]
            if not rows:
                continue

            def on_frame(frame: int, count: int, share: int = len(rows), before: int = done) -> None:
                # In thousandths of the batch, since the groups differ in frames.
                on_step(round(1000 * (before + share * frame / count)), 1000 * len(takes))

            counts = [asked[k] or self._limit for k in rows]
            decoded = self._decode_group([takes[k] for k in rows], counts, on_frame, stop=free)
            frames.update(zip(rows, decoded, strict=True))
            done += len(rows)
        return [frames[k] for k in range(len(takes))]

    @torch.inference_mode()
    def _decode_group(
        self, takes: list[Take], asked: list[int], on_frame: Callable[[int, int], None], *, stop: bool
    ) -> list[npt.NDArray[np.float32]]:
        device = self.checkpoint.encoder.device
        features = self.checkpoint.encoder.encode([t.words for t in takes])
        noise = torch.stack([_noise(self._stepper.config, t, max(asked)) for t in takes])
        heat = torch.tensor([t.request.temperature for t in takes])[:, None, None, None, None]
        draws = (noise * heat).to(device)
        mean = self.checkpoint.mean
        decoded = decode(self._stepper, features.hidden, features.mask, mean, draws, on_frame, stop=stop)
        whole, lengths = _on_cpu(decoded.frames), decoded.lengths.tolist()
        return [
            end_at_standard_face(whole[row, : min(length, wanted)], self.space, stop_early=False)
            for row, (length, wanted) in enumerate(zip(lengths, asked, strict=True))
        ]

    def _warnings(self, request: LineRequest, performed: list[Performed]) -> tuple[str, ...]:
        warnings = list(super()._warnings(request, performed))
        frames = [take.frames for take in performed]
        words = performed[0].parts[0].text
        if request.emotion != _FROM_THE_LINE:
            warnings.append(f"{self.name} takes the emotion from the words alone; {request.emotion!r} was ignored.")
        if request.intensity != 1.0:
            warnings.append(f"{self.name} cannot be told an intensity; {request.intensity:g} was ignored.")
        if request.emotion_to is not None:
            warnings.append(f"{self.name} cannot move to another emotion; {request.emotion_to!r} was ignored.")
        if request.emotion_with is not None:
            warnings.append(f"{self.name} cannot mix emotions; {request.emotion_with!r} was ignored.")
        if request.energy != 1.0:
            warnings.append(f"{self.name} cannot be told an energy; {request.energy:g} was ignored.")
        if not request.speaking:
            warnings.append(f"{self.name} speaks every line; silence was ignored.")
        if request.ending != "rest":
            warnings.append(f"{self.name} always ends at rest; {request.ending!r} was ignored.")
        if request.begin is not None:
            warnings.append(f"{self.name} always begins at rest; the face to begin from was ignored.")
        if request.rate != 1.0 and request.seconds is None:
            warnings.append(f"{self.name} cannot be told a speaking rate; {request.rate:g} was ignored.")
        if words != request.text:
            warnings.append(f"{self.name} takes no directions; what stands in brackets was neither obeyed nor spoken.")
        if self.checkpoint.encoder.is_cut(words):
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


def _reference(take: Take) -> tuple[int, int] | None:
    """Line and seed of the take that decides how long ``take`` is, if it is another one."""
    seed = ancestor(take.request.origin)
    return None if seed is None or take.request.seconds is not None else (take.line, seed)


def _as_reference(take: Take) -> Take | None:
    key = _reference(take)
    return key and replace(take, seed=key[1], request=replace(take.request, branch=None, vary=None))


def _noise(config: PaperConfig, take: Take, count: int) -> Tensor:
    """Draws of a take, (count, L, 2, D): its own, or near those of another one, or another one's at first."""

    def of(seed: int) -> Tensor:
        return draw_noise(config, [replace(take, seed=seed).source.rng(STREAM_LATENT)], count)[0]

    def near(first: Tensor, then: Tensor, amount: float) -> Tensor:
        return math.sqrt(1 - amount**2) * first + amount * then

    def begun(first: Tensor, then: Tensor, frame: int) -> Tensor:
        return torch.cat([first[:frame], then[frame:]])

    return inherited(take.seed, take.request.origin, of, near, begun)


def _on_cpu(frames: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = frames.float().cpu().numpy()
    return array


def _takes(count: int) -> str:
    return "One take" if count == 1 else f"{count} takes"
