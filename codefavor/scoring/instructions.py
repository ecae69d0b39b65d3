"""How much a program works and holds: bytecode instructions and bytes, by the sandbox.

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

# What a program does while it loads is its work too, so it is loaded amid the measurement; but
# not the modules that it imports, whose cost is not its own. The name cannot be guessed by a
# program, so that none can answer for the counter.
_LOADED = """
def {name}_import(modules):
    for module in modules:
        try:
            __import__(module)
        except BaseException:
            pass  # the program will meet it again


{name}_import({modules!r})
{name}_code = compile({code!r}, {name}_import.__code__.co_filename, "exec", dont_inherit=True)
{start}
exec({name}_code, globals())
"""


# Whatever the program executes is counted.
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


{loaded}
"""


# Instead, the most bytes that the program held at a time while it loaded or in one call of the
# entry point, what it kept from loading among them.
_PEAK = """
import tracemalloc as {name}_trace


def {name}(_state=[0]):
    return _state[0]


def {name}_start(state, tracemalloc, kept, peak):
    names = globals()
    program = names["{entry_point}"]
    state[0] = peak

    def measured(*arguments, **keywords):
        # Calls from within are the program's own again: the outermost one is measured.
        names["{entry_point}"] = program
        tracemalloc.start()
        try:
            answer = program(*arguments, **keywords)
            state[0] = max(state[0], kept + tracemalloc.get_traced_memory()[1])
            return answer
        finally:
            tracemalloc.stop()
            names["{entry_point}"] = measured

    names["{entry_point}"] = measured


{loaded}
{name}_held = {name}_trace.get_traced_memory()
{name}_trace.stop()
{name}_start({name}.__defaults__[0], {name}_trace, *{name}_held)
"""
_START = {
    _COUNTER: "{name}_start({name}.__defaults__[0])",
    _PEAK: "{name}_trace.start()",
}
# Of two measurements of one call, as a share of the larger.
_MOST_APART = 0.01


class Counted(NamedTuple):
    """Instructions, microseconds or bytes; None with the reason where there is no count."""

    n: int | None
    reason: str = ""


async def count_instructions(
    pool: SandboxPool, code: str, tests: str, limits: Limits = LIMITS, setup: str = ""
) -> Counted:
    """The bytecode instructions that the program executes while it loads and the tests call it.

    Counts need a program that passes, and tests that are statements at module level: others run
    later than the place where the count is read. Raises SandboxError if the sandbox fails.
    """
    return await _measured(pool, code, tests, _COUNTER, limits=limits, setup=setup)


async def peak_bytes(
    pool: SandboxPool, code: str, tests: str, entry_point: str, setup: str = ""
) -> Counted:
    """The most bytes that the program held at a time: loading, or in a call of the entry point.

    What it kept from loading counts in every call, arguments and imported modules do not. As
    Python's allocator counts them (tracemalloc), the answer among them; as `count_instructions`.
    Measured twice: there is no count where these differ by more than 1 %.
    """
    first = await _measured(pool, code, tests, _PEAK, setup=setup, entry_point=entry_point)
    if first.n is None:
        return first
    again = await _measured(
        pool, code, tests, _PEAK, setup=setup, number=1, entry_point=entry_point
    )
    if again.n is None or abs(first.n - again.n) > _MOST_APART * max(first.n, again.n):
        return Counted(None, "unstable: measured twice, with different results")
    return Counted(max(first.n, again.n))


async def _measured(
    pool: SandboxPool,
    code: str,
    tests: str,
    instrument: str,
    *,
    limits: Limits = LIMITS,
    setup: str = "",
    number: int = 0,
    entry_point: str = "",
) -> Counted:
    if not are_statements(tests):
        return Counted(None, "the tests are functions or classes")
    lane = choose_lane(tests, setup=setup)
    if lane.name != "split":
        return Counted(None, f"not evidence: {lane.reason}")
    name = f"_n{content_id(code, tests, number)[:24]}"
    asked = ", ".join(sorted({*lane.program_names, name}))
    try:
        loaded = loaded_text(name, code, _START[instrument].format(name=name))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Counted(None, f"syntax_error: {error}")
    execution = await pool.run_async(
        instrument.format(name=name, entry_point=entry_point, loaded=loaded),
        f"from solution import {asked}\n{tests.rstrip()}\nassert {name}() < 0\n",
        limits,
        setup=setup,
    )
    raise_if_broken(execution)
    return read_count(execution)


def loaded_text(name: str, code: str, start: str) -> str:
    """What loads the program behind the statement `start`, its imports before that.

    Raises what `ast.parse` raises.
    """
    return _LOADED.format(name=name, modules=_imported(code), code=code, start=start)


def _imported(code: str) -> list[str]:
    """The modules that a program imports somewhere."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(one.name for one in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module] = None
            found.update(dict.fromkeys(f"{node.module}.{one.name}" for one in node.names))
    return list(found)


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


def read_count(execution: Execution) -> Counted:
    """The number of which the last assert says that it is not below 0."""
    found = re.search(r": (\d+) < 0 does not hold", execution.error)
    asserts = execution.asserts
    if found is None or not asserts or not all(asserts[:-1]):
        return Counted(None, f"{execution.outcome}: {execution.error[:200]}")
    return Counted(int(found[1]))
