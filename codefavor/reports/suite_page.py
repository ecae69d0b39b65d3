"""The suites of a model as a page: what each problem's suites catch, what they miss and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import unified_diff

from codefavor.records import Row
from codefavor.reports.charts import Axis, Board, Cell, Line, Plot, Point, Series, percent
from codefavor.reports.page import render_page
from codefavor.scoring.suite_quality import DEFECTS, SuiteQuality

_PARTS = ("kills", "line_coverage", "branch_coverage")
_MOST_MISSED = 12


def suites_html(result: Row, records: Iterable[Row], title: str = "") -> str:
    """A page that needs no network, of a result of `evaluate test-writing` and its journal."""
    threshold = result["metrics"]["suites"]["threshold"]
    problems = [_problem(one, threshold) for one in records if one["status"] == "ok"]
    problems.sort(key=lambda one: str(one["id"]))
    suites = [suite for one in problems for suite in one["suites"]]
    return render_page(
        "suites.html.j2",
        title=title or f"Test suites of {result['model']['name']}",
        metrics=result["metrics"],
        threshold=threshold,
        board=_board(problems),
        plot=score_plot(suites),
        defects=_defects(suites),
        problems=problems,
    )


def _problem(record: Row, threshold: float) -> Row:
    row = record["row"]
    right = row.get("right", "")
    suites = [_suite(one, right, threshold) for one in row["completions"]]
    return {"id": row["id"], "right": right, "suites": suites}


def _suite(completion: Row, right: str, threshold: float) -> Row:
    quality = SuiteQuality(**completion["quality"])
    missed = completion["missed_programs"]
    return {
        "code": completion["code"],
        "quality": quality,
        "ends_ok": bool(quality.seed_metric),
        "is_good": quality.score >= threshold,
        "why": DEFECTS.get(quality.defect, ""),
        "n_wrong": len(quality.ends),
        "n_missed": len(missed),
        "missed": [
            {**one, "why": one.get("why", ""), "diff": _diff(right, one["code"])}
            for one in missed[:_MOST_MISSED]
        ],
    }


def _diff(right: str, wrong: str) -> list[tuple[str, str]]:
    """The changed lines with one line around them: (sign, line), and "…" between the places."""
    lines = list(unified_diff(right.splitlines(), wrong.splitlines(), n=1, lineterm=""))[3:]
    return [(line[:1], line[1:]) if line[0] != "@" else (" ", "…") for line in lines]


def _board(problems: Sequence[Row]) -> Board:
    head = [
        "problem", "suites", "good", "runs and ends OK", "score", "mutants killed", "lines",
        "branches", "defects",
    ]  # fmt: skip
    return Board(head, [_line(one["id"], one["suites"]) for one in problems])


def _line(name: str, suites: Sequence[Row]) -> Line:
    defects = Counter(one["quality"].defect for one in suites if one["quality"].defect)
    parts = [
        [one["quality"].parts[part] for one in suites if part in one["quality"].parts]
        for part in _PARTS
    ]
    shares = [_mean([one["quality"].score for one in suites]), *map(_mean, parts)]
    listed = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in defects.most_common())
    cells = [
        Cell(str(len(suites))),
        Cell(str(sum(one["is_good"] for one in suites))),
        Cell(str(sum(one["ends_ok"] for one in suites))),
        *(Cell(percent(share, 0)) for share in shares),
        Cell(listed or "–"),
    ]
    return Line(name, cells)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _defects(suites: Sequence[Row]) -> list[tuple[str, int, str, int]]:
    """(defect, how many suites, what it is, how many of them run and end with OK)."""
    kinds = Counter(one["quality"].defect for one in suites if one["quality"].defect)
    return [
        (
            kind.replace("_", " "), n, DEFECTS[kind],
            sum(one["ends_ok"] for one in suites if one["quality"].defect == kind),
        )
        for kind, n in kinds.most_common()
    ]  # fmt: skip


def score_plot(suites: Sequence[Row]) -> Plot:
    """The score of each measured suite beside its line coverage."""
    places = Counter(
        (one["quality"].parts["line_coverage"], one["quality"].score)
        for one in suites
        if "line_coverage" in one["quality"].parts
    )
    marks = [
        Point(x, y, f"{n} suites: lines {percent(x)}, score {percent(y)}", min(3.0, n**0.5))
        for (x, y), n in sorted(places.items())
    ]
    return Plot("Score beside line coverage", [Series("suites", "trained", marks, is_line=False)],
                share_of("lines of the right program that ran"), share_of("score"))  # fmt: skip


def share_of(label: str) -> Axis:
    """An axis of shares from 0 to 1."""
    return Axis(0, 1, [(v / 4, f"{25 * v}%") for v in range(5)], label)
