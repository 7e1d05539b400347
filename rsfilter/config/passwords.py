"""Password files of sessions (TCP MD5, RFC 2385). Only `rsfilter render` reads them.

A line with one word is the password of every neighbor that has none of its own. A line `NAME
PASSWORD` is for the host that names NAME as its `password` in truth, or for the neighbor with the
address NAME. Empty lines, and lines that begin with #, are ignored. No message repeats a word that
may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rsfilter.config.model import Config, ConfigError
from rsfilter.config.source import read_config
from rsfilter.routing.groups import HostGroup, RouterGroup
from rsfilter.routing.model import Address

_PASSWORD = re.compile(r"[!#-&(-\[\]-~]{1,80}", re.ASCII)
"""The kernel takes 80 octets. ExaBGP and BIRD quote the password, so it has no quotes, no backslash
and no space."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Passwords:
    """The passwords of a file."""

    default: str | None = field(default=None, repr=False)
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    def of(self, neighbor: Address, name: str = "") -> str | None:
        """Return the password of a neighbor; None if it has none. `name`: the name that truth gives
        to its password, if any. A name that is not in the file has no password."""
        if name:
            return self.named.get(name)
        return self.named.get(str(neighbor), self.default)


def password_files(config: Config) -> list[Path]:
    """Return the password files of a configuration's sessions, each once."""
    groups: list[HostGroup | RouterGroup] = [*config.hosts, *config.routers, *config.served]
    return sorted({Path(g.password_file) for g in groups if g.password_file is not None})


def read_passwords(path: Path) -> Passwords:
    """Read a password file. Raises ConfigError with every problem."""
    default: str | None = None
    named: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(read_config(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        *names, password = words
        name = _spelled(names[0]) if names else ""
        if len(words) > 2:
            problems.append(f"{path}:{number}: expected PASSWORD, or NAME PASSWORD")
        elif not _PASSWORD.fullmatch(password):
            problems.append(
                f"{path}:{number}: a password has 1 to 80 printable ASCII characters, without "
                "quotes, backslash and space"
            )
        elif names and not _NAME.fullmatch(name):
            problems.append(
                f"{path}:{number}: a name has at most 64 letters, digits, dots, colons, dashes and "
                "underscores"
            )
        elif name in named or (not names and default is not None):
            problems.append(f"{path}:{number}: this neighbor has a password in an earlier line")
        elif names:
            named[name] = password
        else:
            default = password
    if not problems and default is None and not named:
        problems.append(f"{path}: holds no password")
    if problems:
        raise ConfigError(problems)
    return Passwords(default, named)


def _spelled(name: str) -> str:
    """Return an address in the spelling that it has everywhere; anything else is unchanged."""
    try:
        return str(Address.parse(name))
    except ValueError:
        return name
