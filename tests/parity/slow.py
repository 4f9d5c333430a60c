# SPDX-License-Identifier: GPL-3.0-or-later
"""The released model's formulas, written out position by position in double precision.

An independent yardstick: nothing of `generator` is used, and there are no modules, masks or caches; each position loops
over what it may look at. Weights are a dict under the released names. Shapes: B clips, T positions, E channels, J jaw
channels, D width, S tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

State = Mapping[str, Tensor]
#: A standard normal draw of the given shape.
Draw = Callable[[tuple[int, ...]], Tensor]


@dataclass(frozen=True)
class Sizes:
    """Hyper-parameters; the names are those of config_*.json."""

    n_layers: int
    d_model: int = 8
    n_head: int = 2
    d_k: int = 3
    d_v: int = 5
    d_inner: int = 12
    exp_dim: int = 3
    jaw_dim: int = 2
    trg_len: int = 10
    src_len: int = 8

    @property
    def channels(self) -> int:
        return self.exp_dim + self.jaw_dim


@dataclass(frozen=True)
class Clips:
    """What the loader makes of B clips."""

    tokens: list[list[int]]  # B x T marker or [UNK] ids
    is_frame: list[list[bool]]
    attended: list[list[bool]]
    frames: Tensor  # (B, T, E)
    gold: Tensor  # (B, T, E)
    gold_mask: list[list[bool]]


def load_clips(raw: Sequence[Tensor], mean: Tensor, sizes: Sizes, ids: Mapping[str, int]) -> Clips:
    """The loader: a sentence of one [UNK] per frame is tokenised, cut to trg_len and padded, frames laid beside it."""
    n = sizes.trg_len
    tokens, is_frame, attended, gold_mask = [], [], [], []
    frames = torch.zeros(len(raw), n, sizes.channels, dtype=torch.float64)
    for b, clip in enumerate(raw):
        count = len(clip) + 1
        kept = min(count, n - 2)
        sentence = [ids["[CLS]"]] + [ids["[UNK]"]] * kept + [ids["[SEP]"]]
        used = [True] * len(sentence) + [False] * (n - len(sentence))
        sentence += [ids["[PAD]"]] * (n - len(sentence))
        first_to_last = [i for i in range(n - 1) if used[i]]
        tokens.append(sentence[:-1])
        attended.append(used[:-1])
        gold_mask.append(used[1:])
        # The first and the last position in use are taken for the two markers, even where the last one is a frame.
        is_frame.append([used[i] and i not in (first_to_last[0], first_to_last[-1]) for i in range(n - 1)])
        for i, frame in enumerate([mean, *clip][: n - 1]):
            frames[b, i + 1] = frame
    return Clips(tokens, is_frame, attended, frames[:, :-1], frames[:, 1:], gold_mask)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    """Weight and, where there is one, bias."""
    out = x @ state[f"{name}.weight"].T
    return out + state[f"{name}.bias"] if f"{name}.bias" in state else out


def norm(state: State, name: str, x: Tensor) -> Tensor:
    """LayerNorm of one vector (D,), eps 1e-6."""
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-6).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def attend(state: State, name: str, query: Tensor, seen: Sequence[Tensor], sizes: Sizes) -> Tensor:
    """One query (D,) over the vectors it may look at; residual, LayerNorm."""
    merged = []
    for head in range(sizes.n_head):
        keys = slice(head * sizes.d_k, (head + 1) * sizes.d_k)
        values = slice(head * sizes.d_v, (head + 1) * sizes.d_v)
        q = state[f"{name}.w_qs.weight"][keys] @ query
        scores = torch.stack([q @ (state[f"{name}.w_ks.weight"][keys] @ x) for x in seen]) / math.sqrt(sizes.d_k)
        weights = scores.exp() / scores.exp().sum()
        merged.append(sum(w * (state[f"{name}.w_vs.weight"][values] @ x) for w, x in zip(weights, seen, strict=True)))
    return norm(state, f"{name}.layer_norm", linear(state, f"{name}.fc", torch.cat(merged)) + query)


def feed_forward(state: State, name: str, x: Tensor) -> Tensor:
    """ReLU network of one vector (D,) with residual and LayerNorm."""
    inner = linear(state, f"{name}.w_1", x).clamp(min=0)
    return norm(state, f"{name}.layer_norm", linear(state, f"{name}.w_2", inner) + x)


def position(index: int, width: int) -> Tensor:
    """Sinusoidal position (D,)."""
    angles = [index / 10000 ** (2 * (d // 2) / width) for d in range(width)]
    return torch.tensor([math.cos(a) if d % 2 else math.sin(a) for d, a in enumerate(angles)], dtype=torch.float64)


def jaw_shift(state: State, mean_frame: Tensor, sizes: Sizes) -> Tensor:
    """EwA: what a (mean) frame (E,) adds to its jaw channels, (J,)."""
    tokens = [linear(state, "decoder.fea_proj", value.reshape(1)) for value in mean_frame]
    expression, jaw = tokens[: sizes.exp_dim], tokens[sizes.exp_dim :]
    attended = [attend(state, "decoder.fea_attn", token, expression, sizes) for token in jaw]
    return torch.cat([linear(state, "decoder.fea_proj_reverse", token) for token in attended])


def decode(
    state: State, sizes: Sizes, clips: Clips, memory: Tensor, text_mask: Tensor, mode: str, draw: Draw, ewa: bool = True
) -> dict[str, Tensor]:
    """The decoder and its two projections; ``mode`` is train, eval or infer. Returns taps, outputs and the KL term."""
    batch, count = clips.frames.shape[:2]
    shift = torch.zeros(batch, sizes.jaw_dim, dtype=torch.float64)
    if ewa:
        shift = torch.stack([jaw_shift(state, clip.mean(0), sizes) for clip in clips.frames])
    x = _each(batch, count, lambda b, i: _embed(state, sizes, clips, shift, b, i))
    out = {"tap.ewa_shift": shift[:, :, None], "tap.dec_in": x}
    text = [[memory[b, s] for s in range(memory.shape[1]) if text_mask[b, s]] for b in range(batch)]
    guided: Tensor | None = None
    divergences = []
    for number in range(sizes.n_layers):
        layer = Layer(state, sizes, f"decoder.layer_stack.{number}.", clips.attended, text)
        taps, x, guided, divergence = decode_layer(layer, x, guided, mode, draw)
        out |= {f"tap.layer{number}.{name}": value for name, value in taps.items()}
        divergences.append(divergence)
    out["out.pred"] = linear(state, "trg_exp_prj", x)
    if guided is not None:
        out["out.prior_pred"] = linear(state, "trg_word_prj_one_step", guided)
    out["loss.kl"] = torch.stack(divergences).mean()
    return out


@dataclass(frozen=True)
class Layer:
    """A decoder layer's weights, and what each position may look at."""

    state: State
    sizes: Sizes
    prefix: str
    attended: list[list[bool]]
    text: list[list[Tensor]]

    def over_past(self, block: str, x: Tensor) -> Tensor:
        """Self-attention of (B, T, D): each position looks at itself and the past, padding left out."""

        def one(b: int, i: int) -> Tensor:
            seen = [x[b, j] for j in range(i + 1) if self.attended[b][j]]
            return attend(self.state, self.prefix + block, x[b, i], seen, self.sizes)

        return _each(*x.shape[:2], one)

    def over_text(self, block: str, x: Tensor) -> Tensor:
        """Text cross-attention of (B, T, D)."""
        name = self.prefix + block
        return _each(*x.shape[:2], lambda b, i: attend(self.state, name, x[b, i], self.text[b], self.sizes))

    def feed_forward(self, block: str, x: Tensor) -> Tensor:
        """Feed-forward network of (B, T, D)."""
        return _each(*x.shape[:2], lambda b, i: feed_forward(self.state, self.prefix + block, x[b, i]))


def decode_layer(
    layer: Layer, x: Tensor, guided: Tensor | None, mode: str, draw: Draw
) -> tuple[dict[str, Tensor], Tensor, Tensor | None, Tensor]:
    """One layer: its taps, its output (B, T, D), its branch of latent guidance (B, T - 1, D), its KL term."""
    taps = {"slf_attn": layer.over_past("slf_attn", x)}
    taps["enc_attn"] = layer.over_text("enc_attn", taps["slf_attn"])
    taps["slf_attn_second"] = layer.over_past("slf_attn_second", taps["enc_attn"])
    for block in ("upper_mu", "upper_sigma", "down_mu", "down_sigma"):
        taps[block] = linear(layer.state, layer.prefix + block, taps["slf_attn_second"])
    q_mean, q_log = taps["upper_mu"][:, 1:], taps["upper_sigma"][:, 1:]
    p_mean, p_log = taps["down_mu"][:, :-1], taps["down_sigma"][:, :-1]
    divergence = (0.5 * (p_log - q_log + (q_log.exp() + (q_mean - p_mean) ** 2) / p_log.exp() - 1)).mean()
    shape = tuple(p_mean.shape)
    if mode == "train":
        z = q_mean + (q_log / 2).exp() * draw(shape)
        alone = p_mean + (p_log / 2).exp() * draw(shape)
    else:
        z = alone = p_mean + (p_log / 2).exp() * draw(shape)
    if mode != "infer":
        guided = layer.feed_forward("pri_ffn", alone if guided is None else alone + guided)
        taps["pri_ffn"] = guided
    last = torch.zeros_like(z[:, :1])  # the last position gets no latent
    taps["enc_attn_second"] = layer.over_text("enc_attn_second", taps["slf_attn"] + torch.cat([z, last], 1))
    taps["pos_ffn"] = layer.feed_forward("pos_ffn", taps["enc_attn_second"])
    return taps, taps["pos_ffn"] + math.exp(0.5) * draw(tuple(x.shape)), guided, divergence


def _embed(state: State, sizes: Sizes, clips: Clips, shift: Tensor, b: int, i: int) -> Tensor:
    frame = clips.frames[b, i]
    if clips.is_frame[b][i]:
        shifted = torch.cat([frame[: sizes.exp_dim], frame[sizes.exp_dim :] + shift[b]])
        x = linear(state, "decoder.exp_emb", shifted)
    else:
        x = state["decoder.trg_word_emb.weight"][clips.tokens[b][i]]
        if clips.tokens[b][i] == 0:  # the padding row never receives a gradient
            x = x.detach()
    return norm(state, "decoder.layer_norm", x * math.sqrt(sizes.d_model) + position(i, sizes.d_model))


def _each(batch: int, count: int, value: Callable[[int, int], Tensor]) -> Tensor:
    return torch.stack([torch.stack([value(b, i) for i in range(count)]) for b in range(batch)])


def distance_loss(predicted: Tensor, clips: Clips, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Reconstruction over scored positions but the first, and the first position's mean distance."""
    scored, first = [], []
    for b in range(len(predicted)):
        for i in range(predicted.shape[1]):
            difference = predicted[b, i] - clips.gold[b, i]
            weighted = torch.cat([difference[: sizes.exp_dim], 5 * difference[sizes.exp_dim :]])
            distance = weighted.square().sum().sqrt()
            if i == 0:
                first.append(distance)
            elif clips.gold_mask[b][i]:
                scored.append(distance)
    return torch.stack(scored).mean(), torch.stack(first).mean()


def serial(
    state: State, sizes: Sizes, memory: Tensor, text_mask: Tensor, mean: Tensor, frames: int, draw: Draw, ewa: bool
) -> Tensor:
    """Frame by frame, everything decoded again: (B, frames, E), frame 0 the mean face."""
    batch = len(memory)
    known = [mean.expand(batch, -1)]
    zero = torch.zeros(batch, sizes.channels, dtype=torch.float64)
    while len(known) < frames:
        count = len(known) + 2
        clips = Clips(
            [[101] * count] * batch,  # only position 0 is read as a token, and [CLS] is 101
            [[False] + [True] * (count - 1)] * batch,
            [[True] * count] * batch,
            torch.stack([zero, *known, zero], 1),
            torch.zeros(batch, count, sizes.channels, dtype=torch.float64),
            [[False] * count] * batch,
        )
        known.append(decode(state, sizes, clips, memory, text_mask, "infer", draw, ewa)["out.pred"][:, -2].detach())
    return torch.stack(known, 1)


def perplexity(predicted: Tensor, gold: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    """Probability of each frame, (B, T), and the released continuous perplexity."""
    probability = torch.zeros(mask.shape, dtype=torch.float64)
    bits = []
    for b in range(len(mask)):
        run = []
        for t in range(mask.shape[1]):
            corners = [1.0, 1.0]
            for g, m in zip(gold[b, t].tolist(), predicted[b, t].tolist(), strict=True):
                for side, edge in enumerate((0.8, -0.8)):
                    corners[side] *= 0.5 * math.erfc(-(g - m + edge) / 0.2 / math.sqrt(2))
            probability[b, t] = corners[0] - corners[1]
            if mask[b, : t + 1].all():
                run.append(math.log2(max(float(probability[b, t]), 1e-10)))
        bits.append(-sum(run) / len(run))
    return probability, 2 ** (sum(bits) / len(bits))
