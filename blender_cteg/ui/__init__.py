# SPDX-License-Identifier: GPL-3.0-or-later
"""What is drawn: the panels of the sidebar, their lists, and the fields that only the interface has."""
