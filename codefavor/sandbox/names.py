"""Which names in tests are the program's, and which of them it may answer for.

A program shares its globals with its tests in the usual style (`f` is just there). It answers for
the entry point and for what the tests import from it, and for nothing else: `isclose(f(2), 4)` or
`f(2) == expected(2)` would hold whatever `f` gives, were the other name the program's.
"""

from __future__ import annotations

import ast
import builtins
import symtable

from codefavor.sandbox.allowed import ALLOWED
from codefavor.sandbox.trees import EXPECTATIONS, called, walk

# What a name means that tests use through the program's own imports, by what to import.
KNOWN_NAMES = {name: name for name in ALLOWED if "." not in name and name != "pytest"} | {
    "np": "numpy",
    "isclose": "math",
    "approx": "pytest",
    "pd": "pandas",
}
_FUNCTIONS = ("isclose", "approx")


class Needs(Exception):
    """The tests need the together lane, because ..."""


def program_names(
    tests: str, nodes: list[ast.AST], explicit: set[str], entry: str
) -> frozenset[str]:
    """The names that are the program's; raises Needs where the split lane must not ask it.

    `nodes` are those of the tests; `explicit` are imported from the program; `entry` is the
    entry point, "" if nobody names it.
    """
    loads, bound = global_names(tests)
    free = loads - bound - explicit
    own = {entry} & loads - explicit  # it may be given a value of its own later: `f = f(3)`
    waited_for = _exceptions(nodes, loads - bound)
    free = {n for n in free - own - waited_for if not hasattr(builtins, n)}
    others = free - _libraries(nodes, free)
    if not entry and not explicit:
        # Nobody says what is under test: it is the one name that the tests do not define.
        others = others or free
        own = others if len(others) == 1 else set()
    if others - own:
        raise Needs(
            f"{min(others - own)!r} is neither defined nor imported by the tests: is it the "
            "program's? (`from solution import ...` says so)"
        )
    if not (entry or own or explicit):
        raise Needs("the tests name nothing of the program")
    return frozenset(own | explicit | waited_for)


def _exceptions(nodes: list[ast.AST], free: set[str]) -> set[str]:
    """The free names that are only waited for: `except TooBig`, `raises(TooBig)`."""
    waited: set[int] = set()
    for node in nodes:
        kind = node.type if isinstance(node, ast.ExceptHandler) else None
        if isinstance(node, ast.Call) and called(node) in EXPECTATIONS and node.args:
            kind = node.args[0]
        if kind is not None:
            waited.update(id(item) for item in walk(kind))
    names = [n for n in nodes if isinstance(n, ast.Name) and n.id in free]
    other = {node.id for node in names if id(node) not in waited}
    return {node.id for node in names if not hasattr(builtins, node.id)} - other


def _libraries(nodes: list[ast.AST], free: set[str]) -> set[str]:
    """The free names that mean a library: known ones, used as nothing but its name and a dot."""
    if not free & KNOWN_NAMES.keys():
        return set()
    bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    other = {n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in bases}
    return {name for name in free & KNOWN_NAMES.keys() if name not in other or name in _FUNCTIONS}


def global_names(tests: str) -> tuple[set[str], set[str]]:
    """(global names that the module reads anywhere, global names that it binds)."""
    top = symtable.symtable(tests.removeprefix("\ufeff"), "<tests>", "exec")
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
