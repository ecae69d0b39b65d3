"""Drafts: one row a problem, n completions with ids by content and draws of their own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from codefavor.backends import FakeBackend, Request, Response, Sampling, Usage
from codefavor.engine import Context
from codefavor.engine.output import run_to_file
from codefavor.errors import BackendError, Rejected
from codefavor.records import Problem, Row
from codefavor.synthesis.drafts import (
    completions_of,
    drafts_manifest,
    drafts_messages,
    make_drafts_step,
)

PROBLEM = Problem("p1", "Add `a` and `b`.", "assert add(1, 2) == 3", "add")
SAMPLING = Sampling(temperature=0.8, n=3, max_tokens=50)


def answer(request: Request) -> Response:
    text = f"\nx = {request.sampling.seed}"
    return Response(text, "length", Usage(10, 5))


def test_the_prompt_is_what_people_reviewed() -> None:
    assert drafts_messages(PROBLEM, "```python") == [
        {"role": "system", "content": ""},
        {
            "role": "user",
            "content": "Add `a` and `b`.\n\nAnswer with one python code block that holds the "
            "complete code and defines `add`, nothing else.",
        },
        {"role": "assistant", "content": "```python"},
    ]


def test_a_given_beginning_is_part_of_the_prompt() -> None:
    problem = Problem("p", "Do it.", "t", "f", prompt="def f(x):\n    ...\n")
    assert drafts_messages(problem)[-1]["content"].endswith(
        "\n\nComplete this code:\n```python\ndef f(x):\n    ...\n```"
    )


async def test_drafts_keep_raw_text_code_and_why_they_ended() -> None:
    row = await make_drafts_step(SAMPLING)(PROBLEM.to_row(), Context(FakeBackend(function=answer)))
    drafts = list(completions_of(row))
    assert len(drafts) == 3
    assert len({draft["id"] for draft in drafts}) == 3
    seed = drafts[0]["sampling"]["seed"]
    assert drafts[0]["raw"] == f"```python\nx = {seed}"
    assert drafts[0]["code"] == f"x = {seed}\n"
    assert drafts[0]["finish_reason"] == "length"


async def test_draws_depend_on_seed_problem_and_n_only() -> None:
    async def seed_of(run_seed: int, name: str, n: int) -> int:
        backend = FakeBackend(function=answer)
        row = Problem(name, "i", "t", "e").to_row()
        await make_drafts_step(Sampling(n=n))(row, Context(backend, seed=run_seed))
        found = backend.requests[0].sampling.seed
        assert found is not None
        return found

    base = await seed_of(0, "p", 2)
    assert base == await seed_of(0, "p", 2)
    assert (
        len({base, await seed_of(1, "p", 2), await seed_of(0, "q", 2), await seed_of(0, "p", 3)})
        == 4
    )


async def test_a_backend_without_n_is_asked_n_times_with_different_seeds() -> None:
    backend = FakeBackend(function=answer)
    backend.features = frozenset({"seed"})
    row = await make_drafts_step(SAMPLING)(PROBLEM.to_row(), Context(backend))
    assert len({request.sampling.seed for request in backend.requests}) == 3
    assert all(request.sampling.n == 1 for request in backend.requests)
    assert all(request.messages[-1]["role"] == "user" for request in backend.requests)
    assert len(row["completions"]) == 3


def test_the_file_is_the_same_whatever_the_order_of_the_answers(tmp_path: Path) -> None:
    problems: list[Row] = [Problem(f"p{i}", f"task {i}", "t", "e").to_row() for i in range(9)]
    texts = []
    for name, rows in (("a", problems), ("b", problems[::-1])):
        backend = FakeBackend(function=answer)
        counts = run_to_file(
            make_drafts_step(SAMPLING),
            rows,
            tmp_path / name,
            manifest=drafts_manifest(backend, SAMPLING, 0),
            expand=completions_of,
            context=Context(backend),
        )
        assert counts.n_ok == 9
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 27
    assert json.loads(texts[0].splitlines()[0])["problem_id"] == "p0"


async def test_a_backend_without_seeds_and_n_is_asked_n_times_at_once() -> None:
    in_flight: list[int] = []
    waiting = asyncio.Event()

    async def slow(request: Request) -> str:
        in_flight.append(len(in_flight))
        if len(in_flight) == 3:
            waiting.set()
        await asyncio.wait_for(waiting.wait(), 10)
        return f"x = {len(in_flight)}"

    backend = FakeBackend(function=slow)
    backend.features = frozenset({"stop", "system"})
    row = await make_drafts_step(SAMPLING)(PROBLEM.to_row(), Context(backend))
    assert [request.sampling.seed for request in backend.requests] == [None] * 3
    assert len(list(completions_of(row))) == 3


@pytest.mark.parametrize(
    ("response", "kind", "reason"),
    [
        # The server's doing, which --retry-errors asks again; the others are the model's.
        (Response(" "), BackendError, "empty_answer"),
        (Response("", "filtered"), Rejected, "filtered_answer"),
        (Response("", "length", reasoning="hm"), Rejected, "truncated_answer"),
    ],
    ids=["empty", "filtered", "all tokens spent on reasoning"],
)
async def test_a_problem_without_any_answer_ends_with_the_reason(
    response: Response, kind: type[Rejected | BackendError], reason: str
) -> None:
    step = make_drafts_step(SAMPLING)
    with pytest.raises(kind) as caught:
        await step(PROBLEM.to_row(), Context(FakeBackend(function=lambda request: response)))
    assert caught.value.reason == reason


async def test_one_empty_draft_among_others_stays_a_draft_that_failed() -> None:
    texts = iter(["", "\nx = 1", ""])
    backend = FakeBackend(function=lambda request: next(texts))
    row = await make_drafts_step(SAMPLING)(PROBLEM.to_row(), Context(backend))
    assert [draft["code"].strip() for draft in completions_of(row)] == ["", "x = 1", ""]


TASK = '"""\nDo it.\n"""\n'


@pytest.mark.parametrize(
    ("prompt", "entry_point", "text", "code"),
    [
        ("def f(x):\n", "f", "    return x\n\ndef f(x):\n    return", "def f(x):\n    return x\n"),
        ("", "f", "def f(x):\n    return x\n\nprint(f(", f"{TASK}def f(x):\n    return x\n"),
        ("", "", "n = input()\nprint(n)\n", f"{TASK}n = input()\nprint(n)\n"),
    ],
    ids=["a function begun", "a function", "a program"],
)  # fmt: skip
async def test_a_base_model_is_stopped_where_it_has_left_the_program(
    prompt: str, entry_point: str, text: str, code: str
) -> None:
    backend = FakeBackend(function=lambda request: text)
    problem = Problem("p", "Do it.", "t", entry_point, prompt=prompt)
    step = make_drafts_step(Sampling(n=1), "completion")
    row = await step(problem.to_row(), Context(backend))
    assert [draft["code"] for draft in completions_of(row)] == [code]
    stop = backend.requests[0].stop
    assert len(stop) <= 4
    assert ("\ndef " in stop, "\nclass " in stop, "\n#" in stop) == (bool(prompt),) * 3
    # What a program of its own prints is its answer.
    assert ("\nprint(" in stop) == (bool(entry_point) and not prompt)
