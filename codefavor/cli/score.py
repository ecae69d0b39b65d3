"""`codefavor score`: completions against the tests of their problems, or suites on programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from codefavor.cli.engine_options import (
    CpuSeconds,
    Problems,
    RerunChanged,
    SandboxLevel,
    Workers,
    forget_run,
)
from codefavor.cli.option_groups import refuse
from codefavor.cli.score_suites import (
    Keep,
    KnownWrong,
    Measure,
    Mutants,
    Tests,
    Threshold,
    read_known_wrong,
    run_suites,
)
from codefavor.cli.shard_flags import ShardOption, make_progress, n_workers, placed
from codefavor.engine import Context
from codefavor.engine.output import journal_of, run_to_file
from codefavor.engine.shards import Shard
from codefavor.engine.stored_rows import StoredRows
from codefavor.errors import DataError
from codefavor.records import Problem, Row, read_rows
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.by_tests import (
    as_json,
    join_with_problems,
    refuse_untested,
    score_completions,
    summarize,
)
from codefavor.scoring.suite_quality import THRESHOLD
from codefavor.scoring.suite_target import N_MUTANTS
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems


def command(
    completions: Annotated[
        Path, typer.Argument(help="JSONL of completions, or EvalPlus samples.jsonl.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", dir_okay=False, help="JSONL to write: completion and execution."),
    ],
    problems: Problems = "starter",
    tests: Tests = False,
    mutants: Mutants = N_MUTANTS,
    known_wrong: KnownWrong = None,
    threshold: Threshold = THRESHOLD,
    keep: Keep = None,
    workers: Workers = 0,
    cpu_s: CpuSeconds = 5.0,
    wall_s: Annotated[float, typer.Option(help="Wall seconds a program may take.")] = 20.0,
    memory_mib: Annotated[int, typer.Option(help="MiB a program may map.")] = 1024,
    sandbox_level: SandboxLevel = "L2",
    accept: Annotated[
        str,
        typer.Option(
            help="`together`: also believe tests that must run in the program's own process "
            "(mocks, fixtures, files). A hostile program can forge these; each row says so."
        ),
    ] = "",
    retry_errors: Annotated[
        bool, typer.Option(help="Run again what ended as an error of the sandbox.")
    ] = False,
    rerun_changed: RerunChanged = False,
    shard: ShardOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew: forget this output, run everything again.")
    ] = False,
) -> None:
    """Score completions, or test suites; the same command after a kill goes on where it was."""
    _refuse_what_does_nothing(fresh, tests)
    out = placed(out, shard)
    limits = Limits(cpu_s=cpu_s, wall_s=wall_s, memory_bytes=memory_mib << 20)
    known = {problem.id: problem for problem in load_problems(problems, data_dir=data_folder())}
    rows, n_unknown = _rows_of_known(completions, known, problems, shard, is_tested=not tests)
    n_at_once = n_workers(workers)
    if fresh:
        forget_run(shard, journal_of(out))
    again: dict[str, Any] = {"retry_errors": retry_errors, "rerun_changed": rerun_changed}
    if tests:
        wrong = read_known_wrong(known_wrong) if known_wrong else {}
        measure = Measure(known, wrong, mutants, threshold, n_at_once, sandbox_level, keep)
        summary, n_error = run_suites(measure, rows, out, shard=shard, **again)
    else:
        summary, n_error = _run_programs(
            rows, out, limits, n_at_once, sandbox_level, accept, shard=shard, **again
        )
    more = {"n_unknown_problem": n_unknown, "n_error": n_error, "out": str(out)}
    typer.echo(as_json({**summary, **more}))


def _refuse_what_does_nothing(fresh: bool, tests: bool) -> None:
    again = {"retry_errors", "rerun_changed"}
    refuse(again, "does not go with --fresh, which runs every row", unless=not fresh)
    refuse({"mutants", "known_wrong", "threshold", "keep"}, "goes with --tests only", unless=tests)
    for_programs = {"cpu_s", "wall_s", "memory_mib", "accept"}
    refuse(for_programs, "says how programs run, and does not go with --tests", unless=not tests)


def _run_programs(
    rows: Iterable[Row],
    out: Path,
    limits: Limits,
    n_at_once: int,
    level: str,
    accept: str,
    **options: Any,
) -> tuple[dict[str, Any], int]:
    with SandboxPool(n_at_once, required_level=level, accept=accept) as pool:
        manifest = {
            "step": "score",
            "limits": asdict(limits),
            "sandbox_level": pool.level,
            "accept": accept,
        }
        counts = run_to_file(
            score_completions(limits),
            rows,
            out,
            manifest=manifest,
            context=Context(sandbox=pool),
            concurrency=2 * n_at_once,
            progress=make_progress(),
            label="score",
            **options,
        )
    if not counts.is_whole:
        return {"shard": counts.shard, "n": counts.n}, counts.n_error
    summary = summarize(row for _, row in read_rows(out)) if counts.n > counts.n_error else {}
    return summary, counts.n_error + counts.n_old_errors


def _rows_of_known(
    completions: Path,
    known: dict[str, Problem],
    problems: str,
    shard: Shard | None,
    *,
    is_tested: bool,
) -> tuple[StoredRows, int]:
    """The step's rows, and how many completions are left out because nobody knows the problem.

    Where problems' own tests run, each problem of any row must have some (`is_tested`).
    """
    unknown: Counter[str] = Counter()
    asked: set[str] = set()

    def joined() -> Iterator[Row]:
        for row in join_with_problems(completions, known, unknown):
            asked.add(row["completion"]["problem_id"])
            yield row

    rows = StoredRows(joined(), shard)
    if is_tested:
        refuse_untested(known[name] for name in asked)
    n_unknown = unknown.total()
    if n_unknown:
        names = ", ".join(sorted(unknown)[:3])
        found = f"{completions}: {n_unknown} completions of problems that {problems} has not"
        if not asked:
            raise DataError(f"{found} ({names}, ...), and none of any that it has (--problems)")
        typer.echo(f"{found} are left out: {names}{', ...' if len(unknown) > 3 else ''}", err=True)
    return rows, n_unknown
