"""What judges that run programs need: the tests, and a sandbox with its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from codefavor.judges.options import Option
from codefavor.records import Problem
from codefavor.sandbox import Limits, SandboxPool
from codefavor.text import comma_list

Level = Literal["L3", "L2"]


@dataclass(frozen=True)
class SandboxOptions:
    """Where the tests are, and how programs run."""

    tests: Annotated[
        str,
        Option(
            "Where the tests are: known sets or JSONL files of problems, with commas; left out: "
            "the pairs' own."
        ),
    ] = ""
    sandbox_level: Annotated[
        Level, Option("Least isolation accepted: L3 or L2.", also=("--level",))
    ] = "L2"
    cpu_s: Annotated[float, Option("CPU seconds a program may use.")] = 5.0
    wall_s: Annotated[float, Option("Wall seconds a program may take.")] = 20.0
    memory_mib: Annotated[int, Option("MiB a program may map.")] = 1024
    workers: Annotated[
        int, Option("Programs at a time; 0 takes every core.", record="nothing", low=0)
    ] = 0

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets or files of `tests`."""
        return comma_list(self.tests)

    @property
    def limits(self) -> Limits:
        """The limits of one run."""
        return Limits(cpu_s=self.cpu_s, wall_s=self.wall_s, memory_bytes=self.memory_mib << 20)

    def make_pool(self) -> SandboxPool:
        """The pool, to be entered; raises SandboxError where the level cannot be had."""
        return SandboxPool(self.workers or os.cpu_count() or 1, required_level=self.sandbox_level)


@dataclass(frozen=True)
class TestBench:
    """The tests by the id of the pair, and the sandbox that runs them."""

    problems: Mapping[str, Problem]
    pool: SandboxPool
    limits: Limits
    # pytest looks for tests in classes of this name.
    __test__ = False

    def digest(self) -> list[list[str]]:
        """What the verdicts depend on: other tests are another run."""
        known = sorted(self.problems.items())
        return [[item_id, one.tests, one.entry_point] for item_id, one in known]
