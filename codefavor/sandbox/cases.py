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
from typing import Any

from codefavor.sandbox.checks import label_error, run_lengths
from codefavor.sandbox.handles import JudgeLink
from codefavor.sandbox.lane import needs_of_checker
from codefavor.sandbox.runner import evaluate
from codefavor.sandbox.wire import BadFrame, PeerGone, Unsupported

Compare = Callable[[str, str, str], bool]
_LONGEST = 200


def compare_by(name: str, checker: str = "") -> Compare:
    """The comparison of (input, printed, expected); raises ValueError for an unknown name."""
    if name == "exact":
        return lambda _, printed, expected: printed == expected
    if name == "lines":
        return lambda _, printed, expected: _lines(printed) == _lines(expected)
    if name == "tokens":
        return lambda _, printed, expected: _tokens(printed) == _tokens(expected)
    if name.startswith("float:"):
        tolerance = float(name.removeprefix("float:"))
        if not 0 <= tolerance < 1:
            raise ValueError(f"a tolerance of {tolerance}")
        return lambda _, printed, expected: _are_near(
            _tokens(printed), _tokens(expected), tolerance
        )
    if name == "checker":
        scope = {**vars(builtins), "float": _number, "eval": evaluate}
        names: dict[str, Any] = {"__builtins__": scope}
        exec(checker, names)
        return lambda *texts: names["check"](*texts) is True
    raise ValueError(f"an unknown comparison {name!r}")


def _number(text: Any = 0.0) -> float:
    """A checker's `float`: `not abs(nan - 1) > 0.1` would hold."""
    value = float(text)
    if math.isnan(value):
        raise Unsupported("a NaN")
    return value


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
    if "_" in printed:
        return False
    try:
        one, two = float(printed), float(expected)
    except ValueError:
        return False
    return math.isclose(one, two, rel_tol=tolerance, abs_tol=tolerance)


def judge(spec: dict[str, Any], link: JudgeLink) -> dict[str, object]:
    """The verdict over all cases; each is counted, also those that a dead program cannot answer."""
    needs = needs_of_checker(spec.get("checker", ""))
    if needs:
        return {"outcome": "test_error", "error": f"the checker may not use this: {needs}"}
    try:
        compare = compare_by(spec.get("compare", "tokens"), spec.get("checker", ""))
        pairs = [(case["input"], case["output"]) for case in spec["cases"]]
        if any(type(text) is not str for pair in pairs for text in pair):
            raise TypeError("an input or output that is no text")
    except Exception as error:  # the checker is code of the tests
        return {"outcome": "test_error", "error": f"the cases cannot be read: {error!r}"[:2000]}
    if not pairs:
        return {"outcome": "test_error", "error": "there are no cases"}
    checks: list[bool] = []
    outcome, first = "passed", ""
    try:
        link.ask("load", None)
    except BadFrame as error:
        return {"outcome": "bad_frame", "error": str(error)}
    except BaseException as error:  # whatever a program raises while it loads
        gone = isinstance(error, PeerGone)
        outcome = "gone" if gone else label_error(error, True)
        return {"outcome": outcome, "error": str(error)[:2000], "passed": 0, "total": len(pairs)}
    for number, (given, expected) in enumerate(pairs, 1):
        held, kind, text = _run_case(link, compare, given, expected)
        checks.append(held)
        if not held and not first:
            outcome, first = kind, f"case {number}: {text}"
    return {
        "outcome": outcome, "error": first, "passed": sum(checks), "total": len(checks),
        "checks": run_lengths(checks), "proven": True,
    }  # fmt: skip


def _run_case(
    link: JudgeLink, compare: Compare, given: str, expected: str
) -> tuple[bool, str, str]:
    try:
        printed = link.ask("script", None, (given,))
        if type(printed) is not str:
            raise BadFrame("no text")
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
        return False, "unsupported", f"the checker needs another lane: {reason}"
    except Exception as error:  # a checker that cannot read what was printed
        return False, "wrong_output", f"the checker failed: {type(error).__name__}: {error}"[:500]
    return (
        False,
        "wrong_output",
        (f"printed {printed[:_LONGEST]!r}, expected {expected[:_LONGEST]!r}"),
    )
