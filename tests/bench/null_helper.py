"""The least that a helper of ExaBGP's can do: announce to the routers whatever hosts announce.

    python null_helper.py ROUTER [ROUTER ...]

It judges nothing and remembers nothing; of each line it decodes what a command needs. What is left
of the rate with it is ExaBGP's own. A thread reads, so that ExaBGP is never kept waiting.
"""

from __future__ import annotations

import os
import sys
import threading
from queue import SimpleQueue

import msgspec

BATCH = 300
"""Prefixes in a command, as rsfilter has it."""


class Nlri(msgspec.Struct):
    nlri: str


class Element(msgspec.Struct):
    value: list[int]


class Attribute(msgspec.Struct):
    as_path: dict[str, Element] = msgspec.field(name="as-path", default_factory=dict)


class Update(msgspec.Struct):
    attribute: Attribute = msgspec.field(default_factory=Attribute)
    announce: dict[str, dict[str, list[Nlri]]] = {}
    withdraw: dict[str, list[Nlri]] = {}


class Message(msgspec.Struct):
    update: Update | None = None


class Neighbor(msgspec.Struct):
    message: Message | None = None
    direction: str = ""


class Line(msgspec.Struct):
    type: str
    neighbor: Neighbor | None = None


decode = msgspec.json.Decoder(Line).decode


def read(lines: SimpleQueue[bytes | None]) -> None:
    """Lines of stdin, as they come."""
    rest = b""
    while octets := os.read(0, 1 << 20):
        *whole, rest = (rest + octets).split(b"\n")
        for line in whole:
            lines.put(line)
    lines.put(None)


def commands(line: bytes, routers: str) -> list[str]:
    """What an UPDATE of a host is to the routers."""
    if b'"update"' not in line:
        return []
    neighbor = decode(line).neighbor
    if neighbor is None or neighbor.message is None or neighbor.direction != "receive":
        return []
    update = neighbor.message.update
    if update is None:
        return []
    said = []
    for gone in update.withdraw.values():
        said += batches(f"{routers} withdraw attributes next-hop 0.0.0.0 nlri", gone)
    for by_next_hop in update.announce.values():
        for next_hop, prefixes in by_next_hop.items():
            path = " ".join(str(n) for e in update.attribute.as_path.values() for n in e.value)
            attributes = f"next-hop {next_hop} as-path [ {path} ] origin igp"
            said += batches(f"{routers} announce attributes {attributes} nlri", prefixes)
    return said


def batches(head: str, prefixes: list[Nlri]) -> list[str]:
    """Commands of at most BATCH prefixes."""
    return [
        f"{head} {' '.join(each.nlri for each in prefixes[start : start + BATCH])}\n"
        for start in range(0, len(prefixes), BATCH)
    ]


def main(addresses: list[str]) -> None:
    """Until stdin ends."""
    routers = " , ".join(f"neighbor {address}" for address in addresses)
    lines: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=read, args=[lines], daemon=True).start()
    while (line := lines.get()) is not None:
        if said := commands(line, routers):
            sys.stdout.write("".join(said))
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
