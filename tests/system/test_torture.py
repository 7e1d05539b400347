"""Short versions of `make torture`: what dies, and what flaps, in a storm (`storm`)."""

from __future__ import annotations

import pytest
from lab.bird import BirdRouter
from lab.core import Lab
from lab.probe import Probe
from support.storm import HOSTS, Storm
from system.torture import Torture

from rsfilter.exabgp.deferral import DEADLINE_S
from rsfilter.exabgp.repetition import LIMIT_S

pytestmark = pytest.mark.lab

WINDOW_S = min(DEADLINE_S, LIMIT_S)
"""A resync or a deferral that takes as long has run into its limit. Five to ten seconds are usual:
a start, a host's answer to a route refresh (BIRD sleeps up to 3 s over it)."""


def test_the_filter_is_killed_and_exabgp(lab: Lab) -> None:
    """Routers keep everything meanwhile: the one because ExaBGP does, the other because of graceful
    restart (RFC 4724), until the hosts are back and have repeated themselves."""
    torture = Torture(lab, seed=7)
    torture.run(kills=5, exabgp_kills=1)
    assert max(window for windows in torture.windows.values() for window in windows) < WINDOW_S


def test_sessions_of_routers_and_hosts_flap(lab: Lab) -> None:
    """The final state is right each time, and those that do not flap notice nothing."""
    storm = Storm(lab, seed=13)
    storm.starts()
    site, last = storm.site, HOSTS[-1]
    start = storm.probe.moment()
    for flapping in (site.leaf1, site.leaf2, site.hosts[last], site.leaf1):
        storm.steps(4)
        if not isinstance(flapping, BirdRouter):
            storm.absent.add(last)
        flapping.shuts_down()
        storm.steps(6)
        flapping.comes_back()
        storm.absent.clear()
        storm.steps(2)
        storm.settles()
    storm.no_hijack(start)
    storm.probe.path_ids_keep(start)
    others = [prefix for prefix, asn in storm.stable.items() if asn != last]
    assert Probe(site.leaf1).gaps(others, start), "the probe has not noticed a router's own flap"
