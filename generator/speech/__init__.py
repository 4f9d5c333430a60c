# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line sounds like: how its text is said, and the phonemes of every word, with numpy and two small packages."""
