"""When the result of a program in the split lane says nothing about it, read from its text.

Its process holds copies of what the tests hold, and no tests: a program that asks which object a
value is, or looks at the process that it runs in, finds another world than on the user's desk.
"""

from __future__ import annotations

import ast
import builtins
import re

from codefavor.sandbox.lane import classes_of
from codefavor.sandbox.outcome import Job
from codefavor.sandbox.trees import assignments, called, walk

_LOOKS = frozenset((
    "__del__", "__file__", "__traceback__", "_getframe", "currentframe", "f_back", "gc",
    "getrefcount", "inspect", "traceback", "weakref",
))  # fmt: skip
_STARTS = frozenset(("ProcessPoolExecutor", "multiprocessing"))
# Most programs have nothing of all this, which a search says sooner than a parser.
_MAY = re.compile(rf"\bis\b|\bid\b|_exit|sys\.modules|{'|'.join(sorted(_LOOKS | _STARTS))}")

# Of these an interpreter has one each, whoever makes them.
_ONE_EVERYWHERE = frozenset((None, ..., "", *range(257)))


def doubt_of(job: Job, passed: bool) -> str:
    """Why a pass or a failure of this program is none; "" if it is one."""
    if not _MAY.search(job.code):
        return ""
    try:
        nodes = walk(ast.parse(job.code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    names: set[str] = set()
    for node in nodes:
        for field in ("id", "attr", "name", "module"):
            names.update(str(getattr(node, field, None)).split("."))
    if any(map(_asks_identity, nodes)) and not (passed and not _hands_over_twice(job)):
        return "the program asks which object a value is, and has copies of the tests' values"
    if passed:
        return ""
    if names & _LOOKS or any(_is_modules(node) for node in nodes):
        return "the program looks at the process that it runs in, which has not its tests"
    if names & _STARTS:
        return "the program starts processes, which the jail refuses"
    if job.is_script and "_exit" in names:
        return "the program ends its process, in which all cases run"
    return ""


def _is_modules(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules"


def _asks_identity(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") == "id"
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    is_asked = any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
    return is_asked and not any(map(_is_one_everywhere, sides))


def _is_one_everywhere(node: ast.expr) -> bool:
    """Whether an expression is a constant or a class, of which every process has one."""
    name = getattr(node, "id", "")
    is_class = called(node) == "type" or getattr(node, "attr", "") == "__class__"
    return isinstance(node, ast.Constant) or is_class or hasattr(builtins, name)


def _hands_over_twice(job: Job) -> bool:
    """Whether one call in the tests is given a name or a constant more than once.

    Objects of the classes of `setup` are the program's own: these it knows from each other.
    """
    if job.is_script:
        return False
    nodes = walk(ast.parse(job.tests.removeprefix("\ufeff")))
    classes = classes_of(job.setup)
    objects: set[str] = set()
    for node in nodes:
        for target, source in assignments(node):
            names = {part.id for part in walk(target) if isinstance(part, ast.Name)}
            is_object = isinstance(source, ast.Call) and called(source) in classes
            objects = objects | names if is_object else objects - names
    for node in nodes:
        if isinstance(node, ast.Call):
            parts = [part for argument in node.args for part in walk(argument)]
            given = [
                ast.unparse(part)
                for part in parts
                if (isinstance(part, ast.Name) and part.id not in objects)
                or isinstance(part, ast.Tuple)
                or (isinstance(part, ast.Constant) and part.value not in _ONE_EVERYWHERE)
            ]
            if len(given) > len(set(given)):
                return True
    return False
