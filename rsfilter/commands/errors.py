"""Errors of commands: one type, one place that prints them."""

from __future__ import annotations

import argparse
import os
import sys

from rsfilter.commands.output import FAILED, INVALID, print_json
from rsfilter.config.model import ConfigError
from rsfilter.render.exabgp import RenderError
from rsfilter.rpki.truth import TruthError
from rsfilter.util.text import clean, clean_lines


class CommandError(Exception):
    """Raised if a command cannot do what was requested; the message has why, and what to do."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
        """Exit code of the command."""


REPORTED = (CommandError, ConfigError, TruthError, RenderError, OSError)
"""Errors that end a command with a message; every other one is a defect."""


def report(args: argparse.Namespace, error: Exception) -> int:
    """Print an error of `REPORTED`, as JSON on stdout if JSON was requested; return the exit
    code."""
    match error:
        case CommandError():
            return _failed(args, error.code, clean(str(error)))
        case OSError():
            return _failed(args, FAILED, clean_lines(_message(error)))
        case _:
            return _refused(args, clean_lines(str(error)))


def _failed(args: argparse.Namespace, code: int, detail: str) -> int:
    if getattr(args, "json", False):
        kind = "failed" if code == FAILED else "invalid"
        print_json([{"error": kind, "detail": detail}], is_live=True)
    else:
        sys.stderr.write(f"rsfilter {_name(args)}: {detail}\n")
    return code


def _refused(args: argparse.Namespace, problems: str) -> int:
    """Print the problems of a file, one line each: each begins with the file's name."""
    if getattr(args, "json", False):
        print_json([{"error": "invalid", "problems": problems.split("\n")}], is_live=True)
    else:
        sys.stderr.write(f"{problems}\n")
    return INVALID


def _name(args: argparse.Namespace) -> str:
    """Return the command, with its action if it has any."""
    return " ".join(filter(None, (args.command, getattr(args, "action", None))))


def _message(error: OSError) -> str:
    """Format what failed and why, without the number, and with the file's name as given."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"
