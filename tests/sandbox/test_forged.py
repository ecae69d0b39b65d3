"""Forged nodes: nothing is ever made of parts of other types than the codec's table says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest

from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.codec import CLASSES, Codec, Node, is_plain
from codefavor.sandbox.handles import Handle, JudgeLink, StandIn
from codefavor.sandbox.wire import BadFrame, Channel, Unsupported
from tests.sandbox.test_fuzz import VALUES

_FORMATS = ["d", 0, [0, 1, "names", "formats"], ["<", "i", ["l", 0, ["a"]], ["l", 0, ["O"]]]]
_POINTER = ["b", "QUFBQUFBQUE="]
# One of every kind of thing that a frame can say.
_PARTS: list[Any] = [
    None, True, False, 0, 1, -1, 2**62, 0.5, float("inf"), "", "a", "O", "<O8", "|V8", "i4,O",
    ["t", []], ["t", [1]], ["t", [True]], ["t", [-1, -1]], ["t", ["O", 8]], ["t", [2**40, 2**40]],
    ["t", [1] * 65], ["l", 0, []],
    ["l", 0, [["t", ["a", "O"]]]], ["l", 0, [["l", 0, ["a", 1]]]], ["s", 0, [1]],
    ["d", 0, [], []], ["d", 0, [1], [2]], _FORMATS, ["f", [1]], ["b", ""], _POINTER,
    ["b", "B+oBAQAAAAAAAA=="], ["i", "0x1"], ["i", hex(2**80)], ["y", "int"], ["y", "list"],
    ["k", "ValueError"], ["h", 3], ["c", 0], ["x", 0, "datetime.date", [2024, 1, 2]],
    ["x", 0, "decimal.Decimal", ["1"]], ["x", 0, "numpy.generic", ["<i8", _POINTER]],
    {}, {"a": 1}, [], [[]], ["x"], ["no tag"],
]  # fmt: skip


class _Sender(Codec):
    def encode_other(self, value: object) -> Node:
        return ["h", 1]


def _link() -> JudgeLink:
    link = JudgeLink(Channel(-1, 1 << 20))
    link.encode(len)  # so that there is a callback
    return link


def _look(value: Any) -> None:
    """Fails unless a value, to any depth, is of the table or a handle."""
    if type(value) in (Handle, StandIn) or value is len:
        return
    if isinstance(value, type):
        assert value in CLASSES.values()
        return
    assert is_plain(value), type(value)
    if isinstance(value, np.ndarray | np.generic):
        assert value.dtype.kind in "biufcSUmM"
    elif isinstance(value, dict):
        list(map(_look, itertools.chain(value, value.values())))
    elif not isinstance(value, str | bytes | bytearray | range) and hasattr(value, "__iter__"):
        list(map(_look, value))


def _forged(node: Any) -> Iterator[Any]:
    """Copies of a node with one part replaced by, or with one more, of each kind; or one less."""
    if type(node) is not list:
        return
    for index in range(len(node)):
        yield node[:index] + node[index + 1 :]
        for part in _PARTS:
            yield [*node[:index], part, *node[index + 1 :]]
            yield [*node[:index], part, *node[index:]]
        for part in _forged(node[index]):
            yield [*node[:index], part, *node[index + 1 :]]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {value}"[:30])
def test_whatever_stands_in_a_node_only_the_table_is_made(value: Any) -> None:
    node = json.loads(json.dumps(_Sender(2).encode(value)))
    for forged in _forged(node):
        try:
            found = _link().decode(forged)
        except (BadFrame, Unsupported):
            continue
        _look(found)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {value}"[:30])
def test_a_part_of_another_type_makes_nothing(value: Any) -> None:
    node = json.loads(json.dumps(_Sender(2).encode(value)))
    if type(node) is not list or node[0] != "x":
        return
    for index, part in itertools.product(range(len(node[3])), _PARTS):
        try:
            is_same = type(_link().decode(part)) is type(_link().decode(node[3][index]))
        except (BadFrame, Unsupported):
            is_same = False
        if is_same or (node[2] == "collections.defaultdict" and index == 0):
            continue
        with pytest.raises((BadFrame, Unsupported)):
            _link().decode([*node[:3], [*node[3][:index], part, *node[3][index + 1 :]]])


@pytest.mark.parametrize("name", ["numpy.ndarray", "numpy.generic"])
@pytest.mark.parametrize("dtype", [_FORMATS, ["t", ["O", 8]], ["l", 0, [["t", ["a", "O"]]]], "|O8"])
def test_no_array_of_objects_is_ever_made(name: str, dtype: object) -> None:
    for parts in ([dtype, ["t", [1]], ["t", [8]], True, ["b", "AAAAAAAAAAA="]], [dtype, _POINTER]):
        with pytest.raises(BadFrame):
            _link().decode(["x", 2 if name == "numpy.ndarray" else 0, name, parts])


def test_no_state_of_a_class_is_taken_for_its_parts() -> None:
    state = date(2024, 1, 2).__reduce__()[1][0]
    node = _Sender(2).encode(state)
    for name in ("datetime.date", "datetime.datetime"):
        with pytest.raises(BadFrame):
            _link().decode(["x", 0, name, [node]])


def test_a_text_of_numpy_has_characters_that_there_are() -> None:
    with pytest.raises(BadFrame):
        _link().decode(["x", 0, "numpy.generic", ["<U1", ["b", "/////w=="]]])


_FORGES = """
import sys
frame = sys._getframe()
while not hasattr(frame.f_locals.get("self"), "channel"):
    frame = frame.f_back
link = type(frame.f_locals["self"])
answer = link._send_answer
def send(self, succeeded, result, token):
    if result and result[0] == "X":
        self.channel.send(["a", True, NODE, [], [], token])
    else:
        answer(self, succeeded, result, token)
link._send_answer = send
def f(x):
    return "X"
"""
_OLD = ["x", 0, "numpy.generic", [_FORMATS, ["t", [1]], ["t", [8]], True, _POINTER]]
_NEW = ["x", 0, "numpy.generic", [_FORMATS, _POINTER]]


@pytest.mark.parametrize("node", [_OLD, _NEW], ids=("five parts", "two parts"))
@pytest.mark.parametrize("tests", ["assert f(2) == 4", "import numpy as np\nassert f(2) == 4"])
def test_pointers_for_an_array_are_no_answer(
    pools: dict[str, SandboxPool], tests: str, node: object
) -> None:
    run = pools["L2"].run(_FORGES.replace("NODE", repr(node)), tests, Limits(), entry_point="f")
    # It names frames, and so gets rid of its failure; what was sent is refused all the same.
    assert run.outcome == "unsupported"
    assert "the program's answer was no answer" in run.error


def test_no_container_takes_a_number_of_the_other_side() -> None:
    link = _link()
    expected = [1]
    own = link.encode(expected)
    for number in (own[1], own[1] + 2, True, 2.0, -1):  # type: ignore[index]
        with pytest.raises(BadFrame):
            link.decode(["l", number, [2]])
    assert link.decode(["l", 2, [2]]) == [2]


@pytest.mark.parametrize("node", [["g", True], ["g", 1.0], ["c", True], ["h", True], ["h", 1, 2]])
def test_a_number_is_a_number(node: Node) -> None:
    link = _link()
    link.encode([1])
    with pytest.raises(BadFrame):
        link.decode(node)
