"""Which names in tests are the program's, and which of them it may answer for.

A program shares its globals with its tests in the usual style (`f` is just there). Besides the
entry point it may answer for another function only where that cannot decide a check about the
first: `isclose(f(2), 4)` with an `isclose` of the program's would hold whatever `f` gives.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

# What a name means that tests use through the program's own imports, by what to import.
KNOWN_NAMES = {
    name: name
    for name in (
        "array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions",
        "functools", "heapq", "itertools", "json", "math", "numbers", "numpy", "operator",
        "random", "re", "statistics", "string", "sys", "textwrap", "typing", "unittest", "uuid",
    )
} | {"np": "numpy", "isclose": "math", "approx": "pytest", "pd": "pandas"}  # fmt: skip


class Needs(Exception):
    """The tests need the together lane, because ..."""


_FUNCTIONS = ("isclose", "approx")
_EXPECTATIONS = ("raises", "assertRaises", "assertRaisesRegex")


def program_names(tree: ast.Module, explicit: set[str], entry: str) -> frozenset[str]:
    """The names that are the program's; raises Needs where the split lane must not ask it.

    `explicit` are imported from the program; `entry` is the entry point, "" if nobody names it.
    """
    loads, bound = _globals(tree)
    free = loads - bound - explicit
    if entry in free:
        free = (free - {name for name in free if hasattr(builtins, name)}) | {entry}
    else:
        free -= set(dir(builtins))
    if not entry or entry in explicit | bound:
        wanted = free - _libraries(tree, free) or free
        if not wanted and not explicit:
            raise Needs("the tests name nothing of the program")
        return frozenset(wanted | explicit)
    others = free - {entry} - _libraries(tree, free)
    if others:
        _Uses(tree, entry, others | explicit).check(others)
    return frozenset({entry, *explicit, *others})


def _libraries(tree: ast.Module, free: set[str]) -> set[str]:
    """The free names that mean a library: known ones, used as nothing but its name and a dot."""
    bases = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    other = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in bases}
    return {name for name in free & KNOWN_NAMES.keys() if name not in other or name in _FUNCTIONS}


def _globals(tree: ast.Module) -> tuple[set[str], set[str]]:
    """(global names that the module reads anywhere, global names that it binds)."""
    top = symtable.symtable(ast.unparse(tree), "<tests>", "exec")
    loads: set[str] = set()
    bound: set[str] = set()
    waiting = [top]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            if table is not top and not symbol.is_global():
                continue
            if symbol.is_referenced():
                loads.add(symbol.get_name())
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                bound.add(symbol.get_name())
    return loads, bound


class _Uses:
    """How tests use the names of the program other than the entry point."""

    def __init__(self, tree: ast.Module, entry: str, names: set[str]) -> None:
        self._tree = tree
        self._tainted = {entry, *names}
        self._spread()

    def check(self, others: set[str]) -> None:
        """Raise Needs for a use whose answer could decide what another answer is worth."""
        fine: set[int] = set()
        for node in ast.walk(self._tree):
            fine.update(self._fine_uses(node))
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Name) and node.id in others and id(node) not in fine:
                raise Needs(
                    f"{node.id!r} is neither defined nor imported by the tests: is it the "
                    "program's? (`from solution import ...` says so)"
                )

    def _fine_uses(self, node: ast.AST) -> Iterator[int]:
        if isinstance(node, ast.Call):
            arguments = [*node.args, *(item.value for item in node.keywords)]
            called = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            if called in _EXPECTATIONS and arguments:
                yield from (id(item) for item in ast.walk(arguments[0]))
            if not any(map(self._is_tainted, arguments)):
                yield id(node.func)
        elif isinstance(node, ast.ExceptHandler) and node.type is not None:
            yield from (id(item) for item in ast.walk(node.type))
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if sum(map(self._is_tainted, sides)) == 1:
                yield from (id(side) for side in sides if isinstance(side, ast.Name))

    def _is_tainted(self, node: ast.AST) -> bool:
        names = (item.id for item in ast.walk(node) if isinstance(item, ast.Name))
        return not self._tainted.isdisjoint(names)

    def _spread(self) -> None:
        """Add what is assigned from the program's answers, until nothing is new."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("test"):
                self._tainted.update(item.arg for item in [*node.args.args, *node.args.kwonlyargs])
        size = 0
        while size != len(self._tainted):
            size = len(self._tainted)
            for node in ast.walk(self._tree):
                for target, source in _assignments(node):
                    if self._is_tainted(source):
                        stored = (n for n in ast.walk(target) if isinstance(n, ast.Name))
                        self._tainted.update(item.id for item in stored)


def _assignments(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value:
        yield node.target, node.value
    elif isinstance(node, ast.For | ast.comprehension):
        yield node.target, node.iter
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr
