"""A lab: one private network with real programs in it, and nothing left when it ends.

The lab's directory holds a directory for every program, with its configuration, sockets and log.
`warden.py` starts and ends the programs. Programs are added by name; their addresses follow from a
number: 192.0.2.N and 2001:db8:ffff::N, or 127.x.y.N without IPv6 where there are no network
namespaces (`Lab.families` has the families).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from types import TracebackType
from typing import Any, ClassVar, Self

from lab.story import expecting, narrate
from lab.waiting import eventually
from lab.warden import descendants

WARDEN = Path(__file__).with_name("warden.py")
LOG_TAIL_LINES = 15

SESSION_LOST = [
    *(r"(?i)hold timer", "peer reset", "NOTIFICATION", "(RMT|ERR).*(Received|Connection)"),
    *("Socket: ", "Connection (closed|reset)"),  # reset: it was killed before it had read all
]
"""Lines that any log may contain when a peer vanishes or is killed."""

SHORT_PROGRAM_S = 0.005
"""A command that is run to its end is a question, answered in milliseconds."""

ENVIRONMENT = os.environ | {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"}
"""Daemons are in /usr/sbin, which is not on the PATH of Debian's ordinary users."""


class LabError(Exception):
    """The lab itself failed: a program is missing, or did not start."""


class Process:
    """A program in the lab."""

    def __init__(self, lab: Lab, pid: int, log: Path) -> None:
        self._lab = lab
        self._pid = pid
        self.log = log

    @property
    def exit_code(self) -> int | None:
        """Exit code (negative: ended by that signal); None while it runs."""
        code: int | None = self._lab.request("status", pid=self._pid)["exit_code"]
        return code

    @property
    def running(self) -> bool:
        """True as long as it has not ended."""
        return self.exit_code is None

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._lab.request("signal", pid=self._pid, signal=int(number))

    def stop(self, number: int = SIGTERM) -> None:
        """Signal it and wait for its end."""
        self.send(number)
        eventually(lambda: f"process {self._pid} has not ended" if self.running else None)


class Lab:
    """A private network and the programs in it; a context manager.

    `namespaces` false: do not even try to have network namespaces.
    """

    open: ClassVar[list[Lab]] = []
    """The labs that there are now, for those who watch."""

    def __init__(self, *, namespaces: bool = True) -> None:
        self._asking = threading.Lock()  # the screen sends requests too, on a thread of its own
        # Short: a Unix socket's path must fit into 108 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="lab-"))
        self.daemons: dict[str, Daemon] = {}
        with open(self.directory / "warden.log", "wb") as log:
            self._warden = subprocess.Popen(
                [
                    sys.executable,
                    str(WARDEN),
                    str(self.directory),
                    "auto" if namespaces else "loopback",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=ENVIRONMENT,
                text=True,
            )
        try:
            self.isolation: str = self._read()["isolation"]
            self.families = (4, 6) if self.isolation == "namespace" else (4,)
            # A private network has its own port 179, and root's right to bind it.
            self.bgp_port = 179 if self.isolation == "namespace" else 1790
            if self.isolation == "loopback":
                self._block, self._reservation = _reserve_block()
        except BaseException:
            self.close()
            raise
        Lab.open.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything; returns when nothing is left."""
        assert self._warden.stdin is not None
        assert self._warden.stdout is not None
        if self in Lab.open:
            Lab.open.remove(self)
        with self._asking:
            self._warden.stdin.close()
            self._warden.stdout.close()
        self._warden.wait()
        shutil.rmtree(self.directory, ignore_errors=True)  # if the keeper itself was killed
        if self.isolation == "loopback":
            self._reservation.close()

    # Programs ---------------------------------------------------------------------------------

    def spawn(
        self,
        argv: list[str],
        *,
        cwd: Path,
        log: Path,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start a program; its output goes to the end of `log`. Raises LabError."""
        environment = ENVIRONMENT | (env or {})
        answer = self.request("spawn", argv=argv, cwd=str(cwd), env=environment, log=str(log))
        return Process(self, answer["pid"], log)

    def run(
        self,
        argv: list[str],
        *,
        check: bool = True,
        code: int = 0,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> str:
        """Run a program inside the lab to its end; what it wrote. Raises LabError if it ended with
        another exit code, unless `check` is false."""
        descriptor, name = tempfile.mkstemp(dir=self.directory)
        os.close(descriptor)
        process = self.spawn(argv, cwd=cwd or self.directory, log=Path(name), env=env)
        eventually(
            lambda: f"{argv} has not ended" if process.running else None,
            interval_s=SHORT_PROGRAM_S,
        )
        output = Path(name).read_text(errors="replace")
        Path(name).unlink()
        if check and process.exit_code != code:
            raise LabError(f"{' '.join(argv)} ended with {process.exit_code}: {output}")
        return output

    def request(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request to the warden. Raises LabError."""
        assert self._warden.stdin is not None
        with self._asking:
            try:
                self._warden.stdin.write(json.dumps({"do": do} | arguments) + "\n")
                self._warden.stdin.flush()
            except (OSError, ValueError) as error:  # ValueError: `close` has closed it
                raise LabError(f"the lab is gone: {error}") from error
            answer = self._read()
        if "error" in answer:
            raise LabError(f"{do} {arguments.get('argv', '')}: {answer['error']}")
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._warden.stdout is not None
        line = self._warden.stdout.readline()
        if not line:
            output = (self.directory / "warden.log").read_text() if self.directory.exists() else ""
            raise LabError(f"the lab is gone: {output}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    # Addresses --------------------------------------------------------------------------------

    def hosts_range(self, family: int) -> str:
        """A prefix that holds the addresses with the numbers 1 to 63, and no higher ones."""
        if family == 6:
            return "2001:db8:ffff::/121"  # numbers are written as they are: ::63 is 0x63
        return f"{f'127.{self._block}' if self.isolation == 'loopback' else '192.0.2'}.0/26"

    def address(self, number: int, family: int) -> str:
        """The lab's address with this number, up and ready to be bound."""
        if self.isolation == "loopback":
            if family == 6:
                raise LabError("no IPv6 without network namespaces: ask Lab.families")
            return f"127.{self._block}.{number}"
        address = f"192.0.2.{number}" if family == 4 else f"2001:db8:ffff::{number}"
        length = 32 if family == 4 else 128
        # `replace`: one address may be requested twice. `nodad`: usable at once.
        nodad = ["nodad"] if family == 6 else []
        self.run(["ip", "address", "replace", f"{address}/{length}", "dev", "lo", *nodad])
        return address

    def link(self, name: str, ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
        """A network of its own for `ours`, on an Ethernet link to the lab's, where `theirs` are.

        `name` is the interface there. Returns how a command line begins that runs there.
        """
        network, mine = self.directory / f"network-{name}", f"to-{name}"
        network.touch()
        # Not `unshare --net=FILE`: it reads /proc by a PID, which is another one out there.
        bind = ["mount", "--bind", "/proc/self/ns/net", str(network)]
        self.run(["unshare", "--net", *bind])
        self.run(["ip", "link", "add", mine, "type", "veth", "peer", "name", name])
        self.run(["ip", "link", "set", name, "netns", str(network)])
        there = ["nsenter", f"--net={network}"]
        for prefix, end, addresses in (([], mine, theirs), (there, name, ours)):
            self.run([*prefix, "ip", "link", "set", end, "addrgenmode", "none", "up"])
            for address in addresses:
                length, nodad = ("64", ["nodad"]) if family_of(address) == 6 else ("24", [])
                how = [f"{address}/{length}", "dev", end, *nodad]
                self.run([*prefix, "ip", "address", "add", *how])
        for address in ours:
            self.run(["ip", "route", "replace", address, "dev", mine])
        return there

    def is_listening(self, address: str, port: int) -> bool:
        """Return whether a program in the lab accepts TCP connections there."""
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return f" {where} " in self.run(["ss", "--no-header", "--listening", "--tcp", "--numeric"])

    def inside(self) -> list[str]:
        """The beginning of a command line that runs a program in the lab's network."""
        if self.isolation == "loopback":
            return []
        namespaced = min(descendants(self._warden.pid))
        own_user = (
            os.stat("/proc/self/ns/user").st_ino == os.stat(f"/proc/{namespaced}/ns/user").st_ino
        )
        user = [] if own_user else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(namespaced), "-n", *user]

    def find(self, words: str) -> list[int]:
        """PIDs, as this process sees them, of the lab's programs whose command line has `words`."""
        found = []
        for pid in descendants(self._warden.pid):
            with contextlib.suppress(OSError):  # it ended meanwhile
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in command:
                    found.append(pid)
        return found

    # Evidence ---------------------------------------------------------------------------------

    def report(self) -> str:
        """Parts that every daemon has, among them the evidence for a failed expectation."""
        return "\n".join(f"--- {d.name}\n{d.report()}" for d in self.daemons.values())

    def no_errors(self) -> None:
        """Fail when any log reports an error."""
        with expecting("no log tells of an error"):
            found = {d.name: errors for d in self.daemons.values() if (errors := d.errors())}
            if found:
                lines = [f"{name}: {line}" for name, errors in found.items() for line in errors]
                raise AssertionError("errors in logs:\n" + "\n".join(lines))


class Daemon:
    """A program with a name, a directory and a log; the base of every peer."""

    ERROR = re.compile(r"(?!)")
    """Pattern of lines that should not be in its log."""
    HARMLESS = re.compile(r"(?!)")
    """Lines that match the pattern and are harmless."""

    def __init__(self, lab: Lab, name: str) -> None:
        if name in lab.daemons:
            raise LabError(f"two daemons are called {name}")
        self.name = name
        self.lab = lab
        self.place = lab.directory / name
        self.place.mkdir()
        self.log = self.place / "log"
        self.tolerated: list[str] = []
        """Patterns of errors that the test provokes."""
        self._process: Process | None = None
        lab.daemons[name] = self

    @property
    def process(self) -> Process:
        """The running program. Raises LabError before the start."""
        if self._process is None:
            raise LabError(f"{self.name} was never started")
        return self._process

    def run(self, argv: list[str], answers: Callable[[], object], **env: str) -> None:
        """Start the program and wait until `answers` no longer raises OSError."""
        narrate(f"{self.name} starts")
        output = self.place / "output"
        self._process = process = self.lab.spawn(argv, cwd=self.place, log=output, env=env)

        def probe() -> str | None:
            if not process.running:
                raise LabError(f"{self.name} did not start:\n{tail(output)}\n{tail(self.log)}")
            try:
                answers()
            except OSError as error:
                return f"{self.name} does not answer: {error}"
            return None

        eventually(probe)

    def starts(self) -> None:
        """Start it with its present configuration; returns when it answers."""
        raise NotImplementedError

    def dies(self) -> None:
        """Send SIGKILL: the kernel closes its connections, and it sends no NOTIFICATION."""
        narrate(f"{self.name} dies (kill -9)")
        self.process.stop(SIGKILL)

    def vanishes(self) -> None:
        """Stop it where it stands: connections stay open and silent, hold timers run."""
        narrate(f"{self.name} vanishes: connections stay open and silent")
        self.process.send(SIGSTOP)

    def wakes(self) -> None:
        """Undo `vanishes`."""
        narrate(f"{self.name} wakes")
        self.process.send(SIGCONT)

    def hints(self) -> list[str]:
        """Commands with which a person may watch it, or play with it."""
        return [f"tail -f {self.log}"]

    def state(self) -> str:
        """Its sessions and tables, for a failed test. May raise OSError or LabError."""
        return ""

    def report(self) -> str:
        """Return the parts of it that a failed test should show."""
        try:
            state = self.state()
        except (OSError, LabError) as error:
            state = f"    ({error})"
        if self._process is not None and not self._process.running:
            state = f"    It has ended, with {self._process.exit_code}.\n{state}"
        return f"{state}\n{tail(self.log, without=self.tolerated)}"

    def errors(self) -> list[str]:
        """Errors in its log that no test declared `tolerated`."""
        if not self.log.exists():
            return []
        log = self.HARMLESS.sub("", self.log.read_text(errors="replace"))
        return [
            line
            for line in log.splitlines()
            if self.ERROR.search(line) and not any(re.search(t, line) for t in self.tolerated)
        ]


def tail(log: Path, without: Iterable[str] = ()) -> str:
    """The end of a log, indented, without the lines that match a pattern of `without`."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"    ({error})"
    telling = [line for line in lines if not any(re.search(p, line) for p in without)]
    return "\n".join("    " + line for line in telling[-LOG_TAIL_LINES:])


def family_of(text: str) -> int:
    """4 or 6, of an address or a prefix."""
    return ip_address(text.partition("/")[0]).version


def _reserve_block() -> tuple[str, socket.socket]:
    """Two middle octets of 127.0.0.0/8 for this lab alone, and the socket that reserves them."""
    for _ in range(100):
        block = f"{random.randint(64, 250)}.{random.randint(0, 255)}"
        reservation = socket.socket()
        try:
            reservation.bind((f"127.{block}.254", 17900))
        except OSError:
            reservation.close()
            continue
        return block, reservation
    raise LabError("no free block of loopback addresses")
