"""`rsfilter explain`: how a route would be judged, check by check, and by which VRPs.

Judges with the same function as the running filter, on the truth file as it is now and on what
the RTR caches say now.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from rsfilter.config import Config, load_config
from rsfilter.plain import clean, to_json
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    HostGroup,
    Prefix,
    Route,
    RouteKey,
    Verdict,
)
from rsfilter.routing.policy import Data, findings, judge
from rsfilter.routing.reasons import REASONS
from rsfilter.rpki.cache import RtrCaches, RtrSnapshot
from rsfilter.rpki.sources import Sources
from rsfilter.rpki.truth import load_truth

CACHE_TIMEOUT_S = 10.0
"""How long to wait for a first End of Data: a cache with 500,000 VRPs delivers in 3 s."""


class UsageError(Exception):
    """What was asked makes no sense; the message says why."""


def explain(args: argparse.Namespace) -> int:
    """Runs `rsfilter explain PREFIX --asn N [--neighbor A] [--json]`; the exit code."""
    config = load_config(args.config)
    try:
        prefix = Prefix.parse(args.prefix)
        route, group = _route(config, prefix, args.asn, args.neighbor)
    except (ValueError, UsageError) as error:
        print(clean(f"rsfilter explain: {error}"), file=sys.stderr)  # noqa: T201
        return 2
    explanation = _explain(route, group, asyncio.run(data_of(config)))
    if args.json:
        sys.stdout.write(to_json(_as_json(explanation), indent=2) + "\n")
    else:
        _print(explanation)
    return 0


class Explanation(NamedTuple):
    """A verdict and what each check had to say."""

    route: Route
    group: HostGroup | None
    checks: dict[str, tuple[str, ...]]
    """By check, in order of checking: the names of the reasons it found."""
    verdict: Verdict
    data: Data


def _explain(route: Route, group: HostGroup | None, data: Data) -> Explanation:
    return Explanation(route, group, findings(route, group, data), judge(route, group, data), data)


def _route(
    config: Config, prefix: Prefix, asn: int, neighbor_text: str | None
) -> tuple[Route, HostGroup | None]:
    """The plain route that the host would send: its own ASN, its own address as next hop."""
    neighbor = _neighbor(config, asn, neighbor_text)
    group = next((g for g in config.hosts if any(n.holds(neighbor) for n in g.networks)), None)
    next_hop = neighbor
    if group is not None and group.next_hops:
        allowed = group.next_hops[0]
        next_hop = Address(allowed.family, allowed.network)
    route = Route(
        RouteKey(neighbor, prefix, 0), asn, Attributes(as_path=AsPath.sequence(asn)), (next_hop,)
    )
    return route, group


def _neighbor(config: Config, asn: int, text: str | None) -> Address:
    """The address asked for; else where truth says the host is; else any of the first group."""
    if text is not None:
        return Address.parse(text)
    if config.truth:
        hosts = load_truth(config.truth.file).hosts_by_asn().get(asn, ())
        bound = sorted(address for host in hosts for address in host.neighbors)
        if bound:
            return bound[0]
    network = config.hosts[0].networks[0]
    return Address(network.family, network.network)


async def data_of(config: Config, truth: Path | None = None) -> Data:
    """The data as they are now: the truth file (or `truth` in its place), and what the caches say.
    Raises TruthError."""
    sources = Sources.of(config)
    if config.truth:
        sources.truth_loaded(load_truth(truth or config.truth.file))
    if config.rtr:
        await _ask_caches(config, sources)
    return sources.data


async def _ask_caches(config: Config, sources: Sources) -> None:
    arrived = asyncio.Event()

    async def changed(snapshot: RtrSnapshot, reason: str) -> None:
        sources.rtr_changed(snapshot, reason)
        arrived.set()

    assert config.rtr is not None  # noqa: S101 - for the type checker: the caller has looked
    caches = RtrCaches(
        config.rtr.caches,
        refresh=config.rtr.refresh,
        retry=config.rtr.retry,
        expire=config.rtr.expire,
        on_change=changed,
        on_expired=lambda: None,
    )
    await caches.start()
    try:
        async with asyncio.timeout(CACHE_TIMEOUT_S):
            await arrived.wait()
    except TimeoutError:
        print("rsfilter explain: no RTR cache answered", file=sys.stderr)  # noqa: T201
    finally:
        await caches.stop()


def _as_json(explanation: Explanation) -> dict[str, object]:
    route, group, checks, verdict, data = explanation
    return {
        "prefix": str(route.key.prefix),
        "asn": route.asn,
        "neighbor": str(route.key.neighbor),
        "group": group.name if group else None,
        "verdict": verdict.kind.value,
        "reasons": list(verdict.reasons),
        "checks": {name: list(reasons) for name, reasons in checks.items()},
        "state": verdict.validation.state.value,
        "vrps": [str(vrp) for vrp in verdict.validation.vrps],
        "data": data.provenance._asdict(),
    }


def _print(explanation: Explanation) -> None:
    route, _, checks, verdict, _ = explanation
    console = Console(highlight=False, markup=False)
    console.print(
        f"{route.key.prefix} from {route.key.neighbor} (AS{route.asn}): {verdict.kind.value}"
    )
    table = Table("check", "finding")
    for name, reasons in checks.items():
        texts = [f"{reason}: {REASONS[reason].text}" for reason in reasons]
        table.add_row(name, "\n".join(texts) or "good")
    console.print(table)
    vrps = ", ".join(map(str, verdict.validation.vrps))
    console.print(f"origin validation: {verdict.validation.state.value} {vrps and 'by'} {vrps}")
