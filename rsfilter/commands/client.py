"""Requests to a running filter over its HTTP API (docs/api.md): by its unix socket, or by TCP."""

from __future__ import annotations

import argparse
import json
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from rsfilter.commands.errors import CommandError
from rsfilter.commands.output import FAILED, INVALID, print_note
from rsfilter.config.build import parse_config
from rsfilter.config.model import Config
from rsfilter.config.schema import DEFAULT_SOCKET
from rsfilter.config.source import DEFAULT_HELP, default_path, read_config
from rsfilter.util import local_socket

TIMEOUT_S = 5.0
"""Seconds for a connection, and for each part of a response: a slower filter hangs."""

LONG_TIMEOUT_S = 75.0
"""Seconds for slow requests: an impact over a million routes, or files that do not respond."""

SILENCE_S = 40.0
"""Seconds between two parts of the event stream, which sends a sign of life every 15 s."""

READ_OCTETS = 1 << 16

ANSWERS = (400, 404, 409, 413, 415, 422)
"""Statuses of responses about what was requested: the filter itself works."""


class ClientError(CommandError):
    """Raised if the filter cannot be reached, or did not do what was requested."""


class UnknownError(ClientError):
    """Raised if the filter knows nothing of a prefix."""


class SilentError(ClientError):
    """Raised if the filter does not answer in time: it hangs, and no second request would help."""


class Client:
    """The API of one filter."""

    def __init__(
        self,
        name: str,
        connection: Callable[[float], HTTPConnection],
        unreachable: str,
        hanging: str = "the filter hangs, or the network to it",
    ) -> None:
        """Make a client. `name`: the filter's address, for display; `unreachable`, `hanging`: the
        remedy if no filter answers, or not in time."""
        self._name = name
        self._connection = connection
        self._unreachable = unreachable
        self._hanging = hanging
        self._token: Callable[[], str] | None = None
        """Source of the token; None if no token is sent."""
        self._always_needs_token = False
        """True if requests that change nothing need it too: the filter listens beyond loopback."""

    @classmethod
    def on_socket(cls, path: Path, hint: str) -> Client:
        """The filter that listens on this unix socket, which needs no token. `hint`: for people,
        why it is this one."""
        unreachable = (
            f"Is it running? ExaBGP starts it, and ExaBGP's log has the reason if it has ended or "
            f"has no socket. The socket is {hint}. If you mean another filter, name its "
            "configuration with -c, or its address with --url."
        )
        hanging = (
            "the filter hangs. If that lasts, end its process with kill -9: ExaBGP starts another "
            "one, and no session is lost"
        )
        return cls(str(path), lambda timeout: _LocalConnection(path, timeout), unreachable, hanging)

    @classmethod
    def at_url(
        cls, url: str, token_file: Path | None = None, ca_file: Path | None = None
    ) -> Client:
        """The filter whose API this is; what changes it takes the token of the file. `ca_file`:
        certificates to trust. Raises ClientError."""
        url = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            text = f"{url!r} is not the address of an API, such as http://127.0.0.1:8480"
            raise ClientError(text, INVALID)
        connection: Callable[[float], HTTPConnection]
        if parts.scheme == "https":
            context = _trusting(ca_file)
            connection = lambda seconds: HTTPSConnection(  # noqa: E731
                host, port, timeout=seconds, context=context
            )
        else:
            connection = lambda seconds: HTTPConnection(host, port, timeout=seconds)  # noqa: E731
        unreachable = "Is it running? ExaBGP starts it; its log has the reason why it ended."
        client = cls(url.rstrip("/"), connection, unreachable)
        client._token = lambda: _read_token(token_file)
        client._always_needs_token = token_file is not None and not _is_loopback(host)
        return client

    def get(self, path: str, **query: object) -> Any:
        """Request `path` and return the response. Raises ClientError."""
        return _document(self._request("GET", path, query))

    def lines(self, path: str, **query: object) -> Iterator[Any]:
        """Request `path` and yield the response object by object. Raises ClientError."""
        response = self._request("GET", path, query, {"Accept": "application/x-ndjson"})
        rest = b""
        try:
            while part := response.read1(READ_OCTETS):  # readline takes a cut for the end
                *lines, rest = (rest + part).split(b"\n")
                yield from map(json.loads, lines)
            if rest:
                yield json.loads(rest)
        except (OSError, HTTPException, ValueError) as error:
            raise ClientError(f"{self._name}: the answer was cut short: {error}") from None

    def events(self, path: str, **query: object) -> Iterator[tuple[str, Any]]:
        """Yield the (kind, data) of each event of a stream, for ever. Raises ClientError."""
        response = self._request("GET", path, query, seconds=SILENCE_S)
        kind = ""
        try:
            for line in response:
                name, _, value = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)
        except (OSError, HTTPException, ValueError) as error:
            raise ClientError(f"{self._name}: the stream was cut: {error}") from None
        raise ClientError(f"{self._name}: the filter has ended")

    def post(
        self,
        path: str,
        body: bytes = b"",
        *,
        changes_state: bool = True,
        seconds: float | None = None,
    ) -> Any:
        """Send a JSON document to `path` and return the response. `changes_state`: it needs the
        token; other requests need it, and send it, beyond loopback only. `seconds`: timeout, by
        default `TIMEOUT_S`."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None and (changes_state or self._always_needs_token):
            headers["Authorization"] = f"Bearer {self._token()}"
        return _document(self._request("POST", path, {}, headers, body, seconds))

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, object],
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        seconds: float | None = None,
    ) -> HTTPResponse:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        where, headers = f"{path}?{given}" if given else path, headers or {}
        seconds = TIMEOUT_S if seconds is None else seconds
        response = self._answer(method, where, headers, body, seconds)
        if response.status == 401 and self._token is not None and "Authorization" not in headers:
            with suppress(ClientError):  # the filter's own words are better
                headers = {**headers, "Authorization": f"Bearer {self._token()}"}
                response = self._answer(method, where, headers, body, seconds)
        if response.status >= 400 and not path.endswith("z"):  # /healthz answers 503 as it should
            raise self._refusal(path, response)
        return response

    def _refusal(self, path: str, response: HTTPResponse) -> ClientError:
        """Return the error of a refused request. The address of the filter is part of it only if
        the filter, and not what was requested, is the problem."""
        try:
            problem = json.loads(response.read())
            name, detail = problem["error"], problem["detail"]
            place = f" (at {problem['pointer']} of what was sent)" if problem.get("pointer") else ""
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            told = f"HTTP {response.status} {response.reason}"
            return ClientError(f"{self._name}{path}: {told}: is this an rsfilter?")
        if name == "no_route":
            return UnknownError(detail)
        where = "" if response.status in ANSWERS and name != "not_found" else f"{self._name}: "
        code = INVALID if response.status == 400 else FAILED
        return ClientError(f"{where}{detail}{place}", code)

    def _answer(
        self, method: str, where: str, headers: dict[str, str], body: bytes | None, seconds: float
    ) -> HTTPResponse:
        connection = self._connection(seconds)
        try:
            connection.request(method, where, body, headers)
            return connection.getresponse()
        except TimeoutError:
            waited = f"no answer within {seconds:.0f} s"
            raise SilentError(f"{self._name}: {waited}: {self._hanging}") from None
        except (OSError, HTTPException, UnicodeError) as error:
            raise ClientError(
                f"no filter answers on {self._name}: {getattr(error, 'strerror', '') or error}. "
                f"{self._unreachable}"
            ) from None


class _LocalConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = local_socket.connect(self._path, self._seconds)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"{ca_file}: {error.strerror or error}", INVALID) from None


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


def reaching_arguments() -> argparse.ArgumentParser:
    """Return the arguments that select the filter."""
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
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="with --url https://...: certificates to trust in place of the machine's",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="with --url: its token, for commands that change the filter",
    )
    return parser


def client_of(args: argparse.Namespace) -> Client:
    """The filter that is meant. Raises ConfigError and ClientError."""
    if args.url:
        return Client.at_url(args.url, args.token_file, args.ca_file)
    if args.token_file:
        raise ClientError("--token-file is for --url: the filter's socket needs no token", INVALID)
    path = args.config or default_path()
    if args.config is None and not path.exists():
        return Client.on_socket(
            DEFAULT_SOCKET, f"the default, because there is no configuration ({DEFAULT_HELP})"
        )
    hint = "; name the file with -c, or the filter with --url"
    config = parse_config(read_config(path, hint=hint), path)
    client = Client.on_socket(config.http.socket, f"that of {config.path}")
    _warn_of_another(client, config)
    return client


def _warn_of_another(client: Client, config: Config) -> None:
    """All configurations without [http] name the same socket: the filter that listens there may run
    by another one."""
    try:
        theirs = os.path.realpath(client.get("/api/v1/status")["configuration"])
    except SilentError:
        raise
    except (ClientError, KeyError, TypeError, ValueError):
        return  # the request itself will fail, with the reason
    ours = os.path.realpath(config.path)
    if theirs != ours:
        print_note(
            f"rsfilter: the filter on {config.http.socket} runs with {theirs}, not with {ours}"
        )
