"""Flags that every command which asks a model shares, and what they mean to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer import Option

from codefavor.backends import Backend, make_backend
from codefavor.backends.registry import make_batch_service
from codefavor.cli.option_groups import is_dry_run, refuse
from codefavor.cli.shard_flags import (
    ShardOption,
    make_progress,
    own_budget,
    own_limits,
    placed,
)
from codefavor.engine import (
    Budget,
    Context,
    Counts,
    Limits,
    PriceTable,
    ResponseCache,
    Step,
    StopRule,
)
from codefavor.engine.batch import BatchRun
from codefavor.engine.budget import OF_UNKNOWN_COST
from codefavor.engine.health import describe_reasons
from codefavor.engine.interrupt import run_interruptibly
from codefavor.engine.output import journal_of, run_to_file
from codefavor.engine.plan import Later, forecast
from codefavor.engine.runner import run_sync
from codefavor.engine.shards import ALL_SHARDS, Shard, refuse_anew
from codefavor.errors import ConfigError
from codefavor.journal import Journal, forget_journal
from codefavor.records import Row
from codefavor.settings import default_cache

_BATCH_OPTIONS = ("budget", "limits", "concurrency", "retry_errors", "rerun_changed", "shard")
# What single commands have too.
Cache = Annotated[
    Path | None, Option(help="File of cached responses that runs share [~/.cache/codefavor].")
]
RerunChanged = Annotated[
    bool, Option("--rerun-changed", help="Run rows again that were edited since they ended.")
]
Limit = Annotated[int | None, Option(min=1, help="Only the first so many rows.")]
Sample = Annotated[int | None, Option(min=1, help="Only so many rows, drawn by the seed.")]
DryRun = Annotated[bool, Option("--dry-run", help="Ask nothing: prompts and forecast.")]
SandboxLevel = Annotated[str, Option("--sandbox-level", "--level", help="Least level: L3 or L2.")]
Workers = Annotated[int, Option(help="Programs at a time; 0 takes every core.")]
CpuSeconds = Annotated[float, Option(help="CPU seconds a program may use (EvalPlus: see docs).")]
Problems = Annotated[str, Option(help="A known set (starter, humaneval+, ...) or a JSONL file.")]
Pairs = Annotated[Path, typer.Argument(help="JSONL of preference pairs.")]
MAX_SEED = (1 << 31) - 1
Seed = Annotated[int, Option(min=0, max=MAX_SEED, help="Draws what is drawn.")]
Temperature = Annotated[float, Option(help="0 takes the likeliest token always.")]
TopP = Annotated[float, Option(help="Share of the probability that is drawn from.")]
MaxTokens = Annotated[int, Option(help="Most tokens of one answer.")]


@dataclass(frozen=True, kw_only=True)
class AskingFlags:
    """How a command asks, whatever names its backend; `expanded` makes options of its fields."""

    PANEL: ClassVar[str] = "Requests and cost"

    backend_options: Annotated[
        list[str] | None,
        Option("--set", help="An option of the backend as name=value (value as JSON)."),
    ] = None
    ca_bundle: Annotated[
        Path | None,
        Option(help="PEM of the authorities to trust (else: the system's, or SSL_CERT_FILE)."),
    ] = None
    client_cert: Annotated[
        Path | None, Option(help="PEM file of the certificate that the server asks for.")
    ] = None
    client_key: Annotated[Path | None, Option(help="Its key, if that is in a file of its own.")] = (
        None
    )
    concurrency: Annotated[int, Option(min=1, help="Most requests in flight.")] = 64
    requests_per_min: Annotated[int | None, Option(min=1, help="Hard cap.")] = None
    input_tokens_per_min: Annotated[int | None, Option(min=1, help="Hard cap.")] = None
    output_tokens_per_min: Annotated[int | None, Option(min=1, help="Hard cap.")] = None
    max_pause: Annotated[
        float,
        Option(min=0, help="Longest pause in seconds a server may ask for (else: stop)."),
    ] = Limits.max_pause_s
    budget_usd: Annotated[
        float | None, Option(min=0, help="Stop before spending more than this.")
    ] = None
    budget_tokens: Annotated[
        int | None, Option(min=0, help="Stop before using more than this.")
    ] = None
    prices: Annotated[Path | None, Option(help="Price file of your own, on top of the table.")] = (
        None
    )
    cache: Cache = None
    no_cache: Annotated[
        bool, Option("--no-cache", help="Share no cached responses with other runs.")
    ] = False
    fresh: Annotated[
        bool,
        Option(
            "--fresh",
            "--overwrite",
            help="Start anew: forget this output, ask again whatever is cached.",
        ),
    ] = False
    retry_errors: Annotated[bool, Option("--retry-errors", help="Run again what failed.")] = False
    rerun_changed: RerunChanged = False
    shard: ShardOption = None
    max_error_rate: Annotated[
        float,
        Option(min=0, max=1, help="Stop when more of the recent rows go wrong; 1 never does."),
    ] = 0.5
    batch: Annotated[
        bool, Option("--batch", help="Through the batch interface: cheaper, within a day.")
    ] = False
    batch_options: Annotated[
        list[str] | None, Option("--batch-set", help="An option of the batch service: name=value.")
    ] = None
    no_wait: Annotated[
        bool, Option("--no-wait", help="Submit or collect what is ready, then return.")
    ] = False

    def __post_init__(self) -> None:
        """Raise ConfigError for flags that do not go together: none is ignored."""
        for name, other in (
            ("batch_options", "batch"), ("no_wait", "batch"), ("client_key", "client_cert"),
        ):  # fmt: skip
            flag = other.replace("_", "-")
            refuse({name}, f"belongs to --{flag}, which is not given", unless=getattr(self, other))
        refuse({"cache"}, "does not go with --no-cache", unless=not self.no_cache)
        again = {"retry_errors", "rerun_changed"}
        refuse(again, "does not go with --fresh, which runs every row", unless=not self.fresh)
        kept = {"fresh", "export", "shard", *again}
        refuse(kept, "does not go with --dry-run, which keeps nothing", unless=not is_dry_run())
        # A job is asked as a whole, and its service retries and limits by itself.
        refuse({"max_error_rate"}, "does not go with --batch", unless=not self.batch)

    def options_of_backend(self) -> dict[str, Any]:
        """What --set and the flags for certificates say."""
        files = {name: getattr(self, name) for name in ("ca_bundle", "client_cert", "client_key")}
        given = {name: str(path) for name, path in files.items() if path is not None}
        return {**parse_options(self.backend_options or []), **given}

    def make_context(self, backend: Backend, out: Path, seed: int) -> Context:
        """A context whose responses are cached: shared by default, else beside `out`.

        Beside it for a shard: machines must not share SQLite over a network. A merge asks nobody.
        What --fresh began goes on without it: older responses never count for this output.
        """
        context = Context(backend, seed=seed, prices=PriceTable.load(self.prices))
        if self.shard == ALL_SHARDS:
            return context
        if self.fresh:
            refuse_anew(self.shard, [journal_of(out)])
        own = out.with_name(out.name + ".responses.sqlite")
        is_own = self.no_cache or (self.shard is not None and self.cache is None)
        context.cache = ResponseCache(own if is_own else self.cache or default_cache())
        context.cache.start_anew(out.with_name(out.name + ".fresh"), fresh=self.fresh)
        return context

    def forecast(
        self,
        step: Step,
        rows: Iterable[Row],
        backend: Backend,
        seed: int,
        *,
        later: Later | None = None,
        answers: bool = False,
    ) -> None:
        """Print what `--dry-run` finds out (see `plan.forecast`); nothing is asked."""
        context = Context(backend, seed=seed, prices=PriceTable.load(self.prices))
        found = forecast(step, rows, context, later=later, in_batch=self.batch, answers=answers)
        for number, prompt in enumerate(found.prompts, start=1):
            typer.echo(f"--- prompt {number} ---\n{prompt}\n")
        cost = "unknown: this model is in no price table (--prices adds yours)"
        if found.usd_at_most is not None:
            cost = f"at most ${found.usd_at_most:.4f} (prices of {found.prices_as_of})"
        typer.echo(
            f"{found.n_rows} rows, at most {found.n_requests} requests, "
            f"{found.input_tokens_at_most} input tokens (one for each byte; most text takes a "
            f"third) and {found.output_tokens_at_most} output tokens; cost {cost}"
        )

    @contextlib.contextmanager
    def closing(self, context: Context) -> Iterator[None]:
        """Close the backend and the cache at the end, however it comes."""
        try:
            yield
        finally:
            if context.cache is not None:
                context.cache.close()
            if context.backend is not None:
                asyncio.run(context.backend.close())

    def run_options(self) -> dict[str, Any]:
        """The keyword arguments for the runner."""
        has_budget = self.budget_usd is not None or self.budget_tokens is not None
        budget = Budget(self.budget_usd, self.budget_tokens) if has_budget else None
        limits = Limits(
            self.requests_per_min,
            self.input_tokens_per_min,
            self.output_tokens_per_min,
            max_pause_s=self.max_pause,
        )
        return {
            "concurrency": self.concurrency,
            "limits": own_limits(limits, self.shard),
            "budget": own_budget(budget, self.shard),
            "shard": self.shard,
            "retry_errors": self.retry_errors,
            "rerun_changed": self.rerun_changed,
            "stop_rule": StopRule(max_error_rate=self.max_error_rate),
            "progress": make_progress(),
        }

    def run_to_file(self, step: Step, rows: Iterable[Row], out: Path, **options: Any) -> Counts:
        """Run online or in batch mode, as the flags say; other options as `run_to_file`."""
        if self.fresh:
            forget_run(self.shard, journal_of(out))
        return run_to_file(step, rows, out, run=self.run, **options)

    def run(self, step: Step, rows: Iterable[Row], journal: Journal, **options: Any) -> Counts:
        """The same for a journal alone; other options as `run_sync`.

        Online, a stream of rows is read as it is worked on; a batch needs them all.
        """
        if not self._is_in_batch:
            return run_sync(step, rows, journal, **options, **self.run_options())
        kept, context = list(rows), options["context"]
        batch = BatchRun(
            step, lambda: kept, journal, context=context, **self._batch_options(context)
        )
        return run_interruptibly(lambda event: batch.run(wait=not self.no_wait, interrupted=event))

    @property
    def _is_in_batch(self) -> bool:
        # Of shards that are merged, nothing is left to ask.
        return self.batch and self.shard != ALL_SHARDS

    def _batch_options(self, context: Context) -> dict[str, Any]:
        if context.backend is None:
            raise ConfigError("--batch is for judges that ask a chat model")
        if context.others:
            raise ConfigError("--batch asks one chat model; run each by itself, then combine them")
        shared = self.run_options()
        return {
            "service": make_batch_service(
                context.backend, **parse_options(self.batch_options or [])
            ),
            "report": lambda words: typer.echo(words, err=True),
            **{name: shared[name] for name in _BATCH_OPTIONS},
        }


@dataclass(frozen=True, kw_only=True)
class EngineFlags(AskingFlags):
    """The shared flags of a command that names its backend."""

    backend: Annotated[
        str,
        Option(
            "--model", "-m", "--backend", help="KIND:NAME, such as openai:gpt-4o-mini or embedded:"
        ),
    ]

    def run_and_show(
        self,
        step: Step,
        rows: Iterable[Row],
        out: Path,
        backend: Backend,
        seed: int,
        **options: Any,
    ) -> None:
        """Run to a file and print what came of it; other options as `run_to_file`."""
        out = placed(out, self.shard)
        context = self.make_context(backend, out, seed)
        with self.closing(context):
            counts = self.run_to_file(step, rows, out, context=context, **options)
        typer.echo(f"{summary(counts)} -> {journal_of(out) if counts.is_part else out}")
        if counts.is_whole:
            fail_without_results(counts, out.stat().st_size)

    def make_backend(self, *, is_dry_run: bool = False) -> Backend:
        """The backend with its options; for a dry run it needs no key."""
        make = make_dry_backend if is_dry_run else make_backend
        return make(self.backend, **self.options_of_backend())


# What a backend insists on at its start although nothing is sent.
_DRY_OPTIONS = {
    "openai": {"api_key": "none"},
    "gemini": {"api_key": "none"},
    "anthropic": {"api_key": "none"},
    "bedrock": {"region": "us-east-1"},
}


def make_dry_backend(spec: str, **options: Any) -> Backend:
    """The backend for a dry run, which asks nothing and so needs no key."""
    return make_backend(spec, **{**_DRY_OPTIONS.get(spec.partition(":")[0], {}), **options})


def forget_run(shard: Shard | None, *journals: Path) -> None:
    """Forget what an earlier run of this output recorded, for --fresh; nothing if it is refused."""
    refuse_anew(shard, journals)
    for journal in journals:
        forget_journal(journal)
    typer.echo("--fresh: all is asked again; should it be interrupted, go on without it", err=True)


def show_skipped(what: str, skipped: Counter[str]) -> None:
    """Say how many rows of the input were left out, and why."""
    if skipped:
        reasons = ", ".join(f"{reason} {n}" for reason, n in skipped.most_common())
        typer.echo(f"{what} left out: {reasons}")


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs; a value that is JSON is read as JSON, any other is text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {pair!r}: expected name=value")
        try:
            options[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            options[name.replace("-", "_")] = value
    return options


def summary(counts: Counts) -> str:
    """One line of what a run came to, with every number beside its denominator."""
    ended = f"{counts.n_ok} ok, {counts.n_rejected} rejected, {counts.n_error} errors"
    parts = [f"{counts.n} rows: {ended}"]
    if counts.shard:
        parts.insert(0, f"shard {counts.shard}" if counts.is_part else "all shards")
    if counts.n_resumed:
        old = f", {counts.n_old_errors} of them as errors" if counts.n_old_errors else ""
        parts.append(f"{counts.n_resumed} had ended before{old}")
    if counts.n_error or counts.n_old_errors or counts.reasons.get("filtered_answer"):
        parts.append("--retry-errors runs again what failed")
    if counts.n_pending:
        parts.append(f"{counts.n_pending} wait for their batch (run the same command again)")
    if counts.n_duplicates:
        parts.append(f"{counts.n_duplicates} repeated ids")
    if counts.reasons:
        parts.append(", ".join(f"{reason} {n}" for reason, n in counts.reasons.items()))
    cost = "cost unknown (no price for this model)" if counts.usd is None else f"${counts.usd:.4f}"
    parts.append(
        f"{counts.n_requests} requests, {counts.n_cached} from the cache, "
        f"{counts.input_tokens} + {counts.output_tokens} tokens, {cost}"
    )
    if counts.n_unsettled:
        usd = f"${counts.unsettled_usd:.4f}, " if counts.unsettled_usd else ""
        parts.append(
            f"up to {usd}{counts.unsettled_tokens} tokens more for {counts.n_unsettled} requests "
            f"{OF_UNKNOWN_COST}"
        )
    return "; ".join(parts)


def fail_without_results(counts: Counts, n_usable: int, why: str = "") -> None:
    """Leave with exit code 1 if rows ended and nothing usable came out, saying what helps.

    `why` is the reason of rows that ended ok and are no result all the same.
    """
    if not counts.n or n_usable:
        return
    reasons = dict(counts.reasons)
    if why and (n_ok := counts.n - sum(reasons.values())) > 0:
        reasons[why] = n_ok
    words = f": {describe_reasons(reasons)}" if reasons else ""
    typer.echo(f"error: no usable result came out of {counts.n} rows{words}", err=True)
    raise typer.Exit(1)
