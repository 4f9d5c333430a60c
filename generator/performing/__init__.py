# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines in, takes out: performers, cached decoding, continuity from passage to passage."""
