# SPDX-License-Identifier: GPL-3.0-or-later
"""One take asked for again and again while a hand moves (no bpy).

What is wished for is performed one after the other, and of wishes that came meanwhile only the newest. First the part
that is seen; the whole take when nothing newer is wished for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..clip import Clip
from .protocol import Failed, Performed, Progress

if TYPE_CHECKING:
    from .client import WorkerClient

Wish = Mapping[str, Any]


@dataclass
class _Asked:
    """A request under way: what was wished for, and whether what is seen of it has come already."""

    number: int
    wish: Wish
    seen: bool
    clip: Clip | None = None


class Live:
    """Asks a generator for one take, the newest wish first.

    Args:
        client: the door; nobody else asks through it meanwhile.
        more: fields of the request beside its lines.

    Attributes:
        problem: the sentence with which the generator refused, or "".
        stage: what it is doing, in its words.
    """

    def __init__(self, client: WorkerClient, more: Mapping[str, Any]) -> None:
        self._client, self._more = client, more
        self._wish: Wish | None = None
        self._seen = False  # what is wished for is the rest of what has come
        self._asked: _Asked | None = None
        self.problem, self.stage = "", ""

    @property
    def settled(self) -> bool:
        """Whether everything has arrived that was wished for."""
        return self._wish is None and self._asked is None

    def wish(self, line: Wish) -> None:
        """Wish for a LINE of the protocol with one take; its ``until`` is what is seen. What was wished before goes."""
        self._wish, self._seen = line, False
        if self._asked is not None and self._asked.seen:  # nobody waits for the rest of what is old
            self._client.cancel(self._asked.number)
            self._asked = None

    def poll(self, timeout: float = 0.0) -> tuple[Clip, bool] | None:
        """The newest clip that has arrived since the last call, and whether it is whole; waits for news."""
        arrived = None
        for event in self._client.poll(timeout if self._asked is not None else 0.0):
            asked = self._asked
            if asked is None or event.id != asked.number:
                continue  # late news of something that is over
            if isinstance(event, Progress):
                self.stage = event.stage
            elif isinstance(event, Performed):
                asked.clip = event.clip
            else:
                self._asked = None
                if isinstance(event, Failed):
                    self.problem, self._wish = event.message, None
                elif asked.clip is not None:
                    whole = asked.wish.get("until") is None
                    arrived = asked.clip, whole
                    if not whole and self._wish is None:
                        self._wish, self._seen = {**asked.wish, "until": None}, True
        if self._asked is None and self._wish is not None:
            wish, self._wish = self._wish, None
            number = self._client.submit({"op": "generate", "lines": [wish], **self._more})
            self._asked = _Asked(number, wish, self._seen)
        return arrived

    def stop(self) -> None:
        """Wish for nothing any more."""
        self._wish = None
        if self._asked is not None:
            self._client.cancel(self._asked.number)
            self._asked = None
