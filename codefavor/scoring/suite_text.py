"""What the text of a test suite tells before it runs: tests, checks, and what it must not do."""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import dataclass

from codefavor.scoring.suite_nodes import (
    PROGRAM_MODULE,
    base_of,
    imports_of,
    is_library,
    patterns_of,
    word_of,
)
from codefavor.scoring.suite_plain import find_why_pytest

LONGEST_SUITE = 200_000
# The name by which the rewritten suite says that a check was reached.
REACHED = "__reached__"
_CHECKING_BLOCKS = ("raises", "warns", "deprecated_call")

_SOURCE = frozenset((
    "__code__", "__closure__", "co_code", "co_consts", "co_names", "co_varnames", "f_code",
    "f_locals", "gi_code", "cr_code", "tb_frame", "getsource", "getsourcelines", "getsourcefile",
    "getmembers", "currentframe", "_getframe", "linecache", "__loader__", "get_objects",
    "get_referrers", "get_referents", "settrace", "setprofile", "disassemble", "Bytecode",
))  # fmt: skip
# A format finds attributes by such a text: "{0.__code__.co_consts}".
_SOURCE_FIELD = re.compile(
    r"\.(?:__code__|__closure__|co_(?:code|consts|names|varnames)|f_(?:code|locals)|tb_frame|"
    r"[gc][ir]_code|__loader__)\b"
)
_SOURCE_MODULES = frozenset(("dis", "gc", "linecache", "ctypes", "marshal", "tracemalloc", "trace"))
# What differs from run to run: chance, time, addresses.
_CHANCE = frozenset((
    "random", "secrets", "urandom", "getrandom", "SystemRandom", "uuid", "uuid1", "uuid4",
    "default_rng", "time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic",
    "monotonic_ns", "process_time", "now", "utcnow", "today", "id", "hash", "__hash__", "getpid",
    "0x", "tempfile",
))  # fmt: skip

# By which a plugin decides what is collected, run and counted; `pytest_generate_tests` only adds
# cases, and what else a module of tests may hold is not called.
_COUNTING_HOOKS = (
    "pytest_collect", "pytest_pycollect", "pytest_itemcollected", "pytest_deselected",
    "pytest_ignore", "pytest_runtest", "pytest_pyfunc", "pytest_report", "pytest_session",
    "pytest_exception", "pytest_fixture", "pytest_cmdline", "pytest_keyboard", "pytest_internal",
)  # fmt: skip
# By which a run tells how a test ended; patching any other is the suite's own affair.
_JUDGED_BUILTINS = ("__dict__", "isinstance", "type", "BaseException", "AssertionError")
# What only changes how a failure looks.
_SHOWN_ONLY = ("maxDiff", "longMessage", "_diffThreshold")


@dataclass(frozen=True)
class SuiteText:
    """A suite as read: `defect` is why it can earn nothing ("" if its text does not say so).

    `checks` counts the places that check something;
    `aliases` are the names that it imports the program by; `injected` those of the program's names
    that it uses without an import; `why_pytest` says why it needs real pytest, "" where the small
    runner of the jail does the same. `is_random` says whether it names something
    that differs from run to run.
    """

    tree: ast.Module | None
    defect: str = ""
    detail: str = ""
    sleeps: bool = False
    why_pytest: str = ""
    checks: int = 0
    aliases: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    is_random: bool = False


def read_suite(text: str, names: frozenset[str], imported: frozenset[str]) -> SuiteText:
    """Read a suite for a program that defines `names` and has imported the names in `imported`."""
    if not text.strip():
        return SuiteText(None, "empty", "the suite has no text")
    if len(text) > LONGEST_SUITE:
        return SuiteText(None, "too_large", f"{len(text)} characters of at most {LONGEST_SUITE}")
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
        compile(text.removeprefix("\ufeff"), "<suite>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return SuiteText(None, "does_not_parse", f"{type(error).__name__}: {error}"[:300])
    nodes = list(ast.walk(tree))
    defect, detail = _forbidden(nodes, names)
    modules, from_program, injected = _program_uses(nodes, names | imported)
    if not defect and not _has_tests(nodes):
        defect, detail = "no_tests", "no function, method or class that pytest or unittest runs"
    is_whole = bool(modules) and not from_program  # `import solution`, for what runs to show
    uses = bool((from_program | injected) & names) or is_whole or _reaches_in(nodes, names)
    if not defect and not uses:
        named = ", ".join(sorted(names))
        defect, detail = "tests_another_function", f"the program defines {named}"
    reached = _mark_checks(tree)
    why_pytest = "" if defect else find_why_pytest(nodes)
    _make_absolute(nodes)
    return SuiteText(
        tree, defect, detail, _sleeps(nodes), why_pytest, reached, tuple(sorted(modules)),
        tuple(sorted(injected)), _names_chance(nodes),
    )  # fmt: skip


def _make_absolute(nodes: list[ast.AST]) -> None:
    """`from .solution import f` as `from solution import f`: it stands beside the program."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            node.level, node.module = 0, node.module or PROGRAM_MODULE


def _has_tests(nodes: list[ast.AST]) -> bool:
    """Whether anything has a name that pytest or unittest might run; what runs shows the rest."""
    names = (getattr(node, "name", None) or word_of(node) for node in nodes)
    return any(name[:4].lower() == "test" or name == "runTest" for name in names)


def _forbidden(nodes: list[ast.AST], names: frozenset[str]) -> tuple[str, str]:
    """The first thing that a suite must not do, and where: ("", "") for none.

    `names` are the program's own, which is no reading of its source.
    """
    for statement, module in imports_of(nodes):
        top = module.partition(".")[0]
        where = f"line {statement.lineno}: import {module}"
        if top in _SOURCE_MODULES:
            return "reads_source", where
        if top == "_pytest":
            return "patches_the_recorder", where
    seen = itertools.chain(nodes, *(patterns_of(node) for node in nodes))
    return next((found for node in seen if (found := _forbidden_node(node, names))[0]), ("", ""))


def _forbidden_node(node: ast.AST, names: frozenset[str]) -> tuple[str, str]:
    word = word_of(node)
    where = f"line {getattr(node, 'lineno', '?')}: {word}"
    is_field = isinstance(node, ast.Constant) and _SOURCE_FIELD.search(word)
    is_source = word in _SOURCE and word not in names
    if is_source or is_field or (word == "__file__" and not isinstance(node, ast.Name)):
        return "reads_source", where
    if word == REACHED or _patches(node):
        return "patches_the_recorder", where
    return "", ""


def _patches(node: ast.AST) -> bool:
    """Whether this changes what runs and counts the tests, or tells how they ended."""
    if isinstance(node, ast.FunctionDef):
        return node.name.startswith(_COUNTING_HOOKS)
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Call) and word_of(node.func) == "setattr" and len(node.args) > 1:
        targets = [ast.Attribute(node.args[0], word_of(node.args[1]), ast.Store())]
    return any(isinstance(one, ast.Attribute) and _counts(one) for one in targets)


def _counts(target: ast.Attribute) -> bool:
    """Whether the judging rests on an attribute; one whose name is not written out is any."""
    base, name = base_of(target), target.attr
    if base == "builtins":
        return not name or name in _JUDGED_BUILTINS
    if base == "unittest":
        part = ast.unparse(target).split(".")[1]
        return name not in _SHOWN_ONLY and part not in ("util", "mock")
    return base == "pytest"


def _sleeps(nodes: list[ast.AST]) -> bool:
    calls = (ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call))
    return any(call in ("sleep", "time.sleep") for call in calls)


def _names_chance(nodes: list[ast.AST]) -> bool:
    modules = {module.partition(".")[0] for _, module in imports_of(nodes)}
    return bool(modules & _CHANCE) or any(word_of(node) in _CHANCE for node in nodes)


def names_chance(code: str) -> bool:
    """Whether a program's text names what differs from run to run."""
    return _names_chance(list(ast.walk(ast.parse(code))))


def _program_uses(
    nodes: list[ast.AST], names: frozenset[str]
) -> tuple[set[str], set[str], set[str]]:
    """What the program is imported by; the names imported from it; those used without import."""
    modules: set[str] = set()
    taken: set[str] = set()
    everything = False
    for node, module in imports_of(nodes):
        if module == PROGRAM_MODULE or not is_library(module):
            modules.add(module.lstrip(".") or PROGRAM_MODULE)
            if isinstance(node, ast.ImportFrom):
                found = {alias.name for alias in node.names}
                everything = everything or "*" in found
                taken |= found
    bound = {alias.asname or alias.name.partition(".")[0]
             for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
             for alias in node.names}  # fmt: skip
    loads: set[str] = set()
    for item in nodes:
        if isinstance(item, ast.Name):
            (loads if isinstance(item.ctx, ast.Load) else bound).add(item.id)
        elif isinstance(item, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            bound.add(item.name)
        elif isinstance(item, ast.arg):
            bound.add(item.arg)
    free = (loads - bound) & names
    return modules - {""}, taken, free | (loads & names if everything else set())


def _reaches_in(nodes: list[ast.AST], names: frozenset[str]) -> bool:
    """Whether the program's names are used as attributes of its module."""
    return any(isinstance(n, ast.Attribute) and n.attr in names for n in nodes)


def _mark_checks(tree: ast.Module) -> int:
    """Put a call that says it was reached before each statement that checks; how many there are."""
    count = 0

    def marked(block: list[ast.stmt]) -> list[ast.stmt]:
        nonlocal count
        found: list[ast.stmt] = []
        for statement in block:
            if _is_check(statement):
                name = ast.Name(id=REACHED, ctx=ast.Load())
                call = ast.Call(func=name, args=[ast.Constant(value=count)], keywords=[])
                mark = ast.copy_location(ast.Expr(value=call), statement)
                found.append(ast.fix_missing_locations(mark))
                count += 1
            found.append(statement)
        return found

    for node in list(ast.walk(tree)):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                is_future = isinstance(node, ast.Module)
                setattr(node, field, marked(block) if not is_future else block)
    return count


def _is_check(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assert):
        return True
    if isinstance(statement, ast.With | ast.AsyncWith):
        calls = [item.context_expr for item in statement.items]
        return any(
            isinstance(one, ast.Call)
            and (word_of(one.func) in _CHECKING_BLOCKS or word_of(one.func).startswith("assert"))
            for one in calls
        )
    if isinstance(statement, ast.If):
        # The condition is the check: what it guards is not reached where it holds.
        return any(_fails(one) for one in (*statement.body, *statement.orelse))
    if isinstance(statement, ast.Try):
        # As is the exception that is waited for.
        parts = (statement.body, statement.orelse, *(one.body for one in statement.handlers))
        return any(_fails(one) for part in parts for one in part)
    if isinstance(statement, ast.Expr | ast.Assign | ast.Return) and statement.value is not None:
        value = statement.value
        is_loop = isinstance(value, ast.ListComp | ast.SetComp | ast.DictComp)
        called = list(ast.walk(value)) if is_loop else [value]
        return any(isinstance(one, ast.Call) and _is_checking(one) for one in called)
    return False


def _is_checking(call: ast.Call) -> bool:
    word = word_of(call.func)
    return word.startswith("assert") or word in ("fail", *_CHECKING_BLOCKS)


def _fails(statement: ast.stmt) -> bool:
    """Whether this fails a test by itself: `raise Exception("wrong")`, `pytest.fail()`."""
    if isinstance(statement, ast.Assert):
        return isinstance(statement.test, ast.Constant) and not statement.test.value
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        error = statement.exc
        return word_of(error.func if isinstance(error, ast.Call) else error) != "SkipTest"
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Call) and word_of(value.func) == "fail"
