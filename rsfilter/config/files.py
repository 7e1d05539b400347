"""Checks of the files that a configuration names: can the user of this process use them?

Reading a configuration opens none of them (`rsfilter.config`), and `run` continues without any: one
cache fewer, no audit log, no changes over HTTP. `check` warns beforehand. The truth is not checked
here, because `check` reads it, and a configuration whose truth is unreadable is invalid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rsfilter.config.build import FleetConfig, HttpConfig
from rsfilter.config.model import Config
from rsfilter.config.passwords import password_files


def file_warnings(config: Config) -> list[str]:
    """Return `place: path: problem and consequence` for the user of this process."""
    return [
        *_caches(config),
        *_audit(config.audit.directory),
        *_http(config.http),
        *_password(config.fleet),
        *_session_passwords(config),
    ]


def _caches(config: Config) -> Iterator[str]:
    for index, cache in enumerate(config.rtr.caches if config.rtr else ()):
        if cache.transport == "ssh":
            for key, path in (("key", cache.key), ("known_hosts", cache.known_hosts)):
                if problem := _unreadable(Path(path)):
                    yield f"rtr.caches[{index}].{key}: {path}: {problem}; {cache} will not connect"


def _audit(directory: Path) -> Iterator[str]:
    """Check the audit directory. `run` creates it if it does not exist."""
    place = next((p for p in (directory, *directory.parents) if os.path.lexists(p)), directory)
    if not place.is_dir():
        problem = f"{place} is not a directory"
    elif not os.access(place, os.W_OK | os.X_OK):
        problem = f"{place} cannot be written to"
    else:
        return
    yield f"audit.directory: {problem}; there will be no audit log"


def _http(http: HttpConfig) -> Iterator[str]:
    for key, effect in (
        ("token_file", "nothing can be changed over HTTP"),
        ("read_token_file", "reading over TCP needs the token of token_file"),
        ("tls_certificate", "there is no HTTPS"),
        ("tls_key", "there is no HTTPS"),
    ):
        path = getattr(http, key)
        if path is not None and (problem := _unreadable(path)):
            yield f"http.{key}: {path}: {problem}; {effect}"


def _password(fleet: FleetConfig | None) -> Iterator[str]:
    path = fleet.password_file if fleet else None
    if path is None:
        return
    if problem := _unreadable(path):
        yield f"fleet.password_file: {path}: {problem}; nothing will reach the database"
    elif path.stat().st_mode & 0o007:
        yield f"fleet.password_file: {path}: every user can read it; chmod o-rwx"


def _session_passwords(config: Config) -> Iterator[str]:
    for path in password_files(config):
        if problem := _unreadable(path):
            yield f"password_file: {path}: {problem}; rsfilter render needs it"
        elif path.stat().st_mode & 0o007:
            yield f"password_file: {path}: every user can read it; chmod o-rwx"


def _unreadable(path: Path) -> str:
    """Return why a file cannot be read; empty if it can."""
    try:
        if not path.is_file():  # before open, which waits for ever on a pipe without a writer
            return "is not a file" if path.exists() else "does not exist"
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or "cannot be read"
