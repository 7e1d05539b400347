"""Validate the origin of a prefix against the data in force (RFC 6811). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rsfilter.routing.bindings import NO_BINDINGS, Bindings, OriginTable
from rsfilter.routing.effects import NO_PROVENANCE, Provenance
from rsfilter.routing.model import Address, OriginState, Prefix, Validation


class Mode(Enum):
    """How truth and RTR decide together: `[truth] mode`."""

    AUTHORITATIVE = "authoritative"
    """Where truth covers the prefix truth alone decides, elsewhere RTR does."""
    UNION = "union"
    """One set of both."""
    BOTH = "both"
    """Valid only where both say Valid."""


class Source(Enum):
    """Whether a source of data can be asked."""

    UNUSED = "unused"
    """Not configured."""
    READY = "ready"
    UNAVAILABLE = "unavailable"
    """Configured, and there are no data, or they have expired and must not be used."""


@dataclass(frozen=True, slots=True)
class Data:
    """The validation data in force: an immutable snapshot."""

    truth: OriginTable | None = None
    rtr: OriginTable | None = None
    truth_source: Source = Source.UNUSED
    rtr_source: Source = Source.UNUSED
    mode: Mode = Mode.AUTHORITATIVE
    bindings: Bindings = NO_BINDINGS
    """Truth's hosts."""
    provenance: Provenance = NO_PROVENANCE


# Python 3.11 takes longer to find a member in its class than for all the rest of a short function.
_UNUSED, _UNAVAILABLE, _AUTHORITATIVE = Source.UNUSED, Source.UNAVAILABLE, Mode.AUTHORITATIVE


_VALID, _NOT_FOUND = OriginState.VALID, OriginState.NOT_FOUND


_INVALID = OriginState.INVALID


class DataUnavailableError(Exception):
    """The source that would decide cannot be asked."""


def origin(prefix: Prefix, asn: int, data: Data, neighbor: Address | None = None) -> Validation:
    """The origin validation state of a well-formed prefix under the mode in force.

    `neighbor`: the session's address. It tells apart hosts that share an ASN: each one's own
    prefixes decide. Without it the ASN alone is asked about. Raises DataUnavailableError when the
    source that decides has no data.
    """
    truth = data.truth
    if data.truth_source is _UNAVAILABLE:
        raise DataUnavailableError  # nobody knows which space truth would have claimed
    if truth is None:
        return _ask_rtr(prefix, asn, data)
    if data.rtr_source is _UNUSED or (data.mode is _AUTHORITATIVE and truth.covers(prefix)):
        return _ask_truth(truth, prefix, asn, data, neighbor)
    if data.mode is _AUTHORITATIVE:
        return _ask_rtr(prefix, asn, data)
    precedence = _PRECEDENCE[data.mode]
    by_truth = _ask_truth(truth, prefix, asn, data, neighbor)
    if by_truth.state is precedence[0] or by_truth.owners:
        return by_truth  # whatever RTR would say, which knows ASNs alone
    by_rtr = _ask_rtr(prefix, asn, data)
    state = min(by_truth.state, by_rtr.state, key=precedence.index)
    deciding = (vrp for v in (by_truth, by_rtr) if v.state is state for vrp in v.vrps)
    return Validation(state, tuple(dict.fromkeys(deciding)))


_PRECEDENCE = {
    Mode.UNION: (OriginState.VALID, OriginState.INVALID, OriginState.NOT_FOUND),
    Mode.BOTH: (OriginState.INVALID, OriginState.NOT_FOUND, OriginState.VALID),
}
"""Where truth and RTR disagree the earlier state holds. In a union of both sets one match is
enough and one VRP that covers the prefix is known; Valid in both leaves no room for another."""


def _ask_truth(
    truth: OriginTable, prefix: Prefix, asn: int, data: Data, neighbor: Address | None
) -> Validation:
    """Ask the host's own prefixes where it shares its ASN; else, and where nobody owns the prefix,
    the ASN's."""
    own = None
    if neighbor is not None and data.bindings.own:
        own = data.bindings.table(asn, neighbor)
    if own is None or not truth.covers(prefix):
        return truth.validate(prefix, asn)
    by_own = own.validate(prefix, asn)
    if by_own.state is not _NOT_FOUND:
        return by_own
    of_asn = truth.validate(prefix, asn)
    return Validation(_INVALID, of_asn.vrps, data.bindings.named(of_asn.vrps, asn))


def _ask_rtr(prefix: Prefix, asn: int, data: Data) -> Validation:
    if data.rtr is None or data.rtr_source is not Source.READY:
        raise DataUnavailableError
    return data.rtr.validate(prefix, asn)
