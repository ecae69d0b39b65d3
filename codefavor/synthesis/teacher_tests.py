"""Tests that the teacher writes from the task alone, and what makes them unusable."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from codefavor.errors import Rejected
from codefavor.prompts import render
from codefavor.records import Row
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.candidates import hollow_of
from codefavor.scoring.instructions import are_statements, raise_if_broken
from codefavor.scoring.weak_tests import check_tests
from codefavor.synthesis.forms import code_of
from codefavor.synthesis.pair_rows import PairInProgress

N_ASSERTS = 5


class UnusableTests(Rejected):
    """The tests prove nothing; `reason` is a short name for counting."""


async def ask_for_tests(pair: PairInProgress, sandbox: SandboxPool, limits: Limits) -> Row:
    """Asserts that the teacher wrote without seeing either program, as a pair's evidence of tests.

    `checked` takes the better program, which was written without a look at them, for the
    reference; where it fails, that is for the pair's own check to say. Raises UnusableTests:
    `no_common_function` (the two programs share none that could be called), an answer's own
    reason, `do_not_parse`, `no_asserts`, `not_statements`, `call_nothing`, `vacuous` (a program
    that only returns its first argument passes), `mutants_live` or `no_mutants`.
    """
    functions = _common_functions(pair.chosen, pair.rejected)
    if not functions:
        raise UnusableTests("no_common_function")
    question = render(
        "write_tests",
        instruction=pair.instruction.strip(),
        signatures=list(functions.values()),
        n_asserts=N_ASSERTS,
        aspect=pair.aspect,
    )
    talk = pair.talk.apart()
    try:
        tests = code_of(await talk.ask(question), "python")
    except Rejected as rejection:
        raise UnusableTests(rejection.reason, rejection.detail) from rejection
    finally:
        pair.talk.usage += talk.usage
        pair.meta["tests_conversation"] = talk.to_row()
    hollow = pair.chosen
    for name in _called(tests, functions):
        hollow = hollow_of(hollow, name)
    run = await sandbox.run_async(hollow, tests, limits)
    raise_if_broken(run)
    is_vacuous = run.outcome == "test_error" and run.error.startswith("vacuous")
    if run.is_evidence_of_pass or is_vacuous:
        raise UnusableTests("vacuous", "a program that returns its first argument passes")
    checked = await check_tests(sandbox, tests, reference=pair.chosen)
    if checked["why"] in ("mutants_live", "no_mutants"):
        killed, n = checked["mutants"]
        raise UnusableTests(checked["why"], f"{killed} of {n} mutants of the better program fail")
    return {"origin": "teacher", "text": tests, "checked": checked}


def _called(tests: str, functions: Mapping[str, str]) -> list[str]:
    """The functions that the tests call. Raises UnusableTests for tests that prove nothing."""
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError) as error:
        raise UnusableTests("do_not_parse", str(error)) from error
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    if not asserts:
        raise UnusableTests("no_asserts")
    if not are_statements(tests):
        raise UnusableTests("not_statements")
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if not called & set(functions):
        raise UnusableTests("call_nothing", f"none of {', '.join(functions)} is called")
    return sorted(called & set(functions))


def _common_functions(first: str, second: str) -> dict[str, str]:
    """Name to signature of the functions that both programs define at module level, in order."""
    one, two = (
        {
            node.name: f"def {node.name}({ast.unparse(node.args)})"
            for node in ast.parse(code).body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        }
        for code in (first, second)
    )
    return {name: text for name, text in one.items() if name in two}
