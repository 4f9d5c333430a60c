# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator COMMAND``, see `COMMANDS`. Only the chosen one is imported."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import GeneratorError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a sentence on stderr when refused, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if sys.stdout is None or sys.stderr is None:  # a service of Windows, and what a shell started with 2>&-
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    chosen = COMMANDS.get(arguments[0]) if arguments else None
    if chosen is not None and not chosen.is_here:
        print(
            f"error: {arguments[0]} comes with the repository of CTEG for Blender, not with the extension.",
            file=sys.stderr,
        )
        return 1
    if chosen is not None and chosen.shares_cores:
        from .performing.devices import leave_cores_to_others

        leave_cores_to_others()
    try:
        options = _parser(chosen).parse_args(arguments)
        return int(options.run(options) or 0)
    except GeneratorError as error:
        print(f"error: {error}", file=sys.stderr)
    except ImportError as error:
        from .worker import missing_package_sentence

        print(f"error: {missing_package_sentence(error)}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'The file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
    except MemoryError:
        print("error: There is not enough memory; close other programs, or ask for less at once.", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 1


def _say() -> Any:
    from . import say

    return say


def _batch() -> Any:
    # One thread, said before NumPy is loaded: how sums are split among threads moves their last bits (docs/batch.md).
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from .batch import command

    return command


def _serve() -> Any:
    from . import worker

    return worker


def _corpus() -> Any:
    from .corpus import build

    return build


def _train() -> Any:
    from .training import command

    return command


def _refit_emotion() -> Any:
    from .training import refit_emotion

    return refit_emotion


def _refit_motion() -> Any:
    from .evaluation import refit_motion

    return refit_motion


def _evaluate() -> Any:
    from .evaluation import command

    return command


def _lab() -> Any:
    from .lab import command

    return command


def _convert() -> Any:
    from .paper.released import command

    return command


@dataclass(frozen=True)
class Command:
    """What a command does.

    Attributes:
        module: imports what has its ``add_arguments`` and ``run``.
        folder: of the generator, which it needs; an extension has only those that perform.
        purpose: for the help.
        shares_cores: whether somebody works beside it.
    """

    module: Callable[[], Any]
    folder: str
    purpose: str
    shares_cores: bool = False

    @property
    def is_here(self) -> bool:
        """Whether its code is installed."""
        return (Path(__file__).parent / self.folder).is_dir()


COMMANDS: Final = {
    "say": Command(_say, "performing", "perform a line and write the takes to a file", True),
    "batch": Command(_batch, "batch", "perform a whole script; run again to go on where it stopped"),
    "serve": Command(_serve, "performing", "answer requests on stdin (docs/protocol.md)", True),
    "corpus": Command(_corpus, "corpus", "write a corpus of teacher performances"),
    "train": Command(_train, "training", "train a model on a corpus, EmoAva or captures; run again to resume"),
    "refit-emotion": Command(
        _refit_emotion, "training", "fit what reads emotions from words again, and leave the rest"
    ),
    "refit-motion": Command(_refit_motion, "evaluation", "set how far regions of the face move per step"),
    "evaluate": Command(_evaluate, "evaluation", "judge a checkpoint's free-running takes on held-out lines", True),
    "lab": Command(_lab, "lab", "look into a checkpoint, and leave a page with pictures (docs/lab.md)", True),
    "convert": Command(_convert, "paper", "read the paper's released checkpoint into safetensors and JSON"),
}


def _parser(chosen: Command | None) -> argparse.ArgumentParser:
    """Knows every command that is here, and the options of the chosen one."""
    parser = argparse.ArgumentParser(prog="python -m generator", description="Emotional facial performances from text.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, one in COMMANDS.items():
        if one.is_here:
            command = commands.add_parser(name, help=one.purpose)
            if one is chosen:
                module = one.module()
                module.add_arguments(command)
                command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
