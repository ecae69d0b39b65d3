"""A conversation of two processes: either asks (`q`) and answers (`a`); what is asked nests.

While one side waits for its answer it serves the other's questions, so callbacks work.
Frames: `["q", operation, target, arguments, keywords, changes, dropped, token]`,
`["a", succeeded, node, changes, dropped, token]`, and `["u", reason]`: the program's process cannot
do what one process would have done. Who has not read a question cannot know its token, so that no
answer can be sent ahead.
"""

from __future__ import annotations

import os
from _thread import RLock
from collections.abc import Callable, Sequence
from typing import Any

from codefavor.sandbox.codec import Codec, Node, kind_of
from codefavor.sandbox.wire import (
    BadFrame,
    Channel,
    FrameTooLarge,
    PeerGone,
    Unsupported,
    exact,
    items_of,
)


class Link(Codec):
    """What both ends have in common; `serve` and the naming of objects are theirs."""

    fatal = (PeerGone, BadFrame, Unsupported)
    # Carry out what the peer asked for (returns any value or raises); the node of an exception
    # that ended a question; the exception to raise here for one that did so there.
    serve: Callable[[object, Node, list[Any], Any], object]
    encode_error: Callable[[BaseException], Node]
    error_of: Callable[[Node], BaseException]

    def __init__(self, channel: Channel, first_number: int) -> None:
        super().__init__(first_number)
        self.channel = channel
        # A program may call back from several threads; one conversation at a time.
        self.lock = RLock()

    def new_token(self) -> str:
        """A text that nobody can guess."""
        return os.urandom(8).hex()

    def ask(
        self, operation: str, target: Node, arguments: Sequence[object] = (), keywords: Any = None
    ) -> Any:
        """Have the peer do something; returns its value or raises its exception."""
        with self.lock:
            token, named = self.new_token(), keywords or {}
            self._send(lambda: [
                "q", operation, target, [self.encode(value) for value in arguments],
                {name: self.encode(value) for name, value in named.items()},
            ], token)  # fmt: skip
            while True:
                frame = items_of(self.channel.receive())
                if frame[:1] == ["a"] and len(frame) == 6:
                    if frame[5] != token:
                        raise BadFrame("an answer to no question")
                    return self._read_answer(*frame[1:5])
                if frame[:1] == ["u"] and len(frame) == 2:
                    raise Unsupported(exact(str, frame[1])[:200])
                self._answer(frame)

    def _read_answer(self, succeeded: object, node: Node, changed: object, dropped: object) -> Any:
        value = self.decode(node) if succeeded is True else self.error_of(node)
        self._take_in(changed, dropped)
        if succeeded is not True:
            raise value
        return value

    def _take_in(self, changed: object, dropped: object) -> None:
        self.apply(changed)
        for number in items_of(dropped):
            self.forget(exact(int, number))
        self.settle()

    def serve_forever(self) -> None:
        """Answer until the peer closes the channel (raises PeerGone)."""
        while True:
            self._answer(items_of(self.channel.receive()))

    def _answer(self, frame: list[Any]) -> None:
        if len(frame) != 8 or frame[0] != "q" or type(frame[4]) is not dict:
            raise BadFrame("neither a question nor an answer")
        _, operation, target, items, named, changed, dropped, token = frame
        arguments = [self.decode(item) for item in items_of(items)]
        keywords = {name: self.decode(node) for name, node in named.items()}
        self._take_in(changed, dropped)
        result: list[Any] = []
        try:
            result.append(self.serve(operation, target, arguments, keywords))
            succeeded = True
        except self.fatal:
            raise
        except BaseException as error:  # whatever was raised is the answer
            result.append(error)
            succeeded = False
        # From here on only what somebody holds keeps a container alive.
        arguments.clear()
        keywords.clear()
        with self.lock:
            self._send_answer(succeeded, result, token)

    def _send_answer(self, succeeded: bool, result: list[Any], token: object) -> None:
        encode = self.encode if succeeded else self.encode_error
        try:
            self._send(lambda: ["a", succeeded, encode(result.pop())], token)
        except FrameTooLarge as error:
            self.channel.send(["a", False, self.encode_error(error), [], [], token])

    def _send(self, nodes: Callable[[], list[Node]], token: object) -> None:
        """Send a frame; whatever else goes wrong on the way, neither side may take for its own."""
        frame: list[Node] = []
        try:
            frame = [*nodes(), self.changes(), self.prune(), token]
            self.settle()
            self.channel.send(frame)
        except self.fatal:
            raise
        except BaseException as error:  # of a copy, of its size, or of a signal's handler
            if type(error) is FrameTooLarge and frame[:1] == ["a"]:
                raise
            self.refuse(f"{kind_of(error).__name__} on the way")
