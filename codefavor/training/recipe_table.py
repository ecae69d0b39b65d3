"""All rendered files: the recipes, and the table of what was checked and run of each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Row
from codefavor.training.matrix import read_matrix
from codefavor.training.recipes import (
    RENDERED_BY,
    Recipe,
    build,
    global_batch,
    load_yaml,
    method_of,
    render,
)

_KINDS = ("check", "rehearsal", "cpu", "gpu")


def entry(results: Mapping[str, Any], recipe: Recipe, kind: str) -> str:
    """What was recorded of this very configuration under `kind` (check, cpu, gpu), or ""."""
    found = (results.get(recipe.line.name) or {}).get(kind) or {}
    return str(found["text"]) if found.get("digest") == recipe.digest else ""


def measured_text(recipe: Recipe, results: Mapping[str, Any]) -> str:
    """The runs of exactly this configuration, or "not run"."""
    texts = [
        f"{kind.upper()}: {text}"
        for kind in ("cpu", "gpu")
        if (text := entry(results, recipe, kind))
    ]
    return "; ".join(texts) or "not run"


def with_entry(results: Mapping[str, Any], name: str, kind: str, digest: str, text: str) -> Row:
    """The results with one entry added or replaced, sorted by name."""
    own = {**(results.get(name) or {}), kind: {"digest": digest, "text": text}}
    return dict(sorted({**results, name: own}.items()))


_PLACES = {"base_model", "output_dir", "dataset_prepared_path", "datasets"}


def run_entry(card: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, str]:
    """The kind ("cpu" or "gpu") and the text that a finished run card supports.

    `config` is the recipe's own; settings that the run changed are named, paths are not.
    """
    if card.get("status") != "finished":
        raise ConfigError(f"the run of {card.get('recipe')} is not finished")
    first, last = card.get("first") or {}, card.get("last") or {}
    parts = [f"{last.get('step')} steps"]
    for name in ("loss", "rewards/margins", "reward"):
        if name in first and name in last:
            parts.append(f"{name.removeprefix('rewards/')} {first[name]:.3g} -> {last[name]:.3g}")
    parts.append(f"{card['seconds']:.0f} s")
    ran, own = _flat(card.get("config") or {}), _flat(config)
    keys = sorted({*ran, *own})
    changed = [f"{key} {ran.get(key)}" for key in keys if ran.get(key) != own.get(key)]
    if changed:
        parts.append(f"run with {', '.join(changed)}")
    if card.get("started"):
        parts.append(str(card["started"])[:10])
    return ("gpu" if card.get("gpus") else "cpu"), ", ".join(parts)


def _flat(config: Mapping[str, Any]) -> Row:
    """A configuration without paths, mappings in it written as `parent.child`."""
    flat: Row = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{child}": item for child, item in value.items()}
        elif key not in _PLACES:
            flat[key] = value
    return flat


def render_table(recipes: Sequence[Recipe], results: Mapping[str, Any]) -> str:
    """The text of recipes/README.md."""
    lines = []
    for recipe in recipes:
        line, config = recipe.line, recipe.config
        cells = [
            f"[{line.name}]({line.file_name})",
            line.purpose,
            method_of(config) + (f", {config['adapter']}" if config.get("adapter") else ", full"),
            str(global_batch(config, line.gpus)),
            line.hardware or str(line.gpus or "any"),
            *(entry(results, recipe, kind) or "not run" for kind in _KINDS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    intro = Path(__file__).with_name("recipe_table.md").read_text(encoding="utf-8")
    return intro + "\n".join(lines) + "\n"


def read_results(root: Path) -> Row:
    """What was recorded so far, {} before the first record."""
    path = root / "results.yaml"
    return load_yaml(path) if path.is_file() else {}


def rendered_files(root: Path) -> dict[str, str]:
    """The text of every rendered file by its name below the folder of recipes."""
    results = read_results(root)
    recipes = [build(line, root) for line in read_matrix(root).values()]
    files = {
        recipe.line.file_name: render(recipe, measured_text(recipe, results)) for recipe in recipes
    }
    files["README.md"] = render_table(recipes, results)
    return files


def stale_files(root: Path) -> dict[str, str]:
    """The unified diff of every rendered recipe that is not what the layers give.

    Also names rendered files that no line of the matrix gives any more.
    """
    expected = rendered_files(root)
    stale = {}
    for name, text in expected.items():
        path = root / name
        found = path.read_text(encoding="utf-8") if path.is_file() else ""
        if found != text:
            stale[name] = "".join(
                difflib.unified_diff(
                    found.splitlines(True), text.splitlines(True), f"{name} (found)", name
                )
            )
    for path in sorted(root.glob("*/*.yaml")):
        name = path.relative_to(root).as_posix()
        is_rendered = path.read_text(encoding="utf-8").startswith(RENDERED_BY)
        if is_rendered and name not in expected:
            stale[name] = f"{name}: no line of the matrix gives this file; delete it\n"
    return stale
