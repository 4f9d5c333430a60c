# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.parity.make``: writes tests/parity/data, small vectors of our own in the recorded layout.

Random weights, clips and noise from one seed; results by `slow`, in double precision. They let the checks run where
the released implementation's vectors are not at hand; they prove that our model computes the written-down formulas.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import slow
from .folder import MARKER_TOKENS, bert
from .slow import Clips, Sizes

DATA = Path(__file__).parent / "data"
TEXTS = ["a b .", "c", "b a d c a b d a c b ."]
WORDS = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcd."]
BERT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
LENGTHS, EDGE_LENGTHS = [4, 1, 6], [6, 7, 8, 9, 14, 0]
WARMUP, FRAMES = 10, 6
AFTER = ["decoder.exp_emb.weight", "decoder.fea_proj.weight", "trg_exp_prj.weight", "trg_word_prj_one_step.weight"]


class Recorder:
    """Draws standard normal tensors in single precision and keeps them."""

    def __init__(self, rng: torch.Generator, prefix: str = "eps.") -> None:
        self.rng, self.prefix = rng, prefix
        self.draws: dict[str, Tensor] = {}

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        draw = torch.randn(shape, generator=self.rng)
        self.draws[f"{self.prefix}{len(self.draws):03d}"] = draw
        return draw.double()


def main() -> None:
    DATA.mkdir(exist_ok=True)
    rng = torch.Generator().manual_seed(20)
    (DATA / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    mean = torch.randn(Sizes(1).channels, generator=rng) * 0.5
    clips = _write_batch("batch", LENGTHS, mean, rng)
    _write_batch("batch_edge", EDGE_LENGTHS, mean, rng)
    for layers in (1, 2):
        _write_tag(f"l{layers}", Sizes(layers), clips, mean, rng)
    _write_stop_rule(rng)
    _write_perplexity(rng)


def _write(name: str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    single = {k: (v.to(torch.uint8) if v.dtype == torch.bool else v).detach().contiguous() for k, v in tensors.items()}
    save_file(single, DATA / f"{name}.safetensors", metadata)


def _single(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.float() if v.dtype == torch.float64 else v for k, v in tensors.items()}


def _texts(sizes: Sizes) -> tuple[Tensor, Tensor]:
    rows = [[WORDS.index(w) for w in ["[CLS]", *text.split(), "[SEP]"]] for text in TEXTS]
    rows = [[*row[: sizes.src_len - 1], row[-1]] if len(row) > sizes.src_len else row for row in rows]
    ids = torch.tensor([row + [0] * (sizes.src_len - len(row)) for row in rows])
    return ids, ids != 0


def _write_batch(name: str, lengths: list[int], mean: Tensor, rng: torch.Generator) -> Clips:
    sizes = Sizes(1)
    raw = [torch.randn(n, sizes.channels, generator=rng) for n in lengths]
    ids, mask = _texts(sizes)
    texts = [TEXTS[i % len(TEXTS)] for i in range(len(lengths))]
    rows = torch.tensor([i % len(TEXTS) for i in range(len(lengths))])
    clips = slow.load_clips(raw, mean, sizes, {token: WORDS.index(token) for token in MARKER_TOKENS})
    attended = torch.tensor(clips.attended)
    causal = torch.tensor([[j <= i for j in range(attended.shape[1])] for i in range(attended.shape[1])])
    tensors = {
        "mean": mean,
        "src_input_ids": ids[rows],
        "src_attention_mask": mask[rows][:, None],
        "tgt_input_ids": torch.tensor(clips.tokens),
        "tgt_attention_mask": attended[:, None] & causal,
        "tgt_exp_mask": torch.tensor(clips.is_frame),
        "tgt_exp": clips.frames,
        "tgt_exp_gold": clips.gold,
        "tgt_gold_mask": torch.tensor(clips.gold_mask),
        **{f"raw.{i}": clip for i, clip in enumerate(raw)},
    }
    metadata = {"texts": json.dumps(texts), "lengths": json.dumps(lengths)}
    _write(name, _single(tensors), metadata | {"trg_len": str(sizes.trg_len), "src_len": str(sizes.src_len)})
    return clips


def _state(sizes: Sizes, rng: torch.Generator) -> dict[str, Tensor]:
    """Random weights under the released names, the text encoder's included."""
    d, heads = sizes.d_model, sizes.n_head
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, width: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (out, width)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def attention(name: str) -> None:
        for block, out in (("w_qs", sizes.d_k), ("w_ks", sizes.d_k), ("w_vs", sizes.d_v)):
            linear(f"{name}.{block}", heads * out, d, bias=False)
        linear(f"{name}.fc", d, heads * sizes.d_v, bias=False)
        shapes[f"{name}.layer_norm.weight"] = shapes[f"{name}.layer_norm.bias"] = (d,)

    def feed_forward(name: str) -> None:
        linear(f"{name}.w_1", sizes.d_inner, d)
        linear(f"{name}.w_2", d, sizes.d_inner)
        shapes[f"{name}.layer_norm.weight"] = shapes[f"{name}.layer_norm.bias"] = (d,)

    shapes["decoder.trg_word_emb.weight"] = (len(WORDS), d)
    shapes["decoder.layer_norm.weight"] = shapes["decoder.layer_norm.bias"] = (d,)
    linear("decoder.exp_emb", d, sizes.channels)
    linear("decoder.fea_proj", d, 1)
    linear("decoder.fea_proj_reverse", 1, d)
    attention("decoder.fea_attn")
    for layer in (f"decoder.layer_stack.{i}" for i in range(sizes.n_layers)):
        for block in ("slf_attn", "enc_attn", "slf_attn_second", "enc_attn_second"):
            attention(f"{layer}.{block}")
        for block in ("upper_mu", "upper_sigma", "down_mu", "down_sigma"):
            linear(f"{layer}.{block}", d, d)
        feed_forward(f"{layer}.pos_ffn")
        feed_forward(f"{layer}.pri_ffn")
    linear("trg_exp_prj", sizes.channels, d, bias=False)
    linear("trg_word_prj_one_step", sizes.channels, d, bias=False)
    for name, value in bert(BERT, len(WORDS), {}, strict=False).state_dict().items():
        shapes[f"encoder.{name}"] = tuple(value.shape)
    state = {}
    for name, shape in shapes.items():
        centre = 1.0 if name.endswith(("layer_norm.weight", "LayerNorm.weight")) else 0.0
        state[name] = centre + 0.3 * torch.randn(shape, generator=rng)
    copies = {
        f"encoder_pretrained.{k.removeprefix('encoder.')}": v.clone() for k, v in state.items() if "encoder." in k
    }
    table = torch.stack([slow.position(i, d) for i in range(sizes.trg_len)])[None].float()
    return {**state, **copies, "decoder.position_enc.pos_table": table}


def _write_tag(tag: str, sizes: Sizes, clips: Clips, mean: Tensor, rng: torch.Generator) -> None:
    recorded = _state(sizes, rng)
    _write(f"state_{tag}", recorded)
    options = {"scale_emb": True, "feature_attention": True, "flat_method": "casual_attention", "second_sample": "one"}
    config = {**asdict(sizes), **options, "one_step_loss": True, "vocab_size": len(WORDS), "bert": BERT}
    (DATA / f"config_{tag}.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    ids, mask = _texts(sizes)
    own = {k.removeprefix("encoder."): v for k, v in recorded.items() if k.startswith("encoder.")}
    encoder = bert(BERT, len(WORDS), own).double()
    with torch.no_grad():
        memory = encoder(ids, attention_mask=mask.long()).last_hidden_state

    def state() -> dict[str, Tensor]:
        trained = {k: v.double() for k, v in recorded.items() if not k.startswith("encoder")}
        return {k: v.requires_grad_("pos_table" not in k) for k, v in trained.items()}

    _write_forward(tag, sizes, clips, memory, mask, state, rng)
    _write_ewa(tag, sizes, state(), rng)
    for name, ewa in ((f"serial_{tag}", True), (f"serial_noewa_{tag}", False)):
        recorder = Recorder(rng)
        frames = slow.serial(state(), sizes, memory, mask, mean.double(), FRAMES, recorder, ewa)
        _write(name, _single({"out.frames": frames} | recorder.draws))
    pool = torch.randn(sizes.n_layers, 2, len(memory), FRAMES + 2, sizes.d_model, generator=rng)
    calls = iter(range(10**6))

    def fixed(shape: tuple[int, ...]) -> Tensor:
        call = next(calls) % (2 * sizes.n_layers)
        return pool[call // 2, call % 2, :, : shape[1]].double()

    frames = slow.serial(state(), sizes, memory, mask, mean.double(), FRAMES, fixed, False)
    _write(f"serial_fixednoise_{tag}", _single({"out.frames": frames, "eps.pool": pool}))
    _write_steps(tag, sizes, clips, memory, mask, state(), rng)


def _losses(out: dict[str, Tensor], clips: Clips, sizes: Sizes) -> dict[str, Tensor]:
    out["loss.rec"], out["loss.first_frame"] = slow.distance_loss(out["out.pred"], clips, sizes)
    out["loss.guided"], _ = slow.distance_loss(out["out.prior_pred"], clips, sizes)
    out["loss.total"] = out["loss.kl"] + out["loss.rec"] + out["loss.guided"]
    return out


def _write_forward(
    tag: str,
    sizes: Sizes,
    clips: Clips,
    memory: Tensor,
    mask: Tensor,
    state: Callable[[], dict[str, Tensor]],
    rng: torch.Generator,
) -> None:
    for mode in ("train", "eval", "infer"):
        recorder, weights = Recorder(rng), state()
        out = slow.decode(weights, sizes, clips, memory, mask, mode, recorder)
        out["tap.enc_output"] = memory
        gradients = {}
        if mode == "train":
            _losses(out, clips, sizes)["loss.total"].backward()
            gradients = {f"grad.{k}": v.grad for k, v in weights.items() if v.grad is not None}
        elif mode == "eval":
            _losses(out, clips, sizes)
            for term in ("kl", "guided", "total"):  # the released evaluation reports neither
                del out[f"loss.{term}"]
        else:
            del out["loss.kl"]
        _write(f"{mode}_{tag}", _single(recorder.draws | out | gradients))


def _write_ewa(tag: str, sizes: Sizes, state: dict[str, Tensor], rng: torch.Generator) -> None:
    frames = torch.randn(7, sizes.channels, generator=rng)
    clip = frames.double()
    tensors = {
        "frames": frames,
        "shift_whole": slow.jaw_shift(state, clip.mean(0), sizes),
        "shift_prefix_mean": torch.stack([slow.jaw_shift(state, clip[: i + 1].mean(0), sizes) for i in range(7)]),
        "shift_each_frame": torch.stack([slow.jaw_shift(state, frame, sizes) for frame in clip]),
    }
    _write(f"ewa_{tag}", _single(tensors))


def _write_steps(
    tag: str,
    sizes: Sizes,
    clips: Clips,
    memory: Tensor,
    mask: Tensor,
    state: dict[str, Tensor],
    rng: torch.Generator,
) -> None:
    """Three steps of Adam (Kingma and Ba 2015, algorithm 1) under the Noam schedule, written out."""
    tensors, log = {}, []
    moments = {k: (torch.zeros_like(v), torch.zeros_like(v)) for k, v in state.items()}
    for step in range(3):
        recorder = Recorder(rng, f"step{step}.eps.")
        out = _losses(slow.decode(state, sizes, clips, memory, mask, "train", recorder), clips, sizes)
        out["loss.total"].backward()
        tensors |= recorder.draws
        n = step + 1
        rate = 2 * sizes.d_model**-0.5 * min(n**-0.5, n * WARMUP**-1.5)
        log.append([*(out[f"loss.{term}"].item() for term in ("kl", "rec", "guided")), rate])
        for name, weight in state.items():
            if weight.grad is None:
                continue
            first, second = moments[name]
            first = 0.9 * first + 0.1 * weight.grad
            second = 0.98 * second + 0.02 * weight.grad**2
            moments[name] = (first, second)
            change = rate * (first / (1 - 0.9**n)) / ((second / (1 - 0.98**n)).sqrt() + 1e-9)
            state[name] = (weight.detach() - change).requires_grad_()
    tensors |= {f"after.{name}": state[name] for name in AFTER}
    _write(f"steps_{tag}", {**_single(tensors), "log": torch.tensor(log, dtype=torch.float64)})


def _write_stop_rule(rng: torch.Generator) -> None:
    frames = torch.randn(5, 8, 5, generator=rng)
    frames = frames / frames.norm(dim=-1, keepdim=True) * (0.3 + 2 * torch.rand(5, 8, 1, generator=rng))
    frames[0] *= 5  # one that never ends
    tensors = {"frames": frames}
    for threshold in (1.0, 0.5):
        lengths = []
        for clip in frames:
            below = [j for j in range(1, len(clip)) if float(clip[j].norm()) < threshold]
            lengths.append(below[0] if below else len(clip))
        tensors[f"length_threshold_{threshold}"] = torch.tensor(lengths)
    tensors["still_open_after_4"] = torch.tensor([b for b in range(5) if float(frames[b, 3].norm()) >= 1])
    _write("eos", tensors)


def _write_perplexity(rng: torch.Generator) -> None:
    gold = torch.randn(2, 4, 5, generator=rng)
    predicted = gold + 0.5 * torch.randn(gold.shape, generator=rng)
    mask = torch.tensor([[True, True, True, False], [True, True, False, True]])
    probability, value = slow.perplexity(predicted, gold, mask)
    tensors = {"predict": predicted, "golden": gold, "mask": mask, "prob": probability}
    one, single = torch.ones(1, 1, dtype=torch.bool), gold[:1, :1].clone()
    for case, offset in (("low", -5.0), ("high", 5.0)):
        moved = single.clone()
        moved[..., 1:] += offset
        tensors[f"onesided.{case}.predict"] = moved
        tensors[f"onesided.{case}.cppl"] = torch.tensor(slow.perplexity(moved, single, one)[1], dtype=torch.float64)
    tensors["onesided.golden"] = single
    _write("cppl", tensors | {"cppl": torch.tensor(value, dtype=torch.float64)})


if __name__ == "__main__":
    main()
