"""Text for terminals and logs: whatever is in it, a terminal shows it and obeys nothing.

Names, paths and messages can hold what a host, a file or a command line says. Control characters
(ECMA-48), format characters such as those that turn text around (Unicode TR 36), and octets that
are no text are spelled out here, in one way for all commands and for the log.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any


def clean(text: str) -> str:
    """`text` in one line: what is not printable is escaped as in Python."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def clean_lines(text: str) -> str:
    """`text` with its line feeds; all else that is not printable is escaped."""
    return text if text.isprintable() else "\n".join(map(clean, text.split("\n")))


def to_json(value: object, indent: int | None = None, default: Any = None) -> str:
    """JSON in ASCII without a control character but the line feeds of `indent`: DEL is escaped,
    although RFC 8259 does not ask for it."""
    return json.dumps(value, indent=indent, default=default).replace("\x7f", "\\u007f")


def count(number: int, noun: str) -> str:
    """A number and what it counts: `1 route`, `2 routes`, `2 prefixes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x', 'ch')) else 's'}"


class PlainFormatter(logging.Formatter):
    """Log records, tracebacks included, of which no text can act on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging.Formatter."""
        return clean_lines(super().format(record))


def write_anything() -> None:
    """Lets stdout take text that its encoding does not have: it is escaped, as on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
