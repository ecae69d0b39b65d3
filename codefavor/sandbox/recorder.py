"""Counts the checks of one test run and describes the first that failed."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from codefavor.sandbox.instrument import AssertSite
from codefavor.sandbox.wire import BadFrame, PeerGone

_LONGEST = 400
_MOST_CHECKS = 200_000
_MOST_PROGRESS = 4096
_SYMBOLS = {
    "Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=",
    "Is": "is", "IsNot": "is not", "In": "in", "NotIn": "not in",
}  # fmt: skip
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda left, right: left in right,
    "NotIn": lambda left, right: left not in right,
}


class CheckFailed(AssertionError):
    """A check of the tests did not hold."""


class Recorder:
    """What the rewritten tests call; `asked` tells how often the program was asked so far."""

    everything = BaseException

    def __init__(self, sites: list[AssertSite], asked: Callable[[], int], progress_fd: int) -> None:
        self.sites = sites
        self.checks: list[bool] = []
        self.failed_source = ""
        self.failed_text = ""
        self.failure: BaseException | None = None
        self.failed_line = 0
        self.is_proven = False
        self._asked = asked
        self._asked_before = 0
        self._values = ""
        self._progress_fd = progress_fd

    # -- called by rewritten asserts ------------------------------------------------------

    def begin(self, number: int) -> int:
        """Called first in every assert."""
        self._asked_before = self._asked()
        return number

    def compare(self, number: int, name: str, left: Any, right: Any) -> bool:
        """Whether a comparison holds; its values are described if not."""
        if _OPERATORS[name](left, right):
            return self._held(number)
        self._values = f"{_show(left)} {_SYMBOLS[name]} {_show(right)} does not hold"
        return False

    def truth(self, number: int, value: Any) -> bool:
        """Whether a value is true."""
        if value:
            return self._held(number)
        self._values = f"{_show(value)} is not true"
        return False

    def falsity(self, number: int, value: Any) -> bool:
        """Whether a value is false."""
        if not value:
            return self._held(number)
        self._values = f"{_show(value)} is not false"
        return False

    def failed(self, number: int, message: Any) -> NoReturn:
        """Called when a check did not hold."""
        site = self.sites[number]
        text = f"assert {site.source}: {self._values}"
        if message is not None:
            text += f" ({_show(message, plain=True)})"
        error = CheckFailed(text)
        error.codefavor_site = number  # type: ignore[attr-defined]
        raise error

    def caught(self, number: int) -> None:
        """A soft assert ended with an exception: record it and go on, if going on makes sense."""
        error = sys.exc_info()[1]
        assert error is not None
        if isinstance(error, PeerGone | BadFrame):
            raise error
        self.fail(error, number)

    def expected(self, number: int) -> None:
        """An exception that the tests wait for was raised."""
        if not isinstance(sys.exc_info()[1], CheckFailed):
            self.passed()

    # -- called by the runners ------------------------------------------------------------

    def _held(self, number: int) -> bool:
        if self._asked() > self._asked_before and not self.sites[number].is_guarded:
            self.is_proven = True
        self.passed()
        return True

    def passed(self) -> None:
        """Count a check that held."""
        self._add(True)

    def fail(self, error: BaseException, number: int | None = None) -> None:
        """Count a check that failed; the first one is described."""
        if self.failure is None:
            self.failure = error
            number = getattr(error, "codefavor_site", number)
            if number is not None:
                self.failed_source = f"assert {self.sites[number].source}"
                self.failed_line = self.sites[number].lineno
            self.failed_text = describe_error(error)
        self._add(False)

    def _add(self, held: bool) -> None:
        if len(self.checks) >= _MOST_CHECKS:
            if held:
                return
            self.checks[-1] = False
            return
        self.checks.append(held)
        if len(self.checks) <= _MOST_PROGRESS:
            os.write(self._progress_fd, b"+" if held else b"-")


def _show(value: Any, *, plain: bool = False) -> str:
    try:
        text = str(value) if plain else repr(value)
    except (PeerGone, BadFrame):
        raise
    except BaseException as error:  # noqa: BLE001  a repr may raise anything; the check failed already
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def text_of(error: BaseException) -> str:
    """The text of an exception; that of the program's own as the program's process gave it."""
    text = vars(error).get("codefavor_text")
    if type(text) is str:
        return text
    try:
        return str(error)
    except (PeerGone, BadFrame):
        raise
    except BaseException:  # noqa: BLE001  a test's own exception may have a broken __str__
        return ""


def describe_error(error: BaseException) -> str:
    """One line: the exception's class and text, with its line in the program if known."""
    if isinstance(error, CheckFailed):
        return str(error)
    name = type(error).__name__
    name = {
        "CandidateAssertion": "AssertionError",
        "CandidateExit": "SystemExit",
        "CandidateInterrupt": "KeyboardInterrupt",
    }.get(name, name)
    text = text_of(error)
    line = getattr(error, "codefavor_line", None) if "codefavor_line" in vars(error) else None
    where = f" (line {line} of the program)" if type(line) is int else ""
    text = text if len(text) <= 2 * _LONGEST else text[: 2 * _LONGEST] + "..."
    return f"{name}: {text}{where}" if text else f"{name}{where}"
