"""`codefavor recipes`: list, show, new, render, check, rehearse, diff, prepare."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codefavor.cli.option_groups import refuse
from codefavor.cli.recipe_tools import estimate_recipe, show_estimate, show_preview
from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import Row, write_text
from codefavor.training import recipe_table
from codefavor.training import recipes as engine
from codefavor.training.derive import RATES
from codefavor.training.estimate import CARDS
from codefavor.training.matrix import read_matrix
from codefavor.training.runcard import first_values, last_values, load_card, read_metrics

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
    names = list(read_matrix(root))
    near = difflib.get_close_matches(recipe, names, n=5, cutoff=0.3) or names[:10]
    raise ConfigError(f"no recipe {recipe!r}; near: {', '.join(near)} (codefavor recipes list)")


@app.command("list")
def list_recipes(
    word: Annotated[str, typer.Argument(help="Only names or purposes with this word.")] = "",
) -> None:
    """Every recipe with its method, hardware, purpose and where it was really run."""
    root = engine.find_recipes()
    results = recipe_table.read_results(root)
    rows = []
    for line in read_matrix(root).values():
        if word.lower() not in f"{line.name} {line.purpose}".lower():
            continue
        recipe = engine.build(line, root)
        method = engine.method_of(recipe.config)
        runs = [kind for kind in ("cpu", "gpu") if recipe_table.entry(results, recipe, kind)]
        batch = engine.global_batch(recipe.config, line.gpus)
        gpus = str(line.gpus or "any")
        rows.append((line.name, method, gpus, str(batch), "+".join(runs) or "-", line.purpose))
    if not rows:
        raise ConfigError(f"no recipe's name or purpose has {word!r} (codefavor recipes list)")
    print_table(("recipe", "method", "GPUs", "batch", "run on", "purpose"), rows)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere one line a row, its cells separated by tabs, uncut."""
    console = Console()
    if not console.is_terminal:
        for row in (titles, *rows):
            typer.echo("\t".join(row))
        return
    table = Table()
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # "[sigmoid]" would be read as a style
    console.print(table)


@app.command()
def show(recipe: RecipeArgument) -> None:
    """Print a complete recipe."""
    typer.echo(resolve(recipe).read_text(encoding="utf-8"), nl=False)


@app.command()
def new(
    model: Annotated[str, typer.Option(help="A model's name on the Hub, or its folder.")],
    method: Annotated[str, typer.Option(help=f"One of: {', '.join(RATES)}.")],
    gpus: Annotated[str, typer.Option(help="GPUSxGB, as in 4x80; NODESxGPUSxGB for several.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Pairs to train on, for grpo problems [outputs/pairs/train.jsonl]."),
    ] = None,
    dev: Annotated[
        Path | None,
        typer.Option(help="Pairs to hold out [a tenth of --data; outputs/pairs/dev.jsonl]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The file to write; default: print it.")
    ] = None,
    is_rehearsed: Annotated[
        bool, typer.Option("--rehearse", help="Check the file, and rehearse it (minutes of a CPU).")
    ] = False,
) -> None:
    """A complete recipe for a model, a method and some GPUs, with the reason of every setting.

    Reads the model's own configuration and template, checks its class and LoRA's targets on the
    model without its weights, and takes what fits by the estimate. Nothing is downloaded.
    """
    from codefavor.training.new_recipe import new_recipe

    root = engine.find_recipes()
    if is_rehearsed and out is None:
        raise ConfigError("--rehearse needs --out: what is rehearsed is the file")
    text = new_recipe(model, method, gpus, data=data, dev=dev, out=out, root=root)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, [text])
    if not is_rehearsed:
        typer.echo(f"{out}: look at it, then: codefavor recipes check {out}")
        return
    from codefavor.training.rehearsal import Rehearser
    from codefavor.training.rehearse_new import rehearse_new

    problems = rehearse_new(out, Rehearser(root))
    for problem in problems:
        typer.echo(f"  {problem}")
    if problems:
        raise ConfigError(f"{out}: written, and {len(problems)} problem(s) found")
    typer.echo(f"{out}: checked and rehearsed: ok")


@app.command()
def render(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a file is not up to date.")
    ] = False,
) -> None:
    """Write every recipe from its layers."""
    root = engine.find_recipes()
    stale = recipe_table.stale_files(root)
    if check:
        if stale:
            typer.echo("".join(stale.values()))
            raise ConfigError(
                f"{len(stale)} recipe(s) are not what the layers give: {', '.join(stale)}; "
                "run `codefavor recipes render`"
            )
        typer.echo("all recipes are up to date")
        return
    files = recipe_table.rendered_files(root)
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
    print_table(
        ("key", first, second),
        [
            (key, _cell(left, key), _cell(right, key))
            for key in sorted({*left, *right})
            if left.get(key) != right.get(key)
        ],
    )


@app.command()
def record(
    runs: Annotated[list[Path], typer.Argument(help="Output folders of finished trainings.")],
) -> None:
    """Note finished trainings in results.yaml, from their run cards; then render."""
    root = engine.find_recipes()
    results = recipe_table.read_results(root)
    by_digest = {
        recipe.digest: recipe
        for line in read_matrix(root).values()
        for recipe in [engine.build(line, root)]
    }
    for run in runs:
        card = load_card(run)
        recipe = by_digest.get(str(card.get("recipe_digest")))
        if recipe is None:
            raise ConfigError(f"{run}: trained with a recipe that is not (or no longer) of ours")
        metrics = read_metrics(run)
        card |= {"first": first_values(metrics), "last": last_values(metrics)}
        kind, text = recipe_table.run_entry(card, recipe.config)
        results = recipe_table.with_entry(results, recipe.line.name, kind, recipe.digest, text)
        typer.echo(f"{recipe.line.name}: {kind}: {text}")
    write_text(root / "results.yaml", [engine.dump(results)])


@app.command()
def prepare(recipe: RecipeArgument) -> None:
    """Make what a recipe needs and this package can make: the embedded model's folder."""
    from codefavor.backends.embedded import FOLDER_NAME, ensure_embedded_model

    path = resolve(recipe)
    base_model = str(engine.load_yaml(path).get("base_model", ""))
    if Path(base_model).name != FOLDER_NAME:
        raise ConfigError(
            f"{path}: its base model is {base_model!r}; only {FOLDER_NAME} comes with this "
            "package, any other is loaded from the Hub or from a folder of yours"
        )
    typer.echo(f"ready: {ensure_embedded_model(Path(base_model).parent)}")


@app.command()
def rehearse(
    recipes: Annotated[list[str] | None, typer.Argument(help="Names or files.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every recipe that has no record: resumes by itself.")
    ] = False,
    tenth: Annotated[
        bool, typer.Option("--tenth", help="What changed since, and a tenth of the rest each day.")
    ] = False,
) -> None:
    """Really train each recipe on a small stand-in of its model, on the CPU, and check it by force.

    What passed is noted in results.yaml; then render. A file of your own is checked first, and
    rehearsed where the model's files are known here and its data have a form that convert writes.
    """
    from codefavor.cli.rehearse import rehearse_recipes

    if not recipes and not all_ and not tenth:
        raise ConfigError("name the recipes to rehearse, or pass --all")
    refuse({"all_", "tenth"}, "does not go with recipes that are named", unless=not recipes)
    refuse({"tenth"}, "does not go with --all", unless=not all_)
    rehearse_recipes([resolve(one) for one in recipes or []], is_tenth=tenth)


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
    record: Annotated[
        bool, typer.Option("--record", help="Note in results.yaml what passed; then render.")
    ] = False,
) -> None:
    """Axolotl's schema of the pinned version, and the stricter checks that it lacks."""
    from codefavor.training.check import RecipeChecker
    from codefavor.training.check_files import gpus_of
    from codefavor.training.findings import error

    root = engine.find_recipes()
    matrix = {root / line.file_name: line for line in read_matrix(root).values()}
    paths = [resolve(recipe) for recipe in recipes] if recipes else list(matrix)
    checker = RecipeChecker()
    results = recipe_table.read_results(root)
    n_errors = 0
    for path in paths:
        try:
            n_gpus = gpus if gpus is not None else gpus_of(path)
            findings = checker.check(path, gpus=n_gpus)
        except (CodefavorError, OSError, UnicodeDecodeError) as problem:
            findings = [error(str(problem))]
        errors = [finding for finding in findings if finding.severity == "error"]
        n_errors += len(errors)
        typer.echo(f"{path}: {'ok' if not errors else f'{len(errors)} error(s)'}")
        for finding in findings:
            typer.echo(f"  {finding.severity}: {finding.message}")
        line = matrix.get(path)
        if line and not errors:
            digest = engine.build(line, root).digest
            text = f"axolotl {version('axolotl')}"
            results = recipe_table.with_entry(results, line.name, "check", digest, text)
    if record:
        write_text(root / "results.yaml", [engine.dump(results)])
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
    path = resolve(recipe)
    config = engine.load_yaml(path)
    if data is not None:
        config["datasets"] = [{**config["datasets"][0], "path": str(data)}]
    show_preview(config, rows, allow_long=allow_long)


@app.command()
def estimate(
    recipe: RecipeArgument,
    gpus: Annotated[int | None, typer.Option(help="Devices; default: the recipe's own.")] = None,
    card: Annotated[str, typer.Option(help=f"One of: {', '.join(CARDS)}.")] = "",
    parameters: Annotated[
        float | None, typer.Option(help="Weights of the model, as in 7.6e9, if not known here.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Rows; default: those of the data.")] = None,
    tokens: Annotated[
        float | None,
        typer.Option(help="Tokens of one sequence; default: by the data's characters."),
    ] = None,
    usd_per_hour: Annotated[float | None, typer.Option(help="Price of one device.")] = None,
) -> None:
    """Memory, steps, hours and dollars, before anything is downloaded or rented."""
    path = resolve(recipe)
    own = engine.processes_of(path)
    found, basis = estimate_recipe(
        path,
        engine.load_yaml(path),
        gpus=own if gpus is None else gpus,
        card=card,
        parameters=parameters,
        rows=rows,
        tokens=tokens,
        usd_per_hour=usd_per_hour,
    )
    show_estimate(found, basis)
    if not found.fits:
        raise ConfigError("too little memory; see the table for what takes it")
