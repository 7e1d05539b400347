"""Metrics of validation data: the truth and the RTR caches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from operator import attrgetter

from prometheus_client.core import InfoMetricFamily, Metric

from rsfilter.rtr.caches import CacheStatus
from rsfilter.web.context import Running
from rsfilter.web.data_ages import is_truth_old, truth_built
from rsfilter.web.metric_families import counter, gauge, value


def data_metrics(running: Running) -> Iterator[Metric]:
    """Collect the metrics of validation data."""
    yield value("data_in_force", "There are validation data", running.sources.is_started)
    if truth := running.sources.truth:
        yield value("truth_vrps", "VRPs of the active truth", len(truth.vrps))
        about = {"revision": truth.revision, "sha256": truth.sha256}
        yield InfoMetricFamily("rsfilter_truth", "The active truth", about)
    if running.truth_loaded is not None:
        text = "Time at which the active truth was read"
        yield value("truth_loaded_timestamp_seconds", text, running.truth_loaded)
    if (built := truth_built(running)) is not None:
        text = "Time at which the active truth was built, by its own metadata"
        yield value("truth_built_timestamp_seconds", text, built)
        text = "The active truth was built longer ago than max_age"
        yield value("truth_old", text, is_truth_old(running, time.time()))
    if running.watcher is not None:
        text = "The truth file as it is now is invalid"
        yield value("truth_refused", text, running.watcher.error is not None)
    if running.caches is None:
        return
    yield value("rtr_fresh", "The active RTR data have not expired", running.caches.is_fresh)
    caches = {str(cache.address): cache for cache in running.caches.status()}
    for name, text, read in _CACHES:
        values = {address: read(cache) for address, cache in caches.items()}
        known = {address: float(each) for address, each in values.items() if each is not None}
        yield gauge(f"rtr_cache_{name}", text, "cache", known)
    errors = {address: cache.errors for address, cache in caches.items()}
    yield counter("rtr_cache_errors", "Connections and syncs that failed", "cache", errors)


_CACHES: tuple[tuple[str, str, Callable[[CacheStatus], float | None]], ...] = (
    ("decides", "Its data are in use", attrgetter("decides")),
    ("fresh", "It has data that have not expired", attrgetter("is_fresh")),
    ("vrps", "VRPs that it delivered", attrgetter("vrps")),
    ("serial", "Serial of its data", attrgetter("serial")),
    ("age_seconds", "Time since it last confirmed its data", attrgetter("age")),
    ("expire_seconds", "Age at which its data expire", attrgetter("expire")),
    ("unchanged_seconds", "Time since its data last changed", attrgetter("unchanged")),
    ("unchanged_long", "Longer than max_unchanged", attrgetter("is_unchanged_long")),
    ("missing_vrps", "VRPs of the cache in use that it does not have", attrgetter("missing")),
    ("extra_vrps", "VRPs that the cache in use does not have", attrgetter("extra")),
    ("differing_prefixes", "Different for longer than max_differing", attrgetter("lasting")),
)
"""End of the name, text, value; None: there is none."""
