"""Validate the origin of a prefix against the data in force (RFC 6811). Pure."""

from __future__ import annotations

from collections.abc import Callable
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
    return validator(asn, data, neighbor)(prefix)


Validator = Callable[[Prefix], Validation]


def validator(asn: int, data: Data, neighbor: Address | None = None) -> Validator:
    """Return `origin` for the prefixes of one session: what they share is decided once."""
    truth = data.truth
    by_rtr = _rtr_validator(asn, data)
    if data.truth_source is _UNAVAILABLE:
        return _refuse  # the space that truth would have covered is unknown
    if truth is None:
        return by_rtr
    by_truth = _truth_validator(truth, asn, data, neighbor)
    if data.rtr_source is _UNUSED:
        return by_truth
    if data.mode is _AUTHORITATIVE:
        return lambda prefix: by_truth(prefix) if truth.covers(prefix) else by_rtr(prefix)
    precedence = _PRECEDENCE[data.mode]
    return lambda prefix: _combine(prefix, by_truth, by_rtr, precedence)


_PRECEDENCE = {
    Mode.UNION: (OriginState.VALID, OriginState.INVALID, OriginState.NOT_FOUND),
    Mode.BOTH: (OriginState.INVALID, OriginState.NOT_FOUND, OriginState.VALID),
}
"""Precedence of states: if truth and RTR disagree, the earlier one holds. In a union of both
sets one match is enough and one covering VRP is known; if both must be Valid, there is no other
result."""


def _combine(
    prefix: Prefix, by_truth: Validator, by_rtr: Validator, precedence: tuple[OriginState, ...]
) -> Validation:
    truths = by_truth(prefix)
    if truths.state is precedence[0] or truths.owners:
        return truths  # regardless of RTR, which knows ASNs only
    both = truths, by_rtr(prefix)
    state = min((v.state for v in both), key=precedence.index)
    deciding = (vrp for v in both if v.state is state for vrp in v.vrps)
    return Validation(state, tuple(dict.fromkeys(deciding)))


def _truth_validator(
    truth: OriginTable, asn: int, data: Data, neighbor: Address | None
) -> Validator:
    """Return the validation by the host's own prefixes if it shares its ASN; else, or if no host
    owns the prefix, by the ASN's."""
    bindings = data.bindings
    own = bindings.table(asn, neighbor) if neighbor is not None and bindings.own else None
    by_asn = truth.validator(asn)
    if own is None:
        return by_asn
    by_own = own.validator(asn)

    def validate(prefix: Prefix) -> Validation:
        if not truth.covers(prefix):
            return by_asn(prefix)
        found = by_own(prefix)
        if found.state is not _NOT_FOUND:
            return found
        of_asn = by_asn(prefix)
        return Validation(_INVALID, of_asn.vrps, bindings.named(of_asn.vrps, asn))

    return validate


def _rtr_validator(asn: int, data: Data) -> Validator:
    if data.rtr is None or data.rtr_source is not Source.READY:
        return _refuse
    return data.rtr.validator(asn)


def _refuse(_prefix: Prefix) -> Validation:
    raise DataUnavailableError
