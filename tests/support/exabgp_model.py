"""ExaBGP 5.0.15's outgoing RIB, as its source has it, faults included.

What the egress has to live with: changes wait in one bucket for each attribute set and leave in
the order in which the buckets were made; a prefix that changes again stays in its older bucket;
the first flush after `up` drops withdraws; a repetition of what ExaBGP believes it sent is
suppressed; End-of-RIB leaves when nothing else is pending. And what disturbs it: peers that hang,
commands that are refused, replies that are lost.
(rib/outgoing.py, rib/cache.py, reactor/peer.py.)
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

Key = tuple[str, str]
"""(prefix, path information)."""

COMMAND = re.compile(
    r"(?P<selectors>neighbor \S+(?: , neighbor \S+)*) (?P<verb>announce|withdraw) attributes "
    r"next-hop (?P<next_hop>\S+)(?P<attributes>.*?)(?: path-information (?P<path>\S+))? "
    r"nlri (?P<nlri>.+)"
)
EOR = re.compile(r"neighbor (?P<router>\S+) announce eor (?P<family>ipv[46] unicast)")
FLUSH = re.compile(r"neighbor (?P<router>\S+) flush adj-rib out")

STEPS_IN_A_LOOP = 50
UPDATES_IN_A_LOOP = 25


@dataclass
class Peer:
    """One router as ExaBGP and the router itself see it."""

    is_up: bool = False
    table: dict[Key, str] = field(default_factory=dict)
    """Paths of the router: (next hop and attributes without the local preference)."""
    cache: dict[Key, str] = field(default_factory=dict)
    buckets: dict[str, dict[Key, str | None]] = field(default_factory=dict)
    pending: dict[Key, str | None] = field(default_factory=dict)
    """The latest change of each, whatever the buckets hold."""
    refresh: dict[Key, str] = field(default_factory=dict)
    """Paths to be sent again."""
    sending: Iterator[tuple[Key, str | None, bool]] | None = None
    include_withdraw: bool = False
    sent: list[tuple[Key, str | None]] = field(default_factory=list)
    """Copies of the UPDATEs that it sent, until they are taken."""
    eors: deque[str] = field(default_factory=deque)
    ended: list[str] = field(default_factory=list)
    """Families of the End-of-RIBs that the router has had in this session."""

    def change(self, key: Key, attributes: str | None, bucket: str) -> None:
        if attributes is not None and self.cache.get(key) == attributes:
            return
        self.buckets.setdefault(bucket, {})[key] = attributes
        self.pending[key] = attributes
        if attributes is None:
            self.cache.pop(key, None)
        else:
            self.cache[key] = attributes

    def up(self) -> None:
        self.is_up = True
        self.table.clear()
        self.ended.clear()
        self.include_withdraw = False
        for key, attributes in self.cache.items():
            self.buckets.setdefault(attributes, {})[key] = attributes
            self.pending[key] = attributes
        if self.pending:
            self.sending = self.updates()  # in the very step that reports `up`

    def flush(self) -> None:
        self.refresh.update(self.cache)

    def down(self, *, keeps_pending: bool) -> None:
        self.is_up = False
        self.table.clear()
        self.sending = None
        if not keeps_pending:
            self.buckets, self.pending, self.refresh = {}, {}, {}

    def receive(self, key: Key, attributes: str | None) -> None:
        """The router hears of a route, or that there is none."""
        if attributes is None:
            self.table.pop(key, None)
        else:
            self.table[key] = re.sub(r" local-preference \d+", "", attributes)

    def updates(self) -> Iterator[tuple[Key, str | None, bool]]:
        """Changes to be sent now; later ones wait until all of these have left."""
        buckets, latest, refresh = self.buckets, self.pending, self.refresh
        self.buckets, self.pending, self.refresh = {}, {}, {}
        again = {}
        for key in refresh:
            is_withdrawn = any(bucket.get(key, "") is None for bucket in buckets.values())
            if not is_withdrawn:
                again[key] = latest.get(key, refresh[key])
            if not is_withdrawn or latest[key] is None:
                for bucket in buckets.values():
                    if bucket.get(key) is not None:
                        del bucket[key]
        return (
            (key, attributes, self.include_withdraw)
            for bucket in (again, *buckets.values())
            for key, attributes in bucket.items()
        )

    def run(self) -> list[str]:
        """One turn of the peer's loop; the families of End-of-RIBs that went out."""
        if not self.is_up:
            return []
        if self.sending is None and (self.pending or self.refresh):
            self.sending = self.updates()
        if self.sending is not None:
            for _ in range(UPDATES_IN_A_LOOP):
                update = next(self.sending, None)
                if update is None:
                    self.sending, self.include_withdraw = None, True
                    break
                key, attributes, include_withdraw = update
                if attributes is not None or include_withdraw:
                    self.receive(key, attributes)
                    self.sent.append((key, attributes))
            return []
        if not self.eors:
            return []
        self.ended.append(self.eors.popleft())
        return self.ended[-1:]


class ExaBGP:
    """The commands' queue and the peers."""

    def __init__(self, routers: list[str]) -> None:
        self.peers = {router: Peer() for router in routers}
        self.steps: deque[tuple[str, ...] | str] = deque()
        self.hung_until: dict[str, float] = {}
        """Peers that nothing can be sent to before this: their TCP window is closed."""
        self.refusals: deque[str] = deque()
        """Outcomes of the next commands in place of their effects: an error "at once", before
        the replies to earlier ones; an error "in turn"; or "" and they are obeyed."""
        self.losses = 0
        """Number of the next `done` that will be lost."""

    def remove(self, router: str) -> None:
        """A reload has lost the router: with it go its table, and what is queued for it."""
        self.peers[router] = Peer()
        self.steps = deque(
            step if isinstance(step, str) else tuple(word for word in step if word != router)
            for step in self.steps
        )

    def reload(self) -> None:
        """Read the unchanged configuration again: each neighbor is a new object,
        without the End-of-RIBs that waited."""
        for peer in self.peers.values():
            peer.eors.clear()

    def write(self, lines: list[bytes]) -> list[bool]:
        """Take command lines; return the replies that come at once."""
        return [ok for line in lines for ok in self._read(line.decode("ascii").rstrip("\n"))]

    def _read(self, text: str) -> list[bool]:
        refusal = self.refusals.popleft() if self.refusals else ""
        match = EOR.fullmatch(text) or FLUSH.fullmatch(text)
        if refusal == "at once" or (match and not self.peers[match["router"]].is_up):
            return [False]
        if refusal == "in turn":
            self.steps.append("error")
            return []
        if match:
            self.steps.append((match.re.pattern, *match.groups()))
        else:
            command = COMMAND.fullmatch(text)
            assert command, f"not a command: {text}"
            routers = command["selectors"].replace("neighbor ", "").split(" , ")
            attributes = f"{command['next_hop']}{command['attributes']}"
            self.steps.extend(
                (command["verb"], attributes, prefix, command["path"] or "", *routers)
                for prefix in command["nlri"].split()
            )
        self.steps.append("done")
        return []

    def _seen(self, replies: list[bool]) -> list[bool]:
        """Commands that are not lost: they were obeyed without a reply."""
        seen = []
        for ok in replies:
            if ok and self.losses:
                self.losses -= 1
            else:
                seen.append(ok)
        return seen

    def wakes_at(self, now: float) -> float | None:
        """Time at which `run` has something to do. None if it waits for input."""
        busy = [
            max(now, self.hung_until.get(router, now))
            for router, peer in self.peers.items()
            if peer.is_up and (peer.pending or peer.refresh or peer.sending or peer.eors)
        ]
        return min([*busy, now] if self.steps else busy, default=None)

    def run(self, now: float = 0.0) -> tuple[list[bool], list[str]]:
        """One loop: peers, then commands. Replies, and routers that were sent End-of-RIBs."""
        sent = [
            router
            for router, peer in self.peers.items()
            if now >= self.hung_until.get(router, now)
            for _ in peer.run()
        ]
        replies = []
        for _ in range(min(STEPS_IN_A_LOOP, len(self.steps))):
            step = self.steps.popleft()
            if step in ("done", "error"):
                replies.append(step == "done")
            else:
                self._obey(*step)
        return self._seen(replies), sent

    def _obey(self, verb: str, *words: str) -> None:
        if verb == EOR.pattern:
            *routers, family = words
            for router in routers:
                self.peers[router].eors.append(family)
        elif verb == FLUSH.pattern:
            for router in words:
                self.peers[router].flush()
        else:
            attributes, prefix, path, *routers = words
            wanted = attributes if verb == "announce" else None
            bucket = attributes if verb == "announce" else re.sub(r"^\S+", "", attributes)
            for router in routers:
                self.peers[router].change((prefix, path), wanted, bucket)
