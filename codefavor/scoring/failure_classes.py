"""What a failing program got wrong: above all, whether it uses what does not exist.

From the outcome of its run, the words of its exception and its syntax tree; no model is asked.
The words are the program's own, so a class describes and decides nothing.
"""

from __future__ import annotations

import ast
import re
import sys
import typing
from typing import NamedTuple

from codefavor.languages.python_code import tree_of
from codefavor.records import Execution

CLASSES: dict[str, str] = {
    "no_such_module": "imports a module that is not there",
    "no_such_attribute": "uses an attribute or name of a module or type that does not exist",
    "no_such_keyword": "passes a keyword argument that a function not its own does not have",
    "no_such_name": "uses a name that nothing defines",
    "forgotten_import": "uses a known module or type without importing it",
    "wrong_arity": "passes too many or too few arguments",
    "no_entry_point": "does not define what was asked for",
    "wrong_answer": "answers, and wrongly",
    "wrong_type": "passes on a value of a type that does not fit (any other TypeError)",
    "wrong_structure": "reads an index, a key or a number of parts that is not there",
    "recursion": "reaches the limit of recursion",
    "exception": "raises any other exception, or dies",
    "hang": "reaches the limit of time",
    "limit": "reaches the limit of memory or output",
    "no_program": "there is no program, or it does not parse",
}
HALLUCINATIONS = ("no_such_module", "no_such_attribute", "no_such_keyword", "no_such_name")
_BY_OUTCOME = {
    "wrong_output": "wrong_answer",
    "timeout": "hang",
    "memory": "limit",
    "output_limit": "limit",
    "syntax_error": "no_program",
    "no_code": "no_program",
}
# Names by which programs call what they forgot to import.
_KNOWN = frozenset({"np", "pd", "plt", *sys.stdlib_module_names, *typing.__all__}) | {
    "Counter", "OrderedDict", "chain", "dataclass", "defaultdict", "deque", "gcd", "heappop",
    "heappush", "lru_cache", "namedtuple", "numpy", "pandas", "partial", "permutations",
    "product", "reduce", "sqrt", "combinations",
}  # fmt: skip
_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"^NameError: the program does not define '(.+?)'", "no_entry_point"),
    (r"^ModuleNotFoundError: No module named '(.+?)'", "no_such_module"),
    (r"^ImportError: cannot import name '(?P<attribute>.+?)' from '(?P<owner>.+?)'",
     "no_such_attribute"),
    (r"^NameError: name '(.+?)' is not defined", "no_such_name"),
    (r"^AttributeError: (?:partially initialized )?module '(?P<owner>.+?)'.* has no attribute "
     r"'(?P<attribute>.+?)'", "no_such_attribute"),
    (r"^AttributeError: (?:type object )?'(?!NoneType)(?P<owner>.+?)' (?:object )?has no "
     r"attribute '(?P<attribute>.+?)'", "no_such_attribute"),
    (r"^TypeError: (.+?)\(\) got an unexpected keyword argument", "no_such_keyword"),
    (r"^TypeError: '.+?' is an invalid keyword argument for (.+?)\(\)", "no_such_keyword"),
    (r"^TypeError: (.+?)(?:\(\))? takes no keyword arguments", "no_such_keyword"),
    (r"^TypeError: (.+?)(?:\(\))? (?:missing (?:\d+ )?required|takes .*argument|must have at "
     r"least)",
     "wrong_arity"),
    (r"^TypeError: (?:(.+?)(?:\(\))? )?expected (?:at (?:least|most) |exactly )?\d+ arguments?",
     "wrong_arity"),
    (r"^TypeError:()", "wrong_type"),
    (r"^(?:IndexError|KeyError|ValueError: (?:too many|not enough) values to unpack)()",
     "wrong_structure"),
    (r"^RecursionError:()", "recursion"),
)  # fmt: skip
_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CLASS_MAKERS = frozenset({"Enum", "NamedTuple", "make_dataclass", "namedtuple", "type"})


class Failure(NamedTuple):
    """The class of a failure, a key of `CLASSES`, and the name it is about ("" for none)."""

    kind: str
    name: str = ""


def failure_of(execution: Execution, code: str) -> Failure | None:
    """What a program got wrong; None if it passed or the run says nothing about it."""
    if execution.is_evidence_of_pass or execution.no_evidence:
        return None
    if execution.outcome in _BY_OUTCOME:
        return Failure(_BY_OUTCOME[execution.outcome])
    for pattern, kind in _PATTERNS:
        if found := re.search(pattern, execution.error):
            owner = found.groupdict().get("owner")
            name = f"{owner}.{found['attribute']}" if owner else found[1] or ""
            return _among_own(Failure(kind, name), code)
    return Failure("exception")


def _among_own(failure: Failure, code: str) -> Failure:
    """The class, where the program may have defined itself what it uses wrongly."""
    kind, name = failure
    tree = tree_of(code)
    if tree is None:
        return failure
    if kind == "no_such_name":
        if name in _bound_in(tree):
            return Failure("exception")  # bound in another scope, or later
        return Failure("forgotten_import", name) if name in _KNOWN else failure
    if kind == "no_such_keyword" and _is_own_function(name, tree):
        return Failure("wrong_arity", name)
    if kind == "no_such_attribute" and name.partition(".")[0] in _classes_in(tree):
        return Failure("exception")
    return failure


def _bound_in(tree: ast.Module) -> set[str]:
    """Every name that a program binds, in any scope."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, _DEFINED)}
    names |= {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return names | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _classes_in(tree: ast.Module) -> set[str]:
    """The classes that a program makes: no variable of that name, and no parameter; `super` if none
    of them is made from a class of others."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = {node.name for node in classes}
    if {ast.unparse(base) for node in classes for base in node.bases} <= names | {"object"}:
        names.add("super")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made_by = ast.unparse(node.value.func).rpartition(".")[2]
            if made_by in _CLASS_MAKERS:
                names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return names


def _is_own_function(name: str, tree: ast.Module) -> bool:
    """Whether a program defines and uses this function; `sorted` calls itself `sort`."""
    parts = set(name.split("."))
    own = parts & {node.name for node in ast.walk(tree) if isinstance(node, _DEFINED)}
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }
    return bool(own & used) or "<lambda>" in parts
