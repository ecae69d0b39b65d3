"""Programs that use what does not exist, or do what was not asked: the mistakes of language models.

Each is one edit of a right program: a module, function, method, name or keyword argument that
other languages or other modules have, data in another type, shape or order, a need without end, a
requirement read the wrong way round, a bound that is off by one, or another number than was asked
for. Whether an edit fails, and for the stated reason, is decided by running the program.

The categories are those of Tian et al. 2024, "CodeHalu": naming (what is called does not exist),
mapping (data does not fit where it goes), resource (a limit of time, memory or depth is reached)
and logic (it runs, and does something else). Mapping and resource are made in `data_flaws`.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from codefavor.languages.python_code import rename
from codefavor.scoring.data_flaws import (
    CONVERSIONS_HERE,
    conversions_of,
    mapping_changes,
    resource_changes,
)
from codefavor.scoring.operators import HARD, MEDIUM, Edit, edits_of

EASY = "easy"


@dataclass(frozen=True)
class Flaw:
    """A kind of hallucination: its category, its level, and what a failing run must show.

    `failures` are classes of `failure_classes`; a program that fails otherwise is none of it.
    """

    category: str
    level: str
    failures: tuple[str, ...]


# How data that does not fit shows itself.
_UNFIT = ("wrong_answer", "wrong_type", "wrong_structure")
FLAWS: dict[str, Flaw] = {
    "hallucinated_module": Flaw("naming", EASY, ("no_such_module",)),
    "hallucinated_name": Flaw("naming", EASY, ("no_such_name",)),
    "hallucinated_function": Flaw("naming", MEDIUM, ("no_such_attribute",)),
    "hallucinated_method": Flaw("naming", EASY, ("no_such_attribute",)),
    "hallucinated_keyword": Flaw("naming", EASY, ("no_such_keyword",)),
    "wrong_shape": Flaw("mapping", EASY, _UNFIT),
    "wrong_conversion": Flaw("mapping", MEDIUM, (*_UNFIT, "no_such_attribute")),
    "swapped_order": Flaw("mapping", HARD, _UNFIT),
    "unbounded_memory": Flaw("resource", EASY, ("limit",)),
    "unbounded_recursion": Flaw("resource", EASY, ("recursion",)),
    "endless_loop": Flaw("resource", MEDIUM, ("hang", "limit")),
    "unbounded_growth": Flaw("resource", HARD, ("hang", "limit")),
    "misread_requirement": Flaw("logic", MEDIUM, ("wrong_answer",)),
    "off_by_one": Flaw("logic", HARD, (*_UNFIT, "exception")),
    "wrong_number": Flaw("logic", HARD, (*_UNFIT, "exception")),
}
# Mutation operators that are what the name says.
_OFF_BY_ONE = frozenset({"loop_skips_first", "loop_skips_last"})
_WRONG_NUMBER = frozenset({"constant_plus_one", "constant_minus_one"})
_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_NUMBERS = frozenset({"len", "int", "float", "sum", "abs", "round", "ord"})
_MISREAD = frozenset(
    {"call_swapped", "boolean_flip", "return_negated", "and_or", "condition_negated"}
)
# Calls whose sibling does the opposite; with another one (append and extend) nothing is misread.
_OPPOSITES = frozenset(
    {
        "min", "max", "any", "all", "lower", "upper", "lstrip", "rstrip", "startswith", "endswith",
        "find", "rfind", "keys", "values", "ceil", "floor", "union", "popleft", "appendleft",
    }
)  # fmt: skip
# What the rest of the program says of a node is kept at the node, under these names.
_IS_NO_BOUND, _NEVER, _IS_MODULE = "_is_no_bound", "_never", "_is_module"
_MAKES_DICT = frozenset({"dict", "Counter", "defaultdict", "OrderedDict"})
# Strict and not strict are off by one; the other direction is another requirement.
_ONE_APART = {(ast.Lt, "compare_lte"), (ast.LtE, "compare_lt"), (ast.Gt, "compare_gte"),
              (ast.GtE, "compare_gt")}  # fmt: skip
# What models call them that have read other languages; a longer and a shorter name where there are,
# so that pairs can be balanced in length.
_MODULES = {
    "math": "mathutils", "re": "regexp", "collections": "containers", "itertools": "iterators",
    "functools": "functional", "heapq": "priority_queue", "bisect": "binary_search",
    "string": "strings", "random": "randomlib", "copy": "deepcopy", "operator": "operators",
}  # fmt: skip
_NAMES = {
    "len": "length", "str": "to_string", "int": "parse_int", "sum": "total", "sorted": "sort",
    "max": "maximum", "min": "minimum", "abs": "absolute", "reversed": "reverse rev",
    "set": "unique",
    "isinstance": "is_instance is_a", "list": "to_list", "float": "to_float", "dict": "to_dict",
    "any": "any_of", "all": "all_of", "enumerate": "enumerated each", "chr": "from_char_code",
}  # fmt: skip
# Keyword arguments that a call does not have: those of other libraries and languages.
_KEYWORDS = {
    "sorted": "descending desc", "sort": "descending desc", "sum": "axis", "max": "initial",
    "min": "initial", "round": "mode", "zip": "fill_value", "enumerate": "begin", "join": "sep",
    "split": "limit", "strip": "side", "replace": "ignore_case", "any": "key", "all": "key",
    "append": "index", "pop": "reverse", "get": "fallback", "len": "axis", "abs": "axis",
    "map": "chunksize", "filter": "key", "reversed": "start", "lower": "locale",
    "upper": "locale", "count": "overlapping", "index": "reverse", "sqrt": "precision",
    "gcd": "default", "isdigit": "strict", "isalpha": "strict",
}  # fmt: skip

# Methods of which one type has the one and another type the other, and modules of which one is
# taken for another. All of them exist, and are right in some programs and wrong in others: no name
# tells anything. A method is easy all the same: what it is called of and with, and that its call is
# a statement of its own, tell which one is right.
_METHODS = (
    "append split join add", "append replace get startswith", "items split strip remove",
    "get index join items", "values count join pop", "extend update upper",
)  # fmt: skip
_OTHER_MODULES = (
    "math", "re", "typing", "itertools", "collections", "functools", "datetime", "heapq",
)  # fmt: skip


def hallucinations(node: ast.AST) -> Iterator[Edit]:
    """The edits of one node that make each kind of `FLAWS`.

    What a bound is and which numbers give themselves away is known once the module has been seen,
    which comes first.
    """
    if isinstance(node, ast.Module):
        _mark(node)
        yield from _other_modules(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _modules(node)
    if isinstance(node, ast.Call):
        yield from _calls(node)
    # Before the same edit of the number itself, which does not know that it is a bound.
    yield from _bounds(node)
    for kind, field, value in (*mapping_changes(node), *resource_changes(node)):
        yield _edit(kind, field, value)
    if isinstance(node, ast.For) and (whole := _without_slice(node.iter)) is not None:
        yield _edit("off_by_one", "iter", whole)
    if isinstance(node, ast.Return) and (other := _unnegated(node.value)) is not None:
        yield _edit("misread_requirement", "value", other)
    for edit in edits_of(node):
        kind = _logic(node, edit)
        if kind and not (edit.field == "value" and edit.value in getattr(node, _NEVER, ())):
            yield _edit(kind, edit.field, edit.value)


def _edit(kind: str, field: str, value: object) -> Edit:
    return Edit(kind, FLAWS[kind].level, field, value)


def _modules(node: ast.Import | ast.ImportFrom) -> Iterator[Edit]:
    if isinstance(node, ast.ImportFrom):
        if node.module in _MODULES and not node.level:
            yield _edit("hallucinated_module", "module", _MODULES[node.module])
        return
    for at, alias in enumerate(node.names):
        if alias.name in _MODULES:
            renamed = ast.alias(_MODULES[alias.name], alias.asname or alias.name)
            names = [*node.names[:at], renamed, *node.names[at + 1 :]]
            yield _edit("hallucinated_module", "names", names)


def _calls(node: ast.Call) -> Iterator[Edit]:
    func = node.func
    if isinstance(func, ast.Name):
        name = func.id
        for other in _NAMES.get(name, "").split():
            yield _edit("hallucinated_name", "func", ast.Name(other, ast.Load()))
    elif isinstance(func, ast.Attribute) and not getattr(func.value, _IS_MODULE, False):
        name = func.attr
        for group in map(str.split, _METHODS):
            for other in group if name in group else ():
                renamed = copy.copy(func)
                renamed.attr = other
                yield _edit("hallucinated_method", "func", renamed)
    else:
        return
    if any(one.arg is None for one in node.keywords):
        return
    kept = [one for one in node.keywords if one.arg != "reverse"]
    for keyword in _KEYWORDS.get(name, "").split():
        value = ast.Constant(value=1 if keyword in ("axis", "begin", "limit", "start") else True)
        yield _edit("hallucinated_keyword", "keywords", [*kept, ast.keyword(keyword, value)])


def _other_modules(tree: ast.Module) -> Iterator[Edit]:
    """A module's name wherever it stands: what is sought in another module is not there."""
    imported = {
        one.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in ([ast.alias(node.module or "")] if hasattr(node, "module") else node.names)
    }
    for module in sorted(imported & {*_OTHER_MODULES}):
        for other in sorted({*_OTHER_MODULES} - imported):
            changed = copy.deepcopy(tree)
            rename(changed, {module: other})
            for node in changed.body:
                if isinstance(node, ast.ImportFrom) and node.module == module:
                    node.module = other
                elif isinstance(node, ast.Import):
                    for one in node.names:
                        one.name = other if one.name == module else one.name
            yield _edit("hallucinated_function", "body", changed.body)


def _mark(tree: ast.Module) -> None:
    """Say at the nodes what is no bound (keys of a dict, a 0 that nothing is counted from), and
    which numbers nobody would write in their place (`x + 0`, `-0`, `x * 1`); and to what types the
    program converts."""
    nodes = list(ast.walk(tree))
    names = _names_of(nodes)
    conversions = conversions_of(nodes)
    for node in nodes:
        if isinstance(node, ast.Subscript):
            is_dict = _is_dict(node.value) or ast.unparse(node.value) in names.dicts
            setattr(node, _IS_NO_BOUND, is_dict)
        elif isinstance(node, ast.Assign):
            setattr(node, _IS_NO_BOUND, ast.unparse(node.targets[0]) not in names.counted)
            if ast.unparse(node.targets[0]) in names.multiplied:
                setattr(node.value, _NEVER, (0,))
        elif isinstance(node, ast.AugAssign):
            setattr(node.value, _NEVER, (0,) if isinstance(node.op, ast.Add | ast.Sub) else (0, 1))
        elif isinstance(node, ast.Name):
            setattr(node, _IS_MODULE, node.id in names.modules)
            setattr(node, CONVERSIONS_HERE, conversions)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            setattr(node.operand, _NEVER, (0,))
        elif isinstance(node, ast.BinOp):
            never = (0,) if isinstance(node.op, ast.Add | ast.Sub) else (0, 1)
            setattr(node.left, _NEVER, never)
            setattr(node.right, _NEVER, never)


class _Names(NamedTuple):
    """What a program's names are known to be, by how they are written."""

    dicts: set[str]
    counted: set[str]
    multiplied: set[str]
    modules: set[str]


def _names_of(nodes: list[ast.AST]) -> _Names:
    dicts, counted, multiplied = set(), set(), set()
    modules, arguments = set(), set()
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_dict(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            dicts |= {ast.unparse(one) for one in targets}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            # n = n + 1
            counted |= {ast.unparse(node.targets[0])} & {ast.unparse(node.value.left)}
            if isinstance(node.value.op, ast.Mult):
                multiplied |= {ast.unparse(node.targets[0])}
        elif isinstance(node, ast.arg):
            arguments.add(node.arg)
            hint = ast.unparse(node.annotation).lower() if node.annotation is not None else ""
            if hint.startswith(("dict", "mapping")):
                dicts.add(node.arg)
        elif isinstance(node, ast.AugAssign):
            counted.add(ast.unparse(node.target))
            if isinstance(node.op, ast.Mult):
                multiplied.add(ast.unparse(node.target))
        elif isinstance(node, ast.Import):
            modules |= {one.asname or one.name.split(".")[0] for one in node.names}
    return _Names(dicts, counted, multiplied, modules - arguments)


def _is_dict(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return getattr(value.func, "attr", getattr(value.func, "id", "")) in _MAKES_DICT
    return isinstance(value, ast.Dict | ast.DictComp)


def _bounds(node: ast.AST) -> Iterator[Edit]:
    """Numbers that are a bound, moved by one: where a range, a slice or a comparison begins or
    ends, an index, and what a count starts from."""
    places: list[tuple[str, ast.expr | None]] = []
    if getattr(node, _IS_NO_BOUND, False):
        return
    if isinstance(node, ast.Slice):
        places = [("lower", node.lower), ("upper", node.upper)]
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and not _is_type(node):
        places = [("slice", node.slice)]
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        starts_at_zero = isinstance(node.value, ast.Constant) and node.value.value == 0
        places = [("value", node.value)] if starts_at_zero else []
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        # The third is a step.
        yield from _bounds_among("args", node.args, n=2)
    elif isinstance(node, ast.Compare) and all(isinstance(op, _ORDERED) for op in node.ops):
        places = [("left", node.left)]
        yield from _bounds_among("comparators", node.comparators, n=len(node.comparators))
    for field, one in places:
        for moved in _moved(one):
            yield _edit("off_by_one", field, moved)


def _bounds_among(field: str, expressions: list[ast.expr], *, n: int) -> Iterator[Edit]:
    """The same for the first `n` expressions of a list."""
    for at, one in enumerate(expressions[:n]):
        for moved in _moved(one):
            yield _edit("off_by_one", field, [*expressions[:at], moved, *expressions[at + 1 :]])


def _moved(bound: ast.expr | None) -> Iterator[ast.expr]:
    """A bound one more and less: a whole number, alone, negative or behind + or -, a name or call;
    and without a 1 that is added to it or taken from it."""
    if isinstance(bound, ast.Constant) and type(bound.value) is int:
        never = getattr(bound, _NEVER, ())
        for value in (bound.value + 1, bound.value - 1):
            if value not in never:
                yield ast.Constant(value)
    elif isinstance(bound, ast.UnaryOp) and isinstance(bound.op, ast.USub):
        yield from (ast.UnaryOp(bound.op, one) for one in _moved(bound.operand))
    elif isinstance(bound, ast.BinOp) and isinstance(bound.op, ast.Add | ast.Sub):
        if isinstance(bound.right, ast.Constant):
            yield from (ast.BinOp(bound.left, bound.op, one) for one in _moved(bound.right))
            if bound.right.value == 1:
                yield bound.left
    elif isinstance(bound, ast.Name | ast.Call):
        yield from (ast.BinOp(bound, op, ast.Constant(1)) for op in (ast.Add(), ast.Sub()))


def _unnegated(value: ast.expr | None) -> ast.expr | None:
    is_negated = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    return value.operand if is_negated else None  # type: ignore[union-attr]


def _without_slice(items: ast.expr) -> ast.expr | None:
    """What a loop goes through that leaves out the first or the last one."""
    if not isinstance(items, ast.Subscript) or not isinstance(items.slice, ast.Slice):
        return None
    return items.value if ast.unparse(items.slice) in ("1:", ":-1") else None


def _logic(node: ast.AST, edit: Edit) -> str:
    """The kind of a mutation that is a hallucination of logic; "" for any other mutation."""
    if edit.operator.startswith("compare_") and isinstance(node, ast.Compare):
        orders = isinstance(edit.value, list) and any(isinstance(op, _ORDERED) for op in edit.value)
        if orders and not any(isinstance(op, _ORDERED) for op in node.ops) and _is_text(node):
            return ""
        one_apart = any((type(op), edit.operator) in _ONE_APART for op in node.ops)
        return "off_by_one" if one_apart else "misread_requirement"
    if edit.operator == "call_swapped" and isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return "misread_requirement" if name in _OPPOSITES else ""
    if edit.operator in _OFF_BY_ONE:
        return "off_by_one"
    if edit.operator in _WRONG_NUMBER:
        return "wrong_number"
    return "misread_requirement" if edit.operator in _MISREAD else ""


def _is_text(node: ast.Compare) -> bool:
    """Whether what is compared may be texts, of which nobody reads "the same" as "at most": no
    side is a number, a length or a sum of such."""
    return not any(
        (isinstance(one, ast.Constant) and isinstance(one.value, int | float))
        or (isinstance(one, ast.Call) and getattr(one.func, "id", "") in _NUMBERS)
        or (isinstance(one, ast.BinOp) and not isinstance(one.op, ast.Add))
        for one in (node.left, *node.comparators)
    )


def _is_type(node: ast.AST) -> bool:
    """Whether a subscript is an annotation, as `List[int]` and `list[Node]`, not an index."""
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Name)
        and (node.slice.id[0].isupper() or hasattr(builtins, node.slice.id))
    )
