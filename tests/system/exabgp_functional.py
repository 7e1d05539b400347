"""ExaBGP's own functional tests, with stock ExaBGP and with what `speaker` replaces.

    git clone --branch 5.0 https://github.com/Exa-Networks/exabgp CLONE   (no space in its path)
    python tests/system/exabgp_functional.py CLONE [--stock] [--without packing] [--only NAME ...]
                                      [--jobs 2] [--seconds 60]

The tests (`qa/`) and their configurations (`etc/`) are the clone's; the ExaBGP is the one that is
installed beside rsfilter. psutil must be importable. Each test is a server that expects messages
and a client that is ExaBGP, and passes when the server has seen exactly what it expects. Some
expect one UPDATE for each IPv6 prefix, octet by octet: they pass without `packing`.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

PROGRAM = """\
import sys
from rsfilter.speaker import program

program.REPLACEMENTS = [each for each in program.REPLACEMENTS if each.name not in {without!r}]
sys.exit(program.main(sys.argv[1:]))
"""
"""As a file `main.py`, by whose name the tests find ExaBGP's process."""

FIRST_PORT = 17900


class Case:
    """One test of `qa/encoding`."""

    def __init__(self, clone: Path, name: str, port: int) -> None:
        self.name = name
        self._port = port
        folder = clone / "qa" / "encoding"
        self._expected = folder / f"{name}.msg"
        words = (folder / f"{name}.ci").read_text().split()
        self._configurations = [str(clone / "etc" / "exabgp" / word) for word in words]
        self._server = clone / "qa" / "sbin" / "bgp"
        self._clone = clone

    def run(self, words: list[str], seconds: float) -> str:
        """Empty, or why it failed."""
        server = self._start(
            [sys.executable, str(self._server), "--view", str(self._expected)], {}, True
        )
        time.sleep(0.5)
        client = self._start(
            [sys.executable, *words, "-d", "-p", *self._configurations], self._environment(), False
        )
        try:
            told = server.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            _kill(server)
            told = f"not finished after {seconds:g} s\n".encode() + server.communicate()[0]
        finally:
            _kill(client)
            _kill(server)
        return "" if b"successful" in told else told.decode(errors="replace")[-1000:]

    def _environment(self) -> dict[str, str]:
        match = re.search(r"option:tcp_connections:(\d+)", self._expected.read_text())
        return {
            "exabgp_version": "5.0.0-0+test",
            "exabgp_tcp_connections": match[1] if match else "1",
            "exabgp_api_cli": "false",
            "exabgp_debug_rotate": "true",
            "exabgp_debug_configuration": "true",
            "exabgp_tcp_bind": "",
            "exabgp_daemon_user": "root",
        }

    def _start(
        self, command: list[str], environment: dict[str, str], is_heard: bool
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env={
                **os.environ,
                "EXABGP_ROOT": str(self._clone),
                "exabgp_tcp_port": str(self._port),
                **environment,
            },
            cwd=self._clone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_heard else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """A process with what it has started; helpers of ExaBGP have groups of their own."""
    found = subprocess.run(
        ["ps", "-e", "-o", "pid=,sid="], capture_output=True, text=True, check=True
    ).stdout
    for line in found.splitlines():
        pid, session = map(int, line.split())
        if session == process.pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    process.wait()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], metavar="REPLACEMENT")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    clone = args.clone.resolve()
    names = args.only or sorted(path.stem for path in (clone / "qa" / "encoding").glob("*.ci"))
    cases = [Case(clone, name, FIRST_PORT + number) for number, name in enumerate(names)]
    failed = 0
    with TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        program = Path(folder, "main.py")
        program.write_text(PROGRAM.format(without=args.without))
        words = [str(program), *(["--stock"] if args.stock else []), "exabgp", "server"]
        for case, why in zip(
            cases, pool.map(lambda case: case.run(words, args.seconds), cases), strict=True
        ):
            failed += bool(why)
            sys.stdout.write(f"{'FAILED' if why else 'passed'} {case.name} {why}".rstrip() + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(cases) - failed} of {len(cases)} passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
