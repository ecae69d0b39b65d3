"""What an answer contains in another form: units, ordinals, money, dates."""

from __future__ import annotations

import pytest

from codefavor.judges.answer_text import contains


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("324 m", "324 metres"), ("324m", "324 meters"), ("five km", "5 kilometers"),
        ("10-km", "10 kilometre"), ("6 ft", "six feet"), ("12 kg", "12 kilograms"),
        ("60 mph", "60 miles per hour"), ("20 °C", "20 degrees Celsius"), ("90 min", "90 minutes"),
        ("1st", "first"), ("21st century", "twenty-first century"), ("the 30th", "thirtieth"),
        ("12th", "twelfth"), ("1,000", "one thousand"), ("$5 million", "five million dollars"),
        ("$1,500", "1,500 dollars"), ("$5m", "5 million dollars"), ("£2bn", "2 billion pounds"),
        ("Sept. 3, 1990", "3 September 1990"), ("Sep 3rd 1990", "3 September 1990"),
        ("Monday, September 3, 1990", "3 Sept. 1990"), ("9/3/1990", "3 September 1990"),
        ("03.09.1990", "September 3, 1990"), ("the third of September 1990", "3 September 1990"),
        ("metre", "meters"), ("US$5 million", "$5 million"), ("$5", "5 US dollars"),
        ("Łódź", "Lodz"), ("Straße", "Strasse"), ("Tromsø", "Tromso"), ("Æsop", "Aesop"),
        ("ﬁnance", "finance"), ("the US", "the U.S."), ("¥500", "500 yen"),
    ],
)  # fmt: skip
def test_two_forms_of_one_thing_contain_each_other(one: str, other: str) -> None:
    assert contains(f"It is {one}.", other) == 1.0
    assert contains(f"It is {other}.", one) == 1.0


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("324 km", "324 m"), ("324 million", "324 m"), ("the 5G network", "5 g"),
        ("21st", "first"), ("first", "21st"), ("$5 billion", "$5 million"),
        ("5 million euros", "5 million dollars"), ("9/4/1990", "3 September 1990"),
        ("€5 million", "$5 million"), ("5 million people", "$5 million"), ("50 %", "50"),
        ("told to us", "the US"), ("one of us", "U.S."), ("known who", "WHO"), ("12 m²", "12 m2"),
        ("13/9/1990", "9 January 1990"), ("12 m²", "12 m"), ("5 km/h", "5 km"),
    ],
)  # fmt: skip
def test_another_unit_number_or_day_is_not_contained(answer: str, known: str) -> None:
    assert contains(f"It is {answer}.", known) == 0.0


def test_a_bare_number_answers_what_money_was_asked_for() -> None:
    assert contains("5 million", "$5 million") == 1.0
    assert contains("It is $5 million.", "5 million") == 1.0
