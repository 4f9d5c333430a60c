# SPDX-License-Identifier: GPL-3.0-or-later
"""Torch on one thread: the models here are tiny, and two threads wait for each other on a busy machine."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
