# SPDX-License-Identifier: GPL-3.0-or-later
"""The mapping editor: what each channel of a clip moves on the face, and changing it."""
