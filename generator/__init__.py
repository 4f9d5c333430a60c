# SPDX-License-Identifier: GPL-3.0-or-later
"""CTEG: emotional facial performances from text. See docs/architecture.md."""

import sys

__version__ = "0.1.0"

#: The folders that perform, each needing those before it alone; with the modules beside them they are what ships. The
#: other folders make corpora, train and judge.
PERFORMS = (
    "shared", "direction", "speech", "engine", "model", "paper", "performing", "batch", "checkpoints", "encoders",
)  # fmt: skip

if sys.hexversion < 0x30B0000:  # said before anything that such a Python cannot read
    sys.exit(f"error: Python {sys.version.split()[0]} is too old for CTEG; choose Python 3.11 or newer.")
