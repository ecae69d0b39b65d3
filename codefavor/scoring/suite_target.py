"""The programs that a test suite is measured on: the right one, wrong ones, and hollow ones.

All of them are printed alike and without docstrings, so that none can be told by its form.
"""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import CodeType
from typing import NamedTuple

from codefavor.errors import DataError, Rejected, SandboxError
from codefavor.languages.python_code import put_before, without_comments
from codefavor.records import Execution, Problem
from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.conclude import WAITED
from codefavor.scoring.messages import with_other_messages
from codefavor.scoring.mutants import Mutant, mutants_of, print_code

# A mutant that needs ten times the CPU time of the right program loops for ever: every suite that
# calls it would notice. The steps are coarse, so that a busy machine chooses no other one.
_CPU_S = (0.04, 0.5, 5.0)
_SLOWER = 10
N_MUTANTS = 24
_MOST_TRIED = 4
_PASSED = "not shown to be wrong"


class Branch(NamedTuple):
    """One way out of a branching line: into its body at `body`, or (`is_body` false) past it."""

    line: int
    body: int
    is_body: bool


@dataclass(frozen=True)
class Wrong:
    """A wrong program: a mutant (`operator`, `lineno`) or one that somebody wrote (`known`)."""

    code: str
    operator: str
    lineno: int = 0


@dataclass(frozen=True)
class Target:
    """What suites for one problem are measured on.

    `trust` is "tests" where the problem's own tests passed the right program and failed each wrong
    one, and "unverified" where it has none: then a mutant may be equivalent, and the share killed
    is a lower bound. `twins` are other right programs: they say the same in other words where the
    task leaves the words open. `hollow` is empty where the right one does as little (an enum, a
    dataclass without methods). `n_unproven` counts the mutants left out as those tests pass them,
    `n_known_left_out` the known wrong programs that they pass, that do not parse or that are equal
    to the right one or to each other.
    """

    right: str
    names: frozenset[str]
    imported: frozenset[str]
    wrong: tuple[Wrong, ...]
    hollow: tuple[str, ...]
    trust: str
    twins: tuple[str, ...] = ()
    n_unproven: int = 0
    n_known_left_out: int = 0

    @property
    def lines(self) -> list[int]:
        """The numbers of the lines that can run, in order."""
        return lines_of(self.right)

    @property
    def branches(self) -> list[Branch]:
        """The ways out of each branching line."""
        return branches_of(self.right)


def make_target(
    problem: Problem,
    pool: SandboxPool,
    *,
    n_mutants: int = N_MUTANTS,
    known_wrong: Sequence[str] = (),
    seed: int = 0,
) -> Target:
    """The programs of a problem, verified by its tests if it has any.

    Raises Rejected: `right_program_does_not_parse`, `no_function` (nothing that could be tested),
    `right_program_is_wrong` (its own tests fail it) or `no_wrong_program` (nothing that a suite
    could catch). Raises SandboxError if the sandbox fails.
    """
    reference, setup, right, codes = _programs(problem, seed)
    known = _not_equal(right, _known(known_wrong, setup))
    shown, n_unproven, trust = codes, 0, "unverified"
    limits = Limits(cpu_s=_CPU_S[0] * _SLOWER, wall_s=60.0)
    if problem.tests.strip():
        trust = "tests"
        limits = replace(limits, cpu_s=_SLOWER * _cpu_if_right(problem, pool))
        shown, n_unproven = _verified(codes, problem, pool, limits, n_mutants)
        outcomes = _outcomes(known, problem, pool, limits)
        known = [one for one, end in zip(known, outcomes, strict=True) if end != _PASSED]
    wrong = [*_not_equal(right, shown)[:n_mutants], *known]
    if not wrong:
        raise Rejected("no_wrong_program", f"none of {len(codes)} mutants is shown to be wrong")
    random.Random(seed).shuffle(wrong)
    hollow = (_without_bodies(right),) if has_bodies(right) else ()
    tree = ast.parse(right)
    names, imported = _defined(tree), frozenset(_imported(tree))
    twins = _twins(problem, reference, setup, pool, limits)
    n_left = len(known_wrong) - len(known)
    return Target(right, names, imported, tuple(wrong), hollow, trust, twins, n_unproven, n_left)


def check_measurable(problem: Problem) -> None:
    """Raises Rejected as `make_target`, for what shows without a run."""
    _, _, right, mutants = _programs(problem, 0)
    if not _not_equal(right, mutants):
        raise Rejected("no_wrong_program", f"{problem.id}: no mutant of it differs")


def _programs(problem: Problem, seed: int) -> tuple[str, str, str, list[Wrong]]:
    """The reference and the setup as printed, the right program, and mutants of it."""
    try:
        reference = plain_program(problem.reference)
        setup = plain_program(problem.setup) + "\n" if problem.setup.strip() else ""
        right = print_code(put_before(setup, reference))
    except DataError as error:
        raise Rejected("right_program_does_not_parse", str(error)) from error
    if not _defined(ast.parse(right)):
        raise Rejected("no_function", "the program defines no function and no class")
    mutants = _spread(mutants_of(reference, seed=seed))
    codes = [Wrong(print_code(put_before(setup, m.code)), m.operator, m.lineno) for m in mutants]
    return reference, setup, right, codes


def _known(programs: Sequence[str], setup: str) -> list[Wrong]:
    """Those that parse: what does not, every suite catches."""
    return [Wrong(put_before(setup, plain_program(c)), "known") for c in programs if _parses(c)]


def _twins(
    problem: Problem, reference: str, setup: str, pool: SandboxPool, limits: Limits
) -> tuple[str, ...]:
    """The right program with other messages in its exceptions, where its tests pass that too."""
    other = with_other_messages(reference, problem.instruction + problem.prompt)
    twin = print_code(put_before(setup, other))
    if twin == print_code(put_before(setup, reference)):
        return ()
    if problem.tests.strip():
        run = pool.run(twin, problem.tests, limits, entry_point=problem.entry_point)
        if not run.is_evidence_of_pass:
            return ()
    return (twin,)


def plain_program(code: str) -> str:
    """A program as all programs of a target are printed. Raises DataError if it does not parse."""
    return print_code(without_comments(print_code(code), docstrings=True) or code)


def _parses(code: str) -> bool:
    try:
        compile(code, "", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _defined(tree: ast.Module) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0]


def _spread(mutants: Sequence[Mutant]) -> list[Mutant]:
    """The same mutants, so that each beginning of the list has all operators and lines in it."""
    groups: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        groups[mutant.operator].append(mutant)
    order: list[Mutant] = []
    while groups:
        for operator in list(groups):
            order.append(groups[operator].pop())
            if not groups[operator]:
                del groups[operator]
    return order


def _cpu_if_right(problem: Problem, pool: SandboxPool) -> float:
    """The first of _CPU_S within which it passes its tests. Raises Rejected if they fail it."""
    for cpu_s in _CPU_S:
        run = pool.run(
            problem.reference, problem.tests, Limits(cpu_s=cpu_s, wall_s=60.0),
            entry_point=problem.entry_point, setup=problem.setup,
        )  # fmt: skip
        _must_be_measured(run)
        if run.is_evidence_of_pass:
            return cpu_s
        if run.outcome not in ("timeout", "unsupported"):
            break
    reason = run.no_evidence or run.outcome
    raise Rejected("right_program_is_wrong", f"{reason}: {run.error}"[:300])


def _must_be_measured(run: Execution) -> None:
    """Raises SandboxError for a run of which the sandbox or a busy machine made nothing."""
    is_late = run.no_evidence == "wall_timeout" and WAITED not in run.error
    if is_late or run.outcome == "infra_error":
        raise SandboxError(run.error)


def _verified(
    codes: Sequence[Wrong], problem: Problem, pool: SandboxPool, limits: Limits, wanted: int
) -> tuple[list[Wrong], int]:
    """The first `wanted` that the problem's tests fail; how many of those tried they pass."""
    found: list[Wrong] = []
    n_passed = 0
    tried = list(codes[: wanted * _MOST_TRIED])
    while tried and len(found) < wanted:
        batch = [tried.pop(0) for _ in range(min(len(tried), wanted - len(found)))]
        for one, outcome in zip(batch, _outcomes(batch, problem, pool, limits), strict=True):
            n_passed += outcome == _PASSED
            if outcome in ("wrong_output", "runtime_error"):
                found.append(one)
    return found, n_passed


def _outcomes(
    programs: Sequence[Wrong], problem: Problem, pool: SandboxPool, limits: Limits
) -> list[str]:
    """How the problem's tests end on each program."""

    def run(one: Wrong) -> str:
        result = pool.run(one.code, problem.tests, limits, entry_point=problem.entry_point)
        _must_be_measured(result)
        if result.is_evidence_of_pass:
            return _PASSED
        return "no_evidence" if result.no_evidence else result.outcome

    with ThreadPoolExecutor(pool.n_workers) as threads:
        return list(threads.map(run, programs))


def _not_equal(right: str, codes: Sequence[Wrong]) -> list[Wrong]:
    """Those whose bytecode differs from the right program's, and from each other's."""
    seen = {_bytes_of(compile(right, "", "exec"))}
    found = []
    for one in codes:
        key = _bytes_of(compile(one.code, "", "exec"))
        if key not in seen:
            seen.add(key)
            found.append(one)
    return found


def _bytes_of(code: CodeType) -> str:
    parts = [code.co_code.hex(), repr(code.co_names), repr(code.co_varnames)]
    for value in code.co_consts:
        parts.append(_bytes_of(value) if isinstance(value, CodeType) else f"{type(value)}{value!r}")
    return "|".join(parts)


def has_bodies(code: str) -> bool:
    """Whether a printed program does anything that it does not without its functions' bodies."""
    hollow = compile(_without_bodies(code), "", "exec")
    return _bytes_of(compile(code, "", "exec")) != _bytes_of(hollow)


def _without_bodies(code: str) -> str:
    """The same program with functions and methods that do nothing."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def lines_of(code: str) -> list[int]:
    """The lines of a printed program that can run, as coverage.py counts statements."""
    tree = ast.parse(code)
    starts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            starts.add(node.lineno)
        if isinstance(node, ast.match_case):
            starts.add(node.pattern.lineno)
        for decorator in getattr(node, "decorator_list", ()):
            starts.add(decorator.lineno)
    waiting, found = [compile(code, "", "exec")], set[int]()
    while waiting:
        one = waiting.pop()
        found.update(line for _, _, line in one.co_lines() if line)
        waiting += [value for value in one.co_consts if isinstance(value, CodeType)]
    return sorted(starts & found)


def branches_of(code: str) -> list[Branch]:
    """Both ways out of each `if`, loop and `case` that has two.

    As coverage.py counts them, but that it leaves out some of an `if` in a `finally`.
    """
    found: list[Branch] = []
    can_run = set(lines_of(code))

    def add(line: int, body: int) -> None:
        if body in can_run:  # `if 0 and x` is decided before it runs
            found.extend(Branch(line, body, is_body) for is_body in (True, False))

    for node in ast.walk(ast.parse(code)):
        is_endless = isinstance(node, ast.If | ast.While) and isinstance(node.test, ast.Constant)
        if isinstance(node, ast.If | ast.While | ast.For | ast.AsyncFor) and not is_endless:
            add(node.lineno, node.body[0].lineno)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                pattern = case.pattern
                is_wild = isinstance(pattern, ast.MatchAs) and pattern.pattern is None
                if not (is_wild and case.guard is None):
                    add(pattern.lineno, case.body[0].lineno)
    return sorted(found)
