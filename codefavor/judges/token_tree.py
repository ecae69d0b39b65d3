"""Token sequences with shared beginnings as trees, so that a shared token is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class TokenTree:
    """A tree of tokens; every sequence put into it is one path from the root.

    `parents` holds the index of each node's predecessor (-1 for a first token; always smaller
    than the node's own index), `depths` its position in its sequence, `paths` the nodes of
    each sequence in order, `members` the caller's numbers of these sequences.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, sequence: Sequence[int], member: int) -> None:
        """Put a sequence in; its tokens beyond the longest known beginning become nodes."""
        path: list[int] = []
        parent = -1
        for depth, token in enumerate(sequence):
            node = self._children.get((parent, token))
            if node is None:
                node = len(self.tokens)
                self._children[(parent, token)] = node
                self.tokens.append(token)
                self.parents.append(parent)
                self.depths.append(depth)
            path.append(node)
            parent = node
        self.paths.append(path)
        self.members.append(member)

    @property
    def is_chain(self) -> bool:
        """Whether plain causal attention is enough: there is no branch."""
        return len(self.paths) == 1


def build_trees(
    sequences: Sequence[Sequence[int]], *, pair_cost: float, is_shared: bool = True
) -> list[TokenTree]:
    """All sequences in trees, in the order of their tokens.

    `pair_cost` is the cost of one attention pair in units of the other cost of one token.
    A sequence joins the tree before it only where the tokens saved outweigh the larger square
    of attention. With `is_shared` False every sequence is a tree of its own.
    """
    order = sorted(range(len(sequences)), key=lambda index: list(sequences[index]))
    trees: list[TokenTree] = []
    previous: Sequence[int] = ()
    for index in order:
        sequence = sequences[index]
        n_shared = _n_shared(previous, sequence) if is_shared else 0
        n_new = len(sequence) - n_shared
        joined = not trees or _is_worth_joining(len(trees[-1]), n_shared, n_new, pair_cost)
        if not trees or not n_shared or not joined:
            trees.append(TokenTree())
        trees[-1].add(sequence, index)
        previous = sequence
    return trees


def _n_shared(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (first, second) in enumerate(zip(left, right, strict=False)):
        if first != second:
            return index
    return min(len(left), len(right))


def _is_worth_joining(n_nodes: int, n_shared: int, n_new: int, pair_cost: float) -> bool:
    more_pairs = (n_nodes + n_new) ** 2 - n_nodes**2 - (n_shared + n_new) ** 2
    return n_shared > more_pairs * pair_cost


def batch_by_budget(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches of like size, longest first, each within `budget` after padding.

    One item above the budget is a batch of its own.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(index)
        else:
            longest = sizes[index]
            batches.append([index])
    return batches
