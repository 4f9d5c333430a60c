# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators, one module each.

Every module has a ``disabled_reason`` that says in a sentence why its operator cannot run; the panel, the operator's
poll message and its error report all show that sentence.
"""
