"""Which pairs are a benchmark's own: they are for evaluation only and must not be trained on."""

from __future__ import annotations

from pathlib import Path

from codefavor.errors import DataError
from codefavor.evaluation.codeprefbench import find_files, read_tasks
from codefavor.records import content_id


def pair_hash(first: str, second: str) -> str:
    """The sha256 of two programs in any order and with any white space."""
    return content_id(sorted("".join(code.split()) for code in (first, second)))


def benchmark_hashes(folder: Path | None) -> frozenset[str] | None:
    """The hash of every pair of CodePrefBench; None where its files are not in this folder.

    A copy is found, with its sides exchanged too; what is only near is for
    `codefavor pair decontaminate`.
    """
    try:
        files = find_files([folder] if folder else [])
    except DataError:
        return None
    tasks = read_tasks(files, comments="kept")
    return frozenset(pair_hash(task["chosen"], task["rejected"]) for task in tasks)
