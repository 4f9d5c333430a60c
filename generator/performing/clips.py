# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips: the takes of a line that a performer has made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..reading import CLIPS, Unreadable, from_json, reading
from ..shared.spaces import SPACES
from ..shared.takes import SCHEMA, Takes
from ..shared.timeline import Timeline
from ..writing import write_whole


@dataclass(frozen=True)
class Clips(Takes):
    """N takes of one line: see `Takes`."""

    def write(self, path: Path) -> list[Path]:
        """Write the `files` of ``path``; returns their paths. A file appears whole or not at all.

        Raises:
            InputError: unknown suffix, or the space has no such layout.
            OSError: the folder cannot be written.
        """
        try:
            files = self.files(path)
        except ValueError as error:
            raise InputError(str(error)) from None
        return [write_whole(file, data) for file, data in files]

    @classmethod
    def read(cls, path: Path) -> Clips:
        """What `write` has made of ``path``, a .npz.

        One of an older version becomes one of today's; of a newer one everything is read that is known here, and a
        warning says so.

        Raises:
            InputError: there is no such file, it is another kind of file, or damaged.
        """
        with reading(path, CLIPS, lambda why: InputError(f"{path} holds no takes that can be read ({why}).")) as file:
            found = file.arrays()
            # The first files had neither a version nor layers.
            version, space = int(found.get("schema_version", np.array(0))), SPACES[str(found["space"])]
            values = np.asarray(found.get("performance", found["values"]), np.float32)
            lengths, seeds = (found[name].astype(np.int64) for name in ("lengths", "seeds"))
            takes, frames, channels = values.shape
            if channels != space.size or lengths.shape != seeds.shape or lengths.shape != (takes,) or not takes:
                raise Unreadable("its arrays do not fit together")
            if lengths.min() < 1 or lengths.max() > frames or not np.isfinite(values).all():
                raise Unreadable("its numbers are no takes")
            spoken = [from_json(str(one)) for one in found.get("timelines", ["null"] * takes)]
            segments = from_json(str(found["segments"])) if "segments" in found else []
            return cls(
                values, lengths, seeds, space, str(found["text"]), str(found["emotion"]),
                dict(from_json(str(found["settings"]))) if "settings" in found else {},
                (f"{path.name} is of a newer version ({version}); what this one does not know was left out.",)
                if version > SCHEMA
                else (),
                tuple(tuple(map(dict, take)) for take in segments),
                tuple(one and Timeline.from_json(one) for one in spoken),
                float(found.get("speech_scale", np.array(1.0))),
            )  # fmt: skip
