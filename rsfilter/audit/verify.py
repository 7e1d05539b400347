"""Verification of the chain: every line is present, in its place and as written.

The chain alone cannot detect everything, so every file begins with a record of its own name, and
`head.json` records how far the chain reaches. Verification needs no secret, so anyone who can write
the directory can also write another history. To rule that out, keep a hash elsewhere.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rsfilter.audit.chain import GENESIS, Link, NotARecord, claimed_link, is_intact
from rsfilter.audit.files import (
    HEAD_NAME,
    UNREADABLE,
    FileKey,
    is_same_content,
    lines_of,
    list_keys,
    open_log,
    read_head,
)
from rsfilter.audit.index import counts_path, index_path

MAX_PROBLEMS = 100
"""Problems that are listed. More are of no use to a reader."""

WRITER_PATIENCE = (20, 0.05)
"""Attempts, and seconds between them, for a last line without end, which may be in the middle of
being written."""


class Damage(NamedTuple):
    """Damage, and its place."""

    file: str
    line: int
    """Line number from 1; 0 is the file as a whole."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Result of a verification."""

    problems: tuple[Damage, ...]
    """Problems found, at most MAX_PROBLEMS."""
    files: int
    records: int
    pruned_before: int | None
    """First record present, if older files were removed; those cannot be verified."""
    first_seq: int | None
    last_seq: int | None
    """Number of the last record; None if there are no records."""
    last_hash: str
    """Hash to keep elsewhere: a later verification that finds it again proves all records before
    it."""
    has_head: bool
    """False if `head.json` is missing: then missing records at the end are not detected."""

    @property
    def is_ok(self) -> bool:
        """True if there is no damage."""
        return not self.problems


def verify(directory: Path) -> VerifyResult:
    """Verify all files of a directory, of a running log too. Raises OSError if one cannot be
    read."""
    return _Checker(directory).run()


class _Checker:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._problems: list[Damage] = []
        self._last: Link | None = None
        self._first_seq: int | None = None
        self._pruned_before: int | None = None
        self._records = 0
        self._is_oldest = True
        self._place = ("", 0)

    def run(self) -> VerifyResult:
        head = self._head()  # before the files: they can only be ahead of it
        keys = list_keys(self._directory)
        for key in keys:
            self._check_file(key, is_oldest=key == keys[0], is_newest=key == keys[-1])
        self._check_end(head)
        self._check_indexes(keys)
        return VerifyResult(
            problems=tuple(self._problems[:MAX_PROBLEMS]),
            files=len(keys),
            records=self._records,
            pruned_before=self._pruned_before,
            first_seq=self._first_seq,
            last_seq=self._last.seq if self._last else None,
            last_hash=self._last.hash if self._last else "",
            has_head=head is not None,
        )

    def _problem(self, text: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Damage(*self._place, text))

    def _head(self) -> Link | None:
        self._place = (HEAD_NAME, 0)
        try:
            return read_head(self._directory)
        except ValueError:
            self._problem("is damaged; the next start of the filter writes it anew")
            return None

    def _check_file(self, key: FileKey, *, is_oldest: bool, is_newest: bool) -> None:
        self._place = (key.name, 0)
        self._is_oldest = is_oldest
        self._check_twin(key)
        with open_log(self._directory, key) as file:
            number = 0
            try:
                for number, line in enumerate(lines_of(file), 1):
                    self._place = (key.name, number)
                    self._check_line(_completed(line, file) if is_newest else line, key, number)
            except UNREADABLE as error:
                self._place = (key.compressed_name, number + 1)
                self._problem(f"cannot be decompressed from here on: {error}")

    def _check_twin(self, key: FileKey) -> None:
        plain, compressed = self._directory / key.name, self._directory / key.compressed_name
        try:
            if compressed.exists() and plain.exists() and not is_same_content(plain, compressed):
                self._problem(f"differs from {key.compressed_name}")
        except FileNotFoundError:
            pass  # the filter has compressed it meanwhile

    def _check_line(self, line: bytes, key: FileKey, number: int) -> None:
        self._records += 1
        if not line.endswith(b"\n"):
            self._problem(
                "the line is cut; if the filter was killed, its next start removes and records this"
            )
            return
        try:
            link = claimed_link(line)
        except NotARecord as error:
            self._problem(str(error))
            return
        if not is_intact(line, link):
            self._problem("was changed: its hash is not that of its content")
        elif number == 1 and _file_named(line) != key.name:
            self._problem("is not the line that this file began with")
        self._follow(link)

    def _follow(self, link: Link) -> None:
        last, self._last = self._last, link
        if last is None:
            self._begin(link)
        elif link.seq > last.seq + 1:
            missing = f"{last.seq + 1} to {link.seq - 1}"
            self._problem(f"follows record {last.seq}: records {missing} are missing")
        elif link.seq <= last.seq:
            self._problem(f"record {link.seq} follows record {last.seq}: reordered or repeated")
        elif link.prev != last.hash:
            self._problem(f"record {last.seq} before this line is not the one that was written")

    def _begin(self, link: Link) -> None:
        self._first_seq = link.seq
        if link.seq == 1:
            if link.prev != GENESIS:
                self._problem("record 1 follows another record")
        elif self._is_oldest and self._place[1] == 1:
            self._pruned_before = link.seq
        else:  # only whole files can be pruned
            self._problem(f"records 1 to {link.seq - 1} are missing")

    def _check_end(self, head: Link | None) -> None:
        if head is None:
            return
        self._place = (HEAD_NAME, 0)
        last = self._last or Link(0, "", GENESIS)
        if head.seq > last.seq:
            self._problem(
                f"the records end with {last.seq}: {last.seq + 1} to {head.seq} are missing"
            )
        elif head.seq == last.seq and head.hash != last.hash:
            self._problem(f"record {head.seq} is not the one that was written")

    def _check_indexes(self, keys: list[FileKey]) -> None:
        """Check the indexes: `query` and `stats` answer from them, and the chain does not cover
        them."""
        for key in keys:
            if index_path(self._directory, key) or counts_path(self._directory, key):
                from rsfilter.audit.indexing import CHANGED, differing  # loads DuckDB

                for path in differing(self._directory, key):
                    self._place = (f"{path.parent.name}/{path.name}", 0)
                    self._problem(CHANGED)


def _completed(line: bytes, file: BinaryIO) -> bytes:
    attempts, pause = WRITER_PATIENCE
    for _ in range(attempts):
        if line.endswith(b"\n"):
            break
        time.sleep(pause)
        line += file.readline()
    return line


def _file_named(line: bytes) -> str | None:
    """Return the file that a `file` record names."""
    try:
        record = json.loads(line)
        return str(record["data"]["file"]) if record["event"] == "file" else None
    except (ValueError, LookupError, TypeError):
        return None  # a forger can give any text a hash
