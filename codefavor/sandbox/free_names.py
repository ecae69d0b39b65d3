"""What the names that tests do not bind themselves may mean: the program's, or not its to give.

A program shares its globals with its tests in the usual style (`f` is just there). It must not
thereby replace what the tests rely on: a program with an `all`, `abs` or `math` of its own
would decide what they find.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections import Counter
from typing import NamedTuple

# What tests use through the program's own `import`, by the name that is usual for it.
_LIBRARIES = {
    name: name
    for name in (
        "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools",
        "itertools", "json", "math", "numpy", "operator", "re", "statistics", "unittest",
    )
} | {"np": "numpy"}  # fmt: skip
_BUILTINS = frozenset(dir(builtins))
_KNOWN = frozenset((*sys.stdlib_module_names, "numpy", "pytest"))


class FreeNames(NamedTuple):
    """`lent`: builtins that the program may provide, because they are what is tested.

    `libraries`: names that stand for a library in these tests, with the name to import it by.
    `starless`: names that `from program import *` must not replace.
    """

    lent: frozenset[str]
    libraries: dict[str, str]
    starless: frozenset[str]

    def may_be_the_programs(self, name: str) -> bool:
        """Whether the program's global of this name is what the tests mean by it."""
        return name not in _BUILTINS or name in self.lent


def free_names(tree: ast.Module, entry_point: str) -> FreeNames:
    """Read the names of tests as they were written, before they are rewritten."""
    loads: Counter[str] = Counter()
    as_bases: Counter[str] = Counter()
    bound: set[str] = set()
    imported: set[str] = set()
    imports_program = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                loads[node.id] += 1
            else:
                bound.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            as_bases[node.value.id] += 1
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            imports_program |= not _modules(node) <= _KNOWN
    tested = entry_point.partition(".")[0]
    free = loads.keys() - bound - imported
    if tested:
        lent = frozenset({tested})
    elif free <= _BUILTINS and not imports_program:
        # Nothing but builtins is named: one of them must be what is tested.
        lent = frozenset(free)
    else:
        lent = frozenset()
    libraries = {
        name: _LIBRARIES[name]
        for name in free & _LIBRARIES.keys()
        if name != tested and loads[name] == as_bases[name]
    }
    starless = (_BUILTINS - lent) | imported | _bound_before_star(tree)
    return FreeNames(lent, libraries, frozenset(starless))


def _modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return {alias.name.partition(".")[0] for alias in node.names}


def _bound_before_star(tree: ast.Module) -> set[str]:
    """What a module binds at its top level before its last `from ... import *`."""
    stars = [i for i, item in enumerate(tree.body) if _is_star(item)]
    before = tree.body[: stars[-1]] if stars else []
    names: set[str] = set()
    for statement in before:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                names.add(node.name)
    return names


def _is_star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
