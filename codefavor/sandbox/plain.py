"""Which tests can be shown, from their text alone, to leave nothing behind in their process.

Such tests only call functions of the program, compute with literals and compare. They define
no class, import nothing, name no attribute but methods of plain types, and reach no builtin
that could see or change the interpreter. So a process that ran them is as it was before, and
may run the next ones. The list is short on purpose: everything not on it gets a process of
its own.
"""

from __future__ import annotations

import ast
import builtins
import re

LONGEST = 64 << 10
_STATEMENTS = (
    ast.Assert, ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If,
    ast.Pass, ast.Break, ast.Continue, ast.Return, ast.FunctionDef,
)  # fmt: skip
_EXPRESSIONS = (
    ast.Constant, ast.Name, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.Subscript, ast.Slice, ast.Call, ast.Attribute, ast.IfExp,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.JoinedStr,
    ast.FormattedValue, ast.Starred,
)  # fmt: skip
_PARTS = (ast.Module, ast.comprehension, ast.keyword, ast.arguments, ast.arg)
_OPERATORS = tuple(
    kind
    for base in (ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
    for kind in base.__subclasses__()
)
_ALLOWED = frozenset((*_STATEMENTS, *_EXPRESSIONS, *_PARTS, *_OPERATORS))
_BUILTINS = frozenset((
    "abs", "all", "any", "bool", "bytes", "chr", "complex", "dict", "divmod", "enumerate",
    "filter", "float", "frozenset", "int", "isinstance", "len", "list", "map", "max", "min",
    "ord", "pow", "print", "range", "repr", "reversed", "round", "set", "slice", "sorted",
    "str", "sum", "tuple", "zip",
))  # fmt: skip
_KINDS = (str, bytes, list, tuple, dict, set, frozenset, int, float, complex)
# `format` and `format_map` read attributes that are named in a text, not in the program.
_METHODS = frozenset(
    name for kind in _KINDS for name in dir(kind) if not name.startswith("_")
) - {"format", "format_map"}  # fmt: skip
_EVERY_BUILTIN = frozenset(dir(builtins))
# A cheap look, so that most tests which need a process of their own are never offered to a
# shared one; `leaves_nothing` decides.
_TELLING = re.compile(
    r"__|\b(?:import|from|class|def test|try|with|lambda|async|await|yield|raise|del|global"
    r"|nonlocal|exec|eval|open|getattr|setattr|type|input)\b"
)


def may_leave_nothing(tests: str) -> bool:
    """False if a glance at the text shows that the tests need a process of their own."""
    return len(tests) <= LONGEST and _TELLING.search(tests) is None


def leaves_nothing(tree: ast.Module) -> bool:
    """Whether every part of the tests is on the list of harmless ones."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if type(node) not in _ALLOWED or not _is_harmless(node):
            return False
        for field in node._fields:
            value = getattr(node, field, None)
            if type(value) is list:
                waiting += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and field != "ctx":
                waiting.append(value)
    return True


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return _is_harmless_name(node.id)
    if isinstance(node, ast.Attribute):
        return isinstance(node.ctx, ast.Load) and node.attr in _METHODS
    if isinstance(node, ast.arg | ast.keyword):
        return node.arg is None or _is_harmless_name(node.arg)
    if isinstance(node, ast.FunctionDef):
        # What is run as a test of its own may be given fixtures, which reach files and modules.
        is_test = node.name.startswith("test")
        return not node.decorator_list and not is_test and _is_harmless_name(node.name)
    return not (isinstance(node, ast.comprehension) and node.is_async)


def _is_harmless_name(name: str) -> bool:
    if name.startswith("__"):
        return False
    return name not in _EVERY_BUILTIN or name in _BUILTINS
