"""Problems with standard input and output: run a program on each input, compare what it prints.

Tests of this kind are a JSON text: {"cases": [{"input", "output"}, ...], "compare": "tokens"}.
`compare` is `exact`, `lines` (white space at the ends of lines and of the text does not count),
`tokens` (white space only separates), `float:1e-6` (tokens, numbers within an absolute or
relative tolerance), or `checker`, with a `checker` text that defines
`check(input, output, expected) -> bool`.
"""

from __future__ import annotations

import builtins
import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from codefavor.sandbox.checks import label_error, packed
from codefavor.sandbox.handles import JudgeLink
from codefavor.sandbox.lane import needs_of_checker
from codefavor.sandbox.texts import fault_of_cases
from codefavor.sandbox.wire import BadFrame, PeerGone, Unsupported

Compare = Callable[[str, str, str], bool]
_LONGEST = 200
# Squares and products of two such numbers are no infinity, to which `inf <= inf` would hold.
_LARGEST = 1e75
# What a checker raises that cannot read what was printed; all else is a fault of its own.
_CANNOT_READ = (ArithmeticError, AssertionError, LookupError, ValueError)


def compare_by(name: str, checker: str = "") -> Compare:
    """The comparison of (input, printed, expected); raises whatever a checker does at its top."""
    if name == "exact":
        return lambda _, printed, expected: printed == expected
    if name == "lines":
        return lambda _, printed, expected: _lines(printed) == _lines(expected)
    if name == "tokens":
        return lambda _, printed, expected: _tokens(printed) == _tokens(expected)
    if name.startswith("float:"):
        tolerance = float(name.removeprefix("float:"))
        return lambda _, printed, expected: _are_near(
            _tokens(printed), _tokens(expected), tolerance
        )
    names: dict[str, Any] = {"__builtins__": {**vars(builtins), "float": _Float}}
    exec(checker, names)
    names.update({name: _Decimal for name, value in names.items() if value is Decimal})
    return partial(_check, names["check"])


class _OfFloats(type):
    """So that `isinstance(x, float)` is what a checker means."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, float)


class _Float(metaclass=_OfFloats):
    """The `float` of checkers: `not abs(nan - 1) > 0.1` would hold, `inf <= 1e-6 * inf` too."""

    def __new__(cls, value: Any = 0.0) -> Any:
        number = float(value)
        if not abs(number) <= _LARGEST:
            raise Unsupported("a NaN or a number near infinity")
        return number

    @staticmethod
    def fromhex(text: str) -> Any:
        """As of `float`."""
        return _Float(float.fromhex(text))


class _Decimal(Decimal):
    """The `Decimal` of checkers: `not Decimal("nan") == 1` would hold."""

    def __new__(cls, *arguments: Any) -> Any:
        number = Decimal(*arguments)
        if not number.is_finite():
            raise Unsupported("a NaN or an infinite number")
        return number


def _check(check: Compare, given: str, printed: str, expected: str) -> bool:
    """What a checker says; raises Unsupported where nothing that it says is about the program."""
    n_reasons = len(Unsupported.reasons)
    try:
        held: object = check(given, printed, expected)
    except _CANNOT_READ:
        try:
            if expected.strip():
                check(given, expected, expected)
        except Exception as error:  # no program could pass
            raise Unsupported(f"it cannot read what is expected: {error!r}"[:500]) from None
        held = False
    except Exception as error:  # a fault of the checker
        raise Unsupported(f"it failed: {error!r}"[:500]) from None
    if len(Unsupported.reasons) > n_reasons:  # whatever the checker caught
        raise Unsupported(Unsupported.reasons[-1])
    if type(held) not in (bool, int) or held not in (0, 1):
        raise Unsupported("it returned neither True nor False")
    return held == 1


def _tokens(text: str) -> list[str]:
    # Not str.split: other control characters and spaces are text.
    return [token for token in re.split(r"[ \t\r\n]+", text) if token]


def _lines(text: str) -> list[str]:
    return [line.rstrip(" \t\r") for line in text.rstrip(" \t\r\n").split("\n")]


def _are_near(printed: list[str], expected: list[str], tolerance: float) -> bool:
    return len(printed) == len(expected) and all(
        one == two or _is_near(one, two, tolerance)
        for one, two in zip(printed, expected, strict=True)
    )


def _is_near(printed: str, expected: str, tolerance: float) -> bool:
    if "_" in printed or not printed.isascii():  # float reads digits of every script
        return False
    try:
        one, two = float(printed), float(expected)
    except ValueError:
        return False
    if not (math.isfinite(one) and math.isfinite(two)):
        return False  # the same text is equal before it comes here
    return math.isclose(one, two, rel_tol=tolerance, abs_tol=tolerance)


def judge(spec: dict[str, Any], link: JudgeLink, *, fail_fast: bool = False) -> dict[str, object]:
    """The verdict over all cases; each is counted, also those that a dead program cannot answer.

    With `fail_fast` none is asked after the first that fails.
    """
    if fault := fault_of_cases(spec):
        return {"outcome": "test_error", "error": fault}
    if needs := needs_of_checker(spec):
        return {"outcome": "unsupported", "error": f"the checker may not use this: {needs}"}
    try:
        compare = compare_by(spec.get("compare", "tokens"), spec.get("checker", ""))
    except Exception as error:  # the checker is code of the tests
        return {"outcome": "test_error", "error": f"the cases cannot be read: {error!r}"[:2000]}
    pairs = [(case["input"], case["output"]) for case in spec["cases"]]
    checks: list[bool] = []
    needed: list[tuple[int, int]] = []
    outcome, first = "passed", ""
    try:
        link.ask("load", None)
    except BadFrame as error:
        return {"outcome": "bad_frame", "error": str(error)}
    except BaseException as error:  # whatever a program raises while it loads
        gone = isinstance(error, PeerGone)
        outcome = "gone" if gone else label_error(error, True)
        return {"outcome": outcome, "error": str(error)[:2000], "total": len(pairs)}
    for number, (given, expected) in enumerate(pairs, 1):
        held, kind, text = _run_case(link, compare, (given, expected), needed)
        checks.append(held)
        if not held and not first:
            outcome, first = kind, f"case {number}: {text}"
            if fail_fast:
                break
    return {
        "outcome": outcome, "error": first, "total": len(checks),
        "checks": packed(checks), "proven": True, "cases": needed,
    }  # fmt: skip


def _run_case(
    link: JudgeLink, compare: Compare, case: tuple[str, str], needed: list[tuple[int, int]]
) -> tuple[bool, str, str]:
    given, expected = case
    try:
        answer = link.ask("script", None, (given,))
        if type(answer) is not tuple or list(map(type, answer)) != [str, int, int]:
            raise BadFrame("no text with its cost")
        printed, spent_us, peak_kib = answer
        if not (0 <= spent_us < 1 << 53 and 0 <= peak_kib < 1 << 53):
            raise BadFrame("no cost that a process can have")
        needed.append((spent_us, peak_kib))
    except PeerGone:
        return False, "gone", "the program ended"
    except BadFrame as error:
        link.is_gone = True
        return False, "bad_frame", str(error)
    except BaseException as error:  # whatever a program raises is its outcome
        return False, label_error(error, False), f"{type(error).__name__}: {error}"[:1000]
    try:
        if compare(given, printed, expected):
            return True, "", ""
    except Unsupported as reason:
        return False, "unsupported", f"the checker says nothing of the program: {reason}"
    text = f"printed {printed[:_LONGEST]!r}, expected {expected[:_LONGEST]!r}"
    return False, "wrong_output", text
