"""Token sequences laid out in rows, so that a beginning that several share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Span = tuple[int, int]


class Run(NamedTuple):
    """New tokens of one sequence: the nodes [start, stop), which see `before` and each other."""

    start: int
    stop: int
    before: tuple[Span, ...]


@dataclass
class TokenRow:
    """Tokens of several sequences one after another, those of a shared beginning once.

    Nodes are numbered from 0: first `n_carried` tokens that the row before has computed (its
    nodes `handed_on`), then the row's own `tokens`, whose positions in their sequences are
    `depths`. For each sequence, `members` holds the caller's number of it, `spans` its nodes in
    order, and `n_shared` how many of its first tokens are those of the sequence before it.
    """

    n_carried: int = 0
    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    spans: list[tuple[Span, ...]] = field(default_factory=list)
    n_shared: list[int] = field(default_factory=list)
    handed_on: tuple[Span, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, sequence: Sequence[int], member: int, n_shared: int = 0) -> None:
        """Put a sequence in; its first `n_shared` tokens are those of the sequence before it."""
        before = _first(self.spans[-1] if self.spans else ((0, self.n_carried),), n_shared)
        start = self.n_carried + len(self)
        stop = start + len(sequence) - n_shared
        own: tuple[Span, ...] = ()
        if stop > start:
            self.tokens += sequence[n_shared:]
            self.depths += range(n_shared, len(sequence))
            self.runs.append(Run(start, stop, before))
            own = ((start, stop),)
        self.members.append(member)
        self.spans.append((*before, *own))
        self.n_shared.append(n_shared)

    def nodes(self, index: int) -> list[int]:
        """The nodes of the sequence added as number `index`, in order."""
        return [node for start, stop in self.spans[index] for node in range(start, stop)]

    def next_row(self, n_shared: int) -> TokenRow:
        """A row for a sequence whose first `n_shared` tokens are those of the last one here."""
        self.handed_on = _first(self.spans[-1], n_shared)
        return TokenRow(n_carried=n_shared)


def pack_shared(sequences: Sequence[Sequence[int]], budget: int) -> list[TokenRow]:
    """All sequences in rows of up to `budget` tokens, each row carrying on from the one before.

    No sequence is empty; one that adds more tokens than the budget is a row of its own.
    """
    rows: list[TokenRow] = []
    previous: Sequence[int] = ()
    for index in sorted(range(len(sequences)), key=lambda index: list(sequences[index])):
        sequence = sequences[index]
        n_shared = _n_shared(previous, sequence)
        n_new = len(sequence) - n_shared
        if not rows:
            rows.append(TokenRow())
        elif n_new and len(rows[-1]) + n_new > budget:
            rows.append(rows[-1].next_row(n_shared))
        rows[-1].add(sequence, index, n_shared)
        previous = sequence
    return rows


def pack_alone(sequences: Sequence[Sequence[int]], budget: int) -> list[TokenRow]:
    """Each sequence a run of its own; rows hold sequences of like length, longest first.

    The runs of a row, padded to the longest of them, are within `budget` tokens (one run above
    the budget is a row of its own).
    """
    rows: list[TokenRow] = []
    longest = 0
    for index in sorted(range(len(sequences)), key=lambda index: -len(sequences[index])):
        if not rows or (len(rows[-1].runs) + 1) * longest > budget:
            rows.append(TokenRow())
            longest = len(sequences[index])
        rows[-1].add(sequences[index], index)
    return rows


def _n_shared(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (first, second) in enumerate(zip(left, right, strict=False)):
        if first != second:
            return index
    return min(len(left), len(right))


def _first(spans: Sequence[Span], n_tokens: int) -> tuple[Span, ...]:
    kept: list[Span] = []
    for start, stop in spans:
        if n_tokens <= 0:
            break
        kept.append((start, min(stop, start + n_tokens)))
        n_tokens -= stop - start
    return tuple(kept)
