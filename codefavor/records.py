"""The rows that everything on disk consists of, and their content ids."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from codefavor.errors import DataError
from codefavor.originals import with_originals

Row = dict[str, Any]
Choice = Literal["A", "B", "tie", "undecided"]
R = TypeVar("R", bound="Record")
TESTS_OF_PEOPLE = frozenset({"", "problem", "human"})
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half of a pair, as JSON escapes it


def whole_text(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which no UTF-8 has.

    Models write such halves, and JSON can hold them; files, servers and tokenizers cannot.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole_row(row: Row) -> Row:
    """The row with whole text in every field (see `whole_text`)."""
    whole: Row = json.loads(whole_text(json.dumps(row, ensure_ascii=False)))
    return whole


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, plain UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_id(*parts: Any) -> str:
    """64 hex digits: the sha256 of the canonical JSON of the parts."""
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()


def file_sha256(path: Path) -> str:
    """64 hex digits: the sha256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Record:
    """Base of all rows: plain JSON on disk, a frozen dataclass in memory."""

    @classmethod
    def from_row(cls: type[R], row: Mapping[str, Any], where: str = "row") -> R:
        """The record of a row; keys it does not know are ignored, null is as good as missing.

        Raises DataError, which names `where` (say, file and line) and the field, for a missing
        required field and for one that is not of its type.
        """
        given = {name: value for name, value in row.items() if value is not None}
        # Here, because the sandbox needs no reader of rows where it is used alone.
        import msgspec

        try:
            return msgspec.convert(given, cls)
        except msgspec.ValidationError as error:
            raise DataError(f"{where}: {_problem(str(error), cls.__name__, row)}") from error

    def to_row(self) -> Row:
        """The plain JSON form, with every field, in the order of declaration."""
        return dataclasses.asdict(self)


_MISSING = re.compile(r"missing required field `(\w+)`")
_WRONG = re.compile(r"Expected `([^`]+)`, got `([^`]+)`(?: - at `(?:key in )?\$\.?([^`]*)`)?")
_INVALID = re.compile(r"(Invalid .+?) - at `\$\.([^`]+)`")
_JSON_NAMES = {"str": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}
_JSON_NAMES |= {"object": "an object", "array": "a list"}


def json_names(kinds: str) -> str:
    """A decoder's names of types ("object | null") as people call them."""
    return " or ".join(_JSON_NAMES.get(one, one) for one in kinds.split(" | ") if one != "null")


def _problem(words: str, kind: str, row: Mapping[str, Any]) -> str:
    """What is wrong with a row, from the decoder's words for it."""
    found = ", ".join(sorted(map(str, row))) or "no fields"
    if missing := _MISSING.search(words):
        return f"{kind} needs the field {missing[1]!r}; found only {found}"
    if wrong := _WRONG.search(words):
        wanted, got = map(json_names, wrong.groups()[:2])
        return f"{wrong[3]!r} of {kind} must be {wanted}, found {got}"
    if invalid := _INVALID.search(words):
        name = invalid[2]
        return f"{name!r} of {kind} is {row.get(name)!r}: {invalid[1]}"
    return f"{kind}: {words}"


@dataclass(frozen=True)
class Problem(Record):
    """A programming task with executable tests.

    `tests` is source text that is run after the program: asserts at module level, a
    HumanEval `check(candidate)` with its call, a unittest or pytest module, or inputs and
    outputs as JSON (sandbox/cases.py). `prompt` is code that a completion continues ("" where
    the instruction stands alone). `setup` is code that the program is meant to see and that is
    not its to write: it runs in the program's namespace before it. `tests_by` wrote the tests: a
    model, if not of `TESTS_OF_PEOPLE`; `tests_checked`: what `scoring/weak_tests.py` found in them.
    """

    id: str
    instruction: str
    tests: str
    entry_point: str
    reference: str = ""
    source: str = ""
    license: str = ""
    language: str = "python"
    topic: str = ""
    difficulty: str = ""
    prompt: str = ""
    setup: str = ""
    tests_by: str = ""
    tests_checked: Row = field(default_factory=dict)

    def to_row(self) -> Row:
        """The plain JSON form; the two fields about generated tests only where they say more."""
        return {k: v for k, v in super().to_row().items() if v or not k.startswith("tests_")}

    @property
    def may_label(self) -> bool:
        """Whether a run of the tests may label a program: a model's only once they are valid."""
        return self.tests_by in TESTS_OF_PEOPLE or self.tests_checked.get("is_valid") is True

    @property
    def tests_evidence(self) -> Row:
        """Whose the tests are and what speaks for them, as a pair's evidence has it."""
        checked = {"checked": self.tests_checked} if self.tests_checked else {}
        return {"origin": self.tests_by or "problem", **checked}


@dataclass(frozen=True)
class Completion(Record):
    """One program for one problem: `code` is what was parsed out of `raw`.

    `usage` counts tokens (`input_tokens`, `output_tokens`); `finish_reason` is the backend's.
    """

    id: str
    problem_id: str
    code: str
    raw: str = ""
    model: str = ""
    sampling: Row = field(default_factory=dict)
    usage: Row = field(default_factory=dict)
    finish_reason: str = ""


@dataclass(frozen=True)
class Execution(Record):
    """What one test run showed.

    `outcome` is a name of `sandbox.outcome.OUTCOMES`; `passed` of `total` asserts held;
    `error` says what went wrong first (exception, or the failing assert with its values).
    `trust` is the lane: in `split` the program cannot influence the verdict, in `together` a
    hostile one can. `accepted` is "together" if whoever ran it takes that for evidence. `level`
    is the proven isolation ("L2" or "L3"). `asserts` holds the result of each check in order.
    `cases` holds, for each text that a program read and answered, the CPU seconds and the most
    bytes that its process had held by then, as it states itself.
    """

    outcome: str
    passed: int = 0
    total: int = 0
    error: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    trust: str = "split"
    level: str = ""
    failed_assert: str = ""
    asserts: tuple[bool, ...] = ()
    accepted: str = ""
    cases: tuple[tuple[float, int], ...] = ()

    @property
    def is_evidence_of_pass(self) -> bool:
        """Whether this run shows that the program passes every test.

        The only reading of a run as a pass: pairs, rewards, pass rates and judges use it.
        """
        return self.outcome == "passed" and not self.no_evidence

    @property
    def share_of_checks(self) -> float:
        """The share in [0, 1] of the checks that held, as evidence: 0 where a run is none."""
        return self.passed / self.total if self.total and not self.no_evidence else 0.0

    @property
    def no_evidence(self) -> str:
        """Why this run says nothing about the program; "" if it does.

        Where the sandbox, the tests or a busy machine ended it, or the program could have
        forged the verdict.
        """
        if self.outcome in ("infra_error", "test_error", "unsupported", "sandbox_violation"):
            return self.outcome
        if self.outcome == "timeout" and "wall time" in self.error:
            return "wall_timeout"
        return "" if self.trust in ("split", self.accepted) else self.trust


@dataclass(frozen=True)
class Preference(Record):
    """Two programs for one instruction, and why one is better.

    `evidence` holds what the label rests on ({"chosen": Execution row, "rejected": ...} for
    test runs). `level` is easy, medium, hard or samples; "" where levels do not apply.
    `history` holds the turns before the instruction ({"role", "content"}). In the language
    "markdown" both sides are whole replies, shown as they are instead of in a fence.
    """

    id: str
    instruction: str
    chosen: str
    rejected: str
    criteria: str = ""
    feedback: str = ""
    evidence: Row = field(default_factory=dict)
    source: str = ""
    level: str = ""
    problem_id: str = ""
    language: str = "python"
    license: str = ""
    meta: Row = field(default_factory=dict)
    history: tuple[Row, ...] = ()

    @property
    def asked(self) -> str:
        """The instruction, with the turns before it where there are any, as one text."""
        if not self.history:
            return self.instruction
        turns = [*self.history, {"role": "user", "content": self.instruction}]
        said = (f"{turn['role'].capitalize()}: {turn['content'].strip()}" for turn in turns)
        return "\n\n".join(said)


@dataclass(frozen=True)
class Labelled(Record):
    """One whole reply to an instruction that somebody marked good (`label`) or bad."""

    id: str
    instruction: str
    completion: str
    label: bool
    source: str = ""
    history: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Comparison(Record):
    """One question to a judge: which of two programs is better by the criteria?"""

    instruction: str
    code_a: str
    code_b: str
    criteria: str = ""
    id: str = ""

    def swap(self) -> Comparison:
        """The same question with the two programs exchanged (same id)."""
        return dataclasses.replace(self, code_a=self.code_b, code_b=self.code_a)


@dataclass(frozen=True)
class Verdict(Record):
    """A judge's answer. `p_a` in [0, 1] is its probability for A, None if it has none.

    `raw` is the reply, `is_cut` whether it ended at `max_tokens`. `second` is {"raw", "is_cut"}
    of the reply to a second question, None where none was asked.
    """

    choice: Choice
    p_a: float | None = None
    raw: str = ""
    is_cut: bool = False
    second: Row | None = None

    def __post_init__(self) -> None:
        """Raise DataError for what is no probability."""
        if self.p_a is not None and not -1e-6 < self.p_a < 1 + 1e-6:
            raise DataError(f"'p_a' of Verdict must be from 0 to 1, found {self.p_a}")

    def swap(self) -> Verdict:
        """The same answer, read for the exchanged comparison."""
        flipped: dict[Choice, Choice] = {"A": "B", "B": "A"}
        p_a = None if self.p_a is None else 1.0 - self.p_a
        return dataclasses.replace(self, choice=flipped.get(self.choice, self.choice), p_a=p_a)


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row of a JSONL file (or .jsonl.gz) as ("file:line", row); blank lines are skipped.

    Raises DataError for a missing file, a line that is not a JSON object, or no rows at all.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    empty = True
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
        empty = False
        yield where, whole_row(row) if _SURROGATE.search(line) else row
    if empty:
        raise DataError(f"{path}: the file has no rows")


def _lines(path: Path) -> Iterator[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    # A byte order mark, which some editors write, is no part of the first row.
    with opener(path, "rt", encoding="utf-8-sig") as handle:
        try:
            yield from handle
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: not UTF-8 text, or a broken .gz ({error})") from error


def read_records(path: Path, kind: type[R]) -> list[R]:
    """All records of a JSONL file; a bad row raises DataError with its file and line."""
    return [kind.from_row(row, where) for where, row in read_rows(path)]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a JSONL file whole or not at all; returns the number of rows.

    The rows go to a temporary file beside it, which is synced and renamed over `path`.
    """
    return write_text(path, (_line(row) for row in rows))


def _line(row: Mapping[str, Any]) -> str:
    line = json.dumps(row, ensure_ascii=False) + "\n"
    # Half of a surrogate pair, which models do write, has no UTF-8: it stays an escape.
    return line if whole_text(line) == line else json.dumps(row) + "\n"


def write_text(path: Path, parts: Iterable[str]) -> int:
    """Write a text file whole or not at all; returns the number of parts written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        with open(partial, "w", encoding="utf-8") as handle:
            for part in parts:
                handle.write(whole_text(with_originals(part)))
                count += 1
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder that takes its name only when everything in it was written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
