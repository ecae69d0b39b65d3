"""How the rows of a run ended, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


def by_number(counter: Mapping[str, int], most: int | None = None) -> dict[str, int]:
    """The counts, largest first and then by name: so it hangs on no order in which rows ended."""
    return dict(sorted(counter.items(), key=lambda one: (-one[1], one[0]))[:most])


@dataclass(frozen=True)
class Counts:
    """How the rows of one call ended.

    n is the sum of ok, rejected, error, resumed, duplicates and pending. `n_resumed` rows had
    ended in an earlier call, `n_old_errors` of them as errors; `n_duplicates` repeat an id of
    this input; `n_pending` wait for a batch. `reasons` counts rejections and errors by reason.
    `n_requests` were sent, `n_cached` answered from the cache; tokens and dollars are
    those of all calls on this journal (`usd` None: the price is unknown). `n_unsettled` requests
    have no known cost (see `budget.OF_UNKNOWN_COST`): at most `unsettled_usd` and
    `unsettled_tokens` in all. `shard` names the part of the input that these rows are: "" for a
    run of its own, `all` for what was taken over from shards.
    """

    n: int = 0
    n_ok: int = 0
    n_rejected: int = 0
    n_error: int = 0
    n_resumed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    n_old_errors: int = 0
    n_duplicates: int = 0
    n_pending: int = 0
    n_requests: int = 0
    n_cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    n_unsettled: int = 0
    unsettled_usd: float = 0.0
    unsettled_tokens: int = 0
    shard: str = ""

    @property
    def is_part(self) -> bool:
        """Whether these are the rows of one shard."""
        return self.shard not in ("", "all")

    @property
    def is_whole(self) -> bool:
        """Whether every row of the input has ended, so that a result can be made of them."""
        return not (self.n_pending or self.is_part)
