"""Units, ordinals and amounts of money in one form: "324 m" and "324 metres", "first" and "1st".

Not by pint, which reads a thousand letters as units wherever they stand ("5 G" is gravity).
"""

from __future__ import annotations

import re

from codefavor.judges.number_words import NUMBER_WORDS, TENS

# Abbreviations, which count right behind a number and with their own large and small letters.
_SHORT = {
    "m": "metre", "km": "kilometre", "cm": "centimetre", "mm": "millimetre", "ft": "foot",
    "yd": "yard", "yds": "yard", "mi": "mile", "g": "gram", "kg": "kilogram", "mg": "milligram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "l": "litre", "L": "litre", "ml": "millilitre",
    "mL": "millilitre", "ha": "hectare", "h": "hour", "hr": "hour", "hrs": "hour",
    "min": "minute", "mins": "minute", "sec": "seconds", "secs": "seconds", "yr": "year",
    "yrs": "year", "mph": "mile per hour", "kph": "kilometre per hour",
    "km/h": "kilometre per hour", "kW": "kilowatt", "MW": "megawatt", "Hz": "hertz",
    "°C": "degree celsius", "°F": "degree fahrenheit", "°": "degree",
}  # fmt: skip
_NUMBER = rf"(?:\d|(?i:\b(?:{'|'.join(NUMBER_WORDS)})))"
_SHORT_FORM = re.compile(
    rf"({_NUMBER})[\s-]?({'|'.join(map(re.escape, sorted(_SHORT, key=len, reverse=True)))})"
    r"(?![\w/²³^])"
)
# Names that are written in two ways, and plurals.
_SPELLINGS = [
    (re.compile(r"\b(kilo|centi|milli)?(?:metre|meter)s?\b"), r"\1metre"),
    (re.compile(r"\b(milli)?(?:litre|liter)s?\b"), r"\1litre"),
    (re.compile(r"\b(kilo|milli)?gram(?:me)?s?\b"), r"\1gram"),
    (re.compile(r"\bfeet\b"), "foot"),
    (re.compile(r"\binches\b"), "inch"),
    (
        re.compile(
            r"\b(yard|mile|pound|ounce|hectare|acre|hour|minute|day|week|month|year|kilowatt|"
            r"megawatt|degree|dollar|euro|cent|tonne|ton)s\b"
        ),
        r"\1",
    ),
    # 5 km/h are no 5 km.
    (re.compile(r"\b([a-z]+) per (hour|minute|second|day|year)\b"), r"\1per\2"),
]
_SIGNS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_MONEY = re.compile(
    r"(?:\b(?:US|U\.S\.)\s?(?=\$))?([$€£¥])\s?(\d[\d,]*(?:\.\d+)?)(?:\s?(k|m|bn|thousand|million|billion)\b)?",
    re.I,
)
_US_DOLLARS = re.compile(r"\b(?:US|U\.S\.|American) (?=dollars?\b)")
_SCALES = {"k": "thousand", "m": "million", "bn": "billion"}
_ORDINALS = {
    name: number
    for number, name in enumerate(
        re.findall(
            r"\w+",
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
            "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth",
        ),
        start=1,
    )
} | {f"{ten[:-1]}ieth": 20 + 10 * number for number, ten in enumerate(TENS)}
_ORDINAL = re.compile(rf"\b(?:({'|'.join(TENS)})[\s-])?({'|'.join(_ORDINALS)})\b")


def with_whole_units(text: str, *, says_money: bool = False) -> str:
    """The text with abbreviated units written out; its letters may be large or small.

    An amount of money has its scale written out, and if `says_money` also the name of its sign.
    """

    def money(match: re.Match[str]) -> str:
        sign, amount, scale = match.groups()
        scale = (scale or "").lower()
        name = f" {_SIGNS[sign]} " if says_money else " "
        return f" {amount} {_SCALES.get(scale, scale)}{name}"

    text = _MONEY.sub(money, _US_DOLLARS.sub("", text))
    return _SHORT_FORM.sub(lambda match: f"{match[1]} {_SHORT[match[2]]}", text)


def is_money(text: str) -> bool:
    """Whether a text holds an amount with the sign of its currency."""
    return _MONEY.search(text) is not None


def with_one_spelling(text: str) -> str:
    """A text of small letters, with units in the singular, ordinals in digits ("21st")."""
    for form, put in _SPELLINGS:
        text = form.sub(put, text)
    return _ORDINAL.sub(_in_digits, text)


def _in_digits(match: re.Match[str]) -> str:
    number = _ORDINALS[match[2]]
    if match[1]:
        if number > 9:
            return match[0]
        number += 20 + 10 * TENS.index(match[1])
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
