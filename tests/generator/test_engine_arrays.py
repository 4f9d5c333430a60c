# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights are read as safetensors reads them, and what is damaged or hostile is refused before it costs memory."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from generator.engine.arrays import EightBits, check_finite, read_arrays, read_weights, widened
from tools.encoder.quantise import BLOCK, eight_bits, safetensors

KINDS = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.uint8, torch.int16, torch.int32,
    torch.int64, torch.bool,
)  # fmt: skip


def test_every_type_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    state = {str(kind): (torch.randn(3, 4) * 50).to(kind) for kind in KINDS}
    state |= {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3), "deep": torch.randn(2, 1, 3, 1)}
    save_file(state, path, {"note": "a word"})
    arrays = read_arrays(path)
    expected = load_file(path)
    assert set(arrays) == set(expected)
    for name, tensor in expected.items():
        numbers = tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
        assert arrays[name].dtype == numbers.dtype
        np.testing.assert_array_equal(arrays[name], numbers)
        assert widened(arrays[name]).dtype == np.float32
    assert set(read_arrays(path, lambda name: name == "deep")) == {"deep"}


def test_a_matrix_in_8_bits_is_near_and_widened_row_by_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(7, 3 * BLOCK)).astype(np.float32) * rng.uniform(0.01, 10, (7, 1)).astype(np.float32)
    matrix[2, BLOCK : 2 * BLOCK] = 0
    made, path = eight_bits(matrix), tmp_path / "w.safetensors"
    vector = matrix[0]
    path.write_bytes(safetensors({"m": made.numbers, "m.scales": made.scales, "v": vector}))
    assert set(load_file(path)) == {"m", "m.scales", "v"}, "the library reads it too"
    stored = read_weights(path)
    assert set(stored) == {"m", "v"} and stored["m"].shape == matrix.shape
    np.testing.assert_array_equal(stored["v"], vector)
    read = stored["m"]
    assert isinstance(read, EightBits) and np.abs(read.numbers).max() == 127
    near = widened(read)
    assert near.dtype == np.float32
    assert (np.abs(near - matrix).reshape(7, 3, BLOCK) <= 0.5001 * read.scales[..., None]).all()
    assert (near[2, BLOCK : 2 * BLOCK] == 0).all()
    rows = np.array([5, 0, 5])
    np.testing.assert_array_equal(read[rows], near[rows])


@pytest.mark.parametrize(
    ("numbers", "scales", "words"),
    [
        (np.zeros((2, 4), np.int8), np.ones((3, 2), np.float32), "does not fit"),
        (np.zeros((2, 4), np.int8), np.ones((2, 3), np.float32), "does not fit"),
        (np.zeros((2, 4), np.int8), np.ones((2, 0), np.float32), "does not fit"),
        (np.zeros(4, np.int8), np.ones((4, 1), np.float32), "does not fit"),
        (np.zeros((2, 4), np.float32), np.ones((2, 1), np.float32), "does not fit"),
        (None, np.ones((2, 1), np.float32), "belongs to no tensor"),
        (np.zeros((2, 4), np.int8), np.full((2, 1), np.nan, np.float32), "not finite"),
    ],
)
def test_scales_that_do_not_fit_are_refused(numbers: Any, scales: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors({"m.scales": scales} | ({} if numbers is None else {"m": numbers})))
    with pytest.raises(ValueError, match=words):
        read_weights(path)


def written(path: Path, header: Any, body: bytes = b"\0" * 16, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + body)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}


HALF = {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}
DAMAGED: dict[str, Callable[[Path], Path]] = {
    "empty": lambda p: (p.write_bytes(b"") and p) or p,
    "five bytes": lambda p: (p.write_bytes(b"12345") and p) or p,
    "a header beyond the file": lambda p: written(p, entry(), length=10**6),
    "a header of 2^63": lambda p: written(p, entry(), length=2**63),
    "no JSON": lambda p: written(p, b"{nothing"),
    "not UTF-8": lambda p: written(p, b'{"\xff": 1}'),
    "nested": lambda p: written(p, b"[" * 100_000),
    "a list": lambda p: written(p, []),
    "an entry that is none": lambda p: written(p, {"a": 3}),
    "no type": lambda p: written(p, {"a": {"shape": [4], "data_offsets": [0, 16]}}),
    "an unknown type": lambda p: written(p, entry(dtype="F8_E4M3")),
    "a type that is none": lambda p: written(p, entry(dtype=["F32"])),
    "a negative size": lambda p: written(p, entry(shape=[-2, -2])),
    "a size that is none": lambda p: written(p, entry(shape=[2, 2.0])),
    "a truth": lambda p: written(p, entry(shape=[4, True])),
    "a shape that is none": lambda p: written(p, entry(shape="22")),
    "another shape": lambda p: written(p, entry(shape=[2, 3])),
    "a shape that overflows": lambda p: written(p, entry(shape=[2**32, 2**32, 4])),
    "many axes": lambda p: written(p, entry(shape=[1] * 40 + [4])),
    "backwards": lambda p: written(p, entry(data_offsets=[16, 0])),
    "before the file": lambda p: written(p, entry(data_offsets=[-16, 0])),
    "three offsets": lambda p: written(p, entry(data_offsets=[0, 8, 16])),
    "cut short": lambda p: written(p, entry(), b"\0" * 15),
    "more than is told": lambda p: written(p, entry(), b"\0" * 17),
    "terabytes": lambda p: written(p, entry(shape=[2**40], data_offsets=[0, 2**42])),
    "a hole": lambda p: written(p, entry(shape=[2], data_offsets=[8, 16])),
    "twice the same bytes": lambda p: written(p, {"a": HALF, "b": HALF}, b"\0" * 8),
}


@pytest.mark.parametrize("make", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_damaged_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "w.safetensors")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        read_arrays(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6, "memory is given out only after sizes are checked"


def test_the_sound_form_of_what_is_damaged_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_arrays(written(tmp_path / "w", entry()))["a"], np.zeros((2, 2)))


def test_a_flipped_byte_is_refused_or_another_number(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_file({"a": torch.ones(3), "b": torch.zeros(2, 2)}, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
        bent = bytearray(whole)
        bent[rng.integers(len(bent))] = int(rng.integers(256))
        path.write_bytes(bent)
        with contextlib.suppress(ValueError):
            read_arrays(path)


def test_values_that_are_not_finite_are_named() -> None:
    check_finite({"a": np.ones(3, np.float16), "b": np.ones(3, np.float64)})
    with pytest.raises(ValueError, match="b is stored as int16"):
        check_finite({"a": np.ones(3, np.float16), "b": np.arange(3, dtype=np.int16)})
    with pytest.raises(ValueError, match="b holds"):
        check_finite({"a": np.ones(3), "b": np.array([1, np.nan], np.float16)})
