"""ExaBGP's own functional tests, with stock ExaBGP and with what `speaker` replaces.

    git clone --branch 5.0 https://github.com/Exa-Networks/exabgp CLONE   (no space in its path)
    python tests/system/exabgp_functional.py CLONE [--stock] [--without packing] [--only NAME ...]
                                      [--kinds encoding decoding parsing] [--jobs 2]
                                      [--seconds 60]

The tests (`qa/`) and their configurations (`etc/`) are the clone's; the ExaBGP is the one that is
installed beside rsfilter. psutil must be importable.

    encoding    a server expects messages, and a client that is ExaBGP has to send exactly those;
                the tests of the API (`api-*`) are some of them. A few expect one UPDATE for each
                IPv6 prefix, octet by octet: they pass without `packing`
    decoding    ExaBGP prints a message as JSON
    parsing     ExaBGP accepts a configuration
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

PROGRAM = """\
import sys
from rsfilter.speaker import program
from rsfilter.speaker.replacement import install

program.REPLACEMENTS = [each for each in program.REPLACEMENTS if each.name not in {without!r}]
if not {{"server", program.STOCK}} & {{*sys.argv}}:  # only a server has them otherwise
    install(program.REPLACEMENTS, "")
sys.exit(program.main(sys.argv[1:]))
"""
"""Content of a file `main.py`, by whose name the tests find ExaBGP's process."""

FIRST_PORT = 17900

KINDS = ("encoding", "decoding", "parsing")


class Case(Protocol):
    """One test."""

    name: str

    def run(self, words: list[str], seconds: float) -> str:
        """Empty, or why it failed. `words`: how ExaBGP is started."""
        ...


class Encoding:
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
            [sys.executable, *words, "server", "-d", "-p", *self._configurations],
            self._environment(),
            False,
        )
        try:
            output = server.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            _kill(server)
            output = f"not finished after {seconds:g} s\n".encode() + server.communicate()[0]
        finally:
            _kill(client)
            _kill(server)
        return "" if b"successful" in output else output.decode(errors="replace")[-1000:]

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


class Decoding:
    """One test of `qa/decoding`: a kind of message, the message, and its JSON."""

    OF_A_RUN = ("exabgp", "host", "pid", "ppid", "time", "version")

    def __init__(self, clone: Path, name: str) -> None:
        self.name = name
        kind, packet, expected = (clone / "qa" / "decoding" / name).read_text().splitlines()[:3]
        what, *family = kind.split()
        of_family = ["-f", " ".join(family)] if family else []
        self._words = ["decode", *of_family, f"--{what}", packet.replace(" ", "")]
        self._expected = self._steady(expected)

    def run(self, words: list[str], seconds: float) -> str:
        """Empty, or why it failed."""
        output = _output([*words, *self._words], seconds)
        try:
            found = self._steady(output)
        except ValueError:
            return output[-1000:]
        return "" if found == self._expected else f"{found} is not {self._expected}"

    def _steady(self, text: str) -> dict[str, object]:
        return {name: of for name, of in json.loads(text).items() if name not in self.OF_A_RUN}


class Parsing:
    """A configuration of `etc/exabgp`."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path

    def run(self, words: list[str], seconds: float) -> str:
        """Empty, or why it failed."""
        try:
            _output([*words, "validate", "-nrv", str(self._path)], seconds)
        except subprocess.CalledProcessError as error:
            return f"{error.stdout}{error.stderr}"[-1000:]
        return ""


def _output(words: list[str], seconds: float) -> str:
    """Return ExaBGP's output. CalledProcessError unless it ends with 0."""
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, timeout=seconds
    ).stdout


def made(clone: Path, kind: str) -> list[Case]:
    """All tests of a kind."""
    if kind == "decoding":
        return [Decoding(clone, path.name) for path in sorted((clone / "qa" / kind).iterdir())]
    if kind == "parsing":
        return [Parsing(path) for path in sorted((clone / "etc" / "exabgp").glob("*.conf"))]
    names = sorted(path.stem for path in (clone / "qa" / kind).glob("*.ci"))
    return [Encoding(clone, name, FIRST_PORT + number) for number, name in enumerate(names)]


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
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS, metavar="KIND")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    failed = 0
    with TemporaryDirectory() as folder:
        program = Path(folder, "main.py")
        program.write_text(PROGRAM.format(without=args.without))
        words = [str(program), *(["--stock"] if args.stock else []), "exabgp"]
        for kind in args.kinds:
            cases = made(args.clone.resolve(), kind)
            cases = [case for case in cases if not args.only or case.name in args.only]
            failed += run(kind, cases, words, args.jobs, args.seconds)
    return 1 if failed else 0


def run(kind: str, cases: list[Case], words: list[str], jobs: int, seconds: float) -> int:
    """Run the tests of a kind; return how many failed."""
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        reasons = pool.map(lambda case: case.run(words, seconds), cases)
        for case, why in zip(cases, reasons, strict=True):
            failed += bool(why)
            sys.stdout.write(f"{'FAILED' if why else 'passed'} {case.name} {why}".rstrip() + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{kind}: {len(cases) - failed} of {len(cases)} passed\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
