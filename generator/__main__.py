# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator COMMAND``, see `_COMMANDS`. Heavy imports happen inside the chosen command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from .errors import GeneratorError

#: Name -> the module that has its ``add_arguments`` and ``run``, and what it is for.
_COMMANDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "say": ("say", "perform a line and write the takes to a file"),
        "serve": ("worker", "answer requests on stdin (docs/protocol.md)"),
        "corpus": ("corpus.build", "write a corpus of teacher performances"),
        "train": ("training.command", "train a model on a corpus, EmoAva or captures; run again to resume"),
        "refit-emotion": ("training.refit_emotion", "fit what reads emotions from words again, and leave the rest"),
        "refit-length": ("training.refit_length", "fit what predicts lengths again, and leave the rest"),
        "evaluate": ("evaluation.command", "judge a checkpoint's free-running takes on held-out lines"),
        "convert": ("released.command", "read the paper's released checkpoint into safetensors and JSON"),
    }
)


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
    parser = argparse.ArgumentParser(prog="python -m generator", description="Emotional facial performances from text.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (module, purpose) in _COMMANDS.items():
        command, code = commands.add_parser(name, help=purpose), import_module(f".{module}", __package__)
        code.add_arguments(command)
        command.set_defaults(run=code.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
