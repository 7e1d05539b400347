"""The hash chain: the hash of each line of the audit log covers all lines before it.

The `hash` of a line is the SHA-256 (FIPS 180-4) of the line as written, without the `,"hash":"…"`
at its end and without the line feed. That hash covers `prev`, the hash of the previous line.
docs/audit.md explains how to verify it with other tools. Pure: no clock, no file.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

VERSION = 1
"""Version of the format, `v`. It changes if a reader of this version would misread a line."""

GENESIS = "0" * 64
"""`prev` of the first line."""

MAX_LINE = 64 * 1024
"""Octets of a line, line feed included, so that a reader need not read without end. The bounds in
`record` keep a route's record far below it."""


class Link(NamedTuple):
    """Place of a line in the chain."""

    seq: int
    prev: str
    hash: str


class NotARecord(Exception):  # noqa: N818 - a finding more than a failure
    """Raised for a line that this program did not write; the message gives the reason."""


def seal(seq: int, at: str, members: str, prev: str) -> tuple[str, str]:
    """Chain a body at its place. Returns the line, line feed included, and its hash. ASCII."""
    content = f'{{"v":{VERSION},"seq":{seq},"at":"{at}",{members},"prev":"{prev}"'
    digest = sha256(f"{content}}}".encode("ascii")).hexdigest()
    return f'{content},"hash":"{digest}"}}\n', digest


_LINE = re.compile(
    rb'\{"v":\d{1,9},"seq":(\d{1,18}),"at":".*,"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n?',
    re.DOTALL,
)
_HASH_SIZE = len(',"hash":""}') + 64


def claimed_link(line: bytes) -> Link:
    """Read the place that a line claims, true or not. Raises NotARecord if it claims none."""
    match = _LINE.fullmatch(line)
    if match is None or len(line) > MAX_LINE:
        raise NotARecord("is not an audit record")
    seq, prev, digest = match.groups()
    return Link(int(seq), prev.decode(), digest.decode())


def is_intact(line: bytes, link: Link) -> bool:
    """Return whether the content of the line matches its hash."""
    content = line.removesuffix(b"\n")[:-_HASH_SIZE]
    return sha256(content + b"}").hexdigest() == link.hash
