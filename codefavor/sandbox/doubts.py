"""When the result of a program in the split lane says nothing about it, read from its text.

Its process holds copies of what the tests hold, and no tests: a program that asks which object a
value is, or looks at the process that it runs in, finds another world than on the user's desk.
"""

from __future__ import annotations

import ast
import re

from codefavor.sandbox.outcome import Job
from codefavor.sandbox.trees import asks_identity, walk

_LOOKS = frozenset((
    "__del__", "__file__", "__traceback__", "_getframe", "currentframe", "f_back", "gc",
    "getrefcount", "inspect", "traceback", "weakref",
))  # fmt: skip
_STARTS = frozenset(("ProcessPoolExecutor", "multiprocessing"))
# Most programs have nothing of all this, which a search says sooner than a parser.
_MAY = re.compile(
    rf"\bis\b|\bid\b|\bis_|_exit|/dev/std|sys\.modules|{'|'.join(sorted(_LOOKS | _STARTS))}"
)
# The text is read in the caller's process, where nothing but this bounds what that takes.
_LONGEST = 100_000


def doubt_of(job: Job, passed: bool) -> str:
    """Why a pass or a failure of this program is none; "" if it is one."""
    if not _MAY.search(job.code):
        return ""
    if len(job.code) > _LONGEST:
        return "the program is too long to be read"
    try:
        nodes = walk(ast.parse(job.code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    names: set[str] = set()
    for node in nodes:
        for field in ("id", "attr", "name", "module"):
            names.update(str(getattr(node, field, None)).split("."))
    if not job.is_script and any(map(asks_identity, nodes)):
        return "the program asks which object a value is, and has copies of the tests' values"
    if passed:
        return ""
    if names & _LOOKS or any(_is_modules(node) for node in nodes):
        return "the program looks at the process that it runs in, which has not its tests"
    if names & _STARTS:
        return "the program starts processes, which the jail refuses"
    if job.is_script and "_exit" in names:
        return "the program ends its process, in which all cases run"
    if job.is_script and "/dev/std" in job.code:
        return "the program opens its standard input by a name that the jail has not"
    return ""


def _is_modules(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr != "modules":
        return False
    return getattr(node.value, "id", "") == "sys"
