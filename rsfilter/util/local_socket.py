"""The unix socket of a filter. Its owner, group and mode decide who may change the filter's state.

The socket is created under a temporary name, gets its mode, starts to listen, and is then renamed
into place. So no connection is accepted before the mode is set, and the socket of a dead filter is
replaced. Paths longer than a socket address allows (107 octets) are reached through a descriptor of
their directory.

Server and client both refuse a world-writable directory, because any user could replace the socket
there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MODE = 0o660
"""Mode of the socket: the owner and the group are the filter's operators."""

DIRECTORY_MODE = 0o755
"""Mode of the directory, if rsfilter creates it."""

PROBE_TIMEOUT_S = 1.0
"""Timeout for connecting to an existing socket. The kernel answers at once."""


class LocalSocket(NamedTuple):
    """A listening socket and its path."""

    path: Path
    socket: socket.socket
    identity: tuple[int, int]
    """Device and inode of the name."""


def listen(path: Path, backlog: int) -> LocalSocket:
    """Create and bind the socket, and its directory if only that is missing. Raises OSError, with a
    readable `strerror`, if it cannot be created or another filter answers on it."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(DIRECTORY_MODE)
    with _directory_of(path) as directory:
        _refuse_taken(directory, path.name)
        draft = f".{path.name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=directory)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(_short(directory, draft))
            os.chmod(draft, MODE, dir_fd=directory)
            made.listen(backlog)
            os.rename(draft, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            return LocalSocket(path, made, _identity(directory, path.name))
        except BaseException:
            made.close()
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=directory)
            raise


def remove(made: LocalSocket) -> None:
    """Remove the socket file, unless it now belongs to another filter. Raises OSError on
    failure."""
    with contextlib.suppress(FileNotFoundError), _directory_of(made.path) as directory:
        if _identity(directory, made.path.name) == made.identity:
            os.unlink(made.path.name, dir_fd=directory)


def connect(path: Path, timeout: float | None) -> socket.socket:
    """Connect to the filter that listens at `path`. Raises OSError if there is none."""
    with _directory_of(path) as directory:
        return _connected(directory, path.name, timeout)


def is_local(transport: asyncio.BaseTransport | None) -> bool:
    """Return whether the connection came over the unix socket."""
    if transport is None:
        return False
    found: socket.socket | None = transport.get_extra_info("socket")
    return found is not None and found.family == socket.AF_UNIX


@contextlib.contextmanager
def _directory_of(path: Path) -> Iterator[int]:
    """Open the socket's directory. Raises PermissionError if the directory is world-writable."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        if os.fstat(directory).st_mode & stat.S_IWOTH:
            text = f"all users may write to {path.parent}: choose a directory of the filter's own"
            raise PermissionError(errno.EPERM, text)
        yield directory
    finally:
        os.close(directory)


def _refuse_taken(directory: int, name: str) -> None:
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "it exists and is not a socket: remove it")
    with contextlib.suppress(ConnectionRefusedError):  # left by a dead filter
        _connected(directory, name, PROBE_TIMEOUT_S).close()
        text = "another filter answers on it: give each its own `socket` in [http]"
        raise OSError(errno.EADDRINUSE, text)


def _connected(directory: int, name: str, timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(_short(directory, name))
    except BaseException:
        connection.close()
        raise
    return connection


def _short(directory: int, name: str) -> str:
    return f"/proc/self/fd/{directory}/{name}"


def _identity(directory: int, name: str) -> tuple[int, int]:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino
