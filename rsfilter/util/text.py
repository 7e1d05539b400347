"""Text made safe for terminals and logs.

Names, paths and messages can contain text that a host, a file or a command line supplied. Control
characters (ECMA-48), format characters such as bidirectional controls (Unicode TR 36), and octets
that are not valid text are escaped here, in one way for all commands and for the log.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any


def clean(text: str) -> str:
    """Return `text` on one line, with unprintable characters escaped as in Python."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def clean_lines(text: str) -> str:
    """Return `text` with its line feeds; every other unprintable character is escaped."""
    return text if text.isprintable() else "\n".join(map(clean, text.split("\n")))


def to_json(value: object, indent: int | None = None, default: Any = None) -> str:
    """Encode as ASCII JSON. The only control characters are the line feeds of `indent`: DEL is
    escaped, although RFC 8259 does not require it."""
    return json.dumps(value, indent=indent, default=default).replace("\x7f", "\\u007f")


def count(number: int, noun: str) -> str:
    """A number and what it counts: `1 route`, `2 routes`, `2 prefixes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x', 'ch')) else 's'}"


def span(seconds: float) -> str:
    """Format a length of time for people, in its two largest units."""
    minutes = int(seconds) // 60
    if not minutes:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first `most` names, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class PlainFormatter(logging.Formatter):
    """Formatter of log records, tracebacks included, that leaves no text a terminal would
    execute."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as logging.Formatter does, then escape."""
        return clean_lines(super().format(record))


def write_anything() -> None:
    """Let stdout and stderr escape characters that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
