"""What earlier runs of an output left: rows, shards, and what these have spent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codefavor.engine.budget import Amount
from codefavor.engine.ledger import ledgers_of, read_ledger
from codefavor.engine.shards import FOLDER, shard_journals
from codefavor.errors import ConfigError
from codefavor.journal import own_records


def refuse_plain_rows(journals: Iterable[Path]) -> None:
    """Raise ConfigError for rows of a run without shards: these would be asked and paid again."""
    for journal in journals:
        if n := sum(1 for _ in own_records(journal)):
            raise ConfigError(
                f"--ray: {journal} holds {n} rows of a run without --ray, which its shards would "
                "ask for again; go on without --ray, name another output, or use --fresh"
            )


def divided_into(journals: Iterable[Path], wanted: int | None) -> int | None:
    """Into how many shards the run of these journals is divided; None for a new one."""
    found = {one.n: path for journal in journals for one, path in shard_journals(journal)}
    if not found:
        return wanted
    earlier, path = max(found.items())
    if len(found) > 1 or wanted not in (None, earlier):
        divisions = " and of ".join(map(str, sorted(found)))
        folder = next(one for one in path.parents if one.name == FOLDER)
        asked = f"--shards {wanted}" if wanted else "--ray"
        raise ConfigError(
            f"{asked}: {folder} holds shards of {divisions} of this output; go on with one "
            "division (leave the option out), and move other ones away"
        )
    return earlier


def spent_before(journals: Iterable[Path]) -> dict[str, Amount]:
    """What the ledgers of these journals and of all their shards came to, by their names."""
    return {
        str(path.resolve()): read_ledger(path).most()
        for journal in journals
        for one in (journal, *(path for _, path in shard_journals(journal)))
        for path in ledgers_of(one)
    }
