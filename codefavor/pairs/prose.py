"""The prose of problems and rows: sentences of a task, turns of a conversation."""

from __future__ import annotations

import ast

from codefavor.records import Preference, Problem


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


def turns_of(row: Preference) -> list[str]:
    """What is asked, then what is said: a task told in several turns must not be interrupted."""
    asked = [str(t.get("content", "")) for t in row.history if t.get("role") == "user"]
    said = [str(t.get("content", "")) for t in row.history if t.get("role") != "user"]
    return [*asked, row.instruction, *said, row.feedback]


def row_text(row: Preference) -> str:
    """All that a row trains on, in the order in which it is read."""
    return "\n".join((*turns_of(row), row.chosen, row.rejected))


def texts_of(row: Preference) -> list[str]:
    """The different texts of a row, each alone: programs and turns."""
    return list(dict.fromkeys((row.chosen, row.rejected, *turns_of(row))))
