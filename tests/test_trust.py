# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of ours runs what it reads, listens anywhere, or goes where a file sends it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted(path for room in ("generator", "blender_cteg") for path in (ROOT / room).rglob("*.py"))

#: Calls that run what they are given, by their last names and by how they are reached.
FORBIDDEN = {
    "eval": "runs text", "exec": "runs text", "compile": "makes code of text", "__import__": "imports by name",
    "pickle.load": "runs a pickle", "pickle.loads": "runs a pickle", "pickle.Unpickler": "runs a pickle",
    "dill.load": "runs a pickle", "joblib.load": "runs a pickle", "shelve.open": "runs a pickle",
    "marshal.load": "reads code", "marshal.loads": "reads code", "yaml.load": "makes objects",
    "os.system": "runs a shell", "os.popen": "runs a shell", "subprocess.getoutput": "runs a shell",
    "subprocess.getstatusoutput": "runs a shell", "pty.spawn": "runs a program", "torch.load": "runs a pickle",
    "torch.hub.load": "runs code from elsewhere", "socket.socket": "opens a socket", "socket.create_server": "listens",
    "socketserver.TCPServer": "listens", "http.server.HTTPServer": "listens", "asyncio.start_server": "listens",
    "urllib.request.urlopen": "goes online", "importlib.import_module": "imports by name",
    "runpy.run_path": "runs a file", "runpy.run_module": "runs a module", "tempfile.mktemp": "leaves room for another",
}  # fmt: skip
#: Modules that nothing of ours has reason to import.
MODULES = {
    "socket",
    "socketserver",
    "http",
    "xmlrpc",
    "asyncio",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "yaml",
    "runpy",
}
#: Arguments that make a harmless call another one.
ARGUMENTS = {"allow_pickle": True, "shell": True, "trust_remote_code": True, "weights_only": False}
#: Operators of Blender that run or open what they are given, as ``bpy.ops`` writes them.
OPERATORS = (
    "script.",
    "text.run_script",
    "wm.open_mainfile",
    "wm.url_open",
    "preferences.addon_install",
    "extensions.",
)


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an expression of names; "?" stands for what is none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def imported(node: ast.AST) -> dict[str, str]:
    """What the names that an import makes stand for."""
    if isinstance(node, ast.Import):
        return {n.asname or n.name.split(".")[0]: n.name if n.asname else n.name.split(".")[0] for n in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {n.asname or n.name: f"{node.module}.{n.name}" for n in node.names}
    return {}


def offences(tree: ast.AST) -> Iterator[str]:
    """What in a module runs, listens or unpickles; a name is followed to what it was imported from."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        names = imported(node)
        known |= names
        yield from (f"imports {name}" for name in names.values() if name.split(".")[0] in MODULES)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = dotted(node.func).partition(".")
        name = ".".join(filter(None, (known.get(first, first), rest)))
        if name in FORBIDDEN:
            yield f"{node.lineno}: {name} {FORBIDDEN[name]}"
        if name.startswith("bpy.ops.") and name.removeprefix("bpy.ops.").startswith(OPERATORS):
            yield f"{node.lineno}: {name}"
        for keyword in node.keywords:
            value = keyword.value
            # Anything but the harmless constant itself may turn out to be the other one.
            harmless = isinstance(value, ast.Constant) and value.value is not ARGUMENTS.get(str(keyword.arg))
            if keyword.arg in ARGUMENTS and not harmless:
                yield f"{node.lineno}: {name}({keyword.arg}=...)"
        if name in ("numpy.load", "np.load") and not any(keyword.arg == "allow_pickle" for keyword in node.keywords):
            yield f"{node.lineno}: {name} without allow_pickle=False"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_it_reads_and_nothing_listens(path: Path) -> None:
    assert not list(offences(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)", "import pickle\npickle.loads(data)", "from pickle import load as read\nread(file)",
        "import torch\ntorch.load(path)", "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)", "from http.server import HTTPServer",
        "import subprocess\nsubprocess.run(line, shell=True)", "import subprocess\nsubprocess.run(line, shell=yes)",
        "import os\nos.system(line)", "from os import system\nsystem(line)", "import socket",
        "bpy.ops.script.python_file_run(filepath=path)", "import importlib\nimportlib.import_module(name)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_what_runs_is_found(line: str) -> None:
    assert list(offences(ast.parse(line)))


def test_the_two_unpicklers_are_the_standard_librarys_machine_with_every_step_replaced() -> None:
    users = [path for path in SHIPPED if "pickle._Unpickler" in path.read_text("utf-8")]
    assert sorted(path.name for path in users) == ["unpickle.py", "unpickling.py"]
