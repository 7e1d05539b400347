"""ExaBGP: with rsfilter as the route server, and alone as a host that sends what BIRD cannot."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGUSR1
from typing import Any

from lab.audit import Audit
from lab.core import ENVIRONMENT, Lab, LabError
from lab.host import Host
from lab.routes import Announcement
from lab.speaker import Endpoint, Speaker
from lab.story import narrate
from lab.waiting import eventually

PROGRAMS = Path(sys.executable).parent
"""Directory of `exabgp`: beside the interpreter that runs the tests."""

STOCK = "RSFILTER_LAB_STOCK"
"""Environment variable: route servers run ExaBGP with nothing replaced (`pytest --stock`)."""

Section = Mapping[str, object]


class ExaBgp(Speaker):
    """One ExaBGP; its output and that of its helpers go to one log."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.log = self.place / "output"

    def state(self) -> str:
        """Return an empty text: ExaBGP's output is in its log."""
        return ""

    def _environment(self) -> dict[str, str]:
        path = f"{PROGRAMS}:{ENVIRONMENT['PATH']}"
        return {"PATH": path, "PYTHONUNBUFFERED": "1"}

    def _takes_in_its_file(self) -> None:
        """Make it reload (SIGUSR1); returns when it has.

        ExaBGP 5.0.15 forgets the signal while a peer has routes that were not sent yet. A reload
        that has begun needs no other signal, which would only have it reload twice.
        """
        before, begun = self._reloads(), self._reloads_begun()
        again_at, patience_s = 0.0, 1.0

        def probe() -> str | None:
            nonlocal again_at, patience_s
            if self._reloads() > before:
                return None
            if self._reloads_begun() == begun and (now := time.monotonic()) >= again_at:
                self.process.send(SIGUSR1)
                again_at, patience_s = now + patience_s, 2 * patience_s
            return f"{self.name} has not reloaded"

        eventually(probe, self.lab.report)

    def _reloads(self) -> int:
        return self._logged("loaded new configuration successfully")

    def _reloads_begun(self) -> int:
        return self._logged("performing reload of exabgp")

    def _logged(self, words: str) -> int:
        return self.log.read_text(errors="replace").count(words)

    def _listens(self) -> None:
        """Raise OSError while it does not listen on all its addresses."""
        for address in self.addresses.values():
            if not self.lab.is_listening(address, self.port):
                raise OSError(f"nobody listens on {address} port {self.port}")


class RouteServer(ExaBgp):
    """ExaBGP with rsfilter, as `rsfilter render exabgp` sets them up.

    `recorded`: what goes through the filter's pipes is written down, for `lines` and `commands`.
    The filter then is not ExaBGP's own child, so its death must not be part of the test.
    """

    ERROR = re.compile(r"ERROR|WARNING|CRITICAL|Traceback")
    HARMLESS = re.compile(
        r"Exception ignored in: <_io\.BufferedWriter.*\nTraceback.*\n(?:  .*\n)*BrokenPipeError.*\n"
    )
    """Message of ExaBGP's pipe to a filter that was killed; Python prints it since 3.13."""

    def __init__(
        self,
        lab: Lab,
        name: str = "rs",
        number: int = 100,
        asn: int = 65100,
        *,
        recorded: bool = False,
    ) -> None:
        super().__init__(lab, name, number, asn)
        self._recorded = recorded
        self.program = "rsfilter exabgp --stock" if os.environ.get(STOCK) else "rsfilter exabgp"
        """Command that starts ExaBGP: words for a shell."""
        self.replaced_by = ""
        """Command that ExaBGP runs in place of the filter: words for a shell."""
        self.altered: Callable[[str], str] = str
        """Change of the text of exabgp.conf once it is rendered."""
        self.keeps_recordings = False
        """Each filter writes a recording; it still is ExaBGP's own child."""
        self.configuration = self.place / "rsfilter.toml"
        self.truth = self.place / "truth.json"
        self.audit = Audit(self.place / "audit", lab.report)
        # Several filters share the loopback of a namespace; without one each has its own address.
        has_own = lab.isolation == "loopback"
        self.http = f"{self.addresses[4]}:8480" if has_own else f"127.0.0.1:{8480 + number}"

    def configure(
        self, hosts: Sequence[Section], routers: Sequence[Section], **sections: Section
    ) -> None:
        """Write rsfilter.toml: the groups of hosts and routers, and other sections by name."""
        own: Section = {
            "name": self.name,
            "asn": self.asn,
            "router_id": self.router_id,
            "local_address": list(self.addresses.values()),
            "port": self.port,
        }
        text = _toml("[route_server]", own)
        text += "".join(_toml("[[hosts]]", group) for group in hosts)
        text += "".join(_toml("[[routers]]", group) for group in routers)
        sections = {"http": {"listen": self.http, "socket": "rsfilter.sock"}, **sections}
        text += "".join(_toml(f"[{name}]", section) for name, section in sections.items())
        self.configuration.write_text(text)

    def writes_truth(self, document: object) -> None:
        """Replace the truth file in one step."""
        narrate(f"{self.name} is given another truth file")
        new = self.truth.with_suffix(".new")
        new.write_text(json.dumps(document))
        os.replace(new, self.truth)

    def starts(self) -> None:
        """Render and start ExaBGP; returns when it listens."""
        self.rsfilter("render", "exabgp", "-c", "rsfilter.toml", "-o", ".")
        path = self.place / "exabgp.conf"
        path.write_text(self.altered(path.read_text()))
        if self.replaced_by:
            self._has_its_filter(self.replaced_by)
        if self._recorded:
            self._record_the_pipes()
        if self.keeps_recordings:
            self._has_its_filter("exec {command} --record {place}/recording.$$")
        command = f"set -a; . ./exabgp.env; exec {self.program} server exabgp.conf"
        self.run(["sh", "-c", command], self._listens, **self._environment())

    def hints(self) -> list[str]:
        """Commands with which a person may watch it, or play with it."""
        rsfilter = PROGRAMS / "rsfilter"
        return [
            f"{rsfilter} audit tail --follow --directory {self.audit.directory}",
            f"{rsfilter} audit query --directory {self.audit.directory} PREFIX",
            f"$EDITOR {self.truth}",
        ]

    def rsfilter(self, *arguments: str, code: int = 0) -> str:
        """Return the output of `rsfilter ARGUMENTS` in this route server's directory. Raises
        LabError if it ends with another exit code."""
        argv = [sys.executable, "-P", "-m", "rsfilter", *arguments]
        return self.lab.run(argv, code=code, cwd=self.place, env=self._environment())

    def status(self) -> dict[str, Any]:
        """Return the answer of `rsfilter status`, whatever it reports. Raises LabError when no
        filter answers."""
        argv = [sys.executable, "-P", "-m", "rsfilter", "status", "-c", "rsfilter.toml", "--json"]
        output = self.lab.run(argv, cwd=self.place, env=self._environment(), check=False)
        found: dict[str, Any] = json.loads(output)
        if "health" not in found:
            raise LabError(output)
        return found

    def fetch(self, path: str) -> str:
        """Return the answer of the HTTP API to GET."""
        fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
        url = f"http://{self.http}{path}"
        return self.lab.run([sys.executable, "-c", fetch, url], env=self._environment())

    def metric(self, name: str) -> float:
        """A metric by its name with labels, as it stands in /metrics."""
        lines = self.fetch("/metrics").splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        return float(line.rpartition(" ")[2])

    def filter_pid(self) -> int:
        """The PID of rsfilter itself, as this process sees it."""
        (pid,) = self.lab.find(f"rsfilter run -c {self.configuration}")
        return pid

    def filter_restarts(self) -> None:
        """kill -9 the filter; returns when ExaBGP has started another one."""
        old = self.filter_pid()
        narrate(f"the filter of {self.name} dies (kill -9)")
        os.kill(old, SIGKILL)

        def probe() -> str | None:
            pids = self.lab.find(f"rsfilter run -c {self.configuration}")
            return None if pids and old not in pids else "no other filter runs"

        eventually(probe, self.lab.report)

    def reloads(self) -> None:
        """Render again, and have ExaBGP take it in; returns when it has."""
        self.rsfilter("render", "exabgp", "-c", "rsfilter.toml", "-o", ".")
        narrate(f"{self.name} reloads exabgp.conf")
        self._takes_in_its_file()

    # What went through the pipes ------------------------------------------------------------

    def _record_the_pipes(self) -> None:
        """Put `tee` before and after the filter, so that tests see each line and each command."""
        self._has_its_filter("tee -a {place}/lines | {command} | tee -a {place}/commands")

    def _has_its_filter(self, script: str) -> None:
        """Put a script of the shell in the place of the filter, which is its {command}."""
        path = self.place / "exabgp.conf"
        text = path.read_text()
        match = re.search(r"^\s*run (?P<command>.*);$", text, re.MULTILINE)
        assert match is not None, text
        wrapper = self.place / "recorded"
        script = script.format(place=shlex.quote(str(self.place)), command=match["command"])
        wrapper.write_text(f"#!/bin/sh\n{script}\n")
        wrapper.chmod(0o755)
        path.write_text(
            text[: match.start("command")] + str(wrapper) + text[match.end("command") :]
        )

    def recordings(self) -> list[list[dict[str, Any]]]:
        """Return the input of each filter from ExaBGP, in the order of their lives
        (`keeps_recordings`)."""
        files = sorted(self.place.glob("recording.*"), key=lambda file: file.stat().st_ctime)
        return [list(_recorded(file)) for file in files]

    def commands(self, since: int = 0) -> list[str]:
        """The commands that rsfilter has given, from a `moment` on."""
        with open(self.place / "commands") as file:
            file.seek(since)
            return file.read().splitlines()

    def lines(self) -> list[str]:
        """The lines that ExaBGP has given rsfilter."""
        return (self.place / "lines").read_text().splitlines()

    def moment(self) -> int:
        """Now, as a place in the commands."""
        return (self.place / "commands").stat().st_size


class ExaBgpHost(ExaBgp, Host):
    """A host whose announcements are ExaBGP's own words, raw attributes included."""

    ERROR = re.compile(r"Traceback")

    def _announce(self, prefixes: Sequence[str]) -> None:
        self._write()
        self._takes_in_its_file()

    def _withdraw(self, gone: dict[str, Announcement]) -> None:
        self._write()
        self._takes_in_its_file()

    def sessions(self) -> dict[str, bool]:
        """Return its sessions by name, and which have a connection: ExaBGP shows no more."""
        connected = self.lab.run(
            ["ss", "--no-header", "--tcp", "--numeric", "state", "established"]
        )
        pairs = {frozenset(map(_host, line.split()[2:4])) for line in connected.splitlines()}
        return {
            f"{other.name}_{family}": {self.addresses[family], other.addresses[family]} in pairs
            for other in self._route_servers
            for family in self.carried
        }

    def starts(self) -> None:
        """Start it; returns when it listens."""
        self._write()
        settings = {
            "exabgp_tcp_bind": " ".join(self.addresses.values()),
            "exabgp_tcp_port": str(self.port),
            "exabgp_api_cli": "false",
            "exabgp_daemon_user": "root",
        }
        self.run(
            ["exabgp", "server", "exabgp.conf"], self._listens, **self._environment(), **settings
        )

    def _write(self) -> None:
        sessions = "".join(
            self._session(other, family)
            for other in self._route_servers
            for family in self.addresses
        )
        (self.place / "exabgp.conf").write_text(sessions)

    def _session(self, other: Endpoint, family: int) -> str:
        routes = "".join(
            f"      unicast {prefix} {_words(announcement)};\n"
            for prefix, announcement in self._announced_in(family).items()
        )
        return f"""
neighbor {other.addresses[family]} {{
  router-id {self.router_id};
  local-address {self.addresses[family]};
  local-as {self.asn};
  peer-as {other.asn};
  hold-time {self._hold_time_s};
  connect {other.port};
  family {{ ipv{family} unicast; }}
{self._further(other)}  announce {{
    ipv{family} {{
{routes}    }}
  }}
}}
"""

    def _further(self, other: Endpoint) -> str:
        """More about the neighbor."""
        return ""


def _recorded(recording: Path) -> Iterator[dict[str, Any]]:
    for turn in recording.read_text().splitlines():
        with contextlib.suppress(ValueError):  # the end of a turn is being written, or never was
            for line in json.loads(turn).get("lines", []):
                if line.startswith("{"):
                    yield json.loads(line)


def _host(end: str) -> str:
    """The address in `192.0.2.1:179` or `[2001:db8::1]:179`."""
    return end.rpartition(":")[0].strip("[]")


def _words(announcement: Announcement) -> str:
    """An announcement as it stands in ExaBGP's configuration, after the prefix."""
    words = ["next-hop", announcement.next_hop or "self"]
    if announcement.as_path is not None:
        words += ["as-path", "[", *map(str, announcement.as_path), "]"]
    if announcement.med is not None:
        words += ["med", str(announcement.med)]
    for name, communities in (
        ("community", announcement.communities),
        ("large-community", announcement.large_communities),
    ):
        if communities:
            words += [name, "[", *(":".join(map(str, c)) for c in communities), "]"]
    return " ".join([*words, *announcement.clauses])


def _toml(header: str, section: Section) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's too.
    values = "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
    return f"{header}\n{values}\n"


def group_of(name: str, *speakers: Speaker, **settings: object) -> dict[str, object]:
    """A `[[hosts]]` or `[[routers]]` section of speakers that share an ASN."""
    neighbors = [address for speaker in speakers for address in speaker.session_addresses]
    return {"name": name, "neighbors": neighbors, "asn": speakers[0].asn} | settings
