"""Whether one part of a split leaks into the other, and the texts that such checks compare.

Three signs: the same id; a near duplicate (the share of words of the instruction, and of tokens
of the program without its own names, in common in the same order, as everywhere here: see
`nearest` and `code_tokens`); and long runs of words in common.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from codefavor.errors import DataError
from codefavor.pairs.code_tokens import token_string, word_string
from codefavor.pairs.nearest import NearestTexts
from codefavor.records import Preference, Problem

NGRAM_WORDS = 10

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


class LeakReport(NamedTuple):
    """What `leak_check` looked at and the nearest pair it found (None where a side is empty)."""

    n_train: int
    n_held_out: int
    nearest_instruction: Nearest | None
    nearest_code: Nearest | None

    def detail(self) -> str:
        """One line for a report."""
        parts = [f"{self.n_held_out} held-out against {self.n_train} training problems"]
        found = {"instruction": self.nearest_instruction, "program": self.nearest_code}
        parts += [
            f"nearest {name} {one.similarity:.0f} of 100 ({one.id} and {one.other_id})"
            for name, one in found.items()
            if one is not None
        ]
        return "; ".join(parts)


def texts_of(records: Iterable[Problem | Preference]) -> list[Text]:
    """Prose and program of each problem, and of each pair's problem: the reference or the chosen
    program. Each different text once."""
    texts = (
        Text(one.id, prose_of(one), one.reference, one.language)
        if isinstance(one, Problem)
        else Text(
            one.problem_id or one.id, without_examples(one.instruction), one.chosen, one.language
        )
        for one in records
    )
    return list(dict.fromkeys(texts))


def prose_of(problem: Problem) -> str:
    """The sentences of an instruction, without the code, examples and asserts around them."""
    if problem.prompt:
        documentation = _docstrings(problem.prompt)
        if documentation:
            return without_examples(documentation)
    return without_examples(problem.instruction)


def _docstrings(prompt: str) -> str:
    """The documentation of the last function of a prompt that ends in a function head."""
    try:
        tree = ast.parse(prompt.rstrip() + "\n    pass\n")
    except SyntaxError:
        return ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return (ast.get_docstring(functions[-1]) or "") if functions else ""


def without_examples(text: str) -> str:
    """The sentences of a text, without the code, examples and asserts around them."""
    kept: list[str] = []
    in_example = False
    for line in text.splitlines():
        stripped = line.strip()
        in_example = stripped.startswith(">>>") or (in_example and bool(stripped))
        is_code = stripped.startswith(("```", "assert ", "def ", "import ", "from typing"))
        if stripped and not in_example and not is_code and "this holds: assert" not in stripped:
            kept.append(stripped)
    return " ".join(kept)


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
    ours, others = texts_of(held_out), texts_of(train)
    shared_ids = sorted({own.id for own in ours} & {other.id for other in others})
    if shared_ids:
        raise DataError(f"the split leaks: on both sides are {_listing(shared_ids)}")
    instructions = _nearest(ours, others, lambda text: word_string(text.instruction))
    programs = _nearest(ours, others, lambda t: token_string(t.code, t.language, names=False))
    for name, found, limit in (
        ("instruction", instructions, max_instruction),
        ("program", programs, max_code),
    ):
        over = [
            f"{i.id} and {i.other_id} ({i.similarity:.0f})" for i in found if i.similarity > limit
        ]
        if over:
            raise DataError(
                f"the split leaks: {len(over)} held-out problems have a near duplicate in the "
                f"training part ({name} more than {limit:g} of 100 alike): {_listing(over)}"
            )
    runs = WordRuns(others)
    shared = [match for own in ours for match in runs.matches(own)]
    if shared:
        own, other, run = shared[0]
        raise DataError(
            f"the split leaks: {own} (held out) and {other} (training) share the "
            f"{NGRAM_WORDS} words {run!r}; {len(shared)} such pairs"
        )
    return LeakReport(
        n_train=len(others),
        n_held_out=len(ours),
        nearest_instruction=next(iter(instructions), None),
        nearest_code=next(iter(programs), None),
    )


def _listing(items: Sequence[str], limit: int = 5) -> str:
    rest = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + rest


def _nearest(
    ours: Sequence[Text], others: Sequence[Text], compared: Callable[[Text], str]
) -> list[Nearest]:
    """The nearest of `others` for each of ours, most similar first; empty ones do not count."""
    theirs = [other for other in others if compared(other)]
    index = NearestTexts([compared(other) for other in theirs])
    found: list[Nearest] = []
    for own in ours if theirs else ():
        if compared(own):
            match = index.find(compared(own))
            found.append(Nearest(own.id, theirs[match.nearest].id, match.similarity))
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
