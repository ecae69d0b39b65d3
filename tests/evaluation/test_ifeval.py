"""IFEval through the command: what is pooled, and what cannot be verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends.base import Sampling
from codefavor.evaluation.ifeval import ifeval_task
from tests.evaluation.test_truthfulness import chat, result_of, write_lines
from tests.kit.commands import codefavor
from tests.kit.server import LoopbackServer


def prompt(key: int, **asked: dict[str, Any]) -> dict[str, Any]:
    names = [name.replace("__", ":") for name in asked]
    return {"key": key, "prompt": f"Prompt {key}", "instruction_id_list": names,
            "kwargs": list(asked.values())}  # fmt: skip


NO_COMMA: dict[str, dict[str, Any]] = {"punctuation__no_comma": {}}
SENTENCES = {"num_sentences": 1, "relation": "at least"}
FOUR = {
    "punctuation__no_comma": {},
    "detectable_format__title": {},
    "change_case__english_capital": {},
    "startend__quotation": {},
}


def evaluate(folder: Path, rows: list[dict[str, Any]], answers: dict[str, str], name: str) -> Any:
    data = write_lines(folder / "ifeval.jsonl", rows)
    with LoopbackServer(chat(answers)) as server:
        done = codefavor(
            "evaluate", "ifeval", "-m", "openai:m", "--name", name, "--set",
            f'base_url="{server.url}/v1"', "--set", "api_key=k", "--data", data,
            "--out", folder / "out", home=folder,
        )  # fmt: skip
    assert done.code == 0, done.stderr
    return result_of(folder / "out", f"*.{name}.json")


@pytest.mark.integration
def test_instructions_are_pooled_over_all_prompts(tmp_path: Path) -> None:
    rows = [prompt(1, **NO_COMMA), prompt(2, **FOUR)]
    # One of one followed, and one of four: 2 of 5, where the mean of shares is 62.5 %.
    found = evaluate(tmp_path, rows, {"Prompt 1": "So it is", "Prompt 2": "So it is"}, "a")
    one = found["metrics"]["measures"]["instructions, strict"]
    assert (one["mean"], one["n"], one["n_parts"]) == (0.4, 2, 5)
    assert found["metrics"]["measures"]["prompts, strict"]["mean"] == 0.5
    evaluate(tmp_path, rows, {"Prompt 1": "Well, so", "Prompt 2": "Well, so"}, "b")
    done = codefavor(
        "compare", tmp_path / "out" / "ifeval.b.json", tmp_path / "out" / "ifeval.a.json",
        home=tmp_path,
    )  # fmt: skip
    assert "instructions, strict: 40.0 against 0.0, +40.0 points" in done.stdout


@pytest.mark.integration
def test_a_prompt_without_an_answer_bounds_by_its_instructions(tmp_path: Path) -> None:
    rows = [prompt(1, **NO_COMMA), prompt(2, **FOUR)]
    found = evaluate(tmp_path, rows, {"Prompt 1": "So it is", "Prompt 2": ""}, "a")
    one = found["metrics"]["measures"]["instructions, strict"]
    assert (one["mean"], one["at_least"], one["at_most"]) == (1.0, 0.2, 1.0)


@pytest.mark.integration
def test_what_cannot_be_verified_is_counted_by_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "none"))
    rows = [
        prompt(1, **NO_COMMA),
        prompt(2, new__instruction={}),
        prompt(3, length_constraints__number_sentences=SENTENCES),
    ]  # fmt: skip
    found = evaluate(tmp_path, rows, {"Prompt": "So it is."}, "a")
    reasons = found["metrics"]["unscored"]
    assert reasons.pop("unknown instruction new:instruction") == 1
    assert set(reasons) <= {"NLTK's data is missing"}
    n = found["metrics"]["measures"]["prompts, strict"]
    assert n["n"] + 1 + sum(reasons.values()) == n["n_items"] == 3
    assert json.dumps(found)


@pytest.mark.integration
def test_arguments_that_no_check_takes_are_counted_and_nobody_is_asked(tmp_path: Path) -> None:
    rows = [
        prompt(1, **NO_COMMA),
        prompt(1, **NO_COMMA),
        prompt(2, length_constraints__number_words={"num_words": 5, "relation": "about"}),
        prompt(3, punctuation__no_comma={"commas": 1}),
        prompt(4, keywords__existence={}),
    ]  # fmt: skip
    found = evaluate(tmp_path, rows, {"Prompt": "So it is."}, "a")
    assert found["metrics"]["n_items"] == 4
    reasons = sorted(found["metrics"]["unscored"])
    assert len(reasons) == 3
    assert reasons[0] == "arguments of keywords:existence: no keywords"
    assert "relation for comparison must be" in reasons[1]
    assert "unexpected keyword argument" in reasons[2]
    (asked,) = (one for one in found["items"].values() if "text" in one)
    assert asked["measures"]["prompts, strict"] == 1.0


def test_an_instruction_without_its_arguments_is_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    data = write_lines(tmp_path / "ifeval.jsonl", [{**prompt(1, **FOUR), "kwargs": [{}]}])
    done = codefavor("evaluate", "ifeval", "-m", "fake:echo", "--data", data, home=tmp_path)
    assert done.code == 2
    assert "kwargs are an object for each" in done.stderr


def test_one_answer_is_always_of_one_language() -> None:
    row = prompt(1, change_case__english_lowercase={})
    measure = ifeval_task([row], Sampling()).measure
    assert len({str(measure(row, "in 1999: total 5, ok")) for _ in range(40)}) == 1
