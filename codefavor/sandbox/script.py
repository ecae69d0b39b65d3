"""A program of standard input, run on one text after another in one process, each time as if anew.

What is put back between two: the streams, the working directory, `__main__`, builtins, the
environment, handlers of signals, the limits of the interpreter and the context of `decimal`.
"""

from __future__ import annotations

import _thread
import atexit
import builtins
import contextlib
import gc
import os
import resource
import signal
import sys
import types
from typing import Any


class Script:
    """A compiled program; its names at the start are those of `module`, in which its setup ran."""

    def __init__(self, code: types.CodeType, module: types.ModuleType) -> None:
        self._code, self._module = code, module
        self._names = dict(vars(module))
        self._home = os.getcwd()
        self._interpreter = _Interpreter()

    def run(self, text: str) -> tuple[str, int, int]:
        """Run the program anew with `text` on its standard input.

        What it printed, the CPU microseconds that it took, and the most KiB that the process has
        held so far.
        """
        before = resource.getrusage(resource.RUSAGE_SELF)
        for number in (0, 1, 2):
            # `open(0)` of the last case has closed it: the next file would get its number.
            while not _is_open(number):
                os.open("/dev/null", os.O_RDWR)
        with _nameless() as given, _nameless() as out:
            given.write(text.encode())
            given.seek(0)
            kept = os.dup(1)
            os.dup2(given.fileno(), 0)
            os.dup2(out.fileno(), 1)
            sys.stdin = own_in = open(0, encoding="utf-8", newline="\n", closefd=False)  # noqa: SIM115
            sys.stdout = own_out = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            vars(sys).update(__stdin__=own_in, __stdout__=own_out)
            own_in.buffer.raw.name, own_out.buffer.raw.name = "<stdin>", "<stdout>"  # type: ignore[attr-defined]
            try:
                self._execute()
            except SystemExit as end:
                if not is_success(end):
                    raise
            finally:
                _end_script()
                self._interpreter.restore()
                os.chdir(self._home)
                sys.stdin, sys.stdout = own_in, own_out
                sys.modules["__main__"] = self._module
                # What still holds text prints it when it goes; and the next case has its memory.
                gc.collect()
                _flush(own_out)
                os.dup2(kept, 1)
                os.close(kept)
            after = resource.getrusage(resource.RUSAGE_SELF)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            out.seek(0)
            printed = out.read().decode("utf-8", "surrogateescape")
            return printed, round(1e6 * spent), after.ru_maxrss

    def _execute(self) -> None:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        vars(main).update(self._names, __name__="__main__", __builtins__=builtins)
        exec(self._code, vars(main))


def is_success(end: SystemExit) -> bool:
    """Whether a shell sees success: no code, or a number whose last byte is 0."""
    is_number = isinstance(end.code, int) and -sys.maxsize <= end.code <= sys.maxsize
    return end.code is None or (is_number and int(end.code) % 256 == 0)


def _end_script() -> None:
    """What Python does at the end of a process: wait for threads, call what is registered."""
    if "concurrent.futures.thread" in sys.modules:
        executors: Any = sys.modules["concurrent.futures.thread"]
        executors._python_exit()  # ends idle workers, which would be waited for below
        executors._shutdown = False
    if "threading" in sys.modules:
        threading = sys.modules["threading"]
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
    atexit._run_exitfuncs()
    # Files of its own: the collector may close what they write to before they do.
    for file in vars(sys.modules["__main__"]).values():
        if type(file).__module__ == "_io":
            _flush(file)
    _flush(sys.stdout or sys.__stdout__)  # a program may leave None there


def _nameless() -> Any:
    """A file of the work directory that has no name there."""
    name = os.urandom(16).hex()
    file = open(name, "x+b")  # noqa: SIM115
    os.unlink(name)
    return file


class _Interpreter:
    """What a program sets of its interpreter, and the next case must not find."""

    def __init__(self) -> None:
        self._builtins, self._environment = dict(vars(builtins)), dict(os.environ)
        self._depth, self._digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def restore(self) -> None:
        """Make it as it was when this object was made."""
        names = vars(builtins)
        names.clear()
        names.update(self._builtins)
        os.environ.clear()
        os.environ.update(self._environment)
        sys.setrecursionlimit(self._depth)
        sys.set_int_max_str_digits(self._digits)
        _thread.stack_size(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if "decimal" in sys.modules:
            decimal = sys.modules["decimal"]
            decimal.setcontext(decimal.Context())


def _flush(file: Any) -> None:
    with contextlib.suppress(ValueError):  # closed, or detached from what it wrote to
        file.flush()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
