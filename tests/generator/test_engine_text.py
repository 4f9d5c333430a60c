# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines are read as the ``tokenizers`` library and torch read them."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from generator.engine import files
from generator.engine.arrays import Array, read_arrays, read_weights
from generator.engine.encoder import BertConfig, Encoder, tuned_layers
from generator.engine.files import DEFAULT_ENCODER, EIGHT_BITS, EIGHT_BITS_SHA256, find_encoder, read_settings
from generator.engine.numerics import gelu
from generator.engine.tokens import WordPiece
from generator.errors import EnvironmentProblem
from generator.model.pretrained import load_model
from generator.model.text import TextEncoder
from tools.encoder.quantise import quantised, write

#: Collections of lines that people wrote, beside the repository.
COLLECTIONS = Path(__file__).resolve().parents[3] / "shared" / "text"

#: First and last character of blocks that random lines are made of.
BLOCKS = (
    (0x20, 0x7E), (0x61, 0x7A), (0x00, 0x1F), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x2AF), (0x300, 0x36F),
    (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xE7F),
    (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2100, 0x218F),
    (0x2190, 0x23FF), (0x2600, 0x27BF), (0x3000, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xE000, 0xE0FF), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x10A00, 0x10A5F),
    (0x11000, 0x1107F), (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF),
    (0xE0000, 0xE007F), (0x0, 0x10FFFF),
)  # fmt: skip
#: Written into random lines now and then.
TRAPS = (
    "[SEP]", "[MASK]", "[UNK]", "[CLS]", "[PAD]", "[sep]", "[SEP", "##s", "ﬁ", "İ", "ß", "ẞ", "Σας", "é",
    "e\u0301\u0323", "\U0001d165\u0301", "x\u0301\u302e\U0001d16d", "x" * 100, "y" * 101, "café" * 30, "don't",
    "...", "\u200b", "\r\n", "�", "\u0344", "𝅗𝅥", "한국어", "北京", "👩🏽‍🚀", "①", "²", "\x0b", "\x85", "\u2028",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Path:
    return find_encoder(DEFAULT_ENCODER)


@pytest.fixture(scope="module")
def library(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    return tokenizer


@pytest.fixture(scope="module")
def ours(folder: Path) -> WordPiece:
    return WordPiece.load(folder / "vocab.txt")


def compare(line: str, library: Tokenizer, ours: WordPiece) -> None:
    expected, tokens = library.encode(line), ours(line)
    assert (tokens.ids, tokens.offsets) == (expected.ids, expected.offsets), ascii(line)
    assert tokens.cut == bool(expected.overflowing), ascii(line)


def made_lines(count: int, seed: int = 0) -> list[str]:
    """Lines of one to three scripts each, with spaces, joined by traps."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        blocks = [BLOCKS[i] for i in rng.integers(len(BLOCKS), size=rng.integers(1, 4))]
        points = [int(rng.integers(*blocks[rng.integers(len(blocks))])) for _ in range(rng.integers(1, 60))]
        # Surrogates are no characters, and the library takes none.
        letters = [" " if rng.random() < 0.15 else chr(p) for p in points if not 0xD800 <= p < 0xE000]
        if rng.random() < 0.4:
            letters.insert(int(rng.integers(len(letters) + 1)), TRAPS[rng.integers(len(TRAPS))])
        lines.append("".join(letters))
    return lines


def test_random_lines_of_many_scripts_become_the_same_tokens(library: Tokenizer, ours: WordPiece) -> None:
    for line in ("", " ", *TRAPS, " ".join(TRAPS), "".join(TRAPS), *made_lines(4000)):
        compare(line, library, ours)
        ids = library.encode(line, add_special_tokens=False).ids
        assert ours.unknown_share(line) == (ids.count(100) / len(ids) if ids else 1.0), ascii(line)


@pytest.mark.slow
def test_every_character_there_is_is_normalised_alike(library: Tokenizer, ours: WordPiece) -> None:
    points = [*range(0xD800), *range(0xE000, 0x32000), *range(0x32000, 0x110000, 61), *range(0xE0000, 0xE0200)]
    for first in range(0, len(points), 24):
        compare("".join(f"a{chr(point)}b {chr(point)} " for point in points[first : first + 24]), library, ours)


@pytest.mark.slow
@pytest.mark.skipif(not COLLECTIONS.is_dir(), reason="needs ../shared/text, lines of XED and GoEmotions")
def test_lines_that_people_wrote_become_the_same_tokens(library: Tokenizer, ours: WordPiece) -> None:
    files = [path for path in sorted(COLLECTIONS.rglob("*")) if path.suffix in (".tsv", ".txt")]
    lines = {line.split("\t")[0] for path in files for line in path.read_text("utf-8").split("\n")}
    assert len(lines) > 50_000
    for line in lines:
        compare(line, library, ours)


def test_half_of_a_surrogate_pair_is_dropped(ours: WordPiece) -> None:
    assert ours("a\ud800b").ids == ours("ab").ids


def test_a_comparison_of_tokens_can_fail(library: Tokenizer, folder: Path) -> None:
    words = (folder / "vocab.txt").read_text("utf-8").split("\n")
    words[words.index("kept")] = "[unused999]"
    with pytest.raises(AssertionError):
        compare("you kept it", library, WordPiece(words))


def test_hidden_states_equal_those_of_torch(folder: Path, ours: WordPiece) -> None:
    settings = read_settings(folder)
    config, weights = BertConfig.from_json(settings), read_arrays(folder / "model.safetensors")
    encoder, yardstick = Encoder(config, weights), load_model(folder, settings)
    lines = [
        "No.",
        "You kept it? After all these years, you actually kept it!",
        "Yes!",
        "",
        "so long " * 80,
        "北京 👩🏽‍🚀",
    ]
    ids = [ours(line).ids for line in lines]
    together = encoder(ids)
    for one, hidden in zip(ids, together, strict=True):
        with torch.inference_mode():
            expected = yardstick(torch.tensor([one]), torch.ones(1, len(one), dtype=torch.bool))[0].numpy()
        np.testing.assert_allclose(hidden, expected, atol=1e-5, rtol=0)
        np.testing.assert_allclose(encoder([one])[0], hidden, atol=1e-5, rtol=0)
    lower = encoder(ids, upto=3)
    for hidden, again in zip(together, encoder.onwards(lower, encoder.from_layer(3)), strict=True):
        np.testing.assert_allclose(again, hidden, atol=1e-6, rtol=0)

    # Tuned copies of the upper layers, in half precision, are what an encoder with their weights computes.
    upper = ("encoder.layer.3.", "encoder.layer.4.", "encoder.layer.5.")
    tuned: dict[str, Array] = {
        name: (value * 1.05).astype(np.float16) for name, value in weights.items() if name.startswith(upper)
    }
    first, layers = tuned_layers(config, tuned)
    assert (first, len(layers)) == (3, 3)
    for hidden, expected in zip(encoder.onwards(lower, layers), Encoder(config, weights | tuned)(ids), strict=True):
        np.testing.assert_allclose(hidden, expected, atol=1e-6, rtol=0)
    assert np.abs(encoder.onwards(lower, layers)[1] - together[1]).max() > 1e-2
    assert encoder([]) == []
    with pytest.raises(ValueError, match="513 tokens"):
        encoder([[7] * 513])
    tuned.popitem()
    with pytest.raises(ValueError, match="missing"):
        tuned_layers(config, tuned)
    with pytest.raises(ValueError, match="missing"):
        Encoder(config, {name: value for name, value in weights.items() if "layer.5" not in name})


@pytest.fixture(scope="module")
def eight_bits(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default encoder in 8 bits, made anew."""
    made = tmp_path_factory.mktemp("made") / EIGHT_BITS.name
    write(quantised(folder), made)
    return made


def test_8_bits_are_the_same_bytes_wherever_they_are_made(folder: Path, eight_bits: Path) -> None:
    for file, digest in EIGHT_BITS_SHA256.items():
        assert hashlib.sha256((eight_bits / file).read_bytes()).hexdigest() == digest, file
    assert (eight_bits / "vocab.txt").read_bytes() == (folder / "vocab.txt").read_bytes()
    size = (eight_bits / "model.safetensors").stat().st_size
    assert size < 0.27 * (folder / "model.safetensors").stat().st_size
    for file in ("LICENSE", "NOTICE"):
        assert "Apache License" in (eight_bits / file).read_text("utf-8")


def test_8_bits_are_read_alike_by_numpy_and_torch_and_near_to_32(folder: Path, eight_bits: Path) -> None:
    settings = read_settings(eight_bits)
    config, tokens = BertConfig.from_json(settings), WordPiece.load(eight_bits / "vocab.txt")
    encoder, yardstick = (
        Encoder(config, read_weights(eight_bits / "model.safetensors")),
        load_model(eight_bits, settings),
    )
    exact = Encoder(config, read_arrays(folder / "model.safetensors"))
    ids = [
        tokens(line).ids
        for line in ("No.", "You kept it? After all these years, you actually kept it!", "so long " * 80)
    ]
    for one, hidden, fine in zip(ids, encoder(ids), exact(ids), strict=True):
        with torch.inference_mode():
            expected = yardstick(torch.tensor([one]), torch.ones(1, len(one), dtype=torch.bool))[0].numpy()
        np.testing.assert_allclose(hidden, expected, atol=1e-5, rtol=0)
        cosine = (hidden * fine).sum(1) / np.linalg.norm(hidden, axis=1) / np.linalg.norm(fine, axis=1)
        assert cosine.min() > 0.999 and np.abs(hidden - fine).max() > 1e-4


def test_what_performs_reads_8_bits_where_they_are_and_training_never(
    folder: Path, eight_bits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "EIGHT_BITS", eight_bits)
    assert find_encoder(DEFAULT_ENCODER) == folder == TextEncoder.load().folder
    assert find_encoder(DEFAULT_ENCODER, exact=False) == eight_bits == TextEncoder.load(exact=False).folder
    assert find_encoder(str(folder), exact=False) == folder
    monkeypatch.setattr(files, "EIGHT_BITS", tmp_path / "none")
    assert find_encoder(DEFAULT_ENCODER, exact=False) == folder
    damaged = Path(shutil.copytree(eight_bits, tmp_path / "damaged"))
    monkeypatch.setattr(files, "EIGHT_BITS", damaged)
    for file in EIGHT_BITS_SHA256:
        kept = (damaged / file).read_bytes()
        for content, words in ((kept[:-1] + b"?", "is damaged or another"), (None, "is missing")):
            (damaged / file).unlink()
            if content is not None:
                (damaged / file).write_bytes(content)
            with pytest.raises(
                EnvironmentProblem, match=rf"{file}, a file of the text encoder.* {words}|{words}"
            ) as told:
                find_encoder(DEFAULT_ENCODER, exact=False)
            assert EIGHT_BITS_SHA256[file] in str(told.value) and str(damaged / file) in str(told.value)
            (damaged / file).write_bytes(kept)


def test_gelu_is_exact() -> None:
    x = np.concatenate([np.linspace(-9, 9, 200_001), [-1e4, 1e4, 0]]).astype(np.float32)
    exact = np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])
    assert np.abs((gelu(x.copy()) - exact) / np.maximum(1, np.abs(x))).max() < 1e-7
