"""`codefavor pair audit` and its like: what pairs give away, repeat, or mean by their levels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from codefavor.audits.audit import Audit, audit_both_ways, audit_facts, balanced_for_audit
from codefavor.audits.contamination_report import (
    background_texts,
    benchmark_tasks,
    usual_benchmarks,
)
from codefavor.cli.decontaminate_shards import look_in_shards
from codefavor.cli.engine_options import Pairs, Seed
from codefavor.cli.option_groups import refuse
from codefavor.cli.shard_flags import ShardOption
from codefavor.errors import ConfigError, DataError
from codefavor.journal import read_journal
from codefavor.originals import with_originals
from codefavor.pairs.balance import shorter_accuracy
from codefavor.pairs.decontamination import Decontamination, Task, decontaminate
from codefavor.pairs.dedup import deduplicate
from codefavor.records import Preference, read_records, write_rows, write_text
from codefavor.reports.contamination_page import contamination_html
from codefavor.result_file import read_result, rows_path
from codefavor.settings import data_folder
from codefavor.statistics.levels import level_margins


def audit(
    pairs: Pairs,
    out: Annotated[Path | None, Option(dir_okay=False, help="JSON to write.")] = None,
    max_pairs: Annotated[
        int, Option(help="Most pairs the classifiers see (of more, a sample).")
    ] = (4000),
    seed: Seed = 0,
    fail_above: Annotated[
        float | None,
        Option(help="Exit with 1 if a classifier's accuracy is surely above this share."),
    ] = None,
) -> None:
    """How much of the label trivial classifiers recover, as the pairs are and as balanced.

    Cross-validated by instruction; 50 % is chance. In brackets: 95 % intervals by instruction.
    """
    read = read_records(pairs, Preference)
    plain, balanced = audit_both_ways(read, max_pairs=max_pairs, seed=seed)
    if out is not None:
        row = {
            "file": pairs.name,
            "plain": plain.to_row(),
            "balanced": balanced.to_row() if balanced else None,
        }
        write_text(out, [json.dumps(row, indent=1, ensure_ascii=False) + "\n"])
    _print_audit(plain, balanced)
    over = [
        name
        for name, cue in plain.cues.items()
        if fail_above is not None and cue.accuracy.low > fail_above
    ]
    if over:
        typer.echo(f"above {fail_above:.1%}: {', '.join(over)}", err=True)
        raise typer.Exit(1)


def _print_audit(plain: Audit, balanced: Audit | None) -> None:
    head = f"{plain.n} of {plain.n_given} pairs"
    second = f"as balanced: {balanced.n} pairs" if balanced else "as balanced: too few"
    typer.echo(f"{'classifier':<20}{head:<28}{second:<28}label recovered")
    for name, words in audit_facts(plain, balanced).items():
        cue = plain.cues[name]
        silent = f"  (silent on {cue.n_silent})" if cue.n_silent else ""
        typer.echo(
            f"{name:<20}{words['plain']:<28}{words['balanced']:<28}{cue.recovered:7.1%}{silent}"
        )


def balance(
    pairs: Pairs,
    out: Annotated[Path, Option(dir_okay=False, help="JSONL of the pairs that are kept.")],
    seed: Seed = 0,
) -> None:
    """Drop pairs until the chosen program is longer as often as shorter, by source and level."""
    read = read_records(pairs, Preference)
    kept = balanced_for_audit(read, seed=seed)
    write_rows(out, (pair.to_row() for pair in kept))
    typer.echo(
        f"{len(kept)} of {len(read)} pairs kept; 'shorter' is right in "
        f"{shorter_accuracy(kept):.1%}, was {shorter_accuracy(read):.1%} -> {out}"
    )


def dedup(
    pairs: Pairs,
    out: Annotated[Path, Option(dir_okay=False, help="JSONL of the pairs that stay.")],
    near: Annotated[
        float, Option(help="Share of token runs in common from which two pairs are one.")
    ] = 0.8,
    exact_only: Annotated[bool, Option(help="Drop exact copies only.")] = False,
    removed: Annotated[
        Path | None, Option(dir_okay=False, help="JSONL of what went, and for what.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Keep each pair once: of exact and near copies (MinHash) the first stays.

    Comments and layout make no difference. Pairs of one problem are only compared exactly.
    """
    near_ones = {"near", "seed"}
    refuse(near_ones, "is for near copies: not with --exact-only", unless=not exact_only)
    read = read_records(pairs, Preference)
    found = deduplicate(read, threshold=None if exact_only else near, seed=seed)
    write_rows(out, (pair.to_row() for pair in found.kept))
    if removed is not None:
        write_rows(removed, (dict(row._asdict()) for row in [*found.exact, *found.near]))
    typer.echo(
        f"{len(found.kept)} of {len(read)} pairs kept; {len(found.exact)} exact and "
        f"{len(found.near)} near copies dropped -> {out}"
    )


def decontaminate_command(
    pairs: Pairs,
    out: Annotated[Path | None, Option(dir_okay=False, help="JSONL of the rows that stay.")] = None,
    against: Annotated[
        list[str] | None,
        Option(help="Benchmark or JSONL; again for more [the usual ones and all that are here]."),
    ] = None,
    skip: Annotated[
        list[str] | None, Option(help="Usual benchmark that may be missing, or not be compared.")
    ] = None,
    threshold: Annotated[
        float, Option(min=0.1, help="Times the evidence that is needed; less finds more.")
    ] = 1.0,
    report: Annotated[Path | None, Option(dir_okay=False, help="JSON to write.")] = None,
    html: Annotated[
        Path | None, Option(dir_okay=False, help="Page with plots and nearest pairs.")
    ] = None,
    fail_above: Annotated[
        float | None,
        Option(help="Most rows that may be like a benchmark, in percent [0 without --out]."),
    ] = None,
    shard: ShardOption = None,
) -> None:
    """Look for every part of every benchmark's problems in all rows; drop rows that hold one.

    Ends with 1 when more rows than allowed are like a benchmark: without --out, any.
    """
    refuse({"skip"}, "is for the usual benchmarks: not with --against", unless=not against)
    read = read_records(pairs, Preference)
    tasks = _benchmarks(against, set(skip or []))
    if shard is None:
        found = decontaminate(read, tasks, threshold=threshold, background=background_texts())
    elif out is None:
        raise ConfigError("--shard needs --out, beside which shards keep what they find")
    else:
        looked = look_in_shards(read, tasks, threshold, out, shard)
        if looked is None:
            return
        found = looked
    gone = found.removed
    if out is not None:
        write_rows(out, (pair.to_row() for pair in read if pair.id not in gone))
    if report is not None:
        row = {**found.to_row(), "not_checked": sorted(skip or [])}
        write_text(report, [json.dumps(row, indent=1, ensure_ascii=False) + "\n"])
    if html is not None:
        write_text(html, [contamination_html(found, f"{pairs.name} against benchmarks")])
    _print_found(found)
    kept = f", {len(read) - len(gone)} kept -> {out}" if out is not None else ""
    typer.echo(f"{len(gone)} of {len(read)} rows are like a benchmark{kept}")
    allowed = fail_above if fail_above is not None else (100.0 if out is not None else 0.0)
    if 100.0 * len(gone) > allowed * len(read):
        typer.echo(f"that is more than {allowed:g} % of the rows", err=True)
        raise typer.Exit(1)


def _benchmarks(names: list[str] | None, skipped: set[str]) -> dict[str, list[Task]]:
    """The problems of each benchmark. Raises ConfigError if one is missing and not skipped."""
    data_dir = data_folder()
    if names:
        return {with_originals(name): benchmark_tasks(name, data_dir) for name in names}
    usual = usual_benchmarks(data_dir)
    if unknown := sorted(skipped - set(usual)):
        raise ConfigError(f"--skip {unknown[0]}: not one of {', '.join(usual)}")
    found: dict[str, list[Task]] = {}
    missing: dict[str, DataError] = {}
    for name in usual:
        if name in skipped:
            typer.echo(f"not checked: {name}", err=True)
            continue
        try:
            found[name] = benchmark_tasks(name, data_dir)
        except DataError as error:
            missing[name] = error
            typer.echo(f"missing: {name}: {error}", err=True)
    if missing:
        skips = " ".join(f"--skip {name}" for name in missing)
        raise DataError(
            f"{len(missing)} of {len(usual)} benchmarks are not here as published, so a copy of "
            f"them would not be found; get them, or say {skips}"
        )
    if not found:
        raise ConfigError("every benchmark is skipped, so nothing would be checked")
    return found


def _print_found(found: Decontamination) -> None:
    typer.echo(f"{'benchmark':<20}{'problems':>9}{'short':>7}{'over':>8}{'highest':>9}{'rows':>8}")
    for name, nearest in found.nearest.items():
        highest = f"{nearest[0].similarity:.0f}" if nearest else "-"
        n_rows = len({one.row_id for one in found.findings if one.benchmark == name})
        typer.echo(
            f"{name:<20}{len(nearest):>9}{found.n_short[name]:>7}{found.share_over(name):>8.1%}"
            f"{highest:>9}{n_rows:>8}"
        )
    kinds = Counter(finding.kind for finding in set(found.findings))
    for kind, n in kinds.most_common():
        typer.echo(f"{n:8} likenesses by {kind}", err=True)


def margins(
    result: Annotated[
        Path, typer.Argument(help="Result of `codefavor evaluate pairs` on pairs with levels.")
    ],
    out: Annotated[
        Path | None,
        Option(dir_okay=False, help="JSONL: id, level, margin, and the level that fits, a pair."),
    ] = None,
) -> None:
    """How sure a judge is of each level: is what is called hard harder?

    A margin is the log-odds, by the judge's probabilities, that the chosen side is better.
    """
    read_result(result)
    table, rows = level_margins(read_journal(rows_path(result)))
    for one in table:
        shown = "no probabilities"
        if one.n:
            shown = (
                f"median margin {one.median:+.2f} (10 to 90 %: {one.low:+.2f} to {one.high:+.2f}), "
                f"right in {100 * one.right:.1f}%"
            )
        unsure = f"; {one.n_unsure} without a probability" if one.n_unsure else ""
        typer.echo(f"{one.level or 'no level':<10}{one.n:>6} pairs: {shown}{unsure}")
    medians = [one.median for one in table if one.n]
    if not medians:
        raise DataError(f"{result}: this judge states no probabilities, so there are no margins")
    if medians != sorted(medians, reverse=True):
        typer.echo("the medians do not fall from level to level: for this judge they are no levels")
    else:
        n = sum(row["fits"] != row["level"] for row in rows)
        typer.echo(
            f"{n} of {len(rows)} pairs have a margin that is nearer to another level's median"
        )
    if out is not None:
        write_rows(out, rows)
        typer.echo(out)
