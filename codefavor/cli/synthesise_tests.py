"""`codefavor synthesise tests`: ask a model for test suites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import typer

from codefavor.backends import Sampling
from codefavor.cli import engine_options as flags
from codefavor.cli.option_groups import refuse
from codefavor.engine.plan import chosen_rows
from codefavor.engine.stored_rows import StoredRows
from codefavor.errors import ConfigError, DataError, Rejected
from codefavor.records import Problem, Row, write_rows
from codefavor.scoring.suite_prompt import Framework
from codefavor.settings import data_folder
from codefavor.sources.problems import stream_problems
from codefavor.synthesis.drafts import completions_of
from codefavor.synthesis.own_suites import own_suites
from codefavor.synthesis.suites import (
    load_functions,
    make_suites_step,
    suites_manifest,
)
from codefavor.synthesis.usable import only_with_programs

_OF_MODEL = ("backend", "n", "temperature", "dry_run", "shard")


@dataclass(frozen=True, kw_only=True)
class WriterFlags(flags.EngineFlags):
    """The flags of whoever writes the suites; nobody is asked with --own-tests."""

    backend: Annotated[
        str,
        typer.Option("--model", "-m", "--backend", help="KIND:NAME, such as openai:gpt-4o-mini."),
    ] = ""


def tests(
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="JSONL of suites to write.")],
    engine: WriterFlags,
    problems: Annotated[
        str, typer.Option(help="A known set (humaneval+, ...) or a JSONL file (default: starter).")
    ] = "",
    functions: Annotated[
        Path | None,
        typer.Option(help="Your code instead: a Python file, or a folder with such files."),
    ] = None,
    own_tests: Annotated[
        bool,
        typer.Option(
            "--own-tests",
            help="Ask nobody: make suites of each problem's own checks, whole and weakened.",
        ),
    ] = False,
    framework: Annotated[str, typer.Option(help="pytest or unittest.")] = "pytest",
    n: Annotated[int, typer.Option(min=1, help="Suites per problem.")] = 4,
    temperature: flags.Temperature = 0.8,
    top_p: flags.TopP = 0.95,
    max_tokens: flags.MaxTokens = 1024,
    seed: flags.Seed = 0,
    limit: flags.Limit = None,
    sample: flags.Sample = None,
    dry_run: flags.DryRun = False,
) -> None:
    """Several test suites of a model for each program, for `codefavor score --tests`.

    With --functions the functions found are written beside the suites as problems
    (OUT.problems.jsonl), which is what `score --tests --problems` reads.
    """
    if framework not in ("pytest", "unittest"):
        raise ConfigError(f"--framework {framework}: use pytest or unittest")
    kind = cast("Framework", framework)
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, n=n)
    asked = _asked(problems, functions, None if dry_run else out)
    found = (problem.to_row() for problem in asked)
    rows = StoredRows(chosen_rows(found, sample, limit, seed), engine.shard)
    if not rows.n_read:
        raise ConfigError("nothing is left to write tests for; check --limit and --sample")
    if own_tests:
        refuse(_OF_MODEL, "asks a model; --own-tests asks nobody")
        _write_own(rows, kind, out)
        return
    if not engine.backend:
        raise ConfigError("who is to write the suites? give --model KIND:NAME, or --own-tests")
    backend = engine.make_backend(is_dry_run=dry_run)
    step = only_with_programs(make_suites_step(sampling, kind))
    if dry_run:
        engine.forecast(step, rows, backend, seed)
        return
    manifest = suites_manifest(backend, sampling, seed, kind)
    engine.run_and_show(
        step, rows, out, backend, seed, manifest=manifest, expand=completions_of, label="suites"
    )


def _write_own(rows: StoredRows, framework: Framework, out: Path) -> None:
    skipped = Counter[str]()
    suites: list[Row] = []
    for row in rows:
        try:
            suites += own_suites(Problem.from_row(row), framework)
        except Rejected as error:
            skipped[error.reason] += 1
    flags.show_skipped("problems", skipped)
    if not suites:
        raise DataError("no problem has tests that are plain asserts, to make suites of")
    write_rows(out, suites)
    typer.echo(f"{len(suites)} suites of {len(rows) - skipped.total()} problems -> {out}")


def _asked(problems: str, functions: Path | None, out: Path | None) -> Iterable[Problem]:
    """The problems, those of your own code also written beside `out` if that is given."""
    if problems and functions:
        raise ConfigError("give --problems or --functions, not both")
    if functions is None:
        return stream_problems(problems or "starter", data_dir=data_folder())
    skipped = Counter[str]()
    found = load_functions(functions, skipped)
    flags.show_skipped("functions", skipped)
    if out is not None:
        beside = out.with_name(f"{out.stem}.problems.jsonl")
        write_rows(beside, (problem.to_row() for problem in found))
        typer.echo(f"{len(found)} functions -> {beside}", err=True)
    return found
