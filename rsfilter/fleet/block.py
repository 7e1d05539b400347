"""A block: consecutive lines of one log in transit. Pure: no clock, no file.

Lines are carried octet for octet, so that a receiver can check every hash. The limits of a block
have no meaning: after a fault the same lines are sent in other blocks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rsfilter.audit.chain import GENESIS, MAX_LINE, Link, NotARecord, claimed_link, is_intact

MAX_RECORDS = 1000
"""Records of a block. Measured: more of them are no cheaper, and one round trip moves them all."""

MAX_OCTETS = 512 * 1024
"""Octets of its lines before they are compressed, but for the last of them."""

LEVEL = 1
"""zlib's fastest: level 6 takes 2.5 times the CPU for an eighth of the room."""

START = Link(0, "", GENESIS)
"""The place before the first record."""


class DamagedError(Exception):
    """Raised for lines that are not a chain of records; the message names them and the reason."""


class Block(NamedTuple):
    """Lines of one log that follow each other."""

    first: int
    """`seq` of the first record."""
    last: int
    prev: str
    """`hash` of the record before the first."""
    hash: str
    """`hash` of the last record."""
    lines: bytes
    """The lines with their line feeds, compressed (zlib, RFC 1950)."""


def pack(lines: Sequence[bytes], after: Link) -> Block:
    """A block of lines that follow the record `after`. Raises DamagedError when they do not."""
    last = follow(lines, after)
    return Block(
        after.seq + 1, last.seq, after.hash, last.hash, zlib.compress(b"".join(lines), LEVEL)
    )


def unpack(block: Block) -> list[bytes]:
    """Unpack the lines of a block, each with its line feed. Raises DamagedError if they are not the
    lines that it claims. The inflated size is bounded, because any peer may have written it."""
    inflater = zlib.decompressobj()
    limit = MAX_OCTETS + MAX_LINE
    try:
        content = inflater.decompress(block.lines, limit + 1)
    except zlib.error as error:
        raise DamagedError(f"block {block.first} to {block.last}: {error}") from None
    if len(content) > limit or not inflater.eof or inflater.unused_data:
        raise DamagedError(f"block {block.first} to {block.last}: it is too long or cut")
    lines = content.splitlines(keepends=True)
    last = follow(lines, Link(block.first - 1, "", block.prev))
    if (last.seq, last.hash) != (block.last, block.hash):
        raise DamagedError(f"block {block.first} to {block.last}: it ends with {last.seq}")
    return lines


def follow(lines: Sequence[bytes], after: Link) -> Link:
    """Return the place of the last of `lines`, which are intact and follow `after`. Raises
    DamagedError."""
    for link, line in links(lines):
        if link.seq != after.seq + 1 or link.prev != after.hash:
            raise DamagedError(f"record {link.seq} does not follow record {after.seq}")
        if not is_intact(line, link):
            raise DamagedError(f"record {link.seq} does not match its hash")
        after = link
    return after


def links(lines: Sequence[bytes]) -> Iterator[tuple[Link, bytes]]:
    """Each line with the place that it claims. Raises DamagedError for a line that is no record."""
    for line in lines:
        try:
            yield claimed_link(line), line
        except NotARecord as error:
            raise DamagedError(f"a line {error}: {line[:80]!r}") from None
