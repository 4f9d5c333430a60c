# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.parity DIR``: one line per recorded array; exit status 1 when any is off."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from .checks import check_folder
from .folder import Folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", type=Path, help="recorded vectors of the released implementation, or of `make`")
    torch.set_num_threads(1)
    try:
        folder = Folder(parser.parse_args().folder)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = []
    for result in check_folder(folder):
        results.append(result)
        verdict = "pass" if result.passed else "FAIL"
        print(f"{result.name:72} {result.error:9.2e}  (tolerance {result.tolerance:.0e})  {verdict}", flush=True)
    failed = [r for r in results if not r.passed]
    print(f"{len(results) - len(failed)} of {len(results)} arrays agree", end="")
    print(f"; the worst is {max(failed, key=lambda r: r.error).name}" if failed else "")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
