"""Many processes, one budget: what is lent never adds up to more, whoever is lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from codefavor.backends.base import Response, Sampling, Usage
from codefavor.backends.fake import FakeBackend
from codefavor.engine import Context
from codefavor.engine.budget import Budget, Loan
from codefavor.engine.coordinator import Coordinator
from codefavor.engine.ledger import read_ledger
from codefavor.engine.limits import Limits
from codefavor.engine.runner import run
from codefavor.errors import BudgetError
from codefavor.journal import Journal


@pytest.mark.parametrize("seed", range(20))
async def test_processes_that_are_lost_at_random_never_spend_more_than_the_budget(seed):
    rng = random.Random(seed)
    # What an earlier run has spent is in the ledgers that lie here.
    sent = {f"ledger {n}": (0.0, 0) if n % 2 else (0.01 * n, 500 * n) for n in range(8)}
    coordinator = Coordinator(Budget(usd=1.0, tokens=100_000), Limits(), 8, sent)
    spent = dict(sent)
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
            is_first = name not in caps
            lent = (await coordinator.lend(name, (usd, tokens), needed, is_first)).caps
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
                # Its node had the only copy of its ledger; the next one is sent that of before.
                usd, tokens = sent[name]
                gone.append((spent[name][0] - usd, spent[name][1] - tokens))
                spent[name] = sent[name]
        everything = [*spent.values(), *gone]
        assert sum(one[0] for one in everything) <= 1.0 + 1e-9
        assert sum(one[1] for one in everything) <= 100_000
    assert sum(one[0] for one in [*spent.values(), *gone]) > 0.2


async def test_a_lost_process_gives_back_what_its_ledger_has_not():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 1, {})
    assert (await coordinator.lend("a", (0.0, 0), (0.9, 0), True)).caps == (1.0, None)
    assert (await coordinator.lend("b", (0.0, 0), (0.5, 0), True)).caps is None
    # Whoever takes up its work finds a tenth of a dollar in the ledger.
    await coordinator.lend("a", (0.1, 0), (0.1, 0), True)
    assert (await coordinator.lend("b", (0.0, 0), (0.5, 0), False)).caps is not None


async def test_a_node_that_is_lost_with_its_ledger_again_and_again_spends_the_budget_once():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 1, {"a": (0.1, 0)})
    billed = 0.1
    for _ in range(3):
        # What is sent to each node is the ledger of the earlier run.
        used, is_first = 0.1, True
        while (await coordinator.lend("a", (used, 0), (0.05, 0), is_first)).caps and used < 0.6:
            is_first = False
            used += 0.05
            billed += 0.05
    assert 0.5 < billed <= 1.0


async def test_what_was_spent_before_counts():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 8, {"a": (0.6, 0), "b": (0.3, 0)})
    assert (await coordinator.lend("c", (0.0, 0), (0.2, 0), True)).caps is None
    assert (await coordinator.lend("c", (0.0, 0), (0.05, 0), True)).caps is not None


async def test_more_may_come_until_all_have_asked_in_vain():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 8, {})
    assert (await coordinator.lend("a", (0.0, 0), (0.9, 0), True)).caps is not None
    # What a has in flight may cost less than it may.
    assert await coordinator.lend("b", (0.0, 0), (0.5, 0), True) == Loan(None, may_come=True)
    assert await coordinator.lend("a", (0.6, 0), (0.5, 0), False, 1) == Loan(None, may_come=True)
    assert await coordinator.lend("b", (0.0, 0), (0.5, 0), False) == Loan(None, may_come=True)
    assert await coordinator.lend("a", (0.6, 0), (0.5, 0), False) == Loan(None)
    assert await coordinator.lend("b", (0.0, 0), (0.5, 0), False) == Loan(None)
    assert (await coordinator.lend("b", (0.0, 0), (0.4, 0), False)).caps is not None


class Lent:
    """What a shard knows of a coordinator, as Ray gives it."""

    def __init__(self, coordinator):
        self.coordinator, self.known = coordinator, set()

    async def lend(self, ledger, used, needed, n_reserved):
        is_first = ledger not in self.known
        self.known.add(ledger)
        return await self.coordinator.lend(ledger, used, needed, is_first, n_reserved)


async def test_a_budget_is_spent_by_eight_processes_as_by_one(tmp_path):
    """Reservations of all eight do not fit at once: who has to wait must not end the run."""
    coordinator, n_sent = Coordinator(Budget(tokens=10_000), Limits(), 8, {}), 0

    async def answer(request):
        nonlocal n_sent
        n_sent += 1
        await asyncio.sleep(0.01)
        return Response("x", "stop", Usage(40, 60))

    async def ask(row, context):
        await context.ask([{"role": "user", "content": row["id"]}], sampling=Sampling(0, 1, 3000))
        return row

    async def run_one(shard):
        journal = Journal.open(tmp_path / f"{shard}.journal", {})
        with journal, contextlib.suppress(BudgetError):
            await run(
                ask,
                [{"id": f"{shard} {n}"} for n in range(30)],
                journal,
                context=Context(FakeBackend("m", function=answer)),
                concurrency=4,
                budget=Budget(tokens=0, lender=Lent(coordinator)),
            )
        name = str((tmp_path / f"{shard}.journal.spent").resolve())
        await coordinator.give_back(name, read_ledger(Path(name)).most())

    await asyncio.gather(*map(run_one, range(8)))
    # 100 tokens each; the last one that is sent finds at least 3,100 left.
    assert 60 <= n_sent <= 100


async def test_progress_is_the_sum_of_the_shards():
    coordinator = Coordinator(None, Limits(), 8, {})
    assert await coordinator.begin(0) == 0
    await coordinator.note(0, 3, 9, {"usd": 0.5})
    assert await coordinator.begin(0) == 1
    await coordinator.note(1, 4, 9, {"usd": 0.25})
    found = await coordinator.progress()
    assert found == {"n": 7, "restarts": 1, "fields": {"usd": 0.75}}
