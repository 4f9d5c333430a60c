# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME from the user's own file: a release's ``.pkl`` or ``.npz`` becomes a rigged mesh.

`read` turns a file into a `FlameModel` (numpy, no bpy); nothing in the file is executed, see `unpickle`. `build` (bpy)
turns the model into objects.
"""

from __future__ import annotations

from typing import Final

from ...sentences import Told

#: FLAME's joints, in the order of its files.
JOINTS: Final = ("root", "neck", "jaw", "left_eye", "right_eye")


class FlameFileError(Told, ValueError):
    """A FLAME file or template that cannot be used; the message is a sentence for the animator."""


class Refusal(Told):
    """Why a file or one of its fields is not what it should be; a predicate such as "names os.system, which …".

    Files, UV templates and fields have dozens of them in common, so each is told without its subject, and the
    sentences around them have a place for it.
    """


def shown(name: str, most: int = 80) -> str:
    """``name``, which a stranger chose, as it is safe to print: one line, not too long."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= most else f"{text[:most]}…"
