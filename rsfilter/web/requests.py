"""Access control of every request, and one shape for failures.

The token file is read on a thread for each request that needs it: a new token applies as soon as it
is in the file, without a signal. The token itself is never logged or returned.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import stat
import struct
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from rsfilter.util.local_socket import is_local
from rsfilter.util.threads import on_own_thread
from rsfilter.web.schema import Error


class ApiError(Exception):
    """A request that cannot be answered. `headers` go out with the answer."""

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        *,
        pointer: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.answer = Error(error=error, detail=detail, pointer=pointer)
        self.headers = dict(headers or {})


def bad_request(detail: str) -> ApiError:
    """The request makes no sense."""
    return ApiError(400, "bad_request", detail)


log = logging.getLogger(__name__)


MIN_LENGTH = 16
"""Characters: 64 bits in hexadecimal, more than can be guessed over HTTP."""


MAX_BYTES = 4096
"""A header line of aiohttp has room for twice as much."""

READ_S = 5.0
"""Seconds to wait for the file."""


class Token:
    """The token of a file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._is_warned = False
        self._reading: asyncio.Future[bytes] | None = None
        """Under way, or the last."""

    async def check(self, request: web.Request) -> None:
        """Return if the request carries the token, or came over the socket, to which owner and mode
        admit; ApiError 401 or 403 if not."""
        if is_local(request.transport):
            return
        if self._file is None:
            raise ApiError(403, "no_token", "no token is configured: set token_file in [http]")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and await self.is_known(given):
            return
        detail = "this needs the token of [http] token_file: Authorization: Bearer TOKEN"
        if scheme:
            detail = "this is not the token of [http] token_file"
        headers = {"WWW-Authenticate": 'Bearer realm="rsfilter"'}
        raise ApiError(401, "unauthorized", detail, headers=headers)

    @property
    def is_configured(self) -> bool:
        """There is a file."""
        return self._file is not None

    async def is_known(self, given: str) -> bool:
        """Return whether a text is the token; ApiError if its file cannot be used."""
        if self._file is None:
            return False
        try:
            known = await self._known(self._file)
        except TimeoutError:
            detail = f"the token file has not answered for {READ_S:.0f} s"
            log.error("%s: %s: nothing can be changed over HTTP", self._file, detail)
            raise ApiError(503, "no_token", detail) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            log.error("%s: cannot be used, so nothing can be changed: %s", self._file, reason)
            detail = "the token file cannot be used; rsfilter's log has the reason"
            raise ApiError(403, "no_token", detail) from None
        return hmac.compare_digest(given.strip().encode("utf-8", "replace"), known)

    async def _known(self, file: Path) -> bytes:
        """Read the token. However many requests need it, a hanging file server costs one thread."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(on_own_thread(self._read, file))
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        async with asyncio.timeout(READ_S):
            return await asyncio.shield(self._reading)

    def log_problem(self) -> None:
        """Log the problem of the file, if there is one."""
        try:
            if self._file is not None:
                self._read(self._file)
        except (OSError, ValueError) as error:
            log.error("%s: %s: nothing can be changed over HTTP", self._file, error)

    def _read(self, file: Path) -> bytes:
        mode = file.stat().st_mode  # before open, which waits for ever on a pipe without a writer
        if not stat.S_ISREG(mode):
            raise ValueError("is not a regular file")
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1).strip()
        if mode & stat.S_IRWXO and not self._is_warned:
            self._is_warned = True
            log.warning("%s: all users of this machine can read it; chmod 0600", file)
        if not MIN_LENGTH <= len(content) <= MAX_BYTES:
            raise ValueError(f"holds no token of {MIN_LENGTH} to {MAX_BYTES} characters")
        return content


class ReadToken:
    """Access control for reads over TCP: open, or with one of two tokens."""

    def __init__(self, token: Token, token_for_changes: Token) -> None:
        self._token = token
        self._tokens = (token, token_for_changes)

    async def check(self, request: web.Request) -> None:
        """Return if the request may read; ApiError 401 or 403 if not. Browsers show a prompt, and
        send the token as a password (RFC 7617)."""
        if not self._token.is_configured or is_local(request.transport):
            return
        if given := _given(request):
            for token in self._tokens:
                if await token.is_known(given):
                    return
        raise ApiError(
            401,
            "unauthorized",
            "this is not the token of [http] read_token_file"
            if given
            else "this needs the token of [http] read_token_file, as Bearer token or as password",
            headers={"WWW-Authenticate": 'Basic realm="rsfilter", charset="UTF-8"'},
        )


def _given(request: web.Request) -> str:
    """The token that came with a request; empty if none did."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return given if scheme.lower() == "bearer" else ""
    try:
        return b64decode(given, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def requester(request: web.Request) -> str:
    """Return who made the request, for display: a user of this machine, or an address."""
    if request.transport is None or not is_local(request.transport):
        return f"HTTP from {request.remote}"
    connection = request.transport.get_extra_info("socket")
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(found)
    return f"uid {uid} (process {pid}) over the socket"


_UCRED = struct.Struct("3i")
"""`struct ucred` of unix(7): pid, uid, gid."""
