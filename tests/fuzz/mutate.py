"""Mutations that keep the structure: of a JSON document, of a text of lines.

atheris mutates octets, which seldom gets past a parser. These change the content of a document: a
value becomes one of the awkward ones, a member goes, comes twice or moves elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from fuzz.text import loads

HOSTILE_TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\x7f\x08",
    "line\nfeed\r\n",
    "\u2028\u0085",
    "\u202etxet\u2066",
    "\ufeff\u200b",
    "\ud800",
    "\U0001f4a9",
    "'\"`\\",
    "{[(<>)]}",
    "; drop table audit --",
    "[red]markup[/red]",
    ":smile: %s %n {0} ${x}",
    "nlri 10.0.0.0/8 neighbor * json",
    "x" * 300,
)
"""Names that an attacker would choose."""

NUMBERS = (
    -1, 0, 1, 2, 23456, 65000, 65005, 65100, 65535, 65536, 2**31, 2**32 - 1, 2**32, 2**53 + 1,
    2**63, 2**64, 10**30, 0.5, 1.0, -0.0, 1e308,
)  # fmt: skip

WORDS = (
    "update", "state", "open", "refresh", "notification", "send", "receive", "up", "down",
    "connected", "ipv4", "ipv6", "unicast", "multicast", "ipv4 unicast", "ipv6 unicast",
    "ipv4 flow", "l2vpn evpn", "igp", "egp", "incomplete", "as-sequence", "as-set",
    "as-confed-sequence", "as-confed-set", "treat-as-withdraw", "discard", "no-nexthop", "begin",
    "end", "query", "ESTABLISHED", "IDLE", "5.0.0", "4.0.1", "6.0.0", "AS65005", "AS0", "as23456",
    "closing connection", "stop, message [removed]", "notification received (6,2)", "receive",
    "send/receive",
    "127.10.1.1", "127.10.1.2", "127.10.1.3", "127.10.2.1", "127.10.2.2", "2001:db8:f::1",
    "fe80::1", "::", "0.0.0.0", "255.255.255.255", "::ffff:10.0.0.1", "10.0.0.1%eth0",
    "192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24", "203.0.113.7/32", "10.0.0.1/24", "0.0.0.0/0",
    "127.0.0.1/32", "192.0.2.1/33", "192.0.2.1/999", "192.0.2.1/032", "192.0.2.1",
    "2001:db8:1::1/128", "2001:db8:1::/64", "::ffff:192.0.2.1/128", "2001:db8::1/129",
    "ff02::1/128", "0.0.0.7", "0.0.0.0", "255.255.255.255",
)  # fmt: skip

Mutation = Callable[[bytes, Random], bytes | None]
"""Makes other octets of some, or None when it has no idea."""


def scalar(random: Random) -> Any:
    """One awkward value."""
    kind = random.randrange(10)
    if kind < 5:
        return random.choice(WORDS)
    if kind < 7:
        return random.choice(NUMBERS)
    if kind < 9:
        return random.choice(HOSTILE_TEXTS)
    return random.choice((None, True, False, [], {}, [[]], {"": None}))


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every member and item of a document, parents first."""
    found: list[tuple[Any, ...]] = []
    waiting = [(at, node)]
    while waiting and len(found) < 2000:
        way, value = waiting.pop()
        if isinstance(value, dict):
            inner = [((*way, name), item) for name, item in value.items()]
        elif isinstance(value, list):
            inner = [((*way, index), item) for index, item in enumerate(value)]
        else:
            continue
        found += [place for place, _ in inner]
        waiting += inner
    return found


def mutate_json(data: bytes, random: Random) -> bytes | None:
    """Another document: one to three places of `data` are something else."""
    document = loads(data)
    if not isinstance(document, dict | list):
        return None
    for _ in range(random.randint(1, 3)):
        _change(document, random)
    return json.dumps(document).encode()


def _change(document: Any, random: Random) -> None:
    ways = places(document)
    if not ways:
        return
    way = random.choice(ways)
    parent = document
    for step in way[:-1]:
        parent = parent[step]
    step = way[-1]
    match random.randrange(8):
        case 0:
            del parent[step]
        case 1 if isinstance(parent, dict):
            parent[str(scalar(random))] = parent.pop(step)
        case 2 if isinstance(parent, list):
            parent += [parent[step]] * random.choice((1, 1, 2, 40))
        case 3 if isinstance(parent[step], dict | list):
            parent[step] = [parent[step]] if random.random() < 0.5 else {"x": parent[step]}
        case 4:
            parent[step] = _at(document, random.choice(ways))
        case 5 if isinstance(parent[step], int):
            parent[step] += random.choice((-1, 1, 1 << 16, 1 << 32))
        case 6 if isinstance(parent[step], str):
            cut = random.randrange(len(parent[step]) + 1)
            parent[step] = parent[step][:cut] + str(scalar(random)) + parent[step][cut:]
        case _:
            parent[step] = scalar(random)


def _at(document: Any, way: tuple[Any, ...]) -> Any:
    """A copy of what is there."""
    for step in way:
        document = document[step]
    return json.loads(json.dumps(document))


def mutate_lines(pool: Sequence[bytes], inside: Sequence[Mutation] = ()) -> Mutation:
    """A mutation of texts of lines: lines go, come (from `pool`), double, trade places, or are
    changed by one of `inside`."""

    def mutate(data: bytes, random: Random) -> bytes | None:
        lines = data.split(b"\n")
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(lines) + 1)
            here = min(at, len(lines) - 1)
            match random.randrange(7):
                case 0 if len(lines) > 1:
                    del lines[here]
                case 1:
                    lines[at:at] = lines[here : here + random.randint(1, 8)]
                case 2:
                    other = random.randrange(len(lines))
                    lines[here], lines[other] = lines[other], lines[here]
                case 3 | 4:
                    lines.insert(at, random.choice(pool))
                case _:
                    ideas = random.sample(inside, len(inside))
                    tried = (idea(lines[here], random) for idea in ideas)
                    lines[here] = next((line for line in tried if line is not None), lines[here])
        return b"\n".join(lines)

    return mutate


def mutate_words(data: bytes, random: Random) -> bytes | None:
    """One word of a line is another."""
    words = data.split(b" ")
    words[random.randrange(len(words))] = str(scalar(random)).encode("utf-8", "replace")
    return b" ".join(words)


def mutate_setting(data: bytes, random: Random) -> bytes | None:
    """The value of a TOML line `name = value` is another one that TOML can write."""
    name, equals, value = data.partition(b" = ")
    if not equals:
        return None
    match random.randrange(6):
        case 0:
            return name + equals + b"[" + value + b", " + value + b"]"
        case 1:
            return b"%s.%s" % (random.choice((b"x", b'"\\u001b"', b"asn")), data)
        case 2:
            return name + equals + b"9" * random.choice((20, 4000, 5000))
        case 3:
            return name + equals + b"0x" + b"f" * random.choice((8, 40, 5000))
    text = json.dumps(scalar(random))  # JSON's strings and lists are TOML's, too
    return (name + equals).decode("utf-8", "replace").encode() + text.encode()
