"""What a judge's verdicts on labelled pairs amount to: pure functions of stored rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from codefavor.errors import DataError
from codefavor.records import Row, Verdict
from codefavor.statistics.intervals import (
    Bin,
    Figures,
    Gain,
    Interval,
    brier,
    compare_scores,
    expected_calibration_error,
    reliability_bins,
    share_interval,
)

CHOSEN_FIRST = "chosen_first"
REJECTED_FIRST = "rejected_first"
ORDERS = (CHOSEN_FIRST, REJECTED_FIRST)


@dataclass(frozen=True)
class Metrics(Figures):
    """How a judge did on a set of labelled pairs.

    n = n_judged + n_error + n_missing; every rate is over the judged pairs or their verdicts.

    `accuracy`: the mean pair score; a pair scores the mean over its orders of 1 (right),
    1/2 (tie or undecided) or 0 (wrong); `interval` resamples whole problems.
    `accuracy_errors_wrong`: the same with every error and missing pair counted as wrong.
    `strict_accuracy`: pairs that are right in every order asked. `majority_accuracy`: pairs that
    are right in more orders than wrong, a tie being neither (JudgeBench's published rule).
    `consistency`: of the pairs decided (A, B or tie) in both orders, those that name the same
    program twice. `position_bias` in [-1, 1]: share of verdicts A minus share of verdicts B
    over pairs asked in both orders, where an unbiased judge has 0. Both None for one order.
    `n_undecided`, `n_second_questions` (asked of replies that could not be read), `tie_rate`:
    verdicts. `ece`, `brier`, `bins`: of the probability of A, over
    the `n_forecasts` verdicts that have one (None without any).
    """

    n: int
    n_judged: int
    n_error: int
    n_missing: int
    n_verdicts: int
    n_undecided: int
    n_second_questions: int
    n_clusters: int
    accuracy: float
    interval: Interval
    accuracy_errors_wrong: float
    strict_accuracy: float
    majority_accuracy: float
    consistency: float | None
    position_bias: float | None
    tie_rate: float
    n_forecasts: int
    ece: float | None
    brier: float | None
    bins: list[Bin] = field(default_factory=list)


@dataclass(frozen=True)
class PairMetrics(Figures):
    """The metrics of all pairs, and of each level or other group apart."""

    overall: Metrics
    by_level: dict[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgedPair:
    """One pair with its verdicts, read from a journal record or a stored row."""

    id: str
    cluster: str
    level: str
    verdicts: dict[str, Verdict]

    @property
    def score(self) -> float:
        """The mean over the orders asked of 1 (right), 1/2 (tie or undecided), 0 (wrong)."""
        points = [_points(order, verdict) for order, verdict in self.verdicts.items()]
        return math.fsum(points) / len(points)

    @property
    def is_right(self) -> bool:
        """Whether the pair is right in more orders than wrong: what an attack can flip."""
        return self.score > 0.5


def judged_pairs(records: Iterable[Row]) -> list[JudgedPair]:
    """The judged pairs among journal records (or plain stored rows), the last of each id."""
    pairs: dict[str, JudgedPair] = {}
    for record in records:
        row = record["row"] if "status" in record else record
        if record.get("status", "ok") != "ok":
            pairs.pop(record["id"], None)
            continue
        if not row or "verdicts" not in row:
            raise DataError(
                f"row {record.get('id')!r} holds no verdicts; expected a row that "
                "`codefavor evaluate` wrote"
            )
        where = f"verdict of {row['id']}"
        verdicts = {order: Verdict.from_row(one, where) for order, one in row["verdicts"].items()}
        cluster = row.get("problem_id") or row["id"]
        pairs[row["id"]] = JudgedPair(row["id"], cluster, row.get("level", ""), verdicts)
    return list(pairs.values())


def score(
    records: Iterable[Row],
    items: Mapping[str, Row] | None = None,
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> PairMetrics:
    """The metrics of stored verdicts, overall and by level. Pure: asks nobody, pays nothing.

    `items` are the pairs that were to be judged, by id: with them, errors are counted within
    their level, which is the item's, and pairs that never ended count as missing.
    """
    records = list(records)
    pairs = judged_pairs(records)
    errors = {r["id"] for r in records if r.get("status", "ok") != "ok"} - {p.id for p in pairs}

    expected: dict[str, list[str]] = defaultdict(list)
    for item_id, item in (items or {}).items():
        expected[item.get("level", "")].append(item_id)
    members: dict[str, list[JudgedPair]] = defaultdict(list)
    for pair in pairs:
        item = (items or {}).get(pair.id, {})
        members[item.get("level", pair.level)].append(pair)

    def metrics(chosen: Sequence[JudgedPair], ids: Sequence[str] | None) -> Metrics:
        n_error = len(errors if ids is None else errors.intersection(ids))
        n_missing = 0 if ids is None else len(ids) - len(chosen) - n_error
        return metrics_of(
            chosen, n_error=n_error, n_missing=n_missing, seed=seed, n_resamples=n_resamples
        )

    names = sorted({*members, *expected} - {""}, key=level_order)
    return PairMetrics(
        overall=metrics(pairs, None if items is None else list(items)),
        by_level={
            name: metrics(members[name], expected[name] if items is not None else [])
            for name in names
        },
    )


def metrics_of(
    pairs: Sequence[JudgedPair],
    *,
    n_error: int = 0,
    n_missing: int = 0,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> Metrics:
    """The metrics of judged pairs; accuracy is not-a-number where none was judged."""
    scores = [pair.score for pair in pairs]
    n = len(pairs) + n_error + max(0, n_missing)
    verdicts = [(order, one) for pair in pairs for order, one in pair.verdicts.items()]
    forecasts = [one.p_a for _, one in verdicts if one.p_a is not None]
    outcomes = [float(order == CHOSEN_FIRST) for order, one in verdicts if one.p_a is not None]
    interval = Interval(math.nan, math.nan, math.nan)
    if pairs:
        clusters = [pair.cluster for pair in pairs]
        interval = share_interval(scores, clusters, seed=seed, n_resamples=n_resamples)
    return Metrics(
        n=n,
        n_judged=len(pairs),
        n_error=n_error,
        n_missing=max(0, n_missing),
        n_verdicts=len(verdicts),
        n_undecided=sum(one.choice == "undecided" for _, one in verdicts),
        n_second_questions=sum(one.second is not None for _, one in verdicts),
        n_clusters=len({pair.cluster for pair in pairs}),
        accuracy=interval.mean,
        interval=interval,
        accuracy_errors_wrong=math.fsum(scores) / n if n else math.nan,
        strict_accuracy=_share([value == 1 for value in scores]),
        majority_accuracy=_share([pair.is_right for pair in pairs]),
        consistency=_consistency(pairs),
        position_bias=_position_bias(pairs),
        tie_rate=_share([one.choice == "tie" for _, one in verdicts]),
        n_forecasts=len(forecasts),
        ece=expected_calibration_error(forecasts, outcomes) if forecasts else None,
        brier=brier(forecasts, outcomes) if forecasts else None,
        bins=reliability_bins(forecasts, outcomes) if forecasts else [],
    )


def compare_systems(
    records_a: Iterable[Row],
    records_b: Iterable[Row],
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
    level: str | None = None,
) -> Gain:
    """The gain of system A over system B on the pairs that both judged.

    `level` restricts it to one level. Raises DataError where no pair was judged by both.
    """
    first = {pair.id: pair for pair in judged_pairs(records_a)}
    second = {pair.id: pair for pair in judged_pairs(records_b)}
    common = [key for key in first if key in second and level in (None, first[key].level)]
    if not common:
        raise DataError("no pair was judged by both systems; compare results of the same data")
    return compare_scores(
        [first[key].score for key in common],
        [second[key].score for key in common],
        [first[key].cluster for key in common],
        seed=seed,
        n_resamples=n_resamples,
    )


def _points(order: str, verdict: Verdict) -> float:
    if verdict.choice in ("tie", "undecided"):
        return 0.5
    return float((verdict.choice == "A") == (order == CHOSEN_FIRST))


def _in_both_orders(pairs: Iterable[JudgedPair]) -> list[tuple[Verdict, Verdict]]:
    return [
        (pair.verdicts[CHOSEN_FIRST], pair.verdicts[REJECTED_FIRST])
        for pair in pairs
        if len(pair.verdicts) == len(ORDERS)
    ]


def _consistency(pairs: Iterable[JudgedPair]) -> float | None:
    same = [
        first.choice == second.swap().choice
        for first, second in _in_both_orders(pairs)
        if "undecided" not in (first.choice, second.choice)
    ]
    return _share(same) if same else None


def _position_bias(pairs: Iterable[JudgedPair]) -> float | None:
    choices = [verdict.choice for both in _in_both_orders(pairs) for verdict in both]
    if not choices:
        return None
    return (choices.count("A") - choices.count("B")) / len(choices)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan


_LEVELS = ("easy", "normal", "medium", "hard", "samples")


def level_order(name: str) -> tuple[int, str]:
    """The key that sorts levels: easy, normal, medium, hard, samples, then the others by name."""
    return (_LEVELS.index(name) if name in _LEVELS else len(_LEVELS), name)
