"""`codefavor demo`: from problems to a trained, measured judge and a report, in one command."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from codefavor.cli.demo_data import DataSettings, prepare_data
from codefavor.cli.demo_judge import JudgeSettings, train_and_judge
from codefavor.cli.demo_report import build_report
from codefavor.cli.demo_workspace import Workspace
from codefavor.cli.engine_options import data_folder
from codefavor.errors import ConfigError
from codefavor.records import write_text
from codefavor.reports.report import render_demo_report
from codefavor.training.recipes import find_recipes

SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # At most 20 minutes on 2 cores.
    "full": ({}, {}),
    # The same walk in a few minutes, for tests and for trying out a change; its numbers mean
    # nothing.
    "smoke": (
        {"n_problems": 16, "candidates": 3, "drafts": 1, "drafted": 2, "draft_tokens": 48},
        {"max_rows": 8, "prompted": 2, "bench_tasks": 1, "overrides": (("save_steps", 1),)},
    ),
}


def command(
    out: Annotated[Path, typer.Option(help="Folder of this run; the same one resumes it.")] = Path(
        "outputs/demo"
    ),
    size: Annotated[str, typer.Option(help="full (20 minutes on 2 cores) or smoke.")] = "full",
    recipe: Annotated[
        Path | None, typer.Option(help="Training recipe; smollm2-135m/simpo.yaml by default.")
    ] = None,
    problems: Annotated[
        str, typer.Option(help="starter, another known set, or a JSONL of problems.")
    ] = "starter",
    seed: Annotated[int, typer.Option(help="Draws programs, drafts and pairs.")] = 0,
    train_seed: Annotated[
        int | None, typer.Option(help="Draws training rows, order and start; --seed by default.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Judge on test, or on dev while you choose settings.")
    ] = "test",
    bench_tasks: Annotated[
        int | None, typer.Option(help="CodePrefBench tasks an aspect; 0 for none.")
    ] = None,
    sandbox_level: Annotated[
        str, typer.Option(help="Least isolation for running programs, see `codefavor sandbox`.")
    ] = "L2",
    fresh: Annotated[bool, typer.Option(help="Empty the folder first.")] = False,
) -> None:
    """Make pairs, train a judge, measure it, write a report. Run again to resume."""
    if size not in SIZES:
        raise ConfigError(f"unknown size {size!r}; known: {', '.join(SIZES)}")
    if split not in ("test", "dev"):
        raise ConfigError(f"cannot judge on {split!r}; choose test or dev")
    data_changes, judge_changes = SIZES[size]
    data = DataSettings(
        problems=problems,
        seed=seed,
        workers=os.cpu_count() or 1,
        sandbox_level=sandbox_level,
        **data_changes,
    )
    if bench_tasks is not None:
        judge_changes = {**judge_changes, "bench_tasks": bench_tasks}
    chosen = recipe or find_recipes() / "smollm2-135m" / "simpo.yaml"
    if not chosen.is_file():
        raise ConfigError(f"{chosen}: no such recipe; `codefavor recipes list` shows them")
    judge = JudgeSettings(
        recipe=chosen,
        split=split,
        seed=seed,
        train_seed=seed if train_seed is None else train_seed,
        **judge_changes,
    )
    if fresh and out.exists():
        shutil.rmtree(out)
    _bind_settings(out, data, judge)
    workspace = Workspace(out)
    folder = data_folder()
    prepare_data(workspace, data, folder)
    note = train_and_judge(workspace, judge, [folder] if folder else [])
    _write_report(workspace, judge, note)


def _bind_settings(out: Path, data: DataSettings, judge: JudgeSettings) -> None:
    """Refuse to continue a run under other settings than it was begun with."""
    settings: dict[str, Any] = json.loads(
        json.dumps(
            {**dataclasses.asdict(data), **dataclasses.asdict(judge)}, default=str, sort_keys=True
        )
    )
    # Where it runs and how it is judged may change: what was made stays true.
    for free in ("workers", "split", "bench_tasks", "prompted"):
        settings.pop(free)
    path = out / "settings.json"
    if path.is_file():
        begun: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in sorted(settings.keys() | begun.keys()):
            if settings.get(key) != begun.get(key):
                raise ConfigError(
                    f"{out} was begun with {key}={begun.get(key)!r}, now it is "
                    f"{settings.get(key)!r}; use another --out, or --fresh to empty the folder"
                )
    else:
        write_text(path, [json.dumps(settings, indent=1)])


def _write_report(workspace: Workspace, judge: JudgeSettings, note: str | None) -> None:
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    report = build_report(workspace, judge, created, note)
    write_text(workspace.path("report.json"), [json.dumps(report, indent=1)])
    path = workspace.path("report.html")
    write_text(path, [render_demo_report(report)])
    for line in summary(report):
        typer.echo(line)
    typer.echo(str(path.resolve()))


def summary(report: dict[str, Any]) -> list[str]:
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
    bench = report["codeprefbench"]
    if bench and not bench["systems"]:
        lines.append(f"CodePrefBench: {bench['note']}")
    return lines


def _percent(value: float | None) -> str:
    return "   - " if value is None else f"{100 * value:5.1f}"
