"""The sentences of a task, without the code, examples and asserts around them."""

from __future__ import annotations

import ast

from codefavor.records import Problem


def prose_of(problem: Problem) -> str:
    """The sentences of an instruction, without the code, examples and asserts around them."""
    if problem.prompt:
        documentation = _docstrings(problem.prompt)
        if documentation:
            return without_examples(documentation)
    return without_examples(problem.instruction)


def _docstrings(prompt: str) -> str:
    """The documentation of the last function of a prompt that ends in a function head."""
    try:
        tree = ast.parse(prompt.rstrip() + "\n    pass\n")
    except SyntaxError:
        return ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return (ast.get_docstring(functions[-1]) or "") if functions else ""


def without_examples(text: str) -> str:
    """The sentences of a text, without the code, examples and asserts around them."""
    kept: list[str] = []
    in_example = False
    for line in text.splitlines():
        stripped = line.strip()
        in_example = stripped.startswith(">>>") or (in_example and bool(stripped))
        is_code = stripped.startswith(("```", "assert ", "def ", "import ", "from typing"))
        if stripped and not in_example and not is_code and "this holds: assert" not in stripped:
            kept.append(stripped)
    return " ".join(kept)
