"""Training pairs against benchmarks: the nearest row for every benchmark snippet, rows to remove.

Source: the published check takes the most similar training snippet by edit similarity for each
benchmark snippet and looks above 80. Ours compares tokens, so that layout and comments do not
hide a copy, and a second time with the program's own names taken out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from codefavor.pairs.code_tokens import token_string, word_string
from codefavor.pairs.contamination import Nearest, Text, WordRuns
from codefavor.pairs.nearest import Found, NearestTexts
from codefavor.records import Preference, Row

# Two programs of five tokens are alike by chance, and so are two instructions of four words.
MIN_TOKENS = 12
MIN_WORDS = 6
KINDS = ("code", "renamed code", "instruction", "words in a row")


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
                    "nearest": [item.to_row() for item in found[:n_nearest]],
                }
                for name, found in self.nearest.items()
            },
            "findings": [dict(finding._asdict()) for finding in self.findings],
        }


def decontaminate(
    rows: Sequence[Preference],
    benchmarks: Mapping[str, Sequence[Text]],
    limits: Limits | None = None,
) -> Decontamination:
    """Every benchmark snippet against both programs, and every instruction against that, of
    all rows. A pure function of its arguments; about 1.5 KiB of memory a row beside the rows.
    """
    check = _Check(rows, benchmarks, limits or Limits())
    nearest = check.codes()
    check.renamed_codes()
    check.instructions()
    check.word_runs(benchmarks)
    findings = sorted(set(check.findings), key=lambda f: (f.row_id, f.kind, f.benchmark, f.test_id))
    return Decontamination(len(rows), check.limits, nearest, check.tests.n_short, findings)


class _Code(NamedTuple):
    """A distinct program and its language."""

    text: str
    language: str


def _codes(rows: Sequence[Preference]) -> tuple[list[_Code], list[list[int]]]:
    """The distinct programs of the rows, and for each the places of the rows that have it."""
    places: dict[_Code, list[int]] = {}
    for place, row in enumerate(rows):
        for text in {row.chosen, row.rejected}:
            places.setdefault(_Code(text, row.language), []).append(place)
    return list(places), list(places.values())


class _Tests:
    """The distinct snippets and instructions of all benchmarks, and whose they are."""

    def __init__(self, benchmarks: Mapping[str, Sequence[Text]]) -> None:
        self.names = list(benchmarks)
        # One query for each different text, whatever benchmarks share it.
        self.codes: dict[_Code, list[tuple[str, str]]] = {}
        self.instructions: dict[str, list[tuple[str, str]]] = {}
        for name, texts in benchmarks.items():
            for text in texts:
                if text.code.strip():
                    code = _Code(text.code, text.language)
                    self.codes.setdefault(code, []).append((name, text.id))
                if text.instruction.strip():
                    self.instructions.setdefault(text.instruction, []).append((name, text.id))
        self.n_short: dict[str, int] = dict.fromkeys(self.names, 0)


class _Check:
    """One check: the distinct programs of the rows, the tests, and what was found so far."""

    def __init__(
        self, rows: Sequence[Preference], benchmarks: Mapping[str, Sequence[Text]], limits: Limits
    ) -> None:
        self.rows, self.limits = rows, limits
        self.tests = _Tests(benchmarks)
        self.findings: list[Finding] = []
        self._codes, self._owners = _codes(rows)

    def codes(self) -> dict[str, list[Nearest]]:
        """The nearest row of each snippet as written, by benchmark, most similar first."""
        index = NearestTexts([token_string(code.text, code.language) for code in self._codes])
        bar, tests = self.limits.code, self.tests
        nearest: dict[str, dict[str, Nearest]] = {name: {} for name in tests.names}
        for code, of in tests.codes.items():
            query = token_string(code.text, code.language)
            if len(query) < MIN_TOKENS:
                for name in {name for name, _ in of}:
                    tests.n_short[name] += 1
                continue
            found = index.find(query, threshold=bar, floor=min(self.limits.floor, bar))
            if found is None:
                continue
            row = self.rows[self._owners[found.nearest][0]]
            text = self._codes[found.nearest].text
            for name, test_id in of:
                near = Nearest(test_id, row.id, found.similarity, code.text, text)
                nearest[name].setdefault(query, near)
            self._note("code", of, found, self._owners)
        return {
            name: sorted(items.values(), key=lambda item: (-item.similarity, item.id))
            for name, items in nearest.items()
        }

    def renamed_codes(self) -> None:
        """Rows whose program is a snippet's with other names."""
        index = NearestTexts([token_string(c.text, c.language, names=False) for c in self._codes])
        bar = self.limits.renamed
        for code, of in self.tests.codes.items():
            query = token_string(code.text, code.language, names=False)
            # Without its names, a program of one line is any program of one line.
            if len(query) >= 2 * MIN_TOKENS:
                found = index.find(query, threshold=bar, floor=bar)
                self._note("renamed code", of, found, self._owners)

    def instructions(self) -> None:
        """Rows whose instruction is a benchmark's in nearly the same words."""
        places: dict[str, list[int]] = {}
        for place, row in enumerate(self.rows):
            places.setdefault(word_string(row.instruction), []).append(place)
        index = NearestTexts(list(places))
        bar = self.limits.instruction
        for text, of in self.tests.instructions.items():
            query = word_string(text)
            if len(query) >= MIN_WORDS:
                found = index.find(query, threshold=bar, floor=bar)
                self._note("instruction", of, found, list(places.values()))

    def word_runs(self, benchmarks: Mapping[str, Sequence[Text]]) -> None:
        """Rows whose instruction contains a long run of words of a benchmark's instruction."""
        for name, texts in benchmarks.items():
            runs = WordRuns(texts)
            for row in self.rows:
                for _, test_id, _ in runs.matches(Text(row.id, row.instruction, "")):
                    self.findings.append(Finding(row.id, "words in a row", name, test_id, 100.0))

    def _note(
        self,
        kind: str,
        of: Sequence[tuple[str, str]],
        found: Found | None,
        owners: Sequence[Sequence[int]],
    ) -> None:
        for place, similarity in found.over if found is not None else ():
            for owner in owners[place]:
                for name, test_id in of:
                    row_id = self.rows[owner].id
                    self.findings.append(Finding(row_id, kind, name, test_id, round(similarity, 2)))
