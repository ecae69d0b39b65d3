"""How programs behave on the inputs of their tests and on inputs near them.

Most mutants of a program do the same as some other one, and a suite that catches one of those
catches all: counted one by one they say again and again what the first has said. And some differ
from the program where its tests do not look: these tell a careful suite from others.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Sequence
from typing import Any

from codefavor.errors import SandboxError
from codefavor.sandbox import SandboxPool
from codefavor.scoring.suite_answers import DIGITS, LATE, RAISED
from codefavor.scoring.suite_boot import run_parts

_N_OWN, _N_NEAR = 20, 40
_LONGEST = 1500
_MOST_LINES, _SECONDS, _WALL_S = 100_000, 0.5, 60.0
_AT_ONCE = 32


def inputs_of(tests: str, name: str, seed: int = 0) -> list[str]:
    """Arguments of a function as texts: those of the tests that are literals, and near ones."""
    own: dict[str, list[Any]] = {}
    for node in ast.walk(ast.parse(tests)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if not is_call or node.keywords or node.func.id not in (name, "candidate"):  # type: ignore[attr-defined]
            continue
        try:
            arguments = [ast.literal_eval(one) for one in node.args]  # type: ignore[attr-defined]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if len(repr(arguments)) < _LONGEST:
            own[repr(arguments)] = arguments
    rng = random.Random(seed)
    known, found = list(own.values()), list(own)[:_N_OWN]
    for _ in range(10 * _N_NEAR):
        if len(found) == _N_OWN + _N_NEAR or not known:
            break
        arguments = list(rng.choice(known))
        for _ in range(rng.choice((1, 1, 2))):
            if arguments:
                place = rng.randrange(len(arguments))
                arguments[place] = _near(arguments[place], rng)
        if repr(arguments) not in own and len(repr(arguments)) < _LONGEST:
            own[repr(arguments)] = arguments
            known.append(arguments)
            found.append(repr(arguments))
    return found


def _near(value: Any, rng: random.Random) -> Any:
    """A value of the same type that differs in one place."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value - 1, type(value)(0), -value, value * 2))
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        return {**value, key: _near(value[key], rng)}
    if not isinstance(value, str | list | tuple) or not value:
        return value
    place, other = rng.randrange(len(value)), rng.randrange(len(value))
    if not isinstance(value, str) and rng.random() < 0.4:
        changed = [*value[:place], _near(value[place], rng), *value[place + 1 :]]
        return type(value)(changed)
    without, twice = value[:place] + value[place + 1 :], value[: place + 1] + value[place:]
    swapped = list(value)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    joined = "".join(swapped) if isinstance(value, str) else type(value)(swapped)
    return rng.choice((without, twice, value[:place], joined))


def behaviours(
    right: str, others: Sequence[str], name: str, inputs: Sequence[str], pool: SandboxPool
) -> tuple[str, list[str]]:
    """What the right program and others do on the inputs on which the right one always answers.

    Equal texts are equal behaviours; "" is one that could not be seen, and that of all where the
    right one has no answers. Raises SandboxError if the sandbox fails.
    """
    first, again, *found = _answers([right, right, *others], name, inputs, pool)
    kept = [
        n
        for n in range(0, len(first), DIGITS)
        if first[n : n + DIGITS] == again[n : n + DIGITS]
        and first[n : n + DIGITS] not in (RAISED, LATE)
    ]

    def cut(text: str) -> str:
        return "".join(text[n : n + DIGITS] for n in kept) if len(text) == len(first) else ""

    return cut(first), [cut(one) for one in found]


def _answers(
    programs: Sequence[str], name: str, inputs: Sequence[str], pool: SandboxPool
) -> list[str]:
    """The digests of each program's answers, "" where its process did not say them."""
    payload = {
        "inputs": list(inputs), "name": name, "seconds": _SECONDS, "most_lines": _MOST_LINES,
    }  # fmt: skip
    found: list[str] = []
    while len(found) < len(programs):
        parts = [{"program": one} for one in programs[len(found) : len(found) + _AT_ONCE]]
        n_before = len(found)
        for reply in run_parts(
            pool, ("suite_trace", "suite_answers"), payload, parts, wall_s=_WALL_S
        ):
            try:
                found.append(str(json.loads(reply.text)))
            except ValueError:
                found.append("")
        if len(found) == n_before:
            raise SandboxError("the sandbox ran none of the programs")
    return found
