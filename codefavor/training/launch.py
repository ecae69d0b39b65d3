"""Runs one recipe through `accelerate launch -m axolotl.cli.train`, resumable and observed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, TrainingError
from codefavor.records import Row
from codefavor.training.output_folder import empty, holds_inputs, is_foreign, is_whole
from codefavor.training.plan import (
    TrainingPlan,
    plan_training,
    training_command,
    training_environment,
)
from codefavor.training.runcard import (
    METRICS_FILE,
    curves,
    first_values,
    last_values,
    logged_seconds,
    new_card,
    of_all_launches,
    read_card,
    read_metrics,
    write_card,
)
from codefavor.training.training_health import health_warnings

# Tells our plugin in the training's process to end with the launcher (its standard input).
WATCH_VARIABLE = "CODEFAVOR_WATCH_STDIN"
_POLL_S = 0.25
_TAIL_LINES = 40
_EXCEPTION = re.compile(r"[\w.]+(?:Error|Exception|Interrupt)\b.*")
OnMetrics = Callable[[Row], None]


@dataclass(frozen=True)
class TrainingRun:
    """A finished run. `metrics` are its logs in order of step, of all launches together.

    `is_reused` when the same run was finished before and nothing was started; `seconds` is the
    time of all launches together.
    """

    recipe: Path
    output_dir: Path
    command: tuple[str, ...]
    metrics: tuple[Row, ...]
    seconds: float
    is_reused: bool
    is_resumed: bool


def launch(
    recipe: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    gpus: int | None = None,
    on_metrics: OnMetrics | None = None,
    fresh: bool = False,
    run: Callable[..., int] | None = None,
) -> TrainingRun:
    """Train a recipe to its end; the same call after a kill goes on from the last checkpoint.

    A run that was finished before under the same fingerprint is returned as it is. An output
    folder that holds another run raises ConfigError, unless `fresh`, which empties it; one that
    holds what the run reads always does, and `fresh` on one that holds files and no run of ours.
    The process group is gone when this returns or raises. Raises TrainingError with the end of the
    log when training fails. `run` starts the command in another way than `run_group`.
    """
    plan = plan_training(recipe, overrides=overrides, folder=folder, gpus=gpus)
    output_dir = plan.output_dir
    _refuse_foreign(plan, is_emptied=fresh)
    output_dir.mkdir(parents=True, exist_ok=True)
    with locked(output_dir):
        if fresh:
            empty(output_dir)
        return _launch_locked(plan, on_metrics, run or run_group)


def _refuse_foreign(plan: TrainingPlan, *, is_emptied: bool) -> None:
    """Raise ConfigError for an output folder in which somebody's own files would be lost."""
    if reason := holds_inputs(plan.config, plan.folder, [plan.recipe] if is_emptied else []):
        raise ConfigError(f"output_dir: {reason}; name a folder of its own (--set output_dir=...)")
    if is_emptied and is_foreign(plan.output_dir):
        raise ConfigError(
            f"--fresh: {plan.output_dir} holds files, and no run card or checkpoint of a run: it "
            "is not emptied; remove them yourself, or train into another one (--set output_dir=...)"
        )


def _launch_locked(
    plan: TrainingPlan,
    on_metrics: OnMetrics | None,
    run: Callable[..., int],
) -> TrainingRun:
    output_dir = plan.output_dir
    card = read_card(plan)
    command = training_command(plan)
    if card.get("status") == "finished":
        metrics = tuple(read_metrics(output_dir))
        seconds = float(card["seconds"])
        return TrainingRun(plan.recipe, output_dir, command, metrics, seconds, True, False)
    is_resumed = _prepare_output(output_dir, can_resume=_can_resume(plan.config))
    seconds = max(float(card.get("seconds", 0.0)), logged_seconds(output_dir))
    started = {"started": card["started"]} if is_resumed and "started" in card else {}
    card = {**new_card(plan, command), **started, "seconds": seconds}
    write_card(output_dir, card)
    begin = time.monotonic()
    log = output_dir / "train.log"
    code = run(
        command,
        folder=plan.folder,
        environment={**training_environment(plan), WATCH_VARIABLE: "1"},
        log=log,
        metrics_path=output_dir / METRICS_FILE,
        on_metrics=on_metrics,
    )
    seconds = float(card["seconds"]) + time.monotonic() - begin
    if code != 0:
        write_card(output_dir, {**card, "seconds": seconds})
        raise TrainingError(
            f"training ended with exit code {code}: {cause(log)}\n"
            f"the whole log is {log}; its end:\n{tail(log)}"
        )
    _check_result(plan, log)
    metrics = tuple(read_metrics(output_dir))
    finished = {"status": "finished", "seconds": round(seconds, 1), "first": first_values(metrics)}
    last = last_values(metrics)
    if is_resumed:
        last = of_all_launches(last, logged_seconds(output_dir))
    finished |= {"last": last, "signs": health_warnings(metrics)}
    finished |= {"curves": curves(metrics)}
    write_card(output_dir, {**card, **finished})
    return TrainingRun(plan.recipe, output_dir, command, metrics, seconds, False, is_resumed)


def cause(log: Path) -> str:
    """The last exception that the log of a failed training names, "" if it names none."""
    found = ""
    for line in tail(log, 400).splitlines():
        if _EXCEPTION.match(line) and "CalledProcessError" not in line:
            found = line
    return found


def tail(path: Path, n_lines: int = _TAIL_LINES) -> str:
    """The last lines of a text file, "" if there is none."""
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-n_lines:])


def run_group(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    metrics_path: Path,
    on_metrics: OnMetrics | None = None,
) -> int:
    """Run a command as its own process group, following a metrics file; returns its exit code.

    Whatever happens here, the whole group is gone when this returns or raises. The command's
    standard input is a pipe that is never written: its end tells the command that we are gone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    follow = _Follower(metrics_path, on_metrics)
    with open(log, "ab") as handle:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=handle,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                follow.emit()
                time.sleep(_POLL_S)
            follow.emit()
        finally:
            _stop_group(process)
    return process.returncode


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    """End everything that the launch started; an interrupted training gets no time to save."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


class _Follower:
    """Hands each new line of a growing metrics file to a callback, once."""

    def __init__(self, path: Path, on_metrics: OnMetrics | None) -> None:
        self.path = path
        self.on_metrics = on_metrics
        self.offset = path.stat().st_size if path.is_file() else 0

    def emit(self) -> None:
        if self.on_metrics is None or not self.path.is_file():
            return
        with open(self.path, "rb") as handle:
            handle.seek(self.offset)
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                self.offset += len(line)
                self.on_metrics(json.loads(line))


def _can_resume(config: Mapping[str, Any]) -> bool:
    """Whether Axolotl goes on from a checkpoint: it is told to, and the optimizer states are there.

    Without, the run starts anew, and so do its metrics.
    """
    return bool(config.get("auto_resume_from_checkpoints") or config.get("resume_from_checkpoint"))


def _prepare_output(output_dir: Path, *, can_resume: bool) -> bool:
    """Leave only what a launch may go on from; True if there is a checkpoint to resume."""
    for checkpoint in output_dir.glob("checkpoint-*"):
        if not is_whole(checkpoint):
            shutil.rmtree(checkpoint)
    if can_resume and any(output_dir.glob("checkpoint-*")):
        for name in ("datasets_ready.flag", "process_counter.txt"):
            for leftover in output_dir.glob(f"prepared/*/{name}"):
                leftover.unlink()
        return True
    # Without a checkpoint, the prepared data itself may be half-written.
    shutil.rmtree(output_dir / "prepared", ignore_errors=True)
    (output_dir / METRICS_FILE).unlink(missing_ok=True)
    return False


def _check_result(plan: TrainingPlan, log: Path) -> None:
    """The weights are there and can be loaded the documented way; raises TrainingError if not."""
    output_dir = plan.output_dir
    adapter = output_dir / "adapter_model.safetensors"
    if plan.config.get("adapter"):
        if not adapter.is_file():
            raise TrainingError(f"{output_dir}: training ended without {adapter.name}: {tail(log)}")
    elif not any(output_dir.glob("model*.safetensors")):
        raise TrainingError(f"{output_dir}: training ended without weights: {tail(log)}")
    if "Failed to load plugin" in log.read_text(encoding="utf-8", errors="replace"):
        raise TrainingError(f"a plugin of the recipe failed to import, see {log}:\n{tail(log)}")


@contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    with open(output_dir / ".lock", "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{output_dir}: another launch is training into it") from error
        yield
