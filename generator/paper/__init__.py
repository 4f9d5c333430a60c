# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's CTEG (arXiv 2412.02508): for EmoAva, the released checkpoint, and whoever compares with them.

`config` names every quirk of the released code and its correction; `batches`, `model`, `objective` and `decoding`
follow the paper's section 3; `released` reads the released state dict. `docs/model.md` maps all of it to the paper.
"""
