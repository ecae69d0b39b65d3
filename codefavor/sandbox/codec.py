"""Plain data as JSON nodes, by exact type. No pickle, no class of the sender is ever built.

An atom stands for itself; everything else is a list `[tag, ...]`. A mutable container carries
a number, so that both processes can speak of the same list while either changes it. What is not
plain goes to two hooks; a value that no hook takes does not cross.
"""

from __future__ import annotations

import binascii
import contextlib
import importlib
import marshal
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from codefavor.sandbox.wire import BadFrame, Unsupported, items_of, text_of

Node = object
ATOMS = frozenset((type(None), bool, int, float, str))
# Built-in types and exceptions are constants of the language: they cross by name.
CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in vars(sys.modules["builtins"]).values()
    if isinstance(kind, type) and issubclass(kind, BaseException)
} | {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set,
                 frozenset, range, slice, object, type(None))
}  # fmt: skip
_NAME_OF_CLASS = {kind: name for name, kind in CLASSES.items()}
_SMALL, _MOST_SHARED, _MANY, _DEEPEST = 1 << 63, 100_000, 1_000, 100
_DTYPE_KINDS = "biufcSUmM?"


class NotPlain(Exception):
    """The value has no plain form."""


def _naive(value: Any) -> Iterable[object]:
    if value.tzinfo is not None or value.fold:
        raise NotPlain("a time of a zone")
    return (value.isoformat(),)


def _array(value: Any) -> Iterable[object]:
    is_cut = isinstance(value, str | bytes) and value[-1:] in ("\0", b"\0")
    if value.dtype.str[1] not in _DTYPE_KINDS or value.dtype.metadata or is_cut:
        raise NotPlain("an array of objects, or what its copy does not have")
    return value.dtype.str, value.shape, value.strides, value.flags.writeable, value.tobytes()


def _fraction(value: Any) -> Iterable[object]:
    parts = value.numerator, value.denominator
    if parts != type(value)(*parts).as_integer_ratio():
        raise NotPlain("a fraction that is not reduced")
    return parts


def _build_array(dtype: Any, shape: Any, strides: Any, is_open: Any, data: Any) -> Any:
    is_known = dtype[0] in "<>|" and dtype[1] in _DTYPE_KINDS and "," not in dtype
    if not is_known or type(data) is not bytes or any(n < 0 for n in shape):
        raise BadFrame("a malformed array")
    value = _library("numpy.ndarray")(shape, dtype, data)
    if value.size == 0:
        raise Unsupported("an empty array, which numpy compares with anything")
    plain, value = value, value.copy()
    if value.strides != strides:
        reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
        memory = bytearray(sum(map(abs, reach)) + value.itemsize)
        value = type(plain)(shape, dtype, memory, -sum(r for r in reach if r < 0), strides)
        value[...] = plain
    value.flags.writeable = is_open is True
    return value


def _library(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


# How values of a library's type travel, by its whole name: the parts of one.
_LIBRARY: dict[str, Callable[[Any], Iterable[object]]] = {
    "builtins.range": lambda v: (v.start, v.stop, v.step),
    "builtins.bytearray": lambda v: (bytes(v),),
    "decimal.Decimal": lambda v: (str(v),),
    "fractions.Fraction": _fraction,
    "datetime.date": lambda v: (v.year, v.month, v.day),
    "datetime.datetime": _naive,
    "datetime.timedelta": lambda v: (v.days, v.seconds, v.microseconds),
    "collections.Counter": lambda v: (dict(v),),
    "collections.OrderedDict": lambda v: (list(v.items()),),
    "collections.defaultdict": lambda v: (v.default_factory, dict(v)),
    "collections.deque": lambda v: (list(v), v.maxlen),
    "numpy.ndarray": _array,
    "numpy.generic": _array,
}
# What makes one of its parts, where that is not the type.
_BUILDERS: dict[str, Callable[..., object]] = {
    "datetime.datetime": lambda text: _library("datetime.datetime").fromisoformat(text),
    "numpy.ndarray": _build_array,
    "numpy.generic": lambda *parts: _build_array(*parts)[()],
}
_CHANGING = ("builtins.bytearray", "numpy.ndarray", *(n for n in _LIBRARY if "collections" in n))


def library_name(kind: type) -> str:
    """The name in the table of a library's type; "" if it is in none."""
    module = kind.__module__
    if type(module) is not str:
        return ""
    name = f"{module}.{kind.__qualname__}"
    if module == "numpy" and name not in _LIBRARY and issubclass(kind, _library("numpy.generic")):
        return "numpy.generic"
    # A class of the program may call itself so.
    return name if name in _LIBRARY and _library(name) is kind else ""


class Codec:
    """Encodes and decodes values; a subclass says how the rest of the world is named.

    `shared` holds the containers that both sides know by number. Each side sends what changed
    in them (`changes`) and what it no longer holds (`prune`) along with its next frame.
    """

    def __init__(self, first_number: int) -> None:
        self.shared: dict[int, Any] = {}
        self._number_of: dict[int, int] = {}
        self._snapshots: dict[int, object] = {}
        self._next_number = first_number
        self._open: set[int] = set()
        self.n_changed = 0

    def encode_other(self, value: object) -> Node:
        """The node of a value that is not plain."""
        raise NotImplementedError

    def decode_other(self, node: list[object]) -> object:
        """The value of a node whose tag the codec does not know."""
        raise NotImplementedError

    def refuse(self, what: str) -> NoReturn:
        """End the run: two processes would not do what one does."""
        raise Unsupported(what)

    def encode(self, value: object) -> Node:
        """The node of any value; mutable containers in it get numbers."""
        self._open.clear()
        before = self._next_number
        try:
            return self._encode(value)
        except (RecursionError, NotPlain):
            for number in range(before, self._next_number, 2):
                self.forget(number)
            return self.encode_other(value)

    def _encode(self, value: Any) -> Node:
        kind = type(value)
        if kind in ATOMS:
            # Very long integers have no cheap decimal form.
            return ["i", hex(value)] if kind is int and not is_flat((value,)) else value
        if kind is tuple:
            return ["t", self._many(value, value)]
        if kind in _REFILL:
            return self._container(value, "")
        if kind is bytes:
            return ["b", binascii.b2a_base64(value, newline=False).decode()]
        if kind is complex:
            return ["z", value.real, value.imag]
        if kind is frozenset:
            return ["f", self._many(value, value)]
        if kind is type and value in _NAME_OF_CLASS:
            return ["y", _NAME_OF_CLASS[value]]
        name = library_name(kind)
        if not name or getattr(value, "__dict__", None):  # a Counter with attributes of its own
            return self.encode_other(value)
        if name in _CHANGING:
            return self._container(value, name)
        return ["x", 0, name, self._many(value, _LIBRARY[name](value))]

    def _container(self, value: object, name: str) -> Node:
        if id(value) in self._open:
            raise NotPlain("a container that holds itself")
        number = self._number_of.get(id(value))
        if number is not None:
            return ["g", number]
        number = self._next_number
        self._next_number += 2
        self._register(number, value)
        if name:
            return ["x", number, name, self._many(value, _LIBRARY[name](value))]
        return self._body(value, number)

    def _body(self, value: Any, number: int) -> Node:
        """The full node of a list, dict or set, even if it is known by number."""
        items = self._many(value, value)
        if type(value) is dict:
            return ["d", number, items, self._many(value, value.values())]
        return ["l" if type(value) is list else "s", number, items]

    def _many(self, owner: object, items: Iterable[object]) -> list[Node]:
        items = list(items)
        if is_flat(items):
            return items
        if id(owner) in self._open or len(self._open) > _DEEPEST:
            raise NotPlain("a value that holds itself, or is nested too deeply")
        self._open.add(id(owner))
        found = [self._encode(item) for item in items]
        self._open.discard(id(owner))
        return found

    # -- containers that both sides know -----------------------------------------------------

    def _register(self, number: int, value: object) -> None:
        if len(self.shared) >= _MOST_SHARED:
            raise NotPlain("too many containers are in use by both sides")
        self.shared[number] = value
        self._number_of[id(value)] = number

    def forget(self, number: int) -> None:
        """Let go of a numbered container."""
        value = self.shared.pop(number, None)
        if self._number_of.get(id(value)) == number:
            del self._number_of[id(value)]
        self._snapshots.pop(number, None)

    def settle(self) -> None:
        """Take the present state of all containers for what the peer knows."""
        for number in self.shared.keys() - self._snapshots.keys():
            self._snapshots[number] = _snapshot(self.shared[number])

    def changes(self) -> list[Node]:
        """[number, body] of every container that changed since the peer last heard of it."""
        changed: list[Node] = []
        for number, value in list(self.shared.items()):
            snapshot = _snapshot(value, self._snapshots.get(number))
            if self._snapshots.get(number, snapshot) != snapshot:
                if type(value) not in _REFILL:
                    self.refuse(f"a {type(value).__name__} that both use and one has changed")
                self._open.clear()
                try:
                    changed.append([number, self._body(value, 0)])
                except NotPlain as reason:
                    self.refuse(str(reason))
            self._snapshots[number] = snapshot
        return changed

    def apply(self, changed: object) -> None:
        """Make own containers equal to the peer's; raises BadFrame for anything malformed."""
        for change in items_of(changed):
            if type(change) is not list or len(change) != 2 or type(change[0]) is not int:
                raise BadFrame("a malformed change")
            target, source = self.shared.get(change[0]), self.decode(change[1])
            if target is None:
                continue
            if type(target) is not type(source) or type(target) not in _REFILL:
                raise BadFrame("a change of another type")
            _REFILL[type(target)](target, source)
            self.n_changed += 1
            self._snapshots.pop(change[0], None)

    def _is_loose(self, number: int) -> bool:
        """Whether nobody here holds a container, nor its owner one of many items, and of late."""
        if sys.getrefcount(self.shared[number]) > 2:  # the table's and the argument's
            return False
        value = self.shared[number]
        if type(value) in _REFILL and (number - self._next_number) % 2 and len(value) > _MANY:
            return number <= max(n for n in self.shared if (n - number) % 2 == 0) - 16
        base = getattr(value, "base", None)  # what a view shows may yet change
        return base is None or sys.getrefcount(base) <= 3

    def prune(self) -> list[int]:
        """Forget the containers that nobody here holds any more; their numbers."""
        gone: list[int] = []
        # An outer container holds its inner ones, so look again while something goes.
        while loose := [number for number in self.shared if self._is_loose(number)]:
            for number in loose:
                self.forget(number)
            gone += loose
        return gone

    # -- decoding -------------------------------------------------------------------------

    def decode(self, node: Node) -> Any:
        """The value of a node; raises BadFrame for anything the protocol does not know."""
        try:
            return self._decode(node)
        except (RecursionError, MemoryError):
            raise Unsupported("a value, or calls, nested too deeply or too large") from None

    def _decode(self, node: Node) -> Any:
        if type(node) is not list:
            if type(node) in ATOMS:
                return node
            raise BadFrame("neither an atom nor a node")
        if not node or type(node[0]) is not str:
            raise BadFrame("a node without a tag")
        decoder = _DECODERS.get(node[0])
        try:
            return decoder(self, *node[1:]) if decoder is not None else self.decode_other(node)
        except RecursionError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
                NotPlain) as error:  # fmt: skip
            raise BadFrame(f"bad {node[0]!r} node: {type(error).__name__}") from None

    def _decode_many(self, nodes: object) -> list[Any]:
        if ATOMS.issuperset(map(type, items_of(nodes))):
            return nodes  # type: ignore[return-value]
        return [self._decode(node) for node in items_of(nodes)]

    def _numbered(self, number: object, value: object) -> object:
        if type(number) is not int:
            raise BadFrame("expected a number")
        if number:
            if number in self.shared:
                raise BadFrame("a container number used twice")
            self._register(number, value)
        return value


def is_plain(value: object) -> bool:
    """Whether a value is data, which no function, class or object of a program can be."""
    kind = type(value)
    return kind in {*ATOMS, *_REFILL, tuple, frozenset, bytes, complex} or bool(library_name(kind))


def is_flat(items: Any) -> bool:
    """Whether JSON says the items exactly as they are."""
    is_small = (-_SMALL <= item < _SMALL for item in items if type(item) is int)
    return ATOMS.issuperset(map(type, items)) and all(is_small)


def _snapshot(value: Any, last: object = None) -> object:
    """What tells a change: atoms by value, everything else by which object it is."""
    if hasattr(value, "tobytes"):
        return tuple(_array(value))
    parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
    parts += getattr(value, "default_factory", None), bool(getattr(value, "__dict__", None))
    with contextlib.suppress(ValueError):
        # Nothing else is written as atoms are.
        if type(last) is bytes and marshal.dumps(parts, 2) == last:
            return last
    # marshal is only written here, never read: it is the fastest exact-type fingerprint.
    if ATOMS.issuperset(map(type, parts)):
        return marshal.dumps(parts, 2)
    # Methods are equal if they are bound to one object, which stays there as long as they do.
    return [
        marshal.dumps(part, 2) if type(part) in ATOMS else types.MethodType(id, part)
        for part in parts
    ]


def _refill(target: Any, source: Any) -> None:
    # Somebody may iterate over it: where the keys are the same, so is the size at any time.
    if _snapshot(list(target)) != _snapshot(list(source)):
        target.clear()
    target.update(source)


_REFILL: dict[type, Callable[[Any, Any], None]] = {
    list: lambda target, source: target.__setitem__(slice(None), source),
    dict: _refill, set: _refill,
}  # fmt: skip


def _build(codec: Codec, number: object, name: Any, nodes: object) -> object:
    # Nothing but the types of the table is ever made.
    if name not in _LIBRARY or bool(number) is not (name in _CHANGING):
        raise BadFrame("an unknown type, or a number for what cannot change or none for what can")
    value: Any = (_BUILDERS.get(name) or _library(name))(*codec._decode_many(nodes))
    is_nan = value.is_nan() if "Decimal" in name else "numpy" in name and value != value  # noqa: PLR0124
    if is_nan if type(is_nan) is bool else is_nan.any():
        raise Unsupported("a NaN")
    return codec._numbered(number, value)


_DECODERS: dict[str, Callable[..., object]] = {
    "i": lambda _, digits: int(text_of(digits), 16),
    "b": lambda _, text: binascii.a2b_base64(text_of(text)),
    "z": lambda _, real, imaginary: complex(real, imaginary),
    "y": lambda _, name: CLASSES[text_of(name)],
    "t": lambda codec, items: tuple(codec._decode_many(items)),
    "f": lambda codec, items: frozenset(codec._decode_many(items)),
    "l": lambda codec, number, items: codec._numbered(number, codec._decode_many(items)),
    "s": lambda codec, number, items: codec._numbered(number, set(codec._decode_many(items))),
    "d": lambda codec, number, keys, items: codec._numbered(
        number, dict(zip(codec._decode_many(keys), codec._decode_many(items), strict=True))
    ),
    "x": _build,
    "g": lambda codec, number: codec.shared[number],
}
