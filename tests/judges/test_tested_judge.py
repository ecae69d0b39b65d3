"""The judge that runs programs: what its tests decide, what it asks when they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.backends.base import Request
from codefavor.backends.fake import FakeBackend
from codefavor.cli.evaluate import app
from codefavor.errors import ConfigError
from codefavor.judges.blind_tests import read_draw, signatures_of
from codefavor.judges.llm import LlmJudge
from codefavor.judges.ranking import knock_out
from codefavor.judges.registry import judge_kind
from codefavor.judges.spec import parse_judge
from codefavor.judges.tested import TestedJudge
from codefavor.records import Comparison, Preference, Verdict, write_rows
from codefavor.sandbox import Limits, SandboxPool

RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return x * x\n"
RAISES = "def double(x):\n    raise ValueError('no')\n"
HANGS = "def double(x):\n    while x == 3: pass\n    return 2 * x\n"
TASK = "Give twice the number."
GOOD = "```python\nassert double(3) == 6\nassert double(2) == 4\ndouble(5)\n```"
EVEN = "```python\nassert double(2) == 4\ndouble(5)\n```"


@pytest.fixture(scope="module")
def pool():
    with SandboxPool(1) as pool:
        yield pool


class Model:
    """Writes these tests in turn, and answers questions about programs with `verdict`."""

    def __init__(self, *tests: str, verdict: str = "[RESULT] A") -> None:
        self.tests, self.verdict, self.n_written = tests, verdict, 0
        self.questions: list[str] = []

    def __call__(self, request: Request) -> str:
        said = request.messages[-1]["content"]
        if "no solution" not in said:
            self.questions.append(said)
            return self.verdict
        assert "2 * x" not in said and "x * x" not in said, "it saw a program"
        self.n_written += 1
        return self.tests[(self.n_written - 1) % len(self.tests)]


def judge_of(pool: SandboxPool, model: Model, draws: int = 3, certainty: float = 0.8):
    backend = FakeBackend("fixed", function=model)
    chat = LlmJudge(backend, mode="reasoned")
    return TestedJudge(chat, pool, draws=draws, certainty=certainty)


async def ask(judge: TestedJudge, a: str, b: str) -> Verdict:
    return (await judge.compare([Comparison(TASK, a, b, id="p")]))[0]


async def test_right_tests_decide_in_either_order_and_are_written_once(pool):
    model = Model(GOOD)
    judge = judge_of(pool, model)
    first, second = await ask(judge, RIGHT, WRONG), await ask(judge, WRONG, RIGHT)
    assert (first.choice, second.choice) == ("A", "B")
    # Three draws, all of whose tests a program passes: 3 votes for one side, none for the other.
    assert first.p_a == pytest.approx(3.5 / 4) and second.p_a == pytest.approx(0.5 / 4)
    assert (model.n_written, model.questions) == (3, [])
    told = json.loads(first.raw)
    assert (told["decided_by"], told["n_tests"], told["weights"]) == ("tests", 2, [3.0, 0.0])
    assert told["tests"][0] == {
        "test": "assert double(3) == 6", "draws": [0, 1, 2], "passed": [True, False],
    }  # fmt: skip
    assert told["usage"]["tests"]["requests"] == 3
    assert told["usage"]["tests"]["output_tokens"] == 3 * len(GOOD.split())
    assert json.loads(second.raw)["tests"][0]["passed"] == [False, True]


async def test_a_draw_that_no_program_agrees_with_weighs_less(pool):
    lying = "```python\nassert double(3) == 9\nassert double(1) == 7\nassert double(5) == 8\n```"
    told = json.loads((await ask(judge_of(pool, Model(GOOD, lying), draws=2), RIGHT, WRONG)).raw)
    assert told["weights"] == pytest.approx([1.0, 1 / 3])
    assert [one["agreement"] for one in told["draws"]] == pytest.approx([1.0, 1 / 3])
    assert told["why"] == "tests_in_doubt"


async def test_where_tests_are_even_the_model_sees_where_the_outputs_differ(pool):
    model = Model(EVEN)
    verdict = await ask(judge_of(pool, model), RIGHT, WRONG)
    told = json.loads(verdict.raw)
    assert told["why"] == "tests_are_even"
    assert told["differences"] == [{"call": "double(5)", "outputs": ["10", "25"]}]
    # Always "A": its two orders disagree.
    assert verdict.choice == "tie"
    assert len(model.questions) == 2
    for question in model.questions:
        shown = question.split("Program A:\n")
        a_is_right = shown[1].startswith("```python\ndef double(x):\n    return 2 * x")
        outputs = ("10", "25") if a_is_right else ("25", "10")
        assert f"double(5)\n  Program A: {outputs[0]}\n  Program B: {outputs[1]}" in question
    assert told["usage"]["model"]["requests"] == 2


async def test_a_model_that_reads_the_outputs_is_heard_in_both_orders(pool):
    model = Model(EVEN)

    def answer(request: Request) -> str:
        said = request.messages[-1]["content"]
        return "[RESULT] A" if "Program A: 10" in said else "[RESULT] B"

    def call(request: Request) -> str:
        return (
            model(request) if "no solution" in request.messages[-1]["content"] else answer(request)
        )

    chat = LlmJudge(FakeBackend("x", function=call), mode="reasoned")
    judge = TestedJudge(chat, pool, draws=2)
    assert (await ask(judge, RIGHT, WRONG)).choice == "A"
    assert (await ask(judge, WRONG, RIGHT)).choice == "B"


@pytest.mark.parametrize(
    ("reply", "abstains"),
    [
        ("", "no_code"),
        ("```python\nassert double(\n```", "does_not_parse"),
        ("```python\nassert 1 == 1\nassert unknown(2) == 4\n```", "no_tests"),
        ("```python\nassert double(2) == nothing_known\n```", "no_tests"),
    ],
)
async def test_a_draw_without_tests_abstains_by_name(pool, reply, abstains):
    told = json.loads((await ask(judge_of(pool, Model(reply), draws=2), RIGHT, WRONG)).raw)
    assert [one["abstains"] for one in told["draws"]] == [abstains] * 2
    assert (told["decided_by"], told["why"], told["n_tests"]) == ("model", "no_tests", 0)


async def test_one_abstention_does_not_silence_the_others(pool):
    model = Model("I cannot.", GOOD, GOOD)
    verdict = await ask(judge_of(pool, model), RIGHT, WRONG)
    assert (verdict.choice, json.loads(verdict.raw)["weights"]) == ("A", [2.0, 0.0])


async def test_a_program_that_hangs_on_one_test_is_judged_by_the_others_too(pool):
    judge = TestedJudge(
        LlmJudge(FakeBackend("x", function=Model(GOOD)), mode="reasoned"),
        pool, Limits(cpu_s=0.3, wall_s=3.0), draws=2, certainty=0.75,
    )  # fmt: skip
    verdict = await ask(judge, HANGS, RIGHT)
    told = json.loads(verdict.raw)
    assert [one["passed"] for one in told["tests"]] == [[False, True], [True, True]]
    assert verdict.choice == "B"


async def test_an_exception_is_shown_and_fails_a_test(pool):
    told = json.loads((await ask(judge_of(pool, Model(EVEN), draws=1), RIGHT, RAISES)).raw)
    assert told["why"] == "tests_in_doubt"  # one vote is 3 to 1, below 0.8
    assert {"call": "double(2)", "outputs": ["4", "ValueError: no"]} in told["differences"]


async def test_programs_without_a_common_name_are_judged_as_without_tests(pool):
    model = Model(GOOD)
    told = json.loads((await ask(judge_of(pool, model), RIGHT, "x = 1\n")).raw)
    assert (told["why"], model.n_written, len(model.questions)) == ("no_common_name", 0, 2)


@pytest.mark.parametrize("broken", ["import math\n", "def double(x:\n"])
async def test_a_program_that_lacks_what_the_task_names_fails_the_tests(pool, broken):
    comparison = Comparison("Write double(x): twice x.", broken, RIGHT)
    (verdict,) = await judge_of(pool, Model(GOOD)).compare([comparison])
    told = json.loads(verdict.raw)
    assert (verdict.choice, told["decided_by"], told["weights"]) == ("B", "tests", [0.0, 6.0])


async def test_best_of_n_pays_for_the_tests_once(pool):
    model = Model(GOOD)
    found = await knock_out(judge_of(pool, model), TASK, [WRONG, RAISES, RIGHT, WRONG + "\n"])
    assert found.standings[0].index == 2
    assert model.n_written == 3


def test_the_names_shown_are_those_of_both_programs_in_any_order():
    other = "def double(number):\n    return number\ndef more(): pass\n"
    expected = {"double": "def double(number)"}
    assert signatures_of([RIGHT, other]) == signatures_of([other, RIGHT]) == expected
    assert signatures_of(["def double(", RIGHT], TASK) == {}
    assert signatures_of(["def double(", RIGHT], "Write double.") == {"double": "def double(x)"}


def test_only_calls_with_written_arguments_are_inputs():
    draw = read_draw(
        "```python\nimport math\nassert double(2) == 4\ndouble(math.pi)\ndouble(-1)\n```",
        ["double"],
    )
    assert draw.inputs == ("double(2)", "double(-1)")
    assert draw.head == ("import math",)


def test_its_flags_are_those_of_both_and_of_the_sandbox():
    spec = parse_judge("tested:fake:echo", {"draws": 2, "mode": "letter", "cpu_s": 2.0})
    assert [str(one) for one in spec.family] == ["tested:fake:echo", "fake:echo"]
    assert dict(spec.members()[0].options) == {"mode": "letter"}
    assert "tests" not in judge_kind("tested").flags
    jury = parse_judge("jury:tested:fake:echo,shorter", {"draws": 2, "mode": "letter"})
    assert [str(one) for one in jury.chats] == ["fake:echo"] and "pool" in jury.needs()
    for text, why in [
        ("tested:shorter", "needs a chat model"), ("tested", "needs a name"),
        ("tested:nothing:x", "unknown judge"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError, match=why):
            parse_judge(text)


MODEL = Model(GOOD)


@pytest.mark.parametrize("prefix", ["", "cascade:shorter,"])
def test_evaluate_takes_it_with_and_without_a_cascade(tmp_path: Path, prefix: str, monkeypatch):
    rows = [Preference("p", TASK, RIGHT, WRONG, problem_id="q")]
    write_rows(tmp_path / "pairs.jsonl", [row.to_row() for row in rows])
    found = CliRunner().invoke(app, [
        "pairs", "--data", str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path / "r"),
        "--model", f"{prefix}tested:fake:{__name__}:MODEL", "--mode", "reasoned", "--workers", "1",
    ])  # fmt: skip
    assert found.exit_code == 0, found.output + str(found.exception)
    (path,) = (tmp_path / "r").glob("*.json")
    result = json.loads(path.read_text())
    assert result["metrics"]["overall"]["accuracy"] == 1
    own = (
        result["judge"]
        if not prefix
        else result["judge"]["members"][f"tested:fake:{__name__}:MODEL"]
    )
    assert (own["draws"], own["certainty"]) == (5, 0.8)
    assert own["members"][f"fake:{__name__}:MODEL"]["mode"] == "reasoned"
    assert result["usage"]["output_tokens"] == 5 * len(GOOD.split())
