"""The URL of the fleet's database: `[fleet] database`.

The form is libpq's (https://www.postgresql.org/docs/15/libpq-connect.html, 34.1.1.2): several
hosts, a user, a database, parameters. It never contains a password, so it can be shown anywhere.
Only parameters that rsfilter needs are allowed, so that none weakens the settings it makes.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from rsfilter.config.reader import HintError

SCHEMES = ("postgresql", "postgres")

PARAMETERS = (
    "host",
    "port",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "target_session_attrs",
)
"""Parameters allowed in the URL."""

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

VERIFIED = "verify-full"
"""The only `sslmode` that verifies the server's identity."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_URL = re.compile(
    r"(?P<scheme>[^:/?#]*)://(?P<netloc>[^/?#]*)(?P<path>[^?#]*)(\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.DOTALL,
)
"""RFC 3986, appendix B. Python 3.13's `urlsplit` refuses an IPv6 address among several hosts."""


class DatabaseUrl(NamedTuple):
    """Location of the database, and the role to log in as."""

    text: str
    """The URL as written. It contains no secret."""
    user: str
    """The role, which is also the name of the instance."""
    database: str
    parameters: tuple[tuple[str, str], ...]
    """Parameters for libpq, `host` and `port` among them."""

    def __str__(self) -> str:
        """Return the URL as written."""
        return self.text


def parse_url(text: str) -> DatabaseUrl:
    """Parse the URL. Raises HintError if it cannot be used."""
    parts = _URL.fullmatch(text)
    if not parts or parts["scheme"] not in SCHEMES:
        raise HintError("it begins with postgresql://")
    if not text.isprintable() or parts["fragment"]:
        raise HintError("it has characters that do not belong there")
    login, at, hosts = parts["netloc"].rpartition("@")
    if ":" in login:
        raise HintError("a password does not belong here; put it into password_file")
    user = unquote(login)
    if not at or not user:
        raise HintError("the role is missing: postgresql://ROLE@HOST/DATABASE")
    database = unquote(parts["path"].removeprefix("/"))
    if not database:
        raise HintError("the database is missing: postgresql://ROLE@HOST/DATABASE")
    parameters = _parameters(parts["query"] or "")
    if hosts:
        names, ports = zip(*(_host(host) for host in hosts.split(",")), strict=True)
        parameters |= {"host": ",".join(names), "port": ",".join(ports)}
    _check(parameters)
    return DatabaseUrl(text, user, database, tuple(parameters.items()))


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise HintError("what follows ? is not name=value&name=value") from None
    for name, _ in pairs:
        if name in ("password", "passfile"):
            raise HintError("a password does not belong here; put it into password_file")
        if name not in PARAMETERS:
            raise HintError(f"{name} is not used here; known: {', '.join(PARAMETERS)}")
    return dict(pairs)


def _host(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "5432"
    is_balanced = host.startswith("[") == host.endswith("]")
    host = unquote(host.removeprefix("[").removesuffix("]"))
    if (
        not host
        or not is_balanced
        or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)
    ):
        raise HintError(f"{text} is not a host, host:port or [IPv6 address]:port")
    return host, port


def _check(parameters: dict[str, str]) -> None:
    if not parameters.get("host"):
        raise HintError("the host is missing: postgresql://ROLE@HOST/DATABASE")
    for name in FILES:
        if not parameters.get(name, "/").startswith("/"):
            raise HintError(f"{name} is not an absolute path")
    hosts = parameters["host"].split(",")
    is_local = all(host.startswith("/") or host in LOOPBACK for host in hosts)
    if not is_local and parameters.get("sslmode") != VERIFIED:
        raise HintError(
            f"over a network it needs sslmode={VERIFIED}, or others could pose as the database"
        )
