"""Test suites: several of a model for each function, to be scored by what they catch."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from codefavor.backends.base import Backend, Response, Sampling
from codefavor.engine.context import Context, derived_seed
from codefavor.engine.runner import Step
from codefavor.errors import DataError
from codefavor.prompts import prompt_sha256
from codefavor.records import Completion, Problem, Row, content_id
from codefavor.scoring.answers import suite_of
from codefavor.scoring.needed import with_needed
from codefavor.scoring.suite_nodes import word_of
from codefavor.scoring.suite_prompt import Framework, suite_question
from codefavor.scoring.suite_target import has_bodies, plain_program
from codefavor.synthesis.conversation import model_spec

STEP_NAME = "suites"
_Testable = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def make_suites_step(sampling: Sampling, framework: Framework = "pytest") -> Step:
    """A step from a problem row to `{"id", "completions": [...]}` with `sampling.n` suites.

    The draws depend on the run's seed, the problem and `n` only, where the backend takes seeds.
    """

    async def write(row: Row, context: Context) -> Row:
        problem = Problem.from_row(row, f"problem {row['id']}")
        question = suite_question(problem, framework)
        seed = None
        if context.can("seed"):
            seed = derived_seed(context.seed, f"{problem.id}/suites/{sampling.n}")
        seeded = msgspec.structs.replace(sampling, seed=seed)
        messages = [{"role": "system", "content": ""}, {"role": "user", "content": question}]
        answers = await context.samples(messages, sampling=seeded)
        model = model_spec(context)
        suites = [
            {**_completion(problem, answer, n, model, seeded).to_row(), "instruction": question}
            for n, answer in enumerate(answers)
        ]
        return {"id": problem.id, "completions": suites}

    return write


def _completion(
    problem: Problem, answer: Response, index: int, model: str, sampling: Sampling
) -> Completion:
    settings = {**sampling.to_row(), "index": index}
    return Completion(
        id=content_id("suite", problem.id, model, settings, answer.text),
        problem_id=problem.id,
        code=suite_of(answer.text),
        raw=answer.text,
        model=model,
        sampling=settings,
        usage=answer.usage.to_row(),
        finish_reason=answer.finish_reason,
    )


def suites_manifest(
    backend: Backend, sampling: Sampling, seed: int, framework: Framework
) -> dict[str, Any]:
    """The settings that a journal of suites is bound to."""
    return {
        "step": STEP_NAME,
        "backend": backend.identity,
        "sampling": sampling.to_row(),
        "seed": seed,
        "framework": framework,
        "prompt_sha256": prompt_sha256("suite"),
    }


def load_functions(path: Path, skipped: Counter[str]) -> list[Problem]:
    """The public functions and classes of a Python file or of all files under a folder.

    Each is a problem without tests: its reference is the definition behind the imports, constants
    and helpers of its module that it uses. `skipped` counts what is left out: files that do not
    parse, definitions that need relative imports, tests, and what has no body to test.
    Raises DataError where the path holds no Python file.
    """
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise DataError(f"{path}: no Python file is there")
    found = []
    for file in files:
        name = file.name if path == file else str(file.relative_to(path))
        if Path(name).name.startswith(("test_", "conftest")):
            skipped["a file of tests"] += 1
            continue
        try:
            text = file.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            skipped[f"does not parse ({type(error).__name__})"] += 1
            continue
        found += list(_functions(name, text, tree, skipped))
    return found


def _functions(name: str, text: str, tree: ast.Module, skipped: Counter[str]) -> Iterator[Problem]:
    for node in tree.body:
        if not isinstance(node, _Testable) or node.name.startswith("_"):
            continue
        if why := _why_left_out(node):
            skipped[why] += 1
            continue
        code = with_needed(ast.unparse(node), [text])
        imports = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
        if any(one.level for one in imports):
            skipped["needs a relative import"] += 1
            continue
        instruction = ast.get_docstring(node) or ""
        yield Problem(
            id=f"{name}:{node.name}", instruction=instruction, tests="",
            entry_point=node.name, reference=code, source=name,
        )  # fmt: skip


def _why_left_out(node: _Testable) -> str:
    """Why no suite can be asked for a definition; "" where one can."""
    names = [node.name]
    if isinstance(node, ast.ClassDef):
        names = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
        if any(word_of(base).endswith("TestCase") for base in node.bases):
            return "a test"
        names = names if node.name.startswith("Test") else []
    if any(name.startswith("test_") for name in names):
        return "a test"
    return "" if has_bodies(plain_program(ast.unparse(node))) else "has no body to test"
