# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of any length: their passages decoded one after the other, each from the face that the last has arrived at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction.requests import Origin
from ..engine import Engine
from ..engine.conditioning import condition_of, steps_of
from ..shared.easing import minimum_jerk
from ..shared.spaces import SPACES
from .draws import Draws, TakeSeed
from .lineage import inherited
from .passages import Passage
from .terminator import end_at_standard_face

#: Passages decoded together at most; more would only cost memory.
_BATCH: Final = 64

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Performance:
    """One take to decode.

    Attributes:
        passages: at least one, in order.
        seed: the take's own.
        line: the words it speaks (part of what the seed means).
        temperature: of all draws.
        start: the face it begins from, (C,); None for the standard face.
        fixed: keep every frame; else the standard face may end the take earlier.
        origin: the take it begins like, or stays near.
        until: so many frames of it are wanted; None for all of them.
    """

    passages: tuple[Passage, ...]
    seed: int
    line: str
    temperature: float = 1.0
    start: Floats | None = None
    fixed: bool = True
    origin: Origin = field(default_factory=Origin)
    until: int | None = None

    @property
    def wanted(self) -> tuple[Passage, ...]:
        """The passages that what is wanted lies in."""
        return tuple(passage for passage in self.passages if self.until is None or passage.start < self.until)

    def frames(self, part: int) -> int:
        """How many frames of passage ``part`` are wanted."""
        passage = self.passages[part]
        return passage.asked.frames if self.until is None else min(passage.asked.frames, self.until - passage.start)

    def draws(self, engine: Engine, part: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Random numbers of passage ``part``, as large as they are used: see `Draws.scaled`."""
        passage, config = self.passages[part], engine.config
        steps = steps_of(config, self.frames(part))

        def begun(first: Draws, then: Draws, frame: int) -> Draws:
            shared = frame - passage.start
            return first.spliced(then, min(steps_of(config, shared), steps) if shared > 0 else 0)

        made = inherited(
            self.seed, self.origin, lambda seed: Draws.of(TakeSeed(seed, self.line, part), config, steps),
            Draws.varied, begun,
        )  # fmt: skip
        return made.scaled(config, engine.perform, self.temperature)


def perform_all(
    engine: Engine, performances: list[Performance], on_step: Callable[[int, int], None] | None = None
) -> list[Floats]:
    """Decode takes; the passages that come first in all of them together, then the second ones.

    Args:
        engine: what decodes.
        performances: B takes.
        on_step: called with (steps done, steps in all); may raise, to stop.

    Returns:
        B arrays (T_i, C), as far as they are wanted, in the space's units and limits.
    """
    space = SPACES[engine.config.space]
    takes = [np.zeros((one.passages[-1].finish, space.size), np.float32) for one in performances]
    rounds = list(_rounds(performances))
    lengths = [_steps(engine, performances, rows, part) for part, rows in rounds]
    for number, (part, rows) in enumerate(rounds):

        def report(step: int, _: int, before: int = sum(lengths[:number])) -> None:
            if on_step is not None:
                on_step(before + step, sum(lengths))

        decoded = _decoded(engine, [performances[k] for k in rows], [takes[k] for k in rows], part, report)
        for k, frames in zip(rows, decoded, strict=True):
            _lay(takes[k], performances[k].passages, part, frames)
    return [
        end_at_standard_face(take, space, stop_early=not one.fixed)
        if one.until is None and one.passages[-1].asked.ending == "rest"
        else take[: one.until]
        for take, one in zip(takes, performances, strict=True)
    ]  # fmt: skip


def _rounds(performances: list[Performance]) -> Iterator[tuple[int, list[int]]]:
    """Which passage of which takes are decoded together."""
    for part in range(max(len(one.wanted) for one in performances)):
        rows = [k for k, one in enumerate(performances) if part < len(one.wanted)]
        yield from ((part, rows[first : first + _BATCH]) for first in range(0, len(rows), _BATCH))


def _steps(engine: Engine, performances: list[Performance], rows: list[int], part: int) -> int:
    return max(steps_of(engine.config, performances[k].frames(part)) for k in rows)


def _decoded(
    engine: Engine, rows: list[Performance], takes: list[Floats], part: int, on_step: Callable[[int, int], None]
) -> list[Floats]:
    """One passage of each take, (T_i, C)."""
    passages = [row.passages[part] for row in rows]
    starts = [take[p.start - 1] if part else row.start for row, take, p in zip(rows, takes, passages, strict=True)]
    emphasis = engine.perform.emphasis
    asked = [replace(p.asked.emphasised(emphasis), start=start) for p, start in zip(passages, starts, strict=True)]
    draws = [row.draws(engine, part) for row in rows]
    steps = max(len(noise) for noise, _ in draws)
    noise, gumbel = (
        np.stack([np.pad(pair[kind], ((0, steps - len(pair[kind])), (0, 0), (0, 0))) for pair in draws])
        for kind in (0, 1)
    )
    text = engine.encode([p.text for p in passages])
    told = condition_of(engine.config, (text.hidden, text.mask, text.position), asked, steps)
    decoded = engine.decode(told, noise.astype(np.float32), gumbel.astype(np.float32), on_step)
    return [frames[: p.asked.frames] for frames, p in zip(decoded, passages, strict=True)]


def _lay(take: Floats, passages: tuple[Passage, ...], part: int, frames: Floats) -> None:
    """A passage into its take: the one before becomes it along a minimum-jerk curve."""
    start, before = passages[part].start, passages[part - 1].finish if part else 0
    overlap = min(before - passages[part].start, passages[part].asked.frames) if part else 0
    if overlap > 0:
        weight = minimum_jerk((np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1))[: len(frames), None]
        frames, here = frames.copy(), len(weight)
        frames[:here] = (1 - weight) * take[start : start + here] + weight * frames[:here]
    take[start : start + len(frames)] = frames
