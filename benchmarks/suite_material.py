"""Suites of growing worth for a problem, and programs that somebody wrote and that may be wrong."""

from __future__ import annotations

import ast
import random
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from codefavor.records import Problem, read_rows
from codefavor.sources.argument_types import restore_types

Suites = list[tuple[str, str]]
LONGEST_INPUT = 2000
_SIZES = (1, 2, 4, 8, 16)


def suites_of(problem: Problem, inputs: Sequence[Sequence[Any]], rng: random.Random) -> Suites:
    """(kind, text) of suites of growing worth; none where the checks are no plain asserts."""
    tree = ast.parse(problem.tests)
    check = next((n for n in tree.body if getattr(n, "name", "") == "check"), None)
    block = check.body if isinstance(check, ast.FunctionDef) else tree.body
    checks = [n for n in block if isinstance(n, ast.Assert)]
    asserts = [ast.unparse(n) for n in checks if any(isinstance(c, ast.Call) for c in ast.walk(n))]
    if len(asserts) < 2:
        return []
    rng.shuffle(asserts)
    name = "candidate" if check is not None else problem.entry_point
    head = f"import math\nfrom solution import {problem.entry_point} as {name}\n"
    call = next(n for n in ast.walk(ast.parse(asserts[0])) if isinstance(n, ast.Call))
    bodies = {
        "vacuous": [f"assert {ast.unparse(call)} is not NotImplemented"],
        "one check": asserts[:1],
        "one other check": asserts[-1:],
        "two checks": asserts[:2],
        "half of the checks": asserts[: max(1, len(asserts) // 2)],
        "all checks": asserts,
    }
    found = [
        (kind, head + "def test_it():\n" + "".join(f"    {line}\n" for line in lines))
        for kind, lines in bodies.items()
    ]
    right = f"{problem.setup}\n{problem.reference}\nreturn {problem.entry_point}"
    oracle = f"def make():\n{textwrap.indent(right, '    ')}\nright = make()\n"
    drawn = rng.sample(list(inputs), len(inputs))
    drawn = [one for one in map(repr, drawn) if len(one) < LONGEST_INPUT]
    for size in _SIZES:
        lines = [f"    assert {name}(*{one}) == right(*{one})\n" for one in drawn[:size]]
        if len(lines) == size:
            found.append((f"{size} inputs", f"{head}{oracle}def test_it():\n{''.join(lines)}"))
    return found


def further_inputs(folder: Path) -> dict[str, list[list[Any]]]:
    """EvalPlus' further inputs by the id of the problem."""
    found: dict[str, list[list[Any]]] = {}
    for name in ("humanevalplus/HumanEvalPlus.jsonl.gz", "mbppplus/MbppPlus.jsonl.gz"):
        for _, row in read_rows(folder / name):
            found[row["task_id"]] = restore_types(row["plus_input"], row)
    return found


def hidden_programs(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(problem set, problem id, code) of programs that may be wrong."""
    for path in sorted((folder / "sc2instruct_evalplus").glob("**/*.jsonl*")):
        kind = "humaneval" if "humaneval" in path.name.lower() else "mbpp"
        for _, row in read_rows(path):
            yield kind, str(row["task_id"]), row.get("solution") or row["completion"]
    for path in sorted((folder / "humanevalpack").glob("*python*.jsonl*")):
        for _, row in read_rows(path):
            name = str(row["task_id"]).replace("Python/", "HumanEval/")
            yield "humaneval", name, row["prompt"] + row["buggy_solution"]
    for path in sorted((folder / "quixbugs_py").glob("*.jsonl*")):
        for _, row in read_rows(path):
            yield "quixbugs", f"QuixBugs/{row['name']}", row["buggy_program"]
    for path in sorted((folder / "codeprefbench").glob("correctness*.jsonl*")):
        for _, row in read_rows(path):
            kind = "humaneval" if row["task_id"].startswith("HumanEval") else "mbpp"
            yield kind, row["task_id"], row["choices"][1 - int(row["gt_choice"])]
