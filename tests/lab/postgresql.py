"""PostgreSQL: the fleet's database, alone or with a synchronous standby.

PostgreSQL refuses to run as root. Where we are root it runs as Debian's user `postgres`, in a
directory of that user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from lab.waiting import eventually

ADMINISTRATOR = "postgres"
PORT = 5432

STILL_ENDING = "is still in use"
"""End of its last words when the kernel has not yet freed what a crashed server had."""

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_receiver_status_interval": "1s",
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "5s",
    "wal_retrieve_retry_interval": "200ms",
}


def programs() -> Path:
    """Directory of the newest release of PostgreSQL: Debian has each in a directory of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed: .ci/packages test")
    return found[-1].parent


def unprivileged() -> list[str]:
    """Beginning of a command line that runs a program as a user that is not root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", ADMINISTRATOR, "--regid", ADMINISTRATOR, "--clear-groups"]


class PostgreSql:
    """One server, reached by its socket or, with `address`, by TCP."""

    def __init__(self, place: Path, *, address: str = "", prefix: Sequence[str] = ()) -> None:
        """`place` is to be made. `prefix` begins the command line, as to run it elsewhere."""
        self.place = place
        self.address = address
        self.port = PORT
        self._prefix = list(prefix)
        self._data = place / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = dict(SETTINGS)
        if address:
            self.settings["listen_addresses"] = address
        place.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam(ADMINISTRATOR)
            os.chown(place, account.pw_uid, account.pw_gid)

    # Life ----------------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Make an empty database cluster."""
        self._program("initdb", "-D", self._data, "-A", "trust", "-U", ADMINISTRATOR, "--no-sync")

    def follow(self, primary: PostgreSql) -> None:
        """Make a copy of another server, which follows it as its standby."""
        self._program(
            "pg_basebackup", "-D", self._data, "-h", primary.place, "-U", ADMINISTRATOR,
            "-R", "-c", "fast", "-X", "stream", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Start it; returns when it answers."""
        self._run()
        eventually(self._unanswering, self.log)

    def _run(self) -> None:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        argv = [str(programs() / "postgres"), "-D", str(self._data), "-k", str(self.place)]
        with (self.place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *unprivileged(), *argv, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.place,
                start_new_session=True,
            )

    def _unanswering(self) -> str | None:
        if self._process is None or self._process.poll() is not None:
            if not any(STILL_ENDING in line for line in self.log().splitlines()[-2:]):
                raise AssertionError(f"PostgreSQL has ended:\n{self.log()}")
            self._run()  # the kernel is still ending what a crash left behind
        try:
            self.query("SELECT 1")
        except psycopg.OperationalError as error:
            return str(error)
        return None

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT at once but in order, SIGQUIT as a crash does."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def crash(self) -> None:
        """kill -9 of all its processes."""
        self.freeze()
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Stop all its processes where they stand: connections stay open and silent."""
        if self._process is not None:
            os.kill(self._server(), signal.SIGSTOP)  # before the list: it starts no more of them
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby a primary, by hand."""
        self._program("pg_ctl", "promote", "-D", self._data)

    def remove(self) -> None:
        """End it and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.place, ignore_errors=True)

    def save(self) -> Path:
        """Keep the files of a stopped server as they are; for `restore`."""
        kept = self.place / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self._data), str(kept)], check=True)
        return kept

    def restore(self, kept: Path) -> None:
        """Put a stopped server back to an older state."""
        shutil.rmtree(self._data)
        subprocess.run(["cp", "-a", str(kept), str(self._data)], check=True)

    # Questions -----------------------------------------------------------------------------------

    def url(self, role: str) -> str:
        """Return its connection string for a role, as `[fleet] database` has it."""
        if self.address:
            return f"postgresql://{role}@{self.address}/{ADMINISTRATOR}"
        return f"postgresql://{role}@/{ADMINISTRATOR}?host={self.place}"

    def connect(self, role: str = ADMINISTRATOR) -> psycopg.Connection[Any]:
        """A connection by its socket."""
        return psycopg.connect(
            host=str(self.place),
            port=self.port,
            user=role,
            dbname=ADMINISTRATOR,
            autocommit=True,
            connect_timeout=3,
        )

    def query(self, statement: str, *values: object, role: str = ADMINISTRATOR) -> list[Any]:
        """The rows that one statement answers with."""
        with closing(self.connect(role)) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def apply(self, script: str, *, role: str = ADMINISTRATOR) -> None:
        """Let psql run a script, as in the manual. AssertionError with its output if it fails."""
        argv = [programs() / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", self.place, "-U", role]
        argv += ["-p", self.port]
        done = subprocess.run(
            [*map(str, argv), "-d", ADMINISTRATOR], input=script, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def is_synchronous(self) -> bool:
        """Commits wait for its standby."""
        return self.query("SELECT sync_state FROM pg_stat_replication") == [("sync",)]

    def log(self) -> str:
        """The end of its log."""
        return (self.place / "log").read_text(errors="replace")[-3000:]

    # Inside --------------------------------------------------------------------------------------

    def _program(self, name: str, *arguments: object) -> None:
        argv = [*unprivileged(), str(programs() / name), *map(str, arguments)]
        done = subprocess.run(argv, cwd=self.place, capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr}"

    def _signal(self, number: int) -> None:
        """Send a signal to the server and to all that it has started."""
        if self._process is None:
            return
        # The server is in a session of its own, and so is each process that it starts.
        first = self._server()
        below = subprocess.run(["pgrep", "-P", str(first)], capture_output=True, text=True).stdout
        os.kill(first, number)
        for pid in map(int, below.split()):
            # A process whose client has gone may end after it was listed.
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _server(self) -> int:
        """The PID of the server, which may be below a program that runs it elsewhere."""
        return int((self._data / "postmaster.pid").read_text().split()[0])


def slow_fsync(place: Path) -> tuple[dict[str, str], Path]:
    """Return the environment in which a server's fsync and fdatasync take as many milliseconds as a
    file has, and that file. `place`: directory where the library is built."""
    source, library, delay = (place / name for name in ("slow.c", "slow.so", "delay"))
    source.write_text(SLOW_FSYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    delay.write_text("0")
    return {"LD_PRELOAD": str(library), "SLOW_FSYNC_FILE": str(delay)}, delay


SLOW_FSYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_as_told(void) {
    FILE *file = fopen(getenv("SLOW_FSYNC_FILE"), "r");
    long ms = 0;
    if (file) {
        if (fscanf(file, "%ld", &ms) != 1)
            ms = 0;
        fclose(file);
    }
    for (; ms > 0; ms -= 100)
        usleep(100000);
}

int fsync(int fd) {
    wait_as_told();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_as_told();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def temporary(parent: Path | None = None) -> Path:
    """A place for a server that the user `postgres` can get to, with a path short enough for its
    socket."""
    place = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
    place.chmod(0o755)
    return place


def servers(count: int) -> Iterator[list[PostgreSql]]:
    """Servers of this number, to be started; removed in the end."""
    place = temporary()
    made = [PostgreSql(place / str(number)) for number in range(count)]
    try:
        yield made
    finally:
        for server in made:
            server.remove()
        shutil.rmtree(place, ignore_errors=True)
