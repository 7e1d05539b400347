"""A scripted ExaBGP around a real `rsfilter run`: real process, real pipes, perfect obedience.

For what the real ExaBGP cannot do on demand, such as writing on while it does not read. It carries
out commands at once and in order, replies `done`, and shows End-of-RIBs as sent.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

CHANGE = re.compile(r"(neighbor .*) (announce|withdraw) attributes (.*) nlri (.*)")
ANSWERS = {"version": b"exabgp 5.0.15\n", "show neighbor json": b"[]\n"}
MARKED = (b"exabgp 5.0.15\n", b"done\n")
"""The answer to the mark with which the filter begins a query (`exabgp.conversation`)."""

PACE_S = 0.02

SOCKET = 'socket = "rsfilter.sock"'
"""Socket in [http], beside the configuration."""


def line(kind: str, peer: str, asn: int, rest: str) -> bytes:
    """A line as ExaBGP 5.0 prints it; `rest` goes into the neighbor object."""
    return (
        f'{{ "exabgp": "5.0.0", "time": 1795376896.8, "host" : "rs", "pid" : 1, "ppid" : 1, '
        f'"counter": 1, "type": "{kind}", "neighbor": {{ "address": {{ "local": "192.0.2.100", '
        f'"peer": "{peer}" }}, "asn": {{ "local": 65100, "peer": {asn} }}, '
        f'"router-id": "192.0.2.100" , {rest} }} }}\n'
    ).encode()


def state(peer: str, asn: int, what: str, reason: str = "") -> bytes:
    """A session's `up` or `down`."""
    why = f', "reason": "{reason}"' if reason else ""
    return line("state", peer, asn, f'"state": "{what}"{why}')


def announce(peer: str, asn: int, prefixes: list[str], *, next_hop: str = "") -> bytes:
    """An UPDATE of a host: its own ASN, its own next hop."""
    nlri = ", ".join(f'{{ "nlri": "{prefix}" }}' for prefix in prefixes)
    family = "ipv6 unicast" if ":" in prefixes[0] else "ipv4 unicast"
    return line(
        "update",
        peer,
        asn,
        f'"direction": "receive", "message": {{ "update": {{ "attribute": {{ "origin": "igp", '
        f'"as-path": {{"0": {{"element": "as-sequence", "value": [{asn}]}}}} }}, "announce": '
        f'{{ "{family}": {{ "{next_hop or peer}": [ {nlri} ] }} }} }} }}',
    )


def withdraw(peer: str, asn: int, prefixes: list[str]) -> bytes:
    """An UPDATE of a host that takes prefixes back."""
    nlri = ", ".join(f'{{ "nlri": "{prefix}" }}' for prefix in prefixes)
    family = "ipv6 unicast" if ":" in prefixes[0] else "ipv4 unicast"
    update = f'{{ "withdraw": {{ "{family}": [ {nlri} ] }} }}'
    return line("update", peer, asn, f'"direction": "receive", "message": {{ "update": {update} }}')


def end_of_rib(peer: str, asn: int, family: int) -> bytes:
    """Send the End-of-RIB of a host for a family, 4 or 6."""
    eor = f'{{ "afi" : "ipv{family}", "safi" : "unicast" }}'
    return line("update", peer, asn, f'"direction": "receive", "message": {{ "eor": {eor} }}')


def sent_end_of_rib(peer: str, asn: int, family: str) -> bytes:
    """ExaBGP shows an End-of-RIB that it sent."""
    afi, safi = family.split()
    return line(
        "update",
        peer,
        asn,
        f'"direction": "send", "message": {{ "eor": {{ "afi" : "{afi}", "safi" : "{safi}" }} }}',
    )


def _own_http(config: Path) -> str:
    """The `address:port` of the configuration's [http]; written into it when there is none, so
    that filters at the same time do not want the same port."""
    text = config.read_text()
    if found := re.search(r'^listen = "(.+)"$', text, re.MULTILINE):
        if not re.search("^socket = ", text, re.MULTILINE):
            config.write_text(text.replace(found[0], f"{found[0]}\n{SOCKET}"))
        return found[1]
    address = ".".join(str(random.randint(1, 254)) for _ in range(3))
    listen = f"127.{address}:8480"
    config.write_text(f'{text}\n[http]\nlisten = "{listen}"\n{SOCKET}\n')
    return listen


class Speaker:
    """Runs the filter. Reads and obeys it on a thread of its own, while `is_reading`."""

    ANSWERS: Mapping[str, bytes] = ANSWERS
    PROGRAM: Sequence[str] = (sys.executable,)

    def __init__(self, config: Path, routers: dict[str, int], *arguments: str) -> None:
        self.config = config
        self.routers = routers
        self.http = _own_http(config)
        """Address where its HTTP API listens."""
        self._config = config
        self.tables: dict[str, dict[str, str]] = {router: {} for router in routers}
        """Tables by router: prefix -> attributes."""
        self.commands: Counter[str] = Counter()
        self.received = bytearray()
        self.is_reading = threading.Event()
        self.is_reading.set()
        self.is_replying = True
        self._replies: list[bytes] = []
        """Kept back while it is not replying."""
        self._write_lock = threading.Lock()
        self.process = subprocess.Popen(
            [*self.PROGRAM, "-m", "rsfilter", "run", "-c", str(config), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(config.parent / "rsfilter.log").open("wb"),
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._obey, daemon=True)

    def __enter__(self) -> Speaker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_reading.set()
        self.process.kill()
        self.process.wait()
        self._thread.join(10)

    def write(self, data: bytes) -> None:
        """Write as ExaBGP does: blocking."""
        assert self.process.stdin
        with self._write_lock:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def ends(self, deadline: float = 120.0) -> None:
        """Close the filter's stdin, and wait for its end."""
        assert self.process.stdin
        with self._write_lock:
            self.process.stdin.close()
        assert self.process.wait(deadline) == 0
        self._thread.join(10)

    def reloads(self, configuration: str) -> None:
        """Write another configuration, with the same HTTP API, and signal the filter."""
        text = f'{configuration}\n[http]\nlisten = "{self.http}"\n{SOCKET}\n'
        self._config.write_text(text)
        os.kill(self.process.pid, signal.SIGHUP)

    def rss(self) -> int:
        """Resident memory of the filter, in kilobytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1])

    def wait(self, what: str, condition: Callable[[], bool], deadline: float = 120.0) -> None:
        """Polls until the condition holds."""
        end = time.monotonic() + deadline
        while not condition():
            assert self.process.poll() is None, f"the filter ended with {self.process.returncode}"
            assert time.monotonic() < end, f"still not {what}: {self.commands}"
            time.sleep(PACE_S)

    def _obey(self) -> None:
        assert self.process.stdout
        fd, rest = self.process.stdout.fileno(), b""
        while self.is_reading.wait() and (chunk := os.read(fd, 65536)):
            self.received += chunk
            *lines, rest = (rest + chunk).split(b"\n")
            for text in lines:
                self._carry_out(text.decode("ascii"))

    def _carry_out(self, text: str) -> None:
        if text == "reset":
            return  # the only one without a reply
        before, replies = self.ANSWERS.get(text, b""), []
        if change := CHANGE.fullmatch(text):
            selectors, verb, attributes, prefixes = change.groups()
            self.commands[verb] += 1
            for router in selectors.replace("neighbor ", "").split(" , "):
                table = self.tables[router]
                for prefix in prefixes.split():
                    if verb == "announce":
                        table[prefix] = attributes
                    else:
                        table.pop(prefix, None)
        elif " announce eor " in text:
            self.commands["eor"] += 1
            _, router, _, _, family = text.split(maxsplit=4)
            replies.append(sent_end_of_rib(router, self.routers[router], family))
        else:
            self.commands[text] += 1
        self._replies += [before, b"done\n", *replies]
        if self.is_replying:
            self.replies()

    def replies(self) -> None:
        """Write the replies that were kept back, and from now on each at once."""
        self.is_replying = True
        kept, self._replies = self._replies, []
        with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile
            self.write(b"".join(kept))
