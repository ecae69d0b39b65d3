"""Many processes, one budget: what is lent never adds up to more, whoever is lost on the way."""

from __future__ import annotations

import random

import pytest

from codefavor.engine.budget import Budget
from codefavor.engine.coordinator import Coordinator
from codefavor.engine.limits import Limits


@pytest.mark.parametrize("seed", range(20))
async def test_processes_that_are_lost_at_random_never_spend_more_than_the_budget(seed):
    rng = random.Random(seed)
    coordinator = Coordinator(Budget(usd=1.0, tokens=100_000), Limits(), 8, {})
    spent: dict[str, tuple[float, int]] = {f"ledger {n}": (0.0, 0) for n in range(8)}
    gone: list[tuple[float, int]] = []
    caps: dict[str, tuple[float, int]] = {}
    for _ in range(2000):
        name = rng.choice(list(spent))
        usd, tokens = spent[name]
        needed = rng.uniform(0, 0.01), rng.randrange(1000)
        if (
            name not in caps
            or usd + needed[0] > caps[name][0]
            or tokens + needed[1] > caps[name][1]
        ):
            lent = await coordinator.lend(name, (usd, tokens), needed, name not in caps)
            if lent is None:
                # A process that gets nothing ends, and gives back what it has left.
                await coordinator.give_back(name, (usd, tokens))
                caps.pop(name, None)
                continue
            caps[name] = lent
            assert usd + needed[0] <= lent[0] and tokens + needed[1] <= lent[1]
        spent[name] = usd + rng.uniform(0, needed[0]), tokens + rng.randrange(needed[1] + 1)
        if rng.random() < 0.02:
            del caps[name]
            if rng.random() < 0.5:
                # Its node had the only copy of its ledger.
                gone.append(spent[name])
                spent[name] = 0.0, 0
        everything = [*spent.values(), *gone]
        assert sum(one[0] for one in everything) <= 1.0 + 1e-9
        assert sum(one[1] for one in everything) <= 100_000
    assert sum(one[0] for one in [*spent.values(), *gone]) > 0.2


async def test_a_lost_process_gives_back_what_its_ledger_has_not():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 1, {})
    first = await coordinator.lend("a", (0.0, 0), (0.9, 0), True)
    assert first == (1.0, None)
    assert await coordinator.lend("b", (0.0, 0), (0.5, 0), True) is None
    # Whoever takes up its work finds a tenth of a dollar in the ledger.
    await coordinator.lend("a", (0.1, 0), (0.1, 0), True)
    assert await coordinator.lend("b", (0.0, 0), (0.5, 0), False) is not None


async def test_what_was_spent_before_counts():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 8, {"a": (0.6, 0), "b": (0.3, 0)})
    assert await coordinator.lend("c", (0.0, 0), (0.2, 0), True) is None
    assert await coordinator.lend("c", (0.0, 0), (0.05, 0), True) is not None


async def test_progress_is_the_sum_of_the_shards():
    coordinator = Coordinator(None, Limits(), 8, {})
    assert await coordinator.begin(0) == 0
    await coordinator.note(0, 3, 9, {"usd": 0.5})
    assert await coordinator.begin(0) == 1
    await coordinator.note(1, 4, 9, {"usd": 0.25})
    found = await coordinator.progress()
    assert found == {"n": 7, "restarts": 1, "fields": {"usd": 0.75}}
