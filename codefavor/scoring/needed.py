"""What a program uses and lacks, lent by other texts: imports, helpers, tables."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator, Sequence

from codefavor.languages.python_code import DEFINITIONS, UNREADABLE, put_before, tree_of

_BUILTINS = frozenset(dir(builtins))


def with_needed(code: str, earlier: Sequence[str]) -> str:
    """A program behind the top-level definitions of `earlier` texts that it uses and lacks.

    A text that does not parse lends nothing; of two texts that define a name the later one
    counts. A name comes with what its text does to it afterwards, as the loop that fills a table;
    `import *` comes where a name is defined nowhere else.
    """
    tree = tree_of(code)
    if tree is None:
        return code
    lent: dict[str, list[ast.stmt]] = {}
    order: list[ast.stmt] = []
    for text in earlier:
        of_text = dict[str, list[ast.stmt]]()
        for name, node in _statements(tree_of(text), of_text):
            order.append(node)
            of_text.setdefault(name, []).append(node)
        lent |= of_text
    missing = unbound(tree)
    taken: list[ast.stmt] = []
    while wanted := [node for name in lent if name in missing
                     for node in lent[name] if node not in taken]:  # fmt: skip
        taken += dict.fromkeys(wanted)
        missing |= unbound(ast.Module(list(wanted), []))
    if missing - lent.keys():
        taken += lent.get("*", [])
    if not taken:
        return code
    head = "\n".join(ast.unparse(node) for node in dict.fromkeys(order) if node in taken)
    return put_before(f"{head}\n\n", code, behind_imports=True)


def _statements(
    tree: ast.Module | None, lent: dict[str, list[ast.stmt]]
) -> Iterator[tuple[str, ast.stmt]]:
    """The statements of a text by the names that they define, or change once it has them."""
    for node in tree.body if tree else ():
        names = list(bound_by(node))
        for name in names:
            lent.pop(name, None)
            yield name, node
        for name in () if names else _changed_by(node):
            # A module is changed by nothing that its user needs: `sys.exit()`.
            if isinstance(next(iter(lent.get(name, [])), None), ast.Assign | ast.AnnAssign):
                yield name, node


def without_words(code: str) -> str:
    """A program without statements that are only words: "Runs in O(n)", "Done", "* linear".

    Such a one reads what is defined nowhere, and calls nothing but `O`.
    """
    tree = tree_of(code)
    missing = unbound(tree) if tree else set()
    if tree is None or not missing or "*" in {name for one in tree.body for name in bound_by(one)}:
        return code
    lines = code.split("\n")
    for node in reversed(tree.body):
        if _is_words(node, missing):
            del lines[node.lineno - 1 : node.end_lineno]
    kept = "\n".join(lines).strip("\n")
    return f"{kept}\n" if kept else ""


def _is_words(node: ast.stmt, missing: set[str]) -> bool:
    if not isinstance(node, ast.Expr) and not (
        isinstance(node, ast.AnnAssign) and node.value is None
    ):
        return False
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    is_call = any(not isinstance(one, ast.Name) or one.id != "O" for one in calls)
    return bool(_names(node) & missing) and not is_call


def _names(tree: ast.AST) -> set[str]:
    return {
        one.id
        for one in ast.walk(tree)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
    }


def bound_by(node: ast.stmt) -> Iterable[str]:
    """What a statement defines; an import of what is to come defines nothing."""
    if isinstance(node, DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return []
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(one.asname or one.name).partition(".")[0] for one in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
        return [one.id for one in names if isinstance(one.ctx, ast.Store)]
    if isinstance(node, ast.Try):
        parts = [*node.body, *(one for handler in node.handlers for one in handler.body)]
        return [name for part in parts for name in bound_by(part)]
    return []


def _changed_by(node: ast.stmt) -> set[str]:
    """The names whose values a statement changes in place: by item, method, or `+=`."""
    changed: list[ast.expr] = []
    # What stands under a condition is how an example is run.
    for one in () if isinstance(node, ast.If | ast.Try) else ast.walk(node):
        if isinstance(one, ast.Subscript | ast.Attribute) and not isinstance(one.ctx, ast.Load):
            changed.append(one.value)
        elif isinstance(one, ast.AugAssign):
            changed.append(one.target)
        elif (
            isinstance(one, ast.Expr)
            and isinstance(one.value, ast.Call)
            and isinstance(one.value.func, ast.Attribute)
        ):
            changed.append(one.value.func.value)
    return {one.id for one in changed if isinstance(one, ast.Name)}


def unbound(tree: ast.Module) -> set[str]:
    """The names that a program reads from its top level and defines neither there nor before."""
    # Where annotations are not evaluated, the names in them are needed all the same.
    body = [one for one in tree.body if getattr(one, "module", "") != "__future__"]
    try:
        top = symtable.symtable(ast.unparse(ast.Module(body, [])), "", "exec")
    except UNREADABLE:
        return set()
    tables, read = [top], set[str]()
    bound = {one.get_name() for one in top.get_symbols() if one.is_local()}
    for table in tables:
        tables += table.get_children()
        found = [one for one in table.get_symbols() if table is top or one.is_global()]
        read |= {one.get_name() for one in found if one.is_referenced()}
        bound |= {one.get_name() for one in found if one.is_assigned()}
    return read - bound - _BUILTINS
