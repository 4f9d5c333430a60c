# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the paper's authors released: their checkpoint and the EmoAva files. Nothing in these files is run."""
