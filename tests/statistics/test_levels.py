"""Margins of levels, from the rows of a real evaluation."""

from __future__ import annotations

import json
import math
from pathlib import Path

from codefavor.statistics.levels import level_margins
from tests.kit.commands import codefavor


def record(name: str, level: str, first: float | None, second: float | None) -> dict[str, object]:
    """A judged pair with the probability of A in both orders."""
    verdicts = {
        order: {
            "choice": "undecided" if p is None else "A" if p > 0.5 else "B",
            "p_a": p,
            "raw": "",
        }
        for order, p in (("chosen_first", first), ("rejected_first", second))
    }
    return {"id": name, "problem_id": name, "level": level, "verdicts": verdicts}


def test_margins_are_log_odds_of_the_chosen_side_over_both_orders() -> None:
    table, rows = level_margins(
        [
            record("a", "easy", 0.9, 0.1), record("b", "easy", 0.9, 0.1),
            record("c", "hard", 0.5, 0.5), record("d", "hard", 0.4, 0.6),
            record("e", "hard", 0.95, 0.05), record("f", "hard", None, None),
        ]
    )  # fmt: skip
    assert [one.level for one in table] == ["easy", "hard"]
    easy, hard = table
    assert math.isclose(easy.median, math.log(9))
    assert (hard.n, hard.n_unsure) == (3, 1)
    assert math.isclose(hard.right, 1 / 3)
    fits = {row["id"]: row["fits"] for row in rows}
    assert fits == {"a": "easy", "b": "easy", "c": "hard", "d": "hard", "e": "easy", "f": "hard"}


def test_levels_whose_medians_rise_are_said_to_be_none(tmp_path: Path) -> None:
    pairs = [
        {
            "id": f"{level}{n}", "instruction": f"task {level} {n}", "level": level,
            "chosen": "def f():\n    return 1\n" + "# more\n" * longer, "rejected": "x = 0\n" * 3,
            "criteria": "", "source": "own", "problem_id": f"{level}{n}",
        }
        for level, longer in (("easy", 9), ("hard", 0))
        for n in range(3)
    ]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in pairs), encoding="utf-8")
    done = codefavor(
        "evaluate", "pairs", "--data", path, "-m", "shorter", "--out", tmp_path / "r", home=tmp_path
    )
    assert done.code == 0, done.stderr
    (result,) = (tmp_path / "r").glob("*.json")
    done = codefavor("pair", "margins", result, home=tmp_path)
    assert done.code == 2
    assert "states no probabilities" in done.stderr
