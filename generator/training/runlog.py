# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a run: metrics.jsonl, one JSON object per line, and the same scalars for TensorBoard beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from accelerate import Accelerator

from ..writing import write_whole

#: Name of the metrics log in a run folder.
LOG: Final = "metrics.jsonl"
#: Folder of TensorBoard's event files in a run folder.
TENSORBOARD: Final = "tensorboard"
#: Kind of the record of `Recipe.finish`; it is measured again whenever a run ends.
FINISH: Final = "finish"


class RunLog:
    """Appends records; nothing of it happens but in the main process.

    Args:
        run: the run folder.
        step: the run goes on from here: what was logged after it, before an interruption, is taken out.
        accelerator: made with ``log_with="tensorboard"`` and the run as its project folder.
    """

    def __init__(self, run: Path, step: int, accelerator: Accelerator) -> None:
        self._path, self._accelerator = run / LOG, accelerator
        if not accelerator.is_main_process:
            return
        cut_back(self._path, step)
        # TensorBoard's readers drop what an earlier file has from this step on.
        accelerator.init_trackers(TENSORBOARD, init_kwargs={"tensorboard": {"purge_step": step + 1}})

    def write(self, kind: str, step: int, terms: dict[str, float], **more: float) -> None:
        """Log ``terms`` of ``kind`` ("train", "dev", …); ``more`` is for TensorBoard only."""
        if not self._accelerator.is_main_process:
            return
        record: dict[str, Any] = {"kind": kind, "step": step, **{k: round(v, 5) for k, v in terms.items()}}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._accelerator.log({f"{kind}/{name}": value for name, value in (terms | more).items()}, step=step)

    def close(self) -> None:
        """Close TensorBoard's file."""
        for tracker in self._accelerator.trackers:
            tracker.finish()


def cut_back(path: Path, step: int) -> None:
    """Keep the records of a metrics log up to ``step``; a line that a kill left half-written goes too."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            if record["step"] <= step and record["kind"] != FINISH:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    write_whole(path, "".join(kept).encode())
