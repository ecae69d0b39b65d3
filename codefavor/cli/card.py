"""`codefavor card`: a Hugging Face data set folder with its card, from preference rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from codefavor import __version__
from codefavor.engine.output import journal_of
from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.data_card import count_rows, describe_run
from codefavor.evaluation.dataset_folder import push_dataset, write_dataset
from codefavor.records import Preference, read_records


def command(
    files: Annotated[list[Path], typer.Argument(help="JSONL of preference rows: split train.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    name: Annotated[str, typer.Option(help="Title of the card [the folder's name].")] = "",
    split: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE for a further split, as test=t.jsonl.")
    ] = None,
    journal: Annotated[
        list[Path] | None,
        typer.Option(help="Journal of a run that made rows; those beside the files are found."),
    ] = None,
    push: Annotated[str, typer.Option(help="Upload to this Hub repository, as in me/data.")] = "",
    public: Annotated[
        bool, typer.Option("--public", help="Make a new Hub repository public.")
    ] = False,
) -> None:
    """Write parquet shards and a card that says what the data is, and push it where asked."""
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
        "audit": {},
        "contamination": {},
    }
    write_dataset(splits, facts, name or out.name, out)
    typer.echo(f"{facts['n_rows']} rows in {len(splits)} split(s) -> {out}")
    if push:
        typer.echo(push_dataset(out, push, is_private=not public))


def _read_all(paths: Sequence[Path]) -> list[Preference]:
    """All rows of a split; raises DataError for an id that occurs twice."""
    found: dict[str, Preference] = {}
    for path in paths:
        for pair in read_records(path, Preference):
            if pair.id in found:
                raise DataError(f"{path}: the id {pair.id} occurs twice in one split")
            found[pair.id] = pair
    return list(found.values())


def _journals(files: Sequence[Path], given: Sequence[Path]) -> list[Path]:
    beside = [journal_of(path) for path in files if journal_of(path).is_file()]
    return list(dict.fromkeys([*beside, *given]))
