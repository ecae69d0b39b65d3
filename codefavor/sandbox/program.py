"""The process of the program: load it, then answer what the tests ask.

Nothing here is trusted: a program can replace all of it. What it sends is plain data.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import operator
import os
import sys
import types
from typing import Any, NoReturn

from codefavor.sandbox.codec import CLASSES, Node, items_of, text_of
from codefavor.sandbox.link import Link
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported

MODULE_NAME = "solution"
FILE_NAME = "<solution>"


class Callback:
    """A function of the tests: it can be called, and nothing else is known of it here."""

    def __init__(self, link: ProgramLink, number: int, is_function: bool) -> None:
        object.__setattr__(self, "_known", (link, number, is_function))

    def __call__(self, /, *arguments: object, **keywords: object) -> object:
        link, number, _ = object.__getattribute__(self, "_known")
        return link.ask("callback", number, arguments, keywords)

    def __getattribute__(self, name: str) -> object:
        link, _, is_function = object.__getattribute__(self, "_known")
        if name == "__class__" and is_function:
            return types.FunctionType
        return link.refuse(f"what {name} of a function of the tests is")

    def __setattr__(self, name: str, value: object) -> None:
        self.__getattribute__(name)

    def __eq__(self, other: object) -> bool:
        link, _, is_function = object.__getattribute__(self, "_known")
        if self is other or is_function or not isinstance(other, Callback):
            return self is other
        return bool(link.refuse("a comparison of methods"))

    def __hash__(self) -> int:
        link, number, is_function = object.__getattribute__(self, "_known")
        return hash(number) if is_function else int(link.refuse("the hash of a method"))

    def __repr__(self) -> str:
        return str(self.__getattribute__("__repr__"))


_FUNCTION = type("function", (Callback,), {})
_BUILTIN = type("builtin_function_or_method", (Callback,), {})


class ProgramLink(Link):
    """Serves the tests' questions about one program."""

    def __init__(self, channel: Channel, source: dict[str, Any]) -> None:
        super().__init__(channel, first_number=2)
        self._source = source
        self.module = types.ModuleType(MODULE_NAME)
        self._exports: list[object] = []
        self._handle_of: dict[int, int] = {}
        self._callbacks: dict[object, Callback] = {}
        self._script: types.CodeType | None = None
        self._loaded: dict[str, Any] = {}

    def refuse(self, what: str) -> NoReturn:
        """As in Codec; a program cannot go on from here, whatever it catches."""
        self.channel.send(["u", what])
        os._exit(0)

    def ask(self, operation: str, target: Node, arguments: Any = (), keywords: Any = None) -> Any:
        """As in Link; called within a callback, so that the program's own code is above."""
        try:
            return super().ask(operation, target, arguments, keywords)
        except Unsupported as error:
            self.refuse(str(error))

    # -- names of what is not plain ----------------------------------------------------------

    def encode_other(self, value: object) -> Node:
        """As in Codec: a callback of the tests, a class of exceptions, or a handle."""
        if isinstance(value, Callback):
            return ["c", object.__getattribute__(value, "_known")[1]]
        if isinstance(value, type) and issubclass(value, BaseException):
            return ["k", self._describe_class(value)]
        return ["h", self._export(value), _has_identity(value)]

    def decode_other(self, node: list[Any]) -> object:
        """As in Codec."""
        tag, key = node[:2]
        if tag == "h":
            return self._exports[key]
        if tag in ("n", "r"):
            return self._named(text_of(key), vars(self.module) if tag == "n" else self._loaded)
        if tag == "m":
            return self.module
        if tag != "c":
            raise BadFrame("an unknown tag")
        kind = _FUNCTION if node[2] else _BUILTIN
        return self._callbacks.setdefault(key, kind(self, key, node[2]))

    def _export(self, value: object) -> int:
        handle = self._handle_of.get(id(value))
        if handle is None:
            handle = self._handle_of[id(value)] = len(self._exports)
            self._exports.append(value)
        return handle

    def _named(self, name: str, scope: dict[str, Any]) -> object:
        try:
            return scope[name]
        except KeyError:
            raise NameError(f"the program does not define {name!r}") from None

    def _describe_class(self, kind: type) -> Node:
        if CLASSES.get(kind.__name__) is kind:
            return kind.__name__
        bases = [b for b in kind.__bases__ if issubclass(b, BaseException)]
        described = [self._describe_class(base) for base in bases]
        return [self._export(kind), kind.__name__, described, str(kind.__module__)]

    def encode_error(self, error: BaseException) -> Node:
        """As in Link: [class, text, line in the program]."""
        try:
            text: str | None = str.__str__(str(error))
            if type(error).__format__ is not object.__format__:
                text = None  # two texts, and only one crosses
        except BaseException:  # a program's own exception may have a broken __str__
            text = None
        line = None
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == FILE_NAME:
                line = trace.tb_lineno
            trace = trace.tb_next
        if type(error).__module__ == "codefavor.sandbox.wire":
            return ["FrameTooLarge", text, line]
        return [self._describe_class(type(error)), text, line]

    def error_of(self, node: Node) -> BaseException:
        """As in Link: what a callback of the tests raised."""
        name, values = items_of(node)
        error: BaseException = CLASSES[name](*self.decode(values))
        return error

    # -- serving --------------------------------------------------------------------------

    def serve(self, operation: object, target: Node, arguments: list[Any], keywords: Any) -> object:
        """As in Link."""
        if operation == "load":
            self._load(**self._source)
            return None
        if operation == "script":
            return self._run_script(*arguments)
        found = self.module if target is None else self.decode_other(target)  # type: ignore[arg-type]
        return _OPERATIONS[operation](found, *arguments, **keywords)

    def _load(self, setup: str, code: str, is_script: bool) -> None:
        """Run the setup, then the program, in one namespace; a script is only compiled."""
        namespace = self.module.__dict__
        namespace["__builtins__"] = __builtins__
        builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
        sys.modules[MODULE_NAME] = sys.modules["__main__"] = self.module
        if setup:
            exec(compile(setup, "<setup>", "exec", dont_inherit=True), namespace)
        program = compile_program(code)
        if is_script:
            self._script = program
        else:
            exec(program, namespace)
        self._loaded = dict(namespace)

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
            sys.stdin = own_in = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stdout = own_out = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            own_in.buffer.raw.name, own_out.buffer.raw.name = "<stdin>", "<stdout>"  # type: ignore[attr-defined]
            try:
                self._exec_script()
            except SystemExit as end:
                # As a shell sees it: no code or 0 is success, anything else a failure.
                if end.code is not None and (type(end.code) is not int or end.code != 0):
                    raise
            finally:
                _end_script()
                sys.stdin, sys.stdout = own_in, own_out
                sys.modules["__main__"] = self.module
                # What still holds text prints it when it goes; and the next case has its memory.
                gc.collect()
                if not own_out.closed:
                    own_out.flush()
                os.dup2(kept, 1)
                os.close(kept)
        with open("stdout", encoding="utf-8", errors="replace", newline="") as printed:
            return printed.read()

    def _exec_script(self) -> None:
        assert self._script is not None
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        vars(main).update(self._loaded, __name__="__main__")
        exec(self._script, vars(main))


def compile_program(code: str) -> types.CodeType:
    """The code object of a program; raises SyntaxError for everything that is no program."""
    try:
        # Python reads files that begin with a byte order mark.
        return compile(code.removeprefix("\ufeff"), FILE_NAME, "exec", dont_inherit=True)
    except ValueError as error:  # null bytes, lone surrogates
        raise SyntaxError(str(error)) from None


def _end_script() -> None:
    """What Python does at the end of a process: wait for threads, call what is registered."""
    if "threading" in sys.modules:
        threading = sys.modules["threading"]
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
    atexit._run_exitfuncs()
    # Files of its own: the collector may close what they write to before they do.
    for file in vars(sys.modules["__main__"]).values():
        if type(file).__module__ == "_io" and not file.closed:
            file.flush()
    if not sys.stdout.closed:
        sys.stdout.flush()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _has_identity(value: object) -> bool:
    """Whether a value is equal to nothing but itself, by its type."""
    return type(value).__eq__ is object.__eq__


def _next(target: Any) -> tuple[bool, object]:
    """(whether there is another item, the item or what the iterator returned at its end)."""
    try:
        return True, next(target)
    except StopIteration as stop:
        return False, stop.value


_OPERATIONS: dict[object, Any] = {
    "call": lambda target, /, *arguments, **keywords: target(*arguments, **keywords),
    "value": lambda target: target,
    "next": _next,
    "str": lambda target: str.__str__(str(target)),
    "repr": lambda target: str.__str__(repr(target)),
    "format": lambda target, spec: str.__str__(format(target, spec)),
    "isinstance": lambda kind, value: isinstance(value, kind),
    "alive": lambda target: None,
    **{f.__name__: f for f in (getattr, setattr, delattr, len, iter, reversed, bool,
                               operator.getitem, operator.setitem, operator.delitem)},
}  # fmt: skip


def run_program(channel_fd: int, source: dict[str, Any], reply_bytes: int) -> None:
    """Serve one program ({"setup", "code", "is_script"}) until the tests end; never returns."""
    link = ProgramLink(Channel(channel_fd, reply_bytes), source)
    try:
        link.serve_forever()
    except Unsupported as error:
        link.refuse(str(error))
    except (PeerGone, BadFrame):
        pass
    finally:
        os._exit(0)
