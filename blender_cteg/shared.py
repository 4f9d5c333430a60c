# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to ``generator/shared``: spaces, timelines, how a performance and its speech become a face (no ``bpy``).

The only module of Blender's side that imports from the generator's folder; what lies there is numpy and the standard
library, no torch. The worker is imported where Blender may not start it as a process, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from generator.shared import articulation, composing, spaces, timeline
    from generator.worker import Worker
else:
    try:  # installed, the generator lies inside this package, in a clone beside it
        from .generator.shared import articulation, composing, spaces, timeline
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.generator":
            raise
        from generator.shared import articulation, composing, spaces, timeline

Timeline = timeline.Timeline
TimelineError = timeline.TimelineError
#: What a line can be pronounced in, by ISO 639-1 code.
LANGUAGES: Final = timeline.LANGUAGES
seal_frames = articulation.seal_frames
whole_face = composing.whole_face

#: Largest size of a layer, 1 natural.
MAX_SCALE: Final = composing.MAX_SCALE
ARKIT55: Final = spaces.ARKIT55
FLAME53: Final = spaces.FLAME53
#: Spaces by name.
SPACES: Final = spaces.SPACES
#: The 52 ARKit coefficients and the head's rotation, the columns of `ARKIT55`.
ARKIT_CHANNELS: Final = spaces.ARKIT_CHANNELS
HEAD_CHANNELS: Final = spaces.HEAD_CHANNELS
#: Channel -> group of the arkit55 space ("upper face", "eyes", "mouth", "jaw", "head").
ARKIT_GROUPS: Final = {ARKIT55.channels[c]: group for group, columns in ARKIT55.groups.items() for c in columns}
#: The 50 FLAME expression coefficients and the jaw's axis-angle, the columns of flame53.
FLAME_EXPRESSIONS: Final = FLAME53.channels[:50]
JAW_CHANNELS: Final = FLAME53.channels[50:]


def worker_class() -> type[Worker]:
    """The generator's end of the door, for a thread of this process."""
    if not TYPE_CHECKING and spaces.__name__.startswith(f"{__package__}."):
        from .generator.worker import Worker
    else:
        from generator.worker import Worker
    return Worker
