"""`codefavor synthesise commit-instruct` and `critic-evol`: preference pairs from a teacher."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from codefavor.backends import Backend
from codefavor.cli import engine_options as flags
from codefavor.cli.commit_flags import CommitFlags
from codefavor.cli.pair_options import PairFlags, judge_summary
from codefavor.cli.shard_flags import placed
from codefavor.engine import Step
from codefavor.engine.output import journal_of
from codefavor.engine.plan import chosen_rows
from codefavor.engine.stored_rows import StoredRows
from codefavor.errors import ConfigError
from codefavor.journal import read_journal
from codefavor.pairs.balance import balance_by_length, shorter_accuracy
from codefavor.records import Preference, Row, read_records, write_rows
from codefavor.settings import data_folder
from codefavor.sources.commits import load_commits
from codefavor.sources.problems import load_problems
from codefavor.synthesis.commit_instruct import (
    commit_instruct_manifest,
    commit_instruct_turns,
    make_commit_instruct_step,
)
from codefavor.synthesis.critic_evol import (
    MAX_EXAMPLES,
    N_EXAMPLES,
    critic_evol_manifest,
    is_pair,
    make_critic_evol_step,
)
from codefavor.synthesis.draft_rows import load_drafts
from codefavor.synthesis.forecast import later_questions
from codefavor.synthesis.forms import Form
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.verify import Verifier
from codefavor.synthesis.yields import count_yield

MakeStep = Callable[[PairSettings, Verifier], Step]
MakeTurns = Callable[[PairSettings, Row], Sequence[tuple[str, Form]]]
MakeManifest = Callable[[Backend, PairSettings, Verifier, int], Row]


def commit_instruct(
    commits: Annotated[
        str,
        typer.Option(
            help="editpackft, commitpackft (:go,rust), a git repository (path or URL), or a file"
            " (`codefavor mine` writes one)."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="JSONL of preference pairs to write.")
    ],
    engine: flags.EngineFlags,
    pairs: PairFlags,
    chosen: CommitFlags,
) -> None:
    """Preference pairs from commits: what did the change improve, shown in two programs."""
    pairs.check(engine)
    options = chosen.options()
    skipped = Counter[str]()
    source = load_commits(commits, options=options, skipped=skipped, data_dir=data_folder())
    rows = _choose((commit.to_row() for commit in source), pairs)
    about = {"commits": commits, **dataclasses.asdict(options)}
    _run(
        rows,
        out,
        engine,
        pairs,
        make_commit_instruct_step,
        commit_instruct_manifest,
        about,
        commit_instruct_turns,
    )
    flags.show_skipped("commits", skipped)


def critic_evol(
    drafts: Annotated[
        Path, typer.Option(help="JSONL of drafts: `codefavor synthesise drafts` writes one.")
    ],
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="JSONL of preference pairs to write.")
    ],
    engine: flags.EngineFlags,
    pairs: PairFlags,
    problems: Annotated[
        str,
        typer.Option(help="The problems the drafts answer, for their tests: a set or a file."),
    ] = "",
    examples: Annotated[
        int,
        typer.Option(min=0, max=MAX_EXAMPLES, help="Worked examples shown before each draft."),
    ] = N_EXAMPLES,
) -> None:
    """Preference pairs from drafts: criticise each, improve what is not good enough."""
    pairs.check(engine)
    known = {}
    if problems:
        known = {p.id: p for p in load_problems(problems, data_dir=data_folder())}
    skipped = Counter[str]()
    rows = StoredRows(_choose(load_drafts(drafts, known, skipped), pairs), engine.shard)
    flags.show_skipped("drafts", skipped)
    about = {"drafts": drafts.name, "problems": problems}
    make_step = partial(make_critic_evol_step, n_examples=examples)
    make_manifest = partial(critic_evol_manifest, n_examples=examples)
    _run(rows, out, engine, pairs, make_step, make_manifest, about)


def _choose(rows: Iterator[Row], pairs: PairFlags) -> Iterable[Row]:
    """What `--limit` and `--sample` leave; without them a stream: sources outgrow memory."""
    kept = chosen_rows(rows, pairs.sample, pairs.limit, pairs.seed)
    first = next(kept, None)
    if first is None:
        raise ConfigError("no rows are left to ask about; check the source, --limit and --sample")
    if pairs.limit is None and pairs.sample is None:
        return itertools.chain([first], kept)
    return [first, *kept]


def _run(
    rows: Iterable[Row],
    out: Path,
    engine: flags.EngineFlags,
    pairs: PairFlags,
    make_step: MakeStep,
    make_manifest: MakeManifest,
    about: Row,
    turns: MakeTurns | None = None,
) -> None:
    """Ask about the rows and write the pairs, or show what that would cost.

    `turns` are those after the first of the pipeline's conversation.
    """
    backend = engine.make_backend(is_dry_run=pairs.dry_run)
    settings = pairs.settings(backend)
    if pairs.dry_run:
        verifier = Verifier(ways=pairs.ways(), margin=pairs.margin, max_tokens=pairs.max_tokens)
        later = later_questions(
            partial(turns, settings) if turns else lambda row: (),
            settings,
            verifier,
            judge=pairs.make_judge(is_dry_run=True) or backend,
        )
        step = make_step(settings, verifier)
        engine.forecast(step, rows, backend, pairs.seed, later=later)
        return
    out = placed(out, engine.shard)
    context = engine.make_context(backend, out, pairs.seed)
    with engine.closing(context), pairs.checking(context, engine, out) as (verifier, judge):
        counts = engine.run_to_file(
            make_step(settings, verifier),
            rows,
            out,
            manifest={**make_manifest(backend, settings, verifier, pairs.seed), "input": about},
            expand=lambda row: iter([row] if is_pair(row) else []),
            beside={_good_enough(out): lambda row: iter([] if is_pair(row) else [row])},
            context=context,
            label="pairs",
        )
    typer.echo(count_yield(read_journal(journal_of(out))).table())
    typer.echo(flags.summary(counts))
    if judge is not None:
        typer.echo(judge_summary(judge))
    if counts.is_whole:
        n_good = _write_others(out, pairs)
        flags.fail_without_results(counts, n_good or out.stat().st_size)


def _good_enough(out: Path) -> Path:
    return out.with_name(f"{out.stem}.good_enough.jsonl")


def _write_others(out: Path, pairs: PairFlags) -> int:
    """The drafts that were good enough beside the pairs, and the pairs balanced, where asked.

    Returns how many drafts were good enough.
    """
    beside = _good_enough(out)
    n_good = len(beside.read_bytes().splitlines())
    if n_good:
        typer.echo(f"{n_good} good enough -> {beside}")
    else:
        beside.unlink()
    if not out.stat().st_size:
        typer.echo(
            f"no pair came out; the reasons stand above, and row by row in {journal_of(out)}"
        )
        return n_good
    everything = read_records(out, Preference)
    if not pairs.balance:
        typer.echo(f"{len(everything)} pairs -> {out}")
        return n_good
    kept = balance_by_length(
        everything,
        per_problem=max(Counter(pair.problem_id or pair.id for pair in everything).values()),
        group_of=lambda pair: f"{pair.language}/{pair.meta.get('aspect', '')}",
        seed=pairs.seed,
    )
    write_rows(out, (pair.to_row() for pair in kept))
    typer.echo(
        f"{len(kept)} of {len(everything)} pairs -> {out}; 'the shorter is better' is right in "
        f"{shorter_accuracy(kept):.1%}, before balancing in {shorter_accuracy(everything):.1%}"
    )
    return n_good
