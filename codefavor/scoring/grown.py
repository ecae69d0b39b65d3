"""Calls of the tests, grown: by repetition, and by values that were not there before.

Repetition leaves the number of different values as it is, so that a program that is quadratic in
these looks linear; and what is four times a number is even, so that one that stops at the first
divisor looks constant. Both ways together show what a program's work depends on.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from typing import Any, Literal

Growth = Literal["repeated", "distinct"]

_SEQUENCES = (list, tuple, str, bytes)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Numbers without a common divisor with 26: a letter's place times one of them is another order.
_COPRIMES = (1, 3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 25)
# A number without a divisor up to here is as good as a prime to a program whose work is counted.
_LARGEST_DIVISOR = 10_000
# What the text of a grown input may have: more takes long to travel.
_LONGEST = 200_000


def literal_calls(tests: str, entry_point: str) -> list[list[Any]]:
    """Arguments of the calls in the tests that are literals and can be grown, longest first."""
    found: dict[str, list[Any]] = {}
    for node in ast.walk(ast.parse(tests)):
        if not isinstance(node, ast.Call) or node.keywords or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in (entry_point, "candidate"):
            continue
        try:
            arguments = [ast.literal_eval(one) for one in node.args]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if any(_repeated(one, 2) != one for one in arguments):
            found[repr(arguments)] = arguments
    return [found[text] for text in sorted(found, key=lambda text: (-len(text), text))]


def growths_of(arguments: list[Any]) -> tuple[Growth, ...]:
    """The ways in which a call has to be grown to say something; none if one is not possible.

    Sequences and numbers alone need both; numbers beside a mapping or a set grow in one way.
    """
    sequences = [one for one in arguments if type(one) in _SEQUENCES and one]
    if not sequences and not _are_numbers(arguments):
        return ("repeated",)
    span = _span(arguments)
    is_possible = all(_piece(one, 1, span) != one for one in sequences)
    return ("repeated", "distinct") if is_possible else ()


def grown_call(entry_point: str, arguments: list[Any], factor: int, growth: Growth) -> str:
    """The call `factor` times as large; "" if it became too long.

    Repeated: sequences repeated, whole numbers multiplied; what is inside a sequence, mappings,
    sets, truth values and fractions stay as they are. Distinct: whole numbers become the prime
    behind that multiple, but beside other arguments, which they may be lengths of; sequences,
    mappings and sets are joined with copies in which numbers are shifted, words have another end
    and letters are others. What was sorted remains so.
    """
    if factor * sum(len(repr(one)) for one in arguments) > _LONGEST:
        return ""
    span = _span(arguments)
    are_numbers = _are_numbers(arguments)
    inputs = []
    for one in arguments:
        if growth == "distinct" and are_numbers and type(one) is int:
            inputs.append(repr(_prime_near(one, factor)))
        elif growth == "distinct":
            inputs.append(repr(_distinct(one, factor, span)))
        elif type(one) in _SEQUENCES:
            # As a product: a long text would take longer to read than most programs to run.
            inputs.append(f"{one!r} * {factor}")
        else:
            inputs.append(repr(_repeated(one, factor)))
    call = f"{entry_point}({', '.join(inputs)})"
    return call if len(call) <= 2 * _LONGEST else ""


def _are_numbers(arguments: list[Any]) -> bool:
    return all(isinstance(one, int | float | complex | None) for one in arguments)


def _prime_near(number: int, factor: int) -> int:
    """The first prime behind so many times the number, of its sign; what is not to grow stays."""
    if factor == 1 or number == 0:
        return number
    grown = abs(number) * factor + 1
    while any(grown % one == 0 for one in range(2, min(math.isqrt(grown), _LARGEST_DIVISOR) + 1)):
        grown += 1
    return grown if number > 0 else -grown


def _repeated(value: Any, factor: int) -> Any:
    return value * factor if type(value) in _SEQUENCES or type(value) is int else value


def _distinct(value: Any, factor: int, span: int) -> Any:
    pieces = [_piece(value, number, span) for number in range(factor)]
    if type(value) is str:
        return (" " if _has_words(value) else "").join(pieces)
    if type(value) is dict:
        return {key: item for one in pieces for key, item in one.items()}
    if type(value) is set:
        return set().union(*pieces)
    if type(value) in (list, tuple):
        return type(value)(_as_sorted(list(value), [item for one in pieces for item in one]))
    return _repeated(value, factor)


def _piece(value: Any, number: int, span: int) -> Any:
    """A copy of an argument, to be joined with it."""
    if type(value) is not str:
        return _copy(value, number, span)
    return _with_words(value, number) if _has_words(value) else _with_letters(value, number)


def _has_words(text: str) -> bool:
    return bool(re.search(r"\s", text.strip()))


def _copy(value: Any, number: int, span: int) -> Any:
    """The value as it stands in a copy; equal values stay equal to each other, the order of
    numbers stays."""
    if number == 0:
        return value
    if type(value) in (int, float):
        return value + number * span
    if type(value) is str:
        return _with_end(value, number)
    if type(value) is dict:
        return {_copy(k, number, span): _copy(v, number, span) for k, v in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_copy(one, number, span) for one in value)
    return value


def _as_sorted(value: list[Any], grown: list[Any]) -> list[Any]:
    try:
        up = sorted(value)
        if value in (up, up[::-1]):
            return sorted(grown, reverse=value != up)
    except TypeError:
        pass  # values of different types have no order
    return grown


def _span(value: Any) -> int:
    """What shifts numbers beyond all others of a call, so that copies share none."""
    numbers = [one for one in _numbers(value) if math.isfinite(one)]
    return math.floor(max(numbers) - min(numbers)) + 1 if numbers else 1


def _numbers(value: Any) -> Iterator[float]:
    if type(value) in (int, float):
        yield value
    elif isinstance(value, dict):
        yield from _numbers([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _numbers(one)


def _with_end(word: str, number: int) -> str:
    """The word with an end of its own, of its own kind of characters."""
    if word.isdigit():
        return f"{word}{number}"
    end = ""
    while number:
        number, place = divmod(number, len(_LETTERS))
        end = _LETTERS[place] + end
    return word + (end.upper() if word.isupper() else end)


def _with_words(text: str, number: int) -> str:
    return re.sub(r"\w+", lambda found: _with_end(found[0], number), text) if number else text


def _with_letters(text: str, number: int) -> str:
    """The text in other letters, each for one: equal places stay equal, so do case and the rest."""
    turn, shift = divmod(number, len(_LETTERS))
    factor = _COPRIMES[turn % len(_COPRIMES)]
    other = "".join(
        _LETTERS[(factor * place + shift) % len(_LETTERS)] for place in range(len(_LETTERS))
    )
    return text.translate(str.maketrans(_LETTERS + _LETTERS.upper(), other + other.upper()))
