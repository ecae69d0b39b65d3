"""Frames of JSON over a socket: a length, then text. Nothing in a frame is ever executed."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar, TypeVar

_HEADER = 4
_CHUNK = 16 << 10
_T = TypeVar("_T")


class PeerGone(BaseException):
    """The other process closed the channel or died. Tests must not be able to swallow it."""


class BadFrame(BaseException):
    """The other process sent what the protocol does not know."""


class Unsupported(BaseException):
    """Two processes would not do here what one does.

    `reasons` remembers it, whoever swallows it.
    """

    reasons: ClassVar[list[str]] = []

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reasons.append(reason)


class FrameTooLarge(Exception):
    """A value does not fit into one frame."""


def _constant(name: str) -> float:
    if name == "NaN":
        # Lists and `in` ask which object a NaN is, and a copy is another object.
        raise Unsupported("a NaN")
    return float(name)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder(parse_constant=_constant).decode


class Channel:
    """One end of a socket pair; frames of at most `limit` bytes in either direction."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd = fd
        self.limit = limit
        self._rest = b""

    def send(self, frame: object) -> None:
        """Send one frame; raises FrameTooLarge before a byte of it was sent."""
        try:
            # surrogatepass: a lone surrogate is a legal Python string and has to arrive unchanged.
            data = _encode(frame).encode("utf-8", "surrogatepass")
        except RecursionError:
            raise Unsupported("a value, or calls back and forth, nested too deeply") from None
        if len(data) > self.limit:
            raise FrameTooLarge(f"a value of {len(data)} bytes; the limit is {self.limit}")
        view = memoryview(len(data).to_bytes(_HEADER, "big") + data)
        try:
            while view:
                view = view[os.write(self.fd, view) :]
        except OSError as error:
            raise PeerGone(str(error)) from None

    def receive(self) -> object:
        """The next frame; raises PeerGone at the end, BadFrame for anything malformed.

        Raises Unsupported for a NaN, and where the memory does not take a frame.
        """
        size = int.from_bytes(self._read(_HEADER), "big")
        if size > self.limit:
            raise BadFrame(f"a frame of {size} bytes; the limit is {self.limit}")
        try:
            text = self._read(size).decode("utf-8", "surrogatepass")
            return _decode(text)
        except MemoryError:
            raise Unsupported("a value that takes too much memory") from None
        except (ValueError, RecursionError) as error:
            raise BadFrame(f"not a frame: {type(error).__name__}") from None

    def _read(self, size: int) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0:
            try:
                part = os.read(self.fd, min(max(missing, _CHUNK), 1 << 20))
            except OSError as error:
                raise PeerGone(str(error)) from None
            if not part:
                raise PeerGone("the channel was closed")
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def forget(self) -> None:
        """Let go of the descriptor: whoever still holds this channel finds its peer gone."""
        self.fd, self._rest = -1, b""


def items_of(node: object, size: int = -1) -> list[Any]:
    """A list of the wire, of a size if one is given; raises BadFrame for anything else."""
    if type(node) is not list or size not in (-1, len(node)):
        raise BadFrame("expected a list")
    return node


def exact(kind: type[_T], node: object) -> _T:
    """A text or number of the wire, of just this type; raises BadFrame for anything else."""
    if type(node) is not kind:
        raise BadFrame(f"expected {kind.__name__}")
    return node
