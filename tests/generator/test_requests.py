# SPDX-License-Identifier: GPL-3.0-or-later
"""Every request is either performed or refused with a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from generator.direction.requests import Branch, LineRequest, Vary, clean_text
from generator.errors import InputError


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": ""}, "empty"),
        ({"text": " \n\t "}, "empty"),
        ({"text": "a" * 20_000}, r"20,000 characters and the limit is 2,000; split"),
        ({"text": "\N{GRINNING FACE}\N{PARTY POPPER}"}, "only symbols or emoji; type words"),
        ({"text": "מה שלומך היום?"}, "script .* write it in Latin letters"),
        ({"text": "今日はどうですか"}, "write it in Latin letters"),
        ({"text": "Hello\x07 there"}, r"control character \(U\+0007\) at position 6; remove it"),
        ({"text": "a\ud800b"}, r"control character \(U\+D800\)"),
        ({"text": "---"}, "no words"),
        ({"text": "Hi", "seconds": 0}, "length in seconds must be from 0.5 to 60, not 0"),
        ({"text": "Hi", "seconds": -3.0}, "not -3"),
        ({"text": "Hi", "seconds": 60.5}, "not 60.5"),
        ({"text": "Hi", "emotion_to": "grumpy"}, "no emotion called 'grumpy'; choose neutral"),
        ({"text": "Hi", "emotion_to": "auto"}, "no emotion called 'auto'; choose neutral"),
        ({"text": "Hi", "emotion_to": 3}, "'emotion_to' must be an emotion or null, not 3"),
        ({"text": "Hi", "rate": 0.4}, "speaking rate must be from 0.5 to 2, not 0.4"),
        ({"text": "Hi", "rate": "fast"}, "speaking rate must be a number"),
        ({"text": "Hi", "spread": 1}, "'spread' must be true or false, not 1"),
        ({"text": "Hi", "branch": 5}, "'branch' must be null or an object with 'seed' and 'frame'"),
        ({"text": "Hi", "branch": {"seed": 5}}, "an object with 'seed' and 'frame'"),
        ({"text": "Hi", "branch": {"seed": 5, "frame": -1}}, "frame to branch at must be a whole number"),
        ({"text": "Hi", "branch": {"seed": 5, "frame": 2.5}}, "frame to branch at must be a whole number"),
        ({"text": "Hi", "vary": {"seed": -5, "amount": 0.5}}, "seed to vary must be a whole number"),
        ({"text": "Hi", "vary": {"seed": 5, "amount": 1.5}}, "amount to vary by must be from 0 to 1, not 1.5"),
        ({"text": "Hi", "takes": 4, "spread": True, "seed": 2**31 - 8}, "The seed must be a whole number"),
        ({"text": "Hi", "seconds": float("nan")}, "must be a number"),
        ({"text": "Hi", "emotion": "grumpy"}, "no emotion called 'grumpy'; choose auto, neutral, joy"),
        ({"text": "Hi", "intensity": 3.0}, "Intensity must be from 0 to 1.5, not 3"),
        ({"text": "Hi", "temperature": -1.0}, "Temperature"),
        ({"text": "Hi", "takes": 0}, "number of takes must be a whole number from 1"),
        ({"text": "Hi", "takes": 2.5}, "whole number"),
        ({"text": "Hi", "seed": -1}, "The seed"),
        ({"text": "Hi", "seed": True}, "The seed"),
        ({"text": "Hi", "mood": "joy"}, "no field 'mood'"),
        ({"text": 5}, "'text' must be text"),
        ({}, "'text' field"),
        ("Hi", "must be an object"),
    ],
)
def test_bad_requests_are_refused_with_a_sentence(fields: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        LineRequest.from_json(fields)
    assert str(caught.value).endswith(".")


def test_good_lines_are_cleaned_and_warn_of_what_cannot_be_read() -> None:
    assert clean_text("  Hello,\n\tyou!  ") == ("Hello, you!", ())
    assert clean_text("...") == ("...", ())
    text, (warning,) = clean_text("I got the job! \N{PARTY POPPER}")
    assert text.startswith("I got the job!") and "\N{PARTY POPPER} cannot be read" in warning
    assert clean_text("Cafe\u0301 con leche")[0] == "Café con leche"


def test_a_valid_request_keeps_its_settings() -> None:
    request = LineRequest.from_json({"text": "Hi there", "emotion": "awed", "takes": 3, "seed": 9, "seconds": 2.5})
    assert request == LineRequest("Hi there", "awed", takes=3, seed=9, seconds=2.5)
    fields = {
        "emotion_to": "joy", "rate": 0.8, "spread": True, "branch": {"seed": 5, "frame": 12},
        "vary": {"seed": 6, "amount": 0.25},
    }  # fmt: skip
    assert LineRequest.from_json({"text": "Hi", **fields}) == LineRequest(
        "Hi", emotion_to="joy", rate=0.8, spread=True, branch=Branch(5, 12), vary=Vary(6, 0.25)
    )
    assert LineRequest.from_json({"text": "Hi", **dict.fromkeys(("emotion_to", "branch", "vary", "seconds"))}) == (
        LineRequest("Hi")
    )
