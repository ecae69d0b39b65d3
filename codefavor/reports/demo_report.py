"""The report of a demo run: every number computed from the files of the run, and its page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codefavor.errors import DataError
from codefavor.journal import read_journal
from codefavor.records import Preference, Problem, Row, read_records, read_rows
from codefavor.reports.charts import Axis, Plot, Point, Series, nice_axis, percent, share_axis
from codefavor.reports.leaderboard_items import p_of_chosen
from codefavor.reports.page import render_page
from codefavor.reports.pair_view import browser_data
from codefavor.result_file import read_result, rows_path
from codefavor.statistics.metrics import compare_systems, judged_pairs
from codefavor.training.recipes import method_of
from codefavor.training.runcard import load_card, read_metrics

# In the order of the report: the result file, the kind of judge, its name.
SYSTEMS = (
    ("random", "baseline", "random"),
    ("shorter", "baseline", "the shorter one"),
    ("longer", "baseline", "the longer one"),
    ("prompted", "untrained", "untrained, A/B prompting"),
    ("untrained-sum", "untrained", "untrained, likelihood of the whole"),
    ("untrained", "untrained", "untrained, likelihood per token"),
    ("trained", "trained", "trained"),
)
LEVELS = ("reference", "easy", "medium", "hard", "samples")
_CURVES = {"loss": "loss", "margin": "rewards/margins", "accuracy": "rewards/accuracies"}
# The outcomes that the bars keep apart; each has its own pattern.
_OUTCOMES = {
    "passed": "passed",
    "wrong_output": "wrong",
    "runtime_error": "error",
    "timeout": "timeout",
    "syntax_error": "syntax",
}


def build_report(run: Path) -> Row:
    """The report of a run's folder, plain JSON; raises DataError for an unfinished run."""
    settings = _read(run / "settings.json")
    pairs = read_records(run / "pairs" / f"{settings['split']}.jsonl", Preference)
    paths = {
        file: run / "judged" / settings["split"] / f"pairs.{file}.json" for file, _, _ in SYSTEMS
    }
    systems = [
        {"name": name, "kind": kind, **_metrics(read_result(paths[file])["metrics"])}
        for file, kind, name in SYSTEMS
    ]
    records = {file: list(read_journal(rows_path(path))) for file, path in paths.items()}
    gains = list(_gains(records))
    made = _read(run / "pairs" / "summary.json")
    programs = _read(run / "pairs" / "programs.jsonl.manifest.json")
    card = load_card(run / "train")
    n_rows = sum(1 for _ in read_rows(run / "data" / "train.jsonl"))
    # As it stands in the repository: the report is read on other machines.
    recipe = "/".join(Path(settings["recipe"]).parts[-3:])
    return {
        "title": "CodeFavor demo",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "headline": _headline(gains, systems, len(pairs)),
        "settings": {
            "recipe": recipe,
            "split": settings["split"],
            "seed": settings["seed"],
            "training seed": settings["train_seed"],
            "training rows (at most)": settings["n_train"],
        },
        "versions": card["versions"],
        "machine": {
            "sandbox_level": programs["sandbox_level"],
            **{name: card["hardware"][name] for name in ("cores", "memory_gib", "system")},
        },
        "stages": [
            {"name": name, "seconds": one["seconds"], "note": one["command"]}
            for name, one in _read(run / "stages.json").items()
        ],
        "funnel": _funnel(made, settings["split"], n_rows=n_rows, n_judged=len(pairs)),
        "outcomes": made["outcomes"],
        "pairs": made["balance"],
        "checks": [*_checks(run), *_balance_checks(made)],
        "rejections": made["rejected"],
        "training": {
            "recipe": recipe,
            "method": method_of(card["config"]),
            "rows": n_rows,
            **_training(run / "train"),
        },
        "systems": systems,
        "gains": gains,
        "codeprefbench": _bench(run / "judged" / "bench"),
        "items": list(_items(run, pairs, records)),
    }


def _read(path: Path) -> Row:
    try:
        found: Row = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; is {path.parent} of a finished `codefavor demo`?"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    return found


def _metrics(metrics: Row) -> Row:
    """The metrics of a result, the ends of the interval and all that failed by name."""
    by_level = metrics["by_level"]
    levels = [level for level in LEVELS if level in by_level]
    levels += sorted(by_level.keys() - set(levels))
    return {
        **_accuracy(metrics["overall"]),
        "by_level": {level: _accuracy(by_level[level]) for level in levels},
    }


def _accuracy(metrics: Row) -> Row:
    n_error = metrics["n_error"] + metrics["n_missing"]
    interval = metrics["interval"]
    return {**metrics, "n_error": n_error, "low": interval["low"], "high": interval["high"]}


def _gains(records: Mapping[str, list[Row]]) -> Iterator[Row]:
    """The trained judge against each other system, on the pairs that both judged."""
    for file, kind, name in SYSTEMS:
        if file != "trained":
            gain = compare_systems(records["trained"], records[file])
            yield {"system": "trained", "against": name, "against_kind": kind, **gain.to_row()}


def _headline(gains: Sequence[Row], systems: Sequence[Row], n_pairs: int) -> Row:
    """The trained judge against the best of the others that judged the same pairs."""
    accuracy = {system["name"]: system["accuracy"] for system in systems}
    complete = [gain for gain in gains if gain["n"] == n_pairs]
    best = max(complete, key=lambda gain: float(accuracy[gain["against"]]))
    return {
        "trained": "trained",
        "accuracy": accuracy["trained"],
        "against": best["against"],
        "against_accuracy": accuracy[best["against"]],
        "gain": best["gain"]["mean"],
        "low": best["gain"]["low"],
        "high": best["gain"]["high"],
        "p": best["p_mcnemar"],
        "n_pairs": best["n"],
        "n_problems": best["n_clusters"],
    }


def _funnel(made: Row, split: str, *, n_rows: int, n_judged: int) -> list[Row]:
    samples = made["outcomes"].get("samples", {})
    n_run = sum(n for one in made["outcomes"].values() for n in one.values())
    drafts = f"of them {sum(samples.values())} drafts of the model, {samples.get('passed', 0)} pass"
    kept = ", ".join(f"{n} {split}" for split, n in made["n_kept"].items())
    steps = [
        ("problems", made["n_problems"], "each with a reference and tests"),
        ("programs run", n_run, drafts),
        ("programs that fail", made["n_failed"], "proven by their problem's tests"),
        ("pairs", made["n_pairs"], "one passes, one fails, same problem and level"),
        ("pairs kept", sum(made["n_kept"].values()), f"lengths balanced: {kept}"),
        ("training rows", n_rows, "train split"),
        ("judged pairs", n_judged, f"{split} split"),
    ]
    return [{"name": name, "n": n, "note": note} for name, n, note in steps]


def _checks(run: Path) -> list[Row]:
    """What passed, or the run would have stopped there."""
    detail = _read(run / "leaks.json")["detail"]
    checks = [{"name": "nothing held out in train", "ok": True, "detail": detail}]
    overlap = run / "benchmarks.json"
    for name, found in _read(overlap)["benchmarks"].items() if overlap.is_file() else ():
        detail = f"{found['n_snippets']} problems, nearest {max(found['similarities']):.0f} of 100"
        checks.append({"name": f"not from {name}", "ok": True, "detail": detail})
    return checks


def _balance_checks(made: Row) -> Iterator[Row]:
    for row in made["balance"]:
        yield {
            "name": f"length says nothing: {row['split']}, {row['level']}",
            # One pair of few is more than 3 points: there the balance is as near as it can be.
            "ok": abs(row["shorter"] - 0.5) <= max(0.03, 0.5 / row["n"]),
            "detail": f"'shorter' is right in {row['shorter']:.1%} of {row['n']} pairs",
        }


def _training(folder: Path) -> Row:
    logs = read_metrics(folder)
    return {
        "seconds": next((row["train_runtime"] for row in logs if "train_runtime" in row), None),
        "points": [
            {"step": row.get("step"), **{key: row.get(own) for key, own in _CURVES.items()}}
            for row in logs
            if "loss" in row and "train_runtime" not in row
        ],
    }


def _bench(folder: Path) -> Row:
    systems = []
    for file, _, name in SYSTEMS:
        path = folder / f"codeprefbench.{file}.json"
        if path.is_file():
            systems.append({"name": name, **_metrics(read_result(path)["metrics"])})
    note = "a seeded sample, both orders" if systems else "not asked for, or its data is not here"
    return {"note": note, "systems": systems}


def _items(
    run: Path, pairs: Sequence[Preference], records: Mapping[str, list[Row]]
) -> Iterator[Row]:
    problems = {p.id: p for p in read_records(run / "problems.jsonl", Problem)}
    judged = {
        name: {one.id: one for one in judged_pairs(records[file])} for file, _, name in SYSTEMS
    }
    for pair in sorted(pairs, key=lambda pair: (LEVELS.index(pair.level), pair.problem_id)):
        chosen, rejected = pair.evidence["chosen"], pair.evidence["rejected"]
        yield {
            "id": pair.id,
            "problem_id": pair.problem_id,
            "topic": problems[pair.problem_id].topic,
            "difficulty": problems[pair.problem_id].difficulty,
            "level": pair.level,
            "instruction": pair.instruction,
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "kind": pair.meta["rejected_kind"],
            "chosen_run": f"{chosen['passed']}/{chosen['total']}",
            "rejected_run": f"{rejected['passed']}/{rejected['total']}",
            "rejected_outcome": rejected["outcome"],
            "failed_assert": rejected["failed_assert"],
            "error": rejected["error"],
            "verdicts": {
                name: {"score": known[pair.id].score, "p": p_of_chosen(known[pair.id])}
                for name, known in judged.items()
                if pair.id in known
            },
        }


def summary(report: Row) -> Iterator[str]:
    """The result in a few lines, every number with its n."""
    for system in report["systems"]:
        levels = "  ".join(
            f"{level} {_share(part['accuracy'])}" for level, part in system["by_level"].items()
        )
        yield (
            f"{system['name']:<36} {_share(system['accuracy'])} "
            f"[{_share(system['low'])}, {_share(system['high'])}]  n={system['n']} "
            f"errors={system['n_error']} undecided={system['n_undecided']}  {levels}"
        )
    head = report["headline"]
    yield (
        f"gain over the best other ({head['against']}): {100 * head['gain']:+.1f} points "
        f"[{100 * head['low']:+.1f}, {100 * head['high']:+.1f}], McNemar p={head['p']:.2g}, "
        f"{head['n_pairs']} pairs of {head['n_problems']} problems"
    )


def _share(value: float | None) -> str:
    return "   - " if value is None else f"{100 * value:5.1f}"


def demo_html(report: Row) -> str:
    """The page: one file that needs no network and shows the numbers it is given, never more."""
    headline, systems = report["headline"], report["systems"]
    by_level = {
        level: [{**one, **one["by_level"][level]} for one in systems if level in one["by_level"]]
        for level in dict.fromkeys(level for one in systems for level in one["by_level"])
    }
    shared = _axis([row for rows in by_level.values() for row in rows], max_steps=4)
    return render_page(
        "demo.html.j2",
        report=report,
        headline=headline,
        forest=_forest(systems, _axis(systems)),
        # All on one axis, so that they can be compared by eye.
        levels=[(level, _forest(rows, shared)) for level, rows in by_level.items()],
        funnel_top=max(step["n"] for step in report["funnel"]),
        outcomes=_outcomes(report["outcomes"]),
        curves=list(_curves(report["training"]["points"])),
        reliability=_reliability(
            [one for one in systems if one["name"] in (headline["trained"], headline["against"])]
        ),
        browser=browser_data(
            report["items"],
            systems=[system["name"] for system in systems],
            trained=headline["trained"],
            against=headline["against"],
        ),
        n_items=len(report["items"]),
    )


def _forest(systems: Sequence[Row], axis: Axis) -> Row:
    """The rows of a forest plot, best last of each kind."""
    order = ("baseline", "untrained", "trained")
    rows = sorted(systems, key=lambda one: (order.index(one["kind"]), one["accuracy"] or 0.0))
    return {"rows": rows, "axis": axis}


def _axis(rows: Sequence[Row], max_steps: int = 6) -> Axis:
    shares = [row[name] for row in rows for name in ("accuracy", "low", "high")]
    return share_axis(shares, "accuracy on held-out pairs", max_steps=max_steps)


def _outcomes(outcomes: Mapping[str, Mapping[str, int]]) -> Row:
    """Per level the bar's segments and every count; the columns are the outcomes seen."""
    names = {name for counts in outcomes.values() for name in counts}
    known = [name for name in _OUTCOMES if name in names]
    columns = [(name, _OUTCOMES.get(name, "other")) for name in [*known, *sorted(names - {*known})]]
    rows = []
    for level in sorted(outcomes, key=LEVELS.index):
        segments = [(pattern, outcomes[level].get(name, 0)) for name, pattern in columns]
        total = sum(n for _, n in segments)
        rows.append({"level": level, "segments": segments, "total": total})
    return {"columns": columns, "rows": rows}


def _curves(rows: Sequence[Row]) -> Iterator[Plot]:
    """One chart for each measured quantity of the training log, over the step."""
    for key, label in (("loss", "loss"), ("margin", "reward margin"), ("accuracy", "accuracy")):
        line = [
            Point(row["step"], row[key], f"step {row['step']}: {row[key]:.3f}")
            for row in rows
            if row.get(key) is not None
        ]
        if line:
            x_axis = nice_axis([p.x for p in line], "training step", is_whole=True)
            y_axis = nice_axis([p.y for p in line], label)
            series = [Series(label, "trained", line)]
            yield Plot(f"Training {label} by step", series, x_axis, y_axis)


def _reliability(systems: Sequence[Row]) -> Plot | None:
    """Stated probability against the share that was right, for judges that state one."""
    series = [
        Series(
            system["name"],
            system["kind"],
            [
                Point(
                    cell["mean_forecast"],
                    cell["mean_outcome"],
                    f"{system['name']}: stated {percent(cell['mean_forecast'])}, "
                    f"right {percent(cell['mean_outcome'])}, n = {cell['n']}",
                )
                for cell in system["bins"]
                if cell["n"]
            ],
        )
        for system in systems
    ]
    series = [item for item in series if item.points]
    if not series:
        return None
    ticks = [(tick / 100, f"{tick}%") for tick in range(0, 101, 20)]
    low = min(p.x for item in series for p in item.points)
    x_ticks = ticks[2:] if low >= ticks[2][0] else ticks
    return Plot(
        "Reliability: stated probability against the share that was right",
        series,
        Axis(x_ticks[0][0], 1.0, x_ticks, "stated probability"),
        Axis(0.0, 1.0, ticks, "share that was right"),
        has_diagonal=True,
    )
