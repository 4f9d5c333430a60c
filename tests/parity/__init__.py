# SPDX-License-Identifier: GPL-3.0-or-later
"""Parity with the released CTEG: ``python -m tests.parity DIR`` compares our model with recorded arrays.

`folder` reads a folder of recorded vectors, `checks` compares, `make` writes a small folder of our own, computed by the
explicit formulas in `slow`.
"""
