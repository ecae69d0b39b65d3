"""Whether a test suite could leave something in a process for the next program's run to find.

Each program is loaded anew and so is the suite, but the libraries that it imports stay. So a suite
must not hold a module as a value, use what lasts and can change (`copy.dispatch_table`), nor, if it
sets attributes anywhere, hand a library's class to what might set one on it.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timezone
from enum import Enum, EnumMeta
from fractions import Fraction
from types import ModuleType

from codefavor.scoring.suite_nodes import imports_of, is_library, word_of

_FIXED = (
    int, float, complex, str, bytes, tuple, frozenset, type(None), re.Pattern, timezone, Fraction,
)  # fmt: skip
# Calls that only look at the classes they are given.
_LOOKS = frozenset((
    "isinstance", "issubclass", "raises", "assertRaises", "assertRaisesRegex", "assertIsInstance",
    "assertNotIsInstance",
))  # fmt: skip
# Ways from a value to its class.
_CLASS_OF = frozenset(("type", "mro", "__class__", "get_origin", "get_args"))
# What sets attributes on a class or function that it is given.
_SETTERS = frozenset((
    "total_ordering", "final", "no_type_check", "no_type_check_decorator", "override",
    "runtime_checkable", "dataclass_transform", "global_enum",
))  # fmt: skip
_NAMED = ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.FunctionDef | ast.ClassDef
_UNKNOWN = object()


def find_why_remembers(nodes: list[ast.AST], names: frozenset[str]) -> str:
    """Why something might last from a program's run to the next; "" if nothing can.

    `names` are those that the program defines. The suite's imports must be in the closed table.
    """
    stores = [n for n in nodes if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)]
    has_stores = bool(stores) or any(word_of(node) in _SETTERS for node in nodes)
    made = _made(nodes, names) if stores else set()
    for store in stores:
        if not (isinstance(store.value, ast.Name) and store.value.id in made):
            return f"it changes {ast.unparse(store)}"
    held: dict[str, object] = {}
    for name, value in _imported(nodes):
        if name == "*" or value is _UNKNOWN or held.setdefault(name, value) is not value:
            return f"it is not clear what the import of {name} brings"
    parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in held:
            if reason := _why_lasts(node, held[node.id], parents, has_stores):
                return reason
        elif has_stores and (word_of(node) in _CLASS_OF or getattr(node, "name", "") in _LOOKS):
            return f"it sets attributes and uses {word_of(node) or 'a name of the framework'}"
    return ""


def _imported(nodes: list[ast.AST]) -> Iterator[tuple[str, object]]:
    """Each name that a library's import binds, with what it is bound to."""
    for statement, module in imports_of(nodes):
        if not is_library(module) or module == "__future__":
            continue
        try:
            found = importlib.import_module(module)
        except ImportError:
            found = ModuleType(module)
        if isinstance(statement, ast.Import):
            for alias in (one for one in statement.names if one.name == module):
                top = importlib.import_module(module.partition(".")[0])
                yield alias.asname or top.__name__, found if alias.asname else top
        else:
            for alias in statement.names:
                yield alias.asname or alias.name, getattr(found, alias.name, _UNKNOWN)


def _made(nodes: list[ast.AST], names: frozenset[str]) -> set[str]:
    """`self`, `cls`, and the names that are bound to nothing but new objects or own classes."""
    classes = {n.name for n in nodes if isinstance(n, ast.ClassDef)}
    bound: Counter[str] = Counter()
    new: Counter[str] = Counter(n.name for n in nodes if isinstance(n, ast.ClassDef))
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] += 1
        elif isinstance(node, ast.arg):
            bound[node.arg] += 1
        elif isinstance(node, ast.alias):
            bound[node.asname or node.name] += node.name not in names
        elif isinstance(node, _NAMED) and node.name:
            bound[node.name] += 1
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound[node.rest] += 1
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Name) and called.id in names | classes:
                new.update(one.id for one in node.targets if isinstance(one, ast.Name))
    return {"self", "cls"} | {name for name in new if new[name] == bound[name]}


def _why_lasts(
    node: ast.expr, value: object, parents: dict[ast.AST, ast.AST], has_stores: bool
) -> str:
    """Why the library's thing at the start of this chain of attributes may remember; "" if not."""
    parent = parents[node]
    while isinstance(parent, ast.Attribute) and isinstance(value, ModuleType | type):
        node, value = parent, getattr(value, parent.attr, _UNKNOWN)
        parent = parents[node]
    text = ast.unparse(node)
    if type(value).__name__ == "MarkGenerator" and isinstance(parent, ast.Attribute):
        return ""
    if isinstance(value, ModuleType) or not (callable(value) or isinstance(value, _FIXED)):
        return f"it holds {text}, which lasts"
    is_plain = isinstance(value, _FIXED) and not isinstance(value, Enum)
    if not has_stores or is_plain or _is_harmless(node, parent, parents):
        return "" if not (has_stores and isinstance(value, EnumMeta)) else f"it uses {text}"
    return f"it sets attributes and hands on {text}"


def _is_harmless(node: ast.expr, parent: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a library's class or function is only called, looked at or built upon here."""
    if isinstance(parent, ast.Call) and parent.func is node:
        return True
    if isinstance(parent, ast.Tuple):
        parent = parents[parent]
    if isinstance(parent, ast.Call):
        return word_of(parent.func) in _LOOKS
    if isinstance(parent, ast.FunctionDef):
        return node in parent.decorator_list or node is parent.returns
    annotation = getattr(parent, "annotation", None)
    return isinstance(parent, ast.ExceptHandler | ast.ClassDef) or annotation is node
