"""Asks a running filter over its HTTP API (docs/api.md)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from rsfilter.commands.output import clean
from rsfilter.config.build import DEFAULT_PATH, parse_config, read_config
from rsfilter.config.model import Config

TIMEOUT_S = 60.0
"""An impact over a million routes is judged in slices and takes half of it."""


READ_OCTETS = 1 << 16


class ClientError(Exception):
    """The filter did not do what it was asked; the message says why and what to do."""


class Client:
    """The API of one filter."""

    def __init__(self, url: str, token_file: Path | None = None, hint: str = "") -> None:
        """`hint`: for people, where the address comes from. Raises ClientError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ClientError(f"{url!r} is no address of an API, such as http://127.0.0.1:8480")
        self._url = url.rstrip("/")
        self._is_tls = parts.scheme == "https"
        self._where = host, port
        self._token_file = token_file
        self._hint = hint

    @classmethod
    def of(cls, config: Config, token_file: Path | None = None) -> Client:
        """The filter that runs by this configuration; with its own token, or that of a file."""
        hint = f"{config.path}: [http] listen says so"
        return cls(f"http://{config.http.listen}", token_file or config.http.token_file, hint)

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
            raise ClientError(f"{self._url}: the answer was cut short: {error}") from None

    def post(self, path: str, body: bytes = b"", *, changes_state: bool = True) -> Any:
        """What `path` answers to a JSON document. `changes_state`: it needs the token."""
        headers = {"Content-Type": "application/json"}
        if changes_state:
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
        kind = HTTPSConnection if self._is_tls else HTTPConnection
        connection = kind(*self._where, timeout=TIMEOUT_S)
        try:
            connection.request(method, f"{path}?{given}" if given else path, body, headers or {})
            response = connection.getresponse()
        except (OSError, HTTPException, UnicodeError) as error:
            hint = f" ({self._hint})" if self._hint else ""
            raise ClientError(
                f"no filter answers on {self._url}{hint}: {error}. Is it running? ExaBGP starts "
                "it; its log says why it ended. Is it another one? Name it with --url."
            ) from None
        if response.status >= 400 and not path.endswith("z"):  # /healthz answers 503 as it should
            raise ClientError(f"{self._url}{path}: {_problem(response)}")
        return response

    def _token(self) -> str:
        if self._token_file is None:
            raise ClientError(
                "this changes the filter and needs its token: set token_file in [http] of the "
                "configuration, or name the file with --token-file"
            )
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(f"{self._token_file}: the token cannot be read: {error}") from None
        if not token.isprintable():
            raise ClientError(f"{self._token_file}: a token is one line of printable characters")
        return token


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
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the filter's configuration (default: ./%(default)s)",
    )
    parser.add_argument("--url", help="where its API is, instead, such as http://127.0.0.1:8480")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="its token, for what changes the filter (default: token_file of the configuration)",
    )
    return parser


def client_of(args: argparse.Namespace) -> Client:
    """The filter that is meant. Raises ConfigError and ClientError."""
    if args.url:
        return Client(args.url, args.token_file)
    hint = "; name the file with -c, or the filter with --url"
    config = parse_config(read_config(args.config, hint=hint), args.config)
    client = Client.of(config, args.token_file)
    _warn_of_another(client, config)
    return client


def _warn_of_another(client: Client, config: Config) -> None:
    """All configurations that say nothing of [http] name the same address: who is there may be the
    filter of another one."""
    try:
        theirs = os.path.realpath(client.get("/api/v1/status")["configuration"])
    except (ClientError, KeyError, TypeError, ValueError):
        return  # the question itself will fail, and say why
    ours = os.path.realpath(config.path)
    if theirs != ours:
        told = f"the filter on {config.http.listen} runs by {theirs}, not by {ours}"
        sys.stderr.write(f"rsfilter: {clean(told)}\n")
