# SPDX-License-Identifier: GPL-3.0-or-later
"""The released state dict, by our names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from ..config import PaperConfig

#: bert-base-cased's ids of the markers, in the order of `batches.Marker`: [PAD], [UNK], [CLS], [SEP].
BERT_MARKERS: Final = (0, 100, 101, 102)

_ATTENTION: Final = {
    "w_qs.": "query.",
    "w_ks.": "key.",
    "w_vs.": "value.",
    "fc.": "output.",
    "layer_norm.": "norm.",
}
_FEED_FORWARD: Final = {"w_1.": "widen.", "w_2.": "narrow.", "layer_norm.": "norm."}
#: Released module -> ours, and the names inside it.
_LAYER: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "slf_attn.": ("self_attention.", _ATTENTION),
    "enc_attn.": ("text_attention.", _ATTENTION),
    "slf_attn_second.": ("lta.", _ATTENTION),
    "upper_mu.": ("recognition.mean.", {}),
    "upper_sigma.": ("recognition.log_variance.", {}),
    "down_mu.": ("prior.mean.", {}),
    "down_sigma.": ("prior.log_variance.", {}),
    "enc_attn_second.": ("text_attention_second.", _ATTENTION),
    "pos_ffn.": ("ffn.", _FEED_FORWARD),
    "pri_ffn.": ("guidance.", _FEED_FORWARD),
}
_MODEL: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "decoder.fea_proj.": ("ewa.token.", {}),
    "decoder.fea_attn.": ("ewa.attention.", _ATTENTION),
    "decoder.fea_proj_reverse.": ("ewa.back.", {}),
    "decoder.exp_emb.": ("frame_embedding.", {}),
    "decoder.trg_word_emb.": ("markers.", {}),
    "decoder.layer_norm.": ("embedding_norm.", {}),
    "trg_exp_prj.": ("frames.", {}),
    "trg_word_prj_one_step.": ("guided_frames.", {}),
}
_IN_LAYER: Final = re.compile(r"decoder\.layer_stack\.(\d+)\.(.+)")
#: The text encoder, stored twice, and the table of positions, which we compute.
_ELSEWHERE: Final = ("encoder.", "encoder_pretrained.", "decoder.position_enc.")


def our_name(released: str, config: PaperConfig) -> str | None:
    """Our name of a released parameter; None where it has no place in a `PaperCTEG` of ``config``.

    That is the text encoder (see `released_text_encoder`), and parts that the config switches off.

    Raises:
        ValueError: the name is not one of the released model's.
    """
    if released.startswith(_ELSEWHERE):
        return None
    found = _IN_LAYER.fullmatch(released)
    prefix, rest, table = (f"layers.{found[1]}.", found[2], _LAYER) if found else ("", released, _MODEL)
    for theirs, (ours, inner) in table.items():
        if rest.startswith(theirs):
            name = prefix + ours + _renamed(rest.removeprefix(theirs), inner)
            return name if _present(name, config) else None
    raise ValueError(f"{released!r} is no parameter of the released model")


def from_released_state(
    state: Mapping[str, Tensor], config: PaperConfig, markers: Sequence[int] = BERT_MARKERS
) -> dict[str, Tensor]:
    """The state dict of a `PaperCTEG` from a released one (or from gradients under the same names).

    Args:
        state: the checkpoint's ``model``.
        config: from `PaperConfig.from_settings`.
        markers: token ids of [PAD], [UNK], [CLS], [SEP]; only these rows of the embedding table are ever used.

    Raises:
        ValueError: a name is unknown or the table is too short.
    """
    ours: dict[str, Tensor] = {}
    for released, value in state.items():
        name = our_name(released, config)
        if name == "markers.weight":
            if len(value) <= max(markers):
                raise ValueError(f"{released} has {len(value)} rows; the markers need row {max(markers)}")
            value = value[torch.tensor(markers)]
        if name is not None:
            ours[name] = value
    return ours


def released_text_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the BERT text encoder inside a released one, by BERT's own names.

    Left out are the pooler, which is never used, and the counted position ids that some versions of BERT store.

    Raises:
        ValueError: the state holds no text encoder.
    """
    own = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    if not own:
        raise ValueError("the checkpoint holds no text encoder (no parameter under 'encoder.')")
    return {k: v for k, v in own.items() if not k.startswith("pooler.") and k != "embeddings.position_ids"}


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for theirs, ours in table.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _present(name: str, config: PaperConfig) -> bool:
    if name.startswith("ewa."):
        return config.ewa != "off"
    if ".lta." in name:
        return config.lta
    if ".guidance." in name or name.startswith("guided_frames."):
        return config.guidance
    return True
