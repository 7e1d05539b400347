"""A thin, safe interface to librtr (RFC 8210, RFC 6810): one `Connection` keeps one RTR cache in
sync.

Owns only the boundary: it checks every argument to librtr, because librtr does not, and returns
bytes and numbers. librtr's threads run only C (`librtr_shim.c`); Python polls. The meaning of the
data, the choice of the cache and expiry belong to `caches.py` and `failover.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from rsfilter.routing.model import BITS
from rsfilter.rpki.vrp_tables import Numbers
from rsfilter.rpki.vrps import VrpSet
from rsfilter.rtr._librtr import ffi, lib
from rsfilter.util.addresses import CacheAddress

MAX_REFRESH_S = 86_400
"""RFC 8210 section 6: the longest Refresh Interval that librtr accepts."""

MAX_RETRY_S = 7_200
"""RFC 8210 section 6: the longest Retry Interval."""

STATES = {
    lib.RTR_CONNECTING: "connecting",
    lib.RTR_ESTABLISHED: "established",
    lib.RTR_RESET: "resetting",
    lib.RTR_SYNC: "synchronising",
    lib.RTR_FAST_RECONNECT: "connecting",
    lib.RTR_ERROR_NO_DATA_AVAIL: "no data available",
    lib.RTR_ERROR_NO_INCR_UPDATE_AVAIL: "resetting",
    lib.RTR_ERROR_FATAL: "protocol error",
    lib.RTR_ERROR_TRANSPORT: "transport error",
    lib.RTR_SHUTDOWN: "stopped",
    lib.RTR_CLOSED: "not started",
}

_RECORD = struct.Struct(">BBBxIQQ")
"""`struct rsf_record`: family, length, maxLength, ASN, address (high and low half)."""

_MASKS = {
    family: [((1 << length) - 1) << (bits - length) for length in range(bits + 1)]
    for family, bits in BITS.items()
}


class RtrError(Exception):
    """Raised if librtr cannot start, with these settings or at all."""


class Report(NamedTuple):
    """Status of a connection, and new data."""

    state: str
    """One of `STATES`."""
    errors: int
    """Lost connections and failed synchronisations since the start."""
    confirmed: float | None
    """time.monotonic() of the last End of Data; None if there was none."""
    lost: float | None
    """Time of the first error since then, on the same clock; None if there was no error."""
    session: int
    """RTR session of the confirmed data."""
    serial: int
    expire: int
    """Expire Interval of the last End of Data in seconds, as the cache sent it (RFC 8210 section
    6); 0 if it has none: protocol version 0."""
    records: bytes | None
    """The confirmed data; None if they were polled before."""


class CachedVrps(NamedTuple):
    """A cache's VRPs."""

    vrps: VrpSet
    dropped: int
    """Records that are not possible VRPs: a length beyond the family's, or maxLength below the
    length."""
    digest: bytes
    """Equal for equal sets, and only for those."""


class Connection:
    """One cache, kept in sync by one thread of librtr from `start` to `stop`.

    `refresh`, `retry`: seconds, 1 to `MAX_REFRESH_S` and `MAX_RETRY_S`. `wake_fd`: an eventfd that
    is signalled whenever `poll` has news. It must stay open until `stop` has returned.
    """

    def __init__(self, address: CacheAddress, *, refresh: int, retry: int, wake_fd: int) -> None:
        if not 1 <= refresh <= MAX_REFRESH_S:
            raise RtrError(f"refresh is {refresh}; it must be 1 to {MAX_REFRESH_S} seconds")
        if not 1 <= retry <= MAX_RETRY_S:
            raise RtrError(f"retry is {retry}; it must be 1 to {MAX_RETRY_S} seconds")
        texts = [_text(text) for text in (address.host, str(address.port))]
        if address.transport == "ssh":
            texts += [_text(text) for text in (address.user, address.key, address.known_hosts)]
        else:
            texts += [ffi.NULL] * 3
        host, port, user, key, known_hosts = texts
        options = ffi.new("struct rsf_options *")
        options.host, options.port, options.user = host, port, user
        options.key, options.known_hosts = key, known_hosts
        options.refresh, options.retry, options.wake_fd = refresh, retry, wake_fd
        self._cache = lib.rsf_open(options)
        if self._cache == ffi.NULL:
            raise RtrError(f"librtr cannot be set up for {address}")
        self._is_started = False

    def start(self) -> None:
        """Connect, and reconnect after each loss. Raises RtrError if no thread can be started."""
        if lib.rsf_start(self._cache) != 0:
            raise RtrError("librtr cannot start a thread")
        self._is_started = True

    def stop(self) -> None:
        """End the thread and free everything. The connection cannot be used again.

        Blocks as long as a name server or a connect does: call it on a thread of its own.
        """
        if self._is_started:
            lib.rsf_stop(self._cache)
        lib.rsf_free(self._cache)

    def poll(self) -> Report:
        """Return the current status. A snapshot not polled before the next one arrives is lost."""
        report = ffi.new("struct rsf_report *")
        lib.rsf_poll(self._cache, report)
        records: bytes | None = None
        if report.records != ffi.NULL:
            try:
                records = bytes(ffi.buffer(report.records, report.count * _RECORD.size))
            finally:
                lib.free(report.records)
        return Report(
            state=STATES[report.state],
            errors=report.errors,
            confirmed=report.confirmed if report.has_data else None,
            lost=report.lost or None,
            session=report.session,
            serial=report.serial,
            expire=report.expire,
            records=records,
        )


def digest_of(records: bytes) -> bytes:
    """Return a digest that identifies a snapshot."""
    return blake2b(records, digest_size=16).digest()


def read_table(records: bytes) -> CachedVrps:
    """Parse the VRPs in a `Report`'s records.

    librtr passes on impossible VRPs: they are dropped and counted. Host bits are masked, as every
    cache should have done.
    """
    dropped = 0
    is_canonical = True

    def vrps() -> Iterator[Numbers]:
        nonlocal dropped, is_canonical
        for family, length, max_length, asn, high, low in _RECORD.iter_unpack(records):
            if not length <= max_length <= BITS[family]:
                dropped += 1
                continue
            sent = high << 64 | low
            network = sent & _MASKS[family][length]
            if network != sent:
                is_canonical = False
            yield family, network, length, max_length, asn

    table = VrpSet.of_numbers(vrps())
    canonical = records if is_canonical and not dropped else _packed(table)
    return CachedVrps(table, dropped, digest_of(canonical))


def _packed(vrps: VrpSet) -> bytes:
    """Encode the records of a cache that sends exactly these VRPs."""
    low = (1 << 64) - 1
    return b"".join(
        sorted(
            _RECORD.pack(
                vrp.prefix.family,
                vrp.prefix.length,
                vrp.max_length,
                vrp.asn,
                vrp.prefix.network >> 64,
                vrp.prefix.network & low,
            )
            for vrp in vrps
        )
    )


def silence() -> None:
    """Suppress librtr's trace on C's stderr, for the whole process and permanently.

    librtr writes a dozen lines for every refresh and has no switch. Only C's stream is replaced;
    file descriptor 2, which Python writes to, stays. Raises RtrError on failure.
    """
    if lib.rsf_silence() != 0:
        raise RtrError("/dev/null cannot be opened")


def _text(text: str) -> object:
    if "\0" in text:
        raise RtrError(f"{text!r} contains a NUL")
    return ffi.new("char[]", text.encode())
