# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a file as text."""

from __future__ import annotations

import codecs
from typing import Final

from .script import ScriptError

#: Longer than that is nobody's script: about four hundred screenplays.
MAX_BYTES: Final = 20_000_000
MAX_ROWS: Final = 1_000_000
#: Those of four bytes first: UTF-32 begins like UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: So many bytes tell what an unmarked file is.
_SAMPLE: Final = 4096


def check_size(data: bytes, name: str) -> None:
    """ScriptError for more than `MAX_BYTES`."""
    if len(data) > MAX_BYTES:
        raise ScriptError(
            f"{name} has {len(data) / 1e6:,.0f} MB, and scripts may have {MAX_BYTES / 1e6:.0f}; split it into parts."
        )


def decode(data: bytes, name: str) -> tuple[str, str]:
    """The text of a file, its lines ended by a newline each, and a sentence about how it was guessed, or "".

    UTF-8, UTF-16 and UTF-32 are known by their marks; without one it is UTF-8, UTF-16 where every second byte is
    empty, else Windows-1252, which contains Latin-1.

    Raises:
        ScriptError: it is no text, or has more than `MAX_ROWS`.
    """
    text, guess = _decoded(data, name)
    if "\0" in text:
        raise ScriptError(f"{name} is not a text; export the script as Fountain, .fdx, .srt, .vtt, .csv or .txt.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (rows := text.count("\n")) > MAX_ROWS:
        raise ScriptError(f"{name} has {rows:,} rows, and scripts may have {MAX_ROWS:,}; split it into parts.")
    return text, guess


def _decoded(data: bytes, name: str) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), ""
            except UnicodeDecodeError as error:
                text = data.decode(encoding, errors="replace")
                line = data[: error.start].decode(encoding, errors="replace").count("\n") + 1
                return text, f"Line {line} is damaged: what is no letter in it was read as \N{REPLACEMENT CHARACTER}."
    sample = data[:_SAMPLE]
    if b"\0" in sample:
        half = len(sample) // 2 or 1
        if sample[1::2].count(0) > 0.4 * half or sample[::2].count(0) > 0.4 * half:
            encoding = "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"
            return data.decode(encoding, errors="replace"), "The file has no mark; it was read as UTF-16."
        raise ScriptError(f"{name} is not a text; export the script as Fountain, .fdx, .srt, .vtt, .csv or .txt.")
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        sentence = f"Line {line} is not in UTF-8; the file was read as Windows-1252 (Latin-1). Look at its accents."
        return "".join(_windows(data)), sentence


def _windows(data: bytes) -> list[str]:
    """Windows-1252, and Latin-1 for the five bytes that it leaves empty."""
    try:
        return [data.decode("cp1252")]
    except UnicodeDecodeError:
        return [data.decode("latin-1")]
