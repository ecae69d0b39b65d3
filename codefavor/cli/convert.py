"""`codefavor convert`: preference pairs (or problems) to the rows that a recipe trains on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from codefavor import __version__
from codefavor.cli.convert_inputs import MAX_LISTED, Inputs, read_preferences, read_problems
from codefavor.cli.option_groups import refuse
from codefavor.errors import ConfigError, DataError
from codefavor.journal_manifest import manifest_path
from codefavor.pairs.published_rows import MAX_ERROR_RATE
from codefavor.pairs.split import SPLITS, split_of
from codefavor.records import (
    Problem,
    Row,
    canonical_json,
    content_id,
    file_sha256,
    write_rows,
    write_text,
)
from codefavor.scoring.provenance import LEVELS
from codefavor.training.curriculum import curriculum_of_row, order_by_curriculum
from codefavor.training.formats import (
    FORMATS,
    Conversion,
    FormatOptions,
    convert,
    get_format,
)
from codefavor.training.lengths import Lengths, load_tokenizer, summarise_lengths, token_lengths
from codefavor.training.recipes import load_yaml

AskedFor = Annotated[
    str, typer.Option("--task", help="grpo: what is asked for, programs or tests of the reference.")
]
RequireEvidence = Annotated[
    str, typer.Option(help=f"Only pairs whose label is backed so well: {', '.join(LEVELS)}.")
]
AllowLong = Annotated[
    str, typer.Option(help="Longer rows: 'drop' whole pairs, or 'keep'; both list them.")
]
MaxErrorRate = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Refuse a file of which more rows cannot be read; 0 allows none."
    ),
]


# Problems of one split by accident: a third of them to this power, if they are of the test split.
_N_PROBLEMS = 8


def command(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Preferences in any published form; for grpo, JSONL of problems."),
    ],
    format_name: Annotated[
        str, typer.Option("--format", help=f"One of: {', '.join(sorted(FORMATS))}.")
    ],
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="JSONL to write (whole or not at all).")
    ],
    order: Annotated[
        str, typer.Option(help="Pairwise formats: both orders of each pair, or one at random.")
    ] = "both",
    system: Annotated[
        str, typer.Option(help="'empty' system turn, or 'none' (Gemma, Mistral, Llama-3, Qwen).")
    ] = "empty",
    seed: Annotated[
        int, typer.Option(min=0, help="Draws the order and --sample, and shuffles KTO rows.")
    ] = 0,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many records, drawn by the seed.")
    ] = None,
    task: AskedFor = "programs",
    split: Annotated[
        str, typer.Option(help="grpo: problems of this split: train, dev, test, or all of them.")
    ] = "train",
    require_evidence: RequireEvidence = "none",
    curriculum: Annotated[
        Path | None, typer.Option(help="YAML of stages: {level: share}; rows in that order.")
    ] = None,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(help="Model folder or Hub id: print a table of token lengths. Repeatable."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="The recipe's sequence_len; longer rows are an error.")
    ] = None,
    allow_long: AllowLong = "",
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
) -> None:
    """Write the rows of one training format, and beside them a manifest of how they were made.

    Reads JSONL, JSON and Parquet, by their columns: pairs of codefavor; prompt, chosen, rejected as
    texts or messages; conversations; labelled (KTO), scored or ranked answers. Counts bad rows.
    """
    if max_tokens is not None and not tokenizer:
        raise ConfigError("--max-tokens needs --tokenizer, whose tokens are counted")
    _refuse_idle(format_name, max_tokens, is_drawn=order == "random" or sample is not None)
    long_rule = _one_of("--allow-long", allow_long, ("", "drop", "keep"))
    options = _options(order, system, seed, task)
    of = _one_of("--split", split, (*SPLITS, "all"))
    reading = Inputs(inputs, max_error_rate, format_name, of, require_evidence)
    result, how = _convert(reading, options, curriculum, sample)
    manifest = _manifest(inputs, format_name, options, curriculum, sample) | _counted(result) | how
    rows: Sequence[Row] = result.rows
    if tokenizer:
        rows, measured = _check_lengths(result, tokenizer, max_tokens, long_rule, out)
        manifest |= measured
    _write(out, rows, result, manifest)


def _refuse_idle(format_name: str, max_tokens: int | None, *, is_drawn: bool) -> None:
    """Raise ConfigError for options that mean nothing to this format."""
    refuse({"allow_long"}, "belongs to --max-tokens, which is not given", unless=max_tokens)
    is_pairwise = format_name.startswith("pairwise")
    refuse({"order"}, f"is for pairwise formats; {format_name} has no order", unless=is_pairwise)
    has_system = format_name not in ("reward", "process")
    refuse(
        {"system"}, f"is not for {format_name}, whose rows have no system turn", unless=has_system
    )
    is_drawn = is_drawn or format_name == "kto"
    refuse(
        {"seed"}, "draws nothing here: it is for --sample, --order random and kto", unless=is_drawn
    )
    is_grpo = get_format(format_name).reads is Problem
    refuse({"split"}, f"is for problems (grpo); {format_name} reads pairs", unless=is_grpo)
    refuse({"task"}, f"is for grpo; {format_name} trains on what the pairs ask", unless=is_grpo)
    refuse({"require_evidence"}, "is for pairs; grpo reads problems", unless=not is_grpo)
    refuse({"curriculum"}, "orders pairs; grpo reads problems", unless=not is_grpo)


def _options(order: str, system: str, seed: int, task: str) -> FormatOptions:
    return FormatOptions(
        order=cast("Literal['both', 'random']", _one_of("--order", order, ("both", "random"))),
        system=cast("Literal['empty', 'none']", _one_of("--system", system, ("empty", "none"))),
        seed=seed,
        task=cast("Literal['programs', 'tests']", _one_of("--task", task, ("programs", "tests"))),
    )


def _write(out: Path, rows: Sequence[Row], result: Conversion, manifest: Row) -> None:
    write_rows(out, rows)
    write_text(manifest_path(out), [canonical_json(manifest | {"n_rows": len(rows)}) + "\n"])
    typer.echo(
        f"{manifest['format']}: {len(rows)} rows from {result.n_records} records "
        f"({_counts(dict(result.rejected))}, {result.n_duplicates} duplicate rows) -> {out}"
    )


def _convert(
    reading: Inputs, options: FormatOptions, curriculum: Path | None, sample: int | None
) -> tuple[Conversion, Row]:
    """The rows, and how the inputs were read, for the manifest."""
    inputs, format_name = reading.inputs, reading.format_name
    rejected: Counter[str] = Counter()
    read_as: Row
    if get_format(format_name).reads is Problem:
        kept, rejected = read_problems(reading)
        drawn = _drawn(kept, sample, options.seed)
        rejected["not_sampled"] = len(kept) - len(drawn)
        result = convert(drawn, format_name, options)
        read_as = {"split": reading.split}
    else:
        records, read_as, rejected = read_preferences(reading)
        if split := _split_of_all(records):
            read_as = {**read_as, "split": split}
        n_read = len(records)
        records = _drawn(records, sample, options.seed)
        rejected["not_sampled"] = n_read - len(records)
        if curriculum is not None:
            records = order_by_curriculum(records, curriculum_of_row(load_yaml(curriculum)))
        is_staged = curriculum is not None
        result = convert(records, format_name, options, keep_repeats=is_staged)
    result = dataclasses.replace(
        result,
        rejected=dict(Counter(result.rejected) + rejected),
        n_records=result.n_records + rejected.total(),
    )
    if not result.rows:
        raise DataError(
            f"{', '.join(map(str, inputs))}: none of the {result.n_records} records gives a row "
            f"of the format {format_name}: {_counts(dict(result.rejected))}"
        )
    return result, read_as


def _split_of_all(records: Sequence[Any]) -> str:
    """The split that the problems of all records are of; "" of too few to tell, or of several."""
    problems = {str(getattr(record, "problem_id", "")) for record in records}
    splits = {split_of(problem) for problem in problems}
    return splits.pop() if len(splits) == 1 and len(problems) >= _N_PROBLEMS else ""


def _drawn(records: list[Any], n: int | None, seed: int) -> list[Any]:
    """`n` records by the hash of seed and id, in that order; all as they are for None."""
    if n is None:
        return records
    return sorted(records, key=lambda record: content_id(seed, "order", record.id))[:n]


def _manifest(
    inputs: Sequence[Path],
    format_name: str,
    options: FormatOptions,
    curriculum: Path | None,
    sample: int | None,
) -> Row:
    return {
        "codefavor": __version__,
        "format": format_name,
        **dataclasses.asdict(options),
        "curriculum": load_yaml(curriculum) if curriculum else None,
        **({} if sample is None else {"sample": sample}),
        "inputs": [{"path": str(path), "sha256": file_sha256(path)} for path in inputs],
    }


def _counted(result: Conversion) -> Row:
    return {
        "n_records": result.n_records,
        "n_duplicates": result.n_duplicates,
        "rejected": dict(result.rejected),
    }


def _check_lengths(
    result: Conversion, tokenizers: Sequence[str], limit: int | None, long_rule: str, out: Path
) -> tuple[Sequence[Row], Row]:
    """The rows to write and what was measured, after printing the tables.

    A row is too long if it is by any of the tokenizers. Raises DataError if rows are over the
    limit and no rule says what to do with them.
    """
    tables: dict[str, Lengths] = {}
    longest: dict[str, int] = {}
    n_over = 0
    measured = {name: token_lengths(result.rows, load_tokenizer(name)) for name in tokenizers}
    for name, lengths in measured.items():
        tables[name] = summarise_lengths(lengths, limit)
        _show_table(tables[name], name)
    for record_id, *lengths in zip(result.record_ids, *measured.values(), strict=True):
        if limit is not None and max(lengths) > limit:
            n_over += 1
            longest[record_id] = max(*lengths, longest.get(record_id, 0))
    for record_id, length in list(longest.items())[:MAX_LISTED]:
        typer.echo(f"over {limit} tokens: {record_id} ({length})", err=True)
    if len(longest) > MAX_LISTED:
        where = f"all in {manifest_path(out)}" if long_rule else "all with --allow-long"
        typer.echo(f"and {len(longest) - MAX_LISTED} more ({where})", err=True)
    if longest and not long_rule:
        raise DataError(
            f"{n_over} of {len(result.rows)} rows, of {len(longest)} records, have more than "
            f"{limit} tokens and a trainer would cut or drop them; raise --max-tokens with the "
            "recipe's sequence_len, or say --allow-long drop or --allow-long keep"
        )
    rows: Sequence[Row] = result.rows
    if long_rule == "drop" and longest:
        # With all its rows: half a pair would leave one order more often than the other.
        kept = zip(result.rows, result.record_ids, strict=True)
        rows = [row for row, record_id in kept if record_id not in longest]
        n_dropped = len(result.rows) - len(rows)
        typer.echo(f"dropped {n_dropped} rows of {len(longest)} records", err=True)
        if not rows:
            raise DataError(f"every record has a row of more than {limit} tokens")
    return rows, {
        "lengths": {name: table.to_row() for name, table in tables.items()},
        "allow_long": long_rule,
        "long": longest,
    }


def _show_table(table: Lengths, tokenizer: str) -> None:
    names = ("rows", "min", "mean", "median", "p80", "p90", "p95", "max")
    values = (
        table.n, table.min, round(table.mean, 1), table.median, table.p80, table.p90, table.p95,
        table.max,
    )  # fmt: skip
    typer.echo(f"tokens a row, by {tokenizer}")
    typer.echo("".join(f"{name:>9}" for name in names) + (f"{'over':>9}" if table.limit else ""))
    over = f"{table.n_over:>9}" if table.limit else ""
    typer.echo("".join(f"{value:>9}" for value in values) + over)


def _counts(rejected: dict[str, int]) -> str:
    if not rejected:
        return "0 rejected"
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(rejected.items()))
    return f"{sum(rejected.values())} rejected: {reasons}"


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"{flag} is {value!r}; expected {' or '.join(filter(None, known))}")
    return value
