"""Which side of the split a problem is on: a function of its id alone.

A pair, both of its orders and every other pair of the same problem follow their problem, so
nothing a judge was trained on can come back at evaluation by way of another row.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from codefavor.errors import ConfigError, DataError, Rejected
from codefavor.pairs.published_forms import OURS, known_form, read_form
from codefavor.pairs.published_rows import refuse_many
from codefavor.records import Preference, Row, content_id

# train: for training. dev: for choosing settings. test: for the one figure that is published.
SPLITS: Mapping[str, float] = {"train": 0.5, "dev": 0.15, "test": 0.35}


def split_of(problem_id: str, fractions: Mapping[str, float] = SPLITS, salt: str = "") -> str:
    """The split of a problem: the same in every run, on every machine, in any order of rows.

    `fractions` maps names to shares that sum to 1; another `salt` gives another split.
    """
    if abs(sum(fractions.values()) - 1.0) > 1e-9:
        raise ConfigError(f"the shares of a split must sum to 1, found {dict(fractions)}")
    digest = hashlib.sha256(f"{salt}\x00{problem_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in fractions.items():
        position -= share
        if position < 0:
            return name
    return next(reversed(list(fractions)))


def hold_out(rows: Iterable[tuple[str, Row]], share: float) -> dict[str, list[Row]]:
    """Preference data of any published form as "train" and "dev", each row as it was given.

    All rows of one question (or problem) are on one side; about `share` of the questions are dev.
    Rows that no question can be read from stay in train, where `convert` counts them. Raises
    DataError where most rows cannot be read.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share to hold out is {share:g}; expected one between 0 and 1")
    sides: dict[str, list[Row]] = defaultdict(list)
    unreadable = []
    n_read = 0
    for where, row in rows:
        question = ""
        try:
            question = _question_of(row, where)
            n_read += 1
        except DataError as error:
            unreadable.append(str(error))
        shares = {"train": 1.0 - share, "dev": share}
        sides[split_of(question, shares) if question else "train"].append(row)
    refuse_many(unreadable, n_read)
    return {"train": sides["train"], "dev": sides["dev"]}


def shared_questions(
    rows: Iterable[tuple[str, Row]], others: Iterable[tuple[str, Row]]
) -> tuple[int, int]:
    """How many questions of `rows` are questions of `others` too, of how many.

    Rows are pairs of any published form, or problems; a question is known by its words and by its
    problem's id. Raises DataError where most rows of either cannot be read.
    """
    known = {key for names in _all_names(others) for key in names}
    asked = set(_all_names(rows))
    return sum(not known.isdisjoint(names) for names in asked), len(asked)


def _all_names(rows: Iterable[tuple[str, Row]]) -> Iterator[frozenset[str]]:
    """What the question of each row that has one is known by."""
    unreadable = []
    n_read = 0
    for where, row in rows:
        try:
            names = _names_of(row, where)
        except DataError as error:
            unreadable.append(str(error))
            continue
        n_read += 1
        if names:
            yield frozenset(names)
    refuse_many(unreadable, n_read)


def _names_of(row: Row, where: str) -> set[str]:
    """What a row's question is known by, in whatever form the row is; empty where none is read."""
    if "instruction" in row and "chosen" not in row and "tests" in row:
        return {str(row.get("id")), content_id([_words(str(row["instruction"]))])}
    shape, _ = known_form(row, where)
    if shape is not OURS:
        return {name} if (name := _question_of(row, where)) else set()
    own = Preference.from_row(row, where)
    turns = [*own.history, {"role": "user", "content": own.instruction}]
    return {content_id(_asked(turns)), *([own.problem_id] if own.problem_id else [])}


def _asked(prompt: Sequence[Row]) -> list[str]:
    """What a conversation asks: its turns without the system's, which rows of one question vary."""
    return [_words(str(turn["content"])) for turn in prompt if turn["role"] != "system"]


def _words(text: str) -> str:
    """The text without what nobody reads: its white space as single blanks."""
    return " ".join(text.split())


def _question_of(row: Row, where: str) -> str:
    """What tells a row's question from others, "" where it has none that can be read."""
    shape, watched = known_form(row, where)
    if shape is OURS:
        return str(row.get("problem_id") or _words(str(row["instruction"])))
    try:
        return next(
            (content_id(_asked(one.prompt)) for one in read_form(shape, watched, where)), ""
        )
    except Rejected:
        return ""
