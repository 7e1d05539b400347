"""`rsfilter explain`: why a prefix is accepted, rejected or missing, check by check.

Without an ASN, queries the running filter for every live route of the prefix, and for its owners.
With an ASN, judges a route that may not exist, with the running filter's function, by the truth
file and the RTR caches in their current state.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import NamedTuple

from rich.text import Text

from rsfilter.commands import arguments, output
from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import reaching_arguments
from rsfilter.commands.errors import CommandError
from rsfilter.commands.live import explain_live
from rsfilter.commands.output import GOOD
from rsfilter.config.build import load_config
from rsfilter.config.model import Config, RtrConfig
from rsfilter.config.source import default_path
from rsfilter.edge.truth_file import truth_of
from rsfilter.pipeline.data import Sources
from rsfilter.routing.effects import Provenance
from rsfilter.routing.groups import HostGroup, HostGroups
from rsfilter.routing.judging import findings, judge
from rsfilter.routing.model import (
    BITS,
    Address,
    AsPath,
    Attributes,
    Prefix,
    Route,
    RouteKey,
    Verdict,
)
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.validation import Data, Source
from rsfilter.rpki.truth import Truth
from rsfilter.rpki.vrps import RtrSnapshot
from rsfilter.util.addresses import CacheAddress
from rsfilter.util.text import to_json

CACHE_TIMEOUT_S = 10.0
"""Seconds to wait for a first End of Data: a cache with 500,000 VRPs delivers in 3 s."""

FAILED_S = 1.0
"""Seconds to wait for a failing cache: it may speak another version, which begins with an error."""

POLL_S = 0.02


def add(commands: Subparsers) -> None:
    """Add `explain` to the command line."""
    parser = commands.add_parser(
        "explain",
        parents=[reaching_arguments(), printing()],
        help="show why a prefix is accepted, rejected or missing",
        description="Prints every live route of a prefix with its checks, and who owns it. With "
        "--asn: how a route from that AS would be judged by the truth file and the caches now.",
    )
    parser.add_argument(
        "prefix",
        type=arguments.any_prefix,
        metavar="PREFIX",
        help="a prefix or an address: 203.0.113.7",
    )
    parser.add_argument(
        "--asn", type=arguments.asn, metavar="N", help="judge a route of this AS that may not exist"
    )
    parser.add_argument(
        "--neighbor",
        type=arguments.address,
        metavar="ADDRESS",
        help="the host's session address. With --asn by default the one that truth binds to the "
        "ASN, else one of the host group with this ASN, else an assumed one",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter explain`; return the exit code."""
    return explain_live(args) if args.asn is None else _explain_supposed(args)


def _explain_supposed(args: argparse.Namespace) -> int:
    config = load_config(args.config or default_path())
    prefix = Prefix.parse(args.prefix)
    neighbor = None if args.neighbor is None else Address.parse(args.neighbor)
    truth = truth_of(config)
    is_assumed = False
    if neighbor is None:
        neighbor, is_assumed = _likely_neighbor(config, truth, prefix, args.asn)
    route, group = _route(config, prefix, args.asn, neighbor)
    data = asyncio.run(data_of(config, truth))
    explanation = _explain(route, group, data)._replace(is_assumed=is_assumed)
    if data.rtr_source is Source.UNAVAILABLE:
        unanswered = "no RTR cache answered"
        if "data_unavailable" in explanation.verdict.reasons:
            raise CommandError(f"{unanswered}: this is not what the running filter sees")
        output.print_note(f"rsfilter: {unanswered}")  # here they do not decide
    if args.json:
        sys.stdout.write(to_json(_as_json(explanation), indent=2) + "\n")
    else:
        _print(explanation)
    return GOOD


class Explanation(NamedTuple):
    """A verdict, with the result of each check."""

    route: Route
    group: HostGroup | None
    checks: dict[str, tuple[str, ...]]
    """Names of the reasons found, by check, in order of checking."""
    verdict: Verdict
    data: Data
    is_assumed: bool = False
    """True if the host at this neighbor is only assumed."""


def _explain(route: Route, group: HostGroup | None, data: Data) -> Explanation:
    return Explanation(route, group, findings(route, group, data), judge(route, group, data), data)


def _route(
    config: Config, prefix: Prefix, asn: int, neighbor: Address
) -> tuple[Route, HostGroup | None]:
    """The plain route that the host would send: its own ASN (over iBGP none), its own address as
    next hop."""
    group = HostGroups(config.hosts)(neighbor)
    next_hop = neighbor
    if group is not None and group.next_hops:
        next_hop = group.next_hops[0].address
    as_path = AsPath.sequence(*([] if asn == config.route_server.asn else [asn]))
    route = Route.of(RouteKey(neighbor, prefix, 0), asn, Attributes(as_path=as_path), (next_hop,))
    return route, group


def _likely_neighbor(
    config: Config, truth: Truth | None, prefix: Prefix, asn: int
) -> tuple[Address, bool]:
    """Return (address of the host, whether it is assumed), preferably of the prefix's family. Truth
    or the groups with its ASN have it; a range only gives possible addresses. Of hosts that share
    the ASN, it is one that owns the prefix."""
    hosts = [host for host in (truth.hosts if truth else ()) if host.asn == asn]
    owning = [host for host in hosts if any(vrp.prefix.covers(prefix) for vrp in host.prefixes)]
    if bound := sorted(address for host in owning or hosts for address in host.neighbors):
        is_sure = len(owning or hosts) == 1
        return min(bound, key=lambda address: address.family != prefix.family), not is_sure
    own = [group for group in config.hosts if group.asn == asn]
    open_to_all = [group for group in config.hosts if group.asn is None]
    groups = own or [*open_to_all, *config.hosts][:1]
    networks = [network for group in groups for network in group.networks]
    likely = min(networks, key=lambda n: (n.family != prefix.family, n.length < BITS[n.family]))
    return likely.address, not own or likely.length < BITS[likely.family]


async def data_of(config: Config, truth: Truth | None) -> Data:
    """Return the current data: this truth, and the data of the caches."""
    sources = Sources.of(config)
    if truth:
        sources.truth_loaded(truth)
    if config.rtr:
        await _query_caches(config.rtr, sources)
    return sources.data


async def _query_caches(rtr: RtrConfig, sources: Sources) -> None:
    """Wait for the first cache in order of preference that delivers data: the running filter ends
    up with it, whichever is fastest."""
    for cache in rtr.caches:
        if await _query(cache, rtr, sources):
            return


async def _query(cache: CacheAddress, rtr: RtrConfig, sources: Sources) -> bool:
    from rsfilter.rtr.caches import RtrCaches  # needs librtr, which other commands do without

    arrived = asyncio.Event()

    async def changed(snapshot: RtrSnapshot, reason: str) -> None:
        sources.rtr_changed(snapshot, reason)
        arrived.set()

    caches = RtrCaches(
        (cache,),
        refresh=rtr.refresh,
        retry=rtr.retry,
        expire=rtr.expire,
        on_change=changed,
        on_expired=lambda: None,
    )
    await caches.start()
    began = time.monotonic()
    try:
        while not arrived.is_set():
            patience = FAILED_S if caches.status()[0].errors else CACHE_TIMEOUT_S
            if time.monotonic() > began + patience:
                break
            await asyncio.sleep(POLL_S)
    finally:
        await caches.stop()
    return arrived.is_set()


def _as_json(explanation: Explanation) -> dict[str, object]:
    route, group, checks, verdict, data, is_assumed = explanation
    return {
        "prefix": str(route.key.prefix),
        "asn": route.asn,
        "neighbor": str(route.key.neighbor),
        "neighbor_assumed": is_assumed,
        "group": group.name if group else None,
        "verdict": verdict.kind.value,
        "reasons": list(verdict.reasons),
        "remedies": [REASONS[reason].remedy for reason in verdict.reasons],
        "checks": {name: list(reasons) for name, reasons in checks.items()},
        "state": verdict.validation.state.value,
        "vrps": [str(vrp) for vrp in verdict.validation.vrps],
        "owners": list(verdict.validation.owners),
        "data": data.provenance._asdict(),
    }


def _print(explanation: Explanation) -> None:
    route, _, checks, verdict, data, is_assumed = explanation
    out = output.console()
    out.print(f"{route.key.prefix} from {route.key.neighbor} (AS{route.asn}): {verdict.kind.value}")
    if is_assumed:
        text = f"{route.key.neighbor} is assumed; name it with --neighbor"
        out.print(text, style="yellow", soft_wrap=True)
    found = output.table("", "check", "finding")
    for name, reasons in checks.items():
        texts = [f"{reason}: {REASONS[reason].text}" for reason in reasons]
        mark = Text("✗", "red") if reasons else Text("✓", "green")
        found.add_row(mark, name, "\n".join(texts) or "ok")
    out.print(found)
    out.print(f"origin validation: {_validated(verdict)}", soft_wrap=True)
    out.print(f"data: {_provenance(data.provenance)}", soft_wrap=True)
    for reason in verdict.reasons:
        out.print(f"to fix {reason}: {REASONS[reason].remedy}", soft_wrap=True)


def _validated(verdict: Verdict) -> str:
    if not {"prefix_malformed", "data_unavailable"}.isdisjoint(verdict.reasons):
        return "not done"
    vrps = ", ".join(map(str, verdict.validation.vrps))
    owners = ", ".join(verdict.validation.owners)
    by = (f" by {vrps}" if vrps else "") + (f", of {owners}" if owners else "")
    return f"{verdict.validation.state.value}{by}"


def _provenance(data: Provenance) -> str:
    sources = []
    if data.truth_sha256:
        sources.append(f"truth {data.truth_revision or 'unnamed'} (sha256 {data.truth_sha256})")
    if data.rtr_cache:
        sources.append(f"RTR cache {data.rtr_cache}, serial {data.rtr_serial}")
    return ", ".join(sources) or "none"
