"""Results of one benchmark against each other: models by pass@k, judges by accuracy."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.item_results import PLAIN, parts_of
from codefavor.journal import read_journal
from codefavor.records import Execution, Row
from codefavor.result_file import FORMAT, ITEM_FORMAT, MODEL_FORMAT, read_result, rows_path
from codefavor.statistics.metrics import judged_pairs
from codefavor.statistics.paired import PairedTest, paired_test, with_holm, without_length
from codefavor.statistics.pass_at_k import pass_rates

Scores = Mapping[str, float]
# Both sides' scores of a measure and, at equal length, the influence of each item.
Sides = tuple[Scores, Scores, Scores | None]
_KS = (1, 5, 10, 100)
_CONTROLLED = ", length-controlled"
# What two results must agree in, by what they are of.
_SAME = {FORMAT: "items_sha256", MODEL_FORMAT: "problems_sha256", ITEM_FORMAT: "items_sha256"}
# A judge may be asked otherwise than another; the pairs and the way they are shown may not differ.
# How the items were drawn does not matter: that they are the same ones is known by their hash.
_FREE = frozenset({"seed", "limit", "sample"})
# What answers are measured with: without it a result lacks measures, and the others compare.
_MEASURED_WITH = frozenset({"judge", "judge_prompt_id", "judge_weights", "embeddings"})
# How programs were run, and which runs counted as evidence.
_OF_RUNS = ("accept", "sandbox_level")
_ABSENT = "not stated"


@dataclass(frozen=True)
class Contender:
    """One result: its scores in [0, 1] by measure and item, and the problem of each item.

    `classes` holds what each sample of a problem ended as; empty for judges. `lengths` are the
    words of an answer, of models on items. `n_failed` items have no verdict, sample or answer;
    they score 0, but for items, which are then left out of both sides.
    """

    name: str
    path: Path
    result: Row
    scores: dict[str, dict[str, float]]
    clusters: dict[str, str]
    classes: dict[str, list[str]] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)
    n_failed: int = 0


@dataclass(frozen=True)
class Comparison:
    """One result against the first one, the baseline.

    `without_overlap` are the measures with no length-controlled figure: one side's texts are so
    much longer that it would be extrapolated.
    """

    a: Contender
    b: Contender
    tests: list[PairedTest]
    moves: Counter[tuple[str, str]]
    won: list[str]
    lost: list[str]
    without_overlap: list[str] = field(default_factory=list)


def read_contender(path: Path, name: str = "") -> Contender:
    """A result file with what its journal holds; raises DataError for anything else."""
    result = read_result(path, tuple(_SAME))
    if result["format"] == MODEL_FORMAT:
        return _model(path, result, name or result["model"]["name"])
    if result["format"] == ITEM_FORMAT:
        return _items(path, result, name or result["model"]["name"])
    return _judge(path, result, name or result["judge"]["name"])


def _model(path: Path, result: Row, name: str) -> Contender:
    rows = result["problems"]
    counted = {one: (int(row["n"]), int(row["passed"])) for one, row in rows.items()}
    most = min(n for n, _ in counted.values())
    return Contender(
        name=name,
        path=path,
        result=result,
        scores={
            **{f"pass@{k}": pass_rates(counted, k) for k in _KS if k <= most},
            **_measures_of(rows),
        },
        clusters={one: one for one in rows},
        classes={one: list(row["classes"]) for one, row in rows.items()},
        n_failed=sum("status" in row for row in rows.values()),
    )


def _measures_of(problems: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """By measure and problem, as pass@k: 0 for a problem that has no samples."""
    names = {name: None for row in problems.values() for name in row.get("measures", ())}
    return {
        name: {one: row.get("measures", {}).get(name, 0.0) for one, row in problems.items()}
        for name in names
    }


def _items(path: Path, result: Row, name: str) -> Contender:
    items = result["items"]
    scores: dict[str, dict[str, float]] = {}
    lengths: dict[str, float] = {}
    clusters: dict[str, str] = {}
    n_scored: Counter[str] = Counter()
    for key, item in items.items():
        clusters[key] = item["cluster"]
        for measure, value in item["measures"].items():
            if measure in PLAIN:
                continue
            # The parts of a measure are compared one by one, clustered by their item.
            for at, part in enumerate(parts_of(value) or ()):
                place = f"{key} part {at + 1}" if isinstance(value, list) else key
                scores.setdefault(measure, {})[place] = part
                clusters[place] = item["cluster"]
                if (words := item["measures"].get("words")) is not None:
                    lengths[place] = float(words)
            n_scored[measure] += value is not None
    return Contender(
        name=name,
        path=path,
        result=result,
        scores=scores,
        clusters=clusters,
        lengths=lengths,
        n_failed=len(items) - max(n_scored.values(), default=0),
    )


def _judge(path: Path, result: Row, name: str) -> Contender:
    pairs = {pair.id: pair for pair in judged_pairs(read_journal(rows_path(path)))}
    overall = result["metrics"]["overall"]
    return Contender(
        name=name,
        path=path,
        result=result,
        scores={"accuracy": {key: pair.score for key, pair in pairs.items()}},
        clusters={key: pair.cluster for key, pair in pairs.items()},
        n_failed=overall["n_error"] + overall["n_missing"],
    )


def compare_results(
    contenders: Sequence[Contender], *, seed: int = 0, n_resamples: int = 10_000
) -> list[Comparison]:
    """Every result against the first; p-values are corrected for all tests together.

    Raises ConfigError, saying what differs, for results that are not of the same items under the
    same settings.
    """
    if len(contenders) < 2:
        raise ConfigError("compare needs two results or more; the first is the baseline")
    base, *others = contenders
    for other in others:
        _check(base, other)
    # Items carry measures of this name too, and those without one are left out of both sides.
    if base.result["format"] == FORMAT and any(one.n_failed for one in contenders):
        contenders = _with_failures(contenders)
        base, *others = contenders
    measured = [_measured(other, base) for other in others]
    tests = with_holm(
        [
            paired_test(
                name,
                ours,
                theirs,
                base.clusters,
                influence=influence,
                seed=seed,
                n_resamples=n_resamples,
            )
            for one in measured
            for name, (ours, theirs, influence) in one.items()
        ]
    )
    found = []
    for other, measures in zip(others, measured, strict=True):
        ours, theirs, _ = next(iter(measures.values()))
        gains = {one: ours[one] - theirs[one] for one in theirs if one in ours}
        found.append(
            Comparison(
                other,
                base,
                tests[: len(measures)],
                _moves(base.classes, other.classes),
                won=_by_gain({one: -gain for one, gain in gains.items() if gain > 0}),
                lost=_by_gain({one: gain for one, gain in gains.items() if gain < 0}),
                without_overlap=_without_overlap(other, base, measures),
            )
        )
        tests = tests[len(measures) :]
    return found


def _by_gain(gains: Mapping[str, float]) -> list[str]:
    """The items, the largest change first; those of the same change by name and number."""

    def place(one: str) -> tuple[float, list[tuple[str, int]]]:
        parts = re.findall(r"(\D*)(\d*)", one)
        return round(gains[one], 9), [(text, int(number or 0)) for text, number in parts]

    return sorted(gains, key=place)


def _measured(other: Contender, base: Contender) -> dict[str, Sides]:
    """Both sides' scores by measure, where they have any item in common.

    Behind the measures of texts that one side writes longer than the other, the same with the
    difference that goes with length taken off, where their lengths overlap.
    """
    found: dict[str, Sides] = {}
    for name, theirs in base.scores.items():
        ours = other.scores.get(name, {})
        if ours.keys() & theirs.keys():
            found[name] = ours, theirs, None
    if not found:
        raise ConfigError(f"{base.path} and {other.path}: no item has a score in both")
    if base.lengths and other.lengths:
        for name, sides in list(found.items()):
            controlled = without_length(sides[0], sides[1], other.lengths, base.lengths)
            if controlled is not None:
                found[f"{name}{_CONTROLLED}"] = controlled[0], sides[1], controlled[1]
    return found


def _without_overlap(other: Contender, base: Contender, measures: Mapping[str, Sides]) -> list[str]:
    """Measures of texts of different lengths that are not told at equal length."""
    return [
        name
        for name, (ours, theirs, influence) in measures.items()
        if influence is None
        and f"{name}{_CONTROLLED}" not in measures
        and any(
            other.lengths.get(one, 0) != base.lengths[one]
            for one in ours.keys() & theirs.keys() & other.lengths.keys() & base.lengths.keys()
        )
    ]


def _with_failures(contenders: Sequence[Contender]) -> list[Contender]:
    """Judges with every pair that any of them judged; one that has no verdict scores 0 there."""
    clusters: dict[str, str] = {}
    for one in contenders:
        clusters |= one.clusters
    return [
        Contender(
            one.name,
            one.path,
            one.result,
            {"accuracy": {key: one.scores["accuracy"].get(key, 0.0) for key in clusters}},
            clusters,
            n_failed=one.n_failed,
        )
        for one in contenders
    ]


def _check(base: Contender, other: Contender) -> None:
    """Raise ConfigError unless both are results of the same thing."""
    where = f"{base.path} and {other.path}"
    if base.result["format"] != other.result["format"]:
        raise ConfigError(f"{where}: a judge and a model have nothing to be compared in")
    if base.result["benchmark"] != other.result["benchmark"]:
        raise ConfigError(
            f"{where}: results of different benchmarks ({base.result['benchmark']} and "
            f"{other.result['benchmark']})"
        )
    key = _SAME[base.result["format"]]
    if base.result[key] != other.result[key]:
        what = "pairs" if key == "items_sha256" else "problems or tests"
        raise ConfigError(f"{where}: not of the same {what}; check --limit, --sample and versions")
    ours, theirs = _decisive(base.result), _decisive(other.result)
    one_sided = (ours.keys() ^ theirs.keys()) & _MEASURED_WITH
    for setting in sorted((ours.keys() | theirs.keys()) - _FREE - one_sided):
        left, right = (side.get(setting, _ABSENT) for side in (ours, theirs))
        if left != right:
            raise ConfigError(
                f"{where}: {setting} is {left!r} in one and {right!r} in "
                "the other; only results under the same settings can be compared"
            )


def _decisive(result: Row) -> Row:
    """All that decides a result's numbers besides the model or judge, and the items."""
    runs = {name: result[name] for name in _OF_RUNS if name in result}
    return {**result.get("settings", {}), **result.get("limits", {}), **runs}


def _moves(
    before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> Counter[tuple[str, str]]:
    """How often a sample of one class stands beside a sample of another, problem by problem."""
    return Counter(
        pair for name, kinds in before.items() for pair in zip(kinds, after[name], strict=False)
    )


def programs_of(contender: Contender, names: Sequence[str]) -> dict[str, Row]:
    """For each of these problems the sample that says most: one that passed, else the first.

    `{"code", "error", "outcome"}`; problems without samples are left out.
    """
    wanted = set(names)
    found: dict[str, Row] = {}
    for record in _ok(rows_path(contender.path)):
        if record["id"] in wanted:
            samples = record["row"]["completions"]
            best = next(
                (
                    one
                    for one in samples
                    if Execution.from_row(one["execution"]).is_evidence_of_pass
                ),
                samples[0],
            )
            execution = best["execution"]
            found[record["id"]] = {
                "code": best["code"],
                "outcome": execution["outcome"],
                "error": execution["error"],
            }
    return found


def _ok(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise DataError(f"{path}: the rows behind the result are missing")
    return (record for record in read_journal(path) if record["status"] == "ok")


def comparison_text(comparisons: Sequence[Comparison]) -> str:
    """The comparison for a terminal: each difference with interval, tests and power."""
    lines = []
    for one in comparisons:
        lines.append(f"{one.a.name} against {one.b.name}")
        for test in one.tests:
            lines += _test_lines(test)
        if one.without_overlap:
            lines.append(
                f"  lengths do not overlap: no length-controlled {', '.join(one.without_overlap)}"
            )
        if one.a.n_failed or one.b.n_failed:
            is_item = one.a.result["format"] == ITEM_FORMAT
            what = "answer, left out of both" if is_item else "verdict or samples, counted as wrong"
            lines.append(f"  items without {what}: {one.a.n_failed} and {one.b.n_failed}")
        lines.append(f"  better on {len(one.won)} items, worse on {len(one.lost)}")
        changed = [(kinds, n) for kinds, n in one.moves.most_common() if kinds[0] != kinds[1]]
        for (before, after), n in changed[:6]:
            lines.append(f"  {before} -> {after}: {n} samples")
    return "\n".join(lines)


def _test_lines(test: PairedTest) -> list[str]:
    gain, interval = test.gain, test.gain.interval
    ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    if math.isnan(interval.low):
        ends = "none of one problem" if gain.n_clusters < 2 else "none of equal differences"
    detectable = "-" if test.detectable is None else f"{100 * test.detectable:.1f} points"
    effect = "-" if test.effect is None else f"{test.effect:+.2f}"
    p_t = "-" if test.p_t is None else f"{test.p_t:.3g}"
    mcnemar = ""
    if not math.isnan(gain.p_mcnemar):
        mcnemar = f"McNemar {gain.p_mcnemar:.3g} ({gain.n_only_a} and {gain.n_only_b}), "
    return [
        f"  {test.measure}: {100 * test.mean_a:.1f} against {100 * test.mean_b:.1f}, "
        f"{100 * interval.mean:+.1f} points (95 % interval {ends}) "
        f"over {gain.n_clusters} problems",
        f"    p: permutation {gain.p_permutation:.3g} (Holm {test.p_holm:.3g}), "
        f"{mcnemar}paired t {p_t}; "
        f"d {effect}; could have seen {detectable}",
    ]


def comparison_rows(comparisons: Sequence[Comparison]) -> list[Row]:
    """The comparison as JSON."""
    return [
        {
            "a": one.a.name,
            "b": one.b.name,
            "tests": [{**test.to_row(), "gain": test.gain.to_row()} for test in one.tests],
            "moves": [[*kinds, n] for kinds, n in one.moves.most_common()],
            "without_overlap": one.without_overlap,
            "won": one.won,
            "lost": one.lost,
            "n_failed": [one.a.n_failed, one.b.n_failed],
        }
        for one in comparisons
    ]
