"""Rewrites the tests so that every check is recorded when it is evaluated, whatever comes of it.

A soft check (at module level or directly in a test) is recorded and the tests go on; inside
`try`, `with` and helpers a failed one raises as usual too, because something around it may
wait for the exception.
"""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from codefavor.sandbox.handles import FACTS, Handle, JudgeLink, Unsupported
from codefavor.sandbox.lane import is_check_call, is_expectation
from codefavor.sandbox.seccomp import REFUSED
from codefavor.sandbox.wire import BadFrame, PeerGone

RECORDER = "__codefavor_recorder__"
_LONGEST = 400
_MOST_CHECKS = 200_000
_SYMBOLS = {
    "Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=",
    "Is": "is", "IsNot": "is not", "In": "in", "NotIn": "not in",
}  # fmt: skip
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le,
    "Gt": operator.gt, "GtE": operator.ge, "Is": operator.is_, "IsNot": operator.is_not,
    "In": lambda left, right: left in right, "NotIn": lambda left, right: left not in right,
}  # fmt: skip
_GUARDED = ("isinstance", "issubclass", "type")


class Site(NamedTuple):
    """Where a check stands; `branches` are the sides of the `if ... else` around it."""

    lineno: int
    node: ast.AST
    in_loop: bool
    is_guarded: bool
    branches: frozenset[tuple[int, bool]] = frozenset()

    @property
    def is_trap(self) -> bool:
        """Whether the check only says that the line must not be reached."""
        test = getattr(self.node, "test", None)
        return isinstance(test, ast.Constant) and not test.value

    @property
    def source(self) -> str:
        """The check as it was written; made only when it is shown, because that is slow."""
        node = self.node.items[0] if isinstance(self.node, ast.With) else self.node
        return ast.unparse(node)[:500]


class CheckFailed(AssertionError):
    """A check of the tests did not hold."""


class Recorder:
    """What the rewritten tests call."""

    everything = BaseException

    def __init__(self, sites: list[Site], link: JudgeLink) -> None:
        self.sites = sites
        self.checks: list[bool] = []
        self.failure: BaseException | None = None
        self.failed_source = ""
        self.failed_text = ""
        self.is_proven = False
        self._last: BaseException | None = None
        self._site_of: list[int] = []
        self._reached: set[int] = set()
        self._link = link
        self._asked_before = 0
        self._values = ""

    # -- called by rewritten checks -------------------------------------------------------

    def begin(self, number: int) -> int:
        """Called first in every check."""
        self._asked_before = self._link.n_asked
        self._reached.add(number)
        return number

    def compare(self, number: int, name: str, left: Any, right: Any) -> bool:
        """Whether a comparison holds; its values are described if not."""
        if _OPERATORS[name](left, right):
            return self.held(number)
        self._values = f"{_show(left)} {_SYMBOLS[name]} {_show(right)} does not hold"
        return False

    def truth(self, number: int, value: Any, wanted: bool) -> bool:
        """Whether a value is true or false."""
        if bool(value) is wanted:
            return self.held(number)
        self._values = f"{_show(value)} is {'not true' if wanted else 'not false'}"
        return False

    def failed(self, number: int, message: Any) -> NoReturn:
        """Called when a check did not hold."""
        text = f"{self.sites[number].source}: {self._values}"
        if message is not None:
            text += f" ({_show(message, plain=True)})"
        raise CheckFailed(text)

    def caught(self, number: int) -> None:
        """A check ended with an exception."""
        error = sys.exc_info()[1]
        assert error is not None
        if isinstance(error, BadFrame | Unsupported):
            raise error
        self.fail(error, number)

    def held(self, number: int) -> bool:
        """Count a check that held."""
        if self._link.n_asked > self._asked_before and not self.sites[number].is_guarded:
            self.is_proven = True
        self._add(True, number)
        return True

    def expecting(self, number: int, manager: Any) -> _Expecting:
        """A context manager that waits for an exception, as a check."""
        self.begin(number)
        return _Expecting(self, number, manager)

    def isinstance(self, value: Any, kinds: Any) -> bool:
        """As the builtin; whether an object of the program is one of a class, the program says."""
        if type(kinds) is Handle:
            return bool(kinds._exact("isinstance", bool, value))
        if type(value) is Handle:
            self._link.refuse("the built-in type of an object of the program")
        return isinstance(value, kinds)

    def issubclass(self, kind: Any, kinds: Any) -> bool:
        """As the builtin, for what is no class of the program."""
        if type(kind) is Handle or type(kinds) is Handle:
            self._link.refuse("the bases of a class of the program")
        return issubclass(kind, kinds)

    def type(self, value: Any) -> type:
        """As the builtin, for plain data."""
        if type(value) is Handle:
            self._link.refuse("the type of an object of the program")
        return type(value)

    def number(self, value: Any) -> Any:
        """The left side of a `%`, which must not be a format that the program chose."""
        if isinstance(value, str | bytes):
            self._link.refuse("a format that the program may have chosen")
        return value

    # -- called by the runner -------------------------------------------------------------

    def fail(self, error: BaseException, number: int = -1) -> None:
        """Count a check that failed, or what ended a test early; the first one is described."""
        if error is self._last and number < 0:
            return
        self._last = error
        if self.failure is None:
            self.failure = error
            if number >= 0:
                self.failed_source = self.sites[number].source
            self.failed_text = describe_error(error)
        self._add(False, number)

    def abandon(self, first: int) -> None:
        """A test ended early: what it checked in loops would have gone on, nobody knows how far."""
        for index in range(first, len(self.checks)):
            number = self._site_of[index]
            if number >= 0 and self.sites[number].in_loop:
                self.checks[index] = False

    def unreached(self) -> list[Site]:
        """The checks that were never evaluated, but traps and other sides of what was."""
        seen = {side for number in self._reached for side in self.sites[number].branches}
        return [
            site
            for number, site in enumerate(self.sites)
            if number not in self._reached
            and not site.is_trap
            and not any((fork, not side) in seen for fork, side in site.branches)
        ]

    def _add(self, held: bool, number: int) -> None:
        # What a program that is gone seems to answer is no answer.
        held = held and not self._link.is_gone
        if len(self.checks) >= _MOST_CHECKS:
            self.checks[-1] &= held
            return
        self.checks.append(held)
        self._site_of.append(number)


class _Expecting:
    def __init__(self, recorder: Recorder, number: int, manager: Any) -> None:
        self._recorder, self._number, self._manager = recorder, number, manager

    def __enter__(self) -> Any:
        return self._manager.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, BadFrame | Unsupported | PeerGone):
            return False
        try:
            is_expected = bool(self._manager.__exit__(kind, error, trace))
        except BaseException as failure:
            self._recorder.fail(failure, self._number)
            raise
        if is_expected:
            self._recorder.held(self._number)
        elif error is not None:
            self._recorder.fail(error, self._number)
        return is_expected


def _show(value: Any, *, plain: bool = False) -> str:
    if type(value) is Handle:
        return "<an object of the program>"
    try:
        text = str(value) if plain else repr(value)
    except (PeerGone, BadFrame, Unsupported):
        raise
    except BaseException as error:  # noqa: BLE001  a repr may raise anything; the check failed already
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def facts_of(error: BaseException) -> Any:
    """(handle, text, line, link) of an exception of the program, None for one of the tests."""
    return vars(error).get(FACTS)


def describe_error(error: BaseException) -> str:
    """One line: the exception's class and text, with its line in the program if known."""
    if isinstance(error, CheckFailed):
        return str(error)
    if isinstance(error, PeerGone):
        return "the program ended before the check"
    facts = facts_of(error)
    text = facts[1] if facts else _show(error, plain=True)
    line = facts[2] if facts else None
    where = f" (line {line} of the program)" if type(line) is int else ""
    text = text[: 2 * _LONGEST]
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def full_error(recorder: Recorder) -> str:
    """What went wrong first, where, and what kind of mistake its message shows."""
    error, text = recorder.failure, recorder.failed_text
    assert error is not None
    if isinstance(error, CheckFailed):
        return text
    if recorder.failed_source:
        text = f"{text} in {recorder.failed_source[:300]}"
    if isinstance(error, NameError):
        return f"{text} [missing name]"
    is_misuse = isinstance(error, AttributeError) and "has no attribute" in text
    is_misuse |= isinstance(error, TypeError) and ("argument" in text or "takes" in text)
    return f"{text} [API misuse]" if is_misuse else text


def label_error(error: BaseException, loading: bool) -> str:
    """The outcome that an uncaught exception stands for."""
    if isinstance(error, AssertionError) and facts_of(error) is None:
        return "wrong_output"
    if isinstance(error, SyntaxError) and loading:
        return "syntax_error"
    if isinstance(error, ImportError):
        return "import_error"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno == REFUSED:
        return "sandbox_violation"
    if isinstance(error, RuntimeError) and "the limit is" in str(error):
        return "output_limit"
    return "runtime_error"


# -- rewriting ----------------------------------------------------------------------------


def is_test_name(name: str) -> bool:
    """Whether a function is run as a test of its own."""
    return name.startswith("test") or name == "check"


def rewrite(tree: ast.Module) -> list[Site]:
    """Rewrite parsed tests in place; the checks in them, in order."""
    rewriter = _Rewriter(tree)
    tree.body = rewriter.block(tree.body, soft=True, loop=False, guarded=False)
    ast.fix_missing_locations(tree)
    return rewriter.sites


class _Rewriter:
    def __init__(self, tree: ast.Module) -> None:
        self.sites: list[Site] = []
        self._branches: frozenset[tuple[int, bool]] = frozenset()
        self._n_forks = 0
        stores = (
            n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        )
        bound = {node.id for node in stores}
        for node in ast.walk(tree):
            is_remainder = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)
            if is_remainder and not isinstance(node.left, ast.Constant):  # type: ignore[attr-defined]
                node.left = _call("number", node.left)  # type: ignore[attr-defined]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                n_arguments = 1 if name == "type" else 2
                if name in _GUARDED and name not in bound and len(node.args) == n_arguments:
                    node.func = _method(name)

    def block(
        self, body: list[ast.stmt], *, soft: bool, loop: bool, guarded: bool
    ) -> list[ast.stmt]:
        return [self._statement(item, soft, loop, guarded) for item in body]

    def _statement(self, node: ast.stmt, soft: bool, loop: bool, guarded: bool) -> ast.stmt:
        if isinstance(node, ast.Assert) or is_check_call(node):
            return self._check(node, soft, loop, guarded)
        if isinstance(node, ast.FunctionDef):
            test = is_test_name(node.name)
            node.body = self.block(node.body, soft=test, loop=not test, guarded=not test)
        elif isinstance(node, ast.ClassDef):
            node.body = self.block(node.body, soft=False, loop=False, guarded=False)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            for part in ("body", "orelse", "finalbody"):
                body = getattr(node, part)
                setattr(node, part, self.block(body, soft=False, loop=loop, guarded=True))
            self._handlers(node, loop)  # type: ignore[arg-type]
        elif isinstance(node, ast.With):
            return self._with(node, soft, loop)
        elif isinstance(node, ast.For | ast.While):
            node.body = self.block(node.body, soft=soft, loop=True, guarded=guarded)
            node.orelse = self.block(node.orelse, soft=soft, loop=loop, guarded=guarded)
        elif isinstance(node, ast.If):
            outer, self._n_forks = self._branches, self._n_forks + 1
            for side, part in ((True, "body"), (False, "orelse")):
                self._branches = outer | {(self._n_forks, side)}
                body = self.block(getattr(node, part), soft=soft, loop=loop, guarded=guarded)
                setattr(node, part, body)
            self._branches = outer
        elif isinstance(node, ast.Match):
            for case in node.cases:
                case.body = self.block(case.body, soft=soft, loop=loop, guarded=guarded)
        return node

    def _handlers(self, node: ast.Try, loop: bool) -> None:
        first = len(self.sites)
        for handler in node.handlers:
            handler.body = self.block(handler.body, soft=False, loop=loop, guarded=True)
        if _fails_if_reached([*node.body, *node.orelse]) and len(self.sites) == first:
            # The exception is what the test waits for, so its handler is the check.
            number = self._site(node, loop, True)
            for handler in node.handlers:
                held = [_call("begin", ast.Constant(number)), _call("held", ast.Constant(number))]
                handler.body[:0] = [ast.copy_location(ast.Expr(item), handler) for item in held]

    def _with(self, node: ast.With, soft: bool, loop: bool) -> ast.stmt:
        expects = False
        for item in node.items:
            if is_expectation(item.context_expr):
                number = self._site(node, loop, True)
                item.context_expr = _call("expecting", ast.Constant(number), item.context_expr)
                expects = True
        inner_soft = (
            soft and not expects and all(_called(i.context_expr) == "subTest" for i in node.items)
        )
        node.body = self.block(node.body, soft=inner_soft, loop=loop, guarded=not inner_soft)
        return node

    def _site(self, node: ast.AST, loop: bool, guarded: bool) -> int:
        line = getattr(node, "lineno", 0)
        self.sites.append(Site(line, node, loop, guarded, self._branches))
        return len(self.sites) - 1

    def _check(self, node: Any, soft: bool, loop: bool, guarded: bool) -> ast.stmt:
        number = self._site(node, loop, guarded)
        begin = _call("begin", ast.Constant(number))
        if isinstance(node, ast.Assert):
            check = [self._assert(node, begin, number)]
        else:
            held = _call("held", ast.Constant(number))
            check = [ast.Expr(begin), ast.Expr(node.value), ast.Expr(held)]
        caught: list[ast.stmt] = [ast.Expr(_call("caught", ast.Constant(number)))]
        if not soft:
            caught.append(ast.Raise(None, None))
        base = ast.Attribute(ast.Name(RECORDER, ast.Load()), "everything", ast.Load())
        handler = ast.ExceptHandler(base, None, caught)
        return ast.copy_location(ast.Try(check, [handler], [], []), node)

    def _assert(self, node: ast.Assert, begin: ast.expr, number: int) -> ast.stmt:
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            name = ast.Constant(type(test.ops[0]).__name__)
            check = _call("compare", begin, name, test.left, test.comparators[0])
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            check = _call("truth", begin, test.operand, ast.Constant(False))
        else:
            check = _call("truth", begin, test, ast.Constant(True))
        message = node.msg if node.msg is not None else ast.Constant(None)
        failed = _call("failed", ast.Constant(number), message)
        return ast.Expr(ast.BoolOp(ast.Or(), [check, failed]))


def _method(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(RECORDER, ast.Load()), name, ast.Load())


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_method(method), list(arguments), [])


def _called(node: ast.expr) -> str:
    return getattr(getattr(node, "func", None), "attr", "")


def _fails_if_reached(body: list[ast.stmt]) -> bool:
    """Whether a block ends the test where it should not have been reached."""
    for node in body:
        for item in ast.walk(node):
            if isinstance(item, ast.Call) and _called(item) == "fail":
                return True
            if isinstance(item, ast.Raise) and "AssertionError" in ast.unparse(item):
                return True
            # A rewritten `assert False`.
            if isinstance(item, ast.Call) and _called(item) == "truth":
                value = item.args[1]
                if isinstance(value, ast.Constant) and not value.value:
                    return True
    return False
