"""Events for the loop (`loop`): peers, helpers, new connections, signals."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from typing import Any

READABLE = select.EPOLLIN | select.EPOLLPRI
WRITABLE = select.EPOLLOUT


class Poller:
    """Waits for the loop's events. Its cost depends on ready descriptors, not on open ones."""

    def __init__(self) -> None:
        self._made: select.epoll | None = None
        self._peers: dict[int, Any] = {}
        self._followed: dict[Any, int] = {}
        """Descriptors of the helpers' pipes and of the listening sockets. They are kept open here,
        so that their numbers are not reused."""
        self._wakeup = -1

    @property
    def _epoll(self) -> select.epoll:
        # Made by the process that runs the loop: ExaBGP may have forked before.
        if self._made is None:
            self._made = select.epoll()
            self._wakeup, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
            self._made.register(self._wakeup, READABLE)
        return self._made

    def register(self, fd: int, mask: int) -> None:
        """Do nothing: ExaBGP's loop registers its helpers, which `follow` knows."""

    def unregister(self, fd: int) -> None:
        """Do nothing, as above."""

    def follow(self, processes: Any, listener: Any) -> None:
        """Wait for these helpers, and for connections."""
        wanted = [helper.stdout for helper in processes._process.values()]
        if listener is not None:
            wanted += listener._sockets
        if self._followed.keys() == set(wanted):
            return
        for gone in self._followed.keys() - set(wanted):
            if gone.closed if hasattr(gone, "closed") else gone.fileno() == -1:
                del self._followed[gone]
            else:
                self._epoll.unregister(self._followed.pop(gone))
        for new in set(wanted) - self._followed.keys():
            self._followed[new] = new.fileno()
            self._add(new.fileno(), READABLE)

    def watch(self, peer: Any, mask: int) -> None:
        """Wait for the connection of a peer."""
        connection = peer.proto.connection
        if connection.watched != mask:
            connection.watched = mask
            fd = connection.fd()
            self._peers[fd] = peer
            self._add(fd, mask)

    def wait(self, seconds: float) -> Iterator[Any]:
        """Peers whose connections are ready."""
        for fd, _ in self._epoll.poll(seconds):
            if fd == self._wakeup:
                self._drain()
            peer = self._peers.get(fd)
            if peer is None:
                continue
            if peer.proto is not None and peer.proto.fd() == fd:
                yield peer
            else:  # closed; the number may be reused by now
                del self._peers[fd]

    def _add(self, fd: int, mask: int) -> None:
        try:
            self._epoll.register(fd, mask)
        except FileExistsError:
            self._epoll.modify(fd, mask)

    def _drain(self) -> None:
        try:
            os.read(self._wakeup, 4096)
        except BlockingIOError:
            return
