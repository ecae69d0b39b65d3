"""Python types that JSON lost, read off the sample calls of a benchmark row.

JSON writes a tuple as a list and a complex number as a string. A row of MBPP+ also holds its
base tests as Python text, whose literals show what stands at each place: the inputs are made alike.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from codefavor.records import Row


def restore_types(inputs: Sequence[Sequence[Any]], row: Row) -> list[list[Any]]:
    """The argument lists with the types that the row's own sample calls show."""
    calls = list(_sample_calls(row.get("assertion") or "", row["entry_point"]))
    if not any(calls):
        return [list(own) for own in inputs]
    return [
        [_like(value, [call[i] for call in calls if i < len(call)]) for i, value in enumerate(own)]
        for own in inputs
    ]


def _like(found: Any, samples: Sequence[Any], depth: int = 0) -> Any:
    """A JSON value as the type that Python values of its place have.

    `depth` counts the tuples around it: where the samples show a tuple in a tuple, the lists below
    the deepest sample are taken for tuples too.
    """
    if isinstance(found, str):
        return _number(found, samples)
    if isinstance(found, dict):
        inner = [value for one in samples if isinstance(one, dict) for value in one.values()]
        return {key: _like(value, inner) for key, value in found.items()}
    if not isinstance(found, list):
        return found
    same = [one for one in samples if isinstance(one, tuple | list | set | dict)]
    filled = [one for one in same if one]
    empty = [one for one in same if not one]
    likeliest = [*filled, *empty] if found or not empty else empty
    kind = type(likeliest[0]) if likeliest else tuple if depth >= 2 else list
    if kind is dict:
        return {} if not found else [_like(value, []) for value in found]
    inner = [value for one in filled if isinstance(one, tuple | list) for value in one]
    return kind(_like(value, inner, depth + 1 if kind is tuple else 0) for value in found)


def _number(text: str, samples: Sequence[Any]) -> Any:
    """The number that a text stands for where the samples hold numbers and no text."""
    if not samples or not all(isinstance(one, int | float | complex) for one in samples):
        return text
    # JSON has every number but the complex ones, infinity and what is none.
    has_complex = any(isinstance(one, complex) for one in samples)
    for kind in (complex,) if has_complex else (float, complex):
        try:
            # "j" alone is a word.
            return kind(text) if text.strip("(j)") else text
        except ValueError:
            continue
    return text


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
