"""How a program's work and memory grow: measured on inputs grown from those of its tests.

The few and small inputs of a test say little about efficiency: there a quadratic program often
executes fewer instructions than a linear one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from codefavor.records import Problem
from codefavor.sandbox import Limits
from codefavor.scoring.instructions import (
    LIMITS,
    METHOD,
    Counted,
    count_instructions,
    cpu_microseconds,
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
# For the time, which has to stand out from what a process does anyway, calls grow further.
_LARGEST = 1024
_LEAST_US = 5_000
# How a run ends that says nothing about its answer.
_HEAVY = "heavy:"
_NOT_WRONG = ("timeout:", "memory:", "unstable:", _HEAVY)
# What the text of a grown input may have: more takes long to travel.
_LONGEST = 200_000
_SEQUENCES = (list, tuple, str, bytes)


class Measured(NamedTuple):
    """One call of the tests by its arguments, the factors at which it was grown, and each
    program's counts (instructions or bytes).

    `counts` holds None where a program was too slow or too large to be counted, gave no stable
    count, or does not answer as the reference does; `wrong` are the numbers of those that do not.
    """

    arguments: list[Any]
    factors: tuple[int, ...]
    counts: list[tuple[int | None, ...]]
    wrong: frozenset[int]


def literal_calls(tests: str, entry_point: str) -> list[list[Any]]:
    """Arguments of the calls in the tests that are literals and can be grown, longest first."""
    found: dict[str, list[Any]] = {}
    for node in ast.walk(ast.parse(tests)):
        if not isinstance(node, ast.Call) or node.keywords or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in (entry_point, "candidate"):
            continue
        try:
            arguments = [ast.literal_eval(one) for one in node.args]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if any(grown(one, 2) != one for one in arguments):
            found[repr(arguments)] = arguments
    return [found[text] for text in sorted(found, key=lambda text: (-len(text), text))]


def grown(value: Any, factor: int) -> Any:
    """The value `factor` times as large: sequences repeated, whole numbers multiplied.

    What is inside a sequence, mappings, sets, truth values and fractions stay as they are.
    """
    if type(value) in _SEQUENCES or type(value) is int:
        return value * factor
    return value


async def measure(
    pool: SandboxPool, problem: Problem, programs: list[str], resource: Resource
) -> list[Measured]:
    """What each program needs of the resource on up to `MOST_CALLS` calls of the tests, grown.

    A call is grown as long as the reference answers it and no program needs enough; what the
    reference answers is right. Raises SandboxError if the sandbox fails.
    """
    found: list[Measured] = []
    scale = SCALES[resource]
    for arguments in literal_calls(problem.tests, problem.entry_point)[:MOST_CALLS]:
        factors: list[int] = []
        counts: list[list[int | None]] = []
        wrong: set[int] = set()
        heavy: set[int] = set()
        async for factor, checks in _checks(pool, problem, arguments, scale.factors):
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
                one.n
                for number, one in enumerate(counted)
                if one.n is not None and number not in heavy
            ]
            if max(known, default=scale.enough) >= scale.enough:
                break
        if factors:
            by_program = list(zip(*counts, strict=True))
            found.append(Measured(arguments, tuple(factors), by_program, frozenset(wrong)))
    return found


async def _count(
    pool: SandboxPool, code: str, checks: str, problem: Problem, resource: Resource
) -> Counted:
    if resource == "memory":
        return await peak_bytes(pool, code, checks, problem.entry_point, problem.setup)
    return await count_instructions(pool, code, checks, setup=problem.setup)


async def _checks(
    pool: SandboxPool, problem: Problem, arguments: list[Any], factors: tuple[int, ...]
) -> AsyncIterator[tuple[int, str]]:
    """Each factor with tests that hold for programs that answer as the reference does."""
    for factor in factors:
        if _is_too_long(arguments, factor):
            return
        call = _call(problem.entry_point, arguments, factor)
        digest = f"import hashlib\nassert hashlib.sha256(repr({call}).encode()).hexdigest() == "
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
    it; None where it falls by a tenth or more between them, there are no two, the worse one
    needs less than `least`, one is wrong, or the better one could not be counted at every size.
    """
    if measured.wrong & {better, worse} or None in measured.counts[better]:
        return None
    both = zip(measured.counts[better], measured.counts[worse], strict=True)
    points = [(a, b) for a, b in both if a is not None and b is not None]
    ratios = [b / max(a, 1) for a, b in points]
    if len(ratios) < 2 or ratios[-1] < 0.9 * ratios[-2] or points[-1][1] < least:
        return None
    return min(ratios[-2:])


async def time_contradicts(
    pool: SandboxPool,
    problem: Problem,
    better: str,
    worse: str,
    arguments: list[Any],
    *,
    times: float = 1.2,
) -> bool:
    """Whether the better program needs over `times` the other's CPU time on a far larger input.

    It does where its work is hidden in library functions: `xs.count(x)` for every x is
    quadratic in a number of instructions that is linear. Least of three runs each; what takes
    less than `_LEAST_US` microseconds is no difference.
    """
    factor = _LARGEST
    while _is_too_long(arguments, factor) and factor > 1:
        factor //= 2
    call = _call(problem.entry_point, arguments, factor)
    ours = await _least_time(pool, better, f"{call}\n", problem.setup)
    # Who runs out of time, or fails on this input, needs the most.
    if ours is None or ours < _LEAST_US:
        return ours is None
    # What needs as long as this needs no less.
    enough = Limits(cpu_s=max(2 * ours / 1e6, 0.1), wall_s=LIMITS.wall_s)
    theirs = await _least_time(pool, worse, f"{call}\n", problem.setup, enough)
    return theirs is not None and ours > times * theirs


async def _least_time(
    pool: SandboxPool, code: str, call: str, setup: str, limits: Limits = LIMITS
) -> int | None:
    """Microseconds, the least of three runs; None if the first of them gives none."""
    found: list[int] = []
    for number in range(3):
        n = (await cpu_microseconds(pool, code, call, limits, setup=setup, number=number)).n
        found += [] if n is None else [n]
        if not found or found[-1] < _LEAST_US:
            break  # there is no second opinion about either
    return min(found, default=None)


def _call(entry_point: str, arguments: list[Any], factor: int) -> str:
    # Sequences as products: a long text would take longer to read than most programs to run.
    inputs = (
        f"{one!r} * {factor}" if type(one) in _SEQUENCES else repr(grown(one, factor))
        for one in arguments
    )
    return f"{entry_point}({', '.join(inputs)})"


def _is_too_long(arguments: list[Any], factor: int) -> bool:
    return factor * sum(len(repr(one)) for one in arguments) > _LONGEST
