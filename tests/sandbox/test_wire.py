"""Frames: what arrives is what was sent, and everything malformed is refused."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from codefavor.sandbox.codec import Codec
from codefavor.sandbox.wire import BadFrame, Channel, FrameTooLarge, PeerGone


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


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00\x00\x04{{{{", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xff\xfe",
     b"\x00\x03\x0d\x40" + b"[" * 100_000 + b"]" * 100_000],
    ids=("no json", "too large", "no utf-8", "deep"),
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


@pytest.mark.parametrize("shape", [[-1], [3], [2**40, 2**40]])
@pytest.mark.parametrize("dtype", ["0i4", "|O8", "i4,u", "", 5, ["t", ["i4", "u"]]])
def test_an_array_of_no_known_type_or_shape_is_refused(dtype: object, shape: list[int]) -> None:
    # numpy divides by the size of an item: this would end the process.
    parts = [dtype, ["t", shape], ["t", [8]], True, ["b", "AAAAAAAAAAA="]]
    with pytest.raises(BadFrame):
        Codec(1).decode(["x", 2, "numpy.ndarray", parts])


@pytest.mark.parametrize("name", ["os.getcwd", "builtins.list", "datetime.time", "numpy.zeros"])
@pytest.mark.parametrize("number", [0, 2])
def test_only_types_of_the_table_are_made(name: str, number: int) -> None:
    with pytest.raises(BadFrame):
        Codec(1).decode(["x", number, name, []])
