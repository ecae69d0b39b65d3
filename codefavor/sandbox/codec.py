"""Plain data as JSON nodes, by exact type. No pickle, no class of the sender is ever built.

An atom stands for itself; everything else is a list `[tag, ...]`. A mutable container carries
a number (0: a copy, nobody tracks it), so that both processes can speak of the same list.
What is not plain goes to the two hooks, which the bridge fills in.
"""

from __future__ import annotations

import binascii
import sys
from collections.abc import Callable

from codefavor.sandbox.extended import build_extended, describe_extended
from codefavor.sandbox.wire import BadFrame, with_room

Node = object
ATOMS = frozenset((type(None), bool, int, float, str))
_SMALL = 1 << 63


class NotPlain(Exception):
    """The value has no plain form (a cycle, or nested too deeply)."""


class Codec:
    """Encodes and decodes values; a subclass says how the rest of the world is named."""

    def __init__(self, first_number: int) -> None:
        self.shared: dict[int, object] = {}
        self.number_of: dict[int, int] = {}
        self.scope: list[int] = []
        self._next_number = first_number
        self._tracking = False
        self._open: set[int] = set()

    def encode_other(self, value: object) -> Node:
        """The node of a value that is not plain."""
        raise NotImplementedError

    def decode_other(self, node: list[object]) -> object:
        """The value of a node whose tag the codec does not know."""
        raise NotImplementedError

    def encode(self, value: object, *, track: bool = False) -> Node:
        """The node of any value; with `track`, new mutable containers get numbers."""
        before, self._tracking = self._tracking, track
        mark, limit, scope = set(self._open), sys.getrecursionlimit(), len(self.scope)
        try:
            return self._encode(value)
        except RecursionError:
            for number in self.scope[scope:]:
                self.release(number)
            del self.scope[scope:]
            return self._encode_deep(value, max(limit, 20_000), limit)
        finally:
            self._tracking = before
            self._open = mark

    def _encode_deep(self, value: object, deeper: int, limit: int) -> Node:
        self._open.clear()
        sys.setrecursionlimit(deeper)
        try:
            return self._encode(value)
        except RecursionError:
            raise NotPlain("nested too deeply") from None
        finally:
            sys.setrecursionlimit(limit)

    def _encode(self, value: object) -> Node:
        kind = type(value)
        if kind in ATOMS:
            if kind is int and not -_SMALL <= value < _SMALL:  # type: ignore[operator]
                return ["i", hex(value)]  # type: ignore[arg-type]
            return value
        encoder = _ENCODERS.get(kind)
        if encoder is not None:
            return encoder(self, value)
        extended = describe_extended(value)
        if extended is not None:
            name, payload = extended
            return ["x", name, self._encode(payload)]
        return self.encode_other(value)

    def _number(self, value: object) -> int:
        if not self._tracking:
            return 0
        number = self._next_number
        self._next_number += 2
        self.register(number, value)
        return number

    def register(self, number: int, value: object) -> None:
        """Remember a container under its number, for the call in progress."""
        # First the entry by which it is released: even this call can meet the recursion limit.
        self.scope.append(number)
        self.shared[number] = value
        self.number_of[id(value)] = number

    def release(self, number: int) -> None:
        """Forget a numbered container."""
        value = self.shared.pop(number, None)
        if self.number_of.get(id(value)) == number:
            del self.number_of[id(value)]

    def _container(self, value: object) -> tuple[int, Node | None]:
        """(number, node): the node only if the peer knows this container already."""
        known = self.number_of.get(id(value))
        if known is not None:
            return known, ["g", known]
        if id(value) in self._open:
            raise NotPlain("a container that holds itself")
        return self._number(value), None

    def body(self, value: object, number: int) -> Node:
        """The full node of a mutable container, even if it is known by number."""
        return _BODIES[type(value)](self, value, number)

    def _many(self, owner: object, values: list[object]) -> list[Node]:
        self._open.add(id(owner))
        try:
            return [self._encode(value) for value in values]
        finally:
            self._open.discard(id(owner))

    def decode_whole(self, node: Node) -> object:
        """As `decode`, for a value nested more deeply than the recursion limit allows."""
        mark = len(self.scope)
        try:
            return self.decode(node)
        except RecursionError:
            for number in self.scope[mark:]:
                self.release(number)
            del self.scope[mark:]
            return with_room(self._decode_with_room, node)

    def _decode_with_room(self, node: Node) -> object:
        if sys.getrecursionlimit() < 20_000:
            raise RecursionError
        return self.decode(node)

    def decode(self, node: Node) -> object:
        """The value of a node; raises BadFrame for anything the protocol does not know."""
        if type(node) is not list:
            if type(node) in ATOMS:
                return node
            raise BadFrame("neither an atom nor a node")
        if not node or type(node[0]) is not str:
            raise BadFrame("a node without a tag")
        decoder = _DECODERS.get(node[0])
        try:
            return decoder(self, node) if decoder is not None else self.decode_other(node)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            raise BadFrame(f"bad {node[0]!r} node: {type(error).__name__}") from None


def _is_flat(values: list[object] | tuple[object, ...]) -> bool:
    if not ATOMS.issuperset(map(type, values)):
        return False
    # Very long integers have no cheap decimal form; the tagged form is always safe.
    return all(-_SMALL <= v < _SMALL for v in values if type(v) is int)


def _list_body(codec: Codec, value: object, number: int) -> Node:
    assert isinstance(value, list)
    if _is_flat(value):
        return ["L", number, value]
    return ["l", number, codec._many(value, value)]


def _dict_body(codec: Codec, value: object, number: int) -> Node:
    assert isinstance(value, dict)
    keys, values = list(value), list(value.values())
    if _is_flat(keys) and _is_flat(values):
        return ["D", number, keys, values]
    return ["d", number, codec._many(value, keys), codec._many(value, values)]


def _set_body(codec: Codec, value: object, number: int) -> Node:
    assert isinstance(value, set)
    return ["s", number, codec._many(value, list(value))]


def _bytearray_body(codec: Codec, value: object, number: int) -> Node:
    assert isinstance(value, bytearray)
    return ["B", number, binascii.b2a_base64(value, newline=False).decode()]


_BODIES: dict[type, Callable[[Codec, object, int], Node]] = {
    list: _list_body,
    dict: _dict_body,
    set: _set_body,
    bytearray: _bytearray_body,
}


def _encode_container(codec: Codec, value: object) -> Node:
    number, known = codec._container(value)
    return known if known is not None else codec.body(value, number)


def _encode_tuple(codec: Codec, value: object) -> Node:
    assert isinstance(value, tuple)
    if _is_flat(value):
        return ["T", value]
    if id(value) in codec._open:
        raise NotPlain("a tuple that holds itself")
    return ["t", codec._many(value, list(value))]


def _encode_frozenset(codec: Codec, value: object) -> Node:
    assert isinstance(value, frozenset)
    return ["f", codec._many(value, list(value))]


def _encode_bytes(_codec: Codec, value: object) -> Node:
    assert isinstance(value, bytes)
    return ["b", binascii.b2a_base64(value, newline=False).decode()]


def _encode_complex(_codec: Codec, value: object) -> Node:
    assert isinstance(value, complex)
    return ["c", value.real, value.imag]


_ENCODERS: dict[type, Callable[[Codec, object], Node]] = {
    list: _encode_container,
    dict: _encode_container,
    set: _encode_container,
    bytearray: _encode_container,
    tuple: _encode_tuple,
    frozenset: _encode_frozenset,
    bytes: _encode_bytes,
    complex: _encode_complex,
    type(...): lambda _codec, _value: ["e"],
    type(NotImplemented): lambda _codec, _value: ["n"],
}


def _items(node: object) -> list[object]:
    if type(node) is not list:
        raise BadFrame("expected a list")
    return node


def _atoms(node: object) -> list[object]:
    values = _items(node)
    if not ATOMS.issuperset(map(type, values)):
        raise BadFrame("expected atoms")
    return values


def _text(node: object) -> str:
    if type(node) is not str:
        raise BadFrame("expected text")
    return node


def _number_of(codec: Codec, node: list[object], value: object) -> None:
    number = node[1]
    if type(number) is not int:
        raise BadFrame("expected a number")
    if number:
        if number in codec.shared:
            raise BadFrame("a container number used twice")
        codec.register(number, value)


def _decode_list(codec: Codec, node: list[object]) -> object:
    value: list[object] = []
    _number_of(codec, node, value)
    if node[0] == "L":
        value.extend(_atoms(node[2]))
    else:
        value.extend([codec.decode(item) for item in _items(node[2])])
    return value


def _decode_dict(codec: Codec, node: list[object]) -> object:
    value: dict[object, object] = {}
    _number_of(codec, node, value)
    if node[0] == "D":
        keys, values = _atoms(node[2]), _atoms(node[3])
    else:
        keys = [codec.decode(key) for key in _items(node[2])]
        values = [codec.decode(item) for item in _items(node[3])]
    if len(keys) != len(values):
        raise BadFrame("a dict with unequal halves")
    value.update(zip(keys, values, strict=False))
    return value


def _decode_set(codec: Codec, node: list[object]) -> object:
    value: set[object] = set()
    _number_of(codec, node, value)
    value.update(codec.decode(item) for item in _items(node[2]))
    return value


def _decode_bytearray(codec: Codec, node: list[object]) -> object:
    value = bytearray(binascii.a2b_base64(_text(node[2])))
    _number_of(codec, node, value)
    return value


def _decode_complex(_codec: Codec, node: list[object]) -> object:
    real, imag = node[1], node[2]
    if type(real) is not float or type(imag) is not float:
        raise BadFrame("a complex needs two floats")
    return complex(real, imag)


def _decode_known(codec: Codec, node: list[object]) -> object:
    number = node[1]
    if type(number) is not int or number not in codec.shared:
        raise BadFrame("an unknown container number")
    return codec.shared[number]


_DECODERS: dict[object, Callable[[Codec, list[object]], object]] = {
    "l": _decode_list,
    "L": _decode_list,
    "d": _decode_dict,
    "D": _decode_dict,
    "s": _decode_set,
    "B": _decode_bytearray,
    "t": lambda codec, node: tuple([codec.decode(item) for item in _items(node[1])]),
    "T": lambda _codec, node: tuple(_atoms(node[1])),
    "f": lambda codec, node: frozenset([codec.decode(item) for item in _items(node[1])]),
    "b": lambda _codec, node: binascii.a2b_base64(_text(node[1])),
    "c": _decode_complex,
    "i": lambda _codec, node: int(_text(node[1]), 16),
    "e": lambda _codec, _node: ...,
    "n": lambda _codec, _node: NotImplemented,
    "g": _decode_known,
    "x": lambda codec, node: build_extended(_text(node[1]), codec.decode(node[2])),
}
