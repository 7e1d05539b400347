"""Failed requests: one exception, one JSON shape."""

from __future__ import annotations

import asyncio
import hmac
import logging
import stat
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

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
"""Characters: 64 bits in hexadecimal, more than anybody can try over HTTP."""


MAX_BYTES = 4096
"""A header line of aiohttp has room for twice as much."""


class Token:
    """The token of a file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._is_warned = False

    async def check(self, request: web.Request) -> None:
        """Returns if the request carries the token; ApiError 401 or 403 if not."""
        if self._file is None:
            raise ApiError(403, "no_token", "no token is configured: set token_file in [http]")
        try:
            known = await asyncio.to_thread(self._read, self._file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            log.error("%s: cannot be used, so nothing can be changed: %s", self._file, reason)
            detail = "the token file cannot be used; rsfilter's log says why"
            raise ApiError(403, "no_token", detail) from None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        is_known = hmac.compare_digest(given.strip().encode("utf-8", "replace"), known)
        if scheme.lower() != "bearer" or not is_known:
            raise ApiError(
                401,
                "unauthorized",
                "this needs the token of [http] token_file: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": 'Bearer realm="rsfilter"'},
            )

    def look(self) -> None:
        """Says in the log what is wrong with the file, if anything."""
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
            log.warning("%s: everybody on this machine can read it; chmod 0600", file)
        if not MIN_LENGTH <= len(content) <= MAX_BYTES:
            raise ValueError(f"holds no token of {MIN_LENGTH} to {MAX_BYTES} characters")
        return content
