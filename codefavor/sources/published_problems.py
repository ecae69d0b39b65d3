"""Problems as others publish them, told by their columns: standard input and output, or calls.

APPS (Hendrycks et al. 2021), TACO (Li et al. 2023), CodeContests (Li et al. 2022), LiveCodeBench
(Jain et al. 2024), AceCode (Zeng et al. 2025), KodCode (Xu et al. 2025).
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from codefavor.errors import DataError
from codefavor.records import Problem, Row, canonical_json, content_id
from codefavor.sources.comparisons import APPS_CALLS, CODE_CONTESTS, LCB_CALLS, LCB_LINES
from codefavor.sources.locate import Location
from codefavor.sources.tested_names import called_by, imported_by, with_collections

LOCATIONS: dict[str, Location] = {
    "apps": Location(
        "APPS", "apps/test.jsonl", "codeparrot/apps", "MIT", data_files="test.jsonl",
        splits=("train",),
    ),
    "taco": Location("TACO", "taco/test.jsonl", "BAAI/TACO", "Apache-2.0"),
    "code-contests": Location(
        "CodeContests", "code_contests/test.jsonl", "deepmind/code_contests", "CC-BY-4.0"
    ),
    "livecodebench": Location(
        "LiveCodeBench", "livecodebench/test.jsonl", "livecodebench/code_generation_lite",
        "none stated", data_files="test*.jsonl", splits=("train",),
    ),
    "acecode": Location(
        "AceCode", "acecode/train.jsonl", "TIGER-Lab/AceCode-87K", "MIT", splits=("train",)
    ),
    "kodcode": Location(
        "KodCode", "kodcode/train.jsonl", "KodCode/KodCode-V1", "CC-BY-NC-4.0", splits=("train",)
    ),
}  # fmt: skip
# What such programs are written against: the names that APPS's and LiveCodeBench's own checkers
# give them (but numpy); the builtins come after what shadows them.
_STARRED = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random",
    "statistics", "itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing",
)  # fmt: skip
_PRELUDE = (
    "".join(f"from {name} import *\n" for name in _STARRED)
    + "import fractions, time\n"
    + f"import {', '.join(_STARRED)}\n"
    # The streams of the setup are not those that a case is read from.
    + "del stdin, stdout, stderr\n"
    + "sys.setrecursionlimit(50000)\n"
)
# The tolerance of numpy.allclose, by which APPS's checker compares numbers that are printed.
_NEAR = "float:1e-5"
_DECIMAL = re.compile(r"(?<![\w.])-?\d*\.\d+(?:[eE][-+]?\d+)?(?![\w.])")
_PYTHON_3 = 3
# Whose rows have no id: it is made of what is asked and tested, so that twice an id is twice a row.
OWN_IDS = frozenset({"TACO"})


class UnusableRowError(DataError):
    """A row of a known form that makes no problem; `reason` is the kind of fault."""

    def __init__(self, where: str, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{where}: {detail}")


class _NoTestsError(Exception):
    """A row has no tests."""


def read_published(row: Row, where: str, location: Location | None = None) -> Problem | None:
    """The problem in a row of a known form; None for any other.

    Raises UnusableRowError, naming the place, for a row of a known form that is broken, has no
    tests or has tests that do not parse.
    """
    for columns, read in _FORMS:
        if columns <= row.keys():
            try:
                return _checked(read(row, location.license if location else ""))
            except _NoTestsError as error:
                raise UnusableRowError(where, "without tests", str(error)) from None
            except (SyntaxError, RecursionError, MemoryError) as error:
                detail = f"the tests do not parse ({type(error).__name__}: {error})"
                raise UnusableRowError(where, "whose tests do not parse", detail) from error
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, EOFError,
                    zlib.error, pickle.UnpicklingError) as error:  # fmt: skip
                detail = (
                    f"has the columns {', '.join(sorted(columns))} and cannot be read as what "
                    f"these are ({type(error).__name__}: {error!s:.200})"
                )
                raise UnusableRowError(where, "that cannot be read", detail) from error
    return None


def _checked(problem: Problem) -> Problem:
    for name in ("instruction", "entry_point", "reference"):
        value = getattr(problem, name)
        if not isinstance(value, str):
            raise TypeError(f"the {name} is {value!r:.40}, no text")
    return problem


def _apps(row: Row, license_: str) -> Problem:
    """APPS, and TACO, which has the same columns but for the id."""
    found = _json(row["input_output"]) or {}
    inputs, outputs = found.get("inputs") or [], found.get("outputs") or []
    if not inputs:
        raise _NoTestsError("the row has no inputs")
    starter = row.get("starter_code") or ""
    name = found.get("fn_name") or ""
    solutions = _json(row.get("solutions")) or []
    reference = solutions[0] if solutions else ""
    if name:
        call = _call(name, starter + reference)
        arguments = [_json(one) if isinstance(one, str) else one for one in inputs]
        answers = [_json(one) if isinstance(one, str) else one for one in outputs]
        pairs = [
            ([*map(_with_whole_keys, given[:1]), *given[1:]], _expected(answer))
            for given, answer in zip(arguments, answers, strict=True)
        ]
        tests = _calls(call, pairs, APPS_CALLS)
    else:
        texts = list(map(_text, outputs))
        compare = _NEAR if any(map(_DECIMAL.search, texts)) else "tokens"
        tests = _cases(zip(map(_text, inputs), texts, strict=True), compare=compare)
    number = row.get("problem_id", row.get("id"))
    return Problem(
        id=f"apps/{number}" if number is not None else _own_id("taco", row["question"], tests),
        instruction=_with_starter(row["question"], starter),
        tests=tests,
        entry_point=("Solution" if "." in _call(name, starter + reference) else name),
        reference=reference,
        source="APPS" if number is not None else "TACO",
        license=license_,
        difficulty=str(row.get("difficulty") or ""),
        setup=_PRELUDE,
    )


def _code_contests(row: Row, license_: str) -> Problem:
    cases = [
        pair
        for kind in ("public_tests", "private_tests", "generated_tests")
        for pair in zip(
            (row.get(kind) or {}).get("input") or [],
            (row.get(kind) or {}).get("output") or [],
            strict=True,
        )
    ]
    if not cases:
        raise _NoTestsError("the row has no cases")
    given = row.get("solutions") or {}
    languages = given.get("language") or []
    solutions = zip(languages, given.get("solution") or [], strict=True)
    return Problem(
        id=f"code-contests/{row['name']}",
        instruction=row["description"],
        tests=_cases(cases, compare="checker", checker=CODE_CONTESTS),
        entry_point="",
        reference=next((code for kind, code in solutions if kind == _PYTHON_3), ""),
        source="CodeContests",
        license=license_,
        difficulty=str(row.get("difficulty", "")),
    )


def _livecodebench(row: Row, license_: str) -> Problem:
    cases = [*_json(row["public_test_cases"]), *_private_cases(row["private_test_cases"])]
    if not cases:
        raise _NoTestsError("the row has no cases")
    name = (_json(row.get("metadata")) or {}).get("func_name") or ""
    starter = row.get("starter_code") or ""
    if name:
        pairs = [
            ([json.loads(line) for line in one["input"].split("\n")], json.loads(one["output"]))
            for one in cases
        ]
        tests = _calls(_call(name, starter), pairs, LCB_CALLS)
    else:
        texts = ((one["input"], one["output"]) for one in cases)
        tests = _cases(texts, compare="checker", checker=LCB_LINES)
    return Problem(
        id=f"livecodebench/{row['question_id']}",
        instruction=_with_starter(row["question_content"], starter),
        tests=tests,
        entry_point="Solution" if name else "",
        source="LiveCodeBench",
        license=license_,
        difficulty=str(row.get("difficulty") or ""),
        setup=_PRELUDE,
    )


def _acecode(row: Row, license_: str) -> Problem:
    tests = [str(one).strip() for one in row["test_cases"]]
    if not tests:
        raise _NoTestsError("the row has no tests")
    text = "\n".join(tests) + "\n"
    name = called_by(text)
    return Problem(
        id=f"acecode/{row['id']}",
        instruction=row["question"],
        tests=with_collections(text, name),
        entry_point=name,
        source="AceCode",
        license=license_,
        tests_by="model",
    )


def _kodcode(row: Row, license_: str) -> Problem:
    tests = row.get("test", row.get("test_code")) or ""
    if not tests.strip():
        raise _NoTestsError("the row has no tests")
    about = _json(row.get("test_info")) or []
    imported = imported_by(tests)
    name = about[0].get("function_name", "") if about else imported
    return Problem(
        id=f"kodcode/{row.get('question_id', row.get('id'))}",
        instruction=row["question"],
        tests=tests,
        entry_point=name,
        reference=row["solution"],
        source="KodCode",
        license=license_,
        difficulty=str(row.get("gpt_difficulty") or ""),
        tests_by="model",
    )


# The columns that tell a form, and who reads it; the first that fits.
_FORMS: tuple[tuple[frozenset[str], Callable[[Row, str], Problem]], ...] = (
    (frozenset({"question", "input_output"}), _apps),
    (frozenset({"name", "description", "public_tests"}), _code_contests),
    (frozenset({"question_content", "public_test_cases", "private_test_cases"}), _livecodebench),
    (frozenset({"question", "test_cases"}), _acecode),
    (frozenset({"question", "solution", "test"}), _kodcode),
    (frozenset({"question", "solution", "test_code"}), _kodcode),
)


def _json(value: Any) -> Any:
    """A column that holds JSON as text, or the value itself; None for an empty text."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.strip() else None


def _private_cases(packed: Any) -> list[Any]:
    """LiveCodeBench's hidden cases: JSON, or JSON in a pickle in zlib in base 64.

    The pickle may hold a text only: nothing of it is called.
    """
    if not isinstance(packed, str):
        return list(packed or [])
    try:
        return list(json.loads(packed)) if packed else []
    except ValueError:
        text = _TextUnpickler(io.BytesIO(zlib.decompress(base64.b64decode(packed)))).load()
        return list(json.loads(text))


class _TextUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, and only a text is allowed")


def _with_whole_keys(value: Any) -> Any:
    """A dictionary whose keys JSON made texts of whole numbers; anything else as it is."""
    try:
        return {int(k): v for k, v in value.items()} if isinstance(value, dict) else value
    except ValueError:
        return value


def _expected(answer: Any) -> Any:
    if isinstance(answer, list) and len(answer) == 1:
        return [_with_whole_keys(answer[0])]
    return _with_whole_keys(answer)


def _text(value: Any) -> str:
    """An input or output: a text, or the lines of one."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def _cases(pairs: Iterable[tuple[str, str]], **comparison: str) -> str:
    """Cases compared by tokens unless `comparison` (`compare`, `checker`) says otherwise."""
    cases = [{"input": given, "output": expected} for given, expected in pairs]
    return canonical_json({"cases": cases, "compare": "tokens", **comparison})


def _call(name: str, code: str) -> str:
    """How a function is called: by itself, or as the method that the judge asks for."""
    return f"Solution().{name}" if "class Solution" in code else name


def _calls(call: str, pairs: Iterable[tuple[Sequence[Any], Any]], agrees: str) -> str:
    pairs = list(pairs)
    try:
        json.dumps(pairs, allow_nan=False)
    except ValueError:  # Infinity, by the name that Python's text of it has
        agrees = f'inf, nan = float("inf"), float("nan")\n\n\n{agrees}'
    lines = [
        f"assert agrees({call}({', '.join(map(repr, arguments))}), {expected!r})"
        for arguments, expected in pairs
    ]
    return agrees + "\n".join(lines) + "\n"


def _with_starter(question: str, starter: str) -> str:
    return f"{question}\n\n{starter}".rstrip() if starter.strip() else question


def _own_id(kind: str, *parts: str) -> str:
    return f"{kind}/{content_id(*parts)[:12]}"
