"""Requests to a running filter over its HTTP API (docs/api.md): by its unix socket, or by TCP."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from rsfilter.commands.output import clean
from rsfilter.config.build import DEFAULT_HELP, default_path, parse_config, read_config
from rsfilter.config.model import Config
from rsfilter.config.schema import DEFAULT_SOCKET
from rsfilter.util import local_socket

TIMEOUT_S = 60.0
"""An impact over a million routes is judged in slices and takes half of it."""


READ_OCTETS = 1 << 16


class ClientError(Exception):
    """The filter did not do what it was asked; the message says why and what to do."""


class Client:
    """The API of one filter."""

    def __init__(
        self, name: str, connection: Callable[[], HTTPConnection], unreachable: str
    ) -> None:
        """`name`: where the filter is, for people; `unreachable`: what to do if nobody answers."""
        self._name = name
        self._connection = connection
        self._unreachable = unreachable
        self._token: Callable[[], str] | None = None
        """None: no token is sent."""
        self._always_needs_token = False
        """Also for what changes nothing: the filter listens beyond loopback."""

    @classmethod
    def on_socket(cls, path: Path, hint: str) -> Client:
        """The filter that listens on this unix socket, which needs no token. `hint`: for people,
        why it is this one."""
        unreachable = (
            f"({hint}) Is it running? ExaBGP starts it; its log says why it ended, or why it has "
            "no socket. Is it another one? Name its configuration with -c, or its address with "
            "--url."
        )
        return cls(str(path), lambda: _LocalConnection(path), unreachable)

    @classmethod
    def at_url(cls, url: str, token_file: Path | None = None) -> Client:
        """The filter whose API this is; what changes it takes the token of the file. Raises
        ClientError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ClientError(f"{url!r} is no address of an API, such as http://127.0.0.1:8480")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        unreachable = "Is it running? ExaBGP starts it; its log says why it ended."
        client = cls(url.rstrip("/"), lambda: kind(host, port, timeout=TIMEOUT_S), unreachable)
        client._token = lambda: _read_token(token_file)
        client._always_needs_token = token_file is not None and not _is_loopback(host)
        return client

    def get(self, path: str, **query: object) -> Any:
        """What `path` answers. Raises ClientError."""
        return _document(self._ask("GET", path, query))

    def lines(self, path: str, **query: object) -> Iterator[Any]:
        """What `path` answers, object by object. Raises ClientError."""
        response = self._ask("GET", path, query, {"Accept": "application/x-ndjson"})
        rest = b""
        try:
            while part := response.read1(READ_OCTETS):  # readline takes a cut for the end
                *lines, rest = (rest + part).split(b"\n")
                yield from map(json.loads, lines)
            if rest:
                yield json.loads(rest)
        except (OSError, HTTPException, ValueError) as error:
            raise ClientError(f"{self._name}: the answer was cut short: {error}") from None

    def post(self, path: str, body: bytes = b"", *, changes_state: bool = True) -> Any:
        """What `path` answers to a JSON document. `changes_state`: it needs the token; others need
        it beyond loopback, and there alone it is sent for them."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None and (changes_state or self._always_needs_token):
            headers["Authorization"] = f"Bearer {self._token()}"
        return _document(self._ask("POST", path, {}, headers, body))

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, object],
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> HTTPResponse:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        connection = self._connection()
        try:
            connection.request(method, f"{path}?{given}" if given else path, body, headers or {})
            response = connection.getresponse()
        except (OSError, HTTPException, UnicodeError) as error:
            raise ClientError(
                f"no filter answers on {self._name}: {error}. {self._unreachable}"
            ) from None
        if response.status >= 400 and not path.endswith("z"):  # /healthz answers 503 as it should
            raise ClientError(f"{self._name}{path}: {_problem(response)}")
        return response


class _LocalConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = local_socket.connect(self._path, TIMEOUT_S)


def _read_token(file: Path | None) -> str:
    if file is None:
        raise ClientError(
            "over --url this needs the filter's token: name its file with --token-file"
        )
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{file}: the token cannot be read: {error}") from None
    if not token.isprintable():
        raise ClientError(f"{file}: a token is one line of printable characters")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _document(response: HTTPResponse) -> Any:
    try:
        return json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        raise ClientError(f"the answer cannot be read: {error}") from None


def _problem(response: HTTPResponse) -> str:
    """What the API says is wrong, in its one shape for errors."""
    try:
        said = json.loads(response.read())
        place = f" (at {said['pointer']} of what was sent)" if said.get("pointer") else ""
        return f"{said['detail']}{place}"
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return f"HTTP {response.status} {response.reason}: is this an rsfilter?"


def reaching_arguments() -> argparse.ArgumentParser:
    """The arguments that say which filter is meant."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="the filter's configuration, which names its socket (default: "
        f"{DEFAULT_HELP}; without any {DEFAULT_SOCKET})",
    )
    parser.add_argument(
        "--url", help="its API over TCP instead of its socket, such as http://127.0.0.1:8480"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="with --url: its token, for what changes the filter",
    )
    return parser


def client_of(args: argparse.Namespace) -> Client:
    """The filter that is meant. Raises ConfigError and ClientError."""
    if args.url:
        return Client.at_url(args.url, args.token_file)
    if args.token_file:
        raise ClientError("--token-file is for --url: the filter's socket needs no token")
    path = args.config or default_path()
    if args.config is None and not path.exists():
        return Client.on_socket(DEFAULT_SOCKET, f"no configuration names another: {DEFAULT_HELP}")
    hint = "; name the file with -c, or the filter with --url"
    config = parse_config(read_config(path, hint=hint), path)
    client = Client.on_socket(config.http.socket, f"{config.path}: [http] socket says so")
    _warn_of_another(client, config)
    return client


def _warn_of_another(client: Client, config: Config) -> None:
    """All configurations without [http] name the same socket: the filter that listens there may run
    by another one."""
    try:
        theirs = os.path.realpath(client.get("/api/v1/status")["configuration"])
    except (ClientError, KeyError, TypeError, ValueError):
        return  # the question itself will fail, and say why
    ours = os.path.realpath(config.path)
    if theirs != ours:
        told = f"the filter on {config.http.socket} runs by {theirs}, not by {ours}"
        sys.stderr.write(f"rsfilter: {clean(told)}\n")
