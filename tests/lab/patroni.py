"""patroni and etcd, both of Debian: PostgreSQL whose synchronous standby takes over by itself, as
long as most of the etcd servers are there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from lab.postgresql import ADMINISTRATOR, PostgreSql, programs, temporary, unprivileged
from lab.waiting import eventually

LOCALHOST = "127.0.0.1"

FAILOVER = {"ttl": 20, "loop_wait": 2, "retry_timeout": 5}
"""Timers in seconds; ttl is the least that patroni takes: for so long no standby takes over."""


def are_installed() -> bool:
    """Return whether both programs are there."""
    return all(map(shutil.which, ("patroni", "etcd")))


class Etcd:
    """One of several etcd servers. Its files stay when it is killed."""

    def __init__(self, place: Path, name: str) -> None:
        self.name = name
        self.client = f"{LOCALHOST}:{free_port()}"
        self.peer = f"http://{LOCALHOST}:{free_port()}"
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, everyone: Sequence[Etcd]) -> None:
        """Start it as one of these."""
        data = self._place / self.name
        data.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(data, ADMINISTRATOR, ADMINISTRATOR)
        client = f"http://{self.client}"
        argv = ["etcd", "--name", self.name, "--data-dir", str(data), "--enable-v2=false"]
        argv += ["--listen-client-urls", client, "--advertise-client-urls", client]
        argv += ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer]
        argv += ["--initial-cluster", ",".join(f"{one.name}={one.peer}" for one in everyone)]
        argv += ["--heartbeat-interval", "500", "--election-timeout", "5000"]
        self._process = run(argv, self._place)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Member(PostgreSql):
    """A server that patroni starts and ends."""

    def __init__(self, place: Path, name: str, etcds: Sequence[Etcd]) -> None:
        super().__init__(place)
        self.name = name
        self.port, self._rest = free_port(), free_port()
        self._etcds = [etcd.client for etcd in etcds]
        self._patroni: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start patroni, which starts the server when its time has come."""
        file = self.place / "patroni.json"  # JSON is YAML
        file.write_text(json.dumps(self._configuration()))
        file.chmod(0o644)
        self._patroni = run(["patroni", str(file)], self.place)

    def state(self) -> dict[str, Any]:
        """Return patroni's report of it; empty if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{LOCALHOST}:{self._rest}/patroni", timeout=2) as a:
                return dict(json.load(a))
        except urllib.error.HTTPError as error:  # 503: it does not run yet, for a reason
            return dict(json.load(error))
        except OSError:
            return {}

    def is_primary(self) -> bool:
        """Return whether it can be written to, as patroni sees it."""
        state = self.state()
        return state.get("state") == "running" and state.get("role") in ("master", "primary")

    def crash(self) -> None:
        """kill -9 of patroni and the server, as by a machine that dies."""
        if self._patroni is not None:
            self._patroni.kill()
            self._patroni.wait()
        with suppress(FileNotFoundError, ProcessLookupError):
            first = self._server()
            below = subprocess.run(["pgrep", "-P", str(first)], capture_output=True, text=True)
            for pid in (first, *map(int, below.stdout.split())):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """End both and remove their files."""
        self.crash()
        super().remove()

    def log(self) -> str:
        """The end of patroni's log."""
        return (self.place / "output").read_text(errors="replace")[-3000:]

    def _configuration(self) -> dict[str, Any]:
        rest = f"{LOCALHOST}:{self._rest}"
        mine = f"{LOCALHOST}:{self.port}"
        parameters = {
            "unix_socket_directories": str(self.place),
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
        }
        lines = ["local all all trust", f"host all all {LOCALHOST}/32 trust"]
        dcs = {**FAILOVER, "synchronous_mode": True, "postgresql": {"use_pg_rewind": True}}
        return {
            "scope": "fleet",
            "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"hosts": self._etcds},
            "bootstrap": {
                "dcs": dcs,
                "initdb": [{"auth": "trust"}, "no-sync", "data-checksums"],
            },
            "postgresql": {
                "listen": mine,
                "connect_address": mine,
                "data_dir": str(self._data),
                "bin_dir": str(programs()),
                "pgpass": str(self.place / "pgpass"),
                "authentication": {
                    "superuser": {"username": ADMINISTRATOR},
                    "replication": {"username": ADMINISTRATOR},
                },
                "parameters": parameters,
                "pg_hba": [*lines, f"host replication all {LOCALHOST}/32 trust"],
            },
        }


class Cluster(NamedTuple):
    """Running programs."""

    members: list[Member]
    """The first is the primary, and its standby is synchronous."""
    etcds: list[Etcd]


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Two servers under patroni, and three of etcd. Removed in the end."""
    place = temporary()
    (place / "output").touch()
    etcds = [Etcd(place, name) for name in ("e1", "e2", "e3")]
    members = [Member(place / name, name, etcds) for name in ("a", "b")]

    def report() -> str:
        return "\n".join([(place / "output").read_text()[-1000:], *(m.log() for m in members)])

    try:
        for etcd in etcds:
            etcd.start(etcds)
        first, second = members
        first.start()
        eventually(lambda: None if first.is_primary() else f"{first.state()}", report)
        second.start()
        eventually(lambda: None if first.is_synchronous() else f"{second.state()}", report)
        yield Cluster(members, etcds)
    finally:
        for member in members:
            member.remove()
        for etcd in etcds:
            etcd.kill()
        shutil.rmtree(place, ignore_errors=True)


def run(argv: list[str], place: Path) -> subprocess.Popen[bytes]:
    """Start a program as a user that is not root."""
    with (place / "output").open("ab") as output:
        return subprocess.Popen(
            [*unprivileged(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place,
            start_new_session=True,
        )


def free_port() -> int:
    """Return a TCP port that is free."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])
