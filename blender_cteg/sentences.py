# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences: all that the extension says by itself, in the language of the interface.

A sentence is a whole text with a named place for each of its values, which a translation may put in another order.
Labels and descriptions that Blender shows are translated by Blender.
"""

from __future__ import annotations

import sys


def translated(text: str) -> str:
    """A text in the language of the interface as it is: a word or a label of a table, for a place of a sentence."""
    # Not imported here: what needs no Blender runs where there is none, and must not load it where it is a module.
    bpy = sys.modules.get("bpy")
    return text if bpy is None else bpy.app.translations.pgettext_rpt(text)


def told(sentence: str, /, **values: object) -> str:
    """A sentence in the language of the interface, with its values; braces are doubled where there are any."""
    text = translated(sentence)
    try:
        return text.format(**values) if values else text
    except (IndexError, KeyError, ValueError):  # a translation with places that the sentence has not
        return sentence.format(**values)


def shorten(text: str, limit: int = 160) -> str:
    """``text`` on one line of at most ``limit`` characters, for quoting in a sentence."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Told(Exception):
    """Says why something cannot be done, made like `told` from a text and its values."""

    def __init__(self, sentence: str, /, **values: object) -> None:
        super().__init__(told(sentence, **values))
