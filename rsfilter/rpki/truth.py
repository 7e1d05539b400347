"""The truth: the operator's file of permitted origins.

Owns the formats (docs: "The truth file"): the `roas` list of GoRTR and StayRTR with its relatives
from Routinator and rpki-client, SLURM (RFC 8416), and the native `hosts` form, which also binds
identity. A file is recognised by its content. It is used whole or not at all: an invalid entry, or
a file without entries, raises `TruthError` with the place, and the active truth stays.
"""

from __future__ import annotations

import gc
import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from types import MappingProxyType

from rsfilter.routing.bindings import Bindings
from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import BITS, Prefix, Vrp
from rsfilter.rpki.document import (
    MISSING,
    Json,
    Path,
    Problem,
    Problems,
    TruthError,
    is_object,
    member,
    printable,
    read_asn,
    read_integer,
    read_json,
    read_max_length,
    read_prefix,
    show,
    taken_out,
)
from rsfilter.rpki.hosts import read_hosts
from rsfilter.rpki.slurm import Filters, PrefixFilter, read_slurm
from rsfilter.rpki.vrp_tables import MAX_ASN, Numbers
from rsfilter.rpki.vrps import VrpSet

__all__ = [
    "Problem",
    "Truth",
    "TruthError",
    "parse_truth",
    "truth_export",
]

MAX_METADATA = 32
"""Members of `metadata` that are kept. rpki-client writes the most, about as many."""

_KEPT_METADATA = ("revision", "buildtime", "generated", "generatedTime")
"""Members of `metadata` that are kept regardless of the limit."""

MAX_METADATA_TEXT = 200
"""Characters kept of a metadata member. The text is shown and audited, not stored."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth file as read. Immutable."""

    vrps: VrpSet
    """VRPs of the file. Empty only for a SLURM file that has nothing but filters."""
    format: str
    """roas, slurm or hosts."""
    sha256: str
    """SHA-256 of the file's bytes, in hexadecimal."""
    hosts: tuple[TruthHost, ...] = ()
    """Hosts in the file's order. Only the native form has them."""
    filters: tuple[PrefixFilter, ...] = ()
    """SLURM's prefix filters."""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The file's metadata: at most `MAX_METADATA` members, scalars only, as text."""
    warnings: tuple[Problem, ...] = ()
    """Oddities that do not make the file unusable."""
    expiries: tuple[tuple[int, Numbers], ...] = field(default=(), repr=False)
    """Expiring VRPs of `vrps`, each with the last second (Unix time) in which it is valid; earliest
    expiry first."""

    @property
    def revision(self) -> str:
        """`metadata.revision`, or empty."""
        return self.metadata.get("revision", "")

    def bindings(self) -> Bindings:
        """Return the bindings: the addresses of each host, and the prefixes it owns."""
        return Bindings.of(self.hosts, VrpSet.of)

    def expired(self, now: float) -> tuple[Truth, list[Numbers]]:
        """Return the truth without entries that expired by `now` (Unix time), and those entries."""
        count = bisect_left(self.expiries, now, key=itemgetter(0))
        if not count:
            return self, []
        gone = [vrp for _, vrp in self.expiries[:count]]
        rest = self.expiries[count:]
        return replace(self, vrps=self.vrps.without_these(gone), expiries=rest), gone

    def filter_rtr(self, vrps: VrpSet) -> VrpSet:
        """Apply SLURM's filters to the caches' data (RFC 8416 section 4.2)."""
        return vrps.without(Filters(self.filters).removes) if self.filters else vrps


# Files and bytes ---------------------------------------------------------------------------------


def parse_truth(data: bytes, where: str, now: float, *, may_be_empty: bool = False) -> Truth:
    """Parse a truth file. `where` names the file in messages, `now` is Unix time. Entries that
    expired before `now` are dropped with a warning. `may_be_empty`: routes have another source of
    data (`Config.truth_may_be_empty`). Raises TruthError with every problem found."""
    with _collector_paused():
        return _parse(data, where, now, may_be_empty=may_be_empty)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the cyclic collector. A large truth makes millions of objects and no cycles. With the
    collector on, the repeated scans take as long as the parsing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parse(data: bytes, where: str, now: float, *, may_be_empty: bool) -> Truth:
    problems, warnings = Problems(where), Problems(where)
    document = read_json(data, problems)
    form = _recognise(document, problems)
    metadata = _metadata(document, problems)
    hosts: tuple[TruthHost, ...] = ()
    filters: tuple[PrefixFilter, ...] = ()
    expiries: tuple[tuple[int, Numbers], ...] = ()
    if form == "hosts":
        listed, hosts = read_hosts(document, problems, warnings)
        table = VrpSet.of(_taken(listed))
    elif form == "slurmVersion":
        filters, asserted = read_slurm(document, problems)
        table = VrpSet.of(asserted)
    else:
        expiring = _Expiring() if b'"expires"' in data else None
        table = VrpSet.of_numbers(_roas(document, form, now, problems, warnings, expiring))
        expiries = expiring.expiries() if expiring else ()
    problems.raise_if_any()
    if not table and not filters:
        if not may_be_empty:
            problems.fail(
                "has no entry in force, which would remove every route; to leave service on "
                "purpose, use rsfilter drain on, or remove the file from the configuration"
            )
        warnings.add((), "has no prefix: RTR caches alone decide on every route")
    return Truth(
        vrps=table,
        format=_FORMATS[form],
        sha256=hashlib.sha256(data).hexdigest(),
        hosts=hosts,
        filters=filters,
        metadata=metadata,
        warnings=warnings.all(),
        expiries=expiries,
    )


def _taken(vrps: list[Vrp]) -> Iterator[Vrp]:
    """Yield each VRP once and free it; see `document.free`."""
    while vrps:
        yield vrps.pop()


_FORMATS = {"hosts": "hosts", "slurmVersion": "slurm", "roas": "roas", "vrps": "roas"}
"""Formats, by the member that identifies each."""

_SLURM_PARTS = ("validationOutputFilters", "locallyAddedAssertions")


def _recognise(document: dict[str, Json], problems: Problems) -> str:
    """Return the one member of `_FORMATS` that the document has."""
    if any(part in document for part in _SLURM_PARTS):
        document = {"slurmVersion": None, **document}
    forms = [name for name in _FORMATS if name in document]
    if not forms:
        problems.fail(
            'is none of the known forms: it needs "hosts", "roas" or "slurmVersion" at the top'
        )
    if len(forms) > 1:
        problems.fail(f"mixes forms ({' and '.join(forms)}): keep one of them in a file")
    return forms[0]


def _metadata(document: dict[str, Json], problems: Problems) -> Mapping[str, str]:
    given = document.get("metadata", {})
    if not isinstance(given, dict):
        problems.add(("metadata",), f"must be an object, not {show(given)}")
        return MappingProxyType({})
    scalars = [item for item in given.items() if not isinstance(item[1], dict | list)]
    scalars.sort(key=lambda item: item[0] not in _KEPT_METADATA)
    kept = {}
    for name, value in scalars[:MAX_METADATA]:
        text = value if isinstance(value, str) else json.dumps(value)
        kept[printable(name, MAX_METADATA_TEXT)] = printable(text, MAX_METADATA_TEXT)
    return MappingProxyType(kept)


# The roas form -----------------------------------------------------------------------------------


class _Expiring:
    """Expiry of VRPs: that of the last entry for the VRP, if all its entries expire."""

    def __init__(self) -> None:
        self._until: dict[Numbers, int] = {}
        self._lasting: set[Numbers] = set()

    def note(self, vrp: Numbers, expires: int | None) -> None:
        """Record a valid entry."""
        if expires is None:
            self._lasting.add(vrp)
        else:
            self._until[vrp] = max(expires, self._until.get(vrp, expires))

    def expiries(self) -> tuple[tuple[int, Numbers], ...]:
        """Return the value of `Truth.expiries`."""
        lasting = self._lasting
        return tuple(sorted((at, vrp) for vrp, at in self._until.items() if vrp not in lasting))


def _roas(
    document: dict[str, Json],
    key: str,
    now: float,
    problems: Problems,
    warnings: Problems,
    expiring: _Expiring | None,
) -> Iterator[Numbers]:
    """Read the VRPs of GoRTR, StayRTR, Routinator and rpki-client. Members that these programs add
    are ignored. `expiring`: for files with entries that expire."""
    for index, entry in enumerate(taken_out(document[key], (key,), problems)):
        vrp = _fast_roa(entry, now) or _roa(entry, (key, index), now, problems, warnings)
        if vrp is not None:
            if expiring is not None:
                expires = entry.get("expires")
                expiring.note(vrp, expires if type(expires) is int else None)  # else a problem
            yield vrp


def _fast_roa(entry: Json, now: float) -> Numbers | None:
    """Fast path of `_roa` for entries without problems. None: use `_roa`.

    There may be half a million entries, and nearly all are such. This takes a third of the time,
    because it makes no avoidable call.
    """
    try:
        text = entry["prefix"]
        prefix = Prefix.parse(text)
        asn = entry["asn"]
        if type(asn) is not int:
            asn = read_asn(asn)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    family, network, length = prefix.family, prefix.network, prefix.length
    if "/" not in text or not prefix.is_well_formed or not 0 <= asn <= MAX_ASN:
        return None
    max_length = length
    if len(entry) > _FEWEST:
        max_length = entry.get("maxLength", length)
        if type(max_length) is not int or not length <= max_length <= BITS[family]:
            return None
        expires = entry.get("expires", MISSING)
        if expires is not MISSING and (type(expires) is not int or expires < now):
            return None
        if not _MISSPELT.isdisjoint(entry):
            return None
    return family, network, length, max_length, asn


def _roa(
    entry: Json, path: Path, now: float, problems: Problems, warnings: Problems
) -> Numbers | None:
    """Read the VRP of an entry that has not expired. Problems go to `problems`."""
    if not is_object(entry, path, problems):
        return None
    prefix = member(entry, "prefix", read_prefix, path, problems)
    asn = member(entry, "asn", read_asn, path, problems)
    expires = None
    if "expires" in entry:  # Unix time, as rpki-client writes it
        expires = member(entry, "expires", read_integer, path, problems)
    if prefix is None:
        return None
    max_length: int | None = prefix.length
    if "maxLength" in entry:
        read = partial(read_max_length, prefix=prefix, default=prefix.length)
        max_length = member(entry, "maxLength", read, path, problems)
    for name in _MISSPELT & entry.keys():
        problems.add((*path, name), "means nothing in this form; write maxLength")
    if expires is not None and expires < now:
        warnings.add((*path, "expires"), f"{prefix} has expired and is left out")
        return None
    if asn is None or max_length is None:
        return None
    return prefix.family, prefix.network, prefix.length, max_length, asn


_FEWEST = len(("prefix", "asn"))
"""Members of an entry that has only the required ones."""

_MISSPELT = frozenset({"max_length", "maxlength", "maxLen", "maxPrefixLength"})
"""Misspellings and other forms of maxLength. To ignore one, as other unknown members are ignored,
would reject every route that is longer than its prefix."""


# Export ------------------------------------------------------------------------------------------


def truth_export(truth: Truth, form: str) -> bytes:
    """Export the truth for another program. The same truth always gives the same bytes.

    The only form is "stayrtr", which StayRTR and GoRTR read. It has no build time, because a truth
    file does not age: StayRTR needs -checktime=false. Raises ValueError for another form, and for
    SLURM filters, which this form cannot express.
    """
    if form != "stayrtr":
        raise ValueError(f'there is no form {form!r}; the only one is "stayrtr"')
    if truth.filters:
        raise ValueError("SLURM filters cannot be exported; give the file to StayRTR with -slurm")
    roas = [
        {
            "prefix": str(vrp.prefix),
            "maxLength": vrp.max_length,
            "asn": f"AS{vrp.asn}",
            "ta": "rsfilter",
        }
        for vrp in truth.vrps
    ]
    lines = ",\n".join(json.dumps(roa) for roa in roas)
    about = {"revision": truth.revision, "sha256": truth.sha256, "vrps": len(roas)}
    metadata = json.dumps(about)
    return f'{{"metadata": {metadata},\n"roas": [\n{lines}\n]}}\n'.encode()
