"""Files rendered for ExaBGP, as ExaBGP itself reads them."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exabgp.configuration.core.format import tokens
from hypothesis import given
from hypothesis import strategies as st
from lab.waiting import DEADLINE_S

from rsfilter.commands.render import validate, validate_fanouts
from rsfilter.config.build import parse_config
from rsfilter.config.model import Config
from rsfilter.render.bird import render_fanouts
from rsfilter.render.exabgp import Rendered, RenderError, render
from rsfilter.render.sessions import HostNeighbor, plan
from rsfilter.routing.model import Address
from rsfilter.rpki.truth import Truth, parse_truth

COMMAND = (sys.executable, "-m", "rsfilter")

BASE = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = ["192.0.2.100", "2001:db8::100"]
port = 1790
[truth]
file = "truth.json"
[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.0/25", "198.51.100.7", "2001:db8:1::/64"]
asn = 65001
[[hosts]]
name = "storage"
neighbors = ["198.51.100.200"]
"""
LEAVES = """
[[routers]]
name = "leaves"
neighbors = ["192.0.2.11", "192.0.2.10", "2001:db8::10"]
asn = 65200
port = 1179
"""
SPINES = """
[[routers]]
name = "spines"
neighbors = ["192.0.2.20"]
asn = 65100
port = 0
paths = "all"
"""


def config(text: str = BASE + LEAVES + SPINES, path: str = "/etc/rsfilter/rsfilter.toml") -> Config:
    return parse_config(text, Path(path))


def truth(*hosts: tuple[str, int, list[str]]) -> Truth:
    entries = [
        {
            "name": name,
            "asn": asn,
            "neighbors": neighbors,
            "prefixes": [f"10.{number >> 8}.{number & 255}.0/24"],
        }
        for number, (name, asn, neighbors) in enumerate(hosts)
    ]
    return parse_truth(json.dumps({"hosts": entries}).encode(), "truth.json", 0.0)


HV1 = ("hv1", 4200000005, ["198.51.100.101", "2001:db8:1::101"])
HV2 = ("hv2", 4200000006, ["198.51.100.9"])
STORAGE = ("storage", 4200000007, ["198.51.100.200"])


def rendered(of: Config | None = None, by: Truth | None = None) -> Rendered:
    return render(of or config(), by or truth(HV1, HV2, STORAGE), COMMAND, "root")


# Which hosts -----------------------------------------------------------------------------------


def neighbor(address: str, asn: int, group: str = "hypervisors") -> HostNeighbor:
    return HostNeighbor(Address.parse(address), asn, group)


PLANS = [
    # truth's hosts, and the neighbors; 198.51.100.7 is named by the configuration
    (
        [HV1, HV2, STORAGE],
        [
            neighbor("198.51.100.7", 65001),
            neighbor("198.51.100.9", 4200000006),
            neighbor("198.51.100.101", 4200000005),
            neighbor("198.51.100.200", 4200000007, "storage"),
            neighbor("2001:db8:1::101", 4200000005),
        ],
    ),
    # truth's ASN comes before the group's
    (
        [("hv7", 4200000099, ["198.51.100.7"]), STORAGE],
        [
            neighbor("198.51.100.7", 4200000099),
            neighbor("198.51.100.200", 4200000007, "storage"),
        ],
    ),
]


@pytest.mark.parametrize(("hosts", "neighbors"), PLANS)
def test_hosts_that_truth_or_configuration_names(
    hosts: list[tuple[str, int, list[str]]], neighbors: list[HostNeighbor]
) -> None:
    assert plan(config(), truth(*hosts)) == (tuple(neighbors), (), ())


def test_an_address_outside_every_group_is_a_warning() -> None:
    found = plan(config(), truth(("out", 65005, ["198.51.100.128"]), STORAGE))
    assert [str(host.address) for host in found.hosts] == ["198.51.100.7", "198.51.100.200"]
    assert found.warnings == (
        "truth host 'out': 198.51.100.128 is in no [[hosts]] group; it is not rendered, widen the "
        "neighbors of a group or correct the truth",
    )


def test_two_route_servers_with_one_truth_share_its_hosts_out() -> None:
    """Each warns of the other's, but not of thousands one by one."""
    hosts = [(f"hv{n}", 4200000000 + n, [f"10.{n // 100}.0.{n % 100}"]) for n in range(200)]
    own_section = BASE.partition("[[hosts]]")[0]
    shards = [
        plan(
            config(f'{own_section}[[hosts]]\nname = "hv"\nneighbors = ["{own}"]\n' + LEAVES),
            truth(*hosts),
        )
        for own in ("10.0.0.0/24", "10.1.0.0/24")
    ]
    assert [[str(host.address) for host in shard.hosts] for shard in shards] == [
        [f"10.{n}.0.{host}" for host in range(100)] for n in (0, 1)
    ]
    for shard, first in zip(shards, ("10.1.0.0", "10.0.0.0"), strict=True):
        assert not shard.problems
        assert len(shard.warnings) == 6
        assert f"{first} is in no [[hosts]] group" in shard.warnings[0]
        assert shard.warnings[5] == (
            "truth: 95 more addresses of hosts are in no [[hosts]] group; they are not rendered, "
            "as is right for the hosts of another route server"
        )


def test_an_address_that_no_session_can_have_is_a_warning() -> None:
    """A truth in use does not become bad as a whole for it."""
    odd = ["fe80::1", "224.0.0.1", "255.255.255.255", "::ffff:1.2.3.4", "::", "0.0.0.1", "ff02::1"]
    everywhere = BASE.replace(
        '"198.51.100.0/25", "198.51.100.7", "2001:db8:1::/64"', '"0.0.0.0/1", "f000::/4"'
    )
    found = plan(config(everywhere + LEAVES), truth(("odd", 65005, odd), STORAGE))
    assert found.hosts == (neighbor("198.51.100.200", 4200000007, "storage"),)
    assert found.warnings == (
        *(
            f"truth host 'odd': {address} is not rendered: no BGP session can have it"
            for address in ("0.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::ffff:1.2.3.4")
        ),
        "truth: 2 more addresses of hosts cannot be those of a BGP session; they are not rendered",
    )


def test_a_host_of_our_own_as_is_a_problem() -> None:
    """Truth may have our AS as an owner, or with a session of another."""
    ours = [("hv1", 65100, ["198.51.100.101"]), ("infra", 65100, ["192.0.2.1"]), STORAGE]
    with pytest.raises(RenderError) as caught:
        rendered(by=truth(*ours))
    (problem,) = caught.value.problems
    assert problem.startswith("truth host 'hv1': AS65100 is our own: over iBGP the path")
    rendered(by=truth(*ours[1:]))


@pytest.mark.parametrize("between", ["", '[fanout]\naddresses = ["192.0.2.30"]\n'])
def test_routers_with_the_asn_of_hosts_are_a_warning(between: str) -> None:
    hosts = [("hv1", 65200, ["198.51.100.101"]), ("hv2", 65200, ["198.51.100.102"]), STORAGE]
    (warning,) = plan(config(BASE + LEAVES + SPINES + between), truth(*hosts)).warnings
    assert warning.startswith(
        "routers leaves: AS65200 is also that of 198.51.100.101 and 1 more: these routers take"
    )


def test_an_asn_that_truth_binds_to_other_addresses_is_a_warning() -> None:
    (warning,) = plan(config(), truth(("hv9", 65001, ["198.51.100.9"]), STORAGE)).warnings
    assert warning == (
        "hosts hypervisors: truth binds AS65001 to other addresses, those of 'hv9': every route of "
        "198.51.100.7 is rejected (neighbor_not_bound); bind the address to a host in truth"
    )


def test_an_address_without_an_asn_is_a_problem() -> None:
    with pytest.raises(RenderError) as caught:
        rendered(by=truth(HV1))
    assert caught.value.problems == [
        "/etc/rsfilter/rsfilter.toml: hosts storage: 198.51.100.200 has no ASN; bind it to a "
        "host in truth, or set asn in the group"
    ]


def test_ranges_alone_make_no_neighbor() -> None:
    hypervisors, _ = BASE.replace('"198.51.100.7", ', "").split('[[hosts]]\nname = "storage"')
    ranges = config(hypervisors + LEAVES)
    with pytest.raises(RenderError, match="ranges only authorise"):
        render(ranges, None, COMMAND, "root")


@pytest.mark.parametrize("path", ["/etc/it's/r.toml", '/etc/"/r.toml', "/etc/a\nb/r.toml"])
def test_a_path_that_exabgp_cannot_spell_is_a_problem(path: str) -> None:
    with pytest.raises(RenderError, match="cannot hold a path with quotes"):
        rendered(config(path=path))


def test_the_order_of_truth_changes_nothing() -> None:
    hosts = [(f"hv{i}", 4200000000 + i, [f"198.51.100.{i}"]) for i in range(1, 100)]
    shuffled = random.Random(1).sample(hosts, len(hosts))
    assert rendered(by=truth(STORAGE, *hosts)).files == rendered(by=truth(*shuffled, STORAGE)).files


# The process -----------------------------------------------------------------------------------

WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="'\""), min_size=1
).filter(str.isprintable)


@given(st.lists(WORDS, min_size=1, max_size=3))
def test_exabgp_reads_each_word_of_the_command_as_it_is(words: list[str]) -> None:
    text = render(config(path="/r"), truth(STORAGE), words, "root").files["exabgp.conf"]
    (line,) = [line for line in text.split("\n") if line.startswith("    run ")]
    (read,) = tokens([line])
    assert [word for _, _, word in read] == ["run", *words, "run", "-c", "/r", ";"]


# What ExaBGP understands -----------------------------------------------------------------------

READER = """
import json, sys
from exabgp.configuration.configuration import Configuration
from exabgp.environment import getenv
from exabgp.logger import log
log.init(getenv())
configuration = Configuration([sys.argv[1]])
assert configuration.reload(), str(configuration.error)
plain = lambda value: value if type(value) in (bool, list, dict, type(None)) else (
    int(value) if isinstance(value, int) else str(value))
print(json.dumps({
    "processes": configuration.processes,
    "neighbors": {
        str(n["peer-address"].top()): {
            **{name: plain(n[name]) for name in n if name != "capability"},
            **{name: plain(value) for name, value in n["capability"].items()},
            "foreign next hops": [f"{afi} {safi} by {hop}" for afi, safi, hop in n.nexthops()],
            "families": [f"{afi} {safi}" for afi, safi in n.families()],
            "add-path families": [f"{afi} {safi}" for afi, safi in n.addpaths()],
            "api": {name: processes for name, processes in n.api.items() if processes},
        }
        for n in configuration.neighbors.values()
    },
}, default=str))
"""


def understood(path: Path) -> dict[str, Any]:
    """The configuration as ExaBGP has it in memory."""
    run = subprocess.run(
        [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    read: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return read


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("a b") / "exabgp.conf"
    path.write_text(rendered().files["exabgp.conf"])
    return understood(path)


def subset(values: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in expected}


def test_every_neighbor_is_there(read: dict[str, Any]) -> None:
    assert set(read["neighbors"]) == {
        "192.0.2.10",
        "192.0.2.11",
        "2001:db8::10",
        "192.0.2.20",
        "198.51.100.7",
        "198.51.100.9",
        "198.51.100.101",
        "198.51.100.200",
        "2001:db8:1::101",
    }


@pytest.mark.parametrize(
    ("address", "local", "asn", "families"),
    [
        ("198.51.100.101", "192.0.2.100", 4200000005, ["ipv4 unicast", "ipv6 unicast"]),
        ("2001:db8:1::101", "2001:db8::100", 4200000005, ["ipv4 unicast", "ipv6 unicast"]),
        ("198.51.100.7", "192.0.2.100", 65001, ["ipv4 unicast", "ipv6 unicast"]),
        ("198.51.100.200", "192.0.2.100", 4200000007, ["ipv4 unicast"]),
    ],
)
def test_a_host_gets_its_session(
    read: dict[str, Any], address: str, local: str, asn: int, families: list[str]
) -> None:
    is_over_ipv6 = ":" in address
    expected = {
        "local-address": local,
        "local-as": 65100,
        "peer-as": asn,
        "router-id": "192.0.2.100",
        "passive": True,
        "connect": 0,
        "listen": 0,
        "rate-limit": 0,
        "adj-rib-in": False,
        "manual-eor": False,
        "route-refresh": 1,
        "graceful-restart": 120,
        "extended-message": False,
        "add-path": 0,
        "add-path families": [],
        "families": families,
        "nexthop": int(is_over_ipv6),
        "foreign next hops": ["ipv4 unicast by ipv6"] if is_over_ipv6 else [],
        "api": {
            "processes": ["rsfilter"],
            "neighbor-changes": ["rsfilter"],
            "receive-parsed": ["rsfilter"],
            "receive-update": ["rsfilter"],
            "receive-open": ["rsfilter"],
            "receive-refresh": ["rsfilter"],
            "send-parsed": ["rsfilter"],
            "send-open": ["rsfilter"],
        },
    }
    assert subset(read["neighbors"][address], expected) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "192.0.2.10",
            {
                "local-address": "192.0.2.100",
                "peer-as": 65200,
                "passive": False,
                "connect": 1179,
                "add-path": 0,
                "add-path families": [],
            },
        ),
        ("2001:db8::10", {"local-address": "2001:db8::100", "passive": False, "connect": 1179}),
        (
            "192.0.2.20",
            {
                "local-address": "192.0.2.100",
                "peer-as": 65100,
                "passive": True,
                "connect": 0,
                "add-path": 2,
                "add-path families": ["ipv4 unicast", "ipv6 unicast"],
            },
        ),
    ],
)
def test_a_router_gets_its_session(
    read: dict[str, Any], address: str, expected: dict[str, Any]
) -> None:
    expected = {
        **expected,
        "local-as": 65100,
        "router-id": "192.0.2.100",
        "rate-limit": 0,
        "adj-rib-in": False,
        "adj-rib-out": True,
        "group-updates": True,
        "manual-eor": True,
        "route-refresh": 1,
        "graceful-restart": 120,
        "families": ["ipv4 unicast", "ipv6 unicast"],
        "api": {
            "processes": ["rsfilter"],
            "neighbor-changes": ["rsfilter"],
            "receive-parsed": ["rsfilter"],
            "receive-open": ["rsfilter"],
            "send-parsed": ["rsfilter"],
            "send-update": ["rsfilter"],
            "send-open": ["rsfilter"],
        },
    }
    assert subset(read["neighbors"][address], expected) == expected


def test_exabgp_gets_its_process(read: dict[str, Any]) -> None:
    expected = {
        "run": [*COMMAND, "run", "-c", "/etc/rsfilter/rsfilter.toml"],
        "encoder": "json",
        "respawn": True,
    }
    assert list(read["processes"]) == ["rsfilter"]
    assert subset(read["processes"]["rsfilter"], expected) == expected


def test_the_environment_survives_a_shell_and_exabgp(tmp_path: Path) -> None:
    path = tmp_path / "exabgp.env"
    path.write_text(rendered().files["exabgp.env"])
    shell = 'set -a; . "$1"; exec "$2" -m exabgp env --diff'
    shown = subprocess.run(
        ["sh", "-c", shell, "sh", str(path), sys.executable],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    settings = [line.split(" = ") for line in shown.splitlines() if " = " in line]
    got = {name.strip(): value.strip().strip("'") for name, value in settings}
    # everything that is not ExaBGP's default, and nothing else
    assert got == {
        "cli": "false",
        "terminate": "true",
        "attributes": "false",
        "umask": "0o27",
        "processes": "false",
        "statistics": "false",
        "user": "root",
        "destination": "stderr",
        "speed": "0.1",
        "bind": "192.0.2.100 2001:db8::100",
        "port": "1790",
    }


def test_exabgp_refuses_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "exabgp.conf"
    good = rendered()
    path.write_text(good.files["exabgp.conf"])
    validate(path, good.environment)
    path.write_text(good.files["exabgp.conf"].replace("peer-as 65200", "peer-as x"))
    with pytest.raises(RenderError, match="peer-as"):
        validate(path, good.environment)


def test_eight_thousand_neighbors_are_rendered_and_understood(tmp_path: Path) -> None:
    many = config(BASE.replace("198.51.100.0/25", "198.18.0.0/15") + LEAVES)
    hosts = [
        (f"hv{i}", 4200000000 + i, [f"198.18.{i // 250}.{i % 250}", f"2001:db8:1::{i:x}"])
        for i in range(1, 4001)
    ]
    text = rendered(many, truth(*hosts, STORAGE)).files["exabgp.conf"]
    path = tmp_path / "exabgp.conf"
    path.write_text(text)
    assert len(understood(path)["neighbors"]) == 8000 + 2 + 3


# A real ExaBGP ---------------------------------------------------------------------------------

# For sh a command, for Python a string: a path in `#!` cannot have a space.
HELPER = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
'''
import os, signal, sys
with open({out!r}, "w") as out:
    print(*sys.argv[1:], sep="\\n", file=out)
    print(os.umask(0o22), file=out)
os.rename({out!r}, {done!r})
for line in sys.stdin:
    pass
"""


@contextmanager
def exabgp(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """ExaBGP, started as in the documentation."""
    start = 'set -a; . "$1/exabgp.env"; exec "$2" -m exabgp server "$1/exabgp.conf"'
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", start, "sh", str(directory), sys.executable],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def accepts(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        return probe.connect_ex((address, port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.31.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.lab
def test_exabgp_starts_the_process_and_listens(tmp_path: Path) -> None:
    place = tmp_path / "a b"
    place.mkdir()
    helper, done = place / r"h\elper #1; {x}", place / "done"
    helper.write_text(HELPER.format(python=sys.executable, out=str(place / "out"), done=str(done)))
    helper.chmod(0o755)
    port = free_port()
    text = (
        BASE.replace("192.0.2.100", "127.31.0.1")
        .replace("2001:db8::100", "::1")
        .replace("1790", str(port))
    )
    by = config(text + LEAVES.replace("192.0.2", "127.31.2"), str(place / "rs filter.toml"))
    files = render(by, truth(HV1, STORAGE), [str(helper), "-x"], "root").files
    for name, content in files.items():
        (place / name).write_text(content)
    with exabgp(place) as process:
        wait_for(done.exists, process, place / "log")
        for address in ("127.31.0.1", "::1"):
            wait_for(lambda a=address: accepts(a, port), process, place / "log")
    assert done.read_text().splitlines() == ["-x", "run", "-c", str(by.path), str(0o27)]


# Fan-outs ------------------------------------------------------------------------------------


FANOUT = """
[fanout]
addresses = ["192.0.2.30", "2001:db8::31"]
"""


@pytest.mark.parametrize(
    ("change", "groups"),
    [
        (("", ""), "hosts hypervisors, routers leaves, routers spines"),
        (("asn = 65200", 'asn = 65200\nfamilies = ["ipv4"]'), "hosts hypervisors, routers spines"),
        (('"192.0.2.11", "192.0.2.10", ', ""), "hosts hypervisors, routers spines"),
        (("asn = 65001", 'asn = 65001\nfamilies = ["ipv4"]'), ""),
    ],
)
def test_groups_with_ipv6_over_ipv4_sessions_are_named_for_frr(
    change: tuple[str, str], groups: str
) -> None:
    text = (BASE + LEAVES + SPINES).replace(*change, 1)
    head, _, _ = (
        render(config(text), truth(STORAGE), COMMAND, "exabgp")
        .files["exabgp.conf"]
        .partition("\nprocess")
    )
    assert ("FRR 10" in head) == bool(groups)
    assert (f"# IPv6 over IPv4 sessions: {groups}.\n" in head) == bool(groups)


def test_without_the_section_there_is_no_fanout() -> None:
    assert render_fanouts(config()) == {}


def test_each_fanout_has_a_file_that_bird_takes(tmp_path: Path) -> None:
    files = render_fanouts(config(BASE + "ipv6_lengths = [128, 64]" + LEAVES + SPINES + FANOUT))
    assert set(files) == {"bird-192.0.2.30.conf", "bird-2001:db8::31.conf"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    validate_fanouts([tmp_path / name for name in files])
    one = files["bird-192.0.2.30.conf"]
    assert re.findall(r"neighbor (\S+) +(?:port (\d+) )?as (\d+)", one) == [
        ("192.0.2.100", "1790", "65100"),
        ("192.0.2.11", "1179", "65200"),
        ("192.0.2.10", "1179", "65200"),
        ("2001:db8::10", "1179", "65200"),
        ("192.0.2.20", "", "65100"),
    ]
    assert one.count("add paths rx") == 2  # a router takes all paths
    assert one.count("add paths tx") == 2
    assert re.findall(r"net.len ~ (.*)\)", one) == ["[ 32 ]", "[ 64, 128 ]"]
    assert re.findall(r"import (.*);", one) == [
        *["none; export filter to_group1"] * 2,  # no route of a router is taken
        *["none; export filter to_group2"] * 2,
    ]
    assert "neighbor 2001:db8::100 port 1790 as 65100" in files["bird-2001:db8::31.conf"]


def test_exabgp_has_sessions_with_fanouts_alone() -> None:
    text = rendered(config(BASE + LEAVES + SPINES + FANOUT)).files["exabgp.conf"]
    assert "neighbor 192.0.2.30 {" in text
    assert "neighbor 192.0.2.10 {" not in text


def test_without_a_bird_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    validate_fanouts([Path("bird.conf")])
    assert "bird.conf is not validated: BIRD is not installed" in capsys.readouterr().err
    validate_fanouts([])
    assert capsys.readouterr().err == ""


def test_what_bird_refuses_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bird.conf"
    path.write_text("protocol bgp { }\n")
    with pytest.raises(RenderError, match="BIRD refuses"):
        validate_fanouts([path])
