"""What a run took: tokens and dollars of all its replies, and the time of this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codefavor.backends.base import Backend, Usage
from codefavor.engine.context import Context
from codefavor.engine.counts import Counts
from codefavor.engine.prices import PriceTable
from codefavor.journal_manifest import Responses
from codefavor.judges.base import Judge
from codefavor.judges.jury import Cascade
from codefavor.judges.spec import JudgeSpec
from codefavor.records import Row


def is_elsewhere(spec: JudgeSpec, backends: Iterable[Backend]) -> bool:
    """Whether others than this process compute: a server, or the processes of the sandbox."""
    is_served = any(not backend.is_in_process for backend in backends)
    return is_served or "pool" in spec.needs()


def usage_of(
    records: Sequence[Row],
    counts: Counts,
    judge: Judge,
    context: Context,
    cpu_s: float | None,
    *,
    in_batch: bool,
) -> Row:
    """What the replies took and cost, whenever they were paid for, and what this call took."""
    taken = [
        (record["row"] if record["status"] == "ok" else record).get("usage", {})
        for record in records
    ]
    n_priced = sum(map(_is_counted, taken))
    used: dict[str, Usage] = {}
    for by_spec in taken:
        for spec, one in by_spec.items():
            used[spec] = used.get(spec, Usage()) + Usage(**one)
    total = sum(used.values(), Usage())
    asks = context.backend is not None
    # Unknown is not free: of a server that counts nothing nobody knows what its replies cost.
    is_paid_known = asks and not (counts.n_unsettled and not counts.input_tokens)
    prices = context.prices or PriceTable.load()
    usage: Row = {
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "usd": usd_of(used, prices, in_batch=in_batch) if asks and n_priced else None,
        "n_priced": n_priced,
        # Of all records, and how many of them nobody was asked for.
        **Responses(records).to_row(),
        # What was paid on this journal: less, where responses of another run were cached.
        "usd_paid": counts.usd if is_paid_known else None,
        # CPU seconds of this process for the pairs of this call, loading a model not counted;
        # None where others do the work: a server, or the processes of the sandbox.
        "cpu_s": None if cpu_s is None else round(cpu_s, 3),
        "n_timed": counts.n_ok,
    }
    if isinstance(judge, Cascade):
        # How often each member was asked: what a cascade saves.
        each = [record["row"]["asked"] for record in records if "asked" in (record["row"] or ())]
        sums = [sum(one[number] for one in each) for number in range(len(judge.names))]
        usage["asked"] = dict(zip(judge.names, sums, strict=True))
    return usage


def _is_counted(used: Row) -> bool:
    """Whether a row's tokens are known: a server that does not count leaves zeros."""
    return bool(used) and all(one["input_tokens"] for one in used.values())


def usd_of(used: Mapping[str, Usage], prices: PriceTable, *, in_batch: bool) -> float | None:
    """The price of these tokens by "backend:model"; None if any price is unknown."""
    total = 0.0
    for spec, usage in used.items():
        price = prices.price(spec)
        if price is None:
            return None
        total += (price.in_batch() if in_batch else price).cost_usd(usage)
    return total
