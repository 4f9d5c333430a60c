# SPDX-License-Identifier: GPL-3.0-or-later
"""The text encoder in 8 bits, as the extension carries it."""
