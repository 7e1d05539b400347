"""Faults of an RTR cache: each takes the place of one good answer."""

from __future__ import annotations

from support.rtr_cache import (
    CACHE_RESET,
    END_OF_DATA,
    ERROR,
    IPV4_PREFIX,
    NO_DATA,
    NOTIFY,
    RESET_QUERY,
    Answer,
    Fault,
    RtrCache,
    error,
    pdu,
    record,
)

from rsfilter.routing.model import Prefix, Vrp

FORGED = Vrp(Prefix.parse("10.66.0.0/16"), 32, 65066)
"""VRP of answers that must not count; no good answer has it."""


def sends(*parts: bytes, closes: bool = False) -> Fault:
    """Send these PDUs instead of an answer."""
    return lambda _: Answer(b"".join(parts), closes)


def begins(*parts: bytes, closes: bool = False) -> Fault:
    """Begin to send everything, then send these PDUs."""
    return lambda cache: Answer(cache.response() + cache.records()[:400] + b"".join(parts), closes)


def goes_on(*parts: bytes) -> Fault:
    """Begin to send everything, send these PDUs, and end as if nothing had come before."""
    return lambda cache: Answer(
        cache.response()
        + cache.records()[:400]
        + b"".join(parts)
        + cache.response()
        + cache.end_of_data()
    )


def too_deep(cache: RtrCache) -> Answer:
    """IPv6 prefixes over each other, two of each length, which host bits distinguish: librtr aborts
    when they are more than an address has bits."""
    over = [Vrp(Prefix(6, bit, length), 128, 65066) for length in range(128) for bit in (0, 1)]
    return Answer(cache.response() + b"".join(map(record, over)) + cache.end_of_data())


def twice(cache: RtrCache) -> Answer:
    records = cache.records()
    return Answer(cache.response() + records + records + cache.end_of_data())


def unknown_withdrawn(cache: RtrCache) -> Answer:
    return Answer(cache.response() + cache.records() + record(FORGED, 0) + cache.end_of_data())


def flags_2(cache: RtrCache) -> Answer:
    return Answer(cache.response() + cache.records() + record(FORGED, 2) + cache.end_of_data())


def other_session_at_the_end(cache: RtrCache) -> Answer:
    return Answer(cache.response() + cache.records() + cache.end_of_data(77))


def other_session_at_the_start(cache: RtrCache) -> Answer:
    return Answer(cache.response(77) + record(FORGED) + cache.end_of_data(77))


def other_session_in_the_response_only(cache: RtrCache) -> Answer:
    return Answer(cache.response(77) + record(FORGED) + cache.end_of_data())


def cut_within_a_pdu(cache: RtrCache) -> Answer:
    everything = cache.everything()
    return Answer(everything[: len(everything) // 2 | 1], closes=True)  # PDUs are even


def no_response_before_records(cache: RtrCache) -> Answer:
    return Answer(cache.records() + cache.end_of_data(), closes=True)


def header(length: int) -> bytes:
    return bytes([1, IPV4_PREFIX, 0, 0]) + length.to_bytes(4, "big")


FAULTS: dict[str, Fault] = {
    "closes at once": sends(closes=True),
    "cut half way": begins(closes=True),
    "cut within a PDU": cut_within_a_pdu,
    "Cache Reset": sends(pdu(CACHE_RESET)),
    "no data available": sends(error(NO_DATA)),
    "huge length": begins(header(0xFFFFFFFF)),
    "length 4": begins(header(4)),
    "length 3249": begins(header(3249)),
    "unknown PDU type 11": begins(pdu(11, 0, bytes(4))),
    "unknown PDU type 99": begins(pdu(99, 0, bytes(4))),
    "Error Report 1": sends(error(1), closes=True),
    "Error Report 77": begins(error(77), closes=True),
    "malformed Error Report": begins(pdu(ERROR, 0, b"\xff" * 8), closes=True),
    "End of Data of another session": other_session_at_the_end,
    "flags 2": flags_2,
    "announced twice": twice,
    "withdrawn, never announced": unknown_withdrawn,
    "version 2": sends(pdu(3, 1, version=2), closes=True),
    "version 2 in the middle": begins(pdu(3, 1, version=2), closes=True),
    "version 2 in the middle, and on": goes_on(pdu(3, 1, version=2)),
    "Cache Response in the middle": goes_on(),
    "Cache Reset in the middle": goes_on(pdu(CACHE_RESET)),
    "Reset Query in the middle": goes_on(pdu(RESET_QUERY)),
    "IPv6 too deep": too_deep,
    "router keys without end": begins(pdu(9, 256, bytes(24 + 91)) * 20_000),
    "Serial Notify of version 0 first": sends(pdu(NOTIFY, 1, bytes(4), version=0), closes=True),
    "records without a Cache Response": no_response_before_records,
    "End of Data without a Cache Response": sends(pdu(END_OF_DATA, 1, bytes(16)), closes=True),
}

UPDATE_FAULTS: dict[str, Fault] = {
    # Anything else is a good answer to a query for everything.
    "Cache Response of another session": other_session_at_the_start,
    "Cache Response of another session than End of Data": other_session_in_the_response_only,
}
