"""The process that owns everything a lab starts, and takes it down however the lab ends.

A program on its own (standard library only): `python warden.py DIRECTORY auto|loopback`. Its
stdin is a pipe whose other end only the owner (pytest, the demo) holds; end of file there is the
order to stop, so the owner may end in any way, SIGKILL included. Two processes:

- the *keeper* waits for the other, kills what is left and removes DIRECTORY;
- the *warden*, its child, runs the lab. Where the kernel allows it (root, or unprivileged user
  namespaces as Debian has them) it is PID 1 of a PID namespace, with a network of its own: when it
  dies the kernel kills all that it started, and no address or port can collide with another lab.
  Elsewhere (a container without privileges) processes are found as descendants, and the lab lives
  on 127.0.0.0/8 without IPv6.

Requests are JSON lines on stdin, each answered by one JSON line on stdout:
`{"do": "spawn", "argv", "cwd", "env", "log"}` -> `{"pid"}` (as the warden sees it),
`{"do": "signal", "pid", "signal"}` -> `{}`, `{"do": "status", "pid"}` -> `{"exit_code"}` (null: it
runs). `{"error"}` answers what failed. The first line is `{"isolation": "namespace" | "loopback"}`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# linux/sched.h, linux/prctl.h, linux/mount.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MS_REC_PRIVATE = 0x4000 | 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def die_with_parent(how: int = signal.SIGKILL) -> None:
    """Request a signal from the kernel for when the parent dies."""
    _call("prctl", PR_SET_PDEATHSIG, how, 0, 0, 0)


def enter_namespaces(directory: Path) -> bool:
    """Put the children of this process into namespaces of their own; false: not allowed here."""
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET
    try:
        _call("unshare", flags if uid == 0 else flags | CLONE_NEWUSER)
        if uid != 0:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError:
        return False
    with contextlib.suppress(OSError):
        _call("mount", None, b"/", None, MS_REC_PRIVATE, None)
        if not directory.is_relative_to("/var/tmp"):
            # FRR leaves its crash logs there, whatever its configuration: let them vanish.
            _call("mount", b"tmpfs", b"/var/tmp", b"tmpfs", 0, None)
    return True


def descendants(root: int) -> list[int]:
    """PIDs below `root`, as /proc shows them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


class Warden:
    """Starts programs and remembers how they ended."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def answer(self, line: str) -> dict[str, Any]:
        """Do one request."""
        try:
            request = json.loads(line)
            handlers: dict[str, Callable[..., dict[str, Any]]]
            handlers = {"spawn": self.spawn, "signal": self.signal, "status": self.status}
            return handlers[request.pop("do")](**request)
        except Exception as error:  # the owner must hear of it, and the warden must live on
            return {"error": f"{type(error).__name__}: {error}"}

    def spawn(self, argv: list[str], cwd: str, env: dict[str, str], log: str) -> dict[str, Any]:
        """Start a program; both its outputs go to the end of `log`."""
        with open(log, "ab") as output:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        self._running[process.pid] = process
        return {"pid": process.pid}

    def signal(self, pid: int, signal: int) -> dict[str, Any]:
        """Signal a program, if it still runs."""
        self._running[pid].send_signal(signal)
        return {}

    def status(self, pid: int) -> dict[str, Any]:
        """Return how a program ended, or null."""
        return {"exit_code": self._running[pid].poll()}


def run_warden(directory: Path, isolation: str) -> None:
    """Answer requests until the owner is gone."""

    def outlive_keeper(*_: object) -> None:
        # Whatever this interrupts, a cleaning up already begun included: all of it, then the end.
        clean_up(directory)
        os._exit(1)

    if isolation == "loopback":
        signal.signal(signal.SIGTERM, outlive_keeper)
        die_with_parent(signal.SIGTERM)
        _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    else:
        die_with_parent()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    warden = Warden()
    _reply({"isolation": isolation})
    for line in sys.stdin:
        _reply(warden.answer(line))


def _reply(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Keep the warden; when it is gone, leave nothing behind.

    Without namespaces the warden does the same if it outlives the keeper.
    """
    directory = Path(sys.argv[1]).resolve()
    os.setsid()  # Ctrl-C is for the owner, which then closes the pipe
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    private = sys.argv[2] == "auto" and enter_namespaces(directory)
    isolation = "namespace" if private else "loopback"
    child = os.fork()
    try:
        if child == 0:
            with contextlib.suppress(BrokenPipeError):  # the owner is gone
                run_warden(directory, isolation)
        else:
            os.close(0)
            os.waitpid(child, 0)
    finally:
        if child != 0 or not private:
            clean_up(directory)


def clean_up(directory: Path) -> None:
    """Kill what is below this process, and remove the lab's files."""
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
