"""`codefavor mine`: the commits of git repositories as rows, without a model."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.commit_flags import CommitFlags
from codefavor.cli.option_groups import expanded
from codefavor.errors import ConfigError, DataError
from codefavor.journal_manifest import manifest_path
from codefavor.records import Row, canonical_json, write_rows, write_text
from codefavor.redaction import redact
from codefavor.settings import data_folder
from codefavor.sources.commit_rows import CommitOptions
from codefavor.sources.commits import load_commits

KEPT = "rows"
LEFT_OUT = "repository"


@expanded
def command(
    repositories: Annotated[
        list[str],
        typer.Argument(help="Git repositories (paths or URLs), or what else --commits takes."),
    ],
    commits: CommitFlags,
    out: Annotated[Path, typer.Option("--out", help="JSONL of rows to write.")] = Path(
        "outputs/commits.jsonl"
    ),
) -> None:
    """What commits changed, one function or class a row: for commit-instruct, or to look at.

    Ends with a table of what was kept and what was left out, by reason and repository; the same
    counts, with the options, are in <out>.manifest.json.
    """
    options = commits.options()
    if len(set(repositories)) < len(repositories):
        raise ConfigError("a repository is named twice")
    counts: dict[str, Counter[str]] = {name: Counter() for name in repositories}
    write_rows(out, _rows(counts, options))
    manifest = {
        "options": dataclasses.asdict(options),
        "counts": {redact(name): count for name, count in counts.items()},
    }
    write_text(manifest_path(out), [canonical_json(manifest) + "\n"])
    typer.echo(table(counts))
    n_rows = sum(one[KEPT] for one in counts.values())
    typer.echo(f"{n_rows} rows -> {out}")
    if not n_rows:
        raise ConfigError("no commit gave a row; the reasons stand above")
    missing = [name for name, one in counts.items() if one[LEFT_OUT]]
    if missing:
        raise DataError(f"left out, for the reasons above: {', '.join(missing)}")


def _rows(counts: Mapping[str, Counter[str]], options: CommitOptions) -> Iterator[Row]:
    seen: set[int] = set()
    for name, count in counts.items():
        try:
            for commit in load_commits(
                name, options=options, skipped=count, data_dir=data_folder(), seen=seen
            ):
                count[KEPT] += 1
                yield commit.to_row()
        except DataError as error:
            # The others are worth having.
            typer.echo(f"left out: {error}", err=True)
            count[LEFT_OUT] += 1


def table(counts: Mapping[str, Counter[str]]) -> str:
    """The counts as aligned text: a line a reason, a column a repository, and all together."""
    total = sum(counts.values(), Counter[str]())
    columns = {_short(name): count for name, count in counts.items()}
    if len(columns) < len(counts):
        columns = {redact(name): count for name, count in counts.items()}
    if len(counts) > 1:
        columns["all"] = total
    reasons = [KEPT, *(reason for reason, _ in total.most_common() if reason != KEPT)]
    lines = [["", *columns], *([r, *(str(c[r]) for c in columns.values())] for r in reasons)]
    return "\n".join(_aligned(lines))


def _short(name: str) -> str:
    parts = re.sub(r"/(?:repo|repo\.git|\.git)$", "", name.rstrip("/")).rpartition("/")
    return parts[2].removesuffix(".git") or name


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        cells = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join([f"{first:<{widths[0]}}", *cells])
