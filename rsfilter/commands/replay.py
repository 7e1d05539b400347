"""`rsfilter replay`: the filter over a recording, in recorded time, without ExaBGP.

A recording of `rsfilter run --record` brings its own data and gives exactly the commands and the
audit log that the running filter gave. Bare lines of ExaBGP (a capture) are judged by the truth
file of the configuration, and by `--vrps FILE` in place of the RTR caches.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from rsfilter.audit.files import list_keys
from rsfilter.audit.log import AuditLog
from rsfilter.commands.arguments import Subparsers, configured
from rsfilter.commands.output import FAILED, GOOD, INVALID
from rsfilter.config.build import load_config, parse_config
from rsfilter.config.model import Config
from rsfilter.edge.truth_file import load_truth, truth_of
from rsfilter.exabgp.messages import ShowLine
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.pipeline.recording import Entry, Moment, RecordingError, read
from rsfilter.routing.events import DataReplaced
from rsfilter.rpki.truth import parse_truth
from rsfilter.rpki.vrps import RtrSnapshot
from rsfilter.util.text import clean


def add(commands: Subparsers) -> None:
    """Add `replay` to the command line."""
    parser = commands.add_parser(
        "replay",
        parents=[configured()],
        help="run over recorded lines, without ExaBGP",
        description="Does what run would have done over recorded lines, in recorded time, and "
        "prints the commands. The same recording always gives the same commands and audit log.",
    )
    parser.add_argument(
        "lines", nargs="+", type=Path, metavar="LINES", help="a recording, or lines of ExaBGP"
    )
    parser.add_argument(
        "--audit",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the audit log of the replay goes: never the running filter's",
    )
    parser.add_argument(
        "--vrps", type=Path, metavar="FILE", help="VRPs in place of the RTR caches' (JSON)"
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter replay`; return the exit code."""

    return replay(load_config(args.config), args.lines, audit=args.audit, vrps=args.vrps)


SHOWN = 5
"""Lines that were not understood and are shown."""

SHOWN_TEXT = 120
"""Characters of each."""


def replay(
    config: Config,
    paths: Iterable[Path],
    *,
    audit: Path,
    vrps: Path | None = None,
    commands: BinaryIO | None = None,
) -> int:
    """Writes the commands to `commands` (default: stdout) and the audit log into the directory
    `audit`; the exit code, 1 when lines were not understood. TruthError and OSError when a file
    cannot be read."""
    try:
        _check_that_it_is_new(audit)
        entries = chain.from_iterable(map(read, paths))
        first = next(entries, None)
        if first is None:
            raise ReplayError("there is no line to replay")
        has_data = first.lines is None  # a recording begins with a note, or with data
        if has_data and vrps:
            raise ReplayError(f"--vrps {vrps}: a recording is judged by its own data; leave it out")
        with closing(Machine(config, audit, commands or sys.stdout.buffer)) as machine:
            if not has_data:
                machine.load(first.moment, vrps)
            for entry in chain((first,), entries):
                machine.turn(entry)
        if not machine.has_understood:
            raise ReplayError("no line is one of ExaBGP, or of a recording")
        if machine.skipped:
            for text in machine.skipped:
                sys.stderr.write(clean(f"rsfilter replay: {text}") + "\n")
            return FAILED
    except (RecordingError, ReplayError) as error:
        sys.stderr.write(clean(f"rsfilter replay: {error}") + "\n")
        return INVALID
    return GOOD


class ReplayError(Exception):
    """It cannot be replayed so; the message says why."""


def _check_that_it_is_new(audit: Path) -> None:
    """Appended to another log, the same recording would give another one each time; and the
    running filter's would tell of what has not happened."""
    if audit.exists() and list_keys(audit):
        raise ReplayError(f"--audit {audit}: has an audit log already; name a new directory")


class Machine:
    """The running filter without its threads and clocks."""

    def __init__(self, config: Config, audit: Path, commands: BinaryIO) -> None:
        self._config = config
        self._sources = Sources.of(config)
        self._filter = Filter(config, self._sources.nothing)
        self._audit = AuditLog(audit, synchronous=True)
        self._commands = commands
        self._lines = 0
        """Lines of ExaBGP so far."""
        self._skipped: list[str] = []
        """Those that were not understood."""

    @property
    def skipped(self) -> list[str]:
        """What to say of lines that were not understood; nothing when there are none."""
        count = len(self._skipped)
        if not count:
            return []
        text = f"{count} of {self._lines} lines were not understood; what they said is missing:"
        return [text, *self._skipped[:SHOWN], *(["..."] if count > SHOWN else [])]

    @property
    def has_understood(self) -> bool:
        """A line was a message of ExaBGP, or there was no line at all. A ShowLine proves nothing:
        any text can be one."""
        kinds = {kind for kind in self._filter.counters if not kind.startswith("skipped_")}
        return not self._filter.counters or bool(kinds - {ShowLine.__name__})

    def load(self, moment: Moment, vrps: Path | None) -> None:
        """Loads the data that a recording without its own is judged by."""
        if truth := truth_of(self._config, moment.time):
            self._replace(self._sources.truth_loaded(truth), moment)
        if vrps is not None:
            table = load_truth(vrps, moment.time).vrps
            snapshot = RtrSnapshot(table, cache=str(vrps), session=0, serial=0, at=moment.now)
            self._replace(self._sources.rtr_changed(snapshot, "from a file"), moment)
        elif self._config.rtr:
            self._replace(self._sources.give_up_waiting(), moment)

    def turn(self, entry: Entry) -> None:
        """One entry of a recording."""
        for event in self._data(entry):
            self._replace(event, entry.moment)
        if entry.note is not None:
            if entry.note.event == "stop":
                self._filter.end(entry.moment.now)
                self._tell(entry.moment)
            self._audit.append(entry.moment.time, entry.note)
        if entry.release:
            self._filter.guard_released(entry.release, entry.moment.now)
            self._flush(entry.moment)
        if entry.config is not None:
            content, file, is_forced = entry.config
            wanted = parse_config(content, Path(file))
            self._filter.configured(wanted, entry.moment.now, is_forced=is_forced)
            self._flush(entry.moment)
        self._before(entry)
        if entry.drain is not None:
            asked = entry.drain
            self._filter.drain(asked.on, asked.by, entry.moment.now, asked.source)
            self._flush(entry.moment)
        if entry.lines is not None:
            self._replace(self._sources.expire_truth(entry.moment.time), entry.moment)
            for line in entry.lines:
                self._line(line, entry.moment)
            self._flush(entry.moment)

    def _before(self, entry: Entry) -> None:
        """What a process before this one left."""
        if entry.guard is not None:
            self._filter.guard_restored(entry.guard, entry.moment.now)
            self._flush(entry.moment)
        if entry.unsettled is not None:
            self._filter.unsettled_before(entry.unsettled, entry.moment.now)

    def _line(self, line: bytes, moment: Moment) -> None:
        self._lines += 1
        self._filter.line(line, moment.now)
        if self._filter.last_skipped:
            why, text = self._filter.last_skipped
            self._filter.last_skipped = None
            shown = text.decode(errors="replace")[:SHOWN_TEXT]
            self._skipped.append(f"line {self._lines} ({why}): {shown}")

    def close(self) -> None:
        """Completes what was written."""
        try:
            self._commands.flush()
        finally:
            self._audit.close()

    def _data(self, entry: Entry) -> Iterator[DataReplaced | None]:
        if entry.truth is not None:
            yield self._sources.truth_loaded(parse_truth(*entry.truth, may_be_empty=True))
        if entry.rtr is not None:
            yield self._sources.rtr_changed(*entry.rtr)
        if entry.source == "expired":
            yield self._sources.rtr_expired()
        if entry.source == "given_up":
            yield self._sources.give_up_waiting()

    def _replace(self, event: DataReplaced | None, moment: Moment) -> None:
        if event is not None:
            self._filter.data_replaced(event, moment.now)
            self._flush(moment)

    def _flush(self, moment: Moment) -> None:
        self._commands.writelines(self._filter.commands(moment.now))
        self._filter.take_records()
        self._tell(moment)

    def _tell(self, moment: Moment) -> None:
        self._audit.extend(moment.time, self._filter.take_audit())
