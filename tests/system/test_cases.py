"""Inputs of which others have reported that a route server gets them wrong: `fixtures/cases`.

Each is checked, and its lines are replayed: what is refused, and what becomes of each route.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rsfilter.cli import main
from rsfilter.config.build import load_config
from rsfilter.config.model import ConfigError

CASES = Path(__file__).parents[2] / "fixtures" / "cases"

NOT_OWNED, FAMILY = ["next_hop_not_owned"], ["next_hop_family"]

VERDICTS: dict[str, list[list[str]]] = {
    # RFC 6052, RFC 8215: forwardable, for any owner
    "nat64": [[], [], []],
    # A next hop that a router takes for an IPv4 one, in an IPv6 route
    "mapped-next-hop": [FAMILY],
    # RFC 8950: the IPv6 route, then an IPv4 route whose next hop is an IPv6 address
    "dual-stack-over-one-session": [[], FAMILY],
    # RFC 4271 sections 5.1.3 and 6.3. IPv4: its own, another host's, the route server's, the
    # router's, .0, .255, multicast, loopback. IPv6: its own, the route server's, the router's,
    # IPv4-mapped, ::, ::1, multicast, its own and ::, its own and a link-local one, link-local
    # alone, :: and a link-local one.
    "next-hop-of-the-receiver": [
        *([], [], NOT_OWNED, NOT_OWNED, [], [], NOT_OWNED, NOT_OWNED),
        *([], NOT_OWNED, NOT_OWNED, FAMILY, NOT_OWNED, NOT_OWNED, NOT_OWNED, NOT_OWNED),
        *([], NOT_OWNED, NOT_OWNED),
    ],
}


def replayed(case: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The audit records of a case's lines."""
    shutil.copytree(CASES / case, place / case)
    monkeypatch.chdir(place / case)
    assert main(["replay", "--audit", "audit", "lines.jsonl"]) == 0
    (log,) = Path("audit").glob("audit-*.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("case", VERDICTS)
def test_each_case_ends_with_its_verdicts(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = replayed(case, tmp_path, monkeypatch)
    found = [record["reasons"] for record in records if record["event"] == "verdict"]
    assert found == VERDICTS[case]


def test_the_asn_of_an_open_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = replayed("wrong-asn-in-open", tmp_path, monkeypatch)
    (record,) = (record for record in records if record["event"] == "session_down")
    assert record["asn"] == 65005
    assert isinstance(record["data"], dict)
    assert record["data"]["open_asn"] == 65006


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("link-local-sessions/rsfilter.toml", "169.254.255.0/24 is link-local"),
        ("link-local-sessions/with-a-list.toml", "no router can reach a next hop of it"),
        ("mapped-next-hop/with-a-list.toml", "no router can reach a next hop of it"),
    ],
)
def test_what_cannot_work_is_refused(file: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_config(CASES / file)


@pytest.mark.parametrize("name", ["empty", "only-bgpsec", "bindings"])
def test_a_truth_without_prefixes_is_good_where_caches_decide(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "-c", str(CASES / "empty-slurm" / f"{name}.toml")]) == 0
    assert f"{name}.toml: ok" in capsys.readouterr().out
