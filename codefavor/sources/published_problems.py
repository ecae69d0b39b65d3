"""Problems as others publish them, told by their columns: standard input and output, or calls.

APPS (Hendrycks et al. 2021), TACO (Li et al. 2023), CodeContests (Li et al. 2022), LiveCodeBench
(Jain et al. 2024), AceCode (Zeng et al. 2025), KodCode (Xu et al. 2025).
"""

from __future__ import annotations

import ast
import base64
import builtins
import io
import json
import pickle
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from codefavor.errors import DataError
from codefavor.records import Problem, Row, canonical_json, content_id
from codefavor.sources.locate import Location

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
# What such programs are written against: a judge's prelude, as LeetCode and LiveCodeBench have it.
_PRELUDE = """\
import bisect, collections, functools, heapq, itertools, math, operator, random, re, string, sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
"""
# APPS and TACO write one answer as a list of it, and know no tuples.
_CALLS = """\
def agrees(actual, expected):
    if isinstance(actual, tuple):
        actual = list(actual)
    return actual == expected or (
        isinstance(expected, list) and len(expected) == 1 and actual == expected[0]
    )


"""
_PYTHON_3 = 3


class NoTestsError(DataError):
    """A row of a known form that has no tests."""


def read_published(row: Row, where: str, location: Location | None = None) -> Problem | None:
    """The problem in a row of a known form; None for any other.

    Raises DataError, naming the place, for a row of a known form that is broken, and
    NoTestsError for one without tests.
    """
    for columns, read in _FORMS:
        if columns <= row.keys():
            try:
                return read(row, location.license if location else "")
            except NoTestsError as error:
                raise NoTestsError(f"{where}: {error}") from None
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, EOFError,
                    zlib.error, pickle.UnpicklingError) as error:  # fmt: skip
                detail = f"{type(error).__name__}: {error}"
                raise DataError(
                    f"{where}: has the columns {', '.join(sorted(columns))} and cannot be read as "
                    f"what these are ({detail:.200})"
                ) from error
    return None


def _apps(row: Row, license_: str) -> Problem:
    """APPS, and TACO, which has the same columns but for the id."""
    found = _json(row["input_output"]) or {}
    inputs, outputs = found.get("inputs") or [], found.get("outputs") or []
    if not inputs:
        raise NoTestsError("the row has no inputs")
    starter = row.get("starter_code") or ""
    name = found.get("fn_name") or ""
    solutions = _json(row.get("solutions")) or []
    reference = solutions[0] if solutions else ""
    if name:
        call = _call(name, starter + reference)
        arguments = [_json(one) if isinstance(one, str) else one for one in inputs]
        answers = [_json(one) if isinstance(one, str) else one for one in outputs]
        tests = _calls(call, zip(arguments, answers, strict=True))
    else:
        tests = _cases(zip(map(_text, inputs), map(_text, outputs), strict=True))
    number = row.get("problem_id", row.get("id"))
    return Problem(
        id=f"apps/{number}" if number is not None else _own_id("taco", row["question"]),
        instruction=_with_starter(row["question"], starter),
        tests=tests,
        entry_point=("Solution" if "." in _call(name, starter + reference) else name),
        reference=reference,
        source="APPS" if number is not None else "TACO",
        license=license_,
        difficulty=str(row.get("difficulty") or ""),
        setup=_PRELUDE if name else "",
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
        raise NoTestsError("the row has no cases")
    given = row.get("solutions") or {}
    languages = given.get("language") or []
    solutions = zip(languages, given.get("solution") or [], strict=True)
    return Problem(
        id=f"code-contests/{row['name']}",
        instruction=row["description"],
        tests=_cases(cases),
        entry_point="",
        reference=next((code for kind, code in solutions if kind == _PYTHON_3), ""),
        source="CodeContests",
        license=license_,
        difficulty=str(row.get("difficulty", "")),
    )


def _livecodebench(row: Row, license_: str) -> Problem:
    cases = [*_json(row["public_test_cases"]), *_private_cases(row["private_test_cases"])]
    if not cases:
        raise NoTestsError("the row has no cases")
    name = (_json(row.get("metadata")) or {}).get("func_name") or ""
    starter = row.get("starter_code") or ""
    if name:
        pairs = [
            ([json.loads(line) for line in one["input"].split("\n")], json.loads(one["output"]))
            for one in cases
        ]
        tests = _calls(_call(name, starter), pairs)
    else:
        tests = _cases((one["input"], one["output"]) for one in cases)
    return Problem(
        id=f"livecodebench/{row['question_id']}",
        instruction=_with_starter(row["question_content"], starter),
        tests=tests,
        entry_point="Solution" if name else "",
        source="LiveCodeBench",
        license=license_,
        difficulty=str(row.get("difficulty") or ""),
        setup=_PRELUDE if name else "",
    )


def _acecode(row: Row, license_: str) -> Problem:
    tests = [str(one).strip() for one in row["test_cases"]]
    if not tests:
        raise NoTestsError("the row has no tests")
    return Problem(
        id=f"acecode/{row['id']}",
        instruction=row["question"],
        tests="\n".join(tests) + "\n",
        entry_point=_first_call(tests[0]),
        source="AceCode",
        license=license_,
    )


def _kodcode(row: Row, license_: str) -> Problem:
    tests = row.get("test", row.get("test_code")) or ""
    if not tests.strip():
        raise NoTestsError("the row has no tests")
    about = _json(row.get("test_info")) or []
    name = about[0].get("function_name", "") if about else _imported(tests)
    return Problem(
        id=f"kodcode/{row.get('question_id', row.get('id'))}",
        instruction=row["question"],
        tests=tests,
        entry_point=name,
        reference=row["solution"],
        source="KodCode",
        license=license_,
        difficulty=str(row.get("gpt_difficulty") or ""),
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


def _text(value: Any) -> str:
    """An input or output: a text, or the lines of one."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def _cases(pairs: Iterable[tuple[str, str]]) -> str:
    cases = [{"input": given, "output": expected} for given, expected in pairs]
    return canonical_json({"cases": cases, "compare": "tokens"})


def _call(name: str, code: str) -> str:
    """How a function is called: by itself, or as the method that the judge asks for."""
    return f"Solution().{name}" if "class Solution" in code else name


def _calls(call: str, pairs: Iterable[tuple[Sequence[Any], Any]]) -> str:
    lines = [
        f"assert agrees({call}({', '.join(map(repr, arguments))}), {expected!r})"
        for arguments, expected in pairs
    ]
    return _CALLS + "\n".join(lines) + "\n"


def _with_starter(question: str, starter: str) -> str:
    return f"{question}\n\n{starter}".rstrip() if starter.strip() else question


def _first_call(test: str) -> str:
    """The first function that a test calls and Python does not have."""
    for node in ast.walk(ast.parse(test)):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and not hasattr(builtins, called.id):
            return called.id
    raise ValueError(f"a test calls nothing: {test!r:.80}")


def _imported(tests: str) -> str:
    """The first name that a test module imports from the solution."""
    for node in ast.parse(tests).body:
        if isinstance(node, ast.ImportFrom) and node.module == "solution":
            return node.names[0].name
    return ""


def _own_id(kind: str, text: str) -> str:
    return f"{kind}/{content_id(text)[:12]}"
