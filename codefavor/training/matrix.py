"""The matrix of recipes: each of its lines, grids written out, GPU recipes derived."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from codefavor.errors import ConfigError
from codefavor.records import Row
from codefavor.training.derive import Hardware, derive, listed_model
from codefavor.training.recipes import MatrixLine, load_yaml

_KEYS = {"purpose", "layers", "gpus", "set", "grid", "except", "derive"}


def read_matrix(root: Path) -> dict[str, MatrixLine]:
    """Every line of the matrix by name, in the order of the file, grids written out.

    A line with `grid: {model: [a, b]}` stands for one line per combination; `{model}` in its
    name, purpose and layers is replaced. Names under `except` are left out of the grid. A line
    `HARDWARE: {derive: {METHOD: [models]}}` stands for one derived recipe each.
    """
    lines: dict[str, MatrixLine] = {}
    path = root / "matrix.yaml"
    for pattern, value in load_yaml(path).items():
        unknown = set(value) - _KEYS if isinstance(value, dict) else {"a line that is no mapping"}
        if unknown:
            raise ConfigError(f"{path}: {pattern}: unknown {sorted(unknown)}")
        for line in (
            _derived(pattern, value, root) if "derive" in value else _written(pattern, value)
        ):
            if line.name in lines:
                raise ConfigError(f"{path}: {line.name} stands twice")
            lines[line.name] = line
    return lines


def _derived(folder: str, value: Row, root: Path) -> Iterator[MatrixLine]:
    hardware = Hardware.parse(folder.removeprefix("gpu"))
    for method, models in value["derive"].items():
        for stem in models:
            model = listed_model(stem, root)
            yield derive(f"{folder}/{stem}-{method}", model, method, hardware, root)


def _written(pattern: str, value: Row) -> Iterator[MatrixLine]:
    if not isinstance(value.get("layers"), list):
        raise ConfigError(f"{pattern}: needs a list of layers")
    axes = value.get("grid") or {}
    for choice in itertools.product(*axes.values()):
        names = dict(zip(axes, choice, strict=True))
        if pattern.format(**names) not in (value.get("except") or ()):
            yield _matrix_line(pattern.format(**names), value, names)


def _matrix_line(name: str, value: Row, names: Mapping[str, str]) -> MatrixLine:
    return MatrixLine(
        name=name,
        purpose=str(value.get("purpose", "")).format(**names),
        layers=tuple(layer.format(**names) for layer in value["layers"]),
        gpus=int(value.get("gpus", 0)),
        set=dict(value.get("set") or {}),
    )
