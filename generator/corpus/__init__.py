# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus: emotion-labelled lines, acted by a procedural teacher, written as arrays that can be memory-mapped."""
