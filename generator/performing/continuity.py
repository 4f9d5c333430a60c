# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of any length: passages that overlap, each taking over from the one before while that still holds its face.

The decoder has learned clips of up to ten seconds that rise from the standard face and sink back to it. A longer line
is decoded in passages, all at once. Where two meet, the first is left before it sinks back, the second is entered after
it has begun to rise, and over `OVERLAP_SECONDS`, in the pause between their words, one becomes the other: position and
velocity go on without a step, and the face never returns to rest.

A decoder that is told when an emotion moves on (`ModelConfig.turn_conditioning`) performs the move. For another one
the passage is decoded under both emotions with the same draws, and one becomes the other over the middle of the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..config import ModelConfig
from ..model import CTEG
from ..requests import Origin
from ..shared.articulation import columns
from ..shared.easing import minimum_jerk
from ..text import TextEncoder
from .asked import Asked, told
from .draws import Draws, TakeSeed
from .lineage import ancestor, inherited
from .sampling import decode, ease_out, first_standard_face, in_units, smooth_seams, steps_of

#: Seconds at the beginning of a later passage that are skipped: its rise from the standard face.
SKIP_SECONDS: Final = 0.125
#: Seconds over which a passage becomes the next one: the last ones of the first, its release.
OVERLAP_SECONDS: Final = 1.0
#: Columns of arkit55 in which a speaking face shows its words more than its feeling. Under a computed speech they are
#: those of a silent one, decoded with the same draws; brows, eyes, head and the corners of the mouth are those of the
#: speaker: who is silent moves less and more alike (docs/quality.md).
SAID: Final = [
    column
    for name in (
        "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthPress*",
        "mouthLowerDown*", "mouthUpperUp*", "mouthStretch*", "tongueOut",
    )
    for column in columns(name)
]  # fmt: skip
#: Passages decoded together at most; more would only cost memory.
_BATCH: Final = 64

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Passage:
    """What is decoded in one go, or twice where its emotion moves on.

    Attributes:
        text: what is said, read by the text encoder; "..." for silence.
        start: frame of the take at which it begins to take over.
        skip: frames at its beginning that are not used.
        begin, end: what is asked of it before and after it moves on.
        moved: how far it has moved from one to the other, 0..1 for every frame, those skipped included, (skip + T,).
        layered: what words do to the mouth is left out, because a layer of its own says them.
    """

    text: str
    start: int
    skip: int
    begin: Asked
    end: Asked
    moved: Floats
    layered: bool = False

    @property
    def frames(self) -> int:
        """Length of the clip the decoder is asked for."""
        return len(self.moved)

    @property
    def finish(self) -> int:
        """The frame of the take after its last one."""
        return self.start - self.skip + self.frames

    def versions(self, config: ModelConfig) -> tuple[Asked, ...]:
        """What it is decoded under: one of its ends; both and when it turns, where the decoder can be told; or each.

        A move that is longer than the passage, over several of them, is always a blend. In layers each is decoded again
        as one who is silent.
        """
        felt = self._felt(config)
        return (*felt, *(replace(asked, speaking=0.0) for asked in felt)) if self.layered else felt

    def _felt(self, config: ModelConfig) -> tuple[Asked, ...]:
        if self.moved.max() == 0:
            return (self.begin,)
        if self.moved.min() == 1:
            return (self.end,)
        if config.knows_when and self.moved[0] == 0 and self.moved[-1] == 1:
            return (replace(self.begin, end=self.end, moved=self.moved),)
        return (self.begin, self.end)

    def blended(self, decoded: list[Floats]) -> Floats:
        """One clip (skip + T, C) of its versions as they were decoded."""
        if not self.layered:
            return self._moving(decoded)
        half = len(decoded) // 2
        face = self._moving(decoded[:half]).copy()
        face[:, SAID] = self._moving(decoded[half:])[:, SAID]
        return face

    def _moving(self, decoded: list[Floats]) -> Floats:
        """One clip of what it was decoded under as it is felt."""
        if len(decoded) == 1:
            return decoded[0]
        share = self.moved[:, None]
        return (1 - share) * decoded[0] + share * decoded[1]


@dataclass(frozen=True, eq=False)
class Performance:
    """One take to decode.

    Attributes:
        passages: at least one, in order; takes of the same length share the tuple.
        seed: the take's own.
        line: the words it speaks (part of what the seed means).
        temperature: of all draws.
        fixed: keep every frame asked for; else the stop rule may end the take earlier.
        origin: the take it begins like, or stays near.
    """

    passages: tuple[Passage, ...]
    seed: int
    line: str
    temperature: float
    fixed: bool
    origin: Origin = field(default_factory=Origin)

    @property
    def reference(self) -> Performance | None:
        """The take that decides this one's length; None when it does so itself."""
        seed = ancestor(self.origin)
        return None if seed is None else replace(self, seed=seed, origin=Origin())

    def draws(self, model: CTEG, part: int, steps: int) -> Draws:
        """Random numbers of passage ``part``, ``steps`` steps."""

        def of(seed: int) -> Draws:
            return Draws.of(TakeSeed(seed, self.line, part), model.config, steps)

        def begun(first: Draws, then: Draws, frame: int) -> Draws:
            passage = self.passages[part]
            # Steps are smoothed over five frames where they meet, so two more frames are shared.
            shared = frame + 2 - passage.start
            shared = shared + passage.skip if shared > 0 else 0
            return first.spliced(then, min(steps_of(model, shared), steps))

        return inherited(self.seed, self.origin, of, Draws.varied, begun)


@torch.inference_mode()
def sample_performances(
    model: CTEG,
    encoder: TextEncoder,
    performances: list[Performance],
    on_step: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """Decode takes, all passages of all of them together.

    Args:
        model: in eval mode.
        encoder: reads the passages.
        performances: B takes.
        on_step: called with (steps done, steps in all); may raise `generator.performing.sampling.Cancelled`.

    Returns:
        B arrays (T_i, C) in the space's units and limits, each ending at the standard face.
    """
    # A take that branches off or varies another one is as long as that one, so that is decoded as well.
    references: dict[tuple[int, int], Performance] = {}
    for performance in performances:
        if (reference := performance.reference) is not None:
            references.setdefault(_identity(reference), reference)
    rows = [*performances, *references.values()]
    decoded = _decoded(model, encoder, rows, on_step)
    takes = [_assembled(parts, row.passages) for parts, row in zip(decoded, rows, strict=True)]
    if model.config.frames_per_step > 1:
        # A mouth that says nothing is as slow as the rest of the face.
        quiet = [SAID if any(passage.layered for passage in row.passages) else () for row in rows]
        takes = [smooth_seams(take, model.space, also) for take, also in zip(takes, quiet, strict=True)]
    ends = [
        len(take) if row.fixed else first_standard_face(take, model.space, len(take) - row.passages[-1].start)
        for take, row in zip(takes, rows, strict=True)
    ]
    length = dict(zip(references, ends[len(performances) :], strict=True))
    kept = [length[_identity(p.reference)] if p.reference else ends[k] for k, p in enumerate(performances)]
    return [ease_out(take[:end], model.space) for take, end in zip(takes, kept, strict=False)]


def _identity(reference: Performance) -> tuple[int, int]:
    return id(reference.passages), reference.seed


def _decoded(
    model: CTEG, encoder: TextEncoder, rows: list[Performance], on_step: Callable[[int, int], None] | None
) -> list[list[Floats]]:
    """Per take its passages as they are decoded, (T_i, C) each."""
    places = [
        _Place(k, part, version)
        for k, row in enumerate(rows)
        for part, passage in enumerate(row.passages)
        for version in range(len(passage.versions(model.config)))
    ]
    batches = [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]
    steps = [steps_of(model, max(rows[p.row].passages[p.part].frames for p in batch)) for batch in batches]
    versions: dict[tuple[int, int], list[Floats]] = {}
    done = 0
    for batch, count in zip(batches, steps, strict=True):

        def report(step: int, _: int, before: int = done) -> None:
            if on_step is not None:
                on_step(before + step, sum(steps))

        passages = [rows[p.row].passages[p.part] for p in batch]
        # Both versions of a passage draw alike, so that they nod and blink together and can be blended.
        draws = [rows[p.row].draws(model, p.part, count) for p in batch]
        heat = [rows[p.row].temperature for p in batch]
        asked = [passage.versions(model.config)[p.version] for passage, p in zip(passages, batch, strict=True)]
        lengths = torch.tensor([p.frames for p in passages], device=model.scale.device)
        condition = told(model.config, encoder.encode([p.text for p in passages]), asked, lengths, emphatic=True)
        scaled = decode(model, condition, draws, heat, report)
        for place, passage, frames in zip(batch, passages, in_units(model, scaled), strict=True):
            versions.setdefault((place.row, place.part), []).append(frames[: passage.frames])
        done += count
    return [
        [passage.blended(versions[k, part]) for part, passage in enumerate(row.passages)] for k, row in enumerate(rows)
    ]


class _Place(NamedTuple):
    """One row of a batch: which version of which passage of which take."""

    row: int
    part: int
    version: int


def _assembled(parts: list[Floats], passages: tuple[Passage, ...]) -> Floats:
    """One take (T, C) from its passages: each becomes the next one along a minimum-jerk curve."""
    take = np.zeros((passages[-1].finish, parts[0].shape[1]), np.float32)
    take[: passages[0].finish] = parts[0]
    for (before, passage), frames in zip(pairwise(passages), parts[1:], strict=True):
        new = frames[passage.skip :].copy()
        overlap = min(before.finish - passage.start, len(new))
        if overlap > 0:
            t = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
            weight = minimum_jerk(t)[:, None]
            new[:overlap] = (1 - weight) * take[passage.start : passage.start + overlap] + weight * new[:overlap]
        take[passage.start : passage.finish] = new
    return take
