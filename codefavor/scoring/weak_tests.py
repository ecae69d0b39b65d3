"""Whether tests may label programs: references pass, mutants die, independent programs agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from codefavor.errors import DataError
from codefavor.languages.python_code import form_of
from codefavor.records import Execution, Row
from codefavor.sandbox import Limits
from codefavor.scoring.instructions import raise_if_broken
from codefavor.scoring.mutants import mutants_of

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

MOST_MUTANTS = 10
# Some mutants do what the original does; tests that let more than these live look at too little.
LEAST_KILLED = 0.5
# Fewer programs are no majority.
LEAST_SOLUTIONS = 3
# Tests that fail one time in three pass so many runs and the first one once in a hundred times.
_AGAIN = 10
# A mutant that uses more CPU time than this many times the original's whole run has shown that
# it differs; most of these never end.
_TIMES, _LEAST_S = 3, 0.3


async def check_tests(
    pool: SandboxPool,
    tests: str,
    entry_point: str = "",
    setup: str = "",
    *,
    reference: str = "",
    solutions: Sequence[tuple[str, Execution]] = (),
) -> Row:
    """What speaks for tests: `{"is_valid", "why", "reference", "solutions", "mutants"}`.

    `solutions` are programs, written without a look at each other, with their runs under these
    tests; those that differ in names and layout alone have one voice. Valid are tests that the
    reference passes each time (without one: that more than half of at least `LEAST_SOLUTIONS`
    programs pass, and one of them each time) and that fail at least half of up to `MOST_MUTANTS`
    mutants of it. `why` is "" then, else `reference_fails`, `no_evidence` (the reference's run
    says nothing), `no_majority`, `unstable` (run again, it fails), `no_mutants` or
    `mutants_live`. `solutions` and `mutants` are counts: [agree, of all], [killed, of all].
    Raises SandboxError if the sandbox fails.
    """
    runs = _voices([(code, run) for code, run in solutions if not run.no_evidence])
    passing = [one for one in runs if one[1].is_evidence_of_pass]
    found: Row = {"reference": "none", "solutions": [len(passing), len(runs)], "mutants": [0, 0]}
    if reference.strip():
        own = await pool.run_async(reference, tests, entry_point=entry_point, setup=setup)
        raise_if_broken(own)
        found["reference"] = own.outcome
        if own.no_evidence:
            return _invalid(found, "no_evidence")
        if not own.is_evidence_of_pass:
            return _invalid(found, "reference_fails")
        original = (reference, own)
    elif len(runs) < LEAST_SOLUTIONS or 2 * len(passing) <= len(runs):
        return _invalid(found, "no_majority")
    else:
        original = passing[0]
    if not await _passes_again(pool, original[0], tests, entry_point, setup):
        return _invalid(found, "unstable")
    killed, n = found["mutants"] = await _killed(pool, original, tests, entry_point, setup)
    if not n:
        return _invalid(found, "no_mutants")
    if killed < LEAST_KILLED * n:
        return _invalid(found, "mutants_live")
    return {"is_valid": True, "why": "", **found}


def _voices(runs: Sequence[tuple[str, Execution]]) -> list[tuple[str, Execution]]:
    """One program of each form, a failing one if there is any."""
    found: dict[str, tuple[str, Execution]] = {}
    for code, run in runs:
        form = form_of(code)
        if form not in found or not run.is_evidence_of_pass:
            found[form] = code, run
    return list(found.values())


async def _passes_again(
    pool: SandboxPool, code: str, tests: str, entry_point: str, setup: str
) -> bool:
    """Whether a program that passed does so in further processes, which draw other numbers."""
    for number in range(_AGAIN):
        # Another text, as the pool remembers what it ran.
        other = f"{code.rstrip()}\n# {number}\n"
        run = await pool.run_async(other, tests, entry_point=entry_point, setup=setup)
        raise_if_broken(run)
        if not run.is_evidence_of_pass:
            return False
    return True


def _invalid(found: Row, why: str) -> Row:
    return {"is_valid": False, "why": why, **found}


async def _killed(
    pool: SandboxPool, original: tuple[str, Execution], tests: str, entry_point: str, setup: str
) -> list[int]:
    """How many mutants the tests fail, of those whose run says something."""
    code, own = original
    limits = Limits(cpu_s=min(max(_TIMES * own.seconds, _LEAST_S), Limits().cpu_s))
    try:
        mutants = mutants_of(code, seed=0)[:MOST_MUTANTS]
    except DataError:
        return [0, 0]
    runs = []
    for mutant in mutants:
        run = await pool.run_async(mutant.code, tests, limits, entry_point=entry_point, setup=setup)
        raise_if_broken(run)
        runs += [] if run.no_evidence else [run]
    return [sum(not run.is_evidence_of_pass for run in runs), len(runs)]
