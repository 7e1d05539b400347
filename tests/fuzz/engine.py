"""The target `engine`: scripts of captured lines, data changes and time through the whole filter.

`world` runs a script; `trail` checks the files that it leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from support.exabgp_lines import CAPTURES, LINES, capture

from fuzz import site, trail
from fuzz.world import run

MAX_SEED_LINE = 4000
"""Octets. The captures of thousands of prefixes in one line are the decoder's seeds."""

REPEATED, FILED = 16, 64
"""Share of scripts for which slow checks are done: running it again, writing its log to files. The
script itself decides which: a finding can be repeated."""

HOSTS = (("127.10.1.1", 65005), ("127.10.1.2", 65006), ("127.10.1.6", 4200000001))
ROUTER, OTHER_ROUTER = site.ROUTERS[:2]

_V4 = ["192.0.2.1/32", "192.0.2.2/32"]


def check(script: bytes) -> None:
    """Run a script. Raises when a promise was broken."""
    world = run(script)
    trail.check_lines(world.audit)
    trail.check_explain(world)
    choice = crc32(script)
    if choice % FILED == 0:
        trail.check_files(world.audit)
    if choice % REPEATED == 1:
        again = run(script)
        assert again.written == world.written, "the same script gives other commands"
        assert trail.check_lines(again.audit) == trail.check_lines(world.audit)


def seeds() -> Iterable[bytes]:
    """Every capture, after a start with data; and what no capture has: data that change, routers
    that come and go, a guard that holds, a drain."""
    for number, (dialect, name) in enumerate(CAPTURES):
        lines = [line for line in capture(dialect, name) if len(line) <= MAX_SEED_LINE]
        if lines and b"\n".join(lines):
            yield b"\n".join([*_start(number), *lines[:40]])
    for number in range(len(site.CONFIGS)):
        yield b"\n".join([*_start(number), *_life()])


def _start(number: int) -> list[bytes]:
    config = number % len(site.CONFIGS)
    start = [b"@config %d" % config, b"@truth " + site.TRUTHS[number // 4 % len(site.TRUTHS)]]
    if site.CONFIGS[config].rtr:
        start.append(b"@rtr " + site.RTRS[number // 16 % len(site.RTRS)])
    return [*start, site.state(ROUTER, 65200, "up"), site.state(OTHER_ROUTER, 65200, "up")]


def _life() -> list[bytes]:
    """Two hosts, a move, other data, a lost session, a drain."""
    (first, first_asn), (second, second_asn), _ = HOSTS
    return [
        site.state(first, first_asn, "up"),
        site.state(second, second_asn, "up"),
        site.update(first, first_asn, _V4),
        site.update(second, second_asn, _V4, med=5),
        site.update(first, first_asn, ["2001:db8:1::1/128"]),
        site.end_of_rib(first, first_asn, "ipv4 unicast"),
        b"@truth " + site.TRUTHS[1],
        b"@mute",
        site.withdraw(first, first_asn, _V4[:1]),
        site.update(first, first_asn, _V4[:1], community=[[65535, 0]]),
        site.state(ROUTER, 65200, "down", "closing connection"),
        site.state(ROUTER, 65200, "up"),
        b"@unmute",
        site.state(first, first_asn, "down", "closing connection"),
        b"@wait 10",
        site.state(first, first_asn, "up"),
        site.refresh(first, first_asn, "begin"),
        site.refresh(first, first_asn, "end"),
        b"@release",
        b"@reload 1 force",
        b"@drain on",
        b"@wait 40",
        b"@drain off",
        b"@expired",
        *_restart(),
    ]


def _restart() -> list[bytes]:
    """Require that held routes are held after a restart, until the data are right."""
    _, (host, asn), _ = HOSTS
    again = [
        site.state(ROUTER, 65200, "up"),
        site.state(host, asn, "up"),
        site.update(host, asn, _V4),
        site.end_of_rib(host, asn, "ipv4 unicast"),
        site.end_of_rib(host, asn, "ipv6 unicast"),
    ]
    return [
        *(b"@truth " + site.TRUTHS[0], *again, b"@truth " + site.TRUTHS[1], b"@restart", *again),
        *(b"@go", b"@wait 400", b"@truth " + site.TRUTHS[0]),
    ]


def _pool() -> list[bytes]:
    """Lines that mutation puts in."""
    made: list[bytes] = [
        b"@wait 1", b"@wait 31", b"@wait 130", b"@release", b"@drain on", b"@drain off",
        *(b"@reload %d%s" % (n, f) for n in range(4) for f in (b"", b" force")),
        b"@restart", b"@mute", b"@unmute", b"@hold", b"@go", b"@expired", b"@given_up",
        b"done", b"error",
        *(b"@truth " + truth for truth in site.TRUTHS),
        *(b"@rtr " + rtr for rtr in site.RTRS),
        *_life(),
    ]  # fmt: skip
    for router in site.ROUTERS:
        made += (
            site.state(router, 65200, "up"),
            site.state(router, 65200, "down", "closing connection"),
            site.state(router, 65200, "down", "stop, message [removed]"),
            site.opened(router, 65200, ["ipv4/unicast"], []),
            site.opened(router, 65200, ["ipv4/unicast", "ipv6/unicast"], ["ipv4/unicast"]),
        )
    for host, asn in HOSTS:
        made += (
            site.state(host, asn, "up"),
            site.state(host, asn, "down", "closing connection"),
            site.state(host, asn, "down", "notification received (6,2)"),
            site.end_of_rib(host, asn, "ipv4 unicast"),
            site.refresh(host, asn, "begin"),
            site.refresh(host, asn, "end"),
            site.withdraw(host, asn, _V4),
        )
        for prefix in ("192.0.2.1/32", "192.0.2.2/32", "203.0.113.7/32", "10.9.9.9/32"):
            made.append(site.update(host, asn, [prefix]))
        made.append(site.update(host, asn, [f"192.0.2.{n}/32" for n in range(10)], med=7))
    return [*made, *(line for line in LINES if len(line) <= MAX_SEED_LINE)]


POOL = _pool()
