# SPDX-License-Identifier: GPL-3.0-or-later
"""Which emotion a captured line shows, where the table does not say."""

from __future__ import annotations

from ..errors import GeneratorError
from .transcripts import Transcript


def emotions_of(transcripts: list[Transcript]) -> tuple[list[str], list[str]]:
    """An emotion's name for every row, and sentences about those that had to be guessed.

    A row without an emotion gets the one that the bundled checkpoint reads from its words, which is also what
    ``say --emotion auto`` would ask for; "neutral" where that checkpoint or its text encoder is not there.
    """
    open_rows = [t for t in transcripts if t.emotion is None]
    if not open_rows:
        return [t.emotion or "" for t in transcripts], []
    count = f"{len(open_rows)} rows have" if len(open_rows) > 1 else "One row has"
    try:
        guesses = _read_from_words([t.text for t in open_rows])
        sentence = f"{count} no emotion; it was guessed from the words. Write what the actor shows for a better fit."
    except GeneratorError as error:
        guesses = ["neutral"] * len(open_rows)
        sentence = f"{count} no emotion and it cannot be guessed, so neutral is taken ({error})"
    found = dict(zip((t.row for t in open_rows), guesses, strict=True))
    return [t.emotion or found[t.row] for t in transcripts], [sentence]


def _read_from_words(lines: list[str]) -> list[str]:
    from ..direction.emotions import EMOTIONS
    from ..performing.load import load_engine

    engine, _ = load_engine()
    guesses: list[str] = []
    for start in range(0, len(lines), 128):  # a table may be long, and a batch is padded to its longest line
        guesses += [EMOTIONS[int(k)] for k in engine.emotions(lines[start : start + 128]).argmax(-1)]
    return guesses
