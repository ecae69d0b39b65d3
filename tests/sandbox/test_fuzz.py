"""Whatever a program sends, the tests' process refuses it by name or takes it as an answer."""

from __future__ import annotations

import json
import random
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from codefavor.sandbox.codec import Codec, Node
from codefavor.sandbox.handles import JudgeLink, ProgramSignal, facts_of
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported

VALUES: list[Any] = [
    None, True, -1, 2**70, 1.5, float("inf"), "text", "\ud800", b"bytes", 1 + 2j, (1, "a"),
    ([1], {2}), [1, 2], [[1], ["x"]], {"a": [1]}, {1: {2: 3}}, {1, 2}, frozenset((1,)), range(3),
    bytearray(b"x"), Decimal("1.5"), Fraction(1, 3), date(2024, 1, 2), int, ValueError,
    datetime(2024, 1, 2, 3), timedelta(1), Counter("ab"), OrderedDict(a=1), defaultdict(list, a=[]),
    deque([1], 3), np.arange(6).reshape(2, 3), np.float64(1.5), np.array(["a"]),
]  # fmt: skip
_ATOMS: list[object] = [None, True, 0, 1, 3, -1, 2**80, 0.5, "", "a", "numpy.ndarray", "Exception"]
_TAGS = "itfldsbzyxghknmcaqu"
_ANSWERS: list[object] = [
    ["a", True, ["h", 4, True], [], [], ""],
    ["a", True, ["k", [7, "E", ["ValueError"], "solution"]], [], [], ""],
    ["a", False, ["KeyError", "'k'", 3], [], [], ""],
    ["a", False, [[5, "E", [[6, "F", ["OSError"], "m"]], "solution"], "text", None], [], [], ""],
    ["a", False, ["StopIteration", "", 1], [], [], ""],
    ["q", "callback", 0, [1], {"x": 2}, [], [], ""],
    ["u", "a reason"],
]


class _Sender(Codec):
    def encode_other(self, value: object) -> Node:
        return ["h", 1, True]


class _Fed(Channel):
    """A channel whose peer sends given bytes, ends, and hears nothing."""

    def __init__(self, data: bytes) -> None:
        super().__init__(-1, 1 << 20)
        self._rest = data

    def send(self, frame: object) -> None:
        pass


class _Asking(JudgeLink):
    """Asks questions whose token the answers below have."""

    def new_token(self) -> str:
        return ""


def _answers() -> list[Any]:
    sender = _Sender(2)
    found = [["a", True, sender.encode(value), [], [], ""] for value in VALUES]
    changed = ["l", 0, [1, ["t", [2]]]]
    return [*found, ["a", True, None, [[1, changed]], [1, 2], ""], *_ANSWERS]


def _random_node(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.4:
        return rng.choice(_ATOMS)
    parts = [_random_node(rng, depth - 1) for _ in range(rng.randrange(4))]
    return [rng.choice(_TAGS), *parts] if rng.random() < 0.7 else parts


def _mutate(rng: random.Random, node: Any) -> Any:
    """A copy in which one part is another."""
    if type(node) is not list or not node or rng.random() < 0.15:
        return _random_node(rng, 2)
    index = rng.randrange(len(node))
    if rng.random() < 0.1:
        return node[:index] + node[index + 1 :]
    return [*node[:index], _mutate(rng, node[index]), *node[index + 1 :]]


def _bytes_of(rng: random.Random, frame: Any) -> bytes:
    data = bytearray(json.dumps(frame).encode())
    if rng.random() < 0.2:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    size = len(data) if rng.random() < 0.98 else rng.randrange(1 << 32)
    return size.to_bytes(4, "big") + bytes(data)


def _fuzz(n_frames: int) -> Counter[str]:
    """Feed frames to new links; how each ended. Any exception that is not named is raised."""
    rng, answers, ends = random.Random(7), _answers(), Counter[str]()
    for _ in range(n_frames):
        frame = rng.choice(answers)
        for _ in range(rng.randrange(4)):
            frame = _mutate(rng, frame)
        data = _bytes_of(rng, frame)
        link = _Asking(_Fed(data + _bytes_of(rng, rng.choice(answers))))
        try:
            link.ask("call", ["n", "f"], ([1], len))
            ends["a value"] += 1
        except (PeerGone, BadFrame, Unsupported) as error:
            ends[type(error).__name__] += 1
        except (Exception, ProgramSignal) as error:
            assert facts_of(error) is not None, (data, error)
            ends["an exception of the program"] += 1
    Unsupported.reasons.clear()
    return ends


def test_whatever_a_program_sends_is_an_answer_or_refused() -> None:
    ends = _fuzz(20_000)
    assert min(ends[name] for name in ("a value", "BadFrame", "Unsupported")) > 50


@pytest.mark.slow
def test_a_million_frames() -> None:
    assert _fuzz(1_000_000).total() == 1_000_000


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {value}"[:30])
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    node = json.loads(json.dumps(_Sender(2).encode(value)))
    found: Any = _Sender(1).decode(node)
    assert type(found) is type(value)
    assert repr(found) == repr(value)
