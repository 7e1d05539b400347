"""Figures of a benchmark as data: one JSON file of each, for plots and for comparisons.

Owns the shape of these files, and the description of the machine. Rows are flat, figures are
numbers, and the end of a key is the unit: `_s`, `_ms`, `_us` (10^-3, 10^-6 s), `_per_s`, `_octets`,
`_mb` (10^6 octets); a key without one counts things. A figure that was not measured is null.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console

Value = str | int | float | bool | None
Row = dict[str, Value]

DIGITS = 4
"""Digits of a figure: two runs differ in the second."""

CPUINFO = Path("/proc/cpuinfo")


class BadResultsError(ValueError):
    """A file is no result of a benchmark: which, where in it, and what to do."""


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of one benchmark."""

    benchmark: str
    """The module that measured: compare, changes, core, fanout, churn, hosts, tuning."""
    date: str
    """Time at which it ended, ISO 8601 in UTC."""
    machine: dict[str, str | int]
    """Architecture, processor, cores."""
    versions: dict[str, str]
    """Versions of the programs by name."""
    settings: Row
    """Settings of the run, with units as in rows."""
    rows: list[Row]

    @classmethod
    def of(cls, benchmark: str, rows: Iterable[Row], **settings: float) -> Results:
        """Results that were measured just now, on this machine."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rounded = [{key: _rounded(value) for key, value in row.items()} for row in rows]
        return cls(benchmark, now, machine(), versions(), dict(settings), rounded)

    @property
    def where(self) -> str:
        """The day, the machine and the versions, in a line."""
        words = [self.date[:10], str(self.machine.get("architecture", "some machine"))]
        words.append(f"{self.machine.get('cores', '?')} cores")
        return ", ".join(words + [f"{name} {what}" for name, what in self.versions.items()])

    def write(self, path: Path) -> None:
        """Write it as JSON with a row on each line, so that two runs are compared by diff.
        OSError."""
        head = {name: getattr(self, name) for name in self.__struct_fields__[:-1]}
        lines = [
            f' "{name}": {msgspec.json.encode(value).decode()},' for name, value in head.items()
        ]
        rows = ",\n  ".join(msgspec.json.encode(row).decode() for row in self.rows)
        path.write_text("\n".join(["{", *lines, f' "rows": [\n  {rows}\n ]', "}"]) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """A file that write() wrote. BadResultsError, OSError."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as error:  # a file that is no JSON, or has another shape
            raise BadResultsError(f"{path}: {error}; measure it again with --json") from error


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _rounded(value: Value) -> Value:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def machine() -> dict[str, str | int]:
    """Machine on which this was measured."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "architecture": platform.machine(),
        "processor": next(models, "unknown"),
        "cores": os.cpu_count() or 0,
    }


def versions() -> dict[str, str]:
    """Programs with which this was measured. BIRD is left out where it is not installed."""
    packages = {"rsfilter": "rsfilter", "ExaBGP": "exabgp", "msgspec": "msgspec"}
    found = {"Python": platform.python_version()}
    found |= {name: version(package) for name, package in packages.items()}
    if bird := shutil.which("bird"):
        output = subprocess.run([bird, "--version"], capture_output=True, text=True, check=True)
        found["BIRD"] = (output.stderr or output.stdout).split()[-1]
    return found


def add_option(parser: argparse.ArgumentParser) -> None:
    """--json FILE."""
    parser.add_argument("--json", type=_destination, help="write what was measured there too")


def show(console: Console, results: Results, path: Path | None) -> None:
    """Below the table: where it was measured. With a path, write all of it there. OSError."""
    console.print(results.where)
    if path:
        results.write(path)


def _destination(text: str) -> Path:
    """A place that can be written, found out before minutes of measuring."""
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path.parent}: {error.strerror}") from error
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{path} cannot be written; name a file")
    return path
