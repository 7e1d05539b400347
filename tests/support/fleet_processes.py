"""Processes and answers of a filter that ships."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

from support.speaker import Speaker


def get(speaker: Speaker, path: str) -> str:
    """Return the response of the HTTP API; an error has a body too."""
    try:
        with urllib.request.urlopen(f"http://{speaker.http}{path}", timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def workers() -> list[int]:
    """Shipping processes."""
    found = subprocess.run(["pgrep", "-f", "rsfilter.fleet.worker"], capture_output=True, text=True)
    return list(map(int, found.stdout.split()))


def is_below(pid: int, place: Path) -> bool:
    """Its log is there."""
    try:
        return Path(os.readlink(f"/proc/{pid}/fd/2")).is_relative_to(place)
    except OSError:
        return False
