# SPDX-License-Identifier: GPL-3.0-or-later
"""Direction: what the text says beyond its words. Stage directions, clauses, and the emotion of each of them."""
