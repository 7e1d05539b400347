"""Ages of validation data, and the warnings that follow from them.

A file or a cache that answers may still hold old data. A truth can name the time of its making. The
age of a cache shows only in data that stand still, or that differ from another cache's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from rsfilter.audit.record import timestamp
from rsfilter.rtr.caches import CacheStatus
from rsfilter.util.text import count, span
from rsfilter.web.context import Running
from rsfilter.web.status_schema import Finding

BUILD_TIMES = ("buildtime", "generatedTime", "generated")
"""Members of `metadata` that hold the time of a file's making: of rpki-client, of Routinator twice,
and of the native form."""


def build_time(metadata: Mapping[str, str]) -> float | None:
    """Return the time at which a truth was made, in seconds since the epoch; None if it
    names none. RFC 3339, or Unix time."""
    for name in BUILD_TIMES:
        text = metadata.get(name, "")
        try:
            if text.isascii() and text.isdigit():
                at = float(text)
            else:
                parsed = datetime.fromisoformat(text)
                at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError):
            continue
        if at > 0:  # Routinator writes 0 before its first run
            return at
    return None


def truth_built(running: Running) -> float | None:
    """Return the build time of the truth in force; None if it names none."""
    truth = running.sources.truth
    return build_time(truth.metadata) if truth else None


def is_truth_old(running: Running, now: float) -> bool:
    """Return whether the truth in force was built longer ago than `max_age`."""
    config, built = running.config.truth, truth_built(running)
    limit = config.max_age if config else 0
    return limit > 0 and built is not None and now - built > limit


def age_warnings(running: Running) -> Iterator[Finding]:
    """Yield a warning for each age that is too high."""
    built = truth_built(running)
    if built is not None and is_truth_old(running, time.time()):
        detail = f"the truth was built {timestamp(built)[:19]}Z, longer ago than `max_age`"
        yield Finding(name="truth_old", detail=detail)
    for cache in running.caches.status() if running.caches else ():
        yield from _cache_warnings(cache)


def _cache_warnings(cache: CacheStatus) -> Iterator[Finding]:
    if not cache.is_fresh:
        yield Finding(name="rtr_cache_stale", detail=f"{cache.address}: {cache.state}")
    elif cache.decides and expires_soon(cache):
        left = cache.expire - (cache.age or 0.0)
        detail = f"{cache.address} is in use, and its data expire in {left:.0f} s"
        yield Finding(name="rtr_expires_soon", detail=detail)
    if cache.is_unchanged_long:
        detail = f"{cache.address}: the same data for {span(cache.unchanged or 0.0)}"
        yield Finding(name="rtr_cache_unchanged", detail=detail)
    if cache.lasting:
        differs = f"{count(cache.missing, 'VRP')} missing, {cache.extra} more than the cache in use"
        detail = f"{cache.address} has differed for {span(cache.differs or 0.0)}: {differs}"
        yield Finding(name="rtr_caches_differ", detail=detail)


def expires_soon(cache: CacheStatus) -> bool:
    """Return whether half of the time is over in which a cache must confirm its data: it has missed
    several questions by then."""
    return cache.is_fresh and cache.age is not None and cache.age > cache.expire / 2
