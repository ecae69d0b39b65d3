"""Every error this package raises on purpose.

CodefavorError
├── ConfigError           a setting, flag or recipe is wrong; nothing was started
├── DataError             a file or row is wrong; the message names file and line
├── MissingPackageError   an optional package is not installed; the message names the extra
├── JournalError          an output was made under other settings, or cannot be written
│   └── JournalInUseError another process holds it
├── BackendError          a model server failed (retryable or not); never an answer
├── SandboxError          the sandbox failed; never "the program failed"
├── BudgetError           the money or token budget is spent
├── TrainingError         the launched training process failed
└── Rejected              a step drops its row for a stated reason (counted, not a failure)
"""

from __future__ import annotations

from collections.abc import Mapping

from codefavor.redaction import redact


class CodefavorError(Exception):
    """Base of all errors raised on purpose. The text is written for the user.

    It holds no secret (see `codefavor.redaction`), so it may be printed and kept.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class Unwinding(Exception):
    """Ends the work on a row without an outcome, which stays to be done; no error of its own."""


class ConfigError(CodefavorError):
    """A setting, flag or recipe is wrong; raised before any work starts."""


class DataError(CodefavorError):
    """A file or a row cannot be used; the message names the file and the line."""


class MissingPackageError(CodefavorError):
    """An optional package is missing; the message names the extra to install.

    `install` is the command for a package that no extra brings.
    """

    def __init__(self, package: str, extra: str, purpose: str, *, install: str = "") -> None:
        how = install or f"pip install 'codefavor[{extra}]'"
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: {how}"
        )
        self.package = package
        self.extra = extra


class JournalError(CodefavorError):
    """An output file is in use by another run, or was made under other settings."""


class JournalInUseError(JournalError):
    """Another process holds the journal; it may be about to end."""


class BackendError(CodefavorError):
    """A model server failed; says whether asking again can help.

    `retry_after_s` is the server's own wish in seconds, None when it stated none.
    `reason` is a short stable name for counting (`rate_limited`, `bad_request`, ...).
    `may_be_paid`: the request may have been answered, and charged, all the same; None takes what
    the reason says: a server that refuses charges nothing; one that failed may have failed after
    it had answered, and a lost or unreadable answer was one.
    """

    _MAY_BE_PAID = frozenset(
        {
            "timeout",
            "connection",
            "bad_gateway",
            "bad_json",
            "bad_schema",
            "server_error",
            "backend_error",
        }
    )

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
        reason: str = "backend_error",
        may_be_paid: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.may_be_paid = reason in self._MAY_BE_PAID if may_be_paid is None else may_be_paid
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.reason = reason


class SandboxError(CodefavorError):
    """The sandbox itself failed; says nothing about the program it was to run."""


class BudgetError(CodefavorError):
    """The budget of a run is spent; raise it to continue from where the run stopped."""


class TrainingError(CodefavorError):
    """The launched training process failed; the message ends with the tail of its log."""


class Rejected(CodefavorError):
    """Raised by a step to drop its row; `reason` is counted and kept in the journal.

    `row` is what there was of the row, which the journal keeps too: None for nothing.
    """

    def __init__(
        self, reason: str, detail: str = "", row: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.row = row
