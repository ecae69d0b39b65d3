"""The pairs of a leaderboard with what every judge said of them, for its browser. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from codefavor.records import Row
from codefavor.statistics.metrics import CHOSEN_FIRST, JudgedPair, judged_pairs


def board_items(records: Mapping[str, Sequence[Row]], items: Sequence[Row]) -> list[Row]:
    """Every judged pair once, as an item of the browser, with each judge's replies.

    `records` are the stored rows by judge, `items` the pairs with their texts; a pair whose
    texts are not among them has empty programs.
    """
    texts = {item["id"]: item for item in items}
    judged = {name: {p.id: p for p in judged_pairs(rows)} for name, rows in records.items()}
    rows = {row["id"]: row for stored in records.values() for row in _ok_rows(stored)}
    failed = {name: _failures(stored) for name, stored in records.items()}
    ids = dict.fromkeys([*rows, *(key for one in failed.values() for key in one)])
    found = []
    for key in ids:
        text, row = texts.get(key, {}), rows.get(key, {})
        known = {**row, **text}
        verdicts = {name: _verdict(judged[name].get(key), failed[name].get(key)) for name in judged}
        found.append(
            {
                "id": key,
                "problem_id": str(known.get("task_id") or known.get("problem_id") or key[:16]),
                "topic": "known defect" if known.get("defect") else "",
                "level": str(known.get("level", "")),
                "instruction": str(text.get("instruction", "")),
                "criteria": str(text.get("criteria", "")),
                "chosen": str(text.get("chosen", "")),
                "rejected": str(text.get("rejected", "")),
                **{f"{side}_note": _length(side, known) for side in ("chosen", "rejected")},
                "error": str(known.get("defect", "")),
                "verdicts": {name: one for name, one in verdicts.items() if one is not None},
            }
        )
    return found


def _length(side: str, known: Row) -> str:
    n_chars = known.get(f"n_{side}_chars", len(known.get(side, "")))
    return f"{n_chars} characters"


def defects_of(records: Mapping[str, Sequence[Row]]) -> list[tuple[str, str, int]]:
    """Task, what is wrong with it, and how many of the judged pairs are of it."""
    rows = {row["id"]: row for stored in records.values() for row in _ok_rows(stored)}
    found = Counter(
        (str(row.get("task_id") or row["id"]), str(row["defect"]))
        for row in rows.values()
        if row.get("defect")
    )
    return [(task, why, n) for (task, why), n in sorted(found.items())]


def _ok_rows(records: Iterable[Row]) -> list[Row]:
    rows = [record["row"] if "status" in record else record for record in records]
    return [row for row in rows if row and "verdicts" in row]


def _failures(records: Iterable[Row]) -> dict[str, str]:
    return {
        record["id"]: str(record.get("reason") or record["status"])
        for record in records
        if record.get("status", "ok") != "ok"
    }


def _verdict(pair: JudgedPair | None, failure: str | None) -> Row | None:
    """One judge's score of a pair and its replies in each order; None where it was not asked."""
    if pair is None:
        return None if failure is None else {"score": None, "failure": failure, "orders": []}
    orders = [
        {
            "shown": "better program first" if order == CHOSEN_FIRST else "worse program first",
            "choice": one.choice,
            "is_right": None
            if one.choice in ("tie", "undecided")
            else (one.choice == "A") == (order == CHOSEN_FIRST),
            "p_a": one.p_a,
            "raw": one.raw,
            "second": one.second["raw"] if one.second is not None else None,
        }
        for order, one in pair.verdicts.items()
    ]
    return {"score": pair.score, "p": p_of_chosen(pair), "orders": orders}


def p_of_chosen(pair: JudgedPair) -> float | None:
    """The mean probability that a judge gave to the chosen program; None if it stated none."""
    stated = [
        one.p_a if order == CHOSEN_FIRST else 1 - one.p_a
        for order, one in pair.verdicts.items()
        if one.p_a is not None
    ]
    return sum(stated) / len(stated) if stated else None
