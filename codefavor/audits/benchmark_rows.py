"""Which pairs are a benchmark's own: they are for evaluation only and must not be trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from codefavor.benchmarks.codeprefbench import find_files, read_tasks
from codefavor.benchmarks.published import BENCHMARKS, load_items
from codefavor.errors import DataError
from codefavor.records import Preference, content_id

# 64 bits tell a few thousand pairs apart, and nothing can be read from them.
_DIGITS = 16
_FILE = "benchmark_hashes.txt"


def pair_hash(first: str, second: str) -> str:
    """16 hex digits of the sha256 of two programs in any order and with any white space."""
    return content_id(sorted("".join(code.split()) for code in (first, second)))[:_DIGITS]


def shipped_hashes() -> dict[str, frozenset[str]]:
    """The hashes that come with the package, by benchmark: its files need not be at hand."""
    text = (files("codefavor.audits") / _FILE).read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, one = line.split()
            found.setdefault(name, set()).add(one)
    return {name: frozenset(hashes) for name, hashes in found.items()}


def known_hashes(folder: Path | None = None) -> dict[str, frozenset[str]]:
    """The hash of every pair of a benchmark, by name: the shipped ones and those of `folder`.

    A copy is found, with its sides exchanged or its comments removed too; what is only near is
    for `codefavor pair decontaminate`.
    """
    found = dict(shipped_hashes())
    for name, hashes in (local_hashes(folder) if folder is not None else {}).items():
        found[name] = found.get(name, frozenset()) | hashes
    return found


def local_hashes(folder: Path) -> dict[str, frozenset[str]]:
    """The hashes of the pairs of every benchmark whose files lie in this folder."""
    found = {}
    try:
        paths = find_files([folder])
    except DataError:
        pass
    else:
        tasks = [t for rule in ("keep", "strip") for t in read_tasks(paths, comments=rule)]
        found["codeprefbench"] = frozenset(pair_hash(t["chosen"], t["rejected"]) for t in tasks)
    for name, source in BENCHMARKS.items():
        if all((folder / place.file).is_file() for place in source.locations):
            items = load_items(name, data_dir=folder)
            found[name] = frozenset(pair_hash(i["chosen"], i["rejected"]) for i in items)
    return found


def without_benchmark(
    pairs: Sequence[Preference], folder: Path | None = None
) -> tuple[list[Preference], Counter[str]]:
    """The pairs that are no benchmark's own, and how many of each benchmark's were among them."""
    name_of = {one: name for name, hashes in known_hashes(folder).items() for one in hashes}
    found = [name_of.get(pair_hash(pair.chosen, pair.rejected)) for pair in pairs]
    kept = [pair for pair, name in zip(pairs, found, strict=True) if name is None]
    return kept, Counter(name for name in found if name is not None)


def hash_lines(found: Mapping[str, frozenset[str]]) -> list[str]:
    """The shipped file's lines for these hashes."""
    head = [
        "# Pairs of benchmarks, for evaluation only: `codefavor convert` refuses to train on them.",
        "# name and 16 hex digits of a sha256, see pair_hash in benchmark_rows.py.",
    ]
    rows = [f"{name} {one}" for name, hashes in sorted(found.items()) for one in sorted(hashes)]
    return [f"{line}\n" for line in (*head, *rows)]
