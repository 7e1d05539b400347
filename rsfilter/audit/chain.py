"""The chain: each line of the audit log vouches for all lines before it.

The `hash` of a line is the SHA-256 (FIPS 180-4) of the line as written without the `,"hash":"…"` at
its end and without the line feed. `prev`, the hash of the line before, is under that hash.
docs/audit.md tells how to check it with other tools. Pure: no clock, no file.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

VERSION = 1
"""`v`: of the format. Another one when a reader of this one would misread a line."""

GENESIS = "0" * 64
"""`prev` of the first line."""

MAX_LINE = 64 * 1024
"""Octets of a line, line feed included, so that a reader can refuse to read on for ever. The bounds
in `record` keep that of a route far under it."""


class Link(NamedTuple):
    """What chains a line to its neighbors."""

    seq: int
    prev: str
    hash: str


class NotARecord(Exception):  # noqa: N818 - a finding more than a failure
    """The line is none that this program wrote; the message says why."""


def seal(seq: int, at: str, members: bytes, prev: str) -> tuple[bytes, str]:
    """The line, line feed included, of a body at its place in the chain; and its hash."""
    content = b'{"v":%d,"seq":%d,"at":"%b",%b,"prev":"%b"' % (
        VERSION,
        seq,
        at.encode(),
        members,
        prev.encode(),
    )
    digest = sha256(content + b"}").hexdigest()
    return b'%b,"hash":"%b"}\n' % (content, digest.encode()), digest


_LINE = re.compile(
    rb'\{"v":\d{1,9},"seq":(\d{1,18}),"at":".*,"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n?',
    re.DOTALL,
)
_HASH_SIZE = len(',"hash":""}') + 64


def claimed_link(line: bytes) -> Link:
    """What a line says of its place, be it true or not. NotARecord when it says nothing."""
    match = _LINE.fullmatch(line)
    if match is None or len(line) > MAX_LINE:
        raise NotARecord("is not an audit record")
    seq, prev, digest = match.groups()
    return Link(int(seq), prev.decode(), digest.decode())


def is_intact(line: bytes, link: Link) -> bool:
    """The content of the line is what its hash says."""
    content = line.removesuffix(b"\n")[:-_HASH_SIZE]
    return sha256(content + b"}").hexdigest() == link.hash
