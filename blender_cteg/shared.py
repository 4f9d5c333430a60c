# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to ``generator/shared``: spaces, timelines, how a performance and its speech become a face (no ``bpy``).

The only module of Blender's side that imports from the generator's folder; what lies there is numpy and the standard
library, no torch. The worker is imported where Blender may not start it as a process, and not before.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from generator.shared import easing, scripts, spaces, timeline
    from generator.shared.takes import Takes
    from generator.shared.terminal import Shown
    from generator.worker import Worker
else:
    try:  # installed, the generator lies inside this package, in a clone beside it
        from .generator.shared import easing, scripts, spaces, timeline
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.generator":
            raise
        from generator.shared import easing, scripts, spaces, timeline

_INSTALLED: Final = spaces.__name__.startswith(f"{__package__}.")
Timeline = timeline.Timeline
TimelineError = timeline.TimelineError
#: See `generator.shared.scripts`.
Script, ScriptError, read_script = scripts.Script, scripts.ScriptError, scripts.read_script
speaker_of = scripts.speaker_of
SCRIPT_SUFFIXES: Final = scripts.SUFFIXES
#: See `generator.shared.easing`.
minimum_jerk = easing.minimum_jerk
#: What a line can be pronounced in, by ISO 639-1 code.
LANGUAGES: Final = timeline.LANGUAGES

#: Largest size of a layer, 1 natural.
MAX_SCALE: Final = spaces.MAX_SCALE
ARKIT55: Final = spaces.ARKIT55
FLAME53: Final = spaces.FLAME53
#: Spaces by name.
SPACES: Final = spaces.SPACES
#: Emphasis in a timeline: its moment in seconds and its size, 1 natural.
Accent = timeline.Accent
#: The 52 ARKit coefficients and the head's rotation, the columns of `ARKIT55`.
ARKIT_CHANNELS: Final = spaces.ARKIT_CHANNELS
HEAD_CHANNELS: Final = spaces.HEAD_CHANNELS
#: Channel -> group of the arkit55 space ("upper face", "eyes", "mouth", "jaw", "head").
ARKIT_GROUPS: Final = {ARKIT55.channels[c]: group for group, columns in ARKIT55.groups.items() for c in columns}
#: The 50 FLAME expression coefficients and the jaw's axis-angle, the columns of flame53.
FLAME_EXPRESSIONS: Final = FLAME53.channels[:50]
JAW_CHANNELS: Final = FLAME53.channels[50:]


def whole_face(
    performance: npt.NDArray[np.floating[Any]], timeline: Timeline | None, fps: float, speech_scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """See `generator.shared.composing.whole_face`."""
    return _late().composing.whole_face(performance, timeline, fps, speech_scale)


def seal_frames(timeline: Timeline, fps: float) -> npt.NDArray[np.int64]:
    """See `generator.shared.articulation.seal_frames`."""
    return _late().articulation.seal_frames(timeline, fps)


def takes_class() -> type[Takes]:
    """The takes of a line and the files they are written to."""
    return _late().takes.Takes


def shown_class() -> type[Shown]:
    """Progress for people on a terminal or in a log."""
    return _late().terminal.Shown


def worker_class() -> type[Worker]:
    """The generator's end of the door, for a thread of this process."""
    if not TYPE_CHECKING and _INSTALLED:
        from .generator.worker import Worker
    else:
        from generator.worker import Worker
    return Worker


def _late() -> SimpleNamespace:
    """Modules of `generator.shared` that enabling the extension does not need, by their names."""
    if not TYPE_CHECKING and _INSTALLED:
        from .generator.shared import articulation, composing, takes, terminal
    else:
        from generator.shared import articulation, composing, takes, terminal
    return SimpleNamespace(articulation=articulation, composing=composing, takes=takes, terminal=terminal)
