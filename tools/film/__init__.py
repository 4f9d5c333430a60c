# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration behind `build.py demo`: a line becomes takes, a film and a contact sheet.

It drives the extension the way a user's script does, through its operators. Not part of the extension zip.
"""
