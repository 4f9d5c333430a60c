# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging free-running takes on held-out lines: a KL above zero proves nothing, rollouts do."""
