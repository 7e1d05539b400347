"""Hostile input of files, clients and caches costs no more than n log n."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from support.core_samples import host_group, route, vrp
from support.growth import assert_grows_gently

from rsfilter.audit.counts import HOURS
from rsfilter.audit.stats import _timeline
from rsfilter.config.overlaps import Claim, conflicts
from rsfilter.routing.judging import judge
from rsfilter.routing.model import Prefix
from rsfilter.routing.validation import Data, Source
from rsfilter.rpki.document import TruthError
from rsfilter.rpki.slurm import Filters, PrefixFilter
from rsfilter.rpki.truth import parse_truth
from rsfilter.rpki.vrps import VrpSet

Made = Callable[[int], Callable[[], object]]

WIDEST = Prefix.parse("::/0")


def inside(count: int) -> list[str]:
    """Prefixes inside 2001:db8::/32."""
    return [f"2001:db8::{n >> 16:x}:{n & 0xFFFF:x}/128" for n in range(count)]


def truth(document: Any) -> Callable[[], object]:
    content = json.dumps(document).encode()

    def parse() -> None:
        with suppress(TruthError):
            parse_truth(content, "truth.json", 0)

    return parse


def owners_of_one_prefix(n: int) -> Callable[[], object]:
    """n hosts own ::/0, and n prefixes lie inside it, all of one ASN: nothing is wrong."""
    hosts = [{"name": f"h{i}", "asn": 1, "prefixes": ["::/0"]} for i in range(n)]
    return truth({"hosts": [*hosts, {"name": "x", "asn": 1, "prefixes": inside(n)}]})


def strangers_of_one_prefix(n: int) -> Callable[[], object]:
    """n hosts own ::/0, and n prefixes inside it are of another ASN: everything is wrong."""
    hosts = [{"name": f"h{i}", "asn": 1, "prefixes": ["::/0"]} for i in range(n)]
    return truth({"hosts": [*hosts, {"name": "x", "asn": 2, "prefixes": inside(n)}]})


def asns_that_share_one_prefix(n: int) -> Callable[[], object]:
    """n hosts in pairs of one ASN, and all of them own one prefix."""
    hosts = [{"name": f"h{i}", "asn": 1 + i // 2, "prefixes": ["192.0.2.1/32"]} for i in range(n)]
    return truth({"hosts": hosts})


def nested_prefixes(n: int) -> Callable[[], object]:
    """A chain of 96 prefixes, each inside the one before, of another ASN, and n inside them all."""
    chain = [{"name": f"c{i}", "asn": 1 + i, "prefixes": [f"::/{i}"]} for i in range(96)]
    inner = [f"::{i >> 16:x}:{i & 0xFFFF:x}/128" for i in range(n)]
    return truth({"hosts": [*chain, {"name": "x", "asn": 200, "prefixes": inner}]})


def repeated_members_deep_down(n: int) -> Callable[[], object]:
    """n objects that give a member twice, 500 lists deep."""
    deep = "[" * 500 + ",".join(['{"a":1,"a":2}'] * n) + "]" * 500
    content = f'{{"roas": [], "metadata": {deep}}}'.encode()

    def parse() -> None:
        with pytest.raises(TruthError, match="more than once"):
            parse_truth(content, "truth.json", 0)

    return parse


def slurm_pairs_of_one_prefix(n: int) -> Callable[[], object]:
    """n filters of ::/0 and an ASN each, over n VRPs of another one."""
    filters = Filters([PrefixFilter(WIDEST, asn) for asn in range(1, n + 1)])
    vrps = VrpSet.of(vrp(f"{text} AS4000000000") for text in inside(n))
    return lambda: vrps.without(filters.removes)


def slurm_pairs_of_one_asn(n: int) -> Callable[[], object]:
    """n filters of prefixes of one ASN, over as many VRPs of it."""
    filters = Filters([PrefixFilter(Prefix.parse(text), 1) for text in inside(n)])
    vrps = VrpSet.of(vrp(f"{text} AS1") for text in inside(n))
    return lambda: vrps.without(filters.removes)


def ranges_listed_often(n: int) -> Callable[[], object]:
    """One range of hosts, listed n times, and n addresses inside it."""
    place = "hosts[0].neighbors"
    claims = [Claim(WIDEST, "host", place)] * n
    claims += [Claim(Prefix.parse(text), "host", place) for text in inside(n)]
    return lambda: list(conflicts(claims))


def hours_of_a_forged_log(n: int) -> Callable[[], object]:
    """Counts of n days."""
    first = date(1000, 1, 1).toordinal()
    hours = [f"{date.fromordinal(first + day)}T00:00:00Z" for day in range(n)]
    counts: Any = {name: Counter(hours) for name in HOURS}
    return lambda: _timeline(counts)


def hosts_of_one_asn(n: int) -> Callable[[], object]:
    """n hosts, each with an address and a prefix of its own, which it announces."""
    places = [f"{number >> 8}.{number & 255}" for number in range(n)]
    hosts = [
        {
            "name": f"hv-{at}",
            "asn": 65001,
            "neighbors": [f"198.18.{at}"],
            "prefixes": [f"10.{at}.1/32"],
        }
        for at in places
    ]
    truth = parse_truth(json.dumps({"hosts": hosts}).encode(), "truth.json", 0.0)
    group = host_group("198.18.0.0/15")
    routes = [route(f"10.{at}.1/32", asn=65001, neighbor=f"198.18.{at}") for at in places]

    def judged() -> None:
        data = Data(truth.vrps, truth_source=Source.READY, bindings=truth.bindings())
        assert not any(judge(each, group, data).reasons for each in routes)

    return judged


CASES: list[tuple[Made, int]] = [
    (owners_of_one_prefix, 2000),
    (strangers_of_one_prefix, 2000),
    (asns_that_share_one_prefix, 2000),
    (nested_prefixes, 1000),
    (repeated_members_deep_down, 4000),
    (slurm_pairs_of_one_prefix, 2000),
    (slurm_pairs_of_one_asn, 2000),
    (ranges_listed_often, 2000),
    (hours_of_a_forged_log, 1000),
    (hosts_of_one_asn, 1000),
]


@pytest.mark.parametrize(("made", "n"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_four_times_as_much_costs_about_four_times_as_much(made: Made, n: int) -> None:
    assert_grows_gently(made, n)
