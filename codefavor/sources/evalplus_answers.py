"""EvalPlus tests with the reference's answers in them, in the place of the reference.

The tests of `evalplus_tests` compute what to expect, anew for each program. What they compute is
the same for all programs, so that it can be computed once: `answering_text` is a script that does,
`with_answers` the same tests, check for check, with what the script said, and the CPU seconds that
the reference took.
"""

from __future__ import annotations

import ast
import json
import re

# What a test module of `evalplus_tests` has in the place of what it expects.
_REFERENCE = re.compile(r"^REFERENCE = .*\n", re.MULTILINE)
_INPUTS = re.compile(r"^INPUTS = json\.loads\((.*)\)\n", re.MULTILINE)
_LITERALS = re.compile(r"^INPUTS = \[\n(.*?)\n\]\n", re.MULTILINE | re.DOTALL)
_COMPUTES = re.compile(
    r"""
def plus_is_allowed\(contract, arguments\):
    .*?

def plus_check\(candidate\):
    names = \{"__name__": "reference"\}
    exec\(REFERENCE, names\)
    for number, arguments in enumerate\(INPUTS\):
        if number >= (?P<n_base>\d+) and not plus_is_allowed\(names\["contract"\], arguments\):
            continue
        expected = names\['(?P<name>\w+)'\]\(\*copy\.deepcopy\(arguments\)\)
        actual = candidate\(\*copy\.deepcopy\(arguments\)\)
""",
    re.DOTALL,
)
# How many characters of answers are worth keeping.
_MOST = 1 << 20
# More than one reference has: computing is done once, and what takes longer is left to each run.
MOST_SECONDS = 20.0
# JSON has no tuple, set, complex number or key that is no text, and `int` reads no number of too
# many digits: these are objects of one member. "null": they stay to be computed.
_SCRIPT = """\
import sys
import time

sys.setrecursionlimit(10_000)
TAGGED = []


def encoded(value):
    kind = type(value)
    if kind is int and value.bit_length() > 8192:
        TAGGED.append(kind)
        return {{"int": hex(value)}}
    if kind in (type(None), bool, int, float, str):
        return value
    if kind is list:
        return [encoded(item) for item in value]
    TAGGED.append(kind)
    if kind in (tuple, set, frozenset):
        return {{kind.__name__: [encoded(item) for item in value]}}
    if kind is dict:
        return {{"dict": [[encoded(key), encoded(item)] for key, item in value.items()]}}
    if kind is complex:
        return {{"complex": [value.real, value.imag]}}
    raise TypeError(f"an answer of {{kind}}")


def answers():
    names = {{"__name__": "reference"}}
    exec(REFERENCE, names)
    found, size, spent = [], 0, 0.0
    for number, arguments in enumerate(INPUTS):
        text = "[]"
        if number < {n_base} or plus_is_allowed(names["contract"], arguments):
            given = copy.deepcopy(arguments)
            started = time.process_time()
            value = names[{name!r}](*given)
            spent += time.process_time() - started
            if size <= {most}:
                try:
                    text = json.dumps([encoded(value)], separators=(",", ":"))
                except (TypeError, RecursionError):
                    size = {most} + 1
        size += len(text)
        found.append(text)
    # What is too long is made sooner than read; how long it takes is worth knowing all the same.
    said = "null" if size > {most} else f"[{{json.dumps(bool(TAGGED))}},[{{','.join(found)}}]]"
    return f"[{{spent:.3f}},{{said}}]"


try:
    __said__ = answers()
except Exception:
    __said__ = "[0.0,null]"
"""
_DECODED = """

def plus_decoded(value):
    if isinstance(value, list):
        return [plus_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, parts),) = value.items()
    parts = plus_decoded(parts)
    if kind == "tuple":
        return tuple(parts)
    if kind == "int":
        return int(parts, 16)
    if kind == "complex":
        return complex(parts[0], parts[1])
    if kind == "dict":
        return {item[0]: item[1] for item in parts}
    return {"set": set, "frozenset": frozenset}[kind](parts)


ANSWERS = plus_decoded(ANSWERS)
"""
_KNOWN = """
def plus_check(candidate):
    for number, {given} in enumerate(INPUTS):
        if not ANSWERS[number]:
            continue
        {arguments}[expected] = {loaded}ANSWERS[number]
        actual = candidate(*{copied})
"""


def executing_text(tests: str) -> str:
    """Of tests of `evalplus_tests` no more than that they run the reference beside a program."""
    found = _REFERENCE.search(tests)
    assert found is not None
    return f"{found[0]}exec(REFERENCE, {{}})\nassert f() == 0\n"


def answering_text(tests: str) -> str:
    """The script that leaves in `__said__` what tests of `evalplus_tests` expect; "" for others."""
    found = _COMPUTES.search(tests)
    if found is None or not _REFERENCE.search(tests):
        return ""
    allowed = found[0].partition("def plus_check")[0]
    return f"{tests[: found.start()]}\n{allowed}{_SCRIPT.format(most=_MOST, **found.groupdict())}"


def _checked(heard: object, n_rows: int) -> tuple[bool, str]:
    """Whether answers are tagged, and their text.

    Raises ValueError, TypeError, LookupError or RecursionError for another number or form.
    """
    if type(heard) is not list or list(map(type, heard)) != [bool, list]:
        raise ValueError("not what a script of answering_text says")
    is_tagged, answers = heard
    if len(answers) != n_rows or any(type(one) is not list or len(one) > 1 for one in answers):
        raise ValueError(f"not one answer or none for each of {n_rows} inputs")
    written = _written(answers)
    names = {"ANSWERS": answers}
    exec(_DECODED, names)  # noqa: S102 (the text above, which reads data)
    if not is_tagged and _written(names["ANSWERS"]) != written:
        raise ValueError("an object where none was announced")
    return is_tagged, written


def _written(answers: object) -> str:
    return json.dumps(answers, separators=(",", ":"), ensure_ascii=False)


def with_answers(tests: str, said: str) -> tuple[str, float]:
    """Such tests with what their script said, and the CPU seconds that the reference took.

    What it said is JSON and so data, whoever wrote it: `[seconds, answers]`; after "null" for the
    answers the tests stay as they are. A copy of arguments that JSON says exactly is read anew
    from their text, in a sixth of the time of `deepcopy`. Raises ValueError for what no script
    says.
    """
    computes, inputs = _COMPUTES.search(tests), _INPUTS.search(tests)
    assert computes is not None
    rows: list[object] = []
    if inputs is not None:
        rows = json.loads(ast.literal_eval(inputs[1]))
    elif (literals := _LITERALS.search(tests)) is not None:
        rows = list(literals[1].split("\n"))  # one a line
    try:
        seconds, heard = json.loads(said)
        if type(seconds) is not float or not 0 <= seconds < MOST_SECONDS:
            raise ValueError("not the seconds of a script")
        if heard is None:
            return tests, seconds
        is_tagged, written = _checked(heard, len(rows))
    except (LookupError, RecursionError, TypeError) as error:
        raise ValueError("not what a script of answering_text says") from error
    known = f"ANSWERS = json.loads({written!r})\n"
    texts = {"given": "arguments", "arguments": "", "loaded": ""}
    texts["copied"] = "copy.deepcopy(arguments)"
    head = _REFERENCE.sub("", tests[: computes.start()])
    if inputs is not None:
        table = json.dumps([json.dumps(row, ensure_ascii=False) for row in rows])
        texts = {"given": "text", "arguments": "arguments, ", "loaded": "json.loads(text), "}
        texts["copied"] = "json.loads(text)"
        head = head.replace(_INPUTS.search(head)[0], f"INPUTS = json.loads({table!r})\n")  # type: ignore[index]
    if is_tagged:
        known += _DECODED
    return f"{head}{known}\n{_KNOWN.format(**texts)}{tests[computes.end() :]}", seconds
