"""Programs with exactly one mistake, made from a correct one by editing its syntax tree.

Every mutant and the original go through the same printer (`ast.unparse`), so that neither is
recognisable by formatting. Whether a mutant is really wrong is decided by tests elsewhere.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from codefavor.errors import DataError
from codefavor.scoring.operators import Edit, edits_of


@dataclass(frozen=True)
class Mutant:
    """A program one mistake away from its original.

    `level` is "hard" (one operator, constant or bound) or "medium" (a statement, branch,
    return or call); `lineno` is the line of the mistake in the printed original.
    """

    code: str
    operator: str
    level: str
    lineno: int


def print_code(code: str) -> str:
    """The code as the project's one printer writes it: no comments, uniform layout.

    Raises DataError if the code does not parse.
    """
    try:
        return ast.unparse(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"the code does not parse: {error}") from error


def mutants_of(
    code: str,
    *,
    seed: int | None = None,
    edits: Callable[[ast.AST], Iterable[Edit]] = edits_of,
) -> list[Mutant]:
    """All distinct compiling mutants, in source order, or shuffled by `seed` if one is given.

    `edits` gives the mistakes that a node can have. Raises DataError if the code does not parse.
    """
    printed = print_code(code)
    tree = ast.parse(printed)
    found: dict[str, Mutant] = {}
    for node in list(ast.walk(tree)):
        for edit in edits(node):
            mutated = _printed_with(tree, node, edit)
            if mutated and mutated != printed and mutated not in found:
                lineno = getattr(node, "lineno", 1)
                found[mutated] = Mutant(mutated, edit.operator, edit.level, lineno)
    mutants = list(found.values())
    if seed is not None:
        random.Random(seed).shuffle(mutants)
    return mutants


def _printed_with(tree: ast.Module, node: ast.AST, edit: Edit) -> str:
    """The program with this edit, "" if it is none; the tree stays as it is."""
    original = getattr(node, edit.field)
    setattr(node, edit.field, edit.value)
    try:
        text = ast.unparse(tree)
        compile(text, "<mutant>", "exec")
        return text
    except (SyntaxError, ValueError, RecursionError):
        return ""
    finally:
        setattr(node, edit.field, original)
