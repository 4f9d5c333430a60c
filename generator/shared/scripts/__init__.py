# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts: who says what and when, read from screenplays, subtitles, tables and plain text.

`read_script` takes the bytes of a file and its name, whose suffix (`SUFFIXES`) says what it is; a ``.txt`` is looked
into. What cannot be read becomes a `Note` with the number of its line; a file that is none of it a `ScriptError`.
The readers are imported when a script is read: enabling the extension needs none of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .script import Note, Reading, Script, ScriptError, ScriptLine, Unaffordable

__all__ = ["SUFFIXES", "Note", "Script", "ScriptError", "ScriptLine", "clean", "read_script", "speaker_of"]

#: What can be read, and what each is called in `Script.format`.
_FORMATS: Final = {
    ".fountain": "fountain", ".spmd": "fountain", ".fdx": "fdx", ".srt": "srt", ".vtt": "vtt", ".csv": "csv",
    ".tsv": "tsv", ".txt": "text",
}  # fmt: skip
SUFFIXES: Final = tuple(_FORMATS)


def clean(text: str) -> str:
    """See `generator.shared.scripts.markup.clean`."""
    from .markup import clean as cleaned

    return cleaned(text)


def speaker_of(text: str, names: Collection[str] | None = None) -> tuple[str, str]:
    """See `generator.shared.scripts.markup.speaker_of`."""
    from .markup import speaker_of as found

    return found(text, names)


def read_script(data: bytes, name: str, words: Collection[str] = ()) -> Script:
    """The lines of a script.

    Args:
        data: the file.
        name: its name, for its suffix and for what is said about it.
        words: what stands before a colon and is said, though it is written as a name: "Coffee" of "Coffee: Black.".

    Raises:
        ScriptError: a suffix not in `SUFFIXES`; more than `decoding.MAX_BYTES`; not what the suffix says.
    """
    from .decoding import check_size, decode

    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    if suffix not in _FORMATS:
        raise ScriptError(f"{name} is no script that can be read; choose a {', '.join(SUFFIXES[:-1])} or .txt file.")
    check_size(data, name)
    reading, form = Reading(words), _FORMATS[suffix]
    try:
        text, guess = ("", "") if form == "fdx" else decode(data, name)  # XML says itself how it is encoded
        if guess:
            reading.note(1, guess)
        if form == "text":
            form = _look_into(text)
        match form:
            case "fountain":
                from .fountain import read_fountain

                read_fountain(text, reading)
            case "fdx":
                from .final_draft import read_final_draft

                read_final_draft(data, name, reading)
            case "srt" | "vtt":
                from .subtitles import read_subtitles

                read_subtitles(text, name, reading)
            case "csv" | "tsv":
                from .table import read_table

                read_table(text, name, form == "tsv", reading)
            case _:
                from .plain import read_plain

                read_plain(text, reading)
    except ScriptError:
        raise
    except Unaffordable as error:
        raise ScriptError(f"{name} is no script that can be performed ({error}); split it into parts.") from None
    except Exception as error:  # whatever a hostile file provokes is a sentence
        raise ScriptError(
            f"{name} cannot be read as {form} ({type(error).__name__}: {error}); check it in the program that wrote it."
        ) from error
    if not reading.lines:
        reading.note(1, "No line of dialogue was found.")
    if reading.unkept:
        reading.notes.append(Note(reading.notes[-1].number, f"{reading.unkept:,} more of such places follow."))
    return Script(form, tuple(reading.lines), tuple(sorted(reading.notes, key=lambda note: note.number)))


def _look_into(text: str) -> str:
    """What a text of unknown form is."""
    from .fountain import looks_like_fountain
    from .subtitles import looks_like_subtitles

    if text.lstrip().startswith(("<?xml", "<FinalDraft")):
        return "fdx"
    if looks_like_subtitles(text):
        return "vtt" if text.lstrip().startswith("WEBVTT") else "srt"
    return "fountain" if looks_like_fountain(text) else "text"
