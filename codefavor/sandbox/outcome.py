"""What a test run can end as, and the limits it runs under."""

from __future__ import annotations

import binascii
import json
import math
from dataclasses import dataclass
from typing import Any

from codefavor.errors import ConfigError
from codefavor.sandbox.texts import SAID

OUTCOMES: dict[str, str] = {
    "passed": "every test held",
    "wrong_output": "a test compared the program's answer and found another value",
    "runtime_error": "the program raised an exception or died",
    "syntax_error": "the program does not parse",
    "import_error": "the program imports something that is not there",
    "timeout": "the limit of CPU time or wall time was reached",
    "memory": "the limit of memory was reached",
    "output_limit": "the program wrote or returned more than the limit",
    "sandbox_violation": "the program tried what the jail forbids",
    "test_error": "the tests themselves are at fault, or test nothing",
    "unsupported": "the tests need more than the split lane gives; says nothing about the program",
    "no_code": "there is no program",
    "infra_error": "the sandbox failed, also after a retry; says nothing about the program",
}

LEVELS = ("L2", "L3")
# What tests can say of themselves. Only the sandbox says that it failed, or that time ran out.
_ENDS = OUTCOMES.keys() - {"timeout", "output_limit", "no_code", "infra_error"}
_ENDS |= {"gone", "bad_frame"}
_FIELDS = {
    "outcome": str, "error": str, "first": str, "first_error": str, "failed_assert": str,
    "checks": str, "total": int, "own_s": float, "proven": bool, "cases": list,
    SAID: str,
}  # fmt: skip
_MOST = 1 << 53


def read_verdict(data: bytes) -> dict[str, Any] | None:
    """What the tests' process wrote, its checks unpacked; None for anything but a whole verdict.

    One of "passed" has at least one check, and all held.
    In the together lane a program can write here what it likes: nobody else reads it unchecked.
    """
    try:
        verdict = json.loads(data.decode("utf-8", "surrogatepass"))
        said = {"first_error": ""} | {name: verdict[name] for name in _FIELDS if name in verdict}
        if any(type(value) is not _FIELDS[name] for name, value in said.items()):
            return None
        ends = {said["outcome"], said.get("first", said["outcome"])}
        cases = said.get("cases", [])
        numbers = [said.get("total", 0), said.get("own_s", 0), *(n for case in cases for n in case)]
        if not ends <= _ENDS or not all(0 <= number < _MOST for number in numbers):
            return None
        bits = bin(int.from_bytes(binascii.a2b_base64(said.get("checks", "")), "big"))
        said["checks"] = [bit == "1" for bit in bits[len("0b1") :]]
        said["cases"] = tuple((us / 1e6, kib << 10) for us, kib in cases)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    n_held = sum(said["checks"])
    adds_up = n_held == len(said["checks"]) == said.get("total", 0) > 0
    return said if adds_up or said["outcome"] != "passed" else None


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    `cpu_s` counts CPU seconds of the program and of its tests each; `wall_s` is generous on
    purpose, so that a busy machine does not turn correct programs into timeouts.
    `memory_bytes` is what the program may map on top of the bare interpreter. `output_bytes`
    bounds stdout and stderr together, `reply_bytes` one value handed to the tests. With
    `fail_fast` a run of the split lane ends at its first failed check: whether a program passes is
    the same, but what share of the checks held is not known, so that a failed run has none.
    """

    cpu_s: float = 5.0
    wall_s: float = 20.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 4 << 20
    file_bytes: int = 16 << 20
    reply_bytes: int = 64 << 20
    fail_fast: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("cpu_s", 0.01, 86_400.0), ("wall_s", 0.01, 864_000.0),
            ("memory_bytes", 16 << 20, 1 << 46), ("output_bytes", 0, 1 << 40),
            ("file_bytes", 0, 1 << 40), ("reply_bytes", 1 << 10, 1 << 31),
        ):  # fmt: skip
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not low <= value <= high:
                raise ConfigError(f"limit {name}={value!r} makes no sense; use {low} to {high}")
            if name.endswith("bytes") and not isinstance(value, int):
                raise ConfigError(f"limit {name}={value!r} must be a whole number of bytes")


@dataclass(frozen=True)
class Job:
    """One program with its tests, and the lane that runs them.

    `names` are the program's names that the tests use, `modules` what they import it by;
    `may_share` lets a process that judged other tests of this kind judge these.
    `is_bare`: what they call is the program's, and only a `try` of theirs could catch exceptions.
    """

    code: str
    tests: str
    entry_point: str
    setup: str
    lane: str
    names: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    may_share: bool = False
    is_script: bool = False
    fail_fast: bool = False
    is_bare: bool = False

    def sources(self) -> tuple[dict[str, object], dict[str, object]]:
        """What the process of the program reads, and what that of the tests reads."""
        theirs = (
            ("code", "setup", "is_script"),
            ("tests", "entry_point", "names", "modules", "fail_fast", "is_bare"),
        )
        program, tests = ({name: getattr(self, name) for name in names} for names in theirs)
        return ({}, program | tests) if self.lane == "together" else (program, tests)
