# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME from the user's own file: a release's ``.pkl`` or ``.npz`` becomes a rigged mesh.

`read` turns a file into a `FlameModel` (numpy, no bpy); nothing in the file is executed, see `unpickle`. `build` (bpy)
turns the model into objects.
"""

from __future__ import annotations


class FlameFileError(ValueError):
    """A FLAME file or template that cannot be used; the message is a sentence for the animator."""


class Refusal(Exception):
    """Why a file or one of its fields is not what it should be; a clause such as "names os.system, which …"."""


def shown(name: str, most: int = 80) -> str:
    """``name``, which a stranger chose, as it is safe to print: one line, not too long."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= most else f"{text[:most]}…"
