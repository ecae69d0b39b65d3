"""Python types that JSON lost, read off the sample calls of a benchmark row.

JSON writes a tuple as a list and a complex number as a string. A row of MBPP+ also holds its
base tests as Python text; matching each of their literals with the JSON value of the same
input shows which lists were tuples or sets, and the other inputs are restored alike.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from codefavor.records import Row

_CONTAINERS: tuple[type, ...] = (tuple, list, set, dict)


@dataclass
class Shape:
    """What stands behind the JSON values of one place.

    `container` is what a JSON list was (None: not seen), `number` what a JSON string that is
    no string was, `item` the shape of the items or of a dict's values.
    """

    has_text: bool = False
    saw_complex: bool = False
    container: type | None = None
    empty: type | None = None
    number: type | None = None
    item: Shape | None = field(default=None)

    def learn(self, found: Any, meant: Any) -> None:
        """Take in one JSON value and the Python value that it stands for."""
        if isinstance(found, list) and isinstance(meant, _CONTAINERS):
            if not found:
                self.empty = self.empty or type(meant)
                return
            self.container = self.container or type(meant)
            if isinstance(meant, list | tuple) and len(meant) == len(found):
                self._learn_items(zip(found, meant, strict=True))
        elif isinstance(found, dict) and isinstance(meant, dict):
            pairs = ((value, meant[key]) for key, value in found.items() if key in meant)
            self._learn_items(pairs)
        elif isinstance(meant, str):
            self.has_text = True
        elif isinstance(meant, int | float | complex):
            # A complex number is the only number that JSON cannot hold.
            was_float = isinstance(found, str) and not isinstance(meant, complex)
            self.number = self.number or (float if was_float else complex)
            self.saw_complex = self.saw_complex or isinstance(meant, complex)

    def _learn_items(self, pairs: Iterator[tuple[Any, Any]]) -> None:
        self.item = self.item or Shape()
        for found, meant in pairs:
            self.item.learn(found, meant)

    def restore(self, found: Any, depth: int = 0) -> Any:
        """The Python value that a JSON value of this place stands for.

        `depth` counts the tuples around it. Where the samples show a tuple in a tuple, the
        lists below the deepest sample are taken for tuples too.
        """
        item = self.item or Shape()
        if isinstance(found, list):
            if not found and self.empty is dict:
                return {}
            kind = self.container or self.empty or (tuple if depth >= 2 else list)
            kind = list if kind is dict else kind
            return kind(item.restore(value, depth + 1 if kind is tuple else 0) for value in found)
        if isinstance(found, dict):
            return {key: item.restore(value) for key, value in found.items()}
        return self._restore_number(found) if isinstance(found, str) else found

    def _restore_number(self, found: str) -> Any:
        """The number that the text stands for where the samples hold numbers and no text."""
        if self.number is None or self.has_text:
            return found
        # Among plain numbers "2j" and "(1+2j)", as Python prints them, are numbers; "j" is a word.
        if self.number is complex and not self.saw_complex and not found.strip("(j)"):
            return found
        try:
            return self.number(found)
        except ValueError:
            return found


def restore_types(inputs: Sequence[Sequence[Any]], row: Row) -> list[list[Any]]:
    """The argument lists with the types that the row's own sample calls show."""
    calls = list(_sample_calls(row.get("assertion") or "", row["entry_point"]))
    shapes: list[Shape] = []
    for found, meant in zip(row["base_input"], calls, strict=False):
        if len(found) != len(meant):
            continue
        while len(shapes) < len(found):
            shapes.append(Shape())
        for shape, one_found, one_meant in zip(shapes, found, meant, strict=False):
            shape.learn(one_found, one_meant)
    return [
        [shapes[i].restore(value) if i < len(shapes) else value for i, value in enumerate(values)]
        for values in inputs
    ]


def _sample_calls(assertion: str, entry_point: str) -> Iterator[list[Any]]:
    """The literal arguments of each call of the function, in the order of the asserts."""
    for node in ast.parse(assertion).body:
        for call in ast.walk(node):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == entry_point
            ):
                try:
                    yield [ast.literal_eval(argument) for argument in call.args]
                except ValueError:  # an argument is an expression; the other calls show enough
                    yield []
                break
