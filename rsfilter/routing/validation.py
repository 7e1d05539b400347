"""Validate the origin of a prefix against the data in force (RFC 6811). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rsfilter.routing.bindings import NO_BINDINGS, Bindings, OriginTable
from rsfilter.routing.effects import NO_PROVENANCE, Provenance
from rsfilter.routing.model import Address, OriginState, Prefix, Validation


class Mode(Enum):
    """Combination of truth and RTR: `[truth] mode`."""

    AUTHORITATIVE = "authoritative"
    """Truth alone decides for prefixes it covers, RTR for others."""
    UNION = "union"
    """One set of both."""
    BOTH = "both"
    """Valid only if both sources validate as Valid."""


class Source(Enum):
    """Availability of a source of data."""

    UNUSED = "unused"
    """The source is not configured."""
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
    """Raised if the deciding source has no data."""


def origin(prefix: Prefix, asn: int, data: Data, neighbor: Address | None = None) -> Validation:
    """Validate the origin of a well-formed prefix under the active mode.

    `neighbor`: the session's address. It distinguishes hosts that share an ASN: each one's own
    prefixes decide. Without it only the ASN is validated. Raises DataUnavailableError if the
    deciding source has no data.
    """
    truth = data.truth
    if data.truth_source is _UNAVAILABLE:
        raise DataUnavailableError  # the space that truth would have covered is unknown
    if truth is None:
        return _ask_rtr(prefix, asn, data)
    if data.rtr_source is _UNUSED or (data.mode is _AUTHORITATIVE and truth.covers(prefix)):
        return _ask_truth(truth, prefix, asn, data, neighbor)
    if data.mode is _AUTHORITATIVE:
        return _ask_rtr(prefix, asn, data)
    precedence = _PRECEDENCE[data.mode]
    by_truth = _ask_truth(truth, prefix, asn, data, neighbor)
    if by_truth.state is precedence[0] or by_truth.owners:
        return by_truth  # regardless of RTR, which knows ASNs only
    by_rtr = _ask_rtr(prefix, asn, data)
    state = min(by_truth.state, by_rtr.state, key=precedence.index)
    deciding = (vrp for v in (by_truth, by_rtr) if v.state is state for vrp in v.vrps)
    return Validation(state, tuple(dict.fromkeys(deciding)))


_PRECEDENCE = {
    Mode.UNION: (OriginState.VALID, OriginState.INVALID, OriginState.NOT_FOUND),
    Mode.BOTH: (OriginState.INVALID, OriginState.NOT_FOUND, OriginState.VALID),
}
"""Precedence of states: if truth and RTR disagree, the earlier one holds. In a union of both
sets one match is enough and one covering VRP is known; if both must be Valid, there is no other
result."""


def _ask_truth(
    truth: OriginTable, prefix: Prefix, asn: int, data: Data, neighbor: Address | None
) -> Validation:
    """Validate with the host's own prefixes if it shares its ASN; else, or if no host owns the
    prefix, with the ASN's."""
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
