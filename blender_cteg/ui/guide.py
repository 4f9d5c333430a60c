# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide that comes with the extension, and the way to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bpy.types import UILayout

GUIDE: Final = Path(__file__).resolve().parents[1] / "guide.html"


def link(layout: UILayout, text: str = "") -> None:
    """A button that opens the guide in the browser."""
    layout.operator("wm.url_open", text=text, icon="HELP").url = GUIDE.as_uri()
