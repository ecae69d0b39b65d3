"""`codefavor card`: a Hugging Face data set folder with its card, from preference rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from codefavor import __version__
from codefavor.audits.audit import audit_both_ways, audit_facts
from codefavor.audits.data_card import count_rows, describe_overlap, describe_run
from codefavor.audits.dataset_folder import write_dataset
from codefavor.cli.option_groups import refuse
from codefavor.engine.output import journal_of
from codefavor.errors import ConfigError, DataError
from codefavor.hub import push_folder
from codefavor.records import Preference, read_records


def command(
    files: Annotated[list[Path], typer.Argument(help="JSONL of preference rows: split train.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    name: Annotated[str, typer.Option(help="Title of the card [the folder's name].")] = "",
    split: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE for a further split, as test=t.jsonl.")
    ] = None,
    journal: Annotated[
        list[Path] | None,
        typer.Option(help="Journal of a run that made rows; those beside the files are found."),
    ] = None,
    overlap: Annotated[
        list[Path] | None,
        typer.Option(help="Report of `codefavor pair decontaminate --report`. Repeatable."),
    ] = None,
    audit: Annotated[
        bool, typer.Option(help="Say how much of the label simple cues give away.")
    ] = True,
    push: Annotated[str, typer.Option(help="Then upload it to this OWNER/NAME on the Hub.")] = "",
    fresh: Annotated[
        bool,
        typer.Option("--fresh", "--overwrite", help="Replace a folder that this command wrote."),
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new Hub repository public.")
    ] = False,
) -> None:
    """Write parquet shards and a card that says what the data is, and push it where asked."""
    refuse({"public"}, "belongs to --push, which is not given", unless=push)
    sources: dict[str, list[Path]] = {"train": list(files)}
    for text in split or []:
        split_name, is_there, path = text.partition("=")
        if not is_there or not split_name.isidentifier():
            raise ConfigError(f"--split {text!r}: expected NAME=FILE, as in test=pairs/test.jsonl")
        sources.setdefault(split_name, []).append(Path(path))
    splits = {key: _read_all(paths) for key, paths in sources.items()}
    given = [path for paths in sources.values() for path in paths]
    facts = {
        "codefavor": __version__,
        **count_rows(splits),
        "runs": [describe_run(path) for path in _journals(given, journal or [])],
        "audit": _audit([pair for rows in splits.values() for pair in rows]) if audit else {},
        "contamination": [describe_overlap(path) for path in overlap or []],
    }
    write_dataset(splits, facts, name or out.name, out, overwrite=fresh)
    typer.echo(f"{facts['n_rows']} rows in {len(splits)} split(s) -> {out}")
    if push:
        typer.echo(push_folder(out, push, kind="dataset", private=not public))


def _read_all(paths: Sequence[Path]) -> list[Preference]:
    """All rows of a split, equal ones once; raises DataError for one id of different rows."""
    found: dict[str, Preference] = {}
    n = 0
    for path in paths:
        for pair in read_records(path, Preference):
            if found.setdefault(pair.id, pair) != pair:
                raise DataError(f"{path}: another row has the id {pair.id} too")
            n += 1
    if n > len(found):
        typer.echo(f"{n - len(found)} rows stood twice and are kept once", err=True)
    return list(found.values())


def _audit(pairs: list[Preference]) -> dict[str, dict[str, str]]:
    if len({pair.instruction for pair in pairs}) < 2:
        typer.echo("not audited: that needs two instructions", err=True)
        return {}
    return audit_facts(*audit_both_ways(pairs))


def _journals(files: Sequence[Path], given: Sequence[Path]) -> list[Path]:
    beside = [journal_of(path) for path in files if journal_of(path).is_file()]
    return list(dict.fromkeys([*beside, *given]))
