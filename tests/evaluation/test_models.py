"""A model on problems with tests, from the server's answers to the result file and comparison."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import ConfigError
from codefavor.evaluation.compare import compare_results, comparison_text, read_contender
from codefavor.evaluation.model_text import model_text
from codefavor.evaluation.models import Tally
from codefavor.records import Execution, Problem, Row, file_sha256, write_rows
from codefavor.reports.compare_page import compare_html
from codefavor.result_file import MODEL_FORMAT, write_result
from codefavor.training.model_card import public_card
from tests.kit.commands import codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

PROBLEMS = [
    Problem(f"p{n}", f"Add {n} to x.", f"assert add{n}(1) == {n + 1}\nassert add{n}(0) == {n}",
            f"add{n}", license="MIT", source="own")
    for n in range(6)
]  # fmt: skip


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """Six problems of one's own."""
    path = tmp_path / "problems.jsonl"
    write_rows(path, (one.to_row() for one in PROBLEMS))
    return path


def number_of(call: Call) -> int:
    """Which problem a request is about."""
    text = call.body.get("prompt") or call.body["messages"][-1]["content"]
    return int(text.partition("Add ")[2].split()[0])


def answers(*texts: str) -> Any:
    """A server whose n-th sample of problem p is texts[n] with P for its number."""

    def handle(call: Call) -> Reply:
        number = number_of(call)
        reply = openai_reply(call, "")
        for index, choice in enumerate(reply.body["choices"]):
            text = texts[index % len(texts)].replace("P", str(number))
            choice["message"]["content"] = text
        return reply

    return handle


RIGHT = "```python\ndef addP(x):\n    return x + P\n```"
WRONG = "```python\ndef addP(x):\n    return x - P - 1\n```"
UNKNOWN = "```python\nimport addlib\ndef addP(x):\n    return addlib.add(x)\n```"


def test_samples_of_a_server_become_pass_at_k(tmp_path: Path, problems: Path) -> None:
    with LoopbackServer(answers(RIGHT, WRONG, UNKNOWN, "I cannot.")) as server:
        words = (
            "evaluate", "problems", "--data", problems, "--model", "openai:m", "--samples", 4,
            "--temperature", 0.8, "--set", f"base_url={server.url}", "--no-cache",
            "--export", "samples.jsonl",
        )  # fmt: skip
        done = codefavor(*words, home=tmp_path)
        assert done.code == 0, done.stderr
        n_requests = len(server.calls)
        again = codefavor(*words, home=tmp_path)
        assert len(server.calls) == n_requests == 6
    assert "pass@1     25.0" in done.stdout
    assert "pass@4    100.0" in done.stdout
    assert again.stdout == done.stdout
    # Equal numbers by name: the order hangs on no order in which rows ended.
    assert "outcomes: import_error 6, no_code 6, passed 6, wrong_output 6\n" in done.stdout
    assert "failures: no_program 6, no_such_module 6, wrong_answer 6\n" in done.stdout
    result = json.loads((tmp_path / "results/problems.openai-m-t0.8-n4.json").read_text())
    metrics = result["metrics"]
    assert metrics["pass_at_k"]["1"]["mean"] == 0.25
    assert metrics["outcomes"] == {
        "passed": 6, "wrong_output": 6, "import_error": 6, "no_code": 6,
    }  # fmt: skip
    assert metrics["failures"] == {"wrong_answer": 6, "no_such_module": 6, "no_program": 6}
    assert metrics["hallucinated"] == {"no_such_module": {"addlib": 6}}
    assert metrics["parse_rate"] == 0.75
    assert result["usage"]["output_tokens"] == 6 * 28
    exported = [json.loads(line) for line in (tmp_path / "samples.jsonl").open()]
    assert len(exported) == 24
    assert exported[0] == {"task_id": "p0", "solution": "def add0(x):\n    return x + 0\n"}


def test_inputs_of_programs_that_read_and_print_have_time_and_memory(tmp_path: Path) -> None:
    cases = {"cases": [{"input": "1", "output": "2"}, {"input": "30", "output": "60"}]}
    problem = Problem("io", "Double.", json.dumps(cases), "")
    write_rows(tmp_path / "problems.jsonl", [problem.to_row()])
    code = "n = int(input())\nx = bytearray(n << 20)\nprint(2 * n)\n"
    sample = {"task_id": "io", "solution": code}
    write_rows(tmp_path / "samples.jsonl", [sample, {**sample, "solution": "print(1 / 0)\n"}])
    done = codefavor("evaluate", "problems", "--data", "problems.jsonl", "--samples-file",
                     "samples.jsonl", "--name", "m", home=tmp_path)  # fmt: skip
    assert done.code == 0, done.stderr
    result = json.loads((tmp_path / "results/problems.m-n2.json").read_text())
    found = result["metrics"]["cases"]
    assert found["n"] == 2
    assert found["cpu_s"] >= found["cpu_s_most"] > 0
    assert found["peak_bytes_most"] > 30 << 20
    assert found["by_problem"]["io"] == {key: found[key] for key in found if key != "by_problem"}
    assert "2 inputs were answered, in 0.0" in done.stdout


def test_a_file_with_samples_of_some_problems(tmp_path: Path) -> None:
    tests = "assert f(1) == 1\nassert f(2) == 2\n"
    rows = [Problem(f"p{n}", f"Give back {n}.", tests, "f").to_row() for n in range(4)]
    write_rows(tmp_path / "p.jsonl", rows)
    code = "def f(x):\n    return x\n"
    write_rows(tmp_path / "s.jsonl", [{"task_id": f"p{n}", "solution": code} for n in (1, 3)])
    command = ("evaluate", "problems", "--data", "p.jsonl", "--samples-file", "s.jsonl")
    done = codefavor(*command, home=tmp_path)
    assert done.code != 0
    assert "2 of 4 problems have fewer than 1 samples" in done.stderr
    assert "--only-sampled" in done.stderr
    done = codefavor(*command, "--only-sampled", home=tmp_path)
    assert done.code == 0, done.stderr
    assert "only 2 of the set's 4 problems" in done.stdout
    result = json.loads((tmp_path / "results/problems.s.json").read_text())
    assert (list(result["problems"]), result["n_in_set"]) == (["p1", "p3"], 4)
    # The first of the problems that have samples; the other is passed over.
    done = codefavor(*command, "--only-sampled", "--limit", "1", "--name", "a", home=tmp_path)
    assert "only 1 of the set's 4 problems" in done.stdout
    results = ("results/problems.s.json", "results/problems.a.json")
    done = codefavor("compare", *results, "--out", "c.html", home=tmp_path)
    assert done.code != 0
    assert "problems" in done.stderr


def test_a_base_model_continues_a_bare_prompt(tmp_path: Path) -> None:
    prompt = 'def add3(x):\n    """Add 3 to x."""\n'
    problem = Problem("p3", "Add 3 to x.", "assert add3(1) == 4\nassert add3(0) == 3", "add3",
                      prompt=prompt)  # fmt: skip
    write_rows(tmp_path / "p.jsonl", [problem.to_row()])

    def handle(call: Call) -> Reply:
        choice = {"index": 0, "text": "    return x + 3\n\nThe end (", "finish_reason": "length"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9}
        return Reply({"choices": [choice], "usage": usage})

    with LoopbackServer(handle) as server:
        done = codefavor(
            "evaluate", "problems", "--data", "p.jsonl", "--model", "openai:m", "--prompt",
            "completion", "--set", f"base_url={server.url}", home=tmp_path,
        )  # fmt: skip
        assert server.calls[0].path.endswith("/completions")
        assert server.calls[0].body["prompt"] == prompt
        assert server.calls[0].body["stop"] == ["\nclass ", "\ndef ", "\n#", "\nif "]
    assert done.code == 0, done.stderr
    assert "pass@1    100.0" in done.stdout


def test_what_failed_counts_as_not_passed_and_is_shown(tmp_path: Path, problems: Path) -> None:
    def handle(call: Call) -> Reply:
        if number_of(call) == 2:
            return Reply({"error": {"message": "no"}}, status=400)
        return answers(RIGHT)(call)

    with LoopbackServer(handle) as server:
        words = (
            "evaluate", "problems", "--data", problems, "--model", "openai:m",
            "--set", f"base_url={server.url}", "--no-cache", "--max-error-rate", 1,
        )  # fmt: skip
        done = codefavor(*words, home=tmp_path)
        assert "pass@1     83.3" in done.stdout
        assert "1 problems have no samples and count as not passed: 1 errors" in done.stdout


EDITED = [Problem.from_row({**PROBLEMS[0].to_row(), "tests": "assert add0(1) == 7"})]


@pytest.mark.parametrize(
    ("rows", "words", "field"),
    [
        ([*EDITED, *PROBLEMS[1:]], [], "p0: tests"),
        (PROBLEMS, ["--wall-s", 9], "p0: limits"),
    ],
    ids=["tests", "limits"],
)
def test_other_tests_or_limits_run_samples_again_and_ask_nobody(
    tmp_path: Path, problems: Path, rows: list[Problem], words: list[Any], field: str
) -> None:
    with LoopbackServer(answers(RIGHT)) as server:
        before = (
            "evaluate", "problems", "--data", problems, "--model", "openai:m",
            "--set", f"base_url={server.url}", "--no-cache",
        )  # fmt: skip
        assert codefavor(*before, home=tmp_path).code == 0
        write_rows(problems, (one.to_row() for one in rows))
        refused = codefavor(*before, *words, home=tmp_path)
        assert refused.code == 2
        assert field in refused.stderr
        assert "--rerun-changed runs what was edited again" in refused.stderr
        done = codefavor(*before, *words, "--rerun-changed", home=tmp_path)
        assert done.code == 0, done.stderr
        assert len(server.calls) == 6
    result = json.loads((tmp_path / "results/problems.openai-m.json").read_text())
    assert result["metrics"]["n_solved"] == (6 if words else 5)
    assert result["limits"]["wall_s"] == (9 if words else 20)


def test_a_larger_limit_goes_on_and_a_smaller_one_exports_its_own(
    tmp_path: Path, problems: Path
) -> None:
    with LoopbackServer(answers(RIGHT)) as server:
        words = (
            "evaluate", "problems", "--data", problems, "--model", "openai:m",
            "--set", f"base_url={server.url}", "--export", "s.jsonl", "--limit",
        )  # fmt: skip
        for limit in (2, 4, 3):
            assert codefavor(*words, limit, home=tmp_path).code == 0
            assert len((tmp_path / "s.jsonl").read_text().splitlines()) == limit
        assert len(server.calls) == 4


PRICE = {"prices": {"openai:m": {"input": 1, "output": 1}}}


def test_cached_replies_were_paid_for_before(tmp_path: Path, problems: Path) -> None:
    (tmp_path / "prices.json").write_text(json.dumps(PRICE))
    with LoopbackServer(answers(RIGHT)) as server:
        runs = [
            codefavor(
                "evaluate", "problems", "--data", problems, "--model", "openai:m", "--prices",
                "prices.json", "--set", f"base_url={server.url}", "--out", out, home=tmp_path,
            )
            for out in ("first", "second")
        ]  # fmt: skip
        n_calls = len(server.calls)
    assert "paid before" not in runs[0].stdout
    said = f"paid before ({n_calls} of {n_calls} replies were cached), $0.0000 for this result"
    assert said in runs[1].stdout


@pytest.mark.parametrize("fault", ["empty", "truncated", "uncounted"])
def test_the_cost_is_that_of_every_reply_or_unknown(
    tmp_path: Path, problems: Path, fault: str
) -> None:
    def handle(call: Call) -> Reply:
        reply = answers(RIGHT)(call)
        choice = reply.body["choices"][0]
        if fault == "uncounted":
            del reply.body["usage"]
        elif number_of(call) < 3:
            choice["message"]["content"] = ""
            choice["finish_reason"] = "stop" if fault == "empty" else "length"
        return reply

    (tmp_path / "prices.json").write_text(json.dumps(PRICE))
    with LoopbackServer(handle) as server:
        done = codefavor(
            "evaluate", "problems", "--data", problems, "--model", "openai:m", "--prices",
            "prices.json", "--set", f"base_url={server.url}", "--max-error-rate", 1, home=tmp_path,
        )  # fmt: skip
    result = json.loads((tmp_path / "results/problems.openai-m.json").read_text())
    # What the server counts: a token of input and seven of output for each of six problems.
    assert result["usage"]["usd"] == (None if fault == "uncounted" else pytest.approx(6 * 8e-6))
    assert ("cost unknown in all" in done.stdout) == (fault == "uncounted")
    assert ("unknown tokens and" in done.stdout) == (fault == "uncounted")
    # The model's own doing counts, the server's does not.
    parsed = {"empty": 1.0, "truncated": 0.5, "uncounted": 1.0}
    assert result["metrics"]["parse_rate"] == parsed[fault]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", 3, "--model", "fake:echo"], "3 samples at temperature 0 are one answer"),
        ([], "which samples? give --model"),
        (["--model", "fake:echo", "--samples-file", "x.jsonl"], "which samples?"),
        (["--samples-file", "x.jsonl"], "x.jsonl"),
        (["--model", "fake:echo", "--prompt", "completion"], "mode"),
        (["--model", "fake:echo", "--export", "evalplus"], "name a file that ends in .jsonl"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(
    tmp_path: Path, problems: Path, words: list[Any], message: str
) -> None:
    done = codefavor("evaluate", "problems", "--data", problems, *words, home=tmp_path)
    assert done.code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


LONG = Problem("p9", "Write a function that adds nine to its only argument x.",
               "assert add9(1) == 10\nassert add9(0) == 9", "add9")  # fmt: skip


def test_a_problem_without_tests_is_one_clear_error(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.jsonl", [
        one.to_row() for one in (PROBLEMS[0], dataclasses.replace(PROBLEMS[1], tests=" \n"))
    ])  # fmt: skip
    rows = [{"task_id": one.id, "solution": "x = 1\n"} for one in PROBLEMS[:2]]
    write_rows(tmp_path / "s.jsonl", rows)
    for words in (
        ["evaluate", "problems", "--data", "p.jsonl", "--samples-file", "s.jsonl"],
        ["score", "s.jsonl", "--problems", "p.jsonl", "--out", "o.jsonl"],
    ):
        done = codefavor(*words, home=tmp_path)
        assert (done.code, done.stdout) == (2, "")
        assert (
            f"1 problems have no tests, and no program passes or fails them: {PROBLEMS[1].id}"
            in (done.stderr)
        )


@pytest.mark.parametrize(
    "row",
    [
        {"problem_id": "p9", "chosen": "x"},
        {"messages": [{"role": "user", "content": f"Task:\n{LONG.instruction}\nBegin."}]},
    ],
    ids=["by id", "by its words"],
)
def test_problems_that_were_trained_on_are_refused(tmp_path: Path, row: Row) -> None:
    write_rows(tmp_path / "p.jsonl", [LONG.to_row()])
    write_rows(tmp_path / "train.jsonl", [row])
    words: list[Any] = ["evaluate", "problems", "--data", "p.jsonl", "--model", "fake:echo"]
    refused = codefavor(*words, "--trained-on", "train.jsonl", home=tmp_path)
    assert refused.code == 2
    assert "1 of 1 problems were trained on: p9 (train.jsonl:1)" in refused.stderr
    allowed = codefavor(*words, "--trained-on", "train.jsonl", "--allow-trained", home=tmp_path)
    # An echo has no program: asked it was, and nothing came of it.
    assert allowed.code == 1 and "no_program" in allowed.stderr


def test_a_run_card_says_what_a_local_model_was_trained_on(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.jsonl", [LONG.to_row()])
    write_rows(tmp_path / "train.jsonl", [{"problem_id": "p9"}])
    folder = tmp_path / "model"
    folder.mkdir()
    card = {"data": {str(tmp_path / "train.jsonl"): "sha", str(tmp_path / "gone.jsonl"): "sha"}}
    (folder / "run.json").write_text(json.dumps(card))
    done = codefavor(
        "evaluate", "problems", "--data", "p.jsonl", "--model", "local:model", home=tmp_path
    )
    assert done.code == 2
    assert "were trained on" in done.stderr
    assert "gone.jsonl, which the model was trained on, is not here" in done.stderr


@pytest.mark.parametrize("data", ["mine/train.jsonl", "outputs/data/train.jsonl"])
@pytest.mark.parametrize("work", [".", "elsewhere"])
def test_an_exported_model_finds_what_it_was_trained_on(
    tmp_path: Path, data: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `train` and `export` leave it: below the working directory, or the model alone elsewhere.
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    write_rows(here / "p.jsonl", [LONG.to_row()])
    (here / data).parent.mkdir(parents=True)
    write_rows(here / data, [{"problem_id": "p9"}])
    model = (here if work == "." else tmp_path / work) / "outputs" / "align" / "model"
    model.mkdir(parents=True)
    card = {
        "config": {"base_model": "me/base"},
        "data": {str(here / data): file_sha256(here / data)},
    }
    text = json.dumps(public_card(card, model))
    assert str(tmp_path) not in text
    (model / "run.json").write_text(text)
    words = ("evaluate", "problems", "--data", "p.jsonl", "--model", f"local:{model}")
    done = codefavor(*words, home=here)
    if work == "elsewhere" and data.startswith("mine"):
        assert "not checked: train.jsonl" in done.stderr
        return
    assert (done.code, "not checked" in done.stderr) == (2, False)
    assert "1 of 1 problems were trained on: p9" in done.stderr
    # Another file of the same name is not what the model was trained on.
    write_rows(here / data, [{"problem_id": "p1"}])
    assert "not checked" in codefavor(*words, home=here).stderr


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (0, "unknown tokens and 0.50 s of running a problem; cost unknown in all"),
        (2, "30 + 60 tokens (over the 2 of 3 problems whose tokens are known) and 0.50 s"),
        (3, "20 + 40 tokens and 0.50 s"),
    ],
)
def test_tokens_a_problem_are_those_of_problems_whose_tokens_are_known(
    known: int, said: str
) -> None:
    tally = Tally(1)
    tally.add(_record("p0", [True]))
    metrics = {**tally.metrics(["p0"]), "n_problems": 3, "run_seconds_per_problem": 0.5}
    result = {
        "metrics": metrics, "benchmark": "b", "model": {"name": "m"}, "settings": {},
        "license": "MIT",
        "usage": {"input_tokens": 60, "output_tokens": 120, "usd": 0.25 if known else None,
                  "n_priced": known, "n_responses": 3},
    }  # fmt: skip
    assert said in model_text(result)


def test_a_model_of_known_skill_is_measured_within_its_interval() -> None:
    """Right with probability p on every problem, in 200 runs of 50 problems and four samples."""
    rng = random.Random(2)
    n_covered, n_runs = 0, 200
    for _ in range(n_runs):
        skill = 0.1 + 0.8 * rng.random()
        tally = Tally(4)
        for number in range(50):
            tally.add(_record(f"p{number}", [rng.random() < skill for _ in range(4)]))
        names = [f"p{number}" for number in range(50)]
        found = tally.metrics(names)["pass_at_k"]["1"]
        n_covered += found["low"] <= skill <= found["high"]
    assert 0.9 <= n_covered / n_runs <= 1.0


def _record(name: str, passed: list[bool], outcome: str = "wrong_output") -> Row:
    completions = [
        {
            "code": "x = 1\n",
            "execution": Execution("passed" if one else outcome, int(one), 1).to_row(),
        }
        for one in passed
    ]
    return {"id": name, "status": "ok", "row": {"id": name, "completions": completions}}


def test_a_rejected_problem_may_have_been_solved() -> None:
    tally = Tally(2)
    tally.add(_record("a", [True, False]))
    tally.add({"id": "b", "status": "rejected", "reason": "truncated", "row": None})
    metrics = tally.metrics(["a", "b"])
    assert metrics["pass_at_k"]["1"]["mean"] == 0.25
    # 1 of 2, and 2 of 2 at most.
    assert metrics["pass_at_1_at_most"] == 0.75
    # Two samples that came, two of the rejected one.
    assert (metrics["n_answered"], metrics["parse_rate"]) == (4, 0.5)


def test_runs_that_say_nothing_count_as_failures_and_bound_the_rate() -> None:
    tally = Tally(2)
    tally.add(_record("a", [True, False], "unsupported"))
    tally.add({"id": "b", "status": "error", "reason": "timeout", "row": None})
    metrics = tally.metrics(["a", "b", "c"])
    assert metrics["pass_at_k"]["1"]["mean"] == pytest.approx(0.5 / 3)
    # Nothing is known to fail: neither the sample that was not run nor those that never came.
    assert metrics["pass_at_1_at_most"] == 1.0
    assert metrics["unknown"] == {"unsupported": 1}
    assert tally.problems["b"]["classes"] == ["request_error"] * 2
    assert tally.problems["c"]["classes"] == ["request_missing"] * 2


def test_a_result_says_how_many_of_its_runs_could_be_forged() -> None:
    record = _record("a", [True, False, True])
    for sample in record["row"]["completions"][:2]:
        sample["execution"] |= {"trust": "together", "accepted": "together"}
    tally = Tally(3)
    tally.add(record)
    metrics = tally.metrics(["a"])
    assert (metrics["n_together"], tally.problems["a"]["passed"]) == (2, 2)


def _result(path: Path, name: str, passed: dict[str, int], n: int = 4, **changes: Any) -> Path:
    tally = Tally(n)
    records = [
        _record(key, [number < n_passed for number in range(n)]) for key, n_passed in passed.items()
    ]
    for record in records:
        tally.add(record)
    row: Row = {
        "format": MODEL_FORMAT,
        "benchmark": "problems",
        "model": {"name": name},
        "settings": {"samples": n, "temperature": 0.8},
        "limits": {"cpu_s": 5.0},
        "accept": "",
        "sandbox_level": "L2",
        "problems_sha256": "s",
        "metrics": tally.metrics(list(passed)),
        "problems": tally.problems,
        **changes,
    }
    write_result(path, row)
    rows = path.parent / "rows"
    rows.mkdir(exist_ok=True)
    write_rows(rows / f"{path.stem}.jsonl", records)
    return path


def test_two_models_are_compared_problem_by_problem(tmp_path: Path) -> None:
    before = _result(tmp_path / "a.json", "before", {"x": 0, "y": 4, "z": 1})
    after = _result(tmp_path / "b.json", "after", {"x": 4, "y": 3, "z": 1})
    (found,) = compare_results([read_contender(before), read_contender(after)])
    (test,) = found.tests
    assert (test.measure, test.mean_b, test.mean_a) == ("pass@1", pytest.approx(5 / 12), 8 / 12)
    assert (found.won, found.lost) == (["x"], ["y"])
    assert found.moves["wrong_answer", "passed"] == 4
    assert found.moves["passed", "wrong_answer"] == 1
    page = compare_html([found])
    assert "after against before" in page
    assert "x = 1" in page


def test_what_changed_most_comes_first_and_equal_changes_by_number(tmp_path: Path) -> None:
    before = dict.fromkeys(("p/2", "p/10", "p/9", "p/1", "q"), 2)
    after = {"p/2": 3, "p/10": 3, "p/9": 4, "p/1": 1, "q": 0}
    paths = [_result(tmp_path / f"{name}.json", name, passed)
             for name, passed in (("before", before), ("after", after))]  # fmt: skip
    (found,) = compare_results([read_contender(path) for path in paths])
    assert found.won == ["p/9", "p/2", "p/10"]
    assert found.lost == ["q", "p/1"]


def test_an_interval_does_not_hang_on_the_order_of_the_records() -> None:
    records = [_record(f"p{n}", [k < n % 8 for k in range(7)]) for n in range(50)]
    names = [record["id"] for record in records]
    shown = []
    for order in (records, records[::-1]):
        tally = Tally(7)
        for record in order:
            tally.add(record)
        shown.append(tally.metrics(names)["pass_at_k"])
    assert shown[0] == shown[1]


def test_one_problem_has_no_interval(tmp_path: Path) -> None:
    paths = [_result(tmp_path / f"{name}.json", name, {"x": 2}) for name in "ab"]
    said = comparison_text(compare_results([read_contender(path) for path in paths]))
    assert "+0.0 points (95 % interval none of one problem) over 1 problems" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": "humaneval"}, "different benchmarks"),
        ({"problems_sha256": "t"}, "not of the same problems or tests"),
        ({"settings": {"samples": 4, "temperature": 0.2}}, "temperature is 0.8 in one and 0.2"),
        ({"limits": {"cpu_s": 1.0}}, "cpu_s is 5.0 in one and 1.0"),
        ({"limits": {}}, "cpu_s is 5.0 in one and 'not stated'"),
        ({"accept": "together"}, "accept is '' in one and 'together'"),
        ({"sandbox_level": "L3"}, "sandbox_level is 'L2' in one and 'L3'"),
    ],
)
def test_results_of_different_things_are_not_compared(
    tmp_path: Path, changes: Row, message: str
) -> None:
    paths = [
        _result(tmp_path / "a.json", "a", {"x": 1}),
        _result(tmp_path / "b.json", "b", {"x": 1}, **changes),
    ]
    done = codefavor("compare", *paths, home=tmp_path)
    assert done.code == 2
    assert message in done.stderr


def test_a_seed_below_zero_is_one_clear_error(tmp_path: Path) -> None:
    paths = [_result(tmp_path / f"{name}.json", name, {"x": 1}) for name in "ab"]
    done = codefavor("compare", *paths, "--seed", -1, home=tmp_path)
    assert done.code == 2
    assert "-1 is not in the range" in done.stderr


def test_one_result_is_no_comparison(tmp_path: Path) -> None:
    path = _result(tmp_path / "a.json", "a", {"x": 1})
    with pytest.raises(ConfigError, match="two results or more"):
        compare_results([read_contender(path)])
