# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model and the text encoders it reads lines with, in torch: trained here, and run where asked for."""
