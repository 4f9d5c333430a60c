# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator.training.letter_to_sound``: trains and judges letter to sound (`generator.speech.letters`).

The words are those of the CMU Pronouncing Dictionary. First every letter is aligned with the 0 to 2 phonemes that it
says, by expectation maximisation (Black, Lenzo and Pagel 1998); then a network learns to say them one letter after
the other. Words that are held out, alone or with all words that begin alike, are never trained on. The whole takes
about seven minutes on one CPU core.

Phoneme error rates of the weights that are shipped, then of the hand-written rules that they replaced: held-out words
0.080 (0.304), held-out families 0.097 (0.311).
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..speech.dictionary import Phones, entries
from ..speech.letters import ALPHABET, PREVIOUS, WINDOW, LetterModel
from ..writing import write_atomically

#: Words (and words of held-out families) that are judged.
HELD_OUT: Final = 2000
#: A family is all words with the same first letters.
_FAMILY: Final = 5
_SEED: Final = 1998
_HIDDEN: Final = 320
_CHUNK_WIDTH: Final = 24
_EPOCHS: Final = 10
_BATCH: Final = 512
_LEARNING_RATE: Final = 2e-3
_WEIGHT_DECAY: Final = 0.01
_DROPOUT: Final = 0.15
#: Chunks that fewer letters say are accidents of the alignment; words with one are not trained on.
_RAREST_CHUNK: Final = 20
#: Rounds of expectation maximisation, and the words they look at.
_ROUNDS: Final = 6
_ALIGNED_WORDS: Final = 10000

_Ints = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Split:
    """Ordinary words of the dictionary with their pronunciations.

    Attributes:
        train: what the network learns from.
        words: HELD_OUT words held out one by one; their inflections may be in ``train``.
        families: HELD_OUT words at least, held out with every word that has the same first 5 letters.
    """

    train: dict[str, list[Phones]]
    words: dict[str, list[Phones]]
    families: dict[str, list[Phones]]


def split() -> Split:
    """The dictionary's words of letters and apostrophes only, divided by hashes of word and family."""
    ordinary = {word: said for word, said in entries().items() if set(word) <= set(ALPHABET[1:])}
    words = set(sorted(ordinary, key=_hash)[:HELD_OUT])
    members: dict[str, list[str]] = {}
    for word in ordinary:
        members.setdefault(word[:_FAMILY], []).append(word)
    families: set[str] = set()
    for family in sorted(members, key=lambda name: _hash(f"family {name}")):
        if len(families) >= HELD_OUT:
            break
        families.update(members[family])
    return Split(
        train={word: said for word, said in ordinary.items() if word not in words and word not in families},
        words={word: ordinary[word] for word in sorted(words)},
        families={word: ordinary[word] for word in sorted(families - words)},
    )


def distance(said: Sequence[str], reference: Sequence[str]) -> int:
    """Insertions, deletions and substitutions between two sequences of symbols (Levenshtein)."""
    row = list(range(len(reference) + 1))
    for i, symbol in enumerate(said, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(reference, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (symbol != other))
    return row[-1]


def phoneme_error_rate(read: Callable[[str], Phones], words: Mapping[str, Iterable[Phones]]) -> float:
    """Edit distance over reference length, on symbols without stress, to the nearest of each word's pronunciations."""
    errors = total = 0
    for word, pronunciations in words.items():
        said = [symbol for symbol, _ in read(word)]
        references = [[symbol for symbol, _ in phones] for phones in pronunciations]
        fewest, length = min((distance(said, reference), len(reference)) for reference in references)
        errors, total = errors + fewest, total + length
    return errors / total


class _Alignment:
    """Which letters say which phonemes: log-probabilities of chunks by letter, learned from whole words."""

    def __init__(self, words: Mapping[str, Phones]) -> None:
        symbols = sorted({symbol for phones in words.values() for symbol, _ in phones})
        self._symbol = {symbol: i for i, symbol in enumerate(symbols)}
        count = len(symbols)
        self._single, self._double = 1, 1 + count
        chunks = 1 + count + count * count
        self._log = np.full((len(ALPHABET), chunks), -np.log(chunks))
        sample = sorted(words, key=_hash)[:_ALIGNED_WORDS]
        for _ in range(_ROUNDS):
            counts = np.full((len(ALPHABET), chunks), 1e-3)
            for word in sample:
                self._expect(word, words[word], counts)
            self._log = np.log(counts / counts.sum(1, keepdims=True))

    def _scores(self, word: str, phones: Phones) -> tuple[_Doubles, list[_Ints]]:
        """Log-probability (3, L, P) of letter i saying 0, 1 or 2 phonemes that end before j, and the chunks' ids."""
        said = np.array([self._symbol[symbol] for symbol, _ in phones])
        letters = np.array([ALPHABET.index(letter) for letter in word])[:, None]
        ids = [
            np.zeros(len(said) + 1, np.int64),
            self._single + said,
            self._double + said[:-1] * len(self._symbol) + said[1:],
        ]
        scores = np.full((3, len(word), len(said) + 1), -np.inf)
        for size in range(3):
            scores[size, :, size:] = self._log[letters, ids[size][None]]
        return scores, ids

    def _expect(self, word: str, phones: Phones, counts: _Doubles) -> None:
        """Add the expected uses of every chunk in one word (forward-backward over letters)."""
        scores, ids = self._scores(word, phones)
        letters, ends = scores.shape[1:]
        forward = np.full((letters + 1, ends), -np.inf)
        backward = forward.copy()
        forward[0, 0] = backward[letters, -1] = 0.0
        for i in range(letters):
            for size in range(3):
                moved = forward[i, : ends - size] + scores[size, i, size:]
                forward[i + 1, size:] = np.logaddexp(forward[i + 1, size:], moved)
        for i in reversed(range(letters)):
            for size in range(3):
                moved = backward[i + 1, size:] + scores[size, i, size:]
                backward[i, : ends - size] = np.logaddexp(backward[i, : ends - size], moved)
        if not np.isfinite(forward[-1, -1]):
            return
        rows = np.array([ALPHABET.index(letter) for letter in word])
        for size in range(3):
            shares = np.exp(
                forward[:-1, : ends - size] + scores[size, :, size:] + backward[1:, size:] - forward[-1, -1]
            )
            np.add.at(counts, (rows[:, None], ids[size][None]), shares)

    def chunks(self, word: str, phones: Phones) -> list[Phones] | None:
        """What each letter says on the likeliest path (Viterbi); None where the letters are too few."""
        scores, _ = self._scores(word, phones)
        letters, ends = scores.shape[1:]
        best = np.full((letters + 1, ends), -np.inf)
        best[0, 0] = 0.0
        sizes = np.zeros((letters, ends), np.int64)
        for i in range(letters):
            moved = np.full((3, ends), -np.inf)
            for size in range(3):
                moved[size, size:] = best[i, : ends - size] + scores[size, i, size:]
            sizes[i] = moved.argmax(0)
            best[i + 1] = moved.max(0)
        if not np.isfinite(best[-1, -1]):
            return None
        result: list[Phones] = []
        end = ends - 1
        for i in reversed(range(letters)):
            size = int(sizes[i, end])
            result.append(phones[end - size : end])
            end -= size
        return result[::-1]


@dataclass(frozen=True)
class _Samples:
    """N letters of all words.

    Attributes:
        chunks: the C chunks that letters say.
        letters: (N, 2 * WINDOW + 1) rows of the letter table: place in the window times alphabet, plus letter.
        previous: (N, PREVIOUS) the chunks said before, the last one first.
        stressed: (N,) 1 after the primary stress.
        target: (N,) the chunk that the letter says.
    """

    chunks: list[Phones]
    letters: Tensor
    previous: Tensor
    stressed: Tensor
    target: Tensor

    @classmethod
    def of(cls, aligned: Mapping[str, list[Phones]]) -> _Samples:
        """Every letter of the aligned words."""
        uses = Counter(chunk for chunks in aligned.values() for chunk in chunks)
        chunks = [(), *sorted(chunk for chunk, count in uses.items() if chunk and count >= _RAREST_CHUNK)]
        number = {chunk: i for i, chunk in enumerate(chunks)}
        rows: list[list[int]] = []
        for word, said in aligned.items():
            if all(chunk in number for chunk in said):
                rows += _rows(word, [number[chunk] for chunk in said], [_has_primary(chunk) for chunk in said])
        table = torch.tensor(rows)
        window = 2 * WINDOW + 1
        places = torch.arange(window) * len(ALPHABET)
        return cls(chunks, table[:, :window] + places, table[:, window : window + PREVIOUS], table[:, -2], table[:, -1])


def _has_primary(chunk: Phones) -> bool:
    return any(stress == 1 for _, stress in chunk)


def _rows(word: str, said: list[int], primary: list[bool]) -> list[list[int]]:
    """A row for each letter of a word: its window, the chunks before it, whether stress is past, its chunk."""
    signs = [0] * WINDOW + [ALPHABET.index(letter) for letter in word] + [0] * WINDOW
    before = [0] * PREVIOUS + said
    return [
        [
            *signs[i : i + 2 * WINDOW + 1],
            *before[i : i + PREVIOUS][::-1],
            int(any(primary[:i])),
            said[i],
        ]
        for i in range(len(word))
    ]


class _Network(nn.Module):
    """What `LetterModel` runs, for training; its attributes bear the same names."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self.letters = nn.EmbeddingBag((2 * WINDOW + 1) * len(ALPHABET), _HIDDEN, mode="sum")
        self.chunk = nn.Embedding(chunks, _CHUNK_WIDTH)
        self.previous = nn.Linear(PREVIOUS * _CHUNK_WIDTH, _HIDDEN, bias=False)
        self.stressed = nn.Embedding(2, _HIDDEN)
        self.hidden = nn.Linear(_HIDDEN, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, chunks)
        self.dropout = nn.Dropout(_DROPOUT)
        for table in (self.letters, self.stressed):
            nn.init.normal_(table.weight, std=(2 * WINDOW + 1 + PREVIOUS) ** -0.5)

    def forward(self, letters: Tensor, previous: Tensor, stressed: Tensor) -> Tensor:
        """Scores (B, C) of the chunks that each letter may say."""
        said = self.previous(self.chunk(previous).flatten(1))
        first = self.dropout(torch.relu(self.letters(letters) + said + self.stressed(stressed)))
        second = first + torch.relu(self.hidden(first))
        scores: Tensor = self.output(self.dropout(second))
        return scores

    def save(self, path: Path, chunks: Sequence[Phones]) -> None:
        """Write the file that `LetterModel.load` reads: 8-bit weights with a scale for each row."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "chunks": np.array([" ".join(_written(phone) for phone in chunk) for chunk in chunks]),
            "stressed": _half(self.stressed.weight),
            "hidden_bias": _half(self.hidden.bias),
            "output_bias": _half(self.output.bias),
        }
        weights = {
            "letters": self.letters.weight,
            "chunk": self.chunk.weight,
            "previous": self.previous.weight.T,
            "hidden": self.hidden.weight.T,
            "output": self.output.weight.T,
        }
        for name, weight in weights.items():
            scale = weight.detach().abs().amax(1).clamp(min=1e-8) / 127
            arrays[name] = torch.round(weight.detach() / scale[:, None]).to(torch.int8).numpy()
            arrays[f"{name}_scale"] = scale.numpy()
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def _half(values: Tensor) -> npt.NDArray[np.float16]:
    return values.detach().numpy().astype(np.float16)


def _written(phone: tuple[str, int]) -> str:
    symbol, stress = phone
    return f"{symbol}{stress}" if symbol[0] in "AEIOU" else symbol


def train(words: Mapping[str, list[Phones]], out: Path) -> None:
    """Align, train and write ``out``; only the first pronunciation of each word is learned."""
    torch.manual_seed(_SEED)
    first = {word: pronunciations[0] for word, pronunciations in words.items()}
    alignment = _Alignment(first)
    aligned = {word: chunks for word, phones in first.items() if (chunks := alignment.chunks(word, phones))}
    samples = _Samples.of(aligned)
    print(f"{len(aligned)} words, {len(samples.target)} letters, {len(samples.chunks)} chunks", flush=True)
    network = _Network(len(samples.chunks))
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    steps = _EPOCHS * (len(samples.target) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, steps, pct_start=0.1)
    for epoch in range(_EPOCHS):
        start, losses = time.perf_counter(), 0.0
        for batch in torch.randperm(len(samples.target)).split(_BATCH):
            if len(batch) < _BATCH:
                continue
            scores = network(samples.letters[batch], samples.previous[batch], samples.stressed[batch])
            loss = nn.functional.cross_entropy(scores, samples.target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.item()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1} loss {losses * _EPOCHS / steps:.4f} in {seconds:.0f} s", flush=True)
    network.save(out, samples.chunks)


def main() -> None:
    """Train unless ``--judge`` is given, then print the phoneme error rates of held-out words and families."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the weights, generator/speech/letters.npz")
    parser.add_argument("--judge", action="store_true", help="only measure the weights that are there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = split()
    if not options.judge:
        train(parts.train, options.out)
    model = LetterModel.load(options.out)
    for name, words in (("words", parts.words), ("families", parts.families)):
        print(f"held-out {name}: {len(words)}, phoneme error rate {phoneme_error_rate(model.read, words):.4f}")


if __name__ == "__main__":
    main()
