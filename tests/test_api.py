"""The Python door as scripts and as notebooks use it: inside a running event loop too."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

import codefavor
from codefavor import Comparison, Preference
from codefavor.records import write_rows
from tests.kit.server import LoopbackServer, Reply

PAIRS = [
    Preference(
        id=f"p{n}",
        instruction=f"Add {n} to x.",
        chosen=f"def add(x):\n    result = x + {n}\n    return result",
        rejected=f"def add(x):\n    return x + {n + 1}",
        problem_id=f"q{n}",
        level="<easy>" if n % 2 else "hard",
    )
    for n in range(6)
]


def plainly(function):
    return function()


def as_in_a_notebook(function):
    """The same inside a running event loop, where a cell's code runs."""

    async def cell():
        return function()

    return asyncio.run(cell())


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(params=[plainly, as_in_a_notebook], ids=["script", "notebook"])
def run(request):
    return request.param


def answer(call):
    """A chat model that knows: the program with the local variable is the better one."""
    text = call.body["messages"][-1]["content"]
    winner = "A" if "result" in text.split("Program B:")[0] else "B"
    content = json.dumps({"feedback": "", "winner": winner})
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    message = {"message": {"content": content}, "finish_reason": "stop"}
    return Reply(body={"choices": [message], "usage": usage, "model": "m"})


def test_a_loaded_judge_compares_one_and_several(run):
    with codefavor.load_judge("shorter") as judge:
        one = Comparison("x", "ab", "abcd")
        assert run(lambda: judge.compare(one)).choice == "A"
        assert [v.choice for v in run(lambda: judge.compare([one, one.swap()]))] == ["A", "B"]


def test_a_chat_judge_is_asked_over_http_again_and_again(run):
    with LoopbackServer(answer) as server:
        base_url = f"{server.url}/v1"

        def use():
            with codefavor.load_judge("openai:m", base_url=base_url, mode="structured") as judge:
                first = judge.compare(Comparison("x", "result = 1", "1"))
                return first, judge.compare(Comparison("x", "1", "result = 1"))

        assert [verdict.choice for verdict in run(use)] == ["A", "B"]
        assert len(server.calls) == 2


def test_the_execution_judge_finds_its_tests_by_instruction(run, tmp_path):
    problem = codefavor.Problem("q1", "Add 1 to x.", "assert add(1) == 2", "add")
    write_rows(tmp_path / "problems.jsonl", [problem.to_row()])

    def use():
        with codefavor.load_judge("execution", tests=str(tmp_path / "problems.jsonl")) as judge:
            return judge.compare(Comparison("Add 1 to x.", PAIRS[1].rejected, PAIRS[1].chosen))

    assert run(use).choice == "B"


def test_an_evaluation_gives_a_table_and_its_file(run, tmp_path):
    result = run(lambda: codefavor.evaluate("longer", PAIRS, out=tmp_path))
    # Six problems with the same score: Wilson's interval of so many.
    assert result.accuracy == 1 and result.interval == (pytest.approx(0.6097, abs=1e-4), 1)
    assert [line["group"] for line in result.table()] == ["all", "hard", "<easy>"]
    assert result.table()[0]["n"] == "6"
    assert json.loads(result.path.read_text()) == result.row
    assert "gain over the best trivial baseline" in str(result)


class Shape(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_a_notebook_shows_the_result_as_a_table_with_every_text_escaped(tmp_path):
    shape = Shape(codefavor.evaluate("longer", PAIRS, out=tmp_path)._repr_html_())
    assert shape.tags.count("tr") == 4 and "easy" not in shape.tags
    assert "<easy>" in shape.texts and "100.0" in shape.texts


def test_an_evaluation_by_a_server_goes_on_where_it_was_and_pays_nothing_twice(run, tmp_path):
    write_rows(tmp_path / "pairs.jsonl", [pair.to_row() for pair in PAIRS])
    with LoopbackServer(answer) as server:

        def use(out, **more):
            with codefavor.load_judge("openai:m", base_url=f"{server.url}/v1") as judge:
                return codefavor.evaluate(
                    judge, tmp_path / "pairs.jsonl", out=tmp_path / out,
                    cache=tmp_path / "cache.sqlite", **more,
                )  # fmt: skip

        assert run(lambda: use("a")).accuracy == 1
        assert len(server.calls) == 12
        assert run(lambda: use("a")).row["metrics"]["overall"]["n"] == 6
        assert run(lambda: use("b", orders="one")).accuracy == 1
        assert len(server.calls) == 12


UNCLOSED = """
import asyncio, gc, sys, codefavor
def cell(door):
    if door == "compare":
        judge = codefavor.load_judge("openai:m")
        judge.compare(codefavor.Comparison("x", "result = 1", "1"))
        if "forgotten" in sys.argv:
            del judge
            gc.collect()
    elif door == "evaluate":
        codefavor.evaluate("openai:m", "pairs.jsonl", cache="cache.sqlite")
    else:
        judge = codefavor.load_judge("openai:m")
        codefavor.evaluate(judge, "pairs.jsonl", cache="cache.sqlite")
async def in_a_notebook(door):
    cell(door)
if "notebook" in sys.argv:
    asyncio.run(in_a_notebook(sys.argv[1]))
else:
    cell(sys.argv[1])
"""


@pytest.mark.parametrize("where", ["script", "notebook"])
@pytest.mark.parametrize(
    "words", [("compare",), ("compare", "forgotten"), ("evaluate",), ("evaluate a judge",)], ids=str
)
def test_a_judge_that_nobody_closes_leaves_no_connection_open(tmp_path, words, where):
    write_rows(tmp_path / "pairs.jsonl", [pair.to_row() for pair in PAIRS])
    with LoopbackServer(answer) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "k"}
        command = [sys.executable, "-c", UNCLOSED, *words, where]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert server.calls
    assert "nclosed" not in done.stderr and "Traceback" not in done.stderr


CELL = """
import asyncio, sys, codefavor
async def cell():
    codefavor.evaluate("openai:m", "pairs.jsonl", concurrency=1, cache="cache.sqlite")
# As a notebook's kernel runs its cells: an interrupt raises where the code is.
asyncio.new_event_loop().run_until_complete(cell())
"""


def test_an_interrupt_in_a_notebook_keeps_what_is_in_flight_and_ends_the_run(tmp_path):
    write_rows(tmp_path / "pairs.jsonl", [pair.to_row() for pair in PAIRS])

    def slowly(call):
        reply = answer(call)
        reply.delay_s = 0.5
        return reply

    with LoopbackServer(slowly) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "k"}

        def start():
            return subprocess.Popen([sys.executable, "-c", CELL], cwd=tmp_path, env=environment)

        running = start()
        while len(server.calls) < 3:
            time.sleep(0.02)
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.wait(30) != 0
        n_before = len(server.calls)
        # Both questions of the row in flight may still be asked; no further row is.
        assert 3 <= n_before <= 4
        assert start().wait(120) == 0
        assert len(server.calls) == 12


def test_tests_run_in_the_sandbox(run):
    execution = run(lambda: codefavor.run_tests("def f():\n    return 1", "assert f() == 1"))
    assert (execution.outcome, execution.passed, execution.total) == ("passed", 1, 1)
    failed = run(lambda: codefavor.run_tests("def f():\n    return 2", "assert f() == 1"))
    assert failed.outcome != "passed"


def test_pairs_are_read_and_converted(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_rows(path, [pair.to_row() for pair in PAIRS])
    pairs = codefavor.load_pairs(str(path))
    assert pairs == PAIRS
    rows = codefavor.convert(pairs, "dpo", system="none")
    assert len(rows) == 6 and PAIRS[0].chosen in json.dumps(rows[0]).replace("\\n", "\n")
    assert len(codefavor.convert(pairs, "pairwise")) == 12
    path.write_text('{"id": "x"}\n')
    with pytest.raises(codefavor.CodefavorError, match=r"pairs.jsonl:1"):
        codefavor.load_pairs(path)


def test_a_benchmarks_pairs_are_not_converted(monkeypatch):
    from codefavor.audits.benchmark_rows import pair_hash

    known = {"codeprefbench": frozenset({pair_hash(PAIRS[2].chosen, PAIRS[2].rejected)})}
    monkeypatch.setattr("codefavor.audits.benchmark_rows.known_hashes", lambda _: known)
    with pytest.raises(codefavor.CodefavorError, match="1 of codeprefbench"):
        codefavor.convert(PAIRS, "dpo")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: codefavor.load_judge("likelihood"), "write likelihood:FOLDER"),
        (lambda: codefavor.load_judge("shorter", mode="x"), "has no option --mode"),
        (lambda: codefavor.load_judge("execution"), "needs the tests"),
        (lambda: codefavor.load_judge("ngram"), "labelled pairs"),
        *(
            (
                partial(codefavor.evaluate, "shorter", PAIRS, **{name: number}),
                f"{name} is {number}; expected a whole number from 1",
            )
            for name in ("limit", "sample")
            for number in (0, -3, 2.5)
        ),
        (lambda: codefavor.evaluate("shorter", "nowhere.jsonl"), "no benchmark of codeprefbench"),
        (lambda: codefavor.evaluate("shorter", PAIRS, limt=3), "has no 'limt'"),
        (lambda: codefavor.evaluate("shorter", PAIRS, protocol="ours"), "protocol"),
    ],
)
def test_bad_input_is_an_error_that_says_what_to_do(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(codefavor.CodefavorError, match=message):
        call()


def test_the_page_about_python_runs_as_cells_of_a_notebook(run, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[1] / "docs" / "python.md"
    cells = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(cells) == 3
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "pairs.jsonl", [pair.to_row() for pair in PAIRS])
    names = {}
    for cell in cells:
        # A model would take longer; which judge it is makes no difference to the door.
        code = compile(cell.replace("likelihood:FOLDER", "shorter"), "cell", "exec")
        run(lambda code=code: exec(code, names))
    lines = capsys.readouterr().out.splitlines()
    # Of the two lambdas the first is shorter; of PAIRS the shorter program is always the wrong one.
    assert lines[0] == "A None" and lines[1].startswith("0.0 (0.0, 0.39")
    assert lines[3] == "passed 1 1" and lines[4].startswith("6 [")


def test_there_are_ten_names_and_importing_them_costs_less_than_a_third_of_a_second():
    assert len(codefavor.__all__) == 10
    assert set(codefavor.__all__) <= set(dir(codefavor))
    # CPU seconds of the import itself, whatever else the machine does: the best of three.
    code = (
        "import time; start = time.process_time(); import codefavor; "
        "print(time.process_time() - start)"
    )
    found = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(found) < 0.3
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = codefavor.evaluat


@pytest.mark.parametrize(
    ("judge", "settings", "words"),
    [
        ("shorter", {"aspects": ["security"]}, "aspects is for codeprefbench"),
        ("shorter", {"aspects": ("nonsense",)}, "nonsense"),
        ("shorter", {"comments": "strip"}, "comments is for codeprefbench"),
        ("shorter", {"attack_side": "chosen"}, "attack_side belongs to --attack"),
        ("shorter", {"budget_usd": 1}, "budget_usd is for chat models"),
        ("shorter", {"budget_tokens": 1}, "budget_tokens is for chat models"),
        ("shorter", {"cache": "c.sqlite"}, "cache is for chat models"),
        ("shorter", {"prices": "p.json"}, "prices is for chat models"),
        ("shorter", {"concurrency": 3}, "concurrency means nothing to shorter"),
        ("shorter", {"data": "/nope"}, "data is for a benchmark's name"),
        ("shorter", {"has_style_control": "x"}, "has_style_control is 'x'"),
        ("shorter", {"limit": "3"}, "limit is '3'; expected a whole number"),
        ("shorter", {"criteria": 5}, "criteria is 5; expected a string"),
        ("shorter", {"group_by": 5}, "group_by is 5; expected a list"),
        ("openai:m", {"budget_usd": "much"}, "budget_usd is 'much'; expected a number"),
        ("openai:m", {"concurrency": "many"}, "concurrency is 'many'; expected an integer"),
        (5, {}, "KIND:NAME, is 5; expected a string"),
    ],
)
def test_what_does_not_apply_or_is_of_another_type_is_refused(judge, settings, words, tmp_path):
    with pytest.raises(codefavor.CodefavorError, match=re.escape(words)):
        codefavor.evaluate(judge, PAIRS, out=tmp_path, **settings)
    assert list(tmp_path.rglob("*.json*")) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: codefavor.load_judge(5), "is 5; expected a string"),
        (lambda: codefavor.load_judge("openai:m", temperature="hot"), "--temperature is 'hot'"),
        (lambda: codefavor.load_judge("openai:m", max_tokens="x"), "--max-tokens is 'x'"),
        (lambda: codefavor.load_judge("shorter", seed="x"), "seed is 'x'"),
        (lambda: codefavor.load_judge("jury:shorter,longer", by_probability="no"), "'no'"),
        (lambda: codefavor.load_judge("shorter", cache="c"), "cache is for chat models"),
        (
            lambda: codefavor.load_judge("ngram", concurrency=3),
            "means nothing to ngram",
        ),
        (lambda: codefavor.load_judge("openai:m", concurrency=0), "at least 1; found 0"),
        (lambda: codefavor.load_judge("openai:m", budget_usd="x"), "budget_usd is 'x'"),
        (lambda: codefavor.load_judge("shorter").compare("xy"), "a list of Comparison"),
        (lambda: codefavor.load_judge("shorter").compare({"instruction": "a"}), "Comparison"),
        (lambda: codefavor.run_tests(None, "assert 1"), "code is None; expected a string"),
        (lambda: codefavor.run_tests("x = 1", "assert 1", cpu_s="5"), "cpu_s is '5'"),
        (lambda: codefavor.convert(PAIRS, "dpo", foo=1), "convert has no 'foo'"),
        (lambda: codefavor.convert(PAIRS, "dpo", system="zzz"), "system is 'zzz'"),
        (lambda: codefavor.convert([{"id": "1"}], "dpo"), "Preference or Problem, found dict"),
        (lambda: codefavor.Verdict.from_row({"choice": "A", "p_a": 5}), "p_a"),
        (lambda: codefavor.Verdict.from_row({"choice": "A", "p_a": float("nan")}), "p_a"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_it(call, words):
    with pytest.raises(codefavor.CodefavorError, match=re.escape(words)):
        call()


def test_a_field_to_report_apart_may_be_named_alone(tmp_path):
    found = codefavor.evaluate("shorter", PAIRS, out=tmp_path, group_by="level")
    assert list(found.row["subgroups"]) == ["level"]


def test_a_budget_in_money_may_bring_its_own_price(tmp_path):
    with LoopbackServer(answer) as server:
        options = {"base_url": f"{server.url}/v1"}
        judge = codefavor.load_judge("openai:m", backend_options=options)
        kept = {"out": tmp_path / "out", "cache": tmp_path / "c.sqlite"}
        with pytest.raises(codefavor.CodefavorError, match="needs the price of openai:m"):
            codefavor.evaluate(judge, PAIRS, budget_usd=1.0, **kept)
        prices = tmp_path / "prices.json"
        prices.write_text('{"prices": {"openai:m": {"input": 1.0, "output": 2.0}}}')
        found = codefavor.evaluate(judge, PAIRS, budget_usd=1.0, prices=prices, **kept)
        assert found.row["usage"]["usd_paid"] == pytest.approx(12 * (10 + 2 * 5) / 1e6)
        with pytest.raises(codefavor.CodefavorError, match="the budget is spent"):
            codefavor.evaluate(
                judge, PAIRS, budget_tokens=1, out=tmp_path / "b", cache=tmp_path / "d"
            )
        judge.close()
