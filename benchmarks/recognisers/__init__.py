# SPDX-License-Identifier: GPL-3.0-or-later
"""Outside judges of faces: what do recognisers that know nothing of us read, and does every channel move enough?

Optional; never used in training or to choose weights. `protocol` says what is shown to them, and was written down
before any shape was mended for it; benchmarks/README.md says how it is run and what came out.
"""
