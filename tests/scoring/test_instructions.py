"""Instruction counts: the same every time, growing with the work, none for what does not pass."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from codefavor.errors import SandboxError
from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.call_time import call_nanoseconds
from codefavor.scoring.instructions import (
    are_statements,
    count_instructions,
    peak_bytes,
)

LINEAR = "def f(xs):\n    seen = set(xs)\n    return len(seen)\n"
QUADRATIC = (
    "def f(xs):\n    found = []\n    for x in xs:\n        is_new = True\n        for y in found:\n"
    "            if x == y:\n                is_new = False\n        if is_new:\n"
    "            found.append(x)\n    return len(found)\n"
)


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(1, dedupe=False) as pool:
        yield pool


def of_length(n: int) -> str:
    return f"assert f(list(range({n}))) == {n}\n"


async def test_counts_are_the_same_every_time_and_grow_with_the_work(pool: SandboxPool) -> None:
    counts = [(await count_instructions(pool, QUADRATIC, of_length(n))).n for n in (20, 20, 40)]
    assert counts[0] is not None
    assert counts[0] == counts[1]
    # Twice the items are about four times the comparisons.
    assert 3 < counts[2] / counts[0] < 4.5  # type: ignore[operator]
    linear = await count_instructions(pool, LINEAR, of_length(40))
    assert linear.n is not None
    assert linear.n * 10 < counts[2]  # type: ignore[operator]


@pytest.mark.parametrize(
    "code",
    [
        "from __future__ import annotations\n" + LINEAR,
        "def f(xs):\n    return sum(1 for _ in dict.fromkeys(xs))\n",
        "import functools\n\n@functools.lru_cache\ndef g(n):\n    return n\n\n"
        "def f(xs):\n    return len([g(x) for x in xs])\n",
        "class C:\n    def __len__(self):\n        return self.n\n\n"
        "def f(xs):\n    c = C()\n    c.n = len(xs)\n    return len(c)\n",
    ],
    ids=["future import", "generator", "decorator", "class"],
)  # fmt: skip
async def test_programs_of_every_kind_are_counted(pool: SandboxPool, code: str) -> None:
    counted = await count_instructions(pool, code, of_length(5))
    assert counted.n is not None, counted.reason
    assert counted.n > 3


async def test_the_most_bytes_held_at_a_time_are_those_of_the_outermost_call(
    pool: SandboxPool,
) -> None:
    code = (
        "def f(n):\n    if n:\n        kept = bytearray(100_000)\n"
        "        return f(n - 1) + len(kept) // 100_000\n    return 0\n"
    )  # fmt: skip
    found = await peak_bytes(pool, code, "assert f(5) == 5\nassert f(2) == 2\n", "f")
    assert found.n is not None
    assert 500_000 < found.n < 520_000
    # What comes in is not the program's.
    large = f"assert f({list(range(9000))}) == 9000\n"
    found = await peak_bytes(pool, "def f(xs):\n    return len(xs)\n", large, "f")
    assert found.n is not None
    assert found.n < 5_000


TABLE = "T = []\nfor i in range(2000):\n    T.append(i)\n\ndef f(n):\n    return T[n]\n"


async def test_what_a_program_does_while_it_loads_counts(pool: SandboxPool) -> None:
    tests = "assert f(5) == 5\n"
    plain = "def f(n):\n    return n\n"
    counted = await count_instructions(pool, TABLE, tests)
    assert counted.n is not None, counted.reason
    assert counted.n > 10_000
    held = await peak_bytes(pool, TABLE, tests, "f")
    assert held.n is not None, held.reason
    assert held.n > 8 * 2000
    slow = f"for _ in range(3_000_000):\n    pass\n{plain}"
    time = await call_nanoseconds(pool, slow, "(5)", "f")
    least = await call_nanoseconds(pool, plain, "(5)", "f")
    assert time.n is not None
    assert least.n is not None
    assert time.n > 10_000_000 + least.n
    # The peak of loading, though nothing of it stays.
    passing = await peak_bytes(pool, f"len(bytearray(500_000))\n{plain}", tests, "f")
    assert passing.n is not None
    assert passing.n > 500_000


@pytest.mark.parametrize("imports", ["import decimal, numpy", "from json import loads"])
async def test_what_importing_modules_costs_is_not_the_programs(
    pool: SandboxPool, imports: str
) -> None:
    code = f"{imports}\n\ndef f(n):\n    {imports}\n    return n\n"
    tests = "assert f(5) == 5\n"
    counted = await count_instructions(pool, code, tests)
    assert counted.n is not None, counted.reason
    assert counted.n < 50
    held = await peak_bytes(pool, code, tests, "f")
    assert held.n is not None, held.reason
    assert held.n < 5_000


async def test_memory_that_differs_from_run_to_run_is_not_stated(pool: SandboxPool) -> None:
    code = "import random\n\ndef f(n):\n    return len(bytearray(random.randrange(10**6))) >= 0\n"
    found = await peak_bytes(pool, code, "assert f(1) is True\n", "f")
    assert (found.n, found.reason[:8]) == (None, "unstable")


async def test_time_is_taken_anew_by_a_pool_that_remembers() -> None:
    with SandboxPool(1) as pool:
        call = "(list(range(9)))", "f"
        found = {(await call_nanoseconds(pool, LINEAR, *call, number=n)).n for n in range(9)}
    assert len(found) > 1


async def test_what_fails_or_never_ends_has_no_count(pool: SandboxPool) -> None:
    wrong = await count_instructions(pool, "def f(xs):\n    return -1\n", of_length(3))
    assert wrong.n is None
    assert wrong.reason.startswith("wrong_output")
    limits = Limits(cpu_s=0.5, wall_s=5)
    endless = await count_instructions(
        pool, "def f(xs):\n    while True:\n        pass\n", of_length(3), limits
    )
    assert endless.n is None


async def test_a_failed_comparison_with_zero_is_no_count(pool: SandboxPool) -> None:
    counted = await count_instructions(pool, LINEAR, "assert f([1, 2]) < 0\n")
    assert counted.n is None
    assert "2 < 0 does not hold" in counted.reason


async def test_tests_that_run_later_are_said_to_have_no_count(pool: SandboxPool) -> None:
    counted = await count_instructions(pool, LINEAR, "def test_f():\n    assert f([]) == 0\n")
    assert counted == (None, "the tests are functions or classes")


async def test_a_sandbox_that_fails_is_no_count() -> None:
    async def fail(*_: object, **__: object) -> Execution:
        return Execution("infra_error", error="the worker is gone")

    broken = SimpleNamespace(run_async=fail)
    with pytest.raises(SandboxError, match="the worker is gone"):
        await count_instructions(broken, LINEAR, of_length(1))  # type: ignore[arg-type]


async def test_a_program_cannot_name_the_counter(pool: SandboxPool) -> None:
    lying = f"def __getattr__(name):\n    return lambda: 0\n\n\n{QUADRATIC}"
    honest = await count_instructions(pool, QUADRATIC, of_length(10))
    counted = await count_instructions(pool, lying, of_length(10))
    assert counted.n is not None
    assert honest.n is not None
    assert 0 < counted.n - honest.n < 10  # its own `def` more


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("assert f([]) == 0\n", True),
        ("def check(f):\n    assert f([]) == 0\n\n\ncheck(f)\n", True),
        ("def test_f():\n    assert f([]) == 0\n", False),
        ("class TestF:\n    def test_f(self):\n        assert f([]) == 0\n", False),
        ("assert f(", False),
    ],
)
async def test_only_tests_that_have_run_when_the_count_is_read(
    pool: SandboxPool, tests: str, expected: bool
) -> None:
    assert are_statements(tests) is expected
    assert ((await count_instructions(pool, LINEAR, tests)).n is not None) is expected
