"""The rows that `codefavor train --data` trains on, and what is held out of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import typer

from codefavor.cli import convert
from codefavor.errors import ConfigError, DataError
from codefavor.journal_manifest import note_together, noted_together
from codefavor.pairs.split import hold_out, shared_questions
from codefavor.records import Problem, Row, content_id, file_sha256, write_rows
from codefavor.sources.row_files import read_any_rows
from codefavor.training.formats import FORMATS, TESTS_COLUMNS, Format, get_format
from codefavor.training.plan import needs_of
from codefavor.training.recipes import load_yaml

_CONVERT = "codefavor convert "
_SHARE = 0.1
# What a recipe measures on its dev file, and what it does by that.
_MEASURED = ("dev_accuracy", "test_datasets", "eval_steps", "load_best_model_at_end")


def data_for(recipe: Path, data: Path, folder: Path, chosen: Mapping[str, object]) -> Row:
    """What to set in a recipe that trains on `data` instead: `datasets`, and what it measures on.

    The dev file of a recipe belongs to its own data. Of pairs of one's own a tenth of the questions
    is held out in its place; where that cannot be, nothing is measured, and that is said. `chosen`
    are the keys that were set by hand, and stay. Files are written to `folder`.

    Raises ConfigError for data that are the dev pairs of the recipe.
    """
    config = load_yaml(recipe)
    entries = config.get("datasets") or []
    if len(entries) != 1:
        raise ConfigError(f"{recipe}: has {len(entries)} data sets; cannot replace 'the' one")
    dev = (config.get("dev_accuracy") or {}).get("data")
    own_dev = chosen.get("dev_accuracy__data")
    if own_dev or dev:
        _refuse_dev_pairs(data, Path(str(own_dev or dev)), is_whole=own_dev is None)
    by_hand = {key.partition("__")[0] for key in chosen}
    left = [key for key in _MEASURED if key in config and key not in by_hand]
    sides = _held_out(recipe, data, folder) if left and own_dev is None else {}
    if sides:
        made = rows_for(recipe, sides["train"], folder)
        measured: Row = {"datasets": [{**entries[0], "path": str(made)}]}
        if "dev_accuracy" in left:
            measured["dev_accuracy"] = {**config["dev_accuracy"], "data": str(sides["dev"])}
        if "test_datasets" in left:
            rows = rows_for(recipe, sides["dev"], folder)
            measured["test_datasets"] = [{**config["test_datasets"][0], "path": str(rows)}]
        return measured
    if left:
        typer.echo(
            f"nothing is measured while training: the dev file of {recipe} is not held out of "
            f"{data}, and of these rows none can be; evaluate the result on pairs of your own",
            err=True,
        )
    made = rows_for(recipe, data, folder)
    return {"datasets": [{**entries[0], "path": str(made)}], **dict.fromkeys(left)}


def remarks_on(recipe: Path, data: Path | None, chosen: Mapping[str, object]) -> Iterator[str]:
    """What to say of the rows before a run: that they rest on verdicts which can be forged, or
    that `convert --curriculum` put them in an order which the recipe, with the keys that were set
    by hand, does not keep."""
    config = {**load_yaml(recipe), **chosen}
    paths = [data] if data else [Path(str(one["path"])) for one in config.get("datasets") or []]
    is_kept = config.get("curriculum_order") and config.get("shuffle_merged_datasets") is False
    for path in paths:
        if together := noted_together(path):
            yield f"{path}: {together} pairs rest on tests of the together lane: forgeable"
        manifest = path.with_name(f"{path.name}.manifest.json")
        found = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
        if len((found.get("curriculum") or {}).get("stages") or []) > 1 and not is_kept:
            yield (
                f"{path}: its rows stand in the order of a curriculum, and {recipe} shuffles them; "
                "to keep the order: --set shuffle_merged_datasets=false --set "
                "curriculum_order=true, and CurriculumPlugin under plugins (docs/training.md)"
            )


def rows_for(recipe: Path, data: Path, folder: Path) -> Path:
    """The file to train on: `data` if its rows are the recipe's, else what `convert` makes of it,
    written to `folder`.

    The format and the options are those of the `convert` line in the recipe's header; a recipe
    without one takes its rows as they are.
    """
    words = _convert_words(recipe)
    if not words or _columns_of(words) == (found := _columns_in(data)):
        return data
    # Rows of pairs can be converted once more, others are told as what they are.
    forms = [one for one in FORMATS.values() if "chosen" not in one.columns]
    others = [f"--format {one.name}" for one in forms]
    others += ["--format grpo --task tests"]
    if other := next((one for one in others if _columns_of(shlex.split(one)) == found), None):
        raise ConfigError(
            f"{data}: its rows are those of `convert {other}`; {recipe} trains on those of "
            f"`{shlex.join(['convert', *_options(words)])}`: pass what they were made from, or "
            "take a recipe that trains on such rows"
        )
    options = _options(words)
    form = _format_of(words)
    name = content_id(file_sha256(data), options)[:12]
    out = folder / f"{data.stem}-{form.name}-{name}.jsonl"
    convert_app = typer.Typer()
    convert_app.command()(convert.command)
    convert_app([str(data), *options, "--out", str(out)], standalone_mode=False)
    return out


def _convert_words(recipe: Path) -> list[str]:
    """The first `convert` line of a recipe's header, as words; [] without one."""
    needs = (one.partition(_CONVERT)[2] for one in needs_of(recipe))
    words = shlex.split(next(filter(None, needs), ""))
    return words if "--format" in words else []


def _format_of(words: Sequence[str]) -> Format:
    return get_format(words[words.index("--format") + 1])


def _options(words: Sequence[str]) -> Sequence[str]:
    return words[words.index("--format") : words.index("--out")]


def _columns_of(words: Sequence[str]) -> dict[str, type]:
    """The columns of what `convert` makes with these options, but for the id."""
    asks_tests = "--task" in words and words[words.index("--task") + 1] == "tests"
    return {**_format_of(words).columns, **(TESTS_COLUMNS if asks_tests else {})}


def _columns_in(data: Path) -> dict[str, type]:
    _, first = next(read_any_rows(data))
    return {name: type(value) for name, value in first.items() if name != "id"}


def _held_out(recipe: Path, data: Path, folder: Path) -> dict[str, Path]:
    """Files of "train" and "dev" pairs made of `data`; {} where no pairs can be held out."""
    words = _convert_words(recipe)
    if not words or _format_of(words).reads is Problem or _columns_of(words) == _columns_in(data):
        return {}
    sides = hold_out(read_any_rows(data), _SHARE)
    if not all(sides.values()):
        return {}
    name = content_id(file_sha256(data), _SHARE)[:12]
    files = {side: folder / f"{data.stem}-{side}-{name}.jsonl" for side in sides}
    for side, rows in sides.items():
        write_rows(files[side], rows)
        note_together(files[side], data, len(rows))
    counts = f"{len(sides['train'])} rows are trained on, {len(sides['dev'])} held out"
    typer.echo(f"{data}: {counts}, by their questions ({files['dev']})", err=True)
    return files


def _refuse_dev_pairs(data: Path, dev: Path, *, is_whole: bool) -> None:
    """Raise ConfigError where `data` are dev pairs, or, unless `is_whole`, have some of them."""
    if not dev.is_file():
        return
    try:
        shared, n_questions = shared_questions(read_any_rows(data), read_any_rows(dev))
    except DataError:
        return  # rows in the recipe's own form: nothing is measured then
    if shared and (shared == n_questions or not is_whole):
        raise ConfigError(
            f"{data}: {shared} of its {n_questions} questions are those of {dev}, on which the "
            "best weights are chosen: an accuracy on what was trained on says nothing; pass other "
            "pairs"
        )
