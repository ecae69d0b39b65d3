"""The names in a row's Python tests: which is the program's, and which the library's."""

from __future__ import annotations

import ast
import builtins
import collections
import math
import symtable
from collections import Counter

_LIBRARY = frozenset({*collections.__all__, *dir(math)})


def called_by(tests: str) -> str:
    """The function that most asserts call, of equals the first: no builtin and nothing that the
    tests bind. A name of the library (`Counter`, `gcd`) is it only where no other is as common.

    Raises SyntaxError for tests that do not parse, ValueError for those that call nothing.
    """
    body = ast.parse(tests).body
    counts: Counter[str] = Counter()
    for statement in [node for node in body if isinstance(node, ast.Assert)] or body:
        calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
        counts.update([*dict.fromkeys(one.id for one in calls if isinstance(one, ast.Name))])
    free = _free_names(tests)
    names = [name for name in counts if name in free and not hasattr(builtins, name)]
    if not names:
        raise ValueError("the tests call nothing")
    return min(names, key=lambda name: (-counts[name], name in _LIBRARY))


def with_collections(tests: str, entry_point: str) -> str:
    """Tests behind an import of what they take from `collections`, if they leave it to the
    program: written to run behind it in one namespace, they count on its imports."""
    names = sorted(_free_names(tests) & set(collections.__all__) - {entry_point})
    return f"from collections import {', '.join(names)}\n{tests}" if names else tests


def imported_by(tests: str) -> str:
    """The first name that a test module imports from the solution; "" for none.

    Raises SyntaxError for tests that do not parse.
    """
    for node in ast.parse(tests).body:
        if isinstance(node, ast.ImportFrom) and node.module == "solution":
            return node.names[0].name
    return ""


def _free_names(tests: str) -> set[str]:
    """The names that tests read at module level and bind nowhere there."""
    symbols = symtable.symtable(tests, "<tests>", "exec").get_symbols()
    return {
        one.get_name()
        for one in symbols
        if one.is_referenced() and not (one.is_assigned() or one.is_imported())
    }
