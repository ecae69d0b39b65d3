"""`codefavor pair`: make, balance, split and check preference pairs."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from click import Choice

from codefavor.audits.contamination_report import check_split, split_detail
from codefavor.cli import check_tests, pair_checks, pair_criteria, pair_suites
from codefavor.cli.engine_options import Problems, SandboxLevel, Seed
from codefavor.cli.option_groups import refuse
from codefavor.cli.scored_files import scored_rows
from codefavor.engine import TerminalProgress
from codefavor.errors import ConfigError, DataError, SandboxError
from codefavor.journal import ok_rows, read_journal
from codefavor.journal_manifest import note_together
from codefavor.pairs.balance import balance_by_length, first_of_each, shorter_accuracy
from codefavor.pairs.by_execution import Pairing, pair_by_execution
from codefavor.pairs.split import hold_out
from codefavor.pairs.strategies import STRATEGIES, describe_strategies
from codefavor.pairs.strategies import Choice as PairChoice
from codefavor.records import (
    Execution,
    Preference,
    Problem,
    Row,
    read_records,
    write_rows,
    write_text,
)
from codefavor.scoring.failure_classes import failure_of
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems
from codefavor.sources.row_files import read_any_rows
from codefavor.synthesis.drafts import drafts_messages
from codefavor.synthesis.mutant_pairs import (
    REFERENCE_FAILS,
    Kind,
    printed_samples,
    run_candidates,
    write_pairs,
)

app = typer.Typer(help="Make, balance, split and check preference pairs.")
app.command("check-tests")(check_tests.command)
app.command()(pair_criteria.efficiency)
app.command()(pair_criteria.security)
app.command()(pair_suites.suites)
app.command()(pair_checks.audit)
app.command()(pair_checks.balance)
app.command()(pair_checks.margins)
app.command()(pair_checks.dedup)
app.command("decontaminate")(pair_checks.decontaminate_command)


@app.command()
def mutants(
    out: Annotated[Path, typer.Option(help="Folder for programs.jsonl and the pairs by split.")],
    problems: Problems = "starter",
    candidates: Annotated[int, typer.Option(help="Wrong programs tried a level, problem.")] = 9,
    per_problem: Annotated[int, typer.Option(help="Pairs kept a level and problem.")] = 1,
    kind: Annotated[
        str,
        typer.Option(
            click_type=Choice(get_args(Kind)),
            help="mistakes; or hallucinations: modules, functions, methods, names and keywords "
            "that do not exist, misread requirements, bounds off by one, wrong numbers.",
        ),
    ] = "mistakes",
    seed: Seed = 0,
    scored: Annotated[
        Path | None,
        typer.Option(help="Also pair a model's scored completions (level samples)."),
    ] = None,
    sandbox_level: SandboxLevel = "L2",
) -> None:
    """Verified mutants, with no model: levelled, balanced and split pairs. Resumable."""
    loaded = load_problems(problems, data_dir=data_folder())
    by_id = {problem.id: problem for problem in loaded}
    samples = printed_samples(scored_rows(scored, by_id, problems)) if scored else []
    journal = out / "programs.jsonl"
    counts = run_candidates(
        loaded,
        journal,
        per_level=candidates,
        seed=seed,
        workers=os.cpu_count() or 1,
        level=sandbox_level,
        kind=cast("Kind", kind),
        progress=TerminalProgress(),
    )
    if counts.n_error:
        reason = next(one["detail"] for one in read_journal(journal) if one["status"] == "error")
        raise SandboxError(
            f"{counts.n_error} of {counts.n} programs could not be run ({reason}); without them "
            "the pairs would be others. The same command tries them again"
        )
    programs = [*ok_rows(journal), *samples]
    summary = write_pairs(loaded, programs, out, per_problem=per_problem, seed=seed)
    if not summary["n_pairs"]:
        why = "; ".join(f"{reason}: {n}" for reason, n in summary["rejected"].items())
        raise DataError(f"no pair came out of {len(loaded)} problems ({why})")
    _print_table(summary["balance"])
    for reason, n in summary["rejected"].items():
        if reason.startswith(REFERENCE_FAILS):
            typer.echo(f"left out: {reason} ({n})", err=True)
    for level, found in summary["token_judge"].items():
        right = found["right"]
        typer.echo(
            f"{level}: of judges of the tokens that differ the one farthest from chance is right "
            f"in {right['mean']:.1%} ({right['low']:.1%} to {right['high']:.1%}) of {found['n']}"
        )
    for level, n in summary["balanced_away"].items():
        typer.echo(f"balanced away: {n} {level}", err=True)
    typer.echo(f"{sum(summary['n_kept'].values())} of {summary['n_pairs']} pairs kept -> {out}")


@app.command()
def tests(
    scored: Annotated[
        Path,
        typer.Argument(
            help="Scored completions (`codefavor score`), or the rows of a result of `evaluate`."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="JSONL of pairs to write.")
    ] = None,
    problems: Problems = "starter",
    strategy: Annotated[
        str, typer.Option(click_type=Choice(list(STRATEGIES)), help=describe_strategies())
    ] = "pass-fail",
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="Of --strategy margin: least difference of shares.")
    ] = 0.1,
    may_fail: Annotated[
        bool,
        typer.Option("--may-fail", help="The better side may fail too, if it holds more checks."),
    ] = False,
    same_author: Annotated[
        bool, typer.Option("--same-author", help="Only pairs of programs of one model.")
    ] = False,
    per_problem: Annotated[int, typer.Option(min=1, help="Most pairs kept a problem.")] = 4,
    balance: Annotated[bool, typer.Option(help="Balance lengths between the two sides.")] = True,
    as_asked: Annotated[
        bool,
        typer.Option(
            "--as-asked",
            help="The question of a pair is the one that `evaluate` and `synthesise drafts` ask a "
            "chat model, without a criterion: to align the model that was sampled.",
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Write nothing: what every strategy would give.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Pairs of a model's completions from their test runs; equivalent programs never meet."""
    _check_choice(out, strategy, plan=plan)
    loaded = {p.id: p for p in load_problems(problems, data_dir=data_folder())}
    rows = [_with_failure(row) for row in scored_rows(scored, loaded, problems)]

    def paired(name: str) -> tuple[Pairing, list[Preference]]:
        how = PairChoice(name, margin=margin, may_fail=may_fail, same_author=same_author)
        found = pair_by_execution(loaded, rows, seed=seed, choice=how)
        cap = balance_by_length if balance else first_of_each
        return found, cap(
            found.pairs, per_problem=per_problem, group_of=lambda pair: pair.level, seed=seed
        )

    if plan:
        _show_plan(paired)
        return
    pairing, pairs = paired(strategy)
    if as_asked:
        pairs = [_as_asked(pair, loaded[pair.problem_id]) for pair in pairs]
    _write_pairing(pairing, pairs, cast("Path", out))


def _write_pairing(pairing: Pairing, pairs: list[Preference], out: Path) -> None:
    for reason, n in pairing.reasons.most_common():
        typer.echo(f"{n:6} {reason}", err=True)
    if n_left := len(pairing.pairs) - len(pairs):
        typer.echo(f"{n_left:6} over the cap of a problem, or by which lengths differ", err=True)
    write_rows(out, (pair.to_row() for pair in pairs))
    if not pairs:
        typer.echo(f"error: no pair came out of these programs, and {out} has none", err=True)
        raise typer.Exit(1)
    typer.echo(f"{len(pairs)} of {len(pairing.pairs)} pairs kept -> {out}")


def _check_choice(out: Path | None, strategy: str, *, plan: bool) -> None:
    """Raise ConfigError for options of `pair tests` that do not go together."""
    if plan == (out is not None):
        raise ConfigError("give --out FILE, or --plan to see what every strategy would give")
    refuse(
        {"strategy", "as_asked"},
        "does not go with --plan, which shows all strategies",
        unless=not plan,
    )
    has_margin = plan or strategy == "margin"
    refuse({"margin"}, f"is for --strategy margin, not for {strategy}", unless=has_margin)
    is_strict = strategy in ("pass-fail", "hardest", "per-class") and not plan
    refuse({"may_fail"}, f"means nothing to --strategy {strategy}", unless=not is_strict)


def _as_asked(pair: Preference, problem: Problem) -> Preference:
    question = drafts_messages(problem)[-1]["content"]
    return dataclasses.replace(pair, instruction=question, criteria="")


def _with_failure(row: Row) -> Row:
    failure = failure_of(Execution.from_row(row["execution"]), row["code"])
    return {**row, "failure": failure.kind if failure else ""}


def _show_plan(paired: Callable[[str], tuple[Pairing, list[Preference]]]) -> None:
    typer.echo(f"{'strategy':<12}{'pairs':>8}{'kept':>8}{'problems':>10}{'shorter':>9}  classes")
    for name in STRATEGIES:
        try:
            line = _plan_line(name, *paired(name))
        except ConfigError:  # of these strategies alone: shares are asked for
            line = f"{name:<12}{'-':>8}  needs runs without --fail-fast"
        typer.echo(line)


def _plan_line(name: str, found: Pairing, kept: list[Preference]) -> str:
    """What a strategy would give: pairs, problems, what the length is worth, failure classes."""
    kinds = Counter(str(pair.meta["rejected_failure"]) for pair in kept)
    n_problems = len({pair.problem_id for pair in kept})
    most = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common(4))
    shorter = f"{100 * shorter_accuracy(kept):.0f} %"
    return f"{name:<12}{len(found.pairs):>8}{len(kept):>8}{n_problems:>10}{shorter:>9}  {most}"


@app.command()
def split(
    data: Annotated[Path, typer.Argument(help="Preferences in any form that `convert` reads.")],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl and dev.jsonl.")],
    share: Annotated[float, typer.Option(help="Share of the questions that are held out.")] = 0.1,
) -> None:
    """Hold out a dev part of one's own data: all rows of a question are on one side.

    The side follows from the question alone, so that more data moves no question over.
    """
    sides = hold_out(read_any_rows(data), share)
    if not all(sides.values()):
        empty = next(name for name in sides if not sides[name])
        raise DataError(
            f"{data}: no question falls to {empty} by a share of {share:g}: another --share, or "
            "more questions"
        )
    for name, rows in sides.items():
        write_rows(out / f"{name}.jsonl", rows)
        note_together(out / f"{name}.jsonl", data, len(rows))
    typer.echo(f"{len(sides['train'])} rows to train, {len(sides['dev'])} held out -> {out}")


@app.command()
def check(
    train: Annotated[Path, typer.Argument(help="JSONL of pairs that are trained on.")],
    held_out: Annotated[Path, typer.Argument(help="JSONL of pairs that are judged.")],
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="JSON to write.")] = None,
) -> None:
    """Fail if anything held out leaks into training: by id, or as `decontaminate` looks for it."""
    report = check_split(read_records(train, Preference), read_records(held_out, Preference))
    detail = split_detail(report)
    typer.echo(detail)
    if out is not None:
        found = {"train": str(train), "held_out": str(held_out), "detail": detail}
        write_text(out, [json.dumps(found, indent=1) + "\n"])


def _print_table(rows: list[Row]) -> None:
    for row in rows:
        typer.echo(
            f"{row['split']:<6} {row['level']:<8} {row['n']:5} pairs of {row['n_problems']} "
            f"problems; 'shorter' is right in {row['shorter']:.1%}, 'smaller numbers' in "
            f"{row['smaller numbers']:.1%}, 'numbers of the task' in "
            f"{row['numbers of the task']:.1%}"
        )
