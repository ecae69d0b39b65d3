"""The process of the program: load it, then answer what the tests ask."""

from __future__ import annotations

import io
import os
import sys
import types
from typing import Any

from codefavor.sandbox.codec import ATOMS
from codefavor.sandbox.mirror import ARITHMETIC, COMPARED, SPECIAL
from codefavor.sandbox.naming import LIVE_BASES, NamingBridge
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone

MODULE_NAME = "solution"
FILE_NAME = "<solution>"


class Missing(NameError):
    """A name of the program that the tests need is not there."""


class ProgramBridge(NamingBridge):
    """Serves the tests' questions about one program."""

    def __init__(self, channel: Channel, code: str) -> None:
        super().__init__(channel, first_number=2)
        self.code = code
        self.module = types.ModuleType(MODULE_NAME)

    def takes_functions(self) -> bool:
        """As in NamingBridge."""
        return True

    def accepts_library(self, found: object) -> bool:
        """As in NamingBridge: the tests are trusted to name anything."""
        return found is not None

    def overrides_of(
        self, name: str, bases: tuple[type, ...], special: frozenset[str], live: str
    ) -> dict[str, Any]:
        """As in NamingBridge: objects of the tests are simply asked."""
        wanted = special & (COMPARED | ARITHMETIC | {"__bool__"})
        found: dict[str, Any] = {method: self._pass_on(method) for method in wanted}
        if any(issubclass(base, BaseException) for base in bases):
            found["__str__"] = self._text
        return found

    def _pass_on(self, method: str) -> Any:
        def forward(this: Any, *args: Any) -> Any:
            return self.ask("special", self.remote_of[id(this)], (method, *args))

        return forward

    def _text(self, this: Any) -> str:
        return self.texts.get(id(this), "")

    def start_capture(self) -> object:
        """As in Bridge."""
        before, sys.stdout = sys.stdout, io.StringIO()
        return before, sys.stdout

    def end_capture(self, started: object) -> str:
        """As in Bridge."""
        assert isinstance(started, tuple)
        before, collected = started
        if sys.stdout is collected:
            sys.stdout = before
        return str.__str__(collected.getvalue())

    def serve(self, operation: str, arguments: list[object]) -> object:
        """As in Bridge."""
        handle, args, keywords = arguments
        assert isinstance(args, list) and isinstance(keywords, dict)
        if operation == "load":
            return self._load()
        target: Any = self.module if handle == 0 else self.resolve(handle)
        handler = _OPERATIONS.get(operation)
        if handler is None:
            raise BadFrame("an unknown operation")
        return handler(target, args, keywords)

    def _load(self) -> list[list[str]]:
        """Run the program; [its global names, names it uses but nowhere defines]."""
        code, self.code = self.code, ""
        program = compile_program(code)
        namespace = self.module.__dict__
        namespace["__builtins__"] = __builtins__
        sys.modules[MODULE_NAME] = sys.modules["__main__"] = self.module
        if "linecache" in sys.modules:
            lines = code.splitlines(keepends=True)
            sys.modules["linecache"].cache[FILE_NAME] = (len(code), None, lines, FILE_NAME)
        exec(program, namespace)
        names = [name for name in namespace if type(name) is str]
        return [names, sorted(_used_names(program) - set(names))]


def compile_program(code: str) -> types.CodeType:
    """The code object of a program; raises SyntaxError for everything that is no program."""
    try:
        # Python reads files that begin with a byte order mark.
        return compile(code.removeprefix("\ufeff"), FILE_NAME, "exec", dont_inherit=True)
    except ValueError as error:  # null bytes, lone surrogates
        raise SyntaxError(str(error)) from None


def _used_names(code: types.CodeType) -> set[str]:
    found: set[str] = set()
    waiting = [code]
    while waiting:
        current = waiting.pop()
        found.update(current.co_names)
        waiting.extend(part for part in current.co_consts if isinstance(part, types.CodeType))
    return found


def _call(target: Any, args: list[Any], keywords: dict[str, Any]) -> object:
    return target(*args, **keywords)


def _getattr(target: Any, args: list[Any], _keywords: dict[str, Any]) -> object:
    return getattr(target, args[0])


def _setattr(target: Any, args: list[Any], _keywords: dict[str, Any]) -> None:
    setattr(target, args[0], args[1])


def _delattr(target: Any, args: list[Any], _keywords: dict[str, Any]) -> None:
    delattr(target, args[0])


def _special(target: Any, args: list[Any], keywords: dict[str, Any]) -> object:
    name = args[0]
    if name not in SPECIAL:
        raise BadFrame("not a special method")
    return getattr(type(target), name)(target, *args[1:], **keywords)


def _batch(target: Any, args: list[Any], _keywords: dict[str, Any]) -> object:
    """Up to n items of an iterator: [items, whether it ended]; stops early at a non-atom."""
    items: list[object] = []
    for _ in range(args[0]):
        try:
            items.append(next(target))
        except StopIteration as stop:
            return [items, True, stop.value]
        except Exception:  # a program may raise anything; what was yielded before it counts
            if not items:
                raise
            return [items, False, None]
        if type(items[-1]) not in ATOMS:
            break
    return [items, False, None]


def _base(target: Any, _args: list[Any], _keywords: dict[str, Any]) -> object:
    """The plain value of an instance of a subclass of list, dict, set or bytearray."""
    if isinstance(target, dict):
        return dict(dict.items(target))
    kind: Any
    for kind in LIVE_BASES:
        if isinstance(target, kind):
            return kind(kind.__iter__(target))
    raise TypeError("no plain value")


def _state(target: Any, _args: list[Any], _keywords: dict[str, Any]) -> object:
    state = dict(getattr(target, "__dict__", {}))
    for kind in type(target).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(target, name) and not name.startswith("__"):
                state[name] = getattr(target, name)
    plain: object = None
    for kind in LIVE_BASES:
        if isinstance(target, kind):
            plain = _base(target, [], {})
    return [f"{type(target).__module__}.{type(target).__qualname__}", state, plain]


def _copy(target: Any, _args: list[Any], _keywords: dict[str, Any]) -> object:
    import copy

    return copy.copy(target)


def _deepcopy(target: Any, _args: list[Any], _keywords: dict[str, Any]) -> object:
    import copy

    return copy.deepcopy(target)


def _await(target: Any, _args: list[Any], _keywords: dict[str, Any]) -> object:
    import asyncio

    async def wait() -> object:
        return await target

    return asyncio.run(wait())


def _names(target: Any, _args: list[Any], _keywords: dict[str, Any]) -> object:
    return [name for name in vars(target) if type(name) is str]


_OPERATIONS: dict[str, Any] = {
    "call": _call,
    "getattr": _getattr,
    "setattr": _setattr,
    "delattr": _delattr,
    "special": _special,
    "batch": _batch,
    "base": _base,
    "state": _state,
    "copy": _copy,
    "deepcopy": _deepcopy,
    "await": _await,
    "names": _names,
}


def run_program(channel_fd: int, code: str, reply_bytes: int) -> None:
    """Serve one program until the tests end; never returns."""
    bridge = ProgramBridge(Channel(channel_fd, reply_bytes), code)
    try:
        bridge.serve_forever()
    except (PeerGone, BadFrame):
        pass
    finally:
        os._exit(0)
