# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: which faces can be driven, and how a clip's channels reach their shape keys and bones."""
