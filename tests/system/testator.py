"""Program that ExaBGP runs first in tests/system/test_restart.py: it leaves commands behind, and
dies.

    python testator.py WILL COMMAND...

The first process writes the commands of the file WILL, deletes it, and dies as soon as ExaBGP has
read them all. With its last breath it requests ExaBGP's version many times, which is answered at
once: no process is there by then. Every later process becomes COMMAND.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import termios
import time
from pathlib import Path


def unread(fd: int) -> int:
    """Octets in a pipe."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def main() -> None:
    """See the module."""
    will, *command = sys.argv[1:]
    if not Path(will).exists():
        os.execvp(command[0], command)
    # As rsfilter does: ExaBGP ends if it writes more than 8 KiB to a pipe without a reader.
    subprocess.Popen(["cat"], stdout=subprocess.DEVNULL)
    commands = Path(will).read_bytes()
    Path(will).unlink()
    while commands:
        commands = commands[os.write(1, commands) :]
    while unread(1):
        time.sleep(0.001)
    os.write(1, b"version\n" * 1000)
    os._exit(1)


if __name__ == "__main__":
    main()
