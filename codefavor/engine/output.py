"""From a journal to the file that the next command reads: whole or not at all, in a fixed order."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from codefavor.engine.counts import Counts
from codefavor.engine.runner import Step, run_sync
from codefavor.errors import ConfigError
from codefavor.journal import Journal, ok_positions, read_record_at
from codefavor.journal_manifest import Responses, note_responses
from codefavor.records import Row, write_rows

logger = logging.getLogger(__name__)

Expand = Callable[[Row], Iterator[Row]]


def journal_of(out: Path) -> Path:
    """The journal of the run whose result is `out`. Raises ConfigError if that is a folder."""
    if out.is_dir():
        # Said now: the file is written last, when everything has been paid for.
        raise ConfigError(f"{out}: is a folder; name the file to write")
    return out.with_name(out.name + ".journal")


def run_to_file(
    step: Step,
    rows: Any,
    out: Path,
    *,
    manifest: Mapping[str, Any],
    expand: Expand | None = None,
    beside: Mapping[Path, Expand] | None = None,
    run: Callable[..., Counts] = run_sync,
    **options: Any,
) -> Counts:
    """Run a step over rows with the journal of `out`, then write `out` from what ended ok.

    Of a shard there is only the journal, and of a batch as long as a row waits for it. `run` runs
    as `run_sync` does, with these `options`. The rows of `out` are sorted by the id of their input
    row, so the file does not depend on which answers came first; `expand` makes several of each, or
    none. `beside` are further files made so from the same results.
    """
    with Journal.open(journal_of(out), manifest) as journal:
        counts = run(step, rows, journal, **options)
        if counts.is_whole:
            _finish(journal, {out: expand, **(beside or {})})
    return counts


def _finish(journal: Journal, files: Mapping[Path, Expand | None]) -> None:
    """Write the files from the rows of this input, and into the manifest what they rest on."""
    for out, expand in files.items():
        responses = Responses()
        others = Counter[str]()
        write_rows(out, _rows_at(journal.path, _ended_here(journal, responses, others), expand))
    note_responses(journal.path, responses)
    if others:
        words = "%s: %d results of rows that are not in this input; they stay there"
        logger.warning(words, journal.path, others["ok"])


def _ended_here(
    journal: Journal, responses: Responses, others: Counter[str]
) -> Iterator[tuple[str, int]]:
    for row_id, position in ok_positions(journal.path, responses):
        if journal.input_ids is None or row_id in journal.input_ids:
            yield row_id, position
        else:
            others["ok"] += 1


def _rows_at(
    journal: Path, ended: Iterable[tuple[str, int]], expand: Expand | None
) -> Iterator[Row]:
    with open(journal, "rb") as handle:
        for _, position in sorted_outside(ended, journal.parent):
            row = read_record_at(handle, position)["row"]
            if expand is None:
                yield row
            else:
                yield from expand(row)


def sorted_outside(
    items: Iterable[tuple[str, int]], folder: Path, *, n_in_memory: int = 50_000
) -> Iterator[tuple[str, int]]:
    """`sorted(items)` of any number: what does not fit lies in temporary files in `folder`."""
    with contextlib.ExitStack() as stack:
        parts: list[Iterator[tuple[str, int]]] = []
        rest = iter(items)
        while part := sorted(itertools.islice(rest, n_in_memory)):
            if len(part) < n_in_memory:
                parts.append(iter(part))
                break
            # Pickled one by one: an id may be any text, half a surrogate pair included.
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            for item in part:
                pickle.dump(item, file, protocol=4)
            file.seek(0)
            parts.append(_unpickled(file, len(part)))
        yield from heapq.merge(*parts)


def _unpickled(file: IO[bytes], n: int) -> Iterator[tuple[str, int]]:
    return (pickle.load(file) for _ in range(n))
