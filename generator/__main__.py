# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator COMMAND``, see `_parser`. Heavy imports happen inside the chosen command."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .errors import GeneratorError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a sentence on stderr when refused, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except GeneratorError as error:
        print(f"error: {error}", file=sys.stderr)
    except ImportError as error:
        from .worker import missing_package_sentence

        print(f"error: {missing_package_sentence(error)}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'The file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    from . import say, worker
    from .corpus import build
    from .evaluation import command as evaluate
    from .released import command as convert
    from .training import command as train
    from .training import refit_emotion

    # Each module has ``add_arguments`` and ``run``.
    modules: tuple[tuple[str, Any, str], ...] = (
        ("say", say, "perform a line and write the takes to a file"),
        ("serve", worker, "answer requests on stdin (docs/protocol.md)"),
        ("corpus", build, "write a corpus of teacher performances"),
        ("train", train, "train a model on a corpus, EmoAva or captures; run again to resume"),
        ("refit-emotion", refit_emotion, "fit what reads emotions from words again, and leave the rest"),
        ("evaluate", evaluate, "judge a checkpoint's free-running takes on held-out lines"),
        ("convert", convert, "read the paper's released checkpoint into safetensors and JSON"),
    )
    parser = argparse.ArgumentParser(prog="python -m generator", description="Emotional facial performances from text.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, module, purpose in modules:
        command = commands.add_parser(name, help=purpose)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
