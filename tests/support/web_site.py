"""A running filter with an HTTP API, for the tests of what talks to it: real process, scripted
ExaBGP. Two hosts; hv1 announces .1, .2 and .3 of its own, and hv2 .4, which is hv1's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.config_sample import configuration
from support.speaker import Speaker, announce, state

ROUTER = "192.0.2.10"
HV1, HV2 = ("198.51.100.1", 65001), ("198.51.100.2", 65002)
TOKEN = "0123456789abcdef"

CONFIG = (
    configuration()
    + """
[guard]
min_loss = 2

[readiness]
drain_time = 60

[http]
listen = "{listen}"
socket = "{socket}"
token_file = "token"
"""
)


def hosts(**owned: list[str]) -> dict[str, Any]:
    """A truth: prefixes by host. hv1 is AS65001 at 198.51.100.1, and so on."""
    entries = [
        {
            "name": name,
            "asn": 65000 + int(name[2:]),
            "neighbors": [f"198.51.100.{name[2:]}"],
            "prefixes": prefixes,
        }
        for name, prefixes in owned.items()
    ]
    return {"hosts": entries, "metadata": {"revision": "r1"}}


BEFORE = hosts(hv1=["203.0.113.0/28"], hv2=["203.0.113.16/28"])
"""The state: hv1 announces .1, .2 and .3, hv2 the stolen .4."""


@contextmanager
def running_site(
    place: Path,
    listen: str = "",
    socket: str = "rsfilter.sock",
    truth: dict[str, Any] | None = None,
    absent_after: int = 300,
) -> Iterator[Speaker]:
    """The filter, its files in `place`."""
    listen = listen or f"127.77.{random.randint(0, 255)}.{random.randint(1, 254)}:8480"
    file = 'file = "truth.json"'
    text = CONFIG.format(listen=listen, socket=socket)
    text = text.replace(file, f"{file}\nabsent_after = {absent_after}")
    (place / "rsfilter.toml").write_text(text)
    (place / "truth.json").write_text(json.dumps(truth or BEFORE))
    (place / "token").write_text(TOKEN + "\n")
    (place / "token").chmod(0o600)
    with Speaker(place / "rsfilter.toml", {ROUTER: 65200}) as speaker:
        speaker.write(state(ROUTER, 65200, "up"))
        for address, asn in (HV1, HV2):
            speaker.write(state(address, asn, "up"))
        speaker.write(announce(*HV1, [f"203.0.113.{n}/32" for n in (1, 2, 3)]))
        speaker.write(announce(*HV2, ["203.0.113.4/32"]))
        speaker.wait("three routes at the router", lambda: len(speaker.tables[ROUTER]) == 3)
        yield speaker


AFTER = hosts(hv1=["203.0.113.1/32", "203.0.113.2/32"], hv2=["203.0.113.3/32", "203.0.113.4/32"])
""".3 moves from hv1 to hv2, and .4 becomes hv2's: one is lost and one gained."""
