"""Scenario Fleet: two route servers, and one audit that neither can rewrite.

PostgreSQL has a synchronous standby. What was announced and decided is in it to the last record,
whatever dies on the way; and where the two decide differently, it is named, with the cause.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer
from lab.postgresql import PostgreSql, servers
from lab.stage import Stage
from lab.story import SHOWN, expecting, narrate
from lab.waiting import eventually
from support.fleet_samples import FLEET, lines, shipped, wait_until
from support.rewritten_log import rewritten

from rsfilter.cli import main
from rsfilter.fleet.schema import schema_sql

pytestmark = pytest.mark.lab

GUESTS = {
    "hv1": [f"203.0.113.{n}/32" for n in range(1, 13)],
    "hv2": [f"203.0.113.{n}/32" for n in range(129, 141)],
}
OWNERS = {"hv1": ["203.0.113.0/25"], "hv2": ["203.0.113.128/25"]}
OLDER = {"hv1": ["203.0.113.0/25"], "hv2": ["203.0.113.128/29"]}
"""Guests that hv2 had before, from .136 to .140: five routes, fewer than the guard counts."""

DEADLINE_S = 90.0


class Fleet:
    """Two route servers, their database and its standby."""

    def __init__(self, lab: Lab, primary: PostgreSql, standby: PostgreSql, copies: Path) -> None:
        self.primary, self.standby, self.copies = primary, standby, copies
        self.database = primary
        """The one that is written to."""
        self.stage = Stage(lab, names=("rs", "rs2"))
        for number, name in enumerate(OWNERS, 1):
            self.stage.add_host(BirdHost, name, 65000 + number)
        self.stage.add_router(BirdRouter, "leaf1")
        self.stage.owners(OWNERS, "r2")
        self.instances = dict(zip(("rs1", "rs2"), self.stage.route_servers, strict=True))
        hosts = f"{primary.place},{standby.place}"
        for role, server in self.instances.items():
            url = f"postgresql://{role}@/postgres?host={hosts}&target_session_attrs=read-write"
            self.stage.own_sections[server.name] = {
                "fleet": {"name": FLEET, "database": url, "heartbeat": 2}
            }

    def fleet(self, what: str, *more: str) -> list[str]:
        """Return the answer of `rsfilter fleet` to an auditor."""
        reader = ["--fleet", FLEET, "--database", self.database.url("auditor"), "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main(["fleet", what, *reader, *more])
        return out.getvalue().splitlines()

    def differences(self) -> list[dict[str, Any]]:
        """Return the differences that `fleet diff` names."""
        return [json.loads(line) for line in self.fleet("diff")]

    def agree(self) -> None:
        """Both are heard of, with all routes, and do not differ."""
        written = [len(lines(server.audit.directory)) for server in self.instances.values()]

        def probe() -> str | None:
            found = [json.loads(line) for line in self.fleet("status")]
            if len(found) < 2 or any(map(lambda one, seq: one["seq"] < seq, found, written)):
                return f"the heartbeats are older than now: {found}"
            counts = [(one["instance"], one["accepted"], one["is_silent"]) for one in found]
            if counts != [("rs1", 24, False), ("rs2", 24, False)]:
                return f"the fleet is {counts}"
            return f"they differ: {found}" if (found := self.differences()) else None

        with expecting("both route servers are heard of, and decide the same"):
            eventually(probe, self.evidence, DEADLINE_S)

    def has_all_records(self) -> None:
        """Require that the logs on the disk are in the database, octet for octet."""

        written = {role: lines(one.audit.directory) for role, one in self.instances.items()}

        def probe() -> str | None:
            for role, records in written.items():
                there = shipped(self.database, role)
                if there[: len(records)] != records:
                    return f"{role}: {len(there)} records are there, of {len(records)}"
            return None

        with expecting("the database has the records of both, octet for octet"):
            eventually(probe, self.evidence, DEADLINE_S)

    def evidence(self) -> str:
        """Evidence for a failed expectation."""
        return f"{self.stage.lab.report()}\n{self.database.log()}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Lab() as lab:
        for primary, standby in servers(2):
            narrate("PostgreSQL starts, and a synchronous standby")
            primary.initialise()
            primary.start()
            primary.apply(schema_sql(FLEET, ["rs1", "rs2"], ["auditor"]))
            standby.follow(primary)
            standby.start()
            primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.query("SELECT pg_reload_conf()")
            wait_until(primary.is_synchronous, "the standby is synchronous")
            running = Fleet(lab, primary, standby, tmp_path_factory.mktemp("copies"))
            running.stage.starts()
            for name, guests in GUESTS.items():
                running.stage.host(name).announces(*guests)
            yield running


def has_begun_anew(server: RouteServer) -> str | None:
    """A probe: the filter has judged all routes since its second start."""
    records = server.audit.records()
    starts = [number for number, r in enumerate(records) if r["event"] == "start"]
    judged = {r["prefix"] for r in records[starts[-1] :] if r.get("verdict") == "accepted"}
    return None if len(starts) == 2 and len(judged) == 24 else f"{starts}, {len(judged)} routes"


def test_a_both_decide_the_same(fleet: Fleet) -> None:
    """All routes are announced to both, and both show that."""
    fleet.agree()
    fleet.has_all_records()


def test_b_one_has_the_older_truth(fleet: Fleet) -> None:
    """Each difference is named, with its cause; the same truth again, and there is none."""
    fleet.stage.owners(OWNERS, "r3")
    second: RouteServer = fleet.instances["rs2"]
    document = json.loads(second.truth.read_text())
    document["hosts"][1]["prefixes"] = OLDER["hv2"]
    second.writes_truth(document)

    def probe() -> str | None:
        found = fleet.differences()
        prefixes = sorted(one["prefix"] for one in found)
        causes = {one["cause"] for one in found}
        wanted = sorted(f"203.0.113.{n}/32" for n in range(136, 141))
        return None if (prefixes, causes) == (wanted, {"truth"}) else f"{prefixes} by {causes}"

    with expecting("five routes differ, because the truths do"):
        eventually(probe, fleet.evidence, DEADLINE_S)
    SHOWN.append("rsfilter fleet diff:\n" + "\n".join(fleet.fleet("diff")) + "\n")
    fleet.stage.owners(OWNERS, "r3")
    fleet.agree()


def test_c_filters_are_killed(fleet: Fleet) -> None:
    """kill -9 of both filters, one after the other: ExaBGP starts them again, nothing is lost."""
    for server in fleet.instances.values():
        server.filter_restarts()
        with expecting(f"{server.name} knows all routes again"):
            eventually(lambda one=server: has_begun_anew(one), fleet.evidence)  # type: ignore[misc]
    fleet.agree()
    fleet.has_all_records()


def test_d_the_database_is_out_of_reach(fleet: Fleet) -> None:
    """A database that does not answer, as behind a cut: filters go on, and no record is missing
    afterwards. The page of each filter shows both."""
    narrate("the database stands still, as if the network to it were cut")
    for server in fleet.instances.values():
        server.tolerated.append("fleet")
    guest = GUESTS["hv2"][0]
    fleet.primary.freeze()
    fleet.stage.host("hv2").withdraws(guest)
    for server in fleet.instances.values():
        server.audit.has(event="withdraw", prefix=guest)
    fleet.primary.thaw()
    fleet.stage.host("hv2").announces(guest)
    fleet.agree()
    fleet.has_all_records()

    def probe() -> str | None:
        for server in fleet.instances.values():
            answer = json.loads(server.fetch("/api/v1/fleet"))
            found = [one["instance"] for one in answer["instances"]]
            if found != ["rs1", "rs2"]:
                return f"{server.name} knows {found}"
        return None

    with expecting("the page of each route server has both"):
        eventually(probe, fleet.evidence, DEADLINE_S)


def test_e_the_database_dies_and_its_standby_takes_over(fleet: Fleet) -> None:
    """The primary is killed while routes change, and the standby is promoted by hand."""
    narrate("the database is killed (kill -9), and its standby is promoted")
    fleet.primary.crash()
    fleet.stage.host("hv1").withdraws(GUESTS["hv1"][0])
    for server in fleet.instances.values():
        server.audit.has(event="withdraw", prefix=GUESTS["hv1"][0])
    fleet.standby.promote()
    fleet.standby.query("ALTER SYSTEM SET synchronous_standby_names = ''")
    fleet.standby.query("SELECT pg_reload_conf()")
    fleet.database = fleet.standby
    fleet.stage.host("hv1").announces(GUESTS["hv1"][0])
    fleet.agree()
    fleet.has_all_records()


def test_f_copies_are_the_same_octets(fleet: Fleet) -> None:
    """Collected elsewhere, every hash is checked."""
    fleet.has_all_records()
    with expecting("the copies are what was written"):
        fleet.fleet("collect", "-o", str(fleet.copies))
        for role, server in fleet.instances.items():
            copied = lines(fleet.copies / role)
            assert copied == lines(server.audit.directory)[: len(copied)]
            assert len(copied) > len(GUESTS)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["audit", "verify", "--directory", str(fleet.copies)]) == 0
        assert out.getvalue().count("The log is intact.") == 2


def test_g_root_rewrites_a_log(fleet: Fleet) -> None:
    """The log that was rewritten is intact by itself, and is found out all the same."""
    server = fleet.instances["rs1"]
    narrate("root on rs1 rewrites its audit log")
    server.tolerated.append("fleet|audit log")
    records = map(json.loads, lines(server.audit.directory))
    rewritten(server.audit.directory, next(r["seq"] for r in records if r.get("asn") == 65001))

    def probe() -> str | None:
        found = [json.loads(line) for line in fleet.fleet("status")]
        problems = {one["instance"]: one["problem"] for one in found}
        return None if problems == {"rs1": "fork", "rs2": ""} else f"problems are {problems}"

    with expecting("the fleet knows that rs1's log is not the one that was shipped"):
        eventually(probe, fleet.evidence, DEADLINE_S)
