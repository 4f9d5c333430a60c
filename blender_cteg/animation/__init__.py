# SPDX-License-Identifier: GPL-3.0-or-later
"""Animation: a clip becomes a take, a slotted action the animator can edit."""
