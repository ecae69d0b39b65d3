"""Two corpora written without the sandbox in view: hostile ones fail, honest ones pass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import pytest

from codefavor.sandbox import SandboxPool
from tests.sandbox import corpora
from tests.sandbox.attacks import FARMING, INFLUENCES
from tests.sandbox.corpora import Judged
from tests.sandbox.honest_styles import STYLES

# One judgement of a corpus serves several tests.
_judge_honest = functools.cache(corpora.judge_honest)


@pytest.fixture(scope="module")
def both() -> Iterator[SandboxPool]:
    """A pool in which tests that need it run together with the program."""
    with SandboxPool(workers=2, accept="together") as pool:
        yield pool


def _lines(judged: list[Judged]) -> list[str]:
    return [j.line for j in judged]


def test_no_attack_is_evidence_of_a_pass(
    pool: SandboxPool, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = corpora.judge_attacks(pool)
    with capsys.disabled():
        print("\n" + corpora.table("attacks", judged))
    assert _lines([j for j in judged if j.execution.is_evidence_of_pass]) == []


def test_most_attacked_tests_can_be_passed(pools: dict[str, SandboxPool]) -> None:
    # Otherwise the corpus would only show that these tests are never judged.
    rights = corpora.judge_rights(pools["L2"])
    n_passed = sum(j.execution.is_evidence_of_pass for j in rights)
    assert n_passed >= len(rights) // 3


def test_no_job_influences_the_verdict_on_a_later_one() -> None:
    found = []
    with SandboxPool(workers=1, dedupe=False) as pool:
        for influence in INFLUENCES:
            second, right = corpora.judge_influence(pool, influence)
            if second.is_evidence_of_pass:
                found.append(f"{influence.name}: a wrong program passed")
            if right is not None and not right.is_evidence_of_pass:
                found.append(f"{influence.name}: a right program was {right.outcome}")
    assert found == []


def test_partial_credit_cannot_be_farmed(pools: dict[str, SandboxPool]) -> None:
    judged = corpora.judge_farming(pools["L2"])
    assert len(judged) == len(FARMING)
    found = [
        f"{farming.name}: {execution.passed}/{execution.total}"
        for farming, execution in judged
        if execution.total != farming.total
        or execution.passed > farming.at_most
        or execution.is_evidence_of_pass
    ]
    assert found == []


def test_the_split_lane_blames_no_right_program(
    pools: dict[str, SandboxPool], capsys: pytest.CaptureFixture[str]
) -> None:
    judged = _judge_honest(pools["L2"])
    with capsys.disabled():
        print("\n" + corpora.table("honest, split lane alone", judged))
    assert _lines([j for j in judged if corpora.is_blamed(j.execution)]) == []


def test_plain_styles_are_judged_in_the_split_lane(pools: dict[str, SandboxPool]) -> None:
    judged = _judge_honest(pools["L2"])
    plain = [j for j in judged if j.kind == "split"]
    assert len(plain) >= 110
    assert _lines([j for j in plain if not j.execution.is_evidence_of_pass]) == []


def test_everything_honest_passes_where_both_lanes_are_accepted(
    both: SandboxPool, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = _judge_honest(both)
    with capsys.disabled():
        print("\n" + corpora.table("honest, both lanes", judged))
    assert _lines([j for j in judged if j.execution.outcome != "passed"]) == []


def test_wrong_programs_pass_in_no_lane(pools: dict[str, SandboxPool], both: SandboxPool) -> None:
    n_wrong = sum(bool(honest.wrong) for honest in STYLES)
    for pool in (pools["L2"], both):
        judged = corpora.judge_honest(pool, wrong=True)
        assert len(judged) == n_wrong
        assert _lines([j for j in judged if j.execution.outcome == "passed"]) == []


def test_a_pass_of_the_together_lane_is_evidence_only_where_that_was_accepted(
    both: SandboxPool,
) -> None:
    runs = [j.execution for j in _judge_honest(both) if j.execution.trust == "together"]
    assert runs
    assert {run.accepted for run in runs} == {"together"}
    unaccepted = [dataclasses.replace(run, accepted="") for run in runs]
    assert not any(run.is_evidence_of_pass for run in unaccepted)
