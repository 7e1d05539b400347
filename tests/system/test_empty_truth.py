"""A truth without prefixes beside RTR caches: there are no exceptions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.stayrtr import StayRtr, Vrp

pytestmark = pytest.mark.lab

BY_ROA, BY_EXCEPTION = "203.0.113.5/32", "203.0.113.9/32"


def slurm(*prefixes: str) -> dict[str, object]:
    """RFC 8416: local exceptions for AS65005."""
    return {
        "slurmVersion": 1,
        "validationOutputFilters": {"prefixFilters": [], "bgpsecFilters": []},
        "locallyAddedAssertions": {
            "prefixAssertions": [{"asn": 65005, "prefix": prefix} for prefix in prefixes],
            "bgpsecAssertions": [],
        },
    }


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize("is_empty_at_first", [False, True])
def test_the_last_exception_is_taken_out(lab: Lab, is_empty_at_first: bool) -> None:
    cache = StayRtr(lab, "cache", 50, [Vrp(65005, BY_ROA, 32)])
    rs = RouteServer(lab)
    host = BirdHost(lab, "hv", 11, 65005, [rs.endpoint])
    leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
    rs.writes_truth(slurm() if is_empty_at_first else slurm(BY_EXCEPTION))
    rs.configure(
        [group_of("hv", host)],
        [group_of("leaf", leaf, port=lab.bgp_port)],
        rtr={"caches": [cache.address], "retry": 1},
        truth={"file": "truth.json", "mode": "union"},
        guard={"min_loss": 100},
    )
    cache.starts()
    rs.starts()
    for peer in (leaf, host):
        peer.starts()
    for peer in (leaf, host):
        peer.is_up()
    host.announces(BY_ROA, BY_EXCEPTION)
    if not is_empty_at_first:
        leaf.has_exactly(BY_ROA, BY_EXCEPTION)
        rs.writes_truth(slurm())
    rs.audit.has(event="verdict", prefix=BY_EXCEPTION, verdict="rejected")
    leaf.has_exactly(BY_ROA)
