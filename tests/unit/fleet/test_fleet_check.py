"""`rsfilter fleet check`: configurations of many route servers, which do or do not fit together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rsfilter.cli import main

TRUTH = {
    "hosts": [
        {"name": name, "asn": asn, "neighbors": [neighbor], "prefixes": [prefix]}
        for name, asn, neighbor, prefix in (
            ("hv1", 65001, "198.51.100.1", "203.0.113.0/28"),
            ("hv2", 65002, "198.51.100.200", "203.0.113.16/28"),
        )
    ]
}


def toml(number: int, **changed: Any) -> str:
    """One route server of four: 1 and 2 have the lower half of the hosts, 3 and 4 the upper."""
    half = "198.51.100.0/25" if number <= 2 else "198.51.100.128/25"
    values = {
        "asn": 65100,
        "router_id": f"192.0.2.{100 + number}",
        "local": f"192.0.2.{100 + number}",
        "neighbors": [half],
        "max_prefixes": 1000,
        "router_asn": 65200,
        "mode": "authoritative",
        "fleet": "site-a",
        "role": f"rs{number}",
    } | changed
    return f"""
[route_server]
asn = {values["asn"]}
router_id = "{values["router_id"]}"
local_address = "{values["local"]}"

[[hosts]]
name = "hypervisors"
neighbors = {json.dumps(values["neighbors"])}
max_prefixes = {values["max_prefixes"]}

[[routers]]
name = "leaves"
neighbors = ["192.0.2.10", "192.0.2.11"]
asn = {values["router_asn"]}

[truth]
file = "truth.json"
mode = "{values["mode"]}"

[fleet]
name = "{values["fleet"]}"
database = "postgresql://{values["role"]}@127.0.0.1/rsfilter"
"""


def plan(place: Path, **of_four: Any) -> list[str]:
    """Files of four route servers; what differs in the fourth."""
    (place / "truth.json").write_text(json.dumps(TRUTH))
    names = []
    for number in range(1, 5):
        path = place / f"rs{number}.toml"
        path.write_text(toml(number, **(of_four if number == 4 else {})))
        names.append(str(path))
    return names


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, str]]]:
    code = main(["fleet", "check", "--json", *arguments])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_plan_that_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = plan(tmp_path)
    assert found(capsys, *names) == (0, [])
    assert found(capsys, *names, "--covers", "198.51.100.0/24") == (0, [])
    assert main(["fleet", "check", *names]) == 0
    assert capsys.readouterr().out == "4 route servers: no errors\n"


WRONG = {
    "router_id": (
        {"router_id": "192.0.2.103"},
        "route_server.router_id",
        "192.0.2.103 is in {rs3}, {rs4}",
    ),
    "address": (
        {"local": "192.0.2.101"},
        "route_server.local_address",
        "192.0.2.101 is in {rs1}, {rs4}",
    ),
    "asn": ({"asn": 65101}, "route_server.asn", "65101 in {rs4}"),
    "routers": ({"router_asn": 65201}, "routers leaves", "is not the same everywhere"),
    "mode": ({"mode": "union"}, "truth.mode", "'union' in {rs4}"),
    "fleet": ({"fleet": "site-b"}, "fleet.name", "'site-b' in {rs4}"),
    "role": ({"role": "rs3"}, "fleet.database", "rs3 is in {rs3}, {rs4}"),
    "rules": (
        {"max_prefixes": 500},
        "hosts",
        "the same neighbors are judged by different rules in {rs3} (hypervisors), {rs4} (hyper",
    ),
    "one session": (
        {"neighbors": ["198.51.100.128/26"]},
        "hosts",
        "198.51.100.192/26: only 1 of 2 route servers has them",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_configurations_that_do_not_fit_together_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    changed, place, text = WRONG[name]
    names = plan(tmp_path, **changed)
    code, findings = found(capsys, *names)
    wanted = text.format(**{Path(path).stem: path for path in names})
    errors = [one for one in findings if one["level"] == "error"]
    assert code == 1
    assert len(errors) == 1
    assert errors[0]["place"] == place
    assert wanted in errors[0]["text"]


def test_ranges_that_meet_in_part_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = plan(tmp_path, neighbors=["198.51.100.64/26", "198.51.100.128/25"])
    code, findings = found(capsys, *names)
    assert code == 0
    texts = [one["text"] for one in findings]
    assert any("198.51.100.64/26: more than 2 route servers have them" in text for text in texts)
    assert sum("they cannot be compared" in text for text in texts) == 3


def test_ranges_that_no_route_server_has_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = plan(tmp_path)[:2]
    code, findings = found(capsys, *names, "--covers", "198.51.100.0/24")
    assert code == 1
    assert [one["text"] for one in findings] == [
        "198.51.100.128/25: no route server has them",
        "in no route server's ranges, although truth binds them: hv2 198.51.100.200",
    ]


def test_another_truth_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = plan(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "truth.json").write_text(json.dumps({**TRUTH, "metadata": {"revision": "r2"}}))
    path = elsewhere / "rs4.toml"
    path.write_text(toml(4))
    code, findings = found(capsys, *names[:3], str(path))
    assert code == 0
    assert [(one["level"], one["place"]) for one in findings] == [("warning", "truth.file")]


def test_check_knows_how_many_sessions_a_host_should_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = plan(tmp_path)
    assert found(capsys, "--sessions", "1", *names)[0] == 0
    code, findings = found(capsys, "--sessions", "3", *names)
    assert code == 1
    assert "198.51.100.0/24: only 2 of 3 route servers has them" in findings[0]["text"]


def test_all_errors_of_all_files_are_reported_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = plan(tmp_path, asn=0)
    Path(names[0]).write_text("nothing = 1")
    assert main(["fleet", "check", *names]) == 2
    output = capsys.readouterr().err
    assert f"{names[0]}: nothing: unknown key" in output
    assert f"{names[3]}: route_server.asn: expected an ASN" in output


def test_many_hosts_take_seconds_at_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """32 route servers, 8,000 hosts named one by one."""
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    names = []
    for number in range(32):
        shard = number // 2
        neighbors = [f"10.{shard}.{n // 250}.{n % 250 + 1}" for n in range(500)]
        path = tmp_path / f"rs{number}.toml"
        address = f"192.0.2.{100 + number}"
        own = {"router_id": address, "local": address, "role": f"rs{number}"}
        path.write_text(toml(1, neighbors=neighbors, **own))
        names.append(str(path))
    code, findings = found(capsys, *names)
    assert code == 1
    assert [one["place"] for one in findings] == ["truth"]
