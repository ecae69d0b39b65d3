"""Which lines and branches of a program run, and how many; sent into the jail as a code object."""

from __future__ import annotations

import types
from typing import Any

PROGRAM = "<solution>"
_NESTED = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>")
_RETURNS = ("RETURN_VALUE", "RETURN_CONST")


class OutOfTime(BaseException):
    """A program used up its time."""


class Trace:
    """Lines of the program that ran, and steps from one line to the next.

    After `most` lines it raises OutOfTime, once, and `is_late` says so.
    """

    def __init__(self, most: int) -> None:
        import opcode

        self.lines: set[int] = set()
        self.steps: set[tuple[int, int]] = set()
        self.is_late = False
        self._left = most
        self._returns = {opcode.opmap[name] for name in _RETURNS if name in opcode.opmap}

    def __call__(self, frame: types.FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        if code.co_filename != PROGRAM:
            return None
        nested = code.co_name in _NESTED
        # A generator goes on where it was; RESUME tells by its argument.
        is_start = frame.f_lasti < 0 or not code.co_code[frame.f_lasti + 1] & 3
        last = 0 if is_start else frame.f_lineno

        def local(frame: types.FrameType, event: str, _: object) -> Any:
            nonlocal last
            if event == "line":
                self._left -= 1
                if self._left < 0:
                    self.is_late = True
                    raise OutOfTime
                line = frame.f_lineno
                self.lines.add(line)
                if not nested and last:
                    self.steps.add((last, line))
                last = line
            elif event == "return" and not nested and last and self._returned(frame):
                self.steps.add((last, -1))
            return local

        return local

    def _returned(self, frame: types.FrameType) -> bool:
        """Whether the frame ended by a return, and not by a yield or an exception."""
        return frame.f_code.co_code[frame.f_lasti] in self._returns


def coverage_of(trace: Trace, payload: dict[str, Any]) -> dict[str, int]:
    """The lines that ran and the branches that were taken: the n-th bit is the n-th in the list."""
    lines = sum(1 << n for n, line in enumerate(payload["lines"]) if line in trace.lines)
    branches = sum(
        1 << n
        for n, (line, body, is_body) in enumerate(payload["branches"])
        if any(a == line and (b == body) == is_body for a, b in trace.steps)
    )
    return {"lines": lines, "branches": branches}
