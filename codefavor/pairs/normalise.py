"""Both sides of a pair made alike where they must not tell the label: comments and names."""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Mapping
from typing import NamedTuple

from codefavor.languages import parses, strip_both

COMMENTS = ("strip", "keep")
NAMES = ("neutral", "keep")

# Words by which a model marks the better or the worse of two programs in their names.
_LABELS = frozenset(
    word
    for line in (
        "improved improvement naive better worse good bad best optimized optimised unoptimized",
        "fast faster slow slower efficient inefficient safe safer unsafe secure insecure",
        "vulnerable fixed buggy broken correct incorrect wrong clean cleaner old new original",
        "refactored simple chosen rejected draft",
    )
    for word in line.split()
)
# Those that say so even where the other side has no name beside them.
_TELLTALE = frozenset(
    word
    for line in (
        "improved improvement naive better worse optimized optimised unoptimized inefficient",
        "insecure vulnerable buggy refactored chosen rejected draft",
    )
    for word in line.split()
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Normalised(NamedTuple):
    """The two codes, and what was done to both of them: "stripped", "neutral" or "kept".

    `renamed` maps each old name to its new one, for texts that speak of it.
    """

    chosen: str
    rejected: str
    comments: str
    names: str
    renamed: Mapping[str, str]


def normalise_pair(
    chosen: str,
    rejected: str,
    language: str,
    *,
    comments: str = "strip",
    names: str = "neutral",
    keep: str = "",
) -> Normalised:
    """Treat both codes alike, or neither; what parsed before parses after.

    Both begin with their first line that is not blank and end with one line feed. "strip" takes
    comments and docstrings out of both. "neutral" renames what only one side defines under a
    name that says which side it is (`sort_fast` and `sort_slow` become `sort`, `my_improved_sum`
    `my_sum`), for Python.
    Names that occur in the text `keep` stay.
    """
    chosen, rejected = framed(chosen), framed(rejected)
    did_strip = False
    renamed: dict[str, str] = {}
    if comments == "strip":
        chosen, rejected, did_strip = strip_both(chosen, rejected, language, docstrings=True)
    if did_strip and language == "python":
        chosen, rejected = _without_gaps(chosen), _without_gaps(rejected)
    if names == "neutral" and language == "python":
        chosen, rejected, renamed = _neutral_names(chosen, rejected, keep)
    return Normalised(
        framed(chosen),
        framed(rejected),
        "stripped" if did_strip else "kept",
        "neutral" if renamed else "kept",
        renamed,
    )


def framed(code: str) -> str:
    """The code without blank lines around it: where it came from must not show at its edges."""
    return re.sub(r"\A(?:[ \t]*\r?\n)+", "", code).rstrip() + "\n"


def _without_gaps(code: str) -> str:
    """The code without blank lines behind a colon, where a docstring stood on one side only."""
    closed = re.sub(r"(:[ \t]*\n)(?:[ \t]*\n)+", r"\1", code)
    # Inside a string such lines mean something.
    return closed if ast.dump(ast.parse(closed)) == ast.dump(ast.parse(code)) else code


def _neutral_names(first: str, second: str, keep: str) -> tuple[str, str, dict[str, str]]:
    try:
        defined = (_defined(ast.parse(first)), _defined(ast.parse(second)))
        used_all = [[token.string for token in _names(code)] for code in (first, second)]
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return first, second, {}
    used = (set(used_all[0]), set(used_all[1]))
    kept = set(re.findall(r"\w+", keep))
    taken = set(dir(builtins)) | set(keyword.kwlist)
    renamed: list[str] = []
    every: dict[str, str] = {}
    for number, code in enumerate((first, second)):
        own, others = used[number], used[1 - number]
        other_bare = others | {_bare(name) for name in defined[1 - number] - own}
        new = {
            name: _bare(name)
            for name in sorted(defined[number] - others - kept)
            if _bare(name) != name
            and _bare(name)
            and _bare(name) not in own | taken
            and (_bare(name) in other_bare or _is_telltale(name))
            # A name inside a string is out of reach there (an f-string, a call by name).
            and len(re.findall(rf"\b{name}\b", code)) == used_all[number].count(name)
        }
        # Two names that would become one are left alone.
        clashing = {bare for bare in new.values() if list(new.values()).count(bare) > 1}
        new = {name: bare for name, bare in new.items() if bare not in clashing}
        every |= new
        renamed.append(_rename(code, new))
    if not every or not all(parses(code, "python") for code in renamed):
        return first, second, {}
    return renamed[0], renamed[1], every


def _bare(name: str) -> str:
    """The name without the words that tell the side; "" if nothing else is left."""
    words = _WORD.findall(name)
    kept = [word for word in words if word.lower() not in _LABELS]
    if not kept or len(kept) == len(words):
        return name if kept else ""
    prefix = "_" if name.startswith("_") else ""
    if "_" in name.strip("_") or name.islower():
        return prefix + "_".join(kept)
    joined = "".join(kept)
    return prefix + (joined if name.lstrip("_")[:1].isupper() else joined[0].lower() + joined[1:])


def _is_telltale(name: str) -> bool:
    return any(word.lower() in _TELLTALE for word in _WORD.findall(name))


def _defined(tree: ast.Module) -> set[str]:
    """Functions, classes, parameters and variables, without what is ever used as an attribute.

    A method is found by its attribute, and an attribute of a library must keep its name:
    `yaml.unsafe_load` and `yaml.safe_load` are no labels.
    """
    found: set[str] = set()
    attributes: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            attributes.add(node.attr)
        elif isinstance(node, ast.alias):
            attributes.add((node.asname or node.name).split(".")[0])
    return found - attributes


def _names(code: str) -> list[tokenize.TokenInfo]:
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return [token for token in tokens if token.type == tokenize.NAME]


def _rename(code: str, new: dict[str, str]) -> str:
    lines = io.StringIO(code).readlines()
    for token in reversed(_names(code)):
        row, start = token.start
        line = lines[row - 1]
        name = new.get(token.string, token.string)
        lines[row - 1] = line[:start] + name + line[token.end[1] :]
    return "".join(lines)
