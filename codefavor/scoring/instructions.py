"""How much work a program does: executed bytecode instructions, counted inside the sandbox.

Unlike seconds, the count does not depend on the machine's load. It leaves out what library
functions written in C do inside, so `x in a_list` counts as one instruction, however long the
list; the count of a pair says something where both sides do their work in Python.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from codefavor.errors import SandboxError
from codefavor.records import Execution, content_id
from codefavor.sandbox import Limits, choose_lane

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

METHOD = "bytecode"
# Counting takes a hundred times as long as running.
LIMITS = Limits(cpu_s=8.0, wall_s=40.0)

# Appended to the program: whatever its functions execute from then on is counted. The name
# cannot be guessed by a program, so that none can answer for the counter.
_COUNTER = """

def {name}(_state=[0]):
    return _state[0]


def {name}_start(state):
    import sys
    import threading

    file_name = {name}_start.__code__.co_filename

    def is_ours(code):
        return code.co_filename == file_name and code.co_name != "{name}"

    if hasattr(sys, "monitoring"):
        # From Python 3.12 on, tracing misses the instructions of a function's first call.
        monitoring = sys.monitoring

        def count(code, offset):
            if not is_ours(code):
                return monitoring.DISABLE
            state[0] += 1

        monitoring.use_tool_id(monitoring.PROFILER_ID, "count")
        event = monitoring.events.INSTRUCTION
        monitoring.register_callback(monitoring.PROFILER_ID, event, count)
        monitoring.set_events(monitoring.PROFILER_ID, event)
        return

    def local(frame, event, argument):
        if event == "opcode":
            state[0] += 1
        return local

    def start(frame, event, argument):
        if not is_ours(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return local

    threading.settrace(start)
    sys.settrace(start)


{name}_start({name}.__defaults__[0])
"""


class Counted(NamedTuple):
    """Executed instructions; None with the reason where they could not be counted."""

    n: int | None
    reason: str = ""


async def count_instructions(
    pool: SandboxPool, code: str, tests: str, limits: Limits = LIMITS
) -> Counted:
    """The bytecode instructions that the tests make the program execute.

    Counts need a program that passes, and tests that are statements at module level: others run
    later than the place where the count is read. Raises SandboxError if the sandbox fails.
    """
    if not are_statements(tests):
        return Counted(None, "the tests are functions or classes")
    lane = choose_lane(tests)
    if lane.name != "split":
        return Counted(None, f"not evidence: {lane.reason}")
    name = f"_n{content_id(code, tests)[:24]}"
    asked = ", ".join(sorted({*lane.program_names, name}))
    execution = await pool.run_async(
        code.rstrip("\n") + _COUNTER.format(name=name),
        f"from solution import {asked}\n{tests.rstrip()}\nassert {name}() < 0\n",
        limits,
    )
    raise_if_broken(execution)
    return _read(execution)


def raise_if_broken(execution: Execution) -> None:
    """Raise SandboxError for a run that says nothing about the program."""
    if execution.outcome == "infra_error":
        raise SandboxError(execution.error)


def are_statements(tests: str) -> bool:
    """Whether everything in the tests has run once the module has."""
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError):
        return False
    return not any(
        isinstance(node, ast.ClassDef)
        or (isinstance(node, ast.FunctionDef) and node.name.startswith("test"))
        for node in tree.body
    )


def _read(execution: Execution) -> Counted:
    found = re.search(r": (\d+) < 0 does not hold", execution.error)
    asserts = execution.asserts
    if found is None or not asserts or not all(asserts[:-1]):
        return Counted(None, f"{execution.outcome}: {execution.error[:200]}")
    return Counted(int(found[1]))
