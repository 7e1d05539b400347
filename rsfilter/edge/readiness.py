"""Watcher of the files of `[readiness]`: one that must exist, one that must not.

Both names are checked every second, whatever happened to their directories. If the file system does
not respond (no permission, a dead network file system), the last result stands, because a failed
check is no reason to leave service. A file that was never checked successfully counts as missing.
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
"""Seconds between two checks. A load balancer probes a health check about as often."""

PATIENCE_S = 10.0
"""Seconds to wait for the first result. Without it the filter starts, because it must withdraw,
too."""


class ReadinessWatcher:
    """Watcher of the readiness files. `on_change` is called on the event loop with the reason to
    leave service, or an empty text."""

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
        """Files that cannot be checked; already logged."""
        self._why = ""
        self._has_checked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Check, then check again until `stop`."""
        self._task = asyncio.create_task(self._watch(), name="readiness watcher")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._has_checked.wait()
        except TimeoutError:
            log.warning("readiness: the file system does not answer")
            ready = self._config.ready_file
            if ready is not None and not self._exists.get(ready, False):
                self._publish(f"{ready} cannot be checked")

    async def configure(self, config: ReadinessConfig) -> None:
        """Watch other files from now on, even if the earlier ones do not respond."""
        await self.stop()
        self._config = config
        self._has_checked.clear()
        await self.start()

    async def stop(self) -> None:
        """Stop checking. No callback follows."""
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
            except Exception:  # any error: the next check may succeed
                log.exception("readiness: cannot watch the files")
                is_over = False
            self._has_checked.set()
            if is_over:
                return
            await asyncio.sleep(self._interval)

    async def _check(self) -> None:
        self._publish(await on_own_thread(self._read))  # a file system may not answer

    def _publish(self, why: str) -> None:
        if why != self._why:
            self._on_change(why)
            self._why = why

    def _read(self) -> str:
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
                log.warning("readiness: cannot check %s: %s", path, error.strerror)
            return self._exists.get(path, False)
        else:
            answer = True
        self._unseen.discard(path)
        self._exists[path] = answer
        return answer
