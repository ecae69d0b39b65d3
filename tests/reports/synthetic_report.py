"""A made-up demo report for tests and for looking at the page; nothing in it was measured."""

from __future__ import annotations

import math
import random
from typing import Any

LEVELS = ("easy", "medium", "hard", "samples")
SYSTEMS = (
    ("random", "baseline", 0.50, None),
    ("shorter", "baseline", 0.51, None),
    ("longer", "baseline", 0.49, None),
    ("pairwise A/B, base", "untrained", 0.50, 0.02),
    ("likelihood, base", "untrained", 0.76, 0.12),
    ("dpo implicit reward", "trained", 0.85, 0.05),
)
CODE = '''def first_gap(levels, limit):
    """Hours until the level falls below the limit."""
    last = None
    for hour, level in enumerate(levels):
        if level < limit{edge}:
            return hour
        last = level
    return {end}'''


def make_report(*, n_items: int = 60, seed: int = 0) -> dict[str, Any]:
    """A plausible report mapping with every part filled in."""
    rng = random.Random(seed)
    systems = [_system(rng, *row) for row in SYSTEMS]
    return {
        "title": "Synthetic trial of the report (made-up numbers)",
        "created": "2026-01-01T00:00:00Z",
        "headline": {
            "trained": "dpo implicit reward", "against": "likelihood, base",
            "accuracy": 0.85, "against_accuracy": 0.76,
            "gain": 0.087, "low": 0.031, "high": 0.142, "p": 0.0021,
            "n_pairs": 412, "n_problems": 84,
        },
        "settings": {"seed": 0, "pairs_per_problem": 6, "learning_rate": 2e-4, "epochs": 1.0},
        "versions": {"codefavor": "0.0.0", "axolotl": "0.0.0", "torch": "0.0.0"},
        "machine": {"cores": 2, "memory_gib": 24.0, "sandbox_level": "L3", "python": "3.11.7"},
        "stages": [
            {"name": "problems", "seconds": 0.4, "note": "240 problems"},
            {"name": "programs and test runs", "seconds": 71.8, "note": ""},
            {"name": "training", "seconds": 512.0, "note": "one epoch"},
            {"name": "evaluation", "seconds": None, "note": ""},
        ],
        "funnel": [
            {"name": "problems", "n": 240, "note": "starter set"},
            {"name": "programs run", "n": 5210, "note": "references, mutants and samples"},
            {"name": "wrong programs", "n": 3904, "note": "a test fails; survivors are left out"},
            {"name": "pairs", "n": 1630, "note": "at most six for each problem and level"},
            {"name": "balanced pairs", "n": 1204, "note": "426 left out to balance length"},
            {"name": "train", "n": 598, "note": ""},
            {"name": "test", "n": 412, "note": "84 problems never trained on"},
        ],
        "outcomes": {
            "reference": {"passed": 240},
            "easy": {"wrong_output": 410, "runtime_error": 230, "passed": 3},
            "medium": {"wrong_output": 1320, "runtime_error": 310, "timeout": 44, "passed": 61},
            "hard": {"wrong_output": 1480, "runtime_error": 120, "timeout": 71, "passed": 160},
            "samples": {"passed": 44, "wrong_output": 390, "runtime_error": 206,
                        "syntax_error": 88, "memory": 3},
        },
        "pairs": [
            {"split": split, "level": level, "n": n, "n_problems": n // 5,
             "shorter": 0.5 + rng.uniform(-0.02, 0.02), "longer": 0.5 + rng.uniform(-0.02, 0.02)}
            for split, n in (("train", 150), ("test", 103)) for level in LEVELS
        ],
        "checks": [
            {"name": "Leak check", "ok": True, "detail": "nearest instruction 57 of 100"},
            {"name": "Contamination", "ok": True, "detail": "nearest benchmark problem 51 of 100"},
            {"name": "Balance", "ok": False, "detail": "samples: shorter is right in 54.1%"},
        ],
        "rejections": {"passes the tests": 224, "same program": 88, "length": 426},
        "training": {"recipe": "recipes/smollm2-135m/dpo.yaml", "method": "dpo", "rows": 598,
                     "seconds": 512.0, "points": _curve(rng)},
        "systems": systems,
        "gains": [
            {"system": "dpo implicit reward", "against": name,
             "gain": {"mean": gain, "low": gain - 0.055, "high": gain + 0.055},
             "p_mcnemar": p, "n_only_a": 61, "n_only_b": 25}
            for name, gain, p in (("likelihood, base", 0.087, 0.0021), ("random", 0.351, 1e-9))
        ],
        "codeprefbench": {
            "note": "1,364 pairs; correctness, efficiency, security, human preference.",
            "systems": [
                {"name": name, "by_level": {
                    aspect: {"n": 660, "n_error": 0, "n_undecided": 3, "accuracy": p,
                             "low": p - 0.035, "high": p + 0.035}
                    for aspect in ("correctness", "efficiency", "security", "human preference")}}
                for name, p in (("likelihood, base", 0.552), ("dpo implicit reward", 0.571))
            ],
        },
        "items": [_item(rng, number) for number in range(n_items)],
    }  # fmt: skip


def _system(
    rng: random.Random, name: str, kind: str, accuracy: float, ece: float | None
) -> dict[str, Any]:
    def cell(share: float, n: int) -> dict[str, Any]:
        half = 1.96 * math.sqrt(share * (1 - share) / n) * 1.3
        return {"n": n, "accuracy": share, "low": share - half, "high": min(1.0, share + half)}

    steps = (0.12, 0.05, -0.06, -0.11)
    shares = [min(0.97, max(0.46, accuracy + (d if accuracy > 0.6 else d / 12))) for d in steps]
    cells = []
    for low in (0.5, 0.6, 0.7, 0.8, 0.9) if ece is not None else ():
        p = low + 0.05
        cells.append({"low": low, "high": low + 0.1, "n": rng.randint(20, 140), "mean_forecast": p,
                      "mean_outcome": min(1, max(0, p + rng.uniform(-2, 2) * ece))})  # fmt: skip
    return {
        "name": name, "kind": kind, "n_error": 0, "n_undecided": 2 if ece else 0,
        **cell(accuracy, 412),
        "consistency": None if kind == "baseline" else 0.96, "position_bias": 0.0,
        "tie_rate": 0.02, "ece": ece, "brier": None if ece is None else 0.14,
        "by_level": {level: cell(p, 103) for level, p in zip(LEVELS, shares, strict=True)},
        "bins": cells,
    }  # fmt: skip


def _curve(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"step": step, "loss": 0.69 * math.exp(-step / 60) + 0.12 + rng.uniform(-0.03, 0.03),
         "margin": 3.2 * (1 - math.exp(-step / 45)) + rng.uniform(-0.2, 0.2)}
        for step in range(0, 151, 5)
    ]  # fmt: skip


def _item(rng: random.Random, number: int) -> dict[str, Any]:
    level = LEVELS[number % 4]
    edge, end = rng.choice(((" + 1", "-1"), ("", "last"), ("", "-hour"), (" - 1", "-1")))
    score = {name: rng.random() < accuracy for name, _, accuracy, _ in SYSTEMS}
    return {
        "id": f"{number:064x}", "problem_id": f"starter/lists/first-gap-{number}",
        "topic": rng.choice(("lists", "dates", "graphs")), "difficulty": "medium", "level": level,
        "instruction": "Write first_gap(levels, limit), where levels lists tide levels by hour. "
                       "Return the first hour below limit, or -1 when there is none.",
        "chosen": CODE.format(edge="", end="-1"), "rejected": CODE.format(edge=edge, end=end),
        "kind": "sample" if level == "samples" else "off_by_one", "chosen_run": "12/12",
        "rejected_run": f"{rng.randint(0, 11)}/12", "rejected_outcome": "wrong_output",
        "failed_assert": "assert first_gap([4, 3, 2], 3) == 2", "error": "got 1, expected 2",
        "verdicts": {name: {"score": 0.5 if number % 17 == 0 else int(ok),
                            "p": 0.81 if ok else 0.34} for name, ok in score.items()},
    }  # fmt: skip
