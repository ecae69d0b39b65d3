"""How close our problems and programs are to others': to a benchmark, or across our own split.

Three signs, each seen apart: the same id; a near duplicate (the share of words of the instruction,
and of tokens of the program without its own names, in common in the same order, as everywhere
here: see `nearest` and `code_tokens`); and long runs of words in common.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from codefavor.errors import DataError
from codefavor.pairs.code_tokens import token_string, word_string
from codefavor.pairs.nearest import NearestTexts
from codefavor.records import Preference, Problem, Row

NGRAM_WORDS = 10
BINS = (0, 30, 40, 50, 60, 70, 80, 90, 100)

# 100 is equality. Of the 404 starter problems, no two different ones have more than 47 of 100 words
# of their instructions in common; a task told twice has more. Programs of one genre are much alike
# once their names are gone (85 for two different ones), so their bar is higher.
MAX_INSTRUCTION = 55.0
MAX_CODE = 90.0


class Text(NamedTuple):
    """What is compared: an id, the prose of the instruction, a program ("" without) and its
    language."""

    id: str
    instruction: str
    code: str
    language: str = "python"


class Nearest(NamedTuple):
    """For one text of ours, the most similar other text; similarities are 0 to 100."""

    id: str
    other_id: str
    similarity: float
    text: str
    other_text: str

    def to_row(self) -> Row:
        """The plain JSON form."""
        return dict(self._asdict())


class Contamination(NamedTuple):
    """What `ours` has in common with `n_others` other texts.

    `instructions` and `codes` hold the nearest other text of each of ours, most similar
    first; `shared_ids` and `shared_ngrams` (our id, other id, words) name what is the same.
    """

    n_ours: int
    n_others: int
    shared_ids: list[str]
    instructions: list[Nearest]
    codes: list[Nearest]
    shared_ngrams: list[tuple[str, str, str]]

    def histogram(self, part: str = "instructions") -> list[Row]:
        """How many of our nearest similarities fall in each bin (the last one closed)."""
        found = [item.similarity for item in getattr(self, part)]
        counts, _ = np.histogram(found, bins=np.asarray(BINS))
        edges = zip(BINS[:-1], BINS[1:], counts.tolist(), strict=True)
        return [{"low": low, "high": high, "n": n} for low, high, n in edges]

    def to_row(self, n_nearest: int = 10) -> Row:
        """The plain JSON form with the `n_nearest` most similar pairs of each kind."""
        return {
            "n_ours": self.n_ours,
            "n_others": self.n_others,
            "shared_ids": self.shared_ids,
            "shared_ngrams": [list(item) for item in self.shared_ngrams],
            "instruction_histogram": self.histogram("instructions"),
            "code_histogram": self.histogram("codes"),
            "nearest_instructions": [item.to_row() for item in self.instructions[:n_nearest]],
            "nearest_codes": [item.to_row() for item in self.codes[:n_nearest]],
        }


class LeakReport(NamedTuple):
    """What `leak_check` looked at and the nearest pair it found (None where a side is empty)."""

    n_train: int
    n_held_out: int
    nearest_instruction: Nearest | None
    nearest_code: Nearest | None

    def detail(self) -> str:
        """One line for a report."""
        parts = [f"{self.n_held_out} held-out against {self.n_train} training problems"]
        for name, nearest in (
            ("instruction", self.nearest_instruction),
            ("program", self.nearest_code),
        ):
            if nearest is not None:
                parts.append(
                    f"nearest {name} {nearest.similarity:.0f} of 100 "
                    f"({nearest.id} and {nearest.other_id})"
                )
        return "; ".join(parts)


def texts_of(problems: Sequence[Problem]) -> list[Text]:
    """Prose and reference of each problem."""
    return [Text(p.id, prose_of(p), p.reference, p.language) for p in problems]


def prose_of(problem: Problem) -> str:
    """The sentences of an instruction, without the code, examples and asserts around them."""
    if problem.prompt:
        documentation = _docstrings(problem.prompt)
        if documentation:
            return _without_examples(documentation)
    return _without_examples(problem.instruction)


def _docstrings(prompt: str) -> str:
    """The documentation of the last function of a prompt that ends in a function head."""
    try:
        tree = ast.parse(prompt.rstrip() + "\n    pass\n")
    except SyntaxError:
        return ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return (ast.get_docstring(functions[-1]) or "") if functions else ""


def _without_examples(text: str) -> str:
    kept: list[str] = []
    in_example = False
    for line in text.splitlines():
        stripped = line.strip()
        in_example = stripped.startswith(">>>") or (in_example and bool(stripped))
        is_code = stripped.startswith(("```", "assert ", "def ", "import ", "from typing"))
        if stripped and not in_example and not is_code and "this holds: assert" not in stripped:
            kept.append(stripped)
    return " ".join(kept)


def contamination(ours: Sequence[Text], others: Sequence[Text]) -> Contamination:
    """The ids and word runs in common, and the nearest other text of each of ours."""
    words = WordRuns(others)
    known = {other.id for other in others}
    return Contamination(
        n_ours=len(ours),
        n_others=len(others),
        shared_ids=sorted({own.id for own in ours} & known),
        instructions=_nearest(
            ours,
            others,
            [(t.instruction, word_string(t.instruction)) for t in ours],
            [(t.instruction, word_string(t.instruction)) for t in others],
        ),
        codes=_nearest(
            ours,
            others,
            [(t.code, token_string(t.code, t.language, names=False)) for t in ours],
            [(t.code, token_string(t.code, t.language, names=False)) for t in others],
        ),
        shared_ngrams=[match for own in ours for match in words.matches(own)],
    )


def leak_check(
    train: Sequence[Problem | Preference],
    held_out: Sequence[Problem | Preference],
    *,
    max_instruction: float = MAX_INSTRUCTION,
    max_code: float = MAX_CODE,
) -> LeakReport:
    """Proof that nothing held out was trained on, or DataError that names what was.

    Fails on an id on both sides, on a held-out instruction or program (own names taken out)
    more similar to one trained on than the limits, and on `NGRAM_WORDS` words in a row that
    two instructions share. Preferences count as their problem with its chosen program.
    """
    found = contamination(_distinct(held_out), _distinct(train))
    if found.shared_ids:
        raise DataError(f"the split leaks: on both sides are {_listing(found.shared_ids)}")
    limits = (
        ("instruction", found.instructions, max_instruction),
        ("program", found.codes, max_code),
    )
    for name, nearest, limit in limits:
        over = [item for item in nearest if item.similarity > limit]
        if over:
            raise DataError(
                f"the split leaks: {len(over)} held-out problems have a near duplicate in the "
                f"training part ({name} more than {limit:g} of 100 alike): "
                + _listing([f"{i.id} and {i.other_id} ({i.similarity:.0f})" for i in over])
            )
    if found.shared_ngrams:
        own, other, run = found.shared_ngrams[0]
        raise DataError(
            f"the split leaks: {own} (held out) and {other} (training) share the "
            f"{NGRAM_WORDS} words {run!r}; {len(found.shared_ngrams)} such pairs"
        )
    return LeakReport(
        n_train=found.n_others,
        n_held_out=found.n_ours,
        nearest_instruction=next(iter(found.instructions), None),
        nearest_code=next(iter(found.codes), None),
    )


def _listing(items: Sequence[str], limit: int = 5) -> str:
    rest = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + rest


def _distinct(records: Sequence[Problem | Preference]) -> list[Text]:
    """One text for each different (problem, program); pairs of a problem share its chosen one."""
    texts: dict[Text, None] = {}
    for record in records:
        if isinstance(record, Problem):
            text = Text(record.id, prose_of(record), record.reference, record.language)
            texts[text] = None
        else:
            own = record.problem_id or record.id
            prose = _without_examples(record.instruction)
            texts[Text(own, prose, record.chosen, record.language)] = None
    return list(texts)


def _nearest(
    ours: Sequence[Text],
    others: Sequence[Text],
    our_texts: Sequence[tuple[str, str]],
    other_texts: Sequence[tuple[str, str]],
) -> list[Nearest]:
    """The nearest of `others` for each of ours by the compared (second) texts; empty ones skip."""
    mine = [i for i, (_, compared) in enumerate(our_texts) if compared]
    theirs = [j for j, (_, compared) in enumerate(other_texts) if compared]
    index = NearestTexts([other_texts[j][1] for j in theirs])
    found: list[Nearest] = []
    for i in mine:
        match = index.find(our_texts[i][1])
        if match is not None:
            j = theirs[match.nearest]
            found.append(
                Nearest(
                    ours[i].id, others[j].id, match.similarity, our_texts[i][0], other_texts[j][0]
                )
            )
    return sorted(found, key=lambda item: (-item.similarity, item.id))


_WORD = re.compile(r"[\w']+")


class WordRuns:
    """The runs of `NGRAM_WORDS` words of a list of texts; punctuation and case do not count."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._owner: dict[tuple[str, ...], str] = {}
        for text in texts:
            for run in _runs(text.instruction):
                self._owner.setdefault(run, text.id)

    def matches(self, text: Text) -> Iterator[tuple[str, str, str]]:
        """One (own id, other id, words) for each other text that shares a run with this one."""
        seen: set[str] = set()
        for run in _runs(text.instruction):
            other = self._owner.get(run)
            if other is not None and other not in seen:
                seen.add(other)
                yield text.id, other, " ".join(run)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    for start in range(len(words) - NGRAM_WORDS + 1):
        yield tuple(words[start : start + NGRAM_WORDS])
