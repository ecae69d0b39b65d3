"""Flags that the pipelines of preference pairs share, and what they mean to a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from codefavor.backends import Backend, Sampling, make_backend
from codefavor.cli import engine_options as flags
from codefavor.engine import Context
from codefavor.engine.ask import ModelClient
from codefavor.engine.context import Clients
from codefavor.engine.ledger import Ledger
from codefavor.errors import ConfigError, MissingPackageError
from codefavor.sandbox import SandboxPool
from codefavor.scoring.findings import Bandit
from codefavor.synthesis.forms import resolve_format
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.verify import Verifier, parse_ways


@dataclass(frozen=True)
class PairFlags:
    """How to ask for pairs and how to check them; `expanded` makes options of the fields."""

    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token always.")] = 0.7
    top_p: Annotated[float, typer.Option(help="Share of the probability drawn from.")] = 0.95
    max_tokens: Annotated[int, typer.Option(help="Most tokens of one answer.")] = 2048
    seed: Annotated[int, typer.Option(help="Draws follow from it and the row.")] = 0
    answer_format: Annotated[
        str,
        typer.Option(
            "--format", help="json (by schema), sections (tagged), or auto: json if it can."
        ),
    ] = "auto"
    comments: Annotated[
        str, typer.Option(help="strip (from both programs, or neither) or keep.")
    ] = "strip"
    names: Annotated[
        str, typer.Option(help="neutral (no name tells the side) or keep; Python only.")
    ] = "neutral"
    verify: Annotated[
        list[str] | None,
        typer.Option(
            help="static, evidence (tests, instruction counts, Bandit), tests (asks the teacher "
            "for some), judge (asked blind in both orders). Several add up (default: evidence)."
        ),
    ] = None
    margin: Annotated[
        float, typer.Option(help="Efficiency: times more instructions of the rejected program.")
    ] = 1.1
    judge_backend: Annotated[
        str,
        typer.Option(
            "--judge-model",
            "--judge-backend",
            help="KIND:NAME of the judge (default: the teacher); a budget counts for each.",
        ),
    ] = ""
    judge_options: Annotated[
        list[str] | None, typer.Option("--judge-set", help="An option of the judge's backend.")
    ] = None
    sandbox_level: flags.SandboxLevel = "L2"
    workers: Annotated[int, typer.Option(help="Programs at a time; 0 takes every core.")] = 0
    balance: Annotated[
        bool,
        typer.Option("--balance", help="Write only pairs whose lengths give nothing away."),
    ] = False
    limit: flags.Limit = None
    sample: flags.Sample = None
    dry_run: flags.DryRun = False

    def settings(self, backend: Backend) -> PairSettings:
        """What the step is told; raises ConfigError for a value it does not know."""
        answer_format = resolve_format(
            self.answer_format, can_json="json_schema" in backend.features
        )
        sampling = Sampling(
            temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens
        )
        return PairSettings(sampling, answer_format, self.comments, self.names)

    def ways(self) -> frozenset[str]:
        """The ways of `--verify`."""
        return parse_ways(self.verify or ["evidence"])

    def check(self, engine: flags.EngineFlags) -> None:
        """Raise ConfigError for flags that do not go together."""
        Verifier(ways=self.ways(), margin=self.margin)
        if self.judge_backend and "judge" not in self.ways():
            raise ConfigError("--judge-model needs --verify judge")
        if self.judge_backend and engine.batch:
            raise ConfigError("--batch asks one backend; leave out --judge-model")

    def judge_for_dry_run(self) -> Backend | None:
        """The judge's backend, made without a key; None if the teacher judges."""
        if not self.judge_backend:
            return None
        options = flags.parse_options(self.judge_options or [])
        return flags.make_dry_backend(self.judge_backend, options)

    @contextlib.contextmanager
    def checking(
        self, context: Context, engine: flags.EngineFlags, out: Path
    ) -> Iterator[Checking]:
        """The verifier and the context with what it needs; closes what it opened."""
        with contextlib.ExitStack() as stack:
            clients = self._judge_clients(context, engine, out, stack)
            client = clients.all()[0] if clients else None
            judge = None
            if client is not None:
                judge = Context(client.backend, seed=self.seed).asking(clients)
                context.others = (client.backend,)
            verifier = Verifier(
                ways=self.ways(),
                margin=self.margin,
                bandit=find_bandit() if self.ways() != {"static"} else None,
                judge_context=judge,
                max_tokens=self.max_tokens,
            )
            if verifier.runs_programs and not self.dry_run:
                n_workers = self.workers or os.cpu_count() or 1
                pool = stack.enter_context(
                    SandboxPool(n_workers, required_level=self.sandbox_level)
                )
                context.sandbox = pool
            yield Checking(verifier, context, client)

    def _judge_clients(
        self,
        context: Context,
        engine: flags.EngineFlags,
        out: Path,
        stack: contextlib.ExitStack,
    ) -> Clients | None:
        """Who asks the judge's backend, with a record of costs of its own."""
        if not self.judge_backend:
            return None
        options = flags.parse_options(self.judge_options or [])
        own = Context(
            make_backend(self.judge_backend, **options),
            seed=self.seed,
            cache=context.cache,
            prices=context.prices,
        )
        stack.enter_context(engine.closing(Context(own.backend)))
        ledger = Ledger(out.with_name(out.name + ".journal.judge.spent"))
        stack.callback(ledger.close)
        limits, budget = engine.run_options()["limits"], engine.run_options()["budget"]
        return Clients(
            own, ledger, budget=budget, limits=limits, max_concurrency=engine.concurrency
        )


@dataclass(frozen=True)
class Checking:
    """What a run checks its pairs with; `judge` asks another backend than the teacher, if any."""

    verifier: Verifier
    context: Context
    judge: ModelClient | None = None

    def judge_summary(self) -> str:
        """What the judge cost; "" if the teacher judged."""
        if self.judge is None:
            return ""
        budget, backend = self.judge.budget, self.judge.backend
        spent = budget.ledger.spent
        cost = f"${spent.usd:.4f}" if budget.is_price_known else "cost unknown"
        return (
            f"judge {backend.name}:{backend.model}: {self.judge.n_sent} requests, "
            f"{spent.usage.input_tokens} + {spent.usage.output_tokens} tokens, {cost}"
        )


def find_bandit() -> Bandit | None:
    """Bandit, or None where it is not installed: then the rows say so."""
    try:
        return Bandit()
    except MissingPackageError:
        return None
