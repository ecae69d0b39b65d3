"""Commit-Instruct: three questions a commit, and every way a row can end, by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Response, Sampling
from codefavor.engine import Context, run
from codefavor.journal import Journal, read_journal
from codefavor.records import Preference, Row
from codefavor.synthesis.commit_instruct import make_commit_instruct_step
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.verify import Verifier
from tests.kit.teacher import COMMIT, CONSTRUCTED, question_of, teacher, written

STATIC = Verifier(ways=frozenset({"static"}))
FORMATS = ["json", "sections"]


def settings(answer_format: str, **options: Any) -> PairSettings:
    return PairSettings(Sampling(temperature=0.7), answer_format, **options)  # type: ignore[arg-type]


async def end_of(
    folder: Path, backend: FakeBackend, answer_format: str, row: Row = COMMIT, **options: Any
) -> Row:
    step = make_commit_instruct_step(settings(answer_format, **options), STATIC)
    with Journal.open(folder / "o", {}) as journal:
        await run(step, [row], journal, context=Context(backend))
    (record,) = read_journal(folder / "o")
    return record


@pytest.mark.parametrize("answer_format", FORMATS)
async def test_a_commit_becomes_a_pair_that_carries_where_it_came_from(
    tmp_path: Path, answer_format: str
) -> None:
    backend = FakeBackend(function=teacher(answer_format))
    record = await end_of(tmp_path, backend, answer_format)
    assert record["status"] == "ok"
    row = record["row"]
    pair = Preference.from_row(row)
    assert pair.instruction == CONSTRUCTED["instruction"]
    assert pair.chosen == CONSTRUCTED["chosen_code"]
    # Blank lines in code are code.
    assert pair.rejected == CONSTRUCTED["rejected_code"]
    assert pair.feedback == "[CHOSEN] says in one call what [REJECTED] spells out."
    assert (pair.source, pair.language, pair.license) == ("commit-instruct", "python", "mit")
    assert pair.meta["aspect"] == "readability"
    assert pair.meta["commit"]["message"] == "Simplify total"
    assert pair.meta["commit"]["source"] == "example/repo"
    assert [turn["role"] for turn in pair.meta["conversation"]] == ["user", "assistant"] * 3
    sent = sum(len(m["content"].split()) for r in backend.requests for m in r.messages)
    assert pair.meta["usage"]["input_tokens"] == sent


async def test_both_formats_make_the_same_row(tmp_path: Path) -> None:
    rows = []
    for answer_format in FORMATS:
        folder = tmp_path / answer_format
        backend = FakeBackend(function=teacher(answer_format))
        row = (await end_of(folder, backend, answer_format))["row"]
        for key in ("format", "conversation", "usage"):
            del row["meta"][key]
        rows.append(row)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("answer_format", FORMATS)
async def test_no_stop_string_and_no_system_text_is_ever_sent(
    tmp_path: Path, answer_format: str
) -> None:
    # The original sent the stop string NO with every turn, to one provider only.
    backend = FakeBackend(function=teacher(answer_format))
    await end_of(tmp_path, backend, answer_format)
    assert [question_of(request) for request in backend.requests] == ["reason", "gate", "construct"]
    assert all(request.stop == () for request in backend.requests)
    assert all(m["role"] != "system" for r in backend.requests for m in r.messages)
    schemas = [request.sampling.json_schema is not None for request in backend.requests]
    assert schemas == [False, answer_format == "json", answer_format == "json"]


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ({"reason": "A rename.", "answer": "no", "aspect": "other"}, "gate_no"),
        ("no", "gate_no"),
        ("[ANSWER] No.", "gate_no"),
        ("NOTE that this is NOT NULL now", "gate_unclear"),
        ("[ANSWER] YES and NO", "gate_unclear"),
        ("[ANSWER] maybe", "gate_unclear"),
        ("The change sums.", "gate_unclear"),
    ],
)
async def test_the_gate_closes_by_name_and_asks_no_further(
    tmp_path: Path, gate: Any, reason: str
) -> None:
    backend = FakeBackend(function=teacher(gate=gate))
    record = await end_of(tmp_path, backend, "sections")
    assert (record["status"], record["reason"]) == ("rejected", reason)
    assert len(backend.requests) == 2
    assert record["row"]["meta"]["kind"] == "rejected"
    assert len(record["row"]["meta"]["conversation"]) == 4
    assert record["row"]["license"] == "mit"


@pytest.mark.parametrize("gate", ["yes", "Yes, and NO caller can pass NOT NULL.", "[ANSWER] YES\n"])
async def test_an_approval_is_heard_in_any_case_and_whatever_it_goes_on_to_say(
    tmp_path: Path, gate: str
) -> None:
    record = await end_of(tmp_path, FakeBackend(function=teacher(gate=gate)), "sections")
    assert record["status"] == "ok"


def changed(**values: str) -> dict[str, str]:
    merged = {**CONSTRUCTED, **values}
    return {name: value for name, value in merged.items() if value}


@pytest.mark.parametrize("answer_format", FORMATS)
@pytest.mark.parametrize(
    ("construct", "reason"),
    [
        (changed(instruction=""), "missing_section:instruction"),
        (changed(criteria=""), "missing_section:criteria"),
        (changed(rejected_code=""), "missing_section:rejected_code"),
        (changed(chosen_code=""), "missing_section:chosen_code"),
        (changed(feedback=""), "missing_section:feedback"),
        (changed(feedback="The second one is shorter."), "feedback_names_no_code"),
        (changed(chosen_code="def total(xs:\n    return sum(xs)\n"), "does_not_parse:chosen"),
        (changed(rejected_code="def total(xs:\n"), "does_not_parse:rejected"),
        (
            changed(chosen_code="def total(xs):  # sums\n    return sum(xs)\n",
                    rejected_code="def total( xs ):\n    '''Doc.'''\n    return sum( xs )\n"),
            "identical_codes",
        ),
        (changed(chosen_code="# only a comment\n"), "empty_code:chosen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_what_is_wrong_with_an_answer_is_the_reason(
    tmp_path: Path, answer_format: str, construct: dict[str, str], reason: str
) -> None:
    backend = FakeBackend(function=teacher(answer_format, construct=construct))
    record = await end_of(tmp_path, backend, answer_format)
    assert (record["status"], record["reason"]) == ("rejected", reason)
    assert record["row"]["instruction"] == construct.get("instruction", "")


async def test_an_answer_cut_off_is_a_rejection_not_half_a_pair(tmp_path: Path) -> None:
    backend = FakeBackend(function=teacher(construct=Response("[INSTRUCTION]\nAdd", "length")))
    record = await end_of(tmp_path, backend, "sections")
    assert (record["reason"], record["detail"]) == (
        "truncated_answer",
        "answer 3: finish reason length",
    )


async def test_one_bad_row_leaves_the_others_alone(tmp_path: Path) -> None:
    rows = [{**COMMIT, "id": f"c{i}"} for i in range(3)]
    del rows[1]["message"]
    step = make_commit_instruct_step(settings("sections"), STATIC)
    with Journal.open(tmp_path / "o", {}) as journal:
        context = Context(FakeBackend(function=teacher()))
        counts = await run(step, rows, journal, context=context)
    assert (counts.n_ok, counts.n_error, counts.reasons) == (2, 1, {"bad_row": 1})


@pytest.mark.parametrize(
    ("language", "chosen", "rejected"),
    [
        ("javascript", "const f = (x) => x + 1;\n", "function f(x) {\n  return x + 1;\n}\n"),
        ("typescript", "const f = (x: number): number => x + 1;\n", "let f = (x: any) => x + 1;\n"),
        ("java", "class A { int f(int x) { return x + 1; } }\n", "int f(int x) { return ++x; }\n"),
        ("go", "func F(x int) int { return x + 1 }\n", "func F(x int) int { x++; return x }\n"),
        ("c", "int f(int x) { return x + 1; }\n", "int f(int x) { x++; return x; }\n"),
        ("cpp", "auto f(int x) { return x + 1; }\n", "int f(int x) { x++; return x; }\n"),
        ("rust", "fn f(x: i32) -> i32 { x + 1 }\n", "fn f(x: i32) -> i32 { return x + 1; }\n"),
        ("ruby", "def f(x) = x + 1\n", "def f(x)\n  return x + 1\nend\n"),
        ("php", "<?php\nfunction f($x) { return $x + 1; }\n", "function f($x) { return ++$x; }\n"),
    ],
)  # fmt: skip
async def test_every_language_has_its_name_its_fence_and_its_reader(
    tmp_path: Path, language: str, chosen: str, rejected: str
) -> None:
    construct = changed(chosen_code=chosen, rejected_code=rejected)
    row = {**COMMIT, "language": language, "old_code": rejected, "new_code": chosen}
    backend = FakeBackend(function=teacher(construct=written(construct, "sections", language)))
    record = await end_of(tmp_path, backend, "sections", row)
    assert record["status"] == "ok", record
    assert record["row"]["chosen"] == chosen
    assert record["row"]["evidence"]["static"]["reader"] == "tree-sitter"
    assert f"```{language}\n{chosen.rstrip()}" in backend.requests[0].messages[0]["content"]
