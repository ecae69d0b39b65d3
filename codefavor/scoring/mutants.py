"""Programs with exactly one mistake, made from a correct one by editing its syntax tree.

Every mutant and the original go through the same printer (`ast.unparse`), so that neither is
recognisable by formatting. Whether a mutant is really wrong is decided by tests elsewhere.
"""

from __future__ import annotations

import ast
import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass

from codefavor.errors import DataError
from codefavor.scoring.operators import Edit, hard_edits, medium_edits


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


def mutants_of(code: str, *, seed: int | None = None) -> list[Mutant]:
    """All distinct compiling mutants, in source order, or shuffled by `seed` if one is given.

    Raises DataError if the code does not parse.
    """
    printed = print_code(code)
    tree = ast.parse(printed)
    # Reading a tree back from its pickle is several times cheaper than deep-copying it.
    blob = pickle.dumps(tree)
    found: dict[str, Mutant] = {}
    for index, edit, lineno in _sites(tree):
        mutated = _apply(blob, index, edit)
        if mutated is not None and mutated != printed and mutated not in found:
            found[mutated] = Mutant(mutated, edit.operator, edit.level, lineno)
    mutants = list(found.values())
    if seed is not None:
        random.Random(seed).shuffle(mutants)
    return mutants


def _sites(tree: ast.Module) -> Iterator[tuple[int, Edit, int]]:
    # ast.walk is breadth-first and the same for a copy: its index names a node there too.
    for index, node in enumerate(ast.walk(tree)):
        lineno = getattr(node, "lineno", 1)
        for edit in (*hard_edits(node), *medium_edits(node)):
            yield index, edit, lineno


def _apply(blob: bytes, index: int, edit: Edit) -> str | None:
    """The printed mutant, None if the edit gives no valid program."""
    mutated: ast.Module = pickle.loads(blob)
    for position, node in enumerate(ast.walk(mutated)):
        if position == index:
            edit.change(node)
            break
    try:
        text = ast.unparse(ast.fix_missing_locations(mutated))
        compile(text, "<mutant>", "exec")
        return text
    except (SyntaxError, ValueError, RecursionError):
        return None
