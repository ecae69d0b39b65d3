"""`codefavor pair audit|balance`: what cues give the label away; pairs without the length cue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from codefavor.audits.audit import Audit, audit_both_ways, audit_facts, balanced_for_audit
from codefavor.cli.engine_options import Pairs, Seed
from codefavor.pairs.balance import shorter_accuracy
from codefavor.records import Preference, read_records, write_rows, write_text


def audit(
    pairs: Pairs,
    out: Annotated[Path | None, Option(help="JSON to write.")] = None,
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
    out: Annotated[Path, Option(help="JSONL of the pairs that are kept.")],
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
