# SPDX-License-Identifier: GPL-3.0-or-later
"""Final Draft's .fdx: XML whose paragraphs say what they are."""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from .fountain import name_of
from .markup import clean
from .script import Reading, ScriptError, ScriptLine, joined

#: What is said, by a paragraph's type.
_SAID: Final = frozenset({"dialogue", "lyrics", "singing"})
#: Paragraphs inside these are no part of the screenplay.
_ASIDE: Final = frozenset({"ScriptNote", "TitlePage", "SceneProperties", "HeaderAndFooter", "ListItems", "Macros"})

#: Elements in one another: a screenplay has half a dozen.
_DEEPEST: Final = 100


class _Reader:
    """Follows the elements of a file; nothing is kept but the words of the paragraph that is being read."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = name, reading
        self._path: list[str] = []
        self._aside = self._count = 0
        self._types: list[str] = []
        self._texts: list[list[str]] = []
        self._numbers: list[int] = []
        self._speaker, self._words, self._number = "", list[str](), 0
        self.others: list[int] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity

    def _entity(self, *_: object) -> None:
        raise ScriptError(
            f"{self._name} declares entities of its own, which no Final Draft does; save it from there as .fdx again."
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "FinalDraft":
            raise ScriptError(f"{self._name} is XML and no Final Draft (it begins with <{tag[:40]}>); export it again.")
        self._path.append(tag)
        self._count += 1
        self._reading.afford(self._count)
        if len(self._path) > _DEEPEST:
            raise ScriptError(f"{self._name} is nested too deeply for a screenplay; save it as .fdx again.")
        self._aside += tag in _ASIDE
        if tag == "Paragraph" and not self._aside:
            self._types.append(attributes.get("Type", "").casefold())
            self._texts.append([])
            self._numbers.append(self.parser.CurrentLineNumber)

    def _text(self, text: str) -> None:
        if self._texts and not self._aside and self._path[-1] == "Text":
            self._texts[-1].append(text)

    def _end(self, tag: str) -> None:
        self._path.pop()
        if tag == "Paragraph" and not self._aside and self._types:
            kind, text, number = self._types.pop(), "".join(self._texts.pop()).strip(), self._numbers.pop()
            self._paragraph(kind, text, number)
        self._aside -= tag in _ASIDE

    def _paragraph(self, kind: str, text: str, number: int) -> None:
        if kind == "character":
            self.finish()
            self._speaker, self._number = name_of(text), number
        elif kind == "parenthetical" and self._speaker and text:
            self._words.append(text if text.startswith("(") else f"({text})")
        elif kind in _SAID:
            if text and not any(not word.startswith("(") for word in self._words):
                self._number = number
            self._words.append(text)
        else:
            self.finish()
            if text:
                self.others.append(number)

    def finish(self) -> None:
        """The speaker has said everything."""
        if said := clean(joined(filter(None, self._words))):
            self._reading.say(ScriptLine(self._number, self._speaker, said))
        elif self._speaker:
            self._reading.note(self._number, f"{self._speaker} says nothing here.")
        self._speaker, self._words = "", []


def read_final_draft(data: bytes, name: str, reading: Reading) -> None:
    """Add what a screenplay's characters say; of a file that breaks off, what stands before that.

    Raises:
        ScriptError: another kind of XML, or one with entities of its own.
    """
    reader = _Reader(name, reading)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        if not reading.lines and not reader.others:
            reason = expat.ErrorString(error.code)
            raise ScriptError(
                f"{name} is no Final Draft file (line {error.lineno}: {reason}); save it as .fdx again."
            ) from None
        reason = expat.ErrorString(error.code)
        reading.note(error.lineno, f"The XML is broken here ({reason}): what follows was not read.")
    reader.finish()
    reading.summary(reader.others, "headings, action and transitions")
