"""How long a large run takes on many machines, as a simulation of its events; docs/cluster.md.

Slots (one CPU each) take shards from a queue; a shard starts, reads the whole input of its piece
and runs its rows; machines fail at random and come back, and what they ran is taken up again from
its journal. A piece is merged by one process when its last shard has ended. What a step takes are
constants of `Costs`, which are measured (`benchmarks/cluster.py merge`).

    python benchmarks/cluster_simulation.py --rows 1e8 --nodes 1,4,16,64,256 --pieces 100
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Seconds that a step takes; a row's are of one CPU, or of its share of a model server."""

    row: float
    read: float = 20e-6
    merge: float = 80e-6
    start: float = 5.0
    node_mtbf: float = 30 * 86400.0
    node_back: float = 600.0


@dataclass
class Shard:
    """A part of a piece, and how many of its rows are still to do."""

    piece: int
    rows: float


@dataclass
class Outcome:
    """Hours until the last piece is merged, and where the CPUs' time went."""

    hours: float
    n_lost: int
    busy: float
    reading: float
    merging_hours: float


def simulate(
    n_rows: float, costs: Costs, *, nodes: int, slots: int, pieces: int, shards: int, seed: int = 0
) -> Outcome:
    """One run of `pieces` with `shards` each on `nodes` machines of `slots` CPUs."""
    rng = random.Random(seed)
    of_piece = n_rows / pieces
    queue = deque(Shard(p, of_piece / shards) for p in range(pieces) for _ in range(shards))
    open_shards, ends = [shards] * pieces, [0.0] * pieces
    # (time, number, kind, node, shard, when it began)
    events: list[tuple[float, int, str, int, Shard | None, float]] = []
    numbers = iter(range(1 << 62))
    alive, idle = [True] * nodes, [slots] * nodes
    running = [dict[int, tuple[Shard, float]]() for _ in range(nodes)]
    overhead = costs.start + of_piece * costs.read
    busy = reading = 0.0
    n_lost = 0

    def push(time: float, kind: str, node: int, shard: Shard | None = None, at: float = 0.0) -> int:
        number = next(numbers)
        heapq.heappush(events, (time, number, kind, node, shard, at))
        return number

    def fill(now: float, node: int) -> None:
        while alive[node] and idle[node] and queue:
            shard = queue.popleft()
            idle[node] -= 1
            number = push(now + overhead + shard.rows * costs.row, "end", node, shard, now)
            running[node][number] = shard, now

    for node in range(nodes):
        push(rng.expovariate(1 / costs.node_mtbf), "fail", node)
        fill(0.0, node)
    while any(open_shards):
        now, number, kind, node, shard, began = heapq.heappop(events)
        if kind == "end" and number in running[node]:
            assert shard is not None
            del running[node][number]
            busy, reading = busy + now - began, reading + of_piece * costs.read
            open_shards[shard.piece] -= 1
            ends[shard.piece] = now
            idle[node] += 1
            fill(now, node)
        elif kind == "fail":
            alive[node] = False
            for lost, since in running[node].values():
                done = max(0.0, now - since - overhead) / costs.row
                queue.appendleft(Shard(lost.piece, max(0.0, lost.rows - done)))
                busy, n_lost = busy + now - since, n_lost + 1
            running[node].clear()
            push(now + costs.node_back, "back", node)
        elif kind == "back":
            alive[node], idle[node] = True, slots
            push(now + rng.expovariate(1 / costs.node_mtbf), "fail", node)
            fill(now, node)
    # Pieces merge where a CPU is free; the last ones wait for each other if there are few.
    free = [0.0] * (nodes * slots)
    heapq.heapify(free)
    last = 0.0
    for end in sorted(ends):
        done = max(end, heapq.heappop(free)) + of_piece * costs.merge
        heapq.heappush(free, done)
        last = max(last, done)
    return Outcome(last / 3600, n_lost, busy, reading, (last - max(ends)) / 3600)


def main() -> None:
    """Print a table: machines, hours, rows a second, share of the ideal, what is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e8)
    parser.add_argument("--nodes", default="1,4,16,64,256,1024")
    parser.add_argument("--slots", type=int, default=64, help="CPUs a machine.")
    parser.add_argument("--pieces", type=int, default=100, help="Files the input is cut into.")
    parser.add_argument("--shards", type=int, default=0, help="A piece [4 a slot in all].")
    parser.add_argument("--row-s", type=float, default=0.0062, help="CPU seconds a row.")
    given = parser.parse_args()
    costs = Costs(row=given.row_s)
    ideal = given.rows * costs.row / 3600
    print("machines   hours   rows/s   of ideal   reading   last merge h   shards taken up again")
    for nodes in map(int, given.nodes.split(",")):
        shards = given.shards or max(1, 4 * nodes * given.slots // given.pieces)
        found = simulate(
            given.rows, costs, nodes=nodes, slots=given.slots, pieces=given.pieces, shards=shards
        )
        share = ideal / (nodes * given.slots) / found.hours
        print(
            f"{nodes:>8} {found.hours:>7.2f} {given.rows / found.hours / 3600:>8.0f} {share:>9.0%} "
            f"{found.reading / found.busy:>9.1%} {found.merging_hours:>14.2f} {found.n_lost:>8}"
        )


if __name__ == "__main__":
    main()
