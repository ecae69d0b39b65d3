"""A tests' process serves many programs only while nothing of one could reach the next."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from codefavor.errors import SandboxError
from codefavor.sandbox import Limits, SandboxPool

SQUARE = "assert f(2) == 4\nassert f(3) == 9"
RIGHT = "def f(x):\n    return x * x\n"
_SEND = (
    "import os, json\n"
    "def send(frame):\n"
    "    data = json.dumps(frame).encode()\n"
    "    os.write(3, len(data).to_bytes(4, 'big') + data)\n"
)


@pytest.fixture(scope="module", params=("L3", "L2"))
def one(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """A pool of one worker, so that every job meets the same processes."""
    try:
        level = request.param
        pool = SandboxPool(1, required_level=level, highest_level=level, dedupe=False)
    except SandboxError:
        pytest.skip(f"this system refuses level {request.param}")
    with pool:
        yield pool


def _resident(pool: SandboxPool) -> list[int]:
    """Ids of the tests' processes that wait under the pool's zygote."""
    (worker,) = pool._workers
    parent = worker.pid
    if pool.level == "L3":
        ((parent, _),) = _below(parent)
    return [pid for pid, name in _below(parent) if name == "tests"]


def _below(pid: int) -> list[tuple[int, str]]:
    done = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid=,comm="], capture_output=True, text=True, check=False
    )
    return [(int(line.split()[0]), line.split()[1]) for line in done.stdout.splitlines()]


def _run(pool: SandboxPool, code: str, tests: str = SQUARE, **limits: int) -> str:
    return pool.run(code, tests, Limits(cpu_s=5, wall_s=30, **limits)).outcome


def test_plain_tests_share_one_process(one: SandboxPool) -> None:
    assert _run(one, RIGHT) == "passed"
    first = _resident(one)
    assert len(first) == 1
    for n in range(5):
        assert _run(one, f"{RIGHT}# {n}") == "passed"
        assert _run(one, f"def f(x):\n    return x + {n + 5}") == "wrong_output"
        assert _run(one, f"def f(x):\n    return {n} / 0") == "runtime_error"
        assert _run(one, f"def f(x) {n}") == "syntax_error"
    assert _resident(one) == first


@pytest.mark.parametrize(
    "tests",
    ["import json\nassert f(2) == json.loads('4')", "g = lambda x: x\nassert f(g(2)) == 4",
     "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n"
     "        self.assertEqual(f(2), 4)",
     "R = 'x = 4'\nns = {}\nexec(R, ns)\nassert f(2) == ns['x']"],
    ids=("import", "lambda", "class", "exec"),
)  # fmt: skip
def test_other_tests_never_run_in_the_shared_process(one: SandboxPool, tests: str) -> None:
    assert _run(one, RIGHT) == "passed"
    first = _resident(one)
    assert _run(one, RIGHT + "# again", tests) == "passed"
    assert _resident(one) == first


# Each of these shows the tests' process more than plain values; then it must not serve again.
TRACES = {
    "an object": "class A:\n    pass\ndef f(x):\n    return A()\n",
    "a class": "class A:\n    pass\ndef f(x):\n    return A\n",
    "a subclass of int": "class I(int):\n    pass\ndef f(x):\n    return I(x * x)\n",
    "its own exception": "class E(Exception):\n    pass\ndef f(x):\n    raise E\n",
    "a library's class": "import collections\ndef f(x):\n    return collections.OrderedDict\n",
    "the class of classes": "def f(x):\n    return type\n",
    "a module": "import math\ndef f(x):\n    return math\n",
    "a module not loaded yet": "import wave\ndef f(x):\n    raise wave.Error\n",
    "a value of a module not loaded yet": "import fractions as q\ndef f(x):\n"
    "    return q.Fraction(x)\n",
    "a question": f"{_SEND}def f(x):\n    send(['q', 'call', [1, [], [], []], [], [], False])\n"
    "    return 4\n",
    "a broken frame": f"{_SEND}def f(x):\n    send(['a'])\n    return 4\n",
    "a class that says it is a function": f"{_SEND}def f(x):\n"
    "    c = [7, 'function', 'builtins', [['r', 'builtins', 'int']], ['__eq__'], '']\n"
    "    send(['a', True, ['v', 9, 7, 0], [], [c], [], ''])\n    os._exit(0)\n",
    "its death": "import os\ndef f(x):\n    os._exit(0)\n",
    "a lot of memory": "def f(x):\n    return 'x' * (60 << 20)\n",
    "an endless loop": "def f(x):\n    while True:\n        pass\n",
}  # fmt: skip


@pytest.mark.parametrize("code", TRACES.values(), ids=TRACES.keys())
def test_a_process_that_saw_more_than_values_does_not_serve_again(
    one: SandboxPool, code: str
) -> None:
    assert _run(one, RIGHT) == "passed"
    (first,) = _resident(one)
    outcome = one.run(code, SQUARE, Limits(cpu_s=1, wall_s=20)).outcome
    assert outcome not in ("infra_error", "passed")
    assert first not in _resident(one)
    assert _run(one, RIGHT + "# after") == "passed"
    assert _run(one, "def f(x):\n    return 4\n") == "wrong_output"


LEFT_BEHIND = {
    "answers in advance": f"{_SEND}def f(x):\n"
    "    for _ in range(200):\n        send(['a', True, 4, [], [], [], ''])\n    return 4\n",
    "half a frame at the end": "import os\nn = 0\ndef f(x):\n    global n\n    n += 1\n"
    "    if n == 2:\n        os.write(3, b'\\x00\\x00\\x01\\x00half')\n    return x\n",
    "a copy of the channel": "import os\nos.dup2(3, 200)\ndef f(x):\n    return 0\n",
    "shared containers": "kept = []\ndef f(x):\n    kept.append(x)\n    return kept\n",
    "a generator under way": "def f(x):\n    def g():\n        try:\n            yield x\n"
    "        finally:\n            print('closed')\n    return g()\n",
    "a timer": "import signal, os\n"
    "signal.signal(signal.SIGALRM, lambda *a: os.write(3, b'x' * 64))\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\ndef f(x):\n    return 0\n",
    "the recursion limit": "import sys\nsys.setrecursionlimit(50)\ndef f(x):\n    return 0\n",
}  # fmt: skip


@pytest.mark.parametrize("code", LEFT_BEHIND.values(), ids=LEFT_BEHIND.keys())
def test_what_a_program_leaves_in_the_channel_meets_nobody(one: SandboxPool, code: str) -> None:
    tests = "for x in [2, 3]:\n    for item in [f(x)]:\n        assert item == x * x"
    # For the half of a frame everybody waits as long as they may.
    limits = Limits(wall_s=6)
    for _ in range(2):
        assert one.run(code, tests, limits).outcome != "passed"
        assert one.run(RIGHT, tests, limits).outcome == "passed"
        assert one.run("def f(x):\n    return 4\n", tests, limits).outcome == "wrong_output"


def test_names_of_one_run_are_unknown_in_the_next(one: SandboxPool) -> None:
    assert _run(one, RIGHT, "answer = 4\nassert f(2) == answer") == "passed"
    # `answer` is now neither a name of the tests nor of the program.
    tests = "from solution import answer, f\nassert f(2) == answer"
    assert _run(one, RIGHT, tests) == "runtime_error"
    assert _run(one, RIGHT + "answer = 5", tests) == "wrong_output"


def test_equal_tests_judge_every_program_anew(one: SandboxPool) -> None:
    outcomes = [_run(one, f"def f(x):\n    return x * x + {n % 2}\n# {n}") for n in range(8)]
    assert outcomes == ["passed", "wrong_output"] * 4


def test_other_limits_get_another_process(one: SandboxPool) -> None:
    assert _run(one, RIGHT) == "passed"
    first = _resident(one)
    assert _run(one, RIGHT, memory_bytes=64 << 20) == "passed"
    assert _resident(one) != first and len(_resident(one)) == 1


def test_a_killed_process_is_no_verdict_about_a_program(one: SandboxPool) -> None:
    assert _run(one, RIGHT) == "passed"
    (first,) = _resident(one)
    os.kill(first, signal.SIGKILL)
    assert _run(one, RIGHT + "# after") == "passed"


def test_a_process_killed_in_the_middle_is_no_verdict_about_a_program(one: SandboxPool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    assert _run(one, RIGHT) == "passed"
    (first,) = _resident(one)
    slow = "import time\ndef f(x):\n    time.sleep(1)\n    return x * x\n"
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(_run, one, slow)
        time.sleep(0.5)  # the program sleeps for two seconds
        os.kill(first, signal.SIGKILL)
        assert result.result() == "passed"


def test_the_tests_cpu_time_counts_for_each_job(one: SandboxPool) -> None:
    spin = "n = 0\nwhile n < 10_000_000:\n    n = n + 1\nassert f(2) == 4"
    limits = Limits(cpu_s=20, wall_s=100)
    assert [one.run(RIGHT + f"# {n}", spin, limits).outcome for n in range(2)] == ["passed"] * 2
    short = Limits(cpu_s=0.2, wall_s=60)
    result = one.run(RIGHT, spin, short)
    assert result.outcome == "unsupported"
    assert _run(one, RIGHT) == "passed"
