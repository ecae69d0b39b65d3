"""Preference pairs of scored test suites: by the margin of their scores, and by named defects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from codefavor.records import Preference, Row, content_id


class SuitePairing(NamedTuple):
    """The pairs, and how many problems gave none, by reason."""

    pairs: list[Preference]
    without: dict[str, int]


def pair_suites(
    rows: Iterable[Row], *, least_chosen: float, margin: float, per_problem: int
) -> SuitePairing:
    """Pair the scored suites of each problem: a good one with one that is worse by `margin`.

    The chosen one scores at least `least_chosen`. The rejected ones of a problem differ in kind as
    far as they can: first one of each defect, the most frequent last, then the best of those
    that only miss wrong programs (the hardest lessons). At most `per_problem` pairs a problem;
    equal texts count once. The rows are those of `score --tests` on suites of `synthesise tests`.
    """
    by_problem: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_problem[row["problem_id"]].setdefault(row["code"].strip(), row)
    pairs: list[Preference] = []
    without: defaultdict[str, int] = defaultdict(int)
    for suites in by_problem.values():
        ranked = sorted(suites.values(), key=lambda row: (-_score(row), row["id"]))
        good = [row for row in ranked if _score(row) >= least_chosen]
        if not good:
            without["no_good_suite"] += 1
            continue
        found = _pairs_of(good, ranked, margin)[:per_problem]
        if not found:
            without["no_worse_suite"] += 1
        pairs += found
    return SuitePairing(pairs, dict(without))


def _score(row: Row) -> float:
    return float(row["quality"]["score"])


def _pairs_of(good: Sequence[Row], ranked: Sequence[Row], margin: float) -> list[Preference]:
    best = good[0]
    worse = [r for r in ranked if r["code"].strip() and _score(best) - _score(r) >= margin]
    kinds: defaultdict[str, list[Row]] = defaultdict(list)
    for row in worse:
        kinds[row["quality"]["defect"]].append(row)
    defects = sorted((k for k in kinds if k), key=lambda kind: (len(kinds[kind]), kind))
    order = [kinds[kind].pop(0) for kind in defects]
    order += kinds.pop("", [])
    order += [row for kind in defects for row in kinds[kind]]
    # Several good suites share the lessons, so that no one text is all that is learnt.
    pairs = ((good[n % len(good)], rejected) for n, rejected in enumerate(order))
    return [_pair(*pair) for pair in pairs if _score(pair[0]) - _score(pair[1]) >= margin]


def _pair(chosen: Row, rejected: Row) -> Preference:
    defect = rejected["quality"]["defect"]
    return Preference(
        id=content_id("suites", chosen["instruction"], chosen["code"], rejected["code"]),
        instruction=chosen["instruction"],
        chosen=chosen["code"],
        rejected=rejected["code"],
        source="suites",
        problem_id=chosen["problem_id"],
        license=chosen.get("license", ""),
        meta={
            "aspect": "tests",
            "defect": defect,
            "chosen_score": _score(chosen),
            "rejected_score": _score(rejected),
            "trust": chosen["quality"]["trust"],
        },
    )
