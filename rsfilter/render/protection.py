"""Protection of sessions against others on the network: TCP MD5 (RFC 2385) and GTSM (RFC 5082) in
the configurations of ExaBGP and BIRD.

Passwords come in here as values and go out in the rendered text, nowhere else.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rsfilter.config.model import Config
from rsfilter.config.passwords import Passwords
from rsfilter.render.sessions import HostNeighbor
from rsfilter.routing.groups import HostGroup, RouterGroup
from rsfilter.routing.model import Address

MAX_TTL = 255
"""RFC 5082 section 3: the TTL that both sides send."""

PasswordFiles = Mapping[Path, Passwords]
"""Content of each password file that a configuration names."""


class Protection(NamedTuple):
    """Protection of one session."""

    password: str = ""
    """Empty: no TCP MD5."""
    hops: int = 0
    """Number of hops between the neighbors at most; 0: no GTSM."""

    @property
    def exabgp(self) -> list[str]:
        """Statements of a neighbor in ExaBGP's configuration. The password is encoded, so that no
        character of it has a meaning there."""
        lines = []
        if self.password:
            lines += [f'md5-password "{encoded(self.password)}";', "md5-base64 true;"]
        if self.hops:
            lines += [f"outgoing-ttl {MAX_TTL};", f"incoming-ttl {MAX_TTL + 1 - self.hops};"]
        return lines


NO_PASSWORDS: PasswordFiles = MappingProxyType({})


class Protections:
    """The protection of each session of a configuration; `problems` grows."""

    def __init__(self, files: PasswordFiles) -> None:
        self._files = files
        self.problems: list[str] = []
        """Sessions that should have a password and have none. Without it they would come up
        unprotected."""

    def of(
        self,
        group: HostGroup | RouterGroup,
        neighbor: Address,
        name: str = "",
        hops: int | None = None,
    ) -> Protection:
        """Return the protection of a session. `name`: the name that truth gives to its password.
        `hops`: the number of hops that truth permits; None: the group's."""
        password = None
        if group.password_file is not None:
            password = self._files[Path(group.password_file)].of(neighbor, name)
            wanted = f"{name!a}, which truth names for {neighbor}" if name else str(neighbor)
            if password is None:
                self.problems.append(
                    f"{group.name}: {group.password_file} has no password for {wanted}; add a line "
                    "to it, or put the neighbor into a group without password_file"
                )
        elif name:
            self.problems.append(
                f"{group.name}: truth names the password {name!a} for {neighbor}, and the "
                "group has no password_file"
            )
        return Protection(password or "", group.ttl_security if hops is None else hops)


class Protected(NamedTuple):
    """The protection of all sessions of an ExaBGP."""

    hosts: dict[Address, Protection]
    routers: dict[Address, Protection]
    problems: tuple[str, ...]

    @property
    def most_passwords(self) -> int:
        """Return the number of passwords on one listening socket: of the neighbors of one
        family."""
        sessions = (*self.hosts.items(), *self.routers.items())
        families = Counter(address.family for address, each in sessions if each.password)
        return max(families.values(), default=0)


def protected(config: Config, hosts: Iterable[HostNeighbor], files: PasswordFiles) -> Protected:
    """Return the protection of the sessions with `hosts` and with the configuration's routers."""
    found, groups = Protections(files), {group.name: group for group in config.hosts}
    of_hosts = {
        host.address: found.of(groups[host.group], host.address, host.password, host.hops)
        for host in hosts
    }
    of_routers = {
        router: found.of(group, router) for group in config.routers for router in group.neighbors
    }
    problems = tuple(f"{config.path}: {problem}" for problem in found.problems)
    return Protected(of_hosts, of_routers, problems)


def redacted(text: str, files: PasswordFiles) -> str:
    """Return what another program has printed, without the passwords."""
    for passwords in files.values():
        for password in (passwords.default, *passwords.named.values()):
            for spelling in (password, encoded(password)) if password else ():
                text = text.replace(spelling, "(password)")
    return text


def encoded(password: str) -> str:
    """Return a password as ExaBGP's configuration has it."""
    return b64encode(password.encode("ascii")).decode("ascii")
