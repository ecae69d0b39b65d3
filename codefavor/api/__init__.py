"""The Python door: what `import codefavor` offers, for scripts and notebooks.

Every function here is plain (nothing to await) and works inside a running event loop, as
notebooks have one: what is asynchronous runs on a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from codefavor.api.judge import Asking, LoadedJudge, load_judge
from codefavor.audits.benchmark_rows import without_benchmark
from codefavor.engine import Budget, Counts, Step, TerminalProgress
from codefavor.engine.runner import run, run_sync
from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.result_text import HEADER, result_html, result_text, table_of
from codefavor.evaluation.suite import NAMES, Kept, Task, result_path, run_task
from codefavor.journal import Journal
from codefavor.judges.options import check_type, checked_rows, refuse_idle
from codefavor.judges.spec import parse_judge
from codefavor.pairs.published_rows import read_published
from codefavor.records import Execution, Preference, Problem, Row, write_rows
from codefavor.result_file import rows_path
from codefavor.sandbox import Limits
from codefavor.sandbox import run_tests as run_in_sandbox
from codefavor.settings import data_folder
from codefavor.sources.row_files import read_any_rows
from codefavor.text import comma_list
from codefavor.training import formats

__all__ = ["convert", "evaluate", "load_judge", "load_pairs", "run_tests"]

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Result:
    """What `evaluate` found. `row` is the whole result file, which lies at `path`."""

    row: Row
    path: Path

    @property
    def accuracy(self) -> float | None:
        """The share of pairs judged rightly, ties and undecided ones counting one half."""
        value = self.row["metrics"]["overall"]["accuracy"]
        return None if value is None else float(value)

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The 95 % interval of the accuracy, resampling whole problems."""
        found = self.row["metrics"]["overall"]["interval"]
        return found["low"], found["high"]

    def table(self) -> list[dict[str, str]]:
        """One line for all pairs and one for each group, as `pandas.DataFrame` takes them."""
        return [dict(zip(HEADER, line, strict=True)) for line in table_of(self.row)]

    def __str__(self) -> str:
        return result_text(self.row)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return result_html(self.row)


def evaluate(
    judge: str | LoadedJudge,
    benchmark: str | Path | Sequence[Preference] = "codeprefbench",
    *,
    out: str | Path = "results",
    data: str | Path | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    prices: str | Path | None = None,
    concurrency: int | None = None,
    cache: str | Path | None = None,
    **settings: Any,
) -> Result:
    """A judge on a benchmark, or on pairs of your own: their file, or the pairs themselves.

    Every answer is recorded in the folder `out` as it comes: the same call goes on after an
    interrupt. `settings` are those of a task: limit, sample, seed, protocol, orders, comments, ...
    `cache` is the file of cached responses (default: the one that all commands share), `prices` one
    of your own; what is left out of them is as a loaded judge has it: without a budget here, it
    takes what is left of the judge's. What means nothing to this judge or benchmark is refused.
    """
    for name, value, kind in (("data", data, str | Path | None), ("out", out, str | Path)):
        check_type(name, value, kind)
    asking = Asking(concurrency, cache, budget_usd, budget_tokens, prices)
    given = settings | asdict(asking)
    own = asking
    if isinstance(judge, LoadedJudge):
        asking = asking.or_else(judge.asking)
    spec = judge.spec if isinstance(judge, LoadedJudge) else parse_judge(judge)
    spec = replace(spec, seed=settings.get("seed", spec.seed))
    # A client belongs to the event loop it was used in, so this run makes its own, and the judge
    # that asks through it.
    is_kept = isinstance(judge, LoadedJudge) and not spec.chats
    kept = Kept(judges={spec: judge.judge} if is_kept else {})  # type: ignore[union-attr]
    with ExitStack() as stack:
        task = _task(benchmark, data, settings, stack)
        of_requests = asdict(asking).keys() - {"concurrency"}
        refuse_idle(given, task.idle() | spec.idle(of_requests))
        path = result_path(Path(out), task, spec)
        budget = _budget(judge, own, path, stack)
        options = {"budget": budget, "concurrency": asking.n_at_once}
        runner = _Runner(progress=TerminalProgress(), **options)

        def run_and_close() -> tuple[Row, Counts]:
            with closing(kept):
                return run_task(
                    task,
                    spec,
                    path,
                    backend_options=getattr(judge, "backend_options", None),
                    make_context=partial(asking.context, seed=task.seed, stack=stack),
                    run=runner.run,
                    kept=kept,
                )

        row, counts = runner.off_loop(run_and_close)
    if counts.n_error == counts.n > 0:
        raise DataError(f"{path}: all {counts.n} pairs ended as errors: {dict(counts.reasons)}")
    return Result(row, path)


def _budget(judge: str | LoadedJudge, own: Asking, path: Path, stack: ExitStack) -> Budget:
    """The evaluation's own budget, or what is left of a loaded judge's while the stack is open."""
    if not isinstance(judge, LoadedJudge):
        return own.budget()
    if own.budget_usd is not None or own.budget_tokens is not None:
        return own.or_else(judge.asking).budget()
    return stack.enter_context(judge.evaluating(rows_path(path)))


def _task(
    benchmark: str | Path | Sequence[Preference],
    data: str | Path | None,
    settings: Mapping[str, Any],
    stack: ExitStack,
) -> Task:
    where = None if data is None else Path(data)
    is_named = isinstance(benchmark, str) and benchmark in NAMES
    if data is not None and not is_named:
        raise ConfigError("data is for a benchmark's name, and these are the pairs themselves")
    name = "pairs"
    if is_named:
        name = str(benchmark)
    elif isinstance(benchmark, str | Path):
        where = Path(benchmark)
        if not where.is_file():
            raise ConfigError(f"{benchmark}: no such file, and no benchmark of {', '.join(NAMES)}")
    else:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "pairs.jsonl"
        write_rows(where, (pair.to_row() for pair in checked_rows(benchmark, Preference)))
    known = set(Task.__dataclass_fields__) - {"benchmark", "data", "data_dir"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ConfigError(f"evaluate has no {unknown[0]!r}; it has: {', '.join(sorted(known))}")
    for one in ("aspects", "group_by"):
        if isinstance(value := settings.get(one), str | list):
            words = comma_list(value) if isinstance(value, str) else value
            settings = {**settings, one: tuple(words)}
    return Task(name, data=where, data_dir=data_folder(), **settings)


def run_tests(
    code: str,
    tests: str,
    *,
    entry_point: str = "",
    cpu_s: float = 5.0,
    wall_s: float = 20.0,
    memory_mib: int = 1024,
) -> Execution:
    """Run tests against one program in the sandbox: what it passed, and how it ended."""
    for name, text in (("code", code), ("tests", tests), ("entry_point", entry_point)):
        check_type(name, text, str)
    for name, number in (("cpu_s", cpu_s), ("wall_s", wall_s)):
        check_type(name, number, float)
    check_type("memory_mib", memory_mib, int)
    limits = Limits(cpu_s=cpu_s, wall_s=wall_s, memory_bytes=memory_mib << 20)
    return run_in_sandbox(code, tests, limits, entry_point=entry_point)


def load_pairs(path: str | Path) -> list[Preference]:
    """The preference pairs of a file in any published form (JSONL, JSON or Parquet).

    What gave no pair and which columns were not used is logged. Raises DataError that names file,
    line and field.
    """
    reading = read_published(read_any_rows(Path(path)), source=Path(path).name)
    for reason, n in sorted(reading.rejected.items()):
        logger.warning("%s: %d rows give no pair: %s", path, n, reason)
    if reading.not_used:
        logger.warning("%s: not used: %s", path, ", ".join(sorted(reading.not_used)))
    return reading.preferences


def convert(
    records: Iterable[Preference] | Iterable[Problem], format: str, **options: Any
) -> list[Row]:
    """The rows that a recipe of this format trains on (pairwise, dpo, reward, grpo, ...).

    `options` are those of `FormatOptions`: order, seed, system. Rows of a benchmark are for
    evaluation only: they raise DataError.
    """
    found: list[Any] = checked_rows(records, Preference, Problem)
    known = get_type_hints(formats.FormatOptions)
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"convert has no {name!r}; it has: {', '.join(known)}")
        check_type(name, value, known[name])
    _, refused = without_benchmark(found, data_folder())
    if refused:
        counts = ", ".join(f"{n} of {name}" for name, n in sorted(refused.items()))
        raise DataError(f"rows of a benchmark must not be trained on: {counts}")
    return list(formats.convert(found, format, formats.FormatOptions(**options)).rows)


class _Runner:
    """Runs on this thread, or inside a running event loop on another, and can be interrupted."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._is_elsewhere = False
        self._stop: Callable[[], object] = lambda: None

    def run(self, step: Step, rows: Sequence[Row], journal: Journal, **options: Any) -> Counts:
        """As `run_sync`, with the options of this runner."""
        options |= self._options
        if not self._is_elsewhere:
            return run_sync(step, rows, journal, **options)

        async def main() -> Counts:
            interrupted = asyncio.Event()
            self._stop = partial(asyncio.get_running_loop().call_soon_threadsafe, interrupted.set)
            return await run(step, rows, journal, interrupted=interrupted, **options)

        return asyncio.run(main())

    def off_loop(self, function: Callable[[], _T]) -> _T:
        """The result of a function that runs event loops of its own, wherever it is called.

        An interrupt waits for the answers in flight, which are paid for, and records them.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function()
        self._is_elsewhere = True
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(function)
            try:
                return future.result()
            except KeyboardInterrupt:
                self._stop()
                raise
