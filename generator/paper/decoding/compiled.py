# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding steps compiled for this processor, with PyTorch's ahead-of-time compiler (AOTInductor).

The small operations of a step become a few loops, and none is started from Python. Compiling takes half a minute and a
C++ compiler, so what comes out is kept in the user's cache folder and nowhere else: it is machine code, and no
checkpoint may bring any.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..model import PaperCTEG
from .forms import StepForm
from .projections import Precision, sums_bytes
from .replay import Recording, Step
from .state import StepInputs

#: So many compiled steps are kept, those used last: each holds the weights of its checkpoint.
KEPT: Final = 8
_PAPER: Final = Path(__file__).resolve().parents[1]
#: Files whose code becomes part of a compiled step, or of the numbers in it.
_CODE: Final = (*sorted(_PAPER.rglob("*.py")), _PAPER.parent / "ewa.py", _PAPER.parent / "layers.py")

_log = logging.getLogger(__name__)


class CompiledSteps:
    """Records steps by compiling them, or by loading what was compiled for the same weights before.

    Args:
        model: whose steps they are.
        precision: they are computed in.
        folder: where the last `KEPT` compiled steps are kept; by default in the user's cache folder.

    Attributes:
        name: of the model's files there, with all in it that decides what compiling gives.
    """

    def __init__(self, model: PaperCTEG, precision: Precision, folder: Path | None = None) -> None:
        self.name = _fingerprint(model, precision)[:32]
        self._precision = precision
        self._possible = precision == "fp32" or sums_bytes()
        if not self._possible:
            _log.warning("8-bit steps are compiled for x86 processors only; here they run one by one.")
        self._folder = folder or user_cache_path("cteg", appauthor=False) / "steps"
        #: By form of the inputs; None where compiling failed.
        self._loaded: dict[str, Any] = {}

    def suits(self, rows: int) -> bool:
        """See `Recorder`: products of several rows in 8 bits cannot be compiled."""
        return self._possible and (rows == 1 or self._precision == "fp32")

    def record(self, step: Step, inputs: StepInputs) -> Recording:
        """See `Recorder`. What cannot be compiled is run as it is, and the log says why."""

        def run(seen: int) -> Tensor:
            return step(replace(inputs, reach=inputs.reach[:seen]))

        tensors, form = pytree.tree_leaves(inputs), StepForm(inputs)
        if form.key not in self._loaded:
            self._loaded[form.key] = self._runner(step, form)
        runner = self._loaded[form.key]
        if runner is None:
            return run
        reach = next(place for place, tensor in enumerate(tensors) if tensor is inputs.reach)

        def run_compiled(seen: int) -> Tensor:
            tensors[reach] = inputs.reach[:seen]
            frame: Tensor = runner.run(tensors)[0]
            return frame

        return run_compiled

    def _runner(self, step: Step, form: StepForm) -> Any:
        path = self._folder / f"{self.name}-{hashlib.sha256(form.key.encode()).hexdigest()[:32]}.pt2"
        try:
            if not path.is_file():
                rows = "several takes" if form.several else "one take"
                _log.warning(
                    "Compiling the decoding step of %s, once for this checkpoint: about half a minute ...", rows
                )
                compile_step(step, form, path)
            path.touch()
            for old in sorted(self._folder.glob("*.pt2"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
            # What `torch._inductor.aoti_load_package` calls after importing the compiler, which takes three seconds.
            return torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            _log.warning(
                "The decoding step could not be compiled (%s); steps run one by one. Compiling needs a C++ compiler: "
                "g++, clang++ or that of Visual Studio.",
                reason,
            )
            return None


def compile_step(step: Step, form: StepForm, path: Path) -> None:
    """Compile ``step`` for inputs of this ``form`` into ``path``: for any number of positions and tokens, and for one
    row or any larger number.

    Raises:
        RuntimeError: it cannot be compiled, or there is no compiler. OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One thread: the loops are short. The products have threads of their own.
    one_thread = torch._inductor.config.patch({"cpp.threads": 1})
    with one_thread, tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning):  # of torch about torch
            warnings.simplefilter("ignore", kind)
        exported = torch.export.export(
            _OnTensors(step, form.structure), (form.example,), dynamic_shapes=(form.growing,), strict=False
        )
        made = torch._inductor.aoti_compile_and_package(exported, package_path=str(Path(folder) / path.name))
        Path(made).replace(path)


class _OnTensors(nn.Module):
    """A step as a module over a list of tensors."""

    def __init__(self, step: Step, form: Any) -> None:
        super().__init__()
        self._step, self._form = step, form

    def forward(self, tensors: list[Tensor]) -> Tensor:
        """The step on them."""
        return self._step(pytree.tree_unflatten(tensors, self._form))


def _fingerprint(model: PaperCTEG, precision: Precision) -> str:
    """Of all that decides what compiling gives: weights, sizes, precision, code, torch, machine."""
    digest = hashlib.sha256()
    machine = [torch.__version__, platform.system(), torch.cpu.get_capabilities()]
    digest.update(json.dumps([model.config.to_json(), precision, machine], default=dict).encode())
    for path in _CODE:
        digest.update(path.read_bytes())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
