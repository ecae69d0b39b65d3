"""Training pairs against benchmarks: the nearest row for every benchmark snippet, rows to remove.

Source: the published check takes the most similar training snippet by edit similarity for each
benchmark snippet and looks above 80. Ours compares tokens, so that layout and comments do not
hide a copy, and a second time with the program's own names taken out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from codefavor.pairs.code_tokens import token_string, word_string
from codefavor.pairs.contamination import Nearest, Text, WordRuns
from codefavor.pairs.nearest import NearestTexts
from codefavor.records import Preference, Row

# Two programs of five tokens are alike by chance, and so are two instructions of four words.
MIN_TOKENS = 12
MIN_WORDS = 6
KINDS = ("code", "renamed code", "instruction", "words in a row")


T = TypeVar("T")
_Text = tuple[str, str]  # a program and its language, or an instruction and ""


@dataclass(frozen=True)
class Limits:
    """From which similarity (0 to 100, tokens in common in order) a row counts as contaminated.

    `code` is for programs as written, `renamed` for programs without their own names (those of
    one genre are much alike, so its bar is higher), `instruction` for words of instructions.
    Likeness is exact from `floor` upwards; below it only "at least" is known.
    """

    code: float = 80.0
    renamed: float = 95.0
    instruction: float = 80.0
    floor: float = 50.0


class Finding(NamedTuple):
    """One reason to remove a row: what of it is like what, and how much (0 to 100)."""

    row_id: str
    kind: str
    benchmark: str
    test_id: str
    similarity: float


@dataclass(frozen=True)
class Decontamination:
    """What a check found.

    `nearest` holds, for each benchmark, the most similar row of every distinct snippet, most
    similar first; `n_short` counts snippets too short to be compared. `findings` are all reasons
    to remove rows.
    """

    n_rows: int
    limits: Limits
    nearest: Mapping[str, list[Nearest]]
    n_short: Mapping[str, int]
    findings: list[Finding] = field(default_factory=list)

    @property
    def removed(self) -> set[str]:
        """The ids of the rows that are like a benchmark."""
        return {finding.row_id for finding in self.findings}

    def share_over(self, benchmark: str) -> float:
        """Share in [0, 1] of a benchmark's snippets whose nearest row is at or over the limit."""
        found = self.nearest[benchmark]
        over = sum(item.similarity >= self.limits.code for item in found)
        return over / len(found) if found else 0.0

    def counts(self) -> Counter[tuple[str, str]]:
        """Rows to remove by (benchmark, kind); a row counts once for each."""
        once = {(finding.benchmark, finding.kind, finding.row_id) for finding in self.findings}
        return Counter((benchmark, kind) for benchmark, kind, _ in once)

    def to_row(self, n_nearest: int = 20) -> Row:
        """Plain JSON, with the nearest pairs of texts of each benchmark."""
        counts = self.counts()
        return {
            "n_rows": self.n_rows,
            "n_removed": len(self.removed),
            "limits": vars(self.limits),
            "benchmarks": {
                name: {
                    "n_snippets": len(found),
                    "n_short": self.n_short[name],
                    "share_over": self.share_over(name),
                    "similarities": [round(item.similarity, 2) for item in found],
                    "rows": {kind: counts[name, kind] for kind in KINDS},
                    "nearest": [item._asdict() for item in found[:n_nearest]],
                }
                for name, found in self.nearest.items()
            },
            "findings": [finding._asdict() for finding in self.findings],
        }


def decontaminate(
    rows: Sequence[Preference],
    benchmarks: Mapping[str, Sequence[Text]],
    limits: Limits | None = None,
) -> Decontamination:
    """Every benchmark snippet against both programs, and every instruction against that, of
    all rows. A pure function of its arguments; about 1.5 KiB of memory a row beside the rows.
    """
    limits = limits or Limits()
    # Each different text is compared once, whatever rows and benchmarks share it.
    programs = _owned(
        ((code, row.language), row.id)
        for row in rows
        for code in dict.fromkeys((row.chosen, row.rejected))
    )
    instructions = _owned(((row.instruction, ""), row.id) for row in rows)
    tests = [(name, text) for name, texts in benchmarks.items() for text in texts]
    codes = _owned(((t.code, t.language), (name, t.id)) for name, t in tests if t.code.strip())
    tasks = _owned(((t.instruction, ""), (name, t.id)) for name, t in tests)

    found, nearest = _compare(
        "code", programs, codes, token_string,
        shortest=MIN_TOKENS, bar=limits.code, floor=limits.floor,
    )  # fmt: skip
    # Without its names, a program of one line is any program of one line.
    bare = partial(token_string, names=False)
    renamed, _ = _compare(
        "renamed code", programs, codes, bare, shortest=2 * MIN_TOKENS, bar=limits.renamed
    )
    told, _ = _compare(
        "instruction", instructions, tasks, lambda text, _: word_string(text),
        shortest=MIN_WORDS, bar=limits.instruction,
    )  # fmt: skip
    n_short = Counter(
        name
        for code, owners in codes.items()
        if len(token_string(*code)) < MIN_TOKENS
        for name in {name for name, _ in owners}
    )
    by_likeness: dict[str, list[Nearest]] = {name: [] for name in benchmarks}
    for (name, _), one in sorted(nearest.items(), key=lambda e: (-e[1].similarity, e[1].id)):
        by_likeness[name].append(one)
    return Decontamination(
        n_rows=len(rows),
        limits=limits,
        nearest=by_likeness,
        n_short=n_short,
        findings=sorted({*found, *renamed, *told, *_word_runs(rows, benchmarks)}),
    )


def _owned(texts: Iterable[tuple[_Text, T]]) -> dict[_Text, list[T]]:
    """Whose each different text is, in order of first appearance."""
    owners: dict[_Text, list[T]] = {}
    for text, owner in texts:
        owners.setdefault(text, []).append(owner)
    return owners


def _compare(
    kind: str,
    ours: Mapping[_Text, Sequence[str]],
    theirs: Mapping[_Text, Sequence[tuple[str, str]]],
    compared: Callable[[str, str], str],
    *,
    shortest: int,
    bar: float,
    floor: float = 100.0,
) -> tuple[list[Finding], dict[tuple[str, str], Nearest]]:
    """What of our rows is at least `bar` like which test, and the nearest row of each test.

    `compared` makes one character a token of a text; tests of fewer than `shortest` are left out.
    """
    texts, rows = list(ours), list(ours.values())
    index = NearestTexts([compared(*text) for text in texts])
    findings: list[Finding] = []
    nearest: dict[tuple[str, str], Nearest] = {}
    for test, owners in theirs.items():
        query = compared(*test)
        if len(query) < shortest or not texts:
            continue
        found = index.find(query, threshold=bar, floor=min(floor, bar))
        text, row_id = texts[found.nearest][0], rows[found.nearest][0]
        for name, test_id in owners:
            one = Nearest(test_id, row_id, found.similarity, test[0], text)
            nearest.setdefault((name, query), one)
            findings += [
                Finding(row_id, kind, name, test_id, round(similarity, 2))
                for place, similarity in found.over
                for row_id in rows[place]
            ]
    return findings, nearest


def _word_runs(
    rows: Sequence[Preference], benchmarks: Mapping[str, Sequence[Text]]
) -> Iterator[Finding]:
    """Rows whose instruction contains a long run of words of a benchmark's instruction."""
    for name, texts in benchmarks.items():
        runs = WordRuns(texts)
        for row in rows:
            for _, test_id, _ in runs.matches(Text(row.id, row.instruction, "")):
                yield Finding(row.id, "words in a row", name, test_id, 100.0)
