"""A pair is believed only as far as its evidence goes, and a contradiction drops it by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Sampling
from codefavor.engine import Context, run
from codefavor.errors import ConfigError
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.findings import Bandit
from codefavor.scoring.provenance import backing_of
from codefavor.synthesis.critic_evol import make_critic_evol_step
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.verify import Verifier, parse_ways
from tests.kit.teacher import CRITIQUE, DRAFT, TESTS, prefer, question_of, teacher

RIGHT = "def total(xs):\n    return sum(xs)\n"
WRONG = "def total(xs):\n    return sum(xs[1:])\n"
SLOW = DRAFT["code"]


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(1) as pool:
        yield pool


class Ending:
    """The one record of a run over one draft, and the backend that was asked."""

    def __init__(self, record: Row, backend: FakeBackend) -> None:
        self.status, self.reason = record["status"], record["reason"]
        self.row: Row = record["row"]
        self.evidence: Row = (self.row or {}).get("evidence", {})
        self.asked = [question_of(request) for request in backend.requests]


@pytest.fixture
def verified(tmp_path: Path, pool: SandboxPool) -> Any:
    async def verify(
        *ways: str, chosen: str, rejected: str, aspect: str, draft: Row | None = None, **more: Any
    ) -> Ending:
        answers = {key: more.pop(key) for key in ("tests", "judge") if key in more}
        critique = {**CRITIQUE, "improved_code": chosen, "aspect": aspect}
        backend = FakeBackend(function=teacher(critique=critique, **answers))
        verifier = Verifier(ways=frozenset(ways), bandit=Bandit(), **more)
        step = make_critic_evol_step(PairSettings(Sampling(), "sections"), verifier)
        with Journal.open(tmp_path / "o", {}) as journal:
            row = {**DRAFT, **(draft or {}), "code": rejected}
            await run(step, [row], journal, context=Context(backend, pool))
        (record,) = read_journal(tmp_path / "o")
        return Ending(record, backend)

    return verify


OWN = {"tests": TESTS, "entry_point": "total"}


async def test_own_tests_that_agree_are_the_evidence(verified: Any, pool: SandboxPool) -> None:
    end = await verified("evidence", chosen=RIGHT, rejected=WRONG, aspect="correctness", draft=OWN)
    assert end.status == "ok"
    assert end.evidence["chosen"]["outcome"] == "passed"
    assert end.evidence["rejected"]["outcome"] == "wrong_output"
    assert end.evidence["chosen"]["level"] == pool.level
    assert end.evidence["tests"] == {"origin": "problem", "text": TESTS}
    assert str(backing_of(end.evidence)) == "separated: tests (problem)"


@pytest.mark.parametrize(
    ("chosen", "rejected", "aspect", "reason"),
    [
        (WRONG, RIGHT, "correctness", "tests_contradict"),
        (WRONG, RIGHT, "readability", "tests_contradict"),
        (WRONG, "def total(xs):\n    return 0\n", "efficiency", "tests_fail_on_both"),
        (RIGHT, SLOW, "correctness", "tests_do_not_separate"),
        ("def total(xs):\n    return 1 / 0\n", WRONG, "security", "tests_fail_on_both"),
    ],
)
async def test_own_tests_that_do_not_agree_are_a_reason(
    verified: Any, chosen: str, rejected: str, aspect: str, reason: str
) -> None:
    end = await verified("evidence", chosen=chosen, rejected=rejected, aspect=aspect, draft=OWN)
    assert (end.status, end.reason) == ("rejected", reason)
    # What was found stays with the rejection.
    assert end.evidence["rejected"]["outcome"]


async def test_a_readability_pair_may_pass_on_both_sides(verified: Any) -> None:
    end = await verified("evidence", chosen=RIGHT, rejected=SLOW, aspect="readability", draft=OWN)
    assert end.status == "ok"
    assert backing_of(end.evidence).level == "one-sided"


async def test_asserts_without_a_fence_are_tests_too(verified: Any) -> None:
    end = await verified("tests", chosen=RIGHT, rejected=WRONG, aspect="correctness", tests=TESTS)
    assert end.status == "ok"


async def test_without_tests_the_row_says_that_nothing_ran(verified: Any) -> None:
    end = await verified("evidence", chosen=RIGHT, rejected=WRONG, aspect="correctness")
    assert (end.status, end.evidence["not_run"]) == ("ok", "no_tests")
    assert backing_of(end.evidence).level == "none"


@pytest.mark.parametrize(
    ("ways", "status", "reason"),
    [
        (("evidence",), "ok", ""),
        # Who asks for tests is not given pairs that nothing ran.
        (("evidence", "tests"), "rejected", "tests_unusable:language"),
    ],
)
async def test_another_language_says_so(
    verified: Any, ways: tuple[str, ...], status: str, reason: str
) -> None:
    draft = {"language": "go", "tests": TESTS}
    go = "func f() int { return 1 }\n"
    end = await verified(
        *ways, chosen=go, rejected=go.replace("1", "2"), aspect="other", draft=draft
    )
    assert (end.status, end.reason, end.evidence["not_run"]) == (status, reason, "language")
    assert "tests" not in end.asked


async def test_the_teacher_writes_tests_without_seeing_the_programs(verified: Any) -> None:
    seen = []

    def tests(request: Any) -> str:
        seen.append(request.messages)
        return f"```python\n{TESTS}```"

    end = await verified("tests", chosen=RIGHT, rejected=WRONG, aspect="correctness", tests=tests)
    assert end.status == "ok"
    assert end.evidence["tests"]["origin"] == "teacher"
    assert str(backing_of(end.evidence)) == "validated: tests (teacher)"
    killed, n = end.evidence["tests"]["checked"]["mutants"]
    assert killed >= n / 2
    (messages,) = seen
    assert len(messages) == 1
    assert "def total(xs)" in messages[0]["content"]
    assert "sum(" not in messages[0]["content"]
    assert end.row["meta"]["tests_conversation"][1]["content"].startswith("```python")


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("assert total([1] == 1", "do_not_parse"),
        ("```python\nassert total([1] == 1\n```", "do_not_parse"),
        ("```python\ntotal([1, 2])\n```", "no_asserts"),
        ("```python\nassert 1 + 1 == 2\n```", "call_nothing"),
        ("```python\ndef test_total():\n    assert total([1]) == 1\n```", "not_statements"),
        ("```python\nassert total([1]) is not None\nassert total([]) is not None\n```", "vacuous"),
        ("I cannot.", "do_not_parse"),
    ],
    ids=[
        "unfenced",
        "broken",
        "no asserts",
        "other",
        "functions",
        "vacuous",
        "refusal",
    ],
)
async def test_tests_that_prove_nothing_are_no_evidence(
    verified: Any, tests: str, reason: str
) -> None:
    end = await verified("tests", chosen=RIGHT, rejected=WRONG, aspect="correctness", tests=tests)
    assert (end.status, end.reason) == ("rejected", f"tests_unusable:{reason}")


async def test_programs_without_a_common_function_have_no_tests(verified: Any) -> None:
    end = await verified(
        "tests", chosen="x = 1\n", rejected="def total(xs):\n    return 1\n", aspect="other"
    )
    assert end.reason == "tests_unusable:no_common_function"
    assert "tests" not in end.asked


@pytest.mark.parametrize(
    ("judge", "reason"),
    [
        (prefer(RIGHT), ""),
        (prefer(WRONG), "judge_says:rejected"),
        (lambda request: "[RESULT] A", "judge_says:tie"),
        (lambda request: "Both are fine.", "judge_says:undecided"),
    ],
    ids=["agrees", "disagrees", "always A", "undecided"],
)
async def test_a_blind_judge_in_both_orders_must_agree(
    verified: Any, judge: Any, reason: str
) -> None:
    end = await verified("judge", chosen=RIGHT, rejected=WRONG, aspect="other", judge=judge)
    assert end.reason == reason
    # A reply that states no verdict is asked about once more.
    assert end.asked.count("judge") == (4 if reason == "judge_says:undecided" else 2)
    if not reason:
        assert end.evidence["judge"]["choice"] == "A"
        assert backing_of(end.evidence).level == "judged"


async def test_no_judge_is_asked_where_runs_have_decided(verified: Any) -> None:
    end = await verified(
        "evidence", "judge", chosen=RIGHT, rejected=WRONG, aspect="correctness", draft=OWN
    )
    assert end.status == "ok"
    assert "judge" not in end.asked


async def test_a_judge_decides_where_tests_are_unusable(verified: Any) -> None:
    end = await verified(
        "tests", "judge", chosen=RIGHT, rejected=WRONG, aspect="correctness", tests="I cannot.",
        judge=prefer(RIGHT),
    )  # fmt: skip
    assert end.status == "ok"
    assert end.evidence["not_run"] == "tests_unusable:do_not_parse"
    assert backing_of(end.evidence).level == "judged"


@pytest.mark.parametrize(("chosen", "rejected", "reason"), [
    (RIGHT, WRONG, ""), (WRONG, RIGHT, "judge_says:rejected"),
])  # fmt: skip
async def test_a_judge_that_tests_asks_nothing_about_programs_that_it_told_apart(
    verified: Any, chosen: str, rejected: str, reason: str
) -> None:
    end = await verified("tested", chosen=chosen, rejected=rejected, aspect="other")
    assert end.reason == reason
    assert (end.asked.count("tests"), end.asked.count("judge")) == (5, 0)
    assert '"decided_by":"tests"' in end.evidence["judge"]["raw"]


LOOP = "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s\n"
TWICE = LOOP.replace("s += x", "for y in (x, 0):\n            s += y")
WITHIN = "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    r = s\n    return r\n"
WHILE = (
    "def total(xs):\n    s, i = 0, 0\n    while i < len(xs):\n        if xs[i] != 0:\n"
    "            s = s + xs[i] * 1\n        i = i + 1\n    return s\n"
)


async def test_tests_that_few_mutants_fail_are_no_evidence(verified: Any) -> None:
    tests = "```python\nassert total([]) == 0\n```"
    end = await verified("tests", chosen=WHILE, rejected=WRONG, aspect="correctness", tests=tests)
    assert (end.status, end.reason) == ("rejected", "tests_unusable:mutants_live")


BIG = f"{TESTS}assert total(list(range(300))) == 44850\n"


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        (LOOP, TWICE, ""),
        (TWICE, LOOP, "instructions_contradict"),
        (LOOP, WITHIN, "instructions_within_margin"),
    ],
    ids=["fewer", "more", "about as many"],
)
async def test_efficiency_pairs_must_save_instructions(
    verified: Any, chosen: str, rejected: str, reason: str
) -> None:
    end = await verified(
        "evidence", chosen=chosen, rejected=rejected, aspect="efficiency",
        draft={**OWN, "tests": BIG},
    )  # fmt: skip
    assert end.reason == reason
    assert end.evidence["instructions"]["method"] == "bytecode"
    assert end.evidence["instructions"]["margin"] == 1.1
    if not reason:
        assert "instruction counts" in backing_of(end.evidence).by


EVAL = "def total(xs):\n    return eval('+'.join(map(str, xs)) or '0')\n"


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason", "backed"),
    [
        (RIGHT, EVAL, "", "separated: static analysis"),
        (EVAL, RIGHT, "findings_contradict", ""),
        (RIGHT, SLOW, "", "none"),
    ],
    ids=["fewer", "more", "none in either"],
)
async def test_security_pairs_must_not_gain_findings(
    verified: Any, chosen: str, rejected: str, reason: str, backed: str
) -> None:
    end = await verified("evidence", chosen=chosen, rejected=rejected, aspect="security")
    assert end.reason == reason
    assert end.evidence.get("findings") is not None or reason
    if not reason:
        assert str(backing_of(end.evidence)) == backed


async def test_wall_time_that_ran_out_is_evidence_for_nothing(verified: Any) -> None:
    # Waiting costs no CPU time: on a busy machine a right program looks like this.
    waiting = "import time\n\n\ndef total(xs):\n    time.sleep(9)\n    return sum(xs)\n"
    end = await verified(
        "evidence", chosen=RIGHT, rejected=waiting, aspect="correctness", draft=OWN,
        limits=Limits(wall_s=1.0),
    )  # fmt: skip
    assert end.reason == "run_is_no_evidence:wall_timeout"


async def test_static_runs_nothing_and_says_so(verified: Any) -> None:
    end = await verified("static", chosen=RIGHT, rejected=WRONG, aspect="correctness", draft=OWN)
    assert (end.status, end.evidence["not_run"]) == ("ok", "not_asked")


def test_ways_are_checked() -> None:
    assert parse_ways(["tests,judge", "evidence"]) == {"tests", "judge", "evidence"}
    for ways, complaint in (({"test"}, "known: static"), (set(), "nothing"),
                            ({"static", "judge"}, "static checks nothing more")):  # fmt: skip
        with pytest.raises(ConfigError, match=complaint):
            Verifier(ways=frozenset(ways))
    with pytest.raises(ConfigError, match="at least 1"):
        Verifier(margin=0.5)
