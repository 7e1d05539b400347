"""BIRD as a host and as a router, driven by its configuration and its control socket.

A host's sessions are `rs client`: BIRD then sends the AS path and the next hop exactly as the
export filter makes them, so a host can lie as a test wants it to.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from lab.core import LabError
from lab.host import Host
from lab.router import Router
from lab.routes import Announcement, Community, Path, Table, as_path_of
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker
from lab.story import narrate

LINK = "lan"
"""The interface of a host that is on a link."""


class Bird(Speaker):
    """One BIRD and its control socket."""

    ERROR = re.compile(r"<(ERR|WARN|RMT|AUTH|BUG|FATAL)>")
    REACH = "multihop;"
    """Distance to its neighbors: all addresses of a lab are on one loopback."""
    words: str = ""
    """More statements for each of its sessions."""
    options: tuple[str, ...] = ()
    """More words for its command line."""

    # Life -------------------------------------------------------------------------------------

    def starts(self) -> None:
        """Start it with its present configuration; returns when it answers."""
        self._write()
        argv = [
            *self._outside(),
            "bird",
            "-f",
            "-c",
            "bird.conf",
            "-s",
            "bird.ctl",
            "-P",
            "bird.pid",
            *self.options,
        ]
        self.run(argv, lambda: self.control("show status"))

    def _outside(self) -> list[str]:
        """The beginning of its command line, when it is not to run in the lab's own network."""
        return []

    def shuts_down(self) -> None:
        """Administrative shutdown of every session: NOTIFICATION Cease/2."""
        narrate(f"{self.name} shuts its sessions down (Cease, administrative shutdown)")
        self.control('disable "*"')

    def comes_back(self) -> None:
        """Undo `shuts_down`, or end `is_idle`."""
        self.is_idle = False
        narrate(f"{self.name} opens its sessions")
        self.control('enable "*"')

    # Control ----------------------------------------------------------------------------------

    def control(self, command: str) -> list[str]:
        """Return BIRD's answer. Raises OSError when it is not there, LabError when it objects."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.place / "bird.ctl"))
            stream = connection.makefile("rw")
            _reply(stream)  # the greeting
            stream.write(command + "\n")
            stream.flush()
            code, lines = _reply(stream)
        if code >= 8000:  # doc/reply_codes: run-time and syntax errors
            raise LabError(f"{self.name}: {command!r}: {lines}")
        return lines

    def hints(self) -> list[str]:
        """Commands with which a person may watch it, or play with it."""
        birdc = f"birdc -s {self.place}/bird.ctl"
        return [f"{birdc} show route all", f"{birdc} show protocols"]

    def _write(self) -> None:
        (self.place / "bird.conf").write_text(self._configuration())

    def _reconfigure(self) -> None:
        self._write()
        self.control("configure")

    def _configuration(self) -> str:
        raise NotImplementedError

    def _head(self) -> str:
        return (
            f'log "{self.log.name}" all;\ntimeformat log iso long us;\n'
            f"router id {self.router_id};\nprotocol device {{ }}\n"
        )

    def _session(self, other: Endpoint, family: int, options: str, channel: str) -> str:
        channels = "\n".join(f"  ipv{f} {{ {channel.format(f)} }};" for f in self.carried[family])
        return f"""
protocol bgp {session_name(other, family)} {{
  local {self.addresses[family]} port {self.port} as {self.asn};
  neighbor {other.addresses[family]} port {other.port} as {other.asn};
  {self.REACH} strict bind on; enable extended messages on;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  {self.words} {options}
{channels}
}}
"""

    # What it knows ----------------------------------------------------------------------------

    def sessions(self) -> dict[str, bool]:
        """Its sessions by name, and which are established."""
        found = {}
        for line in self.control("show protocols"):
            words = line.split()
            if len(words) > 3 and words[1] == "BGP":
                found[words[0]] = "Established" in words
        return found

    def table(self) -> Table:
        """The paths it has learnt, by prefix."""
        paths: Table = {}
        for family in self.addresses:
            lines = self.control(f"show route all table master{family}")
            for path in parse_routes(lines):
                paths.setdefault(path.prefix, []).append(path)
        return paths


class BirdHost(Bird, Host):
    """A hypervisor: announces the given routes to one or more route servers."""

    def repeats(self) -> None:
        """Send everything again, unchanged."""
        narrate(f"{self.name} sends everything again")
        for name in self.sessions():
            self.control(f"reload out {name}")

    def _announce(self, prefixes: Sequence[str]) -> None:
        self._reconfigure()

    def _withdraw(self, gone: dict[str, Announcement]) -> None:
        self._reconfigure()

    def _configuration(self) -> str:
        text = self._head()
        for family in self.addresses:
            mine = self._announced_in(family)
            text += self._sources(family, list(mine)) + self._export_filter(family, mine)
        options = f"rs client; hold time {self._hold_time_s};"
        if self.is_idle:
            options += " disabled on;"
        channel = "import all; export filter announced{};"
        for other in self._route_servers:
            for family in self.carried:
                text += self._session(other, family, options, channel)
        return text

    def _sources(self, family: int, prefixes: Sequence[str]) -> str:
        """The protocols that what it announces comes from."""
        routes = "".join(f"  route {prefix} blackhole;\n" for prefix in prefixes)
        return f"protocol static static{family} {{\n  ipv{family};\n{routes}}}\n"

    def _export_filter(self, family: int, announced: dict[str, Announcement]) -> str:
        kinds: dict[str, list[str]] = {}
        for prefix, announcement in announced.items():
            kinds.setdefault(self._attributes(announcement), []).append(prefix)
        honest = self._attributes(Announcement())
        body = "".join(
            f"  if net ~ [ {', '.join(prefixes)} ] then {{ {attributes} accept; }}\n"
            for attributes, prefixes in kinds.items()
            if attributes != honest
        )
        return (
            f"filter announced{family} {{\n  if source != RTS_STATIC then reject;\n{body}"
            f"  {honest} accept;\n}}\n"
        )

    def _attributes(self, announcement: Announcement) -> str:
        path = (self.asn,) if announcement.as_path is None else announcement.as_path
        statements = ["bgp_path.empty"]
        statements += [f"bgp_path.prepend({asn})" for asn in reversed(path)]
        if announcement.next_hop is not None:  # else it is the address of each session
            statements.append(f"bgp_next_hop = {announcement.next_hop}")
        if announcement.med is not None:
            statements.append(f"bgp_med = {announcement.med}")
        statements += [f"bgp_community.add({_tuple(c)})" for c in announcement.communities]
        statements += [
            f"bgp_large_community.add({_tuple(c)})" for c in announcement.large_communities
        ]
        statements += announcement.clauses
        return " ".join(f"{statement};" for statement in statements)


class BirdHostOnLink(BirdHost):
    """A hypervisor on a link with the route servers: its IPv6 next hops are two (RFC 2545), its own
    address and the link-local one. It has no IPv4."""

    REACH = f'direct; interface "{LINK}";'

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.addresses = {6: self.addresses[6]}
        self.carried = {6: (6,)}
        self.link_local = f"fe80::{self.router_id.rpartition('.')[2]}"
        self.lab.run(["ip", "address", "delete", f"{self.addresses[6]}/128", "dev", "lo"])
        theirs = [other.addresses[6] for other in self._route_servers]
        self._network = self.lab.link(LINK, [self.addresses[6], self.link_local], theirs)

    def _outside(self) -> list[str]:
        return self._network


TELL = 'print "received|", net, "|", bgp_next_hop, "|", bgp_path, "|", bgp_community;'
"""Writes each route that comes into the log: `lab.probe` reads it there."""


class BirdRouter(Bird, Router):
    """A router that learns from route servers, with ADD-PATH when `paths` is "all"."""

    further = ""
    """More options of its sessions."""

    hold_time_s = HOLD_TIME_S

    def requests_refresh(self) -> None:
        """Make it request all routes from the route servers again."""
        for name in self.sessions():
            self.control(f"reload in {name}")

    def _configuration(self) -> str:
        text = self._head()
        channel = f"import filter {{{{ {TELL} accept; }}}}; export none;" + (
            " add paths rx;" if self.paths == "all" else ""
        )
        first = "on" if self.enforces_first_as else "off"
        options = (
            f"passive on; hold time {self.hold_time_s}; enforce first as {first};"
            f" debug {{ routes }}; {self.further}"
        )
        for other in self._route_servers:
            for family in self.carried:
                text += self._session(other, family, options, channel)
        return text

    def moment(self) -> int:
        """Now, as a place in the history of changes."""
        return self.log.stat().st_size

    def received(self) -> int:
        """Announcements and withdrawals that have come in, repetitions included."""
        return sum(
            int(match[1])
            for line in self.control("show protocols all")
            if (match := _RECEIVED.match(line))
        )

    def changes(self, since: int = 0) -> list[tuple[str, str]]:
        """Return the changes of the table: ("added" | "replaced" | "removed", prefix), in order."""
        with open(self.log, "rb") as log:
            before = log.read(since).decode(errors="replace")
            after = log.read().decode(errors="replace")
        return parse_changes(before, after)


def session_name(other: Endpoint, family: int) -> str:
    """The name of the session toward another, as BIRD's configuration has it."""
    return f"{other.name}_{family}"


def _tuple(numbers: Community) -> str:
    return f"({','.join(map(str, numbers))})"


def _reply(stream: Iterable[str]) -> tuple[int, list[str]]:
    """One reply: lines `CODE-text`, ` text` (the code before goes on), and `CODE text` at last."""
    lines = []
    for line in stream:
        line = line.rstrip("\n")
        if line[:1] in (" ", "+"):
            lines.append(line[1:])
            continue
        lines.append(line[5:])
        if line[4] == " ":
            return int(line[:4]), lines
    raise OSError("BIRD closed its control socket")


_ROUTE = re.compile(r"^(?P<prefix>\S*)\s+\S+ \[(?P<protocol>\S+) [^]]*\](?P<best> \*)? \(")
_ATTRIBUTE = re.compile(r"^\s*BGP\.(?P<name>\w+): (?P<value>.*)$")
_NUMBERS = re.compile(r"\(([^)]*)\)")


def parse_routes(lines: Iterable[str]) -> list[Path]:
    """The BGP paths in `show route all`, where only a prefix's first path names it."""
    found: list[tuple[str, str, bool, dict[str, str]]] = []
    prefix = ""
    for line in lines:
        if match := _ROUTE.match(line):
            prefix = match["prefix"] or prefix
            found.append((prefix, match["protocol"], match["best"] is not None, {}))
        elif (match := _ATTRIBUTE.match(line)) and found:
            found[-1][3][match["name"]] = match["value"]
    return [
        _path(prefix, protocol, best, attributes)
        for prefix, protocol, best, attributes in found
        if attributes
    ]


def _path(prefix: str, protocol: str, best: bool, attributes: dict[str, str]) -> Path:
    return Path(
        prefix=prefix,
        neighbor=protocol,
        next_hop=attributes.get("next_hop", "").split(" ")[0],
        as_path=as_path_of(attributes.get("as_path", "")),
        best=best,
        med=int(attributes["med"]) if "med" in attributes else None,
        communities=communities_of(attributes.get("community", "")),
        large_communities=communities_of(attributes.get("large_community", "")),
    )


def communities_of(text: str) -> frozenset[Community]:
    """The communities in what BIRD prints: `(65535,0) (65005,1,2)`."""
    return frozenset(
        tuple(int(number) for number in group.split(",")) for group in _NUMBERS.findall(text)
    )


_RECEIVED = re.compile(r"^\s+Import (?:updates|withdraws):\s+(\d+)")

_CHANGE = re.compile(
    r"<TRACE> (?P<channel>\S+) > (?P<verb>added|removed)(?: \[\w+\])?"
    r" (?P<prefix>\S+) (?P<path>\d+)L"
)


def parse_changes(before: str, after: str) -> list[tuple[str, str]]:
    """Return the changes in `after`; `before` is the log up to there.

    BIRD writes "added" for a new path and for a changed one, with the path's local number. The
    paths there were before distinguish the two.
    """
    present: set[tuple[str, str, str]] = set()
    changes = []
    for text, wanted in ((before, False), (after, True)):
        for match in _CHANGE.finditer(text):
            path = (match["channel"], match["prefix"], match["path"])
            verb = match["verb"]
            if verb == "removed":
                present.discard(path)
            elif path in present:
                verb = "replaced"
            else:
                present.add(path)
            if wanted:
                changes.append((verb, match["prefix"]))
    return changes
