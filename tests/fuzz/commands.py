"""Commands as ExaBGP reads them: a strict grammar of ours, then ExaBGP's own parser in-process.

The grammar lists the commands that rsfilter may write at all: every word is a keyword or a number,
so no byte of a host's data fits in. ExaBGP's parser shows how ExaBGP reads them: the same prefixes,
path, next hop.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import NamedTuple

from exabgp.bgp.message.update.nlri.qualifier.path import PathInfo
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.reactor.api import API
from exabgp.reactor.api.command.limit import extract_neighbors, match_neighbors

MAX_LINE = 64 << 10
"""Octets. ExaBGP 5.0 kills a helper that writes a line of 1 MiB; 300 IPv6 prefixes take 13 KB, and
communities at most 50 KB more."""

_NUMBER = r"(?:0|[1-9][0-9]{0,9})"
_ADDRESS = r"[0-9a-f.:]{2,39}"
_LIST = r"\[ {item}(?: {item})* \]"
_PAIR = _LIST.replace("{item}", f"{_NUMBER}:{_NUMBER}")
_TRIPLE = _LIST.replace("{item}", f"{_NUMBER}:{_NUMBER}:{_NUMBER}")
_OCTETS = _LIST.replace("{item}", "0x[0-9a-f]{16}")
_PATH = _LIST.replace("{item}", _NUMBER)

_CHANGE = re.compile(
    rf"(?P<selectors>neighbor {_ADDRESS}(?: , neighbor {_ADDRESS})*) "
    rf"(?:announce attributes next-hop (?P<next_hop>{_ADDRESS}) as-path (?P<as_path>{_PATH}) "
    rf"origin (?:igp|egp|incomplete)(?: med (?P<med>{_NUMBER}))?(?: community {_PAIR})?"
    rf"(?: large-community {_TRIPLE})?(?: extended-community {_OCTETS})?"
    rf"(?: local-preference {_NUMBER})?"
    rf"|(?P<withdraw>withdraw) attributes next-hop (?:0\.0\.0\.0|::)"
    rf"(?: local-preference [0-9]{{7,10}})?)"
    rf"(?: path-information (?P<path_id>[0-9.]{{7,15}}))? "
    rf"nlri (?P<nlri>{_ADDRESS}/[0-9]{{1,3}}(?: {_ADDRESS}/[0-9]{{1,3}})*)"
)
_CONTROL = re.compile(
    rf"neighbor (?P<router>{_ADDRESS}) (?:announce (?P<eor>eor) (?P<family>ipv[46] unicast)"
    rf"|(?P<flush>flush) adj-rib out|announce (?P<refresh>route-refresh) ipv[46] unicast)"
)
_RESTART = re.compile(rf"(?P<selectors>neighbor {_ADDRESS}(?: , neighbor {_ADDRESS})*) teardown 4")
_KINDS = {
    "#": "comment",
    "reset": "reset",
    "version": "version",
    "system version": "version",
    "show neighbor json": "show",
    "show adj-rib out": "show",
}
"""Commands that are for no neighbor."""


class Command(NamedTuple):
    """Request that a line makes of ExaBGP."""

    kind: str
    """announce, withdraw, eor, flush, refresh, teardown, or one of `_KINDS`."""
    neighbors: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    """(prefix, path information or empty)."""
    attributes: str = ""
    """Content of an announcement, its next hop and path included, but for the tag."""
    family: str = ""


def read(line: bytes) -> Command:
    """Return the content of one line. AssertionError if ExaBGP must not get it."""
    assert line.endswith(b"\n"), "not ended"
    assert len(line) <= MAX_LINE, f"{len(line)} octets"
    return _read(line[:-1].decode("ascii"))


@lru_cache(maxsize=1 << 12)
def _read(text: str) -> Command:
    if kind := _KINDS.get(text):
        return Command(kind)
    control = _CONTROL.fullmatch(text)
    if control is not None:
        verb = control["eor"] or control["flush"] or "refresh"
        _query_exabgp_for_control(text, control["router"], verb)
        return Command(verb, (control["router"],), family=control["family"] or "")
    if restart := _RESTART.fullmatch(text):
        hosts = tuple(restart["selectors"].replace("neighbor ", "").split(" , "))
        _for(text, hosts)
        return Command("teardown", hosts)
    change = _CHANGE.fullmatch(text)
    assert change is not None, f"not a command: {text[:300]!a}"
    neighbors = tuple(change["selectors"].replace("neighbor ", "").split(" , "))
    prefixes = change["nlri"].split()
    families = {ip_network(prefix).version for prefix in prefixes}  # strict: no host bits
    assert len(families) == 1, f"mixed families: {text[:300]}"
    assert len(set(prefixes)) == len(prefixes), f"a prefix twice: {text[:300]}"
    numbers = re.findall(r"(?<=[ :])[0-9]+(?=[ :])", text.partition(" nlri ")[0])
    assert all(int(number) < 1 << 32 for number in numbers), f"a large number: {text[:300]}"
    _query_exabgp(text, change, neighbors, prefixes)
    attributes = text.partition(" attributes ")[2].partition(" nlri ")[0]
    attributes = re.sub(r" (?:local-preference|path-information) \S+", "", attributes)
    path_id = change["path_id"] or ""
    routes = tuple((prefix, path_id) for prefix in prefixes)
    return Command(change["withdraw"] or "announce", neighbors, routes, attributes)


# ExaBGP ------------------------------------------------------------------------------------------

log.init(getenv())
_api = API(SimpleNamespace())


def _query_exabgp(
    text: str, change: re.Match[str], neighbors: Collection[str], prefixes: list[str]
) -> None:
    command = _for(text, neighbors)
    try:
        found = _api.api_attributes(command, [])
    except Exception as error:
        raise AssertionError(f"ExaBGP stumbles over {text[:300]!a}") from error
    assert found, f"ExaBGP refuses {text[:300]!a}: {_api.configuration.error}"
    understood = [ip_network(str(each.nlri.cidr)) for each in found]
    assert understood == list(map(ip_network, prefixes)), text[:300]
    path = PathInfo(ip=change["path_id"]) if change["path_id"] else PathInfo.NOPATH
    assert all(each.nlri.path_info == path for each in found), text[:300]
    if change["withdraw"]:
        return
    for each in found:
        reported = str(each.attributes)
        assert ip_address(str(each.nlri.nexthop)) == ip_address(change["next_hop"]), text[:300]
        assert f"as-path {change['as_path']}".translate(_PARENTHESES) in reported, (
            text[:300],
            reported,
        )
        assert change["med"] is None or f" med {change['med']}" in reported, (text[:300], reported)


_PARENTHESES = str.maketrans("[]", "()")
"""ExaBGP prints the AS_SEQUENCE that it reads in brackets between parentheses."""


def _query_exabgp_for_control(text: str, router: str, kind: str) -> None:
    command = _for(text, (router,))
    if kind == "eor":
        assert _api.api_eor(command), text
    elif kind == "refresh":
        assert _api.api_refresh(command), text


def _for(text: str, neighbors: Collection[str]) -> str:
    """The command behind the selectors, which match these neighbors and no others."""
    descriptions, command = extract_neighbors(text)
    names = {f"neighbor {address} local-ip 192.0.2.1 local-as 1": address for address in neighbors}
    others = [
        f"neighbor {address}{digit} local-ip 192.0.2.1" for address in neighbors for digit in "0f"
    ]
    matched = match_neighbors([*names, *others], descriptions)
    assert {names.get(name) for name in matched} == {*neighbors}, text[:300]
    return command
