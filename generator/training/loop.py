# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: runs any recipe, in one process or many, and resumes exactly.

Accelerate finds the processes (torchrun), wraps the module for them, adds up their numbers and feeds TensorBoard.
Autocast and gradient scaling are torch's own: accelerate keeps one precision per Python process and puts all of a
module under autocast, while a precision here belongs to a run. Accumulation is our own too: accelerate averages the
losses of parts, which is the whole batch's loss only where all parts hold equally many frames.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn
from tqdm import tqdm

from ..errors import InputError
from .draws import StepDraws
from .recipe import BatchT, Precision, Recipe, Terms
from .runlog import FINISH, LOG, RunLog
from .state import STATE, State, check_settings, write_settings

__all__ = ["LOG", "Options", "Trainer"]

#: Batches of the dev split that are judged.
_DEV_BATCHES: Final = 16
_AUTOCAST: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Options:
    """How a run is carried out; unlike a recipe's settings these may change when it is resumed.

    Attributes:
        precision: None for the recipe's own.
        accumulate: a batch is computed in so many parts, to save memory; the gradient is the same.
        evaluate_every: steps between two judgements on the dev split, each of which saves.
        save_every: steps between two saves; None to save with each judgement only.
        log_every: steps between two records of the training terms.
    """

    precision: Precision | None = None
    accumulate: int = 1
    evaluate_every: int = 500
    save_every: int | None = None
    log_every: int = 20

    def __post_init__(self) -> None:
        for name in ("accumulate", "evaluate_every", "save_every", "log_every"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")


def check_precision(precision: Precision | None, device: torch.device) -> None:
    """InputError when ``device`` cannot be trained on in ``precision``."""
    if precision == "fp16" and device.type != "cuda":
        raise InputError(f"fp16 needs a CUDA device, not {device.type}; choose --precision bf16 or fp32.")


class Trainer:
    """One training run in a folder: ``last/`` and ``best/`` to use, the state to resume from, the log.

    With torchrun, every process makes one; each takes its share of every batch and only the first writes.

    Args:
        run: the folder; a run that is in it goes on.
        recipe: what is trained. Its module must be on its device.
        options: how.

    Raises:
        InputError: the run was started with other settings, or the device cannot compute in this precision.
        CheckpointError: the state in ``run`` is damaged.
    """

    def __init__(self, run: Path, recipe: Recipe[BatchT], options: Options | None = None) -> None:
        self.run, self.recipe, self.options = run, recipe, options or Options()
        self.device = next(recipe.module.parameters()).device
        precision = self.options.precision or recipe.precision
        check_precision(precision, self.device)
        if recipe.steps < 1:
            raise InputError(f"A run needs at least 1 step, not {recipe.steps}.")
        self._dtype = _AUTOCAST.get(precision)
        # Parts of a model may rest: the emotion classifier always does, latent guidance when it is off.
        resting = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._processes = Accelerator(
            cpu=self.device.type == "cpu",
            mixed_precision="no",
            log_with="tensorboard",
            project_dir=str(run),
            kwargs_handlers=[resting],
        )
        average = None if recipe.average_decay is None else copy.deepcopy(recipe.module).eval()
        scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.state = State(recipe.module, average, recipe.optimizer(), scaler)
        settings = {"recipe": recipe.name, **recipe.settings()}
        check_settings(run, settings)
        if (run / STATE).is_file():
            self.state.load(run / STATE)
        self._processes.wait_for_everyone()  # nobody reads any more
        if self._processes.is_main_process:
            run.mkdir(parents=True, exist_ok=True)
            write_settings(run, settings)
        self._module = self._processes.prepare_model(recipe.module)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    # Running ---------------------------------------------------------------------------------------------------------

    def train(self, limit_minutes: float | None = None) -> Path:
        """Run to the last step, or until ``limit_minutes`` have passed; returns the folder of the best checkpoint.

        Raises:
            InputError: the objective became infinite; the message says what to change.
        """
        started, options, recipe = time.monotonic(), self.options, self.recipe
        log = RunLog(self.run, self.step, self._processes)
        main = self._processes.is_main_process
        try:
            with tqdm(total=recipe.steps, initial=self.step, desc="training", unit="step", disable=not main) as bar:
                for indices in self._remaining():
                    terms = self._train_step(indices)
                    bar.update()
                    done, last = self.step, self.step == recipe.steps
                    if done % options.log_every == 0:
                        values = self._added_up(terms)
                        log.write("train", done, values, learning_rate=recipe.learning_rate(done - 1))
                        bar.set_postfix({name: f"{value:.4g}" for name, value in list(values.items())[:4]})
                    if done % options.evaluate_every == 0 or last:
                        self._judge_and_save(log, terms)
                    elif options.save_every and done % options.save_every == 0:
                        self._save(terms)
                    if not last and self._is_over(started, limit_minutes):
                        self._save(terms)
                        break
        finally:
            log.close()
        self._processes.wait_for_everyone()
        return self.run / "best"

    def finish(self) -> Path:
        """The recipe's last touches to the best checkpoint, whose folder is returned."""
        best = self.run / "best"
        if self._processes.is_main_process and (measured := self.recipe.finish(best)):
            log = RunLog(self.run, self.step, self._processes)
            log.write(FINISH, self.step, measured)
            log.close()
        self._processes.wait_for_everyone()
        return best

    def _remaining(self) -> Iterator[list[int]]:
        """Clip indices of the batches from the present step on."""
        while self.step < self.recipe.steps:
            epoch, skip = divmod(self.step, len(self.recipe.train))
            for indices in self.recipe.train.order(epoch)[skip:]:
                yield indices.tolist()
                if self.step >= self.recipe.steps:
                    return

    def _train_step(self, indices: list[int]) -> Terms:
        """One optimiser step; returns this process's share of the terms."""
        recipe, state = self.recipe, self.state
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(state.step)
        # One seed per step: a resumed run draws what the uninterrupted one would have drawn.
        draws = StepDraws(recipe.seed * 1_000_003 + state.step, self.device)
        state.optimizer.zero_grad(set_to_none=True)
        recipe.module.train()
        terms = self._terms(self._module, recipe.train.collate(indices), draws, learn=True)
        if recipe.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(recipe.module.parameters(), recipe.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if state.average is not None and recipe.average_decay is not None:
            _follow(state.average, recipe.module, min(recipe.average_decay, (1 + state.step) / (10 + state.step)))
        state.step += 1
        return terms

    def _terms(self, module: nn.Module, batch: Any, draws: StepDraws, learn: bool) -> Terms:
        """This process's share of a batch's terms, part by part; with ``learn``, of its gradient too."""
        size, recipe = self.recipe.size(batch), self.recipe
        rank, count, parts = self._processes.process_index, self._processes.num_processes, self.options.accumulate
        shares = _shares(size, rank, count, parts)
        sums: Terms = {}
        for number, (rows, weight) in enumerate(shares):
            part, factor = (batch, 1.0) if rows == slice(0, size) else recipe.part(batch, rows)
            # Processes exchange gradients once per batch, with its last part.
            waits = learn and number < len(shares) - 1
            with self._processes.no_sync(module) if waits else nullcontext():
                with draws.of(rows, size), self._autocast():
                    terms: Terms = module(recipe.to(part, self.device), self.step)
                terms = {name: value * (factor * weight) for name, value in terms.items()}
                if learn:
                    # Processes average their gradients; the parts' are to be added up.
                    self.state.scaler.scale(terms["total"] * count).backward()
            sums = {name: value.detach() + sums.get(name, 0.0) for name, value in terms.items()}
        draws.next_batch()
        return sums

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not None)

    def _is_over(self, started: float, limit_minutes: float | None) -> bool:
        if limit_minutes is None:
            return False
        # Clocks differ: the first process decides for all.
        over = self._processes.is_main_process and time.monotonic() - started > limit_minutes * 60
        return bool(self._processes.reduce(torch.tensor(float(over), device=self.device), "sum") > 0)

    # Judging and keeping ---------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _evaluate(self) -> dict[str, float]:
        """Mean terms of the weights that are kept on (at most 16 batches of) the dev split."""
        module = self.state.average or self.recipe.module
        module.eval()
        draws = StepDraws(0, self.device)
        order = self.recipe.dev.order(0)[:_DEV_BATCHES]
        sums: Terms = {}
        for indices in order:
            terms = self._terms(module, self.recipe.dev.collate(indices.tolist()), draws, learn=False)
            sums = {name: value + sums.get(name, 0.0) for name, value in terms.items()}
        return {name: value / len(order) for name, value in self._added_up(sums).items()}

    def _judge_and_save(self, log: RunLog, terms: Terms) -> None:
        values = self._evaluate()
        log.write("dev", self.step, values)
        score = self.recipe.score(values, self.step)
        # A checkpoint that cannot be judged yet only stands in until one can.
        better = math.isinf(self.state.best) if score is None else score < self.state.best
        if score is not None and better:
            self.state.best = score
        self._save(terms, values, better)

    def _save(self, terms: Terms, dev: dict[str, float] | None = None, best: bool = False) -> None:
        """``last/``, with ``best`` also ``best/``, then the state. Refuses weights that are lost."""
        self._added_up(terms)
        if not self.state.is_finite:
            raise self._diverged("the weights are not finite")
        if not self._processes.is_main_process:
            return
        module = self.state.average or self.recipe.module
        training = {"step": self.step, "dev": dev or {}}
        if best or not (self.run / "best").is_dir():
            self.recipe.save(module, self.run / "best", training)
        self.recipe.save(module, self.run / "last", training)
        self.state.save(self.run / STATE)

    def _added_up(self, terms: Terms) -> dict[str, float]:
        """The terms of all processes together; InputError when training has diverged."""
        stacked = torch.stack([value.float() for value in terms.values()])
        values: list[float] = self._processes.reduce(stacked, "sum").tolist()
        found = dict(zip(terms, values, strict=True))
        if not math.isfinite(found["total"]):
            raise self._diverged(f"the objective is {found['total']}")
        return found

    def _diverged(self, why: str) -> InputError:
        return InputError(
            f"Training diverged: {why} at step {self.step}. What was saved last is kept: go on from there with "
            "--precision fp32, or train into another folder with a lower --learning-rate."
        )


def _shares(size: int, rank: int, count: int, parts: int) -> list[tuple[slice, float]]:
    """The rows of a batch of ``size`` clips that process ``rank`` of ``count`` computes, in ``parts``; and a weight.

    A process for which no clip is left computes the first one again with weight 0: exchanging gradients takes all.
    """
    edges = [size * k // (count * parts) for k in range(rank * parts, (rank + 1) * parts + 1)]
    mine = [(slice(first, end), 1.0) for first, end in pairwise(edges) if first < end]
    return mine or [(slice(0, 1), 0.0)]


@torch.no_grad()
def _follow(slow: nn.Module, fast: nn.Module, decay: float) -> None:
    """Move the average ``slow`` towards ``fast``; buffers are copied."""
    for average, newest in zip(slow.parameters(), fast.parameters(), strict=True):
        average.lerp_(newest, 1 - decay)
    for kept, latest in zip(slow.buffers(), fast.buffers(), strict=True):
        kept.copy_(latest)
