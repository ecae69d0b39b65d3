"""Many processes, one budget: what is lent never adds up to more, whoever is lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
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
from tests.kit.clock import VirtualClock


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
            lent = (await coordinator.lend(0, name, (usd, tokens), needed, is_first)).caps
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
    assert (await coordinator.lend(0, "a", (0.0, 0), (0.9, 0), True)).caps == (1.0, None)
    assert (await coordinator.lend(1, "b", (0.0, 0), (0.5, 0), True)).caps is None
    # Whoever takes up its work finds a tenth of a dollar in the ledger.
    await coordinator.lend(0, "a", (0.1, 0), (0.1, 0), True)
    assert (await coordinator.lend(1, "b", (0.0, 0), (0.5, 0), False)).caps is not None


async def test_a_node_that_is_lost_with_its_ledger_again_and_again_spends_the_budget_once():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 1, {"a": (0.1, 0)})
    billed = 0.1
    for _ in range(3):
        # What is sent to each node is the ledger of the earlier run.
        used, is_first = 0.1, True
        while (await coordinator.lend(0, "a", (used, 0), (0.05, 0), is_first)).caps and used < 0.6:
            is_first = False
            used += 0.05
            billed += 0.05
    assert 0.5 < billed <= 1.0


async def test_what_was_spent_before_counts():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 8, {"a": (0.6, 0), "b": (0.3, 0)})
    assert (await coordinator.lend(2, "c", (0.0, 0), (0.2, 0), True)).caps is None
    assert (await coordinator.lend(2, "c", (0.0, 0), (0.05, 0), True)).caps is not None


async def test_more_may_come_until_all_have_asked_in_vain():
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 8, {})
    assert (await coordinator.lend(0, "a", (0.0, 0), (0.9, 0), True)).caps is not None
    # What a has in flight may cost less than it may.
    assert await coordinator.lend(1, "b", (0.0, 0), (0.5, 0), True) == Loan(None, may_come=True)
    assert await coordinator.lend(0, "a", (0.6, 0), (0.5, 0), False, n_reserved=1) == Loan(
        None, may_come=True
    )
    assert await coordinator.lend(1, "b", (0.0, 0), (0.5, 0), False) == Loan(None, may_come=True)
    assert await coordinator.lend(0, "a", (0.6, 0), (0.5, 0), False) == Loan(None)
    assert await coordinator.lend(1, "b", (0.0, 0), (0.5, 0), False) == Loan(None)
    assert (await coordinator.lend(1, "b", (0.0, 0), (0.4, 0), False)).caps is not None


async def test_nobody_waits_for_what_a_lost_process_has():
    clock = VirtualClock()
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 1, {}, clock)
    assert (await coordinator.lend(0, "a", (0.0, 0), (0.9, 0), True)).caps is not None
    for _ in range(9):
        # It runs a program, and says now and then that it is there.
        clock.now += 9
        await coordinator.here(0)
    needed = (0.2, 0)
    assert await coordinator.lend(1, "b", (0.0, 0), needed, True) == Loan(None, may_come=True)
    clock.now += 31
    # Killed. What it was lent may be spent: it is lent to nobody.
    assert await coordinator.lend(1, "b", (0.0, 0), needed, False) == Loan(None, n_lost=1)
    # Where a shard has ended there is room to take its work up, and the one who does asks later.
    await coordinator.leave(2)
    assert await coordinator.lend(1, "b", (0.0, 0), needed, False) == Loan(None, may_come=True)
    clock.now += 31
    await coordinator.begin(0)
    assert await coordinator.lend(1, "b", (0.0, 0), needed, False) == Loan(None, may_come=True)
    await coordinator.lend(0, "a", (0.3, 0), (0.1, 0), True)
    assert (await coordinator.lend(1, "b", (0.0, 0), needed, False)).caps is not None


async def test_nobody_waits_for_a_shard_that_had_nothing_left_to_ask():
    """Its process was lost at its very end; the one that took it up asks for nothing."""
    coordinator = Coordinator(Budget(usd=1.0), Limits(), 1, {})
    await coordinator.lend(0, "a", (0.0, 0), (0.9, 0), True)
    await coordinator.begin(0)
    await coordinator.leave(0)
    assert await coordinator.lend(1, "b", (0.0, 0), (0.2, 0), True) == Loan(None)


@dataclass
class Lent:
    """What a shard knows of a coordinator, as Ray gives it."""

    coordinator: Coordinator
    shard: int
    known: set[str] = field(default_factory=set)
    # Set once it has to wait for what others have.
    waits: asyncio.Event = field(default_factory=asyncio.Event)

    async def lend(self, ledger, used, needed, n_reserved):
        is_first = ledger not in self.known
        self.known.add(ledger)
        loan = await self.coordinator.lend(
            self.shard, ledger, used, needed, is_first, n_reserved=n_reserved
        )
        if loan.may_come:
            self.waits.set()
        return loan

    async def places(self, model, cap, start, said):
        return await self.coordinator.places(self.shard, model, cap, start, said)


class Model(FakeBackend):
    """One that several processes ask; who is asked `never` does not answer."""

    is_in_process = False

    def __init__(self):
        super().__init__("m", function=self.answer)
        self.asked = []

    async def answer(self, request):
        self.asked.append(request.messages[-1]["content"])
        if "never" in self.asked[-1]:
            await asyncio.Event().wait()
        return Response("x", "stop", Usage(40, 60))


async def ask(context, text, max_tokens):
    await context.ask([{"role": "user", "content": text}], sampling=Sampling(0, 1, max_tokens))


async def run_shard(lent, folder, model, step, ids, *, tokens, **options):
    """A shard in a process of its own: how many of its rows ended well."""
    with Journal.open(folder / f"{lent.shard}.journal", {}) as journal:
        counts = await run(
            step,
            [{"id": one} for one in ids],
            journal,
            context=Context(model),
            budget=Budget(tokens=0, lender=lent, whole=Budget(tokens=tokens)),
            **{"limits": Limits(places=lent), "concurrency": 4, **options},
        )
    ledger = (folder / f"{lent.shard}.journal.spent").resolve()
    await lent.coordinator.give_back(str(ledger), read_ledger(ledger).most())
    await lent.coordinator.leave(lent.shard)
    return counts.n_ok


async def test_a_lost_process_ends_the_run_once_the_budget_binds_and_the_next_run_goes_on(tmp_path):
    clock, model, tokens = VirtualClock(), Model(), 4000

    async def step(row, context):
        await ask(context, row["id"], 3000)
        return row

    coordinator = Coordinator(Budget(tokens=tokens), Limits(), 1, {}, clock)
    first, second = (Lent(coordinator, shard) for shard in range(2))
    killed = asyncio.ensure_future(
        run_shard(first, tmp_path, model, step, ["a 0", "a never"], tokens=tokens)
    )
    while "a never" not in model.asked:
        await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(
        run_shard(second, tmp_path, model, step, ["b 0", "b 1"], tokens=tokens)
    )
    await asyncio.wait_for(second.waits.wait(), 30)
    # A killed process says nothing more: what it had in flight stays in its ledger.
    at_kill = {one: one.read_bytes() for one in tmp_path.glob("0.journal*") if one.is_file()}
    killed.cancel()
    await asyncio.wait([killed])
    for path, content in at_kill.items():
        path.write_bytes(content)
    clock.now += 31
    with pytest.raises(BudgetError, match=r"run the same command .* that were lost \(1\)"):
        await asyncio.wait_for(waiting, 30)
    # What was in flight counts at its most; the rest of what the lost one had is free again.
    spent = {
        str(path.resolve()): read_ledger(path).most() for path in tmp_path.glob("*.journal.spent")
    }
    assert 3000 < sum(used for _, used in spent.values()) < 4000
    tokens = 7000
    again = Coordinator(Budget(tokens=tokens), Limits(), 1, spent, clock)
    for shard, ids in enumerate((["a 0", "a 1"], ["b 0", "b 1"])):
        lent = Lent(again, shard)
        n_ok = await run_shard(lent, tmp_path, model, step, ids, tokens=tokens)
        assert n_ok == 2 - (shard == 0)  # the one that had ended is not run again
    assert model.asked == ["a 0", "a never", "a 1", "b 0", "b 1"]


async def test_a_run_that_is_told_to_end_waits_for_nobody(tmp_path):
    interrupted, model = asyncio.Event(), Model()

    async def step(row, context):
        await ask(context, row["id"], 100)
        return row

    class Others:
        async def lend(self, ledger, used, needed, n_reserved):
            interrupted.set()
            return Loan(None, may_come=True)

    ending = run(
        step,
        [{"id": str(n)} for n in range(100)],
        Journal.open(tmp_path / "o.journal", {}),
        context=Context(model),
        concurrency=64,
        budget=Budget(tokens=0, lender=Others()),
        interrupted=interrupted,
    )
    counts = await asyncio.wait_for(ending, 30)
    assert counts.n == 0 and not model.asked


async def test_who_waits_for_the_budget_has_no_place_that_its_holder_needs(tmp_path):
    """All places were of the one who waits, and the other, who could pay, waited for a place."""
    model, coordinator = Model(), Coordinator(Budget(tokens=4000), Limits(), 1, {})
    first, second = (Lent(coordinator, shard) for shard in range(2))
    has_places = asyncio.Event()

    async def holder(row, context):
        await ask(context, row["id"], 1500)
        # Runs a program meanwhile, and has no place of its own.
        await has_places.wait()
        await ask(context, f"{row['id']} again", 1500)
        return row

    async def other(row, context):
        await ask(context, row["id"], 3200)
        return row

    holding = asyncio.ensure_future(run_shard(first, tmp_path, model, holder, ["a"], tokens=4000))
    while not model.asked:
        await asyncio.sleep(0.01)
    # Its places are free again where it says that it needs none, a second later.
    lender = coordinator._places["fake:m"]
    while lender._holders:
        await asyncio.sleep(0.05)
    waiting = asyncio.ensure_future(
        run_shard(second, tmp_path, model, other, list("bcde"), tokens=4000)
    )
    await asyncio.wait_for(second.waits.wait(), 30)
    has_places.set()
    assert await asyncio.wait_for(holding, 30) == 1
    assert await asyncio.wait_for(waiting, 30) == 4
    assert model.asked[:2] == ["a", "a again"]


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
                budget=Budget(tokens=0, lender=Lent(coordinator, shard)),
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
