"""Watches the files of `[readiness]`: one that must be there, one that must not.

Each second asks for both names, whatever happened to their directories. Where the file system does
not answer (no permission, a network file system that is gone) the last answer stands: not being
able to see is no reason to leave service. A file that there never was an answer about counts as
not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from rsfilter.config.build import ReadinessConfig
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
"""Between two looks. A load-balancer that probes a health check asks about as often."""

PATIENCE_S = 10.0
"""For the first answer. Without it the filter starts its work, which is to withdraw as well."""


class ReadinessWatcher:
    """Tells when the files say something else. `on_change` gets why the filter should not be in
    service, or an empty text; it is called on the event loop."""

    def __init__(
        self,
        config: ReadinessConfig,
        on_change: Callable[[str], None],
        interval: float = INTERVAL_S,
    ) -> None:
        self._config = config
        self._on_change = on_change
        self._interval = interval
        self._exists: dict[Path, bool] = {}
        """Last answers."""
        self._unseen: set[Path] = set()
        """What cannot be looked at; the log has said so."""
        self._why = ""
        self._has_looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look, then keep looking until `stop`."""
        self._task = asyncio.create_task(self._watch(), name="readiness watcher")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._has_looked.wait()
        except TimeoutError:
            log.warning("readiness: the file system does not answer")
            ready = self._config.ready_file
            if ready is not None and not self._exists.get(ready, False):
                self._tell(f"{ready} cannot be looked for")

    async def configure(self, config: ReadinessConfig) -> None:
        """Look for other files from now on, whether the earlier ones answer or not."""
        await self.stop()
        self._config = config
        self._has_looked.clear()
        await self.start()

    async def stop(self) -> None:
        """Stop looking. Nothing is called afterwards."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self) -> None:
        while True:
            is_over = self._config.ready_file is None and self._config.disable_file is None
            try:
                await self._check()
            except Exception:  # whatever it is: the next look may be the one that counts
                log.exception("readiness: cannot follow the files")
                is_over = False
            self._has_looked.set()
            if is_over:
                return
            await asyncio.sleep(self._interval)

    async def _check(self) -> None:
        self._tell(await on_own_thread(self._look))  # a file system may not answer

    def _tell(self, why: str) -> None:
        if why != self._why:
            self._on_change(why)
            self._why = why

    def _look(self) -> str:
        ready, disable = self._config.ready_file, self._config.disable_file
        found = []
        if ready is not None and not self._is_there(ready):
            found.append(f"{ready} is missing")
        if disable is not None and self._is_there(disable):
            found.append(f"{disable} is there")
        return ", ".join(found)

    def _is_there(self, path: Path) -> bool:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            answer = False
        except OSError as error:
            if path not in self._unseen:
                self._unseen.add(path)
                log.warning("readiness: cannot look for %s: %s", path, error.strerror)
            return self._exists.get(path, False)
        else:
            answer = True
        self._unseen.discard(path)
        self._exists[path] = answer
        return answer
