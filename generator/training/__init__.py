# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: one loop for every recipe, the recipes, the run folder."""
