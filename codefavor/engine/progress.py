"""How far a run is: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

logger = logging.getLogger(__name__)


class Progress:
    """Told by the runner how far it is. This one shows nothing but, in the log, what is said."""

    def start(self, label: str, total: int | None) -> None:
        """A run begins; `total` rows, or None if that is not known."""

    def advance(self, n: int = 1, **fields: Any) -> None:
        """`n` more rows have ended; `fields` are the sums to show beside."""

    def say(self, text: str) -> None:
        """Something that a user who waits should know."""
        logger.warning("%s", text)

    def finish(self) -> None:
        """The run is over, however it ended."""


class TerminalProgress(Progress):
    """One line that rewrites itself on a terminal, else a line at most every `every_s`."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        every_s: float = 5.0,
        is_terminal: bool | None = None,
    ) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty() if is_terminal is None else is_terminal
        self._every_s = 0.1 if self._is_terminal else every_s
        self._label, self._done = "", 0
        self._total: int | None = None
        self._fields: dict[str, Any] = {}
        self._started = self._shown = 0.0
        # When the first rows ended, and how many: before, a model was loaded or a queue filled.
        self._first: tuple[float, int] | None = None

    def start(self, label: str, total: int | None) -> None:
        """Begin a new line."""
        self._label, self._total, self._done, self._fields = label, total, 0, {}
        self._started = self._shown = time.monotonic()
        self._first = None
        self._show()

    def advance(self, n: int = 1, **fields: Any) -> None:
        """Count, and show it if the last time is long enough ago."""
        self._done += n
        self._fields.update(fields)
        now = time.monotonic()
        if self._first is None:
            self._first = (now, self._done)
        if now - self._shown >= self._every_s:
            self._shown = now
            self._show()

    def say(self, text: str) -> None:
        """A line of its own, above the one that rewrites itself."""
        self._write(text + "\n")

    def finish(self) -> None:
        """Show the final state."""
        self._write(self.line(time.monotonic()) + "\n")

    def line(self, now: float) -> str:
        """The plain line, such as `drafts 120/500 24% eta 31s`."""
        parts = [self._label, f"{self._done}/{'?' if self._total is None else self._total}"]
        if self._total:
            parts.append(f"{100 * self._done // self._total}%")
            remaining = self._remaining(now)
            if remaining is not None:
                parts.append(f"eta {duration(remaining)}")
        if self._done == self._total:
            parts.append(f"in {duration(now - self._started)}")
        return " ".join([*parts, *self._field_texts()])

    def _remaining(self, now: float) -> float | None:
        """Seconds left at the pace since the first rows ended; None while that says little.

        It takes one row in 20, or 100, and 5 s after the first.
        """
        if not self._total or self._first is None or self._done >= self._total:
            return None
        since, n_first = self._first
        n_more = self._done - n_first
        if now - since < 5 or n_more < min(100, max(2, self._total / 20)):
            return None
        return (now - since) * (self._total - self._done) / n_more

    def _field_texts(self) -> list[str]:
        texts = []
        for name, value in self._fields.items():
            if name == "usd":
                texts.append("cost unknown" if value is None else f"${value:.4f}")
            elif name == "tokens":
                texts.append(f"{value} tokens")
            else:
                texts.append(f"{name} {value}")
        return texts

    def _show(self) -> None:
        self._write(self.line(time.monotonic()) + ("" if self._is_terminal else "\n"))

    def _write(self, text: str) -> None:
        # Back to the beginning of the line, and what stood there is gone.
        self._stream.write("\r\x1b[K" + text if self._is_terminal else text)
        self._stream.flush()


def duration(seconds: float) -> str:
    """Seconds as people say them: 31s, 4m10s, 3h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
