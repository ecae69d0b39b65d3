"""CPU time of one call of a program, by the sandbox, however short the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codefavor.records import content_id
from codefavor.sandbox import Limits
from codefavor.scoring.instructions import LIMITS, Counted, loaded_text, raise_if_broken, read_count

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

# Calls are repeated until they need so long together, the least of so many times; a first call
# that needs so much more than those behind it did what they remember.
_ENOUGH_NS = 10_000_000
_TIMES = 3
_MOST_CALLS = 1 << 14
# Copying may take longer than calling.
_BUDGET_NS = 50_000_000
_REMEMBERED, _REMEMBERED_NS = 10, 200_000

# The clock of the process moves in ticks; that of the thread does not, but knows one thread alone.
_TICKS_NS = 10_000_000

# The clocks are taken before the program is there to replace them. Every call has copies of the
# arguments of its own, made while no clock counts.
_TIMER = """
def {name}_made(of_thread, of_process, deepcopy, load):
    def clock():
        return of_thread(), of_process()

    def since(start):
        thread, process = of_thread() - start[0], of_process() - start[1]
        return thread if process < thread + {ticks} else process

    def loaded():
        load[0] = since(load)

    def spent_on(arguments, n):
        inputs = [deepcopy(arguments) for _ in range(n)]
        program = globals()["{entry_point}"]
        start = clock()
        for one in inputs:
            program(*one)
        return since(start)

    def timed(*arguments):
        began = clock()
        first = spent = spent_on(arguments, 1)
        n = 1
        while spent < {enough} and n < {most} and since(began) < {budget}:
            n *= 4
            spent = spent_on(arguments, n)
        if n > 1:
            spent = min([spent] + [spent_on(arguments, n) for _ in range({times} - 1)])
        one = spent // n
        if first > {remembered_ns} and first > {remembered} * one:
            one = first
        return one + (load[0] if load[0] > {enough} else 0)

    return timed, clock, loaded


import time as {name}_time

{name}_load = []
{name}, {name}_clock, {name}_loaded = {name}_made(
    {name}_time.thread_time_ns,
    {name}_time.process_time_ns,
    __import__("copy").deepcopy,
    {name}_load,
)
{loaded}
{name}_loaded()
"""


async def call_nanoseconds(
    pool: SandboxPool,
    code: str,
    arguments: str,
    entry_point: str,
    limits: Limits = LIMITS,
    *,
    setup: str = "",
    number: int = 0,
) -> Counted:
    """The CPU time of one call, with that of loading where loading takes long.

    `arguments` is their text in brackets, as in a call. The work of library functions, of
    threads and of code made while running is in it, and what a busy machine adds. What a program
    keeps from call to call saves it nothing. The same `number` is the same measurement. Raises
    SandboxError if the sandbox fails.
    """
    name = f"_n{content_id(code, arguments, number)[:24]}"
    start = f"{name}_load[:] = {name}_clock()"
    try:
        loaded = loaded_text(name, code, start)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Counted(None, f"syntax_error: {error}")
    timer = _TIMER.format(
        name=name,
        entry_point=entry_point,
        loaded=loaded,
        enough=_ENOUGH_NS,
        most=_MOST_CALLS,
        budget=_BUDGET_NS,
        ticks=_TICKS_NS,
        times=_TIMES,
        remembered=_REMEMBERED,
        remembered_ns=_REMEMBERED_NS,
    )
    tests = f"from solution import {name}\nassert {name}{arguments} < 0\n"
    execution = await pool.run_async(timer, tests, limits, entry_point=name, setup=setup)
    raise_if_broken(execution)
    return read_count(execution)
