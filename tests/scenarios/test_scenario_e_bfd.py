"""Scenario E, with BFD: a host that vanishes is gone in less than a second.

ExaBGP has no BFD (RFC 5880). A BIRD beside it has, and docs/examples/bfd/bfd_watch.py lets it end
the session of a host that it misses. The host is on a link of its own, and its hold time is 90 s.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lab.bird import LINK, Bird, BirdHostOnLink, BirdRouter
from lab.core import Daemon, Lab
from lab.stage import Stage
from lab.story import narrate
from lab.waiting import eventually
from support.places import ROOT

pytestmark = pytest.mark.lab

WATCH = ROOT / "docs" / "examples" / "bfd" / "bfd_watch.py"

GUEST = "2001:db8:30:1::1/128"

NOBODY = "02:00:00:00:00:99"
"""An Ethernet address that no interface has."""

STATES = ("Up", "Down", "Init", "AdminDown")

HOLD_TIME_S = 90

DETECTION_MS = 3 * 100
"""Detection time that RFC 5880 section 6.8.4 makes of interval and multiplier."""


def bfd(interface: str, local: str, remote: str) -> str:
    return f"""
protocol bfd {{
  interface "{interface}" {{ interval 100 ms; multiplier 3; }};
  neighbor {remote} dev "{interface}" local {local};
}}
"""


class HostWithBfd(BirdHostOnLink):
    """Speaks BFD with the route server's address."""

    def _configuration(self) -> str:
        (other,) = self._route_servers
        return super()._configuration() + bfd(LINK, self.addresses[6], other.addresses[6])

    def falls_silent(self) -> None:
        """Lose the packets that it sends on the link, without notice to either end."""
        self._neighbor("replace", "lladdr", NOBODY, "nud", "permanent")

    def is_heard_again(self) -> None:
        """Undo `falls_silent`."""
        self._neighbor("delete")

    def _neighbor(self, verb: str, *how: str) -> None:
        (other,) = self._route_servers
        where = [other.addresses[6], "dev", LINK]
        self.lab.run([*self._outside(), "ip", "neighbor", verb, *where, *how])


class BfdBird(Bird):
    """A program that only does BFD."""

    def __init__(self, *arguments: Any, text: str) -> None:
        super().__init__(*arguments)
        self._text = text

    def _configuration(self) -> str:
        return self._head() + self._text

    def bfd_state(self) -> str:
        """State of its only session."""
        lines = self.control("show bfd sessions")
        return next((word for line in lines for word in line.split() if word in STATES), str(lines))


class Watch(Daemon):
    """docs/examples/bfd/bfd_watch.py."""

    def __init__(self, lab: Lab, control: Path, port: int) -> None:
        super().__init__(lab, "watch")
        self._argv = [sys.executable, str(WATCH), f"--control={control}", f"--port={port}"]

    def starts(self) -> None:
        self.run(self._argv, lambda: None)
        self.log = self.place / "output"


def test_a_host_that_vanishes_is_gone_within_a_second() -> None:
    with Lab() as lab:
        if 6 not in lab.families:
            pytest.skip("needs network namespaces: a host on a link of its own")
        stage = Stage(lab, ipv6_lengths=[128])
        stage.add_host(HostWithBfd, "hv1", 65001, hold_time_s=HOLD_TIME_S)
        stage.add_router(BirdRouter, "leaf1")
        stage.owners({"hv1": [GUEST]})
        stage.starts()
        host, leaf, rs = stage.hosts["hv1"], stage.router("leaf1"), stage.route_server
        assert isinstance(host, HostWithBfd)
        assert isinstance(leaf, BirdRouter)
        text = bfd(f"to-{LINK}", rs.addresses[6], host.addresses[6])
        bird = BfdBird(lab, "bfd", 99, 65100, text=text)
        bird.starts()
        watch = Watch(lab, bird.place / "bird.ctl", lab.bgp_port)
        watch.starts()
        eventually(lambda: None if bird.bfd_state() == "Up" else bird.bfd_state(), lab.report)
        host.announces(GUEST)
        leaf.has(GUEST)

        began = time.monotonic()
        host.falls_silent()
        leaf.lacks(GUEST, deadline_s=HOLD_TIME_S / 2)  # or that was not BFD
        took = time.monotonic() - began
        narrate(f"leaf1 lost it after {took * 1000:.0f} ms; BFD alone needs {DETECTION_MS}")

        host.is_heard_again()
        leaf.has(GUEST)
        stage.audit.has(event="session_down", neighbor=host.addresses[6])
