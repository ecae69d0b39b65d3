"""What a suite did that its text may have hidden; sent into the jail as a code object."""

from __future__ import annotations

import inspect
import os
import sys
import types
from collections.abc import Callable
from typing import Any

_CODE = frozenset(("__code__", "gi_code", "cr_code", "ag_code"))
# What reads a function's code and tells no more than its signature or its kind.
_READERS = ("_signature_from_function", "_signature_is_functionlike", "_has_code_flag")
# What shows code without a function's `__code__`: no library that a suite needs asks for it, and
# what we trace by is set while nobody watches.
_LOOKS = (
    "gc.get_objects",
    "gc.get_referrers",
    "gc.get_referents",
    "sys.settrace",
    "sys.setprofile",
)
# What libraries ask for too.
_ASKED = ("sys._getframe", "sys._current_frames", "sys._current_exceptions")
_INTERNALS = ("_testcapi", "_testinternalcapi", "_xxsubinterpreters")
_AF_UNIX = 1
_PROCESSES = ("os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "subprocess.Popen")
_DEFECTS = {"time.sleep": "sleeps", "os.kill": "ends_the_run", "os.killpg": "ends_the_run"}
_DEFECTS |= dict.fromkeys(_PROCESSES, "starts_processes")
# Where each event has its paths and the descriptors of the folders that these start in.
_CHANGES = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, -1),),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What pytest keeps in its folder by itself.
_OWN = ("pytest-of-tests", ".pytest_cache")


class Watch:
    """An audit hook, which cannot be taken away again; `seen` says by what each defect shows.

    `is_late` tells whether the run was ended: Python stops tracing when our own trace raises.
    """

    def __init__(self, is_late: Callable[[], bool]) -> None:
        self._is_late = is_late
        self.seen: dict[str, str] = {}
        self.is_on = False
        self._home = os.stat(os.curdir)
        # The jail's own folder, in which it is, is the one for temporary files.
        self._temporary = ("/tmp/", os.devnull, os.getcwd() + "/")
        found = (getattr(inspect, name, None) for name in _READERS)
        self._readers = [one.__code__ for one in found if one is not None]
        self._getframe = sys._getframe
        sys.addaudithook(self)

    def prepare_mock(self) -> None:
        """Let unittest.mock ask for no function's code but to tell whether it is asynchronous.

        A mock with a spec gets all that `dir` names, and hands it on to what a suite can replace.
        """
        from unittest import mock

        vars(mock)["dir"] = lambda spec: [name for name in dir(spec) if name not in _CODE]
        self._readers.append(mock._is_async_func.__code__)  # type: ignore[attr-defined]

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "object.__getattr__":
            self._reads(given[0], given[1])
        elif event in _LOOKS or (event == "import" and given[0] in _INTERNALS):
            if event != "sys.settrace" or not self._is_late():
                self.note("reads_source", event if event != "import" else f"import {given[0]}")
        elif event in _ASKED or event.startswith("ctypes."):
            self._calls(event)
        elif event in _DEFECTS:
            self.note(_DEFECTS[event], event)
        elif event.startswith("socket."):
            # An event loop wakes itself by a pair of sockets of the machine's own.
            is_pair = event == "socket.__new__" and given[1] == _AF_UNIX
            if not (is_pair and self._is_within("/asyncio/selector_events.py")):
                self.note("uses_network", event)
        elif event == "open":
            self._open(given)
        elif event in _CHANGES:
            for path, folder in _CHANGES[event]:
                self._change(given[path], given[folder] if folder > 0 else -1)

    def _reads(self, thing: object, name: str) -> None:
        """The code of a function of the program, or that of a frame of it where no library asks."""
        self.is_on = False  # looking at a frame is an event itself
        frame = self._getframe(2)
        reader = frame.f_code
        # Python's and pytest's files, and ours: `<suite_trace>`.
        asks = reader.co_filename
        is_library = asks.startswith(("/", "<suite_", "<frozen")) and "test_solution" not in asks
        if name in _CODE:
            # By what it is, and not by `__module__`, which a suite can set.
            is_code = getattr(getattr(thing, name), "co_filename", "") == "<solution>"
            is_read = is_code and reader not in self._readers
        else:
            # Pytest's `Frame.code` reads for whoever asks.
            is_asked = "/_pytest/_code/" in asks and _is_suite(frame.f_back)
            is_hidden = is_library and not is_asked
            is_frame = name == "f_code" and isinstance(thing, types.FrameType) and not is_hidden
            is_read = is_frame and thing.f_code.co_filename == "<solution>"  # type: ignore[attr-defined]
        if is_read:
            self.note("reads_source", f"{name} for {reader.co_name}")
        self.is_on = True

    def _calls(self, event: str) -> None:
        """The suite's own frame asks for frames, or anybody uses `ctypes` but to import it."""
        self.is_on = False
        is_ctypes = event not in _ASKED
        frame: types.FrameType | None = self._getframe(2)
        is_by_suite, is_import = _is_suite(frame), False
        while is_ctypes and frame is not None and not _is_suite(frame):
            is_import = is_import or frame.f_code.co_filename.startswith("<frozen importlib")
            frame = frame.f_back
        if not is_import if is_ctypes else is_by_suite:
            self.note("reads_source", event)
        self.is_on = True

    def note(self, what: str, how: str) -> None:
        """Keep a defect, and the first thing that showed it in few characters."""
        self.seen.setdefault(what, ascii(how)[1:-1][:60])

    def _is_within(self, file: str) -> bool:
        """Whether a library in such a file did it, for whomever."""
        frame: types.FrameType | None = self._getframe(2)
        while frame is not None and not frame.f_code.co_filename.endswith(file):
            frame = frame.f_back
        return frame is not None

    def _open(self, given: tuple[Any, ...]) -> None:
        path, _, flags = given
        if not isinstance(path, str | bytes):
            return
        if flags & _WRITES:
            self._change(path, -1)
        elif os.fsdecode(path) == "solution.py":
            self.note("reads_source", "open solution.py")

    def _change(self, path: object, folder: object) -> None:
        """A change of a file that lies outside the folders for temporary files."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.normpath(os.fsdecode(path))
        if name.startswith("/"):
            if not f"{name}/".startswith(self._temporary):
                self.note("writes_files", name)
            return
        try:
            is_dir = isinstance(folder, int) and folder >= 0
            here = os.fstat(folder) if is_dir else os.stat(os.curdir)  # type: ignore[arg-type]
        except OSError:
            return
        # Folders in it are temporary ones, or making them was seen.
        is_home = (here.st_dev, here.st_ino) == (self._home.st_dev, self._home.st_ino)
        if is_home and not name.startswith(("tmp", *_OWN)):
            self.note("writes_files", name)


def _is_suite(frame: types.FrameType | None) -> bool:
    path = frame.f_code.co_filename if frame is not None else ""
    return path == "<suite>" or path.endswith("test_solution.py")


def asks_for_processes(error: BaseException | None) -> bool:
    """Whether an exception is of `multiprocessing`, which needs what the jail does not have."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__package__") == "multiprocessing":
            return isinstance(error, OSError | ImportError)
        trace = trace.tb_next
    return False
