"""Configuration: the values in a file, and every error in it with its place."""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path
from socket import gethostname

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.places import ROOT

from rsfilter.config.build import (
    GuardConfig,
    HttpConfig,
    ReadinessConfig,
    TruthConfig,
    load_config,
    parse_config,
)
from rsfilter.config.model import AuditConfig, Config, ConfigError, RouteServer, RtrConfig
from rsfilter.config.overlaps import Claim, conflicts
from rsfilter.config.source import read_config
from rsfilter.config.types import Listen
from rsfilter.routing.groups import HostGroup, RouterGroup
from rsfilter.routing.model import Address, Prefix
from rsfilter.routing.validation import Mode
from rsfilter.util.addresses import CacheAddress

FIXTURES = ROOT / "fixtures" / "config"
HERE = Path("/etc/rsfilter/rsfilter.toml")
MINIMAL = (FIXTURES / "minimal.toml").read_text()
RTR = '[rtr]\ncaches = ["192.0.2.50:8282"]\n'
HOSTS = '[[hosts]]\nname = "{0}"\nneighbors = [{1}]\n'


def problems(text: str, path: Path = HERE) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, path)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


ADDRESSES = frozenset(map(Address.parse, ("192.0.2.100", "192.0.2.10", "192.0.2.11")))
"""The route server's and the routers'."""


@pytest.mark.parametrize("asn", ['"AS65100"', '"as65100"', "65100"])
def test_an_asn_is_a_number_or_has_as_before_it(asn: str) -> None:
    config = parse_config(MINIMAL.replace("asn = 65100", f"asn = {asn}"), HERE)
    assert config.route_server.asn == 65100


def test_http_takes_names_of_hosts_and_both_files_of_tls() -> None:
    text = MINIMAL + '[http]\nallowed_hosts = ["RS1.example.net."]\ntls_key = "key.pem"\n'
    assert problems(text) == ["http.tls_certificate: missing; tls_key needs it"]
    config = parse_config(text + 'tls_certificate = "cert.pem"\n', HERE)
    assert config.http.allowed_hosts == ("rs1.example.net",)
    bad = MINIMAL + '[http]\nallowed_hosts = ["http://rs1"]\n'
    (problem,) = problems(bad)
    assert problem.startswith("http.allowed_hosts[0]: expected a host name such as rs1.example.net")


def test_minimal_has_every_default() -> None:
    assert parse_config(MINIMAL, HERE) == Config(
        path=HERE,
        route_server=RouteServer(
            65100,
            Address.parse("192.0.2.100"),
            (Address.parse("192.0.2.100"),),
            179,
            gethostname(),
        ),
        hosts=(
            HostGroup(
                name="hypervisors",
                networks=(Prefix.parse("198.51.100.0/25"),),
                ipv4_lengths=frozenset({32}),
                ipv6_lengths=frozenset({128}),
                families=frozenset({4}),
                asn=None,
                max_prefixes=1000,
                max_prepends=0,
                next_hops=None,
                accept_not_found=False,
                stale_time=0,
                others_addresses=ADDRESSES,
            ),
        ),
        routers=(
            RouterGroup(
                name="leaves",
                neighbors=(Address.parse("192.0.2.10"), Address.parse("192.0.2.11")),
                asn=65200,
                port=179,
                families=frozenset({4}),
                all_paths=False,
                prepend=False,
            ),
        ),
        fanout=None,
        rtr=None,
        truth=TruthConfig(Path("/etc/rsfilter/truth.json"), Mode.AUTHORITATIVE),
        guard=GuardConfig(max_loss_percent=20, min_loss=10),
        readiness=None,
        audit=AuditConfig(Path("/etc/rsfilter/audit")),
        http=HttpConfig(Listen(Address.parse("127.0.0.1"), 8480)),
    )


def test_full_has_every_value() -> None:
    config = parse_config((FIXTURES / "full.toml").read_text(), HERE)
    assert config.route_server.local_addresses == (
        Address.parse("192.0.2.100"),
        Address.parse("2001:db8::100"),
    )
    assert config.route_server.local_address(6) == Address.parse("2001:db8::100")
    assert config.route_server.port == 1790
    others = frozenset(
        map(
            Address.parse,
            ("192.0.2.100", "2001:db8::100", "192.0.2.10", "2001:db8::10", "192.0.2.20"),
        )
    )
    assert config.hosts == (
        HostGroup(
            name="hypervisors",
            networks=(Prefix.parse("198.51.100.0/25"), Prefix.parse("2001:db8:c633:6401::/64")),
            ipv4_lengths=frozenset({28, 32}),
            ipv6_lengths=frozenset({64, 128}),
            asn=65001,
            max_prefixes=50,
            max_prefixes_warning=90,
            requires=("graceful-restart", "asn4"),
            max_prepends=3,
            next_hops=(
                Prefix.parse("198.51.100.0/24"),
                Prefix.parse("2001:db8:c633:6401::7/128"),
            ),
            accept_not_found=True,
            stale_time=600,
            password_file="/etc/rsfilter/hosts.passwords",
            ttl_security=1,
            others_addresses=others,
        ),
        HostGroup(
            name="storage",
            networks=(Prefix.parse("198.51.100.200/32"),),
            families=frozenset({4}),
            others_addresses=others,
        ),
    )
    assert config.routers == (
        RouterGroup(
            name="leaves",
            neighbors=(Address.parse("192.0.2.10"), Address.parse("2001:db8::10")),
            asn=65200,
            port=0,
            all_paths=True,
            prepend=True,
            password_file="/etc/rsfilter/leaves.passwords",
            ttl_security=2,
        ),
        RouterGroup(name="fabric", neighbors=(Address.parse("192.0.2.20"),), asn=65100, port=1179),
    )
    assert config.rtr == RtrConfig(
        caches=(
            CacheAddress("192.0.2.50", 8282),
            CacheAddress("2001:db8::50", 8282),
            CacheAddress(
                "cache.example.net",
                8283,
                transport="ssh",
                user="rpki",
                key="/etc/rsfilter/keys/id",
                known_hosts="/etc/rsfilter/known_hosts",
            ),
        ),
        refresh=120,
        retry=20,
        expire=7200,
        max_unchanged=43200,
        max_differing=0,
        on_expire="reject",
        startup_wait=5,
    )
    assert config.truth == TruthConfig(Path("/srv/truth.json"), Mode.BOTH)
    assert config.guard == GuardConfig(max_loss_percent=5, min_loss=2)
    assert config.readiness == ReadinessConfig(
        Path("/etc/lb/v6-ready"), Path("/etc/rsfilter/disable"), 60
    )
    assert config.audit == AuditConfig(Path("/etc/rsfilter/log/audit"))
    assert config.http == HttpConfig(
        (Address.parse("::"), 8481),  # type: ignore[arg-type]
        Path("/etc/rsfilter/rsfilter.sock"),
        Path("/etc/rsfilter/token"),
    )


RANGE4 = 'neighbors = ["198.51.100.0/25"]'
RANGE6 = 'neighbors = ["2001:db8:1::/64"]'
RANGES = 'neighbors = ["198.51.100.0/25", "2001:db8:1::/64"]'


@pytest.mark.parametrize(
    ("keys", "families"),
    [
        (RANGE4, {4}),
        (RANGES, {4, 6}),
        (RANGE6, {4, 6}),
        (RANGE6 + "\nipv4_lengths = []", {6}),
        (RANGES + "\nipv6_lengths = []", {4}),
        (RANGE4 + '\nnext_hop = ["198.51.100.0/24"]', {4}),
        (RANGES + '\nnext_hop = ["198.51.100.0/24"]', {4}),
        (RANGE4 + '\nnext_hop = ["198.51.100.0/24", "2001:db8:2::/64"]', {4, 6}),
        (RANGE4 + '\nfamilies = ["ipv6", "ipv4"]', {4, 6}),
        (RANGES + '\nfamilies = ["ipv4"]', {4}),
    ],
)
def test_families_are_those_that_a_group_can_carry(keys: str, families: set[int]) -> None:
    """IPv4 where it has lengths; IPv6 where it has lengths and a next hop can be an IPv6 one."""
    text = MINIMAL.replace(RANGE4, keys).replace(
        'local_address = "192.0.2.100"', 'local_address = ["192.0.2.100", "2001:db8::100"]'
    )
    config = parse_config(text, HERE)
    assert config.hosts[0].families == families
    assert config.routers[0].families == families, "routers get what hosts can announce"


def test_routers_get_the_families_of_all_host_groups_unless_they_set_their_own() -> None:
    more = f"""
[[hosts]]
name = "six"
{RANGE6}
ipv4_lengths = []
[[routers]]
name = "old"
neighbors = ["192.0.2.20"]
asn = 65200
families = ["ipv4"]
"""
    text = MINIMAL.replace(
        'local_address = "192.0.2.100"', 'local_address = ["192.0.2.100", "2001:db8::100"]'
    )
    config = parse_config(text + more, HERE)
    assert [set(group.families) for group in config.hosts] == [{4}, {6}]
    assert [set(group.families) for group in config.routers] == [{4, 6}, {4}]


def test_truth_alone_or_caches_alone_are_enough() -> None:
    with_caches = parse_config(MINIMAL.replace('[truth]\nfile = "truth.json"\n', RTR), HERE)
    assert with_caches.truth is None
    assert with_caches.rtr == RtrConfig(
        (CacheAddress("192.0.2.50", 8282),), 60, 10, 3600, None, 21600, "hold", 30
    )


@pytest.mark.parametrize(
    ("mode", "has_rtr", "may_be"),
    [
        ("authoritative", False, False),
        ("union", False, False),
        ("authoritative", True, True),
        ("union", True, True),
        ("both", True, False),
    ],
)
def test_a_truth_may_be_empty_where_caches_decide(mode: str, has_rtr: bool, may_be: bool) -> None:
    text = MINIMAL.replace('file = "truth.json"', f'file = "truth.json"\nmode = "{mode}"')
    assert parse_config(text + (RTR if has_rtr else ""), HERE).truth_may_be_empty is may_be


def test_the_reference_file_is_good_and_shows_the_defaults() -> None:
    """docs/rsfilter.example.toml: as it is, and with every commented key taken in."""
    text = (ROOT / "docs" / "rsfilter.example.toml").read_text()
    config = parse_config(text, HERE)
    defaults = parse_config(MINIMAL + RTR + "[guard]\n[readiness]\n[http]\n", HERE)
    taken_in = parse_config(re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE), HERE)
    assert config.hosts[0].max_prefixes == defaults.hosts[0].max_prefixes
    assert taken_in.guard == defaults.guard
    assert taken_in.readiness is not None
    assert taken_in.http.listen == config.http.listen == defaults.http.listen


def test_the_reference_file_shows_a_cache_over_ssh() -> None:
    """The example's alternative is commented by `# `; uncommented, it replaces `caches`."""
    text = (ROOT / "docs" / "rsfilter.example.toml").read_text()
    table = re.sub(r"^caches = .*|^# (?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)
    config = parse_config(table, HERE)
    assert config.rtr is not None
    assert config.rtr.caches == (
        CacheAddress(
            "192.0.2.51",
            8283,
            transport="ssh",
            user="rpki",
            key="/etc/rsfilter/keys/id_ed25519",
            known_hosts="/etc/rsfilter/keys/known_hosts",
        ),
    )


EDITS = [
    # what is replaced in the minimal file, by what, and the problem
    ("asn = 65100", "", "route_server.asn: missing; expected an ASN"),
    (
        "asn = 65100",
        'asn = "65100"',
        'route_server.asn: expected an ASN such as 65001 or AS65001, got "65100"',
    ),
    (
        "asn = 65100",
        "asn = true",
        "route_server.asn: expected an ASN such as 65001 or AS65001, got true",
    ),
    (
        "asn = 65100",
        "asn = 4294967296",
        "route_server.asn: expected an ASN such as 65001 or AS65001, got 4294967296",
    ),
    (
        "asn = 65100",
        "asn = -1",
        "route_server.asn: expected an ASN such as 65001 or AS65001, got -1",
    ),
    *(
        (
            "asn = 65200",
            f"asn = {asn}",
            f"routers[0].asn: expected an ASN such as 65001 or AS65001, got {asn}: "
            "it is reserved (RFC 7607, 6793, 7300)",
        )
        for asn in (0, 23456, 65535, 4294967295)
    ),
    (
        'router_id = "192.0.2.100"',
        'router_id = "2001:db8::1"',
        'route_server.router_id: expected an IPv4 address, got "2001:db8::1"',
    ),
    (
        'router_id = "192.0.2.100"',
        'router_id = "0.0.0.0"',
        'route_server.router_id: expected an IPv4 address, got "0.0.0.0": '
        "no BGP session can have it",
    ),
    (
        'local_address = "192.0.2.100"',
        'local_address = "::"',
        "route_server.local_address: expected an IP address or a list of at least one item, each "
        'an IP address, got "::": no BGP session can have it',
    ),
    (
        'local_address = "192.0.2.100"',
        'local_address = ["192.0.2.100", "192.0.2.101"]',
        "route_server.local_address: more than one address of a family",
    ),
    (
        'local_address = "192.0.2.100"',
        'local_address = "2001:db8::100"',
        "route_server.local_address: no IPv4 address for sessions with 198.51.100.0/25 of "
        "hosts[0].neighbors; give a list with one of each family",
    ),
    (
        'local_address = "192.0.2.100"',
        'local_address = "198.51.100.1"',
        "route_server.local_address: 198.51.100.1/32 lies inside 198.51.100.0/25 of "
        "hosts[0].neighbors",
    ),
    (
        "[[hosts]]",
        "prot = 179\n[[hosts]]",
        'route_server.prot: unknown key; did you mean "port"?',
    ),
    (
        "[[hosts]]",
        "port = 0\n[[hosts]]",
        "route_server.port: expected a TCP port, 1 to 65535, got 0",
    ),
    ("[truth]", "[thruth]", 'thruth: unknown key; did you mean "truth"?'),
    (
        'name = "hypervisors"',
        'name = "hypervisors"\nasn = "65001"',
        'hosts[0].asn: expected an ASN such as 65001 or AS65001, got "65001"',
    ),
    (
        'name = "hypervisors"',
        'name = "hyper visors"',
        "hosts[0].name: expected a name of at most 64 letters, digits, dots, dashes and "
        'underscores, got "hyper visors"',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nmax_prefixes = "x"',
        'hosts[0].max_prefixes: expected an integer from 1 to 1000000000, got "x"',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nmax_prefixes = 0',
        "hosts[0].max_prefixes: expected an integer from 1 to 1000000000, got 0",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nmax_prefixes = 1.0',
        "hosts[0].max_prefixes: expected an integer from 1 to 1000000000, got 1.0",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nmax_prepends = 255',
        "hosts[0].max_prepends: expected an integer from 0 to 254, got 255",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nipv4_lengths = [32, 33, 0]',
        "hosts[0].ipv4_lengths[1]: expected a prefix length, 1 to 32, got 33",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nipv6_lengths = {}',
        "hosts[0].ipv6_lengths: expected a list of prefix lengths, 1 to 128, got {}",
    ),
    *(
        (
            'name = "hypervisors"',
            f'name = "a"\nnext_hop = ["198.51.100.0/24", "{network}"]',
            "hosts[0].next_hop[1]: expected an address or a range such as 192.0.2.0/24, got "
            f'"{network}": no router can reach a next hop of it',
        )
        for network in (
            *("fe80::/10", "169.254.255.0/24", "224.0.0.0/4", "240.0.0.0/8"),
            *("::ffff:192.0.2.0/120", "ff02::/16", "0.0.0.0/8"),
        )
    ),
    *(
        (
            'name = "hypervisors"',
            f'name = "a"\nnext_hop = ["198.51.100.0/24", "{address}"]',
            f"hosts[0].next_hop[1]: {address} is our own or a router's: no host can have it",
        )
        for address in ("192.0.2.100", "192.0.2.11")
    ),
    (
        '"198.51.100.0/25"',
        '"169.254.255.0/24"',
        "hosts[0].neighbors[0]: 169.254.255.0/24 is link-local, and routers cannot reach such a "
        "next hop (RFC 3927 section 2.6.2): list the hosts' other addresses in next_hop",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nfamilies = []',
        'hosts[0].families: expected a list of at least one item, each "ipv4" or "ipv6", got []',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nfamilies = ["ipv4", "ip6"]',
        'hosts[0].families[1]: expected "ipv4" or "ipv6", got "ip6"',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nipv6_lengths = []\nfamilies = ["ipv6"]',
        'hosts[0].families: "ipv6" is offered, and ipv6_lengths is empty: every such route would '
        "be rejected",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nipv4_lengths = []',
        "hosts[0].families: no family is left that hosts could announce: give ipv4_lengths, or "
        "ipv6_lengths and IPv6 addresses in neighbors or next_hop",
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nnext_hop = "neighbour"',
        'hosts[0].next_hop: expected "neighbor" or a list of at least one item, each an address '
        'or a range such as 192.0.2.0/24, got "neighbour"',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nnot_found = "allow"',
        'hosts[0].not_found: expected "reject" or "accept", got "allow"',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nstale_time = 16777216',
        "hosts[0].stale_time: expected seconds from 0 to 16777215, got 16777216",
    ),
    (
        '"198.51.100.0/25"',
        '"198.51.100.77/25"',
        "hosts[0].neighbors[0]: expected an address or a range such as 192.0.2.0/24, got "
        '"198.51.100.77/25": host bits are set; the network is 198.51.100.0/25',
    ),
    (
        '"198.51.100.0/25"',
        '"198.51.100.0/33"',
        "hosts[0].neighbors[0]: expected an address or a range such as 192.0.2.0/24, got "
        '"198.51.100.0/33": the length is impossible',
    ),
    (
        '"198.51.100.0/25"',
        '"198.51.100.0/25", "fe80::1"',
        "hosts[0].neighbors[1]: expected an address or a range such as 192.0.2.0/24, got "
        '"fe80::1": link-local addresses are not supported',
    ),
    (
        '"198.51.100.0/25"',
        '"224.0.0.5"',
        "hosts[0].neighbors[0]: expected an address or a range such as 192.0.2.0/24, got "
        '"224.0.0.5": no BGP session can have it',
    ),
    *(
        (
            '"198.51.100.0/25"',
            f'"{network}"',
            f"hosts[0].neighbors[0]: expected an address or a range such as 192.0.2.0/24, got "
            f'"{network}": no BGP session can have an address of it',
        )
        for network in ("224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/8", "ff02::/16", "::/64", "::/96")
    ),
    (
        '"198.51.100.0/25"',
        '"fe80::/10"',
        "hosts[0].neighbors[0]: expected an address or a range such as 192.0.2.0/24, got "
        '"fe80::/10": link-local addresses are not supported',
    ),
    (
        'name = "hypervisors"',
        'name = "a"\nasn = 65100',
        "hosts[0].asn: AS65100 is our own: over iBGP the path of a host's routes is empty",
    ),
    (
        '"198.51.100.0/25"',
        '"2001:db8:1::/64"',
        "route_server.local_address: no IPv6 address for sessions with 2001:db8:1::/64 of "
        "hosts[0].neighbors; give a list with one of each family",
    ),
    (
        '"198.51.100.0/25"',
        '"192.0.2.8/29"',
        "routers[0].neighbors: 192.0.2.10/32 lies inside 192.0.2.8/29 of hosts[0].neighbors",
    ),
    (
        '"198.51.100.0/25"',
        '"198.51.100.1", "198.51.100.1"',
        "hosts[0].neighbors: 198.51.100.1/32 is listed twice",
    ),
    (
        '"192.0.2.11"',
        '"192.0.2.10"',
        "routers[0].neighbors: 192.0.2.10/32 is listed twice",
    ),
    (
        '"192.0.2.11"',
        '"192.0.2.100"',
        "routers[0].neighbors: 192.0.2.100/32 is in route_server.local_address too",
    ),
    (
        '"192.0.2.11"',
        '"192.0.2.0/24"',
        'routers[0].neighbors[1]: expected an IP address, got "192.0.2.0/24"',
    ),
    (
        "asn = 65200",
        'asn = 65100\nas_path = "prepend"',
        'routers[0].as_path: "prepend" would put AS65100 into paths that its own routers then '
        "discard",
    ),
    (
        "[truth]",
        '[truth]\nmode = "both"',
        'truth.mode: "both" needs an [rtr] section too',
    ),
    (
        "[truth]",
        '[truth]\nmode = "onion"',
        'truth.mode: expected "authoritative" or "union" or "both", got "onion"',
    ),
    ('"truth.json"', '""', 'truth.file: expected a path, got ""'),
    ('"truth.json"', '"a\\u0000b"', 'truth.file: expected a path, got "a\\u0000b"'),
    (
        '"truth.json"',
        '"\\u001b[31m\\u007f.json"',
        'truth.file: expected a path, got "\\u001b[31m\\u007f.json": it has characters that do not '
        "print",
    ),
    (
        '"leaves"',
        '"leaves\\n"',
        "routers[0].name: expected a name of at most 64 letters, digits, dots, dashes and "
        'underscores, got "leaves\\n"',
    ),
    (
        "asn = 65100",
        f"asn = 0x{'f' * 5000}",
        "route_server.asn: expected an ASN such as 65001 or AS65001, got a number with too many "
        "digits",
    ),
    (
        "[truth]",
        f"{'x' * 61} = 1\n[truth]",
        f'routers[0]."{"x" * 56}...: unknown key',
    ),
    (
        '[truth]\nfile = "truth.json"',
        "",
        "rtr: missing; [rtr] or [truth] is needed to judge routes by",
    ),
    # Too deep to be shown, up to Python 3.12.
    (
        "asn = 65100",
        f"asn{'.a' * 3000} = 1",
        "route_server.asn: expected an ASN such as 65001 or AS65001, got",
    ),
    ("[[hosts]]", "[hosts]", "hosts: expected a list of at least one item, each a table, got"),
]


@pytest.mark.parametrize(("old", "new", "problem"), EDITS)
def test_one_error_has_its_place(old: str, new: str, problem: str) -> None:
    assert old in MINIMAL
    found = problems(MINIMAL.replace(old, new, 1))
    assert any(each.startswith(problem) for each in found), found
    assert "[hosts]" in new or "thruth" in new or len(found) <= 2


CACHE = "expected host:port, an IPv6 address in brackets or a table"

ADDITIONS = [
    # what is added to the minimal file, and the problem
    (
        HOSTS.format("vms", '"198.51.100.64/26"'),
        "hosts[1].neighbors: 198.51.100.64/26 lies inside 198.51.100.0/25 of hosts[0].neighbors",
    ),
    (
        HOSTS.format("vms", '"198.51.100.0/25"'),
        "hosts[1].neighbors: 198.51.100.0/25 is in hosts[0].neighbors too",
    ),
    (
        HOSTS.format("vms", '"198.51.0.0/16"'),
        "hosts[0].neighbors: 198.51.100.0/25 lies inside 198.51.0.0/16 of hosts[1].neighbors",
    ),
    (HOSTS.format("hypervisors", '"10.0.0.1"'), 'hosts[1].name: "hypervisors" is taken'),
    ("[rtr]\n", "rtr.caches: missing; expected a list of at least one item, each host:port"),
    ("[rtr]\ncaches = []\n", "rtr.caches: expected a list of at least one item"),
    (
        '[rtr]\ncaches = ["2001:db8::50:8282"]\n',
        "rtr.caches[0]: expected host:port, an IPv6 address in brackets or a table, got "
        '"2001:db8::50:8282"',
    ),
    (
        '[rtr]\ncaches = ["192.0.2.50:70000"]\n',
        "rtr.caches[0]: expected host:port, an IPv6 address in brackets or a table, got "
        '"192.0.2.50:70000"',
    ),
    (
        '[rtr]\ncaches = ["a:1", { address = "a:1" }]\n',
        "rtr.caches[1]: a:1 is listed twice",
    ),
    (
        '[rtr]\ncaches = [{ address = "a:1", transport = "ssh", user = "x", key = "k" }]\n',
        'rtr.caches[0].known_hosts: missing; transport "ssh" needs it',
    ),
    (
        '[rtr]\ncaches = [{ address = "a:1", key = "k" }]\n',
        'rtr.caches[0].key: only for transport "ssh"',
    ),
    (
        '[rtr]\ncaches = [{ address = "a:1", usr = "x" }]\n',
        'rtr.caches[0].usr: unknown key; did you mean "user"?',
    ),
    (RTR + "refresh = 86401\n", "rtr.refresh: expected seconds from 1 to 86400, got 86401"),
    (RTR + "retry = 0\n", "rtr.retry: expected seconds from 1 to 7200, got 0"),
    (RTR + "expire = 0\n", "rtr.expire: expected seconds from 1 to 172800, got 0"),
    (
        RTR + f"startup_wait = {'9' * 400}\n",
        "rtr.startup_wait: expected seconds from 1 to 172800, got 999",
    ),
    *(
        (
            RTR + times,
            "rtr.expire: 60 is not longer than refresh (60) and retry (10): data would expire "
            "between two requests (RFC 8210 section 6)",
        )
        for times in ("expire = 60\n", "refresh = 60\nretry = 10\nexpire = 60\n")
    ),
    (
        RTR + "refresh = 1\nretry = 9\nexpire = 9\n",
        "rtr.expire: 9 is not longer than refresh (1) and retry (9): data would",
    ),
    *(
        (f'[rtr]\ncaches = ["{cache}"]\n', f"rtr.caches[0]: {CACHE}, got {shown}")
        for cache, shown in [
            ("192.0.2.300:8282", '"192.0.2.300:8282"'),
            ("192.0.2:8282", '"192.0.2:8282"'),
            ("1:8282", '"1:8282"'),
            (f"{'a' * 64}.example:8282", '"aaa'),
            ("a..b:8282", '"a..b:8282"'),
            ("a.-b:8282", '"a.-b:8282"'),
            ("[fe80::1]:8282", '"[fe80::1]:8282": link-local addresses are not supported'),
            ("[::]:8282", '"[::]:8282": no cache can be reached there'),
            ("224.0.0.1:8282", '"224.0.0.1:8282": no cache can be reached there'),
        ]
    ),
    *(
        (f'[rtr]\ncaches = ["{one}", "{other}"]\n', f"rtr.caches[1]: {other} is listed twice")
        for one, other in [
            ("[2001:db8::1]:8282", "[2001:DB8:0::1]:8282"),
            ("cache.example:8282", "Cache.example.:8282"),
        ]
    ),
    (RTR + 'on_expire = "keep"\n', 'rtr.on_expire: expected "hold" or "reject", got "keep"'),
    (
        "[guard]\nmax_loss_percent = 101\n",
        "guard.max_loss_percent: expected an integer from 1 to 100, got 101",
    ),
    (
        "[guard]\nmin_loss = -1\n",
        "guard.min_loss: expected an integer from 0 to 1000000000, got -1",
    ),
    (
        "[guard]\nmin_loss = 1000000001\n",
        "guard.min_loss: expected an integer from 0 to 1000000000, got 1000000001",
    ),
    (
        "[readiness]\ndrain_time = 0\n",
        "readiness.drain_time: expected seconds from 1 to 172800, got 0",
    ),
    (
        '[http]\nlisten = "0.0.0.0:8480"\n',
        "http.listen: 0.0.0.0 can be reached from other machines; set http.token_file, or "
        "listen on 127.0.0.1 or [::1]",
    ),
    (
        '[http]\nlisten = "localhost:8480"\n',
        'http.listen: expected address:port, an IPv6 address in brackets, got "localhost:8480"',
    ),
    ("[fanout]\n", "fanout.addresses: missing; expected a list of at least one item"),
    (
        '[fanout]\naddresses = ["192.0.2.10"]\n',
        "routers[0].neighbors: 192.0.2.10/32 is in fanout.addresses too",
    ),
    (
        '[fanout]\naddresses = ["192.0.2.100"]\n',
        "fanout.addresses: 192.0.2.100/32 is in route_server.local_address too",
    ),
    (
        '[fanout]\naddresses = ["192.0.2.30"]\nshards = ["192.0.2.101"]\n',
        "fanout.shards: our own local_address is not among them",
    ),
    ("[audit]\ndirectory = 3\n", "audit.directory: expected a path, got 3"),
    (
        "[audit]\ncompress = true\n",
        "audit.compress: unknown key; known here: directory",
    ),
]


@pytest.mark.parametrize(("addition", "problem"), ADDITIONS)
def test_an_error_in_an_added_section_has_its_place(addition: str, problem: str) -> None:
    (found,) = problems(MINIMAL + addition)
    assert found.startswith(problem)


GOOD = [
    # an address inside its own group's range names a neighbor that the range only authorises
    MINIMAL.replace('"198.51.100.0/25"', '"198.51.100.0/25", "198.51.100.7"'),
    # ranges around what no session can have
    MINIMAL.replace('"198.51.100.0/25"', '"0.0.0.0/1"'),
    # a session that is link-local, of a host that has other addresses
    MINIMAL.replace('"198.51.100.0/25"]', '"169.254.255.0/24"]\nnext_hop = ["198.51.100.0/24"]'),
    # iBGP
    MINIMAL.replace("asn = 65200", "asn = 65100"),
    # the same name for hosts and routers
    MINIMAL.replace('"hypervisors"', '"leaves"'),
    MINIMAL + '[http]\nlisten = "[::1]:1"\n',
    MINIMAL + '[http]\nlisten = "0.0.0.0:1"\ntoken_file = "t"\n',
    MINIMAL + '[rtr]\ncaches = ["a:1", "a:2", "b.example.:1", "1.a:1", "4a:1", "127.0.0.1:1"]\n',
    MINIMAL + RTR + "refresh = 59\nexpire = 60\n",
]


@pytest.mark.parametrize("text", GOOD)
def test_unusual_but_valid_configurations_are_read(text: str) -> None:
    parse_config(text, HERE)


def test_all_errors_are_reported_at_once() -> None:
    found = problems((FIXTURES / "bad.toml").read_text(), Path("rsfilter.toml"))
    assert [problem.split(": ")[0] for problem in found] == [
        "gaurd",
        "route_server.asn",
        "route_server.router_id",
        "route_server.local_address",
        "hosts[0].neighbors[1]",
        "hosts[0].neighbors[2]",
        "hosts[0].max_prefixes",
        "hosts[1].naem",
        "hosts[1].name",
        "routers[0].port",
        "rtr.refresh",
        "rtr.caches[0].user",
        "rtr.caches[1].known_hosts",
    ]


def test_problems_name_the_file_as_it_was_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("asn = 1", Path("conf d/x.toml"))
    assert all(problem.startswith("conf d/x.toml: ") for problem in caught.value.problems)
    assert str(caught.value) == "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"asn = \n", "not TOML: Invalid value (at line 1, column 7)"),
        (b"a = 1\na = 2\n", "not TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b"a = '\xff'", "octet 5 is not UTF-8"),
        (b"a = " + b"[" * 100_000, "not usable: nested too deeply"),
        (b"a = " + b"9" * 5_000, "not usable: a number has too many digits"),
        (b"#" * (16 * 1024 * 1024 + 1), "larger than 16777216 octets"),
        (None, "No such file or directory; name the file with -c"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "rsfilter.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.problems == [f"{path}: {problem}"]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "rsfilter.toml"
    os.mkfifo(path)  # without a writer
    for what in (path, tmp_path):
        with pytest.raises(ConfigError) as caught:
            load_config(what)
        assert caught.value.problems == [f"{what}: is not a regular file; name the file with -c"]


def test_the_error_of_a_reload_has_no_hint_to_name_the_file(tmp_path: Path) -> None:
    """The process was started with a file, and reads it again at SIGHUP."""
    path = tmp_path / "rsfilter.toml"
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert caught.value.problems == [f"{path}: No such file or directory"]


def test_files_of_windows_editors_are_read(tmp_path: Path) -> None:
    """A byte order mark, and CR LF."""
    (tmp_path / "rsfilter.toml").write_bytes(
        b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode()
    )
    assert load_config(tmp_path / "rsfilter.toml").route_server.asn == 65100


def test_the_error_of_an_empty_file_lists_what_is_needed() -> None:
    assert problems("") == [
        "route_server: missing; a [route_server] section is needed",
        "hosts: missing; at least one [[hosts]] section is needed",
        "routers: missing; at least one [[routers]] section is needed",
        "rtr: missing; [rtr] or [truth] is needed to judge routes by",
    ]


def test_with_a_fanout_exabgp_serves_no_other_router() -> None:
    section = '[fanout]\naddresses = ["192.0.2.30"]\nport = 1179\n'
    config = parse_config(MINIMAL + section, HERE)
    (fanout,) = config.routers
    assert (fanout.neighbors, fanout.asn, fanout.port) == (
        (Address.parse("192.0.2.30"),),
        65100,
        1179,
    )
    assert (fanout.all_paths, fanout.prepend) == (False, False)
    assert config.fanout
    assert config.fanout.shards == (Address.parse("192.0.2.100"),)
    assert config.fanout.groups == parse_config(MINIMAL, HERE).routers
    several = MINIMAL.replace("asn = 65200", 'asn = 65200\npaths = "all"\nas_path = "prepend"')
    (fanout,) = parse_config(several + section, HERE).routers
    assert (fanout.all_paths, fanout.prepend) == (True, False)
    assert fanout.only_outside
    internal = several + '[[routers]]\nname = "c"\nneighbors = ["192.0.2.12"]\nasn = 65100\n'
    (fanout,) = parse_config(internal + section, HERE).routers
    assert not fanout.only_outside


def test_a_router_behind_a_fanout_needs_no_address_of_ours() -> None:
    text = MINIMAL.replace('"192.0.2.11"', '"2001:db8::11"')
    assert "no IPv6 address" in problems(text)[0]
    parse_config(text + '[fanout]\naddresses = ["192.0.2.30"]\n', HERE)


def test_a_fanout_has_a_router_id_of_its_own() -> None:
    text = MINIMAL.replace('router_id = "192.0.2.100"', 'router_id = "192.0.2.30"')
    (problem,) = problems(text + '[fanout]\naddresses = ["192.0.2.30"]\n')
    assert problem.startswith("route_server.router_id: 192.0.2.30 is the router id of the fan-out")
    parse_config(text, HERE)


def test_a_fanout_has_sessions_with_shards_of_its_own_family() -> None:
    section = '[fanout]\naddresses = ["2001:db8::30"]\n'
    assert "fanout.addresses[0]: 2001:db8::30 has no shard" in problems(MINIMAL + section)[0]


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf d").mkdir()
    (tmp_path / "conf d" / "r.toml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("conf d/r.toml"))
    assert config.path == tmp_path / "conf d" / "r.toml"
    assert config.truth is not None
    assert config.truth.file == tmp_path / "conf d" / "truth.json"
    assert config.audit.directory == tmp_path / "conf d" / "audit"


# Properties ------------------------------------------------------------------------------------

SECTIONS = {
    "route_server": ("asn", "router_id", "local_address", "port"),
    "rtr": ("caches", "refresh", "retry", "expire", "on_expire", "startup_wait"),
    "truth": ("file", "mode"),
    "guard": ("max_loss_percent", "min_loss"),
    "readiness": ("ready_file", "disable_file", "drain_time"),
    "audit": ("directory",),
    "http": ("listen", "socket", "token_file"),
    "fleet": ("name", "database", "password_file", "heartbeat"),
}
VALUES = st.sampled_from(
    [
        "0", "-1", "65000", "99999999999999999999", "1.5", "inf", "nan", "true", '""', '"x"',
        '"192.0.2.1"', '"192.0.2.1:8282"', '"::/0"', "[]", "[[]]", '["192.0.2.1"]', "[{}]", "{}",
        '{ address = "a:1" }', "1979-05-27", "07:32:00", '"\\u0000"', '"\U0001f4a9"',
    ]
)  # fmt: skip


@given(
    st.lists(
        st.one_of(
            *(
                st.tuples(st.just(section), st.sampled_from(keys), VALUES)
                for section, keys in SECTIONS.items()
            )
        ),
        max_size=8,
        unique_by=lambda item: item[:2],
    )
)
def test_no_value_raises_anything_else(items: list[tuple[str, str, str]]) -> None:
    lines = []
    for section in {section for section, _, _ in items}:
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for name, key, value in items if name == section]
    with pytest.raises(ConfigError):  # hosts and routers are missing
        parse_config("\n".join(lines), HERE)


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, HERE)


PREFIXES = st.builds(
    lambda bits, length: Prefix(4, (0x0A000000 | bits) >> (32 - length) << (32 - length), length),
    st.integers(0, 63),
    st.integers(26, 32),
)


@settings(max_examples=300)
@given(st.lists(st.builds(Claim, PREFIXES, st.just("host"), st.sampled_from("abc")), max_size=8))
def test_conflicts_are_found_exactly_when_there_are_any(claims: list[Claim]) -> None:
    """Against every pair: two claims clash when they overlap and differ in place, or are equal."""
    expected = any(
        one.prefix.overlaps(other.prefix)
        and (one.place != other.place or one.prefix == other.prefix)
        for one, other in combinations(claims, 2)
    )
    assert bool(list(conflicts(claims))) == expected
