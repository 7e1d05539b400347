"""A recording of a running filter: all input with its times, as lines of text.

JSON Lines. One object for each input, in order:

    {"now": 12.5, "time": 1795376896.8, "lines": ["…", …]}        lines of ExaBGP (may be empty)
    {"now": …, "time": …, "truth": "…", "file": "truth.json", "read": 1795376896.5}
                                                  another truth, as in its file at `read`
    {"now": …, "time": …, "rtr": {"cache", "session", "serial", "vrps": [["10.0.0.0/8", 32, 65001],
                                   …]}, "reason": "…"}            another snapshot decides
    {"now": …, "time": …, "source": "expired" | "given_up"}       the caches are too old, or late
    {"now": …, "time": …, "release": "SIGUSR2"}                   held routes were released
    {"now": …, "time": …, "config": "…", "file": "rsfilter.toml", "forced": false}
                                                  another configuration
    {"now": …, "time": …, "guard": {"held": [["198.51.100.1", "10.1.0.1/32", 0, "…", "…", ["…"]],
                                   …], "accepted": [[…, "…", "…"], …], "lost": [[…, 12.5], …]}}
                                                  the guard's state before a restart
    {"now": …, "time": …, "unsettled": {"routers": ["192.0.2.10"], "hosts": []}}
                                                  unfinished work before a restart
    {"now": …, "time": …, "drain": true, "source": "operator", "by": "…"}   a drain request
    {"now": …, "time": …, "note": "start", "data": {…}}           another audit event

`now` is the clock that timers run by, `time` the one that the audit log shows. Octets are written
as the characters of the same number (Latin-1), so that lines which are not UTF-8 survive.

`KINDS` has a form for each: a Struct with the members of the object, made from an input and turned
into one. `edge.recorder` writes and reads the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, Literal, Self

from msgspec import Struct, convert, to_builtins

from rsfilter.audit.record import ServiceEvent
from rsfilter.config.build import parse_config
from rsfilter.exabgp.unsettled import Unsettled
from rsfilter.pipeline.inputs import (
    Configured,
    Input,
    Lines,
    Moment,
    RtrGone,
    RtrRead,
    TruthRead,
)
from rsfilter.routing.events import DrainRequested, DrainSource, GuardReleased, GuardRestored
from rsfilter.routing.guard import Expected
from rsfilter.routing.model import Address, Prefix, RouteKey, Vrp
from rsfilter.rpki.truth import parse_truth
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet

BEGINNING = b'{"now": '
"""Member of every line of a recording, and of no line of ExaBGP."""


def encode(moment: Moment, what: Input) -> bytes:
    """Return the line of an input, with its line feed."""
    content = to_builtins(FORMS[type(what)].of(what))
    return json.dumps({"now": moment.now, "time": moment.time, **content}).encode() + b"\n"


def decode(line: bytes) -> tuple[Moment, Input]:
    """Return the input of a line. Raises ValueError, OverflowError or RecursionError for what is no
    line of a recording; TruthError or ConfigError for a file in it that cannot be used."""
    members = json.loads(line)
    moment = convert({name: members.get(name) for name in Moment._fields}, _ClocksForm).moment()
    for name, form in KINDS.items():
        if name in members:
            return moment, convert(members, form).input(moment)
    raise ValueError("no kind of input")


class _ClocksForm(Struct):
    now: float
    time: float

    def moment(self) -> Moment:
        if not (isfinite(self.now) and isfinite(self.time)):
            raise ValueError("at no time")
        return Moment(self.now, self.time)


class _Form(Struct):
    """Members of one kind of object, beside the two clocks."""

    kind: ClassVar[type]
    """Type of the inputs that are written so."""

    @classmethod
    def of(cls, what: Any) -> Self:
        """Return the form of an input of this kind."""
        raise NotImplementedError

    def input(self, moment: Moment) -> Input:
        """Return the input of this form."""
        raise NotImplementedError


class _LinesForm(_Form):
    kind = Lines

    lines: list[str]

    @classmethod
    def of(cls, what: Lines) -> Self:
        return cls([line.decode("latin-1") for line in what.lines])

    def input(self, _moment: Moment) -> Lines:
        return Lines([line.encode("latin-1") for line in self.lines])


class _TruthForm(_Form):
    kind = TruthRead

    truth: str
    file: str = ""
    read: float | None = None

    @classmethod
    def of(cls, what: TruthRead) -> Self:
        return cls(what.content.decode("latin-1"), what.file, what.at)

    def input(self, moment: Moment) -> TruthRead:
        content, at = self.truth.encode("latin-1"), moment.time if self.read is None else self.read
        truth = parse_truth(content, self.file, at, may_be_empty=True)
        return TruthRead(truth, content, self.file, at)


class _SnapshotForm(Struct, omit_defaults=True):
    cache: str
    session: int
    serial: int
    vrps: list[tuple[str, int, int]]
    digest: str = ""


class _RtrForm(_Form):
    kind = RtrRead

    rtr: _SnapshotForm
    reason: str = ""

    @classmethod
    def of(cls, what: RtrRead) -> Self:
        found = what.snapshot
        vrps = [(str(vrp.prefix), vrp.max_length, vrp.asn) for vrp in found.vrps]
        form = _SnapshotForm(found.cache, found.session, found.serial, vrps, found.digest)
        return cls(form, what.reason)

    def input(self, moment: Moment) -> RtrRead:
        form = self.rtr
        vrps = VrpSet.of(Vrp(Prefix.parse(text), length, asn) for text, length, asn in form.vrps)
        snapshot = RtrSnapshot(vrps, form.cache, form.session, form.serial, moment.now, form.digest)
        return RtrRead(snapshot, self.reason)


class _SourceForm(_Form):
    kind = RtrGone

    source: Literal["expired", "given_up"]

    @classmethod
    def of(cls, what: RtrGone) -> Self:
        return cls(what.why)

    def input(self, _moment: Moment) -> RtrGone:
        return RtrGone(self.source)


class _ReleaseForm(_Form, omit_defaults=True):
    kind = GuardReleased

    release: str
    prefix: str | None = None
    host: str = ""

    @classmethod
    def of(cls, what: GuardReleased) -> Self:
        return cls(what.by, None if what.prefix is None else str(what.prefix), what.host)

    def input(self, _moment: Moment) -> GuardReleased:
        prefix = None if self.prefix is None else Prefix.parse(self.prefix)
        return GuardReleased(self.release, prefix, self.host)


class _ConfigForm(_Form):
    kind = Configured

    config: str
    file: str = ""
    forced: bool = False

    @classmethod
    def of(cls, what: Configured) -> Self:
        return cls(what.content, str(what.config.path), what.is_forced)

    def input(self, _moment: Moment) -> Configured:
        config = parse_config(self.config, self.file)
        return Configured(config, self.config, is_forced=self.forced)


_Key = tuple[str, str, int]


class _KnownForm(Struct):
    held: list[tuple[str, str, int, str, str, tuple[str, ...]]]
    accepted: list[tuple[str, str, int, str, str]]
    lost: list[tuple[str, str, int, float]]


class _GuardForm(_Form):
    kind = GuardRestored

    guard: _KnownForm

    @classmethod
    def of(cls, what: GuardRestored) -> Self:
        return cls(
            _KnownForm(
                [
                    (*_words(k), each.fingerprint, each.rules, each.reasons)
                    for k, each in what.held.items()
                ],
                [(*_words(k), each.fingerprint, each.rules) for k, each in what.accepted.items()],
                [(*_words(k), age) for k, age in what.lost.items()],
            )
        )

    def input(self, _moment: Moment) -> GuardRestored:
        form = self.guard
        return GuardRestored(
            held={_key(*row[:3]): Expected(*row[3:]) for row in form.held},
            accepted={_key(*row[:3]): Expected(*row[3:]) for row in form.accepted},
            lost={_key(*row[:3]): row[3] for row in form.lost},
        )


class _HeldForm(Struct):
    """State of the guard in recordings of 0.1; only read."""

    held: list[tuple[str, str, int, str]]

    def input(self, _moment: Moment) -> GuardRestored:
        return GuardRestored({_key(*row[:3]): Expected(row[3]) for row in self.held})


class _UnsettledForm(_Form):
    kind = Unsettled

    unsettled: dict[str, list[str]]

    @classmethod
    def of(cls, what: Unsettled) -> Self:
        return cls({name: sorted(map(str, each)) for name, each in what._asdict().items()})

    def input(self, _moment: Moment) -> Unsettled:
        names = ("routers", "hosts")
        routers, hosts = (map(Address.parse, self.unsettled.get(name, ())) for name in names)
        return Unsettled(frozenset(routers), frozenset(hosts))


class _DrainForm(_Form):
    kind = DrainRequested

    drain: bool
    source: DrainSource
    by: str = ""

    @classmethod
    def of(cls, what: DrainRequested) -> Self:
        return cls(what.on, what.source, what.by)

    def input(self, _moment: Moment) -> DrainRequested:
        return DrainRequested(self.source, self.drain, self.by)


class _NoteForm(_Form):
    kind = ServiceEvent

    note: str
    data: dict[str, Any] = {}

    @classmethod
    def of(cls, what: ServiceEvent) -> Self:
        return cls(what.event, dict(what.data))

    def input(self, _moment: Moment) -> ServiceEvent:
        return ServiceEvent(self.note, self.data)


_WRITTEN: tuple[type[_Form], ...] = (
    _LinesForm,
    _TruthForm,
    _RtrForm,
    _NoteForm,
    _ReleaseForm,
    _ConfigForm,
    _GuardForm,
    _UnsettledForm,
    _DrainForm,
    _SourceForm,
)

FORMS: Mapping[type, type[_Form]] = {form.kind: form for form in _WRITTEN}
"""Form in which each type of input is written."""

KINDS: Mapping[str, type[_Form | _HeldForm]] = {
    **{form.__struct_fields__[0]: form for form in _WRITTEN},
    "held": _HeldForm,
}
"""Form for reading an object with such a member; the first one present counts."""


def _words(key: RouteKey) -> _Key:
    return str(key.neighbor), str(key.prefix), key.path_id


def _key(neighbor: str, prefix: str, path_id: int) -> RouteKey:
    return RouteKey(Address.parse(neighbor), Prefix.parse(prefix), path_id)
