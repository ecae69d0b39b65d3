"""What of a text survives a disguise, as sets of 64-bit numbers: five views of it.

* "runs": three words in a row, whatever stands between them. Survives layout, comments around,
  other type hints, fences, prose around, a part of the whole.
* "pairs": two words at most two apart, in any order, without the words that every program has.
  Survives another language, statements in another order, loops of another kind.
* "shape": six tokens in a row without brackets and commas, own names numbered as they come within
  the six. Survives new names, layout and comments; where a language only writes a token otherwise
  (`&&`, `null`, `let`, `this.x`), another language and a method in the place of a function. A
  comparison turned round is the same, and so is a number that a constant stands for.
* "lines": two lines near each other, own names numbered as they come within both. Survives new
  names, lines between, and lines left out.
* "values": three in a row of numbers, truths and quoted texts, whatever stands between them.
  Survives all that tests can be put into: other calls, a table, JSON, sentences.

Words are the parts of names (`tideHours` and `tide_hours` are the same two), of prose, and numbers.
Source of the idea to compare such sets: winnowing (Schleimer et al. 2003); here every
fingerprint is kept, as benchmarks are small.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from codefavor.pairs.line_tokens import TRIPLE, hash_word, lines_of_tokens

VIEWS = ("runs", "pairs", "shape", "lines", "values")
_WORD = re.compile(
    r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+(?:\.\d+)?|[^\W\d_A-Za-z]+(?:[^\W\d_]+)?"
)
# A word may be cut at the end of a line.
_CUT = re.compile(r"(?<=[^\W\d_])-[ \t]*\n\s*(?=[^\W\d_])")
_LITERAL = re.compile(
    r"(?<![\w.])(?P<number>\d+(?:\.\d+)?)(?![\w]|\.\w)|\b(?P<truth>[Tt]rue|[Ff]alse)\b"
    r"|(?<![\w\\])(?P<mark>[\"'`])(?P<text>(?:\\.|(?!(?P=mark))[^\\\n])*)(?P=mark)(?!\w)"
)
# `assertEqual(expected, f(x))` asks what `assert f(x) == expected` does.
_TURNED_TEST = re.compile(
    r"^\s*(?:self\.)?assert\w*\((?![\w.]+\()(.*), *[\w.]+\((.*)\)\)\s*;?$", re.MULTILINE
)
_HEAD = re.compile(r"^def (\w+)\(([^()]*(?:\([^()]*\)[^()]*)*)\)", re.MULTILINE)
_ARGUMENT = re.compile(r"(?<=,)\s*\**(\w+)(?=\s*(?:[:=,]|$))")
# Line feeds and tabs that somebody escaped would stick to the word behind them.
_ESCAPED = re.compile(r"\\[ntr]")
_STOP_WORDS = """
    a an and are as assert at auto be bool break by candidate case char check class const
    continue def dict do double elif else end equal equals except expect expected false float fn for
    from func function given if import in int is it lambda let list new none not null number of on
    or pass print private public py python return self static str string test tests that the then
    this to true try tuple var void while with write
    vector vec std mut usize i32 i64 f32 f64 float64 int64 integer boolean slice"""
_STOP = frozenset(_STOP_WORDS.split())
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DOCSTRING = re.compile(TRIPLE, re.DOTALL)
_SHAPE = 6
# Tokens of two lines: fewer are in too many programs.
_LEAST = 6
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Numbers = NDArray[np.uint64]
Number = TypeVar("Number", np.int64, np.uint64, np.float64)
# What a quoted text begins with that holds values of its own.
_HOLDS = re.compile(r"[\[({\"'\d-]|(?:[Tt]rue|[Ff]alse)$")


class Fingerprints(NamedTuple):
    """For each fingerprint the place of its text in what was given, and its number; both [n]."""

    owner: NDArray[np.int64]
    number: Numbers


def without_docstrings(code: str) -> str:
    """The code without texts in three quotes, which most often are documentation."""
    return _DOCSTRING.sub("", code)


def heads_of(code: str) -> list[str]:
    """Of each Python function at the margin its name and those of its arguments: what is kept
    in another language, if nothing else."""
    return [
        " ".join((name, *_ARGUMENT.findall(f",{arguments}")))
        for name, arguments in _HEAD.findall(code)
    ]


def word_fingerprints(texts: Sequence[str]) -> dict[str, Fingerprints]:
    """The "runs", the "pairs" and the "values" of each text."""
    owner, words, value, is_stop = _words(texts)
    runs, same = _windows(words, owner, 3)
    values, _ = _windows(value, owner, 3)
    same &= ~_is_counting(values)
    found = {"runs": Fingerprints(owner[: len(runs)][same], _folded(runs[same], 1))}
    kept = ~is_stop
    owner, words, value = owner[kept], words[kept], value[kept]
    parts: list[Fingerprints] = []
    for distance in (1, 2):
        one, other = words[:-distance], words[distance:]
        both = np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1)
        is_pair = (owner[:-distance] == owner[distance:]) & (one != other)
        is_pair &= np.isnan(value[:-distance]) | np.isnan(value[distance:])
        parts.append(Fingerprints(owner[:-distance][is_pair], _folded(both[is_pair], 2)))
    found["pairs"] = _joined(parts)
    found["values"] = _value_fingerprints(texts)
    return {name: _once(one) for name, one in found.items()}


def _value_fingerprints(texts: Sequence[str]) -> Fingerprints:
    found = [list(_values(_TURNED_TEST.sub(r"\2 \1", text))) for text in texts]
    owner = np.repeat(np.arange(len(texts), dtype=np.int64), [len(one) for one in found])
    said = [one for values in found for one in values]
    words, same = _windows(np.asarray([hash_word(one) for one in said], np.uint64), owner, 3)
    # "a", "b", "c" counts as 1, 2, 3 does.
    value = [float(ord(one[1])) if one[0] == '"' and len(one) == 2 else _value(one) for one in said]
    numbers, _ = _windows(np.asarray(value, np.float64), owner, 3)
    same &= ~_is_counting(numbers)
    return Fingerprints(owner[: len(same)][same], _folded(words[same], 4))


def _values(text: str) -> Iterator[str]:
    """Numbers, truths and quoted texts, in order; of what is quoted in quotes, what it holds."""
    for match in _LITERAL.finditer(text):
        quoted = match["text"]
        if quoted is None:
            yield match["truth"].lower() if match["truth"] else f"{float(match['number']):g}"
        elif quoted and text[match.end() : match.end() + 1] != ":":
            inner = quoted.replace('\\"', '"').replace("\\'", "'").strip()
            yield from (_HOLDS.match(inner) and [*_values(inner)]) or [f'"{inner}']


def _is_counting(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """1, 2, 3 and 0, 0, 0 stand in every test, "one": 1, "two": 2 in many programs."""
    steps = np.diff(values, axis=1)
    counting: NDArray[np.bool_] = (steps[:, 0] == steps[:, 1]) | (np.abs(steps) <= 1).all(axis=1)
    return counting


def code_fingerprints(codes: Iterable[tuple[int, str, str]], reach: int) -> dict[str, Fingerprints]:
    """The "shape" and the "lines" of programs, given as owner (any number), text and language.

    `reach` is how many lines apart two are still near each other: what is looked for needs few, and
    what it is looked for in more, where lines may stand between.
    """
    owners: list[int] = []
    tokens: list[int] = []
    document: list[int] = []
    of_lines: list[int] = []
    pairs: list[int] = []
    for number, (owner, code, language) in enumerate(codes):
        lines = lines_of_tokens(code, language)
        for line in lines:
            tokens += line
        n = len(tokens) - len(owners)
        owners += [owner] * n
        document += [number] * n
        found = _pairs_of_lines([line for line in lines if len(line) > 1], reach)
        pairs += found
        of_lines += [owner] * len(found)
    numbers = np.asarray(pairs, dtype=np.int64).astype(np.uint64)
    return {
        "shape": _shapes(tokens, np.asarray(document, np.int64), np.asarray(owners, np.int64)),
        "lines": _once(Fingerprints(np.asarray(of_lines, dtype=np.int64), numbers)),
    }


def _pairs_of_lines(lines: Sequence[Sequence[int]], reach: int) -> list[int]:
    found: list[int] = []
    for place, one in enumerate(lines):
        for other in lines[place + 1 : place + 1 + reach]:
            if len(one) + len(other) < _LEAST:
                continue
            names: dict[int, int] = {}
            both = tuple([names.setdefault(t, ~len(names)) if t < 0 else t for t in (*one, *other)])
            found.append(hash(both))  # of numbers alone: the same in every process
    return found


def _shapes(
    tokens: Sequence[int], document: NDArray[np.int64], owners: NDArray[np.int64]
) -> Fingerprints:
    every = np.asarray(tokens, dtype=np.int64)
    windows, same = _windows(every, document, _SHAPE)
    windows = windows[same]
    # An own name is where it first stands in the window, 1 to 6; other tokens are larger.
    named = windows < 0
    shape = windows.copy()
    for place in range(_SHAPE):
        first = np.full(len(windows), place)
        for earlier in range(place - 1, -1, -1):
            first = np.where(windows[:, earlier] == windows[:, place], earlier, first)
        shape[:, place] = np.where(named[:, place], first + 1, windows[:, place])
    return _once(Fingerprints(owners[: len(same)][same], _folded(shape.astype(np.uint64), 3)))


def _words(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], Numbers, NDArray[np.float64], NDArray[np.bool_]]:
    """Owner, hash, numeric value (nan for words) and whether it is a stop word, of each word."""
    places: dict[str, int] = {}
    order: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = _WORD.findall(_ESCAPED.sub(" ", _CUT.sub("", text)))
        order += [places.setdefault(word, len(places)) for word in found]
        lengths.append(len(found))
    known = [word.lower() for word in places]
    hashes = np.asarray([hash_word(word) for word in known], dtype=np.uint64)
    values = np.asarray([_value(word) for word in known], dtype=np.float64)
    stops = np.asarray([word in _STOP for word in known], dtype=np.bool_)
    at = np.asarray(order, dtype=np.int64)
    owner = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
    return owner, hashes[at], values[at], stops[at]


def _value(word: str) -> float:
    # Digits of other scripts are no numbers here.
    if word[0] in "0123456789":
        return float(word)
    return float(_COUNTED.index(word)) if word in _COUNTED else float("nan")


def _windows(
    values: NDArray[Number], owner: NDArray[np.int64], length: int
) -> tuple[NDArray[Number], NDArray[np.bool_]]:
    """Every run of values, [n, length], and which of them lie in one text, [n]."""
    n = max(0, len(values) - length + 1)
    windows = np.stack([values[start : start + n] for start in range(length)], axis=1)
    return windows, owner[:n] == owner[length - 1 : length - 1 + n]


def _folded(rows: NDArray[Number], salt: int) -> Numbers:
    """One number a row of [n, length]."""
    folded = np.full(len(rows), salt, dtype=np.uint64)
    for place in range(rows.shape[1]):
        folded = (folded ^ rows[:, place].astype(np.uint64)) * _FACTOR
        folded ^= folded >> np.uint64(29)
    return folded


def _joined(parts: Sequence[Fingerprints]) -> Fingerprints:
    return Fingerprints(
        np.concatenate([part.owner for part in parts]),
        np.concatenate([part.number for part in parts]),
    )


def _once(found: Fingerprints) -> Fingerprints:
    """Each fingerprint of a text once."""
    order = np.lexsort((found.number, found.owner))
    owner, number = found.owner[order], found.number[order]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (owner[1:] != owner[:-1]) | (number[1:] != number[:-1])
    return Fingerprints(owner[is_new], number[is_new])
