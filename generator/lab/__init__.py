# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: what readers of the paper want to look into, each as a command that leaves a page (docs/lab.md)."""
