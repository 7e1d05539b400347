"""Traces that a world leaves behind for people: the audit log, its tables, and `explain`."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.text import assert_plain
from fuzz.world import World
from rsfilter.audit.chain import GENESIS, MAX_LINE, Link, claimed_link, is_intact, seal
from rsfilter.audit.files import Disk
from rsfilter.audit.log import AuditLog
from rsfilter.audit.query import query
from rsfilter.audit.record import Bodies, body
from rsfilter.audit.verify import verify
from rsfilter.cli import main
from rsfilter.routing.effects import AuditEvent, VerdictChange
from rsfilter.routing.judging import findings, judge
from rsfilter.routing.model import VerdictKind

EPOCH = 1.7e9
"""Added to a world's clock, for days that a log can have."""

Entries = Sequence[tuple[float, AuditEvent]]


class _FastDisk(Disk):
    def fsync(self, descriptor: int) -> None:
        """A fuzzer's log need not survive a power failure."""


def check_lines(entries: Entries) -> list[bytes]:
    """Lines of the entries: each is plain ASCII, has the content of its event, and is chained to
    the one before it, whichever way it was written."""
    bodies, prev, lines = Bodies(), GENESIS, []
    for seq, (_at, event) in enumerate(entries, 1):
        members = bodies(event)
        assert members == body(event), "written together, a record differs"
        text, digest = seal(seq, "2026-11-22T10:00:00.000000Z", members, prev)
        line = text.encode("ascii")
        link = Link(seq, prev, digest)
        assert line.endswith(b"\n"), line
        assert len(line) <= MAX_LINE, len(line)
        assert_plain(line[:-1].decode("ascii"), "an audit line")
        assert claimed_link(line) == link, line
        assert is_intact(line, link), line
        record = json.loads(line)
        if isinstance(event, VerdictChange):
            route = event.route
            assert record["neighbor"] == str(route.key.neighbor), line
            assert record["prefix"] == str(route.key.prefix), line
            assert record["asn"] == route.asn, line
            assert record["as_path_length"] == route.attributes.as_path.length, line
        prev = digest
        lines.append(line)
    return lines


def check_files(entries: Entries) -> None:
    """A log of the entries is intact, gives each of them back, and every table of it is plain."""
    with TemporaryDirectory(prefix="rsfilter-fuzz-") as name:
        directory = Path(name)
        log = AuditLog(directory, synchronous=True, disk=_FastDisk())
        for at, event in entries:
            log.append(EPOCH + at, event)
        log.close()
        result = verify(directory)
        assert result.is_ok, result
        assert sum(r["event"] != "file" for r in query(directory)) == len(entries)
        if not entries:
            return  # no log either, which is an error to those who name the directory
        for arguments in (["query", "--limit", "0"], ["query", "--json"], ["tail"]):
            check_output(["audit", *arguments, "--directory", name])


def check_output(arguments: Sequence[str]) -> None:
    """A command prints nothing that a terminal obeys."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(arguments) == 0, (arguments, err.getvalue())
    for line in (out.getvalue() + err.getvalue()).split("\n"):
        assert_plain(line, f"the output of {arguments[:2]}")


def check_explain(world: World) -> None:
    """Require that `explain` gives the running filter's decision for every route in the tables."""
    engine = world.filter.engine
    for entry in engine.rib_in.entries():
        if entry.verdict.kind is VerdictKind.HELD or not entry.within_limit:
            continue
        group = engine.neighbors.group(entry.route.key.neighbor)
        assert judge(entry.route, group, engine.data) == entry.verdict, entry
        text = findings(entry.route, group, engine.data)
        found = {reason for reasons in text.values() for reason in reasons}
        assert found == {*entry.verdict.reasons}, (text, entry)
