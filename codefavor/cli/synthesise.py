"""`codefavor synthesise`: ask a model for completions and preference data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from codefavor.backends import Sampling
from codefavor.cli import engine_options as flags
from codefavor.cli.option_groups import expanded
from codefavor.cli.synthesise_levels import levels
from codefavor.cli.synthesise_pairs import commit_instruct, critic_evol
from codefavor.cli.synthesise_tests import tests
from codefavor.engine.plan import chosen_rows
from codefavor.engine.stored_rows import StoredRows
from codefavor.errors import ConfigError
from codefavor.settings import data_folder
from codefavor.sources.instructions import stream_instructions
from codefavor.sources.problems import stream_problems
from codefavor.synthesis.drafts import completions_of, drafts_manifest, make_drafts_step
from codefavor.synthesis.usable import only_with_programs

app = typer.Typer(no_args_is_help=True, help="Ask a model for drafts, tests and preference data.")
app.command("commit-instruct")(expanded(commit_instruct))
app.command("critic-evol")(expanded(critic_evol))
app.command()(expanded(levels))
app.command("tests")(expanded(tests))


@app.command()
@expanded
def drafts(
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="JSONL of completions to write.")
    ],
    engine: flags.EngineFlags,
    problems: Annotated[
        str,
        typer.Option(help="A known set (humaneval, ...) or a JSONL file (default: starter)."),
    ] = "",
    instructions: Annotated[
        str,
        typer.Option(help="Tasks without tests instead: self-oss-instruct, or a JSONL file."),
    ] = "",
    n: Annotated[int, typer.Option(help="Drafts per problem.")] = 4,
    temperature: flags.Temperature = 0.8,
    top_p: flags.TopP = 0.95,
    max_tokens: flags.MaxTokens = 512,
    seed: flags.Seed = 0,
    limit: flags.Limit = None,
    sample: flags.Sample = None,
    dry_run: flags.DryRun = False,
) -> None:
    """Several answers of a model to each problem, for `codefavor score` or `critic-evol`."""
    if problems and instructions:
        raise ConfigError("give --problems or --instructions, not both")
    folder = data_folder()
    skipped = Counter[str]()
    asked = (
        stream_instructions(instructions, data_dir=folder, skipped=skipped)
        if instructions
        else stream_problems(problems or "starter", data_dir=folder)
    )
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, n=n)
    rows = (problem.to_row() for problem in asked)
    asked_rows = StoredRows(chosen_rows(rows, sample, limit, seed), engine.shard)
    flags.show_skipped("instructions", skipped)
    if not asked_rows.n_read:
        raise ConfigError("no problems are left to ask about; check --limit and --sample")
    backend = engine.make_backend(is_dry_run=dry_run)
    step = only_with_programs(make_drafts_step(sampling))
    if dry_run:
        engine.forecast(step, asked_rows, backend, seed)
        return
    manifest = drafts_manifest(backend, sampling, seed)
    options = {"manifest": manifest, "expand": completions_of, "label": "drafts"}
    engine.run_and_show(step, asked_rows, out, backend, seed, **options)
