"""A helper of ExaBGP that hands everything on: python speaker_helper.py SOCKET."""

from __future__ import annotations

import os
import select
import socket
import sys


def main(path: str) -> None:
    """Copy octets both ways until one side ends."""
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
        while True:
            ready, _, _ = select.select([0, other], [], [])
            if 0 in ready:
                octets = os.read(0, 65536)
                if not octets:
                    return
                other.sendall(octets)
            if other in ready:
                octets = other.recv(65536)
                if not octets:
                    return
                while octets:
                    octets = octets[os.write(1, octets) :]


if __name__ == "__main__":
    main(sys.argv[1])
