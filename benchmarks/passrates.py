"""Released samples measured by EvalPlus and by us: verdict by problem, wall and CPU seconds.

    python benchmarks/passrates.py --peers ENV [--sets humaneval mbpp] [--workers 2] [--rounds 1]

ENV is an environment with `pip install evalplus==0.3.1 numpy`; data and samples are those of
CODEFAVOR_DATA (humanevalplus, mbppplus, sc2instruct_evalplus). Whole commands, one after another:
`evalplus.evaluate`, and ours with `--fail-fast`, which ends a run at its first failed check as
EvalPlus does, each cold (a user's first run, in which the references' answers are computed and
kept) and warm (with those kept); then ours without `--fail-fast`, warm. Factors are of wall time
against EvalPlus of the same warmth. CPU seconds are those of all processes, what a command left
behind and killed ones included. Base verdicts are of the same rows without their plus inputs.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from codefavor.journal import read_journal
from codefavor.records import Execution

_PR_SET_CHILD_SUBREAPER = 36
_FILES = {
    "humaneval": ("humanevalplus/HumanEvalPlus.jsonl.gz", "HUMANEVAL_OVERRIDE_PATH"),
    "mbpp": ("mbppplus/MbppPlus.jsonl.gz", "MBPP_OVERRIDE_PATH"),
}
# Whether the answers of the references are kept already.
_COLD, _WARM = "cold", "warm"


class Took(NamedTuple):
    """What a command took."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=sorted(_FILES), default=sorted(_FILES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    # What a killed command leaves becomes a child of this process, so that its time is known.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    data = Path(os.environ["CODEFAVOR_DATA"])
    with tempfile.TemporaryDirectory(prefix="passrates-") as name:
        for dataset in options.sets:
            for number in range(options.rounds):
                print(f"{dataset}, round {number + 1} of {options.rounds}", flush=True)
                measure(dataset, data, Path(name), options.peers, options.workers)


def measure(dataset: str, data: Path, folder: Path, peers: Path, workers: int) -> None:
    """One round of one data set."""
    samples = folder / f"{dataset}.jsonl"
    (released,) = (data / "sc2instruct_evalplus").glob(f"*-{dataset}.jsonl")
    shutil.copy(released, samples)
    cache = Path(tempfile.mkdtemp(prefix="cache-", dir=folder))
    took = {}
    for state in (_COLD, _WARM):
        theirs, took[state] = by_evalplus(
            dataset, data, folder, peers, workers=workers, cache=cache
        )
        _show(f"evalplus.evaluate, {state}", took[state], took[state], theirs)
    common = ["--workers", str(workers)]
    for state, more in ((_COLD, ["--fail-fast"]), (_WARM, ["--fail-fast"]), (_WARM, [])):
        ours, spent = by_evaluate(f"{dataset}+", samples, [*common, *more], cache)
        _show(f"evaluate {dataset}+ {' '.join(more)}, {state}", spent, took[state], ours)
        _differences({one: both for one, (_, both) in theirs.items()}, ours)
    plain = _without_plus(dataset, data, folder)
    base, spent = by_evaluate(f"{dataset}+", samples, common, cache, plain)
    _show("the same, base inputs only, cold", spent, took[_COLD], base)
    _differences({one: base for one, (base, _) in theirs.items()}, base)


def by_evalplus(
    dataset: str, data: Path, folder: Path, peers: Path, *, workers: int, cache: Path
) -> tuple[dict[str, tuple[bool, bool]], Took]:
    """Of each problem whether its sample passes the base tests, and all; and what it took."""
    file, variable = _FILES[dataset]
    problems = folder / Path(file).with_suffix("").name
    problems.write_bytes(gzip.decompress((data / file).read_bytes()))
    (cache / "evalplus").mkdir(exist_ok=True)
    environment = {
        **os.environ, variable: str(problems), "XDG_CACHE_HOME": str(cache), "PYTHONPATH": "",
    }  # fmt: skip
    command = [
        str(peers / "bin/evalplus.evaluate"), "--dataset", dataset, "--samples",
        str(folder / f"{dataset}.jsonl"), "--parallel", str(workers), "--i_just_wanna_run",
    ]  # fmt: skip
    found = folder / f"{dataset}_eval_results.json"
    found.unlink(missing_ok=True)
    took = run(command, environment)
    verdicts = {}
    for name, (one,) in json.loads(found.read_text())["eval"].items():
        is_base = one["base_status"] == "pass"
        verdicts[name] = is_base, is_base and one["plus_status"] == "pass"
    return verdicts, took


def _without_plus(dataset: str, data: Path, folder: Path) -> Path:
    """A folder of data whose problems have their base inputs alone."""
    file, _ = _FILES[dataset]
    path = folder / "base" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = map(json.loads, gzip.decompress((data / file).read_bytes()).splitlines())
    lines = (json.dumps({**row, "plus_input": []}) + "\n" for row in rows)
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return folder / "base"


def by_evaluate(
    name: str, samples: Path, more: list[str], cache: Path, data: Path | None = None
) -> tuple[dict[str, bool], Took]:
    """Of each problem whether its sample passes; and what it took."""
    out = Path(tempfile.mkdtemp(dir=samples.parent))
    command = [
        sys.executable, "-m", "codefavor", "evaluate", name, "--samples-file", str(samples),
        "--name", "released", "--out", str(out), *more,
    ]  # fmt: skip
    own = {"XDG_CACHE_HOME": str(cache), **({"CODEFAVOR_DATA": str(data)} if data else {})}
    took = run(command, {**os.environ, **own})
    return {
        record["id"]: Execution.from_row(
            record["row"]["completions"][0]["execution"]
        ).is_evidence_of_pass
        for record in read_journal(out / "rows" / f"{name}.released.jsonl")
    }, took


def run(command: list[str], environment: Mapping[str, str]) -> Took:
    """Run a command to its end, and wait for all that it left; raises CalledProcessError."""
    start = time.monotonic()
    started = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert started.stdout is not None
    said = started.stdout.read()
    cpu_s, status, wall_s = 0.0, 1, 0.0
    while True:
        try:
            pid, ended, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu_s += usage.ru_utime + usage.ru_stime
        if pid == started.pid:
            status, wall_s = os.waitstatus_to_exitcode(ended), time.monotonic() - start
    if status:
        raise subprocess.CalledProcessError(status, command, said[-2000:])
    return Took(wall_s, cpu_s)


def _show(
    name: str, took: Took, theirs: Took, verdicts: Mapping[str, bool | tuple[bool, bool]]
) -> None:
    passed = [one if isinstance(one, bool) else one[1] for one in verdicts.values()]
    print(
        f"  {name:<42}{sum(passed):>4} of {len(passed)} pass {took.wall_s:>8.1f} s wall "
        f"({theirs.wall_s / took.wall_s:.2f}x)  {took.cpu_s:>7.1f} s CPU",
        flush=True,
    )


def _differences(theirs: Mapping[str, bool], ours: Mapping[str, bool]) -> None:
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            print(f"    {name}: EvalPlus {theirs.get(name)}, we {ours.get(name)}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.output}")
