"""Changes that routers saw, all along: each path that came, changed or went, with its time.

A BIRD router writes a line into its log for every UPDATE that changes its table, when it does so.
Between two lines nothing changed, so these sentences are about every instant: a gap of a
millisecond is in the log, and would be missed by a poll of the table.

    probe = Probe(leaf1, leaf2)
    start = probe.moment()
    ...
    probe.never_missing([guest], start)
    probe.never_had([guest], start, asn=thief)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from lab.bird import BirdRouter, communities_of
from lab.routes import Community, as_path_of
from lab.story import expecting, listing


class Seen(NamedTuple):
    """A path as a router received it."""

    next_hop: str
    as_path: tuple[int | str, ...]
    communities: frozenset[Community]

    @property
    def asn(self) -> int | str | None:
        """The origin: the last of the path."""
        return self.as_path[-1] if self.as_path else None


class Place(NamedTuple):
    """Place of a path."""

    session: str
    """BIRD's channel: the session and the family."""
    prefix: str
    path_id: int
    """0 without ADD-PATH."""


class Change(NamedTuple):
    """A router's table changed."""

    at: float
    """Time as `time.time()` has it."""
    router: str
    place: Place
    was: Seen | None
    now: Seen | None
    """None if there is no such path any more."""


Moment = Mapping[str, int]
"""Number of changes so far, for each router."""

_START: Moment = {}

_LINE = re.compile(
    r"(?P<at>\S+ \S+) <(?:INFO|TRACE)> (?:"
    r"received\|(?P<net>[^|]*)\|(?P<hop>[^ |]*)[^|]*"
    r"\|\(path (?P<path>[^|]*)\)\|\(clist (?P<communities>.*)\)"
    r"|(?P<session>\S+) > (?P<verb>added|removed)(?: \[\w+\])? (?P<prefix>\S+) (?P<id>\d+)L.*"
    r"|(?P<started>Started))"
)


@dataclass(slots=True)
class _History:
    """One router's log, read so far."""

    router: BirdRouter
    changes: list[Change] = field(default_factory=list)
    table: dict[Place, Seen] = field(default_factory=dict)
    _offset: int = 0
    _received: tuple[str, Seen] = ("", Seen("", (), frozenset()))
    """The last that came, whether or not it changed anything."""

    def read(self) -> None:
        """Take in what was written since."""
        with open(self.router.log, "rb") as log:
            log.seek(self._offset)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            if match := _LINE.fullmatch(line):
                self._take(match)

    def _take(self, match: re.Match[str]) -> None:
        at = datetime.fromisoformat(match["at"]).timestamp()
        if match["started"]:  # after a kill it had no time to log that it lost everything
            for place in list(self.table):
                self._changed(at, place, None)
        elif match["net"]:
            communities = communities_of(match["communities"])
            self._received = (
                match["net"],
                Seen(match["hop"], as_path_of(match["path"]), communities),
            )
        else:
            place = Place(match["session"], match["prefix"], int(match["id"]))
            prefix, seen = self._received
            assert match["verb"] == "removed" or prefix == place.prefix, match.string
            self._changed(at, place, seen if match["verb"] == "added" else None)

    def _changed(self, at: float, place: Place, now: Seen | None) -> None:
        was = self.table.pop(place, None)
        if now is not None:
            self.table[place] = now
        self.changes.append(Change(at, self.router.name, place, was, now))

    def tables(self, since: int) -> Iterator[tuple[Change | None, dict[Place, Seen]]]:
        """Every state of the table from a moment on, with the change that led to it; none leads
        to the first. It is one dict, changed from step to step."""
        table: dict[Place, Seen] = {}
        for number, change in enumerate(self.changes):
            if number == since:
                yield None, table
            if change.now is None:
                table.pop(change.place, None)
            else:
                table[change.place] = change.now
            if number >= since:
                yield change, table
        if since >= len(self.changes):
            yield None, table


class Probe:
    """The histories of routers; they must have been started after this checkout's `BirdRouter`
    configured them, which makes them write down what they receive."""

    def __init__(self, *routers: BirdRouter) -> None:
        self._histories = [_History(router) for router in routers]

    def moment(self) -> Moment:
        """Now, as a place in every history."""
        self._read()
        return {history.router.name: len(history.changes) for history in self._histories}

    # What happened ----------------------------------------------------------------------------

    def changes(self, since: Moment = _START) -> list[Change]:
        """Return the changes, router by router, in order."""
        self._read()
        return [
            change
            for history in self._histories
            for change in history.changes[since.get(history.router.name, 0) :]
        ]

    def withdraws(self, since: Moment = _START) -> list[Change]:
        """The paths that went."""
        return [change for change in self.changes(since) if change.now is None]

    def gaps(self, prefixes: Iterable[str], since: Moment = _START, paths: int = 1) -> list[str]:
        """Yield the places and times at which a router had fewer than `paths` paths of a prefix,
        one sentence each."""
        self._read()
        wanted = list(prefixes)
        return [gap for history in self._histories for gap in _gaps(history, wanted, since, paths)]

    def sightings(
        self, prefixes: Iterable[str], since: Moment = _START, **what: object
    ) -> list[str]:
        """Yield the places and times at which a router had a path of a prefix with all that is
        named (`Seen`)."""
        self._read()
        wanted = frozenset(prefixes)
        found = []
        for history in self._histories:
            for change, table in history.tables(since.get(history.router.name, 0)):
                new = table.items() if change is None else [(change.place, change.now)]
                found += [
                    f"{history.router.name} had {place.prefix} {seen} {_at(change)}"
                    for place, seen in new
                    if seen and place.prefix in wanted and _fits(seen, what)
                ]
        return found

    def path_ids(self, since: Moment = _START) -> dict[tuple[str, str, str], set[int]]:
        """Under which ids each path was ever known: by router, prefix and next hop."""
        self._read()
        ids: dict[tuple[str, str, str], set[int]] = {}
        for history in self._histories:
            for change, table in history.tables(since.get(history.router.name, 0)):
                new = table.items() if change is None else [(change.place, change.now)]
                for place, seen in new:
                    if seen:
                        key = (history.router.name, place.prefix, seen.next_hop)
                        ids.setdefault(key, set()).add(place.path_id)
        return ids

    # Expectations -----------------------------------------------------------------------------

    def never_missing(
        self, prefixes: Sequence[str], since: Moment = _START, paths: int = 1
    ) -> None:
        """Expect that at no instant a router had fewer than `paths` paths of one of these."""
        self._expect(f"never missed {listing(prefixes)}", lambda: self.gaps(prefixes, since, paths))

    def never_had(self, prefixes: Sequence[str], since: Moment = _START, **what: object) -> None:
        """Expect that at no instant a router had a path of one of these with all that is named."""
        self._expect(
            f"never had {listing(prefixes)} {what or ''}".rstrip(),
            lambda: self.sightings(prefixes, since, **what),
        )

    def quiet(self, since: Moment) -> None:
        """Expect that nothing at all has changed."""
        self._expect("saw no change", lambda: [_sentence(change) for change in self.changes(since)])

    def path_ids_keep(self, since: Moment = _START) -> None:
        """A path of a prefix through a next hop always had the same id."""
        self._expect(
            "knew each path by one id",
            lambda: [f"{key}: {ids}" for key, ids in self.path_ids(since).items() if len(ids) > 1],
        )

    def _expect(self, what: str, find: Callable[[], list[str]]) -> None:
        names = listing([history.router.name for history in self._histories])
        with expecting(f"{names} {what}"):
            found = find()
            if found:
                shown = "\n".join(found[:20])
                lab = self._histories[0].router.lab
                raise AssertionError(
                    f"not true that {names} {what}: {len(found)} times\n{shown}\n{lab.report()}"
                )

    def _read(self) -> None:
        for history in self._histories:
            history.read()


def _gaps(history: _History, prefixes: Sequence[str], since: Moment, paths: int) -> Iterator[str]:
    name = history.router.name
    present = dict.fromkeys(prefixes, 0)
    began: dict[str, float | None] = {}
    for change, table in history.tables(since.get(name, 0)):
        touched = prefixes
        if change is None:
            for place in table:
                if place.prefix in present:
                    present[place.prefix] += 1
        elif change.place.prefix in present:
            touched = [change.place.prefix]
            present[change.place.prefix] += (change.now is not None) - (change.was is not None)
        else:
            continue
        for prefix in touched:
            if present[prefix] < paths and prefix not in began:
                began[prefix] = change.at if change else None
            elif present[prefix] >= paths and prefix in began:
                start = began.pop(prefix)
                lasted = f"for {change.at - start:.6f} s" if change and start else "since before"
                yield f"{name} missed {prefix} {lasted} until {_at(change)}"
    for prefix, start in began.items():
        yield f"{name} misses {prefix} since {_clock(start) if start else 'before'}"


def _fits(seen: Seen, what: Mapping[str, object]) -> bool:
    return all(getattr(seen, name) == value for name, value in what.items())


def _at(change: Change | None) -> str:
    return f"at {_clock(change.at)}" if change else "already before"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().time().isoformat()


def _sentence(change: Change) -> str:
    verb = "lost" if change.now is None else "replaced" if change.was else "got"
    return f"{change.router} {verb} {change.place} {change.now or ''} {_at(change)}"
