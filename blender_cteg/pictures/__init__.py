# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of takes: small faces of the character at telling moments, drawn without its scene."""
