"""Origin validation from the words of RFC 6811 and the manual: brute force over lists.

Shares nothing with `rsfilter.rpki.vrps` and `rsfilter.routing.policy` but the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from rsfilter.routing.model import OriginState, Prefix, Vrp
from rsfilter.routing.validation import Mode


def _covers(vrp: Vrp, network: IPv4Network | IPv6Network) -> bool:
    whole = ip_network(str(vrp.prefix))
    return whole.version == network.version and network.subnet_of(whole)  # type: ignore[arg-type]


def rfc6811(vrps: Iterable[Vrp], prefix: Prefix, asn: int) -> OriginState:
    """Section 2: a VRP covers, it matches when length and AS fit too, and AS0 never matches."""
    network = ip_network(str(prefix))
    covering = [vrp for vrp in vrps if _covers(vrp, network)]
    if not covering:
        return OriginState.NOT_FOUND
    for vrp in covering:
        if vrp.asn == asn and asn != 0 and network.prefixlen <= vrp.max_length:
            return OriginState.VALID
    return OriginState.INVALID


def origin(
    truth: Sequence[Vrp] | None, rtr: Sequence[Vrp] | None, mode: Mode, prefix: Prefix, asn: int
) -> OriginState | None:
    """Return the verdict of both sources; None if there is none. None as a source has no data."""
    if truth is None:
        return None
    of_truth = rfc6811(truth, prefix, asn)
    of_rtr = None if rtr is None else rfc6811(rtr, prefix, asn)
    if mode is Mode.AUTHORITATIVE:
        return of_rtr if of_truth is OriginState.NOT_FOUND else of_truth
    if mode is Mode.UNION:
        if rtr is None:
            return of_truth if of_truth is OriginState.VALID else None
        return rfc6811([*truth, *rtr], prefix, asn)
    if OriginState.INVALID in (of_truth, of_rtr):
        return OriginState.INVALID
    if of_rtr is None:
        return None
    both_valid = of_truth is of_rtr is OriginState.VALID
    return OriginState.VALID if both_valid else OriginState.NOT_FOUND


def invalid_reason(
    truth: Sequence[Vrp], rtr: Sequence[Vrp] | None, mode: Mode, prefix: Prefix, asn: int
) -> str:
    """True if one of the VRPs that make a route Invalid is of its own AS."""
    saying = [
        vrps
        for vrps in (truth, rtr)
        if vrps is not None and rfc6811(vrps, prefix, asn) is OriginState.INVALID
    ]
    if mode is not Mode.UNION:
        saying = saying[:1]  # truth, where it decides
    network = ip_network(str(prefix))
    own = any(
        vrp.asn == asn and asn != 0 and _covers(vrp, network) for vrps in saying for vrp in vrps
    )
    return "origin_invalid_length" if own else "origin_invalid_asn"
