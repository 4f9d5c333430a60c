# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools of the repository that are not installed with the extension."""
