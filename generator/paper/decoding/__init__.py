# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding with the paper's model, as released and fast: `decode` clips, by a `stepper` that computes one position.

What a step reads are weights in `projections` and a `state`; steps can be recorded (`replay`) or `compiled`, once for
all inputs of one form (`forms`).
"""
