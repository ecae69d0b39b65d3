"""What a run leaves to read: its card (`run.json`) and its logged metrics (`metrics.jsonl`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from codefavor.errors import ConfigError
from codefavor.journal_manifest import noted_together
from codefavor.records import Row, write_text
from codefavor.training.machine import describe_hardware, installed_versions
from codefavor.training.plan import TrainingPlan
from codefavor.training.recipes import config_digest, load_yaml

RUN_CARD = "run.json"
METRICS_FILE = "metrics.jsonl"
# Where `train --data` writes the rows that it makes of them.
DATA_FOLDER = Path("outputs/data")
# What a card shows of the course of a run; every other metric is in METRICS_FILE.
CURVES = (
    "loss",
    "eval_loss",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "accuracy",
    "margin",
    "reward",
    "learning_rate",
)
_MAX_POINTS = 200


def new_card(plan: TrainingPlan, command: Sequence[str]) -> Row:
    """The run card before the run: what is trained on what, by which command and versions."""
    return {
        "status": "running",
        "fingerprint": plan.fingerprint,
        "recipe": str(plan.recipe),
        "recipe_digest": config_digest(load_yaml(plan.recipe)),
        "config": plan.config,
        "data": dict(plan.data),
        "together": {path: n for path in plan.data if (n := noted_together(Path(path)))},
        "command": list(command),
        "gpus": plan.gpus,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": installed_versions(),
        "hardware": describe_hardware(plan.gpus),
    }


def read_card(plan: TrainingPlan) -> Row:
    """The card of an earlier launch of this same run, {} if the folder holds none."""
    path = plan.output_dir / RUN_CARD
    if not path.is_file():
        if any(plan.output_dir.glob("checkpoint-*")):
            raise ConfigError(
                f"{plan.output_dir}: holds checkpoints of a run that has no {RUN_CARD}; empty the "
                "folder (--fresh) or train into another one (--set output_dir=...)"
            )
        return {}
    card: Row = json.loads(path.read_text(encoding="utf-8"))
    if card.get("fingerprint") == plan.fingerprint:
        return card
    old = card.get("config", {})
    keys = sorted(key for key in {*old, *plan.config} if old.get(key) != plan.config.get(key))
    raise ConfigError(
        f"{plan.output_dir}: holds another run; different: {', '.join(keys) or 'data or model'}. "
        "Empty the folder (--fresh) or train into another one (--set output_dir=...)"
    )


def load_card(run: Path) -> Row:
    """The card of a run's folder; raises ConfigError if it holds none."""
    path = run / RUN_CARD
    if not path.is_file():
        raise ConfigError(f"{run}: no {RUN_CARD}; expected the output folder of `codefavor train`")
    card: Row = json.loads(path.read_text(encoding="utf-8"))
    return card


def write_card(output_dir: Path, card: Row) -> None:
    write_text(output_dir / RUN_CARD, [json.dumps(card, indent=1, ensure_ascii=False) + "\n"])


def read_metrics(output_dir: Path) -> list[Row]:
    """The logs of a run in order of step; of a step logged twice (after a resume), the last."""
    by_step: dict[tuple[int, bool], Row] = {}
    for row in iter_metrics(output_dir / METRICS_FILE):
        if "event" not in row:
            # The summary at the end ("train_runtime", ...) shares its step with the last log.
            by_step[(int(row["step"]), "train_runtime" in row)] = row
    return [by_step[key] for key in sorted(by_step)]


def iter_metrics(path: Path) -> Iterator[Row]:
    """Every whole line of a metrics file; a last line that is still being written is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def logged_seconds(output_dir: Path) -> float:
    """The seconds between first and last log of every launch so far; a killed one noted no more."""
    total, last = 0.0, None
    for row in iter_metrics(output_dir / METRICS_FILE):
        if last is not None and row.get("event") != "begin":
            total += row["time"] - last
        last = row["time"]
    return total


def first_values(metrics: Sequence[Row]) -> Row:
    """The first logged value of every metric."""
    values: Row = {}
    for row in metrics:
        values = {**row, **values}
    return values


def last_values(metrics: Sequence[Row]) -> Row:
    """The last logged value of every metric."""
    values: Row = {}
    for row in metrics:
        values.update(row)
    return values


def of_all_launches(last: Row, seconds: float) -> Row:
    """The last values of a run, with its time and speeds over the seconds of all its launches.

    The trainer divides all steps by the time of the last launch.
    """
    own = last.get("train_runtime")
    if not own or not seconds:
        return last
    speeds = ("train_samples_per_second", "train_steps_per_second")
    slower = {name: last[name] * own / seconds for name in speeds if last.get(name) is not None}
    return {**last, **slower, "train_runtime": seconds}


def curves(metrics: Sequence[Row]) -> dict[str, list[list[float]]]:
    """[step, value] of the metrics in CURVES, at most 200 evenly spaced points of each."""
    found = {}
    for name in CURVES:
        points = [[float(row["step"]), row[name]] for row in metrics if row.get(name) is not None]
        if points:
            stride = -(-len(points) // _MAX_POINTS)
            thinned = points[::stride]
            found[name] = thinned if thinned[-1] == points[-1] else [*thinned, points[-1]]
    return found
