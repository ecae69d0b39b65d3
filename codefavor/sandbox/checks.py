"""Records every check when it is evaluated, and describes the first that failed."""

from __future__ import annotations

import binascii
import operator
import sys
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from codefavor.sandbox.handles import Handle, JudgeLink, StandIn, facts_of, holds_handle, resolve
from codefavor.sandbox.rewrite import Site
from codefavor.sandbox.seccomp import REFUSED
from codefavor.sandbox.trees import is_trap
from codefavor.sandbox.wire import BadFrame, PeerGone, Unsupported

_LONGEST = 400
_MOST_CHECKS = 200_000
_OPERATORS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "Eq": ("==", operator.eq), "NotEq": ("!=", operator.ne), "Lt": ("<", operator.lt),
    "LtE": ("<=", operator.le), "Gt": (">", operator.gt), "GtE": (">=", operator.ge),
    "In": ("in", lambda left, right: left in right),
    "NotIn": ("not in", lambda left, right: left not in right),
}  # fmt: skip


class CheckFailed(AssertionError):
    """A check of the tests did not hold."""


class Stopped(BaseException):
    """The tests end here, after a check that failed for certain."""


class Recorder:
    """What the rewritten tests call; with `fail_fast` it ends them at the first failed check."""

    everything = BaseException

    def __init__(
        self, tests: str, sites: list[Site], link: JudgeLink, *, fail_fast: bool = False
    ) -> None:
        self.checks: list[bool] = []
        self.failure: BaseException | None = None
        self.failed_source = ""
        self.failed_text = ""
        self.is_certain = self.is_broken = False
        self.is_proven = False
        self._tests, self._sites, self._link = tests, sites, link
        self._fail_fast = fail_fast
        self._last: BaseException | None = None
        self._site_of: list[int] = []
        self._first_of: dict[int, int] = {}
        self._reached: Counter[int] = Counter()
        self._cut: set[int] = set()
        self._asked_before = self._changed_before = 0
        self._values = ""
        self.n_evaluated = 0

    # -- called by rewritten checks -------------------------------------------------------

    def begin(self, number: int) -> int:
        """Called first in every check."""
        self._asked_before, self._changed_before = self._link.n_asked, self._link.n_changed
        self._reached.setdefault(number, 0)
        return number

    def compare(self, number: int, name: str, left: Any, right: Any) -> bool:
        """Whether a comparison holds; its values are described if not."""
        if name in ("In", "NotIn"):
            right = self.container(right)
        if name in ("Is", "IsNot"):
            symbol, holds = name, self.same(left, right) is (name == "Is")
        else:
            symbol, operate = _OPERATORS[name]
            holds = operate(left, right)
        if holds:
            return self.held(number)
        self._values = f"{_show(left)} {symbol} {_show(right)} does not hold"
        return False

    def truth(self, number: int, value: Any, wanted: bool) -> bool:
        """Whether a value is true or false."""
        if bool(value) is wanted:
            return self.held(number)
        self._values = f"{_show(value)} is {'not true' if wanted else 'not false'}"
        return False

    def failed(self, number: int, message: Any) -> NoReturn:
        """Called when a check did not hold."""
        text = ""
        if self.failure is None:
            text = f"{self._sites[number].text_in(self._tests)}: {self._values}"
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
        if self._link.n_changed > self._changed_before and self._sites[number].is_reread:
            self._link.refuse("an expected value made of what the program has changed")
        if self._link.n_asked > self._asked_before and not self._sites[number].is_guarded:
            self.is_proven = True
        self._add(True, number)
        return True

    def handling(self) -> None:
        """Called where the tests catch an exception: theirs may come of what is a text there."""
        error = sys.exc_info()[1]
        if error is None or facts_of(error) is not None or isinstance(error, CheckFailed):
            return
        if self._link.has_handles or self._link.is_about_handle(error):
            self._link.refuse(f"{type(error).__name__}, which an object may cause here alone")

    def expecting(self, number: int, manager: Any) -> _Expecting:
        """A context manager that waits for an exception, as a check."""
        self.begin(number)
        return _Expecting(self, number, manager)

    def same(self, left: Any, right: Any) -> bool:
        """Whether a value is None, a bool or a class; which object another is, is not known."""
        sides = [resolve(side) for side in (left, right)]
        kinds = {type(side) for side in sides}
        if kinds & {type(None), bool} or kinds == {StandIn}:
            return sides[0] is sides[1]
        is_class = any(isinstance(side, type) for side in sides)
        if is_class and not kinds & {Handle, StandIn}:
            return sides[0] is sides[1]
        return bool(self._link.refuse("which object a value is"))

    def isinstance(self, value: Any, kinds: Any) -> bool:
        """As the builtin; whether an object of the program is one of a class, the program says."""
        if type(kinds) is Handle:
            answer = self._link.ask("isinstance", kinds.__node__, (value,))
            return answer is True
        if type(value) is Handle:
            self._link.refuse("the built-in type of an object of the program")
        return isinstance(value, kinds)

    def len(self, value: Any) -> int:
        """As the builtin."""
        if type(value) is Handle:
            self._link.note("len")
        return len(value)

    def type(self, value: Any) -> type:
        """As the builtin, for plain data."""
        if type(value) is Handle:
            self._link.refuse("the type of an object of the program")
        return type(value)

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What `assertRaises(E, function, ...)` is to call: see `handling`."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            try:
                return function(*arguments, **keywords)
            except Exception:  # as in a `with`
                self.handling()
                raise

        return call

    def plain(self, value: Any) -> Any:
        """An argument of a library, which would take a handle for another kind of object."""
        if holds_handle(value):
            self._link.refuse("a library that is given an object of the program")
        return value

    def array(self, value: Any) -> Any:
        """An argument of numpy, which compares what is empty with anything."""
        if _is_empty(value):
            self._link.refuse("an empty array, which numpy compares with anything")
        return self.plain(value)

    def container(self, value: Any) -> Any:
        """The right side of `in`: an array or a range may hold whatever is expected."""
        if isinstance(value, range) or hasattr(value, "dtype"):
            self._link.refuse(f"what is in a {type(value).__name__}")
        return value

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
        self.is_broken |= not is_check_failure(error)
        if self.failure is None:
            self.failure = error
            if number >= 0:
                self.failed_source = self._sites[number].text_in(self._tests)
                self.is_certain = not (self._sites[number].is_guarded or self._link.ended)
            self.failed_text = describe_error(error)
        self._add(False, number)
        # Nothing around a certain failure waits for its exception, or could catch this one.
        if self._fail_fast and self.is_certain:
            raise Stopped

    def abandon(self, first: int = 0) -> None:
        """A test ended early, or all of them: their loops would have gone on."""
        for index in range(first, len(self.checks)):
            number = self._site_of[index]
            if number >= 0:
                self._cut.add(number)
                self.checks[index] &= self._sites[number].n > 0

    def unreached(self) -> list[Site]:
        """The checks that were never evaluated, but traps and other sides of what was."""
        seen = {side for number in self._reached for side in self._sites[number].branches}
        return [
            site
            for number, site in enumerate(self._sites)
            if number not in self._reached
            and not is_trap(site.node)
            and not any((fork, not side) in seen for fork, side in site.branches)
        ]

    def n_missed(self) -> int:
        """How many checks the text has besides those that were evaluated."""
        left = [
            max(self._sites[number].n, 1) - n_seen
            for number, n_seen in self._reached.items()
            if (number in self._cut or not n_seen) and not is_trap(self._sites[number].node)
        ]
        return sum(max(site.n, 1) for site in self.unreached()) + sum(n for n in left if n > 0)

    def _add(self, held: bool, number: int) -> None:
        self.n_evaluated += 1
        if number >= 0:
            self._reached[number] += 1
        # What a program that is gone seems to answer is no answer.
        held = held and not self._link.is_gone
        if len(self.checks) >= _MOST_CHECKS:
            self.checks[-1] &= held
            return
        if number >= 0 and not self._sites[number].n:
            first = self._first_of.setdefault(number, len(self.checks))
            if first < len(self.checks):
                self.checks[first] &= held
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
            if error is None:
                raise CheckFailed("no exception was raised")
        except BaseException as failure:  # it goes on; the check has failed by it
            self._recorder.fail(failure, self._number)
            raise
        if is_expected:
            self._recorder.handling()
            self._recorder.held(self._number)
        else:
            self._recorder.fail(error, self._number)
        return is_expected


def _is_empty(value: Any) -> bool:
    if type(value) is Handle or isinstance(value, str | bytes):
        return False
    if hasattr(value, "size"):
        return bool(value.size == 0)
    return isinstance(value, Collection) and all(map(_is_empty, value))


def _show(value: Any, *, plain: bool = False) -> str:
    if type(value) is Handle:
        return "<an object of the program>"
    try:
        text = str(value) if plain else repr(value)
    except (PeerGone, BadFrame, Unsupported):
        raise
    except BaseException as error:  # a repr may raise anything; the check failed already
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def describe_error(error: BaseException) -> str:
    """One line: the exception's class and text, with its line in the program if known."""
    if isinstance(error, CheckFailed):
        return str(error)
    if isinstance(error, PeerGone):
        return "the program ended before the check"
    facts = facts_of(error)
    known = facts.text if facts else _show(error, plain=True)
    where = f" (line {facts.line} of the program)" if facts and type(facts.line) is int else ""
    text = known[: 2 * _LONGEST] if isinstance(known, str) else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def full_error(recorder: Recorder) -> str:
    """What went wrong first, and where."""
    error, text = recorder.failure, recorder.failed_text
    assert error is not None
    if isinstance(error, CheckFailed):
        return text
    return f"{text} in {recorder.failed_source[:300]}" if recorder.failed_source else text


def is_check_failure(error: BaseException) -> bool:
    """Whether the tests found fault: an assert of theirs, or pytest's `raises` and `fail`."""
    is_pytests = type(error).__name__ == "Failed"
    return (isinstance(error, AssertionError) or is_pytests) and facts_of(error) is None


def packed(checks: list[bool]) -> str:
    """A bit for each check behind a first one: as short for any pattern."""
    bits = int("1" + "".join("01"[held] for held in checks), 2)
    return binascii.b2a_base64(bits.to_bytes(len(checks) // 8 + 1, "big"), newline=False).decode()


def label_error(error: BaseException, loading: bool) -> str:
    """The outcome that an uncaught exception stands for."""
    if isinstance(error, Unsupported):
        return "unsupported"
    if is_check_failure(error):
        return "wrong_output"
    if isinstance(error, SyntaxError) and loading:
        return "syntax_error"
    if isinstance(error, ImportError):
        return "import_error"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and f"[Errno {REFUSED}]" in describe_error(error):
        return "sandbox_violation"
    return "runtime_error"
