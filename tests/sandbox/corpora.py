"""Judges the two corpora in one pool and counts what matters.

`python -m tests.sandbox.corpora` prints the tables: attacks that passed, honest programs that were
blamed, wrong programs that passed; `--together` runs the honest ones with both lanes accepted.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from tests.sandbox.attack_kinds import Attack, Farming, Influence
from tests.sandbox.attacks import ATTACKS, FARMING, INFLUENCES
from tests.sandbox.honest_styles import STYLES, Honest

# Short, so that the attacks that wait or eat end soon; wide enough for everything honest here.
HOSTILE_LIMITS = Limits(cpu_s=2.0, wall_s=6.0, memory_bytes=512 << 20)
HONEST_LIMITS = Limits(cpu_s=10.0, wall_s=30.0)
UNJUDGED = ("unsupported",)  # the split lane's way of saying: not mine


class Judged(NamedTuple):
    """What a pool said of one program of a corpus."""

    name: str
    kind: str
    execution: Execution

    @property
    def line(self) -> str:
        e = self.execution
        return (
            f"{self.name} [{self.kind}]: {e.outcome} {e.passed}/{e.total} {e.trust}: {e.error:.200}"
        )


def judge_attacks(pool: SandboxPool, attacks: Sequence[Attack] = ATTACKS) -> list[Judged]:
    """Every attack as a user would judge it who wants labels."""

    def judge(attack: Attack) -> Judged:
        execution = pool.run(
            attack.program, attack.tests, HOSTILE_LIMITS, entry_point=attack.entry_point
        )
        return Judged(attack.name, attack.kind, execution)

    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(judge, attacks))


def judge_rights(pool: SandboxPool, attacks: Sequence[Attack] = ATTACKS) -> list[Judged]:
    """The right programs of the same tests: an attack on tests that pass nothing proves little."""
    rights = {(a.right, a.tests): a for a in attacks if a.right}.values()
    return judge_attacks(pool, [attack._replace(program=attack.right) for attack in rights])


def judge_farming(pool: SandboxPool) -> list[tuple[Farming, Execution]]:
    return [
        (f, pool.run(f.program, f.tests, HOSTILE_LIMITS, entry_point=f.entry_point))
        for f in FARMING
    ]


def judge_influence(pool: SandboxPool, influence: Influence) -> tuple[Execution, Execution | None]:
    """The verdict on the second job after the first, and on a right program after both."""
    first, second = influence.first, influence.second
    pool.run(first.program, first.tests, HOSTILE_LIMITS, entry_point=first.entry_point)
    after = pool.run(second.program, second.tests, HOSTILE_LIMITS, entry_point=second.entry_point)
    if not influence.right:
        return after, None
    right = pool.run(influence.right, second.tests, HOSTILE_LIMITS, entry_point=second.entry_point)
    return after, right


def judge_honest(
    pool: SandboxPool, styles: Iterable[Honest] = STYLES, *, wrong: bool = False
) -> list[Judged]:
    """The right programs, or the wrong ones, in the lanes that the pool accepts."""

    def judge(honest: Honest) -> Judged:
        program = honest.wrong if wrong else honest.program
        entry = honest.entry_point
        execution = pool.run(program, honest.tests, HONEST_LIMITS, entry_point=entry)
        return Judged(honest.name, honest.expected_lane, execution)

    chosen = [honest for honest in styles if honest.wrong or not wrong]
    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(judge, chosen))


def is_blamed(execution: Execution) -> bool:
    """Whether a right program was told that something is wrong with it."""
    return execution.outcome != "passed" and execution.outcome not in UNJUDGED


def table(title: str, judged: Sequence[Judged]) -> str:
    """Outcomes and trust by kind, one line a kind."""
    lines = [f"{title} ({len(judged)})"]
    for kind in sorted({j.kind for j in judged}):
        counts = collections.Counter(
            f"{j.execution.outcome}/{j.execution.trust}" for j in judged if j.kind == kind
        )
        lines.append(f"  {kind:12} " + ", ".join(f"{k} {n}" for k, n in counts.most_common()))
    return "\n".join(lines)


def _print_attacks(pool: SandboxPool) -> None:
    attacks, rights = judge_attacks(pool), judge_rights(pool)
    print(table("attacks", attacks))
    passed = [j for j in attacks if j.execution.is_evidence_of_pass]
    print(f"false passes that count as evidence: {len(passed)} of {len(attacks)}")
    print("\n".join(f"  {j.line}" for j in passed))
    n_live = sum(j.execution.is_evidence_of_pass for j in rights)
    print(f"right programs of the same tests judged passed by evidence: {n_live} of {len(rights)}")
    farmed = [(f, e) for f, e in judge_farming(pool) if e.passed > 1 or e.total != f.total]
    print(f"farming: {len(farmed)} of {len(FARMING)} with other credit than 1 of 10 at most")
    print("\n".join(f"  {f.name}: {e.outcome} {e.passed}/{e.total}" for f, e in farmed))


def _print_influences() -> None:
    with SandboxPool(workers=1, dedupe=False) as pool:
        for influence in INFLUENCES:
            second, right = judge_influence(pool, influence)
            if second.is_evidence_of_pass or (right and right.outcome != "passed"):
                print(
                    f"  {influence.name}: {second.outcome}, then right: {right and right.outcome}"
                )
    print(f"influences: {len(INFLUENCES)} tried")


def _print_honest(pool: SandboxPool) -> None:
    rights = judge_honest(pool)
    wrongs = judge_honest(pool, wrong=True)
    print(table("honest, right programs", rights))
    print(table("honest, wrong programs", wrongs))
    for title, chosen in (
        ("right programs blamed", [j for j in rights if is_blamed(j.execution)]),
        ("wrong programs passed", [j for j in wrongs if j.execution.outcome == "passed"]),
    ):
        print(f"{title}: {len(chosen)}")
        print("\n".join(f"  {j.line}" for j in chosen))


def main() -> None:
    accept = "together" if "--together" in sys.argv else ""
    with SandboxPool(workers=2, accept=accept) as pool:
        if not accept:
            _print_attacks(pool)
        _print_honest(pool)
    if not accept:
        _print_influences()


if __name__ == "__main__":
    main()
