"""A judge on labelled pairs: every comparison in both orders, every row recorded.

Metric: pair accuracy (mean over both orders; tie and undecided count one half), see `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from codefavor.engine.context import Context
from codefavor.engine.health import CUT_OFF_VERDICTS
from codefavor.engine.runner import Step
from codefavor.errors import DataError
from codefavor.judges.base import Judge, bind
from codefavor.judges.jury import Cascade
from codefavor.records import Comparison, Preference, Row, content_id
from codefavor.sources.row_files import read_any_rows
from codefavor.statistics.metrics import CHOSEN_FIRST, REJECTED_FIRST

Orders = Literal["both", "one"]


def item_of(preference: Preference, *, is_chosen_first: bool | None = None, **extra: Any) -> Row:
    """A labelled pair as an input row of the benchmark.

    `is_chosen_first` is how the pair is shown where only one order is asked; by default it
    follows from the id's hash, so that neither position is right more often.
    """
    if is_chosen_first is None:
        is_chosen_first = int(content_id("order", preference.id)[:8], 16) % 2 == 0
    return {
        "id": preference.id,
        "problem_id": preference.problem_id or content_id(preference.asked),
        "instruction": preference.asked,
        "criteria": preference.criteria,
        "chosen": preference.chosen,
        "rejected": preference.rejected,
        "level": preference.level,
        "language": preference.language,
        "license": preference.license,
        "is_chosen_first": is_chosen_first,
        **extra,
    }


def items_of(preferences: Iterable[Preference]) -> list[Row]:
    """The benchmark's input rows of labelled pairs, sorted so that like prompts meet."""
    items = [item_of(preference) for preference in preferences]
    return sorted(items, key=lambda item: (item["problem_id"], item["id"]))


def read_items(path: Path) -> list[Row]:
    """The input rows of a file of Preference rows; raises DataError naming a bad line."""
    preferences = []
    for where, row in read_any_rows(path):
        preference = Preference.from_row(row, where)
        if not preference.chosen.strip() or not preference.rejected.strip():
            raise DataError(f"{where}: 'chosen' and 'rejected' must not be empty")
        preferences.append(preference)
    return items_of(preferences)


def judge_step(judge: Judge, *, orders: Orders = "both") -> Step:
    """The step that asks a judge about one pair and keeps its verdicts.

    A judge with a method `with_context` (one that asks a backend) gets the row's context first.
    """

    async def step(row: Row, context: Context) -> Row:
        bound = bind(judge, context)
        shown = _shown(row, orders)
        verdicts = await bound.compare([_comparison(row, order) for order in shown])
        pairs = zip(shown, verdicts, strict=True)
        used = {spec: one.to_row() for spec, one in context.used.items()}
        usage: Row = {"usage": used} if used else {}
        if isinstance(bound, Cascade):
            usage["asked"] = bound.asked
        return {
            **{key: row[key] for key in row if key not in _LEFT_OUT},
            "n_chosen_chars": len(row["chosen"]),
            "n_rejected_chars": len(row["rejected"]),
            "verdicts": {order: verdict.to_row() for order, verdict in pairs},
            **usage,
        }

    return step


def why_useless(row: Row) -> str:
    """Why none of a judged row's verdicts decides, for the runner's stop rule; "" if one does."""
    verdicts = row["verdicts"].values()
    if {verdict["choice"] for verdict in verdicts} != {"undecided"}:
        return ""
    return CUT_OFF_VERDICTS if all(one["is_cut"] for one in verdicts) else "undecided"


# The texts stay in the data file; a result names its pair by id.
_LEFT_OUT = frozenset({"instruction", "criteria", "chosen", "rejected", "verdicts", "license"})


def _shown(row: Mapping[str, Any], orders: Orders) -> list[str]:
    first = CHOSEN_FIRST if row["is_chosen_first"] else REJECTED_FIRST
    if orders == "one":
        return [first]
    return [CHOSEN_FIRST, REJECTED_FIRST]


def _comparison(row: Mapping[str, Any], order: str) -> Comparison:
    comparison = Comparison(
        instruction=row["instruction"],
        code_a=row["chosen"],
        code_b=row["rejected"],
        criteria=row["criteria"],
        id=row["id"],
    )
    return comparison if order == CHOSEN_FIRST else comparison.swap()
