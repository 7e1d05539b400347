"""A port out here for a server in the lab's network, so that its page can be opened.

    python -m lab.relay DESCRIPTOR HOST PORT

A socket belongs to the network that it was made in, whichever process accepts on it: it is made out
here, and given to a process in there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab.core import Lab

PREFERRED_PORT = 8480
"""rsfilter's own, if it is free."""


@contextlib.contextmanager
def relayed(lab: Lab, address: str, preferred_port: int = PREFERRED_PORT) -> Iterator[str]:
    """An address on this machine's loopback for `address` (host:port) in the lab's network."""
    inside = lab.inside()
    if not inside:
        yield address
        return
    with _listening(preferred_port) as listener:
        host, _, port = address.rpartition(":")
        words = [sys.executable, "-m", "lab.relay", str(listener.fileno()), host, port]
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *inside, *words],
            pass_fds=[listener.fileno()],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            process.kill()
            process.wait()


def _listening(preferred_port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", preferred_port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


async def relay(listener: socket.socket, host: str, port: int) -> None:
    """Connect for ever what connects here to the place there."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        writer.close()

    async with await asyncio.start_server(connected, sock=listener) as server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while octets := await reader.read(1 << 16):
            writer.write(octets)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    descriptor, there, number = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(relay(socket.socket(fileno=int(descriptor)), there, int(number)))
