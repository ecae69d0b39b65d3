"""Failure classes of programs that the sandbox really ran."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.failure_classes import CLASSES, failure_of

TESTS = "assert f([1, 2]) == 5\nassert f([]) == 0"
CASES: list[tuple[str, str, str]] = [
    ("import nosuch\ndef f(x): return x", "no_such_module", "nosuch"),
    ("from math import nosuch\ndef f(x): return x", "no_such_attribute", "math.nosuch"),
    ("import math\ndef f(x): return math.nosuch(x)", "no_such_attribute", "math.nosuch"),
    ("def f(x): return x.push(1)", "no_such_attribute", "list.push"),
    ("def f(x): return sorted(x, nosuch=1)", "no_such_keyword", "sort"),
    ("import re\ndef f(x): return re.sub('a', 'b', 'c', nosuch=1)", "no_such_keyword", "sub"),
    ("def f(x): return helper(x)", "no_such_name", "helper"),
    ("def f(x): return math.sqrt(x)", "forgotten_import", "math"),
    ("def f(x: List[int]): return x", "forgotten_import", "List"),
    ("def f(x): return np.sum(x)", "forgotten_import", "np"),
    ("def f(x):\n    return y\n\ndef g():\n    y = 1", "exception", ""),
    ("def f(x): return len(x, x)", "wrong_arity", "len"),
    ("def f(x, y): return 1", "wrong_arity", "f"),
    ("class f: pass", "wrong_arity", "f"),
    ("def h(a): return a\ndef f(x): return h(x, b=1)", "wrong_arity", "h"),
    ("class P: pass\ndef f(x): return P().missing", "exception", ""),
    ("def f(x): return None.a", "exception", ""),
    ("def f(x): return x[10]", "wrong_structure", ""),
    (
        "class P: pass\nclass Q(P):\n    def go(self): return super().go()\n"
        "def f(x): return Q().go()",
        "exception",
        "",
    ),
    (
        "class Q(dict):\n    def go(self): return super().go()\ndef f(x): return Q().go()",
        "no_such_attribute",
        "super.go",
    ),
    ("def f(x): raise ValueError('name \\'q\\' is not defined')", "exception", ""),
    ("def g(x): return 1", "no_entry_point", "f"),
    ("def f(x): return 3", "wrong_answer", ""),
    ("def f(list): return list.push(1)", "no_such_attribute", "push"),
    ("def f(x):\n    dict = {}\n    return dict.has_key(1)", "no_such_attribute", "has_key"),
    (
        "from collections import namedtuple\nP = namedtuple('P', 'a')\ndef f(x): return P(1).b",
        "exception",
        "",
    ),
    ("def f(x):\n    sort = x\n    return sorted(x, cmp=None)", "no_such_keyword", "sort"),
    ("def sort(a): return a\ndef f(x): return sorted(x, cmp=None)", "no_such_keyword", "sort"),
    ("def f(x): return (lambda a: a)(x, b=1)", "wrong_arity", "<lambda>"),
    ("class P:\n    def __init__(self): pass\ndef f(x): return P(b=1)", "wrong_arity", "__init__"),
    ("def f(x): return pow(2)", "wrong_arity", "pow"),
    ("def f(x): return list(enumerate())", "wrong_arity", "enumerate"),
    ("def f(x): return round()", "wrong_arity", "round"),
    ("def f(x): return map()", "wrong_arity", "map"),
    ("import datetime\ndef f(x): return datetime.datetime()", "wrong_arity", "function"),
    ("def f(x) return", "no_program", ""),
    ("", "no_program", ""),
    ("def f(x):\n    while True: pass", "hang", ""),
]


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(2) as made:
        yield made


@pytest.mark.parametrize(("code", "kind", "name"), CASES)
def test_a_failing_program_is_of_its_class(
    pool: SandboxPool, code: str, kind: str, name: str
) -> None:
    execution = pool.run(code, TESTS, Limits(cpu_s=1.0), entry_point="f")
    found = failure_of(execution, code)
    assert found is not None
    assert found.kind == kind, execution.error
    if found.name or name:
        assert found.name.rpartition(".")[2] == name.rpartition(".")[2]
    assert kind in CLASSES


def test_a_pass_and_a_run_that_says_nothing_are_no_failure() -> None:
    assert failure_of(Execution("passed", 2, 2), "x") is None
    assert failure_of(Execution("unsupported"), "x") is None
    assert failure_of(Execution("timeout", error="the wall time ran out"), "x") is None
