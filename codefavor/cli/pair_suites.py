"""`codefavor pair suites`: pairs of scored test suites."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from click import Choice

from codefavor.errors import DataError
from codefavor.pairs.split import SPLITS, split_of
from codefavor.pairs.suite_pairs import pair_suites
from codefavor.records import read_rows, write_rows
from codefavor.scoring.suite_quality import THRESHOLD


def suites(
    scored: Annotated[Path, typer.Argument(help="Suites scored by `codefavor score --tests`.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="JSONL of pairs to write.")],
    least: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of the chosen suite.")
    ] = THRESHOLD,
    margin: Annotated[
        float, typer.Option(min=0.01, max=1, help="By how much the rejected one is worse.")
    ] = 0.25,
    per_problem: Annotated[int, typer.Option(min=1, help="Most pairs a problem.")] = 4,
    split: Annotated[
        str,
        typer.Option(
            click_type=Choice([*SPLITS, "all"]),
            help="Suites of the problems of this split, which is that of `convert --format grpo`.",
        ),
    ] = "all",
) -> None:
    """Pairs of a suite that catches wrong programs and one that does not, for `convert`.

    The rejected ones of a problem differ in their defects as far as they can. Rows for SFT, DPO and
    KTO come from the same pairs (`convert --format sft|dpo|kto`).
    """
    rows = []
    for where, row in read_rows(scored):
        if not isinstance(row.get("quality"), dict) or not row.get("instruction"):
            raise DataError(
                f"{where}: no scored suite of `synthesise tests` (quality and instruction are "
                "needed; `codefavor score --tests` writes the first)"
            )
        if split in ("all", split_of(row["problem_id"])):
            rows.append(row)
    pairing = pair_suites(rows, least_chosen=least, margin=margin, per_problem=per_problem)
    if not pairing.pairs:
        raise DataError(f"{scored}: none of {len(rows)} suites gives a pair: {pairing.without}")
    write_rows(out, (pair.to_row() for pair in pairing.pairs))
    defects = Counter(pair.meta["defect"] or "misses wrong programs" for pair in pairing.pairs)
    found = {"n_suites": len(rows), "n_pairs": len(pairing.pairs), "rejected_for": dict(defects)}
    typer.echo(
        json.dumps({**found, "problems_without": pairing.without, "out": str(out)}, indent=2)
    )
