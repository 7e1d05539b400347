"""ExaBGP 5.0.15's outgoing RIB, as its source has it, faults included.

What the egress has to live with: changes wait in one bucket for each attribute set and leave in
the order in which the buckets were made; a prefix that changes again stays in its older bucket;
the first flush after `up` drops withdraws; a repetition of what ExaBGP believes it sent is
suppressed; End-of-RIB leaves when nothing else is pending.
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

STEPS_IN_A_LOOP = 50
UPDATES_IN_A_LOOP = 25


@dataclass
class Peer:
    """One router as ExaBGP and the router itself see it."""

    is_up: bool = False
    table: dict[Key, str] = field(default_factory=dict)
    """What the router has: (next hop and attributes without the local preference)."""
    cache: dict[Key, str] = field(default_factory=dict)
    buckets: dict[str, dict[Key, str | None]] = field(default_factory=dict)
    pending: dict[Key, None] = field(default_factory=dict)
    sending: Iterator[tuple[Key, str | None, bool]] | None = None
    include_withdraw: bool = False
    eors: deque[str] = field(default_factory=deque)

    def change(self, key: Key, attributes: str | None, bucket: str) -> None:
        if attributes is not None and self.cache.get(key) == attributes:
            return
        self.buckets.setdefault(bucket, {})[key] = attributes
        self.pending[key] = None
        if attributes is None:
            self.cache.pop(key, None)
        else:
            self.cache[key] = attributes

    def up(self) -> None:
        self.is_up = True
        self.table.clear()
        self.include_withdraw = False
        for key, attributes in self.cache.items():
            self.buckets.setdefault(attributes, {})[key] = attributes
            self.pending[key] = None

    def down(self, *, keeps_pending: bool) -> None:
        self.is_up = False
        self.table.clear()
        self.sending = None
        if not keeps_pending:
            self.buckets, self.pending = {}, {}

    def updates(self) -> Iterator[tuple[Key, str | None, bool]]:
        buckets, self.buckets, self.pending = self.buckets, {}, {}
        include_withdraw = self.include_withdraw
        for bucket in buckets.values():
            for key, attributes in list(bucket.items()):
                yield key, attributes, include_withdraw

    def run(self) -> list[str]:
        """One turn of the peer's loop; the families of End-of-RIBs that went out."""
        if not self.is_up:
            return []
        if self.sending is None and self.pending:
            self.sending = self.updates()
        if self.sending is not None:
            for _ in range(UPDATES_IN_A_LOOP):
                update = next(self.sending, None)
                if update is None:
                    self.sending, self.include_withdraw = None, True
                    break
                key, attributes, include_withdraw = update
                if attributes is not None:
                    self.table[key] = re.sub(r" local-preference \d+", "", attributes)
                elif include_withdraw:
                    self.table.pop(key, None)
            return []
        return [self.eors.popleft()] if self.eors else []


class ExaBGP:
    """The commands' queue and the peers."""

    def __init__(self, routers: list[str]) -> None:
        self.peers = {router: Peer() for router in routers}
        self.steps: deque[tuple[str, ...] | str] = deque()

    def write(self, lines: list[bytes]) -> list[bool]:
        """Takes command lines; the replies that come at once."""
        replies = []
        for line in lines:
            text = line.decode("ascii").rstrip("\n")
            if eor := EOR.fullmatch(text):
                if self.peers[eor["router"]].is_up:
                    self.steps.append(("eor", eor["router"], eor["family"]))
                    self.steps.append("done")
                else:
                    replies.append(False)
                continue
            command = COMMAND.fullmatch(text)
            assert command, f"not a command: {text}"
            routers = command["selectors"].replace("neighbor ", "").split(" , ")
            attributes = f"{command['next_hop']}{command['attributes']}"
            for prefix in command["nlri"].split():
                self.steps.append(
                    (command["verb"], attributes, prefix, command["path"] or "", *routers)
                )
            self.steps.append("done")
        return replies

    def run(self) -> tuple[list[bool], list[str]]:
        """One loop: peers, then commands. Replies, and routers that were sent End-of-RIBs."""
        sent = [router for router, peer in self.peers.items() for _ in peer.run()]
        replies = []
        for _ in range(min(STEPS_IN_A_LOOP, len(self.steps))):
            step = self.steps.popleft()
            if step == "done":
                replies.append(True)
            elif step[0] == "eor":
                self.peers[step[1]].eors.append(step[2])
            else:
                verb, attributes, prefix, path, *routers = step
                for router in routers:
                    wanted = attributes if verb == "announce" else None
                    bucket = attributes if verb == "announce" else re.sub(r"^\S+", "", attributes)
                    self.peers[router].change((prefix, path), wanted, bucket)
        return replies, sent
