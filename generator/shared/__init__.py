# SPDX-License-Identifier: GPL-3.0-or-later
"""What both rooms import: spaces, timelines, layers of a clip. numpy and the standard library only."""
