# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters: which faces can be driven, what was found on one, and the mapping that brings clips to it."""
