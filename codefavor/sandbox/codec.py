"""Plain data as JSON nodes, by exact type. No pickle, no class of the sender is ever built.

An atom stands for itself; everything else is a list `[tag, ...]`. A mutable container carries
a number (0: a copy), so that both processes can speak of the same list while either changes it.
What is not plain goes to two hooks; a value that no hook takes does not cross.
"""

from __future__ import annotations

import binascii
import marshal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from codefavor.sandbox import values
from codefavor.sandbox.wire import BadFrame, with_room

Node = object
ATOMS = frozenset((type(None), bool, int, float, str))
# Built-in types and exceptions are constants of the language: they cross by name.
CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset,
        range, slice, object, type(None), *(
            kind
            for kind in vars(sys.modules["builtins"]).values()
            if isinstance(kind, type) and issubclass(kind, BaseException)
        ),
    )
}  # fmt: skip
_NAME_OF_CLASS = {kind: name for name, kind in CLASSES.items()}
_SMALL = 1 << 63
_MOST_SHARED = 100_000


class NotPlain(Exception):
    """The value has no plain form (it holds itself, or is nested too deeply)."""


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
        self._shares = False

    def encode_other(self, value: object) -> Node:
        """The node of a value that is not plain."""
        raise NotImplementedError

    def decode_other(self, node: list[object]) -> object:
        """The value of a node whose tag the codec does not know."""
        raise NotImplementedError

    # -- encoding -------------------------------------------------------------------------

    def encode(self, value: object, *, share: bool = False) -> Node:
        """The node of any value; with `share`, mutable containers in it get numbers."""
        self._open.clear()
        self._shares = share
        before = self._next_number
        try:
            return self._encode(value)
        except (RecursionError, NotPlain):
            for number in range(before, self._next_number, 2):
                self.forget(number)
            return self.encode_other(value)

    def _encode(self, value: object) -> Node:
        kind = type(value)
        if kind in ATOMS:
            if kind is int and not -_SMALL <= value < _SMALL:  # type: ignore[operator]
                return ["i", hex(value)]  # type: ignore[arg-type]
            return value
        encoder = _ENCODERS.get(kind)
        if encoder is not None:
            return encoder(self, value)
        if kind in _MUTABLE:
            return self._container(value)
        if kind is type and value in _NAME_OF_CLASS:
            return ["y", _NAME_OF_CLASS[value]]
        found = values.kind_of(value)
        if found is None:
            return self.encode_other(value)
        if found[1].refill is not None:
            return self._container(value)
        return self._described(value, 0, *found)

    def _described(self, value: object, number: int, name: str, kind: values.Kind) -> Node:
        if name == "ndarray" and getattr(value, "base", None) is not None and self.is_view(value):
            raise NotPlain("an array that shares its memory")
        try:
            parts = kind.describe(value)
        except LookupError:
            raise NotPlain(name) from None
        return ["x", number, name, self.many(value, (parts,))[0]]

    def _container(self, value: object) -> Node:
        if id(value) in self._open:
            raise NotPlain("a container that holds itself")
        number = self._number_of.get(id(value))
        if number is not None:
            return ["g", number]
        if self._shares:
            number = self._next_number
            self._next_number += 2
            self.register(number, value)
        return self._body(value, number or 0)

    def _body(self, value: Any, number: int) -> Node:
        """The full node of a mutable container, even if it is known by number."""
        kind = type(value)
        if kind is list:
            if is_flat(value):
                return ["L", number, value]
            return ["l", number, self.many(value, value)]
        if kind is dict:
            keys, items = list(value), list(value.values())
            if is_flat(keys) and is_flat(items):
                return ["D", number, keys, items]
            return ["d", number, self.many(value, keys), self.many(value, items)]
        if kind is set:
            return ["s", number, self.many(value, value)]
        if kind is bytearray:
            return ["B", number, binascii.b2a_base64(value, newline=False).decode()]
        found = values.kind_of(value)
        assert found is not None
        return self._described(value, number, *found)

    def many(self, owner: object, items: Iterable[object]) -> list[Node]:
        """The nodes of what a value holds; raises NotPlain if it holds itself."""
        if id(owner) in self._open:
            raise NotPlain("a value that holds itself")
        self._open.add(id(owner))
        found = [self._encode(item) for item in items]
        self._open.discard(id(owner))
        return found

    def is_view(self, value: Any) -> bool:
        """Whether an array shares memory that somebody else holds; only the program's may."""
        return False

    # -- containers that both sides know -----------------------------------------------------

    def register(self, number: int, value: object) -> None:
        """Remember a container under its number."""
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
        for number, value in self.shared.items():
            if number not in self._snapshots:
                self._snapshots[number] = _snapshot(value)

    def changes(self) -> list[Node]:
        """[number, body] of every container that changed since the peer last heard of it."""
        changed: list[Node] = []
        for number, value in list(self.shared.items()):
            snapshot = _snapshot(value)
            if self._snapshots.get(number, snapshot) != snapshot:
                # What was put into it is known to both from now on, as it is itself.
                self._shares = True
                self._open.clear()
                changed.append([number, self._body(value, 0)])
            self._snapshots[number] = snapshot
        return changed

    def apply(self, changed: object) -> None:
        """Make own containers equal to the peer's; raises BadFrame for anything malformed."""
        for change in items_of(changed):
            if type(change) is not list or len(change) != 2 or type(change[0]) is not int:
                raise BadFrame("a malformed change")
            target = self.shared.get(change[0])
            source = self.decode(change[1])
            if target is None:
                continue
            if type(target) is not type(source):
                raise BadFrame("a change of another type")
            found = values.kind_of(target)
            refill = _MUTABLE.get(type(target)) or (found and found[1].refill)
            if not refill:
                raise BadFrame("a change of what cannot change")
            refill(target, source)
            self._snapshots.pop(change[0], None)

    def prune(self) -> list[int]:
        """Forget the containers that nobody here holds any more; their numbers."""
        gone: list[int] = []
        # An outer container holds its inner ones, so look again while something goes.
        while True:
            # The table and the argument of getrefcount.
            loose = [n for n in self.shared if sys.getrefcount(self.shared[n]) <= 2]
            for number in loose:
                self.forget(number)
            gone += loose
            if not loose:
                return gone

    # -- decoding -------------------------------------------------------------------------

    def decode(self, node: Node) -> object:
        """The value of a node; raises BadFrame for anything the protocol does not know."""
        n_shared = len(self.shared)

        def decode() -> object:
            for number in list(self.shared)[n_shared:]:
                self.forget(number)  # of the first try
            return self._decode(node)

        try:
            return with_room(decode)
        except RecursionError:
            raise BadFrame("a value nested too deeply") from None

    def _decode(self, node: Node) -> object:
        if type(node) is not list:
            if type(node) in ATOMS:
                return node
            raise BadFrame("neither an atom nor a node")
        if not node or type(node[0]) is not str:
            raise BadFrame("a node without a tag")
        decoder = _DECODERS.get(node[0])
        try:
            return decoder(self, node) if decoder is not None else self.decode_other(node)
        except RecursionError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, NotPlain) as error:
            raise BadFrame(f"bad {node[0]!r} node: {type(error).__name__}") from None

    def _numbered(self, number: object, value: object) -> object:
        if type(number) is not int:
            raise BadFrame("expected a number")
        if number:
            if number in self.shared:
                raise BadFrame("a container number used twice")
            self.register(number, value)
        return value


def is_flat(items: Any) -> bool:
    """Whether JSON says the items exactly as they are."""
    if not ATOMS.issuperset(map(type, items)):
        return False
    # Very long integers have no cheap decimal form; the tagged form is always safe.
    return all(-_SMALL <= item < _SMALL for item in items if type(item) is int)


def _snapshot(value: Any) -> object:
    # marshal is only written here, never read: it is the fastest exact-type fingerprint.
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        pass
    if hasattr(value, "tobytes"):
        return value.tobytes()
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    flat = [part for pair in pairs for part in pair]
    return [(type(part), part) if type(part) in ATOMS else id(part) for part in flat]


def _replace(target: Any, source: Any) -> None:
    target[:] = source


def _clear_and_update(target: Any, source: Any) -> None:
    target.clear()
    target.update(source)


_MUTABLE: dict[type, Callable[[Any, Any], object]] = {
    list: _replace, bytearray: _replace, dict: _clear_and_update, set: _clear_and_update,
}  # fmt: skip


def _encode_tuple(codec: Codec, value: Any) -> Node:
    return ["T", value] if is_flat(value) else ["t", codec.many(value, value)]


_ENCODERS: dict[type, Callable[[Codec, Any], Node]] = {
    tuple: _encode_tuple,
    frozenset: lambda codec, value: ["f", codec.many(value, value)],
    bytes: lambda _codec, value: ["b", binascii.b2a_base64(value, newline=False).decode()],
    complex: lambda _codec, value: ["z", value.real, value.imag],
    type(...): lambda _codec, _value: ["e"],
    type(NotImplemented): lambda _codec, _value: ["N"],
}


def items_of(node: object) -> list[object]:
    """A list of the wire; raises BadFrame for anything else."""
    if type(node) is not list:
        raise BadFrame("expected a list")
    return node


def text_of(node: object) -> str:
    """A text of the wire; raises BadFrame for anything else."""
    if type(node) is not str:
        raise BadFrame("expected text")
    return node


def _atoms(node: object) -> list[object]:
    if not ATOMS.issuperset(map(type, items_of(node))):
        raise BadFrame("expected atoms")
    return node  # type: ignore[return-value]


def _decode_list(codec: Codec, node: list[object]) -> object:
    items = _atoms(node[2]) if node[0] == "L" else map(codec._decode, items_of(node[2]))
    return codec._numbered(node[1], list(items))


def _decode_dict(codec: Codec, node: list[object]) -> object:
    keys, items = items_of(node[2]), items_of(node[3])
    if node[0] == "D":
        keys, items = _atoms(keys), _atoms(items)
    else:
        keys, items = list(map(codec._decode, keys)), list(map(codec._decode, items))
    return codec._numbered(node[1], dict(zip(keys, items, strict=True)))


def _decode_set(codec: Codec, node: list[object]) -> object:
    return codec._numbered(node[1], set(map(codec._decode, items_of(node[2]))))


def _decode_bytearray(codec: Codec, node: list[object]) -> object:
    return codec._numbered(node[1], bytearray(binascii.a2b_base64(text_of(node[2]))))


def _decode_complex(_codec: Codec, node: list[object]) -> object:
    if type(node[1]) is not float or type(node[2]) is not float:
        raise BadFrame("a complex needs two floats")
    return complex(node[1], node[2])


def _decode_described(codec: Codec, node: list[object]) -> object:
    return codec._numbered(node[1], values.build(node[2], codec._decode(node[3])))


_DECODERS: dict[object, Callable[[Codec, list[object]], object]] = {
    "l": _decode_list,
    "L": _decode_list,
    "d": _decode_dict,
    "D": _decode_dict,
    "s": _decode_set,
    "B": _decode_bytearray,
    "t": lambda codec, node: tuple(map(codec._decode, items_of(node[1]))),
    "T": lambda _codec, node: tuple(_atoms(node[1])),
    "f": lambda codec, node: frozenset(map(codec._decode, items_of(node[1]))),
    "b": lambda _codec, node: binascii.a2b_base64(text_of(node[1])),
    "z": _decode_complex,
    "i": lambda _codec, node: int(text_of(node[1]), 16),
    "e": lambda _codec, _node: ...,
    "N": lambda _codec, _node: NotImplemented,
    "y": lambda _codec, node: CLASSES[text_of(node[1])],
    "g": lambda codec, node: codec.shared[node[1]],  # type: ignore[index]
    "x": _decode_described,
}
