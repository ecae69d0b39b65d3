"""Which tests may share a process: the list is short, and everything beside it is refused."""

from __future__ import annotations

import ast

import pytest

from codefavor.sandbox.plain import leaves_nothing, may_leave_nothing

HARMLESS = [
    "assert f(1) == 2",
    "assert f([1, 2], key='a')[0] in {1: 2} and not f(None)",
    "METADATA = {'author': 'x'}\n\ndef check(candidate):\n    assert candidate(1) == [2, 3][:1]\n",
    "for i in range(10):\n    x = i + 1\n    assert abs(f(x) - x) < 1e-6, f'{x}'",
    "assert sorted(f(x) for x in [3, 1]) == list(map(int, '13'))",
    "xs = [1]\nxs.append(2)\nf(xs)\nassert xs == [2, 1]\nassert ','.join(f(1)) == 'a'",
    "if f(1):\n    assert True\nwhile False:\n    break",
]
HARMFUL = {
    "import": "import math\nassert f(1) == math.pi",
    "import from": "from os import environ\nassert f(1)",
    "class": "class A:\n    pass\nassert f(A())",
    "decorator": "@f\ndef g():\n    pass\nassert g",
    "a test of its own": "def test_f():\n    assert f(1)",
    "lambda": "assert f(lambda x: x)",
    "try": "try:\n    f(1)\nexcept ValueError:\n    pass\nassert f(2)",
    "with": "with f(1):\n    assert f(2)",
    "attribute": "f.state = 1\nassert f(1)",
    "attribute of a builtin": "str.x = 1\nassert f(1)",
    "dunder name": "assert __builtins__",
    "dunder attribute": "assert f.__globals__",
    "dunder in a keyword": "assert f(__import__=1)",
    "dunder argument": "def check(__x__):\n    assert 1",
    "frame of a generator": "assert (x for x in [1]).gi_frame",
    "format reads attributes": "assert '{0.__class__}'.format(f(1))",
    "format_map": "assert '{a.__class__}'.format_map({'a': 1})",
    "getattr": "assert getattr(f, 'x')",
    "exec": "exec('import os')\nassert f(1)",
    "eval": "assert eval('1')",
    "open": "assert open('x')",
    "type": "T = type('T', (), {})\nassert f(T)",
    "globals": "globals()['x'] = 1\nassert f(1)",
    "vars": "assert vars()",
    "setattr": "setattr(f, 'a', 1)",
    "super": "assert super",
    "object": "assert object",
    "memoryview": "assert memoryview(b'')",
    "id": "assert id(1)",
    "input": "assert input()",
    "exception class": "assert f(ValueError)",
    "yield": "def g():\n    yield 1\nassert f(1)",
    "async": "async def g():\n    pass\nassert f(1)",
    "global": "def g():\n    global x\nassert f(1)",
    "del": "del f",
    "raise": "raise f",
    "walrus": "assert (x := f(1))",
    "match": "match f(1):\n    case 1:\n        pass",
}


@pytest.mark.parametrize("tests", HARMLESS, ids=lambda value: value[:30])
def test_plain_tests_may_share_a_process(tests: str) -> None:
    assert leaves_nothing(ast.parse(tests))
    assert may_leave_nothing(tests)


@pytest.mark.parametrize("tests", HARMFUL.values(), ids=HARMFUL.keys())
def test_everything_else_gets_a_process_of_its_own(tests: str) -> None:
    assert not leaves_nothing(ast.parse(tests))


def test_long_tests_are_not_even_looked_at() -> None:
    assert not may_leave_nothing("assert f(1)\n" * 10_000)
