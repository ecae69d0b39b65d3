"""Finding the rows of a published benchmark: a data folder first, then the Hugging Face Hub."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codefavor.errors import DataError, MissingPackageError
from codefavor.records import Row
from codefavor.settings import DATA_VARIABLE
from codefavor.sources.row_files import read_any_rows


@dataclass(frozen=True)
class Location:
    """Where one benchmark lies.

    `file` is its path inside the data folder, or a pattern of several files ("x/data/*.json"),
    whose rows are read in the order of their names; `hub` is the name of the dataset on the Hub,
    `config` its configuration ("" for the only one), `splits` the splits read in order,
    `data_files` a JSONL inside the dataset that is read instead of what its script makes ("").
    """

    name: str
    file: str
    hub: str
    license: str
    config: str = ""
    splits: tuple[str, ...] = ("test",)
    data_files: str = ""


def locate_rows(location: Location, data_dir: Path | None) -> Iterator[tuple[str, Row]]:
    """Each row as ("where it stands", row): from the data folder if it has the file, else from the
    Hub.

    Raises DataError, saying every way to get the data, when neither has it.
    """
    paths = files_of(location, data_dir)
    if not paths:
        yield from _hub_rows(location)
    for path in paths:
        yield from read_any_rows(path)


def files_of(location: Location, data_dir: Path | None) -> list[Path]:
    """The files of a benchmark in the data folder, in the order of their names; [] without any."""
    if data_dir is None or not location.file:
        return []
    return sorted(path for path in data_dir.glob(location.file) if path.is_file())


def files_in(location: Location, folder: Path) -> list[Path]:
    """The files of a benchmark in a copy of what was published, or in any folder of it, or those
    that are called as its splits are; [] without any."""
    parts = location.file.split("/")
    for start in range(len(parts)):
        found = sorted(one for one in folder.glob("/".join(parts[start:])) if one.is_file())
        if found:
            return found
    ends = (".jsonl", ".jsonl.gz", ".json", ".parquet")
    files = [one for one in sorted(folder.iterdir()) if one.name.endswith(ends) and one.is_file()]
    return [one for split in location.splits for one in files if one.name.split(".")[0] == split]


def how_to_get(location: Location) -> str:
    """One sentence that says how a user brings this data here."""
    if not location.file:
        return "A folder for `datasets` holds parquet, JSON lines or CSV files of one split"
    return (
        f"To get {location.name}, set {DATA_VARIABLE} to a folder that holds {location.file}, or "
        f"use a machine that reaches the Hugging Face Hub ({location.hub}; "
        f"pip install 'codefavor[hub]')"
    )


def _hub_rows(location: Location) -> Iterator[tuple[str, Row]]:
    try:
        # By name: type checkers take the folder `datasets/` of a clone for the package.
        load_dataset = importlib.import_module("datasets").load_dataset
    except ImportError as error:
        raise MissingPackageError("datasets", "hub", f"{location.name} from the Hub") from error
    for split in location.splits:
        try:
            if location.data_files:
                files = f"hf://datasets/{location.hub}/{location.data_files}"
                table = load_dataset("json", data_files=files, split=split)
            else:
                table = load_dataset(location.hub, location.config or None, split=split)
        # The client raises its own, requests' and the standard library's errors, by version.
        except Exception as error:
            raise DataError(
                f"{location.name}: {location.hub} gave nothing ({type(error).__name__}: {error}). "
                f"{how_to_get(location)}"
            ) from error
        for number, row in enumerate(table):
            yield f"{location.hub}[{split}]:{number}", dict(row)
