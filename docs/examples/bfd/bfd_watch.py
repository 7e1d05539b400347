#!/usr/bin/env python3
"""End of a host's BGP session the moment that BFD (RFC 5880) reports the host gone.

    bfd_watch.py --control /run/bird/bird.ctl

ExaBGP has no BFD, but a BIRD beside it on the route server has. This program requests the BFD
sessions of that BIRD ten times a second. When one goes from Up to Down it makes the kernel abort
the TCP connections with that address on the BGP port (`ss --kill`; needs CAP_NET_ADMIN). ExaBGP
then reports to rsfilter that the session is down, as after a hold time, and rsfilter does as
configured: it withdraws the host's routes, or keeps them as stale.

A session that was never Up is left alone: hosts without BFD go by their hold time. When BIRD does
not answer, nothing is ended.
"""

from __future__ import annotations

import argparse
import logging
import re
import socket
import subprocess
import time
from collections.abc import Iterator

log = logging.getLogger("bfd_watch")

INTERVAL_S = 0.1
"""Seconds between queries: each costs BIRD some 50 us."""

RETRY_S = 1.0

_SESSION = re.compile(r"^\s*([0-9a-fA-F.:]+)\s+\S+\s+(Up|Down|Init|AdminDown)\s")
"""A line of `show bfd sessions`: address, interface, state."""


def sessions(stream: socket.SocketIO) -> dict[str, str]:
    """State by address. Raises OSError."""
    stream.write(b"show bfd sessions\n")
    return {match[1]: match[2] for line in _reply(stream) if (match := _SESSION.match(line))}


def _reply(stream: socket.SocketIO) -> Iterator[str]:
    """BIRD's answers are lines `CODE-text` or ` text`, the last one is `CODE text`."""
    for raw in stream:
        line = raw.decode(errors="replace").rstrip("\n")
        yield line[1:] if line[:1] == " " else line[5:]
        if line[4:5] == " " and line[:4].isdigit():
            return
    raise OSError("BIRD has closed its control socket")


def lost(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Addresses that were Up and are Down. AdminDown is an operator's wish, not a loss (RFC
    5882)."""
    return [address for address, state in before.items() if (state, now.get(address)) == _FAILED]


_FAILED = ("Up", "Down")


def end_sessions(address: str, port: int) -> None:
    """Abort the BGP connections with an address, whichever end has opened them."""
    ports = f"( sport = :{port} or dport = :{port} )"
    command = f"ss --kill --tcp --no-header dst [{address}] and {ports}".split()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - no shell


def watch(control: str, port: int) -> None:
    """Watch until BIRD no longer answers. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(RETRY_S)
        connection.connect(control)
        stream = connection.makefile("rwb", buffering=0)
        list(_reply(stream))  # the greeting
        before: dict[str, str] = {}
        while True:
            now = sessions(stream)
            for address in lost(before, now):
                log.warning("%s is down: ending its BGP sessions", address)
                end_sessions(address, port)
            before = now
            time.sleep(INTERVAL_S)


def main() -> None:
    parser = argparse.ArgumentParser(description="Lets BIRD's BFD end ExaBGP's sessions.")
    parser.add_argument("--control", default="/run/bird/bird.ctl", help="BIRD's control socket")
    parser.add_argument("--port", type=int, default=179, help="where ExaBGP speaks BGP")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    while True:
        try:
            watch(args.control, args.port)
        except OSError as error:
            log.error("%s: %s: trying again", args.control, error)
            time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
