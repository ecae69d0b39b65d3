"""`codefavor recipes rehearse`: each recipe really trains a small stand-in of its model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import typer

from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import Row, write_text
from codefavor.training import recipe_table
from codefavor.training import recipes as engine
from codefavor.training.matrix import read_matrix
from codefavor.training.recipes import Recipe
from codefavor.training.rehearsal import Rehearser, versions_text
from codefavor.training.rehearse_new import rehearse_new

_SHARES = 10


def rehearse_recipes(named: Sequence[Path], *, is_tenth: bool) -> None:
    """Rehearse these recipes, or (none named) those that are due, and note what passed.

    Due are all that have no record; or (`is_tenth`) those whose record holds no longer, and a tenth
    of the others, another each day. Raises ConfigError at the end if any failed.
    """
    root = engine.find_recipes()
    rehearser = Rehearser(root)
    groups = group_alike(root, rehearser)
    n_failed = 0
    strange: list[Path] = []
    if named:
        chosen = [group for group in groups.values() if set(group) & set(named)]
        strange = [path for path in named if not any(path in group for group in chosen)]
        for path in strange:
            n_failed += _rehearse_own(path, rehearser)
    else:
        is_due = (is_changed if is_tenth else is_new)(recipe_table.read_results(root))
        day = datetime.now(timezone.utc).timetuple().tm_yday % _SHARES if is_tenth else None
        chosen = [
            group
            for number, group in enumerate(groups.values())
            if number % _SHARES == day or any(map(is_due, group.values()))
        ]
    for number, group in enumerate(chosen, start=1):
        path, recipe = next(iter(group.items()))
        found = rehearser.rehearse(path)
        n_failed += bool(found.problems)
        alike = f" (and {len(group) - 1} alike)" if len(group) > 1 else ""
        result = "failed" if found.problems else "ok"
        cost = f"{found.cpu_seconds:.0f} CPU s"
        typer.echo(f"{number}/{len(chosen)} {recipe.line.name}{alike}: {result}, {cost}")
        for problem in found.problems:
            typer.echo(f"  {problem}")
        # After each, so that the next command goes on where this one ended. What CI looks at
        # again has its record, which only a failure changes.
        if found.problems or not is_tenth:
            note(root, group.values(), "" if found.problems else found.text)
    if n_failed:
        n_all = len(chosen) + len(strange)
        raise ConfigError(f"{n_failed} of {n_all} failed; their logs are in {rehearser.folder}")


def _rehearse_own(path: Path, rehearser: Rehearser) -> bool:
    """Check and rehearse a file that is no recipe of ours: no record is kept. True if it fails."""
    try:
        problems = rehearse_new(path, rehearser)
    except CodefavorError as error:
        problems = [str(error)]
    typer.echo(f"{path}: {'failed' if problems else 'ok'}")
    for problem in problems:
        typer.echo(f"  {problem}")
    return bool(problems)


def group_alike(root: Path, rehearser: Rehearser) -> dict[str, dict[Path, Recipe]]:
    """All recipes by what their rehearsal depends on: many differ in size and hardware alone."""
    groups: dict[str, dict[Path, Recipe]] = {}
    for line in read_matrix(root).values():
        recipe, path = engine.build(line, root), root / line.file_name
        groups.setdefault(rehearser.digest(path), {})[path] = recipe
    return groups


def is_new(results: Row) -> Callable[[Recipe], bool]:
    """Whether a recipe was not rehearsed as it is, with the versions that are installed."""
    return lambda recipe: versions_text() not in recipe_table.entry(results, recipe, "rehearsal")


def is_changed(results: Row) -> Callable[[Recipe], bool]:
    """Whether a recipe was rehearsed, and is no longer what was."""

    def check(recipe: Recipe) -> bool:
        record = (results.get(recipe.line.name) or {}).get("rehearsal") or {}
        return bool(record.get("text")) and record["digest"] != recipe.digest

    return check


def note(root: Path, recipes: Iterable[Recipe], text: str) -> None:
    """Write the record of a rehearsal of these recipes; "" takes an older one away."""
    results = recipe_table.read_results(root)
    for recipe in recipes:
        results = recipe_table.with_entry(
            results, recipe.line.name, "rehearsal", recipe.digest, text
        )
    write_text(root / "results.yaml", [engine.dump(results)])
