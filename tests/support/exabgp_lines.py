"""The captured lines, and lines built around a message as ExaBGP 5.0 builds them."""

from __future__ import annotations

import json
from typing import Any

from support.places import ROOT

from rsfilter.exabgp.decode import decode
from rsfilter.routing.events import Update
from rsfilter.routing.model import Attributes

FIXTURES = ROOT / "fixtures" / "exabgp"
PEER = "127.10.1.1"
"""Host of the lines that `line_of` builds: AS 65005."""


def capture(dialect: str, name: str) -> list[bytes]:
    return (FIXTURES / dialect / f"{name}.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")


CAPTURES = [
    (name, file.stem) for name in ("4.2", "5.0") for file in sorted((FIXTURES / name).glob("*"))
]
LINES = sorted({line for name, stem in CAPTURES for line in capture(name, stem)})
SHORT_LINES = [line for line in LINES if len(line) < 1500]


def line_of(message: dict[str, Any], *, direction: str = "receive", api: str = "5.0.0") -> bytes:
    """An update line as ExaBGP 5.0 builds it around `message`."""
    return (
        f'{{ "exabgp": "{api}", "time": 1795376896.8110952, "host" : "vm", "pid" : 7119, '
        '"ppid" : 7038, "counter": 5, "type": "update", "neighbor": { "address": { "local": '
        f'"127.10.0.100", "peer": "{PEER}" }}, "asn": {{ "local": 65100, "peer": 65005 }}, '
        f'"router-id": "127.10.0.100" , "direction": "{direction}", '
        f'"message": {json.dumps(message)} }} }}'
    ).encode()


def update_of(attribute: dict[str, Any] | None = None, announces: Any = None) -> Update:
    """The decoded UPDATE of one prefix; `attribute` is merged into a plain set."""
    plain = {"origin": "igp", "as-path": {"0": {"element": "as-sequence", "value": [65005]}}}
    message = decode(
        line_of(
            {
                "update": {
                    "attribute": {**plain, **(attribute or {})},
                    "announce": announces or {"ipv4 unicast": {PEER: [{"nlri": "192.0.2.1/32"}]}},
                }
            }
        )
    )
    assert isinstance(message, Update), message
    return message


def attributes_of(attribute: dict[str, Any]) -> Attributes:
    """The decoded attributes of that UPDATE's one route."""
    (route,) = update_of(attribute).announced
    return route.attributes
