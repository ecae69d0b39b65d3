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
from collections.abc import Sequence
from typing import Any

from codefavor.sandbox.codec import Codec, Node
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

    def __init__(self, channel: Channel, first_number: int) -> None:
        super().__init__(first_number)
        self.channel = channel
        # A program may call back from several threads; one conversation at a time.
        self.lock = RLock()

    def new_token(self) -> str:
        """A text that nobody can guess."""
        return os.urandom(8).hex()

    def serve(self, operation: object, target: Node, arguments: list[Any], keywords: Any) -> object:
        """Carry out what the peer asked for; returns any value or raises."""
        raise NotImplementedError

    def encode_error(self, error: BaseException) -> Node:
        """The node of an exception that ended a question."""
        raise NotImplementedError

    def error_of(self, node: Node) -> BaseException:
        """The exception to raise here for what went wrong there."""
        raise NotImplementedError

    def ask(
        self, operation: str, target: Node, arguments: Sequence[object] = (), keywords: Any = None
    ) -> Any:
        """Have the peer do something; returns its value or raises its exception."""
        with self.lock:
            token = self.new_token()
            try:
                items = [self.encode(value) for value in arguments]
                named = {name: self.encode(value) for name, value in (keywords or {}).items()}
                changed, gone = self.changes(), self.prune()
                self.settle()
                self.channel.send(["q", operation, target, items, named, changed, gone, token])
            except (FrameTooLarge, MemoryError, RecursionError) as error:
                # Nobody may take it for an exception of what is called.
                self.refuse(f"{type(error).__name__} on the way of arguments")
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
        try:
            node = (self.encode if succeeded else self.encode_error)(result[0])
            result.clear()
            changed, gone = self.changes(), self.prune()
            self.settle()
            self.channel.send(["a", succeeded, node, changed, gone, token])
        except FrameTooLarge as error:
            self.channel.send(["a", False, self.encode_error(error), [], [], token])
        except (MemoryError, RecursionError) as error:
            result.clear()
            self.refuse(f"{type(error).__name__} on the way of an answer")
