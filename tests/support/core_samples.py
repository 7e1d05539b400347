"""Routes, groups and data for tests of the core, in the words of its configuration and truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rsfilter.routing.bindings import Bindings
from rsfilter.routing.events import SessionDown, SessionUp, Update
from rsfilter.routing.groups import HostGroup, RouterGroup, TruthHost
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    Prefix,
    Route,
    RouteKey,
    Segment,
    SegmentType,
    Vrp,
)
from rsfilter.routing.validation import Data, Mode, Source
from rsfilter.rpki.vrps import VrpSet

OWN_ASN = 65100

_BRACKETS = {
    "{": SegmentType.SET,
    "(": SegmentType.CONFED_SEQUENCE,
    "[": SegmentType.CONFED_SET,
    "?": SegmentType.UNKNOWN,
}


def address(text: str) -> Address:
    return Address.parse(text)


def addresses(text: str) -> tuple[Address, ...]:
    return tuple(map(Address.parse, text.split()))


def prefix(text: str) -> Prefix:
    return Prefix.parse(text)


def prefixes(text: str) -> tuple[Prefix, ...]:
    return tuple(map(Prefix.parse, text.split()))


def path(text: str) -> AsPath:
    """Segments with `|` between them: sequence `1 2`, `{set}`, `(confed sequence)`,
    `[confed set]`, `?unknown`. No text at all: no segment."""
    return AsPath(tuple(map(_segment, text.split("|")))) if text else AsPath(())


def _segment(text: str) -> Segment:
    kind = _BRACKETS.get(text[:1], SegmentType.SEQUENCE)
    return Segment(kind, tuple(int(word) for word in text.strip("{}()[]?").split()))


def vrp(text: str) -> Vrp:
    """`prefix-maxlength ASn`, or `prefix ASn`."""
    where, asn = text.split()
    where, _, max_length = where.partition("-")
    return Vrp(prefix(where), int(max_length or where.partition("/")[2]), int(asn[2:]))


def vrps(*texts: str) -> VrpSet:
    return VrpSet.of(map(vrp, texts))


def bindings(*bound: tuple[str, int, str], own: Mapping[str, Iterable[str]] = {}) -> Bindings:
    """Each is (name, ASN, addresses); `own`: VRPs of a host, by its name."""
    return Bindings.of(
        (
            TruthHost(name, asn, frozenset(addresses(at)), tuple(map(vrp, own.get(name, ()))))
            for name, asn, at in bound
        ),
        VrpSet.of,
    )


def data(
    truth: Iterable[str] | None = None,
    rtr: Iterable[str] | None = None,
    mode: Mode = Mode.AUTHORITATIVE,
    *bound: tuple[str, int, str],
    own: Mapping[str, Iterable[str]] = {},
) -> Data:
    """Validation data; a source that is None is not configured. `bound`, `own`: see `bindings`."""
    return Data(
        truth=None if truth is None else vrps(*truth),
        rtr=None if rtr is None else vrps(*rtr),
        truth_source=Source.UNUSED if truth is None else Source.READY,
        rtr_source=Source.UNUSED if rtr is None else Source.READY,
        mode=mode,
        bindings=bindings(*bound, own=own),
    )


def route(
    where: str = "203.0.113.1/32",
    *,
    asn: int = 65007,
    as_path: str | None = None,
    neighbor: str = "198.51.100.7",
    next_hops: str | None = None,
    path_id: int = 0,
    attributes: Attributes | None = None,
    malformed: str = "",
) -> Route:
    """A route as its host would send it, but for what is given."""
    if attributes is None:
        walked = path(str(asn) if as_path is None else as_path)
        attributes = Attributes(as_path=walked, malformed=malformed)
    return Route.of(
        RouteKey(address(neighbor), prefix(where), path_id),
        asn,
        attributes,
        addresses(neighbor if next_hops is None else next_hops),
    )


def host_group(
    networks: str = "198.51.100.0/24 2001:db8:c633::/48", **options: object
) -> HostGroup:
    return HostGroup("hypervisors", prefixes(networks), **options)  # type: ignore[arg-type]


def router_group(
    name: str = "leaves", neighbors: str = "192.0.2.10 192.0.2.11", **options: object
) -> RouterGroup:
    return RouterGroup(name, addresses(neighbors), **{"asn": 65200, **options})  # type: ignore[arg-type]


# Events ------------------------------------------------------------------------------------------


def update(*routes: Route, withdrawn: str = "") -> Update:
    """One UPDATE with these routes: of one neighbor, with the same attributes. `withdrawn` are
    prefixes without a path id."""
    first = routes[0]
    neighbor = first.key.neighbor
    assert {(r.key.neighbor, r.asn, r.attributes) for r in routes} == {
        (neighbor, first.asn, first.attributes)
    }
    return Update(
        neighbor=neighbor,
        asn=first.asn,
        announced=routes,
        withdrawn=tuple(RouteKey(neighbor, p, 0) for p in prefixes(withdrawn)),
    )


def withdraw(*keys: RouteKey, asn: int = 65007) -> Update:
    """One UPDATE that only withdraws, from the keys' neighbor."""
    return Update(keys[0].neighbor, asn, (), keys)


def up(neighbor: str = "198.51.100.7", asn: int = 65007) -> SessionUp:
    return SessionUp(address(neighbor), asn)


def down(neighbor: str = "198.51.100.7", asn: int = 65007, reason: str = "lost") -> SessionDown:
    return SessionDown(address(neighbor), asn, reason, administrative=False)
