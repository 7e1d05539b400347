"""The certificate of HTTPS: loaded on a thread, and again when its files change.

Without the files there is no HTTPS, and never HTTP in its place. The log has why, and they are
tried again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from rsfilter.config.schema import HttpConfig
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

RETRY_S = 5.0
"""Seconds between attempts to load unusable files."""

FRESH_S = 60.0
"""A renewed certificate is loaded within this time."""

Stamp = tuple[tuple[int, int], ...]


class Certificate:
    """The certificate and the key of two files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._files = (certificate, key)
        self._stamp: Stamp = ()

    @classmethod
    async def of(cls, http: HttpConfig) -> Certificate | None:
        """The certificate that a configuration names, as soon as it can be used; None: it names
        none."""
        if http.tls_certificate is None or http.tls_key is None:
            return None
        made = cls(http.tls_certificate, http.tls_key)
        last = ""
        while problem := await made._load():
            if problem != last:
                last = problem
                log.error("no HTTPS, trying again: %s", problem)
            await asyncio.sleep(RETRY_S)
        return made

    async def keep_fresh(self) -> None:
        """Load the files again whenever they change, for ever."""
        last = ""
        while True:
            await asyncio.sleep(FRESH_S)
            problem = await self._load()
            if problem and problem != last:
                log.error("the previous certificate stays in use: %s", problem)
            last = problem

    async def _load(self) -> str:
        """Load the files if they have changed; what is wrong with them, empty if nothing is."""
        try:
            await on_own_thread(self._load_changed)
        except (OSError, ssl.SSLError) as error:
            names = " and ".join(map(str, self._files))
            return f"{names}: {error.strerror or error}"
        return ""

    def _load_changed(self) -> None:
        found = [file.stat() for file in self._files]
        stamp = tuple((each.st_mtime_ns, each.st_ino) for each in found)
        if stamp != self._stamp:
            certificate, key = self._files
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):  # a test first
                context.load_cert_chain(certificate, key, password=_no_password)
            self._stamp = stamp


def _no_password() -> str:
    """A key with a password cannot be used; OpenSSL would read one from the terminal."""
    raise OSError("the key has a password")
