"""Flags that every command which asks a model shares, and what they mean to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from codefavor.backends import Backend, make_backend
from codefavor.backends.batch import make_batch_service
from codefavor.engine import (
    AnswerStore,
    Budget,
    Context,
    Counts,
    Limits,
    PriceTable,
    Step,
    StopRule,
    TerminalProgress,
)
from codefavor.engine.output import batch_to_file, run_to_file
from codefavor.engine.plan import Forecasted
from codefavor.errors import ConfigError
from codefavor.records import Row

BackendFlag = Annotated[
    str, typer.Option("--backend", help="kind:model, such as openai:gpt-4o-mini or embedded:")
]
BackendOptions = Annotated[
    list[str] | None,
    typer.Option("--set", help="An option of the backend as name=value (value as JSON)."),
]
Concurrency = Annotated[int, typer.Option(help="Most requests in flight.")]
RequestsPerMin = Annotated[int | None, typer.Option(help="Hard cap.")]
InputTokensPerMin = Annotated[int | None, typer.Option(help="Hard cap.")]
OutputTokensPerMin = Annotated[int | None, typer.Option(help="Hard cap.")]
BudgetUsd = Annotated[float | None, typer.Option(help="Stop before spending more than this.")]
BudgetTokens = Annotated[int | None, typer.Option(help="Stop before using more than this.")]
Prices = Annotated[Path | None, typer.Option(help="Price file of your own, on top of the table.")]
Cache = Annotated[
    Path | None,
    typer.Option(help="File of kept answers that several runs share [~/.cache/codefavor]."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Share no answers with other runs.")]
RetryErrors = Annotated[bool, typer.Option("--retry-errors", help="Run again what failed.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many rows.")]
Sample = Annotated[int | None, typer.Option(help="Only so many rows, drawn by the seed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask nothing: prompts and forecast.")]
Batch = Annotated[
    bool, typer.Option("--batch", help="Through the batch interface: cheaper, within a day.")
]
BatchOptions = Annotated[
    list[str] | None,
    typer.Option("--batch-set", help="An option of the batch service as name=value."),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Submit or collect what is ready, then return.")
]
MaxErrorRate = Annotated[float, typer.Option(help="Stop when more of the recent rows fail.")]


@dataclass(frozen=True)
class EngineFlags:
    """The values of the shared flags of one command."""

    backend: str
    backend_options: list[str] | None = None
    concurrency: int = 64
    requests_per_min: int | None = None
    input_tokens_per_min: int | None = None
    output_tokens_per_min: int | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    prices: Path | None = None
    cache: Path | None = None
    no_cache: bool = False
    retry_errors: bool = False
    max_error_rate: float = 0.5
    batch: bool = False
    batch_options: list[str] | None = None
    no_wait: bool = False

    def run_to_file(self, step: Step, rows: list[Row], out: Path, **options: Any) -> Counts:
        """Run online or in batch mode, as the flags say; other options as `run_to_file`."""
        if not self.batch:
            return run_to_file(step, rows, out, **options, **self.run_options())
        context: Context = options["context"]
        assert context.backend is not None
        service = make_batch_service(context.backend, **parse_options(self.batch_options or []))
        options.pop("label", None)
        return batch_to_file(
            step,
            rows,
            out,
            service,
            wait=not self.no_wait,
            budget=self.run_options()["budget"],
            retry_errors=self.retry_errors,
            **options,
        )

    def make_backend(self) -> Backend:
        """The backend with its options."""
        return make_backend(self.backend, **parse_options(self.backend_options or []))

    def make_context(self, backend: Backend, out: Path, seed: int) -> Context:
        """A context whose answers are kept: shared by default, else beside `out`."""
        own = out.with_name(out.name + ".answers.sqlite")
        path = own if self.no_cache else self.cache or default_cache()
        return Context(
            backend, seed=seed, answers=AnswerStore(path), prices=PriceTable.load(self.prices)
        )

    @contextlib.contextmanager
    def closing(self, context: Context) -> Iterator[None]:
        """Close the backend and the kept answers at the end, however it comes."""
        try:
            yield
        finally:
            if context.answers is not None:
                context.answers.close()
            if context.backend is not None:
                asyncio.run(context.backend.close())

    def run_options(self) -> dict[str, Any]:
        """The keyword arguments for the runner."""
        has_budget = self.budget_usd is not None or self.budget_tokens is not None
        return {
            "concurrency": self.concurrency,
            "limits": Limits(
                self.requests_per_min, self.input_tokens_per_min, self.output_tokens_per_min
            ),
            "budget": Budget(self.budget_usd, self.budget_tokens) if has_budget else None,
            "retry_errors": self.retry_errors,
            "stop_rule": StopRule(max_error_rate=self.max_error_rate),
            "progress": TerminalProgress(),
        }


def default_cache() -> Path:
    """The file of kept answers under $XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "codefavor" / "answers.sqlite"


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
    parts = [
        f"{counts.n} rows: {counts.n_ok} ok, {counts.n_rejected} rejected, {counts.n_error} errors"
    ]
    if counts.n_resumed:
        parts.append(f"{counts.n_resumed} had ended before")
    if counts.n_pending:
        parts.append(f"{counts.n_pending} wait for their batch (run the same command again)")
    if counts.n_duplicates:
        parts.append(f"{counts.n_duplicates} repeated ids")
    if counts.reasons:
        parts.append(", ".join(f"{reason} {n}" for reason, n in counts.reasons.items()))
    cost = "cost unknown (no price for this model)" if counts.usd is None else f"${counts.usd:.4f}"
    parts.append(
        f"{counts.n_requests} requests, {counts.n_from_store} from kept answers, "
        f"{counts.input_tokens} + {counts.output_tokens} tokens, {cost}"
    )
    return "; ".join(parts)


def show_forecast(forecast: Forecasted) -> None:
    """Print what `--dry-run` found out."""
    for number, prompt in enumerate(forecast.prompts, start=1):
        typer.echo(f"--- prompt {number} of {forecast.n_requests} ---\n{prompt}\n")
    cost = "unknown: this model is in no price table (--prices adds yours)"
    if forecast.usd_at_most is not None:
        cost = f"at most ${forecast.usd_at_most:.4f}"
    typer.echo(
        f"{forecast.n_rows} rows, {forecast.n_requests} requests (the first question of each row), "
        f"about {forecast.input_tokens} input tokens, at most {forecast.output_tokens_at_most} "
        f"output tokens; cost {cost}"
    )
