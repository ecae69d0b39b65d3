"""`codefavor report demo`: the numbers of a demo run as report.json, and its page."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from codefavor import __version__
from codefavor.errors import DataError
from codefavor.journal import read_journal
from codefavor.records import Preference, Problem, Row, read_records, read_rows, write_text
from codefavor.reports.report import render_demo_report
from codefavor.result_file import read_result, rows_path
from codefavor.statistics.intervals import none_if_nan
from codefavor.statistics.metrics import compare_systems, judged_pairs
from codefavor.training.recipes import load_yaml, method_of
from codefavor.training.runcard import read_metrics

# In the order of the report; the first word names the result file.
SYSTEMS = (
    ("random", "baseline", "random"),
    ("shorter", "baseline", "the shorter one"),
    ("longer", "baseline", "the longer one"),
    ("prompted", "untrained", "untrained, A/B prompting"),
    ("untrained-sum", "untrained", "untrained, likelihood of the whole"),
    ("untrained", "untrained", "untrained, likelihood per token"),
    ("trained", "trained", "trained"),
)
LEVELS = ("easy", "medium", "hard", "samples")
PACKAGES = ("torch", "transformers", "axolotl", "trl", "peft", "accelerate")


def demo(
    run: Annotated[Path, typer.Argument(help="The folder of a run of `codefavor demo`.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file; report.json goes beside it.")],
) -> None:
    """The result of a demo run: accuracy, data, training, and the browser of pairs."""
    report = build_report(run)
    page = render_demo_report(report)
    write_text(out.with_name("report.json"), [json.dumps(report, indent=1)])
    write_text(out, [page])
    for line in summary(report):
        typer.echo(line)
    typer.echo(str(out.resolve()))


def build_report(run: Path) -> Row:
    """The whole report; every number is computed from the files of the run."""
    settings = _read(run / "settings.json")
    pairs = read_records(run / "pairs" / f"{settings['split']}.jsonl", Preference)
    results = _results(run / "judged" / settings["split"], "pairs")
    records = {file: list(read_journal(rows_path(path))) for file, (path, _) in results.items()}
    systems = [_system(name, kind, results[file][1]) for file, kind, name in SYSTEMS]
    gains = list(_gains(records))
    made = _read(run / "pairs" / "summary.json")
    return {
        "title": "CodeFavor demo",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "headline": _headline(gains, systems, pairs),
        "settings": {
            "recipe": _short(settings["recipe"]),
            "split": settings["split"],
            "seed": settings["seed"],
            "training seed": settings["train_seed"],
            "training rows (at most)": settings["n_train"],
        },
        "versions": {"codefavor": __version__, **_versions()},
        "machine": _machine(_read(run / "pairs" / "programs.jsonl.manifest.json")),
        "stages": [
            {"name": name, "seconds": one["seconds"], "note": one["command"]}
            for name, one in _read(run / "stages.json").items()
        ],
        "funnel": _funnel(made, settings, n_rows=_n_rows(run), n_judged=len(pairs)),
        "outcomes": made["outcomes"],
        "pairs": made["balance"],
        "checks": [*_checks(run), *_balance_checks(made)],
        "rejections": made["rejected"],
        "training": _training(run, settings["recipe"]),
        "systems": systems,
        "gains": gains,
        "codeprefbench": _bench(run / "judged" / "bench"),
        "items": _items(run, pairs, records),
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


def _results(folder: Path, benchmark: str) -> dict[str, tuple[Path, Row]]:
    """The result files that are there, by the names of `SYSTEMS`."""
    paths = {file: folder / f"{benchmark}.{file}.json" for file, _, _ in SYSTEMS}
    return {file: (path, read_result(path)) for file, path in paths.items() if path.is_file()}


def _n_rows(run: Path) -> int:
    return sum(1 for _ in read_rows(run / "data" / "train.jsonl"))


def _system(name: str, kind: str, result: Row) -> Row:
    metrics = result["metrics"]
    whole = metrics["overall"]
    shared = ("consistency", "position_bias", "tie_rate", "ece", "brier")
    return {
        "name": name,
        "kind": kind,
        **_accuracy(whole),
        **{key: whole[key] for key in shared},
        "by_level": {
            level: _accuracy(metrics["by_level"][level])
            for level in LEVELS
            if level in metrics["by_level"]
        },
        "reliability": [
            {
                "low": one["low"],
                "high": one["high"],
                "n": one["n"],
                "mean_p": one["mean_forecast"],
                "accuracy": one["mean_outcome"],
            }
            for one in whole["bins"]
            if one["n"]
        ],
    }


def _accuracy(metrics: Row) -> Row:
    return {
        "n": metrics["n"],
        "n_error": metrics["n_error"] + metrics["n_missing"],
        "n_undecided": metrics["n_undecided"],
        "accuracy": metrics["accuracy"],
        "low": metrics["interval"]["low"],
        "high": metrics["interval"]["high"],
    }


def _gains(records: Mapping[str, list[Row]]) -> Iterator[Row]:
    """The trained judge against each other system, on the pairs that both judged."""
    for file, kind, name in SYSTEMS:
        if file != "trained":
            gain = compare_systems(records["trained"], records[file])
            yield {
                "system": "trained",
                "against": name,
                "against_kind": kind,
                "n": gain.n,
                "n_problems": gain.n_clusters,
                "gain": none_if_nan(gain.interval.mean),
                "low": none_if_nan(gain.interval.low),
                "high": none_if_nan(gain.interval.high),
                "p": gain.p_mcnemar,
                "p_permutation": gain.p_permutation,
                "b": gain.n_only_a,
                "c": gain.n_only_b,
            }


def _headline(gains: Sequence[Row], systems: Sequence[Row], pairs: Sequence[Preference]) -> Row:
    """The trained judge against the best of the others that judged the same pairs."""
    accuracy = {system["name"]: system["accuracy"] for system in systems}
    complete = [gain for gain in gains if gain["n"] == len(pairs)]
    best = max(complete, key=lambda gain: float(accuracy[gain["against"]]))
    return {
        "trained": "trained",
        "accuracy": accuracy["trained"],
        "against": best["against"],
        "against_accuracy": accuracy[best["against"]],
        **{key: best[key] for key in ("gain", "low", "high", "p")},
        "n_pairs": best["n"],
        "n_problems": best["n_problems"],
    }


def _short(recipe: str) -> str:
    """As it stands in the repository: the report is read on other machines."""
    return "/".join(Path(recipe).parts[-3:])


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine(manifest: Row) -> Row:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "sandbox_level": manifest["sandbox_level"],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _funnel(made: Row, settings: Row, *, n_rows: int, n_judged: int) -> list[Row]:
    samples = made["outcomes"].get("samples", {})
    n_run = sum(n for one in made["outcomes"].values() for n in one.values())
    drafts = f"of them {sum(samples.values())} drafts of the model, {samples.get('passed', 0)} pass"
    kept = ", ".join(f"{n} {split}" for split, n in made["n_kept"].items())
    steps = [
        ("problems", made["n_problems"], "each with a reference and tests"),
        ("programs run", n_run, drafts),
        (
            "programs that fail",
            made["n_failed"],
            "proven by their problem's tests",
        ),
        ("pairs", made["n_pairs"], "one passes, one fails, same problem and level"),
        ("pairs kept", sum(made["n_kept"].values()), f"lengths balanced: {kept}"),
        ("training rows", n_rows, "train split"),
        ("judged pairs", n_judged, f"{settings['split']} split"),
    ]
    return [{"name": name, "n": n, "note": note} for name, n, note in steps]


def _checks(run: Path) -> list[Row]:
    """What passed, or the run would have stopped there."""
    detail = _read(run / "leaks.json")["detail"]
    checks = [{"name": "nothing held out in train", "ok": True, "detail": detail}]
    overlap = run / "benchmarks.json"
    for name, found in _read(overlap)["benchmarks"].items() if overlap.is_file() else ():
        detail = f"{found['n_snippets']} programs, nearest {max(found['similarities']):.0f} of 100"
        checks.append({"name": f"not from {name}", "ok": True, "detail": detail})
    return checks


def _balance_checks(made: Row) -> list[Row]:
    checks = []
    for row in made["balance"]:
        # One pair of few is more than 3 points: there the balance is as near as it can be.
        is_ok = abs(row["shorter"] - 0.5) <= max(0.03, 0.5 / row["n"])
        checks.append(
            {
                "name": f"length says nothing: {row['split']}, {row['level']}",
                "ok": is_ok,
                "detail": f"'shorter' is right in {row['shorter']:.1%} of {row['n']} pairs",
            }
        )
    return checks


def _training(run: Path, recipe: str) -> Row:
    logs = read_metrics(run / "train")
    names = {
        "step": "step",
        "loss": "loss",
        "margin": "rewards/margins",
        "accuracy": "rewards/accuracies",
    }
    return {
        "recipe": _short(recipe),
        "method": method_of(load_yaml(Path(recipe))),
        "rows": _n_rows(run),
        "seconds": next((row["train_runtime"] for row in logs if "train_runtime" in row), None),
        "points": [
            {name: row.get(key) for name, key in names.items()}
            for row in logs
            if "loss" in row and "train_runtime" not in row
        ],
    }


def _bench(folder: Path) -> Row:
    systems = [
        {
            "name": next(name for key, _, name in SYSTEMS if key == file),
            "n_error": _accuracy(result["metrics"]["overall"])["n_error"],
            "by_aspect": {
                aspect: _accuracy(part) for aspect, part in result["metrics"]["by_level"].items()
            },
        }
        for file, (_, result) in _results(folder, "codeprefbench").items()
    ]
    note = "a seeded sample, both orders" if systems else "not asked for, or its data is not here"
    return {"note": note, "systems": systems}


def _items(run: Path, pairs: Sequence[Preference], records: Mapping[str, list[Row]]) -> list[Row]:
    problems = {p.id: p for p in read_records(run / "problems.jsonl", Problem)}
    judged = {
        name: {one.id: one for one in judged_pairs(records[file])} for file, _, name in SYSTEMS
    }
    return [
        {
            **_item(pair, problems[pair.problem_id]),
            "verdicts": {
                name: _verdict(known[pair.id]) for name, known in judged.items() if pair.id in known
            },
        }
        for pair in sorted(pairs, key=lambda pair: (LEVELS.index(pair.level), pair.problem_id))
    ]


def _item(pair: Preference, problem: Problem) -> Row:
    chosen, rejected = pair.evidence["chosen"], pair.evidence["rejected"]
    return {
        "id": pair.id,
        "problem_id": pair.problem_id,
        "topic": problem.topic,
        "difficulty": problem.difficulty,
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
    }


def _verdict(judged: Any) -> Row:
    """Its score, and the mean probability that the judge gave to the chosen program."""
    chosen = [
        verdict.p_a if order == "chosen_first" else 1 - verdict.p_a
        for order, verdict in judged.verdicts.items()
        if verdict.p_a is not None
    ]
    return {"score": judged.score, "p": sum(chosen) / len(chosen) if chosen else None}


def summary(report: Mapping[str, Any]) -> list[str]:
    """The result in a few lines, every number with its n."""
    lines = []
    for system in report["systems"]:
        levels = "  ".join(
            f"{level} {_percent(part['accuracy'])}" for level, part in system["by_level"].items()
        )
        lines.append(
            f"{system['name']:<36} {_percent(system['accuracy'])} "
            f"[{_percent(system['low'])}, {_percent(system['high'])}]  n={system['n']} "
            f"errors={system['n_error']} undecided={system['n_undecided']}  {levels}"
        )
    head = report["headline"]
    lines.append(
        f"gain over the best other ({head['against']}): {100 * head['gain']:+.1f} points "
        f"[{100 * head['low']:+.1f}, {100 * head['high']:+.1f}], McNemar p={head['p']:.2g}, "
        f"{head['n_pairs']} pairs of {head['n_problems']} problems"
    )
    return lines


def _percent(value: float | None) -> str:
    return "   - " if value is None else f"{100 * value:5.1f}"
