"""What the pool promises beside verdicts: bad input, limits, partial credit, recovery, levels."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from codefavor.errors import ConfigError, SandboxError
from codefavor.sandbox import OUTCOMES, Limits, SandboxPool
from codefavor.sandbox.outcome import Job
from codefavor.sandbox.pool import choose_flavour
from codefavor.sandbox.selftest import prove
from codefavor.sandbox.worker import Worker

PROGRAM = "def f(x):\n    return x * x\n"


@pytest.mark.parametrize(
    ("code", "tests", "outcome", "words"),
    [
        ("", "assert f(1) == 1", "no_code", "empty"),
        ("  \n", "assert f(1) == 1", "no_code", "empty"),
        (b"def f(): 1", "assert f(1) == 1", "no_code", "bytes"),
        ("def f(x) return", "assert f(1) == 1", "syntax_error", "SyntaxError"),
        ("x = '\0'", "assert f(1) == 1", "syntax_error", "null"),
        ("import nothing_of_that_name", "assert f(1) == 1", "import_error", "nothing_of"),
        (PROGRAM, "assert f(1) ==", "test_error", "do not parse"),
        ("x = '\ud800'", "assert f(1) == 1", "syntax_error", "surrogates"),
        (PROGRAM, "assert f(1) == '\ud800'", "test_error", "do not parse"),
        (PROGRAM, 5, "test_error", "int, not text"),
        (PROGRAM, "import sys\nassert f(2) == 4\nsys.exit(0)", "unsupported", "sys.exit"),
        (PROGRAM, "import os\nos._exit(0)", "unsupported", "import os"),
        (PROGRAM, "", "test_error", "empty"),
        (PROGRAM, "x = f(1)", "test_error", "no check"),
        (PROGRAM, "assert True", "unsupported", "nothing of the program"),
        (PROGRAM, "try:\n    f(1)\nexcept Exception:\n    pass\nassert 1", "test_error", "vacuous"),
        (PROGRAM, "assert g(1) == 1", "runtime_error", "NameError"),
        (
            PROGRAM,
            "def check(candidate):\n    assert candidate(1) == 1",
            "unsupported",
            "nothing of",
        ),
        ("def f(x):\n    return [].push(x)", "assert f(1)", "runtime_error", "no attribute"),
        ("def f(x):\n    return 1 / 0", "assert f(1)", "runtime_error", "line 2"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_input_has_a_clear_outcome(
    pool: SandboxPool, code: str, tests: str, outcome: str, words: str
) -> None:
    result = pool.run(code, tests)
    assert result.outcome == outcome, result.error
    assert outcome in OUTCOMES
    assert words in result.error


def test_a_byte_order_mark_is_read_as_python_reads_it(pool: SandboxPool) -> None:
    assert pool.run("\ufeff" + PROGRAM, "\ufeffassert f(3) == 9\r\n").outcome == "passed"


def test_ten_megabytes_of_code_end(pool: SandboxPool) -> None:
    code = PROGRAM + "x = 1\n" * 1_700_000
    result = pool.run(code, "assert f(3) == 10", Limits(cpu_s=10, wall_s=60))
    assert result.outcome in ("wrong_output", "memory", "timeout")


@pytest.mark.parametrize(
    "wrong",
    [{"cpu_s": 0}, {"cpu_s": -1}, {"wall_s": float("nan")}, {"memory_bytes": 1}, {"cpu_s": "5"},
     {"wall_s": float("inf")}, {"output_bytes": 1.5}],
    ids=str,
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]


def test_partial_credit_and_the_values_of_the_first_failure(pool: SandboxPool) -> None:
    tests = "assert f(2) == 4\nassert f(3) == 8\nassert f(4) == 16\nassert f(5) == 0"
    result = pool.run(PROGRAM, tests)
    assert result.outcome == "wrong_output"
    assert (result.passed, result.total) == (2, 4)
    assert result.asserts == (True, False, True, False)
    assert result.failed_assert == "assert f(3) == 8"
    assert "9 == 8" in result.error


@pytest.mark.parametrize(
    "tests",
    [
        "assert f(1) == 2\nassert f(2) == 3",
        "def check(candidate):\n    for n in range(1, 3):\n        assert candidate(n) == n + 1",
        "def test_one():\n    assert f(1) == 2\ndef test_two():\n    assert f(2) == 3",
        "import unittest\nclass TestF(unittest.TestCase):\n    def test_f(self):\n"
        "        self.assertEqual(f(1), 2)\n        self.assertEqual(f(2), 3)",
    ],
    ids=["asserts", "check", "functions", "unittest"],
)
def test_a_run_may_end_at_its_first_failed_check(pool: SandboxPool, tests: str) -> None:
    dies = "import os\ndef f(x):\n    return 0 if x < 2 else os._exit(0)\n"
    whole = pool.run(dies, tests, entry_point="f")
    assert (whole.outcome, whole.total) == ("runtime_error", 2)
    # The second input is never asked, and what share held is not known.
    first = pool.run(dies, tests, Limits(fail_fast=True), entry_point="f")
    assert (first.outcome, first.passed, first.total) == ("wrong_output", 0, 0)
    right = pool.run(
        "def f(x):\n    return x + 1\n", tests, Limits(fail_fast=True), entry_point="f"
    )
    assert (right.is_evidence_of_pass, right.passed, right.total) == (True, 2, 2)


def test_cases_may_end_at_the_first_that_fails(pool: SandboxPool) -> None:
    tests = json.dumps({"cases": [{"input": n, "output": n} for n in ("1", "2", "3")]})
    echo = "n = input()\nassert n != '3'\nprint(n if n != '2' else 'x')\n"
    whole = pool.run(echo, tests)
    first = pool.run(echo, tests, Limits(fail_fast=True))
    assert (whole.passed, whole.total, len(whole.cases)) == (1, 3, 2)
    assert (first.outcome, first.total, len(first.cases)) == ("wrong_output", 0, 2)


@pytest.mark.parametrize(
    ("tests", "is_vacuous"),
    [("assert True", True), ("x = 1\nassert x", True), ("import math\nassert math.pi > 3", True),
     ("assert (lambda: f(2))", True), ("def check(x):\n    assert x\ncheck(1)", True),
     ("def check(candidate):\n    assert candidate(2) == 4\ncheck(f)", False),
     ("assert f(2) == 4", False), ("assert 4 in [f(2)] and True", False),
     ("y = f(2)\nassert y == 4", False),
     ("def check(f):\n    y = f(2)\n    assert y == 4\ncheck(f)", False),
     ("try:\n    f(2)\nexcept NameError:\n    pass\nassert 1", True)],
    ids=str,
)  # fmt: skip
def test_tests_that_an_empty_program_passes_are_at_fault(tests: str, is_vacuous: bool) -> None:
    with SandboxPool(1) as pool:
        result = pool.run(PROGRAM, tests, entry_point="f")
        (worker,) = pool._workers
        runs = worker.n_runs
    assert (result.outcome, "vacuous" in result.error) == (
        ("test_error", True) if is_vacuous else ("passed", False)
    )
    # The proof of the level (2), the run, and one on an empty program only where it is needed.
    assert runs == (4 if is_vacuous else 3)


def test_what_the_setup_defines_is_not_the_programs() -> None:
    with SandboxPool(1) as pool:
        tests = "y = f(2)\nassert y == 4"
        result = pool.run("pass", tests, entry_point="f", setup="def f(x):\n    return 2 * x")
    assert (result.outcome, "vacuous" in result.error) == ("test_error", True)


@pytest.fixture(params=["L3", "L2"])
def level_pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """A pool of one zygote, which sees every run."""
    with SandboxPool(1, highest_level=request.param, dedupe=False) as pool:
        yield pool


FIXTURE = "def test_f(tmp_path):\n    assert f(3) == 9\n"


def test_the_together_lane_only_on_request(pools: dict[str, SandboxPool]) -> None:
    refused = pools["L2"].run(PROGRAM, FIXTURE)
    assert refused.outcome == "unsupported"
    assert "fixture tmp_path" in refused.error
    with SandboxPool(1, accept="together") as pool:
        right = pool.run(PROGRAM, FIXTURE)
        wrong = pool.run("def f(x):\n    return x\n", FIXTURE)
    assert (right.outcome, right.trust, right.accepted) == ("passed", "together", "together")
    assert right.is_evidence_of_pass
    assert wrong.outcome == "wrong_output"
    assert not replace(right, accepted="").is_evidence_of_pass


_STARTS_OTHERS = {
    "a pool": "with multiprocessing.Pool(2) as pool:\n        assert pool.map(f, [3]) == [9]",
    "a process": "multiprocessing.Process(target=f, args=(3,)).start()",
    "a queue": "multiprocessing.Queue()",
    "a command": "subprocess.run(['true'], check=True)",
    "a socket": "socket.create_server(('127.0.0.1', 0))",
}


@pytest.mark.parametrize("kind", ["pytest", "unittest"])
@pytest.mark.parametrize("name", _STARTS_OTHERS)
def test_processes_and_sockets_of_the_tests_are_not_the_programs_fault(
    both_lanes: SandboxPool, name: str, kind: str
) -> None:
    head = "import multiprocessing, socket, subprocess, unittest\n"
    text = f"def test_f(tmp_path):\n    {_STARTS_OTHERS[name]}\n"
    if kind == "unittest":
        text = text.replace("\n", "\n    ").replace("tmp_path", "self")
        text = f"class T(unittest.TestCase):\n    {text}\n"
    result = both_lanes.run(PROGRAM, head + text)
    assert (result.outcome, result.trust) == ("unsupported", "together"), result.error
    assert "start processes or open sockets" in result.error


def test_processes_of_the_program_are_a_violation_in_either_lane(both_lanes: SandboxPool) -> None:
    code = "import subprocess\ndef f(x):\n    subprocess.run(['true'])\n    return x * x\n"
    outcomes = [both_lanes.run(code, tests).outcome for tests in ("assert f(3) == 9", FIXTURE)]
    assert outcomes == ["sandbox_violation"] * 2


def test_a_sleeping_program_delays_nobody_else() -> None:
    # One worker: if the sleeper kept its place, the quick ones would have to wait for it.
    asleep = "import time\ndef f(x):\n    time.sleep(60)\n"
    with SandboxPool(1, dedupe=False) as pool, ThreadPoolExecutor(2) as threads:
        sleeper = threads.submit(pool.run, asleep, "assert f(1) == 1", Limits(wall_s=15.0))
        quick = [pool.run(PROGRAM, f"assert f({n}) == {n * n}") for n in range(5)]
        assert not sleeper.done()
        assert [result.outcome for result in quick] == ["passed"] * 5
        assert sleeper.result().outcome == "timeout"


CASES = """{"cases": [{"input": "3 4\\n", "output": "7\\n"}, {"input": "1 1\\n", "output": "2\\n"},
{"input": "5 5\\n", "output": "10\\n"}], "compare": "COMPARE"}"""


@pytest.mark.parametrize(
    ("code", "compare", "passed", "outcome"),
    [
        ("a, b = map(int, input().split())\nprint(a + b)", "tokens", 3, "passed"),
        ("import sys\nprint(sum(map(int, sys.stdin.read().split())), end='')", "exact", 0,
         "wrong_output"),
        ("import sys\nsys.stdout.write(str(sum(map(int, open(0).read().split()))) + ' \\n\\n')",
         "lines", 3, "passed"),
        ("a, b = map(int, input().split())\nprint(a + b + 1e-9)", "float:1e-6", 3, "passed"),
        ("a, b = map(int, input().split())\nprint(7)", "tokens", 1, "wrong_output"),
        ("import os\na, b = map(int, input().split())\nprint(a + b, flush=True)\nos._exit(0)",
         "tokens", 0, "unsupported"),
        ("a, b = map(int, input().split())\nprint(a + b)\nimport sys; sys.exit(0)", "tokens", 3,
         "passed"),
        ("while True: pass", "tokens", 0, "timeout"),
    ],
    ids=["input()", "no newline, exact", "open(0), lines", "float", "one right", "os._exit",
         "sys.exit", "endless"],
)  # fmt: skip
def test_every_case_of_standard_input_is_counted(
    pool: SandboxPool, code: str, compare: str, passed: int, outcome: str
) -> None:
    result = pool.run(code, CASES.replace("COMPARE", compare), Limits(cpu_s=1.0))
    assert (result.outcome, result.passed, result.total) == (outcome, passed, 3), result.error


def test_each_case_has_its_time_and_the_memory_held_by_then(pool: SandboxPool) -> None:
    code = "n = int(input())\nkept = bytearray(n << 20)\nfor i in range(n * 100_000):\n    pass\n"
    cases = [{"input": str(n), "output": ""} for n in (0, 60, 0)]
    result = pool.run(code, json.dumps({"cases": cases}))
    (first_s, first), (second_s, second), (third_s, third) = result.cases
    assert first_s < 0.05 < second_s
    assert third_s < second_s / 2
    assert 50 << 20 < second - first < 70 << 20
    assert third == second
    # A case that is not answered has no figures.
    assert pool.run("1 / 0", json.dumps({"cases": cases})).cases == ()


def test_many_threads_and_async_get_their_own_results(pool: SandboxPool) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(
            threads.map(
                lambda n: pool.run(f"def f(x):\n    return {n}", "assert f(0) % 2 == 0"), range(16)
            )
        )
    assert [result.is_evidence_of_pass for result in results] == [n % 2 == 0 for n in range(16)]

    async def gather() -> list[bool]:
        runs = [pool.run_async(PROGRAM, f"assert f(3) == {n}") for n in range(8, 11)]
        return [result.is_evidence_of_pass for result in await asyncio.gather(*runs)]

    assert asyncio.run(gather()) == [False, True, False]


def test_a_killed_zygote_is_replaced() -> None:
    with SandboxPool(1, dedupe=False) as pool:
        assert pool.run(PROGRAM, "assert f(2) == 4").is_evidence_of_pass
        (worker,) = pool._workers
        os.kill(worker.pid, signal.SIGKILL)
        worker._process.wait()
        assert pool.run(PROGRAM, "assert f(2) == 4").is_evidence_of_pass
        assert worker not in pool._workers


def test_a_zygote_that_does_not_come_up_at_once_costs_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = []

    def refuses_once(*words: object, **more: object) -> object:
        starts.append(words)
        if len(starts) == 1:
            raise SandboxError("level L3: the self-test failed")
        return prove(*words, **more)  # type: ignore[arg-type]

    with SandboxPool(1, dedupe=False) as pool:
        monkeypatch.setattr("codefavor.sandbox.pool.prove", refuses_once)
        numpy = "import numpy as np\ndef f(x):\n    return int(np.square(x))\n"
        assert pool.run(numpy, "assert f(2) == 4").is_evidence_of_pass
    assert len(starts) == 2


def test_a_zygote_is_replaced_after_its_last_run() -> None:
    with SandboxPool(1, dedupe=False, runs_per_worker=4) as pool:
        (worker,) = pool._workers
        for _ in range(3):
            assert pool.run(PROGRAM, "assert f(2) == 4").is_evidence_of_pass
        assert (len(pool._workers), worker in pool._workers) == (1, False)


def test_nothing_is_left_when_a_pool_closes() -> None:
    pool = SandboxPool(2)
    pool.run(PROGRAM, "assert f(2) == 4")
    pids = [worker.pid for worker in pool._workers]
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(SandboxError, match="closed"):
        pool.run(PROGRAM, "assert f(2) == 4")


_LITTERS = {
    "a sweeper's names": "os.makedirs('\\x01%d/a/b' % i), os.makedirs('\\x01%d/c/d' % i)",
    "files of such names": "open('\\x01%d' % i, 'w').close(), os.makedirs('d%d/a/b' % i)",
    "closed directories": "os.makedirs('%d/a' % i), os.chmod('%d/a' % i, 0), os.chmod('%d' % i, 0)",
    "a deep one": "[(os.mkdir('d'), os.chdir('d')) for _ in range(4)]",
    "links out": "os.symlink('/', str(i)), os.symlink('..', '-%d' % i)",
    "names that are no text": "os.makedirs(b'\\xff%d/\\x80' % i)",
}


@pytest.mark.parametrize("name", _LITTERS)
def test_whatever_a_program_leaves_is_gone_for_the_next(level_pool: SandboxPool, name: str) -> None:
    litter = f"import os\nfor i in range(20):\n    {_LITTERS[name]}\n{PROGRAM}"
    look = "import os\ndef f(x):\n    return os.listdir(os.environ['HOME'])\n"
    (worker,) = level_pool._workers
    assert level_pool.run(litter, "assert f(3) == 9").outcome == "passed"
    assert level_pool.run(look, "assert f(3) == []").outcome == "passed"
    assert level_pool._workers == {worker}


def test_equal_jobs_run_once() -> None:
    with SandboxPool(1) as pool:
        pool.run(PROGRAM, "assert f(2) == 4")
        (worker,) = pool._workers
        runs = worker.n_runs
        pool.run(PROGRAM, "assert f(2) == 4")
        assert worker.n_runs == runs


def test_an_unreachable_level_names_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxError, match="needs Linux"):
        SandboxPool(1)


@pytest.mark.parametrize(
    ("code", "flavour"),
    [("x = 1", "lean"), ("import numpy as np", "numpy"), ("from pandas import Series", "heavy")],
)
def test_the_zygote_follows_the_imports(code: str, flavour: str) -> None:
    assert choose_flavour(Job(code, "assert x", "", "", "split")) == flavour


_ORDER = "def f():\n    return ''.join({'a', 'b', 'c', 'd', 'e', 'f'})"


def _order_of(**options: int) -> set[str]:
    """What a program that hangs on the hash seed returns in both lanes, by the failed check."""
    found = set()
    with SandboxPool(1, accept="together", **options) as made:
        for tests in ("assert f() == ''", "def test_f(tmp_path):\n    assert f() == ''"):
            error = made.run(_ORDER, tests).error
            found.add(next(text for text in error.split("'") if sorted(text) == list("abcdef")))
    return found


def test_every_pool_has_the_same_order_of_sets_and_another_only_where_asked() -> None:
    first = _order_of()
    assert len(first) == 1
    assert all(_order_of() == first for _ in range(3))
    assert _order_of(hash_seed=1) != first


@pytest.mark.parametrize("name", ["site-packages", "dist-packages"])
def test_packages_of_the_user_and_of_the_system_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "lies_there.py").write_text("def two():\n    return 2\n")
    monkeypatch.syspath_prepend(str(tmp_path / name))
    program = "import lies_there\ndef f():\n    return lies_there.two()"
    with SandboxPool(1) as pool:
        assert pool.run(program, "assert f() == 2", entry_point="f").is_evidence_of_pass


def test_a_worker_that_does_not_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(SandboxError, match="cannot be started"):
        Worker("lean", "L2")
    assert not list(tmp_path.iterdir())
