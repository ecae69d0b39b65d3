"""`codefavor synthesise levels`: true and false answers in levels, from questions with a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from codefavor.backends import Sampling, make_backend
from codefavor.cli import engine_options as flags
from codefavor.cli.option_groups import refuse
from codefavor.cli.shard_flags import placed
from codefavor.engine import Context, PriceTable
from codefavor.engine.output import journal_of
from codefavor.engine.plan import first_rows, forecast, sample_rows
from codefavor.errors import ConfigError, DataError
from codefavor.journal import Journal, ok_rows
from codefavor.judges.baselines import copied_sign
from codefavor.pairs.balance import balance_by_length, shorter_accuracy
from codefavor.records import Preference, Row, write_rows
from codefavor.sources.answered import Answered, load_answered
from codefavor.synthesis.false_sides import is_negated, stands_in_text
from codefavor.synthesis.hard_pairs import hard_manifest, make_hard_step
from codefavor.synthesis.nearness import nearer_signs
from codefavor.synthesis.truth_levels import NO_ANSWER, simple_pairs
from codefavor.text import comma_list

_LEVELS = ("easy", "medium", "hard")
_OF_MODEL = frozenset({"temperature", "top_p", "max_tokens", "dry_run", "shard"})


def levels(
    data: Annotated[
        Path,
        typer.Option(help="Questions with a text and answers: SQuAD 2's JSON, or JSONL of rows."),
    ],
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="JSONL of pairs to write.")],
    asking: flags.AskingFlags,
    levels: Annotated[
        str, typer.Option(help="Of easy, medium, hard, with commas; hard needs --model.")
    ] = "easy,medium",
    model: Annotated[
        str, typer.Option("--model", "-m", help="KIND:NAME that writes the hard pairs.")
    ] = "",
    temperature: flags.Temperature = 0.7,
    top_p: flags.TopP = 1.0,
    max_tokens: flags.MaxTokens = 512,
    limit: flags.Limit = None,
    sample: flags.Sample = None,
    seed: flags.Seed = 0,
    dry_run: flags.DryRun = False,
) -> None:
    """Pairs of a true and a false answer: of another question, of the same kind, by one flaw."""
    wanted = comma_list(levels)
    if not wanted or not set(wanted) <= set(_LEVELS):
        raise ConfigError(f"--levels {levels}: of {', '.join(_LEVELS)}, with commas")
    if ("hard" in wanted) != bool(model):
        raise ConfigError("--levels hard is what --model is for: give both, or neither")
    refuse(_OF_MODEL, "belongs to --levels hard", unless=model)
    skipped: Counter[str] = Counter()
    rows: list[Row] = [one.to_row() for one in load_answered(data, skipped)]
    if sample is not None:
        rows = sample_rows(rows, sample, seed)
    chosen = [Answered.from_row(row, str(data)) for row in first_rows(rows, limit)]
    flags.show_skipped("rows", skipped)
    pairs, reasons = simple_pairs(chosen, seed=seed, levels=wanted, is_balanced=True)
    if model:
        if lost := sum(bool(one.answers) and not stands_in_text(one) for one in chosen):
            reasons["hard: the answer does not stand in the text"] = lost
        sampling = Sampling(temperature, top_p, max_tokens)
        if dry_run:
            _forecast(chosen, model, sampling, asking, seed)
            return
        hard = _hard(chosen, model, sampling, asking, seed, placed(out, asking.shard))
        if hard is None:
            return
        pairs += hard
    nearer = nearer_signs(pairs, chosen)

    def group(pair: Preference) -> str:
        """Within what lengths are balanced."""
        own = nearer[pair.id] if _is_swap(pair) else NO_ANSWER in (pair.chosen, pair.rejected)
        return f"{pair.level} {own}"

    kept = balance_by_length(pairs, per_problem=1, group_of=group, seed=seed)
    if not kept:
        raise DataError(f"{data}: no pair came out: {dict(reasons)}")
    write_rows(out, (pair.to_row() for pair in kept))
    _show_levels(pairs, kept, nearer)
    flags.show_skipped("questions", reasons)
    typer.echo(out)


def _show_levels(
    pairs: list[Preference], kept: list[Preference], nearer: Mapping[str, int]
) -> None:
    """How many pairs of each level were kept, and what judges that understand nothing get right."""
    copied = {one.id: copied_sign(one.instruction, one.chosen, one.rejected) for one in kept}
    unsaid = {one.id: _says_so_if_negated(one) for one in kept if not _is_swap(one)}
    for level in _LEVELS:
        own = [pair for pair in kept if pair.level == level]
        n = sum(pair.level == level for pair in pairs)
        if n:
            typer.echo(
                f"{level:<7} {len(own)} of {n} pairs kept; 'shorter' is right in "
                f"{shorter_accuracy(own):.1%}, 'copied' in {_accuracy(copied, own):.1%}, "
                f"'nearby' in {_accuracy(nearer, own):.1%}"
            )
            shown = [pair for pair in own if NO_ANSWER in (pair.chosen, pair.rejected)]
            if shown:
                share = _accuracy(unsaid, shown)
                typer.echo(
                    f"        {len(shown)} with {NO_ANSWER!r}: 'it does not say what a negated "
                    f"question asks' is right in {share:.1%}"
                )


def _says_so_if_negated(pair: Preference) -> int:
    """+1 where it is right that the text does not say what a negated question asks, and else
    does."""
    return 1 if is_negated(pair.meta["question"]) == (pair.chosen == NO_ANSWER) else -1


def _accuracy(signs: Mapping[str, int], pairs: list[Preference]) -> float:
    """The share that a sign by pair gets right; 0 is a tie, which counts half."""
    return 0.5 + sum(signs[one.id] for one in pairs) / (2 * len(pairs)) if pairs else 0.5


def _is_swap(pair: Preference) -> bool:
    """Whether a pair sets one part of a text against another."""
    return pair.level == "medium" and NO_ANSWER not in (pair.chosen, pair.rejected)


def _hard(
    chosen: list[Answered],
    model: str,
    sampling: Sampling,
    asking: flags.AskingFlags,
    seed: int,
    out: Path,
) -> list[Preference] | None:
    """The pairs that a model wrote; None of a shard, which has not all of them."""
    backend = make_backend(model, **asking.options_of_backend())
    journal_path = journal_of(out)
    if asking.fresh:
        flags.forget_run(journal_path)
    context = asking.make_context(backend, out, seed)
    rows = [one.to_row() for one in chosen if stands_in_text(one)]
    manifest = hard_manifest(backend, sampling, seed)
    with asking.closing(context), Journal.open(journal_path, manifest) as journal:
        step = make_hard_step(sampling)
        counts = asking.run(step, rows, journal, context=context, label="hard pairs")
    typer.echo(flags.summary(counts), err=True)
    if counts.is_part:
        return None
    wanted = {one.id for one in chosen}
    found = [row["pair"] for row in ok_rows(journal_path) if row["id"] in wanted]
    flags.fail_without_results(counts, len(found) + counts.n_pending)
    return [Preference.from_row(row, str(journal_path)) for row in found]


def _forecast(
    chosen: list[Answered], model: str, sampling: Sampling, asking: flags.AskingFlags, seed: int
) -> None:
    backend = flags.make_dry_backend(model, **asking.options_of_backend())
    context = Context(backend, seed=seed, prices=PriceTable.load(asking.prices))
    rows = [one.to_row() for one in chosen if stands_in_text(one)]
    flags.show_forecast(forecast(make_hard_step(sampling), rows, context, in_batch=asking.batch))
