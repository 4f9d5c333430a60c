# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes all-MiniLM-L6-v2 in 8 bits: a quarter of the size, for the zip.

Run by ``build.py`` with NumPy alone: ``python -m tools.encoder.quantise --out FOLDER``. Every matrix is cut into blocks
of 64 numbers of a row; a block is divided by a 127th of its largest number and rounded. Vectors stay in fp32. Each step
is rounded the same way everywhere (IEEE 754), so the files are the same bytes on every machine, and `EIGHT_BITS_SHA256`
holds them to it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from generator.engine.arrays import SCALES, Array, EightBits, Floats, read_arrays, widened
from generator.engine.encoder import BERT_OPTIONS, BERT_SIZES, BertConfig, weight_shapes
from generator.engine.files import (
    DEFAULT_ENCODER,
    EIGHT_BITS,
    EIGHT_BITS_SHA256,
    SETTINGS_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    find_encoder,
    read_settings,
)
from generator.errors import GeneratorError

#: Numbers that share a scale. With one scale a row, 2 of the 280 test lines of `generator.evaluation.implied` were read
#: as another emotion; with 64 none, for 1.3 MB.
BLOCK: Final = 64
#: The largest number in 8 bits: symmetric, so that 0 stays 0.
LARGEST: Final = 127
NOTICE: Final = """\
all-MiniLM-L6-v2, a text encoder of the sentence-transformers project
(https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2), licensed under the Apache License, Version 2.0, whose
text is in the file LICENSE beside this one.

Changed by CTEG for Blender: the weights are stored in 8 bits (blocks of 64 numbers of a row share a scale), the pooler
is left out, and config.json keeps what says how the encoder computes. vocab.txt is unchanged. Distributed on an "AS IS"
basis, without warranties or conditions of any kind.
"""


def eight_bits(matrix: Floats, block: int = BLOCK) -> EightBits:
    """``matrix`` (R, C) in 8 bits; C is a multiple of ``block``."""
    blocks = matrix.reshape(len(matrix), -1, block)
    scales = np.abs(blocks).max(2) / np.float32(LARGEST)
    scales[scales == 0] = 1  # a block of zeros stays one
    numbers = np.rint(blocks / scales[..., None]).astype(np.int8)
    return EightBits(numbers.reshape(matrix.shape), scales)


def safetensors(tensors: Mapping[str, Array]) -> bytes:
    """A safetensors file of I8 and F32 tensors; the same tensors give the same bytes."""
    header: dict[str, Any] = {}
    data = []
    at = 0
    for name in sorted(tensors):
        array = tensors[name]
        kind, stored = ("I8", "|i1") if array.dtype == np.int8 else ("F32", "<f4")
        data.append(array.astype(stored).tobytes())
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + len(data[-1])]}
        at += len(data[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants tensors at multiples of eight bytes
    return len(text).to_bytes(8, "little") + text + b"".join(data)


def quantised(folder: Path) -> dict[str, bytes]:
    """The files of the encoder in ``folder`` (BERT) in 8 bits: name and content."""
    settings = read_settings(folder)
    weights = read_arrays(folder / WEIGHTS_FILE)
    tensors: dict[str, Array] = {}
    for name, shape in weight_shapes(BertConfig.from_json(settings)):
        if len(shape) == 2:
            made = eight_bits(widened(weights[name]))
            tensors |= {name: made.numbers, f"{name}{SCALES}": made.scales}
        else:
            tensors[name] = widened(weights[name])
    kept = {name: settings[name] for name in ("model_type", *BERT_SIZES, *BERT_OPTIONS) if name in settings}
    return {
        SETTINGS_FILE: (json.dumps(kept, indent=1) + "\n").encode(),
        VOCABULARY_FILE: (folder / VOCABULARY_FILE).read_bytes(),
        WEIGHTS_FILE: safetensors(tensors),
        "NOTICE": NOTICE.encode(),
        "LICENSE": Path(__file__).with_name("Apache-2.0.txt").read_bytes(),
    }


def write(files: Mapping[str, bytes], out: Path) -> None:
    """Write ``files`` to the folder ``out``, all or nothing."""
    part = out.with_name(f"{out.name}.part")
    for folder in (part, out):
        shutil.rmtree(folder, ignore_errors=True)
    part.mkdir(parents=True)
    for name, content in files.items():
        (part / name).write_bytes(content)
    part.replace(out)


def main() -> int:
    """Write the folder; 1 with a sentence where the files are not the ones that are expected."""
    parser = argparse.ArgumentParser(prog="python -m tools.encoder.quantise", description=__doc__)
    parser.add_argument("--out", type=Path, default=EIGHT_BITS, help="by default where the generator looks")
    options = parser.parse_args()
    try:
        files = quantised(find_encoder(DEFAULT_ENCODER))
    except (GeneratorError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, digest in EIGHT_BITS_SHA256.items():
        found = hashlib.sha256(files[name]).hexdigest()
        if found != digest:
            print(f"{name} in 8 bits has the SHA-256 {found} and not {digest}; nothing is written.", file=sys.stderr)
            return 1
    write(files, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
