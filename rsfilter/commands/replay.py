"""`rsfilter replay`: the filter over a recording, in recorded time, without ExaBGP.

A recording of `rsfilter run --record` brings its own data and gives exactly the commands and the
audit log that the running filter gave. Bare lines of ExaBGP (a capture) are judged by the truth
file of the configuration, and by `--vrps FILE` in place of the RTR caches.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from rsfilter.audit.files import list_keys
from rsfilter.audit.log import AuditLog
from rsfilter.commands.arguments import Subparsers, configured
from rsfilter.commands.errors import CommandError
from rsfilter.commands.output import FAILED, GOOD, INVALID, print_note
from rsfilter.config.build import load_config
from rsfilter.config.model import Config
from rsfilter.edge.recorder import RecordingError, read
from rsfilter.edge.truth_file import load_truth, read_file
from rsfilter.exabgp.messages import ShowLine
from rsfilter.pipeline.inputs import Input, Lines, Moment, RtrGone, RtrRead, TruthRead
from rsfilter.pipeline.lines import SkippedLine
from rsfilter.pipeline.pipeline import Pipeline
from rsfilter.rpki.truth import parse_truth
from rsfilter.rpki.vrps import RtrSnapshot
from rsfilter.util.text import clean


def add(commands: Subparsers) -> None:
    """Add `replay` to the command line."""
    parser = commands.add_parser(
        "replay",
        parents=[configured()],
        help="process a recording again, without ExaBGP",
        description="Processes recorded lines as run did, in recorded time, and "
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
        help="directory for the audit log of the replay, not that of the running filter",
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
    """Write the commands to `commands` (default: stdout) and the audit log into the directory
    `audit`; return the exit code, 1 if lines were not understood. Raises CommandError, TruthError
    and OSError."""
    try:
        _check_that_it_is_new(audit)
        entries = chain.from_iterable(map(read, paths))
        first = next(entries, None)
        if first is None:
            raise CommandError("there is no line to replay", INVALID)
        moment, what = first
        has_data = not isinstance(what, Lines)  # a recording begins with a note, or with data
        if has_data and vrps:
            text = f"--vrps {vrps}: a recording is judged by its own data; leave it out"
            raise CommandError(text, INVALID)
        with closing(Machine(config, audit, commands or sys.stdout.buffer)) as machine:
            if not has_data:
                machine.load(moment, vrps)
            for moment, what in chain((first,), entries):
                machine.apply(moment, what)
        if not machine.has_understood:
            raise CommandError("no line is one of ExaBGP, or of a recording", INVALID)
        if machine.skipped:
            for text in machine.skipped:
                print_note(clean(f"rsfilter replay: {text}"))
            return FAILED
    except RecordingError as error:
        raise CommandError(str(error), INVALID) from None
    return GOOD


def _check_that_it_is_new(audit: Path) -> None:
    """Refuse an existing log: appended to it, the same recording would give another log each time;
    and the running filter's log would have events that did not happen."""
    if audit.exists() and list_keys(audit):
        text = f"--audit {audit}: has an audit log already; name a new directory"
        raise CommandError(text, INVALID)


class Machine:
    """The running filter without its threads and clocks."""

    def __init__(self, config: Config, audit: Path, commands: BinaryIO) -> None:
        self._config = config
        self._pipeline = Pipeline(config)
        self._audit = AuditLog(audit, synchronous=True)
        self._commands = commands
        self._skipped: list[SkippedLine] = []
        """The first lines that were not understood."""

    @property
    def skipped(self) -> list[str]:
        """Summarise the lines that were not understood; empty if there are none."""
        counters = self._pipeline.filter.lines.counters
        count = sum(number for kind, number in counters.items() if kind.startswith("skipped_"))
        if not count:
            return []
        return [
            f"{count} of {counters.total()} lines were not understood; they are missing:",
            *map(_shown, self._skipped[:SHOWN]),
            *(["..."] if count > SHOWN else []),
        ]

    @property
    def has_understood(self) -> bool:
        """A line was a message of ExaBGP, or there was no line at all. A ShowLine proves nothing:
        any text can be one."""
        counters = self._pipeline.filter.lines.counters
        kinds = {kind for kind in counters if not kind.startswith("skipped_")}
        return not counters or bool(kinds - {ShowLine.__name__})

    def load(self, moment: Moment, vrps: Path | None) -> None:
        """Load the data for judging a recording that has none of its own."""
        if self._config.truth:
            file, may_be_empty = self._config.truth.file, self._config.truth_may_be_empty
            content = read_file(file)
            truth = parse_truth(content, str(file), moment.time, may_be_empty=may_be_empty)
            self.apply(moment, TruthRead(truth, content, str(file), moment.time))
        if vrps is not None:
            table = load_truth(vrps, moment.time).vrps
            snapshot = RtrSnapshot(table, cache=str(vrps), session=0, serial=0, at=moment.now)
            self.apply(moment, RtrRead(snapshot, "from a file"))
        elif self._config.rtr:
            self.apply(moment, RtrGone("given_up"))

    def apply(self, moment: Moment, what: Input) -> None:
        """Take in one input of a recording."""
        outputs = self._pipeline.apply(what, moment)
        self._pipeline.take_records()
        self._commands.writelines(outputs.commands)
        self._audit.extend(moment.time, outputs.audit)
        self._skipped += outputs.skipped[: SHOWN - len(self._skipped)]

    def close(self) -> None:
        """Completes what was written."""
        try:
            self._commands.flush()
        finally:
            self._audit.close()


def _shown(skipped: SkippedLine) -> str:
    text = skipped.beginning.decode(errors="replace")[:SHOWN_TEXT]
    return f"line {skipped.number} ({skipped.why}): {text}"
