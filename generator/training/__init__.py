# SPDX-License-Identifier: GPL-3.0-or-later
"""Training CTEG on a corpus: batches, objective, loop."""
