# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers as people say them: amounts, years, times, money, fractions, measures. ``num2words`` spells them out."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..errors import EnvironmentProblem

CURRENCIES: Final = {
    "$": ("dollar", "dollars", "cents"), "£": ("pound", "pounds", "pence"), "€": ("euro", "euros", "cents"),
    "¥": ("yen", "yen", "sen"), "₹": ("rupee", "rupees", "paise"),
}  # fmt: skip
_SCALES: Final = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion"}
#: Singular and plural.
UNITS: Final = {
    "km": "kilometer kilometers", "cm": "centimeter centimeters", "mm": "millimeter millimeters", "m": "meter meters",
    "kg": "kilogram kilograms", "mg": "milligram milligrams", "g": "gram grams", "lb": "pound pounds",
    "lbs": "pound pounds", "oz": "ounce ounces", "ft": "foot feet", "in": "inch inches", "yd": "yard yards",
    "mi": "mile miles", "mph": "mile-an-hour miles-an-hour", "kmh": "kilometer-an-hour kilometers-an-hour",
    "kph": "kilometer-an-hour kilometers-an-hour", "ml": "milliliter milliliters", "l": "liter liters",
    "sec": "second seconds", "secs": "second seconds", "min": "minute minutes", "mins": "minute minutes",
    "hr": "hour hours", "hrs": "hour hours", "yr": "year years", "yrs": "year years", "hz": "hertz hertz",
    "khz": "kilohertz kilohertz", "mhz": "megahertz megahertz", "ghz": "gigahertz gigahertz",
    "kb": "kilobyte kilobytes", "mb": "megabyte megabytes", "gb": "gigabyte gigabytes", "tb": "terabyte terabytes",
    "w": "watt watts", "kw": "kilowatt kilowatts", "x": "times times",
}  # fmt: skip
#: Units that are only taken for units when they touch the number.
TOUCHING: Final = frozenset({"m", "g", "l", "in", "w", "x"})
PARTS: Final = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8),
                 "⅞": (7, 8), "⅕": (1, 5), "⅙": (1, 6)}  # fmt: skip
#: Below these a smaller number is a fraction; 9/11 and 24/7 are none.
_DENOMINATORS: Final = frozenset([*range(2, 11), 12, 16, 32, 64, 100])
#: Digits of the longest number that is said whole; longer ones are said digit by digit.
_LONGEST_NUMBER: Final = 15


@lru_cache(maxsize=4096)
def spelled(value: int, kind: str = "cardinal") -> tuple[str, ...]:
    """A number in words, the American way; ``kind`` is "cardinal", "ordinal" or "year"."""
    try:
        from num2words import num2words
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "Reading numbers aloud needs num2words: install it into this Python with `pip install num2words==0.5.14`."
        ) from None
    text: str = num2words(value, to=kind)
    return tuple(word for word in re.split(r"[\s,-]+", text) if word and word != "and")


def by_digits(text: str) -> list[str]:
    """Digit by digit, as in telephone numbers."""
    return [spelled(int(sign))[0] for sign in text if sign in "0123456789"]


def whole(digits: str) -> list[str]:
    """A whole number as it is said: years by pairs, long strings and those that begin with 0 digit by digit."""
    plain = digits.replace(",", "")
    names = plain == digits and (len(plain) > 9 or re.fullmatch("0.+|911", plain) is not None)
    if names or len(plain) > _LONGEST_NUMBER:
        return by_digits(plain)
    is_year = plain == digits and 1100 <= int(plain) < 2100
    return list(spelled(int(plain), "year" if is_year else "cardinal"))


def quantity(text: str) -> list[str]:
    """A number that counts or measures: sign, thousands, decimals."""
    number = text.lstrip("-−")
    whole, point, decimals = number.partition(".")
    words = ["minus"] if number != text else []
    if whole:
        words += spelled(int(whole.replace(",", ""))) if len(whole) <= _LONGEST_NUMBER else by_digits(whole)
    return words + (["point", *by_digits(decimals)] if point else [])


def pair(digits: str) -> list[str]:
    """Two digits after others: minutes, the end of a house number ("oh five")."""
    return ["oh", *by_digits(digits[1])] if digits[0] == "0" else list(spelled(int(digits)))


def label(digits: str) -> list[str]:
    """A number that names: house 221 is "two twenty one", flight 1080 "ten eighty"."""
    if len(digits) > 4 or (len(digits) > 1 and digits[0] == "0"):
        return by_digits(digits)
    if len(digits) < 3 or digits.endswith("00"):
        return list(spelled(int(digits)))
    return [*spelled(int(digits[:-2])), *pair(digits[-2:])]


def part_of(numerator: int, denominator: int) -> list[str]:
    """A fraction: one half, three quarters, five sixteenths."""
    name = {2: "half", 4: "quarter"}.get(denominator, "") or " ".join(spelled(denominator, "ordinal"))
    if numerator != 1:
        name = "halves" if name == "half" else name + "s"
    return [*spelled(numerator), *name.split()]


def height(text: str) -> list[str]:
    """A person's height: 5 feet 10 is "five foot ten"."""
    feet, inches = re.findall(r"[0-9]+", text)
    return [*spelled(int(feet)), "foot", *spelled(int(inches))]


def date(text: str) -> list[str]:
    """A date in digits: 3/4/2021."""
    return [word for number in re.findall(r"[0-9]+", text) for word in whole(number.lstrip("0") or "0")]


def clock(text: str) -> list[str]:
    """A time of day: 3:30, 10:00, 7:45 p.m."""
    hour, *rest = re.findall(r"[0-9]+", text)
    half = re.search(r"([ap])\.?m", text, re.IGNORECASE)
    words = list(spelled(int(hour)))
    if rest and rest[0] != "00":
        words += pair(rest[0])
    elif rest and not half:
        words += ["o'clock"] if int(hour) <= 12 else ["hundred"]
    if rest[1:]:
        words += ["and", *spelled(int(rest[1])), "seconds"]
    return words + ([{"a": "ay"}.get(half[1].lower(), "p"), "m"] if half else [])


def money(text: str) -> list[str]:
    """An amount of money: $3.50, £1.2 million."""
    one, many, small = next(names for sign, names in CURRENCIES.items() if sign in text)
    found = re.search(r"([0-9][0-9,]*)?(\.[0-9]+)?\s*[$£€¥₹]?\s*([a-zA-Z]*)$", text)
    whole, decimals, scale = (group or "" for group in found.groups()) if found else ("", "", "")
    words = ["minus"] if text[0] in "-−" else []
    if scale or (decimals and len(decimals) != 3):
        scale = _SCALES.get(scale.lower(), scale.lower())
        return [*words, *quantity(whole + decimals), *scale.split(), many]
    has_whole, has_decimals = whole.strip("0,") != "", decimals.strip(".0") != ""
    if has_whole or not has_decimals:
        words += [*quantity(whole or "0"), one if whole == "1" else many]
    if has_decimals:
        words += [*spelled(int(decimals[1:])), *([] if has_whole else [small])]
    return words


def decade(text: str) -> list[str]:
    """A decade: 1990s, '80s."""
    number = re.sub(r"[^0-9]", "", text)
    if number.endswith("00"):
        *words, last = spelled(int(number), "year") if len(number) == 4 else ("zeros",)
    else:
        *words, last = label(number)
    return [*words, last[:-1] + "ies" if last.endswith("y") else last if last.endswith("s") else last + "s"]


def ordinal(text: str) -> list[str]:
    """An ordinal: 22nd."""
    number = re.sub(r"[^0-9]", "", text)
    return list(spelled(int(number), "ordinal")) if len(number) <= _LONGEST_NUMBER else by_digits(number)


def fraction(text: str) -> list[str]:
    """A fraction, or a pair of numbers that looks like one: 1/2, 3¾, 24/7."""
    if text[-1] in PARTS:
        numbers, part = re.findall(r"[0-9]+", text), PARTS[text[-1]]
    else:
        *numbers, above, below = re.findall(r"[0-9]+", text)
        part = (int(above), int(below))
    words = [word for number in numbers for word in (*whole(number), "and")]
    if numbers or (1 <= part[0] < part[1] and part[1] in _DENOMINATORS):
        return words + part_of(*part)
    # 24/7, 9/11, 50/50
    return [*label(str(part[0])), *label(str(part[1]))]


def temperature(text: str) -> list[str]:
    """A temperature: 30 °C."""
    number = re.match(r"[-−]?[0-9.,]+", text)
    scale = {"C": ["celsius"], "F": ["fahrenheit"]}.get(text[-1], [])
    amount = number[0] if number else ""
    return [*quantity(amount), "degree" if amount == "1" else "degrees", *scale]


def measure(text: str) -> list[str]:
    """A number with its unit: 10kg, 60 mph."""
    found = re.fullmatch(r"([-−]?[0-9.,]+) ?(.+)", text)
    amount, name = (found[1], found[2].lower().replace("/", "")) if found else (text, "")
    one, many = UNITS[name].split()
    return [*quantity(amount), *(one if amount == "1" else many).split("-")]


def span(text: str) -> list[str]:
    """From one number to another: 9-5."""
    first, last = re.findall(r"[0-9]+", text)
    return [*whole(first), *([] if first == last else ["to"]), *whole(last)]


def number_said(text: str) -> list[str]:
    """A number by itself: a year, a count, a decimal."""
    return whole(text) if re.fullmatch(r"[0-9,]+", text) else quantity(text)
