# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are read: one budget of bytes and seconds, held against what is there, and one boundary for every failure.

Files come from strangers. A size that a file claims is believed only after it was held against the budget, and whatever
a parser raises leaves as the reader's own sentence. What is read into arrays can take a small multiple of the budget's
bytes of memory, JSON about thirty times as many.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import stat
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import GeneratorError, MemoryProblem, ran_out_of_memory

_T = TypeVar("_T")

#: Longest integer that anything of ours has.
_DIGITS: Final = 18
#: Items between two looks at the clock.
_STRIDE: Final = 256


@dataclass(frozen=True)
class Budget:
    """What reading one file may take.

    Attributes:
        bytes: of the file, and of what it unfolds to.
        seconds: of this thread's work: a busy machine or a slow disk is not the file's fault.
    """

    bytes: int
    seconds: float = 10.0


#: A ``config.json``, ``captures.json`` and the like: a few kilobytes.
SETTINGS: Final = Budget(1_000_000)
#: A timeline of the most words and sounds that there may be has half a megabyte.
TIMELINE: Final = Budget(2_500_000)
#: A table of texts, the vocabulary of an encoder: a million lines.
TABLE: Final = Budget(100_000_000)
#: The takes of a line: 64 of a minute have 40 MB.
CLIPS: Final = Budget(200_000_000)
#: A script, whose readers have a budget of seconds of their own (`shared.scripts`).
SCRIPT: Final = Budget(20_000_000)
#: A recording: half an hour at 60 frames a second.
RECORDING: Final = Budget(80_000_000)
#: Weights. The largest that are read are a BERT and a decoder in fp32.
WEIGHTS: Final = Budget(4_000_000_000, 600.0)
#: What the generator itself has kept on disk, to be used again.
KEPT: Final = Budget(4_000_000_000, 600.0)


class Unreadable(ValueError):
    """What is wrong with a file; the message is the end of a sentence, such as "it has 12 MB of at most 1 MB"."""


@contextlib.contextmanager
def refusing(refuse: Callable[[str], Exception]) -> Iterator[None]:
    """Whatever goes wrong inside becomes what ``refuse`` makes of the reason: a sentence with the file's name.

    The generator's own sentences pass, and so does a package that is missing. Of a lack of memory no file is guilty.

    Args:
        refuse: makes the sentence from the end of one, such as "it is nested too deeply".
    """
    try:
        yield
    except (GeneratorError, ImportError):
        raise
    except Exception as error:
        if ran_out_of_memory(error):
            raise MemoryProblem("There is not enough memory; close other programs and try again.") from error
        raise refuse(why(error)) from error


@contextlib.contextmanager
def reading(path: Path, budget: Budget, refuse: Callable[[str], Exception]) -> Iterator[Reading]:
    """Read ``path`` within ``budget``; see `refusing`."""
    with refusing(refuse):
        yield Reading(path, budget)


class Reading:
    """One file within its budget. Every method raises what it likes: `refusing` tells it."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path, self.budget = path, budget
        self._until = time.thread_time() + budget.seconds

    def data(self) -> bytes:
        """All of it."""
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device never ends
            raise Unreadable("it is not a file")
        self._afford(status.st_size)
        with self.path.open("rb") as file:
            data = file.read(status.st_size + 1)  # not more than was there when it was looked at, and one to tell
        self._afford(len(data))
        return data

    def text(self) -> str:
        """All of it as text, with or without a byte order mark; line ends are as they are."""
        return self.data().decode("utf-8-sig")

    def json(self) -> Any:
        """Its JSON; see `from_json`."""
        return from_json(self.text())

    def array(self) -> npt.NDArray[Any]:
        """The numbers in a ``.npy`` file."""
        return self._array(io.BytesIO(self.data()))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays in a ``.npz`` file, by name; together they are within the budget, whatever their headers claim."""
        found, left = {}, self.budget.bytes
        with zipfile.ZipFile(io.BytesIO(self.data())) as archive:
            for info in archive.infolist():
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise Unreadable(f"it is packed in an unusual way ({info.filename!r:.80})")
                self._afford(self.budget.bytes - left + info.file_size)
                with archive.open(info) as member:
                    content = member.read(info.file_size + 1)  # read whole, a member may unfold beyond its claim
                left -= len(content)
                found[info.filename.removesuffix(".npy")] = self._array(io.BytesIO(content))
        return found

    def each(self, items: Iterable[_T]) -> Iterator[_T]:
        """``items``, for as long as the budget's seconds last."""
        for number, item in enumerate(items):
            if number % _STRIDE == 0:
                self.check()
            yield item

    def check(self) -> None:
        """Stop here if the budget's seconds are used up."""
        if time.thread_time() > self._until:
            raise Unreadable(f"reading it takes longer than {self.budget.seconds:g} s")

    def _afford(self, size: int) -> None:
        if size > self.budget.bytes:
            raise Unreadable(f"it has {size / 1e6:,.1f} MB, and at most {self.budget.bytes / 1e6:,.1f} MB are read")

    def _array(self, stream: io.BytesIO) -> npt.NDArray[Any]:
        # Mapped from what is there: numpy's own reader reserves what the header claims.
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise Unreadable("it is not a numpy array")
        shape, column_major, dtype = read[version](stream)  # type: ignore[no-untyped-call]
        size = math.prod(shape)
        content = stream.getbuffer()[stream.tell() :]
        if dtype.hasobject or any(n < 0 for n in shape) or size * dtype.itemsize != len(content):
            raise Unreadable("its array is not as large as it claims, or holds objects")
        values = np.frombuffer(content, dtype) if size else np.empty(0, dtype)
        return values.reshape(shape, order="F" if column_major else "C").copy()


def from_json(text: str | bytes) -> Any:
    """JSON as ours is: integers of ordinary length, no infinities and no NaN. ValueError or RecursionError."""
    return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_refuse)


def why(error: BaseException) -> str:
    """What a reader met, short and on one line, as the end of a sentence."""
    text = shorten(str(error), 200)
    match error:
        case KeyError():
            return f"it lacks {text}"
        case UnicodeError():
            return "it is not text in UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case OverflowError():
            return "it holds a number that is too large"
        case OSError():
            return error.strerror or text
    return text or type(error).__name__


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        _refuse(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _refuse(digits[:40])
    return number


def _refuse(what: str) -> NoReturn:
    raise Unreadable(f"it holds {what} where a number of ordinary size belongs")
