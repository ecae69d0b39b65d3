"""Programs and tests that a model wrote for HumanEval, 100 of each a problem, from a folder.

The files are those of CodeT/data/generated_data in github.com/microsoft/CodeT (MIT, CodeGen-16B).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from codefavor.records import Problem, Row, read_rows
from codefavor.sandbox import SandboxPool

_HEAD = 60  # characters of a prompt, from which on the files leave out examples


def rows_of(folder: Path, what: str, problems: Mapping[str, Problem]) -> Iterator[tuple[str, Row]]:
    """(problem id, row) of `code_solution` or `test_case`; a row has `prompt` and `samples`."""
    for path in sorted(folder.glob(f"*HumanEval*{what}*.jsonl")):
        for _, row in read_rows(path):
            prompt = row["prompt"].partition("# check the correctness")[0].strip()
            # The last function of a prompt is the one to write.
            names = [
                (prompt.find(f"def {one.entry_point}("), one.id)
                for one in problems.values()
                if one.prompt.strip()[:_HEAD] == prompt[:_HEAD]
            ]
            place, name = max(names, default=(-1, ""))
            if place >= 0:
                yield name, row


def programs(folder: Path, problems: Mapping[str, Problem]) -> Iterator[tuple[str, str]]:
    """(problem id, program)."""
    for name, row in rows_of(folder, "code_solution", problems):
        for sample in row["samples"]:
            lines = sample.split("\n")
            ends = (n for n, line in enumerate(lines) if line and not line[0].isspace())
            yield name, row["prompt"] + "\n".join(lines[: next(ends, len(lines))])


def suites(row: Row, problem: Problem, pool: SandboxPool) -> list[list[str]]:
    """The asserts of each sample that hold for the right program; samples without one are left out.

    As in CodeT, a sample goes on behind `assert`. Asserts are `f(literals) == literal`.
    """
    name = problem.entry_point
    samples: list[list[str]] = []
    for text in row["samples"]:
        found: dict[str, None] = {}
        for line in f"assert {text.lstrip()}".split("\n"):
            if text_of := _plain_check(line.strip(), name):
                found[text_of] = None
        samples.append(list(found))
    every = list(dict.fromkeys(line for sample in samples for line in sample))[:300]
    run = pool.run(problem.reference, "\n".join(every), entry_point=name, setup=problem.setup)
    held = {line for line, holds in zip(every, run.asserts, strict=False) if holds}
    kept = [[line for line in sample if line in held] for sample in samples]
    return [list(one) for one in dict.fromkeys(map(tuple, kept)) if one]


def _plain_check(line: str, name: str) -> str:
    """The line as the printer writes it, "" if it is no such assert."""
    try:
        match ast.parse(line).body:
            case [
                ast.Assert(
                    ast.Compare(ast.Call(ast.Name(called), given, []), [ast.Eq()], [wanted]), None
                )
            ] if called == name:
                for node in (*given, wanted):
                    ast.literal_eval(node)
                return ast.unparse(ast.parse(line))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    return ""
