"""Truth and RTR caches together: which data are in force, and what changed.

Pure: snapshots come in, `DataReplaced` events for the engine come out. Until truth is loaded and
the first End of Data has come (or the caches were given up on), no data are in force at all and
nothing is announced.

What a new snapshot changes takes a tenth of a second to find where it is the whole RPKI.
`prepare_rtr` and `prepare_truth` do that and change nothing, so that a thread can do it while the
loop goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from rsfilter.config.model import Config
from rsfilter.routing.bindings import NO_BINDINGS, Bindings
from rsfilter.routing.effects import Provenance
from rsfilter.routing.events import DataReplaced
from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import Prefix
from rsfilter.routing.validation import Data, Mode, Source
from rsfilter.rpki.truth import Truth
from rsfilter.rpki.vrps import EMPTY, Difference, RtrSnapshot, VrpSet

MANY_PREFIXES = 20_000
"""Changed prefixes above which judging everything again is cheaper than finding the covered
routes."""

_NO_CHANGE = Difference(0, 0, frozenset())


class PreparedRtr(NamedTuple):
    """Effects of a snapshot."""

    vrps: VrpSet
    """VRPs of the snapshot after SLURM's filters."""
    change: Difference
    truth: Truth | None
    """The truth, and the VRPs of the caches, that this holds for."""
    before: VrpSet


class PreparedTruth(NamedTuple):
    """Effects of a truth."""

    bindings: Bindings
    rtr_vrps: VrpSet
    """VRPs of the caches after its SLURM filters."""
    change: Difference
    rtr_change: Difference
    changed_hosts: frozenset[TruthHost]
    """Changed hosts, in their old and new form."""
    moved: frozenset[Prefix]
    """Prefixes that moved from one host to another of the same ASN."""
    truth: Truth
    """The new truth; the earlier one, and the VRPs of the caches, that this holds for."""
    before: Truth | None
    rtr: RtrSnapshot | None
    rtr_before: VrpSet


class Sources:
    """Keeps the newest good truth and the newest whole RTR snapshot."""

    @classmethod
    def of(cls, config: Config) -> Sources:
        """The sources that a configuration names."""
        return cls(
            mode=config.truth.mode if config.truth else Mode.AUTHORITATIVE,
            has_truth=config.truth is not None,
            has_rtr=config.rtr is not None,
            reject_expired=config.rtr is not None and config.rtr.on_expire == "reject",
        )

    def __init__(self, *, mode: Mode, has_truth: bool, has_rtr: bool, reject_expired: bool) -> None:
        self._mode = mode
        self._truth: Truth | None = None
        self._bindings = NO_BINDINGS
        self._truth_source = Source.UNAVAILABLE if has_truth else Source.UNUSED
        self._rtr: RtrSnapshot | None = None
        self._rtr_source = Source.UNAVAILABLE if has_rtr else Source.UNUSED
        self._rtr_vrps = EMPTY
        self._reject_expired = reject_expired
        self._has_given_up = False
        self.is_started = False
        """Data are in force."""

    @property
    def nothing(self) -> Data:
        """Return the data before the start: none, so that every route is rejected."""
        return Data(truth_source=Source.UNAVAILABLE, rtr_source=Source.UNAVAILABLE, mode=self._mode)

    @property
    def truth(self) -> Truth | None:
        """The newest good truth."""
        return self._truth

    @property
    def data(self) -> Data:
        """The data as they stand."""
        return self._data(self._truth, self._bindings, self._rtr_vrps)

    def data_with(self, truth: Truth) -> Data:
        """The data as they would be with another truth. Changes nothing; for any thread."""
        rtr = self._rtr
        filtered = truth.filter_rtr(rtr.vrps) if rtr else EMPTY
        return self._data(truth, truth.bindings(), filtered)

    def to_be_filled(self) -> Sources:
        """A copy without truth and without VRPs, small enough to be handed to another process."""
        found = Sources(mode=self._mode, has_truth=True, has_rtr=False, reject_expired=False)
        found._rtr_source = self._rtr_source
        if self._rtr is not None:
            found._rtr = replace(self._rtr, vrps=EMPTY)
        return found

    @property
    def rtr_vrps(self) -> VrpSet:
        """All VRPs of the cache that decides, before SLURM's filters: what `fill` takes."""
        return self._rtr.vrps if self._rtr is not None else EMPTY

    def fill(self, vrps: VrpSet) -> None:
        """Fill a copy of `to_be_filled` with its VRPs."""
        if self._rtr is not None:
            self._rtr = replace(self._rtr, vrps=vrps)

    def _data(self, truth: Truth | None, bindings: Bindings, rtr_vrps: VrpSet) -> Data:
        rtr = self._rtr
        return Data(
            truth=truth.vrps if truth else None,
            rtr=rtr_vrps if self._rtr_source is Source.READY else None,
            truth_source=Source.READY if truth else self._truth_source,
            rtr_source=self._rtr_source,
            mode=self._mode,
            bindings=bindings,
            provenance=Provenance(
                truth_revision=truth.revision if truth else "",
                truth_sha256=truth.sha256 if truth else "",
                rtr_cache=rtr.cache if rtr else "",
                rtr_session=rtr.session if rtr else 0,
                rtr_serial=rtr.serial if rtr else 0,
                rtr_digest=rtr.digest if rtr else "",
            ),
        )

    def prepare_truth(self, truth: Truth) -> PreparedTruth:
        """Prepare `truth_loaded` for a truth. Changes nothing; for any thread."""
        before, rtr, rtr_before = self._truth, self._rtr, self._rtr_vrps
        rtr_vrps = rtr_before if rtr is None else truth.filter_rtr(rtr.vrps)
        return PreparedTruth(
            bindings=truth.bindings(),
            rtr_vrps=rtr_vrps,
            change=_difference(before.vrps if before else EMPTY, truth.vrps),
            rtr_change=_difference(rtr_before, rtr_vrps),
            changed_hosts=frozenset({*(before.hosts if before else ())} ^ {*truth.hosts}),
            moved=_moved(before.hosts if before else (), truth.hosts),
            truth=truth,
            before=before,
            rtr=rtr,
            rtr_before=rtr_before,
        )

    def truth_loaded(
        self, truth: Truth, prepared: PreparedTruth | None = None
    ) -> DataReplaced | None:
        """Apply a valid truth file. `prepared`: the result of `prepare_truth`, if it was called."""
        if (
            prepared is None
            or prepared.truth is not truth
            or prepared.before is not self._truth  # other data came meanwhile
            or prepared.rtr is not self._rtr
            or prepared.rtr_before is not self._rtr_vrps
        ):
            prepared = self.prepare_truth(truth)
        self._truth, self._truth_source = truth, Source.READY
        self._bindings, self._rtr_vrps = prepared.bindings, prepared.rtr_vrps
        return self._replaced(
            "truth",
            f"{truth.format}, {len(truth.vrps)} VRPs, revision {truth.revision or 'unnamed'}",
            prepared.change,
            also=prepared.rtr_change,
            moved=prepared.moved,
            hosts=prepared.changed_hosts,
        )

    @property
    def next_expiry(self) -> float | None:
        """The last second (Unix time) of what expires first in the truth."""
        expiries = self._truth.expiries if self._truth else ()
        return expiries[0][0] if expiries else None

    def expire_truth(self, time: float) -> DataReplaced | None:
        """Leave out what has expired in the truth by `time` (Unix time)."""
        if self._truth is None or self.next_expiry is None:
            return None
        self._truth, gone = self._truth.expired(time)
        if not gone:
            return None
        few = gone if len(gone) <= MANY_PREFIXES else ()
        prefixes = frozenset(Prefix(*numbers[:3]) for numbers in few) if few else None
        return self._replaced(
            "truth", f"{len(gone)} VRPs have expired", Difference(0, len(gone), prefixes)
        )

    def prepare_rtr(self, snapshot: RtrSnapshot) -> PreparedRtr:
        """Prepare `rtr_changed` for a snapshot. Changes nothing; for any thread."""
        truth, before = self._truth, self._rtr_vrps
        vrps = truth.filter_rtr(snapshot.vrps) if truth else snapshot.vrps
        return PreparedRtr(vrps, _difference(before, vrps), truth, before)

    def rtr_changed(
        self, snapshot: RtrSnapshot, reason: str, prepared: PreparedRtr | None = None
    ) -> DataReplaced | None:
        """Apply another complete snapshot, or the same one that is fresh again. `prepared`: the
        result of `prepare_rtr`, if it was called."""
        if (
            prepared is None
            or prepared.truth is not self._truth  # another one came meanwhile
            or prepared.before is not self._rtr_vrps
        ):
            prepared = self.prepare_rtr(snapshot)
        was_ready = self._rtr_source is Source.READY
        self._rtr, self._rtr_source = snapshot, Source.READY
        self._rtr_vrps = prepared.vrps
        return self._replaced("rtr", reason, prepared.change, everything=not was_ready)

    def rtr_expired(self) -> DataReplaced | None:
        """No cache has been fresh for `expire` seconds."""
        if not self._reject_expired:
            return None
        self._rtr_source = Source.UNAVAILABLE
        return self._replaced(
            "rtr", "expired: what RTR decides is rejected", _NO_CHANGE, everything=True
        )

    @property
    def waits_for_caches(self) -> bool:
        """Return whether no data are active for want of a first End of Data; truth may be missing
        too."""
        return (
            self._rtr_source is Source.UNAVAILABLE and self._rtr is None and not self._has_given_up
        )

    def give_up_waiting(self) -> DataReplaced | None:
        """The caches did not deliver in time: truth alone decides what it covers."""
        self._has_given_up = True
        return self._replaced(
            "rtr", "given up waiting for a first End of Data", _NO_CHANGE, everything=True
        )

    def _replaced(
        self,
        source: str,
        detail: str,
        vrps: Difference,
        *,
        also: Difference = _NO_CHANGE,
        moved: frozenset[Prefix] = frozenset(),
        hosts: frozenset[TruthHost] = frozenset(),
        everything: bool = False,
    ) -> DataReplaced | None:
        if self._truth_source is Source.UNAVAILABLE or self.waits_for_caches:
            return None
        everything = everything or not self.is_started
        self.is_started = True
        return DataReplaced(
            data=self.data,
            source=source,
            detail=detail,
            prefixes=None if everything else _together(vrps.prefixes, also.prefixes, moved),
            asns=frozenset(host.asn for host in hosts),
            neighbors=frozenset(address for host in hosts for address in host.neighbors),
            added=vrps.added,
            removed=vrps.removed,
        )


def _difference(before: VrpSet, after: VrpSet) -> Difference:
    return _NO_CHANGE if before is after else before.difference(after, MANY_PREFIXES)


def _together(*changed: frozenset[Prefix] | None) -> frozenset[Prefix] | None:
    known = [prefixes for prefixes in changed if prefixes is not None]
    if len(known) < len(changed) or sum(map(len, known)) > MANY_PREFIXES:
        return None
    return frozenset[Prefix]().union(*known)


def _moved(before: Iterable[TruthHost], after: Iterable[TruthHost]) -> frozenset[Prefix]:
    """Return the prefixes that a host gained or lost beside others of its ASN. The VRPs may be the
    same as before, because they do not distinguish those hosts."""
    owned = {host: host.prefixes for host in before}
    return frozenset(
        vrp.prefix
        for host in after
        if owned.get(host, host.prefixes) != host.prefixes
        for vrp in {*owned[host]} ^ {*host.prefixes}
    )
