"""The least that a helper of ExaBGP's can do: announce the routes of hosts to the routers.

    python null_helper.py [--batch 300] [--apart] [--singly] [--no-origin] ROUTER [ROUTER ...]

--apart: a command for each router, instead of one for all. --singly: a command for each prefix, in
the words that are meant for one. --no-origin: the command leaves out what ExaBGP adds by itself.

It judges nothing and remembers nothing; of each line it decodes what a command needs. What is left
of the rate with it is ExaBGP's own. A thread reads, so that ExaBGP is never kept waiting.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from queue import SimpleQueue
from typing import NamedTuple

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


class Wording(NamedTuple):
    """Form of commands."""

    selectors: list[str]
    """One command for each."""
    batch: int
    """Prefixes in a command."""
    is_singly: bool
    origin: str


def commands(line: bytes, wording: Wording) -> list[str]:
    """Effect of an UPDATE of a host on the routers."""
    if b'"update"' not in line:
        return []
    neighbor = decode(line).neighbor
    if neighbor is None or neighbor.message is None or neighbor.direction != "receive":
        return []
    update = neighbor.message.update
    if update is None:
        return []
    found = []
    for gone in update.withdraw.values():
        found += batches("withdraw", "next-hop 0.0.0.0", gone, wording)
    for by_next_hop in update.announce.values():
        for next_hop, prefixes in by_next_hop.items():
            path = " ".join(str(n) for e in update.attribute.as_path.values() for n in e.value)
            attributes = f"next-hop {next_hop} as-path [ {path} ]{wording.origin}"
            found += batches("announce", attributes, prefixes, wording)
    return found


def batches(verb: str, attributes: str, prefixes: list[Nlri], wording: Wording) -> list[str]:
    """The commands for all of `prefixes`."""
    texts = [each.nlri for each in prefixes]
    if wording.is_singly:
        heads = [f"{selector} {verb} route" for selector in wording.selectors]
        return [f"{head} {text} {attributes}\n" for text in texts for head in heads]
    heads = [f"{selector} {verb} attributes {attributes} nlri" for selector in wording.selectors]
    starts = range(0, len(texts), wording.batch)
    together = [" ".join(texts[start : start + wording.batch]) for start in starts]
    return [f"{head} {words}\n" for words in together for head in heads]


def main() -> None:
    """Run until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--singly", action="store_true")
    parser.add_argument("--no-origin", action="store_true")
    parser.add_argument("routers", nargs="+")
    args = parser.parse_args()
    routers = [f"neighbor {address}" for address in args.routers]
    selectors = routers if args.apart else [" , ".join(routers)]
    origin = "" if args.no_origin else " origin igp"
    wording = Wording(selectors, args.batch, args.singly, origin)
    lines: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=read, args=[lines], daemon=True).start()
    while (line := lines.get()) is not None:
        if found := commands(line, wording):
            sys.stdout.write("".join(found))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
