"""Growth of a cost: CPU seconds for n, 2n and 4n."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

LEAST_S = 0.005
"""Costs below some milliseconds are noise."""


ATTEMPTS = 3
"""Measurements of which one has to be right: other programs on the machine only ever add to one."""


def assert_grows_gently(made: Callable[[int], Callable[[], object]], n: int) -> None:
    """Fail unless `made(n)()`, `made(2 * n)()` and `made(4 * n)()` cost what something linear does;
    what `made` itself does is not counted."""
    found = [_costs(made, n)]
    while not grows_gently(found[-1]) and len(found) < ATTEMPTS:
        found.append(_costs(made, n))
    assert grows_gently(found[-1]), found


def _costs(made: Callable[[int], Callable[[], object]], n: int) -> list[float]:
    found = []
    for size in (n, 2 * n, 4 * n):
        work = made(size)
        gc.collect()
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return found


def grows_gently(costs: list[float]) -> bool:
    """The costs of n, 2n, 4n are those of something linear or n log n: four times as much costs
    less than eight times as much, where a quadratic one would take sixteen."""
    return costs[-1] < 8 * max(costs[0], LEAST_S)
