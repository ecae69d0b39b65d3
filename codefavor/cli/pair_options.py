"""Flags that the pipelines of preference pairs share, and what they mean to a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from codefavor.backends import Backend, Sampling, make_backend
from codefavor.cli import engine_options as flags
from codefavor.cli.option_groups import refuse
from codefavor.cli.shard_flags import n_workers
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

    temperature: flags.Temperature = 0.7
    top_p: flags.TopP = 0.95
    max_tokens: flags.MaxTokens = 2048
    seed: flags.Seed = 0
    answer_format: Annotated[
        str,
        Option("--format", help="json (by schema), sections (tagged), or auto: sections."),
    ] = "auto"
    comments: Annotated[str, Option(help="strip (from both programs, or neither) or keep.")] = (
        "strip"
    )
    names: Annotated[str, Option(help="neutral (no name tells the side) or keep; Python only.")] = (
        "neutral"
    )
    verify: Annotated[
        list[str] | None,
        Option(
            help="static, evidence (tests, instruction counts, Bandit), tests (asks the teacher "
            "for some), judge (asked blind in both orders), tested (a judge that runs "
            "both on tests it writes). Several add up (default: evidence)."
        ),
    ] = None
    margin: Annotated[
        float, Option(help="Efficiency: times more instructions of the rejected program.")
    ] = 1.1
    judge_backend: Annotated[
        str,
        Option(
            "--judge-model",
            "--judge-backend",
            help="KIND:NAME of the judge (default: the teacher); a budget counts for each.",
        ),
    ] = ""
    judge_options: Annotated[
        list[str] | None, Option("--judge-set", help="An option of the judge's backend.")
    ] = None
    sandbox_level: flags.SandboxLevel = "L2"
    workers: flags.Workers = 0
    balance: Annotated[
        bool,
        Option("--balance", help="Write only pairs whose lengths give nothing away."),
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
        if self.judge_backend and not self.ways() & {"judge", "tested"}:
            raise ConfigError("--judge-model needs --verify judge or --verify tested")
        why = "belongs to --judge-model, which is not given"
        refuse({"judge_options"}, why, unless=self.judge_backend)
        runs = {"margin", "workers", "sandbox_level"}
        why = "means nothing to --verify static, which runs no program"
        refuse(runs, why, unless=self.ways() != {"static"})
        if self.judge_backend and engine.batch:
            raise ConfigError("--batch asks one backend; leave out --judge-model")

    def make_judge(self, *, is_dry_run: bool = False) -> Backend | None:
        """The judge's backend, for a dry run without a key; None if the teacher judges."""
        make = flags.make_dry_backend if is_dry_run else make_backend
        options = flags.parse_options(self.judge_options or [])
        return make(self.judge_backend, **options) if self.judge_backend else None

    @contextlib.contextmanager
    def checking(
        self, context: Context, engine: flags.EngineFlags, out: Path
    ) -> Iterator[tuple[Verifier, ModelClient | None]]:
        """The verifier, and who asks the judge; gives the context what they need, and closes
        what it opened."""
        with contextlib.ExitStack() as stack:
            clients = self._judge_clients(context, engine, out, stack)
            client = clients.all()[0] if clients else None
            judge = None
            if client is not None:
                judge = Context(client.backend, seed=self.seed).asking(clients)
                context.others = (client.backend,)
            bandit = None
            if self.ways() != {"static"}:
                # Where it is not installed, the rows say so.
                with contextlib.suppress(MissingPackageError):
                    bandit = Bandit()
            verifier = Verifier(
                ways=self.ways(),
                margin=self.margin,
                bandit=bandit,
                judge_context=judge,
                max_tokens=self.max_tokens,
            )
            if verifier.runs_programs:
                pool = SandboxPool(n_workers(self.workers), required_level=self.sandbox_level)
                context.sandbox = stack.enter_context(pool)
            yield verifier, client

    def _judge_clients(
        self,
        context: Context,
        engine: flags.EngineFlags,
        out: Path,
        stack: contextlib.ExitStack,
    ) -> Clients | None:
        """Who asks the judge's backend, with a record of costs of its own."""
        backend = self.make_judge()
        if backend is None:
            return None
        own = Context(backend, seed=self.seed, cache=context.cache, prices=context.prices)
        stack.enter_context(engine.closing(Context(backend)))
        ledger = Ledger(out.with_name(out.name + ".journal.judge.spent"))
        stack.callback(ledger.close)
        limits, budget = engine.run_options()["limits"], engine.run_options()["budget"]
        most = engine.concurrency
        return Clients(own, ledger, budget=budget, limits=limits, max_concurrency=most)


def judge_summary(judge: ModelClient) -> str:
    """What a judge of its own cost."""
    budget, backend = judge.budget, judge.backend
    spent = budget.ledger.with_shards()
    cost = f"${spent.usd:.4f}" if budget.is_price_known else "cost unknown"
    return (
        f"judge {backend.name}:{backend.model}: {judge.n_sent} requests now, in all "
        f"{spent.usage.input_tokens} + {spent.usage.output_tokens} tokens, {cost}"
    )
