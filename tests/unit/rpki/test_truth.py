"""Truth files: good ones are read, bad ones are refused with the place."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.places import ROOT

from rsfilter.edge.truth_file import load_truth
from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import BITS, IPV4, IPV6, Address, Prefix, Vrp
from rsfilter.rpki import truth as truth_module
from rsfilter.rpki.document import MAX_FILE_BYTES, MAX_PROBLEMS, Problems, pointer, read_prefix
from rsfilter.rpki.slurm import Filters, PrefixFilter
from rsfilter.rpki.truth import (
    MAX_METADATA,
    MAX_METADATA_TEXT,
    Truth,
    TruthError,
    parse_truth,
    truth_export,
)
from rsfilter.rpki.vrps import VrpSet

FIXTURES = ROOT / "fixtures" / "truth"

NOW = 1_900_000_000.0
"""Time between the two `expires` of the fixtures: 2001 and 2033."""


ASSERTIONS = "locallyAddedAssertions/prefixAssertions"
PLAIN: dict[str, Any] = {"prefix": "10.0.0.0/8", "asn": 1}


def read(content: object) -> Truth:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_truth(data, "truth.json", NOW)


def refused(content: object) -> TruthError:
    with pytest.raises(TruthError) as caught:
        read(content)
    assert caught.value.problems
    for problem, line in zip(caught.value.problems, str(caught.value).splitlines(), strict=True):
        assert line.startswith("truth.json: ")
        assert problem.where == "truth.json"
    return caught.value


def places(error: TruthError) -> list[str]:
    return [problem.pointer for problem in error.problems]


def vrp_texts(truth: Truth) -> list[str]:
    return [str(vrp) for vrp in truth.vrps]


# Good files --------------------------------------------------------------------------------------

TWO = ["192.0.2.0/24-24 AS1234", "2001:db8::/32-48 AS65010"]

GOOD = {
    "stayrtr.json": (
        "roas",
        [
            "192.0.2.0/24-24 AS0",
            "203.0.113.0/28-32 AS65005",
            "203.0.113.16/28-28 AS65006",
            "203.0.113.32/28-28 AS65007",
            "2001:db8:aa::/64-128 AS65005",
        ],
    ),
    "routinator.json": ("roas", TWO),
    "routinator-jsonext.json": ("roas", TWO),
    "rpki-client-8.json": ("roas", TWO[:1]),
    "rpki-client-2021.json": ("roas", TWO),
    "vrps.json": ("roas", TWO),
    "slurm.json": ("slurm", ["198.51.100.0/24-24 AS64496", "2001:db8::/32-48 AS64496"]),
    "hosts.json": (
        "hosts",
        [
            "203.0.113.0/28-32 AS4200000005",
            "203.0.113.0/28-32 AS4200000006",
            "203.0.113.16/28-32 AS4200000006",
            "2001:db8:aa::/64-64 AS4200000005",
            "2001:db8:bb::/64-128 AS4200000006",
        ],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_read(name: str) -> None:
    form, vrps = GOOD[name]
    path = FIXTURES / "good" / name
    truth = load_truth(path, NOW)
    assert truth.format == form
    assert vrp_texts(truth) == vrps
    assert truth.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_good_fixture_is_tested() -> None:
    assert {path.name for path in (FIXTURES / "good").iterdir()} == set(GOOD)


def test_hosts_are_bound_to_their_addresses() -> None:
    truth = load_truth(FIXTURES / "good" / "hosts.json", NOW)
    bound = frozenset({Address.parse("198.51.100.101"), Address.parse("2001:db8:c633:6401::101")})
    assert truth.hosts == (
        TruthHost("hv1", 4200000005, bound),
        TruthHost("hv2", 4200000006, frozenset()),
        TruthHost("hv3 (empty for now)", 4200000007, frozenset({Address.parse("198.51.100.103")})),
    )
    assert truth.bindings().by_asn == {host.asn: (host,) for host in truth.hosts}
    assert truth.revision == "3f2a1c"
    assert truth.metadata["author"] == "ops@example.net"
    assert truth.warnings == ()


EMPTY = [
    {"roas": []},
    {"roas": [{"prefix": "10.0.0.0/8", "asn": 1, "expires": 1000000000}]},
    {"hosts": [{"name": "hv1", "asn": 65001, "neighbors": ["198.51.100.1"], "prefixes": []}]},
    {
        "slurmVersion": 1,
        "validationOutputFilters": {"prefixFilters": [], "bgpsecFilters": []},
        "locallyAddedAssertions": {"prefixAssertions": [], "bgpsecAssertions": []},
    },
]


@pytest.mark.parametrize("document", EMPTY, ids=["roas", "expired", "hosts", "slurm"])
def test_a_truth_without_prefixes_is_refused_only_where_nothing_else_decides(
    document: dict[str, object],
) -> None:
    content = json.dumps(document).encode()
    with pytest.raises(TruthError, match="no entry in force"):
        parse_truth(content, "truth.json", NOW)
    truth = parse_truth(content, "truth.json", NOW, may_be_empty=True)
    assert len(truth.vrps) == 0
    assert "has no prefix" in truth.warnings[-1].message


def test_hosts_may_share_an_asn_and_a_prefix() -> None:
    anycast = ["203.0.113.10/32"]
    hosts = [
        {"name": f"web{n}", "asn": 65001, "neighbors": [f"198.51.100.{n}"], "prefixes": anycast}
        for n in (1, 2, 3)
    ]
    truth = read({"hosts": hosts})
    assert [host.name for host in truth.bindings().by_asn[65001]] == ["web1", "web2", "web3"]
    assert vrp_texts(truth) == ["203.0.113.10/32-32 AS65001"]


@pytest.mark.parametrize("asn", [0, 23456, 65535, 4294967295])
def test_no_host_has_a_reserved_asn(asn: int) -> None:
    assert places(
        refused({"hosts": [{"name": "hv1", "asn": asn, "prefixes": ["10.0.0.0/8"]}]})
    ) == ["/hosts/0/asn"]


def test_hosts_of_one_asn_without_addresses_are_warned_about_once() -> None:
    """The two cannot be distinguished: hv2 may announce what hv1 owns."""
    hosts: list[dict[str, object]] = [
        {"name": f"hv{n}", "asn": 65001, "prefixes": [owned]}
        for n, owned in [(1, "10.1.0.0/16"), (2, "10.2.0.0/16"), (3, "10.3.0.0/16")]
    ]
    (warning,) = read({"hosts": hosts}).warnings
    assert warning.pointer == "/hosts"
    assert '"hv2" may announce 10.1.0.0/16 too' in warning.message
    hosts[1]["prefixes"] = hosts[2]["prefixes"] = hosts[0]["prefixes"]
    assert read({"hosts": hosts}).warnings == ()
    hosts[2]["asn"] = 65002
    assert read({"hosts": hosts}).warnings == ()


def test_hosts_of_one_asn_with_addresses_keep_what_is_their_own() -> None:
    """Other formats have VRPs only."""
    hosts = [
        {"name": f"hv{n}", "asn": asn, "neighbors": [f"198.51.100.{n}"], "prefixes": [owned]}
        for n, asn, owned in [
            (1, 65001, "10.1.0.0/16"),
            (2, 65001, "10.2.0.0/16"),
            (3, 65003, "10.3.0.0/16"),
        ]
    ]
    truth = read({"hosts": hosts})
    assert truth.warnings == ()
    assert [list(map(str, host.prefixes)) for host in truth.hosts] == [
        ["10.1.0.0/16-32 AS65001"],
        ["10.2.0.0/16-32 AS65001"],
        [],
    ]


def test_a_host_that_its_asn_keeps_from_speaking_is_warned_about() -> None:
    truth = read(
        {
            "hosts": [
                {
                    "name": "hv1",
                    "asn": 1,
                    "neighbors": ["198.51.100.1"],
                    "prefixes": ["10.0.0.0/8"],
                },
                {"name": "hv2", "asn": 1, "prefixes": ["10.0.0.0/8"]},
                {"name": "hv3", "asn": 2, "prefixes": ["11.0.0.0/8"]},
            ]
        }
    )
    assert [warning.pointer for warning in truth.warnings] == ["/hosts/1"]


def test_expired_entries_are_left_out_with_a_warning() -> None:
    truth = load_truth(FIXTURES / "good" / "rpki-client-8.json", NOW)
    assert [warning.pointer for warning in truth.warnings] == ["/roas/1/expires"]
    assert len(load_truth(FIXTURES / "good" / "rpki-client-8.json", 0.0).vrps) == 2
    with pytest.raises(TruthError, match="no entry in force"):
        load_truth(FIXTURES / "good" / "rpki-client-8.json", 3e9)


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert len(read(b'\xef\xbb\xbf{"roas": [{"prefix": "10.0.0.0/8", "asn": 1}]}').vrps) == 1


def test_metadata_is_kept_within_bounds() -> None:
    roas = [{"prefix": "10.0.0.0/8", "asn": 1}]
    many: dict[str, Any] = {f"key{n}": n for n in range(100)}
    truth = read({"roas": roas, "metadata": {"revision": "r" * 1000, "list": [], **many}})
    assert len(truth.metadata) == MAX_METADATA
    assert len(truth.revision) == MAX_METADATA_TEXT
    assert "list" not in truth.metadata
    assert truth.metadata["key0"] == "0"
    truth = read(
        b'{"roas": [{"prefix": "10.0.0.0/8", "asn": 1}], "metadata": {"a": "1\\n\\ud800"}}'
    )
    assert truth.metadata["a"] == "1??"
    assert truth.revision == ""


def test_a_revision_is_kept_wherever_it_stands() -> None:
    many: dict[str, Any] = {f"key{n}": n for n in range(100)}
    truth = read({"roas": [PLAIN], "metadata": {**many, "revision": "r"}})
    assert (truth.revision, len(truth.metadata)) == ("r", MAX_METADATA)


@pytest.mark.parametrize(
    ("document", "pointer", "part"),
    [
        ({"slurmVersion": 3}, "/slurmVersion", "and is 3"),
        ({"validationOutputFilters": 7}, "/validationOutputFilters", "an object, not 7"),
        *(
            (
                {"locallyAddedAssertions": {"prefixAssertions": [entry]}},
                f"/{ASSERTIONS}/0/{name}",
                part,
            )
            for entry, name, part in [
                ({"asn": 1}, "prefix", "is missing"),
                ({"asn": 1, "prefix": "10.0.0.1/8"}, "prefix", "host bits"),
                ({"prefix": "10.0.0.0/8"}, "asn", "is missing"),
                ({"asn": "1", "prefix": "10.0.0.0/8"}, "asn", "without quotes"),
                ({**PLAIN, "maxPrefixLength": 7}, "maxPrefixLength", "from 8 to 32"),
            ]
        ),
    ],
)
def test_each_mistake_in_slurm_is_an_error_with_its_place(
    document: dict[str, Any], pointer: str, part: str
) -> None:
    error = refused({"slurmVersion": 1} | document)
    assert [(p.pointer, part in p.message) for p in error.problems] == [(pointer, True)]


@pytest.mark.parametrize("name", ["max_length", "maxlength", "maxLen", "maxPrefixLength"])
def test_another_forms_max_length_is_an_error(name: str) -> None:
    error = refused({"roas": [{**PLAIN, name: 24}]})
    assert places(error) == [f"/roas/0/{name}"]
    assert "write maxLength" in str(error)


# SLURM -------------------------------------------------------------------------------------------


def test_slurm_filters_the_caches_data() -> None:
    def vrp(prefix: str, asn: int) -> Vrp:
        return Vrp(Prefix.parse(prefix), BITS[Prefix.parse(prefix).family], asn)

    removed = [
        vrp("192.0.2.0/24", 1),
        vrp("192.0.2.128/25", 2),
        vrp("203.0.113.0/24", 64496),
        vrp("2001:db8::/32", 64496),
        vrp("198.51.100.0/24", 64497),
        vrp("198.51.100.1/32", 64497),
    ]
    kept = [
        vrp("192.0.0.0/16", 1),
        vrp("198.51.100.0/24", 1),
        vrp("198.51.0.0/16", 64497),
        vrp("2001:db8::/32", 64497),
    ]
    truth = load_truth(FIXTURES / "good" / "slurm.json", NOW)
    assert truth.filter_rtr(VrpSet.of(removed + kept)) == VrpSet.of(kept)
    assert truth.warnings == ()


def test_without_slurm_the_caches_data_pass_as_they_are() -> None:
    data = VrpSet.of([Vrp(Prefix.parse("10.0.0.0/8"), 8, 1)])
    assert load_truth(FIXTURES / "good" / "hosts.json", NOW).filter_rtr(data) is data


def test_slurm_of_filters_alone_is_a_truth() -> None:
    truth = read({"slurmVersion": 1, "validationOutputFilters": {"prefixFilters": [{"asn": 0}]}})
    assert len(truth.vrps) == 0
    assert truth.filters == (PrefixFilter(None, 0),)


def test_aspa_in_slurm_is_ignored() -> None:
    truth = read(
        {
            "slurmVersion": 2,
            "validationOutputFilters": {"aspaFilters": [{"customerAsid": 1}]},
            "locallyAddedAssertions": {
                "prefixAssertions": [{"asn": 1, "prefix": "10.0.0.0/8", "maxPrefixLength": 32}],
                "aspaAssertions": [{"customerAsid": 1, "providerSet": [2]}],
            },
        }
    )
    assert vrp_texts(truth) == ["10.0.0.0/8-32 AS1"]
    assert truth.warnings == ()


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"author": "me"}, "/author"),
        (
            {"validationOutputFilters": {"prefixFilter": []}},
            "/validationOutputFilters/prefixFilter",
        ),
        (
            {"validationOutputFilters": {"prefixFilters": [{"prefix": "10.0.0.0/8", "ASN": 1}]}},
            "/validationOutputFilters/prefixFilters/0/ASN",
        ),
        (
            {"locallyAddedAssertions": {"prefixAssertions": [{**PLAIN, "maxLength": 32}]}},
            "/locallyAddedAssertions/prefixAssertions/0/maxLength",
        ),
    ],
)
def test_what_slurm_does_not_know_is_an_error(document: dict[str, Any], pointer: str) -> None:
    """RFC 8416 section 3.2: a filter that is passed over lets in what should be out."""
    error = refused(
        {"slurmVersion": 1, "locallyAddedAssertions": {"prefixAssertions": [PLAIN]}} | document
    )
    assert places(error) == [pointer]
    assert "is not known here" in str(error)


# Bad files ---------------------------------------------------------------------------------------

BAD = {
    "empty.json": [("", "is empty")],
    "empty-list.json": [("", "would remove every route")],
    "empty-object.json": [("", "none of the known forms")],
    "truncated.json": [("", "truncated (line 2, column 14")],
    "repeated-member.json": [
        ("/metadata/a~1b~0c/x", "more than once"),
        ("/roas/0/asn", "more than once"),
    ],
    "roas.json": [
        ("/roas/1/prefix", "host bits set: write 203.0.113.0/24, or 203.0.113.1/32"),
        ("/roas/10/asn", "from 0 to 4294967295, not 4294967296"),
        ("/roas/10/expires", 'an integer, not "tomorrow"'),
        ("/roas/10/maxLength", 'an integer, not "32"'),
        ("/roas/11", "an object, not null"),
        ("/roas/2/maxLength", "from 24 to 32 for 203.0.113.0/24, not 23"),
        ("/roas/3/maxLength", "not 33"),
        ("/roas/4/prefix", "IPv6 ends at 128"),
        ("/roas/5/asn", 'not "ASN65005"'),
        ("/roas/6/asn", "not 65005.0"),
        ("/roas/7/asn", "is missing"),
        ("/roas/8/prefix", "is missing"),
        ("/roas/9/asn", "not -1"),
        ("/roas/9/prefix", "not null"),
    ],
    "slurm.json": [
        ("/locallyAddedAssertions/prefixAssertions/0/asn", "without quotes"),
        ("/locallyAddedAssertions/prefixAssertions/0/maxPrefixLength", "from 24 to 32"),
        ("/locallyAddedAssertions/prefixAssertions/1", "an object, not a list"),
        ("/slurmVersion", "must be 1"),
        ("/validationOutputFilters/bgpsecFilters", "a list, not an object"),
        ("/validationOutputFilters/prefixFilters/0", "filters nothing"),
        ("/validationOutputFilters/prefixFilters/1/asn", "without quotes"),
        ("/validationOutputFilters/prefixFilters/2/prefix", "host bits"),
    ],
    "hosts.json": [
        ("/hosts/0/prefixes/0", "host bits"),
        ("/hosts/1/asn", "must not be 0"),
        ("/hosts/1/name", '"hv1" is also the name of /hosts/0'),
        ("/hosts/2/neighbors/0", "198.51.100.101 is listed at /hosts/0/neighbors/0 too"),
        ("/hosts/2/prefixes/0/max_length", "from 28 to 32"),
        ("/hosts/2/prefixes/1/prefix", "IPv4 ends at 32"),
        ("/hosts/3/asn", "from 0 to 4294967295"),
        ("/hosts/3/neighbours", "known are name, asn, neighbors, prefixes"),
        ("/hosts/3/prefixes", "must be a list"),
        ("/hosts/4/asn", "not true"),
        ("/hosts/4/name", "is missing"),
        ("/hosts/4/neighbors/0", "must be one address"),
        ("/hosts/4/neighbors/1", "must be one address"),
        ("/hosts/4/prefixes/0", '"203.0.113.80/32"'),
        ("/hosts/4/prefixes/1/prefix", "is missing"),
        ("/hosts/5", 'an object, not "hv6"'),
    ],
    "overlapping-owners.json": [
        ("/hosts/1/prefixes/0", "203.0.113.4/32 of hv2 (AS4200000006) lies inside 203.0.113.0/28"),
    ],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_the_place(name: str) -> None:
    path = FIXTURES / "bad" / name
    with pytest.raises(TruthError) as caught:
        load_truth(path, NOW)
    found = sorted(caught.value.problems, key=lambda problem: problem.pointer)
    assert [problem.pointer for problem in found] == [place for place, _ in BAD[name]]
    for problem, (place, part) in zip(found, BAD[name], strict=True):
        assert part in problem.message
        expected = f"{path}: {place}: " if place else f"{path}: "
        assert str(problem) == expected + problem.message


def test_every_bad_fixture_is_tested() -> None:
    assert {path.name for path in (FIXTURES / "bad").iterdir()} == set(BAD)


ENTRY = '{"prefix": "203.0.113.0/24", "asn": 65005}'

NOT_A_TRUTH = [
    (b"   \n", "is empty"),
    (b"null", "must be one JSON object, not null"),
    (b'["203.0.113.0/24"]', "must be one JSON object, not a list"),
    (b'{"roas": [' + ENTRY.encode() + b"]} {}", "is not JSON (line 1, column 56: Extra data)"),
    (b'{"roas": [' + ENTRY.encode() + b",]}", "is not JSON (line 1, column 5"),
    (b'{"roas": [' + ENTRY.encode() + b"]", "ends too early"),
    (b'{"roas": [], "x": NaN}', "NaN is not a JSON number"),
    (b'{"roas": [], "x": -Infinity}', "-Infinity is not a JSON number"),
    (b'{"roas": [], "x": ' + b"9" * 5000 + b"}", "is not usable JSON"),
    (b'{"roas": "\xff"}', "is not UTF-8 at byte 10"),
    ("{}".encode("utf-16"), "is not UTF-8 at byte 0"),
    (b"[" * 1_000_000, "nested far too deep"),
    (b'{"roas": ' * 100_000, "nested far too deep"),
    (b'{"roas": 7}', "/roas: must be a list, not 7"),
    (b'{"roas": {}}', "/roas: must be a list, not an object"),
    (b'{"hosts": null}', "/hosts: must be a list, not null"),
    (b'{"hosts": []}', "would remove every route"),
    (b'{"hosts": [{"name": "hv1", "asn": 1, "prefixes": []}]}', "would remove every route"),
    (b'{"slurmVersion": 1}', "would remove every route"),
    (b'{"locallyAddedAssertions": {}}', "/slurmVersion: must be 1 (RFC 8416), and is missing"),
    (b'{"roas": [], "hosts": []}', "mixes forms (hosts and roas)"),
    (b'{"roas": [], "vrps": []}', "mixes forms (roas and vrps)"),
    (b'{"roas": [], "locallyAddedAssertions": {}}', "mixes forms (slurmVersion and roas)"),
    (b'{"ROAS": [' + ENTRY.encode() + b"]}", "none of the known forms"),
    (b'{"roas": [' + ENTRY.encode() + b'], "metadata": 7}', "/metadata: must be an object, not 7"),
    (b'{"hosts": [], "comment": ""}', "/comment: is not known here"),
]


@pytest.mark.parametrize(("data", "part"), NOT_A_TRUTH, ids=[part for _, part in NOT_A_TRUTH])
def test_what_is_no_truth_is_refused_with_the_reason(data: bytes, part: str) -> None:
    assert part in str(refused(data))


HOST = {"name": "hv1", "asn": 1, "neighbors": ["198.51.100.1"], "prefixes": ["203.0.113.0/28"]}

BAD_HOSTS = [
    # (what replaces a member of a good host, the pointer of the one problem)
    ({"name": ""}, "/hosts/0/name"),
    ({"name": " "}, "/hosts/0/name"),
    ({"name": "hv\n1"}, "/hosts/0/name"),
    ({"name": "\ud800"}, "/hosts/0/name"),
    ({"name": "h" * 254}, "/hosts/0/name"),
    ({"name": 1}, "/hosts/0/name"),
    ({"asn": "AS0"}, "/hosts/0/asn"),
    ({"asn": "65005 "}, "/hosts/0/asn"),
    ({"asn": "٦"}, "/hosts/0/asn"),
    ({"asn": None}, "/hosts/0/asn"),
    ({"neighbors": []}, "/hosts/0/neighbors"),
    ({"neighbors": None}, "/hosts/0/neighbors"),
    ({"neighbors": "198.51.100.1"}, "/hosts/0/neighbors"),
    ({"neighbors": ["198.51.100.1/32"]}, "/hosts/0/neighbors/0"),
    ({"neighbors": ["fe80::1%eth0"]}, "/hosts/0/neighbors/0"),
    ({"neighbors": ["198.51.100.1", "198.51.100.1"]}, "/hosts/0/neighbors/1"),
    ({"neighbors": ["2001:db8::1", "2001:DB8:0::1"]}, "/hosts/0/neighbors/1"),
    ({"prefixes": {}}, "/hosts/0/prefixes"),
    ({"prefixes": [None]}, "/hosts/0/prefixes/0"),
    ({"prefixes": ["203.0.113.0/+8"]}, "/hosts/0/prefixes/0"),
    ({"prefixes": ["203.0.113.0/"]}, "/hosts/0/prefixes/0"),
    ({"prefixes": ["203.0.113/24"]}, "/hosts/0/prefixes/0"),
    ({"prefixes": ["203.0.113.0/24 "]}, "/hosts/0/prefixes/0"),
    ({"prefixes": ["203.0.113.0/24\u0000"]}, "/hosts/0/prefixes/0"),
    ({"prefixes": ["::ffff:0:0/96%1"]}, "/hosts/0/prefixes/0"),
    ({"prefixes": [{"prefix": "10.0.0.0/8", "maxLength": 32}]}, "/hosts/0/prefixes/0/maxLength"),
    (
        {"prefixes": [{"prefix": "0.0.0.0/0", "max_length": True}]},
        "/hosts/0/prefixes/0/max_length",
    ),
    ({"a/b~\n": 1}, "/hosts/0/a~1b~0?"),
]


@pytest.mark.parametrize(("change", "place"), BAD_HOSTS, ids=[str(c) for c, _ in BAD_HOSTS])
def test_bad_hosts_are_refused_with_the_place(change: dict[str, Any], place: str) -> None:
    read({"hosts": [HOST]})
    assert places(refused({"hosts": [{**HOST, **change}]})) == [place]


def test_one_neighbor_belongs_to_one_host_even_under_one_asn() -> None:
    assert places(refused({"hosts": [HOST, {**HOST, "name": "hv2"}]})) == ["/hosts/1/neighbors/0"]


@pytest.mark.parametrize(
    ("first", "second", "refuses"),
    [
        ("203.0.113.0/28", "203.0.113.0/28", False),
        ("203.0.113.0/28", "203.0.113.16/28", False),
        ("203.0.113.0/28", "203.0.113.0/29", True),
        ("203.0.113.15/32", "203.0.113.0/28", True),
        ("203.0.113.16/32", "203.0.113.0/28", False),
        ("0.0.0.0/0", "203.0.113.0/28", True),
        ("::/0", "203.0.113.0/28", False),
        ("2001:db8::/64", "2001:db8::1/128", True),
    ],
)
def test_no_prefix_lies_inside_another_asns(first: str, second: str, refuses: bool) -> None:
    def hosts(other_asn: int) -> dict[str, Any]:
        return {
            "hosts": [
                {"name": "hv1", "asn": 1, "prefixes": [first]},
                {"name": "hv2", "asn": other_asn, "prefixes": [second]},
            ]
        }

    read(hosts(1))
    if refuses:
        assert "lies inside" in str(refused(hosts(2)))
    else:
        read(hosts(2))


def test_problems_are_bounded_and_counted() -> None:
    error = refused({"roas": [{}] * 150})  # no prefix, no asn: two problems each
    assert len(error.problems) == MAX_PROBLEMS + 1
    assert places(error)[:2] == ["/roas/0/prefix", "/roas/0/asn"]
    assert error.problems[-1].message == "and 200 more"


def test_long_values_are_cut_in_messages() -> None:
    error = refused({"roas": [{"prefix": "x" * 100_000, "asn": "y\n" * 100_000}], "z" * 9999: 1})
    assert len(str(error)) < 500


def test_a_pointer_is_escaped() -> None:
    assert pointer(("a/b", 0, "~1", "")) == "/a~1b/0/~01/"
    assert pointer(()) == ""


# Files -------------------------------------------------------------------------------------------


def test_a_missing_truth_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "with a space" / "truth.json"
    with pytest.raises(TruthError) as caught:
        load_truth(path, NOW)
    assert str(caught.value).startswith(f"{path}: cannot be read: No such file or directory")


def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(TruthError, match="not a regular file"):
            load_truth(path, NOW)
    with pytest.raises(TruthError, match="is not a file name"):
        load_truth("truth\0.json", NOW)


def test_a_file_beyond_the_limit_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no space
    with pytest.raises(TruthError, match="larger than 512 MiB"):
        load_truth(path, NOW)


def test_the_clock_is_read_if_no_time_is_given(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text('{"roas": [{"prefix": "10.0.0.0/8", "asn": 1, "expires": 1000000000}]}')
    with pytest.raises(TruthError, match="no entry in force"):
        load_truth(path)


# Properties --------------------------------------------------------------------------------------


@st.composite
def some_prefixes(draw: st.DrawFn) -> Prefix:
    family = draw(st.sampled_from((IPV4, IPV6)))
    bits = BITS[family]
    length = draw(st.integers(0, bits))
    value = draw(
        st.one_of(st.integers(0, 2**bits - 1), st.integers(0, 3).map(lambda n: n << bits - 2))
    )
    return Prefix(family, value >> (bits - length) << (bits - length), length)


@st.composite
def some_vrps(draw: st.DrawFn) -> Vrp:
    prefix = draw(some_prefixes())
    max_length = draw(st.integers(prefix.length, BITS[prefix.family]))
    return Vrp(prefix, max_length, draw(st.sampled_from((0, 1, 65005, 2**32 - 1))))


vrp_lists = st.lists(some_vrps(), min_size=1, max_size=8)


@given(vrp_lists, st.randoms(use_true_random=False))
def test_export_is_read_back_and_forgets_the_order(vrps: list[Vrp], rng: random.Random) -> None:
    roas = [
        {"prefix": str(vrp.prefix), "maxLength": vrp.max_length, "asn": vrp.asn} for vrp in vrps
    ]
    truth = read({"roas": roas, "metadata": {"revision": "r1"}})
    assert truth.vrps == VrpSet.of(vrps)
    exported = truth_export(truth, "stayrtr")
    again = read(exported)
    assert again.vrps == truth.vrps
    assert again.revision == "r1"
    assert again.metadata["sha256"] == truth.sha256
    rng.shuffle(roas)
    body = exported.split(b"\n", 1)[1]
    assert truth_export(read({"roas": roas}), "stayrtr").split(b"\n", 1)[1] == body


ROA_VALUES: dict[str, list[Any]] = {
    "prefix": [
        *("10.0.0.0/8", "10.0.0.0/08", "0.0.0.0/0", "255.255.255.255/32", "::/0", "2001:db8::/32"),
        *("::1/128", "2001:DB8:0:0::/064", "::ffff:192.0.2.0/120", "fe80::1/128", "10.0.0.0/32"),
        *("10.0.0.1/8", "::1/64", "10.0.0.0/33", "::/129", "10.0.0.0", "10.0.0.0/", "/8", "::", ""),
        *("10.0.0/8", "010.0.0.0/8", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/٨", "10.0.0.0/8/8"),
        *(" 10.0.0.0/8", "10.0.0.0 /8", "10.0.0.0/8 ", "fe80::1%1/128", "10.0.0.0\0/8", "é/8"),
        *("1.2.3.4:5/8", "10.0.0.0/0008", "10.0.0.0/1e1", None, 8, True, ["10.0.0.0/8"], {"a": 1}),
    ],
    "asn": [
        *(0, 1, 65005, 2**32 - 1, "AS65005", "as1", "65005", "AS4294967295"),
        *(-1, 2**32, 2**70, 1.0, True, None, "", "AS", "AS-1", "AS4294967296", "ASN1", [1], {}),
    ],
    "maxLength": [0, 7, 8, 24, 32, 33, 64, 128, 129, -1, 24.0, True, None, "24", [24]],
    "expires": [0, -1, int(NOW) - 1, int(NOW), int(NOW) + 1, 2**40, NOW + 1, True, None, "0", [1]],
    "max_length": [24],
    "maxPrefixLength": [None],
    "ta": ["ripe", 1, {"x": [1]}],
}
"""Values for an entry, good and bad."""

PLAIN_ENTRIES: list[dict[str, Any]] = [
    {"prefix": "10.0.0.0/8", "asn": 1},
    {"prefix": "2001:db8::/32", "asn": "AS1", "maxLength": 48},
    {"prefix": "0.0.0.0/0", "asn": 1, "maxLength": 32, "expires": 2**40, "ta": "ripe"},
]


def read_entry_both_ways(entry: Any) -> None:
    """The quick way may decline to read an entry, but never reads it as something else."""
    problems, warnings = Problems("f"), Problems("f")
    expected = truth_module._roa(entry, (), NOW, problems, warnings)
    found = truth_module._fast_roa(entry, NOW)
    if found is not None:
        assert found == expected
        assert not problems
        assert not warnings
    else:
        assert problems or warnings or "/0" in entry["prefix"]  # a length with zeros in front


def test_the_fast_path_reads_an_entry_as_the_full_one_does() -> None:
    for plain in PLAIN_ENTRIES:
        for name, values in ROA_VALUES.items():
            for value in values:
                read_entry_both_ways({**plain, name: value})
            read_entry_both_ways({key: plain[key] for key in plain if key != name})
    for other in (None, "prefix", ["prefix", "asn"], 1, True, {}):
        read_entry_both_ways(other)


ENTRIES = st.one_of(
    st.sampled_from(PLAIN_ENTRIES),
    st.dictionaries(
        st.sampled_from(list(ROA_VALUES)),
        st.one_of(*map(st.sampled_from, ROA_VALUES.values())),
        max_size=4,
    ),
    st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in ROA_VALUES.items()}
    ),
    st.sampled_from([None, "prefix", 1]),
)


@given(st.sampled_from(PLAIN_ENTRIES), ENTRIES)
def test_a_plain_entry_is_read_as_any_other(plain: dict[str, Any], other: Any) -> None:
    read_entry_both_ways(other)
    if isinstance(other, dict):
        read_entry_both_ways({**plain, **other})


@given(st.lists(ENTRIES, min_size=1, max_size=3))
def test_what_is_in_force_does_not_depend_on_the_way(entries: list[Any]) -> None:
    def outcome() -> Truth | str:
        try:
            return read({"roas": entries})
        except TruthError as error:
            return str(error)

    quick = outcome()
    with patch.object(truth_module, "_fast_roa", return_value=None):
        assert quick == outcome()


@pytest.mark.parametrize(
    "name", ["stayrtr.json", "vrps.json", "rpki-client-8.json", "routinator.json"]
)
def test_what_other_programs_write_is_plain(name: str) -> None:
    with patch.object(truth_module, "_roa", side_effect=AssertionError):
        load_truth(FIXTURES / "good" / name, 0)


@given(
    st.one_of(st.text(max_size=20), st.from_regex(r"[0-9a-f:.]{1,20}/[0-9]{0,4}", fullmatch=True))
)
def test_prefixes_are_read_as_the_model_reads_them(text: str) -> None:
    try:
        expected = Prefix.parse(text) if "/" in text else None
    except ValueError:
        expected = None
    if expected is not None and expected.is_well_formed:
        assert read_prefix(text) == expected
    else:
        with pytest.raises(ValueError, match=r"must|has"):
            read_prefix(text)


@given(some_prefixes())
def test_written_prefixes_are_read(prefix: Prefix) -> None:
    assert read_prefix(str(prefix)) == prefix


def bits_of(prefix: Prefix) -> str:
    return str(prefix.family) + format(prefix.network, f"0{BITS[prefix.family]}b")[: prefix.length]


@given(
    st.lists(
        st.builds(
            PrefixFilter,
            st.one_of(st.none(), some_prefixes()),
            st.one_of(st.none(), st.sampled_from((0, 1, 65005))),
        ).filter(lambda one: one != (None, None)),
        max_size=5,
    ),
    some_vrps(),
)
def test_filters_agree_with_an_oracle(filters: list[PrefixFilter], vrp: Vrp) -> None:
    """RFC 8416 section 3.3.1: a VRP is filtered when it meets every criterion of some filter."""
    expected = any(
        (prefix is None or bits_of(vrp.prefix).startswith(bits_of(prefix)))
        and (asn is None or asn == vrp.asn)
        for prefix, asn in filters
    )
    assert Filters(filters).removes(vrp) is expected


@given(st.lists(st.tuples(some_prefixes(), st.sampled_from((1, 2, 3))), min_size=1, max_size=8))
def test_overlaps_agree_with_an_oracle(owned: list[tuple[Prefix, int]]) -> None:
    """Each owner of a prefix has a problem for each wider prefix that another ASN owns too."""
    document = {
        "hosts": [
            {"name": f"h{i}", "asn": asn, "prefixes": [str(prefix)]}
            for i, (prefix, asn) in enumerate(owned)
        ]
    }
    expected = sum(
        any(asn != other for wider, other in owned if wider == outer)
        for prefix, asn in owned
        for outer in {wider for wider, _ in owned}
        if outer != prefix and bits_of(prefix).startswith(bits_of(outer))
    )
    problems = 0
    try:
        read(json.dumps(document).encode())
    except TruthError as error:
        problems = len(error.problems)
    assert problems == expected


@pytest.mark.parametrize("name", GOOD)
def test_no_file_cut_short_is_a_truth(name: str) -> None:
    data = (FIXTURES / "good" / name).read_bytes().rstrip()
    for length in range(len(data)):
        with pytest.raises(TruthError):
            read(data[:length])


MEMBERS = (
    *("roas", "vrps", "hosts", "metadata", "revision", "x"),
    *("slurmVersion", "validationOutputFilters", "locallyAddedAssertions"),
    *("prefixFilters", "prefixAssertions", "maxPrefixLength"),
    *("prefix", "asn", "maxLength", "max_length", "expires", "name", "neighbors", "prefixes"),
)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**33),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["10.0.0.0/8", "10.0.0.1", "::/0", "AS1", "hv1"]),
)

DOCUMENTS = st.dictionaries(
    st.sampled_from(MEMBERS),
    st.recursive(
        VALUES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5)
        ),
        max_leaves=12,
    ),
    max_size=3,
)


@given(DOCUMENTS)
def test_nothing_but_a_truth_or_its_error_comes_out(document: dict[str, Any]) -> None:
    try:
        truth = read(document)
    except TruthError as error:
        lines = str(error).splitlines()
        assert all(line.startswith("truth.json: ") and line.isprintable() for line in lines)
    else:
        assert len(truth.vrps) or truth.filters


@given(st.binary(max_size=60))
def test_bytes_are_no_truth(data: bytes) -> None:
    refused(data)


# Export ------------------------------------------------------------------------------------------


def test_export_is_what_stayrtr_reads() -> None:
    truth = read({"roas": [{"prefix": "2001:db8::/32", "maxLength": 48, "asn": 65005}]})
    assert json.loads(truth_export(truth, "stayrtr")) == {
        "metadata": {"revision": "", "sha256": truth.sha256, "vrps": 1},
        "roas": [
            {"prefix": "2001:db8::/32", "maxLength": 48, "asn": "AS65005", "ta": "rsfilter"},
        ],
    }


def test_what_cannot_be_exported_is_refused() -> None:
    with pytest.raises(ValueError, match="no form 'gobgp'"):
        truth_export(load_truth(FIXTURES / "good" / "hosts.json", NOW), "gobgp")
    with pytest.raises(ValueError, match="filters"):
        truth_export(load_truth(FIXTURES / "good" / "slurm.json", NOW), "stayrtr")


@pytest.mark.lab
def test_stayrtr_loads_the_export(tmp_path: Path) -> None:
    cache = tmp_path / "vrps.json"
    cache.write_bytes(truth_export(load_truth(FIXTURES / "good" / "hosts.json", NOW), "stayrtr"))
    argv = ["stayrtr", "-bind", "127.0.0.1:0", "-cache", str(cache), "-checktime=false"]
    argv += ["-metrics.addr", "", "-loglevel", "info"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            logged = ""
            for line in process.stderr:
                logged += line
                if "New update" in line or "level=error" in line:
                    break
        finally:
            process.kill()
    assert re.search(
        r"New update \(5 uniques, 5 total prefixes[,)]", logged
    )  # 0.6: and router keys


def test_very_many_repeated_members_are_found_in_no_time() -> None:
    """Each of 200,000 names twice: compared with each other that would take an hour."""
    members = ",".join(f'"k{n % 200_000}":1' for n in range(400_000))
    error = refused(f'{{"roas": [], {members}}}'.encode())
    assert len(error.problems) == MAX_PROBLEMS + 1


def test_many_owners_of_two_prefixes_take_no_time() -> None:
    """Twenty thousand each: pair by pair it would take twenty seconds."""
    hosts = [
        {"name": f"{length}-{n}", "asn": 65001, "prefixes": [f"10.0.0.0/{length}"]}
        for length in (16, 24)
        for n in range(20_000)
    ]
    content = json.dumps({"hosts": hosts}).encode()
    started = time.process_time()
    assert len(parse_truth(content, "truth.json", 0.0).vrps) == 2
    assert time.process_time() - started < 5.0
