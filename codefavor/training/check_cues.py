"""What gives the better side away without a look at the program, and rows that say one thing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.pairs.published_scores import score_columns
from codefavor.pairs.published_turns import score_of
from codefavor.records import canonical_json
from codefavor.training.check_evidence import texts_of
from codefavor.training.findings import Finding, Sample, error, of_rows, shown, warning

# Of fewer rows any word may separate the sides by accident.
_N_ROWS = 20
# What one side has so much more often than the other tells them apart by itself.
_SEPARATES = 0.9
_PIECE = re.compile(r"\w+|[^\w\s`]")
# What no word shows.
_SIGNS = {"CR LF": "\r\n", "BOM": "\ufeff", "NUL": "\x00"}


def cue_findings(
    method: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """What is odd of all rows of a file together; nothing for fewer than 20."""
    if len(sample) < _N_ROWS:
        return
    yield from _score_findings(key, sample)
    texts = [texts_of(method, entry, row) for _, row in sample]
    if alike := next(_alike_findings(method, key, sample, texts), None):
        yield alike
        return
    letters = [good for _, good, _ in texts]
    if set(letters) <= {"A", "B"}:  # a judge's: its questions are told apart
        sides = [[one for one, says in zip(texts, letters, strict=True) if says == x] for x in "AB"]
        both = [[question for question, _, _ in one] for one in sides]
        what = ("questions answered with A", "with B")
        few = min(map(len, both))
        if 10 * few < len(sample):
            yield warning(
                f"{key}: {len(sample) - few} of {len(sample)} answers are one letter, which is "
                "learnt whatever stands there; write both orders (codefavor convert)"
            )
            return
    else:
        both = [[good for _, good, _ in texts if good], [bad for _, _, bad in texts if bad]]
        what = ("better answers", "of the worse")
    yield from _separating(key, both, what)
    if method == "kto":
        asked = [[one[0] for one in texts if one[place]] for place in (1, 2)]
        yield from _separating(key, asked, ("questions of better answers", "of the worse"))


def _alike_findings(
    method: str, key: str, sample: Sample, texts: Sequence[tuple[str, str, str]]
) -> Iterator[Finding]:
    """The same row, question or answer again and again."""
    n_rows = len(sample)
    bare = Counter(
        canonical_json({name: row[name] for name in row if name != "id"}) for _, row in sample
    )
    if 10 * len(bare) <= n_rows:
        yield error(
            f"{key}: {n_rows} rows are {len(bare)} again and again: they would be learnt by heart; "
            "write each once, and num_epochs for more"
        )
    pair = [(1, "better answer"), (2, "worse answer")]
    named = [(1, "answer")] if method == "sft" else pair
    for place, what in [*named, (0, "question")]:
        said = [one[place] for one in texts if one[place]]
        [(text, n_same)] = Counter(said).most_common(1) or [("", 0)]
        if len(said) >= _N_ROWS // 2 and n_same >= _SEPARATES * len(said) and text not in "AB":
            yield warning(
                f"{key}: the {what} is one text in {n_same} of {len(said)} rows, {shown(text)}: "
                "it would be known by itself; write rows that differ"
            )


def _score_findings(key: str, sample: Sample) -> Iterator[Finding]:
    """Pairs that their own scores turn round."""
    turned = [
        where
        for where, row in sample
        for good, bad in score_columns(row)
        if (better := score_of(row[good])) is not None
        and (worse := score_of(row[bad])) is not None
        and better < worse
    ]
    if turned:
        what, then = "have a rejected answer with the higher score", "; exchange the sides"
        yield of_rows(key, turned, sample, what, f"{then}, or drop them", share=0.25)


def _separating(
    key: str, both: Sequence[Sequence[str]], what: tuple[str, str]
) -> Iterator[Finding]:
    """The one piece of text by which the sides can be told, however long they are."""
    if min(map(len, both)) < _N_ROWS:
        return
    if any("```" in text for text in both[0]) != any("```" in text for text in both[1]):
        return  # told already
    counts = [Counter(piece for text in side for piece in _pieces(text)) for side in both]
    shares = {
        piece: counts[0][piece] / len(both[0]) - counts[1][piece] / len(both[1])
        for piece in counts[0] | counts[1]
    }
    found = max(shares, key=lambda one: (abs(shares[one]), len(one), one), default="")
    if not found or abs(shares[found]) < _SEPARATES:
        return
    yield warning(
        f"{key}: {shown(found)} stands in {counts[0][found]} of {len(both[0])} {what[0]} and in "
        f"{counts[1][found]} of {len(both[1])} {what[1]}: that alone tells them, and is what would "
        "be learnt; take it out, or write it on both sides"
    )


def _pieces(text: str) -> set[str]:
    """Words and signs of a text, its first and last line, and what is not seen."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = set(_PIECE.findall(text)) | {f"{lines[0]}\n", f"\n{lines[-1]}"} if lines else set()
    return found | {name for name, sign in _SIGNS.items() if sign in text}
