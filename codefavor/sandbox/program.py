"""The process of the program: load it, then answer what the tests ask.

Nothing here is trusted: a program can replace all of it. What it sends is plain data.
"""

from __future__ import annotations

import io
import os
import sys
import types
from typing import Any

from codefavor.sandbox.codec import CLASSES, Node, items_of, text_of
from codefavor.sandbox.link import Link
from codefavor.sandbox.wire import BadFrame, Channel, FrameTooLarge, PeerGone

MODULE_NAME = "solution"
FILE_NAME = "<solution>"
_IDENTICAL = (types.GeneratorType, types.BuiltinFunctionType, types.MethodType)


class ProgramLink(Link):
    """Serves the tests' questions about one program."""

    def __init__(self, channel: Channel, source: dict[str, Any]) -> None:
        super().__init__(channel, first_number=2)
        self._source = source
        self.module = types.ModuleType(MODULE_NAME)
        self._exports: list[object] = []
        self._handle_of: dict[int, int] = {}
        self._callbacks: dict[object, Any] = {}
        self._number_of_callback: dict[int, object] = {}
        self._script: types.CodeType | None = None

    # -- names of what is not plain ----------------------------------------------------------

    def encode_other(self, value: object) -> Node:
        """As in Codec: a callback of the tests, a class of exceptions, or a handle."""
        if id(value) in self._number_of_callback:
            return ["c", self._number_of_callback[id(value)]]
        if isinstance(value, type) and issubclass(value, BaseException):
            return ["k", self._describe_class(value)]
        return ["h", self._export(value), _has_identity(value)]

    def decode_other(self, node: list[object]) -> object:
        """As in Codec."""
        tag, key = node
        if tag == "h" and type(key) is int:
            return self._exports[key]
        if tag == "n":
            return self._named(text_of(key))
        if tag == "m":
            return self.module
        if tag != "c":
            raise BadFrame("an unknown tag")
        if key not in self._callbacks:

            def callback(*arguments: object, **keywords: object) -> object:
                return self.ask("callback", key, arguments, keywords)

            self._callbacks[key] = callback
            self._number_of_callback[id(callback)] = key
        return self._callbacks[key]

    def is_view(self, value: Any) -> bool:
        """As in Codec: of an argument of the tests, or of an array that the program keeps."""
        numpy = sys.modules["numpy"]
        arrays = [item for item in self.shared.values() if type(item) is numpy.ndarray]
        if any(item is not value and numpy.may_share_memory(item, value) for item in arrays):
            return True
        while isinstance(value.base, numpy.ndarray):
            value = value.base
        # The variable, the array that looks into it, and the argument of getrefcount.
        return sys.getrefcount(value) > 3

    def _export(self, value: object) -> int:
        handle = self._handle_of.get(id(value))
        if handle is None:
            handle = self._handle_of[id(value)] = len(self._exports)
            self._exports.append(value)
        return handle

    def _named(self, name: str) -> object:
        try:
            return vars(self.module)[name]
        except KeyError:
            raise NameError(f"the program does not define {name!r}") from None

    def _describe_class(self, kind: type) -> Node:
        if CLASSES.get(kind.__name__) is kind or kind is FrameTooLarge:
            return kind.__name__
        bases = [b for b in kind.__bases__ if issubclass(b, BaseException)]
        described = [self._describe_class(base) for base in bases]
        return [self._export(kind), kind.__name__, described, str(kind.__module__)]

    def encode_error(self, error: BaseException) -> Node:
        """As in Link: [class, text, arguments, handle, line in the program]."""
        try:
            text = str(error)
        except BaseException:  # a program's own exception may have a broken __str__
            text = ""
        line = None
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == FILE_NAME:
                line = trace.tb_lineno
            trace = trace.tb_next
        kind = self._describe_class(type(error))
        handle = self._export(error) if type(kind) is list else None
        values = list(error.args)
        if isinstance(error, OSError) and error.filename is not None:
            values.append(error.filename)
        arguments = self.encode(values) if handle is None else None
        return [kind, text[:2000], arguments, handle, line]

    def error_of(self, node: Node) -> BaseException:
        """As in Link: what a callback of the tests raised."""
        parts = items_of(node)
        kind: Any = CLASSES.get(str(parts[0]), RuntimeError)
        values: Any = self.decode(parts[1])
        error: BaseException = kind(*values)
        return error

    # -- serving --------------------------------------------------------------------------

    def serve(
        self, operation: object, target: Node, arguments: list[Any], keywords: dict[str, Any]
    ) -> object:
        """As in Link."""
        if operation == "load":
            self._load(**self._source)
            return None
        if operation == "script":
            return self._run_script(*arguments)
        handler = _OPERATIONS.get(operation)
        if handler is None:
            raise BadFrame("an unknown operation")
        found = self.module if target is None else self.decode_other(target)  # type: ignore[arg-type]
        return handler(found, *arguments, **keywords)

    def _load(self, setup: str, code: str, is_script: bool) -> None:
        """Run the setup, then the program, in one namespace; a script is only compiled."""
        namespace = self.module.__dict__
        namespace["__builtins__"] = __builtins__
        sys.modules[MODULE_NAME] = sys.modules["__main__"] = self.module
        if setup:
            exec(compile(setup, "<setup>", "exec", dont_inherit=True), namespace)
        program = compile_program(code)
        if "linecache" in sys.modules:
            lines = code.splitlines(keepends=True)
            sys.modules["linecache"].cache[FILE_NAME] = (len(code), None, lines, FILE_NAME)
        if is_script:
            self._script = program
        else:
            exec(program, namespace)

    def _run_script(self, text: str) -> str:
        """Run the program anew with `text` on its standard input; what it printed."""
        assert self._script is not None
        for number in (0, 1, 2):
            # `open(0)` of the last case has closed it: the next file would get its number.
            while not _is_open(number):
                os.open("/dev/null", os.O_RDWR)
        with (
            open("stdin", "w+", encoding="utf-8", newline="") as given,
            open("stdout", "wb") as out,
        ):
            given.write(text)
            given.seek(0)
            kept = os.dup(1)
            os.dup2(given.fileno(), 0)
            os.dup2(out.fileno(), 1)
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115
            namespace = {"__name__": "__main__", "__builtins__": __builtins__}
            try:
                exec(self._script, namespace)
            except SystemExit as end:
                # As a shell sees it: no code or 0 is success, anything else a failure.
                if end.code not in (None, 0):
                    raise
            finally:
                sys.stdout.flush()
                os.dup2(kept, 1)
                os.close(kept)
        with open("stdout", encoding="utf-8", errors="replace", newline="") as printed:
            return printed.read()


def compile_program(code: str) -> types.CodeType:
    """The code object of a program; raises SyntaxError for everything that is no program."""
    try:
        # Python reads files that begin with a byte order mark.
        return compile(code.removeprefix("\ufeff"), FILE_NAME, "exec", dont_inherit=True)
    except ValueError as error:  # null bytes, lone surrogates
        raise SyntaxError(str(error)) from None


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _has_identity(value: object) -> bool:
    """Whether a value is equal to nothing but itself, by its type."""
    return type(value).__eq__ is object.__eq__ or isinstance(value, _IDENTICAL)


_pending: dict[int, BaseException] = {}


def _next(target: Any, n_items: int) -> object:
    """Up to n items of an iterator: [items, what it returned at its end]."""
    items: list[object] = []
    if id(target) in _pending:
        raise _pending.pop(id(target))
    for _ in range(n_items):
        try:
            items.append(next(target))
        except StopIteration as stop:
            return [items, None if items else stop.value]
        except Exception as error:  # what was yielded before it counts, and it comes next
            if not items:
                raise
            _pending[id(target)] = error
            return [items, None]
    return [items, None]


def _exit(target: Any, error: object) -> bool:
    kind = type(error) if error is not None else None
    return bool(type(target).__exit__(target, kind, error, None))


_OPERATIONS: dict[object, Any] = {
    "call": lambda target, /, *arguments, **keywords: target(*arguments, **keywords),
    "get": getattr,
    "set": setattr,
    "value": lambda target: target,
    "item": lambda target, key: target[key],
    "setitem": lambda target, key, value: target.__setitem__(key, value),
    "delitem": lambda target, key: target.__delitem__(key),
    "len": len,
    "iter": iter,
    "reversed": reversed,
    "next": _next,
    "str": lambda target: str.__str__(str(target)),
    "repr": lambda target: str.__str__(repr(target)),
    "format": lambda target, spec: str.__str__(format(target, spec)),
    "bool": bool,
    "isinstance": lambda kind, value: isinstance(value, kind),
    "enter": lambda target: type(target).__enter__(target),
    "exit": _exit,
    "alive": lambda target: None,
}


def run_program(channel_fd: int, source: dict[str, Any], reply_bytes: int) -> None:
    """Serve one program ({"setup", "code", "is_script"}) until the tests end; never returns."""
    try:
        ProgramLink(Channel(channel_fd, reply_bytes), source).serve_forever()
    except (PeerGone, BadFrame):
        pass
    finally:
        os._exit(0)
