"""A model on problems with tests, from the server's answers to the result file and comparison."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import ConfigError
from codefavor.evaluation.compare import compare_results, read_contender
from codefavor.evaluation.models import Tally
from codefavor.records import Execution, Problem, Row, write_rows
from codefavor.reports.compare_page import compare_html
from codefavor.result_file import MODEL_FORMAT, write_result
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
        assert server.calls[0].body["stop"] == ["\nif __name__", "\nprint(", "\nassert ", "\n```"]
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", 3, "--model", "fake:echo"], "3 samples at temperature 0 are one answer"),
        ([], "which samples? give --model"),
        (["--model", "fake:echo", "--samples-file", "x.jsonl"], "which samples?"),
        (["--samples-file", "x.jsonl"], "x.jsonl"),
        (["--model", "fake:echo", "--prompt", "completion"], "mode"),
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
    assert allowed.code == 0


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


def test_a_model_of_known_skill_is_measured_within_its_interval() -> None:
    """Right with probability p on every problem, in 200 runs of 50 problems and four samples."""
    rng = random.Random(2)
    n_covered, n_runs = 0, 200
    for run in range(n_runs):
        skill = 0.1 + 0.8 * rng.random()
        tally = Tally(4)
        for number in range(50):
            tally.add(_record(f"p{number}", [rng.random() < skill for _ in range(4)]))
        names = [f"p{number}" for number in range(50)]
        found = tally.metrics(names, seed=run)["pass_at_k"]["1"]
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


def test_runs_that_say_nothing_count_as_failures_and_bound_the_rate() -> None:
    tally = Tally(2)
    tally.add(_record("a", [True, False], "unsupported"))
    tally.add({"id": "b", "status": "error", "reason": "timeout", "row": None})
    metrics = tally.metrics(["a", "b", "c"], seed=0)
    assert metrics["pass_at_k"]["1"]["mean"] == pytest.approx(0.5 / 3)
    assert metrics["pass_at_1_at_most"] == pytest.approx(1 / 3)
    assert metrics["unknown"] == {"unsupported": 1}
    assert tally.problems["b"]["classes"] == ["request_error"] * 2
    assert tally.problems["c"]["classes"] == ["request_missing"] * 2


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
        "problems_sha256": "s",
        "metrics": tally.metrics(list(passed), seed=0),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": "humaneval"}, "different benchmarks"),
        ({"problems_sha256": "t"}, "not of the same problems or tests"),
        ({"settings": {"samples": 4, "temperature": 0.2}}, "temperature is 0.8 in one and 0.2"),
        ({"limits": {"cpu_s": 1.0}}, "cpu_s is 5.0 in one and 1.0"),
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


def test_one_result_is_no_comparison(tmp_path: Path) -> None:
    path = _result(tmp_path / "a.json", "a", {"x": 1})
    with pytest.raises(ConfigError, match="two results or more"):
        compare_results([read_contender(path)])
