"""How a program's work and memory grow: measured on inputs grown from those of its tests.

The few and small inputs of a test say little about efficiency: there a quadratic program often
executes fewer instructions than a linear one.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from codefavor.records import Problem
from codefavor.sandbox import Limits
from codefavor.scoring.call_time import call_nanoseconds
from codefavor.scoring.grown import Growth, grown_call, growths_of, literal_calls
from codefavor.scoring.instructions import (
    LIMITS,
    METHOD,
    Counted,
    count_instructions,
    peak_bytes,
    raise_if_broken,
)

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

Resource = Literal["instructions", "memory"]


class Scale(NamedTuple):
    """How far calls are grown for a resource.

    A call at which a program needs `enough` is large enough: growing further takes time and
    tells no more; who needs it already at the first size, loading it may be, is compared with
    nobody. A program that needs less than `least` at its largest size has nothing worth
    saving.
    """

    method: str
    factors: tuple[int, ...]
    enough: int
    least: int


SCALES: dict[Resource, Scale] = {
    "instructions": Scale(METHOD, (1, 4, 16, 64, 256), 300_000, 1_000),
    "memory": Scale("tracemalloc", (1, 16, 256, 4096), 1 << 20, 16 << 10),
}
MOST_CALLS = 3
# For the time, calls grow further; it is the least of so many processes.
_LARGEST = 1024
_RUNS = 2
# How a run ends that says nothing about its answer.
_HEAVY = "heavy:"
_NOT_WRONG = ("timeout:", "memory:", "unstable:", _HEAVY)


class Measured(NamedTuple):
    """One call of the tests by its arguments, how and by which factors it was grown, and each
    program's counts (instructions or bytes).

    `counts` holds None where a program was too slow or too large to be counted, gave no stable
    count, or does not answer as the reference does; `wrong` are the numbers of those that do not.
    """

    arguments: list[Any]
    growth: Growth
    factors: tuple[int, ...]
    counts: list[tuple[int | None, ...]]
    wrong: frozenset[int]


async def measure(
    pool: SandboxPool, problem: Problem, programs: list[str], resource: Resource
) -> list[Measured]:
    """What each program needs of the resource on up to `MOST_CALLS` calls of the tests, grown.

    A call is grown in every way of `growths_of`, or left out, as long as the reference answers it
    and no program needs enough; what the reference answers is right. Raises SandboxError if the
    sandbox fails.
    """
    found: list[Measured] = []
    for arguments in literal_calls(problem.tests, problem.entry_point)[:MOST_CALLS]:
        ways = [
            await _measure_call(pool, problem, programs, resource, (arguments, growth))
            for growth in growths_of(arguments)
        ]
        if all(len(one.factors) > 1 for one in ways):
            found += ways
    return found


async def _measure_call(
    pool: SandboxPool,
    problem: Problem,
    programs: list[str],
    resource: Resource,
    call: tuple[list[Any], Growth],
) -> Measured:
    scale = SCALES[resource]
    factors: list[int] = []
    counts: list[list[int | None]] = []
    wrong: set[int] = set()
    heavy: set[int] = set()
    async for factor, checks in _checks(pool, problem, call, scale.factors):
        counted = [
            Counted(None, _HEAVY)
            if number in heavy
            else await _count(pool, code, checks, problem, resource)
            for number, code in enumerate(programs)
        ]
        if not factors:
            heavy = {i for i, one in enumerate(counted) if (one.n or 0) >= scale.enough}
        factors.append(factor)
        counts.append([one.n for one in counted])
        for number, one in enumerate(counted):
            if one.n is None and not one.reason.startswith(_NOT_WRONG):
                wrong.add(number)
        known = [
            one.n for number, one in enumerate(counted) if one.n is not None and number not in heavy
        ]
        if max(known, default=scale.enough) >= scale.enough:
            break
    by_program = list(zip(*counts, strict=True))
    return Measured(*call, tuple(factors), by_program, frozenset(wrong))


async def _count(
    pool: SandboxPool, code: str, checks: str, problem: Problem, resource: Resource
) -> Counted:
    if resource == "memory":
        return await peak_bytes(pool, code, checks, problem.entry_point, problem.setup)
    return await count_instructions(pool, code, checks, setup=problem.setup)


async def _checks(
    pool: SandboxPool,
    problem: Problem,
    call: tuple[list[Any], Growth],
    factors: tuple[int, ...],
) -> AsyncIterator[tuple[int, str]]:
    """Each factor with tests that hold for programs that answer as the reference does."""
    for factor in factors:
        arguments, growth = call
        text = grown_call(problem.entry_point, arguments, factor, growth)
        if not text:
            return
        digest = f"import hashlib\nassert hashlib.sha256(repr({text}).encode()).hexdigest() == "
        run = await pool.run_async(
            problem.reference,
            f"{digest}'?'\n",
            LIMITS,
            entry_point=problem.entry_point,
            setup=problem.setup,
        )
        raise_if_broken(run)
        answer = re.search(r"\b[0-9a-f]{64}\b", run.error)
        if run.outcome != "wrong_output" or answer is None:
            return
        yield factor, f"{digest}{answer[0]!r}\n"


def ratio_of(measured: Measured, better: int, worse: int, least: int) -> float | None:
    """How many times what one program needs another needs as a call grows.

    The smaller of the ratios at the last two sizes that both answered, so that growing confirms
    it; infinite where in the end neither needs `least`: that says nothing. None where the better
    one needs more at any size, and `least` there, where the ratio falls by a tenth or more
    between the last two sizes, there are no two, one is wrong, or the better one could not be
    counted at every size.
    """
    if measured.wrong & {better, worse} or None in measured.counts[better]:
        return None
    both = zip(measured.counts[better], measured.counts[worse], strict=True)
    points = [(a, b) for a, b in both if a is not None and b is not None]
    if len(points) < 2 or any(a > b and a >= least for a, b in points):
        return None
    if points[-1][1] < least:
        return math.inf
    ratios = [b / max(a, 1) for a, b in points[-2:]]
    return None if ratios[1] < 0.9 * ratios[0] else min(ratios)


async def time_contradicts(
    pool: SandboxPool,
    problem: Problem,
    better: str,
    worse: str,
    measured: Measured,
    *,
    times: float,
) -> bool:
    """Whether the better program needs over `times` the other's CPU time, or nobody can tell.

    A difference of some microseconds is none. It does where its work is hidden from the count:
    `xs.count(x)` for every x is quadratic in a number of instructions that is linear. Asked at the
    largest size that was counted, and at a far larger one that the better one still answers.
    """
    far, call = 2 * _LARGEST, ""
    while not call and far > 1:
        far //= 2
        call = grown_call("", measured.arguments, far, measured.growth)
    for factor in sorted({measured.factors[-1], far}):
        call = grown_call("", measured.arguments, factor, measured.growth)
        timed = _Timed(pool, problem, call)
        ours = await timed.least(better, LIMITS)
        if ours.n is None and factor > measured.factors[-1]:
            return ours.reason.startswith("timeout:")
        if ours.n is None:
            return True
        # What needs as long as this needs no less.
        enough = Limits(cpu_s=_ROOM_S + 4 * ours.n / 1e9, wall_s=LIMITS.wall_s)
        theirs = await timed.least(worse, enough)
        if theirs.n is None and theirs.reason.startswith(("timeout:", "memory:")):
            continue
        if theirs.n is None and factor == measured.factors[-1]:
            return True
        if theirs.n is not None and ours.n > times * theirs.n + _NOTHING_NS:
            return True
    return False


# For repeated calls and copies of their arguments.
_ROOM_S = 2.0
# About what 500 instructions take: nothing worth saving.
_NOTHING_NS = 5_000


class _Timed(NamedTuple):
    """One call of a problem's programs, to be timed."""

    pool: SandboxPool
    problem: Problem
    call: str

    async def least(self, code: str, limits: Limits) -> Counted:
        """Nanoseconds of the call, the least of `_RUNS` processes."""
        found: list[int] = []
        for number in range(_RUNS):
            one = await call_nanoseconds(
                self.pool,
                code,
                self.call,
                self.problem.entry_point,
                limits,
                setup=self.problem.setup,
                number=number,
            )
            if one.n is None:
                return one
            found.append(one.n)
        return Counted(min(found))
