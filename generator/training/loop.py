# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: bf16 autocast, cosine schedule, moving average of the weights, exact resume."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from ..checkpoint import Checkpoint, Generator, load_checkpoint, save_checkpoint
from ..clips import write_atomically
from ..config import ModelConfig
from ..corpus.reader import Corpus
from ..errors import DataError, InputError
from ..text import DEFAULT_ENCODER, TextEncoder
from .batches import Batch, Batches, FeatureStore, channel_scale
from .classifier import fit_emotion_classifier
from .objective import Objective, Weights, compute, input_noise

#: Name of the metrics log in a run folder, one JSON object per line.
LOG: Final = "metrics.jsonl"


@dataclass(frozen=True)
class TrainingSettings:
    """What a run is made of. Stored in the run folder; resuming with others is refused."""

    steps: int = 8000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    kl_weight: float = 1.0
    kl_warmup_share: float = 0.2
    guidance_weight: float = 0.01
    white_noise: float = 0.06
    drift_noise: float = 0.3
    average_decay: float = 0.999
    clip_norm: float = 1.0
    seed: int = 0
    evaluate_every: int = 500


class Trainer:
    """One training run in a folder: ``last/`` to resume from, ``best/`` to use, `LOG`."""

    def __init__(
        self,
        run: Path,
        corpus_folder: Path,
        config: ModelConfig,
        settings: TrainingSettings,
        device: torch.device,
        encoder_name: str = DEFAULT_ENCODER,
    ) -> None:
        self.run, self.settings, self.device = run, settings, device
        self.encoder = TextEncoder.load(encoder_name, device)
        config = replace(config, text_width=self.encoder.width)
        splits = {name: Corpus.open(corpus_folder, name) for name in ("train", "dev")}
        for name, corpus in splits.items():
            if not len(corpus):
                raise DataError(f"The {name} split of {corpus_folder} is empty; build a larger corpus.")
        self.batches = {
            name: Batches(
                corpus,
                FeatureStore(corpus, self.encoder, corpus_folder / "cache"),
                config.frames_per_step,
                settings.batch_size,
                settings.seed,
            )
            for name, corpus in splits.items()
        }
        torch.manual_seed(settings.seed)
        self.generator = Generator(config).to(device)
        self.generator.decoder.scale.copy_(channel_scale(splits["train"]))
        self.average = copy.deepcopy(self.generator).eval()
        self.optimizer = torch.optim.AdamW(
            self.generator.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=settings.weight_decay
        )
        self.step = 0
        self.best = math.inf
        self._resume_or_start()

    # Running ---------------------------------------------------------------------------------------------------------

    def train(self, limit_minutes: float | None = None) -> Path:
        """Run to the last step, or until ``limit_minutes`` have passed; returns the folder of the best checkpoint."""
        started = time.monotonic()
        batches = self.batches["train"]
        with tqdm(total=self.settings.steps, initial=self.step, desc="training", unit="step") as bar:
            while self.step < self.settings.steps:
                epoch, skip = divmod(self.step, len(batches))
                for batch in batches.epoch(epoch, skip):
                    objective = self._train_step(batch)
                    self.step += 1
                    bar.update()
                    if self.step % 20 == 0:
                        self._log("train", objective)
                        bar.set_postfix(rec=f"{objective.reconstruction:.1f}", kl=f"{objective.kl:.1f}")
                    if self.step % self.settings.evaluate_every == 0 or self.step == self.settings.steps:
                        self._evaluate_and_save()
                    if self.step >= self.settings.steps:
                        break
                    if limit_minutes is not None and time.monotonic() - started > limit_minutes * 60:
                        self._evaluate_and_save()
                        return self.run / "best"
        return self.run / "best"

    def _train_step(self, batch: Batch) -> Objective:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        # One generator per step, seeded by the step: a resumed run draws what the uninterrupted one would have drawn.
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        noise_rng = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        noise = input_noise(batch.frames, noise_rng, self.settings.white_noise, self.settings.drift_noise)
        objective = self._objective(self.generator, batch, noise)
        self.optimizer.zero_grad(set_to_none=True)
        objective.total.backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        decay = min(self.settings.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        return objective

    def _objective(self, generator: Generator, batch: Batch, noise: Tensor | None) -> Objective:
        batch = _to_device(batch, self.device)
        scaled = batch.frames / generator.decoder.scale
        noise = None if noise is None else noise.to(self.device)
        # On the CPU the fused attention's backward is slower than the plain one at these sizes.
        kernels = [SDPBackend.MATH] if self.device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        with torch.autocast(self.device.type, torch.bfloat16), sdpa_kernel(kernels):
            output = generator.decoder(scaled, batch.condition, noise)
        warm = max(1, round(self.settings.kl_warmup_share * self.settings.steps))
        beta = self.settings.kl_weight * min(1.0, self.step / warm)
        return compute(generator, batch, output, Weights(beta, self.settings.guidance_weight))

    def _learning_rate(self) -> float:
        s = self.settings
        if self.step < s.warmup:
            return s.learning_rate * (self.step + 1) / s.warmup
        progress = (self.step - s.warmup) / max(1, s.steps - s.warmup)
        return s.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    # Judging and keeping ---------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _evaluate(self) -> dict[str, float]:
        """Teacher-forced terms of the averaged weights on the dev split, without input noise."""
        sums: dict[str, float] = {}
        torch.manual_seed(0)
        batches = self.batches["dev"]
        order = batches.order(0)[:16]
        for indices in order:
            objective = self._objective(self.average, batches.collate(indices.tolist()), None)
            for name in ("reconstruction", "kl", "guidance", "length"):
                sums[name] = sums.get(name, 0.0) + float(getattr(objective, name)) / len(order)
        return sums

    def _evaluate_and_save(self) -> None:
        terms = self._evaluate()
        self._log("dev", terms)
        # The negative evidence lower bound: what β = 1 minimises.
        bound = terms["reconstruction"] + terms["kl"]
        training = {"step": self.step, "settings": asdict(self.settings), "dev": terms}
        checkpoint = Checkpoint(self.average, self.encoder.name, "last", training)
        # While β is warming up the bound is loose on the KL side: such a checkpoint only stands in until a real one.
        warm = self.step >= self.settings.kl_warmup_share * self.settings.steps
        if not warm:
            save_checkpoint(replace(checkpoint, name="best"), self.run / "best")
        elif bound < self.best:
            self.best = bound
            save_checkpoint(replace(checkpoint, name="best"), self.run / "best")
        self._save_state(checkpoint)

    def _save_state(self, checkpoint: Checkpoint) -> None:
        """Everything a resumed run needs, in one file that appears whole: a kill in between loses nothing."""
        save_checkpoint(checkpoint, self.run / "last")
        tensors = {f"model.{k}": v for k, v in self.generator.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        tensors["step"], tensors["best"] = torch.tensor(self.step), torch.tensor(self.best, dtype=torch.float64)
        data = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
        write_atomically(self.run / "state.safetensors", lambda file: file.write(data))

    def _resume_or_start(self) -> None:
        settings_file, state_file = self.run / "settings.json", self.run / "state.safetensors"
        # The number of steps may be raised later; everything else must stay what it was.
        mine = {"model": self.generator.decoder.config.to_json(), "training": asdict(self.settings)}
        if settings_file.is_file():
            stored = json.loads(settings_file.read_text("utf-8"))
            if changed := _first_difference(stored, mine):
                raise InputError(
                    f"The run in {self.run} was started with another {changed}; use the same settings to resume it, or "
                    "another folder for a new run."
                )
        self.run.mkdir(parents=True, exist_ok=True)
        write_atomically(settings_file, lambda file: file.write(json.dumps(mine, indent=1).encode()))
        if not state_file.is_file():
            return
        tensors = load_file(state_file)
        for prefix, module in (("model.", self.generator), ("average.", self.average)):
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step, self.best = int(tensors["step"]), float(tensors["best"])

    def _log(self, kind: str, terms: Objective | dict[str, float]) -> None:
        values = terms if isinstance(terms, dict) else {k: float(v.detach()) for k, v in vars(terms).items()}
        record: dict[str, Any] = {"kind": kind, "step": self.step, **{k: round(v, 5) for k, v in values.items()}}
        with (self.run / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def finish(self) -> Path:
        """Fit the emotion classifier on the corpus's labelled lines and store it in the best checkpoint."""
        best = load_checkpoint(self.run / "best", self.device)
        accuracy = fit_emotion_classifier(best.generator.emotion, self.batches["train"], self.batches["dev"])
        training = {**best.training, "emotion_from_text": accuracy}
        save_checkpoint(replace(best, training=training), self.run / "best")
        self._log("emotion classifier", accuracy)
        return self.run / "best"


def _first_difference(stored: dict[str, Any], mine: dict[str, Any]) -> str | None:
    for section in ("model", "training"):
        for name, value in mine[section].items():
            if name not in ("steps", "evaluate_every") and stored.get(section, {}).get(name) != value:
                return f"{name} ({stored.get(section, {}).get(name)!r}, not {value!r})"
    return None


def _to_device(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    condition = replace(batch.condition, **{k: v.to(device) for k, v in vars(batch.condition).items()})
    moved = {k: v.to(device) for k, v in vars(batch).items() if isinstance(v, Tensor)}
    return replace(batch, condition=condition, **moved)
