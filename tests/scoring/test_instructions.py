"""Instruction counts: the same every time, growing with the work, none for what does not pass."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from codefavor.errors import SandboxError
from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.instructions import are_statements, count_instructions

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
    assert (await count_instructions(pool, lying, of_length(10))).n == honest.n


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
