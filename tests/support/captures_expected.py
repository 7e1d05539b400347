"""Content of every file in fixtures/exabgp/{4.2,5.0}, written by hand from what the peers sent.

One entry a file, one message a line. The facts are written once; `new` is true for 5.0 and picks
where ExaBGP 4.2.25 and 5.0.15 differ (in order, words or outcome).
"""

from __future__ import annotations

from msgspec import Raw

from rsfilter.exabgp.messages import (
    Ignored,
    Message,
    Opened,
    RefreshRequest,
    Reply,
    SentEndOfRib,
    SentUpdate,
    ShowLine,
    Shutdown,
    Skipped,
)
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    Prefix,
    Route,
    RouteKey,
    Segment,
    SegmentType,
)

V4, V6 = "ipv4 unicast", "ipv6 unicast"
SEQUENCE, SET = SegmentType.SEQUENCE, SegmentType.SET
CONFED_SEQUENCE, CONFED_SET = SegmentType.CONFED_SEQUENCE, SegmentType.CONFED_SET

ASN = {
    "127.10.1.1": 65005,
    "127.10.1.2": 65006,
    "127.10.1.3": 65007,
    "127.10.1.4": 65008,
    "127.10.1.5": 65100,
    "127.10.1.6": 4200000001,
    "127.10.1.7": 65009,
    "127.10.1.8": 65010,
    "127.10.1.9": 65011,
    "127.10.1.10": 65012,
    "127.10.2.1": 65200,
    "2001:db8:f::1": 65005,
}
"""The session's AS of each peer; the peers of the second laboratory are added by `expected`."""

CONNECTED, KEEPALIVE, FSM = Ignored("connected"), Ignored("keepalive"), Ignored("fsm")
NEGOTIATED = Ignored("negotiated")
SIGNAL, PACKETS = Ignored("signal"), Ignored("packets")
DONE, ERROR = Reply(ok=True), Reply(ok=False)

HV_A, HV_B, HV_AP, HV_2 = "127.10.1.1", "127.10.1.2", "127.10.1.3", "127.10.1.4"
HV_I, HV_G, HV_N, HV_C = "127.10.1.5", "127.10.1.6", "127.10.1.7", "127.10.1.8"
HV_P, HV_M, RTR = "127.10.1.9", "127.10.1.10", "127.10.2.1"


OFFERED = frozenset({"asn4", "graceful-restart", "route-refresh"})
"""Capabilities of every host in the captures."""


def up(peer: str) -> SessionUp:
    return SessionUp(Address.parse(peer), ASN[peer])


def down(peer: str, reason: str, administrative: bool = False) -> SessionDown:
    return SessionDown(Address.parse(peer), ASN[peer], reason, administrative)


def eor(peer: str, family: str = V4) -> EndOfRib:
    return EndOfRib(Address.parse(peer), ASN[peer], family)


def path(*segments: tuple[SegmentType, list[int]]) -> AsPath:
    return AsPath(tuple(Segment(kind, tuple(asns)) for kind, asns in segments))


def announce(
    peer: str,
    *prefixes: str,
    hop: str | tuple[str, ...] = "",
    path_id: int = 0,
    as_path: AsPath | None = None,
    withdraws: tuple[str, ...] = (),
    **attributes: object,
) -> Update:
    """An UPDATE; next hop and path are the peer's own unless they are given."""
    hops = (hop or peer,) if isinstance(hop, str) else hop
    next_hops = tuple(Address.parse(text) for text in hops)
    known = AsPath.sequence(ASN[peer]) if as_path is None else as_path
    carried = Attributes(as_path=known, **attributes)  # type: ignore[arg-type]
    return Update(
        neighbor=Address.parse(peer),
        asn=ASN[peer],
        announced=tuple(
            Route.of(key, ASN[peer], carried, next_hops) for key in keys(peer, path_id, *prefixes)
        ),
        withdrawn=keys(peer, 0, *withdraws),
    )


def keys(peer: str, path_id: int, *prefixes: str) -> tuple[RouteKey, ...]:
    return tuple(RouteKey(Address.parse(peer), Prefix.parse(text), path_id) for text in prefixes)


def withdraw(peer: str, *prefixes: str, path_id: int = 0) -> Update:
    return Update(Address.parse(peer), ASN[peer], (), keys(peer, path_id, *prefixes))


def treated_as_withdraw(peer: str, prefix: str, as_path: AsPath | None = None) -> Update:
    return announce(peer, prefix, hop=(), as_path=as_path, malformed="treat-as-withdraw")


def flow(text: str) -> list[Message]:
    """Session events of 127.10.1.N: a letter for what, N for who.

    c connected, u up, e End-of-RIB IPv4, f End-of-RIB IPv6, k keepalive, o open, n negotiated,
    p raw copy.
    """
    ignored = {"c": CONNECTED, "k": KEEPALIVE, "n": NEGOTIATED, "p": PACKETS}
    messages: list[Message] = []
    for what, who in ((token[0], "127.10.1." + token[1:]) for token in text.split()):
        if what in ignored:
            messages.append(ignored[what])
        elif what == "o":  # IPv4 and IPv6 unicast, route refresh, and no ADD-PATH
            families, address = frozenset({4, 6}), Address.parse(who)
            messages.append(Opened(address, families, frozenset(), True, capabilities=OFFERED))
        else:
            messages.append(up(who) if what == "u" else eor(who, V4 if what == "e" else V6))
    return messages


def pair(prefix: str, peer: str = HV_B, **attributes: object) -> list[Message]:
    """A route that is announced and, a second later, withdrawn."""
    return [announce(peer, prefix, **attributes), withdraw(peer, prefix)]  # type: ignore[arg-type]


def expected(dialect: str) -> dict[str, list[Message]]:
    """Messages in the lines of each file, by its name without the ending."""
    new = dialect == "5.0"
    return {
        **_sessions(new),
        **_routes_of_bird(new),
        **_routes_of_exabgp(new),
        **_two_octet_peers(),
        **_malformed(new),
        **_receive_options(new),
        **_live(new),
    }


def _closed(new: bool, detail: str = "the TCP connection was closed by the remote end") -> str:
    return (
        "closing connection" if new else f"peer reset, message (closing connection) error({detail})"
    )


def _sessions(new: bool) -> dict[str, list[Message]]:
    closed = _closed(new)
    refused = _closed(new, "Broken TCP connection")
    shut = "notification received (6,2)"
    if not new:
        shut = f"peer reset, message ({shut}) error(Cease / Administrative Shutdown)"
    undecodable = (
        "peer reset, message (notification sent (1,0)) error(Message header error / Unspecific / "
        'can not decode update message of type "3")'
    )
    held = "notification sent (4,0)"
    torn = "notification sent (6,2)"
    if not new:
        held = f"peer reset, message ({held}) error(Hold timer expired / Unspecific)"
        # A raw 0x17, the length of the shutdown communication, stands before the last part.
        torn = (
            f"peer reset, message ({torn}) error(Cease / Administrative Shutdown / "
            " Administrative Shutdown)"
        )
    return {
        "router-unreachable-connected-down-loop": [CONNECTED, down(RTR, refused)]
        * (2 if new else 3),
        "router-up": [CONNECTED, up(RTR)],
        "route-refresh-from-router": [
            RefreshRequest(Address.parse(RTR), V4),
            RefreshRequest(Address.parse(RTR), V6),
        ],
        "route-refresh-from-hypervisor": [RefreshRequest(Address.parse(HV_N), V4)],
        "session-up-eor-bird": flow("c1 u1 e1 f1"),
        "up-again": [
            *flow("c1 u1"),
            announce(HV_A, "192.0.2.58/32", origin="egp", med=60),
            *flow("e1 f1"),
        ],
        # 4.2 cannot read a NOTIFICATION with text and answers 1/0: its purpose is lost.
        "down-by-bird-admin-disable": [
            down(HV_A, shut, administrative=True) if new else down(HV_A, undecodable)
        ],
        "down-peer-killed": [down(HV_A, closed)],
        "down-peer-exabgp42-sigkill": [down(HV_B, closed)],
        "down-by-hold-timer": [down(HV_G, held)],
        "down-by-api-teardown": [down(HV_C, torn), *flow("c8 u8 e8 f8")],
        "down-by-peer-exabgp-shutdown": [
            down("127.10.1." + who, closed)
            for who in ("8 4 7 2 9 10" if new else "4 8 7 10 9 2").split()
        ],
        "session-up-exabgp-senders": flow(
            "c4 c10 c2 c8 c7 c9 u4 o7 n7 e4 k7 f4 u9 p9 e9 u10 e10 u8 e8 u7 e7 u2 e2"
            " p9 f9 f10 f8 f7 f2"
            if new
            else "c9 c2 c8 c10 c7 c4 o7 n7 k7 u9 u2 u8 u10 u7 u4 p9 e9 e2 e8 e10 p9 f9 f2 f8 f10"
            " e7 e4 f4 f7"
        ),
        "session-up-exabgp42-sender": flow("c2 u2 e2 f2"),
        "ibgp-empty-path-localpref": [
            *([down(HV_AP, shut, administrative=True)] if new else []),
            *flow("c5 u5"),
            announce(HV_I, "192.0.2.70/32", hop="127.10.1.31", as_path=path()),
            *flow("e5"),
            down(HV_I, shut, administrative=True),
            *flow("c5 u5 e5 f5"),
        ],
        "add-path-bird-two-paths": [
            *flow("c3 u3"),
            announce(HV_AP, "192.0.2.60/32", hop="127.10.1.31", path_id=2),
            announce(HV_AP, "192.0.2.60/32", hop="127.10.1.32", path_id=3),
            *flow("e3"),
        ],
        "add-path-withdraw-one": [
            withdraw(HV_AP, "192.0.2.60/32", path_id=2),
            *([] if new else [down(HV_AP, shut, administrative=True)]),
        ],
        "ibgp-originator-cluster": [
            announce(HV_I, "192.0.2.71/32", as_path=AsPath.sequence(65005)),
            down(HV_I, closed),
        ],
    }


def _routes_of_bird(new: bool) -> dict[str, list[Message]]:
    hosts = [f"192.0.2.{n}/32" for n in range(11, 40)]
    v6_hop = "2001:db8::1:1"
    long_path = [65005] + [65099] * 399
    two_segments = path((SEQUENCE, long_path[:145]), (SEQUENCE, long_path[145:]))
    return {
        "single-asn-32": [announce(HV_A, "192.0.2.10/32")],
        "ipv6-128-global-only": [announce(HV_A, "2001:db8:1::10/128", hop=v6_hop)],
        "many-nlri-one-update": [announce(HV_A, *hosts), withdraw(HV_A, "2001:db8:1::10/128")],
        "withdraw-29-nlri": [withdraw(HV_A, *hosts)],
        "default-route-and-24": [
            withdraw(HV_A, "192.0.2.10/32"),
            announce(HV_A, "0.0.0.0/0", "198.51.100.0/24"),
            announce(HV_A, "::/0", hop=v6_hop),
        ],
        "prepend-own-asn-twice": [
            withdraw(HV_A, "0.0.0.0/0", "198.51.100.0/24"),
            announce(HV_A, "192.0.2.50/32", as_path=AsPath.sequence(65005, 65005)),
            withdraw(HV_A, "::/0"),
        ],
        "two-asn-path": [
            withdraw(HV_A, "192.0.2.50/32"),
            announce(HV_A, "192.0.2.51/32", as_path=AsPath.sequence(65005, 65099)),
        ],
        "very-long-path-250": [
            withdraw(HV_A, "192.0.2.51/32"),
            announce(HV_A, "192.0.2.52/32", as_path=AsPath.sequence(*long_path[:250])),
        ],
        "very-long-path-400-two-segments": [
            withdraw(HV_A, "192.0.2.52/32"),
            announce(
                HV_A,
                "192.0.2.53/32",
                as_path=two_segments if new else AsPath.sequence(*long_path),
            ),
        ],
        "communities-standard": [
            withdraw(HV_A, "192.0.2.53/32"),
            announce(HV_A, "192.0.2.54/32", communities=((65005, 1), (65005, 2))),
        ],
        "communities-wellknown": [
            withdraw(HV_A, "192.0.2.54/32"),
            announce(
                HV_A,
                "192.0.2.55/32",
                communities=tuple(
                    (65535, low) for low in (0, 6, 7, 666, 0xFF01, 0xFF02, 0xFF03, 0xFF04)
                ),
            ),
        ],
        "communities-large": [
            withdraw(HV_A, "192.0.2.55/32"),
            announce(HV_A, "192.0.2.56/32", large_communities=((65005, 3, 4), (4200000000, 1, 2))),
        ],
        "communities-extended": [
            withdraw(HV_A, "192.0.2.56/32"),
            announce(
                HV_A,
                "192.0.2.57/32",
                extended_communities=(
                    0x0002_FDED_00000064,  # rt 65005:100
                    0x0003_FDED_000000C8,  # ro 65005:200
                    0x0202_FA56EA00_0007,  # rt 4200000000:7
                ),
            ),
        ],
        "med-origin-incomplete": [
            withdraw(HV_A, "192.0.2.57/32"),
            announce(HV_A, "192.0.2.58/32", origin="incomplete", med=50),
        ],
        "med-changed-implicit-update": [announce(HV_A, "192.0.2.58/32", origin="egp", med=60)],
    }


def _routes_of_exabgp(new: bool) -> dict[str, list[Message]]:
    own = (SEQUENCE, [65006])
    return {
        "as-set-in-path": pair("203.0.113.101/32", as_path=path(own, (SET, [65001, 65002]))),
        "as-set-only-single-own": pair("203.0.113.102/32", as_path=path((SET, [65006]))),
        # 5.0 calls confederation segments "as-sequence": they cannot be distinguished there.
        "as-confed-sequence-single-own": pair(
            "203.0.113.103/32", as_path=path(own if new else (CONFED_SEQUENCE, [65006]))
        ),
        "as-confed-set-single-own": pair(
            "203.0.113.104/32", as_path=path(own if new else (CONFED_SET, [65006]))
        ),
        "as-confed-sequence-then-sequence": pair(
            "203.0.113.105/32",
            as_path=path((SEQUENCE if new else CONFED_SEQUENCE, [65010]), own),
        ),
        # 4.2 joins segments of one type and leaves out empty ones.
        "as-path-two-sequence-segments-own": pair(
            "203.0.113.106/32", as_path=path(own, own) if new else AsPath.sequence(65006, 65006)
        ),
        "as-path-sequence-then-empty-set": pair(
            "203.0.113.107/32", as_path=path(own, (SET, [])) if new else path(own)
        ),
        "as-path-empty-sequence-segment-first": pair(
            "203.0.113.108/32", as_path=path((SEQUENCE, []), own) if new else path(own)
        ),
        "as-path-empty-on-ebgp": pair("203.0.113.109/32", as_path=path()),
        "as-path-as0": pair("203.0.113.110/32", as_path=AsPath.sequence(0)),
        "as-path-as-trans-23456": pair("203.0.113.111/32", as_path=AsPath.sequence(23456)),
        "as-path-32bit-asn": pair("203.0.113.112/32", as_path=AsPath.sequence(4200000001)),
        "as4-peer-sends-as4path-anyway": pair("203.0.113.134/32", as_path=AsPath.sequence(65001)),
        "otc-attr-35": pair("203.0.113.113/32"),
        "unknown-transitive-99": pair("203.0.113.114/32"),
        "unknown-nontransitive-99": pair("203.0.113.115/32"),
        "unknown-transitive-99-zero-length": pair("203.0.113.116/32"),
        "aggregator-atomic": pair("203.0.113.117/32"),
        "aigp-no-capability": pair("203.0.113.118/32"),
        "nexthop-third-party": pair("203.0.113.119/32", hop="127.10.9.9"),
        "nexthop-is-dut-itself": pair(
            "203.0.113.120/32", hop="127.10.0.100" if new else "127.10.0.42"
        ),
        "nexthop-0000": pair("203.0.113.121/32", hop="0.0.0.0"),
        "martian-127": pair("127.0.0.1/32"),
        "ipv6-128-exa": pair("2001:db8:2::1/128", hop="2001:db8::2"),
        "ipv4-mapped-ipv6-prefix": pair("::ffff:192.0.2.1/128", hop="2001:db8::2"),
        "extended-community-unknown-type": pair(
            "203.0.113.125/32", extended_communities=(0x4300DEADBEEF0001,)
        ),
        "community-many-60": pair(
            "203.0.113.126/32", communities=tuple((65006, n) for n in range(60))
        ),
        "duplicate-announce-same": [announce(HV_B, "203.0.113.11/32")],
        "implicit-replace-new-nexthop": pair("203.0.113.11/32", hop="127.10.9.8"),
        "withdraw-of-unknown-prefix": [withdraw(HV_B, "203.0.113.12/32")],
        "announce-then-both-in-one-update-setup": [
            announce(HV_B, "203.0.113.20/32", "203.0.113.21/32")
        ],
        "announce-and-withdraw-in-one-update": [
            announce(HV_B, "203.0.113.22/32", withdraws=("203.0.113.20/32",)),
            announce(HV_B, "2001:db8:5::1/128", hop="2001:db8::2"),
        ],
        "announce-and-withdraw-in-one-update-ipv6": [
            announce(HV_B, "2001:db8:5::2/128", hop="2001:db8::2"),
            announce(HV_B, withdraws=("2001:db8:5::1/128",)),
        ],
    }


def _two_octet_peers() -> dict[str, list[Message]]:
    def of(prefix: str, *asns: int) -> list[Message]:
        return pair(prefix, HV_2, as_path=AsPath.sequence(*asns))

    return {
        "as2-only-peer-plain": of("203.0.113.128/32", 65008),
        "as2-only-peer-as4path": of("203.0.113.129/32", 65008, 4200000001),
        "as2-only-peer-single-4byte-as": of("203.0.113.130/32", 4200000001),
        "as2-only-peer-astrans-no-as4path": of("203.0.113.131/32", 23456),
        "as2-only-peer-as4path-longer-than-aspath": of("203.0.113.132/32", 65008),
        "as2-only-peer-as4path-forges-origin": of("203.0.113.133/32", 65001),
    }


def _malformed(new: bool) -> dict[str, list[Message]]:
    def bad(number: int, as_path: AsPath | None = None) -> list[Message]:
        prefix = f"203.0.113.{number}/32"
        return [treated_as_withdraw(HV_M, prefix, as_path), withdraw(HV_M, prefix)]

    def reset(words: str) -> list[Message]:
        """4.2 resets the session, and again whenever the peer is back; cut after 14 lines."""
        reason = down(HV_M, f"peer reset, message {words}"[:200])
        return [*([reason, CONNECTED, up(HV_M)] * 5)[:13], CONNECTED]

    header = (
        "(notification sent (1,0)) error(Message header error / Unspecific / "
        'can not decode update message of type "2")'
    )
    what = "(notification sent (3,1)) error(UPDATE message error / Malformed Attribute List / could"
    octets = "('0x1', '0x2', '0x3'))"
    return {
        "malformed-known-prefix-community-length-3-setup": [
            announce(HV_M, "203.0.113.135/32"),
            KEEPALIVE,
        ],
        "malformed-known-prefix-community-length-3": (
            bad(135) if new else reset(f"{what} not decode community {octets}")
        ),
        "malformed-as-path-unknown-segment-type-5": bad(136, path()),
        "malformed-as-path-truncated": bad(137, path()),
        "malformed-origin-9": pair(
            "203.0.113.138/32", HV_M, origin="incomplete", malformed="origin invalid"
        ),
        "malformed-med-length-3": bad(139) if new else reset(header),
        "malformed-large-community-length-5": bad(140),
        "malformed-aggregator-length-3": (pair("203.0.113.142/32", HV_M) if new else reset(header)),
        "malformed-ext-community-length-3": (
            bad(143) if new else reset(f"{what} not decode extended community {octets}")
        ),
    }


def _receive_options(new: bool) -> dict[str, list[Message]]:
    announced, withdrawn = pair("203.0.113.144/32", HV_N)
    raw_announced, raw_withdrawn = pair("203.0.113.146/32", HV_P)
    return {
        "with-negotiated-enabled": [announced, *([KEEPALIVE] if new else []), withdrawn],
        "receive-consolidate": pair("203.0.113.145/32", HV_C),
        "receive-packets-and-parsed": [PACKETS, raw_announced, PACKETS, raw_withdrawn],
    }


def _live(new: bool) -> dict[str, list[Message]]:
    """The second laboratory: two hypervisors and a router on a network for each dialect."""
    lab = "127.10.23." if new else "127.10.24."
    first, second, router = lab + "1", lab + "2", lab + "9"
    ASN.update({first: 65005, second: 65006, router: 65200})
    at_first = Address.parse(first)
    stopped = "stop, message [{}]" if new else "stop, message ({})"
    three = ("192.0.2.2/32", "192.0.2.1/32", "192.0.2.3/32")
    own_hops = ("2001:db8:f::1", "fe80::58da:f1ff:fe8b:fe33")
    direct = "2001:db8:f::1"
    of_range = _OneAsn(65005)
    named = SentUpdate(Address.parse(router), Raw())
    wrong_as = "notification sent (2,2)"
    if not new:
        wrong_as = (
            f"peer reset, message ({wrong_as}) error(OPEN message error / Bad Peer AS / "
            "ASN in OPEN (65006) did not match ASN expected (65005))"
        )
    refused = [CONNECTED, of_range.down(second, wrong_as)]
    states = ["ACTIVE", "IDLE", "CONNECT", "OPENSENT", "OPENCONFIRM", "ESTABLISHED"]
    return {
        "ipv6-session-global-and-linklocal-nexthop": [
            CONNECTED,
            up(direct),
            announce(direct, "2001:db8:1::20/128", hop=own_hops),
            eor(direct, V6),
            announce(direct, "203.0.113.77/32", hop=own_hops),
            eor(direct, V4),
        ],
        "session-up-with-fsm-api": [
            CONNECTED,
            *[FSM] * (len(states) if new else len(states) - 1),
            up(first),
            announce(first, *three),
            eor(first),
        ],
        "stdin-with-acks-interleaved": [
            *(DONE, DONE, DONE, ERROR, DONE),
            named,
            announce(first, "192.0.2.7/32"),
        ],
        "send-direction-updates-and-eor-barrier": [
            *(DONE, DONE, DONE),
            *(named, named),
            SentEndOfRib(Address.parse(router), V4),
        ],
        "show-adj-rib-replies": _show(new, first, router),
        "route-refresh-replay-from-hypervisor": [
            DONE,
            RefreshMark(at_first, 65005, V4, is_end=False),
            announce(first, "192.0.2.2/32", "192.0.2.1/32", "192.0.2.7/32", "192.0.2.3/32"),
            RefreshMark(at_first, 65005, V4, is_end=True),
        ],
        "reload-adds-neighbor": [
            SIGNAL,
            *([] if new else [named]),
            *(CONNECTED, up(second)),
            announce(second, "192.0.2.21/32"),
            eor(second),
        ],
        "reload-removes-neighbor": [
            *(SIGNAL, SIGNAL),
            down(first, stopped.format("removed")),
            *((FSM, FSM) if new else (FSM, named, CONNECTED)),
        ],
        "exabgp-sigterm-shutdown": [
            SIGNAL,
            down(router, stopped.format("shutting down")),
            down(second, stopped.format("shutting down")),
            Shutdown(),
        ],
        "range-neighbor-peer-as-auto": [Skipped("no_peer_as")] * 8,
        "range-neighbor-peer-as-65005": (
            [
                *(CONNECTED, *refused, of_range.up(first)),
                *(announce(first, *three), eor(first)),
                *refused,
                *refused,
            ]
            if new
            else [
                *refused,
                *(CONNECTED, of_range.up(first)),
                *(announce(first, *three), eor(first)),
                *refused,
                *refused,
            ]
        ),
        "one-update-3000-nlri-extended-message": [
            *(CONNECTED, up(first)),
            announce(first, *(f"10.7.{n // 100}.{n % 100}/32" for n in range(3000))),
            eor(first),
        ],
    }


class _OneAsn:
    """A range neighbor: ExaBGP gives every member the AS that it was configured with."""

    def __init__(self, asn: int) -> None:
        self.asn = asn

    def up(self, peer: str) -> SessionUp:
        return SessionUp(Address.parse(peer), self.asn)

    def down(self, peer: str, reason: str) -> SessionDown:
        return SessionDown(Address.parse(peer), self.asn, reason, administrative=False)


def _show(new: bool, first: str, router: str) -> list[Message]:
    ours = f"local-ip {first}00 local-as 65100"
    rest = f"router-id {first}00 family-allowed in-open"
    heads = {
        first: f"neighbor {first} {ours} peer-as 65005 {rest}",
        router: f"neighbor {router} {ours} peer-as 65200 {rest}",
    }
    received = [f"192.0.2.{n}/32" for n in (2, 1, 3, 7)]
    named = ["10.1.1.0/32", "10.1.2.1/32"]
    short = "" if new else "neighbor "
    path_text = "( 65005 )" if new else "[ 65005 ]"
    rows = [f"{short}{first} ipv4 unicast {p} next-hop {first}" for p in received]
    long_rows = [
        f"{heads[first]} ipv4 unicast {p} next-hop {first} origin igp as-path {path_text}"
        for p in received
    ]
    summary = [
        "Peer            AS        up/down state       |     #sent     #recvd",
        f"{first}     65005     0:00:06 established           1          3",
        f"{router}     65200     0:00:07 established           5          1",
    ]
    as_json = [
        f'{{"{first}": {{"routes": [{{"prefix": "{p}", "family": "ipv4 unicast"}}]}}}}'
        for p in received
    ]
    help_text = [
        "please specify summary, extensive or configuration",
        "you can filter by peer ip address adding it after the word neighbor",
    ]
    answers = [
        rows,
        long_rows,
        [f"{short}{router} ipv4 unicast {p} next-hop 1.1.1.1" for p in named],
        [f"{heads[router]} ipv4 unicast {p} next-hop 1.1.1.1" for p in named],
        as_json if new else [],
        summary,
        [SHOW_NEIGHBOR_JSON] if new else help_text,
    ]
    return [message for lines in answers for message in [*map(ShowLine, lines), DONE]]


SHOW_NEIGHBOR_JSON = "the answer to show neighbor json"
"""Stands for the one long line in show-adj-rib-replies whose text is not repeated here."""
