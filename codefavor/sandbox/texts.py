"""The text of tests before it is judged: code or cases, what it imports, what is the program."""

from __future__ import annotations

import ast
import importlib.machinery
import json
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, wraps
from hashlib import sha256
from typing import Any, ParamSpec, TypeVar

from codefavor.sandbox.allowed import ALLOWED, PURE, site_folders
from codefavor.sandbox.trees import called, walk

FILE_NAME = "<tests>"
# The name of a text that a script of the together lane leaves for `SandboxPool.said_by`.
SAID = "__said__"
_STATELESS = PURE | {"json"}
_PROCESS_OWN = (ast.ClassDef, ast.With, ast.Global, ast.Import, ast.Lambda)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def known_by_digest(most: int) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """As `lru_cache`, but no text that a function was asked about is kept."""

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        known: OrderedDict[bytes, _T] = OrderedDict()

        @wraps(function)
        def ask(*given: _P.args, **named: _P.kwargs) -> _T:
            key = sha256(repr((given, sorted(named.items()))).encode()).digest()
            if key not in known:
                answer = known[key] = function(*given, **named)
                while len(known) > most:
                    known.popitem(last=False)
                return answer
            return known[key]

        return ask

    return decorate


def classes_of(setup: str) -> set[str]:
    """The classes that a setup defines; none if it does not parse."""
    try:
        return {node.name for node in ast.parse(setup).body if isinstance(node, ast.ClassDef)}
    except (SyntaxError, ValueError):
        return set()


def is_cases(tests: str) -> bool:
    """Whether the tests are inputs and outputs of a program instead of code."""
    if not tests.lstrip().startswith("{"):
        return False
    try:
        found = json.loads(tests)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "cases" in found


def fault_of_cases(spec: dict[str, Any]) -> str:
    """Why cases cannot be read, whatever their checker is; "" if they can be."""
    cases = spec["cases"]
    if not isinstance(cases, list) or not cases:
        return "there are no cases"
    for number, case in enumerate(cases, 1):
        texts = [case.get(key) for key in ("input", "output")] if isinstance(case, dict) else []
        if [type(text) for text in texts] != [str, str]:
            return f"case {number} has not the texts `input` and `output`"
        if re.search("[\ud800-\udfff]", case["input"]):
            return f"the input of case {number} is no Unicode text"
    name = str(spec.get("compare", "tokens"))
    if name == "checker" and not isinstance(spec.get("checker"), str):
        return "there is no checker"
    tolerance = r"float:(0|0?\.[0-9]+(e-[0-9]+)?|[0-9](\.[0-9]*)?e-[0-9]+)"
    is_known = re.fullmatch(f"exact|lines|tokens|checker|{tolerance}", name)
    return "" if is_known else f"an unknown comparison {name!r}"


def parse(tests: str) -> ast.Module:
    """The tests as they were written, without a main guard; raises SyntaxError or ValueError."""
    tree = ast.parse(tests.removeprefix("\ufeff"), FILE_NAME)
    body: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and _is_main_guard(node.test) and not node.orelse:
            # What only starts a runner has no place here; anything else is run as it stands.
            body += [item for item in node.body if not _starts_runner(item)]
        else:
            body.append(node)
    tree.body = body
    return tree


def _is_main_guard(test: ast.expr) -> bool:
    return ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _starts_runner(node: ast.stmt) -> bool:
    is_end = r"sys\.exit\((0?\)$|.*((unittest|pytest)\.main|TextTestRunner|runner)\b)"
    starts = rf"unittest\.(main|TextTestRunner)\(|pytest\.main\(|runner|{is_end}"
    is_plain = isinstance(node, ast.Expr | ast.Assign)
    return is_plain and re.match(starts, ast.unparse(node)) is not None


def imports_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules that a statement imports, by their whole names; "" is a relative import."""
    if isinstance(node, ast.ImportFrom):
        return ["" if node.level else node.module or ""]
    return [alias.name for alias in node.names]


@lru_cache(maxsize=1024)
def is_program(module: str) -> bool:
    """Whether an import of this name means the program: no library has it."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ALLOWED:
        return False
    if top in ("", "solution"):
        return True
    # What is installed, not what lies in the working directory: the text alone should decide.
    return importlib.machinery.PathFinder.find_spec(top, site_folders()) is None


def optional_imports(nodes: list[ast.AST]) -> list[ast.AST]:
    """The imports that may fail: in a `try` that goes on without."""
    return [
        part
        for node in nodes
        if isinstance(node, ast.Try)
        and not all(isinstance(handler.body[-1], ast.Raise) for handler in node.handlers)
        for part in walk(node)
        if isinstance(part, ast.Import | ast.ImportFrom)
    ]


def program_modules(nodes: list[ast.AST], entry_point: str) -> tuple[str, ...]:
    """The modules by which tests mean the program: `solution`, or the one that they import for it.

    An import that may fail means a library, and so do all if the entry point is just there.
    """
    tried = set(map(id, optional_imports(nodes)))
    found: set[str] = set()
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in tried:
            found.update(filter(is_program, imports_of(node)))
            names.update(alias.name for alias in node.names)
    is_there = any(isinstance(n, ast.Name) and n.id == entry_point for n in nodes)
    if found & {"", "solution"}:
        return tuple(sorted(found & {"", "solution"}))
    one = len({name.partition(".")[0] for name in found}) == 1
    return tuple(sorted(found)) if one and (not is_there or names & {entry_point, "*"}) else ()


def leaves_nothing(nodes: list[ast.AST]) -> bool:
    """Whether such tests change nothing of the interpreter that they run in."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom | ast.Import):
            if any(not is_program(m) and m.partition(".")[0] not in _STATELESS
                   for m in imports_of(node)):  # fmt: skip
                return False
        elif (
            isinstance(node, _PROCESS_OWN)
            or (isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load))
            or (isinstance(node, ast.Call) and called(node) == "exec")
        ):
            return False
    return True
