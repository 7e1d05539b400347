"""Validation data on their way into the pipeline: from the truth file and the RTR caches.

Threads read, parse and compare. The loop only takes over what they have found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from rsfilter.audit.record import ServiceEvent
from rsfilter.config.model import Config
from rsfilter.edge.truth_watcher import Reading, TruthWatcher
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.inputs import Input, RtrGone, RtrRead, TruthRead
from rsfilter.rpki.truth import TruthError
from rsfilter.rpki.vrps import RtrSnapshot
from rsfilter.rtr.ages import AgeLimits
from rsfilter.rtr.caches import RtrCaches

log = logging.getLogger(__name__)


class DataFeed:
    """Watches the truth file and keeps the RTR caches, each if it is configured."""

    def __init__(self, config: Config, sources: Sources, apply: Callable[[Input], None]) -> None:
        """`apply`: takes what comes in, on the event loop."""
        self._config = config
        self._sources = sources
        self._apply = apply
        self.watcher = self._watcher()
        """Watcher of the truth file; None if no file is configured."""
        self.caches = self._caches()
        """Caches; None if the configuration has none."""

    def _watcher(self) -> TruthWatcher | None:
        if self._config.truth is None:
            return None
        return TruthWatcher(
            self._config.truth.file,
            self._truth_loaded,
            self._truth_refused,
            may_be_empty=self._config.truth_may_be_empty,
        )

    def _caches(self) -> RtrCaches | None:
        rtr = self._config.rtr
        if rtr is None:
            return None
        return RtrCaches(
            rtr.caches,
            refresh=rtr.refresh,
            retry=rtr.retry,
            expire=rtr.expire,
            on_change=self._rtr_changed,
            on_expired=self._rtr_expired,
            ages=AgeLimits(rtr.max_unchanged, rtr.max_differing),
        )

    async def start(self) -> None:
        """Return once the truth file is read and the caches are being connected."""
        if self.watcher:
            await self.watcher.start()
        if self.caches and (rtr := self._config.rtr):
            await self.caches.start()
            asyncio.get_running_loop().call_later(rtr.startup_wait, self._give_up)

    async def reload(self) -> None:
        """Read the truth file again."""
        if self.watcher:
            await self.watcher.reload()

    def stop(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Return what has to stop, by what it is."""
        parts = {"the truth": self.watcher, "the RTR caches": self.caches}
        return {name: part.stop() for name, part in parts.items() if part}

    def _note(self, event: str, **fields: object) -> None:
        self._apply(ServiceEvent(event, fields))

    async def _truth_loaded(self, reading: Reading) -> None:
        truth = reading.truth
        for warning in truth.warnings:
            log.warning("%s", warning)
        prepared = await asyncio.to_thread(self._sources.prepare_truth, truth)
        file = str(self._config.truth.file) if self._config.truth else ""
        self._apply(TruthRead(truth, reading.content, file, reading.at, prepared))

    def _truth_refused(self, error: TruthError) -> None:
        log.error("truth refused, the active truth stays in force: %s", error)
        self._note("truth_refused", problems=[str(p) for p in error.problems[:10]])

    async def _rtr_changed(self, snapshot: RtrSnapshot, reason: str) -> None:
        prepared = await asyncio.to_thread(self._sources.prepare_rtr, snapshot)
        self._apply(RtrRead(snapshot, reason, prepared))

    def _rtr_expired(self) -> None:
        log.error("RTR data have expired: no cache has confirmed its data within `expire`")
        self._note("rtr_expired")
        self._apply(RtrGone("expired"))

    def _give_up(self) -> None:
        if not self._sources.waits_for_caches:
            return
        log.error("no RTR cache has delivered data yet: routes that it would decide are rejected")
        self._note("rtr_given_up")
        self._apply(RtrGone("given_up"))
