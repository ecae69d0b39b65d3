"""The tests' end of a conversation: handles for what stays in the program's process.

Plain data crosses; an object of the program is a Handle, which passes on what the tests do with
it (call, attribute, item, iterate, length, text, truth) with plain data, and refuses everything
whose answer a lying object could choose to fit: comparison, arithmetic, membership, hashing.
Functions of the tests can be handed over to be called back with plain data. Nothing else crosses.
"""

from __future__ import annotations

import sys
import types
from typing import Any, NoReturn, TypeVar

from codefavor.sandbox.codec import CLASSES, Node, items_of, text_of
from codefavor.sandbox.link import Link
from codefavor.sandbox.values import has_known_factory
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported

V = TypeVar("V")
_SINGLE_STEPS, _LARGEST_BATCH = 1024, 512
# What these mean to the code around a call is not the program's to say.
_SIGNALS = ("StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt",
            "BaseExceptionGroup", "ExceptionGroup", "FrameTooLarge")  # fmt: skip
# Exceptions of these are themselves on both sides: the tests' own class of the same name.
_SHARED_MODULES = ("decimal", "json", "numpy", "re", "sre_constants", "statistics")
# The exceptions of a program carry what is known of them under this name.
FACTS = "__codefavor__"
_PLAIN_METHODS = frozenset(
    name for kind in (str, bytes, int, float, complex, list, tuple, set, dict) for name in dir(kind)
) - frozenset((
    "append", "pop", "get", "keys", "values", "items", "update", "add", "remove", "insert", "clear",
    "copy", "extend", "discard", "sort", "reverse", "popitem", "setdefault",
))  # fmt: skip
_DESCRIPTIVE = ("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__")


class ProgramSignal(BaseException):
    """An exception of the program that means something to the code around a call.

    Nothing that the tests wait for: `raises(Exception)` does not match it.
    """


class Handle:
    """One object of the program, or a global name of its."""

    __slots__ = ("_ahead", "_identical", "_link", "_node", "_steps")

    def __init__(self, link: JudgeLink, node: list[object], identical: bool) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_node", node)
        object.__setattr__(self, "_identical", identical)
        object.__setattr__(self, "_ahead", [])
        object.__setattr__(self, "_steps", 0)

    def __call__(self, /, *arguments: object, **keywords: object) -> Any:
        return self._link.ask("call", self._node, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        if name in _DESCRIPTIVE:
            # Only libraries ask for these, and do without.
            raise AttributeError(name)
        if name.startswith("__"):
            self._link.refuse(f"the attribute {name} of an object of the program")
        found = self._link.ask("get", self._node, (name,))
        if name in _PLAIN_METHODS and type(found) is Handle:
            # Asked of a text or a set, it would be the interpreter's; asked of an object that
            # stands in its place, it is told what is expected and may say yes.
            self._link.refuse(f"the method {name} of an object of the program")
        return found

    def __setattr__(self, name: str, value: object) -> None:
        self._link.ask("set", self._node, (name, value))

    def __getitem__(self, key: object) -> Any:
        return self._link.ask("item", self._node, (key,))

    def __setitem__(self, key: object, value: object) -> None:
        self._link.ask("setitem", self._node, (key, value))

    def __delitem__(self, key: object) -> None:
        self._link.ask("delitem", self._node, (key,))

    def __len__(self) -> int:
        return self._exact("len", int)

    def __bool__(self) -> bool:
        return self._exact("bool", bool)

    def __str__(self) -> str:
        return self._exact("str", str)

    def __repr__(self) -> str:
        return self._exact("repr", str)

    def __format__(self, spec: str) -> str:
        return self._exact("format", str, spec)

    def _exact(self, operation: str, kind: type[V], *arguments: object) -> V:
        answer = self._link.ask(operation, self._node, arguments)
        if type(answer) is not kind:
            raise BadFrame(f"{operation} gave {type(answer).__name__}")
        return answer

    def __iter__(self) -> Any:
        return self._link.ask("iter", self._node)

    def __reversed__(self) -> Any:
        return self._link.ask("reversed", self._node)

    def __next__(self) -> Any:
        if not self._ahead:
            object.__setattr__(self, "_steps", self._steps + 1)
            # One by one at first, as the tests may look at what happens between two steps.
            size = 1 if self._steps <= _SINGLE_STEPS else _LARGEST_BATCH
            answer = self._link.ask("next", self._node, (size,))
            if type(answer) is not list or len(answer) != 2 or type(answer[0]) is not list:
                raise BadFrame("a malformed batch")
            self._ahead.extend(reversed(answer[0]))
            if not answer[0]:
                raise StopIteration(*([] if answer[1] is None else [answer[1]]))
        return self._ahead.pop()

    def __enter__(self) -> Any:
        return self._link.ask("enter", self._node)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, (Unsupported, PeerGone, BadFrame)):
            return False
        return bool(self._link.ask("exit", self._node, (error,)) is True)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self._identical and (type(other) is not Handle or other._identical):
            return False
        return bool(self._link.refuse("a comparison with an object of the program"))

    def __hash__(self) -> int:
        if self._identical:
            return id(self)
        return int(self._link.refuse("the hash of an object of the program"))


def _refusing(name: str) -> Any:
    def refuse(self: Handle, *_: object) -> None:
        self._link.refuse(f"{name} of an object of the program")

    refuse.__name__ = name
    return refuse


_REFUSED = """
lt le gt ge contains add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or
radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand rxor ror iadd
isub imul imatmul itruediv ifloordiv imod ipow ilshift irshift iand ixor ior neg pos abs invert
int float complex index round trunc floor ceil bytes missing copy deepcopy reduce reduce_ex await
aiter anext aenter aexit fspath dir instancecheck subclasscheck array
"""
for _name in _REFUSED.split():
    setattr(Handle, f"__{_name}__", _refusing(f"__{_name}__"))


class JudgeLink(Link):
    """Asks the program. `has_handles` tells whether anything but plain data ever crossed."""

    fatal = (PeerGone, BadFrame, Unsupported)

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, first_number=1)
        self.n_asked = 0
        self.has_handles = False
        self.unsupported = ""
        self.is_gone = False
        self.broken = ""
        self.exception_classes: dict[int, type[BaseException]] = {}
        self._handles: dict[object, Handle] = {}
        self._callbacks: list[Any] = []

    def encode(self, value: object, *, share: bool = False) -> Node:
        """As in Codec; a default_factory of the tests that is no plain type does not cross."""
        if type(value).__name__ == "defaultdict" and not has_known_factory(value):
            self.refuse("handing over a defaultdict with a factory of its own")
        return super().encode(value, share=share)

    def refuse(self, what: str) -> NoReturn:
        """End the run: these tests need the other lane."""
        self.unsupported = self.unsupported or what
        raise Unsupported(what)

    def named(self, name: str) -> Handle:
        """The handle of a global name of the program; nothing is asked yet."""
        if name not in self._handles:
            self._handles[name] = Handle(self, ["n", name], True)
        return self._handles[name]

    def ask(self, operation: str, target: Node, arguments: Any = (), keywords: Any = None) -> Any:
        """As in Link; a program that is gone answers every question with PeerGone."""
        if self.is_gone:
            raise PeerGone("the program is gone")
        self.n_asked += 1
        try:
            return super().ask(operation, target, arguments, keywords)
        except (PeerGone, BadFrame) as error:
            # Whatever the tests catch of it: what a broken conversation says is no answer.
            self.is_gone = True
            self.broken = str(error) if isinstance(error, BadFrame) else ""
            raise

    def encode_other(self, value: object) -> Node:
        """As in Codec: an object of the program, or a function of the tests to be called back."""
        if type(value) is Handle:
            return value._node[:2]
        facts = getattr(value, FACTS, None) if isinstance(value, BaseException) else None
        if type(facts) is tuple and facts[0] is not None:
            return ["h", facts[0]]
        if isinstance(value, type) and value in self.exception_classes.values():
            number = next(n for n, kind in self.exception_classes.items() if kind is value)
            return ["h", number]
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType):
            self.has_handles = True
            known = next((n for n, one in enumerate(self._callbacks) if one is value), None)
            if known is None:
                known = len(self._callbacks)
                self._callbacks.append(value)
            return ["c", known]
        return self.refuse(f"handing over an object of type {type(value).__name__}")

    def decode_other(self, node: list[object]) -> object:
        """As in Codec."""
        if node[0] == "k" and len(node) == 2:
            return self._class_of(node[1])
        if node[0] == "c" and len(node) == 2 and type(node[1]) is int:
            return self._callbacks[node[1]]
        if node[0] != "h" or len(node) != 3 or type(node[1]) is not int:
            raise BadFrame("an unknown tag")
        self.has_handles = True
        if node[1] not in self._handles:
            self._handles[node[1]] = Handle(self, node[:2], node[2] is True)
        return self._handles[node[1]]

    def serve(
        self, operation: object, target: Node, arguments: list[Any], keywords: dict[str, Any]
    ) -> object:
        """As in Link: the program calls back what it was given, with plain data."""
        if operation != "callback" or type(target) is not int:
            raise BadFrame("an operation that the tests do not serve")
        if not 0 <= target < len(self._callbacks):
            raise BadFrame("an unknown callback")
        if any(_holds_handle(value) for value in (*arguments, *keywords.values())):
            self.refuse("a callback that is given an object of the program")
        return self._callbacks[target](*arguments, **keywords)

    # -- exceptions -----------------------------------------------------------------------

    def encode_error(self, error: BaseException) -> Node:
        """As in Link. What a failed check says stays here."""
        kind = next((k for k in type(error).__mro__ if CLASSES.get(k.__name__) is k), Exception)
        if isinstance(error, AssertionError):
            return ["AssertionError", self.encode([])]
        try:
            return [kind.__name__, self.encode(list(error.args))]
        except Unsupported:
            return [kind.__name__, self.encode([])]

    def error_of(self, node: Node) -> BaseException:
        """As in Link: an exception of the program, raised here."""
        kind_node, text, arguments, handle, line = items_of(node)
        self_text = text_of(text)
        kind = self._class_of(kind_node)
        values = items_of(self.decode(arguments)) if arguments is not None else [self_text]
        try:
            error = kind(*values)
        except Exception:  # a class with arguments of its own kind
            error = kind.__new__(kind)
            error.args = (self_text,)
        facts = (handle if type(handle) is int else None, self_text, line, self)
        self.has_handles |= handle is not None
        vars(error)[FACTS] = facts
        return error

    def _class_of(self, node: Node) -> type[BaseException]:
        """The class that stands here for a class of exceptions there."""
        if type(node) is str:
            if node in _SIGNALS:
                return ProgramSignal
            kind = CLASSES.get(node)
            if kind is None or not issubclass(kind, BaseException):
                raise BadFrame("no class of exceptions")
            return kind
        number, name, bases, module = items_of(node)
        if type(number) is not int:
            raise BadFrame("a class without a number")
        if text_of(module).partition(".")[0] in _SHARED_MODULES:
            shared = getattr(sys.modules.get(text_of(module)), text_of(name), None)
            if isinstance(shared, type) and issubclass(shared, Exception):
                return shared
        known = self.exception_classes.get(number)
        if known is None:
            members = {"__str__": _text_of, "__getattr__": _attribute_of, "__module__": "solution"}
            made = tuple(self._class_of(base) for base in items_of(bases))
            try:
                known = type(text_of(name), made, members)
            except (TypeError, ValueError) as error:
                raise BadFrame(f"no class of exceptions: {error}") from None
            self.exception_classes[number] = known
        return known


def _holds_handle(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_handle, [*value, *value.values()]))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_handle, value))
    return type(value) is Handle


def _text_of(self: BaseException) -> str:
    return str(vars(self)[FACTS][1]) if FACTS in vars(self) else Exception.__str__(self)


def _attribute_of(self: BaseException, name: str) -> Any:
    facts = vars(self).get(FACTS)
    if facts is None or name.startswith("__"):
        raise AttributeError(name)
    return facts[3].ask("get", ["h", facts[0]], (name,))
