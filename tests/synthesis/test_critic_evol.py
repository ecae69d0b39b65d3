"""Critic-Evol: a critique a draft, good enough as a result of its own, examples that stay put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Response, Sampling
from codefavor.engine import Context, run
from codefavor.journal import Journal, read_journal
from codefavor.languages import parses
from codefavor.prompts import render
from codefavor.records import Preference, Row
from codefavor.synthesis.critic_evol import (
    CRITIQUE,
    MAX_EXAMPLES,
    choose_examples,
    example_answer,
    is_pair,
    load_examples,
    make_critic_evol_step,
)
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.verify import Verifier
from tests.kit.teacher import CRITIQUE as ANSWER
from tests.kit.teacher import DRAFT, teacher

STATIC = Verifier(ways=frozenset({"static"}))
FORMATS = ["json", "sections"]


async def end_of(
    folder: Path, backend: FakeBackend, answer_format: Any = "sections", row: Row = DRAFT
) -> Row:
    step = make_critic_evol_step(PairSettings(Sampling(temperature=0.5), answer_format), STATIC)
    with Journal.open(folder / "o", {}) as journal:
        await run(step, [row], journal, context=Context(backend))
    (record,) = read_journal(folder / "o")
    return record


@pytest.mark.parametrize("answer_format", FORMATS)
async def test_a_draft_becomes_the_rejected_side_of_a_pair(
    tmp_path: Path, answer_format: str
) -> None:
    record = await end_of(tmp_path, FakeBackend(function=teacher(answer_format)), answer_format)
    assert record["status"] == "ok"
    assert is_pair(record["row"])
    pair = Preference.from_row(record["row"])
    assert pair.rejected == DRAFT["code"]
    assert pair.chosen == ANSWER["improved_code"]
    assert pair.feedback == "[CHOSEN] says in one call what [REJECTED] spells out."
    assert (pair.source, pair.problem_id, pair.license) == ("critic-evol", "p1", "Apache-2.0")
    assert pair.meta["draft"] == {"id": "d1", "model": "fake:weak"}
    assert pair.meta["reflection"] == "It adds by hand."
    assert len(pair.meta["conversation"]) == 2
    assert len(pair.meta["examples"]) == 4


async def test_names_and_comments_that_tell_the_side_go_from_codes_and_feedback(
    tmp_path: Path,
) -> None:
    critique = changed(
        improved_code="def total_improved(xs):  # better\n    return sum(xs)\n",
        feedback="[IMPROVED_CODE] lets `total_improved` call sum.",
    )
    record = await end_of(tmp_path, FakeBackend(function=teacher(critique=critique)))
    assert record["row"]["chosen"] == "def total(xs):\n    return sum(xs)\n"
    assert record["row"]["feedback"] == "[CHOSEN] lets `total` call sum."
    assert (record["row"]["meta"]["comments"], record["row"]["meta"]["names"]) == (
        "stripped", "neutral",
    )  # fmt: skip


@pytest.mark.parametrize("answer_format", FORMATS)
async def test_good_enough_is_a_result_of_its_own(tmp_path: Path, answer_format: str) -> None:
    critique = {"reflection": "Fine.", "verdict": "good_enough"}
    if answer_format == "json":
        critique = {**dict.fromkeys(ANSWER, ""), **critique}
    backend = FakeBackend(function=teacher(answer_format, critique=critique))
    record = await end_of(tmp_path, backend, answer_format)
    assert record["status"] == "ok"
    row = record["row"]
    assert not is_pair(row)
    assert (row["kind"], row["code"]) == ("good_enough", DRAFT["code"])
    assert row["meta"]["reflection"] == "Fine."


def changed(**values: str) -> dict[str, str]:
    merged = {**ANSWER, **values}
    return {name: value for name, value in merged.items() if value}


@pytest.mark.parametrize(
    ("critique", "reason"),
    [
        (changed(reflection=""), "missing_section:reflection"),
        (changed(verdict=""), "missing_section:verdict"),
        (changed(criteria=""), "missing_section:criteria"),
        (changed(improved_code=""), "missing_section:improved_code"),
        (changed(feedback=""), "missing_section:feedback"),
        (changed(verdict="perhaps"), "verdict_unclear"),
        (changed(verdict="good enough"), "verdict_contradicts"),
        (changed(feedback="Shorter."), "feedback_names_no_code"),
        (changed(improved_code="def total(xs:\n"), "does_not_parse:chosen"),
        (changed(improved_code=f"# Adds.\n{DRAFT['code']}"), "identical_codes"),
        ("I like it.", "missing_section:reflection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_malformed_is_told_from_good_enough_and_named(
    tmp_path: Path, critique: Any, reason: str
) -> None:
    backend = FakeBackend(function=teacher(critique=critique))
    record = await end_of(tmp_path, backend)
    assert (record["status"], record["reason"]) == ("rejected", reason)
    assert record["row"]["rejected"].startswith("def total")


@pytest.mark.parametrize("feedback", ["[IMPROVED_CODE] is shorter.", "[DRAFT] is longer."])
async def test_feedback_that_names_one_of_the_two_is_enough(tmp_path: Path, feedback: str) -> None:
    backend = FakeBackend(function=teacher(critique=changed(feedback=feedback)))
    assert (await end_of(tmp_path, backend))["status"] == "ok"


@pytest.mark.parametrize("word", ["try", "print", "python", "this"])
async def test_no_letter_of_unfenced_code_is_lost(tmp_path: Path, word: str) -> None:
    # The original stripped the letters of "```python" from both ends of what was not fenced.
    code = {
        "try": "try:\n    import a\nexcept ImportError:\n    a = None\n",
        "print": "print('python')\n",
        "python": "python = 1\n\n\nnothing = python\n",
        "this": "this = 'n'\n",
    }[word]
    text = "\n\n".join(
        f"[{name.upper()}]\n{code if name == 'improved_code' else value}"
        for name, value in ANSWER.items()
    )
    record = await end_of(tmp_path, FakeBackend(function=teacher(critique=text)))
    assert record["row"]["chosen"] == code


async def test_a_dashed_line_in_the_task_breaks_nothing(tmp_path: Path) -> None:
    instruction = "Do this:\n\n--------\n\n-- END [INSTRUCTION] --\n[FEEDBACK]\nand that."
    record = await end_of(
        tmp_path, FakeBackend(function=teacher()), row={**DRAFT, "instruction": instruction}
    )
    assert record["row"]["instruction"] == instruction


async def test_a_withheld_answer_is_one_request_and_a_reason(tmp_path: Path) -> None:
    # The original asked a provider that had blocked the question again and again, forever.
    backend = FakeBackend(function=teacher(critique=Response("", "filtered")))
    record = await end_of(tmp_path, backend)
    assert (record["status"], record["reason"]) == ("rejected", "filtered_answer")
    assert len(backend.requests) == 1


async def test_an_empty_draft_asks_nothing(tmp_path: Path) -> None:
    backend = FakeBackend(function=teacher())
    record = await end_of(tmp_path, backend, row={**DRAFT, "code": " \n"})
    assert (record["reason"], backend.requests) == ("empty_draft", [])


async def examples_of(seed: int, row_id: str, language: str = "python") -> list[str]:
    context = Context(seed=seed).for_row(row_id)
    return [example["id"] for example in choose_examples(context, language)]


async def test_the_order_of_examples_follows_from_seed_and_row_alone() -> None:
    assert await examples_of(0, "a") == await examples_of(0, "a")
    orders = {tuple(await examples_of(0, f"row {i}")) for i in range(40)}
    assert len(orders) > 20
    assert await examples_of(1, "a") != await examples_of(0, "a")


async def test_a_resumed_run_shows_each_row_the_examples_a_whole_run_would(tmp_path: Path) -> None:
    # The original seeded by the place among the rows that were left.
    rows = [{**DRAFT, "id": f"d{i}"} for i in range(12)]
    step = make_critic_evol_step(PairSettings(Sampling(), "sections"), STATIC)
    shown: list[dict[str, Any]] = []
    for folder, parts in (("whole", [rows]), ("resumed", [rows[:5], rows])):
        with Journal.open(tmp_path / folder, {}) as journal:
            for part in parts:
                context = Context(FakeBackend(function=teacher()), seed=3)
                await run(step, part, journal, context=context, concurrency=4)
        found = {r["id"]: r["row"]["meta"]["examples"] for r in read_journal(tmp_path / folder)}
        shown.append(found)
    assert shown[0] == shown[1]
    assert len(shown[0]) == 12


async def test_examples_of_the_language_come_first_and_show_both_verdicts() -> None:
    by_id = {example["id"]: example for example in load_examples()}
    for i in range(30):
        chosen = [by_id[name] for name in await examples_of(0, f"row {i}", "go")]
        verdicts = [example["verdict"] for example in chosen]
        assert 1 <= verdicts.count("good_enough") <= 2
        assert any(example["language"] == "go" for example in chosen)


@pytest.mark.parametrize("n_examples", range(MAX_EXAMPLES + 1))
async def test_the_rules_are_asked_once_whatever_the_number_of_examples(
    tmp_path: Path, n_examples: int
) -> None:
    backend = FakeBackend(function=teacher())
    step = make_critic_evol_step(
        PairSettings(Sampling(), "sections"), STATIC, n_examples=n_examples
    )
    rows = [{**DRAFT, "id": f"d{i}"} for i in range(8)]
    with Journal.open(tmp_path / "o", {}) as journal:
        await run(step, rows, journal, context=Context(backend))
    by_id = {example["id"]: example for example in load_examples()}
    rules = render("critic_evol", format="sections")
    for request in backend.requests:
        texts = [message["content"] for message in request.messages]
        assert len(texts) == 2 * n_examples + 1
        assert [rules in text for text in texts] == [True] + [False] * (2 * n_examples)
    n_good = set()
    for record in read_journal(tmp_path / "o"):
        assert record["status"] == "ok"
        shown = [by_id[name]["verdict"] for name in record["row"]["meta"]["examples"]]
        assert len(set(record["row"]["meta"]["examples"])) == len(shown) == n_examples
        n_good.add(shown.count("good_enough"))
    assert n_good <= {min(1, n_examples), n_examples // 2}


@pytest.mark.parametrize("example", load_examples(), ids=lambda example: example["id"])
def test_every_example_is_what_it_asks_others_to_be(example: Row) -> None:
    assert parses(example["draft"], example["language"])
    for answer_format in FORMATS:
        text = example_answer(example, answer_format)  # type: ignore[arg-type]
        values = CRITIQUE.read(text, answer_format, example["language"])  # type: ignore[arg-type]
        expected = {field.name: example[field.name] for field in CRITIQUE.fields}
        assert values == {name: value for name, value in expected.items() if value}
    if example["verdict"] == "improve":
        assert parses(example["improved_code"], example["language"])
        assert "[DRAFT]" in example["feedback"]
        assert "[IMPROVED_CODE]" in example["feedback"]


def test_the_examples_speak_many_languages() -> None:
    assert len({example["language"] for example in load_examples()}) >= 9
