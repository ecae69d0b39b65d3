"""Answers are read strictly, and the same parts give the same values in either format."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from codefavor.errors import ConfigError, Rejected
from codefavor.prompts import prompt_text
from codefavor.synthesis.commit_instruct import CONSTRUCT
from codefavor.synthesis.critic_evol import CRITIQUE
from codefavor.synthesis.forms import read_choice, require, resolve_format
from tests.kit.teacher import CONSTRUCTED, written


def test_both_formats_give_the_same_values() -> None:
    for answer_format in ("json", "sections"):
        text = written(CONSTRUCTED, answer_format)
        assert CONSTRUCT.read(text, answer_format, "python") == CONSTRUCTED


def test_json_is_found_in_a_fence_and_its_codes_lose_theirs() -> None:
    fenced = {**CONSTRUCTED, "chosen_code": f"```python\n{CONSTRUCTED['chosen_code']}```"}
    text = f"Here:\n```json\n{json.dumps(fenced, indent=2)}\n```\nDone."
    assert CONSTRUCT.read(text, "json", "python") == CONSTRUCTED


@pytest.mark.parametrize(
    "dressed",
    [
        pytest.param(lambda text: f"Sure, here it is: {text}\nI hope that helps.", id="prose"),
        pytest.param(lambda text: text[:-1] + ",}", id="a trailing comma"),
        pytest.param(lambda text: f"It is\n{text[:-1]} ,\n}}\nthere.", id="both"),
        pytest.param(lambda text: f"As {{you}} asked: {text}\nReplace {{name}} by yours.",
                     id="braces in the prose"),
        pytest.param(lambda text: f"```json\n{text}\n```\nIt needs:\n```python\nx = {{}}\n```",
                     id="two fences"),
        pytest.param(lambda text: f'A 5" pipe. {text[:-1]},}} Its "end}}', id="lone quotes"),
        pytest.param(lambda text: f"{text}\n{text}", id="said twice"),
        pytest.param(lambda text: capitals(text, str.upper), id="capitals"),
        pytest.param(
            lambda text: capitals(text, lambda key: key.title().replace("_", " ")), id="words"
        ),
    ],
)  # fmt: skip
def test_an_object_is_read_however_it_is_dressed(dressed: Callable[[str], str]) -> None:
    # What looks like a trailing comma inside a program stays.
    parts = {**CONSTRUCTED, "chosen_code": 'def f():\n    return "[1,]", (2,)\n'}
    assert CONSTRUCT.read(dressed(json.dumps(parts)), "json", "python") == parts


def test_two_different_objects_are_no_answer() -> None:
    text = json.dumps(CONSTRUCTED) + json.dumps({**CONSTRUCTED, "criteria": "Another"})
    with pytest.raises(Rejected, match="bad_json_answer"):
        CONSTRUCT.read(text, "json", "python")


def capitals(text: str, write: Callable[[str], str]) -> str:
    return json.dumps({write(key): value for key, value in json.loads(text).items()})


@pytest.mark.parametrize("text", ["", "no", "[1]", '{"a": ', '"x"'])
def test_text_that_is_no_object_is_a_rejection_with_a_name(text: str) -> None:
    with pytest.raises(Rejected, match="bad_json_answer"):
        CONSTRUCT.read(text, "json", "python")


def test_wrong_types_and_empty_parts_are_missing() -> None:
    values = CONSTRUCT.read('{"instruction": 3, "criteria": "  ", "feedback": "x"}', "json", "go")
    assert values == {"feedback": "x"}
    with pytest.raises(Rejected) as caught:
        require(values, ("feedback", "criteria"))
    assert caught.value.reason == "missing_section:criteria"


def test_every_property_is_required_as_strict_services_want() -> None:
    for form in (CONSTRUCT, CRITIQUE):
        schema = form.schema()
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("form", "prompt"),
    [(CONSTRUCT, "commit_construct"), (CRITIQUE, "critic_evol")],
    ids=["construct", "critique"],
)
def test_the_prompt_asks_for_every_part_in_its_order(form, prompt) -> None:
    text = prompt_text(prompt)
    places = [text.index(f'("{field.name}"') for field in form.fields]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("yes", "yes"),
        ("YES", "yes"),
        ("[YES]", "yes"),
        ("**No.**", "no"),
        ("Yes, it is clear: NOTE that NO caller passes NOT NULL any more.", "yes"),
        ("no - only DIAGNOSTIC text changes, YES", "no"),
        ("- yes", "yes"),
        ("Yes, no doubt about it", "yes"),
        ("", ""),
        ("NOTE: unclear", ""),
        ("nothing", ""),
        ("yesterday", ""),
        ("Yes and no.", ""),
        ("yes/no", ""),
        ("[YES] or [NO]", ""),
        ("It depends.\nyes", ""),
        ("yes\n\nNo.", ""),
        ("The answer is yes", ""),
    ],
)
def test_yes_and_no_are_words_not_substrings(text: str, choice: str) -> None:
    # The original looked for "NO" anywhere: any approval with NOTE or NOT in it was a refusal.
    assert read_choice(text, ("yes", "no")) == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [("good_enough", "good_enough"), ("Good enough.", "good_enough"), ("good", ""),
     ("**GOOD-ENOUGH**", "good_enough"), ("improve", "improve"), ("not good enough", "")],
)  # fmt: skip
def test_choices_of_several_words(text: str, choice: str) -> None:
    assert read_choice(text, ("good_enough", "improve")) == choice


def test_auto_takes_sections_and_json_is_refused_where_the_backend_cannot() -> None:
    assert resolve_format("auto", can_json=True) == "sections"
    assert resolve_format("json", can_json=True) == "json"
    assert resolve_format("auto", can_json=False) == "sections"
    assert resolve_format("sections", can_json=True) == "sections"
    with pytest.raises(ConfigError, match="--format sections"):
        resolve_format("json", can_json=False)
    with pytest.raises(ConfigError, match="known: auto, json, sections"):
        resolve_format("xml", can_json=True)
