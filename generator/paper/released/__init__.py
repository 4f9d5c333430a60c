# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the checkpoint that the paper's authors released. Nothing in such a file is run."""
