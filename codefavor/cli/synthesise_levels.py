"""`codefavor synthesise levels`: true and false answers in levels, from questions with a text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from codefavor.backends import Sampling, make_backend
from codefavor.cli import engine_options as flags
from codefavor.cli.option_groups import refuse
from codefavor.cli.shard_flags import placed
from codefavor.engine import RunStopped
from codefavor.engine.output import journal_of
from codefavor.engine.plan import chosen_rows
from codefavor.errors import ConfigError, DataError
from codefavor.journal import Journal, ok_rows, read_journal
from codefavor.journal_manifest import manifest_path
from codefavor.judges.baselines import copied_sign
from codefavor.pairs.balance import Cues, balance_by_length, balance_by_signs, length_sign
from codefavor.records import Preference, Row, canonical_json, write_rows, write_text
from codefavor.sources.answered import Answered, load_answered
from codefavor.synthesis.answer_pair import NO_ANSWER
from codefavor.synthesis.hard_pairs import hard_manifest, kind_of_answer, make_hard_step
from codefavor.synthesis.level_judges import HELD, is_unsaid, shares_of, unsaid_shares
from codefavor.synthesis.nearness import nearer_signs
from codefavor.synthesis.truth_levels import simple_pairs
from codefavor.text import comma_list

_LEVELS = ("easy", "medium", "hard")
_NO_HARD_PAIR = (
    "hard: the answer in the text is no single date, number, amount or name (other than of a "
    "place), or may be one of several"
)
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
    rows = (one.to_row() for one in load_answered(data, skipped))
    drawn = chosen_rows(rows, sample, limit, seed)
    chosen = [Answered.from_row(row, str(data)) for row in drawn]
    flags.show_skipped("rows", skipped)
    pairs, reasons = simple_pairs(chosen, seed=seed, levels=wanted, is_balanced=True)
    hard: list[Preference] = []
    if model:
        if lost := sum(bool(one.answers) and not kind_of_answer(one) for one in chosen):
            reasons[_NO_HARD_PAIR] = lost
        sampling = Sampling(temperature, top_p, max_tokens)
        if dry_run:
            backend = flags.make_dry_backend(model, **asking.options_of_backend())
            asking.forecast(make_hard_step(sampling), _asked_about(chosen), backend, seed)
            return
        place = placed(out, asking.shard)
        written = _hard(chosen, model, sampling, asking, seed, place, reasons if pairs else None)
        if written is None:
            return
        hard = written
    kept = _balanced(pairs, hard, chosen, reasons, seed)
    if not kept:
        raise DataError(f"{data}: no pair came out: {dict(reasons)}")
    write_rows(out, (pair.to_row() for pair in kept))
    levels_row, off = _show_levels([*pairs, *hard], kept, chosen)
    flags.show_skipped("questions", reasons)
    empty = [level for level in wanted if level not in {pair.level for pair in kept}]
    # Which levels hold is a finding, as their sizes are: what goes on from here reads it.
    found = {"levels": levels_row, "not_held": off, "empty": empty, "left_out": dict(reasons)}
    write_text(manifest_path(out), [canonical_json({"seed": seed, **found}) + "\n"])
    typer.echo(out)
    _tell_shortfall(off, empty)


def _tell_shortfall(off: list[str], empty: list[str]) -> None:
    if off:
        typer.echo(
            "these levels are not held, since a judge that understands nothing is off chance by "
            f"more than 3 points (the pairs are written): {'; '.join(off)}",
            err=True,
        )
    if empty:
        typer.echo(
            f"no pair is {' or '.join(empty)}: a curriculum must do without that level", err=True
        )


def _balanced(
    simple: list[Preference],
    hard: list[Preference],
    rows: list[Answered],
    reasons: Counter[str],
    seed: int,
) -> list[Preference]:
    """The pairs whose lengths, and of hard ones also what is copied and what is near to the
    question's words, tell nothing."""
    swaps = [pair for pair in simple if pair.level == "medium" and not is_unsaid(pair)]
    nearer = nearer_signs([*swaps, *hard], rows)

    def group(pair: Preference) -> str:
        """Within what lengths are balanced."""
        return f"{pair.level} {nearer.get(pair.id, is_unsaid(pair))}"

    kept = balance_by_length(simple, per_problem=1, group_of=group, seed=seed)
    if n := len(simple) - len(kept):
        reasons["easy, medium: a side is shorter, none other the other way"] = n

    def cues(one: Preference) -> Cues:
        copied = copied_sign(one.instruction, one.chosen, one.rejected)
        return Cues("hard", (length_sign(one), copied, *nearer[one.id]))

    kept_hard = balance_by_signs(hard, cues, seed=seed)
    if n := len(hard) - len(kept_hard):
        reasons[
            "hard: a side is shorter, copied more or nearer to the question's words, none other "
            "the other way"
        ] = n
    return [*kept, *kept_hard]


def _show_levels(
    pairs: list[Preference], kept: list[Preference], rows: list[Answered]
) -> tuple[Row, list[str]]:
    """How many pairs of each level were kept, and what judges that understand nothing get right;
    the judges by whom a level is not held."""
    off: list[str] = []
    row: Row = {}
    for level in _LEVELS:
        own = [pair for pair in kept if pair.level == level]
        n = sum(pair.level == level for pair in pairs)
        if not n:
            continue
        # Apart, as those of many pairs of one kind would hide those of the few of the other.
        said, unsaid = ([pair for pair in own if is_unsaid(pair) == one] for one in (False, True))
        typer.echo(f"{level:<7} {len(own)} of {n} pairs kept")
        row[level] = {"n": n, "n_kept": len(own), "right": {}}
        for kind, shares in (
            ("of two answers", shares_of(said, rows) if said else []),
            (
                f"with {NO_ANSWER!r}",
                [*shares_of(unsaid, rows), *unsaid_shares(unsaid, rows)] if unsaid else [],
            ),
        ):
            if shares:
                right = ", ".join(map(str, shares))
                typer.echo(f"        {shares[0].n} {kind}: right are {right}")
                row[level]["right"][kind] = {one.judge: one.right.to_row() for one in shares}
            if level in HELD:
                off += [f"{level} {kind}, {one}" for one in shares if one.is_off]
    return row, off


def _asked_about(chosen: list[Answered]) -> list[Row]:
    return [one.to_row() for one in chosen if kind_of_answer(one)]


def _hard(
    chosen: list[Answered],
    model: str,
    sampling: Sampling,
    asking: flags.AskingFlags,
    seed: int,
    out: Path,
    reasons: Counter[str] | None,
) -> list[Preference] | None:
    """The pairs that a model wrote; None of a shard, which has not all of them.

    None written is an error only where there are no pairs of other levels to write, and so no
    `reasons`: there replies that stop the run, as none of them is a pair, are counted.
    """
    backend = make_backend(model, **asking.options_of_backend())
    journal_path = journal_of(out)
    if asking.fresh:
        flags.forget_run(asking.shard, journal_path)
    context = asking.make_context(backend, out, seed)
    rows = _asked_about(chosen)
    manifest = hard_manifest(backend, sampling, seed)
    with asking.closing(context), Journal.open(journal_path, manifest) as journal:
        step = make_hard_step(sampling)
        try:
            counts = asking.run(step, rows, journal, context=context, label="hard pairs")
        except RunStopped as stopped:
            n_of = Counter(one["status"] for one in read_journal(journal_path))
            # One that never replied, or gave pairs before, is worth another try.
            is_useless = n_of["rejected"] and not n_of["ok"]
            if reasons is None or asking.shard is not None or not is_useless:
                raise
            reasons["hard: no reply of the model was a pair, and it was asked no more"] = (
                n_of.total()
            )
            typer.echo(stopped, err=True)
            return []
    typer.echo(flags.summary(counts), err=True)
    if counts.is_part:
        return None
    wanted = {one.id for one in chosen}
    # By id: a journal is in the order in which answers came.
    ended = sorted(ok_rows(journal_path), key=lambda row: str(row["id"]))
    found = [row["pair"] for row in ended if row["id"] in wanted]
    flags.fail_without_results(counts, len(found) + counts.n_pending + (reasons is not None))
    return [Preference.from_row(row, str(journal_path)) for row in found]
