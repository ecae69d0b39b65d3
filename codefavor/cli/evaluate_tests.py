"""`codefavor evaluate test-writing`: a model by the test suites that it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import typer
from click import Choice
from typer import Option

from codefavor.cli import evaluate_models as models
from codefavor.cli.engine_options import AskingFlags
from codefavor.cli.option_groups import refuse
from codefavor.evaluation.test_writing import BENCHMARK, SuiteTask
from codefavor.scoring.suite_prompt import Framework
from codefavor.scoring.suite_quality import THRESHOLD
from codefavor.scoring.suite_target import N_MUTANTS


@dataclass(frozen=True, kw_only=True)
class SuiteFlags(models.OwnProblemFlags):
    """For which programs, and what a good suite is."""

    data: Annotated[
        Path, Option("--problems", help="A known set (humaneval+, ...) or a JSONL file.")
    ] = Path("humaneval")
    threshold: Annotated[
        float, Option(min=0, max=1, help="The score from which a suite passes.")
    ] = THRESHOLD
    mutants: Annotated[int, Option(min=1, help="Mutants a problem.")] = N_MUTANTS
    framework: Annotated[
        str, Option(click_type=Choice(("pytest", "unittest")), help="What is asked for.")
    ] = "pytest"


def test_writing(
    ctx: typer.Context,
    sampled: models.SamplingFlags,
    chosen: SuiteFlags,
    runs: models.RunFlags,
    asking: AskingFlags,
    result: models.ModelResultFlags,
) -> None:
    """Ask a model for test suites, run them on right and wrong programs, and report pass@k.

    A suite passes from --threshold on. The rows beside the result hold each suite with its
    parts and the wrong programs that it let pass.
    """
    useless = {"samples_file", "only_sampled", "prompt", "export", "accept", "cpu_s", "wall_s",
               "memory_mib"}  # fmt: skip
    refuse(useless, "is for programs; suites are asked for and run in one way")
    task = models.task_of(BENCHMARK, sampled, chosen, runs)
    suites = SuiteTask(
        **{name: getattr(task, name) for name in vars(task)},
        threshold=chosen.threshold,
        n_mutants=chosen.mutants,
        framework=cast("Framework", chosen.framework),
    )
    models.run_task(suites, sampled, runs, asking, result, accept="together")
