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
import math
import operator
import re
import sys
import types
from abc import ABCMeta
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from codefavor.sandbox.wire import BadFrame, Unsupported, exact, items_of

Node = object
ATOMS = frozenset((type(None), bool, int, float, str))
_ATOM_IDS = frozenset(map(id, ATOMS))  # a hash of a type may be code of its own class
# Built-in types and exceptions are constants of the language: they cross by name.
_CORE = ATOMS | {complex, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, object}
CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (*vars(sys.modules["builtins"]).values(), type(None))
    if isinstance(kind, type) and (kind in _CORE or issubclass(kind, BaseException))
}
_NAME_OF_CLASS = {kind: name for name, kind in CLASSES.items()}
_SMALL, _MOST_SHARED, _MANY, _DEEPEST = 1 << 63, 100_000, 1_000, 100
_FIELDS = operator.attrgetter("year", "month", "day", "hour", "minute", "second", "microsecond")
_DTYPE = re.compile(r"[<>|][biufcSUmM][1-9][0-9]{0,8}(\[[0-9]{0,6}[A-Za-z]{1,7}\])?")


class NotPlain(Exception):
    """The value has no plain form."""


def _array(value: Any) -> tuple[object, ...]:
    is_cut = isinstance(value, str | bytes) and value[-1:] in ("\0", b"\0")
    if not _DTYPE.fullmatch(value.dtype.str) or value.dtype.metadata is not None or is_cut:
        raise NotPlain("an array of objects, or what its copy does not have")
    return value.dtype.str, value.shape, value.strides, value.flags.writeable, value.tobytes()


def _fraction(value: Any) -> Iterable[object]:
    parts = value.numerator, value.denominator
    if set(map(kind_of, parts)) != {int} or parts != type(value)(*parts).as_integer_ratio():
        raise NotPlain("a fraction that is not reduced")
    return parts


def _build_array(dtype: str, shape: Any, strides: Any, is_open: bool, data: bytes) -> Any:
    if not _DTYPE.fullmatch(dtype) or shape[64:] or {int} < {int, *map(type, shape + strides)}:
        raise BadFrame("an array of no known type or shape")
    kind = _library("numpy.dtype")(dtype)
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(data):
        raise BadFrame("an array of another size")
    if not data:
        raise Unsupported("an empty array, which numpy compares with anything")
    if kind.char == "U":  # numpy looks at no character before it is used
        data.decode("utf-32-be" if dtype[0] == ">" else "utf-32-le", "surrogatepass")
    plain = _library("numpy.ndarray")(shape, kind, data)
    value = plain.copy()
    if value.strides != strides:
        reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
        memory = type(plain)(sum(map(abs, reach)) + value.itemsize, "u1")
        value = type(plain)(shape, dtype, memory, -sum(r for r in reach if r < 0), strides)
        value[...] = plain
    value.flags.writeable = is_open
    return value


def _library(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


# How values of a library's type travel, by its whole name: the exact types of the parts that one
# is made of (`callable`: or None), and these parts. Nothing is made of any others.
_LIBRARY: dict[str, tuple[tuple[Any, ...], Callable[[Any], Iterable[object]]]] = {
    "builtins.range": ((int,) * 3, lambda v: (v.start, v.stop, v.step)),
    "builtins.complex": ((float,) * 2, lambda v: (v.real, v.imag)),
    "builtins.bytearray": ((bytes,), lambda v: (bytes(v),)),
    "decimal.Decimal": ((str,), lambda v: (str(v),)),
    "fractions.Fraction": ((int,) * 2, _fraction),
    "datetime.date": ((int,) * 3, lambda v: (v.year, v.month, v.day)),
    # One of a zone, which is not asked, or of the second time of an hour stays.
    "datetime.datetime": ((*(int,) * 7, type(None)), lambda v: (*_FIELDS(v), v.fold or v.tzinfo)),
    "datetime.timedelta": ((int,) * 3, lambda v: (v.days, v.seconds, v.microseconds)),
    "collections.Counter": ((dict,), lambda v: (dict(v),)),
    "collections.OrderedDict": ((dict,), lambda v: (dict(v),)),
    "collections.defaultdict": ((callable, dict), lambda v: (v.default_factory, dict(v))),
    "collections.deque": ((list, int), lambda v: (list(v), -1 if v.maxlen is None else v.maxlen)),
    "numpy.ndarray": ((str, tuple, tuple, bool, bytes), _array),
    "numpy.generic": ((str, bytes), lambda v: _array(v)[::4]),
}
# What makes one of its parts, where that is not the type.
_BUILDERS: dict[str, Callable[..., object]] = {
    "collections.deque": lambda items, most: deque(items, None if most == -1 else most),
    "numpy.ndarray": _build_array,
    "numpy.generic": lambda dtype, data: _build_array(dtype, (), (), True, data)[()],
}
_CHANGING = ("builtins.bytearray", "numpy.ndarray", *(n for n in _LIBRARY if "collections" in n))


def kind_of(value: object) -> type:
    """The type of a value; `object` where a program may have made that type's own type."""
    kind = type(value)
    return kind if type(kind) is type or type(kind) is ABCMeta else object


def library_name(kind: type) -> str:
    """The name in the table of what `kind_of` gives; "" if it is in none."""
    module = kind.__module__
    if type(module) is not str:
        return ""
    name = f"{module}.{kind.__qualname__}"
    # A class of the program may call itself so.
    if module == "numpy" and name not in _LIBRARY and issubclass(kind, _library("numpy.generic")):
        return "numpy.generic" if _library(name) is kind else ""
    return name if name in _LIBRARY and _library(name) is kind else ""


class Codec:
    """Encodes and decodes values; a subclass says how the rest of the world is named.

    `shared` holds the containers that both sides know by number. Each side sends what changed
    in them (`changes`) and what it no longer holds (`prune`) along with its next frame.
    """

    # The node of a value that is not plain, and the value of a node whose tag is none of these.
    encode_other: Callable[[Any], Node]
    decode_other: Callable[[list[Any]], object]

    def __init__(self, first_number: int) -> None:
        self.shared: dict[int, Any] = {}
        self._number_of: dict[int, int] = {}
        self._snapshots: dict[int, object] = {}
        self._next_number, self.n_changed = first_number, 0
        self._open: set[int] = set()

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
        kind = kind_of(value)
        if kind in ATOMS:
            # Very long integers have no cheap decimal form.
            return ["i", hex(value)] if kind is int and not is_flat((value,)) else value
        if kind is tuple or kind is frozenset:
            return ["t" if kind is tuple else "f", self._many(value, value)]
        if kind in _REFILL:
            return self._container(value, "")
        if kind is bytes:
            return ["b", binascii.b2a_base64(value, newline=False).decode()]
        if kind is type and value in _NAME_OF_CLASS:
            return ["y", _NAME_OF_CLASS[value]]
        # A Counter may have attributes of its own.
        if not (name := library_name(kind)) or getattr(value, "__dict__", None):
            return self.encode_other(value)
        return self._container(value, name) if name in _CHANGING else self._body(value, 0, name)

    def _container(self, value: object, name: str) -> Node:
        if id(value) in self._open:
            raise NotPlain("a container that holds itself")
        if (number := self._number_of.get(id(value))) is not None:
            return ["g", number]
        self._register(number := self._next_number, value)
        self._next_number += 2
        return self._body(value, number, name)

    def _body(self, value: Any, number: int, name: str = "") -> Node:
        """The full node of a value, even if it is known by number; `name` is that in the table."""
        if name:
            return ["x", number, name, self._many(value, _parts(name, _LIBRARY[name][1](value)))]
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
        """[number, body] of every container that changed since the last `settle`."""
        changed: list[Node] = []
        for number, last in list(self._snapshots.items()):
            value = self.shared[number]
            self._open.clear()
            try:
                snapshot = self._snapshots[number] = _snapshot(value, last)
                if last != snapshot and type(value) not in _REFILL:
                    raise NotPlain(f"a {type(value).__name__} that both use and one has changed")
                if last != snapshot:
                    changed.append([number, self._body(value, 0)])
            except NotPlain as reason:
                self.refuse(str(reason))
        return changed

    def apply(self, changed: object) -> None:
        """Make own containers equal to the peer's; raises BadFrame for anything malformed."""
        for change in items_of(changed):
            number, node = items_of(change, 2)
            target, source = self.shared.get(exact(int, number)), self.decode(node)
            if target is None:
                continue
            if type(target) is not type(source) or type(target) not in _REFILL:
                raise BadFrame("a change of another type")
            _REFILL[type(target)](target, source)
            self.n_changed += 1
            self._snapshots.pop(number, None)

    def _is_loose(self, number: int, is_known: bool) -> bool:
        """Whether nobody here holds a container, nor its owner one of many items, and of late."""
        if sys.getrefcount(self.shared[number]) > 2:  # the table's and the argument's
            return False
        value = self.shared[number]
        if type(value) in _REFILL:
            is_late = (number - self._next_number) % 2 and len(value) > _MANY
            return not is_late or number <= max(n for n in self.shared if not (n - number) % 2) - 16
        base = getattr(value, "base", None)  # what a view shows may yet change
        return is_known and (type(base) in (type(None), bytes) or sys.getrefcount(base) <= 3)

    def prune(self) -> list[int]:
        """Forget the containers that nobody here holds any more; their numbers."""
        gone: list[int] = []
        is_known = all(type(v) in _REFILL or _is_of_known_memory(v) for v in self.shared.values())
        # An outer container holds its inner ones, so look again while something goes.
        while loose := [number for number in self.shared if self._is_loose(number, is_known)]:
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
        except Exception as error:  # whatever it is, no value was made
            raise BadFrame(f"a malformed node: {type(error).__name__}") from None

    def _decode(self, node: Node) -> Any:
        if type(node) in ATOMS:
            return node
        items = items_of(node)
        decoder = _DECODERS.get(exact(str, items[0]))
        return decoder(self, *items[1:]) if decoder is not None else self.decode_other(items)

    def _decode_many(self, nodes: object) -> list[Any]:
        if ATOMS.issuperset(map(type, items_of(nodes))):
            return nodes  # type: ignore[return-value]
        return [self._decode(node) for node in items_of(nodes)]

    def _numbered(self, number: object, value: object) -> object:
        if number := exact(int, number):
            if number in self.shared or (number - self._next_number) % 2 == 0:
                raise BadFrame("the number of another container")
            self._register(number, value)
        return value


def is_plain(value: object) -> bool:
    """Whether a value is data, which no function, class or object of a program can be."""
    kind = kind_of(value)
    return kind in {*ATOMS, *_REFILL, tuple, frozenset, bytes} or bool(library_name(kind))


def is_flat(items: Any) -> bool:
    """Whether JSON says the items exactly as they are."""
    numbers = [item for item in items if type(item) is int] or (0,)
    is_small = min(numbers) >= -_SMALL and max(numbers) < _SMALL
    return is_small and _ATOM_IDS.issuperset(map(id, map(type, items)))


def _is_of_known_memory(value: Any) -> bool:
    """Whether no array, or one of its own memory, of another such array's or of bytes."""
    owner = value if getattr(value, "base", None) is None else value.base
    is_owner = getattr(getattr(owner, "flags", None), "owndata", True)
    return type(owner) is bytes or (type(owner) is type(value) and is_owner)


def _snapshot(value: Any, last: object = None) -> object:
    """What tells a change: atoms by value, everything else by which object it is."""
    if hasattr(value, "tobytes"):
        return tuple(_array(value))
    parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
    if type(value) not in _REFILL:
        parts += getattr(value, "default_factory", None), bool(getattr(value, "__dict__", None))
    with contextlib.suppress(ValueError):
        # Nothing else is written as atoms are.
        if type(last) is bytes and marshal.dumps(parts, 2) == last:
            return last
    # marshal is only written here, never read: it is the fastest exact-type fingerprint.
    if _ATOM_IDS.issuperset(map(id, map(type, parts))):
        return marshal.dumps(parts, 2)
    # Methods are equal if they are bound to one object, which stays there as long as they do.
    return [marshal.dumps(p, 2) if kind_of(p) in ATOMS else types.MethodType(id, p) for p in parts]


def _refill(target: Any, source: Any) -> None:
    # Somebody may iterate over it: where the keys are the same, so is the size at any time.
    if _snapshot(list(target)) != _snapshot(list(source)):
        target.clear()
    target.update(source)


_REFILL: dict[type, Callable[[Any, Any], None]] = {
    list: lambda target, source: target.__setitem__(slice(None), source),
    dict: _refill, set: _refill,
}  # fmt: skip


def _parts(name: str, parts: Iterable[object]) -> list[Node]:
    """The parts of a value of the table; raises NotPlain if they are of other types."""
    for part, kind in zip(found := list(parts), _LIBRARY[name][0], strict=True):
        if not (part is None or callable(part) if kind is callable else type(part) is kind):
            raise NotPlain("made of what cannot cross")
    return found


def _build(codec: Codec, number: object, name: object, nodes: object) -> object:
    name = exact(str, name)
    if bool(number) is not (name in _CHANGING):
        raise BadFrame("a number for what cannot change, or none for what can")
    parts = _parts(name, codec._decode_many(nodes))
    value: Any = (_BUILDERS.get(name) or _library(name))(*parts)
    is_decimal = "Decimal" in name
    is_nan: Any = value.is_nan() if is_decimal else "numpy" in name and value != value  # noqa: PLR0124
    if is_nan is True or getattr(is_nan, "any", bool)():
        raise Unsupported("a NaN")
    return codec._numbered(number, value)


_DECODERS: dict[str, Callable[..., object]] = {
    "i": lambda _, digits: int(exact(str, digits), 16),
    "b": lambda _, text: binascii.a2b_base64(exact(str, text)),
    "y": lambda _, name: CLASSES[exact(str, name)],
    "t": lambda codec, items: tuple(codec._decode_many(items)),
    "f": lambda codec, items: frozenset(codec._decode_many(items)),
    "l": lambda codec, number, items: codec._numbered(number, codec._decode_many(items)),
    "s": lambda codec, number, items: codec._numbered(number, set(codec._decode_many(items))),
    "d": lambda codec, number, keys, items: codec._numbered(
        number, dict(zip(codec._decode_many(keys), codec._decode_many(items), strict=True))
    ),
    "x": _build,
    "g": lambda codec, number: codec.shared[exact(int, number)],
}
