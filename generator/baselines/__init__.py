# SPDX-License-Identifier: GPL-3.0-or-later
"""What CTEG is compared with: an LSTM regressor, and a VQ-VAE with an autoregressive transformer over its codes.

Both are trained by ``python -m generator train --model lstm|vq`` on the same data as CTEG and judged in the same table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .performer import Baseline


def load_baseline(folder: Path, device: str = "cpu") -> Baseline:
    """A trained baseline from its checkpoint folder; see `performer.load_baseline`."""
    from . import performer  # imported here: torch takes seconds

    return performer.load_baseline(folder, device)
