"""The candidates of each problem in the order of a judge: a step for the runner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.judges.base import Judge, bind
from codefavor.judges.ranking import Ranking, knock_out, round_robin
from codefavor.records import Problem, Row
from codefavor.scoring.by_tests import join_with_problems

Method = Literal["tournament", "best-of-n"]
_METHODS = {"tournament": round_robin, "best-of-n": knock_out}


def candidate_rows(
    completions: Path, problems: Mapping[str, Problem], criteria: str = ""
) -> list[Row]:
    """One row for each problem that has completions, with all of them in file order.

    Raises DataError as `join_with_problems` does.
    """
    rows: dict[str, Row] = {}
    for joined in join_with_problems(completions, problems):
        candidate = joined["completion"]
        problem = problems[candidate["problem_id"]]
        row = rows.setdefault(
            problem.id,
            {
                "id": problem.id,
                "instruction": problem.instruction,
                "criteria": criteria,
                "candidates": [],
            },
        )
        row["candidates"].append(candidate)
    return list(rows.values())


def rank_step(judge: Judge, method: Method) -> Step:
    """The step that ranks one problem's candidates; programs of the same text play as one.

    A failed comparison ends the whole problem as an error: half a ranking is none.
    """

    async def step(row: Row, context: Context) -> Row:
        codes = list(dict.fromkeys(one["code"] for one in row["candidates"]))
        ranking = await _METHODS[method](
            bind(judge, context),
            row["instruction"],
            codes,
            criteria=row["criteria"],
            name=row["id"],
        )
        return {
            "id": row["id"],
            "method": method,
            "judge": judge.name,
            "n_candidates": len(row["candidates"]),
            "n_distinct": len(codes),
            "n_comparisons": 2 * ranking.n_games,
            "n_ties": ranking.n_ties,
            "n_undecided": ranking.n_undecided,
            "n_second_questions": ranking.n_second_questions,
            "candidates": _ranked(row["candidates"], codes, ranking),
        }

    return step


def _ranked(candidates: Iterable[Row], codes: list[str], ranking: Ranking) -> list[Row]:
    """Best first; a program that occurs several times takes one rank, its copies in file order."""
    standings = {codes[one.index]: one for one in ranking.standings}
    places = {codes[one.index]: place for place, one in enumerate(ranking.standings)}
    ranked = []
    for candidate in sorted(candidates, key=lambda one: places[one["code"]]):
        standing = standings[candidate["code"]]
        # A single program plays nobody and is the best there is.
        score = standing.points / standing.n_games if standing.n_games else 1.0
        place = {
            "rank": standing.rank,
            "score": score,
            "points": standing.points,
            "n_games": standing.n_games,
        }
        ranked.append({**candidate, "ranking": place})
    return ranked


def ranked_candidates(row: Row, keep: int | None = None) -> Iterator[Row]:
    """The candidates of a ranked problem as rows of their own, only ranks up to `keep`.

    Each is its completion with "ranking": rank, score (points per game), points, n_games, and
    the judge, method and number of comparisons of its problem.
    """
    shared = {name: row[name] for name in ("judge", "method", "n_comparisons")}
    for candidate in row["candidates"]:
        if keep is None or candidate["ranking"]["rank"] <= keep:
            yield {**candidate, "ranking": {**candidate["ranking"], **shared}}


def summarize(rows: Iterable[Row]) -> Row:
    """How much was ranked: problems, candidates, comparisons, games that named no winner."""
    names = (
        "n_candidates", "n_distinct", "n_comparisons", "n_ties", "n_undecided",
        "n_second_questions",
    )  # fmt: skip
    summary: Row = {"n_problems": 0} | dict.fromkeys(names, 0)
    for row in rows:
        summary["n_problems"] += 1
        for name in names:
            summary[name] += row[name]
    return summary
