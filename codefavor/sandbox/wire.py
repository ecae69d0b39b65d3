"""Frames of JSON over a socket: a length, then text. Nothing in a frame is ever executed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
_HEADER = 4
_CHUNK = 16 << 10
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode


class PeerGone(BaseException):
    """The other process closed the channel or died. Tests must not be able to swallow it."""


class BadFrame(BaseException):
    """The other process sent what the protocol does not know."""


class FrameTooLarge(Exception):
    """A value does not fit into one frame."""


def with_room(action: Callable[[A], B], argument: A) -> B:
    """Call; if the program's own recursion limit is too low for it, once more with a higher."""
    try:
        return action(argument)
    except RecursionError:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, 20_000))
        try:
            return action(argument)
        finally:
            sys.setrecursionlimit(limit)


def flatten(value: object) -> list[object]:
    """A nesting of lists and dicts of any depth as one list; JSON itself nests only so far.

    A list of n items is [n] and then its items, a dict of n pairs [n, 0] and then its keys
    and values in turn.
    """
    found: list[object] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is list:
            found.append([len(item)])
            waiting += reversed(item)
        elif type(item) is dict:
            found.append([len(item), 0])
            waiting += reversed([part for pair in item.items() for part in pair])
        else:
            found.append(item)
    return found


def unflatten(frame: dict[str, object]) -> object:
    """The value that `flatten` was given; raises BadFrame for anything else."""
    parts = frame.get("flat")
    if type(parts) is not list or not parts:
        raise BadFrame("a malformed flat frame")
    made: list[object] = []
    # From the end: when a container's head is met, its parts are the last ones made.
    for part in reversed(parts):
        if type(part) is not list:
            made.append(part)
            continue
        n_parts = part[0] * len(part) if len(part) in (1, 2) and type(part[0]) is int else -1
        if not 0 <= n_parts <= len(made):
            raise BadFrame("a malformed flat frame")
        items = made[len(made) - n_parts :][::-1]
        del made[len(made) - n_parts :]
        if len(part) == 2 and not all(type(key) is str for key in items[::2]):
            raise BadFrame("a malformed flat frame")
        made.append(items if len(part) == 1 else dict(zip(items[::2], items[1::2], strict=True)))
    if len(made) != 1:
        raise BadFrame("a malformed flat frame")
    return made[0]


class Channel:
    """One end of a socket pair; frames of at most `limit` bytes in either direction."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd = fd
        self.limit = limit
        self._rest = b""

    def send(self, frame: object) -> None:
        """Send one frame; raises FrameTooLarge before a byte of it was sent."""
        try:
            text = _encode(frame)
        except RecursionError:
            text = _encode({"flat": flatten(frame)})
        # surrogatepass: a lone surrogate is a legal Python string and has to arrive unchanged.
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > self.limit:
            raise FrameTooLarge(f"a value of {len(data)} bytes; the limit is {self.limit}")
        view = memoryview(len(data).to_bytes(_HEADER, "big") + data)
        try:
            while view:
                view = view[os.write(self.fd, view) :]
        except OSError as error:
            raise PeerGone(str(error)) from None

    def receive(self) -> object:
        """The next frame; raises PeerGone at the end, BadFrame for anything malformed."""
        size = int.from_bytes(self._read(_HEADER), "big")
        if size > self.limit:
            raise BadFrame(f"a frame of {size} bytes; the limit is {self.limit}")
        try:
            frame = with_room(_decode, self._read(size).decode("utf-8", "surrogatepass"))
            return unflatten(frame) if type(frame) is dict else frame
        except (ValueError, RecursionError) as error:
            raise BadFrame(f"not a frame: {type(error).__name__}") from None

    def _read(self, size: int) -> bytes:
        rest = self._rest
        if len(rest) < size:
            parts, missing = [rest], size - len(rest)
            while missing > 0:
                try:
                    part = os.read(self.fd, min(max(missing, _CHUNK), 1 << 20))
                except OSError as error:
                    raise PeerGone(str(error)) from None
                if not part:
                    raise PeerGone("the channel was closed")
                parts.append(part)
                missing -= len(part)
            rest = b"".join(parts)
        self._rest = rest[size:]
        return rest[:size]

    def forget(self) -> None:
        """Let go of the descriptor: whoever still holds this channel finds its peer gone."""
        self.fd, self._rest = -1, b""
