"""Tests that a model wrote without seeing a program, what two programs do on them, and its weight.

Source: dual agreement after Chen et al. 2022 (CodeT, arXiv 2207.10397): programs that pass many
tests and tests that many programs pass speak for each other.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codefavor.errors import SandboxError
from codefavor.judges.verdict_reader import visible_text
from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool, choose_lane
from codefavor.text import extract_code

# Tests of one draw that count, inputs that are tried, and those that a model is shown.
MOST_TESTS = 20
MOST_INPUTS = 12
MOST_SHOWN = 5
# Characters of a call or an output that a model is shown.
LONGEST_SHOWN = 200
# Where an exception was raised is no part of what a program gives.
_LINE = re.compile(r" \(line \d+ of the program\)$")
# A program that hangs on one test may hang on all of them.
_MOST_TIMEOUTS = 2

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Draw:
    """The tests of one reply: each an assert, in the form that `ast.unparse` gives it.

    `inputs` are calls with arguments written out. `abstains` says why there is no test, "" where
    there is one.
    """

    tests: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    abstains: str = ""


@dataclass(frozen=True)
class Evidence:
    """What two programs did on all tests. `weights` are the votes for the first and the second.

    `passed` holds for each test of `tests` whether each program passes it, None where its run
    shows nothing; `stated_by` which draws state it; `agreements` for each draw the share in
    [0, 1] of its tests that a program passes.
    """

    tests: tuple[str, ...]
    passed: tuple[tuple[bool | None, bool | None], ...]
    stated_by: tuple[tuple[int, ...], ...]
    agreements: tuple[float, ...]
    weights: tuple[float, float]

    @property
    def p_first(self) -> float:
        """The probability in (0, 1) that the first program is the better one: 1/2 without votes."""
        first, second = self.weights
        return (first + 0.5) / (first + second + 1.0)


def signatures_of(codes: Sequence[str], instruction: str = "") -> dict[str, str]:
    """Name to signature of the public functions and classes that all programs define.

    Where they share none, of those that one of them defines and the instruction names. The same
    whatever the order of the programs: of two signatures the first by alphabet counts.
    """
    found: list[dict[str, str]] = []
    for code in codes:
        try:
            body = ast.parse(code).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            body = []
        named = [n for n in body if isinstance(n, Definition) and not n.name.startswith("_")]
        found.append({node.name: _signature(node) for node in named})
    names = set.intersection(*map(set, found))
    names = names or set().union(*found) & set(re.findall(r"\w+", instruction))
    return {name: min(one[name] for one in found if name in one) for name in sorted(names)}


def _signature(node: Definition) -> str:
    if not isinstance(node, ast.ClassDef):
        return f"def {node.name}({ast.unparse(node.args)})"
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    told = [f"{n.name}({ast.unparse(n.args)})" for n in methods]
    shown = [one for one in told if not one.startswith("_") or one.startswith("__init__")]
    return f"class {node.name}" + (f" with {', '.join(shown)}" if shown else "")


def read_draw(reply: str, names: Iterable[str]) -> Draw:
    """The tests and inputs in a reply, for programs that define these names.

    Only asserts at module level that call one of the names and that the split lane takes are
    tests; what else stands there is left out, imports excepted.
    """
    code = extract_code(visible_text(reply))
    if not code.strip():
        return Draw(abstains="no_code")
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Draw(abstains="does_not_parse")
    known = frozenset(names)
    imports = [n for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
    head = tuple(ast.unparse(n) for n in imports if getattr(n, "module", "") != "solution")
    asserts = [ast.Assert(n.test) for n in body if isinstance(n, ast.Assert) and _calls(n, known)]
    texts = dict.fromkeys(ast.unparse(ast.fix_missing_locations(one)) for one in asserts)
    tests = [one for one in texts if _is_split(module_of([one], head, known))][:MOST_TESTS]
    nodes = [n for n in body if isinstance(n, ast.Assert | ast.Expr)]
    inputs = dict.fromkeys(call for node in nodes for call in _written_calls(node, known))
    if not tests:
        return Draw(inputs=tuple(inputs), head=head, abstains="no_tests")
    return Draw(tuple(tests), tuple(inputs), head)


def _calls(node: ast.AST, names: frozenset[str]) -> list[ast.Call]:
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    return [one for one in calls if isinstance(one.func, ast.Name) and one.func.id in names]


def _written_calls(node: ast.AST, names: frozenset[str]) -> list[str]:
    found = []
    for call in _calls(node, names):
        try:
            for argument in [*call.args, *(one.value for one in call.keywords)]:
                ast.literal_eval(argument)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        found.append(ast.unparse(call))
    return [one for one in found if len(one) <= LONGEST_SHOWN]


def module_of(tests: Sequence[str], head: Iterable[str], names: Iterable[str]) -> str:
    """The tests as a module that the sandbox runs on a program."""
    return "\n".join([*head, f"from solution import {', '.join(sorted(names))}", *tests])


def _is_split(module: str) -> bool:
    return choose_lane(module, "", "").name == "split"


@dataclass(frozen=True)
class Bench:
    """Where tests run, in the split lane alone: no program can forge what it says."""

    pool: SandboxPool
    limits: Limits

    async def run(self, code: str, tests: str) -> Execution:
        """The run. Raises SandboxError where the sandbox failed."""
        run = await self.pool.run_async(code, tests, self.limits)
        if run.outcome == "infra_error":
            raise SandboxError(run.error)
        return run

    async def passed(
        self, code: str, tests: Sequence[str], head: Sequence[str], names: Sequence[str]
    ) -> list[bool | None]:
        """Whether the program passes each test; None where a run shows nothing.

        One run does for all, unless one of them ends it or spoils it: then each runs by itself,
        until the program has twice been too slow.
        """
        run = await self.run(code, module_of(tests, head, names))
        if not run.no_evidence and run.outcome != "timeout" and len(run.asserts) == len(tests):
            return list(run.asserts)
        found: list[bool | None] = []
        n_slow = 0
        for test in tests:
            if n_slow == _MOST_TIMEOUTS:
                found.append(None)
                continue
            run = await self.run(code, module_of([test], head, names))
            n_slow += run.outcome == "timeout"
            found.append(None if run.no_evidence else run.is_evidence_of_pass)
        return found

    async def output(self, code: str, call: str, head: Sequence[str], names: Sequence[str]) -> str:
        """What a call gives, as `repr` shows it or as the exception it raises; "" if unknown."""
        # Ellipsis is no program's answer; the failed assert says what was there instead.
        test = f"assert {call} == ..."
        run = await self.run(code, module_of([test], head, names))
        if run.outcome == "timeout" and not run.no_evidence:
            return "(does not end in time)"
        if run.no_evidence or run.is_evidence_of_pass:
            return ""
        shown = run.error.removeprefix(f"{test}: ").removesuffix(" == Ellipsis does not hold")
        return _LINE.sub("", shown.removesuffix(f" in {test}"))[:LONGEST_SHOWN]


async def weigh(
    draws: Sequence[Draw], codes: tuple[str, str], names: Sequence[str], bench: Bench
) -> Evidence:
    """Run both programs on all tests of all draws and count the votes.

    A test that one program passes and the other fails is a vote for the first. It weighs the
    sum, over the draws that state it, of how far each draw agrees with the programs: the share
    of its tests that at least one of the two passes.
    """
    stated: dict[str, list[int]] = {}
    for number, draw in enumerate(draws):
        for test in draw.tests:
            stated.setdefault(test, []).append(number)
    tests = tuple(stated)
    if not tests:
        return Evidence((), (), (), (0.0,) * len(draws), (0.0, 0.0))
    head = _head(draws)
    runs = await asyncio.gather(*(bench.passed(code, tests, head, names) for code in codes))
    passed = tuple(zip(*runs, strict=True))
    by_test = dict(zip(tests, passed, strict=True))
    agreements = tuple(_agreement([by_test[test] for test in draw.tests]) for draw in draws)
    weights = [0.0, 0.0]
    for test, (first, second) in by_test.items():
        if first is not None and second is not None and first != second:
            weights[0 if first else 1] += sum(agreements[number] for number in stated[test])
    return Evidence(
        tests, passed, tuple(map(tuple, stated.values())), agreements, (weights[0], weights[1])
    )


def _head(draws: Sequence[Draw]) -> list[str]:
    return list(dict.fromkeys(line for draw in draws for line in draw.head))


def _agreement(passed: Sequence[tuple[bool | None, bool | None]]) -> float:
    known = [one for one in passed if None not in one]
    return sum(any(one) for one in known) / len(known) if known else 0.0


async def differences(
    draws: Sequence[Draw],
    evidence: Evidence,
    codes: tuple[str, str],
    names: Sequence[str],
    bench: Bench,
) -> list[dict[str, Any]]:
    """Up to MOST_SHOWN inputs on which the programs differ: {"call", "outputs": [two texts]}.

    Inputs of tests that tell the programs apart are tried first, then those without a value,
    then the rest.
    """
    telling = [test for test, (a, b) in zip(evidence.tests, evidence.passed, strict=True) if a != b]
    known = frozenset(names)
    first = [call for test in telling for call in _written_calls(ast.parse(test), known)]
    in_tests = {call for test in evidence.tests for call in _written_calls(ast.parse(test), known)}
    given = [call for draw in draws for call in draw.inputs]
    calls = dict.fromkeys([*first, *(c for c in given if c not in in_tests), *given])
    head = _head(draws)
    found: list[dict[str, Any]] = []
    for call in list(calls)[:MOST_INPUTS]:
        outputs = await asyncio.gather(*(bench.output(code, call, head, names) for code in codes))
        if all(outputs) and outputs[0] != outputs[1]:
            found.append({"call": call, "outputs": list(outputs)})
        if len(found) == MOST_SHOWN:
            break
    return found


def swap_sides(evidence: Evidence) -> Evidence:
    """The same, with the programs exchanged."""
    return replace(
        evidence,
        passed=tuple((b, a) for a, b in evidence.passed),
        weights=(evidence.weights[1], evidence.weights[0]),
    )


def to_rows(draws: Sequence[Draw], evidence: Evidence) -> Mapping[str, Any]:
    """The plain JSON form: every test with who states it and who passes it, every draw."""
    tests = zip(evidence.tests, evidence.stated_by, evidence.passed, strict=True)
    agreed = zip(draws, evidence.agreements, strict=True)
    return {
        "weights": list(evidence.weights),
        "tests": [{"test": t, "draws": list(s), "passed": list(p)} for t, s, p in tests],
        "draws": [
            {"abstains": d.abstains, "n_tests": len(d.tests), "agreement": a} for d, a in agreed
        ],
    }
