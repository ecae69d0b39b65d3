"""Training pairs against benchmarks: what of a benchmark's problem is contained in a row.

Every part of a problem (its task, its programs, its tests, each assertion) is looked for in
everything that a row would train on, by the fingerprints of `fingerprints`. What counts is how
much is there, in bits (a fingerprint of few problems is worth more), and which share of the part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codefavor.pairs.carriers import carried_in
from codefavor.pairs.fingerprints import (
    VIEWS,
    Fingerprints,
    code_fingerprints,
    heads_of,
    without_docstrings,
    word_fingerprints,
)
from codefavor.pairs.prose import row_text, texts_of
from codefavor.records import Preference, Row

KINDS = VIEWS
# bits * share ** power that is a copy; measured on plants and on mined rows, see docs/data.md.
_NEEDED = {
    "runs": (32.0, 1.0), "pairs": (34.0, 2.0), "shape": (50.0, 2.0), "lines": (22.0, 2.0),
    "values": (35.0, 2.0),
}  # fmt: skip
# How many lines apart two may be that stand together in a problem, and in a row.
_REACH, _ROW_REACH = 1, 3
# A fingerprint is worth log2(_TEXTS / texts that have it) - 2 bits, as if there were so many texts.
_TEXTS = 4000.0
_FRAMED = 2
_CHUNK = 256
_LIMIT = 50.0


class Part(NamedTuple):
    """One text of a benchmark's problem that a row may contain."""

    benchmark: str
    id: str
    what: str  # task, code, head (of a function) or tests
    text: str
    language: str


class Task(NamedTuple):
    """A problem of a benchmark: its task in prose (several forms of it), programs and tests."""

    id: str
    tasks: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    language: str = "python"


class Nearest(NamedTuple):
    """For a benchmark's problem, the row that is likest to a part of it, and both texts.

    `similarity` as in `Finding`; `other_id` is "" where no row has anything of it.
    """

    id: str
    other_id: str
    similarity: float
    text: str = ""
    other_text: str = ""


class Finding(NamedTuple):
    """One reason to remove a row: what of it is in which view like what, and how surely.

    `similarity` is 0 to 100: 50 is the limit, 100 is never reached.
    """

    row_id: str
    kind: str
    benchmark: str
    test_id: str
    similarity: float


@dataclass(frozen=True)
class Decontamination:
    """What a check found.

    `nearest` holds, for each benchmark, the likest row of every problem, likest first; `n_short`
    counts problems of which no part is long enough to be found. `findings` are all reasons to
    remove rows.
    """

    n_rows: int
    threshold: float
    nearest: Mapping[str, list[Nearest]]
    n_short: Mapping[str, int]
    findings: list[Finding] = field(default_factory=list)

    @property
    def limit(self) -> float:
        """The similarity from which a row is like a benchmark."""
        return _LIMIT

    @property
    def removed(self) -> set[str]:
        """The ids of the rows that are like a benchmark."""
        return {finding.row_id for finding in self.findings}

    def share_over(self, benchmark: str) -> float:
        """Share in [0, 1] of a benchmark's problems whose nearest row is at or over the limit."""
        found = self.nearest[benchmark]
        over = sum(item.similarity >= _LIMIT for item in found)
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
            "limits": {"similarity": _LIMIT, "threshold": self.threshold},
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
    benchmarks: Mapping[str, Sequence[Task]],
    *,
    threshold: float = 1.0,
    tests_need: float = 1.0,
    background: Sequence[str] = (),
    framed: Sequence[str] = (),
) -> Decontamination:
    """Every part of every problem against all that each row would train on.

    `threshold` multiplies the evidence that is needed, `tests_need` that of tests once more. What
    stands in the `background`, programs and texts that are no benchmark's, is worth less; what
    many of the `framed` texts share, such as the frame of a prompt, nothing. What a row is found
    for does not depend on the other rows.
    """
    search = Search(
        benchmarks,
        threshold=threshold,
        tests_need=tests_need,
        background=background,
        framed=framed,
    )
    found = (search.look(block) for block in blocks_of(rows))
    return search.put_together(rows, found)


def blocks_of(rows: Sequence[Preference]) -> Iterator[Sequence[Preference]]:
    """The rows in the blocks that are looked through at once."""
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))


class Search:
    """The parts of all problems, to be found in blocks of rows that know nothing of each other."""

    def __init__(
        self,
        benchmarks: Mapping[str, Sequence[Task]],
        *,
        threshold: float = 1.0,
        tests_need: float = 1.0,
        background: Sequence[str] = (),
        framed: Sequence[str] = (),
    ) -> None:
        self._index = _Index(_parts(benchmarks), background, framed, tests_need)
        self._names, self._threshold = list(benchmarks), threshold

    def look(self, rows: Sequence[Preference]) -> Row:
        """What a block has, as plain JSON: reasons to remove rows, the likest row by problem."""
        index = self._index
        place, kind, part, strength = index.find(rows)
        findings: dict[tuple[str, str, str, str], float] = {}
        for at in np.flatnonzero(strength >= self._threshold):
            one = index.parts[part[at]]
            key = (rows[place[at]].id, KINDS[kind[at]], one.benchmark, one.id)
            findings[key] = max(float(strength[at]), findings.get(key, 0.0))
        problem = index.problem_of[part]
        at_most = np.argsort(strength, kind="stable")
        best = np.zeros(len(index.problems))
        best[problem[at_most]] = strength[at_most]
        source = np.zeros(len(best), dtype=np.int64)
        source[problem[at_most]] = at_most
        likest = [
            [
                int(number),
                float(best[number]),
                int(place[source[number]]),
                int(part[source[number]]),
            ]
            for number in np.flatnonzero(best > 0)
        ]
        return {"findings": [[*key, one] for key, one in findings.items()], "likest": likest}

    def put_together(self, rows: Sequence[Preference], blocks: Iterable[Row]) -> Decontamination:
        """What the blocks of `rows`, in their order, came to."""
        index, threshold = self._index, self._threshold
        findings: dict[tuple[str, str, str, str], float] = {}
        best = [0.0] * len(index.problems)
        likest: dict[int, tuple[int, Part]] = {}
        for start, block in zip(range(0, len(rows), _CHUNK), blocks, strict=True):
            for *key, strength in block["findings"]:
                why = (key[0], key[1], key[2], key[3])
                findings[why] = max(strength, findings.get(why, 0.0))
            for number, strength, place, part in block["likest"]:
                if strength > best[number]:
                    best[number] = strength
                    likest[number] = (start + place, index.parts[part])
        nearest: dict[str, list[Nearest]] = {name: [] for name in self._names}
        n_short: Counter[str] = Counter()
        for number, (name, task_id) in enumerate(index.problems):
            if not index.is_long(number, threshold):
                n_short[name] += 1
            elif number in likest:
                place_of, shown = likest[number]
                row, similarity = rows[place_of], _similarity(best[number], threshold)
                other = row.instruction if shown.what == "task" else f"{row.chosen}\n{row.rejected}"
                nearest[name].append(Nearest(task_id, row.id, similarity, shown.text, other))
            else:
                nearest[name].append(Nearest(task_id, "", 0.0))
        return Decontamination(
            n_rows=len(rows),
            threshold=threshold,
            nearest={
                name: sorted(found, key=lambda one: (-one.similarity, one.id))
                for name, found in nearest.items()
            },
            n_short=n_short,
            findings=sorted(
                Finding(*key, round(_similarity(strength, threshold), 2))
                for key, strength in findings.items()
            ),
        )


def _similarity(strength: float, threshold: float) -> float:
    return float(100.0 * strength / (strength + threshold))


def _parts(benchmarks: Mapping[str, Sequence[Task]]) -> list[Part]:
    """Every different text of every problem, assertions alone and together; "" of an empty one."""
    found: dict[Part, None] = {}
    for name, tasks in benchmarks.items():
        for task in tasks:
            texts = [("task", text) for text in task.tasks]
            texts += [("code", without_docstrings(code)) for code in task.codes]
            texts += [("head", head) for code in task.codes for head in heads_of(code)]
            texts += [("tests", text) for text in (*task.tests, "\n".join(task.tests))]
            for what, text in texts or [("task", "")]:
                found[Part(name, task.id, what, text, task.language)] = None
    return list(found)


class _Index:
    """The fingerprints of all parts, and which parts have each.

    An entry is a part in one view: `view * len(parts) + part`.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        background: Sequence[str],
        framed: Sequence[str],
        tests_need: float,
    ) -> None:
        self.parts = parts
        self.problems = list(dict.fromkeys((part.benchmark, part.id) for part in parts))
        places = {problem: place for place, problem in enumerate(self.problems)}
        self.problem_of = np.asarray([places[part.benchmark, part.id] for part in parts], np.int64)
        found = _fingerprints(
            [part.text for part in parts],
            [(n, p.text, p.language) for n, p in enumerate(parts) if p.what == "code"],
            _REACH,
        )
        entry = np.concatenate(
            [view * len(parts) + found[kind].owner for view, kind in enumerate(KINDS)]
        )
        number = np.concatenate([found[kind].number for kind in KINDS])
        self._known, feature = np.unique(number, return_inverse=True)
        # In how many problems: one of several benchmarks, or in several parts, counts once.
        ids = {task_id: place for place, task_id in enumerate(dict.fromkeys(p.id for p in parts))}
        of_id = np.asarray([ids[part.id] for part in parts], dtype=np.int64)
        n_problems = self._n_owners(of_id[entry % max(1, len(parts))], feature)
        n_problems += self._n_texts(background)
        is_frame = self._n_texts(framed) > _FRAMED
        bits = np.maximum(0.0, np.log2(_TEXTS / np.maximum(n_problems, 1)) - 2.0)
        self._weights = np.where(is_frame, 0.0, bits)
        order = np.argsort(feature, kind="stable")
        self._entries = entry[order]
        self._starts = np.searchsorted(feature[order], np.arange(len(self._known) + 1))
        self._bits = np.bincount(
            entry, weights=self._weights[feature], minlength=len(KINDS) * len(parts)
        )
        is_tests = np.asarray([part.what == "tests" for part in parts], dtype=np.bool_)
        factor = np.where(is_tests, tests_need, 1.0)
        self._needed = np.concatenate([needed * factor for needed, _ in _NEEDED.values()])
        # Small numbers near each other are in the tests of any graph or matrix.
        self._needed[KINDS.index("pairs") * len(parts) :][: len(parts)][is_tests] = np.inf
        self._power = np.repeat([power for _, power in _NEEDED.values()], len(parts))
        strongest = (self._bits / self._needed).reshape(len(KINDS), len(parts)).max(axis=0)
        self._longest = np.zeros(len(self.problems))
        np.maximum.at(self._longest, self.problem_of, strongest)

    def is_long(self, problem: int, threshold: float) -> bool:
        """Whether a whole copy of the problem would be found."""
        return bool(self._longest[problem] >= threshold)

    def find(
        self, rows: Sequence[Preference]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Place of a row, view, part and strength (1 is a copy) of all that have much in common."""
        carried = [carried_in(texts_of(row)) for row in rows]
        said = [(row_text(row), *inner) for row, inner in zip(rows, carried, strict=True)]
        found = _fingerprints(
            ["\n".join(one) for one in said],
            [
                (place, text, row.language)
                for place, row in enumerate(rows)
                for text in dict.fromkeys((*texts_of(row), *carried[place]))
            ],
            _ROW_REACH,
        )
        keys: list[NDArray[np.int64]] = []
        bits: list[NDArray[np.float64]] = []
        n_entries = len(self._bits)
        for one in found.values():
            owner, feature = self._hits(one)
            count = self._starts[feature + 1] - self._starts[feature]
            first = np.repeat(self._starts[feature] - np.cumsum(count) + count, count)
            entry = self._entries[first + np.arange(len(first))]
            keys.append(np.repeat(owner, count) * n_entries + entry)
            bits.append(np.repeat(self._weights[feature], count))
        key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        total = np.bincount(inverse, weights=np.concatenate(bits), minlength=len(key))
        entry = key % n_entries
        share = total / np.maximum(self._bits[entry], 1e-9)
        strength = total * share ** self._power[entry] / self._needed[entry]
        view, part = np.divmod(entry, len(self.parts))
        return key // n_entries, view, part, strength

    def _hits(self, found: Fingerprints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Owner and place of each fingerprint that is known and worth anything."""
        if not len(self._known):
            return found.owner[:0], found.owner[:0]
        place = np.minimum(np.searchsorted(self._known, found.number), len(self._known) - 1)
        is_known = self._known[place] == found.number
        if hasattr(self, "_weights"):
            is_known &= self._weights[place] > 0
        return found.owner[is_known], place[is_known]

    def _n_owners(self, owner: NDArray[np.int64], feature: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many different owners each fingerprint has."""
        once = np.unique(owner * max(1, len(self._known)) + feature)
        return np.bincount(once % max(1, len(self._known)), minlength=len(self._known))

    def _n_texts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """In how many of the texts each fingerprint is."""
        count = np.zeros(len(self._known), dtype=np.int64)
        for start in range(0, len(texts), _CHUNK):
            block = texts[start : start + _CHUNK]
            codes = [(n, text, "python") for n, text in enumerate(block)]
            found = _fingerprints(block, codes, _ROW_REACH)
            for one in found.values():
                count += self._n_owners(*self._hits(one))
        return count


def _fingerprints(
    texts: Sequence[str], codes: Sequence[tuple[int, str, str]], reach: int
) -> dict[str, Fingerprints]:
    return {**word_fingerprints(texts), **code_fingerprints(codes, reach)}
