"""A conversation between the program's process and the tests' process.

Either side asks (`q`) and answers (`a`); while one waits for its answer it serves questions,
so callbacks nest. An object that is not plain data stays in its own process and is named by a
handle. Mutable containers that were passed are kept equal on both sides while either uses them.

Frames: `["q", operation, node, sync, classes, capture]` and
`["a", succeeded, node, sync, classes, keep, printed]`.
"""

from __future__ import annotations

import marshal
import sys
from _thread import RLock
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from codefavor.sandbox.codec import ATOMS, Codec, Node, NotPlain
from codefavor.sandbox.wire import BadFrame, Channel, FrameTooLarge, PeerGone

_MUTABLE = (list, dict, set, bytearray)
_MOST_SHARED = 256


class Bridge(Codec):
    """What both sides have in common; `serve` and the naming of objects are theirs."""

    def __init__(self, channel: Channel, first_number: int) -> None:
        super().__init__(first_number)
        self.channel = channel
        self.lock = RLock()
        self.exports: dict[int, object] = {}
        self.handle_of: dict[int, int] = {}
        self.remote_of: dict[int, int] = {}
        self.remotes: dict[int, object] = {}
        self.n_asked = 0
        self.is_broken = False
        self._snapshots: dict[int, object] = {}
        self._fresh_classes: list[Node] = []

    # -- what a side adds -----------------------------------------------------------------

    def serve(self, operation: str, arguments: list[object]) -> object:
        """Carry out what the peer asked for; returns any value or raises."""
        raise NotImplementedError

    def encode_error(self, error: BaseException) -> Node:
        """The node of an exception that ended a question."""
        raise NotImplementedError

    def raise_error(self, node: Node) -> None:
        """Raise here what the peer's answer says went wrong there."""
        raise NotImplementedError

    def learn_class(self, description: list[object]) -> None:
        """Take in a class of the peer."""
        raise NotImplementedError

    def note_made(self, kind: type, made: object) -> None:
        """A class of the peer was called here; `made` is what it gave."""

    def is_capturing(self) -> bool:
        """Whether the text the peer prints while it answers is wanted here."""
        return False

    def start_capture(self) -> object:
        """Begin to collect what is printed; the result goes to `end_capture`."""
        return None

    def end_capture(self, started: object) -> str:
        """What was printed since."""
        return ""

    def show(self, printed: str) -> None:
        """Print here what the peer printed."""

    # -- handles --------------------------------------------------------------------------

    def export(self, value: object) -> int:
        """The handle under which the peer may name this object."""
        handle = self.handle_of.get(id(value))
        if handle is None:
            handle = len(self.exports) + 1
            self.exports[handle] = value
            self.handle_of[id(value)] = handle
        return handle

    def resolve(self, handle: object) -> Any:
        """The own object of a handle; raises BadFrame for one that was never given out."""
        if type(handle) is not int or handle not in self.exports:
            raise BadFrame("an unknown handle")
        return self.exports[handle]

    def adopt(self, handle: int, value: object) -> None:
        """Remember which local object stands for the peer's object."""
        self.remotes[handle] = value
        self.remote_of[id(value)] = handle

    # -- asking ---------------------------------------------------------------------------

    def ask(
        self,
        operation: str,
        target: int,
        arguments: Iterable[object] = (),
        keywords: Mapping[str, object] | None = None,
    ) -> Any:
        """Have the peer do something; returns its value or raises its exception."""
        with self.lock:
            if self.is_broken:
                raise BadFrame("the conversation broke earlier")
            self.n_asked += 1
            outer, self.scope = self.scope, []
            mine = self.scope
            try:
                self._ask(operation, target, list(arguments), dict(keywords or {}))
                frame = self._await_answer()
                keep = frame[5] if type(frame[5]) is list else []
                try:
                    return self._read_answer(frame)
                finally:
                    self._drop(mine, keep)
            except BadFrame:
                self.is_broken = True
                raise
            finally:
                self.scope = outer

    def _ask(
        self, operation: str, target: int, arguments: list[object], keywords: dict[str, object]
    ) -> None:
        node: list[object] = [
            target,
            [self.encode(value, track=True) for value in arguments],
            list(keywords),
            [self.encode(value, track=True) for value in keywords.values()],
        ]
        sync = self._changes()
        self.channel.send(["q", operation, node, sync, self._classes(), self.is_capturing()])

    def _await_answer(self) -> list[object]:
        while True:
            frame = self.channel.receive()
            if type(frame) is not list or len(frame) < 6:
                raise BadFrame("neither a question nor an answer")
            if frame[0] == "a" and len(frame) == 7:
                return frame
            if frame[0] != "q":
                raise BadFrame("neither a question nor an answer")
            self._answer(frame)

    def _read_answer(self, frame: list[object]) -> object:
        _kind, succeeded, node, sync, classes, _keep, printed = frame
        self._learn(classes)
        value = self.decode_whole(node) if succeeded is True else None
        self._apply(sync)
        self._settle()
        if type(printed) is str and printed:
            self.show(printed)
        if succeeded is not True:
            self.raise_error(node)
        return value

    # -- answering ------------------------------------------------------------------------

    def serve_forever(self) -> None:
        """Answer questions until the peer goes away."""
        while True:
            with self.lock:
                frame = self.channel.receive()
                if type(frame) is not list or len(frame) != 6 or frame[0] != "q":
                    raise BadFrame("expected a question")
                request = self._read_question(frame)
            self._carry_out(*request)

    def _answer(self, frame: list[object]) -> None:
        if len(frame) != 6:
            raise BadFrame("expected a question")
        self._carry_out(*self._read_question(frame))

    def _read_question(
        self, frame: list[object]
    ) -> tuple[str, list[object], list[int], list[int], bool]:
        _kind, operation, node, sync, classes, capture = frame
        if type(operation) is not str or type(node) is not list or len(node) != 4:
            raise BadFrame("a malformed question")
        outer, self.scope = self.scope, []
        self._learn(classes)
        target, positional, names, values = node
        if not all(type(part) is list for part in (positional, names, values)):
            raise BadFrame("malformed arguments")
        if not all(type(name) is str for name in names) or len(names) != len(values):
            raise BadFrame("malformed keywords")
        args = [self.decode_whole(item) for item in positional]
        keywords = dict(zip(names, map(self.decode_whole, values), strict=True))
        self._apply(sync)
        self._settle()
        return operation, [target, args, keywords], self.scope, outer, capture is True

    def _carry_out(
        self,
        operation: str,
        arguments: list[object],
        mine: list[int],
        outer: list[int],
        capture: bool,
    ) -> None:
        started = self.start_capture() if capture else None
        error: BaseException | None = None
        value: object = None
        try:
            value = self.serve(operation, arguments)
        except (PeerGone, BadFrame):
            raise
        except BaseException as caught:  # noqa: BLE001  whatever a program raises is an answer
            error = caught
        printed = self.end_capture(started) if capture else ""
        arguments.clear()
        with self.lock:
            result = [value, error]
            del value, error
            self._send_answer(result, mine, printed)
            self.scope = outer

    def _send_answer(self, result: list[Any], mine: list[int], printed: str) -> None:
        try:
            succeeded, node = result[1] is None, self._encode_result(*result)
            sync = self._changes()
            result.clear()
            self._drop_unused(mine)
            kept = [number for number in mine if number in self.shared]
            self.channel.send(["a", succeeded, node, sync, self._classes(), kept, printed])
        except (FrameTooLarge, NotPlain, MemoryError, RecursionError) as failure:
            for number in mine:
                self._forget(number)
            node = self.encode_error(failure)
            self.channel.send(["a", False, node, [], self._classes(), [], ""])

    def _encode_result(self, value: object, error: BaseException | None) -> Node:
        return self.encode(value) if error is None else self.encode_error(error)

    def encode(self, value: object, *, track: bool = False) -> Node:
        """As in Codec; a value without a plain form is named by a handle instead."""
        mark = len(self.scope)
        try:
            return super().encode(value, track=track)
        except NotPlain:
            for number in self.scope[mark:]:
                self._forget(number)
            del self.scope[mark:]
            return self.encode_other(value)

    # -- containers on both sides ---------------------------------------------------------

    def _is_held(self, number: int) -> bool:
        # The caller drops what is not kept here; who still holds a container shows in its
        # reference count.
        if len(self.shared) > _MOST_SHARED:
            return False
        # the table and the argument of getrefcount
        return number in self.shared and sys.getrefcount(self.shared[number]) > 2

    def _drop_unused(self, mine: list[int]) -> None:
        # Outer containers come first, and release the inner ones.
        for number in mine:
            if not self._is_held(number):
                self._forget(number)

    def _drop(self, mine: list[int], keep: list[object]) -> None:
        kept = {number for number in keep if type(number) is int}
        for number in mine:
            if number not in kept:
                self._forget(number)

    def _forget(self, number: int) -> None:
        self.release(number)
        self._snapshots.pop(number, None)

    def _changes(self) -> list[Node]:
        changed: list[Node] = []
        for number in list(self.shared):
            value = self.shared[number]
            snapshot = _snapshot(value)
            if number not in self._snapshots:
                self._snapshots[number] = snapshot
            elif self._snapshots[number] != snapshot:
                self._snapshots[number] = snapshot
                changed.append([number, self._open_body(value)])
        return changed

    def _open_body(self, value: object) -> Node:
        before, self._tracking = self._tracking, False
        try:
            return self.body(value, 0)
        finally:
            self._tracking = before

    def _apply(self, sync: object) -> None:
        if type(sync) is not list:
            raise BadFrame("malformed changes")
        for change in sync:
            if type(change) is not list or len(change) != 2 or type(change[0]) is not int:
                raise BadFrame("a malformed change")
            number, node = change
            if number not in self.shared:
                continue
            _overwrite(self.shared[number], self.decode_whole(node))
            self._snapshots.pop(number, None)

    def _settle(self) -> None:
        for number, value in self.shared.items():
            if number not in self._snapshots:
                self._snapshots[number] = _snapshot(value)

    # -- classes --------------------------------------------------------------------------

    def announce_class(self, description: Node) -> None:
        """Send the description of an own class along with the next frame."""
        self._fresh_classes.append(description)

    def _classes(self) -> list[Node]:
        fresh, self._fresh_classes = self._fresh_classes, []
        return fresh

    def _learn(self, classes: object) -> None:
        if type(classes) is not list:
            raise BadFrame("malformed classes")
        for description in classes:
            if type(description) is not list:
                raise BadFrame("a malformed class")
            self.learn_class(description)


def _snapshot(value: Any) -> object:
    # marshal is only written here, never read: it is the fastest exact-type fingerprint.
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        pass
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    flat = [part for pair in pairs for part in pair]
    return [(type(part), part) if type(part) in ATOMS else id(part) for part in flat]


def _overwrite(target: Any, source: Any) -> None:
    if type(target) is not type(source) or type(target) not in _MUTABLE:
        raise BadFrame("a change of another type")
    if isinstance(target, list | bytearray):
        target[:] = source
    else:
        target.clear()
        target.update(source)


def module_name(value: object) -> str:
    """The name of a module that the other side may import by itself, "" for any other."""
    if type(value) is not ModuleType:
        return ""
    name = value.__dict__.get("__name__")
    if type(name) is not str or sys.modules.get(name) is not value:
        return ""
    return name if is_known_module(name) else ""


def is_known_module(name: str) -> bool:
    """Whether a module belongs to the standard library or the numerical stack."""
    top = name.partition(".")[0]
    if top in ("antigravity", "this", "test", "idlelib", "turtledemo", "__main__"):
        return False
    return top in sys.stdlib_module_names or top in (
        "numpy", "scipy", "pandas", "sympy", "networkx", "sklearn"
    )  # fmt: skip
