"""Framing between the filter and its workers (`workers`): octets after their length."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

LENGTH = struct.Struct(">I")

MAX_FRAME = 1 << 28
"""Octets of the largest accepted frame."""

END = LENGTH.pack(0)
"""An empty frame: the end of a sequence."""


def frame(content: bytes) -> bytes:
    """The content as it goes through a pipe."""
    return LENGTH.pack(len(content)) + content


def length_of(head: bytes) -> int:
    """The octets that follow the head of a frame. ValueError for a length that no frame has."""
    (length,) = LENGTH.unpack(head)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} octets")
    return int(length)


def frames(pipe: BinaryIO) -> Iterator[bytes]:
    """The frames of a sequence, up to its end. EOFError when the pipe ends before."""
    while length := length_of(_exactly(pipe, LENGTH.size)):
        yield _exactly(pipe, length)


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    found = pipe.read(size)
    if len(found) < size:
        raise EOFError("the filter has gone")
    return found
