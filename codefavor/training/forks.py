"""Trainings and checks in processes that do not import Axolotl anew: forks of one that has.

Importing is most of what a rehearsal would cost. A forked launch is what `accelerate launch` does
from there on: its own parser and preparation, then Axolotl's own entry in a process of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import runpy
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from codefavor.training.launch import WATCH_VARIABLE

T = TypeVar("T")
# What is read when a process starts, or when what reads it is imported.
_ENVIRONMENT = {
    "ACCELERATE_USE_CPU": "true",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # more of them cost more than they give with models this small
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


class Forks:
    """Runs functions in fresh forks of a process that is started once and has all imported.

    `cpu_seconds` is what they took, without the imports.
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        os.environ.update(_ENVIRONMENT)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["codefavor.training.forks_preload"])

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """The function's result, or what it raises."""
        with ProcessPoolExecutor(1, mp_context=self._context) as pool:
            result, seconds = pool.submit(_measured, function, args).result()
        self.cpu_seconds += seconds
        return result

    def launch(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        **_: Any,
    ) -> int:
        """Run an `accelerate launch` command for one process, as `launch.run_group` does."""
        return self.call(_launch, list(command), folder, dict(environment), log)


def _measured(function: Callable[..., T], args: Sequence[Any]) -> tuple[T, float]:
    try:
        result = function(*args)
    finally:
        # As at the end of any process; that of a pool ends without. The sandbox ends here.
        atexit._run_exitfuncs()
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return result, sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _launch(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> int:
    from accelerate.commands import launch

    os.setsid()  # a session of its own, as every launch has
    with open(log, "ab") as handle:
        for output in (1, 2):
            os.dup2(handle.fileno(), output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # It would watch an input that this process does not have.
    os.environ.pop(WATCH_VARIABLE, None)
    own: Any = launch
    own.simple_launcher = _run_here
    try:
        own.launch_command(own.launch_command_parser().parse_args(command[2:]))
    except BaseException:  # also an exit: the log has it, and the launcher reads it there
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _run_here(args: Namespace) -> None:
    """accelerate's launcher of one process, where that process is this one."""
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    (_, _, module, *rest), environment = prepare_simple_launcher_cmd_env(args)
    os.environ.update(environment)
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
