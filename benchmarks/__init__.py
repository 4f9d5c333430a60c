# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements, each a program that prints a table (README.md)."""
