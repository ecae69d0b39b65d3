"""When the result of a program in the split lane says nothing about it, read from its text.

Its process holds copies of what the tests hold, and no tests: a program that asks which object a
value is or how long it lives, that sets what holds for the interpreter, or looks at the process
that it runs in, finds another world than on the user's desk.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from codefavor.sandbox.names import global_names
from codefavor.sandbox.outcome import Job
from codefavor.sandbox.trees import asks_identity, called, walk, words_of

_LOOKS = frozenset((
    "__file__", "__traceback__", "_getframe", "currentframe", "f_back", "inspect", "traceback",
))  # fmt: skip
# How long a value lives, how much memory it has, and whose: of the tests' it has copies.
_LIVES = frozenset((
    "__array_interface__", "__array_struct__", "__del__", "__sizeof__", "byte_bounds", "gc",
    "getrefcount", "getsizeof", "may_share_memory", "shares_memory", "weakref",
))  # fmt: skip
# What of the interpreter a program sets -> the tests that would see it.
_SETS = {
    **dict.fromkeys(("getcontext", "setcontext", "DefaultContext", "set_int_max_str_digits",
                     "set_printoptions", "set_string_function", "seterr", "seterrcall"), ""),
    "seed": r"\brandom\b",
    "setrecursionlimit": r"\bexcept\s*:|\b(Base)?Exception\b|RuntimeError|RecursionError",
    "simplefilter": r"\bnumpy\b|\bnp\b",
    "filterwarnings": r"\bnumpy\b|\bnp\b",
}  # fmt: skip
# A signal that nobody handles does nothing to the first process of a pid namespace.
_SIGNALS = frozenset((
    "abort", "alarm", "kill", "killpg", "pthread_kill", "raise_signal", "setitimer",
))  # fmt: skip
_SENDERS = frozenset(("os", "signal", "posix", "_signal", "ctypes"))
_KEEPS = frozenset(("_exit", "fileinput", "logging", "setrlimit"))
_STREAMS = frozenset(("stderr", "stdin", "stdout"))
_STARTS = frozenset(("ProcessPoolExecutor", "multiprocessing"))
# Most programs have nothing of all this, which a search says sooner than a parser.
_MAY = re.compile(
    r"\bis\b|\bid\b|\bis_|\bobject\b|builtins|/dev/(?:std|fd)|sys\.modules|"
    + "|".join(sorted({"signal", *_SIGNALS, *_KEEPS, *_LOOKS, *_LIVES, *_SETS, *_STARTS}))
)
# The text is read in the caller's process, where nothing but this bounds what that takes.
_LONGEST = 100_000


def doubt_of(job: Job, passed: bool) -> str:
    """Why a pass or a failure of this program is none; "" if it is one."""
    if not (_MAY.search(job.code) or job.is_script):
        return ""
    if len(job.code) > _LONGEST:
        return "the program is too long to be read"
    try:
        nodes = walk(ast.parse(job.code))
        names = {f"global {name}" for name in global_names(job.code)[0]}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    names |= words_of(nodes)
    doubt_of_kind = _doubt_of_script if job.is_script else _doubt_of_values
    doubt = doubt_of_kind(nodes, names, job.tests)
    is_handled = "signal.signal(" in job.code and "SIG_DFL" not in names
    if not doubt and passed and names & _SIGNALS and names & _SENDERS and not is_handled:
        doubt = "the program sends signals, of which its process does not die here"
    if doubt or passed:
        return doubt
    if names & _LOOKS or any(map(_is_modules, nodes)):
        return "the program looks at the process that it runs in, which has not its tests"
    if names & _STARTS:
        return "the program starts processes, which the jail refuses"
    if job.is_script and names & _KEEPS:
        return "the program ends its process, in which all cases run, or keeps their traces there"
    if job.is_script and re.search("/dev/(std|fd)", job.code):
        return "the program opens its standard input by a name that the jail has not"
    return ""


def _doubt_of_values(nodes: list[ast.AST], names: set[str], tests: str) -> str:
    if "global id" in names or asks_identity(nodes):
        return "the program asks which object a value is, and has copies of the tests' values"
    if names & _LIVES:
        return "the program asks how long objects live, or for their memory, and has copies"
    sets = [name for name, seen in _SETS.items() if name in names and re.search(seen, tests)]
    return f"the program sets ({sets[0]}) what its tests' process has of its own" if sets else ""


def _doubt_of_script(nodes: list[ast.AST], _: set[str], tests: str) -> str:
    imports = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    libraries = {alias.asname or alias.name for alias in imports if alias.name != "builtins"}
    for node in nodes:
        changed: Any = node.args[:1] if called(node) == "setattr" else []  # type: ignore[attr-defined]
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            changed = [node.value] if node.attr not in _STREAMS else []
        is_library = any(getattr(item, "id", "") in libraries for item in changed)
        if is_library and len(json.loads(tests)["cases"]) > 1:
            return "the program changes a library, which its next case finds changed"
    return ""


def _is_modules(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules"
