"""Suites made of a problem's own checks, whole and weakened: no model has to give these lessons."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from codefavor.errors import Rejected
from codefavor.records import Completion, Problem, Row, content_id
from codefavor.scoring.suite_prompt import Framework, suite_question

OWN = "own-tests"
_MOST_CHECKS = 40
KINDS = ("whole", "half", "one", "wrong", "vacuous")


def own_suites(problem: Problem, framework: Framework = "pytest") -> Iterator[Row]:
    """A suite of each of KINDS, as the rows that `synthesise tests` writes.

    All checks; the first half; the first one; all with the last one negated; none, only that the
    name can be called. Raises Rejected where the tests are no plain asserts, on their own or in
    `check(candidate)` (`no_plain_checks`), and for a problem without a program (`no_reference`).
    """
    head, checks = _checks_of(problem)
    question = suite_question(problem, framework)
    name = problem.entry_point
    last = ast.Assert(ast.UnaryOp(ast.Not(), checks[-1].test))
    bodies = (
        checks,
        checks[: (len(checks) + 1) // 2],
        checks[:1],
        [*checks[:-1], last],
        [ast.Assert(ast.Call(ast.Name("callable"), [ast.Name(name)], []))],
    )
    for kind, body in zip(KINDS, bodies, strict=True):
        code = _printed(name, head, body, framework)
        settings: dict[str, Any] = {"kind": kind}
        completion = Completion(
            id=content_id("suite", problem.id, OWN, settings, code), problem_id=problem.id,
            code=code, raw=f"```python\n{code}```", model=OWN, sampling=settings,
        )  # fmt: skip
        yield {**completion.to_row(), "instruction": question, "license": problem.license}


def _checks_of(problem: Problem) -> tuple[list[ast.stmt], list[ast.Assert]]:
    """What stands before the checks, and the checks under the function's own name."""
    try:
        tree = ast.parse(problem.tests)
    except (SyntaxError, ValueError) as error:
        raise Rejected("no_plain_checks", str(error)) from error
    check = next((n for n in tree.body if getattr(n, "name", "") == "check"), None)
    block = check.body if isinstance(check, ast.FunctionDef) else tree.body
    checks = [node for node in block if isinstance(node, ast.Assert)]
    head: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    others = [n for n in block if not isinstance(n, ast.Assert | ast.Import | ast.ImportFrom)]
    if not checks or any(not isinstance(n, ast.Expr) for n in others):
        raise Rejected("no_plain_checks", problem.id)
    for node in (node for one in checks for node in ast.walk(one)):
        if isinstance(node, ast.Name) and node.id == "candidate":
            node.id = problem.entry_point
        if isinstance(node, ast.Assert):
            node.msg = None
    calls = [one for one in checks if any(isinstance(n, ast.Call) for n in ast.walk(one))]
    if not calls:
        raise Rejected("no_plain_checks", problem.id)
    return head, calls[:_MOST_CHECKS]


def _printed(
    name: str, head: list[ast.stmt], checks: list[ast.Assert], framework: Framework
) -> str:
    """One test a check."""
    module: list[ast.stmt] = [*head, ast.ImportFrom("solution", [ast.alias(name)], 0)]
    is_unittest = framework == "unittest"
    tests: list[ast.stmt] = []
    for number, check in enumerate(checks, 1):
        given = [ast.arg("self")] if is_unittest else []
        body: list[ast.stmt] = [_asserted(check.test) if is_unittest else check]
        arguments = ast.arguments([], given, None, [], [], None, [])
        label = f"test_{name}_{number}"
        tests.append(ast.FunctionDef(label, arguments, body, [], lineno=0))
    if is_unittest:
        base = ast.Attribute(ast.Name("unittest"), "TestCase")
        tests = [ast.ClassDef(f"Test_{name}", [base], [], tests, [])]
        module.insert(0, ast.Import([ast.alias("unittest")]))
    whole = ast.Module([*module, *tests], [])
    return ast.unparse(ast.fix_missing_locations(whole)) + "\n"


def _asserted(test: ast.expr) -> ast.stmt:
    is_equal = (
        isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)
    )
    given = [test.left, test.comparators[0]] if is_equal else [test]  # type: ignore[attr-defined]
    method = ast.Attribute(ast.Name("self"), "assertEqual" if is_equal else "assertTrue")
    return ast.Expr(ast.Call(method, given, []))
