"""How either side names what is not plain data: handles, classes, modules, exceptions.

Nodes: `["y", h]` yours, `["o", h, c]` an object of class c, `["k", c]` a class, `["v", h, c, n]`
an instance of a subclass of a plain type with its plain value, `["F", h, name, parameters]` a
function, `["r", module, name]` a library object both sides have, `["m", name]` a module,
`["E", class, args, text, attributes, h, line]` an exception.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from codefavor.sandbox.bridge import Bridge, is_known_module, module_name
from codefavor.sandbox.codec import ATOMS, Node
from codefavor.sandbox.mirror import (
    SPECIAL,
    describe_parameters,
    make_function,
    make_mirror,
)
from codefavor.sandbox.wire import BadFrame

VALUE_BASES = (int, float, str, tuple, bytes, frozenset, complex)
LIVE_BASES = (list, dict, set, bytearray)
_LONGEST_TEXT = 1 << 16
_REFUSED_MODULES = frozenset(("unittest", "doctest", "bdb", "pdb", "pytest"))
_ERROR_ATTRIBUTES = ("name", "path", "msg", "pos", "lineno", "colno", "doc", "value", "code",
                     "errno", "strerror", "filename", "returncode", "key")  # fmt: skip


class NamingBridge(Bridge):
    """The naming that both sides share; each side decides what a mirror may do."""

    def __init__(self, channel: Any, first_number: int) -> None:
        super().__init__(channel, first_number)
        self._described: set[int] = set()
        self.classes: dict[int, type] = {}
        self.texts: dict[int, str] = {}
        self.shares_functions = False

    # -- what a side decides --------------------------------------------------------------

    def overrides_of(
        self, name: str, bases: tuple[type, ...], special: frozenset[str], live: str
    ) -> dict[str, Any]:
        """Replacements for methods of a mirror that are not simply passed on."""
        raise NotImplementedError

    def replace_error(self, kind: type[BaseException]) -> type[BaseException]:
        """The exception class to raise here for one that was raised there."""
        return kind

    def wrap_object(self, handle: int, value: object, kind: type) -> object:
        """A better stand-in for some library objects (generators, coroutines)."""
        return value

    # -- encoding -------------------------------------------------------------------------

    def encode_other(self, value: object) -> Node:
        """As in Codec."""
        handle = self.remote_of.get(id(value))
        if handle is not None and self.remotes.get(handle) is value:
            return ["y", handle]
        if isinstance(value, type):
            return self._reference(value) or ["k", self.class_handle(value)]
        name = module_name(value)
        if name:
            return ["m", name]
        if isinstance(value, BaseException):
            return self.encode_error(value)
        if self.shares_functions:
            node = self._reference(value) or self._function(value)
            if node is not None:
                return node
        kind = type(value)
        for base in VALUE_BASES:
            if issubclass(kind, base):
                # The base class's own view of the value: no override of the subclass runs.
                plain = _reduce(base, value)
                return ["v", self.export(value), self.class_handle(kind), self.encode(plain)]
        return ["o", self.export(value), self.class_handle(kind)]

    def _reference(self, value: object) -> Node | None:
        name = getattr(value, "__qualname__", None)
        module = getattr(value, "__module__", None)
        if type(name) is not str or type(module) is not str or not is_known_module(module):
            return None
        found: object = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return ["r", module, name] if found is value else None

    def _function(self, value: object) -> Node | None:
        if type(value) is not types.FunctionType:
            return None
        parameters = describe_parameters(value)
        return ["F", self.export(value), value.__name__, parameters]

    def class_handle(self, kind: type) -> int:
        """The handle of an own class; its description travels once."""
        handle = self.export(kind)
        if handle not in self._described:
            self._described.add(handle)
            self.announce_class(self._describe(handle, kind))
        return handle

    def _describe(self, handle: int, kind: type) -> Node:
        bases: list[Node] = []
        for base in kind.__bases__:
            if base is not object:
                bases.append(self._reference(base) or ["k", self.class_handle(base)])
        special: set[str] = set()
        for ancestor in kind.__mro__[:-1]:
            if ancestor in VALUE_BASES:
                continue
            special.update(name for name in vars(ancestor) if name in SPECIAL)
        if getattr(kind, "__hash__", None) is None:
            special.discard("__hash__")
        live = next((base.__name__ for base in LIVE_BASES if issubclass(kind, base)), "")
        return [handle, kind.__name__, str(kind.__module__), bases, sorted(special), live]

    # -- decoding -------------------------------------------------------------------------

    def decode_other(self, node: list[object]) -> object:
        """As in Codec."""
        tag = node[0]
        if tag == "y":
            return self.resolve(node[1])
        if tag == "k":
            return self._class(node[1])
        if tag == "o":
            return self._object(node[1], self._class(node[2]))
        if tag == "v":
            return self._value(node[1], self._class(node[2]), self.decode(node[3]))
        if tag == "F" and self.takes_functions():
            return self._remote_function(node)
        if tag == "r":
            return self._library_object(node[1], node[2])
        if tag == "m" and type(node[1]) is str:
            return self.import_module(node[1])
        if tag == "E":
            return self.rebuild_error(node)
        raise BadFrame("an unknown tag")

    def takes_functions(self) -> bool:
        """Whether functions of the peer become real functions here."""
        return False

    def import_module(self, name: str) -> object:
        """The own copy of a library module that the peer named."""
        if not is_known_module(name) or name.partition(".")[0] in _REFUSED_MODULES:
            raise BadFrame("not a library module")
        try:
            __import__(name)
        except ImportError:
            raise BadFrame("a module that is not there") from None
        return sys.modules[name]

    def _class(self, handle: object) -> type:
        if type(handle) is not int or handle not in self.classes:
            raise BadFrame("an unknown class")
        return self.classes[handle]

    def _object(self, handle: object, kind: type) -> object:
        if type(handle) is not int:
            raise BadFrame("a handle that is no number")
        known = self.remotes.get(handle)
        if known is None:
            stand_in = BaseException if issubclass(kind, BaseException) else object
            known = self.wrap_object(handle, stand_in.__new__(kind), kind)
            self.adopt(handle, known)
        return known

    def _value(self, handle: object, kind: type, plain: object) -> object:
        if type(handle) is not int:
            raise BadFrame("a handle that is no number")
        known = self.remotes.get(handle)
        if known is None:
            base: Any = type(plain)
            if base not in VALUE_BASES or not issubclass(kind, base):
                raise BadFrame("a value of another type")
            known = base.__new__(kind, plain)
            self.adopt(handle, known)
        return known

    def _remote_function(self, node: list[object]) -> object:
        _tag, handle, name, parameters = node
        if type(handle) is not int or type(name) is not str or type(parameters) is not list:
            raise BadFrame("a malformed function")
        known = self.remotes.get(handle)
        return make_function(self, handle, name, parameters) if known is None else known

    def _library_object(self, module: object, name: object) -> object:
        if type(module) is not str or type(name) is not str:
            raise BadFrame("a malformed reference")
        found: object = self.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if not self.accepts_library(found):
            raise BadFrame("not a library object to be named")
        return found

    def accepts_library(self, found: object) -> bool:
        """Whether the peer may name this object of a library."""
        return isinstance(found, type)

    def learn_class(self, description: list[object]) -> None:
        """As in Bridge."""
        handle, name, module, base_nodes, names, live = description
        if type(handle) is not int or type(name) is not str or type(module) is not str:
            raise BadFrame("a malformed class")
        if type(base_nodes) is not list or type(names) is not list or type(live) is not str:
            raise BadFrame("a malformed class")
        if handle in self.classes:
            raise BadFrame("a class described twice")
        bases = tuple(self._usable(self.decode(node)) for node in base_nodes)
        bases = tuple(base for base in bases if base is not object) or (object,)
        special = frozenset(str(item) for item in names)
        overrides = self.overrides_of(name, bases, special, live)
        try:
            made = make_mirror(self, handle, name, module, bases, special, overrides)
        except TypeError:
            plain = next((base for base in bases if issubclass(base, BaseException)), object)
            made = make_mirror(self, handle, name, module, (plain,), special, overrides)
        self.classes[handle] = made

    def _usable(self, base: object) -> type:
        if not isinstance(base, type):
            raise BadFrame("a base that is no class")
        if base in self.classes.values() or base in VALUE_BASES:
            return base
        if issubclass(base, BaseException):
            return base
        return next((plain for plain in VALUE_BASES if issubclass(base, plain)), object)

    # -- exceptions -----------------------------------------------------------------------

    def encode_error(self, error: BaseException) -> Node:
        """As in Bridge."""
        handle = self.remote_of.get(id(error))
        if handle is not None and self.remotes.get(handle) is error:
            return ["y", handle]
        kind = type(error)
        class_node = self._reference(kind) or ["k", self.class_handle(kind)]
        arguments = error.args if type(error.args) is tuple else ()
        attributes: dict[str, Node] = {}
        for name in _ERROR_ATTRIBUTES:
            value = _plain_attribute(error, name)
            if value is not None:
                attributes[name] = value
        nodes = [self.encode(_short(value)) for value in arguments[:16]]
        text = _text_of(error)
        return ["E", class_node, nodes, text, attributes, self.export(error), _line_of(error)]

    def rebuild_error(self, node: list[object]) -> BaseException:
        """The exception of a node; an unknown or refused class becomes a RuntimeError."""
        _tag, class_node, argument_nodes, text, attributes, handle, line = node
        if type(argument_nodes) is not list or type(text) is not str or type(handle) is not int:
            raise BadFrame("a malformed exception")
        known = self.remotes.get(handle)
        if isinstance(known, BaseException):
            return known
        try:
            kind: object = self.decode(class_node)
        except BadFrame:
            kind = RuntimeError
        arguments = tuple(self.decode(item) for item in argument_nodes)
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            kind = RuntimeError
        error = _build_error(self.replace_error(kind), arguments)
        self.texts[id(error)] = text
        BaseException.__setattr__(error, "codefavor_text", text)
        if kind not in self.classes.values() and type(attributes) is dict:
            for name, value in attributes.items():
                if name in _ERROR_ATTRIBUTES and type(value) in ATOMS:
                    _try_set(error, name, value)
        if type(line) is int:
            BaseException.__setattr__(error, "codefavor_line", line)
        self.adopt(handle, error)
        return error

    def raise_error(self, node: Node) -> None:
        """As in Bridge."""
        error = self.decode(node)
        if not isinstance(error, BaseException):
            raise BadFrame("an error that is no exception")
        raise error.with_traceback(None)


def _reduce(base: type, value: Any) -> object:
    if base is tuple:
        return tuple(tuple.__iter__(value))
    if base is frozenset:
        return frozenset(frozenset.__iter__(value))
    if base is str:
        return "".join(str.__iter__(value))
    if base is bytes:
        return bytes(bytes.__iter__(value))
    if base is int:
        return int.__add__(value, 0)
    if base is float:
        # adding -0.0 keeps the sign of every zero
        return float.__add__(value, -0.0)
    return complex.__add__(value, -0.0)


def _short(value: object) -> object:
    if isinstance(value, str | bytes) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT]
    return value


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  a program's __str__ may raise anything
        return ""
    return str.__str__(text)[:_LONGEST_TEXT]


def _plain_attribute(error: BaseException, name: str) -> Any:
    try:
        value = getattr(error, name, None)
    except Exception:  # noqa: BLE001  a program's property may raise anything
        return None
    if type(value) not in ATOMS or (type(value) is int and abs(value) >= 1 << 62):
        return None
    return _short(value)


def _line_of(error: BaseException) -> int | None:
    if isinstance(error, SyntaxError):
        return error.lineno if type(error.lineno) is int else None
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<solution>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _build_error(kind: type[BaseException], arguments: tuple[object, ...]) -> BaseException:
    made: BaseException
    try:
        made = kind.__new__(kind, *arguments)
        if kind.__module__ == "builtins":
            kind.__init__(made, *arguments)
    except TypeError:
        made = RuntimeError.__new__(RuntimeError, *arguments)
    BaseException.args.__set__(made, arguments)  # type: ignore[attr-defined]
    return made


def _try_set(error: BaseException, name: str, value: object) -> None:
    try:
        setattr(error, name, value)
    except (AttributeError, TypeError):
        return
