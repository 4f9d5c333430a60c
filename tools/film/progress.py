# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo tells its terminal: steps, progress bars, and nothing of Blender's chatter (no `bpy`)."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done and, at the end, how long it took."""
    start = time.monotonic()
    print(f"==> {title}", flush=True)
    yield
    print(f"    done in {time.monotonic() - start:.1f} s", flush=True)


@contextlib.contextmanager
def bar(total: int, unit: str) -> Iterator[Callable[[], object]]:
    """A progress bar that shows while `quiet` holds everything else back; yields what advances it by one.

    Where the output goes to a file, a line every twenty seconds instead of a moving bar.
    """
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as terminal:
        moving = terminal.isatty()
        with (
            tqdm(
                total=total, unit=f" {unit}", file=terminal, ascii=not moving, mininterval=0.2 if moving else 20.0
            ) as shown,
            quiet(),
        ):
            yield shown.update


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what this process and its libraries print; when something fails, the end of it is shown."""
    with tempfile.TemporaryFile() as held:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(held.fileno(), 1)
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in enumerate(saved, start=1):
                os.dup2(original, number)
                os.close(original)
            if failed:
                held.seek(max(0, held.tell() - 4000))
                sys.stderr.write(held.read().decode("utf-8", "replace"))
