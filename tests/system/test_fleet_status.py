"""Heartbeats and comparison with real filters and a real database."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from lab.postgresql import PostgreSql
from playwright.sync_api import expect, sync_playwright
from support.audit_samples import NOON
from support.config_sample import configuration
from support.fleet_processes import get, is_below, workers
from support.fleet_samples import (
    FLEET,
    QuickDisk,
    database,
    fleet_config,
    ship_all,
    shipped,
    shipper,
    wait_until,
    write,
)
from support.speaker import Speaker, announce, state

from rsfilter.audit.files import list_keys
from rsfilter.audit.log import AuditLog
from rsfilter.audit.record import ServiceEvent, timestamp
from rsfilter.cli import main
from rsfilter.fleet.database import Database
from rsfilter.fleet.reader import LogReader
from rsfilter.fleet.schema import VERSION, schema_sql
from rsfilter.fleet.tail import StartTail

pytestmark = pytest.mark.lab

HV1, HV2 = ("198.51.100.1", 65001), ("198.51.100.2", 65002)
HV3 = ("198.51.100.3", 65003)
"""Expected, as truth names its address; without a session unless a test brings it up."""
ROUTER = "192.0.2.10"


OLDER = ["203.0.113.0/26", "203.0.113.64/27", "203.0.113.96/28"]
"""Guests of hv1: without .112 to .119."""


def truth(*first: str) -> dict[str, Any]:
    return {
        "hosts": [
            {"name": "hv1", "asn": 65001, "prefixes": list(first) or ["203.0.113.0/25"]},
            {"name": "hv2", "asn": 65002, "prefixes": ["203.0.113.128/25"]},
            {"name": "hv3", "asn": 65003, "neighbors": [HV3[0]], "prefixes": ["203.0.114.0/24"]},
        ]
    }


def configure(place: Path, server: PostgreSql, role: str, absent_after: int) -> Path:
    """The files of a filter of the fleet."""
    place.mkdir()
    (place / "truth.json").write_text(json.dumps(truth()))
    fleet = f'[fleet]\nname = "{FLEET}"\ndatabase = "{server.url(role)}"\nheartbeat = 2\n'
    absent = f"absent_after = {absent_after}\n"  # of [truth], the last section
    (place / "rsfilter.toml").write_text(configuration() + absent + fleet)
    return place / "rsfilter.toml"


@contextmanager
def two(server: PostgreSql, place: Path, absent_after: int = 300) -> Iterator[dict[str, Speaker]]:
    """Two route servers with the same hosts."""
    configs = {role: configure(place / role, server, role, absent_after) for role in ("rs1", "rs2")}
    with (
        Speaker(configs["rs1"], {ROUTER: 65200}) as one,
        Speaker(configs["rs2"], {ROUTER: 65200}) as other,
    ):
        for speaker in (one, other):
            speaker.write(state(ROUTER, 65200, "up"))
            speaker.write(state(*HV1, "up") + state(*HV2, "up"))
            speaker.write(announce(*HV1, [f"203.0.113.{n}/32" for n in range(1, 120)]))
            speaker.write(announce(*HV2, [f"203.0.113.{n}/32" for n in range(130, 250)]))
        for speaker in (one, other):
            speaker.wait("announced", lambda s=speaker: len(s.tables[ROUTER]) == 239)
        yield {"rs1": one, "rs2": other}


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    main(["fleet", *arguments, "--json"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_two_route_servers_disagree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with database("rs1", "rs2") as server, two(server, tmp_path) as speakers:
        reader = ["--fleet", FLEET, "--database", server.url("auditor")]

        def fetch(what: str) -> list[dict[str, Any]]:
            return rows(capsys, what, *reader)

        wait_until(
            lambda: (
                [(r["instance"], r["accepted"], r["sessions"]) for r in fetch("status")]
                == [("rs1", 239, 3), ("rs2", 239, 3)]
            ),
            "both are there with all their routes",
        )
        assert [one["groups"][0]["name"] for one in fetch("status")] == ["hypervisors"] * 2
        assert main(["fleet", "status", *reader]) == 0
        assert "rs1" in capsys.readouterr().out
        # A truth that is older on one of them.
        older = tmp_path / "rs2" / "truth.json"
        older.write_text(json.dumps(truth(*OLDER)))
        wait_until(lambda: len(fetch("diff")) == 8, "8 differences")
        found = fetch("diff")
        assert {one["cause"] for one in found} == {"truth"}
        assert {one["host"] for one in found} == {"hv1"}
        for one in found:
            mine, theirs = one["has"], one["other_has"]
            if one["instance"] == "rs2":
                mine, theirs = theirs, mine
            assert (mine, theirs) == ("accepted", "rejected origin_not_found")
        assert main(["fleet", "status", *reader]) == 1
        assert "other truth than rs" in capsys.readouterr().out
        assert main(["fleet", "diff", *reader]) == 1
        assert "they have different truths" in capsys.readouterr().out
        wait_until(lambda: "fleet_differs_truth" in warnings(speakers["rs1"]), "a warning")
        # The same truth again.
        older.write_text(json.dumps(truth()))
        wait_until(lambda: fetch("diff") == [], "no difference")
        wait_until(lambda: warnings(speakers["rs1"]) == set(), "no warning")
        # One that is gone is silent.
        speakers["rs2"].process.kill()
        wait_until(lambda: [r["is_silent"] for r in fetch("status")] == [False, True], "silence")
        wait_until(lambda: warnings(speakers["rs1"]) == {"fleet_silent"}, "a warning")
        assert 'rsfilter_fleet_instances{state="silent"} 1.0' in get(speakers["rs1"], "/metrics")


def warnings(speaker: Speaker) -> set[str]:
    """Return the filter's warnings about the fleet."""
    found = json.loads(get(speaker, "/healthz"))["warnings"]
    return {warning["name"] for warning in found if warning["name"].startswith("fleet")}


# The database's side -----------------------------------------------------------------------------


def test_an_instance_writes_its_own_heartbeat_and_no_other() -> None:
    with database("rs1", "rs2") as server:
        beat = "SELECT rsfilter.beat('{\"seq\": 5}'::jsonb, NULL)"
        server.query(beat, role="rs1")
        server.query(beat, role="rs1")
        server.query(beat, role="rs2")
        assert server.query("SELECT instance FROM rsfilter.status ORDER BY 1") == [
            ("rs1",),
            ("rs2",),
        ]
        for statement in (
            "UPDATE rsfilter.status SET state = '{}'",
            "DELETE FROM rsfilter.status",
            "INSERT INTO rsfilter.status VALUES ('rs2', now(), '{}')",
            "TRUNCATE rsfilter.status",
        ):
            with pytest.raises(psycopg.Error, match="permission denied"):
                server.query(statement, role="rs1")
        with pytest.raises(psycopg.Error, match="permission denied"):
            server.query(beat, role="auditor")
        with pytest.raises(psycopg.Error, match="check constraint"):
            server.query(
                "SELECT rsfilter.beat(jsonb_build_object('a', repeat('x', 70000)), NULL)",
                role="rs1",
            )
        server.query("CREATE ROLE rs9 LOGIN IN ROLE rsfilter_instance")
        with pytest.raises(psycopg.Error, match="rs9 is no instance of this fleet"):
            server.query(beat, role="rs9")


def test_what_another_instance_writes_need_not_be_true() -> None:
    """Root on a route server can write anything into its own row: others pass over it."""
    with database("rs1", "rs2") as server:
        for text in ("[]", '"x"', '{"seq": "x"}', '{"groups": [{"id": 5}]}'):
            server.query("SELECT rsfilter.beat(%s::jsonb, NULL)", text, role="rs2")
            assert Database(fleet_config(server, "rs1")).peers(is_detailed=True) == []
        server.query("SELECT rsfilter.beat('{}', '{\"routes\": 5}')", role="rs2")
        assert Database(fleet_config(server, "rs1")).peers(is_detailed=True) == []


def test_a_heartbeat_of_the_future_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """The database's clock has stepped back: an instance that died before that is silent all the
    same, and one that lives has soon sent its next heartbeat."""
    with database("rs1", "rs2") as server:
        for role in ("rs1", "rs2"):
            server.query("SELECT rsfilter.beat('{}', NULL)", role=role)
        server.query("UPDATE rsfilter.status SET at = now() + interval '1 hour'")
        server.query("SELECT rsfilter.beat('{}', NULL)", role="rs1")
        reader = ["--fleet", FLEET, "--database", server.url("auditor")]
        output = {row["instance"]: row["is_silent"] for row in rows(capsys, "status", *reader)}
        assert output == {"rs1": False, "rs2": True}


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """Version 1 with records in it, then the whole: nothing is lost, and heartbeats work."""
    with database() as server:
        server.query("DROP SCHEMA rsfilter CASCADE")
        server.apply(schema_sql(FLEET, ["rs1"], version=1))
        write(tmp_path, 100)
        insert = (
            "INSERT INTO rsfilter.block (first, last, prev, hash, lines) "
            "VALUES (%s, %s, %s, %s, %s)"
        )
        block = LogReader(tmp_path).block(101)
        assert block is not None
        server.query(insert, *block, role="rs1")
        server.apply(schema_sql(FLEET, ["rs1"]))
        assert server.query("SELECT version FROM rsfilter.fleet") == [(VERSION,)]
        key = server.query("SELECT key FROM rsfilter.fleet")
        server.apply(schema_sql(FLEET, ["rs1"]))
        assert server.query("SELECT key FROM rsfilter.fleet") == key
        ship_all(shipper(server, "rs1", tmp_path))
        assert len(shipped(server)) == 101
        server.query("SELECT rsfilter.beat('{}', NULL)", role="rs1")


# The log's side ----------------------------------------------------------------------------------


def test_the_last_start_is_found_in_any_file(tmp_path: Path) -> None:
    tail = StartTail(tmp_path)
    assert not tail.find()
    for number in range(3):
        log = AuditLog(tmp_path, synchronous=True, disk=QuickDisk())
        log.append(NOON + number, ServiceEvent("start", {}))
        log.close()
        write(tmp_path, 50, first=number * 50, max_bytes=20_000)
        assert tail.find()
        first, *rest = tail.records()
        assert (first.event, len([r for r in rest if r.event == "verdict"])) == ("start", 50)
    assert len(list_keys(tmp_path)) > 4
    assert not tail.find(timestamp(NOON + 1))  # of an earlier process
    assert tail.find(timestamp(NOON + 2))
    write(tmp_path, 5, first=200)
    assert tail.find()


def test_an_idle_fleet_sends_little(tmp_path: Path) -> None:
    """Octets of a heartbeat with one other instance: under 1 kB."""
    with database("rs1", "rs2") as server, two(server, tmp_path):
        wait_until(
            lambda: len(server.query("SELECT 1 FROM rsfilter.status WHERE detail IS NULL")) == 2,
            "both are there",
        )
        time.sleep(3)
        sizes = [
            size
            for (size,) in server.query("SELECT octet_length(state::text) FROM rsfilter.status")
        ]
        assert sum(sizes) < 1000, sizes


def test_the_process_is_small(tmp_path: Path) -> None:
    with database("rs1", "rs2") as server, two(server, tmp_path):
        wait_until(
            lambda: len(server.query("SELECT 1 FROM rsfilter.status")) == 2, "both are there"
        )
        for pid in workers():
            if is_below(pid, tmp_path):
                rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf(
                    "SC_PAGESIZE"
                )
                assert rss < 80 << 20


# The page and the API ----------------------------------------------------------------------------


def test_the_page_has_the_fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both instances, a difference with its cause, and an absent host that one of them sees, in
    Chromium."""
    with (
        database("rs1", "rs2") as server,
        two(server, tmp_path, absent_after=1) as speakers,
        sync_playwright() as playwright,
    ):
        speakers["rs1"].write(state(*HV3, "up"))
        (tmp_path / "rs2" / "truth.json").write_text(json.dumps(truth(*OLDER)))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[] if os.geteuid() else ["--no-sandbox"],
        )
        page = browser.new_page(base_url=f"http://{speakers['rs1'].http}")
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto("/")
        page.get_by_role("link", name="Fleet").click(timeout=20_000)
        expect(page.get_by_text("2 route servers of site-a")).to_be_visible(timeout=20_000)
        expect(page.get_by_role("cell", name="rs2", exact=True).first).to_be_visible()
        expect(page.get_by_text("8 routes differ")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("other truths").first).to_be_visible()
        found = json.loads(get(speakers["rs1"], "/api/v1/fleet"))
        assert [one["instance"] for one in found["instances"]] == ["rs1", "rs2"]
        assert {one["cause"] for one in found["differences"]} == {"truth"}
        assert [one["other_data"] for one in found["instances"]] == ["", "truth"]
        absent = page.get_by_role("row").filter(has_text="hv3")
        expect(absent).to_contain_text("1 of 2", timeout=30_000)
        assert absent.get_by_role("cell").all_inner_texts() == [
            "hv3", HV3[0], "1 of 2", "rs2", "rs1",
        ]  # fmt: skip
        main(["fleet", "status", "--fleet", FLEET, "--database", server.url("auditor")])
        assert "hv3          198.51.100.3  1 of 2   rs2" in capsys.readouterr().out
        metrics = get(speakers["rs1"], "/metrics")
        assert 'rsfilter_fleet_other_data{cause="truth"} 1.0' in metrics
        speakers["rs1"].write(state(*HV3, "down", "out of order"))
        expect(absent).to_contain_text("0 of 2", timeout=30_000)
        speakers["rs1"].write(state(*HV3, "up"))
        speakers["rs2"].write(state(*HV3, "up"))
        expect(page.get_by_text("no host is absent")).to_be_visible(timeout=30_000)
        server.freeze()
        expect(page.get_by_text("The database does not answer")).to_be_visible(timeout=60_000)
        server.thaw()
        expect(page.get_by_text("2 route servers of site-a")).to_be_visible(timeout=60_000)
        assert problems == []
        browser.close()
