"""A judge that is loaded once and compares again and again, and how its chat models are asked."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_type_hints, overload

from codefavor.api.loop import close_on_loop, on_loop
from codefavor.backends import Backend, Request, Response
from codefavor.backends.microbatch import gather_all
from codefavor.benchmarks.pairs_benchmark import items_of
from codefavor.engine import Budget, Context, PriceTable, ResponseCache
from codefavor.engine.context import Clients
from codefavor.engine.ledger import Ledger, read_spent
from codefavor.engine.runner import ENDS_RUN
from codefavor.errors import ConfigError
from codefavor.judges.base import Judge, bind
from codefavor.judges.options import check_type, checked_rows, refuse_idle
from codefavor.judges.sandboxed import TestBench
from codefavor.judges.spec import JudgeSpec, parse_judge
from codefavor.records import Comparison, Preference, Verdict, content_id
from codefavor.settings import data_folder, default_cache
from codefavor.sources.problems import load_problems


@dataclass(frozen=True)
class Asking:
    """How chat models are asked; what is None is as in every command."""

    concurrency: int | None = None
    cache: str | Path | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    prices: str | Path | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for a value of another type."""
        for name, kind in get_type_hints(Asking).items():
            check_type(name, getattr(self, name), kind)
        if self.n_at_once < 1:
            raise ConfigError(f"concurrency must be at least 1; found {self.concurrency}")

    def or_else(self, other: Asking) -> Asking:
        """The same, with what the other says where this one says nothing."""
        mine = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(other, **mine)

    @property
    def n_at_once(self) -> int:
        """The most requests in flight."""
        return 64 if self.concurrency is None else self.concurrency

    def budget(self) -> Budget:
        """What may be spent."""
        return Budget(self.budget_usd, self.budget_tokens)

    def context(self, backend: Backend | None, seed: int, stack: ExitStack) -> Context:
        """What asks this backend; its file of cached responses is closed with the stack."""
        if backend is None:
            return Context()
        table = PriceTable.load(Path(self.prices) if self.prices else None)
        store = stack.enter_context(closing(ResponseCache(Path(self.cache or default_cache()))))
        return Context(backend, seed=seed, cache=store, prices=table)


@dataclass(frozen=True)
class _Together:
    """The clients of one call, among those of all calls of a judge: of each backend so many places
    are theirs together."""

    clients: Clients
    places: Mapping[int, asyncio.Semaphore]

    async def ask(
        self, backend: Backend, request: Request, row_id: str, occurrence: int
    ) -> Response:
        """The answer, once there is a place."""
        async with self.places[id(backend)]:
            return await self.clients.ask(backend, request, row_id, occurrence)


class LoadedJudge:
    """A judge that is ready: `load_judge` makes it. Close it, or use it in a `with` block."""

    def __init__(
        self,
        spec: JudgeSpec,
        judge: Judge,
        stack: ExitStack,
        *,
        context: Context,
        asking: Asking,
        backend_options: Mapping[str, object] | None = None,
    ) -> None:
        self.spec = spec
        self.backend_options = backend_options
        self.judge = judge
        self.name = judge.name
        self.asking = asking
        self._context = context
        self._ledger = Ledger()
        self._places = defaultdict[int, asyncio.Semaphore](
            lambda: asyncio.Semaphore(asking.n_at_once)
        )
        # What its evaluations may have taken, by the rows of their results.
        self._evaluated: dict[Path, tuple[float, int]] = {}
        self._pid = os.getpid()
        self._is_closed = False
        self._state = threading.Condition()
        # The threads that compare now.
        self._comparing: list[int] = []
        # Also where nobody closes it: when the last name for it goes, or the process ends.
        self._closing = weakref.finalize(self, _close_here, stack, self._pid)

    @overload
    def compare(self, comparisons: Comparison) -> Verdict: ...
    @overload
    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]: ...

    def compare(self, comparisons: Comparison | Sequence[Comparison]) -> Verdict | list[Verdict]:
        """The verdict on a comparison, or one on each of several, in the order they are shown.

        Raises the first error of one that could not be judged: a failure is never a verdict.
        What a chat model answered to the others is cached, so the same call pays for the rest.
        """
        several = [comparisons] if isinstance(comparisons, Comparison) else comparisons
        interrupted = asyncio.Event()
        with self._open():
            checked = checked_rows(several, Comparison)
            asks = self._context.backend is not None
            work = self._compare(checked, interrupted)
            found = on_loop(work, interrupted.set if asks else None)
        return found[0] if isinstance(comparisons, Comparison) else found

    def close(self) -> None:
        """End what the judge started: connections, a server, a sandbox.

        Waits for the comparisons of other threads; new ones are refused.
        """
        if self._pid != os.getpid():
            return
        with self._state:
            self._is_closed = True
            # One of this thread waits for this call: a signal's handler makes it.
            while any(thread != threading.get_ident() for thread in self._comparing):
                self._state.wait()
        self._closing()

    @contextmanager
    def evaluating(self, rows: Path) -> Iterator[Budget]:
        """The budget of an evaluation with these rows: what others left. What it takes is gone."""
        rows = rows.resolve()
        others = [most for path, most in self._evaluated.items() if path != rows]
        try:
            yield self._left([self._ledger.in_use(), *others])
        finally:
            if spent := read_spent(rows):
                self._evaluated[rows] = spent.most()

    def _left(self, taken: Iterable[tuple[float, int]]) -> Budget:
        usd, tokens = self.asking.budget_usd, self.asking.budget_tokens
        for taken_usd, taken_tokens in taken:
            usd = None if usd is None else max(0.0, usd - taken_usd)
            tokens = None if tokens is None else max(0, tokens - taken_tokens)
        return Budget(usd, tokens)

    @contextmanager
    def _open(self) -> Iterator[None]:
        """While it compares; raises ConfigError where it cannot."""
        if self._pid != os.getpid():
            raise ConfigError(
                f"the judge {self.spec} was loaded in another process, of which this one is a "
                "fork; load it here"
            )
        me = threading.get_ident()
        with self._state:
            if self._is_closed:
                raise ConfigError(f"the judge {self.spec} is closed; load it again")
            self._comparing.append(me)
        try:
            yield
        finally:
            with self._state:
                self._comparing.remove(me)
                self._state.notify_all()

    def __enter__(self) -> LoadedJudge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<judge {self.name}: {self.spec}>"

    async def _compare(
        self, comparisons: Sequence[Comparison], interrupted: asyncio.Event
    ) -> list[Verdict]:
        if self._context.backend is None:
            return await self.judge.compare(comparisons)
        # Of this call: one that was stopped does not stop the next. The budget is all calls', and
        # what they took stands in the ledger.
        clients = Clients(
            self._context,
            self._ledger,
            budget=self._left(self._evaluated.values()),
            max_concurrency=self.asking.n_at_once,
        )
        context = self._context.asking(_Together(clients, self._places))
        # Each is a row, as in every run. The same one twice is two draws of one row.
        places: dict[str, list[int]] = {}
        for place, one in enumerate(comparisons):
            key = content_id(one.instruction, one.criteria, one.code_a, one.code_b)
            places.setdefault(key, []).append(place)

        async def row(key: str) -> list[Verdict]:
            bound = bind(self.judge, context.for_row(key))
            try:
                return await bound.compare([comparisons[place] for place in places[key]])
            except ENDS_RUN:
                clients.end()
                raise

        async def watch() -> None:
            await interrupted.wait()
            clients.end()

        watcher = asyncio.ensure_future(watch())
        try:
            found = await gather_all(map(row, places))
        finally:
            watcher.cancel()
        verdicts = {
            place: verdict
            for same, of_row in zip(places.values(), found, strict=True)
            for place, verdict in zip(same, of_row, strict=True)
        }
        return [verdicts[place] for place in range(len(comparisons))]


def load_judge(
    model: str,
    *,
    name: str = "",
    seed: int = 0,
    language: str = "python",
    pairs: Iterable[Preference] = (),
    backend_options: Mapping[str, object] | None = None,
    concurrency: int | None = None,
    cache: str | Path | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    prices: str | Path | None = None,
    **options: object,
) -> LoadedJudge:
    """The judge KIND:NAME, as on the command line: `load_judge("likelihood:FOLDER")`.

    `options` are those of its kind (`codefavor evaluate pairs --model KIND:NAME --help` lists
    them), `backend_options` those of a chat model's client. `pairs` are for judges that learn
    from labelled pairs. A judge that runs tests takes them from the problems named by `tests`
    (sets or files), and finds a comparison's by its id or its instruction.

    Chat models are asked as by every command: `concurrency` requests at once (64), failures
    retried, responses cached in the file `cache` (default: the one that all commands share). The
    budget is that of all the judge's comparisons, and of evaluations that are given none.
    """
    spec = replace(parse_judge(model, options, name=name, seed=seed), language=language)
    asking = Asking(concurrency, cache, budget_usd, budget_tokens, prices)
    refuse_idle(asdict(asking), spec.idle(asdict(asking)))
    with ExitStack() as stack:
        backends = spec.make_backends(backend_options)
        context = asking.context(next(iter(backends.values()), None), seed, stack)
        for backend in backends.values():
            stack.callback(close_on_loop, backend)
        bench = None
        if "pool" in spec.needs():
            sandbox = spec.sandbox()
            if not sandbox.sets and "problems" in spec.needs():
                raise ConfigError(f'{spec} needs the tests: load_judge(..., tests="humaneval+")')
            problems = [p for s in sandbox.sets for p in load_problems(s, data_dir=data_folder())]
            known = {p.instruction: p for p in problems} | {p.id: p for p in problems}
            bench = TestBench(known, stack.enter_context(sandbox.make_pool()), sandbox.limits)
        judge = spec.make_judge(backends, items_of(pairs), bench)
        made = partial(LoadedJudge, context=context, asking=asking)
        return made(spec, judge, stack.pop_all(), backend_options=backend_options)


def _close_here(stack: ExitStack, pid: int) -> None:
    """Close what this process opened. A fork leaves its parent's connections and processes alone,
    and does not let go of them: what closes itself would close them."""
    if pid == os.getpid():
        stack.close()
    else:
        _of_parents.append(stack)


_of_parents: list[ExitStack] = []
