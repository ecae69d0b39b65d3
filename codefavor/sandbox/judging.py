"""The tests' view of a program's objects: what may be asked of them, and what is believed.

An object of the program never equals a plain value, is asked for no truth value and takes no
operator against a plain value: its answer could be a lie made to measure. A class that the
tests themselves name (`Stack()`, in the writing of classes) is expected to answer; then the
verdict is marked weak. Plain values are compared here, by their own types.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Generator
from typing import Any

from codefavor.sandbox.codec import ATOMS
from codefavor.sandbox.mirror import ARITHMETIC, COMPARED, SPECIAL
from codefavor.sandbox.naming import NamingBridge
from codefavor.sandbox.wire import BadFrame, Channel

_LIBRARY_ITERATORS = frozenset(("builtins", "itertools"))
_ORDER = {"__lt__": operator.lt, "__le__": operator.le, "__gt__": operator.gt,
          "__ge__": operator.ge, "__eq__": operator.eq, "__ne__": operator.ne}  # fmt: skip
_TEST_PACKAGES = frozenset(("test", "tests", "testing", "_testing", "mock", "conftest"))
_PLAIN_TYPES = frozenset((
    bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range,
    slice, type(None), type(...),
))  # fmt: skip
_SINGLE_STEPS = 8
_LARGEST_BATCH = 512
_HIDDEN = ("gi_", "cr_", "ag_", "tb_", "f_", "func_")


class CandidateAssertion(AssertionError):
    """The program's own AssertionError: no test has failed by it."""


class CandidateExit(SystemExit):
    """The program called sys.exit."""


class CandidateInterrupt(KeyboardInterrupt):
    """The program raised KeyboardInterrupt."""


_REPLACED: dict[type[BaseException], type[BaseException]] = {
    AssertionError: CandidateAssertion,
    SystemExit: CandidateExit,
    KeyboardInterrupt: CandidateInterrupt,
    GeneratorExit: RuntimeError,
}


class JudgeBridge(NamingBridge):
    """Asks the program; `declared` are the class names that the tests construct."""

    def __init__(self, channel: Channel, declared: frozenset[str], tests_module: str) -> None:
        super().__init__(channel, first_number=1)
        self.declared = declared
        self.is_weak = False
        self.shares_functions = True
        self.tests_module = tests_module
        self._trusting: set[type] = set()
        self._made: set[int] = set()
        self._stdout = sys.stdout
        self.has_served = False
        self.has_named_library = False

    def note_made(self, kind: type, made: object) -> None:
        """As in Bridge: what the tests construct themselves is expected to answer operators."""
        if type(made) is kind and kind in self._trusting:
            self._made.add(self.remote_of.get(id(made), -1))

    def _is_made(self, value: object) -> bool:
        return self.remote_of.get(id(value), -2) in self._made

    # -- mirrors --------------------------------------------------------------------------

    def overrides_of(
        self, name: str, bases: tuple[type, ...], special: frozenset[str], live: str
    ) -> dict[str, Any]:
        """As in NamingBridge."""
        trusted = name in self.declared or any(base in self._trusting for base in bases)
        found: dict[str, Any] = {"_declared_": trusted}
        is_value = any(b.__module__ == "builtins" and b is not object for b in bases) or any(
            "_value_" in vars(base) for base in bases
        )
        if any(issubclass(base, BaseException) for base in bases):
            found["__str__"] = lambda this: self.texts.get(id(this), "")
            return found
        if is_value and not live:
            found["_value_"] = True
            found.update(self._value_overrides(special if trusted else frozenset(), bases))
            return found
        found.update({method: self._comparison(method) for method in special & COMPARED})
        found["__eq__"], found["__ne__"] = self._comparison("__eq__"), self._comparison("__ne__")
        found["__contains__"] = self._comparison("__contains__")
        if "__contains__" not in special and "__iter__" not in special:
            del found["__contains__"]
        found.update({method: self._arithmetic(method) for method in special & ARITHMETIC})
        found["__bool__"] = lambda this: self._truth(this)  # noqa: PLW0108
        if live:
            found["__class__"] = property(lambda this: _LIVE_CLASSES[live])
            found.update({method: self._comparison(method) for method in _ORDER})
        if "__next__" in special:
            found["__next__"] = lambda this: self._step(this)  # noqa: PLW0108
        return found

    def _value_overrides(self, special: frozenset[str], bases: tuple[type, ...]) -> dict[str, Any]:
        base = next(b for b in bases if b is not object)
        found: dict[str, Any] = {"__hash__": base.__hash__}
        for method in SPECIAL & set(dir(base)) - {"__str__", "__repr__", "__format__"}:
            found[method] = getattr(base, method)
        for method in special & ARITHMETIC:
            found[method] = self._value_arithmetic(method, found.get(method))
        return found

    def _value_arithmetic(self, method: str, plain: Any) -> Any:
        """The class's own operator for what the tests constructed, else that of the plain type."""
        ask = self._arithmetic(method)

        def apply(this: Any, *others: Any) -> Any:
            if self._is_made(this):
                return ask(this, *others)
            return NotImplemented if plain is None else plain(this, *others)

        return apply

    def learn_class(self, description: list[object]) -> None:
        """As in Bridge."""
        super().learn_class(description)
        made = self.classes[description[0]]  # type: ignore[index]
        if made.__dict__.get("_declared_"):
            self._trusting.add(made)

    def replace_error(self, kind: type[BaseException]) -> type[BaseException]:
        """As in NamingBridge."""
        return _REPLACED.get(kind, kind)

    def wrap_object(self, handle: int, value: object, kind: type) -> object:
        """As in NamingBridge."""
        if kind.__module__ == "builtins" and kind.__name__ == "generator":
            return self._generator(handle)
        if kind.__module__ == "builtins" and kind.__name__ == "coroutine":
            return self._coroutine(handle)
        return value

    def _generator(self, handle: int) -> Any:
        waiting = self._batches(handle)
        returned: object = None
        while True:
            try:
                item = next(waiting)
            except StopIteration as stop:
                return stop.value
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    self.ask("call", self.ask_handle(handle, "close"))
                    return returned
                except BaseException as error:  # noqa: BLE001  thrown in by the tests, passed on as it is
                    item = self.ask("call", self.ask_handle(handle, "throw"), (error,))
                    continue
                if sent is None:
                    break
                item = self.ask("call", self.ask_handle(handle, "send"), (sent,))

    def ask_handle(self, handle: int, name: str) -> int:
        """The handle of a bound method of the program's object."""
        method = self.ask("getattr", handle, (name,))
        return self.remote_of[id(method)]

    async def _coroutine(self, handle: int) -> Any:
        return self.ask("await", handle)

    def _batches(self, handle: int) -> Generator[object, None, object]:
        step, size = 0, 1
        while True:
            step += 1
            if step > _SINGLE_STEPS:
                size = min(size * 2, _LARGEST_BATCH)
            answer = self.ask("batch", handle, (size,))
            if type(answer) is not list or len(answer) != 3 or type(answer[0]) is not list:
                raise BadFrame("a malformed batch")
            yield from answer[0]
            if answer[1] is True:
                return answer[2]
            if len(answer[0]) < size:
                size = 1

    def _step(self, this: Any) -> object:
        return self.ask("special", self.remote_of[id(this)], ("__next__",))

    # -- comparing ------------------------------------------------------------------------

    def is_remote(self, value: object) -> bool:
        """Whether a value stands for an object of the program."""
        handle = self.remote_of.get(id(value))
        return handle is not None and self.remotes.get(handle) is value

    def _is_declared(self, value: object) -> bool:
        return bool(getattr(type(value), "_declared_", False))

    def _comparison(self, method: str) -> Any:
        def compare(this: Any, other: Any) -> Any:
            return self.compare(method, this, other)

        compare.__name__ = method
        return compare

    def compare(self, method: str, this: Any, other: Any) -> Any:
        """A comparison of a program's object with anything, by the rules of this module."""
        if method == "__ne__":
            same = self.compare("__eq__", this, other)
            return same if same is NotImplemented else not same
        if method == "__eq__" and this is other:
            self.is_weak = True
            return True
        declared = self._is_declared(this)
        if not self.is_remote(other) and (method == "__eq__" or not self._is_made(this)):
            return self._against_plain(method, this, other)
        if not self.is_remote(other) and not _is_plain(other):
            return NotImplemented
        if method not in type(this)._special_ and not isinstance(this, int | float | str | tuple):
            if method == "__contains__":
                return self._contains(this, other)
            return NotImplemented if method != "__eq__" else False
        return self._ask_comparison(method, this, other, declared)

    def _ask_comparison(self, method: str, this: Any, other: Any, declared: bool) -> Any:
        self.is_weak = True
        answer = self.ask("special", self.remote_of[id(this)], (method, other))
        if answer is NotImplemented or type(answer) is not bool:
            return NotImplemented
        if method == "__eq__" and answer and not declared:
            return self._same_state(this, other)
        return answer

    def _against_plain(self, method: str, this: Any, other: Any) -> Any:
        plain = self._plain_of(this)
        if plain is not None and not self.is_remote(plain) and _is_plain(other):
            if method == "__contains__":
                return other in plain
            return _ORDER[method](plain, other)
        if method == "__eq__":
            return False if _is_plain(other) else NotImplemented
        if method == "__contains__":
            return self._contains(this, other)
        return NotImplemented

    def _contains(self, this: Any, other: Any) -> bool:
        return any(item is other or item == other for item in iter(this))

    def _plain_of(self, this: Any) -> Any:
        if type(this.__class__) is type and this.__class__ in _LIVE_CLASSES.values():
            return self.ask("base", self.remote_of[id(this)])
        return None

    def _same_state(self, this: Any, other: Any) -> bool:
        mine = self.ask("state", self.remote_of[id(this)])
        theirs = self.ask("state", self.remote_of[id(other)])
        return bool(mine == theirs)

    def _arithmetic(self, method: str) -> Any:
        def apply(this: Any, *others: Any) -> Any:
            trusted = self._is_made(this) or all(self.is_remote(other) for other in others)
            if not trusted or not others:
                return NotImplemented
            answer = self.ask("special", self.remote_of[id(this)], (method, *others))
            if not self.is_remote(answer):
                self.is_weak = True
            return answer

        apply.__name__ = method
        return apply

    def _truth(self, this: Any) -> bool:
        special: frozenset[str] = type(this)._special_
        if not special & {"__bool__", "__len__"}:
            return True
        plain = self._plain_of(this)
        if plain is not None and not self.is_remote(plain) and not self._is_declared(this):
            return bool(plain)
        if not self._is_declared(this):
            raise TypeError("a truth value is not asked of an object of the program")
        self.is_weak = True
        if "__bool__" in special:
            return self.ask("special", self.remote_of[id(this)], ("__bool__",)) is True
        return len(this) > 0

    # -- what the program may ask of the tests' objects -----------------------------------

    def serve(self, operation: str, arguments: list[object]) -> object:
        """As in Bridge: only what was handed over, and none of its insides."""
        self.has_served = True
        handle, args, keywords = arguments
        target: Any = self.resolve(handle)
        if not isinstance(args, list) or not isinstance(keywords, dict):
            raise BadFrame("malformed arguments")
        if operation == "call":
            return target(*args, **keywords)
        if not args or type(args[0]) is not str:
            raise BadFrame("an operation without a name")
        name = args[0]
        if operation == "special" and name in SPECIAL:
            method = getattr(type(target), name)
            return method(target, *args[1:], **keywords)
        if name.startswith(("_", *_HIDDEN)) and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        if operation == "getattr":
            return getattr(target, name)
        if operation == "setattr" and type(target).__module__ == self.tests_module:
            setattr(target, name, args[1])
            return None
        raise BadFrame("an operation the tests do not serve")

    def import_module(self, name: str) -> object:
        """As in NamingBridge."""
        self.has_named_library |= name != "builtins"
        # Libraries ship classes made to deceive comparisons among their tests.
        if not _TEST_PACKAGES.isdisjoint(name.split(".")):
            raise BadFrame("not a library module")
        return super().import_module(name)

    def accepts_library(self, found: object) -> bool:
        """As in NamingBridge."""
        is_builtin = isinstance(found, type) and found.__module__ == "builtins"
        plain = is_builtin and (found in _PLAIN_TYPES or issubclass(found, BaseException))  # type: ignore[arg-type]
        self.has_named_library |= not plain
        return super().accepts_library(found)

    # -- printing -------------------------------------------------------------------------

    def is_capturing(self) -> bool:
        """As in Bridge: only if the tests collect what is printed."""
        return sys.stdout is not self._stdout

    def show(self, printed: str) -> None:
        """As in Bridge."""
        sys.stdout.write(printed)


def _is_plain(value: object) -> bool:
    kind = type(value)
    return kind in ATOMS or kind.__module__ in (
        "builtins", "collections", "datetime", "decimal", "fractions", "numpy", "uuid"
    )  # fmt: skip


_LIVE_CLASSES: dict[str, type] = {
    "list": list,
    "dict": dict,
    "set": set,
    "bytearray": bytearray,
}
