"""Reading of a truth file: its bytes, within bounds, and their content."""

from __future__ import annotations

import os
import stat
import time

from rsfilter.config.model import Config
from rsfilter.rpki.document import MAX_FILE_BYTES, TOO_LARGE, Problems
from rsfilter.rpki.truth import Truth, parse_truth


def load_truth(
    path: str | os.PathLike[str], now: float | None = None, *, may_be_empty: bool = False
) -> Truth:
    """The truth in a file. `now` is Unix time, by default the clock's. Raises TruthError only."""
    at = time.time() if now is None else now
    return parse_truth(read_file(path), os.fspath(path), at, may_be_empty=may_be_empty)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file of at most `MAX_FILE_BYTES`; TruthError otherwise."""
    problems = Problems(os.fspath(path))
    try:
        found = os.stat(path)  # before open, which waits for ever on a pipe without a writer
        if not stat.S_ISREG(found.st_mode):
            problems.fail("is not a regular file; name the truth file itself")
        if found.st_size > MAX_FILE_BYTES:
            problems.fail(TOO_LARGE)
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.fail(f"cannot be read: {error.strerror}; the file must exist and be readable")
    except ValueError:  # a NUL in the name
        problems.fail("is not a file name")
    return data


def truth_of(config: Config, now: float | None = None) -> Truth | None:
    """Return the truth in the file that a configuration names; None if it names none. `now`: see
    `load_truth`. Raises TruthError."""
    if config.truth is None:
        return None
    return load_truth(config.truth.file, now, may_be_empty=config.truth_may_be_empty)
