# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the generator, where the generator lies, and what to do when either is missing (no bpy)."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..sentences import Told, told, translated

#: Names the interpreter for tests and render farms; the preferences go first.
ENVIRONMENT_VARIABLE: Final = "CTEG_PYTHON"

#: The folder of this extension with what it brings along for the generator, wheels that Python reads as they are.
WHEELS: Final = "wheels"

#: Variables by which Blender's own Python, or a wrapper around it, would leak into another interpreter.
_LEAKING: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")

_MISSING_MODULE: Final = re.compile(r"No module named '?([\w.]+)'?")


class LocateError(Told):
    """There is no interpreter or no generator to start; the message is a sentence for the user."""


@dataclass(frozen=True)
class WorkerCommand:
    """How to start the generator process.

    Attributes:
        argv: program and arguments; never passed to a shell.
        folder: the working folder, the one that holds `generator/`: ``python -m`` finds the package there.
        environment: variables of the process, complete.
        own: Blender's own Python, which nobody chose. The generator can run inside Blender where it cannot be started.
    """

    argv: tuple[str, ...]
    folder: str
    environment: tuple[tuple[str, str], ...]
    own: bool = False

    @property
    def python(self) -> str:
        """The interpreter."""
        return self.argv[0]


def worker_command(
    package: Path, preferred: str = "", environment: Mapping[str, str] | None = None, own: str | None = None
) -> WorkerCommand:
    """The command that starts ``python -m generator serve``.

    Args:
        package: the folder of this extension.
        preferred: the interpreter chosen in the preferences, or "".
        environment: variables to look in and hand on; the process's own by default.
        own: Blender's own interpreter; `sys.executable` by default.

    Raises:
        LocateError: with a sentence that names what is missing.
    """
    environment = os.environ if environment is None else environment
    own = sys.executable if own is None else own
    python = find_python(preferred, environment) or own
    handed_on = without_leaks(environment)
    # The matrices are small: more threads wait for each other, and Blender needs cores of its own.
    handed_on.setdefault("OMP_NUM_THREADS", str(max(1, min(4, (os.cpu_count() or 2) // 2))))
    if wheels := wheels_in(package):
        handed_on["PYTHONPATH"] = os.pathsep.join(map(str, wheels))
    argv = (python, "-m", "generator", "serve")
    return WorkerCommand(argv, str(generator_folder(package)), tuple(sorted(handed_on.items())), python == own)


def wheels_in(package: Path) -> list[Path]:
    """What the extension brings along for the generator."""
    return sorted((package / WHEELS).glob("*.whl"))


def without_leaks(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for another Python: without those of this one, and so that it writes UTF-8 at once."""
    handed_on = {name: value for name, value in environment.items() if name not in _LEAKING}
    return handed_on | {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}


def find_python(preferred: str, environment: Mapping[str, str]) -> str:
    """The interpreter that was chosen: the preferred one, else the one named by `CTEG_PYTHON`; "" for Blender's own."""
    if preferred := whole_path(preferred, "Python"):
        return _checked(preferred, chosen=True)
    named = environment.get(ENVIRONMENT_VARIABLE, "").strip()
    return _checked(named, chosen=False) if named else ""


def whole_path(path: str, name: str) -> str:
    """A path of the preferences, "" for none. LocateError for one that Blender would look for beside the open file.

    A file from elsewhere could bring a program along under that name.
    """
    path = path.strip()
    if path.startswith("//"):
        raise LocateError(
            "{name} in the CTEG preferences is {path}, which depends on the file that is open; give its whole path.",
            name=translated(name), path=path,
        )  # fmt: skip
    return path


def generator_folder(package: Path) -> Path:
    """The folder that holds `generator/`: the extension's own when installed, the one above it in a clone."""
    for folder in (package, package.parent):
        if (folder / "generator" / "__main__.py").is_file():
            return folder
    sentence = "The generator is missing from {folder}; install the CTEG extension again from its zip."
    raise LocateError(sentence, folder=package)


def missing_package(python: str, output: str) -> str:
    """A sentence when ``output``, what the process printed before it ended, says a module is missing; else ""."""
    found = _MISSING_MODULE.findall(output)
    if not found:
        return ""
    module = found[-1].split(".")[0]
    if module == "generator":
        return told("The generator is missing beside the CTEG extension; install the extension again from its zip.")
    return told(
        "The Python {python} has no {package}: install it there, or choose the built-in engine or another Python in "
        "the CTEG preferences.", python=python, package=module,
    )  # fmt: skip


def _checked(python: str, *, chosen: bool) -> str:
    path = Path(python).expanduser()
    if path.name == python:
        # A bare name such as "python3" is looked up as a terminal would, not beside the file that is open.
        import shutil  # here, because enabling the extension does not need it

        path = Path(shutil.which(python) or "")
    elif path.is_dir():
        raise LocateError(
            "The Python chosen in the CTEG preferences, {python}, is a folder; choose the python program inside it."
            if chosen
            else "The Python named by CTEG_PYTHON, {python}, is a folder; choose the python program inside it.",
            python=python,
        )
    if path.is_file():
        if not os.access(path, os.X_OK):
            raise LocateError(
                "The Python chosen in the CTEG preferences, {python}, is not a program; choose a python executable."
                if chosen
                else "The Python named by CTEG_PYTHON, {python}, is not a program; choose a python executable.",
                python=python,
            )
        # Not resolved: a virtual environment's python is a link, and following it would leave the environment.
        return str(path.absolute())
    raise LocateError(
        "The Python chosen in the CTEG preferences, {python}, does not exist; choose another one in the CTEG "
        "preferences."
        if chosen
        else "The Python named by CTEG_PYTHON, {python}, does not exist; choose another one in the CTEG preferences.",
        python=python,
    )
