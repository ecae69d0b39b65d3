"""Frames: what arrives is what was sent, however deep, and everything malformed is refused."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any

import pytest

from codefavor.sandbox.wire import BadFrame, Channel, FrameTooLarge, PeerGone, flatten, unflatten


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for number in range(depth):
        value = [number, {"key": value}]
    return value


def _depth(value: Any) -> int:
    count = 0
    while value:
        value = value[1]["key"]
        count += 1
    return count


def _over_a_socket(frame: object) -> object:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        sender = threading.Thread(target=Channel(mine.fileno(), 1 << 26).send, args=(frame,))
        sender.start()
        received = Channel(theirs.fileno(), 1 << 26).receive()
        sender.join()
    return received


@pytest.mark.parametrize(
    "frame",
    [None, [], {"a": [1]}.get("a"), ["q", 1.5, "ü\ud800", [True, [None]]], ["x" * 3_000_000]],
    ids=("none", "empty", "list", "mixed", "long"),
)
def test_a_frame_arrives_as_it_was_sent(frame: object) -> None:
    assert _over_a_socket(frame) == frame


def test_a_frame_nested_more_deeply_than_json_allows_arrives_whole() -> None:
    assert _depth(_over_a_socket(_nested(50_000))) == 50_000


@pytest.mark.parametrize(
    "value",
    [1, [], {}, [[], [1], {}], [1, [2, {"a": [3], "b": {"c": None}}, "x"], [[[]]]]],
    ids=str,
)
def test_unflatten_undoes_flatten(value: object) -> None:
    assert unflatten({"flat": json.loads(json.dumps(flatten(value)))}) == value


@pytest.mark.parametrize(
    "flat",
    [None, [], "x", [1, 2], [[2], 1], [[1], 1, 2], [[-1]], [[True], 1], [["1"], 1], [[1, 0], 5, 6],
     [[1, 0], "a"], [[1, 0, 0], "a", 1], [[]], [[10**9]], [[1.0], 1]],
    ids=str,
)  # fmt: skip
def test_a_forged_flat_frame_is_refused(flat: object) -> None:
    with pytest.raises(BadFrame):
        unflatten({"flat": flat})


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00\x00\x04{{{{", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xff\xfe",
     b"\x00\x00\x00\x02{}", b"\x00\x03\x0d\x40" + b"[" * 100_000 + b"]" * 100_000],
    ids=("no json", "too large", "no utf-8", "empty object", "deep"),
)  # fmt: skip
def test_malformed_bytes_are_refused(data: bytes) -> None:
    read, write = os.pipe()
    try:
        writer = threading.Thread(target=os.write, args=(write, data))
        writer.start()
        with pytest.raises(BadFrame):
            Channel(read, 1 << 20).receive()
        writer.join()
    finally:
        os.close(read)
        os.close(write)


def test_two_frames_in_one_read_are_two_frames() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        sender, receiver = Channel(mine.fileno(), 1 << 20), Channel(theirs.fileno(), 1 << 20)
        for number in range(3):
            sender.send([number])
        assert [receiver.receive() for _ in range(3)] == [[0], [1], [2]]


def test_a_forgotten_channel_neither_reads_nor_writes() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        channel = Channel(mine.fileno(), 1 << 20)
        Channel(theirs.fileno(), 1 << 20).send(["late"])
        channel.forget()
        with pytest.raises(PeerGone):
            channel.receive()
        with pytest.raises(PeerGone):
            channel.send(["early"])


def test_a_value_over_the_limit_is_not_sent_in_part() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        channel = Channel(mine.fileno(), 1000)
        with pytest.raises(FrameTooLarge, match="2002 bytes; the limit is 1000"):
            channel.send("x" * 2000)
        channel.send(["small"])
        assert Channel(theirs.fileno(), 1000).receive() == ["small"]
