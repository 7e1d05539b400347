"""The targets `decode` and `show`: one line of ExaBGP's, and its answers to a new process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from support.exabgp_lines import CAPTURES, FIXTURES, LINES, capture

from fuzz import engine, site
from fuzz.text import assert_plain, loads
from rsfilter.exabgp.attributes import MAX_PATH_ASNS
from rsfilter.exabgp.decode import MAX_REASON, decode
from rsfilter.exabgp.messages import Message, Opened, SentEndOfRib
from rsfilter.exabgp.nlri import MAX_TEXT
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.model import BITS, UNICAST, Address, Attributes, Prefix, RouteKey

MAX_MALFORMED = 20_000
"""Characters. Every attribute code once, and the names of all that is wrong."""


def check_decode(line: bytes) -> None:
    """Require that a line becomes one message of bounded values, with nothing that the line does
    not have."""
    message = decode(line)
    assert decode(line) == message, "the same line says something else"
    if isinstance(message, Update):
        _check_update(message)
    if isinstance(message, SessionDown):
        assert_plain(message.reason, "a reason")
        assert len(message.reason) <= MAX_REASON
    if isinstance(message, EndOfRib | RefreshMark | SentEndOfRib):
        assert message.family in UNICAST.values()
    if isinstance(message, Opened):
        assert message.families | message.add_path <= {4, 6}
    if isinstance(message, Update | SessionUp | SessionDown | EndOfRib | RefreshMark):
        assert 0 <= message.asn < 1 << 32
        _check_address(message.neighbor)
    _compare(line, message)


def _check_update(update: Update) -> None:
    for attributes in {route.attributes for route in update.announced}:
        _check_attributes(attributes)
    for route in update.announced:
        _check_key(route.key, update)
        assert route.asn == update.asn
        for hop in route.next_hops:
            _check_address(hop)
    for key in update.withdrawn:
        _check_key(key, update)
    keys = [route.key for route in update.announced]
    assert len({*keys}) == len(keys), "a prefix twice"
    for family, text in update.other_families:
        assert max(len(family), len(text)) <= MAX_TEXT


def _check_attributes(attributes: Attributes) -> None:
    assert all(0 <= asn < 1 << 32 for asn in attributes.as_path.asns)
    assert len(attributes.as_path.asns) <= MAX_PATH_ASNS
    assert attributes.origin in ("igp", "egp", "incomplete")
    assert attributes.med is None or 0 <= attributes.med < 1 << 32
    assert all(0 <= part < 1 << 16 for pair in attributes.communities for part in pair)
    assert all(0 <= part < 1 << 32 for three in attributes.large_communities for part in three)
    assert all(0 <= value < 1 << 64 for value in attributes.extended_communities)
    assert len(attributes.malformed) <= MAX_MALFORMED


def _check_key(key: RouteKey, update: Update) -> None:
    assert key.neighbor == update.neighbor
    _check_address(key.prefix.address)
    assert 0 <= key.prefix.length <= 999
    assert 0 <= key.path_id < 1 << 32


def _check_address(address: Address) -> None:
    assert 0 <= address.value < 1 << {4: 32, 6: 128}[address.family]


def _compare(line: bytes, message: Message) -> None:
    """Require that values of the message are at their place in the line, as the standard library
    reads it."""
    if not isinstance(message, Update | SessionUp | SessionDown | EndOfRib | RefreshMark | Opened):
        return
    document = loads(line)
    if document is None:  # 4.2's faults, which are mended; or a repeated attribute, which is judged
        is_mended = isinstance(message, SessionUp | SessionDown | RefreshMark)
        is_judged = isinstance(message, Update) and all(
            route.attributes.malformed for route in message.announced
        )
        assert is_mended or is_judged, message
        return
    neighbor = document["neighbor"]
    assert message.neighbor == Address.parse(neighbor["address"]["peer"])
    assert getattr(message, "asn", None) in (None, neighbor["asn"]["peer"])
    if isinstance(message, Update | EndOfRib | RefreshMark):
        assert neighbor["direction"] == "receive"
    if isinstance(message, Update):
        announced = neighbor["message"]["update"].get("announce", {})
        withdrawn = neighbor["message"]["update"].get("withdraw", {})
        gone = {*_prefixes(withdrawn)}
        sent = {*_prefixes(announced), *gone, *map(_network, gone)}
        found = {route.key.prefix for route in message.announced}
        found |= {key.prefix for key in message.withdrawn}
        assert found <= sent, f"{found - sent} is nowhere in the line"


def _network(prefix: Prefix) -> Prefix:
    """Bits past the length of a withdrawn prefix mean nothing (RFC 4271 section 4.3)."""
    past = max(0, BITS[prefix.family] - prefix.length)
    return Prefix(prefix.family, prefix.network >> past << past, prefix.length)


def _prefixes(value: Any) -> Iterable[Prefix]:
    """Every text inside that is a prefix."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _prefixes(item)
    if isinstance(value, str):
        try:
            yield Prefix.parse(value)
        except ValueError:
            return


def decode_seeds() -> Iterable[bytes]:
    """Every captured line of both dialects, and the vectors."""
    yield from LINES
    yield from (FIXTURES / "decode-vectors.jsonl").read_bytes().splitlines()


# Answers to `show` -------------------------------------------------------------------------------


MARKED = (b"done", b"exabgp 5.0.15", b"done")
"""Answer to the mark of a question (`exabgp.conversation`), its comment included."""


def check_show(script: bytes) -> None:
    """Require that a process started in the place of another understands ExaBGP's answers, or
    reports that it did not; after any answer it writes good commands and ends up with good
    tables."""
    engine.check(b"@mute\n" + script)


def show_seeds() -> Iterable[bytes]:
    """Captured answers, and what 5.0 answers for the routers and hosts of the site."""
    for dialect, name in CAPTURES:
        if name.startswith("show"):
            yield b"\n".join([*MARKED, *capture(dialect, name)[:40]])
    for number in range(len(site.CONFIGS)):
        yield b"\n".join(
            [
                b"@truth " + site.TRUTHS[number],
                b"@rtr " + site.RTRS[0],
                *MARKED,
                _shown(*((router, 65200) for router in site.ROUTERS), *engine.HOSTS),
                b"done",
                *MARKED,
                b"127.10.2.1 ipv4 unicast 192.0.2.1/32 next-hop 127.10.1.1",
                b"127.10.2.2 ipv4 unicast 192.0.2.1/32 path-information 127.10.1.1 next-hop ::",
                b"2001:db8:f::2 ipv6 unicast 2001:db8::/64 path-information 0.0.0.7 next-hop ::1",
                b"done",
                b"@unmute",
                site.update("127.10.1.1", 65005, ["192.0.2.1/32"]),
                site.end_of_rib("127.10.1.1", 65005, "ipv4 unicast"),
                site.refresh("127.10.1.1", 65005, "begin"),
                site.refresh("127.10.1.1", 65005, "end"),
            ]
        )


def _shown(*neighbors: tuple[str, int]) -> bytes:
    return site.shown([(address, asn, "ESTABLISHED") for address, asn in neighbors])


SHOW_LINES = [
    *(line for seed in show_seeds() for line in seed.split(b"\n")),
    site.shown([("127.10.2.1", 65200, "IDLE"), ("127.10.1.1", 65005, "ESTABLISHED")]),
    b"neighbor 127.10.2.1 ipv6 unicast 2001:db8::1/128 next-hop ::",
    b"@wait 11",
    b"@wait 130",
    b"error",
    *engine.POOL[:60],
]
