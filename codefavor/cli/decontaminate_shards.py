"""`codefavor pair decontaminate --shard`: blocks of rows as the rows of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from codefavor import __version__
from codefavor.audits.contamination_report import background_texts
from codefavor.cli.engine_options import summary
from codefavor.cli.shard_flags import make_progress, placed
from codefavor.engine import Context
from codefavor.engine.output import journal_of
from codefavor.engine.runner import run_sync
from codefavor.engine.shards import Shard
from codefavor.errors import DataError
from codefavor.journal import Journal, ok_rows
from codefavor.pairs.decontamination import Decontamination, Search, Task, blocks_of
from codefavor.records import Preference, Row, content_id


def look_in_shards(
    rows: Sequence[Preference],
    benchmarks: Mapping[str, Sequence[Task]],
    threshold: float,
    out: Path,
    shard: Shard,
) -> Decontamination | None:
    """Look through the blocks of a shard; what all found of the merged ones, None of one shard."""
    search = Search(benchmarks, threshold=threshold, background=background_texts())
    # The records are plain JSON of the same numbers, so that a sum of shards is that of one run.
    path = journal_of(placed(out, shard))
    manifest = {
        "step": "pair decontaminate",
        "threshold": threshold,
        "benchmarks": {name: content_id(tasks) for name, tasks in benchmarks.items()},
        "code_version": __version__,
    }

    async def step(row: Row, context: Context) -> Row:
        block = [Preference.from_row(one, row["id"]) for one in row["pairs"]]
        return {"id": row["id"], **search.look(block)}

    blocks = (
        {"id": f"block {number}", "pairs": [one.to_row() for one in block]}
        for number, block in enumerate(blocks_of(rows))
    )
    with Journal.open(path, manifest) as journal:
        counts = run_sync(
            step,
            blocks,
            journal,
            context=Context(),
            concurrency=1,
            progress=make_progress(),
            shard=shard,
            label="blocks",
        )
    typer.echo(summary(counts), err=True)
    if not counts.is_whole:
        return None
    if counts.n_error:
        raise DataError(f"{path}: {counts.n_error} blocks failed; run their shards anew (--fresh)")
    found = {row["id"]: row for row in ok_rows(path)}
    return search.put_together(rows, [found[f"block {n}"] for n in range(len(found))])
